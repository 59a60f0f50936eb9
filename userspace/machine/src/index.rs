//! Finds an order by (book, order id) and a book by (channel, instrument id).
//!
//! An open-addressing hash table of fixed capacity: linear probing, deletion by backward shift
//! (Knuth, *The Art of Computer Programming* 3, 6.4, algorithm R), so that no tombstones build up
//! over a day. It is at most half full, because its tables of values have that limit.

use wirebook_hugevec::{HugeVec, HugeVecError};
use zerocopy::FromZeros;

/// Odd constants without a pattern: fractional bits of the square roots of 2 and 3.
const MIX_ID: u64 = 0x6a09_e667_f3bc_c909;
const MIX_SCOPE: u64 = 0xbb67_ae85_84ca_a73b;

/// A key of an [`Index`]: ids are unique in their scope alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    /// The book of an order, or the channel of an instrument.
    pub(crate) scope: u32,
    pub(crate) id: u64,
}

/// One place of the table: a quarter of a cache line; `value` 0 means empty.
#[derive(Clone, Copy, FromZeros)]
#[repr(C)]
struct Entry {
    id: u64,
    scope: u32,
    value: u32,
}

const EMPTY: Entry = Entry { id: 0, scope: 0, value: 0 };

impl Entry {
    fn key(&self) -> Key {
        Key { scope: self.scope, id: self.id }
    }
}

/// Values other than 0, each under its key.
pub(crate) struct Index {
    entries: HugeVec<Entry>,
    mask: usize,
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
        Ok(Self { entries: HugeVec::zeroed(capacity)?, mask: capacity - 1 })
    }

    /// The value under `key`.
    pub(crate) fn get(&self, key: Key) -> Option<u32> {
        self.position(key).map(|position| self.entries[position].value)
    }

    /// Puts `value` under `key`, which the table must not hold yet.
    pub(crate) fn insert(&mut self, key: Key, value: u32) {
        let mut position = self.home(key);
        while self.entries[position].value != 0 {
            position = (position + 1) & self.mask;
        }
        self.entries[position] = Entry { id: key.id, scope: key.scope, value };
    }

    /// Takes `key` out, if the table holds it.
    pub(crate) fn remove(&mut self, key: Key) {
        if let Some(position) = self.position(key) {
            self.remove_at(position);
        }
    }

    /// Takes out every key but those of which, with their values, `stays` says so. Takes a step for each
    /// place of the table.
    pub(crate) fn retain(&mut self, stays: impl Fn(Key, u32) -> bool) {
        for position in 0..self.entries.len() {
            // A removal may move a later entry here.
            while self.entries[position].value != 0
                && !stays(self.entries[position].key(), self.entries[position].value)
            {
                self.remove_at(position);
            }
        }
    }

    fn remove_at(&mut self, position: usize) {
        let mut hole = position;
        let mut next = (hole + 1) & self.mask;
        while self.entries[next].value != 0 {
            let home = self.home(self.entries[next].key());
            // An entry whose home lies after the hole would not be found in the hole.
            if self.distance(home, next) >= self.distance(hole, next) {
                self.entries[hole] = self.entries[next];
                hole = next;
            }
            next = (next + 1) & self.mask;
        }
        self.entries[hole] = EMPTY;
    }

    fn position(&self, key: Key) -> Option<usize> {
        let mut position = self.home(key);
        loop {
            let entry = &self.entries[position];
            if entry.value == 0 {
                return None;
            }
            if entry.key() == key {
                return Some(position);
            }
            position = (position + 1) & self.mask;
        }
    }

    /// Where the search for `key` starts: the folded product of its two mixed parts.
    fn home(&self, key: Key) -> usize {
        let scope = (u64::from(key.scope) << 1 | 1).wrapping_mul(MIX_SCOPE);
        let product = u128::from(key.id ^ MIX_ID) * u128::from(scope);
        (product as u64 ^ (product >> 64) as u64) as usize & self.mask
    }

    fn distance(&self, from: usize, to: usize) -> usize {
        to.wrapping_sub(from) & self.mask
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    proptest! {
        #[test]
        fn behaves_like_a_map(
            steps in prop::collection::vec((0u32..3, 0u64..40, any::<bool>()), 0..400)
        ) {
            let mut index = Index::new(120).unwrap();
            let mut model = HashMap::new();
            for (step, &(scope, id, insert)) in steps.iter().enumerate() {
                let key = Key { scope, id };
                if !insert {
                    index.remove(key);
                    model.remove(&(scope, id));
                } else {
                    model.entry((scope, id)).or_insert_with(|| {
                        index.insert(key, step as u32 + 1);
                        step as u32 + 1
                    });
                }
                for scope in 0..3 {
                    for id in 0..40 {
                        prop_assert_eq!(
                            index.get(Key { scope, id }),
                            model.get(&(scope, id)).copied()
                        );
                    }
                }
            }
        }
    }

    proptest! {
        #[test]
        fn what_stays_is_found(ids in prop::collection::hash_set(0u64..300, 0..60), modulo in 1u64..5) {
            let mut index = Index::new(60).unwrap();
            for &id in &ids {
                index.insert(Key { scope: 1, id }, id as u32 + 1);
            }
            index.retain(|key, value| key.id % modulo == 0 && u64::from(value) == key.id + 1);
            for id in 0..300 {
                let stays = ids.contains(&id) && id % modulo == 0;
                prop_assert_eq!(
                    index.get(Key { scope: 1, id }),
                    stays.then_some(id as u32 + 1)
                );
            }
            let held = index.entries.iter().filter(|entry| entry.value != 0).count();
            prop_assert_eq!(held, ids.iter().filter(|&id| id % modulo == 0).count());
        }
    }

    #[test]
    fn keys_that_count_upwards_stay_near_home() {
        let limit = 100_000;
        let mut index = Index::new(limit).unwrap();
        let keys =
            (0..limit as u64).map(|id| Key { scope: id as u32 % 7, id: 6_412_777_000_000 + id });
        for key in keys.clone() {
            index.insert(key, 1);
        }
        let probes: usize =
            keys.map(|key| index.distance(index.home(key), index.position(key).unwrap())).sum();
        assert!(probes < limit, "{probes} probes for {limit} keys");
    }
}
