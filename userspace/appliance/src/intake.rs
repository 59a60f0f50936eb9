//! What stands between the wire and the workers: steering programs, sockets, group memberships.
//!
//! Arrives: the configuration's interfaces, queues and lines. Leaves: each worker's [`Source`],
//! with every line known to the steering program by the same index as to the worker. Dropping an
//! [`Intake`] detaches the programs; so does the end of the process, however it comes.

use crate::config::{Config, Source as SourceKind, WorkerConfig, XdpMode};
use crate::source::Source;
use anyhow::Context;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::time::Duration;
use wirebook_xdp::{
    AttachMode, Counters, Interface, LineKey, Membership, Memberships, Mode, Receiver,
    SocketConfig, SocketReport, SteeringOptions, UdpLine, UdpOptions, UdpReceiver, XdpError,
};

/// How often and at what distance a busy queue is tried again: a second in all.
const BUSY_TRIES: usize = 20;
const BUSY_WAIT: Duration = Duration::from_millis(50);

/// The interfaces with their steering programs, and what every socket got.
pub struct Intake {
    interfaces: Vec<Interface>,
    sockets: Vec<SocketReport>,
    counters: Vec<Counters>,
}

impl Intake {
    /// Attaches the steering program to each interface that an `xdp` worker polls.
    ///
    /// # Errors
    /// Fails where an interface is missing, or the kernel refuses the program.
    pub fn attach(config: &Config) -> anyhow::Result<Self> {
        let xdp_workers = || config.workers.iter().filter(|w| w.source == SourceKind::Xdp);
        let names: BTreeSet<_> = xdp_workers()
            .flat_map(|worker| worker.interfaces.iter().map(|interface| &interface.name))
            .collect();
        let mut interfaces = Vec::new();
        for name in names {
            let polls = |worker: &&WorkerConfig| worker.interfaces.iter().any(|i| i.name == *name);
            let mode = xdp_workers().find(polls).map_or(XdpMode::Auto, |worker| worker.xdp_mode);
            let options = SteeringOptions { mode: attach_mode(mode), ..SteeringOptions::default() };
            interfaces.push(Interface::attach(name, &options, lines_of(config, name))?);
        }
        Ok(Self { interfaces, sockets: Vec::new(), counters: Vec::new() })
    }

    /// Opens a worker's sockets and puts them into the steering map.
    ///
    /// # Errors
    /// Fails where a queue, a right or memory is missing.
    pub fn open(&mut self, config: &Config, worker: &WorkerConfig) -> anyhow::Result<Source> {
        match worker.source {
            SourceKind::Xdp => self.open_xdp(worker),
            SourceKind::Socket => open_udp(config, worker),
        }
    }

    /// Reads what the steering programs have counted.
    ///
    /// # Errors
    /// Fails where the kernel does not give the counters.
    pub fn read_counters(&mut self) -> anyhow::Result<()> {
        self.counters =
            self.interfaces.iter().map(Interface::counters).collect::<Result<_, _>>()?;
        Ok(())
    }

    /// The interfaces and sockets as JSON.
    pub fn to_json(&self) -> Value {
        let interface = |(interface, counters): (&Interface, &Counters)| {
            json!({
                "interface": interface.name(),
                "mode": mode_name(interface.mode()),
                "steered": counters.steered,
                "passed": counters.passed,
                "malformed": counters.malformed,
                "no_socket": counters.no_socket,
            })
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
        json!({
            "steering": self.interfaces.iter().zip(&self.counters).map(interface).collect::<Vec<_>>(),
            "sockets": self.sockets.iter().map(socket).collect::<Vec<_>>(),
        })
    }

    fn open_xdp(&mut self, worker: &WorkerConfig) -> anyhow::Result<Source> {
        let mut sockets = Vec::new();
        for polled in &worker.interfaces {
            let interface = self.interfaces.iter().find(|i| i.name() == polled.name);
            let interface = interface.context("every interface of an xdp worker is attached")?;
            for &queue in &polled.queues {
                let mut socket = interface.socket_config(queue);
                socket.ring_size = worker.ring_size;
                sockets.push(socket);
            }
        }
        let (receiver, reports) = open_patiently(&sockets)?;
        for report in &reports {
            tracing::info!(
                interface = report.interface,
                queue = report.queue,
                zero_copy = report.zero_copy,
                hugepages = report.hugepages,
                "socket open"
            );
        }
        self.sockets.extend(reports);
        for interface in &mut self.interfaces {
            interface.serve(&receiver)?;
        }
        Ok(Source::Xdp(Box::new(receiver)))
    }
}

/// Opens the sockets; a queue that is busy is tried again for a while, because the kernel gives the
/// sockets of a process that has just died back a moment later (`xp_release_deferred` in
/// net/xdp/xsk_buff_pool.c).
fn open_patiently(sockets: &[SocketConfig]) -> Result<(Receiver, Vec<SocketReport>), XdpError> {
    for _ in 0..BUSY_TRIES {
        match Receiver::open(sockets) {
            Err(XdpError::Bind { source, .. }) if source.kind() == ErrorKind::ResourceBusy => {
                std::thread::sleep(BUSY_WAIT);
            }
            opened => return opened,
        }
    }
    Receiver::open(sockets)
}

/// Joins every line's group, so that switches deliver it. UDP workers join by their own sockets.
///
/// # Errors
/// Fails for the first group that cannot be joined.
pub fn join_groups(config: &Config) -> anyhow::Result<Memberships> {
    let mut memberships = Vec::new();
    for channel in &config.channels {
        let worker = config.workers.iter().find(|worker| worker.name == channel.worker);
        if worker.is_none_or(|worker| worker.source == SourceKind::Socket) {
            continue;
        }
        for line in &channel.lines {
            memberships.push(Membership {
                interface_index: interface_index(&line.interface)?,
                group: line.group,
                source: line.source,
            });
        }
    }
    memberships.sort_by_key(|m| (m.interface_index, m.group, m.source));
    memberships.dedup();
    Ok(Memberships::join(&memberships)?)
}

/// Every line that arrives on an interface, with the index that it has everywhere.
fn lines_of(config: &Config, interface: &str) -> Vec<(LineKey, u16)> {
    let lines = config.channels.iter().flat_map(|channel| &channel.lines);
    let numbered = (0..=u16::MAX).zip(lines).filter(|(_, line)| line.interface == interface);
    numbered.map(|(number, line)| (line.key(), number)).collect()
}

fn open_udp(config: &Config, worker: &WorkerConfig) -> anyhow::Result<Source> {
    let lines = config
        .channels
        .iter()
        .flat_map(|channel| channel.lines.iter().map(move |line| (channel, line)));
    let mut ours = Vec::new();
    for (number, (channel, line)) in (0..=u16::MAX).zip(lines) {
        if channel.worker == worker.name {
            ours.push(UdpLine {
                interface_index: interface_index(&line.interface)?,
                group: line.group,
                source: line.source,
                port: line.port,
                line: number,
            });
        }
    }
    let (receiver, report) = UdpReceiver::open(&ours, &UdpOptions::default())?;
    tracing::info!(
        worker = worker.name,
        receive_buffer_bytes = report.receive_buffer_bytes,
        "UDP sockets open"
    );
    Ok(Source::Socket(Box::new(receiver)))
}

fn interface_index(name: &str) -> anyhow::Result<u32> {
    nix::net::if_::if_nametoindex(name).with_context(|| format!("no interface {name}"))
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
