//! Feeding a chain of all machines allocates nothing, also while its log wraps.
#![allow(unsafe_code, reason = "an allocator that counts is an unsafe trait")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;
mod flow;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use dbn::SystemMsg;
use wirebook_machine::{Chain, Supervision, machines};

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

/// The system's allocator, counting for each thread.
struct Counting;

// SAFETY: each method passes its arguments on unchanged to `System`, which keeps the contract; the
// counter is a `Cell` without destructor in const thread-local storage, so it allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, start: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `dealloc`, and `start` came from `System`.
        unsafe { System.dealloc(start, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn feeding_all_machines_allocates_nothing() {
    let flow = flow::mixed(20_000, 3);
    let mut chain = Chain::new(3, Supervision { log_records: 100, ..Supervision::default() });
    machines::names().for_each(|name| machines::by_name(name).unwrap()(&mut chain));
    let before = ALLOCATIONS.get();
    for (at, record) in flow.iter().enumerate() {
        match record.get::<SystemMsg>() {
            Some(end) => chain.end_of_interval(0, end, &mut ()),
            None if record.header().instrument_id == 0 => {
                chain.market(0, record.as_rec_ref(), &mut ());
            }
            None => chain.record((at % 3) as u32, 0, record.as_rec_ref(), &mut ()),
        }
    }
    assert_eq!(ALLOCATIONS.get() - before, 0);
    assert!(chain.counters().all(|(_, counters)| counters == Default::default()));
    assert_eq!(chain.incidents().count(), 0);
    assert!(before > 0, "the counter counts");
}
