//! Typed slices of atomics and whatever keeps their memory alive.
//!
//! What arrives: a heap allocation, or part of a mapping. What leaves: a [`View`], which everything
//! above uses as a plain slice. The one place where a pointer into shared memory is followed.

use std::any::Any;
use std::ops::Deref;
use std::ptr::NonNull;
use std::sync::Arc;

/// Types that may lie in memory which other threads and processes write.
///
/// # Safety
///
/// The type is `repr(C)` and made of `AtomicU64`s and arrays of such types alone, so that any bytes
/// are a value of it, sharing it is free of data races, and it has no padding and nothing to drop.
#[allow(unsafe_code, reason = "what an implementation vouches for cannot be checked")]
pub(crate) unsafe trait Shared: Send + Sync + 'static {}

/// A slice of `T` in shared memory, which it keeps alive.
pub(crate) struct View<T> {
    first: NonNull<T>,
    len: usize,
    owner: Arc<dyn Any + Send + Sync>,
}

impl<T: Shared> View<T> {
    /// `len` values in memory of this process alone.
    pub(crate) fn heap(len: usize, zero: impl FnMut() -> T) -> Self {
        let values: Arc<Box<[T]>> = Arc::new(std::iter::repeat_with(zero).take(len).collect());
        Self { first: NonNull::from(&values[..]).cast(), len, owner: values }
    }

    /// `len` values from `first` on, in memory that `owner` keeps.
    ///
    /// # Safety
    ///
    /// `first` is aligned for `T` and points to memory of `len` times the size of `T`, which is
    /// readable, and written only by atomic operations of eight bytes, as long as `owner` lives.
    /// Where the memory is not writable, no store goes through the view and every load of it is
    /// relaxed.
    #[cfg(not(loom))]
    #[allow(unsafe_code, reason = "a pointer that the caller vouches for")]
    pub(crate) unsafe fn from_raw(
        first: NonNull<T>,
        len: usize,
        owner: Arc<dyn Any + Send + Sync>,
    ) -> Self {
        Self { first, len, owner }
    }
}

impl<T: Shared> Deref for View<T> {
    type Target = [T];

    #[inline(always)]
    #[allow(unsafe_code, reason = "the one place where shared memory becomes a slice")]
    fn deref(&self) -> &[T] {
        // SAFETY: `first` points to `len` aligned values in memory that `owner`, which `self` keeps,
        // keeps alive: by `NonNull::from(&values[..])` in `heap` (the box does not move its
        // contents), by the caller's word in `from_raw`. Any bytes are a `T`, and others change
        // them through atomics only (`T: Shared`), so a shared slice is sound beside such writers.
        unsafe { std::slice::from_raw_parts(self.first.as_ptr(), self.len) }
    }
}

impl<T> Clone for View<T> {
    fn clone(&self) -> Self {
        Self { first: self.first, len: self.len, owner: Arc::clone(&self.owner) }
    }
}

// SAFETY: a view gives out `&[T]` only, with `T: Send + Sync` (a bound of `Shared`), and its owner is
// `Send + Sync`; the pointer follows the owner's memory, which is tied to no thread.
#[allow(unsafe_code, reason = "the raw pointer hides that T is shared")]
unsafe impl<T: Shared> Send for View<T> {}

// SAFETY: as for `Send`.
#[allow(unsafe_code, reason = "the raw pointer hides that T is shared")]
unsafe impl<T: Shared> Sync for View<T> {}
