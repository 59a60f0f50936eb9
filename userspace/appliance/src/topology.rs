//! The appliance as a picture in code: what is connected to what.
//!
//! ```text
//!  NIC queue ─ steering ─▶ UMEM frame ─▶ worker ─▶ mailbox ─▶ shard ─▶ output ring, board
//! ```
//!
//! Arrives: a configuration. Leaves: a [`Finished`] run: the shards with their books, and every
//! count. Promises: sockets exist before groups are joined, workers stop before shards, and shards
//! empty their mailboxes before they stop, so nothing taken from the wire is lost.

use crate::config::{BooksKept, ChannelConfig, Config, WorkerConfig};
use crate::counts::{self, Counts};
use crate::door::Door;
use crate::housekeeping::{Housekeeping, Stop};
use crate::incidents::incidents;
use crate::intake::{Intake, join_groups};
use crate::lines::{ChannelSpec, Lines};
use crate::machines::MachineKinds;
use crate::nic::{NicDrops, Nics};
use crate::recorder::{RecorderCounters, rings};
use crate::recovery::link::WorkerEnd;
use crate::recovery::{Recovery, RecoveryCounters};
use crate::refresh::{Refresh, RefreshCounters, RefreshHistograms};
use crate::repair::{Demands, Repairs};
use crate::report::{Summary, SupervisionReport};
use crate::router::Router;
use crate::self_check::SelfCheck;
use crate::shard::Shard;
use crate::source::Drops;
use crate::stages::{Batch, OutputRing, RingMailbox, ShardSink, ShardStage, WorkerStage};
use crate::stream::StreamHistograms;
use crate::worker::Worker;
use anyhow::{Context, anyhow};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, Scope, ScopedJoinHandle};
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
    let mut counts = Counts::new(&mut segment)?;
    let recorders = rings::recorders(config, &segment)?;
    let mut intake = Intake::attach(config)?;
    let gone: Vec<_> = config.shards.iter().map(|_| Arc::new(AtomicBool::new(false))).collect();
    let mut recovery = Recovery::new();
    let (workers, mailboxes, demands) = build_workers(
        config,
        kinds,
        &mut segment,
        &mut intake,
        &gone,
        &mut recovery,
        &mut housekeeping,
    )?;
    // Only now: attaching a program may reset a device, and its counters with it.
    housekeeping.nics = Nics::start(line_interfaces(config));
    let shards = build_shards(config, kinds, &mut segment, mailboxes, &demands, &mut housekeeping)?;

    let ended: Vec<_> = workers.iter().map(|_| AtomicBool::new(false)).collect();
    let shards_stop = AtomicBool::new(false);
    let recorders_stop = AtomicBool::new(false);
    let recovery_probe = housekeeping.probe_recovery();
    if !recovery.is_empty() {
        recovery.set_progress(housekeeping.progress("recovery"));
    }
    let (workers, shards, recovery, recorder) = thread::scope(|scope| {
        let mut recorder_threads = Vec::new();
        let mut recovery_thread = Vec::new();
        let mut shard_threads = Vec::new();
        let mut worker_threads = Vec::new();
        let start_and_keep = || -> anyhow::Result<()> {
            for mut recorder in recorders {
                let name = recorder.name().to_owned();
                let (probe, stop) = (housekeeping.probe_recorder(recorder.name()), &recorders_stop);
                let run = move || recorder.run(stop, &probe);
                recorder_threads.push(spawn(scope, name, None, run)?);
            }
            for ((number, settings), mut stage) in config.shards.iter().enumerate().zip(shards) {
                let (gone, stop) = (Arc::clone(&gone[number]), &shards_stop);
                let name = format!("shard-{number}");
                shard_threads.push(spawn(scope, name, settings.core, move || {
                    let _gone_when_over = SetWhenOver(gone);
                    stage.run(stop);
                    stage
                })?);
            }
            for ((settings, mut stage), ended) in config.workers.iter().zip(workers).zip(&ended) {
                let name = format!("worker-{}", settings.name);
                worker_threads.push(spawn(scope, name, settings.core, move || {
                    stage.run(stop.flag(), ended);
                    stage
                })?);
            }
            if !recovery.is_empty() {
                recovery_thread.push(spawn(scope, "recovery".to_owned(), None, move || {
                    recovery.run(stop.flag(), &recovery_probe);
                    recovery.counters()
                })?);
            }
            if let Some(door) = &door {
                spawn(scope, "door".to_owned(), None, || door.answer(&segment))?;
            }
            // Last, so that no packet arrives before its socket and its thread.
            let _memberships = join_groups(config)?;
            let all_live = || {
                !worker_threads.iter().any(ScopedJoinHandle::is_finished)
                    && !shard_threads.iter().any(ScopedJoinHandle::is_finished)
            };
            housekeeping.run(&segment, &mut counts, stop, &ended, all_live)
        };
        let kept = start_and_keep();
        stop.set();
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
        kept?;
        anyhow::Ok((workers?, shards?, recovery?.pop(), recorded))
    })?;
    Ok(Finished { recorder, ..finish(housekeeping, workers, shards, recovery, intake)? })
}

/// The ring ends of each shard, one a worker.
type Mailboxes = Vec<Vec<GatingReader>>;

/// By channel, the way to the worker that has it.
type DemandsByChannel = Vec<Option<Demands>>;

/// Each worker between its sockets and a ring to every shard.
fn build_workers(
    config: &Config,
    kinds: &MachineKinds,
    segment: &mut Segment,
    intake: &mut Intake,
    gone: &[Arc<AtomicBool>],
    recovery: &mut Recovery,
    housekeeping: &mut Housekeeping,
) -> anyhow::Result<(Vec<WorkerStage>, Mailboxes, DemandsByChannel)> {
    let mut mailboxes: Mailboxes = config.shards.iter().map(|_| Vec::new()).collect();
    let mut workers = Vec::new();
    let mut demands = vec![None; CHANNELS_MAX];
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
        let histograms = StreamHistograms::new(&mut housekeeping.histograms);
        let mut ends = recovery_ends(config, &lines, recovery)?;
        let end_of = |spec: &ChannelSpec| ends.remove(&spec.number);
        let (limit, mut router) = (config.limits.instruments, Router::new(outlets));
        if !kinds.are_none(&config.machines) {
            router = router.with_intervals(config.machines.interval_ns());
        }
        let numbers: Vec<_> = lines.channels().iter().map(|spec| spec.number).collect();
        let decoder = Worker::with_recovery(lines, end_of, limit, router, histograms)?;
        for number in numbers {
            demands[usize::from(number)] = Some(decoder.demands());
        }
        let source = intake.open(config, worker)?;
        let probes = housekeeping.probe_worker(
            &worker.name,
            channel_names(config, worker),
            source.kernel_drops()?,
        );
        workers.push(WorkerStage {
            source,
            worker: decoder,
            packets: rings::packet_writer(config, segment, number)?,
            wire_to_worker: housekeeping.histograms.recorder("wire→worker"),
            probes,
            progress,
            idle: worker.idle,
        });
    }
    Ok((workers, mailboxes, demands))
}

/// Each shard between its mailboxes and its output: books, and the machines behind them.
fn build_shards(
    config: &Config,
    kinds: &MachineKinds,
    segment: &mut Segment,
    mailboxes: Mailboxes,
    demands: &DemandsByChannel,
    housekeeping: &mut Housekeeping,
) -> anyhow::Result<Vec<ShardStage>> {
    let mut shards = Vec::new();
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
        housekeeping.incidents.push(reader);
        let shard = new_shard(config, ShardSink { output, journal })?
            .with_levels_of(published)
            .with_machines(machines)
            .with_check(SelfCheck::new(config.check.shadow.clone()))
            .with_repairs(Repairs::new(demands.clone(), config.machines.rebuilds_max));
        books_bytes += shard.books().memory_bytes();
        shards.push(ShardStage {
            mailboxes,
            shard,
            board: segment.board(&names::board(number))?,
            publishers: publishers(config),
            worker_to_shard: housekeeping.histograms.recorder("worker→shard"),
            shard_to_published: housekeeping.histograms.recorder("shard→published"),
            probes,
            progress: housekeeping.progress(format!("shard-{number}")),
            idle: settings.idle,
            batch: Batch::default(),
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
    Ok(shards)
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
    let histograms = RefreshHistograms {
        round: housekeeping.histograms.recorder("refresh round"),
        piece: housekeeping.histograms.recorder("refresh piece"),
    };
    let every_ns = settings.refresh_us.saturating_mul(1_000);
    let slots = settings.refresh_slots;
    Ok(Some(Refresh::new(ring, slots, every_ns, histograms)))
}

/// The segment: a ring from each worker to each shard, and each shard's output.
fn layout(config: &Config) -> SegmentLayout {
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
    counts::lay_out(rings::lay_out(layout, config))
}

/// The names of a worker's channels and of their lines.
fn channel_names(config: &Config, worker: &WorkerConfig) -> Vec<(String, Vec<String>)> {
    let channels = config.channels.iter().filter(|channel| channel.worker == worker.name);
    let lines =
        |channel: &ChannelConfig| channel.lines.iter().map(|line| line.name.clone()).collect();
    channels.map(|channel| (channel.name.clone(), lines(channel))).collect()
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

/// The interfaces on which lines arrive, each once.
fn line_interfaces(config: &Config) -> impl Iterator<Item = &str> {
    let lines = config.channels.iter().flat_map(|channel| &channel.lines);
    lines.map(|line| line.interface.as_str()).collect::<BTreeSet<_>>().into_iter()
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

fn spawn<'scope, T: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    name: String,
    core: Option<usize>,
    run: impl FnOnce() -> T + Send + 'scope,
) -> anyhow::Result<ScopedJoinHandle<'scope, T>> {
    let pinned_name = name.clone();
    let pinned = move || {
        if let Some(id) = core
            && !core_affinity::set_for_current(core_affinity::CoreId { id })
        {
            tracing::warn!("{pinned_name}: cannot be pinned to core {id}; it runs anywhere");
        }
        run()
    };
    thread::Builder::new()
        .name(name.clone())
        .spawn_scoped(scope, pinned)
        .with_context(|| format!("cannot start the thread {name}"))
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
    mut intake: Intake,
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
    intake.read_counters()?;
    let nic_drops = housekeeping.nics.read();
    // The recorders are gone by now, and have handed over their last samples.
    housekeeping.histograms.collect();
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
