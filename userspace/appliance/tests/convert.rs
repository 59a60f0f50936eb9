//! `wirebook convert`: what it writes is read by Databento's own Python package, which keeps the
//! same books from it, and by ourselves, with the same digest as the original.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{LIMITS, SimulatedMarket, all_books, data, fails, folder, replay};
use dbn::decode::{DbnMetadata, DecodeRecord, DecodeRecordRef};
use dbn::{Action, MboMsg, Record};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

const DEEP: &str = "iex/deep-2023-10-02.pcap.gz";
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/python/book.py");

/// Files that are one input, and the options to read them with.
struct Input {
    files: Vec<PathBuf>,
    options: Vec<&'static str>,
}

impl Input {
    fn deep() -> Option<Self> {
        Some(Self { files: vec![data(DEEP)?], options: vec!["--protocol", "iex-deep"] })
    }

    fn es() -> Option<Self> {
        let day = |day| data(&format!("dbn-mbo/esh4-glbx-mdp3-202312{day}.mbo.dbn.zst"));
        Some(Self { files: vec![day(24)?, day(25)?], options: vec![] })
    }

    fn market(folder: &TempDir, market: &SimulatedMarket) -> Self {
        let files = vec![market.write(folder, "market.pcap")];
        Self { files, options: vec!["--protocol", "itch50"] }
    }

    fn arguments(&self) -> Vec<&str> {
        let files = self.files.iter().map(|file| file.to_str().unwrap());
        files.chain(self.options.iter().copied()).collect()
    }

    /// Converts to a new file; `more` are further options.
    fn convert(&self, output: &Path, more: &[&str]) -> String {
        let output = output.to_str().unwrap();
        let arguments = [&["convert", "-o", output], &LIMITS[..], &self.arguments(), more].concat();
        common::text(&arguments)
    }
}

#[test]
fn a_market_converts_and_comes_back() {
    let folder = folder();
    let market = SimulatedMarket::new(21, 8, 3_000);
    let input = Input::market(&folder, &market);
    let books = comes_back(&folder, &input, &all_books(&market.symbols()));
    market.assert_books(&books);
}

#[test]
fn iex_deep_converts_and_comes_back() {
    let Some(input) = Input::deep() else { return };
    comes_back(&folder(), &input, &all_books(&["TSLA".into(), "GOOGL".into(), "TBF".into()]));
}

#[test]
fn es_converts_and_comes_back() {
    let Some(input) = Input::es() else { return };
    comes_back(&folder(), &input, &all_books(&["17077".into()]));
}

/// Plain and compressed, `mbo` records and all: each replays to the digest and the books of the
/// original, which are given back.
fn comes_back(folder: &TempDir, input: &Input, books: &[String]) -> Value {
    let books: Vec<&str> = books.iter().map(String::as_str).collect();
    let original = replay(&[&input.arguments()[..], &books].concat());
    for (name, choice) in [("out.dbn", "mbo"), ("out.dbn.zst", "mbo"), ("all.dbn.zst", "all")] {
        let output = folder.path().join(name);
        input.convert(&output, &["--records", choice]);
        let again = replay(&[&[output.to_str().unwrap()], &books[..]].concat());
        assert_eq!(again["digest"], original["digest"], "{name}");
        assert_eq!(again["books"], original["books"], "{name}");
        assert_eq!(again["input"]["malformed_records"], 0, "{name}");
        let leftovers = fs::read_dir(folder.path()).unwrap();
        let partial =
            |entry: &fs::DirEntry| entry.file_name().to_string_lossy().contains("partial");
        assert!(!leftovers.flatten().any(|entry| partial(&entry)));
    }
    original["books"].clone()
}

#[test]
fn plain_and_compressed_files_hold_the_same() {
    let folder = folder();
    let input = Input::market(&folder, &SimulatedMarket::new(22, 4, 1_000));
    let [plain, packed] = ["out.dbn", "out.dbn.zst"].map(|name| folder.path().join(name));
    input.convert(&plain, &[]);
    input.convert(&packed, &[]);
    let unpacked = zstd::decode_all(fs::File::open(packed).unwrap()).unwrap();
    assert_eq!(unpacked, fs::read(plain).unwrap());
}

#[test]
fn iex_deep_updates_become_book_changes() {
    let Some(input) = Input::deep() else { return };
    let folder = folder();
    let output = folder.path().join("deep.dbn");
    input.convert(&output, &["--records", "mbo"]);
    let mut decoder = dbn::decode::DbnDecoder::from_file(&output).unwrap();
    assert_eq!(decoder.metadata().schema, Some(dbn::Schema::Mbo));
    let (mut changes, mut trades) = (0, 0);
    // (venue time, size) of each record, with the time of sending.
    let mut sent = BTreeMap::new();
    while let Some(record) = decoder.decode_record::<MboMsg>().unwrap() {
        let ts_sent = record.ts_recv - u64::try_from(record.ts_in_delta).unwrap();
        sent.insert((record.hd.ts_event, record.size), (ts_sent, record.ts_recv));
        match record.action().unwrap() {
            Action::Add | Action::Modify | Action::Cancel => {
                assert!(record.flags.is_mbp(), "{record:?}");
                changes += 1;
            }
            Action::Trade => trades += 1,
            other => panic!("{other:?} in {record:?}"),
        }
    }
    assert_eq!((changes, trades), (2_752, 37));

    // The other parser's rows: what was sent when. It keeps capture times to 256 ns.
    for name in ["iex/expected/test_prl.csv", "iex/expected/test_trd.csv"] {
        let Some(rows) = data(name) else { return };
        for row in fs::read_to_string(rows).unwrap().lines().skip(1) {
            let cells: Vec<&str> = row.split(',').collect();
            let number = |at: usize| cells[at].parse::<u64>().unwrap();
            let (ts_event, size) = match name.contains("prl") {
                true => (number(3), number(7)),
                false => (number(2), number(5)),
            };
            let (ts_sent, ts_recv) = sent[&(ts_event, size as u32)];
            assert_eq!(ts_sent, number(1), "{row}");
            assert!(ts_recv.abs_diff(number(0)) <= 256, "{row}");
        }
    }
}

#[test]
fn the_python_package_keeps_the_same_books_of_a_market() {
    let folder = folder();
    let market = SimulatedMarket::new(23, 10, 4_000);
    let input = Input::market(&folder, &market);
    for name in ["market.dbn", "market.dbn.zst"] {
        let output = folder.path().join(name);
        input.convert(&output, &[]);
        let Some(read) = read_by_python(&output) else { return };
        assert_eq!(read["dataset"], "XNAS.ITCH");
        assert_eq!(read["schema"], "mbo");
        assert_eq!(read["symbols"], json!(market.symbols()));
        assert_same_books(&read, &input, 10);
    }
}

#[test]
fn the_python_package_keeps_the_same_books_of_iex_deep() {
    let Some(input) = Input::deep() else { return };
    let folder = folder();
    let output = folder.path().join("deep.dbn.zst");
    input.convert(&output, &[]);
    let Some(read) = read_by_python(&output) else { return };
    assert_eq!(read["mbp_records"], 2_752);
    assert_eq!(read["symbols"].as_array().unwrap().len(), 11_309);
    assert_same_books(&read, &input, 100);
}

#[test]
fn the_python_package_keeps_the_same_book_of_es() {
    let Some(input) = Input::es() else { return };
    let folder = folder();
    let output = folder.path().join("es.dbn.zst");
    input.convert(&output, &[]);
    let Some(read) = read_by_python(&output) else { return };
    assert_eq!(read["dataset"], "GLBX.MDP3");
    let book = &read["books"]["17077"];
    assert_eq!(book["bids"].as_array().unwrap().len(), 922);
    assert_eq!(book["asks"].as_array().unwrap().len(), 565);
    assert_eq!(book["sequence"], 59_585);
    assert_same_books(&read, &input, 1);
}

#[test]
fn the_python_package_reads_records_of_all_schemas() {
    let Some(input) = Input::deep() else { return };
    let folder = folder();
    let output = folder.path().join("all.dbn");
    input.convert(&output, &["--records", "all"]);
    let Some(read) = read_by_python(&output) else { return };
    assert_eq!(read["schema"], Value::Null);
    // A definition for each security directory, a status for each trading and halt status.
    let mut ours = BTreeMap::new();
    let mut decoder = dbn::decode::DbnDecoder::from_file(&output).unwrap();
    while let Some(record) = decoder.decode_record_ref().unwrap() {
        *ours.entry(record.rtype().unwrap() as u8).or_insert(0_u64) += 1;
    }
    for (rtype, name) in [(0x12, "StatusMsg"), (0x13, "InstrumentDefMsg"), (0xa0, "MBOMsg")] {
        let count = ours.remove(&rtype).unwrap();
        assert!(count > 0 && read["records"][name] == count, "{name}: {}", read["records"]);
    }
    assert!(ours.is_empty(), "{ours:?}");
}

/// What `book.py` makes of a file.
fn read_by_python(file: &Path) -> Option<Value> {
    let python = std::env::var("WIREBOOK_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let probe = Command::new(&python).args(["-c", "import databento_dbn"]).output();
    if !probe.is_ok_and(|probe| probe.status.success()) {
        common::skip(&format!("{python} has no package databento-dbn (set WIREBOOK_PYTHON)"));
        return None;
    }
    let output = Command::new(python).arg(SCRIPT).arg(file).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

/// Compares all levels of at least `least` books that Python kept with those of a replay.
fn assert_same_books(read: &Value, input: &Input, least: usize) {
    let kept = read["books"].as_object().unwrap();
    assert!(kept.len() >= least, "{} books", kept.len());
    let ids: Vec<String> = kept.keys().cloned().collect();
    let options = all_books(&ids);
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    let ours = replay(&[&input.arguments()[..], &options].concat());
    for (id, book) in kept {
        let our_book = &ours["books"][id];
        let symbol = our_book["symbol"].as_str().unwrap();
        assert_eq!(book["symbol"].as_str().unwrap_or_default(), symbol);
        assert_eq!(book["sequence"], our_book["sequence"]);
        for side in ["bids", "asks"] {
            assert_eq!(book[side], in_billionths(&our_book[side]), "{side} of {id}");
        }
    }
}

fn in_billionths(levels: &Value) -> Value {
    let level = |level: &Value| {
        let price = common::decimal_1e9(level[0].as_str().unwrap()).unwrap() as i64;
        json!([price, level[1], level[2]])
    };
    levels.as_array().unwrap().iter().map(level).collect()
}

#[test]
fn an_existing_file_is_replaced_by_force_only() {
    let folder = folder();
    let input = Input::market(&folder, &SimulatedMarket::new(24, 2, 200));
    let output = common::write(&folder, "precious.dbn", "precious");
    let arguments = [&["convert", "-o", output.to_str().unwrap()], &input.arguments()[..]].concat();
    fails(&arguments, 1, &["precious.dbn", "exists", "--force"]);
    assert_eq!(fs::read(&output).unwrap(), b"precious");
    input.convert(&output, &["--force"]);
    assert!(fs::read(&output).unwrap().starts_with(b"DBN"));
}

#[test]
fn a_failed_conversion_leaves_nothing() {
    let folder = folder();
    let input = Input::market(&folder, &SimulatedMarket::new(25, 2, 5_000));
    let capture = input.files[0].to_str().unwrap().to_owned();
    let empty = common::write(&folder, "empty.pcap", "");
    let missing = folder.path().join("missing.pcap");
    let output = folder.path().join("out.dbn");
    let out = output.to_str().unwrap();
    let itch = ["--protocol", "itch50"];
    for (file, word) in [
        (missing.to_str().unwrap(), "missing.pcap"),
        (empty.to_str().unwrap(), "empty"),
        (folder.path().to_str().unwrap(), "directory"),
    ] {
        fails(&[&["convert", file, "-o", out], &itch[..]].concat(), 1, &[word]);
    }
    let nowhere = folder.path().join("nowhere/out.dbn");
    fails(
        &[&["convert", &capture, "-o", nowhere.to_str().unwrap()], &itch[..]].concat(),
        1,
        &["nowhere/out.dbn"],
    );
    // The file system takes 16 KiB: the error comes in the middle of writing.
    let program = env!("CARGO_BIN_EXE_wirebook");
    let limited = format!(
        "trap '' XFSZ; ulimit -f 16; exec {program} convert {capture} --protocol itch50 -o {out}"
    );
    let failed = Command::new("bash").args(["-c", &limited]).output().unwrap();
    let error = String::from_utf8_lossy(&failed.stderr);
    assert_eq!(failed.status.code(), Some(1), "{error}");
    common::assert_says(&error, &["cannot write the output", "large"]);

    let mut names: Vec<_> =
        fs::read_dir(folder.path()).unwrap().flatten().map(|entry| entry.file_name()).collect();
    names.sort();
    assert_eq!(names, ["empty.pcap", "market.pcap"]);
}

#[test]
fn a_damaged_input_is_converted_up_to_its_damage_and_said() {
    let folder = folder();
    let market = SimulatedMarket::new(26, 2, 1_000);
    let mut bytes = common::gzip(&common::pcap_file(&market.frames));
    let middle = bytes.len() * 3 / 4;
    bytes[middle..middle + 64].fill(0xff);
    let file = common::write(&folder, "damaged.pcap.gz", bytes);
    let output = folder.path().join("out.dbn");
    let arguments = ["convert", file.to_str().unwrap(), "--protocol", "itch50", "-o"];
    fails(&[&arguments[..], &[output.to_str().unwrap()]].concat(), 1, &["damaged.pcap.gz"]);
}
