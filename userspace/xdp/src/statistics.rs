//! What was counted, by us and by the kernel.
#![allow(unsafe_code, reason = "getsockopt(2) for XDP_STATISTICS")]

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// The counters of one AF_XDP socket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SocketStatistics {
    /// Packets given to the callback.
    pub packets: u64,
    /// Descriptors from the kernel that do not name a frame it held, or name
    /// half a packet.
    pub bad_descriptors: u64,
    /// Wakeups that the driver asked for.
    pub wakeups: u64,
    /// What the kernel counted.
    pub kernel: KernelStatistics,
}

/// The counters of an [`XdpSender`](crate::XdpSender).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SenderStatistics {
    /// Packets given to the kernel.
    pub packets: u64,
    /// System calls that made it send.
    pub wakeups: u64,
    /// Packets that the interface refused, so that they were not sent: its link is down, or a veth
    /// pair's other side is full. Known in copy mode alone; a device in zero-copy makes us wait.
    pub refused: u64,
    /// Packets that were not sent because the kernel could not use their descriptors
    /// (`XDP_STATISTICS`).
    pub invalid_descriptors: u64,
    /// Descriptors on the completion ring that do not name a frame that the kernel held.
    pub bad_descriptors: u64,
}

/// The kernel's counters of one socket (`struct xdp_statistics`,
/// include/uapi/linux/if_xdp.h). Each counts packets dropped before userspace,
/// but for the last two.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KernelStatistics {
    /// Dropped for any reason but a full RX ring.
    pub rx_dropped: u64,
    /// Frames on the fill ring that the kernel could not use.
    pub rx_invalid_descriptors: u64,
    /// Dropped because the RX ring was full.
    pub rx_ring_full: u64,
    /// Times the fill ring was found empty.
    pub fill_ring_empty: u64,
    /// Frames on the TX ring that the kernel could not use.
    pub tx_invalid_descriptors: u64,
}

/// Reads the kernel's counters of a receiver's sockets from any thread.
#[derive(Debug)]
pub struct StatisticsReader {
    sockets: Vec<OwnedFd>,
}

impl StatisticsReader {
    pub(crate) fn new(sockets: Vec<OwnedFd>) -> Self {
        Self { sockets }
    }

    /// The counters of each socket, in the order of opening.
    ///
    /// # Errors
    /// getsockopt(2)'s.
    pub fn read(&self) -> io::Result<Vec<KernelStatistics>> {
        self.sockets.iter().map(|socket| kernel_statistics(socket.as_fd())).collect()
    }
}

pub(crate) fn kernel_statistics(socket: BorrowedFd<'_>) -> io::Result<KernelStatistics> {
    let mut statistics = MaybeUninit::<libc::xdp_statistics>::zeroed();
    let mut length = size_of::<libc::xdp_statistics>() as libc::socklen_t;
    // SAFETY: the descriptor is open while borrowed; the kernel writes at most
    // `length` bytes, which is the size of what the pointer points to.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_XDP,
            libc::XDP_STATISTICS,
            statistics.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: all fields are integers, so any bytes are a value of it: zeros
    // where the kernel wrote none.
    let statistics = unsafe { statistics.assume_init() };
    Ok(KernelStatistics {
        rx_dropped: statistics.rx_dropped,
        rx_invalid_descriptors: statistics.rx_invalid_descs,
        rx_ring_full: statistics.rx_ring_full,
        fill_ring_empty: statistics.rx_fill_ring_empty_descs,
        tx_invalid_descriptors: statistics.tx_invalid_descs,
    })
}
