//! A UMEM bound to a queue: what receiving and sending sockets have in common.
//!
//! Arrives: a [`SocketConfig`] and what the socket is for. Leaves: its four rings, its frames, and a
//! [`SocketReport`] of what the kernel granted; a refusal of zero-copy is logged, every other one is
//! an error.
#![allow(unsafe_code, reason = "xsk-rs leaves to its caller that a queue is bound once")]

use std::ffi::CString;
use std::io;

use xsk_rs::config::{
    BindFlags, FrameSize, Interface, LibxdpFlags, QueueSize, SocketConfig as XskConfig, UmemConfig,
};
use xsk_rs::{CompQueue, FillQueue, FrameDesc, RxQueue, Socket, TxQueue};

use crate::XdpError;
use crate::frames::{Frames, os_error};

/// Rings of the direction that is not used are made because xsk-rs always makes them; nothing goes
/// through them, so they are small.
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
    /// Queue of the interface.
    pub queue: u32,
    /// Slots of the RX ring and of the fill ring, or of the TX ring and of the completion ring; a
    /// power of two. RX rings of 2,048 to 4,096 were seen to lose packets at 2 million a second.
    pub ring_size: u32,
    /// Bytes of a frame: 2,048 or 4,096. The kernel keeps 256 of them.
    pub frame_bytes: u32,
    /// Whether to try hugepages for the UMEM.
    pub hugepages: bool,
    /// How to bind.
    pub bind: BindMode,
}

impl SocketConfig {
    /// The defaults for receiving on one queue of an interface: rings of 16,384, frames of
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

    /// The defaults for sending on one queue: rings of 1,024, frames of 4,096 bytes (8 MiB),
    /// ordinary pages, zero-copy where the driver has it.
    pub fn for_sending(interface: impl Into<String>, queue: u32) -> Self {
        let receiving = Self::new(interface, queue);
        Self { ring_size: 1_024, frame_bytes: 4_096, hugepages: false, ..receiving }
    }
}

/// What a socket got of what it asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketReport {
    /// Interface name.
    pub interface: String,
    /// Queue.
    pub queue: u32,
    /// Whether the device writes into the UMEM itself.
    pub zero_copy: bool,
    /// Whether the UMEM is on hugepages.
    pub hugepages: bool,
    /// Size of the UMEM.
    pub umem_bytes: usize,
}

/// What a socket is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Receive,
    Send,
}

/// A bound socket: its rings, its memory, and the frames, all of which are ours.
pub(crate) struct Bound {
    pub(crate) rx: RxQueue,
    pub(crate) tx: TxQueue,
    pub(crate) fill: FillQueue,
    pub(crate) completion: CompQueue,
    pub(crate) frames: Frames,
    pub(crate) free: Vec<FrameDesc>,
    pub(crate) report: SocketReport,
}

impl Bound {
    /// Opens a socket with frames for two rings of the configured size.
    pub(crate) fn open(config: &SocketConfig, direction: Direction) -> Result<Self, XdpError> {
        let umem_config = umem_config(config, direction)?;
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
        let (rings, zero_copy) = bind(config, direction, &frames).map_err(|source| {
            XdpError::Bind { interface: config.interface.clone(), queue: config.queue, source }
        })?;
        let report = SocketReport {
            interface: config.interface.clone(),
            queue: config.queue,
            zero_copy,
            hugepages: frames.on_hugepages(),
            umem_bytes: frames.umem_bytes(),
        };
        let (tx, rx, fill, completion) = rings;
        Ok(Self { rx, tx, fill, completion, frames, free, report })
    }
}

type Rings = (TxQueue, RxQueue, FillQueue, CompQueue);

/// Binds as configured. The bool tells whether it is zero-copy.
fn bind(
    config: &SocketConfig,
    direction: Direction,
    frames: &Frames,
) -> Result<(Rings, bool), io::Error> {
    if config.bind == BindMode::Copy {
        return Ok((bind_as(config, direction, frames, BindFlags::XDP_COPY)?, false));
    }
    match bind_as(config, direction, frames, BindFlags::XDP_ZEROCOPY) {
        Ok(rings) => Ok((rings, true)),
        Err(error)
            if config.bind == BindMode::Auto && error.raw_os_error() == Some(libc::EOPNOTSUPP) =>
        {
            tracing::warn!(
                interface = config.interface,
                queue = config.queue,
                "the driver has no AF_XDP zero-copy: falling back to copy mode"
            );
            Ok((bind_as(config, direction, frames, BindFlags::XDP_COPY)?, false))
        }
        Err(error) => Err(error),
    }
}

fn bind_as(
    config: &SocketConfig,
    direction: Direction,
    frames: &Frames,
    how: BindFlags,
) -> Result<Rings, io::Error> {
    let name = CString::new(config.interface.as_str())?;
    let (receiving, sending) = direction.rings(config);
    let xsk_config = XskConfig::builder()
        .rx_queue_size(ring(receiving)?)
        .tx_queue_size(ring(sending)?)
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
    Ok((tx, rx, fill, completion))
}

fn umem_config(config: &SocketConfig, direction: Direction) -> Result<UmemConfig, XdpError> {
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
    let (_, sending) = direction.rings(config);
    let (Ok(fill), Ok(completion)) = (ring(config.ring_size), ring(sending)) else {
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

impl Direction {
    /// Slots of the RX ring, and of the TX and completion rings.
    fn rings(self, config: &SocketConfig) -> (u32, u32) {
        match self {
            Self::Receive => (config.ring_size, IDLE_RING),
            Self::Send => (IDLE_RING, config.ring_size),
        }
    }
}

fn ring(size: u32) -> Result<QueueSize, io::Error> {
    QueueSize::new(size)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error.to_string()))
}
