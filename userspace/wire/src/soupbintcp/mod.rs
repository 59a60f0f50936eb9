//! SoupBinTCP, Nasdaq's sequenced stream over TCP.
//!
//! Arrives: the bytes of a connection, split anywhere. Leaves: its packets ([`ServerPacket`],
//! [`ClientPacket`]) and, at the client's end, the [`Event`]s of a session ([`ClientSession`]).
//! Promises: any split of the same bytes gives the same packets; no packet longer than the
//! buffer's limit is ever waited for; no panic, whatever the bytes. Counts packets of a type that
//! is not known: they are stepped over by their length.
//!
//! Source: SoupBinTCP, version 3.00 (2017-02-22). A packet is its length (2 bytes, big-endian,
//! counting all that follows), its type (1 byte) and a payload (§1.1). Alphanumeric fields are
//! ASCII; user name and password are padded with spaces on the right, session and sequence number
//! on the left (§2.2.1, §2.3.1). Sequenced packets carry no number: both ends count them (§1.2).

mod buffer;
mod client;
mod login;
mod packet;

pub use buffer::{FrameError, ReceiveBuffer};
pub use client::{ClientSession, Event, HEARTBEAT_NS, SILENCE_NS, SessionError};
pub use login::{LoginError, LoginRequest};
pub use packet::{ClientPacket, Packet, PacketError, RejectReason, ServerPacket};

/// Bytes of `Packet Length`.
const LENGTH_BYTES: usize = 2;

/// The highest `Packet Length`: that of a type and a payload of 65,534 bytes.
pub const PACKET_LENGTH_MAX: u16 = u16::MAX;
