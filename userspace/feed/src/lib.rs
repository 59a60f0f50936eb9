//! Which message of a channel is next.
//!
//! Arrives: the session, sequence and message count of each packet, from whichever line brought
//! it. Leaves: a [`Verdict`]: which of the packet's messages to apply, and what the books must
//! be told first. No sockets, no clock; what the messages mean is not known here.
//!
//! Promises: every sequence is applied at most once and in order; where one is missing, the
//! books hear that they are stale before anything later is applied. Counts duplicates, gaps,
//! missing messages, session changes and packets of a session that has passed.
#![forbid(unsafe_code)]

mod channel;

pub use channel::{Arrival, Channel, ChannelCounters, Verdict};
