//! The interface: driver, queues, rings, offloads, interrupts, and where it stands.

use super::finding::{Check, Finding};
use crate::host::drivers::{self, HardwareTime, Release};
use crate::host::{Cores, CpuSet, Host, Interface, Needs};
use wirebook_xdp::SocketConfig;

const DRIVER: Check = Check {
    id: "nic.driver",
    why: "without native XDP packets take most of the kernel's path; without zero-copy each one is copied once",
};
const TIME: Check = Check {
    id: "nic.hardware-time",
    why: "without it a packet's time of arrival is when the kernel came to it, not when it was on the wire",
};
const LINK: Check = Check { id: "nic.link", why: "nothing arrives on an interface that is down" };
const QUEUES: Check =
    Check { id: "nic.queues", why: "a socket cannot be bound to a queue that is not there" };
const RINGS: Check = Check {
    id: "nic.ring",
    why: "a burst that does not fit the device's ring is lost before any counter of ours (rx_missed_errors)",
};
const MTU: Check = Check {
    id: "nic.mtu",
    why: "a packet must fit a frame of packet memory, and many drivers take no XDP program with a larger MTU",
};
const VLAN: Check = Check {
    id: "nic.vlan-offload",
    why: "a device that strips VLAN tags does so before the steering program can see them",
};
const AGGREGATION: Check = Check {
    id: "nic.receive-offload",
    why: "packets that the device or the kernel puts together are delayed, and XDP takes none with LRO",
};
const COALESCING: Check = Check {
    id: "nic.coalescing",
    why: "the device holds packets back for so long to save interrupts",
};
const NODE: Check = Check {
    id: "nic.numa-node",
    why: "a worker on another NUMA node reads every packet across the link between the sockets",
};
const INTERRUPTS: Check = Check {
    id: "nic.interrupts",
    why: "an interrupt on a pinned core stops its thread for the whole NAPI poll",
};
const THREADED: Check = Check {
    id: "nic.napi",
    why: "deferred interrupts hold packets back for gro_flush_timeout unless a socket polls the device itself",
};

/// Ring sizes below this were seen to lose bursts.
const RING_MIN: u32 = 1024;
/// Longest that a device may hold a packet back.
const COALESCING_MAX_US: u32 = 10;
/// Ethernet header and two VLAN tags.
const HEADER_BYTES: i64 = 14 + 2 * 4;
/// What the kernel keeps of a frame (XDP_PACKET_HEADROOM in include/uapi/linux/bpf.h).
const HEADROOM_BYTES: i64 = 256;

/// All findings about one interface but for steering.
pub(super) fn findings(host: &Host, interface: &Interface, needs: Option<&Needs>) -> Vec<Finding> {
    let kernel = host.kernel().map(|(release, _)| release);
    let mut findings = driver(interface, kernel);
    findings.push(link(interface));
    findings.extend(queues(interface, needs));
    findings.push(ring(interface));
    findings.push(mtu(interface));
    findings.extend(offloads(interface, needs));
    findings.push(coalescing(interface));
    findings.extend(needs.and_then(|needs| node(host, interface, needs)));
    findings.extend(interrupts(interface, needs));
    findings.extend(napi(interface));
    findings
}

fn driver(interface: &Interface, kernel: Option<Release>) -> Vec<Finding> {
    let name = interface.driver();
    let Some(known) = drivers::find(name) else {
        return vec![match &interface.ethtool.driver {
            Err(error) => DRIVER.warn(error.to_string(), "apt install ethtool"),
            Ok(_) => DRIVER.unmendable(format!(
                "{name:?} is not in docs/nics.md: the probe below tells what it can do"
            )),
        }];
    };
    // A release that is not known is taken for the newest; the probe will tell.
    let kernel = kernel.unwrap_or((u32::MAX, 0));
    let since = |release: Release| kernel >= release;
    let driver = match (since(known.native), known.zero_copy) {
        (false, _) => DRIVER.warn(
            format!("{name}: native XDP only since Linux {}", drivers::release(known.native)),
            "run a newer kernel",
        ),
        (true, None) => DRIVER.unmendable(format!(
            "{name}: native XDP; no zero-copy in any kernel known here: packets are copied once"
        )),
        (true, Some(release)) if !since(release) => DRIVER.warn(
            format!("{name}: native XDP; zero-copy only since Linux {}", drivers::release(release)),
            "run a newer kernel",
        ),
        (true, Some(_)) => DRIVER.pass(format!("{name}: native XDP and zero-copy")),
    };
    let time = match known.hardware_time {
        HardwareTime::Since(release) | HardwareTime::Probably(release) if since(release) => {
            TIME.pass(format!("{name} gives it to XDP programs"))
        }
        HardwareTime::Since(release) | HardwareTime::Probably(release) => TIME.warn(
            format!("{name} gives it to XDP programs since Linux {}", drivers::release(release)),
            "run a newer kernel",
        ),
        HardwareTime::No => {
            TIME.pass(format!("{name} gives none to XDP programs: the kernel's clock is used"))
        }
    };
    vec![driver, time]
}

fn link(interface: &Interface) -> Finding {
    match interface.state.as_str() {
        "up" => LINK.pass("up"),
        // Virtual interfaces without a state of their own.
        "unknown" => LINK.pass("does not tell its state"),
        state => LINK
            .fail(state, format!("ip link set dev {} up, and look at the cable", interface.name)),
    }
}

fn queues(interface: &Interface, needs: Option<&Needs>) -> Option<Finding> {
    let there = match (&interface.ethtool.channels, interface.ethtool.receive_queues()) {
        (_, Some(there)) => there,
        (Err(error), None) => return Some(QUEUES.unmendable(format!("not known: {error}"))),
        (Ok(_), None) => return Some(QUEUES.unmendable("ethtool -l names no receive queues")),
    };
    let Some(last) = needs.and_then(|needs| needs.queues_of(&interface.name)?.last().copied())
    else {
        return Some(QUEUES.pass(format!("{there}")));
    };
    let kind = interface
        .ethtool
        .channels
        .as_ref()
        .map_or("combined", |channels| channels.receiving_kind());
    Some(match last < there {
        true => QUEUES.pass(format!("{there}; the configuration uses up to number {last}")),
        false => QUEUES.fail(
            format!("{there}; the configuration uses number {last}"),
            format!("ethtool -L {} {kind} {}", interface.name, last + 1),
        ),
    })
}

fn ring(interface: &Interface) -> Finding {
    let rings = match &interface.ethtool.rings {
        Ok(rings) => rings,
        Err(error) => return RINGS.pass(format!("not a setting of this driver ({error})")),
    };
    match (rings.rx, rings.rx_max) {
        (Some(now), Some(max)) if now < RING_MIN.min(max) => RINGS.warn(
            format!("{now} of {max}"),
            format!("ethtool -G {} rx {}", interface.name, max.min(4096)),
        ),
        (Some(now), Some(max)) => RINGS.pass(format!("{now} of {max}")),
        _ => RINGS.pass("not a setting of this driver"),
    }
}

fn mtu(interface: &Interface) -> Finding {
    let Some(mtu) = interface.mtu else { return MTU.unmendable("not known") };
    let frame = i64::from(SocketConfig::new("", 0).frame_bytes);
    let room = frame - HEADROOM_BYTES - HEADER_BYTES;
    let of_driver = drivers::find(interface.driver()).and_then(|driver| driver.mtu_max);
    let mend = format!("ip link set dev {} mtu 1500", interface.name);
    match of_driver {
        Some(max) if mtu > i64::from(max) => {
            MTU.fail(format!("{mtu}; {} takes XDP up to {max}", interface.driver()), mend)
        }
        _ if mtu > room => {
            MTU.warn(format!("{mtu}; packets of more than {room} bytes are dropped"), mend)
        }
        _ => MTU.pass(format!("{mtu}; a frame has room for {room}")),
    }
}

fn offloads(interface: &Interface, needs: Option<&Needs>) -> Vec<Finding> {
    let features = match &interface.ethtool.features {
        Ok(features) => features,
        Err(error) => return vec![VLAN.unmendable(format!("not known: {error}"))],
    };
    let name = &interface.name;
    let names_tags = needs.is_none_or(|needs| {
        let mut own = needs.lines.iter().filter(|line| line.interface == *name);
        own.any(|line| line.key.vlan != wirebook_xdp::Vlan::Any)
    });
    let vlan = match features.get("rx-vlan-offload") {
        Some(feature) if feature.on && names_tags && feature.fixed => VLAN.warn(
            "on, and fixed",
            "leave `vlan` out of the configuration's lines, which then match any tags",
        ),
        Some(feature) if feature.on && names_tags => {
            VLAN.warn("on", format!("ethtool -K {name} rxvlan off"))
        }
        Some(feature) if feature.on => VLAN.pass("on; no line of the configuration names its tags"),
        _ => VLAN.pass("off"),
    };
    let changeable =
        |name: &&str| features.get(name).is_some_and(|feature| feature.on && !feature.fixed);
    let aggregating: Vec<_> = ["large-receive-offload", "rx-gro-hw", "generic-receive-offload"]
        .into_iter()
        .filter(changeable)
        .collect();
    let aggregation = match aggregating.as_slice() {
        [] => AGGREGATION.pass("off"),
        ["generic-receive-offload"] => AGGREGATION.pass(
            "GRO is on: XDP comes before it, and it touches only what is passed to the kernel",
        ),
        on => AGGREGATION.fail(
            format!("on: {}", on.join(", ")),
            format!("ethtool -K {name} {} off", on.join(" off ")),
        ),
    };
    vec![vlan, aggregation]
}

fn coalescing(interface: &Interface) -> Finding {
    let coalescing = match &interface.ethtool.coalescing {
        Ok(coalescing) => coalescing,
        Err(error) => return COALESCING.pass(format!("not a setting of this driver ({error})")),
    };
    let name = &interface.name;
    if coalescing.adaptive_rx == Some(true) {
        return COALESCING
            .warn("adaptive", format!("ethtool -C {name} adaptive-rx off rx-usecs 0"));
    }
    match coalescing.rx_usecs {
        Some(us) if us > COALESCING_MAX_US => {
            COALESCING.warn(format!("{us} µs"), format!("ethtool -C {name} rx-usecs 0"))
        }
        Some(us) => COALESCING.pass(format!("{us} µs")),
        None => COALESCING.pass("not a setting of this driver"),
    }
}

fn node(host: &Host, interface: &Interface, needs: &Needs) -> Option<Finding> {
    let node = interface.node?;
    let elsewhere: CpuSet = needs
        .worker_cores
        .iter()
        .filter(|&core| Cores::node(host, core).is_some_and(|of| of != node))
        .collect();
    Some(match elsewhere.is_empty() {
        true => NODE.pass(format!("node {node}, as the workers' cores")),
        false => NODE.warn(
            format!("node {node}; the workers' cores {elsewhere} are on another"),
            format!("pin workers to cores of node {node}: {}", Cores::of_node(host, node)),
        ),
    })
}

fn interrupts(interface: &Interface, needs: Option<&Needs>) -> Option<Finding> {
    if interface.interrupts.is_empty() {
        return Some(INTERRUPTS.pass("none of its own"));
    }
    let pinned = &needs?.cores;
    let on_pinned: Vec<_> = interface
        .interrupts
        .iter()
        .filter(|interrupt| interrupt.cores.iter().any(|core| pinned.contains(core)))
        .collect();
    let Some(first) = on_pinned.first() else {
        return Some(
            INTERRUPTS.pass(format!("{}, none on a pinned core", interface.interrupts.len())),
        );
    };
    let found = format!(
        "{} of {} may come to pinned cores ({} on cores {})",
        on_pinned.len(),
        interface.interrupts.len(),
        first.name,
        first.cores
    );
    Some(
        INTERRUPTS.warn(
            found,
            format!("wirebook tune --interface {} --config FILE --apply", interface.name),
        ),
    )
}

/// Documentation/networking/napi.rst.
fn napi(interface: &Interface) -> Vec<Finding> {
    let name = &interface.name;
    let (defer, flush_ns) =
        (interface.defer_hard_irqs.unwrap_or(0), interface.gro_flush_timeout_ns.unwrap_or(0));
    let deferred = match defer > 0 && flush_ns > 0 {
        true => THREADED.warn(
            format!("interrupts are deferred: napi_defer_hard_irqs {defer}, gro_flush_timeout {flush_ns} ns"),
            format!("echo 0 > /sys/class/net/{name}/napi_defer_hard_irqs, unless sockets busy-poll"),
        ),
        false => THREADED.pass(match interface.threaded {
            Some(1) => "in threads of its own (pin them: the threads napi/…); interrupts are not deferred",
            _ => "in softirq, on the core of the interrupt; interrupts are not deferred",
        }),
    };
    vec![deferred]
}
