//! All books of a shard: the one entry for events.

use dbn::{RecordRef, flags};
use wirebook_hugevec::HugeVecError;
use wirebook_model::{
    ALL_INSTRUMENTS, BookState, Definition, Event, EventHeader, RecordSink, StaleReason, VenueEvent,
};

use crate::book::{Book, BookCore};
use crate::counters::Counters;
use crate::digest::{Rolling, combine};
use crate::edit::Edit;
use crate::index::{Index, Key};
use crate::ladder::{Rung, RungPool};
use crate::lines::{Line, Lines};
use crate::orders::Orders;
use crate::records::{self, Channel};
use crate::slab::Slab;
use crate::tables::{LevelEntry, Tables};
use crate::tops::Telling;

/// How many channels an appliance can number.
const CHANNELS: usize = 1 << u8::BITS;

/// How much a shard holds at most. All of it is taken at start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Books.
    pub instruments: usize,
    /// Orders in all books together.
    pub orders: usize,
    /// Price levels in all books together.
    pub levels: usize,
}

impl Limits {
    /// The size of each table that books of these limits are kept in. Each lies on hugepages of its
    /// own. None where there can be no such tables ([`LimitsError::TooLarge`]).
    pub fn table_bytes(self) -> Option<Vec<usize>> {
        let rungs = self.rungs()?.checked_mul(size_of::<Rung>())?;
        let mut bytes = vec![Orders::bytes_for(self.orders)?];
        bytes.extend(Slab::<LevelEntry>::bytes_for(self.levels)?);
        bytes.extend([rungs, Index::bytes_for(self.instruments)?]);
        Some(bytes)
    }

    /// Rungs for all ladders; none where a 32-bit index does not name them all.
    fn rungs(self) -> Option<usize> {
        let rungs = RungPool::rungs_for(self.instruments.checked_mul(2)?, self.levels)?;
        let named = rungs < u32::MAX as usize && Orders::bytes_for(self.orders).is_some();
        named.then_some(rungs)
    }
}

/// Why a shard's tables could not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LimitsError {
    /// A table would have more places than a 32-bit index names.
    #[error(
        "{limits:?} exceeds 32-bit indices: orders must be below {orders_max}, \
         4 levels + 16 instruments below {max} together", max = u32::MAX, orders_max = u32::MAX / 3 * 2
    )]
    TooLarge {
        /// The limits asked for.
        limits: Limits,
    },
    /// The host has no memory for a table.
    #[error("tables for {limits:?}: {source}")]
    Memory {
        /// The limits asked for.
        limits: Limits,
        /// The table that could not be had.
        source: HugeVecError,
    },
}

/// Takes what books complete: each record with the number of its book.
pub trait BookSink {
    /// Takes a record of the book `number`; there is none where the record is of the whole channel
    /// (its instrument is `ALL_INSTRUMENTS`) or of an instrument beyond the limit.
    fn record(&mut self, number: Option<u32>, channel: u8, record: RecordRef<'_>);

    /// Learns what no record says: the state that the books of the channel or of one instrument are
    /// in from now on, or that an instrument has a book now.
    fn state(&mut self, channel: u8, instrument_id: u32, state: BookState) {
        let _ = (channel, instrument_id, state);
    }

    /// Learns that a limit kept something out of an instrument's book: see [`Books::set_over_limit`].
    fn over_limit(&mut self, channel: u8, instrument_id: u32) {
        let _ = (channel, instrument_id);
    }

    /// Takes a record that a machine behind a book made.
    fn derived(&mut self, record: RecordRef<'_>);
}

/// Records alone, for those who need not know which book they are of.
impl<S: RecordSink> BookSink for S {
    fn record(&mut self, _number: Option<u32>, _channel: u8, record: RecordRef<'_>) {
        RecordSink::record(self, record);
    }

    fn derived(&mut self, record: RecordRef<'_>) {
        RecordSink::record(self, record);
    }
}

/// The books of one shard and the tables they share.
pub struct Books {
    pub(crate) books: Vec<BookCore>,
    pub(crate) limits: Limits,
    pub(crate) tables: Tables,
    pub(crate) instruments: Index,
    pub(crate) channels: Box<[Channel; CHANNELS]>,
    /// Numbers of the books with `changed` set.
    pub(crate) changed: Vec<u32>,
    /// The best levels as last told, where they are to be told.
    pub(crate) telling: Telling,
    pub(crate) counters: Counters,
    /// The book that an event is being applied to; stays where that panics.
    pub(crate) editing: Option<u32>,
}

impl Books {
    /// An empty shard: takes all the memory that it will ever use.
    ///
    /// # Errors
    /// [`LimitsError`] where 32-bit indices do not reach or the host has no such memory.
    pub fn new(limits: Limits) -> Result<Self, LimitsError> {
        let Limits { instruments, orders, levels } = limits;
        let rungs = limits.rungs().ok_or(LimitsError::TooLarge { limits })?;
        let memory = |source| LimitsError::Memory { limits, source };
        Ok(Self {
            books: Vec::with_capacity(instruments),
            limits,
            tables: Tables::new(orders, levels, rungs).map_err(memory)?,
            instruments: Index::new(instruments).map_err(memory)?,
            channels: Box::new([Channel::default(); CHANNELS]),
            changed: Vec::with_capacity(instruments),
            telling: Telling::default(),
            counters: Counters::default(),
            editing: None,
        })
    }

    /// An empty shard that keeps the price levels of its books alone: no order has a place in a queue. The
    /// same events leave the levels that [`Books::new`] would, and their records are those of levels
    /// (`F_MBP`), as of a venue that gives levels, which names them for prices within ±2^61: see
    /// [`Books::keeps_orders`].
    ///
    /// # Errors
    /// As [`Books::new`].
    pub fn of_levels(limits: Limits) -> Result<Self, LimitsError> {
        let mut books = Self::new(limits)?;
        books.tables.queued = false;
        Ok(books)
    }

    /// True where books keep their orders in queues. Where they do not, [`Book::orders`] and
    /// [`Book::order`] give none, and [`Book::queue_position`] knows nothing.
    pub fn keeps_orders(&self) -> bool {
        self.tables.queued
    }

    /// Names the DBN publisher of a channel's records.
    pub fn set_publisher(&mut self, channel: u8, publisher_id: u16) {
        self.channels[usize::from(channel)].publisher_id = publisher_id;
    }

    /// The DBN publisher of a channel's records.
    pub fn publisher_id(&self, channel: u8) -> u16 {
        self.channels[usize::from(channel)].publisher_id
    }

    /// Says whether a book of this channel that is not live becomes so once the venue has quoted
    /// both its sides anew: for feeds of whole quotes, which need no other recovery.
    pub fn set_quotes_restore(&mut self, channel: u8, restore: bool) {
        self.channels[usize::from(channel)].quotes_restore = restore;
    }

    /// The channel is no longer received, or it is again. In between its books are stale, whatever is
    /// said of them; afterwards they wait to be told what they are.
    pub fn set_retired(&mut self, channel: u8, retired: bool) {
        self.channels[usize::from(channel)].retired = retired;
        if retired {
            self.set_quotes_restore(channel, false);
            self.set_channel_state(channel, BookState::Stale);
        }
    }

    /// Says of an instrument's book what a sink learnt as [`BookSink::over_limit`]: for books that are
    /// kept from records, which do not tell what was kept out.
    pub fn set_over_limit(&mut self, channel: u8, instrument_id: u32) {
        let header = EventHeader { channel, flags: 0, instrument_id, sequence: 0, ts_event: 0 };
        if let Some(number) = self.find_or_create(&header) {
            let book = &mut self.books[number as usize];
            book.over_limit = true;
            book.set_stale(StaleReason::Limit);
            self.mark_changed(number);
        }
    }

    /// Applies one event and writes the records it makes.
    ///
    /// Never allocates and never fails: what cannot be applied is counted, and where a limit is
    /// reached the book says so from then on.
    pub fn apply(&mut self, event: &Event, out: &mut impl BookSink) {
        self.counters.events += 1;
        let Event { header, body } = event;
        let channel = &mut self.channels[usize::from(header.channel)];
        match body {
            VenueEvent::Packet(packet) => {
                channel.packet = *packet;
                self.counters.packets += 1;
            }
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
            _ => {
                let books = self.books.len();
                if let Some(number) = self.find_or_create(header) {
                    if self.books.len() != books {
                        self.tell_state(number, out);
                    }
                    self.edit(number, header, body, out);
                }
            }
        }
    }

    /// The book of an instrument.
    pub fn get(&self, channel: u8, instrument_id: u32) -> Option<Book<'_>> {
        self.find(channel, instrument_id).map(|number| self.book(number))
    }

    /// The book of this number ([`Book::number`]).
    pub fn by_number(&self, number: u32) -> Option<Book<'_>> {
        let core = self.books.get(number as usize)?;
        Some(Book { number, core, tables: &self.tables })
    }

    /// All books, in the order of their first event.
    pub fn iter(&self) -> impl Iterator<Item = Book<'_>> {
        (0..self.books.len() as u32).map(|number| self.book(number))
    }

    /// Visits each book of which an event ended or the state changed since the last call, with
    /// its number (its place in [`Books::iter`]). A live book inside a venue's event waits for the
    /// end of it; one that is not live does not, as a gap may have cut the event short. True where
    /// none waits.
    pub fn drain_changed(&mut self, mut visit: impl FnMut(usize, Book<'_>)) -> bool {
        let mut waiting = 0;
        for at in 0..self.changed.len() {
            let number = self.changed[at];
            let book = &self.books[number as usize];
            if book.open && book.state == BookState::Live {
                self.changed[waiting] = number;
                waiting += 1;
            } else {
                self.books[number as usize].changed = false;
                visit(number as usize, self.book(number));
            }
        }
        self.changed.truncate(waiting);
        waiting == 0
    }

    /// (channel, instrument id, digest) of each book of which a record ever left: what [`combine`]
    /// takes. A book that was only defined says no more than the directory, which a recording of
    /// `MboMsg`s does not repeat.
    pub fn digests(&self) -> impl Iterator<Item = (u8, u32, u64)> {
        self.iter()
            .filter(|book| book.core.records != Rolling::default())
            .map(|book| (book.channel(), book.instrument_id(), book.digest()))
    }

    /// The digest of all books together: [`combine`] of [`Books::digests`].
    pub fn digest(&self) -> u64 {
        combine(self.digests())
    }

    /// What was counted since the start.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The limits that the shard was made with.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// Bytes that the books and their tables take, all of them from the start.
    pub fn memory_bytes(&self) -> usize {
        let books = self.limits.instruments * size_of::<BookCore>();
        books + self.tables.memory_bytes() + self.instruments.memory_bytes()
    }

    /// How much of the limits is in use now.
    pub fn in_use(&self) -> Limits {
        Limits {
            instruments: self.books.len(),
            orders: self.tables.orders.in_use(),
            levels: self.tables.levels.in_use(),
        }
    }

    pub(crate) fn book(&self, number: u32) -> Book<'_> {
        Book { number, core: &self.books[number as usize], tables: &self.tables }
    }

    pub(crate) fn find(&self, channel: u8, instrument_id: u32) -> Option<u32> {
        self.instruments.get(instrument_key(channel, instrument_id)).map(|value| value - 1)
    }

    /// The book of the header's instrument; `None`, counted, where no book is left for it.
    fn find_or_create(&mut self, header: &EventHeader) -> Option<u32> {
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

    fn set_channel_state(&mut self, channel: u8, state: BookState) {
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
                self.edit(number, &header, &VenueEvent::Clear, out);
            }
        }
    }

    fn edit(
        &mut self,
        number: u32,
        header: &EventHeader,
        body: &VenueEvent,
        out: &mut impl BookSink,
    ) {
        if self.books[number as usize].quarantined {
            self.counters.quarantined_events += 1;
            return;
        }
        self.editing = Some(number);
        let BookCore { state, over_limit, .. } = self.books[number as usize];
        let lines = Edit {
            number,
            book: &mut self.books[number as usize],
            tables: &mut self.tables,
            counters: &mut self.counters,
            snapshot: header.flags & flags::SNAPSHOT != 0,
            quotes_restore: self.channels[usize::from(header.channel)].quotes_restore,
            lines: Lines::new(),
        }
        .apply(body);
        let book = &self.books[number as usize];
        if book.over_limit && !over_limit {
            out.over_limit(book.channel, book.instrument_id);
        }
        if book.state != state {
            self.tell_state(number, out);
        }
        self.complete(number, header, lines, out);
        self.editing = None;
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
            self.complete(number, header, Lines::new(), out);
            self.editing = None;
        }
    }

    /// Makes records of the lines, `F_LAST` on the last one where the event has it.
    fn complete(
        &mut self,
        number: u32,
        header: &EventHeader,
        mut lines: Lines,
        out: &mut impl BookSink,
    ) {
        let last = header.flags & flags::LAST != 0;
        let book = &mut self.books[number as usize];
        book.sequence = header.sequence;
        book.ts_event = header.ts_event;
        book.ts_recv = self.channels[usize::from(header.channel)].packet.ts_recv;
        if last && book.open && lines.as_slice().is_empty() {
            lines.push(Line::close());
        }
        let mut record_flags = header.flags & !flags::LAST;
        if book.state != BookState::Live {
            record_flags |= flags::MAYBE_BAD_BOOK;
        }
        let channel = &self.channels[usize::from(header.channel)];
        let ts_in_delta = channel.ts_in_delta(header.ts_event);
        let mut left = lines.as_slice().len();
        for line in lines.as_slice() {
            left -= 1;
            let ends_event = if last && left == 0 { flags::LAST } else { 0 };
            let record = records::mbo(
                channel,
                header,
                line,
                record_flags | line.flags | ends_event,
                ts_in_delta,
            );
            book.records.record(&record);
            book.open = !last;
            self.counters.records += 1;
            out.record(Some(number), header.channel, RecordRef::from(&record));
            self.telling.record(number, &record, out);
        }
        if last {
            let core = &self.books[number as usize];
            self.telling.event_end(Book { number, core, tables: &self.tables }, out);
            self.mark_changed(number);
            let book = self.book(number);
            let crossed = !book.core.gathering && book.crossed();
            self.counters.crossed_events += u64::from(crossed);
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

    pub(crate) fn mark_changed(&mut self, number: u32) {
        let book = &mut self.books[number as usize];
        if !book.changed {
            book.changed = true;
            self.changed.push(number);
        }
    }
}

pub(crate) fn instrument_key(channel: u8, instrument_id: u32) -> Key {
    Key { channel, instrument_id }
}
