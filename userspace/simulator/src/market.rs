//! A trading day: its phases, and between them the order flow.
//!
//! Arrives: a [`MarketConfig`]. Leaves: an iterator of ITCH messages. The day: start of messages,
//! the directory, the market-wide decline levels and the trading states, start of system hours,
//! orders before the open, the opening auction's imbalances, market hours with the auction's
//! volume and halts, the closing auction's imbalances and volume, then the end of system hours and
//! of messages. One day in three the whole market is halted once.

use crate::book::ExpectedBook;
use crate::flow::Flow;
use crate::itch::{Body, Message};
use crate::timing::Timing;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;
use std::collections::{BTreeMap, VecDeque};

const NS_PER_SECOND: u64 = 1_000_000_000;

/// System events after the directory: `S`, `Q`, `M`, `E`, `C`; before it: `O`.
const SYSTEM_EVENTS: u64 = 6;

/// Messages with the market's decline levels.
const DECLINE_LEVELS: u64 = 1;

/// Of the order flow, one in this many messages comes before the open.
const PRE_OPEN_SHARE: u64 = 10;

/// Of the order flow, one in this many messages comes after the closing auction is announced.
const CLOSING_SHARE: u64 = 20;

/// Imbalance messages of each auction instrument, at the open and again at the close.
const IMBALANCES: u64 = 5;

/// Most instruments with auctions, the most popular ones.
const AUCTIONS_MAX: u16 = 20;

/// The whole market is halted on one day in so many, where its flow has so many messages for each
/// instrument.
const MARKET_HALT_DAYS: u32 = 3;
const MARKET_HALT_MESSAGES: u64 = 50;

/// Levels 1, 2 and 3 of the day: 7, 13 and 20 % below an index of 5,000.
const DECLINES_1E8: [u64; 3] = [465_000_000_000, 435_000_000_000, 400_000_000_000];

/// What to generate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MarketConfig {
    /// The same seed gives the same bytes.
    pub seed: u64,
    /// Instruments, from 1; named `WB001`, `WB002`, …, the most traded first.
    pub instruments: u16,
    /// Messages in all, at least [`MarketConfig::messages_min`].
    pub messages: u64,
    /// Time of the first message, nanoseconds since midnight.
    pub start_ns: u64,
    /// Time over which the messages are spread.
    pub duration_ns: u64,
}

impl Default for MarketConfig {
    /// A million messages of 500 instruments in 20 seconds from 09:30.
    fn default() -> Self {
        Self {
            seed: 1,
            instruments: 500,
            messages: 1_000_000,
            start_ns: (9 * 60 + 30) * 60 * NS_PER_SECOND,
            duration_ns: 20 * NS_PER_SECOND,
        }
    }
}

impl MarketConfig {
    /// The fewest messages that a day of this many instruments has.
    pub fn messages_min(&self) -> u64 {
        let instruments = 2 * u64::from(self.instruments);
        SYSTEM_EVENTS + DECLINE_LEVELS + instruments + 2 * self.auctions() * (IMBALANCES + 1)
    }

    fn auctions(&self) -> u64 {
        u64::from(self.instruments.min(AUCTIONS_MAX))
    }
}

/// Why there is no such market.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// No instruments.
    #[error("expected at least one instrument, found none")]
    NoInstruments,
    /// Too few messages for the day's fixed ones.
    #[error("expected at least {least} messages for {instruments} instruments, found {found}")]
    TooFewMessages {
        /// The fewest possible.
        least: u64,
        /// Instruments asked for.
        instruments: u16,
        /// Messages asked for.
        found: u64,
    },
    /// The day would run past the 48 bits of an ITCH timestamp.
    #[error("expected an end before 2^48 ns since midnight, found {found}")]
    TooLate {
        /// The last message's time.
        found: u128,
    },
}

/// A market that is being generated.
#[derive(Clone, Debug)]
pub struct Market {
    config: MarketConfig,
    rng: Pcg64,
    flow: Flow,
    timing: Timing,
    phase: Phase,
    /// Said by one step of the flow, not yet given.
    pending: VecDeque<(u16, Body)>,
    /// Messages of the order flow not yet given.
    flow_left: u64,
    /// How many are left of them when the whole market is halted.
    market_halt_at: Option<u64>,
    totals: BTreeMap<u8, u64>,
}

/// What comes next; numbers count up within a phase.
#[derive(Clone, Copy, Debug)]
enum Phase {
    StartOfMessages,
    Directory(u16),
    DeclineLevels,
    TradingStates(u16),
    StartOfSystemHours,
    PreOpen,
    Imbalances(u64),
    StartOfMarketHours,
    OpeningCross(u16),
    MarketHours,
    ClosingImbalances(u64),
    Closing,
    EndOfMarketHours,
    ClosingCross(u16),
    EndOfSystemHours,
    EndOfMessages,
    Over,
}

impl Market {
    /// A market at the beginning of its day.
    ///
    /// # Errors
    /// [`ConfigError`] where the configuration contradicts itself.
    pub fn new(config: MarketConfig) -> Result<Self, ConfigError> {
        let MarketConfig { instruments, messages, start_ns, duration_ns, .. } = config;
        if instruments == 0 {
            return Err(ConfigError::NoInstruments);
        }
        let least = config.messages_min();
        if messages < least {
            return Err(ConfigError::TooFewMessages { least, instruments, found: messages });
        }
        let end_ns = u128::from(start_ns) + u128::from(duration_ns);
        if end_ns >= 1 << 48 {
            return Err(ConfigError::TooLate { found: end_ns });
        }
        let mut rng = Pcg64::seed_from_u64(config.seed);
        let flow_left = messages - least;
        let halts = rng.random_range(0..MARKET_HALT_DAYS) == 0
            && flow_left / MARKET_HALT_MESSAGES >= u64::from(instruments);
        Ok(Self {
            config,
            flow: Flow::new(instruments, &mut rng),
            rng,
            flow_left,
            market_halt_at: halts.then_some(flow_left / 2),
            timing: Timing::new(messages, duration_ns),
            phase: Phase::StartOfMessages,
            pending: VecDeque::new(),
            totals: BTreeMap::new(),
        })
    }

    /// The configuration.
    pub fn config(&self) -> &MarketConfig {
        &self.config
    }

    /// What the book of `symbol` must be after the messages given so far.
    ///
    /// Between the messages of one sweep it is already what it will be after the last of them.
    pub fn expected_book(&self, symbol: &str) -> Option<ExpectedBook> {
        self.flow.book(symbol)
    }

    /// The symbols, in the order of their stock locates, which count from 1.
    pub fn symbols(&self) -> impl Iterator<Item = &str> {
        self.flow.symbols()
    }

    /// Messages given so far, by type.
    pub fn totals(&self) -> &BTreeMap<u8, u64> {
        &self.totals
    }

    /// Orders that rest in the books.
    pub fn live_orders(&self) -> usize {
        self.flow.live_orders()
    }

    /// What is said next, and of which instrument.
    fn next_body(&mut self) -> Option<(u16, Body)> {
        loop {
            if let Some(said) = self.pending.pop_front() {
                return Some(said);
            }
            match self.phase {
                Phase::PreOpen if self.flow_left > self.market_hours_messages() => {
                    self.step(false);
                }
                Phase::MarketHours if self.flow_left > self.closing_messages() => self.step(true),
                Phase::Closing if self.flow_left > 0 => self.step(true),
                Phase::Over => return None,
                _ => {
                    let said = self.fixed();
                    self.phase = self.after();
                    if said.is_some() {
                        return said;
                    }
                }
            }
        }
    }

    /// Lets the flow say one thing, of as many messages as there is room for.
    fn step(&mut self, is_open: bool) {
        if is_open && self.market_halt_at.is_some_and(|left| self.flow_left <= left) {
            self.market_halt_at = None;
            self.flow.halt_market(&mut self.pending);
        } else {
            self.flow.step(is_open, self.flow_left, &mut self.rng, &mut self.pending);
        }
        self.flow_left -= self.pending.len() as u64;
    }

    fn flow_messages(&self) -> u64 {
        self.config.messages - self.config.messages_min()
    }

    fn market_hours_messages(&self) -> u64 {
        self.flow_messages() - self.flow_messages() / PRE_OPEN_SHARE
    }

    fn closing_messages(&self) -> u64 {
        self.flow_messages() / CLOSING_SHARE
    }

    /// The message of this phase, for those that have one.
    fn fixed(&mut self) -> Option<(u16, Body)> {
        let system = |event_code| Some((0, Body::SystemEvent { event_code }));
        match self.phase {
            Phase::StartOfMessages => system(b'O'),
            Phase::Directory(index) => {
                Some((index + 1, Body::StockDirectory { stock: self.flow.stock(index) }))
            }
            Phase::DeclineLevels => Some((0, Body::DeclineLevels { levels: DECLINES_1E8 })),
            Phase::TradingStates(index) => {
                let (stock, trading_state) = (self.flow.stock(index), b'T');
                Some((index + 1, Body::TradingAction { stock, trading_state, reason: *b"    " }))
            }
            Phase::StartOfSystemHours => system(b'S'),
            Phase::Imbalances(count) => Some(self.imbalance(count, b'O')),
            Phase::ClosingImbalances(count) => Some(self.imbalance(count, b'C')),
            Phase::StartOfMarketHours => system(b'Q'),
            Phase::OpeningCross(index) => Some(self.cross(index, b'O')),
            Phase::ClosingCross(index) => Some(self.cross(index, b'C')),
            Phase::EndOfMarketHours => system(b'M'),
            Phase::EndOfSystemHours => system(b'E'),
            Phase::EndOfMessages => system(b'C'),
            Phase::PreOpen | Phase::MarketHours | Phase::Closing | Phase::Over => None,
        }
    }

    fn imbalance(&mut self, count: u64, cross_type: u8) -> (u16, Body) {
        let index = (count % self.config.auctions()) as u16;
        (index + 1, self.flow.imbalance(index, cross_type, &mut self.rng))
    }

    fn cross(&mut self, index: u16, cross_type: u8) -> (u16, Body) {
        (index + 1, self.flow.cross(index, cross_type, &mut self.rng))
    }

    fn after(&self) -> Phase {
        let last_instrument = self.config.instruments - 1;
        let auctions = self.config.auctions();
        match self.phase {
            Phase::StartOfMessages => Phase::Directory(0),
            Phase::Directory(index) if index < last_instrument => Phase::Directory(index + 1),
            Phase::Directory(_) => Phase::DeclineLevels,
            Phase::DeclineLevels => Phase::TradingStates(0),
            Phase::TradingStates(index) if index < last_instrument => {
                Phase::TradingStates(index + 1)
            }
            Phase::TradingStates(_) => Phase::StartOfSystemHours,
            Phase::StartOfSystemHours => Phase::PreOpen,
            Phase::PreOpen => Phase::Imbalances(0),
            Phase::Imbalances(count) if count + 1 < auctions * IMBALANCES => {
                Phase::Imbalances(count + 1)
            }
            Phase::Imbalances(_) => Phase::StartOfMarketHours,
            Phase::StartOfMarketHours => Phase::OpeningCross(0),
            Phase::OpeningCross(index) if u64::from(index) + 1 < auctions => {
                Phase::OpeningCross(index + 1)
            }
            Phase::OpeningCross(_) => Phase::MarketHours,
            Phase::MarketHours => Phase::ClosingImbalances(0),
            Phase::ClosingImbalances(count) if count + 1 < auctions * IMBALANCES => {
                Phase::ClosingImbalances(count + 1)
            }
            Phase::ClosingImbalances(_) => Phase::Closing,
            Phase::Closing => Phase::EndOfMarketHours,
            Phase::EndOfMarketHours => Phase::ClosingCross(0),
            Phase::ClosingCross(index) if u64::from(index) + 1 < auctions => {
                Phase::ClosingCross(index + 1)
            }
            Phase::ClosingCross(_) => Phase::EndOfSystemHours,
            Phase::EndOfSystemHours => Phase::EndOfMessages,
            Phase::EndOfMessages | Phase::Over => Phase::Over,
        }
    }
}

impl Iterator for Market {
    type Item = Message;

    fn next(&mut self) -> Option<Message> {
        let (stock_locate, body) = self.next_body()?;
        *self.totals.entry(body.kind()).or_default() += 1;
        let offset_ns = self.timing.next_offset_ns(&mut self.rng);
        Some(Message { timestamp_ns: self.config.start_ns + offset_ns, stock_locate, body })
    }
}
