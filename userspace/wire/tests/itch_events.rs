//! ITCH 5.0 messages become these events.

mod common;

use std::collections::BTreeMap;
use wirebook_model::dbn::flags::LAST;
use wirebook_model::dbn::{StatType, StatusAction, StatusReason, UNDEF_PRICE, UNDEF_TIMESTAMP};
use wirebook_model::{ALL_INSTRUMENTS, Event, Side, VenueEvent};
use wirebook_wire::itch50::*;
use wirebook_wire::{
    Code, Datagram, Decoded, Decoder, Limits, Price4, Price8, Protocol, Text, TransportPacket, U48,
};
use zerocopy::IntoBytes;

const CHANNEL: u8 = 3;
const SEQUENCE: u64 = 77;
/// 2023-08-22 00:00 US Eastern, the day of the captures.
const MIDNIGHT: u64 = 1_692_676_800_000_000_000;

fn decoder() -> Decoder {
    let mut decoder = Decoder::new(Protocol::Itch50, CHANNEL, Limits::default());
    decoder.set_midnight(MIDNIGHT);
    decoder
}

/// The events of one known message.
fn events(message: &[u8]) -> Vec<Event> {
    let mut events = Vec::new();
    assert_eq!(decoder().decode(message, SEQUENCE, &mut events), Decoded::Known);
    events
}

fn bodies(message: &impl IntoBytesOf) -> Vec<VenueEvent> {
    events(message.bytes()).into_iter().map(|event| event.body).collect()
}

/// What `zerocopy::IntoBytes` gives, for every message of the table.
trait IntoBytesOf {
    fn bytes(&self) -> &[u8];
}

impl<T: IntoBytes + zerocopy::Immutable> IntoBytesOf for T {
    fn bytes(&self) -> &[u8] {
        self.as_bytes()
    }
}

fn captured(name: &str) -> Option<Event> {
    let data = common::data()?;
    let frames = common::pcap(&data.join("nasdaq-itch").join(name));
    let datagram = Datagram::parse(&frames[0].bytes).expect("a datagram");
    let packet = TransportPacket::parse(Protocol::Itch50.transport(), datagram.payload);
    let mut blocks = packet.expect("a packet").blocks;
    let found = events(blocks.next().expect("a message").expect("a whole one"));
    assert_eq!(found.len(), 1);
    Some(found[0])
}

fn order_end() -> OrderDelete {
    OrderDelete {
        message_type: Code(b'D'),
        stock_locate: 9.into(),
        tracking_number: 0.into(),
        timestamp: U48::new(5),
        order_reference_number: 42.into(),
    }
}

#[test]
fn captured_orders_become_events() {
    let Some(add) = captured("AddOrderNoMpidAttributionMessage.pcap") else { return };
    assert_eq!((add.header.channel, add.header.sequence, add.header.flags), (3, 77, LAST));
    assert_eq!(add.header.instrument_id, 5528);
    assert_eq!(add.header.ts_event, MIDNIGHT + 34_199_999_894_278);
    let expected = VenueEvent::Add {
        order_id: 23_508_286,
        side: Side::Bid,
        price: 87_390_000_000,
        size: 1600,
    };
    assert_eq!(add.body, expected);

    let body = |name| captured(name).expect("the captures are there").body;
    assert_eq!(body("OrderDeleteMessage.pcap"), VenueEvent::Delete { order_id: 23_497_686 });
    let expected = VenueEvent::Execute {
        order_id: 23_499_418,
        size: 25,
        price: UNDEF_PRICE,
        match_id: 255_547,
        printable: true,
    };
    assert_eq!(body("OrderExecutedMessage.pcap"), expected);
    let expected = VenueEvent::Replace {
        order_id: 15_108_479,
        new_order_id: 21_361_351,
        price: 106_260_000_000,
        size: 100,
    };
    assert_eq!(body("OrderReplaceMessage.pcap"), expected);
}

#[test]
fn captured_states_become_events() {
    let Some(halt) = captured("StockTradingActionMessage.pcap") else { return };
    let VenueEvent::Status(status) = halt.body else { panic!("{halt:?}") };
    assert_eq!(status.action, StatusAction::Trading as u16);
    assert_eq!((status.is_trading, status.is_quoting), (b'Y', b'Y'));

    let noii = captured("NetOrderImbalanceIndicatorMessage.pcap").expect("the captures are there");
    let VenueEvent::Imbalance(imbalance) = noii.body else { panic!("{noii:?}") };
    assert_eq!((imbalance.paired_qty, imbalance.total_imbalance_qty), (1, 0));
    assert_eq!((imbalance.ref_price, imbalance.side), (46_440_000_000, Side::None));
    assert_eq!((imbalance.auction_type, imbalance.significant_imbalance), (b'O', b'L'));
    assert_eq!((imbalance.auction_time, imbalance.upper_collar), (UNDEF_TIMESTAMP, UNDEF_PRICE));
}

#[test]
fn the_artificial_session_has_an_event_for_each_message() {
    let Some(data) = common::data() else { return };
    let mut decoder = decoder();
    let mut events: Vec<Event> = Vec::new();
    for (sequence, message) in (1..).zip(common::artificial_messages(&data)) {
        assert_eq!(decoder.decode(&message, sequence, &mut events), Decoded::Known);
    }
    let mut counts = BTreeMap::new();
    for event in &events {
        assert_eq!(event.header.flags, LAST);
        let kind = format!("{:?}", event.body);
        let kind = kind.split(|c: char| !c.is_alphanumeric()).next().expect("a name").to_owned();
        *counts.entry(kind).or_insert(0) += 1;
    }
    let expected = [
        ("Add", 5_000),
        ("Delete", 1_745),
        ("Definition", 3),
        ("Execute", 198),
        ("Reduce", 45),
        ("Replace", 12),
        ("Status", 9),
        ("Trade", 5_000),
    ];
    assert_eq!(counts, expected.map(|(kind, count)| (kind.to_owned(), count)).into());
    let ids = events.iter().map(|event| event.header.instrument_id).max();
    assert_eq!(ids, Some(3));
}

#[test]
fn an_unknown_side_or_a_missing_locate_is_malformed() {
    let add = |side, locate: u16| AddOrder {
        message_type: Code(b'A'),
        stock_locate: locate.into(),
        tracking_number: 0.into(),
        timestamp: U48::new(5),
        order_reference_number: 42.into(),
        buy_sell_indicator: Code(side),
        shares: 1.into(),
        stock: Text::new(b"AAPL"),
        price: Price4(1.into()),
    };
    for (code, side) in [(b'B', Side::Bid), (b'S', Side::Ask)] {
        let expected = VenueEvent::Add { order_id: 42, side, price: 100_000, size: 1 };
        assert_eq!(bodies(&add(code, 1)), [expected]);
    }
    for (side, locate) in [(b'b', 1), (b'B', 0)] {
        let mut events = Vec::new();
        let message = add(side, locate);
        assert_eq!(decoder().decode(message.as_bytes(), 1, &mut events), Decoded::Malformed);
        assert!(events.is_empty());
    }
}

#[test]
fn an_execution_with_a_price_says_whether_it_prints() {
    let executed = |printable| OrderExecutedWithPrice {
        message_type: Code(b'C'),
        stock_locate: 9.into(),
        tracking_number: 0.into(),
        timestamp: U48::new(5),
        order_reference_number: 42.into(),
        executed_shares: 10.into(),
        match_number: 8.into(),
        printable: Code(printable),
        execution_price: Price4(12_345.into()),
    };
    for (code, printable) in [(b'Y', true), (b'N', false)] {
        let expected = VenueEvent::Execute {
            order_id: 42,
            size: 10,
            price: 1_234_500_000,
            match_id: 8,
            printable,
        };
        assert_eq!(bodies(&executed(code)), [expected]);
    }
    let mut events = Vec::new();
    let decoded = decoder().decode(executed(b'?').as_bytes(), 1, &mut events);
    assert_eq!(decoded, Decoded::Malformed);
}

#[test]
fn trades_and_breaks_name_no_side() {
    let trade = NonCrossTrade {
        message_type: Code(b'P'),
        stock_locate: 9.into(),
        tracking_number: 0.into(),
        timestamp: U48::new(5),
        order_reference_number: 0.into(),
        buy_sell_indicator: Code(b'B'),
        shares: 10.into(),
        stock: Text::new(b"AAPL"),
        price: Price4(10_000.into()),
        match_number: 8.into(),
    };
    let expected = VenueEvent::Trade {
        side: Side::None,
        price: 1_000_000_000,
        size: 10,
        order_id: 0,
        match_id: 8,
    };
    assert_eq!(bodies(&trade), [expected]);
    let broken = BrokenTrade {
        message_type: Code(b'B'),
        stock_locate: 9.into(),
        tracking_number: 0.into(),
        timestamp: U48::new(5),
        match_number: 8.into(),
    };
    let expected = VenueEvent::TradeBreak { match_id: 8, price: UNDEF_PRICE, size: 0 };
    assert_eq!(bodies(&broken), [expected]);
}

#[test]
fn a_cross_beyond_32_bits_is_saturated_and_counted_and_an_empty_one_is_no_trade() {
    let cross = |shares: u64| CrossTrade {
        message_type: Code(b'Q'),
        stock_locate: 9.into(),
        tracking_number: 0.into(),
        timestamp: U48::new(5),
        shares: shares.into(),
        stock: Text::new(b"AAPL"),
        cross_price: Price4(10_000.into()),
        match_number: 8.into(),
        cross_type: Code(b'O'),
    };
    let mut decoder = decoder();
    let mut events: Vec<Event> = Vec::new();
    for shares in [0, 7, 1 << 32] {
        assert_eq!(decoder.decode(cross(shares).as_bytes(), 1, &mut events), Decoded::Known);
    }
    let sizes: Vec<_> = events
        .iter()
        .map(|event| match event.body {
            VenueEvent::Trade { size, .. } => size,
            _ => panic!("{event:?}"),
        })
        .collect();
    assert_eq!(sizes, [7, u32::MAX]);
    assert_eq!(decoder.counters().saturated_sizes, 1);
}

#[test]
fn market_wide_messages_are_about_every_instrument() {
    let levels = MwcbDeclineLevel {
        message_type: Code(b'V'),
        stock_locate: 0.into(),
        tracking_number: 0.into(),
        timestamp: U48::new(5),
        level_1: Price8(425_000_000_000.into()),
        level_2: Price8(2.into()),
        level_3: Price8(3.into()),
    };
    let found = events(levels.as_bytes());
    let flags: Vec<_> = found.iter().map(|event| event.header.flags).collect();
    assert_eq!(flags, [0, 0, LAST]);
    assert!(found.iter().all(|event| event.header.instrument_id == ALL_INSTRUMENTS));
    let VenueEvent::Statistic(first) = found[0].body else { panic!("{found:?}") };
    assert_eq!(first.stat_type, StatType::MwcbLevel1 as u16);
    assert_eq!(first.price, 4_250_000_000_000);
    let too_high = MwcbDeclineLevel { level_3: Price8(u64::MAX.into()), ..levels };
    let mut none = Vec::new();
    assert_eq!(decoder().decode(too_high.as_bytes(), 1, &mut none), Decoded::Malformed);
    assert!(none.is_empty());

    let breach = MwcbStatus {
        message_type: Code(b'W'),
        stock_locate: 0.into(),
        tracking_number: 0.into(),
        timestamp: U48::new(5),
        breached_level: Code(b'2'),
    };
    let [VenueEvent::Status(status)] = bodies(&breach)[..] else { panic!("one status") };
    assert_eq!(status.action, StatusAction::Halt as u16);
    assert_eq!(status.reason, StatusReason::MarketWideHaltLevel2 as u16);
}

#[test]
fn messages_that_no_record_could_hold_are_known_and_silent() {
    let retail = RetailPriceImprovementIndicator {
        message_type: Code(b'N'),
        stock_locate: 9.into(),
        tracking_number: 0.into(),
        timestamp: U48::new(5),
        stock: Text::new(b"AAPL"),
        interest_flag: Code(b'A'),
    };
    assert_eq!(bodies(&retail), []);
}

#[test]
fn lengths_decide_what_is_known() {
    let whole = order_end();
    let whole = whole.as_bytes();
    let mut decoder = decoder();
    let mut events: Vec<Event> = Vec::new();
    let grown = [whole, &[1, 2, 3]].concat();
    assert_eq!(decoder.decode(&grown, 1, &mut events), Decoded::Known);
    assert_eq!(events[0].body, VenueEvent::Delete { order_id: 42 });
    assert_eq!(decoder.counters().grown_messages, 1);
    assert_eq!(decoder.decode(whole, 1, &mut events), Decoded::Known);
    assert_eq!(decoder.counters().grown_messages, 1);
    for length in 0..whole.len() {
        assert_eq!(decoder.decode(&whole[..length], 1, &mut events), Decoded::Malformed);
    }
    assert_eq!(decoder.decode(b"Z", 1, &mut events), Decoded::Unknown);
    assert_eq!(events.len(), 2);
}
