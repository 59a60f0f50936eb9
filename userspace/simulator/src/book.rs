//! The plain model book: what every book must be.
//!
//! Two ordered maps an instrument, keyed by price and order reference. A reference is given once
//! and grows, so at one price the smallest is the oldest: price-time priority is the map's order.

use crate::itch::Side;
use std::collections::BTreeMap;

/// A book as it must be, best levels first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExpectedBook {
    /// Buying levels, the highest price first.
    pub bids: Vec<ExpectedLevel>,
    /// Selling levels, the lowest price first.
    pub asks: Vec<ExpectedLevel>,
}

/// A price level as it must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExpectedLevel {
    /// Price, 1/10,000.
    pub price: u32,
    /// Shares at it.
    pub shares: u64,
    /// Orders at it.
    pub orders: u32,
}

/// Shares of the resting orders of one instrument.
#[derive(Clone, Debug, Default)]
pub(crate) struct ModelBook {
    bids: BTreeMap<(u32, u64), u32>,
    asks: BTreeMap<(u32, u64), u32>,
}

impl ModelBook {
    pub(crate) fn set(&mut self, side: Side, price: u32, reference: u64, shares: u32) {
        let orders = self.side_mut(side);
        if shares == 0 {
            orders.remove(&(price, reference));
        } else {
            orders.insert((price, reference), shares);
        }
    }

    /// Best price of a side.
    pub(crate) fn best(&self, side: Side) -> Option<u32> {
        match side {
            Side::Buy => self.bids.last_key_value(),
            Side::Sell => self.asks.first_key_value(),
        }
        .map(|((price, _), _)| *price)
    }

    /// The order of a side that trades next.
    pub(crate) fn first(&self, side: Side) -> Option<u64> {
        let best = self.best(side)?;
        let orders = match side {
            Side::Buy => &self.bids,
            Side::Sell => &self.asks,
        };
        orders.range((best, 0)..).next().map(|((_, reference), _)| *reference)
    }

    pub(crate) fn expected(&self) -> ExpectedBook {
        let mut bids = levels(&self.bids);
        bids.reverse();
        ExpectedBook { bids, asks: levels(&self.asks) }
    }

    fn side_mut(&mut self, side: Side) -> &mut BTreeMap<(u32, u64), u32> {
        match side {
            Side::Buy => &mut self.bids,
            Side::Sell => &mut self.asks,
        }
    }
}

fn levels(orders: &BTreeMap<(u32, u64), u32>) -> Vec<ExpectedLevel> {
    let mut levels: Vec<ExpectedLevel> = Vec::new();
    for (&(price, _), &shares) in orders {
        match levels.last_mut() {
            Some(level) if level.price == price => {
                level.shares += u64::from(shares);
                level.orders += 1;
            }
            _ => levels.push(ExpectedLevel { price, shares: u64::from(shares), orders: 1 }),
        }
    }
    levels
}
