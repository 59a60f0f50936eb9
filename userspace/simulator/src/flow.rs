//! Order flow: who does what, where, at what price.
//!
//! Instruments are chosen by Zipf's law; each has a price that walks at random and a spread of
//! orders around it. The mix is that of a day of Nasdaq: 47 adds, 39 deletes, 8 replaces, 4
//! executions and trades, 1 cancel in a hundred; now and then a trade is broken, and an instrument
//! is halted. A price that would cross the book is moved to the last one that does not: what would
//! trade, trades in an execution of its own. Integer arithmetic alone, so that every host makes
//! the same market.

use crate::book::ExpectedBook;
use crate::halts::{Halts, Next};
use crate::instrument::{Instrument, TICK, lots, shares};
use crate::itch::{Body, Side};
use rand::RngExt;
use rand_pcg::Pcg64;
use std::collections::{BTreeMap, VecDeque};

/// Most resting orders that one incoming order trades with.
const SWEEP_ORDERS_MAX: u64 = 4;

/// Of how many of the last matches one may still be broken.
const BREAKABLE_MAX: usize = 64;

/// What can be done, in ten-thousandths.
const MIX: [(Action, u32); 9] = [
    (Action::Add, 4_460),
    (Action::AddWithMpid, 190),
    (Action::Delete, 4_070),
    (Action::Replace, 810),
    (Action::Sweep, 205),
    (Action::Cancel, 135),
    (Action::Trade, 80),
    (Action::ExecuteWithPrice, 45),
    (Action::Break, 5),
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
    Break,
}

#[derive(Clone, Debug)]
pub(crate) struct Flow {
    instruments: Vec<Instrument>,
    /// Sums of the instruments' weights.
    popularity: Vec<u64>,
    orders: BTreeMap<u64, Order>,
    last_reference: u64,
    last_match: u64,
    /// Instrument and number of the last matches that are not broken.
    breakable: VecDeque<(u16, u64)>,
    halts: Halts,
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
            breakable: VecDeque::new(),
            halts: Halts::default(),
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
        let before = said.len();
        if is_open {
            self.halt_or_resume(room, rng, said);
            if said.len() > before {
                return;
            }
        }
        let index = self.choose_instrument(rng);
        let instrument = &mut self.instruments[usize::from(index)];
        instrument.walk(rng);
        let trades_now = is_open && instrument.is_trading;
        let action = choose_action(rng);
        let trades = matches!(action, Action::Sweep | Action::Trade | Action::ExecuteWithPrice);
        if trades_now || !trades {
            match action {
                Action::Add | Action::AddWithMpid => {}
                Action::Delete => said.extend(self.delete(index, rng)),
                Action::Replace => said.extend(self.replace(index, rng)),
                Action::Cancel => said.extend(self.cancel(index, rng)),
                Action::Sweep => self.sweep(index, room.min(SWEEP_ORDERS_MAX), rng, said),
                Action::Trade => said.extend(self.trade(index, rng)),
                Action::ExecuteWithPrice => said.extend(self.execute_with_price(index, rng)),
                Action::Break => said.extend(self.break_trade(rng)),
            }
        }
        // What the book had no orders for becomes an order.
        if said.len() == before {
            said.push_back(self.add(index, action == Action::AddWithMpid, rng));
        }
    }

    /// The imbalance before an auction: `O` at the open, `C` at the close, `H` after a halt.
    pub(crate) fn imbalance(&mut self, instrument: u16, cross_type: u8, rng: &mut Pcg64) -> Body {
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
            cross_type,
        }
    }

    /// The volume of an auction; none for an instrument that is halted.
    pub(crate) fn cross(&mut self, instrument: u16, cross_type: u8, rng: &mut Pcg64) -> Body {
        let Instrument { price, is_trading, .. } = self.instruments[usize::from(instrument)];
        let shares = u64::from(lots(rng)) * 50;
        Body::CrossTrade {
            shares: if is_trading || cross_type == b'H' { shares } else { 0 },
            stock: self.stock(instrument),
            price,
            match_number: self.next_match(instrument),
            cross_type,
        }
    }

    /// The whole market is halted: it fell through level 1.
    pub(crate) fn halt_market(&mut self, said: &mut VecDeque<(u16, Body)>) {
        self.halts.begin_market_wide(&mut self.instruments, said);
    }

    /// Says what is due of the halts that have begun, or begins one, in at most `room` messages.
    fn halt_or_resume(&mut self, room: u64, rng: &mut Pcg64, said: &mut VecDeque<(u16, Body)>) {
        if room < Halts::STEP_MESSAGES_MAX {
            return;
        }
        if let Some((index, halt)) = self.halts.due() {
            self.halts.go_on(index, halt, &mut self.instruments, rng, said);
            let auction = match halt.next {
                Next::Quotes => self.imbalance(index, b'H', rng),
                Next::Trading => self.cross(index, b'H', rng),
            };
            said.push_back((index + 1, auction));
        } else if Halts::begins(rng) {
            let index = self.choose_instrument(rng);
            self.halts.begin(index, &mut self.instruments, rng, said);
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
            let match_number = self.next_match(index);
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
        let match_number = self.next_match(index);
        Some((index + 1, Body::Trade { shares, stock, price: bid.midpoint(ask), match_number }))
    }

    /// A resting order trades at a better price than its own.
    fn execute_with_price(&mut self, index: u16, rng: &mut Pcg64) -> Option<(u16, Body)> {
        let book = &self.instruments[usize::from(index)].book;
        let (bid, ask) = (book.best(Side::Buy)?, book.best(Side::Sell)?);
        let reference = book.first(if rng.random() { Side::Buy } else { Side::Sell })?;
        let shares = rng.random_range(1..=self.orders.get(&reference)?.shares);
        self.reduce(reference, shares);
        let match_number = self.next_match(index);
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

    /// A recent match is undone.
    fn break_trade(&mut self, rng: &mut Pcg64) -> Option<(u16, Body)> {
        if self.breakable.is_empty() {
            return None;
        }
        let chosen = rng.random_range(0..self.breakable.len() as u64) as usize;
        let (index, match_number) = self.breakable.remove(chosen)?;
        Some((index + 1, Body::BrokenTrade { match_number }))
    }

    fn next_match(&mut self, index: u16) -> u64 {
        self.last_match += 1;
        if self.breakable.len() == BREAKABLE_MAX {
            self.breakable.pop_front();
        }
        self.breakable.push_back((index, self.last_match));
        self.last_match
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
