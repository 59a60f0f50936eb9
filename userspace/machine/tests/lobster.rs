//! Real Nasdaq order flow: the ten levels of each of the 999 rows.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::lobster::{self, INSTRUMENT, Kind, LEVELS, Step, event};
use wirebook_machine::{Book, Books, Counters, Level, Limits};
use wirebook_model::price::PER_FOUR_DECIMALS;

#[test]
fn every_row_is_met() {
    let Some(steps) = lobster::steps() else { return };
    assert_eq!(steps.len(), 999);
    let mut books = Books::new(Limits { instruments: 1, orders: 2_000, levels: 500 }).unwrap();
    let (mut sequence, mut made_up, mut executions_at_front) = (0, 0, 0);
    for (at, step) in steps.iter().enumerate() {
        for message in &step.made_up {
            sequence += 1;
            books.apply(&event(message, sequence), &mut ());
            made_up += 1;
        }
        if at > 0 {
            // What is made up shows nowhere.
            assert_shows(books.get(0, INSTRUMENT).unwrap(), &steps[at - 1], at);
        }
        if step.message.kind == Kind::Execute {
            let book = books.get(0, INSTRUMENT).unwrap();
            let position = book.queue_position(step.message.order_id).unwrap();
            executions_at_front += u64::from(position.orders_ahead == 0);
        }
        sequence += 1;
        books.apply(&event(&step.message, sequence), &mut ());
        assert_shows(books.get(0, INSTRUMENT).unwrap(), step, at);
    }
    let executions = steps.iter().filter(|step| step.message.kind == Kind::Execute).count() as u64;
    assert_eq!(executions_at_front, executions, "an exchange executes the oldest order first");
    let clean =
        Counters { events: sequence, records: books.counters().records, ..Counters::default() };
    assert_eq!(*books.counters(), clean);
    assert_eq!(clean.records, 999 + made_up + 2 * executions);
}

fn assert_shows(book: Book<'_>, step: &Step, at: usize) {
    let level = |level: Level| ((level.price / PER_FOUR_DECIMALS) as u32, level.size);
    assert!(book.bids().take(LEVELS).map(level).eq(step.bids), "bids of row {at}");
    assert!(book.asks().take(LEVELS).map(level).eq(step.asks), "asks of row {at}");
}
