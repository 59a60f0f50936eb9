//! What a shard has taken out of a mailbox and not applied yet.
//!
//! Arrives: slots of a mailbox. Leaves: their events, with what the books look ahead for. Promises: what
//! was given is not given again, also behind a panic. Counts slots that held no event.

use arrayvec::ArrayVec;
use wirebook_machine::{Books, LookAhead};
use wirebook_model::UnixNanos;
use wirebook_shm::ring::GatingReader;

/// Most events that a shard takes out of a mailbox at a time: enough to look ahead over.
pub(super) const BATCH_EVENTS: usize = 64;

/// Events out of a mailbox that are not all applied yet.
pub struct Batch {
    pub(super) events: LookAhead,
    bad_slots: u64,
    /// When they were taken out.
    pub(super) taken_at: UnixNanos,
    /// When each packet began that is not known to be published: at the shard, or at the worker on its
    /// thread. The last one may go on in the next batch.
    pub(super) began: ArrayVec<UnixNanos, { BATCH_EVENTS + 1 }>,
    /// When the last batch was published.
    pub(super) published_at: UnixNanos,
    /// Turns since the board showed what changed.
    pub(super) unshown_turns: u32,
}

impl Default for Batch {
    fn default() -> Self {
        let events = LookAhead::with_capacity(BATCH_EVENTS);
        let (bad_slots, taken_at, published_at, unshown_turns) = (0, 0, 0, 0);
        Self { events, bad_slots, taken_at, began: ArrayVec::new(), published_at, unshown_turns }
    }
}

impl Batch {
    /// Slots of a mailbox that held no event of ours.
    pub fn bad_slots(&self) -> u64 {
        self.bad_slots
    }

    /// Takes the next events, in place of those that were applied; returns how many records it took.
    #[inline]
    pub(super) fn fill(&mut self, mailbox: &mut GatingReader, books: &Books) -> usize {
        self.events.clear();
        let records = mailbox.pop_each(BATCH_EVENTS, |record| {
            let is_event = self.events.push_words(books, record.words()).is_ok();
            self.bad_slots += u64::from(!is_event);
        });
        mailbox.release();
        records
    }
}
