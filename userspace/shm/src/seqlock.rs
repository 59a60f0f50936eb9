//! A value of `N` words from one writer to any number of readers, the latest only.
//!
//! A version word, odd while the writer is at it, guards the words. The pattern, and the proof that
//! equal even versions before and after mean an untorn copy, are those of `ring`: Boehm 2012, section
//! 4, with the odd version for the busy mark.
#![cfg_attr(not(loom), allow(unreachable_pub, reason = "public under loom, for its model"))]

use crate::sync::{AtomicU64, Ordering, Rule, fence_by, keeps, ordering};
use crate::view::Shared;

/// A version and `N` words in whole cache lines. With the version, `N` words must leave no padding: `N + 1` is a multiple of 8
/// (not under loom, which shares no memory).
#[repr(C, align(64))]
pub struct Seqlock<const N: usize> {
    version: AtomicU64,
    words: [AtomicU64; N],
}

impl<const N: usize> Default for Seqlock<N> {
    fn default() -> Self {
        const { assert!(cfg!(loom) || (N + 1).is_multiple_of(8), "a seqlock is whole lines") };
        Self { version: AtomicU64::new(0), words: std::array::from_fn(|_| AtomicU64::new(0)) }
    }
}

// SAFETY: `repr(C)`, of `AtomicU64` and an array of it; without padding where `N + 1` is a multiple of
// 8, which is asserted at compile time for a heap value and pinned by a test of `board` for the one
// that lies in a segment.
#[allow(unsafe_code, reason = "a board's cells lie in shared memory")]
unsafe impl<const N: usize> Shared for Seqlock<N> {}

impl<const N: usize> Seqlock<N> {
    /// Replaces the value. One writer only: the callers see to that by type.
    #[inline]
    pub fn store(&self, words: &[u64; N]) {
        let version = self.version.load(Ordering::Relaxed);
        if keeps(Rule::Invalidate) {
            self.version.store(version.wrapping_add(1), Ordering::Relaxed);
        }
        fence_by(Rule::FenceAfterInvalidate, Ordering::Release);
        for (shared, word) in self.words.iter().zip(words) {
            shared.store(*word, Ordering::Relaxed);
        }
        let release = ordering(Rule::PublishRelease, Ordering::Release);
        self.version.store(version.wrapping_add(2), release);
    }

    /// How often the value was replaced.
    #[cfg_attr(loom, allow(dead_code, reason = "no model asks"))]
    pub fn stores(&self) -> u64 {
        self.version.load(Ordering::Relaxed) / 2
    }

    /// One try to copy the value; `None` where the writer was at it. All zero before the first store.
    #[inline]
    pub fn try_load(&self) -> Option<[u64; N]> {
        let version = self.version.load(Ordering::Relaxed);
        fence_by(Rule::FenceAfterSequence, Ordering::Acquire);
        if version % 2 == 1 {
            return None;
        }
        let words = std::array::from_fn(|nth| self.words[nth].load(Ordering::Relaxed));
        fence_by(Rule::FenceBeforeRecheck, Ordering::Acquire);
        let untorn = !keeps(Rule::Recheck) || self.version.load(Ordering::Relaxed) == version;
        untorn.then_some(words)
    }
}
