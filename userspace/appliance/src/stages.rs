//! The hot threads: what a worker and a shard do in each cycle, and both on one thread (`inline`).
//!
//! ```text
//!  source ─▶ worker ─ mailbox ─▶ batch ─▶ shard ─▶ output
//!                                           └────▶ show ─▶ board
//! ```
//!
//! Arrives: a source or mailboxes. Leaves: events in rings, records in the output ring, books on
//! the board, latencies and counts for housekeeping. Promises: no allocation, lock, log or system
//! call in a cycle that finds something, but for the wakeups that a driver asks for, and those of
//! sleeping readers where the configuration asks for them. A panic in a shard's turn costs the book it
//! struck, not the thread.

mod batch;
mod inline;
mod mailbox;
mod output;
mod shard;
mod show;
mod worker;

pub use batch::Batch;
pub use mailbox::RingMailbox;
pub use output::{Output, OutputRing, ShardSink};
pub use shard::{ShardChange, ShardStage};
pub use worker::{WorkerChange, WorkerStage};
