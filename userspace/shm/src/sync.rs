//! The one door to atomics: the standard library's, or loom's under `--cfg loom`.
//!
//! Each rule that the proofs in `ring` and `seqlock` rest on has a name here. Outside loom every
//! rule is kept, at compile time. Under loom a test may break one and see that the model notices:
//! a rule whose loss goes unnoticed is either not needed or not tested.
#![cfg_attr(
    not(loom),
    allow(unreachable_pub, reason = "public under loom, for tests that break the rules")
)]

#[cfg(loom)]
pub(crate) use loom::sync::atomic::{AtomicU64, Ordering, fence};
#[cfg(not(loom))]
pub(crate) use std::sync::atomic::{AtomicU64, Ordering, fence};

/// What the ring and the seqlock must do, and why they work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// A writer marks what it is about to rewrite before it rewrites it.
    Invalidate,
    /// A release fence keeps the payload behind that mark.
    FenceAfterInvalidate,
    /// Publishing is a release store: the payload comes before it.
    PublishRelease,
    /// An acquire fence keeps the copy behind the first look at the sequence or version.
    FenceAfterSequence,
    /// An acquire fence keeps the copy before the second look.
    FenceBeforeRecheck,
    /// A reader takes the second look at all.
    Recheck,
    /// The first slot of a record is published after the others.
    FirstSlotLast,
    /// A gated writer waits for its reader.
    Gate,
    /// A gating reader's look at a sequence is an acquire load: the payload comes after.
    GatedAcquire,
    /// A gating reader gives slots back by a release store: what it read comes before.
    GateRelease,
    /// A gated writer sees that by an acquire load: what it writes comes after.
    GateAcquire,
}

#[cfg(not(loom))]
#[inline(always)]
pub(crate) fn keeps(_: Rule) -> bool {
    true
}

#[cfg(loom)]
mod broken {
    use super::Rule;
    use std::cell::Cell;

    // loom runs all threads of a model on the thread that called it, so tests do not disturb each
    // other.
    std::thread_local! {
        static BROKEN: Cell<Option<Rule>> = const { Cell::new(None) };
    }

    pub(crate) fn keeps(rule: Rule) -> bool {
        BROKEN.get() != Some(rule)
    }

    /// Runs `model` with `rule` broken.
    pub fn without(rule: Rule, model: impl FnOnce()) {
        struct Mend;
        impl Drop for Mend {
            fn drop(&mut self) {
                BROKEN.set(None);
            }
        }
        BROKEN.set(Some(rule));
        let _mend = Mend;
        model();
    }
}

#[cfg(loom)]
pub(crate) use broken::keeps;
#[cfg(loom)]
pub use broken::without;

/// `order`, or `Relaxed` where a test has broken `rule`.
#[inline(always)]
pub(crate) fn ordering(rule: Rule, order: Ordering) -> Ordering {
    if keeps(rule) { order } else { Ordering::Relaxed }
}

/// A fence, or none where a test has broken `rule`.
#[inline(always)]
pub(crate) fn fence_by(rule: Rule, order: Ordering) {
    if keeps(rule) {
        fence(order);
    }
}
