//! The largest DBN record: what an instrument is. See `dbn_records`.

use std::ffi::c_char;

use crate::dbn_records::wirebook_record_header;

/// What an instrument is. Texts end with a zero byte; prices are 1e-9 of the currency, times
/// nanoseconds since the UNIX epoch. Venues of shares fill little of it.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct wirebook_instrument_def_msg {
    /// Header.
    pub hd: wirebook_record_header,
    /// Receive time, nanoseconds since the UNIX epoch.
    pub ts_recv: u64,
    /// Smallest price step, 1e-9 of the currency, or `WIREBOOK_UNDEF_PRICE`.
    pub min_price_increment: i64,
    /// What turns the venue's price into the usual one, 1e-9.
    pub display_factor: i64,
    /// Last time of trading, or `WIREBOOK_UNDEF_TIMESTAMP`.
    pub expiration: u64,
    /// First time of trading, or `WIREBOOK_UNDEF_TIMESTAMP`.
    pub activation: u64,
    /// Highest price of the day.
    pub high_limit_price: i64,
    /// Lowest price of the day.
    pub low_limit_price: i64,
    /// Width of the price band.
    pub max_price_variation: i64,
    /// Size of a contract in `unit_of_measure`, 1e-9.
    pub unit_of_measure_qty: i64,
    /// What a price step is worth.
    pub min_price_increment_amount: i64,
    /// Price ratio of a spread and its legs, 1e-9.
    pub price_ratio: i64,
    /// Strike price of an option.
    pub strike_price: i64,
    /// The publisher's own id.
    pub raw_instrument_id: u64,
    /// Price that a leg is tied to.
    pub leg_price: i64,
    /// Delta of a leg.
    pub leg_delta: i64,
    /// The venue's attributes.
    pub inst_attrib_value: i32,
    /// Id of the underlying.
    pub underlying_id: u32,
    /// Levels of the implied book.
    pub market_depth_implied: i32,
    /// Levels of the book.
    pub market_depth: i32,
    /// Market segment.
    pub market_segment_id: u32,
    /// Largest trade.
    pub max_trade_vol: u32,
    /// Smallest order.
    pub min_lot_size: i32,
    /// Smallest block trade.
    pub min_lot_size_block: i32,
    /// Round lot.
    pub min_lot_size_round_lot: i32,
    /// Smallest trade.
    pub min_trade_vol: u32,
    /// Deliverables of an instrument.
    pub contract_multiplier: i32,
    /// What a contract loses a day.
    pub decay_quantity: i32,
    /// Contract size at the beginning.
    pub original_contract_size: i32,
    /// Id of the leg.
    pub leg_instrument_id: u32,
    /// Price ratio of the leg: above the line.
    pub leg_ratio_price_numerator: i32,
    /// Price ratio of the leg: below the line.
    pub leg_ratio_price_denominator: i32,
    /// Size ratio of the leg: above the line.
    pub leg_ratio_qty_numerator: i32,
    /// Size ratio of the leg: below the line.
    pub leg_ratio_qty_denominator: i32,
    /// Id of the leg's underlying.
    pub leg_underlying_id: u32,
    /// The venue's number of the channel.
    pub appl_id: i16,
    /// Year of the maturity.
    pub maturity_year: u16,
    /// First day of the decay.
    pub decay_start_date: u16,
    /// The channel.
    pub channel_id: u16,
    /// Legs; 0 of an outright.
    pub leg_count: u16,
    /// Which leg this is, from 0 on.
    pub leg_index: u16,
    /// Currency of the prices.
    pub currency: [c_char; 4],
    /// Currency of the settlement.
    pub settl_currency: [c_char; 4],
    /// What kind of spread.
    pub secsubtype: [c_char; 6],
    /// The venue's name.
    pub raw_symbol: [c_char; 71],
    /// The venue's group.
    pub group: [c_char; 21],
    /// The exchange.
    pub exchange: [c_char; 5],
    /// The product.
    pub asset: [c_char; 11],
    /// ISO 10962 classification.
    pub cfi: [c_char; 7],
    /// What kind of security.
    pub security_type: [c_char; 7],
    /// Unit of the contract size.
    pub unit_of_measure: [c_char; 31],
    /// Symbol of the underlying.
    pub underlying: [c_char; 21],
    /// Currency of the strike price.
    pub strike_price_currency: [c_char; 4],
    /// The venue's name of the leg.
    pub leg_raw_symbol: [c_char; 71],
    /// DBN's `InstrumentClass`.
    pub instrument_class: c_char,
    /// DBN's `MatchAlgorithm`.
    pub match_algorithm: c_char,
    /// Denominator of a price's whole part.
    pub main_fraction: u8,
    /// How many digits are shown.
    pub price_display_format: u8,
    /// Denominator of a price's fraction.
    pub sub_fraction: u8,
    /// The venue's product number.
    pub underlying_product: u8,
    /// `A`dd, `M`odify or `D`elete.
    pub security_update_action: c_char,
    /// Month of the maturity.
    pub maturity_month: u8,
    /// Day of the maturity.
    pub maturity_day: u8,
    /// Week of the maturity.
    pub maturity_week: u8,
    /// `Y` where users made it, or `N`.
    pub user_defined_instrument: c_char,
    /// What the multiplier is of.
    pub contract_multiplier_unit: i8,
    /// What the schedule of deliveries is.
    pub flow_schedule_type: i8,
    /// The venue's tick rule.
    pub tick_rule: u8,
    /// DBN's `InstrumentClass` of the leg.
    pub leg_instrument_class: c_char,
    /// The leg's side: `A`sk, `B`id or `N`one.
    pub leg_side: c_char,
    /// Zero.
    pub reserved: [u8; 17],
}
