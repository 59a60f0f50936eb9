//! Snapshots, read by TCP from GLIMPSE servers and handed over in batches.
//!
//! Arrives: a wish for a snapshot, and the servers' bytes. Leaves: the snapshot's messages in
//! their order, and its end with the sequence from which the live feed goes on; or, when no server
//! gave it whole, why not. Each server is tried once a wish, the one that did best first; one that
//! failed rests, the longer the more often it did. A worker that is behind holds up this thread's
//! reading, and TCP the server. Counts in [`RecoveryCounters`].

mod attempt;

use super::config::RecoveryConfig;
use super::link::Answer;
use super::{Outlet, RecoveryCounters, RecoveryError};
use attempt::{Attempt, Progress};
use nix::poll::PollFlags;
use std::net::SocketAddr;
use std::os::fd::BorrowedFd;
use wirebook_wire::Session;
use wirebook_wire::soupbintcp::{LoginRequest, RejectReason};

/// How long a server rests that has failed once, and at most.
const BACK_OFF_NS: [u64; 2] = [100_000_000, 5_000_000_000];

/// Why a server gave no whole snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum SnapshotFailure {
    /// The channel has no snapshot server, or its protocol none that we know.
    #[error("expected a snapshot server, found none")]
    NoServer,
    /// No connection could be made, or it broke.
    #[error("the connection failed")]
    Unreachable,
    /// The server refused the login.
    #[error("the login was refused: {0}")]
    Refused(RejectReason),
    /// The server closed the connection, or ended the session, before the snapshot's end.
    #[error("the server stopped half-way")]
    ClosedEarly,
    /// Nothing came any more.
    #[error("the server fell silent")]
    Silent,
    /// The snapshot had no end by its deadline.
    #[error("the snapshot was not whole by its deadline")]
    Overdue,
    /// What came was no snapshot.
    #[error("expected a snapshot, found something else")]
    Garbage,
    /// The snapshot is older than what was asked for.
    #[error("the snapshot goes back in time")]
    Behind,
}

/// The snapshot servers of one channel.
#[derive(Debug)]
pub(super) struct SnapshotClient {
    servers: Vec<Server>,
    /// The server that gave the last snapshot.
    best: usize,
    /// How long one server may take.
    attempt_ns: u64,
    wish: Option<Wish>,
}

#[derive(Debug)]
struct Server {
    address: SocketAddr,
    login: LoginRequest,
    rests_until_ns: u64,
    failures_in_a_row: u32,
}

/// What is wanted, and how far it has come.
#[derive(Debug)]
struct Wish {
    session: Session,
    sequence: u64,
    tried: Vec<usize>,
    /// The server that is next or at work.
    server: usize,
    attempt: Option<Attempt>,
}

impl SnapshotClient {
    /// A client of every server; `None` where the configuration names none.
    pub(super) fn new(config: &RecoveryConfig) -> Result<Option<Self>, RecoveryError> {
        let server = |server: &super::config::SnapshotServer| {
            let login = server.login()?;
            let address = server.address;
            Ok::<_, RecoveryError>(Server {
                address,
                login,
                rests_until_ns: 0,
                failures_in_a_row: 0,
            })
        };
        let servers = config.snapshot.iter().map(server).collect::<Result<Vec<_>, _>>()?;
        if servers.is_empty() {
            return Ok(None);
        }
        let attempt_ns = config.snapshot_deadline_ms * 1_000_000 / servers.len() as u64;
        Ok(Some(Self { servers, best: 0, attempt_ns, wish: None }))
    }

    /// Wants a snapshot that holds every message before `sequence`.
    pub(super) fn want(&mut self, session: Session, sequence: u64, now_ns: u64) {
        if let Some(wish) = self.wish.as_mut().filter(|wish| wish.session == session) {
            wish.sequence = wish.sequence.max(sequence);
            return;
        }
        self.end(now_ns);
        let server = self.next_server(&[], now_ns).unwrap_or(self.best);
        self.wish = Some(Wish { session, sequence, tried: Vec::new(), server, attempt: None });
    }

    /// Nothing is wanted any more.
    pub(super) fn end(&mut self, now_ns: u64) {
        if let Some(Wish { attempt: Some(attempt), .. }) = self.wish.take() {
            attempt.end(now_ns);
        }
    }

    /// The socket to wait on, and for what.
    pub(super) fn socket(&self) -> Option<(BorrowedFd<'_>, PollFlags)> {
        self.wish.as_ref()?.attempt.as_ref()?.interest()
    }

    /// Takes what has come, and sees to connections and deadlines.
    pub(super) fn serve(&mut self, out: &mut Outlet<'_>) {
        while let Some(wish) = &mut self.wish {
            let server = &mut self.servers[wish.server];
            let Some(attempt) = &mut wish.attempt else {
                if out.now_ns < server.rests_until_ns {
                    return;
                }
                out.counters.connections += 1;
                let deadline_ns = out.now_ns.saturating_add(self.attempt_ns);
                match Attempt::connect(server.address, server.login, deadline_ns) {
                    Ok(attempt) => wish.attempt = Some(attempt),
                    Err(failure) => self.fail(failure, out),
                }
                continue;
            };
            match attempt.serve(wish.session, wish.sequence, out) {
                Ok(Progress::Waiting) => return,
                Ok(Progress::Whole) => {
                    out.counters.snapshots += 1;
                    server.failures_in_a_row = 0;
                    self.best = wish.server;
                    self.end(out.now_ns);
                }
                Err(failure) => self.fail(failure, out),
            }
        }
    }

    /// The server at work has failed: on to the next, or to the end of the wish.
    fn fail(&mut self, failure: SnapshotFailure, out: &mut Outlet<'_>) {
        let Some(mut wish) = self.wish.take() else { return };
        let server = &mut self.servers[wish.server];
        let [first_ns, most_ns] = BACK_OFF_NS;
        let rest_ns = first_ns << server.failures_in_a_row.min(16);
        server.failures_in_a_row += 1;
        server.rests_until_ns = out.now_ns.saturating_add(rest_ns.min(most_ns));
        failure.count(out.counters);
        out.warn(failure.kind(), format_args!("snapshot server {}: {failure}", server.address));
        wish.attempt = None;
        wish.tried.push(wish.server);
        match self.next_server(&wish.tried, out.now_ns) {
            Some(server) => self.wish = Some(Wish { server, ..wish }),
            None => {
                out.counters.snapshot_failures += 1;
                out.link.send(Answer::SnapshotFailed { session: wish.session, failure });
            }
        }
    }

    /// The server that may be tried first; of several the best, or the one that follows it.
    fn next_server(&self, tried: &[usize], now_ns: u64) -> Option<usize> {
        let count = self.servers.len();
        (self.best..self.best + count)
            .map(|server| server % count)
            .filter(|server| !tried.contains(server))
            .min_by_key(|server| self.servers[*server].rests_until_ns.max(now_ns))
    }
}

impl SnapshotFailure {
    fn count(self, counters: &mut RecoveryCounters) {
        let counter = match self {
            Self::NoServer => return,
            Self::Unreachable => &mut counters.unreachable,
            Self::Refused(_) => &mut counters.refused_logins,
            Self::ClosedEarly => &mut counters.closed_early,
            Self::Silent => &mut counters.silent,
            Self::Overdue => &mut counters.overdue,
            Self::Garbage => &mut counters.garbage,
            Self::Behind => &mut counters.behind,
        };
        *counter += 1;
    }

    /// A name for its log lines.
    fn kind(self) -> &'static str {
        match self {
            Self::NoServer => "snapshot-no-server",
            Self::Unreachable => "snapshot-unreachable",
            Self::Refused(_) => "snapshot-refused",
            Self::ClosedEarly => "snapshot-closed-early",
            Self::Silent => "snapshot-silent",
            Self::Overdue => "snapshot-overdue",
            Self::Garbage => "snapshot-garbage",
            Self::Behind => "snapshot-behind",
        }
    }
}
