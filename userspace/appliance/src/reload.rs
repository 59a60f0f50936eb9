//! The configuration read anew while packets come: at SIGHUP.
//!
//! ```text
//!  file ─ read, checked ─▶ compared with what runs ─▶ needs a restart? ── yes ──▶ refused as a whole
//!                                                            │ no
//!            shards: new channels ◀── recovery: new servers ◀┘
//!                 └▶ workers: lines, channels ─▶ steering, groups ─▶ shards: channels that are gone
//! ```
//!
//! Arrives: a signal, and the file. Leaves: channels, lines and servers added, changed and taken away,
//! and another log level. Promises: of what is the same before and after nothing is touched, neither
//! socket nor program, membership, order of messages or book, so it loses no packet; hot threads get
//! what they need whole, allocate nothing for it and give back what they had. A file with a mistake, or
//! with a change that needs a restart, is refused as a whole: what runs is always what one file says,
//! and never half of it; but where a hot thread stands, the rest is left out, the error says so, and the
//! next SIGHUP does it. Books of a channel that is gone are empty and stale, by the reason `removed`.
//! Counts in [`ReloadCounters`].

use crate::answers::WorkerAnswers;
use crate::attend::Attendant;
use crate::config::{ChannelConfig, Config, ConfigError, Numbers};
use crate::counts;
use crate::handover::Giver;
use crate::lines::{ChannelSpec, Lines};
use crate::log;
use crate::recovery::link::WorkerEnd;
use crate::recovery::{self, Change, Channel};
use crate::repair::Demands;
use crate::report::ChannelReport;
use crate::stages::{ShardChange, WorkerChange};
use crate::stream::{Stream, StreamUpdate};
use crate::worker::ChannelChange;
use anyhow::{Context, bail};
use serde::Serialize;
use std::fmt;
use std::sync::Arc;
use wirebook_telemetry::HistogramCollector;

/// Reads the configuration again, as it was read at the start.
#[derive(Clone)]
pub struct Reread(Arc<dyn Fn() -> Result<Config, ConfigError> + Send + Sync>);

impl Reread {
    /// A way to read it again.
    pub fn new(read: impl Fn() -> Result<Config, ConfigError> + Send + Sync + 'static) -> Self {
        Self(Arc::new(read))
    }
}

impl fmt::Debug for Reread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reread")
    }
}

/// What became of reloads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ReloadCounters {
    /// Reloads that were done.
    pub done: u64,
    /// Files that were refused.
    pub refused: u64,
}

/// Reloads the configuration.
pub struct Reloader {
    reread: Option<Reread>,
    numbers: Numbers,
    shards: Vec<Giver<ShardChange>>,
    /// By worker: how its channels' books are wanted anew.
    demands: Vec<Demands>,
    recovery: recovery::Changes,
    counters: ReloadCounters,
    /// What channels had counted that are gone.
    gone: Vec<ChannelReport>,
}

/// What differs between two configurations, by their channels.
struct Difference<'a> {
    added: Vec<&'a ChannelConfig>,
    removed: Vec<&'a ChannelConfig>,
    /// As it will be, and as it is.
    changed: Vec<(&'a ChannelConfig, &'a ChannelConfig)>,
}

impl Reloader {
    /// What a reload works on: the ways to the shards, by worker the way by which books are wanted
    /// anew, and the way to the recovery thread.
    pub fn new(
        config: &Config,
        reread: Option<Reread>,
        shards: Vec<Giver<ShardChange>>,
        demands: Vec<Demands>,
        recovery: recovery::Changes,
    ) -> Self {
        let numbers = Numbers::of(config);
        let counters = ReloadCounters::default();
        Self { reread, numbers, shards, demands, recovery, counters, gone: Vec::new() }
    }

    /// Reloads; what comes of it is logged and counted.
    pub(crate) fn reload(
        &mut self,
        attendant: &mut Attendant,
        answers: &mut [WorkerAnswers],
        histograms: &mut HistogramCollector,
    ) {
        match self.try_to_reload(attendant, answers, histograms) {
            Ok(told) => {
                self.counters.done += 1;
                tracing::info!("configuration reloaded: {told}");
            }
            Err(error) => {
                self.counters.refused += 1;
                tracing::error!("configuration not reloaded, what runs goes on: {error:#}");
            }
        }
    }

    /// What became of reloads.
    pub fn counters(&self) -> ReloadCounters {
        self.counters
    }

    /// What channels had counted that are gone.
    pub fn into_gone(self) -> Vec<ChannelReport> {
        self.gone
    }

    fn try_to_reload(
        &mut self,
        attendant: &mut Attendant,
        answers: &mut [WorkerAnswers],
        histograms: &mut HistogramCollector,
    ) -> anyhow::Result<String> {
        let Some(Reread(read)) = &self.reread else { bail!("it was not read from a file") };
        let mut next = read()?;
        let running = attendant.config.clone();
        let needs = next.needs_restart(&running);
        if !needs.is_empty() {
            bail!("needs a restart: {}", needs.join("; "));
        }
        let mut numbers = self.numbers.clone();
        numbers.give(&mut next, &running).map_err(anyhow::Error::msg)?;
        let difference = Difference::between(&next, &running);
        let told = difference.to_string();
        self.apply(&next, &running, &difference, attendant, answers, histograms)?;
        self.numbers = numbers;
        log::configure(&next.log)?;
        let told = match next.log == running.log {
            true => told,
            false => format!("{told}; log level {}", next.log.level),
        };
        attendant.config = next;
        Ok(told)
    }

    fn apply(
        &mut self,
        next: &Config,
        running: &Config,
        difference: &Difference<'_>,
        attendant: &mut Attendant,
        answers: &mut [WorkerAnswers],
        histograms: &mut HistogramCollector,
    ) -> anyhow::Result<()> {
        if difference.is_empty() {
            return Ok(());
        }
        // Whatever may fail is made first.
        let sockets = attendant.intake_mut().prepare(next, running)?;
        let mut servers = self.open_servers(difference)?;
        let changes = (next.workers.iter().enumerate())
            .filter(|(_, worker)| difference.touches(&worker.name))
            .map(|(number, worker)| {
                let change =
                    channel_change(next, &worker.name, difference, &mut servers, histograms)?;
                Ok((number, change))
            })
            .collect::<anyhow::Result<Vec<_>>>()?;
        self.tell_shards(next, difference)?;
        for (number, change) in changes {
            let (probes, told) = crate::answers::channels_asked(next, &next.workers[number].name);
            let change = Box::new(WorkerChange::Channels(change, probes));
            let Ok(back) = attendant.intake_mut().give(number, change) else {
                bail!("worker {:?} does not take it: its thread stands", next.workers[number].name);
            };
            answers[number].follow(told);
            if let WorkerChange::Channels(ChannelChange { streams, .. }, _) = *back {
                self.gone.extend(streams.iter().map(Stream::report));
            }
        }
        attendant.intake_mut().follow(next, running, sockets);
        self.retire(difference)
    }

    /// The new servers' sockets; the recovery thread has them from now on, and the ends of the workers
    /// are given back by the channels' numbers.
    fn open_servers(&self, difference: &Difference<'_>) -> anyhow::Result<Servers> {
        let mut opened = Vec::new();
        for channel in difference.with_other_servers() {
            let link = match channel.recovery.has_servers() {
                true => Some(Channel::open(&channel.name, &channel.recovery)?),
                false => None,
            };
            opened.push((channel, link));
        }
        let mut servers = Servers::new();
        for (channel, link) in opened {
            self.change_recovery(Change::Remove(channel.name.clone()))?;
            let end = match link {
                Some((end, servers)) => {
                    self.change_recovery(Change::Add(Box::new(servers)))?;
                    Some(end)
                }
                None => None,
            };
            servers.push((channel.number, end));
        }
        Ok(servers)
    }

    fn change_recovery(&self, change: Change) -> anyhow::Result<()> {
        let mut change = Some(change);
        let taken = crate::handover::within_patience(|| {
            change = change.take().and_then(|change| self.recovery.push(change).err());
            change.is_none()
        });
        if taken { Ok(()) } else { bail!("the recovery thread stands") }
    }

    /// Shards know a channel before its first event.
    fn tell_shards(&self, next: &Config, difference: &Difference<'_>) -> anyhow::Result<()> {
        let worker_of = |channel: &ChannelConfig| {
            next.workers.iter().position(|worker| worker.name == channel.worker)
        };
        let set = || {
            let changed = difference.changed.iter().map(|(after, _)| *after);
            let channels = difference.added.iter().copied().chain(changed);
            let known = |channel| {
                let demands = self.demands.get(worker_of(channel)?)?;
                Some((ChannelSpec::of_config(channel), Arc::clone(demands)))
            };
            channels.filter_map(known).collect()
        };
        self.to_shards(|| ShardChange { set: set(), retired: Vec::new() })
    }

    fn retire(&self, difference: &Difference<'_>) -> anyhow::Result<()> {
        for channel in &difference.removed {
            self.change_recovery(Change::Remove(channel.name.clone()))?;
        }
        let retired = || difference.removed.iter().map(|channel| channel.number).collect();
        self.to_shards(|| ShardChange { set: Vec::new(), retired: retired() })
    }

    fn to_shards(&self, change: impl Fn() -> ShardChange) -> anyhow::Result<()> {
        for (number, shard) in self.shards.iter().enumerate() {
            let taken = shard.exchange(Box::new(change()));
            taken.ok().with_context(|| format!("shard {number} does not take it: it stands"))?;
        }
        Ok(())
    }
}

/// The worker's ends of new links, by channel number; none where there are no servers any more.
type Servers = Vec<(u8, Option<WorkerEnd>)>;

/// What a worker is to take in.
fn channel_change(
    next: &Config,
    worker: &str,
    difference: &Difference<'_>,
    servers: &mut Servers,
    histograms: &mut HistogramCollector,
) -> anyhow::Result<ChannelChange> {
    let mut link_of = |number: u8| {
        let at = servers.iter().position(|(of, _)| *of == number)?;
        Some(servers.swap_remove(at).1)
    };
    let lines = Lines::of_config(next, Some(worker));
    let mut streams = Vec::with_capacity(usize::from(u8::MAX) + 1);
    for channel in difference.added.iter().filter(|channel| channel.worker == worker) {
        let spec = ChannelSpec::of_config(channel);
        let link = link_of(spec.number).flatten();
        let histograms = counts::of_channel(next, spec.number, histograms);
        streams.push(Stream::new(&spec, link, histograms, next.limits.instruments)?);
    }
    let changed = difference.changed.iter().filter(|(after, _)| after.worker == worker);
    let updates = changed
        .map(|(after, before)| StreamUpdate {
            number: after.number,
            policy: ChannelSpec::of_config(after).policy,
            replaced_lines: replaced_lines(after, before),
            servers: link_of(after.number),
        })
        .collect();
    Ok(ChannelChange { lines, streams, updates })
}

/// The places of a channel at which another line stands than before.
fn replaced_lines(after: &ChannelConfig, before: &ChannelConfig) -> u8 {
    let both = after.lines.iter().zip(&before.lines).enumerate();
    let replaced = both.filter(|(_, (after, before))| after.name != before.name);
    replaced.fold(0, |places, (place, _)| places | 1 << place)
}

impl<'a> Difference<'a> {
    fn between(next: &'a Config, running: &'a Config) -> Self {
        let is_new = |channel: &&ChannelConfig| running.channel(&channel.name).is_none();
        let is_gone = |channel: &&ChannelConfig| next.channel(&channel.name).is_none();
        let both =
            next.channels.iter().filter_map(|after| Some((after, running.channel(&after.name)?)));
        Self {
            added: next.channels.iter().filter(is_new).collect(),
            removed: running.channels.iter().filter(is_gone).collect(),
            changed: both.filter(|(after, before)| after != before).collect(),
        }
    }

    fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty() && self.changed.is_empty()
    }

    /// True where a channel of this worker differs.
    fn touches(&self, worker: &str) -> bool {
        let after = self.changed.iter().map(|(after, _)| after);
        let mut channels = self.added.iter().chain(&self.removed).chain(after);
        channels.any(|channel| channel.worker == worker)
    }

    /// New channels with servers, and those that stay with others than before.
    fn with_other_servers(&self) -> impl Iterator<Item = &'a ChannelConfig> {
        let added = self.added.iter().filter(|channel| channel.recovery.has_servers());
        let changed = self.changed.iter();
        let changed = changed.filter(|(after, before)| after.recovery != before.recovery);
        added.copied().chain(changed.map(|(after, _)| *after))
    }
}

impl fmt::Display for Difference<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = |channels: &[&ChannelConfig]| {
            let names: Vec<_> = channels.iter().map(|channel| channel.name.as_str()).collect();
            if names.is_empty() { "none".to_owned() } else { names.join(", ") }
        };
        let changed: Vec<_> = self.changed.iter().map(|(after, _)| *after).collect();
        let (added, changed, removed) = (names(&self.added), names(&changed), names(&self.removed));
        write!(f, "channels added: {added}; changed: {changed}; removed: {removed}")
    }
}
