//! The knobs: what each does, why, where it is documented, and what it should be.
//!
//! Arrives: a host and wishes. Leaves: settings, read anew each time. One function a knob, in the
//! order in which they are turned: queues first, as interrupts and rules follow from them; NAPI before
//! offloads, as a veth has none of it without GRO (`veth_set_features` in drivers/net/veth.c).
//! `docs/tuning.md` has its table from here.

use super::Setting;
use super::place::Place;
use crate::host::ethtool::{Channels, Coalescing, Features, Rings, Rule};
use crate::host::{self, Cores, CpuSet, Host, NeededLine, Needs, hugepage_pools};
use clap::ValueEnum;

/// Where packets are taken from the device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Napi {
    /// In softirq, on the core of the device's interrupt.
    #[default]
    Irq,
    /// In a kernel thread for each queue, pinned beside the workers.
    Threaded,
    /// By sockets that prefer busy polling: interrupts are put off while they poll.
    BusyPoll,
}

/// What is wished for.
#[derive(Clone, Debug, Default)]
pub struct Wishes {
    /// The interface.
    pub interface: String,
    /// What a configuration needs, where there is one.
    pub needs: Option<Needs>,
    /// Where packets are taken from the device.
    pub napi: Napi,
    /// Longest that the device may wait before it interrupts.
    pub rx_usecs: u32,
    /// Cores for the device's interrupts; none chooses among those that nobody is pinned to.
    pub irq_cores: Option<CpuSet>,
}

/// Reads the settings of one knob.
type Settings = fn(&Host, &Wishes) -> Vec<Setting>;

/// One knob.
#[derive(Clone, Copy, Debug)]
pub struct Knob {
    /// Its name.
    pub id: &'static str,
    /// What it is set to.
    pub what: &'static str,
    /// Why.
    pub why: &'static str,
    /// Where it is documented.
    pub source: &'static str,
    /// Its settings.
    pub(super) settings: Settings,
    /// What is to be done whenever they have been applied.
    pub(super) afterwards: Option<fn(&Host, &Wishes)>,
}

/// All knobs, in the order in which they are turned.
pub const KNOBS: &[Knob] = &[
    Knob {
        id: "queues",
        what: "as many receive queues as the configuration uses; more are left where rules steer",
        why: "a socket is bound to a queue; packets on a queue without one are lost to the books",
        source: "ethtool(8) --set-channels; Documentation/networking/af_xdp.rst",
        settings: queues,
        afterwards: None,
    },
    Knob {
        id: "ring",
        what: "receive descriptors: 4,096 or the device's most",
        why: "a burst that finds the ring full is lost in the device; larger rings fall out of the cache",
        source: "ethtool(8) --set-ring",
        settings: ring,
        afterwards: None,
    },
    Knob {
        id: "napi",
        what: "irq: nothing deferred; threaded: threaded 1, threads pinned; busy-poll: \
               napi_defer_hard_irqs 2, gro_flush_timeout 200,000 ns",
        why: "deferring pays only where sockets poll the device themselves, and costs up to the \
              timeout where none does",
        source: "Documentation/networking/napi.rst; the two values: DPDK, doc/guides/nics/af_xdp.rst",
        settings: napi,
        afterwards: Some(pin_napi_threads),
    },
    Knob {
        id: "offloads",
        what: "LRO, hardware GRO, GRO and VLAN stripping off, rules on",
        why: "XDP takes no merged packets and sees no stripped tags; what is passed to the kernel is \
              not held back to be merged",
        source: "ethtool(8) --features; Documentation/networking/segmentation-offloads.rst",
        settings: offloads,
        afterwards: None,
    },
    Knob {
        id: "coalescing",
        what: "adaptive off, rx-usecs 0",
        why: "the device interrupts at the first packet; under load NAPI polls anyway",
        source: "ethtool(8) --coalesce; Documentation/networking/ethtool-netlink.rst, COALESCE",
        settings: coalescing,
        afterwards: None,
    },
    Knob {
        id: "rules",
        what: "a rule for each line of the configuration, all lines of a channel to one queue",
        why: "the hash would spread lines A and B over queues, and some onto queues without a socket",
        source: "ethtool(8) --config-ntuple; Documentation/networking/scaling.rst",
        settings: rules,
        afterwards: None,
    },
    Knob {
        id: "interrupts",
        what: "each of the device's interrupts to one core of its NUMA node to which no thread is pinned",
        why: "an interrupt on a worker's core stops it; one on another node reads packets across the link",
        source: "Documentation/core-api/irq/irq-affinity.rst",
        settings: interrupts,
        afterwards: None,
    },
    Knob {
        id: "governor",
        what: "performance on the cores that threads are pinned to",
        why: "a core that lowers its frequency needs many microseconds to raise it again",
        source: "Documentation/admin-guide/pm/cpufreq.rst",
        settings: governor,
        afterwards: None,
    },
    Knob {
        id: "hugepages",
        what: "free 2 MiB pages for packet memory, tables and segment, on the device's NUMA node",
        why: "ordinary pages miss the TLB at every other access; another node's are slower to reach",
        source: "Documentation/admin-guide/mm/hugetlbpage.rst",
        settings: hugepages,
        afterwards: None,
    },
];

/// Receive descriptors that are wished for.
const RING_WANTED: u32 = 4_096;

/// Every place that turning the knobs may touch, with what is there, in the order of [`KNOBS`].
/// Beside the settings: features that follow another one, and interrupts that go with their queues.
pub(super) fn touched(host: &Host, wishes: &Wishes) -> Vec<(Place, String)> {
    let interface = &wishes.interface;
    let settings = KNOBS.iter().flat_map(|knob| (knob.settings)(host, wishes));
    let mut places: Vec<_> = settings.map(|setting| setting.place).collect();
    let features = Features::ask(host, interface).unwrap_or_default();
    let free = features.0.iter().filter(|(_, feature)| !feature.fixed);
    places.extend(free.map(|(name, _)| feature_of(interface, name)));
    let interrupts = host::interrupts(host, interface);
    places.extend(interrupts.into_iter().map(|interrupt| interrupt_of(interface, interrupt.name)));
    places
        .into_iter()
        .filter_map(|place| Some((place.read(host).ok()?, place)))
        .map(|(now, place)| (place, now))
        .collect()
}

fn queues(host: &Host, wishes: &Wishes) -> Vec<Setting> {
    let interface = wishes.interface.clone();
    let channels = Channels::ask(host, &interface).unwrap_or_default();
    let kind = channels.receiving_kind();
    let place = Place::Channels { interface: interface.clone(), kind: kind.into() };
    let skip = |why: &str| vec![Setting::skipped("queues", place.clone(), why)];
    let last = wishes.needs.as_ref().and_then(|needs| needs.queues_of(&interface)?.last().copied());
    let Some(last) = last else { return skip("no --config says which queues are used") };
    let (max, now) = match kind {
        "combined" => (channels.max.combined, channels.now.combined),
        _ => (channels.max.rx, channels.now.rx),
    };
    let needed = last + 1;
    if max.is_some_and(|max| max < needed) {
        return skip("the configuration uses more queues than the device has");
    }
    // A veth wants at least as many as its peer sends on (veth_xdp_set in drivers/net/veth.c).
    let more_are_well = takes_rules(host, &interface) || is_veth(host, &interface);
    let wanted = match now {
        Some(now) if more_are_well => now.max(needed),
        _ => needed,
    };
    vec![Setting::new(host, "queues", place, wanted.to_string())]
}

fn ring(host: &Host, wishes: &Wishes) -> Vec<Setting> {
    let place = Place::Ring { interface: wishes.interface.clone() };
    let rings = match Rings::ask(host, &wishes.interface) {
        Ok(rings) => rings,
        Err(error) => return vec![Setting::skipped("ring", place, error.to_string())],
    };
    match (rings.rx, rings.rx_max) {
        (Some(now), Some(max)) => {
            vec![Setting::new(host, "ring", place, now.max(RING_WANTED.min(max)).to_string())]
        }
        _ => vec![Setting::skipped("ring", place, "not a setting of this driver")],
    }
}

fn offloads(host: &Host, wishes: &Wishes) -> Vec<Setting> {
    const WANTED: [(&str, &str); 5] = [
        ("large-receive-offload", "off"),
        ("rx-gro-hw", "off"),
        ("generic-receive-offload", "off"),
        ("rx-vlan-offload", "off"),
        ("ntuple-filters", "on"),
    ];
    let features = Features::ask(host, &wishes.interface);
    let setting = |(name, want): (&str, &str)| {
        let place = feature_of(&wishes.interface, name);
        let fixed = features.as_ref().ok().and_then(|features| features.get(name));
        match fixed.filter(|feature| feature.fixed && feature.on != (want == "on")) {
            Some(_) => {
                Setting::skipped("offloads", place, format!("fixed by the driver, not {want}"))
            }
            None => Setting::new(host, "offloads", place, want),
        }
    };
    WANTED.into_iter().map(setting).collect()
}

fn coalescing(host: &Host, wishes: &Wishes) -> Vec<Setting> {
    let place =
        |name: &str| Place::Coalescing { interface: wishes.interface.clone(), name: name.into() };
    if let Err(error) = Coalescing::ask(host, &wishes.interface) {
        return vec![Setting::skipped("coalescing", place("rx-usecs"), error.to_string())];
    }
    vec![
        Setting::new(host, "coalescing", place("adaptive-rx"), "off"),
        Setting::new(host, "coalescing", place("rx-usecs"), wishes.rx_usecs.to_string()),
    ]
}

fn rules(host: &Host, wishes: &Wishes) -> Vec<Setting> {
    let interface = &wishes.interface;
    let lines = wishes.needs.iter().flat_map(|needs| &needs.lines);
    let mut lines: Vec<_> = lines.filter(|line| line.interface == *interface).collect();
    // Lines that differ by their VLAN alone share a rule.
    lines.sort_by_key(|line| (line.key.group, line.key.port));
    lines.dedup_by_key(|line| (line.key.group, line.key.port));
    let queues = Channels::ask(host, interface)
        .ok()
        .map(|channels| channels.now.rx.unwrap_or(0) + channels.now.combined.unwrap_or(0));
    let polls_all = |line: &NeededLine| {
        queues.is_some_and(|queues| (0..queues).all(|queue| line.queues.contains(&queue)))
    };
    let setting = |line: &NeededLine| {
        let LineAddress { group, port } = LineAddress::of(line);
        let place = Place::Rule { interface: interface.clone(), group, port };
        match polls_all(line) {
            true => Setting::skipped("rules", place, "not needed: its worker polls every queue"),
            false => Setting::new(host, "rules", place, format!("queue {}", line.queue)),
        }
    };
    lines.into_iter().map(setting).collect()
}

struct LineAddress {
    group: std::net::Ipv4Addr,
    port: u16,
}

impl LineAddress {
    fn of(line: &NeededLine) -> Self {
        Self { group: line.key.group, port: line.key.port }
    }
}

fn interrupts(host: &Host, wishes: &Wishes) -> Vec<Setting> {
    let interface = &wishes.interface;
    let skip = |why: &str| {
        let place = interrupt_of(interface, "all".into());
        vec![Setting::skipped("interrupts", place, why)]
    };
    let interrupts = host::interrupts(host, interface);
    if interrupts.is_empty() {
        return skip("the interface has no interrupts of its own");
    }
    let Some(cores) = interrupt_cores(host, wishes) else {
        return skip("neither --config nor --irq-cores says which cores are free for them");
    };
    if cores.is_empty() {
        return skip("threads are pinned to every core");
    }
    let turn = interrupts.into_iter().zip(cores.0.iter().copied().cycle());
    turn.map(|(interrupt, core)| {
        let place = interrupt_of(interface, interrupt.name);
        Setting::new(host, "interrupts", place, core.to_string())
    })
    .collect()
}

/// Those of the device's node to which no thread is pinned and that are not isolated, or any others
/// to which no thread is pinned.
fn interrupt_cores(host: &Host, wishes: &Wishes) -> Option<CpuSet> {
    if let Some(cores) = &wishes.irq_cores {
        return Some(cores.clone());
    }
    let pinned = &wishes.needs.as_ref()?.cores;
    let cores = Cores::read(host);
    let unpinned: CpuSet = cores.online.iter().filter(|&core| !pinned.contains(core)).collect();
    let near = node(host, &wishes.interface).map(|node| Cores::of_node(host, node));
    let best: CpuSet = unpinned
        .iter()
        .filter(|&core| !cores.isolated.contains(core))
        .filter(|&core| near.as_ref().is_none_or(|near| near.contains(core)))
        .collect();
    Some(if best.is_empty() { unpinned } else { best })
}

fn napi(host: &Host, wishes: &Wishes) -> Vec<Setting> {
    let (threaded, defer, flush_ns) = match wishes.napi {
        Napi::Irq => ("0", "0", "0"),
        Napi::Threaded => ("1", "0", "0"),
        Napi::BusyPoll => ("0", "2", "200000"),
    };
    let wanted =
        [("threaded", threaded), ("napi_defer_hard_irqs", defer), ("gro_flush_timeout", flush_ns)];
    let setting = |(file, want): (&str, &str)| {
        let path = format!("sys/class/net/{}/{file}", wishes.interface);
        Setting::new(host, "napi", Place::File { path }, want)
    };
    wanted.into_iter().map(setting).collect()
}

/// Puts the threads of threaded NAPI (`napi/IF-N`) onto the interrupts' cores. They go when
/// `threaded` is 0 again, so nothing is to be noted.
fn pin_napi_threads(host: &Host, wishes: &Wishes) {
    let Some(cores) = interrupt_cores(host, wishes).filter(|cores| !cores.is_empty()) else {
        return;
    };
    if wishes.napi != Napi::Threaded {
        return;
    }
    let threads =
        host.processes_with(|name| name.starts_with(&format!("napi/{}-", wishes.interface)));
    for (pid, core) in threads.into_iter().zip(cores.0.iter().copied().cycle()) {
        let pinned = host.run("taskset", &["-pc", &core.to_string(), &pid.to_string()]);
        if let Err(error) = pinned {
            tracing::warn!("the thread {pid} of {} runs anywhere: {error}", wishes.interface);
        }
    }
}

fn governor(host: &Host, wishes: &Wishes) -> Vec<Setting> {
    let file = |core| Place::File { path: Cores::governor_path(core) };
    let Some(needs) = &wishes.needs else {
        return vec![Setting::skipped(
            "governor",
            file(0),
            "no --config says which cores are used",
        )];
    };
    needs
        .cores
        .iter()
        .map(|core| Setting::new(host, "governor", file(core), "performance"))
        .collect()
}

fn hugepages(host: &Host, wishes: &Wishes) -> Vec<Setting> {
    let pools = hugepage_pools(host);
    let near = node(host, &wishes.interface);
    let pool = pools.iter().find(|pool| pool.node == near).or(pools.first());
    let none = Place::File { path: "proc/sys/vm/nr_hugepages".into() };
    let Some(pool) = pool else {
        return vec![Setting::skipped("hugepages", none, "the kernel has no 2 MiB pages")];
    };
    let place = Place::File { path: pool.path.clone() };
    let Some(needs) = &wishes.needs else {
        return vec![Setting::skipped("hugepages", place, "no --config says how many are used")];
    };
    // Those that a running appliance holds are the ones that it needs.
    let held = match host.appliances().is_empty() {
        true => pool.total - pool.free.min(pool.total),
        false => 0,
    };
    let wanted = pool.total.max(needs.hugepages + held);
    vec![Setting::new(host, "hugepages", place, wanted.to_string())]
}

/// What the kernel's command line should say, word by word, and does not.
pub fn suggestions(host: &Host, wishes: &Wishes) -> Vec<String> {
    let Some(needs) = &wishes.needs else { return Vec::new() };
    let cores = Cores::read(host);
    let missing = |set: &CpuSet| needs.cores.iter().any(|core| !set.contains(core));
    let mut words = Vec::new();
    if missing(&cores.isolated) {
        words.push(format!("isolcpus=managed_irq,domain,{}", needs.cores));
    }
    if missing(&cores.tickless) {
        words.push(format!("nohz_full={}", needs.cores));
    }
    if missing(&cores.without_callbacks) {
        words.push(format!("rcu_nocbs={}", needs.cores));
    }
    let others: CpuSet = cores.online.iter().filter(|&core| !needs.cores.contains(core)).collect();
    if !needs.cores.is_empty() && !others.is_empty() && host.boot_parameter("irqaffinity").is_none()
    {
        words.push(format!("irqaffinity={others}"));
    }
    if host.boot_parameter("hugepages").is_none() {
        words.extend(
            (needs.hugepages > 0).then(|| format!("hugepagesz=2M hugepages={}", needs.hugepages)),
        );
        let gigantic = needs.gigantic_pages;
        words.extend((gigantic > 0).then(|| format!("hugepagesz=1G hugepages={gigantic}")));
    }
    words
}

/// The table of `docs/tuning.md`.
pub fn table() -> String {
    let rows = KNOBS.iter().map(|knob| {
        format!("| `{}` | {} | {} | {} |\n", knob.id, knob.what, knob.why, knob.source)
    });
    let head = "| knob | set to | why | source |\n|---|---|---|---|\n".to_owned();
    rows.fold(head, |table, row| table + &row)
}

fn takes_rules(host: &Host, interface: &str) -> bool {
    let fixed_off = Features::ask(host, interface)
        .ok()
        .and_then(|features| features.get("ntuple-filters"))
        .is_none_or(|feature| feature.fixed && !feature.on);
    !fixed_off && Rule::ask(host, interface).is_ok()
}

fn is_veth(host: &Host, interface: &str) -> bool {
    crate::host::ethtool::Driver::ask(host, interface).is_ok_and(|driver| driver.name == "veth")
}

fn node(host: &Host, interface: &str) -> Option<usize> {
    usize::try_from(host.number(format!("sys/class/net/{interface}/device/numa_node"))?).ok()
}

fn feature_of(interface: &str, name: &str) -> Place {
    Place::Feature { interface: interface.to_owned(), name: name.to_owned() }
}

fn interrupt_of(interface: &str, name: String) -> Place {
    Place::Interrupt { interface: interface.to_owned(), name }
}
