//! All machines of one kind, an actor an instrument, and their supervision.
//!
//! Arrives: a record and the number of its instrument. Leaves: what the machine makes of it.
//! Promises: a machine that panics or faults takes down itself alone. It is dropped and rebuilt from
//! its last snapshot and the records since, at the end of the next interval, then after 2, 4, 8, …
//! more; after [`Supervision::rebuilds_max`] attempts it stays down. A rebuilt machine has seen every
//! record: one that cannot be is down. Counts in [`MachineCounters`].

use std::cmp::Ordering;
use std::panic::{AssertUnwindSafe, catch_unwind};

use dbn::RecordRef;
use derive_more::AddAssign;
use serde::Serialize;
use wirebook_model::RecordSink;

use crate::chain::{Change, Incident, Supervision};
use crate::log::{Entry, Log};
use crate::machine::{Fault, Machine, SavedStateError};

/// What happened to the machines of one kind.
#[derive(AddAssign, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct MachineCounters {
    /// Panics and failed invariants.
    pub faults: u64,
    /// Machines that were rebuilt whole.
    pub rebuilds: u64,
    /// Machines that are down and will be rebuilt.
    pub down: u64,
    /// Machines that stay down.
    pub given_up: u64,
}

/// Machines of one kind, whatever the kind.
pub(crate) trait Population: Send {
    fn name(&self) -> &str;
    fn counters(&self) -> MachineCounters;
    /// Bytes that one instrument takes.
    fn place_bytes(&self) -> usize;
    /// Feeds the record that is at `at` in the log to the machine `number`.
    fn record(&mut self, number: u32, at: u64, record: RecordRef<'_>, out: Feed<'_>);
    /// A record of the channel or its instrument left the log: a snapshot from before it must move on.
    fn forget(&mut self, number: u32, channel: u8, entry: &Entry, log: &Log, feed: Feed<'_>);
    /// A record that no log keeps was fed: the snapshot must have it.
    fn checkpoint(&mut self, number: u32, at: u64, incidents: &mut Vec<Incident>);
    /// Feeds the end of an interval, which is the log's last record of a channel; a machine that is down gets
    /// it when it is rebuilt, which may be now.
    fn end_of_interval(&mut self, number: u32, channel: u8, log: &Log, feed: Feed<'_>);
    fn digest(&self, number: u32) -> u64;
    /// Appends the state; false where the machine is down and has none.
    fn save(&self, number: u32, bytes: &mut Vec<u8>) -> bool;
    fn restore(&mut self, number: u32, at: u64, bytes: &[u8]) -> Result<(), SavedStateError>;
    /// Leaves the machine down, as it was when it was saved.
    fn restore_down(&mut self, number: u32, incidents: &mut Vec<Incident>);
}

/// Where a machine's doings go.
pub(crate) struct Feed<'a> {
    pub(crate) out: &'a mut dyn RecordSink,
    pub(crate) incidents: &'a mut Vec<Incident>,
}

/// The machines of one kind.
pub(crate) struct Machines<M> {
    name: String,
    kind: usize,
    prototype: M,
    places: Vec<Place<M>>,
    supervision: Supervision,
    counters: MachineCounters,
}

/// One instrument's machine.
struct Place<M> {
    live: M,
    snapshot: M,
    /// The first record that the snapshot has not seen.
    snapshot_at: u64,
    health: Health,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Health {
    Up {
        rebuilds: u32,
    },
    /// To be rebuilt once so many intervals have ended.
    Down {
        fall: Fall,
        rebuilds: u32,
        intervals: u32,
    },
    GivenUp,
}

/// How far a machine came: what it made up to here has left, and must not leave again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Fall {
    /// The place of the record on which it fell.
    at: u64,
    /// The records that it had made of it.
    made: u64,
}

impl<M: Machine> Machines<M> {
    /// Machines for `instruments` instruments, each a clone of `prototype`; the kind's number is its
    /// place in the chain.
    pub(crate) fn new(
        name: &str,
        kind: usize,
        prototype: M,
        instruments: usize,
        supervision: Supervision,
    ) -> Self {
        let place = || Place {
            live: prototype.clone(),
            snapshot: prototype.clone(),
            snapshot_at: 0,
            health: Health::Up { rebuilds: 0 },
        };
        let places = (0..instruments).map(|_| place()).collect();
        let counters = MachineCounters::default();
        Self { name: name.to_owned(), kind, prototype, places, supervision, counters }
    }

    /// The machine is dropped; it will be rebuilt later, or never.
    #[cold]
    fn fall(
        &mut self,
        number: u32,
        fall: Fall,
        reason: &'static str,
        incidents: &mut Vec<Incident>,
    ) {
        self.counters.faults += 1;
        let place = &mut self.places[number as usize];
        place.live.clone_from(&self.prototype);
        let (fall, rebuilds) = match place.health {
            Health::Up { rebuilds } => {
                self.counters.down += 1;
                (fall, rebuilds)
            }
            Health::Down { fall: before, rebuilds, .. } => (fall.max(before), rebuilds + 1),
            Health::GivenUp => return,
        };
        if rebuilds >= self.supervision.rebuilds_max {
            return self.give_up(number, reason, incidents);
        }
        place.health = Health::Down { fall, rebuilds, intervals: 1 << rebuilds.min(16) };
        let change = Change::Down;
        report(incidents, Incident { kind: self.kind, number, change, reason });
    }

    #[cold]
    fn give_up(&mut self, number: u32, reason: &'static str, incidents: &mut Vec<Incident>) {
        let place = &mut self.places[number as usize];
        place.live.clone_from(&self.prototype);
        place.health = Health::GivenUp;
        self.counters.down -= 1;
        self.counters.given_up += 1;
        let change = Change::GivenUp;
        report(incidents, Incident { kind: self.kind, number, change, reason });
    }

    /// Makes the machine again from its snapshot and all that it would have been fed since.
    #[cold]
    fn rebuild(
        &mut self,
        number: u32,
        channel: u8,
        fall: Fall,
        rebuilds: u32,
        log: &Log,
        feed: Feed<'_>,
    ) {
        let place = &mut self.places[number as usize];
        place.live.clone_from(&place.snapshot);
        for entry in log.of(number, channel, place.snapshot_at) {
            let (live, out) = (&mut place.live, Told::after(fall, entry.at, feed.out));
            if let Err(torn) = entry.record.with(|record| supervised(live, record, out)) {
                let fall = Fall { at: entry.at, made: torn.made };
                return self.fall(number, fall, torn.reason, feed.incidents);
            }
        }
        place.health = Health::Up { rebuilds };
        self.counters.down -= 1;
        self.counters.rebuilds += 1;
        let (change, reason) = (Change::Rebuilt, "rebuilt");
        report(feed.incidents, Incident { kind: self.kind, number, change, reason });
    }
}

impl<M: Machine> Population for Machines<M> {
    fn name(&self) -> &str {
        &self.name
    }

    fn counters(&self) -> MachineCounters {
        self.counters
    }

    fn place_bytes(&self) -> usize {
        size_of::<Place<M>>()
    }

    #[inline]
    fn record(&mut self, number: u32, at: u64, record: RecordRef<'_>, feed: Feed<'_>) {
        let place = &mut self.places[number as usize];
        if let Health::Up { .. } = place.health
            && let Err(torn) = supervised(&mut place.live, record, Told::all(feed.out))
        {
            self.fall(number, Fall { at, made: torn.made }, torn.reason, feed.incidents);
        }
    }

    fn forget(&mut self, number: u32, channel: u8, entry: &Entry, log: &Log, feed: Feed<'_>) {
        let place = &mut self.places[number as usize];
        match place.health {
            _ if entry.at < place.snapshot_at => {}
            Health::GivenUp => {}
            Health::Up { .. } => {
                place.snapshot.clone_from(&place.live);
                place.snapshot_at = log.next();
            }
            Health::Down { fall, .. } => {
                // There is no live machine to copy, so the snapshot takes the record itself, and
                // first those that came before it and have not left.
                let from = std::mem::replace(&mut place.snapshot_at, entry.at + 1);
                let before = log.of(number, channel, from).take_while(|kept| kept.at < entry.at);
                for entry in before.chain([entry]) {
                    let snapshot = &mut place.snapshot;
                    let out = Told::after(fall, entry.at, feed.out);
                    let taken = entry.record.with(|record| supervised(snapshot, record, out));
                    if let Err(torn) = taken {
                        self.counters.faults += 1;
                        return self.give_up(number, torn.reason, feed.incidents);
                    }
                }
            }
        }
    }

    fn checkpoint(&mut self, number: u32, at: u64, incidents: &mut Vec<Incident>) {
        let place = &mut self.places[number as usize];
        match place.health {
            Health::Up { .. } => {
                place.snapshot.clone_from(&place.live);
                place.snapshot_at = at;
            }
            Health::Down { .. } => {
                self.give_up(number, "was down when a definition came", incidents);
            }
            Health::GivenUp => {}
        }
    }

    fn end_of_interval(&mut self, number: u32, channel: u8, log: &Log, feed: Feed<'_>) {
        let place = &mut self.places[number as usize];
        match &mut place.health {
            Health::Up { .. } => {
                if let Some(entry) = log.last_of_channels() {
                    entry.record.with(|record| self.record(number, entry.at, record, feed));
                }
            }
            Health::Down { intervals, .. } if *intervals > 1 => *intervals -= 1,
            &mut Health::Down { fall, rebuilds, .. } => {
                self.rebuild(number, channel, fall, rebuilds + 1, log, feed);
            }
            Health::GivenUp => {}
        }
    }

    fn digest(&self, number: u32) -> u64 {
        self.places[number as usize].live.digest()
    }

    fn save(&self, number: u32, bytes: &mut Vec<u8>) -> bool {
        let place = &self.places[number as usize];
        let is_up = matches!(place.health, Health::Up { .. });
        if is_up {
            place.live.save(bytes);
        }
        is_up
    }

    fn restore(&mut self, number: u32, at: u64, bytes: &[u8]) -> Result<(), SavedStateError> {
        let place = &mut self.places[number as usize];
        place.live.restore(bytes)?;
        place.snapshot.clone_from(&place.live);
        place.snapshot_at = at;
        let rebuilds = match place.health {
            Health::Up { rebuilds } => rebuilds,
            Health::Down { rebuilds, .. } => {
                self.counters.down -= 1;
                rebuilds
            }
            Health::GivenUp => {
                self.counters.given_up -= 1;
                self.supervision.rebuilds_max
            }
        };
        place.health = Health::Up { rebuilds };
        Ok(())
    }

    fn restore_down(&mut self, number: u32, incidents: &mut Vec<Incident>) {
        match self.places[number as usize].health {
            Health::Up { .. } => self.counters.down += 1,
            Health::Down { .. } => {}
            Health::GivenUp => return,
        }
        self.give_up(number, "was down when it was saved", incidents);
    }
}

/// What a machine left when it fell.
struct Torn {
    reason: &'static str,
    /// Records that it had made of the one on which it fell.
    made: u64,
}

/// Feeds a record to a machine that may panic.
#[inline]
fn supervised<M: Machine>(
    machine: &mut M,
    record: RecordRef<'_>,
    mut out: Told<'_>,
) -> Result<(), Torn> {
    // Unwind safety: a machine that unwound is never fed again, it is overwritten.
    let reason = match catch_unwind(AssertUnwindSafe(|| machine.record(record, &mut out))) {
        Ok(Ok(())) => return Ok(()),
        Ok(Err(Fault(reason))) => reason,
        Err(payload) => {
            // What a machine panics with may panic when it is dropped. There is one a fall.
            std::mem::forget(payload);
            "panicked"
        }
    };
    Err(Torn { reason, made: out.made })
}

/// Passes on what a machine makes of one record, but for the first `skip`, which have left before.
struct Told<'a> {
    out: &'a mut dyn RecordSink,
    skip: u64,
    made: u64,
}

impl<'a> Told<'a> {
    fn all(out: &'a mut dyn RecordSink) -> Self {
        Self { out, skip: 0, made: 0 }
    }

    /// What a machine makes again of the record at `at`, having fallen before.
    fn after(fall: Fall, at: u64, out: &'a mut dyn RecordSink) -> Self {
        let skip = match at.cmp(&fall.at) {
            Ordering::Less => u64::MAX,
            Ordering::Equal => fall.made,
            Ordering::Greater => 0,
        };
        Self { out, skip, made: 0 }
    }
}

impl RecordSink for Told<'_> {
    fn record(&mut self, record: RecordRef<'_>) {
        self.made += 1;
        if self.made > self.skip {
            self.out.record(record);
        }
    }
}

/// Keeps an incident for whoever reads them, as long as there is room: counters miss none.
fn report(incidents: &mut Vec<Incident>, incident: Incident) {
    if incidents.len() < incidents.capacity() {
        incidents.push(incident);
    }
}
