//! Where a shard's records go: its output ring, and the recorder.
//!
//! Arrives: records as books and the machines behind them complete them. Leaves: those that are
//! published, in the output ring; all of them, and states, in the ring to the recorder where there is
//! one. Promises: no reader holds them back. Counts records too long for the ring.

use crate::published::Published;
use crate::recorder::JournalWriter;
use wirebook_machine::BookSink;
use wirebook_model::dbn::RecordRef;
use wirebook_model::{BookState, RecordSink};
use wirebook_shm::ring::{Cursor, Writer};

/// Where a shard's records go, and where a reader of the board goes on in them.
pub trait Output: BookSink {
    /// Where the next record will stand.
    fn cursor(&self) -> Cursor;

    /// Says that the board shows all that the records so far say.
    fn mark_shown(&self);
}

/// A shard's output ring as a sink of records.
pub struct OutputRing {
    writer: Writer,
    published: Published,
    unpublished: u64,
}

impl OutputRing {
    /// A sink over the writing end of a ring, which takes what is to be published.
    pub fn new(writer: Writer, published: Published) -> Self {
        Self { writer, published, unpublished: 0 }
    }

    /// Records too long for the ring; none of DBN's are.
    pub fn unpublished(&self) -> u64 {
        self.unpublished
    }
}

impl Output for OutputRing {
    fn cursor(&self) -> Cursor {
        self.writer.cursor()
    }

    fn mark_shown(&self) {
        self.writer.mark_shown();
    }
}

impl Output for ShardSink {
    fn cursor(&self) -> Cursor {
        self.output.cursor()
    }

    fn mark_shown(&self) {
        self.output.mark_shown();
    }
}

impl RecordSink for OutputRing {
    #[inline]
    fn record(&mut self, record: RecordRef<'_>) {
        if self.published.contains(record.header().rtype) {
            self.unpublished += u64::from(self.writer.push_bytes(record.as_ref()).is_err());
        }
    }
}

/// Where a shard's books send what they complete: to readers, and to the recorder where there is one.
pub struct ShardSink {
    /// The output ring.
    pub output: OutputRing,
    /// The ring to the recorder.
    pub journal: Option<JournalWriter>,
}

impl BookSink for ShardSink {
    #[inline]
    fn record(&mut self, _number: Option<u32>, channel: u8, record: RecordRef<'_>) {
        RecordSink::record(&mut self.output, record);
        if let Some(journal) = &mut self.journal {
            journal.record(channel, record);
        }
    }

    fn state(&mut self, channel: u8, instrument_id: u32, state: BookState) {
        if let Some(journal) = &mut self.journal {
            journal.state(channel, instrument_id, state);
        }
    }

    fn over_limit(&mut self, channel: u8, instrument_id: u32) {
        if let Some(journal) = &mut self.journal {
            journal.over_limit(channel, instrument_id);
        }
    }

    fn derived(&mut self, record: RecordRef<'_>) {
        RecordSink::record(&mut self.output, record);
    }
}
