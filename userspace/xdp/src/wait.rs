//! Sleeping until one of several sockets is readable.
#![allow(unsafe_code, reason = "poll(2) on a set that is kept")]

use std::io;
use std::os::fd::RawFd;
use std::time::Duration;

/// The sockets of one receiver, in the form that poll(2) takes.
#[derive(Debug)]
pub(crate) struct WaitSet(Vec<libc::pollfd>);

impl WaitSet {
    pub(crate) fn new(sockets: impl Iterator<Item = RawFd>) -> Self {
        Self(sockets.map(entry).collect())
    }

    /// An empty set with room for so many sockets.
    pub(crate) fn with_room(sockets: usize) -> Self {
        Self(Vec::with_capacity(sockets))
    }

    /// Makes room for so many sockets in all.
    pub(crate) fn reserve(&mut self, sockets: usize) {
        self.0.reserve_exact(sockets.saturating_sub(self.0.len()));
    }

    /// Waits for these sockets from now on.
    pub(crate) fn set(&mut self, sockets: impl Iterator<Item = RawFd>) {
        self.0.clear();
        self.0.extend(sockets.map(entry));
    }

    /// True when a socket is readable, false after `timeout` (whole
    /// milliseconds, rounded up) or when a signal came.
    pub(crate) fn wait(&mut self, timeout: Duration) -> io::Result<bool> {
        let timeout_ms = i32::try_from(timeout.as_nanos().div_ceil(1_000_000)).unwrap_or(i32::MAX);
        // SAFETY: pointer and length are those of one live vector, exclusively
        // borrowed; poll(2) writes nothing but the `revents` in it, and a
        // descriptor that has been closed gives POLLNVAL, not a fault.
        let ready =
            unsafe { libc::poll(self.0.as_mut_ptr(), self.0.len() as libc::nfds_t, timeout_ms) };
        if ready >= 0 {
            return Ok(ready > 0);
        }
        match io::Error::last_os_error() {
            error if error.kind() == io::ErrorKind::Interrupted => Ok(false),
            error => Err(error),
        }
    }
}

fn entry(fd: RawFd) -> libc::pollfd {
    libc::pollfd { fd, events: libc::POLLIN, revents: 0 }
}
