//! Applying events allocates nothing.
#![allow(unsafe_code, reason = "an allocator that counts is an unsafe trait")]

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use wirebook_machine::{Books, Limits};

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
fn a_day_of_events_allocates_nothing() {
    let Some(records) = common::es::records() else { return };
    let events: Vec<_> = records.iter().flat_map(common::events_of).collect();
    for limits in [
        Limits { instruments: 1, orders: 20_000, levels: 4_000 },
        Limits { instruments: 1, orders: 100, levels: 50 },
    ] {
        let mut books = Books::new(limits).unwrap();
        let before = ALLOCATIONS.get();
        let mut visits = 0;
        for event in &events {
            books.apply(event, &mut ());
            books.drain_changed(|_, _| visits += 1);
        }
        assert_eq!(ALLOCATIONS.get() - before, 0);
        assert!(visits > 0);
    }
    assert!(ALLOCATIONS.get() > 0, "the counter counts");
}
