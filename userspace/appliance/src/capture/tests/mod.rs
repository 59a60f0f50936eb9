//! Captures against independent decodes, and files written byte by byte here.

mod damage;
mod lines;
mod messages;
mod packets;
mod pcapng;
mod recordings;

use super::{Capture, CaptureError, CaptureKind, Item};
use std::io::Write;
use std::path::{Path, PathBuf};

/// A packet as a test compares it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Taken {
    ts_recv: u64,
    bytes: Vec<u8>,
    captured_short: bool,
}

/// The test data, or none with a word on why.
fn data(path: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("WIREBOOK_DATA").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"),
        PathBuf::from,
    );
    let path = folder.join(path);
    if !path.exists() {
        eprintln!("SKIP: no test data at {}", path.display());
        return None;
    }
    Some(path)
}

/// A folder for the files of one test.
fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn write(folder: &tempfile::TempDir, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

/// Opens a capture that has this content and name.
fn open_bytes(name: &str, bytes: &[u8]) -> Result<Capture, CaptureError> {
    let folder = folder();
    super::open(&write(&folder, name, bytes))
}

fn packets(capture: &mut Capture) -> (Vec<Taken>, Option<CaptureError>) {
    let mut taken = Vec::new();
    loop {
        match capture.next() {
            Ok(Some(Item::Packet { ts_recv, bytes, captured_short })) => {
                taken.push(Taken { ts_recv, bytes: bytes.to_vec(), captured_short });
            }
            Ok(Some(_)) => panic!("expected packets"),
            Ok(None) => return (taken, None),
            Err(error) => {
                assert!(matches!(capture.next(), Ok(None)), "an error is the end");
                return (taken, Some(error));
            }
        }
    }
}

fn all_packets(path: &Path) -> Vec<Taken> {
    let (taken, error) = packets(&mut super::open(path).unwrap());
    assert!(error.is_none(), "{error:?}");
    taken
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 1).unwrap()
}
