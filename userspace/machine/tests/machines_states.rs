//! Machines over sequences by hand: each transition that their headers draw, and each odd case that
//! they count.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;
mod flow;

use dbn::{
    OhlcvMsg, RecordBuf, StatMsg, StatType, StatusAction, StatusMsg, StatusReason, TradeMsg,
    UNDEF_PRICE, UNDEF_TIMESTAMP, flags,
};
use flow::{
    DAY, INSTRUMENT, SECOND, break_of, feed, imbalance, interval, short_sale, statistic, status,
    top, trade,
};
use wirebook_machine::Machine;
use wirebook_machine::machines::{
    Auction, AuctionCounters, Bars, BarsCounters, Statistics, StatisticsCounters, TapeCounters,
    TradeTape, TradingState, TradingStatus, TradingStatusCounters, Window, stat_type,
};

const OWN: u32 = INSTRUMENT;
const MARKET: u32 = 0;

/// Feeds one status and gives the state, and the action that left if one did.
fn say(
    machine: &mut TradingStatus,
    whom: u32,
    action: StatusAction,
    reason: StatusReason,
) -> (TradingState, Option<StatusAction>) {
    let out = feed(machine, &[status(whom, DAY, action as u16, reason)]);
    let left = out.iter().map(|record| record.get::<StatusMsg>().unwrap());
    let actions: Vec<_> = left
        .map(|record| {
            assert_eq!((record.hd.instrument_id, record.hd.ts_event), (OWN, DAY));
            assert_eq!((record.reason, record.ts_recv), (reason as u16, DAY + 5));
            record.action().unwrap()
        })
        .collect();
    assert!(actions.len() <= 1);
    (machine.state(), actions.first().copied())
}

#[test]
fn a_day_of_an_instrument() {
    use StatusAction as Action;
    use StatusReason::{LuldPause, NewsPending, NewsReleased, None as NoReason, Scheduled};
    use TradingState::{Auction, Closed, Halted, Open, Paused, PostClose, PreOpen};
    let mut machine = TradingStatus::default();
    for (whom, action, reason, state, left) in [
        (OWN, Action::NotAvailableForTrading, Scheduled, Closed, Some(Action::Close)),
        (MARKET, Action::PreOpen, Scheduled, PreOpen, Some(Action::PreOpen)),
        (OWN, Action::Trading, NoReason, PreOpen, None),
        (MARKET, Action::Trading, Scheduled, Open, Some(Action::Trading)),
        (OWN, Action::Trading, NoReason, Open, None),
        (OWN, Action::Pause, LuldPause, Paused, Some(Action::Pause)),
        (OWN, Action::NewPriceIndication, NoReason, Paused, None),
        (OWN, Action::Quoting, LuldPause, Auction, Some(Action::PreCross)),
        (OWN, Action::Trading, LuldPause, Open, Some(Action::Trading)),
        (OWN, Action::Halt, NewsPending, Halted, Some(Action::Halt)),
        (MARKET, Action::Trading, Scheduled, Halted, None),
        (OWN, Action::Suspend, NewsPending, Halted, None),
        (OWN, Action::PreCross, NewsReleased, Auction, Some(Action::PreCross)),
        (MARKET, Action::PostClose, Scheduled, Auction, None),
        (OWN, Action::Trading, NewsReleased, PostClose, Some(Action::PostClose)),
        (MARKET, Action::Close, Scheduled, Closed, Some(Action::Close)),
        (OWN, Action::Trading, Scheduled, Open, Some(Action::Trading)),
        (OWN, Action::PostClose, Scheduled, PostClose, Some(Action::PostClose)),
        (MARKET, Action::Rotation, NoReason, Auction, Some(Action::PreCross)),
    ] {
        assert_eq!(say(&mut machine, whom, action, reason), (state, left), "{action:?} {reason:?}");
    }
    assert_eq!(machine.counters(), TradingStatusCounters::default());
}

#[test]
fn halts_of_three_kinds_do_not_end_each_other() {
    use StatusAction::{Halt, Quoting, Trading};
    use StatusReason::{
        MarketWideHaltLevel1, MarketWideHaltResumption, NewsPending, NewsReleased,
        None as NoReason, Operational,
    };
    use TradingState::{Auction, Halted, Open};
    let mut machine = TradingStatus::default();
    for (whom, action, reason, state) in [
        (OWN, Trading, NoReason, Open),
        // The venue's own halt stands beside the regulator's.
        (OWN, Halt, Operational, Halted),
        (OWN, Trading, Operational, Open),
        (OWN, Halt, NewsPending, Halted),
        (OWN, Halt, Operational, Halted),
        (OWN, Trading, Operational, Halted),
        (OWN, Trading, NewsReleased, Open),
        (OWN, Halt, Operational, Halted),
        (OWN, Trading, NoReason, Open),
        (OWN, Halt, Operational, Halted),
        (OWN, Quoting, NoReason, Auction),
        (OWN, Trading, NoReason, Open),
        // A circuit breaker ends for the whole market, or instrument by instrument.
        (MARKET, Halt, MarketWideHaltLevel1, Halted),
        (MARKET, Trading, NoReason, Halted),
        (MARKET, Trading, MarketWideHaltResumption, Open),
        (MARKET, Halt, MarketWideHaltLevel1, Halted),
        (OWN, Quoting, MarketWideHaltResumption, Auction),
        (OWN, Trading, MarketWideHaltResumption, Open),
        // What a regulator halted for news, the end of a circuit breaker does not open.
        (MARKET, Halt, MarketWideHaltLevel1, Halted),
        (OWN, Halt, NewsPending, Halted),
        (MARKET, Trading, MarketWideHaltResumption, Halted),
    ] {
        assert_eq!(say(&mut machine, whom, action, reason).0, state, "{action:?} {reason:?}");
    }
}

#[test]
fn a_short_sale_restriction_is_told_with_the_state() {
    let mut machine = TradingStatus::default();
    say(&mut machine, OWN, StatusAction::Trading, StatusReason::None);
    let said = |machine: &mut TradingStatus, record: RecordBuf| {
        let out = feed(machine, &[record]);
        out.first().map(|left| {
            let left = left.get::<StatusMsg>().unwrap();
            (left.action().unwrap(), left.is_trading as u8, left.is_short_sell_restricted as u8)
        })
    };
    let open = StatusAction::Trading;
    assert_eq!(said(&mut machine, short_sale(DAY, true)), Some((open, b'Y', b'Y')));
    assert_eq!(said(&mut machine, short_sale(DAY, true)), None);
    let halt = status(OWN, DAY, StatusAction::Halt as u16, StatusReason::NewsPending);
    assert_eq!(said(&mut machine, halt), Some((StatusAction::Halt, b'N', b'Y')));
    assert_eq!(said(&mut machine, short_sale(DAY, false)), Some((StatusAction::Halt, b'N', b'N')));
}

#[test]
fn odd_status_is_counted() {
    let mut machine = TradingStatus::default();
    let out = feed(
        &mut machine,
        &[
            // Nobody to speak of yet.
            status(MARKET, DAY, StatusAction::PreOpen as u16, StatusReason::Scheduled),
            status(OWN, DAY, 99, StatusReason::None),
            trade(DAY, 1, 100, 1),
            status(OWN, DAY, StatusAction::Halt as u16, StatusReason::NewsPending),
            trade(DAY, 2, 100, 1),
        ],
    );
    assert_eq!(out.len(), 1);
    let expected = TradingStatusCounters { unknown_actions: 1, trades_while_stopped: 1 };
    assert_eq!(machine.counters(), expected);
    let mut bytes = Vec::new();
    machine.save(&mut bytes);
    for at in 2..9 {
        let mut bad = bytes.clone();
        bad[at] = 200;
        // Two of the bytes are flags, which any number sets.
        assert_eq!(machine.restore(&bad).is_err(), !(5..7).contains(&at), "byte {at}");
    }
}

/// (start, open, high, low, close, volume) of each bar.
fn bars_of(out: &[RecordBuf]) -> Vec<(u64, [i64; 4], u64)> {
    let bars = out.iter().filter_map(|record| record.get::<OhlcvMsg>());
    bars.map(|bar| (bar.hd.ts_event, [bar.open, bar.high, bar.low, bar.close], bar.volume))
        .collect()
}

#[test]
fn a_window_closes_by_a_later_trade_or_the_end_of_an_interval() {
    let mut machine = Bars::new(Window::Second);
    let out = feed(
        &mut machine,
        &[
            trade(DAY, 1, 100, 1),
            trade(DAY + SECOND - 1, 2, 90, 2),
            trade(DAY + SECOND, 3, 110, 1),
            trade(DAY + SECOND + 2, 4, 120, 1),
            trade(DAY + SECOND + 1, 5, 105, 1),
        ],
    );
    assert_eq!(bars_of(&out), [(DAY, [100, 100, 90, 90], 3)]);
    let vwap = out[1].get::<StatMsg>().unwrap();
    // 280 for 3.
    assert_eq!((vwap.stat_type, vwap.price, vwap.quantity), (StatType::Vwap as u16, 93, 3));
    assert_eq!(vwap.ts_recv, DAY + SECOND + 5);
    let out = feed(&mut machine, &[interval(DAY + 2 * SECOND - 1)]);
    assert!(out.is_empty(), "the window lasts one nanosecond more");
    let out = feed(&mut machine, &[interval(DAY + 2 * SECOND)]);
    assert_eq!(bars_of(&out), [(DAY + SECOND, [110, 120, 105, 105], 3)]);
    assert_eq!(out[1].get::<StatMsg>().unwrap().ts_recv, UNDEF_TIMESTAMP);
    // Skipped intervals: one record with the latest end.
    let out = feed(&mut machine, &[trade(DAY + 5 * SECOND, 6, 7, 8), interval(DAY + 99 * SECOND)]);
    assert_eq!(bars_of(&out), [(DAY + 5 * SECOND, [7; 4], 8)]);
    assert!(feed(&mut machine, &[interval(DAY + 100 * SECOND)]).is_empty());
    assert_eq!(machine.counters(), BarsCounters::default());
}

#[test]
fn late_odd_and_broken_trades() {
    let mut machine = Bars::new(Window::Second);
    let undated = trade(UNDEF_TIMESTAMP - 5, 1, 100, 1);
    let mut undated = undated.get::<dbn::MboMsg>().unwrap().clone();
    undated.hd.ts_event = UNDEF_TIMESTAMP;
    let out = feed(
        &mut machine,
        &[
            interval(DAY + SECOND),
            trade(DAY + SECOND - 1, 1, 100, 1),
            trade(DAY + 3 * SECOND, 2, 100, 1),
            trade(DAY + 2 * SECOND, 3, 500, 1),
            trade(DAY + 3 * SECOND, 4, UNDEF_PRICE, 1),
            trade(DAY + 3 * SECOND, 5, 100, 0),
            undated.into(),
            trade(DAY + 3 * SECOND, 6, -300, 2),
            break_of(DAY + 3 * SECOND, 6),
            interval(DAY + 4 * SECOND),
        ],
    );
    assert_eq!(bars_of(&out), [(DAY + 3 * SECOND, [100, 100, -300, -300], 3)]);
    // -500 for 3: the nearest is below.
    assert_eq!(out[1].get::<StatMsg>().unwrap().price, -167);
    let expected = BarsCounters { late_trades: 2, odd_trades: 3, broken_trades: 1 };
    assert_eq!(machine.counters(), expected);
}

#[test]
fn a_break_cancels_the_trade_that_it_names() {
    let mut machine = TradeTape::default();
    let price = 2 * SECOND as i64;
    let out = feed(
        &mut machine,
        &[
            trade(DAY, 41, price, 10),
            trade(DAY + 1, 42, price, 20),
            break_of(DAY + 2, 41),
            // The correction.
            trade(DAY + 3, 43, price, 11),
            interval(DAY + SECOND),
            interval(DAY + 2 * SECOND),
        ],
    );
    let tape: Vec<_> = out.iter().filter_map(|record| record.get::<TradeMsg>()).collect();
    let actions: Vec<_> = tape.iter().map(|trade| (trade.action as u8, trade.size)).collect();
    assert_eq!(actions, [(b'T', 10), (b'T', 20), (b'C', 10), (b'T', 11)]);
    assert_eq!((tape[2].sequence, tape[2].price), (tape[0].sequence, price));
    assert_eq!((tape[2].hd.ts_event, tape[2].ts_recv), (DAY + 2, DAY + 7));
    let sums: Vec<_> = out.iter().filter_map(|record| record.get::<StatMsg>()).collect();
    let sums: Vec<_> = sums.iter().map(|sum| (sum.stat_type, sum.quantity)).collect();
    let expected =
        [(stat_type::TAPE_VOLUME, 31), (stat_type::TAPE_TURNOVER, 62), (stat_type::TAPE_TRADES, 2)];
    assert_eq!(sums, expected, "told once, as nothing changed after it");
    assert_eq!(machine.counters(), TapeCounters::default());
}

#[test]
fn breaks_that_find_no_trade_are_counted() {
    let mut machine = TradeTape::default();
    let many: Vec<_> = (1..=65).map(|id| trade(DAY, id, 100, 1)).collect();
    feed(&mut machine, &many);
    // 1 is forgotten, 2 is the oldest that is kept, 0 names none, 99 never came.
    let breaks = [1, 2, 2, 0, 99, 65].map(|id| break_of(DAY, id));
    let out = feed(&mut machine, &breaks);
    assert_eq!(out.len(), 2);
    assert_eq!(machine.counters(), TapeCounters { unknown_breaks: 3, odd_trades: 0 });
    // A number that comes again is the later trade's.
    feed(&mut machine, &[trade(DAY, 9, 100, 5), break_of(DAY, 9)]);
    let out = feed(&mut machine, &[break_of(DAY, 9), trade(DAY, 3, UNDEF_PRICE, 5)]);
    assert_eq!(out[0].get::<TradeMsg>().unwrap().size, 1, "the earlier one");
    assert_eq!(out.len(), 2);
    assert_eq!(machine.counters().odd_trades, 1);
}

/// (type, price, quantity) of each statistic.
fn statistics_of(out: &[RecordBuf]) -> Vec<(u16, i64, i64)> {
    let statistics = out.iter().map(|record| record.get::<StatMsg>().unwrap());
    statistics.map(|record| (record.stat_type, record.price, record.quantity)).collect()
}

const fn running(auction: u8) -> (u16, i64, i64) {
    (stat_type::AUCTION_RUNNING, UNDEF_PRICE, auction as i64)
}

#[test]
fn an_opening_auction_from_its_first_imbalance_to_its_trade() {
    let mut machine = Auction::default();
    let indicative = StatType::IndicativeOpeningPrice as u16;
    let out = feed(
        &mut machine,
        &[
            trade(DAY, 1, 99, 1_000),
            imbalance(DAY, b'O', UNDEF_PRICE, 0, 50),
            imbalance(DAY, b'O', 100, 300, 50),
            imbalance(DAY, b'O', 100, 300, 40),
            // Continuous trading goes on beside.
            trade(DAY, 2, 99, 299),
        ],
    );
    assert_eq!(statistics_of(&out), [running(b'O'), (indicative, 100, 300)]);
    assert!(machine.is_running());
    assert_eq!((machine.indicative_price(), machine.imbalance()), (Some(100), ('B', 40)));
    let out = feed(&mut machine, &[trade(DAY + 9, 3, 101, 310), trade(DAY + 9, 4, 101, 310)]);
    assert_eq!(statistics_of(&out), [(StatType::OpeningPrice as u16, 101, 310), running(0)]);
    assert!(out.iter().all(|record| record.get::<StatMsg>().unwrap().hd.ts_event == DAY + 9));
    assert_eq!((machine.is_running(), machine.indicative_price()), (false, None));
    assert_eq!(machine.counters(), AuctionCounters::default());
}

#[test]
fn auctions_end_by_the_venues_price_by_silence_and_by_the_close() {
    let mut machine = Auction::default();
    let close = StatType::ClosePrice as u16;
    feed(&mut machine, &[imbalance(DAY, b'C', 100, 300, 0)]);
    let other = feed(&mut machine, &[statistic(DAY, StatType::OpeningPrice as u16, 100)]);
    assert!(other.is_empty());
    let out = feed(&mut machine, &[statistic(DAY, close, 100)]);
    assert_eq!(statistics_of(&out), [running(0)]);
    assert_eq!(machine.counters().lapsed_auctions, 0);

    let out = feed(&mut machine, &[imbalance(DAY, b'H', 100, 3, 0), trade(DAY, 1, 98, 4)]);
    let halt = [
        running(b'H'),
        (stat_type::INDICATIVE_UNCROSSING_PRICE, 100, 3),
        (StatType::UncrossingPrice as u16, 98, 4),
        running(0),
    ];
    assert_eq!(statistics_of(&out), halt);

    feed(&mut machine, &[imbalance(DAY, b'C', 100, 300, 0)]);
    assert!(feed(&mut machine, &[interval(DAY + 60 * SECOND - 1)]).is_empty());
    assert_eq!(statistics_of(&feed(&mut machine, &[interval(DAY + 60 * SECOND)])), [running(0)]);
    assert_eq!(machine.counters().lapsed_auctions, 1);

    feed(&mut machine, &[imbalance(DAY, b'C', 100, 300, 0)]);
    let post_close = status(MARKET, DAY, StatusAction::PostClose as u16, StatusReason::Scheduled);
    assert_eq!(statistics_of(&feed(&mut machine, &[post_close])), [running(0)]);
    assert_eq!(machine.counters().lapsed_auctions, 2);

    feed(&mut machine, &[imbalance(DAY, b'O', 100, 300, 0)]);
    let out = feed(&mut machine, &[imbalance(DAY, b'C', 100, 300, 0)]);
    let next = [running(0), running(b'C'), (StatType::IndicativeClosePrice as u16, 100, 300)];
    assert_eq!(statistics_of(&out), next);
    assert_eq!(machine.counters(), AuctionCounters { lapsed_auctions: 3, odd_imbalances: 0 });
}

#[test]
fn the_spread_is_weighted_by_the_time_it_stood() {
    let mut machine = Statistics::default();
    let last = flags::LAST;
    let bad = last | flags::MAYBE_BAD_BOOK;
    let out = feed(
        &mut machine,
        &[
            top(DAY, 100, 104, last),
            top(DAY + 10, 100, 102, last),
            // Stood for no time at all.
            top(DAY + 40, 100, 199, last),
            top(DAY + 40, 100, UNDEF_PRICE, last),
            top(DAY + 50, 100, 99, last),
            top(DAY + 60, 100, 150, bad),
            trade(DAY + 70, 1, 100, 1),
            // Earlier than what came before it.
            top(DAY + 65, 100, 110, last),
            interval(DAY + SECOND),
        ],
    );
    let rest = SECOND as i64 - 70;
    let average = (4 * 10 + 2 * 30 + 10 * rest + (rest + 40) / 2) / (rest + 40);
    let expected = [
        (stat_type::SPREAD_AVERAGE, average, i64::MAX),
        (stat_type::SPREAD_MIN, 2, i64::MAX),
        (stat_type::SPREAD_MAX, 10, i64::MAX),
        (stat_type::EVENTS, UNDEF_PRICE, 1),
        (stat_type::TRADES, UNDEF_PRICE, 1),
    ];
    assert_eq!(statistics_of(&out), expected);
    assert_eq!(machine.counters(), StatisticsCounters { crossed_tops: 1, backward_times: 1 });
    assert!(feed(&mut machine, &[interval(DAY + 2 * SECOND)]).is_empty(), "nothing was heard");
    // The spread of 10 stands on while a record without it is all that comes.
    let out = feed(&mut machine, &[trade(DAY + 3 * SECOND, 2, 1, 1), interval(DAY + 4 * SECOND)]);
    assert_eq!(statistics_of(&out)[0], (stat_type::SPREAD_AVERAGE, 10, i64::MAX));
    assert_eq!(out[0].get::<StatMsg>().unwrap().ts_ref, DAY + 2 * SECOND);
    // A bad book all the interval: counts, but no spread.
    feed(&mut machine, &[top(DAY + 4 * SECOND, 1, 2, bad)]);
    let out = feed(&mut machine, &[interval(DAY + 5 * SECOND)]);
    assert_eq!(statistics_of(&out)[0].0, stat_type::EVENTS);
}
