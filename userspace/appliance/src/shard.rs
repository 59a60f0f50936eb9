//! From events to records: the book-keeping half of the path.
//!
//! Arrives: the events of this shard's instruments, from one mailbox a worker. Leaves: complete
//! records in a [`RecordSink`], and the books themselves. The same code runs on a pinned thread
//! behind a ring and, in a replay, directly behind the router.
//!
//! Promises: events of one mailbox are applied in order. Counts in [`wirebook_machine::Counters`].

use crate::lines::ChannelSpec;
use crate::router::Mailbox;
use wirebook_machine::{Book, Books, Limits, LimitsError};
use wirebook_model::{Event, RecordSink};

/// The machines of one shard's instruments and where their records go.
pub struct Shard<S> {
    books: Books,
    sink: S,
}

impl<S: RecordSink> Shard<S> {
    /// A shard with room for `limits`, whose records go to `sink`.
    ///
    /// # Errors
    /// Fails where the memory for the limits cannot be had.
    pub fn new(limits: Limits, sink: S) -> Result<Self, LimitsError> {
        Ok(Self { books: Books::new(limits)?, sink })
    }

    /// Tells the books what is the same for all instruments of a channel.
    pub fn set_channel(&mut self, spec: &ChannelSpec) {
        self.books.set_publisher(spec.number, spec.publisher_id);
        self.books.set_quotes_restore(spec.number, spec.quotes_restore);
    }

    /// Applies one event.
    #[inline]
    pub fn apply(&mut self, event: &Event) {
        self.books.apply(event, &mut self.sink);
    }

    /// The books.
    pub fn books(&self) -> &Books {
        &self.books
    }

    /// Gives each book that changed since the last call.
    pub fn drain_changed(&mut self, changed: impl FnMut(usize, Book<'_>)) {
        self.books.drain_changed(changed);
    }

    /// Where the records go.
    pub fn sink(&self) -> &S {
        &self.sink
    }

    /// Ends the shard; its books can still be looked at.
    pub fn into_parts(self) -> (Books, S) {
        (self.books, self.sink)
    }
}

/// A worker and its shard on one thread: run to completion, no ring between them.
impl<S: RecordSink> Mailbox for Shard<S> {
    #[inline]
    fn deliver(&mut self, event: &Event) {
        self.apply(event);
    }
}
