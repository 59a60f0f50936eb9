//! Reads a running Wirebook: its records and its books, in place, from another process.
//!
//! What arrives: the path of an appliance's socket. What leaves: a [`Session`], which lasts as long as
//! that start of the appliance; from it [`Records`], the DBN records of one shard or of all, and
//! [`Books`], the ten best levels of every book.
//!
//! It promises: nothing here can slow, corrupt or crash the appliance, which does not know how many
//! readers it has; a record is whole or not given; what a reader missed is said, never hidden. It
//! counts overruns, and records that are none of this DBN version.
//!
//! ```no_run
//! use std::time::Duration;
//! use wirebook_client::{Next, Session};
//!
//! let session = Session::connect("/run/wirebook/wirebook.sock")?;
//! println!("{:?}", session.books()?.book("AAPL")?);
//! let mut records = session.records()?;
//! loop {
//!     match records.next(Duration::from_secs(1)) {
//!         Next::Record(read) => println!("{:?}", read.record),
//!         Next::Overrun { missed_slots, .. } => eprintln!("{missed_slots} slots missed"),
//!         Next::Nothing => {}
//!         Next::WriterGone => break,
//!     }
//! }
//! # Ok::<(), wirebook_client::ClientError>(())
//! ```
#![forbid(unsafe_code)]

mod books;
mod counts;
mod directory;
mod heal;
mod notices;
mod pulse;
mod records;
mod session;

pub use books::{Book, Books, Trade};
pub use dbn;
pub use directory::{Directory, Instrument};
pub use hdrhistogram::Histogram;
pub use notices::Notices;
pub use pulse::Pulse;
pub use records::{Next, Read, Records, Wait};
pub use session::{ClientError, Reattached, Session};
pub use wirebook_model::{BookState, StaleReason};
pub use wirebook_shm::board::{BoardError, CellLevel as Level};
pub use wirebook_shm::handoff::HandOffError;
pub use wirebook_shm::notice::{Level as NoticeLevel, Notice};
pub use wirebook_shm::ring::Cursor;
