//! The one ring type: records from one writer to any number of readers.
//!
//! What arrives: records of 1 to [`RECORD_BYTES_MAX`] bytes. What leaves: the same records, whole
//! and in order, in every reader that keeps up; a reader that does not keep up is told how many
//! slots it missed.
//!
//! A ring is a power-of-two number of 64-byte slots: a sequence word and [`SLOT_WORDS`] words of
//! payload. A record takes the consecutive slots it needs. A [`Cursor`] counts slots from the ring's
//! beginning and never wraps: cursor `c` names slot `c % capacity` in its lap `c / capacity`.
//!
//! The sequence word says what a slot holds (`slot`): the cursor at which it was last written, and
//! either the byte length of the record that begins there, or that it continues a record, or that
//! it is being rewritten.
//!
//! Two kinds of reader:
//!
//! - A [`GatingReader`] holds its writer, a [`GatedWriter`], back: a push that would overwrite a
//!   slot not yet given back is [`PushError::Full`] (backpressure, which the caller counts).
//! - An [`ObservingReader`] writes nothing, not even its own position, so it needs read-only memory
//!   and costs the writer nothing. Its writer laps it; it counts the overrun and goes on at the
//!   newest safe cursor, the end of the last whole record.
//!
//! # Why an observing reader never takes a torn record
//!
//! Payload words are relaxed atomics, so there is no data race to begin with; what remains to show
//! is that the words a reader keeps all belong to one record. The pattern is the seqlock of
//! H.-J. Boehm, "Can seqlocks get along with programming language memory models?" (MSPC 2012,
//! section 4), with the slot sequence as its version:
//!
//! ```text
//! writer                                          reader
//! W1 busy mark in every slot of the record        R1 load first slot's sequence (relaxed)
//! W2 fence(release)                               R2 fence(acquire)
//! W3 payload words (relaxed)                      R3 payload words (relaxed)
//! W4 sequences of the slots that follow (relaxed) R4 fence(acquire)
//! W5 first slot's sequence (release)              R5 load first slot's sequence again (relaxed)
//! ```
//!
//! *Nothing older:* if R1 reads the value of W5, then R2 makes W5 synchronise with R3: every payload
//! word of the record happens before the copy, so R3 reads that record's word or a newer one.
//! *Nothing newer:* if some R3 reads a word that W3 of a later lap wrote, then W2 of that lap
//! synchronises with R4, so what came before W2 happens before R5. The writer goes through the
//! slots in order, so before it touches any slot of our record in a later lap it has marked our
//! first slot (W1, of the same push or an earlier one). R5 then reads that mark or something later,
//! never the value of W5 again, as cursors do not recur. So R5 = R1 means that all words are our
//! record's, and looking at the first slot again is enough for a record of any length.
//!
//! An observing reader's loads are all relaxed, with fences, as its memory may be mapped read-only
//! (std, "Atomic accesses to read-only memory": an acquire load there is not defined).
//!
//! *Gating:* what the reader reads comes before its release store of the gate cursor; the writer
//! rewrites a slot only after an acquire load of a gate past it. So a gating reader needs no second
//! look, and may read plain words where they lie.
//!
//! # Why a gating reader takes blocks
//!
//! A reader that follows its writer slot by slot is a few lines behind it, and its processor fetches lines
//! ahead: those that the writer is about to write. Each then goes from core to core twice, for either end
//! as slowly as for the other, so they stay together. The writer's cursor, on a line of its own, is stored
//! once a block ([`GatedWriter::announce`]), and a reader that has taken a block without finding the ring
//! empty goes on when it is told of more, or after a short wait. That is advice about when to look and no
//! part of the proof: what is published, each slot's sequence says, and a reader that waits for a single
//! record waits for that one line.

mod reader;
mod slot;
mod writer;

use crate::view::View;

pub use reader::{GatingReader, Observed, ObservingReader, Record};
use slot::{Control, Slot};
pub use writer::{GatedWriter, LengthError, PushError, Writer};

/// Payload words of a slot (two under loom, whose search grows with each).
pub const SLOT_WORDS: usize = if cfg!(loom) { 2 } else { 7 };
/// Payload bytes of a slot.
pub const SLOT_PAYLOAD_BYTES: usize = SLOT_WORDS * 8;
/// The longest record a ring carries, in bytes. A ring of few slots carries less: a record takes at
/// most its capacity.
pub const RECORD_BYTES_MAX: usize = 1024;
/// The largest capacity, in slots.
pub const CAPACITY_MAX: usize = 1 << 32;

/// The most slots of a block.
const BLOCK_SLOTS_MAX: u64 = 64;
const RECORD_SLOTS_MAX: usize = RECORD_BYTES_MAX.div_ceil(SLOT_PAYLOAD_BYTES);

/// A position in a ring: slots written since its beginning.
///
/// Limited to 52 bits by the sequence word: at 100 million slots a second, 500 days from a start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cursor(u64);

impl Cursor {
    /// The cursor with this number.
    pub const fn new(slots: u64) -> Self {
        Self(slots)
    }

    /// Slots since the ring's beginning.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The cursor `slots` further on. A cursor from outside may be any number, so this wraps.
    const fn after(self, slots: u64) -> Self {
        Self(self.0.wrapping_add(slots))
    }
}

/// A capacity that no ring can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a ring's capacity is a power of two from 2 to {CAPACITY_MAX} slots, found {found}")]
pub struct CapacityError {
    /// What was asked for.
    pub found: usize,
}

pub(crate) fn check_capacity(capacity: usize) -> Result<(), CapacityError> {
    if capacity.is_power_of_two() && (2..=CAPACITY_MAX).contains(&capacity) {
        Ok(())
    } else {
        Err(CapacityError { found: capacity })
    }
}

/// A gated ring in memory of this process alone.
///
/// # Errors
///
/// [`CapacityError`] unless `capacity` is a power of two from 2 to [`CAPACITY_MAX`].
pub fn gated(capacity: usize) -> Result<(GatedWriter, GatingReader), CapacityError> {
    let ring = Ring::heap(capacity)?;
    Ok((GatedWriter::new(ring.clone()), GatingReader::new(ring)))
}

/// A gated ring with an observing reader beside the gating one, for the model of both.
///
/// # Errors
///
/// [`CapacityError`] as for [`gated`].
#[cfg(loom)]
pub fn gated_and_observed(
    capacity: usize,
) -> Result<(GatedWriter, GatingReader, ObservingReader), CapacityError> {
    let ring = Ring::heap(capacity)?;
    let (gating, observing) = (GatingReader::new(ring.clone()), ObservingReader::new(ring.clone()));
    Ok((GatedWriter::new(ring), gating, observing))
}

/// An open ring, one without a gating reader, in memory of this process alone. The observing reader
/// can be cloned.
///
/// # Errors
///
/// [`CapacityError`] unless `capacity` is a power of two from 2 to [`CAPACITY_MAX`].
pub fn open(capacity: usize) -> Result<(Writer, ObservingReader), CapacityError> {
    let ring = Ring::heap(capacity)?;
    Ok((Writer::new(ring.clone()), ObservingReader::new(ring)))
}

/// The memory of a ring, as writer and readers share it.
#[derive(Clone)]
pub(crate) struct Ring {
    control: View<Control>,
    slots: View<Slot>,
}

impl Ring {
    fn heap(capacity: usize) -> Result<Self, CapacityError> {
        check_capacity(capacity)?;
        let control = View::heap(1, Control::default);
        Ok(Self { control, slots: View::heap(capacity, Slot::default) })
    }

    /// The ring in `control` and `slots`, of which the caller has checked that there is one control
    /// block and a capacity of slots.
    #[cfg(not(loom))]
    pub(crate) fn from_views(control: View<Control>, slots: View<Slot>) -> Self {
        assert_eq!(control.len(), 1, "a ring has one control block");
        assert_eq!(check_capacity(slots.len()), Ok(()), "a ring's capacity is checked before");
        Self { control, slots }
    }

    #[inline(always)]
    fn control(&self) -> &Control {
        &self.control[0]
    }

    fn capacity(&self) -> u64 {
        self.slots.len() as u64
    }

    /// Slots of a block: the ring has room for several, so that neither end waits for the other in order
    /// to end one.
    #[inline(always)]
    fn block(&self) -> u64 {
        (self.capacity() / 4).clamp(1, BLOCK_SLOTS_MAX)
    }

    #[inline(always)]
    fn slot(&self, cursor: Cursor) -> &Slot {
        &self.slots[self.index(cursor)]
    }

    #[inline(always)]
    fn index(&self, cursor: Cursor) -> usize {
        cursor.0 as usize & (self.slots.len() - 1)
    }
}

#[cfg(not(loom))]
pub(crate) mod shape {
    //! What a segment's layout table needs to know of a ring.
    pub(crate) use super::slot::{Control, Slot};

    /// Bytes of a ring of this capacity: control block, then slots. `None` where that overflows.
    pub(crate) fn size_bytes(capacity: usize) -> Option<usize> {
        capacity.checked_mul(size_of::<Slot>())?.checked_add(size_of::<Control>())
    }
}
