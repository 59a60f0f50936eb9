//! What stands between the wire and the workers: steering programs, sockets, group memberships.
//!
//! ```text
//!  interface ─ open ─▶ steering program with its lines ─▶ sockets, one a queue ─▶ into the worker ─▶ groups joined
//!            ◀ close ─ detached ◀──────────────────────── closed ◀──────────── out of the worker ◀── left
//! ```
//!
//! Arrives: the configuration's interfaces, queues and lines. Leaves: each worker's sockets, handed
//! to its running thread, with every line known to the steering program by the same number as to the
//! worker. One interface is opened and closed as a whole, and the sockets of others are not touched.
//! Dropping an [`Intake`] detaches the programs; so does the end of the process, however it comes.
//!
//! All that needs rights at run time happens here, on the thread that calls: opening AF_XDP and UDP
//! sockets, loading and attaching programs, joining groups. Which interface is opened when is decided
//! by [`Attendant`](crate::attend::Attendant).

use crate::config::{Config, LineConfig, Source as SourceKind, WorkerConfig, XdpMode};
use crate::handover::{Giver, NotTaken};
use crate::host::{self, Host};
use crate::source::{Drops, SocketChange, Source};
use crate::stages::WorkerChange;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use wirebook_xdp::{
    AttachMode, Counters, Interface, Membership, Memberships, Mode, Receiver, SocketConfig,
    SocketReport, StatisticsReader, SteeringOptions, UdpLine, UdpOptions, UdpReceiver, XdpError,
};

/// The interfaces with their steering programs, and the ways to the workers.
pub struct Intake {
    inlets: Vec<Inlet>,
    workers: Vec<Giver<WorkerChange>>,
    /// By worker: what sockets that are closed had lost.
    retired: Vec<Drops>,
    memberships: Memberships,
}

/// One interface.
struct Inlet {
    name: String,
    /// The kernel's number for it; none where it is not open.
    index: Option<u32>,
    /// Where a worker takes frames from it.
    steering: Option<Interface>,
    /// The mode of the last program.
    mode: Option<Mode>,
    /// What programs that are detached had counted.
    retired: Counters,
    /// What all its programs had counted by the last look.
    counted: Counters,
    sockets: Vec<SocketReport>,
    /// The kernel's counts of the sockets of the worker with this number.
    kernel: Vec<(usize, StatisticsReader)>,
}

/// Why an interface cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The kernel refuses.
    #[error(transparent)]
    Kernel(#[from] XdpError),
    /// A descriptor cannot be copied.
    #[error("cannot watch a socket's counters: {0}")]
    Watch(#[from] std::io::Error),
    /// The worker does not take its sockets.
    #[error("worker {0:?} does not take its sockets: its thread stands")]
    Worker(String),
}

impl OpenError {
    /// Whether it may pass by itself.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Kernel(error) => error.may_pass(),
            Self::Worker(_) => true,
            Self::Watch(_) => false,
        }
    }

    /// Whether another process may be asked to let go: it holds a queue.
    pub fn is_busy_queue(&self) -> bool {
        matches!(self, Self::Kernel(error) if error.is_busy_queue())
    }
}

impl Intake {
    /// The interfaces of a configuration, none of them open, and the ways to its workers.
    pub fn new(config: &Config, workers: Vec<Giver<WorkerChange>>) -> Self {
        let names: BTreeSet<_> = (config.workers.iter())
            .flat_map(|worker| worker.interfaces.iter().map(|interface| &interface.name))
            .collect();
        let inlet = |name: &String| Inlet {
            name: name.clone(),
            index: None,
            steering: None,
            mode: None,
            retired: Counters::default(),
            counted: Counters::default(),
            sockets: Vec::new(),
            kernel: Vec::new(),
        };
        Self {
            inlets: names.into_iter().map(inlet).collect(),
            retired: vec![Drops::default(); workers.len()],
            workers,
            memberships: Memberships::default(),
        }
    }

    /// The interfaces' names; each is known by its place here.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.inlets.iter().map(|inlet| inlet.name.as_str())
    }

    /// Opens an interface: program, sockets, workers, groups. Gives the kernel's number for it.
    ///
    /// # Errors
    /// [`OpenError`]; nothing of it is open then.
    pub fn open(&mut self, at: usize, config: &Config) -> Result<u32, OpenError> {
        self.try_to_open(at, config).inspect_err(|_| self.close(at, config))
    }

    fn try_to_open(&mut self, at: usize, config: &Config) -> Result<u32, OpenError> {
        let name = self.inlets[at].name.clone();
        let users = || config.workers.iter().enumerate().filter(|(_, worker)| worker.uses(&name));
        let index = interface_index(&name)?;
        let xdp_worker = users().find(|(_, worker)| worker.source == SourceKind::Xdp);
        if let Some((_, worker)) = xdp_worker {
            let mode = attach_mode(worker.xdp_mode);
            let options = SteeringOptions { mode, ..SteeringOptions::default() };
            let lines = config.lines_on(&name).map(|line| (line.key(), line.number));
            let steering = Interface::attach(&name, &options, lines)?;
            self.inlets[at].mode = Some(steering.mode());
            self.inlets[at].steering = Some(steering);
        }
        for (number, worker) in users() {
            let sockets = match worker.source {
                SourceKind::Xdp => self.inlets[at].open_sockets(number, worker)?,
                SourceKind::Socket => {
                    open_udp(config.lines_of(&worker.name, &name), worker, &name, index)?
                }
            };
            self.hand_over(number, SocketChange::all_of(&name, config, worker, sockets))
                .map_err(|_| OpenError::Worker(worker.name.clone()))?;
        }
        // Last, so that no packet arrives before its socket and its thread.
        self.inlets[at].index = Some(index);
        self.join(config)?;
        Ok(index)
    }

    /// Closes an interface: its sockets come back from the workers, and its memory is free.
    pub fn close(&mut self, at: usize, config: &Config) {
        let name = self.inlets[at].name.clone();
        // The readers hold the sockets open.
        self.inlets[at].kernel.clear();
        for (number, worker) in config.workers.iter().enumerate() {
            if worker.uses(&name) {
                let change = SocketChange::all_of(&name, config, worker, Source::none(worker));
                if self.hand_over(number, change).is_err() {
                    tracing::warn!("worker {} keeps the closed sockets of {name}", worker.name);
                }
            }
        }
        self.inlets[at].detach();
        if let Err(error) = self.join(config) {
            tracing::warn!("{error}");
        }
    }

    /// Gives a worker something, and gets what it had.
    ///
    /// # Errors
    /// [`NotTaken`] where its thread stands or is over.
    pub fn give(
        &self,
        worker: usize,
        change: Box<WorkerChange>,
    ) -> Result<Box<WorkerChange>, NotTaken> {
        self.workers[worker].exchange(change)
    }

    /// Makes what [`Intake::follow`] is to hand over, as far as that may fail: the UDP sockets of lines
    /// that are new on open interfaces, by worker.
    ///
    /// # Errors
    /// [`OpenError`]; nothing has changed then.
    pub fn prepare(
        &self,
        next: &Config,
        running: &Config,
    ) -> Result<Vec<(usize, SocketChange)>, OpenError> {
        let mut changes = Vec::new();
        let by_sockets = |worker: &WorkerConfig| worker.source == SourceKind::Socket;
        let workers = next.workers.iter().enumerate().filter(|(_, worker)| by_sockets(worker));
        for (number, worker) in workers {
            for inlet in self.inlets.iter().filter(|inlet| worker.uses(&inlet.name)) {
                let Some(index) = inlet.index else { continue };
                let of =
                    |config: &Config| config.lines_of(&worker.name, &inlet.name).cloned().collect();
                let (after, before): (Vec<LineConfig>, Vec<LineConfig>) = (of(next), of(running));
                let is_in = |line: &LineConfig, lines: &[LineConfig]| lines.contains(line);
                let new = after.iter().filter(|line| !is_in(line, &before));
                let gone = before.iter().filter(|line| !is_in(line, &after));
                let given_up: Vec<_> = gone.map(|line| line.number).collect();
                if new.clone().next().is_none() && given_up.is_empty() {
                    continue;
                }
                let sockets = open_udp(new, worker, &inlet.name, index)?;
                let interface = inlet.name.clone();
                changes.push((number, SocketChange { interface, given_up, sockets }));
            }
        }
        Ok(changes)
    }

    /// Follows another configuration on all open interfaces: lines and groups that are the same are not
    /// touched. What the kernel refuses is logged.
    pub fn follow(&mut self, next: &Config, running: &Config, sockets: Vec<(usize, SocketChange)>) {
        for (worker, change) in sockets {
            if self.hand_over(worker, change).is_err() {
                let name = &next.workers[worker].name;
                tracing::error!("worker {name} does not take its sockets: its thread stands");
            }
        }
        for inlet in &mut self.inlets {
            let Some(steering) = &mut inlet.steering else { continue };
            let keys = |config: &Config| -> BTreeMap<_, _> {
                let lines = config.lines_on(&inlet.name);
                lines.map(|line| (line.number, line.key())).collect()
            };
            let (after, before) = (keys(next), keys(running));
            let new = after.iter().filter(|(number, _)| !before.contains_key(number));
            let set = new.map(|(number, key)| steering.set_line(*key, *number));
            let mut results: Vec<_> = set.collect();
            let gone = before.values().filter(|key| !after.values().any(|kept| kept == *key));
            results.extend(gone.map(|key| steering.remove_line(*key)));
            for error in results.into_iter().filter_map(Result::err) {
                tracing::error!("interface {}: {error}", inlet.name);
            }
        }
        if let Err(error) = self.join(next) {
            tracing::error!("{error}");
        }
    }

    /// Announces the groups of an interface anew, after its link was down.
    pub fn announce(&mut self, at: usize, config: &Config) -> Result<(), OpenError> {
        let Some(index) = self.inlets[at].index else { return Ok(()) };
        let name = &self.inlets[at].name;
        let by_sockets =
            |worker: &WorkerConfig| worker.uses(name) && worker.source == SourceKind::Socket;
        if config.workers.iter().any(by_sockets) {
            // Their memberships are their sockets' own.
            self.close(at, config);
            return self.open(at, config).map(|_| ());
        }
        self.memberships.leave_interface(index);
        Ok(self.join(config)?)
    }

    /// What the kernel and closed sockets lost of a worker's packets.
    pub fn drops(&self, worker: usize) -> Drops {
        let mut drops = self.retired.get(worker).copied().unwrap_or_default();
        let readers = self.inlets.iter().flat_map(|inlet| &inlet.kernel);
        for (_, reader) in readers.filter(|(number, _)| *number == worker) {
            reader.read().iter().flatten().for_each(|socket| drops.add_kernel(socket));
        }
        drops
    }

    /// What sockets lost that are closed by now, of all workers.
    pub fn retired_drops(&self) -> Drops {
        self.retired.iter().fold(Drops::default(), |mut sum, drops| {
            sum += *drops;
            sum
        })
    }

    /// Takes what the steering programs have counted so far, for [`Intake::to_json`]; the kernel gives
    /// it only to who has CAP_BPF.
    pub fn read_counters(&mut self) {
        self.inlets.iter_mut().for_each(|inlet| inlet.counted = inlet.counters());
    }

    /// The interfaces and sockets as JSON.
    pub fn to_json(&self) -> Value {
        let interface = |inlet: &Inlet| {
            let mode = inlet.mode?;
            let Counters { steered, passed, malformed, no_socket } = inlet.counted;
            Some(json!({
                "interface": inlet.name,
                "mode": mode_name(mode),
                "steered": steered,
                "passed": passed,
                "malformed": malformed,
                "no_socket": no_socket,
            }))
        };
        let socket = |socket: &SocketReport| {
            json!({
                "interface": socket.interface,
                "queue": socket.queue,
                "zero_copy": socket.zero_copy,
                "hugepages": socket.hugepages,
                "umem_bytes": socket.umem_bytes,
            })
        };
        let sockets = self.inlets.iter().flat_map(|inlet| &inlet.sockets);
        json!({
            "steering": self.inlets.iter().filter_map(interface).collect::<Vec<_>>(),
            "sockets": sockets.map(socket).collect::<Vec<_>>(),
        })
    }

    /// Gives a worker other sockets; what it had is counted and closed.
    fn hand_over(&mut self, worker: usize, change: SocketChange) -> Result<(), NotTaken> {
        let back = self.give(worker, Box::new(WorkerChange::Sockets(change)))?;
        let WorkerChange::Sockets(SocketChange { sockets, .. }) = *back else { return Ok(()) };
        match sockets.drops() {
            Ok(drops) => self.retired[worker] += drops,
            Err(error) => tracing::warn!("drops of closed sockets are not known: {error}"),
        }
        Ok(())
    }

    /// Joins the group of every line on an open interface, so that switches deliver it, and leaves
    /// all others. UDP workers join by their own sockets.
    fn join(&mut self, config: &Config) -> Result<(), XdpError> {
        let mut wanted = Vec::new();
        for channel in &config.channels {
            let worker = config.workers.iter().find(|worker| worker.name == channel.worker);
            if worker.is_none_or(|worker| worker.source == SourceKind::Socket) {
                continue;
            }
            for LineConfig { interface, group, source, .. } in &channel.lines {
                let inlet = self.inlets.iter().find(|inlet| inlet.name == *interface);
                if let Some(interface_index) = inlet.and_then(|inlet| inlet.index) {
                    wanted.push(Membership { interface_index, group: *group, source: *source });
                }
            }
        }
        self.memberships.follow(&wanted)
    }
}

impl Inlet {
    /// Opens a worker's sockets on this interface and puts them into the steering map.
    fn open_sockets(&mut self, number: usize, worker: &WorkerConfig) -> Result<Source, OpenError> {
        let Some(steering) = &mut self.steering else { return Ok(Source::none(worker)) };
        let queues = worker.interfaces.iter().filter(|interface| interface.name == self.name);
        let socket = |&queue: &u32| SocketConfig {
            ring_size: worker.ring_size,
            ..steering.socket_config(queue)
        };
        let sockets: Vec<_> = queues.flat_map(|used| &used.queues).map(socket).collect();
        let what = format!("the UMEM of worker {} on {}", worker.name, self.name);
        let open = || Receiver::open(&sockets);
        let (mut receiver, reports) = host::placed(&Host::system(), &what, worker.core, open)?;
        steering.serve(&receiver)?;
        self.kernel.push((number, receiver.statistics_reader()?));
        for report in reports {
            tracing::info!(
                interface = report.interface,
                queue = report.queue,
                zero_copy = report.zero_copy,
                hugepages = report.hugepages,
                "socket open"
            );
            self.sockets.push(report);
        }
        // For what the worker gives back.
        receiver.reserve(sockets.len());
        Ok(Source::Xdp(Box::new(receiver)))
    }

    /// What its programs have counted, those before this one included.
    fn counters(&self) -> Counters {
        let counted = self.steering.as_ref().map(|steering| steering.counters());
        let counted = counted.and_then(|counters| {
            counters
                .inspect_err(|error| {
                    tracing::warn!(interface = self.name, "{}: {error}", self.name)
                })
                .ok()
        });
        [self.retired].into_iter().chain(counted).sum()
    }

    fn detach(&mut self) {
        self.retired = self.counters();
        self.steering = None;
        self.index = None;
        self.sockets.clear();
    }
}

/// Opens and joins a UDP worker's sockets on an interface.
fn open_udp<'a>(
    lines: impl Iterator<Item = &'a LineConfig>,
    worker: &WorkerConfig,
    interface: &str,
    index: u32,
) -> Result<Source, OpenError> {
    let lines: Vec<_> = lines.map(|line| udp_line(line, index)).collect();
    if lines.is_empty() {
        return Ok(Source::none(worker));
    }
    let (mut receiver, report) = UdpReceiver::open(&lines, &UdpOptions::default())?;
    tracing::info!(
        worker = worker.name,
        interface,
        receive_buffer_bytes = report.receive_buffer_bytes,
        "UDP sockets open"
    );
    receiver.reserve(lines.len());
    Ok(Source::Socket(Box::new(receiver)))
}

fn udp_line(line: &LineConfig, interface_index: u32) -> UdpLine {
    let LineConfig { group, source, port, number, .. } = *line;
    UdpLine { interface_index, group, source, port, line: number }
}

fn interface_index(name: &str) -> Result<u32, XdpError> {
    nix::net::if_::if_nametoindex(name).map_err(|errno| XdpError::Interface {
        name: name.to_owned(),
        source: std::io::Error::from(errno),
    })
}

fn attach_mode(mode: XdpMode) -> AttachMode {
    match mode {
        XdpMode::Auto => AttachMode::Auto,
        XdpMode::Native => AttachMode::Native,
        XdpMode::Generic => AttachMode::Generic,
    }
}

fn mode_name(mode: Mode) -> &'static str {
    match mode {
        Mode::Native => "native",
        Mode::Generic => "generic",
    }
}
