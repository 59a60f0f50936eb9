//! The Python package as a reader of a running appliance: its records are a replay's, its books the
//! market's, and it goes on with the next start by itself. What is compared is said in
//! `userspace/client/python/tests/live.py`; this moves the appliance beneath it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;
#[path = "common/live.rs"]
mod live;
#[path = "common/stage.rs"]
mod stage;

use common::{plain_levels, replay};
use live::net::within;
use live::{Appliance, PATIENCE};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use stage::{Stage, at};
use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use wirebook_simulator::ExpectedLevel;

const TESTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../client/python/tests");

/// Python, where it has the package.
fn python() -> Option<String> {
    let python = std::env::var("WIREBOOK_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let imports = "import wirebook, databento_dbn, numpy, mypy";
    let probe = Command::new(&python).args(["-c", imports]).output();
    if !probe.is_ok_and(|probe| probe.status.success()) {
        common::skip(&format!("{python} does not have all of: {imports} (set WIREBOOK_PYTHON)"));
        return None;
    }
    Some(python)
}

/// A scenario of `live.py`; killed when dropped.
struct Reader {
    child: Child,
    log: PathBuf,
}

impl Reader {
    fn start(python: &str, stage: &Stage, scenario: &str) -> Self {
        let folder = stage.folder.path();
        stage.replayed("all");
        fs::write(folder.join("books.json"), true_books(stage).to_string()).unwrap();
        let log = folder.join("python.log");
        let mut command = Command::new(python);
        command.args(["-B", &format!("{TESTS}/live.py"), scenario]);
        command.arg(stage.socket()).arg(folder).stdin(Stdio::piped());
        let out = File::create(&log).unwrap();
        command.stderr(out.try_clone().unwrap()).stdout(out);
        Self { child: command.spawn().unwrap(), log }
    }

    fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    /// Waits until it says that it stands there.
    fn await_word(&mut self, word: &str) {
        let said = |log: String| log.lines().any(|line| line == word);
        let over =
            within(PATIENCE, || said(self.log()) || self.child.try_wait().unwrap().is_some());
        assert!(over && said(self.log()), "never said {word:?}: {}", self.log());
    }

    fn tell(&mut self, line: &str) {
        writeln!(self.child.stdin.as_mut().unwrap(), "{line}").unwrap();
    }

    fn finish(mut self) {
        let ended = within(4 * PATIENCE, || self.child.try_wait().unwrap().is_some());
        assert!(ended, "still running: {}", self.log());
        assert!(self.child.wait().unwrap().success(), "{}", self.log());
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Ten levels of each book at the market's end, prices in 1e-9.
fn true_books(stage: &Stage) -> Value {
    let market = &stage.market.market;
    let side = |levels: &[ExpectedLevel]| -> Value {
        let ten = plain_levels(levels).into_iter().take(10);
        ten.map(|(price, size, orders)| json!([price * 100_000, size, orders])).collect()
    };
    let symbols = stage.market.symbols().into_iter();
    symbols
        .map(|symbol| {
            let book = market.expected_book(&symbol).unwrap();
            (symbol, json!({ "bids": side(&book.bids), "asks": side(&book.asks) }))
        })
        .collect()
}

#[test]
fn the_package_is_what_it_says() {
    let Some(python) = python() else { return };
    let mut command = Command::new(python);
    command.args(["-B", &format!("{TESTS}/test_package.py")]);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn python_reads_what_a_replay_makes() {
    let (Some(python), Some(stage)) = (python(), Stage::new(61)) else { return };
    let appliance = stage.start(2, &["--until-end-of-session"]);
    let mut reader = Reader::start(&python, &stage, "records");
    reader.await_word("ready");
    stage.play();
    appliance.finish();
    reader.finish();
}

#[test]
fn python_has_the_true_books() {
    let (Some(python), Some(stage)) = (python(), Stage::new(62)) else { return };
    let _appliance = stage.start(2, &[]);
    stage.play();
    Reader::start(&python, &stage, "books").finish();
}

#[test]
fn python_goes_on_with_the_next_start() {
    let (Some(python), Some(stage)) = (python(), Stage::new(63)) else { return };
    let mut first = stage.start(1, &[]);
    let mut reader = Reader::start(&python, &stage, "restart");
    reader.await_word("ready");
    first.signal(Signal::SIGKILL);
    first.wait();
    reader.await_word("gone");
    let second = stage.start(1, &[]);
    stage.play();
    second.await_packets(stage.market.frames.len() as u64);
    reader.tell("go");
    reader.await_word("back");
    reader.await_word("whole");
    // Ctrl-C ends a wait without an end.
    kill(Pid::from_raw(reader.child.id() as i32), Signal::SIGINT).unwrap();
    reader.await_word("interrupted");
    reader.finish();
}

#[test]
fn python_is_told_of_its_overrun() {
    let (Some(python), Some(stage)) = (python(), Stage::new(64)) else { return };
    let small = at(&stage.socket(), 1).replace("output_slots = 65536", "output_slots = 1024");
    let appliance = Appliance::start(&stage.wire, &small, &[]);
    let mut reader = Reader::start(&python, &stage, "overrun");
    reader.await_word("ready");
    stage.play();
    appliance.await_packets(stage.market.frames.len() as u64);
    // The shard's turn behind the last packet.
    let replayed = replay(&[stage.capture.to_str().unwrap(), "--protocol", "itch50"]);
    let published = || appliance.counter("shard_records{shard=\"0\"}");
    let all = within(PATIENCE, || published() == replayed["records"].as_u64());
    assert!(all, "{:?} records of {}", published(), replayed["records"]);
    reader.tell("go");
    reader.finish();
}

#[test]
fn python_has_every_order_of_a_session_that_it_missed() {
    let (Some(python), Some(stage)) = (python(), Stage::new(64)) else { return };
    let appliance = stage.start(2, &[]);
    stage.play();
    appliance.await_packets(stage.market.frames.len() as u64);
    Reader::start(&python, &stage, "heal").finish();
    appliance.signal(Signal::SIGTERM);
    appliance.finish();
}
