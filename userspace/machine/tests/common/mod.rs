//! What several tests share: the data, plain books to compare with, the way back from records.
#![allow(dead_code, reason = "each test uses a part")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

pub(crate) mod draw;
pub(crate) mod es;
pub(crate) mod lobster;
pub(crate) mod plain;

use std::path::PathBuf;

use dbn::{Action, MboMsg, RecordBuf, flags};
use wirebook_machine::Book;
use wirebook_model::{Event, EventHeader, Packet, Side, VenueEvent};

/// A file of the test data; `None`, with a line that says so, where it is absent.
pub(crate) fn data(path: &str) -> Option<PathBuf> {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data");
    let folder = std::env::var_os("WIREBOOK_DATA").map_or_else(|| beside.into(), PathBuf::from);
    let file = folder.join(path);
    if !file.exists() {
        eprintln!("SKIP: no test data at {}", file.display());
        return None;
    }
    Some(file)
}

/// The `MboMsg`s among `records`.
pub(crate) fn mbo(records: &[RecordBuf]) -> impl Iterator<Item = &MboMsg> {
    records.iter().filter_map(|record| record.get::<MboMsg>())
}

/// The packet and the event that `record` came from, by DBN's rules read backwards.
pub(crate) fn events_of(record: &MboMsg) -> [Event; 2] {
    let ts_recv = record.ts_recv;
    let ts_sent = ts_recv.wrapping_add_signed(-i64::from(record.ts_in_delta));
    let header = EventHeader {
        channel: record.channel_id,
        flags: record.flags.raw() & !(flags::MBP | flags::TOB),
        instrument_id: record.hd.instrument_id,
        sequence: u64::from(record.sequence),
        ts_event: record.hd.ts_event,
    };
    let packet = VenueEvent::Packet(Packet { ts_recv, ts_sent, ts_worker: 0 });
    [Event { header, body: packet }, Event { header, body: body_of(record) }]
}

fn body_of(record: &MboMsg) -> VenueEvent {
    let MboMsg { order_id, price, size, .. } = *record;
    let side = record.side().unwrap();
    let (mbp, tob) = (record.flags.is_mbp(), record.flags.is_tob());
    match record.action().unwrap() {
        Action::Add if tob => VenueEvent::Top { side, price, size },
        Action::Add | Action::Modify if mbp => VenueEvent::Level { side, price, size },
        Action::Cancel if mbp => VenueEvent::Level { side, price, size: 0 },
        Action::Add => VenueEvent::Add { order_id, side, price, size },
        Action::Modify => VenueEvent::Modify { order_id, side, price, size },
        Action::Cancel => VenueEvent::Reduce { order_id, size },
        Action::Clear => VenueEvent::Clear,
        Action::Trade => VenueEvent::Trade { side, price, size, order_id, match_id: 0 },
        Action::Fill => VenueEvent::Fill { order_id, side, price, size },
        Action::None => VenueEvent::TradeBreak { match_id: order_id, price, size },
    }
}

/// Compares the best `levels` levels of both sides.
pub(crate) fn assert_levels(book: Book<'_>, plain: &plain::Plain, levels: usize) {
    let ours = book.bids().map(|level| (level.price, level.size, level.orders));
    assert!(ours.take(levels).eq(plain.levels(Side::Bid).take(levels)), "bids differ");
    let ours = book.asks().map(|level| (level.price, level.size, level.orders));
    assert!(ours.take(levels).eq(plain.levels(Side::Ask).take(levels)), "asks differ");
}

/// Compares every level, and every order with its place in the queue.
pub(crate) fn assert_same(book: Book<'_>, plain: &plain::Plain) {
    assert_levels(book, plain, usize::MAX);
    let ours: Vec<_> =
        book.orders().map(|order| (order.side, order.price, order.order_id, order.size)).collect();
    assert_eq!(ours, plain.orders());
    for order in book.orders() {
        assert_eq!(book.order(order.order_id), Some(order));
        let position = book.queue_position(order.order_id).unwrap();
        let expected = plain.queue_position(order.order_id);
        assert_eq!((position.orders_ahead, position.size_ahead), expected);
    }
}
