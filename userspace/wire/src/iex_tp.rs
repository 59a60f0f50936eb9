//! IEX-TP, the transport of the IEX feeds.
//!
//! Source: IEX Transport Specification, "Outbound Segments" and "IEX-TP Header": a
//! header of 40 bytes, then `Message Count` blocks, each a two-byte length and the message.
//! Numbers are little-endian. A segment without payload is a heartbeat and names the next
//! sequence and stream offset; the end of a session is a message of the higher layer (DEEP and
//! TOPS `System Event`, code `C`), not one of the transport.

use crate::transport::{Blocks, Malformed, PacketKind, Session, TransportPacket};
use zerocopy::byteorder::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// The version of the transport that this module reads.
pub const VERSION: u8 = 1;
/// `Message Protocol ID` of TOPS 1.6 (TOPS Specification, "Network Details").
pub const TOPS_1_6: u16 = 0x8003;
/// `Message Protocol ID` of DEEP 1.0 (DEEP Specification, "Network Details").
pub const DEEP_1_0: u16 = 0x8004;

/// The header of a segment.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Header {
    /// `Version` of the transport.
    pub version: u8,
    /// `(Reserved)`.
    pub reserved: u8,
    /// `Message Protocol ID`: which higher layer the messages are of.
    pub message_protocol_id: U16,
    /// `Channel ID`: the stream within the session.
    pub channel_id: U32,
    /// `Session ID`.
    pub session_id: U32,
    /// `Payload Length`, bytes after this header.
    pub payload_length: U16,
    /// `Message Count`.
    pub message_count: U16,
    /// `Stream Offset` of the first payload byte; a signed number that is never negative.
    pub stream_offset: U64,
    /// `First Message Sequence Number`; signed, never negative.
    pub first_message_sequence_number: U64,
    /// `Send Time`, nanoseconds since the UNIX epoch; signed, never negative.
    pub send_time: U64,
}

/// The segment in a UDP payload, which must carry `message_protocol_id`.
///
/// # Errors
/// [`Malformed`] where the header is cut, is of another version or protocol, or holds a number
/// that no stream can reach. A payload length that is not what is there comes out of the blocks,
/// after the messages that are whole.
#[inline]
pub fn parse(payload: &[u8], message_protocol_id: u16) -> Result<TransportPacket<'_>, Malformed> {
    let Ok((header, rest)) = Header::ref_from_prefix(payload) else {
        return Err(Malformed::ShortHeader { expected: size_of::<Header>(), found: payload.len() });
    };
    header.check(message_protocol_id)?;
    let (expected, found) = (usize::from(header.payload_length.get()), rest.len());
    let at_end = (expected != found).then_some(Malformed::PayloadLength { expected, found });
    let count = header.message_count.get();
    Ok(TransportPacket {
        session: Session::IexTp {
            session_id: header.session_id.get(),
            channel_id: header.channel_id.get(),
        },
        sequence: header.first_message_sequence_number.get(),
        count,
        kind: if count == 0 { PacketKind::Heartbeat } else { PacketKind::Messages },
        ts_sent: header.send_time.get(),
        blocks: Blocks::little_endian(&rest[..expected.min(found)], count, at_end),
    })
}

impl Header {
    #[inline]
    fn check(&self, expected: u16) -> Result<(), Malformed> {
        if self.version != VERSION {
            return Err(Malformed::Version { expected: VERSION, found: self.version });
        }
        let found = self.message_protocol_id.get();
        if found != expected {
            return Err(Malformed::MessageProtocol { expected, found });
        }
        // The specification's type is a signed 64-bit number: beyond it, the sum of a number and
        // what one segment can add to it would be past its range, or the number negative.
        let reachable = i64::MAX as u64 - u64::from(u16::MAX);
        for (field, found) in [
            ("Stream Offset", self.stream_offset.get()),
            ("First Message Sequence Number", self.first_message_sequence_number.get()),
            ("Send Time", self.send_time.get()),
        ] {
            if found > reachable {
                return Err(Malformed::OutOfRange { field, found });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(payload_length: u16, message_count: u16) -> Header {
        Header {
            version: VERSION,
            reserved: 0,
            message_protocol_id: DEEP_1_0.into(),
            channel_id: 1.into(),
            session_id: 1_286_602_752.into(),
            payload_length: payload_length.into(),
            message_count: message_count.into(),
            stream_offset: 9.into(),
            first_message_sequence_number: 7.into(),
            send_time: 1_696_246_475_036_614_045.into(),
        }
    }

    fn packet(header: Header, blocks: &[u8]) -> Vec<u8> {
        [header.as_bytes(), blocks].concat()
    }

    fn outcomes(payload: &[u8]) -> Vec<Result<&[u8], Malformed>> {
        parse(payload, DEEP_1_0).unwrap().blocks.collect()
    }

    #[test]
    fn a_segment_is_read() {
        let payload = packet(header(3, 1), b"\x01\0a");
        let parsed = parse(&payload, DEEP_1_0).unwrap();
        assert_eq!(parsed.session, Session::IexTp { session_id: 1_286_602_752, channel_id: 1 });
        assert_eq!((parsed.sequence, parsed.count), (7, 1));
        assert_eq!(
            (parsed.kind, parsed.ts_sent),
            (PacketKind::Messages, 1_696_246_475_036_614_045)
        );
        assert_eq!(outcomes(&payload), [Ok(&b"a"[..])]);
        let heartbeat = packet(header(0, 0), b"");
        assert_eq!(parse(&heartbeat, DEEP_1_0).unwrap().kind, PacketKind::Heartbeat);
        assert_eq!(outcomes(&heartbeat), []);
    }

    #[test]
    fn the_payload_length_and_the_message_count_must_hold() {
        let whole = Ok(&b"a"[..]);
        for (length, count, blocks, expected) in [
            (
                3,
                1,
                &b"\x01\0a!"[..],
                vec![whole, Err(Malformed::PayloadLength { expected: 3, found: 4 })],
            ),
            (
                4,
                1,
                b"\x01\0a",
                vec![whole, Err(Malformed::PayloadLength { expected: 4, found: 3 })],
            ),
            (4, 1, b"\x01\0a!", vec![whole, Err(Malformed::TrailingBytes { found: 1 })]),
            (3, 2, b"\x01\0a", vec![whole, Err(Malformed::Truncated { missing: 1, found: 0 })]),
            (2, 1, b"\x01\0a", vec![Err(Malformed::Truncated { missing: 1, found: 2 })]),
            (3, 0, b"\x01\0a", vec![Err(Malformed::TrailingBytes { found: 3 })]),
        ] {
            assert_eq!(outcomes(&packet(header(length, count), blocks)), expected);
        }
    }

    #[test]
    fn a_header_that_cannot_be_is_an_error() {
        let good = header(0, 0);
        let bad = [
            Header { version: 2, ..good },
            Header { message_protocol_id: TOPS_1_6.into(), ..good },
            Header { stream_offset: u64::MAX.into(), ..good },
            Header { first_message_sequence_number: (1 << 63).into(), ..good },
            Header { send_time: u64::MAX.into(), ..good },
        ];
        assert!(parse(good.as_bytes(), DEEP_1_0).is_ok());
        for header in bad {
            assert!(parse(header.as_bytes(), DEEP_1_0).is_err(), "{header:?}");
        }
        assert!(parse(&good.as_bytes()[..39], DEEP_1_0).is_err());
    }
}
