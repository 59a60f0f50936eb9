//! What a venue said, in no venue's words.
//!
//! Arrives: the facts of one venue message. Leaves: an [`Event`] of at most 56 bytes encoded
//! (see the `words` module), or 112 for a [`Definition`] or an [`Imbalance`]. An event names only what
//! the venue named: a delete has no price, a replace no side. The book completes it.

use crate::{PackedEvent, Symbol, UnixNanos};
use dbn::Side;

/// Whether a book can be trusted, shown in every record and on every surface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum BookState {
    /// Started in mid-session: state from before the start is not known yet.
    Warming = 1,
    /// Every sequence so far has been applied, once and in order.
    Live = 2,
    /// A gap is being repaired.
    Healing = 3,
    /// Something is missing and nothing repairs it.
    Stale = 4,
}

impl BookState {
    /// The state with the number `value`, if there is one.
    pub fn from_u8(value: u8) -> Option<Self> {
        match value {
            1 => Some(Self::Warming),
            2 => Some(Self::Live),
            3 => Some(Self::Healing),
            4 => Some(Self::Stale),
            _ => None,
        }
    }

    /// The name shown to users: `warming`, `live`, `healing` or `stale`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Warming => "warming",
            Self::Live => "live",
            Self::Healing => "healing",
            Self::Stale => "stale",
        }
    }
}

/// Why a book is [`Stale`](BookState::Stale).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum StaleReason {
    /// It is not stale.
    #[default]
    None = 0,
    /// The channel missed messages that nothing repairs.
    Gap = 1,
    /// The venue spoke of an order that the book does not hold.
    UnknownOrder = 2,
    /// A limit of the shard kept something out of the book.
    Limit = 3,
    /// The code that keeps the book failed.
    Fault = 4,
    /// The book was not what the model book beside it was.
    SelfCheck = 5,
    /// Its channel is no longer received.
    Removed = 6,
}

impl StaleReason {
    /// The reason with the number `value`, if there is one.
    pub fn from_u8(value: u8) -> Option<Self> {
        match value {
            0 => Some(Self::None),
            1 => Some(Self::Gap),
            2 => Some(Self::UnknownOrder),
            3 => Some(Self::Limit),
            4 => Some(Self::Fault),
            5 => Some(Self::SelfCheck),
            6 => Some(Self::Removed),
            _ => None,
        }
    }

    /// The name shown to users: `none`, `gap`, `unknown-order`, `limit`, `fault`, `self-check` or
    /// `removed`.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gap => "gap",
            Self::UnknownOrder => "unknown-order",
            Self::Limit => "limit",
            Self::Fault => "fault",
            Self::SelfCheck => "self-check",
            Self::Removed => "removed",
        }
    }
}

/// What every event says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventHeader {
    /// The appliance's number for the channel, as in the configuration.
    pub channel: u8,
    /// DBN flags that come from the venue or the channel: `F_LAST` where this event ends the
    /// venue's own event, `F_SNAPSHOT`, `F_MAYBE_BAD_BOOK`, `F_BAD_TS_RECV`.
    pub flags: u8,
    /// The venue's number for the instrument (stock locate, security id), or
    /// [`ALL_INSTRUMENTS`](crate::ALL_INSTRUMENTS).
    pub instrument_id: u32,
    /// The venue's message sequence in the channel.
    pub sequence: u64,
    /// The venue's time of the event.
    pub ts_event: UnixNanos,
}

/// One event: its header and what happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// Who and when.
    pub header: EventHeader,
    /// What.
    pub body: VenueEvent,
}

/// What happened. Prices are fixed point 1e-9, sizes are in the venue's unit (shares, contracts).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VenueEvent {
    /// The events that follow, up to the next `Packet`, came in this packet.
    Packet(Packet),
    /// The books of the header's instrument, or of the whole channel, are now in this state.
    State(BookState),
    /// An interval of the channel's own time is over; the header's `ts_event` is its end.
    EndOfInterval,
    /// The book is empty (DBN action `R`).
    Clear,
    /// A new order joined the end of its level.
    Add {
        /// The venue's order id.
        order_id: u64,
        /// The order's side.
        side: Side,
        /// Limit price, 1e-9.
        price: i64,
        /// Displayed size.
        size: u32,
    },
    /// An order has these terms now; it loses priority when its price changes or its size grows.
    Modify {
        /// The venue's order id.
        order_id: u64,
        /// The order's side.
        side: Side,
        /// Limit price, 1e-9.
        price: i64,
        /// Displayed size after the change.
        size: u32,
    },
    /// A resting order was executed, in part or in full.
    Execute {
        /// The resting order.
        order_id: u64,
        /// Executed size.
        size: u32,
        /// Execution price, or [`UNDEF_PRICE`](dbn::UNDEF_PRICE) for the order's own price.
        price: i64,
        /// The venue's match number; 0 when it gives none.
        match_id: u64,
        /// False where a later bulk print reports the trade (an auction's single fills).
        printable: bool,
    },
    /// An order lost this much size and kept its place.
    Reduce {
        /// The venue's order id.
        order_id: u64,
        /// Size taken away.
        size: u32,
    },
    /// An order is gone.
    Delete {
        /// The venue's order id.
        order_id: u64,
    },
    /// An order was replaced by a new one of the same side, at the end of its level.
    Replace {
        /// The order that is gone.
        order_id: u64,
        /// The order that came.
        new_order_id: u64,
        /// Its limit price, 1e-9.
        price: i64,
        /// Its displayed size.
        size: u32,
    },
    /// A price level has this size now; 0 removes it.
    Level {
        /// The level's side.
        side: Side,
        /// The level's price, 1e-9.
        price: i64,
        /// Aggregated size.
        size: u32,
    },
    /// The best level of one side is this now; [`UNDEF_PRICE`](dbn::UNDEF_PRICE) for none.
    Top {
        /// The side.
        side: Side,
        /// Best price, 1e-9.
        price: i64,
        /// Size at it.
        size: u32,
    },
    /// A trade that changes no displayed order.
    Trade {
        /// Side of the aggressor, `None` where the venue does not tell.
        side: Side,
        /// Trade price, 1e-9.
        price: i64,
        /// Traded size.
        size: u32,
        /// The order that the venue names; 0 when it names none.
        order_id: u64,
        /// The venue's match number; 0 when it gives none.
        match_id: u64,
    },
    /// A resting order was filled; what takes it from the book follows.
    Fill {
        /// The resting order.
        order_id: u64,
        /// Its side.
        side: Side,
        /// Fill price, 1e-9.
        price: i64,
        /// Filled size.
        size: u32,
    },
    /// An earlier trade was cancelled.
    TradeBreak {
        /// The match number of that trade.
        match_id: u64,
        /// Its price, or [`UNDEF_PRICE`](dbn::UNDEF_PRICE).
        price: i64,
        /// Its size; 0 when the venue does not repeat it.
        size: u32,
    },
    /// Trading status changed.
    Status(Status),
    /// A number about the instrument or the market.
    Statistic(Statistic),
    /// What the instrument is (two slots).
    Definition(Definition),
    /// An auction's imbalance (two slots).
    Imbalance(Imbalance),
}

/// The times that all events of one packet share.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Packet {
    /// When the packet was received.
    pub ts_recv: UnixNanos,
    /// When the venue sent it; 0 where its transport does not tell.
    pub ts_sent: UnixNanos,
    /// When the worker began to decode it; 0 in a replay, which has no such time.
    pub ts_worker: UnixNanos,
}

/// Fields of a DBN [`StatusMsg`](dbn::StatusMsg).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// A [`dbn::StatusAction`].
    pub action: u16,
    /// A [`dbn::StatusReason`].
    pub reason: u16,
    /// A [`dbn::TradingEvent`].
    pub trading_event: u16,
    /// `Y`, `N` or `~`.
    pub is_trading: u8,
    /// `Y`, `N` or `~`.
    pub is_quoting: u8,
    /// `Y`, `N` or `~`.
    pub is_short_sell_restricted: u8,
}

/// Fields of a DBN [`StatMsg`](dbn::StatMsg).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Statistic {
    /// A [`dbn::StatType`].
    pub stat_type: u16,
    /// Price, 1e-9, or [`UNDEF_PRICE`](dbn::UNDEF_PRICE).
    pub price: i64,
    /// Quantity, or [`UNDEF_STAT_QUANTITY`](dbn::UNDEF_STAT_QUANTITY).
    pub quantity: i64,
    /// The time that the number is of, or [`UNDEF_TIMESTAMP`](dbn::UNDEF_TIMESTAMP).
    pub ts_ref: UnixNanos,
}

/// What the venue's directory says of an instrument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Definition {
    /// The venue's symbol.
    pub symbol: Symbol,
    /// Smallest price step, 1e-9, or [`UNDEF_PRICE`](dbn::UNDEF_PRICE) where the venue does not tell.
    pub min_price_increment: i64,
    /// Shares or contracts in a round lot; 0 where the venue does not tell.
    pub round_lot_size: u32,
    /// A [`dbn::InstrumentClass`] character.
    pub instrument_class: u8,
}

/// Fields of a DBN [`ImbalanceMsg`](dbn::ImbalanceMsg).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Imbalance {
    /// Reference price, 1e-9.
    pub ref_price: i64,
    /// Projected auction time, or [`UNDEF_TIMESTAMP`](dbn::UNDEF_TIMESTAMP).
    pub auction_time: UnixNanos,
    /// Clearing price of cross and continuous orders (Nasdaq's near price), 1e-9.
    pub cont_book_clr_price: i64,
    /// Clearing price of cross orders alone (Nasdaq's far price), 1e-9.
    pub auct_interest_clr_price: i64,
    /// Upper collar, 1e-9, or [`UNDEF_PRICE`](dbn::UNDEF_PRICE).
    pub upper_collar: i64,
    /// Lower collar, 1e-9, or [`UNDEF_PRICE`](dbn::UNDEF_PRICE).
    pub lower_collar: i64,
    /// Indicative match price, 1e-9, or [`UNDEF_PRICE`](dbn::UNDEF_PRICE).
    pub ind_match_price: i64,
    /// Paired size at the reference price.
    pub paired_qty: u32,
    /// Unpaired size at the reference price.
    pub total_imbalance_qty: u32,
    /// Side of the imbalance.
    pub side: Side,
    /// The venue's auction type character.
    pub auction_type: u8,
    /// The venue's number of extensions.
    pub num_extensions: u8,
    /// The venue's price variation indicator, or `~`.
    pub significant_imbalance: u8,
}

/// Takes events, one after the other.
///
/// A decoder writes to it; a router, a shard or a test stands behind it. Taking an event must
/// not fail: an implementation that runs out of room waits or counts.
pub trait EventSink {
    /// Takes one event.
    fn event(&mut self, event: &Event);

    /// Takes one event as words: for those who only pass it on, it is not worth a look at what it is.
    #[inline]
    fn packed(&mut self, event: &PackedEvent) {
        self.event(&event.into());
    }

    /// Takes events as words, one after the other: where the next one goes need not be looked up anew
    /// for each.
    #[inline]
    fn packed_all(&mut self, events: &mut impl Iterator<Item = PackedEvent>) {
        for event in events {
            self.packed(&event);
        }
    }
}

impl EventSink for Vec<Event> {
    fn event(&mut self, event: &Event) {
        self.push(*event);
    }
}
