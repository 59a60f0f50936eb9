//! Whether every line comes to a queue that its worker polls, and nothing stands in its way.

use super::finding::{Check, Finding};
use crate::host::{Host, Interface, NeededLine, Needs};

const LINES: Check = Check {
    id: "steering.queues",
    why: "a packet on a queue that no socket serves goes to the kernel and is lost to the books",
};
const STALE: Check = Check {
    id: "steering.xdp",
    why: "an interface takes one XDP program: ours cannot be attached beside another",
};
const RETURN_PATH: Check = Check {
    id: "steering.rp-filter",
    why: "the kernel drops packets whose sender it would reach by another interface, as multicast senders are",
};
const GROUPS: Check = Check {
    id: "steering.igmp",
    why: "switches deliver a group only while the host says in a version they understand that it wants it",
};
const BUSY_POLL: Check = Check {
    id: "steering.busy-poll",
    why: "a global busy-poll makes every socket of the host spin in the kernel",
};

/// All findings about how packets come to an interface's queues.
pub(super) fn findings(host: &Host, interface: &Interface, needs: Option<&Needs>) -> Vec<Finding> {
    let own = |needs: &'_ Needs| -> Vec<NeededLine> {
        needs.lines.iter().filter(|line| line.interface == interface.name).cloned().collect()
    };
    let lines = needs.map(own).unwrap_or_default();
    let mut findings: Vec<_> = lines.iter().map(|line| queue_of(interface, line)).collect();
    findings.push(stale(host, interface));
    findings.extend(return_path(interface, needs));
    findings.extend(groups(interface, &lines));
    findings.extend(busy_poll(host));
    findings
}

/// ethtool(8), `--config-ntuple`; Documentation/networking/scaling.rst.
fn queue_of(interface: &Interface, line: &NeededLine) -> Finding {
    let of_line = |finding: Finding| Finding {
        found: format!("{}: {}", line.name, finding.found),
        ..finding
    };
    of_line(judge_queue(interface, line))
}

fn judge_queue(interface: &Interface, line: &NeededLine) -> Finding {
    let polled = |queue: &u32| line.queues.contains(queue);
    let (group, port) = (line.key.group, line.key.port);
    let there = interface.ethtool.receive_queues();
    if there.is_some_and(|there| (0..there).all(|queue| polled(&queue))) {
        return LINES.pass("its worker polls every queue");
    }
    let add = format!(
        "ethtool -N {} flow-type udp4 dst-ip {group} dst-port {port} action {}",
        interface.name, line.queue
    );
    let rules = interface.ethtool.rules.as_deref();
    let matching = rules.unwrap_or_default().iter().filter(|rule| rule.matches(group, port));
    let rule = matching.min_by_key(|rule| (rule.narrower, rule.id));
    match rule {
        Some(rule) if rule.queue.as_ref().is_some_and(polled) && !rule.narrower => {
            LINES.pass(format!("rule {} sends it to queue {}", rule.id, rule.queue.unwrap_or(0)))
        }
        Some(rule) if rule.queue.as_ref().is_some_and(polled) => LINES.warn(
            format!(
                "rule {} sends some of it to queue {}; it names more than group and port",
                rule.id,
                rule.queue.unwrap_or(0)
            ),
            add,
        ),
        Some(rule) => LINES.fail(
            match rule.queue {
                Some(queue) => format!(
                    "rule {} sends it to queue {queue}, which its worker does not poll",
                    rule.id
                ),
                None => format!("rule {} drops it, or sends it elsewhere", rule.id),
            },
            format!("ethtool -N {} delete {} && {add}", interface.name, rule.id),
        ),
        None => without_rule(interface, line, &add),
    }
}

fn without_rule(interface: &Interface, line: &NeededLine, add: &str) -> Finding {
    let spread = interface.ethtool.spread.as_deref().unwrap_or_default();
    if !spread.is_empty() && spread.iter().all(|queue| line.queues.contains(queue)) {
        return LINES.pass(format!(
            "the hash spreads over queues {spread:?}, all of which its worker polls"
        ));
    }
    let queues = interface.ethtool.receive_queues();
    let found = format!(
        "no rule for {}:{}, and {} queues of which its worker polls {:?}",
        line.key.group,
        line.key.port,
        queues.map_or("several".into(), |queues| queues.to_string()),
        line.queues
    );
    match (&interface.ethtool.rules, queues) {
        (Ok(_), _) => {
            LINES.fail(found, format!("ethtool -K {} ntuple on && {add}", interface.name))
        }
        (Err(_), None) => {
            LINES.unmendable(format!("{}; nor is the number of queues known", line.key.group))
        }
        (Err(_), Some(_)) => {
            let kind =
                interface.ethtool.channels.as_ref().map_or("combined", |c| c.receiving_kind());
            LINES.fail(
                format!("{found}; the driver takes no rules"),
                format!(
                    "ethtool -L {} {kind} 1, or let its worker poll all queues",
                    interface.name
                ),
            )
        }
    }
}

fn stale(host: &Host, interface: &Interface) -> Finding {
    let Some(xdp) = &interface.xdp else { return STALE.pass("none attached") };
    let found = format!("{} program {} {:?} is attached", xdp.mode, xdp.id, xdp.name);
    match host.appliances().is_empty() {
        false => STALE.warn(format!("{found}; an appliance runs"), "stop it, if it is to be another"),
        true => STALE.fail(
            found,
            format!("ip link set dev {} xdp off; where a process holds it by a link: bpftool link list, and stop that process", interface.name),
        ),
    }
}

/// Documentation/networking/ip-sysctl.rst: `rp_filter`.
fn return_path(interface: &Interface, needs: Option<&Needs>) -> Option<Finding> {
    let filter = interface.reverse_path_filter?;
    let mend = format!(
        "sysctl -w net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.{}.rp_filter=0",
        interface.name
    );
    Some(match filter {
        0 => RETURN_PATH.pass("off"),
        2 => RETURN_PATH.pass("loose"),
        _ if needs.is_some_and(|needs| needs.sockets) => {
            RETURN_PATH.fail("strict, and workers take packets by sockets", mend)
        }
        _ => RETURN_PATH
            .warn("strict: XDP comes before it, recovery's answers by another way do not", mend),
    })
}

/// Documentation/networking/ip-sysctl.rst: `force_igmp_version`; RFC 3376.
fn groups(interface: &Interface, lines: &[NeededLine]) -> Option<Finding> {
    let (version, forced) = interface.igmp?;
    let by_source = lines.iter().any(|line| line.source.is_some());
    let found = match forced {
        0 => format!("version {version}"),
        forced => format!("version {version}, forced to {forced}"),
    };
    Some(match by_source && version < 3 {
        true => GROUPS.fail(
            format!("{found}; a line is joined by its source, which needs version 3"),
            format!("sysctl -w net.ipv4.conf.{}.force_igmp_version=3, and let the switch query in version 3", interface.name),
        ),
        false => GROUPS.pass(found),
    })
}

/// Documentation/admin-guide/sysctl/net.rst: `busy_poll`, `busy_read`.
fn busy_poll(host: &Host) -> Option<Finding> {
    let value = |name: &str| host.sysctl(&format!("net/core/{name}"));
    let (poll, read) = (value("busy_poll")?, value("busy_read")?);
    Some(match (poll.as_str(), read.as_str()) {
        ("0", "0") => BUSY_POLL.pass("off"),
        _ => BUSY_POLL.warn(
            format!("net.core.busy_poll {poll} µs, busy_read {read} µs"),
            "sysctl -w net.core.busy_poll=0 net.core.busy_read=0",
        ),
    })
}
