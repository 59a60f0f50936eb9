//! DBN records in C: the shapes of version 3, field by field as the `dbn` crate has them.
//!
//! Source: the [DBN encoding](https://databento.com/docs/standards-and-conventions/databento-binary-encoding).
//! `layout.rs` holds each size, offset and type against `dbn`'s own.

use std::ffi::c_char;

/// No price.
pub const WIREBOOK_UNDEF_PRICE: i64 = i64::MAX;
/// No time.
pub const WIREBOOK_UNDEF_TIMESTAMP: u64 = u64::MAX;
/// No size of an order.
pub const WIREBOOK_UNDEF_ORDER_SIZE: u32 = u32::MAX;
/// No quantity of a statistic.
pub const WIREBOOK_UNDEF_STAT_QUANTITY: i64 = i64::MAX;

/// Flag: the last record of a venue's event.
pub const WIREBOOK_FLAG_LAST: u8 = 128;
/// Flag: the top of the book alone, not an order.
pub const WIREBOOK_FLAG_TOB: u8 = 64;
/// Flag: from a snapshot, not from the feed.
pub const WIREBOOK_FLAG_SNAPSHOT: u8 = 32;
/// Flag: a price level, not an order.
pub const WIREBOOK_FLAG_MBP: u8 = 16;
/// Flag: `ts_recv` is not to be trusted.
pub const WIREBOOK_FLAG_BAD_TS_RECV: u8 = 8;
/// Flag: the book may be incomplete.
pub const WIREBOOK_FLAG_MAYBE_BAD_BOOK: u8 = 4;

/// What a record is: `rtype` of its header, and with it the structure to look at it by.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum wirebook_rtype {
    /// `wirebook_trade_msg`.
    MBP_0 = 0x00,
    /// `wirebook_mbp1_msg`.
    MBP_1 = 0x01,
    /// `wirebook_mbp10_msg`.
    MBP_10 = 0x0a,
    /// `wirebook_status_msg`.
    Status = 0x12,
    /// `wirebook_instrument_def_msg`.
    InstrumentDef = 0x13,
    /// `wirebook_imbalance_msg`.
    Imbalance = 0x14,
    /// `wirebook_error_msg`.
    Error = 0x15,
    /// `wirebook_system_msg`.
    System = 0x17,
    /// `wirebook_stat_msg`.
    Statistics = 0x18,
    /// `wirebook_ohlcv_msg`, of a second.
    OHLCV_1S = 0x20,
    /// `wirebook_ohlcv_msg`, of a minute.
    OHLCV_1M = 0x21,
    /// `wirebook_ohlcv_msg`, of an hour.
    OHLCV_1H = 0x22,
    /// `wirebook_ohlcv_msg`, of a day.
    OHLCV_1D = 0x23,
    /// `wirebook_mbo_msg`.
    Mbo = 0xa0,
}

/// What every record begins with.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct wirebook_record_header {
    /// Length of the record in words of four bytes.
    pub length: u8,
    /// A `wirebook_rtype`; readers step over others.
    pub rtype: u8,
    /// Who published it.
    pub publisher_id: u16,
    /// Whose it is; 0 where it is about the market.
    pub instrument_id: u32,
    /// Venue time, nanoseconds since the UNIX epoch.
    pub ts_event: u64,
}

/// An order's event.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct wirebook_mbo_msg {
    /// Header.
    pub hd: wirebook_record_header,
    /// The venue's number of the order; of a trade without a named aggressor, its match number.
    pub order_id: u64,
    /// Price, 1e-9 of the currency, or `WIREBOOK_UNDEF_PRICE`.
    pub price: i64,
    /// Size.
    pub size: u32,
    /// `WIREBOOK_FLAG_*`.
    pub flags: u8,
    /// The channel.
    pub channel_id: u8,
    /// `A`dd, `C`ancel, `M`odify, clea`R`, `T`rade, `F`ill or `N`one.
    pub action: c_char,
    /// `A`sk, `B`id or `N`one.
    pub side: c_char,
    /// Receive time, nanoseconds since the UNIX epoch.
    pub ts_recv: u64,
    /// How long before `ts_recv` the venue sent it, nanoseconds.
    pub ts_in_delta: i32,
    /// Venue sequence; its lower 32 bits.
    pub sequence: u32,
}

/// The same level of both sides.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct wirebook_bid_ask_pair {
    /// Bid price, 1e-9 of the currency, or `WIREBOOK_UNDEF_PRICE`.
    pub bid_px: i64,
    /// Ask price, 1e-9 of the currency, or `WIREBOOK_UNDEF_PRICE`.
    pub ask_px: i64,
    /// Bid size.
    pub bid_sz: u32,
    /// Ask size.
    pub ask_sz: u32,
    /// Orders of the bid.
    pub bid_ct: u32,
    /// Orders of the ask.
    pub ask_ct: u32,
}

/// A trade.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct wirebook_trade_msg {
    /// Header.
    pub hd: wirebook_record_header,
    /// Price, 1e-9 of the currency.
    pub price: i64,
    /// Size.
    pub size: u32,
    /// `T`rade.
    pub action: c_char,
    /// The aggressor: `A`sk, `B`id or `N`one.
    pub side: c_char,
    /// `WIREBOOK_FLAG_*`.
    pub flags: u8,
    /// Level of the book that it happened at.
    pub depth: u8,
    /// Receive time, nanoseconds since the UNIX epoch.
    pub ts_recv: u64,
    /// How long before `ts_recv` the venue sent it, nanoseconds.
    pub ts_in_delta: i32,
    /// Venue sequence; its lower 32 bits.
    pub sequence: u32,
}

/// An event that changed the best level, and that level behind it.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct wirebook_mbp1_msg {
    /// Header.
    pub hd: wirebook_record_header,
    /// Price of the event, 1e-9 of the currency.
    pub price: i64,
    /// Size of the event.
    pub size: u32,
    /// `A`dd, `C`ancel, `M`odify, clea`R` or `T`rade.
    pub action: c_char,
    /// `A`sk, `B`id or `N`one.
    pub side: c_char,
    /// `WIREBOOK_FLAG_*`.
    pub flags: u8,
    /// Level of the book that it happened at.
    pub depth: u8,
    /// Receive time, nanoseconds since the UNIX epoch.
    pub ts_recv: u64,
    /// How long before `ts_recv` the venue sent it, nanoseconds.
    pub ts_in_delta: i32,
    /// Venue sequence; its lower 32 bits.
    pub sequence: u32,
    /// The best level.
    pub levels: [wirebook_bid_ask_pair; 1],
}

/// The same of ten levels.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct wirebook_mbp10_msg {
    /// Header.
    pub hd: wirebook_record_header,
    /// Price of the event, 1e-9 of the currency.
    pub price: i64,
    /// Size of the event.
    pub size: u32,
    /// `A`dd, `C`ancel, `M`odify, clea`R` or `T`rade.
    pub action: c_char,
    /// `A`sk, `B`id or `N`one.
    pub side: c_char,
    /// `WIREBOOK_FLAG_*`.
    pub flags: u8,
    /// Level of the book that it happened at.
    pub depth: u8,
    /// Receive time, nanoseconds since the UNIX epoch.
    pub ts_recv: u64,
    /// How long before `ts_recv` the venue sent it, nanoseconds.
    pub ts_in_delta: i32,
    /// Venue sequence; its lower 32 bits.
    pub sequence: u32,
    /// The best levels, best first.
    pub levels: [wirebook_bid_ask_pair; 10],
}

/// A bar.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct wirebook_ohlcv_msg {
    /// Header; its `ts_event` is the beginning of the bar.
    pub hd: wirebook_record_header,
    /// First price, 1e-9 of the currency.
    pub open: i64,
    /// Highest price.
    pub high: i64,
    /// Lowest price.
    pub low: i64,
    /// Last price.
    pub close: i64,
    /// Size of all its trades.
    pub volume: u64,
}

/// A change of what may be done with an instrument.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct wirebook_status_msg {
    /// Header.
    pub hd: wirebook_record_header,
    /// Receive time, nanoseconds since the UNIX epoch.
    pub ts_recv: u64,
    /// DBN's `StatusAction`: 7 trading, 8 halt, 9 pause, ...
    pub action: u16,
    /// DBN's `StatusReason`.
    pub reason: u16,
    /// DBN's `TradingEvent`.
    pub trading_event: u16,
    /// `Y`, `N` or `~`.
    pub is_trading: c_char,
    /// `Y`, `N` or `~`.
    pub is_quoting: c_char,
    /// `Y`, `N` or `~`.
    pub is_short_sell_restricted: c_char,
    /// Zero.
    pub reserved: [u8; 7],
}

/// An auction's imbalance. Prices are 1e-9 of the currency, or `WIREBOOK_UNDEF_PRICE`; quantities a
/// number, or `WIREBOOK_UNDEF_ORDER_SIZE`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct wirebook_imbalance_msg {
    /// Header.
    pub hd: wirebook_record_header,
    /// Receive time, nanoseconds since the UNIX epoch.
    pub ts_recv: u64,
    /// The price that the quantities are of.
    pub ref_price: i64,
    /// When the auction is expected, or `WIREBOOK_UNDEF_TIMESTAMP`.
    pub auction_time: u64,
    /// The price that would clear the auction with the orders of the continuous book.
    pub cont_book_clr_price: i64,
    /// The price that would clear the auction's own orders.
    pub auct_interest_clr_price: i64,
    /// The price at which short sales would be filled under a restriction.
    pub ssr_filling_price: i64,
    /// The price at which most would trade, within the collars.
    pub ind_match_price: i64,
    /// Upper collar.
    pub upper_collar: i64,
    /// Lower collar.
    pub lower_collar: i64,
    /// What can be matched at `ref_price`.
    pub paired_qty: u32,
    /// What cannot be matched at `ref_price`.
    pub total_imbalance_qty: u32,
    /// Of that, orders without a price.
    pub market_imbalance_qty: u32,
    /// Of that, in a closing auction, orders of that price or a better.
    pub unpaired_qty: u32,
    /// The venue's letter for the auction, or `~`.
    pub auction_type: c_char,
    /// Side of `total_imbalance_qty`: `A`sk, `B`id or `N`one.
    pub side: c_char,
    /// The venue's number.
    pub auction_status: u8,
    /// The venue's number.
    pub freeze_status: u8,
    /// How often the halt was made longer.
    pub num_extensions: u8,
    /// Side of `unpaired_qty`: `A`sk, `B`id or `N`one.
    pub unpaired_side: c_char,
    /// The venue's letter.
    pub significant_imbalance: c_char,
    /// Zero.
    pub reserved: [u8; 1],
}

/// A number about an instrument.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct wirebook_stat_msg {
    /// Header.
    pub hd: wirebook_record_header,
    /// Receive time, nanoseconds since the UNIX epoch.
    pub ts_recv: u64,
    /// The time that it is of, or `WIREBOOK_UNDEF_TIMESTAMP`.
    pub ts_ref: u64,
    /// The number, of a price: 1e-9 of the currency, or `WIREBOOK_UNDEF_PRICE`.
    pub price: i64,
    /// The number, of a quantity, or `WIREBOOK_UNDEF_STAT_QUANTITY`.
    pub quantity: i64,
    /// Venue sequence; its lower 32 bits.
    pub sequence: u32,
    /// How long before `ts_recv` the venue sent it, nanoseconds.
    pub ts_in_delta: i32,
    /// DBN's `StatType`: 1 opening price, 4 session low, 5 session high, ...
    pub stat_type: u16,
    /// The channel.
    pub channel_id: u16,
    /// 1 new, 2 withdrawn.
    pub update_action: u8,
    /// DBN's flags of some types.
    pub stat_flags: u8,
    /// Zero.
    pub reserved: [u8; 18],
}

/// An error in words.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct wirebook_error_msg {
    /// Header.
    pub hd: wirebook_record_header,
    /// The words, which end with a zero byte.
    pub err: [c_char; 302],
    /// DBN's `ErrorCode`.
    pub code: u8,
    /// Not 0 where no other follows.
    pub is_last: u8,
}

/// What the appliance says of itself, such as the end of an interval of the feed's time.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct wirebook_system_msg {
    /// Header.
    pub hd: wirebook_record_header,
    /// The words, which end with a zero byte.
    pub msg: [c_char; 303],
    /// DBN's `SystemCode`.
    pub code: u8,
}
