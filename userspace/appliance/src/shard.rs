//! From events to records: the book-keeping half of the path.
//!
//! Arrives: the events of this shard's instruments, from one mailbox a worker. Leaves: complete
//! records in a [`RecordSink`], the books themselves, and what the machines behind the books make of
//! their records. The same code runs on a pinned thread behind a ring and, in a replay, directly
//! behind the router.
//!
//! Promises: events of one mailbox are applied in order, and a record is in the sink before a machine
//! sees it. Counts in [`wirebook_machine::Counters`] and [`wirebook_machine::MachineCounters`].

use crate::lines::ChannelSpec;
use crate::router::Mailbox;
use wirebook_machine::{Book, BookSink, Books, Chain, Limits, LimitsError, Supervision};
use wirebook_model::dbn::{RecordRef, rtype};
use wirebook_model::{ALL_INSTRUMENTS, Event, RecordSink};

/// The books and machines of one shard's instruments and where their records go.
pub struct Shard<S> {
    books: Books,
    machines: Chain,
    sink: S,
}

impl<S: RecordSink> Shard<S> {
    /// A shard with room for `limits`, whose records go to `sink`, without machines.
    ///
    /// # Errors
    /// Fails where the memory for the limits cannot be had.
    pub fn new(limits: Limits, sink: S) -> Result<Self, LimitsError> {
        let machines = Chain::new(limits.instruments, Supervision::default());
        Ok(Self { books: Books::new(limits)?, machines, sink })
    }

    /// Puts machines behind the books. They are fed best levels too, which readers get from the board.
    pub fn with_machines(mut self, machines: Chain) -> Self {
        if !machines.is_empty() {
            self.books.tell_tops();
        }
        self.machines = machines;
        self
    }

    /// Tells the books what is the same for all instruments of a channel.
    pub fn set_channel(&mut self, spec: &ChannelSpec) {
        self.books.set_publisher(spec.number, spec.publisher_id);
        self.books.set_quotes_restore(spec.number, spec.quotes_restore);
    }

    /// Applies one event.
    #[inline]
    pub fn apply(&mut self, event: &Event) {
        if self.machines.is_empty() {
            self.books.apply(event, &mut self.sink);
        } else {
            let tap = &mut Tap { machines: &mut self.machines, sink: &mut self.sink };
            self.books.apply(event, tap);
        }
    }

    /// The books.
    pub fn books(&self) -> &Books {
        &self.books
    }

    /// The machines behind the books.
    pub fn machines(&self) -> &Chain {
        &self.machines
    }

    /// The machines behind the books, to take their incidents.
    pub fn machines_mut(&mut self) -> &mut Chain {
        &mut self.machines
    }

    /// (machine, channel, instrument id, digest) of every machine of every instrument.
    pub fn machine_digests(&self) -> impl Iterator<Item = (&str, u8, u32, u64)> {
        (0..).zip(self.books.iter()).flat_map(|(number, book)| {
            let (channel, id) = (book.channel(), book.instrument_id());
            self.machines.digests(number).map(move |(name, digest)| (name, channel, id, digest))
        })
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

/// Between the books and the machines behind them.
struct Tap<'a, S> {
    machines: &'a mut Chain,
    sink: &'a mut S,
}

impl<S: RecordSink> BookSink for Tap<'_, S> {
    fn record(&mut self, number: Option<u32>, channel: u8, record: RecordRef<'_>) {
        let header = record.header();
        if header.rtype != rtype::MBP_1 {
            self.sink.record(record);
        }
        match number {
            Some(number) => self.machines.record(number, channel, record, self.sink),
            None if header.instrument_id == ALL_INSTRUMENTS => {
                self.machines.channel_record(channel, record, self.sink);
            }
            None => {}
        }
    }
}
