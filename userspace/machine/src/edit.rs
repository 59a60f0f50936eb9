//! Applies one event to one book and says in lines what it did.
//!
//! Arrives: a venue event of the book's instrument. Leaves: the book changed, and the lines that
//! make DBN records of it; a reader that applies those by DBN's rules keeps the same book.
//! It promises that an event with no line left the book's orders and levels alone. It counts what
//! it could not do as the venue said.

mod counted;

use dbn::{Action, Side, UNDEF_PRICE};
use wirebook_model::{Event, PackedEvent, PackedKind, PackedOrder, StaleReason, VenueEvent};

use crate::book::{BookCore, LastTrade};
use crate::counters::Counters;
use crate::hash_table::Item;
use crate::lines::{Line, Lines};
use crate::orders::OrderKey;
use crate::records::Channel;
use crate::side::RestingSide;
use crate::tables::{LimitHit, Tables, Terms};

/// One event's work on one book.
pub(crate) struct Edit<'a> {
    /// The book's number, the scope of its order ids.
    pub(crate) number: u32,
    /// The order that the event most likely names: a claim.
    pub(crate) near: u32,
    pub(crate) book: &'a mut BookCore,
    pub(crate) tables: &'a mut Tables,
    pub(crate) counters: &'a mut Counters,
    /// `F_SNAPSHOT` is set: orders may come again.
    pub(crate) snapshot: bool,
    pub(crate) channel: &'a Channel,
    pub(crate) lines: &'a mut Lines,
}

impl Edit<'_> {
    /// Applies `event`; events that are no book's (packet, state, status, …) do nothing.
    #[inline]
    pub(crate) fn apply(&mut self, event: &VenueEvent) {
        if self.tables.queued {
            self.apply_queued(event);
        } else {
            self.apply_counted(event);
        }
    }

    /// Applies an event in words.
    #[inline]
    pub(crate) fn apply_packed(&mut self, event: &PackedEvent) {
        if self.tables.queued {
            self.apply_packed_queued(event);
        } else {
            self.apply_packed_counted(event);
        }
    }

    #[inline]
    fn apply_packed_queued(&mut self, event: &PackedEvent) {
        let PackedOrder { order_id, price, size, other_id } = event.order();
        match event.kind() {
            PackedKind::Add => self.add(order_id, event.side(), price, size),
            PackedKind::Execute => {
                let printed = event.is_printable().then_some(other_id);
                self.execute(order_id, size, price, printed);
            }
            PackedKind::Reduce => self.reduce(order_id, size),
            PackedKind::Delete => self.delete(order_id),
            PackedKind::Replace => self.replace(order_id, other_id, price, size),
            PackedKind::Trade => self.apply_queued(&Event::from(event).body),
        }
    }

    #[inline]
    fn apply_queued(&mut self, event: &VenueEvent) {
        match *event {
            VenueEvent::Clear => self.clear(),
            VenueEvent::Add { order_id, side, price, size } => {
                self.add(order_id, side, price, size);
            }
            VenueEvent::Modify { order_id, side, price, size } => {
                self.modify(order_id, side, price, size);
            }
            VenueEvent::Execute { order_id, size, price, match_id, printable } => {
                self.execute(order_id, size, price, printable.then_some(match_id));
            }
            VenueEvent::Reduce { order_id, size } => self.reduce(order_id, size),
            VenueEvent::Delete { order_id } => self.delete(order_id),
            VenueEvent::Replace { order_id, new_order_id, price, size } => {
                self.replace(order_id, new_order_id, price, size);
            }
            VenueEvent::Level { side, price, size } => self.level(side, price, size),
            VenueEvent::Top { side, price, size } => self.top(side, price, size),
            VenueEvent::Trade { side, price, size, order_id, match_id } => {
                self.trade(side, price, size, if order_id == 0 { match_id } else { order_id });
            }
            VenueEvent::Fill { order_id, side, price, size } => {
                let action = Action::Fill;
                self.lines.push(Line { action, side, order_id, price, size, flags: 0 });
            }
            VenueEvent::TradeBreak { match_id, price, size } => {
                self.lines.push(Line { order_id: match_id, price, size, ..Line::close() });
            }
            VenueEvent::Packet(_)
            | VenueEvent::State(_)
            | VenueEvent::EndOfInterval
            | VenueEvent::Status(_)
            | VenueEvent::Statistic(_)
            | VenueEvent::Definition(_)
            | VenueEvent::Imbalance(_) => {}
        }
    }

    fn clear(&mut self) {
        for side in RestingSide::BOTH {
            self.tables.clear(self.number, &mut self.book.ladders, side);
        }
        // What an empty book never held is not missing in it.
        self.book.over_limit = false;
        self.lines.push(Line::clear());
    }

    fn add(&mut self, order_id: u64, side: Side, price: i64, size: u32) {
        if let Some(terms) = self.terms(side, price, size) {
            self.add_new(order_id, terms);
        }
    }

    fn modify(&mut self, order_id: u64, side: Side, price: i64, size: u32) {
        let Some(terms) = self.terms(side, price, size) else { return };
        let Some(order) = self.resting(order_id) else {
            self.counters.unknown_modifies += 1;
            self.place(Action::Modify, order_id, terms);
            return;
        };
        let before = self.tables.terms_of(order);
        let keeps_place =
            (terms.side, terms.price) == (before.side, before.price) && terms.size <= before.size;
        if keeps_place {
            self.tables.reduce(order, before.size - terms.size);
            return self.lines.push(Line::order(Action::Modify, order_id, terms));
        }
        match self.tables.relocate(self.number, &mut self.book.ladders, order, terms) {
            Ok(()) => self.lines.push(Line::order(Action::Modify, order_id, terms)),
            Err(limit) => {
                self.limit(limit);
                self.lines.push(Line::order(Action::Cancel, order_id, before));
            }
        }
    }

    /// `printed` is the match number of the trade, where this message reports it.
    fn execute(&mut self, order_id: u64, size: u32, price: i64, printed: Option<u64>) {
        if size == 0 {
            return self.bad_event();
        }
        let Some(order) = self.resting(order_id) else { return self.unknown_order() };
        let before = self.tables.terms_of(order);
        let price = if price == UNDEF_PRICE { before.price } else { price };
        let executed = Terms { side: before.side, price, size };
        if let Some(match_id) = printed {
            let aggressor = Terms { side: before.side.opposite(), ..executed };
            self.lines.push(Line::order(Action::Trade, match_id, aggressor));
            self.traded(aggressor.side.to_dbn(), price, size);
        }
        self.lines.push(Line::order(Action::Fill, order_id, executed));
        self.take(order_id, order, size);
    }

    fn reduce(&mut self, order_id: u64, size: u32) {
        if size == 0 {
            return self.bad_event();
        }
        let Some(order) = self.resting(order_id) else { return self.unknown_order() };
        self.take(order_id, order, size);
    }

    fn delete(&mut self, order_id: u64) {
        let Some(order) = self.resting(order_id) else { return self.unknown_order() };
        self.take_all(order_id, order);
    }

    fn replace(&mut self, order_id: u64, new_order_id: u64, price: i64, size: u32) {
        if size == 0 || price == UNDEF_PRICE {
            return self.bad_event();
        }
        let Some(order) = self.resting(order_id) else { return self.unknown_order() };
        let side = self.tables.orders[order].side;
        self.take_all(order_id, order);
        self.add_new(new_order_id, Terms { side, price, size });
    }

    fn level(&mut self, side: Side, price: i64, size: u32) {
        let Some(side) = RestingSide::from_dbn(side).filter(|_| price != UNDEF_PRICE) else {
            return self.bad_event();
        };
        let terms = Terms { side, price, size };
        let before = match self.tables.set_aggregate(self.number, &mut self.book.ladders, terms) {
            Ok(before) => before,
            Err(limit) => return self.limit(limit),
        };
        match (before, size) {
            (0, 0) => self.counters.unknown_levels += 1,
            (0, _) => self.lines.push(Line::level(Action::Add, terms)),
            (_, 0) => {
                self.lines.push(Line::level(Action::Cancel, Terms { size: before, ..terms }));
            }
            (_, _) => self.lines.push(Line::level(Action::Modify, terms)),
        }
    }

    fn top(&mut self, side: Side, price: i64, size: u32) {
        let none = price == UNDEF_PRICE;
        let Some(side) = RestingSide::from_dbn(side).filter(|_| none || size != 0) else {
            return self.bad_event();
        };
        self.tables.clear(self.number, &mut self.book.ladders, side);
        let mut terms = Terms { side, price, size };
        if !none
            && let Err(limit) =
                self.tables.set_aggregate(self.number, &mut self.book.ladders, terms)
        {
            self.limit(limit);
            terms = Terms { side, price: UNDEF_PRICE, size: 0 };
        }
        self.lines.push(Line::top(terms));
        if self.channel.quotes_restore {
            self.book.told(side);
        }
    }

    fn trade(&mut self, side: Side, price: i64, size: u32, order_id: u64) {
        self.traded(side, price, size);
        self.lines.push(Line { action: Action::Trade, side, order_id, price, size, flags: 0 });
    }

    /// Adds an order in place of one that rests under the same id.
    ///
    /// A snapshot repeats orders, so there the new one alone says it all; elsewhere it is a
    /// mistake, and readers are told that the old one is gone.
    fn add_new(&mut self, order_id: u64, terms: Terms) {
        // Hardly ever is there one, so nothing near is asked first.
        match self.tables.orders.find(self.key(order_id)) {
            Some(order) => self.add_again(order_id, order, terms),
            None => {
                self.place(Action::Add, order_id, terms);
            }
        }
    }

    #[cold]
    fn add_again(&mut self, order_id: u64, order: u32, terms: Terms) {
        let gone = Line::order(Action::Cancel, order_id, self.tables.terms_of(order));
        self.tables.remove(&mut self.book.ladders, order);
        if !self.snapshot {
            self.counters.duplicate_orders += 1;
            self.lines.push(gone);
        }
        let placed = self.place(Action::Add, order_id, terms);
        if !placed && self.snapshot {
            self.lines.push(gone);
        }
    }

    /// Adds an order whose id does not rest; false where a limit left no room.
    fn place(&mut self, action: Action, order_id: u64, terms: Terms) -> bool {
        let key = self.key(order_id);
        match self.tables.place(&mut self.book.ladders, key, terms) {
            Ok(()) => {
                self.lines.push(Line::order(action, order_id, terms));
                true
            }
            Err(limit) => {
                self.limit(limit);
                false
            }
        }
    }

    /// Takes up to `size` from a resting order, and the order where nothing remains.
    fn take(&mut self, order_id: u64, order: u32, size: u32) {
        let before = self.tables.terms_of(order);
        if size >= before.size {
            self.oversized(size, before.size);
            return self.take_all(order_id, order);
        }
        self.tables.reduce(order, size);
        self.lines.push(Line::order(Action::Cancel, order_id, Terms { size, ..before }));
    }

    /// Takes a resting order.
    #[inline]
    fn take_all(&mut self, order_id: u64, order: u32) {
        self.lines.push(Line::order(Action::Cancel, order_id, self.tables.terms_of(order)));
        self.tables.remove(&mut self.book.ladders, order);
    }

    /// Distrusts a book from which more is to be taken than there is.
    fn oversized(&mut self, size: u32, before: u32) {
        if size > before {
            self.counters.oversized_reductions += 1;
            self.book.distrust();
        }
    }

    /// The order that rests under this id.
    #[inline]
    fn resting(&self, order_id: u64) -> Option<u32> {
        let key = self.key(order_id);
        match self.tables.orders[self.near].is(key) {
            true => Some(self.near),
            false => self.tables.orders.find(key),
        }
    }

    #[inline]
    fn key(&self, id: u64) -> OrderKey {
        OrderKey { book: self.number, id }
    }

    /// The terms of an order, where they are some.
    fn terms(&mut self, side: Side, price: i64, size: u32) -> Option<Terms> {
        match RestingSide::from_dbn(side) {
            Some(side) if price != UNDEF_PRICE && size != 0 => Some(Terms { side, price, size }),
            _ => {
                self.bad_event();
                None
            }
        }
    }

    fn traded(&mut self, side: Side, price: i64, size: u32) {
        self.book.last_trade = Some(LastTrade { side, price, size });
    }

    fn bad_event(&mut self) {
        self.counters.bad_events += 1;
    }

    fn unknown_order(&mut self) {
        self.counters.unknown_orders += 1;
        self.book.distrust();
    }

    fn limit(&mut self, limit: LimitHit) {
        match limit {
            LimitHit::Orders => self.counters.order_limit_hits += 1,
            LimitHit::Levels => self.counters.level_limit_hits += 1,
        }
        self.book.over_limit = true;
        self.book.set_stale(StaleReason::Limit);
    }
}
