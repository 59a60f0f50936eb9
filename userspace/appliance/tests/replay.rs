//! `wirebook replay` on captures that were made elsewhere, on markets whose books are known, and on
//! the same packets in every kind of file.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{LIMITS, SimulatedMarket, all_books, data, folder, outcome, replay, write};
use serde_json::Value;
use std::path::PathBuf;

const DEEP: &str = "iex/deep-2023-10-02.pcap.gz";
const ES: [&str; 2] =
    ["dbn-mbo/esh4-glbx-mdp3-20231224.mbo.dbn.zst", "dbn-mbo/esh4-glbx-mdp3-20231225.mbo.dbn.zst"];

/// The recordings of the Christmas session, in order.
fn es_files() -> Option<[PathBuf; 2]> {
    let [first, second] = ES.map(data);
    Some([first?, second?])
}

fn arguments<'a>(files: &'a [PathBuf], options: &[&'a str]) -> Vec<&'a str> {
    files.iter().map(|file| file.to_str().unwrap()).chain(options.iter().copied()).collect()
}

#[test]
fn the_iex_deep_capture_has_its_counts() {
    let Some(capture) = data(DEEP) else { return };
    // With the limits that a user gets.
    let capture = capture.to_str().unwrap();
    let printed = common::text(&["replay", capture, "--protocol", "iex-deep", "--json"]);
    let summary: Value = serde_json::from_str(&printed).unwrap();
    for (name, count) in [
        ("packets", 5_000),
        ("messages", 48_325),
        ("heartbeats", 1_264),
        ("gaps", 0),
        ("missing_messages", 0),
        ("malformed_packets", 0),
        ("other_packets", 0),
        ("duplicates", 0),
    ] {
        assert_eq!(summary[name], count, "{name}");
    }
    assert_eq!(summary["book_counters"]["crossed_events"], 0);
    for counter in ["truncated_files", "damaged_files", "short_packets"] {
        assert_eq!(summary["input"][counter], 0, "{counter}");
    }
    // Every count that the issue promises is there.
    for name in ["records", "unknown_messages", "instruments"] {
        assert!(summary[name].is_u64(), "{name}");
    }
    assert_eq!(summary["digest"].as_str().unwrap().len(), 16);
}

#[test]
fn the_cme_recordings_end_with_the_known_book() {
    let Some(files) = es_files() else { return };
    let summary = replay(&arguments(&files, &["--book", "17077", "--depth", "3"]));
    let book = &summary["books"]["17077"];
    assert_eq!(book["bid_levels"], 922);
    assert_eq!(book["ask_levels"], 565);
    assert_eq!(book["bids"][0][0], "4810.00");
    assert_eq!(book["asks"][0][0], "4810.25");
    assert_eq!(book["sequence"], 59_585);
    assert_eq!(book["bids"].as_array().unwrap().len(), 3);
    assert_eq!(summary["messages"], 8_725 + 68_792);
    assert_eq!(summary["input"]["skipped_records"], 0);
    assert_eq!(summary["input"]["malformed_records"], 0);
}

#[test]
fn the_order_of_the_files_matters() {
    let Some([first, second]) = es_files() else { return };
    let forwards = replay(&arguments(&[first.clone(), second.clone()], &[]));
    let backwards = replay(&arguments(&[second, first], &[]));
    assert_eq!(forwards["messages"], backwards["messages"]);
    assert_ne!(forwards["digest"], backwards["digest"]);
}

#[test]
fn books_are_those_that_the_exchange_keeps() {
    let folder = folder();
    for (seed, instruments) in [(1, 12), (2, 1), (3, 40)] {
        let market = SimulatedMarket::new(seed, instruments, 8_000);
        let capture = market.write(&folder, "market.pcap");
        let mut arguments = all_books(&market.symbols());
        arguments.extend([capture.to_str().unwrap(), "--protocol", "itch50"].map(str::to_owned));
        let summary = replay(&arguments);
        assert_eq!(summary["messages"], 8_000);
        assert_eq!(summary["instruments"], instruments);
        assert_eq!(summary["ends_of_session"], 3);
        assert_eq!(summary["book_counters"]["crossed_events"], 0);
        market.assert_books(&summary["books"]);
    }
}

#[test]
fn any_number_of_shards_has_the_same_digest_on_iex() {
    let Some(capture) = data(DEEP) else { return };
    same_for_all_shards(&arguments(&[capture], &["--protocol", "iex-deep"]));
}

#[test]
fn any_number_of_shards_has_the_same_digest_on_es() {
    let Some(files) = es_files() else { return };
    same_for_all_shards(&arguments(&files, &[]));
}

#[test]
fn any_number_of_shards_has_the_same_digest_on_a_market() {
    let folder = folder();
    let market = SimulatedMarket::new(5, 30, 6_000);
    let capture = market.write(&folder, "market.pcap");
    let itch = ["--protocol", "itch50"];
    same_for_all_shards(&arguments(std::slice::from_ref(&capture), &itch));
    // Each shard that a packet's events reach is told of the packet: when it came.
    let split = replay(&arguments(&[capture], &[&itch[..], &["--shards", "4"]].concat()));
    let reached = split["book_counters"]["packets"].as_u64().unwrap();
    let with_messages = market.frames.iter().filter(|(_, frame)| frame.len() > 62).count();
    assert!(reached > with_messages as u64, "{reached} for {with_messages}");
}

fn same_for_all_shards(arguments: &[&str]) {
    let on = |shards: &str| outcome(&replay(&[arguments, &["--shards", shards]].concat()));
    let one = on("1");
    assert!(one["records"].as_u64().unwrap() > 0);
    for shards in ["2", "4"] {
        assert_eq!(on(shards), one, "{shards} shards");
    }
}

#[test]
fn another_market_has_another_digest() {
    let folder = folder();
    let digest = |seed| {
        let capture = SimulatedMarket::new(seed, 5, 1_000).write(&folder, "market.pcap");
        replay(&arguments(&[capture], &["--protocol", "itch50"]))["digest"].clone()
    };
    assert_ne!(digest(1), digest(2));
    assert_eq!(digest(1), digest(1));
}

#[test]
fn every_kind_of_file_of_a_market_has_the_same_digest() {
    let market = SimulatedMarket::new(6, 10, 4_000);
    same_in_all_files(&market.frames, "itch50");
}

#[test]
fn every_kind_of_file_of_the_iex_capture_has_the_same_digest() {
    let Some(capture) = data(DEEP) else { return };
    same_in_all_files(&common::frames_of(&capture), "iex-deep");
}

fn same_in_all_files(frames: &[(u64, Vec<u8>)], protocol: &str) {
    let folder = folder();
    let (pcap, pcapng) = (common::pcap_file(frames), common::pcapng_file(frames));
    let files = [
        ("plain.pcap", pcap.clone()),
        ("plain.pcapng", pcapng.clone()),
        ("packed.pcap.gz", common::gzip(&pcap)),
        ("packed.pcap.zst", common::zstd(&pcap)),
        ("packed.pcapng.gz", common::gzip(&pcapng)),
        ("packed.pcapng.zst", common::zstd(&pcapng)),
        ("microseconds.pcap", microseconds(frames)),
        // What a file is called does not say what it is.
        ("misnamed", common::gzip(&pcapng)),
    ];
    let mut expected: Option<Value> = None;
    for (name, bytes) in files {
        let file = write(&folder, name, bytes);
        let found = outcome(&replay(&arguments(&[file], &["--protocol", protocol])));
        assert_eq!(found["packets"], frames.len(), "{name}");
        assert_eq!(*expected.get_or_insert_with(|| found.clone()), found, "{name}");
    }
}

/// A pcap file with microsecond times.
fn microseconds(frames: &[(u64, Vec<u8>)]) -> Vec<u8> {
    let mut file = common::pcap_file(&[]);
    file[..4].copy_from_slice(&0xa1b2_c3d4_u32.to_le_bytes());
    for (ts_ns, frame) in frames {
        let (seconds, rest_ns) = (ts_ns / 1_000_000_000, ts_ns % 1_000_000_000);
        let length = frame.len() as u32;
        for field in [seconds as u32, (rest_ns / 1_000) as u32, length, length] {
            file.extend(field.to_le_bytes());
        }
        file.extend(frame);
    }
    file
}

#[test]
fn a_market_cut_into_files_is_one_market() {
    let market = SimulatedMarket::new(7, 10, 3_000);
    let folder = folder();
    let whole = market.write(&folder, "whole.pcap");
    let (early, late) = market.frames.split_at(market.frames.len() / 2);
    let parts = [
        write(&folder, "early.pcap", common::pcap_file(early)),
        write(&folder, "late.pcapng.gz", common::gzip(&common::pcapng_file(late))),
    ];
    let itch = ["--protocol", "itch50"];
    assert_eq!(
        outcome(&replay(&arguments(&parts, &itch))),
        outcome(&replay(&arguments(&[whole], &itch)))
    );
}

#[test]
fn wiped_addresses_are_no_hindrance() {
    let market = SimulatedMarket::new(8, 10, 2_000);
    let folder = folder();
    let whole = market.write(&folder, "whole.pcap");
    let known = outcome(&replay(&arguments(&[whole], &["--protocol", "itch50"])));
    // Ethernet, IPv4 and UDP addresses: all zero, and as an anonymiser makes them, all different.
    let zeroed = wiped(&market.frames, |_| 0);
    let scattered = wiped(&market.frames, |packet| (packet * 7 + 1) as u8);
    for (name, frames) in [("zeroed.pcap", zeroed), ("scattered.pcap", scattered)] {
        let file = write(&folder, name, common::pcap_file(&frames));
        let itch = ["--protocol", "itch50", "--any-destination"];
        assert_eq!(outcome(&replay(&arguments(&[file], &itch))), known, "{name}");
    }
}

/// Overwrites every address of each packet with `filler` of its number.
fn wiped(frames: &[(u64, Vec<u8>)], filler: impl Fn(usize) -> u8) -> Vec<(u64, Vec<u8>)> {
    let wipe = |(packet, (ts_ns, frame)): (usize, &(u64, Vec<u8>))| {
        let mut frame = frame.clone();
        frame[..12].fill(filler(packet));
        // Source and destination address, source and destination port.
        frame[26..38].fill(filler(packet));
        (*ts_ns, frame)
    };
    frames.iter().enumerate().map(wipe).collect()
}

#[test]
fn a_config_names_the_lines() {
    let market = SimulatedMarket::new(9, 4, 1_000);
    let folder = folder();
    let capture = market.write(&folder, "market.pcap");
    let config = |port: u16| {
        let text = format!(
            "[[worker]]\nname = \"w\"\ninterface = [{{ name = \"eth0\" }}]\n[[shard]]\n\
             [[channel]]\nname = \"itch\"\nprotocol = \"itch50\"\nworker = \"w\"\n\
             line = [{{ name = \"A\", interface = \"eth0\", group = \"239.192.12.111\", port = {port} }}]\n"
        );
        write(&folder, &format!("{port}.toml"), text).to_str().unwrap().to_owned()
    };
    let capture = capture.to_str().unwrap();
    let found = outcome(&replay(&[capture, "--protocol", "itch50"]));
    assert_eq!(outcome(&replay(&[capture, "--config", &config(26_477)])), found);
    let other = replay(&[capture, "--config", &config(26_478)]);
    assert_eq!(other["packets"], 0);
    assert_eq!(other["other_packets"], market.frames.len());
}

#[test]
fn the_lines_of_a_capture_are_printed_as_a_config() {
    let folder = folder();
    let market = SimulatedMarket::new(13, 4, 500).write(&folder, "market.pcap");
    let mut captures = vec![(Some(market), "itch50")];
    captures.push((data(DEEP), "iex-deep"));
    captures.push((data("nasdaq-itch/Multiple.Packets.pcap"), "itch50"));
    for (capture, protocol) in captures {
        let Some(capture) = capture else { continue };
        let capture = capture.to_str().unwrap();
        let lines = ["lines", capture, "--protocol", protocol, "--interface", "eth0"];
        let config = write(&folder, "lines.toml", common::text(&lines));
        let config = config.to_str().unwrap();
        assert!(common::text(&["run", "--check", "--config", config]).contains("ok"));
        let found = outcome(&replay(&[capture, "--protocol", protocol]));
        assert!(found["messages"].as_u64().unwrap() > 0);
        assert_eq!(outcome(&replay(&[capture, "--config", config])), found);
    }
}

#[test]
fn gaps_and_duplicates_are_counted_apart() {
    let market = SimulatedMarket::new(10, 4, 2_000);
    let folder = folder();
    let mut frames = market.frames.clone();
    // One packet of messages is missing, another comes twice.
    let missing = &frames.remove(40).1;
    let missing_messages = u64::from(u16::from_be_bytes(missing[60..62].try_into().unwrap()));
    frames.insert(21, frames[20].clone());
    let file = write(&folder, "damaged.pcap", common::pcap_file(&frames));
    let summary = replay(&arguments(&[file], &["--protocol", "itch50", "--book", "WB001"]));
    assert_eq!(summary["gaps"], 1);
    assert_eq!(summary["missing_messages"], missing_messages);
    assert_eq!(summary["duplicates"], 1);
    assert_eq!(summary["messages"], 2_000 - missing_messages);
    assert_eq!(summary["books"]["WB001"]["state"], "stale");
    assert_eq!(summary["books"]["WB001"]["stale_reason"], "gap");
}

#[test]
fn text_says_what_json_says() {
    let folder = folder();
    let capture = SimulatedMarket::new(11, 3, 500).write(&folder, "market.pcap");
    let capture = capture.to_str().unwrap();
    let options = [capture, "--protocol", "itch50", "--book", "WB001"];
    let summary = replay(&options);
    let text = common::text(&[&["replay"][..], &LIMITS, &options].concat());
    assert!(text.contains(summary["digest"].as_str().unwrap()), "{text}");
    assert!(text.contains("WB001 (live)"), "{text}");
    let best = summary["books"]["WB001"]["bids"][0][0].as_str().unwrap();
    assert!(text.contains(best), "{best} in {text}");
}

#[test]
fn a_seed_writes_the_same_market_each_time() {
    let folder = folder();
    let written = ["first.pcap", "second.pcap"].map(|name| {
        let file = folder.path().join(name);
        let seed = ["sim", "--seed", "12", "--instruments", "6", "--messages", "1500"];
        let write = ["--json", "--write", file.to_str().unwrap()];
        let sent: Value =
            serde_json::from_str(&common::text(&[&seed[..], &write].concat())).unwrap();
        let summary = replay(&[file.to_str().unwrap(), "--protocol", "itch50"]);
        assert_eq!((&sent["messages"], &summary["messages"]), (&1_500.into(), &1_500.into()));
        assert_eq!((&sent["packets"], &summary["gaps"]), (&summary["packets"], &0.into()));
        std::fs::read(file).unwrap()
    });
    assert_eq!(written[0], written[1]);
}
