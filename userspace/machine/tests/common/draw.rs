//! Drawn events: what a venue may say, sense and nonsense.

use dbn::{UNDEF_PRICE, flags};
use proptest::prelude::*;
use wirebook_model::{Event, EventHeader, Side, VenueEvent};

/// What venue event a test may draw for an instrument.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Venue {
    /// Order by order.
    Orders,
    /// Aggregated levels and tops.
    Levels,
    /// Anything at all.
    Any,
}

fn side() -> impl Strategy<Value = Side> {
    prop_oneof![8 => Just(Side::Bid), 8 => Just(Side::Ask), 1 => Just(Side::None)]
}

fn price() -> impl Strategy<Value = i64> {
    let near = (-2i64..6).prop_map(|price| price * 1_000_000_000);
    prop_oneof![20 => near, 1 => Just(UNDEF_PRICE), 1 => Just(i64::MIN), 1 => any::<i64>()]
}

/// Prices that name levels of their own.
fn level_price() -> impl Strategy<Value = i64> {
    let near = (-2i64..6).prop_map(|price| price * 1_000_000_000);
    let edge = (1 << 61) - 1;
    prop_oneof![20 => near, 1 => Just(UNDEF_PRICE), 1 => Just(edge), 1 => Just(-edge)]
}

fn size() -> impl Strategy<Value = u32> {
    prop_oneof![1 => Just(0), 20 => 1u32..6, 1 => Just(u32::MAX)]
}

fn orders() -> impl Strategy<Value = VenueEvent> {
    let id = || 101u64..112;
    prop_oneof![
        1 => Just(VenueEvent::Clear),
        12 => (id(), side(), price(), size()).prop_map(|(order_id, side, price, size)| {
            VenueEvent::Add { order_id, side, price, size }
        }),
        6 => (id(), side(), price(), size()).prop_map(|(order_id, side, price, size)| {
            VenueEvent::Modify { order_id, side, price, size }
        }),
        6 => (id(), price(), size(), any::<bool>()).prop_map(
            |(order_id, price, size, printable)| {
                VenueEvent::Execute { order_id, size, price, match_id: 3, printable }
            }
        ),
        4 => (id(), size()).prop_map(|(order_id, size)| VenueEvent::Reduce { order_id, size }),
        4 => id().prop_map(|order_id| VenueEvent::Delete { order_id }),
        4 => (id(), id(), price(), size()).prop_map(|(order_id, new_order_id, price, size)| {
            VenueEvent::Replace { order_id, new_order_id, price, size }
        }),
        1 => (side(), price(), size()).prop_map(|(side, price, size)| {
            VenueEvent::Trade { side, price, size, order_id: 0, match_id: 9 }
        }),
        1 => (id(), side(), price(), size()).prop_map(|(order_id, side, price, size)| {
            VenueEvent::Fill { order_id, side, price, size }
        }),
        1 => (id(), price(), size()).prop_map(|(match_id, price, size)| {
            VenueEvent::TradeBreak { match_id, price, size }
        }),
    ]
}

fn levels() -> impl Strategy<Value = VenueEvent> {
    prop_oneof![
        1 => Just(VenueEvent::Clear),
        12 => (side(), level_price(), prop_oneof![Just(0), size()]).prop_map(|(side, price, size)| {
            VenueEvent::Level { side, price, size }
        }),
        1 => (side(), level_price(), size()).prop_map(|(side, price, size)| {
            VenueEvent::Top { side, price, size }
        }),
    ]
}

fn body(venue: Venue) -> BoxedStrategy<VenueEvent> {
    match venue {
        Venue::Orders => orders().boxed(),
        Venue::Levels => levels().boxed(),
        Venue::Any => prop_oneof![3 => orders(), 1 => levels()].boxed(),
    }
}

/// Events of three instruments on two channels.
pub(crate) fn events(venue: Venue) -> impl Strategy<Value = Vec<Event>> {
    let flags = prop_oneof![6 => Just(flags::LAST), 3 => Just(0), 1 => Just(flags::SNAPSHOT)];
    let one = (0u8..2, 1u32..4, flags, body(venue));
    prop::collection::vec(one, 0..150).prop_map(|events| {
        let header = |at: usize, channel, instrument_id, flags| EventHeader {
            channel,
            flags,
            instrument_id,
            sequence: at as u64 + 1,
            ts_event: 1_000 + at as u64,
        };
        let number = |(at, (channel, instrument_id, flags, body))| Event {
            header: header(at, channel, instrument_id, flags),
            body,
        };
        events.into_iter().enumerate().map(number).collect()
    })
}
