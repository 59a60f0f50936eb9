//! A worker's way to one shard: a gated ring.
//!
//! Arrives: events, one by one, and the end of each of the worker's cycles. Leaves: their words in the
//! ring, announced to the shard at the latest where the cycle ends. Promises: a full ring holds the worker
//! back and loses nothing, as long as the shard's thread lives. Counts how often it was held back, and
//! what a shard that is gone did not take.

use crate::cycles::Found;
use crate::progress::{Awaits, Progress};
use crate::router::Mailbox;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use wirebook_model::{Event, PackedEvent};
use wirebook_shm::ring::{GatedWriter, PushError};

/// A ring to one shard.
pub struct RingMailbox {
    writer: GatedWriter,
    /// Set once the shard's thread is over: it will make no more room.
    shard_gone: Arc<AtomicBool>,
    /// The worker's, and the shard's number, to say what the worker awaits.
    progress: Progress,
    shard: u16,
    backpressure: u64,
    undelivered: u64,
}

impl RingMailbox {
    /// The worker's end of a ring.
    pub fn new(writer: GatedWriter, shard_gone: Arc<AtomicBool>) -> Self {
        let progress = Progress::default();
        Self { writer, shard_gone, progress, shard: 0, backpressure: 0, undelivered: 0 }
    }

    /// Says of the worker that has this progress when it awaits room in the mailbox of `shard`.
    pub fn with_progress(self, progress: Progress, shard: u16) -> Self {
        Self { progress, shard, ..self }
    }

    #[inline]
    fn push(&mut self, words: &[u64]) {
        match self.writer.try_push_words(words) {
            Ok(_) => {}
            Err(PushError::Full) => self.wait_for_room(words),
            Err(PushError::Length(_)) => debug_assert!(false, "an event is at most two slots"),
        }
    }

    #[cold]
    fn wait_for_room(&mut self, words: &[u64]) {
        self.backpressure += 1;
        self.writer.announce();
        self.progress.awaits(Awaits::Room(self.shard));
        while let Err(PushError::Full) = self.writer.try_push_words(words) {
            if self.shard_gone.load(Ordering::Acquire) {
                self.undelivered += 1;
                return;
            }
            std::thread::yield_now();
        }
        self.progress.awaits(Awaits::Nothing);
    }
}

impl Mailbox for RingMailbox {
    #[inline]
    fn deliver(&mut self, event: &Event) {
        self.push(event.encode().as_slice());
    }

    #[inline]
    fn deliver_packed(&mut self, event: &PackedEvent) {
        self.push(event.words());
    }

    #[inline]
    fn end_cycle(&mut self, found: Found) {
        if found.any() {
            self.writer.announce();
        }
    }

    fn backpressure(&self) -> u64 {
        self.backpressure
    }

    fn undelivered(&self) -> u64 {
        self.undelivered
    }
}
