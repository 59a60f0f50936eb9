//! What goes wrong between the exchange and its receivers, by seed.
//!
//! Arrives: packets with their times. Leaves: what each line delivers, and when ([`Delivery`]).
//! Promises: the same seed, faults and packets give the same deliveries on every host; lines are
//! independent of each other; time is an argument, so the same code runs in virtual time and on a
//! wire. Counts every fault, by line ([`FaultCounts`]).

mod line;

use line::LineState;
use std::collections::BTreeMap;
use std::ops::Range;

use crate::chance::Chance;

/// What goes wrong on one line. Times are nanoseconds since the first packet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LineFaults {
    /// A packet is lost, independently of all others.
    pub loss: Chance,
    /// Packets are lost in bursts.
    pub burst_loss: Option<BurstLoss>,
    /// A packet is delivered twice.
    pub duplicate: Chance,
    /// A packet is held back for up to [`LineFaults::reorder_ns_max`], so that later ones overtake
    /// it.
    pub reorder: Chance,
    /// Longest time that a packet is held back.
    pub reorder_ns_max: u64,
    /// A packet is cut somewhere.
    pub truncate: Chance,
    /// A packet's framing is damaged: its count says 65,534 messages, or a message's length says
    /// more bytes than there are. Its messages stay whole, as a changed one that passes every
    /// checksum could be told by nobody.
    pub corrupt: Chance,
    /// How long every packet is under way.
    pub lag_ns: u64,
    /// When the line is dead: what is sent then is lost.
    pub dead: Vec<Range<u64>>,
    /// When the line stalls: what is sent then is delivered when the stall ends.
    pub stalled: Vec<Range<u64>>,
    /// When the line restarts: dead, then it first delivers again the last packets
    /// ([`REPEATED_PACKETS`]) from before.
    pub restarts: Vec<Range<u64>>,
}

/// Packets that a line repeats after a restart.
pub const REPEATED_PACKETS: usize = 16;

/// The model of Gilbert and Elliott: a line is good, and loses nothing, or bad, and loses all; each
/// packet may turn it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BurstLoss {
    /// A good line turns bad.
    pub begin: Chance,
    /// A bad line turns good.
    pub end: Chance,
}

/// How often each fault befell a line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FaultCounts {
    /// Packets that the exchange sent.
    pub sent: u64,
    /// Packets that arrive, copies and repetitions among them.
    pub delivered: u64,
    /// Packets lost on their own.
    pub lost: u64,
    /// Packets lost in bursts.
    pub burst_lost: u64,
    /// Packets lost while the line was dead or restarting.
    pub dead: u64,
    /// Packets delivered late, at the end of a stall.
    pub stalled: u64,
    /// Packets held back.
    pub reordered: u64,
    /// Packets delivered twice.
    pub duplicated: u64,
    /// Packets cut.
    pub truncated: u64,
    /// Packets with damaged framing.
    pub corrupted: u64,
    /// Packets repeated after a restart.
    pub repeated: u64,
}

impl FaultCounts {
    /// Every count with its name.
    pub fn named(&self) -> [(&'static str, u64); 11] {
        [
            ("sent", self.sent),
            ("delivered", self.delivered),
            ("lost", self.lost),
            ("burst_lost", self.burst_lost),
            ("dead", self.dead),
            ("stalled", self.stalled),
            ("reordered", self.reordered),
            ("duplicated", self.duplicated),
            ("truncated", self.truncated),
            ("corrupted", self.corrupted),
            ("repeated", self.repeated),
        ]
    }
}

/// A payload that a line delivers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Nanoseconds since the first packet.
    pub at_ns: u64,
    /// The line: 0 for A, 1 for B.
    pub line: usize,
    /// The UDP payload.
    pub payload: Vec<u8>,
}

/// The stage between packets and lines.
#[derive(Clone, Debug)]
pub struct Faults {
    lines: Vec<LineState>,
    /// What is under way, by its time and, of the same time, in the order in which it was sent.
    under_way: BTreeMap<(u64, u64), Delivery>,
    scheduled: u64,
}

impl Faults {
    /// A stage for these lines.
    pub fn new(seed: u64, lines: impl IntoIterator<Item = LineFaults>) -> Self {
        let numbered = lines.into_iter().zip(0..);
        let lines = numbered.map(|(faults, line)| LineState::new(seed, line, faults)).collect();
        Self { lines, under_way: BTreeMap::new(), scheduled: 0 }
    }

    /// Takes a packet that the exchange sends on all lines; times never go back.
    pub fn send(&mut self, at_ns: u64, payload: &[u8]) {
        for (line, state) in self.lines.iter_mut().enumerate() {
            state.send(at_ns, payload, &mut |at_ns, payload| {
                self.scheduled += 1;
                self.under_way.insert((at_ns, self.scheduled), Delivery { at_ns, line, payload });
            });
        }
    }

    /// When the next delivery is due; none while nothing is under way.
    pub fn next_due_ns(&self) -> Option<u64> {
        self.under_way.first_key_value().map(|((at_ns, _), _)| *at_ns)
    }

    /// The next delivery that is due at `now_ns`.
    pub fn deliver(&mut self, now_ns: u64) -> Option<Delivery> {
        let first = self.under_way.first_entry().filter(|entry| entry.key().0 <= now_ns)?;
        Some(first.remove())
    }

    /// What befell each line.
    pub fn counts(&self) -> impl Iterator<Item = FaultCounts> {
        self.lines.iter().map(|line| line.counts)
    }
}
