//! What each book must be at each sequence: the same market once more, in a plain model.
//!
//! Arrives: books as a reader of the segment sees them. Promises: a book that says that it is live and
//! is not what the venue's messages up to its own sequence make of it fails the test. The model goes
//! only forwards, so a book that is older than the model is judged only where nothing has changed it
//! since; the others are counted.

use crate::live::Appliance;
use std::collections::HashMap;
use wirebook_client::{Book, BookState, Level, Session};
use wirebook_simulator::{Market, MarketConfig, Model, Packet, PacketConfig, Packets, Side};

/// Levels of a side that a board shows.
const DEPTH: usize = 10;
/// Billionths in a ten-thousandth.
const PRICE_STEP: i64 = 100_000;

/// The market's books as they must be.
pub(crate) struct Oracle {
    packets: Packets,
    packet: Option<Packet>,
    model: Model,
    /// Sequence of the next message.
    next: u64,
    /// The last message of each instrument, by locate.
    changed: HashMap<u16, u64>,
    /// Live books that were compared.
    pub(crate) judged: u64,
    /// Live books that were older than the model.
    pub(crate) passed: u64,
    /// Books that said that they were not live.
    pub(crate) not_live: u64,
}

impl Oracle {
    pub(crate) fn new(market: MarketConfig) -> Self {
        Self {
            packets: Packets::new(Market::new(market).unwrap(), PacketConfig::default()),
            packet: None,
            model: Model::default(),
            next: 1,
            changed: HashMap::new(),
            judged: 0,
            passed: 0,
            not_live: 0,
        }
    }

    /// Judges every book as a reader sees it now.
    pub(crate) fn judge(&mut self, appliance: &Appliance) {
        let session = Session::of(appliance.segment());
        let mut books = session.books().unwrap();
        books.directory().refresh();
        let instruments: Vec<_> = books.directory().iter().cloned().collect();
        // A cell at which the writer is at every try is left out.
        let mut seen: Vec<_> = instruments.iter().filter_map(|who| books.read(who).ok()).collect();
        seen.sort_by_key(Book::sequence);
        for book in &seen {
            self.judge_book(book);
        }
    }

    fn judge_book(&mut self, book: &Book) {
        if book.state() != BookState::Live {
            self.not_live += 1;
            return;
        }
        self.advance(book.sequence());
        let locate = book.instrument_id() as u16;
        if self.changed.get(&locate).is_some_and(|changed| *changed > book.sequence()) {
            self.passed += 1;
            return;
        }
        let of = |side| self.levels(locate, side);
        assert_eq!(levels(book.bids()), of(Side::Buy), "bids of {}", describe(book));
        assert_eq!(levels(book.asks()), of(Side::Sell), "asks of {}", describe(book));
        self.judged += 1;
    }

    /// Applies every message up to this sequence.
    fn advance(&mut self, sequence: u64) {
        while self.next <= sequence {
            let packet = match self.packet.take() {
                Some(packet) => packet,
                None => self.packets.next().expect("no sequence is beyond the session's last"),
            };
            let end = packet.sequence + u64::from(packet.messages);
            let before = packet.messages().zip(packet.sequence..);
            for (message, number) in
                before.filter(|(_, number)| (self.next..=sequence).contains(number))
            {
                self.model.apply(message).unwrap();
                // Each message of ITCH 5.0 has its locate behind its type.
                self.changed.insert(u16::from_be_bytes([message[1], message[2]]), number);
            }
            self.next = end.min(sequence + 1).max(self.next);
            self.packet = Some(packet).filter(|_| end > self.next);
        }
    }

    fn levels(&self, locate: u16, side: Side) -> Vec<(i64, u64, u32)> {
        let mut levels: Vec<(i64, u64, u32)> = Vec::new();
        for order in self.model.orders(locate).filter(|order| order.side == side) {
            let price = i64::from(order.price) * PRICE_STEP;
            match levels.last_mut().filter(|level| level.0 == price) {
                Some(level) => *level = (price, level.1 + u64::from(order.shares), level.2 + 1),
                None => levels.push((price, u64::from(order.shares), 1)),
            }
        }
        levels.truncate(DEPTH);
        levels
    }
}

fn levels(levels: &[Level]) -> Vec<(i64, u64, u32)> {
    levels.iter().map(|level| (level.price, level.size, level.orders)).collect()
}

fn describe(book: &Book) -> String {
    format!("{}, live at sequence {}", book.symbol(), book.sequence())
}
