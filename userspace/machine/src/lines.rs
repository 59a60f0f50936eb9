//! What one event does to a book, before it is a record.

use arrayvec::ArrayVec;
use dbn::{Action, Side, UNDEF_PRICE, flags};

use crate::side::RestingSide;
use crate::tables::Terms;

/// The most lines that one event makes: an execution's trade, fill and cancel; or a replacement's
/// two cancels (the new id rested already) and its add.
const LINES_MAX: usize = 3;

/// What one `MboMsg` says beyond its event's header.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Line {
    pub(crate) action: Action,
    pub(crate) side: Side,
    pub(crate) order_id: u64,
    pub(crate) price: i64,
    pub(crate) size: u32,
    /// `F_MBP`, `F_TOB` or 0.
    pub(crate) flags: u8,
}

/// A line that changes nothing and carries flags only.
const EMPTY: Line = Line {
    action: Action::None,
    side: Side::None,
    order_id: 0,
    price: UNDEF_PRICE,
    size: 0,
    flags: 0,
};

impl Line {
    /// A line about an order.
    pub(crate) fn order(action: Action, order_id: u64, terms: Terms) -> Self {
        let Terms { side, price, size } = terms;
        Self { action, side: side.to_dbn(), order_id, price, size, flags: 0 }
    }

    /// A line about an aggregated price level, whose id is made of its side and price.
    pub(crate) fn level(action: Action, terms: Terms) -> Self {
        let order_id = level_id(terms.side, terms.price);
        Self { flags: flags::MBP, ..Self::order(action, order_id, terms) }
    }

    /// A line that replaces a side by its best level.
    pub(crate) fn top(terms: Terms) -> Self {
        Self { flags: flags::TOB, ..Self::level(Action::Add, terms) }
    }

    /// A line that empties the book.
    pub(crate) fn clear() -> Self {
        Self { action: Action::Clear, ..EMPTY }
    }

    /// A line that closes an event whose last message left nothing to say.
    pub(crate) fn close() -> Self {
        EMPTY
    }
}

/// The order id that names an aggregated level; never 0, and unlike any other level's for prices
/// within ±2^61 (±2.3 billion).
pub(crate) fn level_id(side: RestingSide, price: i64) -> u64 {
    (price as u64) << 2 | (side as u64 + 1)
}

/// The lines of one event, in their order. No event makes more than there is room for.
pub(crate) type Lines = ArrayVec<Line, LINES_MAX>;
