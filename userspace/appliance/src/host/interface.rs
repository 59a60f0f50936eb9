//! What is known of one network interface.
//!
//! Files: Documentation/ABI/testing/sysfs-class-net, sysfs-bus-pci (`msi_irqs`) and
//! Documentation/core-api/irq/irq-affinity.rst.

use super::ethtool::Ethtool;
use super::{CpuSet, Host};
use serde_json::Value;

/// A program that is attached to an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttachedXdp {
    /// `native`, `generic`, `offloaded` or `several`.
    pub mode: &'static str,
    /// Its number.
    pub id: u64,
    /// Its name, where the kernel tells it.
    pub name: String,
}

/// An interrupt of an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interrupt {
    /// Its number, which may be another after queues were changed.
    pub number: u32,
    /// Its name, which stays.
    pub name: String,
    /// The cores that may take it.
    pub cores: CpuSet,
    /// The queue it is for, where its name tells.
    pub queue: Option<u32>,
}

/// The facts of an interface.
#[derive(Clone, Debug)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// Largest packet.
    pub mtu: Option<i64>,
    /// `up`, `down`, `unknown`, ….
    pub state: String,
    /// The NUMA node that its device is attached to; none where there is none, or one alone.
    pub node: Option<usize>,
    /// What ethtool says.
    pub ethtool: Ethtool,
    /// Interrupts, in the order of their numbers.
    pub interrupts: Vec<Interrupt>,
    /// The XDP program on it.
    pub xdp: Option<AttachedXdp>,
    /// The other end in the same network namespace, for a veth.
    pub peer: Option<String>,
    /// `napi_defer_hard_irqs`
    pub defer_hard_irqs: Option<i64>,
    /// `gro_flush_timeout`
    pub gro_flush_timeout_ns: Option<i64>,
    /// `threaded`
    pub threaded: Option<i64>,
    /// The stricter of the host's and its own reverse-path filter.
    pub reverse_path_filter: Option<i64>,
    /// The IGMP version that it speaks now, and the one that is forced.
    pub igmp: Option<(u32, i64)>,
}

impl Interface {
    /// Reads all of them; none where there is no such interface in this network namespace.
    pub fn read(host: &Host, name: &str) -> Option<Self> {
        let file = |file: &str| format!("sys/class/net/{name}/{file}");
        host.number(file("ifindex"))?;
        let link = link(host, name);
        let setting = |name: &str, of: &str| {
            host.sysctl(&format!("net/ipv4/conf/{of}/{name}"))?.parse::<i64>().ok()
        };
        let filters = [setting("rp_filter", "all"), setting("rp_filter", name)];
        let forced = setting("force_igmp_version", name).unwrap_or(0);
        Some(Self {
            name: name.to_owned(),
            mtu: host.number(file("mtu")),
            state: host.read(file("operstate")).unwrap_or_else(|| "unknown".into()),
            node: host.number(file("device/numa_node")).and_then(|node| usize::try_from(node).ok()),
            ethtool: Ethtool::read(host, name),
            interrupts: interrupts(host, name),
            xdp: link.as_ref().and_then(attached),
            peer: link.as_ref().and_then(peer),
            defer_hard_irqs: host.number(file("napi_defer_hard_irqs")),
            gro_flush_timeout_ns: host.number(file("gro_flush_timeout")),
            threaded: host.number(file("threaded")),
            reverse_path_filter: filters.into_iter().flatten().max(),
            igmp: igmp_version(host, name).map(|now| (now, forced)),
        })
    }

    /// The name of its driver, empty where nobody tells.
    pub fn driver(&self) -> &str {
        self.ethtool.driver.as_ref().map_or("", |driver| driver.name.as_str())
    }
}

/// The interrupts of an interface: those of its device, or those that carry its name.
pub(crate) fn interrupts(host: &Host, interface: &str) -> Vec<Interrupt> {
    let table = host.read("proc/interrupts").unwrap_or_default();
    let device = |of: &str| host.names(format!("sys/class/net/{interface}/device{of}/msi_irqs"));
    // A virtio device's interrupts are those of the PCI device below it.
    let own: Vec<u32> =
        device("").into_iter().chain(device("/..")).filter_map(|name| name.parse().ok()).collect();
    let mut interrupts = Vec::new();
    for line in table.lines() {
        let Some((number, rest)) = line.trim().split_once(':') else { continue };
        let Ok(number) = number.parse::<u32>() else { continue };
        let name = rest.split_whitespace().last().unwrap_or_default();
        let words = || name.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '.'));
        if own.contains(&number) || words().any(|word| word == interface) {
            let list = host.read(format!("proc/irq/{number}/smp_affinity_list"));
            interrupts.push(Interrupt {
                number,
                name: name.to_owned(),
                cores: CpuSet::parse(&list.unwrap_or_default()),
                queue: queue_of(name),
            });
        }
    }
    interrupts
}

/// The receive queue of an interrupt by its name: `eth0-TxRx-3`, `ens5-Tx-Rx-3`, `eth0-rx-3`,
/// `virtio0-input.3`, `mlx5_comp3@pci:…`, `gve-ntfy-blk3@pci:…`.
fn queue_of(name: &str) -> Option<u32> {
    let lower = name.to_ascii_lowercase();
    let marks = ["txrx-", "tx-rx-", "-rx-", "input.", "mlx5_comp", "rxtx-"];
    let behind = marks.iter().find_map(|mark| Some(lower.split_once(mark)?.1))?;
    let digits = behind.split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse().ok()
}

/// `ip -json -details link show`, of this interface.
fn link(host: &Host, name: &str) -> Option<Value> {
    let text = host.run("ip", &["-json", "-details", "link", "show", "dev", name]).ok()?;
    let links: Vec<Value> = serde_json::from_str(&text).ok()?;
    links.into_iter().find(|link| link["ifname"] == name)
}

/// As iproute2's `print_xdp`-family prints it: `"xdp":{"mode":1,"prog":{"id":7,…}}`.
fn attached(link: &Value) -> Option<AttachedXdp> {
    let xdp = link.get("xdp")?;
    // XDP_ATTACHED_* of include/uapi/linux/if_link.h.
    let mode = match xdp["mode"].as_u64()? {
        0 => return None,
        1 => "native",
        2 => "generic",
        3 => "offloaded",
        _ => "several",
    };
    let program = xdp.get("prog").or_else(|| xdp["attached"].get(0)?.get("prog"))?;
    Some(AttachedXdp {
        mode,
        id: program["id"].as_u64().unwrap_or(0),
        name: program["name"].as_str().unwrap_or_default().to_owned(),
    })
}

/// The other end of a veth, unless it is in another network namespace.
fn peer(link: &Value) -> Option<String> {
    let is_veth = link["linkinfo"]["info_kind"] == "veth";
    let elsewhere = link.get("link_netnsid").is_some();
    Some(link["link"].as_str().filter(|_| is_veth && !elsewhere)?.to_owned())
}

/// The version in `/proc/net/igmp`: `2  eth0  :  1  V3`.
fn igmp_version(host: &Host, name: &str) -> Option<u32> {
    let table = host.read("proc/net/igmp")?;
    let row = table.lines().find(|line| {
        line.split_whitespace().nth(1).is_some_and(|word| word.trim_end_matches(':') == name)
    })?;
    row.split_whitespace().last()?.strip_prefix('V')?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interrupts_name_tells_its_queue() {
        for (name, queue) in [
            ("enp1s0f0-TxRx-3", Some(3)),
            ("i40e-enp1s0f0-TxRx-12", Some(12)),
            ("ens5-Tx-Rx-7", Some(7)),
            ("eth1-rx-0", Some(0)),
            ("virtio0-input.2", Some(2)),
            ("mlx5_comp5@pci:0000:17:00.0", Some(5)),
            ("enp1s0f0", None),
            ("virtio0-config", None),
        ] {
            assert_eq!(queue_of(name), queue, "{name}");
        }
    }

    #[test]
    fn an_attached_program_is_seen_in_each_mode() {
        let link = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        let native = link(r#"{"xdp":{"mode":1,"prog":{"id":41,"name":"steer","tag":"77"}}}"#);
        let attached = attached(&native).unwrap();
        assert_eq!((attached.mode, attached.id, attached.name.as_str()), ("native", 41, "steer"));
        let several = r#"{"xdp":{"mode":4,"attached":[{"mode":1,"prog":{"id":7}}]}}"#;
        assert_eq!(super::attached(&link(several)).unwrap().id, 7);
        assert_eq!(super::attached(&link(r#"{"ifname":"v0"}"#)), None);
    }
}
