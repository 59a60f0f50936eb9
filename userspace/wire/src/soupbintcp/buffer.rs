//! The bytes of a connection, until they make whole packets.

use super::packet::Packet;
use super::{LENGTH_BYTES, PACKET_LENGTH_MAX};
use std::ops::Range;

/// What is read from the connection at once, at least.
const READ_BYTES: usize = 64 * 1024;

/// A stream that cannot be framed: what follows in it has no meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// `Packet Length` counts the type, so it is never 0.
    #[error("expected a packet length from 1 up, found 0")]
    Empty,
    /// `Packet Length` is above our limit.
    #[error("expected a packet length of at most {limit}, found {found}")]
    TooLong {
        /// The limit of the buffer.
        limit: u16,
        /// The length in the stream.
        found: u16,
    },
}

/// Holds received bytes and gives them as whole packets.
///
/// Read into [`ReceiveBuffer::room`], say how much came, and take packets until there are none.
/// Its memory is taken once and never grows.
#[derive(Debug)]
pub struct ReceiveBuffer {
    bytes: Box<[u8]>,
    /// What has been received and not been taken.
    held: Range<usize>,
    limit: u16,
}

impl ReceiveBuffer {
    /// A buffer that refuses packets whose `Packet Length` is above `packet_length_max`.
    pub fn new(packet_length_max: u16) -> Self {
        let packet_bytes = LENGTH_BYTES + usize::from(packet_length_max);
        let bytes = vec![0; packet_bytes.max(READ_BYTES)].into_boxed_slice();
        Self { bytes, held: 0..0, limit: packet_length_max }
    }

    /// Where the connection's next bytes go. Never empty once every whole packet was taken.
    pub fn room(&mut self) -> &mut [u8] {
        self.bytes.copy_within(self.held.clone(), 0);
        self.held = 0..self.held.len();
        &mut self.bytes[self.held.end..]
    }

    /// Says that `byte_count` bytes were put at the start of [`ReceiveBuffer::room`].
    pub fn received(&mut self, byte_count: usize) {
        self.held.end = (self.held.end + byte_count).min(self.bytes.len());
    }

    /// The next whole packet.
    ///
    /// # Errors
    /// [`FrameError`] where the stream has lost its frame; it stays so.
    pub fn next_packet(&mut self) -> Result<Option<Packet<'_>>, FrameError> {
        Ok(self.take()?.map(|place| self.packet(place)))
    }

    /// Bytes of a packet that is not whole.
    pub fn held_bytes(&self) -> usize {
        self.held.len()
    }

    /// Takes the next whole packet and gives its place: type and payload.
    pub(super) fn take(&mut self) -> Result<Option<Range<usize>>, FrameError> {
        let Some((prefix, rest)) = self.bytes[self.held.clone()].split_first_chunk() else {
            return Ok(None);
        };
        let length = match u16::from_be_bytes(*prefix) {
            0 => return Err(FrameError::Empty),
            found if found > self.limit => {
                return Err(FrameError::TooLong { limit: self.limit, found });
            }
            length => usize::from(length),
        };
        if rest.len() < length {
            return Ok(None);
        }
        let start = self.held.start + LENGTH_BYTES;
        self.held.start = start + length;
        Ok(Some(start..start + length))
    }

    /// The packet at a place that [`ReceiveBuffer::take`] gave, until there is new room.
    pub(super) fn packet(&self, place: Range<usize>) -> Packet<'_> {
        match self.bytes[place].split_first() {
            Some((&kind, payload)) => Packet { kind, payload },
            None => Packet { kind: 0, payload: &[] },
        }
    }
}

impl Default for ReceiveBuffer {
    /// A buffer for every packet that the protocol allows.
    fn default() -> Self {
        Self::new(PACKET_LENGTH_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(buffer: &mut ReceiveBuffer, bytes: &[u8]) {
        buffer.room()[..bytes.len()].copy_from_slice(bytes);
        buffer.received(bytes.len());
    }

    #[test]
    fn a_packet_comes_out_when_its_last_byte_is_in() {
        let mut buffer = ReceiveBuffer::default();
        for byte in b"\0\x03Sab" {
            assert_eq!(buffer.next_packet(), Ok(None));
            put(&mut buffer, &[*byte]);
        }
        assert_eq!(buffer.next_packet(), Ok(Some(Packet { kind: b'S', payload: b"ab" })));
        assert_eq!(buffer.next_packet(), Ok(None));
        assert_eq!(buffer.held_bytes(), 0);
    }

    #[test]
    fn several_packets_of_one_read_come_out_in_order() {
        let mut buffer = ReceiveBuffer::default();
        put(&mut buffer, b"\0\x01H\0\x02Sa\0\x02Sb\0");
        for (kind, payload) in [(b'H', &b""[..]), (b'S', b"a"), (b'S', b"b")] {
            assert_eq!(buffer.next_packet(), Ok(Some(Packet { kind, payload })));
        }
        assert_eq!(buffer.next_packet(), Ok(None));
        assert_eq!(buffer.held_bytes(), 1);
    }

    #[test]
    fn a_length_of_zero_or_above_the_limit_is_an_error_before_the_packet_is_whole() {
        let mut buffer = ReceiveBuffer::new(10);
        put(&mut buffer, b"\0\0");
        assert_eq!(buffer.next_packet(), Err(FrameError::Empty));
        let mut buffer = ReceiveBuffer::new(10);
        put(&mut buffer, b"\0\x0a0123456789\0\x0b");
        assert!(matches!(buffer.next_packet(), Ok(Some(_))));
        let error = FrameError::TooLong { limit: 10, found: 11 };
        assert_eq!(buffer.next_packet(), Err(error));
        assert_eq!(buffer.next_packet(), Err(error), "it stays so");
    }

    #[test]
    fn the_longest_packet_fits_wherever_the_one_before_it_ended() {
        let mut buffer = ReceiveBuffer::new(PACKET_LENGTH_MAX);
        put(&mut buffer, b"\0\x01H\xff");
        assert!(matches!(buffer.next_packet(), Ok(Some(_))));
        put(&mut buffer, b"\xffS");
        let mut missing = usize::from(PACKET_LENGTH_MAX) - 1;
        while missing > 0 {
            assert_eq!(buffer.next_packet(), Ok(None));
            let room = buffer.room().len().min(missing);
            assert!(room > 0, "a buffer without a whole packet has room");
            buffer.received(room);
            missing -= room;
        }
        let packet = buffer.next_packet().unwrap().unwrap();
        assert_eq!(packet.payload.len(), usize::from(PACKET_LENGTH_MAX) - 1);
    }
}
