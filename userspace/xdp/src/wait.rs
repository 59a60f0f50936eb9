//! Sleeping until one of several sockets is readable.
#![allow(unsafe_code, reason = "poll(2) on a set that is built once")]

use std::io;
use std::os::fd::RawFd;
use std::time::Duration;

/// The sockets of one receiver, in the form that poll(2) takes.
#[derive(Debug)]
pub(crate) struct WaitSet(Vec<libc::pollfd>);

impl WaitSet {
    pub(crate) fn new(sockets: impl Iterator<Item = RawFd>) -> Self {
        let entry = |fd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
        Self(sockets.map(entry).collect())
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
