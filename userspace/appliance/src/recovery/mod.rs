//! The recovery thread: what lines did not bring, asked of the venue's servers.
//!
//! ```text
//!            requests                      UDP: re-request servers
//!  worker ─────────────▶ recovery thread ─◀
//!         ◀─────────────                   TCP: snapshot servers
//!            answers
//! ```
//!
//! Arrives: the channels' requests, each by its [`link`]. Leaves: retransmitted packets, snapshots,
//! and what failed. Promises: one thread and one poll(2) for all sockets of all channels; nothing
//! here is waited for by a worker; a peer that lies, stops or floods costs its own channel at most
//! a bounded number of buffers. Counts in [`RecoveryCounters`]; logs a kind at most once a second.

mod buffer;
mod counters;
mod retransmit;

pub mod config;
pub mod link;
pub mod snapshot;

pub use buffer::{BUFFER_BYTES, Batch, Buffer};
pub use counters::RecoveryCounters;

use crate::progress::{Awaits, Progress};
use config::{LoginConfigError, RecoveryConfig};
use crossbeam_queue::ArrayQueue;
use link::{Answer, Order, RecoveryEnd, Request, WorkerEnd};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use retransmit::RetransmitClient;
use snapshot::{SnapshotClient, SnapshotFailure};
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use wirebook_telemetry::Probe;

/// Longest sleep: a request waits no longer, since workers make no system call to wake us.
const SLEEP: Duration = Duration::from_millis(1);

/// Bytes of the longest UDP payload.
const DATAGRAM_BYTES: usize = 1 << 16;

/// Why recovery cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum RecoveryError {
    /// No socket to a server.
    #[error("cannot open a socket to the retransmit server {address}: {source}")]
    Socket {
        /// The server.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// No login for a server.
    #[error(transparent)]
    Login(#[from] LoginConfigError),
}

/// How long the thread sleeps where no channel has servers.
const SLEEP_UNUSED: Duration = Duration::from_millis(50);

/// Changes that may be on their way to the thread.
const CHANGES_MAX: usize = 16;

/// The recovery of all channels.
#[derive(Debug)]
pub struct Recovery {
    channels: Vec<Channel>,
    changes: Changes,
    /// What channels had counted that are gone.
    retired: RecoveryCounters,
    /// True once there was a channel.
    is_used: bool,
    datagram: Box<[u8]>,
    began: Instant,
    progress: Progress,
}

/// The way by which channels come and go while the thread runs.
pub type Changes = Arc<ArrayQueue<Change>>;

/// A channel that comes to the recovery thread, or goes.
#[derive(Debug)]
pub enum Change {
    /// It has servers now.
    Add(Box<Channel>),
    /// The channel of this name has none any more; before it comes back with others, too.
    Remove(String),
}

/// The servers of one channel, with their sockets.
#[derive(Debug)]
pub struct Channel {
    name: String,
    link: RecoveryEnd,
    retransmit: Option<RetransmitClient>,
    snapshot: Option<SnapshotClient>,
    counters: RecoveryCounters,
}

/// Where one channel's answers, counts and log lines go, and the time.
struct Outlet<'a> {
    name: &'a str,
    link: &'a mut RecoveryEnd,
    counters: &'a mut RecoveryCounters,
    now_ns: u64,
}

impl Recovery {
    /// Recovery of no channel.
    pub fn new() -> Self {
        let datagram = vec![0; DATAGRAM_BYTES].into_boxed_slice();
        Self {
            channels: Vec::new(),
            changes: Arc::new(ArrayQueue::new(CHANGES_MAX)),
            retired: RecoveryCounters::default(),
            is_used: false,
            datagram,
            began: Instant::now(),
            progress: Progress::default(),
        }
    }

    /// The way by which channels come and go while the thread runs.
    pub fn changes(&self) -> Changes {
        Arc::clone(&self.changes)
    }

    /// Says by `progress` that it moves.
    pub fn set_progress(&mut self, progress: Progress) {
        self.progress = progress;
    }

    /// Adds a channel, with its sockets, and gives its worker's end.
    ///
    /// # Errors
    /// [`RecoveryError`] where a socket cannot be opened or a password not be read.
    pub fn add(&mut self, name: &str, config: &RecoveryConfig) -> Result<WorkerEnd, RecoveryError> {
        let (worker, channel) = Channel::open(name, config)?;
        self.change(Change::Add(Box::new(channel)));
        Ok(worker)
    }

    /// True once a channel has had servers.
    pub fn is_used(&self) -> bool {
        self.is_used
    }

    /// Serves all channels until `stop`; then logs out everywhere.
    pub fn run(&mut self, stop: &AtomicBool, probe: &Probe<RecoveryCounters>) {
        while !stop.load(Ordering::Relaxed) {
            self.progress.cycle();
            self.progress.awaits(Awaits::Servers);
            self.wait();
            self.progress.awaits(Awaits::Nothing);
            while let Some(change) = self.changes.pop() {
                self.change(change);
            }
            self.serve();
            probe.answer(|| self.counters());
        }
        let now_ns = self.now_ns();
        self.channels.iter_mut().for_each(|channel| channel.end(now_ns));
    }

    /// What has been counted, over all channels.
    pub fn counters(&self) -> RecoveryCounters {
        let mut total = self.retired;
        self.channels.iter().for_each(|channel| total += channel.counters);
        total
    }

    /// The name of each channel and what it has counted.
    pub fn channels(&self) -> impl Iterator<Item = (&str, RecoveryCounters)> {
        self.channels.iter().map(|channel| (channel.name.as_str(), channel.counters))
    }

    fn change(&mut self, change: Change) {
        match change {
            Change::Add(channel) => {
                self.is_used = true;
                self.channels.push(*channel);
            }
            Change::Remove(name) => {
                let now_ns = self.now_ns();
                self.channels.retain_mut(|channel| {
                    let stays = channel.name != name;
                    if !stays {
                        channel.end(now_ns);
                        self.retired += channel.counters;
                    }
                    stays
                });
            }
        }
    }

    fn serve(&mut self) {
        let now_ns = self.now_ns();
        for channel in &mut self.channels {
            channel.serve(&mut self.datagram, now_ns);
        }
    }

    /// Sleeps until a socket has something, or for a moment.
    fn wait(&self) {
        let mut sockets: Vec<_> = self.channels.iter().flat_map(Channel::sockets).collect();
        let sleep = if self.channels.is_empty() { SLEEP_UNUSED } else { SLEEP };
        let timeout = PollTimeout::try_from(sleep).unwrap_or(PollTimeout::ZERO);
        match poll(&mut sockets, timeout) {
            Ok(_) | Err(Errno::EINTR) => {}
            // Out of memory, or more sockets than the limit allows: the work is done all the same.
            Err(_) => std::thread::sleep(SLEEP),
        }
    }

    fn now_ns(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

impl Default for Recovery {
    fn default() -> Self {
        Self::new()
    }
}

impl Channel {
    /// A channel with its sockets, and its worker's end.
    ///
    /// # Errors
    /// [`RecoveryError`] where a socket cannot be opened or a password not be read.
    pub fn open(name: &str, config: &RecoveryConfig) -> Result<(WorkerEnd, Self), RecoveryError> {
        let (worker, link) = link::link();
        let channel = Self {
            name: name.to_owned(),
            link,
            retransmit: RetransmitClient::open(config)?,
            snapshot: SnapshotClient::new(config)?,
            counters: RecoveryCounters::default(),
        };
        Ok((worker, channel))
    }

    fn serve(&mut self, datagram: &mut [u8], now_ns: u64) {
        while let Some(order) = self.link.order() {
            match order {
                Order::End => self.end(now_ns),
                Order::Request(request) => self.request(request, now_ns),
            }
        }
        let Self { name, link, retransmit, snapshot, counters } = self;
        link.flush();
        let mut out = Outlet { name, link, counters, now_ns };
        if let Some(retransmit) = retransmit {
            retransmit.serve(datagram, &mut out);
        }
        if let Some(snapshot) = snapshot {
            snapshot.serve(&mut out);
        }
    }

    /// What to wait for.
    fn sockets(&self) -> impl Iterator<Item = PollFd<'_>> {
        let retransmit = self.retransmit.iter().flat_map(RetransmitClient::sockets);
        let snapshot = self.snapshot.as_ref().and_then(SnapshotClient::socket);
        retransmit
            .map(|socket| (socket, PollFlags::POLLIN))
            .chain(snapshot)
            .map(|(socket, flags)| PollFd::new(socket, flags))
    }

    fn request(&mut self, request: Request, now_ns: u64) {
        let Self { name, link, retransmit, snapshot, counters } = self;
        let mut out = Outlet { name, link, counters, now_ns };
        match (request, retransmit, snapshot) {
            (Request::Retransmit { session, messages }, Some(client), _) => {
                client.want(session, messages, &mut out);
            }
            (Request::Retransmit { session, messages }, None, _) => {
                out.link.send(Answer::RetransmitFailed { session, messages });
            }
            (Request::Snapshot { session, sequence }, _, Some(client)) => {
                client.want(session, sequence, now_ns);
            }
            (Request::Snapshot { session, .. }, _, None) => {
                let failure = SnapshotFailure::NoServer;
                out.link.send(Answer::SnapshotFailed { session, failure });
            }
        }
    }

    fn end(&mut self, now_ns: u64) {
        if let Some(retransmit) = &mut self.retransmit {
            retransmit.end();
        }
        if let Some(snapshot) = &mut self.snapshot {
            snapshot.end(now_ns);
        }
    }
}

impl Outlet<'_> {
    /// Logs what a peer did; the log cuts storms of a channel and kind short.
    fn warn(&mut self, kind: &'static str, what: fmt::Arguments<'_>) {
        tracing::warn!(channel = self.name, kind, "{what}");
    }
}

#[cfg(test)]
mod tests;
