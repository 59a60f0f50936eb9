//! Readers in C: the examples, compiled as a user compiles them, beside a running appliance.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;
#[path = "common/live.rs"]
mod live;
#[path = "common/stage.rs"]
mod stage;

use common::plain_levels;
use dbn::decode::{DbnDecoder, DecodeRecordRef};
use dbn::{MboMsg, RecordRef, StatusMsg};
use live::net::within;
use live::{Appliance, PATIENCE};
use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;
use stage::{Stage, at};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use tempfile::TempDir;

const STRICT: [&str; 4] = ["-Wall", "-Wextra", "-Werror", "-pedantic"];

/// The library, installed once for all tests of this program.
fn installed() -> &'static Path {
    static PREFIX: OnceLock<PathBuf> = OnceLock::new();
    PREFIX.get_or_init(|| {
        let prefix = Path::new(env!("CARGO_TARGET_TMPDIR")).join("c-client");
        let _ = fs::remove_dir_all(&prefix);
        run(Command::new(workspace().join("scripts/install-c")).arg("--debug").arg(&prefix));
        prefix
    })
}

fn workspace() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// Runs a command, which must succeed, and gives what it printed.
fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {error}");
    String::from_utf8(output.stdout).unwrap()
}

/// What pkg-config says to these questions.
fn flags(questions: &[&str]) -> Vec<String> {
    let mut command = Command::new("pkg-config");
    command.env("PKG_CONFIG_PATH", installed().join("lib/pkgconfig")).args(questions);
    run(command.arg("wirebook")).split_whitespace().map(str::to_owned).collect()
}

const C: [&str; 3] = ["cc", "-std=c11", "-xc"];
const CPP: [&str; 3] = ["c++", "-std=c++17", "-xc++"];

#[derive(Clone, Copy)]
enum Link {
    Shared,
    Static,
}

/// An example as a program.
fn compile(example: &str, language: [&str; 3], link: Link, folder: &TempDir) -> PathBuf {
    let program = folder.path().join(example);
    let source = workspace().join("userspace/client/c/examples").join(example);
    let [compiler, options @ ..] = language;
    let mut command = Command::new(compiler);
    command.args(options).args(STRICT).args(flags(&["--cflags"]));
    command.arg(source.with_extension("c")).args(["-xnone", "-o"]).arg(&program);
    match link {
        Link::Shared => command.args(flags(&["--libs"])),
        Link::Static => {
            let library = |flag: String| flag.replace("-lwirebook", "-l:libwirebook.a");
            command.args(flags(&["--static", "--libs"]).into_iter().map(library))
        }
    };
    run(&mut command);
    program
}

/// A running example; killed when dropped.
struct Reader {
    child: Child,
    place: PathBuf,
}

impl Reader {
    /// Starts the program at the stage's socket and waits until it is attached.
    fn start(program: &Path, stage: &Stage, arguments: &[&str]) -> Self {
        let name = program.file_name().unwrap().to_str().unwrap();
        let place = program.with_file_name([&[name], arguments].concat().join("-"));
        let [out, log] = ["out", "log"].map(|name| File::create(place.with_extension(name)));
        let mut command = Command::new(program);
        command.arg(stage.socket()).args(arguments).env("LD_LIBRARY_PATH", installed().join("lib"));
        command.stdin(Stdio::null()).stdout(out.unwrap()).stderr(log.unwrap());
        let reader = Self { child: command.spawn().unwrap(), place };
        reader.await_log("attached to process", 1);
        reader
    }

    fn out(&self) -> String {
        fs::read_to_string(self.place.with_extension("out")).unwrap()
    }

    fn log(&self) -> String {
        fs::read_to_string(self.place.with_extension("log")).unwrap()
    }

    /// Waits until it has said this so many times.
    fn await_log(&self, words: &str, times: usize) {
        let said = within(PATIENCE, || self.log().matches(words).count() == times);
        assert!(said, "not {times} times {words:?}: {}", self.log());
    }

    fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The line that `tail.c` prints for a record, behind its symbol.
fn line(record: RecordRef<'_>) -> String {
    let hd = record.header();
    let what = if let Some(mbo) = record.get::<MboMsg>() {
        let MboMsg { order_id, price, size, sequence, .. } = mbo;
        let (action, side) = (mbo.action as u8 as char, mbo.side as u8 as char);
        let flags = mbo.flags.raw();
        format!(
            "mbo {action}{side} {price} {size} order {order_id} sequence {sequence} flags {flags}"
        )
    } else if let Some(status) = record.get::<StatusMsg>() {
        format!("status {} trading {}", status.action, status.is_trading as u8 as char)
    } else {
        format!("rtype {}", hd.rtype)
    };
    format!("{} {} {what}", hd.instrument_id, hd.ts_event)
}

/// By instrument, in order: what `tail.c` is to print for the records of a DBN file.
fn lines_of(file: &Path) -> BTreeMap<u32, Vec<String>> {
    let mut decoder = DbnDecoder::from_file(file).unwrap();
    let mut lines = BTreeMap::<u32, Vec<String>>::new();
    while let Some(record) = decoder.decode_record_ref().unwrap() {
        let id = record.header().instrument_id;
        // What is of the whole market is made by each shard, in an order of its own.
        if id != 0 && record.header().rtype != dbn::rtype::SYMBOL_MAPPING {
            lines.entry(id).or_default().push(line(record));
        }
    }
    lines
}

/// The same of what it has printed, and the symbols that it has named.
fn printed(out: &str) -> (BTreeMap<u32, Vec<String>>, Vec<String>) {
    let (mut lines, mut symbols) = (BTreeMap::<u32, Vec<String>>::new(), Vec::new());
    for whole in out.lines() {
        let (symbol, line) = whole.split_once(' ').unwrap();
        let id = line.split(' ').next().unwrap().parse().unwrap();
        if id != 0 {
            lines.entry(id).or_default().push(line.to_owned());
            symbols.push(symbol.to_owned());
        }
    }
    symbols.sort_unstable();
    symbols.dedup();
    (lines, symbols)
}

/// Waits until the reader has printed all of these, and nothing else.
fn await_lines(reader: &Reader, expected: &BTreeMap<u32, Vec<String>>) {
    let all = within(PATIENCE, || printed(&reader.out()).0 == *expected);
    let (found, _) = printed(&reader.out());
    for (id, lines) in expected {
        let found = found.get(id).map(Vec::as_slice).unwrap_or_default();
        let other = lines.iter().zip(found).find(|(expected, found)| expected != found);
        let counts = (found.len(), lines.len());
        assert!(other.is_none() && counts.0 == counts.1, "{id}: {counts:?}, {other:?}");
    }
    assert!(all, "other instruments: {:?}", found.keys());
}

/// Waits until the reader's last line is the true book of this symbol.
fn await_book(reader: &Reader, stage: &Stage, symbol: &str) {
    let expected = stage.market.market.expected_book(symbol).unwrap();
    let levels = |levels| {
        let ten = plain_levels(levels).into_iter().take(10);
        let level = |(price, size, orders)| format!(" {}:{size}:{orders}", price * 100_000);
        ten.map(level).collect::<String>()
    };
    let expected = format!("bids{} asks{}", levels(&expected.bids), levels(&expected.asks));
    let mut last = String::new();
    let same = within(PATIENCE, || {
        last = reader.out().lines().last().unwrap_or_default().to_owned();
        last.starts_with(&format!("{symbol} live ")) && last.ends_with(&expected)
    });
    assert!(same, "{last:?} is not {expected:?}; {}", reader.log());
}

#[test]
fn a_reader_in_c_reads_what_a_replay_makes() {
    let Some(stage) = Stage::new(61) else { return };
    let program = compile("tail", C, Link::Static, &stage.folder);
    let appliance = stage.start(2, &["--until-end-of-session"]);
    let mut reader = Reader::start(&program, &stage, &[]);
    stage.play();
    appliance.finish();
    let expected = lines_of(&stage.replayed("all"));
    assert!(expected.values().map(Vec::len).sum::<usize>() > 6_000);
    await_lines(&reader, &expected);
    let (_, symbols) = printed(&reader.out());
    let named = stage.market.symbols();
    assert!(named.iter().all(|symbol| symbols.contains(symbol)), "{symbols:?}");
    assert!(reader.is_running());
}

#[test]
fn readers_in_c_go_on_with_the_next_start() {
    let Some(stage) = Stage::new(62) else { return };
    let tail = compile("tail", C, Link::Shared, &stage.folder);
    let book = compile("book", CPP, Link::Shared, &stage.folder);
    let mut first = stage.start(1, &[]);
    let symbols = stage.market.symbols();
    let mut tail = Reader::start(&tail, &stage, &[]);
    let mut books =
        symbols.iter().map(|symbol| Reader::start(&book, &stage, &[symbol])).collect::<Vec<_>>();
    stage.play();
    let once = lines_of(&stage.replayed("all"));
    await_lines(&tail, &once);
    let await_books = |books: &[Reader]| {
        books.iter().zip(&symbols).for_each(|(book, symbol)| await_book(book, &stage, symbol));
    };
    await_books(&books);
    first.signal(Signal::SIGKILL);
    first.wait();
    for reader in books.iter().chain([&tail]) {
        reader.await_log("the appliance is gone", 1);
    }
    let before: Vec<_> = books.iter().map(|book| book.out().len()).collect();
    let second = stage.start(1, &[]);
    tail.await_log("the appliance is back", 1);
    books.iter().for_each(|book| book.await_log("attached to process", 2));
    stage.play();
    let twice = once.into_iter().map(|(id, lines)| (id, [lines.clone(), lines].concat())).collect();
    await_lines(&tail, &twice);
    for (book, before) in books.iter().zip(before) {
        assert!(within(PATIENCE, || book.out().len() > before), "{}", book.log());
    }
    await_books(&books);
    assert!(tail.is_running() && books.iter_mut().all(Reader::is_running));
    second.signal(Signal::SIGTERM);
    second.finish();
}

#[test]
fn a_reader_in_c_that_was_lapped_has_right_books() {
    let Some(stage) = Stage::new(63) else { return };
    let tail = compile("tail", C, Link::Shared, &stage.folder);
    let book = compile("book", C, Link::Static, &stage.folder);
    let small = at(&stage.socket(), 1).replace("output_slots = 65536", "output_slots = 1024");
    let appliance = Appliance::start(&stage.wire, &small, &[]);
    let symbol = &stage.market.symbols()[0];
    let mut tail = Reader::start(&tail, &stage, &[]);
    let mut book = Reader::start(&book, &stage, &[symbol]);
    [&tail, &book].iter().for_each(|reader| live::stop(&reader.child));
    stage.play();
    appliance.await_packets(stage.market.frames.len() as u64);
    for reader in [&tail, &book] {
        let pid = Pid::from_raw(reader.child.id() as i32);
        signal::kill(pid, Signal::SIGCONT).unwrap();
    }
    tail.await_log("overrun: ", 1);
    await_book(&book, &stage, symbol);
    for reader in [&mut tail, &mut book] {
        assert!(!reader.log().contains("gone") && reader.is_running(), "{}", reader.log());
    }
    appliance.signal(Signal::SIGTERM);
    assert_eq!(appliance.finish()["backpressure"], 0);
}
