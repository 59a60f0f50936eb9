//! The appliance as a picture in code: what is connected to what.
//!
//! ```text
//!  NIC queue ─ steering ─▶ UMEM frame ─▶ worker ─▶ mailbox ─▶ shard ─▶ output ring, board
//! ```
//!
//! With `handlers = "inline"` there is no mailbox, and worker and shard are one thread.
//!
//! Arrives: a configuration. Leaves: a [`Finished`] run: the shards with their books, and every
//! count. Promises: threads run before interfaces are opened, which [`Attendant`] does and goes on
//! doing; workers stop before shards, and shards empty their mailboxes before they stop, so nothing
//! taken from the wire is lost.

mod build;
mod placement;

use self::build::{Builder, Built, WorkerThread};
use crate::attend::Attendant;
use crate::config::{Config, Handlers, WorkerConfig};
use crate::counts::{self, Counts};
use crate::cycles::CycleCounters;
use crate::door::Door;
use crate::housekeeping::{Housekeeping, Stop};
use crate::intake::Intake;
use crate::machines::MachineKinds;
use crate::metrics::{Endpoint, Hlog};
use crate::nic::NicDrops;
use crate::notices::{self, Notices};
use crate::recorder::{RecorderCounters, rings};
use crate::recovery::{Recovery, RecoveryCounters};
use crate::refresh::RefreshCounters;
use crate::reload::Reloader;
use crate::repair::demands;
use crate::report::{Summary, SupervisionReport};
use crate::rights::{Rights, Role};
use crate::router::Mailbox;
use crate::source::Drops;
use crate::stages::{ShardStage, WorkerStage};
use crate::worker::WorkerCounters;
use anyhow::{Context, anyhow};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, Scope, ScopedJoinHandle};
use std::time::Instant;
use wirebook_machine::Books;
use wirebook_model::dbn::rtype;
use wirebook_shm::{SegmentLayout, names};
use wirebook_telemetry::LatencyReport;

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
    /// By the name of a hot thread: its cycles.
    pub cycles: Vec<(String, CycleCounters)>,
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
    let mut segment = placement::create_segment(config)?;
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
    let demands: Vec<_> = config.workers.iter().map(|_| demands()).collect();
    let builder = Builder {
        config,
        kinds,
        segment: &mut segment,
        recovery: &mut recovery,
        housekeeping: &mut housekeeping,
        demands: &demands,
        gone: &gone,
    };
    let Built { workers, shards, to_workers, to_shards, .. } = builder.build()?;
    let intake = Intake::new(config, to_workers);
    housekeeping.attendant = Some(Attendant::new(config.clone(), intake, Instant::now()));
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
    Ok(Finished { recorder, ..finish(config, housekeeping, workers, shards, recovery)? })
}

/// The segment: a ring from each worker to each shard, and each shard's output.
pub(crate) fn layout(config: &Config) -> SegmentLayout {
    let mut layout = SegmentLayout::new();
    for shard in 0..config.shard_count() {
        let before_it = match config.handlers {
            Handlers::Shards => 0..config.workers.len(),
            Handlers::Inline => 0..0,
        };
        for worker in before_it {
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

/// What all workers ended with.
#[derive(Default)]
struct EndedWorkers {
    summary: Summary,
    drops: Drops,
    backpressure: u64,
    lost_in_rings: u64,
    /// Of workers and shards.
    cycles: Vec<(String, CycleCounters)>,
}

impl EndedWorkers {
    /// Adds one; gives back what stood behind it.
    fn add<M: Mailbox>(&mut self, name: &str, stage: WorkerStage<M>) -> anyhow::Result<Vec<M>> {
        self.cycles.push((format!("worker-{name}"), stage.cycles.counters()));
        let channels: Vec<_> = stage.worker.channels().collect();
        self.summary.add_worker(stage.worker.counters(), &channels);
        self.drops += stage.source.drops()?;
        let behind: Vec<_> = stage.worker.into_mailboxes().collect();
        self.backpressure += behind.iter().map(Mailbox::backpressure).sum::<u64>();
        self.lost_in_rings += behind.iter().map(Mailbox::undelivered).sum::<u64>();
        Ok(behind)
    }
}

fn finish(
    config: &Config,
    mut housekeeping: Housekeeping,
    workers: Vec<WorkerThread>,
    mut shards: Vec<ShardStage>,
    recovery: Option<RecoveryCounters>,
) -> anyhow::Result<Finished> {
    let mut ended = EndedWorkers::default();
    for (WorkerConfig { name, .. }, worker) in config.workers.iter().zip(workers) {
        match worker {
            WorkerThread::BeforeRings(stage) => drop(ended.add(name, *stage)?),
            WorkerThread::Inline(stage) => shards.extend(ended.add(name, *stage)?),
        }
    }
    let EndedWorkers { mut summary, mut drops, backpressure, mut lost_in_rings, mut cycles } =
        ended;
    let gone = housekeeping.reloader.take().map(Reloader::into_gone);
    summary.add_worker(WorkerCounters::default(), &gone.unwrap_or_default());
    let mut books = Vec::new();
    let mut refresh = RefreshCounters::default();
    let stalls = housekeeping.progress.stalls();
    let mut supervision = SupervisionReport { stalls, ..SupervisionReport::default() };
    for (number, stage) in shards.into_iter().enumerate() {
        supervision.add(&stage.shard);
        if config.handlers == Handlers::Shards {
            cycles.push((format!("shard-{number}"), stage.cycles.counters()));
        }
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
        cycles,
    })
}
