//! A table of a fixed number of items with stable indices.
//!
//! Index [`NIL`] is never an item, so a zeroed link points nowhere. Items given back are taken
//! again last in, first out, while they are still in the cache.

use std::ops;

use wirebook_hugevec::{HugeVec, HugeVecError, prefetch};
use zerocopy::FromZeros;

/// The index of no item.
pub(crate) const NIL: u32 = 0;

/// Items of type `T`, at most as many as the limit it was made with.
pub(crate) struct Slab<T> {
    items: HugeVec<T>,
    /// Indices given back: the first `freed` hold.
    free: HugeVec<u32>,
    freed: usize,
    /// Items before this one have been taken at least once.
    fresh: usize,
}

impl<T: FromZeros + Copy> Slab<T> {
    /// What all places take, used or not.
    pub(crate) fn memory_bytes(&self) -> usize {
        size_of_val(&self.items[..]) + size_of_val(&self.free[..])
    }

    /// What each of its two tables takes for `limit` items.
    pub(crate) fn bytes_for(limit: usize) -> Option<[usize; 2]> {
        let items = limit.checked_add(1)?.checked_mul(size_of::<T>())?;
        Some([items, limit.checked_mul(size_of::<u32>())?])
    }

    /// A table of `limit` items; the caller sees to it that `limit` is below `u32::MAX`.
    pub(crate) fn new(limit: usize) -> Result<Self, HugeVecError> {
        Ok(Self {
            items: HugeVec::zeroed(limit + 1)?,
            free: HugeVec::zeroed(limit)?,
            freed: 0,
            fresh: 1,
        })
    }

    /// Stores `item`; `None` where the table is full.
    pub(crate) fn take(&mut self, item: T) -> Option<u32> {
        let index = if self.freed > 0 {
            self.freed -= 1;
            self.free[self.freed]
        } else if self.fresh < self.items.len() {
            self.fresh += 1;
            (self.fresh - 1) as u32
        } else {
            return None;
        };
        self.items[index as usize] = item;
        Some(index)
    }

    /// Gives the item's place back.
    pub(crate) fn give_back(&mut self, index: u32) {
        self.free[self.freed] = index;
        self.freed += 1;
    }

    /// The item at `index`, where one was ever put there.
    pub(crate) fn get(&self, index: u32) -> Option<&T> {
        (index != NIL && (index as usize) < self.fresh).then(|| &self.items[index as usize])
    }

    /// Asks the processor for an item, whatever the index.
    #[inline]
    pub(crate) fn prefetch(&self, index: u32) {
        prefetch(&self.items, index as usize);
    }

    /// One past the greatest index that was ever taken.
    pub(crate) fn end(&self) -> usize {
        self.fresh
    }

    /// Takes back every item whose index `held` does not name.
    pub(crate) fn free_all_but(&mut self, held: &[bool]) {
        self.freed = 0;
        for index in (1..self.fresh).rev().filter(|&index| !held[index]) {
            self.free[self.freed] = index as u32;
            self.freed += 1;
        }
    }

    /// Number of items taken and not given back.
    pub(crate) fn in_use(&self) -> usize {
        self.fresh - 1 - self.freed
    }
}

impl<T> ops::Index<u32> for Slab<T> {
    type Output = T;

    fn index(&self, index: u32) -> &T {
        &self.items[index as usize]
    }
}

impl<T> ops::IndexMut<u32> for Slab<T> {
    fn index_mut(&mut self, index: u32) -> &mut T {
        &mut self.items[index as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_end_at_the_limit_and_come_back() {
        let mut slab = Slab::<u64>::new(3).unwrap();
        let taken: Vec<u32> = (0..3).map(|item| slab.take(item).unwrap()).collect();
        assert!(!taken.contains(&NIL));
        assert_eq!(slab.in_use(), 3);
        assert_eq!(slab.take(9), None);
        slab.give_back(taken[1]);
        assert_eq!(slab.in_use(), 2);
        assert_eq!(slab.take(7), Some(taken[1]));
        assert_eq!(slab[taken[1]], 7);
        assert_eq!(slab[taken[2]], 2);
    }

    #[test]
    fn a_table_without_items_is_full() {
        let mut slab = Slab::<u64>::new(0).unwrap();
        assert_eq!(slab.take(1), None);
    }
}
