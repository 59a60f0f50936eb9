//! A host that is a folder, with one device `eth1` that answers as ethtool prints.
#![allow(dead_code, reason = "each test program uses a part of it")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use tempfile::TempDir;
use wirebook::host::{Host, ToolError, Tools};

/// The device.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Device {
    pub(crate) driver: String,
    /// Name to (on, fixed).
    pub(crate) features: BTreeMap<String, (bool, bool)>,
    pub(crate) ring: u32,
    pub(crate) combined: u32,
    pub(crate) adaptive: bool,
    pub(crate) usecs: u32,
    /// Place to (group, port, queue).
    pub(crate) rules: BTreeMap<u32, (String, String, String)>,
    /// What `ip -json -details link` says more.
    pub(crate) link: String,
    /// Calls of ethtool that change something, until it answers no more.
    pub(crate) calls_left: usize,
}

/// A host in a folder. Its device has 8 queues at most, 4 now; 4 cores, of which 0 and 1 are free.
pub(crate) struct ModelHost {
    folder: TempDir,
    pub(crate) device: Arc<Mutex<Device>>,
}

struct Ethtool {
    root: PathBuf,
    device: Arc<Mutex<Device>>,
}

impl ModelHost {
    /// A host that nobody has tuned.
    pub(crate) fn new() -> Self {
        let features = [
            ("rx-checksumming", true, false),
            ("large-receive-offload", true, false),
            ("generic-receive-offload", true, false),
            ("rx-gro-hw", false, true),
            ("rx-vlan-offload", true, false),
            ("rx-vlan-filter", true, false),
            ("ntuple-filters", false, false),
        ];
        let features = features.map(|(name, on, fixed)| (name.to_owned(), (on, fixed)));
        let rule = ("233.252.0.1".to_owned(), "26477".to_owned(), "3".to_owned());
        let device = Device {
            driver: "ixgbe".into(),
            features: features.into(),
            ring: 512,
            combined: 4,
            adaptive: true,
            usecs: 50,
            rules: [(7, rule)].into(),
            link: String::new(),
            calls_left: usize::MAX,
        };
        let host =
            Self { folder: tempfile::tempdir().unwrap(), device: Arc::new(Mutex::new(device)) };
        host.write_files();
        host
    }

    /// The host, as the program sees it.
    pub(crate) fn host(&self) -> Host {
        let root = self.folder.path().to_owned();
        Host::at(root.clone(), Ethtool { root, device: Arc::clone(&self.device) })
    }

    /// Writes a file, with the folders that it is in.
    pub(crate) fn write(&self, path: &str, text: &str) {
        write(self.folder.path(), path, text);
    }

    pub(crate) fn read(&self, path: &str) -> String {
        fs::read_to_string(self.folder.path().join(path)).unwrap()
    }

    pub(crate) fn remove(&self, path: &str) {
        fs::remove_file(self.folder.path().join(path)).unwrap();
    }

    /// Changes the device.
    pub(crate) fn change(&self, change: impl FnOnce(&mut Device)) {
        change(&mut self.device.lock().unwrap());
    }

    /// Everything that can be seen of it: the device, and each file with its text.
    pub(crate) fn picture(&self) -> (Device, BTreeMap<PathBuf, String>) {
        let mut files = BTreeMap::new();
        collect(self.folder.path(), &mut files);
        let mut device = self.device.lock().unwrap().clone();
        device.calls_left = usize::MAX;
        (device, files)
    }

    fn write_files(&self) {
        let files = [
            ("proc/sys/kernel/osrelease", "6.12.9-amd64"),
            ("proc/sys/kernel/random/boot_id", "first"),
            ("proc/sys/kernel/sched_autogroup_enabled", "0"),
            ("proc/sys/net/core/bpf_jit_enable", "1"),
            ("proc/sys/net/core/bpf_jit_harden", "0"),
            ("proc/sys/net/core/busy_poll", "0"),
            ("proc/sys/net/core/busy_read", "0"),
            ("proc/sys/net/ipv4/conf/all/rp_filter", "0"),
            ("proc/sys/net/ipv4/conf/eth1/rp_filter", "0"),
            ("proc/sys/net/ipv4/conf/eth1/force_igmp_version", "0"),
            (
                "proc/net/igmp",
                "Idx\tDevice    : Count Querier\tGroup\n2\teth1      :     1      V3\n",
            ),
            ("proc/cmdline", "ro quiet rcu_nocbs=2-3"),
            ("proc/swaps", "Filename Type Size Used Priority\n"),
            ("proc/self/status", "CapEff:\t000001ffffffffff\n"),
            (
                "proc/self/limits",
                "Max locked memory         8388608              8388608    bytes\n",
            ),
            ("proc/900/comm", "chronyd"),
            ("boot/config-6.12.9-amd64", CONFIG),
            ("sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never"),
            ("sys/devices/system/clocksource/clocksource0/current_clocksource", "tsc"),
            ("sys/devices/system/cpu/online", "0-3"),
            ("sys/devices/system/cpu/isolated", "2-3"),
            ("sys/devices/system/cpu/nohz_full", "2-3"),
            ("sys/devices/system/node/node0/cpulist", "0-3"),
            ("sys/devices/system/node/node0/hugepages/hugepages-2048kB/nr_hugepages", "10"),
            ("sys/devices/system/node/node0/hugepages/hugepages-2048kB/free_hugepages", "4"),
            ("sys/class/net/eth1/ifindex", "2"),
            ("sys/class/net/eth1/mtu", "1500"),
            ("sys/class/net/eth1/operstate", "up"),
            ("sys/class/net/eth1/threaded", "0"),
            ("sys/class/net/eth1/napi_defer_hard_irqs", "1"),
            ("sys/class/net/eth1/gro_flush_timeout", "20000"),
            ("sys/class/net/eth1/device/numa_node", "0"),
        ];
        for (path, text) in files {
            self.write(path, text);
        }
        for core in 0..4 {
            let cpu = |file: &str| format!("sys/devices/system/cpu/cpu{core}/{file}");
            self.write(&cpu("topology/thread_siblings_list"), &core.to_string());
            self.write(&cpu("node0/x"), "");
            self.write(&cpu("cpufreq/scaling_governor"), "schedutil");
            self.write(&cpu("cpuidle/state0/name"), "POLL");
            self.write(&cpu("cpuidle/state0/latency"), "0");
            self.write(&cpu("cpuidle/state0/disable"), "0");
        }
        let device = self.device.lock().unwrap();
        set_interrupts(self.folder.path(), device.combined);
    }
}

const CONFIG: &str = "CONFIG_BPF=y\nCONFIG_BPF_SYSCALL=y\nCONFIG_XDP_SOCKETS=y\nCONFIG_INET=y\n\
    CONFIG_BPF_JIT=y\nCONFIG_HUGETLBFS=y\nCONFIG_NET_RX_BUSY_POLL=y\nCONFIG_NO_HZ_FULL=y\n\
    CONFIG_IP_MULTICAST=y\n";

/// An interrupt for each queue, on any core when it is new.
fn set_interrupts(root: &Path, queues: u32) {
    let mut table = "           CPU0       CPU1\n".to_owned();
    for queue in 0..8 {
        let irq = root.join(format!("proc/irq/{}", 100 + queue));
        let msi = root.join(format!("sys/class/net/eth1/device/msi_irqs/{}", 100 + queue));
        if queue >= queues {
            let _ = fs::remove_dir_all(irq);
            let _ = fs::remove_file(msi);
            continue;
        }
        if !irq.exists() {
            write(root, &format!("proc/irq/{}/smp_affinity_list", 100 + queue), "0-3");
            write(root, &format!("sys/class/net/eth1/device/msi_irqs/{}", 100 + queue), "msix");
        }
        table += &format!(" {}:   1   0  PCI-MSI 524288-edge   eth1-TxRx-{queue}\n", 100 + queue);
    }
    write(root, "proc/interrupts", &table);
}

fn write(root: &Path, path: &str, text: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn collect(folder: &Path, files: &mut BTreeMap<PathBuf, String>) {
    for entry in fs::read_dir(folder).unwrap().flatten() {
        match entry.path() {
            path if path.is_dir() => collect(&path, files),
            path => drop(files.insert(path.clone(), fs::read_to_string(path).unwrap())),
        }
    }
}

impl Tools for Ethtool {
    fn run(&self, program: &str, arguments: &[&str]) -> Result<String, ToolError> {
        let mut device = self.device.lock().unwrap();
        let refused = |said: &str| {
            let command = format!("{program} {}", arguments.join(" "));
            Err(ToolError::Failed { command, said: said.into() })
        };
        if device.calls_left == 0 {
            return refused("it is dead");
        }
        match (program, arguments) {
            ("ethtool", ["-K" | "-G" | "-L" | "-C" | "-N", ..]) => {
                device.calls_left -= 1;
                device.set(arguments, &self.root).map_or_else(refused, Ok)
            }
            ("ethtool", [option, "eth1"]) => device.show(option).map_or_else(refused, Ok),
            ("ip", _) => Ok(format!("[{{\"ifname\":\"eth1\"{}}}]", device.link)),
            ("chronyc", _) => Ok("System time     : 0.000001501 seconds slow of NTP time\n".into()),
            _ => Err(ToolError::Missing(program.into())),
        }
    }
}

impl Device {
    fn show(&self, option: &str) -> Result<String, &'static str> {
        Ok(match option {
            "-i" => format!("driver: {}\nversion: 1\nfirmware-version: 2\n", self.driver),
            "-k" => {
                let feature = |(name, (on, fixed)): (&String, &(bool, bool))| {
                    let fixed = if *fixed { " [fixed]" } else { "" };
                    format!("{name}: {}{fixed}\n", if *on { "on" } else { "off" })
                };
                self.features.iter().map(feature).collect()
            }
            "-g" => format!(
                "Pre-set maximums:\nRX:\t\t8192\nCurrent hardware settings:\nRX:\t\t{}\n",
                self.ring
            ),
            "-l" => format!(
                "Pre-set maximums:\nRX:\t\tn/a\nCombined:\t8\nCurrent hardware settings:\nRX:\t\tn/a\n\
                 Combined:\t{}\n",
                self.combined
            ),
            "-c" => format!(
                "Adaptive RX: {}  TX: n/a\nrx-usecs:\t{}\n",
                if self.adaptive { "on" } else { "off" },
                self.usecs
            ),
            "-n" => {
                let rule = |(place, (group, port, queue)): (&u32, &(String, String, String))| {
                    format!(
                        "Filter: {place}\n\tRule Type: UDP over IPv4\n\
                         \tSrc IP addr: 0.0.0.0 mask: 255.255.255.255\n\
                         \tDest IP addr: {group} mask: 0.0.0.0\n\tSrc port: 0 mask: 0xffff\n\
                         \tDest port: {port} mask: 0x0\n\tAction: Direct to queue {queue}\n\n"
                    )
                };
                self.rules.iter().map(rule).collect()
            }
            _ => return Err("Operation not supported"),
        })
    }

    fn set(&mut self, arguments: &[&str], root: &Path) -> Result<String, &'static str> {
        match arguments {
            ["-K", _, name, state] => {
                let feature = self.features.get_mut(*name).ok_or("bad command line argument")?;
                if feature.1 {
                    return Err("Could not change any device features");
                }
                feature.0 = *state == "on";
                // As a driver may: without stripping there is no filtering.
                if *name == "rx-vlan-offload" {
                    self.features.get_mut("rx-vlan-filter").unwrap().0 = *state == "on";
                }
            }
            ["-G", _, "rx", count] => self.ring = count.parse().unwrap(),
            ["-L", _, "combined", count] => {
                self.combined = count.parse().unwrap();
                set_interrupts(root, self.combined);
            }
            ["-C", _, "adaptive-rx", state] => self.adaptive = *state == "on",
            ["-C", _, "rx-usecs", us] => self.usecs = us.parse().unwrap(),
            ["-N", _, "delete", place] => {
                let place: u32 = place.parse().unwrap();
                self.rules.remove(&place).ok_or("rmgr: Cannot delete RX class rule")?;
            }
            [
                "-N",
                _,
                "flow-type",
                "udp4",
                "dst-ip",
                group,
                "dst-port",
                port,
                "action",
                queue,
                at @ ..,
            ] => {
                let free = || (0..).find(|place| !self.rules.contains_key(place)).unwrap();
                let place = match at {
                    ["loc", place] => place.parse().unwrap(),
                    _ => free(),
                };
                let own = |text: &&str| (*text).to_owned();
                self.rules.insert(place, (own(group), own(port), own(queue)));
            }
            _ => return Err("bad command line argument"),
        }
        Ok(String::new())
    }
}
