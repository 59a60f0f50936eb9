//! What a configuration asks of a host.
//!
//! Arrives: a configuration. Leaves: cores, queues, lines and hugepages as plain values.

use super::{CpuSet, HUGEPAGE_BYTES};
use crate::config::{Config, HugePagesConfig, Idle, Source};
use crate::topology;
use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use wirebook_machine::Limits;
use wirebook_shm::PageKind;
use wirebook_xdp::{LineKey, SocketConfig};

/// A line, and the queues that its worker polls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NeededLine {
    /// `channel/line`, for people.
    pub name: String,
    /// The interface that it arrives on.
    pub interface: String,
    /// Its destination.
    pub key: LineKey,
    /// The sender, where it is joined by source.
    pub source: Option<Ipv4Addr>,
    /// The queues of the interface that its worker polls, in order.
    pub queues: Vec<u32>,
    /// The one of them that all lines of its channel on this interface should take.
    pub queue: u32,
}

/// What a configuration asks of a host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// Cores that threads are pinned to.
    pub cores: CpuSet,
    /// Of these, the workers'.
    pub worker_cores: CpuSet,
    /// Those whose thread never gives them away.
    pub spinning: CpuSet,
    /// Threads that are pinned to no core.
    pub unpinned: Vec<String>,
    /// Interfaces, each once, with the queues that AF_XDP sockets are opened on.
    pub interfaces: Vec<(String, BTreeSet<u32>)>,
    /// Lines that workers take by AF_XDP.
    pub lines: Vec<NeededLine>,
    /// Whether anything is taken by ordinary sockets.
    pub sockets: bool,
    /// 2 MiB pages of UMEM, tables and segment.
    pub hugepages: usize,
    /// 1 GiB pages of the segment.
    pub gigantic_pages: usize,
}

impl Needs {
    /// What `config` asks for.
    pub fn of(config: &Config) -> Self {
        let mut needs = Self::default();
        for (number, shard) in config.shards.iter().enumerate() {
            needs.add_thread(format!("shard {number}"), shard.core, shard.idle);
        }
        for worker in &config.workers {
            needs.add_thread(format!("worker {}", worker.name), worker.core, worker.idle);
            needs.worker_cores.0.extend(worker.core);
            needs.sockets |= worker.source == Source::Socket;
            for polled in &worker.interfaces {
                let place = match needs.interfaces.iter().position(|(name, _)| *name == polled.name)
                {
                    Some(place) => place,
                    None => {
                        needs.interfaces.push((polled.name.clone(), BTreeSet::new()));
                        needs.interfaces.len() - 1
                    }
                };
                if worker.source == Source::Xdp {
                    needs.interfaces[place].1.extend(&polled.queues);
                    needs.hugepages += polled.queues.len() * umem_pages(worker.ring_size);
                }
            }
        }
        needs.lines = lines(config);
        needs.add_memory(config);
        needs
    }

    /// The queues that sockets are opened on; none where the interface is not the configuration's.
    pub fn queues_of(&self, interface: &str) -> Option<&BTreeSet<u32>> {
        self.interfaces.iter().find(|(name, _)| name == interface).map(|(_, queues)| queues)
    }

    fn add_thread(&mut self, name: String, core: Option<usize>, idle: Idle) {
        match core {
            None => self.unpinned.push(name),
            Some(core) => {
                self.cores.0.insert(core);
                if matches!(idle, Idle::Spin | Idle::SpinThenYield) {
                    self.spinning.0.insert(core);
                }
            }
        }
    }

    fn add_memory(&mut self, config: &Config) {
        let limits = Limits::from(config.limits);
        let tables = limits.table_bytes().unwrap_or_default();
        let tables: usize = tables.iter().map(|bytes| pages(*bytes)).sum();
        // The recorder keeps the books a second time.
        let kept_twice = config.record.as_ref().is_some_and(|record| record.snapshot_s > 0);
        self.hugepages += tables * config.shard_count() * if kept_twice { 2 } else { 1 };
        let segment = |kind| topology::layout(config).size_bytes(kind).unwrap_or(0);
        match config.segment.hugepages {
            HugePagesConfig::Size2MiB => self.hugepages += pages(segment(PageKind::Huge2M)),
            HugePagesConfig::Size1GiB => self.gigantic_pages = segment(PageKind::Huge1G) >> 30,
            HugePagesConfig::None => {}
        }
    }
}

fn lines(config: &Config) -> Vec<NeededLine> {
    let mut lines = Vec::new();
    for (number, channel) in config.channels.iter().enumerate() {
        let worker = config.workers.iter().find(|worker| worker.name == channel.worker);
        let Some(worker) = worker.filter(|worker| worker.source == Source::Xdp) else { continue };
        for line in &channel.lines {
            let polled = worker.interfaces.iter().find(|polled| polled.name == line.interface);
            let Some(queues) = polled.map(|polled| polled.queues.clone()) else { continue };
            lines.push(NeededLine {
                name: format!("{}/{}", channel.name, line.name),
                interface: line.interface.clone(),
                key: line.key(),
                source: line.source,
                queue: queues[number % queues.len()],
                queues,
            });
        }
    }
    lines
}

/// Hugepages of a socket's UMEM: frames for two rings.
fn umem_pages(ring_size: u32) -> usize {
    let frame_bytes = SocketConfig::new("", 0).frame_bytes;
    pages(2 * ring_size as usize * frame_bytes as usize)
}

fn pages(bytes: usize) -> usize {
    bytes.div_ceil(HUGEPAGE_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO_WORKERS: &str = r#"
        [segment]
        hugepages = "1GiB"
        [limits]
        instruments = 1
        orders = 1
        levels = 1
        [[worker]]
        name = "a"
        core = 2
        idle = "spin"
        ring_size = 1024
        interface = [{ name = "n0", queues = [0, 2] }, { name = "n1" }]
        [[worker]]
        name = "b"
        idle = "poll"
        source = "socket"
        interface = [{ name = "n1" , queues = [7] }]
        [[shard]]
        core = 3
        idle = "poll"
        [[channel]]
        name = "c0"
        protocol = "iex-tops"
        worker = "a"
        line = [{ name = "A", interface = "n0", group = "233.252.0.1", port = 1 },
                { name = "B", interface = "n1", group = "233.252.0.2", port = 1 }]
        [[channel]]
        name = "c1"
        protocol = "iex-tops"
        worker = "a"
        line = [{ name = "A", interface = "n0", group = "233.252.0.3", port = 1 },
                { name = "B", interface = "n0", group = "233.252.0.4", port = 1 }]
        [[channel]]
        name = "c2"
        protocol = "iex-tops"
        worker = "b"
        line = [{ name = "A", interface = "n1", group = "233.252.0.5", port = 1 }]
    "#;

    #[test]
    fn a_configuration_says_what_it_needs() {
        let config: Config = toml::from_str(TWO_WORKERS).unwrap();
        let needs = Needs::of(&config);
        assert_eq!(needs.cores.to_string(), "2-3");
        assert_eq!(needs.spinning.to_string(), "2");
        assert_eq!(needs.unpinned, ["worker b"]);
        assert_eq!(needs.queues_of("n0"), Some(&BTreeSet::from([0, 2])));
        assert_eq!(needs.queues_of("n1"), Some(&BTreeSet::from([0])), "not the socket's");
        assert!(needs.sockets);
        let queues: Vec<_> =
            needs.lines.iter().map(|line| (line.name.as_str(), line.queue)).collect();
        assert_eq!(queues, [("c0/A", 0), ("c0/B", 0), ("c1/A", 2), ("c1/B", 2)]);
        // Three sockets with 2 × 1,024 frames of 2,048 bytes, and seven tables of less than a page.
        assert_eq!(needs.hugepages, 3 * 2 + 7);
        assert_eq!(needs.gigantic_pages, 1);
    }
}
