//! What a state machine is: one instrument's actor, fed by the records of its book.
//!
//! Arrives: every record that the book of one instrument completes (orders, tops, status,
//! imbalances, statistics, definitions), and at the end of each interval of the feed's own time a
//! [`SystemMsg`](dbn::SystemMsg) with the code `EndOfInterval`, whose `ts_event` is that end.
//! Leaves: records of the machine's own.
//!
//! A machine promises to be deterministic: no clock, no input or output, no random number. The same
//! records then give the same state, live, in a replay and after a rebuild. Its state is plain data
//! of a fixed size with a derived `Clone`, so that cloning it neither allocates nor fails: a
//! [`Chain`](crate::Chain) clones machines as their snapshots, and takes none that needs a drop.

use dbn::RecordRef;
use wirebook_model::RecordSink;
use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::digest::Rolling;

/// A deterministic state machine of one instrument.
///
/// One that panics or returns a [`Fault`] is dropped and rebuilt from its last snapshot and the
/// records since; others, of this instrument or of another, do not notice.
pub trait Machine: Clone + Send + 'static {
    /// Takes the next record; what it makes of it goes to `out`.
    ///
    /// # Errors
    /// [`Fault`] where an invariant of the machine does not hold any more.
    fn record(&mut self, record: RecordRef<'_>, out: &mut dyn RecordSink) -> Result<(), Fault>;

    /// Appends the state as versioned bytes, from which [`Machine::restore`] makes it again.
    fn save(&self, bytes: &mut Vec<u8>);

    /// Takes the state of saved bytes; what the machine was made with (a window, a threshold) stays.
    ///
    /// # Errors
    /// [`SavedStateError`] where the bytes are not those of this machine and version.
    fn restore(&mut self, bytes: &[u8]) -> Result<(), SavedStateError>;

    /// A number that is equal where states are. Not for the hot path: it may allocate.
    fn digest(&self) -> u64 {
        let mut bytes = Vec::new();
        self.save(&mut bytes);
        let mut hash = Rolling::default();
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            hash.word(u64::from_le_bytes(word));
        }
        hash.word(bytes.len() as u64);
        hash.finish()
    }
}

/// An invariant of a machine that does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Fault(pub &'static str);

/// Saved bytes that a machine cannot be made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SavedStateError {
    /// Another version of the machine wrote them.
    #[error("expected version {expected} of the machine's state, found {found}")]
    Version {
        /// The version that this machine reads.
        expected: u16,
        /// The version of the bytes.
        found: u16,
    },
    /// Too few or too many bytes.
    #[error("expected {expected} bytes of state, found {found}")]
    Length {
        /// The bytes that this version has.
        expected: usize,
        /// The bytes given.
        found: usize,
    },
    /// Bytes that say what no machine says.
    #[error("expected {0}")]
    Value(&'static str),
}

/// Appends a version and the bytes of a state of plain fields.
pub fn save_state(version: u16, state: &(impl IntoBytes + Immutable), bytes: &mut Vec<u8>) {
    bytes.extend_from_slice(&version.to_le_bytes());
    bytes.extend_from_slice(state.as_bytes());
}

/// Reads what [`save_state`] wrote.
///
/// # Errors
/// [`SavedStateError`] where the version or the length is another.
pub fn restore_state<T: FromBytes>(version: u16, bytes: &[u8]) -> Result<T, SavedStateError> {
    let wrong_length = || SavedStateError::Length {
        expected: size_of::<u16>() + size_of::<T>(),
        found: bytes.len(),
    };
    let (found, state) = bytes.split_first_chunk().ok_or_else(wrong_length)?;
    let found = u16::from_le_bytes(*found);
    if found != version {
        return Err(SavedStateError::Version { expected: version, found });
    }
    T::read_from_bytes(state).map_err(|_| wrong_length())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_comes_back_and_nothing_else_is_taken() {
        let mut bytes = Vec::new();
        save_state(3, &[7_u64, 9], &mut bytes);
        assert_eq!(restore_state::<[u64; 2]>(3, &bytes), Ok([7, 9]));
        let version = SavedStateError::Version { expected: 4, found: 3 };
        assert_eq!(restore_state::<[u64; 2]>(4, &bytes), Err(version));
        for end in 0..bytes.len() {
            let length = SavedStateError::Length { expected: 18, found: end };
            assert_eq!(restore_state::<[u64; 2]>(3, &bytes[..end]), Err(length));
        }
    }
}
