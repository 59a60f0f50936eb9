//! One number for what books hold, however they came to hold it.
//!
//! A book's rolling digest ([`Book::digest`]) is over every record that left: a receiver that had to
//! replace some of them by a snapshot has another one, though its books are right. The state digest
//! depends on the books alone: of each book with orders or levels the instrument's id and symbol,
//! each level, and each order in the order of its priority with id, side, price and size. Two
//! receivers whose books are equal agree on it, whatever they lost and recovered on the way;
//! channels, times, sequences and states do not count.

use wirebook_machine::{Book, Level, combine};
use wirebook_model::Side;

/// The state digest of books, in any order.
pub fn state_digest<'a>(books: impl IntoIterator<Item = Book<'a>>) -> u64 {
    combine(books.into_iter().filter_map(|book| {
        let instrument_id = book.instrument_id();
        book_digest(&book).map(|digest| (0, instrument_id, digest))
    }))
}

/// The digest of one book; none of an empty one, which says no more than a book that never was.
fn book_digest(book: &Book<'_>) -> Option<u64> {
    if book.bids().next().is_none() && book.asks().next().is_none() {
        return None;
    }
    let mut hash = Hash::default();
    hash.bytes(book.symbol().as_str().as_bytes());
    for (side, levels) in [(Side::Bid, book.bids().collect()), (Side::Ask, book.asks().collect())] {
        let levels: Vec<Level> = levels;
        hash.word(levels.len() as u64);
        for Level { price, size, orders } in levels {
            hash.word(side as u64);
            hash.word(price as u64);
            hash.word(size);
            hash.word(u64::from(orders));
        }
    }
    for order in book.orders() {
        hash.word(order.order_id);
        hash.word(order.side as u64);
        hash.word(order.price as u64);
        hash.word(u64::from(order.size));
    }
    Some(hash.0)
}

/// FNV-1a (64 bits): finds mistakes, not forgers. `combine` mixes what it ends with.
struct Hash(u64);

impl Default for Hash {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Hash {
    fn word(&mut self, word: u64) {
        self.bytes(&word.to_le_bytes());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wirebook_machine::{Books, Limits};
    use wirebook_model::dbn::flags::LAST;
    use wirebook_model::{Event, EventHeader, VenueEvent};

    fn books(channel: u8, events: &[(u32, VenueEvent)]) -> Books {
        let mut books = Books::new(Limits { instruments: 4, orders: 16, levels: 16 }).unwrap();
        for (at, &(instrument_id, body)) in (0..).zip(events) {
            let header =
                EventHeader { channel, flags: LAST, instrument_id, sequence: at, ts_event: at };
            books.apply(&Event { header, body }, &mut ());
        }
        books
    }

    fn add(order_id: u64, side: Side, price: i64, size: u32) -> (u32, VenueEvent) {
        (7, VenueEvent::Add { order_id, side, price, size })
    }

    #[test]
    fn another_way_to_the_same_book_has_the_same_digest() {
        let straight = books(0, &[add(1, Side::Bid, 5, 10), add(2, Side::Bid, 5, 20)]);
        let detour = books(
            3,
            &[
                (9, VenueEvent::Add { order_id: 8, side: Side::Ask, price: 1, size: 1 }),
                add(1, Side::Bid, 5, 15),
                (7, VenueEvent::Reduce { order_id: 1, size: 5 }),
                add(2, Side::Bid, 5, 20),
                (9, VenueEvent::Delete { order_id: 8 }),
            ],
        );
        assert_ne!(straight.digest(), detour.digest());
        assert_eq!(state_digest(straight.iter()), state_digest(detour.iter()));
    }

    #[test]
    fn every_part_of_a_book_counts() {
        let base = [add(1, Side::Bid, 5, 10), add(2, Side::Bid, 5, 10)];
        let others = [
            vec![base[1], base[0]],
            vec![base[0]],
            vec![base[0], add(2, Side::Bid, 5, 11)],
            vec![base[0], add(2, Side::Bid, 4, 10)],
            vec![base[0], add(2, Side::Ask, 6, 10)],
            vec![base[0], add(3, Side::Bid, 5, 10)],
            vec![base[0], (8, base[1].1)],
            vec![],
        ];
        let mut digests = vec![state_digest(books(0, &base).iter())];
        for other in others {
            let digest = state_digest(books(0, &other).iter());
            assert!(!digests.contains(&digest), "{other:?}");
            digests.push(digest);
        }
        assert_eq!(digests.last(), Some(&0), "no books, no digest");
    }
}
