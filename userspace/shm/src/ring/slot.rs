//! What lies in memory: a slot, its sequence word, and the control block.

use super::{Cursor, RECORD_BYTES_MAX, SLOT_PAYLOAD_BYTES, SLOT_WORDS};
use crate::sync::{AtomicU64, Ordering, Rule, fence, fence_by, keeps, ordering};
use crate::view::Shared;

/// One cache line: the sequence word and the payload.
#[derive(Default)]
#[repr(C, align(64))]
pub(crate) struct Slot {
    sequence: AtomicU64,
    payload: [AtomicU64; SLOT_WORDS],
}

/// The two cursors that are shared, each on two cache lines of its own, as processors fetch lines in
/// pairs.
#[derive(Default)]
#[repr(C, align(128))]
pub(crate) struct Control {
    /// The writer's cursor: every record before it is published. Stored by the writer after each
    /// record, in a gated ring once a block; loaded by readers that join, were lapped or take blocks.
    writer: AtomicU64,
    /// The cursor up to which a board beside the ring shows all that its records say; stored and
    /// loaded as `writer` is.
    shown: AtomicU64,
    _writer_line: [AtomicU64; 14],
    /// The gating reader's cursor: the slots before it may be rewritten.
    gate: AtomicU64,
    _gate_line: [AtomicU64; 15],
}

// SAFETY: `repr(C)`, of `AtomicU64` and an array of it; 64 bytes of fields at alignment 64.
#[allow(unsafe_code, reason = "a slot lies in shared memory")]
unsafe impl Shared for Slot {}

// SAFETY: `repr(C)`, of `AtomicU64` and arrays of it; 256 bytes of fields at alignment 128.
#[allow(unsafe_code, reason = "the control block lies in shared memory")]
unsafe impl Shared for Control {}

/// What a sequence word says of its slot, at the cursor it was last written for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Holds {
    /// Published: a record of this many bytes begins here.
    Record(usize),
    /// Published: a slot of a record that began before.
    Continuation,
    /// About to be rewritten.
    Busy,
}

/// A sequence word: cursor plus one in the upper 52 bits, so that zero is "never written", and what
/// the slot holds in the lower 12: a byte length, or one of two marks beyond any length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sequence(u64);

impl Sequence {
    const HOLDS_BITS: u32 = 12;
    const HOLDS_MASK: u64 = (1 << Self::HOLDS_BITS) - 1;
    const BUSY: u64 = Self::HOLDS_MASK;
    const CONTINUATION: u64 = Self::HOLDS_MASK - 1;

    pub(crate) fn new(cursor: Cursor, holds: Holds) -> Self {
        let holds = match holds {
            Holds::Record(length_bytes) => length_bytes as u64,
            Holds::Continuation => Self::CONTINUATION,
            Holds::Busy => Self::BUSY,
        };
        Self((cursor.get() + 1) << Self::HOLDS_BITS | holds)
    }

    /// The cursor the slot was last written for; `None` where it never was.
    pub(crate) fn cursor(self) -> Option<Cursor> {
        (self.0 >> Self::HOLDS_BITS).checked_sub(1).map(Cursor::new)
    }

    /// The bytes of the record that begins at `cursor`, where it is published. One subtraction, as every
    /// record that a gating reader takes costs it.
    #[inline(always)]
    fn length_at(self, cursor: Cursor) -> Option<usize> {
        let length_bytes = self.0.wrapping_sub((cursor.get() + 1) << Self::HOLDS_BITS);
        (1..=RECORD_BYTES_MAX as u64).contains(&length_bytes).then_some(length_bytes as usize)
    }

    /// What the slot holds. A length that no writer of ours stores reads as a continuation, so that
    /// a reader of a foreign segment steps over it.
    pub(crate) fn holds(self) -> Holds {
        match self.0 & Self::HOLDS_MASK {
            Self::BUSY => Holds::Busy,
            length_bytes @ 1.. if length_bytes <= RECORD_BYTES_MAX as u64 => {
                Holds::Record(length_bytes as usize)
            }
            _ => Holds::Continuation,
        }
    }
}

impl Slot {
    /// The sequence, and with it everything its writer did before it published (R1 and R2 of the
    /// proof in `ring`).
    #[inline(always)]
    pub(crate) fn sequence(&self) -> Sequence {
        let sequence = self.sequence.load(Ordering::Relaxed);
        fence_by(Rule::FenceAfterSequence, Ordering::Acquire);
        Sequence(sequence)
    }

    /// The bytes of the record that begins at `cursor`, and with them everything that its writer did before
    /// it published, where it has: for a gating reader, whose memory is never read-only, so that the load
    /// itself can say so, to ThreadSanitizer too.
    #[inline(always)]
    pub(crate) fn length_at(&self, cursor: Cursor) -> Option<usize> {
        let order = ordering(Rule::GatedAcquire, Ordering::Acquire);
        Sequence(self.sequence.load(order)).length_at(cursor)
    }

    /// Whether the slot still has that sequence, after everything the caller loaded before (R4 and
    /// R5).
    #[inline(always)]
    pub(crate) fn still_has(&self, sequence: Sequence) -> bool {
        fence_by(Rule::FenceBeforeRecheck, Ordering::Acquire);
        !keeps(Rule::Recheck) || self.sequence.load(Ordering::Relaxed) == sequence.0
    }

    /// Copies the payload (R3).
    #[inline(always)]
    pub(crate) fn load(&self, into: &mut [u64; SLOT_WORDS]) {
        for (word, shared) in into.iter_mut().zip(&self.payload) {
            *word = shared.load(Ordering::Relaxed);
        }
    }

    /// The payload where it lies, as plain words.
    ///
    /// # Safety
    ///
    /// Whatever wrote the payload happened before, and nothing writes it until the borrow ends.
    #[cfg(not(loom))]
    #[inline(always)]
    #[allow(unsafe_code, reason = "atomics are read as plain words while nobody writes them")]
    pub(crate) unsafe fn words(&self) -> &[u64; SLOT_WORDS] {
        // SAFETY: an `AtomicU64` has the size and the bits of a `u64`, and in a slot its alignment; a
        // plain read races with writes alone, of which the caller says that there is none.
        unsafe { &*std::ptr::from_ref(&self.payload).cast() }
    }

    /// As outside loom, but a copy: loom's atomics are no words, and it checks what the caller says.
    ///
    /// # Safety
    ///
    /// None: loom panics where it is not as above.
    #[cfg(loom)]
    #[allow(unsafe_code, reason = "the door to the check")]
    pub(crate) unsafe fn words(&self) -> [u64; SLOT_WORDS] {
        // SAFETY: loom panics instead of racing.
        self.payload.each_ref().map(|word| unsafe { word.unsync_load() })
    }

    /// Says that the slot is about to be rewritten (W1); the caller fences (W2).
    #[inline(always)]
    pub(crate) fn invalidate(&self, cursor: Cursor) {
        if keeps(Rule::Invalidate) {
            self.sequence.store(Sequence::new(cursor, Holds::Busy).0, Ordering::Relaxed);
        }
    }

    /// Rewrites the payload (W3).
    #[inline(always)]
    pub(crate) fn store(&self, words: &[u64; SLOT_WORDS]) {
        for (word, shared) in words.iter().zip(&self.payload) {
            shared.store(*word, Ordering::Relaxed);
        }
    }

    /// Marks a slot that follows the first (W4).
    #[inline(always)]
    pub(crate) fn mark_continuation(&self, cursor: Cursor) {
        self.sequence.store(Sequence::new(cursor, Holds::Continuation).0, Ordering::Relaxed);
    }

    /// Publishes the record that begins here (W5).
    #[inline(always)]
    pub(crate) fn publish(&self, cursor: Cursor, length_bytes: usize) {
        let sequence = Sequence::new(cursor, Holds::Record(length_bytes));
        self.sequence.store(sequence.0, ordering(Rule::PublishRelease, Ordering::Release));
    }
}

impl Control {
    /// The writer's cursor. Relaxed and a fence, as a reader's memory may be read-only.
    #[inline(always)]
    pub(crate) fn writer(&self) -> Cursor {
        let cursor = self.writer.load(Ordering::Relaxed);
        fence(Ordering::Acquire);
        Cursor::new(cursor)
    }

    #[inline(always)]
    pub(crate) fn set_writer(&self, cursor: Cursor) {
        self.writer.store(cursor.get(), Ordering::Release);
    }

    /// The cursor up to which a board beside the ring shows all. Relaxed and a fence, as `writer`.
    #[inline(always)]
    pub(crate) fn shown(&self) -> Cursor {
        let cursor = self.shown.load(Ordering::Relaxed);
        fence(Ordering::Acquire);
        Cursor::new(cursor)
    }

    /// A release, and an acquire above, so that both stand alone: the fences of a cell's seqlock would
    /// already keep a reader of this cursor from an older value of the cell.
    #[inline(always)]
    pub(crate) fn set_shown(&self, cursor: Cursor) {
        self.shown.store(cursor.get(), Ordering::Release);
    }

    #[inline(always)]
    pub(crate) fn gate(&self) -> Cursor {
        Cursor::new(self.gate.load(ordering(Rule::GateAcquire, Ordering::Acquire)))
    }

    #[inline(always)]
    pub(crate) fn set_gate(&self, cursor: Cursor) {
        self.gate.store(cursor.get(), ordering(Rule::GateRelease, Ordering::Release));
    }
}

/// Slots that a record of this many bytes takes.
#[inline(always)]
pub(crate) fn slots_for(length_bytes: usize) -> usize {
    length_bytes.div_ceil(SLOT_PAYLOAD_BYTES)
}

const _: () = assert!(RECORD_BYTES_MAX < Sequence::CONTINUATION as usize);

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::mem::offset_of;

    #[test]
    fn the_shapes_of_the_abi() {
        assert_eq!((size_of::<Slot>(), align_of::<Slot>()), (64, 64));
        assert_eq!((offset_of!(Slot, sequence), offset_of!(Slot, payload)), (0, 8));
        assert_eq!((size_of::<Control>(), align_of::<Control>()), (256, 128));
        assert_eq!((offset_of!(Control, writer), offset_of!(Control, shown)), (0, 8));
        assert_eq!(offset_of!(Control, gate), 128);
        assert_eq!(Sequence::new(Cursor::new(0), Holds::Record(56)).0, 0x1038);
        assert_eq!(Sequence::new(Cursor::new(4), Holds::Busy).0, 0x5fff);
        assert_eq!(Sequence::new(Cursor::new(4), Holds::Continuation).0, 0x5ffe);
    }

    #[test]
    fn a_sequence_says_what_was_put_in() {
        for holds in [Holds::Record(1), Holds::Record(1024), Holds::Continuation, Holds::Busy] {
            let cursor = Cursor::new((1 << 52) - 2);
            let sequence = Sequence::new(cursor, holds);
            assert_eq!((sequence.cursor(), sequence.holds()), (Some(cursor), holds));
        }
        assert_eq!(Sequence(0).cursor(), None);
        assert_eq!(Sequence(0x1000).holds(), Holds::Continuation);
        assert_eq!(Sequence(0x1000 + 1025).holds(), Holds::Continuation);
    }
}
