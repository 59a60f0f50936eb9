//! Books by others, for comparison.
//!
//! Each takes [`Step`]s, which name all of an order: looking up what an ITCH message leaves out costs
//! nobody here anything, and decoding is not in their figure. Both are to their advantage. None makes
//! records, digests or counters.

#[cfg(feature = "peers")]
mod hftbacktest;

#[cfg(feature = "peers")]
pub use hftbacktest::HftBacktest;

use crate::feed::{Resting, Step};
use lobster::{OrderBook, OrderType};
use wirebook_simulator::Side;

/// `lobster`: a matching engine, one an instrument. Orders in FIFO vectors of a B-tree's prices. It cannot
/// reduce an order, so that is a cancel and a new order, which loses its place.
pub struct Lobster(Vec<OrderBook>);

/// Orders that each `lobster` book has room for before it grows.
const LOBSTER_ORDERS: usize = 64;

impl Lobster {
    /// Books for so many instruments.
    pub fn new(instruments: u16) -> Self {
        let book = || OrderBook::new(LOBSTER_ORDERS, 4, false);
        Self((0..=instruments).map(|_| book()).collect())
    }

    /// Takes a step.
    pub fn apply(&mut self, step: &Step) {
        match step {
            Step::Add(order) => self.add(order),
            Step::Reduce(order) => {
                self.remove(order);
                self.add(order);
            }
            Step::Remove(order) => self.remove(order),
            Step::Replace(old, new) => {
                self.remove(old);
                self.add(new);
            }
            Step::Nothing => {}
        }
    }

    fn add(&mut self, order: &Resting) {
        let side = match order.side {
            Side::Buy => lobster::Side::Bid,
            Side::Sell => lobster::Side::Ask,
        };
        let id = u128::from(order.reference);
        let (qty, price) = (u64::from(order.shares), u64::from(order.price));
        self.book(order).execute(OrderType::Limit { id, side, qty, price });
    }

    fn remove(&mut self, order: &Resting) {
        self.book(order).execute(OrderType::Cancel { id: u128::from(order.reference) });
    }

    fn book(&mut self, order: &Resting) -> &mut OrderBook {
        &mut self.0[usize::from(order.stock_locate)]
    }
}
