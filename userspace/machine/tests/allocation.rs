//! Applying events allocates nothing.

mod common;

use allocation_counter::measure;
use wirebook_machine::{Books, Limits};

#[test]
fn a_day_of_events_allocates_nothing() {
    let Some(records) = common::es::records() else { return };
    let events: Vec<_> = records.iter().flat_map(common::inverse::events_of).collect();
    for limits in [
        Limits { instruments: 1, orders: 20_000, levels: 4_000 },
        Limits { instruments: 1, orders: 100, levels: 50 },
    ] {
        let mut books = Books::new(limits).unwrap();
        let mut visits = 0;
        let allocated = measure(|| {
            for event in &events {
                books.apply(event, &mut ());
                books.drain_changed(|_, _| visits += 1);
            }
        });
        assert_eq!((allocated.count_total, allocated.count_current), (0, 0));
        assert!(visits > 0);
    }
    assert_it_counts();
}

/// The counter counts, or nothing here says anything.
fn assert_it_counts() {
    assert_eq!(measure(|| drop(std::hint::black_box(Box::new(1)))).count_total, 1);
}
