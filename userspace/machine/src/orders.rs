//! The orders of all books, each found by its book and id.

use zerocopy::FromZeros;

use crate::hash_table::{HashTable, Item, NIL, mix};
use crate::side::RestingSide;

/// A resting order: half a cache line. Its links name its neighbours in the queue of its level.
#[derive(Clone, Copy, FromZeros)]
#[repr(C, align(32))]
pub(crate) struct OrderEntry {
    pub(crate) id: u64,
    pub(crate) size: u32,
    pub(crate) level: u32,
    pub(crate) ahead: u32,
    pub(crate) behind: u32,
    /// Number of its book, plus one; 0 where the place is free.
    owner: u32,
    pub(crate) side: RestingSide,
}

/// All orders.
pub(crate) type Orders = HashTable<OrderEntry>;

/// An order's book, by number, and its id, which is the book's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OrderKey {
    pub(crate) book: u32,
    pub(crate) id: u64,
}

impl OrderEntry {
    /// An order in no queue.
    pub(crate) fn new(key: OrderKey, size: u32, level: u32, side: RestingSide) -> Self {
        let OrderKey { book, id } = key;
        Self { id, size, level, ahead: NIL, behind: NIL, owner: book + 1, side }
    }
}

impl Item for OrderEntry {
    type Key = OrderKey;

    #[inline]
    fn key(&self) -> OrderKey {
        OrderKey { book: self.owner.wrapping_sub(1), id: self.id }
    }

    #[inline]
    fn is(&self, OrderKey { book, id }: OrderKey) -> bool {
        (self.id == id) & (self.owner == book + 1)
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
    fn hash(OrderKey { book, id }: OrderKey) -> u64 {
        mix(id, book.into())
    }
}
