//! The reading path over rings and boards in memory of the test's own, so that Miri, which maps no
//! files, can follow it: the copy out of the ring, DBN's view of it, healing, and the board.

#![allow(clippy::unwrap_used, reason = "a test; the lint knows test functions only")]

use super::*;
use crate::directory::Directory;
use dbn::{FlagSet, MboMsg, RecordHeader};
use wirebook_shm::board::{self, BoardWriter, Cell};
use wirebook_shm::refresh::{BEGINS, ENDS, RefreshMark};
use wirebook_shm::ring::{self, Writer};

const PUBLISHER: u16 = 2;
const IDS: [u32; 2] = [1, 2];

/// A shard's rings and board, both ends.
struct Shard {
    output: Writer,
    refresh: Writer,
    board: BoardWriter,
}

fn shard() -> (Shard, Ring, Directory) {
    let (output, reader) = ring::open(16).unwrap();
    let (refresh, refreshed) = ring::open(64).unwrap();
    let (mut board, cells) = board::board(4);
    for (place, id) in IDS.into_iter().enumerate() {
        let mut cell =
            Cell { instrument_id: id, publisher: PUBLISHER, state: 2, ..Cell::default() };
        cell.symbol[..2].copy_from_slice(format!("S{id}").as_bytes());
        board.publish(place, &cell).unwrap();
    }
    let directory = Directory::new(vec![cells.clone()]);
    let healer = Some(Healer::new(refreshed, cells, false));
    let ring = Ring { shard: 0, reader, unjudged: false, healer, found: Found::Nothing, ts: 0 };
    (Shard { output, refresh, board }, ring, directory)
}

fn order(id: u32, sequence: u32, flags: u8) -> MboMsg {
    let hd = RecordHeader::new::<MboMsg>(rtype::MBO, PUBLISHER, id, 0);
    MboMsg { hd, sequence, ts_recv: 7, flags: FlagSet::new(flags), ..MboMsg::default() }
}

impl Shard {
    fn push(&mut self, id: u32, sequence: u32) {
        let order = order(id, sequence, 0);
        self.output.push_bytes(RecordRef::from(&order).as_ref()).unwrap();
        self.output.mark_shown();
    }

    /// The whole book of an instrument, as it is after everything pushed so far.
    fn refresh(&mut self, id: u32, orders: u32) {
        let mark = RefreshMark {
            publisher: PUBLISHER,
            instrument_id: id,
            cursor: self.output.cursor().get(),
            ..RefreshMark::default()
        };
        self.refresh.push_bytes(RefreshMark { kind: BEGINS, ..mark }.bytes()).unwrap();
        for number in 0..orders {
            let order = order(id, number, dbn::flags::SNAPSHOT);
            self.refresh.push_bytes(RecordRef::from(&order).as_ref()).unwrap();
        }
        let ends = RefreshMark { kind: ENDS, records: orders.into(), ..mark };
        self.refresh.push_bytes(ends.bytes()).unwrap();
    }
}

/// What the ring gives now: id, sequence, and whether it is of a snapshot; `None` for an overrun.
fn given(ring: &mut Ring) -> Vec<Option<(u32, u32, bool)>> {
    let mut given = Vec::new();
    let mut unknown = 0;
    loop {
        ring.fill(None, &mut unknown);
        let record = match std::mem::replace(&mut ring.found, Found::Nothing) {
            Found::Nothing => break,
            Found::Overrun(_) => {
                given.push(None);
                continue;
            }
            Found::Record => ring.reader.last().dbn(),
            Found::Refreshed => ring.healer.as_mut().and_then(Healer::give),
        };
        let order = record.unwrap().get::<MboMsg>().unwrap();
        given.push(Some((order.hd.instrument_id, order.sequence, order.flags.is_snapshot())));
    }
    assert_eq!(unknown, 0);
    given
}

#[test]
fn a_reader_heals_after_joining_late_and_after_an_overrun() {
    let (mut shard, mut ring, _) = shard();
    assert_eq!(given(&mut ring), []);
    shard.push(1, 10);
    shard.refresh(1, 2);
    shard.push(1, 11);
    shard.push(2, 12);
    // The second instrument's book has not come.
    let first = [(1, 0, true), (1, 1, true), (1, 11, false)].map(Some);
    assert_eq!(given(&mut ring), first);
    shard.refresh(2, 1);
    shard.push(2, 13);
    assert_eq!(given(&mut ring), [(2, 0, true), (2, 13, false)].map(Some));
    (0..40).for_each(|number| shard.push(1, 20 + number));
    assert_eq!(given(&mut ring), [None]);
    shard.refresh(2, 1);
    shard.refresh(1, 3);
    shard.push(1, 60);
    let again = [(2, 0, true), (1, 0, true), (1, 1, true), (1, 2, true), (1, 60, false)];
    assert_eq!(given(&mut ring), again.map(Some));
}

#[test]
fn books_are_found_on_the_board() {
    let (mut shard, _, directory) = shard();
    let mut books = Books::new(directory);
    let instrument = books.directory().find("S2").next().unwrap().clone();
    let before = Cell { instrument_id: 2, publisher: PUBLISHER, state: 2, ..Cell::default() };
    shard.board.publish(1, &Cell { sequence: 9, cursor: 4, ..before }).unwrap();
    let book = books.read(&instrument).unwrap();
    assert_eq!((book.sequence(), book.cursor(), book.bids().len()), (9, Cursor::new(4), 0));
    assert!(books.book("S3").is_err());
}

/// A writer at work in another thread: every record is whole, and none is given twice.
#[test]
fn a_reader_beside_a_writer() {
    let (mut shard, mut ring, _) = shard();
    ring.healer = None;
    let records: u32 = if cfg!(miri) { 100 } else { 100_000 };
    std::thread::scope(|scope| {
        scope.spawn(move || (1..=records).for_each(|number| shard.push(1, number)));
        let (mut last, mut is_over) = (0, false);
        while !is_over {
            for found in given(&mut ring) {
                let Some((id, sequence, _)) = found else { continue };
                assert!(id == 1 && sequence > last);
                last = sequence;
            }
            is_over = ring.reader.cursor().get() == u64::from(records);
            std::thread::yield_now();
        }
    });
}
