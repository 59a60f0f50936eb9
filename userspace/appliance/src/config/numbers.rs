//! The numbers by which the appliance knows channels and lines, and who uses what.
//!
//! A channel's number is in every event and record, a line's in the metadata of every packet. Both
//! are given when the file is read, in its order.

use super::{ChannelConfig, Config, LineConfig, WorkerConfig};

impl Config {
    /// Numbers channels and lines in their order.
    pub(super) fn number(&mut self) {
        for (number, channel) in (0..=u8::MAX).zip(&mut self.channels) {
            channel.number = number;
        }
        let lines = self.channels.iter_mut().flat_map(|channel| &mut channel.lines);
        for (number, line) in (0..=u16::MAX).zip(lines) {
            line.number = number;
        }
    }

    /// The channels of a worker.
    pub fn channels_of(&self, worker: &str) -> impl Iterator<Item = &ChannelConfig> {
        self.channels.iter().filter(move |channel| channel.worker == worker)
    }

    /// The lines that arrive on an interface.
    pub fn lines_on(&self, interface: &str) -> impl Iterator<Item = &LineConfig> {
        let lines = self.channels.iter().flat_map(|channel| &channel.lines);
        lines.filter(move |line| line.interface == interface)
    }

    /// The lines of a worker that arrive on an interface.
    pub fn lines_of(&self, worker: &str, interface: &str) -> impl Iterator<Item = &LineConfig> {
        let lines = self.channels_of(worker).flat_map(|channel| &channel.lines);
        lines.filter(move |line| line.interface == interface)
    }
}

impl WorkerConfig {
    /// True where it polls a queue of this interface.
    pub fn uses(&self, interface: &str) -> bool {
        self.interfaces.iter().any(|used| used.name == interface)
    }
}
