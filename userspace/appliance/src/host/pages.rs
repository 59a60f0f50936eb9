//! On which NUMA node this process's pages lie, and taking memory near a core.
//!
//! Arrives: `numa_maps` of procfs (Documentation/filesystems/proc.rst, "`/proc/<pid>/numa_maps`"): of each
//! mapping, its pages by node and their size. Leaves: bytes by node and size of page, and a line in the log
//! for each thing that was placed. Promises: the kernel's default policy, by which a page lies on the node
//! of the core that first touches it, is all that is used; a kernel without NUMA is one node of which
//! nothing is known.

use super::{Cores, Host};
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;
use std::collections::BTreeMap;
use std::fmt;

/// What this process does besides, while something is placed, is less than this.
const NOISE_BYTES: u64 = 1 << 18;

/// Bytes by (node, KiB a page).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pages(BTreeMap<(usize, u64), u64>);

impl Pages {
    /// Those of this process; none on a kernel without NUMA.
    pub fn of_process(host: &Host) -> Option<Self> {
        host.read("proc/self/numa_maps").map(|text| Self::parse(&text, |_| true))
    }

    /// Those of mappings whose line holds `word`.
    pub fn of_mappings(host: &Host, word: &str) -> Option<Self> {
        host.read("proc/self/numa_maps").map(|text| Self::parse(&text, |line| line.contains(word)))
    }

    fn parse(numa_maps: &str, is_asked_for: impl Fn(&str) -> bool) -> Self {
        let mut pages = BTreeMap::new();
        for line in numa_maps.lines().filter(|line| is_asked_for(line)) {
            let kib = line.split_once("kernelpagesize_kB=").and_then(|(_, kib)| kib.parse().ok());
            let Some(kib) = kib else { continue };
            for word in line.split(' ').filter_map(|word| word.strip_prefix('N')) {
                if let Some((node, count)) = word.split_once('=')
                    && let (Ok(node), Ok(count)) = (node.parse(), count.parse::<u64>())
                {
                    *pages.entry((node, kib)).or_default() += count * kib * 1_024;
                }
            }
        }
        Self(pages)
    }

    /// What there is more than before.
    fn since(&self, before: &Self) -> Self {
        let more = |(of, bytes): (&(usize, u64), &u64)| {
            let more = bytes.saturating_sub(before.0.get(of).copied().unwrap_or_default());
            (more >= NOISE_BYTES).then_some((*of, more))
        };
        Self(self.0.iter().filter_map(more).collect())
    }

    /// True where any lie on another node.
    pub fn are_beside(&self, node: usize) -> bool {
        self.0.keys().any(|(found, _)| *found != node)
    }
}

impl fmt::Display for Pages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("less than 0.25 MiB");
        }
        for (number, ((node, kib), bytes)) in self.0.iter().enumerate() {
            let comma = if number == 0 { "" } else { ", " };
            let mib = *bytes as f64 / f64::from(1 << 20);
            write!(f, "{comma}{mib:.1} MiB in pages of {kib} KiB on node {node}")?;
        }
        Ok(())
    }
}

/// Makes something whose memory belongs to a thread on `core`, on that core, so that the pages that it
/// touches lie on its node; and logs where they do.
pub fn placed<T>(host: &Host, what: &str, core: Option<usize>, make: impl FnOnce() -> T) -> T {
    let before = Pages::of_process(host);
    let made = near(core, make);
    let after = Pages::of_process(host);
    let found = after.zip(before).map(|(after, before)| after.since(&before));
    tell(what, core, core.and_then(|core| Cores::node(host, core)), found.as_ref());
    made
}

/// Logs where pages lie, and where they should.
pub fn tell(what: &str, core: Option<usize>, wanted: Option<usize>, found: Option<&Pages>) {
    let wanted_text = match (wanted, core) {
        (Some(node), Some(core)) => format!("wanted on node {node}, that of core {core}"),
        (Some(node), None) => format!("wanted on node {node}"),
        (None, _) => "wanted on any node".to_owned(),
    };
    match found {
        Some(pages) if wanted.is_some_and(|node| pages.are_beside(node)) => {
            tracing::warn!("memory of {what}: {pages}; {wanted_text}");
        }
        Some(pages) => tracing::info!("memory of {what}: {pages}; {wanted_text}"),
        None => tracing::info!("memory of {what}: the kernel knows of no nodes"),
    }
}

/// Does something on a core, and goes back to those from which this thread came. Where it may not go
/// there, as the core is not there or not ours, it is done here.
fn near<T>(core: Option<usize>, make: impl FnOnce() -> T) -> T {
    let this = Pid::from_raw(0);
    let moved = core.and_then(|core| {
        let (came_from, mut there) = (sched_getaffinity(this).ok()?, CpuSet::new());
        there.set(core).ok()?;
        sched_setaffinity(this, &there).ok()?;
        Some(came_from)
    });
    let made = make();
    if let Some(came_from) = moved
        && let Err(error) = sched_setaffinity(this, &came_from)
    {
        tracing::warn!("this thread stays on core {core:?}: {error}");
    }
    made
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: &str = "\
7f0000000000 default file=/usr/bin/wirebook mapped=40 N0=40 kernelpagesize_kB=4
7f0000200000 default heap anon=100 dirty=100 N0=60 N1=40 kernelpagesize_kB=4
7f0000400000 default file=/memfd:wirebook\\040(deleted) huge
7f0000600000 default stack:77 anon=3 active=0 N0=3 kernelpagesize_kB=";

    fn pages(text: &str) -> Pages {
        Pages::parse(text, |_| true)
    }

    #[test]
    fn pages_are_added_by_node_and_size() {
        let expected = [((0, 4), 100 * 4_096), ((1, 4), 40 * 4_096)];
        assert_eq!(pages(BEFORE), Pages(expected.into()));
        assert_eq!(pages(""), Pages::default());
        assert_eq!(Pages::parse(BEFORE, |line| line.contains("heap")).0[&(0, 4)], 60 * 4_096);
    }

    #[test]
    fn what_has_come_since_is_told_with_its_node() {
        let table = "\n7f1000000000 default anon=24 huge dirty=24 N1=24 kernelpagesize_kB=2048\n\
            7f2000000000 default anon=9 N1=9 kernelpagesize_kB=4";
        let grown = pages(&format!("{BEFORE}{table}")).since(&pages(BEFORE));
        assert_eq!(grown.to_string(), "48.0 MiB in pages of 2048 KiB on node 1");
        assert!(grown.are_beside(0) && !grown.are_beside(1));
        assert_eq!(pages(BEFORE).since(&pages(BEFORE)).to_string(), "less than 0.25 MiB");
    }

    #[test]
    fn a_host_without_nodes_has_none_to_tell() {
        let folder = tempfile::tempdir().unwrap();
        let host = Host::at(folder.path(), super::super::Installed);
        assert_eq!(Pages::of_process(&host), None);
        assert_eq!(placed(&host, "nothing", Some(0), || 7), 7);
    }

    #[test]
    fn a_table_lies_where_it_was_made_and_the_thread_comes_back() {
        let host = Host::system();
        let Some(before) = Pages::of_process(&host) else {
            eprintln!("SKIP: the kernel knows of no nodes");
            return;
        };
        let this = Pid::from_raw(0);
        let allowed = sched_getaffinity(this).unwrap();
        let core = (0..CpuSet::count()).find(|core| allowed.is_set(*core).unwrap()).unwrap();
        let table = near(Some(core), || vec![1_u8; 64 << 20]);
        let found = Pages::of_process(&host).unwrap().since(&before);
        let node = Cores::node(&host, core).unwrap_or(0);
        let on_node: u64 =
            found.0.iter().filter(|((at, _), _)| *at == node).map(|(_, bytes)| bytes).sum();
        assert!(on_node >= 60 << 20, "{found}");
        assert_eq!(sched_getaffinity(this).unwrap(), allowed);
        drop(table);
    }
}
