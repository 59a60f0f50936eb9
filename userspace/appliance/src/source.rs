//! Where a worker's packets come from: AF_XDP sockets, or UDP sockets in their place.
//!
//! Arrives: packets of the worker's lines. Leaves: each one at the [`Worker`], with its time of
//! arrival, and in the ring to the recorder where packets are recorded. While packets come, sockets
//! can be exchanged for others ([`SocketChange`]). Counts what was lost before this process saw it
//! ([`Drops`]).

use crate::clock;
use crate::config::{Config, Source as SourceKind, WorkerConfig};
use crate::cycles::Found;
use crate::recorder::PacketWriter;
use crate::router::Mailbox;
use crate::worker::Worker;
use derive_more::AddAssign;
use serde::Serialize;
use std::time::Duration;
use wirebook_model::UnixNanos;
use wirebook_telemetry::StageHistogram;
use wirebook_xdp::{BATCH_MAX, KernelStatistics, Receiver, UdpOptions, UdpReceiver, UdpStatistics};

/// Longest sleep of a worker in `poll` mode; a stop is noticed after it.
const WAIT: Duration = Duration::from_millis(50);

/// Lines of one worker of UDP sockets; the steering program has room for as many.
const UDP_LINES_MAX: usize = 4_096;

/// The receiving end of one worker.
pub enum Source {
    /// AF_XDP sockets, and how many cycles until the clock's offset is read anew.
    Xdp(Box<Receiver>),
    /// UDP sockets.
    Socket(Box<UdpReceiver>),
}

/// Other sockets in the place of some: of a whole interface, or of some lines of it.
pub struct SocketChange {
    /// The interface.
    pub interface: String,
    /// Its lines whose UDP sockets are given up; AF_XDP sockets are all of them.
    pub given_up: Vec<u16>,
    /// What comes instead; once it was exchanged, what was there.
    pub sockets: Source,
}

/// Packets that the kernel or a socket lost, by cause; never to be added to gaps, nor to what the
/// interfaces lost ([`NicDrops`](crate::nic::NicDrops)).
#[derive(AddAssign, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Drops {
    /// AF_XDP: dropped for any reason but a full ring.
    pub rx_dropped: u64,
    /// AF_XDP: dropped because the RX ring was full.
    pub rx_ring_full: u64,
    /// AF_XDP: frames that the kernel could not use.
    pub rx_invalid_descriptors: u64,
    /// AF_XDP: descriptors that named no frame of ours.
    pub bad_descriptors: u64,
    /// UDP: dropped because a socket's buffer was full.
    pub socket_dropped: u64,
    /// UDP: longer than the buffer.
    pub socket_truncated: u64,
    /// UDP: receive calls that failed.
    pub socket_errors: u64,
}

impl Drops {
    /// All of them.
    pub fn total(&self) -> u64 {
        self.rx_dropped
            + self.rx_ring_full
            + self.rx_invalid_descriptors
            + self.bad_descriptors
            + self.socket_dropped
            + self.socket_truncated
            + self.socket_errors
    }
}

impl SocketChange {
    /// Other sockets in the place of all that a worker has on an interface.
    pub fn all_of(
        interface: &str,
        config: &Config,
        worker: &WorkerConfig,
        sockets: Source,
    ) -> Self {
        let lines = config.lines_of(&worker.name, interface);
        let given_up = lines.map(|line| line.number).collect();
        Self { interface: interface.to_owned(), given_up, sockets }
    }
}

impl Source {
    /// No sockets, with room for all that a worker may ever have.
    pub fn none(worker: &WorkerConfig) -> Self {
        match worker.source {
            SourceKind::Xdp => {
                let sockets = worker.interfaces.iter().map(|used| used.queues.len()).sum();
                Self::Xdp(Box::new(Receiver::with_room(sockets)))
            }
            SourceKind::Socket => {
                let options = UdpOptions::default();
                Self::Socket(Box::new(UdpReceiver::with_room(UDP_LINES_MAX, &options)))
            }
        }
    }

    /// Exchanges sockets; no packet of another is touched, and nothing is allocated.
    pub fn exchange(&mut self, change: &mut SocketChange) {
        let SocketChange { interface, given_up, sockets } = change;
        match (self, sockets) {
            (Self::Xdp(ours), Self::Xdp(theirs)) => ours.exchange(interface, theirs),
            (Self::Socket(ours), Self::Socket(theirs)) => {
                ours.exchange(|line| given_up.contains(&line), theirs);
            }
            // A worker's sockets stay of one kind.
            (Self::Xdp(_), Self::Socket(_)) | (Self::Socket(_), Self::Xdp(_)) => {}
        }
    }

    /// What this side of the sockets lost, without asking the kernel.
    pub fn own_drops(&self) -> Drops {
        match self {
            Self::Xdp(receiver) => {
                Drops { bad_descriptors: receiver.bad_descriptors(), ..Drops::default() }
            }
            Self::Socket(receiver) => of_sockets(receiver),
        }
    }

    /// Takes what has arrived, at most one batch a socket; says how much, and when the last packet was
    /// begun with.
    #[inline]
    pub fn poll<M: Mailbox>(
        &mut self,
        worker: &mut Worker<M>,
        latency: &mut StageHistogram,
        mut packets: Option<&mut PacketWriter>,
    ) -> (Found, UnixNanos) {
        let mut last = 0;
        let taken = match self {
            Self::Xdp(receiver) => {
                receiver.poll_batch(BATCH_MAX, |packet| {
                    let ts_worker = clock::now();
                    last = ts_worker;
                    if let Some(packets) = &mut packets {
                        let ts_recv = packet.steered.as_ref().map_or(ts_worker, |s| s.ts_ns);
                        packets.frame(packet.bytes, ts_recv);
                    }
                    match (&packet.steered, packet.payload()) {
                        (Some(steered), Some(payload)) => {
                            latency.record(ts_worker.saturating_sub(steered.ts_ns));
                            worker.payload(steered.line, payload, steered.ts_ns, ts_worker);
                        }
                        // The driver carries no metadata: our own parser and our own clock.
                        _ => worker.frame(packet.bytes, ts_worker, ts_worker),
                    }
                })
            }
            Self::Socket(receiver) => receiver.poll_batch(BATCH_MAX, |packet| {
                let ts_worker = clock::now();
                last = ts_worker;
                let ts_recv = if packet.ts_ns == 0 { ts_worker } else { packet.ts_ns };
                if let Some(packets) = &mut packets {
                    packets.payload(packet.line, packet.bytes, ts_recv);
                }
                latency.record(ts_worker.saturating_sub(ts_recv));
                worker.payload(packet.line, packet.bytes, ts_recv, ts_worker);
            }),
        };
        (Found::of(taken, BATCH_MAX), last)
    }

    /// Sleeps until a packet comes, or for a moment that is no longer than `at_most`.
    pub fn sleep(&mut self, at_most: Duration) {
        let wait = WAIT.min(at_most);
        // An error here is a signal or a closed socket; the next poll shows either.
        let _ = match self {
            Self::Xdp(receiver) => receiver.wait(wait),
            Self::Socket(receiver) => receiver.wait(wait),
        };
    }

    /// Follows the kernel's idea of TAI, which a time service may set after the start.
    pub fn refresh_clock(&mut self) {
        if let Self::Xdp(receiver) = self {
            receiver.refresh_clock();
        }
    }

    /// What was lost before this process saw it.
    ///
    /// # Errors
    /// getsockopt(2)'s.
    pub fn drops(&self) -> std::io::Result<Drops> {
        let mut drops = Drops::default();
        match self {
            Self::Xdp(receiver) => {
                for socket in receiver.statistics()? {
                    drops.add_kernel(&socket.kernel);
                    drops.bad_descriptors += socket.bad_descriptors;
                }
            }
            Self::Socket(receiver) => drops = of_sockets(receiver),
        }
        Ok(drops)
    }
}

fn of_sockets(receiver: &UdpReceiver) -> Drops {
    let UdpStatistics { dropped, truncated, errors, .. } = receiver.statistics();
    Drops {
        socket_dropped: dropped,
        socket_truncated: truncated,
        socket_errors: errors,
        ..Drops::default()
    }
}

impl Drops {
    /// Adds what the kernel counted of one AF_XDP socket.
    pub fn add_kernel(&mut self, kernel: &KernelStatistics) {
        self.rx_dropped += kernel.rx_dropped;
        self.rx_ring_full += kernel.rx_ring_full;
        self.rx_invalid_descriptors += kernel.rx_invalid_descriptors;
    }
}
