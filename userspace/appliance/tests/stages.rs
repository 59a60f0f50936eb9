//! The hot stages without a wire: full rings, and the order in which a run is taken down.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::SimulatedMarket;
use std::sync::Arc;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use wirebook::config::Idle;
use wirebook::handover::handover;
use wirebook::incidents::incidents;
use wirebook::lines::{ChannelSpec, Lines};
use wirebook::progress::{Awaits, Progress, ProgressWatch, Told};
use wirebook::published::Published;
use wirebook::router::{Mailbox, Router};
use wirebook::samples::ShardProbes;
use wirebook::shard::Shard;
use wirebook::stages::{Batch, Output, OutputRing, RingMailbox, ShardStage};
use wirebook::worker::Worker;
use wirebook_machine::Limits;
use wirebook_model::RecordSink;
use wirebook_model::dbn::RecordRef;
use wirebook_shm::ring::Cursor;
use wirebook_shm::{board, ring};
use wirebook_telemetry::{HistogramCollector, probe};
use wirebook_wire::Protocol;

const LIMITS: Limits = Limits { instruments: 16, orders: 10_000, levels: 10_000 };

/// A worker and the shard behind its mailbox of `slots`.
fn stages(
    slots: usize,
    shard_gone: &Arc<AtomicBool>,
) -> (Worker<RingMailbox>, ShardStage<OutputRing>) {
    let (output, _) = ring::open(1 << 10).unwrap();
    let progress = [Progress::default(), Progress::default()];
    stages_into(OutputRing::new(output, Published::default()), slots, shard_gone, progress)
}

/// The same, into any sink, with the progress of both.
fn stages_into<S: Output>(
    sink: S,
    slots: usize,
    shard_gone: &Arc<AtomicBool>,
    [worker_progress, progress]: [Progress; 2],
) -> (Worker<RingMailbox>, ShardStage<S>) {
    let (writer, reader) = ring::gated(slots).unwrap();
    let mailbox = RingMailbox::new(writer, Arc::clone(shard_gone));
    let router = Router::new(vec![mailbox.with_progress(worker_progress, 7)]);
    let lines = Lines::any_destination(ChannelSpec::of_protocol(Protocol::Itch50));
    let mut histograms = HistogramCollector::new();
    let stage = ShardStage {
        mailboxes: vec![reader],
        shard: Shard::new(LIMITS, sink).unwrap(),
        board: board::board(LIMITS.instruments).0,
        publishers: [0; 256],
        worker_to_shard: Some(histograms.recorder("worker→shard")),
        to_published: histograms.recorder("shard→published"),
        probes: ShardProbes { shard: probe().0, machines: Vec::new() },
        progress,
        idle: Idle::SpinThenYield,
        batch: Batch::default(),
        cycles: wirebook::cycles::Cycles::default(),
        changes: handover().1,
        incidents: incidents(0, Vec::new()).0,
        refresh: None,
        waker: None,
    };
    (Worker::new(lines, LIMITS.instruments, router).unwrap(), stage)
}

fn send(worker: &mut Worker<RingMailbox>, market: &SimulatedMarket) {
    for (ts_recv, frame) in &market.frames {
        worker.frame(frame, *ts_recv, 0);
    }
}

fn assert_books(stage: &ShardStage<OutputRing>, market: &SimulatedMarket) {
    for (symbol, id) in market.symbols().iter().zip(1..) {
        let expected = market.market.expected_book(symbol).unwrap();
        let book = stage.shard.books().get(0, id).unwrap();
        let level = |level: wirebook_machine::Level| {
            (level.price / 100_000, level.size, u64::from(level.orders))
        };
        assert!(book.bids().map(level).eq(common::plain_levels(&expected.bids)), "{symbol}");
        assert!(book.asks().map(level).eq(common::plain_levels(&expected.asks)), "{symbol}");
    }
}

#[test]
fn a_shard_that_is_told_to_stop_empties_its_mailbox_first() {
    let market = SimulatedMarket::new(81, 6, 3_000);
    let (mut worker, mut stage) = stages(1 << 14, &Arc::default());
    send(&mut worker, &market);
    stage.run(&AtomicBool::new(true));
    assert!(stage.mailboxes[0].pop().is_none());
    assert_books(&stage, &market);
}

#[test]
fn a_full_mailbox_holds_the_worker_back_and_loses_nothing() {
    let market = SimulatedMarket::new(82, 6, 5_000);
    let (mut worker, mut stage) = stages(64, &Arc::default());
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let shard = scope.spawn(|| {
            stage.run(&stop);
        });
        send(&mut worker, &market);
        stop.store(true, Ordering::Release);
        shard.join().unwrap();
    });
    assert_books(&stage, &market);
    let [mailbox] = worker.into_mailboxes().collect::<Vec<_>>().try_into().ok().unwrap();
    assert!(mailbox.backpressure() > 0);
    assert_eq!(mailbox.undelivered(), 0);
}

#[test]
fn a_worker_outlives_its_shard_and_counts_what_it_did_not_take() {
    let market = SimulatedMarket::new(83, 6, 1_000);
    let (mut worker, stage) = stages(64, &Arc::new(AtomicBool::new(true)));
    send(&mut worker, &market);
    let [mailbox] = worker.into_mailboxes().collect::<Vec<_>>().try_into().ok().unwrap();
    assert!(mailbox.undelivered() > 900, "{}", mailbox.undelivered());
    drop(stage);
}

/// Blocks at its first record until both ends of the barrier have come.
struct Blocking {
    barrier: Arc<Barrier>,
    has_blocked: bool,
}

impl RecordSink for Blocking {
    fn record(&mut self, _: RecordRef<'_>) {
        if !std::mem::replace(&mut self.has_blocked, true) {
            self.barrier.wait();
        }
    }
}

impl Output for Blocking {
    fn cursor(&self) -> Cursor {
        Cursor::default()
    }

    fn mark_shown(&self) {}
}

#[test]
fn threads_that_stand_are_told_with_what_they_await() {
    // No busy host leaves a thread without a turn for so long.
    const NO_PROGRESS: Duration = Duration::from_secs(1);
    let market = SimulatedMarket::new(84, 6, 3_000);
    let mut watch = ProgressWatch::new(NO_PROGRESS);
    let now = Instant::now();
    let [worker_progress, shard_progress] =
        ["worker-w0", "shard-7"].map(|name| watch.add(name.into(), now));
    let barrier = Arc::new(Barrier::new(2));
    let sink = Blocking { barrier: Arc::clone(&barrier), has_blocked: false };
    let ends = [worker_progress.clone(), shard_progress];
    let (mut worker, mut stage) = stages_into(sink, 64, &Arc::default(), ends);
    let stop = AtomicBool::new(false);
    let (mut stalled, moved, quiet) = std::thread::scope(|scope| {
        scope.spawn(|| {
            stage.run(&stop);
        });
        scope.spawn(|| {
            for (ts_recv, frame) in &market.frames {
                worker_progress.cycle();
                worker.frame(frame, *ts_recv, 0);
            }
            // As a worker on a quiet wire.
            while !stop.load(Ordering::Relaxed) {
                worker_progress.cycle();
                worker_progress.awaits(Awaits::Packets);
                std::thread::sleep(Duration::from_millis(10));
            }
        });
        // Nothing is asserted while a thread waits for the barrier: the test would wait for it too.
        let stalled = look_for(&mut watch, 2, Duration::from_secs(10));
        barrier.wait();
        let moved = look_for(&mut watch, 2, Duration::from_secs(10));
        let quiet = look_for(&mut watch, 1, 2 * NO_PROGRESS);
        stop.store(true, Ordering::Release);
        (stalled, moved, quiet)
    });
    stalled.sort_by(|a, b| a.name.cmp(&b.name));
    let awaits: Vec<_> = stalled.iter().map(|told| (told.name.as_str(), told.awaits)).collect();
    let expected = [("shard-7", Some(Awaits::Nothing)), ("worker-w0", Some(Awaits::Room(7)))];
    assert_eq!(awaits, expected);
    assert!(stalled.iter().all(|told| told.stood >= NO_PROGRESS));
    assert_eq!(moved.len(), 2);
    assert!(moved.iter().all(|told| told.awaits.is_none()), "both move on: {moved:?}");
    assert_eq!(quiet, [], "a quiet wire is no stall");
    assert_eq!(watch.stalls(), 2);
}

/// What is told until it is so much, or the time is over.
fn look_for(watch: &mut ProgressWatch, count: usize, patience: Duration) -> Vec<Told> {
    let began = Instant::now();
    let mut told = Vec::new();
    while told.len() < count && began.elapsed() < patience {
        told.extend(watch.look(Instant::now()));
        std::thread::sleep(Duration::from_millis(20));
    }
    told
}
