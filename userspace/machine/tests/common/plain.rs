//! A book in the plainest form that works, to compare with.
//!
//! It applies DBN records by Databento's published rules ("State management of resting orders",
//! "Limit order book construction"), or venue events by the rules that `VenueEvent` states.

use std::collections::{BTreeMap, HashMap};

use dbn::{Action, MboMsg, UNDEF_PRICE};
use wirebook_model::{Side, VenueEvent};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Resting {
    id: u64,
    size: u32,
    /// An aggregated level, which is no order.
    aggregate: bool,
}

type Levels = BTreeMap<i64, Vec<Resting>>;

/// One book.
#[derive(Debug, Default)]
pub(crate) struct Plain {
    bids: Levels,
    asks: Levels,
    /// Where each id rests.
    places: HashMap<u64, (Side, i64)>,
}

impl Plain {
    /// (price, size, orders), best first.
    pub(crate) fn levels(&self, side: Side) -> Box<dyn Iterator<Item = (i64, u64, u32)> + '_> {
        let level = |(&price, resting): (&i64, &Vec<Resting>)| {
            let size = resting.iter().map(|entry| u64::from(entry.size)).sum();
            let orders = resting.iter().filter(|entry| !entry.aggregate).count() as u32;
            (price, size, orders)
        };
        match side {
            Side::Bid => Box::new(self.bids.iter().rev().map(level)),
            _ => Box::new(self.asks.iter().map(level)),
        }
    }

    /// (side, price, id, size): bids before asks, best level first, oldest order first.
    pub(crate) fn orders(&self) -> Vec<(Side, i64, u64, u32)> {
        let mut orders = Vec::new();
        for side in [Side::Bid, Side::Ask] {
            for (price, ..) in self.levels(side) {
                let level = &self.side(side)[&price];
                let level = level.iter().filter(|entry| !entry.aggregate);
                orders.extend(level.map(|entry| (side, price, entry.id, entry.size)));
            }
        }
        orders
    }

    /// (orders, size) ahead of a resting order.
    pub(crate) fn queue_position(&self, id: u64) -> (u32, u64) {
        let (side, price) = self.places[&id];
        let ahead = self.side(side)[&price].iter().take_while(|entry| entry.id != id);
        let ahead = ahead.filter(|entry| !entry.aggregate);
        ahead.fold((0, 0), |(count, size), entry| (count + 1, size + u64::from(entry.size)))
    }

    /// Applies a record; panics where the record does not fit the book.
    pub(crate) fn apply_record(&mut self, record: &MboMsg) {
        let MboMsg { order_id: id, price, size, .. } = *record;
        let side = record.side().unwrap();
        let aggregate = record.flags.is_mbp() || record.flags.is_tob();
        match record.action().unwrap() {
            Action::Trade | Action::Fill | Action::None => {}
            Action::Clear => *self = Self::default(),
            Action::Add if record.flags.is_tob() => {
                self.clear_side(side);
                if price != UNDEF_PRICE {
                    self.push(side, price, Resting { id, size, aggregate });
                }
            }
            Action::Add => {
                if self.places.contains_key(&id) {
                    assert!(record.flags.is_snapshot(), "{id} added twice");
                    self.remove(id);
                }
                self.push(side, price, Resting { id, size, aggregate });
            }
            Action::Modify => self.modify(id, side, price, size, aggregate),
            Action::Cancel => {
                assert_eq!(self.places[&id], (side, price), "cancel of {id}");
                let rests = self.size(id);
                assert!(size <= rests, "cancel of {size} from {rests}");
                self.reduce(id, size);
            }
        }
    }

    /// Applies a venue event to an order-level or price-level book without limits.
    pub(crate) fn apply_event(&mut self, event: &VenueEvent) {
        match *event {
            VenueEvent::Clear => *self = Self::default(),
            VenueEvent::Add { order_id: id, side, price, size } if fits(side, price, size) => {
                self.remove(id);
                self.push(side, price, Resting { id, size, aggregate: false });
            }
            VenueEvent::Modify { order_id, side, price, size } if fits(side, price, size) => {
                self.modify(order_id, side, price, size, false);
            }
            VenueEvent::Execute { order_id, size, .. } | VenueEvent::Reduce { order_id, size } => {
                self.reduce(order_id, size);
            }
            VenueEvent::Delete { order_id } => self.remove(order_id),
            VenueEvent::Replace { order_id, new_order_id, price, size } => {
                if let (Some(&(side, _)), true) =
                    (self.places.get(&order_id), fits(Side::Bid, price, size))
                {
                    self.remove(order_id);
                    self.remove(new_order_id);
                    self.push(side, price, Resting { id: new_order_id, size, aggregate: false });
                }
            }
            VenueEvent::Level { side, price, size } if fits(side, price, 1) => {
                let level = self.side_mut(side).entry(price).or_default();
                level.retain(|entry| !entry.aggregate);
                if size > 0 {
                    level.push(Resting { id: 0, size, aggregate: true });
                }
                if level.is_empty() {
                    self.side_mut(side).remove(&price);
                }
            }
            VenueEvent::Top { side, price, size }
                if side != Side::None && (price == UNDEF_PRICE || size > 0) =>
            {
                self.clear_side(side);
                if price != UNDEF_PRICE {
                    let top = Resting { id: 0, size, aggregate: true };
                    self.side_mut(side).insert(price, vec![top]);
                }
            }
            _ => {}
        }
    }

    fn modify(&mut self, id: u64, side: Side, price: i64, size: u32, aggregate: bool) {
        let keeps_place = self.places.get(&id) == Some(&(side, price)) && size <= self.size(id);
        if keeps_place || (aggregate && self.places.contains_key(&id)) {
            let level = self.side_mut(side).get_mut(&price).unwrap();
            level.iter_mut().find(|entry| entry.id == id).unwrap().size = size;
        } else {
            self.remove(id);
            self.push(side, price, Resting { id, size, aggregate });
        }
    }

    fn push(&mut self, side: Side, price: i64, resting: Resting) {
        self.side_mut(side).entry(price).or_default().push(resting);
        assert_eq!(self.places.insert(resting.id, (side, price)), None);
    }

    fn remove(&mut self, id: u64) {
        if self.places.contains_key(&id) {
            self.reduce(id, u32::MAX);
        }
    }

    /// Takes `size` or what remains from an order, if it rests.
    fn reduce(&mut self, id: u64, size: u32) {
        let Some(&(side, price)) = self.places.get(&id) else { return };
        let levels = self.side_mut(side);
        let level = levels.get_mut(&price).unwrap();
        let at = level.iter().position(|entry| entry.id == id).unwrap();
        level[at].size = level[at].size.saturating_sub(size);
        if level[at].size == 0 {
            level.remove(at);
            if level.is_empty() {
                levels.remove(&price);
            }
            self.places.remove(&id);
        }
    }

    fn clear_side(&mut self, side: Side) {
        self.side_mut(side).clear();
        self.places.retain(|_, place| place.0 != side);
    }

    fn size(&self, id: u64) -> u32 {
        let (side, price) = self.places[&id];
        self.side(side)[&price].iter().find(|entry| entry.id == id).unwrap().size
    }

    fn side(&self, side: Side) -> &Levels {
        match side {
            Side::Bid => &self.bids,
            _ => &self.asks,
        }
    }

    fn side_mut(&mut self, side: Side) -> &mut Levels {
        match side {
            Side::Bid => &mut self.bids,
            _ => &mut self.asks,
        }
    }
}

fn fits(side: Side, price: i64, size: u32) -> bool {
    side != Side::None && price != UNDEF_PRICE && size > 0
}
