//! What this process may do, and how much memory it may lock.
//!
//! The doctor sees its own rights: run it as the user, or in the unit, that runs the appliance.

use super::finding::{Check, Finding};
use crate::host::Host;

const CAPABILITIES: Check = Check {
    id: "rights.capabilities",
    why: "without them the kernel loads no steering program, opens no AF_XDP socket, or locks no memory",
};
const MEMLOCK: Check = Check {
    id: "rights.memlock",
    why: "packet memory is locked: beyond the limit a socket fails with ENOBUFS, unless CAP_IPC_LOCK is there",
};

/// Names and bits of include/uapi/linux/capability.h.
const NEEDED: [(&str, u32); 5] = [
    ("CAP_NET_ADMIN", 12),
    ("CAP_NET_RAW", 13),
    ("CAP_IPC_LOCK", 14),
    ("CAP_PERFMON", 38),
    ("CAP_BPF", 39),
];

/// All findings about rights.
pub(super) fn findings(host: &Host) -> Vec<Finding> {
    let Some(effective) = effective(host) else {
        return vec![CAPABILITIES.unmendable("no CapEff in /proc/self/status")];
    };
    let lacking: Vec<_> =
        NEEDED.iter().filter(|(_, bit)| effective >> bit & 1 == 0).map(|(name, _)| *name).collect();
    let capabilities = match lacking.is_empty() {
        true => CAPABILITIES.pass("all five: NET_ADMIN, NET_RAW, IPC_LOCK, PERFMON, BPF"),
        false => CAPABILITIES.fail(
            format!("this process has no {}", lacking.join(", ")),
            "run it as root, or: setcap cap_net_admin,cap_net_raw,cap_ipc_lock,cap_perfmon,cap_bpf+ep $(command -v wirebook)",
        ),
    };
    vec![capabilities, memlock(host, lacking.contains(&"CAP_IPC_LOCK"))]
}

fn effective(host: &Host) -> Option<u64> {
    let status = host.read("proc/self/status")?;
    let digits = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    u64::from_str_radix(digits.trim(), 16).ok()
}

fn memlock(host: &Host, limit_counts: bool) -> Finding {
    let limits = host.read("proc/self/limits").unwrap_or_default();
    let row = limits.lines().find_map(|line| line.strip_prefix("Max locked memory"));
    let limit = row.and_then(|row| row.split_whitespace().next()).unwrap_or("unknown");
    match limit {
        "unlimited" => MEMLOCK.pass("no limit"),
        _ if !limit_counts => MEMLOCK.pass(format!("{limit} bytes, which CAP_IPC_LOCK lifts")),
        _ => MEMLOCK.fail(
            format!("{limit} bytes"),
            "LimitMEMLOCK=infinity in the unit, or `ulimit -l unlimited`",
        ),
    }
}
