/*
 * Wirebook's client in C: a running appliance's records and books, read in place.
 *
 *     wirebook_session *session;
 *     wirebook_records *records;
 *     wirebook_next next;
 *     if (wirebook_connect("/run/wirebook/wirebook.sock", &session) != WIREBOOK_RESULT_OK ||
 *         wirebook_records_open(session, &records) != WIREBOOK_RESULT_OK) {
 *         fprintf(stderr, "%s\n", wirebook_last_error());
 *         exit(1);
 *     }
 *     while (wirebook_records_next(records, 1000000000, &next) == WIREBOOK_KIND_RECORD) {
 *         if (next.record->rtype == WIREBOOK_RTYPE_MBO) {
 *             const wirebook_mbo_msg *mbo = (const wirebook_mbo_msg *)next.record;
 *             printf("%c %u\n", mbo->action, mbo->size);
 *         }
 *     }
 *
 * Nothing here can slow, change or crash the appliance, which does not know how many readers it has.
 * A record is whole or not given; what a reader has missed is said.
 *
 * Handles. What a function opens is closed by the function named so, in any order. One thread at a
 * time uses a handle; different threads use different handles without a lock.
 *
 * Failures. A call says how it went; wirebook_last_error() says it in words. A failed call leaves
 * what it would have written as it was. Null pointers are failures, not crashes, where a function
 * takes a pointer; but for wirebook_close() and its like, to which null is nothing.
 *
 * Times are nanoseconds since the UNIX epoch, prices 1e-9 of the currency, records DBN version 3.
 *
 * Made by cbindgen from userspace/client/c/src. Licensed under Apache-2.0 or MIT, at your option.
 */

#ifndef WIREBOOK_H
#define WIREBOOK_H

#include <stddef.h>
#include <stdint.h>

// Version of this interface. A program compares it with `wirebook_abi_version()`, which is that of
// the library that it runs with.
#define WIREBOOK_ABI_VERSION 1

// Version of the DBN records.
#define WIREBOOK_DBN_VERSION 3

// A time to wait that does not end.
#define WIREBOOK_FOREVER_NS UINT64_MAX

// Price levels that a book shows of each side.
#define WIREBOOK_LEVELS 10

// Bytes of a symbol, with the zero byte at its end.
#define WIREBOOK_SYMBOL_BYTES 33

// No price.
#define WIREBOOK_UNDEF_PRICE INT64_MAX

// No time.
#define WIREBOOK_UNDEF_TIMESTAMP UINT64_MAX

// No size of an order.
#define WIREBOOK_UNDEF_ORDER_SIZE UINT32_MAX

// No quantity of a statistic.
#define WIREBOOK_UNDEF_STAT_QUANTITY INT64_MAX

// Flag: the last record of a venue's event.
#define WIREBOOK_FLAG_LAST 128

// Flag: the top of the book alone, not an order.
#define WIREBOOK_FLAG_TOB 64

// Flag: from a snapshot, not from the feed.
#define WIREBOOK_FLAG_SNAPSHOT 32

// Flag: a price level, not an order.
#define WIREBOOK_FLAG_MBP 16

// Flag: `ts_recv` is not to be trusted.
#define WIREBOOK_FLAG_BAD_TS_RECV 8

// Flag: the book may be incomplete.
#define WIREBOOK_FLAG_MAYBE_BAD_BOOK 4

// How a call went. Any other number than 0 is a failure, one that this header does not name too.
typedef enum wirebook_result {
  // It was done.
  WIREBOOK_RESULT_OK = 0,
  // A pointer was null, a text not UTF-8, or a number out of range.
  WIREBOOK_RESULT_INVALID_ARGUMENT = 1,
  // Nobody answers at the socket, or what answers is no appliance.
  WIREBOOK_RESULT_UNREACHABLE = 2,
  // The appliance's segment is of another ABI version than this library reads.
  WIREBOOK_RESULT_SEGMENT_VERSION = 3,
  // What the appliance gave is no segment of an appliance.
  WIREBOOK_RESULT_BAD_SEGMENT = 4,
  // There is no such shard.
  WIREBOOK_RESULT_NO_SUCH_SHARD = 5,
  // There is no such instrument so far, or it was found in another start of the appliance.
  WIREBOOK_RESULT_NO_SUCH_INSTRUMENT = 6,
  // The writer was at the book at every try; try again.
  WIREBOOK_RESULT_CONTENDED = 7,
  // The records are not those of the instrument's shard.
  WIREBOOK_RESULT_OTHER_SHARD = 8,
  // The board did not catch up with the records in the time given; try again.
  WIREBOOK_RESULT_NOT_SHOWN = 9,
  // The appliance's heartbeat stands still, and nobody else has come.
  WIREBOOK_RESULT_WRITER_GONE = 10,
  // A mistake in this library. The handle can only be closed.
  WIREBOOK_RESULT_INTERNAL = 11,
  // The appliance publishes no records of schema mbo, so it has no order-level books to give.
  WIREBOOK_RESULT_NO_ORDERS = 12,
} wirebook_result;

// What a book says of itself. Only a live one is to be traded on.
typedef enum wirebook_state {
  // Started in mid-session: what was before is not known yet.
  WIREBOOK_STATE_WARMING = 1,
  // Complete.
  WIREBOOK_STATE_LIVE = 2,
  // Incomplete since a gap, and being recovered.
  WIREBOOK_STATE_HEALING = 3,
  // Incomplete, and nothing repairs it.
  WIREBOOK_STATE_STALE = 4,
} wirebook_state;

// What comes next. Kinds may be added: step over one that this header does not name.
typedef enum wirebook_kind {
  // The call failed: see `wirebook_last_error()`.
  WIREBOOK_KIND_FAILED = -1,
  // No record within the time given.
  WIREBOOK_KIND_NOTHING = 0,
  // A record.
  WIREBOOK_KIND_RECORD = 1,
  // The writer has lapped this reader, which goes on at the newest record.
  WIREBOOK_KIND_OVERRUN = 2,
  // All records have been read, and the writer's heartbeat stands still: see
  // `wirebook_reconnect()`.
  WIREBOOK_KIND_WRITER_GONE = 3,
} wirebook_kind;

// What a session was attached to anew.
typedef enum wirebook_reattached {
  // The same start, which had only been slow: records and books are as good as before.
  WIREBOOK_REATTACHED_SAME_START = 1,
  // Another start: records and books are to be closed, and opened anew from the session.
  WIREBOOK_REATTACHED_NEXT_START = 2,
} wirebook_reattached;

// How a reader waits for the next record.
typedef enum wirebook_wait {
  // Never gives its core away.
  WIREBOOK_WAIT_SPIN = 0,
  // Spins for a moment, then yields to other threads of its core.
  WIREBOOK_WAIT_SPIN_THEN_YIELD = 1,
  // Spins for a moment, then sleeps: until the appliance wakes its readers, or where it wakes none,
  // at most 1 ms at a time. The way of new records.
  WIREBOOK_WAIT_SLEEP = 2,
} wirebook_wait;

// What a record is: `rtype` of its header, and with it the structure to look at it by.
typedef enum wirebook_rtype {
  // `wirebook_trade_msg`.
  WIREBOOK_RTYPE_MBP_0 = 0,
  // `wirebook_mbp1_msg`.
  WIREBOOK_RTYPE_MBP_1 = 1,
  // `wirebook_mbp10_msg`.
  WIREBOOK_RTYPE_MBP_10 = 10,
  // `wirebook_status_msg`.
  WIREBOOK_RTYPE_STATUS = 18,
  // `wirebook_instrument_def_msg`.
  WIREBOOK_RTYPE_INSTRUMENT_DEF = 19,
  // `wirebook_imbalance_msg`.
  WIREBOOK_RTYPE_IMBALANCE = 20,
  // `wirebook_error_msg`.
  WIREBOOK_RTYPE_ERROR = 21,
  // `wirebook_system_msg`.
  WIREBOOK_RTYPE_SYSTEM = 23,
  // `wirebook_stat_msg`.
  WIREBOOK_RTYPE_STATISTICS = 24,
  // `wirebook_ohlcv_msg`, of a second.
  WIREBOOK_RTYPE_OHLCV_1S = 32,
  // `wirebook_ohlcv_msg`, of a minute.
  WIREBOOK_RTYPE_OHLCV_1M = 33,
  // `wirebook_ohlcv_msg`, of an hour.
  WIREBOOK_RTYPE_OHLCV_1H = 34,
  // `wirebook_ohlcv_msg`, of a day.
  WIREBOOK_RTYPE_OHLCV_1D = 35,
  // `wirebook_mbo_msg`.
  WIREBOOK_RTYPE_MBO = 160,
} wirebook_rtype;

// The books of a session, and the directory of its instruments.
typedef struct wirebook_books wirebook_books;

// A stream of records.
typedef struct wirebook_records wirebook_records;

// The segment of one start of an appliance. Records and books that were opened from it may outlive
// it.
typedef struct wirebook_session wirebook_session;

// One instrument of one channel, in one start of the appliance.
typedef struct wirebook_instrument {
  // The venue's name for it, which ends with a zero byte; empty until its definition has come.
  char symbol[WIREBOOK_SYMBOL_BYTES];
  // The channel it is fed from.
  uint8_t channel;
  // DBN publisher id, as in its records.
  uint16_t publisher_id;
  // Its id, as in its records.
  uint32_t instrument_id;
  // The shard that owns it.
  uint32_t shard;
  // Its cell on that shard's board.
  uint32_t place;
} wirebook_instrument;

// One price level.
typedef struct wirebook_level {
  // Price, 1e-9 of the currency.
  int64_t price;
  // Total size of the orders.
  uint64_t size;
  // Number of orders; 0 where the feed does not tell.
  uint32_t orders;
  // Zero.
  uint32_t reserved;
} wirebook_level;

// The top of one book at one moment. Times are nanoseconds since the UNIX epoch.
typedef struct wirebook_book {
  // Whose book it is.
  struct wirebook_instrument instrument;
  // What the book says of itself.
  enum wirebook_state state;
  // Size of the last trade; 0 where there was none.
  uint32_t last_size;
  // Price of the last trade, 1e-9 of the currency.
  int64_t last_price;
  // Venue sequence of the last event in the book.
  uint64_t sequence;
  // Venue time of that event.
  uint64_t ts_event;
  // Receive time of that event.
  uint64_t ts_recv;
  // Where in its shard's ring the records begin that are not in the book.
  uint64_t cursor;
  // Levels in `bids`.
  uint32_t bids_count;
  // Levels in `asks`.
  uint32_t asks_count;
  // Why it is stale: a `wirebook_stale_reason`, or `UINT32_MAX`.
  uint32_t stale_reason;
  // Zero.
  uint32_t reserved[7];
  // Best bid first; zero behind the last.
  struct wirebook_level bids[WIREBOOK_LEVELS];
  // Best ask first; zero behind the last.
  struct wirebook_level asks[WIREBOOK_LEVELS];
} wirebook_book;

// What every record begins with.
typedef struct wirebook_record_header {
  // Length of the record in words of four bytes.
  uint8_t length;
  // A `wirebook_rtype`; readers step over others.
  uint8_t rtype;
  // Who published it.
  uint16_t publisher_id;
  // Whose it is; 0 where it is about the market.
  uint32_t instrument_id;
  // Venue time, nanoseconds since the UNIX epoch.
  uint64_t ts_event;
} wirebook_record_header;

// One record or one overrun. What its kind does not speak of is zero.
typedef struct wirebook_next {
  // Of a record: its DBN header, at the beginning of the whole record, aligned to 8 bytes. It stays
  // until the next call with these records; copy what is to stay longer.
  const struct wirebook_record_header *record;
  // Of a record: its length.
  uint32_t length_bytes;
  // The shard that made it, or whose ring has lapped this reader.
  uint32_t shard;
  // Of a record: where in that shard's ring it begins.
  uint64_t cursor;
  // Of an overrun: slots of 64 bytes that were missed. An order's record takes one, others up to
  // ten.
  uint64_t missed_slots;
  // Zero.
  uint64_t reserved[4];
} wirebook_next;

// An order's event.
typedef struct wirebook_mbo_msg {
  // Header.
  struct wirebook_record_header hd;
  // The venue's number of the order; of a trade without a named aggressor, its match number.
  uint64_t order_id;
  // Price, 1e-9 of the currency, or `WIREBOOK_UNDEF_PRICE`.
  int64_t price;
  // Size.
  uint32_t size;
  // `WIREBOOK_FLAG_*`.
  uint8_t flags;
  // The channel.
  uint8_t channel_id;
  // `A`dd, `C`ancel, `M`odify, clea`R`, `T`rade, `F`ill or `N`one.
  char action;
  // `A`sk, `B`id or `N`one.
  char side;
  // Receive time, nanoseconds since the UNIX epoch.
  uint64_t ts_recv;
  // How long before `ts_recv` the venue sent it, nanoseconds.
  int32_t ts_in_delta;
  // Venue sequence; its lower 32 bits.
  uint32_t sequence;
} wirebook_mbo_msg;

// A trade.
typedef struct wirebook_trade_msg {
  // Header.
  struct wirebook_record_header hd;
  // Price, 1e-9 of the currency.
  int64_t price;
  // Size.
  uint32_t size;
  // `T`rade.
  char action;
  // The aggressor: `A`sk, `B`id or `N`one.
  char side;
  // `WIREBOOK_FLAG_*`.
  uint8_t flags;
  // Level of the book that it happened at.
  uint8_t depth;
  // Receive time, nanoseconds since the UNIX epoch.
  uint64_t ts_recv;
  // How long before `ts_recv` the venue sent it, nanoseconds.
  int32_t ts_in_delta;
  // Venue sequence; its lower 32 bits.
  uint32_t sequence;
} wirebook_trade_msg;

// The same level of both sides.
typedef struct wirebook_bid_ask_pair {
  // Bid price, 1e-9 of the currency, or `WIREBOOK_UNDEF_PRICE`.
  int64_t bid_px;
  // Ask price, 1e-9 of the currency, or `WIREBOOK_UNDEF_PRICE`.
  int64_t ask_px;
  // Bid size.
  uint32_t bid_sz;
  // Ask size.
  uint32_t ask_sz;
  // Orders of the bid.
  uint32_t bid_ct;
  // Orders of the ask.
  uint32_t ask_ct;
} wirebook_bid_ask_pair;

// An event that changed the best level, and that level behind it.
typedef struct wirebook_mbp1_msg {
  // Header.
  struct wirebook_record_header hd;
  // Price of the event, 1e-9 of the currency.
  int64_t price;
  // Size of the event.
  uint32_t size;
  // `A`dd, `C`ancel, `M`odify, clea`R` or `T`rade.
  char action;
  // `A`sk, `B`id or `N`one.
  char side;
  // `WIREBOOK_FLAG_*`.
  uint8_t flags;
  // Level of the book that it happened at.
  uint8_t depth;
  // Receive time, nanoseconds since the UNIX epoch.
  uint64_t ts_recv;
  // How long before `ts_recv` the venue sent it, nanoseconds.
  int32_t ts_in_delta;
  // Venue sequence; its lower 32 bits.
  uint32_t sequence;
  // The best level.
  struct wirebook_bid_ask_pair levels[1];
} wirebook_mbp1_msg;

// The same of ten levels.
typedef struct wirebook_mbp10_msg {
  // Header.
  struct wirebook_record_header hd;
  // Price of the event, 1e-9 of the currency.
  int64_t price;
  // Size of the event.
  uint32_t size;
  // `A`dd, `C`ancel, `M`odify, clea`R` or `T`rade.
  char action;
  // `A`sk, `B`id or `N`one.
  char side;
  // `WIREBOOK_FLAG_*`.
  uint8_t flags;
  // Level of the book that it happened at.
  uint8_t depth;
  // Receive time, nanoseconds since the UNIX epoch.
  uint64_t ts_recv;
  // How long before `ts_recv` the venue sent it, nanoseconds.
  int32_t ts_in_delta;
  // Venue sequence; its lower 32 bits.
  uint32_t sequence;
  // The best levels, best first.
  struct wirebook_bid_ask_pair levels[10];
} wirebook_mbp10_msg;

// A bar.
typedef struct wirebook_ohlcv_msg {
  // Header; its `ts_event` is the beginning of the bar.
  struct wirebook_record_header hd;
  // First price, 1e-9 of the currency.
  int64_t open;
  // Highest price.
  int64_t high;
  // Lowest price.
  int64_t low;
  // Last price.
  int64_t close;
  // Size of all its trades.
  uint64_t volume;
} wirebook_ohlcv_msg;

// A change of what may be done with an instrument.
typedef struct wirebook_status_msg {
  // Header.
  struct wirebook_record_header hd;
  // Receive time, nanoseconds since the UNIX epoch.
  uint64_t ts_recv;
  // DBN's `StatusAction`: 7 trading, 8 halt, 9 pause, ...
  uint16_t action;
  // DBN's `StatusReason`.
  uint16_t reason;
  // DBN's `TradingEvent`.
  uint16_t trading_event;
  // `Y`, `N` or `~`.
  char is_trading;
  // `Y`, `N` or `~`.
  char is_quoting;
  // `Y`, `N` or `~`.
  char is_short_sell_restricted;
  // Zero.
  uint8_t reserved[7];
} wirebook_status_msg;

// An auction's imbalance. Prices are 1e-9 of the currency, or `WIREBOOK_UNDEF_PRICE`; quantities a
// number, or `WIREBOOK_UNDEF_ORDER_SIZE`.
typedef struct wirebook_imbalance_msg {
  // Header.
  struct wirebook_record_header hd;
  // Receive time, nanoseconds since the UNIX epoch.
  uint64_t ts_recv;
  // The price that the quantities are of.
  int64_t ref_price;
  // When the auction is expected, or `WIREBOOK_UNDEF_TIMESTAMP`.
  uint64_t auction_time;
  // The price that would clear the auction with the orders of the continuous book.
  int64_t cont_book_clr_price;
  // The price that would clear the auction's own orders.
  int64_t auct_interest_clr_price;
  // The price at which short sales would be filled under a restriction.
  int64_t ssr_filling_price;
  // The price at which most would trade, within the collars.
  int64_t ind_match_price;
  // Upper collar.
  int64_t upper_collar;
  // Lower collar.
  int64_t lower_collar;
  // What can be matched at `ref_price`.
  uint32_t paired_qty;
  // What cannot be matched at `ref_price`.
  uint32_t total_imbalance_qty;
  // Of that, orders without a price.
  uint32_t market_imbalance_qty;
  // Of that, in a closing auction, orders of that price or a better.
  uint32_t unpaired_qty;
  // The venue's letter for the auction, or `~`.
  char auction_type;
  // Side of `total_imbalance_qty`: `A`sk, `B`id or `N`one.
  char side;
  // The venue's number.
  uint8_t auction_status;
  // The venue's number.
  uint8_t freeze_status;
  // How often the halt was made longer.
  uint8_t num_extensions;
  // Side of `unpaired_qty`: `A`sk, `B`id or `N`one.
  char unpaired_side;
  // The venue's letter.
  char significant_imbalance;
  // Zero.
  uint8_t reserved[1];
} wirebook_imbalance_msg;

// What an instrument is. Texts end with a zero byte; prices are 1e-9 of the currency, times
// nanoseconds since the UNIX epoch. Venues of shares fill little of it.
typedef struct wirebook_instrument_def_msg {
  // Header.
  struct wirebook_record_header hd;
  // Receive time, nanoseconds since the UNIX epoch.
  uint64_t ts_recv;
  // Smallest price step, 1e-9 of the currency, or `WIREBOOK_UNDEF_PRICE`.
  int64_t min_price_increment;
  // What turns the venue's price into the usual one, 1e-9.
  int64_t display_factor;
  // Last time of trading, or `WIREBOOK_UNDEF_TIMESTAMP`.
  uint64_t expiration;
  // First time of trading, or `WIREBOOK_UNDEF_TIMESTAMP`.
  uint64_t activation;
  // Highest price of the day.
  int64_t high_limit_price;
  // Lowest price of the day.
  int64_t low_limit_price;
  // Width of the price band.
  int64_t max_price_variation;
  // Size of a contract in `unit_of_measure`, 1e-9.
  int64_t unit_of_measure_qty;
  // What a price step is worth.
  int64_t min_price_increment_amount;
  // Price ratio of a spread and its legs, 1e-9.
  int64_t price_ratio;
  // Strike price of an option.
  int64_t strike_price;
  // The publisher's own id.
  uint64_t raw_instrument_id;
  // Price that a leg is tied to.
  int64_t leg_price;
  // Delta of a leg.
  int64_t leg_delta;
  // The venue's attributes.
  int32_t inst_attrib_value;
  // Id of the underlying.
  uint32_t underlying_id;
  // Levels of the implied book.
  int32_t market_depth_implied;
  // Levels of the book.
  int32_t market_depth;
  // Market segment.
  uint32_t market_segment_id;
  // Largest trade.
  uint32_t max_trade_vol;
  // Smallest order.
  int32_t min_lot_size;
  // Smallest block trade.
  int32_t min_lot_size_block;
  // Round lot.
  int32_t min_lot_size_round_lot;
  // Smallest trade.
  uint32_t min_trade_vol;
  // Deliverables of an instrument.
  int32_t contract_multiplier;
  // What a contract loses a day.
  int32_t decay_quantity;
  // Contract size at the beginning.
  int32_t original_contract_size;
  // Id of the leg.
  uint32_t leg_instrument_id;
  // Price ratio of the leg: above the line.
  int32_t leg_ratio_price_numerator;
  // Price ratio of the leg: below the line.
  int32_t leg_ratio_price_denominator;
  // Size ratio of the leg: above the line.
  int32_t leg_ratio_qty_numerator;
  // Size ratio of the leg: below the line.
  int32_t leg_ratio_qty_denominator;
  // Id of the leg's underlying.
  uint32_t leg_underlying_id;
  // The venue's number of the channel.
  int16_t appl_id;
  // Year of the maturity.
  uint16_t maturity_year;
  // First day of the decay.
  uint16_t decay_start_date;
  // The channel.
  uint16_t channel_id;
  // Legs; 0 of an outright.
  uint16_t leg_count;
  // Which leg this is, from 0 on.
  uint16_t leg_index;
  // Currency of the prices.
  char currency[4];
  // Currency of the settlement.
  char settl_currency[4];
  // What kind of spread.
  char secsubtype[6];
  // The venue's name.
  char raw_symbol[71];
  // The venue's group.
  char group[21];
  // The exchange.
  char exchange[5];
  // The product.
  char asset[11];
  // ISO 10962 classification.
  char cfi[7];
  // What kind of security.
  char security_type[7];
  // Unit of the contract size.
  char unit_of_measure[31];
  // Symbol of the underlying.
  char underlying[21];
  // Currency of the strike price.
  char strike_price_currency[4];
  // The venue's name of the leg.
  char leg_raw_symbol[71];
  // DBN's `InstrumentClass`.
  char instrument_class;
  // DBN's `MatchAlgorithm`.
  char match_algorithm;
  // Denominator of a price's whole part.
  uint8_t main_fraction;
  // How many digits are shown.
  uint8_t price_display_format;
  // Denominator of a price's fraction.
  uint8_t sub_fraction;
  // The venue's product number.
  uint8_t underlying_product;
  // `A`dd, `M`odify or `D`elete.
  char security_update_action;
  // Month of the maturity.
  uint8_t maturity_month;
  // Day of the maturity.
  uint8_t maturity_day;
  // Week of the maturity.
  uint8_t maturity_week;
  // `Y` where users made it, or `N`.
  char user_defined_instrument;
  // What the multiplier is of.
  int8_t contract_multiplier_unit;
  // What the schedule of deliveries is.
  int8_t flow_schedule_type;
  // The venue's tick rule.
  uint8_t tick_rule;
  // DBN's `InstrumentClass` of the leg.
  char leg_instrument_class;
  // The leg's side: `A`sk, `B`id or `N`one.
  char leg_side;
  // Zero.
  uint8_t reserved[17];
} wirebook_instrument_def_msg;

// A number about an instrument.
typedef struct wirebook_stat_msg {
  // Header.
  struct wirebook_record_header hd;
  // Receive time, nanoseconds since the UNIX epoch.
  uint64_t ts_recv;
  // The time that it is of, or `WIREBOOK_UNDEF_TIMESTAMP`.
  uint64_t ts_ref;
  // The number, of a price: 1e-9 of the currency, or `WIREBOOK_UNDEF_PRICE`.
  int64_t price;
  // The number, of a quantity, or `WIREBOOK_UNDEF_STAT_QUANTITY`.
  int64_t quantity;
  // Venue sequence; its lower 32 bits.
  uint32_t sequence;
  // How long before `ts_recv` the venue sent it, nanoseconds.
  int32_t ts_in_delta;
  // DBN's `StatType`: 1 opening price, 4 session low, 5 session high, ...
  uint16_t stat_type;
  // The channel.
  uint16_t channel_id;
  // 1 new, 2 withdrawn.
  uint8_t update_action;
  // DBN's flags of some types.
  uint8_t stat_flags;
  // Zero.
  uint8_t reserved[18];
} wirebook_stat_msg;

// An error in words.
typedef struct wirebook_error_msg {
  // Header.
  struct wirebook_record_header hd;
  // The words, which end with a zero byte.
  char err[302];
  // DBN's `ErrorCode`.
  uint8_t code;
  // Not 0 where no other follows.
  uint8_t is_last;
} wirebook_error_msg;

// What the appliance says of itself, such as the end of an interval of the feed's time.
typedef struct wirebook_system_msg {
  // Header.
  struct wirebook_record_header hd;
  // The words, which end with a zero byte.
  char msg[303];
  // DBN's `SystemCode`.
  uint8_t code;
} wirebook_system_msg;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// The version of this interface that the library has; `WIREBOOK_ABI_VERSION` is the header's.
uint32_t wirebook_abi_version(void);

// The books of all shards.
enum wirebook_result wirebook_books_open(const struct wirebook_session *session,
                                         struct wirebook_books **books);

// Ends them; null is none.
void wirebook_books_close(struct wirebook_books *books);

// Reads on where the directory has grown. `instruments_count` is how many instruments there are so
// far; they are numbered from 0 on and keep their number.
enum wirebook_result wirebook_books_refresh(struct wirebook_books *books,
                                            size_t *instruments_count);

// The instrument of this number, of those that the last look into the directory found.
enum wirebook_result wirebook_books_instrument(struct wirebook_books *books,
                                               size_t number,
                                               struct wirebook_instrument *instrument);

// An instrument of this symbol: of the channels that have it, the `nth` counted from 0. Fails with
// `WIREBOOK_RESULT_NO_SUCH_INSTRUMENT` behind the last.
//
// # Safety
//
// `symbol` is null or ends with a zero byte.
enum wirebook_result wirebook_books_find(struct wirebook_books *books,
                                         const char *symbol,
                                         size_t nth,
                                         struct wirebook_instrument *instrument);

// The instrument of a record, by two fields of its header. Fails with
// `WIREBOOK_RESULT_NO_SUCH_INSTRUMENT` for a record about the market, and for one so new that the
// board does not show its instrument yet.
enum wirebook_result wirebook_books_find_id(struct wirebook_books *books,
                                            uint16_t publisher_id,
                                            uint32_t instrument_id,
                                            struct wirebook_instrument *instrument);

// The book of this instrument as it is now. Fails with `WIREBOOK_RESULT_NO_SUCH_INSTRUMENT` where the
// instrument was found in another start.
enum wirebook_result wirebook_books_read(const struct wirebook_books *books,
                                         const struct wirebook_instrument *instrument,
                                         struct wirebook_book *book);

// The records of all shards, from the next that is published. Those of one shard keep their order;
// between shards the lowest `ts_recv` of those that are there comes first.
enum wirebook_result wirebook_records_open(const struct wirebook_session *session,
                                           struct wirebook_records **records);

// The same of one shard.
enum wirebook_result wirebook_records_open_shard(const struct wirebook_session *session,
                                                 uint32_t shard,
                                                 struct wirebook_records **records);

// Ends a stream; null is none.
void wirebook_records_close(struct wirebook_records *records);

// Goes back to the first record of this start. Where that is overwritten, the first that comes is an
// overrun.
enum wirebook_result wirebook_records_from_start(struct wirebook_records *records);

// Keeps a reader's own order-level books right, whatever it misses, from now on. Of an instrument of
// which something was missed, by joining late or by an overrun, no `wirebook_mbo_msg` is given until
// its whole book has come from memory: a clear and an add for each order, flagged
// `WIREBOOK_FLAG_SNAPSHOT`, the last one `WIREBOOK_FLAG_LAST` too; then every record from there on.
// Records of other schemas are given as ever. Fails with `WIREBOOK_RESULT_NO_ORDERS` where the
// appliance publishes no orders.
enum wirebook_result wirebook_records_heal(struct wirebook_records *records);

// How many instruments' orders are withheld until their book has come; `UINT64_MAX` where it is not
// known yet, 0 for null.
uint64_t wirebook_records_pending(const struct wirebook_records *records);

// Waits in this way from now on: a `wirebook_wait`.
enum wirebook_result wirebook_records_wait(struct wirebook_records *records, int32_t wait);

// Gives the records of these `symbols_count` symbols alone, on every channel that has them. Overruns
// are still told. Fails with `WIREBOOK_RESULT_NO_SUCH_INSTRUMENT` where no channel has spoken of one
// of them yet, and changes nothing then.
//
// # Safety
//
// `symbols` is null or points to `symbols_count` texts, each null or ending with a zero byte.
enum wirebook_result wirebook_records_only(struct wirebook_records *records,
                                           struct wirebook_books *books,
                                           const char *const *symbols,
                                           size_t symbols_count);

// What comes next, after at most `timeout_ns`; 0 looks without waiting.
enum wirebook_kind wirebook_records_next(struct wirebook_records *records,
                                         uint64_t timeout_ns,
                                         struct wirebook_next *next);

// Records that were stepped over, as they are none of this DBN version; 0 for null.
uint64_t wirebook_records_unknown(const struct wirebook_records *records);

// The instrument's book at a place from which these records go on: it holds every record of the
// instrument that begins before the book's cursor, and all others are still to come. So after an
// overrun, or at the start: take this book, step over the instrument's records before its cursor,
// apply the rest. Waits at most `patience_ns` for the end of the shard's turn, and fails with
// `WIREBOOK_RESULT_NOT_SHOWN` where that did not come.
enum wirebook_result wirebook_records_join(struct wirebook_records *records,
                                           const struct wirebook_books *books,
                                           const struct wirebook_instrument *instrument,
                                           uint64_t patience_ns,
                                           struct wirebook_book *book);

// What the last call of this thread that failed had to say; empty where none has failed. Never null.
// The text is the library's, and stays until another call of this thread fails.
const char *wirebook_last_error(void);

// Attaches to the appliance that listens at `path`, which `/run/wirebook/wirebook.sock` is where its
// configuration names no other. Fails with `WIREBOOK_RESULT_UNREACHABLE` or
// `WIREBOOK_RESULT_SEGMENT_VERSION`.
//
// # Safety
//
// `path` is null or ends with a zero byte.
enum wirebook_result wirebook_connect(const char *path,
                                      struct wirebook_session **session);

// Ends a session; null is none.
void wirebook_close(struct wirebook_session *session);

// What tells this start of the appliance from any other; 0 for null.
uint64_t wirebook_epoch(const struct wirebook_session *session);

// The appliance's process id, as it sees it; 0 for null.
uint32_t wirebook_writer_pid(const struct wirebook_session *session);

// Number of shards; 0 for null.
uint32_t wirebook_shards(const struct wirebook_session *session);

// Attaches again after the writer's end, to whichever start answers within `patience_ns`. Where it
// fails, the session is as it was, and this can be called again; with
// `WIREBOOK_RESULT_SEGMENT_VERSION` that is in vain.
enum wirebook_result wirebook_reconnect(struct wirebook_session *session,
                                        uint64_t patience_ns,
                                        enum wirebook_reattached *reattached);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* WIREBOOK_H */
