//! A hash table of fixed capacity whose places are the items themselves, and whose items never move.
//!
//! A bucket is one cache line with room for two items, and an item whose bucket is full goes to the next
//! one that has room: so the search for an item and the item itself are most often one line of memory,
//! and others may keep an item's index as long as it is there. Of each bucket is counted how many items
//! passed it because it was full: a search ends at the first that none passed, and items that go leave
//! nothing behind that searches would have to step over. (The counts are those of Facebook's F14 tables:
//! <https://engineering.fb.com/2019/04/25/developer-tools/f14/>.)

use std::hint::select_unpredictable;
use std::ops;

use wirebook_hugevec::{HugeVec, HugeVecError, prefetch};
use zerocopy::FromZeros;

/// The index of no item.
pub(crate) const NIL: u32 = 0;

/// The bucket in which no item is.
pub(crate) const NOWHERE: u32 = 0;

/// Items in a bucket.
const WAYS: u32 = 2;

/// What a table holds: half a cache line, of which all zero bytes are a free place.
pub(crate) trait Item: FromZeros + Copy {
    /// What it is found by; two items of a table never have the same.
    type Key: Copy;

    /// Its key; any where it is free.
    fn key(&self) -> Self::Key;

    /// True where it has this key, and is not free.
    fn is(&self, key: Self::Key) -> bool;

    /// Who has the place; 0 where it is free.
    fn owner(&self) -> u32;

    #[inline]
    fn is_free(&self) -> bool {
        self.owner() == 0
    }

    fn set_free(&mut self);

    /// A number whose upper bits depend on each bit of the key.
    fn hash(key: Self::Key) -> u64;
}

/// Items of type `T`, at most as many as the limit it was made with. Index [`NIL`] is none's.
pub(crate) struct HashTable<T> {
    /// Bucket by bucket. Those of the first are never in use, so no item has the index [`NIL`].
    items: HugeVec<T>,
    /// How many items passed each bucket. One that was passed by so many that they cannot be counted
    /// stays so.
    passed: HugeVec<u8>,
    in_use: usize,
    limit: usize,
}

impl<T: Item> HashTable<T> {
    /// A table for at most `limit` items.
    pub(crate) fn new(limit: usize) -> Result<Self, HugeVecError> {
        let too_large = HugeVecError::TooLarge { len: limit, element_bytes: size_of::<T>() };
        let buckets = Self::buckets_for(limit).ok_or(too_large)?;
        let items = HugeVec::zeroed(buckets * WAYS as usize)?;
        Ok(Self { items, passed: HugeVec::zeroed(buckets)?, in_use: 0, limit })
    }

    /// What each of its two tables takes for `limit` items; `None` where 31 bits do not name every
    /// place.
    pub(crate) fn bytes_for(limit: usize) -> Option<[usize; 2]> {
        let buckets = Self::buckets_for(limit)?;
        Some([buckets.checked_mul(WAYS as usize * size_of::<T>())?, buckets])
    }

    /// Three places for two items, so that few find their bucket full; and the bucket of none.
    fn buckets_for(limit: usize) -> Option<usize> {
        let buckets = limit.checked_mul(3)?.div_ceil(4).max(1) + 1;
        let places = buckets.checked_mul(WAYS as usize)?;
        (places <= i32::MAX as usize).then_some(buckets)
    }

    /// What all places take, used or not.
    pub(crate) fn memory_bytes(&self) -> usize {
        size_of_val(&self.items[..]) + size_of_val(&self.passed[..])
    }

    /// Number of items.
    pub(crate) fn in_use(&self) -> usize {
        self.in_use
    }

    pub(crate) fn is_full(&self) -> bool {
        self.in_use >= self.limit
    }

    /// One past the greatest index.
    pub(crate) fn end(&self) -> usize {
        self.items.len()
    }

    /// The item at `index`, where there is one.
    pub(crate) fn get(&self, index: u32) -> Option<&T> {
        self.items.get(index as usize).filter(|item| !item.is_free())
    }

    /// The indices of all items, in no order.
    pub(crate) fn indices(&self) -> impl Iterator<Item = u32> + '_ {
        (0..self.end() as u32).filter(|&index| !self[index].is_free())
    }

    /// Where the item of this key is.
    #[inline]
    pub(crate) fn find(&self, key: T::Key) -> Option<u32> {
        let home = self.home(key);
        let mut bucket = home;
        loop {
            let index = self.find_in(bucket, key);
            if index != NIL {
                return Some(index);
            }
            if self.passed[bucket as usize] == 0 {
                return None;
            }
            bucket = self.after(bucket);
            if bucket == home {
                return None;
            }
        }
    }

    /// Puts an item whose key the table does not hold; its index. The caller sees to it that the table
    /// is not full.
    #[inline]
    pub(crate) fn insert(&mut self, item: T) -> u32 {
        let mut bucket = self.home(item.key());
        loop {
            let [first, second] = self.bucket(bucket);
            // Which of the two is free no processor can foresee, so no branch asks for it.
            let way = u32::from(!first.is_free());
            if first.owner().min(second.owner()) == 0 {
                let index = bucket * WAYS + way;
                self[index] = item;
                self.in_use += 1;
                return index;
            }
            let passed = &mut self.passed[bucket as usize];
            *passed = passed.saturating_add(1);
            bucket = self.after(bucket);
        }
    }

    /// Takes an item out; its place is free.
    #[inline]
    pub(crate) fn remove(&mut self, index: u32) {
        self.for_passed(index, |passed| {
            if *passed != u8::MAX {
                *passed = passed.saturating_sub(1);
            }
        });
        self[index].set_free();
        self.in_use = self.in_use.saturating_sub(1);
    }

    /// Takes out every item whose index `held` does not name, and counts anew who passed whom.
    pub(crate) fn remove_all_but(&mut self, held: &[bool]) {
        self.passed.fill(0);
        self.in_use = 0;
        for index in 0..self.end() as u32 {
            if !held[index as usize] {
                self[index].set_free();
            }
            if !self[index].is_free() {
                self.in_use += 1;
                self.for_passed(index, |passed| *passed = passed.saturating_add(1));
            }
        }
    }

    /// Visits the count of each bucket that the item at `index` passed.
    #[inline]
    fn for_passed(&mut self, index: u32, mut visit: impl FnMut(&mut u8)) {
        let home = self.home(self[index].key());
        let mut bucket = home;
        while bucket != index / WAYS {
            visit(&mut self.passed[bucket as usize]);
            bucket = self.after(bucket);
            if bucket == home {
                // All of them: the item is not where its key says, as in a torn book.
                return;
            }
        }
    }

    /// Asks the processor for a bucket.
    #[inline]
    pub(crate) fn prefetch_bucket(&self, bucket: u32) {
        prefetch(&self.items, (bucket * WAYS) as usize);
    }

    /// Asks the processor for how many passed a bucket, which a search asks that finds nothing in it.
    #[inline]
    pub(crate) fn prefetch_passed(&self, bucket: u32) {
        prefetch(&self.passed, bucket as usize);
    }

    /// Asks the processor for an item, whatever the index.
    #[inline]
    pub(crate) fn prefetch(&self, index: u32) {
        prefetch(&self.items, index as usize);
    }

    /// Where the item of this key is, if it is in this bucket; else [`NIL`]. No branch asks which.
    #[inline]
    pub(crate) fn find_in(&self, bucket: u32, key: T::Key) -> u32 {
        let [first, second] = self.bucket(bucket);
        let of_second = select_unpredictable(second.is(key), bucket * WAYS + 1, NIL);
        select_unpredictable(first.is(key), bucket * WAYS, of_second)
    }

    #[inline]
    fn bucket(&self, bucket: u32) -> &[T; WAYS as usize] {
        let (buckets, _) = self.items.as_chunks();
        &buckets[bucket as usize]
    }

    /// The bucket where the search for a key begins: as far into the buckets, but for [`NOWHERE`], as its
    /// hash is into all hashes.
    #[inline]
    pub(crate) fn home(&self, key: T::Key) -> u32 {
        let buckets = self.passed.len() as u64 - 1;
        1 + ((u128::from(T::hash(key)) * u128::from(buckets)) >> u64::BITS) as u32
    }

    #[inline]
    fn after(&self, bucket: u32) -> u32 {
        if bucket as usize + 1 == self.passed.len() { 1 } else { bucket + 1 }
    }
}

impl<T> ops::Index<u32> for HashTable<T> {
    type Output = T;

    #[inline]
    fn index(&self, index: u32) -> &T {
        &self.items[index as usize]
    }
}

impl<T> ops::IndexMut<u32> for HashTable<T> {
    #[inline]
    fn index_mut(&mut self, index: u32) -> &mut T {
        &mut self.items[index as usize]
    }
}

/// A hash of two words by products with odd constants without a pattern, fractional bits of the golden
/// ratio and of the square root of 3: the upper bits of a product depend on all of it.
#[inline]
pub(crate) fn mix(one: u64, other: u64) -> u64 {
    let other = other.wrapping_mul(0xbb67_ae85_84ca_a73b);
    (one ^ other).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    /// Known by two numbers, the second of which is 0 in a free place.
    #[derive(Clone, Copy, FromZeros)]
    #[repr(C, align(32))]
    struct Pair(u64, u32);

    impl Item for Pair {
        type Key = (u64, u32);

        fn key(&self) -> Self::Key {
            (self.0, self.1)
        }

        fn is(&self, key: Self::Key) -> bool {
            self.key() == key
        }

        fn owner(&self) -> u32 {
            self.1
        }

        fn set_free(&mut self) {
            self.1 = 0;
        }

        fn hash((one, other): Self::Key) -> u64 {
            mix(one, other.into())
        }
    }

    proptest! {
        #[test]
        fn behaves_like_a_map(
            limit in 1usize..120,
            steps in prop::collection::vec((1u32..4, 0u64..40, 0u8..20), 0..400),
        ) {
            let mut table = HashTable::<Pair>::new(limit).unwrap();
            let mut model = HashMap::new();
            for (other, one, kind) in steps {
                let key = (one, other);
                match (kind, model.get(&key).copied()) {
                    (0, _) => {
                        let mut held = vec![false; table.end()];
                        model.retain(|&(one, _), &mut index| {
                            held[index as usize] = one % 3 > 0;
                            one % 3 > 0
                        });
                        table.remove_all_but(&held);
                    }
                    (_, Some(index)) if kind < 10 => {
                        model.remove(&key);
                        table.remove(index);
                    }
                    (_, None) if !table.is_full() => {
                        model.insert(key, table.insert(Pair(one, other)));
                    }
                    _ => {}
                }
                for other in 1..4 {
                    for one in 0..40 {
                        let expected = model.get(&(one, other)).copied();
                        prop_assert_eq!(table.find((one, other)), expected);
                        let home = table.home((one, other));
                        let near = table.find_in(home, (one, other));
                        let is_right = near == NIL || Some(near) == expected;
                        prop_assert!(home != NOWHERE && is_right);
                    }
                }
                prop_assert_eq!(table.in_use(), model.len());
                prop_assert_eq!(table.indices().count(), model.len());
            }
            for index in model.into_values() {
                table.remove(index);
            }
            prop_assert!(table.passed.iter().all(|&passed| passed == 0), "whoever goes is uncounted");
        }
    }

    #[test]
    fn a_table_takes_as_many_as_its_limit() {
        for limit in [0, 1, 2, 3, 100, 1_001] {
            let mut table = HashTable::<Pair>::new(limit).unwrap();
            for one in 0..limit as u64 {
                assert!(!table.is_full());
                assert_ne!(table.insert(Pair(one, 1)), NIL);
            }
            assert!(table.is_full());
            assert!((0..limit as u64).all(|one| table.find((one, 1)).is_some()));
        }
    }

    #[test]
    fn a_bucket_passed_by_more_than_can_be_counted_stays_passed() {
        let mut table = HashTable::<Pair>::new(9).unwrap();
        let indices: Vec<u32> = (0..9).map(|one| table.insert(Pair(one, 1))).collect();
        table.passed.fill(u8::MAX);
        assert_eq!(table.find((99, 1)), None, "the search ends where it began");
        table.remove(indices[3]);
        assert_eq!((0..9).filter(|&one| table.find((one, 1)).is_some()).count(), 8);
    }

    #[test]
    fn keys_that_count_upwards_stay_near_home() {
        let limit = 100_000;
        for step in [1, 4, 100, 10_000_000] {
            let mut table = HashTable::<Pair>::new(limit).unwrap();
            let keys =
                (0..limit as u64).map(|at| (6_412_777_000_000 + step * at, 1 + at as u32 % 7));
            let far = keys
                .filter(|&(one, other)| {
                    table.insert(Pair(one, other)) / WAYS != table.home((one, other))
                })
                .count();
            assert!(far < limit / 5, "{far} of {limit} are not where their search begins");
        }
    }
}
