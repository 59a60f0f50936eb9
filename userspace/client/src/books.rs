//! Books: the ten best levels of each, from the boards.

use std::fmt;

use wirebook_model::price::Decimal;
use wirebook_model::{BookState, StaleReason};
use wirebook_shm::board::{Cell, CellLevel};
use wirebook_shm::ring::Cursor;

use crate::directory::{Directory, Instrument};
use crate::session::ClientError;

/// The books of a session.
pub struct Books {
    directory: Directory,
}

impl Books {
    pub(crate) fn new(directory: Directory) -> Self {
        Self { directory }
    }

    /// The book of this symbol as it is now; where several channels have the symbol, the first of
    /// [`Directory::find`].
    ///
    /// # Errors
    ///
    /// [`ClientError::NoSuchInstrument`] where no channel has spoken of the symbol yet,
    /// [`ClientError::Board`] where the writer was at the cell at every try.
    pub fn book(&mut self, symbol: &str) -> Result<Book, ClientError> {
        let found = self.directory.find(symbol).next().cloned();
        let instrument = found.ok_or_else(|| ClientError::NoSuchInstrument(symbol.to_owned()))?;
        self.read(&instrument)
    }

    /// The book of this instrument as it is now.
    ///
    /// # Errors
    ///
    /// [`ClientError::Board`] where the writer was at the cell at every try.
    pub fn read(&self, instrument: &Instrument) -> Result<Book, ClientError> {
        let cell = self.directory.board(instrument).read(instrument.place)?;
        Ok(Book { cell })
    }

    /// How often the top of this instrument's book was published.
    pub fn updates(&self, instrument: &Instrument) -> u64 {
        self.directory.board(instrument).updates(instrument.place).unwrap_or_default()
    }

    /// Who is who.
    pub fn directory(&mut self) -> &mut Directory {
        &mut self.directory
    }
}

/// The last trade.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trade {
    /// Price, 1e-9.
    pub price: i64,
    /// Size.
    pub size: u32,
}

/// The top of one book at one moment.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Book {
    cell: Cell,
}

impl Book {
    /// The venue's name for the instrument.
    pub fn symbol(&self) -> &str {
        self.cell.symbol()
    }

    /// The instrument's id, as in its records.
    pub fn instrument_id(&self) -> u32 {
        self.cell.instrument_id
    }

    /// DBN publisher id, as in its records.
    pub fn publisher(&self) -> u16 {
        self.cell.publisher
    }

    /// What the book says of itself; a state that this version does not know is [`BookState::Stale`].
    pub fn state(&self) -> BookState {
        BookState::from_u8(self.cell.state).unwrap_or(BookState::Stale)
    }

    /// Why the book is stale, [`StaleReason::None`] where it is not; `None` where this version does
    /// not know the reason.
    pub fn stale_reason(&self) -> Option<StaleReason> {
        StaleReason::from_u8(self.cell.stale_reason)
    }

    /// The name of [`stale_reason`](Self::stale_reason) where the book is stale; `unknown` for one that
    /// this version does not know.
    pub fn stale_reason_name(&self) -> Option<&'static str> {
        let is_stale = self.state() == BookState::Stale;
        is_stale.then(|| self.stale_reason().map_or("unknown", StaleReason::name))
    }

    /// Up to ten levels, best bid first.
    pub fn bids(&self) -> &[CellLevel] {
        levels(&self.cell.bids)
    }

    /// Up to ten levels, best ask first.
    pub fn asks(&self) -> &[CellLevel] {
        levels(&self.cell.asks)
    }

    /// The last trade, where there was one.
    pub fn last_trade(&self) -> Option<Trade> {
        let Cell { last_price: price, last_size: size, .. } = self.cell;
        (size > 0).then_some(Trade { price, size })
    }

    /// Venue sequence of the last event in the book.
    pub fn sequence(&self) -> u64 {
        self.cell.sequence
    }

    /// Venue time of that event, nanoseconds since the UNIX epoch.
    pub fn ts_event(&self) -> u64 {
        self.cell.ts_event
    }

    /// Receive time of that event, nanoseconds since the UNIX epoch.
    pub fn ts_recv(&self) -> u64 {
        self.cell.ts_recv
    }

    /// Where in its shard's ring the records begin that are not in the book.
    pub fn cursor(&self) -> Cursor {
        Cursor::new(self.cell.cursor)
    }
}

impl fmt::Debug for Book {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} at {}:", self.symbol(), self.state().name(), self.sequence())?;
        for (side, levels) in [("bids", self.bids()), ("asks", self.asks())] {
            write!(f, " {side}")?;
            levels.iter().try_for_each(|l| write!(f, " {}×{}", l.size, Decimal(l.price)))?;
        }
        Ok(())
    }
}

/// The levels that there are.
fn levels(cells: &[CellLevel]) -> &[CellLevel] {
    let is_none = |level: &CellLevel| level.size == 0 && level.orders == 0;
    &cells[..cells.iter().position(is_none).unwrap_or(cells.len())]
}
