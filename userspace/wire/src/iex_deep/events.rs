//! DEEP 1.0 messages as events: what IEX's feeds share, and the price level update.

use super::*;
use crate::decoder::{Decoded, DecoderCounters, Limits};
use crate::iex::{SharedEvents, said, sound};
use wirebook_model::{EventSink, Side, VenueEvent};

/// Decodes DEEP 1.0 messages of one channel.
#[derive(Debug)]
pub struct Decoder {
    shared: SharedEvents,
}

impl Decoder {
    pub(crate) fn new(channel: u8, limits: Limits) -> Self {
        Self { shared: SharedEvents::new(channel, limits.instruments) }
    }

    /// What was bent so far.
    pub fn counters(&self) -> DecoderCounters {
        self.shared.counters
    }

    /// Gives the events of `bytes`, one message with this `sequence`, to `out`.
    #[inline]
    pub fn decode(&mut self, bytes: &[u8], sequence: u64, out: &mut impl EventSink) -> Decoded {
        let message = match Message::parse(bytes) {
            Ok(message) => message,
            Err(error) => return error.into(),
        };
        if bytes.len() > message.length() {
            self.shared.counters.grown_messages += 1;
        }
        match message {
            Message::PriceLevelUpdate(m) => self.shared.decode(m, sequence, out),
            Message::SystemEvent(m) => self.shared.system_event(m, sequence, out),
            Message::SecurityDirectory(m) => self.shared.decode(m, sequence, out),
            Message::TradingStatus(m) => self.shared.decode(m, sequence, out),
            Message::RetailLiquidityIndicator(m) => self.shared.decode(m, sequence, out),
            Message::OperationalHaltStatus(m) => self.shared.decode(m, sequence, out),
            Message::ShortSalePriceTestStatus(m) => self.shared.decode(m, sequence, out),
            Message::SecurityEvent(m) => self.shared.decode(m, sequence, out),
            Message::TradeReport(m) => self.shared.decode(m, sequence, out),
            Message::OfficialPrice(m) => self.shared.decode(m, sequence, out),
            Message::TradeBreak(m) => self.shared.decode(m, sequence, out),
            Message::AuctionInformation(m) => self.shared.decode(m, sequence, out),
        }
    }
}

said! {
    PriceLevelUpdate |m, instrument| {
        let price = sound(m.price)?;
        instrument.event_open = m.event_flags & EVENT_PROCESSING_COMPLETE == 0;
        let side = if m.message_type.0 == BUY_SIDE { Side::Bid } else { Side::Ask };
        Ok([Some(VenueEvent::Level { side, price, size: m.size.get() }), None])
    }
}
