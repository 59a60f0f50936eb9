"""The records' layouts, field by field, as `databento_dbn` names them."""

from __future__ import annotations

import numpy

Field = tuple[str, str]

_HEADER: list[Field] = [
    ("length", "u1"),
    ("rtype", "u1"),
    ("publisher_id", "u2"),
    ("instrument_id", "u4"),
    ("ts_event", "u8"),
]

_MBO = [
    *_HEADER,
    ("order_id", "u8"),
    ("price", "i8"),
    ("size", "u4"),
    ("flags", "u1"),
    ("channel_id", "u1"),
    ("action", "S1"),
    ("side", "S1"),
    ("ts_recv", "u8"),
    ("ts_in_delta", "i4"),
    ("sequence", "u4"),
]

_TRADES = [
    *_HEADER,
    ("price", "i8"),
    ("size", "u4"),
    ("action", "S1"),
    ("side", "S1"),
    ("flags", "u1"),
    ("depth", "u1"),
    ("ts_recv", "u8"),
    ("ts_in_delta", "i4"),
    ("sequence", "u4"),
]


def _levels(count: int) -> list[Field]:
    kinds = [("px", "i8"), ("sz", "u4"), ("ct", "u4")]
    return [
        (f"{side}_{name}_{level:02}", kind)
        for level in range(count)
        for name, kind in kinds
        for side in ("bid", "ask")
    ]


_OHLCV = [
    *_HEADER,
    ("open", "i8"),
    ("high", "i8"),
    ("low", "i8"),
    ("close", "i8"),
    ("volume", "u8"),
]

_STATUS = [
    *_HEADER,
    ("ts_recv", "u8"),
    ("action", "u2"),
    ("reason", "u2"),
    ("trading_event", "u2"),
    ("is_trading", "S1"),
    ("is_quoting", "S1"),
    ("is_short_sell_restricted", "S1"),
    ("_reserved", "S7"),
]

_IMBALANCE = [
    *_HEADER,
    ("ts_recv", "u8"),
    ("ref_price", "i8"),
    ("auction_time", "u8"),
    ("cont_book_clr_price", "i8"),
    ("auct_interest_clr_price", "i8"),
    ("ssr_filling_price", "i8"),
    ("ind_match_price", "i8"),
    ("upper_collar", "i8"),
    ("lower_collar", "i8"),
    ("paired_qty", "u4"),
    ("total_imbalance_qty", "u4"),
    ("market_imbalance_qty", "u4"),
    ("unpaired_qty", "u4"),
    ("auction_type", "S1"),
    ("side", "S1"),
    ("auction_status", "u1"),
    ("freeze_status", "u1"),
    ("num_extensions", "u1"),
    ("unpaired_side", "S1"),
    ("significant_imbalance", "S1"),
    ("_reserved", "S1"),
]

_STATISTICS = [
    *_HEADER,
    ("ts_recv", "u8"),
    ("ts_ref", "u8"),
    ("price", "i8"),
    ("quantity", "i8"),
    ("sequence", "u4"),
    ("ts_in_delta", "i4"),
    ("stat_type", "u2"),
    ("channel_id", "u2"),
    ("update_action", "u1"),
    ("stat_flags", "u1"),
    ("_reserved", "S18"),
]

_DEFINITION = [
    *_HEADER,
    ("ts_recv", "u8"),
    ("min_price_increment", "i8"),
    ("display_factor", "i8"),
    ("expiration", "u8"),
    ("activation", "u8"),
    ("high_limit_price", "i8"),
    ("low_limit_price", "i8"),
    ("max_price_variation", "i8"),
    ("unit_of_measure_qty", "i8"),
    ("min_price_increment_amount", "i8"),
    ("price_ratio", "i8"),
    ("strike_price", "i8"),
    ("raw_instrument_id", "u8"),
    ("leg_price", "i8"),
    ("leg_delta", "i8"),
    ("inst_attrib_value", "i4"),
    ("underlying_id", "u4"),
    ("market_depth_implied", "i4"),
    ("market_depth", "i4"),
    ("market_segment_id", "u4"),
    ("max_trade_vol", "u4"),
    ("min_lot_size", "i4"),
    ("min_lot_size_block", "i4"),
    ("min_lot_size_round_lot", "i4"),
    ("min_trade_vol", "u4"),
    ("contract_multiplier", "i4"),
    ("decay_quantity", "i4"),
    ("original_contract_size", "i4"),
    ("leg_instrument_id", "u4"),
    ("leg_ratio_price_numerator", "i4"),
    ("leg_ratio_price_denominator", "i4"),
    ("leg_ratio_qty_numerator", "i4"),
    ("leg_ratio_qty_denominator", "i4"),
    ("leg_underlying_id", "u4"),
    ("appl_id", "i2"),
    ("maturity_year", "u2"),
    ("decay_start_date", "u2"),
    ("channel_id", "u2"),
    ("leg_count", "u2"),
    ("leg_index", "u2"),
    ("currency", "S4"),
    ("settl_currency", "S4"),
    ("secsubtype", "S6"),
    ("raw_symbol", "S71"),
    ("group", "S21"),
    ("exchange", "S5"),
    ("asset", "S11"),
    ("cfi", "S7"),
    ("security_type", "S7"),
    ("unit_of_measure", "S31"),
    ("underlying", "S21"),
    ("strike_price_currency", "S4"),
    ("leg_raw_symbol", "S71"),
    ("instrument_class", "S1"),
    ("match_algorithm", "S1"),
    ("main_fraction", "u1"),
    ("price_display_format", "u1"),
    ("sub_fraction", "u1"),
    ("underlying_product", "u1"),
    ("security_update_action", "S1"),
    ("maturity_month", "u1"),
    ("maturity_day", "u1"),
    ("maturity_week", "u1"),
    ("user_defined_instrument", "S1"),
    ("contract_multiplier_unit", "i1"),
    ("flow_schedule_type", "i1"),
    ("tick_rule", "u1"),
    ("leg_instrument_class", "S1"),
    ("leg_side", "S1"),
    ("_reserved", "S17"),
]

# The number of each schema's record type, and its fields.
_LAYOUTS: dict[str, tuple[int, list[Field]]] = {
    "mbo": (0xA0, _MBO),
    "mbp-1": (0x01, [*_TRADES, *_levels(1)]),
    "mbp-10": (0x0A, [*_TRADES, *_levels(10)]),
    "trades": (0x00, _TRADES),
    "ohlcv-1s": (0x20, _OHLCV),
    "ohlcv-1m": (0x21, _OHLCV),
    "ohlcv-1h": (0x22, _OHLCV),
    "ohlcv-1d": (0x23, _OHLCV),
    "definition": (0x13, _DEFINITION),
    "statistics": (0x18, _STATISTICS),
    "status": (0x12, _STATUS),
    "imbalance": (0x14, _IMBALANCE),
}


def layout(schema: str) -> tuple[int, numpy.dtype[numpy.void]]:
    """The number of a schema's record type, and its layout."""
    try:
        rtype, fields = _LAYOUTS[schema]
    except KeyError:
        raise ValueError(f"expected a schema of {', '.join(_LAYOUTS)}, found {schema!r}") from None
    return rtype, numpy.dtype(fields)


def dtype(schema: str) -> numpy.dtype[numpy.void]:
    """The layout of a schema's records: that of a batch, and of a DBN file's bytes."""
    return layout(schema)[1]
