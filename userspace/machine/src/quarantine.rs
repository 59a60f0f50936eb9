//! Keeps the fault of one book from the others of its shard.
//!
//! Arrives: the number of a book whose code panicked, or whose self-check failed. Leaves: that book
//! empty and stale, all that it held free again, every other book as it was. In quarantine a book
//! takes no events, which `quarantined_events` counts, until it is readmitted: when and how often
//! is for the one who supervises the shard to say.
//!
//! ```text
//!   any state ──quarantine──▶ Stale (fault, self-check), takes no events ──readmit──▶ Healing, …
//! ```

use wirebook_model::{BookState, StaleReason};

use crate::book::BookCore;
use crate::books::{Books, LimitsError, instrument_key};

impl Books {
    /// The number of the book that an event was being applied to when that panicked, here or in
    /// what takes the records; `None` where no book was in the making.
    pub fn interrupted(&self) -> Option<u32> {
        self.editing
    }

    /// Empties a book whose lists may be torn and takes it out of service: it is `Stale` for
    /// `reason` and ignores events, until [`Books::readmit`]. A number of no book does nothing to
    /// any, but the tables are put in order all the same.
    ///
    /// No other book changes, unless its lists turn out torn too: then it is in quarantine as well,
    /// for `Fault`. Takes a step for each place of the tables, and allocates: this is no part of
    /// the hot path. No record leaves; readers see a state by the board, and an event that the
    /// book had begun has no end.
    pub fn quarantine(&mut self, number: u32, reason: StaleReason) {
        self.editing = None;
        self.changed.clear();
        self.changed.extend(
            (0..self.books.len() as u32).filter(|&number| self.books[number as usize].changed),
        );
        self.shut(number, reason);
        let ladders = self.books.iter().map(|book| &book.ladders);
        for torn in self.tables.sweep((0..).zip(ladders)) {
            self.shut(torn, StaleReason::Fault);
        }
    }

    /// Puts a book in quarantine back into service: empty, in `state`. A book that is in none
    /// stays as it is.
    ///
    /// Readers of records may still hold what the book held: a `Clear` of its instrument, applied
    /// next, tells them and ends the event that was torn off.
    pub fn readmit(&mut self, number: u32, state: BookState) {
        let book = self.books.get_mut(number as usize).filter(|book| book.quarantined);
        let Some(book) = book else { return };
        book.quarantined = false;
        if state != BookState::Stale {
            book.set_state(state);
        }
        self.mark_changed(number);
    }

    /// A shard in place of this one, whose tables cannot be trusted: the same limits, channels,
    /// counters, and instruments under the same numbers; every book empty, `Stale` for `Fault`, and
    /// in quarantine: what its channel says next of it was meant for the book that is gone.
    ///
    /// # Errors
    /// [`LimitsError`] where the host has no memory for a second set of tables.
    pub fn emptied(&self) -> Result<Self, LimitsError> {
        let mut empty = Self::new(self.limits)?;
        empty.tables.queued = self.tables.queued;
        empty.channels = self.channels.clone();
        empty.counters = self.counters;
        for (book, number) in self.books.iter().zip(0..) {
            let mut book = BookCore { changed: false, ..book.clone() };
            book.lose(StaleReason::Fault);
            book.quarantined = true;
            let key = instrument_key(book.channel, book.instrument_id);
            empty.instruments.insert(key, number + 1);
            empty.books.push(book);
            empty.mark_changed(number);
        }
        if self.telling.one.is_some() {
            empty.tell_tops();
        }
        if self.telling.ten.is_some() {
            empty.tell_ten_levels();
        }
        Ok(empty)
    }

    fn shut(&mut self, number: u32, reason: StaleReason) {
        if let Some(book) = self.books.get_mut(number as usize) {
            book.lose(reason);
            book.quarantined = true;
            self.mark_changed(number);
        }
    }
}

#[cfg(test)]
mod tests;
