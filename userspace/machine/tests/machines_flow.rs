//! Machines over real CME flow beside plain recounts of the same records, and saved and restored on
//! the way.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;
mod flow;

use std::collections::BTreeMap;

use dbn::{
    Action, MboMsg, Mbp1Msg, OhlcvMsg, RecordBuf, StatMsg, SystemMsg, TradeMsg, UNDEF_PRICE,
};
use flow::{es_flow, feed, mixed};
use wirebook_machine::Machine;
use wirebook_machine::machines::{
    Auction, Bars, BarsCounters, Statistics, StatisticsCounters, TapeCounters, TradeTape,
    TradingStatus, Window, stat_type,
};

const WINDOWS: [Window; 4] = [Window::Second, Window::Minute, Window::Hour, Window::Day];

fn trades(flow: &[RecordBuf]) -> impl Iterator<Item = &MboMsg> {
    flow.iter()
        .filter_map(|record| record.get::<MboMsg>())
        .filter(|record| record.action().unwrap() == Action::Trade)
}

#[test]
fn bars_are_those_of_the_trades_by_window() {
    let Some(flow) = es_flow() else { return };
    for window in WINDOWS {
        let mut by_window = BTreeMap::<u64, Vec<(i64, u64)>>::new();
        for trade in trades(&flow) {
            let start = trade.hd.ts_event / window.length_ns();
            by_window.entry(start).or_default().push((trade.price, u64::from(trade.size)));
        }
        let mut machine = Bars::new(window);
        let out = feed(&mut machine, &flow);
        assert_eq!(machine.counters(), BarsCounters::default());
        assert!(!by_window.is_empty());
        assert_eq!(out.len(), 2 * by_window.len());
        for (pair, (start, prints)) in out.chunks(2).zip(by_window) {
            let (bar, vwap) =
                (pair[0].get::<OhlcvMsg>().unwrap(), pair[1].get::<StatMsg>().unwrap());
            let start = start * window.length_ns();
            let prices = || prints.iter().map(|print| print.0);
            let volume = prints.iter().map(|print| print.1).sum::<u64>();
            assert_eq!(bar.hd.ts_event, start);
            assert_eq!(bar.hd.instrument_id, common::es::INSTRUMENT);
            assert_eq!((bar.open, bar.close), (prints[0].0, prints[prints.len() - 1].0));
            assert_eq!((bar.high, bar.low), (prices().max().unwrap(), prices().min().unwrap()));
            assert_eq!(bar.volume, volume);
            let turnover: i128 = prints.iter().map(|&(p, s)| i128::from(p) * i128::from(s)).sum();
            let distance = turnover - i128::from(vwap.price) * i128::from(volume);
            assert!(2 * distance.abs() <= i128::from(volume), "not the nearest");
            assert_eq!(vwap.quantity, volume as i64);
            assert_eq!((vwap.ts_ref, vwap.hd.ts_event), (start, start + window.length_ns()));
        }
    }
}

#[test]
fn bars_have_the_rtypes_of_their_schemas() {
    let Some(flow) = es_flow() else { return };
    for (window, rtype) in WINDOWS.into_iter().zip(32..) {
        let out = feed(&mut Bars::new(window), &flow);
        assert!(out.iter().step_by(2).all(|bar| bar.get::<OhlcvMsg>().unwrap().hd.rtype == rtype));
    }
}

#[test]
fn the_tape_is_every_trade_and_their_sum() {
    let Some(flow) = es_flow() else { return };
    let mut machine = TradeTape::default();
    let out = feed(&mut machine, &flow);
    assert_eq!(machine.counters(), TapeCounters::default());
    let tape: Vec<_> = out.iter().filter_map(|record| record.get::<TradeMsg>()).collect();
    assert!(!tape.is_empty());
    let said = |trade: &TradeMsg| (trade.hd.ts_event, trade.sequence, trade.price, trade.size);
    let came = |trade: &MboMsg| (trade.hd.ts_event, trade.sequence, trade.price, trade.size);
    assert!(tape.iter().map(|trade| said(trade)).eq(trades(&flow).map(came)));
    for (print, trade) in tape.iter().zip(trades(&flow)) {
        assert_eq!((print.action, print.side), (trade.action, trade.side));
        assert_eq!((print.ts_recv, print.flags), (trade.ts_recv, trade.flags));
    }
    let last = |stat_type| {
        let statistics = out.iter().rev().filter_map(|record| record.get::<StatMsg>());
        statistics.into_iter().find(|record| record.stat_type == stat_type).unwrap().quantity
    };
    let turnover: i128 =
        trades(&flow).map(|trade| i128::from(trade.price) * i128::from(trade.size)).sum();
    assert_eq!(last(stat_type::TAPE_TRADES), tape.len() as i64);
    assert_eq!(
        last(stat_type::TAPE_VOLUME),
        trades(&flow).map(|trade| i64::from(trade.size)).sum::<i64>()
    );
    assert_eq!(i128::from(last(stat_type::TAPE_TURNOVER)), turnover / 1_000_000_000);
}

#[test]
fn statistics_are_those_of_a_second_walk_over_each_interval() {
    let Some(flow) = es_flow() else { return };
    let mut machine = Statistics::default();
    let out = feed(&mut machine, &flow);
    let mut told = out.iter().map(|record| record.get::<StatMsg>().unwrap());
    let (mut began, mut spread) = (flow[0].get::<MboMsg>().unwrap().hd.ts_event, UNDEF_PRICE);
    let mut averages = 0;
    let mut crossed = 0;
    let is_end = |record: &RecordBuf| record.get::<SystemMsg>().is_some();
    for interval in flow.split_inclusive(is_end) {
        let (end, heard) = interval.split_last().unwrap();
        let end = end.get::<SystemMsg>().unwrap().hd.ts_event;
        // Where the spread changed, and to what.
        let mut steps = vec![(began, spread)];
        for top in heard.iter().filter_map(|record| record.get::<Mbp1Msg>()) {
            let level = &top.levels[0];
            let known = level.bid_px != UNDEF_PRICE && level.ask_px != UNDEF_PRICE;
            crossed += u64::from(known && level.bid_px > level.ask_px);
            let stands = known && level.bid_px <= level.ask_px;
            spread = if stands { level.ask_px - level.bid_px } else { UNDEF_PRICE };
            let at = steps.last().unwrap().0.max(top.hd.ts_event);
            steps.push((at, spread));
        }
        let ends = steps.iter().skip(1).map(|step| step.0).chain([end]);
        let stood: Vec<(i64, u64)> = steps
            .iter()
            .zip(ends)
            .map(|(&(from, spread), to)| (spread, to - from))
            .filter(|&(spread, time)| spread != UNDEF_PRICE && time > 0)
            .collect();
        let time: i128 = stood.iter().map(|step| i128::from(step.1)).sum();
        if time > 0 {
            let area: i128 = stood.iter().map(|step| i128::from(step.0) * i128::from(step.1)).sum();
            let average = told.next().unwrap();
            assert_eq!(average.stat_type, stat_type::SPREAD_AVERAGE);
            assert!(2 * (area - i128::from(average.price) * time).abs() <= time, "not the nearest");
            for (number, expected) in [
                (stat_type::SPREAD_MIN, stood.iter().map(|step| step.0).min()),
                (stat_type::SPREAD_MAX, stood.iter().map(|step| step.0).max()),
            ] {
                let statistic = told.next().unwrap();
                assert_eq!((statistic.stat_type, Some(statistic.price)), (number, expected));
            }
            averages += 1;
        }
        let orders = || heard.iter().filter_map(|record| record.get::<MboMsg>());
        for (number, expected) in [
            (stat_type::EVENTS, orders().filter(|record| record.flags.is_last()).count()),
            (stat_type::TRADES, trades(heard).count()),
        ] {
            let statistic = told.next().unwrap();
            assert_eq!(
                (statistic.stat_type, statistic.quantity, statistic.ts_ref, statistic.hd.ts_event),
                (number, expected as i64, began, end)
            );
        }
        began = end;
    }
    assert!(told.next().is_none());
    assert!(averages > 100);
    assert_eq!(machine.counters().crossed_tops, crossed);
    assert_ne!(machine.counters(), StatisticsCounters::default());
}

/// Runs `machine` as it is, and saved and restored into a new one after every `every` records.
fn assert_restarts<M: Machine>(machine: M, flow: &[RecordBuf], every: usize) -> usize {
    let (mut straight, mut restored) = (machine.clone(), machine.clone());
    let expected = feed(&mut straight, flow);
    let mut out = Vec::new();
    for part in flow.chunks(every) {
        out.extend(feed(&mut restored, part));
        let mut bytes = Vec::new();
        restored.save(&mut bytes);
        restored = machine.clone();
        restored.restore(&bytes).unwrap();
        let mut again = Vec::new();
        restored.save(&mut again);
        assert_eq!(bytes, again);
        assert!(restored.restore(&bytes[1..]).is_err());
        restored.restore(&bytes).unwrap();
    }
    assert_eq!(out, expected);
    assert_eq!(restored.digest(), straight.digest());
    assert_ne!(restored.digest(), machine.digest());
    expected.len()
}

#[test]
fn every_machine_goes_on_from_what_it_saved() {
    let flow = mixed(5_000, 1);
    for every in [1, 7, 1_000] {
        assert!(assert_restarts(TradingStatus::default(), &flow, every) > 30);
        assert!(assert_restarts(Auction::default(), &flow, every) > 100);
        assert!(assert_restarts(TradeTape::default(), &flow, every) > 100);
        assert!(assert_restarts(Statistics::default(), &flow, every) > 100);
        for window in WINDOWS {
            let out = assert_restarts(Bars::new(window), &flow, every);
            assert_eq!(out > 0, matches!(window, Window::Second | Window::Minute));
        }
    }
}

#[test]
fn machines_go_on_over_real_flow() {
    let Some(flow) = es_flow() else { return };
    assert_restarts(Bars::new(Window::Second), &flow, 997);
    assert_restarts(TradeTape::default(), &flow, 997);
    assert_restarts(Statistics::default(), &flow, 997);
}
