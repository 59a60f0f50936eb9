//! A hot thread that answers, records and hands over takes no memory.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use wirebook_telemetry::{HistogramCollector, probe};

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

#[allow(unsafe_code, reason = "an allocator is unsafe to write; this one passes everything on")]
// SAFETY: every call goes to the system's allocator as it came; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's obligations are those of the callee.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, start: *mut u8, layout: Layout) {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's obligations are those of the callee.
        unsafe { System.dealloc(start, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn recording_takes_no_memory() {
    let mut collector = HistogramCollector::new();
    let mut recorder = collector.recorder("wire→worker");
    let (packets, asking) = probe();
    let before = ALLOCATIONS.get();
    assert!(before > 0, "the allocator counts");
    for nth in 0..100_000_u64 {
        recorder.record(nth.wrapping_mul(nth) % 70_000_000_000);
        asking.ask();
        packets.answer(|| nth);
        if nth % 1_000 == 0 {
            recorder.hand_over();
            collector.collect();
        }
    }
    assert_eq!(ALLOCATIONS.get(), before);
    drop(recorder);
    collector.collect();
    assert_eq!(collector.report().stages[0].summary.count, 100_000);
    assert_eq!(asking.take(), Some(99_999));
}
