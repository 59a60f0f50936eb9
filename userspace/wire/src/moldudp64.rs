//! MoldUDP64, Nasdaq's sequenced multicast transport.
//!
//! Source: MoldUDP64 Protocol Specification, version 1.00 (2009-07-07), "Downstream Packet":
//! session (10 bytes), sequence number (8), message count (2), then that many message blocks,
//! each a two-byte length and the message. Numbers are big-endian. A count of 0 is a heartbeat,
//! 0xFFFF the end of the session; both name the next expected sequence. A message may be of zero
//! bytes ("Message Block"): such a block is a message, counts in the sequence, and no venue
//! protocol knows it. Bytes after the last block have no place in the specification: they are
//! [`Malformed::TrailingBytes`], after every message of the packet has been given.

use crate::transport::{Blocks, Malformed, PacketKind, Session, TransportPacket};
use zerocopy::byteorder::big_endian::{U16, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// The message count of a packet that ends its session.
pub const END_OF_SESSION: u16 = 0xffff;

/// The header of a downstream packet.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Header {
    /// `Session`: ten characters, padded with spaces.
    pub session: [u8; 10],
    /// `Sequence Number` of the first message, or the next expected one.
    pub sequence_number: U64,
    /// `Message Count`: 0 for a heartbeat, [`END_OF_SESSION`] at the end.
    pub message_count: U16,
}

/// The packet in a UDP payload.
///
/// # Errors
/// [`Malformed`] where the header is cut or its sequence numbers would overflow.
#[inline]
pub fn parse(payload: &[u8]) -> Result<TransportPacket<'_>, Malformed> {
    let Ok((header, blocks)) = Header::ref_from_prefix(payload) else {
        return Err(Malformed::ShortHeader { expected: size_of::<Header>(), found: payload.len() });
    };
    let (kind, count) = match header.message_count.get() {
        0 => (PacketKind::Heartbeat, 0),
        END_OF_SESSION => (PacketKind::EndOfSession, 0),
        count => (PacketKind::Messages, count),
    };
    let sequence = header.sequence_number.get();
    if sequence.checked_add(u64::from(count)).is_none() {
        return Err(Malformed::OutOfRange { field: "Sequence Number", found: sequence });
    }
    Ok(TransportPacket {
        session: Session::MoldUdp64(header.session),
        sequence,
        count,
        kind,
        ts_sent: 0,
        blocks: Blocks::big_endian(blocks, count),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(sequence: u64, count: u16, blocks: &[u8]) -> Vec<u8> {
        let header = Header {
            session: *b"000010059B",
            sequence_number: sequence.into(),
            message_count: count.into(),
        };
        [header.as_bytes(), blocks].concat()
    }

    #[test]
    fn messages_heartbeats_and_the_end_are_told_apart() {
        for (count, blocks, kind, messages) in [
            (1, &b"\0\x01a"[..], PacketKind::Messages, 1),
            (0, b"", PacketKind::Heartbeat, 0),
            (END_OF_SESSION, b"", PacketKind::EndOfSession, 0),
        ] {
            let payload = packet(7, count, blocks);
            let parsed = parse(&payload).unwrap();
            assert_eq!((parsed.kind, parsed.sequence, parsed.count), (kind, 7, messages));
            assert_eq!(parsed.session, Session::MoldUdp64(*b"000010059B"));
            assert!(parsed.blocks.eq((0..messages).map(|_| Ok(&b"a"[..]))));
        }
    }

    #[test]
    fn a_heartbeat_with_bytes_after_it_is_reported() {
        let payload = packet(7, 0, b"xy");
        let mut blocks = parse(&payload).unwrap().blocks;
        assert_eq!(blocks.next(), Some(Err(Malformed::TrailingBytes { found: 2 })));
        assert_eq!(blocks.next(), None);
    }

    #[test]
    fn a_header_that_cannot_be_is_an_error() {
        let payload = packet(7, 0, b"");
        let short = Malformed::ShortHeader { expected: 20, found: 19 };
        assert_eq!(parse(&payload[..19]), Err(short));
        let payload = packet(u64::MAX, 1, b"\0\x01a");
        assert!(matches!(parse(&payload), Err(Malformed::OutOfRange { .. })));
    }
}
