//! Lines, gaps and recovery on a wire: an exchange with faults in one namespace, the appliance on
//! AF_XDP in another. Each run ends with the true books, or says that it does not.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;
#[path = "common/live.rs"]
mod live;

use live::net::{Pair, ip};
use live::{Appliance, sim, wire};
use serde_json::Value;
use std::thread;

const RETRANSMIT: &str = "10.99.0.1:26500";
const OTHER_RETRANSMIT: &str = "10.99.0.1:26501";
const GLIMPSE: &str = "10.99.0.1:26600";

/// A wire on which the exchange can be reached by its servers' clients.
fn exchange_wire() -> Option<Pair> {
    let pair = wire(1, 1)?;
    ip(&["-n", &pair.sender, "address", "add", "10.99.0.1/24", "dev", "tx0"]);
    Some(pair)
}

/// Lines A and B of a channel with this recovery.
fn config(recovery: &str) -> String {
    let line = |name: &str, group: &str| {
        format!("{{ name = \"{name}\", interface = \"rx0\", group = \"{group}\", port = 26477 }}")
    };
    format!(
        "{}[[channel]]\nname = \"market\"\nprotocol = \"itch50\"\nworker = \"w0\"\ndate = \"{}\"\n\
         line = [{}, {}]\n[channel.recovery]\n{recovery}\n",
        live::config(""),
        common::DATE,
        line("A", "239.192.12.111"),
        line("B", "239.192.12.112"),
    )
}

fn retransmit(addresses: &[&str]) -> String {
    let servers: Vec<_> =
        addresses.iter().map(|address| format!("{{ address = \"{address}\" }}")).collect();
    format!("retransmit = [{}]\n", servers.join(", "))
}

/// Servers that are waited for as long as a busy host may take: they are all there is.
fn only_retransmit(addresses: &[&str]) -> String {
    retransmit(addresses) + "retransmit_deadline_ms = 20_000\n"
}

fn snapshot() -> String {
    format!(
        "snapshot = [{{ address = \"{GLIMPSE}\", username = \"user\", password = \"pass\" }}]\n"
    )
}

/// The exchange plays three seconds of a market on both lines, and stays a while.
fn exchange(pair: &Pair, options: &[&str]) -> Value {
    let standard = [
        "--interface",
        "tx0",
        "--group",
        "239.192.12.111",
        "--group-b",
        "239.192.12.112",
        "--seed",
        "5",
        "--instruments",
        "20",
        "--messages",
        "30000",
        "--duration",
        "3",
        "--date",
        common::DATE,
        "--linger",
        "4",
    ];
    sim(pair, &[&standard, options].concat())
}

/// Starts the appliance, then the exchange; gives what each printed at its end.
fn run(recovery: &str, options: &[&str]) -> Option<(Value, Value)> {
    run_by(&config(recovery), options)
}

fn run_by(config: &str, options: &[&str]) -> Option<(Value, Value)> {
    let pair = exchange_wire()?;
    let appliance = Appliance::start(&pair, config, &["--until-end-of-session"]);
    let truth = exchange(&pair, options);
    Some((appliance.finish(), truth))
}

/// Asserts that the books are the true ones and known to be so.
fn assert_healed(live: &Value, truth: &Value) {
    assert_eq!(live["state_digest"], truth["state_digest"], "{live:#}");
    assert_eq!(live["channels"][0]["state"], "live", "{live:#}");
    let stages = live["latency"]["stages"].as_array().unwrap();
    let healing = stages.iter().find(|stage| stage["stage"] == "gap→live").unwrap();
    eprintln!("first packet after a gap to live again: {healing}");
}

/// Asserts that lines and retransmission alone brought every message. The digest of all records
/// is another than that of an undisturbed run: those made while healing carry F_MAYBE_BAD_BOOK.
fn assert_nothing_lost(live: &Value, truth: &Value) {
    assert_healed(live, truth);
    assert_eq!(live["lost_messages"], 0, "{live:#}");
    assert_eq!(live["messages"], truth["messages"], "{live:#}");
}

#[test]
fn one_percent_loss_on_each_line_is_repaired_by_retransmission() {
    let options = ["--loss", "0.01", "--retransmit", RETRANSMIT];
    let Some((live, truth)) = run(&only_retransmit(&[RETRANSMIT]), &options) else { return };
    assert_nothing_lost(&live, &truth);
    assert!(live["duplicates"].as_u64().unwrap() > 0, "{live:#}");
}

/// Servers at which nobody is, until a reload names those of the venue.
#[test]
fn gaps_are_repaired_by_servers_that_a_reload_names() {
    let Some(pair) = exchange_wire() else { return };
    let wrong = config(&only_retransmit(&[OTHER_RETRANSMIT]));
    let appliance = Appliance::start(&pair, &wrong, &["--until-end-of-session"]);
    let options = ["--loss", "0.01", "--dead", "b:0-", "--retransmit", RETRANSMIT];
    let truth = thread::scope(|scope| {
        let exchange = scope.spawn(|| exchange(&pair, &options));
        appliance.await_packets(100);
        appliance.reloaded(&config(&only_retransmit(&[RETRANSMIT])));
        exchange.join().unwrap()
    });
    let live = appliance.finish();
    assert_nothing_lost(&live, &truth);
    assert!(live["arbitration"]["retransmitted_messages"].as_u64().unwrap() > 0, "{live:#}");
}

#[test]
fn line_b_dead_from_the_start_is_repaired_by_retransmission() {
    let options = ["--loss", "0.01", "--dead", "b:0-", "--retransmit", RETRANSMIT];
    let Some((live, truth)) = run(&only_retransmit(&[RETRANSMIT]), &options) else { return };
    assert_nothing_lost(&live, &truth);
    assert!(live["gaps"].as_u64().unwrap() > 0, "{live:#}");
    assert!(live["arbitration"]["retransmitted_messages"].as_u64().unwrap() > 0, "{live:#}");
    assert_eq!(live["channels"][0]["lines"][1]["packets"], 0, "{live:#}");
}

#[test]
fn both_lines_dead_for_two_seconds_are_repaired_by_retransmission() {
    let options = ["--dead", "ab:0.5-2.5", "--retransmit", RETRANSMIT];
    let Some((live, truth)) = run(&only_retransmit(&[RETRANSMIT]), &options) else { return };
    assert_nothing_lost(&live, &truth);
    assert!(live["missing_messages"].as_u64().unwrap() > 1_000, "{live:#}");
}

#[test]
fn gaps_are_repaired_with_inline_handlers() {
    let options = ["--loss", "0.01", "--dead", "ab:0.5-1.5", "--retransmit", RETRANSMIT];
    let config = live::inline(&config(&only_retransmit(&[RETRANSMIT])));
    let Some((live, truth)) = run_by(&config, &options) else { return };
    assert_nothing_lost(&live, &truth);
    assert!(live["missing_messages"].as_u64().unwrap() > 1_000, "{live:#}");
}

#[test]
fn glimpse_repairs_with_inline_handlers() {
    let options = ["--dead", "ab:0.5-1", "--glimpse", GLIMPSE];
    let Some((live, truth)) = run_by(&live::inline(&config(&snapshot())), &options) else { return };
    assert_healed(&live, &truth);
    assert!(live["arbitration"]["snapshots"].as_u64().unwrap() > 0, "{live:#}");
}

#[test]
fn without_recovery_a_gap_leaves_stale_books_with_inline_handlers() {
    let config = live::inline(&config(""));
    let Some((live, truth)) = run_by(&config, &["--dead", "ab:0.5-1"]) else { return };
    assert_ne!(live["state_digest"], truth["state_digest"], "{live:#}");
    assert_eq!(live["channels"][0]["state"], "stale", "{live:#}");
    assert!(live["lost_messages"].as_u64().unwrap() > 0, "{live:#}");
}

#[test]
fn a_dead_retransmit_server_is_left_for_the_next() {
    let silent = format!("{RETRANSMIT},silent");
    let options = ["--loss", "0.03", "--retransmit", &silent, "--retransmit", OTHER_RETRANSMIT];
    let servers = only_retransmit(&[RETRANSMIT, OTHER_RETRANSMIT]);
    let Some((live, truth)) = run(&servers, &options) else { return };
    assert_nothing_lost(&live, &truth);
}

#[test]
fn with_retransmission_dead_glimpse_repairs() {
    let silent = format!("{RETRANSMIT},silent");
    let options = ["--dead", "ab:0.5-1", "--retransmit", &silent, "--glimpse", GLIMPSE];
    let recovery = retransmit(&[RETRANSMIT]) + &snapshot() + "retransmit_deadline_ms = 200\n";
    let Some((live, truth)) = run(&recovery, &options) else { return };
    assert_healed(&live, &truth);
    assert!(live["arbitration"]["snapshots"].as_u64().unwrap() > 0, "{live:#}");
}

#[test]
fn a_start_in_mid_session_begins_from_glimpse() {
    let Some(pair) = exchange_wire() else { return };
    let (live, truth) = thread::scope(|scope| {
        let truth = scope.spawn(|| exchange(&pair, &["--glimpse", GLIMPSE]));
        pair.await_received(0, 2_000);
        let options = ["--until-end-of-session"];
        let appliance = Appliance::start(&pair, &config(&snapshot()), &options);
        let truth = truth.join().unwrap();
        (appliance.finish(), truth)
    });
    assert_healed(&live, &truth);
    assert!(live["arbitration"]["snapshots"].as_u64().unwrap() > 0, "{live:#}");
}

#[test]
fn with_all_recovery_dead_the_books_are_stale_and_never_live_again() {
    let silent = format!("{RETRANSMIT},silent");
    let refused = format!("{GLIMPSE},refuse");
    let options = ["--dead", "ab:0.5-1", "--retransmit", &silent, "--glimpse", &refused];
    let recovery = retransmit(&[RETRANSMIT])
        + &snapshot()
        + "retransmit_deadline_ms = 200\nsnapshot_deadline_ms = 500\n";
    let Some((live, truth)) = run(&recovery, &options) else { return };
    assert_ne!(live["state_digest"], truth["state_digest"], "{live:#}");
    assert_eq!(live["channels"][0]["state"], "stale", "{live:#}");
    assert!(live["lost_messages"].as_u64().unwrap() > 0, "{live:#}");
    assert_eq!(live["arbitration"]["snapshots"], 0, "{live:#}");
    assert!(live["recovery"].as_object().is_some(), "{live:#}");
}

#[test]
fn a_snapshot_that_goes_back_in_time_is_refused() {
    let back = format!("{GLIMPSE},back");
    let options = ["--dead", "ab:0.5-1", "--glimpse", &back];
    let recovery = snapshot() + "snapshot_deadline_ms = 500\n";
    let Some((live, _)) = run(&recovery, &options) else { return };
    assert_eq!(live["channels"][0]["state"], "stale", "{live:#}");
}

#[test]
fn a_lying_retransmit_server_spoils_nothing() {
    let lying = format!("{RETRANSMIT},lying");
    let options = ["--loss", "0.03", "--retransmit", &lying, "--retransmit", OTHER_RETRANSMIT];
    let servers = only_retransmit(&[RETRANSMIT, OTHER_RETRANSMIT]);
    let Some((live, truth)) = run(&servers, &options) else { return };
    assert_nothing_lost(&live, &truth);
}
