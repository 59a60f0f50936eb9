//! Trading states and statistics in DBN's terms, for all US equity venues.
//!
//! DBN's status says what an instrument does now and why; venues say it with letters. What a
//! message does not tell is `~`, so that no message claims more than the venue did: the phase of
//! the market, for one, does not end the halt of an instrument.

use wirebook_model::dbn::{
    StatType, StatusAction, StatusReason, TradingEvent, TriState, UNDEF_STAT_QUANTITY,
    UNDEF_TIMESTAMP,
};
use wirebook_model::{Statistic, Status, UnixNanos, VenueEvent};

/// A status of which only the action and the reason are known.
pub(crate) fn status(action: StatusAction, reason: StatusReason) -> Status {
    Status {
        action: action as u16,
        reason: reason as u16,
        trading_event: TradingEvent::None as u16,
        is_trading: TriState::NotAvailable as u8,
        is_quoting: TriState::NotAvailable as u8,
        is_short_sell_restricted: TriState::NotAvailable as u8,
    }
}

/// The status of one instrument, with what its action says of trading and quoting.
pub(crate) fn instrument_status(action: StatusAction, reason: StatusReason) -> VenueEvent {
    let (is_trading, is_quoting) = match action {
        StatusAction::Trading => (TriState::Yes, TriState::Yes),
        StatusAction::Quoting | StatusAction::PreCross => (TriState::No, TriState::Yes),
        StatusAction::Halt | StatusAction::Pause => (TriState::No, TriState::No),
        _ => (TriState::NotAvailable, TriState::NotAvailable),
    };
    VenueEvent::Status(Status {
        is_trading: is_trading as u8,
        is_quoting: is_quoting as u8,
        ..status(action, reason)
    })
}

/// A change of the short sale price test.
pub(crate) fn short_sale(restricted: TriState) -> VenueEvent {
    VenueEvent::Status(Status {
        is_short_sell_restricted: restricted as u8,
        ..status(StatusAction::SsrChange, StatusReason::Regulatory)
    })
}

/// The phases of a day. Nasdaq and IEX name them with the same letters but for the regular
/// market's start: `Q` and `R`.
pub(crate) fn market_phase(code: u8) -> Option<VenueEvent> {
    let action = match code {
        b'O' | b'C' => StatusAction::NotAvailableForTrading,
        b'S' => StatusAction::PreOpen,
        b'Q' | b'R' => StatusAction::Trading,
        b'M' => StatusAction::PostClose,
        b'E' => StatusAction::Close,
        _ => return None,
    };
    Some(VenueEvent::Status(status(action, StatusReason::Scheduled)))
}

/// The reason of a halt or its end, from the codes of the Nasdaq specification's appendix "Stock
/// Trading Action reasons" and the DEEP specification's "Trading Status Message".
pub(crate) fn reason(code: &[u8]) -> StatusReason {
    match code {
        b"T1" => StatusReason::NewsPending,
        b"T2" => StatusReason::NewsReleased,
        b"T3" => StatusReason::NewsAndResumptionTimes,
        b"T5" | b"T7" | b"M" | b"LUDP" | b"LUDS" => StatusReason::LuldPause,
        b"T6" => StatusReason::MarketEvent,
        b"T8" => StatusReason::Etf,
        b"T12" => StatusReason::AdditionalInformationRequested,
        b"H4" => StatusReason::NonCompliance,
        b"H9" => StatusReason::FilingsNotCurrent,
        b"H10" => StatusReason::SecTradingSuspension,
        b"H11" | b"C11" => StatusReason::Regulatory,
        b"O1" => StatusReason::Operational,
        b"IPO1" | b"IPO2" | b"IPO3" | b"IPOD" | b"IPOQ" | b"IPOE" => {
            StatusReason::NewSecurityOffering
        }
        b"M1" => StatusReason::CorporateAction,
        b"M2" => StatusReason::QuotationNotAvailable,
        b"C3" => StatusReason::NewsNotForthcoming,
        b"C9" | b"R9" => StatusReason::FilingReqsSatisfied,
        b"C4" | b"R4" => StatusReason::IssuesReviewed,
        b"R1" => StatusReason::NewIssue,
        b"R2" => StatusReason::IssueAvailable,
        b"MWC0" => StatusReason::MarketWideHaltCarryover,
        b"MWC1" | b"MCB1" => StatusReason::MarketWideHaltLevel1,
        b"MWC2" | b"MCB2" => StatusReason::MarketWideHaltLevel2,
        b"MWC3" | b"MCB3" => StatusReason::MarketWideHaltLevel3,
        b"MWCQ" => StatusReason::MarketWideHaltResumption,
        _ => StatusReason::None,
    }
}

/// A price about an instrument or the market.
pub(crate) fn price_statistic(stat_type: StatType, price: i64) -> VenueEvent {
    price_statistic_at(stat_type, price, UNDEF_TIMESTAMP)
}

/// A price and the time that it is of.
pub(crate) fn price_statistic_at(stat_type: StatType, price: i64, ts_ref: UnixNanos) -> VenueEvent {
    VenueEvent::Statistic(Statistic {
        stat_type: stat_type as u16,
        price,
        quantity: UNDEF_STAT_QUANTITY,
        ts_ref,
    })
}
