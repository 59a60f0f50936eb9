//! The functions as C calls them: right answers beside a writer of the test's own, and wrong calls.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::ffi::{CStr, CString, c_char};
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt;
use std::ptr::null;
use std::time::{Duration, Instant};

use crate::books::*;
use crate::dbn_records::wirebook_mbo_msg;
use crate::records::*;
use crate::result::{answer, wirebook_last_error, wirebook_result as R};
use crate::session::*;
use crate::writer::{Start, cell, path, refresh};

const PATIENCE_NS: u64 = 20_000_000_000;

fn last_error() -> String {
    // SAFETY: the library's own text, which ends with a zero byte and stays until the next failure.
    let text = unsafe { CStr::from_ptr(wirebook_last_error()) };
    text.to_str().unwrap().to_owned()
}

/// What a function puts where it is told to.
fn made<T>(call: impl FnOnce(Option<&mut MaybeUninit<T>>) -> R) -> Result<T, R> {
    let mut place = MaybeUninit::uninit();
    match call(Some(&mut place)) {
        // SAFETY: a function that succeeds has written.
        R::Ok => Ok(unsafe { place.assume_init() }),
        failed => Err(failed),
    }
}

fn connect(path: *const c_char) -> Result<Box<wirebook_session>, R> {
    // SAFETY: the tests give null and texts that end with a zero byte.
    made(|place| unsafe { wirebook_connect(path, place) })
}

fn session(start: &Start) -> Box<wirebook_session> {
    let path = CString::new(start.socket.path.as_os_str().as_bytes()).unwrap();
    connect(path.as_ptr()).unwrap()
}

fn find(books: &mut wirebook_books, symbol: &CStr, nth: usize) -> Result<wirebook_instrument, R> {
    // SAFETY: a text that ends with a zero byte.
    made(|place| unsafe { wirebook_books_find(Some(books), symbol.as_ptr(), nth, place) })
}

fn only(records: &mut wirebook_records, books: &mut wirebook_books, symbols: &[&CStr]) -> R {
    let pointers: Vec<_> = symbols.iter().map(|symbol| symbol.as_ptr()).collect();
    // SAFETY: as many texts as are said, each of which ends with a zero byte.
    unsafe { wirebook_records_only(Some(records), Some(books), pointers.as_ptr(), pointers.len()) }
}

fn next(records: &mut wirebook_records, timeout_ns: u64) -> (wirebook_kind, wirebook_next) {
    let mut place = MaybeUninit::uninit();
    let kind = wirebook_records_next(Some(records), timeout_ns, Some(&mut place));
    assert_ne!(kind, wirebook_kind::Failed, "{}", last_error());
    // SAFETY: a call that does not fail has written.
    (kind, unsafe { place.assume_init() })
}

/// The sequence of the order's record that came.
fn sequence(next: &wirebook_next) -> u32 {
    assert_eq!(next.length_bytes, 56);
    // SAFETY: an order's record by its length, and nothing was called since.
    unsafe { (*next.record.cast::<wirebook_mbo_msg>()).sequence }
}

#[test]
fn wrong_calls_are_failures_with_a_text() {
    assert_eq!(connect(null()).err(), Some(R::InvalidArgument));
    assert!(last_error().contains("a path, found a null pointer"), "{}", last_error());
    assert_eq!(connect(c"\xff".as_ptr()).err(), Some(R::InvalidArgument));
    assert!(last_error().contains("UTF-8"), "{}", last_error());
    // SAFETY: a text that ends with a zero byte.
    let nowhere_to_put = unsafe { wirebook_connect(c"x".as_ptr(), None) };
    assert_eq!(nowhere_to_put, R::InvalidArgument);
    assert_eq!(wirebook_epoch(None), 0);
    assert_eq!((wirebook_writer_pid(None), wirebook_shards(None)), (0, 0));
    assert_eq!(wirebook_records_unknown(None), 0);
    wirebook_close(None);
    wirebook_records_close(None);
    wirebook_books_close(None);
    let records = made(|place| wirebook_records_open(None, place));
    assert_eq!(records.err(), Some(R::InvalidArgument));
    assert!(last_error().contains("a session"), "{}", last_error());
    let books = made(|place| wirebook_books_open(None, place));
    assert_eq!(books.err(), Some(R::InvalidArgument));
    assert_eq!(wirebook_records_from_start(None), R::InvalidArgument);
    assert_eq!(wirebook_records_wait(None, 1), R::InvalidArgument);
    assert_eq!(wirebook_records_next(None, 0, None), wirebook_kind::Failed);
    let reattached = made(|place| wirebook_reconnect(None, 0, place));
    assert_eq!(reattached.err(), Some(R::InvalidArgument));
    let found = made(|place| wirebook_books_find_id(None, 1, 1, place));
    assert_eq!(found.err(), Some(R::InvalidArgument));
    let book = made(|place| wirebook_books_read(None, None, place));
    assert_eq!(book.err(), Some(R::InvalidArgument));
    assert!(last_error().contains("an instrument"), "{}", last_error());
}

#[test]
fn each_thread_has_its_own_last_error() {
    assert_eq!(connect(null()).err(), Some(R::InvalidArgument));
    let elsewhere = std::thread::spawn(last_error).join().unwrap();
    assert_eq!((elsewhere.as_str(), last_error().is_empty()), ("", false));
}

#[test]
fn a_handle_may_go_to_another_thread() {
    fn goes<T: Send>() {}
    goes::<wirebook_session>();
    goes::<wirebook_records>();
    goes::<wirebook_books>();
}

#[test]
fn a_panic_stays_inside() {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let result = answer(|| panic!("a test's"));
    std::panic::set_hook(hook);
    assert_eq!(result, R::Internal);
    assert!(last_error().contains("libwirebook"), "{}", last_error());
}

#[test]
#[cfg_attr(miri, ignore = "a session needs a socket and a memfd")]
fn nobody_answers() {
    assert_eq!(connect(c"/nowhere/x.sock".as_ptr()).err(), Some(R::Unreachable));
    assert!(last_error().contains("/nowhere/x.sock"), "{}", last_error());
}

#[test]
#[cfg_attr(miri, ignore = "a session needs a socket and a memfd")]
fn records_overruns_and_the_writers_end() {
    let mut start = Start::new(path(), 2);
    let mut session = session(&start);
    assert_eq!((wirebook_shards(Some(&session)), wirebook_epoch(Some(&session))), {
        (2, start.segment.epoch())
    });
    assert_eq!(wirebook_writer_pid(Some(&session)), std::process::id());
    let mut all = made(|place| wirebook_records_open(Some(&session), place)).unwrap();
    let mut second = made(|place| wirebook_records_open_shard(Some(&session), 1, place)).unwrap();
    let third = made(|place| wirebook_records_open_shard(Some(&session), 2, place));
    assert_eq!(third.err(), Some(R::NoSuchShard));
    assert_eq!(wirebook_records_wait(Some(&mut all), 3), R::InvalidArgument);
    assert_eq!(wirebook_records_wait(Some(&mut all), wirebook_wait::Spin as i32), R::Ok);
    assert_eq!(next(&mut all, 0).0, wirebook_kind::Nothing);
    start.push(1, 7, 2, 20);
    start.push(0, 6, 1, 10);
    start.rings[0].push_bytes(&[14; 56]).unwrap();
    for expected in [(0, 1), (1, 2)] {
        let (kind, found) = next(&mut all, PATIENCE_NS);
        assert_eq!(kind, wirebook_kind::Record);
        assert_eq!((found.shard, sequence(&found)), expected);
        assert_eq!((found.cursor, found.missed_slots), (0, 0));
    }
    assert_eq!(next(&mut all, 0).0, wirebook_kind::Nothing);
    assert_eq!(wirebook_records_unknown(Some(&all)), 1);
    for number in 3..103 {
        start.push(1, 7, number, 20);
    }
    let (kind, found) = next(&mut second, 0);
    assert_eq!((kind, found.shard, found.missed_slots), (wirebook_kind::Overrun, 1, 101));
    assert!(found.record.is_null());
    assert_eq!(wirebook_records_from_start(Some(&mut second)), R::Ok);
    assert_eq!(next(&mut second, 0).0, wirebook_kind::Overrun);
    // The writer ends; the next is found; records and books outlive their session.
    let path = start.socket.path.clone();
    drop(start);
    let begun = Instant::now();
    while next(&mut second, 100_000_000).0 != wirebook_kind::WriterGone {
        assert!(begun.elapsed() < Duration::from_secs(10));
    }
    let nobody = made(|place| wirebook_reconnect(Some(&mut session), 1, place));
    assert_eq!(nobody.err(), Some(R::Unreachable));
    let again = Start::new(path, 1);
    let found = made(|place| wirebook_reconnect(Some(&mut session), PATIENCE_NS, place));
    assert_eq!(found, Ok(wirebook_reattached::NextStart));
    assert_eq!(wirebook_epoch(Some(&session)), again.segment.epoch());
    wirebook_close(Some(session));
    assert_eq!(next(&mut all, 0).0, wirebook_kind::Overrun);
    wirebook_records_close(Some(all));
    wirebook_records_close(Some(second));
}

#[test]
#[cfg_attr(miri, ignore = "a session needs a socket and a memfd")]
fn whole_books_come_where_something_was_missed() {
    let mut start = Start::new(path(), 1);
    start.boards[0].publish(0, &cell(7, 0, 0)).unwrap();
    start.push(0, 7, 1, 0);
    start.rings[0].mark_shown();
    let session = session(&start);
    let mut records = made(|place| wirebook_records_open(Some(&session), place)).unwrap();
    assert_eq!(wirebook_records_heal(None), R::InvalidArgument);
    assert_eq!(wirebook_records_pending(None), 0);
    assert_eq!(wirebook_records_heal(Some(&mut records)), R::Ok);
    assert_eq!(wirebook_records_pending(Some(&records)), u64::MAX);
    assert_eq!(next(&mut records, 0).0, wirebook_kind::Nothing);
    start.push(0, 7, 2, 0);
    assert_eq!(next(&mut records, 0).0, wirebook_kind::Nothing);
    assert_eq!(wirebook_records_pending(Some(&records)), 1);
    refresh(&mut start.refreshes[0], 7, 2, [10, 11]);
    for expected in [10, 11] {
        let (kind, found) = next(&mut records, PATIENCE_NS);
        assert_eq!((kind, sequence(&found)), (wirebook_kind::Record, expected));
    }
    assert_eq!(wirebook_records_pending(Some(&records)), 0);
}

#[test]
#[cfg_attr(miri, ignore = "a session needs a socket and a memfd")]
fn books_by_symbol_and_by_record() {
    let mut start = Start::new(path(), 2);
    let mut seven = cell(7, 40, 1);
    (seven.bids[0].price, seven.bids[0].size, seven.bids[0].orders) = (99, 5, 2);
    (seven.asks[0].price, seven.asks[0].size) = (101, 6);
    (seven.last_price, seven.last_size) = (100, 3);
    (seven.ts_event, seven.ts_recv, seven.channel) = (11, 12, 4);
    start.boards[1].publish(0, &seven).unwrap();
    let session = session(&start);
    let mut books = made(|place| wirebook_books_open(Some(&session), place)).unwrap();
    let mut records = made(|place| wirebook_records_open(Some(&session), place)).unwrap();
    let found = find(&mut books, c"S7", 0).unwrap();
    assert_eq!((found.instrument_id, found.publisher_id, found.channel), (7, 2, 4));
    assert_eq!((found.shard, found.place), (1, 0));
    assert_eq!(find(&mut books, c"S7", 1).err(), Some(R::NoSuchInstrument));
    assert_eq!(find(&mut books, c"S8", 0).err(), Some(R::NoSuchInstrument));
    assert!(last_error().contains("S8"), "{}", last_error());

    let book = made(|place| wirebook_books_read(Some(&books), Some(&found), place)).unwrap();
    assert_eq!(book.instrument.symbol[..3], [b'S' as c_char, b'7' as c_char, 0]);
    assert_eq!((book.state, book.bids_count, book.asks_count), (wirebook_state::Live, 1, 1));
    let best = (book.bids[0].price, book.bids[0].size, book.bids[0].orders, book.asks[0].size);
    assert_eq!(best, (99, 5, 2, 6));
    assert_eq!((book.last_price, book.last_size, book.sequence), (100, 3, 40));
    assert_eq!((book.ts_event, book.ts_recv, book.cursor), (11, 12, 1));

    // The directory grows; a record's ids lead to its instrument.
    start.boards[0].publish(0, &cell(8, 1, 0)).unwrap();
    let by_id = made(|place| wirebook_books_find_id(Some(&mut books), 2, 8, place)).unwrap();
    assert_eq!((by_id.symbol[1], by_id.shard), (b'8' as c_char, 0));
    let unknown = made(|place| wirebook_books_find_id(Some(&mut books), 2, 9, place));
    assert_eq!(unknown.err(), Some(R::NoSuchInstrument));
    start.boards[0].publish(1, &cell(9, 1, 0)).unwrap();
    let count = made(|place| wirebook_books_refresh(Some(&mut books), place));
    assert_eq!(count, Ok(3));
    let numbered: Vec<_> = (0..4)
        .map_while(|n| made(|p| wirebook_books_instrument(Some(&mut books), n, p)).ok())
        .map(|found| found.instrument_id)
        .collect();
    assert_eq!(numbered, [7, 8, 9]);

    // An instrument that was found elsewhere, or never.
    for (wrong, expected) in [
        (wirebook_instrument { instrument_id: 8, ..found }, R::NoSuchInstrument),
        (wirebook_instrument { place: 99, ..found }, R::NoSuchInstrument),
        (wirebook_instrument { shard: 2, ..found }, R::NoSuchShard),
    ] {
        let book = made(|place| wirebook_books_read(Some(&books), Some(&wrong), place));
        assert_eq!(book.err(), Some(expected));
    }

    // Joined, a book and the records that go on from it; of that symbol alone.
    assert_eq!(only(&mut records, &mut books, &[c"S7", c"S1"]), R::NoSuchInstrument);
    assert_eq!(only(&mut records, &mut books, &[c"S7"]), R::Ok);
    let mut join = |patience_ns| {
        let (records, books) = (Some(&mut *records), Some(&*books));
        made(|p| wirebook_records_join(records, books, Some(&found), patience_ns, p))
    };
    assert_eq!(join(PATIENCE_NS).unwrap().sequence, 40);
    start.push(0, 8, 1, 0);
    start.push(1, 7, 41, 0);
    let (_, record) = next(&mut records, PATIENCE_NS);
    assert_eq!((record.shard, sequence(&record)), (1, 41));
    let mut join = |patience_ns| {
        let (records, books) = (Some(&mut *records), Some(&*books));
        made(|p| wirebook_records_join(records, books, Some(&found), patience_ns, p))
    };
    assert_eq!(join(1_000).err(), Some(R::NotShown));
    let mut first = made(|place| wirebook_records_open_shard(Some(&session), 0, place)).unwrap();
    let joined =
        made(|place| wirebook_records_join(Some(&mut first), Some(&books), Some(&found), 0, place));
    assert_eq!(joined.err(), Some(R::OtherShard));
    wirebook_books_close(Some(books));
}
