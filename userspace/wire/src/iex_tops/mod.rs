//! IEX TOPS 1.6: every message, as borrowed views.
//!
//! Source: *IEX TOPS Specification* 1.64 and 1.66; see the module's shared messages for the
//! clauses. What TOPS alone has is the quote update: the best bid and the best ask as they are
//! now. The security event is known to revision 1.64 of TOPS 1.6 and gone from 1.66.

mod events;

pub use events::Decoder;

pub use crate::iex::{
    AuctionInformation, OfficialPrice, OperationalHaltStatus, QuoteUpdateFlags,
    RetailLiquidityIndicator, SaleConditionFlags, SecurityDirectory, SecurityDirectoryFlags,
    SecurityEvent, ShortSalePriceTestStatus, SystemEvent, TradeBreak, TradeReport, TradingStatus,
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
    b'Q' => QuoteUpdate,
    b'T' => TradeReport,
    b'X' => OfficialPrice,
    b'B' => TradeBreak,
    b'A' => AuctionInformation,
}

layouts! {
    /// The best bid and ask are these now; a side with size 0 is empty.
    "Quote Update Message" QuoteUpdate {
        quote_update_flags: QuoteUpdateFlags,
        timestamp: U64,
        symbol: Text<8>,
        bid_size: U32,
        bid_price: SignedPrice4,
        ask_price: SignedPrice4,
        ask_size: U32,
    }
}

#[cfg(test)]
mod tests {
    use super::Message;

    /// The specification's "Total Message Data Length" of each message.
    const SPECIFIED: [(u8, usize); 12] = [
        (b'S', 10),
        (b'D', 31),
        (b'H', 22),
        (b'I', 18),
        (b'O', 18),
        (b'P', 19),
        (b'E', 18),
        (b'Q', 42),
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
