//! Books from any events: what `properties` of the books' own tests says holds.

use crate::plain_books::properties;
use arbitrary::{Arbitrary, Unstructured};
use std::ops::Range;
use wirebook_machine::{Books, Limits};
use wirebook_model::dbn::{UNDEF_PRICE, flags};
use wirebook_model::{ALL_INSTRUMENTS, BookState, Event, EventHeader, Side, VenueEvent};

/// Room for every order and level that steps can name.
const AMPLE: Limits = Limits { instruments: 8, orders: 256, levels: 4_096 };
const SMALL: Limits = Limits { instruments: 8, orders: 40, levels: 12 };
const ORDER_IDS: u8 = 32;
const TICK: i64 = 1_000_000_000;
/// The widest prices that name levels of their own.
const PRICE_MAX: i64 = (1 << 61) - 1;

/// One event, in bytes that a fuzzer can change one by one.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub(crate) struct Step {
    kind: u8,
    who: u8,
    flags: u8,
    id: u8,
    other_id: u8,
    price: i8,
    size: u8,
}

/// Length of a step.
pub(crate) const STEP_BYTES: usize = size_of::<Step>();

/// Order by order, against plain books.
pub(crate) fn orders(data: &[u8]) {
    properties::equal_plain_books(AMPLE, &events(data, Step::order));
}

/// Levels and tops, against plain books.
pub(crate) fn levels(data: &[u8]) {
    properties::equal_plain_books(AMPLE, &events(data, Step::level));
}

/// The first three bytes are the limits.
pub(crate) fn limits(data: &[u8]) {
    let Some((&[instruments, orders, levels], data)) = data.split_first_chunk() else { return };
    let limits = Limits {
        instruments: usize::from(instruments % 6),
        orders: usize::from(orders % 16),
        levels: usize::from(levels % 8),
    };
    properties::no_limit_breaks_a_book(limits, &events(data, Step::any));
}

/// Records are events again.
pub(crate) fn replay(data: &[u8]) {
    properties::replay_to_the_same_digest(AMPLE, &events(data, Step::any));
}

/// The first three bytes say what has room and how often books are saved.
pub(crate) fn resume(data: &[u8]) {
    let Some((&[step, orders, levels], data)) = data.split_first_chunk() else { return };
    let limits = Limits {
        instruments: 5,
        orders: 5 + usize::from(orders % 40),
        levels: 2 + usize::from(levels % 12),
    };
    let events = events(data, Step::any_or_state);
    // Each save is worked on to the end.
    let step = (1 + usize::from(step)).max(events.len() / 16);
    properties::resumes(limits, &events, step);
}

/// Saved books, or what may pass for them; the first byte says whether the checksum is made right.
pub(crate) fn restore(data: &[u8]) {
    let Some((sealed, bytes)) = data.split_first() else { return };
    let mut bytes = bytes.to_vec();
    if sealed % 2 == 1 && bytes.len() > 20 {
        // What the length says is checked before the checksum.
        let length = bytes.len() as u64;
        bytes[12..20].copy_from_slice(&length.to_le_bytes());
        properties::seal(&mut bytes);
    }
    let tail = &data[data.len().saturating_sub(20 * STEP_BYTES)..];
    properties::restores_or_refuses(SMALL, &bytes, &events(tail, Step::any));
    if let Ok(books) = Books::restore(SMALL, &bytes) {
        // Of what the totals count nothing was left out, and nothing taken for the same.
        let again = properties::saved(&books);
        assert!(bytes[TOTALS] != again[TOTALS] || bytes.len() == again.len(), "not all of it");
    }
}

/// Where saved books tell how many books, orders, levels, rungs and free extents there are.
const TOTALS: Range<usize> = 20..40;
/// The number of levels among them.
const LEVELS: Range<usize> = 28..32;

/// The saved form of small books after some steps.
pub(crate) fn saved(steps: &[u8]) -> Vec<u8> {
    properties::saved(&properties::after(SMALL, &events(steps, Step::any)))
}

/// Saved books that name a price twice, and count it once.
pub(crate) fn saved_with_a_price_twice() -> Vec<u8> {
    let add = |id, price| Step { kind: 1, who: 8, flags: 0, id, other_id: 99, price, size: 40 };
    let steps = [add(1, 10), add(2, 11)];
    let mut saved = saved(&steps.map(Step::bytes).concat());
    let levels = saved[LEVELS].first_chunk().map_or(0, |levels| u32::from_le_bytes(*levels));
    saved[LEVELS].copy_from_slice(&(levels - 1).to_le_bytes());
    let [once, again] = [10, 11].map(|price| (price * TICK).to_le_bytes());
    let at = saved.windows(8).position(|bytes| bytes == again).expect("the price of a level");
    saved[at..at + 8].copy_from_slice(&once);
    saved
}

/// Orders at one price that grow and shrink by one, by nothing and by all: the first, the last, and one
/// between them.
pub(crate) fn resized_orders() -> Vec<u8> {
    let step = |kind, id, size| Step { kind, who: 8, flags: 0, id, other_id: 99, price: 10, size };
    // A size is a quarter of its byte.
    let resized = [0_u8, 1, 2, 9, 10, 11, 20].into_iter().flat_map(|size| {
        [0, 1, 2].into_iter().flat_map(move |nth| {
            let added = [0, 1, 2].map(|id| step(1, id, 40));
            added.into_iter().chain([step(4, nth, 4 * size)])
        })
    });
    resized.flat_map(Step::bytes).collect()
}

fn events(data: &[u8], body: fn(&Step) -> VenueEvent) -> Vec<Event> {
    let mut input = Unstructured::new(data);
    let mut events = Vec::new();
    while input.len() >= STEP_BYTES
        && let Ok(step) = Step::arbitrary(&mut input)
    {
        events.push(step.event(events.len() as u64, body(&step)));
    }
    events
}

impl Step {
    /// The bytes that are read as this step.
    fn bytes(self) -> [u8; STEP_BYTES] {
        let Self { kind, who, flags, id, other_id, price, size } = self;
        [kind, who, flags, id, other_id, price as u8, size]
    }

    fn event(&self, at: u64, body: VenueEvent) -> Event {
        let instrument_id = match body {
            VenueEvent::State(_) => ALL_INSTRUMENTS,
            _ => u32::from(self.who / 2 % 3) + 1,
        };
        let flags = match self.flags % 8 {
            0..5 => flags::LAST,
            5..7 => 0,
            _ => flags::SNAPSHOT,
        };
        let (sequence, ts_event) = (at + 1, 1_000 + at);
        let header =
            EventHeader { channel: self.who % 2, flags, instrument_id, sequence, ts_event };
        Event { header, body }
    }

    fn order(&self) -> VenueEvent {
        let id = |byte: u8| u64::from(byte % ORDER_IDS) + 101;
        let (order_id, new_order_id) = (id(self.id), id(self.other_id));
        let (side, price, size) = (self.side(), self.price(), self.size());
        match self.kind % 16 {
            0 if self.other_id < 16 => VenueEvent::Clear,
            0..4 => VenueEvent::Add { order_id, side, price, size },
            4 | 5 => VenueEvent::Modify { order_id, side, price, size },
            6 | 7 => {
                let printable = self.other_id.is_multiple_of(2);
                VenueEvent::Execute { order_id, size, price, match_id: 3, printable }
            }
            8 | 9 => VenueEvent::Reduce { order_id, size },
            10 => VenueEvent::Delete { order_id },
            11 | 12 => VenueEvent::Replace { order_id, new_order_id, price, size },
            13 => VenueEvent::Trade { side, price, size, order_id: 0, match_id: 9 },
            14 => VenueEvent::Fill { order_id, side, price, size },
            _ => VenueEvent::TradeBreak { match_id: order_id, price, size },
        }
    }

    fn level(&self) -> VenueEvent {
        let (side, size) = (self.side(), self.size());
        let price = self.price().clamp(-PRICE_MAX, UNDEF_PRICE);
        match self.kind % 16 {
            0 if self.other_id < 16 => VenueEvent::Clear,
            15 => VenueEvent::Top { side, price, size },
            _ => VenueEvent::Level { side, price, size },
        }
    }

    fn any(&self) -> VenueEvent {
        if self.kind < 192 { self.order() } else { self.level() }
    }

    fn any_or_state(&self) -> VenueEvent {
        match BookState::from_u8(self.other_id % 8) {
            Some(state) if self.kind.is_multiple_of(29) => VenueEvent::State(state),
            _ => self.any(),
        }
    }

    fn side(&self) -> Side {
        match self.who / 8 % 16 {
            0 => Side::None,
            1..8 => Side::Bid,
            _ => Side::Ask,
        }
    }

    fn price(&self) -> i64 {
        match self.price {
            i8::MAX => UNDEF_PRICE,
            i8::MIN => i64::MIN,
            126 => PRICE_MAX,
            -127 => -PRICE_MAX,
            price => i64::from(price) * TICK,
        }
    }

    fn size(&self) -> u32 {
        match self.size {
            u8::MAX => u32::MAX,
            size => u32::from(size / 4),
        }
    }
}
