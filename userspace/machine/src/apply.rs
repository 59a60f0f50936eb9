//! Applies one event to the books of a shard, and completes the records that it makes.
//!
//! Arrives: an event, with or without a claim of where it belongs. Leaves: the book changed, and its
//! records in the sink, `F_LAST` on the last of an event's. Promises: nothing is allocated and nothing
//! fails; what cannot be applied is counted, and where a limit is reached the book says so from then on.

use dbn::{RecordRef, flags};
use wirebook_model::{
    ALL_INSTRUMENTS, BookState, Definition, Event, EventHeader, PackedEvent, StaleReason,
    VenueEvent,
};

use crate::book::{Book, BookCore};
use crate::books::{BookSink, Books, instrument_key};
use crate::edit::Edit;
use crate::expect::{Expected, Place, Waiting};
use crate::hash_table::NIL;
use crate::lines::{Line, Lines};
use crate::records::{self, Channel};

impl Books {
    /// Applies one event and writes the records it makes.
    ///
    /// Never allocates and never fails: what cannot be applied is counted, and where a limit is
    /// reached the book says so from then on.
    pub fn apply(&mut self, Event { header, body }: &Event, out: &mut impl BookSink) {
        self.counters.events += 1;
        if let VenueEvent::Packet(packet) = body {
            self.channels[usize::from(header.channel)].packet = *packet;
            self.counters.packets += 1;
        } else {
            self.apply_to_books(header, body, out);
        }
    }

    /// Applies an event that was looked ahead to, as [`Books::apply`] would.
    #[inline]
    pub fn apply_expected(&mut self, expected: &Expected, out: &mut impl BookSink) {
        match &expected.event {
            Waiting::Packed(packed) => self.apply_packed(packed, expected.place, out),
            Waiting::Whole(event) => self.apply(event, out),
        }
    }

    /// Applies what comes with every order: what it is is looked at once.
    #[inline]
    fn apply_packed(&mut self, event: &PackedEvent, place: Place, out: &mut impl BookSink) {
        let header = &event.header();
        if (place.book as usize) < self.books.len() {
            self.counters.events += 1;
            self.edit(place.book, header, place.order, |edit| edit.apply_packed(event), out);
        } else {
            self.apply(&event.into(), out);
        }
    }

    #[inline(never)]
    fn apply_to_books(&mut self, header: &EventHeader, body: &VenueEvent, out: &mut impl BookSink) {
        let channel = &self.channels[usize::from(header.channel)];
        match body {
            VenueEvent::State(state) => {
                out.state(header.channel, header.instrument_id, *state);
                self.set_state(header, *state);
            }
            VenueEvent::EndOfInterval => {
                let record = records::end_of_interval(channel.publisher_id, header.ts_event);
                let header = EventHeader { instrument_id: ALL_INSTRUMENTS, ..*header };
                self.send(&header, RecordRef::from(&record), out);
            }
            VenueEvent::Status(status) => {
                let record = records::status(channel, header, status);
                self.send(header, RecordRef::from(&record), out);
                self.set_phase(header, status.action);
                self.close(header, out);
            }
            VenueEvent::Statistic(statistic) => {
                let record = records::statistic(channel, header, statistic);
                self.send(header, RecordRef::from(&record), out);
                self.close(header, out);
            }
            VenueEvent::Clear if header.instrument_id == ALL_INSTRUMENTS => {
                self.clear_channel(header, out);
            }
            _ if header.instrument_id == ALL_INSTRUMENTS => self.counters.bad_events += 1,
            VenueEvent::Imbalance(imbalance) => {
                let record = records::imbalance(channel, header, imbalance);
                self.send(header, RecordRef::from(&record), out);
                self.close(header, out);
            }
            VenueEvent::Definition(definition) => {
                let record = records::definition(channel, header, definition);
                self.define(header, definition);
                self.send(header, RecordRef::from(&record), out);
                self.close(header, out);
            }
            _ => self.edit_or_create(header, body, out),
        }
    }

    /// Applies an event to its book, which may be new.
    fn edit_or_create(&mut self, header: &EventHeader, body: &VenueEvent, out: &mut impl BookSink) {
        let books = self.books.len();
        if let Some(number) = self.find_or_create(header) {
            if self.books.len() != books {
                self.tell_state(number, out);
            }
            self.edit(number, header, NIL, |edit| edit.apply(body), out);
        }
    }

    /// Applies an event to the book of this number; `near` is the order that it most likely names.
    #[inline]
    fn edit(
        &mut self,
        number: u32,
        header: &EventHeader,
        near: u32,
        apply: impl FnOnce(&mut Edit<'_>),
        out: &mut impl BookSink,
    ) {
        let book = &mut self.books[number as usize];
        if book.quarantined {
            self.counters.quarantined_events += 1;
            return;
        }
        self.editing = Some(number);
        let (state, over_limit) = (book.state, book.over_limit);
        let moves = self.tables.moves;
        let mut lines = Lines::new();
        apply(&mut Edit {
            number,
            near,
            book,
            tables: &mut self.tables,
            counters: &mut self.counters,
            snapshot: header.flags & flags::SNAPSHOT != 0,
            channel: &self.channels[usize::from(header.channel)],
            lines: &mut lines,
        });
        if self.tables.moves != moves {
            book.crossed = self.tables.rungs.crossed(&book.ladders);
        }
        if (book.state, book.over_limit) != (state, over_limit) {
            self.tell_doubt(number, state, over_limit, out);
        }
        self.complete(number, header, &mut lines, out);
        self.editing = None;
    }

    /// Tells what an event has made of the trust in a book.
    #[cold]
    fn tell_doubt(&self, number: u32, state: BookState, over_limit: bool, out: &mut impl BookSink) {
        let book = &self.books[number as usize];
        if book.over_limit && !over_limit {
            out.over_limit(book.channel, book.instrument_id);
        }
        if book.state != state {
            self.tell_state(number, out);
        }
    }

    #[cold]
    fn tell_state(&self, number: u32, out: &mut impl BookSink) {
        let BookCore { channel, instrument_id, state, .. } = self.books[number as usize];
        out.state(channel, instrument_id, state);
    }

    /// Where a message without lines ends a venue's event, ends it for the readers too.
    fn close(&mut self, header: &EventHeader, out: &mut impl BookSink) {
        if header.flags & flags::LAST != 0
            && let Some(number) = self.find(header.channel, header.instrument_id)
        {
            self.editing = Some(number);
            self.complete(number, header, &mut Lines::new(), out);
            self.editing = None;
        }
    }

    /// Makes records of the lines, `F_LAST` on the last one where the event has it.
    #[inline]
    fn complete(
        &mut self,
        number: u32,
        header: &EventHeader,
        lines: &mut Lines,
        out: &mut impl BookSink,
    ) {
        let last = header.flags & flags::LAST != 0;
        let channel = &self.channels[usize::from(header.channel)];
        let book = &mut self.books[number as usize];
        book.sequence = header.sequence;
        book.ts_event = header.ts_event;
        book.ts_recv = channel.packet.ts_recv;
        if last && book.open && lines.is_empty() {
            lines.push(Line::close());
        }
        if !lines.is_empty() {
            book.open = !last;
            self.counters.records += lines.len() as u64;
        }
        let doubt = if book.state == BookState::Live { 0 } else { flags::MAYBE_BAD_BOOK };
        let flags = header.flags & !flags::LAST | doubt;
        let ts_in_delta = channel.ts_in_delta(header.ts_event);
        for (at, line) in lines.iter().enumerate() {
            let ends_event = if last && at + 1 == lines.len() { flags::LAST } else { 0 };
            let record =
                records::mbo(channel, header, line, flags | line.flags | ends_event, ts_in_delta);
            book.records.record(&record);
            out.record(Some(number), header.channel, RecordRef::from(&record));
            if self.telling.is_telling() {
                self.telling.record(number, &record, out);
            }
        }
        if last {
            self.end_event(number, out);
        }
    }

    /// A venue's event is over, and has left this book.
    #[inline]
    fn end_event(&mut self, number: u32, out: &mut impl BookSink) {
        self.mark_changed(number);
        let core = &self.books[number as usize];
        self.counters.crossed_events += u64::from(core.crossed & !core.gathering);
        if self.telling.is_telling() {
            self.telling.event_end(Book { number, core, tables: &self.tables }, out);
        }
    }

    /// Sends a record that is no order's or level's. An instrument's first record gives it its book.
    fn send(&mut self, header: &EventHeader, record: RecordRef<'_>, out: &mut impl BookSink) {
        self.counters.records += 1;
        let number = match header.instrument_id {
            ALL_INSTRUMENTS => None,
            _ => self.find_or_create(header),
        };
        self.editing = number;
        out.record(number, header.channel, record);
        self.editing = None;
    }

    /// The book of the header's instrument; `None`, counted, where no book is left for it.
    pub(crate) fn find_or_create(&mut self, header: &EventHeader) -> Option<u32> {
        let EventHeader { channel, instrument_id, .. } = *header;
        if let Some(number) = self.find(channel, instrument_id) {
            return Some(number);
        }
        if self.books.len() == self.limits.instruments {
            self.counters.instrument_limit_hits += 1;
            return None;
        }
        let number = self.books.len() as u32;
        let Channel { state, gathering, .. } = self.channels[usize::from(channel)];
        self.books.push(BookCore { gathering, ..BookCore::new(channel, instrument_id, state) });
        self.instruments.insert(instrument_key(channel, instrument_id), number + 1);
        Some(number)
    }

    fn set_state(&mut self, header: &EventHeader, state: BookState) {
        if header.instrument_id != ALL_INSTRUMENTS {
            if let Some(number) = self.find_or_create(header) {
                self.set_book_state(number, state);
            }
            return;
        }
        self.set_channel_state(header.channel, state);
    }

    pub(crate) fn set_channel_state(&mut self, channel: u8, state: BookState) {
        self.channels[usize::from(channel)].state = state;
        for number in 0..self.books.len() as u32 {
            if self.books[number as usize].channel == channel {
                self.set_book_state(number, state);
            }
        }
    }

    fn set_book_state(&mut self, number: u32, state: BookState) {
        let book = &mut self.books[number as usize];
        if book.quarantined {
            return;
        }
        if self.channels[usize::from(book.channel)].retired {
            book.set_stale(StaleReason::Removed);
        } else {
            book.set_state(state);
        }
        self.mark_changed(number);
    }

    fn define(&mut self, header: &EventHeader, definition: &Definition) {
        if let Some(number) = self.find_or_create(header) {
            self.books[number as usize].symbol = definition.symbol;
            self.mark_changed(number);
        }
    }

    fn clear_channel(&mut self, header: &EventHeader, out: &mut impl BookSink) {
        for number in 0..self.books.len() as u32 {
            let BookCore { channel, instrument_id, .. } = self.books[number as usize];
            if channel == header.channel {
                let header = EventHeader { instrument_id, ..*header };
                self.edit(number, &header, NIL, |edit| edit.apply(&VenueEvent::Clear), out);
            }
        }
    }

    #[inline]
    pub(crate) fn mark_changed(&mut self, number: u32) {
        let book = &mut self.books[number as usize];
        if !book.changed {
            book.changed = true;
            self.changed.push(number);
        }
    }
}
