//! A Nasdaq day at the size of a real one: what the books' tables meet, not what an auction means.
//!
//! Arrives: a [`DayConfig`]. Leaves: an iterator of ITCH messages: the directory, an opening in which
//! the books fill to [`DayConfig::live_orders`], hours in which they stay there, a closing in which
//! they empty but for a few orders. It is made for benchmarks, so a message costs tens of nanoseconds and the memory is that
//! of the live orders; [`Market`](crate::Market) knows auctions, halts and every book instead.
//!
//! **The mix** is that of a whole day: the census of all 368,366,634 messages of Nasdaq's sample file
//! 01302019.NASDAQ_ITCH50 (<https://emi.nasdaq.com/ITCH/>; the counts stand in [`MIX`]). Filling and
//! emptying turn deletes into adds and adds into deletes, so over a whole day the mix holds.
//!
//! **The bursts** have the lengths of those in LOBSTER's sample of Nasdaq's AAPL, 2012-06-21
//! (<https://lobsterdata.com/info/DataSamples.php>): events less than 100 µs apart. There too, nearly
//! every deleted order was among the newest of its instrument.
//!
//! Promises: the same configuration gives the same bytes on every host; every order reference is valid
//! when it is used; no book is ever crossed, as the price between its sides stays what it was.

mod orders;

use crate::itch::{Body, Message, Side};
use crate::timing::Timing;
use orders::{Instruments, Order};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;

/// What can be said, in parts of [`MIX_SUM`]: messages of that type in the census. The rest of it
/// (directory, positions, crosses and what is rarer than one in ten thousand) is left out.
const MIX: [(Action, u32); 10] = [
    (Action::Add, 162_970_455),
    (Action::Delete, 158_273_361),
    (Action::Replace, 27_222_746),
    (Action::Execute, 8_096_995),
    (Action::Cancel, 4_669_874),
    (Action::Imbalance, 3_684_511),
    (Action::AddWithMpid, 1_725_898),
    (Action::Trade, 1_326_184),
    (Action::ExecuteWithPrice, 158_886),
    (Action::Break, 116),
];

/// All of [`MIX`].
const MIX_SUM: u32 = 368_129_026;

/// Bursts in a thousand, and the shortest and longest of them, in messages.
const BURSTS: [(u32, u32, u32); 6] =
    [(576, 1, 1), (140, 2, 2), (207, 3, 4), (64, 5, 8), (9, 9, 16), (4, 17, 32)];

/// Messages before the order flow that are no instrument's: start of messages and of system hours.
const SYSTEM_EVENTS: u64 = 2;

/// The parts of the order flow, in quarters: opening, two of hours, closing.
const QUARTERS: u64 = 4;

/// How far the live orders may be from where they are to be, in parts of their peak.
const BAND_SHARE: u64 = 1_024;

/// Of the messages of the opening, in percent, how many can fill the books.
const FILLING_PERCENT: u64 = 80;

/// Most instruments: stock locates are 16 bits, and 0 is the market's.
const INSTRUMENTS_MAX: u16 = u16::MAX - 1;

/// In which order instruments and orders are spoken of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// As in the real flow: instruments by Zipf's law and in bursts, mostly of their newest orders.
    Bursty,
    /// Nothing that was just touched is touched again: each message is of any instrument, and of any
    /// of its orders.
    Cold,
}

/// What to generate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DayConfig {
    /// The same seed gives the same bytes.
    pub seed: u64,
    /// Instruments, from 1.
    pub instruments: u16,
    /// Orders that rest in all books between opening and closing.
    pub live_orders: u32,
    /// Messages in all, at least [`DayConfig::messages_min`].
    pub messages: u64,
    /// In which order things are spoken of.
    pub layout: Layout,
}

impl Default for DayConfig {
    /// 8,700 instruments, as Nasdaq's directory has, 1.5 million live orders, 20 million messages.
    fn default() -> Self {
        Self {
            seed: 1,
            instruments: 8_700,
            live_orders: 1_500_000,
            messages: 20_000_000,
            layout: Layout::Bursty,
        }
    }
}

impl DayConfig {
    /// The fewest messages in which so many orders come and go.
    pub fn messages_min(&self) -> u64 {
        self.fixed() + QUARTERS * u64::from(self.live_orders) * 100 / FILLING_PERCENT
    }

    /// Messages before the order flow.
    fn fixed(&self) -> u64 {
        SYSTEM_EVENTS + u64::from(self.instruments)
    }
}

/// Why there is no such day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DayError {
    /// Too many or too few instruments.
    #[error("expected 1 to {INSTRUMENTS_MAX} instruments, found {0}")]
    Instruments(u16),
    /// Too few messages for the orders.
    #[error("expected at least {least} messages for {live_orders} live orders, found {found}")]
    TooFewMessages {
        /// The fewest possible.
        least: u64,
        /// Live orders asked for.
        live_orders: u32,
        /// Messages asked for.
        found: u64,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Add,
    AddWithMpid,
    Delete,
    Replace,
    Execute,
    ExecuteWithPrice,
    Cancel,
    Trade,
    Break,
    Imbalance,
}

/// A day that is being generated.
#[derive(Clone, Debug)]
pub struct Day {
    config: DayConfig,
    rng: Pcg64,
    instruments: Instruments,
    timing: Timing,
    /// Messages given so far.
    given: u64,
    last_reference: u64,
    last_match: u64,
    /// The instrument that the burst is about, and how many of its messages are left.
    instrument: u16,
    left_in_burst: u32,
}

impl Day {
    /// A day at its beginning.
    ///
    /// # Errors
    /// [`DayError`] where the configuration contradicts itself.
    pub fn new(config: DayConfig) -> Result<Self, DayError> {
        let DayConfig { instruments, live_orders, messages, .. } = config;
        if !(1..=INSTRUMENTS_MAX).contains(&instruments) {
            return Err(DayError::Instruments(instruments));
        }
        let least = config.messages_min();
        if messages < least {
            return Err(DayError::TooFewMessages { least, live_orders, found: messages });
        }
        const OPENS_NS: u64 = 34_200_000_000_000;
        const TRADING_NS: u64 = 23_400_000_000_000;
        let mut rng = Pcg64::seed_from_u64(config.seed);
        Ok(Self {
            instruments: Instruments::new(instruments, config.layout, &mut rng),
            rng,
            timing: Timing::new(messages, TRADING_NS).after(OPENS_NS),
            config,
            given: 0,
            last_reference: 0,
            last_match: 0,
            instrument: 0,
            left_in_burst: 0,
        })
    }

    /// The configuration.
    pub fn config(&self) -> &DayConfig {
        &self.config
    }

    /// Orders that rest in the books.
    pub fn live_orders(&self) -> u64 {
        self.instruments.live()
    }

    /// Messages until the books have filled.
    pub fn opening_messages(&self) -> u64 {
        self.config.fixed() + self.flow_messages() / QUARTERS
    }

    fn flow_messages(&self) -> u64 {
        self.config.messages - self.config.fixed()
    }

    /// How many orders are to be live by now.
    fn live_wanted(&self) -> u64 {
        let peak = u64::from(self.config.live_orders);
        let quarter = (self.flow_messages() / QUARTERS).max(1);
        let left = self.config.messages - self.given;
        (peak * (self.given - self.config.fixed()) / quarter).min(peak * left / quarter).min(peak)
    }

    /// What is said before the order flow.
    fn fixed(&self) -> (u16, Body) {
        match self.given {
            0 => (0, Body::SystemEvent { event_code: b'O' }),
            number if number < self.config.fixed() - 1 => {
                let index = (number - 1) as u16;
                (index + 1, Body::StockDirectory { stock: self.instruments.stock(index) })
            }
            _ => (0, Body::SystemEvent { event_code: b'S' }),
        }
    }

    fn flow(&mut self) -> (u16, Body) {
        if self.left_in_burst == 0 {
            self.instrument = self.instruments.any(&mut self.rng);
            self.left_in_burst = match self.config.layout {
                Layout::Bursty => burst_messages(&mut self.rng),
                Layout::Cold => 1,
            };
            self.timing.begin_burst();
        }
        self.left_in_burst -= 1;
        let action = drawn(&mut self.rng);
        let action = self.steered(action);
        (self.instrument + 1, self.body(action))
    }

    /// Keeps the live orders near where they are to be.
    fn steered(&self, action: Action) -> Action {
        let (live, wanted) = (self.instruments.live(), self.live_wanted());
        let band = u64::from(self.config.live_orders) / BAND_SHARE;
        match action {
            Action::Delete if live + band < wanted => Action::Add,
            Action::Add | Action::AddWithMpid if live > wanted + band => Action::Delete,
            _ => action,
        }
    }

    fn body(&mut self, action: Action) -> Body {
        let stock = self.instruments.stock(self.instrument);
        match action {
            Action::Add => return self.add(None),
            Action::AddWithMpid => return self.add(Some(*b"WBMM")),
            Action::Break => return Body::BrokenTrade { match_number: self.last_match },
            Action::Trade => {
                let price = self.instruments.price(self.instrument);
                let shares = shares(&mut self.rng);
                return Body::Trade { shares, stock, price, match_number: self.next_match() };
            }
            Action::Imbalance => {
                let price = self.instruments.price(self.instrument);
                return Body::Imbalance {
                    paired_shares: 100 * u64::from(shares(&mut self.rng)),
                    imbalance_shares: u64::from(shares(&mut self.rng)),
                    direction: b'B',
                    stock,
                    far_price: price,
                    near_price: price,
                    reference_price: price,
                    cross_type: b'C',
                };
            }
            _ => {}
        }
        let executes = matches!(action, Action::Execute | Action::ExecuteWithPrice);
        let rng = &mut self.rng;
        let Some(place) = self.instruments.pick(self.instrument, executes, rng) else {
            return self.add(None);
        };
        let order = *self.instruments.order(self.instrument, place);
        let reference = order.reference;
        match action {
            Action::Replace => {
                self.instruments.remove(self.instrument, place);
                let new = self.new_order(order.side());
                self.instruments.insert(self.instrument, new);
                let (new_reference, shares, price) = (new.reference, new.shares, new.price);
                Body::Replace { reference, new_reference, shares, price }
            }
            Action::Cancel if order.shares > 1 => {
                let shares = self.rng.random_range(1..order.shares);
                self.instruments.reduce(self.instrument, place, shares);
                Body::Cancel { reference, shares }
            }
            Action::Execute | Action::ExecuteWithPrice => {
                let whole = order.shares == 1 || self.rng.random();
                let shares =
                    if whole { order.shares } else { self.rng.random_range(1..order.shares) };
                self.instruments.reduce(self.instrument, place, shares);
                let (match_number, price) = (self.next_match(), order.price);
                match action {
                    Action::Execute => Body::Execute { reference, shares, match_number },
                    _ => {
                        let printable = true;
                        Body::ExecuteWithPrice { reference, shares, match_number, printable, price }
                    }
                }
            }
            _ => {
                self.instruments.remove(self.instrument, place);
                Body::Delete { reference }
            }
        }
    }

    fn add(&mut self, mpid: Option<[u8; 4]>) -> Body {
        let side = if self.rng.random() { Side::Buy } else { Side::Sell };
        let order = self.new_order(side);
        self.instruments.insert(self.instrument, order);
        let Order { reference, price, shares, .. } = order;
        let stock = self.instruments.stock(self.instrument);
        Body::Add { reference, side, shares, stock, price, mpid }
    }

    /// References count up in steps of 4 and more, as in captures of the real feed.
    fn new_order(&mut self, side: Side) -> Order {
        self.last_reference += 4 * self.rng.random_range(1..=4u64);
        let price = self.instruments.quote(self.instrument, side, &mut self.rng);
        Order::new(self.last_reference, side, price, shares(&mut self.rng))
    }

    fn next_match(&mut self) -> u64 {
        self.last_match += 1;
        self.last_match
    }
}

impl Iterator for Day {
    type Item = Message;

    fn next(&mut self) -> Option<Message> {
        if self.given == self.config.messages {
            return None;
        }
        let (stock_locate, body) =
            if self.given < self.config.fixed() { self.fixed() } else { self.flow() };
        self.given += 1;
        let timestamp_ns = self.timing.next_offset_ns(&mut self.rng);
        Some(Message { timestamp_ns, stock_locate, body })
    }
}

fn drawn(rng: &mut Pcg64) -> Action {
    let mut at = rng.random_range(0..MIX_SUM);
    for (action, share) in MIX {
        match at.checked_sub(share) {
            Some(rest) => at = rest,
            None => return action,
        }
    }
    Action::Add
}

fn burst_messages(rng: &mut Pcg64) -> u32 {
    let mut at = rng.random_range(0..1_000u32);
    for (share, shortest, longest) in BURSTS {
        match at.checked_sub(share) {
            Some(rest) => at = rest,
            None => return rng.random_range(shortest..=longest),
        }
    }
    1
}

/// Most orders are one lot; some are odd.
fn shares(rng: &mut Pcg64) -> u32 {
    match rng.random_range(0..8u32) {
        0 => rng.random_range(1..100),
        1 => 100 * rng.random_range(2..=20u32),
        _ => 100,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shares_add_up() {
        assert_eq!(MIX.iter().map(|(_, share)| share).sum::<u32>(), MIX_SUM);
        assert_eq!(BURSTS.iter().map(|(share, ..)| share).sum::<u32>(), 1_000);
    }
}
