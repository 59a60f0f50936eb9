//! Finds an order by its book and id.
//!
//! An open-addressing hash table of fixed capacity: linear probing, deletion by backward shift
//! (Knuth, *The Art of Computer Programming* 3, 6.4, algorithm R), so that no tombstones build up
//! over a day. It is at most half full, because the table of orders has that limit.
//!
//! A place holds no key: half of the key's hash stands for it, and the order itself, which is read next
//! anyway, says whether it is the one. So a place takes 8 bytes, eight of them a cache line, and the
//! half of the hash also says where its entry belongs, so deletion looks at no order.

use wirebook_hugevec::{HugeVec, HugeVecError, prefetch};
use zerocopy::FromZeros;

use crate::slab::{NIL, Slab};
use crate::tables::OrderEntry;

/// Odd constants without a pattern: fractional bits of the square roots of 2 and 3.
const MIX_ID: u64 = 0x6a09_e667_f3bc_c909;
const MIX_BOOK: u64 = 0xbb67_ae85_84ca_a73b;

/// One place of the table; `order` [`NIL`] means empty.
#[derive(Clone, Copy, FromZeros)]
#[repr(C)]
struct Place {
    hash: u32,
    order: u32,
}

const EMPTY: Place = Place { hash: 0, order: NIL };

/// Where each order is.
pub(crate) struct OrderIndex {
    /// At least one of two is empty.
    places: HugeVec<Place>,
}

impl OrderIndex {
    /// A table for at most `limit` orders.
    pub(crate) fn new(limit: usize) -> Result<Self, HugeVecError> {
        let too_large = HugeVecError::TooLarge { len: limit, element_bytes: size_of::<Place>() };
        Ok(Self { places: HugeVec::zeroed(Self::capacity(limit).ok_or(too_large)?)? })
    }

    /// What a table for `limit` orders takes.
    pub(crate) fn bytes_for(limit: usize) -> Option<usize> {
        Self::capacity(limit)?.checked_mul(size_of::<Place>())
    }

    fn capacity(limit: usize) -> Option<usize> {
        limit.checked_mul(2).map(|places| places.max(2))
    }

    /// What all places take, used or not.
    pub(crate) fn memory_bytes(&self) -> usize {
        size_of_val(&self.places[..])
    }

    /// The order `id` of the book numbered `book`.
    #[inline]
    pub(crate) fn get(&self, orders: &Slab<OrderEntry>, book: u32, id: u64) -> Option<u32> {
        let hash = hash(book, id);
        let mut position = self.home(hash);
        loop {
            let place = self.places[position];
            if place.order == NIL {
                return None;
            }
            if place.hash == hash {
                let order = &orders[place.order];
                if order.id == id && order.book == book {
                    return Some(place.order);
                }
            }
            position = self.after(position);
        }
    }

    /// Names an order that the table does not hold yet.
    #[inline]
    pub(crate) fn insert(&mut self, book: u32, id: u64, order: u32) {
        let hash = hash(book, id);
        let mut position = self.home(hash);
        while self.places[position].order != NIL {
            position = self.after(position);
        }
        self.places[position] = Place { hash, order };
    }

    /// Forgets an order, if the table holds it under this key.
    #[inline]
    pub(crate) fn remove(&mut self, book: u32, id: u64, order: u32) {
        let mut position = self.home(hash(book, id));
        loop {
            let place = self.places[position];
            if place.order == order {
                return self.remove_at(position);
            }
            if place.order == NIL {
                return;
            }
            position = self.after(position);
        }
    }

    /// The first order at this position or behind it, and the position after its own.
    pub(crate) fn next_order(&self, from: usize) -> Option<(u32, usize)> {
        let behind = self.places.get(from..)?;
        let at = from + behind.iter().position(|place| place.order != NIL)?;
        Some((self.places[at].order, at + 1))
    }

    /// All orders, in no order.
    pub(crate) fn orders(&self) -> impl Iterator<Item = u32> + '_ {
        self.places.iter().map(|place| place.order).filter(|&order| order != NIL)
    }

    /// Forgets all orders.
    pub(crate) fn clear(&mut self) {
        self.places.fill(EMPTY);
    }

    /// Asks the processor for the place where the search for an order will begin.
    #[inline]
    pub(crate) fn prefetch(&self, book: u32, id: u64) {
        prefetch(&self.places, self.home(hash(book, id)));
    }

    /// The order that is most likely meant, without a look at it.
    #[inline]
    pub(crate) fn likely(&self, book: u32, id: u64) -> u32 {
        let hash = hash(book, id);
        let place = self.places[self.home(hash)];
        if place.hash == hash { place.order } else { NIL }
    }

    #[inline]
    fn remove_at(&mut self, position: usize) {
        let mut hole = position;
        let mut next = self.after(hole);
        while self.places[next].order != NIL {
            let home = self.home(self.places[next].hash);
            // An entry whose home lies after the hole would not be found in the hole.
            if self.distance(home, next) >= self.distance(hole, next) {
                self.places[hole] = self.places[next];
                hole = next;
            }
            next = self.after(next);
        }
        self.places[hole] = EMPTY;
    }

    /// Where the search for a hash starts: as far into the table as the hash is into all hashes.
    #[inline]
    fn home(&self, hash: u32) -> usize {
        ((u128::from(hash) * self.places.len() as u128) >> u32::BITS) as usize
    }

    #[inline]
    fn after(&self, position: usize) -> usize {
        if position + 1 == self.places.len() { 0 } else { position + 1 }
    }

    fn distance(&self, from: usize, to: usize) -> usize {
        if to >= from { to - from } else { to + self.places.len() - from }
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
    use crate::side::RestingSide;
    use proptest::prelude::*;
    use std::collections::HashMap;

    fn entry(book: u32, id: u64) -> OrderEntry {
        OrderEntry { id, size: 1, level: 1, ahead: NIL, behind: NIL, book, side: RestingSide::Bid }
    }

    proptest! {
        #[test]
        fn behaves_like_a_map(
            steps in prop::collection::vec((0u32..3, 0u64..40, any::<bool>()), 0..400)
        ) {
            let mut orders = Slab::new(120).unwrap();
            let mut index = OrderIndex::new(120).unwrap();
            let mut model = HashMap::new();
            for (book, id, insert) in steps {
                if !insert {
                    if let Some(order) = model.remove(&(book, id)) {
                        index.remove(book, id, order);
                        orders.give_back(order);
                    }
                } else {
                    model.entry((book, id)).or_insert_with(|| {
                        let order = orders.take(entry(book, id)).unwrap();
                        index.insert(book, id, order);
                        order
                    });
                }
                for book in 0..3 {
                    for id in 0..40 {
                        let expected = model.get(&(book, id)).copied();
                        prop_assert_eq!(index.get(&orders, book, id), expected);
                        let likely = index.likely(book, id);
                        prop_assert!(likely == NIL || index.places.iter().any(|p| p.order == likely));
                    }
                }
            }
        }
    }

    #[test]
    fn orders_that_share_a_hash_are_told_apart() {
        let (mut orders, mut index) = (Slab::new(3).unwrap(), OrderIndex::new(3).unwrap());
        let first = orders.take(entry(7, 1)).unwrap();
        index.insert(7, 1, first);
        // Another order in the place before it, under the hash of the first.
        let other = orders.take(entry(8, 2)).unwrap();
        let position = index.places.iter().position(|place| place.order == first).unwrap();
        let next = index.after(position);
        index.places[next] = index.places[position];
        index.places[position].order = other;
        assert_eq!(index.get(&orders, 7, 1), Some(first));
        index.remove(7, 1, first);
        assert_eq!(index.get(&orders, 7, 1), None);
    }

    #[test]
    fn keys_that_count_upwards_stay_near_home() {
        let limit = 100_000;
        let mut index = OrderIndex::new(limit).unwrap();
        let keys = (0..limit as u64).map(|id| (id as u32 % 7, 6_412_777_000_000 + 4 * id));
        for ((book, id), order) in keys.zip(1..) {
            index.insert(book, id, order);
        }
        let far = |(position, place): (usize, &Place)| match place.order {
            NIL => 0,
            _ => index.distance(index.home(place.hash), position),
        };
        let probes: usize = index.places.iter().enumerate().map(far).sum();
        assert!(probes < limit, "{probes} probes for {limit} keys");
    }
}
