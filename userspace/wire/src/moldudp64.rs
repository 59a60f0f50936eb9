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

/// The highest number of a packet's first message: from it, the messages of the largest packet and what
/// follows it can be counted in 64 bits.
const SEQUENCE_MAX: u64 = u64::MAX - 2 * u16::MAX as u64;

/// The packet in a UDP payload.
///
/// # Errors
/// [`Malformed`] where the header is cut or its sequence numbers lie where no stream gets.
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
    if sequence > SEQUENCE_MAX {
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

/// Asks a re-request server for messages to be sent again ("Request Packet").
///
/// It is laid out as the header of a downstream packet. The answer is an ordinary downstream
/// packet, by unicast to the sender; it may hold fewer messages than were asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Request {
    /// `Session`.
    pub session: [u8; 10],
    /// `Sequence Number` of the first message wanted.
    pub sequence: u64,
    /// `Requested Message Count`.
    pub count: u16,
}

/// Length of a request packet.
pub const REQUEST_BYTES: usize = size_of::<Header>();

impl Request {
    /// The packet.
    pub fn encode(&self) -> [u8; REQUEST_BYTES] {
        zerocopy::transmute!(Header {
            session: self.session,
            sequence_number: self.sequence.into(),
            message_count: self.count.into(),
        })
    }

    /// The request in a UDP payload, as a re-request server reads it.
    ///
    /// # Errors
    /// [`Malformed`] where the payload is not of a request's length or its range would overflow.
    pub fn parse(payload: &[u8]) -> Result<Self, Malformed> {
        let Ok((header, rest)) = Header::ref_from_prefix(payload) else {
            return Err(Malformed::ShortHeader { expected: REQUEST_BYTES, found: payload.len() });
        };
        if !rest.is_empty() {
            return Err(Malformed::TrailingBytes { found: rest.len() });
        }
        let (sequence, count) = (header.sequence_number.get(), header.message_count.get());
        if sequence.checked_add(u64::from(count)).is_none() {
            return Err(Malformed::OutOfRange { field: "Sequence Number", found: sequence });
        }
        Ok(Self { session: header.session, sequence, count })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_laid_out_as_the_specification_shows() {
        let request = Request { session: *b"000010059B", sequence: 0x0102, count: 0x0304 };
        assert_eq!(&request.encode(), b"000010059B\0\0\0\0\0\0\x01\x02\x03\x04");
        assert_eq!(Request::parse(&request.encode()), Ok(request));
    }

    #[test]
    fn a_request_of_another_length_or_past_the_last_sequence_is_an_error() {
        let request = Request { session: *b"000010059B", sequence: 7, count: 1 };
        let bytes = request.encode();
        for length in 0..REQUEST_BYTES {
            let error = Malformed::ShortHeader { expected: 20, found: length };
            assert_eq!(Request::parse(&bytes[..length]), Err(error));
        }
        let longer = [&bytes[..], b"x"].concat();
        assert_eq!(Request::parse(&longer), Err(Malformed::TrailingBytes { found: 1 }));
        let far = Request { sequence: u64::MAX, ..request };
        assert!(matches!(Request::parse(&far.encode()), Err(Malformed::OutOfRange { .. })));
    }

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
    fn the_last_sequence_leaves_room_to_count_beyond_the_packet() {
        // A block too many, so that the packet's end is one more item than it has messages.
        let payload = packet(SEQUENCE_MAX, 2, b"\0\x01a\0\x01b\0\x01c");
        let parsed = parse(&payload).unwrap();
        let numbered: Vec<_> = (parsed.sequence..).zip(parsed.blocks).collect();
        let error = Malformed::TrailingBytes { found: 3 };
        assert_eq!(
            numbered[1..],
            [(SEQUENCE_MAX + 1, Ok(&b"b"[..])), (SEQUENCE_MAX + 2, Err(error))]
        );
        assert!(SEQUENCE_MAX.checked_add(2 * u64::from(u16::MAX)).is_some());
        let beyond = packet(SEQUENCE_MAX + 1, 1, b"\0\x01a");
        assert!(matches!(parse(&beyond), Err(Malformed::OutOfRange { .. })));
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
