//! Feeding a chain of all machines allocates nothing, also while its log wraps.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;
mod flow;

use allocation_counter::measure;
use dbn::SystemMsg;
use wirebook_machine::{Chain, Supervision, machines};

#[test]
fn feeding_all_machines_allocates_nothing() {
    let flow = flow::mixed(20_000, 3);
    let mut chain = Chain::new(3, Supervision { log_records: 100, ..Supervision::default() });
    machines::names().for_each(|name| machines::by_name(name).unwrap()(&mut chain));
    let allocated = measure(|| {
        for (at, record) in flow.iter().enumerate() {
            match record.get::<SystemMsg>() {
                Some(end) => chain.end_of_interval(0, end, &mut ()),
                None if record.header().instrument_id == 0 => {
                    chain.market(0, record.as_rec_ref(), &mut ());
                }
                None => chain.record((at % 3) as u32, 0, record.as_rec_ref(), &mut ()),
            }
        }
    });
    assert_eq!((allocated.count_total, allocated.count_current), (0, 0));
    assert!(chain.counters().all(|(_, counters)| counters == Default::default()));
    assert_eq!(chain.incidents().count(), 0);
    assert_it_counts();
}

/// The counter counts, or nothing here says anything.
fn assert_it_counts() {
    assert_eq!(measure(|| drop(std::hint::black_box(Box::new(1)))).count_total, 1);
}
