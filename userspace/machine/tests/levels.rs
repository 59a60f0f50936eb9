//! Books of levels alone against books of orders, and events in one go against one by one.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::draw::{Venue, events};
use common::{inverse::mbo, plain::Plain};
use dbn::{Action, UNDEF_PRICE};
use proptest::prelude::*;
use std::collections::BTreeMap;
use wirebook_machine::{Book, Books, Level, Limits, LookAhead};
use wirebook_model::{Event, Side, StaleReason, VenueEvent};

const AMPLE: Limits = Limits { instruments: 8, orders: 200, levels: 200 };

fn levels(book: Book<'_>) -> [Vec<Level>; 2] {
    [book.bids().collect(), book.asks().collect()]
}

/// Price and size of the levels, as records can say them.
fn told(levels: impl Iterator<Item = Level>) -> Vec<(i64, u64)> {
    levels.map(|level| (level.price, level.size.min(u64::from(u32::MAX)))).collect()
}

fn rebuilt(reader: &Plain) -> [Vec<(i64, u64)>; 2] {
    [Side::Bid, Side::Ask].map(|side| {
        reader.levels(side).map(|(price, size, _)| (price, size.min(u64::from(u32::MAX)))).collect()
    })
}

/// Events whose prices name levels of their own: those within ±2^61.
fn namable(mut events: Vec<Event>) -> Vec<Event> {
    events.retain(|event| match event.body {
        VenueEvent::Add { price, .. }
        | VenueEvent::Modify { price, .. }
        | VenueEvent::Replace { price, .. } => price == UNDEF_PRICE || price.abs_diff(0) < 1 << 61,
        _ => true,
    });
    events
}

fn both(events: &[Event]) -> (Books, Books) {
    let (mut orders, mut alone) = (Books::new(AMPLE).unwrap(), Books::of_levels(AMPLE).unwrap());
    for event in events {
        orders.apply(event, &mut ());
        alone.apply(event, &mut ());
    }
    (orders, alone)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn levels_are_those_of_the_orders(
        events in prop_oneof![events(Venue::Orders), events(Venue::Levels)].prop_map(namable)
    ) {
        let mut orders = Books::new(AMPLE).unwrap();
        let mut alone = Books::of_levels(AMPLE).unwrap();
        let mut readers: BTreeMap<_, Plain> = BTreeMap::new();
        for event in &events {
            let mut out = Vec::new();
            orders.apply(event, &mut ());
            alone.apply(event, &mut out);
            let (channel, instrument) = (event.header.channel, event.header.instrument_id);
            let (with, without) =
                (orders.get(channel, instrument).unwrap(), alone.get(channel, instrument).unwrap());
            prop_assert_eq!(levels(with), levels(without));
            prop_assert_eq!((with.state(), with.crossed()), (without.state(), without.crossed()));
            prop_assert_eq!(with.last_trade(), without.last_trade());
            prop_assert_eq!(without.orders().count(), 0);
            let reader = readers.entry((channel, instrument)).or_default();
            for record in mbo(&out) {
                let names_level = matches!(record.action as u8, b'A' | b'C' | b'M');
                let of_level = record.flags.is_mbp() || record.flags.is_tob();
                prop_assert!(!names_level || of_level, "{record:?}");
                prop_assert!(record.action as u8 != Action::Fill as u8);
                reader.apply_record(record);
            }
            let rebuilt = rebuilt(reader);
            prop_assert_eq!([told(without.bids()), told(without.asks())], rebuilt);
        }
        prop_assert_eq!(orders.in_use(), alone.in_use());
        let but_records = |books: &Books| {
            books.counters().named().filter(|(name, _)| *name != "records").collect::<Vec<_>>()
        };
        prop_assert_eq!(but_records(&orders), but_records(&alone));
    }

    #[test]
    fn levels_that_were_saved_go_on_as_those_that_were_not(
        events in events(Venue::Orders), cut in 0usize..200
    ) {
        let (before, after) = events.split_at(cut.min(events.len()));
        let (_, mut alone) = both(before);
        let mut bytes = Vec::new();
        alone.save(&mut bytes);
        let mut restored = Books::restore(AMPLE, &bytes).unwrap();
        prop_assert!(!restored.keeps_orders());
        for event in after {
            let (mut first, mut second) = (Vec::new(), Vec::new());
            alone.apply(event, &mut first);
            restored.apply(event, &mut second);
            prop_assert_eq!(first, second);
        }
        prop_assert_eq!(alone.digest(), restored.digest());
        prop_assert_eq!(alone.in_use(), restored.in_use());
    }

    #[test]
    fn quarantine_takes_one_book_of_levels(events in events(Venue::Orders)) {
        let (orders, mut alone) = both(&events);
        let others = |books: &Books| {
            books.iter().filter(|book| book.number() != 0).map(levels).collect::<Vec<_>>()
        };
        alone.quarantine(0, StaleReason::Fault);
        prop_assert_eq!(others(&orders), others(&alone));
        for book in orders.iter().filter(|book| book.number() != 0) {
            let stale = alone.by_number(book.number()).unwrap().stale_reason();
            prop_assert_ne!(stale, StaleReason::Fault);
        }
        let kept: u32 = others(&orders).iter().flatten().flatten().map(|level| level.orders).sum();
        prop_assert_eq!(alone.in_use().orders, kept as usize);
    }

    #[test]
    fn a_snapshot_says_the_levels(events in events(Venue::Orders).prop_map(namable)) {
        let (_, alone) = both(&events);
        for book in alone.iter() {
            let Some(mut snapshot) = alone.begin_snapshot(book.number()) else { continue };
            let mut reader = Plain::default();
            while let Some(record) = alone.next_record(&mut snapshot) {
                reader.apply_record(&record);
            }
            let rebuilt = rebuilt(&reader);
            prop_assert_eq!([told(book.bids()), told(book.asks())], rebuilt);
        }
    }

    #[test]
    fn in_one_go_is_as_one_by_one(
        events in events(Venue::Any), lengths in prop::collection::vec(0usize..40, 1..20)
    ) {
        let mut one_by_one = Books::new(AMPLE).unwrap();
        let mut in_one_go = Books::new(AMPLE).unwrap();
        let (mut first, mut second) = (Vec::new(), Vec::new());
        let mut ahead = LookAhead::with_capacity(0);
        events.iter().for_each(|event| one_by_one.apply(event, &mut first));
        let mut rest = &events[..];
        for &length in lengths.iter().cycle() {
            let (some, others) = rest.split_at(length.max(1).min(rest.len()));
            some.iter().for_each(|event| ahead.push(&in_one_go, event));
            in_one_go.apply_all(&mut ahead, &mut second);
            rest = others;
            if rest.is_empty() {
                break;
            }
        }
        prop_assert_eq!(first, second);
        prop_assert_eq!(one_by_one.digest(), in_one_go.digest());
        prop_assert_eq!(one_by_one.counters(), in_one_go.counters());
    }
}
