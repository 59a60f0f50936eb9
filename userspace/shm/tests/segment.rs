//! Segments: what a reader in another process sees, and what nobody may do to one.
#![cfg(not(loom))]
#![allow(clippy::unwrap_used, reason = "a test; the lint knows test functions only")]

#[path = "../../hugevec/tests/common/pool.rs"]
mod pool;

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::MetadataExt;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::fcntl::{FallocateFlags, FcntlArg, SealFlag, fallocate, fcntl};
use pool::Pool;
use wirebook_shm::board::{Cell, CellLevel, CellState};
use wirebook_shm::ring::{Observed, PushError};
use wirebook_shm::{EntryKind, PageKind, Segment, SegmentError, SegmentLayout, SegmentView};

/// Where the test as another process finds the segment of the test that started it.
const SEGMENT_PATH: &str = "WIREBOOK_TEST_SEGMENT";

fn layout() -> SegmentLayout {
    SegmentLayout::new().gated_ring("mailbox-0-0", 64).open_ring("output-0", 64).board("board-0", 4)
}

fn segment() -> Segment {
    Segment::create(&layout(), PageKind::Ordinary).unwrap()
}

#[test]
fn a_view_finds_what_the_segment_was_laid_out_with() {
    let segment = segment();
    let view = SegmentView::open(segment.share().unwrap()).unwrap();
    assert_eq!(view.epoch(), segment.epoch());
    assert_eq!(view.writer_pid(), std::process::id());
    assert_eq!(view.page_bytes(), 4096);
    assert_eq!(view.heartbeat_ns(), 0);
    segment.heartbeat(17);
    assert_eq!(view.heartbeat_ns(), 17);
    let expected = [
        (EntryKind::GatedRing, "mailbox-0-0".to_owned(), 64),
        (EntryKind::OpenRing, "output-0".to_owned(), 64),
        (EntryKind::Board, "board-0".to_owned(), 4),
    ];
    assert_eq!(view.entries().collect::<Vec<_>>(), expected);
    assert!(matches!(view.observe("board-0"), Err(SegmentError::NoSuchEntry { .. })));
    assert!(matches!(view.board("output-0"), Err(SegmentError::NoSuchEntry { .. })));
    assert_ne!(self::segment().epoch(), segment.epoch());
}

#[test]
fn a_reader_sleeps_until_it_is_woken() {
    const LONG: Duration = Duration::from_secs(20);
    let segment = segment();
    let view = SegmentView::open(segment.share().unwrap()).unwrap();
    assert_eq!(view.wakes(), None);
    let waker = segment.waker();
    let seen = view.wakes().unwrap();
    std::thread::scope(|scope| {
        let sleeper = scope.spawn(|| {
            let begun = Instant::now();
            while view.wakes() == Some(seen) {
                view.sleep(seen, LONG);
            }
            begun.elapsed()
        });
        std::thread::sleep(Duration::from_millis(50));
        assert!(!sleeper.is_finished());
        waker.wake();
        assert!(sleeper.join().unwrap() < LONG);
    });
    // Woken before it slept: it does not sleep.
    let begun = Instant::now();
    view.sleep(seen, LONG);
    assert!(begun.elapsed() < LONG);
    let now = view.wakes().unwrap();
    assert_eq!(now, seen + 1);
    view.sleep(now, Duration::from_millis(5));
}

#[test]
fn a_writing_end_is_handed_out_once() {
    let mut segment = segment();
    let (mut writer, mut reader) = segment.gated_ring("mailbox-0-0").unwrap();
    assert!(matches!(segment.gated_ring("mailbox-0-0"), Err(SegmentError::Taken(_))));
    assert!(matches!(segment.open_ring("mailbox-0-0"), Err(SegmentError::NoSuchEntry { .. })));
    assert!(segment.open_ring("output-0").is_ok());
    assert!(matches!(segment.open_ring("output-0"), Err(SegmentError::Taken(_))));
    let view = SegmentView::open(segment.share().unwrap()).unwrap();
    let mut observer = view.observe("mailbox-0-0").unwrap();
    // Ends outlive the segment they came from.
    drop((segment, view));
    for number in 0..64 {
        writer.try_push_words(&[number; 7]).unwrap();
    }
    assert_eq!(writer.try_push_words(&[64; 7]), Err(PushError::Full));
    for number in 0..64 {
        assert_eq!(reader.pop().unwrap().words(), [number; 7]);
        assert!(matches!(observer.poll(), Observed::Record(r) if r.words() == [number; 7]));
    }
    reader.release();
    writer.try_push_words(&[64; 7]).unwrap();
}

#[test]
fn pages_are_taken_where_that_is_asked_for_and_the_rest_at_the_end() {
    // A length that no segment of another test has.
    let layout = layout().open_ring("output-1", 1 << 14).board("board-1", 4_321);
    let length = layout.size_bytes(PageKind::Ordinary).unwrap() as u64;
    let bytes_in_memory = || {
        let files = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
        let files = files.filter_map(|file| std::fs::metadata(file.path()).ok());
        files.filter(|file| file.len() == length).map(|file| 512 * file.blocks()).sum::<u64>()
    };
    let mut steps = Vec::new();
    let segment = Segment::create_by(&layout, PageKind::Ordinary, |take| {
        for names in [&[][..], &["board-1"], &["output-1", "nothing"], &["board-1"]] {
            take(&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
            steps.push(bytes_in_memory());
        }
    })
    .unwrap();
    let [nothing, board, both, again] = steps[..] else { panic!("{steps:?}") };
    // A page more at each end, at most.
    let about = |bytes: usize| bytes as u64..=(bytes + 2 * 4_096) as u64;
    assert_eq!((nothing, again), (0, both));
    assert!(about(4_321 * size_of_a_cell()).contains(&board), "{steps:?}");
    assert!(about((1 << 14) * 64).contains(&(both - board)), "{steps:?}");
    assert_eq!(bytes_in_memory(), length);
    drop(segment);
}

/// Bytes of a board's cell in a segment.
fn size_of_a_cell() -> usize {
    let of = |cells| SegmentLayout::new().board("b", cells).size_bytes(PageKind::Ordinary).unwrap();
    (of(1 << 20) - of(0)) >> 20
}

/// The writer's cursor as the ABI has it in a gated ring: behind, until the writer announces it.
#[test]
fn a_gated_writer_announces_how_far_it_has_come() {
    let mut segment = segment();
    let (mut writer, _reader) = segment.gated_ring("mailbox-0-0").unwrap();
    let view = SegmentView::open(segment.share().unwrap()).unwrap();
    let joins_at = || view.observe("mailbox-0-0").unwrap().cursor().get();
    let mut seen = Vec::new();
    for number in 0..20 {
        writer.try_push_words(&[number; 7]).unwrap();
        seen.push(joins_at());
    }
    // A quarter of the 64 slots is a block.
    assert_eq!(seen, [[0; 15].as_slice(), &[16; 5]].concat());
    writer.announce();
    assert_eq!(joins_at(), 20);
}

/// Nobody writes a segment or takes its pages away: each way in that Linux has is tried, through the
/// shared descriptor, through one opened anew for writing, and through the writer's own.
fn assert_read_only(segment: &Segment) {
    let shared = segment.share().unwrap();
    let path = format!("/proc/self/fd/{}", shared.as_raw_fd());
    let mut reopened = OpenOptions::new().read(true).write(true).open(path).unwrap();
    for fd in [shared.as_fd(), reopened.as_fd()] {
        assert!(map(fd, true).is_none(), "a writable mapping");
        assert!(nix::unistd::ftruncate(fd, 4096).is_err(), "shrunk");
        assert!(nix::unistd::ftruncate(fd, 1 << 40).is_err(), "grown");
        let hole = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
        assert!(fallocate(fd, hole, 0, 2 << 20).is_err(), "a hole");
        let reseal = FcntlArg::F_ADD_SEALS(SealFlag::F_SEAL_WRITE);
        assert!(fcntl(fd, reseal).is_err(), "sealed anew");
    }
    assert!(reopened.write_all(b"mine").is_err(), "written");
    let mapped = map(shared.as_fd(), false).unwrap();
    assert!(!mapped.becomes_writable(), "a mapping made writable");
    SegmentView::open(reopened).unwrap();
}

#[test]
fn a_segment_on_ordinary_pages_is_read_only_outside() {
    let segment = segment();
    assert_eq!(segment.page_kind(), PageKind::Ordinary);
    assert_read_only(&segment);
}

#[test]
fn a_segment_on_hugepages_is_read_only_outside() {
    let Some(pool) = Pool::extended_by(1) else { return };
    let mut segment = Segment::create(&layout(), PageKind::Huge2M).unwrap();
    assert_eq!(segment.page_kind(), PageKind::Huge2M);
    assert_read_only(&segment);
    read_from_another_process(&mut segment);
    drop(segment);
    // More than the pool holds: the segment falls back.
    let slots = pool.size() * (2 << 20) / 64;
    let large = SegmentLayout::new().open_ring("output-0", slots.next_power_of_two());
    let large = Segment::create(&large, PageKind::Huge2M).unwrap();
    assert_eq!(large.page_kind(), PageKind::Ordinary);
}

#[test]
fn what_is_no_segment_is_refused() {
    let open = |fd: &dyn AsFd| SegmentView::open(fd.as_fd()).err().unwrap().to_string();
    assert!(open(&File::open("/dev/null").unwrap()).contains("seals"));
    let flags = nix::sys::memfd::MFdFlags::MFD_ALLOW_SEALING;
    let foreign = nix::sys::memfd::memfd_create(c"foreign", flags).unwrap();
    assert!(open(&foreign).contains("sealed against"));
    let sealed = |size: i64| {
        let fd = nix::sys::memfd::memfd_create(c"foreign", flags).unwrap();
        nix::unistd::ftruncate(&fd, size).unwrap();
        let seals = nix::fcntl::SealFlag::all();
        nix::fcntl::fcntl(&fd, nix::fcntl::FcntlArg::F_ADD_SEALS(seals)).unwrap();
        fd
    };
    assert!(open(&sealed(100)).contains("at least 32768 bytes, found 100"));
    assert!(open(&sealed(40_960)).contains("magic should be WIREBOOK"));
}

#[test]
fn a_process_apart_reads_whole_records() {
    read_from_another_process(&mut segment());
}

/// Writes as fast as it can while another process checks what it reads; the parent need not wait for
/// it, and does not.
fn read_from_another_process(segment: &mut Segment) {
    let shared = segment.share().unwrap();
    let path = format!("/proc/{}/fd/{}", std::process::id(), shared.as_raw_fd());
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "the_other_process"])
        .env(SEGMENT_PATH, path)
        .spawn()
        .unwrap();
    let mut ring = segment.open_ring("output-0").unwrap();
    let mut board = segment.board("board-0").unwrap();
    let mut number = 0;
    while child.try_wait().unwrap().is_none() {
        for _ in 0..50 {
            number += 1;
            ring.push_words(&vec![number; 1 + number as usize % 20]).unwrap();
        }
        let level = CellLevel { price: number as i64, size: number, ..Default::default() };
        let state = CellState::Live as u8;
        let cell = Cell { state, sequence: number, bids: [level; 10], ..Default::default() };
        board.publish(3, &cell).unwrap();
        std::thread::yield_now();
    }
    assert!(child.wait().unwrap().success());
}

#[test]
fn the_other_process() {
    let Some(path) = std::env::var_os(SEGMENT_PATH) else { return };
    let view = SegmentView::open(File::open(path).unwrap()).unwrap();
    let mut ring = view.observe("output-0").unwrap();
    let board = view.board("board-0").unwrap();
    let (mut taken, mut last, mut sequence) = (0, 0, 0);
    while taken < 20_000 || sequence == 0 {
        match ring.poll() {
            Observed::Record(record) => {
                let number = record.words()[0];
                assert_eq!(record.words(), vec![number; 1 + number as usize % 20]);
                assert!(number > last);
                last = number;
                taken += 1;
            }
            Observed::Overrun { .. } => {}
            Observed::Empty => std::thread::yield_now(),
        }
        let Ok(cell) = board.read(3) else { continue };
        assert!(cell.sequence >= sequence);
        sequence = cell.sequence;
        assert!(cell.bids.iter().all(|bid| bid.size == sequence && bid.price == sequence as i64));
    }
}

/// A mapping made by hand, as a stranger would.
struct Mapped {
    start: std::ptr::NonNull<std::ffi::c_void>,
}

const MAPPED_BYTES: usize = 2 << 20;

#[allow(unsafe_code, reason = "the test maps what the crate must not let it map")]
fn map(fd: impl AsFd, writable: bool) -> Option<Mapped> {
    use nix::sys::mman::{MapFlags, ProtFlags, mmap};
    let mut prot = ProtFlags::PROT_READ;
    prot.set(ProtFlags::PROT_WRITE, writable);
    let length = MAPPED_BYTES.try_into().unwrap();
    // SAFETY: the kernel takes free space, and the mapping is never followed.
    let start = unsafe { mmap(None, length, prot, MapFlags::MAP_SHARED, fd, 0) };
    Some(Mapped { start: start.ok()? })
}

impl Mapped {
    #[allow(unsafe_code, reason = "the test asks for what the crate must not let it have")]
    fn becomes_writable(&self) -> bool {
        let prot = nix::sys::mman::ProtFlags::PROT_WRITE;
        // SAFETY: the range is this mapping, which is never followed.
        unsafe { nix::sys::mman::mprotect(self.start, MAPPED_BYTES, prot) }.is_ok()
    }
}

impl Drop for Mapped {
    #[allow(unsafe_code, reason = "the test mapped it")]
    fn drop(&mut self) {
        // SAFETY: the range is this mapping, which is never followed.
        unsafe { nix::sys::mman::munmap(self.start, MAPPED_BYTES) }.unwrap();
    }
}
