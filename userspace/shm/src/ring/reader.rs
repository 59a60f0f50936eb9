//! The reading ends of a ring: [`GatingReader`] holds its writer back, [`ObservingReader`] is lapped.

use zerocopy::IntoBytes;

use super::slot::{Holds, slots_for};
use super::{Cursor, RECORD_SLOTS_MAX, Ring, SLOT_PAYLOAD_BYTES, SLOT_WORDS};

/// One record, copied out of the ring.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    cursor: Cursor,
    words: &'a [u64],
    length_bytes: usize,
}

impl<'a> Record<'a> {
    /// Where in the ring it began.
    pub fn cursor(&self) -> Cursor {
        self.cursor
    }

    /// Its 64-bit words; the last is filled up with zero bytes where the length is no multiple of 8.
    pub fn words(&self) -> &'a [u64] {
        self.words
    }

    /// Its bytes, eight-byte aligned.
    pub fn bytes(&self) -> &'a [u8] {
        &self.words.as_bytes()[..self.length_bytes]
    }
}

/// The reader that a [`GatedWriter`](super::GatedWriter) waits for.
pub struct GatingReader {
    ring: Ring,
    cursor: Cursor,
    /// The cursor as last given back to the writer.
    released: Cursor,
    /// Where to ask how far the writer has come, before the slot there is looked at.
    ask_at: Cursor,
    /// Whether the writer has said that everything before `ask_at` is published.
    is_behind: bool,
    copy: Copy,
}

impl GatingReader {
    /// Times that a reader asks how far the writer has come before it looks at the next slot after all:
    /// about as long as a fast writer takes for a block.
    const PATIENCE: u32 = if cfg!(loom) { 1 } else { 64 };

    pub(crate) fn new(ring: Ring) -> Self {
        let start = Cursor::default();
        let copy = Copy::new();
        Self { ring, cursor: start, released: start, ask_at: start, is_behind: false, copy }
    }

    /// The next record, or `None` where the writer has published no more.
    ///
    /// The slots of popped records stay with the reader, so that it shares its cursor once a batch:
    /// until [`release`](Self::release), or until `pop` finds the ring empty.
    #[inline]
    pub fn pop(&mut self) -> Option<Record<'_>> {
        if self.cursor >= self.ask_at {
            self.await_block();
        }
        let first = self.cursor;
        let Some(length_bytes) = self.ring.slot(first).length_at(first) else {
            self.release();
            self.ask_at = first.after(self.ring.block());
            self.is_behind = false;
            return None;
        };
        let slots = self.copy.take(&self.ring, first, length_bytes);
        self.cursor = first.after(slots);
        Some(self.copy.record(first, length_bytes))
    }

    /// Gives away the next records, `most` of them at most, and says how many: [`pop`](Self::pop) for
    /// many, which spares the copy of those that have one slot, as `take` sees them where they lie.
    #[inline]
    pub fn pop_each(&mut self, most: usize, mut take: impl FnMut(Record<'_>)) -> usize {
        let mut taken = 0;
        while taken < most
            && let Some(record) = self.pop()
        {
            take(record);
            taken += 1;
            if self.is_behind {
                taken += self.pop_short(most - taken, &mut take);
            }
        }
        taken
    }

    /// As [`pop_each`](Self::pop_each), up to a record of several slots, the end of what is published or
    /// of a block. Nothing in the loop but its cursor goes from one record to the next.
    #[inline(always)]
    #[allow(unsafe_code, reason = "the words are read where they lie")]
    fn pop_short(&mut self, most: usize, take: &mut impl FnMut(Record<'_>)) -> usize {
        let first = self.cursor;
        let end = first.after(most as u64).min(self.ask_at);
        let mut cursor = first;
        while cursor < end {
            let slot = self.ring.slot(cursor);
            let Some(length_bytes @ ..=SLOT_PAYLOAD_BYTES) = slot.length_at(cursor) else {
                break;
            };
            // SAFETY: by the sequence, the writing of the payload happened before. A ring has one writer,
            // here a `GatedWriter`, which writes the slot again only after it has seen a gate past it.
            // The gate moves in `release` alone, and `self` is borrowed here.
            let words = unsafe { slot.words() };
            let words = &words[..length_bytes.div_ceil(8)];
            take(Record { cursor, words, length_bytes });
            cursor = cursor.after(1);
        }
        self.cursor = cursor;
        (cursor.0 - first.0) as usize
    }

    /// Waits, but not for long, until the writer says that there is more. `ring` says why.
    #[inline(never)]
    fn await_block(&mut self) {
        for _ in 0..Self::PATIENCE {
            let writer = self.ring.control().writer();
            if writer > self.cursor {
                self.ask_at = writer;
                self.is_behind = true;
                return;
            }
            std::hint::spin_loop();
        }
        self.ask_at = self.cursor.after(self.ring.block());
        self.is_behind = false;
    }

    /// Gives the slots of all popped records back to the writer.
    #[inline]
    pub fn release(&mut self) {
        if self.released != self.cursor {
            self.ring.control().set_gate(self.cursor);
            self.released = self.cursor;
        }
    }

    /// Where the next record will be read.
    pub fn cursor(&self) -> Cursor {
        self.cursor
    }
}

/// What an observing reader found.
#[derive(Clone, Copy, Debug)]
pub enum Observed<'a> {
    /// The next record.
    Record(Record<'a>),
    /// Nothing new yet.
    Empty,
    /// The writer has lapped the reader, which now stands at the newest safe cursor.
    Overrun {
        /// Slots between where it stood and where it stands.
        missed_slots: u64,
    },
}

/// A reader that the writer does not know of. It writes nothing; one that falls behind by more than
/// the capacity is told so and loses what lies between.
#[derive(Clone)]
pub struct ObservingReader {
    ring: Ring,
    cursor: Cursor,
    overruns: u64,
    missed_slots: u64,
    copy: Copy,
    /// What lies in `copy`: where it began, and its bytes.
    last: (Cursor, usize),
}

impl ObservingReader {
    /// A reader that begins with the next record to be published.
    pub(crate) fn new(ring: Ring) -> Self {
        let cursor = ring.control().writer();
        let last = (cursor, 0);
        Self { ring, cursor, overruns: 0, missed_slots: 0, copy: Copy::new(), last }
    }

    /// The next record, or that there is none yet, or that the reader was lapped.
    #[inline]
    pub fn poll(&mut self) -> Observed<'_> {
        loop {
            let first = self.cursor;
            let slot = self.ring.slot(first);
            let sequence = slot.sequence();
            match sequence.cursor() {
                Some(written) if written > first => return self.overrun(),
                Some(written) if written == first => {}
                _ => return Observed::Empty,
            }
            match sequence.holds() {
                Holds::Busy => return Observed::Empty,
                // A cursor from outside may fall inside a record. Each turn moves on by a slot, and
                // a record has few.
                Holds::Continuation => self.cursor = first.after(1),
                Holds::Record(length_bytes) => {
                    let slots = self.copy.take(&self.ring, first, length_bytes);
                    if !slot.still_has(sequence) {
                        self.last = (first, 0);
                        return self.overrun();
                    }
                    self.cursor = first.after(slots);
                    self.last = (first, length_bytes);
                    return Observed::Record(self.copy.record(first, length_bytes));
                }
            }
        }
    }

    /// The record that [`poll`](Self::poll) gave last, out of this reader's own copy; empty before the
    /// first, and where an overrun tore it.
    #[inline]
    pub fn last(&self) -> Record<'_> {
        let (cursor, length_bytes) = self.last;
        self.copy.record(cursor, length_bytes)
    }

    /// The cursor up to which the board beside this ring shows all that the records say: a cell read
    /// after this holds every record of its instrument before that cursor.
    pub fn shown(&self) -> Cursor {
        self.ring.control().shown()
    }

    /// Goes on at `cursor`, as a board's cell names it. One already overwritten shows as an overrun
    /// in the next poll, one not yet written as an empty ring until it is.
    pub fn seek(&mut self, cursor: Cursor) {
        self.cursor = cursor;
    }

    /// Goes on at the next record to be published.
    pub fn seek_newest(&mut self) {
        self.cursor = self.ring.control().writer();
    }

    /// Where the next record will be read.
    pub fn cursor(&self) -> Cursor {
        self.cursor
    }

    /// How often the writer has lapped this reader.
    pub fn overruns(&self) -> u64 {
        self.overruns
    }

    /// How many slots this reader has missed by that, in all.
    pub fn missed_slots(&self) -> u64 {
        self.missed_slots
    }

    /// Goes on at the writer's cursor, the end of the last whole record. Where that store is not
    /// visible yet although a newer slot was, there is nothing safe to read: the next poll asks again.
    #[cold]
    fn overrun(&mut self) -> Observed<'_> {
        let newest = self.ring.control().writer();
        if newest <= self.cursor {
            return Observed::Empty;
        }
        let missed_slots = newest.get() - self.cursor.get();
        self.cursor = newest;
        self.overruns += 1;
        self.missed_slots = self.missed_slots.saturating_add(missed_slots);
        Observed::Overrun { missed_slots }
    }
}

/// A reader's own copy of one record.
#[derive(Clone)]
struct Copy {
    slots: [[u64; SLOT_WORDS]; RECORD_SLOTS_MAX],
}

impl Copy {
    fn new() -> Self {
        Self { slots: [[0; SLOT_WORDS]; RECORD_SLOTS_MAX] }
    }

    /// Copies a record's slots, and says how many. Its length is at most `RECORD_BYTES_MAX`, as
    /// `Sequence::holds` sees to it.
    ///
    /// The short case is a branch of its own: a processor guesses a branch and goes on with the next
    /// record while this one's cache line is still on its way, where it would wait for a cursor that is
    /// computed from the length.
    #[inline(always)]
    fn take(&mut self, ring: &Ring, first: Cursor, length_bytes: usize) -> u64 {
        if length_bytes <= SLOT_PAYLOAD_BYTES {
            ring.slot(first).load(&mut self.slots[0]);
            return 1;
        }
        self.take_long(ring, first, length_bytes)
    }

    #[inline(never)]
    fn take_long(&mut self, ring: &Ring, first: Cursor, length_bytes: usize) -> u64 {
        let slots = slots_for(length_bytes);
        for (nth, into) in self.slots[..slots].iter_mut().enumerate() {
            ring.slot(first.after(nth as u64)).load(into);
        }
        slots as u64
    }

    #[inline(always)]
    fn record(&self, cursor: Cursor, length_bytes: usize) -> Record<'_> {
        let words = &self.slots.as_flattened()[..length_bytes.div_ceil(8)];
        Record { cursor, words, length_bytes }
    }
}
