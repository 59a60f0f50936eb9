//! The one thread that is not hot: signals, histograms, heartbeat, and what a person watches.
//!
//! Arrives: signals, the hot threads' answers, the interfaces' counters. Leaves: the stop flag, the heartbeat in the
//! segment, tables on standard error. Nothing here is waited for by a hot thread.

use crate::answers::{ChannelAnswers, ShardAnswers, WorkerAnswers, asked, channels_asked};
use crate::attend::Attendant;
use crate::clock;
use crate::config::{Config, SupervisionConfig};
use crate::counts::Counts;
use crate::host::{self, Host};
use crate::incidents::IncidentReader;
use crate::log;
use crate::metrics::HlogCounters;
use crate::nic::Nics;
use crate::notices::{About, Notices, started};
use crate::notify::Notifier;
use crate::progress::{Progress, ProgressWatch};
use crate::recorder::RecorderCounters;
use crate::recovery::RecoveryCounters;
use crate::reload::{Reloader, Reread};
use crate::rights::Rights;
use crate::samples::{Latest, ShardProbes, ShardSample, WorkerProbes, WorkerSample};
use crate::source::Drops;
use crate::watch::Watch;
use anyhow::{Context, bail};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use wirebook_shm::notice::Level;
use wirebook_shm::{Segment, SegmentView};
use wirebook_telemetry::{HistogramCollector, Probe};

/// How often this thread looks around.
const CYCLE: Duration = Duration::from_millis(50);
/// How often books are shown, and counts brought up to date in the segment.
const SECOND: Duration = Duration::from_secs(1);
/// How long the wire stays open after the last session has ended, for what is still under way.
const LINGER: Duration = Duration::from_millis(500);
/// How long hot threads are given to answer before their counts are printed without.
const ANSWER: Duration = Duration::from_millis(200);

/// Asks the appliance to stop: by a signal, or by whoever runs it.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// A stop that no one has asked for yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// A stop that SIGINT and SIGTERM ask for.
    ///
    /// # Errors
    /// sigaction(2)'s.
    pub fn on_signals() -> std::io::Result<Self> {
        let stop = Self::new();
        for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
            signal_hook::flag::register(signal, Arc::clone(&stop.0))?;
        }
        Ok(stop)
    }

    /// Asks for the stop.
    pub fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// True once it has been asked for.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// The flag itself, for a thread that looks at it each cycle.
    pub fn flag(&self) -> &AtomicBool {
        &self.0
    }
}

/// What the housekeeping thread is asked to do.
#[derive(Clone, Debug, Default)]
pub struct Duties {
    /// Show these symbols once a second; an empty list shows the busiest.
    pub watch: Option<Vec<String>>,
    /// Stop once every channel's session has ended.
    pub until_end_of_session: bool,
    /// Create this file when packets can be received.
    pub ready_file: Option<PathBuf>,
    /// How the configuration is read anew; absent, it stays.
    pub reread: Option<Reread>,
}

/// The housekeeping thread's own.
pub struct Housekeeping {
    /// Latencies of all stages.
    pub histograms: HistogramCollector,
    /// The interfaces' own counters.
    pub nics: Nics,
    /// What shards have to say of what fell.
    pub incidents: Vec<IncidentReader>,
    /// Opens interfaces and keeps them open.
    pub attendant: Option<Attendant>,
    /// Reads the configuration anew.
    pub reloader: Option<Reloader>,
    /// Whether threads move.
    pub progress: ProgressWatch,
    /// What the interval log has counted, where there is one.
    pub hlog: Option<Arc<HlogCounters>>,
    /// What the service manager is told.
    pub notifier: Notifier,
    /// What is given up before packets come.
    pub rights: Arc<Rights>,
    workers: Vec<WorkerAnswers>,
    shards: Vec<ShardAnswers>,
    recovery: Option<Latest<RecoveryCounters>>,
    recorders: Vec<(&'static str, Latest<RecorderCounters>)>,
    duties: Duties,
    print: Arc<AtomicBool>,
    reload: Arc<AtomicBool>,
}

impl Housekeeping {
    /// Housekeeping with these duties, which is this patient; SIGUSR1 makes it print, and SIGHUP read
    /// the configuration anew.
    ///
    /// # Errors
    /// sigaction(2)'s.
    pub fn new(duties: Duties, patience: &SupervisionConfig) -> std::io::Result<Self> {
        let print = Arc::new(AtomicBool::new(false));
        signal_hook::flag::register(signal_hook::consts::SIGUSR1, Arc::clone(&print))?;
        let reload = Arc::new(AtomicBool::new(false));
        signal_hook::flag::register(signal_hook::consts::SIGHUP, Arc::clone(&reload))?;
        let histograms = HistogramCollector::new();
        Ok(Self {
            histograms,
            nics: Nics::default(),
            incidents: Vec::new(),
            attendant: None,
            reloader: None,
            progress: ProgressWatch::new(patience.no_progress()),
            hlog: None,
            notifier: Notifier::of_environment(patience.ready_timeout()),
            rights: Rights::untouched().into(),
            workers: Vec::new(),
            shards: Vec::new(),
            recovery: None,
            recorders: Vec::new(),
            duties,
            print,
            reload,
        })
    }

    /// The hot ends of one more worker's probes.
    pub fn probe_worker(&mut self, config: &Config, name: &str) -> WorkerProbes {
        let (worker, latest) = asked();
        let (probes, channels) = channels_asked(config, name);
        let (name, drops) = (name.to_owned(), Drops::default());
        self.workers.push(WorkerAnswers { name, latest, channels, drops });
        WorkerProbes { worker, channels: probes }
    }

    /// The hot ends of one more shard's probes; `machines` are the names of its kinds of machines.
    pub fn probe_shard(&mut self, machines: &[String]) -> ShardProbes {
        let (shard, latest) = asked();
        let (probes, machines) = machines
            .iter()
            .map(|name| {
                let (probe, latest) = asked();
                (probe, (name.clone(), latest))
            })
            .unzip();
        self.shards.push(ShardAnswers { latest, machines });
        ShardProbes { shard, machines: probes }
    }

    /// The other end of the recovery thread's probe.
    pub fn probe_recovery(&mut self) -> Probe<RecoveryCounters> {
        let (probe, latest) = asked();
        self.recovery = Some(latest);
        probe
    }

    /// The other end of one more recorder thread's probe.
    pub fn probe_recorder(&mut self, name: &'static str) -> Probe<RecorderCounters> {
        let (probe, latest) = asked();
        self.recorders.push((name, latest));
        probe
    }

    /// The hot end of one more thread's progress.
    pub fn progress(&mut self, name: impl Into<String>) -> Progress {
        self.progress.add(name.into(), Instant::now())
    }

    /// Keeps house until `stop`.
    ///
    /// # Errors
    /// Fails where a hot thread has died, or the ready file cannot be made.
    pub fn run(
        &mut self,
        segment: &Segment,
        counts: &mut Counts,
        notices: &mut Notices,
        stop: &Stop,
        ended: &[AtomicBool],
        all_live: impl Fn() -> bool,
    ) -> anyhow::Result<()> {
        let mut watch = match &self.duties.watch {
            Some(symbols) => {
                let view = SegmentView::open(segment.share()?)?;
                Some(Watch::new(&view, self.shards.len(), symbols.clone())?)
            }
            None => None,
        };
        counts.set("appliance", "start_time_ms", "", clock::now() / 1_000_000);
        counts.set("appliance", "ready", "", 0);
        self.tell(counts, notices);
        self.ask();
        let mut is_ready = false;
        let mut second = Instant::now();
        let mut all_ended_since = None;
        while !stop.is_set() {
            self.attend(counts, notices, &mut is_ready)?;
            std::thread::sleep(CYCLE);
            segment.heartbeat(clock::now());
            self.histograms.collect();
            self.incidents.iter().for_each(|incidents| incidents.tell(notices));
            self.tell_progress(notices);
            // A stop ends the threads too, so it is looked at after them.
            if !all_live() && !stop.is_set() {
                bail!("a hot thread has died");
            }
            if self.print.swap(false, Ordering::Relaxed) {
                self.print();
            }
            if self.reload.swap(false, Ordering::Relaxed) {
                self.reload();
            }
            let is_over = second.elapsed() >= SECOND;
            if let Some(watch) = &mut watch {
                watch.look();
                if is_over {
                    eprint!("{watch}");
                }
            }
            self.notify(is_over);
            if is_over {
                second = Instant::now();
                log::tell_left_out(false);
                self.tell(counts, notices);
                self.ask();
            }
            if self.duties.until_end_of_session {
                let all_ended = ended.iter().all(|ended| ended.load(Ordering::Relaxed));
                let since = all_ended_since.get_or_insert_with(Instant::now);
                match all_ended {
                    true if since.elapsed() >= LINGER => return Ok(()),
                    true => {}
                    false => all_ended_since = None,
                }
            }
        }
        Ok(())
    }

    /// Sees to the interfaces; says once that packets can be received.
    fn attend(
        &mut self,
        counts: &mut Counts,
        notices: &mut Notices,
        is_ready: &mut bool,
    ) -> anyhow::Result<()> {
        let Some(attendant) = &mut self.attendant else { return Ok(()) };
        let now = Instant::now();
        if self.rights.raised(|| attendant.look(now, notices))?? {
            // Only now: attaching a program may reset a device, and its counters with it.
            attendant.open_interfaces().for_each(|name| self.nics.follow(name));
        }
        if !*is_ready && attendant.is_settled(now) {
            *is_ready = true;
            self.rights.settle()?;
            if let Some(path) = &self.duties.ready_file {
                std::fs::write(path, "ready\n").with_context(|| path.display().to_string())?;
            }
            let segment = host::Pages::of_mappings(&Host::system(), "memfd:wirebook");
            host::tell("the segment", None, None, segment.as_ref());
            let channels = self.workers.iter().map(|worker| worker.channels.len()).sum();
            let text = started(self.workers.len(), self.shards.len(), channels);
            notices.tell(Level::Info, About::default(), text);
            self.notifier.begin(now);
            counts.set("appliance", "ready", "", 1);
        }
        Ok(())
    }

    fn reload(&mut self) {
        let Self { reloader, attendant, workers, histograms, notifier, .. } = self;
        let (Some(reloader), Some(attendant)) = (reloader, attendant) else { return };
        notifier.reloading();
        let reloaded = self.rights.raised(|| reloader.reload(attendant, workers, histograms));
        if let Err(error) = reloaded {
            tracing::error!("configuration not reloaded: {error}");
        }
        notifier.reloaded();
    }

    /// How the configuration is read anew.
    pub fn reread(&self) -> Option<Reread> {
        self.duties.reread.clone()
    }

    fn tell_progress(&mut self, notices: &mut Notices) {
        for told in self.progress.look(Instant::now()) {
            let level = if told.awaits.is_some() { Level::Error } else { Level::Info };
            notices.tell(level, About::thread(&told.name), told.to_string());
        }
    }

    /// Tells the service manager; of channels once a second, and in each cycle while it waits for them.
    fn notify(&mut self, is_over: bool) {
        let now = Instant::now();
        if is_over || !self.notifier.is_ready() {
            let channels = self.workers.iter_mut().flat_map(|worker| &mut worker.channels);
            let channels: Vec<_> = channels.map(ChannelAnswers::look).collect();
            self.notifier.look(now, &channels, self.progress.stalled());
        }
        if !self.notifier.is_ready() {
            self.workers.iter().for_each(|worker| worker.latest.ask());
        }
        if self.progress.stalled().next().is_none() {
            self.notifier.feed_watchdog(now);
        }
    }

    fn ask(&self) {
        self.workers.iter().for_each(|worker| worker.latest.ask());
        self.shards.iter().for_each(|shard| shard.latest.ask());
        self.recovery.iter().for_each(Latest::ask);
        self.recorders.iter().for_each(|(_, recorder)| recorder.ask());
    }

    /// Brings the segment's counts up to date.
    fn tell(&mut self, counts: &mut Counts, notices: &mut Notices) {
        let attendant = self.attendant.as_ref();
        for (number, worker) in self.workers.iter_mut().enumerate() {
            let kernel = attendant.map(|attendant| attendant.drops(number));
            worker.tell(counts, notices, kernel.unwrap_or_default());
        }
        if let Some(reloader) = &self.reloader {
            counts.set_all("reload", "", &reloader.counters());
        }
        for (name, counters) in attendant.iter().flat_map(|attendant| attendant.counters()) {
            counts.set_all("interface", &format!("interface=\"{name}\""), &counters);
        }
        for (number, shard) in self.shards.iter_mut().enumerate() {
            shard.tell(counts, number);
        }
        if let Some(counters) = self.recovery.as_mut().and_then(Latest::get) {
            counts.set_all("recovery", "", &counters);
        }
        for (name, recorder) in &mut self.recorders {
            if let Some(counters) = recorder.get() {
                counts.set_all("recorder", &format!("thread=\"{name}\""), &counters);
            }
        }
        for drops in self.nics.read() {
            let labels = format!("interface=\"{}\"", drops.interface());
            counts.set_all("nic", &labels, &drops);
        }
        counts.set("supervision", "stalls", "", self.progress.stalls());
        for (thread, cycles, is_stalled) in self.progress.threads() {
            let labels = format!("thread=\"{thread}\"");
            counts.set("thread", "cycles", &labels, cycles);
            counts.set("thread", "stalled", &labels, is_stalled.into());
        }
        if let Some(hlog) = &self.hlog {
            counts.set_all("hlog", "", &hlog.read());
        }
        for (level, lines) in log::left_out() {
            counts.set("log", "suppressed_lines", &format!("level=\"{level}\""), lines);
        }
        counts.set_histograms(&self.histograms);
        // Last: who finds a new time here finds what was counted by then.
        counts.set("appliance", "counted_ns", "", clock::now());
    }

    fn print(&mut self) {
        self.ask();
        std::thread::sleep(ANSWER);
        self.histograms.collect();
        for (number, worker) in self.workers.iter_mut().enumerate() {
            if let Some(WorkerSample { counters, .. }) = worker.latest.get() {
                eprintln!("worker {number}: {counters:?}");
            }
        }
        for (number, shard) in self.shards.iter_mut().enumerate() {
            if let Some(ShardSample { counters, .. }) = shard.latest.get() {
                eprintln!("shard {number}: {counters:?}");
            }
        }
        if let Some(counters) = self.recovery.as_mut().and_then(Latest::get) {
            eprintln!("recovery: {counters:?}");
        }
        for drops in self.nics.read() {
            eprintln!("{drops}");
        }
        for counters in self.recorders.iter_mut().filter_map(|(_, recorder)| recorder.get()) {
            eprintln!("recorder: {counters:?}");
        }
        eprintln!("{}", self.histograms.report());
    }
}
