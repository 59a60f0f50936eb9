//! All machines of one kind, an actor an instrument, and their supervision.
//!
//! Arrives: a record and the number of its instrument. Leaves: what the machine makes of it.
//! Promises: a machine that panics or faults takes down itself alone. It is dropped and rebuilt from
//! its last snapshot and the records since, at the end of the next interval, then after 2, 4, 8, …
//! more; after [`Supervision::rebuilds_max`] attempts it stays down. A rebuilt machine has seen every
//! record: one that cannot be is down. Counts in [`MachineCounters`].

use std::panic::{AssertUnwindSafe, catch_unwind};

use dbn::RecordRef;
use wirebook_model::RecordSink;

use crate::chain::{Change, Incident, Supervision};
use crate::log::{Entry, Log};
use crate::machine::{Fault, Machine, SavedStateError};

/// What happened to the machines of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
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
    /// A record leaves the log, which goes on at `next`: a snapshot from before it must move on.
    fn forget(&mut self, number: u32, entry: &Entry, next: u64, feed: Feed<'_>);
    /// A record that no log keeps was fed: the snapshot must have it.
    fn checkpoint(&mut self, number: u32, at: u64, incidents: &mut Vec<Incident>);
    /// Rebuilds what is due at the end of an interval.
    fn rebuild(&mut self, number: u32, channel: u8, log: &Log, feed: Feed<'_>);
    fn digest(&self, number: u32) -> u64;
    fn save(&self, number: u32, bytes: &mut Vec<u8>);
    fn restore(&mut self, number: u32, at: u64, bytes: &[u8]) -> Result<(), SavedStateError>;
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
    /// Fell on the record at `at`; to be rebuilt once so many intervals have ended.
    Down {
        at: u64,
        rebuilds: u32,
        intervals: u32,
    },
    GivenUp,
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
    fn fall(&mut self, number: u32, at: u64, reason: &'static str, incidents: &mut Vec<Incident>) {
        self.counters.faults += 1;
        let place = &mut self.places[number as usize];
        let torn = std::mem::replace(&mut place.live, self.prototype.clone());
        // Even the drop of a torn machine may panic.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(torn)));
        let (at, rebuilds) = match place.health {
            Health::Up { rebuilds } => {
                self.counters.down += 1;
                (at, rebuilds)
            }
            Health::Down { at, rebuilds, .. } => (at, rebuilds + 1),
            Health::GivenUp => return,
        };
        if rebuilds >= self.supervision.rebuilds_max {
            return self.give_up(number, reason, incidents);
        }
        place.health = Health::Down { at, rebuilds, intervals: 1 << rebuilds.min(16) };
        let change = Change::Down;
        report(incidents, Incident { kind: self.kind, number, change, reason });
    }

    #[cold]
    fn give_up(&mut self, number: u32, reason: &'static str, incidents: &mut Vec<Incident>) {
        self.places[number as usize].health = Health::GivenUp;
        self.counters.down -= 1;
        self.counters.given_up += 1;
        let change = Change::GivenUp;
        report(incidents, Incident { kind: self.kind, number, change, reason });
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
            && let Err(reason) = supervised(&mut place.live, record, feed.out)
        {
            self.fall(number, at, reason, feed.incidents);
        }
    }

    fn forget(&mut self, number: u32, entry: &Entry, next: u64, feed: Feed<'_>) {
        let place = &mut self.places[number as usize];
        match place.health {
            _ if entry.at < place.snapshot_at => {}
            Health::GivenUp => {}
            Health::Up { .. } => {
                place.snapshot.clone_from(&place.live);
                place.snapshot_at = next;
            }
            Health::Down { at, .. } => {
                // There is no live machine to copy, so the snapshot takes the record itself.
                let out = &mut after_fall(entry, at, feed.out);
                place.snapshot_at = entry.at + 1;
                let snapshot = &mut place.snapshot;
                if let Err(reason) = entry.record.with(|record| supervised(snapshot, record, out)) {
                    self.counters.faults += 1;
                    self.give_up(number, reason, feed.incidents);
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

    fn rebuild(&mut self, number: u32, channel: u8, log: &Log, feed: Feed<'_>) {
        let place = &mut self.places[number as usize];
        let Health::Down { at, rebuilds, intervals } = &mut place.health else { return };
        *intervals -= 1;
        if *intervals > 0 {
            return;
        }
        let (at, rebuilds) = (*at, *rebuilds + 1);
        place.live.clone_from(&place.snapshot);
        for entry in log.of(number, channel, place.snapshot_at) {
            let (live, out) = (&mut place.live, &mut after_fall(entry, at, feed.out));
            if let Err(reason) = entry.record.with(|record| supervised(live, record, out)) {
                return self.fall(number, at, reason, feed.incidents);
            }
        }
        place.health = Health::Up { rebuilds };
        self.counters.down -= 1;
        self.counters.rebuilds += 1;
        let incident =
            Incident { kind: self.kind, number, change: Change::Rebuilt, reason: "rebuilt" };
        report(feed.incidents, incident);
    }

    fn digest(&self, number: u32) -> u64 {
        self.places[number as usize].live.digest()
    }

    fn save(&self, number: u32, bytes: &mut Vec<u8>) {
        self.places[number as usize].live.save(bytes);
    }

    fn restore(&mut self, number: u32, at: u64, bytes: &[u8]) -> Result<(), SavedStateError> {
        let place = &mut self.places[number as usize];
        place.live.restore(bytes)?;
        place.snapshot.clone_from(&place.live);
        place.snapshot_at = at;
        Ok(())
    }
}

/// Feeds a record to a machine that may panic.
#[inline]
fn supervised<M: Machine>(
    machine: &mut M,
    record: RecordRef<'_>,
    out: &mut dyn RecordSink,
) -> Result<(), &'static str> {
    // Unwind safety: a machine that unwound is never fed again, it is dropped.
    match catch_unwind(AssertUnwindSafe(|| machine.record(record, out))) {
        Ok(taken) => taken.map_err(|Fault(reason)| reason),
        Err(_) => Err("panicked"),
    }
}

/// What a machine made of a record before it fell has left already.
fn after_fall<'a>(entry: &Entry, at: u64, out: &'a mut dyn RecordSink) -> Out<'a> {
    if entry.at < at { Out::Nowhere } else { Out::To(out) }
}

enum Out<'a> {
    Nowhere,
    To(&'a mut dyn RecordSink),
}

impl RecordSink for Out<'_> {
    fn record(&mut self, record: RecordRef<'_>) {
        match self {
            Self::Nowhere => {}
            Self::To(out) => out.record(record),
        }
    }
}

/// Keeps an incident for whoever reads them, as long as there is room: counters miss none.
fn report(incidents: &mut Vec<Incident>, incident: Incident) {
    if incidents.len() < incidents.capacity() {
        incidents.push(incident);
    }
}
