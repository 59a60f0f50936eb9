//! The log of the running program, as programs read it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;
#[path = "common/live.rs"]
mod live;

use common::{SimulatedMarket, folder, pcap_file, write};
use live::net::within;
use live::{Appliance, Launcher, PATIENCE, channel, config, wire};
use nix::sys::signal::Signal;
use serde_json::Value;
use std::collections::BTreeMap;
use std::os::unix::net::UnixDatagram;

const GROUP: &str = "239.192.12.111:26477";

fn one_channel(log: &str) -> String {
    format!(
        "{}{}[supervision]\nready_timeout_s = 0\n[log]\n{log}",
        config(""),
        channel(0, "itch50", GROUP, "")
    )
}

#[test]
fn every_line_is_json_where_that_is_asked_for() {
    let Some(wire) = wire(1, 1) else { return };
    for (config, options) in [("format = \"json\"", vec![]), ("", vec!["--log-format", "json"])] {
        let appliance = Appliance::start(&wire, &one_channel(config), &options);
        let silent = || appliance.log().contains("no packet yet");
        assert!(within(PATIENCE, silent), "{}", appliance.log());
        let log = appliance.log();
        let lines: Vec<Value> =
            log.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
        let of = |field: &str, value: &str| lines.iter().filter(|l| l[field] == value).count();
        assert!(of("interface", "rx0") >= 2, "{log}");
        assert_eq!(of("channel", "c0"), 1, "{log}");
        assert!(of("level", "INFO") > 1 && of("level", "WARN") >= 1, "{log}");
        appliance.signal(Signal::SIGTERM);
        appliance.finish();
    }
}

#[test]
fn the_environment_has_precedence_over_the_configured_level() {
    let Some(wire) = wire(1, 1) else { return };
    let config = one_channel("level = \"wirebook::topology=debug\"");
    for (words, debug) in [(vec!["env", "WIREBOOK_LOG=error"], false), (vec!["env", "A="], true)] {
        let launcher = Launcher { words: &words, user: None };
        let mut appliance = Appliance::spawn_by(&wire, &launcher, "run", &config, &[]);
        appliance.await_ready();
        let log = appliance.log();
        assert_eq!(log.contains("DEBUG rights that remain"), debug, "{log}");
        assert!(!log.contains("no packet yet"), "{log}");
        appliance.signal(Signal::SIGTERM);
        appliance.finish();
    }
}

#[test]
fn a_level_that_is_none_is_named() {
    let folder = folder();
    let config = write(&folder, "wirebook.toml", one_channel("level = \"wirebook=loud\""));
    let config = config.to_str().unwrap();
    common::fails(
        &["run", "--check", "--config", config],
        1,
        &["log.level: expected error, warn", "loud"],
    );
}

type Fields = BTreeMap<String, String>;

/// The fields of an entry (systemd's "Native Journal Protocol"): `NAME=value` and a newline, or the
/// name, a newline, the value's length in 8 bytes, little-endian, the value and a newline.
fn fields(mut entry: &[u8]) -> Fields {
    let mut fields = Fields::new();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    while let Some(end) = entry.iter().position(|byte| *byte == b'\n') {
        let (line, rest) = (&entry[..end], &entry[end + 1..]);
        if let Some(equals) = line.iter().position(|byte| *byte == b'=') {
            fields.insert(text(&line[..equals]), text(&line[equals + 1..]));
            entry = rest;
        } else {
            let (length, rest) = rest.split_first_chunk().unwrap();
            let (value, rest) = rest.split_at(u64::from_le_bytes(*length) as usize);
            fields.insert(text(line), text(value));
            entry = rest.strip_prefix(b"\n").unwrap();
        }
    }
    fields
}

/// The journal's own socket is replaced in a mount namespace of the program's own.
#[test]
fn the_journal_gets_a_field_for_each_of_ours() {
    let Some(wire) = wire(1, 1) else { return };
    let folder = folder();
    let journal = UnixDatagram::bind(folder.path().join("socket")).unwrap();
    journal.set_nonblocking(true).unwrap();
    let script = "mount -t tmpfs none /run && mkdir -p /run/systemd/journal && \
                  mount --bind \"$0\" /run/systemd/journal && exec \"$@\"";
    let words = ["sh", "-c", script, folder.path().to_str().unwrap()];
    let launcher = Launcher { words: &words, user: None };
    let config = one_channel("format = \"journald\"");
    let mut appliance = Appliance::spawn_by(&wire, &launcher, "run", &config, &[]);
    // A socket holds ten datagrams, fewer than a start says: they are taken before it is ready.
    let mut entries = Vec::new();
    let mut datagram = [0; 65_536];
    let complete = within(PATIENCE, || {
        while let Ok(length) = journal.recv(&mut datagram) {
            entries.push(fields(&datagram[..length]));
        }
        let is_last =
            |entry: &Fields| entry.get("MESSAGE").is_some_and(|m| m.contains("no packet yet"));
        entries.iter().any(is_last)
    });
    assert!(complete, "{entries:?}, {}", appliance.log());
    appliance.await_ready();
    let holds = |wanted: &[(&str, &str)]| {
        let holds = |entry: &Fields| {
            wanted.iter().all(|(name, value)| entry.get(*name).is_some_and(|found| found == value))
        };
        assert!(entries.iter().any(holds), "{wanted:?}: {entries:?}");
    };
    let from_us = ("SYSLOG_IDENTIFIER", "wirebook");
    holds(&[from_us, ("WIREBOOK_CHANNEL", "c0"), ("PRIORITY", "4")]);
    holds(&[from_us, ("WIREBOOK_INTERFACE", "rx0"), ("MESSAGE", "steering attached")]);
    assert!(!appliance.log().contains("no packet yet"), "{}", appliance.log());
    appliance.signal(Signal::SIGTERM);
    appliance.finish();
}

#[test]
fn a_million_malformed_packets_are_a_few_lines() {
    const PACKETS: usize = 1_000_000;
    let market = SimulatedMarket::new(91, 2, 100);
    let (ts, mut frame) = market.frames[0].clone();
    // MoldUDP64 (version 1.00): behind its header of 20 bytes, the length of the first message.
    let length = 14 + 20 + 8 + 20;
    frame[length..length + 2].copy_from_slice(&u16::MAX.to_be_bytes());
    frame.truncate(length + 8);
    let folder = folder();
    let capture = write(&folder, "malformed.pcap", pcap_file(&vec![(ts, frame); PACKETS]));
    let mut all = vec!["replay", "--json", "--protocol", "itch50", "--any-destination"];
    all.extend(common::LIMITS);
    all.push(capture.to_str().unwrap());
    let output = common::wirebook(&all);
    let log = String::from_utf8(output.stderr).unwrap();
    let summary: Value = serde_json::from_slice(&output.stdout).expect(&log);
    assert_eq!(summary["malformed_packets"], PACKETS, "{summary}");
    assert!(log.lines().count() < 20, "{log}");
}
