//! Order flow: who does what, where, at what price.
//!
//! Instruments are chosen by Zipf's law; each has a price that walks at random and a spread of
//! orders around it. The mix is close to a day of Nasdaq: 44 adds, 36 deletes, 10 replaces, 6
//! executions, 3 cancels and 1 trade in a hundred. A price that would cross the book is moved to
//! the last one that does not: what would trade, trades in an execution of its own. Integer
//! arithmetic alone, so that every host makes the same market.

use crate::book::{ExpectedBook, ModelBook};
use crate::itch::{Body, Side};
use rand::RngExt;
use rand_pcg::Pcg64;
use std::collections::{BTreeMap, VecDeque};

/// Smallest price step: one cent.
const TICK: u32 = 100;
/// Lowest and highest price that an instrument walks to.
const PRICES: std::ops::RangeInclusive<u32> = 50_000..=20_000_000;
/// Furthest order from the instrument's price, in ticks.
const DEPTH_TICKS_MAX: u32 = 60;
/// Most resting orders that one incoming order trades with.
const SWEEP_ORDERS_MAX: u64 = 4;

/// What can be done, in thousandths.
const MIX: [(Action, u32); 8] = [
    (Action::Add, 432),
    (Action::AddWithMpid, 20),
    (Action::Delete, 362),
    (Action::Replace, 100),
    (Action::Sweep, 42),
    (Action::Cancel, 32),
    (Action::Trade, 8),
    (Action::ExecuteWithPrice, 4),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Add,
    AddWithMpid,
    Delete,
    Replace,
    Sweep,
    Cancel,
    Trade,
    ExecuteWithPrice,
}

#[derive(Clone, Debug)]
pub(crate) struct Flow {
    instruments: Vec<Instrument>,
    /// Sums of the instruments' weights.
    popularity: Vec<u64>,
    orders: BTreeMap<u64, Order>,
    last_reference: u64,
    last_match: u64,
}

#[derive(Clone, Debug)]
struct Instrument {
    symbol: String,
    price: u32,
    book: ModelBook,
    /// References of its resting orders, in no order.
    references: Vec<u64>,
}

#[derive(Clone, Copy, Debug)]
struct Order {
    instrument: u16,
    side: Side,
    price: u32,
    shares: u32,
    /// Its place in the instrument's references.
    place: usize,
}

impl Flow {
    pub(crate) fn new(instruments: u16, rng: &mut Pcg64) -> Self {
        const WEIGHT: u64 = 1 << 32;
        let popularity = (1..=u64::from(instruments)).scan(0, |sum, rank| {
            *sum += WEIGHT / rank;
            Some(*sum)
        });
        Self {
            popularity: popularity.collect(),
            instruments: (1..=instruments).map(|number| Instrument::new(number, rng)).collect(),
            orders: BTreeMap::new(),
            last_reference: 0,
            last_match: 0,
        }
    }

    pub(crate) fn symbols(&self) -> impl Iterator<Item = &str> {
        self.instruments.iter().map(|instrument| instrument.symbol.as_str())
    }

    pub(crate) fn stock(&self, instrument: u16) -> [u8; 8] {
        self.instruments[usize::from(instrument)].stock()
    }

    pub(crate) fn book(&self, symbol: &str) -> Option<ExpectedBook> {
        let instrument = self.instruments.iter().find(|instrument| instrument.symbol == symbol)?;
        Some(instrument.book.expected())
    }

    pub(crate) fn live_orders(&self) -> usize {
        self.orders.len()
    }

    /// Does one thing, in at least one and at most `room` messages.
    pub(crate) fn step(
        &mut self,
        is_open: bool,
        room: u64,
        rng: &mut Pcg64,
        said: &mut VecDeque<(u16, Body)>,
    ) {
        let index = self.choose_instrument(rng);
        self.instruments[usize::from(index)].walk(rng);
        let action = choose_action(rng);
        let trades = matches!(action, Action::Sweep | Action::Trade | Action::ExecuteWithPrice);
        let before = said.len();
        if is_open || !trades {
            match action {
                Action::Add | Action::AddWithMpid => {}
                Action::Delete => said.extend(self.delete(index, rng)),
                Action::Replace => said.extend(self.replace(index, rng)),
                Action::Cancel => said.extend(self.cancel(index, rng)),
                Action::Sweep => self.sweep(index, room.min(SWEEP_ORDERS_MAX), rng, said),
                Action::Trade => said.extend(self.trade(index, rng)),
                Action::ExecuteWithPrice => said.extend(self.execute_with_price(index, rng)),
            }
        }
        // What the book had no orders for becomes an order.
        if said.len() == before {
            said.push_back(self.add(index, action == Action::AddWithMpid, rng));
        }
    }

    pub(crate) fn imbalance(&mut self, instrument: u16, rng: &mut Pcg64) -> Body {
        let Instrument { price, .. } = self.instruments[usize::from(instrument)];
        let imbalance_shares = u64::from(lots(rng)) * u64::from(rng.random_range(0..20u32));
        let direction = match imbalance_shares {
            0 => b'N',
            _ if rng.random() => b'B',
            _ => b'S',
        };
        Body::Imbalance {
            paired_shares: u64::from(lots(rng)) * 50,
            imbalance_shares,
            direction,
            stock: self.stock(instrument),
            far_price: price - TICK,
            near_price: price + TICK,
            reference_price: price,
            cross_type: b'O',
        }
    }

    pub(crate) fn opening_cross(&mut self, instrument: u16, rng: &mut Pcg64) -> Body {
        Body::CrossTrade {
            shares: u64::from(lots(rng)) * 50,
            stock: self.stock(instrument),
            price: self.instruments[usize::from(instrument)].price,
            match_number: self.next_match(),
            cross_type: b'O',
        }
    }

    fn add(&mut self, index: u16, with_mpid: bool, rng: &mut Pcg64) -> (u16, Body) {
        let side = if rng.random() { Side::Buy } else { Side::Sell };
        let price = self.instruments[usize::from(index)].quote(side, rng);
        let shares = shares(rng);
        let reference = self.insert(index, side, price, shares);
        let mpid = with_mpid.then_some(*b"WBMM");
        let stock = self.stock(index);
        (index + 1, Body::Add { reference, side, shares, stock, price, mpid })
    }

    fn delete(&mut self, index: u16, rng: &mut Pcg64) -> Option<(u16, Body)> {
        let reference = self.choose_order(index, rng)?;
        self.remove(reference);
        Some((index + 1, Body::Delete { reference }))
    }

    fn replace(&mut self, index: u16, rng: &mut Pcg64) -> Option<(u16, Body)> {
        let reference = self.choose_order(index, rng)?;
        let Order { side, .. } = self.remove(reference)?;
        let price = self.instruments[usize::from(index)].quote(side, rng);
        let shares = shares(rng);
        let new_reference = self.insert(index, side, price, shares);
        Some((index + 1, Body::Replace { reference, new_reference, shares, price }))
    }

    fn cancel(&mut self, index: u16, rng: &mut Pcg64) -> Option<(u16, Body)> {
        let reference = self.choose_order(index, rng)?;
        let resting = self.orders.get(&reference)?.shares;
        if resting < 2 {
            return None;
        }
        let shares = rng.random_range(1..resting);
        self.reduce(reference, shares);
        Some((index + 1, Body::Cancel { reference, shares }))
    }

    /// An incoming order trades with what rests best on the other side.
    fn sweep(
        &mut self,
        index: u16,
        orders_max: u64,
        rng: &mut Pcg64,
        said: &mut VecDeque<(u16, Body)>,
    ) {
        let resting_side = self.instruments[usize::from(index)].aggressor(rng).opposite();
        let mut left = shares(rng);
        for _ in 0..orders_max {
            let Some(reference) = self.instruments[usize::from(index)].book.first(resting_side)
            else {
                break;
            };
            let Some(order) = self.orders.get(&reference) else { break };
            let shares = order.shares.min(left);
            left -= shares;
            self.reduce(reference, shares);
            let match_number = self.next_match();
            said.push_back((index + 1, Body::Execute { reference, shares, match_number }));
            if left == 0 {
                break;
            }
        }
    }

    /// A match with an order that is not displayed, between the best prices.
    fn trade(&mut self, index: u16, rng: &mut Pcg64) -> Option<(u16, Body)> {
        let book = &self.instruments[usize::from(index)].book;
        let (bid, ask) = (book.best(Side::Buy)?, book.best(Side::Sell)?);
        let (stock, shares) = (self.stock(index), shares(rng));
        let match_number = self.next_match();
        Some((index + 1, Body::Trade { shares, stock, price: bid.midpoint(ask), match_number }))
    }

    /// A resting order trades at a better price than its own.
    fn execute_with_price(&mut self, index: u16, rng: &mut Pcg64) -> Option<(u16, Body)> {
        let book = &self.instruments[usize::from(index)].book;
        let (bid, ask) = (book.best(Side::Buy)?, book.best(Side::Sell)?);
        let reference = book.first(if rng.random() { Side::Buy } else { Side::Sell })?;
        let shares = rng.random_range(1..=self.orders.get(&reference)?.shares);
        self.reduce(reference, shares);
        let match_number = self.next_match();
        let (price, printable) = (bid.midpoint(ask), rng.random_range(0..4u32) != 0);
        let body = Body::ExecuteWithPrice { reference, shares, match_number, printable, price };
        Some((index + 1, body))
    }

    fn insert(&mut self, index: u16, side: Side, price: u32, shares: u32) -> u64 {
        self.last_reference += 1;
        let reference = self.last_reference;
        let instrument = &mut self.instruments[usize::from(index)];
        let place = instrument.references.len();
        instrument.references.push(reference);
        instrument.book.set(side, price, reference, shares);
        self.orders.insert(reference, Order { instrument: index, side, price, shares, place });
        reference
    }

    fn reduce(&mut self, reference: u64, shares: u32) {
        let Some(order) = self.orders.get_mut(&reference) else { return };
        order.shares -= shares;
        let Order { instrument, side, price, shares, .. } = *order;
        if shares == 0 {
            self.remove(reference);
        } else {
            self.instruments[usize::from(instrument)].book.set(side, price, reference, shares);
        }
    }

    fn remove(&mut self, reference: u64) -> Option<Order> {
        let order = self.orders.remove(&reference)?;
        let instrument = &mut self.instruments[usize::from(order.instrument)];
        instrument.book.set(order.side, order.price, reference, 0);
        instrument.references.swap_remove(order.place);
        if let Some(moved) = instrument.references.get(order.place)
            && let Some(moved) = self.orders.get_mut(moved)
        {
            moved.place = order.place;
        }
        Some(order)
    }

    fn choose_instrument(&self, rng: &mut Pcg64) -> u16 {
        let total = self.popularity.last().copied().unwrap_or(1);
        let chosen = rng.random_range(0..total);
        self.popularity.partition_point(|&sum| sum <= chosen) as u16
    }

    fn choose_order(&self, index: u16, rng: &mut Pcg64) -> Option<u64> {
        let references = &self.instruments[usize::from(index)].references;
        if references.is_empty() {
            return None;
        }
        references.get(rng.random_range(0..references.len() as u64) as usize).copied()
    }

    fn next_match(&mut self) -> u64 {
        self.last_match += 1;
        self.last_match
    }
}

impl Instrument {
    fn new(number: u16, rng: &mut Pcg64) -> Self {
        let price = rng.random_range(100_000..=4_000_000u32);
        Self {
            symbol: format!("WB{number:03}"),
            price: price - price % TICK,
            book: ModelBook::default(),
            references: Vec::new(),
        }
    }

    fn stock(&self) -> [u8; 8] {
        let mut stock = [b' '; 8];
        for (to, from) in stock.iter_mut().zip(self.symbol.bytes()) {
            *to = from;
        }
        stock
    }

    /// The price moves a tick up or down now and then.
    fn walk(&mut self, rng: &mut Pcg64) {
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
    fn quote(&self, side: Side, rng: &mut Pcg64) -> u32 {
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
    fn aggressor(&self, rng: &mut Pcg64) -> Side {
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

fn choose_action(rng: &mut Pcg64) -> Action {
    let mut chosen = rng.random_range(0..MIX.iter().map(|(_, share)| share).sum());
    for (action, share) in MIX {
        if chosen < share {
            return action;
        }
        chosen -= share;
    }
    Action::Add
}

/// A size: one lot most often, more lots or an odd lot at times.
fn shares(rng: &mut Pcg64) -> u32 {
    match rng.random_range(0..10u32) {
        0..6 => 100,
        6..8 => lots(rng),
        _ => rng.random_range(1..100),
    }
}

fn lots(rng: &mut Pcg64) -> u32 {
    100 * rng.random_range(2..=10u32)
}
