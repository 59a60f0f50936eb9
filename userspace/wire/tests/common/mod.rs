//! What the tests of this crate share: the captures, and a reader of them that is not ours to
//! test.
#![allow(dead_code, reason = "each test program uses a part of it")]

use flate2::read::GzDecoder;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use wirebook_wire::Protocol;

/// The folder of captures, or `None` with a note to stderr where it is absent.
pub(crate) fn data() -> Option<PathBuf> {
    let path = std::env::var_os("WIREBOOK_DATA").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"),
        PathBuf::from,
    );
    if path.is_dir() {
        return Some(path);
    }
    eprintln!("SKIP: no captures at {} (set WIREBOOK_DATA)", path.display());
    None
}

/// The whole file, unpacked where its name ends in `.gz`.
pub(crate) fn read(path: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut file = File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    if path.extension().is_some_and(|extension| extension == "gz") {
        GzDecoder::new(file).read_to_end(&mut bytes).expect("a gzip file");
    } else {
        file.read_to_end(&mut bytes).expect("a readable file");
    }
    bytes
}

/// A captured frame and when it was captured, nanoseconds since the UNIX epoch.
pub(crate) struct Frame {
    pub(crate) time_ns: u64,
    pub(crate) bytes: Vec<u8>,
}

/// The frames of a little-endian pcap file of Ethernet frames.
pub(crate) fn pcap(path: &Path) -> Vec<Frame> {
    let bytes = read(path);
    let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
    let fraction_ns = match word(0) {
        0xa1b2_3c4d => 1,
        0xa1b2_c3d4 => 1_000,
        magic => panic!("{}: magic {magic:#x}", path.display()),
    };
    assert_eq!(word(20), 1, "expected Ethernet frames");
    let mut frames = Vec::new();
    let mut at = 24;
    while at < bytes.len() {
        let time_ns = u64::from(word(at)) * 1_000_000_000 + u64::from(word(at + 4)) * fraction_ns;
        let length = word(at + 8) as usize;
        frames.push(Frame { time_ns, bytes: bytes[at + 16..at + 16 + length].to_vec() });
        at += 16 + length;
    }
    frames
}

/// Every file below `folder` whose name ends in one of `endings`, in order.
pub(crate) fn files(folder: &Path, endings: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(files(&path, endings));
        } else if endings.iter().any(|end| path.to_string_lossy().ends_with(end)) {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// The messages of `artificial-12012.itch50`, whose two-byte length prefixes are zeroed: each
/// message's length is that of its type.
pub(crate) fn artificial_messages(data: &Path) -> Vec<Vec<u8>> {
    let bytes = read(&data.join("nasdaq-itch/artificial-12012.itch50"));
    let mut messages = Vec::new();
    let mut rest = &bytes[..];
    while let Some((prefix, after)) = rest.split_first_chunk::<2>() {
        assert_eq!(*prefix, [0, 0]);
        let length = wirebook_wire::itch50::Message::LENGTHS
            .iter()
            .find_map(|(message_type, length)| (*message_type == after[0]).then_some(*length))
            .expect("a known type");
        messages.push(after[..length].to_vec());
        rest = &after[length..];
    }
    messages
}

/// The protocol that a capture of `folder` carries.
pub(crate) fn protocol_of(folder: &str, path: &Path) -> Protocol {
    match folder {
        "nasdaq-itch" => Protocol::Itch50,
        _ if path.ends_with("QuoteUpdateMessage.pcap") => Protocol::IexTops,
        _ => Protocol::IexDeep,
    }
}

/// A small generator of reproducible bytes (xorshift64*, Vigna 2016).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub(crate) fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    pub(crate) fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| (self.next() >> 56) as u8).collect()
    }
}
