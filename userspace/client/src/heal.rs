//! Order-level books for a reader that missed some of their records: from the refresh ring.
//!
//! What arrives: a shard's refresh ring, its board, and where the reader stands in the output ring.
//! What leaves: whole books, each as records at the one place among the others at which it holds. It
//! promises: an instrument that the reader has missed something of says nothing until its book has
//! come, and from then on says everything. A book that the writer laps comes again a round later.
//!
//! # Why a book is never too late
//!
//! A book holds at a cursor `c` of the output ring: the writer, one thread, pushes every record before
//! `c`, then the mark that ends the book, then the records from `c` on. The reader looks at the refresh
//! ring after it has read a record and before it gives it. Say it looked at position `p` and saw no
//! ending mark of a book, and sees one at its next look. Had the mark been pushed before the record that
//! brought the reader to `p`, reading that record (its sequence, then a fence) would have shown the mark
//! at the look that followed. So it was pushed after, and `c` is at least `p`. The reader goes on to `c`
//! and no further before it gives the book: no record of the instrument lies between, so none is missed
//! and none comes twice.

use std::collections::HashSet;

use dbn::{MboMsg, RecordRef};
use wirebook_shm::board::{BoardReader, CellState};
use wirebook_shm::refresh::{BEGINS, ENDS, RefreshMark};
use wirebook_shm::ring::{Cursor, Observed, ObservingReader};

/// DBN publisher and instrument id.
pub(crate) type Key = (u16, u32);

/// What one shard's books need to be whole again.
pub(crate) struct Healer {
    refresh: ObservingReader,
    board: BoardReader,
    stage: Stage,
    /// Instruments whose book has not come yet.
    pending: HashSet<Key>,
    /// The book that is being read; of an instrument that needs none, nothing.
    begun: Option<RefreshMark>,
    records: Vec<MboMsg>,
    /// The book in `records` is whole and waits for its cursor.
    whole: Option<RefreshMark>,
    /// The book in `records` is being given: the next one of them.
    giving: Option<usize>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Nothing was missed.
    Whole,
    /// Something was: the board will say which instruments there are.
    Missed,
    /// Their books are awaited.
    Healing,
}

impl Healer {
    /// A healer of a reader that stands at the start, or has missed what was published so far.
    pub(crate) fn new(refresh: ObservingReader, board: BoardReader, from_start: bool) -> Self {
        Self {
            refresh,
            board,
            stage: if from_start { Stage::Whole } else { Stage::Missed },
            pending: HashSet::new(),
            begun: None,
            records: Vec::new(),
            whole: None,
            giving: None,
        }
    }

    /// The reader has read from the start on, or has missed something.
    pub(crate) fn restart(&mut self, from_start: bool) {
        self.stage = if from_start { Stage::Whole } else { Stage::Missed };
        self.pending.clear();
        (self.begun, self.whole, self.giving) = (None, None, None);
    }

    /// True where nothing is awaited.
    #[inline]
    pub(crate) fn is_whole(&self) -> bool {
        self.stage == Stage::Whole && self.giving.is_none()
    }

    /// Instruments whose book is awaited; `None` where it is not known yet which those are.
    pub(crate) fn pending(&self) -> Option<usize> {
        (self.stage != Stage::Missed).then_some(self.pending.len())
    }

    /// True where the records of this instrument are withheld.
    pub(crate) fn withholds(&self, key: Key) -> bool {
        self.pending.contains(&key)
    }

    /// Learns which instruments there are, once the board shows all that was missed; false until then.
    pub(crate) fn begin(&mut self, shown: bool, only: Option<&HashSet<Key>>) -> bool {
        if self.stage != Stage::Missed {
            return true;
        }
        if !shown || !self.read_board(only) {
            return false;
        }
        // From here on: a book that ended before would hold before the reader's place.
        self.refresh.seek_newest();
        self.stage = if self.pending.is_empty() { Stage::Whole } else { Stage::Healing };
        true
    }

    fn read_board(&mut self, only: Option<&HashSet<Key>>) -> bool {
        self.pending.clear();
        for place in 0..self.board.len() {
            let Ok(cell) = self.board.read(place) else { return false };
            if cell.state() == Some(CellState::None) {
                break;
            }
            let key = (cell.publisher, cell.instrument_id);
            if only.is_none_or(|only| only.contains(&key)) {
                self.pending.insert(key);
            }
        }
        true
    }

    /// Reads on in the refresh ring; true once a book is to be given at the reader's `position`.
    pub(crate) fn advance(&mut self, position: Cursor) -> bool {
        loop {
            if let Some(whole) = self.whole {
                let is_due = whole.cursor <= position.get();
                if is_due {
                    self.whole = None;
                    self.pending.remove(&key(&whole));
                    self.giving = Some(0);
                    if self.pending.is_empty() {
                        self.stage = Stage::Whole;
                    }
                }
                return is_due;
            }
            match self.refresh.poll() {
                Observed::Empty => return false,
                Observed::Overrun { .. } => self.begun = None,
                Observed::Record(record) => {
                    if let Some(mark) = RefreshMark::of(record.bytes()) {
                        self.mark(mark);
                    } else if self.begun.is_some()
                        && let Some(order) = record.dbn().and_then(|record| record.get::<MboMsg>())
                    {
                        self.records.push(order.clone());
                    }
                }
            }
        }
    }

    fn mark(&mut self, mark: RefreshMark) {
        match mark.kind {
            BEGINS => {
                self.records.clear();
                self.begun = self.pending.contains(&key(&mark)).then_some(mark);
            }
            ENDS => {
                let begun = self.begun.take().filter(|begun| key(begun) == key(&mark));
                let is_all = self.records.len() as u64 == mark.records;
                self.whole = begun.filter(|_| is_all).map(|_| mark);
            }
            _ => self.begun = None,
        }
    }

    /// True where a book is being given.
    #[inline]
    pub(crate) fn is_giving(&self) -> bool {
        self.giving.is_some()
    }

    /// The next record of the book that is being given.
    pub(crate) fn give(&mut self) -> Option<RecordRef<'_>> {
        let at = self.giving?;
        self.giving = Some(at + 1).filter(|&next| next < self.records.len());
        self.records.get(at).map(RecordRef::from)
    }
}

fn key(mark: &RefreshMark) -> Key {
    (mark.publisher, mark.instrument_id)
}
