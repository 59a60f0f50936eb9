//! All books of a shard: the one entry for events.

use dbn::RecordRef;
use wirebook_hugevec::HugeVecError;
use wirebook_model::{BookState, EventHeader, RecordSink, StaleReason};

use crate::book::{Book, BookCore};
use crate::counters::Counters;
use crate::digest::{Rolling, combine};
use crate::index::{Index, Key};
use crate::ladder::{Rung, RungPool};
use crate::records::Channel;
use crate::tables::Tables;
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
        let mut bytes: Vec<usize> = Tables::bytes_for(self.orders, self.levels)?.collect();
        bytes.extend([rungs, Index::bytes_for(self.instruments)?]);
        Some(bytes)
    }

    /// Rungs for all ladders; none where a 32-bit index does not name them all.
    fn rungs(self) -> Option<usize> {
        let rungs = RungPool::rungs_for(self.instruments.checked_mul(2)?, self.levels)?;
        let named =
            rungs < u32::MAX as usize && Tables::bytes_for(self.orders, self.levels).is_some();
        named.then_some(rungs)
    }
}

/// Orders that 31-bit indices reach, with three places for two.
const ORDERS_MAX: u32 = u32::MAX / 2 / 3 * 2 - 2;

/// Why a shard's tables could not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LimitsError {
    /// A table would have more places than a 32-bit index names.
    #[error(
        "{limits:?} exceeds 32-bit indices: at most {ORDERS_MAX} orders, \
         4 levels + 16 instruments below {max} together", max = u32::MAX
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
}

pub(crate) fn instrument_key(channel: u8, instrument_id: u32) -> Key {
    Key { channel, instrument_id }
}
