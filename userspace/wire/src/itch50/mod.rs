//! Nasdaq TotalView-ITCH 5.0: every message, as borrowed views.
//!
//! Source: *Nasdaq TotalView-ITCH 5.0* specification, section "Message Formats" (the number
//! behind each message is its clause); field names are the specification's. Numbers are
//! big-endian; `timestamp` is nanoseconds since midnight, US Eastern; text is padded with spaces.

mod events;
mod orders;

pub use events::Decoder;

use crate::field::{Code, Price4, Price8, Text, U48};
use crate::message::{layouts, message_set};
use zerocopy::byteorder::big_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

/// What every message starts with. The tracking number, 16 bits, and the timestamp, 48, are one load.
#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Start {
    _message_type: u8,
    stock_locate: U16,
    tracking_and_timestamp: U64,
}

message_set! {
    b'S' => SystemEvent,
    b'R' => StockDirectory,
    b'H' => StockTradingAction,
    b'Y' => RegShoRestriction,
    b'L' => MarketParticipantPosition,
    b'V' => MwcbDeclineLevel,
    b'W' => MwcbStatus,
    b'K' => IpoQuotingPeriodUpdate,
    b'J' => LuldAuctionCollar,
    b'h' => OperationalHalt,
    b'A' => AddOrder,
    b'F' => AddOrderWithMpid,
    b'E' => OrderExecuted,
    b'C' => OrderExecutedWithPrice,
    b'X' => OrderCancel,
    b'D' => OrderDelete,
    b'U' => OrderReplace,
    b'P' => NonCrossTrade,
    b'Q' => CrossTrade,
    b'B' => BrokenTrade,
    b'I' => NetOrderImbalanceIndicator,
    b'N' => RetailPriceImprovementIndicator,
    b'O' => DirectListingPriceDiscovery,
}

layouts! {
    /// 1.1: the phases of the day.
    "System Event" SystemEvent {
        stock_locate: U16, tracking_number: U16, timestamp: U48,
        event_code: Code,
    }

    /// 1.2.1: what a stock is; sent for every stock before the day begins.
    "Stock Directory" StockDirectory {
        stock_locate: U16, tracking_number: U16, timestamp: U48,
        stock: Text<8>,
        market_category: Code,
        financial_status_indicator: Code,
        round_lot_size: U32,
        round_lots_only: Code,
        issue_classification: Code,
        issue_sub_type: Text<2>,
        authenticity: Code,
        short_sale_threshold_indicator: Code,
        ipo_flag: Code,
        luld_reference_price_tier: Code,
        etp_flag: Code,
        etp_leverage_factor: U32,
        inverse_indicator: Code,
    }

    /// 1.2.2: halted, paused, quotation only or trading, and why.
    "Stock Trading Action" StockTradingAction {
        stock_locate: U16, tracking_number: U16, timestamp: U48,
        stock: Text<8>,
        trading_state: Code,
        reserved: Code,
        reason: Text<4>,
    }

    /// 1.2.3: Reg SHO short sale price test.
    "Reg SHO Short Sale Price Test Restricted Indicator" RegShoRestriction {
        locate_code: U16, tracking_number: U16, timestamp: U48,
        stock: Text<8>,
        reg_sho_action: Code,
    }

    /// 1.2.4: what a market participant is in a stock.
    "Market Participant Position" MarketParticipantPosition {
        stock_locate: U16, tracking_number: U16, timestamp: U48,
        mpid: Text<4>,
        stock: Text<8>,
        primary_market_maker: Code,
        market_maker_mode: Code,
        market_participant_state: Code,
    }

    /// 1.2.5.1: the day's market-wide circuit breaker levels.
    "MWCB Decline Level" MwcbDeclineLevel {
        stock_locate: U16, tracking_number: U16, timestamp: U48,
        level_1: Price8,
        level_2: Price8,
        level_3: Price8,
    }

    /// 1.2.5.2: one of those levels was breached.
    "MWCB Status" MwcbStatus {
        stock_locate: U16, tracking_number: U16, timestamp: U48,
        breached_level: Code,
    }

    /// 1.2.6: when an IPO's quotation is to be released.
    "IPO Quoting Period Update" IpoQuotingPeriodUpdate {
        stock_locate: U16, tracking_number: U16, timestamp: U48,
        stock: Text<8>,
        ipo_quotation_release_time: U32,
        ipo_quotation_release_qualifier: Code,
        ipo_price: Price4,
    }

    /// 1.2.7: collars of the auction that ends a LULD pause.
    "LULD Auction Collar" LuldAuctionCollar {
        stock_locate: U16, tracking_number: U16, timestamp: U48,
        stock: Text<8>,
        auction_collar_reference_price: Price4,
        upper_auction_collar_price: Price4,
        lower_auction_collar_price: Price4,
        auction_collar_extension: U32,
    }

    /// 1.2.8: an interruption of service on one market.
    "Operational Halt" OperationalHalt {
        stock_locate: U16, tracking_number: U16, timestamp: U48,
        stock: Text<8>,
        market_code: Code,
        operational_halt_action: Code,
    }

    /// 1.3.1: a new displayed order.
    "Add Order No MPID Attribution" AddOrder {
        stock_locate: U16, tracking_number: U16, timestamp: U48,
        order_reference_number: U64,
        buy_sell_indicator: Code,
        shares: U32,
        stock: Text<8>,
        price: Price4,
    }

    /// 1.3.2: a new displayed order and whose it is.
    "Add Order With MPID Attribution" AddOrderWithMpid {
        stock_locate: U16, tracking_number: U16, timestamp: U48,
        order_reference_number: U64,
        buy_sell_indicator: Code,
        shares: U32,
        stock: Text<8>,
        price: Price4,
        attribution: Text<4>,
    }

    /// 1.4.1: an order was executed at its own price.
    "Order Executed" OrderExecuted {
        stock_locate: U16, tracking_number: U16, timestamp: U48,
        order_reference_number: U64,
        executed_shares: U32,
        match_number: U64,
    }

    /// 1.4.2: an order was executed at another price.
    "Order Executed With Price" OrderExecutedWithPrice {
        stock_locate: U16, tracking_number: U16, timestamp: U48,
        order_reference_number: U64,
        executed_shares: U32,
        match_number: U64,
        printable: Code,
        execution_price: Price4,
    }

    /// 1.4.3: an order lost some of its shares.
    "Order Cancel" OrderCancel {
        stock_locate: U16, tracking_number: U16, timestamp: U48,
        order_reference_number: U64,
        canceled_shares: U32,
    }

    /// 1.4.4: an order is gone.
    "Order Delete" OrderDelete {
        stock_locate: U16, tracking_number: U16, timestamp: U48,
        order_reference_number: U64,
    }

    /// 1.4.5: an order was replaced; side, stock and attribution stay.
    "Order Replace" OrderReplace {
        stock_locate: U16, tracking_number: U16, timestamp: U48,
        original_order_reference_number: U64,
        new_order_reference_number: U64,
        shares: U32,
        price: Price4,
    }

    /// 1.5.1: an execution against an order that was not displayed.
    "Non-Cross Trade" NonCrossTrade {
        stock_locate: U16, tracking_number: U16, timestamp: U48,
        order_reference_number: U64,
        buy_sell_indicator: Code,
        shares: U32,
        stock: Text<8>,
        price: Price4,
        match_number: U64,
    }

    /// 1.5.2: the bulk print of an auction.
    "Cross Trade" CrossTrade {
        stock_locate: U16, tracking_number: U16, timestamp: U48,
        shares: U64,
        stock: Text<8>,
        cross_price: Price4,
        match_number: U64,
        cross_type: Code,
    }

    /// 1.5.3: an execution was broken.
    "Broken Trade" BrokenTrade {
        stock_locate: U16, tracking_number: U16, timestamp: U48,
        match_number: U64,
    }

    /// 1.6: paired and unpaired shares before an auction.
    "Net Order Imbalance Indicator" NetOrderImbalanceIndicator {
        stock_locate: U16, tracking_number: U16, timestamp: U48,
        paired_shares: U64,
        imbalance_shares: U64,
        imbalance_direction: Code,
        stock: Text<8>,
        far_price: Price4,
        near_price: Price4,
        current_reference_price: Price4,
        cross_type: Code,
        price_variation_indicator: Code,
    }

    /// 1.7: retail interest is there.
    "Retail Price Improvement Indicator" RetailPriceImprovementIndicator {
        stock_locate: U16, tracking_number: U16, timestamp: U48,
        stock: Text<8>,
        interest_flag: Code,
    }

    /// 1.8: price bounds of a direct listing with a capital raise.
    "Direct Listing With Capital Raise Price Discovery" DirectListingPriceDiscovery {
        stock_locate: U16, tracking_number: U16, timestamp: U48,
        stock: Text<8>,
        open_eligibility_status: Code,
        minimum_allowable_price: Price4,
        maximum_allowable_price: Price4,
        near_execution_price: Price4,
        near_execution_time: U64,
        lower_price_range_collar: Price4,
        upper_price_range_collar: Price4,
    }
}

#[cfg(test)]
mod tests {
    use super::Message;

    /// The specification's lengths; it counts the type byte at offset 0.
    const SPECIFIED: [(u8, usize); 23] = [
        (b'S', 12),
        (b'R', 39),
        (b'H', 25),
        (b'Y', 20),
        (b'L', 26),
        (b'V', 35),
        (b'W', 12),
        (b'K', 28),
        (b'J', 35),
        (b'h', 21),
        (b'A', 36),
        (b'F', 40),
        (b'E', 31),
        (b'C', 36),
        (b'X', 23),
        (b'D', 19),
        (b'U', 35),
        (b'P', 44),
        (b'Q', 40),
        (b'B', 19),
        (b'I', 50),
        (b'N', 20),
        (b'O', 48),
    ];

    #[test]
    fn lengths_are_those_of_the_specification() {
        assert_eq!(Message::LENGTHS, SPECIFIED);
    }
}
