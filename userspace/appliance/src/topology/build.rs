//! Builds the hot threads: workers, shards, and what lies between them.
//!
//! ```text
//!  handlers = "shards"   worker ─ ring ─▶ shard ─▶ output ring, board   (each a thread)
//!  handlers = "inline"   worker ────────▶ shard ─▶ output ring, board   (one thread)
//! ```
//!
//! Arrives: a configuration, and a segment laid out for it. Leaves: the stages, not started yet, and
//! the ways by which housekeeping gets to them. All memory of the hot path is taken here.

use crate::config::{Config, Handlers, Idle, Source as SourceKind, WorkerConfig};
use crate::counts;
use crate::cycles::Cycles;
use crate::handover::{Giver, handover};
use crate::host::{self, Host};
use crate::housekeeping::Housekeeping;
use crate::incidents::incidents;
use crate::lines::{ChannelSpec, Lines};
use crate::machines::MachineKinds;
use crate::progress::Progress;
use crate::recorder::rings;
use crate::recovery::Recovery;
use crate::recovery::link::WorkerEnd;
use crate::refresh::{Refresh, RefreshHistograms};
use crate::repair::{Demands, Repairs};
use crate::router::{Mailbox, Router};
use crate::self_check::SelfCheck;
use crate::shard::Shard;
use crate::source::Source;
use crate::stages::{
    Batch, OutputRing, RingMailbox, ShardChange, ShardSink, ShardStage, WorkerChange, WorkerStage,
};
use crate::worker::Worker;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use wirebook_model::dbn::rtype;
use wirebook_shm::ring::GatingReader;
use wirebook_shm::{Segment, names};
use wirebook_telemetry::StageHistogram;

/// How many channels a configuration can number.
const CHANNELS_MAX: usize = 1 << u8::BITS;

/// A worker's thread.
pub(super) enum WorkerThread {
    /// Its events go to shards on threads of their own.
    BeforeRings(Box<WorkerStage>),
    /// It keeps the books itself.
    Inline(Box<WorkerStage<ShardStage>>),
}

impl WorkerThread {
    /// Runs until `stop`.
    pub(super) fn run(&mut self, stop: &AtomicBool, ended: &AtomicBool) {
        match self {
            Self::BeforeRings(stage) => stage.run(stop, ended),
            Self::Inline(stage) => stage.run(stop, ended),
        }
    }
}

/// What was built.
#[derive(Default)]
pub(super) struct Built {
    /// One a `[[worker]]`.
    pub(super) workers: Vec<WorkerThread>,
    /// Shards that are threads: one a `[[shard]]`.
    pub(super) shards: Vec<ShardStage>,
    /// The ways to the workers.
    pub(super) to_workers: Vec<Giver<WorkerChange>>,
    /// The ways to all shards.
    pub(super) to_shards: Vec<Giver<ShardChange>>,
    books_bytes: usize,
    machines_bytes: usize,
}

/// What everything is built with.
pub(super) struct Builder<'a> {
    pub(super) config: &'a Config,
    pub(super) kinds: &'a MachineKinds,
    pub(super) segment: &'a mut Segment,
    pub(super) recovery: &'a mut Recovery,
    pub(super) housekeeping: &'a mut Housekeeping,
    /// By worker: how books of its channels are wanted anew.
    pub(super) demands: &'a [Demands],
    /// By shard with a thread: set once it is over.
    pub(super) gone: &'a [Arc<AtomicBool>],
}

impl Builder<'_> {
    /// Builds all stages.
    ///
    /// # Errors
    /// Fails where memory is short, or a name of the configuration is unknown.
    pub(super) fn build(mut self) -> anyhow::Result<Built> {
        let mut built = Built::default();
        match self.config.handlers {
            Handlers::Shards => self.build_before_rings(&mut built)?,
            Handlers::Inline => self.build_inline(&mut built)?,
        }
        let mib = |bytes: usize| bytes as f64 / f64::from(1 << 20);
        tracing::info!(
            "memory: books {:.1} MiB, machines {:.1} MiB, taken now and bounded by the configuration",
            mib(built.books_bytes),
            mib(built.machines_bytes)
        );
        Ok(built)
    }

    /// Each worker between its sockets and a ring to every shard.
    fn build_before_rings(&mut self, built: &mut Built) -> anyhow::Result<()> {
        let config = self.config;
        let mut mailboxes: Vec<Vec<GatingReader>> =
            config.shards.iter().map(|_| Vec::new()).collect();
        for (number, settings) in config.workers.iter().enumerate() {
            let begun = self.begin_worker(settings);
            let mut outlets = Vec::new();
            for (shard, readers) in mailboxes.iter_mut().enumerate() {
                let (writer, reader) = self.segment.gated_ring(&names::mailbox(number, shard))?;
                let outlet = RingMailbox::new(writer, Arc::clone(&self.gone[shard]));
                outlets.push(outlet.with_progress(begun.progress.clone(), shard as u16));
                readers.push(reader);
            }
            let stage = self.worker(number, begun, outlets, built)?;
            built.workers.push(WorkerThread::BeforeRings(stage.into()));
        }
        for ((number, settings), mailboxes) in config.shards.iter().enumerate().zip(mailboxes) {
            let label = shard_label(number);
            let times = &mut self.housekeeping.histograms;
            let worker_to_shard = Some(times.recorder_of("worker→shard", &label));
            let to_published = times.recorder_of("shard→published", &label);
            let progress = self.housekeeping.progress(format!("shard-{number}"));
            let (what, host) = (format!("shard {number}"), Host::system());
            let stage = || self.shard(number, to_published, built);
            let stage = host::placed(&host, &what, settings.core, stage)?;
            let idle = settings.idle;
            built.shards.push(ShardStage { mailboxes, worker_to_shard, progress, idle, ..stage });
        }
        Ok(())
    }

    /// Each worker between its sockets and the one shard of its own channels.
    fn build_inline(&mut self, built: &mut Built) -> anyhow::Result<()> {
        for (number, settings) in self.config.workers.iter().enumerate() {
            let begun = self.begin_worker(settings);
            let times = &mut self.housekeeping.histograms;
            let to_published = times.recorder_of("worker→published", &shard_label(number));
            let what = format!("the shard of worker {}", settings.name);
            let shard = || self.shard(number, to_published, built);
            let shard = host::placed(&Host::system(), &what, settings.core, shard)?;
            let stage = self.worker(number, begun, vec![shard], built)?;
            built.workers.push(WorkerThread::Inline(stage.into()));
        }
        Ok(())
    }

    fn begin_worker<'c>(&mut self, settings: &'c WorkerConfig) -> BegunWorker<'c> {
        let label = format!("worker=\"{}\"", settings.name);
        BegunWorker {
            settings,
            progress: self.housekeeping.progress(format!("worker-{}", settings.name)),
            wire_to_worker: self.housekeeping.histograms.recorder_of("wire→worker", &label),
        }
    }

    /// A worker whose events go to `outlets`.
    fn worker<M: Mailbox>(
        &mut self,
        number: usize,
        begun: BegunWorker<'_>,
        outlets: Vec<M>,
        built: &mut Built,
    ) -> anyhow::Result<WorkerStage<M>> {
        let (config, housekeeping) = (self.config, &mut *self.housekeeping);
        let BegunWorker { settings, progress, wire_to_worker } = begun;
        let lines = Lines::of_config(config, Some(&settings.name));
        let mut ends = recovery_ends(config, &lines, self.recovery)?;
        let end_of = |spec: &ChannelSpec| ends.remove(&spec.number);
        let (limit, mut router) = (config.limits.instruments, Router::new(outlets));
        if !self.kinds.are_none(&config.machines) {
            router = router.with_intervals(config.machines.interval_ns());
        }
        let collector = &mut housekeeping.histograms;
        let histograms = |spec: &ChannelSpec| counts::of_channel(config, spec.number, collector);
        let decoder = Worker::with_recovery(lines, end_of, limit, router, histograms)?;
        let (way, changes) = handover();
        built.to_workers.push(way);
        Ok(WorkerStage {
            source: no_sockets(settings),
            worker: decoder.with_demands(Arc::clone(&self.demands[number])),
            packets: rings::packet_writer(config, self.segment, number)?,
            wire_to_worker,
            probes: housekeeping.probe_worker(config, &settings.name),
            changes,
            progress,
            cycles: Cycles::default(),
            idle: settings.idle,
        })
    }

    /// A shard without a way to it: books, the machines behind them, and its output.
    fn shard(
        &mut self,
        number: usize,
        to_published: StageHistogram,
        built: &mut Built,
    ) -> anyhow::Result<ShardStage> {
        let (config, housekeeping) = (self.config, &mut *self.housekeeping);
        let published = &config.segment.schemas;
        let ring = self.segment.open_ring(&names::output(number))?;
        let output = OutputRing::new(ring, published.clone());
        let journal = rings::journal_writer(config, self.segment, number)?;
        let machines = self.kinds.chain(&config.machines, config.limits.instruments)?;
        built.machines_bytes += machines.memory_bytes();
        let names: Vec<_> = machines.counters().map(|(name, _)| name.to_owned()).collect();
        let probes = housekeeping.probe_shard(&names);
        let (incidents, reader) = incidents(number, names);
        housekeeping.incidents.push(reader);
        let demands = by_channel(config, self.demands);
        let shard = new_shard(config, ShardSink { output, journal })?
            .with_levels_of(published)
            .with_machines(machines)
            .with_check(SelfCheck::new(config.check.shadow.clone()))
            .with_repairs(Repairs::new(demands, config.machines.rebuilds_max));
        built.books_bytes += shard.books().memory_bytes();
        let (way, changes) = handover();
        built.to_shards.push(way);
        Ok(ShardStage {
            mailboxes: Vec::new(),
            shard,
            board: self.segment.board(&names::board(number))?,
            publishers: publishers(config),
            worker_to_shard: None,
            to_published,
            probes,
            progress: Progress::default(),
            cycles: Cycles::default(),
            idle: Idle::default(),
            batch: Batch::default(),
            changes,
            incidents,
            refresh: self.refresh(number)?,
            waker: config.segment.wake_readers.then(|| self.segment.waker()),
        })
    }

    /// What shows a shard's whole books, where orders are published.
    fn refresh(&mut self, shard: usize) -> anyhow::Result<Option<Refresh>> {
        let settings = &self.config.segment;
        if !settings.schemas.contains(rtype::MBO) {
            return Ok(None);
        }
        let ring = self.segment.open_ring(&names::refresh(shard))?;
        let (times, label) = (&mut self.housekeeping.histograms, shard_label(shard));
        let histograms = RefreshHistograms {
            round: times.recorder_of("refresh round", &label),
            piece: times.recorder_of("refresh piece", &label),
        };
        let every_ns = settings.refresh_us.saturating_mul(1_000);
        Ok(Some(Refresh::new(ring, settings.refresh_slots, every_ns, histograms)))
    }
}

/// What is first of a worker: its stage comes before those behind it wherever stages are told.
struct BegunWorker<'c> {
    settings: &'c WorkerConfig,
    progress: Progress,
    wire_to_worker: StageHistogram,
}

fn shard_label(number: usize) -> String {
    format!("shard=\"{number}\"")
}

/// By the numbers of their channels, the ways to the workers that have them.
fn by_channel(config: &Config, workers: &[Demands]) -> Vec<Option<Demands>> {
    let mut demands = vec![None; CHANNELS_MAX];
    for (worker, way) in config.workers.iter().zip(workers) {
        for channel in config.channels_of(&worker.name) {
            demands[usize::from(channel.number)] = Some(Arc::clone(way));
        }
    }
    demands
}

/// What a worker begins with: of UDP, the buffers that it receives into as long as it runs.
fn no_sockets(settings: &WorkerConfig) -> Source {
    let none = || Source::none(settings);
    match settings.source {
        SourceKind::Xdp => none(),
        SourceKind::Socket => {
            let what = format!("the UDP buffers of worker {}", settings.name);
            host::placed(&Host::system(), &what, settings.core, none)
        }
    }
}

fn new_shard(config: &Config, sink: ShardSink) -> anyhow::Result<Shard<ShardSink>> {
    let books = config.limits.books.new_books(config.limits.into())?;
    let mut shard = Shard::over(books, sink);
    for spec in Lines::of_config(config, None).channels() {
        shard.set_channel(spec);
    }
    Ok(shard)
}

fn publishers(config: &Config) -> [u16; 256] {
    let mut publishers = [0; 256];
    for spec in Lines::of_config(config, None).channels() {
        publishers[usize::from(spec.number)] = spec.publisher_id;
    }
    publishers
}

/// The ends of recovery of a worker's channels, by their numbers.
fn recovery_ends(
    config: &Config,
    lines: &Lines,
    recovery: &mut Recovery,
) -> anyhow::Result<HashMap<u8, WorkerEnd>> {
    let mut ends = HashMap::new();
    for spec in lines.channels() {
        let channel = &config.channels[usize::from(spec.number)];
        if channel.recovery.has_servers() {
            ends.insert(spec.number, recovery.add(&channel.name, &channel.recovery)?);
        }
    }
    Ok(ends)
}
