//! The same input on 1, 2 and 4 shards: every book and every machine of every instrument ends with
//! the same digest, on recorded flows, captures and generated sessions.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{SimulatedMarket, data, folder};
use std::collections::BTreeMap;
use std::path::PathBuf;
use wirebook::cli::{InputArgs, LimitArgs};
use wirebook::config::{CheckConfig, MachinesConfig};
use wirebook::replay::{Behind, Replay, Replayed};
use wirebook_machine::machines;
use wirebook_wire::Protocol;

const LIMITS: LimitArgs =
    LimitArgs { instruments_max: 16_384, orders_max: 65_536, levels_max: 32_768 };

fn input(files: &[PathBuf], protocol: Option<Protocol>) -> InputArgs {
    let files = files.to_vec();
    InputArgs { files, protocol, any_destination: false, config: None, date: None }
}

/// Every machine behind every book, fed ends of intervals as often as `interval_ms` says.
fn behind(interval_ms: u64) -> Behind {
    let run = machines::names().map(str::to_owned).collect();
    Behind {
        machines: MachinesConfig { run, interval_ms, ..MachinesConfig::default() },
        ..Behind::default()
    }
}

/// The digests of a replay: of each book, and of each machine by its name.
#[derive(Debug, Default, PartialEq, Eq)]
struct Digests {
    books: BTreeMap<(u8, u32), u64>,
    machines: BTreeMap<(String, u8, u32), u64>,
}

fn digests(input: &InputArgs, interval_ms: u64, shards: usize) -> Digests {
    let sinks = (0..shards).map(|_| ());
    let Replayed { shards, .. } = Replay::with(input, LIMITS, &behind(interval_ms), sinks).unwrap();
    let mut digests = Digests::default();
    for shard in &shards {
        let books = shard.books().digests().map(|(channel, id, digest)| ((channel, id), digest));
        digests.books.extend(books);
        for (name, channel, id, digest) in shard.machine_digests() {
            let before = digests.machines.insert((name.to_owned(), channel, id), digest);
            assert_eq!(before, None, "an instrument has one shard");
        }
        for (name, counters) in shard.machines().counters() {
            assert_eq!(counters.faults, 0, "{name}");
        }
    }
    digests
}

fn same_on_any_number_of_shards(files: &[PathBuf], protocol: Option<Protocol>) {
    for interval_ms in [10, 1_000] {
        let input = input(files, protocol);
        let one = digests(&input, interval_ms, 1);
        assert!(!one.books.is_empty() && one.machines.len() >= one.books.len() * 8);
        assert_machines_saw_something(&one);
        for shards in [2, 4] {
            let many = digests(&input, interval_ms, shards);
            assert_eq!(many.books, one.books, "{shards} shards");
            for (machine, digest) in &one.machines {
                let found = many.machines.get(machine);
                assert_eq!(found, Some(digest), "{machine:?} on {shards} shards");
            }
            assert_eq!(many.machines.len(), one.machines.len(), "{shards} shards");
        }
    }
}

/// Machines of one kind do not all have the same state.
fn assert_machines_saw_something(digests: &Digests) {
    if digests.books.len() < 3 {
        return;
    }
    for kind in ["statistics", "trading-status"] {
        let of_kind = digests.machines.iter().filter(|((name, ..), _)| name == kind);
        let mut states: Vec<u64> = of_kind.map(|(_, digest)| *digest).collect();
        states.sort_unstable();
        states.dedup();
        assert!(states.len() > 1, "{kind}");
    }
}

#[test]
fn the_es_recordings() {
    let Some(files) = es_files() else { return };
    same_on_any_number_of_shards(&files, None);
}

/// The recordings of the Christmas session, in order.
fn es_files() -> Option<[PathBuf; 2]> {
    let [first, second] = ["20231224", "20231225"]
        .map(|day| data(&format!("dbn-mbo/esh4-glbx-mdp3-{day}.mbo.dbn.zst")));
    Some([first?, second?])
}

#[test]
fn the_iex_deep_capture() {
    let Some(capture) = data("iex/deep-2023-10-02.pcap.gz") else { return };
    same_on_any_number_of_shards(&[capture], Some(Protocol::IexDeep));
}

#[test]
fn generated_sessions_with_halts_and_auctions() {
    let folder = folder();
    let mut halted_everywhere = 0;
    for seed in 1..=4 {
        let market = SimulatedMarket::new(seed, 13, 8_000);
        halted_everywhere += u32::from(says(&market, b'W'));
        assert!(says(&market, b'I') && says(&market, b'Q') && says(&market, b'H'));
        let file = market.write(&folder, &format!("market-{seed}.pcap"));
        same_on_any_number_of_shards(&[file], Some(Protocol::Itch50));
    }
    assert!(halted_everywhere > 0, "no seed with a market-wide halt");
}

/// True where a message of this type is in a packet of the market.
fn says(market: &SimulatedMarket, kind: u8) -> bool {
    let payloads = market.frames.iter().map(|(_, frame)| &frame[42..]);
    payloads.into_iter().any(|payload| {
        let packet = wirebook_wire::moldudp64::parse(payload).unwrap();
        packet.blocks.map_while(Result::ok).any(|message| message[0] == kind)
    })
}

/// Several sessions of several channels in one input: their times are cut into intervals apart.
#[test]
fn two_channels_whose_times_are_far_apart() {
    let folder = folder();
    let line = |group: &str| wirebook_simulator::Line::new(group.parse().unwrap());
    let first = SimulatedMarket::on_line(&line("239.192.12.111:26477"), 21, 7, 5_000);
    let second = SimulatedMarket::on_line(&line("239.192.12.112:26477"), 22, 9, 5_000);
    let mut frames = [first.frames, second.frames].concat();
    frames.sort();
    let file = common::write(&folder, "two.pcap", common::pcap_file(&frames));
    same_on_any_number_of_shards(&[file], Some(Protocol::Itch50));
}

/// The self-check of these instruments over an input: ends of events compared, and differences.
fn checked(input: &InputArgs, shadow: &[&str], shards: usize) -> (u64, u64) {
    let shadow = shadow.iter().map(|&name| name.to_owned()).collect();
    let behind = Behind { check: CheckConfig { shadow }, ..Behind::default() };
    let replayed = Replay::with(input, LIMITS, &behind, (0..shards).map(|_| ())).unwrap();
    let counters = replayed.shards.iter().map(|shard| shard.check_counters());
    counters.fold((0, 0), |sum, next| (sum.0 + next.comparisons, sum.1 + next.differences))
}

#[test]
fn the_self_check_finds_no_difference_in_recorded_and_generated_flow() {
    let folder = folder();
    let market = SimulatedMarket::new(9, 12, 12_000);
    let file = market.write(&folder, "market.pcap");
    let itch = input(&[file], Some(Protocol::Itch50));
    for shards in [1, 2] {
        let (comparisons, differences) = checked(&itch, &["WB001", "WB002", "3"], shards);
        assert!(comparisons > 3_000, "{comparisons}");
        assert_eq!(differences, 0);
    }
    if let Some(deep) = data("iex/deep-2023-10-02.pcap.gz") {
        let deep = input(&[deep], Some(Protocol::IexDeep));
        let ids: Vec<String> = (0..400).map(|id| id.to_string()).collect();
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        let (comparisons, differences) = checked(&deep, &ids, 2);
        assert!(comparisons > 500, "{comparisons}");
        assert_eq!(differences, 0);
    }
}

/// Half a minute, as the model walks over all orders at each event's end: one file is enough.
#[test]
fn the_self_check_finds_no_difference_on_es() {
    let Some([_, second]) = es_files() else { return };
    let (comparisons, differences) = checked(&input(&[second], None), &["17077"], 1);
    assert_eq!((comparisons, differences), (47_022, 0));
}
