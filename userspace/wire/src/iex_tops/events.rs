//! TOPS 1.6 messages as events: what IEX's feeds share, and the quote update.

use super::*;
use crate::iex::{Unsound, decoder, known, said};
use wirebook_model::dbn::UNDEF_PRICE;
use wirebook_model::{Side, VenueEvent};

decoder! {
    /// Decodes TOPS 1.6 messages of one channel.
    QuoteUpdate
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
