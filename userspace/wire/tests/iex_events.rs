//! DEEP and TOPS messages become these events; the rows of another parser are reproduced.

mod common;

use std::collections::BTreeMap;
use wirebook_model::dbn::flags::LAST;
use wirebook_model::dbn::{StatType, StatusAction, StatusReason, UNDEF_PRICE};
use wirebook_model::{ALL_INSTRUMENTS, Event, Imbalance, Packet, Side, VenueEvent};
use wirebook_wire::iex_deep::{
    AuctionInformation, OfficialPrice, OperationalHaltStatus, PriceLevelUpdate,
    RetailLiquidityIndicator, SaleConditionFlags, SecurityDirectory, SecurityDirectoryFlags,
    TradeReport, TradingStatus,
};
use wirebook_wire::{
    Code, Datagram, Decoded, Decoder, Limits, Protocol, SignedPrice4, Text, TransportPacket,
};
use zerocopy::IntoBytes;

fn decoder(protocol: Protocol) -> Decoder {
    Decoder::new(protocol, 3, Limits::default())
}

/// The day's events, each with its packet's times.
fn day() -> Option<Vec<(Packet, Event)>> {
    let data = common::data()?;
    let mut decoder = decoder(Protocol::IexDeep);
    let mut found = Vec::new();
    let mut events = Vec::new();
    for frame in common::pcap(&data.join("iex/deep-2023-10-02.pcap.gz")) {
        let datagram = Datagram::parse(&frame.bytes).expect("a datagram");
        let packet = TransportPacket::parse(Protocol::IexDeep.transport(), datagram.payload)
            .expect("a packet");
        let times = Packet { ts_recv: frame.time_ns, ts_sent: packet.ts_sent, ts_worker: 0 };
        for (sequence, block) in (packet.sequence..).zip(packet.blocks) {
            let block = block.expect("a message");
            assert_eq!(decoder.decode(block, sequence, &mut events), Decoded::Known);
        }
        found.extend(events.drain(..).map(|event| (times, event)));
    }
    Some(found)
}

/// The symbols of the day by number.
fn symbols(day: &[(Packet, Event)]) -> BTreeMap<u32, String> {
    let mut symbols = BTreeMap::new();
    for (_, event) in day {
        if let VenueEvent::Definition(definition) = event.body {
            symbols.insert(event.header.instrument_id, definition.symbol.to_string());
        }
    }
    symbols
}

/// The securities of the other parser's files, whose rows say what came for them.
const FIVE: [&str; 5] = ["AAPL", "AMZN", "GOOGL", "MSFT", "TSLA"];

fn rows(name: &str) -> Vec<Vec<String>> {
    let data = common::data().expect("the captures are there");
    let text = String::from_utf8(common::read(&data.join("iex/expected").join(name)));
    let text = text.expect("text");
    text.lines().skip(1).map(|line| line.split(',').map(str::to_owned).collect()).collect()
}

/// `76.010000` in 1e-9.
fn nanos(price: &str) -> i64 {
    let (whole, fraction) = price.split_once('.').expect("a decimal point");
    assert_eq!(fraction.len(), 6);
    format!("{whole}{fraction}000").parse().expect("a number")
}

/// The other parser keeps the capture's times in doubles, which lose up to 128 ns.
fn is_about(time_ns: u64, row: &str) -> bool {
    time_ns.abs_diff(row.parse().expect("a number")) <= 256
}

#[test]
fn the_price_level_rows_are_reproduced() {
    let Some(day) = day() else { return };
    let symbols = symbols(&day);
    let found: Vec<_> = day
        .iter()
        .filter(|(_, event)| matches!(event.body, VenueEvent::Level { .. }))
        .filter(|(_, event)| FIVE.contains(&&*symbols[&event.header.instrument_id]))
        .collect();
    let rows = rows("test_prl.csv");
    assert_eq!(found.len(), rows.len());
    for ((times, event), row) in found.into_iter().zip(rows) {
        let [captured, sent, side, time, _, symbol, price, size, _, _] = &row[..] else {
            panic!("{row:?}");
        };
        assert!(is_about(times.ts_recv, captured) && is_about(times.ts_sent, sent), "{row:?}");
        assert_eq!(event.header.ts_event.to_string(), *time);
        assert_eq!(symbols[&event.header.instrument_id], *symbol);
        let side = if side == "0" { Side::Bid } else { Side::Ask };
        let size = size.parse().expect("a size");
        assert_eq!(event.body, VenueEvent::Level { side, price: nanos(price), size });
        assert_eq!(event.header.flags, LAST);
    }
}

#[test]
fn the_trade_rows_are_reproduced() {
    let Some(day) = day() else { return };
    let symbols = symbols(&day);
    let found: Vec<_> = day
        .iter()
        .filter(|(_, event)| matches!(event.body, VenueEvent::Trade { .. }))
        .filter(|(_, event)| FIVE.contains(&&*symbols[&event.header.instrument_id]))
        .collect();
    let rows = rows("test_trd.csv");
    assert_eq!(found.len(), rows.len());
    for ((times, event), row) in found.into_iter().zip(rows) {
        let [captured, sent, time, _, symbol, size, price, trade_id, _] = &row[..] else {
            panic!("{row:?}");
        };
        assert!(is_about(times.ts_recv, captured) && is_about(times.ts_sent, sent), "{row:?}");
        assert_eq!(event.header.ts_event.to_string(), *time);
        assert_eq!(symbols[&event.header.instrument_id], *symbol);
        let expected = VenueEvent::Trade {
            side: Side::None,
            price: nanos(price),
            size: size.parse().expect("a size"),
            order_id: 0,
            match_id: trade_id.parse().expect("a number"),
        };
        assert_eq!(event.body, expected);
    }
}

#[test]
fn a_book_of_the_day_is_never_crossed_at_the_end_of_an_event() {
    let Some(day) = day() else { return };
    let mut books: BTreeMap<u32, [BTreeMap<i64, u32>; 2]> = BTreeMap::new();
    let mut updates = 0;
    for (_, event) in &day {
        let VenueEvent::Level { side, price, size } = event.body else { continue };
        updates += 1;
        let book = books.entry(event.header.instrument_id).or_default();
        let levels = &mut book[usize::from(side == Side::Ask)];
        if size == 0 {
            levels.remove(&price)
        } else {
            levels.insert(price, size)
        };
        let [bids, asks] = &*book;
        if let (Some(bid), Some(ask)) = (bids.keys().next_back(), asks.keys().next()) {
            assert!(event.header.flags & LAST == 0 || bid < ask, "{event:?}");
        }
    }
    assert_eq!(updates, 2_752);
}

#[test]
fn instruments_are_numbered_as_they_appear_and_defined_before_anything_else() {
    let Some(day) = day() else { return };
    let mut defined = 0;
    for (_, event) in &day {
        let id = event.header.instrument_id;
        if matches!(event.body, VenueEvent::Definition(_)) && id == defined + 1 {
            defined = id;
        }
        assert!(id <= defined, "{event:?}");
    }
    assert!(defined > 11_000);
    assert_eq!(symbols(&day)[&1], "A");
    let opening = day[0].1;
    assert_eq!(opening.header.instrument_id, ALL_INSTRUMENTS);
    let VenueEvent::Status(status) = opening.body else { panic!("{opening:?}") };
    assert_eq!(status.action, StatusAction::NotAvailableForTrading as u16);
    assert_eq!(status.is_trading, b'~');
}

#[test]
fn a_quote_update_is_both_sides() {
    let Some(data) = common::data() else { return };
    let frames = common::pcap(&data.join("iex/QuoteUpdateMessage.pcap"));
    let datagram = Datagram::parse(&frames[0].bytes).expect("a datagram");
    let packet = TransportPacket::parse(Protocol::IexTops.transport(), datagram.payload);
    let block = packet.expect("a packet").blocks.next().expect("a message").expect("a whole one");
    let mut decoder = decoder(Protocol::IexTops);
    let mut events: Vec<Event> = Vec::new();
    assert_eq!(decoder.decode(block, 49_821, &mut events), Decoded::Known);
    let flags: Vec<_> = events.iter().map(|event| event.header.flags).collect();
    assert_eq!(flags, [0, 0, LAST]);
    assert!(matches!(events[0].body, VenueEvent::Definition(_)));
    let bid = VenueEvent::Top { side: Side::Bid, price: 24_190_000_000, size: 18_773 };
    let ask = VenueEvent::Top { side: Side::Ask, price: 24_250_000_000, size: 60_677 };
    assert_eq!([events[1].body, events[2].body], [bid, ask]);

    let mut empty = block.to_vec();
    empty[18..22].fill(0);
    events.clear();
    assert_eq!(decoder.decode(&empty, 49_822, &mut events), Decoded::Known);
    let none = VenueEvent::Top { side: Side::Bid, price: UNDEF_PRICE, size: 0 };
    assert_eq!([events[0].body, events[1].body], [none, ask]);
}

fn level(event_flags: u8, price: i64) -> PriceLevelUpdate {
    PriceLevelUpdate {
        message_type: Code(b'8'),
        event_flags,
        timestamp: 5.into(),
        symbol: Text::new(b"IBKR"),
        size: 100.into(),
        price: SignedPrice4(price.into()),
    }
}

fn trade(symbol: &[u8]) -> TradeReport {
    TradeReport {
        message_type: Code(b'T'),
        sale_condition_flags: SaleConditionFlags(0),
        timestamp: 5.into(),
        symbol: Text::new(symbol),
        size: 100.into(),
        price: SignedPrice4(10_000.into()),
        trade_id: 8.into(),
    }
}

/// What `messages` give, one after the other, without the definitions.
fn decode_all(decoder: &mut Decoder, messages: &[&[u8]]) -> Vec<Event> {
    let mut events: Vec<Event> = Vec::new();
    for message in messages {
        assert_eq!(decoder.decode(message, 1, &mut events), Decoded::Known);
    }
    events.retain(|event| !matches!(event.body, VenueEvent::Definition(_)));
    events
}

#[test]
fn nothing_ends_an_event_that_the_venue_keeps_open() {
    let mut decoder = decoder(Protocol::IexDeep);
    let (more, last) = (level(0, 10_000), level(1, 20_000));
    let (own, other) = (trade(b"IBKR"), trade(b"ZEXIT"));
    let messages = [
        own.as_bytes(),
        more.as_bytes(),
        own.as_bytes(),
        other.as_bytes(),
        last.as_bytes(),
        own.as_bytes(),
    ];
    let flags: Vec<_> =
        decode_all(&mut decoder, &messages).iter().map(|event| event.header.flags).collect();
    assert_eq!(flags, [LAST, 0, 0, LAST, LAST, LAST]);
}

#[test]
fn an_operational_halt_stands_above_the_trading_status() {
    let trading = TradingStatus {
        message_type: Code(b'H'),
        trading_status: Code(b'T'),
        timestamp: 5.into(),
        symbol: Text::new(b"IBKR"),
        reason: Text::new(b""),
    };
    let halted = TradingStatus { trading_status: Code(b'H'), reason: Text::new(b"T1"), ..trading };
    let operational = |status| OperationalHaltStatus {
        message_type: Code(b'O'),
        operational_halt_status: Code(status),
        timestamp: 5.into(),
        symbol: Text::new(b"IBKR"),
    };
    let (set, clear) = (operational(b'O'), operational(b'N'));
    let messages =
        [clear.as_bytes(), trading.as_bytes(), set.as_bytes(), halted.as_bytes(), clear.as_bytes()];
    let mut decoder = decoder(Protocol::IexDeep);
    let found: Vec<_> = decode_all(&mut decoder, &messages)
        .iter()
        .map(|event| match event.body {
            VenueEvent::Status(status) => (status.action, status.reason, status.is_trading),
            _ => panic!("{event:?}"),
        })
        .collect();
    let expected = [
        (StatusAction::None, StatusReason::None, b'~'),
        (StatusAction::Trading, StatusReason::None, b'Y'),
        (StatusAction::Halt, StatusReason::Operational, b'N'),
        (StatusAction::Halt, StatusReason::Operational, b'N'),
        (StatusAction::Halt, StatusReason::NewsPending, b'N'),
    ];
    assert_eq!(found, expected.map(|(action, reason, y)| (action as u16, reason as u16, y)));
}

#[test]
fn the_directory_and_official_prices_are_told() {
    let mut decoder = decoder(Protocol::IexDeep);
    let directory = SecurityDirectory {
        message_type: Code(b'D'),
        security_directory_flags: SecurityDirectoryFlags(0x80),
        timestamp: 5.into(),
        symbol: Text::new(b"IBKR"),
        round_lot_size: 100.into(),
        adjusted_poc_price: SignedPrice4(1.into()),
        luld_tier: 1,
    };
    let mut events: Vec<Event> = Vec::new();
    assert_eq!(decoder.decode(directory.as_bytes(), 1, &mut events), Decoded::Known);
    let [Event { header, body: VenueEvent::Definition(definition) }] = events[..] else {
        panic!("{events:?}");
    };
    assert_eq!((header.instrument_id, header.flags), (1, LAST));
    assert_eq!((definition.symbol.as_str(), definition.round_lot_size), ("IBKR", 100));

    let official = OfficialPrice {
        message_type: Code(b'X'),
        price_type: Code(b'Q'),
        timestamp: 5.into(),
        symbol: Text::new(b"IBKR"),
        official_price: SignedPrice4(867_500.into()),
    };
    let found = decode_all(&mut decoder, &[official.as_bytes()]);
    let VenueEvent::Statistic(statistic) = found[0].body else { panic!("{found:?}") };
    assert_eq!(statistic.stat_type, StatType::OpeningPrice as u16);
    assert_eq!(statistic.price, 86_750_000_000);
}

#[test]
fn limits_and_bad_prices_give_no_events() {
    let mut decoder = Decoder::new(Protocol::IexDeep, 3, Limits { instruments: 1 });
    let mut events: Vec<Event> = Vec::new();
    let mut decode = |message: &[u8]| decoder.decode(message, 1, &mut events);
    // A malformed first message leaves the definition to the next one.
    assert_eq!(decode(level(1, i64::MAX).as_bytes()), Decoded::Malformed);
    assert_eq!(decode(trade(b"ZEXIT").as_bytes()), Decoded::OverLimit);
    let indicator = RetailLiquidityIndicator {
        message_type: Code(b'I'),
        retail_liquidity_indicator: Code(b'A'),
        timestamp: 5.into(),
        symbol: Text::new(b"IBKR"),
    };
    assert_eq!(decode(indicator.as_bytes()), Decoded::Known);
    assert_eq!(decode(level(1, 10_000).as_bytes()), Decoded::Known);
    assert_eq!(events.len(), 2);
    assert!(matches!(events[0].body, VenueEvent::Definition(_)));
    assert_eq!(events[0].header.flags, LAST);
}

#[test]
fn an_auction_is_told_without_the_prices_it_does_not_have() {
    let auction = AuctionInformation {
        message_type: Code(b'A'),
        auction_type: Code(b'C'),
        timestamp: 5.into(),
        symbol: Text::new(b"IBKR"),
        paired_shares: 100.into(),
        reference_price: SignedPrice4(1.into()),
        indicative_clearing_price: SignedPrice4(2.into()),
        imbalance_shares: 50.into(),
        imbalance_side: Code(b'S'),
        extension_number: 1,
        scheduled_auction_time: 1_696_262_400.into(),
        auction_book_clearing_price: SignedPrice4(3.into()),
        collar_reference_price: SignedPrice4(4.into()),
        lower_auction_collar: SignedPrice4(0.into()),
        upper_auction_collar: SignedPrice4(5.into()),
    };
    let mut decoder = decoder(Protocol::IexTops);
    let [event] = decode_all(&mut decoder, &[auction.as_bytes()])[..] else { panic!("one event") };
    let expected = Imbalance {
        ref_price: 100_000,
        auction_time: 1_696_262_400_000_000_000,
        cont_book_clr_price: 200_000,
        auct_interest_clr_price: 300_000,
        upper_collar: 500_000,
        lower_collar: UNDEF_PRICE,
        ind_match_price: 200_000,
        paired_qty: 100,
        total_imbalance_qty: 50,
        side: Side::Ask,
        auction_type: b'C',
        num_extensions: 1,
        significant_imbalance: b'~',
    };
    assert_eq!(event.body, VenueEvent::Imbalance(expected));
}
