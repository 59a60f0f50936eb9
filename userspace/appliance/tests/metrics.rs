//! What a running appliance tells at its port, against its own segment and its own report; and its
//! interval log, against the same, read by another implementation of HdrHistogram.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;
#[path = "common/live.rs"]
mod live;
#[path = "common/scrape.rs"]
mod scrape;

use common::{SimulatedMarket, folder};
use live::net::{Pair, within};
use live::{Appliance, PATIENCE, SMALL, channel, play, wire, worker};
use nix::sys::signal::Signal;
use scrape::{LISTEN, get, get_from, listening, scrape, with_loopback};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use wirebook::metrics::families::{FAMILIES, Family, Of};
use wirebook::metrics::labels::split;

const GROUP: &str = "239.192.12.111:26477";

/// Everything that counts: two shards, machines, a recorder of records and packets, servers that nobody
/// answers for, and the interval log.
fn everything(folder: &TempDir) -> String {
    let place = |name: &str| folder.path().join(name);
    let mut config =
        SMALL.replacen("[segment]\n", &format!("[segment]\nsocket = {:?}\n", place("socket")), 1);
    config += &listening();
    config += &format!("hlog = {:?}\nhlog_interval_s = 1\n", place("x.hlog"));
    config += "[machines]\nrun = [\"ohlcv-1s\"]\n";
    config += &format!("[record]\ndir = {:?}\npackets = true\n", place("recording"));
    config += &worker(0, "source = \"socket\"");
    config += &"[[shard]]\nidle = \"poll\"\n".repeat(2);
    config += &channel(0, "itch50", GROUP, "");
    config + "[channel.recovery]\nretransmit = [{ address = \"127.0.0.1:1\" }]\n"
}

/// A wire, an appliance with everything on it, and a market that it has seen.
struct Run {
    wire: Pair,
    folder: TempDir,
    market: SimulatedMarket,
    appliance: Appliance,
}

impl Run {
    fn new(seed: u64) -> Option<Self> {
        let (wire, folder) = (wire(1, 1)?, folder());
        with_loopback(&wire);
        let market = SimulatedMarket::new(seed, 10, 6_000);
        let capture = market.write(&folder, "market.pcap");
        let appliance = Appliance::start(&wire, &everything(&folder), &[]);
        play(&wire, 0, &capture);
        Some(Self { wire, folder, market, appliance })
    }

    /// `wirebook counters`, once all packets are in it.
    fn counters(&self) -> Value {
        let socket = self.folder.path().join("socket");
        let packets = self.market.frames.len() as u64;
        let mut last = Value::Null;
        let all = within(PATIENCE, || {
            let text = common::text(&[
                "counters",
                "--json",
                "--all",
                "--socket",
                socket.to_str().unwrap(),
            ]);
            last = serde_json::from_str(&text).unwrap();
            last["counters"]["worker_packets{worker=\"w0\"}"] == packets
                && last["latency_ns"]["wire-to-worker"]["count"] == packets
        });
        assert!(all, "{last:#}");
        last
    }
}

#[test]
fn every_counter_has_a_row_and_every_row_a_counter() {
    let Some(run) = Run::new(61) else { return };
    let counters = run.counters();
    let counted = counters["counters"].as_object().unwrap().keys().map(|name| split(name).0);
    let counted: BTreeSet<_> = counted.map(str::to_owned).collect();
    let rows: BTreeSet<_> = FAMILIES.iter().flat_map(Family::counters).map(str::to_owned).collect();
    let without: Vec<_> = counted.symmetric_difference(&rows).collect();
    assert!(without.is_empty(), "a row or a counter stands alone: {without:?}");
    // Their labels are those that the table says.
    for (name, labels) in counters["counters"].as_object().unwrap().keys().map(|name| split(name)) {
        let family = FAMILIES.iter().find(|family| family.counters().any(|of| of == name)).unwrap();
        let named: Vec<_> = labels.iter().map(|(name, _)| name.as_str()).collect();
        let expected = family.labels.iter().filter(|label| match family.of {
            Of::State(_) => **label != "state",
            _ => true,
        });
        assert!(expected.eq(named.iter()), "{name}: {named:?}");
    }
}

#[test]
fn what_is_scraped_is_what_was_counted() {
    let Some(run) = Run::new(62) else { return };
    let counters = run.counters();
    let answer = get(&run.wire, "/metrics");
    assert_eq!(answer.content_type, "application/openmetrics-text; version=1.0.0; charset=utf-8");
    assert!(answer.body.ends_with("\n# EOF\n"));
    // Every family is there, and its name and type are the table's.
    for family in FAMILIES {
        let name = family.exported_name();
        let name = name.trim_end_matches("_total").trim_end_matches("_info");
        let kind = format!("{:?}", family.kind).to_lowercase();
        let line = format!("# TYPE {name} {kind}\n");
        assert!(answer.body.contains(&line), "no {line:?}");
    }
    let told = scrape(&run.wire);
    let counter = |name: &str| counters["counters"][name].as_f64().unwrap();
    for (sample, name) in [
        (
            "wirebook_line_packets_total{channel=\"c0\",line=\"A\"}",
            "line_packets{channel=\"c0\",line=\"A\"}",
        ),
        ("wirebook_channel_messages_total{channel=\"c0\"}", "channel_messages{channel=\"c0\"}"),
        ("wirebook_gaps_total{channel=\"c0\"}", "channel_gaps{channel=\"c0\"}"),
        ("wirebook_shard_records_total{shard=\"1\"}", "shard_records{shard=\"1\"}"),
        ("wirebook_overruns_total{thread=\"recorder\"}", "recorder_overruns{thread=\"recorder\"}"),
        (
            "wirebook_drops_total{worker=\"w0\",reason=\"socket_dropped\"}",
            "drop_socket_dropped{worker=\"w0\"}",
        ),
        (
            "wirebook_shard_in_use{shard=\"0\",limit=\"instruments\"}",
            "shard_instruments_in_use{shard=\"0\"}",
        ),
    ] {
        assert_eq!(told[sample], counter(name), "{sample}");
    }
    assert!(told["wirebook_channel_messages_total{channel=\"c0\"}"] >= 6_000.0);
    let state =
        |state: &str| told[&format!("wirebook_channel_state{{channel=\"c0\",state=\"{state}\"}}")];
    assert_eq!(["warming", "live", "healing", "stale"].map(state), [0.0, 1.0, 0.0, 0.0]);
    let books = told[&"wirebook_books{channel=\"c0\",state=\"live\"}".to_owned()];
    assert_eq!(books, 10.0);
    assert_eq!(told["wirebook_ready"], 1.0);
    assert_eq!(told["wirebook_thread_stalled{thread=\"worker-w0\"}"], 0.0);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let age = now.as_secs_f64() - told["wirebook_start_time_seconds"];
    assert!((0.0..120.0).contains(&age), "started {age} s ago");
    assert!(told["wirebook_heartbeat_age_seconds"] < 5.0);
    assert_buckets(&told, &counters);
}

/// Every histogram's buckets grow to its count, which is the segment's, as its mean is near it.
fn assert_buckets(told: &BTreeMap<String, f64>, counters: &Value) {
    let mut seen = 0;
    for (name, latency) in counters["latency_ns"].as_object().unwrap() {
        let (stage, labels) = split(name);
        if labels.is_empty() {
            continue;
        }
        seen += 1;
        let labels: String =
            labels.iter().map(|(name, value)| format!(",{name}=\"{value}\"")).collect();
        let of = format!("stage=\"{stage}\"{labels}");
        let count = latency["count"].as_f64().unwrap();
        // Refreshing goes on; what came with packets is over.
        let is_over = !stage.starts_with("refresh");
        let told_count = told[&format!("wirebook_stage_seconds_count{{{of}}}")];
        assert!(
            told_count == count || !is_over && told_count > count,
            "{name}: {told_count} of {count}"
        );
        let buckets: Vec<f64> = {
            let mut buckets: Vec<_> = told
                .iter()
                .filter(|(sample, _)| sample.starts_with("wirebook_stage_seconds_bucket"))
                .filter(|(sample, _)| sample.ends_with(&format!(",{of}}}")))
                .map(|(sample, value)| (bound(sample), *value))
                .collect();
            buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
            buckets.into_iter().map(|(_, value)| value).collect()
        };
        assert_eq!(buckets.len(), 26, "{name}");
        assert!(buckets.is_sorted(), "{name}: {buckets:?}");
        assert_eq!(buckets[25], told_count, "{name}");
        let mean_ns = told[&format!("wirebook_stage_seconds_sum{{{of}}}")] / told_count * 1e9;
        assert!(
            mean_ns <= latency["max"].as_f64().unwrap() * 1.01 || !is_over,
            "{name}: {mean_ns}"
        );
    }
    assert!(seen >= 7, "{counters:#}");
}

/// The bound of a bucket's sample.
fn bound(sample: &str) -> f64 {
    let (_, behind) = sample.split_once("le=\"").unwrap();
    behind.split('"').next().unwrap().replace("+Inf", "inf").parse().unwrap()
}

#[test]
fn health_is_told_by_a_status() {
    let Some(run) = Run::new(63) else { return };
    assert_eq!(
        (get(&run.wire, "/healthz").status, get(&run.wire, "/healthz").body.as_str()),
        (200, "ok\n")
    );
    assert_eq!(get(&run.wire, "/nothing").status, 404);
}

#[test]
fn an_address_in_use_is_an_error_at_the_start() {
    let Some(run) = Run::new(64) else { return };
    let other = folder();
    let mut second = Appliance::spawn(&run.wire, &everything(&other), &[]);
    assert!(!second.wait().success());
    common::assert_says(
        &second.log(),
        &["cannot listen on 127.0.0.1:9464", "metrics.listen", "in use"],
    );
    let nowhere = everything(&other).replace(LISTEN, "192.0.2.7:9464");
    let mut third = Appliance::spawn(&run.wire, &nowhere, &[]);
    assert!(!third.wait().success());
    common::assert_says(&third.log(), &["192.0.2.7:9464", "metrics.listen"]);
}

#[test]
fn clients_that_say_nothing_are_bounded_and_hold_up_no_end() {
    let Some(run) = Run::new(65) else { return };
    let silent: Vec<_> =
        run.wire.receiving(|| (0..40).map(|_| TcpStream::connect(LISTEN).unwrap()).collect());
    let refused = within(PATIENCE, || get_from(&run.wire, LISTEN, "/healthz").is_none());
    assert!(refused, "no more than 32 are let in");
    drop(silent);
    let again = within(PATIENCE, || get_from(&run.wire, LISTEN, "/healthz").is_some());
    assert!(again, "who leaves makes room");
    let _silent: Vec<_> =
        run.wire.receiving(|| (0..8).map(|_| TcpStream::connect(LISTEN).unwrap()).collect());
    let began = Instant::now();
    run.appliance.signal(Signal::SIGTERM);
    run.appliance.finish();
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}

#[test]
fn the_interval_log_holds_what_the_run_timed() {
    let Some(python) = python_with_hdrh() else { return };
    let Some(run) = Run::new(66) else { return };
    let counters = run.counters();
    let log = run.folder.path().join("x.hlog");
    run.appliance.signal(Signal::SIGTERM);
    let summary = run.appliance.finish();
    let read = read_log(&python, &log);
    // Every sample of the run is in one interval, and the sum has the quantiles that the run reports.
    for stage in summary["latency"]["stages"].as_array().unwrap() {
        let name = stage["stage"].as_str().unwrap().replace('→', "-to-").replace(' ', "-");
        let of_stage = read.iter().filter(|(tag, _)| tag.split(':').next() == Some(&name));
        let count: u64 = of_stage.clone().map(|(_, said)| said["count"].as_u64().unwrap()).sum();
        assert_eq!(stage["count"], count, "{name}: {read:?}");
        for (tag, said) in of_stage.filter(|_| !name.starts_with("refresh")) {
            let labelled = counters["latency_ns"].as_object().unwrap();
            let (_, expected) = labelled.iter().find(|(name, _)| tag_of(name) == *tag).unwrap();
            for quantile in ["p50", "p90", "p99", "p99.9", "max"] {
                assert_eq!(said[quantile], expected[quantile], "{tag} {quantile}");
            }
        }
    }
    assert!(read.contains_key("wire-to-worker:w0") && read.contains_key("shard-to-published:1"));
    assert!(read["wire-to-worker:w0"]["intervals"].as_u64().unwrap() >= 1);
}

/// The tag of a histogram of the segment.
fn tag_of(name: &str) -> String {
    let (stage, labels) = split(name);
    [stage]
        .into_iter()
        .chain(labels.iter().map(|(_, value)| value.as_str()))
        .collect::<Vec<_>>()
        .join(":")
}

/// A Python with HdrHistogram's own package, another implementation than the one that wrote.
fn python_with_hdrh() -> Option<String> {
    let python = std::env::var("WIREBOOK_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let has = Command::new(&python).args(["-c", "import hdrh.log"]).output();
    if has.is_ok_and(|output| output.status.success()) {
        return Some(python);
    }
    eprintln!("SKIP: {python} has no hdrh (pip install hdrhistogram; scripts/test does it)");
    None
}

/// By tag: how many intervals there are, and their sum's count and quantiles.
fn read_log(python: &str, log: &Path) -> BTreeMap<String, Value> {
    let script = r#"
import json, math, sys
from hdrh.histogram import HdrHistogram
from hdrh.log import HistogramLogReader
bounds = 1, 60_000_000_000, 3
reader = HistogramLogReader(sys.argv[1], HdrHistogram(*bounds))
sums, intervals = {}, {}
while (interval := reader.get_next_interval_histogram()) is not None:
    tag = interval.get_tag()
    sums.setdefault(tag, HdrHistogram(*bounds)).add(interval)
    intervals[tag] = intervals.get(tag, 0) + 1
    assert interval.get_end_time_stamp() > interval.get_start_time_stamp() > 1.6e12, "milliseconds since the epoch"
def said(histogram):
    recorded = [(i.value_iterated_to, i.count_at_value_iterated_to) for i in histogram.get_recorded_iterator()]
    total = histogram.get_total_count()
    def at(percent):
        # The least value that so many of a hundred are not above.
        rank, below = max(1, math.ceil(total * percent / 100)), 0
        for value, count in recorded:
            below += count
            if below >= rank:
                return value
    return {"count": total, "max": histogram.get_max_value()} | {"p%g" % p: at(p) for p in (50, 90, 99, 99.9)}
print(json.dumps({tag: said(h) | {"intervals": intervals[tag]} for tag, h in sums.items()}))
"#;
    let output = Command::new(python).args(["-c", script]).arg(log).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn a_log_that_cannot_be_written_is_said_at_the_start_and_counted_later() {
    let Some(wire) = wire(1, 1) else { return };
    with_loopback(&wire);
    let folder = folder();
    let config = everything(&folder);
    let nowhere = config.replace("x.hlog", "none/x.hlog");
    let mut refused = Appliance::spawn(&wire, &nowhere, &[]);
    assert!(!refused.wait().success());
    common::assert_says(&refused.log(), &["interval log", "none/x.hlog", "metrics.hlog"]);
    // A device that is always full.
    let full = config.replace(&format!("{:?}", folder.path().join("x.hlog")), "\"/dev/full\"");
    let appliance = Appliance::start(&wire, &full, &[]);
    let market = SimulatedMarket::new(67, 10, 6_000);
    play(&wire, 0, &market.write(&folder, "market.pcap"));
    let counted = within(PATIENCE, || scrape(&wire)["wirebook_hlog_write_errors_total"] >= 2.0);
    assert!(counted, "{}", appliance.log());
    assert_eq!(appliance.log().matches("interval log is not written").count(), 1);
    appliance.signal(Signal::SIGTERM);
    appliance.finish();
}
