//! `wirebook decode` against an independent dissector's reading of every message, the expected
//! rows of another parser, and a session with known counts.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{captures, data, decimal_1e9};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::path::Path;

const DEEP: &str = "iex/deep-2023-10-02.pcap.gz";

/// The lines that `decode` prints.
fn decode(capture: &Path, options: &[&str]) -> Vec<Map<String, Value>> {
    let arguments = [&["decode", capture.to_str().unwrap()], options].concat();
    let parse = |line: &str| serde_json::from_str(line).unwrap();
    common::text(&arguments).lines().map(parse).collect()
}

#[test]
fn every_iex_deep_message_equals_its_dissection() {
    let Some(capture) = data(DEEP) else { return };
    assert_eq!(compare_file(&capture, "iex-deep"), (5_000, 48_325));
}

#[test]
fn every_single_iex_packet_equals_its_dissection() {
    assert_eq!(compare_folder("iex"), (4, 3));
}

#[test]
fn every_nasdaq_packet_equals_its_dissection() {
    assert_eq!(compare_folder("nasdaq-itch"), (9, 46));
}

/// Compares all `*.pcap` of a folder; without the data, says so and answers what is expected.
fn compare_folder(folder: &str) -> (usize, usize) {
    let expected = if folder == "iex" { (4, 3) } else { (9, 46) };
    let Some(path) = data(folder) else { return expected };
    captures::files(&path, &[".pcap"]).iter().fold((0, 0), |(packets, messages), capture| {
        let protocol = captures::protocol_of(folder, capture).to_string();
        let found = compare_file(capture, &protocol);
        (packets + found.0, messages + found.1)
    })
}

/// Compares line by line and field by field; answers the packets and messages compared.
fn compare_file(capture: &Path, protocol: &str) -> (usize, usize) {
    let dissection = capture.to_string_lossy().replace(".pcap", ".decoded.jsonl");
    let dissection = String::from_utf8(captures::read(Path::new(&dissection))).unwrap();
    let decoded = decode(capture, &["--protocol", protocol]);
    let mut ours = decoded.iter();
    let (mut packets, mut messages) = (0, 0);
    for line in dissection.lines() {
        let packet: Value = serde_json::from_str(line).unwrap();
        let (header, dissected) = dissected(&packet);
        packets += 1;
        for (at, expected) in dissected.iter().enumerate() {
            let found = ours.next().unwrap();
            assert_eq!(found["packet"], packet["packet"]);
            assert_eq!(found["ts_recv"].as_u64().unwrap(), time_ns(&packet));
            let first = ["sequencenumber", "firstmessagesequencenumber"];
            let first = first.iter().find_map(|name| header.get(*name)).unwrap();
            let first: u64 = first.parse().unwrap();
            assert_eq!(found["sequence"].as_u64().unwrap(), first + at as u64);
            compare_message(found, expected);
            messages += 1;
        }
    }
    assert!(ours.next().is_none(), "more lines than the dissector has messages");
    (packets, messages)
}

fn time_ns(packet: &Value) -> u64 {
    packet["time"].as_str().unwrap().replace('.', "").parse().unwrap()
}

fn compare_message(ours: &Map<String, Value>, expected: &Dissected) {
    assert!(!ours.contains_key("error"), "{ours:?}");
    let ours_by_name = plain_fields(ours);
    if expected.name.is_empty() {
        // The one type that the dissector lacks: the retail liquidity indicator.
        assert_eq!(expected.fields["messagetype"], "I");
        assert_eq!(ours_by_name["messagetype"], "I");
        return;
    }
    let name = ours["message"].as_str().unwrap();
    assert!(same_name(name, &expected.name), "{name:?} {:?}", expected.name);
    let names: Vec<_> = ours_by_name.keys().collect();
    assert_eq!(names, expected.fields.keys().collect::<Vec<_>>(), "{name}");
    for (field, dissected) in &expected.fields {
        let found = &ours_by_name[field];
        assert!(same_value(found, dissected), "{name} {field}: {found:?}, not {dissected:?}");
    }
}

/// Our fields as the dissector names them: without underscores, a flag a field.
fn plain_fields(ours: &Map<String, Value>) -> BTreeMap<String, String> {
    let mut fields = BTreeMap::new();
    let mut put = |name: &str, value: String| {
        assert!(fields.insert(name.replace('_', ""), value).is_none(), "{name} comes twice");
    };
    for (name, value) in ours {
        match value {
            _ if ["packet", "ts_recv", "sequence", "message"].contains(&name.as_str()) => {}
            Value::Number(number) => put(name, number.to_string()),
            Value::String(text) => put(name, text.clone()),
            Value::Object(bits) => {
                for (bit, set) in bits {
                    put(bit, u8::from(set.as_bool().unwrap()).to_string());
                }
            }
            other => panic!("{name} is {other}"),
        }
    }
    fields
}

/// Equal but for padding, or as numbers where both are.
fn same_value(ours: &str, dissected: &str) -> bool {
    let numbers = decimal_1e9(ours).zip(decimal_1e9(dissected));
    ours.trim_end() == dissected.trim_end() || numbers.is_some_and(|(a, b)| a == b)
}

/// The dissector has two names for the two sides of a price level update.
fn same_name(ours: &str, dissected: &str) -> bool {
    let plain = ours.replace([' ', '-'], "").to_lowercase();
    let dissected = dissected.trim_end_matches("message");
    let dissected =
        dissected.replacen("buyupdate", "update", 1).replacen("sellupdate", "update", 1);
    plain.trim_end_matches("message") == dissected
}

/// One message as the dissector reads it.
#[derive(Default)]
struct Dissected {
    /// The dissector's name of the message; empty where it does not know the type.
    name: String,
    fields: BTreeMap<String, String>,
}

/// The dissector's packet header and messages.
fn dissected(line: &Value) -> (BTreeMap<String, String>, Vec<Dissected>) {
    let mut header = BTreeMap::new();
    let mut messages: Vec<Dissected> = Vec::new();
    for field in line["fields"].as_array().unwrap() {
        let (depth, name) = (field[0].as_u64().unwrap(), field[1].as_str().unwrap());
        let value = field[2].as_str().unwrap().to_owned();
        match (messages.last_mut(), depth, name) {
            (_, 1, "message") => messages.push(Dissected::default()),
            (None, _, _) => drop(header.insert(name.to_owned(), value)),
            (Some(_), 2, "messageindex" | "messageheader") | (Some(_), 3, "messagelength") => {}
            (Some(message), 2, _) => message.name = name.to_owned(),
            // The flags' own line repeats its bits in words; unused bits have no name.
            (Some(_), 3, _) if name.ends_with("flags") && name != "eventflags" => {}
            (Some(_), 4, _) if name.starts_with("unused") => {}
            (Some(message), _, _) => drop(message.fields.insert(name.to_owned(), value)),
        }
    }
    (header, messages)
}

/// The symbols that the other parser was told to write out.
const EXPECTED_SYMBOLS: [&str; 5] = ["AAPL", "AMZN", "GOOGL", "MSFT", "TSLA"];

#[test]
fn the_other_parsers_price_level_rows_are_reproduced() {
    let Some(rows) = expected_rows("iex/expected/test_prl.csv") else { return };
    let Some(capture) = data(DEEP) else { return };
    let ours = of_symbols(decode(&capture, &["--protocol", "iex-deep"]), "Price Level Update");
    assert_eq!(ours.len(), rows.len());
    for (ours, row) in ours.iter().zip(&rows) {
        assert_capture_time(ours, row);
        // That parser numbers the sides: 0 the bid, 1 the ask.
        let side = if row["Buy_Ask Flag"] == "0" { "8" } else { "5" };
        assert_eq!(ours["message_type"], side, "{row:?}");
        assert_same(ours, row, "timestamp", "Exchange Timestamp");
        assert_same(ours, row, "symbol", "Symbol");
        assert_same(ours, row, "price", "Price");
        assert_same(ours, row, "size", "Size");
        assert_same(ours, row, "event_flags", "Event Flag");
        assert_eq!(row["Tick Type"], "PRL");
    }
}

#[test]
fn the_other_parsers_trade_rows_are_reproduced() {
    let Some(rows) = expected_rows("iex/expected/test_trd.csv") else { return };
    let Some(capture) = data(DEEP) else { return };
    let ours = of_symbols(decode(&capture, &["--protocol", "iex-deep"]), "Trade Report");
    assert_eq!(ours.len(), rows.len());
    for (ours, row) in ours.iter().zip(&rows) {
        assert_capture_time(ours, row);
        assert_same(ours, row, "timestamp", "Exchange Timestamp");
        assert_same(ours, row, "symbol", "Symbol");
        assert_same(ours, row, "size", "Size");
        assert_same(ours, row, "price", "Price");
        assert_same(ours, row, "trade_id", "Trade ID");
        let flags = ours["sale_condition_flags"].as_object().unwrap();
        let set: Vec<_> =
            flags.iter().filter(|(_, set)| **set == true).map(|(name, _)| name).collect();
        assert_eq!(set.len(), row["Sale Condition"].split('|').count(), "{set:?} {row:?}");
        for name in row["Sale Condition"].split('|') {
            let plain = name.replace('_', "").to_lowercase();
            let said = set.iter().any(|bit| bit.replace('_', "").starts_with(&plain));
            assert!(said, "{name} in {set:?}");
        }
    }
}

/// A CSV file's rows by column name.
fn expected_rows(path: &str) -> Option<Vec<BTreeMap<String, String>>> {
    let text = std::fs::read_to_string(data(path)?).unwrap();
    let mut lines = text.lines().map(|line| line.split(',').map(|cell| cell.trim().to_owned()));
    let names: Vec<String> = lines.next().unwrap().collect();
    Some(lines.map(|cells| names.iter().cloned().zip(cells).collect()).collect())
}

fn of_symbols(lines: Vec<Map<String, Value>>, message: &str) -> Vec<Map<String, Value>> {
    let wanted = |line: &Map<String, Value>| {
        let symbol = line.get("symbol").and_then(Value::as_str).unwrap_or_default().trim_end();
        let name = line["message"].as_str().unwrap();
        name.starts_with(message) && EXPECTED_SYMBOLS.contains(&symbol)
    };
    lines.into_iter().filter(wanted).collect()
}

/// That parser keeps capture times in floating point, which holds them to 256 ns.
fn assert_capture_time(ours: &Map<String, Value>, row: &BTreeMap<String, String>) {
    let expected: u64 = row["Packet Capture Time"].parse().unwrap();
    assert!(ours["ts_recv"].as_u64().unwrap().abs_diff(expected) <= 256, "{ours:?} {row:?}");
}

fn assert_same(
    ours: &Map<String, Value>,
    row: &BTreeMap<String, String>,
    field: &str,
    column: &str,
) {
    let found = match &ours[field] {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    assert!(same_value(&found, &row[column]), "{field}: {found}, not {}", row[column]);
}

#[test]
fn the_artificial_session_has_its_counts() {
    let Some(folder) = captures::data() else { return };
    let messages = captures::artificial_messages(&folder);
    let temporary = common::folder();
    let file = common::write(&temporary, "01302020.NASDAQ_ITCH50", daily_file(&messages));
    let mut counts = BTreeMap::new();
    for (at, line) in decode(&file, &[]).iter().enumerate() {
        assert_eq!(line["sequence"], at + 1);
        *counts.entry(line["message_type"].as_str().unwrap().to_owned()).or_insert(0) += 1;
    }
    let expected = [
        ("S", 6),
        ("R", 3),
        ("H", 3),
        ("A", 4_997),
        ("F", 3),
        ("E", 198),
        ("X", 45),
        ("D", 1_745),
        ("U", 12),
        ("P", 5_000),
    ];
    let expected: BTreeMap<_, _> = expected.map(|(kind, count)| (kind.to_owned(), count)).into();
    assert_eq!(counts, expected);

    let summary = common::replay(&[&file]);
    assert_eq!(summary["messages"], 12_012);
    assert_eq!(summary["unknown_messages"], 0);
    assert_eq!(summary["malformed_packets"], 0);
    assert_eq!(summary["instruments"], 3);
    // 30 January 2020, midnight in New York.
    let first = decode(&file, &["--limit", "1"]);
    assert_eq!(first.len(), 1);
    assert_eq!(first[0]["message"], "System Event");
}

fn daily_file(messages: &[Vec<u8>]) -> Vec<u8> {
    let one = |message: &Vec<u8>| [&(message.len() as u16).to_be_bytes(), &message[..]].concat();
    messages.iter().flat_map(one).collect()
}

#[test]
fn what_cannot_be_decoded_is_shown_as_bytes() {
    let folder = common::folder();
    let mut market = common::SimulatedMarket::new(1, 2, 200);
    // The type of the first packet's first message becomes one that Nasdaq has not yet.
    let first = 14 + 20 + 8 + 20 + 2;
    market.frames[0].1[first] = b'z';
    let file = market.write(&folder, "unknown.pcap");
    let lines = decode(&file, &["--protocol", "itch50"]);
    assert_eq!(lines.len(), 200);
    let bytes = lines[0]["bytes"].as_str().unwrap();
    assert!(lines[0]["error"].is_string() && bytes.starts_with("7a"), "{:?}", lines[0]);
    assert!(lines[1..].iter().all(|line| !line.contains_key("error")));
    let summary = common::replay(&[file.to_str().unwrap(), "--protocol", "itch50"]);
    assert_eq!(summary["unknown_messages"], 1);
}
