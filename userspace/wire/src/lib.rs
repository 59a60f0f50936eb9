//! Borrowed views over exchange packets, and the events they mean.
//!
//! Arrives: the bytes of a frame. Leaves: the UDP payload ([`Datagram`]), its messages
//! ([`TransportPacket`]), each message's fields ([`itch50::Message`], [`iex_deep::Message`],
//! [`iex_tops::Message`]), and the venue-neutral events of each message ([`Decoder`]). What a gap
//! is repaired with goes both ways: retransmission requests ([`moldudp64::Request`]) and snapshots
//! ([`glimpse`]) over TCP ([`soupbintcp`]).
//!
//! Promises: no byte of a packet is copied before it becomes an event; no allocation once a
//! [`Decoder`] exists; no panic, whatever the bytes. The length prefix is the authority: a type
//! that is not known, or a known one that has grown, is stepped over by its length. What was cut
//! short still gives the whole messages before the cut, and then one error.
//!
//! A payload goes through it like this:
//!
//! ```
//! use wirebook_wire::{Decoded, Decoder, Limits, Protocol, TransportPacket};
//!
//! let protocol: Protocol = "itch50".parse().unwrap();
//! let mut decoder = Decoder::new(protocol, 1, Limits::default());
//! // A MoldUDP64 packet with one ITCH order delete.
//! let mut payload = b"000010059B\0\0\0\0\0\0\0\x07\0\x01\0\x13D".to_vec();
//! payload.extend([0, 9, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 42]);
//!
//! let packet = TransportPacket::parse(protocol.transport(), &payload).unwrap();
//! let mut events = Vec::new();
//! for (sequence, block) in (packet.sequence..).zip(packet.blocks) {
//!     assert_eq!(decoder.decode(block.unwrap(), sequence, &mut events), Decoded::Known);
//! }
//! assert_eq!(events[0].header.sequence, 7);
//! ```
#![forbid(unsafe_code)]

mod ascii;
mod datagram;
mod decoder;
mod field;
mod iex;
mod message;
mod protocol;
mod status;
mod transport;

pub mod glimpse;
pub mod iex_deep;
pub mod iex_tops;
pub mod iex_tp;
pub mod itch50;
pub mod moldudp64;
pub mod soupbintcp;

pub use datagram::{Datagram, NotSteered};
pub use decoder::{Decoded, Decoder, DecoderCounters, Limits, Run};
pub use field::{Code, FieldVisitor, FlagBit, Price4, Price8, SignedPrice4, Text, U48};
pub use message::{MessageError, MessageView};
pub use protocol::{Protocol, UnknownProtocol};
pub use transport::{Blocks, Malformed, PacketKind, Session, Transport, TransportPacket};
