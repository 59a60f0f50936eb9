//! One book: what a shard keeps of it, and the view that others get.

use wirebook_model::{BookState, Side, StaleReason, Symbol, UnixNanos};

use crate::digest::Rolling;
use crate::hash_table::NIL;
use crate::ladder::Ladder;
use crate::orders::OrderKey;
use crate::side::RestingSide;
use crate::tables::{Ladders, Tables, Terms};

/// A price level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level {
    /// Price, 1e-9.
    pub price: i64,
    /// All displayed size at this price.
    pub size: u64,
    /// Number of orders; 0 where the venue gives the level as one number.
    pub orders: u32,
}

/// An order that rests in a book.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RestingOrder {
    /// The venue's order id.
    pub order_id: u64,
    /// Bid or ask.
    pub side: Side,
    /// Limit price, 1e-9.
    pub price: i64,
    /// Displayed size.
    pub size: u32,
}

/// What is executed before an order at its price.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueuePosition {
    /// Orders ahead in the level.
    pub orders_ahead: u32,
    /// Their displayed size.
    pub size_ahead: u64,
}

/// The last trade of an instrument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastTrade {
    /// Side of the aggressor, `None` where the venue does not tell.
    pub side: Side,
    /// Trade price, 1e-9.
    pub price: i64,
    /// Traded size.
    pub size: u32,
}

/// What a shard keeps of one book beside the tables. What every event reads or writes comes first: one
/// cache line.
#[derive(Clone)]
#[repr(C, align(64))]
pub(crate) struct BookCore {
    pub(crate) ladders: Ladders,
    /// Hash of all `MboMsg`s that left.
    pub(crate) records: Rolling,
    pub(crate) sequence: u64,
    pub(crate) ts_event: UnixNanos,
    pub(crate) ts_recv: UnixNanos,
    pub(crate) state: BookState,
    /// Why the state is `Stale`; `None` in every other state.
    pub(crate) stale_reason: StaleReason,
    pub(crate) over_limit: bool,
    /// The book takes no events until it is readmitted.
    pub(crate) quarantined: bool,
    /// By the venue's status orders gather without meeting, as before an auction.
    pub(crate) gathering: bool,
    /// Records have left since the last `F_LAST`: the book is inside a venue's event.
    pub(crate) open: bool,
    /// The book is in the list of changed books.
    pub(crate) changed: bool,
    /// The best bid is at or above the best ask.
    pub(crate) crossed: bool,
    pub(crate) instrument_id: u32,
    pub(crate) channel: u8,
    /// Sides that the venue has told anew, whole, since the book was last distrusted.
    pub(crate) told_sides: [bool; 2],
    pub(crate) last_trade: Option<LastTrade>,
    pub(crate) symbol: Symbol,
}

const _: () = assert!(std::mem::offset_of!(BookCore, instrument_id) == 64);

impl BookCore {
    pub(crate) fn new(channel: u8, instrument_id: u32, state: BookState) -> Self {
        let mut book = Self {
            ladders: [Ladder::default(); 2],
            instrument_id,
            channel,
            state,
            stale_reason: StaleReason::None,
            over_limit: false,
            quarantined: false,
            gathering: false,
            open: false,
            told_sides: [false; 2],
            changed: false,
            crossed: false,
            sequence: 0,
            ts_event: 0,
            ts_recv: 0,
            records: Rolling::default(),
            last_trade: None,
            symbol: Symbol::default(),
        };
        book.set_state(state);
        book
    }

    /// The channel says what the book is; one that could not hold everything stays stale.
    pub(crate) fn set_state(&mut self, state: BookState) {
        match (self.over_limit, state) {
            (true, _) => self.set_stale(StaleReason::Limit),
            (_, BookState::Stale) => self.set_stale(StaleReason::Gap),
            _ => {
                self.state = state;
                self.stale_reason = StaleReason::None;
            }
        }
        self.told_sides = [false; 2];
    }

    /// The book holds nothing any more, and its venue's event is torn off: what was in the tables
    /// is not looked at.
    pub(crate) fn lose(&mut self, reason: StaleReason) {
        self.ladders = [Ladder::default(); 2];
        self.over_limit = false;
        self.open = false;
        self.crossed = false;
        self.told_sides = [false; 2];
        self.set_stale(reason);
    }

    /// Something is missing in the book.
    pub(crate) fn set_stale(&mut self, reason: StaleReason) {
        self.state = BookState::Stale;
        self.stale_reason = reason;
    }

    /// The venue told one side whole. With both told, nothing from before a gap is left in the
    /// book, so it is live again by itself.
    pub(crate) fn told(&mut self, side: RestingSide) {
        self.told_sides[side as usize] = true;
        if self.told_sides == [true; 2] && !self.over_limit {
            self.state = BookState::Live;
            self.stale_reason = StaleReason::None;
        }
    }

    /// The venue spoke of what the book does not hold: expected unless the book was whole.
    pub(crate) fn distrust(&mut self) {
        if self.state == BookState::Live {
            self.set_stale(StaleReason::UnknownOrder);
            self.told_sides = [false; 2];
        }
    }
}

/// A book, borrowed from the shard that owns it.
#[derive(Clone, Copy)]
pub struct Book<'a> {
    pub(crate) number: u32,
    pub(crate) core: &'a BookCore,
    pub(crate) tables: &'a Tables,
}

impl<'a> Book<'a> {
    /// The venue's number for the instrument.
    pub fn instrument_id(&self) -> u32 {
        self.core.instrument_id
    }

    /// The appliance's number for the channel.
    pub fn channel(&self) -> u8 {
        self.core.channel
    }

    /// The venue's symbol; empty until its directory has named it.
    pub fn symbol(&self) -> Symbol {
        self.core.symbol
    }

    /// Whether the book can be trusted.
    pub fn state(&self) -> BookState {
        self.core.state
    }

    /// Why the book is stale; `None` where it is not.
    pub fn stale_reason(&self) -> StaleReason {
        self.core.stale_reason
    }

    /// The book's place in [`Books::iter`](crate::Books::iter).
    pub fn number(&self) -> u32 {
        self.number
    }

    /// True where a limit of the shard kept something out of this book; a `Clear` resets it.
    pub fn over_limit(&self) -> bool {
        self.core.over_limit
    }

    /// The sequence of the last event applied.
    pub fn sequence(&self) -> u64 {
        self.core.sequence
    }

    /// The venue's time of the last event applied.
    pub fn ts_event(&self) -> UnixNanos {
        self.core.ts_event
    }

    /// When the packet of that event was received.
    pub fn ts_recv(&self) -> UnixNanos {
        self.core.ts_recv
    }

    /// The last trade, printed or crossing nothing displayed.
    pub fn last_trade(&self) -> Option<LastTrade> {
        self.core.last_trade
    }

    /// Bid levels, best first.
    pub fn bids(&self) -> impl Iterator<Item = Level> + use<'a> {
        self.levels(RestingSide::Bid)
    }

    /// Ask levels, best first.
    pub fn asks(&self) -> impl Iterator<Item = Level> + use<'a> {
        self.levels(RestingSide::Ask)
    }

    /// The best bid and the best ask.
    pub fn best(&self) -> (Option<Level>, Option<Level>) {
        (self.bids().next(), self.asks().next())
    }

    /// The best `levels` rows of bid and ask, best first; ends where both sides do.
    pub fn depth(
        &self,
        levels: usize,
    ) -> impl Iterator<Item = (Option<Level>, Option<Level>)> + use<'a> {
        let (mut bids, mut asks) = (self.bids(), self.asks());
        std::iter::from_fn(move || {
            let row = (bids.next(), asks.next());
            (row != (None, None)).then_some(row)
        })
        .take(levels)
    }

    /// All orders: bids before asks, best level first, in the order of their priority.
    pub fn orders(&self) -> impl Iterator<Item = RestingOrder> + use<'a> {
        let book = *self;
        RestingSide::BOTH.into_iter().flat_map(move |side| book.orders_of(side))
    }

    /// The order `order_id`, if it rests in this book.
    pub fn order(&self, order_id: u64) -> Option<RestingOrder> {
        if !self.tables.queued {
            return None;
        }
        let terms = self.tables.terms_of(self.find(order_id)?);
        let Terms { side, price, size } = terms;
        Some(RestingOrder { order_id, side: side.to_dbn(), price, size })
    }

    /// What is ahead of the order `order_id`, if it rests in this book. Takes a step for each
    /// order ahead.
    pub fn queue_position(&self, order_id: u64) -> Option<QueuePosition> {
        if !self.tables.queued {
            return None;
        }
        let mut order = self.find(order_id)?;
        let mut position = QueuePosition::default();
        loop {
            order = self.tables.orders[order].ahead;
            if order == NIL {
                return Some(position);
            }
            position.orders_ahead += 1;
            position.size_ahead += u64::from(self.tables.orders[order].size);
        }
    }

    /// True where the best bid is at or above the best ask.
    pub fn crossed(&self) -> bool {
        self.core.crossed
    }

    /// A number that is equal where books are: over every record that left (and with them the
    /// last sequence), every order in the order of its priority, every level, and the state.
    ///
    /// Two appliances on the same input agree on it, whatever their receive times, publishers and
    /// shards. Takes a step for each order.
    pub fn digest(&self) -> u64 {
        let mut hash = self.core.records;
        hash.word(u64::from(self.core.state as u8) << 1 | u64::from(self.core.over_limit));
        for side in RestingSide::BOTH {
            hash.word(side as u64);
            for index in self.level_indices(side) {
                let level = &self.tables.levels[index];
                hash.word(level.price as u64);
                hash.word(level.size);
                hash.word(match self.tables.queued {
                    true => {
                        u64::from(level.orders()) << 32 | u64::from(self.tables.aggregate(index))
                    }
                    // As of a venue that gave the level as one number: so a recording of these
                    // levels replays to the same digest.
                    false => level.size,
                });
            }
            for order in self.orders_of(side) {
                hash.word(order.order_id);
                hash.word(u64::from(order.size));
            }
        }
        hash.finish()
    }

    /// The levels at which the venue gave a size as one number, and that size.
    pub(crate) fn aggregates(&self) -> impl Iterator<Item = (Side, i64, u32)> + use<'a> {
        let book = *self;
        RestingSide::BOTH.into_iter().flat_map(move |side| {
            let of = move |level| {
                let price = book.tables.levels[level].price;
                (side.to_dbn(), price, book.tables.told_as_one(level))
            };
            book.level_indices(side).map(of).filter(|&(.., size)| size > 0)
        })
    }

    fn find(&self, id: u64) -> Option<u32> {
        self.tables.orders.find(OrderKey { book: self.number, id })
    }

    fn levels(&self, side: RestingSide) -> impl Iterator<Item = Level> + use<'a> {
        let tables = self.tables;
        self.level_indices(side).map(move |index| {
            let level = &tables.levels[index];
            Level { price: level.price, size: level.size, orders: level.orders() }
        })
    }

    fn orders_of(&self, side: RestingSide) -> impl Iterator<Item = RestingOrder> + use<'a> {
        let tables = self.tables;
        self.level_indices(side).flat_map(move |index| {
            let level = &tables.levels[index];
            let at = |order: u32| (order != NIL).then_some(order);
            std::iter::successors(at(level.first), move |&order| at(tables.orders[order].behind))
                .map(move |order| RestingOrder {
                    order_id: tables.orders[order].id,
                    side: side.to_dbn(),
                    price: level.price,
                    size: tables.orders[order].size,
                })
        })
    }

    fn level_indices(&self, side: RestingSide) -> impl Iterator<Item = u32> + use<'a> {
        let rungs = self.tables.rungs.rungs(&self.core.ladders[side as usize]);
        rungs.iter().rev().map(|rung| rung.level)
    }
}
