//! TOPS 1.6 messages as events: what IEX's feeds share, and the quote update.

use super::*;
use crate::decoder::{Decoded, DecoderCounters, Limits};
use crate::iex::{SharedEvents, Unsound, known, said};
use wirebook_model::dbn::UNDEF_PRICE;
use wirebook_model::{EventSink, Side, VenueEvent};

/// Decodes TOPS 1.6 messages of one channel.
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
            Message::QuoteUpdate(m) => self.shared.decode(m, sequence, out),
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
    QuoteUpdate |m, _instrument| {
        let bid = top(Side::Bid, m.bid_price, m.bid_size)?;
        let ask = top(Side::Ask, m.ask_price, m.ask_size)?;
        Ok([Some(bid), Some(ask)])
    }
}

/// The best level of one side; an empty side has neither price nor size.
fn top(side: Side, price: SignedPrice4, size: U32) -> Result<VenueEvent, Unsound> {
    let (price, size) = match (known(price)?, size.get()) {
        (UNDEF_PRICE, _) | (_, 0) => (UNDEF_PRICE, 0),
        top => top,
    };
    Ok(VenueEvent::Top { side, price, size })
}
