//! Random events against plain books: one kept from the events, one rebuilt from the records.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::collections::BTreeMap;

use common::draw::{Venue, events};
use common::{assert_same, events_of, mbo, plain::Plain};
use dbn::{MboMsg, RecordBuf, flags};
use proptest::prelude::*;
use wirebook_machine::{Books, Limits, combine};
use wirebook_model::{BookState, Event, EventHeader, VenueEvent};

const AMPLE: Limits = Limits { instruments: 8, orders: 200, levels: 200 };

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

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn books_equal_plain_books(events in prop_oneof![events(Venue::Orders), events(Venue::Levels)]) {
        let mut books = Books::new(AMPLE).unwrap();
        let mut plain: BTreeMap<_, Plain> = BTreeMap::new();
        let mut reader = Reader::default();
        for event in &events {
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
            prop_assert!(mbo(&out).all(|record| record.flags.is_maybe_bad_book() != trusted));
        }
        let resting: usize = books.iter().map(|book| book.orders().count()).sum();
        prop_assert_eq!(books.in_use().orders, resting);
    }

    #[test]
    fn limits_never_break_a_book(
        events in events(Venue::Any),
        instruments in 0usize..5,
        orders in 0usize..12,
        levels in 0usize..6,
    ) {
        let mut books = Books::new(Limits { instruments, orders, levels }).unwrap();
        let mut reader = Reader::default();
        for event in &events {
            let mut out = Vec::new();
            let before = *books.counters();
            books.apply(event, &mut out);
            reader.take(&out, event);
            let after = books.counters();
            let Some(book) = books.get(event.header.channel, event.header.instrument_id) else {
                prop_assert_eq!(after.instrument_limit_hits, before.instrument_limit_hits + 1);
                continue;
            };
            if let Some((rebuilt, _)) = reader.books.get(&key(event)) {
                assert_same(book, rebuilt);
            }
            let hits = after.order_limit_hits + after.level_limit_hits;
            if hits > before.order_limit_hits + before.level_limit_hits {
                prop_assert!(book.over_limit());
            }
            if book.over_limit() {
                prop_assert_eq!(book.state(), BookState::Stale);
                prop_assert!(mbo(&out).all(|record| record.flags.is_maybe_bad_book()));
            }
        }
    }

    #[test]
    fn records_replay_to_the_same_digest(events in events(Venue::Any)) {
        let mut books = Books::new(AMPLE).unwrap();
        let mut records = Vec::new();
        events.iter().for_each(|event| books.apply(event, &mut records));
        let mut replayed = Books::new(AMPLE).unwrap();
        let mut again = Vec::new();
        for event in mbo(&records).flat_map(events_of) {
            replayed.apply(&event, &mut again);
        }
        let said: Vec<_> = mbo(&records).collect();
        prop_assert!(said.iter().copied().eq(mbo(&again)));
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
        prop_assert_eq!(books.digest(), replayed.digest());
    }

    #[test]
    fn shards_do_not_matter(events in events(Venue::Any)) {
        let digests = [1, 2, 4].map(|count| {
            let mut shards: Vec<_> = (0..count).map(|_| Books::new(AMPLE).unwrap()).collect();
            for event in &events {
                let shard = event.header.instrument_id as usize % count;
                shards[shard].apply(event, &mut ());
            }
            let mut books: Vec<_> = shards.iter().flat_map(Books::digests).collect();
            books.sort_unstable();
            let sum = shards.iter().fold(0u64, |sum, shard| sum.wrapping_add(shard.digest()));
            assert_eq!(combine(books.iter().copied()), sum);
            books
        });
        prop_assert_eq!(&digests[0], &digests[1]);
        prop_assert_eq!(&digests[0], &digests[2]);
    }

    #[test]
    fn a_changed_event_changes_the_digest(
        events in events(Venue::Any).prop_filter("an event", |events| !events.is_empty()),
        which in any::<prop::sample::Index>(),
        what in 0..3,
    ) {
        let digest = |events: &[Event]| {
            let mut books = Books::new(AMPLE).unwrap();
            let mut records = Vec::new();
            events.iter().for_each(|event| books.apply(event, &mut records));
            (books.digest(), mbo(&records).cloned().collect::<Vec<_>>())
        };
        let (before, records) = digest(&events);
        let mut changed = events.clone();
        let event = which.get_mut(&mut changed);
        match what {
            0 => event.header.sequence += 1,
            1 => event.header.ts_event += 1,
            _ => event.header.flags ^= flags::BAD_TS_RECV,
        }
        let (after, changed_records) = digest(&changed);
        prop_assert_eq!(before == after, records == changed_records);
    }
}
