//! Whole books for readers that missed some of their records, written when there is nothing else to do.
//!
//! Arrives: an idle cycle of a shard. Leaves: books in the shard's refresh ring, one after the other,
//! each with the cursor of the output ring at which it holds; so a reader that joins late or was
//! lapped has every book after one round, and nothing that a reader does costs the writer anything.
//! Promises: a cycle writes a piece of a book, so an event that arrives meanwhile waits for
//! `PIECE` records at most; a book that changes before its last piece is begun anew, and the
//! third time written at once. The stage `refresh piece` says how long any of them took. Counts in
//! [`RefreshCounters`].

use derive_more::AddAssign;
use serde::Serialize;
use wirebook_machine::{Book, Books, Snapshot};
use wirebook_model::UnixNanos;
use wirebook_model::dbn::RecordRef;
use wirebook_shm::refresh::{BEGINS, ENDS, RefreshMark};
use wirebook_shm::ring::{Cursor, Writer};
use wirebook_telemetry::StageHistogram;

/// Records of a piece, at most.
const PIECE: usize = 128;
/// How often a book is begun anew before it is written at once.
const BEGUN_ANEW_MAX: u32 = 2;

/// What a shard has written into its refresh ring.
#[derive(AddAssign, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RefreshCounters {
    /// Books.
    pub books: u64,
    /// Times round all books.
    pub rounds: u64,
    /// Books begun anew, as they changed before their last piece.
    pub begun_anew: u64,
    /// Books given up for their size: a reader could not have kept half the ring in reach.
    pub too_large: u64,
}

/// Goes round a shard's books.
pub struct Refresh {
    ring: Writer,
    /// Records of one book, at most.
    records_max: usize,
    /// Least time from one book to the next.
    every_ns: u64,
    /// When the next book may be written.
    due: UnixNanos,
    /// The next book's number.
    next: u32,
    /// The book that is being written.
    current: Option<(Snapshot, RefreshMark)>,
    /// How often the next book was begun in vain.
    begun_anew: u32,
    round_began: UnixNanos,
    counters: RefreshCounters,
    round_time: StageHistogram,
    piece_time: StageHistogram,
}

/// Where a refresh says how long it took.
pub struct RefreshHistograms {
    /// Once round all books.
    pub round: StageHistogram,
    /// One piece of a book: how long an event may have waited for it.
    pub piece: StageHistogram,
}

impl Refresh {
    /// Writes into `ring`, a ring of `slots` slots, at most one book in `every_ns`.
    pub fn new(ring: Writer, slots: usize, every_ns: u64, histograms: RefreshHistograms) -> Self {
        Self {
            ring,
            records_max: slots / 2,
            every_ns,
            due: 0,
            next: 0,
            current: None,
            begun_anew: 0,
            round_began: 0,
            counters: RefreshCounters::default(),
            round_time: histograms.round,
            piece_time: histograms.piece,
        }
    }

    /// What was written so far.
    pub fn counters(&self) -> RefreshCounters {
        self.counters
    }

    /// Writes the next piece where its time has come; `cursor` is where the next record will stand in
    /// the output ring. `clock` is asked once more where something was written.
    pub fn tend(
        &mut self,
        books: &Books,
        cursor: Cursor,
        now: UnixNanos,
        clock: impl FnOnce() -> UnixNanos,
    ) {
        if let Some((snapshot, _)) = &self.current
            && !books.is_as_begun(snapshot)
        {
            self.current = None;
            self.begun_anew += 1;
            self.counters.begun_anew += 1;
        }
        if self.current.is_none() && !self.begin(books, now) {
            return;
        }
        self.write(books, cursor);
        let end = clock();
        self.piece_time.record(end.saturating_sub(now));
        if self.current.is_none() {
            self.next += 1;
            self.begun_anew = 0;
            self.due = end.saturating_add(self.every_ns);
        }
    }

    /// Hands the times over to housekeeping.
    pub fn hand_over(&mut self) {
        self.round_time.hand_over();
        self.piece_time.hand_over();
    }

    fn end_round(&mut self, now: UnixNanos) {
        if self.next > 0 {
            self.round_time.record(now.saturating_sub(self.round_began));
            self.counters.rounds += 1;
            self.next = 0;
        }
    }

    /// Begins with the next book; false where it is not its time.
    fn begin(&mut self, books: &Books, now: UnixNanos) -> bool {
        if now < self.due {
            return false;
        }
        let Some(book) = books.by_number(self.next) else {
            self.end_round(now);
            return false;
        };
        if self.next == 0 && self.begun_anew == 0 {
            self.round_began = now;
        }
        let Some(snapshot) = books.begin_snapshot(self.next) else {
            // Inside a venue's event: its turn comes again in the next round.
            self.next += 1;
            self.begun_anew = 0;
            return false;
        };
        let mark = self.mark(&book, books.publisher_id(book.channel()));
        self.push(mark.bytes());
        self.current = Some((snapshot, mark));
        true
    }

    /// Writes a piece of the current book, and behind the last one where the book holds.
    fn write(&mut self, books: &Books, cursor: Cursor) {
        let Some((mut snapshot, mut mark)) = self.current.take() else { return };
        let is_at_once = self.begun_anew >= BEGUN_ANEW_MAX;
        let mut left = if is_at_once { usize::MAX } else { PIECE };
        while left > 0 {
            let Some(record) = books.next_record(&mut snapshot) else {
                (mark.kind, mark.cursor) = (ENDS, cursor.get());
                self.push(mark.bytes());
                self.counters.books += 1;
                return;
            };
            if mark.records as usize == self.records_max {
                self.counters.too_large += 1;
                return;
            }
            self.push(RecordRef::from(&record).as_ref());
            mark.records += 1;
            left -= 1;
        }
        self.current = Some((snapshot, mark));
    }

    fn mark(&self, book: &Book<'_>, publisher: u16) -> RefreshMark {
        RefreshMark {
            publisher,
            instrument_id: book.instrument_id(),
            ts_event: book.ts_event(),
            kind: BEGINS,
            state: book.state() as u8,
            stale_reason: book.stale_reason() as u8,
            channel: book.channel(),
            sequence: book.sequence(),
            round: self.counters.rounds,
            ..RefreshMark::default()
        }
    }

    fn push(&mut self, bytes: &[u8]) {
        let pushed = self.ring.push_bytes(bytes);
        debug_assert!(pushed.is_ok(), "a mark and an order's record take a slot each");
    }
}
