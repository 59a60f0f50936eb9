//! The packets of both ends: read from a frame, written to a buffer.

use super::login::LoginRequest;
use crate::ascii::{NUMBER_BYTES, format_number, parse_number};

/// A framed packet of any type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    /// `Packet Type`.
    pub kind: u8,
    /// What follows the type.
    pub payload: &'a [u8],
}

/// Why a login was refused (§2.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RejectReason {
    /// `A`: user name and password are not a valid pair.
    NotAuthorised,
    /// `S`: the requested session does not exist or is not available.
    SessionUnavailable,
    /// A code that version 3.00 does not name.
    Other(u8),
}

/// Why a packet cannot be read or written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PacketError {
    /// The payload ends before the type's last field does.
    #[error("expected a payload of {expected} bytes in a packet of type {kind:?}, found {found}")]
    Short {
        /// The type.
        kind: char,
        /// Bytes of the type's fields.
        expected: usize,
        /// Bytes of the payload.
        found: usize,
    },
    /// A numeric field holds something else.
    #[error("expected 20 bytes of spaces and then digits in {field}, found \"{}\"", found.escape_ascii())]
    NotANumber {
        /// The field, as the specification names it.
        field: &'static str,
        /// Its bytes.
        found: [u8; NUMBER_BYTES],
    },
    /// The payload does not fit into a packet.
    #[error("expected a payload of at most 65534 bytes, found {found}")]
    TooLong {
        /// Bytes of the payload.
        found: usize,
    },
}

/// A packet that a server sends (§2.1, §2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerPacket<'a> {
    /// `+`: text for people.
    Debug(&'a [u8]),
    /// `A`: the client is logged in.
    LoginAccepted {
        /// The session, padded on the left.
        session: [u8; 10],
        /// Sequence of the next sequenced packet.
        sequence: u64,
    },
    /// `J`: it is not.
    LoginRejected(RejectReason),
    /// `S`: one message of the session.
    SequencedData(&'a [u8]),
    /// `H`: the server lives.
    Heartbeat,
    /// `Z`: no more messages in this session.
    EndOfSession,
    /// A type that version 3.00 does not name.
    Unknown(u8),
}

/// A packet that a client sends (§2.1, §2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientPacket<'a> {
    /// `+`: text for people.
    Debug(&'a [u8]),
    /// `L`: the first packet of a connection.
    LoginRequest(LoginRequest),
    /// `U`: one message of the client.
    UnsequencedData(&'a [u8]),
    /// `R`: the client lives.
    Heartbeat,
    /// `O`: the client asks to be logged out.
    LogoutRequest,
    /// A type that version 3.00 does not name.
    Unknown(u8),
}

impl RejectReason {
    /// `Reject Reason Code`.
    pub fn code(self) -> u8 {
        match self {
            Self::NotAuthorised => b'A',
            Self::SessionUnavailable => b'S',
            Self::Other(code) => code,
        }
    }

    fn of_code(code: u8) -> Self {
        match code {
            b'A' => Self::NotAuthorised,
            b'S' => Self::SessionUnavailable,
            code => Self::Other(code),
        }
    }
}

impl std::fmt::Display for RejectReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotAuthorised => f.write_str("not authorised"),
            Self::SessionUnavailable => f.write_str("session not available"),
            Self::Other(code) => write!(f, "reason '{}'", code.escape_ascii()),
        }
    }
}

impl<'a> ServerPacket<'a> {
    /// Reads a frame. Bytes after a type's last field are stepped over.
    ///
    /// # Errors
    /// [`PacketError`] where the payload is too short for its type or a number is none.
    pub fn parse(packet: Packet<'a>) -> Result<Self, PacketError> {
        Ok(match packet.kind {
            b'+' => Self::Debug(packet.payload),
            b'A' => {
                let [session, sequence] = parts(packet, [10, NUMBER_BYTES])?;
                Self::LoginAccepted {
                    session: array(session),
                    sequence: number("Sequence Number", sequence)?,
                }
            }
            b'J' => {
                let [code] = parts(packet, [1])?;
                Self::LoginRejected(RejectReason::of_code(code[0]))
            }
            b'S' => Self::SequencedData(packet.payload),
            b'H' => Self::Heartbeat,
            b'Z' => Self::EndOfSession,
            kind => Self::Unknown(kind),
        })
    }

    /// Appends the packet to `out`.
    ///
    /// # Errors
    /// [`PacketError::TooLong`] where data or text does not fit.
    pub fn write(&self, out: &mut Vec<u8>) -> Result<(), PacketError> {
        match self {
            Self::Debug(text) => push(out, b'+', &[text]),
            Self::LoginAccepted { session, sequence } => {
                push(out, b'A', &[session, &format_number(*sequence)])
            }
            Self::LoginRejected(reason) => push(out, b'J', &[&[reason.code()]]),
            Self::SequencedData(message) => push(out, b'S', &[message]),
            Self::Heartbeat => push(out, b'H', &[]),
            Self::EndOfSession => push(out, b'Z', &[]),
            Self::Unknown(kind) => push(out, *kind, &[]),
        }
    }
}

impl<'a> ClientPacket<'a> {
    /// Reads a frame. Bytes after a type's last field are stepped over.
    ///
    /// # Errors
    /// [`PacketError`] where the payload is too short for its type or a number is none.
    pub fn parse(packet: Packet<'a>) -> Result<Self, PacketError> {
        Ok(match packet.kind {
            b'+' => Self::Debug(packet.payload),
            b'L' => {
                let [username, password, session, sequence] =
                    parts(packet, [6, 10, 10, NUMBER_BYTES])?;
                Self::LoginRequest(LoginRequest {
                    username: array(username),
                    password: array(password),
                    session: array(session),
                    sequence: number("Requested Sequence Number", sequence)?,
                })
            }
            b'U' => Self::UnsequencedData(packet.payload),
            b'R' => Self::Heartbeat,
            b'O' => Self::LogoutRequest,
            kind => Self::Unknown(kind),
        })
    }

    /// Appends the packet to `out`.
    ///
    /// # Errors
    /// [`PacketError::TooLong`] where data or text does not fit.
    pub fn write(&self, out: &mut Vec<u8>) -> Result<(), PacketError> {
        match self {
            Self::Debug(text) => push(out, b'+', &[text]),
            Self::LoginRequest(LoginRequest { username, password, session, sequence }) => {
                push(out, b'L', &[username, password, session, &format_number(*sequence)])
            }
            Self::UnsequencedData(message) => push(out, b'U', &[message]),
            Self::Heartbeat => push(out, b'R', &[]),
            Self::LogoutRequest => push(out, b'O', &[]),
            Self::Unknown(kind) => push(out, *kind, &[]),
        }
    }
}

/// Splits a payload into fields of these lengths.
fn parts<const N: usize>(
    packet: Packet<'_>,
    lengths: [usize; N],
) -> Result<[&[u8]; N], PacketError> {
    let expected = lengths.iter().sum();
    let found = packet.payload.len();
    if found < expected {
        return Err(PacketError::Short { kind: char::from(packet.kind), expected, found });
    }
    let mut rest = packet.payload;
    Ok(lengths.map(|length| {
        let (field, after) = rest.split_at(length);
        rest = after;
        field
    }))
}

fn array<const N: usize>(field: &[u8]) -> [u8; N] {
    let mut bytes = [b' '; N];
    bytes.copy_from_slice(field);
    bytes
}

fn number(field: &'static str, bytes: &[u8]) -> Result<u64, PacketError> {
    let found = array(bytes);
    parse_number(&found).ok_or(PacketError::NotANumber { field, found })
}

fn push(out: &mut Vec<u8>, kind: u8, parts: &[&[u8]]) -> Result<(), PacketError> {
    let found = parts.iter().map(|part| part.len()).sum::<usize>();
    let length = u16::try_from(found + 1).map_err(|_| PacketError::TooLong { found })?;
    out.extend(length.to_be_bytes());
    out.push(kind);
    parts.iter().for_each(|part| out.extend_from_slice(part));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::soupbintcp::ReceiveBuffer;

    fn framed(bytes: &[u8]) -> ReceiveBuffer {
        let mut buffer = ReceiveBuffer::default();
        buffer.room()[..bytes.len()].copy_from_slice(bytes);
        buffer.received(bytes.len());
        buffer
    }

    #[test]
    fn login_packets_are_laid_out_as_the_specification_shows() {
        let login = LoginRequest::new("user", "secret", "", 1).unwrap();
        let mut bytes = Vec::new();
        ClientPacket::LoginRequest(login).write(&mut bytes).unwrap();
        let fields =
            [&b"\0\x2fLuser  secret    "[..], &[b' '; 10], b"                   1"].concat();
        assert_eq!(bytes, fields);
        let mut bytes = Vec::new();
        let accepted = ServerPacket::LoginAccepted { session: *b"    000042", sequence: 17 };
        accepted.write(&mut bytes).unwrap();
        assert_eq!(bytes, b"\0\x1fA    000042                  17");
    }

    #[test]
    fn every_server_packet_is_read_as_it_was_written() {
        let packets = [
            ServerPacket::Debug(b"hello"),
            ServerPacket::LoginAccepted { session: *b"    000042", sequence: u64::MAX },
            ServerPacket::LoginRejected(RejectReason::NotAuthorised),
            ServerPacket::LoginRejected(RejectReason::SessionUnavailable),
            ServerPacket::LoginRejected(RejectReason::Other(b'?')),
            ServerPacket::SequencedData(b"\0anything\xff"),
            ServerPacket::SequencedData(b""),
            ServerPacket::Heartbeat,
            ServerPacket::EndOfSession,
            ServerPacket::Unknown(b'U'),
        ];
        let mut bytes = Vec::new();
        packets.iter().for_each(|packet| packet.write(&mut bytes).unwrap());
        let mut buffer = framed(&bytes);
        for packet in packets {
            let frame = buffer.next_packet().unwrap().unwrap();
            assert_eq!(ServerPacket::parse(frame), Ok(packet));
        }
    }

    #[test]
    fn every_client_packet_is_read_as_it_was_written() {
        let login = LoginRequest::new("user", "secret", "000042", 99).unwrap();
        let packets = [
            ClientPacket::Debug(b""),
            ClientPacket::LoginRequest(login),
            ClientPacket::UnsequencedData(b"order"),
            ClientPacket::Heartbeat,
            ClientPacket::LogoutRequest,
            ClientPacket::Unknown(b'?'),
        ];
        let mut bytes = Vec::new();
        packets.iter().for_each(|packet| packet.write(&mut bytes).unwrap());
        let mut buffer = framed(&bytes);
        for packet in packets {
            let frame = buffer.next_packet().unwrap().unwrap();
            assert_eq!(ClientPacket::parse(frame), Ok(packet));
        }
    }

    #[test]
    fn every_cut_of_a_payload_is_an_error_and_more_bytes_are_stepped_over() {
        let session_and_sequence = b"    000042                  17";
        for length in 0..session_and_sequence.len() {
            let packet = Packet { kind: b'A', payload: &session_and_sequence[..length] };
            let error = PacketError::Short { kind: 'A', expected: 30, found: length };
            assert_eq!(ServerPacket::parse(packet), Err(error));
            let packet = Packet { kind: b'L', payload: &session_and_sequence[..length] };
            assert!(matches!(ClientPacket::parse(packet), Err(PacketError::Short { .. })));
        }
        let grown = [&session_and_sequence[..], b"more"].concat();
        let packet = Packet { kind: b'A', payload: &grown };
        assert!(matches!(
            ServerPacket::parse(packet),
            Ok(ServerPacket::LoginAccepted { sequence: 17, .. })
        ));
        let packet = Packet { kind: b'J', payload: b"" };
        assert!(matches!(ServerPacket::parse(packet), Err(PacketError::Short { .. })));
    }

    #[test]
    fn a_sequence_that_is_no_number_is_an_error() {
        let packet = Packet { kind: b'A', payload: b"    00004217                  " };
        let error = ServerPacket::parse(packet).unwrap_err();
        assert_eq!(
            error.to_string(),
            "expected 20 bytes of spaces and then digits in Sequence Number, \
             found \"17                  \""
        );
    }

    #[test]
    fn a_payload_that_does_not_fit_is_refused() {
        let message = vec![0; 65_535];
        let mut bytes = Vec::new();
        let error = ServerPacket::SequencedData(&message).write(&mut bytes);
        assert_eq!(error, Err(PacketError::TooLong { found: 65_535 }));
        assert!(bytes.is_empty());
        assert_eq!(ServerPacket::SequencedData(&message[1..]).write(&mut bytes), Ok(()));
        assert_eq!(bytes.len(), 65_537);
    }
}
