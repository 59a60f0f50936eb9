//! How long a hot thread's cycles take, and how many of them find nothing.
//!
//! Arrives: the end of each cycle, with a time that the thread has read anyway. Leaves:
//! [`CycleCounters`]. Promises: no look at the clock for a packet, and none at all in a cycle that finds
//! something; the time that a thread sleeps, or gives its core away because it has nothing to do, is in no
//! cycle. A time in which the kernel gives the core to others is in the cycle that it interrupts, and so is
//! a step of the clock.

use serde::Serialize;
use wirebook_model::UnixNanos;

/// The longest cycle is told of this time and of the one before: longer than tools take from look to look.
const WINDOW_NS: u64 = 10_000_000_000;

/// What a cycle found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// Nothing to do.
    Nothing,
    /// Something, and nothing waits behind it.
    Some,
    /// As much as a cycle takes: more waits behind it.
    More,
}

impl Found {
    /// What was found where a cycle takes `most` at a time.
    #[inline]
    pub fn of(taken: usize, most: usize) -> Self {
        match taken {
            0 => Self::Nothing,
            _ if taken < most => Self::Some,
            _ => Self::More,
        }
    }

    /// True where there was something.
    #[inline]
    pub fn any(self) -> bool {
        self != Self::Nothing
    }

    /// What two looks found together.
    #[inline]
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::More, _) | (_, Self::More) => Self::More,
            (Self::Nothing, Self::Nothing) => Self::Nothing,
            _ => Self::Some,
        }
    }
}

/// What a thread's cycles were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CycleCounters {
    /// Cycles.
    pub cycles: u64,
    /// Those that found nothing to do.
    pub empty_cycles: u64,
    /// The longest of the last 10 to 20 seconds.
    pub longest_cycle_ns: u64,
    /// The longest since the start.
    pub longest_cycle_ever_ns: u64,
}

/// Measures the cycles of one thread.
#[derive(Debug, Default)]
pub struct Cycles {
    cycles: u64,
    empty_cycles: u64,
    /// The end of the last cycle, or of the sleep behind it; 0 before the first.
    since: UnixNanos,
    window_began: UnixNanos,
    longest_ns: u64,
    longest_before_ns: u64,
    longest_ever_ns: u64,
}

impl Cycles {
    /// A cycle is over that found something or nothing.
    #[inline]
    pub fn end(&mut self, found: bool, now: UnixNanos) {
        self.cycles += 1;
        self.empty_cycles += u64::from(!found);
        if self.since > 0 {
            self.longest_ns = self.longest_ns.max(now.saturating_sub(self.since));
        }
        self.since = self.since.max(now);
        if now.saturating_sub(self.window_began) >= WINDOW_NS {
            self.turn(now);
        }
    }

    /// The thread slept; its next cycle begins.
    #[inline]
    pub fn awoke(&mut self, now: UnixNanos) {
        self.since = now;
    }

    #[cold]
    fn turn(&mut self, now: UnixNanos) {
        self.longest_ever_ns = self.longest_ever_ns.max(self.longest_ns);
        self.longest_before_ns = std::mem::take(&mut self.longest_ns);
        self.window_began = now;
    }

    /// What was counted.
    pub fn counters(&self) -> CycleCounters {
        CycleCounters {
            cycles: self.cycles,
            empty_cycles: self.empty_cycles,
            longest_cycle_ns: self.longest_ns.max(self.longest_before_ns),
            longest_cycle_ever_ns: self.longest_ns.max(self.longest_ever_ns),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEGAN: UnixNanos = 1_700_000_000_000_000_000;

    #[test]
    fn the_longest_cycle_is_told_of_the_last_seconds_and_of_the_whole_run() {
        let mut cycles = Cycles::default();
        let longest = |cycles: &Cycles| {
            let CycleCounters { longest_cycle_ns, longest_cycle_ever_ns, .. } = cycles.counters();
            (longest_cycle_ns, longest_cycle_ever_ns)
        };
        cycles.end(true, BEGAN);
        assert_eq!(longest(&cycles), (0, 0), "the first has no beginning");
        cycles.end(true, BEGAN + 700);
        cycles.end(false, BEGAN + 800);
        assert_eq!(longest(&cycles), (700, 700));
        let mut now = BEGAN + 800;
        let mut step = |cycles: &mut Cycles, by| {
            now += by;
            cycles.awoke(now - 100);
            cycles.end(false, now);
        };
        step(&mut cycles, WINDOW_NS);
        assert_eq!(longest(&cycles), (700, 700), "of the window before");
        step(&mut cycles, WINDOW_NS);
        assert_eq!(longest(&cycles), (100, 700));
        let CycleCounters { cycles, empty_cycles, .. } = cycles.counters();
        assert_eq!((cycles, empty_cycles), (5, 3));
    }

    #[test]
    fn sleep_and_times_that_go_back_are_in_no_cycle() {
        let mut cycles = Cycles::default();
        cycles.end(true, BEGAN);
        cycles.awoke(BEGAN + 1_000_000);
        cycles.end(true, BEGAN + 1_000_300);
        cycles.end(true, BEGAN + 900_000);
        cycles.end(true, BEGAN + 1_000_400);
        assert_eq!(cycles.counters().longest_cycle_ns, 300);
    }
}
