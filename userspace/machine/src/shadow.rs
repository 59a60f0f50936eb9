//! The self-check: a plain book beside the fast one.
//!
//! Arrives: the events of one instrument, the same that its book takes. Leaves: at each event's
//! end, whether the two hold the same, and if not, where they part. The model is as simple as it
//! can be (sorted maps of queues that are searched from the front), shares no code with the fast
//! book, allocates, and takes a step for each order at each comparison: it is for chosen
//! instruments, on request.
//!
//! It follows the rules that [`VenueEvent`] and [`Counters`](crate::Counters) state: what can mean
//! nothing changes nothing, an unknown order modified is an addition, one taken by more than it had
//! is gone, one added again replaces the one that rested. It knows no limits, so a book that is not
//! live is not compared.

use std::collections::{BTreeMap, HashMap, VecDeque};

use dbn::UNDEF_PRICE;
use wirebook_model::{ALL_INSTRUMENTS, BookState, Event, Side, VenueEvent};

use crate::book::{Book, Level, RestingOrder};

/// Where a book and its model part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Difference {
    /// At a level.
    #[error("{side:?} level {at}: expected {expected:?} by the model, found {found:?}")]
    Level {
        /// The side.
        side: Side,
        /// The level's place on it, 0 for the best.
        at: usize,
        /// What the model has; `None` where it has fewer levels.
        expected: Option<Level>,
        /// What the book has; `None` where it has fewer levels.
        found: Option<Level>,
    },
    /// At an order of levels that are the same.
    #[error("order {at} of all: expected {expected:?} by the model, found {found:?}")]
    Order {
        /// Its place: bids before asks, best level first, in the order of their priority.
        at: usize,
        /// What the model has; `None` where it has fewer orders.
        expected: Option<RestingOrder>,
        /// What the book has; `None` where it has fewer orders.
        found: Option<RestingOrder>,
    },
    /// At an order that is in its place, but that its id does not lead to.
    #[error("order {order_id} looked up: expected {expected:?} by the model, found {found:?}")]
    LookUp {
        /// Its id.
        order_id: u64,
        /// What the model has.
        expected: RestingOrder,
        /// What the id leads to.
        found: Option<RestingOrder>,
    },
}

/// The model of one instrument's book.
#[derive(Clone, Debug)]
pub struct Shadow {
    channel: u8,
    instrument_id: u32,
    bids: Levels,
    asks: Levels,
    /// Where each order rests.
    places: HashMap<u64, (Side, i64)>,
}

type Levels = BTreeMap<i64, ModelLevel>;

#[derive(Clone, Debug, Default)]
struct ModelLevel {
    /// The size that the venue gave as one number.
    aggregate: u32,
    /// (id, size), first in priority first.
    orders: VecDeque<(u64, u32)>,
}

impl Shadow {
    /// The model of a book of which no event was applied yet.
    pub fn new(channel: u8, instrument_id: u32) -> Self {
        Self {
            channel,
            instrument_id,
            bids: Levels::new(),
            asks: Levels::new(),
            places: HashMap::new(),
        }
    }

    /// A model that holds now what `book` holds: for a book that was restored, or that took events
    /// before anyone asked for its check.
    pub fn of(book: Book<'_>) -> Self {
        let mut shadow = Self::new(book.channel(), book.instrument_id());
        for (side, price, aggregate) in book.aggregates() {
            shadow.side_mut(side).entry(price).or_default().aggregate = aggregate;
        }
        for RestingOrder { order_id, side, price, size } in book.orders() {
            shadow.push(order_id, side, price, size);
        }
        shadow
    }

    /// Applies an event, if it is one of this book.
    pub fn apply(&mut self, event: &Event) {
        let Event { header, body } = event;
        let to_all = header.instrument_id == ALL_INSTRUMENTS && *body == VenueEvent::Clear;
        if header.channel != self.channel || !(to_all || header.instrument_id == self.instrument_id)
        {
            return;
        }
        match *body {
            VenueEvent::Clear => *self = Self::new(self.channel, self.instrument_id),
            VenueEvent::Add { order_id, side, price, size } if rests(side, price, size) => {
                self.take(order_id, u32::MAX);
                self.push(order_id, side, price, size);
            }
            VenueEvent::Modify { order_id, side, price, size } if rests(side, price, size) => {
                self.modify(order_id, side, price, size);
            }
            VenueEvent::Execute { order_id, size, .. } | VenueEvent::Reduce { order_id, size } => {
                self.take(order_id, size);
            }
            VenueEvent::Delete { order_id } => self.take(order_id, u32::MAX),
            VenueEvent::Replace { order_id, new_order_id, price, size }
                if rests(Side::Bid, price, size) =>
            {
                if let Some(&(side, _)) = self.places.get(&order_id) {
                    self.take(order_id, u32::MAX);
                    self.take(new_order_id, u32::MAX);
                    self.push(new_order_id, side, price, size);
                }
            }
            VenueEvent::Level { side, price, size } if rests(side, price, 1) => {
                self.side_mut(side).entry(price).or_default().aggregate = size;
                self.close_if_empty(side, price);
            }
            VenueEvent::Top { side, price, size }
                if side != Side::None && (price == UNDEF_PRICE || size > 0) =>
            {
                self.side_mut(side).clear();
                self.places.retain(|_, place| place.0 != side);
                if price != UNDEF_PRICE {
                    self.side_mut(side).entry(price).or_default().aggregate = size;
                }
            }
            _ => {}
        }
    }

    /// Compares every level, every order in the order of its priority, and what each order's id
    /// leads to; the best prices are the first levels. Ask at the end of a venue's event. A book
    /// that is not live, or is another one's, is not compared.
    ///
    /// # Errors
    /// The first [`Difference`].
    pub fn compare(&self, book: Book<'_>) -> Result<(), Difference> {
        let same = (book.channel(), book.instrument_id()) == (self.channel, self.instrument_id);
        if book.state() != BookState::Live || !same {
            return Ok(());
        }
        let parted = first_difference(self.levels(Side::Bid), book.bids())
            .map(|parted| (Side::Bid, parted))
            .or_else(|| {
                let asks = first_difference(self.levels(Side::Ask), book.asks());
                asks.map(|parted| (Side::Ask, parted))
            });
        if let Some((side, (at, expected, found))) = parted {
            return Err(Difference::Level { side, at, expected, found });
        }
        if let Some((at, expected, found)) = first_difference(self.orders(), book.orders()) {
            return Err(Difference::Order { at, expected, found });
        }
        for expected in self.orders() {
            let order_id = expected.order_id;
            let found = book.order(order_id);
            if found != Some(expected) {
                return Err(Difference::LookUp { order_id, expected, found });
            }
        }
        Ok(())
    }

    /// Keeps its place where it does not grow and does not move.
    fn modify(&mut self, id: u64, side: Side, price: i64, size: u32) {
        if self.places.get(&id) == Some(&(side, price))
            && let Some(rests) = self.size_mut(id)
            && *rests >= size
        {
            *rests = size;
            return;
        }
        self.take(id, u32::MAX);
        self.push(id, side, price, size);
    }

    fn push(&mut self, id: u64, side: Side, price: i64, size: u32) {
        self.side_mut(side).entry(price).or_default().orders.push_back((id, size));
        self.places.insert(id, (side, price));
    }

    /// Takes `size`, or what there is, from an order, if it rests.
    fn take(&mut self, id: u64, size: u32) {
        let Some(rests) = self.size_mut(id) else { return };
        *rests = rests.saturating_sub(size);
        if *rests == 0
            && let Some((side, price)) = self.places.remove(&id)
        {
            let level = self.side_mut(side).entry(price).or_default();
            level.orders.retain(|&(resting, _)| resting != id);
            self.close_if_empty(side, price);
        }
    }

    fn size_mut(&mut self, id: u64) -> Option<&mut u32> {
        let &(side, price) = self.places.get(&id)?;
        let orders = &mut self.side_mut(side).get_mut(&price)?.orders;
        orders.iter_mut().find(|(resting, _)| *resting == id).map(|(_, size)| size)
    }

    fn close_if_empty(&mut self, side: Side, price: i64) {
        self.side_mut(side)
            .retain(|&at, level| at != price || level.aggregate > 0 || !level.orders.is_empty());
    }

    fn levels(&self, side: Side) -> impl Iterator<Item = Level> {
        self.side(side).map(|(price, level)| {
            let orders: u64 = level.orders.iter().map(|&(_, size)| u64::from(size)).sum();
            let size = orders + u64::from(level.aggregate);
            Level { price, size, orders: level.orders.len() as u32 }
        })
    }

    fn orders(&self) -> impl Iterator<Item = RestingOrder> {
        [Side::Bid, Side::Ask].into_iter().flat_map(|side| {
            self.side(side).flat_map(move |(price, level)| {
                level.orders.iter().map(move |&(order_id, size)| RestingOrder {
                    order_id,
                    side,
                    price,
                    size,
                })
            })
        })
    }

    /// The levels of a side, best first.
    fn side(&self, side: Side) -> Box<dyn Iterator<Item = (i64, &ModelLevel)> + '_> {
        match side {
            Side::Bid => Box::new(self.bids.iter().rev().map(|(&price, level)| (price, level))),
            _ => Box::new(self.asks.iter().map(|(&price, level)| (price, level))),
        }
    }

    fn side_mut(&mut self, side: Side) -> &mut Levels {
        match side {
            Side::Bid => &mut self.bids,
            _ => &mut self.asks,
        }
    }
}

/// Where two lists part first: the place, and what is there in each.
fn first_difference<T: PartialEq>(
    expected: impl Iterator<Item = T>,
    mut found: impl Iterator<Item = T>,
) -> Option<(usize, Option<T>, Option<T>)> {
    let mut at = 0;
    for expected in expected {
        let found = found.next();
        if found.as_ref() != Some(&expected) {
            return Some((at, Some(expected), found));
        }
        at += 1;
    }
    found.next().map(|found| (at, None, Some(found)))
}

/// Whether these are the terms of something that can rest.
fn rests(side: Side, price: i64, size: u32) -> bool {
    side != Side::None && price != UNDEF_PRICE && size > 0
}

#[cfg(test)]
mod tests;
