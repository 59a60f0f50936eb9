//! Every packet of the Nasdaq and IEX captures against an independent dissector's reading of it:
//! addresses, VLAN, transport header, and each message field by field.

mod common;

use serde_json::Value;
use std::collections::BTreeMap;
use std::io::BufRead;
use std::path::Path;
use wirebook_wire::{
    Datagram, FieldVisitor, FlagBit, PacketKind, Protocol, TransportPacket, iex_tp,
};
use zerocopy::FromBytes;

/// A field as we read it.
#[derive(Debug)]
enum Ours {
    Number(u64),
    Text(String),
    Price(i128, u32),
}

impl Ours {
    fn equals(&self, dissected: &str) -> bool {
        match self {
            Self::Number(value) => dissected.parse() == Ok(*value),
            Self::Text(value) => value.trim_end() == dissected.trim_end(),
            Self::Price(units, decimals) => parse_price(dissected, *decimals) == Some(*units),
        }
    }
}

/// `80.52` with four decimals is 805200.
fn parse_price(text: &str, decimals: u32) -> Option<i128> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let padded = format!("{fraction:0<width$}", width = decimals as usize);
    let digits = format!("{whole}{padded}");
    (padded.len() == decimals as usize).then(|| digits.parse().ok()).flatten()
}

/// Collects fields as the dissector names them: without underscores.
#[derive(Default)]
struct Collected(BTreeMap<String, Ours>);

impl Collected {
    fn add(&mut self, name: &str, value: Ours) {
        assert!(self.0.insert(name.replace('_', ""), value).is_none(), "{name} comes twice");
    }
}

impl FieldVisitor for Collected {
    fn number(&mut self, name: &'static str, value: u64) {
        self.add(name, Ours::Number(value));
    }

    fn character(&mut self, name: &'static str, value: u8) {
        self.add(name, Ours::Text(char::from(value).to_string()));
    }

    fn text(&mut self, name: &'static str, value: &[u8]) {
        self.add(name, Ours::Text(String::from_utf8_lossy(value).into_owned()));
    }

    fn price(&mut self, name: &'static str, units: i128, decimals: u32) {
        self.add(name, Ours::Price(units, decimals));
    }

    fn flags(&mut self, _name: &'static str, value: u8, bits: &'static [FlagBit]) {
        for bit in bits {
            self.add(bit.name, Ours::Number(u64::from(value & bit.mask != 0)));
        }
    }
}

/// One message as the dissector reads it.
#[derive(Default)]
struct Dissected {
    length: usize,
    /// The dissector's name of the message; empty where it does not know the type.
    name: String,
    fields: BTreeMap<String, String>,
}

/// The dissector's packet header and messages.
fn dissected(line: &Value) -> (BTreeMap<String, String>, Vec<Dissected>) {
    let mut header = BTreeMap::new();
    let mut messages: Vec<Dissected> = Vec::new();
    for field in line["fields"].as_array().expect("fields") {
        let depth = field[0].as_u64().expect("a depth");
        let (name, value) =
            (field[1].as_str().expect("a name"), field[2].as_str().expect("a value"));
        match (messages.last_mut(), depth, name) {
            (_, 1, "message") => messages.push(Dissected::default()),
            (None, _, _) => drop(header.insert(name.to_owned(), value.to_owned())),
            (Some(_), 2, "messageindex" | "messageheader") => {}
            (Some(message), 3, "messagelength") => {
                message.length = value.parse().expect("a length");
            }
            (Some(message), 2, _) => message.name = name.to_owned(),
            // The flags' own line repeats its bits in words; unused bits have no name.
            (Some(_), 3, _) if name.ends_with("flags") && name != "eventflags" => {}
            (Some(_), 4, _) if name.starts_with("unused") => {}
            (Some(message), _, _) => {
                message.fields.insert(name.to_owned(), value.to_owned());
            }
        }
    }
    (header, messages)
}

/// What a file held.
#[derive(Debug, Default, PartialEq, Eq)]
struct Totals {
    packets: usize,
    messages: usize,
    heartbeats: usize,
}

fn compare_file(protocol: Protocol, capture: &Path) -> Totals {
    let name = capture.to_string_lossy().replace(".pcap", ".decoded.jsonl");
    let text = common::read(Path::new(&name));
    let frames = common::pcap(capture);
    let mut lines = text.lines();
    let mut totals = Totals::default();
    for frame in &frames {
        let line = lines.next().expect("a line a packet").expect("text");
        let line: Value = serde_json::from_str(&line).expect("JSON");
        let datagram = Datagram::parse(&frame.bytes).expect("a datagram");
        let packet = compare_headers(protocol, frame.time_ns, &datagram, &line);
        totals.packets += 1;
        totals.heartbeats += usize::from(packet.kind == PacketKind::Heartbeat);
        totals.messages += compare_messages(protocol, packet, &line);
    }
    assert!(lines.next().is_none(), "more lines than packets");
    totals
}

fn compare_headers<'a>(
    protocol: Protocol,
    time_ns: u64,
    datagram: &Datagram<'a>,
    line: &Value,
) -> TransportPacket<'a> {
    let time = format!("{}.{:09}", time_ns / 1_000_000_000, time_ns % 1_000_000_000);
    assert_eq!(line["time"], time);
    assert_eq!(line["dst"], datagram.destination.ip().to_string());
    assert_eq!(line["port"], datagram.destination.port());
    assert_eq!(line["vlan"].as_u64(), datagram.outer_vlan.map(u64::from));

    let packet = TransportPacket::parse(protocol.transport(), datagram.payload).expect("a packet");
    let (header, _) = dissected(line);
    let field = |name: &str| header[name].parse::<u64>().expect("a number");
    assert_eq!(field("messagecount"), u64::from(packet.count));
    if protocol == Protocol::Itch50 {
        assert_eq!(header["session"], packet.session.to_string());
        assert_eq!(field("sequencenumber"), packet.sequence);
        return packet;
    }
    let (segment, _) = iex_tp::Header::ref_from_prefix(datagram.payload).expect("a header");
    assert_eq!(field("version"), u64::from(segment.version));
    assert_eq!(field("messageprotocolid"), u64::from(segment.message_protocol_id.get()));
    assert_eq!(field("payloadlength"), u64::from(segment.payload_length.get()));
    assert_eq!(field("streamoffset"), segment.stream_offset.get());
    assert_eq!(
        format!("{}/{}", field("sessionid"), field("channelid")),
        packet.session.to_string()
    );
    assert_eq!(field("firstmessagesequencenumber"), packet.sequence);
    assert_eq!(field("sendtime"), packet.ts_sent);
    packet
}

fn compare_messages(protocol: Protocol, packet: TransportPacket<'_>, line: &Value) -> usize {
    let (_, messages) = dissected(line);
    let blocks: Vec<_> = packet.blocks.map(|block| block.expect("a whole packet")).collect();
    assert_eq!(blocks.len(), messages.len());
    for (block, expected) in blocks.iter().zip(&messages) {
        assert_eq!(block.len(), expected.length);
        let mut ours = Collected::default();
        let name = protocol.visit_fields(block, &mut ours).expect("a known message");
        if expected.name.is_empty() {
            assert_eq!(expected.fields["messagetype"], "I", "the one type the dissector lacks");
            assert!(ours.0["messagetype"].equals("I"));
            continue;
        }
        assert!(same_name(name, &expected.name), "{name:?} {:?}", expected.name);
        let names = |keys: Vec<&String>| keys.into_iter().cloned().collect::<Vec<_>>();
        assert_eq!(names(ours.0.keys().collect()), names(expected.fields.keys().collect()));
        for (field, value) in &expected.fields {
            assert!(ours.0[field].equals(value), "{name} {field}: {:?} {value:?}", ours.0[field]);
        }
    }
    messages.len()
}

/// The dissector has two names for the two sides of a price level update.
fn same_name(ours: &str, dissected: &str) -> bool {
    let plain = ours.replace([' ', '-'], "").to_lowercase();
    let plain = plain.trim_end_matches("message");
    let dissected = dissected.trim_end_matches("message");
    plain == dissected.replacen("buyupdate", "update", 1).replacen("sellupdate", "update", 1)
}

#[test]
fn the_days_first_deep_packets_equal_their_dissection() {
    let Some(data) = common::data() else { return };
    let totals = compare_file(Protocol::IexDeep, &data.join("iex/deep-2023-10-02.pcap.gz"));
    let expected = Totals { packets: 5_000, messages: 48_325, heartbeats: 1_264 };
    assert_eq!(totals, expected);
}

#[test]
fn every_single_capture_equals_its_dissection() {
    let Some(data) = common::data() else { return };
    for (folder, expected) in [
        ("iex", Totals { packets: 4, messages: 3, heartbeats: 1 }),
        ("nasdaq-itch", Totals { packets: 9, messages: 46, heartbeats: 0 }),
    ] {
        let mut totals = Totals::default();
        for capture in common::files(&data.join(folder), &[".pcap"]) {
            let found = compare_file(common::protocol_of(folder, &capture), &capture);
            totals.packets += found.packets;
            totals.messages += found.messages;
            totals.heartbeats += found.heartbeats;
        }
        assert_eq!(totals, expected, "{folder}");
    }
}

#[test]
fn the_artificial_session_has_its_counts() {
    let Some(data) = common::data() else { return };
    let mut counts = BTreeMap::new();
    for message in common::artificial_messages(&data) {
        let mut fields = Collected::default();
        Protocol::Itch50.visit_fields(&message, &mut fields).expect("a known message");
        *counts.entry(char::from(message[0])).or_insert(0) += 1;
    }
    let expected = [
        ('S', 6),
        ('R', 3),
        ('H', 3),
        ('A', 4_997),
        ('F', 3),
        ('E', 198),
        ('X', 45),
        ('D', 1_745),
        ('U', 12),
        ('P', 5_000),
    ];
    assert_eq!(counts, BTreeMap::from(expected));
}
