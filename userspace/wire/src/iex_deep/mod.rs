//! IEX DEEP 1.0: every message, as borrowed views.
//!
//! Source: *IEX DEEP Specification* 1.08; see the module's shared messages for the clauses. What
//! DEEP alone has is the price level update: one side, one price, and the size that the level has
//! now.

mod events;

pub use events::Decoder;

pub use crate::iex::{
    AuctionInformation, OfficialPrice, OperationalHaltStatus, RetailLiquidityIndicator,
    SaleConditionFlags, SecurityDirectory, SecurityDirectoryFlags, SecurityEvent,
    ShortSalePriceTestStatus, SystemEvent, TradeBreak, TradeReport, TradingStatus,
};

use crate::field::{SignedPrice4, Text};
use crate::message::{layouts, message_set};
use zerocopy::byteorder::little_endian::{U32, U64};

message_set! {
    b'S' => SystemEvent,
    b'D' => SecurityDirectory,
    b'H' => TradingStatus,
    b'I' => RetailLiquidityIndicator,
    b'O' => OperationalHaltStatus,
    b'P' => ShortSalePriceTestStatus,
    b'E' => SecurityEvent,
    b'8' | b'5' => PriceLevelUpdate,
    b'T' => TradeReport,
    b'X' => OfficialPrice,
    b'B' => TradeBreak,
    b'A' => AuctionInformation,
}

/// Message type of an update on the buy side.
pub const BUY_SIDE: u8 = b'8';
/// Message type of an update on the sell side.
pub const SELL_SIDE: u8 = b'5';
/// `event_flags`: the matching engine has completed the event, the book is whole again.
pub const EVENT_PROCESSING_COMPLETE: u8 = 0x01;

layouts! {
    /// A price level has this size now; 0 removes it.
    "Price Level Update Message" PriceLevelUpdate {
        event_flags: u8,
        timestamp: U64,
        symbol: Text<8>,
        size: U32,
        price: SignedPrice4,
    }
}

#[cfg(test)]
mod tests {
    use super::Message;

    /// The specification's "Total Message Data Length" of each message.
    const SPECIFIED: [(u8, usize); 13] = [
        (b'S', 10),
        (b'D', 31),
        (b'H', 22),
        (b'I', 18),
        (b'O', 18),
        (b'P', 19),
        (b'E', 18),
        (b'8', 30),
        (b'5', 30),
        (b'T', 38),
        (b'X', 26),
        (b'B', 38),
        (b'A', 80),
    ];

    #[test]
    fn lengths_are_those_of_the_specification() {
        assert_eq!(Message::LENGTHS, SPECIFIED);
    }
}
