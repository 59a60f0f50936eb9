//! Frames onto one queue of an interface through an AF_XDP socket.
//!
//! Arrives: whole Ethernet frames. Leaves: the same on the wire, in order. Promises: no allocation
//! and no system call a frame, but one a batch; where no frame of the UMEM is free it waits for one,
//! and fails where the interface takes nothing for seconds. Counts what the interface refused after
//! the kernel had taken it, and what the kernel found invalid; nothing is lost uncounted.
//!
//! In copy mode (`__xsk_generic_xmit` in net/xdp/xsk.c) the kernel sends within our system call, at
//! most [`BATCH`] frames each. In zero-copy the driver sends by itself, and asks for a wakeup where
//! it sleeps (Documentation/networking/af_xdp.rst, `XDP_USE_NEED_WAKEUP`).
#![allow(
    unsafe_code,
    reason = "xsk-rs leaves to its caller which frame is whose; `Frames` keeps the answer"
)]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::{Duration, Instant};

use socket2::SockRef;
use xsk_rs::{CompQueue, FillQueue, FrameDesc, RxQueue, TxQueue};

use crate::bind::{Bound, Direction};
use crate::frames::Frames;
use crate::statistics::{SenderStatistics, kernel_statistics};
use crate::{SocketConfig, SocketReport, XdpError};

/// Frames that wait for a system call at most: as many as one sends in copy mode
/// (`TX_BATCH_SIZE` in net/xdp/xsk.c).
const BATCH: usize = 32;

/// A frame without a whole Ethernet header is none.
const FRAME_BYTES_MIN: usize = 14;

/// How long an interface may take nothing before that is an error.
const STALL: Duration = Duration::from_secs(5);
/// How often it must have been asked meanwhile: on a busy host the sender itself may not have run.
const STALL_WAKES: u32 = 2_000;
/// Wakes that are followed by a yield; after these the sender sleeps, which leaves the core to whoever
/// is to take the frames. Yields alone do not on every scheduler.
const YIELDS: u32 = 200;
const NAP: Duration = Duration::from_micros(50);

/// Sends frames on one queue of an interface.
///
/// ```no_run
/// use wirebook_xdp::{SocketConfig, XdpSender};
///
/// let (mut sender, _report) = XdpSender::open(&SocketConfig::for_sending("veth0", 0))?;
/// for number in 0..100u8 {
///     sender.send(&[number; 60])?;
/// }
/// sender.finish()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct XdpSender {
    tx: TxQueue,
    completion: CompQueue,
    frames: Frames,
    /// Frames that are ours; never grows past its capacity.
    free: Vec<FrameDesc>,
    batch: [FrameDesc; BATCH],
    zero_copy: bool,
    ring_size: usize,
    /// Frames on the TX ring since the last system call.
    waiting: usize,
    statistics: SenderStatistics,
    // A zero-copy driver takes the queue's receive buffers from here; see `lend_to_receiving`.
    receiving: (RxQueue, FillQueue),
}

impl XdpSender {
    /// Opens a socket for sending, in this thread's network namespace. The interface keeps
    /// receiving as before: what arrives is the kernel's.
    ///
    /// # Errors
    /// [`XdpError::Size`], [`XdpError::Umem`] or [`XdpError::Bind`]; the last also where the driver
    /// grants zero-copy and does not send.
    pub fn open(config: &SocketConfig) -> Result<(Self, SocketReport), XdpError> {
        let bound = Bound::open(config, Direction::Send)?;
        let ring_size = config.ring_size as usize;
        let mut sender = Self {
            tx: bound.tx,
            completion: bound.completion,
            frames: bound.frames,
            free: bound.free,
            batch: [FrameDesc::default(); BATCH],
            zero_copy: bound.report.zero_copy,
            ring_size,
            waiting: 0,
            statistics: SenderStatistics::default(),
            receiving: (bound.rx, bound.fill),
        };
        if sender.zero_copy {
            sender.lend_to_receiving();
        }
        // No more frames than the rings hold: then neither can be full while one is free.
        sender.free.truncate(ring_size);
        sender.wake().map_err(|source| XdpError::Bind {
            interface: config.interface.clone(),
            queue: config.queue,
            source: sender.explained(source),
        })?;
        Ok((sender, bound.report))
    }

    /// Sends one frame of at least 14 bytes; it leaves with its batch, at the latest with
    /// [`XdpSender::flush`]. Waits while all frames of the UMEM are with the kernel.
    ///
    /// # Errors
    /// `InvalidInput` for a frame that is too short, or longer than a frame of the UMEM;
    /// `TimedOut` where the interface takes nothing; else sendto(2)'s.
    pub fn send(&mut self, frame: &[u8]) -> io::Result<()> {
        let longest = self.frames.room();
        if !(FRAME_BYTES_MIN..=longest).contains(&frame.len()) {
            let found = frame.len();
            let text = format!("expected a frame of 14 to {longest} bytes, found {found}");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        self.wait_until(Self::has_room)?;
        let Some(mut descriptor) = self.free.pop() else {
            return Err(io::ErrorKind::WouldBlock.into());
        };
        // SAFETY: frames in `free` are ours: they came from `allocate` or from a true `take_back`.
        unsafe { self.frames.put(&mut descriptor, frame) };
        self.frames.hand_over(&descriptor);
        // SAFETY: the frame is of this UMEM and has left `free`, so it is the kernel's alone until
        // the completion ring names it. `has_room` saw a free slot, so it is taken.
        let _one = unsafe { self.tx.produce_one(&descriptor) };
        self.statistics.packets += 1;
        self.waiting += 1;
        if self.waiting == BATCH { self.wake() } else { Ok(()) }
    }

    /// Waits until the kernel, or in zero-copy the driver, has taken all frames.
    ///
    /// # Errors
    /// `TimedOut` where the interface takes nothing; else sendto(2)'s.
    pub fn flush(&mut self) -> io::Result<()> {
        self.wait_until(|sender| sender.tx.nb_free_exact() as usize == sender.ring_size)
    }

    /// Waits until all frames are sent and their memory is ours again: before a drop, which would
    /// take what a device still has to send.
    ///
    /// # Errors
    /// As for [`XdpSender::flush`].
    pub fn finish(&mut self) -> io::Result<()> {
        self.flush()?;
        self.wait_until(|sender| {
            sender.reap();
            sender.free.len() == sender.ring_size
        })
    }

    /// The counters so far.
    ///
    /// # Errors
    /// getsockopt(2)'s for `XDP_STATISTICS`.
    pub fn statistics(&self) -> io::Result<SenderStatistics> {
        let kernel = kernel_statistics(self.fd())?;
        Ok(SenderStatistics {
            invalid_descriptors: kernel.tx_invalid_descriptors,
            ..self.statistics
        })
    }

    /// Makes the kernel send until `done`. Not by poll(2): that sends too, but keeps to itself what
    /// the interface refused (`xsk_poll`).
    fn wait_until(&mut self, done: impl Fn(&mut Self) -> bool) -> io::Result<()> {
        if done(self) {
            return Ok(());
        }
        let (mut taken, mut since, mut wakes) = (self.taken(), Instant::now(), 0);
        loop {
            self.wake()?;
            wakes += 1;
            if done(self) {
                return Ok(());
            }
            if self.taken() != taken {
                (taken, since, wakes) = (self.taken(), Instant::now(), 0);
            }
            if wakes > STALL_WAKES && since.elapsed() > STALL {
                let text = "the interface takes no frames: expected its link up and this queue \
                            among its TX queues";
                return Err(io::Error::new(io::ErrorKind::TimedOut, text));
            }
            if wakes < YIELDS {
                std::thread::yield_now();
            } else {
                std::thread::sleep(NAP);
            }
        }
    }

    /// What the interface has taken, and how much of it is ours again: it changes while that goes on.
    fn taken(&mut self) -> (u32, usize) {
        self.reap();
        (self.tx.nb_free_exact(), self.free.len())
    }

    /// True where a frame is free and a slot for it.
    fn has_room(&mut self) -> bool {
        if self.free.is_empty() {
            self.reap();
        }
        // A kernel may tell of a sent frame before it gives the slot back.
        !self.free.is_empty() && self.tx.nb_free(1) > 0
    }

    /// Takes back the frames that have been sent.
    fn reap(&mut self) {
        loop {
            // SAFETY: this ring was made with the UMEM in `frames`; what it says about frames is
            // checked below, one by one.
            let sent = unsafe { self.completion.consume(&mut self.batch) };
            for descriptor in &self.batch[..sent] {
                if self.frames.take_back(descriptor) {
                    self.free.push(*descriptor);
                } else {
                    self.statistics.bad_descriptors += 1;
                }
            }
            if sent < self.batch.len() {
                return;
            }
        }
    }

    /// Makes the kernel send, where it wants to be asked.
    fn wake(&mut self) -> io::Result<()> {
        self.waiting = 0;
        if self.zero_copy && !self.tx.needs_wakeup() {
            return Ok(());
        }
        self.statistics.wakeups += 1;
        let result = SockRef::from(&self.fd()).send_with_flags(&[], libc::MSG_DONTWAIT);
        let Err(error) = result else { return Ok(()) };
        match error.raw_os_error() {
            // In copy mode: one frame was completed and not sent (net/xdp/xsk.c, NET_XMIT_DROP).
            Some(libc::EBUSY) if !self.zero_copy => {
                self.statistics.refused += 1;
                Ok(())
            }
            // More than a batch, no memory for now, or a device that is full or busy.
            Some(libc::EAGAIN | libc::ENOBUFS | libc::EBUSY) => Ok(()),
            _ => Err(error),
        }
    }

    /// Gives a zero-copy driver as many frames as the fill ring holds: it receives into them what
    /// arrives on this queue, and recycles them by itself when it passes packets to the kernel.
    fn lend_to_receiving(&mut self) {
        let keep = self.free.len().saturating_sub(self.ring_size);
        for descriptor in &self.free[keep..] {
            self.frames.hand_over(descriptor);
        }
        let (rx, fill) = &mut self.receiving;
        // SAFETY: each frame in `free` is ours, is of this UMEM, and is there once; these leave it
        // on the next line. The fill ring is empty and has `ring_size` slots, so all are taken.
        let _all = unsafe { fill.produce(&self.free[keep..]) };
        self.free.truncate(keep);
        if fill.needs_wakeup() {
            // A driver that cannot be woken is found out by the first `wake`.
            let _ = fill.wakeup(rx.fd_mut(), 0);
        }
    }

    /// Drivers grant zero-copy and then do not send without an XDP program on the interface
    /// (`ixgbe_xsk_wakeup` in drivers/net/ethernet/intel/ixgbe/ixgbe_xsk.c).
    fn explained(&self, error: io::Error) -> io::Error {
        if self.zero_copy && matches!(error.raw_os_error(), Some(libc::ENXIO | libc::EINVAL)) {
            let text = format!(
                "{error} (the driver sends in zero-copy only while an XDP program is attached: \
                 bind in copy mode)"
            );
            return io::Error::other(text);
        }
        error
    }

    fn fd(&self) -> BorrowedFd<'_> {
        // SAFETY: the socket lives as long as `tx`, which is borrowed.
        unsafe { BorrowedFd::borrow_raw(self.tx.fd().as_raw_fd()) }
    }
}
