//! The reorder window: packets that arrived before their turn.
//!
//! Arrives: packets ahead of the next message. Leaves: the same packets in sequence, byte for
//! byte. Promises: all memory is taken at construction; a packet for which there is no room
//! changes nothing and is refused, so what is already held is never lost.
//!
//! The bytes lie in a ring in the order of arrival. A packet's room is free again once it and all
//! that arrived before it have left, which behind a gap is nearly always the order of leaving.

use crate::packet::{Packet, Source};
use crate::policy::WindowLimits;
use std::collections::VecDeque;
use wirebook_model::UnixNanos;

/// Packets that wait for their turn.
#[derive(Clone, Debug)]
pub(crate) struct Window {
    ring: Box<[u8]>,
    /// Where the next packet's bytes go, room permitting.
    write: usize,
    /// Room taken, in order of arrival.
    extents: VecDeque<Extent>,
    /// The arrival number of the first extent.
    first_arrival: u64,
    /// The packets, in order of sequence.
    held: VecDeque<Held>,
    limits: WindowLimits,
}

#[derive(Clone, Copy, Debug)]
struct Extent {
    offset: usize,
    is_free: bool,
}

/// One packet that waits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Held {
    pub(crate) sequence: u64,
    pub(crate) message_count: u16,
    pub(crate) source: Source,
    pub(crate) ts_recv: UnixNanos,
    /// When the first packet came that showed messages before this one to be missing.
    pub(crate) noticed_ns: u64,
    arrival: u64,
    offset: usize,
    length: usize,
}

impl Held {
    pub(crate) fn end(&self) -> u64 {
        self.sequence.saturating_add(u64::from(self.message_count))
    }
}

/// Messages that are missing between others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gap {
    pub(crate) first: u64,
    pub(crate) end: u64,
    /// When the first packet behind the gap came.
    pub(crate) noticed_ns: u64,
}

impl Gap {
    pub(crate) fn message_count(&self) -> u64 {
        self.end - self.first
    }
}

/// What became of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Inserted {
    Held,
    /// A held packet has all its messages.
    Duplicate,
    /// No room.
    Full,
}

impl Window {
    pub(crate) fn new(limits: WindowLimits) -> Self {
        Self {
            ring: vec![0; limits.bytes].into_boxed_slice(),
            write: 0,
            extents: VecDeque::with_capacity(limits.packets),
            first_arrival: 0,
            held: VecDeque::with_capacity(limits.packets),
            limits,
        }
    }

    /// A window without room, to stand in for one that is in use.
    pub(crate) fn none() -> Self {
        Self::new(WindowLimits { packets: 0, bytes: 0 })
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// The sequence after the packet that starts last.
    pub(crate) fn end(&self) -> u64 {
        self.held.back().map_or(0, Held::end)
    }

    pub(crate) fn insert<S>(
        &mut self,
        source: Source,
        packet: &Packet<'_, S>,
        now_ns: u64,
    ) -> Inserted {
        let position = self.held.partition_point(|held| held.sequence <= packet.sequence);
        if position > 0 && self.held[position - 1].end() >= packet.end() {
            return Inserted::Duplicate;
        }
        // Extents outlive the packets that leave out of turn, so they are what runs out first.
        if self.extents.len() == self.limits.packets {
            return Inserted::Full;
        }
        let length = packet.bytes.len();
        let Some(offset) = self.room(length.max(1)) else { return Inserted::Full };
        self.ring[offset..offset + length].copy_from_slice(packet.bytes);
        self.write = offset + length.max(1);
        let arrival = self.first_arrival + self.extents.len() as u64;
        self.extents.push_back(Extent { offset, is_free: false });
        let held = Held {
            sequence: packet.sequence,
            message_count: packet.message_count,
            source,
            ts_recv: packet.ts_recv,
            noticed_ns: self.held.get(position).map_or(now_ns, |above| above.noticed_ns),
            arrival,
            offset,
            length,
        };
        self.held.insert(position, held);
        Inserted::Held
    }

    /// Takes the packet with the lowest sequence out, if that is at most `sequence`. Its bytes
    /// stay until the next one is inserted.
    #[inline]
    pub(crate) fn pop_until(&mut self, sequence: u64) -> Option<Held> {
        if self.held.front()?.sequence > sequence {
            return None;
        }
        let held = self.held.pop_front()?;
        self.extents[(held.arrival - self.first_arrival) as usize].is_free = true;
        while self.extents.front().is_some_and(|extent| extent.is_free) {
            self.extents.pop_front();
            self.first_arrival += 1;
        }
        Some(held)
    }

    /// The packet that `held` stands for.
    #[inline]
    pub(crate) fn packet<S>(&self, held: &Held, session: S) -> Packet<'_, S> {
        Packet {
            session,
            sequence: held.sequence,
            message_count: held.message_count,
            ends_session: false,
            ts_recv: held.ts_recv,
            bytes: &self.ring[held.offset..held.offset + held.length],
        }
    }

    /// The first gap at or after `from` that a held packet shows.
    ///
    /// # Errors
    /// Where there is none: the sequence up to which nothing is missing.
    pub(crate) fn gap_after(&self, from: u64) -> Result<Gap, u64> {
        let start = self.held.partition_point(|held| held.sequence <= from);
        let before = start.checked_sub(1).map_or(from, |before| self.held[before].end());
        let mut first = from.max(before);
        for held in self.held.range(start..) {
            if held.sequence > first {
                return Ok(Gap { first, end: held.sequence, noticed_ns: held.noticed_ns });
            }
            first = first.max(held.end());
        }
        Err(first)
    }

    pub(crate) fn clear(&mut self) {
        self.held.clear();
        self.first_arrival += self.extents.len() as u64;
        self.extents.clear();
        self.write = 0;
    }

    /// Where `length` bytes fit without a break.
    fn room(&self, length: usize) -> Option<usize> {
        let Some(oldest) = self.extents.front() else {
            return (length <= self.ring.len()).then_some(0);
        };
        if self.write <= oldest.offset {
            return (oldest.offset - self.write >= length).then_some(self.write);
        }
        if self.ring.len() - self.write >= length {
            return Some(self.write);
        }
        (oldest.offset >= length).then_some(0)
    }
}

#[cfg(test)]
impl Window {
    /// What is held and in which order, whatever its place in memory.
    pub(crate) fn contents(&self) -> impl Iterator<Item = (u64, u16, u64)> {
        self.held.iter().map(|held| (held.sequence, held.message_count, held.noticed_ns))
    }

    /// Packets whose room is taken, those included that have left out of turn.
    pub(crate) fn extents(&self) -> usize {
        self.extents.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(sequence: u64, message_count: u16, bytes: &[u8]) -> Packet<'_, ()> {
        Packet { session: (), sequence, message_count, ends_session: false, ts_recv: 0, bytes }
    }

    fn insert(window: &mut Window, sequence: u64, message_count: u16, bytes: &[u8]) -> Inserted {
        window.insert(Source::Line(0), &packet(sequence, message_count, bytes), sequence)
    }

    #[test]
    fn packets_leave_in_sequence_with_their_own_bytes() {
        let mut window = Window::new(WindowLimits { packets: 8, bytes: 64 });
        for (sequence, bytes) in [(9, &b"nine"[..]), (5, b"five"), (7, b"seven")] {
            assert_eq!(insert(&mut window, sequence, 1, bytes), Inserted::Held);
        }
        for (sequence, bytes) in [(5, &b"five"[..]), (7, b"seven"), (9, b"nine")] {
            assert!(window.pop_until(sequence - 1).is_none());
            let held = window.pop_until(sequence).unwrap();
            assert_eq!(window.packet(&held, ()), packet(sequence, 1, bytes));
        }
        assert!(window.is_empty());
    }

    #[test]
    fn what_is_held_is_never_lost_to_what_is_not() {
        let mut window = Window::new(WindowLimits { packets: 3, bytes: 10 });
        assert_eq!(insert(&mut window, 1, 1, b"aaaa"), Inserted::Held);
        assert_eq!(insert(&mut window, 2, 1, b"bbbb"), Inserted::Held);
        assert_eq!(insert(&mut window, 3, 1, b"cccc"), Inserted::Full);
        assert_eq!(insert(&mut window, 3, 1, b""), Inserted::Held);
        assert_eq!(insert(&mut window, 4, 1, b""), Inserted::Full);
        let held = window.pop_until(1).unwrap();
        assert_eq!(window.packet(&held, ()).bytes, b"aaaa");
        assert_eq!(insert(&mut window, 4, 1, b"dddd"), Inserted::Held);
        let held = window.pop_until(2).unwrap();
        assert_eq!(window.packet(&held, ()).bytes, b"bbbb");
    }

    #[test]
    fn room_is_used_again_for_ever() {
        let mut window = Window::new(WindowLimits { packets: 4, bytes: 100 });
        for sequence in 0..1_000_u64 {
            let bytes = [sequence as u8; 40];
            let length = (sequence * 7 % 40) as usize;
            assert_eq!(insert(&mut window, sequence, 1, &bytes[..length]), Inserted::Held);
            if sequence > 0 {
                let held = window.pop_until(sequence).unwrap();
                assert_eq!(held.sequence, sequence - 1);
                let packet = window.packet(&held, ());
                assert!(packet.bytes.iter().all(|byte| *byte == (sequence - 1) as u8));
            }
        }
    }

    #[test]
    fn gaps_lie_between_what_is_held_whatever_overlaps() {
        let mut window = Window::new(WindowLimits { packets: 8, bytes: 8 });
        for (sequence, message_count) in [(10, 5), (12, 8), (30, 1), (11, 2)] {
            insert(&mut window, sequence, message_count, b"");
        }
        assert_eq!(window.gap_after(4), Ok(Gap { first: 4, end: 10, noticed_ns: 10 }));
        assert_eq!(window.gap_after(10), Ok(Gap { first: 20, end: 30, noticed_ns: 30 }));
        assert_eq!(window.gap_after(30), Err(31));
        assert_eq!(insert(&mut window, 13, 7, b""), Inserted::Duplicate);
    }

    #[test]
    fn a_gap_is_as_old_as_the_first_packet_behind_it() {
        let mut window = Window::new(WindowLimits { packets: 8, bytes: 8 });
        for (sequence, now_ns) in [(20, 1), (30, 2), (10, 3)] {
            window.insert(Source::Line(0), &packet(sequence, 1, b""), now_ns);
        }
        assert_eq!(window.gap_after(5).map(|gap| gap.noticed_ns), Ok(1));
        assert_eq!(window.gap_after(11).map(|gap| gap.noticed_ns), Ok(1));
        assert_eq!(window.gap_after(21).map(|gap| gap.noticed_ns), Ok(2));
    }
}
