//! `wirebook doctor`: each finding on a host that is a folder, one fact changed at a time; the probe
//! on veth pairs.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;
#[path = "common/live.rs"]
mod live;
#[path = "common/model_host.rs"]
mod model_host;

use live::net;
use model_host::{Device, ModelHost};
use net::{PATIENCE, Pair, within};
use serde_json::Value;
use std::process::{Command, Output};
use wirebook::config::Config;
use wirebook::doctor::{Examination, Level, Report, examine};
use wirebook::host::{Needs, drivers};

/// Two lines of a channel on queue 1 of `eth1`, threads on cores 2 and 3.
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
    interface = [{ name = "eth1", queues = [1] }]
    [[shard]]
    core = 3
    idle = "poll"
    [[channel]]
    name = "c0"
    protocol = "iex-tops"
    worker = "w0"
    line = [{ name = "A", interface = "eth1", group = "233.252.0.1", port = 26477, vlan = [7] },
            { name = "B", interface = "eth1", group = "233.252.0.2", port = 26477, vlan = [7] }]
"#;

fn report(model: &ModelHost, config: &str) -> Report {
    let config: Config = toml::from_str(config).unwrap();
    let needs = Some(Needs::of(&config));
    let interfaces = vec!["eth1".to_owned()];
    examine(&model.host(), &Examination { needs, interfaces, probe: None })
}

/// A host on which nothing is to be found.
fn healthy() -> ModelHost {
    let model = ModelHost::new();
    for core in 0..4 {
        model.write(
            &format!("sys/devices/system/cpu/cpu{core}/cpufreq/scaling_governor"),
            "performance",
        );
    }
    for queue in 0..4 {
        model.write(&format!("proc/irq/{}/smp_affinity_list", 100 + queue), "0-1");
    }
    model.write("sys/devices/system/node/node0/hugepages/hugepages-2048kB/free_hugepages", "999");
    model.write("sys/class/net/eth1/napi_defer_hard_irqs", "0");
    model.change(|device| {
        device.driver = "mlx5_core".into();
        device.ring = 4096;
        device.adaptive = false;
        device.usecs = 0;
        for name in ["large-receive-offload", "generic-receive-offload", "rx-vlan-offload"] {
            device.features.get_mut(name).unwrap().0 = false;
        }
        let rule = |group: &str| (group.to_owned(), "26477".to_owned(), "1".to_owned());
        device.rules = [(0, rule("233.252.0.1")), (1, rule("233.252.0.2"))].into();
    });
    model
}

#[test]
fn on_a_healthy_host_everything_passes() {
    let report = report(&healthy(), CONFIG);
    let bad: Vec<_> = report.findings.iter().filter(|f| f.level != Level::Pass).collect();
    assert!(bad.is_empty(), "{bad:#?}");
    assert!(report.findings.len() > 30, "{}", report.findings.len());
    assert!(
        report.text(false).ends_with(&format!("{} pass, 0 warn, 0 fail\n", report.findings.len()))
    );
    assert!(!report.text(false).contains('\x1b') && report.text(true).contains('\x1b'));
}

/// One file changed, the finding that notices, and what its mend says.
const FILES: &[(&str, &str, &str, Level, &str)] = {
    use Level::{Fail, Warn};
    &[
        ("proc/sys/kernel/osrelease", "5.10.0-28", "kernel.release", Fail, "linux-image"),
        ("boot/config-6.12.9-amd64", "CONFIG_BPF=y\n", "kernel.options", Fail, "kernel"),
        ("proc/sys/net/core/bpf_jit_enable", "0", "kernel.bpf-jit", Fail, "bpf_jit_enable=1"),
        ("proc/sys/net/core/bpf_jit_harden", "2", "kernel.bpf-jit-harden", Warn, "harden=1"),
        ("proc/sys/kernel/sched_autogroup_enabled", "1", "kernel.autogroup", Warn, "=0"),
        ("sys/devices/system/cpu/online", "0-2", "cores.online", Fail, "configuration"),
        ("sys/devices/system/cpu/isolated", "3", "cores.isolated", Warn, "isolcpus=2-3"),
        ("sys/devices/system/cpu/nohz_full", "2", "cores.tickless", Warn, "nohz_full=2-3"),
        (
            "sys/devices/system/cpu/cpu2/topology/thread_siblings_list",
            "2-3",
            "cores.siblings",
            Warn,
            "lscpu",
        ),
        (
            "sys/devices/system/cpu/cpu2/topology/thread_siblings_list",
            "0,2",
            "cores.siblings",
            Warn,
            "in 0;",
        ),
        (
            "sys/devices/system/cpu/cpu3/cpufreq/scaling_governor",
            "powersave",
            "cores.governor",
            Warn,
            "in 3;",
        ),
        (
            "sys/devices/system/cpu/cpu3/cpuidle/state0/latency",
            "133",
            "cores.idle-states",
            Warn,
            "cpupower",
        ),
        ("proc/901/comm", "irqbalance", "cores.irqbalance", Warn, "systemctl"),
        (
            "sys/devices/system/node/node0/hugepages/hugepages-2048kB/free_hugepages",
            "3",
            "memory.hugepages",
            Warn,
            "nr_hugepages=",
        ),
        (
            "sys/kernel/mm/transparent_hugepage/enabled",
            "[always] madvise never",
            "memory.transparent-hugepages",
            Warn,
            "madvise",
        ),
        ("proc/swaps", "Filename\n/dev/sda2 partition 1 0 -2\n", "memory.swap", Warn, "swapoff"),
        ("proc/self/status", "CapEff:\t0000008000003000\n", "rights.capabilities", Fail, "setcap"),
        ("proc/self/status", "CapEff:\t0000008000003000\n", "rights.memlock", Fail, "LimitMEMLOCK"),
        (
            "sys/devices/system/clocksource/clocksource0/current_clocksource",
            "hpet",
            "clock.source",
            Warn,
            "tsc",
        ),
        ("proc/900/comm", "systemd-timesyn", "clock.service", Warn, "chrony"),
        ("sys/class/net/eth1/operstate", "down", "nic.link", Fail, "ip link set"),
        ("sys/class/net/eth1/mtu", "9000", "nic.mtu", Fail, "mtu 1500"),
        ("sys/class/net/eth1/mtu", "1771", "nic.mtu", Warn, "mtu 1500"),
        ("sys/class/net/eth1/device/numa_node", "1", "nic.numa-node", Warn, "node 1"),
        ("proc/irq/102/smp_affinity_list", "0-3", "nic.interrupts", Warn, "wirebook tune"),
        ("sys/class/net/eth1/napi_defer_hard_irqs", "2", "nic.napi", Warn, "echo 0"),
        ("proc/sys/net/ipv4/conf/eth1/rp_filter", "1", "steering.rp-filter", Warn, "rp_filter=0"),
        ("proc/sys/net/core/busy_poll", "50", "steering.busy-poll", Warn, "busy_poll=0"),
    ]
};

#[test]
fn each_fact_of_the_host_has_its_finding() {
    for (path, text, id, level, mend) in FILES {
        let model = healthy();
        model.write(path, text);
        expect(&report(&model, CONFIG), id, *level, mend);
    }
}

fn expect(report: &Report, id: &str, level: Level, mend: &str) {
    let findings: Vec<_> =
        report.findings.iter().filter(|f| f.id == id && f.level == level).collect();
    let mended = findings.iter().any(|f| f.mend.as_deref().unwrap_or_default().contains(mend));
    assert!(mended, "{id}: expected {level:?} with {mend:?}: {:#?}", report.findings);
    assert_eq!(report.summary.fail > 0, report.findings.iter().any(|f| f.level == Level::Fail));
}

/// One fact of the device changed.
type Change = fn(&mut Device);

#[test]
fn each_fact_of_the_device_has_its_finding() {
    use Level::{Fail, Warn};
    let cases: &[(Change, &str, Level, &str)] = &[
        (|d| d.combined = 1, "nic.queues", Fail, "-L eth1 combined 2"),
        (|d| d.ring = 512, "nic.ring", Warn, "-G eth1 rx 4096"),
        (|d| d.adaptive = true, "nic.coalescing", Warn, "adaptive-rx off"),
        (|d| d.usecs = 50, "nic.coalescing", Warn, "rx-usecs 0"),
        (|d| set(d, "rx-vlan-offload"), "nic.vlan-offload", Warn, "rxvlan off"),
        (
            |d| set(d, "large-receive-offload"),
            "nic.receive-offload",
            Fail,
            "large-receive-offload off",
        ),
        (
            |d| drop(d.rules.remove(&1)),
            "steering.queues",
            Fail,
            "dst-ip 233.252.0.2 dst-port 26477 action 1",
        ),
        (|d| d.rules.get_mut(&0).unwrap().2 = "3".into(), "steering.queues", Fail, "delete 0"),
        (
            |d| d.link = r#","xdp":{"mode":1,"prog":{"id":9,"name":"other"}}"#.into(),
            "steering.xdp",
            Fail,
            "xdp off",
        ),
    ];
    for (change, id, level, mend) in cases {
        let model = healthy();
        model.change(change);
        expect(&report(&model, CONFIG), id, *level, mend);
    }
}

fn set(device: &mut Device, feature: &str) {
    device.features.get_mut(feature).unwrap().0 = true;
}

#[test]
fn lines_need_no_rules_where_every_queue_is_polled() {
    let model = healthy();
    model.change(|device| {
        device.rules.clear();
        device.combined = 2;
    });
    let both = CONFIG.replace("queues = [1]", "queues = [0, 1]");
    let found = report(&model, &both);
    assert!(
        found.findings.iter().filter(|f| f.id == "steering.queues").all(|f| f.level == Level::Pass)
    );
    expect(&report(&model, CONFIG), "steering.queues", Level::Fail, "ntuple on");
}

#[test]
fn a_configuration_has_its_own_findings() {
    let model = healthy();
    let unpinned = CONFIG.replace("core = 2\n", "");
    expect(&report(&model, &unpinned), "cores.pinned", Level::Warn, "core = N");
    let by_source = CONFIG.replacen("vlan = [7]", "source = \"192.0.2.1\", vlan = [7]", 1);
    model.write("proc/net/igmp", "2\teth1      :     1      V2\n");
    expect(&report(&model, &by_source), "steering.igmp", Level::Fail, "force_igmp_version=3");
    let interfaces = vec!["eth9".to_owned()];
    let absent = examine(&model.host(), &Examination { interfaces, ..Examination::default() });
    expect(&absent, "nic.exists", Level::Fail, "ip link");
}

#[test]
fn a_host_that_tells_nothing_gets_findings_and_no_panic() {
    let folder = common::folder();
    struct None;
    impl wirebook::host::Tools for None {
        fn run(&self, program: &str, _: &[&str]) -> Result<String, wirebook::host::ToolError> {
            Err(wirebook::host::ToolError::Missing(program.into()))
        }
    }
    std::fs::create_dir_all(folder.path().join("sys/class/net/eth1")).unwrap();
    std::fs::write(folder.path().join("sys/class/net/eth1/ifindex"), "2").unwrap();
    let host = wirebook::host::Host::at(folder.path(), None);
    let config: Config = toml::from_str(CONFIG).unwrap();
    let needs = Some(Needs::of(&config));
    let report = examine(
        &host,
        &Examination { needs, interfaces: vec!["eth1".into()], probe: Option::None },
    );
    expect(&report, "nic.driver", Level::Warn, "apt install ethtool");
    let found = examine(&host, &Examination::default());
    assert_eq!(found.candidates.len(), 1);
}

fn doctor(pair: &Pair, options: &[&str]) -> Output {
    let mut command = Command::new("ip");
    command.args(["netns", "exec", &pair.receiver]);
    command.arg(common::command::<&str>(&[]).get_program());
    command.args(["doctor", "--json"]).args(options);
    command.output().unwrap()
}

fn findings(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"))
}

/// Level and text of the finding with this id.
fn found<'a>(report: &'a Value, id: &str) -> (&'a str, &'a str) {
    let all = report["findings"].as_array().unwrap();
    let finding =
        all.iter().find(|f| f["id"] == id).unwrap_or_else(|| panic!("no {id}: {report:#}"));
    (finding["level"].as_str().unwrap(), finding["found"].as_str().unwrap())
}

const GROUP: &str = "239.192.12.111:26477";

#[test]
fn the_probe_shows_a_packet_in_packet_memory_and_leaves_nothing() {
    let Some(pair) = live::wire(1, 1) else { return };
    let folder = common::folder();
    let config = live::config("") + &live::channel(0, "itch50", GROUP, ", vlan = [7]");
    let config = common::write(&folder, "wirebook.toml", config);
    let output = doctor(&pair, &["--config", config.to_str().unwrap(), "--listen", "0"]);
    let report = findings(&output);
    let (level, text) = found(&report, "probe.packet");
    assert_eq!(level, "pass", "{text}");
    assert!(text.contains("1 of 1") && text.contains("by the kernel"), "{text}");
    assert!(found(&report, "probe.attach").1.contains("native"));
    assert!(found(&report, "probe.bind").1.contains("copied on queues [0]"));
    assert_eq!(found(&report, "steering.queues").0, "pass");
    assert_eq!(report["summary"]["fail"].as_u64().unwrap() > 0, output.status.code() == Some(1));
    assert!(!pair.describe("rx0").contains("xdp"), "{}", pair.describe("rx0"));
}

#[test]
fn the_probe_hears_which_lines_are_silent() {
    let Some(pair) = live::wire(1, 1) else { return };
    let folder = common::folder();
    let line_b = live::channel(0, "itch50", "239.192.12.112:26477", "").replace("c0", "c1");
    let config = live::config("") + &live::channel(0, "itch50", GROUP, "") + &line_b;
    let config = common::write(&folder, "wirebook.toml", config);
    let mut exchange = Command::new("ip");
    exchange.args(["netns", "exec", &pair.sender]);
    exchange.arg(common::command::<&str>(&[]).get_program());
    exchange.args([
        "sim",
        "--interface",
        "tx0",
        "--messages",
        "100000",
        "--duration",
        "600",
        "--no-digest",
    ]);
    let mut exchange = exchange.spawn().unwrap();
    let flows = within(PATIENCE, || pair.received(0) > 0);
    let report = findings(&doctor(&pair, &["--config", config.to_str().unwrap(), "--listen", "3"]));
    exchange.kill().unwrap();
    exchange.wait().unwrap();
    assert!(flows);
    let (level, text) = found(&report, "probe.wire");
    assert_eq!(level, "warn", "{text}");
    assert!(text.ends_with("but none of c1/A"), "{text}");
    assert_eq!(found(&report, "probe.packet").0, "pass");
}

#[test]
fn a_running_appliance_is_not_disturbed() {
    let Some(pair) = live::wire(1, 1) else { return };
    let config = live::config("") + &live::channel(0, "itch50", GROUP, "");
    let appliance = live::Appliance::start(&pair, &config, &[]);
    let report = findings(&doctor(&pair, &["--interface", "rx0"]));
    assert!(found(&report, "probe.packet").1.contains("left out"));
    let (level, text) = found(&report, "steering.xdp");
    assert!(level == "warn" && text.contains("an appliance runs"), "{level} {text}");
    let market = common::SimulatedMarket::new(5, 3, 200);
    let frames: Vec<_> = market.frames.into_iter().map(|(_, frame)| frame).collect();
    live::send_in_steps(&pair, &appliance, &frames);
    appliance.signal(nix::sys::signal::Signal::SIGTERM);
    appliance.finish();
}

#[test]
fn the_page_about_nics_is_what_the_code_says() {
    common::assert_documented("docs/nics.md", "drivers", &drivers::table());
}
