//! What the recovery thread counts.

use derive_more::AddAssign;
use serde::Serialize;

/// What the recovery of one channel, or of all, has counted.
#[derive(AddAssign, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RecoveryCounters {
    /// Retransmission requests sent, repeated ones included.
    pub requests: u64,
    /// Requests that the socket did not take.
    pub unsent_requests: u64,
    /// Answers that brought messages that were asked for, and were handed over.
    pub answers: u64,
    /// Of these, answers with fewer messages than asked for.
    pub short_answers: u64,
    /// Answers without messages.
    pub empty_answers: u64,
    /// Answers of another session, or with messages that were not asked for.
    pub unasked_answers: u64,
    /// Answers that are no packet, or hold not what their header says.
    pub malformed_answers: u64,
    /// Answers that were asked for and had no free buffer: the worker is behind.
    pub unbuffered_answers: u64,
    /// Requests that were not answered in time.
    pub timeouts: u64,
    /// Times that a host said that no server is there.
    pub unreachable_servers: u64,
    /// Ranges that no server sent again.
    pub retransmit_failures: u64,
    /// Connections to snapshot servers that were tried.
    pub connections: u64,
    /// Messages of snapshots handed over.
    pub snapshot_messages: u64,
    /// Snapshots that came whole.
    pub snapshots: u64,
    /// Times that the messages of a snapshot waited for the worker.
    pub snapshot_backpressure: u64,
    /// Snapshots that no server gave.
    pub snapshot_failures: u64,
    /// Snapshot servers that could not be reached.
    pub unreachable: u64,
    /// Logins that were refused.
    pub refused_logins: u64,
    /// Snapshot servers that stopped half-way.
    pub closed_early: u64,
    /// Snapshot servers that fell silent.
    pub silent: u64,
    /// Snapshots that were not whole by their deadline.
    pub overdue: u64,
    /// Snapshot servers that sent something else.
    pub garbage: u64,
    /// Snapshots older than what was asked for.
    pub behind: u64,
}
