//! Whole books among records: what stands around each in a refresh ring.
//!
//! What arrives: a [`RefreshMark`] that begins a book, the book's records, one that ends it. What
//! leaves: the same. It promises a reader: between the two marks of a book nothing but its records,
//! and in [`RefreshMark::cursor`] of the ending mark the place in the shard's output ring at which
//! they hold: every record of the instrument before it is in them, none after. A book that is begun
//! and not ended before the next one begins holds nowhere.

use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout};

/// The type of a mark where a DBN record has its own; no DBN record has this one.
pub const REFRESH_RTYPE: u8 = 0x57;

/// [`RefreshMark::kind`] of a mark before a book's records.
pub const BEGINS: u8 = 1;
/// [`RefreshMark::kind`] of a mark behind a book's records.
pub const ENDS: u8 = 2;

/// What begins and what ends a book. Times are nanoseconds since the UNIX epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct RefreshMark {
    /// Length in words of four bytes, as in the header of a DBN record: 14.
    pub length_words: u8,
    /// [`REFRESH_RTYPE`].
    pub rtype: u8,
    /// DBN publisher id, as in the instrument's records.
    pub publisher: u16,
    /// The instrument's id, as in its records.
    pub instrument_id: u32,
    /// Venue time of the last event in the book.
    pub ts_event: u64,
    /// [`BEGINS`] or [`ENDS`].
    pub kind: u8,
    /// A [`CellState`](crate::board::CellState) by number.
    pub state: u8,
    /// Why it is stale, as in [`Cell::stale_reason`](crate::board::Cell::stale_reason).
    pub stale_reason: u8,
    /// The channel the instrument is fed from.
    pub channel: u8,
    /// Zero.
    pub reserved: u32,
    /// Venue sequence of the last event in the book.
    pub sequence: u64,
    /// Of a mark that ends: the output-ring cursor at which the book holds.
    pub cursor: u64,
    /// How often the writer had gone round all its books before.
    pub round: u64,
    /// Records of the book so far: 0 in a mark that begins.
    pub records: u64,
}

const LENGTH_WORDS: u8 = (size_of::<RefreshMark>() / 4) as u8;

/// A mark that says nothing yet but that it is one.
impl Default for RefreshMark {
    fn default() -> Self {
        Self { length_words: LENGTH_WORDS, rtype: REFRESH_RTYPE, ..Self::new_zeroed() }
    }
}

impl RefreshMark {
    /// The mark that these bytes are; `None` where they are none.
    pub fn of(bytes: &[u8]) -> Option<Self> {
        let mark = Self::read_from_bytes(bytes).ok()?;
        (mark.rtype == REFRESH_RTYPE && usize::from(mark.length_words) * 4 == bytes.len())
            .then_some(mark)
    }

    /// The mark's bytes.
    pub fn bytes(&self) -> &[u8] {
        self.as_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dbn::{MboMsg, RType, RecordRef};
    use std::mem::offset_of;

    #[test]
    fn the_shape_of_the_abi() {
        assert_eq!((size_of::<RefreshMark>(), LENGTH_WORDS), (56, 14));
        assert_eq!(offset_of!(RefreshMark, instrument_id), 4);
        assert_eq!(offset_of!(RefreshMark, kind), 16);
        assert_eq!(offset_of!(RefreshMark, channel), 19);
        assert_eq!(offset_of!(RefreshMark, sequence), 24);
        assert_eq!(offset_of!(RefreshMark, cursor), 32);
        assert_eq!(offset_of!(RefreshMark, round), 40);
        assert_eq!(offset_of!(RefreshMark, records), 48);
        assert!(RType::try_from(REFRESH_RTYPE).is_err(), "no DBN record has it");
    }

    #[test]
    fn a_mark_is_told_from_a_record() {
        let mark = RefreshMark { kind: ENDS, cursor: 7, ..RefreshMark::default() };
        assert_eq!(RefreshMark::of(mark.bytes()), Some(mark));
        assert_eq!(RefreshMark::of(&mark.bytes()[..48]), None);
        assert_eq!(RefreshMark::of(RecordRef::from(&MboMsg::default()).as_ref()), None);
    }
}
