//! Our decoder and books on one thread: message by message, or a packet at a time.

use crate::feed::Part;
use wirebook_machine::{Books, Limits, LimitsError, LookAhead};
use wirebook_model::{Event, EventSink, PackedEvent};
use wirebook_simulator::DayConfig;
use wirebook_wire::{Decoded, Decoder, Protocol};

/// A decoder and the books behind it.
pub struct DecodedBooks {
    decoder: Decoder,
    books: Books,
    /// The events of one packet.
    ahead: LookAhead,
}

struct IntoAhead<'a>(&'a mut LookAhead, &'a Books);

impl EventSink for IntoAhead<'_> {
    #[inline]
    fn event(&mut self, event: &Event) {
        self.0.push(self.1, event);
    }

    #[inline]
    fn packed(&mut self, event: &PackedEvent) {
        self.0.push_packed(self.1, event);
    }
}

struct IntoBooks<'a>(&'a mut Books);

impl EventSink for IntoBooks<'_> {
    #[inline]
    fn event(&mut self, event: &Event) {
        self.0.apply(event, &mut ());
    }
}

/// Limits with room for a day: a quarter more orders than it has at its peak, and levels for a hundred
/// prices of each instrument or, where many orders share few instruments, for each fourth of its orders:
/// one order in sixteen is far from the best, where it is alone.
pub fn limits_of(day: &DayConfig) -> Limits {
    let orders = day.live_orders as usize * 5 / 4 + 10_000;
    let levels = (100 * usize::from(day.instruments) + 100_000).max(orders / 4).min(orders);
    Limits { instruments: usize::from(day.instruments), orders, levels }
}

impl DecodedBooks {
    /// Books of these limits, empty.
    ///
    /// # Errors
    /// Fails where the host has no such memory.
    pub fn new(limits: Limits) -> Result<Self, LimitsError> {
        Books::new(limits).map(Self::before)
    }

    /// The same, with books of levels alone.
    ///
    /// # Errors
    /// Fails where the host has no such memory.
    pub fn of_levels(limits: Limits) -> Result<Self, LimitsError> {
        Books::of_levels(limits).map(Self::before)
    }

    fn before(books: Books) -> Self {
        let decoder = Decoder::new(Protocol::Itch50, 0, wirebook_wire::Limits::default());
        Self { decoder, books, ahead: LookAhead::with_capacity(1 << 10) }
    }

    /// The books.
    pub fn books(&self) -> &Books {
        &self.books
    }

    /// Takes messages as they come.
    pub fn take(&mut self, part: &Part) {
        let Self { decoder, books, .. } = self;
        for packet in part.packets() {
            let messages = packet.blocks.map_while(Result::ok);
            for (sequence, message) in (packet.sequence..).zip(messages) {
                let decoded = decoder.decode(message, sequence, &mut IntoBooks(books));
                assert!(decoded == Decoded::Known, "a generated day has known messages alone");
            }
        }
    }

    /// Takes a packet at a time: decodes all of it, and brings near what its later events need while it
    /// applies the earlier ones.
    pub fn take_ahead(&mut self, part: &Part) {
        let Self { decoder, books, ahead } = self;
        for packet in part.packets() {
            let messages = packet.blocks.map_while(Result::ok);
            let run = decoder.decode_run(messages, packet.sequence, &mut IntoAhead(ahead, books));
            assert!(run.unknown == 0 && !run.malformed, "a generated day has known messages alone");
            books.apply_all(ahead, &mut ());
        }
    }

    /// Fails where a book is not whole: then less work was done than was to be measured.
    pub fn assert_whole(&self) {
        let counters = self.books.counters().named();
        let is_expected = |name| matches!(name, "events" | "packets" | "records");
        let wrong: Vec<_> =
            counters.filter(|&(name, count)| count > 0 && !is_expected(name)).collect();
        assert!(wrong.is_empty(), "{wrong:?}");
    }
}
