//! Each way in which the exchange sends: the appliance on AF_XDP at the other end of the wire ends
//! with the books that the exchange says are the true ones.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;
#[path = "common/live.rs"]
mod live;

use common::{SimulatedMarket, command, folder, replay};
use live::net::{Pair, inside};
use live::{Appliance, channel, config, sim, wire};
use serde_json::Value;
use wirebook_simulator::Line;

const GROUP: &str = "239.192.12.111:26477";

fn appliance(pair: &Pair) -> Appliance {
    let config = config("") + &channel(0, "itch50", GROUP, "");
    Appliance::start(pair, &config, &["--until-end-of-session"])
}

/// Plays a market at a pace that the link holds, and asserts that all of it arrived.
fn market_by(send: &str) -> Option<Value> {
    let pair = wire(1, 1)?;
    let appliance = appliance(&pair);
    let options = [
        "--interface",
        "tx0",
        "--send",
        send,
        "--seed",
        "9",
        "--instruments",
        "20",
        "--messages",
        "20000",
        "--duration",
        "2",
        "--date",
        common::DATE,
    ];
    let truth = sim(&pair, &options);
    let live = appliance.finish();
    for name in ["packets", "messages", "digest", "state_digest"] {
        assert_eq!(live[name], truth[name], "{name} by {send}: {live:#} {truth:#}");
    }
    assert_eq!(truth["refused"], 0);
    Some(live)
}

#[test]
fn a_market_by_af_packet() {
    market_by("frames");
}

#[test]
fn a_market_by_af_xdp() {
    let Some(live) = market_by("xdp") else { return };
    let packets = live["packets"].as_u64().unwrap();
    assert!(packets > 2_000, "{packets}: more than the ring's slots");
    assert_eq!(live["intake"]["steering"][0]["steered"], packets);
}

#[test]
fn a_market_by_af_xdp_in_copy_mode() {
    market_by("xdp-copy");
}

#[test]
fn a_market_by_udp_sockets() {
    market_by("socket");
}

#[test]
fn a_capture_by_af_xdp() {
    let Some(pair) = wire(1, 1) else { return };
    let folder = folder();
    let line = Line::new(GROUP.parse().unwrap());
    let capture = SimulatedMarket::on_line(&line, 12, 10, 6_000).write(&folder, "market.pcap");
    let capture = capture.to_str().unwrap();
    let appliance = appliance(&pair);
    let options = ["--capture", capture, "--interface", "tx0", "--send", "xdp", "--speed", "2"];
    let sent = sim(&pair, &options);
    let live = appliance.finish();
    let replayed = replay(&[capture, "--protocol", "itch50"]);
    assert_eq!((&live["packets"], &live["digest"]), (&sent["packets"], &replayed["digest"]));
}

#[test]
fn a_capture_is_not_for_udp_sockets() {
    let Some(pair) = wire(1, 1) else { return };
    let folder = folder();
    let line = Line::new(GROUP.parse().unwrap());
    let capture = SimulatedMarket::on_line(&line, 12, 1, 100).write(&folder, "market.pcap");
    let output = inside(&pair.sender, || {
        let mut sim = command(&["sim", "--interface", "tx0", "--send", "socket", "--capture"]);
        sim.arg(&capture).output().unwrap()
    });
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && error.contains("than socket"), "{error}");
}
