//! Sessions with a writer of the test's own: order, overruns, joining, and the writer's end.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::io::Write;
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use common::{Start, cell, path, push, refresh};
use dbn::{MboMsg, RecordRef};
use wirebook_client::{ClientError, Next, Notice, NoticeLevel, Reattached, Records, Session, Wait};
use wirebook_shm::SegmentView;
use wirebook_shm::refresh::{BEGINS, RefreshMark};

const PATIENCE: Duration = Duration::from_secs(20);

/// The sequences that can be read now.
fn sequences(records: &mut Records) -> Vec<u32> {
    let mut found = Vec::new();
    loop {
        match records.poll() {
            Next::Record(read) => found.push(read.record.get::<MboMsg>().unwrap().sequence),
            Next::Nothing => return found,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn several_rings_are_merged_by_receive_time() {
    let mut start = Start::new(path(), 2);
    let session = start.session();
    assert_eq!((session.shards(), session.writer_pid()), (2, std::process::id()));
    let mut records = session.records().unwrap();
    let mut second = session.shard_records(1).unwrap();
    assert!(session.shard_records(2).is_err());
    for (shard, sequence, ts_recv) in
        [(0, 1, 10), (0, 4, 40), (1, 2, 20), (1, 3, 30), (1, 5, 50), (0, 6, 60)]
    {
        start.push(shard, 1, sequence, ts_recv);
    }
    assert_eq!(sequences(&mut records), [1, 2, 3, 4, 5, 6]);
    // What comes late comes late: no shard waits for another.
    start.push(0, 1, 8, 80);
    assert_eq!(sequences(&mut records), [8]);
    start.push(1, 1, 7, 70);
    assert_eq!(sequences(&mut records), [7]);
    assert_eq!(sequences(&mut second), [2, 3, 5, 7]);
    // A record without a receive time stands where the one before it stood.
    start.push(0, 1, 9, 90);
    start.push(0, 1, 10, u64::MAX);
    start.push(1, 1, 11, 100);
    assert_eq!(sequences(&mut records), [9, 10, 11]);
    assert_eq!(sequences(&mut session.records().unwrap().from_start()).len(), 11);
}

#[test]
fn records_of_chosen_instruments_alone() {
    let mut start = Start::new(path(), 1);
    for id in 1..4 {
        start.boards[0].publish(id as usize - 1, &cell(id, 0, 0)).unwrap();
    }
    let session = start.session();
    let mut books = session.books().unwrap();
    let wanted: Vec<_> = books.directory().find("S2").cloned().collect();
    let mut records = session.records().unwrap().only(&wanted);
    for number in 1..10 {
        start.push(0, number % 3 + 1, number, 0);
    }
    // Not of this DBN version: stepped over, and counted.
    start.rings[0].push_bytes(&[14; 56]).unwrap();
    assert_eq!(sequences(&mut records), [1, 4, 7]);
    assert_eq!(records.unknown(), 1);
    assert_eq!(books.book("S3").unwrap().instrument_id(), 3);
    assert!(books.book("S4").unwrap_err().to_string().contains("S4"));
}

#[test]
fn a_board_that_lags_is_not_joined() {
    let mut start = Start::new(path(), 1);
    start.boards[0].publish(0, &cell(1, 0, 0)).unwrap();
    start.push(0, 1, 1, 0);
    let session = start.session();
    let mut books = session.books().unwrap();
    let instrument = books.directory().find("S1").next().unwrap().clone();
    let mut records = session.records().unwrap();
    let lagging = records.join(&books, &instrument, Duration::from_millis(20));
    assert!(lagging.unwrap_err().to_string().contains("board of shard 0"));
    start.boards[0].publish(0, &cell(1, 1, 1)).unwrap();
    start.rings[0].mark_shown();
    assert_eq!(records.join(&books, &instrument, PATIENCE).unwrap().sequence(), 1);
}

#[test]
fn an_overrun_is_told_with_what_was_missed() {
    let mut start = Start::new(path(), 1);
    let session = start.session();
    let mut records = session.records().unwrap();
    for number in 0..200 {
        start.push(0, 1, number, 0);
    }
    assert!(matches!(records.poll(), Next::Overrun { shard: 0, missed_slots: 200 }));
    start.push(0, 1, 200, 0);
    assert_eq!(sequences(&mut records), [200]);
    let mut from_start = session.records().unwrap().from_start();
    assert!(matches!(from_start.poll(), Next::Overrun { missed_slots: 201, .. }));
}

#[test]
fn a_book_is_given_where_it_holds_and_its_instrument_is_silent_until_then() {
    let mut start = Start::new(path(), 1);
    for (place, id) in [(0, 1), (1, 2)] {
        start.boards[0].publish(place, &cell(id, 0, 0)).unwrap();
    }
    start.push(0, 1, 1, 0);
    start.push(0, 2, 2, 0);
    start.rings[0].mark_shown();
    // Of before the reader's time.
    refresh(&mut start.refreshes[0], 1, 2, [90, 91]);
    let mut records = start.session().records().unwrap();
    records.heal().unwrap();
    assert_eq!((sequences(&mut records), records.pending()), (vec![], Some(2)));
    start.push(0, 1, 3, 0);
    assert_eq!(sequences(&mut records), []);
    // One that is not finished holds nowhere; the next does, between records 4 and 5.
    let mut unfinished = RefreshMark { publisher: 2, instrument_id: 2, ..RefreshMark::default() };
    unfinished.kind = BEGINS;
    start.refreshes[0].push_bytes(unfinished.bytes()).unwrap();
    start.push(0, 2, 4, 0);
    refresh(&mut start.refreshes[0], 2, 4, [20, 21]);
    start.push(0, 2, 5, 0);
    start.push(0, 1, 6, 0);
    assert_eq!((sequences(&mut records), records.pending()), (vec![20, 21, 5], Some(1)));
    refresh(&mut start.refreshes[0], 1, 6, [10, 11]);
    assert_eq!((sequences(&mut records), records.pending()), (vec![10, 11], Some(0)));
    start.push(0, 1, 7, 0);
    assert_eq!(sequences(&mut records), [7]);
    // Lapped, it begins anew, once the board shows all that was missed.
    (0..100).for_each(|number| start.push(0, 1, number, 0));
    assert!(matches!(records.poll(), Next::Overrun { .. }));
    assert_eq!((sequences(&mut records), records.pending()), (vec![], None));
    start.rings[0].mark_shown();
    assert_eq!((sequences(&mut records), records.pending()), (vec![], Some(2)));
}

/// A reader that joins at any moment has, with the book and the records behind its cursor, every
/// record of the instrument once: the book says how many there were, the records are numbered.
#[test]
fn a_reader_joins_without_a_gap() {
    let mut start = Start::new(path(), 1);
    start.boards[0].publish(0, &cell(1, 0, 0)).unwrap();
    start.boards[0].publish(1, &cell(2, 0, 0)).unwrap();
    start.boards[0].publish(2, &cell(3, 0, 0)).unwrap();
    let session = start.session();
    let stop = AtomicBool::new(false);
    let Start { mut rings, mut boards, segment, socket: _socket, .. } = start;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut counts = [0_u32; 3];
            let mut random = 1_u64;
            while !stop.load(Ordering::Relaxed) {
                // A turn: records first, then the cells that changed. The third is quiet mostly.
                let mut changed = [false; 3];
                for _ in 0..5 {
                    random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    let nth = [0, 0, 0, 1, 1, 1, 2][(random >> 33) as usize % 7];
                    counts[nth] += 1;
                    changed[nth] = true;
                    push(&mut rings[0], nth as u32 + 1, counts[nth], 0);
                    std::thread::yield_now();
                }
                let cursor = rings[0].cursor().get();
                for (nth, count) in counts.iter().enumerate().filter(|(nth, _)| changed[*nth]) {
                    let cell = cell(nth as u32 + 1, u64::from(*count), cursor);
                    boards[0].publish(nth, &cell).unwrap();
                }
                rings[0].mark_shown();
                segment.heartbeat(random);
            }
        });
        let _stop = SetWhenOver(&stop);
        let mut books = session.books().unwrap();
        let mut joined = 0;
        while joined < 1_000 {
            let symbol = ["S1", "S2", "S3"][joined % 3];
            let instrument = books.directory().find(symbol).next().unwrap().clone();
            let mut records =
                session.records().unwrap().only([&instrument]).waiting(Wait::SpinThenYield);
            let book = records.join(&books, &instrument, PATIENCE).unwrap();
            let mut expected = book.sequence() as u32 + 1;
            for _ in 0..3 {
                match records.next(PATIENCE) {
                    Next::Record(read) if read.cursor < book.cursor() => {
                        let sequence = read.record.get::<MboMsg>().unwrap().sequence;
                        assert!(sequence < expected, "a record that the book does not hold");
                    }
                    Next::Record(read) => {
                        assert_eq!(read.record.get::<MboMsg>().unwrap().sequence, expected);
                        expected += 1;
                    }
                    // Lapped: the next joins.
                    Next::Overrun { .. } => break,
                    other => panic!("{other:?}"),
                }
            }
            joined += 1;
        }
    });
}

/// Ends the writer when its reader is over, by a failure too.
struct SetWhenOver<'a>(&'a AtomicBool);

impl Drop for SetWhenOver<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_writer_that_ends_is_told_after_its_last_record_and_the_next_is_found() {
    let path = path();
    let mut first = Start::new(path.clone(), 1);
    let mut session = first.session();
    let mut records = session.records().unwrap();
    first.push(0, 1, 1, 0);
    first.segment.heartbeat(1);
    drop(first.socket);
    let begun = Instant::now();
    let mut found = Vec::new();
    loop {
        match records.next(Duration::from_millis(300)) {
            Next::Record(read) => found.push(read.record.get::<MboMsg>().unwrap().sequence),
            Next::WriterGone => break,
            Next::Nothing => assert!(begun.elapsed() < Duration::from_secs(10)),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(found, [1]);
    assert!(begun.elapsed() >= Duration::from_secs(2), "too early");
    let nobody = session.reconnect(Duration::from_millis(50)).unwrap_err().to_string();
    assert!(nobody.contains(path.to_str().unwrap()), "{nobody}");
    let second = Start::new(path, 1);
    assert_eq!(session.reconnect(Duration::from_secs(5)).unwrap(), Reattached::NextStart);
    assert_eq!(session.epoch(), second.segment.epoch());
    // A writer that was only slow is the same as before; one that does not move is none.
    assert!(session.reconnect(Duration::from_millis(50)).is_err());
    let slow = Arc::clone(&second.segment);
    let beating = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(100));
        slow.heartbeat(7);
    });
    assert_eq!(session.reconnect(Duration::from_secs(5)).unwrap(), Reattached::SameStart);
    beating.join().unwrap();
}

#[test]
fn another_abi_version_is_refused_with_both_named() {
    let path = path();
    let listener = UnixListener::bind(&path).unwrap();
    let answering = std::thread::spawn(move || {
        let mut greeting = [0; 32];
        greeting[..8].copy_from_slice(b"WIREBOOK");
        greeting[8] = 9;
        listener.accept().unwrap().0.write_all(&greeting).unwrap();
    });
    let error = Session::connect(&path).err().unwrap().to_string();
    assert!(error.contains("speaks ABI version 2, the appliance version 9"), "{error}");
    answering.join().unwrap();
    std::fs::remove_file(&path).unwrap();
    assert!(Session::connect(&path).err().unwrap().to_string().contains("No such file"));
}

#[test]
fn notices_are_read_from_the_oldest_that_is_still_there() {
    let mut start = Start::new(path(), 1);
    let told = |number: u64| Notice {
        ts_event: number,
        level: NoticeLevel::Warning,
        text: format!("notice {number}"),
    };
    let mut tell = |range: std::ops::Range<u64>| {
        for number in range {
            let record = told(number).to_record();
            start.notices.push_bytes(RecordRef::from(&record).as_ref()).unwrap();
        }
    };
    tell(0..3);
    let session = Session::connect(&start.socket.path).unwrap();
    let mut notices = session.notices().unwrap();
    let all: Vec<_> = notices.by_ref().collect();
    assert_eq!(all, [told(0), told(1), told(2)]);
    tell(3..4);
    assert_eq!(notices.by_ref().collect::<Vec<_>>(), [told(3)]);
    // Its ring has room for some 20; whoever comes now gets the newest of them, in order.
    tell(4..100);
    let late: Vec<_> = session.notices().unwrap().collect();
    assert!(late.len() > 10, "{late:?}");
    let expected: Vec<_> = (100 - late.len() as u64..100).map(told).collect();
    assert_eq!(late, expected);
}

#[test]
fn a_session_on_a_segment_of_ones_own_has_no_next_start() {
    let start = Start::new(path(), 2);
    let mut session = Session::of(SegmentView::open(start.segment.share().unwrap()).unwrap());
    assert_eq!((session.shards(), session.epoch()), (2, start.segment.epoch()));
    assert!(matches!(session.reconnect(Duration::ZERO), Err(ClientError::WriterGone)));
}
