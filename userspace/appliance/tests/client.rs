//! Readers of a running appliance, each another process: what they read is what a replay makes, and
//! nothing that becomes of either side harms the other.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;
#[path = "common/live.rs"]
mod live;
#[path = "common/stage.rs"]
mod stage;

use common::{folder, plain_levels, replay};
use dbn::decode::{DbnDecoder, DecodeRecord, DecodeRecordRef};
use dbn::{Action, MboMsg, Mbp1Msg, OhlcvMsg, TradeMsg, rtype};
use live::net::within;
use live::{Appliance, PATIENCE, wire};
use nix::sys::signal::Signal;
use serde_json::Value;
use stage::{Stage, at, records_of};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use wirebook_client::{BookState, Level, Session};

const SCRIBBLED: &str = "WIREBOOK_TEST_SOCKET";

#[test]
fn a_reader_reads_what_a_replay_makes() {
    let Some(stage) = Stage::new(51) else { return };
    let appliance = stage.start(2, &["--until-end-of-session"]);
    let tail = stage.tail(&["--format", "dbn", "--until-end"]);
    stage.play();
    appliance.finish();
    let read = records_of(&tail.finish());
    let expected = records_of(&stage.replayed("all"));
    assert!(expected.values().map(Vec::len).sum::<usize>() > 6_000);
    assert_eq!(read.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
    for (id, records) in expected {
        // What is of the whole market is made by each shard, in an order of its own.
        if id != 0 {
            assert!(read[&id] == records, "instrument {id}: {} records", records.len());
        }
    }
    assert!(!stage.socket().exists(), "the socket's file is left behind");
}

#[test]
fn books_on_the_board_are_the_true_ones() {
    let Some(stage) = Stage::new(52) else { return };
    let appliance = stage.start(2, &[]);
    let session = Session::connect(stage.socket()).unwrap();
    let mut books = session.books().unwrap();
    stage.play();
    appliance.await_packets(stage.market.frames.len() as u64);
    let plain = |levels: &[Level]| -> Vec<_> {
        let level = |l: &Level| (l.price / 100_000, l.size, u64::from(l.orders));
        levels.iter().map(level).collect()
    };
    let symbols = stage.market.symbols();
    for symbol in &symbols {
        let expected = stage.market.market.expected_book(symbol).unwrap();
        let ten = |levels| plain_levels(levels).into_iter().take(10).collect::<Vec<_>>();
        let expected = (ten(&expected.bids), ten(&expected.asks));
        let mut found = Default::default();
        let same = within(PATIENCE, || {
            let Ok(book) = books.book(symbol) else { return false };
            assert_eq!(book.state(), BookState::Live);
            found = (plain(book.bids()), plain(book.asks()));
            found == expected
        });
        assert!(same, "{symbol}: {found:?} is not {expected:?}");
        // A reader that begins now begins with this book.
        let instrument = books.directory().find(symbol).next().unwrap().clone();
        let joined = session.records().unwrap().join(&books, &instrument, PATIENCE).unwrap();
        assert_eq!((plain(joined.bids()), plain(joined.asks())), expected);
        // The command shows the same.
        let socket = stage.socket();
        let socket = socket.to_str().unwrap();
        let shown = common::text(&["book", symbol, "--socket", socket, "--once", "--json"]);
        let shown: Value = serde_json::from_str(&shown).unwrap();
        let shown = (common::levels_of(&shown["bids"]), common::levels_of(&shown["asks"]));
        assert_eq!(shown, expected);
    }
    let socket = stage.socket();
    let socket = socket.to_str().unwrap();
    let ladder = common::text(&["book", &symbols[0], "--socket", socket, "--once"]);
    assert!(ladder.contains("(live)") && ladder.contains('█') && !ladder.contains('\x1b'));
    common::fails(&["book", "NOSUCH", "--socket", socket, "--once"], 1, &["NOSUCH"]);
}

#[test]
fn readers_find_the_next_start_by_themselves() {
    let Some(stage) = Stage::new(53) else { return };
    let mut first = stage.start(1, &[]);
    let mut tail = stage.tail(&["--format", "json", "--schema", "mbo"]);
    first.signal(Signal::SIGKILL);
    first.wait();
    assert!(stage.socket().exists());
    assert!(within(PATIENCE, || tail.log().contains("the appliance is gone")), "{}", tail.log());
    // What a killed appliance left behind is replaced.
    let second = stage.start(1, &[]);
    assert!(second.log().contains("was left behind"), "{}", second.log());
    assert!(within(PATIENCE, || tail.log().contains("the appliance is back")), "{}", tail.log());
    stage.play();
    let expected = records_of(&stage.replayed("mbo")).values().map(Vec::len).sum::<usize>();
    let lines = || fs::read_to_string(&tail.output).unwrap().lines().count();
    let all = within(PATIENCE, || lines() == expected);
    assert!(all, "{} of {expected} records; {}", lines(), tail.log());
    assert!(tail.child.try_wait().unwrap().is_none());
    second.signal(Signal::SIGTERM);
    second.finish();
    assert!(within(PATIENCE, || tail.log().matches("appliance is gone").count() == 2));
    tail.signal(Signal::SIGTERM);
    tail.finish();
}

#[test]
fn a_reader_that_scribbles_falls_alone() {
    let Some(stage) = Stage::new(55) else { return };
    let appliance = stage.start(1, &["--until-end-of-session"]);
    let mut scribbler = Command::new(std::env::current_exe().unwrap());
    scribbler.args(["--exact", "the_scribbler"]).env(SCRIBBLED, stage.socket());
    let output = scribbler.output().unwrap();
    let log = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.signal(), Some(Signal::SIGSEGV as i32), "{log}");
    stage.play();
    let live = appliance.finish();
    let replayed = replay(&[stage.capture.to_str().unwrap(), "--protocol", "itch50"]);
    assert_eq!(live["digest"], replayed["digest"]);
}

/// The other process: writes where its session has mapped the segment.
#[test]
#[allow(unsafe_code, reason = "the test writes where nobody may")]
fn the_scribbler() {
    let Some(socket) = std::env::var_os(SCRIBBLED) else { return };
    let _session = Session::connect(PathBuf::from(socket)).unwrap();
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let map = maps.lines().find(|line| line.contains("memfd:wirebook")).unwrap();
    assert!(map.contains(" r--s "), "{map}");
    let start = usize::from_str_radix(map.split('-').next().unwrap(), 16).unwrap();
    let first_byte = std::ptr::with_exposed_provenance_mut::<u8>(start);
    // SAFETY: none: the page is read-only, and the process is to be killed for this.
    unsafe { first_byte.write_volatile(0) };
}

#[test]
fn one_appliance_a_socket() {
    let Some(stage) = Stage::new(56) else { return };
    let first = stage.start(1, &[]);
    let other = wire(1, 1).unwrap();
    let mut second = Appliance::spawn(&other, &at(&stage.socket(), 1), &[]);
    assert_eq!(second.wait().code(), Some(1));
    let words = ["wirebook.sock", "another appliance answers there"];
    common::assert_says(&second.log(), &words);
    // The first is not touched by that, and says whom it let in.
    let pid = std::process::id();
    let session = Session::connect(stage.socket()).unwrap();
    assert_eq!((session.shards(), session.writer_pid() != pid), (1, true));
    let seen = within(PATIENCE, || first.log().contains(&format!("process {pid} (")));
    assert!(seen && first.log().contains("user 0, group 0"), "{}", first.log());
    first.signal(Signal::SIGTERM);
    first.finish();
    assert!(!stage.socket().exists());
    // A file of somebody else's is not replaced.
    fs::write(stage.socket(), "mine").unwrap();
    let mut third = Appliance::spawn(&stage.wire, &at(&stage.socket(), 1), &[]);
    assert_eq!(third.wait().code(), Some(1));
    common::assert_says(&third.log(), &["expected a socket or nothing"]);
    assert_eq!(fs::read_to_string(stage.socket()).unwrap(), "mine");
}

#[test]
fn mode_and_group_say_who_may_read() {
    let Some(stage) = Stage::new(57) else { return };
    fs::set_permissions(stage.folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let options = "[segment]\nsocket_mode = \"0620\"\nsocket_group = \"65534\"\n";
    let config = at(&stage.socket(), 1).replacen("[segment]\n", options, 1);
    let appliance = Appliance::start(&stage.wire, &config, &[]);
    let found = fs::metadata(stage.socket()).unwrap();
    assert_eq!((found.mode() & 0o777, found.gid()), (0o620, 65_534));
    let connects_as = |user: u32, group: u32| {
        // A program that every user can run, whatever the folders of the build let in.
        let script =
            "import socket, sys; s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])";
        let mut command = Command::new("python3");
        command.args(["-c", script]).arg(stage.socket()).uid(user).gid(group).current_dir("/");
        command.stderr(Stdio::null()).status().unwrap().success()
    };
    assert!(connects_as(65_533, 65_534), "one of the group");
    assert!(!connects_as(65_533, 65_533), "a stranger");
    appliance.signal(Signal::SIGTERM);
    appliance.finish();
}

#[test]
fn what_cannot_be_a_socket_is_refused() {
    let folder = folder();
    let check = |options: &str, words: &[&str]| {
        let text = at(&folder.path().join("s"), 1).replacen("[segment]\n", options, 1);
        let file = common::write(&folder, "wirebook.toml", text);
        common::fails(&["run", "--check", "--config", file.to_str().unwrap()], 1, words);
    };
    check("[segment]\nsocket_mode = \"0999\"\n", &["\"0000\" to \"0777\"", "0999"]);
    check("name = \"a/b\"\n[segment]\n", &["without '/'", "a/b"]);
    let nowhere = folder.path().join("none").join("x.sock");
    let nowhere = nowhere.to_str().unwrap();
    common::fails(&["tail", "--socket", nowhere], 1, &[nowhere, "No such file"]);
    common::fails(&["tail", "--schema", "mbq"], 2, &["mbq", "mbo"]);
}

#[test]
fn counters_and_latencies_are_read_as_the_appliance_reports_them() {
    let Some(stage) = Stage::new(56) else { return };
    let appliance = stage.start(2, &[]);
    stage.play();
    let socket = stage.socket();
    let shown = || {
        let all = ["counters", "--json", "--all", "--socket", socket.to_str().unwrap()];
        serde_json::from_str::<Value>(&common::text(&all)).unwrap()
    };
    let packets = stage.market.frames.len() as u64;
    let mut last = Value::Null;
    let all = within(PATIENCE, || {
        last = shown();
        let counted = &last["counters"]["worker_packets{worker=\"w0\"}"];
        *counted == packets && last["latency_ns"]["wire-to-worker"]["count"] == packets
    });
    assert!(all, "{last:#}");
    appliance.signal(Signal::SIGTERM);
    let summary = appliance.finish();
    let counters = &last["counters"];
    assert_eq!(counters["worker_messages{worker=\"w0\"}"], summary["messages"]);
    assert_eq!(counters["channel_messages{channel=\"c0\"}"], summary["messages"]);
    assert_eq!(counters["channel_state{channel=\"c0\"}"], BookState::Live as u8);
    assert_eq!(counters["channel_gaps{channel=\"c0\"}"], 0);
    assert_eq!(counters["line_packets{channel=\"c0\",line=\"A\"}"], packets);
    assert_eq!(counters["drop_socket_dropped{worker=\"w0\"}"], 0);
    assert_eq!(counters["nic_rx_dropped{interface=\"rx0\"}"], 0);
    let of_shards = |name: &str| -> u64 {
        let of = |shard| counters[format!("shard_{name}{{shard=\"{shard}\"}}")].as_u64().unwrap();
        of(0) + of(1)
    };
    assert_eq!(of_shards("records"), summary["records"]);
    assert_eq!(of_shards("instruments_in_use"), summary["instruments"]);
    assert!(last["latency_ns"]["wire-to-worker"]["p50"].as_u64().unwrap() > 0);
    assert!(last["latency_ns"]["refresh-round"]["count"].as_u64().unwrap() > 0);
}

#[test]
fn what_is_published_is_what_was_named() {
    let Some(stage) = Stage::new(57) else { return };
    let named = "[segment]\nschemas = [\"trades\", \"ohlcv-1s\", \"mbp-1\"]\n";
    let config = at(&stage.socket(), 2).replacen("[segment]\n", named, 1);
    let appliance = Appliance::start(&stage.wire, &config, &["--until-end-of-session"]);
    let tail = stage.tail(&["--format", "dbn", "--until-end"]);
    stage.play();
    appliance.finish();
    let mut decoder = DbnDecoder::from_file(tail.finish()).unwrap();
    // By instrument: price, size and sequence of each trade, and the volume of the bars.
    let mut trades = BTreeMap::<u32, Vec<(i64, u32, u32)>>::new();
    let mut volumes = BTreeMap::<u32, u64>::new();
    let mut tops = 0;
    while let Some(record) = decoder.decode_record_ref().unwrap() {
        let id = record.header().instrument_id;
        if let Some(trade) = record.get::<TradeMsg>() {
            // A trade that the venue took back comes a second time, as a cancel.
            if trade.action().unwrap() == Action::Cancel {
                continue;
            }
            trades.entry(id).or_default().push((trade.price, trade.size, trade.sequence));
        } else if let Some(bar) = record.get::<OhlcvMsg>() {
            *volumes.entry(id).or_default() += bar.volume;
        } else if record.get::<Mbp1Msg>().is_some() {
            tops += 1;
        } else {
            let rtype = record.header().rtype;
            assert!([rtype::SYMBOL_MAPPING, rtype::SYSTEM].contains(&rtype), "{rtype:#x}");
        }
    }
    // The orders' records of a replay say the same trades.
    let mut expected = BTreeMap::<u32, Vec<(i64, u32, u32)>>::new();
    let mut decoder = DbnDecoder::from_file(stage.replayed("mbo")).unwrap();
    while let Some(record) = decoder.decode_record::<MboMsg>().unwrap() {
        if record.action().unwrap() == Action::Trade {
            let trade = (record.price, record.size, record.sequence);
            expected.entry(record.hd.instrument_id).or_default().push(trade);
        }
    }
    assert!(expected.len() > 5 && tops > 1_000);
    for (id, expected) in &expected {
        assert_eq!(&trades[id], expected, "trades of {id}");
    }
    // Bars are closed by the end of the day, or not yet: what they hold was traded.
    assert!(!volumes.is_empty());
    for (id, volume) in volumes {
        let traded = expected[&id].iter().map(|(_, size, _)| u64::from(*size)).sum::<u64>();
        assert!(volume <= traded, "{id}: {volume} of {traded}");
    }
}
