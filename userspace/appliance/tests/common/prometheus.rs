//! Debian's Prometheus in the receiving namespace, with our rules, made faster.
#![allow(dead_code, reason = "each test program uses a part of it")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::live::net::{Pair, within};
use crate::scrape::{LISTEN, get_from};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command};
use std::time::Duration;
use tempfile::TempDir;

const ADDRESS: &str = "127.0.0.1:9090";

/// Longer than any alert takes, on a busy host.
pub(crate) const ALERT_PATIENCE: Duration = Duration::from_secs(90);

/// A running Prometheus; killed when dropped, with all that it has kept.
pub(crate) struct Prometheus<'a> {
    child: Child,
    folder: TempDir,
    pair: &'a Pair,
}

impl<'a> Prometheus<'a> {
    /// Starts it, or says why it cannot.
    pub(crate) fn start(pair: &'a Pair) -> Option<Self> {
        if Command::new("prometheus").arg("--version").output().is_err() {
            crate::common::skip("there is no Prometheus (apt-get install prometheus)");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let place = |name: &str| folder.path().join(name);
        fs::write(place("wirebook.rules.yml"), faster(&rules())).unwrap();
        let config = format!(
            "global: {{ scrape_interval: 500ms, scrape_timeout: 450ms, evaluation_interval: 500ms }}\n\
             rule_files: [wirebook.rules.yml]\nscrape_configs:\n  - job_name: wirebook\n    \
             static_configs: [{{ targets: [\"{LISTEN}\"] }}]\n"
        );
        fs::write(place("prometheus.yml"), config).unwrap();
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &pair.receiver, "prometheus"]);
        command.arg(format!("--config.file={}", place("prometheus.yml").display()));
        command.arg(format!("--storage.tsdb.path={}", place("data").display()));
        command.arg(format!("--web.listen-address={ADDRESS}"));
        command.stdout(File::create(place("out")).unwrap());
        command.stderr(File::create(place("log")).unwrap());
        let prometheus = Self { child: command.spawn().unwrap(), folder, pair };
        let is_ready =
            || get_from(pair, ADDRESS, "/-/ready").is_some_and(|answer| answer.status == 200);
        assert!(within(ALERT_PATIENCE, is_ready), "{}", prometheus.log());
        Some(prometheus)
    }

    /// What its API says to `path`.
    pub(crate) fn ask(&self, path: &str) -> Value {
        let answer = get_from(self.pair, ADDRESS, &format!("/api/v1/{path}"));
        let answer = answer.unwrap_or_else(|| panic!("Prometheus does not answer: {}", self.log()));
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        serde_json::from_str::<Value>(&answer.body).unwrap()["data"].clone()
    }

    /// The samples of an expression now.
    pub(crate) fn query(&self, expression: &str) -> Vec<Value> {
        let encoded: String = expression.bytes().map(|byte| format!("%{byte:02X}")).collect();
        self.ask(&format!("query?query={encoded}"))["result"].as_array().unwrap().clone()
    }

    /// The alerts that fire now.
    pub(crate) fn firing(&self) -> BTreeSet<String> {
        let alerts = self.ask("alerts");
        let alerts = alerts["alerts"].as_array().unwrap().iter();
        let firing = alerts.filter(|alert| alert["state"] == "firing");
        firing.map(|alert| alert["labels"]["alertname"].as_str().unwrap().to_owned()).collect()
    }

    /// Waits until all these alerts have fired, each at some time.
    pub(crate) fn await_firing(&self, wanted: &[&str]) {
        let mut fired = BTreeSet::new();
        let all = within(ALERT_PATIENCE, || {
            fired.append(&mut self.firing());
            wanted.iter().all(|alert| fired.contains(*alert))
        });
        assert!(all, "of {wanted:?} fired {fired:?}; {:#}", self.ask("targets"));
    }

    /// Waits until nothing fires.
    pub(crate) fn await_calm(&self) {
        let mut firing = BTreeSet::new();
        let none = within(ALERT_PATIENCE, || {
            firing = self.firing();
            firing.is_empty()
        });
        assert!(none, "where nothing is wrong fires {firing:?}");
    }

    /// Waits until none of these alerts fires.
    pub(crate) fn await_clear(&self, wanted: &[&str]) {
        let mut firing = BTreeSet::new();
        let none = within(ALERT_PATIENCE, || {
            firing = self.firing();
            !wanted.iter().any(|alert| firing.contains(*alert))
        });
        assert!(none, "of {wanted:?} some do not clear: {firing:?}");
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap()
    }
}

impl Drop for Prometheus<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The rules as they are delivered.
pub(crate) fn rules() -> String {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/prometheus/wirebook.rules.yml");
    fs::read_to_string(path).unwrap()
}

/// The same expressions over seconds where they have minutes, so that a test sees them clear: what
/// they look back on is ten seconds, and they wait for a second.
fn faster(rules: &str) -> String {
    let faster = |line: &str| match line.trim_start().starts_with("for: ") {
        true => "        for: 1s".to_owned(),
        false => line.replace("[5m]", "[10s]").replace("[15m]", "[10s]"),
    };
    rules.lines().map(|line| faster(line) + "\n").collect()
}
