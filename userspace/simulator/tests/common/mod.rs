//! What these tests share: a small market in packets, and the test data.
#![allow(dead_code, reason = "each test program uses a part of it")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use wirebook_simulator::{Exchange, Market, MarketConfig, Packet, PacketConfig, Packets};

/// The packets of a market of this seed.
pub(crate) fn packets(seed: u64, messages: u64) -> Vec<Packet> {
    let config = MarketConfig {
        seed,
        instruments: 8,
        messages,
        duration_ns: 2_000_000_000,
        ..MarketConfig::default()
    };
    Packets::new(Market::new(config).unwrap(), PacketConfig::default()).collect()
}

/// An exchange that has said all of these packets.
pub(crate) fn exchange(packets: &[Packet]) -> Exchange {
    let mut exchange = Exchange::new(PacketConfig::default().session);
    for packet in packets {
        exchange.publish(packet).unwrap();
    }
    exchange
}

/// A file of the test data; `None`, with a line that says so, where it is absent.
pub(crate) fn data(path: &str) -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let folder = std::env::var_os("WIREBOOK_DATA").map_or(beside, PathBuf::from);
    let file = folder.join(path);
    if !file.exists() {
        eprintln!("SKIP: no test data at {}", file.display());
        return None;
    }
    Some(file)
}
