//! The memory under a table: hugepages by `hugepage-rs`, else ordinary pages by the allocator.
//!
//! What arrives: a layout with at least one byte. What leaves: [`Pages`], zeroed, faulted in, given
//! back when dropped. It promises that a host without hugepages costs a warning, not a failure.

use std::alloc::Layout;
use std::ptr::NonNull;
use std::sync::Once;

use crate::Backing;

/// The hugepage size this crate asks for, and the alignment at which the kernel can merge ordinary
/// pages to a huge one.
const HUGE_2M_BYTES: usize = 2 << 20;

/// Zeroed memory of one layout.
pub(crate) struct Pages {
    start: NonNull<u8>,
    /// What `start` was taken with, as the allocator wants it back.
    layout: Layout,
    backing: Backing,
}

/// A process has many tables; one warning is enough for all of them.
static WARNING: Once = Once::new();

impl Pages {
    /// Takes memory for `layout`, zeroed and faulted in; `None` where there is none.
    ///
    /// The caller sees to it that `layout` has at least one byte.
    pub(crate) fn zeroed(layout: Layout) -> Option<Self> {
        assert!(layout.size() > 0, "pages are never asked for no bytes");
        Self::huge(layout).or_else(|| {
            let ordinary = Self::ordinary(layout)?;
            WARNING.call_once(|| {
                tracing::warn!(
                    "no 2 MiB hugepages for tables: they lie on ordinary pages, which costs TLB \
                     misses (reserve hugepages with vm.nr_hugepages)"
                );
            });
            tracing::debug!(size_bytes = layout.size(), "a table on ordinary pages");
            Some(ordinary)
        })
    }

    pub(crate) fn start(&self) -> NonNull<u8> {
        self.start
    }

    pub(crate) fn backing(&self) -> Backing {
        self.backing
    }

    /// `None` where the host has no (or not enough) hugepages, or none of 2 MiB by default.
    #[allow(unsafe_code, reason = "hugepage-rs allocates by layout")]
    fn huge(layout: Layout) -> Option<Self> {
        // hugepage-rs panics where /proc/meminfo names no hugepage size, so that is asked first.
        if default_hugepage_bytes() != Some(HUGE_2M_BYTES) {
            return None;
        }
        // SAFETY: `layout` has a non-zero size (asserted in `zeroed`), the one obligation.
        let start = NonNull::new(unsafe { hugepage_rs::alloc(layout) })?;
        let pages = Self { start, layout, backing: Backing::Huge2M };
        // A fresh anonymous mapping reads as zero, so these pages need faulting in only.
        pages.populate().then_some(pages)
    }

    /// Faults in every hugepage; false where the kernel has none to give after all.
    ///
    /// The mapping holds a reservation, yet a fault can still fail under a hugetlb control group or
    /// a memory policy, and then kills by SIGBUS. `MADV_POPULATE_WRITE` (`mm/madvise.c`, Linux 5.14)
    /// reports the same as an error.
    #[allow(unsafe_code, reason = "madvise")]
    fn populate(&self) -> bool {
        let whole_pages_bytes = self.layout.size().next_multiple_of(HUGE_2M_BYTES);
        // SAFETY: the range is exactly the mapping `hugepage_rs::alloc` made, which rounds the size
        // up to hugepages of the size checked in `huge`; populating changes no byte of it.
        let outcome = unsafe {
            libc::madvise(self.start.as_ptr().cast(), whole_pages_bytes, libc::MADV_POPULATE_WRITE)
        };
        if outcome == 0 {
            return true;
        }
        if std::io::Error::last_os_error().raw_os_error() != Some(libc::EINVAL) {
            return false;
        }
        // A kernel that does not know the advice: touch the pages.
        self.write_zeros();
        true
    }

    #[allow(unsafe_code, reason = "the allocator")]
    fn ordinary(layout: Layout) -> Option<Self> {
        let layout = if layout.size() < HUGE_2M_BYTES {
            layout
        } else {
            layout.align_to(HUGE_2M_BYTES).ok()?
        };
        // SAFETY: `layout` has a non-zero size (asserted in `zeroed`; aligning keeps the size).
        let start = NonNull::new(unsafe { std::alloc::alloc(layout) })?;
        let pages = Self { start, layout, backing: Backing::Ordinary };
        pages.advise_huge();
        // Zeroing touches every page, after the advice so that the faults can be huge ones.
        pages.write_zeros();
        Some(pages)
    }

    /// Asks the kernel for transparent hugepages under the whole 2 MiB parts of the memory. Advice:
    /// a kernel without them says no, and nothing changes.
    #[allow(unsafe_code, reason = "madvise")]
    fn advise_huge(&self) {
        let mergeable_bytes = self.layout.size() / HUGE_2M_BYTES * HUGE_2M_BYTES;
        if cfg!(miri) || mergeable_bytes == 0 {
            return;
        }
        // SAFETY: the range lies inside the allocation and starts aligned (`ordinary` aligns a
        // layout of this size); the advice changes no byte of it.
        unsafe {
            libc::madvise(self.start.as_ptr().cast(), mergeable_bytes, libc::MADV_HUGEPAGE);
        }
    }

    #[allow(unsafe_code, reason = "raw memory becomes zeroed memory here")]
    fn write_zeros(&self) {
        // SAFETY: `start` is valid for writes of `layout.size()` bytes, as just allocated with that
        // layout, and nobody else knows the address yet.
        unsafe { self.start.write_bytes(0, self.layout.size()) };
    }
}

impl Drop for Pages {
    #[allow(unsafe_code, reason = "gives back what was taken by hand")]
    fn drop(&mut self) {
        match self.backing {
            // SAFETY: `start` came from `hugepage_rs::alloc` with this very layout, and this is the
            // one owner's last act.
            Backing::Huge2M => unsafe { hugepage_rs::dealloc(self.start.as_ptr(), self.layout) },
            // SAFETY: `start` came from `std::alloc::alloc` with this very layout, and this is the
            // one owner's last act.
            Backing::Ordinary => unsafe {
                std::alloc::dealloc(self.start.as_ptr(), self.layout);
            },
        }
    }
}

/// The size hugepages have where none is asked for, by `/proc/meminfo` (`proc_meminfo(5)`,
/// Hugepagesize); `None` where the kernel has no hugepages.
fn default_hugepage_bytes() -> Option<usize> {
    if cfg!(miri) {
        return None;
    }
    let meminfo = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = meminfo.lines().find_map(|line| line.strip_prefix("Hugepagesize:"))?;
    let kibibytes: usize = line.trim().strip_suffix("kB")?.trim_end().parse().ok()?;
    kibibytes.checked_mul(1024)
}
