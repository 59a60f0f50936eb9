//! What a channel counts.

use serde::Serialize;

/// What a channel has counted since it began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ChannelCounters {
    /// Messages applied from lines and retransmissions.
    pub messages: u64,
    /// Packets all of whose messages another copy had brought before.
    pub duplicates: u64,
    /// Packets of lines whose messages came after they had been given up or recovered.
    pub late: u64,
    /// Packets that waited in the reorder window.
    pub held: u64,
    /// Packets for which the reorder window had no room; their messages are missing.
    pub overflows: u64,
    /// Packets of which fewer messages could be applied than they announced.
    pub short_packets: u64,
    /// Ranges of sequences that no line brought in time.
    pub gaps: u64,
    /// Messages in those gaps.
    pub missing_messages: u64,
    /// Messages applied from a retransmission.
    pub retransmitted_messages: u64,
    /// Messages that nothing brought back.
    pub lost_messages: u64,
    /// Retransmissions asked for.
    pub retransmit_requests: u64,
    /// Times that retransmission failed or took too long.
    pub retransmit_failures: u64,
    /// Packets of a retransmit server that nobody had asked for.
    pub unasked_packets: u64,
    /// Snapshots asked for.
    pub snapshot_requests: u64,
    /// Snapshots taken over.
    pub snapshots: u64,
    /// Messages that were not applied, as a snapshot held what they did.
    pub snapshot_messages: u64,
    /// Snapshots refused: not asked for, of another session, or back in time.
    pub refused_snapshots: u64,
    /// Times that a snapshot failed or took too long.
    pub snapshot_failures: u64,
    /// Times that the session changed.
    pub session_changes: u64,
    /// Packets of the session before the current one.
    pub old_session_packets: u64,
    /// Packets that could not be believed alone: of an unknown session, or far ahead.
    pub doubted_packets: u64,
}
