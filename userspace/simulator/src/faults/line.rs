//! One line: what becomes of each of its packets.

use super::{FaultCounts, LineFaults, REPEATED_PACKETS};
use crate::chance::Chance;
use crate::packets::HEADER_BYTES;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;
use std::collections::VecDeque;
use std::ops::Range;

/// A count of messages that no packet has.
const COUNT_TOO_LARGE: u16 = 65_534;
/// A length that no packet holds.
const LENGTH_TOO_LARGE: u16 = 65_535;

#[derive(Clone, Debug)]
pub(super) struct LineState {
    faults: LineFaults,
    rng: Pcg64,
    is_bad: bool,
    is_restarting: bool,
    /// What is repeated after a restart.
    recent: VecDeque<Vec<u8>>,
    pub(super) counts: FaultCounts,
}

/// What the dice say of one packet.
#[derive(Clone, Copy, Debug)]
struct Fate {
    is_lost: bool,
    is_doubled: bool,
    is_cut: bool,
    is_corrupt: bool,
    held_back_ns: u64,
    /// Where it is cut or damaged.
    place: u32,
}

impl LineState {
    pub(super) fn new(seed: u64, line: u64, faults: LineFaults) -> Self {
        // A stream of its own: what befalls one line says nothing of the other.
        let rng = Pcg64::seed_from_u64(seed.wrapping_add((line + 1) << 32));
        Self {
            faults,
            rng,
            is_bad: false,
            is_restarting: false,
            recent: VecDeque::with_capacity(REPEATED_PACKETS),
            counts: FaultCounts::default(),
        }
    }

    /// Gives each delivery that comes of a packet to `deliver`.
    pub(super) fn send(
        &mut self,
        at_ns: u64,
        payload: &[u8],
        deliver: &mut impl FnMut(u64, Vec<u8>),
    ) {
        self.counts.sent += 1;
        let fate = self.throw();
        self.is_restarting |= around(&self.faults.restarts, at_ns).is_some();
        if let Some(counter) = self.is_lost(at_ns, fate) {
            *counter += 1;
            return;
        }
        let mut due_ns = at_ns + self.faults.lag_ns;
        if let Some(stall) = around(&self.faults.stalled, at_ns) {
            due_ns = due_ns.max(stall.end);
            self.counts.stalled += 1;
        }
        if std::mem::take(&mut self.is_restarting) {
            self.counts.repeated += self.recent.len() as u64;
            self.counts.delivered += self.recent.len() as u64;
            self.recent.iter().for_each(|payload| deliver(due_ns, payload.clone()));
        }
        self.remember(payload);
        self.counts.reordered += u64::from(fate.held_back_ns > 0);
        due_ns += fate.held_back_ns;
        let payload = self.damaged(payload, fate);
        if fate.is_doubled {
            self.counts.duplicated += 1;
            self.counts.delivered += 1;
            deliver(due_ns, payload.clone());
        }
        self.counts.delivered += 1;
        deliver(due_ns, payload);
    }

    /// Throws every die, so that one fault never changes what another one does.
    fn throw(&mut self) -> Fate {
        let Self { faults, rng, is_bad, .. } = self;
        let turn = faults
            .burst_loss
            .map_or(Chance::NEVER, |burst| if *is_bad { burst.end } else { burst.begin });
        *is_bad ^= turn.happens(rng);
        let is_lost = faults.loss.happens(rng);
        let is_doubled = faults.duplicate.happens(rng);
        let is_cut = faults.truncate.happens(rng);
        let is_corrupt = faults.corrupt.happens(rng);
        let is_held_back = faults.reorder.happens(rng);
        let held_back_ns = 1 + rng.random::<u64>() % faults.reorder_ns_max.max(1);
        Fate {
            is_lost,
            is_doubled,
            is_cut,
            is_corrupt,
            held_back_ns: if is_held_back { held_back_ns } else { 0 },
            place: rng.random(),
        }
    }

    /// The counter of the reason for which a packet is lost.
    fn is_lost(&mut self, at_ns: u64, fate: Fate) -> Option<&mut u64> {
        let LineFaults { dead, restarts, stalled, .. } = &self.faults;
        let is_in = |times: &[Range<u64>]| around(times, at_ns).is_some();
        // What a stall without an end holds never arrives.
        let for_ever = around(stalled, at_ns).is_some_and(|stall| stall.end == u64::MAX);
        if is_in(dead) || is_in(restarts) || for_ever {
            Some(&mut self.counts.dead)
        } else if self.is_bad {
            Some(&mut self.counts.burst_lost)
        } else if fate.is_lost {
            Some(&mut self.counts.lost)
        } else {
            None
        }
    }

    fn remember(&mut self, payload: &[u8]) {
        if self.faults.restarts.is_empty() {
            return;
        }
        if self.recent.len() == REPEATED_PACKETS {
            self.recent.pop_front();
        }
        self.recent.push_back(payload.to_vec());
    }

    fn damaged(&mut self, payload: &[u8], fate: Fate) -> Vec<u8> {
        let mut payload = payload.to_vec();
        if fate.is_corrupt {
            self.counts.corrupted += 1;
            corrupt(&mut payload, fate.place);
        }
        if fate.is_cut {
            self.counts.truncated += 1;
            payload.truncate(fate.place as usize % payload.len().max(1));
        }
        payload
    }
}

/// The range that a time lies in.
fn around(ranges: &[Range<u64>], at_ns: u64) -> Option<&Range<u64>> {
    ranges.iter().find(|range| range.contains(&at_ns))
}

/// Damages the framing: the count, or the length of one of the messages.
fn corrupt(payload: &mut [u8], place: u32) {
    let lengths = lengths_of(payload);
    let chosen = place as usize % (lengths.len() + 1);
    let (at, value) = match lengths.get(chosen) {
        Some(&at) => (at, LENGTH_TOO_LARGE),
        None => (HEADER_BYTES - 2, COUNT_TOO_LARGE),
    };
    if let Some(field) = payload.get_mut(at..at + 2) {
        field.copy_from_slice(&value.to_be_bytes());
    }
}

/// Where the messages' lengths stand.
fn lengths_of(payload: &[u8]) -> Vec<usize> {
    let mut at = HEADER_BYTES;
    let mut lengths = Vec::new();
    while let Some(&[high, low]) = payload.get(at..at + 2) {
        lengths.push(at);
        at += 2 + usize::from(u16::from_be_bytes([high, low]));
    }
    lengths
}
