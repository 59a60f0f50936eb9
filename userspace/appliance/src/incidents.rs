//! What a shard has to say of machines and books that fell.
//!
//! Arrives: a shard's incidents, in its idle cycles. Leaves: a line each in the log, from the
//! housekeeping thread. The shard never waits: where the queue is full the line is missing, and the
//! counters still hold it.

use crate::repair::RepairCounters;
use crate::self_check::Parted;
use crate::shard::Shard;
use crossbeam_queue::ArrayQueue;
use std::sync::Arc;
use wirebook_machine::{BookSink, Change, Incident};

/// Incidents on their way to the log.
const INCIDENTS_MAX: usize = 256;

/// One incident.
#[derive(Clone, Copy, Debug)]
enum Told {
    Machine(Incident),
    Books { before: RepairCounters, now: RepairCounters },
    Parted(Parted),
}

/// A shard's end.
pub struct IncidentSender {
    queue: Arc<ArrayQueue<Told>>,
    told: RepairCounters,
}

/// Housekeeping's end.
pub struct IncidentReader {
    shard: usize,
    /// The names of the machines, in the order of the chain.
    machines: Vec<String>,
    queue: Arc<ArrayQueue<Told>>,
}

/// Both ends for the shard with this number and these machines.
pub fn incidents(shard: usize, machines: Vec<String>) -> (IncidentSender, IncidentReader) {
    let queue = Arc::new(ArrayQueue::new(INCIDENTS_MAX));
    let sender = IncidentSender { queue: Arc::clone(&queue), told: RepairCounters::default() };
    (sender, IncidentReader { shard, machines, queue })
}

impl IncidentSender {
    /// Sends what is new.
    pub fn send<S: BookSink>(&mut self, shard: &mut Shard<S>) {
        for parted in shard.parted() {
            let _ = self.queue.push(Told::Parted(parted));
        }
        for incident in shard.machines_mut().incidents() {
            let _ = self.queue.push(Told::Machine(incident));
        }
        let books = shard.repair_counters();
        if books != self.told {
            let _ = self.queue.push(Told::Books { before: self.told, now: books });
            self.told = books;
        }
    }
}

impl IncidentReader {
    /// Logs what has come.
    pub fn log(&self) {
        while let Some(told) = self.queue.pop() {
            match told {
                Told::Machine(incident) => self.log_machine(&incident),
                Told::Books { before, now } => self.log_books(before, now),
                Told::Parted(Parted { channel, instrument_id, difference }) => tracing::error!(
                    shard = self.shard,
                    channel_number = channel,
                    instrument_id,
                    "shard {}: the self-check of instrument {instrument_id} of channel {channel} \
                     failed: {difference}",
                    self.shard
                ),
            }
        }
    }

    fn log_machine(&self, incident: &Incident) {
        let Incident { kind, number, change, reason } = *incident;
        let (shard, name) = (self.shard, self.machines.get(kind).map_or("?", String::as_str));
        match change {
            Change::Down => {
                tracing::warn!(
                    shard,
                    machine = name,
                    book = number,
                    "shard {shard}: machine {name} of book {number} fell: {reason}"
                );
            }
            Change::Rebuilt => {
                tracing::info!(
                    shard,
                    machine = name,
                    book = number,
                    "shard {shard}: machine {name} of book {number} is back"
                );
            }
            Change::GivenUp => {
                tracing::error!(
                    shard,
                    machine = name,
                    book = number,
                    "shard {shard}: machine {name} of book {number} stays down: {reason}"
                );
            }
        }
    }

    fn log_books(&self, before: RepairCounters, now: RepairCounters) {
        let shard = self.shard;
        let new = |count: fn(&RepairCounters) -> u64| count(&now) - count(&before);
        let (fell, anew) = (new(|c| c.falls), new(|c| c.shard_rebuilds));
        if fell > 0 {
            tracing::error!(shard, "shard {shard}: {fell} books fell and are stale until repaired");
        }
        if anew > 0 {
            tracing::error!(
                shard,
                "shard {shard}: its tables were made anew; all its books recover"
            );
        }
        let (back, lost) = (new(|c| c.repaired), new(|c| c.given_up));
        if back > 0 {
            tracing::info!(shard, "shard {shard}: {back} books are back");
        }
        if lost > 0 {
            tracing::error!(shard, "shard {shard}: {lost} books stay down");
        }
    }
}
