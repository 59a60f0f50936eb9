//! Packets a second that a receiver takes, and what a packet costs.
//!
//! A *trial* starts a receiver anew, sends the first packets of the market, waits until nothing comes
//! any more, and counts: lost is sent minus counted, to the packet. Under *overload* they are sent as
//! fast as the sender can, and the figure is what the receiver counted, from the first packet's time to
//! its last's. The *limit* of a receiver is the highest rate at which a trial loses nothing: the rate is
//! halved from what it took under overload, or doubled, until trials hold and fail, then the range
//! between is halved, by its logarithm. A rate counts as failed after several trials in a row, because a
//! stall of the host fills the wire's ring of 256 whoever receives. Where a trial loses nothing and the
//! sender itself was late in each of them, the limit is the sender's and says so.
//!
//! **Whose time it is.** The receiving process's processor time, and beside it that of the NAPI thread
//! where there is one, in which the kernel runs the XDP program or its IP stack. Not in either:
//! interrupts, and what the kernel does on the sender's side of the wire, which is the same for all.
//!
//! **What the appliance counts** is a packet whose messages have been given to their books. Where it
//! loses packets, it has nobody to ask for them: its books are stale from then on, go on with what
//! comes, and meet messages about orders that were lost, which are counted beside.

use super::appliance::{Appliance, Handlers, Setting};
use super::child::Child;
use super::count::{By, Counted};
use super::live::LiveSender;
use super::market::Frames;
use super::room::Room;
use super::sender::Sent;
use super::{Cores, NapiPlace, cpu_ns};
use anyhow::ensure;
use serde::Serialize;
use serde_json::{Value, json};
use wirebook::housekeeping::Stop;

/// A receiver that does not hold this rate has no limit.
const RATE_MIN: f64 = 10_000.0;
/// Later than this share of the time, the sender is late.
const LATE_SHARE: f64 = 0.02;
/// And by more than this.
const LATE_NS: f64 = 2e6;

/// Who receives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contestant {
    /// The appliance: decoding, books, publication.
    Wirebook(Handlers),
    /// One who only counts.
    Counter(By),
}

/// All, ours first.
pub const CONTESTANTS: [(&str, Contestant); 5] = [
    ("wirebook, shards", Contestant::Wirebook(Handlers::Shards)),
    ("wirebook, inline", Contestant::Wirebook(Handlers::Inline)),
    ("AF_XDP, counts", Contestant::Counter(By::Xdp)),
    ("UDP recvmmsg(64), counts", Contestant::Counter(By::Udp)),
    ("TPACKET_V3, counts", Contestant::Counter(By::Packet)),
];

/// What is common to all trials.
pub struct Plan<'a> {
    /// Where.
    pub room: &'a Room,
    /// Where NAPI is.
    pub place: NapiPlace,
    /// Who runs where.
    pub cores: Cores,
    /// What is sent.
    pub frames: &'a Frames,
    /// Who sends it.
    pub sender: &'a LiveSender,
    /// How long a trial at a rate sends, where the market lasts.
    pub milliseconds: u64,
    /// How often a rate is tried until it counts as failed.
    pub tries: u32,
    /// How often the range of a limit is halved.
    pub steps: u32,
    /// How the appliance waits; absent, by who shares its cores.
    pub idle: Option<&'a str>,
    /// More lines for the appliance's worker.
    pub worker_options: &'a str,
    /// Whether it is over.
    pub stop: &'a Stop,
}

/// One trial.
#[derive(Clone, Debug, Serialize)]
pub struct Trial {
    /// Which round.
    pub round: u32,
    /// Where NAPI was.
    pub place: NapiPlace,
    /// What it is for.
    pub purpose: Purpose,
    /// Who.
    pub name: &'static str,
    /// Packets a second that were asked for; none, as many as can be.
    pub wanted_rate: Option<f64>,
    /// Packets a second that were sent.
    pub rate: f64,
    /// What was sent.
    pub sent: Sent,
    /// Whether the sender was late.
    pub is_late: bool,
    /// What the receiver came to.
    pub taken: Taken,
    /// Packets that it counted a second, from the first one's time to its last one's.
    pub taken_rate: f64,
    /// Sent minus counted.
    pub lost: u64,
    /// Processor time of the NAPI thread.
    pub napi_ns: u64,
}

/// What a trial is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Purpose {
    /// To find what a receiver takes when there is more.
    Overload,
    /// To find its limit without loss.
    Limit,
    /// To compare all at the same rate.
    FixedRate,
}

/// What a receiver came to.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Taken {
    /// Packets that it counted.
    pub packets: u64,
    /// When the last of them were taken.
    #[serde(skip)]
    pub last_ns: u64,
    /// Its process's processor time.
    pub process_ns: u64,
    /// Of the appliance: messages given to books.
    pub messages: u64,
    /// Of those, messages about an order that was lost.
    pub unknown_orders: u64,
    /// What the appliance says of it.
    #[serde(skip_serializing_if = "Value::is_null")]
    pub summary: Value,
}

/// The highest rate that a receiver took without loss.
#[derive(Clone, Debug, Serialize)]
pub struct Limit {
    /// Which round.
    pub round: u32,
    /// Where NAPI was.
    pub place: NapiPlace,
    /// Who.
    pub name: &'static str,
    /// The trial at that rate; none where each trial lost packets.
    pub best: Option<Trial>,
    /// Whether the sender could not do more.
    pub is_senders: bool,
}

impl Trial {
    /// Nanoseconds of processor time a packet, of process and NAPI thread together.
    pub fn cpu_ns_a_packet(&self) -> f64 {
        (self.taken.process_ns + self.napi_ns) as f64 / self.taken.packets.max(1) as f64
    }
}

impl Plan<'_> {
    /// Finds a receiver's limit, from a rate that may be near it, and adds the trials to `trials`.
    ///
    /// # Errors
    /// Fails where a receiver or the sender does.
    pub fn limit(
        &self,
        round: u32,
        at: usize,
        near: f64,
        trials: &mut Vec<Trial>,
    ) -> anyhow::Result<Limit> {
        let (name, _) = CONTESTANTS[at];
        let mut limit = Limit { round, place: self.place, name, best: None, is_senders: false };
        let (mut rate, mut failed, mut steps) = (near, None, 0);
        loop {
            match self.held(round, at, rate, trials)? {
                Some(trial) => {
                    limit.is_senders = trial.is_late;
                    limit.best = Some(trial);
                }
                None => failed = Some(rate),
            }
            let held = limit.best.as_ref().map(|best| best.rate);
            rate = match (held, failed) {
                _ if limit.is_senders => break,
                (Some(held), None) => held * 2.0,
                (Some(held), Some(failed)) if steps < self.steps => {
                    steps += 1;
                    (held * failed).sqrt()
                }
                (None, Some(failed)) if failed > RATE_MIN => failed / 2.0,
                _ => break,
            };
        }
        Ok(limit)
    }

    /// A trial at this rate that lost nothing, if one of several does; one in which the sender was late
    /// only where it was in each.
    fn held(
        &self,
        round: u32,
        at: usize,
        rate: f64,
        trials: &mut Vec<Trial>,
    ) -> anyhow::Result<Option<Trial>> {
        let mut late: Option<Trial> = None;
        for _ in 0..self.tries {
            let trial = self.trial(round, Purpose::Limit, at, Some(rate))?;
            trials.push(trial.clone());
            if trial.lost == 0 && !trial.is_late {
                return Ok(Some(trial));
            }
            if trial.lost == 0 && late.as_ref().is_none_or(|late| late.rate < trial.rate) {
                late = Some(trial);
            }
        }
        Ok(late)
    }

    /// Sends at this rate, or as fast as can be, to a receiver that was started for it.
    ///
    /// # Errors
    /// Fails where the receiver or the sender does.
    pub fn trial(
        &self,
        round: u32,
        purpose: Purpose,
        at: usize,
        rate: Option<f64>,
    ) -> anyhow::Result<Trial> {
        let (name, contestant) = CONTESTANTS[at];
        let all = self.frames.len();
        let wanted = |rate: f64| (rate * self.milliseconds as f64 / 1e3) as usize;
        let packets = rate.map_or(all, |rate| wanted(rate).clamp(1, all));
        let napi_before_ns = self.room.napi_ns()?;
        let (sent, taken) = match contestant {
            Contestant::Wirebook(handlers) => self.to_wirebook(handlers, packets, rate)?,
            Contestant::Counter(by) => self.to_counter(by, packets, rate)?,
        };
        let planned_ns = rate.map_or(f64::INFINITY, |rate| packets as f64 * 1e9 / rate);
        let late_ns = sent.elapsed_ns as f64 - planned_ns;
        let took_ns = taken.last_ns.saturating_sub(sent.began_ns).max(1);
        Ok(Trial {
            round,
            place: self.place,
            purpose,
            name,
            wanted_rate: rate,
            rate: sent.rate(),
            is_late: late_ns > LATE_NS && late_ns > planned_ns * LATE_SHARE,
            taken_rate: taken.packets as f64 * 1e9 / took_ns as f64,
            lost: sent.packets.saturating_sub(taken.packets),
            napi_ns: self.room.napi_ns()? - napi_before_ns,
            sent,
            taken,
        })
    }

    fn to_counter(
        &self,
        by: By,
        packets: usize,
        rate: Option<f64>,
    ) -> anyhow::Result<(Sent, Taken)> {
        let by = clap::ValueEnum::to_possible_value(&by)
            .map_or_else(String::new, |value| value.get_name().to_owned());
        let core = self.cores.worker.to_string();
        let words = ["count".to_owned(), by, self.room.rx.clone(), core];
        let mut child = Child::start(self.room, &words)?;
        let before_ns = cpu_ns(child.id())?;
        let sent = self.send(packets, rate)?;
        let Counted { packets, last_ns } = child.ask()?;
        let process_ns = cpu_ns(child.id())? - before_ns;
        child.finish()?;
        Ok((sent, Taken { packets, last_ns, process_ns, ..Taken::default() }))
    }

    fn to_wirebook(
        &self,
        handlers: Handlers,
        packets: usize,
        rate: Option<f64>,
    ) -> anyhow::Result<(Sent, Taken)> {
        let setting = Setting {
            source: "xdp",
            handlers,
            idle: self.idle(handlers),
            wakes_readers: false,
            worker_options: self.worker_options,
        };
        let appliance = Appliance::start(self.room, &self.cores, &setting)?;
        let before_ns = cpu_ns(appliance.id())?;
        let sent = self.send(packets, rate)?;
        let drained = appliance.drained()?;
        let summary = appliance.finish()?;
        if summary.packets == sent.packets {
            let (found, expected) = (summary.messages, self.frames.messages(packets));
            ensure!(found == expected, "wirebook applied {found} of {expected} messages");
        }
        let all = &summary.all;
        let kept = [
            "records",
            "digest",
            "gaps",
            "drops",
            "nic_drops",
            "backpressure",
            "latency",
            "threads",
        ];
        let told = kept.into_iter().map(|name| (name.to_owned(), all[name].clone())).collect();
        let taken = Taken {
            packets: summary.packets,
            last_ns: drained.last_ns,
            process_ns: drained.cpu_ns - before_ns,
            messages: summary.messages,
            unknown_orders: summary.unknown_orders,
            summary: Value::Object(told),
        };
        Ok((sent, taken))
    }

    /// Who shares a core sleeps as soon as there is nothing, so that the others get on.
    fn idle(&self, handlers: Handlers) -> &str {
        let is_alone = self.cores.is_alone(self.cores.worker, handlers);
        self.idle.unwrap_or(if is_alone { "poll" } else { "sleep" })
    }

    fn send(&self, packets: usize, rate: Option<f64>) -> anyhow::Result<Sent> {
        self.sender.send(self.room, self.cores.sender, packets, rate, self.stop)
    }
}

/// What is kept of the rounds with NAPI in one place.
pub fn raw(plan: &Plan<'_>, trials: &[Trial], limits: &[Limit]) -> Value {
    let packets = plan.frames.len();
    json!({
        "napi": plan.place, "cores": plan.cores, "milliseconds": plan.milliseconds,
        "tries": plan.tries, "idle": plan.idle, "worker_options": plan.worker_options,
        "packets": packets, "messages": plan.frames.messages(packets), "limits": limits,
        "trials": trials,
    })
}
