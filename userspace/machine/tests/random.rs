//! Random events against plain books: one kept from the events, one rebuilt from the records.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::draw::{Venue, events};
use common::inverse::mbo;
use common::properties;
use dbn::flags;
use proptest::prelude::*;
use wirebook_machine::{Books, Limits, combine};
use wirebook_model::Event;

const AMPLE: Limits = Limits { instruments: 8, orders: 200, levels: 200 };

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn books_equal_plain_books(events in prop_oneof![events(Venue::Orders), events(Venue::Levels)]) {
        properties::equal_plain_books(AMPLE, &events);
    }

    #[test]
    fn limits_never_break_a_book(
        events in events(Venue::Any),
        instruments in 0usize..5,
        orders in 0usize..12,
        levels in 0usize..6,
    ) {
        properties::no_limit_breaks_a_book(Limits { instruments, orders, levels }, &events);
    }

    #[test]
    fn records_replay_to_the_same_digest(events in events(Venue::Any)) {
        properties::replay_to_the_same_digest(AMPLE, &events);
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
