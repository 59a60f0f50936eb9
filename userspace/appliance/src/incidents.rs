//! What a shard has to say of machines and books that fell.
//!
//! Arrives: a shard's incidents, in its idle cycles. Leaves: a notice each, from the
//! housekeeping thread. The shard never waits: where the queue is full the line is missing, and the
//! counters still hold it.

use crate::notices::{About, Notices};
use crate::repair::RepairCounters;
use crate::self_check::Parted;
use crate::shard::Shard;
use crossbeam_queue::ArrayQueue;
use std::sync::Arc;
use wirebook_machine::{BookSink, Change, Incident};
use wirebook_shm::notice::Level;

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
    /// Tells what has come.
    pub fn tell(&self, notices: &mut Notices) {
        let shard = self.shard;
        while let Some(told) = self.queue.pop() {
            match told {
                Told::Machine(incident) => self.tell_machine(&incident, notices),
                Told::Books { before, now } => self.tell_books(before, now, notices),
                Told::Parted(Parted { channel, instrument_id, difference }) => notices.tell(
                    Level::Error,
                    About::shard(shard),
                    format!(
                        "shard {shard}: the self-check of instrument {instrument_id} of channel \
                         {channel} failed: {difference}"
                    ),
                ),
            }
        }
    }

    fn tell_machine(&self, incident: &Incident, notices: &mut Notices) {
        let Incident { kind, number, change, reason } = *incident;
        let (shard, name) = (self.shard, self.machines.get(kind).map_or("?", String::as_str));
        let of = format!("shard {shard}: machine {name} of book {number}");
        let (level, text) = match change {
            Change::Down => (Level::Warning, format!("{of} fell: {reason}")),
            Change::Rebuilt => (Level::Info, format!("{of} is back")),
            Change::GivenUp => (Level::Error, format!("{of} stays down: {reason}")),
        };
        notices.tell(level, About { machine: Some(name), ..About::shard(shard) }, text);
    }

    fn tell_books(&self, before: RepairCounters, now: RepairCounters, notices: &mut Notices) {
        let shard = self.shard;
        let new = |count: fn(&RepairCounters) -> u64| count(&now) - count(&before);
        let (fell, anew) = (new(|c| c.falls), new(|c| c.shard_rebuilds));
        let (back, lost) = (new(|c| c.repaired), new(|c| c.given_up));
        let told = [
            (Level::Error, fell, format!("{fell} books fell and are stale until repaired")),
            (Level::Error, anew, "its tables were made anew; all its books recover".to_owned()),
            (Level::Info, back, format!("{back} books are back")),
            (Level::Error, lost, format!("{lost} books stay down")),
        ];
        for (level, _, text) in told.into_iter().filter(|(_, count, _)| *count > 0) {
            notices.tell(level, About::shard(shard), format!("shard {shard}: {text}"));
        }
    }
}
