//! Capture files: pcap, pcapng, Nasdaq's daily files, DBN; plain, gzip or zstd.
//!
//! Holds for any file: there is one error at most and nothing after it; memory and items are bounded
//! by the file; what a file cut short gives is the beginning of what the whole one gives; and DBN
//! records that are read become events that books take.

use std::fs::File;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use wirebook::capture::{self, CaptureKind, DbnEvents, Item};
use wirebook_machine::{Books, Limits};
use wirebook_model::Event;
use wirebook_wire::Datagram;

const LIMITS: Limits = Limits { instruments: 4, orders: 32, levels: 32 };
/// More than any file of a fuzzer's length needs, unless it unpacks to something long.
const ITEMS_MAX: usize = 20_000;

/// A file's bytes.
pub(crate) fn file(data: &[u8]) {
    let whole = Read::of(data);
    // Where it is cut follows from its last bytes.
    let cut = data.iter().rev().take(3).fold(0, |cut, byte| cut * 256 + usize::from(*byte));
    let cut = Read::of(&data[..cut % (data.len() + 1)]);
    if whole.kind == cut.kind && whole.items.len() < ITEMS_MAX {
        assert!(whole.items.starts_with(&cut.items), "{:?}", cut.kind);
    }
}

/// What a file gave.
#[derive(Default)]
struct Read {
    kind: Option<CaptureKind>,
    items: Vec<Vec<u8>>,
}

impl Read {
    fn of(data: &[u8]) -> Self {
        let mut read = Self::default();
        let memory = memory(data);
        let path = PathBuf::from(format!("/proc/self/fd/{}", memory.as_raw_fd()));
        let mut capture = match capture::open(&path) {
            Ok(capture) => capture,
            Err(error) => {
                assert!(!error.to_string().is_empty());
                return read;
            }
        };
        read.kind = Some(capture.kind());
        let mut events = capture.metadata().map(|metadata| DbnEvents::new(0, metadata));
        let mut books = Books::new(LIMITS).expect("small tables");
        while read.items.len() < ITEMS_MAX {
            match capture.next() {
                Ok(Some(Item::Packet { bytes, .. })) => {
                    let _outcome = Datagram::parse(bytes);
                    read.items.push(bytes.to_vec());
                }
                Ok(Some(Item::Message { bytes })) => read.items.push(bytes.to_vec()),
                Ok(Some(Item::Record(record))) => {
                    let mut said: Vec<Event> = Vec::new();
                    if let Some(events) = &mut events {
                        events.record(record, &mut said);
                    }
                    said.iter().for_each(|event| books.apply(event, &mut ()));
                    read.items.push(record.as_ref().to_vec());
                }
                Ok(None) => break,
                Err(error) => {
                    assert!(!error.to_string().is_empty());
                    break;
                }
            }
        }
        if read.items.len() < ITEMS_MAX {
            assert!(matches!(capture.next(), Ok(None)), "nothing comes after the end");
        }
        let (at, total) = capture.position();
        assert!(at <= total && total == data.len() as u64);
        read
    }
}

fn memory(data: &[u8]) -> File {
    let flags = nix::sys::memfd::MFdFlags::MFD_CLOEXEC;
    let memory = nix::sys::memfd::memfd_create("capture", flags).expect("a file in memory");
    let mut memory = File::from(memory);
    memory.write_all(data).expect("room in memory");
    memory
}
