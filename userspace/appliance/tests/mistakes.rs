//! What a person can get wrong: the configuration, the arguments, the host. Each is an error that
//! names what was expected and what was found, with exit status 1, or 2 for a wrong call.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;
#[path = "common/live.rs"]
mod live;

use common::{LIMITS, SimulatedMarket, assert_says, data, fails, folder, text, write};
use live::{Appliance, channel, config, play, wire};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output};

/// A whole configuration, to be spoiled.
const CONFIG: &str = r#"
name = "test"
[segment]
hugepages = "none"
mailbox_slots = 1024
[limits]
instruments = 100
[[worker]]
name = "w"
ring_size = 64
interface = [{ name = "eth0", queues = [0, 1] }]
[[shard]]
idle = "spin"
[[channel]]
name = "c"
protocol = "itch50"
worker = "w"
date = "2026-01-05"
[[channel.line]]
name = "A"
interface = "eth0"
group = "239.1.2.3"
port = 9000
vlan = [141]
"#;

#[test]
fn a_right_config_is_ok() {
    let folder = folder();
    let file = write(&folder, "right.toml", CONFIG);
    let said = text(&["run", "--check", "--config", file.to_str().unwrap()]);
    assert!(said.contains("right.toml: ok"), "{said}");
}

#[test]
fn a_channel_that_is_recorded_needs_a_name_for_its_directory() {
    let folder = folder();
    for name in ["", ".", "../up", "a/b", "packets", "snapshots"] {
        let named = CONFIG.replace("name = \"c\"", &format!("name = {name:?}"));
        let file = write(&folder, "named.toml", &named);
        let file = file.to_str().unwrap();
        text(&["run", "--check", "--config", file]);
        fails(&["record", "--check", "--dir", "d", "--config", file], 1, &["channel", "directory"]);
    }
}

#[test]
fn a_recording_that_is_none_is_named() {
    let folder = folder();
    let dir = folder.path().to_str().unwrap();
    fails(&["replay", dir], 1, &[dir, "expected a recording"]);
    let file = write(&folder, "file", "").to_str().unwrap().to_owned();
    let config =
        write(&folder, "right.toml", CONFIG.replace("instruments = 100", "instruments = 10"));
    let to_file = ["record", "--dir", &file, "--config", config.to_str().unwrap()];
    fails(&to_file, 1, &["cannot record into", &file]);
}

#[test]
fn every_mistake_in_a_config_is_named() {
    let second_worker = "[[worker]]\nname = \"w\"\ninterface = [{ name = \"eth1\" }]\n[[shard]]";
    let same_queue = "[[worker]]\nname = \"v\"\ninterface = [{ name = \"eth0\" }]\n[[shard]]";
    let same_line = "[[channel.line]]\nname = \"B\"\ninterface = \"eth0\"\ngroup = \"239.1.2.3\"\n\
                     port = 9000\nvlan = [141]\n[[channel.line]]";
    let mistakes: &[(&str, &str, &[&str])] = &[
        // Threads.
        (
            "name = \"test\"",
            "name = \"test\"\nhandlers = \"inline\"",
            &["handlers", "expected no [[shard]]", "found 1"],
        ),
        ("name = \"test\"", "handlers = \"none\"", &["handlers", "shards", "inline"]),
        // Recording.
        ("[limits]", "[record]\n[limits]", &["dir"]),
        ("[limits]", "[record]\ndir = \"d\"\nflush_ms = 0\n[limits]", &["flush_ms", "1 to 60000"]),
        (
            "[limits]",
            "[record]\ndir = \"d\"\nsnapshot_s = 86401\n[limits]",
            &["snapshot_s", "86400"],
        ),
        (
            "[limits]",
            "[record]\ndir = \"d\"\njournal_slots = 65\n[limits]",
            &["journal_slots", "65"],
        ),
        // Keys, here and deeper.
        ("name = \"test\"", "nane = \"test\"", &["nane", "expected", "name"]),
        ("mailbox_slots", "mailbox_slot", &["mailbox_slot", "mailbox_slots"]),
        ("port = 9000", "port = 9000\nports = 1", &["ports", "port"]),
        ("[[shard]]\nidle = \"spin\"", "", &["one [[shard]]", "handlers"]),
        ("worker = \"w\"", "", &["missing field", "worker"]),
        // Kinds of values.
        ("port = 9000", "port = \"9000\"", &["line 23", "port", "9000", "u16"]),
        ("port = 9000", "port = 70000", &["70000"]),
        ("name = \"test\"", "name = ", &["line 2"]),
        ("\"spin\"", "\"doze\"", &["doze", "spin", "sleep", "poll"]),
        ("\"none\"", "\"4KiB\"", &["4KiB", "2MiB"]),
        ("itch50", "itch41", &["itch41", "itch50", "iex-deep", "iex-tops"]),
        ("2026-01-05", "2026-13-05", &["2026-13-05"]),
        ("239.1.2.3", "239.1.2", &["239.1.2"]),
        // Metrics.
        (
            "[limits]",
            "[metrics]\nlisten = \"localhost\"\n[limits]",
            &["listen", "address and a port", "127.0.0.1:9464", "\"localhost\""],
        ),
        (
            "[limits]",
            "[metrics]\nhlog_interval_s = 0\n[limits]",
            &["metrics.hlog_interval_s", "1 to 3600", "found 0"],
        ),
        ("name = \"c\"", "name = \"Zürich\"", &["channel", "ASCII", "Zürich"]),
        ("name = \"A\"", "name = 'A\"'", &["line", "quotation mark"]),
        // What does not go together.
        ("worker = \"w\"", "worker = \"x\"", &["channel \"c\"", "worker", "\"x\""]),
        ("interface = \"eth0\"", "interface = \"eth9\"", &["\"c\"", "\"A\"", "\"w\"", "\"eth9\""]),
        ("239.1.2.3", "192.0.2.1", &["\"A\"", "multicast", "192.0.2.1"]),
        ("port = 9000", "port = 0", &["\"A\"", "port", "found 0"]),
        ("vlan = [141]", "vlan = [4095]", &["VLAN", "1 to 4094", "4095"]),
        ("vlan = [141]", "vlan = [1, 2, 3]", &["at most two", "[1, 2, 3]"]),
        ("ring_size = 64", "ring_size = 100", &["\"w\"", "ring_size", "power of two", "100"]),
        ("slots = 1024", "slots = 1000", &["mailbox_slots", "power of two", "1000"]),
        ("instruments = 100", "instruments = 0", &["limits.instruments", "found 0"]),
        ("[0, 1]", "[]", &["\"w\"", "queue"]),
        ("[0, 1]", "[1, 1]", &["queue 1", "eth0", "twice"]),
        ("[[shard]]", second_worker, &["two workers", "\"w\""]),
        ("[[shard]]", same_queue, &["queue 0", "eth0", "twice"]),
        ("[[channel.line]]", same_line, &["another line", "same destination"]),
    ];
    let folder = folder();
    for (right, wrong, words) in mistakes {
        assert!(CONFIG.contains(right), "{right}");
        let file = write(&folder, "wrong.toml", CONFIG.replacen(right, wrong, 1));
        let file = file.to_str().unwrap();
        let words = [&["wrong.toml"], *words].concat();
        fails(&["run", "--check", "--config", file], 1, &words);
        // The same without the check, before anything is touched.
        fails(&["run", "--config", file], 1, &words);
    }
}

#[test]
fn a_config_that_is_none_is_named() {
    let folder = folder();
    let empty = write(&folder, "empty.toml", "");
    let binary = write(&folder, "binary.toml", [0xff, 0xfe, 0x00]);
    let missing = folder.path().join("missing.toml");
    for (file, words) in [
        (&empty, ["empty.toml", "worker"]),
        (&binary, ["binary.toml", "UTF-8"]),
        (&missing, ["missing.toml", "No such file"]),
    ] {
        fails(&["run", "--config", file.to_str().unwrap()], 1, &words);
    }
}

#[test]
fn a_wrong_call_has_exit_status_2() {
    for (arguments, words) in [
        (&["run"][..], &["--config"][..]),
        (&["fly"], &["fly"]),
        (&["replay"], &["FILE"]),
        (&["replay", "x.pcap", "--protocol", "itch41"], &["itch41", "--protocol"]),
        (&["replay", "x.pcap", "--shards", "0"], &["--shards", "0"]),
        (&["replay", "x.pcap", "--shards", "257"], &["--shards", "257"]),
        (&["replay", "x.pcap", "--orders-max", "0"], &["--orders-max", "2^30"]),
        (&["replay", "x.pcap", "--date", "yesterday"], &["--date", "yesterday"]),
        (&["replay", "x.pcap", "--any-destination", "--config", "x"], &["--any-destination"]),
        (&["convert", "x.pcap"], &["--output"]),
        (&["convert", "x.pcap", "-o", "y", "--records", "trades"], &["trades", "mbo", "all"]),
        (&["sim"], &["--interface"]),
        (&["sim", "--interface", "x", "--capture", "y", "--speed", "-1"], &["-1"]),
        (&["sim", "--write", "x", "--capture", "y"], &["--write", "--capture"]),
    ] {
        fails(arguments, 2, words);
    }
}

#[test]
fn input_that_cannot_be_read_is_named() {
    let folder = folder();
    let path = |name: &str, bytes: &[u8]| write(&folder, name, bytes).to_str().unwrap().to_owned();
    let market = SimulatedMarket::new(1, 2, 100);
    let capture = path("market.pcap", &common::pcap_file(&market.frames));
    let daily = path("day.itch50", b"\0\x0cS\0\0\0\0\0\0\0\0\0\0O");
    let empty = path("empty.pcap", b"");
    let text = path("notes.txt", b"dear diary");
    let unpacked = path("notes.gz", &common::gzip(b"dear diary"));
    let missing = folder.path().join("missing.pcap").to_str().unwrap().to_owned();
    let directory = folder.path().to_str().unwrap().to_owned();
    let nothing = path("sim.toml", b"");
    for (arguments, words) in [
        (vec![&*missing, "--protocol", "itch50"], vec!["missing.pcap", "No such file"]),
        (vec![&*directory, "--protocol", "itch50"], vec!["directory"]),
        (vec![&*empty, "--protocol", "itch50"], vec!["empty.pcap", "expected", "an empty file"]),
        (vec![&*text, "--protocol", "itch50"], vec!["notes.txt", "expected", "pcap", "64, 65"]),
        (vec![&*unpacked, "--protocol", "itch50"], vec!["notes.gz", "expected", "pcap"]),
        (vec![&*capture], vec!["--protocol", "itch50", "iex-deep", "iex-tops", "none"]),
        (
            vec![&*capture, &*daily, "--protocol", "itch50"],
            vec!["market.pcap", "packets", "day.itch50", "ITCH messages"],
        ),
        (vec![&*capture, "--protocol", "itch50", "--book", "AAPL"], vec!["symbol", "\"AAPL\""]),
        (vec![&*capture, "--protocol", "itch50", "--book", "99"], vec!["instrument id", "99"]),
        (vec![&*capture, "--config", &*nothing], vec!["sim.toml", "worker"]),
    ] {
        fails(&[&["replay", "--json"], &LIMITS[..], &arguments[..]].concat(), 1, &words);
    }
    fails(&["decode", &missing, "--protocol", "itch50"], 1, &["missing.pcap"]);
    if let Some(es) = data("dbn-mbo/esh4-glbx-mdp3-20231224.mbo.dbn.zst") {
        let es = es.to_str().unwrap();
        fails(&["decode", es], 1, &["expected venue messages", "DBN records"]);
        fails(&["replay", &capture, es, "--protocol", "itch50"], 1, &["packets", "DBN records"]);
        fails(&["sim", "--capture", es, "--interface", "lo"], 1, &["packets", "DBN records"]);
    }
}

#[test]
fn an_error_says_nothing_twice() {
    let output = common::wirebook(&["replay", "/nowhere/x.pcap", "--protocol", "itch50"]);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(error.matches("No such file").count(), 1, "{error}");
}

#[test]
fn a_market_that_cannot_be_is_named() {
    let folder = folder();
    let file = folder.path().join("x.pcap");
    let write = ["sim", "--write", file.to_str().unwrap()];
    for (options, words) in [
        (["--group", "192.0.2.1"], ["multicast", "192.0.2.1"]),
        (["--messages", "10"], ["messages", "10"]),
        (["--duration", "400000"], ["2^48", "found"]),
    ] {
        fails(&[&write[..], &options].concat(), 1, &words);
        assert!(!file.exists());
    }
    fails(&["sim", "--interface", "wirebook-no0"], 1, &["wirebook-no0"]);
}

#[test]
fn a_missing_interface_is_named() {
    let Some(wire) = wire(1, 1) else { return };
    for options in ["", "source = \"socket\""] {
        let config = config(options) + &channel(0, "itch50", "239.1.2.3:9000", "");
        let config = config.replacen("[limits]", "[intake]\nwait_s = 0\n[limits]", 1);
        let mut appliance = Appliance::spawn(&wire, &config.replace("rx0", "nic7"), &[]);
        assert_eq!(appliance.wait().code(), Some(1));
        assert_says(&appliance.log(), &["wirebook: ", "interface", "nic7"]);
    }
}

#[test]
fn a_missing_queue_is_named() {
    let Some(wire) = wire(1, 1) else { return };
    let config = config("") + &channel(0, "itch50", "239.1.2.3:9000", "");
    let config = config.replace("\"rx0\" }]", "\"rx0\", queues = [3] }]");
    let mut appliance = Appliance::spawn(&wire, &config, &[]);
    assert_eq!(appliance.wait().code(), Some(1));
    assert_says(&appliance.log(), &["wirebook: ", "rx0", "queue 3"]);
    assert!(!wire.describe("rx0").contains("prog/xdp"));
}

#[test]
fn missing_rights_are_named() {
    let Some(wire) = wire(1, 1) else { return };
    let folder = folder();
    let config = config("") + &channel(0, "itch50", "239.1.2.3:9000", "");
    let config = write(&folder, "wirebook.toml", config);
    let output = wire.receiving(|| {
        as_nobody(&folder, &["run", "--config", config.to_str().unwrap()]).output().unwrap()
    });
    assert_refused(&output, &["CAP_BPF", "CAP_NET_ADMIN"]);
    let sim = ["sim", "--interface", "tx0"];
    let output = live::net::inside(&wire.sender, || as_nobody(&folder, &sim).output().unwrap());
    assert_refused(&output, &["tx0", "CAP_NET_RAW"]);
}

#[test]
fn sockets_and_replay_need_no_rights() {
    let Some(wire) = wire(1, 1) else { return };
    let folder = folder();
    let market = SimulatedMarket::new(51, 3, 500);
    let capture = market.write(&folder, "market.pcap");
    let replay = ["replay", capture.to_str().unwrap(), "--protocol", "itch50", "--json"];
    let output = as_nobody(&folder, &[&replay[..], &LIMITS].concat()).output().unwrap();
    let replayed: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();

    let socket = config("source = \"socket\"") + &channel(0, "itch50", "239.192.12.111:26477", "");
    let config = write(&folder, "wirebook.toml", socket);
    let ready = folder.path().join("ready");
    let run = ["run", "--json", "--until-end-of-session", "--config"];
    let run = [&run[..], &[config.to_str().unwrap(), "--ready-file", ready.to_str().unwrap()]];
    let mut command = as_nobody(&folder, &run.concat());
    command.stdout(std::process::Stdio::piped());
    let child = wire.receiving(|| command.spawn().unwrap());
    assert!(live::net::within(live::PATIENCE, || ready.exists()));
    play(&wire, 0, &capture);
    let output = child.wait_with_output().unwrap();
    let live: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(common::outcome(&live), common::outcome(&replayed));
}

/// The program as a user without any right, in a folder that such a user can reach.
fn as_nobody(folder: &tempfile::TempDir, arguments: &[&str]) -> Command {
    fs::set_permissions(folder.path(), Permissions::from_mode(0o777)).unwrap();
    let program = folder.path().join("wirebook");
    if !program.exists() {
        fs::copy(env!("CARGO_BIN_EXE_wirebook"), &program).unwrap();
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--bounding-set=-all"]);
    command.arg(program).args(arguments);
    command
}

fn assert_refused(output: &Output, words: &[&str]) {
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert_says(&error, words);
}

#[test]
fn every_command_has_help_with_an_example() {
    let help = text(&["--help"]);
    let (_, commands) = help.split_once("Commands:\n").unwrap();
    let names: Vec<&str> = commands
        .lines()
        .take_while(|line| !line.is_empty())
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|&name| name != "help")
        .collect();
    for expected in ["run", "replay", "convert", "decode", "sim"] {
        assert!(names.contains(&expected), "{expected} in {names:?}");
    }
    for name in names {
        let help = text(&[name, "--help"]);
        assert!(help.contains("Example"), "{help}");
        assert!(help.contains(&format!("\n  wirebook {name} ")), "{help}");
    }
    assert!(text(&["--version"]).starts_with("wirebook "));
}
