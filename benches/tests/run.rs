//! Each benchmark runs, and keeps what it measured. Its figures mean nothing here.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use serde_json::Value;
use std::process::{Command, Stdio};

#[test]
fn readers() {
    let folder = tempfile::tempdir().unwrap();
    let raw = folder.path().join("raw.json");
    let mut command = Command::new(env!("CARGO_BIN_EXE_readers"));
    command.args(["--rounds", "1", "--milliseconds", "20", "--raw"]).arg(&raw);
    let output = command.output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{error}");
    let printed = String::from_utf8(output.stdout).unwrap();
    let run: Value = serde_json::from_slice(&std::fs::read(raw).unwrap()).unwrap();
    let measurements = run["measurements"].as_array().unwrap();
    assert_eq!(measurements.len(), 5);
    let mut all_seen = 0;
    for measured in measurements {
        assert!(printed.contains(measured["case"].as_str().unwrap()), "{printed}");
        assert!(measured["records"].as_u64() > Some(0) && measured["cpu_ns"].as_u64() > Some(0));
        let seen = measured["taken"].as_u64().unwrap() + measured["missed_slots"].as_u64().unwrap();
        assert!(seen == 0 || measured["case"] != "no reader", "{measured}");
        all_seen += seen;
    }
    // In so short a time one case's readers may not have had a core.
    assert!(all_seen > 0, "{measurements:?}");
    for name in ["processor", "kernel", "compiler", "commit"] {
        assert!(run["host"][name].is_string(), "{name}");
    }
}

/// Runs a benchmark on a small day and gives what it printed and kept.
fn run(program: &str, options: &[&str]) -> (String, Value) {
    let (_, printed, run) = run_process(program, options);
    (printed, run)
}

/// The same, and gives its process id.
fn run_process(program: &str, options: &[&str]) -> (u32, String, Value) {
    let folder = tempfile::tempdir().unwrap();
    let raw = folder.path().join("raw.json");
    let mut command = Command::new(program);
    command.args(options).arg("--raw").arg(&raw).stdout(Stdio::piped()).stderr(Stdio::piped());
    let process = command.spawn().unwrap();
    let id = process.id();
    let output = process.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let run = serde_json::from_slice(&std::fs::read(raw).unwrap()).unwrap();
    (id, String::from_utf8(output.stdout).unwrap(), run)
}

const SMALL: [&str; 8] =
    ["--rounds", "2", "--messages", "40000", "--live-orders", "2000", "--instruments", "50"];

/// Every contestant has a measurement of all messages in each round of both layouts.
fn assert_measured(printed: &str, run: &Value, contestants: usize) {
    let measurements = run["measurements"].as_array().unwrap();
    assert_eq!(measurements.len(), 2 * 2 * contestants);
    for measured in measurements {
        assert!(printed.contains(measured["name"].as_str().unwrap()), "{printed}");
        assert_eq!(measured["messages"], 40_000, "{measured}");
        assert!(measured["cpu_ns"].as_u64() > Some(0), "{measured}");
    }
}

#[test]
fn decode() {
    let (printed, run) = run(env!("CARGO_BIN_EXE_decode"), &SMALL);
    assert_measured(&printed, &run, 5);
}

#[test]
fn book() {
    let (printed, run) = run(env!("CARGO_BIN_EXE_book"), &SMALL);
    let contestants = if cfg!(feature = "peers") { 5 } else { 4 };
    assert_measured(&printed, &run, contestants);
    assert_eq!(run["memory"].as_array().unwrap().len(), contestants);
}

#[test]
fn scale() {
    let plots = tempfile::tempdir().unwrap();
    let folder = plots.path().to_str().unwrap();
    let options =
        ["--rounds", "2", "--messages", "500", "--live-orders-max", "300000", "--plots", folder];
    let (printed, run) = run(env!("CARGO_BIN_EXE_scale"), &options);
    // Four values of live orders are within the limit; each other thing has seven.
    assert_eq!(run["measurements"].as_array().unwrap().len(), 2 * 2 * (7 + 4 + 7));
    for sweep in ["instruments", "live orders", "messages a packet"] {
        assert!(printed.contains(sweep), "{printed}");
        let name = format!("scale-{}.svg", sweep.replace(' ', "-"));
        assert!(std::fs::read_to_string(plots.path().join(name)).unwrap().contains("bursty"));
    }
}

/// Why `path` cannot run here, if it cannot: said, or a failure where nothing may be skipped.
fn lacks_namespaces() -> bool {
    let name = format!("wbp-probe-{}", std::process::id());
    let ip = |verb: &str| Command::new("ip").args(["netns", verb, &name]).output();
    let can = ip("add").is_ok_and(|output| output.status.success());
    let _ = ip("delete");
    if !can {
        let must =
            std::env::var_os("WIREBOOK_REQUIRE_PRIVILEGED").is_some_and(|value| value == "1");
        assert!(!must, "must not be skipped: no network namespaces");
        eprintln!("SKIP: no network namespaces: it takes root and iproute2");
    }
    !can
}

/// Every contestant takes a slow market whole, and the room is gone afterwards.
#[test]
fn path() {
    if lacks_namespaces() {
        return;
    }
    let small = ["--rounds", "1", "--milliseconds", "50", "--packets", "5000"];
    let search = ["--fixed-rate", "5000", "--tries", "1", "--steps", "0"];
    let latency = ["--seconds", "1", "--latency-rate", "1000", "--speed", "10"];
    let session = ["--session-rate", "200"];
    let options = [&small[..], &search, &latency, &session].concat();
    let (id, printed, run) = run_process(env!("CARGO_BIN_EXE_path"), &options);
    let places = run["throughput"]["places"].as_array().unwrap();
    assert_eq!(places.len(), 2);
    for place in places {
        let fixed = |trial: &&Value| trial["purpose"] == "fixed-rate";
        let trials: Vec<_> = place["trials"].as_array().unwrap().iter().filter(fixed).collect();
        assert_eq!((trials.len(), place["limits"].as_array().unwrap().len()), (5, 5));
        let has_thread = place["napi"] == "beside";
        for trial in trials {
            let taken = &trial["taken"];
            let [sent, counted, lost] =
                [&trial["sent"]["packets"], &taken["packets"], &trial["lost"]]
                    .map(|n| n.as_u64().unwrap());
            assert_eq!((sent, sent - counted), (250, lost), "{trial}");
            assert!(counted > 0 && taken["process_ns"].as_u64() > Some(0), "{trial}");
            assert_eq!(trial["napi_ns"].as_u64() > Some(0), has_thread, "{trial}");
            assert!(printed.contains(trial["name"].as_str().unwrap()), "{printed}");
        }
    }
    let measurements = run["latency"]["measurements"].as_array().unwrap();
    assert_eq!(measurements.len(), 2 * 12);
    for measured in measurements {
        let [sent, lost, seen, silent] = ["sent", "lost", "seen", "silent"]
            .map(|name| measured[name].as_u64().or(measured[name]["packets"].as_u64()).unwrap());
        assert_eq!(sent, lost + seen + silent, "{measured}");
        // Of packets without an order there is no record to wait for.
        assert!(seen > 0, "{measured}");
        let ns = measured["percentiles_ns"].as_array().unwrap();
        assert!(
            ns.is_sorted_by_key(|ns| ns.as_u64()) && ns[0].as_u64() > Some(1_000),
            "{measured}"
        );
    }
    let left = Command::new("ip").args(["netns", "list"]).output().unwrap();
    let left = String::from_utf8(left.stdout).unwrap();
    assert!(!left.lines().any(|name| name.contains(&format!("-{id}"))), "{left}");
}

/// Each ring brings each message in each round, through both capacities, and all round trips.
#[test]
fn rings() {
    let options = ["--rounds", "2", "--messages", "20000", "--trips", "500"];
    let (printed, run) = run(env!("CARGO_BIN_EXE_rings"), &options);
    let measurements = run["measurements"].as_array().unwrap();
    let peers = if cfg!(feature = "peers") { 4 } else { 3 };
    let streams = 3 * 2 * (1 + peers);
    // A bare line and our open ring have round trips alone.
    assert_eq!(measurements.len(), 2 * (streams + 1 + peers + 2));
    for measured in measurements {
        assert!(printed.contains(measured["ring"].as_str().unwrap()), "{printed}");
        assert!(measured["ns"].as_f64() > Some(0.0), "{measured}");
    }
}
