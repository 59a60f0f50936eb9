//! An event about an order as a decoder can write it without asking what it is.
//!
//! Arrives: the fields that events about orders share, zero where an event has no such field. Leaves: a
//! [`PackedEvent`], the words that [`Event::encode`] gives of the same event. A message's type leads to
//! a [`PackedHead`] by a table, so that no branch depends on it; an [`Event`] is an enum whose
//! layout is the compiler's. Promises: every packed event is one, since a head has no other makers
//! than those here.

use crate::words::{EVENT_WORDS, Kind};
use crate::{Event, EventHeader, VenueEvent};
use dbn::Side;
use std::num::NonZeroU32;

/// What an event is, and the small field beside it: the side, or whether an execution is printable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PackedHead(NonZeroU32);

/// What happened to an order, or without one: the [`VenueEvent`] of this name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PackedKind {
    /// A new order of [`PackedEvent::side`]: price and size.
    Add,
    /// An execution: price, size, and the match number as other id.
    Execute,
    /// An order lost this much size.
    Reduce,
    /// An order is gone.
    Delete,
    /// A replace: price and size, and the new order as other id.
    Replace,
    /// A trade with [`PackedEvent::side`] as aggressor: price and size, and the match number as other id.
    Trade,
}

/// The fields of an event about an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PackedOrder {
    /// The order that the event is about.
    pub order_id: u64,
    /// Price, 1e-9.
    pub price: i64,
    /// Size.
    pub size: u32,
    /// The new order of a replace, or the match number of an execution or a trade.
    pub other_id: u64,
}

/// An event about an order, in the words of one ring slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PackedEvent([u64; EVENT_WORDS]);

impl PackedHead {
    /// A new order of this side: price and size.
    pub const fn add(side: Side) -> Self {
        Self::new(Kind::Add, side as u8)
    }

    /// An execution: price, size, and the match number as other id.
    pub const fn execute(printable: bool) -> Self {
        Self::new(Kind::Execute, printable as u8)
    }

    /// An order lost this much size.
    pub const fn reduce() -> Self {
        Self::new(Kind::Reduce, 0)
    }

    /// An order is gone.
    pub const fn delete() -> Self {
        Self::new(Kind::Delete, 0)
    }

    /// A replace: price and size, and the new order as other id.
    pub const fn replace() -> Self {
        Self::new(Kind::Replace, 0)
    }

    /// A trade with this aggressor: price and size, and the match number as other id.
    pub const fn trade(side: Side) -> Self {
        Self::new(Kind::Trade, side as u8)
    }

    /// The same with these flags, which an event has besides those in its header.
    pub const fn with_flags(self, flags: u8) -> Self {
        Self::of_bits(self.0.get() | (flags as u32) << 8)
    }

    const fn new(kind: Kind, detail: u8) -> Self {
        Self::of_bits(u32::from_le_bytes([kind as u8, 0, 0, detail]))
    }

    const fn of_bits(bits: u32) -> Self {
        match NonZeroU32::new(bits) {
            Some(head) => Self(head),
            None => panic!("no kind is zero"),
        }
    }
}

/// By the small field beside a kind, the kinds that have such a one, as bits.
const KINDS_BY_DETAIL: [u32; 256] = {
    let heads = [
        PackedHead::add(Side::Bid),
        PackedHead::add(Side::Ask),
        PackedHead::add(Side::None),
        PackedHead::execute(false),
        PackedHead::execute(true),
        PackedHead::reduce(),
        PackedHead::delete(),
        PackedHead::replace(),
        PackedHead::trade(Side::Bid),
        PackedHead::trade(Side::Ask),
        PackedHead::trade(Side::None),
    ];
    let mut kinds = [0; 256];
    let mut at = 0;
    while at < heads.len() {
        let [kind, _, _, detail] = heads[at].0.get().to_le_bytes();
        kinds[detail as usize] |= 1 << kind;
        at += 1;
    }
    kinds
};

impl Event {
    /// This event as a packed one, where it is one of those.
    #[inline]
    pub fn pack(&self) -> Option<PackedEvent> {
        PackedEvent::from_words(self.encode().as_slice().as_array()?)
    }
}

impl PackedEvent {
    /// The event with this head, header and order.
    #[inline]
    pub fn new(head: PackedHead, header: &EventHeader, order: &PackedOrder) -> Self {
        let EventHeader { channel, flags, instrument_id, sequence, ts_event } = *header;
        let first = u64::from_le_bytes([0, flags, channel, 0, 0, 0, 0, 0])
            | u64::from(head.0.get())
            | u64::from(instrument_id) << 32;
        let PackedOrder { order_id, price, size, other_id } = *order;
        Self([first, sequence, ts_event, order_id, price as u64, u64::from(size), other_id])
    }

    /// The event with these words; `None` where they are no packed event's.
    #[inline]
    pub fn from_words(words: &[u64; EVENT_WORDS]) -> Option<Self> {
        let [kind, _, _, detail, ..] = words[0].to_le_bytes();
        (KINDS_BY_DETAIL[usize::from(detail)] >> kind.min(31) & 1 != 0).then_some(Self(*words))
    }

    /// What happened.
    #[inline]
    pub fn kind(&self) -> PackedKind {
        const ADD: u8 = Kind::Add as u8;
        const EXECUTE: u8 = Kind::Execute as u8;
        const REDUCE: u8 = Kind::Reduce as u8;
        const REPLACE: u8 = Kind::Replace as u8;
        const TRADE: u8 = Kind::Trade as u8;
        match self.0[0].to_le_bytes()[0] {
            ADD => PackedKind::Add,
            EXECUTE => PackedKind::Execute,
            REDUCE => PackedKind::Reduce,
            REPLACE => PackedKind::Replace,
            TRADE => PackedKind::Trade,
            // There is no other head.
            _ => PackedKind::Delete,
        }
    }

    /// True where this is what happened: cheaper than [`PackedEvent::kind`] for one of them.
    #[inline]
    pub fn is(&self, kind: PackedKind) -> bool {
        let kind = match kind {
            PackedKind::Add => Kind::Add,
            PackedKind::Execute => Kind::Execute,
            PackedKind::Reduce => Kind::Reduce,
            PackedKind::Delete => Kind::Delete,
            PackedKind::Replace => Kind::Replace,
            PackedKind::Trade => Kind::Trade,
        };
        self.0[0].to_le_bytes()[0] == kind as u8
    }

    /// True where its side is [`Side::Ask`].
    #[inline]
    pub fn is_ask(&self) -> bool {
        self.detail() == Side::Ask as u8
    }

    /// Of an execution, whether this message reports the trade.
    #[inline]
    pub fn is_printable(&self) -> bool {
        self.detail() != 0
    }

    /// The side, where it has one.
    #[inline]
    pub fn side(&self) -> Side {
        const ASK: u8 = Side::Ask as u8;
        const BID: u8 = Side::Bid as u8;
        match self.detail() {
            ASK => Side::Ask,
            BID => Side::Bid,
            _ => Side::None,
        }
    }

    /// The fields that events about orders share, zero where it has no such field.
    #[inline]
    pub fn order(&self) -> PackedOrder {
        let [.., order_id, price, size, other_id] = self.0;
        PackedOrder { order_id, price: price as i64, size: size as u32, other_id }
    }

    #[inline]
    fn detail(&self) -> u8 {
        self.0[0].to_le_bytes()[3]
    }

    /// The words, as a ring carries them.
    #[inline]
    pub fn words(&self) -> &[u64; EVENT_WORDS] {
        &self.0
    }

    /// The same event with these flags besides its own.
    #[inline]
    pub fn with_flags(mut self, flags: u8) -> Self {
        self.0[0] |= u64::from(flags) << 8;
        self
    }

    /// The venue's number for the instrument.
    #[inline]
    pub fn instrument_id(&self) -> u32 {
        (self.0[0] >> 32) as u32
    }

    /// Who and when.
    #[inline]
    pub fn header(&self) -> EventHeader {
        let [_, flags, channel, ..] = self.0[0].to_le_bytes();
        let [_, sequence, ts_event, ..] = self.0;
        EventHeader { channel, flags, instrument_id: self.instrument_id(), sequence, ts_event }
    }
}

impl From<&PackedEvent> for Event {
    #[inline]
    fn from(packed: &PackedEvent) -> Self {
        let PackedOrder { order_id, price, size, other_id } = packed.order();
        let side = packed.side();
        let body = match packed.kind() {
            PackedKind::Add => VenueEvent::Add { order_id, side, price, size },
            PackedKind::Execute => {
                let (match_id, printable) = (other_id, packed.is_printable());
                VenueEvent::Execute { order_id, size, price, match_id, printable }
            }
            PackedKind::Reduce => VenueEvent::Reduce { order_id, size },
            PackedKind::Delete => VenueEvent::Delete { order_id },
            PackedKind::Replace => {
                VenueEvent::Replace { order_id, new_order_id: other_id, price, size }
            }
            PackedKind::Trade => {
                VenueEvent::Trade { side, price, size, order_id, match_id: other_id }
            }
        };
        Self { header: packed.header(), body }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORDER: PackedOrder =
        PackedOrder { order_id: u64::MAX, price: i64::MIN, size: u32::MAX, other_id: 7 };

    /// Each head, what has to be zero for it, and the event that it makes.
    fn heads() -> Vec<(PackedHead, PackedOrder, VenueEvent)> {
        let PackedOrder { order_id, price, size, other_id } = ORDER;
        let none = PackedOrder { order_id, price: 0, size: 0, other_id: 0 };
        let mut heads = vec![
            (
                PackedHead::reduce(),
                PackedOrder { size, ..none },
                VenueEvent::Reduce { order_id, size },
            ),
            (PackedHead::delete(), none, VenueEvent::Delete { order_id }),
            (
                PackedHead::replace(),
                ORDER,
                VenueEvent::Replace { order_id, new_order_id: other_id, price, size },
            ),
        ];
        for side in [Side::Bid, Side::Ask, Side::None] {
            let add = VenueEvent::Add { order_id, side, price, size };
            let trade = VenueEvent::Trade { side, price, size, order_id, match_id: other_id };
            heads.push((PackedHead::add(side), PackedOrder { other_id: 0, ..ORDER }, add));
            heads.push((PackedHead::trade(side), ORDER, trade));
        }
        for printable in [false, true] {
            let match_id = other_id;
            let execute = VenueEvent::Execute { order_id, size, price, match_id, printable };
            heads.push((PackedHead::execute(printable), ORDER, execute));
        }
        heads
    }

    #[test]
    fn words_are_packed_events_where_an_event_about_an_order_has_them() {
        let bits = |head: PackedHead| u64::from(head.0.get());
        let heads: Vec<u64> = heads().into_iter().map(|(head, ..)| bits(head)).collect();
        for kind in 0..=255u64 {
            for detail in 0..=255u64 {
                let first = kind | detail << 24;
                let packed = PackedEvent::from_words(&[first | 0x5a_a500, 1, 2, 3, 4, 5, 6]);
                assert_eq!(packed.is_some(), heads.contains(&first), "{kind} {detail}");
            }
        }
    }

    #[test]
    fn a_packed_event_is_the_words_of_its_event() {
        let header = EventHeader {
            channel: 200,
            flags: 0x21,
            instrument_id: u32::MAX,
            sequence: u64::MAX - 1,
            ts_event: u64::MAX - 2,
        };
        for (head, order, body) in heads() {
            let packed = PackedEvent::new(head, &header, &order);
            let event = Event { header, body };
            assert_eq!(packed.words(), event.encode().as_slice());
            assert_eq!(PackedEvent::from_words(packed.words()), Some(packed));
            assert_eq!(event.pack(), Some(packed));
            assert_eq!(Event::from(&packed), event);
            assert_eq!((packed.header(), packed.instrument_id()), (header, u32::MAX));
            let flagged = EventHeader { flags: 0xa1, ..header };
            let expected = Event { header: flagged, body };
            assert_eq!(Event::from(&packed.with_flags(0x80)), expected);
        }
    }
}
