//! Who is who: every instrument that the boards show.
//!
//! What arrives: the boards, whose cells are taken from the first on and kept to the end of the start
//! (`docs/abi.md`). What leaves: [`Instrument`]s by symbol and by a record's publisher and id. Looking
//! up what is not known yet reads on where the boards have grown; nothing known is read again.

use std::collections::HashMap;

use dbn::RecordHeader;
use wirebook_shm::board::{BoardReader, Cell, CellState};

/// One instrument of one channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instrument {
    /// The venue's name for it; empty until its definition has come.
    pub symbol: String,
    /// Its id, as in its records.
    pub id: u32,
    /// DBN publisher id, as in its records.
    pub publisher: u16,
    /// The channel it is fed from.
    pub channel: u8,
    /// The shard that owns it.
    pub shard: usize,
    /// Its cell on that shard's board.
    pub place: usize,
}

/// The instruments so far.
pub struct Directory {
    boards: Vec<BoardReader>,
    /// Cells of each board that are known.
    known: Vec<usize>,
    instruments: Vec<Instrument>,
    by_symbol: HashMap<String, Vec<usize>>,
    by_id: HashMap<(u16, u32), usize>,
    /// Those without a symbol so far.
    unnamed: Vec<usize>,
}

impl Directory {
    pub(crate) fn new(boards: Vec<BoardReader>) -> Self {
        let known = vec![0; boards.len()];
        let (instruments, unnamed) = (Vec::new(), Vec::new());
        let (by_symbol, by_id) = (HashMap::new(), HashMap::new());
        let mut directory = Self { boards, known, instruments, by_symbol, by_id, unnamed };
        directory.refresh();
        directory
    }

    pub(crate) fn board(&self, instrument: &Instrument) -> &BoardReader {
        &self.boards[instrument.shard]
    }

    /// Reads the cells that have been taken since the last look, and new symbols.
    pub fn refresh(&mut self) {
        for shard in 0..self.boards.len() {
            while self.known[shard] < self.boards[shard].len() {
                let place = self.known[shard];
                match self.boards[shard].read(place) {
                    Ok(cell) if cell.state() != Some(CellState::None) => {
                        self.add(shard, place, &cell);
                    }
                    _ => break,
                }
                self.known[shard] += 1;
            }
        }
        for number in std::mem::take(&mut self.unnamed) {
            let Instrument { shard, place, .. } = self.instruments[number];
            let cell = self.boards[shard].read(place);
            self.name(number, cell.as_ref().map(Cell::symbol).unwrap_or_default());
        }
    }

    fn add(&mut self, shard: usize, place: usize, cell: &Cell) {
        let number = self.instruments.len();
        let Cell { instrument_id: id, publisher, channel, .. } = *cell;
        let symbol = String::new();
        self.instruments.push(Instrument { symbol, id, publisher, channel, shard, place });
        self.by_id.insert((publisher, id), number);
        self.name(number, cell.symbol());
    }

    fn name(&mut self, number: usize, symbol: &str) {
        if symbol.is_empty() {
            self.unnamed.push(number);
            return;
        }
        self.instruments[number].symbol = symbol.to_owned();
        self.by_symbol.entry(symbol.to_owned()).or_default().push(number);
    }

    /// Every instrument of this symbol, one a channel that has it.
    pub fn find(&mut self, symbol: &str) -> impl Iterator<Item = &Instrument> {
        if !self.by_symbol.contains_key(symbol) {
            self.refresh();
        }
        let numbers = self.by_symbol.get(symbol).into_iter().flatten();
        numbers.map(|number| &self.instruments[*number])
    }

    /// The instrument that a record is of; `None` of a record about the market, and of one so new
    /// that the board does not show it yet.
    pub fn of(&mut self, header: &RecordHeader) -> Option<&Instrument> {
        let key = (header.publisher_id, header.instrument_id);
        let is_named = |directory: &Self| {
            let found = directory.by_id.get(&key);
            found.is_some_and(|&number| !directory.instruments[number].symbol.is_empty())
        };
        if header.instrument_id != wirebook_model::ALL_INSTRUMENTS && !is_named(self) {
            self.refresh();
        }
        self.by_id.get(&key).map(|&number| &self.instruments[number])
    }

    /// All instruments so far.
    pub fn iter(&self) -> impl Iterator<Item = &Instrument> {
        self.instruments.iter()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use wirebook_shm::board::board;

    fn cell(id: u32, publisher: u16, symbol: &str) -> Cell {
        let mut cell = Cell { instrument_id: id, publisher, state: 2, ..Cell::default() };
        cell.symbol[..symbol.len()].copy_from_slice(symbol.as_bytes());
        cell
    }

    #[test]
    fn the_directory_grows_with_the_boards() {
        let ((mut first, one), (mut second, other)) = (board(3), board(3));
        first.publish(0, &cell(1, 2, "AAPL")).unwrap();
        let mut directory = Directory::new(vec![one, other]);
        assert_eq!(directory.find("AAPL").map(|found| found.id).collect::<Vec<_>>(), [1]);
        assert_eq!(directory.find("MSFT").count(), 0);
        // A cell behind an unused one is not there yet.
        second.publish(1, &cell(4, 2, "MSFT")).unwrap();
        assert_eq!(directory.find("MSFT").count(), 0);
        second.publish(0, &cell(1, 9, "")).unwrap();
        let found = directory.find("MSFT").next().unwrap();
        assert_eq!((found.shard, found.place, found.id), (1, 1, 4));
        // A symbol that comes later; the same symbol from another publisher.
        let header = RecordHeader::new::<dbn::MboMsg>(dbn::rtype::MBO, 9, 1, 0);
        assert_eq!(directory.of(&header).unwrap().symbol, "");
        second.publish(0, &cell(1, 9, "AAPL")).unwrap();
        assert_eq!(directory.of(&header).unwrap().symbol, "AAPL");
        let shards: Vec<_> = directory.find("AAPL").map(|found| found.shard).collect();
        assert_eq!(shards, [0, 1]);
        assert_eq!(directory.iter().count(), 3);
        // A full board ends.
        first.publish(1, &cell(7, 2, "X")).unwrap();
        first.publish(2, &cell(8, 2, "Y")).unwrap();
        assert_eq!(directory.find("Y").count(), 1);
    }
}
