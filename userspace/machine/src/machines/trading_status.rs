//! One trading state of an instrument, out of all that its venue says of it (`trading-status`).
//!
//! Arrives: status records, of the instrument and of the whole market ([`ALL_INSTRUMENTS`]), and trades
//! to check. Leaves: a [`StatusMsg`] each time the state or the short sale restriction changes, with the
//! venue's reason, and with all three of trading, quoting and restriction said as far as they are known.
//!
//! Three things are kept, and the state is the first of these that says something:
//!
//! ```text
//!  1. operational   none ──Halt (Operational)──► halted ──Trading (Operational), or any
//!                                                         status of the instrument but a stop──► none
//!  2. own           unknown, auction, open, halted, paused; each action leads from anywhere to:
//!                     Halt, Suspend (also of the market: a circuit breaker) ──► halted
//!                     Pause (limit up-limit down) ────────────────────────────► paused
//!                     Quoting, PreCross, Cross, Rotation, PreClose ───────────► auction
//!                     Trading ────────────────────────────────────────────────► open
//!                     market's Trading (MarketWideHaltResumption) ────────────► open, where a
//!                                                                 circuit breaker had halted
//!  3. phase         unknown, pre-open, auction, open, post-close, closed; of the market, or of
//!     (own is        the instrument where the venue schedules it alone:
//!      unknown       PreOpen ─► pre-open    Trading ─► open    PostClose ─► post-close
//!      or open)      Close, NotAvailableForTrading ─► closed
//! ```
//!
//! So the phase of the market neither ends a halt nor an auction, and an instrument that may trade is
//! pre-open or closed with its market. `SsrChange` (Reg SHO) changes the restriction alone;
//! `NewPriceIndication`, collars and circuit breaker levels change nothing here.
//!
//! Counts actions that DBN does not know, and trades in an instrument that is halted, paused or closed.

use std::ffi::c_char;

use dbn::{MboMsg, RecordRef, StatusAction, StatusMsg, StatusReason, TriState, rtype};
use wirebook_model::{ALL_INSTRUMENTS, RecordSink};
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::{Subject, is_trade};
use crate::machine::{Fault, Machine, SavedStateError, restore_state, save_state};

const VERSION: u16 = 1;

/// What an instrument does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum TradingState {
    /// The venue has not said yet.
    #[default]
    Unknown = 0,
    /// Neither orders nor trades.
    Closed = 1,
    /// Before the regular market; some venues trade.
    PreOpen = 2,
    /// Orders are collected for an auction.
    Auction = 3,
    /// Trading.
    Open = 4,
    /// After the regular market; some venues trade.
    PostClose = 5,
    /// Stopped by the venue or a regulator.
    Halted = 6,
    /// Stopped for minutes by a price limit.
    Paused = 7,
}

/// What was odd.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, Immutable, IntoBytes)]
#[repr(C)]
pub struct TradingStatusCounters {
    /// Status records with an action that DBN does not know.
    pub unknown_actions: u64,
    /// Trades while halted, paused or closed.
    pub trades_while_stopped: u64,
}

/// The trading state of one instrument.
#[derive(Clone, Debug, Default)]
pub struct TradingStatus {
    phase: TradingState,
    own: TradingState,
    /// A circuit breaker put `own` where it is.
    market_wide: bool,
    operational: bool,
    restricted: TriState,
    told: (TradingState, TriState),
    subject: Subject,
    counters: TradingStatusCounters,
}

#[derive(FromBytes, Immutable, IntoBytes)]
#[repr(C)]
struct Saved {
    states: [u8; 3],
    flags: [u8; 2],
    restricted: [u8; 2],
    _padding: u8,
    subject: Subject,
    counters: TradingStatusCounters,
}

impl TradingStatus {
    /// What the instrument does now.
    pub fn state(&self) -> TradingState {
        use TradingState::{Auction, Halted, Open, Paused, Unknown};
        match (self.operational, self.own, self.phase) {
            (true, ..) => Halted,
            (false, own @ (Halted | Paused | Auction), _) => own,
            (false, Open, Unknown) => Open,
            (false, _, phase) => phase,
        }
    }

    /// What was odd so far.
    pub fn counters(&self) -> TradingStatusCounters {
        self.counters
    }

    fn take(&mut self, record: &StatusMsg, out: &mut dyn RecordSink) {
        let Ok(action) = StatusAction::try_from(record.action) else {
            self.counters.unknown_actions += 1;
            return;
        };
        if record.hd.instrument_id == ALL_INSTRUMENTS {
            self.take_market(action, record.reason);
        } else {
            self.subject.learn(&record.hd);
            self.take_own(action, record.reason);
            match record.is_short_sell_restricted as u8 {
                b'Y' => self.restricted = TriState::Yes,
                b'N' => self.restricted = TriState::No,
                _ => {}
            }
        }
        self.tell(record, out);
    }

    fn take_market(&mut self, action: StatusAction, reason: u16) {
        match action {
            StatusAction::Halt | StatusAction::Suspend => {
                (self.own, self.market_wide) = (TradingState::Halted, true);
            }
            StatusAction::Trading if reason == StatusReason::MarketWideHaltResumption as u16 => {
                if self.market_wide {
                    (self.own, self.market_wide) = (TradingState::Open, false);
                }
            }
            StatusAction::Trading => self.phase = TradingState::Open,
            action => {
                if is_auction(action) {
                    self.phase = TradingState::Auction;
                }
                self.take_phase(action);
            }
        }
    }

    fn take_own(&mut self, action: StatusAction, reason: u16) {
        let operational = reason == StatusReason::Operational as u16;
        match action {
            StatusAction::Halt | StatusAction::Suspend if operational => self.operational = true,
            StatusAction::Halt | StatusAction::Suspend => self.set_own(TradingState::Halted),
            StatusAction::Pause => self.set_own(TradingState::Paused),
            StatusAction::Trading => {
                // The end of an operational halt says nothing of a halt for another reason.
                if !operational || self.own == TradingState::Unknown {
                    self.set_own(TradingState::Open);
                }
                self.operational = false;
                if reason == StatusReason::Scheduled as u16 {
                    self.phase = TradingState::Open;
                }
            }
            action if is_auction(action) => {
                self.operational = false;
                self.set_own(TradingState::Auction);
            }
            action => self.take_phase(action),
        }
    }

    fn set_own(&mut self, own: TradingState) {
        (self.own, self.market_wide) = (own, false);
    }

    fn take_phase(&mut self, action: StatusAction) {
        self.phase = match action {
            StatusAction::PreOpen => TradingState::PreOpen,
            StatusAction::PostClose => TradingState::PostClose,
            StatusAction::Close | StatusAction::NotAvailableForTrading => TradingState::Closed,
            _ => return,
        };
    }

    /// Says the state where it is not as it was said.
    fn tell(&mut self, cause: &StatusMsg, out: &mut dyn RecordSink) {
        let state = self.state();
        // Without a record of its own, the instrument's id is not known yet.
        if self.told == (state, self.restricted) || self.subject.instrument_id == 0 {
            return;
        }
        self.told = (state, self.restricted);
        let (action, is_trading, is_quoting) = said(state);
        let record = StatusMsg {
            hd: self.subject.header::<StatusMsg>(rtype::STATUS, cause.hd.ts_event),
            ts_recv: cause.ts_recv,
            action: action as u16,
            reason: cause.reason,
            trading_event: cause.trading_event,
            is_trading: is_trading as u8 as c_char,
            is_quoting: is_quoting as u8 as c_char,
            is_short_sell_restricted: self.restricted as u8 as c_char,
            ..StatusMsg::default()
        };
        out.record((&record).into());
    }

    fn check_trade(&mut self) {
        let stopped = matches!(
            self.state(),
            TradingState::Halted | TradingState::Paused | TradingState::Closed
        );
        self.counters.trades_while_stopped += u64::from(stopped);
    }
}

fn is_auction(action: StatusAction) -> bool {
    matches!(
        action,
        StatusAction::Quoting
            | StatusAction::PreCross
            | StatusAction::Cross
            | StatusAction::Rotation
            | StatusAction::PreClose
    )
}

/// A state in DBN's terms: the action that leads to it, and whether there is trading and quoting.
fn said(state: TradingState) -> (StatusAction, TriState, TriState) {
    use TriState::{No, NotAvailable, Yes};
    match state {
        TradingState::Unknown => (StatusAction::None, NotAvailable, NotAvailable),
        TradingState::Closed => (StatusAction::Close, No, No),
        TradingState::PreOpen => (StatusAction::PreOpen, NotAvailable, NotAvailable),
        TradingState::Auction => (StatusAction::PreCross, No, Yes),
        TradingState::Open => (StatusAction::Trading, Yes, Yes),
        TradingState::PostClose => (StatusAction::PostClose, NotAvailable, NotAvailable),
        TradingState::Halted => (StatusAction::Halt, No, No),
        TradingState::Paused => (StatusAction::Pause, No, No),
    }
}

impl Machine for TradingStatus {
    fn record(&mut self, record: RecordRef<'_>, out: &mut dyn RecordSink) -> Result<(), Fault> {
        if let Some(record) = record.get::<MboMsg>() {
            if self.subject.instrument_id == 0 {
                self.subject.learn(&record.hd);
            }
            if is_trade(record) {
                self.check_trade();
            }
        } else if let Some(record) = record.get::<StatusMsg>() {
            self.take(record, out);
        }
        Ok(())
    }

    fn save(&self, bytes: &mut Vec<u8>) {
        let saved = Saved {
            states: [self.phase, self.own, self.told.0].map(|state| state as u8),
            flags: [self.market_wide, self.operational].map(u8::from),
            restricted: [self.restricted, self.told.1].map(|said| said as u8),
            _padding: 0,
            subject: self.subject,
            counters: self.counters,
        };
        save_state(VERSION, &saved, bytes);
    }

    fn restore(&mut self, bytes: &[u8]) -> Result<(), SavedStateError> {
        let saved: Saved = restore_state(VERSION, bytes)?;
        let [phase, own, told] = saved.states.map(state_of);
        let [market_wide, operational] = saved.flags.map(|flag| flag != 0);
        let [restricted, told_restricted] = saved.restricted.map(|said| {
            TriState::try_from(said).map_err(|_| SavedStateError::Value("`Y`, `N` or `~`"))
        });
        *self = Self {
            phase: phase?,
            own: own?,
            market_wide,
            operational,
            restricted: restricted?,
            told: (told?, told_restricted?),
            subject: saved.subject,
            counters: saved.counters,
        };
        Ok(())
    }
}

fn state_of(number: u8) -> Result<TradingState, SavedStateError> {
    use TradingState::{Auction, Closed, Halted, Open, Paused, PostClose, PreOpen, Unknown};
    const STATES: [TradingState; 8] =
        [Unknown, Closed, PreOpen, Auction, Open, PostClose, Halted, Paused];
    let state = STATES.get(usize::from(number)).copied();
    state.ok_or(SavedStateError::Value("the number of a trading state"))
}
