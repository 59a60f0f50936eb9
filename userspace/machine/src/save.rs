//! Books as bytes, and back.
//!
//! Arrives: the books of a shard, or bytes that [`Books::save`] wrote. Leaves: bytes from which
//! [`Books::restore`] makes books that go on exactly as those would have: the same digests, book
//! numbers and queue positions now, the same records and digests for all events to come. For that,
//! where the sorted prices lie in their pool is saved too: the pool runs out where it would have.
//!
//! Bytes are claims until checked. Whatever they are, restoring ends in books that could have been,
//! or in a [`RestoreError`]; it takes no more memory than the limits and the bytes name.
//!
//! ```text
//! Header          magic, version, length
//! Totals          what the limits must have room for
//! SavedChannel    × 256
//! U64             × Counters::COUNT
//! SavedExtent     × 2 a book (bids, asks), then × free extents
//! SavedBook       × books, each with its bids, then its asks, worst level first:
//!   SavedLevel      each with its orders, first in priority first:
//!     SavedOrder
//! U32             CRC-32 (IEEE 802.3) of all before it
//! ```

mod format;
mod reader;

use wirebook_model::dbn::UNDEF_PRICE;
use wirebook_model::{BookState, Side, StaleReason, Symbol};
use zerocopy::little_endian::{U32, U64};
use zerocopy::{Immutable, IntoBytes};

use crate::book::{BookCore, LastTrade};
use crate::books::{Books, Limits, instrument_key};
use crate::counters::Counters;
use crate::digest::Rolling;
use crate::ladder::{Extent, Ladder};
use crate::orders::OrderKey;
use crate::side::RestingSide;
use crate::tables::Terms;
use format::{Header, SavedBook, SavedChannel, SavedExtent, SavedLevel, SavedOrder, Totals};
pub use reader::RestoreError;
use reader::{CHECKSUM_BYTES, MAGIC, Reader, VERSION, inconsistent};

/// No counter gets so far, so those of all shards can be added too.
const COUNTED_MAX: u64 = u64::MAX >> 16;

impl Books {
    /// Appends these books to `bytes`, as [`Books::restore`] takes them. Takes a step for each
    /// order; allocates where `bytes` has no room.
    pub fn save(&self, bytes: &mut Vec<u8>) {
        let start = bytes.len();
        put(bytes, &self.header(0));
        put(bytes, &self.totals());
        for channel in self.channels.iter() {
            put(bytes, &SavedChannel::of(channel));
        }
        for (_, value) in self.counters.named() {
            put(bytes, &U64::new(value));
        }
        for ladder in self.books.iter().flat_map(|book| book.ladders) {
            put(bytes, &SavedExtent::of(ladder.extent()));
        }
        for extent in self.tables.rungs.free_extents() {
            put(bytes, &SavedExtent::of(Some(extent)));
        }
        let counted = self.counted();
        for book in &self.books {
            put(bytes, &SavedBook::of(book));
            for ladder in &book.ladders {
                self.save_side(ladder, &counted, bytes);
            }
        }
        let length_bytes = bytes.len() - start + CHECKSUM_BYTES;
        let header = self.header(length_bytes as u64);
        bytes[start..start + size_of::<Header>()].copy_from_slice(header.as_bytes());
        let checksum = crc32fast::hash(&bytes[start..]);
        put(bytes, &U32::new(checksum));
    }

    /// The books that `bytes` are, in tables of these limits. All of them are changed for
    /// [`Books::drain_changed`], as nobody has seen them yet.
    ///
    /// # Errors
    /// [`RestoreError`] where the bytes are not what [`Books::save`] wrote, where the limits have
    /// no room for it, or where the host has none for the limits.
    pub fn restore(limits: Limits, bytes: &[u8]) -> Result<Self, RestoreError> {
        let mut reader = Reader::new(bytes)?;
        let totals: Totals = reader.take()?;
        let mut books = Self::new(limits)?;
        books.tables.queued = totals.queued.get() != 0;
        books.check_room(&totals)?;
        for channel in books.channels.iter_mut() {
            *channel = reader.take::<SavedChannel>()?.channel().ok_or_else(|| {
                inconsistent("a state of each channel", "a number of no state".into())
            })?;
        }
        let counted = reader.take::<[U64; Counters::COUNT]>()?.map(U64::get);
        if let Some(found) = counted.iter().find(|&&counted| counted > COUNTED_MAX) {
            return Err(inconsistent("counters that a run can reach", found.to_string()));
        }
        books.counters = Counters::from_values(counted);
        let extents = books.lay_out(&totals, &mut reader)?;
        for ladders in extents {
            books.restore_book(ladders, &mut reader)?;
        }
        books.check_totals(&totals)?;
        reader.end()?;
        Ok(books)
    }

    fn header(&self, length_bytes: u64) -> Header {
        Header { magic: MAGIC, version: VERSION.into(), length_bytes: length_bytes.into() }
    }

    /// How much there is; each table has fewer than `u32::MAX` places.
    fn totals(&self) -> Totals {
        let count = |count: usize| U32::new(count as u32);
        let Limits { instruments, orders, levels } = self.in_use();
        Totals {
            books: count(instruments),
            orders: count(orders),
            levels: count(levels),
            rungs: count(self.tables.rungs.fresh()),
            free_extents: count(self.tables.rungs.free_extents().count()),
            queued: U32::new(self.tables.queued.into()),
        }
    }

    /// The orders that stand in no queue, each behind its level's number: those of a level together, by
    /// id.
    fn counted(&self) -> Vec<(u32, u64, u32)> {
        if self.tables.queued {
            return Vec::new();
        }
        let of = |order| {
            let entry = &self.tables.orders[order];
            (entry.level, entry.id, entry.size)
        };
        let mut counted: Vec<_> = self.tables.orders.indices().map(of).collect();
        counted.sort_unstable();
        counted
    }

    fn save_side(&self, ladder: &Ladder, counted: &[(u32, u64, u32)], bytes: &mut Vec<u8>) {
        for rung in self.tables.rungs.rungs(ladder) {
            let level = &self.tables.levels[rung.level];
            put(
                bytes,
                &SavedLevel {
                    price: level.price.into(),
                    aggregate: self.tables.aggregate(rung.level).into(),
                    orders: level.orders().into(),
                },
            );
            let from = counted.partition_point(|&(level, ..)| level < rung.level);
            for &(_, id, size) in
                counted[from..].iter().take_while(|(level, ..)| *level == rung.level)
            {
                put(bytes, &SavedOrder { id: id.into(), size: size.into() });
            }
            // A queue that meets itself ends where its level says.
            let mut next = level.first;
            for _ in 0..if self.tables.queued { level.orders() } else { 0 } {
                let order = &self.tables.orders[next];
                put(bytes, &SavedOrder { id: order.id.into(), size: order.size.into() });
                next = order.behind;
            }
        }
    }

    fn check_room(&self, totals: &Totals) -> Result<(), RestoreError> {
        let Limits { instruments, orders, levels } = self.limits;
        let rungs = self.tables.rungs.limit();
        for (what, limit, found) in [
            ("instruments", instruments, totals.books),
            ("orders", orders, totals.orders),
            ("levels", levels, totals.levels),
            ("rungs", rungs, totals.rungs),
        ] {
            let found = found.get() as usize;
            if found > limit {
                return Err(RestoreError::ExceedsLimits { what, limit, found });
            }
        }
        Ok(())
    }

    /// Gives each ladder its place in the pool; returns the empty ladders of each book.
    fn lay_out(
        &mut self,
        totals: &Totals,
        reader: &mut Reader<'_>,
    ) -> Result<Vec<[Option<Extent>; 2]>, RestoreError> {
        let mut held = Vec::new();
        for _ in 0..totals.books.get() {
            held.push(reader.take::<[SavedExtent; 2]>()?.map(|saved| saved.extent()));
        }
        let mut free = Vec::new();
        for _ in 0..totals.free_extents.get() {
            free.extend(reader.take::<SavedExtent>()?.extent());
        }
        let fresh = totals.rungs.get() as usize;
        if !self.tables.rungs.lay_out(fresh, held.iter().flatten().flatten().copied(), &free) {
            let found = format!("others over {fresh} rungs");
            return Err(inconsistent("extents that lie side by side without a gap", found));
        }
        Ok(held)
    }

    fn restore_book(
        &mut self,
        extents: [Option<Extent>; 2],
        reader: &mut Reader<'_>,
    ) -> Result<(), RestoreError> {
        let saved: SavedBook = reader.take()?;
        let book = saved.book()?;
        let BookCore { channel, instrument_id, .. } = book;
        if self.find(channel, instrument_id).is_some() {
            let found = format!("instrument {instrument_id} of channel {channel} again");
            return Err(inconsistent("each instrument once", found));
        }
        let number = self.books.len() as u32;
        self.instruments.insert(instrument_key(channel, instrument_id), number + 1);
        self.books.push(BookCore { ladders: extents.map(Ladder::with_extent), ..book });
        self.mark_changed(number);
        for (side, levels) in RestingSide::BOTH.into_iter().zip(saved.levels) {
            self.restore_side(number, side, levels.get(), reader)?;
        }
        let book = &mut self.books[number as usize];
        book.crossed = self.tables.rungs.crossed(&book.ladders);
        Ok(())
    }

    fn restore_side(
        &mut self,
        number: u32,
        side: RestingSide,
        levels: u32,
        reader: &mut Reader<'_>,
    ) -> Result<(), RestoreError> {
        let capacity = self.books[number as usize].ladders[side as usize].capacity();
        if levels as usize > capacity {
            let found = format!("{levels} levels in an extent of {capacity}");
            return Err(inconsistent("a ladder within its extent", found));
        }
        let mut before = None;
        for _ in 0..levels {
            let saved: SavedLevel = reader.take()?;
            let price = saved.price.get();
            let rank = side.rank(price);
            if price == UNDEF_PRICE || before.is_some_and(|before| rank <= before) {
                let found = format!("{side:?} {price} after a better price, or no price");
                return Err(inconsistent("the levels of a side sorted by price", found));
            }
            before = Some(rank);
            self.restore_level(number, side, &saved, reader)?;
        }
        Ok(())
    }

    fn restore_level(
        &mut self,
        number: u32,
        side: RestingSide,
        saved: &SavedLevel,
        reader: &mut Reader<'_>,
    ) -> Result<(), RestoreError> {
        let (price, aggregate) = (saved.price.get(), saved.aggregate.get());
        let more = |_| inconsistent("as many orders and levels as the totals", "more".into());
        let ladders = &mut self.books[number as usize].ladders;
        if aggregate == 0 && saved.orders == 0 {
            return Err(inconsistent("something at each level", format!("nothing at {price}")));
        }
        if aggregate > 0 {
            let terms = Terms { side, price, size: aggregate };
            self.tables.set_aggregate(number, ladders, terms).map_err(more)?;
        }
        for _ in 0..saved.orders.get() {
            let order: SavedOrder = reader.take()?;
            let (id, size) = (order.id.get(), order.size.get());
            if size == 0 {
                return Err(inconsistent("orders of some size", format!("order {id} of none")));
            }
            let key = OrderKey { book: number, id };
            if self.tables.orders.find(key).is_some() {
                let found = format!("order {id} again in book {number}");
                return Err(inconsistent("each order once in its book", found));
            }
            let terms = Terms { side, price, size };
            match self.tables.queued {
                true => self.tables.place(ladders, key, terms).map_err(more)?,
                false => {
                    self.tables.count_in(ladders, key, terms).map_err(more)?;
                }
            }
        }
        Ok(())
    }

    fn check_totals(&self, totals: &Totals) -> Result<(), RestoreError> {
        let Limits { orders, levels, .. } = self.in_use();
        let expected = (totals.orders.get() as usize, totals.levels.get() as usize);
        if (orders, levels) != expected {
            let found = format!("{orders} orders and {levels} levels for {expected:?}");
            return Err(inconsistent("as many orders and levels as the totals", found));
        }
        Ok(())
    }
}

impl SavedBook {
    fn of(book: &BookCore) -> Self {
        let [bids_told, asks_told] = book.told_sides;
        let flags =
            [book.over_limit, book.quarantined, book.gathering, book.open, bids_told, asks_told];
        let trade = book.last_trade;
        Self {
            instrument_id: book.instrument_id.into(),
            channel: book.channel,
            state: book.state as u8,
            stale_reason: book.stale_reason as u8,
            flags: flags.map(u8::from),
            sequence: book.sequence.into(),
            ts_event: book.ts_event.into(),
            ts_recv: book.ts_recv.into(),
            records: book.records.to_bits().into(),
            trade_side: trade.map_or(0, |trade| trade.side as u8),
            trade_price: trade.map_or(0, |trade| trade.price).into(),
            trade_size: trade.map_or(0, |trade| trade.size).into(),
            symbol: *book.symbol.as_bytes(),
            levels: book.ladders.each_ref().map(|ladder| U32::new(ladder.len() as u32)),
        }
    }

    /// All but the ladders.
    fn book(&self) -> Result<BookCore, RestoreError> {
        let id = self.instrument_id.get();
        let unknown = |what: &str| {
            let found = format!("another {what} in the book of instrument {id}");
            inconsistent("a known state, reason and side of the last trade", found)
        };
        let state = BookState::from_u8(self.state).ok_or_else(|| unknown("state"))?;
        let stale_reason =
            StaleReason::from_u8(self.stale_reason).ok_or_else(|| unknown("reason"))?;
        let [over_limit, quarantined, gathering, open, bids_told, asks_told] =
            self.flags.map(|flag| flag != 0);
        Ok(BookCore {
            stale_reason,
            over_limit,
            quarantined,
            gathering,
            open,
            told_sides: [bids_told, asks_told],
            sequence: self.sequence.get(),
            ts_event: self.ts_event.get(),
            ts_recv: self.ts_recv.get(),
            records: Rolling::from_bits(self.records.get()),
            last_trade: self.last_trade().ok_or_else(|| unknown("side"))?,
            symbol: Symbol::from_padded(&self.symbol),
            ..BookCore::new(self.channel, id, state)
        })
    }

    fn last_trade(&self) -> Option<Option<LastTrade>> {
        if self.trade_side == 0 {
            return Some(None);
        }
        let side = Side::try_from(self.trade_side).ok()?;
        Some(Some(LastTrade { side, price: self.trade_price.get(), size: self.trade_size.get() }))
    }
}

fn put(bytes: &mut Vec<u8>, part: &(impl IntoBytes + Immutable)) {
    bytes.extend_from_slice(part.as_bytes());
}
