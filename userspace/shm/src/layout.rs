//! The header of a segment and the layout table in it.
//!
//! What arrives: the rings and boards that the appliance wants, or the header of somebody's segment.
//! What leaves: the same [`Entry`] list, each with its place. A header from outside is a claim: its
//! names and counts are laid out again, and each offset and size must come out as it says.

use std::num::NonZeroUsize;
use std::ops::Range;

use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout};

use crate::board::CellSlot;
use crate::counters::CounterSlot;
use crate::histogram::HEAD_WORDS;
use crate::ring::{self, CapacityError, shape};
use crate::segment::PageKind;

/// First bytes of a segment.
pub(crate) const MAGIC: [u8; 8] = *b"WIREBOOK";
/// Changes with the layout of the greeting, the header, a slot, a control block, a cell, a counter or a
/// histogram. A reader of another version is refused.
pub const ABI_VERSION: u32 = 2;
/// Where the first ring or board lies.
pub(crate) const HEADER_BYTES: usize = size_of::<Header>();
/// Rings and boards that a segment holds at most.
const ENTRIES_MAX: usize = 509;
/// Alignment of every ring and board: a pair of cache lines.
const ENTRY_ALIGN_BYTES: usize = 128;
const NAME_BYTES: usize = 32;

/// What lies at offset 0 of a segment. Everything but heartbeat and wakes stays as it was created.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(crate) struct Header {
    pub(crate) magic: [u8; 8],
    pub(crate) abi_version: u32,
    pub(crate) header_bytes: u32,
    /// Changes at each start of the writer.
    pub(crate) epoch: u64,
    pub(crate) segment_bytes: u64,
    pub(crate) page_bytes: u64,
    pub(crate) writer_pid: u32,
    pub(crate) entry_count: u32,
    reserved: [u64; 2],
    /// When the writer last said that it lives, on a line of its own.
    heartbeat_ns: u64,
    reserved_line: [u64; 7],
    /// How often the writer has woken readers, in the low 32 bits: where readers sleep.
    wakes: u64,
    /// 1 where the writer wakes readers at all.
    wakes_readers: u64,
    reserved_wakes: [u64; 6],
    pub(crate) entries: [Entry; ENTRIES_MAX],
}

/// Index of the heartbeat among the header's 64-bit words.
pub(crate) const HEARTBEAT_WORD: usize = std::mem::offset_of!(Header, heartbeat_ns) / 8;

/// Index of the wakes among the header's 64-bit words.
pub(crate) const WAKES_WORD: usize = std::mem::offset_of!(Header, wakes) / 8;
/// Index of the word that says whether there are any.
pub(crate) const WAKES_READERS_WORD: usize = std::mem::offset_of!(Header, wakes_readers) / 8;

/// One ring or board in the layout table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(crate) struct Entry {
    pub(crate) kind: u32,
    /// Position among the entries of its kind.
    index: u32,
    /// ASCII, filled up with zero bytes.
    name: [u8; NAME_BYTES],
    offset: u64,
    size_bytes: u64,
    /// Slots of a ring, cells of a board, counters, counts of a histogram.
    count: u64,
}

/// What an entry of the layout table is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum EntryKind {
    /// A ring whose one gating reader holds the writer back.
    GatedRing = 1,
    /// A ring that is observed only.
    OpenRing = 2,
    /// A board.
    Board = 3,
    /// Counters by name.
    Counters = 4,
    /// A histogram.
    Histogram = 5,
}

/// What an entry may be.
pub(crate) const KINDS: [EntryKind; 5] = [
    EntryKind::GatedRing,
    EntryKind::OpenRing,
    EntryKind::Board,
    EntryKind::Counters,
    EntryKind::Histogram,
];

/// A layout that no segment can have, asked for or found.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LayoutError {
    /// A name that does not fit the table.
    #[error("a name is 1 to {NAME_BYTES} visible ASCII characters, found {0:?}")]
    Name(String),
    /// Two entries of one name.
    #[error("two entries are named {0:?}")]
    NameTwice(String),
    /// More entries than the table holds.
    #[error("a segment holds at most {ENTRIES_MAX} entries, found {0}")]
    TooManyEntries(usize),
    /// A ring with a capacity that no ring can have.
    #[error("ring {name:?}: {source}")]
    Capacity {
        /// The ring.
        name: String,
        /// What is wrong with it.
        source: CapacityError,
    },
    /// A size beyond the address space.
    #[error("{0:?} does not fit the address space")]
    TooLarge(String),
    /// A header that is not ours: what was expected, and what was found.
    #[error("segment header: {field} should be {expected}, found {found}")]
    Header {
        /// The field of the header.
        field: &'static str,
        /// What it should say.
        expected: String,
        /// What it says.
        found: String,
    },
}

/// The rings and boards of a segment to be.
#[derive(Clone, Debug, Default)]
pub struct SegmentLayout {
    wanted: Vec<(EntryKind, String, usize)>,
}

impl SegmentLayout {
    /// A segment with nothing in it.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a ring of `capacity` slots whose one gating reader holds the writer back.
    pub fn gated_ring(self, name: impl Into<String>, capacity: usize) -> Self {
        self.with(EntryKind::GatedRing, name.into(), capacity)
    }

    /// Adds a ring of `capacity` slots that is observed only.
    pub fn open_ring(self, name: impl Into<String>, capacity: usize) -> Self {
        self.with(EntryKind::OpenRing, name.into(), capacity)
    }

    /// Adds a board of `cells` cells.
    pub fn board(self, name: impl Into<String>, cells: usize) -> Self {
        self.with(EntryKind::Board, name.into(), cells)
    }

    /// Adds room for so many counters.
    pub fn counters(self, name: impl Into<String>, counters: usize) -> Self {
        self.with(EntryKind::Counters, name.into(), counters)
    }

    /// Adds a histogram of so many counts.
    pub fn histogram(self, name: impl Into<String>, counts: usize) -> Self {
        self.with(EntryKind::Histogram, name.into(), counts)
    }

    /// How many more entries fit.
    pub fn room(&self) -> usize {
        ENTRIES_MAX.saturating_sub(self.wanted.len())
    }

    /// The size of the segment on pages of one kind.
    ///
    /// # Errors
    ///
    /// [`LayoutError`] for a layout that cannot be.
    pub fn size_bytes(&self, page_kind: PageKind) -> Result<usize, LayoutError> {
        let size = self.plan()?.segment_bytes(page_kind.bytes());
        size.map(NonZeroUsize::get).ok_or_else(|| LayoutError::TooLarge("the segment".to_owned()))
    }

    fn with(mut self, kind: EntryKind, name: String, count: usize) -> Self {
        self.wanted.push((kind, name, count));
        self
    }

    /// Gives everything its place.
    pub(crate) fn plan(&self) -> Result<Plan, LayoutError> {
        if self.wanted.len() > ENTRIES_MAX {
            return Err(LayoutError::TooManyEntries(self.wanted.len()));
        }
        let mut plan = Plan { entries: Vec::new(), end_bytes: HEADER_BYTES };
        for (kind, name, count) in &self.wanted {
            plan.add(*kind, name, *count)?;
        }
        Ok(plan)
    }
}

/// Everything in its place.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) entries: Vec<Entry>,
    end_bytes: usize,
}

impl Plan {
    /// The segment's size on pages of this size; `None` where that overflows.
    pub(crate) fn segment_bytes(&self, page_bytes: usize) -> Option<NonZeroUsize> {
        NonZeroUsize::new(self.end_bytes.checked_next_multiple_of(page_bytes)?)
    }

    pub(crate) fn header(&self, segment_bytes: usize, page_bytes: usize, epoch: u64) -> Header {
        let mut header = Header::new_zeroed();
        header.magic = MAGIC;
        header.abi_version = ABI_VERSION;
        header.header_bytes = HEADER_BYTES as u32;
        header.epoch = epoch;
        header.segment_bytes = segment_bytes as u64;
        header.page_bytes = page_bytes as u64;
        header.writer_pid = std::process::id();
        header.entry_count = self.entries.len() as u32;
        header.entries[..self.entries.len()].copy_from_slice(&self.entries);
        header
    }

    /// What a header claims, checked against the size of its file.
    pub(crate) fn from_claim(header: &Header, file_bytes: usize) -> Result<Self, LayoutError> {
        expect("magic", MAGIC.escape_ascii(), header.magic.escape_ascii())?;
        expect("ABI version", ABI_VERSION, header.abi_version)?;
        expect("header size", HEADER_BYTES, header.header_bytes)?;
        expect("segment size", file_bytes, header.segment_bytes)?;
        let count = header.entry_count as usize;
        let claimed = header.entries.get(..count).ok_or(LayoutError::TooManyEntries(count))?;
        let mut layout = SegmentLayout::new();
        for entry in claimed {
            layout = layout.with(entry.claimed_kind()?, entry.claimed_name()?, entry.count());
        }
        let plan = layout.plan()?;
        for (planned, claim) in plan.entries.iter().zip(claimed) {
            expect("entry", format!("{planned:?}"), format!("{claim:?}"))?;
        }
        if plan.end_bytes > file_bytes {
            expect("segment size", plan.end_bytes, file_bytes)?;
        }
        Ok(plan)
    }

    fn add(&mut self, kind: EntryKind, name: &str, count: usize) -> Result<(), LayoutError> {
        let mut entry = Entry::new_zeroed();
        let visible = name.bytes().all(|byte| byte.is_ascii_graphic());
        match entry.name.get_mut(..name.len()) {
            Some(start) if visible && !name.is_empty() => start.copy_from_slice(name.as_bytes()),
            _ => return Err(LayoutError::Name(name.to_owned())),
        }
        if self.entries.iter().any(|other| other.name == entry.name) {
            return Err(LayoutError::NameTwice(name.to_owned()));
        }
        if matches!(kind, EntryKind::GatedRing | EntryKind::OpenRing) {
            ring::check_capacity(count)
                .map_err(|source| LayoutError::Capacity { name: name.to_owned(), source })?;
        }
        let (size_bytes, end_bytes) = Self::size_and_end(kind, count, self.end_bytes)
            .ok_or_else(|| LayoutError::TooLarge(name.to_owned()))?;
        entry.kind = kind as u32;
        entry.index = self.entries.iter().filter(|other| other.kind == entry.kind).count() as u32;
        entry.offset = self.end_bytes as u64;
        entry.size_bytes = size_bytes as u64;
        entry.count = count as u64;
        self.entries.push(entry);
        self.end_bytes = end_bytes;
        Ok(())
    }

    fn size_and_end(kind: EntryKind, count: usize, offset: usize) -> Option<(usize, usize)> {
        let size_bytes = match kind {
            EntryKind::GatedRing | EntryKind::OpenRing => shape::size_bytes(count)?,
            EntryKind::Board => count.checked_mul(size_of::<CellSlot>())?,
            EntryKind::Counters => count.checked_mul(size_of::<CounterSlot>())?,
            EntryKind::Histogram => count.checked_add(HEAD_WORDS)?.checked_mul(8)?,
        };
        let end = offset.checked_add(size_bytes)?.checked_next_multiple_of(ENTRY_ALIGN_BYTES)?;
        // What a slice, and a file, may measure.
        isize::try_from(end).is_ok().then_some((size_bytes, end))
    }
}

impl Entry {
    pub(crate) fn offset_bytes(&self) -> usize {
        self.offset as usize
    }

    /// The bytes from its beginning to its end.
    pub(crate) fn bytes(&self) -> Range<usize> {
        self.offset as usize..(self.offset + self.size_bytes) as usize
    }

    pub(crate) fn count(&self) -> usize {
        self.count as usize
    }

    pub(crate) fn is(&self, kinds: &[EntryKind], name: &str) -> bool {
        kinds.iter().any(|kind| *kind as u32 == self.kind)
            && self.claimed_name().as_deref() == Ok(name)
    }

    pub(crate) fn claimed_kind(&self) -> Result<EntryKind, LayoutError> {
        KINDS.into_iter().find(|kind| *kind as u32 == self.kind).ok_or_else(|| {
            LayoutError::Header {
                field: "entry kind",
                expected: "1 to 5".to_owned(),
                found: self.kind.to_string(),
            }
        })
    }

    pub(crate) fn claimed_name(&self) -> Result<String, LayoutError> {
        let length = self.name.iter().position(|&byte| byte == 0).unwrap_or(NAME_BYTES);
        let name = String::from_utf8_lossy(&self.name[..length]).into_owned();
        if name.is_ascii() { Ok(name) } else { Err(LayoutError::Name(name)) }
    }
}

fn expect<E, F>(field: &'static str, expected: E, found: F) -> Result<(), LayoutError>
where
    E: ToString,
    F: ToString,
{
    let (expected, found) = (expected.to_string(), found.to_string());
    if expected == found { Ok(()) } else { Err(LayoutError::Header { field, expected, found }) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::mem::offset_of;

    fn layout() -> SegmentLayout {
        SegmentLayout::new()
            .gated_ring("mailbox-0-0", 8)
            .open_ring("output-0", 4)
            .board("board-0", 3)
            .counters("counters", 2)
            .histogram("histogram-0", 5)
    }

    #[test]
    fn the_shapes_of_the_abi() {
        assert_eq!(HEADER_BYTES, 32_768);
        assert_eq!(offset_of!(Header, epoch), 16);
        assert_eq!(offset_of!(Header, heartbeat_ns), 64);
        assert_eq!(offset_of!(Header, wakes), 128);
        assert_eq!(offset_of!(Header, wakes_readers), 136);
        assert_eq!(offset_of!(Header, entries), 192);
        assert_eq!(size_of::<Entry>(), 64);
        let plan = layout().plan().unwrap();
        let places: Vec<_> = plan.entries.iter().map(|e| (e.offset, e.size_bytes)).collect();
        let rings = [(32_768, 256 + 512), (33_536, 256 + 256)];
        assert_eq!(places[..2], rings);
        assert_eq!(places[2..], [(34_048, 3 * 576), (35_840, 2 * 128), (36_096, 8 * (24 + 5))]);
        assert_eq!(plan.segment_bytes(4096).unwrap().get(), 36_864);
    }

    /// The header of `layout()` with everything of this start and host set, word by word.
    #[test]
    fn the_header_is_the_golden_one() {
        let plan = layout().plan().unwrap();
        let mut header = plan.header(36_864, 4096, 0x0123_4567_89ab_cdef);
        header.writer_pid = 0x1234;
        let words = header.as_bytes().chunks_exact(8).enumerate();
        let said = words.filter(|(_, word)| word.iter().any(|&byte| byte != 0));
        let text = said.map(|(nth, word)| {
            let hex: Vec<_> = word.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("{:5} {}\n", 8 * nth, hex.join(" "))
        });
        assert_eq!(text.collect::<String>(), include_str!("../tests/golden/header-v2.txt"));
    }

    #[test]
    fn layouts_that_cannot_be_are_refused() {
        let refused = |layout: SegmentLayout| layout.plan().unwrap_err().to_string();
        assert!(refused(layout().board("board-0", 1)).contains("two entries"));
        assert!(refused(layout().board("", 1)).contains("visible ASCII"));
        assert!(refused(layout().board("x".repeat(33), 1)).contains("visible ASCII"));
        assert!(refused(layout().open_ring("odd", 3)).contains("power of two"));
        assert!(refused(layout().board("b", usize::MAX / 600)).contains("address space"));
        let many = (0..510).fold(SegmentLayout::new(), |all, n| all.board(n.to_string(), 1));
        assert!(refused(many).contains("at most 509"));
    }

    #[test]
    fn a_claim_is_checked_field_by_field() {
        let plan = layout().plan().unwrap();
        let good = || plan.header(36_864, 4096, 7);
        assert_eq!(Plan::from_claim(&good(), 36_864).unwrap().entries, plan.entries);
        let lies: [fn(&mut Header); 12] = [
            |h| h.magic[0] = b'w',
            |h| h.abi_version += 1,
            |h| h.header_bytes = 0,
            |h| h.segment_bytes += 4096,
            |h| h.entry_count = 510,
            |h| h.entries[0].kind = 9,
            |h| h.entries[0].kind = EntryKind::Board as u32,
            |h| h.entries[0].name = [0xff; NAME_BYTES],
            |h| h.entries[1].offset += 64,
            |h| h.entries[1].count = 1 << 31,
            |h| h.entries[2].size_bytes = 0,
            |h| h.entries[2].count = u64::MAX,
        ];
        for (nth, lie) in lies.into_iter().enumerate() {
            let mut header = good();
            lie(&mut header);
            assert!(Plan::from_claim(&header, 36_864).is_err(), "lie {nth}");
        }
        let mut beyond = good();
        beyond.segment_bytes = 34_816;
        assert!(Plan::from_claim(&beyond, 34_816).is_err());
    }
}
