//! Readers that join late or were lapped: their books are right again, from memory alone.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;
#[path = "common/live.rs"]
mod live;
#[path = "common/stage.rs"]
mod stage;

use common::plain::Plain;
use common::{SimulatedMarket, plain_levels};
use dbn::MboMsg;
use dbn::decode::{DbnDecoder, DecodeRecord};
use live::net::inside;
use live::{Appliance, PATIENCE, sim, wire};
use nix::sys::signal::Signal;
use stage::{Stage, at};
use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};
use wirebook_client::{BookState, Next, Session};
use wirebook_model::Side;
use wirebook_model::price::PER_FOUR_DECIMALS;

const INSTRUMENTS: u16 = 20;
const ATTACHMENTS: usize = 1_000;
/// How many attach at once.
const READERS: usize = 4;

/// A stage with a market of so many messages.
fn busy(seed: u64, messages: u64) -> Option<Stage> {
    let (wire, folder) = (wire(1, 1)?, common::folder());
    let market = SimulatedMarket::new(seed, INSTRUMENTS, messages);
    let capture = market.write(&folder, "market.pcap");
    Some(Stage { wire, folder, market, capture })
}

/// Plays the stage's market, two seconds of it, at this speed.
fn play(stage: &Stage, speed: &str) {
    let capture = stage.capture.to_str().unwrap();
    sim(&stage.wire, &["--capture", capture, "--interface", "tx0", "--speed", speed]);
}

/// What a reader saw of an instrument: its id, the venue's sequence up to which, and the book.
#[derive(Default)]
struct Seen {
    /// Hashes of all orders in their priority.
    orders: Vec<(u32, u32, u64)>,
    /// Hashes of the ten best levels.
    tops: Vec<(u32, u32, u64)>,
}

fn hash_of(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

fn hash_of_orders(plain: &Plain) -> u64 {
    let orders = plain.orders();
    let plain = orders.iter().map(|&(side, price, id, size)| (side as u8, price, id, size));
    hash_of(&plain.collect::<Vec<_>>())
}

type Levels = Vec<(i64, u64, u32)>;

fn ten_best(plain: &Plain) -> [Levels; 2] {
    [Side::Bid, Side::Ask].map(|side| plain.levels(side).take(10).collect())
}

impl Seen {
    /// Attaches, and sees every book: on the board in one pass, and order by order in one round of
    /// the refresh ring and at the first end of an event of the instrument behind that.
    fn attach(&mut self, socket: &Path) {
        let begun = Instant::now();
        let session = Session::connect(socket).unwrap();
        let mut books = session.books().unwrap();
        let instruments: Vec<_> = books.directory().iter().cloned().collect();
        for instrument in &instruments {
            let book = books.read(instrument).unwrap();
            if book.state() == BookState::Live {
                let levels = [book.bids(), book.asks()].map(|levels| {
                    levels.iter().map(|l| (l.price, l.size, l.orders)).collect::<Levels>()
                });
                self.tops.push((book.instrument_id(), book.sequence() as u32, hash_of(&levels)));
            }
        }
        let mut records = session.records().unwrap();
        records.heal().unwrap();
        let mut plains = HashMap::<u32, Plain>::new();
        let mut left = HashMap::<u32, u32>::new();
        let (mut healed, mut more) = (0, 50);
        while healed < instruments.len() || more > 0 {
            match records.next(Duration::from_millis(300)) {
                Next::Record(read) => {
                    let Some(record) = read.record.get::<MboMsg>() else { continue };
                    let id = record.hd.instrument_id;
                    let plain = plains.entry(id).or_default();
                    plain.apply_record(record);
                    if !record.flags.is_last() {
                        continue;
                    }
                    let to_see = left.entry(id).or_insert(2);
                    healed += usize::from(*to_see == 2);
                    if *to_see > 0 {
                        *to_see -= 1;
                        self.orders.push((id, record.sequence, hash_of_orders(plain)));
                    }
                    if healed >= instruments.len() {
                        more -= 1;
                    }
                }
                Next::Nothing if healed >= instruments.len() => break,
                Next::Nothing if begun.elapsed() < PATIENCE => {}
                other => panic!("{other:?} after {healed} books of {}", instruments.len()),
            }
        }
    }

    /// Compares with what a replay makes, in a plain book; gives how many were compared.
    fn assert_true(&self, truth: &BTreeMap<u32, Vec<MboMsg>>) -> usize {
        let mut compared = 0;
        let sorted = |seen: &[(u32, u32, u64)], of: u32| {
            let mut seen: Vec<_> = seen.iter().filter(|(id, ..)| *id == of).copied().collect();
            seen.sort_unstable();
            seen.dedup();
            seen.into_iter().peekable()
        };
        for (&id, records) in truth {
            let (mut orders, mut tops) = (sorted(&self.orders, id), sorted(&self.tops, id));
            let mut plain = Plain::default();
            for next in records.iter().map(Some).chain([None]) {
                // What was seen before this record.
                let end = next.map_or(u64::MAX, |next| next.sequence.into());
                while let Some((_, sequence, hash)) =
                    orders.next_if(|(_, sequence, _)| u64::from(*sequence) < end)
                {
                    assert_eq!(hash, hash_of_orders(&plain), "orders of {id} at {sequence}");
                    compared += 1;
                }
                while let Some((_, sequence, hash)) =
                    tops.next_if(|(_, sequence, _)| u64::from(*sequence) < end)
                {
                    assert_eq!(hash, hash_of(&ten_best(&plain)), "top of {id} at {sequence}");
                    compared += 1;
                }
                next.iter().for_each(|next| plain.apply_record(next));
            }
            assert!(orders.next().is_none() && tops.next().is_none());
        }
        compared
    }
}

fn truth_of(file: &Path) -> BTreeMap<u32, Vec<MboMsg>> {
    let mut decoder = DbnDecoder::from_file(file).unwrap();
    let mut records = BTreeMap::<u32, Vec<MboMsg>>::new();
    while let Some(record) = decoder.decode_record::<MboMsg>().unwrap() {
        records.entry(record.hd.instrument_id).or_default().push(record.clone());
    }
    records
}

/// A market being played; ends with this.
struct Playing(Child);

impl Drop for Playing {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn whoever_joins_at_any_moment_has_right_books() {
    let Some(stage) = busy(61, 180_000) else { return };
    let appliance = stage.start(2, &[]);
    // Some 4,500 messages a second, for longer than readers need on a host that is not busy.
    let session_end = Instant::now() + Duration::from_secs(40);
    let playing = Playing(inside(&stage.wire.sender, || {
        let options = ["sim", "--interface", "tx0", "--speed", "0.05", "--capture"];
        let mut sim = common::command(&options);
        sim.arg(&stage.capture).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }));
    let seen = std::thread::scope(|scope| {
        let readers = [(); READERS].map(|()| {
            scope.spawn(|| {
                let (mut seen, mut during) = (Seen::default(), 0);
                for _ in 0..ATTACHMENTS / READERS {
                    during += usize::from(Instant::now() < session_end);
                    seen.attach(&stage.socket());
                }
                (seen, during)
            })
        });
        readers.map(|reader| reader.join().unwrap())
    });
    drop(playing);
    appliance.signal(Signal::SIGTERM);
    let summary = appliance.finish();
    let truth = truth_of(&stage.replayed("mbo"));
    assert_eq!(truth.len(), usize::from(INSTRUMENTS));
    let compared = seen.iter().map(|(seen, _)| seen.assert_true(&truth)).sum::<usize>();
    let during = seen.iter().map(|(_, during)| during).sum::<usize>();
    println!("{compared} different books compared of {during} joins; {}", summary["refresh"]);
    assert!(during > ATTACHMENTS / 4, "{during} joined while the session lasted");
    assert!(compared > 20 * during, "{compared} of {during}");
}

#[test]
fn a_reader_that_was_lapped_has_right_books_again() {
    let Some(stage) = busy(62, 20_000) else { return };
    let small = "output_slots = 512\nwake_readers = true";
    let small = at(&stage.socket(), 2).replace("output_slots = 65536", small);
    let appliance = Appliance::start(&stage.wire, &small, &[]);
    let session = Session::connect(stage.socket()).unwrap();
    let mut records = session.records().unwrap().from_start();
    records.heal().unwrap();
    let mut plains = HashMap::<u32, Plain>::new();
    let (mut overruns, mut taken) = (0, 0);
    std::thread::scope(|scope| {
        let play = scope.spawn(|| play(&stage, "0.5"));
        loop {
            let is_over = play.is_finished();
            match records.next(Duration::from_millis(500)) {
                Next::Record(read) => {
                    if let Some(record) = read.record.get::<MboMsg>() {
                        let id = record.hd.instrument_id;
                        plains.entry(id).or_default().apply_record(record);
                        taken += 1;
                        // Long enough for both rings to be lapped.
                        if taken % 4_000 == 0 {
                            std::thread::sleep(Duration::from_millis(300));
                        }
                    }
                }
                Next::Overrun { .. } => overruns += 1,
                Next::Nothing => {
                    if is_over && records.pending() == Some(0) {
                        break;
                    }
                }
                Next::WriterGone => panic!("{}", appliance.log()),
            }
        }
    });
    assert!(overruns > 1, "{overruns} overruns");
    assert_eq!(plains.len(), usize::from(INSTRUMENTS));
    let mut books = session.books().unwrap();
    for symbol in stage.market.symbols() {
        let expected = stage.market.market.expected_book(&symbol).unwrap();
        let id = books.directory().find(&symbol).next().unwrap().id;
        let levels = |side| {
            let levels = plains[&id].levels(side);
            let shown =
                |(price, size, orders)| (price / PER_FOUR_DECIMALS, size, u64::from(orders));
            levels.map(shown).collect::<Vec<_>>()
        };
        assert_eq!(levels(Side::Bid), plain_levels(&expected.bids), "bids of {symbol}");
        assert_eq!(levels(Side::Ask), plain_levels(&expected.asks), "asks of {symbol}");
    }
    appliance.signal(Signal::SIGTERM);
    let summary = appliance.finish();
    assert_eq!(summary["refresh"]["too_large"], 0);
    assert!(summary["refresh"]["rounds"].as_u64().unwrap() > 1);
}

#[test]
fn without_orders_published_nobody_can_heal() {
    let Some(stage) = busy(63, 1_000) else { return };
    let levels =
        at(&stage.socket(), 1).replace("[segment]\n", "[segment]\nschemas = [\"mbp-1\"]\n");
    let appliance = Appliance::start(&stage.wire, &levels, &[]);
    let session = Session::connect(stage.socket()).unwrap();
    let refused = session.records().unwrap().heal().unwrap_err().to_string();
    assert!(refused.contains("schema mbo"), "{refused}");
    appliance.signal(Signal::SIGTERM);
    appliance.finish();
}
