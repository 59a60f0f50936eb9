//! The kernel: its release, how it was built, and what the BPF programs run on.

use super::finding::{Check, Finding};
use crate::host::Host;

/// The oldest release that Wirebook runs on: its programs are linked to bpf_links and TAI time.
const OLDEST: (u32, u32) = (6, 1);

const RELEASE: Check = Check {
    id: "kernel.release",
    why: "the steering program needs Linux 6.1; each later release brought zero-copy or time stamps to more drivers",
};
const OPTIONS: Check = Check {
    id: "kernel.options",
    why: "nothing can be received without AF_XDP and BPF; without the rest it is slower",
};
const JIT: Check = Check {
    id: "kernel.bpf-jit",
    why: "an interpreted steering program costs several times the time a packet",
};
const HARDEN: Check = Check {
    id: "kernel.bpf-jit-harden",
    why: "hardening blinds constants for root too at 2, which lengthens the steering program",
};
const MITIGATIONS: Check = Check {
    id: "kernel.mitigations",
    why: "each protection against speculation costs time at every interrupt and system call; which are needed is your decision",
};
const AUTOGROUP: Check = Check {
    id: "kernel.autogroup",
    why: "threads share their core's time by session: busy readers started from the same terminal take the appliance's",
};

/// Options without which nothing works, and options without which something is slow or missing.
/// net/xdp/Kconfig, kernel/bpf/Kconfig, net/Kconfig, fs/Kconfig.
const NEEDED: [&str; 4] = ["CONFIG_BPF", "CONFIG_BPF_SYSCALL", "CONFIG_XDP_SOCKETS", "CONFIG_INET"];
const WANTED: [&str; 5] = [
    "CONFIG_BPF_JIT",
    "CONFIG_HUGETLBFS",
    "CONFIG_NET_RX_BUSY_POLL",
    "CONFIG_NO_HZ_FULL",
    "CONFIG_IP_MULTICAST",
];

/// All findings about the kernel.
pub(super) fn findings(host: &Host) -> Vec<Finding> {
    let mut findings = vec![release(host), options(host)];
    findings.extend(jit(host));
    findings.extend(autogroup(host));
    findings.push(mitigations(host));
    findings
}

fn release(host: &Host) -> Finding {
    match host.kernel() {
        None => RELEASE.unmendable("no release in /proc/sys/kernel/osrelease"),
        Some((release, name)) if release < OLDEST => RELEASE.fail(
            format!("Linux {name}"),
            "apt install linux-image-amd64 (6.1 or later), and reboot",
        ),
        Some((_, name)) => RELEASE.pass(format!("Linux {name}")),
    }
}

fn options(host: &Host) -> Finding {
    let Some(options) = host.kernel_options() else {
        return OPTIONS.unmendable("neither /proc/config.gz nor /boot/config-RELEASE can be read");
    };
    let lacking = |names: &[&'static str]| -> Vec<&'static str> {
        let is_set =
            |name: &&str| matches!(options.get(*name).map(String::as_str), Some("y" | "m"));
        names.iter().copied().filter(|name| !is_set(name)).collect()
    };
    let (needed, wanted) = (lacking(&NEEDED), lacking(&WANTED));
    let mend = "run a kernel that has them: Debian's own does";
    match (needed.is_empty(), wanted.is_empty()) {
        (false, _) => OPTIONS.fail(format!("not set: {}", needed.join(", ")), mend),
        (true, false) => OPTIONS.warn(format!("not set: {}", wanted.join(", ")), mend),
        (true, true) => OPTIONS.pass("AF_XDP, BPF and its compiler, hugepages, tickless cores"),
    }
}

/// Documentation/admin-guide/sysctl/net.rst: `bpf_jit_enable`, `bpf_jit_harden`.
fn jit(host: &Host) -> Vec<Finding> {
    let mut findings = vec![match host.sysctl("net/core/bpf_jit_enable").as_deref() {
        Some("1") => JIT.pass("on"),
        Some("0") => JIT.fail("off", "sysctl -w net.core.bpf_jit_enable=1"),
        Some(other) => JIT
            .warn(format!("{other}: it logs each program"), "sysctl -w net.core.bpf_jit_enable=1"),
        None => {
            JIT.unmendable("net.core.bpf_jit_enable cannot be read (another network namespace?)")
        }
    }];
    match host.sysctl("net/core/bpf_jit_harden").as_deref() {
        Some("2") => {
            findings.push(HARDEN.warn("for all users", "sysctl -w net.core.bpf_jit_harden=1"))
        }
        Some(_) => findings.push(HARDEN.pass("not for privileged users")),
        None => {}
    }
    findings
}

/// sched(7), "The autogroup feature".
fn autogroup(host: &Host) -> Option<Finding> {
    Some(match host.sysctl("kernel/sched_autogroup_enabled")?.as_str() {
        "0" => AUTOGROUP.pass("off"),
        _ => AUTOGROUP.warn("on", "sysctl -w kernel.sched_autogroup_enabled=0, or start readers in sessions of their own (systemd does)"),
    })
}

/// Documentation/ABI/testing/sysfs-devices-system-cpu: `vulnerabilities`.
fn mitigations(host: &Host) -> Finding {
    const FOLDER: &str = "sys/devices/system/cpu/vulnerabilities";
    let active = host.names(FOLDER).into_iter().filter(|name| {
        host.read(format!("{FOLDER}/{name}")).is_some_and(|text| text.starts_with("Mitigation"))
    });
    match active.collect::<Vec<_>>() {
        none if none.is_empty() => MITIGATIONS.pass("none active"),
        active => MITIGATIONS
            .pass(format!("active: {} (mitigations=off turns them off)", active.join(", "))),
    }
}
