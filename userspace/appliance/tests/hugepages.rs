//! Hugepages, or none: the appliance runs on either, and says aloud what it lacks.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;
#[path = "common/live.rs"]
mod live;
#[path = "../../hugevec/tests/common/pool.rs"]
mod pool;

use common::{SimulatedMarket, folder, outcome, replay};
use live::net::Pair;
use live::{Appliance, channel, config, play, wire};
use pool::Pool;

const GROUP: &str = "239.192.12.111:26477";

/// One test, as all of it depends on the one pool of the host.
#[test]
fn hugepages_are_used_where_there_are_some_and_missed_aloud_where_not() {
    let Some(wire) = wire(1, 1) else { return };
    let Some(mut pool) = Pool::of(256) else { return };
    let small = config("").replace("ring_size = 8192", "ring_size = 4096");
    let config = small + &channel(0, "itch50", GROUP, "");

    let (on_hugepages, _) = run(&wire, &config);
    assert!(on_hugepages);

    pool.set(0);
    let (on_hugepages, log) = run(&wire, &config);
    assert!(!on_hugepages);
    // The segment, the UMEM and the tables each say so.
    let warnings = log.lines().filter(|line| line.contains("WARN") && line.contains("hugepages"));
    assert!(warnings.count() >= 3, "{log}");

    let gigabytes = config.replace("[segment]", "[segment]\nhugepages = \"1GiB\"");
    let (_, log) = run(&wire, &gigabytes);
    assert!(log.contains("no 1 GiB hugepages"), "{log}");
}

/// Plays a market, which must come through whole: whether the UMEM lay on hugepages, and the log.
fn run(wire: &Pair, config: &str) -> (bool, String) {
    let folder = folder();
    let market = SimulatedMarket::new(45, 10, 3_000).write(&folder, "market.pcap");
    let appliance = Appliance::start(wire, config, &["--until-end-of-session"]);
    play(wire, 0, &market);
    let log = appliance.log();
    let live = appliance.finish();
    let replayed = replay(&[market.to_str().unwrap(), "--protocol", "itch50"]);
    assert_eq!(outcome(&live), outcome(&replayed));
    (live["intake"]["sockets"][0]["hugepages"] == true, log)
}
