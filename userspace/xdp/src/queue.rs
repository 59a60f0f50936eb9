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

use std::os::fd::{AsRawFd, BorrowedFd};

use wirebook_ebpf::Metadata;
use xsk_rs::{CompQueue, FillQueue, FrameDesc, RxQueue, TxQueue};

use crate::bind::{Bound, Direction};
use crate::frames::Frames;
use crate::{BATCH_MAX, SocketConfig, SocketReport, XdpError};

/// Packets between the one that is decoded and the one that is brought near.
const AHEAD: usize = 4;

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
        let bound = Bound::open(config, Direction::Receive)?;
        let mut queue = Self {
            rx: bound.rx,
            fill: bound.fill,
            frames: bound.frames,
            free: bound.free,
            batch: [FrameDesc::default(); BATCH_MAX],
            report: bound.report,
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
        let batch = &self.batch[..received];
        batch.iter().take(AHEAD).for_each(|first| self.frames.prefetch(first));
        for (at, descriptor) in batch.iter().enumerate() {
            if let Some(ahead) = batch.get(at + AHEAD) {
                self.frames.prefetch(ahead);
            }
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
