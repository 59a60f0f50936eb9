//! A hot thread that answers, records and hands over takes no memory.

use allocation_counter::measure;
use wirebook_telemetry::{HistogramCollector, probe};

#[test]
fn recording_takes_no_memory() {
    let mut collector = HistogramCollector::new();
    let mut recorder = collector.recorder("wire→worker");
    let (packets, asking) = probe();
    let allocated = measure(|| {
        for nth in 0..100_000_u64 {
            recorder.record(nth.wrapping_mul(nth) % 70_000_000_000);
            asking.ask();
            packets.answer(|| nth);
            if nth % 1_000 == 0 {
                recorder.hand_over();
                collector.collect();
            }
        }
    });
    assert_eq!((allocated.count_total, allocated.count_current), (0, 0));
    drop(recorder);
    collector.collect();
    assert_eq!(collector.report().stages[0].summary.count, 100_000);
    assert_eq!(asking.take(), Some(99_999));
    assert_it_counts();
}

/// The counter counts, or nothing here says anything.
fn assert_it_counts() {
    assert_eq!(measure(|| drop(std::hint::black_box(Box::new(1)))).count_total, 1);
}
