//! The shapes that C programs are compiled against: DBN's are those of the `dbn` crate, by Rust's and
//! by C's compiler; ours stay.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::mem::offset_of;

use crate::books::*;
use crate::dbn_records::*;
use crate::definition::wirebook_instrument_def_msg;
use crate::records::*;
use crate::result::*;
use crate::session::*;

/// Compiles where both have one type.
fn same_type<T>(_: T, _: T) {}

/// One structure of ours against dbn's: size, alignment, each field's place and type; of the fields
/// behind the semicolon, whose types only look alike, the place. Sizes and places go into `c` as what
/// a C compiler is to find.
macro_rules! same {
    ($c:ident: $ours:ident, $theirs:ty, $($field:ident),*; $($other:ident = $their:ident),*) => {
        let name = stringify!($ours);
        assert_eq!(size_of::<$ours>(), size_of::<$theirs>(), "{name}");
        assert_eq!(align_of::<$ours>(), align_of::<$theirs>(), "{name}");
        $c += &format!("same(sizeof({name}) == {}, \"\");\n", size_of::<$theirs>());
        $(let _ = |ours: &$ours, theirs: &$theirs| same_type(ours.$field, theirs.$field);)*
        let fields = [
            $((stringify!($field), offset_of!($ours, $field), offset_of!($theirs, $field)),)*
            $((stringify!($other), offset_of!($ours, $other), offset_of!($theirs, $their)),)*
        ];
        for (field, ours, theirs) in fields {
            assert_eq!(ours, theirs, "{name}.{field}");
            $c += &format!("same(offsetof({name}, {field}) == {theirs}, \"\");\n");
        }
    };
}

#[test]
#[rustfmt::skip]
fn records_are_laid_out_as_dbn_lays_them_out() {
    let mut c = "#include <wirebook.h>\n".to_owned();
    assert_eq!(crate::WIREBOOK_DBN_VERSION, dbn::DBN_VERSION);
    same!(c: wirebook_record_header, dbn::RecordHeader, rtype, publisher_id, instrument_id, ts_event;);
    assert_eq!(offset_of!(wirebook_record_header, length), 0);
    same!(c: wirebook_mbo_msg, dbn::MboMsg,
        order_id, price, size, channel_id, action, side, ts_recv, ts_in_delta, sequence;
        hd = hd, flags = flags);
    same!(c: wirebook_bid_ask_pair, dbn::BidAskPair, bid_px, ask_px, bid_sz, ask_sz, bid_ct, ask_ct;);
    same!(c: wirebook_trade_msg, dbn::TradeMsg,
        price, size, action, side, depth, ts_recv, ts_in_delta, sequence; hd = hd, flags = flags);
    same!(c: wirebook_mbp1_msg, dbn::Mbp1Msg,
        price, size, action, side, depth, ts_recv, ts_in_delta, sequence;
        hd = hd, flags = flags, levels = levels);
    same!(c: wirebook_mbp10_msg, dbn::Mbp10Msg,
        price, size, action, side, depth, ts_recv, ts_in_delta, sequence;
        hd = hd, flags = flags, levels = levels);
    same!(c: wirebook_ohlcv_msg, dbn::OhlcvMsg, open, high, low, close, volume; hd = hd);
    same!(c: wirebook_status_msg, dbn::StatusMsg,
        ts_recv, action, reason, trading_event, is_trading, is_quoting, is_short_sell_restricted;
        hd = hd, reserved = _reserved);
    same!(c: wirebook_instrument_def_msg, dbn::InstrumentDefMsg,
        ts_recv, min_price_increment, display_factor, expiration, activation,
        high_limit_price, low_limit_price, max_price_variation, unit_of_measure_qty,
        min_price_increment_amount, price_ratio, strike_price, raw_instrument_id,
        leg_price, leg_delta, inst_attrib_value, underlying_id, market_depth_implied,
        market_depth, market_segment_id, max_trade_vol, min_lot_size,
        min_lot_size_block, min_lot_size_round_lot, min_trade_vol, contract_multiplier,
        decay_quantity, original_contract_size, leg_instrument_id,
        leg_ratio_price_numerator, leg_ratio_price_denominator, leg_ratio_qty_numerator,
        leg_ratio_qty_denominator, leg_underlying_id, appl_id, maturity_year,
        decay_start_date, channel_id, leg_count, leg_index, currency, settl_currency,
        secsubtype, raw_symbol, group, exchange, asset, cfi, security_type,
        unit_of_measure, underlying, strike_price_currency, leg_raw_symbol,
        instrument_class, match_algorithm, main_fraction, price_display_format,
        sub_fraction, underlying_product, security_update_action, maturity_month,
        maturity_day, maturity_week, user_defined_instrument, contract_multiplier_unit,
        flow_schedule_type, tick_rule, leg_instrument_class, leg_side;
        hd = hd, reserved = _reserved);
    same!(c: wirebook_imbalance_msg, dbn::ImbalanceMsg,
        ts_recv, ref_price, auction_time, cont_book_clr_price, auct_interest_clr_price,
        ssr_filling_price, ind_match_price, upper_collar, lower_collar, paired_qty,
        total_imbalance_qty, market_imbalance_qty, unpaired_qty, auction_type, side,
        auction_status, freeze_status, num_extensions, unpaired_side, significant_imbalance;
        hd = hd, reserved = _reserved);
    same!(c: wirebook_stat_msg, dbn::StatMsg,
        ts_recv, ts_ref, price, quantity, sequence, ts_in_delta, stat_type, channel_id,
        update_action, stat_flags; hd = hd, reserved = _reserved);
    same!(c: wirebook_error_msg, dbn::ErrorMsg, err, code, is_last; hd = hd);
    same!(c: wirebook_system_msg, dbn::SystemMsg, msg, code; hd = hd);
    #[cfg(not(miri))]
    for (compiler, language, assertion) in [
        ("cc", ["-std=c11", "-xc"], "-Dsame=_Static_assert"),
        ("c++", ["-std=c++17", "-xc++"], "-Dsame=static_assert"),
    ] {
        compile(std::process::Command::new(compiler).args(language).arg(assertion), &c);
    }
}

/// Gives a compiler this source, which it must take without a word.
#[cfg(not(miri))]
fn compile(compiler: &mut std::process::Command, source: &str) {
    use std::io::Write;
    compiler.args(["-Wall", "-Wextra", "-Werror", "-pedantic", "-fsyntax-only"]);
    compiler.args(["-I", concat!(env!("CARGO_MANIFEST_DIR"), "/include"), "-"]);
    let mut child = compiler.stdin(std::process::Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(source.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success(), "{compiler:?}");
}

#[test]
fn numbers_are_dbns_numbers() {
    use dbn::rtype;
    use wirebook_rtype as R;
    let pairs = [
        (R::MBP_0, rtype::MBP_0),
        (R::MBP_1, rtype::MBP_1),
        (R::MBP_10, rtype::MBP_10),
        (R::Status, rtype::STATUS),
        (R::InstrumentDef, rtype::INSTRUMENT_DEF),
        (R::Imbalance, rtype::IMBALANCE),
        (R::Error, rtype::ERROR),
        (R::System, rtype::SYSTEM),
        (R::Statistics, rtype::STATISTICS),
        (R::OHLCV_1S, rtype::OHLCV_1S),
        (R::OHLCV_1M, rtype::OHLCV_1M),
        (R::OHLCV_1H, rtype::OHLCV_1H),
        (R::OHLCV_1D, rtype::OHLCV_1D),
        (R::Mbo, rtype::MBO),
    ];
    for (ours, theirs) in pairs {
        assert_eq!(ours as u32, u32::from(theirs));
    }
    assert_eq!(WIREBOOK_UNDEF_PRICE, dbn::UNDEF_PRICE);
    assert_eq!(WIREBOOK_UNDEF_TIMESTAMP, dbn::UNDEF_TIMESTAMP);
    assert_eq!(WIREBOOK_UNDEF_ORDER_SIZE, dbn::UNDEF_ORDER_SIZE);
    assert_eq!(WIREBOOK_UNDEF_STAT_QUANTITY, dbn::UNDEF_STAT_QUANTITY);
    let flags = [
        (WIREBOOK_FLAG_LAST, dbn::flags::LAST),
        (WIREBOOK_FLAG_TOB, dbn::flags::TOB),
        (WIREBOOK_FLAG_SNAPSHOT, dbn::flags::SNAPSHOT),
        (WIREBOOK_FLAG_MBP, dbn::flags::MBP),
        (WIREBOOK_FLAG_BAD_TS_RECV, dbn::flags::BAD_TS_RECV),
        (WIREBOOK_FLAG_MAYBE_BAD_BOOK, dbn::flags::MAYBE_BAD_BOOK),
    ];
    assert!(flags.iter().all(|(ours, theirs)| ours == theirs));
}

/// Another shape or number is another `WIREBOOK_ABI_VERSION`, and another name in `build.rs`.
#[test]
fn the_shapes_of_the_abi() {
    assert_eq!(crate::wirebook_abi_version(), 1);
    assert!(include_str!("../build.rs").contains("libwirebook.so.1\""));
    assert_eq!((size_of::<wirebook_next>(), align_of::<wirebook_next>()), (64, 8));
    let next = [offset_of!(wirebook_next, record), offset_of!(wirebook_next, length_bytes)];
    assert_eq!(next, [0, 8]);
    let next = [offset_of!(wirebook_next, shard), offset_of!(wirebook_next, cursor)];
    assert_eq!(next, [12, 16]);
    assert_eq!(offset_of!(wirebook_next, missed_slots), 24);
    assert_eq!(size_of::<wirebook_instrument>(), 48);
    let ids = [offset_of!(wirebook_instrument, channel), offset_of!(wirebook_instrument, place)];
    assert_eq!(ids, [33, 44]);
    assert_eq!(offset_of!(wirebook_instrument, publisher_id), 34);
    assert_eq!(offset_of!(wirebook_instrument, instrument_id), 36);
    assert_eq!((size_of::<wirebook_level>(), offset_of!(wirebook_level, orders)), (24, 16));
    assert_eq!((size_of::<wirebook_book>(), align_of::<wirebook_book>()), (616, 8));
    let book = [offset_of!(wirebook_book, state), offset_of!(wirebook_book, last_size)];
    assert_eq!(book, [48, 52]);
    let book = [offset_of!(wirebook_book, last_price), offset_of!(wirebook_book, cursor)];
    assert_eq!(book, [56, 88]);
    let book = [offset_of!(wirebook_book, bids_count), offset_of!(wirebook_book, bids)];
    assert_eq!(book, [96, 136]);
    assert_eq!(offset_of!(wirebook_book, stale_reason), 104);
    assert_eq!(offset_of!(wirebook_book, asks), 376);
    let results = [wirebook_result::Ok, wirebook_result::Unreachable, wirebook_result::Internal];
    assert_eq!(results.map(|result| result as i32), [0, 2, 11]);
    let kinds = [wirebook_kind::Failed, wirebook_kind::Record, wirebook_kind::WriterGone];
    assert_eq!(kinds.map(|kind| kind as i32), [-1, 1, 3]);
    let states = [wirebook_state::Warming, wirebook_state::Stale];
    assert_eq!(states.map(|state| state as i32), [1, 4]);
    assert_eq!(wirebook_reattached::NextStart as i32, 2);
    assert_eq!(wirebook_wait::Sleep as i32, 2);
}
