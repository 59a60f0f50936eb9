//! The price levels of all books, each found by its book, side and price.

use zerocopy::FromZeros;

use crate::hash_table::{HashTable, Item, NIL, mix};
use crate::side::RestingSide;

/// Of [`LevelEntry::counts`]: the venue gave a size as one number besides.
const HAS_AGGREGATE: u32 = 1 << 31;

/// A price level that holds orders, an aggregated size, or both: half a cache line.
#[derive(Clone, Copy, FromZeros)]
#[repr(C, align(32))]
pub(crate) struct LevelEntry {
    pub(crate) price: i64,
    /// All sizes at this price together.
    pub(crate) size: u64,
    /// Number of its book, twice, plus its side, plus one; 0 where the place is free.
    owner: u32,
    /// Number of orders, and [`HAS_AGGREGATE`].
    counts: u32,
    pub(crate) first: u32,
    pub(crate) last: u32,
}

/// A level's book, by number, its side and price.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LevelKey {
    pub(crate) book: u32,
    pub(crate) side: RestingSide,
    pub(crate) price: i64,
}

impl LevelKey {
    fn owner(self) -> u32 {
        (self.book << 1 | self.side as u32).wrapping_add(1)
    }
}

impl LevelEntry {
    /// A level of nothing.
    pub(crate) fn new(key: LevelKey) -> Self {
        let (price, owner) = (key.price, key.owner());
        Self { price, size: 0, owner, counts: 0, first: NIL, last: NIL }
    }

    /// Number of orders.
    pub(crate) fn orders(&self) -> u32 {
        self.counts & !HAS_AGGREGATE
    }

    /// Sets the number of orders, which are fewer than 2^31.
    pub(crate) fn set_orders(&mut self, orders: u32) {
        self.counts = self.counts & HAS_AGGREGATE | orders;
    }

    /// True where the venue gave a size as one number besides.
    #[inline]
    pub(crate) fn has_aggregate(&self) -> bool {
        self.counts & HAS_AGGREGATE != 0
    }

    pub(crate) fn set_has_aggregate(&mut self, has: bool) {
        self.counts = self.orders() | if has { HAS_AGGREGATE } else { 0 };
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.counts == 0
    }
}

impl Item for LevelEntry {
    type Key = LevelKey;

    #[inline]
    fn key(&self) -> LevelKey {
        let owner = self.owner.wrapping_sub(1);
        let side = if owner & 1 == 0 { RestingSide::Bid } else { RestingSide::Ask };
        LevelKey { book: owner >> 1, side, price: self.price }
    }

    #[inline]
    fn is(&self, key: LevelKey) -> bool {
        (self.price == key.price) & (self.owner == key.owner())
    }

    #[inline]
    fn owner(&self) -> u32 {
        self.owner
    }

    #[inline]
    fn set_free(&mut self) {
        self.owner = 0;
    }

    #[inline]
    fn hash(key: LevelKey) -> u64 {
        mix(key.price as u64, key.owner().into())
    }
}

/// All levels.
pub(crate) type Levels = HashTable<LevelEntry>;
