//! The tape: every trade, and those that the venue voids later (`trades`).
//!
//! Arrives: trades (`T` records), breaks (`N` records that name a match number) and the ends of
//! intervals. Leaves:
//!
//! - for each trade a [`TradeMsg`], as in DBN's `trades` schema;
//! - for each break of one of the last 64 trades a [`TradeMsg`] with the action `C` (cancel) and the
//!   price, size, side and *sequence* of the voided trade, which so finds it; `ts_event` and `ts_recv`
//!   are those of the break. DBN has no record for a break, and whoever sums trades by the action `T`,
//!   as DBN's rules say, is not misled by a `C`. A correction is a break and a new trade;
//! - at the end of an interval in which something changed: [`TAPE_VOLUME`], [`TAPE_TURNOVER`] and
//!   [`TAPE_TRADES`] so far, without the broken trades.
//!
//! ```text
//!  trade ──► kept ── break with its match number ──► broken (`C` leaves)
//!              └──── 64 later trades ──────────────► forgotten: a break is unknown
//! ```
//!
//! A break of a trade that is not kept, or is broken already, leaves nothing, changes no sum and is
//! counted: it may be of a trade from before the start. A trade that has no match number (0) cannot be
//! broken. One without a price or a size is odd: it leaves as it is, and changes no sum.

use dbn::{
    Action, FlagSet, MboMsg, RecordRef, StatMsg, TradeMsg, UNDEF_PRICE, UNDEF_TIMESTAMP, rtype,
};
use wirebook_model::RecordSink;
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::stat_type::{TAPE_TRADES, TAPE_TURNOVER, TAPE_VOLUME};
use super::{Subject, end_of_interval, is_break, is_trade, save_whole_state};
use crate::machine::{Fault, Machine};

const VERSION: u16 = 1;
/// Trades that can be broken.
const KEPT: usize = 64;
/// 1e-9 units in a whole unit of currency.
const UNIT: i128 = 1_000_000_000;

/// What was odd.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, Immutable, IntoBytes)]
#[repr(C)]
pub struct TapeCounters {
    /// Breaks of trades that are not kept or are broken already.
    pub unknown_breaks: u64,
    /// Trades without a price or a size.
    pub odd_trades: u64,
}

/// The tape of one instrument.
#[derive(Clone, Debug, Default)]
pub struct TradeTape {
    state: State,
}

#[derive(Clone, Copy, Debug, FromBytes, Immutable, IntoBytes)]
#[repr(C)]
struct State {
    turnover: i128,
    volume: u64,
    trades: u64,
    subject: Subject,
    /// When the sums were last told; `UNDEF_TIMESTAMP` before.
    told_at: u64,
    /// Trades that were ever kept; the next one's place is the rest by `KEPT`.
    count: u64,
    /// 1 where the sums changed since they were told.
    changed: u64,
    counters: TapeCounters,
    kept: [Kept; KEPT],
}

#[derive(Clone, Copy, Debug, Default, FromBytes, Immutable, IntoBytes)]
#[repr(C)]
struct Kept {
    /// The venue's match number; 0 for none, or once broken.
    match_id: u64,
    price: i64,
    size: u32,
    sequence: u32,
    side: u64,
}

impl Default for State {
    fn default() -> Self {
        Self {
            turnover: 0,
            volume: 0,
            trades: 0,
            subject: Subject::default(),
            told_at: UNDEF_TIMESTAMP,
            count: 0,
            changed: 0,
            counters: TapeCounters::default(),
            kept: [Kept::default(); KEPT],
        }
    }
}

impl TradeTape {
    /// What was odd so far.
    pub fn counters(&self) -> TapeCounters {
        self.state.counters
    }

    fn trade(&mut self, trade: &MboMsg, out: &mut dyn RecordSink) {
        let state = &mut self.state;
        state.subject.learn_mbo(trade);
        let print = Kept {
            match_id: trade.order_id,
            price: trade.price,
            size: trade.size,
            sequence: trade.sequence,
            side: u64::from(trade.side as u8),
        };
        out.record((&message(trade, &print, Action::Trade)).into());
        if trade.price == UNDEF_PRICE || trade.size == 0 {
            state.counters.odd_trades += 1;
            return;
        }
        state.kept[(state.count % KEPT as u64) as usize] = print;
        state.count += 1;
        state.turnover += turnover(&print);
        state.volume = state.volume.wrapping_add(u64::from(print.size));
        state.trades += 1;
        state.changed = 1;
    }

    fn break_trade(&mut self, record: &MboMsg, out: &mut dyn RecordSink) {
        let state = &mut self.state;
        // Newest first: a venue that uses a number again means the later trade.
        let places =
            (1..=KEPT as u64).map(|back| (state.count.wrapping_sub(back) % KEPT as u64) as usize);
        let found = places.into_iter().find(|&at| state.kept[at].match_id == record.order_id);
        let Some(at) = found else {
            state.counters.unknown_breaks += 1;
            return;
        };
        let broken = state.kept[at];
        state.kept[at].match_id = 0;
        state.turnover -= turnover(&broken);
        state.volume = state.volume.wrapping_sub(u64::from(broken.size));
        state.trades -= 1;
        state.changed = 1;
        out.record((&message(record, &broken, Action::Cancel)).into());
    }

    fn tell(&mut self, end: u64, out: &mut dyn RecordSink) {
        let state = &mut self.state;
        let begin = std::mem::replace(&mut state.told_at, end);
        if std::mem::take(&mut state.changed) == 0 {
            return;
        }
        let turnover = i64::try_from(state.turnover.div_euclid(UNIT)).unwrap_or(i64::MAX);
        for (stat_type, quantity) in [
            (TAPE_VOLUME, state.volume as i64),
            (TAPE_TURNOVER, turnover),
            (TAPE_TRADES, state.trades as i64),
        ] {
            let statistic = state.subject.statistic(stat_type, end);
            out.record((&StatMsg { quantity, ts_ref: begin, ..statistic }).into());
        }
    }
}

fn turnover(trade: &Kept) -> i128 {
    i128::from(trade.price) * i128::from(trade.size)
}

/// The trade as the tape says it, at the time of `record`.
fn message(record: &MboMsg, trade: &Kept, action: Action) -> TradeMsg {
    TradeMsg {
        hd: dbn::RecordHeader::new::<TradeMsg>(
            rtype::MBP_0,
            record.hd.publisher_id,
            record.hd.instrument_id,
            record.hd.ts_event,
        ),
        price: trade.price,
        size: trade.size,
        action: action as u8 as _,
        side: trade.side as u8 as _,
        flags: FlagSet::new(record.flags.raw()),
        depth: 0,
        ts_recv: record.ts_recv,
        ts_in_delta: record.ts_in_delta,
        sequence: trade.sequence,
    }
}

impl Machine for TradeTape {
    fn record(&mut self, record: RecordRef<'_>, out: &mut dyn RecordSink) -> Result<(), Fault> {
        if let Some(record) = record.get::<MboMsg>() {
            if is_trade(record) {
                self.trade(record, out);
            } else if is_break(record) {
                self.break_trade(record, out);
            }
        } else if let Some(end) = end_of_interval(record) {
            self.tell(end, out);
        }
        Ok(())
    }

    save_whole_state!(VERSION);
}
