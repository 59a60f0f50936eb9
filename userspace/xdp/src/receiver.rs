//! The sockets of one worker.
//!
//! Arrives: frames on several queues of several interfaces. Leaves: packets to
//! a callback, socket by socket, a batch at a time. A receiver belongs to one
//! thread; it takes no lock and does not sleep unless asked ([`Receiver::wait`]).

use std::io;
use std::ops::Range;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

use wirebook_ebpf::Metadata;

use crate::clock::TaiOffset;
use crate::queue::Queue;
use crate::statistics::{SocketStatistics, StatisticsReader, kernel_statistics};
use crate::wait::WaitSet;
use crate::{SocketConfig, SocketReport, XdpError};

/// Most packets taken from one socket before its frames go back.
pub const BATCH_MAX: usize = 64;

/// Several AF_XDP sockets, polled by one thread.
#[derive(Debug)]
pub struct Receiver {
    queues: Vec<Queue>,
    waiting: WaitSet,
    tai_offset: TaiOffset,
}

/// A packet in its frame.
#[derive(Clone, Debug)]
pub struct RxPacket<'frame> {
    /// The whole Ethernet frame, from the MAC addresses on.
    pub bytes: &'frame [u8],
    /// What the steering program found out, or None where the driver cannot
    /// carry metadata: then the bytes are to be parsed.
    pub steered: Option<Steered>,
    /// Index of the socket in the list given to [`Receiver::open`], as long as none is exchanged.
    pub socket: usize,
}

/// The steering program's result for a packet, checked against its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Steered {
    /// Index of the line, as given with its [`LineKey`](crate::LineKey).
    pub line: u16,
    /// Where the UDP payload is in [`RxPacket::bytes`]; always within.
    pub payload: Range<usize>,
    /// Time of arrival, nanoseconds since the UNIX epoch. A device's clock is
    /// taken to run on TAI, as ptp4l keeps it.
    pub ts_ns: u64,
    /// Whether the device took the time.
    pub hardware_clock: bool,
}

impl Receiver {
    /// Opens the sockets, in this thread's network namespace.
    ///
    /// # Errors
    /// [`XdpError::Size`], [`XdpError::Umem`] or [`XdpError::Bind`].
    pub fn open(sockets: &[SocketConfig]) -> Result<(Self, Vec<SocketReport>), XdpError> {
        let queues = sockets.iter().map(Queue::open).collect::<Result<Vec<_>, _>>()?;
        let reports = queues.iter().map(|queue| queue.report.clone()).collect();
        let waiting = WaitSet::new(queues.iter().map(|queue| queue.fd().as_raw_fd()));
        let receiver = Self { queues, waiting, tai_offset: TaiOffset::read() };
        Ok((receiver, reports))
    }

    /// A receiver without sockets, and with room for so many: what [`Receiver::exchange`] fills.
    pub fn with_room(sockets: usize) -> Self {
        Self {
            queues: Vec::with_capacity(sockets),
            waiting: WaitSet::with_room(sockets),
            tai_offset: TaiOffset::read(),
        }
    }

    /// Gives `other` all sockets on `interface`, and takes those that it holds. Nothing is allocated
    /// as long as either has room; no packet of another socket is touched. No system call.
    pub fn exchange(&mut self, interface: &str, other: &mut Self) {
        let taken = other.queues.len();
        let mut at = 0;
        while at < self.queues.len() {
            if self.queues[at].report.interface == interface {
                other.queues.push(self.queues.remove(at));
            } else {
                at += 1;
            }
        }
        self.queues.extend(other.queues.drain(..taken));
        for receiver in [self, other] {
            receiver.waiting.set(receiver.queues.iter().map(|queue| queue.fd().as_raw_fd()));
        }
    }

    /// Makes room for so many more sockets, which [`Receiver::exchange`] may bring.
    pub fn reserve(&mut self, sockets: usize) {
        self.queues.reserve_exact(sockets);
        self.waiting.reserve(self.queues.len() + sockets);
    }

    /// Gives up to `max` (and [`BATCH_MAX`]) packets of each socket to the
    /// callback, and returns how many descriptors were taken. A packet's bytes
    /// are the kernel's again when this returns.
    #[inline]
    pub fn poll_batch(&mut self, max: usize, mut on_packet: impl FnMut(RxPacket<'_>)) -> usize {
        let tai_offset = self.tai_offset;
        let mut taken = 0;
        for (socket, queue) in self.queues.iter_mut().enumerate() {
            taken += queue.receive(max, |bytes, metadata| {
                let steered = metadata.map(|metadata| Steered::new(metadata, tai_offset));
                on_packet(RxPacket { bytes, steered, socket });
            });
        }
        taken
    }

    /// Sleeps until a socket has a packet or `timeout` (rounded up to whole
    /// milliseconds) is over; true when there is a packet.
    ///
    /// # Errors
    /// poll(2)'s, but not for a signal, which gives false.
    pub fn wait(&mut self, timeout: Duration) -> io::Result<bool> {
        self.waiting.wait(timeout)
    }

    /// Reads the difference between TAI and UNIX time anew. It changes when a
    /// time service tells the kernel of it after this program has started, so
    /// call it now and then.
    pub fn refresh_clock(&mut self) {
        self.tai_offset = TaiOffset::read();
    }

    /// Interface, queue and descriptor of each socket, in the order of opening.
    pub fn sockets(&self) -> impl Iterator<Item = (&str, u32, BorrowedFd<'_>)> {
        self.queues
            .iter()
            .map(|queue| (queue.report.interface.as_str(), queue.report.queue, queue.fd()))
    }

    /// The counters of each socket, in the order of opening.
    ///
    /// # Errors
    /// getsockopt(2)'s for `XDP_STATISTICS`.
    pub fn statistics(&self) -> io::Result<Vec<SocketStatistics>> {
        self.queues
            .iter()
            .map(|queue| {
                Ok(SocketStatistics {
                    packets: queue.packets,
                    bad_descriptors: queue.bad_descriptors,
                    wakeups: queue.wakeups,
                    kernel: kernel_statistics(queue.fd())?,
                })
            })
            .collect()
    }

    /// Descriptors from the kernel, of all sockets, that do not name a frame it held, or name half a
    /// packet; no system call.
    pub fn bad_descriptors(&self) -> u64 {
        self.queues.iter().map(|queue| queue.bad_descriptors).sum()
    }

    /// A reader of the kernel's counters for another thread. It holds the
    /// sockets open: drop it with the receiver.
    ///
    /// # Errors
    /// dup(2)'s.
    pub fn statistics_reader(&self) -> io::Result<StatisticsReader> {
        self.queues
            .iter()
            .map(|queue| queue.fd().try_clone_to_owned())
            .collect::<io::Result<Vec<_>>>()
            .map(StatisticsReader::new)
    }
}

impl RxPacket<'_> {
    /// The UDP payload, where the steering program says where it is.
    #[inline]
    pub fn payload(&self) -> Option<&[u8]> {
        let steered = self.steered.as_ref()?;
        self.bytes.get(steered.payload.clone())
    }
}

impl Steered {
    #[inline]
    fn new(metadata: Metadata, tai_offset: TaiOffset) -> Self {
        let start = usize::from(metadata.payload_offset);
        Self {
            line: metadata.line,
            payload: start..start + usize::from(metadata.payload_length),
            ts_ns: tai_offset.unix_ns(metadata.rx_timestamp_ns),
            hardware_clock: metadata.hardware_clock,
        }
    }
}
