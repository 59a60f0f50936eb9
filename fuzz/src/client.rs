//! The client's library on a segment that may hold anything.
//!
//! Holds for any contents behind a right header: a session is had, and everything it has to give can
//! be asked for: records, whole books, the tops, counters and latencies.

use crate::segment::patched;
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use std::io::IoSlice;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixListener;
use wirebook_client::{Next, Records, Session};

/// Polls after which a segment that nobody writes to has given everything, several times.
const POLLS: usize = 200;

/// Patches of a segment.
pub(crate) fn session(data: &[u8]) {
    let segment = patched(data);
    let folder = tempfile::tempdir().expect("a folder for a socket");
    let door = folder.path().join("door");
    let listener = UnixListener::bind(&door).expect("a socket in it");
    let session = std::thread::scope(|scope| {
        scope.spawn(|| {
            let (reader, _) = listener.accept().expect("a reader that comes");
            greet(reader.as_raw_fd(), &segment);
        });
        Session::connect(&door).expect("a right header")
    });
    for heals in [false, true] {
        let records = session.records().expect("the header names a shard");
        poll(records, heals);
    }
    if let Ok(mut books) = session.books() {
        let instruments: Vec<_> = books.directory().iter().cloned().collect();
        for instrument in instruments {
            if let Ok(book) = books.read(&instrument) {
                assert!(book.bids().len() <= 10 && book.asks().len() <= 10);
                book.last_trade();
                book.stale_reason_name();
            }
        }
    }
    assert!(session.counters().is_ok_and(|counters| counters.len() <= 4));
    for stage in session.stages() {
        let _none_yet = session.latency(&stage);
    }
}

fn poll(mut records: Records, heals: bool) {
    records = records.from_start();
    if heals {
        records.heal().expect("the header names a refresh ring");
    }
    for _ in 0..POLLS {
        match records.poll() {
            Next::Nothing => break,
            Next::WriterGone => unreachable!("a poll does not wait, so it does not miss anybody"),
            _ => {}
        }
    }
    records.pending();
}

/// `docs/abi.md`, "The greeting".
fn greet(reader: std::os::fd::RawFd, segment: &OwnedFd) {
    let epoch = wirebook_shm::SegmentView::open(segment).expect("a right header").epoch();
    let mut greeting = b"WIREBOOK".to_vec();
    greeting.extend(wirebook_shm::ABI_VERSION.to_ne_bytes());
    greeting.extend(32_u32.to_ne_bytes());
    greeting.extend(epoch.to_ne_bytes());
    greeting.extend([0; 8]);
    let descriptors = [segment.as_raw_fd()];
    let rights = [ControlMessage::ScmRights(&descriptors)];
    let bytes = [IoSlice::new(&greeting)];
    sendmsg::<()>(reader, &bytes, &rights, MsgFlags::empty(), None).expect("a reader that waits");
}
