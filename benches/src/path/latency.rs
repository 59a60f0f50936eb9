//! From the wire to a strategy, open loop.
//!
//! The sender has a due time for each packet, whatever becomes of the ones before it. A packet's
//! latency is counted from its due time to the moment at which the strategy has the last record of its
//! last message, so a sender that is late and a receiver that stands are in the figures of every packet
//! that waited (no coordinated omission, and nothing corrected afterwards). [`super::stamp`] says how
//! records and packets are matched. A packet without an order in it has no such moment, and is counted
//! as silent; what was lost has none either, and is told beside the figures.

use super::Cores;
use super::appliance::{Appliance, Handlers, Setting};
use super::child::Child;
use super::market::Frames;
use super::room::Room;
use super::sender::{Sent, Tempo, send};
use super::stamp::{Stamped, Waiting, read_times};
use anyhow::Context;
use clap::ValueEnum;
use hdrhistogram::Histogram;
use serde::Serialize;
use wirebook::housekeeping::Stop;

/// The longest latency that is told apart.
const LATENCY_MAX_NS: u64 = 60_000_000_000;

/// The percentiles that are told.
pub const PERCENTILES: [f64; 4] = [50.0, 90.0, 99.0, 99.9];

/// Who receives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contestant {
    /// The appliance with this source of packets, and a strategy in another process.
    Wirebook(&'static str, Handlers, Pace),
    /// A UDP socket, and the strategy behind it in the same thread.
    Socket(Pace),
}

/// How threads wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// They spin; where cores are shared, they let each other run.
    Spins,
    /// The appliance spins; the strategy sleeps and is woken.
    Wakes,
    /// The appliance spins for a moment and sleeps then; the strategy sleeps and is woken.
    Sleeps,
    /// They sleep in the kernel as soon as they have nothing.
    Blocks,
}

/// All, ours first: the one whose threads fit into two cores.
pub const CONTESTANTS: [(&str, Contestant); 12] = {
    use Handlers::{Inline, Shards};
    use Pace::{Blocks, Sleeps, Spins, Wakes};
    const fn wirebook(source: &'static str, handlers: Handlers, pace: Pace) -> Contestant {
        Contestant::Wirebook(source, handlers, pace)
    }
    [
        ("inline, AF_XDP, spins", wirebook("xdp", Inline, Spins)),
        ("inline, AF_XDP, wakes", wirebook("xdp", Inline, Wakes)),
        ("inline, AF_XDP, sleeps", wirebook("xdp", Inline, Sleeps)),
        ("inline, AF_XDP, blocks", wirebook("xdp", Inline, Blocks)),
        ("inline, UDP, spins", wirebook("socket", Inline, Spins)),
        ("inline, UDP, blocks", wirebook("socket", Inline, Blocks)),
        ("shards, AF_XDP, spins", wirebook("xdp", Shards, Spins)),
        ("shards, AF_XDP, sleeps", wirebook("xdp", Shards, Sleeps)),
        ("shards, UDP, spins", wirebook("socket", Shards, Spins)),
        ("shards, UDP, sleeps", wirebook("socket", Shards, Sleeps)),
        ("UDP socket alone, spins", Contestant::Socket(Spins)),
        ("UDP socket alone, blocks", Contestant::Socket(Blocks)),
    ]
};

/// What is common to all trials of a schedule.
pub struct Plan<'a> {
    /// Where.
    pub room: &'a Room,
    /// Who runs where.
    pub cores: Cores,
    /// The schedule's name.
    pub schedule: &'static str,
    /// When packets are due.
    pub tempo: Tempo,
    /// What is sent.
    pub frames: &'a Frames,
    /// More lines for the appliance's worker.
    pub worker_options: &'a str,
    /// Whether it is over.
    pub stop: &'a Stop,
}

/// One trial.
#[derive(Clone, Debug, Serialize)]
pub struct Measured {
    /// Which round.
    pub round: u32,
    /// Which schedule.
    pub schedule: &'static str,
    /// Who.
    pub name: &'static str,
    /// What was sent.
    pub sent: Sent,
    /// Packets that did not reach the receiver.
    pub lost: u64,
    /// Packets that reached the strategy.
    pub seen: u64,
    /// Packets that the receiver took and of which the strategy saw nothing.
    pub silent: u64,
    /// Slots of the ring that the strategy missed.
    pub missed_slots: u64,
    /// Nanoseconds at each of [`PERCENTILES`].
    pub percentiles_ns: [u64; PERCENTILES.len()],
    /// The longest.
    pub max_ns: u64,
}

impl Plan<'_> {
    /// Sends the market to a receiver that was started for it.
    ///
    /// # Errors
    /// Fails where the receiver or the sender does.
    pub fn trial(&self, round: u32, at: usize) -> anyhow::Result<Measured> {
        let (name, contestant) = CONTESTANTS[at];
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("times");
        let path = file.to_str().context("a temporary path is UTF-8")?;
        let (sent, taken, missed_slots) = match contestant {
            Contestant::Wirebook(source, handlers, pace) => {
                self.to_wirebook(source, handlers, pace, path)?
            }
            Contestant::Socket(pace) => self.to_socket(pace, path)?,
        };
        let times = read_times(&file)?;
        let histogram = self.histogram(&sent, &times)?;
        Ok(Measured {
            round,
            schedule: self.schedule,
            name,
            lost: sent.packets.saturating_sub(taken),
            seen: histogram.len(),
            silent: taken.saturating_sub(histogram.len()),
            missed_slots,
            percentiles_ns: PERCENTILES.map(|at| histogram.value_at_percentile(at)),
            max_ns: histogram.max(),
            sent,
        })
    }

    /// Each packet's latency from its due time.
    fn histogram(&self, sent: &Sent, times: &[Option<u64>]) -> anyhow::Result<Histogram<u64>> {
        let mut histogram = Histogram::new_with_bounds(1, LATENCY_MAX_NS, 3)?;
        for (due_ns, (first, end)) in self.tempo.due_ns(self.frames).zip(self.frames.sequences()) {
            let of_packet = times.get(first as usize..end as usize).unwrap_or_default();
            if let Some(seen_ns) = of_packet.iter().flatten().max() {
                histogram.saturating_record(seen_ns.saturating_sub(sent.began_ns + due_ns).max(1));
            }
        }
        Ok(histogram)
    }

    fn to_wirebook(
        &self,
        source: &str,
        handlers: Handlers,
        pace: Pace,
        file: &str,
    ) -> anyhow::Result<(Sent, u64, u64)> {
        let is_alone = |core| self.cores.is_alone(core, handlers);
        let spins = if is_alone(self.cores.worker) { "spin" } else { "spin-then-yield" };
        let (idle, waiting) = match pace {
            Pace::Spins if is_alone(self.cores.strategy) => (spins, Waiting::Spin),
            Pace::Spins => (spins, Waiting::Yield),
            Pace::Wakes => (spins, Waiting::Block),
            Pace::Sleeps => ("poll", Waiting::Block),
            Pace::Blocks => ("sleep", Waiting::Block),
        };
        let setting = Setting {
            source,
            handlers,
            idle,
            wakes_readers: pace != Pace::Spins,
            worker_options: self.worker_options,
        };
        let appliance = Appliance::start(self.room, &self.cores, &setting)?;
        let socket = appliance.socket();
        let socket = socket.to_str().context("a temporary path is UTF-8")?;
        let words = self.words(&["records", socket], waiting, self.cores.strategy, file);
        let mut strategy = Child::start(self.room, &words)?;
        let sent = self.send()?;
        appliance.drained()?;
        let stamped: Stamped = strategy.ask()?;
        strategy.finish()?;
        Ok((sent, appliance.finish()?.packets, stamped.missed_slots))
    }

    fn to_socket(&self, pace: Pace, file: &str) -> anyhow::Result<(Sent, u64, u64)> {
        let waiting = if pace == Pace::Spins { Waiting::Spin } else { Waiting::Block };
        let words = self.words(&["datagrams"], waiting, self.cores.worker, file);
        let mut child = Child::start(self.room, &words)?;
        let sent = self.send()?;
        let stamped: Stamped = child.ask()?;
        child.finish()?;
        Ok((sent, stamped.taken, 0))
    }

    /// The words of a strategy's role.
    fn words(&self, role: &[&str], waiting: Waiting, core: usize, file: &str) -> Vec<String> {
        let waiting = waiting.to_possible_value();
        let waiting = waiting.map_or_else(String::new, |value| value.get_name().to_owned());
        let messages = self.frames.messages(self.frames.len());
        let role = role.iter().map(|word| (*word).to_owned());
        role.chain([waiting, messages.to_string(), core.to_string(), file.to_owned()]).collect()
    }

    fn send(&self) -> anyhow::Result<Sent> {
        send(self.room, self.cores.sender, self.frames, self.tempo, self.stop)
    }
}
