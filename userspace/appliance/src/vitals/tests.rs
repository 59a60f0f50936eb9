//! Looks made by hand, and what they must say.

use super::*;
use wirebook_client::{BookState, Histogram};

const SECONDS: Duration = Duration::from_secs(2);

fn look(counters: &[(&str, u64)]) -> Look {
    let counters = counters.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect();
    Look { counters, ..Look::default() }
}

fn histogram(values: impl IntoIterator<Item = u64>) -> Histogram<u64> {
    let mut histogram = Histogram::new_with_bounds(1, 60_000_000_000, 3).unwrap();
    values.into_iter().for_each(|value| histogram.record(value).unwrap());
    histogram
}

fn with_stage(name: &str, values: impl IntoIterator<Item = u64>) -> Look {
    Look { stages: vec![(name.to_owned(), histogram(values))], ..Look::default() }
}

#[test]
fn rates_are_differences_over_the_time_between() {
    let before = look(&[
        (r#"line_packets{channel="c0",line="A"}"#, 100),
        (r#"line_messages{channel="c0",line="A"}"#, 1_000),
        (r#"channel_state{channel="c0"}"#, BookState::Live as u64),
        (r#"channel_messages{channel="c0"}"#, 5_000),
    ]);
    let after = look(&[
        ("appliance_start_time_ms", 1_000),
        ("appliance_counted_ns", 91_000_000_000),
        (r#"line_packets{channel="c0",line="A"}"#, 150),
        (r#"line_messages{channel="c0",line="A"}"#, 1_600),
        (r#"channel_state{channel="c0"}"#, BookState::Healing as u64),
        (r#"channel_messages{channel="c0"}"#, 5_700),
        (r#"channel_next_sequence{channel="c0"}"#, 5_701),
    ]);
    let vitals = Vitals::between(&before, &after, SECONDS);
    assert_eq!((vitals.uptime_s, vitals.interval_s), (90.0, 2.0));
    let line = &vitals.lines[0];
    assert_eq!((line.channel.as_str(), line.line.as_str()), ("c0", "A"));
    assert_eq!((line.packets_per_s, line.messages_per_s, line.packets), (25.0, 300.0, 150));
    let channel = &vitals.channels[0];
    assert_eq!((channel.messages_per_s, channel.next_sequence), (350.0, 5_701));
    assert_eq!((channel.state, vitals.state), ("healing", Some("healing")));
    let at_once = Vitals::between(&before, &after, Duration::ZERO);
    assert_eq!(at_once.lines[0].packets_per_s, 0.0, "no time, no rate");
}

#[test]
fn the_first_share_is_of_the_channel_alone() {
    let after = look(&[
        (r#"line_packets{channel="c0",line="A"}"#, 100),
        (r#"line_duplicates{channel="c0",line="A"}"#, 20),
        (r#"line_late{channel="c0",line="A"}"#, 5),
        (r#"line_packets{channel="c0",line="B"}"#, 100),
        (r#"line_duplicates{channel="c0",line="B"}"#, 75),
        (r#"line_packets{channel="c1",line="A"}"#, 0),
        (r#"line_packets{channel="c2",line="A"}"#, 9),
    ]);
    let vitals = Vitals::between(&Look::default(), &after, SECONDS);
    let shares: Vec<_> = vitals.lines.iter().map(|line| line.first_share).collect();
    assert_eq!(shares, [Some(0.75), Some(0.25), None, Some(1.0)]);
}

#[test]
fn the_three_figures_are_sums_that_stay_apart() {
    let before =
        look(&[(r#"channel_gaps{channel="c0"}"#, 2), (r#"drop_rx_dropped{worker="w0"}"#, 1)]);
    let after = look(&[
        (r#"channel_gaps{channel="c0"}"#, 3),
        (r#"channel_gaps{channel="c1"}"#, 4),
        (r#"drop_rx_dropped{worker="w0"}"#, 1),
        (r#"drop_socket_dropped{worker="w1"}"#, 6),
        (r#"recorder_overruns{thread="journal"}"#, 8),
        (r#"nic_rx_dropped{interface="rx0"}"#, 99),
    ]);
    let vitals = Vitals::between(&before, &after, SECONDS);
    assert_eq!(vitals.gaps, Figure { total: 7, new: 5 });
    assert_eq!(vitals.drops, Figure { total: 7, new: 6 });
    assert_eq!(vitals.overruns, Figure { total: 8, new: 8 });
}

#[test]
fn the_worst_channel_is_the_state() {
    let state = |states: &[BookState]| {
        let names: Vec<_> =
            (0..states.len()).map(|n| format!("channel_state{{channel=\"c{n}\"}}")).collect();
        let counters: Vec<_> =
            names.iter().zip(states).map(|(name, state)| (&**name, *state as u64)).collect();
        Vitals::between(&Look::default(), &look(&counters), SECONDS).state
    };
    use BookState::{Healing, Live, Stale, Warming};
    assert_eq!(state(&[]), None);
    assert_eq!(state(&[Live, Live]), Some("live"));
    assert_eq!(state(&[Live, Warming]), Some("warming"));
    assert_eq!(state(&[Healing, Warming, Live]), Some("healing"));
    assert_eq!(state(&[Live, Stale, Healing]), Some("stale"));
}

#[test]
fn latencies_are_those_of_the_interval() {
    // A thousand slow ones before the interval must not show in it.
    let old = || std::iter::repeat_n(50_000_000, 1_000);
    let before = with_stage("wire-to-worker", old());
    let after = with_stage("wire-to-worker", old().chain(1..=1_000));
    let stage = &Vitals::between(&before, &after, SECONDS).stages[0];
    assert_eq!((stage.stage.as_str(), stage.samples), ("wire→worker", 1_000));
    assert_eq!((stage.p50_ns, stage.p99_ns), (Some(500), Some(990)));
    assert_eq!((stage.p99_9_ns, stage.max_ns), (Some(999), Some(1_000)));
    let nothing = &Vitals::between(&after, &after, SECONDS).stages[0];
    assert_eq!((nothing.samples, nothing.p50_ns, nothing.max_ns), (0, None, None));
    assert!(nothing.curve.is_empty());
    // Another start has fewer samples than were seen before: they are all new.
    let anew = &Vitals::between(&after, &with_stage("wire-to-worker", [7]), SECONDS).stages[0];
    assert_eq!((anew.samples, anew.p50_ns), (1, Some(7)));
}

/// The model: a sorted list.
#[test]
fn a_curve_is_that_of_a_sort_and_goes_as_far_as_there_are_samples() {
    let values: Vec<u64> = (1..=10_000).map(|n| n * n).collect();
    let after = with_stage("A-before-B", values.iter().copied());
    let stage = &Vitals::between(&Look::default(), &after, SECONDS).stages[0];
    assert_eq!(stage.stage, "A before B");
    assert_eq!(stage.curve.len(), 33, "four decades of eight, and the first");
    for (quantile, latency_ns) in &stage.curve {
        let exact = values[((quantile * 10_000.0 - 1e-6).ceil().max(1.0) - 1.0) as usize];
        let off = latency_ns.abs_diff(exact) as f64 / exact as f64;
        assert!(
            off <= 0.001 || latency_ns.abs_diff(exact) <= 1,
            "{quantile}: {latency_ns}, {exact}"
        );
    }
    let (last, _) = stage.curve[32];
    assert!((last - 0.9999).abs() < 1e-9);
    assert!(stage.curve.is_sorted_by(|one, next| one.0 < next.0 && one.1 <= next.1));
}

#[test]
fn what_shards_time_apart_is_one_stage() {
    let part = |shard: u8, values: [u64; 2]| {
        (format!("shard-to-published{{shard=\"{shard}\"}}"), histogram(values))
    };
    let after = Look { stages: vec![part(0, [1, 2]), part(1, [3, 4])], ..Look::default() };
    let stages = Vitals::between(&Look::default(), &after, SECONDS).stages;
    assert_eq!(stages.len(), 1);
    assert_eq!((stages[0].stage.as_str(), stages[0].samples), ("shard→published", 4));
    assert_eq!(stages[0].max_ns, Some(4));
}

#[test]
fn books_have_the_rate_of_their_own() {
    let top = |number, updates, symbol: &str| Top {
        number,
        updates,
        symbol: symbol.into(),
        state: BookState::Live,
        bid: Some(("10.5".into(), 300)),
        ask: None,
        last: None,
    };
    let before = Look { updates: vec![5, 10], ..Look::default() };
    let tops = vec![top(1, 50, "MSFT"), top(0, 15, "AAPL"), top(2, 4, "NEW")];
    let after = Look { updates: vec![15, 50, 4], tops, ..Look::default() };
    let books = Vitals::between(&before, &after, SECONDS).books;
    let told: Vec<_> = books.iter().map(|book| (&*book.symbol, book.updates_per_s)).collect();
    assert_eq!(told, [("MSFT", 20.0), ("AAPL", 5.0), ("NEW", 2.0)]);
    assert_eq!((books[0].state, books[0].bid.as_ref().unwrap().1), ("live", 300));
}

#[test]
fn history_tells_silence_and_how_a_p99_went() {
    let (mut history, mut last) = (History::default(), Look::default());
    let mut told = Vec::new();
    for (packets, latency_ns) in [(0, 5), (3, 6), (3, 7), (3, 8), (4, 9)] {
        let mut now = with_stage("worker-to-shard", [latency_ns]);
        now.counters.insert(r#"line_packets{channel="c0",line="A"}"#.into(), packets);
        let mut vitals = Vitals::between(&last, &now, SECONDS);
        history.add(&mut vitals);
        told.push(vitals.lines[0].silent_s);
        if packets == 4 {
            assert_eq!(vitals.stages[0].p99_history_ns, [5, 6, 7, 8, 9]);
        }
        last = Look { stages: Vec::new(), ..now };
    }
    assert_eq!(told, [None, Some(0.0), Some(2.0), Some(4.0), Some(0.0)]);
    for _ in 0..1_000 {
        history.add(&mut Vitals::between(&Look::default(), &with_stage("s", [1]), SECONDS));
    }
    let mut vitals = Vitals::between(&Look::default(), &with_stage("s", [1]), SECONDS);
    history.add(&mut vitals);
    assert_eq!(vitals.stages[0].p99_history_ns.len(), 120, "what is remembered is bounded");
}

#[test]
fn labels_are_told_apart() {
    let labels = r#"channel="a,b",line="A""#;
    assert_eq!((look::label(labels, "channel"), look::label(labels, "line")), ("a,b", "A"));
    assert_eq!(look::label(labels, "shard"), "");
}
