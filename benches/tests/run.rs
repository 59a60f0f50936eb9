//! Each benchmark runs, and keeps what it measured. Its figures mean nothing here.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use serde_json::Value;
use std::process::Command;

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
