//! Bars and volume-weighted average prices of one window: `ohlcv-1s`, `-1m`, `-1h`, `-1d`.
//!
//! Arrives: trades (`T` records) and the ends of intervals. Leaves, when a window that saw a trade
//! closes: an [`OhlcvMsg`] whose `ts_event` is the window's start (inclusive, a multiple of the window
//! since the UNIX epoch), then a [`StatMsg`](dbn::StatMsg) with `StatType::Vwap`, whose `price` is
//! turnover over volume rounded to the nearest 1e-9, `quantity` the volume, `ts_ref` the window's start
//! and `ts_event` its end.
//!
//! ```text
//!          trade: opens the window of its ts_event
//!  empty ──────────────────────────────────────────► open ──┐ trade in the window:
//!    ▲                                                │ ▲   │ high, low, close, volume
//!    │ end of an interval at or after the window's end│ └───┘
//!    └──────── bar, VWAP ─────────────────────────────┤
//!                          trade in a later window:   │
//!                          bar, VWAP, then open again ┘
//! ```
//!
//! - A window belongs to the venue's time (`ts_event`), so that every host has the same bars;
//!   Databento takes the time of receipt instead (its "OHLCV" schema page).
//! - A window without a trade has no bar, as in DBN: so has a halt. A halt does not cut a window.
//! - A trade of a window that has closed is late: it is in no bar and counted.
//! - A bar is of the trades as they were printed. A broken trade stays in it (its price may have been
//!   the high, and no bar remembers the next one) and is counted; the tape
//!   ([`TradeTape`](super::TradeTape)) says which trades are void.
//! - A trade without a price, a size or a time is in no bar and counted.

use dbn::{MboMsg, OhlcvMsg, RecordRef, StatType, UNDEF_PRICE, UNDEF_TIMESTAMP, rtype};
use wirebook_model::RecordSink;
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::{Subject, end_of_interval, is_break, is_trade, save_whole_state};
use crate::machine::{Fault, Machine};

const VERSION: u16 = 1;

/// The windows that DBN has bars of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Window {
    /// `ohlcv-1s`.
    Second,
    /// `ohlcv-1m`.
    Minute,
    /// `ohlcv-1h`.
    Hour,
    /// `ohlcv-1d`: a day of UTC.
    Day,
}

impl Window {
    /// How long the window is.
    pub const fn length_ns(self) -> u64 {
        let seconds = match self {
            Self::Second => 1,
            Self::Minute => 60,
            Self::Hour => 60 * 60,
            Self::Day => 24 * 60 * 60,
        };
        seconds * 1_000_000_000
    }

    const fn rtype(self) -> u8 {
        match self {
            Self::Second => rtype::OHLCV_1S,
            Self::Minute => rtype::OHLCV_1M,
            Self::Hour => rtype::OHLCV_1H,
            Self::Day => rtype::OHLCV_1D,
        }
    }
}

/// What was odd.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, Immutable, IntoBytes)]
#[repr(C)]
pub struct BarsCounters {
    /// Trades of a window that had closed: in no bar.
    pub late_trades: u64,
    /// Trades without a price, a size or a time: in no bar.
    pub odd_trades: u64,
    /// Trades that the venue voided: still in their bars.
    pub broken_trades: u64,
}

/// The bars of one window.
#[derive(Clone, Debug)]
pub struct Bars {
    window: Window,
    state: State,
}

#[derive(Clone, Copy, Debug, Default, FromBytes, Immutable, IntoBytes)]
#[repr(C)]
struct State {
    bar: Bar,
    /// Windows that begin before have closed.
    closed_until: u64,
    subject: Subject,
    counters: BarsCounters,
    _padding: u64,
}

/// The window that is open; no volume, no bar.
#[derive(Clone, Copy, Debug, Default, FromBytes, Immutable, IntoBytes)]
#[repr(C)]
struct Bar {
    turnover: i128,
    start: u64,
    volume: u64,
    open: i64,
    high: i64,
    low: i64,
    close: i64,
}

impl Bars {
    /// Bars of `window`.
    pub fn new(window: Window) -> Self {
        Self { window, state: State::default() }
    }

    /// What was odd so far.
    pub fn counters(&self) -> BarsCounters {
        self.state.counters
    }

    fn trade(&mut self, trade: &MboMsg, out: &mut dyn RecordSink) {
        let ts_event = trade.hd.ts_event;
        if trade.price == UNDEF_PRICE || trade.size == 0 || ts_event == UNDEF_TIMESTAMP {
            self.state.counters.odd_trades += 1;
            return;
        }
        let start = self.start_of(ts_event);
        if start < self.state.closed_until {
            self.state.counters.late_trades += 1;
            return;
        }
        self.close_until(start, trade.ts_recv, out);
        self.state.subject.learn_mbo(trade);
        self.state.bar.take(start, trade.price, trade.size);
    }

    /// Closes all windows that begin before `start`, which begins one.
    fn close_until(&mut self, start: u64, ts_recv: u64, out: &mut dyn RecordSink) {
        self.state.closed_until = self.state.closed_until.max(start);
        let bar = self.state.bar;
        if bar.volume == 0 || bar.start >= start {
            return;
        }
        self.state.bar = Bar::default();
        out.record((&self.ohlcv(&bar)).into());
        let end = bar.start.saturating_add(self.window.length_ns());
        let mut vwap = self.state.subject.statistic(StatType::Vwap as u16, end);
        vwap.ts_recv = ts_recv;
        vwap.ts_ref = bar.start;
        vwap.price = bar.average_price();
        vwap.quantity = i64::try_from(bar.volume).unwrap_or(i64::MAX);
        out.record((&vwap).into());
    }

    fn ohlcv(&self, bar: &Bar) -> OhlcvMsg {
        OhlcvMsg {
            hd: self.state.subject.header::<OhlcvMsg>(self.window.rtype(), bar.start),
            open: bar.open,
            high: bar.high,
            low: bar.low,
            close: bar.close,
            volume: bar.volume,
        }
    }

    fn start_of(&self, ts_event: u64) -> u64 {
        ts_event - ts_event % self.window.length_ns()
    }
}

impl Bar {
    fn take(&mut self, start: u64, price: i64, size: u32) {
        if self.volume == 0 {
            *self = Self { start, open: price, high: price, low: price, ..Self::default() };
        }
        self.high = self.high.max(price);
        self.low = self.low.min(price);
        self.close = price;
        self.volume = self.volume.saturating_add(u64::from(size));
        self.turnover += i128::from(price) * i128::from(size);
    }

    /// Turnover over volume, rounded to the nearest.
    fn average_price(&self) -> i64 {
        let volume = i128::from(self.volume);
        // An average lies between the lowest and the highest price.
        (self.turnover + volume / 2).div_euclid(volume) as i64
    }
}

impl Machine for Bars {
    fn record(&mut self, record: RecordRef<'_>, out: &mut dyn RecordSink) -> Result<(), Fault> {
        if let Some(record) = record.get::<MboMsg>() {
            if is_trade(record) {
                self.trade(record, out);
            } else if is_break(record) {
                self.state.counters.broken_trades += 1;
            }
        } else if let Some(end) = end_of_interval(record) {
            self.close_until(self.start_of(end), UNDEF_TIMESTAMP, out);
        }
        Ok(())
    }

    save_whole_state!(VERSION);
}
