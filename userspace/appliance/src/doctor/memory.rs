//! Memory: hugepages, what the kernel does behind our back, and how much may be locked.

use super::finding::{Check, Finding};
use crate::host::{HUGEPAGE_BYTES, Host, Interface, Needs, gigantic_pools, hugepage_pools};

const HUGEPAGES: Check = Check {
    id: "memory.hugepages",
    why: "tables, rings and packet memory on ordinary pages miss the TLB at every other access",
};
const GIGANTIC: Check = Check {
    id: "memory.gigantic-pages",
    why: "the segment falls back to smaller pages where none of 1 GiB are free",
};
const NODE: Check = Check {
    id: "memory.hugepages-node",
    why: "packet memory on another NUMA node than the NIC's crosses the sockets' link at every packet",
};
const TRANSPARENT: Check = Check {
    id: "memory.transparent-hugepages",
    why: "the kernel compacts memory to make huge pages of its own, and stops threads while it does",
};
const SWAP: Check = Check {
    id: "memory.swap",
    why: "a page that was swapped out costs milliseconds when a thread touches it",
};

/// All findings about memory.
pub(super) fn findings(
    host: &Host,
    needs: Option<&Needs>,
    interfaces: &[Interface],
) -> Vec<Finding> {
    let mut findings = vec![hugepages(host, needs)];
    findings.extend(needs.and_then(|needs| gigantic(host, needs)));
    findings.extend(needs.and_then(|needs| on_node(host, needs, interfaces)));
    findings.extend(transparent(host));
    findings.push(swap(host));
    findings
}

/// Documentation/admin-guide/mm/hugetlbpage.rst.
fn hugepages(host: &Host, needs: Option<&Needs>) -> Finding {
    let pools = hugepage_pools(host);
    let (total, free) =
        pools.iter().fold((0, 0), |(total, free), pool| (total + pool.total, free + pool.free));
    let by_node: Vec<_> = pools
        .iter()
        .map(|pool| match pool.node {
            Some(node) => format!("node {node}: {} of {} free", pool.free, pool.total),
            None => format!("{} of {} free", pool.free, pool.total),
        })
        .collect();
    if pools.is_empty() {
        return HUGEPAGES
            .warn("the kernel has no 2 MiB pages", "run a kernel with CONFIG_HUGETLBFS");
    }
    let by_node = by_node.join(", ");
    let Some(needed) = needs.map(|needs| needs.hugepages) else {
        return match total {
            0 => HUGEPAGES
                .warn("none reserved", "wirebook tune --interface IF --config FILE --apply"),
            _ => HUGEPAGES.pass(by_node),
        };
    };
    let needed_mib = (needed * HUGEPAGE_BYTES) >> 20;
    let found = format!("{by_node}; the configuration takes {needed} ({needed_mib} MiB)");
    if free >= needed {
        return HUGEPAGES.pass(found);
    }
    let runs = match host.appliances().is_empty() {
        true => "",
        false => "; an appliance that runs holds some",
    };
    let mend = format!(
        "sysctl -w vm.nr_hugepages={}, or hugepages={0} on the kernel command line",
        total + needed - free
    );
    // Those that a running appliance holds are its own.
    match total >= needed && !runs.is_empty() {
        true => HUGEPAGES.pass(format!("{found}{runs}")),
        false => HUGEPAGES.warn(format!("{found}{runs}"), mend),
    }
}

fn gigantic(host: &Host, needs: &Needs) -> Option<Finding> {
    if needs.gigantic_pages == 0 {
        return None;
    }
    let free: usize = gigantic_pools(host).iter().map(|pool| pool.free).sum();
    let found = format!("{free} free; the segment takes {}", needs.gigantic_pages);
    Some(match free >= needs.gigantic_pages {
        true => GIGANTIC.pass(found),
        false => GIGANTIC.warn(
            found,
            format!(
                "add hugepagesz=1G hugepages={} to the kernel command line and reboot",
                needs.gigantic_pages
            ),
        ),
    })
}

fn on_node(host: &Host, needs: &Needs, interfaces: &[Interface]) -> Option<Finding> {
    let pools = hugepage_pools(host);
    let node = interfaces.iter().find_map(|interface| interface.node)?;
    if pools.len() < 2 {
        return None;
    }
    let pool = pools.iter().find(|pool| pool.node == Some(node))?;
    let found = format!("{} free on node {node}, where the NIC is", pool.free);
    Some(match pool.free >= needs.hugepages {
        true => NODE.pass(found),
        false => NODE.warn(
            found,
            format!("echo {} > /{}", pool.total + needs.hugepages - pool.free, pool.path),
        ),
    })
}

/// Documentation/admin-guide/mm/transhuge.rst.
fn transparent(host: &Host) -> Option<Finding> {
    let enabled = host.read("sys/kernel/mm/transparent_hugepage/enabled")?;
    let chosen = enabled.split('[').nth(1)?.split(']').next()?.to_owned();
    Some(match chosen.as_str() {
        "always" => {
            TRANSPARENT.warn(chosen, "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled")
        }
        _ => TRANSPARENT.pass(chosen),
    })
}

fn swap(host: &Host) -> Finding {
    let swaps = host.read("proc/swaps").unwrap_or_default();
    match (swaps.lines().count(), host.sysctl("vm/swappiness")) {
        (0 | 1, _) => SWAP.pass("none"),
        (_, Some(swappiness)) if swappiness == "0" => {
            SWAP.pass("there is some; vm.swappiness is 0")
        }
        (_, swappiness) => SWAP.warn(
            format!(
                "there is some; vm.swappiness is {}",
                swappiness.as_deref().unwrap_or("unknown")
            ),
            "swapoff --all, or sysctl -w vm.swappiness=0",
        ),
    }
}
