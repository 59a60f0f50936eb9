//! The appliance as a picture in code: what is connected to what.
//!
//! ```text
//!  NIC queue ─ steering ─▶ UMEM frame ─▶ worker ─▶ mailbox ─▶ shard ─▶ output ring, board
//! ```
//!
//! Arrives: a configuration. Leaves: a [`Finished`] run: the shards with their books, and every
//! count. Promises: threads run before interfaces are opened, which [`Attendant`] does and goes on
//! doing; workers stop before shards, and shards empty their mailboxes before they stop, so nothing
//! taken from the wire is lost.

use crate::attend::Attendant;
use crate::config::{BooksKept, Config};
use crate::counts::{self, Counts};
use crate::door::Door;
use crate::handover::{Giver, handover};
use crate::housekeeping::{Housekeeping, Stop};
use crate::incidents::incidents;
use crate::intake::Intake;
use crate::lines::{ChannelSpec, Lines};
use crate::machines::MachineKinds;
use crate::metrics::{Endpoint, Hlog};
use crate::nic::NicDrops;
use crate::notices::{self, Notices};
use crate::recorder::{RecorderCounters, rings};
use crate::recovery::link::WorkerEnd;
use crate::recovery::{Recovery, RecoveryCounters};
use crate::refresh::{Refresh, RefreshCounters, RefreshHistograms};
use crate::reload::Reloader;
use crate::repair::{Demands, Repairs};
use crate::report::{Summary, SupervisionReport};
use crate::rights::{Rights, Role};
use crate::router::Router;
use crate::self_check::SelfCheck;
use crate::shard::Shard;
use crate::source::{Drops, Source};
use crate::stages::{
    Batch, OutputRing, RingMailbox, ShardChange, ShardSink, ShardStage, WorkerChange, WorkerStage,
};
use crate::worker::{Worker, WorkerCounters};
use anyhow::{Context, anyhow};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, Scope, ScopedJoinHandle};
use std::time::Instant;
use wirebook_machine::Books;
use wirebook_model::dbn::rtype;
use wirebook_shm::ring::GatingReader;
use wirebook_shm::{Segment, SegmentLayout, names};
use wirebook_telemetry::LatencyReport;

/// How many channels a configuration can number.
const CHANNELS_MAX: usize = 1 << u8::BITS;

/// What a run ends with.
pub struct Finished {
    /// The counts and the digest.
    pub summary: Summary,
    /// The books of each shard.
    pub books: Vec<Books>,
    /// Packets lost before userspace.
    pub drops: Drops,
    /// What the interfaces counted as lost, which may count the same packets.
    pub nic_drops: Vec<NicDrops>,
    /// Times that a worker waited for a shard.
    pub backpressure: u64,
    /// Events and records that a ring did not take; there are none while all threads live.
    pub lost_in_rings: u64,
    /// What became of books and machines that fell.
    pub supervision: SupervisionReport,
    /// What was written for readers that missed something.
    pub refresh: RefreshCounters,
    /// What the recovery thread counted, where there is one.
    pub recovery: Option<RecoveryCounters>,
    /// What the recorder wrote, where there is one.
    pub recorder: Option<RecorderCounters>,
    /// What the interfaces and sockets got and counted.
    pub intake: Intake,
    /// Latency of each stage.
    pub latency: LatencyReport,
}

/// Builds everything, runs until `stop`, and takes it down in order.
///
/// # Errors
/// Fails where an interface, a right, a kernel option or memory is missing, or a thread died; the
/// error says which.
pub fn run(
    config: &Config,
    kinds: &MachineKinds,
    stop: &Stop,
    mut housekeeping: Housekeeping,
) -> anyhow::Result<Finished> {
    let mut segment = Segment::create(&layout(config), config.segment.hugepages.into())?;
    // Before anything of the host is touched: another appliance of the same name may live.
    let door = Door::open(config, &segment)?;
    let endpoint = Endpoint::open(config, &segment)?;
    let hlog = Hlog::open(config, &segment)?;
    housekeeping.hlog = hlog.as_ref().map(Hlog::counters);
    let mut counts = Counts::new(&mut segment)?;
    let mut notices = Notices::new(&mut segment)?;
    let recorders = rings::recorders(config, &segment)?;
    let gone: Vec<_> = config.shards.iter().map(|_| Arc::new(AtomicBool::new(false))).collect();
    let mut recovery = Recovery::new();
    let (workers, mailboxes, to_workers) =
        build_workers(config, kinds, &mut segment, &gone, &mut recovery, &mut housekeeping)?;
    let demands: Vec<_> = workers.iter().map(|stage| stage.worker.demands()).collect();
    let intake = Intake::new(config, to_workers);
    housekeeping.attendant = Some(Attendant::new(config.clone(), intake, Instant::now()));
    let (shards, to_shards) =
        build_shards(config, kinds, &mut segment, mailboxes, &demands, &mut housekeeping)?;
    let (reread, to_recovery) = (housekeeping.reread(), recovery.changes());
    housekeeping.reloader = Some(Reloader::new(config, reread, to_shards, demands, to_recovery));

    let ended: Vec<_> = workers.iter().map(|_| AtomicBool::new(false)).collect();
    let shards_stop = AtomicBool::new(false);
    let recorders_stop = AtomicBool::new(false);
    let hlog_stop = AtomicBool::new(false);
    let recovery_probe = housekeeping.probe_recovery();
    recovery.set_progress(housekeeping.progress("recovery"));
    let rights = Arc::clone(&housekeeping.rights);
    // Before threads start, as they begin with what this one has.
    rights.give_up()?;
    let (workers, shards, recovery, recorder) = thread::scope(|scope| {
        let mut recorder_threads = Vec::new();
        let mut recovery_thread = Vec::new();
        let mut shard_threads = Vec::new();
        let mut worker_threads = Vec::new();
        let crew = Crew { scope, rights: &rights };
        let start_and_keep = || -> anyhow::Result<()> {
            for mut recorder in recorders {
                let name = recorder.name().to_owned();
                let (probe, stop) = (housekeeping.probe_recorder(recorder.name()), &recorders_stop);
                let run = move || recorder.run(stop, &probe);
                recorder_threads.push(crew.spawn(Role::Service, name, None, run)?);
            }
            for ((number, settings), mut stage) in config.shards.iter().enumerate().zip(shards) {
                let (gone, stop) = (Arc::clone(&gone[number]), &shards_stop);
                let name = format!("shard-{number}");
                shard_threads.push(crew.spawn(Role::Hot, name, settings.core, move || {
                    let _gone_when_over = SetWhenOver(gone);
                    stage.run(stop);
                    stage
                })?);
            }
            for ((settings, mut stage), ended) in config.workers.iter().zip(workers).zip(&ended) {
                let name = format!("worker-{}", settings.name);
                worker_threads.push(crew.spawn(Role::Hot, name, settings.core, move || {
                    stage.run(stop.flag(), ended);
                    stage
                })?);
            }
            recovery_thread.push(crew.spawn(
                Role::Service,
                "recovery".to_owned(),
                None,
                move || {
                    recovery.run(stop.flag(), &recovery_probe);
                    recovery.is_used().then(|| recovery.counters())
                },
            )?);
            if let Some(door) = &door {
                crew.spawn(Role::Service, "door".to_owned(), None, || door.answer(&segment))?;
            }
            if let Some(hlog) = hlog {
                crew.spawn(Role::Service, "hlog".to_owned(), None, || hlog.run(&hlog_stop))?;
            }
            if let Some(endpoint) = endpoint {
                crew.spawn(Role::Service, "metrics".to_owned(), None, || endpoint.run(stop))?;
            }
            let remaining = rights.check()?;
            tracing::debug!("rights that remain:\n{remaining}");
            let all_live = || {
                !worker_threads.iter().any(ScopedJoinHandle::is_finished)
                    && !shard_threads.iter().any(ScopedJoinHandle::is_finished)
            };
            housekeeping.run(&segment, &mut counts, &mut notices, stop, &ended, all_live)
        };
        let kept = start_and_keep();
        stop.set();
        housekeeping.notifier.stopping();
        door.iter().for_each(Door::close);
        let workers = join_all(worker_threads);
        shards_stop.store(true, Ordering::Release);
        let shards = join_all(shard_threads);
        let recovery = join_all(recovery_thread);
        recorders_stop.store(true, Ordering::Release);
        // One that died stopped recording, no more.
        let recorded = recorder_threads.into_iter().map(|thread| {
            thread.join().unwrap_or(RecorderCounters { recording_stopped: 1, ..Default::default() })
        });
        let recorded = rings::sum(recorded);
        // The recorders of latencies are gone by now, and have handed over their last samples.
        housekeeping.histograms.collect();
        counts.set_histograms(&housekeeping.histograms);
        hlog_stop.store(true, Ordering::Release);
        kept?;
        anyhow::Ok((workers?, shards?, recovery?.pop().flatten(), recorded))
    })?;
    Ok(Finished { recorder, ..finish(housekeeping, workers, shards, recovery)? })
}

/// The ring ends of each shard, one a worker.
type Mailboxes = Vec<Vec<GatingReader>>;

/// The ways by which what housekeeping makes gets to workers.
type ToWorkers = Vec<Giver<WorkerChange>>;

/// The ways by which it gets to shards.
type ToShards = Vec<Giver<ShardChange>>;

/// Each worker between its sockets and a ring to every shard.
fn build_workers(
    config: &Config,
    kinds: &MachineKinds,
    segment: &mut Segment,
    gone: &[Arc<AtomicBool>],
    recovery: &mut Recovery,
    housekeeping: &mut Housekeeping,
) -> anyhow::Result<(Vec<WorkerStage>, Mailboxes, ToWorkers)> {
    let mut mailboxes: Mailboxes = config.shards.iter().map(|_| Vec::new()).collect();
    let (mut workers, mut ways) = (Vec::new(), Vec::new());
    for (number, worker) in config.workers.iter().enumerate() {
        let mut outlets = Vec::new();
        let progress = housekeeping.progress(format!("worker-{}", worker.name));
        for (shard, readers) in mailboxes.iter_mut().enumerate() {
            let (writer, reader) = segment.gated_ring(&names::mailbox(number, shard))?;
            let outlet = RingMailbox::new(writer, Arc::clone(&gone[shard]));
            outlets.push(outlet.with_progress(progress.clone(), shard as u16));
            readers.push(reader);
        }
        let lines = Lines::of_config(config, Some(&worker.name));
        let mut ends = recovery_ends(config, &lines, recovery)?;
        let end_of = |spec: &ChannelSpec| ends.remove(&spec.number);
        let (limit, mut router) = (config.limits.instruments, Router::new(outlets));
        if !kinds.are_none(&config.machines) {
            router = router.with_intervals(config.machines.interval_ns());
        }
        let collector = &mut housekeeping.histograms;
        let histograms = |spec: &ChannelSpec| counts::of_channel(config, spec.number, collector);
        let decoder = Worker::with_recovery(lines, end_of, limit, router, histograms)?;
        let label = format!("worker=\"{}\"", worker.name);
        let probes = housekeeping.probe_worker(config, &worker.name);
        let (way, changes) = handover();
        ways.push(way);
        workers.push(WorkerStage {
            source: Source::none(worker),
            worker: decoder,
            packets: rings::packet_writer(config, segment, number)?,
            wire_to_worker: housekeeping.histograms.recorder_of("wire→worker", &label),
            probes,
            changes,
            progress,
            idle: worker.idle,
        });
    }
    Ok((workers, mailboxes, ways))
}

/// Each shard between its mailboxes and its output: books, and the machines behind them.
fn build_shards(
    config: &Config,
    kinds: &MachineKinds,
    segment: &mut Segment,
    mailboxes: Mailboxes,
    demands: &[Demands],
    housekeeping: &mut Housekeeping,
) -> anyhow::Result<(Vec<ShardStage>, ToShards)> {
    let (mut shards, mut ways) = (Vec::new(), Vec::new());
    let demands = by_channel(config, demands);
    let (mut books_bytes, mut machines_bytes) = (0, 0);
    for ((number, settings), mailboxes) in config.shards.iter().enumerate().zip(mailboxes) {
        let published = &config.segment.schemas;
        let output = OutputRing::new(segment.open_ring(&names::output(number))?, published.clone());
        let journal = rings::journal_writer(config, segment, number)?;
        let machines = kinds.chain(&config.machines, config.limits.instruments)?;
        machines_bytes += machines.memory_bytes();
        let names: Vec<_> = machines.counters().map(|(name, _)| name.to_owned()).collect();
        let probes = housekeeping.probe_shard(&names);
        let (incidents, reader) = incidents(number, names);
        let label = format!("shard=\"{number}\"");
        housekeeping.incidents.push(reader);
        let shard = new_shard(config, ShardSink { output, journal })?
            .with_levels_of(published)
            .with_machines(machines)
            .with_check(SelfCheck::new(config.check.shadow.clone()))
            .with_repairs(Repairs::new(demands.clone(), config.machines.rebuilds_max));
        books_bytes += shard.books().memory_bytes();
        let (way, changes) = handover();
        ways.push(way);
        shards.push(ShardStage {
            mailboxes,
            shard,
            board: segment.board(&names::board(number))?,
            publishers: publishers(config),
            worker_to_shard: housekeeping.histograms.recorder_of("worker→shard", &label),
            shard_to_published: housekeeping.histograms.recorder_of("shard→published", &label),
            probes,
            progress: housekeeping.progress(format!("shard-{number}")),
            idle: settings.idle,
            batch: Batch::default(),
            changes,
            incidents,
            refresh: refresh(config, segment, number, housekeeping)?,
            waker: config.segment.wake_readers.then(|| segment.waker()),
        });
    }
    let mib = |bytes: usize| bytes as f64 / f64::from(1 << 20);
    tracing::info!(
        "memory: books {:.1} MiB, machines {:.1} MiB, taken now and bounded by the configuration",
        mib(books_bytes),
        mib(machines_bytes)
    );
    Ok((shards, ways))
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

/// What shows a shard's whole books, where orders are published.
fn refresh(
    config: &Config,
    segment: &mut Segment,
    shard: usize,
    housekeeping: &mut Housekeeping,
) -> anyhow::Result<Option<Refresh>> {
    let settings = &config.segment;
    if !settings.schemas.contains(rtype::MBO) {
        return Ok(None);
    }
    let ring = segment.open_ring(&names::refresh(shard))?;
    let label = format!("shard=\"{shard}\"");
    let histograms = RefreshHistograms {
        round: housekeeping.histograms.recorder_of("refresh round", &label),
        piece: housekeeping.histograms.recorder_of("refresh piece", &label),
    };
    let every_ns = settings.refresh_us.saturating_mul(1_000);
    let slots = settings.refresh_slots;
    Ok(Some(Refresh::new(ring, slots, every_ns, histograms)))
}

/// The segment: a ring from each worker to each shard, and each shard's output.
pub(crate) fn layout(config: &Config) -> SegmentLayout {
    let mut layout = SegmentLayout::new();
    for shard in 0..config.shards.len() {
        for worker in 0..config.workers.len() {
            layout = layout.gated_ring(names::mailbox(worker, shard), config.segment.mailbox_slots);
        }
        layout = layout
            .open_ring(names::output(shard), config.segment.output_slots)
            .board(names::board(shard), config.limits.instruments);
        if config.segment.schemas.contains(rtype::MBO) {
            layout = layout.open_ring(names::refresh(shard), config.segment.refresh_slots);
        }
    }
    notices::lay_out(counts::lay_out(rings::lay_out(layout, config), config))
}

fn new_shard(config: &Config, sink: ShardSink) -> anyhow::Result<Shard<ShardSink>> {
    let limits = config.limits.into();
    let books = match config.limits.books {
        BooksKept::Orders => Books::new(limits),
        BooksKept::Levels => Books::of_levels(limits),
    };
    let mut shard = Shard::over(books?, sink);
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

/// Tells a worker that its shard takes nothing any more, however the shard's thread ended.
struct SetWhenOver(Arc<AtomicBool>);

impl Drop for SetWhenOver {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// Starts threads that give up their rights before they work.
struct Crew<'scope, 'env> {
    scope: &'scope Scope<'scope, 'env>,
    rights: &'env Rights,
}

impl<'scope> Crew<'scope, '_> {
    fn spawn<T: Send + 'scope>(
        &self,
        role: Role,
        name: String,
        core: Option<usize>,
        run: impl FnOnce() -> T + Send + 'scope,
    ) -> anyhow::Result<ScopedJoinHandle<'scope, T>> {
        let (thread, rights) = (name.clone(), self.rights);
        let run = move || {
            pin(&thread, core);
            if let Err(error) = rights.enter(role) {
                tracing::error!(thread, "does not run: {error}");
                std::panic::resume_unwind(Box::new(error));
            }
            run()
        };
        thread::Builder::new()
            .name(name.clone())
            .spawn_scoped(self.scope, run)
            .with_context(|| format!("cannot start the thread {name}"))
    }
}

fn pin(thread: &str, core: Option<usize>) {
    if let Some(id) = core
        && !core_affinity::set_for_current(core_affinity::CoreId { id })
    {
        tracing::warn!(thread, core = id, "cannot be pinned to its core; it runs anywhere");
    }
}

fn join_all<T>(threads: Vec<ScopedJoinHandle<'_, T>>) -> anyhow::Result<Vec<T>> {
    let joined: Vec<_> = threads
        .into_iter()
        .map(|thread| {
            let name = thread.thread().name().unwrap_or_default().to_owned();
            thread.join().map_err(|_| anyhow!("the thread {name} died; the log says why"))
        })
        .collect();
    joined.into_iter().collect()
}

fn finish(
    mut housekeeping: Housekeeping,
    workers: Vec<WorkerStage>,
    shards: Vec<ShardStage>,
    recovery: Option<RecoveryCounters>,
) -> anyhow::Result<Finished> {
    let mut summary = Summary::default();
    let mut drops = Drops::default();
    let (mut backpressure, mut lost_in_rings) = (0, 0);
    for stage in workers {
        let channels: Vec<_> = stage.worker.channels().collect();
        summary.add_worker(stage.worker.counters(), &channels);
        drops += stage.source.drops()?;
        for mailbox in stage.worker.into_mailboxes() {
            backpressure += mailbox.backpressure();
            lost_in_rings += mailbox.undelivered();
        }
    }
    let gone = housekeeping.reloader.take().map(Reloader::into_gone);
    summary.add_worker(WorkerCounters::default(), &gone.unwrap_or_default());
    let mut books = Vec::new();
    let mut refresh = RefreshCounters::default();
    let stalls = housekeeping.progress.stalls();
    let mut supervision = SupervisionReport { stalls, ..SupervisionReport::default() };
    for stage in shards {
        supervision.add(&stage.shard);
        if let Some(stage) = &stage.refresh {
            refresh += stage.counters();
        }
        let (shard_books, sink) = stage.shard.into_parts();
        lost_in_rings += sink.output.unpublished() + stage.batch.bad_slots();
        books.push(shard_books);
    }
    summary.set_books(books.iter());
    let attendant = housekeeping.attendant.take().context("a run has an attendant")?;
    let mut intake = attendant.into_intake();
    housekeeping.rights.raised(|| intake.read_counters())?;
    drops += intake.retired_drops();
    let nic_drops = housekeeping.nics.read();
    let latency = housekeeping.histograms.report();
    Ok(Finished {
        summary,
        books,
        drops,
        nic_drops,
        backpressure,
        lost_in_rings,
        recovery,
        recorder: None,
        intake,
        latency,
        supervision,
        refresh,
    })
}
