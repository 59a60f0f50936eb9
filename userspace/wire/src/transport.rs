//! One shape for every sequenced transport.
//!
//! Arrives: a UDP payload. Leaves: a [`TransportPacket`]: who numbers its messages, from which
//! number on, and its message [`Blocks`]. Promises: the whole blocks before a cut are given, in
//! order, and after them one [`Malformed`] that says what was expected and what was found; an
//! intact packet gives exactly its messages. Counts nothing: the caller counts the errors.

use crate::{iex_tp, moldudp64};
use std::fmt;

/// How a venue frames messages in a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// MoldUDP64 ([`moldudp64`]).
    MoldUdp64,
    /// IEX-TP ([`iex_tp`]) carrying this higher-layer protocol.
    IexTp {
        /// The `Message Protocol ID` that the segments must carry.
        message_protocol_id: u16,
    },
}

/// The stream that numbers the messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Session {
    /// MoldUDP64's session: ten characters, padded with spaces.
    MoldUdp64([u8; 10]),
    /// IEX-TP numbers the messages of a channel anew in each session.
    IexTp {
        /// `Session ID`.
        session_id: u32,
        /// `Channel ID`.
        channel_id: u32,
    },
}

impl fmt::Display for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MoldUdp64(name) => write!(f, "{}", name.trim_ascii().escape_ascii()),
            Self::IexTp { session_id, channel_id } => write!(f, "{session_id}/{channel_id}"),
        }
    }
}

/// What a packet is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PacketKind {
    /// It carries messages.
    Messages,
    /// It carries none and names the next sequence.
    Heartbeat,
    /// It carries none, and none will follow in this session.
    EndOfSession,
}

/// One packet of a sequenced stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransportPacket<'a> {
    /// The stream that the sequence belongs to.
    pub session: Session,
    /// Sequence of the first message; the next expected one where there is none.
    pub sequence: u64,
    /// Messages that the header announces: counting from `sequence` over all of them, and over what
    /// else [`TransportPacket::blocks`] gives, does not overflow.
    pub count: u16,
    /// What the packet is for.
    pub kind: PacketKind,
    /// When the venue sent it, nanoseconds since the UNIX epoch; 0 where it does not tell.
    pub ts_sent: u64,
    /// The messages.
    pub blocks: Blocks<'a>,
}

impl<'a> TransportPacket<'a> {
    /// The packet in a UDP payload.
    ///
    /// # Errors
    /// [`Malformed`] where the header cannot be trusted. What is wrong after it comes out of
    /// [`TransportPacket::blocks`].
    #[inline]
    pub fn parse(transport: Transport, payload: &'a [u8]) -> Result<Self, Malformed> {
        match transport {
            Transport::MoldUdp64 => moldudp64::parse(payload),
            Transport::IexTp { message_protocol_id } => iex_tp::parse(payload, message_protocol_id),
        }
    }
}

/// What is wrong with a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// The payload ends within the transport header.
    #[error("expected a header of {expected} bytes, found {found}")]
    ShortHeader {
        /// Length of the header.
        expected: usize,
        /// Bytes in the payload.
        found: usize,
    },
    /// Another version of the transport.
    #[error("expected transport version {expected}, found {found}")]
    Version {
        /// The version we read.
        expected: u8,
        /// The version in the header.
        found: u8,
    },
    /// Another protocol than the one this channel carries.
    #[error("expected message protocol {expected:#06x}, found {found:#06x}")]
    MessageProtocol {
        /// The protocol of the channel.
        expected: u16,
        /// The protocol in the header.
        found: u16,
    },
    /// A header field holds a value that its meaning rules out.
    #[error("expected a {field} that a stream can reach, found {found:#x}")]
    OutOfRange {
        /// The field, as the specification names it.
        field: &'static str,
        /// Its value.
        found: u64,
    },
    /// The packet ends before its last message does.
    #[error("expected {missing} more messages, found the packet's end after {found} bytes")]
    Truncated {
        /// Messages announced and not whole.
        missing: u16,
        /// Bytes left for them.
        found: usize,
    },
    /// Bytes follow the last message.
    #[error("expected the packet's end after its last message, found {found} more bytes")]
    TrailingBytes {
        /// How many.
        found: usize,
    },
    /// The header's payload length is not what is there.
    #[error("expected a payload of {expected} bytes, found {found}")]
    PayloadLength {
        /// What the header says.
        expected: usize,
        /// What is there.
        found: usize,
    },
}

/// The messages of a packet: blocks that each follow their two-byte length.
///
/// Gives every whole block, then at most one [`Malformed`], then nothing more. Bytes after the
/// last block are an error although every message was whole: the packet is not what its sender
/// meant, and the sequence numbers of its messages may not be either.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blocks<'a> {
    rest: &'a [u8],
    missing: u16,
    little_endian: bool,
    /// What was wrong with the header's lengths, given where the blocks show nothing worse.
    at_end: Option<Malformed>,
}

impl<'a> Blocks<'a> {
    /// `count` blocks with big-endian lengths: MoldUDP64, and Nasdaq's daily files.
    pub fn big_endian(bytes: &'a [u8], count: u16) -> Self {
        Self { rest: bytes, missing: count, little_endian: false, at_end: None }
    }

    /// `count` blocks with little-endian lengths: IEX-TP.
    pub(crate) fn little_endian(bytes: &'a [u8], count: u16, at_end: Option<Malformed>) -> Self {
        Self { rest: bytes, missing: count, little_endian: true, at_end }
    }

    fn end(&mut self) -> Option<Malformed> {
        let found = self.rest.len();
        self.rest = &[];
        let at_end = self.at_end.take();
        if self.missing > 0 {
            let missing = std::mem::take(&mut self.missing);
            return Some(Malformed::Truncated { missing, found });
        }
        if found > 0 { Some(Malformed::TrailingBytes { found }) } else { at_end }
    }
}

impl<'a> Iterator for Blocks<'a> {
    type Item = Result<&'a [u8], Malformed>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.missing > 0
            && let Some((prefix, rest)) = self.rest.split_first_chunk()
        {
            let [low, high] = if self.little_endian { *prefix } else { [prefix[1], prefix[0]] };
            // Where the next block begins waits for this length: one byte of it is there sooner than two.
            let length = if high == 0 { usize::from(low) } else { long(low, high) };
            if let Some((block, rest)) = rest.split_at_checked(length) {
                self.rest = rest;
                self.missing -= 1;
                return Some(Ok(block));
            }
        }
        self.end().map(Err)
    }
}

impl std::iter::FusedIterator for Blocks<'_> {}

/// The length of a block of 256 bytes or more, which no message about an order has.
#[cold]
#[inline(never)]
fn long(low: u8, high: u8) -> usize {
    usize::from(u16::from_le_bytes([low, high]))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: &[u8] = b"\0\x01a\0\x02bc";

    fn outcomes(bytes: &[u8], count: u16) -> Vec<Result<&[u8], Malformed>> {
        Blocks::big_endian(bytes, count).collect()
    }

    #[test]
    fn whole_packets_give_their_blocks_and_no_error() {
        assert_eq!(outcomes(TWO, 2), [Ok(&b"a"[..]), Ok(b"bc")]);
        assert_eq!(outcomes(b"", 0), []);
        assert_eq!(outcomes(b"\0\0\0\0", 2), [Ok(&b""[..]), Ok(b"")]);
        let little: Vec<_> = Blocks::little_endian(b"\x01\0a", 1, None).collect();
        assert_eq!(little, [Ok(&b"a"[..])]);
    }

    #[test]
    fn every_cut_gives_the_blocks_before_it_and_one_error() {
        for length in 0..TWO.len() {
            let found = outcomes(&TWO[..length], 2);
            let whole = usize::from(length >= 3);
            assert_eq!(found.len(), whole + 1, "{length}");
            assert!(found[..whole].iter().all(Result::is_ok));
            let missing = 2 - whole as u16;
            let left = length - 3 * whole;
            assert_eq!(found[whole], Err(Malformed::Truncated { missing, found: left }));
        }
    }

    #[test]
    fn extra_bytes_are_an_error_after_the_messages() {
        let error = Err(Malformed::TrailingBytes { found: 4 });
        assert_eq!(outcomes(TWO, 1), [Ok(&b"a"[..]), error]);
    }

    #[test]
    fn sessions_are_shown_without_padding_or_control_characters() {
        assert_eq!(Session::MoldUdp64(*b"000010059B").to_string(), "000010059B");
        assert_eq!(Session::MoldUdp64(*b"AB\n       ").to_string(), "AB");
        assert_eq!(Session::MoldUdp64(*b"A\x1bB       ").to_string(), "A\\x1bB");
        let session = Session::IexTp { session_id: 7, channel_id: 1 };
        assert_eq!(session.to_string(), "7/1");
    }
}
