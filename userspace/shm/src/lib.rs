//! One segment of shared memory on hugepages: rings, boards, counters and histograms, written by the appliance alone and
//! read by anybody.
//!
//! What arrives: a [`SegmentLayout`] at start, then records and book tops from the hot threads.
//! What leaves: the same records and tops in every reader, in this process or another.
//!
//! It promises: no reader outside the appliance can write a byte of the segment, slow its writers or
//! crash them; a reader takes whole records or none; nothing allocates or makes a system call once
//! the segment stands. It counts overruns, in each observing reader.
//!
//! Bottom up: [`ring`] and [`board`] are made of `view`s, typed slices of atomics that lie in a heap
//! allocation (tests) or in a `mapping` (a segment); `sync` is the one door to atomics, so that loom
//! can stand behind it; `layout` is the table in a segment's header; `segment` is the memfd;
//! [`handoff`] gives it to other processes. `docs/abi.md` has every byte of it.

pub mod board;
#[cfg(not(loom))]
pub mod counters;
#[cfg(not(loom))]
pub mod handoff;
#[cfg(not(loom))]
pub mod histogram;
#[cfg(not(loom))]
pub mod label;
#[cfg(not(loom))]
mod layout;
#[cfg(not(loom))]
mod mapping;
pub mod names;
#[cfg(not(loom))]
pub mod notice;
#[cfg(not(loom))]
mod record;
#[cfg(not(loom))]
pub mod refresh;
pub mod ring;
#[cfg(not(loom))]
mod segment;
#[cfg(not(loom))]
mod seqlock;
#[cfg(loom)]
pub mod seqlock;
#[cfg(not(loom))]
mod sync;
#[cfg(loom)]
pub mod sync;
mod view;
#[cfg(not(loom))]
mod wake;

#[cfg(not(loom))]
pub use layout::{ABI_VERSION, EntryKind, LayoutError, SegmentLayout};
#[cfg(not(loom))]
pub use segment::{PageKind, Segment, SegmentError, SegmentView};
#[cfg(not(loom))]
pub use wake::Waker;
