//! GLIMPSE, Nasdaq's snapshot of every book.
//!
//! Arrives: the sequenced messages of a SoupBinTCP session that was logged in for sequence 1
//! ([`FIRST_SEQUENCE`]). Leaves: each as an ITCH message, and the end of the snapshot with the
//! sequence from which the live feed is to be applied. Promises: nothing but the exact layout
//! passes for the end. Counts nothing.
//!
//! Source: Nasdaq GLIMPSE 5.0. §2: the data come by SoupBinTCP, and "users must login … for
//! sequence 1"; §4.1 to §4.6: system events, directory, trading actions and orders are laid out as
//! in TotalView-ITCH 5.0; §4.7, "Snapshot Message": `G` and the sequence in 20 ASCII characters.
//! ITCH 5.0 itself has no message of type `G`.

use crate::ascii::{NUMBER_BYTES, format_number, parse_number};

/// The sequence to log in for, and that of the first message.
pub const FIRST_SEQUENCE: u64 = 1;

/// Length of the end of a snapshot.
pub const END_BYTES: usize = 1 + NUMBER_BYTES;

/// A message of a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// An ITCH 5.0 message, to be decoded as one of the live feed.
    Itch(&'a [u8]),
    /// The snapshot is whole.
    End {
        /// The first sequence of the live feed that is not in the snapshot.
        sequence: u64,
    },
}

/// An end of a snapshot that cannot be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EndError {
    /// Another length than the specification's.
    #[error("expected a snapshot's end of 21 bytes, found {found}")]
    Length {
        /// Length of the message.
        found: usize,
    },
    /// The sequence is no number, or no sequence: they start at 1.
    #[error("expected a sequence from 1 up in 20 characters, found \"{}\"", found.escape_ascii())]
    Sequence {
        /// The field.
        found: [u8; NUMBER_BYTES],
    },
}

/// Reads one sequenced message of a snapshot.
///
/// # Errors
/// [`EndError`] where a message of type `G` is not laid out as the end of a snapshot.
pub fn parse(message: &[u8]) -> Result<Message<'_>, EndError> {
    let Some((b'G', field)) = message.split_first() else {
        return Ok(Message::Itch(message));
    };
    let field = field.try_into().map_err(|_| EndError::Length { found: message.len() })?;
    match parse_number(field) {
        None | Some(0) => Err(EndError::Sequence { found: *field }),
        Some(sequence) => Ok(Message::End { sequence }),
    }
}

/// The end of a snapshot after which the live feed goes on at `sequence`.
pub fn end_of_snapshot(sequence: u64) -> [u8; END_BYTES] {
    let mut message = [b'G'; END_BYTES];
    message[1..].copy_from_slice(&format_number(sequence));
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_names_the_sequence_to_go_on_from() {
        assert_eq!(&end_of_snapshot(48_326), b"G               48326");
        for sequence in [1, 48_326, u64::MAX] {
            assert_eq!(parse(&end_of_snapshot(sequence)), Ok(Message::End { sequence }));
        }
        assert_eq!(parse(b"G00000000000000048326"), Ok(Message::End { sequence: 48_326 }));
    }

    #[test]
    fn every_other_message_is_itch() {
        for message in [&b"R\0\x01"[..], b"A", b"", b"\0G"] {
            assert_eq!(parse(message), Ok(Message::Itch(message)));
        }
    }

    #[test]
    fn an_end_that_is_cut_or_has_grown_is_an_error() {
        let end = end_of_snapshot(48_326);
        for length in 1..end.len() {
            assert_eq!(parse(&end[..length]), Err(EndError::Length { found: length }));
        }
        let grown = [&end[..], b"0"].concat();
        assert_eq!(parse(&grown), Err(EndError::Length { found: 22 }));
    }

    #[test]
    fn a_sequence_that_is_none_is_an_error() {
        for field in [
            b"                    ",
            b"                   0",
            b"                  -1",
            b"48326               ",
            b"18446744073709551616",
            b"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01",
        ] {
            let message = [b"G", &field[..]].concat();
            assert_eq!(parse(&message), Err(EndError::Sequence { found: *field }));
        }
    }
}
