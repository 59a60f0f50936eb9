//! Counters by name: what the appliance counts, for anybody to read.
//!
//! What arrives: a name once, then its value as often as it changes, from one writer. What leaves:
//! every name so far with its latest value. It promises: a name stays where it is, and is whole once
//! it is there; each value is one that was stored. Values of different counters are of about the same
//! moment, no more.

use crate::label::{self, NAME_WORDS, NameError};
use crate::sync::{AtomicU64, Ordering};
use crate::view::{Shared, View};

/// A counter as it lies in memory: two cache lines.
#[repr(C)]
pub(crate) struct CounterSlot {
    value: AtomicU64,
    /// Visible ASCII and blanks, filled up with zero bytes; all zero where there is no counter yet.
    name: [AtomicU64; NAME_WORDS],
}

impl Default for CounterSlot {
    fn default() -> Self {
        Self { value: AtomicU64::new(0), name: std::array::from_fn(|_| AtomicU64::new(0)) }
    }
}

// SAFETY: `repr(C)`, of `AtomicU64` and an array of it, without padding.
#[allow(unsafe_code, reason = "counters lie in shared memory")]
unsafe impl Shared for CounterSlot {}

/// A counter that cannot be added.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CounterError {
    /// There is no room for more.
    #[error("no room for the counter {name:?}: there are {counters}")]
    Full {
        /// Its name.
        name: String,
        /// How many there are.
        counters: usize,
    },
    /// A name that does not fit.
    #[error(transparent)]
    Name(#[from] NameError),
}

/// Counters in memory of this process alone. The reader can be cloned.
pub fn counters(slots: usize) -> (CounterWriter, CounterReader) {
    let slots = View::heap(slots, CounterSlot::default);
    (CounterWriter::new(slots.clone()), CounterReader { slots })
}

/// The one writer of counters.
pub struct CounterWriter {
    slots: View<CounterSlot>,
    used: usize,
}

impl CounterWriter {
    pub(crate) fn new(slots: View<CounterSlot>) -> Self {
        Self { slots, used: 0 }
    }

    /// Adds a counter with its first value, and gives its place. Names are the caller's to keep apart.
    ///
    /// # Errors
    ///
    /// [`CounterError`].
    pub fn add(&mut self, name: &str, value: u64) -> Result<usize, CounterError> {
        let words = label::encode(name)?;
        let place = self.used;
        let full = || CounterError::Full { name: name.to_owned(), counters: place };
        let slot = self.slots.get(place).ok_or_else(full)?;
        slot.value.store(value, Ordering::Relaxed);
        label::store(&slot.name, words);
        self.used += 1;
        Ok(place)
    }

    /// Sets the counter at `place`, which [`CounterWriter::add`] gave; another does nothing.
    #[inline]
    pub fn set(&self, place: usize, value: u64) {
        if let Some(slot) = self.slots.get(place) {
            slot.value.store(value, Ordering::Relaxed);
        }
    }
}

/// A reader of counters.
#[derive(Clone)]
pub struct CounterReader {
    slots: View<CounterSlot>,
}

impl CounterReader {
    pub(crate) fn new(slots: View<CounterSlot>) -> Self {
        Self { slots }
    }

    /// Every counter so far, in the order in which they were added: its name and its value.
    pub fn read(&self) -> impl Iterator<Item = (String, u64)> + '_ {
        self.slots.iter().map_while(|slot| {
            let name = label::load(&slot.name)?;
            Some((name, slot.value.load(Ordering::Relaxed)))
        })
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::label::NAME_BYTES;
    use std::mem::offset_of;

    #[test]
    fn the_shape_of_the_abi() {
        assert_eq!((size_of::<CounterSlot>(), offset_of!(CounterSlot, name)), (128, 8));
    }

    #[test]
    fn counters_are_found_by_name_as_they_come() {
        let (mut writer, reader) = counters(2);
        assert_eq!(reader.read().count(), 0);
        let long = "x".repeat(NAME_BYTES);
        let packets = writer.add("line_packets{line=\"A\"}", 3).unwrap();
        let named = |reader: &CounterReader| reader.read().collect::<Vec<_>>();
        assert_eq!(named(&reader), [("line_packets{line=\"A\"}".to_owned(), 3)]);
        assert_eq!(writer.add(&long, 7), Ok(1));
        writer.set(packets, u64::MAX);
        writer.set(9, 1);
        assert_eq!(named(&reader)[0].1, u64::MAX);
        assert_eq!(named(&reader)[1], (long.clone(), 7));
        assert!(matches!(writer.add("more", 1), Err(CounterError::Full { counters: 2, .. })));
        for name in ["", &format!("{long}x"), "gap→live", "a\n"] {
            assert_eq!(writer.add(name, 1), Err(NameError(name.to_owned()).into()));
        }
    }
}
