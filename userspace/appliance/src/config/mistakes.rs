//! What a configuration must not say: parts that are impossible, or do not fit together.
//!
//! Arrives: a configuration that has been read. Leaves: the first mistake in it, with its place, what
//! was expected and what was found.

use super::{BooksKept, Config, Handlers, LINES_MAX, LimitsConfig, LineConfig, WorkerConfig};
use std::collections::{HashMap, HashSet};

/// The longest name of a worker, a channel or a line: of two of them and a counter's own name there is
/// room in the name of a counter.
const LABEL_BYTES_MAX: usize = 32;

impl Config {
    pub(super) fn mistake(&self) -> Option<String> {
        self.mistake_in_counts()
            .or_else(|| self.mistake_in_names())
            .or_else(|| self.machines.mistake())
            .or_else(|| self.intake.mistake())
            .or_else(|| self.supervision.mistake())
            .or_else(|| self.metrics.mistake())
            .or_else(|| self.log.mistake())
            .or_else(|| self.workers.iter().find_map(WorkerConfig::mistake))
            .or_else(|| self.mistake_in_queues())
            .or_else(|| self.mistake_in_channels())
            .or_else(|| {
                let names = self.channels.iter().map(|channel| channel.name.as_str());
                self.record.as_ref().and_then(|record| record.mistake(names))
            })
    }

    fn mistake_in_counts(&self) -> Option<String> {
        if self.handlers == Handlers::Inline && !self.shards.is_empty() {
            return Some(format!(
                "handlers: \"inline\" has workers keep the books: expected no [[shard]], found {}",
                self.shards.len()
            ));
        }
        if self.workers.is_empty() || self.channels.is_empty() || self.shard_count() == 0 {
            return Some(
                "expected at least one [[worker]], one [[shard]] (but with handlers = \"inline\") \
                 and one [[channel]]"
                    .into(),
            );
        }
        if self.channels.len() > 1 + usize::from(u8::MAX) {
            return Some(format!("expected at most 256 channels, found {}", self.channels.len()));
        }
        if self.name.is_empty() || self.name.contains(['/', '\0']) {
            return Some(format!("name: expected a name without '/', found {:?}", self.name));
        }
        let lines = self.channels.iter().map(|channel| channel.lines.len()).sum::<usize>();
        if lines > 1 + usize::from(u16::MAX) {
            return Some(format!("expected at most 65536 lines, found {lines}"));
        }
        let slots = [
            ("segment.mailbox_slots", self.segment.mailbox_slots),
            ("segment.output_slots", self.segment.output_slots),
            ("segment.refresh_slots", self.segment.refresh_slots),
        ];
        if let Some(mistake) = mistake_in_slots(&slots) {
            return Some(mistake);
        }
        let LimitsConfig { instruments, orders, levels, books } = self.limits;
        for (name, limit) in [("instruments", instruments), ("orders", orders), ("levels", levels)]
        {
            if limit == 0 || limit > 1 << 30 {
                return Some(format!("limits.{name}: expected 1 to 2^30, found {limit}"));
            }
        }
        if books == BooksKept::Levels && !self.check.shadow.is_empty() {
            return Some(
                "check.shadow: expected books of orders, which the model is compared with, found \
                 limits.books = \"levels\""
                    .into(),
            );
        }
        None
    }

    /// Names become labels of counters, whose names have an end.
    fn mistake_in_names(&self) -> Option<String> {
        let workers = self.workers.iter().map(|worker| ("worker", &worker.name));
        let channels = self.channels.iter().map(|channel| ("channel", &channel.name));
        let lines = self.channels.iter().flat_map(|channel| &channel.lines);
        let lines = lines.map(|line| ("line", &line.name));
        let is_bad = |(_, name): &(&str, &String)| {
            let is_plain = |byte: u8| byte == b' ' || byte.is_ascii_graphic();
            name.len() > LABEL_BYTES_MAX
                || !name.bytes().all(|byte| is_plain(byte) && !b"\"\\".contains(&byte))
        };
        let (what, name) = workers.chain(channels).chain(lines).find(is_bad)?;
        Some(format!(
            "{what}: name: expected at most {LABEL_BYTES_MAX} visible ASCII characters and blanks, \
             without quotation mark and backslash, found {name:?}"
        ))
    }

    fn mistake_in_queues(&self) -> Option<String> {
        let mut names = HashSet::new();
        let mut queues = HashSet::new();
        let mut modes = HashMap::new();
        for worker in &self.workers {
            if !names.insert(&worker.name) {
                return Some(format!("two workers are named {:?}", worker.name));
            }
            for interface in &worker.interfaces {
                let mode = *modes.entry(&interface.name).or_insert(worker.xdp_mode);
                if mode != worker.xdp_mode {
                    return Some(format!(
                        "worker {:?}: xdp_mode: expected {mode:?}, as another worker has it for {}, \
                         found {:?}",
                        worker.name, interface.name, worker.xdp_mode
                    ));
                }
                for queue in &interface.queues {
                    if !queues.insert((&interface.name, queue)) {
                        return Some(format!(
                            "queue {queue} of {} is polled twice",
                            interface.name
                        ));
                    }
                }
            }
        }
        None
    }

    fn mistake_in_channels(&self) -> Option<String> {
        let mut destinations = HashSet::new();
        for channel in &self.channels {
            let Some(worker) = self.workers.iter().find(|worker| worker.name == channel.worker)
            else {
                return Some(format!(
                    "channel {:?}: expected the name of a worker, found {:?}",
                    channel.name, channel.worker
                ));
            };
            if channel.lines.is_empty() || channel.lines.len() > LINES_MAX {
                return Some(format!(
                    "channel {:?}: expected 1 to {LINES_MAX} lines, found {}",
                    channel.name,
                    channel.lines.len()
                ));
            }
            if let Some(mistake) = channel.recovery.mistake(channel.protocol) {
                return Some(format!("channel {:?}: {mistake}", channel.name));
            }
            for line in &channel.lines {
                let place = format!("channel {:?}, line {:?}", channel.name, line.name);
                if let Some(mistake) = line.mistake(worker) {
                    return Some(format!("{place}: {mistake}"));
                }
                let destination = (&line.interface, line.key());
                if !destinations.insert(destination) {
                    return Some(format!("{place}: another line has the same destination"));
                }
            }
        }
        None
    }
}

/// The first that is no capacity of a ring.
pub(crate) fn mistake_in_slots(named: &[(&str, usize)]) -> Option<String> {
    let mistaken = |(_, slots): &&(&str, usize)| !slots.is_power_of_two() || *slots < 64;
    let (name, slots) = named.iter().find(mistaken)?;
    Some(format!("{name}: expected a power of two from 64 up, found {slots}"))
}

impl WorkerConfig {
    fn mistake(&self) -> Option<String> {
        let place = format!("worker {:?}", self.name);
        if self.interfaces.is_empty() || self.interfaces.iter().any(|i| i.queues.is_empty()) {
            return Some(format!("{place}: expected at least one interface with one queue"));
        }
        if !self.ring_size.is_power_of_two() || !(64..=1 << 20).contains(&self.ring_size) {
            return Some(format!(
                "{place}: ring_size: expected a power of two from 64 to 2^20, found {}",
                self.ring_size
            ));
        }
        None
    }
}

impl LineConfig {
    fn mistake(&self, worker: &WorkerConfig) -> Option<String> {
        if !worker.interfaces.iter().any(|interface| interface.name == self.interface) {
            return Some(format!(
                "expected an interface of worker {:?}, found {:?}",
                worker.name, self.interface
            ));
        }
        if !self.group.is_multicast() {
            return Some(format!("expected a multicast group, found {}", self.group));
        }
        if self.port == 0 {
            return Some("expected a port from 1 up, found 0".into());
        }
        let tags = self.vlan.as_deref().unwrap_or_default();
        if tags.len() > 2 || tags.iter().any(|id| !(1..=4094).contains(id)) {
            return Some(format!("expected at most two VLAN ids from 1 to 4094, found {tags:?}"));
        }
        None
    }
}
