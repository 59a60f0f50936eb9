//! What hot threads have answered, and under which names it is told.
//!
//! Arrives: samples, by probes. Leaves: each counter in [`Counts`], with the worker, channel, line,
//! shard or machine that it is of. A thread that has not answered yet is not told of.

use crate::counts::Counts;
use crate::notify::ChannelLook;
use crate::samples::{ChannelSample, Latest, ShardSample, WorkerSample};
use wirebook_machine::MachineCounters;
use wirebook_telemetry::{Probe, probe};
use wirebook_xdp::StatisticsReader;

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
    /// The kernel's counts of its sockets.
    pub(crate) kernel: Option<StatisticsReader>,
}

/// A channel's answers, and what it and its lines are called.
pub(crate) struct ChannelAnswers {
    pub(crate) name: String,
    pub(crate) lines: Vec<String>,
    pub(crate) latest: Latest<ChannelSample>,
}

/// A shard's answers, and what its machines are called.
pub(crate) struct ShardAnswers {
    pub(crate) latest: Latest<ShardSample>,
    pub(crate) machines: Vec<(String, Latest<MachineCounters>)>,
}

impl WorkerAnswers {
    pub(crate) fn tell(&mut self, counts: &mut Counts) {
        let labels = format!("worker=\"{}\"", self.name);
        let Some(WorkerSample { counters, mut drops, backpressure }) = self.latest.get() else {
            return;
        };
        counts.set_all("worker", &labels, &counters);
        counts.set("worker", "backpressure", &labels, backpressure);
        if let Some(Ok(sockets)) = self.kernel.as_ref().map(StatisticsReader::read) {
            sockets.iter().for_each(|kernel| drops.add_kernel(kernel));
        }
        counts.set_all("drop", &labels, &drops);
        self.channels.iter_mut().for_each(|channel| channel.tell(counts));
    }
}

impl ChannelAnswers {
    /// What the service manager is told of it.
    pub(crate) fn look(&mut self) -> ChannelLook<'_> {
        let sample = self.latest.get();
        ChannelLook {
            name: &self.name,
            state: sample.map(|sample| sample.state),
            packets: sample.map_or(0, |s| s.lines.iter().map(|line| line.packets).sum()),
        }
    }

    pub(crate) fn tell(&mut self, counts: &mut Counts) {
        let Some(ChannelSample { state, channel, decoder, lines }) = self.latest.get() else {
            return;
        };
        let labels = format!("channel=\"{}\"", self.name);
        counts.set("channel", "state", &labels, state as u64);
        counts.set_all("channel", &labels, &channel);
        counts.set_all("channel", &labels, &decoder);
        for (line, counters) in self.lines.iter().zip(lines) {
            counts.set_all("line", &format!("{labels},line=\"{line}\""), &counters);
        }
    }
}

impl ShardAnswers {
    pub(crate) fn tell(&mut self, counts: &mut Counts, labels: &str) {
        let Some(sample) = self.latest.get() else { return };
        let ShardSample { counters, in_use, repairs, check, refresh } = sample;
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
