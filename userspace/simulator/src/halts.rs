//! Halts: an instrument stops trading, is quoted again, and resumes with an auction.
//!
//! A halt for news (`T1`) or a volatility pause (`LUDP`, with the collars of its auction) stops one
//! instrument, a market-wide circuit breaker (`MWC1`) all. What follows is due after so many steps
//! of the flow. Codes: Nasdaq's trading halt codes, as ITCH 5.0 names them in 1.2.2.

use crate::instrument::{Instrument, TICK};
use crate::itch::Body;
use rand::RngExt;
use rand_pcg::Pcg64;
use std::collections::{BTreeMap, VecDeque};

/// One step of the flow in so many begins a halt.
const STEPS_PER_HALT: u32 = 4_000;
/// Steps until a halted instrument is quoted, and from then until it trades.
const STEPS_TO_QUOTES: std::ops::RangeInclusive<u64> = 100..=1_500;
const STEPS_TO_TRADING: std::ops::RangeInclusive<u64> = 50..=400;
/// Collars of the auction after a pause, in ticks around the price.
const COLLAR_TICKS: u32 = 200;

/// Why an instrument is halted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reason {
    News,
    Volatility,
    MarketWide,
}

/// What becomes of a halted instrument next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    Quotes,
    Trading,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Halt {
    reason: Reason,
    pub(crate) next: Next,
}

/// The instruments that are halted, by the step at which something becomes of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Halts {
    step: u64,
    halted: BTreeMap<(u64, u16), Halt>,
}

impl Halts {
    /// Most messages that one step says, with the auction's own.
    pub(crate) const STEP_MESSAGES_MAX: u64 = 3;

    /// True where a halt begins in this step.
    pub(crate) fn begins(rng: &mut Pcg64) -> bool {
        rng.random_range(0..STEPS_PER_HALT) == 0
    }

    /// Counts a step; gives an instrument for which it is time.
    pub(crate) fn due(&mut self) -> Option<(u16, Halt)> {
        self.step += 1;
        let first = self.halted.first_entry().filter(|entry| entry.key().0 <= self.step)?;
        let ((_, index), halt) = first.remove_entry();
        Some((index, halt))
    }

    /// Halts one instrument that is trading.
    pub(crate) fn begin(
        &mut self,
        index: u16,
        instruments: &mut [Instrument],
        rng: &mut Pcg64,
        said: &mut VecDeque<(u16, Body)>,
    ) {
        let instrument = &mut instruments[usize::from(index)];
        if !instrument.is_trading {
            return;
        }
        instrument.is_trading = false;
        let (reason, trading_state) =
            if rng.random() { (Reason::News, b'H') } else { (Reason::Volatility, b'P') };
        said.push_back((index + 1, action(instrument, trading_state, reason.code())));
        self.put(index, Halt { reason, next: Next::Quotes }, rng.random_range(STEPS_TO_QUOTES));
    }

    /// Halts every instrument that is trading.
    pub(crate) fn begin_market_wide(
        &mut self,
        instruments: &mut [Instrument],
        said: &mut VecDeque<(u16, Body)>,
    ) {
        said.push_back((0, Body::DeclineBreach { level: b'1' }));
        let halt = Halt { reason: Reason::MarketWide, next: Next::Quotes };
        for (index, instrument) in (0..).zip(instruments) {
            if std::mem::replace(&mut instrument.is_trading, false) {
                said.push_back((index + 1, action(instrument, b'H', halt.reason.code())));
                self.put(index, halt, *STEPS_TO_QUOTES.start());
            }
        }
    }

    /// What becomes of a halted instrument, but for its auction.
    pub(crate) fn go_on(
        &mut self,
        index: u16,
        halt: Halt,
        instruments: &mut [Instrument],
        rng: &mut Pcg64,
        said: &mut VecDeque<(u16, Body)>,
    ) {
        let instrument = &mut instruments[usize::from(index)];
        match halt.next {
            Next::Quotes => {
                said.push_back((index + 1, action(instrument, b'Q', halt.reason.quoting_code())));
                if halt.reason == Reason::Volatility {
                    said.push_back((index + 1, collar(instrument)));
                }
                let halt = Halt { next: Next::Trading, ..halt };
                self.put(index, halt, rng.random_range(STEPS_TO_TRADING));
            }
            Next::Trading => {
                instrument.is_trading = true;
                said.push_back((index + 1, action(instrument, b'T', *b"    ")));
            }
        }
    }

    fn put(&mut self, index: u16, halt: Halt, steps: u64) {
        self.halted.insert((self.step + steps, index), halt);
    }
}

impl Reason {
    fn code(self) -> [u8; 4] {
        match self {
            Self::News => *b"T1  ",
            Self::Volatility => *b"LUDP",
            Self::MarketWide => *b"MWC1",
        }
    }

    fn quoting_code(self) -> [u8; 4] {
        match self {
            Self::News => *b"T3  ",
            Self::Volatility => *b"LUDP",
            Self::MarketWide => *b"MWCQ",
        }
    }
}

fn action(instrument: &Instrument, trading_state: u8, reason: [u8; 4]) -> Body {
    Body::TradingAction { stock: instrument.stock(), trading_state, reason }
}

fn collar(instrument: &Instrument) -> Body {
    let Instrument { price, .. } = *instrument;
    Body::AuctionCollar {
        stock: instrument.stock(),
        reference_price: price,
        upper_price: price + COLLAR_TICKS * TICK,
        lower_price: price - COLLAR_TICKS * TICK,
        extension: 0,
    }
}
