//! The shared IEX messages as events.
//!
//! IEX marks where its events end on price level updates alone (`event_flags`): while an update
//! has announced that more follows, the instrument's event is open and nothing of it carries
//! `F_LAST`. Outside an open event every message is an event of its own. So is a trade report:
//! many come alone (executions of orders that were not displayed), and where a price level
//! update follows one, the book before it is as whole as the book after it. An event whose end
//! was lost in a gap stays open until the instrument's next complete update.
//!
//! A symbol's first message is preceded by its definition; a security directory message, which
//! IEX sends for its own listings, gives a definition with the round lot.

use super::*;
use crate::decoder::{Decoded, DecoderCounters, Emitter};
use crate::status::{instrument_status, market_phase, price_statistic, reason, short_sale};
use wirebook_model::dbn::{
    InstrumentClass, StatType, StatusAction, StatusReason, TriState, UNDEF_PRICE, UNDEF_TIMESTAMP,
};
use wirebook_model::{
    ALL_INSTRUMENTS, Definition, EventHeader, EventSink, Imbalance, Side, Symbol, UnixNanos,
    VenueEvent,
};

const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// A field holds what its meaning rules out.
pub(crate) struct Unsound;

/// A message about one instrument.
pub(crate) trait Said {
    fn symbol(&self) -> &Text<8>;
    fn timestamp(&self) -> UnixNanos;
    /// What was said: no event, one, or two.
    fn events(&self, instrument: &mut Instrument) -> Result<[Option<VenueEvent>; 2], Unsound>;
}

/// What both IEX decoders are made of.
#[derive(Debug)]
pub(crate) struct SharedEvents {
    channel: u8,
    instruments: Instruments,
    pub(crate) counters: DecoderCounters,
}

impl SharedEvents {
    pub(crate) fn new(channel: u8, instruments: usize) -> Self {
        Self {
            channel,
            instruments: Instruments::new(instruments),
            counters: DecoderCounters::default(),
        }
    }

    /// Gives the events of a message about one instrument.
    #[inline]
    pub(crate) fn decode(
        &mut self,
        message: &impl Said,
        sequence: u64,
        out: &mut impl EventSink,
    ) -> Decoded {
        let symbol = message.symbol();
        let Some(instrument) = self.instruments.find(symbol) else {
            return Decoded::OverLimit;
        };
        let Ok([first, second]) = message.events(instrument) else {
            return Decoded::Malformed;
        };
        let undefined = !std::mem::replace(&mut instrument.defined, true);
        let definition = undefined.then(|| definition(symbol, 0));
        let header = header(self.channel, instrument.id, sequence, message.timestamp());
        let mut out = Emitter::new(header, out);
        let mut events = [definition, first, second].into_iter().flatten().peekable();
        while let Some(event) = events.next() {
            if events.peek().is_some() || instrument.event_open {
                out.more(event);
            } else {
                out.last(event);
            }
        }
        Decoded::Known
    }

    /// Gives the event of a message about the market.
    pub(crate) fn system_event(
        &mut self,
        message: &SystemEvent,
        sequence: u64,
        out: &mut impl EventSink,
    ) -> Decoded {
        let timestamp = message.timestamp.get();
        let header = header(self.channel, ALL_INSTRUMENTS, sequence, timestamp);
        if let Some(phase) = market_phase(message.system_event.0) {
            Emitter::new(header, out).last(phase);
        }
        Decoded::Known
    }
}

/// A feed's decoder: of what both feeds say, and of the feed's own update of the book.
macro_rules! decoder {
    ($(#[$doc:meta])* $update:ident) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub struct Decoder {
            shared: $crate::iex::SharedEvents,
        }

        impl Decoder {
            pub(crate) fn new(channel: u8, limits: $crate::decoder::Limits) -> Self {
                Self { shared: $crate::iex::SharedEvents::new(channel, limits.instruments) }
            }

            /// What was bent so far.
            pub fn counters(&self) -> $crate::decoder::DecoderCounters {
                self.shared.counters
            }

            /// Gives the events of `bytes`, one message with this `sequence`, to `out`. Not inlined: who
            /// decodes any protocol has ITCH's loop, and its registers, to itself.
            #[inline(never)]
            pub fn decode(
                &mut self,
                bytes: &[u8],
                sequence: u64,
                out: &mut impl wirebook_model::EventSink,
            ) -> $crate::decoder::Decoded {
                let message = match Message::parse(bytes) {
                    Ok(message) => message,
                    Err(error) => return error.into(),
                };
                let shared = &mut self.shared;
                if bytes.len() > message.length() {
                    shared.counters.grown_messages += 1;
                }
                match message {
                    Message::$update(m) => shared.decode(m, sequence, out),
                    Message::SystemEvent(m) => shared.system_event(m, sequence, out),
                    Message::SecurityDirectory(m) => shared.decode(m, sequence, out),
                    Message::TradingStatus(m) => shared.decode(m, sequence, out),
                    Message::RetailLiquidityIndicator(m) => shared.decode(m, sequence, out),
                    Message::OperationalHaltStatus(m) => shared.decode(m, sequence, out),
                    Message::ShortSalePriceTestStatus(m) => shared.decode(m, sequence, out),
                    Message::SecurityEvent(m) => shared.decode(m, sequence, out),
                    Message::TradeReport(m) => shared.decode(m, sequence, out),
                    Message::OfficialPrice(m) => shared.decode(m, sequence, out),
                    Message::TradeBreak(m) => shared.decode(m, sequence, out),
                    Message::AuctionInformation(m) => shared.decode(m, sequence, out),
                }
            }
        }
    };
}
pub(crate) use decoder;

/// Implements [`Said`]: `Message |message, instrument| events`.
macro_rules! said {
    ($($message:ident |$this:ident, $instrument:ident| $events:expr)+) => {$(
        impl $crate::iex::Said for $message {
            fn symbol(&self) -> &$crate::field::Text<8> {
                &self.symbol
            }

            fn timestamp(&self) -> wirebook_model::UnixNanos {
                self.timestamp.get()
            }

            #[inline]
            fn events(
                &self,
                $instrument: &mut $crate::iex::Instrument,
            ) -> Result<[Option<wirebook_model::VenueEvent>; 2], $crate::iex::Unsound> {
                let $this = self;
                $events
            }
        }
    )+};
}
pub(crate) use said;

said! {
    SecurityDirectory |m, instrument| {
        instrument.defined = true;
        one(definition(&m.symbol, m.round_lot_size.get()))
    }
    TradingStatus |m, instrument| {
        instrument.trading = (trading_action(m.trading_status), reason(m.reason.trimmed()));
        one(instrument.status())
    }
    OperationalHaltStatus |m, instrument| {
        instrument.operational_halt = m.operational_halt_status.0 == b'O';
        one(instrument.status())
    }
    RetailLiquidityIndicator |_m, _instrument| Ok([None, None])
    ShortSalePriceTestStatus |m, _instrument| one(short_sale(match m.short_sale_price_test_status {
        0 => TriState::No,
        1 => TriState::Yes,
        _ => TriState::NotAvailable,
    }))
    SecurityEvent |m, _instrument| Ok([security_event(m.security_event), None])
    TradeReport |m, _instrument| one(VenueEvent::Trade {
        side: Side::None,
        price: sound(m.price)?,
        size: m.size.get(),
        order_id: 0,
        match_id: m.trade_id.get(),
    })
    TradeBreak |m, _instrument| one(VenueEvent::TradeBreak {
        match_id: m.trade_id.get(),
        price: sound(m.price)?,
        size: m.size.get(),
    })
    OfficialPrice |m, _instrument| {
        let price = sound(m.official_price)?;
        let stat_type = match m.price_type.0 {
            b'Q' => Some(StatType::OpeningPrice),
            b'M' => Some(StatType::ClosePrice),
            _ => None,
        };
        Ok([stat_type.map(|stat_type| price_statistic(stat_type, price)), None])
    }
    AuctionInformation |m, _instrument| one(VenueEvent::Imbalance(imbalance(m)?))
}

fn one(event: VenueEvent) -> Result<[Option<VenueEvent>; 2], Unsound> {
    Ok([Some(event), None])
}

/// A price that fits an event.
#[inline]
pub(crate) fn sound(price: SignedPrice4) -> Result<i64, Unsound> {
    price.to_fixed().ok_or(Unsound)
}

/// Zero stands for a price that is not there.
pub(crate) fn known(price: SignedPrice4) -> Result<i64, Unsound> {
    Ok(match sound(price)? {
        0 => UNDEF_PRICE,
        known => known,
    })
}

fn header(channel: u8, instrument_id: u32, sequence: u64, ts_event: UnixNanos) -> EventHeader {
    EventHeader { channel, flags: 0, instrument_id, sequence, ts_event }
}

fn definition(symbol: &Text<8>, round_lot_size: u32) -> VenueEvent {
    VenueEvent::Definition(Definition {
        symbol: Symbol::from_padded(&symbol.0),
        min_price_increment: UNDEF_PRICE,
        round_lot_size,
        instrument_class: InstrumentClass::Stock as u8,
    })
}

/// An order acceptance period is the time before an auction.
fn trading_action(code: Code) -> StatusAction {
    match code.0 {
        b'H' => StatusAction::Halt,
        b'O' => StatusAction::PreCross,
        b'P' => StatusAction::Pause,
        b'T' => StatusAction::Trading,
        _ => StatusAction::None,
    }
}

/// The end of the closing process is the end of the regular market, not of the day.
fn security_event(code: Code) -> Option<VenueEvent> {
    let action = match code.0 {
        b'O' => StatusAction::Trading,
        b'C' => StatusAction::PostClose,
        _ => return None,
    };
    Some(instrument_status(action, StatusReason::Scheduled))
}

/// The indicative clearing price takes all eligible orders, the auction book clearing price those
/// on the auction book alone.
fn imbalance(m: &AuctionInformation) -> Result<Imbalance, Unsound> {
    let auction_time = match m.scheduled_auction_time.get() {
        0 => UNDEF_TIMESTAMP,
        seconds => u64::from(seconds) * NANOS_PER_SECOND,
    };
    let indicative = known(m.indicative_clearing_price)?;
    Ok(Imbalance {
        ref_price: known(m.reference_price)?,
        auction_time,
        cont_book_clr_price: indicative,
        auct_interest_clr_price: known(m.auction_book_clearing_price)?,
        upper_collar: known(m.upper_auction_collar)?,
        lower_collar: known(m.lower_auction_collar)?,
        ind_match_price: indicative,
        paired_qty: m.paired_shares.get(),
        total_imbalance_qty: m.imbalance_shares.get(),
        side: match m.imbalance_side.0 {
            b'B' => Side::Bid,
            b'S' => Side::Ask,
            _ => Side::None,
        },
        auction_type: m.auction_type.0,
        num_extensions: m.extension_number,
        significant_imbalance: b'~',
    })
}
