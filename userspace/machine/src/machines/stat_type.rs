//! Statistics that DBN has no number for: `StatMsg::stat_type`s of Wirebook's own, from 20000 up.
//!
//! DBN's numbers (`StatType`) go to 26, and from 10001 for what a venue defines. The interval that a
//! statistic is of begins at its `ts_ref` and ends at its `ts_event`.
//!
//! | number | of | field |
//! | --- | --- | --- |
//! | 20001 | [`SPREAD_AVERAGE`]: time-weighted average of the spread in the interval | `price` |
//! | 20002 | [`SPREAD_MIN`]: the narrowest spread that stood in the interval | `price` |
//! | 20003 | [`SPREAD_MAX`]: the widest spread that stood in the interval | `price` |
//! | 20004 | [`EVENTS`]: venue events (records with `F_LAST`) in the interval | `quantity` |
//! | 20005 | [`TRADES`]: trades in the interval | `quantity` |
//! | 20011 | [`TAPE_VOLUME`]: size of all trades so far, without the broken ones | `quantity` |
//! | 20012 | [`TAPE_TURNOVER`]: price times size of all of them, in whole units of currency, rounded down | `quantity` |
//! | 20013 | [`TAPE_TRADES`]: number of all of them | `quantity` |
//! | 20021 | [`AUCTION_RUNNING`]: the venue's character of the auction that began, 0 where it ended | `quantity` |
//! | 20022 | [`INDICATIVE_UNCROSSING_PRICE`]: probable price of an auction that is neither the opening nor the closing one, and the size paired at it | both |

/// Time-weighted average of the spread in an interval.
pub const SPREAD_AVERAGE: u16 = 20_001;
/// The narrowest spread that stood in an interval.
pub const SPREAD_MIN: u16 = 20_002;
/// The widest spread that stood in an interval.
pub const SPREAD_MAX: u16 = 20_003;
/// Venue events in an interval.
pub const EVENTS: u16 = 20_004;
/// Trades in an interval.
pub const TRADES: u16 = 20_005;
/// Size of all trades so far, without the broken ones.
pub const TAPE_VOLUME: u16 = 20_011;
/// Price times size of all trades so far, without the broken ones, in whole units of currency.
pub const TAPE_TURNOVER: u16 = 20_012;
/// Number of all trades so far, without the broken ones.
pub const TAPE_TRADES: u16 = 20_013;
/// The auction that is running, as the venue's character; 0 for none.
pub const AUCTION_RUNNING: u16 = 20_021;
/// Probable price of an auction that is neither the opening nor the closing one.
pub const INDICATIVE_UNCROSSING_PRICE: u16 = 20_022;
