//! The orders of all books, each found by its book and id.
//!
//! A hash table of fixed capacity whose places are the orders themselves: a bucket is one cache line
//! with room for two, and an order whose bucket is full goes to the next one that has room. So the
//! search for an order and the order itself are most often one line of memory. An order stays where it
//! was put until it goes, since its neighbours in the queue name its place. A bucket counts the orders
//! that passed it because it was full: a search ends at the first that none passed, and orders that go
//! leave nothing behind that searches would have to step over. (The counts are those of Facebook's F14
//! tables: <https://engineering.fb.com/2019/04/25/developer-tools/f14/>.)

use std::ops;

use wirebook_hugevec::{HugeVec, HugeVecError, prefetch};
use zerocopy::FromZeros;

use crate::side::RestingSide;
use crate::slab::NIL;

/// Odd constants without a pattern: fractional bits of the square roots of 2 and 3.
const MIX_ID: u64 = 0x6a09_e667_f3bc_c909;
const MIX_BOOK: u64 = 0xbb67_ae85_84ca_a73b;

/// Orders in a bucket.
const WAYS: u32 = 2;

/// The owner of a free place.
const NOBODY: u32 = 0;

/// A resting order: half a cache line. Its links name its neighbours in the queue of its level.
#[derive(Clone, Copy, FromZeros)]
#[repr(C, align(32))]
pub(crate) struct OrderEntry {
    pub(crate) id: u64,
    pub(crate) size: u32,
    pub(crate) level: u32,
    pub(crate) ahead: u32,
    pub(crate) behind: u32,
    /// Number of its book, plus one; [`NOBODY`] where the place is free.
    owner: u32,
    /// Of a bucket's first place: the orders that passed the bucket. One that was passed by so many that
    /// they cannot be counted stays so.
    passed: u16,
    pub(crate) side: RestingSide,
}

impl OrderEntry {
    /// Number of its book.
    pub(crate) fn book(&self) -> u32 {
        self.owner.wrapping_sub(1)
    }

    #[inline]
    fn is(&self, book: u32, id: u64) -> bool {
        self.id == id && self.owner == book + 1
    }
}

#[derive(Clone, Copy, FromZeros)]
#[repr(C, align(64))]
struct Bucket([OrderEntry; WAYS as usize]);

/// All orders. Index [`NIL`] is none's.
pub(crate) struct Orders {
    /// The first is no order's, so that no order has the index [`NIL`].
    buckets: HugeVec<Bucket>,
    in_use: usize,
    limit: usize,
}

impl Orders {
    /// A table for at most `limit` orders.
    pub(crate) fn new(limit: usize) -> Result<Self, HugeVecError> {
        let too_large = HugeVecError::TooLarge { len: limit, element_bytes: size_of::<OrderEntry>() };
        let buckets = HugeVec::zeroed(Self::buckets_for(limit).ok_or(too_large)?)?;
        Ok(Self { buckets, in_use: 0, limit })
    }

    /// What a table for `limit` orders takes; `None` where a 32-bit index does not name every place.
    pub(crate) fn bytes_for(limit: usize) -> Option<usize> {
        Self::buckets_for(limit)?.checked_mul(size_of::<Bucket>())
    }

    /// Three places for two orders, so that few find their bucket full; and the bucket of none.
    fn buckets_for(limit: usize) -> Option<usize> {
        let buckets = limit.checked_mul(3)?.div_ceil(4).max(1) + 1;
        let places = buckets.checked_mul(WAYS as usize)?;
        (places < u32::MAX as usize).then_some(buckets)
    }

    /// What all places take, used or not.
    pub(crate) fn memory_bytes(&self) -> usize {
        size_of_val(&self.buckets[..])
    }

    /// Number of orders.
    pub(crate) fn in_use(&self) -> usize {
        self.in_use
    }

    pub(crate) fn is_full(&self) -> bool {
        self.in_use >= self.limit
    }

    /// One past the greatest index.
    pub(crate) fn end(&self) -> usize {
        self.buckets.len() * WAYS as usize
    }

    /// The order at `index`, where there is one.
    pub(crate) fn get(&self, index: u32) -> Option<&OrderEntry> {
        let entry = &self.buckets.get((index / WAYS) as usize)?.0[(index % WAYS) as usize];
        (entry.owner != NOBODY).then_some(entry)
    }

    /// The indices of all orders, in no order.
    pub(crate) fn indices(&self) -> impl Iterator<Item = u32> + '_ {
        (0..self.end() as u32).filter(|&index| self[index].owner != NOBODY)
    }

    /// The order `id` of the book numbered `book`.
    #[inline]
    pub(crate) fn find(&self, book: u32, id: u64) -> Option<u32> {
        let home = self.home(book, id);
        let mut bucket = home;
        loop {
            let Bucket(orders) = &self.buckets[bucket as usize];
            if let Some(way) = way_of(orders, book, id) {
                return Some(bucket * WAYS + way);
            }
            if orders[0].passed == 0 {
                return None;
            }
            bucket = self.after(bucket);
            if bucket == home {
                return None;
            }
        }
    }

    /// Puts an order that does not rest yet, in no queue; its place. The caller sees to it that the
    /// table is not full.
    #[inline]
    pub(crate) fn insert(
        &mut self,
        book: u32,
        id: u64,
        size: u32,
        level: u32,
        side: RestingSide,
    ) -> u32 {
        let mut bucket = self.home(book, id);
        loop {
            let Bucket(orders) = &mut self.buckets[bucket as usize];
            for (entry, way) in orders.iter_mut().zip(0..) {
                if entry.owner == NOBODY {
                    let (owner, passed) = (book + 1, entry.passed);
                    let (ahead, behind) = (NIL, NIL);
                    *entry = OrderEntry { id, size, level, ahead, behind, owner, passed, side };
                    self.in_use += 1;
                    return bucket * WAYS + way;
                }
            }
            orders[0].passed = orders[0].passed.saturating_add(1);
            bucket = self.after(bucket);
        }
    }

    /// Takes an order out; its place is free.
    #[inline]
    pub(crate) fn remove(&mut self, order: u32) {
        let OrderEntry { id, owner, .. } = self[order];
        let mut bucket = self.home(owner.wrapping_sub(1), id);
        while bucket != order / WAYS {
            let passed = &mut self.buckets[bucket as usize].0[0].passed;
            if *passed != u16::MAX {
                *passed = passed.saturating_sub(1);
            }
            bucket = self.after(bucket);
        }
        self[order].owner = NOBODY;
        self.in_use -= 1;
    }

    /// Takes out every order whose index `held` does not name, and counts anew who passed whom.
    pub(crate) fn remove_all_but(&mut self, held: &[bool]) {
        for index in 0..self.end() as u32 {
            let entry = &mut self[index];
            entry.passed = 0;
            if !held[index as usize] {
                entry.owner = NOBODY;
            }
        }
        self.in_use = 0;
        for index in 0..self.end() as u32 {
            let OrderEntry { id, owner, .. } = self[index];
            if owner == NOBODY {
                continue;
            }
            self.in_use += 1;
            let mut bucket = self.home(owner - 1, id);
            while bucket != index / WAYS {
                let passed = &mut self.buckets[bucket as usize].0[0].passed;
                *passed = passed.saturating_add(1);
                bucket = self.after(bucket);
            }
        }
    }

    /// Asks the processor for the bucket where the search for an order will begin.
    #[inline]
    pub(crate) fn prefetch_home(&self, book: u32, id: u64) {
        prefetch(&self.buckets, self.home(book, id) as usize);
    }

    /// The order where the search for it begins, and [`NIL`] where it is not there.
    #[inline]
    pub(crate) fn at_home(&self, book: u32, id: u64) -> u32 {
        let home = self.home(book, id);
        let Bucket(orders) = &self.buckets[home as usize];
        way_of(orders, book, id).map_or(NIL, |way| home * WAYS + way)
    }

    /// True where the order at `index` is this one.
    #[inline]
    pub(crate) fn is(&self, index: u32, book: u32, id: u64) -> bool {
        self[index].is(book, id)
    }

    /// Asks the processor for an order, whatever the index.
    #[inline]
    pub(crate) fn prefetch(&self, index: u32) {
        prefetch(&self.buckets, (index / WAYS) as usize);
    }

    /// Where the search for an order begins: as far into the buckets, but for the first, as the key's
    /// hash is into all hashes.
    #[inline]
    fn home(&self, book: u32, id: u64) -> u32 {
        let buckets = self.buckets.len() as u64 - 1;
        1 + ((u64::from(hash(book, id)) * buckets) >> u32::BITS) as u32
    }

    #[inline]
    fn after(&self, bucket: u32) -> u32 {
        if bucket as usize + 1 == self.buckets.len() { 1 } else { bucket + 1 }
    }
}

#[inline]
fn way_of(orders: &[OrderEntry; WAYS as usize], book: u32, id: u64) -> Option<u32> {
    (0..WAYS).find(|&way| orders[way as usize].is(book, id))
}

impl ops::Index<u32> for Orders {
    type Output = OrderEntry;

    #[inline]
    fn index(&self, index: u32) -> &OrderEntry {
        &self.buckets[(index / WAYS) as usize].0[(index % WAYS) as usize]
    }
}

impl ops::IndexMut<u32> for Orders {
    #[inline]
    fn index_mut(&mut self, index: u32) -> &mut OrderEntry {
        &mut self.buckets[(index / WAYS) as usize].0[(index % WAYS) as usize]
    }
}

/// The folded product of the key's two mixed parts; the better mixed half of it.
#[inline]
fn hash(book: u32, id: u64) -> u32 {
    let book = (u64::from(book) << 1 | 1).wrapping_mul(MIX_BOOK);
    let product = u128::from(id ^ MIX_ID) * u128::from(book);
    ((product as u64 ^ (product >> 64) as u64) >> u32::BITS) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    fn insert(orders: &mut Orders, book: u32, id: u64) -> u32 {
        orders.insert(book, id, 1, 1, RestingSide::Bid)
    }

    proptest! {
        #[test]
        fn behaves_like_a_map(
            limit in 1usize..120,
            steps in prop::collection::vec((0u32..3, 0u64..40, 0u8..20), 0..400),
        ) {
            let mut orders = Orders::new(limit).unwrap();
            let mut model = HashMap::new();
            for (book, id, kind) in steps {
                let key = (book, id);
                match (kind, model.get(&key).copied()) {
                    (0, _) => {
                        let mut held = vec![false; orders.end()];
                        model.retain(|&(_, id), &mut order| {
                            held[order as usize] = id % 3 > 0;
                            id % 3 > 0
                        });
                        orders.remove_all_but(&held);
                    }
                    (_, Some(order)) if kind < 10 => {
                        model.remove(&key);
                        orders.remove(order);
                    }
                    (_, None) if !orders.is_full() => {
                        model.insert(key, insert(&mut orders, book, id));
                    }
                    _ => {}
                }
                for book in 0..3 {
                    for id in 0..40 {
                        let expected = model.get(&(book, id)).copied();
                        prop_assert_eq!(orders.find(book, id), expected);
                        let near = orders.at_home(book, id);
                        prop_assert!(near == NIL || Some(near) == expected);
                    }
                }
                prop_assert_eq!(orders.in_use(), model.len());
                prop_assert_eq!(orders.indices().count(), model.len());
            }
            // Whoever is gone is no longer counted.
            for order in model.into_values() {
                orders.remove(order);
            }
            prop_assert!((0..orders.end() as u32).all(|index| orders[index].passed == 0));
        }
    }

    #[test]
    fn a_table_takes_as_many_as_its_limit() {
        for limit in [0, 1, 2, 3, 100, 1_001] {
            let mut orders = Orders::new(limit).unwrap();
            for id in 0..limit as u64 {
                assert!(!orders.is_full());
                assert_ne!(insert(&mut orders, 0, id), NIL);
            }
            assert!(orders.is_full());
            assert!((0..limit as u64).all(|id| orders.find(0, id).is_some()));
        }
    }

    #[test]
    fn an_order_is_not_taken_for_the_same_id_of_another_book() {
        let mut orders = Orders::new(3).unwrap();
        let first = insert(&mut orders, 7, 1);
        assert_eq!(orders.find(8, 1), None);
        let second = insert(&mut orders, 8, 1);
        assert_eq!((orders.find(7, 1), orders.find(8, 1)), (Some(first), Some(second)));
        orders.remove(first);
        assert_eq!((orders.find(7, 1), orders.find(8, 1)), (None, Some(second)));
    }

    #[test]
    fn a_bucket_passed_by_more_than_can_be_counted_stays_passed() {
        let mut orders = Orders::new(9).unwrap();
        let ids: Vec<u64> = (0..9).collect();
        let places: Vec<u32> = ids.iter().map(|&id| insert(&mut orders, 1, id)).collect();
        for bucket in 0..orders.buckets.len() {
            orders.buckets[bucket].0[0].passed = u16::MAX;
        }
        assert_eq!(orders.find(1, 99), None, "the search ends where it began");
        orders.remove(places[3]);
        let found: Vec<_> = ids.iter().filter_map(|&id| orders.find(1, id)).collect();
        assert_eq!(found.len(), 8);
    }

    #[test]
    fn keys_that_count_upwards_stay_near_home() {
        let limit = 100_000;
        let mut orders = Orders::new(limit).unwrap();
        let keys = (0..limit as u64).map(|id| (id as u32 % 7, 6_412_777_000_000 + 4 * id));
        let far = keys
            .filter(|&(book, id)| {
                let order = insert(&mut orders, book, id);
                order / WAYS != orders.home(book, id)
            })
            .count();
        assert!(far < limit / 5, "{far} of {limit} are not where their search begins");
    }
}
