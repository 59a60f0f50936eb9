//! The cores: which there are, which are isolated, who shares one, and how they sleep.
//!
//! Files: Documentation/ABI/testing/sysfs-devices-system-cpu and Documentation/admin-guide/cputopology.rst.

use super::Host;
use std::collections::BTreeSet;
use std::fmt;

const CPU: &str = "sys/devices/system/cpu";

/// A set of cores as the kernel writes it: `0-3,8`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CpuSet(pub BTreeSet<usize>);

impl CpuSet {
    /// Reads a list; words that are no numbers (`isolcpus=managed_irq,domain,2-3`) are passed over.
    pub fn parse(list: &str) -> Self {
        /// More cores than any kernel is built for (`NR_CPUS` is at most 8,192).
        const CORES_MAX: usize = 1 << 16;
        let mut cores = BTreeSet::new();
        for part in list.trim().split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            // An end may carry a stride (`0-31:1/2`, admin-guide/kernel-parameters.rst), which
            // nothing here asks about: the whole range is taken.
            let last = last.split(':').next().unwrap_or(last);
            if let (Ok(first), Ok(last)) = (first.parse::<usize>(), last.parse::<usize>()) {
                cores.extend(first..=last.min(CORES_MAX));
            }
        }
        Self(cores)
    }

    /// True where the core is in it.
    pub fn contains(&self, core: usize) -> bool {
        self.0.contains(&core)
    }

    /// True where no core is in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The cores, in order.
    pub fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.0.iter().copied()
    }
}

impl FromIterator<usize> for CpuSet {
    fn from_iter<I: IntoIterator<Item = usize>>(cores: I) -> Self {
        Self(cores.into_iter().collect())
    }
}

impl fmt::Display for CpuSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut ranges: Vec<(usize, usize)> = Vec::new();
        for core in self.iter() {
            match ranges.last_mut() {
                Some((_, last)) if *last + 1 == core => *last = core,
                _ => ranges.push((core, core)),
            }
        }
        for (number, (first, last)) in ranges.iter().enumerate() {
            let comma = if number == 0 { "" } else { "," };
            match first == last {
                true => write!(f, "{comma}{first}")?,
                false => write!(f, "{comma}{first}-{last}")?,
            }
        }
        Ok(())
    }
}

/// A way in which a core sleeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdleState {
    /// `POLL`, `C1`, `C6`, ….
    pub name: String,
    /// Time to wake from it.
    pub latency_us: i64,
    /// Whether it may not be entered.
    pub disabled: bool,
}

/// The cores of a host.
#[derive(Clone, Debug, Default)]
pub struct Cores {
    /// Those that run.
    pub online: CpuSet,
    /// Those that the scheduler leaves alone (`isolcpus=domain`).
    pub isolated: CpuSet,
    /// Those whose tick stops while one thread runs (`nohz_full`).
    pub tickless: CpuSet,
    /// Those whose RCU callbacks run elsewhere (`rcu_nocbs`, which `nohz_full` implies).
    pub without_callbacks: CpuSet,
}

impl Cores {
    /// Reads them.
    pub fn read(host: &Host) -> Self {
        let set = |path: &str| CpuSet::parse(&host.read(path).unwrap_or_default());
        let parameter = |name| CpuSet::parse(&host.boot_parameter(name).unwrap_or_default());
        let tickless = set(&format!("{CPU}/nohz_full"));
        let mut without_callbacks = parameter("rcu_nocbs");
        without_callbacks.0.extend(tickless.iter());
        Self {
            online: set(&format!("{CPU}/online")),
            isolated: set(&format!("{CPU}/isolated")),
            tickless,
            without_callbacks,
        }
    }

    /// The threads of the same physical core, the core itself among them.
    pub fn siblings(host: &Host, core: usize) -> CpuSet {
        let list = host.read(format!("{CPU}/cpu{core}/topology/thread_siblings_list"));
        CpuSet::parse(&list.unwrap_or_default())
    }

    /// The NUMA node of a core; none where the kernel knows of no nodes.
    pub fn node(host: &Host, core: usize) -> Option<usize> {
        let names = host.names(format!("{CPU}/cpu{core}"));
        names.iter().find_map(|name| name.strip_prefix("node")?.parse().ok())
    }

    /// The cores of a NUMA node.
    pub fn of_node(host: &Host, node: usize) -> CpuSet {
        let list = host.read(format!("sys/devices/system/node/node{node}/cpulist"));
        CpuSet::parse(&list.unwrap_or_default())
    }

    /// Where the core's frequency governor is set.
    pub fn governor_path(core: usize) -> String {
        format!("{CPU}/cpu{core}/cpufreq/scaling_governor")
    }

    /// The ways in which a core sleeps.
    pub fn idle_states(host: &Host, core: usize) -> Vec<IdleState> {
        let folder = format!("{CPU}/cpu{core}/cpuidle");
        let state = |name: &String| {
            let file = |file: &str| format!("{folder}/{name}/{file}");
            Some(IdleState {
                name: host.read(file("name"))?,
                latency_us: host.number(file("latency"))?,
                disabled: host.number(file("disable")) == Some(1),
            })
        };
        host.names(&folder).iter().filter_map(state).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_of_cores_read_and_print_as_the_kernel_has_them() {
        for (list, cores) in [
            ("", vec![]),
            ("3", vec![3]),
            ("0-2,5,7-8", vec![0, 1, 2, 5, 7, 8]),
            ("managed_irq,domain,2-3", vec![2, 3]),
            ("(null)", vec![]),
        ] {
            assert_eq!(CpuSet::parse(list).iter().collect::<Vec<_>>(), cores, "{list}");
        }
        assert_eq!(CpuSet::parse("0,1,2,5,7,8").to_string(), "0-2,5,7-8");
        assert!(CpuSet::parse("0-99999999999").iter().count() <= (1 << 16) + 1);
    }
}
