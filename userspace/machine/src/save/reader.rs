//! Reads saved books part by part: checks what is around them first.

use zerocopy::FromBytes;
use zerocopy::little_endian::U32;

use super::format::Header;
use crate::books::LimitsError;

pub(super) const MAGIC: [u8; 8] = *b"WBKBOOKS";

/// The version of the layout. A layout that changes, a counter among them, is another one.
pub(super) const VERSION: u32 = 2;

/// Bytes of the checksum at the end.
pub(super) const CHECKSUM_BYTES: usize = size_of::<u32>();

/// Why bytes are not the books of a shard.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RestoreError {
    /// The bytes end too early.
    #[error("expected {expected_bytes} bytes of saved books, found {found_bytes}")]
    Truncated {
        /// As many as there must be, as far as the bytes tell.
        expected_bytes: u64,
        /// As many as there are.
        found_bytes: u64,
    },
    /// The bytes are something else.
    #[error("expected saved books, which begin with {expected:02x?}, found {found:02x?}")]
    Magic {
        /// What saved books begin with.
        expected: [u8; 8],
        /// What the bytes begin with.
        found: [u8; 8],
    },
    /// Another version of Wirebook saved the books.
    #[error("expected saved books of version {expected}, found version {found}")]
    Version {
        /// The version that this program reads and writes.
        expected: u32,
        /// The version of the bytes.
        found: u32,
    },
    /// The bytes were changed since they were saved.
    #[error("expected a CRC-32 of {expected:#010x} over the saved books, found {found:#010x}")]
    Checksum {
        /// The checksum that the bytes name.
        expected: u32,
        /// The checksum that they have.
        found: u32,
    },
    /// The books do not fit the limits.
    #[error("expected at most {limit} {what} by the limits, found {found} in the saved books")]
    ExceedsLimits {
        /// `instruments`, `orders`, `levels`, or `rungs`: places for sorted prices, of which the
        /// limits on levels and instruments make four a level and sixteen an instrument.
        what: &'static str,
        /// As many as there may be.
        limit: usize,
        /// As many as there are.
        found: usize,
    },
    /// The bytes are whole and say what no books can be.
    #[error("expected {expected} in the saved books, found {found}")]
    Inconsistent {
        /// What is true of books.
        expected: &'static str,
        /// What the bytes say.
        found: String,
    },
    /// The host has no room for books of these limits.
    #[error(transparent)]
    Limits(#[from] LimitsError),
}

/// Reads what lies between header and checksum, both of which it has checked.
pub(super) struct Reader<'a> {
    left: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Result<Self, RestoreError> {
        let found_bytes = bytes.len() as u64;
        let truncated =
            |expected| RestoreError::Truncated { expected_bytes: expected, found_bytes };
        let least = size_of::<Header>() + CHECKSUM_BYTES;
        let (header, _) = Header::read_from_prefix(bytes).map_err(|_| truncated(least as u64))?;
        if header.magic != MAGIC {
            return Err(RestoreError::Magic { expected: MAGIC, found: header.magic });
        }
        if header.version != VERSION {
            let found = header.version.get();
            return Err(RestoreError::Version { expected: VERSION, found });
        }
        let expected = header.length_bytes.get();
        if found_bytes < expected.max(least as u64) {
            return Err(truncated(expected.max(least as u64)));
        }
        if found_bytes > expected {
            let found = format!("{} more", found_bytes - expected);
            return Err(inconsistent("no bytes after the checksum", found));
        }
        let (body, checksum) = bytes.split_at(bytes.len() - CHECKSUM_BYTES);
        let expected = U32::read_from_bytes(checksum).map_or(0, U32::get);
        let found = crc32fast::hash(body);
        if expected != found {
            return Err(RestoreError::Checksum { expected, found });
        }
        Ok(Self { left: &body[size_of::<Header>()..] })
    }

    pub(super) fn take<T: FromBytes>(&mut self) -> Result<T, RestoreError> {
        let (value, left) = T::read_from_prefix(self.left).map_err(|_| {
            inconsistent("counts that the length covers", format!("{} bytes left", self.left.len()))
        })?;
        self.left = left;
        Ok(value)
    }

    pub(super) fn end(self) -> Result<(), RestoreError> {
        match self.left.len() {
            0 => Ok(()),
            left => Err(inconsistent("counts that cover the length", format!("{left} bytes left"))),
        }
    }
}

pub(super) fn inconsistent(expected: &'static str, found: String) -> RestoreError {
    RestoreError::Inconsistent { expected, found }
}
