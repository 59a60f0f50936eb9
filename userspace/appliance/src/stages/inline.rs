//! A shard on its worker's thread: run to completion, no ring and no second thread between them.
//!
//! Arrives: the events of the worker's own channels, one by one, and the end of each of its cycles.
//! Leaves: what a shard on a thread of its own leaves. Promises: events wait for the end of the
//! worker's cycle at most, so that the books can look ahead over them; a panic of a book's code costs
//! that book and not the worker.

use super::{Output, ShardStage};
use crate::cycles::Found;
use crate::router::Mailbox;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;
use wirebook_model::{Event, PackedEvent};

/// The longest sleep of a worker whose shard has whole books to show now and then.
const REFRESH_WAIT: Duration = Duration::from_millis(1);

impl<S: Output> Mailbox for ShardStage<S> {
    #[inline]
    fn deliver(&mut self, event: &Event) {
        self.batch.events.push(self.shard.books(), event);
        self.apply_if_full();
    }

    #[inline]
    fn deliver_packed(&mut self, event: &PackedEvent) {
        self.batch.events.push_packed(self.shard.books(), event);
        self.apply_if_full();
    }

    #[inline]
    fn end_cycle(&mut self, found: Found) {
        self.apply_collected();
        self.end_packet();
        self.show(found);
        self.tend(found.any());
    }

    fn patience(&self) -> Duration {
        let has_work = self.refresh.is_some() || self.shard.is_repairing();
        if has_work { REFRESH_WAIT } else { Duration::MAX }
    }
}

impl<S: Output> ShardStage<S> {
    #[inline]
    fn apply_if_full(&mut self) {
        if self.batch.events.is_full() {
            self.apply_collected();
        }
    }

    /// Applies everything that was delivered.
    #[inline]
    fn apply_collected(&mut self) {
        // Unwind safety: what a panic may have torn is put into quarantine or made anew. Each time
        // round at least one event less is left, or one book more is in quarantine.
        while catch_unwind(AssertUnwindSafe(|| {
            self.shard.resume();
            self.apply_batch();
        }))
        .is_err()
        {
            self.recover();
        }
        self.batch.events.clear();
    }
}
