//! The segment: a sealed memfd with a header, rings and boards.
//!
//! What arrives: a [`SegmentLayout`], or a descriptor from a writer. What leaves: a [`Segment`] that
//! hands each writing end out once, or a [`SegmentView`] that hands out observing readers.
//!
//! It promises: all pages are there before the first record; once created, no process can map the
//! file writable, write to it or change its size (`memfd_create(2)`, `F_SEAL_*` in `fcntl(2)`); what
//! a view reads from a header is checked before use, so a foreign or broken file is an error.

use std::fs::OpenOptions;
use std::num::NonZeroUsize;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering, fence};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use std::{fmt, io};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::stat::fstat;
use nix::unistd::ftruncate;
use zerocopy::{FromBytes, IntoBytes};

use crate::board::{BoardReader, BoardWriter};
use crate::counters::{CounterReader, CounterWriter};
use crate::histogram::{HEAD_WORDS, HistogramReader, HistogramWriter};
use crate::layout::{
    Entry, EntryKind, HEADER_BYTES, HEARTBEAT_WORD, Header, KINDS, LayoutError, Plan, SegmentLayout,
};
use crate::mapping::Mapping;
use crate::ring::{GatedWriter, GatingReader, ObservingReader, Ring, Writer, shape};
use crate::view::View;
use crate::wake::{self, Waker};

/// The pages under a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageKind {
    /// 1 GiB hugepages.
    Huge1G,
    /// 2 MiB hugepages.
    Huge2M,
    /// Ordinary pages.
    Ordinary,
}

/// Why there is no segment, or not that part of it.
#[derive(Debug, thiserror::Error)]
pub enum SegmentError {
    /// The layout, asked for or found, is wrong.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// The kernel refused.
    #[error("{attempt}: {source}")]
    System {
        /// What was attempted.
        attempt: &'static str,
        /// Why it failed.
        source: io::Error,
    },
    /// A file that its owner could still shrink or write.
    #[error("a segment is sealed against {expected:?}, found {found:?}")]
    NotSealed {
        /// The seals a segment has.
        expected: SealFlag,
        /// The seals this file has.
        found: SealFlag,
    },
    /// A file too small to hold a header.
    #[error("a segment has at least {HEADER_BYTES} bytes, found {0}")]
    TooSmall(u64),
    /// No such ring or board.
    #[error("this segment has no {what} {name:?}")]
    NoSuchEntry {
        /// What was asked for.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// A writing end that was handed out before; there is one of each.
    #[error("{0:?} has its writer already")]
    Taken(String),
}

/// What makes a segment read-only outside and keeps its pages: nobody maps it writable from now on,
/// nobody changes its size, nobody takes a seal away.
const SEALS: SealFlag = SealFlag::F_SEAL_FUTURE_WRITE
    .union(SealFlag::F_SEAL_SHRINK)
    .union(SealFlag::F_SEAL_GROW)
    .union(SealFlag::F_SEAL_SEAL);

const RINGS: &[EntryKind] = &[EntryKind::GatedRing, EntryKind::OpenRing];

/// The writer's side of a segment.
pub struct Segment {
    fd: OwnedFd,
    mapping: Arc<Mapping>,
    header: View<AtomicU64>,
    entries: Vec<Entry>,
    taken: Vec<bool>,
    page_kind: PageKind,
    epoch: u64,
}

impl Segment {
    /// Creates a segment on pages of that kind, or where the host has none, with a warning, on the
    /// next smaller kind.
    ///
    /// # Errors
    ///
    /// [`SegmentError::Layout`] for a layout that cannot be, [`SegmentError::System`] where even
    /// ordinary pages cannot be had or the file cannot be sealed.
    pub fn create(layout: &SegmentLayout, page_kind: PageKind) -> Result<Self, SegmentError> {
        Self::create_by(layout, page_kind, |_| ())
    }

    /// The same, where `place` may say from which cores pages are taken: it gets what takes those of
    /// the entries of these names, on the node of the core on which it is called. A page of several
    /// entries goes with the first; what is not taken by then is taken here.
    ///
    /// # Errors
    ///
    /// As for [`Segment::create`].
    pub fn create_by(
        layout: &SegmentLayout,
        page_kind: PageKind,
        mut place: impl FnMut(&mut dyn FnMut(&[String])),
    ) -> Result<Self, SegmentError> {
        let plan = layout.plan()?;
        let (page_kind, fd, length_bytes, mapping) = allocate(&plan, page_kind, &mut place)?;
        fcntl(&fd, FcntlArg::F_ADD_SEALS(SEALS)).map_err(system("seal the segment"))?;
        let epoch = epoch_now();
        let header: View<AtomicU64> = mapping.view(0, HEADER_BYTES / 8);
        let taken = vec![false; plan.entries.len()];
        write_header(&header, &plan.header(length_bytes.get(), page_kind.bytes(), epoch));
        Ok(Self { fd, mapping, header, entries: plan.entries, taken, page_kind, epoch })
    }

    /// Both ends of a gated ring.
    ///
    /// # Errors
    ///
    /// [`SegmentError::NoSuchEntry`], or [`SegmentError::Taken`] from the second time on.
    pub fn gated_ring(&mut self, name: &str) -> Result<(GatedWriter, GatingReader), SegmentError> {
        let entry = self.take(EntryKind::GatedRing, "gated ring", name)?;
        let ring = ring(&self.mapping, &entry);
        Ok((GatedWriter::new(ring.clone()), GatingReader::new(ring)))
    }

    /// The writer of an open ring.
    ///
    /// # Errors
    ///
    /// [`SegmentError::NoSuchEntry`], or [`SegmentError::Taken`] from the second time on.
    pub fn open_ring(&mut self, name: &str) -> Result<Writer, SegmentError> {
        let entry = self.take(EntryKind::OpenRing, "open ring", name)?;
        Ok(Writer::new(ring(&self.mapping, &entry)))
    }

    /// The writer of a board.
    ///
    /// # Errors
    ///
    /// [`SegmentError::NoSuchEntry`], or [`SegmentError::Taken`] from the second time on.
    pub fn board(&mut self, name: &str) -> Result<BoardWriter, SegmentError> {
        let entry = self.take(EntryKind::Board, "board", name)?;
        Ok(BoardWriter::new(self.mapping.view(entry.offset_bytes(), entry.count())))
    }

    /// The writer of counters.
    ///
    /// # Errors
    ///
    /// [`SegmentError::NoSuchEntry`], or [`SegmentError::Taken`] from the second time on.
    pub fn counters(&mut self, name: &str) -> Result<CounterWriter, SegmentError> {
        let entry = self.take(EntryKind::Counters, "block of counters", name)?;
        Ok(CounterWriter::new(self.mapping.view(entry.offset_bytes(), entry.count())))
    }

    /// The writer of a histogram.
    ///
    /// # Errors
    ///
    /// [`SegmentError::NoSuchEntry`], or [`SegmentError::Taken`] from the second time on.
    pub fn histogram(&mut self, name: &str) -> Result<HistogramWriter, SegmentError> {
        let entry = self.take(EntryKind::Histogram, "histogram", name)?;
        let words = self.mapping.view(entry.offset_bytes(), HEAD_WORDS + entry.count());
        Ok(HistogramWriter::new(words))
    }

    /// Says that the writer lives, at this time.
    pub fn heartbeat(&self, now_ns: u64) {
        self.header[HEARTBEAT_WORD].store(now_ns, Ordering::Relaxed);
    }

    /// What wakes sleeping readers; with the first, readers learn that they will be woken.
    pub fn waker(&self) -> Waker {
        Waker::new(self.header.clone())
    }

    /// A descriptor of the segment to give to a reader: opened for reading only.
    ///
    /// # Errors
    ///
    /// Where `/proc` is not there to open it through.
    pub fn share(&self) -> io::Result<OwnedFd> {
        let path = format!("/proc/self/fd/{}", self.fd.as_raw_fd());
        Ok(OpenOptions::new().read(true).open(path)?.into())
    }

    /// The pages that were had.
    pub fn page_kind(&self) -> PageKind {
        self.page_kind
    }

    /// What tells this start of the writer from any other.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    fn take(
        &mut self,
        kind: EntryKind,
        what: &'static str,
        name: &str,
    ) -> Result<Entry, SegmentError> {
        let position = self.entries.iter().position(|entry| entry.is(&[kind], name));
        let position =
            position.ok_or_else(|| SegmentError::NoSuchEntry { what, name: name.to_owned() })?;
        if std::mem::replace(&mut self.taken[position], true) {
            return Err(SegmentError::Taken(name.to_owned()));
        }
        Ok(self.entries[position])
    }
}

/// A reader's side of a segment, from whatever process. It cannot write.
pub struct SegmentView {
    mapping: Arc<Mapping>,
    words: View<AtomicU64>,
    header: Header,
    entries: Vec<Entry>,
}

impl SegmentView {
    /// Maps a segment for reading, after checking its seals and everything its header says. The
    /// descriptor is not needed afterwards.
    ///
    /// # Errors
    ///
    /// [`SegmentError`] for a file that is no sealed segment of this ABI version, each with what was
    /// expected and found.
    pub fn open(fd: impl AsFd) -> Result<Self, SegmentError> {
        let fd = fd.as_fd();
        let seals = fcntl(fd, FcntlArg::F_GET_SEALS).map_err(system("read the segment's seals"))?;
        let found = SealFlag::from_bits_truncate(seals);
        if !found.contains(SEALS) {
            return Err(SegmentError::NotSealed { expected: SEALS, found });
        }
        let file_bytes = fstat(fd).map_err(system("read the segment's size"))?.st_size as u64;
        let length_bytes = usize::try_from(file_bytes)
            .ok()
            .filter(|&bytes| bytes >= HEADER_BYTES)
            .and_then(NonZeroUsize::new)
            .ok_or(SegmentError::TooSmall(file_bytes))?;
        let mapping = Mapping::read_only(fd, length_bytes).map_err(system("map the segment"))?;
        let words: View<AtomicU64> = mapping.view(0, HEADER_BYTES / 8);
        let header = read_header(&words);
        let entries = Plan::from_claim(&header, length_bytes.get())?.entries;
        Ok(Self { mapping, words, header, entries })
    }

    /// An observing reader of a ring, gated or open. It begins with the next record.
    ///
    /// # Errors
    ///
    /// [`SegmentError::NoSuchEntry`].
    pub fn observe(&self, name: &str) -> Result<ObservingReader, SegmentError> {
        let entry = self.find(RINGS, "ring", name)?;
        Ok(ObservingReader::new(ring(&self.mapping, entry)))
    }

    /// A reader of a board.
    ///
    /// # Errors
    ///
    /// [`SegmentError::NoSuchEntry`].
    pub fn board(&self, name: &str) -> Result<BoardReader, SegmentError> {
        let entry = self.find(&[EntryKind::Board], "board", name)?;
        Ok(BoardReader::new(self.mapping.view(entry.offset_bytes(), entry.count())))
    }

    /// A reader of counters.
    ///
    /// # Errors
    ///
    /// [`SegmentError::NoSuchEntry`].
    pub fn counters(&self, name: &str) -> Result<CounterReader, SegmentError> {
        let entry = self.find(&[EntryKind::Counters], "block of counters", name)?;
        Ok(CounterReader::new(self.mapping.view(entry.offset_bytes(), entry.count())))
    }

    /// A reader of a histogram.
    ///
    /// # Errors
    ///
    /// [`SegmentError::NoSuchEntry`].
    pub fn histogram(&self, name: &str) -> Result<HistogramReader, SegmentError> {
        let entry = self.find(&[EntryKind::Histogram], "histogram", name)?;
        let words = self.mapping.view(entry.offset_bytes(), HEAD_WORDS + entry.count());
        Ok(HistogramReader::new(words))
    }

    /// Every entry: what it is, its name, and how many slots, cells, counters or counts it has.
    pub fn entries(&self) -> impl Iterator<Item = (EntryKind, String, usize)> {
        self.entries.iter().filter_map(|entry| {
            Some((entry.claimed_kind().ok()?, entry.claimed_name().ok()?, entry.count()))
        })
    }

    /// What tells this start of the writer from any other.
    pub fn epoch(&self) -> u64 {
        self.header.epoch
    }

    /// The writer's process id, as it saw it.
    pub fn writer_pid(&self) -> u32 {
        self.header.writer_pid
    }

    /// Size of the pages under the segment.
    pub fn page_bytes(&self) -> u64 {
        self.header.page_bytes
    }

    /// When the writer last said that it lives, by its clock; 0 before the first time.
    pub fn heartbeat_ns(&self) -> u64 {
        self.words[HEARTBEAT_WORD].load(Ordering::Relaxed)
    }

    /// How often the writer has woken sleeping readers; `None` where it wakes none. Look at this
    /// first, then at what may have come, then [`sleep`](Self::sleep).
    pub fn wakes(&self) -> Option<u32> {
        wake::wakes(&self.words)
    }

    /// Sleeps until the writer has woken readers once more than those `seen` times, or for
    /// `patience`; it may also end for no reason.
    pub fn sleep(&self, seen: u32, patience: Duration) {
        wake::sleep(&self.words, seen, patience);
    }

    fn find(
        &self,
        kinds: &[EntryKind],
        what: &'static str,
        name: &str,
    ) -> Result<&Entry, SegmentError> {
        self.entries
            .iter()
            .find(|entry| entry.is(kinds, name))
            .ok_or_else(|| SegmentError::NoSuchEntry { what, name: name.to_owned() })
    }
}

impl PageKind {
    pub(crate) fn bytes(self) -> usize {
        match self {
            Self::Huge1G => 1 << 30,
            Self::Huge2M => 2 << 20,
            Self::Ordinary => 4096,
        }
    }

    fn flags(self) -> MFdFlags {
        match self {
            Self::Huge1G => MFdFlags::MFD_HUGETLB | MFdFlags::MFD_HUGE_1GB,
            Self::Huge2M => MFdFlags::MFD_HUGETLB | MFdFlags::MFD_HUGE_2MB,
            Self::Ordinary => MFdFlags::empty(),
        }
    }

    fn next_smaller(self) -> Option<Self> {
        match self {
            Self::Huge1G => Some(Self::Huge2M),
            Self::Huge2M => Some(Self::Ordinary),
            Self::Ordinary => None,
        }
    }
}

impl fmt::Display for PageKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Huge1G => "1 GiB hugepages",
            Self::Huge2M => "2 MiB hugepages",
            Self::Ordinary => "ordinary pages",
        })
    }
}

/// Says from which cores pages are taken, as for [`Segment::create_by`].
type Place<'a> = dyn FnMut(&mut dyn FnMut(&[String])) + 'a;

type Allocation = (PageKind, OwnedFd, NonZeroUsize, Arc<Mapping>);

/// The file and the writer's mapping, on the largest pages there are from `page_kind` down.
fn allocate(
    plan: &Plan,
    mut page_kind: PageKind,
    place: &mut Place<'_>,
) -> Result<Allocation, SegmentError> {
    loop {
        let length_bytes = plan
            .segment_bytes(page_kind.bytes())
            .filter(|length_bytes| i64::try_from(length_bytes.get()).is_ok())
            .ok_or_else(|| LayoutError::TooLarge("the segment".to_owned()))?;
        let (errno, smaller) = match try_allocate(plan, page_kind, length_bytes, place) {
            Ok((fd, mapping)) => return Ok((page_kind, fd, length_bytes, mapping)),
            Err(errno) => match page_kind.next_smaller() {
                Some(smaller) => (errno, smaller),
                None => return Err(system("allocate the segment")(errno)),
            },
        };
        tracing::warn!(
            "no {page_kind} for a segment of {length_bytes} bytes ({errno}): trying {smaller}, which \
             costs TLB misses on every hot thread (reserve pages: vm.nr_hugepages for 2 MiB, \
             hugepagesz=1G hugepages=N on the kernel command line for 1 GiB)"
        );
        page_kind = smaller;
    }
}

fn try_allocate(
    plan: &Plan,
    page_kind: PageKind,
    length_bytes: NonZeroUsize,
    place: &mut Place<'_>,
) -> Result<(OwnedFd, Arc<Mapping>), Errno> {
    let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING | page_kind.flags();
    let fd = memfd_create(c"wirebook", flags)?;
    ftruncate(&fd, length_bytes.get() as i64)?;
    let mapping = Mapping::read_write(&fd, length_bytes)?;
    let populate = |bytes| mapping.populate(bytes, page_kind.bytes());
    let mut taken = Ok(());
    place(&mut |names| {
        let is_named = |entry: &&Entry| names.iter().any(|name| entry.is(&KINDS, name));
        for entry in plan.entries.iter().filter(is_named) {
            taken = taken.and_then(|()| populate(entry.bytes()));
        }
    });
    taken?;
    populate(0..length_bytes.get())?;
    Ok((fd, mapping))
}

/// The ring that an entry places. Entries come from a plan, so its parts lie in the segment, aligned.
fn ring(mapping: &Arc<Mapping>, entry: &Entry) -> Ring {
    let slots_offset = entry.offset_bytes() + size_of::<shape::Control>();
    Ring::from_views(
        mapping.view(entry.offset_bytes(), 1),
        mapping.view(slots_offset, entry.count()),
    )
}

/// Stores the header, its magic last: a header with its magic is whole.
fn write_header(words: &[AtomicU64], header: &Header) {
    let values = header.as_bytes().chunks_exact(8).map(|bytes| {
        u64::from_ne_bytes(bytes.try_into().expect("a chunk of eight bytes has eight bytes"))
    });
    for (word, value) in words.iter().zip(values).rev() {
        word.store(value, Ordering::Release);
    }
}

/// Copies the header once: what is checked is what is used, whatever the file says later.
fn read_header(words: &[AtomicU64]) -> Header {
    let magic = words[0].load(Ordering::Relaxed);
    fence(Ordering::Acquire);
    let rest = words[1..].iter().map(|word| word.load(Ordering::Relaxed));
    let copy: Vec<u64> = std::iter::once(magic).chain(rest).collect();
    Header::read_from_bytes(copy.as_bytes()).expect("the view has the header's size")
}

/// Nanoseconds since the UNIX epoch at creation: differs at each start.
fn epoch_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |since| since.as_nanos() as u64)
}

fn system(attempt: &'static str) -> impl Fn(Errno) -> SegmentError {
    move |errno| SegmentError::System { attempt, source: errno.into() }
}
