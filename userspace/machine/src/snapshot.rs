//! A whole book as the records that make it: what a reader needs that has not seen it grow.
//!
//! Arrives: the number of a book. Leaves: a `Clear`, then an `Add` for each order, in the order of
//! priority, and for each aggregated level, all with `F_SNAPSHOT` (DBN, "Flags",
//! <https://databento.com/docs/standards-and-conventions/common-fields-enums-types>), the last one
//! with `F_LAST`. Applied by DBN's rules they leave the book as it is.

use dbn::{Action, MboMsg, flags};
use wirebook_model::{BookState, EventHeader, Packet, Side};

use crate::book::{Book, RestingOrder};
use crate::books::Books;
use crate::lines::Line;
use crate::records::{self, Channel};
use crate::side::RestingSide;
use crate::tables::Terms;

impl Books {
    /// The book with this number as records; `None` where there is no such book, or where it is live
    /// and inside a venue's event: it will be whole in a moment.
    ///
    /// Their time and sequence are those of the last event in the book. Takes a step for each order.
    pub fn snapshot(&self, number: u32) -> Option<impl Iterator<Item = MboMsg> + use<'_>> {
        let core = self.books.get(number as usize)?;
        if core.open && core.state == BookState::Live {
            return None;
        }
        let book = self.book(number);
        let packet = Packet { ts_recv: core.ts_recv, ..Packet::default() };
        let channel = Channel { packet, ..self.channels[usize::from(core.channel)] };
        let header = EventHeader {
            channel: core.channel,
            flags: 0,
            instrument_id: core.instrument_id,
            sequence: core.sequence,
            ts_event: core.ts_event,
        };
        let doubt = if core.state == BookState::Live { 0 } else { flags::MAYBE_BAD_BOOK };
        let mut lines = lines(book).peekable();
        Some(std::iter::from_fn(move || {
            let line = lines.next()?;
            let end = if lines.peek().is_none() { flags::LAST } else { 0 };
            let flags = flags::SNAPSHOT | doubt | line.flags | end;
            Some(records::mbo(&channel, &header, &line, flags))
        }))
    }
}

fn lines(book: Book<'_>) -> impl Iterator<Item = Line> {
    let order = |RestingOrder { order_id, side, price, size }| {
        Line::order(Action::Add, order_id, terms(side, price, size))
    };
    let level = |(side, price, size)| Line::level(Action::Add, terms(side, price, size));
    let orders = book.orders().map(order);
    std::iter::once(Line::clear()).chain(orders).chain(book.aggregates().map(level))
}

/// The terms of something that rests, and so has a side.
fn terms(side: Side, price: i64, size: u32) -> Terms {
    let side = if side == Side::Bid { RestingSide::Bid } else { RestingSide::Ask };
    Terms { side, price, size }
}
