//! What DEEP and TOPS share: administrative, trade and auction messages, symbols, events.
//!
//! Sources: *IEX DEEP Specification* 1.08 and *IEX TOPS Specification* 1.66, sections
//! "Administrative Message Formats", "Trading Message Formats" and "Auction Message Formats";
//! the bits of flags from appendix A. Numbers are little-endian; `timestamp` is nanoseconds since
//! the UNIX epoch; text is padded with spaces.

mod events;
mod instruments;

pub(crate) use events::{Said, SharedEvents, Unsound, decoder, known, said, sound};
pub(crate) use instruments::{Instrument, Instruments};

use crate::field::{Code, Field, FieldVisitor, FlagBit, SignedPrice4, Text};
use crate::message::layouts;
use zerocopy::byteorder::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

layouts! {
    /// The phases of the day.
    "System Event Message" SystemEvent {
        system_event: Code,
        timestamp: U64,
    }

    /// What a security is; sent for IEX-listed securities.
    "Security Directory Message" SecurityDirectory {
        security_directory_flags: SecurityDirectoryFlags,
        timestamp: U64,
        symbol: Text<8>,
        round_lot_size: U32,
        adjusted_poc_price: SignedPrice4,
        luld_tier: u8,
    }

    /// Halted, paused, accepting orders or trading, on all markets.
    "Trading Status Message" TradingStatus {
        trading_status: Code,
        timestamp: U64,
        symbol: Text<8>,
        reason: Text<4>,
    }

    /// Retail interest is there.
    "Retail Liquidity Indicator Message" RetailLiquidityIndicator {
        retail_liquidity_indicator: Code,
        timestamp: U64,
        symbol: Text<8>,
    }

    /// IEX alone has halted a security, or not.
    "Operational Halt Status Message" OperationalHaltStatus {
        operational_halt_status: Code,
        timestamp: U64,
        symbol: Text<8>,
    }

    /// Reg SHO short sale price test.
    "Short Sale Price Test Status Message" ShortSalePriceTestStatus {
        short_sale_price_test_status: u8,
        timestamp: U64,
        symbol: Text<8>,
        detail: Code,
    }

    /// The opening or closing process of a security is complete.
    "Security Event Message" SecurityEvent {
        security_event: Code,
        timestamp: U64,
        symbol: Text<8>,
    }

    /// An execution.
    "Trade Report Message" TradeReport {
        sale_condition_flags: SaleConditionFlags,
        timestamp: U64,
        symbol: Text<8>,
        size: U32,
        price: SignedPrice4,
        trade_id: U64,
    }

    /// An official opening or closing price of an IEX-listed security.
    "Official Price Message" OfficialPrice {
        price_type: Code,
        timestamp: U64,
        symbol: Text<8>,
        official_price: SignedPrice4,
    }

    /// An execution of the same day was broken.
    "Trade Break Message" TradeBreak {
        sale_condition_flags: SaleConditionFlags,
        timestamp: U64,
        symbol: Text<8>,
        size: U32,
        price: SignedPrice4,
        trade_id: U64,
    }

    /// Where an auction stands.
    "Auction Information Message" AuctionInformation {
        auction_type: Code,
        timestamp: U64,
        symbol: Text<8>,
        paired_shares: U32,
        reference_price: SignedPrice4,
        indicative_clearing_price: SignedPrice4,
        imbalance_shares: U32,
        imbalance_side: Code,
        extension_number: u8,
        scheduled_auction_time: U32,
        auction_book_clearing_price: SignedPrice4,
        collar_reference_price: SignedPrice4,
        lower_auction_collar: SignedPrice4,
        upper_auction_collar: SignedPrice4,
    }
}

/// Declares bytes of flags: `Struct { bit_name: mask, ... }`, the highest bit first.
macro_rules! flag_bytes {
    ($($(#[$doc:meta])* $flags:ident { $($bit:ident: $mask:literal),+ $(,)? })+) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[derive(FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
        #[repr(transparent)]
        pub struct $flags(pub u8);

        impl Field for $flags {
            fn visit(&self, name: &'static str, visitor: &mut impl FieldVisitor) {
                const BITS: &[FlagBit] =
                    &[$(FlagBit { name: stringify!($bit), mask: $mask }),+];
                visitor.flags(name, self.0, BITS);
            }
        }
    )+};
}

flag_bytes! {
    /// Appendix A, "Security Directory Message Flags".
    SecurityDirectoryFlags { test_security: 0x80, when_issued: 0x40, etp: 0x20 }

    /// Appendix A, "Sale Condition Flags".
    SaleConditionFlags {
        intermarket_sweep: 0x80,
        extended_hours: 0x40,
        odd_lot: 0x20,
        trade_through_exempt: 0x10,
        singleprice_cross_trade: 0x08,
    }

    /// Appendix A, "Quote Update Message Flags" (TOPS).
    QuoteUpdateFlags { symbol_availability: 0x80, market_session: 0x40 }
}
