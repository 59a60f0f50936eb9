//! However the process ends, no XDP program stays on the interface.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use common::{PATIENCE, Pair, within};
use wirebook_xdp::{AttachMode, Interface, LineKey, Receiver, SocketConfig, SteeringOptions};

/// Set in the process that is to be killed: its network namespace and mode.
const HOLDER: &str = "WIREBOOK_TEST_HOLDER";
const NO_LINES: [(LineKey, u16); 0] = [];

#[test]
fn a_killed_process_leaves_no_program() {
    for mode in ["native", "generic"] {
        let Some(pair) = Pair::new(1, 1) else { return };
        let mut holder = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "holds_an_interface", "--nocapture"])
            .env(HOLDER, format!("{} {mode}", pair.receiver))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(holder.stdout.take().unwrap()).lines();
        let attached = lines.any(|line| line.unwrap().contains("attached"));
        let before = pair.describe("rx0");
        // SIGKILL: nothing of the process runs any more.
        holder.kill().unwrap();
        holder.wait().unwrap();
        assert!(attached && before.contains("prog/xdp"), "{mode}: {before}");
        let gone = within(PATIENCE, || !pair.describe("rx0").contains("prog/xdp"));
        assert!(gone, "{mode}: {}", pair.describe("rx0"));
    }
}

/// The process to be killed. On its own it holds nothing and passes.
#[test]
fn holds_an_interface() {
    let Some(holder) = std::env::var_os(HOLDER) else { return };
    let holder = holder.into_string().unwrap();
    let (namespace, mode) = holder.split_once(' ').unwrap();
    let mode = match mode {
        "native" => AttachMode::Native,
        _ => AttachMode::Generic,
    };
    let options = SteeringOptions { mode, ..SteeringOptions::default() };
    let _held = common::inside(namespace, || {
        let mut interface = Interface::attach("rx0", &options, NO_LINES).unwrap();
        let config = SocketConfig { ring_size: 64, hugepages: false, ..interface.socket_config(0) };
        let (receiver, _) = Receiver::open(&[config]).unwrap();
        interface.serve(&receiver).unwrap();
        (interface, receiver)
    });
    println!("attached");
    // Longer than any test waits; ends by itself should the test have died.
    std::thread::sleep(4 * PATIENCE);
}
