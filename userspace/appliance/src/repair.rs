//! Books that fell, on their way back, while the others of their shard go on.
//!
//! Arrives: the number of a book in quarantine, and every event of its instrument from then on.
//! Leaves: a [`Demand`] to the channel's worker, which loads the book from the venue's snapshot; then
//! the events that the snapshot does not hold, in order. Promises: a book that returns has seen every
//! message, through the snapshot or after it; one that cannot be made whole stays stale. The time
//! between attempts doubles, and after so many of them over the whole run the book stays down, until
//! its channel recovers as a whole. Counts in [`RepairCounters`].
//!
//! ```text
//!   fell ─▶ Resting ─ time is up ─▶ Asked ─ snapshot begins ─▶ Loading ─ ends ─▶ back
//!              ▲                      │ put off, refused, late   │ too old, held too much, called off
//!              └──────────────────────┴──────────────────────────┘        (attempts over: Down)
//! ```
//!
//! Where the tables of the whole shard had to be made anew, each channel takes the same way as one:
//! its books stay in quarantine until the channel clears all books, and whatever follows fills them.

use crossbeam_queue::ArrayQueue;
use derive_more::AddAssign;
use serde::Serialize;
use std::sync::Arc;
use wirebook_model::dbn::flags::SNAPSHOT;
use wirebook_model::{ALL_INSTRUMENTS, BookState, Event, UnixNanos, VenueEvent};

/// Books of a shard that are on their way back at one time; further ones stay down.
const REPAIRS_MAX: usize = 16;

/// Events held for one book while its snapshot loads.
pub const HELD_EVENTS_MAX: usize = 1 << 13;

/// The rest before the first attempt; it doubles with each.
pub const REST_NS: u64 = 10_000_000;

/// The rest where the channel had no time.
pub const PUT_OFF_NS: u64 = 8 * REST_NS;

/// Longer than any snapshot takes, retries with other servers included.
pub const ANSWER_NS: u64 = 60_000_000_000;

/// Demands that may be on their way to a worker.
const DEMANDS_MAX: usize = 64;

/// What a worker says of a book that it cannot bring: no snapshot was to be had.
pub const FAILED: VenueEvent = VenueEvent::State(BookState::Stale);

/// What a worker says of a book that it cannot bring now: its channel is busy with itself, or with
/// another book.
pub const PUT_OFF: VenueEvent = VenueEvent::State(BookState::Healing);

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
#[derive(AddAssign, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RepairCounters {
    /// Books that fell: by a panic, or by a check of their own.
    pub falls: u64,
    /// Times that the shard's tables had to be made anew.
    pub shard_rebuilds: u64,
    /// Books that came back after a fall of their own.
    pub repaired: u64,
    /// Attempts that did not bring a book or a channel back.
    pub failed_attempts: u64,
    /// Attempts that ended without being one, as the channel had no time.
    pub put_off: u64,
    /// Books and channels that stay down, unless the channel recovers by itself.
    pub given_up: u64,
}

/// What is to be done with an event of a fallen book.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It is no fallen book's, or of one that stays down: apply it.
    Apply,
    /// It waits, or it is in the snapshot already.
    Held,
    /// The snapshot begins: readmit the book `number`, then apply the event.
    Begins(u32),
    /// The snapshot is whole: apply what [`Repairs::held`] gives, then the event, and
    /// [`Repairs::done`].
    Ends(u32),
    /// The snapshot is not to be had: the book `number` goes back into quarantine.
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
    /// The attempts that what came back has used up.
    used: Vec<(Demand, u32)>,
}

struct Fallen {
    /// The book's; of a channel there is none.
    number: Option<u32>,
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
        let counters = RepairCounters::default();
        Self { fallen: Vec::new(), demands, attempts_max, counters, spare, used: Vec::new() }
    }

    /// The way to the worker of a channel is this; `way` becomes the one before, if there was one.
    pub fn set_demands(&mut self, channel: u8, way: &mut Demands) {
        match self.demands.get_mut(usize::from(channel)) {
            Some(Some(before)) => std::mem::swap(before, way),
            Some(none) => *none = Some(Arc::clone(way)),
            None => {}
        }
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

    /// A book fell, or fell again; it had seen every message before `from_sequence`.
    #[cold]
    pub fn fell(&mut self, number: u32, demand: Demand, from_sequence: u64, now: UnixNanos) {
        self.counters.falls += 1;
        match self.fallen.iter().position(|fallen| fallen.demand == demand) {
            Some(at) => self.failed(at, now),
            None => {
                let events = self.spare.pop();
                let has_room = events.is_some();
                let events = events.unwrap_or_default();
                self.add(Some(number), demand, from_sequence, events, has_room, now);
            }
        }
    }

    /// The shard's tables were made anew: all these channels are to fill them.
    #[cold]
    pub fn shard_fell(&mut self, channels: impl Iterator<Item = u8>, now: UnixNanos) {
        self.counters.shard_rebuilds += 1;
        while let Some(fallen) = self.fallen.pop() {
            self.put_away(fallen);
        }
        for channel in channels {
            let demand = Demand { channel, instrument_id: ALL_INSTRUMENTS };
            self.add(None, demand, 0, Vec::new(), true, now);
        }
    }

    /// Says what an event means for the fallen.
    pub fn judge(&mut self, event: &Event, now: UnixNanos) -> Step {
        let header = &event.header;
        let of = Demand { channel: header.channel, instrument_id: header.instrument_id };
        let Some(at) = self.fallen.iter().position(|fallen| fallen.demand == of) else {
            return Step::Apply;
        };
        let fallen = &mut self.fallen[at];
        let Some(number) = fallen.number else {
            // Live again without having cleared the books: what filled them came before the fall.
            if let (Phase::Asked { .. }, VenueEvent::State(BookState::Live)) =
                (fallen.phase, event.body)
            {
                self.failed(at, now);
            }
            return Step::Apply;
        };
        let is_snapshot = header.flags & SNAPSHOT != 0;
        match (fallen.phase, event.body) {
            (Phase::Down, _) => return Step::Apply,
            (Phase::Asked { until } | Phase::Loading { until }, VenueEvent::Clear)
                if is_snapshot =>
            {
                fallen.phase = Phase::Loading { until };
                return Step::Begins(number);
            }
            (Phase::Loading { .. }, VenueEvent::State(BookState::Live))
                if header.sequence >= fallen.from_sequence =>
            {
                return Step::Ends(number);
            }
            (phase @ (Phase::Asked { .. } | Phase::Loading { .. }), VenueEvent::State(_)) => {
                match event.body {
                    PUT_OFF => self.put_off(at, now),
                    _ => self.failed(at, now),
                }
                if matches!(phase, Phase::Loading { .. }) {
                    return Step::Failed(number);
                }
            }
            (Phase::Loading { .. }, _) if is_snapshot => return Step::Apply,
            // Of an attempt that is over.
            (_, VenueEvent::State(_)) => {}
            _ if is_snapshot => {}
            _ => fallen.hold(event),
        }
        Step::Held
    }

    /// The event held for a book at `at` that the snapshot up to `sequence` does not hold, and the
    /// place of the next one to ask for.
    pub fn held(&self, number: u32, sequence: u64, at: usize) -> Option<(Event, usize)> {
        let fallen = self.fallen.iter().find(|fallen| fallen.number == Some(number))?;
        let missing = |event: &Event| event.header.sequence >= sequence;
        let skipped = fallen.events.get(at..)?.iter().position(missing)?;
        let at = at + skipped;
        Some((fallen.events[at], at + 1))
    }

    /// A book is back.
    #[cold]
    pub fn done(&mut self, number: u32) {
        if let Some(at) = self.fallen.iter().position(|fallen| fallen.number == Some(number)) {
            let mut fallen = self.fallen.swap_remove(at);
            fallen.attempts += 1;
            self.counters.repaired += 1;
            self.put_away(fallen);
        }
    }

    /// The channel fills all its books anew, and with them those that fell; true where any had.
    #[cold]
    pub fn recovered_with(&mut self, channel: u8) -> bool {
        let mut any = false;
        while let Some(at) = self.fallen.iter().position(|f| f.demand.channel == channel) {
            let mut fallen = self.fallen.swap_remove(at);
            match fallen.number {
                Some(_) => self.counters.repaired += 1,
                None => fallen.attempts += 1,
            }
            self.put_away(fallen);
            any = true;
        }
        any
    }

    /// Asks for what has rested, and gives up what has waited for too long. Gives a book that goes
    /// back into quarantine, one a call.
    #[cold]
    pub fn tend(&mut self, now: UnixNanos) -> Option<u32> {
        for at in 0..self.fallen.len() {
            match self.fallen[at].phase {
                Phase::Resting { until } if until <= now => {
                    let until = now.saturating_add(ANSWER_NS);
                    self.fallen[at].phase = Phase::Asked { until };
                    if !self.ask(self.fallen[at].demand) {
                        self.failed(at, now);
                    }
                }
                Phase::Asked { until } if until <= now => self.failed(at, now),
                Phase::Loading { until } if until <= now => {
                    self.failed(at, now);
                    return self.fallen[at].number;
                }
                _ => {}
            }
        }
        None
    }

    fn add(
        &mut self,
        number: Option<u32>,
        demand: Demand,
        from_sequence: u64,
        events: Vec<Event>,
        has_room: bool,
        now: UnixNanos,
    ) {
        let used = self.used.iter().find(|(of, _)| *of == demand);
        let attempts = used.map_or(0, |&(_, attempts)| attempts);
        let phase = Phase::Down;
        self.fallen.push(Fallen { number, demand, phase, attempts, from_sequence, events });
        if has_room {
            self.rest(self.fallen.len() - 1, now);
        } else {
            self.counters.given_up += 1;
        }
    }

    fn ask(&self, demand: Demand) -> bool {
        let way = self.demands.get(usize::from(demand.channel)).and_then(Option::as_ref);
        way.is_some_and(|way| way.push(demand).is_ok())
    }

    fn failed(&mut self, at: usize, now: UnixNanos) {
        self.counters.failed_attempts += 1;
        self.fallen[at].attempts += 1;
        self.rest(at, now);
    }

    fn put_off(&mut self, at: usize, now: UnixNanos) {
        self.counters.put_off += 1;
        self.fallen[at].forget();
        self.fallen[at].phase = Phase::Resting { until: now.saturating_add(PUT_OFF_NS) };
    }

    /// Until the next attempt, if there is to be one.
    fn rest(&mut self, at: usize, now: UnixNanos) {
        let fallen = &mut self.fallen[at];
        fallen.forget();
        fallen.phase = if fallen.attempts >= self.attempts_max {
            self.counters.given_up += 1;
            Phase::Down
        } else {
            Phase::Resting { until: now.saturating_add(REST_NS << fallen.attempts.min(20)) }
        };
    }

    /// Keeps what the next fall of the same book needs.
    fn put_away(&mut self, mut fallen: Fallen) {
        match self.used.iter_mut().find(|(of, _)| *of == fallen.demand) {
            Some((_, attempts)) => *attempts = fallen.attempts,
            None => self.used.push((fallen.demand, fallen.attempts)),
        }
        if fallen.events.capacity() > 0 {
            fallen.events.clear();
            self.spare.push(fallen.events);
        }
    }
}

impl Fallen {
    /// Keeps an event for after the snapshot. One for which there is no room must be in it.
    fn hold(&mut self, event: &Event) {
        if self.events.len() < self.events.capacity() {
            self.events.push(*event);
            return;
        }
        self.forget();
        self.from_sequence = self.from_sequence.max(event.header.sequence.saturating_add(1));
    }

    /// What was held is to be in the next snapshot.
    fn forget(&mut self) {
        let newest = self.events.iter().map(|event| event.header.sequence).max();
        let after = newest.map_or(0, |newest| newest.saturating_add(1));
        self.from_sequence = self.from_sequence.max(after);
        self.events.clear();
    }
}
