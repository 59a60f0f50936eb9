//! Packets lost before the appliance sees them: counted by the kernel, counted by the interface,
//! and shown apart.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;
#[path = "common/live.rs"]
mod live;

use live::net::{Pair, within};
use live::{Appliance, PATIENCE, channel, config, wire};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use std::fs;
use wirebook_simulator::Line;

const GROUP: &str = "239.192.12.111:26477";

fn small_ring() -> String {
    config("").replace("ring_size = 8192", "ring_size = 64") + &channel(0, "itch50", GROUP, "")
}

/// What an interface in the receiving namespace has lost since it was made, by the kernel's table
/// of interfaces: its column "drop" is `rx_dropped + rx_missed_errors` (`dev_seq_printf_stats` in
/// net/core/net-procfs.c).
fn dropped_by_table(pair: &Pair) -> u64 {
    let table = pair.receiving(|| fs::read_to_string("/proc/thread-self/net/dev").unwrap());
    let row = table.lines().find_map(|line| line.trim().strip_prefix("rx0:")).unwrap();
    row.split_whitespace().nth(3).unwrap().parse().unwrap()
}

#[test]
fn a_full_ring_is_the_kernels_drop_and_the_interfaces_apart() {
    let Some(wire) = wire(1, 1) else { return };
    // Something lost before the start: no matter of the run's.
    let mut frame = Vec::new();
    Line::new(GROUP.parse().unwrap()).frame(&[0; 20], &mut frame);
    let frames = vec![frame; 500];
    let before = Appliance::start(&wire, &small_ring(), &[]);
    flood(&wire, &before, &frames);
    before.signal(Signal::SIGTERM);
    before.summary();
    let lost_before = dropped_by_table(&wire);
    assert!(lost_before > 0, "a veth interface counts what its program cannot redirect");

    let appliance = Appliance::start(&wire, &small_ring(), &[]);
    flood(&wire, &appliance, &frames);
    appliance.signal(Signal::SIGUSR1);
    let lost = dropped_by_table(&wire) - lost_before;
    let line = format!("interface rx0: {lost} rx_dropped");
    assert!(within(PATIENCE, || appliance.log().contains(&line)), "{line}: {}", appliance.log());
    appliance.signal(Signal::SIGTERM);
    let summary = appliance.summary();
    let kernel: u64 =
        summary["drops"].as_object().unwrap().values().map(|count| count.as_u64().unwrap()).sum();
    assert!(kernel > 0, "{summary:#}");
    assert_eq!(summary["nic_drops"], nic_drops(lost), "{summary:#}");
}

#[test]
fn an_interface_that_loses_nothing_says_so() {
    let Some(wire) = wire(1, 1) else { return };
    let appliance = Appliance::start(&wire, &small_ring(), &[]);
    appliance.signal(Signal::SIGUSR1);
    let said = || appliance.log().contains("interface rx0: none lost");
    assert!(within(PATIENCE, said), "{}", appliance.log());
    appliance.signal(Signal::SIGTERM);
    assert_eq!(appliance.finish()["nic_drops"], nic_drops(0));
}

fn nic_drops(rx_dropped: u64) -> Value {
    json!([{
        "interface": "rx0",
        "rx_errors": 0,
        "rx_dropped": rx_dropped,
        "rx_missed_errors": 0,
        "rx_over_errors": 0,
        "rx_fifo_errors": 0,
    }])
}

/// Sends more than the ring holds to an appliance that stands still meanwhile.
fn flood(wire: &Pair, appliance: &Appliance, frames: &[Vec<u8>]) {
    appliance.stop();
    wire.send(0, frames);
    appliance.signal(Signal::SIGCONT);
}
