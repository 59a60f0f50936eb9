//! A ring of one thread, for events that are decoded and go nowhere.
//!
//! Arrives: events. Leaves: nothing, but each is whole in memory, and nobody can tell that it is not
//! wanted. Promises: the first-level cache has room for it beside what is decoded.

use std::hint::black_box;
use wirebook_model::{EVENT_WORDS, Event, EventSink, PackedEvent};

/// How many events are kept: those of some packets.
const SLOTS: usize = 256;

/// Takes each event as a shard's mailbox does: in words, in the next slot.
pub struct Slots {
    slots: Box<[Slot; SLOTS]>,
    next: usize,
}

/// One event, or half of one of the few that take two.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Slot(
    #[expect(dead_code, reason = "that it is in memory is all that is wanted")] [u64; EVENT_WORDS],
);

impl Default for Slots {
    fn default() -> Self {
        Self { slots: Box::new([Slot([0; EVENT_WORDS]); SLOTS]), next: 0 }
    }
}

impl Slots {
    /// Ends a packet: from here on its events may be read.
    #[inline]
    pub fn end_packet(&mut self) {
        black_box(&mut self.slots);
    }
}

impl EventSink for Slots {
    #[inline]
    fn event(&mut self, event: &Event) {
        for words in event.encode().as_slice().as_chunks().0 {
            self.slots[self.next % SLOTS] = Slot(*words);
            self.next += 1;
        }
    }

    #[inline]
    fn packed(&mut self, event: &PackedEvent) {
        self.packed_all(&mut std::iter::once(*event));
    }

    #[inline]
    fn packed_all(&mut self, events: &mut impl Iterator<Item = PackedEvent>) {
        let mut next = self.next;
        for event in events {
            self.slots[next % SLOTS] = Slot(*event.words());
            next += 1;
        }
        self.next = next;
    }
}
