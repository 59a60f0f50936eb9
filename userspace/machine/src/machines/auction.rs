//! Auctions: which one collects orders, at what price it would clear, and at which it did (`auction`).
//!
//! Arrives: imbalances (Nasdaq's NOII, IEX's auction information), trades, statistics, status and the
//! ends of intervals. Leaves, each on a change only, as [`StatMsg`]s:
//!
//! - [`AUCTION_RUNNING`]: the venue's character of the auction that began, 0 where it ended; `ts_ref`
//!   is the time for which the venue announces it;
//! - `IndicativeOpeningPrice`, `IndicativeClosePrice` or, for other auctions,
//!   [`INDICATIVE_UNCROSSING_PRICE`]: the price at which the auction would clear now (`UNDEF_PRICE` for
//!   none) and the size paired at it;
//! - `OpeningPrice`, `ClosePrice` or `UncrossingPrice`: price and size of the auction's trade.
//!
//! The imbalances themselves reach readers beside this.
//!
//! ```text
//!         imbalance: running, indicative price
//!  idle ─────────────────────────────────────────► running ──┐ imbalance of the same auction:
//!   ▲                                              │  │  ▲   │ indicative price
//!   ├── the auction's trade: its price ────────────┤  │  └───┘
//!   ├── the venue's own price of the auction ──────┤  └── imbalance of another one: lapsed, running
//!   └── market closed, or no imbalance for 60 s ───┘
//!        of the feed's time: lapsed
//! ```
//!
//! A record of a trade does not say that it is an auction's. It is taken for that where it names no
//! aggressor and is at least as large as what the last imbalance paired: venues print an auction as one
//! bulk trade, and what is paired seldom falls. Where that does not find it, the venue's own statistic
//! or silence ends the auction.

use dbn::{
    ImbalanceMsg, MboMsg, RecordRef, Side, StatMsg, StatType, StatusAction, StatusMsg, UNDEF_PRICE,
    UNDEF_TIMESTAMP,
};
use wirebook_model::RecordSink;
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::stat_type::{AUCTION_RUNNING, INDICATIVE_UNCROSSING_PRICE};
use super::{Subject, end_of_interval, is_trade, save_whole_state};
use crate::machine::{Fault, Machine};

const VERSION: u16 = 1;
/// After so long without an imbalance an auction is over: six times Nasdaq's longest interval between
/// two of them.
const SILENCE_NS: u64 = 60 * 1_000_000_000;

/// What was odd.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, Immutable, IntoBytes)]
#[repr(C)]
pub struct AuctionCounters {
    /// Auctions that ended without a price.
    pub lapsed_auctions: u64,
    /// Imbalances that name a size but no side, or a side but no size.
    pub odd_imbalances: u64,
}

/// The auctions of one instrument.
#[derive(Clone, Debug)]
pub struct Auction {
    state: State,
}

#[derive(Clone, Copy, Debug, FromBytes, Immutable, IntoBytes)]
#[repr(C)]
struct State {
    /// Where the auction would clear; `UNDEF_PRICE` for nowhere.
    indicative_price: i64,
    auction_time: u64,
    /// When the last imbalance came.
    heard_at: u64,
    paired: u32,
    imbalance: u32,
    subject: Subject,
    /// The venue's character; 0 while none is running.
    auction_type: u8,
    side: u8,
    _padding: [u8; 6],
    counters: AuctionCounters,
}

impl Default for Auction {
    fn default() -> Self {
        let subject = Subject::default();
        Self { state: State::idle(subject, AuctionCounters::default()) }
    }
}

impl State {
    fn idle(subject: Subject, counters: AuctionCounters) -> Self {
        Self {
            indicative_price: UNDEF_PRICE,
            auction_time: UNDEF_TIMESTAMP,
            heard_at: 0,
            paired: 0,
            imbalance: 0,
            subject,
            auction_type: 0,
            side: Side::None as u8,
            _padding: [0; 6],
            counters,
        }
    }
}

/// When and with what sequence something came.
#[derive(Clone, Copy)]
struct Cause {
    ts_event: u64,
    ts_recv: u64,
    sequence: u32,
}

impl Auction {
    /// True while an auction collects orders.
    pub fn is_running(&self) -> bool {
        self.state.auction_type != 0
    }

    /// Where the running auction would clear, 1e-9.
    pub fn indicative_price(&self) -> Option<i64> {
        Some(self.state.indicative_price).filter(|&price| price != UNDEF_PRICE)
    }

    /// Side (a [`Side`] character) and size of the running auction's imbalance.
    pub fn imbalance(&self) -> (char, u32) {
        (char::from(self.state.side), self.state.imbalance)
    }

    /// What was odd so far.
    pub fn counters(&self) -> AuctionCounters {
        self.state.counters
    }

    fn take_imbalance(&mut self, record: &ImbalanceMsg, out: &mut dyn RecordSink) {
        let cause = Cause { ts_event: record.hd.ts_event, ts_recv: record.ts_recv, sequence: 0 };
        // No auction is written as 0.
        let auction_type = if record.auction_type == 0 { b'~' } else { record.auction_type as u8 };
        if self.is_running() && self.state.auction_type != auction_type {
            self.lapse(cause, out);
        }
        let began = !self.is_running();
        let before = (self.state.indicative_price, self.state.paired);
        let state = &mut self.state;
        state.subject.learn(&record.hd);
        let has_side = record.side as u8 != Side::None as u8;
        if has_side != (record.total_imbalance_qty > 0) {
            state.counters.odd_imbalances += 1;
        }
        state.indicative_price = indicative_price(record);
        state.auction_time = record.auction_time;
        state.heard_at = record.hd.ts_event;
        state.paired = record.paired_qty;
        state.imbalance = record.total_imbalance_qty;
        state.auction_type = auction_type;
        state.side = record.side as u8;
        if began {
            self.tell_running(cause, out);
        }
        if (self.state.indicative_price, self.state.paired) != before {
            let (price, size) = (self.state.indicative_price, self.state.paired);
            self.tell(self.indicative_stat_type(), price, size, cause, out);
        }
    }

    fn take_trade(&mut self, trade: &MboMsg, out: &mut dyn RecordSink) {
        self.state.subject.learn_mbo(trade);
        let paired = self.state.paired;
        let is_bulk = trade.side as u8 == Side::None as u8 && paired > 0 && trade.size >= paired;
        if self.is_running() && is_bulk {
            let cause = Cause {
                ts_event: trade.hd.ts_event,
                ts_recv: trade.ts_recv,
                sequence: trade.sequence,
            };
            self.tell(self.stat_type() as u16, trade.price, trade.size, cause, out);
            self.end(cause, out);
        }
    }

    fn take_statistic(&mut self, record: &StatMsg, out: &mut dyn RecordSink) {
        if self.is_running() && record.stat_type == self.stat_type() as u16 {
            self.end(
                Cause {
                    ts_event: record.hd.ts_event,
                    ts_recv: record.ts_recv,
                    sequence: record.sequence,
                },
                out,
            );
        }
    }

    fn take_status(&mut self, record: &StatusMsg, out: &mut dyn RecordSink) {
        const CLOSED: [StatusAction; 3] =
            [StatusAction::Close, StatusAction::PostClose, StatusAction::NotAvailableForTrading];
        if self.is_running() && CLOSED.iter().any(|&action| action as u16 == record.action) {
            let cause =
                Cause { ts_event: record.hd.ts_event, ts_recv: record.ts_recv, sequence: 0 };
            self.lapse(cause, out);
        }
    }

    fn take_time(&mut self, now: u64, out: &mut dyn RecordSink) {
        if self.is_running() && now.saturating_sub(self.state.heard_at) >= SILENCE_NS {
            self.lapse(Cause { ts_event: now, ts_recv: UNDEF_TIMESTAMP, sequence: 0 }, out);
        }
    }

    fn lapse(&mut self, cause: Cause, out: &mut dyn RecordSink) {
        self.state.counters.lapsed_auctions += 1;
        self.end(cause, out);
    }

    fn end(&mut self, cause: Cause, out: &mut dyn RecordSink) {
        let time = self.state.auction_time;
        self.state = State::idle(self.state.subject, self.state.counters);
        self.state.auction_time = time;
        self.tell_running(cause, out);
    }

    fn tell_running(&self, cause: Cause, out: &mut dyn RecordSink) {
        let mut statistic = self.statistic(AUCTION_RUNNING, cause);
        statistic.quantity = i64::from(self.state.auction_type);
        out.record((&statistic).into());
    }

    fn tell(&self, stat_type: u16, price: i64, size: u32, cause: Cause, out: &mut dyn RecordSink) {
        let mut statistic = self.statistic(stat_type, cause);
        statistic.price = price;
        statistic.quantity = i64::from(size);
        out.record((&statistic).into());
    }

    fn statistic(&self, stat_type: u16, cause: Cause) -> StatMsg {
        StatMsg {
            ts_recv: cause.ts_recv,
            ts_ref: self.state.auction_time,
            sequence: cause.sequence,
            ..self.state.subject.statistic(stat_type, cause.ts_event)
        }
    }

    /// `O` and `C` are the opening and the closing auction of Nasdaq (ITCH 5.0, "Cross Type") and of
    /// IEX (DEEP 1.0, "Auction Type").
    fn stat_type(&self) -> StatType {
        match self.state.auction_type {
            b'O' => StatType::OpeningPrice,
            b'C' => StatType::ClosePrice,
            _ => StatType::UncrossingPrice,
        }
    }

    fn indicative_stat_type(&self) -> u16 {
        match self.state.auction_type {
            b'O' => StatType::IndicativeOpeningPrice as u16,
            b'C' => StatType::IndicativeClosePrice as u16,
            _ => INDICATIVE_UNCROSSING_PRICE,
        }
    }
}

/// The venue's indicative price, or that at which all orders would clear (Nasdaq's near price).
fn indicative_price(record: &ImbalanceMsg) -> i64 {
    match record.ind_match_price {
        UNDEF_PRICE => record.cont_book_clr_price,
        price => price,
    }
}

impl Machine for Auction {
    fn record(&mut self, record: RecordRef<'_>, out: &mut dyn RecordSink) -> Result<(), Fault> {
        if let Some(record) = record.get::<MboMsg>() {
            if is_trade(record) {
                self.take_trade(record, out);
            }
        } else if let Some(record) = record.get::<ImbalanceMsg>() {
            self.take_imbalance(record, out);
        } else if let Some(record) = record.get::<StatMsg>() {
            self.take_statistic(record, out);
        } else if let Some(record) = record.get::<StatusMsg>() {
            self.take_status(record, out);
        } else if let Some(now) = end_of_interval(record) {
            self.take_time(now, out);
        }
        Ok(())
    }

    save_whole_state!(VERSION);
}
