//! A book's orders in the exchange's own terms, to compare them with its model.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use wirebook_machine::{Book, RestingOrder};
use wirebook_model::Side as BookSide;
use wirebook_simulator::{ModelOrder, Side};

/// The unit of ITCH's prices in units of 1e-9.
const PRICE_STEP: i64 = 100_000;

/// The orders of a book, in the book's order.
pub(crate) fn model_orders(book: &Book<'_>) -> Vec<ModelOrder> {
    let order = |order: RestingOrder| ModelOrder {
        reference: order.order_id,
        side: if order.side == BookSide::Bid { Side::Buy } else { Side::Sell },
        price: u32::try_from(order.price / PRICE_STEP).unwrap(),
        shares: order.size,
    };
    book.orders().map(order).collect()
}
