//! The spread, and how much is said and traded, in each interval (`statistics`).
//!
//! Arrives: orders and trades (`MboMsg`), best levels (`Mbp1Msg`) and the ends of intervals. Leaves, at
//! the end of an interval in which the instrument was heard of, one [`StatMsg`] each for
//! [`SPREAD_AVERAGE`] (weighted by the time it stood, rounded to the nearest 1e-9), [`SPREAD_MIN`],
//! [`SPREAD_MAX`], [`EVENTS`] and [`TRADES`], from `ts_ref` (the end before, or the first record) to
//! `ts_event`. A rate is the number over that time. The three of the spread are left out where none
//! stood.
//!
//! ```text
//!                 both sides known, not crossed
//!   none ────────────────────────────────────────► standing ──┐ its time is added
//!    ▲                                              │     ▲   │ when the next record
//!    └── a side empty, crossed, F_MAYBE_BAD_BOOK ───┘     └───┘ or the end comes
//! ```
//!
//! While the last record carried `F_MAYBE_BAD_BOOK` no spread stands; after it, the last levels do
//! again. A spread of no duration is in no statistic. Crossed levels and times that run backward are
//! counted; the clock of a record is its `ts_event`, and does not go back.

use dbn::{
    BidAskPair, MboMsg, Mbp1Msg, RecordHeader, RecordRef, StatMsg, UNDEF_PRICE, UNDEF_TIMESTAMP,
};
use wirebook_model::RecordSink;
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::stat_type::{EVENTS, SPREAD_AVERAGE, SPREAD_MAX, SPREAD_MIN, TRADES};
use super::{Subject, end_of_interval, is_trade, save_whole_state};
use crate::machine::{Fault, Machine};

const VERSION: u16 = 1;

/// What was odd.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, Immutable, IntoBytes)]
#[repr(C)]
pub struct StatisticsCounters {
    /// Best levels of which the bid is above the ask.
    pub crossed_tops: u64,
    /// Times before one that was seen.
    pub backward_times: u64,
}

/// The statistics of one instrument.
#[derive(Clone, Debug)]
pub struct Statistics {
    state: State,
}

#[derive(Clone, Copy, Debug, FromBytes, Immutable, IntoBytes)]
#[repr(C)]
struct State {
    sums: Sums,
    /// Begin of the interval; `UNDEF_TIMESTAMP` before the first record.
    began: u64,
    /// Up to here time is in the sums.
    now: u64,
    /// The spread of the last levels; `UNDEF_PRICE` for none.
    spread: i64,
    /// 1 while the book may be bad.
    bad: u64,
    subject: Subject,
    _padding: u64,
    counters: StatisticsCounters,
}

/// What one interval adds up.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, IntoBytes)]
#[repr(C)]
struct Sums {
    /// Spread times nanoseconds.
    spread_time: i128,
    time_ns: u64,
    min: i64,
    max: i64,
    records: u64,
    events: u64,
    trades: u64,
}

impl Sums {
    const NONE: Self = Self {
        spread_time: 0,
        time_ns: 0,
        min: i64::MAX,
        max: i64::MIN,
        records: 0,
        events: 0,
        trades: 0,
    };
}

impl Default for Statistics {
    fn default() -> Self {
        Self {
            state: State {
                sums: Sums::NONE,
                began: UNDEF_TIMESTAMP,
                now: UNDEF_TIMESTAMP,
                spread: UNDEF_PRICE,
                bad: 0,
                subject: Subject::default(),
                _padding: 0,
                counters: StatisticsCounters::default(),
            },
        }
    }
}

impl Statistics {
    /// What was odd so far.
    pub fn counters(&self) -> StatisticsCounters {
        self.state.counters
    }

    /// Takes the time of a record, and whether the book may be bad since.
    fn heard(&mut self, header: &RecordHeader, bad: bool) {
        self.state.sums.records += 1;
        self.elapse(header.ts_event);
        self.state.bad = u64::from(bad);
    }

    fn top(&mut self, levels: &BidAskPair) {
        let (bid, ask) = (levels.bid_px, levels.ask_px);
        let known = bid != UNDEF_PRICE && ask != UNDEF_PRICE;
        if known && bid > ask {
            self.state.counters.crossed_tops += 1;
        }
        let stands = known && bid <= ask;
        self.state.spread = if stands { ask.saturating_sub(bid) } else { UNDEF_PRICE };
    }

    /// Adds the time up to `now` to the spread that stood.
    fn elapse(&mut self, now: u64) {
        let state = &mut self.state;
        if now == UNDEF_TIMESTAMP {
            return;
        }
        if state.began == UNDEF_TIMESTAMP {
            (state.began, state.now) = (now, now);
        }
        let Some(time_ns) = now.checked_sub(state.now) else {
            state.counters.backward_times += 1;
            return;
        };
        state.now = now;
        if time_ns > 0 && state.bad == 0 && state.spread != UNDEF_PRICE {
            let sums = &mut state.sums;
            sums.spread_time += i128::from(state.spread) * i128::from(time_ns);
            sums.time_ns += time_ns;
            sums.min = sums.min.min(state.spread);
            sums.max = sums.max.max(state.spread);
        }
    }

    fn tell(&mut self, end: u64, out: &mut dyn RecordSink) {
        self.elapse(end);
        let state = &mut self.state;
        let sums = std::mem::replace(&mut state.sums, Sums::NONE);
        let began = std::mem::replace(&mut state.began, end);
        if sums.records == 0 {
            return;
        }
        let statistic =
            |stat_type| StatMsg { ts_ref: began, ..state.subject.statistic(stat_type, end) };
        if sums.time_ns > 0 {
            let time_ns = i128::from(sums.time_ns);
            // An average lies between the narrowest and the widest spread.
            let average = (sums.spread_time + time_ns / 2).div_euclid(time_ns) as i64;
            for (stat_type, price) in
                [(SPREAD_AVERAGE, average), (SPREAD_MIN, sums.min), (SPREAD_MAX, sums.max)]
            {
                out.record((&StatMsg { price, ..statistic(stat_type) }).into());
            }
        }
        for (stat_type, count) in [(EVENTS, sums.events), (TRADES, sums.trades)] {
            out.record((&StatMsg { quantity: count as i64, ..statistic(stat_type) }).into());
        }
    }
}

impl Machine for Statistics {
    fn record(&mut self, record: RecordRef<'_>, out: &mut dyn RecordSink) -> Result<(), Fault> {
        if let Some(record) = record.get::<MboMsg>() {
            self.heard(&record.hd, record.flags.is_maybe_bad_book());
            self.state.subject.learn_mbo(record);
            self.state.sums.events += u64::from(record.flags.is_last());
            self.state.sums.trades += u64::from(is_trade(record));
        } else if let Some(record) = record.get::<Mbp1Msg>() {
            self.heard(&record.hd, record.flags.is_maybe_bad_book());
            self.state.subject.learn(&record.hd);
            self.top(&record.levels[0]);
        } else if let Some(end) = end_of_interval(record) {
            self.tell(end, out);
        }
        Ok(())
    }

    save_whole_state!(VERSION);
}
