//! What can be wrong with a capture file.

use std::io;
use std::path::PathBuf;

/// Why a capture could not be opened, or ended early.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// The file could not be opened.
    #[error("cannot open {path}: {source}", path = path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file could not be read, or what it was compressed with found it damaged.
    #[error("cannot read on after byte {at_byte} (uncompressed): {source}")]
    Read {
        /// Bytes given before.
        at_byte: u64,
        /// What the system or the decompressor said.
        source: io::Error,
    },
    /// Neither the file's first bytes nor its name say what it is.
    #[error(
        "{path}: expected a pcap, pcapng or DBN file, or a Nasdaq daily file (named \
         *.NASDAQ_ITCH50, *.itch50 or S*-v50.txt), each plain, .gz or .zst; found {found}",
        path = path.display()
    )]
    UnknownKind {
        /// The file.
        path: PathBuf,
        /// Its first bytes, or that it has none.
        found: String,
    },
    /// The file ends in the middle of something. Everything before it has been given.
    #[error("truncated at byte {at_byte} (uncompressed): expected {expected} bytes, found {found}")]
    Truncated {
        /// Where the unfinished item begins.
        at_byte: u64,
        /// Bytes that the item needs, as far as is known.
        expected: usize,
        /// Bytes that are there.
        found: usize,
    },
    /// Something in the file contradicts its format.
    #[error("damaged at byte {at_byte} (uncompressed): {what}")]
    Damaged {
        /// Where.
        at_byte: u64,
        /// What was expected and what was found.
        what: String,
    },
    /// The packets are of a link type that has no way to Ethernet here.
    #[error(
        "expected link type 1 (Ethernet), 101 or 228 (raw IP), 113 (Linux cooked) or 276 (Linux \
         cooked v2), found {link_type}"
    )]
    LinkType {
        /// The number found (<https://www.tcpdump.org/linktypes.html>).
        link_type: u32,
    },
}

impl CaptureError {
    /// True where the file was cut short and all before the cut has been given.
    pub fn is_truncated(&self) -> bool {
        matches!(self, Self::Truncated { .. })
    }
}
