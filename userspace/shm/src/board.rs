//! The board: the latest top of every book, one seqlocked cell an instrument.
//!
//! What arrives: a [`Cell`] from the one shard that owns the board. What leaves: the latest whole
//! cell, to readers anywhere. It promises that a reader never takes a torn cell and never holds the
//! writer back; a reader that meets the writer at every try gives up with
//! [`BoardError::Contended`].

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::seqlock::Seqlock;
use crate::view::View;

/// Price levels a cell holds of each side.
pub const CELL_LEVELS: usize = 10;

/// How often a reader tries before it gives up: a cell is rewritten in far less time than a copy, so
/// more failures than this in a row mean a writer that does nothing but rewrite it.
const TRIES_MAX: usize = 1_000;

/// One price level. All zero where the book has none.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct CellLevel {
    /// Price, 1e-9 of the currency.
    pub price: i64,
    /// Total size of the orders.
    pub size: u64,
    /// Number of orders; 0 where the feed does not tell and there is no such level.
    pub orders: u32,
    /// Zero.
    pub reserved: u32,
}

/// What a book says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum CellState {
    /// No instrument, or nothing heard of it.
    None = 0,
    /// Joining: not yet complete for the first time.
    Warming = 1,
    /// Complete.
    Live = 2,
    /// Incomplete since a gap, and being recovered.
    Healing = 3,
    /// Incomplete since a gap.
    Stale = 4,
}

impl CellState {
    /// The state with this number; `None` where there is no such state.
    pub fn from_u8(number: u8) -> Option<Self> {
        [Self::None, Self::Warming, Self::Live, Self::Healing, Self::Stale]
            .into_iter()
            .find(|state| *state as u8 == number)
    }
}

/// The latest top of one book. Times are nanoseconds since the UNIX epoch, prices 1e-9.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Cell {
    /// The instrument's id, as in its records.
    pub instrument_id: u32,
    /// DBN publisher id.
    pub publisher: u16,
    /// A [`CellState`] by number; [`Cell::state`] reads it.
    pub state: u8,
    /// The channel the instrument is fed from.
    pub channel: u8,
    /// Venue sequence of the last event that the cell holds.
    pub sequence: u64,
    /// Venue time of that event.
    pub ts_event: u64,
    /// Receive time of that event.
    pub ts_recv: u64,
    /// Price of the last trade; 0 with `last_size` 0 where there was none.
    pub last_price: i64,
    /// Size of the last trade.
    pub last_size: u32,
    /// Why the state is stale, by the number of the model's `StaleReason`; 0 where it is not.
    pub stale_reason: u8,
    /// Zero.
    pub reserved: [u8; 3],
    /// Output-ring cursor from which on the records are not yet in this cell.
    pub cursor: u64,
    /// Symbol, filled up with zero bytes.
    pub symbol: [u8; 32],
    /// Best bid first.
    pub bids: [CellLevel; CELL_LEVELS],
    /// Best ask first.
    pub asks: [CellLevel; CELL_LEVELS],
}

const CELL_WORDS: usize = size_of::<Cell>() / 8;

impl Cell {
    /// The book's state; `None` where the number names no state.
    pub fn state(&self) -> Option<CellState> {
        CellState::from_u8(self.state)
    }

    /// The instrument's symbol; empty until its definition has come, and where it is no text.
    pub fn symbol(&self) -> &str {
        let length = self.symbol.iter().position(|&byte| byte == 0).unwrap_or(self.symbol.len());
        std::str::from_utf8(&self.symbol[..length]).unwrap_or_default()
    }
}

/// The cell as it lies in memory: version and words.
pub(crate) type CellSlot = Seqlock<CELL_WORDS>;

/// Why a board gave or took no cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BoardError {
    /// The board is smaller than that.
    #[error("a board of {cells} cells has no cell {index}")]
    NoSuchCell {
        /// What was asked for.
        index: usize,
        /// How many there are.
        cells: usize,
    },
    /// Its writer was at the cell at every try.
    #[error("the cell was rewritten during each of {TRIES_MAX} reads")]
    Contended,
}

/// A board in memory of this process alone, its cells all zero. The reader can be cloned.
pub fn board(cells: usize) -> (BoardWriter, BoardReader) {
    let cells = View::heap(cells, CellSlot::default);
    (BoardWriter::new(cells.clone()), BoardReader::new(cells))
}

/// The one writer of a board.
pub struct BoardWriter {
    cells: View<CellSlot>,
}

impl BoardWriter {
    pub(crate) fn new(cells: View<CellSlot>) -> Self {
        Self { cells }
    }

    /// Number of cells.
    pub fn len(&self) -> usize {
        self.cells.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.cells.is_empty()
    }

    /// Replaces a cell.
    ///
    /// # Errors
    ///
    /// [`BoardError::NoSuchCell`] where `index` is not below [`len`](Self::len).
    #[inline]
    pub fn publish(&mut self, index: usize, cell: &Cell) -> Result<(), BoardError> {
        let slot = find(&self.cells, index)?;
        slot.store(zerocopy::transmute_ref!(cell));
        Ok(())
    }
}

/// A reader of a board.
#[derive(Clone)]
pub struct BoardReader {
    cells: View<CellSlot>,
}

impl BoardReader {
    pub(crate) fn new(cells: View<CellSlot>) -> Self {
        Self { cells }
    }

    /// Number of cells.
    pub fn len(&self) -> usize {
        self.cells.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.cells.is_empty()
    }

    /// The latest value of a cell; all zero, with [`CellState::None`], before the first.
    ///
    /// # Errors
    ///
    /// [`BoardError::NoSuchCell`] where `index` is not below [`len`](Self::len),
    /// [`BoardError::Contended`] where the writer was at the cell at every try.
    pub fn read(&self, index: usize) -> Result<Cell, BoardError> {
        let slot = find(&self.cells, index)?;
        for _ in 0..TRIES_MAX {
            if let Some(words) = slot.try_load() {
                return Ok(zerocopy::transmute!(words));
            }
            std::hint::spin_loop();
        }
        Err(BoardError::Contended)
    }

    /// How often a cell was published.
    ///
    /// # Errors
    ///
    /// [`BoardError::NoSuchCell`] where `index` is not below [`len`](Self::len).
    pub fn updates(&self, index: usize) -> Result<u64, BoardError> {
        find(&self.cells, index).map(CellSlot::stores)
    }
}

fn find(cells: &[CellSlot], index: usize) -> Result<&CellSlot, BoardError> {
    cells.get(index).ok_or(BoardError::NoSuchCell { index, cells: cells.len() })
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::mem::offset_of;

    #[test]
    fn the_shapes_of_the_abi() {
        assert_eq!((size_of::<CellSlot>(), align_of::<CellSlot>()), (576, 64));
        assert_eq!(size_of::<Cell>(), 568);
        assert_eq!(size_of::<CellLevel>(), 24);
        assert_eq!(offset_of!(Cell, sequence), 8);
        assert_eq!(offset_of!(Cell, last_price), 32);
        assert_eq!(offset_of!(Cell, stale_reason), 44);
        assert_eq!(offset_of!(Cell, cursor), 48);
        assert_eq!(offset_of!(Cell, symbol), 56);
        assert_eq!(offset_of!(Cell, bids), 88);
        assert_eq!(offset_of!(Cell, asks), 328);
    }

    #[test]
    fn a_cell_is_read_as_it_was_published() {
        let (mut writer, reader) = board(2);
        assert_eq!(reader.read(1), Ok(Cell::default()));
        let mut cell =
            Cell { instrument_id: 17_077, state: CellState::Live as u8, ..Cell::default() };
        cell.asks[9] = CellLevel { price: -1, size: u64::MAX, orders: 7, reserved: 0 };
        writer.publish(1, &cell).unwrap();
        assert_eq!(reader.read(1), Ok(cell));
        assert_eq!((reader.updates(0), reader.updates(1)), (Ok(0), Ok(1)));
        assert_eq!(reader.read(1).unwrap().state(), Some(CellState::Live));
        assert_eq!(reader.read(0), Ok(Cell::default()));
        let none = BoardError::NoSuchCell { index: 2, cells: 2 };
        assert_eq!((writer.publish(2, &cell), reader.read(2)), (Err(none), Err(none)));
        assert_eq!(CellState::from_u8(5), None);
    }

    #[test]
    fn a_reader_never_takes_a_torn_cell() {
        let (mut writer, reader) = board(1);
        let rounds = if cfg!(miri) { 30 } else { 200_000 };
        std::thread::scope(|scope| {
            scope.spawn(move || {
                for round in 1..=rounds {
                    let level =
                        CellLevel { price: round as i64, size: round, ..Default::default() };
                    let cell = Cell {
                        sequence: round,
                        bids: [level; CELL_LEVELS],
                        asks: [level; CELL_LEVELS],
                        ..Cell::default()
                    };
                    writer.publish(0, &cell).unwrap();
                }
            });
            let mut last = 0;
            while last < rounds {
                let Ok(cell) = reader.read(0) else { continue };
                assert!(cell.sequence >= last, "a cell never goes back");
                last = cell.sequence;
                let mut levels = cell.bids.iter().chain(&cell.asks);
                assert!(levels.all(|level| level.size == last && level.price == last as i64));
            }
        });
    }
}
