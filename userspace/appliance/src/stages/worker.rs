//! A worker on its thread, cycle by cycle.
//!
//! Arrives: what its source has, one batch a cycle, and changes that housekeeping has made. Leaves: events
//! in its mailboxes, and packets in the ring to their recorder; in cycles that find nothing, what
//! housekeeping asks for. Promises: after a stop it takes what had already arrived, within reason.

use crate::clock;
use crate::config::Idle;
use crate::cycles::{Cycles, Found};
use crate::handover::Taker;
use crate::idle::Waiter;
use crate::progress::{Awaits, Progress};
use crate::recorder::PacketWriter;
use crate::router::Mailbox;
use crate::samples::{ChannelSample, WorkerProbes, WorkerSample};
use crate::source::{SocketChange, Source};
use crate::stages::RingMailbox;
use crate::worker::{ChannelChange, Worker};
use std::sync::atomic::{AtomicBool, Ordering};
use wirebook_model::UnixNanos;
use wirebook_telemetry::{Probe, StageHistogram};

/// Polls after a stop, at most, for what had already arrived.
const LAST_POLLS: usize = 1_024;

/// Idle cycles between two looks at the kernel's clock offset: seconds, at some 100 ns a cycle.
const CYCLES_A_CLOCK: u32 = 1 << 24;

/// What a worker takes in while it runs.
pub enum WorkerChange {
    /// Other sockets.
    Sockets(SocketChange),
    /// Other channels and lines, and the probes of all channels.
    Channels(ChannelChange, Vec<Probe<ChannelSample>>),
}

/// A worker on its thread: behind it rings to the shards, or the one shard that shares the thread.
pub struct WorkerStage<M = RingMailbox> {
    /// Where its packets come from.
    pub source: Source,
    /// What decodes them.
    pub worker: Worker<M>,
    /// The ring to the recorder of packets, where there is one.
    pub packets: Option<PacketWriter>,
    /// From arrival to the start of decoding.
    pub wire_to_worker: StageHistogram,
    /// Answer housekeeping.
    pub probes: WorkerProbes,
    /// What housekeeping has made for it.
    pub changes: Taker<WorkerChange>,
    /// Says that it moves.
    pub progress: Progress,
    /// How long it takes a turn.
    pub cycles: Cycles,
    /// How it waits.
    pub idle: Idle,
}

impl<M: Mailbox> WorkerStage<M> {
    /// Runs until `stop`, and then until nothing is left that had arrived, within reason; `ended`
    /// says that every channel's session has ended.
    pub fn run(&mut self, stop: &AtomicBool, ended: &AtomicBool) {
        let mut waiter = Waiter::new(self.idle);
        let mut until_clock = CYCLES_A_CLOCK;
        while !stop.load(Ordering::Relaxed) {
            self.progress.cycle();
            let (taken, last) = self.poll();
            // Where packets came, one of them is as recent as a look at the clock.
            let now = if taken.any() { last } else { clock::now() };
            let found = if self.worker.tick(now) { taken.and(Found::Some) } else { taken };
            self.probes.worker.answer(|| self.sample());
            self.worker.end_cycle(found);
            let found = found.any();
            self.cycles.end(found, now);
            self.change(found);
            if !found {
                self.wire_to_worker.hand_over();
                self.worker.hand_over();
                ended.store(self.worker.all_ended(), Ordering::Relaxed);
                until_clock -= 1;
                if until_clock == 0 {
                    until_clock = CYCLES_A_CLOCK;
                    self.source.refresh_clock();
                }
            }
            if !found {
                self.progress.awaits(Awaits::Packets);
            }
            if waiter.cycle(found, || self.source.sleep(self.worker.patience())) {
                self.cycles.awoke(clock::now());
            }
        }
        for _ in 0..LAST_POLLS {
            let (found, _) = self.poll();
            self.worker.end_cycle(found);
            if !found.any() {
                return;
            }
        }
    }

    #[inline]
    fn change(&mut self, found: bool) {
        self.changes.cycle(found, |change| match change {
            WorkerChange::Sockets(change) => self.source.exchange(change),
            WorkerChange::Channels(change, probes) => {
                self.worker.exchange(change, clock::now());
                std::mem::swap(&mut self.probes.channels, probes);
            }
        });
    }

    #[cold]
    fn sample(&self) -> WorkerSample {
        for (probe, sample) in self.probes.channels.iter().zip(self.worker.samples()) {
            probe.give(sample);
        }
        WorkerSample {
            counters: self.worker.counters(),
            drops: self.source.own_drops(),
            backpressure: self.worker.mailboxes().map(Mailbox::backpressure).sum(),
            cycles: self.cycles.counters(),
        }
    }

    #[inline]
    fn poll(&mut self) -> (Found, UnixNanos) {
        self.source.poll(&mut self.worker, &mut self.wire_to_worker, self.packets.as_mut())
    }
}
