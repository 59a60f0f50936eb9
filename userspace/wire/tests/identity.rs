//! What was decoded is written again as the same bytes: every message, every transport.
//!
//! The encoder here knows no struct of ours. It has the specifications' tables, field by field, and
//! writes what the decoder shows it; so a field that is read from another place, in another width,
//! order or sign, or under another name, does not come out as it went in.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use proptest::prelude::*;
use wirebook_wire::glimpse;
use wirebook_wire::moldudp64::Request;
use wirebook_wire::soupbintcp::{
    ClientPacket, LoginRequest, ReceiveBuffer, RejectReason, ServerPacket,
};
use wirebook_wire::{
    FieldVisitor, FlagBit, Malformed, PacketKind, Protocol, Session, Transport, TransportPacket,
    iex_deep, iex_tops, itch50,
};

/// Nasdaq TotalView-ITCH 5.0, "Message Formats". What every message begins with is left out: the
/// type, `stock_locate:2 tracking_number:2 timestamp:6`. A number of bytes is a number, `c` a
/// character, `tN` a text, `pN` a price.
const ITCH: [(u8, &str); 23] = [
    (b'S', "event_code:c"),
    (
        b'R',
        "stock:t8 market_category:c financial_status_indicator:c round_lot_size:4 round_lots_only:c \
         issue_classification:c issue_sub_type:t2 authenticity:c short_sale_threshold_indicator:c \
         ipo_flag:c luld_reference_price_tier:c etp_flag:c etp_leverage_factor:4 inverse_indicator:c",
    ),
    (b'H', "stock:t8 trading_state:c reserved:c reason:t4"),
    (b'Y', "stock:t8 reg_sho_action:c"),
    (
        b'L',
        "mpid:t4 stock:t8 primary_market_maker:c market_maker_mode:c market_participant_state:c",
    ),
    (b'V', "level_1:p8 level_2:p8 level_3:p8"),
    (b'W', "breached_level:c"),
    (b'K', "stock:t8 ipo_quotation_release_time:4 ipo_quotation_release_qualifier:c ipo_price:p4"),
    (
        b'J',
        "stock:t8 auction_collar_reference_price:p4 upper_auction_collar_price:p4 \
         lower_auction_collar_price:p4 auction_collar_extension:4",
    ),
    (b'h', "stock:t8 market_code:c operational_halt_action:c"),
    (b'A', "order_reference_number:8 buy_sell_indicator:c shares:4 stock:t8 price:p4"),
    (
        b'F',
        "order_reference_number:8 buy_sell_indicator:c shares:4 stock:t8 price:p4 attribution:t4",
    ),
    (b'E', "order_reference_number:8 executed_shares:4 match_number:8"),
    (
        b'C',
        "order_reference_number:8 executed_shares:4 match_number:8 printable:c execution_price:p4",
    ),
    (b'X', "order_reference_number:8 canceled_shares:4"),
    (b'D', "order_reference_number:8"),
    (b'U', "original_order_reference_number:8 new_order_reference_number:8 shares:4 price:p4"),
    (
        b'P',
        "order_reference_number:8 buy_sell_indicator:c shares:4 stock:t8 price:p4 match_number:8",
    ),
    (b'Q', "shares:8 stock:t8 cross_price:p4 match_number:8 cross_type:c"),
    (b'B', "match_number:8"),
    (
        b'I',
        "paired_shares:8 imbalance_shares:8 imbalance_direction:c stock:t8 far_price:p4 \
         near_price:p4 current_reference_price:p4 cross_type:c price_variation_indicator:c",
    ),
    (b'N', "stock:t8 interest_flag:c"),
    (
        b'O',
        "stock:t8 open_eligibility_status:c minimum_allowable_price:p4 maximum_allowable_price:p4 \
         near_execution_price:p4 near_execution_time:8 lower_price_range_collar:p4 \
         upper_price_range_collar:p4",
    ),
];

/// IEX DEEP 1.08 and TOPS 1.66, "Message Formats", after the type; `f` is a byte of flags.
const IEX: [(u8, &str); 11] = [
    (b'S', "system_event:c timestamp:8"),
    (
        b'D',
        "security_directory_flags:f timestamp:8 symbol:t8 round_lot_size:4 adjusted_poc_price:p8 \
         luld_tier:1",
    ),
    (b'H', "trading_status:c timestamp:8 symbol:t8 reason:t4"),
    (b'I', "retail_liquidity_indicator:c timestamp:8 symbol:t8"),
    (b'O', "operational_halt_status:c timestamp:8 symbol:t8"),
    (b'P', "short_sale_price_test_status:1 timestamp:8 symbol:t8 detail:c"),
    (b'E', "security_event:c timestamp:8 symbol:t8"),
    (b'T', "sale_condition_flags:f timestamp:8 symbol:t8 size:4 price:p8 trade_id:8"),
    (b'X', "price_type:c timestamp:8 symbol:t8 official_price:p8"),
    (b'B', "sale_condition_flags:f timestamp:8 symbol:t8 size:4 price:p8 trade_id:8"),
    (
        b'A',
        "auction_type:c timestamp:8 symbol:t8 paired_shares:4 reference_price:p8 \
         indicative_clearing_price:p8 imbalance_shares:4 imbalance_side:c extension_number:1 \
         scheduled_auction_time:4 auction_book_clearing_price:p8 collar_reference_price:p8 \
         lower_auction_collar:p8 upper_auction_collar:p8",
    ),
];
const DEEP: [(u8, &str); 2] = [
    (b'8', "event_flags:1 timestamp:8 symbol:t8 size:4 price:p8"),
    (b'5', "event_flags:1 timestamp:8 symbol:t8 size:4 price:p8"),
];
const TOPS: [(u8, &str); 1] = [(
    b'Q',
    "quote_update_flags:f timestamp:8 symbol:t8 bid_size:4 bid_price:p8 ask_price:p8 ask_size:4",
)];

/// A field of a specification's table.
#[derive(Clone, Copy, Debug)]
struct Field {
    name: &'static str,
    kind: char,
    bytes: usize,
}

/// The layouts of a protocol: each message type with its fields.
fn layouts(protocol: Protocol) -> Vec<(u8, Vec<Field>)> {
    let start = |(kind, fields): &(u8, &'static str)| {
        let common = match protocol {
            Protocol::Itch50 if *kind == b'Y' => "locate_code:2 tracking_number:2 timestamp:6",
            Protocol::Itch50 => "stock_locate:2 tracking_number:2 timestamp:6",
            _ => "",
        };
        (*kind, common.split_whitespace().chain(fields.split_whitespace()).map(field).collect())
    };
    match protocol {
        Protocol::Itch50 => ITCH.iter().map(start).collect(),
        Protocol::IexDeep => IEX.iter().chain(&DEEP).map(start).collect(),
        Protocol::IexTops => IEX.iter().chain(&TOPS).map(start).collect(),
    }
}

fn field(text: &'static str) -> Field {
    let (name, kind) = text.split_once(':').unwrap();
    let (kind, length) = match kind.strip_prefix(|kind: char| kind.is_ascii_lowercase()) {
        Some(length) => (kind.chars().next().unwrap(), length),
        None => ('n', kind),
    };
    Field { name, kind, bytes: if length.is_empty() { 1 } else { length.parse().unwrap() } }
}

/// Writes what it is shown where the table says that it belongs.
struct Encoder<'a> {
    protocol: Protocol,
    fields: std::slice::Iter<'a, Field>,
    out: Vec<u8>,
}

impl Encoder<'_> {
    fn put(&mut self, name: &str, kinds: &str, value: i128) {
        let bytes = self.next(name, kinds).bytes;
        if self.protocol == Protocol::Itch50 {
            self.out.extend(&value.to_be_bytes()[16 - bytes..]);
        } else {
            self.out.extend(&value.to_le_bytes()[..bytes]);
        }
    }

    fn next(&mut self, name: &str, kinds: &str) -> Field {
        let field = self.fields.next().unwrap();
        assert_eq!(field.name, name);
        assert!(kinds.contains(field.kind), "{field:?} is shown as one of {kinds}");
        *field
    }
}

impl FieldVisitor for Encoder<'_> {
    fn number(&mut self, name: &'static str, value: u64) {
        self.put(name, "n", value.into());
    }

    fn character(&mut self, name: &'static str, value: u8) {
        if name == "message_type" {
            return self.out.push(value);
        }
        self.put(name, "c", value.into());
    }

    fn text(&mut self, name: &'static str, value: &[u8]) {
        let end = self.out.len() + self.next(name, "t").bytes;
        self.out.extend(value);
        assert!(self.out.len() <= end);
        self.out.resize(end, b' ');
    }

    fn price(&mut self, name: &'static str, units: i128, decimals: u32) {
        let is_long = self.protocol == Protocol::Itch50 && name.starts_with("level_");
        assert_eq!(decimals, if is_long { 8 } else { 4 });
        self.put(name, "p", units);
    }

    fn flags(&mut self, name: &'static str, value: u8, _bits: &'static [FlagBit]) {
        self.put(name, "f", value.into());
    }
}

/// The message of a layout with these bytes, its texts made such that their padding can be told.
fn message(kind: u8, fields: &[Field], drawn: &[u8]) -> Vec<u8> {
    let mut drawn = drawn.iter().copied().cycle();
    let mut message = vec![kind];
    for field in fields {
        let start = message.len();
        message.extend(drawn.by_ref().take(field.bytes));
        if field.kind == 't' {
            let padding = usize::from(message[start]) % (field.bytes + 1);
            let (text, rest) = message[start..].split_at_mut(field.bytes - padding);
            text.iter_mut().for_each(|byte| *byte = 0x21 + *byte % 94);
            rest.fill(b' ');
        }
    }
    message
}

/// The message, decoded and written again.
fn again(protocol: Protocol, fields: &[Field], message: &[u8]) -> Vec<u8> {
    let mut encoder = Encoder { protocol, fields: fields.iter(), out: Vec::new() };
    match protocol {
        Protocol::Itch50 => itch50::Message::parse(message).unwrap().visit_fields(&mut encoder),
        Protocol::IexDeep => iex_deep::Message::parse(message).unwrap().visit_fields(&mut encoder),
        Protocol::IexTops => iex_tops::Message::parse(message).unwrap().visit_fields(&mut encoder),
    }
    assert!(encoder.fields.next().is_none(), "every field is shown");
    encoder.out
}

#[test]
fn the_tables_have_every_message() {
    for (protocol, lengths) in [
        (Protocol::Itch50, itch50::Message::LENGTHS),
        (Protocol::IexDeep, iex_deep::Message::LENGTHS),
        (Protocol::IexTops, iex_tops::Message::LENGTHS),
    ] {
        let length = |fields: &[Field]| 1 + fields.iter().map(|field| field.bytes).sum::<usize>();
        let mut tables: Vec<_> =
            layouts(protocol).iter().map(|(kind, fields)| (*kind, length(fields))).collect();
        let mut ours = lengths.to_vec();
        tables.sort_unstable();
        ours.sort_unstable();
        assert_eq!(tables, ours);
    }
}

fn messages() -> impl Strategy<Value = Vec<Vec<u8>>> {
    prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..6)
}

fn blocks(messages: &[Vec<u8>], length: fn(u16) -> [u8; 2]) -> Vec<u8> {
    messages.iter().flat_map(|one| [&length(one.len() as u16)[..], one].concat()).collect()
}

fn server_packet(kind: u8, session: [u8; 10], sequence: u64, data: &[u8]) -> ServerPacket<'_> {
    match kind % 7 {
        0 => ServerPacket::Debug(data),
        1 => ServerPacket::LoginAccepted { session, sequence },
        2 => ServerPacket::LoginRejected(RejectReason::NotAuthorised),
        3 => ServerPacket::LoginRejected(RejectReason::SessionUnavailable),
        4 => ServerPacket::SequencedData(data),
        5 => ServerPacket::Heartbeat,
        _ => ServerPacket::EndOfSession,
    }
}

fn client_packet(kind: u8, session: [u8; 10], sequence: u64, data: &[u8]) -> ClientPacket<'_> {
    let mut login = LoginRequest::new("user", "password", "", sequence).unwrap();
    login.session = session;
    match kind % 5 {
        0 => ClientPacket::Debug(data),
        1 => ClientPacket::LoginRequest(login),
        2 => ClientPacket::UnsequencedData(data),
        3 => ClientPacket::Heartbeat,
        _ => ClientPacket::LogoutRequest,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_message_is_written_as_it_was_read(
        drawn in prop::collection::vec(any::<u8>(), 90),
        grown in prop::collection::vec(any::<u8>(), 0..4),
    ) {
        for protocol in Protocol::ALL {
            for (kind, fields) in layouts(protocol) {
                let message = message(kind, &fields, &drawn);
                prop_assert_eq!(&again(protocol, &fields, &message), &message);
                let longer = [&message[..], &grown].concat();
                prop_assert_eq!(&again(protocol, &fields, &longer), &message);
            }
        }
    }

    #[test]
    fn moldudp64_packets_are_read_as_they_were_written(
        session in any::<[u8; 10]>(),
        sequence in 0..=u64::MAX - 2 * 65_535,
        messages in messages(),
    ) {
        let count = messages.len() as u16;
        let request = Request { session, sequence, count };
        prop_assert_eq!(Request::parse(&request.encode()), Ok(request));
        // A request is laid out as a packet's header.
        let payload = [&request.encode()[..], &blocks(&messages, u16::to_be_bytes)].concat();
        let packet = TransportPacket::parse(Transport::MoldUdp64, &payload).unwrap();
        prop_assert_eq!(packet.session, Session::MoldUdp64(session));
        prop_assert_eq!((packet.sequence, packet.count), (sequence, count));
        prop_assert_eq!(packet.kind == PacketKind::Heartbeat, messages.is_empty());
        let read: Result<Vec<_>, Malformed> = packet.blocks.collect();
        prop_assert!(read.unwrap().into_iter().eq(messages.iter().map(Vec::as_slice)));
    }

    #[test]
    fn iex_segments_are_read_as_they_were_written(
        ids in any::<[u32; 2]>(),
        numbers in prop::array::uniform3(0..i64::MAX as u64 - u64::from(u16::MAX)),
        messages in messages(),
    ) {
        for protocol in [Protocol::IexDeep, Protocol::IexTops] {
            let Transport::IexTp { message_protocol_id } = protocol.transport() else { panic!() };
            let blocks = blocks(&messages, u16::to_le_bytes);
            let mut payload = vec![1, 0];
            payload.extend(message_protocol_id.to_le_bytes());
            ids.iter().for_each(|id| payload.extend(id.to_le_bytes()));
            payload.extend((blocks.len() as u16).to_le_bytes());
            payload.extend((messages.len() as u16).to_le_bytes());
            numbers.iter().for_each(|number| payload.extend(number.to_le_bytes()));
            payload.extend(&blocks);
            let packet = TransportPacket::parse(protocol.transport(), &payload).unwrap();
            let [channel_id, session_id] = ids;
            prop_assert_eq!(packet.session, Session::IexTp { session_id, channel_id });
            prop_assert_eq!((packet.sequence, packet.ts_sent), (numbers[1], numbers[2]));
            let read: Result<Vec<_>, Malformed> = packet.blocks.collect();
            prop_assert!(read.unwrap().into_iter().eq(messages.iter().map(Vec::as_slice)));
        }
    }

    #[test]
    fn soupbintcp_packets_are_read_as_they_were_written(
        kinds in prop::collection::vec(any::<u8>(), 1..20),
        session in any::<[u8; 10]>(),
        sequence in any::<u64>(),
        data in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        let (mut from_server, mut from_client) = (Vec::new(), Vec::new());
        for kind in &kinds {
            server_packet(*kind, session, sequence, &data).write(&mut from_server).unwrap();
            client_packet(*kind, session, sequence, &data).write(&mut from_client).unwrap();
        }
        let (mut server, mut client) = (ReceiveBuffer::default(), ReceiveBuffer::default());
        for (buffer, bytes) in [(&mut server, &from_server), (&mut client, &from_client)] {
            buffer.room()[..bytes.len()].copy_from_slice(bytes);
            buffer.received(bytes.len());
        }
        for kind in kinds {
            let read = ServerPacket::parse(server.next_packet().unwrap().unwrap());
            prop_assert_eq!(read, Ok(server_packet(kind, session, sequence, &data)));
            let read = ClientPacket::parse(client.next_packet().unwrap().unwrap());
            prop_assert_eq!(read, Ok(client_packet(kind, session, sequence, &data)));
        }
        prop_assert_eq!((server.held_bytes(), client.held_bytes()), (0, 0));
    }

    #[test]
    fn the_end_of_a_snapshot_is_read_as_it_was_written(sequence in 1..u64::MAX) {
        let end = glimpse::end_of_snapshot(sequence);
        prop_assert_eq!(glimpse::parse(&end), Ok(glimpse::Message::End { sequence }));
    }
}
