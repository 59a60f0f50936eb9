//! What `wirebook record` writes is what `wirebook replay` needs to have the same books again.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;
#[path = "record/kill.rs"]
mod kill;
#[path = "common/live.rs"]
mod live;

use common::{SimulatedMarket, folder, replay, write};
use dbn::decode::DecodeRecordRef;
use dbn::{MboMsg, RecordRef, StatMsg, StatusMsg, SystemMsg, rtype};
use live::net::{self, Pair, within};
use live::{Appliance, PATIENCE, SMALL, channel, play, wire, worker};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::Signal;
use serde_json::Value;
use std::fs;
use std::mem::offset_of;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;
use wirebook::recorder::{Note, playback};
use wirebook_model::BookState;
use wirebook_simulator::Line;

const GROUP: &str = "239.192.12.111:26477";
const OTHER_GROUP: &str = "239.192.12.112:26478";

fn market(folder: &TempDir, seed: u64, group: &str) -> PathBuf {
    let line = Line::new(group.parse().unwrap());
    SimulatedMarket::on_line(&line, seed, 10, 6_000).write(folder, &format!("{seed}.pcap"))
}

/// One worker on UDP sockets, two channels and so many shards, recorded into `dir`.
fn recorded_config(shards: usize, dir: &Path, options: &str) -> String {
    let record = format!("[record]\ndir = \"{}\"\n{options}\n", dir.display());
    [
        SMALL,
        &record,
        &worker(0, "source = \"socket\""),
        &"[[shard]]\nidle = \"poll\"\n".repeat(shards),
        &channel(0, "itch50", GROUP, ""),
        &channel(0, "itch50", OTHER_GROUP, "").replace("\"c0\"", "\"c1\""),
    ]
    .concat()
}

/// Plays two markets, one on each channel, to their ends.
fn run_markets(wire: &Pair, config: &str, options: &[&str]) -> Value {
    let folder = folder();
    let captures =
        [(51, GROUP), (52, OTHER_GROUP)].map(|(seed, group)| market(&folder, seed, group));
    let options = [&["--until-end-of-session"], options].concat();
    let appliance = Appliance::start(wire, config, &options);
    std::thread::scope(|scope| {
        scope.spawn(|| play(wire, 0, &captures[0]));
        play(wire, 0, &captures[1]);
    });
    appliance.finish()
}

fn replay_dir(dir: &Path, options: &[&str]) -> Value {
    replay(&[&[dir.to_str().unwrap()], options].concat())
}

/// Everything that a replay of a recording must have as the run had it.
fn assert_same(replayed: &Value, live: &Value) {
    for name in ["digest", "state_digest", "instruments", "records"] {
        assert_eq!(replayed[name], live[name], "{name}");
    }
    for name in ["truncated_files", "damaged_files", "skipped_records", "malformed_records"] {
        assert_eq!(replayed["input"][name], 0, "{name}");
    }
}

/// The files below a directory with this ending.
fn files(dir: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files(&path, ending));
        } else if path.to_string_lossy().ends_with(ending) {
            found.push(path);
        }
    }
    found.sort();
    found
}

#[test]
fn a_recording_replays_to_the_digest_of_its_run() {
    for shards in [1, 2] {
        let (Some(wire), folder) = (wire(1, 1), folder()) else { return };
        let dir = folder.path().join("recording");
        let live = run_markets(&wire, &recorded_config(shards, &dir, ""), &[]);
        let recorder = &live["recorder"];
        assert_eq!(recorder["files"], 2 * shards, "{recorder}");
        assert_eq!((&recorder["overruns"], &recorder["write_errors"]), (&0.into(), &0.into()));
        assert!(recorder["snapshots"].as_u64().unwrap() >= 1, "{recorder}");
        assert_eq!(files(&dir, ".dbn.zst").len(), 2 * shards);

        let from_start = replay_dir(&dir, &["--from-start"]);
        assert_same(&from_start, &live);
        assert_eq!(from_start["messages"], recorder["records"]);
        // The last snapshot was taken at the end: nothing is left to replay.
        let restored = replay_dir(&dir, &[]);
        assert_same(&restored, &live);
        assert_eq!(restored["messages"], 0);
    }
}

#[test]
fn a_run_with_gaps_comes_back_as_stale_as_it_was() {
    let (Some(wire), folder) = (wire(1, 1), folder()) else { return };
    let dir = folder.path().join("recording");
    let line = Line::new(GROUP.parse().unwrap());
    let mut frames = SimulatedMarket::on_line(&line, 58, 10, 6_000).frames;
    let mut number = 0;
    frames.retain(|_| {
        number += 1;
        number % 50 != 0
    });
    let capture = write(&folder, "gaps.pcap", common::pcap_file(&frames));
    let appliance = Appliance::start(&wire, &recorded_config(2, &dir, ""), &[]);
    play(&wire, 0, &capture);
    appliance.await_packets(frames.len() as u64);
    appliance.signal(Signal::SIGTERM);
    let live = appliance.finish();
    assert!(live["lost_messages"].as_u64().unwrap() > 0);
    assert!(live["book_counters"]["unknown_orders"].as_u64().unwrap() > 0);
    assert_same(&replay_dir(&dir, &[]), &live);
    assert_same(&replay_dir(&dir, &["--from-start"]), &live);
}

#[test]
fn an_older_snapshot_and_the_journal_since_make_the_same_books() {
    let (Some(wire), folder) = (wire(1, 1), folder()) else { return };
    let dir = folder.path().join("recording");
    let config = recorded_config(2, &dir, "snapshot_s = 1\nflush_ms = 50");
    let capture = market(&folder, 53, GROUP);
    let appliance = Appliance::start(&wire, &config, &[]);
    let capture = capture.to_str().unwrap();
    // The market's two seconds take four: snapshots are taken in the middle.
    live::sim(&wire, &["--capture", capture, "--interface", "tx0", "--speed", "0.5"]);
    appliance.signal(Signal::SIGTERM);
    let live = appliance.finish();
    let mut snapshots = files(&dir, ".snapshot");
    assert!(snapshots.len() >= 4, "{snapshots:?}");

    // The newest is cut, the one before it damaged; a third one is there.
    let newest = snapshots.pop().unwrap();
    let whole = fs::read(&newest).unwrap();
    fs::write(&newest, &whole[..whole.len() / 2]).unwrap();
    let damaged = snapshots.pop().unwrap();
    let mut bytes = fs::read(&damaged).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0xff;
    fs::write(&damaged, bytes).unwrap();
    let output = common::wirebook(&["replay", "--json", dir.to_str().unwrap()]);
    let log = String::from_utf8_lossy(&output.stderr).into_owned();
    for bad in [&newest, &damaged] {
        let name = bad.file_name().unwrap().to_str().unwrap();
        let warned = |line: &&str| line.contains("WARN") && line.contains(name);
        assert!(log.lines().any(|line| warned(&line)), "{log}");
    }
    let replayed: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_same(&replayed, &live);
    let since = replayed["messages"].as_u64().unwrap();
    let all = live["recorder"]["records"].as_u64().unwrap();
    assert!(since > 0 && since < all, "{since} of {all} records were replayed");
}

#[test]
fn a_second_run_leaves_the_first_one_alone() {
    let (Some(wire), folder) = (wire(1, 1), folder()) else { return };
    let dir = folder.path().join("recording");
    let config = recorded_config(1, &dir, "");
    run_markets(&wire, &config, &[]);
    let contents =
        |paths: &[PathBuf]| paths.iter().map(|path| fs::read(path).unwrap()).collect::<Vec<_>>();
    let first = files(&dir, ".dbn.zst");
    let before = contents(&first);
    let capture = market(&folder, 54, GROUP);
    let appliance = Appliance::start(&wire, &config, &[]);
    play(&wire, 0, &capture);
    appliance.signal(Signal::SIGTERM);
    let live = appliance.finish();
    assert_eq!(contents(&first), before);
    assert!(files(&dir, ".dbn.zst").len() > first.len());
    assert_same(&replay_dir(&dir, &[]), &live);
    assert_same(&replay_dir(&dir, &["--from-start"]), &live);
}

#[test]
fn recorded_packets_replay_to_the_digest_of_their_run() {
    for source in ["source = \"socket\"", "", "xdp_mode = \"generic\""] {
        let (Some(wire), folder) = (wire(1, 1), folder()) else { return };
        let dir = folder.path().join("recording");
        let config = recorded_config(1, &folder.path().join("not here"), "")
            .replace("source = \"socket\"", source);
        let config_file = write(&folder, "replay.toml", &config);
        let captures =
            [(51, GROUP), (52, OTHER_GROUP)].map(|(seed, group)| market(&folder, seed, group));
        let to = ["--dir", dir.to_str().unwrap(), "--packets", "--until-end-of-session"];
        let appliance = Appliance::start_command(&wire, "record", &config, &to);
        std::thread::scope(|scope| {
            scope.spawn(|| play(&wire, 0, &captures[0]));
            play(&wire, 0, &captures[1]);
        });
        let live = appliance.finish();
        assert!(!folder.path().join("not here").exists());
        assert_eq!(live["recorder"]["packets"], live["packets"]);

        let packets = files(&dir.join("packets"), ".pcapng");
        assert_eq!(packets.len(), 1);
        let file = packets[0].to_str().unwrap();
        let replayed = replay(&[file, "--config", config_file.to_str().unwrap()]);
        for name in ["packets", "messages", "digest", "state_digest", "instruments", "gaps"] {
            assert_eq!(replayed[name], live[name], "{name} with {source:?}");
        }
        let made_up = String::from_utf8_lossy(&fs::read(file).unwrap()).contains("made up");
        assert_eq!(made_up, source.contains("socket"), "{source:?}");
        assert_same(&replay_dir(&dir, &[]), &live);
    }
}

#[test]
fn other_readers_of_dbn_read_every_flush() {
    let (Some(wire), folder) = (wire(1, 1), folder()) else { return };
    let dir = folder.path().join("recording");
    let live = run_markets(&wire, &recorded_config(1, &dir, "flush_ms = 20"), &[]);
    let flushes = live["recorder"]["flushes"].as_u64().unwrap();
    assert!(flushes > 20, "{flushes}");
    let mut count = 0;
    for file in files(&dir, ".dbn.zst") {
        let ours = records_of(&file);
        count += ours.len() as u64;
        let Some(theirs) = counted_by_python(&file) else { return };
        assert_eq!(theirs, ours.len() as u64, "{}", file.display());
        // A file of the journal is a recording like any other, too.
        let replayed = replay(&[file.to_str().unwrap()]);
        assert_eq!(replayed["messages"], ours.len());
        assert_eq!(replayed["input"]["skipped_records"], 0);
    }
    assert_eq!(live["recorder"]["records"], count);
}

/// How many records Databento's own package finds in a file.
fn counted_by_python(file: &Path) -> Option<u64> {
    const COUNT: &str = "import sys, databento_dbn as dbn\n\
        decoder = dbn.DBNDecoder(compression=dbn.Compression.ZSTD)\n\
        decoder.write(open(sys.argv[1], 'rb').read())\n\
        print(sum(not isinstance(r, dbn.Metadata) for r in decoder.decode()))\n\
        assert not decoder.buffer(), 'the file ends within a record'\n";
    let python = std::env::var("WIREBOOK_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let probe = Command::new(&python).args(["-c", "import databento_dbn"]).output();
    if !probe.is_ok_and(|probe| probe.status.success()) {
        common::skip(&format!("{python} has no package databento-dbn (set WIREBOOK_PYTHON)"));
        return None;
    }
    let output = Command::new(python).args(["-c", COUNT]).arg(file).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8(output.stdout).unwrap().trim().parse().unwrap())
}

/// A record without its times of receipt, which differ from run to run, and that time.
type Received = (Vec<u8>, Option<u64>);

/// The records of a file as the `dbn` crate reads them, as far as the file is whole.
fn records_of(file: &Path) -> Vec<Received> {
    let mut records = Vec::new();
    let Ok(mut decoder) = dbn::decode::DbnDecoder::from_zstd_file(file) else { return records };
    while let Ok(Some(record)) = decoder.decode_record_ref() {
        records.push(received(record));
    }
    records
}

fn received(record: RecordRef<'_>) -> Received {
    let mut bytes = record.as_ref().to_vec();
    let ts_recv = match record.header().rtype {
        rtype::MBO => offset_of!(MboMsg, ts_recv),
        rtype::SYSTEM => {
            bytes.clear();
            return (bytes, None);
        }
        _ => offset_of!(StatusMsg, ts_recv),
    };
    let ts = u64::from_le_bytes(*bytes[ts_recv..].first_chunk().unwrap());
    bytes[ts_recv..ts_recv + 8].fill(0);
    let delta = match record.header().rtype {
        rtype::MBO => Some(offset_of!(MboMsg, ts_in_delta)),
        rtype::STATISTICS => Some(offset_of!(StatMsg, ts_in_delta)),
        _ => None,
    };
    if let Some(at) = delta {
        bytes[at..at + 4].fill(0);
    }
    (bytes, Some(ts))
}

/// The slots that a file's notes say are missing.
fn noted_slots(file: &Path) -> u64 {
    let mut decoder = dbn::decode::DbnDecoder::from_zstd_file(file).unwrap();
    let mut slots = 0;
    while let Some(record) = decoder.decode_record_ref().unwrap() {
        let note = record.get::<SystemMsg>().and_then(Note::of);
        if let Some(Note::WirebookHole { missed_slots }) = note {
            slots += missed_slots;
        }
    }
    slots
}

#[test]
fn a_full_disk_ends_the_recording_and_nothing_else() {
    let (Some(wire), folder) = (wire(1, 1), folder()) else { return };
    let dir = folder.path().join("recording");
    fs::create_dir(&dir).unwrap();
    // A mount of this thread alone, and of those that it starts.
    net::in_thread(|| {
        unshare(CloneFlags::CLONE_NEWNS).unwrap();
        let none = None::<&str>;
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).unwrap();
        mount(Some("none"), &dir, Some("tmpfs"), MsFlags::empty(), Some("size=64k")).unwrap();
        let config = recorded_config(1, &dir, "flush_ms = 20\npackets = true");
        let capture = market(&folder, 56, GROUP);
        let appliance = Appliance::start(&wire, &config, &[]);
        play(&wire, 0, &capture);
        let stopped = || appliance.log().matches("recording of").count() == 2;
        assert!(within(PATIENCE, stopped), "{}", appliance.log());
        assert!(appliance.log().contains("ERROR"), "{}", appliance.log());
        appliance.await_packets(common::frames_of(&capture).len() as u64);
        appliance.signal(Signal::SIGTERM);
        let live = appliance.finish();
        let recorder = &live["recorder"];
        assert_eq!(recorder["recording_stopped"], 2, "{recorder}");
        assert_eq!(recorder["write_errors"], 2, "{recorder}");
        assert_eq!(live["backpressure"], 0);
        let capture = capture.to_str().unwrap();
        let replayed = replay(&[capture, "--protocol", "itch50"]);
        assert_eq!(live["digest"], replayed["digest"]);
        // What was written before is whole.
        let kept = replay_dir(&dir, &["--from-start"]);
        assert_eq!(kept["input"]["damaged_files"], 0, "{kept}");
    });
}

#[test]
fn a_recorder_that_is_lapped_holds_nobody_up() {
    let (Some(wire), folder) = (wire(1, 1), folder()) else { return };
    let dir = folder.path().join("recording");
    let config = recorded_config(1, &dir, "journal_slots = 64\nsnapshot_s = 1");
    let capture = market(&folder, 57, GROUP);
    let appliance = Appliance::start(&wire, &config, &[]);
    play(&wire, 0, &capture);
    appliance.await_packets(common::frames_of(&capture).len() as u64);
    appliance.signal(Signal::SIGTERM);
    let live = appliance.finish();
    let recorder = &live["recorder"];
    assert!(recorder["overruns"].as_u64().unwrap() > 0, "{recorder}");
    assert!(recorder["missed_slots"].as_u64().unwrap() >= 64, "{recorder}");
    assert_eq!((&recorder["write_errors"], &live["backpressure"]), (&0.into(), &0.into()));
    let original = replay(&[capture.to_str().unwrap(), "--protocol", "itch50"]);
    assert_eq!(live["digest"], original["digest"], "the run itself is whole");

    // Each channel's journal notes where, and how much; nobody knows whose.
    let noted: Vec<u64> = files(&dir, ".dbn.zst").iter().map(|file| noted_slots(file)).collect();
    assert_eq!(noted, [recorder["missed_slots"].as_u64().unwrap(); 2]);

    // The recording knows what it lacks, from its snapshot and from its start.
    let digests = [false, true].map(|from_start| {
        let played = playback::play(&dir, from_start).unwrap();
        let books = &played.books[0];
        assert!(books.iter().count() > 0);
        assert!(books.iter().all(|book| book.state() == BookState::Stale));
        books.digest()
    });
    assert_eq!(digests[0], digests[1]);
}
