//! Books that fell, on their way back, while the others of their shard go on.
//!
//! Arrives: the number of a book in quarantine, and every event of its instrument from then on.
//! Leaves: a [`Demand`] to the channel's worker, which loads the book from the venue's snapshot; then
//! the events that the snapshot does not hold, in order. Promises: a book that returns has seen every
//! message, through the snapshot or after it; one that cannot be made whole stays stale. The time
//! between attempts doubles, and after [`Repairs::attempts_max`] of them the book stays down.
//! Counts in [`RepairCounters`].
//!
//! ```text
//!   fell ─▶ Resting ─ time is up ─▶ Asked ─ snapshot begins ─▶ Loading ─ ends ─▶ back
//!              ▲                      │ refused, late             │ too old, held too much
//!              └──────────────────────┴───────────────────────────┘        (attempts over: down)
//! ```

use crossbeam_queue::ArrayQueue;
use serde::Serialize;
use std::ops::AddAssign;
use std::sync::Arc;
use wirebook_model::dbn::flags::SNAPSHOT;
use wirebook_model::{ALL_INSTRUMENTS, BookState, Event, UnixNanos, VenueEvent};

/// Books of a shard that are on their way back at one time; further ones stay down.
const REPAIRS_MAX: usize = 16;

/// Events held for one book while its snapshot loads.
const HELD_EVENTS_MAX: usize = 1 << 13;

/// The rest before the first attempt; it doubles with each.
const REST_NS: u64 = 10_000_000;

/// Longer than any snapshot takes, retries with other servers included.
const ANSWER_NS: u64 = 60_000_000_000;

/// Demands that may be on their way to a worker.
const DEMANDS_MAX: usize = 64;

/// What a shard wants of a channel's worker: the books of one instrument, or all of them, anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Demand {
    /// The channel.
    pub channel: u8,
    /// The instrument, or [`ALL_INSTRUMENTS`].
    pub instrument_id: u32,
}

/// The way to a worker.
pub type Demands = Arc<ArrayQueue<Demand>>;

/// A new way to a worker.
pub fn demands() -> Demands {
    Arc::new(ArrayQueue::new(DEMANDS_MAX))
}

/// What became of a shard's fallen books.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RepairCounters {
    /// Books that fell: by a panic, or by a check of their own.
    pub falls: u64,
    /// Times that the shard's tables had to be made anew.
    pub shard_rebuilds: u64,
    /// Books that came back.
    pub repaired: u64,
    /// Attempts that did not bring a book back.
    pub failed_attempts: u64,
    /// Books that stay down.
    pub given_up: u64,
}

impl AddAssign for RepairCounters {
    fn add_assign(&mut self, other: Self) {
        self.falls += other.falls;
        self.shard_rebuilds += other.shard_rebuilds;
        self.repaired += other.repaired;
        self.failed_attempts += other.failed_attempts;
        self.given_up += other.given_up;
    }
}

/// What is to be done with an event of a fallen book.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It is no fallen book's: apply it.
    Apply,
    /// It waits, or it is in the snapshot already.
    Held,
    /// The snapshot begins: readmit the book `number`, then apply the event.
    Begins(u32),
    /// The snapshot is whole: apply what [`Repairs::held`] gives, then the event, and
    /// [`Repairs::done`].
    Ends(u32),
    /// This attempt failed: the book `number` goes back into quarantine.
    Failed(u32),
}

/// The fallen books of one shard.
pub struct Repairs {
    fallen: Vec<Fallen>,
    /// By channel.
    demands: Vec<Option<Demands>>,
    attempts_max: u32,
    counters: RepairCounters,
    /// Events of books that came back, for the next to fall.
    spare: Vec<Vec<Event>>,
}

struct Fallen {
    number: u32,
    demand: Demand,
    phase: Phase,
    attempts: u32,
    /// A snapshot must hold every message before this one: they were not kept.
    from_sequence: u64,
    events: Vec<Event>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Resting { until: UnixNanos },
    Asked { until: UnixNanos },
    Loading { until: UnixNanos },
    Down,
}

impl Repairs {
    /// Repairs by the workers of these channels, by channel number, in at most `attempts_max`
    /// attempts a book.
    pub fn new(demands: Vec<Option<Demands>>, attempts_max: u32) -> Self {
        let spare = match demands.iter().any(Option::is_some) {
            true => (0..REPAIRS_MAX).map(|_| Vec::with_capacity(HELD_EVENTS_MAX)).collect(),
            false => Vec::new(),
        };
        let fallen = Vec::with_capacity(REPAIRS_MAX);
        Self { fallen, demands, attempts_max, counters: RepairCounters::default(), spare }
    }

    /// True where every book stands.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.fallen.is_empty()
    }

    /// What has been counted.
    pub fn counters(&self) -> RepairCounters {
        self.counters
    }

    /// A book fell at the message `sequence`, or fell again.
    #[cold]
    pub fn fell(&mut self, number: u32, demand: Demand, sequence: u64, now: UnixNanos) {
        self.counters.falls += 1;
        if let Some(at) = self.fallen.iter().position(|fallen| fallen.number == number) {
            return self.failed(at, sequence, now);
        }
        let Some(events) = self.spare.pop() else {
            self.counters.given_up += 1;
            return;
        };
        let from_sequence = sequence.saturating_add(1);
        let phase = Phase::Resting { until: now.saturating_add(REST_NS) };
        self.fallen.push(Fallen { number, demand, phase, attempts: 0, from_sequence, events });
    }

    /// The shard's tables were made anew: all channels are to fill them.
    #[cold]
    pub fn shard_fell(&mut self, channels: impl Iterator<Item = u8>) {
        self.counters.shard_rebuilds += 1;
        while let Some(fallen) = self.fallen.pop() {
            self.give_back(fallen.events);
        }
        for channel in channels {
            self.ask(Demand { channel, instrument_id: ALL_INSTRUMENTS });
        }
    }

    /// Says what an event means for the fallen.
    pub fn judge(&mut self, event: &Event, now: UnixNanos) -> Step {
        let header = &event.header;
        if header.instrument_id == ALL_INSTRUMENTS {
            return Step::Apply;
        }
        let of = Demand { channel: header.channel, instrument_id: header.instrument_id };
        let Some(at) = self.fallen.iter().position(|fallen| fallen.demand == of) else {
            return Step::Apply;
        };
        let fallen = &mut self.fallen[at];
        let (number, sequence) = (fallen.number, header.sequence);
        match (fallen.phase, event.body) {
            (Phase::Asked { until } | Phase::Loading { until }, VenueEvent::Clear)
                if header.flags & SNAPSHOT != 0 =>
            {
                fallen.phase = Phase::Loading { until };
                Step::Begins(number)
            }
            (Phase::Loading { .. }, VenueEvent::State(BookState::Live)) => {
                if sequence >= fallen.from_sequence {
                    return Step::Ends(number);
                }
                self.failed(at, sequence, now);
                Step::Failed(number)
            }
            (Phase::Asked { .. } | Phase::Loading { .. }, VenueEvent::State(_)) => {
                self.failed(at, sequence, now);
                Step::Failed(number)
            }
            (Phase::Loading { .. }, _) if header.flags & SNAPSHOT != 0 => Step::Apply,
            _ => {
                fallen.hold(event);
                Step::Held
            }
        }
    }

    /// The event held for a book at `at` that the snapshot up to `sequence` does not hold, and the
    /// place of the next one to ask for.
    pub fn held(&self, number: u32, sequence: u64, at: usize) -> Option<(Event, usize)> {
        let fallen = self.fallen.iter().find(|fallen| fallen.number == number)?;
        let missing = |event: &&Event| event.header.sequence >= sequence;
        let skipped = fallen.events.get(at..)?.iter().position(|event| missing(&event))?;
        let at = at + skipped;
        Some((fallen.events[at], at + 1))
    }

    /// A book is back.
    #[cold]
    pub fn done(&mut self, number: u32) {
        if let Some(at) = self.fallen.iter().position(|fallen| fallen.number == number) {
            let fallen = self.fallen.swap_remove(at);
            self.give_back(fallen.events);
            self.counters.repaired += 1;
        }
    }

    /// The channel recovers as a whole, and with it its fallen books; gives their numbers, one a
    /// call.
    pub fn recovered_with(&mut self, channel: u8) -> Option<u32> {
        let at = self.fallen.iter().position(|fallen| fallen.demand.channel == channel)?;
        let fallen = self.fallen.swap_remove(at);
        self.give_back(fallen.events);
        self.counters.repaired += 1;
        Some(fallen.number)
    }

    /// Asks for what has rested, and gives up what has waited for too long.
    #[cold]
    pub fn tend(&mut self, now: UnixNanos) {
        for at in 0..self.fallen.len() {
            match self.fallen[at].phase {
                Phase::Resting { until } if until <= now => {
                    let demand = self.fallen[at].demand;
                    self.fallen[at].phase = Phase::Asked { until: now.saturating_add(ANSWER_NS) };
                    if !self.ask(demand) {
                        let sequence = self.fallen[at].from_sequence;
                        self.failed(at, sequence, now);
                    }
                }
                Phase::Asked { until } | Phase::Loading { until } if until <= now => {
                    let sequence = self.fallen[at].from_sequence;
                    self.failed(at, sequence, now);
                }
                _ => {}
            }
        }
    }

    fn ask(&self, demand: Demand) -> bool {
        let way = self.demands.get(usize::from(demand.channel)).and_then(Option::as_ref);
        way.is_some_and(|way| way.push(demand).is_ok())
    }

    /// The next attempt begins with nothing held: what was held up to now is to be in its snapshot.
    fn failed(&mut self, at: usize, sequence: u64, now: UnixNanos) {
        self.counters.failed_attempts += 1;
        let fallen = &mut self.fallen[at];
        fallen.attempts += 1;
        let newest = fallen.events.iter().map(|event| event.header.sequence).max();
        let seen = sequence.max(newest.unwrap_or(0)).saturating_add(1);
        fallen.from_sequence = fallen.from_sequence.max(seen);
        fallen.events.clear();
        fallen.phase = if fallen.attempts >= self.attempts_max {
            self.counters.given_up += 1;
            Phase::Down
        } else {
            Phase::Resting { until: now.saturating_add(REST_NS << fallen.attempts.min(20)) }
        };
    }

    fn give_back(&mut self, mut events: Vec<Event>) {
        events.clear();
        self.spare.push(events);
    }
}

impl Fallen {
    /// Keeps an event for after the snapshot. One for which there is no room must be in it.
    fn hold(&mut self, event: &Event) {
        if self.phase == Phase::Down {
            return;
        }
        if self.events.len() == self.events.capacity() {
            self.events.clear();
            self.from_sequence = self.from_sequence.max(event.header.sequence.saturating_add(1));
            return;
        }
        self.events.push(*event);
    }
}
