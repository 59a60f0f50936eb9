//! Shows a shard's books on the board.
//!
//! Arrives: the end of a turn. Leaves: the top of each book that changed, in its cell. Promises: a reader
//! who goes on from a cell's cursor in the output ring misses nothing.

use super::{Output, ShardStage};
use crate::cycles::Found;
use wirebook_machine::{Book, Level};
use wirebook_shm::board::{CELL_LEVELS, Cell, CellLevel};
use wirebook_shm::ring::Cursor;

/// Turns that the board may be behind its records while more waits than a turn takes. A book's cell is
/// nine cache lines, written whole, so one that changes again and again in a burst is cheaper shown once; and
/// who reads the board then waits for what is in front of the thread anyway.
const UNSHOWN_TURNS_MAX: u32 = 7;

impl<S: Output> ShardStage<S> {
    /// Shows what has changed; also where nothing was found, as a book may have fallen. While more waits
    /// than a turn takes, a book that changes in each of some turns is shown once.
    #[inline]
    pub(super) fn show(&mut self, found: Found) {
        if found == Found::More && self.batch.unshown_turns < UNSHOWN_TURNS_MAX {
            self.batch.unshown_turns += 1;
        } else {
            self.batch.unshown_turns = 0;
            self.show_changed();
        }
        if found.any()
            && let Some(waker) = &self.waker
        {
            waker.wake();
        }
    }

    fn show_changed(&mut self) {
        let cursor = self.shard.sink().cursor();
        let (board, publishers) = (&mut self.board, &self.publishers);
        let all_shown = self.shard.drain_changed(|place, book| {
            let publisher = publishers[usize::from(book.channel())];
            // The board has one cell for each book that the limits allow.
            let shown = board.publish(place, &cell(&book, publisher, cursor));
            debug_assert!(shown.is_ok(), "a board has a cell for every book");
        });
        if all_shown {
            self.shard.sink().mark_shown();
        }
    }
}

/// A book's top as readers see it.
fn cell(book: &Book<'_>, publisher: u16, cursor: Cursor) -> Cell {
    let mut cell = Cell {
        instrument_id: book.instrument_id(),
        publisher,
        state: book.state() as u8,
        stale_reason: book.stale_reason() as u8,
        channel: book.channel(),
        sequence: book.sequence(),
        ts_event: book.ts_event(),
        ts_recv: book.ts_recv(),
        cursor: cursor.get(),
        ..Cell::default()
    };
    if let Some(trade) = book.last_trade() {
        (cell.last_price, cell.last_size) = (trade.price, trade.size);
    }
    let symbol = book.symbol();
    let length = cell.symbol.len();
    cell.symbol.copy_from_slice(&symbol.as_bytes()[..length]);
    put_levels(&mut cell.bids, book.bids());
    put_levels(&mut cell.asks, book.asks());
    cell
}

fn put_levels(cells: &mut [CellLevel; CELL_LEVELS], levels: impl Iterator<Item = Level>) {
    for (cell, Level { price, size, orders }) in cells.iter_mut().zip(levels) {
        *cell = CellLevel { price, size, orders, reserved: 0 };
    }
}
