//! What each line of a channel is worth.
//!
//! Arrives: every packet of every line, and what became of it. Leaves: [`LineCounters`], and by
//! how much one line leads another. Promises: a fixed table of arrivals, nothing allocated; a
//! packet costs one store and some counting.

use crate::packet::Source;
use serde::Serialize;
use std::ops::Range;

/// How many ranges of messages that no line brought in time are remembered.
const MISSED_RANGES: usize = 8;

/// Lines for which there is room, so that a policy that comes later may have more of them.
const LINES_ROOM: u8 = 8;

/// What one line has brought since the channel began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LineCounters {
    /// Packets, heartbeats included.
    pub packets: u64,
    /// Messages in them.
    pub messages: u64,
    /// Packets whose messages another copy had brought before.
    pub duplicates: u64,
    /// Packets whose messages came too late: given up, or repaired by a recovery.
    pub late: u64,
    /// Messages that the line skipped, whoever brought them.
    pub missing_messages: u64,
    /// Messages that the line is behind the newest that any line has shown, at this moment. A
    /// dead line's grow.
    pub behind_messages: u64,
}

/// The lines of one channel.
#[derive(Clone, Debug)]
pub(crate) struct Lines {
    lines: Vec<Line>,
    /// The newest packets, by the low bits of their sequence.
    arrivals: Box<[Arrival]>,
    missed: [Range<u64>; MISSED_RANGES],
    oldest_missed: usize,
    /// The highest next sequence that a line has shown.
    newest: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Line {
    counters: LineCounters,
    /// The line's next sequence in this session; `None` until it has brought a packet.
    next: Option<u64>,
}

/// The first copy of a packet.
#[derive(Clone, Copy, Debug)]
struct Arrival {
    sequence: u64,
    source: Source,
    at_ns: u64,
}

const NEVER: Arrival = Arrival { sequence: 0, source: Source::Retransmit, at_ns: 0 };

/// One line was ahead of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lead {
    pub(crate) line: u8,
    pub(crate) behind: u8,
    pub(crate) lead_ns: u64,
}

/// What a packet is that brings nothing new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Repeat {
    Duplicate,
    Late,
}

impl Lines {
    pub(crate) fn new(lines: u8, arrivals: usize) -> Self {
        let mut room = Vec::with_capacity(usize::from(lines.max(LINES_ROOM)));
        room.resize(usize::from(lines), Line::default());
        Self {
            lines: room,
            arrivals: vec![NEVER; arrivals.max(1).next_power_of_two()].into_boxed_slice(),
            missed: std::array::from_fn(|_| 0..0),
            oldest_missed: 0,
            newest: 0,
        }
    }

    /// There are so many lines from now on; those that stay keep what they have brought.
    pub(crate) fn set_count(&mut self, lines: u8) {
        self.lines.resize(usize::from(lines), Line::default());
    }

    /// Another line has this place from now on.
    pub(crate) fn replace(&mut self, line: u8) {
        if let Some(line) = self.lines.get_mut(usize::from(line)) {
            *line = Line::default();
        }
    }

    pub(crate) fn counters(&self, line: u8) -> Option<LineCounters> {
        let line = self.lines.get(usize::from(line))?;
        let behind_messages = self.newest - line.next.unwrap_or(0).min(self.newest);
        Some(LineCounters { behind_messages, ..line.counters })
    }

    /// A packet from `sequence` to before `end` has come.
    #[inline]
    pub(crate) fn arrive(&mut self, source: Source, sequence: u64, end: u64) {
        self.newest = self.newest.max(end);
        let Some(line) = self.line(source) else { return };
        line.counters.packets += 1;
        line.counters.messages += end.saturating_sub(sequence);
        let next = line.next.unwrap_or(sequence);
        line.counters.missing_messages =
            line.counters.missing_messages.saturating_add(sequence.saturating_sub(next));
        line.next = Some(next.max(end));
    }

    /// The packet was the first with its messages.
    #[inline]
    pub(crate) fn first(&mut self, source: Source, sequence: u64, now_ns: u64) {
        *self.arrival(sequence) = Arrival { sequence, source, at_ns: now_ns };
    }

    /// The packet brought nothing new.
    #[inline]
    pub(crate) fn repeat(
        &mut self,
        source: Source,
        sequence: u64,
        now_ns: u64,
    ) -> (Repeat, Option<Lead>) {
        let Source::Line(behind) = source else { return (Repeat::Duplicate, None) };
        let first = *self.arrival(sequence);
        let lead = match first.source {
            Source::Line(line) if first.sequence == sequence && line != behind => {
                let lead_ns = now_ns.saturating_sub(first.at_ns);
                Some(Lead { line, behind, lead_ns })
            }
            _ => None,
        };
        let is_late = lead.is_none() && self.missed.iter().any(|missed| missed.contains(&sequence));
        if let Some(line) = self.line(source) {
            if is_late {
                line.counters.late += 1;
            } else {
                line.counters.duplicates += 1;
            }
        }
        (if is_late { Repeat::Late } else { Repeat::Duplicate }, lead)
    }

    /// No line brought these messages in time.
    pub(crate) fn missed(&mut self, messages: Range<u64>) {
        self.missed[self.oldest_missed] = messages;
        self.oldest_missed = (self.oldest_missed + 1) % MISSED_RANGES;
    }

    /// Another session begins: its sequences say nothing of those before.
    pub(crate) fn begin_session(&mut self) {
        for line in &mut self.lines {
            line.next = None;
        }
        self.arrivals.fill(NEVER);
        self.missed = std::array::from_fn(|_| 0..0);
        self.newest = 0;
    }

    #[inline]
    fn line(&mut self, source: Source) -> Option<&mut Line> {
        match source {
            Source::Line(line) => self.lines.get_mut(usize::from(line)),
            Source::Retransmit => None,
        }
    }

    #[inline]
    fn arrival(&mut self, sequence: u64) -> &mut Arrival {
        let index = sequence as usize & (self.arrivals.len() - 1);
        &mut self.arrivals[index]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Source = Source::Line(0);
    const B: Source = Source::Line(1);

    #[test]
    fn the_line_that_comes_second_tells_the_lead_of_the_first() {
        let mut lines = Lines::new(2, 4);
        lines.first(A, 5, 100);
        let lead = Lead { line: 0, behind: 1, lead_ns: 40 };
        assert_eq!(lines.repeat(B, 5, 140), (Repeat::Duplicate, Some(lead)));
        assert_eq!(lines.repeat(A, 5, 150), (Repeat::Duplicate, None));
        assert_eq!(lines.repeat(B, 1, 160), (Repeat::Duplicate, None), "another sequence's cell");
        assert_eq!(lines.counters(1).unwrap().duplicates, 2);
    }

    #[test]
    fn a_line_that_brings_what_was_missed_is_late() {
        let mut lines = Lines::new(2, 4);
        lines.missed(5..9);
        assert_eq!(lines.repeat(B, 8, 0), (Repeat::Late, None));
        assert_eq!(lines.repeat(B, 9, 0), (Repeat::Duplicate, None));
        assert_eq!(
            (lines.counters(1).unwrap().late, lines.counters(1).unwrap().duplicates),
            (1, 1)
        );
    }

    #[test]
    fn a_dead_line_falls_behind() {
        let mut lines = Lines::new(2, 4);
        lines.arrive(A, 1, 4);
        lines.arrive(B, 1, 2);
        lines.arrive(A, 6, 10);
        let [a, b] = [0, 1].map(|line| lines.counters(line).unwrap());
        assert_eq!((a.packets, a.missing_messages, a.behind_messages), (2, 2, 0));
        assert_eq!((a.messages, b.messages), (7, 1));
        assert_eq!((b.packets, b.missing_messages, b.behind_messages), (1, 0, 8));
    }
}
