//! The ring and the seqlock under loom: every order in which loads and stores may be seen, within a
//! bound on preemptions. Each rule of the proofs is also broken once, and the model must notice.
//!
//! `RUSTFLAGS="--cfg loom" cargo test -p wirebook-shm --test loom --release`; with
//! `WIREBOOK_PREEMPTIONS_MORE=n` each within so many more preemptions, which finds more in more time.
#![cfg(loom)]
#![allow(clippy::unwrap_used, reason = "a test; the lint knows test functions only")]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use loom::thread;
use wirebook_shm::ring::{self, GatingReader, Observed, SLOT_WORDS};
use wirebook_shm::seqlock::Seqlock;
use wirebook_shm::sync::{Rule, without};

fn explore(model: impl Fn() + Send + Sync + 'static) {
    explore_within(3, model);
}

/// Of three threads there are far more orders than of two.
fn explore_within(preemptions: usize, model: impl Fn() + Send + Sync + 'static) {
    let more = std::env::var("WIREBOOK_PREEMPTIONS_MORE").map_or(0, |more| more.parse().unwrap());
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions + more);
    builder.check(model);
}

fn assert_noticed(rule: Rule, model: fn()) {
    without(rule, || {
        let outcome = catch_unwind(AssertUnwindSafe(|| explore(model)));
        assert!(outcome.is_err(), "the model did not notice that {rule:?} was broken");
    });
}

/// A record of as many words as fill `slots`, all saying `value`.
fn record(value: u64, slots: usize) -> Vec<u64> {
    vec![value; slots * SLOT_WORDS]
}

/// A writer laps a reader that polls: what the reader takes is whole and in order, and taken plus
/// missed slots add up.
fn observed_ring(capacity: usize, records: u64, slots: usize, polls: usize) {
    let (mut writer, mut reader) = ring::open(capacity).unwrap();
    let pushing = thread::spawn(move || {
        for value in 1..=records {
            writer.push_words(&record(value, slots)).unwrap();
        }
    });
    let mut last = 0;
    let mut taken_slots = 0;
    for _ in 0..polls {
        let start = reader.cursor().get();
        match reader.poll() {
            Observed::Record(found) => {
                let value = found.words()[0];
                assert_eq!(found.words(), record(value, slots), "torn");
                assert!(value > last, "in order");
                assert_eq!(found.cursor().get(), (value - 1) * slots as u64);
                last = value;
                taken_slots += slots as u64;
            }
            Observed::Overrun { missed_slots } => assert_eq!(missed_slots % slots as u64, 0),
            Observed::Empty => assert_eq!(reader.cursor().get(), start),
        }
    }
    pushing.join().unwrap();
    assert_eq!(reader.cursor().get(), taken_slots + reader.missed_slots());
}

fn observed_single() {
    observed_ring(2, 3, 1, 2);
}

fn observed_two_slots() {
    observed_ring(2, 2, 2, 2);
}

/// Two readers, each of which takes what it takes, whatever the other does.
fn observed_by_two() {
    let (mut writer, reader) = ring::open(2).unwrap();
    let looking = [reader.clone(), reader].map(|mut reader| {
        thread::spawn(move || {
            if let Observed::Record(found) = reader.poll() {
                assert_eq!(found.words(), record(found.cursor().get() + 1, 1), "torn");
            }
        })
    });
    for value in 1..=3 {
        writer.push_words(&record(value, 1)).unwrap();
    }
    looking.into_iter().for_each(|reader| reader.join().unwrap());
}

/// The reader takes these records, each whole and in order.
fn assert_takes(reader: &mut GatingReader, records: u64, slots: usize) {
    for value in 1..=records {
        loop {
            if let Some(found) = reader.pop() {
                assert_eq!(found.words(), record(value, slots));
                break;
            }
            thread::yield_now();
        }
    }
}

/// The same, in batches.
fn assert_takes_each(reader: &mut GatingReader, records: u64) {
    let mut value = 0;
    while value < records {
        let taken = reader.pop_each(2, |found| {
            value += 1;
            assert_eq!(found.words(), record(value, 1));
        });
        reader.release();
        if taken == 0 {
            thread::yield_now();
        }
    }
}

/// The writer pushes twice the capacity past a reader that gives slots back: nothing is lost.
fn gated_ring(slots: usize) {
    let records = 4 / slots as u64;
    let (mut writer, mut reader) = ring::gated(2).unwrap();
    let pushing = thread::spawn(move || {
        for value in 1..=records {
            while writer.try_push_words(&record(value, slots)).is_err() {
                thread::yield_now();
            }
        }
    });
    assert_takes(&mut reader, records, slots);
    pushing.join().unwrap();
}

fn gated_single() {
    gated_ring(1);
}

fn gated_two_slots() {
    gated_ring(2);
}

/// The reader takes batches, and where it is behind it reads the words where they lie.
fn gated_each() {
    let (mut writer, mut reader) = ring::gated(2).unwrap();
    let pushing = thread::spawn(move || {
        for value in 1..=4 {
            while writer.try_push_words(&record(value, 1)).is_err() {
                thread::yield_now();
            }
        }
    });
    assert_takes_each(&mut reader, 4);
    pushing.join().unwrap();
}

/// A gated ring with a second, observing reader: the one loses nothing, the other takes whole records
/// or none, and the writer waits for the first alone.
fn gated_and_observed() {
    let (mut writer, mut reader, mut observer) = ring::gated_and_observed(2).unwrap();
    let pushing = thread::spawn(move || {
        for value in 1..=3 {
            while writer.try_push_words(&record(value, 1)).is_err() {
                thread::yield_now();
            }
        }
    });
    let observing = thread::spawn(move || {
        if let Observed::Record(found) = observer.poll() {
            assert_eq!(found.words(), record(found.cursor().get() + 1, 1), "torn");
        }
    });
    assert_takes(&mut reader, 3, 1);
    pushing.join().unwrap();
    observing.join().unwrap();
}

fn seqlock() {
    let cell = Arc::new(Seqlock::<2>::default());
    let shared = Arc::clone(&cell);
    let storing = thread::spawn(move || {
        shared.store(&[1, 1]);
        shared.store(&[2, 2]);
    });
    let mut last = 0;
    for _ in 0..2 {
        if let Some([first, second]) = cell.try_load() {
            assert_eq!(first, second, "torn");
            assert!(first >= last, "a value never goes back");
            last = first;
        }
    }
    storing.join().unwrap();
    assert_eq!(cell.try_load(), Some([2, 2]));
}

/// A reader joins the ring by a cell beside it: where the ring is shown up to where the reader
/// stands, the cell holds every record before that; unless the writer says so `too_early`.
fn joined(too_early: bool) {
    let (mut writer, mut reader) = ring::open(2).unwrap();
    let cell = Arc::new(Seqlock::<2>::default());
    let shared = Arc::clone(&cell);
    let writing = thread::spawn(move || {
        for value in 1..=2 {
            writer.push_words(&record(value, 1)).unwrap();
            if too_early {
                writer.mark_shown();
            }
            shared.store(&[value, value]);
            writer.mark_shown();
        }
    });
    let _ = reader.poll();
    let stands = reader.cursor();
    if reader.shown() >= stands
        && let Some([holds, _]) = cell.try_load()
    {
        assert!(holds >= stands.get(), "the cell holds {holds} of {} records", stands.get());
    }
    writing.join().unwrap();
}

#[test]
fn an_observing_reader_takes_whole_records_in_order() {
    explore(observed_single);
}

#[test]
fn an_observing_reader_takes_whole_records_of_two_slots() {
    explore(observed_two_slots);
}

#[test]
fn two_observing_readers_take_whole_records() {
    explore_within(2, observed_by_two);
}

#[test]
fn a_gated_ring_loses_nothing() {
    explore(gated_single);
    explore(gated_two_slots);
    explore(gated_each);
}

#[test]
fn a_gated_ring_that_is_observed_loses_nothing() {
    explore_within(2, gated_and_observed);
}

#[test]
fn a_seqlock_is_never_torn() {
    explore(seqlock);
}

#[test]
fn a_reader_joins_by_a_cell_that_holds_what_was_before() {
    explore(|| joined(false));
}

#[test]
fn a_ring_that_is_said_to_be_shown_too_early_is_noticed() {
    let outcome = catch_unwind(AssertUnwindSafe(|| explore(|| joined(true))));
    assert!(outcome.is_err(), "the model did not notice it");
}

#[test]
fn each_rule_of_an_observed_ring_is_needed() {
    for rule in [
        Rule::Invalidate,
        Rule::FenceAfterInvalidate,
        Rule::PublishRelease,
        Rule::FenceAfterSequence,
        Rule::FenceBeforeRecheck,
        Rule::Recheck,
    ] {
        assert_noticed(rule, observed_single);
    }
    assert_noticed(Rule::FirstSlotLast, observed_two_slots);
    assert_noticed(Rule::Recheck, observed_by_two);
}

/// What holds for an observing reader of an open ring holds for one beside a gating reader.
#[test]
fn each_rule_of_an_observed_gated_ring_is_needed() {
    for rule in [Rule::FenceAfterInvalidate, Rule::FenceBeforeRecheck, Rule::Recheck] {
        assert_noticed(rule, gated_and_observed);
    }
}

#[test]
fn each_rule_of_a_gated_ring_is_needed() {
    for rule in [Rule::PublishRelease, Rule::GatedAcquire, Rule::Gate] {
        assert_noticed(rule, gated_single);
        assert_noticed(rule, gated_two_slots);
    }
    // A copy by atomic loads could see a store that comes after it, which loom does not model; it does
    // check the plain reads of a batch.
    for rule in [Rule::GatedAcquire, Rule::GateRelease, Rule::GateAcquire] {
        assert_noticed(rule, gated_each);
    }
    assert_noticed(Rule::FirstSlotLast, gated_two_slots);
}

#[test]
fn each_rule_of_a_seqlock_is_needed() {
    for rule in [
        Rule::Invalidate,
        Rule::FenceAfterInvalidate,
        Rule::PublishRelease,
        Rule::FenceAfterSequence,
        Rule::FenceBeforeRecheck,
        Rule::Recheck,
    ] {
        assert_noticed(rule, seqlock);
    }
}
