//! Numbers that are equal where books are equal.
//!
//! Not cryptographic: they find mistakes, not forgers. The same input gives the same digest on
//! every host, so nothing here depends on byte order, addresses or a seed.

use dbn::MboMsg;

/// An odd constant without a pattern: fractional bits of the golden ratio.
const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;

/// A rolling hash over words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rolling(u64);

impl Rolling {
    /// Adds a word. One-to-one in the word and in the hash before: two sequences of which one
    /// word differs never meet again by that word alone.
    pub(crate) fn word(&mut self, word: u64) {
        self.0 = (self.0 ^ word).wrapping_mul(MULTIPLIER).rotate_left(29);
    }

    /// Adds what a record says of the book: not when it was received, nor the publisher, nor the
    /// channel, which depend on the appliance's configuration.
    pub(crate) fn record(&mut self, record: &MboMsg) {
        self.word(record.order_id);
        self.word(record.price as u64);
        self.word(
            u64::from(record.size)
                | u64::from(record.flags.raw()) << 32
                | u64::from(record.action as u8) << 40
                | u64::from(record.side as u8) << 48,
        );
        self.word(u64::from(record.sequence));
        self.word(record.hd.ts_event);
    }

    /// The hash that goes on where another one, of these raw bits, stood.
    pub(crate) fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// All there is of it.
    pub(crate) fn to_bits(self) -> u64 {
        self.0
    }

    /// The hash of all words so far, each bit of which depends on each word.
    pub(crate) fn finish(self) -> u64 {
        let mut hash = self.0;
        hash = (hash ^ hash >> 32).wrapping_mul(MULTIPLIER);
        hash = (hash ^ hash >> 29).wrapping_mul(MULTIPLIER);
        hash ^ hash >> 32
    }
}

/// Combines the digests of books: (channel, instrument id, digest of the book).
///
/// The order of the books does not matter, and each book counts once: the digest of many shards is
/// that of their books together. It is a sum of independent hashes, so `combine` of the books of
/// two shards is also the wrapping sum of the two shards' digests.
pub fn combine(books: impl IntoIterator<Item = (u8, u32, u64)>) -> u64 {
    books.into_iter().fold(0, |sum, (channel, instrument_id, digest)| {
        let mut hash = Rolling::default();
        hash.word(u64::from(channel) << 32 | u64::from(instrument_id));
        hash.word(digest);
        sum.wrapping_add(hash.finish())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_field_of_a_record_counts_but_for_those_of_the_appliance() {
        let hash = |change: fn(&mut MboMsg)| {
            let mut record = MboMsg::default();
            change(&mut record);
            let mut rolling = Rolling::default();
            rolling.record(&record);
            rolling.finish()
        };
        let same = hash(|_| {});
        let counted: [fn(&mut MboMsg); 8] = [
            |record| record.order_id += 1,
            |record| record.price -= 1,
            |record| record.size += 1,
            |record| record.flags.set_raw(1),
            |record| record.action = b'A' as _,
            |record| record.side = b'A' as _,
            |record| record.sequence += 1,
            |record| record.hd.ts_event -= 1,
        ];
        for change in counted {
            assert_ne!(hash(change), same);
        }
        let left_out: [fn(&mut MboMsg); 4] = [
            |record| record.ts_recv = 1,
            |record| record.ts_in_delta = 1,
            |record| record.channel_id = 1,
            |record| record.hd.publisher_id = 1,
        ];
        for change in left_out {
            assert_eq!(hash(change), same);
        }
    }

    #[test]
    fn the_order_of_books_does_not_matter() {
        let books = [(0, 1, 11), (0, 2, 22), (1, 1, 33)];
        let turned = [books[2], books[0], books[1]];
        assert_eq!(combine(books), combine(turned));
        let shards = combine([books[1]]).wrapping_add(combine([books[0], books[2]]));
        assert_eq!(combine(books), shards);
    }

    #[test]
    fn each_part_of_a_book_counts() {
        let digests = [(0, 1, 11), (1, 1, 11), (0, 2, 11), (0, 1, 12)].map(|book| combine([book]));
        for (at, digest) in digests.iter().enumerate() {
            assert!(!digests[..at].contains(digest));
        }
        assert_ne!(combine([(0, 1, 11), (0, 2, 22)]), combine([(0, 1, 22), (0, 2, 11)]));
    }
}
