//! A writer of the tests' own: a segment, and a socket at which readers are greeted.
#![allow(dead_code, reason = "each test program uses a part of it")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use dbn::{MboMsg, RecordHeader, RecordRef, rtype};
use wirebook_client::Session;
use wirebook_shm::board::{BoardWriter, Cell};
use wirebook_shm::refresh::{BEGINS, ENDS, RefreshMark};
use wirebook_shm::ring::Writer;
use wirebook_shm::{PageKind, Segment, SegmentLayout, handoff, names};

/// Slots of each ring.
const SLOTS: usize = 64;
const PUBLISHER: u16 = 2;

/// A start of a writer: its segment, and its socket, at which readers are greeted.
pub(crate) struct Start {
    pub(crate) segment: Arc<Segment>,
    pub(crate) rings: Vec<Writer>,
    pub(crate) refreshes: Vec<Writer>,
    pub(crate) boards: Vec<BoardWriter>,
    pub(crate) notices: Writer,
    pub(crate) socket: Socket,
}

pub(crate) struct Socket {
    pub(crate) path: PathBuf,
    over: Arc<AtomicBool>,
    answering: Option<std::thread::JoinHandle<()>>,
}

impl Start {
    pub(crate) fn new(path: PathBuf, shards: usize) -> Self {
        let mut layout = SegmentLayout::new();
        for shard in 0..shards {
            layout = layout.open_ring(format!("output-{shard}"), SLOTS);
            layout = layout.open_ring(format!("refresh-{shard}"), SLOTS);
            layout = layout.board(format!("board-{shard}"), 16);
        }
        let layout = layout.open_ring(names::NOTICES, 2 * SLOTS);
        let mut segment = Segment::create(&layout, PageKind::Ordinary).unwrap();
        let rings =
            (0..shards).map(|n| segment.open_ring(&format!("output-{n}")).unwrap()).collect();
        let refreshes =
            (0..shards).map(|n| segment.open_ring(&format!("refresh-{n}")).unwrap()).collect();
        let boards = (0..shards).map(|n| segment.board(&format!("board-{n}")).unwrap()).collect();
        let notices = segment.open_ring(names::NOTICES).unwrap();
        let segment = Arc::new(segment);
        let listener = UnixListener::bind(&path).unwrap();
        let over = Arc::new(AtomicBool::new(false));
        let (greeting, is_over) = (Arc::clone(&segment), Arc::clone(&over));
        let answering = std::thread::spawn(move || {
            while let Ok((reader, _)) = listener.accept() {
                if is_over.load(Ordering::Relaxed) {
                    return;
                }
                handoff::greet(&reader, &greeting, &greeting.share().unwrap()).unwrap();
            }
        });
        let socket = Socket { path, over, answering: Some(answering) };
        Self { segment, rings, refreshes, boards, notices, socket }
    }

    pub(crate) fn session(&self) -> Session {
        Session::connect(&self.socket.path).unwrap()
    }

    pub(crate) fn push(&mut self, shard: usize, id: u32, sequence: u32, ts_recv: u64) {
        push(&mut self.rings[shard], id, sequence, ts_recv);
    }
}

/// Pushes a whole book of two orders that holds at `cursor`, with these sequences.
pub(crate) fn refresh(ring: &mut Writer, id: u32, cursor: u64, sequences: [u32; 2]) {
    let mut mark = RefreshMark {
        publisher: PUBLISHER,
        instrument_id: id,
        kind: BEGINS,
        ..RefreshMark::default()
    };
    ring.push_bytes(mark.bytes()).unwrap();
    for sequence in sequences {
        push(ring, id, sequence, 0);
    }
    (mark.kind, mark.cursor, mark.records) = (ENDS, cursor, 2);
    ring.push_bytes(mark.bytes()).unwrap();
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        let _ = std::os::unix::net::UnixStream::connect(&self.path);
        self.answering.take().unwrap().join().unwrap();
        std::fs::remove_file(&self.path).unwrap();
    }
}

pub(crate) fn path() -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    std::env::temp_dir().join(format!("wirebook-client-{}-{number}", std::process::id()))
}

pub(crate) fn push(ring: &mut Writer, id: u32, sequence: u32, ts_recv: u64) {
    let hd = RecordHeader::new::<MboMsg>(rtype::MBO, PUBLISHER, id, ts_recv);
    let mbo = MboMsg { hd, sequence, ts_recv, ..MboMsg::default() };
    ring.push_bytes(RecordRef::from(&mbo).as_ref()).unwrap();
}

pub(crate) fn cell(id: u32, sequence: u64, cursor: u64) -> Cell {
    let mut cell = Cell {
        instrument_id: id,
        publisher: PUBLISHER,
        state: 2,
        sequence,
        cursor,
        ..Cell::default()
    };
    let symbol = format!("S{id}");
    cell.symbol[..symbol.len()].copy_from_slice(symbol.as_bytes());
    cell
}
