//! Hugepages, or none: the appliance runs on either, and says aloud what it lacks.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;
#[path = "common/live.rs"]
mod live;

use common::{SimulatedMarket, folder, outcome, replay};
use live::net::{Pair, within};
use live::{Appliance, PATIENCE, channel, config, play, wire};
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};

const GROUP: &str = "239.192.12.111:26477";

/// One test, as all of it depends on the one pool of the host.
#[test]
fn hugepages_are_used_where_there_are_some_and_missed_aloud_where_not() {
    let Some(wire) = wire(1, 1) else { return };
    let Some(mut pool) = HostPool::locked() else { return };
    let small = config("").replace("ring_size = 8192", "ring_size = 4096");
    let config = small + &channel(0, "itch50", GROUP, "");

    if !pool.set(256) {
        return common::skip("the host has no memory in whole 2 MiB pages");
    }
    let (on_hugepages, _) = run(&wire, &config);
    assert!(on_hugepages);

    assert!(pool.set(0));
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

/// The host's pool of 2 MiB hugepages, held alone and put back when dropped.
struct HostPool {
    file: File,
    pages_before: usize,
}

impl HostPool {
    fn locked() -> Option<Self> {
        let path = "/proc/sys/vm/nr_hugepages";
        let mut file = match OpenOptions::new().read(true).write(true).open(path) {
            Ok(file) => file,
            Err(error) => {
                common::skip(&format!("{path} cannot be written: {error}"));
                return None;
            }
        };
        // Tests of other crates do the same: one at a time.
        file.lock().unwrap();
        let mut text = String::new();
        file.read_to_string(&mut text).unwrap();
        Some(Self { file, pages_before: text.trim().parse().unwrap() })
    }

    /// Sets the size of the pool; false where as many pages are not free then. Pages that a process
    /// has just left come back a moment later, so that is waited for.
    fn set(&mut self, pages: usize) -> bool {
        self.file.rewind().unwrap();
        self.file.write_all(pages.to_string().as_bytes()).unwrap();
        within(PATIENCE, || meminfo("HugePages_Total:") <= pages);
        meminfo("HugePages_Free:") >= pages
    }
}

/// A number of `/proc/meminfo`.
fn meminfo(name: &str) -> usize {
    let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap();
    let line = meminfo.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.trim().parse().unwrap()
}

impl Drop for HostPool {
    fn drop(&mut self) {
        self.set(self.pages_before);
    }
}
