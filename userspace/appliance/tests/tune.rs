//! `wirebook tune`: what it changes, and that it puts back exactly what was there. The real thing on
//! veth pairs; what a veth does not have, and what is the whole host's, on a host that is a folder.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;
#[path = "common/model_host.rs"]
mod model_host;
#[path = "../../xdp/tests/common/mod.rs"]
mod net;

use model_host::ModelHost;
use net::{Pair, inside};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Output};
use wirebook::config::Config;
use wirebook::host::{CpuSet, Needs};
use wirebook::tune::{self, KNOBS, Napi, Notes, Outcome, Place, Setting, Wishes};

/// Two lines of a channel on queues 0 and 5 of `eth1`, threads on cores 2 and 3.
const CONFIG: &str = r#"
    [limits]
    instruments = 100
    orders = 100
    levels = 100
    [[worker]]
    name = "w0"
    core = 2
    idle = "spin"
    ring_size = 1024
    interface = [{ name = "eth1", queues = [0, 5] }]
    [[shard]]
    core = 3
    idle = "spin"
    [[channel]]
    name = "c0"
    protocol = "iex-tops"
    worker = "w0"
    line = [{ name = "A", interface = "eth1", group = "233.252.0.1", port = 26477 },
            { name = "B", interface = "eth1", group = "233.252.0.2", port = 26477 }]
"#;

fn wishes() -> Wishes {
    let config: Config = toml::from_str(CONFIG).unwrap();
    Wishes { interface: "eth1".into(), needs: Some(Needs::of(&config)), ..Wishes::default() }
}

fn failures(outcomes: &[Outcome]) -> Vec<&Outcome> {
    outcomes.iter().filter(|outcome| outcome.error.is_some()).collect()
}

#[test]
fn every_knob_is_turned_and_put_back_exactly() {
    let model = ModelHost::new();
    let (host, state) = (model.host(), common::folder());
    let before = model.picture();
    let open = || Notes::open(&host, state.path(), "eth1").unwrap();

    let outcomes = tune::apply(&host, &wishes(), &mut open()).unwrap();
    assert_eq!(failures(&outcomes), Vec::<&Outcome>::new());
    {
        let device = model.device.lock().unwrap();
        assert_eq!((device.combined, device.ring), (6, 4096));
        assert_eq!((device.adaptive, device.usecs), (false, 0));
        let on: Vec<_> =
            device.features.iter().filter(|(_, (on, _))| *on).map(|(n, _)| n.as_str()).collect();
        assert_eq!(on, ["ntuple-filters", "rx-checksumming"]);
        let queues: Vec<_> =
            device.rules.values().map(|(group, _, queue)| format!("{group}→{queue}")).collect();
        assert_eq!(queues, ["233.252.0.1→0", "233.252.0.2→0"], "A and B to one queue");
    }
    for (number, core) in (100..106).zip(["0", "1"].iter().cycle()) {
        assert_eq!(model.read(&format!("proc/irq/{number}/smp_affinity_list")), *core);
    }
    for (core, governor) in [(1, "schedutil"), (2, "performance"), (3, "performance")] {
        let path = format!("sys/devices/system/cpu/cpu{core}/cpufreq/scaling_governor");
        assert_eq!(model.read(&path), governor);
    }
    let pool = "sys/devices/system/node/node0/hugepages/hugepages-2048kB/nr_hugepages";
    let needed = wishes().needs.unwrap().hugepages;
    assert_eq!(model.read(pool), (needed + 6).to_string(), "6 are held by others");
    assert_eq!(model.read("sys/class/net/eth1/napi_defer_hard_irqs"), "0");
    // The kernel would have made them.
    model.write(
        "sys/devices/system/node/node0/hugepages/hugepages-2048kB/free_hugepages",
        &needed.to_string(),
    );
    assert!(tune::plan(&host, &wishes()).iter().all(Setting::is_as_wanted), "the check says so");

    model.write("sys/devices/system/node/node0/hugepages/hugepages-2048kB/free_hugepages", "4");
    let outcomes = tune::undo(&host, &mut open()).unwrap();
    assert_eq!(failures(&outcomes), Vec::<&Outcome>::new());
    assert_eq!(model.picture(), before);
    assert!(open().is_empty());
    assert!(!tune::plan(&host, &wishes()).iter().all(Setting::is_as_wanted));
}

#[test]
fn a_second_apply_keeps_what_the_first_one_found() {
    let model = ModelHost::new();
    let (host, state) = (model.host(), common::folder());
    let before = model.picture();
    for rx_usecs in [0, 7, 3] {
        let mut notes = Notes::open(&host, state.path(), "eth1").unwrap();
        tune::apply(&host, &Wishes { rx_usecs, napi: Napi::BusyPoll, ..wishes() }, &mut notes)
            .unwrap();
        assert_eq!(model.device.lock().unwrap().usecs, rx_usecs);
        assert_eq!(model.read("sys/class/net/eth1/gro_flush_timeout"), "200000");
    }
    tune::undo(&host, &mut Notes::open(&host, state.path(), "eth1").unwrap()).unwrap();
    assert_eq!(model.picture(), before);
}

/// Wherever ethtool stops answering, the notes on disk are enough.
#[test]
fn a_run_that_broke_off_anywhere_is_undone() {
    let mut broke_off = 0;
    for calls in 0.. {
        let model = ModelHost::new();
        let (host, state) = (model.host(), common::folder());
        let before = model.picture();
        model.change(|device| device.calls_left = calls);
        let mut notes = Notes::open(&host, state.path(), "eth1").unwrap();
        let _ = tune::apply(&host, &wishes(), &mut notes);
        let over = model.device.lock().unwrap().calls_left > 0;
        model.change(|device| device.calls_left = usize::MAX);
        let outcomes =
            tune::undo(&host, &mut Notes::open(&host, state.path(), "eth1").unwrap()).unwrap();
        assert_eq!(failures(&outcomes), Vec::<&Outcome>::new(), "after {calls} calls");
        assert_eq!(model.picture(), before, "after {calls} calls");
        if over {
            break;
        }
        broke_off += 1;
    }
    assert!(broke_off > 8, "{broke_off}");
}

#[test]
fn what_cannot_be_put_back_is_said_and_the_rest_is() {
    let model = ModelHost::new();
    let (host, state) = (model.host(), common::folder());
    let mut notes = Notes::open(&host, state.path(), "eth1").unwrap();
    tune::apply(&host, &wishes(), &mut notes).unwrap();
    model.remove("sys/class/net/eth1/gro_flush_timeout");
    let outcomes = tune::undo(&host, &mut notes).unwrap();
    let failed = failures(&outcomes);
    let path = "sys/class/net/eth1/gro_flush_timeout".to_owned();
    assert_eq!(failed.iter().map(|f| &f.place).collect::<Vec<_>>(), [&Place::File { path }]);
    assert_eq!(model.device.lock().unwrap().ring, 512);
    assert!(!Notes::open(&host, state.path(), "eth1").unwrap().is_empty(), "the notes stay");
}

#[test]
fn notes_of_another_boot_or_version_are_not_believed() {
    let model = ModelHost::new();
    let (host, state) = (model.host(), common::folder());
    tune::apply(&host, &wishes(), &mut Notes::open(&host, state.path(), "eth1").unwrap()).unwrap();
    model.write("proc/sys/kernel/random/boot_id", "second");
    assert!(Notes::open(&host, state.path(), "eth1").unwrap().is_empty());
    model.write("proc/sys/kernel/random/boot_id", "first");
    let file = state.path().join("eth1.json");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("\"version\": 1", "\"version\": 9")).unwrap();
    let error = Notes::open(&host, state.path(), "eth1").unwrap_err().to_string();
    common::assert_says(&error, &["version 1", "found 9"]);
    fs::write(&file, &text[..text.len() / 2]).unwrap();
    assert!(Notes::open(&host, state.path(), "eth1").is_err(), "half a file");
}

#[test]
fn interrupts_go_where_they_are_asked_to() {
    let model = ModelHost::new();
    let wishes = Wishes { irq_cores: Some(CpuSet::parse("1")), ..wishes() };
    let settings = tune::plan(&model.host(), &wishes);
    let cores: Vec<_> = settings
        .iter()
        .filter(|s| s.knob == "interrupts")
        .map(|s| s.want.clone().unwrap())
        .collect();
    assert_eq!(cores, ["1"; 4]);
}

#[test]
fn the_command_line_is_suggested_where_it_lacks_something() {
    let model = ModelHost::new();
    model.write("sys/devices/system/cpu/isolated", "\n");
    let words = tune::suggestions(&model.host(), &wishes());
    let needed = wishes().needs.unwrap().hugepages;
    let hugepages = format!("hugepagesz=2M hugepages={needed}");
    assert_eq!(words, ["isolcpus=managed_irq,domain,2-3", "irqaffinity=0-1", &hugepages]);
    model.write("sys/devices/system/cpu/isolated", "2-3");
    model.write("proc/cmdline", "irqaffinity=0-1 rcu_nocbs=2-3 hugepages=64");
    assert_eq!(tune::suggestions(&model.host(), &wishes()), Vec::<String>::new());
}

/// Everything that can be seen of `rx0`.
fn dump(pair: &Pair) -> String {
    inside(&pair.receiver, || {
        let ask = |option: &str| {
            let output = Command::new("ethtool").args([option, "rx0"]).output().unwrap();
            String::from_utf8(output.stdout).unwrap()
        };
        ["-k", "-l", "-g", "-c"].map(ask).concat()
    }) + &in_netns(
        pair,
        "cat",
        &[
            "/sys/class/net/rx0/threaded",
            "/sys/class/net/rx0/napi_defer_hard_irqs",
            "/sys/class/net/rx0/gro_flush_timeout",
            "/sys/class/net/rx0/mtu",
            "/sys/class/net/rx0/flags",
        ],
    )
}

/// A program with the receiving namespace's own /sys.
fn in_netns(pair: &Pair, program: &str, arguments: &[&str]) -> String {
    let output = Command::new("ip")
        .args(["netns", "exec", &pair.receiver, program])
        .args(arguments)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn tune_rx0(pair: &Pair, state: &Path, options: &[&str], path: Option<&str>) -> Output {
    let mut command = Command::new("ip");
    command.args(["netns", "exec", &pair.receiver]);
    command.arg(common::command::<&str>(&[]).get_program());
    command.args(["tune", "--interface", "rx0", "--state-dir"]).arg(state).args(options);
    if let Some(path) = path {
        command.env("PATH", path);
    }
    command.output().unwrap()
}

/// A veth pair as no default has it: GRO, threads and deferred interrupts on.
fn odd_pair() -> Option<Pair> {
    let pair = Pair::new(1, 2)?;
    in_netns(&pair, "ethtool", &["-K", "rx0", "gro", "on"]);
    for (file, value) in
        [("threaded", 1), ("napi_defer_hard_irqs", 3), ("gro_flush_timeout", 12_345)]
    {
        in_netns(&pair, "sh", &["-c", &format!("echo {value} > /sys/class/net/rx0/{file}")]);
    }
    Some(pair)
}

#[test]
fn a_veth_is_tuned_checked_and_put_back() {
    let Some(pair) = odd_pair() else { return };
    let folder = common::folder();
    let state = folder.path().join("new/folder");
    let before = dump(&pair);
    let json = |output: Output| -> Value {
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"))
    };

    let plan = json(tune_rx0(&pair, &state, &["--json"], None));
    assert_eq!(plan["tuned"], false);
    let skipped = |knob: &str| {
        let settings = plan["settings"].as_array().unwrap().iter();
        settings.filter(|s| s["knob"] == knob).all(|s| s["skipped"].is_string())
    };
    for knob in ["ring", "coalescing", "rules", "interrupts"] {
        assert!(skipped(knob), "{knob}: {plan:#}");
    }
    assert_eq!(dump(&pair), before, "a plan changes nothing");
    assert!(!state.exists());

    let applied = json(tune_rx0(&pair, &state, &["--apply", "--json"], None));
    assert_eq!(applied["failed"], 0, "{applied:#}");
    assert_eq!(applied["applied"].as_array().unwrap().len(), 5, "{applied:#}");
    assert_ne!(dump(&pair), before);
    assert_eq!(tune_rx0(&pair, &state, &["--check"], None).status.code(), Some(0));
    let notes = fs::read(state.join("rx0.json")).unwrap();
    tune_rx0(&pair, &state, &["--apply"], None);
    assert_eq!(fs::read(state.join("rx0.json")).unwrap(), notes, "the first originals");

    let undone = json(tune_rx0(&pair, &state, &["--undo", "--json"], None));
    assert_eq!(undone["failed"], 0, "{undone:#}");
    assert_eq!(dump(&pair), before);
    assert!(!state.join("rx0.json").exists());
    assert_eq!(tune_rx0(&pair, &state, &["--check"], None).status.code(), Some(1));
}

/// An ethtool that kills whoever called it, after its first change.
#[test]
fn a_run_that_was_killed_is_undone_by_the_next() {
    let Some(pair) = odd_pair() else { return };
    let folder = common::folder();
    let bin = folder.path().join("bin");
    fs::create_dir(&bin).unwrap();
    let deadly = bin.join("ethtool");
    fs::write(
        &deadly,
        "#!/bin/sh\nPATH=${PATH#*:}\nethtool \"$@\" || exit\n\
        case $1 in -K) kill -KILL $PPID ;; esac\n",
    )
    .unwrap();
    fs::set_permissions(&deadly, fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let before = dump(&pair);

    let killed = tune_rx0(&pair, folder.path(), &["--apply"], Some(&path));
    assert_eq!(killed.status.signal(), Some(9), "{killed:?}");
    assert_ne!(dump(&pair), before);
    let undone = tune_rx0(&pair, folder.path(), &["--undo"], None);
    assert!(undone.status.success(), "{undone:?}");
    assert_eq!(dump(&pair), before);
}

#[test]
fn a_wrong_call_is_answered() {
    common::fails(&["tune", "--interface", "wbx-none"], 1, &["expected an interface", "wbx-none"]);
    common::fails(&["tune", "--interface", "lo", "--apply", "--undo"], 2, &["cannot be used with"]);
    common::fails(
        &["tune", "--interface", "lo", "--irq-cores", "all"],
        2,
        &["expected cores as in"],
    );
}

#[test]
fn the_page_about_tuning_has_every_knob() {
    common::assert_documented("docs/tuning.md", "knobs", &tune::table());
    let page =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/tuning.md"))
            .unwrap();
    for knob in KNOBS {
        assert!(page.contains(&format!("### `{}`", knob.id)), "no section about {}", knob.id);
    }
}
