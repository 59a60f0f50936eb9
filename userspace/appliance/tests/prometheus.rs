//! Debian's Prometheus scrapes a running appliance and evaluates the delivered rules, while an exchange
//! and the host go wrong: each alert fires, and clears once what was wrong is over.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;
#[path = "common/live.rs"]
mod live;
#[path = "common/prometheus.rs"]
mod prometheus;
#[path = "common/scrape.rs"]
mod scrape;

use live::net::{Pair, within};
use live::{Appliance, PATIENCE, SMALL, wire, worker};
use nix::sys::ptrace;
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;
use prometheus::Prometheus;
use scrape::{get, listening, with_loopback};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;
use wirebook::metrics::families::{FAMILIES, Kind};

/// Slots of the ring from shard to recorder.
const JOURNAL_SLOTS: u64 = 1_024;

/// Lines A and B of a channel that nothing recovers, recorded.
fn config(folder: &TempDir) -> String {
    let line = |name: &str, group: &str| {
        format!("{{ name = \"{name}\", interface = \"rx0\", group = \"{group}\", port = 26477 }}")
    };
    let place = |name: &str| folder.path().join(name);
    [
        &SMALL.replacen("[segment]\n", &format!("[segment]\nsocket = {:?}\n", place("socket")), 1),
        &listening(),
        "[supervision]\nno_progress_ms = 1000\n",
        &format!(
            "[record]\ndir = {:?}\njournal_slots = {JOURNAL_SLOTS}\n",
            place("recording")
        ),
        &worker(0, "source = \"socket\""),
        "[[shard]]\nidle = \"poll\"\n[[channel]]\nname = \"c0\"\nprotocol = \"itch50\"\nworker = \"w0\"\n",
        &format!("date = \"{}\"\n", common::DATE),
        &format!("line = [{}, {}]\n", line("A", "239.192.12.111"), line("B", "239.192.12.112")),
    ]
    .concat()
}

/// `wirebook sim` in the exchange's namespace; killed when dropped.
struct Exchange(Child);

impl Exchange {
    /// Sessions of twenty seconds each. Line B is dead in the second 45 to 60, which leaves a busy host
    /// time to see that all is well before, and both lines from 64 to 65, in the fourth session.
    fn start(pair: &Pair) -> Self {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &pair.sender]);
        command.arg(common::command::<&str>(&[]).get_program());
        command.args(["sim", "--no-digest", "--interface", "tx0", "--date", common::DATE]);
        command.args(["--group", "239.192.12.111", "--group-b", "239.192.12.112"]);
        command.args(["--instruments", "20", "--messages", "20000", "--duration", "20"]);
        command.args(["--sessions", "40", "--dead", "b:45-60", "--dead", "ab:64-65"]);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        Self(command.spawn().unwrap())
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A thread of another process that stands until this is dropped: ptrace(2) stops one alone, which no
/// signal does.
struct Standing(Pid);

impl Standing {
    fn new(process: u32, name: &str) -> Self {
        let tasks = fs::read_dir(format!("/proc/{process}/task")).unwrap().flatten();
        let of_name = |path: &Path| {
            fs::read_to_string(path.join("comm")).is_ok_and(|comm| comm.trim_end() == name)
        };
        let task = tasks.map(|task| task.path()).find(|path| of_name(path));
        let task = task.unwrap_or_else(|| panic!("no thread {name}"));
        let thread = Pid::from_raw(task.file_name().unwrap().to_str().unwrap().parse().unwrap());
        ptrace::seize(thread, ptrace::Options::empty()).unwrap();
        ptrace::interrupt(thread).unwrap();
        waitpid(thread, Some(WaitPidFlag::__WALL)).unwrap();
        Self(thread)
    }
}

impl Drop for Standing {
    fn drop(&mut self) {
        let _ = ptrace::detach(self.0, None);
    }
}

#[test]
fn each_alert_fires_and_clears() {
    let Some(wire) = wire(1, 1) else { return };
    with_loopback(&wire);
    let folder = common::folder();
    let Some(prometheus) = Prometheus::start(&wire) else { return };
    let mut appliance = Appliance::start(&wire, &config(&folder), &[]);

    // Nobody sends: the channel is silent. Then all is well.
    prometheus.await_firing(&["WirebookChannelSilent"]);
    let exchange = Exchange::start(&wire);
    let is_live = || !prometheus.query("wirebook_channel_state{state=\"live\"} == 1").is_empty();
    assert!(within(PATIENCE, is_live), "{}", appliance.log());
    prometheus.await_calm();
    assert_scraped(&prometheus);
    assert_dashboard(&prometheus);

    // Line B is dead.
    prometheus.await_firing(&["WirebookLineDead"]);
    prometheus.await_clear(&["WirebookLineDead"]);

    // A gap on both lines, which nothing repairs: the channel is stale until the next session.
    let of_gap = ["WirebookGaps", "WirebookMessagesLost", "WirebookChannelStale"];
    prometheus.await_firing(&of_gap);
    prometheus.await_clear(&of_gap);

    // The recorder stands, and is lapped.
    let recorder = Standing::new(appliance.id(), "recorder");
    let records = || appliance.counter("shard_records{shard=\"0\"}").unwrap();
    let before = records();
    let lapped = within(PATIENCE, || records() > before + 2 * JOURNAL_SLOTS);
    drop(recorder);
    assert!(lapped, "{} records came", records() - before);
    prometheus.await_firing(&["WirebookOverruns"]);
    prometheus.await_clear(&["WirebookOverruns"]);

    // A shard stands.
    assert_eq!(get(&wire, "/healthz").status, 200);
    let shard = Standing::new(appliance.id(), "shard-0");
    prometheus.await_firing(&["WirebookNoProgress"]);
    let health = get(&wire, "/healthz");
    assert_eq!(health.status, 503);
    assert!(health.body.contains("shard-0"), "{}", health.body);
    drop(shard);
    prometheus.await_clear(&["WirebookNoProgress"]);
    assert_eq!(get(&wire, "/healthz").status, 200);

    // The appliance is down, and back.
    appliance.signal(Signal::SIGTERM);
    assert!(appliance.wait().success());
    prometheus.await_firing(&["WirebookDown"]);
    let appliance = Appliance::start(&wire, &config(&folder), &[]);
    prometheus.await_clear(&["WirebookDown"]);
    drop((exchange, appliance));
}

/// Prometheus has taken every family as the table has it, by its own parser.
fn assert_scraped(prometheus: &Prometheus<'_>) {
    let told = prometheus.ask("targets/metadata?limit=1000");
    let told = told.as_array().unwrap();
    let mut seen = 0;
    for family in FAMILIES {
        let name = family.exported_name();
        let is_it = |row: &&Value| {
            row["metric"].as_str() == Some(&name)
                || row["metric"].as_str()
                    == Some(name.trim_end_matches("_total").trim_end_matches("_info"))
        };
        let Some(row) = told.iter().find(is_it) else { continue };
        seen += 1;
        assert_eq!(row["type"], format!("{:?}", family.kind).to_lowercase(), "{name}");
        assert_eq!(row["help"], family.help, "{name}");
        assert_eq!(row["unit"], family.unit, "{name}");
    }
    // All but those of parts that this appliance does not have: machines, recovery, interval log.
    assert!(seen > FAMILIES.len() * 7 / 10, "{seen} of {}", FAMILIES.len());
    assert!(FAMILIES.iter().any(|family| family.kind == Kind::Histogram));
}

/// Every expression of the dashboard is one that Prometheus takes, and those of a running market have
/// something to show.
fn assert_dashboard(prometheus: &Prometheus<'_>) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/grafana/wirebook.json");
    let dashboard: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    let mut without = Vec::new();
    // A rate needs two looks.
    let all_show = within(PATIENCE, || {
        without = without_data(prometheus, &dashboard);
        without.is_empty()
    });
    assert!(all_show, "nothing is shown by {without:#?}");
}

/// The expressions of a dashboard that show nothing although nothing has to be wrong for it.
fn without_data(prometheus: &Prometheus<'_>, dashboard: &Value) -> Vec<String> {
    let mut empty = Vec::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().into_iter().flatten() {
            let expression = target["expr"].as_str().unwrap();
            let filled = ["$instance", "$channel"]
                .iter()
                .fold(expression.to_owned(), |text, name| text.replace(name, ".*"));
            if prometheus.query(&filled.replace("$__rate_interval", "10s")).is_empty() {
                empty.push(expression.to_owned());
            }
        }
    }
    // What is shown only where something is wrong.
    empty.retain(|expression| !expression.ends_with("> 0"));
    empty
}
