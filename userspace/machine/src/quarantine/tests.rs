//! Books are torn in every way that their tables allow; the others must not notice.

use dbn::flags;
use proptest::prelude::*;
use wirebook_model::{ALL_INSTRUMENTS, Event, EventHeader, Side, VenueEvent};

use super::*;
use crate::books::Limits;
use crate::hash_table::NIL;
use crate::orders::{OrderEntry, OrderKey};
use crate::side::RestingSide;

const LIMITS: Limits = Limits { instruments: 4, orders: 300, levels: 200 };

/// The number of the book that is torn; its instrument is one more.
const TORN: u32 = 1;

fn event(instrument_id: u32, sequence: u64, body: VenueEvent) -> Event {
    let header =
        EventHeader { channel: 0, flags: flags::LAST, instrument_id, sequence, ts_event: sequence };
    Event { header, body }
}

/// Adds, executions and deletions of three instruments, from the `from`-th on.
fn flow(from: u64, count: u64) -> impl Iterator<Item = Event> {
    (from..from + count).map(|at| {
        let id = at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        let body = match id % 5 {
            0 => VenueEvent::Delete { order_id: id % 61 },
            1 => VenueEvent::Reduce { order_id: id % 61, size: 3 },
            2 => VenueEvent::Level { side: Side::Ask, price: 60 + at as i64 % 7, size: 5 },
            _ => {
                let (side, base) = if id % 2 == 0 { (Side::Bid, 1) } else { (Side::Ask, 50) };
                let price = base + (id >> 8) as i64 % 14;
                VenueEvent::Add { order_id: id % 61, side, price, size: 1 + id as u32 % 9 }
            }
        };
        event(1 + at as u32 % 3, at, body)
    })
}

fn after_flow() -> Books {
    let mut books = Books::new(LIMITS).unwrap();
    flow(0, 400).for_each(|event| books.apply(&event, &mut ()));
    assert!(books.iter().all(|book| book.orders().count() > 5));
    books
}

/// The digests of the books that are not torn.
fn others(books: &Books) -> [u64; 2] {
    [0, 2].map(|number| books.book(number).digest())
}

/// Asserts that the torn book is gone and nothing else is, now and later.
fn assert_confined(mut books: Books, what: &str) {
    let mut control = after_flow();
    books.quarantine(TORN, StaleReason::Fault);
    let torn = books.book(TORN);
    assert_eq!((torn.state(), torn.stale_reason()), (BookState::Stale, StaleReason::Fault));
    assert_eq!((torn.orders().count(), torn.best()), (0, (None, None)), "{what}");
    assert_eq!(others(&books), others(&control), "{what}");

    let before = books.counters.quarantined_events;
    for event in flow(400, 200) {
        books.apply(&event, &mut ());
        control.apply(&event, &mut ());
    }
    assert_eq!(others(&books), others(&control), "{what}");
    assert!(books.counters.quarantined_events > before + 50);
    assert_eq!(books.book(TORN).orders().count(), 0);

    books.readmit(TORN, BookState::Healing);
    assert_eq!(books.book(TORN).state(), BookState::Healing);
    for books in [&mut books, &mut control] {
        let clear = event(TORN + 1, 700, VenueEvent::Clear);
        books.apply(&clear, &mut ());
        for price in -80..0 {
            let level = VenueEvent::Level { side: Side::Bid, price, size: 1 };
            books.apply(&event(TORN + 1, 700, level), &mut ());
        }
        flow(700, 200).for_each(|event| books.apply(&event, &mut ()));
    }
    assert_eq!(others(&books), others(&control), "{what}");
    let [orders, again] = [&control, &books].map(|books| books.book(TORN).orders());
    assert!(orders.eq(again), "{what}");
    assert_all_comes_back(books, what);
}

/// Asserts that a cleared shard has room for all that its limits say.
fn assert_all_comes_back(mut books: Books, what: &str) {
    books.apply(&event(ALL_INSTRUMENTS, 1, VenueEvent::Clear), &mut ());
    let in_use = books.in_use();
    assert_eq!((in_use.orders, in_use.levels), (0, 0), "{what}");
    for id in 0..LIMITS.orders as u64 {
        let price = id as i64 % LIMITS.levels as i64;
        let add = VenueEvent::Add { order_id: id, side: Side::Bid, price, size: 1 };
        books.apply(&event(1, id, add), &mut ());
    }
    assert_eq!(books.book(0).orders().count(), LIMITS.orders, "{what}");
    assert_eq!(books.book(0).bids().count(), LIMITS.levels, "{what}");
}

/// Tears a book at a level and at an order.
type Tear = fn(&mut Books, level: u32, order: u32);

/// So many of them tear the lists of the book that holds the level and the order.
const TEARS_OF_LISTS: usize = 12;

const TEARS: [(&str, Tear); 15] = [
    ("a queue that meets itself", |b, _, order| b.tables.orders[order].behind = order),
    ("a link outside", |b, _, order| b.tables.orders[order].behind = u32::MAX),
    ("a link back outside", |b, _, order| b.tables.orders[order].ahead = u32::MAX - 1),
    ("a cut queue", |b, _, order| b.tables.orders[order].behind = NIL),
    ("an order of another level", |b, level, order| b.tables.orders[order].level = level),
    ("an order of no level", |b, _, order| b.tables.orders[order].level = u32::MAX),
    ("another id", |b, _, order| b.tables.orders[order].id ^= 1 << 40),
    ("a level that counts wrong", |b, level, _| b.tables.levels[level].set_orders(77)),
    ("a level of nothing", |b, level, _| b.tables.levels[level].first = NIL),
    ("a level outside", |b, level, _| b.tables.levels[level].last = u32::MAX),
    ("another price", |b, level, _| b.tables.levels[level].price = 1 << 50),
    ("another book's orders", |b, level, _| {
        let ladder = &b.books[0].ladders[0];
        let theirs = b.tables.rungs.rungs(ladder)[0].level;
        b.tables.levels[level].first = b.tables.levels[theirs].first;
    }),
    ("another book's ladder", |b, _, _| {
        b.books[TORN as usize].ladders = b.books[2].ladders;
    }),
    ("an order that no one holds", |b, level, _| {
        let side = RestingSide::Bid;
        let key = OrderKey { book: TORN, id: 9 };
        b.tables.orders.insert(OrderEntry::new(key, 1, level, side));
    }),
    ("a place given back twice", |b, level, order| {
        b.tables.orders.remove(order);
        b.tables.levels.remove(level);
    }),
];

/// The best level of a side of a book, and the first of two orders at another.
fn parts(books: &Books, number: u32, side: RestingSide) -> (u32, u32) {
    let rungs = books.tables.rungs.rungs(&books.books[number as usize].ladders[side as usize]);
    let mut first = rungs.iter().map(|rung| books.tables.levels[rung.level].first);
    (
        rungs[rungs.len() - 1].level,
        first.find(|&first| first != NIL && books.tables.orders[first].behind != NIL).unwrap(),
    )
}

#[test]
fn a_whole_book_goes_and_the_others_stay() {
    assert_confined(after_flow(), "whole");
}

#[test]
fn torn_lists_are_confined() {
    for side in RestingSide::BOTH {
        for (what, tear) in TEARS {
            let mut books = after_flow();
            let (level, order) = parts(&books, TORN, side);
            tear(&mut books, level, order);
            assert_confined(books, what);
        }
    }
}

#[test]
fn a_neighbour_that_is_torn_in_any_way_is_noticed() {
    for side in RestingSide::BOTH {
        for (what, tear) in &TEARS[..TEARS_OF_LISTS] {
            let mut books = after_flow();
            let (level, order) = parts(&books, 2, side);
            tear(&mut books, level, order);
            books.quarantine(TORN, StaleReason::Fault);
            let reasons = [0, 2].map(|number| books.book(number).stale_reason());
            assert_eq!(reasons[1], StaleReason::Fault, "{what}");
            assert_ne!(reasons[0], StaleReason::Fault, "{what}");
            assert_eq!(others(&books)[0], others(&after_flow())[0], "{what}");
            assert_all_comes_back(books, what);
        }
    }
}

#[test]
fn a_neighbour_that_is_torn_too_goes_too() {
    let mut books = after_flow();
    let before = others(&books)[0];
    let rung = books.tables.rungs.rungs(&books.books[2].ladders[0])[0];
    books.tables.levels[rung.level].size += 1;
    books.quarantine(TORN, StaleReason::SelfCheck);
    assert_eq!(others(&books)[0], before);
    let reasons: Vec<_> = books.iter().map(|book| book.stale_reason().name()).collect();
    assert_eq!(reasons[1..], ["self-check", "fault"]);
    books.quarantine(99, StaleReason::Fault);
    assert_eq!(others(&books)[0], before);
    let mut changed = Vec::new();
    books.drain_changed(|number, _| changed.push(number));
    changed.sort_unstable();
    assert_eq!(changed, [0, 1, 2]);
}

#[test]
fn an_emptied_shard_keeps_its_instruments() {
    let mut books = after_flow();
    books.set_publisher(0, 5);
    books.quarantine(TORN, StaleReason::SelfCheck);
    let mut empty = books.emptied().unwrap();
    for (book, before) in empty.iter().zip(books.iter()) {
        assert_eq!(book.instrument_id(), before.instrument_id());
        assert_eq!(book.number(), empty.get(0, before.instrument_id()).unwrap().number());
        assert_eq!(book.sequence(), before.sequence());
        assert_eq!((book.state(), book.stale_reason()), (BookState::Stale, StaleReason::Fault));
        assert_eq!(book.orders().count(), 0);
    }
    assert_eq!(empty.in_use(), Limits { instruments: 3, orders: 0, levels: 0 });
    assert_eq!(empty.counters(), books.counters());
    let mut out = Vec::new();
    let add = VenueEvent::Add { order_id: 1, side: Side::Bid, price: 1, size: 1 };
    for number in 0..3 {
        empty.apply(&event(number + 1, 1, add), &mut out);
        assert!(out.is_empty(), "all books are in quarantine");
    }
    empty.readmit(0, BookState::Healing);
    empty.apply(&event(1, 1, add), &mut out);
    assert_eq!(out[0].get::<dbn::MboMsg>().unwrap().hd.publisher_id, 5);
}

#[test]
fn a_panic_names_its_book() {
    struct Fails;
    impl wirebook_model::RecordSink for Fails {
        fn record(&mut self, _: dbn::RecordRef<'_>) {
            panic!("as the test wants");
        }
    }
    let mut books = after_flow();
    assert_eq!(books.interrupted(), None);
    let clear = event(TORN + 1, 1, VenueEvent::Clear);
    let run = std::panic::AssertUnwindSafe(|| books.apply(&clear, &mut Fails));
    std::panic::catch_unwind(run).unwrap_err();
    assert_eq!(books.interrupted(), Some(TORN));
    assert_eq!(others(&books), others(&after_flow()));
    books.quarantine(TORN, StaleReason::Fault);
    assert_eq!(books.interrupted(), None);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_scribble_over_a_book_is_confined(
        scribbles in prop::collection::vec(
            (0usize..9, any::<prop::sample::Index>(), prop_oneof![0u32..80, any::<u32>()]), 1..6
        )
    ) {
        let mut books = after_flow();
        let ladders = books.books[TORN as usize].ladders;
        let levels: Vec<u32> = ladders
            .iter()
            .flat_map(|ladder| books.tables.rungs.rungs(ladder).iter().map(|rung| rung.level))
            .collect();
        let ids: Vec<u64> = books.book(TORN).orders().map(|order| order.order_id).collect();
        let orders: Vec<u32> =
            ids.iter().map(|&id| books.tables.orders.find(OrderKey { book: TORN, id }).unwrap()).collect();
        for (field, at, value) in scribbles {
            let index = *at.get(&levels);
            let level = &mut books.tables.levels[index];
            let order = &mut books.tables.orders[*at.get(&orders)];
            match field {
                0 => level.first = value,
                1 => level.last = value,
                2 => level.set_orders(value),
                3 => books.tables.put_aggregate(index, value),
                4 => order.ahead = value,
                5 => order.behind = value,
                6 => order.level = value,
                7 => order.size = value,
                _ => order.id = value.into(),
            }
        }
        assert_confined(books, "scribbled");
    }
}
