//! The tables that all books of a shard share: orders, levels and rungs.
//!
//! An order knows its level and side, and a level its price, so an order that is executed, reduced
//! or deleted costs one look-up and no search. The orders of a level are a doubly linked list in
//! the order of their priority.

use wirebook_hugevec::HugeVecError;
use zerocopy::FromZeros;

use crate::ladder::{Ladder, Rung, RungPool};
use crate::orders::{OrderEntry, Orders};
use crate::side::RestingSide;
use crate::slab::{NIL, Slab};

/// A price level that holds orders, an aggregated size, or both: half a cache line.
#[derive(Clone, Copy, FromZeros)]
#[repr(C, align(32))]
pub(crate) struct LevelEntry {
    pub(crate) price: i64,
    /// All sizes at this price together.
    pub(crate) size: u64,
    /// The part of `size` that a venue gave as one number, not as orders.
    pub(crate) aggregate: u32,
    /// Number of orders.
    pub(crate) orders: u32,
    pub(crate) first: u32,
    pub(crate) last: u32,
}

impl LevelEntry {
    pub(crate) fn is_empty(&self) -> bool {
        self.orders == 0 && self.aggregate == 0
    }
}

/// A configured limit that left no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LimitHit {
    Orders,
    Levels,
}

/// Orders and levels of all books.
pub(crate) struct Tables {
    pub(crate) orders: Orders,
    pub(crate) levels: Slab<LevelEntry>,
    pub(crate) rungs: RungPool,
    /// Orders stand in the queues of their levels; else levels only count them.
    pub(crate) queued: bool,
}

/// The two sides of one book; bids first.
pub(crate) type Ladders = [Ladder; 2];

impl Tables {
    /// Tables of these sizes, each below `u32::MAX`.
    pub(crate) fn new(orders: usize, levels: usize, rungs: usize) -> Result<Self, HugeVecError> {
        Ok(Self {
            orders: Orders::new(orders)?,
            levels: Slab::new(levels)?,
            rungs: RungPool::new(rungs)?,
            queued: true,
        })
    }

    /// What all tables take, used or not.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.orders.memory_bytes()
            + self.levels.memory_bytes()
            + self.rungs.memory_bytes()
    }

    /// The order `id` of the book numbered `book`.
    pub(crate) fn find(&self, book: u32, id: u64) -> Option<u32> {
        self.orders.find(book, id)
    }

    /// The terms of a resting order.
    #[inline]
    pub(crate) fn terms_of(&self, order: u32) -> Terms {
        let OrderEntry { side, size, level, .. } = self.orders[order];
        Terms { side, price: self.levels[level].price, size }
    }

    /// What a level says as one number: all of it where its orders are only counted.
    pub(crate) fn aggregate(&self, level: &LevelEntry) -> u32 {
        match self.queued {
            true => level.aggregate,
            false => u32::try_from(level.size).unwrap_or(u32::MAX),
        }
    }

    /// Puts an order, whose id the book does not hold, at the end of its level.
    pub(crate) fn place(
        &mut self,
        book: u32,
        ladders: &mut Ladders,
        id: u64,
        terms: Terms,
    ) -> Result<(), LimitHit> {
        if self.orders.is_full() {
            return Err(LimitHit::Orders);
        }
        let level = self.level_at(ladders, terms.side, terms.price)?;
        let order = self.orders.insert(book, id, terms.size, level, terms.side);
        self.link(order);
        Ok(())
    }

    /// Takes an order out of the book.
    pub(crate) fn remove(&mut self, ladders: &mut Ladders, order: u32) {
        self.unlink(ladders, order);
        self.orders.remove(order);
    }

    /// Counts an order, whose id the book does not hold, at its level, without a place in a queue.
    pub(crate) fn count_in(
        &mut self,
        book: u32,
        ladders: &mut Ladders,
        id: u64,
        terms: Terms,
    ) -> Result<LevelChange, LimitHit> {
        if self.orders.is_full() {
            return Err(LimitHit::Orders);
        }
        let Terms { side, price, size } = terms;
        let index = self.level_at(ladders, side, price)?;
        self.orders.insert(book, id, size, index, side);
        let level = &mut self.levels[index];
        let before = level.size;
        level.size += u64::from(size);
        level.orders += 1;
        Ok(LevelChange { side, price, before, after: level.size })
    }

    /// Takes `size`, at most what it has, from an order that [`Tables::count_in`] counted, and the order
    /// where nothing remains.
    pub(crate) fn count_out(
        &mut self,
        ladders: &mut Ladders,
        order: u32,
        size: u32,
    ) -> LevelChange {
        let entry = &mut self.orders[order];
        entry.size -= size;
        let OrderEntry { side, level: index, size: left, .. } = *entry;
        let level = &mut self.levels[index];
        let (price, before) = (level.price, level.size);
        level.size -= u64::from(size);
        let after = level.size;
        if left == 0 {
            level.orders -= 1;
            self.orders.remove(order);
            self.close_if_empty(ladders, side, index);
        }
        LevelChange { side, price, before, after }
    }

    /// Puts a resting order at the end of the level of its new terms. Where that level cannot be
    /// had, the order is gone.
    pub(crate) fn relocate(
        &mut self,
        ladders: &mut Ladders,
        order: u32,
        terms: Terms,
    ) -> Result<(), LimitHit> {
        self.unlink(ladders, order);
        let level = self
            .level_at(ladders, terms.side, terms.price)
            .inspect_err(|_| self.orders.remove(order))?;
        let entry = &mut self.orders[order];
        entry.size = terms.size;
        entry.level = level;
        entry.side = terms.side;
        self.link(order);
        Ok(())
    }

    /// Takes `size`, which is less than the order has, from an order that keeps its place.
    pub(crate) fn reduce(&mut self, order: u32, size: u32) {
        let entry = &mut self.orders[order];
        entry.size -= size;
        self.levels[entry.level].size -= u64::from(size);
    }

    /// Sets the aggregated size of a price, 0 for none, and returns the one before.
    pub(crate) fn set_aggregate(
        &mut self,
        ladders: &mut Ladders,
        terms: Terms,
    ) -> Result<u32, LimitHit> {
        let ladder = &ladders[terms.side as usize];
        if terms.size == 0 && self.rungs.search(ladder, terms.side.rank(terms.price)).is_err() {
            return Ok(0);
        }
        let index = self.level_at(ladders, terms.side, terms.price)?;
        let level = &mut self.levels[index];
        let before = std::mem::replace(&mut level.aggregate, terms.size);
        level.size = level.size - u64::from(before) + u64::from(terms.size);
        self.close_if_empty(ladders, terms.side, index);
        Ok(before)
    }

    /// Empties one side of a book.
    pub(crate) fn clear(&mut self, book: u32, ladders: &mut Ladders, side: RestingSide) {
        if !self.queued {
            self.forget_counted(book, side);
        }
        let ladder = &mut ladders[side as usize];
        for at in 0..self.rungs.rungs(ladder).len() {
            let level = self.rungs.rungs(ladder)[at].level;
            let mut order = self.levels[level].first;
            while order != NIL {
                let behind = self.orders[order].behind;
                self.orders.remove(order);
                order = behind;
            }
            self.levels.give_back(level);
        }
        self.rungs.release(ladder);
    }

    /// Forgets the orders of a side that stand in no queue. Takes a step for each place of the table.
    #[cold]
    fn forget_counted(&mut self, book: u32, side: RestingSide) {
        for order in 0..self.orders.end() as u32 {
            let is_its = |entry: &OrderEntry| (entry.book(), entry.side) == (book, side);
            if self.orders.get(order).is_some_and(is_its) {
                self.orders.remove(order);
            }
        }
    }

    /// The level at a price, opened where there is none yet.
    fn level_at(
        &mut self,
        ladders: &mut Ladders,
        side: RestingSide,
        price: i64,
    ) -> Result<u32, LimitHit> {
        let ladder = &mut ladders[side as usize];
        let rank = side.rank(price);
        let at = match self.rungs.search(ladder, rank) {
            Ok(at) => return Ok(self.rungs.rungs(ladder)[at].level),
            Err(at) => at,
        };
        let entry = LevelEntry { price, size: 0, aggregate: 0, orders: 0, first: NIL, last: NIL };
        let level = self.levels.take(entry).ok_or(LimitHit::Levels)?;
        match self.rungs.insert(ladder, at, Rung { rank, level }) {
            Ok(()) => Ok(level),
            Err(_) => {
                self.levels.give_back(level);
                Err(LimitHit::Levels)
            }
        }
    }

    fn close_if_empty(&mut self, ladders: &mut Ladders, side: RestingSide, index: u32) {
        let level = &self.levels[index];
        if !level.is_empty() {
            return;
        }
        let ladder = &mut ladders[side as usize];
        if let Ok(at) = self.rungs.search(ladder, side.rank(level.price)) {
            self.rungs.remove(ladder, at);
        }
        self.levels.give_back(index);
    }

    /// Appends an order to the queue of its level.
    fn link(&mut self, order: u32) {
        let entry = self.orders[order];
        let level = &mut self.levels[entry.level];
        level.size += u64::from(entry.size);
        level.orders += 1;
        let last = std::mem::replace(&mut level.last, order);
        if last == NIL {
            level.first = order;
        } else {
            self.orders[last].behind = order;
        }
        self.orders[order].ahead = last;
        self.orders[order].behind = NIL;
    }

    /// Takes an order out of the queue of its level, and closes a level that is empty then.
    fn unlink(&mut self, ladders: &mut Ladders, order: u32) {
        let entry = self.orders[order];
        let level = &mut self.levels[entry.level];
        level.size -= u64::from(entry.size);
        level.orders -= 1;
        if entry.ahead == NIL {
            level.first = entry.behind;
        } else {
            self.orders[entry.ahead].behind = entry.behind;
        }
        if entry.behind == NIL {
            level.last = entry.ahead;
        } else {
            self.orders[entry.behind].ahead = entry.ahead;
        }
        self.close_if_empty(ladders, entry.side, entry.level);
    }
}

/// What became of a level's size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LevelChange {
    pub(crate) side: RestingSide,
    pub(crate) price: i64,
    pub(crate) before: u64,
    pub(crate) after: u64,
}

/// Where and how much something rests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Terms {
    pub(crate) side: RestingSide,
    pub(crate) price: i64,
    pub(crate) size: u32,
}
