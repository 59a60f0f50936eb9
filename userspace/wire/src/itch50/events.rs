//! ITCH 5.0 messages as events.
//!
//! Every ITCH message is a complete venue event, so its last event carries `F_LAST`. The
//! instrument id is the stock locate; a message about one stock with locate 0, which is the
//! market's, is malformed. `L`, `N` and a cross without shares say nothing that a record could:
//! known, and no event.

use super::orders::{self, Orders};
use super::*;
use crate::decoder::{Decoded, DecoderCounters, Emitter, Run};
use crate::message::view;
use crate::status::{
    instrument_status, market_phase, price_statistic, price_statistic_at, reason, short_sale,
};
use wirebook_model::dbn::{
    InstrumentClass, StatType, StatusAction, StatusReason, TriState, UNDEF_PRICE, UNDEF_TIMESTAMP,
};
use wirebook_model::{
    ALL_INSTRUMENTS, Definition, EventHeader, EventSink, Imbalance, Side, Symbol, UnixNanos,
    VenueEvent,
};

const NANOS_PER_SECOND: u64 = 1_000_000_000;
/// The letter that DBN uses for a code which is not there.
const NO_CODE: u8 = b'~';
/// `Market Code` of Nasdaq itself in an operational halt.
const NASDAQ: u8 = b'Q';

/// Decodes ITCH 5.0 messages of one channel.
#[derive(Debug)]
pub struct Decoder {
    base: Base,
    counters: DecoderCounters,
}

/// What its messages do not say.
#[derive(Clone, Copy, Debug)]
pub(super) struct Base {
    channel: u8,
    midnight: UnixNanos,
}

impl Base {
    #[inline]
    pub(super) fn header(self, start: &Start, sequence: u64) -> EventHeader {
        EventHeader {
            channel: self.channel,
            flags: 0,
            instrument_id: u32::from(start.stock_locate.get()),
            sequence,
            ts_event: self.ts_event(start),
        }
    }

    #[inline]
    fn ts_event(self, start: &Start) -> UnixNanos {
        self.midnight.saturating_add(start.tracking_and_timestamp.get() & TIMESTAMP)
    }
}

/// The timestamp beside the tracking number.
const TIMESTAMP: u64 = (1 << 48) - 1;

impl Decoder {
    pub(crate) fn new(channel: u8) -> Self {
        Self { base: Base { channel, midnight: 0 }, counters: DecoderCounters::default() }
    }

    /// Sets the midnight, US Eastern, that timestamps count from.
    pub fn set_midnight(&mut self, midnight: UnixNanos) {
        self.base.midnight = midnight;
    }

    /// When the venue sent `bytes`, one message; `None` where it is too short to tell.
    pub fn time_of(&self, bytes: &[u8]) -> Option<UnixNanos> {
        view::<Start>(bytes).ok().map(|start| self.base.ts_event(start))
    }

    /// What was bent so far.
    pub fn counters(&self) -> DecoderCounters {
        self.counters
    }

    /// Gives the events of `bytes`, one message with this `sequence`, to `out`.
    #[inline]
    pub fn decode(&mut self, bytes: &[u8], sequence: u64, out: &mut impl EventSink) -> Decoded {
        match orders::event(bytes, self.base, sequence) {
            Some(event) => {
                out.packed(&event);
                Decoded::Known
            }
            None => self.decode_rare(bytes, sequence, out),
        }
    }

    /// The same for `messages` that are numbered from `sequence` on, until one is malformed.
    #[inline]
    pub fn decode_run<'m>(
        &mut self,
        mut messages: impl Iterator<Item = &'m [u8]>,
        mut sequence: u64,
        out: &mut impl EventSink,
    ) -> Run {
        let mut run = Run::default();
        loop {
            let messages = &mut messages;
            let mut orders = Orders { base: self.base, messages, sequence, other: None };
            out.packed_all(&mut orders);
            let Orders { sequence: next, other, .. } = orders;
            run.messages += next - sequence;
            sequence = next;
            let Some(message) = other else { return run };
            // It is among those that were counted.
            run.messages -= 1;
            if run.ends_with(self.decode_rare(message, sequence - 1, out)) {
                return run;
            }
        }
    }

    /// What does not come with every order, or is bent: kept out of the hot path's code.
    #[cold]
    #[inline(never)]
    fn decode_rare(&mut self, bytes: &[u8], sequence: u64, out: &mut impl EventSink) -> Decoded {
        let (message, start) = match Message::parse(bytes).and_then(|m| Ok((m, view(bytes)?))) {
            Ok(found) => found,
            Err(error) => return error.into(),
        };
        if bytes.len() > message.length() {
            self.counters.grown_messages += 1;
            if let Some(event) = orders::event(&bytes[..message.length()], self.base, sequence) {
                out.packed(&event);
                return Decoded::Known;
            }
        }
        let mut header = self.base.header(start, sequence);
        if is_about_market(message) {
            header.instrument_id = ALL_INSTRUMENTS;
        } else if header.instrument_id == ALL_INSTRUMENTS {
            return Decoded::Malformed;
        }
        match self.emit_rare(message, &mut Emitter::new(header, out)) {
            Some(()) => Decoded::Known,
            None => Decoded::Malformed,
        }
    }

    /// `None`, before any event, where a field holds what its meaning rules out.
    fn emit_rare(
        &mut self,
        message: Message<'_>,
        out: &mut Emitter<'_, impl EventSink>,
    ) -> Option<()> {
        match message {
            Message::SystemEvent(m) => {
                if let Some(phase) = market_phase(m.event_code.0) {
                    out.last(phase);
                }
            }
            Message::StockDirectory(m) => out.last(definition(m)),
            Message::StockTradingAction(m) => out.last(trading_action(m)),
            Message::RegShoRestriction(m) => out.last(short_sale(match m.reg_sho_action.0 {
                b'0' => TriState::No,
                b'1' | b'2' => TriState::Yes,
                _ => TriState::NotAvailable,
            })),
            Message::MwcbDeclineLevel(m) => decline_levels(m, out)?,
            Message::MwcbStatus(m) => {
                // A level that is not known yet is a halt all the same.
                let level = breached_level(m).unwrap_or(StatusReason::None);
                out.last(instrument_status(StatusAction::Halt, level));
            }
            Message::IpoQuotingPeriodUpdate(m) => self.ipo_quoting(m, out),
            Message::LuldAuctionCollar(m) => auction_collar(m, out),
            Message::OperationalHalt(m) => operational_halt(m, out),
            Message::BrokenTrade(m) => out.last(VenueEvent::TradeBreak {
                match_id: m.match_number.get(),
                price: UNDEF_PRICE,
                size: 0,
            }),
            Message::CrossTrade(m) => self.cross_trade(m, out),
            Message::NetOrderImbalanceIndicator(m) => {
                let imbalance = self.imbalance(m);
                out.last(VenueEvent::Imbalance(imbalance));
            }
            Message::DirectListingPriceDiscovery(m) => direct_listing(m, out),
            Message::MarketParticipantPosition(_) | Message::RetailPriceImprovementIndicator(_) => {
            }
            // Whole and about an instrument, and yet no event: a code of no meaning.
            Message::AddOrder(_)
            | Message::AddOrderWithMpid(_)
            | Message::OrderExecuted(_)
            | Message::OrderExecutedWithPrice(_)
            | Message::OrderCancel(_)
            | Message::OrderDelete(_)
            | Message::OrderReplace(_)
            | Message::NonCrossTrade(_) => return None,
        }
        Some(())
    }

    fn cross_trade(&mut self, m: &CrossTrade, out: &mut Emitter<'_, impl EventSink>) {
        if m.shares.get() == 0 {
            return;
        }
        let size = self.size(m.shares);
        out.last(VenueEvent::Trade {
            side: Side::None,
            price: m.cross_price.to_fixed(),
            size,
            order_id: 0,
            match_id: m.match_number.get(),
        });
    }

    fn imbalance(&mut self, m: &NetOrderImbalanceIndicator) -> Imbalance {
        Imbalance {
            ref_price: auction_price(m.current_reference_price),
            auction_time: UNDEF_TIMESTAMP,
            cont_book_clr_price: auction_price(m.near_price),
            auct_interest_clr_price: auction_price(m.far_price),
            upper_collar: UNDEF_PRICE,
            lower_collar: UNDEF_PRICE,
            ind_match_price: UNDEF_PRICE,
            paired_qty: self.size(m.paired_shares),
            total_imbalance_qty: self.size(m.imbalance_shares),
            side: order_side(m.imbalance_direction).unwrap_or(Side::None),
            auction_type: m.cross_type.0,
            num_extensions: 0,
            significant_imbalance: match m.price_variation_indicator.0 {
                b' ' => NO_CODE,
                code => code,
            },
        }
    }

    /// The release time counts from midnight, in seconds.
    fn ipo_quoting(&self, m: &IpoQuotingPeriodUpdate, out: &mut Emitter<'_, impl EventSink>) {
        let since_midnight = u64::from(m.ipo_quotation_release_time.get()) * NANOS_PER_SECOND;
        out.more(price_statistic_at(
            StatType::VenueSpecificPrice1,
            m.ipo_price.to_fixed(),
            self.base.midnight.saturating_add(since_midnight),
        ));
        let action = match m.ipo_quotation_release_qualifier.0 {
            b'A' => StatusAction::NewPriceIndication,
            _ => StatusAction::None,
        };
        out.last(instrument_status(action, StatusReason::NewSecurityOffering));
    }

    fn size(&mut self, shares: U64) -> u32 {
        u32::try_from(shares.get()).unwrap_or_else(|_| {
            self.counters.saturated_sizes += 1;
            u32::MAX
        })
    }
}

#[inline]
fn is_about_market(message: Message<'_>) -> bool {
    matches!(
        message,
        Message::SystemEvent(_) | Message::MwcbDeclineLevel(_) | Message::MwcbStatus(_)
    )
}

#[inline]
fn order_side(indicator: Code) -> Option<Side> {
    match indicator.0 {
        b'B' => Some(Side::Bid),
        b'S' => Some(Side::Ask),
        _ => None,
    }
}

fn definition(m: &StockDirectory) -> VenueEvent {
    VenueEvent::Definition(Definition {
        symbol: Symbol::from_padded(&m.stock.0),
        min_price_increment: UNDEF_PRICE,
        round_lot_size: m.round_lot_size.get(),
        instrument_class: InstrumentClass::Stock as u8,
    })
}

fn trading_action(m: &StockTradingAction) -> VenueEvent {
    let action = match m.trading_state.0 {
        b'H' => StatusAction::Halt,
        b'P' => StatusAction::Pause,
        b'Q' => StatusAction::Quoting,
        b'T' => StatusAction::Trading,
        _ => StatusAction::None,
    };
    instrument_status(action, reason(m.reason.trimmed()))
}

/// An interruption of Nasdaq itself; the same stock may trade on while BX or PSX is interrupted.
fn operational_halt(m: &OperationalHalt, out: &mut Emitter<'_, impl EventSink>) {
    if m.market_code.0 != NASDAQ {
        return;
    }
    let action = match m.operational_halt_action.0 {
        b'H' => StatusAction::Halt,
        b'T' => StatusAction::Trading,
        _ => StatusAction::None,
    };
    out.last(instrument_status(action, StatusReason::Operational));
}

fn decline_levels(m: &MwcbDeclineLevel, out: &mut Emitter<'_, impl EventSink>) -> Option<()> {
    let (one, two, three) = (m.level_1.to_fixed()?, m.level_2.to_fixed()?, m.level_3.to_fixed()?);
    out.more(price_statistic(StatType::MwcbLevel1, one));
    out.more(price_statistic(StatType::MwcbLevel2, two));
    out.last(price_statistic(StatType::MwcbLevel3, three));
    Some(())
}

fn breached_level(m: &MwcbStatus) -> Option<StatusReason> {
    match m.breached_level.0 {
        b'1' => Some(StatusReason::MarketWideHaltLevel1),
        b'2' => Some(StatusReason::MarketWideHaltLevel2),
        b'3' => Some(StatusReason::MarketWideHaltLevel3),
        _ => None,
    }
}

fn auction_collar(m: &LuldAuctionCollar, out: &mut Emitter<'_, impl EventSink>) {
    let reference = m.auction_collar_reference_price.to_fixed();
    let (upper, lower) = (m.upper_auction_collar_price, m.lower_auction_collar_price);
    out.more(price_statistic(StatType::AuctionCollarReferencePrice, reference));
    out.more(price_statistic(StatType::AuctionCollarUpperPrice, upper.to_fixed()));
    out.last(price_statistic(StatType::AuctionCollarLowerPrice, lower.to_fixed()));
}

/// The near execution price is what the collars are put around.
fn direct_listing(m: &DirectListingPriceDiscovery, out: &mut Emitter<'_, impl EventSink>) {
    for (stat_type, price) in [
        (StatType::UpperPriceLimit, m.maximum_allowable_price),
        (StatType::LowerPriceLimit, m.minimum_allowable_price),
        (StatType::AuctionCollarReferencePrice, m.near_execution_price),
        (StatType::AuctionCollarUpperPrice, m.upper_price_range_collar),
    ] {
        out.more(price_statistic(stat_type, price.to_fixed()));
    }
    let lower = m.lower_price_range_collar.to_fixed();
    out.last(price_statistic(StatType::AuctionCollarLowerPrice, lower));
}

/// Zero stands for a price that cannot be calculated.
fn auction_price(price: Price4) -> i64 {
    match price.to_fixed() {
        0 => UNDEF_PRICE,
        known => known,
    }
}
