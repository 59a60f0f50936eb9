//! Order books as a deterministic state machine.
//!
//! Arrives: venue-neutral [`Event`](wirebook_model::Event)s, of any number of channels and
//! instruments. Leaves: complete DBN records into a [`RecordSink`](wirebook_model::RecordSink), and
//! [`Books`] to look at: order-level with queue positions, or price levels, as the venue gives it.
//!
//! It promises:
//!
//! - [`Books::apply`] neither allocates nor fails; all memory is taken by [`Books::new`], on
//!   hugepages where the host has them.
//! - A reader that applies the records of a book by DBN's rules has the same book after each
//!   `F_LAST`. What a venue leaves out (the price of a deleted order, the side of a replaced one)
//!   the book fills in; what the book cannot fill in does not leave.
//! - A [`LookAhead`] brings near what later events need while earlier ones are applied, and changes
//!   nothing else.
//! - The same events give the same records and the same [`Books::digest`], on any host and over
//!   any number of shards. No clock is read and nothing is random.
//! - [`Books::save`] and [`Books::restore`]: books that were saved go on as those would have that
//!   were not. [`Books::quarantine`] keeps the fault of one book from the others, and a [`Shadow`]
//!   finds such a fault.
//!
//! It counts in [`Counters`] what it could not do as the venue said; where something is missing in
//! a book from then on (an unknown order, a limit), the book is
//! [`Stale`](wirebook_model::BookState::Stale), says why ([`Book::stale_reason`]), and its records
//! carry `F_MAYBE_BAD_BOOK`.
//!
//! ```
//! use wirebook_machine::{Books, Limits};
//! use wirebook_model::dbn::{Side, flags};
//! use wirebook_model::{Event, EventHeader, VenueEvent};
//!
//! let mut books = Books::new(Limits { instruments: 1, orders: 10, levels: 10 })?;
//! let header =
//!     EventHeader { channel: 0, flags: flags::LAST, instrument_id: 7, sequence: 1, ts_event: 0 };
//! let price = 87_390_000_000;
//! let body = VenueEvent::Add { order_id: 5, side: Side::Bid, price, size: 100 };
//! let mut records = Vec::new();
//! books.apply(&Event { header, body }, &mut records);
//!
//! let book = books.get(0, 7).expect("an event creates its book");
//! assert_eq!(book.best().0.map(|bid| (bid.price, bid.size)), Some((price, 100)));
//! assert_eq!(records.len(), 1);
//! # Ok::<(), wirebook_machine::LimitsError>(())
//! ```
#![forbid(unsafe_code)]

mod apply;
mod book;
mod books;
mod chain;
mod counters;
mod digest;
mod edit;
mod expect;
mod hash_table;
mod index;
mod ladder;
mod levels;
mod lines;
mod log;
mod machine;
pub mod machines;
mod orders;
mod phase;
mod population;
mod quarantine;
mod records;
mod save;
mod shadow;
mod side;
mod snapshot;
mod sweep;
mod tables;
mod tops;

pub use book::{Book, LastTrade, Level, QueuePosition, RestingOrder};
pub use books::{BookSink, Books, Limits, LimitsError};
pub use chain::{Chain, Change, Incident, Supervision};
pub use counters::Counters;
pub use digest::combine;
pub use expect::{Expected, LookAhead};
pub use machine::{Fault, Machine, SavedStateError, restore_state, save_state};
pub use population::MachineCounters;
pub use save::RestoreError;
pub use shadow::{Difference, Shadow};
pub use snapshot::Snapshot;
