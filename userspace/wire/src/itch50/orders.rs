//! What comes with every order, as events, without a branch on the type of the message.
//!
//! Additions and deletions are nearly all of a day, and no branch predictor knows their order, so a
//! `match` on the type would be guessed wrong in every other message. A table of layouts has the type's
//! length and where its fields are instead; a field that a message has not is loaded from its
//! beginning and masked. Arrives: one message, or one after the other. Leaves: its event, packed, or
//! nothing where it is another message, not exactly as long as the specification says, about no
//! instrument, or has a code of no meaning. Promises: reads no byte outside the message.

use super::events::Base;
use super::*;
use crate::message::view;
use std::mem::offset_of;
use wirebook_model::dbn::UNDEF_PRICE;
use wirebook_model::dbn::flags::LAST;
use wirebook_model::price::PER_FOUR_DECIMALS;
use wirebook_model::{ALL_INSTRUMENTS, PackedEvent, PackedHead, PackedOrder, Side};

/// What a message is as an event, by the code in it; nothing for a code that the specification does
/// not have.
type Heads = [Option<PackedHead>; 256];

/// One type of message, in a line of its own.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Layout {
    length: usize,
    heads: &'static Heads,
    /// Where the side or the printable code is; the type itself where there is none.
    code_at: u8,
    price_end: End,
    size_end: End,
    other_end: End,
    size_mask: u32,
    other_mask: u64,
    /// 1e-9 in a unit of the price; 0 where there is none.
    price_scale: i64,
    /// What a message without a price has in its place.
    price_absent: i64,
}

/// Where a field of a message is.
macro_rules! at {
    ($message:ident.$field:ident) => {
        offset_of!($message, $field) as u8
    };
}

static LAYOUTS: [Layout; 256] = {
    let mut layouts = [Layout::new(usize::MAX, &NONE); 256];
    layouts[b'A' as usize] = Layout::new(size_of::<AddOrder>(), &ADD)
        .code(at!(AddOrder.buy_sell_indicator))
        .size(at!(AddOrder.shares))
        .price(at!(AddOrder.price));
    layouts[b'F' as usize] = Layout::new(size_of::<AddOrderWithMpid>(), &ADD)
        .code(at!(AddOrderWithMpid.buy_sell_indicator))
        .size(at!(AddOrderWithMpid.shares))
        .price(at!(AddOrderWithMpid.price));
    layouts[b'D' as usize] = Layout::new(size_of::<OrderDelete>(), &DELETE);
    layouts[b'U' as usize] = Layout::new(size_of::<OrderReplace>(), &REPLACE)
        .other(at!(OrderReplace.new_order_reference_number))
        .size(at!(OrderReplace.shares))
        .price(at!(OrderReplace.price));
    layouts[b'X' as usize] =
        Layout::new(size_of::<OrderCancel>(), &REDUCE).size(at!(OrderCancel.canceled_shares));
    layouts[b'E' as usize] = Layout::new(size_of::<OrderExecuted>(), &EXECUTE)
        .size(at!(OrderExecuted.executed_shares))
        .other(at!(OrderExecuted.match_number))
        .at_its_own_price();
    layouts[b'C' as usize] = Layout::new(size_of::<OrderExecutedWithPrice>(), &EXECUTE_PRICED)
        .size(at!(OrderExecutedWithPrice.executed_shares))
        .other(at!(OrderExecutedWithPrice.match_number))
        .code(at!(OrderExecutedWithPrice.printable))
        .price(at!(OrderExecutedWithPrice.execution_price));
    layouts[b'P' as usize] = Layout::new(size_of::<NonCrossTrade>(), &TRADE)
        .size(at!(NonCrossTrade.shares))
        .price(at!(NonCrossTrade.price))
        .other(at!(NonCrossTrade.match_number));
    layouts
};

static NONE: Heads = [None; 256];
static ADD: Heads = either((b'B', PackedHead::add(Side::Bid)), (b'S', PackedHead::add(Side::Ask)));
static EXECUTE: Heads = any(PackedHead::execute(true));
static EXECUTE_PRICED: Heads =
    either((b'Y', PackedHead::execute(true)), (b'N', PackedHead::execute(false)));
static REDUCE: Heads = any(PackedHead::reduce());
static DELETE: Heads = any(PackedHead::delete());
static REPLACE: Heads = any(PackedHead::replace());
/// The indicator names the side of the order that was not displayed, always `B` since 2014-07-14,
/// so it tells nothing of the aggressor.
static TRADE: Heads = any(PackedHead::trade(Side::None));

/// What is the same for every code.
const fn any(head: PackedHead) -> Heads {
    [Some(head.with_flags(LAST)); 256]
}

const fn either(one: (u8, PackedHead), other: (u8, PackedHead)) -> Heads {
    let mut heads = [None; 256];
    heads[one.0 as usize] = Some(one.1.with_flags(LAST));
    heads[other.0 as usize] = Some(other.1.with_flags(LAST));
    heads
}

impl Layout {
    const fn new(length: usize, heads: &'static Heads) -> Self {
        Self {
            length,
            heads,
            code_at: 0,
            price_end: End::B19,
            size_end: End::B19,
            other_end: End::B19,
            size_mask: 0,
            other_mask: 0,
            price_scale: 0,
            price_absent: 0,
        }
    }

    const fn code(self, code_at: u8) -> Self {
        Self { code_at, ..self }
    }

    const fn price(self, price_at: u8) -> Self {
        Self { price_end: end(price_at as usize + 4), price_scale: PER_FOUR_DECIMALS, ..self }
    }

    const fn at_its_own_price(self) -> Self {
        Self { price_absent: UNDEF_PRICE, ..self }
    }

    const fn size(self, size_at: u8) -> Self {
        Self { size_end: end(size_at as usize + 4), size_mask: u32::MAX, ..self }
    }

    const fn other(self, other_at: u8) -> Self {
        Self { other_end: end(other_at as usize + 8), other_mask: u64::MAX, ..self }
    }
}

/// What comes with every order, out of messages that are numbered from `sequence` on, up to another
/// message.
pub(super) struct Orders<'a, 'm, I> {
    pub(super) base: Base,
    pub(super) messages: &'a mut I,
    /// Of the next message.
    pub(super) sequence: u64,
    /// The message that ended it; nothing where there are no more.
    pub(super) other: Option<&'m [u8]>,
}

impl<'m, I: Iterator<Item = &'m [u8]>> Iterator for Orders<'_, 'm, I> {
    type Item = PackedEvent;

    #[inline]
    fn next(&mut self) -> Option<PackedEvent> {
        let message = self.messages.next()?;
        let event = event(message, self.base, self.sequence);
        self.sequence += 1;
        if event.is_none() {
            self.other = Some(message);
        }
        event
    }
}

/// The event of `bytes`, one message.
#[inline]
pub(super) fn event(bytes: &[u8], base: Base, sequence: u64) -> Option<PackedEvent> {
    // The shortest message of all these: the others begin like it.
    let order = view::<OrderDelete>(bytes).ok()?;
    let layout = &LAYOUTS[usize::from(order.message_type.0)];
    if bytes.len() != layout.length {
        return None;
    }
    let code = *bytes.get(usize::from(layout.code_at))?;
    let head = layout.heads[usize::from(code)]?;
    if u32::from(order.stock_locate.get()) == ALL_INSTRUMENTS {
        return None;
    }
    let price = u32::from_be_bytes(load(bytes, layout.price_end)?);
    let size = u32::from_be_bytes(load(bytes, layout.size_end)?);
    let other_id = u64::from_be_bytes(load(bytes, layout.other_end)?);
    let fields = PackedOrder {
        order_id: order.order_reference_number.get(),
        price: (i64::from(price) * layout.price_scale) | layout.price_absent,
        size: size & layout.size_mask,
        other_id: other_id & layout.other_mask,
    };
    let header = base.header(view(bytes).ok()?, sequence);
    Some(PackedEvent::new(head, &header, &fields))
}

/// The bytes of a field.
#[inline]
fn load<const N: usize>(bytes: &[u8], end: End) -> Option<[u8; N]> {
    bytes.get(..end as usize)?.last_chunk().copied()
}

/// Where a field ends. That no field ends before the order's own id spares a check.
#[derive(Clone, Copy)]
#[repr(u8)]
enum End {
    B19 = 19,
    B23 = 23,
    B24 = 24,
    B27 = 27,
    B31 = 31,
    B35 = 35,
    B36 = 36,
    B44 = 44,
}

const fn end(at: usize) -> End {
    match at {
        19 => End::B19,
        23 => End::B23,
        24 => End::B24,
        27 => End::B27,
        31 => End::B31,
        35 => End::B35,
        36 => End::B36,
        44 => End::B44,
        _ => panic!("no field ends here"),
    }
}
