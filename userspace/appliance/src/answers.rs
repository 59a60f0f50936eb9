//! What hot threads have answered, and under which names it is told.
//!
//! Arrives: samples, by probes. Leaves: each counter in [`Counts`], with the worker, channel, line,
//! shard or machine that it is of. A thread that has not answered yet is not told of.

use crate::config::{ChannelConfig, Config, LINES_MAX};
use crate::counts::Counts;
use crate::cycles::CycleCounters;
use crate::notices::{About, ChannelMemory, Notices, news_of_drops};
use crate::notify::ChannelLook;
use crate::samples::{ChannelSample, Latest, ShardSample, WorkerSample};
use crate::source::Drops;
use std::time::Instant;
use wirebook_machine::MachineCounters;
use wirebook_telemetry::{Probe, probe};

/// Both ends of a probe, the reading one with a memory.
pub(crate) fn asked<T: Copy + Send>() -> (Probe<T>, Latest<T>) {
    let (probe, reader) = probe();
    (probe, Latest::new(reader))
}

/// A worker's answers, and what they are called.
pub(crate) struct WorkerAnswers {
    pub(crate) name: String,
    pub(crate) latest: Latest<WorkerSample>,
    pub(crate) channels: Vec<ChannelAnswers>,
    /// The drops that were told.
    pub(crate) drops: Drops,
}

/// A channel's answers, and what it and its lines are called.
pub(crate) struct ChannelAnswers {
    pub(crate) name: String,
    pub(crate) lines: Vec<String>,
    pub(crate) latest: Latest<ChannelSample>,
    pub(crate) memory: ChannelMemory,
    pub(crate) heard: [Heard; LINES_MAX],
}

/// When a line was last heard, to a second: more packets of it than at the last look.
#[derive(Clone, Copy)]
pub(crate) struct Heard {
    packets: u64,
    at: Instant,
}

impl Heard {
    /// Nothing has been heard yet.
    pub(crate) fn new(now: Instant) -> Self {
        Self { packets: 0, at: now }
    }

    /// How long the line has been silent that has brought so many packets so far.
    fn silent_ms(&mut self, packets: u64, now: Instant) -> u64 {
        if packets != self.packets {
            *self = Self { packets, at: now };
        }
        now.duration_since(self.at).as_millis() as u64
    }
}

/// The probes of a worker's channels, in the order of their numbers, and the other ends of them.
pub(crate) fn channels_asked(
    config: &Config,
    worker: &str,
) -> (Vec<Probe<ChannelSample>>, Vec<ChannelAnswers>) {
    let mut channels: Vec<_> = config.channels_of(worker).collect();
    channels.sort_by_key(|channel| channel.number);
    let heard = [Heard::new(Instant::now()); LINES_MAX];
    let asked = |channel: &&ChannelConfig| {
        let (probe, latest) = asked();
        let lines = channel.lines.iter().map(|line| line.name.clone()).collect();
        let (name, memory) = (channel.name.clone(), ChannelMemory::default());
        (probe, ChannelAnswers { name, lines, latest, memory, heard })
    };
    channels.iter().map(asked).unzip()
}

/// A shard's answers, and what its machines are called.
pub(crate) struct ShardAnswers {
    pub(crate) latest: Latest<ShardSample>,
    pub(crate) machines: Vec<(String, Latest<MachineCounters>)>,
}

impl WorkerAnswers {
    /// Asks these channels from now on; those that stay, by their names, stay known.
    pub(crate) fn follow(&mut self, channels: Vec<ChannelAnswers>) {
        let mut before = std::mem::replace(&mut self.channels, channels);
        for channel in &mut self.channels {
            if let Some(at) = before.iter().position(|known| known.name == channel.name) {
                channel.take_over(before.swap_remove(at));
            }
        }
    }

    /// Tells its counts; the kernel's of its sockets, and of those that are closed, come from elsewhere.
    pub(crate) fn tell(&mut self, counts: &mut Counts, notices: &mut Notices, kernel: Drops) {
        let labels = format!("worker=\"{}\"", self.name);
        let Some(WorkerSample { counters, mut drops, backpressure, cycles }) = self.latest.get()
        else {
            return;
        };
        tell_cycles(counts, &format!("worker-{}", self.name), &cycles);
        counts.set_all("worker", &labels, &counters);
        counts.set("worker", "backpressure", &labels, backpressure);
        drops += kernel;
        counts.set_all("drop", &labels, &drops);
        if let Some((level, text)) = news_of_drops(&self.name, &self.drops, &drops) {
            notices.tell(level, About::worker(&self.name), text);
        }
        self.drops = drops;
        self.channels.iter_mut().for_each(|channel| channel.tell(counts, notices));
    }
}

impl ChannelAnswers {
    /// Takes over what was known before a reload: of the channel, and of the lines that stand where
    /// they stood. What was told once is not told again.
    fn take_over(&mut self, before: ChannelAnswers) {
        let Self { name: _, lines, latest, mut memory, heard } = before;
        self.latest.take_over(latest);
        for (place, name) in self.lines.iter().enumerate() {
            match lines.get(place) == Some(name) {
                true => self.heard[place] = heard[place],
                false => memory.forget_line(place),
            }
        }
        self.memory = memory;
    }

    /// What the service manager is told of it.
    pub(crate) fn look(&mut self) -> ChannelLook<'_> {
        let sample = self.latest.get();
        ChannelLook {
            name: &self.name,
            state: sample.map(|sample| sample.state),
            packets: sample.map_or(0, |s| s.lines.iter().map(|line| line.packets).sum()),
        }
    }

    pub(crate) fn tell(&mut self, counts: &mut Counts, notices: &mut Notices) {
        let Some(sample) = self.latest.get() else { return };
        for (level, text) in self.memory.news(&self.name, &self.lines, &sample) {
            notices.tell(level, About::channel(&self.name), text);
        }
        let ChannelSample { state, next_sequence, channel, decoder, lines } = sample;
        let labels = format!("channel=\"{}\"", self.name);
        counts.set("channel", "state", &labels, state as u64);
        counts.set("channel", "next_sequence", &labels, next_sequence);
        counts.set_all("channel", &labels, &channel);
        counts.set_all("channel", &labels, &decoder);
        let now = Instant::now();
        for ((line, counters), heard) in self.lines.iter().zip(lines).zip(&mut self.heard) {
            let labels = format!("{labels},line=\"{line}\"");
            counts.set_all("line", &labels, &counters);
            counts.set("line", "silent_ms", &labels, heard.silent_ms(counters.packets, now));
        }
    }
}

/// How many cycles there were tells the word by which housekeeping sees that a thread moves.
fn tell_cycles(counts: &mut Counts, thread: &str, cycles: &CycleCounters) {
    let labels = format!("thread=\"{thread}\"");
    counts.set("thread", "empty_cycles", &labels, cycles.empty_cycles);
    counts.set("thread", "longest_cycle_ns", &labels, cycles.longest_cycle_ns);
    counts.set("thread", "longest_cycle_ever_ns", &labels, cycles.longest_cycle_ever_ns);
}

impl ShardAnswers {
    pub(crate) fn tell(&mut self, counts: &mut Counts, number: usize) {
        let Some(sample) = self.latest.get() else { return };
        let labels = &format!("shard=\"{number}\"");
        let ShardSample { counters, in_use, repairs, check, refresh, cycles } = sample;
        if cycles.cycles > 0 {
            tell_cycles(counts, &format!("shard-{number}"), &cycles);
        }
        for (name, value) in counters.named() {
            counts.set("shard", name, labels, value);
        }
        let in_use = [
            ("instruments", in_use.instruments),
            ("orders", in_use.orders),
            ("levels", in_use.levels),
        ];
        for (name, used) in in_use {
            counts.set("shard", format!("{name}_in_use"), labels, used as u64);
        }
        counts.set_all("repair", labels, &repairs);
        counts.set_all("check", labels, &check);
        counts.set_all("refresh", labels, &refresh);
        for (name, machine) in &mut self.machines {
            if let Some(counters) = machine.get() {
                counts.set_all("machine", &format!("{labels},machine=\"{name}\""), &counters);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_line_is_silent_since_its_last_packet_or_the_start() {
        let began = Instant::now();
        let at = |seconds| began + Duration::from_secs(seconds);
        let mut heard = Heard::new(began);
        let silent: Vec<_> = [(0, 2), (5, 3), (5, 4), (6, 5), (6, 9)]
            .map(|(packets, seconds)| heard.silent_ms(packets, at(seconds)))
            .into();
        assert_eq!(silent, [2_000, 0, 1_000, 0, 4_000]);
    }
}
