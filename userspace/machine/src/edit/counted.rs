//! The same events for books of levels alone: an order counts at its level and has no place there.
//!
//! What leaves are the lines of levels, as of a venue that gives levels: a reader keeps the same levels
//! from them, and learns of no order. A trade is told as ever; the fill and the cancel behind it are the
//! level's new size.

use dbn::{Action, Side, UNDEF_PRICE};
use wirebook_model::{Event, PackedEvent, PackedKind, PackedOrder, VenueEvent};

use super::Edit;
use crate::lines::Line;
use crate::tables::{LevelChange, Terms};

impl Edit<'_> {
    pub(super) fn apply_counted(&mut self, event: &VenueEvent) {
        match *event {
            VenueEvent::Add { order_id, side, price, size } => {
                if let Some(terms) = self.terms(side, price, size) {
                    self.count_new(order_id, terms);
                }
            }
            VenueEvent::Modify { order_id, side, price, size } => {
                self.recount(order_id, side, price, size);
            }
            VenueEvent::Execute { order_id, size, price, match_id, printable } => {
                self.count_execution(order_id, size, price, printable.then_some(match_id));
            }
            VenueEvent::Reduce { order_id, size } => self.count_reduction(order_id, size),
            VenueEvent::Delete { order_id } => self.count_deletion(order_id),
            VenueEvent::Replace { order_id, new_order_id, price, size } => {
                self.count_replacement(order_id, new_order_id, price, size);
            }
            VenueEvent::Fill { .. } => {}
            _ => self.apply_queued(event),
        }
    }

    /// The same for an event in words.
    #[inline]
    pub(super) fn apply_packed_counted(&mut self, event: &PackedEvent) {
        let PackedOrder { order_id, price, size, other_id } = event.order();
        match event.kind() {
            PackedKind::Add => {
                if let Some(terms) = self.terms(event.side(), price, size) {
                    self.count_new(order_id, terms);
                }
            }
            PackedKind::Execute => {
                let printed = event.is_printable().then_some(other_id);
                self.count_execution(order_id, size, price, printed);
            }
            PackedKind::Reduce => self.count_reduction(order_id, size),
            PackedKind::Delete => self.count_deletion(order_id),
            PackedKind::Replace => self.count_replacement(order_id, other_id, price, size),
            PackedKind::Trade => self.apply_queued(&Event::from(event).body),
        }
    }

    /// `printed` is the match number of the trade, where this message reports it.
    fn count_execution(&mut self, order_id: u64, size: u32, price: i64, printed: Option<u64>) {
        let Some(order) = self.reducible(order_id, size) else { return };
        if let Some(match_id) = printed {
            let before = self.tables.terms_of(order);
            let price = if price == UNDEF_PRICE { before.price } else { price };
            let aggressor = Terms { side: before.side.opposite(), price, size };
            self.lines.push(Line::order(Action::Trade, match_id, aggressor));
            self.traded(aggressor.side.to_dbn(), price, size);
        }
        self.count_out(order, size);
    }

    fn count_reduction(&mut self, order_id: u64, size: u32) {
        if let Some(order) = self.reducible(order_id, size) {
            self.count_out(order, size);
        }
    }

    fn count_deletion(&mut self, order_id: u64) {
        match self.resting(order_id) {
            Some(order) => self.count_out_all(order),
            None => self.unknown_order(),
        }
    }

    fn count_replacement(&mut self, order_id: u64, new_order_id: u64, price: i64, size: u32) {
        if size == 0 || price == UNDEF_PRICE {
            return self.bad_event();
        }
        let Some(order) = self.resting(order_id) else { return self.unknown_order() };
        let side = self.tables.orders[order].side;
        self.count_out_all(order);
        self.count_new(new_order_id, Terms { side, price, size });
    }

    /// An order, where an event may take `size` from it.
    fn reducible(&mut self, order_id: u64, size: u32) -> Option<u32> {
        if size == 0 {
            self.bad_event();
            return None;
        }
        let resting = self.resting(order_id);
        if resting.is_none() {
            self.unknown_order();
        }
        resting
    }

    fn recount(&mut self, order_id: u64, side: Side, price: i64, size: u32) {
        let Some(terms) = self.terms(side, price, size) else { return };
        match self.resting(order_id) {
            Some(order) => self.count_out_all(order),
            None => self.counters.unknown_modifies += 1,
        }
        self.count_in(order_id, terms);
    }

    /// Counts an order in place of one that rests under the same id.
    fn count_new(&mut self, order_id: u64, terms: Terms) {
        if let Some(order) = self.tables.orders.find(self.key(order_id)) {
            self.counters.duplicate_orders += u64::from(!self.snapshot);
            self.count_out_all(order);
        }
        self.count_in(order_id, terms);
    }

    fn count_in(&mut self, order_id: u64, terms: Terms) {
        let key = self.key(order_id);
        match self.tables.count_in(&mut self.book.ladders, key, terms) {
            Ok(change) => self.lines.push(level_line(change)),
            Err(limit) => self.limit(limit),
        }
    }

    fn count_out(&mut self, order: u32, size: u32) {
        self.oversized(size, self.tables.orders[order].size);
        let change = self.tables.count_out(&mut self.book.ladders, order, size);
        self.lines.push(level_line(change));
    }

    fn count_out_all(&mut self, order: u32) {
        let change = self.tables.count_out(&mut self.book.ladders, order, u32::MAX);
        self.lines.push(level_line(change));
    }
}

/// What a level's line says: its new size, or where nothing is left of it, the size that went.
fn level_line(LevelChange { side, price, before, after }: LevelChange) -> Line {
    let (action, size) = match (before, after) {
        (0, after) => (Action::Add, after),
        (before, 0) => (Action::Cancel, before),
        (_, after) => (Action::Modify, after),
    };
    Line::level(action, Terms { side, price, size: saturated(size) })
}

/// A size as records have it.
fn saturated(size: u64) -> u32 {
    u32::try_from(size).unwrap_or(u32::MAX)
}
