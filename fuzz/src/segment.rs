//! A segment as a reader in another process sees it, whatever lies in it.
//!
//! Holds for any file: it is refused, or everything that its table names can be read to the end; a
//! record that passes for one of DBN is as long as it says.

use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::sync::LazyLock;
use wirebook_shm::board::Cell;
use wirebook_shm::histogram::HistogramShape;
use wirebook_shm::refresh::{ENDS, RefreshMark};
use wirebook_shm::ring::{Cursor, Observed, ObservingReader};
use wirebook_shm::{EntryKind, PageKind, Segment, SegmentLayout, SegmentView, names};

/// Slots of each ring, and cells of the board.
const SLOTS: usize = 16;
const CELLS: usize = 4;
/// A ring of so many slots has given everything after so many polls.
const POLLS: usize = 4 * SLOTS;
/// The header's words; what lies behind is for the writer to change.
const HEADER_WORDS: usize = 32_768 / 8;
/// Which of them says how long the segment is.
const LENGTH_WORD: usize = 3;
/// The header's words without its table's rest.
const TABLE_WORDS: usize = 24 + 8 * 12;

/// A file of these bytes, or where the first byte is odd, a right one that the rest patches anywhere.
pub(crate) fn header(data: &[u8]) {
    let Some((&kind, data)) = data.split_first() else { return };
    let mut bytes = EMPTY.clone();
    match kind % 4 {
        0 => bytes = data.to_vec(),
        1 => patch(&mut bytes, data, 0, TABLE_WORDS),
        2 => patch(&mut bytes, data, 0, usize::MAX),
        _ => {
            let Some((end, data)) = data.split_first_chunk() else { return };
            bytes.resize(usize::from(u16::from_le_bytes(*end)), 0);
            if bytes.len() >= 8 * HEADER_WORDS {
                patch(&mut bytes, data, 0, TABLE_WORDS);
            }
        }
    }
    if let Ok(view) = SegmentView::open(sealed(&bytes)) {
        assert_eq!(
            words_of(&bytes)[LENGTH_WORD],
            bytes.len() as u64,
            "longer or shorter than said"
        );
        read(&view);
    }
}

/// A right segment, cut; its header says so, or as many bytes as before. It is cut within what its
/// table names, and behind that.
pub(crate) fn cut_headers() -> impl Iterator<Item = Vec<u8>> {
    let whole = EMPTY.len() as u16;
    let cuts = [8 * HEADER_WORDS as u16, whole - 4_096, whole - 64];
    cuts.into_iter().flat_map(move |end| {
        [end, whole].map(|says| {
            let patch = [&[LENGTH_WORD as u8, 0, 1][..], &u64::from(says).to_le_bytes()].concat();
            [&[3], &end.to_le_bytes()[..], &patch].concat()
        })
    })
}

fn words_of(bytes: &[u8]) -> Vec<u64> {
    bytes.as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word)).collect()
}

/// A segment whose header is right; the bytes patch the rest.
pub(crate) fn contents(data: &[u8]) {
    let view = SegmentView::open(patched(data)).expect("the header is as it was created");
    read(&view);
}

/// A segment with a right header.
pub(crate) fn patched(data: &[u8]) -> OwnedFd {
    let mut bytes = EMPTY.clone();
    patch(&mut bytes, data, HEADER_WORDS, usize::MAX);
    sealed(&bytes)
}

/// Patches: a word's index, a count, and so many words.
fn patch(bytes: &mut [u8], mut data: &[u8], from: usize, below: usize) {
    let words = &mut bytes.as_chunks_mut::<8>().0[from..];
    let below = below.min(words.len());
    let words = &mut words[..below];
    while let Some((&[low, high, count], rest)) = data.split_first_chunk() {
        let first = usize::from(u16::from_le_bytes([low, high])) % words.len();
        let values = rest.as_chunks::<8>().0;
        let values = &values[..values.len().min(usize::from(count))];
        for (word, value) in words[first..].iter_mut().zip(values) {
            *word = *value;
        }
        data = &rest[values.len() * 8..];
    }
}

/// What turns the empty segment into `bytes`, as patches.
fn patches(bytes: &[u8]) -> Vec<u8> {
    let words = |bytes: &[u8]| bytes.as_chunks::<8>().0[HEADER_WORDS..].to_vec();
    let (before, after) = (words(&EMPTY), words(bytes));
    let mut out = Vec::new();
    let mut at = 0;
    while at < after.len() {
        let changed = before[at..].iter().zip(&after[at..]).take_while(|(a, b)| a != b);
        let count = changed.count().min(usize::from(u8::MAX));
        if count > 0 {
            out.extend((at as u16).to_le_bytes());
            out.push(count as u8);
            out.extend(after[at..at + count].as_flattened());
        }
        at += count.max(1);
    }
    out
}

fn read(view: &SegmentView) {
    let entries: Vec<_> = view.entries().collect();
    for (kind, name, count) in entries {
        match kind {
            EntryKind::GatedRing | EntryKind::OpenRing => {
                ring(view.observe(&name).expect("a ring of the table"));
            }
            EntryKind::Board => {
                let board = view.board(&name).expect("a board of the table");
                assert_eq!(board.len(), count);
                for cell in (0..count.min(CELLS)).filter_map(|place| board.read(place).ok()) {
                    assert!(cell.symbol().len() <= cell.symbol.len());
                    cell.state();
                }
                assert!(board.read(count).is_err());
            }
            EntryKind::Counters => {
                let counters = view.counters(&name).expect("counters of the table");
                assert!(counters.read().count() <= count);
            }
            EntryKind::Histogram => {
                let histogram = view.histogram(&name).expect("a histogram of the table");
                let HistogramShape { .. } = histogram.shape();
                assert!(histogram.counts().all(|(place, _)| place < count));
                histogram.saturated();
            }
        }
    }
    let _says = (view.epoch(), view.heartbeat_ns(), view.wakes(), view.page_bytes());
}

fn ring(mut reader: ObservingReader) {
    for from in [None, Some(0), Some(reader.shown().get()), Some(u64::MAX)] {
        if let Some(from) = from {
            reader.seek(Cursor::new(from));
        }
        for _ in 0..POLLS {
            match reader.poll() {
                Observed::Record(record) => {
                    let bytes = record.bytes();
                    assert!(bytes.len() <= wirebook_shm::ring::RECORD_BYTES_MAX);
                    if let Some(record) = record.dbn() {
                        assert_eq!(record.as_ref(), bytes);
                    }
                    RefreshMark::of(bytes);
                }
                Observed::Overrun { .. } => {}
                Observed::Empty => break,
            }
        }
        reader.seek_newest();
    }
}

fn layout() -> SegmentLayout {
    SegmentLayout::new()
        .gated_ring(names::mailbox(0, 0), SLOTS)
        .open_ring(names::output(0), SLOTS)
        .open_ring(names::refresh(0), SLOTS)
        .board(names::board(0), CELLS)
        .counters(names::COUNTERS, 4)
        .histogram(names::histogram(0), 64)
}

/// A right segment with nothing in it.
static EMPTY: LazyLock<Vec<u8>> = LazyLock::new(|| bytes_of(&create()));

fn create() -> Segment {
    Segment::create(&layout(), PageKind::Ordinary).expect("a small segment")
}

fn bytes_of(segment: &Segment) -> Vec<u8> {
    let file = File::from(segment.share().expect("a descriptor to read"));
    let length = file.metadata().expect("a file has a length").len();
    let mut bytes = vec![0; length as usize];
    file.read_exact_at(&mut bytes, 0).expect("all of a file");
    bytes
}

/// A right segment in use, as patches of an empty one. `records` go into its rings.
pub(crate) fn in_use<'a>(records: impl Iterator<Item = &'a [u8]>, cells: &[Cell]) -> Vec<u8> {
    let mut segment = create();
    let mut output = segment.open_ring(&names::output(0)).expect("asked for once");
    let mut refresh = segment.open_ring(&names::refresh(0)).expect("asked for once");
    let mut board = segment.board(&names::board(0)).expect("asked for once");
    let mut counters = segment.counters(names::COUNTERS).expect("asked for once");
    let histogram = segment.histogram(&names::histogram(0)).expect("asked for once");
    for record in records {
        output.push_bytes(record).expect("a record that fits");
        refresh.push_bytes(record).expect("a record that fits");
    }
    let mark = RefreshMark { kind: ENDS, records: 2, ..RefreshMark::default() };
    refresh.push_bytes(mark.bytes()).expect("a mark fits");
    output.mark_shown();
    for (place, cell) in cells.iter().enumerate().take(CELLS) {
        board.publish(place, cell).expect("a cell of the board");
    }
    counters.add("worker_packets{worker=\"w\"}", 17).expect("room");
    histogram.set_shape(HistogramShape { lowest: 1, highest: 60_000, digits: 1 });
    histogram.set(3, 5);
    patches(&bytes_of(&segment))
}

/// A file in memory that nobody can change any more.
fn sealed(bytes: &[u8]) -> OwnedFd {
    let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
    let mut file = File::from(memfd_create("segment", flags).expect("a file in memory"));
    file.write_all(bytes).expect("room in memory");
    let seals = SealFlag::F_SEAL_FUTURE_WRITE
        | SealFlag::F_SEAL_SHRINK
        | SealFlag::F_SEAL_GROW
        | SealFlag::F_SEAL_SEAL;
    fcntl(file.as_fd(), FcntlArg::F_ADD_SEALS(seals)).expect("a file that may be sealed");
    file.into()
}
