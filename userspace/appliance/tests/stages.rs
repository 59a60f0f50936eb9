//! The hot stages without a wire: full rings, and the order in which a run is taken down.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::SimulatedMarket;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use wirebook::config::Idle;
use wirebook::incidents::incidents;
use wirebook::lines::{ChannelSpec, Lines};
use wirebook::router::Router;
use wirebook::shard::Shard;
use wirebook::stages::{OutputRing, RingMailbox, ShardSink, ShardStage};
use wirebook::worker::Worker;
use wirebook_machine::Limits;
use wirebook_shm::{board, ring};
use wirebook_telemetry::{HistogramCollector, probe};
use wirebook_wire::Protocol;

const LIMITS: Limits = Limits { instruments: 16, orders: 10_000, levels: 10_000 };

/// A worker and the shard behind its mailbox of `slots`.
fn stages(slots: usize, shard_gone: &Arc<AtomicBool>) -> (Worker<RingMailbox>, ShardStage) {
    let (writer, reader) = ring::gated(slots).unwrap();
    let (output, _) = ring::open(1 << 10).unwrap();
    let router = Router::new(vec![RingMailbox::new(writer, Arc::clone(shard_gone))]);
    let lines = Lines::any_destination(ChannelSpec::of_protocol(Protocol::Itch50));
    let mut histograms = HistogramCollector::new();
    let stage = ShardStage {
        mailboxes: vec![reader],
        shard: Shard::new(LIMITS, ShardSink { output: OutputRing::new(output), journal: None })
            .unwrap(),
        board: board::board(LIMITS.instruments).0,
        publishers: [0; 256],
        worker_to_shard: histograms.recorder("worker→shard"),
        shard_to_published: histograms.recorder("shard→published"),
        probe: probe().0,
        idle: Idle::SpinThenYield,
        bad_slots: 0,
        incidents: incidents(0, Vec::new()).0,
    };
    (Worker::new(lines, LIMITS.instruments, router).unwrap(), stage)
}

fn send(worker: &mut Worker<RingMailbox>, market: &SimulatedMarket) {
    for (ts_recv, frame) in &market.frames {
        worker.frame(frame, *ts_recv, 0);
    }
}

fn assert_books(stage: &ShardStage, market: &SimulatedMarket) {
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
