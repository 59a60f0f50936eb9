//! The books of a shard once more, kept from its journal alone.
//!
//! Arrives: the records of a journal, as they stand in its files. Leaves: the books that the shard
//! had when it made them, to the same digest. The recorder keeps one beside the files that it
//! writes, and a replay of the journal one instead of the shard.

use super::note::{FileHead, Note};
use crate::capture::DbnEvents;
use dbn::decode::DbnRecordDecoder;
use std::collections::BTreeMap;
use wirebook_machine::{Books, Limits, LimitsError, RestoreError};
use wirebook_model::dbn::RecordRef;
use wirebook_model::{Event, EventSink};

pub(super) struct Replica {
    books: Books,
    channels: BTreeMap<u8, DbnEvents>,
}

impl Replica {
    /// Books that have seen nothing.
    pub(super) fn new(limits: Limits) -> Result<Self, LimitsError> {
        Ok(Self { books: Books::new(limits)?, channels: BTreeMap::new() })
    }

    /// The books of a snapshot.
    pub(super) fn restore(limits: Limits, bytes: &[u8]) -> Result<Self, RestoreError> {
        Ok(Self { books: Books::restore(limits, bytes)?, channels: BTreeMap::new() })
    }

    /// Tells the books of a channel.
    pub(super) fn set_channel(&mut self, head: &FileHead) {
        self.books.set_publisher(head.channel, head.publisher_id);
        self.books.set_quotes_restore(head.channel, head.quotes_restore);
    }

    /// Takes records as they follow each other in a file.
    pub(super) fn records(&mut self, channel: u8, records: &[u8]) -> dbn::Result<()> {
        let mut decoder = DbnRecordDecoder::new(records);
        while let Some(record) = decoder.decode_ref()? {
            self.record(channel, record);
        }
        Ok(())
    }

    /// Takes the next record of a channel.
    pub(super) fn record(&mut self, channel: u8, record: RecordRef<'_>) {
        if let Some(Note::WirebookLimit) = record.get().and_then(Note::of) {
            self.books.set_over_limit(channel, record.header().instrument_id);
        }
        let new = || DbnEvents::without_symbols(channel);
        let events = self.channels.entry(channel).or_insert_with(new);
        events.record(record, &mut Apply(&mut self.books));
    }

    pub(super) fn books(&self) -> &Books {
        &self.books
    }

    pub(super) fn into_books(self) -> Books {
        self.books
    }

    /// Records that said nothing to a book, and those that contradict their format.
    pub(super) fn skipped_and_malformed(&self) -> (u64, u64) {
        let both = |events: &DbnEvents| (events.skipped_records(), events.malformed_records());
        self.channels.values().map(both).fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
    }
}

struct Apply<'a>(&'a mut Books);

impl EventSink for Apply<'_> {
    fn event(&mut self, event: &Event) {
        self.0.apply(event, &mut ());
    }
}
