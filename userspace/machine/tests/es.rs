//! Real CME order-by-order flow: the records that leave are those that came, and the book is that
//! of a plain model at the end of every event.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::es;
use common::inverse::{events_of, mbo};
use common::plain::Plain;
use common::properties::{assert_levels, assert_same};
use wirebook_machine::{Books, Counters, Limits};
use wirebook_model::BookState;

const LIMITS: Limits = Limits { instruments: 4, orders: 20_000, levels: 4_000 };

#[test]
fn the_flow_comes_out_as_it_went_in() {
    let Some(records) = es::records() else { return };
    let mut books = Books::new(LIMITS).unwrap();
    books.set_publisher(0, 1);
    let mut plain = Plain::default();
    let mut out = Vec::new();
    for (at, record) in records.iter().enumerate() {
        for event in events_of(record) {
            books.apply(&event, &mut out);
        }
        assert_eq!(mbo(&out).collect::<Vec<_>>(), [record], "record {at}");
        out.clear();
        plain.apply_record(record);
        let book = books.get(0, es::INSTRUMENT).unwrap();
        assert_eq!(book.sequence(), u64::from(record.sequence));
        if record.flags.is_last() {
            assert_levels(book, &plain, 10);
            let expected =
                book.order(record.order_id).map(|_| plain.queue_position(record.order_id));
            let position = book.queue_position(record.order_id);
            assert_eq!(position.map(|at| (at.orders_ahead, at.size_ahead)), expected);
        }
        if at % 1_000 == 0 {
            assert_same(book, &plain);
        }
    }
    assert_same(books.get(0, es::INSTRUMENT).unwrap(), &plain);
}

#[test]
fn the_book_ends_as_is_known() {
    let Some(records) = es::records() else { return };
    let mut books = Books::new(LIMITS).unwrap();
    for event in records.iter().flat_map(events_of) {
        books.apply(&event, &mut ());
    }
    let book = books.get(0, es::INSTRUMENT).unwrap();
    assert_eq!((book.bids().count(), book.asks().count()), (922, 565));
    let (bid, ask) = book.best();
    assert_eq!(bid.unwrap().price, 4_810_000_000_000);
    assert_eq!(ask.unwrap().price, 4_810_250_000_000);
    assert_eq!(book.sequence(), 59_585);
    assert_eq!(book.orders().count(), 11_217);
    assert_eq!(book.state(), BookState::Live);
    assert_eq!(books.in_use(), Limits { instruments: 1, orders: 11_217, levels: 922 + 565 });
    let count = records.len() as u64;
    let plain = Counters {
        events: 2 * count,
        packets: count,
        records: count,
        crossed_events: books.counters().crossed_events,
        ..Counters::default()
    };
    assert_eq!(*books.counters(), plain);
    assert!(plain.crossed_events > 0, "the flow is crossed before the open");
}

#[test]
fn a_limit_that_is_too_small_marks_the_book() {
    let Some(records) = es::records() else { return };
    for limits in [Limits { orders: 5_000, ..LIMITS }, Limits { levels: 500, ..LIMITS }] {
        let mut books = Books::new(limits).unwrap();
        let mut out = Vec::new();
        for event in records.iter().flat_map(events_of) {
            books.apply(&event, &mut out);
        }
        let book = books.get(0, es::INSTRUMENT).unwrap();
        assert!(book.over_limit());
        assert_eq!(book.state(), BookState::Stale);
        let counters = books.counters();
        assert!(counters.order_limit_hits + counters.level_limit_hits > 0);
        assert!(mbo(&out).last().unwrap().flags.is_maybe_bad_book());
        let mut plain = Plain::default();
        mbo(&out).for_each(|record| plain.apply_record(record));
        assert_same(book, &plain);
    }
}
