//! How patient a channel is, and what it may fall back on.

/// A channel's limits and what recovery its venue offers. Waits are at least 1 ns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// How many lines carry the channel; a packet of any other is arbitrated, not counted by line.
    pub lines: u8,
    /// The first message of a session: 1 in MoldUDP64 1.00, IEX-TP 1.25 and CME MDP 3.0.
    pub first_sequence: u64,
    /// How long a gap waits for the other line before it is declared.
    pub reorder_wait_ns: u64,
    /// What the reorder window may hold.
    pub window: WindowLimits,
    /// The venue sends lost messages again on request.
    pub retransmit: Option<RetransmitPolicy>,
    /// The venue gives snapshots.
    pub snapshot: Option<SnapshotPolicy>,
    /// What it takes to believe a surprising packet.
    pub doubt: Doubtfulness,
    /// Packets whose arrival is remembered, to tell by how much one line leads the other; rounded
    /// up to a power of two.
    pub arrivals: usize,
}

/// What a reorder window may hold. All of it is taken at construction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowLimits {
    /// Packets.
    pub packets: usize,
    /// Bytes of those packets.
    pub bytes: usize,
}

/// When retransmission is worth a try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetransmitPolicy {
    /// How long after it was asked for a gap may stay open.
    pub deadline_ns: u64,
    /// A gap of more messages goes straight to a snapshot.
    pub messages_max: u64,
}

/// How long a snapshot may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotPolicy {
    /// How long after it was asked for a snapshot may take to be whole.
    pub deadline_ns: u64,
    /// How long the books stay stale before the next try; `None`: until the session ends.
    pub retry_after_ns: Option<u64>,
}

/// What it takes to believe a packet of an unknown session, or one far ahead of all others.
///
/// One such packet may be garbage, so it is kept aside until a second line brings the same
/// session, or `packets` have come that follow each other, or the session we follow has been
/// silent for `silence_ns`. After the end of a session the next one is believed at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Doubtfulness {
    /// Packets in a row, of one line, that are believed.
    pub packets: u8,
    /// Silence of the current session after which one packet is believed.
    pub silence_ns: u64,
    /// How many messages a packet may be ahead of every other without being doubted.
    pub jump_messages: u64,
}

impl Default for Policy {
    /// Two lines, no recovery: the books of a channel with a gap are stale until its next session.
    fn default() -> Self {
        Self {
            lines: 2,
            first_sequence: 1,
            reorder_wait_ns: 1_000_000,
            window: WindowLimits { packets: 4_096, bytes: 4 << 20 },
            retransmit: None,
            snapshot: None,
            doubt: Doubtfulness::default(),
            arrivals: 4_096,
        }
    }
}

impl Default for Doubtfulness {
    fn default() -> Self {
        // A million messages are seconds of a busy session: no outage that a line comes back
        // from within its session is doubted for longer than its first packets.
        Self { packets: 3, silence_ns: 3_000_000_000, jump_messages: 1_000_000 }
    }
}
