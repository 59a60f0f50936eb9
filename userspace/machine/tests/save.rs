//! Saved and restored books go on as those would have that were never saved.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::draw::{Venue, events};
use common::inverse::events_of;
use common::properties::{after, restores_or_refuses, resumes, saved, seal};
use common::{es, lobster};
use proptest::prelude::*;
use wirebook_machine::{Books, Limits, RestoreError};
use wirebook_model::{ALL_INSTRUMENTS, BookState, Event, EventHeader, VenueEvent};

const SMALL: Limits = Limits { instruments: 8, orders: 40, levels: 12 };

#[test]
fn real_cme_flow_goes_on() {
    let Some(records) = es::records() else { return };
    let events: Vec<Event> = records.iter().flat_map(events_of).collect();
    let limits = Limits { instruments: 1, orders: 20_000, levels: 4_000 };
    resumes(limits, &events, 9_973);
    let tight = Limits { orders: 5_000, levels: 500, ..limits };
    resumes(tight, &events, 29_989);
}

#[test]
fn real_nasdaq_flow_goes_on() {
    let Some(steps) = lobster::steps() else { return };
    let messages = steps.iter().flat_map(|step| step.made_up.iter().chain([&step.message]));
    let events: Vec<Event> =
        messages.zip(1..).map(|(message, sequence)| lobster::event(message, sequence)).collect();
    resumes(Limits { instruments: 1, orders: 2_000, levels: 500 }, &events, 1);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_flow_goes_on(
        events in events(Venue::Any),
        step in 1usize..20,
        orders in 5usize..40,
        levels in 2usize..12,
        states in prop::collection::vec((0u8..2, 1u8..5), 8),
    ) {
        // Channel states stand between the drawn events.
        let state_of = |&(channel, state): &(u8, u8)| {
            let header = EventHeader {
                channel, flags: 0, instrument_id: ALL_INSTRUMENTS, sequence: 0, ts_event: 0,
            };
            Event { header, body: VenueEvent::State(BookState::from_u8(state).unwrap()) }
        };
        let mut all = Vec::new();
        for (part, state) in events.chunks(20).zip(&states) {
            all.extend(part);
            all.push(state_of(state));
        }
        resumes(Limits { instruments: 4, orders, levels }, &all, step);
    }

    #[test]
    fn no_bytes_break_it(
        events in events(Venue::Any),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        sealed in any::<bool>(),
    ) {
        let mut bytes = saved(&after(SMALL, &events));
        for (at, value) in &changes {
            *at.get_mut(&mut bytes) = *value;
        }
        if sealed {
            seal(&mut bytes);
        }
        restores_or_refuses(SMALL, &bytes, &events);
    }
}

/// Two orders at 5 and 6, as bids of instrument 9.
fn two_bids() -> Vec<u8> {
    let add = |order_id, price| {
        let header = EventHeader {
            channel: 0,
            flags: dbn::flags::LAST,
            instrument_id: 9,
            sequence: order_id,
            ts_event: 1,
        };
        let side = dbn::Side::Bid;
        Event { header, body: VenueEvent::Add { order_id, side, price, size: 100 } }
    };
    saved(&after(SMALL, &[add(1, 5), add(2, 6)]))
}

#[test]
fn every_truncation_is_noticed() {
    let bytes = two_bids();
    for length in 0..bytes.len() {
        let error = Books::restore(SMALL, &bytes[..length]).err().unwrap();
        let RestoreError::Truncated { expected_bytes, found_bytes } = error else {
            panic!("{length} bytes: {error}");
        };
        assert_eq!(found_bytes, length as u64);
        assert!(expected_bytes == bytes.len() as u64 || length < 20);
    }
}

#[test]
fn every_flipped_bit_is_noticed() {
    let bytes = two_bids();
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(Books::restore(SMALL, &flipped).is_err(), "bit {bit}");
    }
}

/// Counters at their end among them, which the next event would carry beyond it.
#[test]
fn the_highest_number_at_any_place_is_refused_or_can_be_worked_on() {
    let bytes = two_bids();
    let header = EventHeader { channel: 0, flags: 0, instrument_id: 9, sequence: 9, ts_event: 9 };
    let event = Event { header, body: VenueEvent::Delete { order_id: 1 } };
    for at in 20..bytes.len() - 12 {
        let mut bytes = bytes.clone();
        bytes[at..at + 8].fill(0xff);
        seal(&mut bytes);
        restores_or_refuses(SMALL, &bytes, &[event]);
    }
}

#[test]
fn errors_say_what_was_expected_and_found() {
    let changed = |at: usize, value: u8| {
        let mut bytes = two_bids();
        let at = if at < 100 { at } else { bytes.len() - (1_000 - at) };
        bytes[at] = value;
        if at >= 12 {
            seal(&mut bytes);
        }
        Books::restore(SMALL, &bytes).err().unwrap().to_string()
    };
    let magic = changed(0, b'X');
    assert!(magic.contains("57, 42, 4b") && magic.contains("58, 42, 4b"), "{magic}");
    assert_eq!(changed(8, 9), "expected saved books of version 2, found version 9");
    // From the end: checksum 4; order 12 (size last), level 16, the same before.
    let end = 1_000 - 4;
    let twice = "expected each order once in its book in the saved books, \
                 found order 1 again in book 0";
    assert_eq!(changed(end - 12, 1), twice);
    let none = "expected orders of some size in the saved books, found order 2 of none";
    assert_eq!(changed(end - 4, 0), none);
    assert!(changed(end - 28, 4).contains("levels of a side sorted by price"));
    assert!(changed(end - 28, 5).contains("levels of a side sorted by price"));
    assert!(changed(end - 16, 0).contains("something at each level"));
    assert!(changed(end - 16, 2).contains("counts that the length covers"));

    let bytes = two_bids();
    for (limits, says) in [
        (Limits { instruments: 0, ..SMALL }, "at most 0 instruments by the limits, found 1"),
        (Limits { orders: 1, ..SMALL }, "at most 1 orders by the limits, found 2"),
        (Limits { levels: 1, ..SMALL }, "at most 1 levels by the limits, found 2"),
    ] {
        let error = Books::restore(limits, &bytes).err().unwrap().to_string();
        assert!(error.contains(says), "{error}");
    }
    let more = [bytes.clone(), vec![0]].concat();
    assert!(Books::restore(SMALL, &more).err().unwrap().to_string().contains("found 1 more"));
}

#[test]
fn books_may_be_saved_behind_something_else() {
    let bytes = two_bids();
    let mut behind = b"before".to_vec();
    Books::restore(SMALL, &bytes).unwrap().save(&mut behind);
    assert_eq!(behind[6..], bytes);
}

#[test]
fn restored_books_are_all_changed() {
    let mut books = Books::restore(SMALL, &two_bids()).unwrap();
    let mut changed = Vec::new();
    books.drain_changed(|number, book| changed.push((number, book.instrument_id())));
    assert_eq!(changed, [(0, 9)]);
}
