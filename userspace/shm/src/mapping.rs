//! A file mapped into this process: the one place that maps, populates and unmaps.
//!
//! What arrives: a descriptor and a size. What leaves: a [`Mapping`], and [`View`]s of it that keep it.

use std::num::NonZeroUsize;
use std::ops::Range;
use std::os::fd::AsFd;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use nix::errno::Errno;
use nix::sys::mman::{MapFlags, MmapAdvise, ProtFlags, madvise, mmap, munmap};

use crate::view::{Shared, View};

/// The smallest page of the machines this runs on.
const PAGE_BYTES_MIN: usize = 4096;

/// Bytes of a shared file, mapped as long as this or a view of it lives.
pub(crate) struct Mapping {
    start: NonNull<u8>,
    length_bytes: NonZeroUsize,
}

// SAFETY: the mapping belongs to the process, not to a thread; it is used through views of atomics
// only, and unmapped by its last owner.
#[allow(unsafe_code, reason = "the raw pointer hides that the mapping is shared")]
unsafe impl Send for Mapping {}

// SAFETY: as for `Send`; `&Mapping` gives out views of atomics only.
#[allow(unsafe_code, reason = "the raw pointer hides that the mapping is shared")]
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps a fresh file for reading and writing. Its pages are still to be [taken](Self::populate).
    pub(crate) fn read_write(fd: impl AsFd, length_bytes: NonZeroUsize) -> nix::Result<Arc<Self>> {
        Self::map(fd, length_bytes, ProtFlags::PROT_READ | ProtFlags::PROT_WRITE)
    }

    /// Faults in the pages, of `page_bytes`, of these bytes of a fresh file, on the node of the core
    /// that this runs on. Where the kernel has none, this is an error here and not a SIGBUS later.
    pub(crate) fn populate(
        self: &Arc<Self>,
        bytes: Range<usize>,
        page_bytes: usize,
    ) -> nix::Result<()> {
        let end = bytes.end.next_multiple_of(page_bytes).min(self.length_bytes.get());
        let pages = bytes.start / page_bytes * page_bytes..end;
        match self.advise(pages.clone(), MmapAdvise::MADV_POPULATE_WRITE) {
            // Before Linux 5.14 there is no such advice.
            Err(Errno::EINVAL) => self.touch(pages),
            outcome => outcome?,
        }
        Ok(())
    }

    /// Maps a file for reading. The caller has seen to it that the file cannot shrink.
    pub(crate) fn read_only(fd: impl AsFd, length_bytes: NonZeroUsize) -> nix::Result<Arc<Self>> {
        let mapping = Self::map(fd, length_bytes, ProtFlags::PROT_READ)?;
        // The pages are there, as their writer populated them; without the advice each is mapped at
        // its first use.
        let _advice = mapping.advise(0..length_bytes.get(), MmapAdvise::MADV_POPULATE_READ);
        Ok(mapping)
    }

    /// `len` values at `offset_bytes`; a panic where the caller has not checked that they lie
    /// inside, aligned.
    pub(crate) fn view<T: Shared>(self: &Arc<Self>, offset_bytes: usize, len: usize) -> View<T> {
        let end = len.checked_mul(size_of::<T>()).and_then(|size| size.checked_add(offset_bytes));
        assert!(
            end.is_some_and(|end| end <= self.length_bytes.get()),
            "a view lies in its mapping"
        );
        assert!(offset_bytes.is_multiple_of(align_of::<T>()), "a view is aligned");
        self.view_unchecked(offset_bytes, len)
    }

    #[allow(unsafe_code, reason = "pointers into the mapping")]
    fn view_unchecked<T: Shared>(self: &Arc<Self>, offset_bytes: usize, len: usize) -> View<T> {
        // SAFETY: `offset_bytes` is within the mapping (asserted by `view`, the one caller).
        let first = unsafe { self.start.add(offset_bytes) }.cast::<T>();
        // SAFETY: `first` is aligned for `T`, as the mapping starts on a page and `view` asserts the
        // rest, and `len` values fit (asserted there). The mapping lives as long as the view, which
        // owns a share of it. The file is sealed against shrinking (by `Segment::create`, checked by
        // `SegmentView::open`), so its pages stay. Writers touch it by `AtomicU64`s only: those of
        // this crate through `Shared` types, and no other process maps it writable
        // (`F_SEAL_FUTURE_WRITE`). Read-only mappings are made by `SegmentView` alone, whose readers
        // use relaxed loads only (`ring`, `seqlock`).
        unsafe { View::from_raw(first, len, Arc::<Self>::clone(self)) }
    }

    #[allow(unsafe_code, reason = "mmap")]
    fn map(fd: impl AsFd, length: NonZeroUsize, prot: ProtFlags) -> nix::Result<Arc<Self>> {
        // SAFETY: no address is asked for, so the kernel takes free space and replaces no mapping.
        let start = unsafe { mmap(None, length, prot, MapFlags::MAP_SHARED, fd, 0) }?;
        Ok(Arc::new(Self { start: start.cast(), length_bytes: length }))
    }

    #[allow(unsafe_code, reason = "madvise, and a pointer into the mapping")]
    fn advise(&self, pages: Range<usize>, advice: MmapAdvise) -> nix::Result<()> {
        assert!(pages.start <= pages.end && pages.end <= self.length_bytes.get());
        // SAFETY: the start is within the mapping, as was asserted.
        let start = unsafe { self.start.add(pages.start) };
        // SAFETY: the range is of this mapping; both advices given here fault pages in and change no
        // byte of them.
        unsafe { madvise(start.cast(), pages.len(), advice) }
    }

    /// Faults pages of a fresh file in, by storing the zeros that they hold.
    fn touch(self: &Arc<Self>, pages: Range<usize>) {
        let words: View<AtomicU64> = self.view(pages.start, pages.len() / 8);
        for first_word in words.iter().step_by(PAGE_BYTES_MIN / 8) {
            first_word.store(0, Ordering::Relaxed);
        }
    }
}

impl Drop for Mapping {
    #[allow(unsafe_code, reason = "munmap")]
    fn drop(&mut self) {
        // SAFETY: the range is what `map` mapped; no view is left, as each owns a share of `self`.
        let outcome = unsafe { munmap(self.start.cast(), self.length_bytes.get()) };
        debug_assert_eq!(outcome, Ok(()), "a whole mapping can be unmapped");
    }
}

// SAFETY: an `AtomicU64` itself.
#[allow(unsafe_code, reason = "the header's words lie in shared memory")]
unsafe impl Shared for AtomicU64 {}
