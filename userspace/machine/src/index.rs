//! Finds a book by (channel, instrument id).
//!
//! An open-addressing hash table of fixed capacity with linear probing. It is at most half full,
//! because its table of values has that limit, and nothing is ever taken out.

use wirebook_hugevec::{HugeVec, HugeVecError};
use zerocopy::FromZeros;

/// An odd constant without a pattern: fractional bits of the golden ratio.
const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;

/// A key of an [`Index`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) channel: u8,
    pub(crate) instrument_id: u32,
}

impl Key {
    fn word(self) -> u64 {
        u64::from(self.channel) << u32::BITS | u64::from(self.instrument_id)
    }
}

/// One place of the table: a quarter of a cache line; `value` 0 means empty.
#[derive(Clone, Copy, FromZeros)]
#[repr(C, align(16))]
struct Entry {
    key: u64,
    value: u32,
}

/// Values other than 0, each under its key.
pub(crate) struct Index {
    entries: HugeVec<Entry>,
    mask: usize,
    /// Bits of a product above those that name a place.
    shift: u32,
}

impl Index {
    /// What all entries take, used or not.
    pub(crate) fn memory_bytes(&self) -> usize {
        size_of_val(&self.entries[..])
    }

    /// What a table for `limit` keys takes.
    pub(crate) fn bytes_for(limit: usize) -> Option<usize> {
        Self::capacity(limit)?.checked_mul(size_of::<Entry>())
    }

    fn capacity(limit: usize) -> Option<usize> {
        limit.checked_mul(2)?.max(2).checked_next_power_of_two()
    }

    /// A table for at most `limit` keys (below `u32::MAX`).
    pub(crate) fn new(limit: usize) -> Result<Self, HugeVecError> {
        let too_large = HugeVecError::TooLarge { len: limit, element_bytes: size_of::<Entry>() };
        let capacity = Self::capacity(limit).ok_or(too_large)?;
        let shift = u64::BITS - capacity.ilog2();
        Ok(Self { entries: HugeVec::zeroed(capacity)?, mask: capacity - 1, shift })
    }

    /// The value under `key`.
    #[inline]
    pub(crate) fn get(&self, key: Key) -> Option<u32> {
        let mut position = self.home(key);
        loop {
            let entry = &self.entries[position];
            if entry.value == 0 || entry.key == key.word() {
                return (entry.value != 0).then_some(entry.value);
            }
            position = (position + 1) & self.mask;
        }
    }

    /// Puts `value` under `key`, which the table must not hold yet.
    pub(crate) fn insert(&mut self, key: Key, value: u32) {
        let mut position = self.home(key);
        while self.entries[position].value != 0 {
            position = (position + 1) & self.mask;
        }
        self.entries[position] = Entry { key: key.word(), value };
    }

    /// Where the search for `key` starts: the upper bits of a product, which all of the key reach.
    #[inline]
    fn home(&self, key: Key) -> usize {
        (key.word().wrapping_mul(MULTIPLIER) >> self.shift) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    proptest! {
        #[test]
        fn behaves_like_a_map(keys in prop::collection::vec((0u8..3, 0u32..40), 0..400)) {
            let mut index = Index::new(120).unwrap();
            let mut model = HashMap::new();
            for ((channel, instrument_id), value) in keys.into_iter().zip(1..) {
                model.entry((channel, instrument_id)).or_insert_with(|| {
                    index.insert(Key { channel, instrument_id }, value);
                    value
                });
                for channel in 0..3 {
                    for instrument_id in 0..40 {
                        let expected = model.get(&(channel, instrument_id)).copied();
                        prop_assert_eq!(index.get(Key { channel, instrument_id }), expected);
                    }
                }
            }
        }
    }
}
