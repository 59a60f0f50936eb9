//! DBN files, and the events that they become.

use super::super::DbnEvents;
use super::*;
use dbn::{
    Action, FlagSet, InstrumentDefMsg, MappingInterval, MboMsg, Metadata, RecordHeader, RecordRef,
    SType, Schema, StatMsg, StatusMsg, SymbolMapping, TradeMsg, UNDEF_PRICE, flags,
};
use std::collections::{BTreeMap, HashMap};
use std::ffi::c_char;
use wirebook_model::{Event, Side, VenueEvent};

/// The events of a file, and how many records it has.
fn events(path: &Path) -> (Vec<Event>, usize) {
    let mut capture = super::super::open(path).unwrap();
    assert_eq!(capture.kind(), CaptureKind::Records);
    let mut inverse = DbnEvents::new(3, capture.metadata().unwrap());
    let mut events = Vec::new();
    let mut records = 0;
    while let Some(item) = capture.next().unwrap() {
        let Item::Record(record) = item else { panic!("expected records") };
        inverse.record(record, &mut events);
        records += 1;
    }
    assert_eq!((inverse.skipped_records(), inverse.malformed_records()), (0, 0));
    (events, records)
}

/// Orders by id, as an order-by-order book has them: side, price and size.
#[derive(Default)]
struct PlainBook(HashMap<u64, (Side, i64, u32)>);

impl PlainBook {
    fn apply(&mut self, event: &Event) {
        match event.body {
            VenueEvent::Clear => self.0.clear(),
            VenueEvent::Add { order_id, side, price, size }
            | VenueEvent::Modify { order_id, side, price, size } => {
                self.0.insert(order_id, (side, price, size));
            }
            VenueEvent::Reduce { order_id, size } => {
                let Some(order) = self.0.get_mut(&order_id) else { return };
                order.2 = order.2.saturating_sub(size);
                if order.2 == 0 {
                    self.0.remove(&order_id);
                }
            }
            _ => {}
        }
    }

    fn levels(&self, side: Side) -> BTreeMap<i64, u64> {
        let mut levels = BTreeMap::new();
        for (_, price, size) in self.0.values().filter(|order| order.0 == side) {
            *levels.entry(*price).or_default() += u64::from(*size);
        }
        levels
    }
}

#[test]
fn the_cme_session_gives_its_book() {
    let (Some(first), Some(second)) = (
        data("dbn-mbo/esh4-glbx-mdp3-20231224.mbo.dbn.zst"),
        data("dbn-mbo/esh4-glbx-mdp3-20231225.mbo.dbn.zst"),
    ) else {
        return;
    };
    let mut book = PlainBook::default();
    let mut last = None;
    for (path, expected) in [(first, 8_725), (second, 68_792)] {
        let (events, records) = events(&path);
        assert_eq!(records, expected);
        assert!(matches!(events[0].body, VenueEvent::Packet(_)));
        for event in &events {
            book.apply(event);
            if !matches!(event.body, VenueEvent::Packet(_) | VenueEvent::Definition(_)) {
                assert_eq!((event.header.channel, event.header.instrument_id), (3, 17_077));
                last = Some(event.header.sequence);
            }
        }
    }
    let (bids, asks) = (book.levels(Side::Bid), book.levels(Side::Ask));
    assert_eq!((bids.len(), asks.len()), (922, 565));
    assert_eq!(bids.last_key_value().unwrap().0, &4_810_000_000_000);
    assert_eq!(asks.first_key_value().unwrap().0, &4_810_250_000_000);
    assert_eq!(last, Some(59_585));
}

fn mbo(action: Action, side: Side, flags: u8, order_id: u64) -> MboMsg {
    MboMsg {
        hd: RecordHeader::new::<MboMsg>(dbn::rtype::MBO, 1, 5, 1_000),
        order_id,
        price: 7,
        size: 9,
        flags: FlagSet::new(flags),
        channel_id: 0,
        action: action as u8 as c_char,
        side: side as u8 as c_char,
        ts_recv: 2_000,
        ts_in_delta: 300,
        sequence: 42,
    }
}

fn metadata(mappings: Vec<SymbolMapping>) -> Metadata {
    Metadata::builder()
        .dataset("XNAS.ITCH".to_owned())
        .schema(Some(Schema::Mbo))
        .start(0)
        .stype_in(Some(SType::RawSymbol))
        .stype_out(SType::InstrumentId)
        .mappings(mappings)
        .build()
}

#[test]
fn every_action_has_its_event() {
    let (side, price, size, order_id) = (Side::Bid, 7, 9, 11);
    for (action, flags, expected) in [
        (Action::Add, 0, VenueEvent::Add { order_id, side, price, size }),
        (Action::Modify, 0, VenueEvent::Modify { order_id, side, price, size }),
        (Action::Cancel, 0, VenueEvent::Reduce { order_id, size }),
        (Action::Clear, 0, VenueEvent::Clear),
        (Action::Trade, 0, VenueEvent::Trade { side, price, size, order_id, match_id: 0 }),
        (Action::Fill, 0, VenueEvent::Fill { order_id, side, price, size }),
        (Action::None, 0, VenueEvent::TradeBreak { match_id: order_id, price, size }),
        (Action::Add, flags::MBP, VenueEvent::Level { side, price, size }),
        (Action::Modify, flags::MBP, VenueEvent::Level { side, price, size }),
        (Action::Cancel, flags::MBP, VenueEvent::Level { side, price, size: 0 }),
        (Action::Add, flags::TOB, VenueEvent::Top { side, price, size }),
        (Action::Add, flags::TOB | flags::MBP, VenueEvent::Top { side, price, size }),
        (Action::Cancel, flags::TOB, VenueEvent::Top { side, price: UNDEF_PRICE, size: 0 }),
    ] {
        let flags = flags | flags::LAST | flags::SNAPSHOT;
        let record = mbo(action, side, flags, order_id);
        let mut events = Vec::new();
        DbnEvents::new(3, &metadata(vec![])).record(RecordRef::from(&record), &mut events);
        let [packet, event] = events[..] else { panic!("{action:?}: {events:?}") };
        let VenueEvent::Packet(packet) = packet.body else { panic!("{packet:?}") };
        assert_eq!((packet.ts_recv, packet.ts_sent, packet.ts_worker), (2_000, 1_700, 0));
        assert_eq!(event.body, expected);
        let header = event.header;
        assert_eq!((header.channel, header.flags, header.instrument_id), (3, flags, 5));
        assert_eq!((header.sequence, header.ts_event), (42, 1_000));
    }
}

#[test]
fn a_packet_is_announced_once() {
    let mut inverse = DbnEvents::new(0, &metadata(vec![]));
    let mut events = Vec::new();
    let first = mbo(Action::Add, Side::Ask, 0, 1);
    let status = StatusMsg { ts_recv: first.ts_recv, ..StatusMsg::default() };
    let other_delta = MboMsg { ts_in_delta: -1, ..first.clone() };
    inverse.record(RecordRef::from(&first), &mut events);
    inverse.record(RecordRef::from(&first), &mut events);
    inverse.record(RecordRef::from(&status), &mut events);
    inverse.record(RecordRef::from(&other_delta), &mut events);
    let packets: Vec<u64> = events
        .iter()
        .filter_map(|event| match event.body {
            VenueEvent::Packet(packet) => Some(packet.ts_sent),
            _ => None,
        })
        .collect();
    assert_eq!(packets, [1_700, 2_001]);
    assert_eq!(events.len(), 6);
}

#[test]
fn symbols_hold_from_their_day_on() {
    let day_ns = 24 * 3_600 * 1_000_000_000;
    // `dbn` has dates; a file's start makes one without another crate.
    let day = |days: u64| Metadata { start: days * day_ns, ..metadata(vec![]) }.start().date();
    let interval = |from: u64, to: u64, symbol: &str| MappingInterval {
        start_date: day(from),
        end_date: day(to),
        symbol: symbol.to_owned(),
    };
    let mapping = |raw_symbol: &str, intervals| SymbolMapping {
        raw_symbol: raw_symbol.to_owned(),
        intervals,
    };
    let metadata = metadata(vec![
        mapping("OLD", vec![interval(0, 2, "5")]),
        mapping("NEW", vec![interval(2, 3, "5")]),
        mapping("BAD", vec![interval(0, 3, "no number")]),
    ]);
    let mut inverse = DbnEvents::new(0, &metadata);
    let mut seen = Vec::new();
    for day in 0..3 {
        let record = MboMsg { ts_recv: day * day_ns, ..mbo(Action::Add, Side::Ask, 0, 1) };
        let mut events = Vec::new();
        inverse.record(RecordRef::from(&record), &mut events);
        for event in events {
            if let VenueEvent::Definition(definition) = event.body {
                seen.push((day, event.header.instrument_id, definition.symbol.to_string()));
            }
        }
    }
    assert_eq!(seen, [(0, 5, "OLD".to_owned()), (2, 5, "NEW".to_owned())]);
}

#[test]
fn other_schemas_are_events_or_counted() {
    let mut inverse = DbnEvents::new(0, &metadata(vec![]));
    let mut definition = InstrumentDefMsg { min_price_increment: 25, ..Default::default() };
    definition.raw_symbol[0] = b'Z' as c_char;
    let statistic = StatMsg { stat_type: 4, quantity: 6, ..Default::default() };
    let trade = TradeMsg::default();
    let strange = MboMsg { action: b'?' as c_char, ..mbo(Action::Add, Side::Ask, 0, 1) };
    let mut events = Vec::new();
    inverse.record(RecordRef::from(&definition), &mut events);
    inverse.record(RecordRef::from(&statistic), &mut events);
    inverse.record(RecordRef::from(&trade), &mut events);
    inverse.record(RecordRef::from(&strange), &mut events);
    assert_eq!((inverse.skipped_records(), inverse.malformed_records()), (1, 1));
    let bodies: Vec<_> = events.iter().map(|event| event.body).collect();
    assert!(bodies.iter().any(|body| matches!(
        body,
        VenueEvent::Definition(d)
            if d.symbol.to_string() == "Z" && d.min_price_increment == 25 && d.round_lot_size == 0
    )));
    let is_statistic = |body: &VenueEvent| matches!(body, VenueEvent::Statistic(s) if (s.stat_type, s.quantity) == (4, 6));
    assert!(bodies.iter().any(is_statistic));
}

#[test]
fn a_record_of_any_type_and_length_is_read_or_refused() {
    use dbn::rtype;
    let mut refused = 0;
    for (version, ts_out) in [(1, false), (1, true), (2, false), (2, true), (3, false), (3, true)] {
        let mut file = Vec::new();
        let metadata = Metadata { version, ts_out, ..metadata(vec![]) };
        dbn::encode::dbn::MetadataEncoder::new(&mut file).encode(&metadata).unwrap();
        for rtype in [
            rtype::MBO,
            rtype::STATUS,
            rtype::INSTRUMENT_DEF,
            rtype::IMBALANCE,
            rtype::STATISTICS,
            rtype::SYMBOL_MAPPING,
            rtype::ERROR,
            rtype::SYSTEM,
            0x77,
        ] {
            for length in 0..=255u8 {
                let mut record = vec![0; usize::from(length) * 4];
                record.resize(record.len().max(8), 0);
                (record[0], record[1]) = (length, rtype);
                let mut capture = open_bytes("x", &[&file[..], &record].concat()).unwrap();
                let mut inverse = DbnEvents::new(0, capture.metadata().unwrap());
                match capture.next() {
                    Ok(Some(Item::Record(record))) => inverse.record(record, &mut Vec::new()),
                    Ok(_) => panic!("expected a record or an error"),
                    Err(_) => refused += 1,
                }
            }
        }
    }
    assert!(refused > 6 * 9 * 128, "{refused}");
}
