//! Readers that misbehave beside an appliance at work: stopped, killed, and many at once. They are
//! told of what they miss, and in the appliance nothing changes: no count, no book, no record.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;
#[path = "common/live.rs"]
mod live;
#[path = "common/stage.rs"]
mod stage;

use common::replay;
use dbn::decode::{DbnDecoder, DecodeRecordRef};
use dbn::{MboMsg, RecordRef};
use live::net::within;
use live::{Appliance, PATIENCE, sim};
use nix::sys::signal::Signal;
use serde_json::Value;
use stage::{Stage, at, records_of};
use std::collections::BTreeMap;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use wirebook_client::{Next, Session};

const STOPPED: Duration = Duration::from_secs(10);
/// How many readers are killed at least, and how many of them run at once.
const KILLED: usize = 60;
const AT_ONCE: usize = 4;
const READERS: usize = 64;
const SHARDS: usize = 2;

/// Plays the stage's market, two seconds of it, at this speed.
fn play(stage: &Stage, speed: &str) {
    let capture = stage.capture.to_str().unwrap();
    sim(&stage.wire, &["--capture", capture, "--interface", "tx0", "--speed", speed]);
}

/// Asserts that an appliance ended as one without a reader: with every count and both digests of a
/// replay, no backpressure, nothing lost and nothing that its supervision had to report.
fn assert_untouched(stage: &Stage, shards: usize, live: &Value) {
    let (capture, shards) = (stage.capture.to_str().unwrap(), shards.to_string());
    let replayed = replay(&[capture, "--protocol", "itch50", "--shards", &shards]);
    for (name, expected) in replayed.as_object().unwrap() {
        // What was wrong with the file; a wire has none.
        if name != "input" {
            assert_eq!(live[name], *expected, "{name}");
        }
    }
    assert!(replayed["digest"].is_string() && replayed["state_digest"].is_string());
    for name in ["backpressure", "lost_in_rings", "drops", "nic_drops", "supervision"] {
        assert!(is_zero(&live[name]), "{name}: {}", live[name]);
    }
    assert_eq!(live["refresh"]["too_large"], 0);
}

/// True where every number in it is zero.
fn is_zero(value: &Value) -> bool {
    match value {
        Value::Number(number) => number.as_u64() == Some(0),
        Value::Array(values) => values.iter().all(is_zero),
        Value::Object(members) => members.values().all(is_zero),
        Value::Null => false,
        Value::Bool(_) | Value::String(_) => true,
    }
}

#[test]
fn a_reader_that_stands_still_for_ten_seconds() {
    let Some(stage) = Stage::new(54) else { return };
    let small = at(&stage.socket(), 1).replace("output_slots = 65536", "output_slots = 1024");
    let appliance = Appliance::start(&stage.wire, &small, &[]);
    let tail = stage.tail(&["--format", "dbn"]);
    live::stop(&tail.child);
    let stopped = Instant::now();
    // Eight seconds of them.
    play(&stage, "0.25");
    appliance.await_packets(stage.market.frames.len() as u64);
    std::thread::sleep(STOPPED.saturating_sub(stopped.elapsed()));
    assert!(!tail.log().contains("overrun"), "it was not stopped: {}", tail.log());
    tail.signal(Signal::SIGCONT);
    assert!(within(PATIENCE, || tail.log().contains("overrun: ")), "{}", tail.log());
    assert!(!tail.log().contains("gone"), "{}", tail.log());
    appliance.signal(Signal::SIGTERM);
    assert_untouched(&stage, 1, &appliance.finish());
}

#[test]
fn readers_that_are_killed_while_they_read() {
    let Some(stage) = Stage::new(58) else { return };
    let appliance = stage.start(SHARDS, &[]);
    let descriptors = appliance.descriptors();
    let mut killing = Killing { stage: &stage, running: Vec::new(), killed: 0, read: 0, random: 7 };
    std::thread::scope(|scope| {
        let playing = scope.spawn(|| play(&stage, "0.25"));
        // On a busy host a reader may be killed before it has begun to read: others follow.
        let end = Instant::now() + 4 * PATIENCE;
        let enough = |killing: &Killing<'_>| killing.killed >= KILLED && killing.read > KILLED / 4;
        while !playing.is_finished() || (!enough(&killing) && Instant::now() < end) {
            killing.turn();
        }
    });
    let Killing { killed, read, .. } = killing;
    println!("{killed} readers were killed, {read} of them with records in hand");
    assert!(read > KILLED / 4, "{read} of {killed} had read anything");
    appliance.await_packets(stage.market.frames.len() as u64);
    // What the appliance held for them is gone with them.
    let released = within(PATIENCE, || appliance.descriptors() == descriptors);
    assert!(released, "{} descriptors, {descriptors} before", appliance.descriptors());
    // Whoever comes now finds everything.
    let expected = records_of(&stage.replayed("all"));
    let count = expected.values().map(Vec::len).sum::<usize>().to_string();
    let late = stage.tail(&["--format", "dbn", "--from-start", "--count", &count]);
    let found = records_of(&late.finish());
    assert!(expected.iter().all(|(id, records)| *id == 0 || found[id] == *records));
    appliance.signal(Signal::SIGTERM);
    assert_untouched(&stage, SHARDS, &appliance.finish());
}

/// Readers that are started and killed, each at a moment drawn from a seed.
struct Killing<'a> {
    stage: &'a Stage,
    running: Vec<(Child, PathBuf, Instant)>,
    killed: usize,
    /// Of them, those that had written records.
    read: usize,
    random: u64,
}

impl Killing<'_> {
    /// Keeps so many running, and kills those whose moment has come.
    fn turn(&mut self) {
        while self.running.len() < AT_ONCE {
            let output = self.stage.folder.path().join("killed");
            let output = output.with_extension((self.killed + self.running.len()).to_string());
            let mut tail = common::command(&["tail", "--from-start", "--socket"]);
            tail.arg(self.stage.socket()).arg("--output").arg(&output).stderr(Stdio::null());
            let end = Instant::now() + Duration::from_micros(self.draw() % 150_000);
            self.running.push((tail.spawn().unwrap(), output, end));
        }
        std::thread::sleep(Duration::from_millis(1));
        let now = Instant::now();
        for (mut tail, output, _) in self.running.extract_if(.., |(_, _, end)| *end <= now) {
            assert_eq!(tail.try_wait().unwrap(), None, "it ended by itself");
            tail.kill().unwrap();
            assert_eq!(tail.wait().unwrap().signal(), Some(Signal::SIGKILL as i32));
            self.killed += 1;
            self.read += usize::from(fs::metadata(&output).is_ok_and(|file| file.len() > 0));
            let _ = fs::remove_file(output);
        }
    }

    /// The next of a linear congruential generator's numbers (D. E. Knuth's MMIX).
    fn draw(&mut self) -> u64 {
        let next = self.random.wrapping_mul(6_364_136_223_846_793_005);
        self.random = next.wrapping_add(1_442_695_040_888_963_407);
        self.random >> 33
    }
}

impl Drop for Killing<'_> {
    fn drop(&mut self) {
        for (tail, ..) in &mut self.running {
            let _ = tail.kill();
            let _ = tail.wait();
        }
    }
}

#[test]
fn sixty_four_readers_at_once() {
    let Some(stage) = Stage::new(59) else { return };
    let small = at(&stage.socket(), SHARDS).replace("output_slots = 65536", "output_slots = 2048");
    let appliance = Appliance::start(&stage.wire, &small, &["--until-end-of-session"]);
    let over = AtomicBool::new(false);
    let (live, readings) = std::thread::scope(|scope| {
        let _over = SetWhenOver(&over);
        let readers: Vec<_> = (0..READERS)
            .map(|number| {
                let (socket, over) = (stage.socket(), &over);
                // Every fourth is too slow, each in a way of its own.
                let pause_every = (number % 4 == 3).then_some(60 + number as u64);
                scope.spawn(move || Reading::of(&socket, over, pause_every))
            })
            .collect();
        play(&stage, "0.5");
        let live = appliance.finish();
        over.store(true, Ordering::Relaxed);
        let readings = readers.into_iter().map(|reader| reader.join().unwrap());
        (live, readings.collect::<Vec<_>>())
    });
    let expected = digest_of(&stage.replayed("mbo"));
    let (whole, lapped): (Vec<_>, Vec<_>) =
        readings.iter().partition(|reading| reading.missed_slots == 0);
    println!("{} readers got every record, {} were overrun", whole.len(), lapped.len());
    assert!(whole.len() >= READERS / 2 && lapped.len() >= READERS / 8);
    assert!(whole.iter().all(|reading| reading.digest.value() == expected));
    // Each stands where the rings end: it got or was told of everything.
    assert!(readings.iter().all(|reading| reading.stands == readings[0].stands));
    assert_untouched(&stage, SHARDS, &live);
}

/// Ends the readers when the test is over, by a failure too.
struct SetWhenOver<'a>(&'a AtomicBool);

impl Drop for SetWhenOver<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// What one reader read.
struct Reading {
    digest: Digest,
    missed_slots: u64,
    /// The cursor of each shard's ring up to which it has read or been told what it missed.
    stands: [u64; SHARDS],
}

impl Reading {
    /// Reads everything, in a session of its own, until the writer is `over`; sleeps after so many
    /// records where asked to. Each record must begin where the one before it ended, or where an
    /// overrun has said that the reader goes on.
    fn of(socket: &Path, over: &AtomicBool, pause_every: Option<u64>) -> Self {
        let session = Session::connect(socket).unwrap();
        let mut records = session.records().unwrap().from_start();
        let mut reading = Self { digest: Digest::default(), missed_slots: 0, stands: [0; SHARDS] };
        let mut read: u64 = 0;
        loop {
            let is_over = over.load(Ordering::Relaxed);
            match records.next(Duration::from_millis(20)) {
                Next::Record(found) => {
                    let stands = &mut reading.stands[found.shard];
                    assert_eq!(found.cursor.get(), *stands, "missed, and not told");
                    *stands += (found.record.as_ref().len() as u64).div_ceil(56);
                    reading.digest.add(found.record);
                    read += 1;
                }
                Next::Overrun { shard, missed_slots } => {
                    reading.stands[shard] += missed_slots;
                    reading.missed_slots += missed_slots;
                }
                Next::Nothing | Next::WriterGone if is_over => return reading,
                Next::Nothing | Next::WriterGone => {}
            }
            if !is_over && pause_every.is_some_and(|every| read % every == every - 1) {
                std::thread::sleep(Duration::from_millis(300));
            }
        }
    }
}

/// All orders' records by instrument, but for what depends on when packets came.
#[derive(Default)]
struct Digest(BTreeMap<u32, DefaultHasher>);

impl Digest {
    fn add(&mut self, record: RecordRef<'_>) {
        let Some(order) = record.get::<MboMsg>() else { return };
        let hasher = self.0.entry(order.hd.instrument_id).or_default();
        let order = MboMsg { ts_recv: 0, ts_in_delta: 0, ..order.clone() };
        RecordRef::from(&order).as_ref().hash(hasher);
    }

    fn value(&self) -> Vec<(u32, u64)> {
        self.0.iter().map(|(id, hasher)| (*id, hasher.finish())).collect()
    }
}

fn digest_of(file: &Path) -> Vec<(u32, u64)> {
    let mut decoder = DbnDecoder::from_file(file).unwrap();
    let mut digest = Digest::default();
    while let Some(record) = decoder.decode_record_ref().unwrap() {
        digest.add(record);
    }
    digest.value()
}
