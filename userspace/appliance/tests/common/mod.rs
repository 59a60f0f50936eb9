//! What the tests of the whole program share: the data, the program itself, markets, and files
//! written byte by byte. Readers of captures and order flow are those of the other crates' tests.
#![allow(dead_code, reason = "each test program uses a part of it")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../../../wire/tests/common/mod.rs"]
pub(crate) mod captures;
#[path = "../../../machine/tests/common/lobster.rs"]
pub(crate) mod lobster;
#[path = "../../../machine/tests/common/plain.rs"]
pub(crate) mod plain;

use serde_json::Value;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;
use wirebook_simulator::{ExpectedLevel, Line, Market, MarketConfig, PacketConfig, Packets, pcap};

/// Room for every book of these tests, and little enough to be had at once.
pub(crate) const LIMITS: [&str; 6] =
    ["--instruments-max", "16384", "--orders-max", "65536", "--levels-max", "32768"];

/// Midnight in New York of the day that [`SimulatedMarket`]s play on.
pub(crate) const MIDNIGHT_NS: u64 = 1_767_589_200_000_000_000;
/// That day.
pub(crate) const DATE: &str = "2026-01-05";

/// A file of the test data; `None`, with a line that says so, where it is absent.
pub(crate) fn data(path: &str) -> Option<PathBuf> {
    let file = captures::data()?.join(path);
    if !file.exists() {
        eprintln!("SKIP: no test data at {}", file.display());
        return None;
    }
    Some(file)
}

/// A folder for the files of one test; kept where $WIREBOOK_KEEP names a place for it.
pub(crate) fn folder() -> TempDir {
    match std::env::var_os("WIREBOOK_KEEP") {
        Some(place) => tempfile::Builder::new().disable_cleanup(true).tempdir_in(place).unwrap(),
        None => tempfile::tempdir().unwrap(),
    }
}

/// Writes a file and gives its path.
pub(crate) fn write(folder: &TempDir, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
    let path = folder.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

/// The program with a command and its arguments: the one of this build, or $WIREBOOK_BINARY.
pub(crate) fn command<S: AsRef<OsStr>>(arguments: &[S]) -> Command {
    let other = std::env::var_os("WIREBOOK_BINARY");
    let mut command = Command::new(other.unwrap_or_else(|| env!("CARGO_BIN_EXE_wirebook").into()));
    command.args(arguments);
    command
}

/// Runs the program to its end.
pub(crate) fn wirebook<S: AsRef<OsStr>>(arguments: &[S]) -> Output {
    command(arguments).output().unwrap()
}

/// Runs the program, which must succeed, and gives its standard output.
pub(crate) fn text<S: AsRef<OsStr>>(arguments: &[S]) -> String {
    let output = wirebook(arguments);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {error}", output.status);
    String::from_utf8(output.stdout).unwrap()
}

/// The one JSON object that `wirebook replay --json` prints for these arguments.
pub(crate) fn replay<S: AsRef<OsStr>>(arguments: &[S]) -> Value {
    let mut all: Vec<&OsStr> = vec![OsStr::new("replay"), OsStr::new("--json")];
    all.extend(LIMITS.iter().map(OsStr::new));
    all.extend(arguments.iter().map(AsRef::as_ref));
    serde_json::from_str(&text(&all)).unwrap()
}

/// Runs the program, which must fail with this exit status and say each of `words`.
pub(crate) fn fails<S: AsRef<OsStr>>(arguments: &[S], status: i32, words: &[&str]) {
    let output = wirebook(arguments);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(status), "{error}");
    assert_says(&error, words);
}

/// Asserts that an error message holds each of `words` and is no panic.
pub(crate) fn assert_says(error: &str, words: &[&str]) {
    assert!(!error.contains("panicked"), "{error}");
    for word in words {
        assert!(error.contains(word), "no {word:?} in {error:?}");
    }
}

/// What all books and counts must agree on, however the packets came.
pub(crate) fn outcome(summary: &Value) -> Value {
    let names = ["packets", "messages", "records", "heartbeats", "gaps", "digest", "instruments"];
    names.iter().map(|&name| (name, summary[name].clone())).collect()
}

/// A market of two seconds.
pub(crate) fn market_config(seed: u64, instruments: u16, messages: u64) -> MarketConfig {
    MarketConfig {
        seed,
        instruments,
        messages,
        duration_ns: 2_000_000_000,
        ..MarketConfig::default()
    }
}

/// A whole simulated day as frames, with the books that it ends with.
pub(crate) struct SimulatedMarket {
    /// Time since the UNIX epoch and bytes of each frame.
    pub(crate) frames: Vec<(u64, Vec<u8>)>,
    /// The market after its last message.
    pub(crate) market: Market,
}

impl SimulatedMarket {
    /// A market to 239.192.12.111:26477, untagged.
    pub(crate) fn new(seed: u64, instruments: u16, messages: u64) -> Self {
        let group = "239.192.12.111:26477".parse().unwrap();
        Self::on_line(&Line::new(group), seed, instruments, messages)
    }

    /// A market whose packets look as `line` says, in a session of the seed's own.
    pub(crate) fn on_line(line: &Line, seed: u64, instruments: u16, messages: u64) -> Self {
        let config = market_config(seed, instruments, messages);
        let mut session = *b"SEED      ";
        session[4..].copy_from_slice(format!("{seed:06}").as_bytes());
        let packing = PacketConfig { session, ..PacketConfig::default() };
        let mut packets = Packets::new(Market::new(config).unwrap(), packing);
        let mut frames = Vec::new();
        for packet in packets.by_ref() {
            let mut frame = Vec::new();
            line.frame(&packet.payload, &mut frame);
            frames.push((MIDNIGHT_NS + config.start_ns + packet.offset_ns, frame));
        }
        let market = packets.market().clone();
        Self { frames, market }
    }

    /// Writes the market as a nanosecond pcap file.
    pub(crate) fn write(&self, folder: &TempDir, name: &str) -> PathBuf {
        write(folder, name, pcap_file(&self.frames))
    }

    /// The market's symbols.
    pub(crate) fn symbols(&self) -> Vec<String> {
        self.market.symbols().map(str::to_owned).collect()
    }

    /// Compares every level of every book with `books` of a replay's JSON.
    pub(crate) fn assert_books(&self, books: &Value) {
        for symbol in self.symbols() {
            let expected = self.market.expected_book(&symbol).unwrap();
            let book = &books[&symbol];
            assert_eq!(book["state"], "live", "{symbol}");
            assert_eq!(levels_of(&book["bids"]), plain_levels(&expected.bids), "{symbol}");
            assert_eq!(levels_of(&book["asks"]), plain_levels(&expected.asks), "{symbol}");
        }
    }
}

/// (price in 1/10,000, size, orders) of each level.
pub(crate) fn plain_levels(levels: &[ExpectedLevel]) -> Vec<(i64, u64, u64)> {
    let level = |l: &ExpectedLevel| (i64::from(l.price), l.shares, u64::from(l.orders));
    levels.iter().map(level).collect()
}

/// The same out of a book's JSON.
pub(crate) fn levels_of(levels: &Value) -> Vec<(i64, u64, u64)> {
    let level = |level: &Value| {
        let price = decimal_1e9(level[0].as_str().unwrap()).unwrap();
        assert_eq!(price % 100_000, 0, "more than four decimals in {level}");
        ((price / 100_000) as i64, level[1].as_u64().unwrap(), level[2].as_u64().unwrap())
    };
    levels.as_array().unwrap().iter().map(level).collect()
}

/// Decimal text as a number of billionths; `None` where it is no decimal.
pub(crate) fn decimal_1e9(text: &str) -> Option<i128> {
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |digits| (-1, digits));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !all_digits(whole) || !all_digits(fraction) || fraction.len() > 9 {
        return None;
    }
    format!("{whole}{fraction:0<9}").parse().ok().map(|units: i128| sign * units)
}

/// `--book SYMBOL` for each symbol, at any depth.
pub(crate) fn all_books(symbols: &[String]) -> Vec<String> {
    let books = symbols.iter().flat_map(|symbol| ["--book".to_owned(), symbol.clone()]);
    books.chain(["--depth".to_owned(), "1000000".to_owned()]).collect()
}

/// A nanosecond pcap file of these frames.
pub(crate) fn pcap_file(frames: &[(u64, Vec<u8>)]) -> Vec<u8> {
    let mut file = pcap::FILE_HEADER.to_vec();
    for (ts_ns, frame) in frames {
        file.extend(pcap::packet_header(*ts_ns, frame.len() as u32));
        file.extend(frame);
    }
    file
}

/// A pcapng file (draft-ietf-opsawg-pcapng) of these frames: one section, one Ethernet interface
/// with nanosecond times, an enhanced packet block a frame.
pub(crate) fn pcapng_file(frames: &[(u64, Vec<u8>)]) -> Vec<u8> {
    let block = |kind: u32, body: &[u8]| {
        let mut body = body.to_vec();
        body.resize(body.len().next_multiple_of(4), 0);
        let length = (12 + body.len() as u32).to_le_bytes();
        [&kind.to_le_bytes()[..], &length, &body, &length].concat()
    };
    let section = [&0x1a2b_3c4d_u32.to_le_bytes()[..], &[1, 0, 0, 0], &[0xff; 8]].concat();
    let resolution_ns = [9, 0, 1, 0, 9, 0, 0, 0, 0, 0, 0, 0];
    let interface = [&[1, 0, 0, 0, 0, 0, 4, 0][..], &resolution_ns].concat();
    let mut file = [block(0x0a0d_0d0a, &section), block(1, &interface)].concat();
    for (ts_ns, frame) in frames {
        let length = (frame.len() as u32).to_le_bytes();
        let (high, low) = ((ts_ns >> 32) as u32, *ts_ns as u32);
        let head = [[0; 4], high.to_le_bytes(), low.to_le_bytes(), length, length].concat();
        file.extend(block(6, &[&head[..], frame].concat()));
    }
    file
}

/// The file as gzip (RFC 1952).
pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// The file as zstd (RFC 8878).
pub(crate) fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 1).unwrap()
}

/// The frames of a little-endian pcap file.
pub(crate) fn frames_of(path: &Path) -> Vec<(u64, Vec<u8>)> {
    captures::pcap(path).into_iter().map(|frame| (frame.time_ns, frame.bytes)).collect()
}

/// Says why a test does nothing, or fails where nothing may be skipped.
pub(crate) fn skip(why: &str) {
    let required = std::env::var_os("WIREBOOK_REQUIRE_PRIVILEGED").is_some_and(|v| v == "1");
    assert!(!required, "must not be skipped: {why}");
    eprintln!("SKIP: {why}");
}

/// Compares what stands between `<!-- NAME -->` and `<!-- /NAME -->` of a page with what the code
/// says; with WIREBOOK_WRITE_DOCS=1 writes it.
pub(crate) fn assert_documented(page: &str, name: &str, expected: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(page);
    let text = std::fs::read_to_string(&path).unwrap();
    let (open, close) = (format!("<!-- {name} -->\n"), format!("<!-- /{name} -->"));
    let (before, rest) = text.split_once(&open).unwrap();
    let (found, after) = rest.split_once(&close).unwrap();
    if std::env::var_os("WIREBOOK_WRITE_DOCS").is_some_and(|value| value == "1") {
        std::fs::write(&path, format!("{before}{open}{expected}{close}{after}")).unwrap();
    } else {
        assert_eq!(found, expected, "{page}: write it with WIREBOOK_WRITE_DOCS=1 cargo test");
    }
}
