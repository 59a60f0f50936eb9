//! The tables that all books of a shard share: orders, levels and rungs.
//!
//! An order knows its level, and a level its price, so an order that is executed, reduced or deleted
//! costs one search, and one that is added another for its level. The orders of a level are a doubly
//! linked list in the order of their priority. The sorted prices of a book, its rungs, are touched only
//! where a level opens or closes.

use std::hint::select_unpredictable;

use wirebook_hugevec::{HugeVec, HugeVecError};

use crate::hash_table::{Item, NIL};
use crate::ladder::{Ladder, Rung, RungPool};
use crate::levels::{LevelEntry, LevelKey, Levels};
use crate::orders::{OrderEntry, OrderKey, Orders};
use crate::side::RestingSide;

/// A configured limit that left no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LimitHit {
    Orders,
    Levels,
}

/// Orders and levels of all books.
pub(crate) struct Tables {
    pub(crate) orders: Orders,
    pub(crate) levels: Levels,
    /// By level: the part of its size that a venue gave as one number, where the level has such a part.
    /// Venues that give orders never touch it.
    aggregates: HugeVec<u32>,
    pub(crate) rungs: RungPool,
    /// How often a level was opened or closed.
    pub(crate) moves: u64,
    /// Orders stand in the queues of their levels; else levels only count them.
    pub(crate) queued: bool,
}

/// The two sides of one book; bids first.
pub(crate) type Ladders = [Ladder; 2];

impl Tables {
    /// Tables of these sizes, each below 2^30.
    pub(crate) fn new(orders: usize, levels: usize, rungs: usize) -> Result<Self, HugeVecError> {
        let levels = Levels::new(levels)?;
        Ok(Self {
            orders: Orders::new(orders)?,
            aggregates: HugeVec::zeroed(levels.end())?,
            levels,
            rungs: RungPool::new(rungs)?,
            moves: 0,
            queued: true,
        })
    }

    /// What each table takes for so many orders and levels; `None` where there can be none.
    pub(crate) fn bytes_for(orders: usize, levels: usize) -> Option<impl Iterator<Item = usize>> {
        let (orders, of_levels) = (Orders::bytes_for(orders)?, Levels::bytes_for(levels)?);
        let aggregates = of_levels[0] / size_of::<LevelEntry>() * size_of::<u32>();
        Some(orders.into_iter().chain(of_levels).chain([aggregates]))
    }

    /// What all tables take, used or not.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.orders.memory_bytes()
            + self.levels.memory_bytes()
            + size_of_val(&self.aggregates[..])
            + self.rungs.memory_bytes()
    }

    /// The terms of a resting order.
    #[inline]
    pub(crate) fn terms_of(&self, order: u32) -> Terms {
        let OrderEntry { side, size, level, .. } = self.orders[order];
        Terms { side, price: self.levels[level].price, size }
    }

    /// What the venue gave as one number at a level.
    #[inline]
    pub(crate) fn aggregate(&self, level: u32) -> u32 {
        if self.levels[level].has_aggregate() { self.aggregates[level as usize] } else { 0 }
    }

    /// Sets what the venue gave as one number at a level, without its size.
    pub(crate) fn put_aggregate(&mut self, level: u32, aggregate: u32) {
        self.levels[level].set_has_aggregate(aggregate != 0);
        self.aggregates[level as usize] = aggregate;
    }

    /// What a level says as one number: all of it where its orders are only counted.
    pub(crate) fn told_as_one(&self, level: u32) -> u32 {
        match self.queued {
            true => self.aggregate(level),
            false => u32::try_from(self.levels[level].size).unwrap_or(u32::MAX),
        }
    }

    /// Puts an order, whose id the book does not hold, at the end of its level.
    #[inline]
    pub(crate) fn place(
        &mut self,
        ladders: &mut Ladders,
        key: OrderKey,
        terms: Terms,
    ) -> Result<(), LimitHit> {
        if self.orders.is_full() {
            return Err(LimitHit::Orders);
        }
        let level = self.level_at(ladders, terms.at(key.book))?;
        let order = self.orders.insert(OrderEntry::new(key, terms.size, level, terms.side));
        self.link(order);
        Ok(())
    }

    /// Takes an order out of the book.
    #[inline]
    pub(crate) fn remove(&mut self, ladders: &mut Ladders, order: u32) {
        self.unlink(ladders, order);
        self.orders.remove(order);
    }

    /// Counts an order, whose id the book does not hold, at its level, without a place in a queue.
    #[inline]
    pub(crate) fn count_in(
        &mut self,
        ladders: &mut Ladders,
        key: OrderKey,
        terms: Terms,
    ) -> Result<LevelChange, LimitHit> {
        if self.orders.is_full() {
            return Err(LimitHit::Orders);
        }
        let Terms { side, price, size } = terms;
        let index = self.level_at(ladders, terms.at(key.book))?;
        self.orders.insert(OrderEntry::new(key, size, index, side));
        let level = &mut self.levels[index];
        let before = level.size;
        level.size += u64::from(size);
        level.set_orders(level.orders() + 1);
        Ok(LevelChange { side, price, before, after: level.size })
    }

    /// Takes up to `size` from an order that [`Tables::count_in`] counted, and the order where nothing
    /// remains.
    #[inline]
    pub(crate) fn count_out(
        &mut self,
        ladders: &mut Ladders,
        order: u32,
        size: u32,
    ) -> LevelChange {
        let entry = &mut self.orders[order];
        let size = size.min(entry.size);
        entry.size -= size;
        let OrderEntry { side, level: index, size: left, .. } = *entry;
        let level = &mut self.levels[index];
        let (price, before) = (level.price, level.size);
        level.size -= u64::from(size);
        let after = level.size;
        if left == 0 {
            level.set_orders(level.orders() - 1);
            self.orders.remove(order);
            self.close_if_empty(ladders, side, index);
        }
        LevelChange { side, price, before, after }
    }

    /// Puts a resting order at the end of the level of its new terms. Where that level cannot be
    /// had, the order is gone.
    pub(crate) fn relocate(
        &mut self,
        book: u32,
        ladders: &mut Ladders,
        order: u32,
        terms: Terms,
    ) -> Result<(), LimitHit> {
        self.unlink(ladders, order);
        let level =
            self.level_at(ladders, terms.at(book)).inspect_err(|_| self.orders.remove(order))?;
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
        book: u32,
        ladders: &mut Ladders,
        terms: Terms,
    ) -> Result<u32, LimitHit> {
        let key = terms.at(book);
        if terms.size == 0 && self.levels.find(key).is_none() {
            return Ok(0);
        }
        let level = self.level_at(ladders, key)?;
        let before = self.aggregate(level);
        self.put_aggregate(level, terms.size);
        let size = &mut self.levels[level].size;
        *size = *size - u64::from(before) + u64::from(terms.size);
        self.close_if_empty(ladders, terms.side, level);
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
            self.levels.remove(level);
        }
        self.rungs.release(ladder);
        self.moves += 1;
    }

    /// Forgets the orders of a side that stand in no queue. Takes a step for each place of the table.
    #[cold]
    fn forget_counted(&mut self, book: u32, side: RestingSide) {
        for order in 0..self.orders.end() as u32 {
            let is_its = |entry: &OrderEntry| (entry.key().book, entry.side) == (book, side);
            if self.orders.get(order).is_some_and(is_its) {
                self.orders.remove(order);
            }
        }
    }

    /// The level of a price, opened where there is none yet.
    #[inline]
    fn level_at(&mut self, ladders: &mut Ladders, key: LevelKey) -> Result<u32, LimitHit> {
        match self.levels.find(key) {
            Some(level) => Ok(level),
            None => self.open(ladders, key),
        }
    }

    fn open(&mut self, ladders: &mut Ladders, key: LevelKey) -> Result<u32, LimitHit> {
        if self.levels.is_full() {
            return Err(LimitHit::Levels);
        }
        let ladder = &mut ladders[key.side as usize];
        let rank = key.side.rank(key.price);
        // A price that is there already would be a level that its own key does not find.
        let (Ok(at) | Err(at)) = self.rungs.search(ladder, rank);
        let level = self.levels.insert(LevelEntry::new(key));
        if self.rungs.insert(ladder, at, Rung { rank, level }).is_err() {
            self.levels.remove(level);
            return Err(LimitHit::Levels);
        }
        self.moves += 1;
        Ok(level)
    }

    #[inline]
    fn close_if_empty(&mut self, ladders: &mut Ladders, side: RestingSide, level: u32) {
        if self.levels[level].is_empty() {
            self.close(ladders, side, level);
        }
    }

    fn close(&mut self, ladders: &mut Ladders, side: RestingSide, level: u32) {
        let ladder = &mut ladders[side as usize];
        if let Ok(at) = self.rungs.search(ladder, side.rank(self.levels[level].price)) {
            self.rungs.remove(ladder, at);
        }
        self.levels.remove(level);
        self.moves += 1;
    }

    /// Appends an order to the queue of its level.
    #[inline]
    fn link(&mut self, order: u32) {
        let OrderEntry { size, level, .. } = self.orders[order];
        let level = &mut self.levels[level];
        level.size += u64::from(size);
        level.set_orders(level.orders() + 1);
        let last = std::mem::replace(&mut level.last, order);
        // Whether there is one no processor can foresee, so no branch asks for it: nobody reads the
        // links of NIL.
        level.first = select_unpredictable(last == NIL, order, level.first);
        self.orders[last].behind = order;
        let entry = &mut self.orders[order];
        (entry.ahead, entry.behind) = (last, NIL);
    }

    /// Takes an order out of the queue of its level, and closes a level that is empty then.
    #[inline]
    fn unlink(&mut self, ladders: &mut Ladders, order: u32) {
        let OrderEntry { size, level: index, ahead, behind, side, .. } = self.orders[order];
        let level = &mut self.levels[index];
        level.size -= u64::from(size);
        level.set_orders(level.orders() - 1);
        level.first = select_unpredictable(ahead == NIL, behind, level.first);
        level.last = select_unpredictable(behind == NIL, ahead, level.last);
        self.orders[ahead].behind = behind;
        self.orders[behind].ahead = ahead;
        self.close_if_empty(ladders, side, index);
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

impl Terms {
    /// The level of these terms in the book numbered `book`.
    #[inline]
    pub(crate) fn at(self, book: u32) -> LevelKey {
        let Self { side, price, .. } = self;
        LevelKey { book, side, price }
    }
}
