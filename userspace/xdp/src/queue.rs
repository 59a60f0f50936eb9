//! One AF_XDP socket: a fill ring, an RX ring and the frames between them.
//!
//! Arrives: descriptors on the RX ring. Leaves: packets, in place, to a
//! callback; their frames go back to the fill ring when the batch is done.
//! Promises: the fill ring is full whenever enough frames are ours; with as
//! many frames as both rings hold, it can be. Counts bad descriptors.
#![allow(
    unsafe_code,
    reason = "xsk-rs leaves to its caller which frame is whose; `Frames` keeps the answer"
)]

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use wirebook_ebpf::Metadata;
use xsk_rs::config::{
    BindFlags, FrameSize, Interface, LibxdpFlags, QueueSize, SocketConfig as XskConfig, UmemConfig,
};
use xsk_rs::{CompQueue, FillQueue, FrameDesc, RxQueue, Socket, TxQueue};

use crate::frames::{Frames, os_error};
use crate::{BATCH_MAX, XdpError};

/// TX and completion rings are made because xsk-rs always makes them; nothing
/// is sent, so they are small.
const IDLE_RING: u32 = 64;

/// Frame sizes that the kernel takes for aligned frames on pages of 4 KiB.
const FRAME_SIZES: [u32; 2] = [2048, 4096];

/// How to bind a socket to its queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BindMode {
    /// Zero-copy, or copy where the driver refuses.
    #[default]
    Auto,
    /// Zero-copy or an error.
    ZeroCopy,
    /// Copy mode; right in generic mode, where zero-copy cannot be.
    Copy,
}

/// One AF_XDP socket to open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketConfig {
    /// Interface name.
    pub interface: String,
    /// RX queue of the interface.
    pub queue: u32,
    /// Slots of the RX ring and of the fill ring, a power of two. Rings of
    /// 2,048 to 4,096 were seen to lose packets at 2 million a second.
    pub ring_size: u32,
    /// Bytes of a frame: 2,048 or 4,096. The kernel keeps 256 of them.
    pub frame_bytes: u32,
    /// Whether to try hugepages for the UMEM.
    pub hugepages: bool,
    /// How to bind.
    pub bind: BindMode,
}

impl SocketConfig {
    /// The defaults, for one queue of an interface: rings of 16,384, frames of
    /// 2,048 bytes (64 MiB), hugepages, zero-copy where the driver has it.
    pub fn new(interface: impl Into<String>, queue: u32) -> Self {
        Self {
            interface: interface.into(),
            queue,
            ring_size: 16_384,
            frame_bytes: 2_048,
            hugepages: true,
            bind: BindMode::Auto,
        }
    }
}

/// What a socket got of what it asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketReport {
    /// Interface name.
    pub interface: String,
    /// RX queue.
    pub queue: u32,
    /// Whether the device writes into the UMEM itself.
    pub zero_copy: bool,
    /// Whether the UMEM is on hugepages.
    pub hugepages: bool,
    /// Size of the UMEM.
    pub umem_bytes: usize,
}

/// One socket and its memory.
#[derive(Debug)]
pub(crate) struct Queue {
    rx: RxQueue,
    fill: FillQueue,
    frames: Frames,
    /// Frames that are ours and hold nothing; never grows past its capacity.
    free: Vec<FrameDesc>,
    batch: [FrameDesc; BATCH_MAX],
    pub(crate) report: SocketReport,
    pub(crate) packets: u64,
    pub(crate) bad_descriptors: u64,
    pub(crate) wakeups: u64,
    // Unused, but libxdp unmaps their rings with the socket.
    _idle: (TxQueue, CompQueue),
}

impl Queue {
    pub(crate) fn open(config: &SocketConfig) -> Result<Self, XdpError> {
        let umem_config = umem_config(config)?;
        let wanted = config.ring_size.saturating_mul(2);
        let (frames, free) =
            Frames::allocate(umem_config, wanted, config.hugepages).map_err(|source| {
                XdpError::Umem {
                    interface: config.interface.clone(),
                    queue: config.queue,
                    bytes: wanted as usize * config.frame_bytes as usize,
                    source,
                }
            })?;
        let (bound, zero_copy) = bind(config, &frames).map_err(|source| XdpError::Bind {
            interface: config.interface.clone(),
            queue: config.queue,
            source,
        })?;
        let report = SocketReport {
            interface: config.interface.clone(),
            queue: config.queue,
            zero_copy,
            hugepages: frames.on_hugepages(),
            umem_bytes: frames.umem_bytes(),
        };
        let mut queue = Self {
            rx: bound.rx,
            fill: bound.fill,
            frames,
            free,
            batch: [FrameDesc::default(); BATCH_MAX],
            report,
            packets: 0,
            bad_descriptors: 0,
            wakeups: 0,
            _idle: (bound.tx, bound.completion),
        };
        queue.refill();
        Ok(queue)
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        // SAFETY: the socket lives as long as `rx`, which is borrowed.
        unsafe { BorrowedFd::borrow_raw(self.rx.fd().as_raw_fd()) }
    }

    /// Gives up to `max` packets to the callback, then their frames to the fill
    /// ring. Returns how many descriptors were taken.
    #[inline]
    pub(crate) fn receive(
        &mut self,
        max: usize,
        mut on_packet: impl FnMut(&[u8], Option<Metadata>),
    ) -> usize {
        let room = max.min(BATCH_MAX);
        // SAFETY: this RX ring was made with the UMEM in `frames`; what it says
        // about frames is checked below, one by one.
        let received = unsafe { self.rx.consume(&mut self.batch[..room]) };
        for descriptor in &self.batch[..received] {
            if !self.frames.take_back(descriptor) {
                self.bad_descriptors += 1;
                continue;
            }
            self.free.push(*descriptor);
            // Half a packet: only sockets bound with XDP_USE_SG are promised any.
            if descriptor.has_more_frames() {
                self.bad_descriptors += 1;
                continue;
            }
            // SAFETY: `take_back` said true just now, and frames are handed over
            // by `refill` alone, after this loop.
            let metadata = unsafe { self.frames.take_metadata(descriptor) };
            // SAFETY: as above; the slice ends with the callback, before `refill`.
            on_packet(unsafe { self.frames.packet(descriptor) }, metadata);
            self.packets += 1;
        }
        self.refill();
        received
    }

    /// Hands as many free frames to the kernel as the fill ring takes, and wakes
    /// the driver where it asks for that.
    #[inline]
    fn refill(&mut self) {
        let wanted = u32::try_from(self.free.len()).unwrap_or(u32::MAX);
        let count = self.fill.nb_free(wanted).min(wanted) as usize;
        let keep = self.free.len() - count;
        for descriptor in &self.free[keep..] {
            self.frames.hand_over(descriptor);
        }
        // SAFETY: each frame in `free` is ours, is of this UMEM, and is there
        // once: it came from `allocate` or from a true `take_back`, which is
        // true once a hand-over. The slots are free, so all are taken, and the
        // descriptors leave `free` on the next line.
        let _all = unsafe { self.fill.produce(&self.free[keep..]) };
        self.free.truncate(keep);
        if self.fill.needs_wakeup() {
            self.wakeups += 1;
            // A wakeup that fails is asked for again at the next turn.
            let _ = self.fill.wakeup(self.rx.fd_mut(), 0);
        }
    }
}

/// The four rings of a bound socket.
struct Bound {
    rx: RxQueue,
    tx: TxQueue,
    fill: FillQueue,
    completion: CompQueue,
}

/// Binds as configured. The bool tells whether it is zero-copy.
fn bind(config: &SocketConfig, frames: &Frames) -> Result<(Bound, bool), io::Error> {
    if config.bind == BindMode::Copy {
        return Ok((bind_as(config, frames, BindFlags::XDP_COPY)?, false));
    }
    match bind_as(config, frames, BindFlags::XDP_ZEROCOPY) {
        Ok(bound) => Ok((bound, true)),
        Err(error)
            if config.bind == BindMode::Auto && error.raw_os_error() == Some(libc::EOPNOTSUPP) =>
        {
            tracing::warn!(
                interface = config.interface,
                queue = config.queue,
                "the driver has no AF_XDP zero-copy: falling back to copy mode"
            );
            Ok((bind_as(config, frames, BindFlags::XDP_COPY)?, false))
        }
        Err(error) => Err(error),
    }
}

fn bind_as(config: &SocketConfig, frames: &Frames, how: BindFlags) -> Result<Bound, io::Error> {
    let name = CString::new(config.interface.as_str())?;
    let xsk_config = XskConfig::builder()
        .rx_queue_size(ring(config.ring_size)?)
        .tx_queue_size(ring(IDLE_RING)?)
        // The steering program is ours; libxdp must not attach its own.
        .libxdp_flags(LibxdpFlags::XSK_LIBXDP_FLAGS_INHIBIT_PROG_LOAD)
        .bind_flags(how | BindFlags::XDP_USE_NEED_WAKEUP)
        .build();
    // SAFETY: each UMEM serves one socket, so the queue is not bound through
    // this UMEM before, and libxdp's program load is inhibited.
    let made =
        unsafe { Socket::new(xsk_config, frames.umem(), &Interface::new(name), config.queue) };
    let (tx, rx, rings) = made.map_err(os_error)?;
    let (fill, completion) = rings.ok_or(io::ErrorKind::AlreadyExists)?;
    Ok(Bound { rx, tx, fill, completion })
}

fn umem_config(config: &SocketConfig) -> Result<UmemConfig, XdpError> {
    let ring_error = XdpError::Size {
        what: "ring size",
        expected: "a power of two from 64 to 1,048,576",
        found: config.ring_size,
    };
    let frame_error =
        XdpError::Size { what: "frame size", expected: "2048 or 4096", found: config.frame_bytes };
    if !(64..=1 << 20).contains(&config.ring_size) {
        return Err(ring_error);
    }
    if !FRAME_SIZES.contains(&config.frame_bytes) {
        return Err(frame_error);
    }
    let Ok(frame_size) = FrameSize::new(config.frame_bytes) else {
        return Err(frame_error);
    };
    let (Ok(fill), Ok(completion)) = (ring(config.ring_size), ring(IDLE_RING)) else {
        return Err(ring_error);
    };
    UmemConfig::builder()
        .frame_size(frame_size)
        .fill_queue_size(fill)
        .comp_queue_size(completion)
        .frame_headroom(0)
        .build()
        .map_err(|_| frame_error)
}

fn ring(size: u32) -> Result<QueueSize, io::Error> {
    QueueSize::new(size)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error.to_string()))
}
