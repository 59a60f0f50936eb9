//! Sleeping readers, and how a writer that was asked to wakes them.
//!
//! What arrives: a writer's word that something was published. What leaves: readers that slept on the
//! one word in the segment's header are awake. It promises: a wake between a reader's look at the word
//! and its sleep is not lost, as the kernel compares the word again (futex(2), `FUTEX_WAIT`); a reader
//! needs no writable memory for it (`get_futex_key` in kernel/futex/core.c asks for read access alone).
#![allow(unsafe_code, reason = "futex(2) has no wrapper")]

use std::sync::atomic::{AtomicU64, Ordering, fence};
use std::time::Duration;

use crate::layout::{WAKES_READERS_WORD, WAKES_WORD};
use crate::view::View;

/// The writing side; each thread that publishes has one.
#[derive(Clone)]
pub struct Waker {
    header: View<AtomicU64>,
}

impl Waker {
    pub(crate) fn new(header: View<AtomicU64>) -> Self {
        header[WAKES_READERS_WORD].store(1, Ordering::Relaxed);
        Self { header }
    }

    /// Wakes all readers that sleep: one system call.
    pub fn wake(&self) {
        // What was published before comes before the word that readers look at first.
        self.header[WAKES_WORD].fetch_add(1, Ordering::Release);
        // SAFETY: the word lies in memory that `self.header` keeps; the call reads no more of it than
        // its address and takes no other pointer.
        let _woken = unsafe {
            libc::syscall(libc::SYS_futex, word(&self.header), libc::FUTEX_WAKE, i32::MAX)
        };
    }
}

/// How often readers were woken; `None` where the writer wakes none.
pub(crate) fn wakes(header: &View<AtomicU64>) -> Option<u32> {
    let wakes_readers = header[WAKES_READERS_WORD].load(Ordering::Relaxed) == 1;
    let wakes = header[WAKES_WORD].load(Ordering::Relaxed) as u32;
    fence(Ordering::Acquire);
    wakes_readers.then_some(wakes)
}

/// Sleeps until there was another wake than those `seen`, or for `patience`.
pub(crate) fn sleep(header: &View<AtomicU64>, seen: u32, patience: Duration) {
    let timeout = libc::timespec {
        tv_sec: patience.as_secs() as libc::time_t,
        tv_nsec: patience.subsec_nanos().into(),
    };
    // SAFETY: the word lies in memory that `header` keeps, and the kernel only reads it; `timeout` is
    // a whole `timespec` on this stack for as long as the call lasts.
    let _outcome = unsafe {
        libc::syscall(libc::SYS_futex, word(header), libc::FUTEX_WAIT, seen, &raw const timeout)
    };
}

/// The half of the word that counts: a futex has 32 bits.
fn word(header: &View<AtomicU64>) -> *const u32 {
    let word = header[WAKES_WORD].as_ptr().cast_const().cast::<u32>();
    // The low half, wherever this machine has it.
    if cfg!(target_endian = "little") { word } else { word.wrapping_add(1) }
}
