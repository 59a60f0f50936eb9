//! The table `[channel.recovery]`, and the presets that hold one.

use super::super::config::{RecoveryConfig, Unhealed};
use crate::config::Config;
use std::path::Path;
use wirebook_feed::{RetransmitPolicy, SnapshotPolicy, WindowLimits};
use wirebook_wire::Protocol;

fn parse(table: &str) -> RecoveryConfig {
    toml::from_str(table).expect("a recovery table")
}

fn mistake(table: &str) -> String {
    parse(table).mistake(Protocol::Itch50).expect("a mistake")
}

#[test]
fn an_empty_table_is_a_channel_without_servers() {
    let config = parse("");
    assert_eq!(config.mistake(Protocol::IexDeep), None);
    let policy = config.channel_policy(2);
    assert_eq!((policy.lines, policy.retransmit, policy.snapshot), (2, None, None));
    assert_eq!(policy.reorder_wait_ns, 1_000_000);
    assert_eq!((config.retransmitter_policy(), config.has_servers()), (None, false));
    assert_eq!(config.unhealed, Unhealed::Stale);
}

#[test]
fn values_reach_the_policies_in_their_units() {
    let config = parse(
        "reorder_wait_us = 7\nwindow_packets = 8\nwindow_bytes = 9000\n\
         retransmit = [{ address = \"192.0.2.1:17001\" }, { address = \"[2001:db8::1]:17001\" }]\n\
         request_messages_max = 10\nrequests_per_second = 11\nanswer_wait_ms = 12\n\
         retransmit_deadline_ms = 13\nretransmit_messages_max = 14\n\
         snapshot = [{ address = \"192.0.2.1:18001\" }]\n\
         snapshot_deadline_ms = 15\nsnapshot_retry_ms = 16\n\
         unhealed = \"stale-until-restated\"",
    );
    assert_eq!(config.mistake(Protocol::Itch50), None);
    let policy = config.channel_policy(1);
    assert_eq!(policy.reorder_wait_ns, 7_000);
    assert_eq!(policy.window, WindowLimits { packets: 8, bytes: 9_000 });
    let retransmit = RetransmitPolicy { deadline_ns: 13_000_000, messages_max: 14 };
    assert_eq!(policy.retransmit, Some(retransmit));
    let snapshot = SnapshotPolicy { deadline_ns: 15_000_000, retry_after_ns: Some(16_000_000) };
    assert_eq!(policy.snapshot, Some(snapshot));
    let policy = config.retransmitter_policy().unwrap();
    assert_eq!((policy.servers, policy.request_messages_max), (2, 10));
    assert_eq!((policy.requests_per_second, policy.answer_wait_ns), (11, 12_000_000));
    assert_eq!(policy.deadline_ns, 13_000_000);
    assert_eq!(config.unhealed, Unhealed::StaleUntilRestated);
}

#[test]
fn impossible_values_are_named_with_what_was_expected() {
    for (table, expected) in [
        ("reorder_wait_us = 0", "recovery.reorder_wait_us: expected 1 to 10000000, found 0"),
        ("window_bytes = 1", "recovery.window_bytes: expected 2048 to 17179869184, found 1"),
        (
            "request_messages_max = 65535",
            "recovery.request_messages_max: expected 1 to 65534, found 65535",
        ),
        (
            "snapshot_deadline_ms = 3600001",
            "recovery.snapshot_deadline_ms: expected 1 to 3600000, found 3600001",
        ),
        (
            "retransmit = [{ address = \"192.0.2.1:1\" }, { address = \"192.0.2.1:0\" }]",
            "recovery.retransmit[1].address: expected a port from 1 up, found 0",
        ),
        (
            "retransmit = [{ address = \"233.252.0.1:1\" }]",
            "recovery.retransmit[0].address: expected the address of one host, \
             found 233.252.0.1",
        ),
        (
            "snapshot = [{ address = \"0.0.0.0:1\" }]",
            "recovery.snapshot[0].address: expected the address of one host, found 0.0.0.0",
        ),
        (
            "snapshot = [{ address = \"192.0.2.1:1\", username = \"toolong\" }]",
            "recovery.snapshot[0].username: expected at most 6 characters, found 7",
        ),
        (
            "snapshot = [{ address = \"192.0.2.1:1\", password = \"p\", password_file = \"f\" }]",
            "recovery.snapshot[0].password: expected it or password_file, found both",
        ),
    ] {
        assert_eq!(mistake(table), expected);
    }
}

#[test]
fn servers_of_another_transport_are_refused() {
    let config = parse("retransmit = [{ address = \"192.0.2.1:1\" }]");
    let mistake = config.mistake(Protocol::IexDeep).unwrap();
    assert!(mistake.starts_with("recovery.retransmit: expected no servers"), "{mistake}");
    assert!(mistake.ends_with("found some for iex-deep"), "{mistake}");
}

#[test]
fn unknown_keys_are_refused_with_their_name() {
    for (table, key) in [
        ("retransmits = []", "retransmits"),
        ("retransmit = [{ address = \"192.0.2.1:1\", user = 1 }]", "user"),
        ("snapshot = [{ address = \"192.0.2.1:1\", pass = \"x\" }]", "pass"),
        ("unhealed = \"live\"", "live"),
        ("snapshot = [{ address = \"glimpse.example:1\" }]", "glimpse.example"),
    ] {
        let error = toml::from_str::<RecoveryConfig>(table).unwrap_err().to_string();
        assert!(error.contains(key) && error.contains("line 1"), "{error}");
    }
}

#[test]
fn a_password_comes_from_its_file_and_is_not_shown() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "hunter2\n").unwrap();
    let path = file.path().display().to_string();
    let snapshot = |key: &str, value: &str| {
        parse(&format!("snapshot = [{{ address = \"192.0.2.1:1\", {key} = {value:?} }}]"))
    };
    let from_file = snapshot("password_file", &path);
    assert_eq!(&from_file.snapshot[0].login().unwrap().password, b"hunter2   ");
    let inline = snapshot("password", "hunter2");
    assert_eq!(&inline.snapshot[0].login().unwrap().password, b"hunter2   ");
    assert!(!format!("{inline:?}").contains("hunter2"));
    let error = snapshot("password_file", "/nowhere").snapshot[0].login().unwrap_err();
    assert!(error.to_string().starts_with("cannot read the password file /nowhere"), "{error}");
}

#[test]
fn every_preset_is_a_configuration() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/feeds");
    let mut presets = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        presets += 1;
        if let Err(mistake) = Config::read(&path) {
            panic!("{mistake}");
        }
    }
    assert_eq!(presets, 4);
}
