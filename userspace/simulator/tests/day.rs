//! A generated day against a plain replay of its messages and the shape that it promises.
#![allow(clippy::unwrap_used, reason = "a test reports by panicking")]

use std::collections::{BTreeMap, HashMap};
use wirebook_simulator::{Body, Day, DayConfig, DayError, Layout, Message, Side};
use wirebook_wire::itch50;

fn config(layout: Layout) -> DayConfig {
    DayConfig { seed: 3, instruments: 300, live_orders: 20_000, messages: 400_000, layout }
}

const LAYOUTS: [Layout; 2] = [Layout::Bursty, Layout::Cold];

/// Orders by reference: (instrument, side, price, shares).
type Orders = HashMap<u64, (u16, Side, u32, u32)>;

fn apply(orders: &mut Orders, Message { stock_locate, body, .. }: Message) {
    let reduce = |orders: &mut Orders, reference, shares| {
        let order = orders.get_mut(&reference).unwrap();
        assert_eq!(order.0, stock_locate);
        order.3 = order.3.checked_sub(shares).unwrap();
        if order.3 == 0 {
            orders.remove(&reference);
        }
    };
    match body {
        Body::Add { reference, side, shares, price, .. } => {
            assert!(shares > 0 && price > 0);
            assert!(orders.insert(reference, (stock_locate, side, price, shares)).is_none());
        }
        Body::Execute { reference, shares, .. }
        | Body::ExecuteWithPrice { reference, shares, .. }
        | Body::Cancel { reference, shares } => reduce(orders, reference, shares),
        Body::Delete { reference } => {
            assert_eq!(orders.remove(&reference).unwrap().0, stock_locate)
        }
        Body::Replace { reference, new_reference, shares, price } => {
            let (instrument, side, ..) = orders.remove(&reference).unwrap();
            assert_eq!(instrument, stock_locate);
            assert!(orders.insert(new_reference, (instrument, side, price, shares)).is_none());
        }
        _ => {}
    }
}

#[test]
fn every_reference_is_valid_and_no_book_is_crossed() {
    for layout in LAYOUTS {
        let (mut orders, mut best) = (Orders::new(), HashMap::<u16, (u32, u32)>::new());
        let mut day = Day::new(config(layout)).unwrap();
        let (mut last_ns, mut peak) = (0, 0);
        while let Some(message) = day.next() {
            assert!(message.timestamp_ns >= last_ns);
            last_ns = message.timestamp_ns;
            apply(&mut orders, message);
            assert_eq!(orders.len() as u64, day.live_orders());
            peak = peak.max(orders.len());
            if let Body::Add { side, price, .. } = message.body {
                let (bid, ask) = best.entry(message.stock_locate).or_insert((0, u32::MAX));
                match side {
                    Side::Buy => *bid = price.max(*bid),
                    Side::Sell => *ask = price.min(*ask),
                }
                assert!(bid < ask);
            }
        }
        assert!((20_000..20_100).contains(&peak), "{peak}");
        assert!(orders.len() < 2_000, "{}", orders.len());
    }
}

#[test]
fn the_mix_is_the_real_days() {
    let mut totals = BTreeMap::<u8, f64>::new();
    let day = Day::new(config(Layout::Bursty)).unwrap();
    let flow = day.skip(302);
    let mut all = 0.0;
    for message in flow {
        *totals.entry(message.body.kind()).or_default() += 1.0;
        all += 1.0;
    }
    let percent = |kind: u8| 100.0 * totals.get(&kind).copied().unwrap_or_default() / all;
    let adds = percent(b'A') + percent(b'F');
    for (name, found, real) in [
        ("adds", adds, 44.71),
        ("deletes", percent(b'D'), 42.97),
        ("replaces", percent(b'U'), 7.39),
        ("executions", percent(b'E') + percent(b'C'), 2.24),
        ("cancels", percent(b'X'), 1.27),
        ("imbalances", percent(b'I'), 1.00),
    ] {
        assert!((found - real).abs() < 0.8, "{name}: {found} for {real}");
    }
}

#[test]
fn bursts_are_of_one_instrument_and_a_cold_day_has_none() {
    let runs = |layout| {
        let locates: Vec<_> = Day::new(config(layout)).unwrap().map(|m| m.stock_locate).collect();
        locates.windows(2).filter(|pair| pair[0] == pair[1]).count()
    };
    assert!(runs(Layout::Bursty) > 100_000);
    assert!(runs(Layout::Cold) < 4_000);
}

#[test]
fn every_message_has_the_length_of_the_specification() {
    let mut bytes = Vec::new();
    for message in Day::new(config(Layout::Cold)).unwrap() {
        bytes.clear();
        message.encode(&mut bytes);
        let known = itch50::Message::parse(&bytes).unwrap();
        assert_eq!(known.length(), bytes.len());
    }
}

/// Changes only when the generator is meant to change: recorded runs name their seed.
#[test]
fn the_day_of_a_seed_never_changes() {
    let fingerprint = |layout| {
        let mut bytes = Vec::new();
        Day::new(config(layout)).unwrap().take(50_000).for_each(|m| m.encode(&mut bytes));
        bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, &byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        })
    };
    assert_eq!(LAYOUTS.map(fingerprint), [431865961070684789, 17590475644248460768]);
}

#[test]
fn a_day_that_cannot_be_is_refused() {
    let few = DayConfig { messages: 50_000, ..config(Layout::Cold) };
    let least = few.messages_min();
    let error = DayError::TooFewMessages { least, live_orders: 20_000, found: 50_000 };
    assert_eq!(Day::new(few).err(), Some(error));
    let none = DayConfig { instruments: 0, ..config(Layout::Cold) };
    assert_eq!(Day::new(none).err(), Some(DayError::Instruments(0)));
}
