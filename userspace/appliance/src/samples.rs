//! What a hot thread copies for housekeeping when it is asked: plain numbers, nothing allocated.

use crate::config::LINES_MAX;
use crate::cycles::CycleCounters;
use crate::refresh::RefreshCounters;
use crate::repair::RepairCounters;
use crate::self_check::CheckCounters;
use crate::source::Drops;
use crate::worker::WorkerCounters;
use wirebook_feed::{ChannelCounters, LineCounters};
use wirebook_machine::{Counters, Limits, MachineCounters};
use wirebook_model::BookState;
use wirebook_telemetry::{Probe, ProbeReader};
use wirebook_wire::DecoderCounters;

/// A worker's counts.
#[derive(Clone, Copy, Debug, Default)]
pub struct WorkerSample {
    /// What it decoded.
    pub counters: WorkerCounters,
    /// What its own side of its sockets lost; the kernel's counts are the kernel's to ask for.
    pub drops: Drops,
    /// Times that it waited for a shard.
    pub backpressure: u64,
    /// Its cycles.
    pub cycles: CycleCounters,
}

/// A channel's counts.
#[derive(Clone, Copy, Debug)]
pub struct ChannelSample {
    /// What its books are told.
    pub state: BookState,
    /// The sequence of the next message to apply.
    pub next_sequence: u64,
    /// What arbitration counted.
    pub channel: ChannelCounters,
    /// What decoding bent.
    pub decoder: DecoderCounters,
    /// What each line brought.
    pub lines: [LineCounters; LINES_MAX],
}

/// A shard's counts.
#[derive(Clone, Copy, Debug)]
pub struct ShardSample {
    /// What the books counted.
    pub counters: Counters,
    /// How much of its limits is in use.
    pub in_use: Limits,
    /// What became of books that fell.
    pub repairs: RepairCounters,
    /// The self-check.
    pub check: CheckCounters,
    /// What was written for readers that missed something.
    pub refresh: RefreshCounters,
    /// Its cycles; none where the worker's thread is its own.
    pub cycles: CycleCounters,
}

/// Where a worker answers: for itself and for each of its channels.
pub struct WorkerProbes {
    /// For itself: the one that is asked.
    pub worker: Probe<WorkerSample>,
    /// For each channel, answered with it.
    pub channels: Vec<Probe<ChannelSample>>,
}

/// Where a shard answers: for its books and for each kind of its machines.
pub struct ShardProbes {
    /// For its books: the one that is asked.
    pub shard: Probe<ShardSample>,
    /// For each kind of machine, answered with it.
    pub machines: Vec<Probe<MachineCounters>>,
}

/// An end from which the newest answer can be looked at again and again.
pub struct Latest<T> {
    reader: ProbeReader<T>,
    latest: Option<T>,
}

impl<T: Copy + Send> Latest<T> {
    /// Nothing has been answered yet.
    pub fn new(reader: ProbeReader<T>) -> Self {
        Self { reader, latest: None }
    }

    /// Goes on with the newest answer of `before`, until there is one of its own.
    pub fn take_over(&mut self, before: Self) {
        self.latest = self.latest.or(before.latest);
    }

    /// Asks for a new answer.
    pub fn ask(&self) {
        self.reader.ask();
    }

    /// The newest answer so far.
    pub fn get(&mut self) -> Option<T> {
        self.latest = self.reader.take().or(self.latest);
        self.latest
    }
}
