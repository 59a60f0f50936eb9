//! Counters by name: what the appliance counts, for anybody to read.
//!
//! What arrives: a name once, then its value as often as it changes, from one writer. What leaves:
//! every name so far with its latest value. It promises: a name stays where it is, and is whole once
//! it is there; each value is one that was stored. Values of different counters are of about the same
//! moment, no more.

use crate::sync::{AtomicU64, Ordering, fence};
use crate::view::{Shared, View};

/// The longest name.
pub const NAME_BYTES: usize = 120;
const NAME_WORDS: usize = NAME_BYTES / 8;

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
    #[error(
        "a counter's name is 1 to {NAME_BYTES} visible ASCII characters and blanks, found {0:?}"
    )]
    Name(String),
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
        let mut bytes = [0; NAME_BYTES];
        let is_visible = |byte: u8| byte.is_ascii_graphic() || byte == b' ';
        match bytes.get_mut(..name.len()) {
            Some(start) if !name.is_empty() && name.bytes().all(is_visible) => {
                start.copy_from_slice(name.as_bytes());
            }
            _ => return Err(CounterError::Name(name.to_owned())),
        }
        let place = self.used;
        let full = || CounterError::Full { name: name.to_owned(), counters: place };
        let slot = self.slots.get(place).ok_or_else(full)?;
        slot.value.store(value, Ordering::Relaxed);
        let words: [u64; NAME_WORDS] = zerocopy::transmute!(bytes);
        for (shared, word) in slot.name.iter().zip(words).skip(1) {
            shared.store(word, Ordering::Relaxed);
        }
        // Last, so that whoever sees the name's beginning sees all of it, and the value.
        slot.name[0].store(words[0], Ordering::Release);
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
            // Relaxed and a fence: read-only memory knows no acquire load (see `ring`).
            let first = slot.name[0].load(Ordering::Relaxed);
            fence(Ordering::Acquire);
            if first == 0 {
                return None;
            }
            let rest = slot.name[1..].iter().map(|word| word.load(Ordering::Relaxed));
            let bytes: Vec<u8> =
                [first].into_iter().chain(rest).flat_map(u64::to_ne_bytes).collect();
            let length = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
            let name = String::from_utf8_lossy(&bytes[..length]).into_owned();
            Some((name, slot.value.load(Ordering::Relaxed)))
        })
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
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
            assert_eq!(writer.add(name, 1), Err(CounterError::Name(name.to_owned())));
        }
    }
}
