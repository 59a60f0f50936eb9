//! DEEP 1.0 messages as events: what IEX's feeds share, and the price level update.

use super::*;
use crate::iex::{decoder, said, sound};
use wirebook_model::{Side, VenueEvent};

decoder! {
    /// Decodes DEEP 1.0 messages of one channel.
    PriceLevelUpdate
}

said! {
    PriceLevelUpdate |m, instrument| {
        let price = sound(m.price)?;
        instrument.event_open = m.event_flags & EVENT_PROCESSING_COMPLETE == 0;
        let side = if m.message_type.0 == BUY_SIDE { Side::Bid } else { Side::Ask };
        Ok([Some(VenueEvent::Level { side, price, size: m.size.get() }), None])
    }
}
