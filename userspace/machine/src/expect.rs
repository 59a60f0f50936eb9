//! Brings near what an event will need, while those before it are applied.
//!
//! Arrives: events, of a packet or of a turn. Leaves: their records, as one by one. A book of millions of orders lies in memory, not in a cache: an event that names an order meets the order's
//! place in the index, the order, its neighbours in the queue, its level. Each is known only when the one
//! before is there, so each has its distance.
//!
//! It promises that looking ahead changes nothing but caches: an order that an earlier event takes away
//! was fetched in vain, and that is all.

use wirebook_hugevec::prefetch;
use wirebook_model::{Event, EventHeader, VenueEvent};

use crate::books::{BookSink, Books};
use crate::slab::NIL;

/// Events between one that is applied and the one whose place in the index is fetched.
const FAR: usize = 12;
/// The same, for the order.
const NEAR: usize = 8;
/// The same, for its level and its neighbours.
const NEXT: usize = 4;

/// Events that are expected at a time: a power of two above [`FAR`].
const EXPECTED: usize = 16;

/// The number of no book.
const NO_BOOK: u32 = u32::MAX;

/// What is known of an event that is to come.
#[derive(Clone, Copy)]
struct Expected {
    order_id: u64,
    /// The book, [`NO_BOOK`] for an event that needs nothing.
    book: u32,
    order: u32,
}

const NOTHING: Expected = Expected { order_id: 0, book: NO_BOOK, order: NIL };

/// The events of a slice, as far as they are expected.
pub struct LookAhead {
    expected: [Expected; EXPECTED],
}

impl LookAhead {
    /// Before the first of `events`.
    #[inline]
    pub fn new(books: &Books, events: &[Event]) -> Self {
        let mut expected = [NOTHING; EXPECTED];
        for (expected, event) in expected.iter_mut().zip(events).take(FAR) {
            *expected = books.expect(event);
        }
        expected.iter_mut().take(NEAR).for_each(|expected| books.expect_order(expected));
        Self { expected }
    }

    /// Before the event at this place of the same `events` is applied; each place in its turn.
    #[inline]
    pub fn step(&mut self, books: &Books, events: &[Event], at: usize) {
        let far = events.get(at + FAR).map_or(NOTHING, |event| books.expect(event));
        self.expected[(at + FAR) % EXPECTED] = far;
        books.expect_order(&mut self.expected[(at + NEAR) % EXPECTED]);
        books.expect_level(&self.expected[(at + NEXT) % EXPECTED]);
    }
}

impl Books {
    /// Applies events in their order, and looks ahead. The records are those of [`Books::apply`] for
    /// each.
    #[inline]
    pub fn apply_all(&mut self, events: &[Event], out: &mut impl BookSink) {
        let mut ahead = LookAhead::new(self, events);
        for (at, event) in events.iter().enumerate() {
            ahead.step(self, events, at);
            self.apply(event, out);
        }
    }

    /// Fetches the order's place in the index, and its book.
    #[inline]
    fn expect(&self, event: &Event) -> Expected {
        let (order_id, other) = match event.body {
            VenueEvent::Add { order_id, .. }
            | VenueEvent::Modify { order_id, .. }
            | VenueEvent::Execute { order_id, .. }
            | VenueEvent::Reduce { order_id, .. }
            | VenueEvent::Delete { order_id } => (order_id, order_id),
            VenueEvent::Replace { order_id, new_order_id, .. } => (order_id, new_order_id),
            _ => return NOTHING,
        };
        let EventHeader { channel, instrument_id, .. } = event.header;
        let Some(book) = self.find(channel, instrument_id) else { return NOTHING };
        prefetch(&self.books, book as usize);
        self.tables.orders.prefetch_home(book, order_id);
        if other != order_id {
            self.tables.orders.prefetch_home(book, other);
        }
        Expected { order_id, book, order: NIL }
    }

    /// Fetches the order, and the best prices of its book.
    #[inline]
    fn expect_order(&self, expected: &mut Expected) {
        let Some(book) = self.books.get(expected.book as usize) else { return };
        expected.order = self.tables.orders.at_home(expected.book, expected.order_id);
        for ladder in &book.ladders {
            self.tables.rungs.prefetch_best(ladder);
        }
    }

    /// Fetches the order's level and its neighbours.
    #[inline]
    fn expect_level(&self, expected: &Expected) {
        if expected.order != NIL {
            let order = &self.tables.orders[expected.order];
            self.tables.levels.prefetch(order.level);
            self.tables.orders.prefetch(order.ahead);
            self.tables.orders.prefetch(order.behind);
        }
    }
}
