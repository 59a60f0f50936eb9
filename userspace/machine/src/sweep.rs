//! Tells whole books from torn ones, and takes back what no whole book holds.
//!
//! Arrives: tables in which anything may be wrong, and the ladders of the books in them. Leaves:
//! tables in which every order, level and rung is either a whole book's or free, and the numbers
//! of the books that are not whole. Whatever links say, each walk ends and none leads outside.

use crate::hash_table::{Item, NIL};
use crate::ladder::{Ladder, Rung};
use crate::orders::OrderKey;
use crate::side::RestingSide;
use crate::tables::{Ladders, Tables};

impl Tables {
    /// Frees everything that the whole ones of `books` do not hold; returns the others, of which
    /// nothing is left. Takes a step for each place of the tables, and allocates a byte each.
    pub(crate) fn sweep<'a>(
        &mut self,
        books: impl Iterator<Item = (u32, &'a Ladders)>,
    ) -> Vec<u32> {
        let mut held = Held {
            orders: vec![false; self.orders.end()],
            levels: vec![false; self.levels.end()],
            units: vec![false; self.rungs.units()],
        };
        let counted = self.counted();
        let is_whole = |book, ladders| self.is_whole(book, ladders, &counted);
        let torn = books
            .filter(|&(book, ladders)| !(is_whole(book, ladders) && held.take(self, ladders)))
            .map(|(book, _)| book)
            .collect();
        if !self.queued {
            for order in self.orders.indices() {
                let level = self.orders[order].level;
                held.orders[order as usize] = held.levels.get(level as usize) == Some(&true);
            }
        }
        self.orders.remove_all_but(&held.orders);
        self.levels.remove_all_but(&held.levels);
        self.rungs.free_all_but(&held.units);
        torn
    }

    /// True where all that the book holds is linked as it should be.
    fn is_whole(&self, book: u32, ladders: &Ladders, counted: &[Counted]) -> bool {
        RestingSide::BOTH.into_iter().all(|side| {
            self.rungs.checked_rungs(&ladders[side as usize]).is_some_and(|rungs| {
                rungs.is_sorted_by(|worse, better| worse.rank < better.rank)
                    && rungs.iter().all(|rung| self.is_whole_level(book, side, rung, counted))
            })
        })
    }

    /// The walk ends: an order that came twice would have to name two orders ahead of it.
    fn is_whole_level(
        &self,
        book: u32,
        side: RestingSide,
        rung: &Rung,
        counted: &[Counted],
    ) -> bool {
        let Some(level) = self.levels.get(rung.level) else { return false };
        let key = level.key();
        if (key.book, key.side, side.rank(key.price)) != (book, side, rung.rank) || level.is_empty()
        {
            return false;
        }
        if !self.queued {
            let Counted { orders, size, of } = counted[rung.level as usize];
            let is_own = orders == 0 || of == (book, side);
            let size = size.saturating_add(self.aggregate(rung.level).into());
            return is_own && (orders, size) == (level.orders(), level.size);
        }
        let (mut ahead, mut next) = (NIL, level.first);
        let (mut orders, mut size) = (0, u64::from(self.aggregate(rung.level)));
        while next != NIL {
            let Some(order) = self.orders.get(next) else { return false };
            let linked = (order.side, order.level, order.ahead) == (side, rung.level, ahead);
            if !linked
                || order.size == 0
                || self.orders.find(OrderKey { book, id: order.id }) != Some(next)
            {
                return false;
            }
            orders += 1;
            size += u64::from(order.size);
            (ahead, next) = (next, order.behind);
        }
        (ahead, orders, size) == (level.last, level.orders(), level.size)
    }
}

/// The orders of a level that stand in no queue.
#[derive(Clone, Copy)]
struct Counted {
    orders: u32,
    size: u64,
    /// The book and side of all of them.
    of: (u32, RestingSide),
}

impl Tables {
    /// What the orders say of each level, where levels only count them: a level that orders of two books
    /// or sides name is no level.
    fn counted(&self) -> Vec<Counted> {
        if self.queued {
            return Vec::new();
        }
        let none = Counted { orders: 0, size: 0, of: (0, RestingSide::Bid) };
        let mut counted = vec![none; self.levels.end()];
        for entry in self.orders.indices().filter_map(|order| self.orders.get(order)) {
            let Some(level) = counted.get_mut(entry.level as usize) else { continue };
            let of = (entry.key().book, entry.side);
            if level.orders > 0 && level.of != of {
                level.size = u64::MAX;
            }
            level.orders = level.orders.saturating_add(1);
            level.size = level.size.saturating_add(entry.size.into());
            level.of = of;
        }
        counted
    }
}

/// What whole books hold of the tables: true at its index.
struct Held {
    orders: Vec<bool>,
    levels: Vec<bool>,
    units: Vec<bool>,
}

impl Held {
    /// Marks what a whole book holds; false, and nothing marked, where another one holds it too.
    /// Its orders name their levels, so they are its own where its levels are.
    fn take(&mut self, tables: &Tables, ladders: &Ladders) -> bool {
        let units = || ladders.iter().filter_map(Ladder::extent).flat_map(|extent| extent.units());
        let levels = || ladders.iter().flat_map(|ladder| tables.rungs.rungs(ladder));
        let [bids, asks] = ladders.each_ref().map(Ladder::extent);
        let apart = bids.is_none() || bids != asks;
        let taken = units().any(|unit| self.units[unit])
            || levels().any(|rung| self.levels[rung.level as usize]);
        if taken || !apart {
            return false;
        }
        units().for_each(|unit| self.units[unit] = true);
        for rung in levels() {
            self.levels[rung.level as usize] = true;
            let mut next = tables.levels[rung.level].first;
            while next != NIL {
                self.orders[next as usize] = true;
                next = tables.orders[next].behind;
            }
        }
        true
    }
}
