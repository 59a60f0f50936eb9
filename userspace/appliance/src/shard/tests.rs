//! A book that is broken on purpose, behind the back of its model.

use super::*;
use crate::repair::{REST_NS, demands};
use wirebook_model::Side;
use wirebook_model::dbn::flags::{LAST, SNAPSHOT};

const CHECKED: u32 = 5;

fn event(sequence: u64, flags: u8, body: VenueEvent) -> Event {
    let header = EventHeader { channel: 0, flags, instrument_id: CHECKED, sequence, ts_event: 9 };
    Event { header, body }
}

fn add(order_id: u64, price: i64) -> VenueEvent {
    VenueEvent::Add { order_id, side: Side::Bid, price, size: 10 }
}

fn live_channel() -> Event {
    let state = event(1, 0, VenueEvent::State(BookState::Live));
    Event { header: EventHeader { instrument_id: ALL_INSTRUMENTS, ..state.header }, ..state }
}

#[test]
fn a_book_that_parts_from_its_model_is_found_at_that_events_end_and_renewed() {
    let limits = Limits { instruments: 4, orders: 64, levels: 64 };
    let asked = demands();
    let mut shard = Shard::new(limits, ())
        .unwrap()
        .with_check(SelfCheck::new(vec![CHECKED.to_string()]))
        .with_repairs(Repairs::new(vec![Some(asked.clone())], 3));
    shard.apply(&live_channel());
    for order_id in 1..=10 {
        shard.apply(&event(order_id, LAST, add(order_id, 100)));
    }
    assert_eq!(shard.check_counters(), CheckCounters { comparisons: 9, differences: 0 });

    // Gone from the book, and the model does not see it go.
    shard.books.apply(&event(11, LAST, VenueEvent::Delete { order_id: 3 }), &mut ());
    shard.apply(&event(12, 0, add(12, 101)));
    assert_eq!(shard.check_counters().differences, 0, "not before the end of the event");
    shard.apply(&event(12, LAST, add(13, 101)));
    assert_eq!(shard.check_counters().differences, 1);
    let parted: Vec<_> = shard.parted().collect();
    assert_eq!((parted.len(), parted[0].instrument_id), (1, CHECKED));
    let book = shard.books().get(0, CHECKED).unwrap();
    assert_eq!((book.state(), book.stale_reason()), (BookState::Stale, StaleReason::SelfCheck));

    shard.tend(2 * REST_NS);
    assert_eq!(asked.pop(), Some(Demand { channel: 0, instrument_id: CHECKED }));
    shard.apply(&event(14, LAST, add(14, 99)));
    shard.apply(&event(14, LAST | SNAPSHOT, VenueEvent::Clear));
    shard.apply(&event(0, LAST | SNAPSHOT, add(1, 100)));
    shard.apply(&event(14, LAST, VenueEvent::State(BookState::Live)));
    shard.apply(&event(15, LAST, add(15, 98)));
    let book = shard.books().get(0, CHECKED).unwrap();
    assert_eq!(book.state(), BookState::Live);
    assert!(book.orders().map(|order| order.order_id).eq([1, 14, 15]));
    assert_eq!(shard.check_counters().differences, 1, "the model followed");
    assert_eq!(shard.repair_counters().repaired, 1);
}

#[test]
fn without_repair_a_book_that_parted_stays_stale() {
    let limits = Limits { instruments: 4, orders: 64, levels: 64 };
    let check = SelfCheck::new(vec![CHECKED.to_string()]);
    let mut shard = Shard::new(limits, ()).unwrap().with_check(check);
    shard.apply(&live_channel());
    shard.apply(&event(1, LAST, add(1, 100)));
    shard.books.apply(&event(2, LAST, add(2, 100)), &mut ());
    (3..9).for_each(|order_id| shard.apply(&event(order_id, LAST, add(order_id, 100))));
    let book = shard.books().get(0, CHECKED).unwrap();
    assert_eq!((book.state(), book.stale_reason()), (BookState::Stale, StaleReason::SelfCheck));
    assert_eq!(shard.check_counters().differences, 1);
    assert_eq!(shard.repair_counters().given_up, 1);
}
