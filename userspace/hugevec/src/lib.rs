//! Private tables on hugepages behind a safe slice.
//!
//! What arrives: an element type for which all-zero bytes are a valid value, and a length.
//! What leaves: a [`HugeVec`], a zero-initialised `[T]` of exactly that length.
//!
//! It promises: the memory is taken, zeroed and faulted in before the table is handed over, so a
//! hot thread that indexes it meets neither the allocator nor a page fault; the table never grows,
//! moves or shrinks; dropping it gives the memory back. Hugepages come from the pool of the host
//! (`vm.nr_hugepages`); where that is empty, the table lies on ordinary pages and one warning says so
//! ([`HugeVec::backing`] tells a program).
//!
//! It counts nothing: a table that cannot be had is a [`HugeVecError`] at start.

mod pages;

use std::alloc::Layout;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

use pages::Pages;
use zerocopy::FromZeros;

/// What kind of pages a table lies on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backing {
    /// 2 MiB pages from the host's hugepage pool.
    Huge2M,
    /// Ordinary pages, which the kernel may merge to huge ones when it sees fit.
    Ordinary,
}

/// Why a table could not be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HugeVecError {
    /// The size of the table does not fit the address space.
    #[error("a table of {len} elements of {element_bytes} bytes exceeds isize::MAX bytes")]
    TooLarge {
        /// Elements asked for.
        len: usize,
        /// Size of one element.
        element_bytes: usize,
    },
    /// Neither hugepages nor ordinary memory could be had.
    #[error("no memory for a table of {size_bytes} bytes, on hugepages or ordinary pages")]
    OutOfMemory {
        /// Size of the table.
        size_bytes: usize,
    },
}

/// A fixed-length table of `T`, zero-initialised, on hugepages where the host has them.
pub struct HugeVec<T> {
    /// First element: of `pages`, or dangling where the table has no bytes.
    first: NonNull<T>,
    len: usize,
    /// The memory, given back when dropped; `None` where the table has no bytes.
    pages: Option<Pages>,
}

impl<T: FromZeros + Copy> HugeVec<T> {
    /// Takes memory for `len` elements, all zero and already faulted in.
    ///
    /// `T: Copy` means there is nothing to drop in it. A table without bytes (`len` 0, or a
    /// zero-sized `T`) takes no memory.
    ///
    /// # Errors
    ///
    /// [`HugeVecError::TooLarge`] where `len` times the size of `T` overflows,
    /// [`HugeVecError::OutOfMemory`] where the host has no such memory. An empty hugepage pool is
    /// not an error: the table then lies on ordinary pages and a warning is logged.
    pub fn zeroed(len: usize) -> Result<Self, HugeVecError> {
        let layout = Layout::array::<T>(len)
            .map_err(|_| HugeVecError::TooLarge { len, element_bytes: size_of::<T>() })?;
        if layout.size() == 0 {
            return Ok(Self { first: NonNull::dangling(), len, pages: None });
        }
        let pages =
            Pages::zeroed(layout).ok_or(HugeVecError::OutOfMemory { size_bytes: layout.size() })?;
        Ok(Self { first: pages.start().cast(), len, pages: Some(pages) })
    }
}

impl<T> HugeVec<T> {
    /// The kind of pages under the table; [`Backing::Ordinary`] where it has no bytes.
    pub fn backing(&self) -> Backing {
        self.pages.as_ref().map_or(Backing::Ordinary, Pages::backing)
    }
}

/// Asks the processor to bring the element's cache line near, and does not wait for it. Any index may be
/// asked for: one outside the table brings nothing of it near, and no bound is looked at. A processor for
/// which no such instruction is known here does nothing.
///
/// Source: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2B, PREFETCHh: a hint
/// that changes nothing but caches, and never faults.
#[inline]
#[allow(unsafe_code, reason = "the intrinsic takes a raw pointer")]
pub fn prefetch<T>(table: &[T], index: usize) {
    let address = table.as_ptr().wrapping_add(index).cast::<i8>();
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    // SAFETY: the instruction needs SSE, which every x86_64 has; it reads and writes no memory in the
    // sense of the language, and takes any address: one that is not mapped is no fault.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(address);
    }
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    let _ = address;
}

impl<T> Deref for HugeVec<T> {
    type Target = [T];

    #[inline]
    #[allow(unsafe_code, reason = "the safe slice is what this crate is for")]
    fn deref(&self) -> &[T] {
        // SAFETY: `first` is non-null and aligned for `T`: it is dangling-but-aligned where the
        // table has no bytes, else the start of `pages`, taken with the layout of `[T; len]`.
        // Those bytes were zeroed in `Pages::zeroed`, a valid `T` each (`T: FromZeros` in the only
        // constructor), and stay allocated as long as `pages`, which `self` owns. Their size is at
        // most `isize::MAX` (`Layout::array`). Writes go through `&mut self` only.
        unsafe { std::slice::from_raw_parts(self.first.as_ptr(), self.len) }
    }
}

impl<T> DerefMut for HugeVec<T> {
    #[inline]
    #[allow(unsafe_code, reason = "the safe slice is what this crate is for")]
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as in `deref`; and `&mut self` makes this the only slice, as no two tables share
        // memory.
        unsafe { std::slice::from_raw_parts_mut(self.first.as_ptr(), self.len) }
    }
}

// SAFETY: a table owns its memory alone, like a `Box<[T]>`, so moving it moves the `T`s and nothing
// else; freeing is not tied to a thread (`munmap`, the global allocator).
#[allow(unsafe_code, reason = "the raw pointer hides that T is owned")]
unsafe impl<T: Send> Send for HugeVec<T> {}

// SAFETY: `&HugeVec<T>` gives out `&[T]` and nothing more.
#[allow(unsafe_code, reason = "the raw pointer hides that T is owned")]
unsafe impl<T: Sync> Sync for HugeVec<T> {}

impl<T> fmt::Debug for HugeVec<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HugeVec")
            .field("len", &self.len)
            .field("backing", &self.backing())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill_and_check(table: &mut HugeVec<u64>) {
        assert!(table.iter().all(|&value| value == 0));
        for (index, value) in table.iter_mut().enumerate() {
            *value = index as u64 * 3;
        }
        assert!((0..table.len()).all(|index| table[index] == index as u64 * 3));
    }

    #[test]
    fn a_table_is_zeroed_aligned_and_writable() {
        #[derive(Clone, Copy, FromZeros)]
        #[repr(C, align(64))]
        struct Line([u64; 8]);

        fill_and_check(&mut HugeVec::zeroed(5_000).unwrap());
        let lines = HugeVec::<Line>::zeroed(7).unwrap();
        assert_eq!(lines.as_ptr().addr() % 64, 0);
        assert_eq!(lines.len(), 7);
        assert!(lines.iter().all(|line| line.0 == [0; 8]));
    }

    #[test]
    fn a_table_without_bytes_takes_no_memory() {
        let mut none = HugeVec::<u64>::zeroed(0).unwrap();
        assert!(none.is_empty());
        assert_eq!(none.iter_mut().count(), 0);
        assert_eq!(HugeVec::<()>::zeroed(usize::MAX).unwrap().len(), usize::MAX);
    }

    #[test]
    fn a_table_too_large_is_an_error() {
        assert_eq!(
            HugeVec::<u64>::zeroed(usize::MAX).unwrap_err(),
            HugeVecError::TooLarge { len: usize::MAX, element_bytes: 8 }
        );
        #[cfg(not(miri))]
        assert_eq!(
            HugeVec::<u64>::zeroed(1 << 59).unwrap_err(),
            HugeVecError::OutOfMemory { size_bytes: 1 << 62 }
        );
    }

    #[test]
    fn a_prefetch_changes_nothing_and_may_be_of_anything() {
        let mut table = HugeVec::<u64>::zeroed(100).unwrap();
        table[7] = 5;
        for index in [0, 7, 99, 100, usize::MAX] {
            prefetch(&table, index);
        }
        assert_eq!((table[7], table.iter().sum::<u64>()), (5, 5));
    }

    #[test]
    fn a_table_crosses_threads() {
        let mut table = HugeVec::<u64>::zeroed(100).unwrap();
        std::thread::spawn(move || {
            fill_and_check(&mut table);
            std::thread::scope(|scope| {
                scope.spawn(|| assert_eq!(table[99], 297));
            });
        })
        .join()
        .unwrap();
    }
}
