//! Whole books for readers that missed some of their records, written when there is nothing else to do.
//!
//! Arrives: an idle cycle of a shard. Leaves: at most one book in the shard's refresh ring, the next
//! in turn, with the cursor of the output ring at which it holds; so a reader that joins late or was
//! lapped has every book after one round, and nothing that a reader does costs the writer anything.
//! Promises: a book is written between two events of the shard, whole. That is its price too: an event
//! that arrives meanwhile waits for a record of each order of the one book; the stage `refresh of a
//! book` says how long. Counts in [`RefreshCounters`].

use derive_more::AddAssign;
use serde::Serialize;
use wirebook_machine::{Book, Books};
use wirebook_model::UnixNanos;
use wirebook_model::dbn::RecordRef;
use wirebook_shm::refresh::{BEGINS, ENDS, RefreshMark};
use wirebook_shm::ring::{Cursor, Writer};
use wirebook_telemetry::StageHistogram;

/// What a shard has written into its refresh ring.
#[derive(AddAssign, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RefreshCounters {
    /// Books.
    pub books: u64,
    /// Times round all books.
    pub rounds: u64,
    /// Books given up for their size: a reader could not have kept half the ring in reach.
    pub too_large: u64,
}

/// Goes round a shard's books.
pub struct Refresh {
    ring: Writer,
    publishers: [u16; 256],
    /// Records of one book, at most.
    records_max: usize,
    /// Least time from one book to the next.
    every_ns: u64,
    /// When the next book may be written.
    due: UnixNanos,
    /// The next book's number.
    next: u32,
    round_began: UnixNanos,
    counters: RefreshCounters,
    round_time: StageHistogram,
    book_time: StageHistogram,
}

/// Where a refresh says how long it took.
pub struct RefreshHistograms {
    /// Once round all books.
    pub round: StageHistogram,
    /// One book: how long an event may have waited for it.
    pub book: StageHistogram,
}

impl Refresh {
    /// Writes into `ring`, a ring of `slots` slots, at most one book in `every_ns`.
    pub fn new(
        ring: Writer,
        slots: usize,
        every_ns: u64,
        publishers: [u16; 256],
        histograms: RefreshHistograms,
    ) -> Self {
        Self {
            ring,
            publishers,
            records_max: slots / 2,
            every_ns,
            due: 0,
            next: 0,
            round_began: 0,
            counters: RefreshCounters::default(),
            round_time: histograms.round,
            book_time: histograms.book,
        }
    }

    /// What was written so far.
    pub fn counters(&self) -> RefreshCounters {
        self.counters
    }

    /// Writes the next book where its time has come; `cursor` is where the next record will stand in
    /// the output ring. `clock` is asked once more where a book was written.
    pub fn tend(
        &mut self,
        books: &Books,
        cursor: Cursor,
        now: UnixNanos,
        clock: impl FnOnce() -> UnixNanos,
    ) {
        if now < self.due {
            return;
        }
        let Some(book) = books.by_number(self.next) else { return self.end_round(now) };
        if self.next == 0 {
            self.round_began = now;
        }
        self.next += 1;
        self.write(books, &book, cursor);
        let end = clock();
        self.book_time.record(end.saturating_sub(now));
        self.due = end.saturating_add(self.every_ns);
    }

    /// Hands the times over to housekeeping.
    pub fn hand_over(&mut self) {
        self.round_time.hand_over();
        self.book_time.hand_over();
    }

    fn end_round(&mut self, now: UnixNanos) {
        if self.next > 0 {
            self.round_time.record(now.saturating_sub(self.round_began));
            self.counters.rounds += 1;
            self.next = 0;
        }
    }

    fn write(&mut self, books: &Books, book: &Book<'_>, cursor: Cursor) {
        let Some(records) = books.snapshot(book.number()) else { return };
        let mut mark = self.mark(book, cursor);
        self.push(mark.bytes());
        for record in records {
            if mark.records as usize == self.records_max {
                self.counters.too_large += 1;
                return;
            }
            self.push(RecordRef::from(&record).as_ref());
            mark.records += 1;
        }
        mark.kind = ENDS;
        self.push(mark.bytes());
        self.counters.books += 1;
    }

    fn mark(&self, book: &Book<'_>, cursor: Cursor) -> RefreshMark {
        RefreshMark {
            publisher: self.publishers[usize::from(book.channel())],
            instrument_id: book.instrument_id(),
            ts_event: book.ts_event(),
            kind: BEGINS,
            state: book.state() as u8,
            stale_reason: book.stale_reason() as u8,
            channel: book.channel(),
            sequence: book.sequence(),
            cursor: cursor.get(),
            round: self.counters.rounds,
            ..RefreshMark::default()
        }
    }

    fn push(&mut self, bytes: &[u8]) {
        let pushed = self.ring.push_bytes(bytes);
        debug_assert!(pushed.is_ok(), "a mark and an order's record take a slot each");
    }
}
