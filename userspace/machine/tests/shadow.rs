//! The self-check finds nothing in real and in drawn flow.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::draw::{Venue, events};
use common::inverse::events_of;
use common::{es, lobster};
use dbn::flags;
use proptest::prelude::*;
use wirebook_machine::{Books, Limits, Shadow};
use wirebook_model::{ALL_INSTRUMENTS, BookState, Event, EventHeader, VenueEvent};

/// Applies all events to books and to a model of one of them, and compares them at every
/// `step`-th event's end; returns how often.
fn checks(limits: Limits, (channel, id): (u8, u32), events: &[Event], step: usize) -> usize {
    let mut books = Books::new(limits).unwrap();
    let mut shadow = Shadow::new(channel, id);
    let (mut ends, mut compared) = (0, 0);
    for (at, event) in events.iter().enumerate() {
        books.apply(event, &mut ());
        shadow.apply(event);
        let Some(book) = books.get(channel, id) else { continue };
        ends += usize::from(event.header.flags & flags::LAST != 0);
        if event.header.flags & flags::LAST != 0 && ends % step == 0 {
            shadow.compare(book).unwrap_or_else(|difference| panic!("event {at}: {difference}"));
            compared += usize::from(book.state() == BookState::Live);
        }
    }
    compared
}

#[test]
fn real_cme_flow_has_no_difference() {
    let Some(records) = es::records() else { return };
    let events: Vec<Event> = records.iter().flat_map(events_of).collect();
    let limits = Limits { instruments: 1, orders: 20_000, levels: 4_000 };
    assert!(checks(limits, (0, es::INSTRUMENT), &events, 97) > 500);
}

#[test]
fn real_nasdaq_flow_has_no_difference() {
    let Some(steps) = lobster::steps() else { return };
    let messages = steps.iter().flat_map(|step| step.made_up.iter().chain([&step.message]));
    let events: Vec<Event> =
        messages.zip(1..).map(|(message, sequence)| lobster::event(message, sequence)).collect();
    let limits = Limits { instruments: 1, orders: 2_000, levels: 500 };
    assert_eq!(checks(limits, (0, lobster::INSTRUMENT), &events, 1), events.len());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// With limits that are met, and channels that clear and heal their books.
    #[test]
    fn drawn_flow_has_no_difference(
        events in events(Venue::Any),
        orders in 3usize..60,
        levels in 3usize..60,
        channel in 0u8..2,
        id in 1u32..4,
    ) {
        let mut all = Vec::new();
        for part in events.chunks(15) {
            all.extend(part);
            let header = EventHeader {
                channel,
                flags: flags::LAST,
                instrument_id: ALL_INSTRUMENTS,
                sequence: 0,
                ts_event: 0,
            };
            all.push(Event { header, body: VenueEvent::State(BookState::Healing) });
            all.push(Event { header, body: VenueEvent::Clear });
            all.push(Event { header, body: VenueEvent::State(BookState::Live) });
        }
        checks(Limits { instruments: 6, orders, levels }, (channel, id), &all, 1);
    }
}
