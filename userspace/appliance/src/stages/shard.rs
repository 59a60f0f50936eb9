//! A shard on its thread: turn by turn, a batch of events from each mailbox into its books.
//!
//! Arrives: events in mailboxes, and changes that housekeeping has made. Leaves: records in its sink,
//! books on the board ([`show`](super::show)), latencies; in cycles that find nothing, what housekeeping
//! asks for and whole books in the refresh ring. Promises: a panic costs the book it struck, and the
//! events behind it are applied.

use super::batch::BATCH_EVENTS;
use crate::clock;
use crate::config::Idle;
use crate::cycles::{Cycles, Found};
use crate::handover::Taker;
use crate::idle::{Waiter, nap};
use crate::incidents::IncidentSender;
use crate::lines::ChannelSpec;
use crate::progress::{Awaits, Progress};
use crate::refresh::Refresh;
use crate::repair::Demands;
use crate::samples::{ShardProbes, ShardSample};
use crate::shard::Shard;
use crate::stages::{Batch, Output, ShardSink};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use wirebook_model::Packet;
use wirebook_shm::Waker;
use wirebook_shm::board::BoardWriter;
use wirebook_shm::ring::GatingReader;
use wirebook_telemetry::StageHistogram;

/// Events taken from one mailbox before the next one has its turn.
const EVENTS_A_TURN: usize = 256;

/// What a shard takes in while it runs.
#[derive(Default)]
pub struct ShardChange {
    /// Channels that are new or have changed, and the ways to their workers.
    pub set: Vec<(ChannelSpec, Demands)>,
    /// Numbers of channels that are no longer received.
    pub retired: Vec<u8>,
}

/// A shard on a thread of its own, or on its worker's.
pub struct ShardStage<S = ShardSink> {
    /// One ring a worker; none on the worker's thread.
    pub mailboxes: Vec<GatingReader>,
    /// The books.
    pub shard: Shard<S>,
    /// Where their tops are shown.
    pub board: BoardWriter,
    /// DBN publisher of each channel, for the board.
    pub publishers: [u16; 256],
    /// From the start of decoding to the shard; nothing is between them on the worker's thread.
    pub worker_to_shard: Option<StageHistogram>,
    /// To the last record's place in the output ring: from the shard, or from the start of decoding
    /// on the worker's thread.
    pub to_published: StageHistogram,
    /// Answer housekeeping.
    pub probes: ShardProbes,
    /// Says that it moves.
    pub progress: Progress,
    /// How long it takes a turn on a thread of its own.
    pub cycles: Cycles,
    /// How it waits.
    pub idle: Idle,
    /// Events out of a mailbox, on their way into the books.
    pub batch: Batch,
    /// What housekeeping has made for it.
    pub changes: Taker<ShardChange>,
    /// Tells housekeeping what fell and came back.
    pub incidents: IncidentSender,
    /// Shows whole books to readers that missed some of their records.
    pub refresh: Option<Refresh>,
    /// Wakes readers that sleep, where they are to be woken.
    pub waker: Option<Waker>,
}

impl<S: Output> ShardStage<S> {
    /// Runs until `stop`, and then until its mailboxes are empty.
    pub fn run(&mut self, stop: &AtomicBool) {
        let mut waiter = Waiter::new(self.idle);
        loop {
            self.progress.cycle();
            let stopping = stop.load(Ordering::Acquire);
            // Unwind safety: what a panic may have torn is put into quarantine or made anew.
            let found = match catch_unwind(AssertUnwindSafe(|| self.take_turns())) {
                Ok(found) => found,
                Err(_) => self.recover(),
            };
            let found = found.any();
            let now = if found { self.batch.published_at } else { clock::now() };
            self.cycles.end(found, now);
            self.tend(found);
            if !found {
                if stopping {
                    return;
                }
                self.progress.awaits(Awaits::Events);
            }
            if waiter.cycle(found, nap) {
                self.cycles.awoke(clock::now());
            }
        }
    }

    /// What a cycle ends with, beside events.
    #[inline]
    pub(super) fn tend(&mut self, found: bool) {
        self.probes.shard.answer(|| self.sample());
        if self.shard.is_repairing() {
            self.shard.tend(clock::now());
        }
        self.change(found);
        if !found {
            self.worker_to_shard.iter_mut().for_each(StageHistogram::hand_over);
            self.to_published.hand_over();
            self.incidents.send(&mut self.shard);
            self.refresh();
        }
    }

    #[inline]
    fn change(&mut self, found: bool) {
        self.changes.cycle(found, |ShardChange { set, retired }| {
            for (spec, demands) in set {
                self.publishers[usize::from(spec.number)] = spec.publisher_id;
                self.shard.set_channel(spec);
                self.shard.set_demands(spec.number, demands);
            }
            retired.iter().for_each(|number| self.shard.retire_channel(*number));
        });
    }

    /// Goes on after a panic; the events not applied yet still lie in the batch and in their mailbox.
    #[cold]
    pub(super) fn recover(&mut self) -> Found {
        self.batch.began.clear();
        self.shard.tend(clock::now());
        if let Err(error) = self.shard.recover() {
            panic!("a shard that fell cannot be made anew: {error}");
        }
        Found::Some
    }

    #[cold]
    fn sample(&self) -> ShardSample {
        for (probe, (_, counters)) in
            self.probes.machines.iter().zip(self.shard.machines().counters())
        {
            probe.give(counters);
        }
        ShardSample {
            counters: *self.shard.books().counters(),
            in_use: self.shard.books().in_use(),
            repairs: self.shard.repair_counters(),
            check: self.shard.check_counters(),
            refresh: self.refresh.as_ref().map(Refresh::counters).unwrap_or_default(),
            cycles: self.cycles.counters(),
        }
    }

    fn refresh(&mut self) {
        if let Some(refresh) = &mut self.refresh {
            let cursor = self.shard.sink().cursor();
            refresh.tend(self.shard.books(), cursor, clock::now(), clock::now);
            refresh.hand_over();
        }
    }

    fn take_turns(&mut self) -> Found {
        self.shard.resume();
        let mut found = Found::of(self.batch.events.left(), BATCH_EVENTS + 1);
        self.apply_batch();
        for mailbox in 0..self.mailboxes.len() {
            found = found.and(self.turn(mailbox));
        }
        self.show(found);
        found
    }

    fn turn(&mut self, mailbox: usize) -> Found {
        // A panic may have left the times of another mailbox's packets.
        self.batch.began.clear();
        let mut taken = 0;
        while taken < EVENTS_A_TURN {
            let slots = self.batch.fill(&mut self.mailboxes[mailbox], self.shard.books());
            if slots == 0 {
                break;
            }
            self.batch.taken_at = if taken == 0 { clock::now() } else { self.batch.published_at };
            taken += slots;
            self.apply_batch();
        }
        self.end_packet();
        Found::of(taken, EVENTS_A_TURN)
    }

    /// Applies what is left of the batch: all of it, but behind a panic. One look at the clock says when
    /// it was published: its packets are counted as published then, some a little late.
    #[inline]
    pub(super) fn apply_batch(&mut self) {
        if self.batch.events.left() == 0 {
            return;
        }
        // What is given is not given again, so an event that panics is not applied again.
        while let Some(expected) = self.batch.events.next(self.shard.books()) {
            if let Some(&Packet { ts_worker, .. }) = expected.packet() {
                let mut began = ts_worker;
                if let Some(worker_to_shard) = &mut self.worker_to_shard {
                    began = self.batch.taken_at;
                    worker_to_shard.record(began.saturating_sub(ts_worker));
                }
                self.batch.began.push(began);
                self.shard.set_now(began);
            }
            self.shard.apply_expected(expected);
        }
        self.batch.published_at = clock::now();
        let whole = self.batch.began.len().saturating_sub(1);
        self.publish_packets(whole);
    }

    /// Everything that was taken is published.
    #[inline]
    pub(super) fn end_packet(&mut self) {
        self.publish_packets(self.batch.began.len());
    }

    /// The first packets of those that began are published.
    #[inline]
    fn publish_packets(&mut self, count: usize) {
        let published_at = self.batch.published_at;
        for began in self.batch.began.drain(..count) {
            self.to_published.record(published_at.saturating_sub(began));
        }
    }
}
