//! Wirebook's two alphabets: *events* in, *records* out.
//!
//! An [`Event`] is what a venue said, venue-neutral, before a book has completed it; it travels
//! from worker to shard in one 64-byte ring slot (two for the few that carry text or many
//! prices). A record is a complete DBN record of the [`dbn`] crate; it is what every machine but
//! the book, and every reader outside, sees.
//!
//! Nothing here does I/O or reads a clock.
#![forbid(unsafe_code)]

mod event;
mod packed;
mod words;

pub mod price;
mod record;
mod symbol;

pub use dbn;
pub use dbn::Side;
pub use event::{
    BookState, Definition, Event, EventHeader, EventSink, Imbalance, Packet, StaleReason,
    Statistic, Status, VenueEvent,
};
pub use packed::{PackedEvent, PackedHead, PackedKind, PackedOrder};
pub use record::RecordSink;
pub use symbol::Symbol;
pub use words::{BadEvent, EVENT_WORDS, EVENT_WORDS_MAX, EventWords};

/// Nanoseconds since the UNIX epoch: the unit of every `ts_` field.
pub type UnixNanos = u64;

/// The instrument id that means "every instrument of the channel".
///
/// Venues number instruments from 1 (Nasdaq's stock locate 0 is a message about the market).
pub const ALL_INSTRUMENTS: u32 = 0;
