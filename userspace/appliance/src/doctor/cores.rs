//! The cores that threads are pinned to: who else runs there, and how they sleep.

use super::finding::{Check, Finding};
use crate::host::{Cores, CpuSet, Host, Needs};

const PINNED: Check = Check {
    id: "cores.pinned",
    why: "a thread that is not pinned is moved by the scheduler, and finds cold caches",
};
const EXIST: Check = Check {
    id: "cores.online",
    why: "a thread cannot be pinned to a core that is not there; it runs anywhere",
};
const ISOLATED: Check = Check {
    id: "cores.isolated",
    why: "the scheduler puts other work onto a core that is not isolated, in the middle of a burst",
};
const TICKLESS: Check = Check {
    id: "cores.tickless",
    why: "the timer tick interrupts a spinning thread up to 1,000 times a second",
};
const CALLBACKS: Check = Check {
    id: "cores.rcu",
    why: "RCU callbacks run on the core in softirq unless they are offloaded",
};
const SIBLINGS: Check = Check {
    id: "cores.siblings",
    why: "two threads of one physical core share its units and caches: each runs at about half speed",
};
const GOVERNOR: Check = Check {
    id: "cores.governor",
    why: "a core that lowers its frequency needs many microseconds to raise it again",
};
const IDLE: Check = Check {
    id: "cores.idle-states",
    why: "a core that has slept deeply needs its wake-up latency before it takes an interrupt",
};
const BALANCER: Check =
    Check { id: "cores.irqbalance", why: "irqbalance moves interrupts back onto the pinned cores" };

/// Deepest sleep that is no finding.
const WAKE_UP_MAX_US: i64 = 10;

/// All findings about cores.
pub(super) fn findings(host: &Host, needs: Option<&Needs>) -> Vec<Finding> {
    let cores = Cores::read(host);
    let mut findings = Vec::new();
    if let Some(needs) = needs {
        findings.extend(pinning(&cores, needs));
        findings.extend(isolation(&cores, needs));
        findings.extend(siblings(host, &needs.cores));
    }
    let asked = needs.map_or(&cores.online, |needs| &needs.cores);
    findings.extend(governors(host, asked));
    findings.extend(idle_states(host, asked, needs));
    findings.push(balancer(host));
    findings
}

fn pinning(cores: &Cores, needs: &Needs) -> Vec<Finding> {
    let mut findings = vec![match needs.unpinned.as_slice() {
        [] => PINNED.pass(format!("every thread is pinned: cores {}", needs.cores)),
        unpinned => PINNED.warn(
            format!("not pinned: {}", unpinned.join(", ")),
            "set `core = N` for each [[worker]] and [[shard]] in the configuration",
        ),
    }];
    let absent: CpuSet = needs.cores.iter().filter(|&core| !cores.online.contains(core)).collect();
    if !absent.is_empty() {
        let found = format!("no core {absent}; there are {}", cores.online);
        findings.push(EXIST.fail(found, "name cores that are there in the configuration"));
    } else if !needs.cores.is_empty() {
        findings.push(EXIST.pass(format!("cores {} are there", needs.cores)));
    }
    findings
}

/// Documentation/admin-guide/kernel-parameters.txt: `isolcpus`, `nohz_full`, `rcu_nocbs`.
fn isolation(cores: &Cores, needs: &Needs) -> Vec<Finding> {
    if needs.cores.is_empty() {
        return Vec::new();
    }
    let all = &needs.cores;
    let boot = |what: &str| {
        format!(
            "add {what}={all} to the kernel command line (GRUB_CMDLINE_LINUX in /etc/default/grub, update-grub, reboot)"
        )
    };
    let without =
        |set: &CpuSet| -> CpuSet { all.iter().filter(|&core| !set.contains(core)).collect() };
    let judge = |check: Check, set: &CpuSet, name: &str, of: CpuSet| match of.is_empty() {
        true => check.pass(format!("{name} covers cores {all}")),
        false => {
            check.warn(format!("{name} leaves out cores {of} (it is {})", shown(set)), boot(name))
        }
    };
    let isolated = judge(ISOLATED, &cores.isolated, "isolcpus", without(&cores.isolated));
    let mut findings = vec![isolated];
    if !needs.spinning.is_empty() {
        findings.push(judge(TICKLESS, &cores.tickless, "nohz_full", without(&cores.tickless)));
        let callbacks = &cores.without_callbacks;
        findings.push(judge(CALLBACKS, callbacks, "rcu_nocbs", without(callbacks)));
    }
    findings
}

fn shown(set: &CpuSet) -> String {
    if set.is_empty() { "empty".into() } else { set.to_string() }
}

fn siblings(host: &Host, pinned: &CpuSet) -> Option<Finding> {
    let shares = |core: &usize| {
        Cores::siblings(host, *core).iter().any(|other| other != *core && pinned.contains(other))
    };
    let sharing: CpuSet = pinned.iter().filter(shares).collect();
    if pinned.is_empty() {
        return None;
    }
    let busy_siblings: CpuSet = pinned
        .iter()
        .flat_map(|core| Cores::siblings(host, core).0)
        .filter(|other| !pinned.contains(*other))
        .collect();
    Some(match (sharing.is_empty(), busy_siblings.is_empty()) {
        (false, _) => SIBLINGS.warn(
            format!("cores {sharing} are threads of the same physical cores"),
            "pin each thread to a physical core of its own: lscpu --extended",
        ),
        (true, false) => SIBLINGS.warn(
            format!("cores {busy_siblings} share physical cores with pinned threads"),
            format!("keep other work off them, or: for c in {}; do echo 0 > /sys/devices/system/cpu/cpu$c/online; done", list(&busy_siblings)),
        ),
        (true, true) => SIBLINGS.pass(format!("cores {pinned} share no physical core")),
    })
}

/// Documentation/admin-guide/pm/cpufreq.rst.
fn governors(host: &Host, cores: &CpuSet) -> Vec<Finding> {
    let governor = |core| host.read(Cores::governor_path(core)).map(|governor| (core, governor));
    let known: Vec<_> = cores.iter().filter_map(governor).collect();
    if known.is_empty() {
        return vec![GOVERNOR.pass(
            "the kernel does not set frequencies here (a virtual machine, or the firmware does)",
        )];
    }
    let slow: CpuSet = known
        .iter()
        .filter(|(_, governor)| governor != "performance")
        .map(|(core, _)| *core)
        .collect();
    match slow.is_empty() {
        true => vec![GOVERNOR.pass(format!("performance on cores {cores}"))],
        false => {
            let now = known
                .iter()
                .find(|(core, _)| slow.contains(*core))
                .map_or("", |(_, governor)| governor);
            let mend = format!(
                "for c in {}; do echo performance > /sys/devices/system/cpu/cpu$c/cpufreq/scaling_governor; done",
                list(&slow)
            );
            vec![GOVERNOR.warn(format!("{now} on cores {slow}"), mend)]
        }
    }
}

/// Documentation/admin-guide/pm/cpuidle.rst.
fn idle_states(host: &Host, cores: &CpuSet, needs: Option<&Needs>) -> Option<Finding> {
    let sleeps = |core: &usize| {
        let mut states = Cores::idle_states(host, *core).into_iter();
        states.any(|state| !state.disabled && state.latency_us > WAKE_UP_MAX_US)
    };
    let deep: CpuSet = cores.iter().filter(sleeps).collect();
    if deep.is_empty() {
        return Some(IDLE.pass(format!("no core here sleeps deeper than {WAKE_UP_MAX_US} µs")));
    }
    if needs.is_some_and(|needs| deep.iter().all(|core| needs.spinning.contains(core))) {
        return Some(IDLE.pass(format!("cores {deep} could sleep deeply, but their threads spin")));
    }
    let worst =
        deep.iter().flat_map(|core| Cores::idle_states(host, core)).filter(|state| !state.disabled);
    let worst = worst.max_by_key(|state| state.latency_us)?;
    Some(IDLE.warn(
        format!("cores {deep} sleep as deep as {} ({} µs to wake)", worst.name, worst.latency_us),
        format!("cpupower --cpu {deep} idle-set --disable-by-latency {WAKE_UP_MAX_US}, or processor.max_cstate=1 on the kernel command line"),
    ))
}

fn balancer(host: &Host) -> Finding {
    match host.processes("irqbalance").is_empty() {
        true => BALANCER.pass("not running"),
        false => BALANCER.warn(
            "running",
            "systemctl disable --now irqbalance, or ban the pinned cores: IRQBALANCE_BANNED_CPULIST in /etc/default/irqbalance",
        ),
    }
}

/// `2 3 5`, for a shell.
fn list(cores: &CpuSet) -> String {
    cores.iter().map(|core| core.to_string()).collect::<Vec<_>>().join(" ")
}
