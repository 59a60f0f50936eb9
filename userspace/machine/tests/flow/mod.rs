//! What machines are fed in several tests: real flow with its best levels and intervals, made-up flow
//! with every kind of record, and records by hand.
#![allow(dead_code, reason = "each test uses a part")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use dbn::{
    Action, BidAskPair, FlagSet, ImbalanceMsg, MboMsg, Mbp1Msg, RecordBuf, RecordHeader, Side,
    StatMsg, StatusAction, StatusMsg, StatusReason, SystemCode, SystemMsg, UNDEF_PRICE,
    UNDEF_TIMESTAMP, flags, rtype,
};
use wirebook_machine::Machine;

use crate::common::{es, plain::Plain};

pub(crate) const SECOND: u64 = 1_000_000_000;
/// A whole day of UTC, so that every window begins at it.
pub(crate) const DAY: u64 = 19_000 * 24 * 60 * 60 * SECOND;
pub(crate) const INSTRUMENT: u32 = 7;

/// The CME flow as a shard feeds it: each order record, the best levels after each event that
/// changed them, and the latest end of a second before the first record after it.
pub(crate) fn es_flow() -> Option<Vec<RecordBuf>> {
    let mut flow = Vec::new();
    let mut plain = Plain::default();
    let (mut top, mut end) = (BidAskPair::default(), 0);
    for record in es::records()? {
        let second = record.hd.ts_event / SECOND * SECOND;
        if second > end {
            if end != 0 {
                flow.push(interval(second));
            }
            end = second;
        }
        plain.apply_record(&record);
        let is_last = record.flags.is_last();
        let (ts_event, flags) = (record.hd.ts_event, record.flags);
        flow.push(RecordBuf::from(record));
        let best = best(&plain);
        if is_last && best != top {
            top = best.clone();
            flow.push(top_record(ts_event, best, flags.raw()));
        }
    }
    flow.push(interval(end + 48 * 60 * 60 * SECOND));
    Some(flow)
}

fn best(plain: &Plain) -> BidAskPair {
    let first = |side| plain.levels(side).next().unwrap_or((UNDEF_PRICE, 0, 0));
    let (bid, ask) = (first(Side::Bid), first(Side::Ask));
    BidAskPair {
        bid_px: bid.0,
        ask_px: ask.0,
        bid_sz: bid.1 as u32,
        ask_sz: ask.1 as u32,
        bid_ct: bid.2,
        ask_ct: ask.2,
    }
}

/// `count` records of every kind in an order that `seed` alone decides, up to a few a second.
pub(crate) fn mixed(count: usize, seed: u64) -> Vec<RecordBuf> {
    let mut random = Random(seed);
    let (mut now, mut end) = (DAY, DAY);
    let mut flow = Vec::new();
    while flow.len() < count {
        now += random.below(SECOND / 2);
        if now / SECOND * SECOND > end {
            end = now / SECOND * SECOND;
            flow.push(interval(end));
        }
        flow.push(one_of_each_kind(&mut random, now));
    }
    flow
}

fn one_of_each_kind(random: &mut Random, now: u64) -> RecordBuf {
    // Sometimes a time of an earlier second, so that some trades are late.
    let ts_event = if random.below(20) == 0 { now - 3 * SECOND } else { now };
    let price = 100 * SECOND as i64 + random.below(50) as i64;
    let size = random.below(5) as u32;
    match random.below(10) {
        0..=2 => trade(ts_event, random.below(100), price, size),
        3 => break_of(now, random.below(100)),
        4..=5 => {
            let spread = random.below(10) as i64 - 2;
            let bad = if random.below(8) == 0 { flags::MAYBE_BAD_BOOK } else { 0 };
            let pair =
                BidAskPair { bid_px: price, ask_px: price + spread, ..BidAskPair::default() };
            top_record(ts_event, pair, flags::LAST | bad)
        }
        6 => status(
            if random.below(3) == 0 { 0 } else { INSTRUMENT },
            now,
            u16::try_from(random.below(17)).unwrap(),
            [StatusReason::None, StatusReason::Operational, StatusReason::Scheduled]
                [random.below(3) as usize],
        ),
        7..=8 => imbalance(now, b"OCH"[random.below(3) as usize], price, size, 3),
        _ => statistic(now, [1, 11, 16, 24][random.below(4) as usize], price),
    }
}

/// Numbers without a pattern (Knuth's MMIX constants).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

fn header<R: dbn::HasRType>(rtype: u8, instrument_id: u32, ts_event: u64) -> RecordHeader {
    RecordHeader::new::<R>(rtype, 1, instrument_id, ts_event)
}

pub(crate) fn mbo(ts_event: u64, action: Action, order_id: u64, price: i64, size: u32) -> MboMsg {
    MboMsg {
        hd: header::<MboMsg>(rtype::MBO, INSTRUMENT, ts_event),
        order_id,
        price,
        size,
        flags: FlagSet::new(flags::LAST),
        channel_id: 0,
        action: action as u8 as _,
        side: Side::None as u8 as _,
        ts_recv: ts_event + 5,
        ts_in_delta: 5,
        sequence: (ts_event % 1_000_003) as u32,
    }
}

pub(crate) fn trade(ts_event: u64, match_id: u64, price: i64, size: u32) -> RecordBuf {
    mbo(ts_event, Action::Trade, match_id, price, size).into()
}

pub(crate) fn break_of(ts_event: u64, match_id: u64) -> RecordBuf {
    mbo(ts_event, Action::None, match_id, UNDEF_PRICE, 0).into()
}

pub(crate) fn top_record(ts_event: u64, level: BidAskPair, raw_flags: u8) -> RecordBuf {
    let record = Mbp1Msg {
        hd: header::<Mbp1Msg>(rtype::MBP_1, INSTRUMENT, ts_event),
        flags: FlagSet::new(raw_flags),
        levels: [level],
        ..Mbp1Msg::default()
    };
    record.into()
}

/// The best bid and ask prices alone.
pub(crate) fn top(ts_event: u64, bid: i64, ask: i64, raw_flags: u8) -> RecordBuf {
    let level = BidAskPair { bid_px: bid, ask_px: ask, ..BidAskPair::default() };
    top_record(ts_event, level, raw_flags)
}

pub(crate) fn status(id: u32, ts_event: u64, action: u16, reason: StatusReason) -> RecordBuf {
    let record = StatusMsg {
        hd: header::<StatusMsg>(rtype::STATUS, id, ts_event),
        ts_recv: ts_event + 5,
        action,
        reason: reason as u16,
        ..StatusMsg::default()
    };
    record.into()
}

pub(crate) fn short_sale(ts_event: u64, restricted: bool) -> RecordBuf {
    let record = StatusMsg {
        hd: header::<StatusMsg>(rtype::STATUS, INSTRUMENT, ts_event),
        action: StatusAction::SsrChange as u16,
        reason: StatusReason::Regulatory as u16,
        is_short_sell_restricted: if restricted { b'Y' } else { b'N' } as _,
        ..StatusMsg::default()
    };
    record.into()
}

pub(crate) fn imbalance(ts: u64, auction: u8, price: i64, paired: u32, unpaired: u32) -> RecordBuf {
    let record = ImbalanceMsg {
        hd: header::<ImbalanceMsg>(rtype::IMBALANCE, INSTRUMENT, ts),
        ts_recv: ts + 5,
        auction_time: UNDEF_TIMESTAMP,
        cont_book_clr_price: price,
        paired_qty: paired,
        total_imbalance_qty: unpaired,
        auction_type: auction as _,
        side: if unpaired == 0 { b'N' } else { b'B' } as _,
        ..ImbalanceMsg::default()
    };
    record.into()
}

pub(crate) fn statistic(ts_event: u64, stat_type: u16, price: i64) -> RecordBuf {
    let record = StatMsg {
        hd: header::<StatMsg>(rtype::STATISTICS, INSTRUMENT, ts_event),
        stat_type,
        price,
        ..StatMsg::default()
    };
    record.into()
}

pub(crate) fn interval_record(end: u64) -> SystemMsg {
    SystemMsg {
        hd: header::<SystemMsg>(rtype::SYSTEM, 0, end),
        code: SystemCode::EndOfInterval as u8,
        ..SystemMsg::default()
    }
}

pub(crate) fn interval(end: u64) -> RecordBuf {
    interval_record(end).into()
}

/// Feeds all of `flow`; what leaves.
pub(crate) fn feed(machine: &mut impl Machine, flow: &[RecordBuf]) -> Vec<RecordBuf> {
    let mut out = Vec::new();
    for record in flow {
        machine.record(record.as_rec_ref(), &mut out).unwrap();
    }
    out
}
