//! Books moving, for a person: a few lines from the boards, once a second.
//!
//! Arrives: the boards of all shards, read as any other process would read them. Leaves: a table.

use std::collections::HashMap;
use std::fmt;
use wirebook_model::BookState;
use wirebook_model::price::Decimal;
use wirebook_shm::board::{BoardReader, Cell, CellLevel};
use wirebook_shm::{SegmentError, SegmentView, names};

/// Books shown where no symbol is asked for.
const BUSIEST: usize = 5;

/// Looks at the boards and remembers which books move most.
pub struct Watch {
    boards: Vec<BoardReader>,
    symbols: Vec<String>,
    /// By board and place: the last cell seen, and in how many looks it had changed.
    seen: HashMap<(usize, usize), (Cell, u64)>,
}

impl Watch {
    /// A watch over the boards of a segment.
    ///
    /// # Errors
    /// Fails where the segment has no such board.
    pub fn new(
        segment: &SegmentView,
        shards: usize,
        symbols: Vec<String>,
    ) -> Result<Self, SegmentError> {
        let boards = (0..shards)
            .map(|shard| segment.board(&names::board(shard)))
            .collect::<Result<_, _>>()?;
        Ok(Self { boards, symbols, seen: HashMap::new() })
    }

    /// Looks at every cell in use.
    pub fn look(&mut self) {
        for (shard, board) in self.boards.iter().enumerate() {
            for place in 0..board.len() {
                // Cells are used from the first on: an empty one is the end.
                let Ok(cell) = board.read(place) else { continue };
                if cell.state == 0 {
                    break;
                }
                let (last, changes) = self.seen.entry((shard, place)).or_insert((cell, 0));
                *changes += u64::from(last.sequence != cell.sequence);
                *last = cell;
            }
        }
    }

    fn shown(&self) -> Vec<&Cell> {
        let mut cells: Vec<_> = self.seen.values().collect();
        if self.symbols.is_empty() {
            cells.sort_by_key(|(cell, changes)| (std::cmp::Reverse(*changes), cell.instrument_id));
            cells.truncate(BUSIEST);
        } else {
            cells.retain(|(cell, _)| self.symbols.iter().any(|symbol| symbol == cell.symbol()));
            cells.sort_by_key(|(cell, _)| (cell.channel, cell.instrument_id));
        }
        cells.into_iter().map(|(cell, _)| cell).collect()
    }
}

impl fmt::Display for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:>10} {:>8} {:>12} {:>9} {:>12} {:<12} {:>9} {:>12}",
            "symbol", "state", "sequence", "bid size", "bid", "ask", "ask size", "last"
        )?;
        for cell in self.shown() {
            let state = BookState::from_u8(cell.state).map_or("-", BookState::name);
            let (bid, ask) = (&cell.bids[0], &cell.asks[0]);
            let last = match cell.last_size {
                0 => "-".to_owned(),
                _ => Decimal(cell.last_price).to_string(),
            };
            writeln!(
                f,
                "{:>10} {state:>8} {:>12} {:>9} {:>12} {:<12} {:>9} {last:>12}",
                cell.symbol(),
                cell.sequence,
                bid.size,
                price(bid),
                price(ask),
                ask.size,
            )?;
        }
        Ok(())
    }
}

fn price(level: &CellLevel) -> String {
    if level.size == 0 { "-".to_owned() } else { Decimal(level.price).to_string() }
}
