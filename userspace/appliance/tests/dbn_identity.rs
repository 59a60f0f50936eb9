//! Events to DBN records and back, and records to events and back: nothing is lost either way.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[allow(dead_code, reason = "the books' own tests use all of it")]
#[path = "../../machine/tests/common/draw.rs"]
mod draw;

use dbn::{RecordBuf, RecordRef, UNDEF_PRICE, UNDEF_TIMESTAMP, flags};
use draw::{Venue, events};
use proptest::prelude::*;
use wirebook::capture::DbnEvents;
use wirebook_machine::{Books, Limits};
use wirebook_model::{
    Definition, Event, EventHeader, Imbalance, Packet, Side, Statistic, Status, Symbol, VenueEvent,
};

const AMPLE: Limits = Limits { instruments: 8, orders: 200, levels: 200 };
const CHANNEL: u8 = 1;
const PUBLISHER: u16 = 7;

/// The records of these events.
fn records(events: &[Event]) -> Vec<RecordBuf> {
    let mut books = Books::new(AMPLE).unwrap();
    books.set_publisher(CHANNEL, PUBLISHER);
    let mut records = Vec::new();
    events.iter().for_each(|event| books.apply(event, &mut records));
    records
}

/// The events of these records.
fn events_of(records: &[RecordBuf]) -> Vec<Event> {
    let mut reader = DbnEvents::without_symbols(CHANNEL);
    let mut events = Vec::new();
    records.iter().for_each(|record| reader.record(record.as_rec_ref(), &mut events));
    assert_eq!((reader.skipped_records(), reader.malformed_records()), (0, 0));
    events
}

/// A packet's times, which a record says as a time and 32 bits of difference.
fn packet() -> impl Strategy<Value = Packet> {
    (1_u64 << 40..1 << 60, 1_u64..1 << 31).prop_map(|(ts_sent, delta)| Packet {
        ts_recv: ts_sent + delta - 1,
        ts_sent,
        ts_worker: 0,
    })
}

fn price() -> impl Strategy<Value = i64> {
    prop_oneof![4 => any::<i64>(), 1 => Just(UNDEF_PRICE)]
}

fn status() -> impl Strategy<Value = Status> {
    (any::<[u16; 3]>(), any::<[u8; 3]>()).prop_map(|(codes, answers)| Status {
        action: codes[0],
        reason: codes[1],
        trading_event: codes[2],
        is_trading: answers[0],
        is_quoting: answers[1],
        is_short_sell_restricted: answers[2],
    })
}

fn statistic() -> impl Strategy<Value = Statistic> {
    let time = prop_oneof![any::<u64>(), Just(UNDEF_TIMESTAMP)];
    (any::<u16>(), price(), any::<i64>(), time).prop_map(|(stat_type, price, quantity, ts_ref)| {
        Statistic { stat_type, price, quantity, ts_ref }
    })
}

fn definition() -> impl Strategy<Value = Definition> {
    let lots = prop_oneof![Just(0), 1..i32::MAX as u32];
    ("[A-Z]{1,8}(\\.[A-Z])?", price(), lots, any::<u8>()).prop_map(
        |(symbol, min_price_increment, round_lot_size, instrument_class)| Definition {
            symbol: Symbol::from_padded(symbol.as_bytes()),
            min_price_increment,
            round_lot_size,
            instrument_class,
        },
    )
}

fn imbalance() -> impl Strategy<Value = Imbalance> {
    let prices = prop::collection::vec(price(), 6);
    let side = prop_oneof![Just(Side::Bid), Just(Side::Ask), Just(Side::None)];
    (prices, any::<[u32; 2]>(), any::<[u8; 3]>(), any::<u64>(), side).prop_map(
        |(prices, sizes, codes, auction_time, side)| Imbalance {
            ref_price: prices[0],
            auction_time,
            cont_book_clr_price: prices[1],
            auct_interest_clr_price: prices[2],
            upper_collar: prices[3],
            lower_collar: prices[4],
            ind_match_price: prices[5],
            paired_qty: sizes[0],
            total_imbalance_qty: sizes[1],
            side,
            auction_type: codes[0],
            num_extensions: codes[1],
            significant_imbalance: codes[2],
        },
    )
}

/// What leaves no book changed and is told as it came.
fn told() -> impl Strategy<Value = VenueEvent> {
    prop_oneof![
        status().prop_map(VenueEvent::Status),
        statistic().prop_map(VenueEvent::Statistic),
        definition().prop_map(VenueEvent::Definition),
        imbalance().prop_map(VenueEvent::Imbalance),
        Just(VenueEvent::EndOfInterval),
    ]
}

fn header(instrument_id: u32, ts_event: u64) -> EventHeader {
    EventHeader { channel: CHANNEL, flags: flags::LAST, instrument_id, sequence: 5, ts_event }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn records_of_orders_and_levels_come_back(
        drawn in prop_oneof![events(Venue::Orders), events(Venue::Levels), events(Venue::Any)],
        packet in packet(),
    ) {
        let mut all = vec![Event { header: header(0, 0), body: VenueEvent::Packet(packet) }];
        all.extend(drawn.iter().filter(|event| event.header.channel == CHANNEL));
        let records = self::records(&all);
        let again = self::records(&events_of(&records));
        let bytes = |records: &[RecordBuf]| -> Vec<Vec<u8>> {
            records.iter().map(|record| record.as_rec_ref().as_ref().to_vec()).collect()
        };
        prop_assert_eq!(bytes(&records), bytes(&again));
    }

    #[test]
    fn what_changes_no_book_comes_back(
        body in told(),
        packet in packet(),
        instrument_id in 1..u32::MAX,
        ts_event in 0..u64::MAX - 1,
    ) {
        let event = Event { header: header(instrument_id, ts_event), body };
        let packet = Event { header: header(0, 0), body: VenueEvent::Packet(packet) };
        let records = self::records(&[packet, event]);
        prop_assert_eq!(records.len(), 1);
        let record: RecordRef<'_> = records[0].as_rec_ref();
        prop_assert_eq!(record.header().publisher_id, PUBLISHER);
        let back = events_of(&records);
        // An interval's end belongs to no packet.
        let (said, before) = back.split_last().unwrap();
        prop_assert_eq!(before.is_empty(), body == VenueEvent::EndOfInterval);
        prop_assert_eq!(said.body, body);
        prop_assert_eq!(said.header.ts_event, ts_event);
        if body != VenueEvent::EndOfInterval {
            prop_assert_eq!(said.header.instrument_id, instrument_id);
        }
        if let VenueEvent::Statistic(_) = body {
            prop_assert_eq!(before[0].body, packet.body);
        }
    }
}
