//! The ring against plain models: random operations, and threads that race.
#![cfg(not(loom))]
#![allow(clippy::unwrap_used, reason = "a test; the lint knows test functions only")]

use std::collections::VecDeque;

use proptest::prelude::*;
use wirebook_shm::ring::{self, Cursor, LengthError, Observed, PushError};

const CAPACITY: usize = 32;

#[derive(Clone, Debug)]
enum Operation {
    PushWords(Vec<u64>),
    PushBytes(Vec<u8>),
    Read,
    ReadEach(usize),
    Release,
    Announce,
}

fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        3 => prop::collection::vec(any::<u64>(), 7).prop_map(Operation::PushWords),
        1 => prop::collection::vec(any::<u64>(), 0..130).prop_map(Operation::PushWords),
        1 => prop::collection::vec(any::<u8>(), 0..1030).prop_map(Operation::PushBytes),
        3 => Just(Operation::Read),
        2 => (0..20usize).prop_map(Operation::ReadEach),
        1 => Just(Operation::Release),
        1 => Just(Operation::Announce),
    ]
}

fn operations() -> impl Strategy<Value = Vec<Operation>> {
    prop::collection::vec(operation(), 0..if cfg!(miri) { 30 } else { 300 })
}

fn config() -> ProptestConfig {
    let cases = if cfg!(miri) { 3 } else { 300 };
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

fn bytes_of(words: &[u64]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
}

fn slots_for(bytes: usize) -> u64 {
    bytes.div_ceil(56) as u64
}

fn carried(bytes: &[u8]) -> Result<(), LengthError> {
    let max_bytes = 1024;
    let found_bytes = bytes.len();
    if (1..=max_bytes).contains(&found_bytes) {
        Ok(())
    } else {
        Err(LengthError { found_bytes, max_bytes })
    }
}

proptest! {
    #![proptest_config(config())]

    /// The model: a queue of records, and how many slots its reader holds.
    #[test]
    fn a_gated_ring_is_a_bounded_queue(operations in operations()) {
        let (mut writer, mut reader) = ring::gated(CAPACITY).unwrap();
        let mut queue = VecDeque::new();
        let (mut written, mut read, mut released) = (0, 0, 0);
        for operation in operations {
            let (pushed, bytes) = match operation {
                Operation::PushWords(words) => (writer.try_push_words(&words), bytes_of(&words)),
                Operation::PushBytes(bytes) => (writer.try_push_bytes(&bytes), bytes),
                Operation::Read => {
                    let expected: Option<(u64, Vec<u8>)> = queue.pop_front();
                    let found = reader.pop();
                    let found = found.map(|record| (record.cursor().get(), record.bytes().to_vec()));
                    prop_assert_eq!(&found, &expected);
                    match expected {
                        Some((_, bytes)) => read += slots_for(bytes.len()),
                        None => released = read,
                    }
                    continue;
                }
                Operation::ReadEach(most) => {
                    let count = most.min(queue.len());
                    let expected: Vec<(u64, Vec<u8>)> = queue.drain(..count).collect();
                    let mut found = Vec::new();
                    let taken = reader.pop_each(most, |record| {
                        found.push((record.cursor().get(), record.bytes().to_vec()));
                    });
                    prop_assert_eq!((taken, &found), (count, &expected));
                    read += expected.iter().map(|(_, bytes)| slots_for(bytes.len())).sum::<u64>();
                    if count < most {
                        released = read;
                    }
                    continue;
                }
                Operation::Release => {
                    reader.release();
                    released = read;
                    continue;
                }
                Operation::Announce => {
                    writer.announce();
                    continue;
                }
            };
            let need = slots_for(bytes.len());
            let expected = match carried(&bytes) {
                Err(error) => Err(PushError::Length(error)),
                Ok(()) if written + need - released > CAPACITY as u64 => Err(PushError::Full),
                Ok(()) => Ok(Cursor::new(written)),
            };
            prop_assert_eq!(pushed, expected);
            if pushed.is_ok() {
                queue.push_back((written, bytes));
                written += need;
            }
            prop_assert_eq!(writer.cursor().get(), written);
        }
    }

    /// The model: every record ever written; a reader further back than the capacity is lapped.
    #[test]
    fn an_open_ring_is_a_history_with_a_horizon(operations in operations()) {
        let (mut writer, mut reader) = ring::open(CAPACITY).unwrap();
        let mut history = VecDeque::new();
        let (mut written, mut read, mut missed) = (0, 0, 0);
        for operation in operations {
            let (pushed, bytes) = match operation {
                Operation::PushWords(words) => (writer.push_words(&words), bytes_of(&words)),
                Operation::PushBytes(bytes) => (writer.push_bytes(&bytes), bytes),
                Operation::Announce => continue,
                Operation::Read | Operation::ReadEach(_) | Operation::Release => {
                    match reader.poll() {
                        Observed::Empty => prop_assert_eq!(read, written),
                        Observed::Overrun { missed_slots } => {
                            prop_assert!(written - read > CAPACITY as u64);
                            prop_assert_eq!(missed_slots, written - read);
                            missed += missed_slots;
                            read = written;
                            history.clear();
                        }
                        Observed::Record(record) => {
                            prop_assert!(written - read <= CAPACITY as u64);
                            let expected: Option<(u64, Vec<u8>)> = history.pop_front();
                            let found = (record.cursor().get(), record.bytes().to_vec());
                            read += slots_for(found.1.len());
                            prop_assert_eq!(Some(found), expected);
                        }
                    }
                    prop_assert_eq!(reader.missed_slots(), missed);
                    continue;
                }
            };
            prop_assert_eq!(pushed, carried(&bytes).map(|()| Cursor::new(written)));
            if pushed.is_ok() {
                let need = slots_for(bytes.len());
                history.push_back((written, bytes));
                written += need;
            }
        }
    }
}

/// A record that vouches for itself: its number, a number of words that follows from it, and each
/// word from both.
fn numbered(number: u64) -> Vec<u64> {
    let length = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 57;
    (0..=length).map(|nth| number.wrapping_mul(nth + 1)).collect()
}

/// Records that threads pass to each other; `WIREBOOK_RECORDS` says how many where each costs more.
fn records() -> u64 {
    let asked = std::env::var("WIREBOOK_RECORDS").ok().and_then(|records| records.parse().ok());
    if cfg!(miri) { 40 } else { asked.unwrap_or(200_000) }
}

#[test]
fn a_gated_ring_carries_everything_between_threads() {
    let (mut writer, mut reader) = ring::gated(64).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            for number in 1..=records() {
                let record = numbered(number);
                while writer.try_push_words(&record) == Err(PushError::Full) {
                    std::thread::yield_now();
                }
            }
        });
        for number in 1..=records() {
            loop {
                if let Some(record) = reader.pop() {
                    assert_eq!(record.words(), numbered(number));
                    break;
                }
                std::thread::yield_now();
            }
        }
    });
}

#[test]
fn a_gated_ring_carries_batches_between_threads() {
    let (mut writer, mut reader) = ring::gated(64).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            for number in 1..=records() {
                // Nine of ten have one slot.
                let record = if number % 10 == 0 { numbered(number) } else { vec![number; 7] };
                while writer.try_push_words(&record) == Err(PushError::Full) {
                    std::thread::yield_now();
                }
            }
        });
        let mut number = 0;
        while number < records() {
            let taken = reader.pop_each(40, |record| {
                number += 1;
                let is_right = match number % 10 {
                    0 => record.words() == numbered(number),
                    _ => record.words() == [number; 7],
                };
                assert!(is_right, "record {number}");
            });
            reader.release();
            if taken == 0 {
                std::thread::yield_now();
            }
        }
    });
}

#[test]
fn observing_readers_take_whole_records_while_they_are_lapped() {
    let (mut writer, first) = ring::open(32).unwrap();
    let second = first.clone();
    std::thread::scope(|scope| {
        for mut reader in [first, second] {
            scope.spawn(move || {
                let (mut last, mut taken_slots) = (0, 0);
                while last < records() {
                    match reader.poll() {
                        Observed::Record(record) => {
                            let number = record.words()[0];
                            assert!(number > last);
                            assert_eq!(record.words(), numbered(number));
                            taken_slots += slots_for(record.bytes().len());
                            last = number;
                        }
                        Observed::Overrun { missed_slots } => assert!(missed_slots > 0),
                        Observed::Empty => std::thread::yield_now(),
                    }
                }
                assert_eq!(taken_slots + reader.missed_slots(), reader.cursor().get());
            });
        }
        for number in 1..=records() {
            writer.push_words(&numbered(number)).unwrap();
            if number % 100 == 0 {
                std::thread::yield_now();
            }
        }
        // The last record stays, so both readers reach it or are lapped by nothing more.
        let last = numbered(records());
        for _ in 0..20 {
            std::thread::sleep(std::time::Duration::from_millis(10));
            writer.push_words(&last).unwrap();
        }
    });
}

#[test]
fn a_cursor_from_outside_is_a_claim() {
    let (mut writer, mut reader) = ring::open(32).unwrap();
    writer.push_bytes(&[1; 100]).unwrap();
    let second = writer.push_bytes(&[2; 56]).unwrap();
    // Inside the first record: stepped over.
    reader.seek(Cursor::new(1));
    assert!(matches!(reader.poll(), Observed::Record(record) if record.cursor() == second));
    // Beyond the writer, and beyond all reason.
    for far in [4, 1 << 40, u64::MAX] {
        reader.seek(Cursor::new(far));
        assert!(matches!(reader.poll(), Observed::Empty));
    }
    reader.seek(Cursor::new(0));
    assert!(matches!(reader.poll(), Observed::Record(record) if record.bytes() == [1; 100]));
}

#[test]
fn a_small_ring_carries_small_records() {
    let (mut writer, mut reader) = ring::open(2).unwrap();
    assert_eq!(writer.push_bytes(&[0; 113]), Err(LengthError { found_bytes: 113, max_bytes: 112 }));
    writer.push_bytes(&[9; 112]).unwrap();
    assert!(matches!(reader.poll(), Observed::Record(record) if record.bytes() == [9; 112]));
    for capacity in [0, 1, 3, 48, (1 << 32) + 1, 1 << 33] {
        assert_eq!(ring::open(capacity).err().map(|error| error.found), Some(capacity));
    }
}
