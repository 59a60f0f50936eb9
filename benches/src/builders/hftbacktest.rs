//! `hftbacktest`'s depth as a builder of books.

use crate::feed::{Resting, Step};
use hftbacktest::depth::{HashMapMarketDepth, L3MarketDepth};
use wirebook_simulator::Side;

/// `hftbacktest`'s depth, one an instrument: a hash map of orders, a hash map of sizes by price and side,
/// and the best prices; no queues.
pub struct HftBacktest(Vec<HashMapMarketDepth>);

impl HftBacktest {
    /// Books for so many instruments.
    pub fn new(instruments: u16) -> Self {
        Self((0..=instruments).map(|_| HashMapMarketDepth::new(100.0, 1.0)).collect())
    }

    /// Takes a step. What it refuses is a mistake of the comparison.
    pub fn apply(&mut self, step: &Step) {
        let taken = match step {
            Step::Add(order) => self.add(order),
            Step::Reduce(order) => {
                let (price, shares) = (f64::from(order.price), f64::from(order.shares));
                self.book(order).modify_order(order.reference, price, shares, 0).is_ok()
            }
            Step::Remove(order) => self.book(order).delete_order(order.reference, 0).is_ok(),
            Step::Replace(old, new) => {
                self.book(old).delete_order(old.reference, 0).is_ok() && self.add(new)
            }
            Step::Nothing => true,
        };
        assert!(taken, "refused: {step:?}");
    }

    fn add(&mut self, order: &Resting) -> bool {
        let Resting { reference, side, .. } = *order;
        let (price, shares) = (f64::from(order.price), f64::from(order.shares));
        let book = self.book(order);
        match side {
            Side::Buy => book.add_buy_order(reference, price, shares, 0).is_ok(),
            Side::Sell => book.add_sell_order(reference, price, shares, 0).is_ok(),
        }
    }

    fn book(&mut self, order: &Resting) -> &mut HashMapMarketDepth {
        &mut self.0[usize::from(order.stock_locate)]
    }
}
