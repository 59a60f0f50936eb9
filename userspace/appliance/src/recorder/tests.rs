//! A recorder fed by a shard's books directly, onto disks that fail, and read back.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::files::{Disk, Output, host_disk};
use super::playback::{Playback, play};
use super::{JournalRecorder, JournalWriter, RecorderCounters};
use crate::config::Config;
use crate::lines::Lines;
use crate::published::Published;
use crate::recorder::RecordConfig;
use crate::shard::Shard;
use crate::stages::{OutputRing, ShardSink};
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use wirebook_machine::{Books, Limits};
use wirebook_model::dbn::flags;
use wirebook_model::{ALL_INSTRUMENTS, BookState, Event, EventHeader, Packet, Side, VenueEvent};
use wirebook_shm::ring::open;
use wirebook_telemetry::probe;

const LIMITS: Limits = Limits { instruments: 64, orders: 4_096, levels: 4_096 };
/// 2026-11-23T13:00:00Z
const HOUR: u64 = 1_795_438_800_000_000_000;
const SECOND: u64 = 1_000_000_000;

fn config(dir: &Path) -> Config {
    let text = format!(
        "[limits]\ninstruments = 64\norders = 4096\nlevels = 4096\n\
         [record]\ndir = \"{}\"\n[[shard]]\n\
         [[worker]]\nname = \"w\"\ninterface = [{{ name = \"lo\" }}]\n\
         [[channel]]\nname = \"one\"\nprotocol = \"itch50\"\nworker = \"w\"\n\
         line = [{{ name = \"A\", interface = \"lo\", group = \"239.0.0.1\", port = 1 }}]\n\
         [[channel]]\nname = \"two\"\nprotocol = \"iex-tops\"\nworker = \"w\"\n\
         line = [{{ name = \"A\", interface = \"lo\", group = \"239.0.0.2\", port = 1 }}]\n",
        dir.display()
    );
    let file = dir.with_extension("toml");
    fs::write(&file, text).unwrap();
    Config::read(&file).unwrap()
}

/// A run whose shard is driven by hand.
struct Run {
    shard: Shard<ShardSink>,
    recorder: JournalRecorder,
}

impl Run {
    fn new(dir: &Path, slots: usize, disk: Disk, change: fn(&mut RecordConfig)) -> Self {
        let config = config(dir);
        let mut settings = config.record.clone().unwrap();
        change(&mut settings);
        let (journal, reader) = open(slots).unwrap();
        let output = OutputRing::new(open(64).unwrap().0, Published::default());
        let sink = ShardSink { output, journal: Some(JournalWriter::new(journal)) };
        let mut shard = Shard::new(LIMITS, sink).unwrap();
        for spec in Lines::of_config(&config, None).channels() {
            shard.set_channel(spec);
        }
        let mut recorder = JournalRecorder::new(&config, &settings, vec![reader]).unwrap();
        recorder.use_disk(disk);
        Self { shard, recorder }
    }

    /// Applies events and records them to the end.
    fn record(mut self, events: &[Event]) -> (Books, RecorderCounters) {
        for event in events {
            self.shard.apply(event);
        }
        let counters = self.recorder.run(&AtomicBool::new(true), &probe().0);
        (self.shard.into_parts().0, counters)
    }
}

fn event(channel: u8, instrument_id: u32, sequence: u64, body: VenueEvent) -> Event {
    let flags = if sequence.is_multiple_of(3) { 0 } else { flags::LAST };
    let header = EventHeader { channel, flags, instrument_id, sequence, ts_event: HOUR + sequence };
    Event { header, body }
}

/// Orders of two channels, unknown ones among them, packets a minute apart, gaps that heal.
fn events(count: u64) -> Vec<Event> {
    let mut events = Vec::new();
    for n in 0..count {
        let channel = (n % 2) as u8;
        // Knuth's MMIX generator, from the number of the event.
        let random =
            n.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(9_754_186_451_795_953_191);
        let id = 1 + (random >> 40) as u32 % 5;
        if n % 10 < 2 {
            let ts_recv = HOUR + n * SECOND * 6;
            let packet = Packet { ts_recv, ts_sent: ts_recv - 7, ts_worker: 1 };
            events.push(event(channel, ALL_INSTRUMENTS, n, VenueEvent::Packet(packet)));
        }
        let order_id = (random >> 33) % 200;
        let body = match (random >> 20) % 12 {
            0 => VenueEvent::Delete { order_id },
            1 => VenueEvent::Reduce { order_id, size: 30 },
            2 => VenueEvent::Replace { order_id, new_order_id: order_id + 200, price: 5, size: 9 },
            3 if n % 5 == 0 => VenueEvent::State(BookState::Stale),
            4 if n % 5 == 0 => VenueEvent::State(BookState::Live),
            5 => VenueEvent::Top { side: Side::Bid, price: 7, size: 1 },
            6 => VenueEvent::Top { side: Side::Ask, price: 8, size: 1 },
            7 => VenueEvent::EndOfInterval,
            _ => {
                let side = if random & 1 == 0 { Side::Bid } else { Side::Ask };
                VenueEvent::Add { order_id, side, price: (random >> 50) as i64, size: 100 }
            }
        };
        let all = body == VenueEvent::EndOfInterval || n % 1_000 == 999;
        events.push(event(channel, if all { ALL_INSTRUMENTS } else { id }, n, body));
    }
    events
}

fn folder() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("recording");
    (folder, dir)
}

fn journal_files(dir: &Path) -> Vec<PathBuf> {
    let channels = ["one", "two"].map(|channel| dir.join(channel));
    let entries = channels.iter().flat_map(|channel| fs::read_dir(channel).into_iter().flatten());
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

fn assert_same(played: &Playback, books: &Books) {
    let states = |books: &Books| {
        let mut states: Vec<_> = books
            .iter()
            .map(|book| (book.channel(), book.instrument_id(), book.state(), book.digest()))
            .collect();
        states.sort_by_key(|&(channel, id, ..)| (channel, id));
        states
    };
    assert_eq!(states(&played.books[0]), states(books));
    assert_eq!(played.books[0].counters().records, books.counters().records);
}

#[test]
fn stale_books_and_hours_come_back() {
    let (_folder, dir) = folder();
    let run = Run::new(&dir, 1 << 16, host_disk, |_| {});
    // Three hours and twenty minutes of feed; one channel's books have healed at the end.
    let mut events = events(2_000);
    events.push(event(0, ALL_INSTRUMENTS, 2_000, VenueEvent::State(BookState::Live)));
    events.push(event(0, 2, 2_001, VenueEvent::Clear));
    let (books, counters) = run.record(&events);
    assert!(books.iter().any(|book| book.state() == BookState::Stale));
    assert!(books.iter().any(|book| book.state() == BookState::Live));
    assert_eq!((counters.overruns, counters.write_errors), (0, 0));
    let names: Vec<_> = journal_files(&dir)
        .iter()
        .map(|path| path.strip_prefix(&dir).unwrap().to_str().unwrap().to_owned())
        .collect();
    let hours = [13, 14, 15, 16].map(|hour| format!("2026-11-23T{hour}.shard-0.dbn.zst"));
    let expected: Vec<_> = ["one", "two"]
        .iter()
        .flat_map(|channel| hours.iter().map(move |hour| format!("{channel}/{hour}")))
        .collect();
    assert_eq!(names, expected);
    let from_start = play(&dir, true).unwrap();
    assert_same(&from_start, &books);
    assert_eq!(from_start.records, counters.records);
    let restored = play(&dir, false).unwrap();
    assert_same(&restored, &books);
    assert_eq!(restored.records, 0);
}

#[test]
fn books_that_reached_a_limit_come_back() {
    let (_folder, dir) = folder();
    let mut events = Vec::new();
    for n in 1..=LIMITS.orders as u64 + 10 {
        let body = VenueEvent::Add { order_id: n, side: Side::Bid, price: 5, size: 1 };
        events.push(event(0, 1 + n as u32 % 7, n, body));
    }
    // Nothing makes a book live that lacks an order, but its end.
    events.push(event(0, ALL_INSTRUMENTS, 1, VenueEvent::State(BookState::Live)));
    events.push(event(0, 1, 2, VenueEvent::Clear));
    events.push(event(0, ALL_INSTRUMENTS, 3, VenueEvent::State(BookState::Live)));
    let (books, counters) = Run::new(&dir, 1 << 16, host_disk, |_| {}).record(&events);
    assert_eq!(counters.overruns, 0);
    assert!(books.iter().filter(|book| book.over_limit()).count() > 3);
    assert_same(&play(&dir, true).unwrap(), &books);
    assert_same(&play(&dir, false).unwrap(), &books);
}

#[test]
fn a_missing_hour_makes_stale_books_unless_a_snapshot_is_behind_it() {
    let (_folder, dir) = folder();
    let (books, _) = Run::new(&dir, 1 << 16, host_disk, |_| {}).record(&events(2_000));
    fs::remove_file(dir.join("one/2026-11-23T14.shard-0.dbn.zst")).unwrap();
    assert_same(&play(&dir, false).unwrap(), &books);
    let played = play(&dir, true).unwrap();
    assert_eq!(played.input.damaged_files, 1);
    assert_ne!(played.books[0].digest(), books.digest());
}

#[test]
fn every_cut_of_a_file_leaves_a_prefix() {
    let (_folder, dir) = folder();
    let (_, counters) =
        Run::new(&dir, 1 << 16, host_disk, |record| record.snapshot_s = 0).record(&events(200));
    let file = journal_files(&dir).remove(0);
    let whole = fs::read(&file).unwrap();
    let mut before = 0;
    for cut in (0..whole.len()).step_by(7) {
        fs::write(&file, &whole[..cut]).unwrap();
        let played = play(&dir, true).unwrap();
        assert_eq!(played.input.damaged_files, 0, "cut at {cut}");
        assert_eq!(played.input.truncated_files, 1, "cut at {cut}");
        assert!(played.records >= before && played.records < counters.records, "cut at {cut}");
        before = played.records;
    }
}

static IS_HELD: AtomicBool = AtomicBool::new(true);
static BEGUN: AtomicU64 = AtomicU64::new(0);
static ENDED: AtomicU64 = AtomicU64::new(0);

/// A file on a disk that stands while it is held.
struct Slow;

impl Write for Slow {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        BEGUN.fetch_add(1, Ordering::Relaxed);
        let began = Instant::now();
        while IS_HELD.load(Ordering::Relaxed) && began.elapsed() < Duration::from_secs(15) {
            std::thread::sleep(Duration::from_millis(1));
        }
        ENDED.fetch_add(1, Ordering::Relaxed);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Output for Slow {
    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_slow_disk_laps_the_recorder_and_the_shard_does_not_notice() {
    let (_folder, dir) = folder();
    let settings = |record: &mut RecordConfig| {
        record.flush_ms = 1;
        record.snapshot_s = 0;
    };
    let mut run = Run::new(&dir, 1 << 10, |_| Ok(Box::new(Slow)), settings);
    let (stop, events) = (AtomicBool::new(false), events(20_000));
    let (ended, counters) = std::thread::scope(|scope| {
        let recorder = scope.spawn(|| run.recorder.run(&stop, &probe().0));
        while BEGUN.load(Ordering::Relaxed) == 0 {
            std::thread::sleep(Duration::from_millis(1));
            for event in &events[..100] {
                run.shard.apply(event);
            }
        }
        for event in &events {
            run.shard.apply(event);
        }
        let ended = ENDED.load(Ordering::Relaxed);
        IS_HELD.store(false, Ordering::Relaxed);
        stop.store(true, Ordering::Release);
        (ended, recorder.join().unwrap())
    });
    assert_eq!(ended, 0, "the disk stood while the shard applied all its events");
    assert!(counters.overruns > 0, "{counters:?}");
    assert!(counters.missed_slots > 10_000, "{counters:?}");
    assert_eq!(counters.write_errors, 0);
}

static ROOM_BYTES: AtomicU64 = AtomicU64::new(0);

/// A file on a disk that has no room after so many bytes.
struct Full(Box<dyn Output>);

impl Write for Full {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = ROOM_BYTES.load(Ordering::Relaxed);
        if room == 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let written = self.0.write(&bytes[..bytes.len().min(room as usize)])?;
        ROOM_BYTES.fetch_sub(written as u64, Ordering::Relaxed);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl Output for Full {
    fn sync(&self) -> io::Result<()> {
        self.0.sync()
    }
}

#[test]
fn a_disk_that_fills_up_keeps_what_was_written() {
    let (_folder, dir) = folder();
    let events = events(2_000);
    let (_, whole) = Run::new(&dir, 1 << 16, host_disk, |_| {}).record(&events);
    for room in (0..whole.bytes).step_by(1_500) {
        let (_folder, dir) = folder();
        ROOM_BYTES.store(room, Ordering::Relaxed);
        let disk: Disk = |path| Ok(Box::new(Full(host_disk(path)?)));
        let (_, counters) = Run::new(&dir, 1 << 16, disk, |_| {}).record(&events);
        assert_eq!((counters.write_errors, counters.recording_stopped), (1, 1), "room {room}");
        let kept = play(&dir, false);
        match kept {
            Ok(kept) => {
                assert_eq!(kept.input.damaged_files, 0, "room {room}");
                assert!(kept.records >= counters.records && kept.records < whole.records);
            }
            Err(error) => assert!(error.to_string().contains("without a journal"), "{error}"),
        }
    }
}
