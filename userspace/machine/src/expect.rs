//! Brings near what an event will need, while those before it are applied.
//!
//! Arrives: events, one by one, as they are decoded. Leaves: the same events in their order, each with
//! the places in the tables at which it is most likely applied. A book of millions of orders lies in
//! memory, not in a cache: an event that names an order meets the order, its neighbours in the queue,
//! its level. Each is known only when the one before is there, so each has its distance.
//!
//! It promises that looking ahead changes nothing but caches: an order's place is a claim that is checked
//! before it is used, and an order that an earlier event takes away was fetched in vain. A book's number
//! needs no check, as books keep theirs.

use std::hint::select_unpredictable;

use wirebook_hugevec::prefetch;
use wirebook_model::{
    BadEvent, Event, EventHeader, PackedEvent, PackedKind, PackedOrder, Packet, VenueEvent,
};

use crate::books::{BookSink, Books};
use crate::hash_table::{NIL, NOWHERE};
use crate::levels::LevelKey;
use crate::orders::{OrderEntry, OrderKey};
use crate::side::RestingSide;
use crate::tables::Tables;

/// Events between one that is applied and the one whose order is looked for, which was fetched when the
/// event came.
const NEAR: usize = 8;
/// The same, for its level and its neighbours.
const NEXT: usize = 4;

/// The number of no book.
pub(crate) const NO_BOOK: u32 = u32::MAX;

/// An event, and where it will be applied.
pub struct Expected {
    pub(crate) event: Waiting,
    pub(crate) place: Place,
}

/// An event as it came: what comes with every order is not looked at before it is applied.
pub(crate) enum Waiting {
    Packed(PackedEvent),
    Whole(Event),
}

/// What is known of an event that is to come.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    /// Its book, [`NO_BOOK`] where there is none yet or it needs none.
    pub(crate) book: u32,
    /// The order that it names, where the search for it begins; [`NIL`] where it is not there.
    pub(crate) order: u32,
    /// Where the search for it begins.
    order_home: u32,
    /// Where the search begins for the level that an order joins; [`NOWHERE`] where none does.
    level_home: u32,
    /// The event's side, or that of the order that it names, where that is found.
    side: RestingSide,
}

impl Place {
    /// Nothing is known.
    pub(crate) const UNKNOWN: Self = Self {
        book: NO_BOOK,
        order: NIL,
        order_home: NOWHERE,
        level_home: NOWHERE,
        side: RestingSide::Bid,
    };
}

impl Expected {
    /// The event.
    #[inline]
    pub fn event(&self) -> Event {
        match &self.event {
            Waiting::Packed(packed) => packed.into(),
            Waiting::Whole(event) => *event,
        }
    }

    /// Who and when.
    #[inline]
    pub fn header(&self) -> EventHeader {
        match &self.event {
            Waiting::Packed(packed) => packed.header(),
            Waiting::Whole(event) => event.header,
        }
    }

    /// The packet that begins with it, if it is such an event.
    #[inline]
    pub fn packet(&self) -> Option<&Packet> {
        match &self.event {
            Waiting::Whole(Event { body: VenueEvent::Packet(packet), .. }) => Some(packet),
            _ => None,
        }
    }
}

/// Events that wait to be applied.
pub struct LookAhead {
    events: Vec<Expected>,
    /// So many at a time.
    room: usize,
    /// Those before it have been given.
    next: usize,
}

impl LookAhead {
    /// Room for so many events at a time.
    pub fn with_capacity(events: usize) -> Self {
        Self { events: Vec::with_capacity(events), room: events, next: 0 }
    }

    /// Puts an event behind the others.
    #[inline]
    pub fn push(&mut self, books: &Books, event: &Event) {
        match event.pack() {
            Some(packed) => self.push_packed(books, &packed),
            None => {
                let event = Waiting::Whole(*event);
                self.events.push(Expected { event, place: Place::UNKNOWN });
            }
        }
    }

    /// The same for an event in words.
    #[inline]
    pub fn push_packed(&mut self, books: &Books, event: &PackedEvent) {
        let place = books.expect(event);
        self.events.push(Expected { event: Waiting::Packed(*event), place });
    }

    /// The same for the words of any event, as a ring carries them.
    ///
    /// # Errors
    /// [`BadEvent`] where they are no event's.
    #[inline]
    pub fn push_words(&mut self, books: &Books, words: &[u64]) -> Result<(), BadEvent> {
        match words.as_array().and_then(PackedEvent::from_words) {
            Some(packed) => self.push_packed(books, &packed),
            None => self.push(books, &Event::decode(words)?),
        }
        Ok(())
    }

    /// The next event, which is to be applied to the same books before the one after it is asked for.
    #[inline]
    pub fn next(&mut self, books: &Books) -> Option<&Expected> {
        let at = self.next;
        if at == 0 {
            self.begin(books);
        }
        if let Some(near) = self.events.get_mut(at + NEAR) {
            books.expect_order(near);
        }
        if let Some(next) = self.events.get(at + NEXT) {
            books.expect_level(next);
        }
        let expected = self.events.get(at)?;
        self.next += 1;
        Some(expected)
    }

    /// Looks at the first events, which nothing is applied before.
    fn begin(&mut self, books: &Books) {
        for near in self.events.iter_mut().take(NEAR) {
            books.expect_order(near);
        }
        for next in self.events.iter().take(NEXT) {
            books.expect_level(next);
        }
    }

    /// True where it has no room for another one.
    #[inline]
    pub fn is_full(&self) -> bool {
        self.events.len() >= self.room
    }

    /// Events that have not been given yet.
    pub fn left(&self) -> usize {
        self.events.len() - self.next
    }

    /// Events that were put in since it was cleared.
    pub fn len(&self) -> usize {
        self.events.len()
    }

    /// True where nothing was put in since it was cleared.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// Forgets all events.
    #[inline]
    pub fn clear(&mut self) {
        self.events.clear();
        self.next = 0;
    }
}

impl Books {
    /// Applies all events in their order. The records are those of [`Books::apply`] for each.
    #[inline]
    pub fn apply_all(&mut self, ahead: &mut LookAhead, out: &mut impl BookSink) {
        while let Some(expected) = ahead.next(self) {
            self.apply_expected(expected, out);
        }
        ahead.clear();
    }

    /// Fetches the event's book, the place of its order, and of the level that an order joins.
    #[inline]
    fn expect(&self, event: &PackedEvent) -> Place {
        let EventHeader { channel, instrument_id, .. } = event.header();
        let Some(book) = self.find(channel, instrument_id) else { return Place::UNKNOWN };
        prefetch(&self.books, book as usize);
        let PackedOrder { order_id: id, price, other_id, .. } = event.order();
        let side = if event.is_ask() { RestingSide::Ask } else { RestingSide::Bid };
        let Tables { orders, levels, .. } = &self.tables;
        let order_home = orders.home(OrderKey { book, id });
        orders.prefetch_bucket(order_home);
        if event.is(PackedKind::Replace) {
            let home = orders.home(OrderKey { book, id: other_id });
            orders.prefetch_bucket(home);
            orders.prefetch_passed(home);
        }
        // Which messages add an order no processor can foresee, so no branch asks for it.
        let is_add = event.is(PackedKind::Add);
        orders.prefetch_passed(select_unpredictable(is_add, order_home, NOWHERE));
        let home = levels.home(LevelKey { book, side, price });
        let level_home = select_unpredictable(is_add, home, NOWHERE);
        levels.prefetch_bucket(level_home);
        Place { book, order: NIL, order_home, level_home, side }
    }

    /// Finds the order, and fetches its level; of a replacement, the level that it joins too.
    #[inline]
    fn expect_order(&self, Expected { event, place }: &mut Expected) {
        let Waiting::Packed(event) = event else { return };
        let Place { book, order_home, .. } = *place;
        if book == NO_BOOK {
            return;
        }
        let Tables { orders, levels, .. } = &self.tables;
        let PackedOrder { order_id: id, price, .. } = event.order();
        // Which are found no processor can foresee either: where one is not, the entry of none is read.
        place.order = orders.find_in(order_home, OrderKey { book, id });
        let OrderEntry { level, side, .. } = orders[place.order];
        levels.prefetch(level);
        // An event that names an order has no side of its own, and the entry of none is a bid's.
        let is_ask = (place.side == RestingSide::Ask) | (side == RestingSide::Ask);
        place.side = if is_ask { RestingSide::Ask } else { RestingSide::Bid };
        if event.is(PackedKind::Replace) {
            place.level_home = levels.home(LevelKey { book, side: place.side, price });
            levels.prefetch_bucket(place.level_home);
        }
    }

    /// Fetches the best prices of the side, among which a level may open or close; of a queue, the order's
    /// neighbours and the one behind which another joins.
    #[inline]
    fn expect_level(&self, Expected { event, place }: &Expected) {
        let Waiting::Packed(event) = event else { return };
        let Place { book, order, level_home, side, .. } = *place;
        let Some(core) = self.books.get(book as usize) else { return };
        let Tables { orders, levels, rungs, .. } = &self.tables;
        let OrderEntry { level: left, ahead, behind, .. } = orders[order];
        let joined =
            levels.find_in(level_home, LevelKey { book, side, price: event.order().price });
        levels.prefetch_passed(select_unpredictable(joined == NIL, level_home, NOWHERE));
        let level = &levels[select_unpredictable(order == NIL, joined, left)];
        // It opens, or may close: whether, no processor can foresee.
        rungs.prefetch_best(&core.ladders[side as usize], level.orders() <= 1);
        if self.tables.queued {
            orders.prefetch(ahead);
            orders.prefetch(behind);
            orders.prefetch(levels[joined].last);
        }
    }
}
