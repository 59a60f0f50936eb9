//! One instrument: a price that walks at random, and a book of orders around it.

use crate::book::ModelBook;
use crate::itch::Side;
use rand::RngExt;
use rand_pcg::Pcg64;

/// Smallest price step: one cent.
pub(crate) const TICK: u32 = 100;
/// Lowest and highest price that an instrument walks to.
const PRICES: std::ops::RangeInclusive<u32> = 50_000..=20_000_000;
/// Furthest order from the instrument's price, in ticks.
const DEPTH_TICKS_MAX: u32 = 60;

#[derive(Clone, Debug)]
pub(crate) struct Instrument {
    pub(crate) symbol: String,
    pub(crate) price: u32,
    pub(crate) book: ModelBook,
    /// References of its resting orders, in no order.
    pub(crate) references: Vec<u64>,
    /// False from a halt to its resumption: orders come and go, nothing trades.
    pub(crate) is_trading: bool,
}

impl Instrument {
    pub(crate) fn new(number: u16, rng: &mut Pcg64) -> Self {
        let price = rng.random_range(100_000..=4_000_000u32);
        Self {
            symbol: format!("WB{number:03}"),
            price: price - price % TICK,
            book: ModelBook::default(),
            references: Vec::new(),
            is_trading: true,
        }
    }

    pub(crate) fn stock(&self) -> [u8; 8] {
        let mut stock = [b' '; 8];
        for (to, from) in stock.iter_mut().zip(self.symbol.bytes()) {
            *to = from;
        }
        stock
    }

    /// The price moves a tick up or down now and then.
    pub(crate) fn walk(&mut self, rng: &mut Pcg64) {
        let moved = match rng.random_range(0..16u32) {
            0 => self.price + TICK,
            1 => self.price - TICK,
            _ => return,
        };
        if PRICES.contains(&moved) {
            self.price = moved;
        }
    }

    /// A price on this side, near the instrument's own more often than far, that does not cross.
    pub(crate) fn quote(&self, side: Side, rng: &mut Pcg64) -> u32 {
        let near = rng.random::<u32>().trailing_zeros();
        let far = if near > 4 { rng.random_range(0..DEPTH_TICKS_MAX - 10) } else { 0 };
        let distance = TICK * (near + far).min(DEPTH_TICKS_MAX);
        match side {
            Side::Buy => {
                let price = self.price - distance;
                self.book.best(Side::Sell).map_or(price, |ask| price.min(ask - TICK))
            }
            Side::Sell => {
                let price = self.price + TICK + distance;
                self.book.best(Side::Buy).map_or(price, |bid| price.max(bid + TICK))
            }
        }
    }

    /// Who trades: the side towards which the price has walked past the book, or either.
    pub(crate) fn aggressor(&self, rng: &mut Pcg64) -> Side {
        if self.book.best(Side::Sell).is_some_and(|ask| ask < self.price) {
            Side::Buy
        } else if self.book.best(Side::Buy).is_some_and(|bid| bid > self.price) {
            Side::Sell
        } else if rng.random() {
            Side::Buy
        } else {
            Side::Sell
        }
    }
}

/// A size: one lot most often, more lots or an odd lot at times.
pub(crate) fn shares(rng: &mut Pcg64) -> u32 {
    match rng.random_range(0..10u32) {
        0..6 => 100,
        6..8 => lots(rng),
        _ => rng.random_range(1..100),
    }
}

pub(crate) fn lots(rng: &mut Pcg64) -> u32 {
    100 * rng.random_range(2..=10u32)
}
