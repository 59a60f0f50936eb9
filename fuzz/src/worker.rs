//! Frames through worker, channel and shard, as a replay sends them.
//!
//! Holds for any frames: each is counted once, as one of ours, as another's or as malformed; and the
//! books at the end are in order.

use wirebook::lines::{ChannelSpec, Lines};
use wirebook::router::Router;
use wirebook::shard::Shard;
use wirebook::worker::Worker;
use wirebook_machine::Limits;
use wirebook_wire::Protocol;

const LIMITS: Limits = Limits { instruments: 4, orders: 32, levels: 32 };
const START_NS: u64 = 1_700_000_000_000_000_000;

/// A protocol, then frames, each behind its length in two bytes and its lateness in one.
pub(crate) fn frames(data: &[u8]) {
    let Some((&protocol, mut rest)) = data.split_first() else { return };
    let protocol = Protocol::ALL[usize::from(protocol) % Protocol::ALL.len()];
    let shard = Shard::new(LIMITS, ()).expect("small tables");
    let lines = Lines::any_destination(ChannelSpec::of_protocol(protocol));
    let router = Router::new(vec![shard]);
    let mut worker = Worker::new(lines, 4, router).expect("the zone of Nasdaq's midnight");
    let (mut now_ns, mut sent) = (START_NS, 0);
    while let Some((&[low, high, late], after)) = rest.split_first_chunk() {
        let length = usize::from(u16::from_le_bytes([low, high])).min(after.len());
        let (frame, after) = after.split_at(length);
        rest = after;
        now_ns += u64::from(late) * 100_000;
        worker.frame(frame, now_ns, 0);
        sent += 1;
        let counted = worker.counters();
        let is_ours_or_not = counted.packets + counted.other_packets;
        assert!(is_ours_or_not <= sent && is_ours_or_not + counted.malformed_packets >= sent);
        assert!(counted.malformed_packets <= sent);
        assert!(counted.heartbeats + counted.ends_of_session <= counted.packets);
    }
    worker.give_up_waiting();
    let known = worker.counters().messages;
    for shard in worker.into_mailboxes() {
        let resting: usize = shard.books().iter().map(|book| book.orders().count()).sum();
        assert_eq!(shard.books().in_use().orders, resting);
        assert!(resting as u64 <= known, "an order for each message at most");
        for book in shard.books().iter() {
            assert!(book.bids().map(|level| level.price).is_sorted_by(|a, b| a > b));
            assert!(book.asks().map(|level| level.price).is_sorted_by(|a, b| a < b));
        }
    }
}
