//! What books promise about any events, sense and nonsense; the fuzz targets hold them to it too.

use std::collections::BTreeMap;

use super::inverse::{events_of, mbo};
use super::plain::Plain;
use dbn::{MboMsg, RecordBuf, flags};
use wirebook_machine::{Book, Books, Limits};
use wirebook_model::{BookState, Event, EventHeader, Side, VenueEvent};

/// The books are, after each event, those of the plainest implementation, and so is a reader's copy
/// made from the records alone; for which `limits` have room.
pub(crate) fn equal_plain_books(limits: Limits, events: &[Event]) {
    let mut books = Books::new(limits).unwrap();
    let mut plain: BTreeMap<_, Plain> = BTreeMap::new();
    let mut reader = Reader::default();
    for event in events {
        let mut out = Vec::new();
        books.apply(event, &mut out);
        let plain = plain.entry(key(event)).or_default();
        plain.apply_event(&event.body);
        let book = books.get(event.header.channel, event.header.instrument_id).unwrap();
        assert_same(book, plain);
        reader.take(&out, event);
        if let Some((rebuilt, _)) = reader.books.get(&key(event)) {
            assert_same(book, rebuilt);
        }
        let trusted = book.state() == BookState::Live;
        assert!(mbo(&out).all(|record| record.flags.is_maybe_bad_book() != trusted));
    }
    let resting: usize = books.iter().map(|book| book.orders().count()).sum();
    assert_eq!(books.in_use().orders, resting);
}

/// Where something did not fit, the book says so, and a reader's copy is as wrong as the book.
pub(crate) fn no_limit_breaks_a_book(limits: Limits, events: &[Event]) {
    let mut books = Books::new(limits).unwrap();
    let mut reader = Reader::default();
    for event in events {
        let mut out = Vec::new();
        let before = *books.counters();
        books.apply(event, &mut out);
        reader.take(&out, event);
        let after = books.counters();
        let Some(book) = books.get(event.header.channel, event.header.instrument_id) else {
            assert_eq!(after.instrument_limit_hits, before.instrument_limit_hits + 1);
            continue;
        };
        if let Some((rebuilt, _)) = reader.books.get(&key(event)) {
            assert_same(book, rebuilt);
        }
        let hits = after.order_limit_hits + after.level_limit_hits;
        if hits > before.order_limit_hits + before.level_limit_hits {
            assert!(book.over_limit());
        }
        if book.over_limit() {
            assert_eq!(book.state(), BookState::Stale);
            assert!(mbo(&out).all(|record| record.flags.is_maybe_bad_book()));
        }
    }
}

/// Records, read backwards as events, give the same records and books of the same digest.
pub(crate) fn replay_to_the_same_digest(limits: Limits, events: &[Event]) {
    let mut books = Books::new(limits).unwrap();
    let mut records = Vec::new();
    events.iter().for_each(|event| books.apply(event, &mut records));
    let mut replayed = Books::new(limits).unwrap();
    let mut again = Vec::new();
    for event in mbo(&records).flat_map(events_of) {
        replayed.apply(&event, &mut again);
    }
    assert!(mbo(&records).eq(mbo(&again)));
    // Records say that a book is not live, and not what else it is.
    for book in books.iter() {
        let header = EventHeader {
            channel: book.channel(),
            flags: 0,
            instrument_id: book.instrument_id(),
            sequence: 0,
            ts_event: 0,
        };
        let body = VenueEvent::State(book.state());
        replayed.apply(&Event { header, body }, &mut ());
    }
    assert_eq!(books.digest(), replayed.digest());
}

/// Saves after every `step`-th event, and feeds what follows to the restored books too.
pub(crate) fn resumes(limits: Limits, events: &[Event], step: usize) {
    let mut books = Books::new(limits).unwrap();
    books.set_publisher(0, 7);
    books.set_quotes_restore(0, true);
    let mut out: Vec<RecordBuf> = Vec::new();
    let mut saves = Vec::new();
    for (at, event) in events.iter().enumerate() {
        if at % step == 0 {
            let restored = Books::restore(limits, &saved(&books)).unwrap();
            assert_equal(&books, &restored);
            saves.push((at, out.len(), restored));
        }
        books.apply(event, &mut out);
    }
    let records: Vec<&MboMsg> = mbo(&out).collect();
    assert_eq!(records.len(), out.len());
    for (at, records_before, mut restored) in saves {
        let mut rest: Vec<RecordBuf> = Vec::new();
        events[at..].iter().for_each(|event| restored.apply(event, &mut rest));
        assert!(mbo(&rest).eq(records[records_before..].iter().copied()), "saved at {at}");
        assert_equal(&books, &restored);
    }
}

pub(crate) fn saved(books: &Books) -> Vec<u8> {
    let mut bytes = Vec::new();
    books.save(&mut bytes);
    bytes
}

pub(crate) fn assert_equal(books: &Books, restored: &Books) {
    assert_eq!(books.digest(), restored.digest());
    assert_eq!(books.counters(), restored.counters());
    assert_eq!(books.in_use(), restored.in_use());
    assert_eq!(books.iter().count(), restored.iter().count());
    for (book, again) in books.iter().zip(restored.iter()) {
        assert_eq!(
            (book.channel(), book.instrument_id()),
            (again.channel(), again.instrument_id())
        );
        assert_eq!((book.state(), book.stale_reason()), (again.state(), again.stale_reason()));
        assert_eq!((book.sequence(), book.symbol()), (again.sequence(), again.symbol()));
        assert_eq!((book.ts_event(), book.ts_recv()), (again.ts_event(), again.ts_recv()));
        assert_eq!(book.last_trade(), again.last_trade());
        assert!(book.bids().eq(again.bids()) && book.asks().eq(again.asks()));
        assert!(book.orders().eq(again.orders()));
        // Those far behind take a step for each order ahead.
        for order in book.orders().step_by(50) {
            let id = order.order_id;
            assert_eq!(book.queue_position(id), again.queue_position(id));
        }
    }
    assert_eq!(saved(books), saved(restored), "what is restored is saved as the same bytes");
}

/// Whatever the bytes: they are refused, or are books that can be worked on.
pub(crate) fn restores_or_refuses(limits: Limits, bytes: &[u8], events: &[Event]) {
    let Ok(mut books) = Books::restore(limits, bytes) else { return };
    let resting: usize = books.iter().map(|book| book.orders().count()).sum();
    assert_eq!(books.in_use().orders, resting);
    let again = Books::restore(limits, &saved(&books)).unwrap();
    assert_equal(&books, &again);
    events.iter().for_each(|event| books.apply(event, &mut ()));
    books.drain_changed(|_, book| assert!(book.digest() != 1));
}

/// Books of these limits after some events.
pub(crate) fn after(limits: Limits, events: &[Event]) -> Books {
    let mut books = Books::new(limits).unwrap();
    events.iter().for_each(|event| books.apply(event, &mut ()));
    books
}

/// Makes the checksum right again.
pub(crate) fn seal(bytes: &mut Vec<u8>) {
    bytes.truncate(bytes.len() - 4);
    let checksum = crc32fast::hash(bytes);
    bytes.extend(checksum.to_le_bytes());
}

/// Compares the best `levels` levels of both sides.
pub(crate) fn assert_levels(book: Book<'_>, plain: &Plain, levels: usize) {
    let ours = book.bids().map(|level| (level.price, level.size, level.orders));
    assert!(ours.take(levels).eq(plain.levels(Side::Bid).take(levels)), "bids differ");
    let ours = book.asks().map(|level| (level.price, level.size, level.orders));
    assert!(ours.take(levels).eq(plain.levels(Side::Ask).take(levels)), "asks differ");
}

/// Compares every level, and every order with its place in the queue.
pub(crate) fn assert_same(book: Book<'_>, plain: &Plain) {
    assert_levels(book, plain, usize::MAX);
    let ours: Vec<_> =
        book.orders().map(|order| (order.side, order.price, order.order_id, order.size)).collect();
    assert_eq!(ours, plain.orders());
    for order in book.orders() {
        assert_eq!(book.order(order.order_id), Some(order));
        let position = book.queue_position(order.order_id).unwrap();
        let expected = plain.queue_position(order.order_id);
        assert_eq!((position.orders_ahead, position.size_ahead), expected);
    }
}

fn key(event: &Event) -> (u8, u32) {
    (event.header.channel, event.header.instrument_id)
}

fn key_of(record: &MboMsg) -> (u8, u32) {
    (record.channel_id, record.hd.instrument_id)
}

/// Books kept from records alone, and whether each is inside a venue's event.
#[derive(Default)]
struct Reader {
    books: BTreeMap<(u8, u32), (Plain, bool)>,
}

impl Reader {
    fn take(&mut self, records: &[RecordBuf], event: &Event) {
        let last = event.header.flags & flags::LAST != 0;
        let count = mbo(records).count();
        for (at, record) in mbo(records).enumerate() {
            assert_eq!(key_of(record), key(event));
            assert_eq!(record.flags.is_last(), last && at + 1 == count, "{record:?}");
            let (book, open) = self.books.entry(key_of(record)).or_default();
            book.apply_record(record);
            *open = !record.flags.is_last();
        }
        if let Some((_, open)) = self.books.get(&key(event)) {
            assert!(!(last && *open), "an event ends and its readers are not told");
        }
    }
}
