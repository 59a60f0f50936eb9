//! The fast book is broken in its tables, and the model beside it must notice.

use dbn::flags;
use wirebook_model::EventHeader;

use super::*;
use crate::books::{Books, Limits};
use crate::hash_table::NIL;
use crate::levels::LevelEntry;
use crate::orders::OrderKey;

const INSTRUMENT: u32 = 4;

/// A book of two bids at 10, one at 9, an ask and an aggregated ask, and its model.
struct Pair {
    books: Books,
    shadow: Shadow,
    sequence: u64,
}

impl Pair {
    fn new() -> Self {
        let books = Books::new(Limits { instruments: 1, orders: 9, levels: 9 }).unwrap();
        let mut pair = Self { books, shadow: Shadow::new(0, INSTRUMENT), sequence: 0 };
        for (order_id, side, price) in
            [(1, Side::Bid, 10), (2, Side::Bid, 10), (3, Side::Bid, 9), (4, Side::Ask, 11)]
        {
            pair.apply(VenueEvent::Add { order_id, side, price, size: 5 });
        }
        pair.apply(VenueEvent::Level { side: Side::Ask, price: 12, size: 30 });
        pair
    }

    fn apply(&mut self, body: VenueEvent) {
        self.sequence += 1;
        let header = EventHeader {
            channel: 0,
            flags: flags::LAST,
            instrument_id: INSTRUMENT,
            sequence: self.sequence,
            ts_event: 0,
        };
        let event = Event { header, body };
        self.books.apply(&event, &mut ());
        self.shadow.apply(&event);
    }

    fn compare(&self) -> Result<(), Difference> {
        self.shadow.compare(self.books.book(0))
    }

    fn order(&self, id: u64) -> u32 {
        self.books.tables.orders.find(OrderKey { book: 0, id }).unwrap()
    }

    fn level(&mut self, id: u64) -> &mut LevelEntry {
        let level = self.books.tables.orders[self.order(id)].level;
        &mut self.books.tables.levels[level]
    }
}

#[test]
fn a_broken_book_is_found_at_the_next_event() {
    type Break = fn(&mut Pair);
    let breaks: [(&str, Break); 7] = [
        ("Bid level 0", |pair| pair.level(1).size += 1),
        ("Bid level 1", |pair| pair.level(3).price = 8),
        ("Ask level 0", |pair| pair.level(4).set_orders(2)),
        ("order 0 of all", |pair| {
            // The two bids at 10 change places.
            let (first, second) = (pair.order(1), pair.order(2));
            let orders = &mut pair.books.tables.orders;
            (orders[first].ahead, orders[first].behind) = (second, NIL);
            (orders[second].ahead, orders[second].behind) = (NIL, first);
            (pair.level(1).first, pair.level(1).last) = (second, first);
        }),
        ("order 1 of all", |pair| {
            // A queue that meets itself has no end; the comparison has one.
            let first = pair.order(1);
            pair.books.tables.orders[first].behind = first;
        }),
        ("order 3 of all", |pair| {
            let order = pair.order(4);
            pair.books.tables.orders[order].size -= 1;
        }),
        ("order 3 looked up", |pair| {
            let order = pair.order(3);
            pair.books.tables.orders.remove(order);
        }),
    ];
    for (says, break_it) in breaks {
        let mut pair = Pair::new();
        assert_eq!(pair.compare(), Ok(()));
        break_it(&mut pair);
        pair.apply(VenueEvent::Level { side: Side::Ask, price: 12, size: 31 });
        let difference = pair.compare().unwrap_err().to_string();
        assert!(difference.starts_with(says), "{difference}");
    }
}

#[test]
fn a_book_that_lacks_or_has_more_is_found() {
    let mut pair = Pair::new();
    let ask = Some(Level { price: 12, size: 30, orders: 0 });
    let event = |body| Event {
        header: EventHeader {
            channel: 0,
            flags: flags::LAST,
            instrument_id: INSTRUMENT,
            sequence: 9,
            ts_event: 0,
        },
        body,
    };
    let gone = event(VenueEvent::Level { side: Side::Ask, price: 12, size: 0 });
    pair.books.apply(&gone, &mut ());
    let lacks = Difference::Level { side: Side::Ask, at: 1, expected: ask, found: None };
    assert_eq!(pair.compare(), Err(lacks));
    pair.shadow.apply(&gone);
    assert_eq!(pair.compare(), Ok(()));
    pair.books.apply(&event(VenueEvent::Level { side: Side::Ask, price: 12, size: 30 }), &mut ());
    let more = Difference::Level { side: Side::Ask, at: 1, expected: None, found: ask };
    assert_eq!(pair.compare(), Err(more));
    pair.apply(VenueEvent::State(BookState::Healing));
    assert_eq!(pair.compare(), Ok(()), "a book that is not live is not compared");
}

#[test]
fn a_model_may_begin_with_a_book() {
    let mut pair = Pair::new();
    pair.apply(VenueEvent::Level { side: Side::Bid, price: 10, size: 7 });
    pair.shadow = Shadow::of(pair.books.book(0));
    assert_eq!(pair.compare(), Ok(()));
    pair.apply(VenueEvent::Level { side: Side::Bid, price: 10, size: 8 });
    pair.apply(VenueEvent::Delete { order_id: 2 });
    assert_eq!(pair.compare(), Ok(()));
    assert_eq!(pair.shadow.levels(Side::Bid).next().unwrap().size, 13);
}
