//! The live orders of a generated day, and which of them is spoken of next.
//!
//! An instrument's orders lie in a vector, the newest at the back; one that goes is replaced by the
//! last. So picking, adding and removing take no search, whatever the number of orders.

use super::Layout;
use crate::itch::Side;
use rand::RngExt;
use rand_pcg::Pcg64;

/// Smallest price step: one cent.
const TICK: u32 = 100;

/// Of a hundred picks in the bursty layout, how many are of the newest orders; a few of any.
const NEWEST_PERCENT: u32 = 75;
const NEW_PERCENT: u32 = 98;

/// How many orders are the newest, and how many are new.
const NEWEST: usize = 8;
const NEW: usize = 32;

/// An execution takes the best priced of so many.
const EXECUTION_DRAWS: usize = 8;

#[derive(Clone, Copy, Debug)]
pub(super) struct Order {
    pub(super) reference: u64,
    pub(super) price: u32,
    pub(super) shares: u32,
    is_sell: bool,
}

impl Order {
    pub(super) fn new(reference: u64, side: Side, price: u32, shares: u32) -> Self {
        Self { reference, price, shares, is_sell: side == Side::Sell }
    }

    pub(super) fn side(&self) -> Side {
        if self.is_sell { Side::Sell } else { Side::Buy }
    }
}

#[derive(Clone, Debug)]
struct Instrument {
    /// All bids are at or below it, all asks above.
    price: u32,
    orders: Vec<Order>,
}

#[derive(Clone, Debug)]
pub(super) struct Instruments {
    instruments: Vec<Instrument>,
    layout: Layout,
    /// Sums of the instruments' weights.
    popularity: Vec<u64>,
    live: u64,
}

impl Instruments {
    pub(super) fn new(count: u16, layout: Layout, rng: &mut Pcg64) -> Self {
        const WEIGHT: u64 = 1 << 32;
        let instrument = |_| Instrument {
            price: TICK * rng.random_range(1_000..=40_000u32),
            orders: Vec::new(),
        };
        let popularity = (1..=u64::from(count)).scan(0, |sum, rank| {
            *sum += WEIGHT / rank;
            Some(*sum)
        });
        Self {
            instruments: (0..count).map(instrument).collect(),
            layout,
            popularity: popularity.collect(),
            live: 0,
        }
    }

    /// Orders in all books.
    pub(super) fn live(&self) -> u64 {
        self.live
    }

    /// An instrument: by popularity, or any.
    pub(super) fn any(&self, rng: &mut Pcg64) -> u16 {
        match self.layout {
            Layout::Cold => rng.random_range(0..self.instruments.len() as u16),
            Layout::Bursty => {
                let all = self.popularity.last().copied().unwrap_or(1);
                let at = rng.random_range(0..all);
                self.popularity.partition_point(|&sum| sum <= at) as u16
            }
        }
    }

    /// Its symbol: `WB` and its number.
    pub(super) fn stock(&self, instrument: u16) -> [u8; 8] {
        let mut stock = *b"WB00001 ";
        let mut number = u32::from(instrument) + 1;
        for digit in stock[2..7].iter_mut().rev() {
            *digit = b'0' + (number % 10) as u8;
            number /= 10;
        }
        stock
    }

    pub(super) fn price(&self, instrument: u16) -> u32 {
        self.instruments[usize::from(instrument)].price
    }

    /// A price on this side: half are at the best, a quarter a tick behind it, and so on; one in
    /// sixteen is far out.
    pub(super) fn quote(&self, instrument: u16, side: Side, rng: &mut Pcg64) -> u32 {
        let drawn = rng.random::<u32>();
        let near = drawn.trailing_zeros().min(12);
        let far = if drawn >> 28 == 0 { rng.random_range(0..500) } else { 0 };
        let (price, distance) = (self.price(instrument), TICK * (near + far));
        match side {
            Side::Buy => price - distance,
            Side::Sell => price + TICK + distance,
        }
    }

    /// The place of an order of this instrument; none where it has none.
    pub(super) fn pick(&self, instrument: u16, executes: bool, rng: &mut Pcg64) -> Option<usize> {
        let Instrument { price, orders } = &self.instruments[usize::from(instrument)];
        let count = orders.len();
        if count == 0 {
            return None;
        }
        if executes {
            let draws =
                std::array::from_fn::<_, EXECUTION_DRAWS, _>(|_| rng.random_range(0..count));
            return draws.into_iter().min_by_key(|&place| orders[place].price.abs_diff(*price));
        }
        let among = match (self.layout, rng.random_range(0..100u32)) {
            (Layout::Bursty, ..NEWEST_PERCENT) => NEWEST,
            (Layout::Bursty, ..NEW_PERCENT) => NEW,
            _ => count,
        };
        Some(count - 1 - rng.random_range(0..among.min(count)))
    }

    pub(super) fn order(&self, instrument: u16, place: usize) -> &Order {
        &self.instruments[usize::from(instrument)].orders[place]
    }

    pub(super) fn insert(&mut self, instrument: u16, order: Order) {
        self.instruments[usize::from(instrument)].orders.push(order);
        self.live += 1;
    }

    pub(super) fn remove(&mut self, instrument: u16, place: usize) {
        self.instruments[usize::from(instrument)].orders.swap_remove(place);
        self.live -= 1;
    }

    /// Takes shares from an order, and the order where nothing remains.
    pub(super) fn reduce(&mut self, instrument: u16, place: usize, shares: u32) {
        let order = &mut self.instruments[usize::from(instrument)].orders[place];
        order.shares -= shares;
        if order.shares == 0 {
            self.remove(instrument, place);
        }
    }
}
