//! Which message of a channel is next.
//!
//! Arrives: packets of a channel's lines, answers of its retransmit servers, snapshots, and the
//! time. Leaves: which messages to apply, what the books are to be told, and what to ask the venue
//! for. No sockets, no clock; what the messages mean is not known here.
//!
//! ```text
//!  lines A, B ─▶ sessions, doubt ─▶ channel: in order ──────────────────▶ apply
//!                                      │ ahead: reorder window ─ in turn ──▲
//!                                      └ missing: state machine ─▶ books' state, recovery
//!  recovery ─▶ retransmitter (housekeeping) ─▶ requests to servers; answers ─▶ channel
//! ```
//!
//! Promises: every sequence is applied at most once and in order; where one is missing, the
//! books hear of it before anything later is applied. Counts, in counters of their own, what is
//! missing, double, late, refused or has no room.
//!
//! One thread owns the [`Channel`], gives it every packet and ticks it; another
//! owns the sockets and the [`Retransmitter`]. The sink of the first passes
//! requests to the second through a queue, which passes answers back.
//!
//! ```
//! use std::ops::Range;
//! use wirebook_feed::{Applied, Channel, Packet, Policy, Sink, Source, State};
//! use wirebook_model::BookState;
//!
//! /// Here every byte is a message.
//! #[derive(Default)]
//! struct Worker {
//!     messages: Vec<u8>,
//!     books: Option<BookState>,
//! }
//!
//! impl Sink<u32> for Worker {
//!     fn apply(&mut self, packet: &Packet<'_, u32>, skip: u16) -> Applied {
//!         let new = packet.bytes.get(usize::from(skip)..).unwrap_or_default();
//!         self.messages.extend(new);
//!         Applied { messages: new.len() as u16, held: packet.bytes.len() as u16 }
//!     }
//!     fn books_are(&mut self, state: BookState, _sequence: u64) {
//!         self.books = Some(state);
//!     }
//!     fn clear_books(&mut self, _sequence: u64) {}
//!     fn request_retransmit(&mut self, _session: u32, _messages: Range<u64>) {}
//!     fn request_snapshot(&mut self, _session: u32, _sequence: u64) {}
//!     fn end_recovery(&mut self) {}
//! }
//!
//! let mut channel = Channel::new(Policy::default());
//! let mut worker = Worker::default();
//! let packet = |sequence, bytes: &'static [u8]| Packet {
//!     session: 7,
//!     sequence,
//!     message_count: bytes.len() as u16,
//!     ends_session: false,
//!     ts_recv: 0,
//!     bytes,
//! };
//! let (a, b) = (Source::Line(0), Source::Line(1));
//! channel.arrive(a, &packet(1, b"one"), 0, &mut worker);
//! channel.arrive(a, &packet(7, b"three"), 10, &mut worker);
//! assert_eq!(channel.state(), State::Gapped);
//! channel.arrive(b, &packet(3, b"etwo"), 20, &mut worker);
//! assert_eq!(worker.messages, b"onetwothree");
//! assert_eq!((channel.state(), worker.books), (State::Live, Some(BookState::Live)));
//! channel.tick(1_000, &mut worker);
//! ```
#![forbid(unsafe_code)]

mod bucket;
mod channel;
mod counters;
mod doubt;
mod guard;
mod lines;
mod machine;
mod packet;
mod policy;
mod retransmitter;
mod sessions;
mod window;

pub use channel::Channel;
pub use counters::ChannelCounters;
pub use lines::LineCounters;
pub use machine::{Recovery, State};
pub use packet::{Applied, Packet, Sink, Source};
pub use policy::{Doubtfulness, Policy, RetransmitPolicy, SnapshotPolicy, WindowLimits};
pub use retransmitter::{Retransmitter, RetransmitterCounters, RetransmitterPolicy, Task};
