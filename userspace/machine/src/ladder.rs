//! The sorted prices of one side of a book.
//!
//! A [`Ladder`] is an ascending array of [`Rung`]s (rank of the price, level), the best at the
//! back, where most of a day's changes are and where inserting moves least. Its array is an extent
//! of one [`RungPool`] that all books share: a power of two of rungs, copied to the next size when
//! it is full and to the one before when three quarters of it are empty. So no book has a depth
//! limit of its own.

use std::hint::select_unpredictable;
use std::ops::Range;

use wirebook_hugevec::{HugeVec, HugeVecError, prefetch};
use zerocopy::FromZeros;

use crate::side::RestingSide;

/// Rungs in the smallest extent: two cache lines.
const RUNGS_MIN: usize = 8;

/// Extents of `RUNGS_MIN << class` rungs, for each class.
const CLASSES: usize = 28;

/// The end of a list of free extents.
const NONE: u32 = u32::MAX;

/// How many rungs at the back are searched before the rest.
const NEAR: usize = 16;

/// One price of a side.
#[derive(Clone, Copy, FromZeros)]
#[repr(C)]
pub(crate) struct Rung {
    /// [`RestingSide::rank`](crate::side::RestingSide::rank) of the price.
    pub(crate) rank: i64,
    /// Index of the level; in a free extent's first rung, the next free extent.
    pub(crate) level: u32,
}

/// One side of a book: where its rungs are.
#[derive(Clone, Copy, Default)]
pub(crate) struct Ladder {
    start: u32,
    len: u32,
    /// Class of the extent, plus one; 0 for a ladder without an extent.
    class_plus_one: u8,
}

/// A part of the pool: `RUNGS_MIN << class` rungs from `start` on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    pub(crate) start: u32,
    pub(crate) class: u8,
}

impl Extent {
    /// The units of the pool that it covers, each the size of a smallest extent.
    pub(crate) fn units(&self) -> Range<usize> {
        let first = self.start as usize / RUNGS_MIN;
        first..first + (1 << self.class)
    }

    /// One past its last rung; `None` where no pool has such an extent.
    fn end(&self) -> Option<usize> {
        let class = usize::from(self.class);
        (class < CLASSES).then(|| self.start as usize + rungs_of(class))
    }
}

impl Ladder {
    /// An empty ladder that holds `extent`.
    pub(crate) fn with_extent(extent: Option<Extent>) -> Self {
        extent.map_or_else(Self::default, |Extent { start, class }| Self {
            start,
            len: 0,
            class_plus_one: class + 1,
        })
    }

    /// What it holds of the pool.
    pub(crate) fn extent(&self) -> Option<Extent> {
        let class = self.class_plus_one.checked_sub(1)?;
        Some(Extent { start: self.start, class })
    }

    pub(crate) fn len(&self) -> usize {
        self.len as usize
    }

    pub(crate) fn capacity(&self) -> usize {
        match self.class_plus_one {
            0 => 0,
            class_plus_one => rungs_of(class_plus_one as usize - 1),
        }
    }
}

/// The pool has no extent left that is large enough.
#[derive(Debug)]
pub(crate) struct PoolFull;

/// All rungs of all ladders.
pub(crate) struct RungPool {
    rungs: HugeVec<Rung>,
    /// Rungs from here on were never part of an extent.
    fresh: usize,
    /// The first free extent of each class.
    free: [u32; CLASSES],
}

impl RungPool {
    /// What all rungs take, used or not.
    pub(crate) fn memory_bytes(&self) -> usize {
        size_of_val(&self.rungs[..])
    }

    /// How many rungs hold `levels` levels on `ladders` ladders.
    ///
    /// A ladder fills more than a quarter of its extent, or has the smallest one; and ladders that
    /// grow in step leave as much behind in smaller extents as they fill. So four rungs a level,
    /// and the smallest extent for each ladder.
    pub(crate) fn rungs_for(ladders: usize, levels: usize) -> Option<usize> {
        let smallest = ladders.checked_mul(RUNGS_MIN)?;
        levels.checked_mul(4)?.checked_add(smallest)
    }

    /// A pool of `rungs` rungs; the caller sees to it that they are fewer than `u32::MAX`.
    pub(crate) fn new(rungs: usize) -> Result<Self, HugeVecError> {
        Ok(Self { rungs: HugeVec::zeroed(rungs)?, fresh: 0, free: [NONE; CLASSES] })
    }

    /// The rungs of `ladder`, worst price first.
    pub(crate) fn rungs(&self, ladder: &Ladder) -> &[Rung] {
        let start = ladder.start as usize;
        &self.rungs[start..start + ladder.len as usize]
    }

    /// Where `rank` is (`Ok`) or belongs (`Err`).
    pub(crate) fn search(&self, ladder: &Ladder, rank: i64) -> Result<usize, usize> {
        let rungs = self.rungs(ladder);
        let near = rungs.len().saturating_sub(NEAR);
        let (from, part) = match rungs.get(near) {
            Some(rung) if rung.rank <= rank => (near, &rungs[near..]),
            _ => (0, &rungs[..near]),
        };
        let place = part.binary_search_by_key(&rank, |rung| rung.rank);
        place.map(|at| from + at).map_err(|at| from + at)
    }

    /// Inserts a level at `at`, as [`RungPool::search`] named it.
    pub(crate) fn insert(
        &mut self,
        ladder: &mut Ladder,
        at: usize,
        rung: Rung,
    ) -> Result<(), PoolFull> {
        if ladder.len as usize == ladder.capacity() {
            self.resize(ladder, ladder.class_plus_one as usize)?;
        }
        let start = ladder.start as usize;
        let (place, end) = (start + at, start + ladder.len as usize);
        self.rungs.copy_within(place..end, place + 1);
        self.rungs[place] = rung;
        ladder.len += 1;
        Ok(())
    }

    /// Removes the level at `at`.
    pub(crate) fn remove(&mut self, ladder: &mut Ladder, at: usize) {
        let start = ladder.start as usize;
        let (place, end) = (start + at, start + ladder.len as usize);
        self.rungs.copy_within(place + 1..end, place);
        ladder.len -= 1;
        let class = ladder.class_plus_one as usize - 1;
        if class > 0 && (ladder.len as usize) < ladder.capacity() / 4 {
            // A pool too full to move to a smaller extent keeps the larger one: nothing is lost.
            let _ = self.resize(ladder, class - 1);
        }
    }

    /// Empties `ladder` and takes its extent back.
    pub(crate) fn release(&mut self, ladder: &mut Ladder) {
        self.give_back(ladder);
        *ladder = Ladder::default();
    }

    /// True where the best bid is at or above the best ask.
    pub(crate) fn crossed(&self, [bids, asks]: &[Ladder; 2]) -> bool {
        match (self.rungs(bids).last(), self.rungs(asks).last()) {
            (Some(bid), Some(ask)) => bid.rank >= RestingSide::Ask.rank(ask.rank),
            _ => false,
        }
    }

    /// Asks the processor for the best rungs, where they are wanted; else for those of nobody, which are near.
    #[inline]
    pub(crate) fn prefetch_best(&self, ladder: &Ladder, are_wanted: bool) {
        let end = select_unpredictable(are_wanted, (ladder.start + ladder.len) as usize, 0);
        prefetch(&self.rungs, end.saturating_sub(1));
        prefetch(&self.rungs, end.saturating_sub(5));
    }

    /// The rungs of a ladder that may name any: `None` where it names none that it can have.
    pub(crate) fn checked_rungs(&self, ladder: &Ladder) -> Option<&[Rung]> {
        let Some(extent) = ladder.extent() else {
            return (ladder.len == 0).then_some(&[]);
        };
        let aligned = (extent.start as usize).is_multiple_of(RUNGS_MIN);
        let placed = aligned && extent.end()? <= self.fresh;
        (placed && ladder.len() <= ladder.capacity()).then(|| self.rungs(ladder))
    }

    /// Takes back every rung of which `held` does not name the unit.
    pub(crate) fn free_all_but(&mut self, held: &[bool]) {
        self.free = [NONE; CLASSES];
        self.fresh = held.iter().rposition(|&held| held).map_or(0, |last| (last + 1) * RUNGS_MIN);
        let mut unit = 0;
        while unit < self.fresh / RUNGS_MIN {
            let free = held[unit..].iter().take_while(|&&held| !held).count();
            if free == 0 {
                unit += 1;
                continue;
            }
            let class = (free.ilog2() as usize).min(CLASSES - 1);
            self.push(class, (unit * RUNGS_MIN) as u32);
            unit += 1 << class;
        }
    }

    /// Rungs in the pool.
    pub(crate) fn limit(&self) -> usize {
        self.rungs.len()
    }

    /// Units of the pool, as [`Extent::units`] counts them, that were ever part of an extent.
    pub(crate) fn units(&self) -> usize {
        self.fresh / RUNGS_MIN
    }

    /// Rungs that were ever part of an extent.
    pub(crate) fn fresh(&self) -> usize {
        self.fresh
    }

    /// The free extents: of each class, those that are taken first come first.
    pub(crate) fn free_extents(&self) -> impl Iterator<Item = Extent> + '_ {
        self.free.iter().zip(0..).flat_map(move |(&first, class)| {
            let some = move |start| (start != NONE).then_some(Extent { start, class });
            std::iter::successors(some(first), move |extent| {
                some(self.rungs[extent.start as usize].level)
            })
        })
    }

    /// Lays a pool out anew, as one that held these extents; all ladders in it are gone. False,
    /// and nothing done, where they are not the first `fresh` rungs, each rung once.
    pub(crate) fn lay_out(
        &mut self,
        fresh: usize,
        held: impl Iterator<Item = Extent>,
        free: &[Extent],
    ) -> bool {
        let mut all: Vec<Extent> = held.chain(free.iter().copied()).collect();
        all.sort_unstable_by_key(|extent| extent.start);
        let end = all
            .iter()
            .try_fold(0, |end, extent| extent.end().filter(|_| extent.start as usize == end));
        if end != Some(fresh) || fresh > self.rungs.len() {
            return false;
        }
        self.fresh = fresh;
        self.free = [NONE; CLASSES];
        for extent in free.iter().rev() {
            self.push(usize::from(extent.class), extent.start);
        }
        true
    }

    /// Moves `ladder` to an extent of `class`, in which its rungs fit.
    fn resize(&mut self, ladder: &mut Ladder, class: usize) -> Result<(), PoolFull> {
        let start = self.take(class).ok_or(PoolFull)?;
        let from = ladder.start as usize;
        self.rungs.copy_within(from..from + ladder.len as usize, start as usize);
        self.give_back(ladder);
        ladder.start = start;
        ladder.class_plus_one = class as u8 + 1;
        Ok(())
    }

    /// Takes an extent: a free one, a fresh one, or half of a larger free one.
    fn take(&mut self, class: usize) -> Option<u32> {
        if class >= CLASSES {
            return None;
        }
        if let Some(start) = self.pop(class) {
            return Some(start);
        }
        if self.rungs.len() - self.fresh >= rungs_of(class) {
            let start = self.fresh as u32;
            self.fresh += rungs_of(class);
            return Some(start);
        }
        let larger = (class + 1..CLASSES).find(|&larger| self.free[larger] != NONE)?;
        let start = self.pop(larger)?;
        for half in class..larger {
            self.push(half, start + rungs_of(half) as u32);
        }
        Some(start)
    }

    fn give_back(&mut self, ladder: &Ladder) {
        if let Some(class) = (ladder.class_plus_one as usize).checked_sub(1) {
            self.push(class, ladder.start);
        }
    }

    fn pop(&mut self, class: usize) -> Option<u32> {
        let start = self.free[class];
        if start == NONE {
            return None;
        }
        self.free[class] = self.rungs[start as usize].level;
        Some(start)
    }

    fn push(&mut self, class: usize, start: u32) {
        self.rungs[start as usize].level = self.free[class];
        self.free[class] = start;
    }
}

fn rungs_of(class: usize) -> usize {
    RUNGS_MIN << class
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    /// Rungs in free extents.
    fn free_rungs(pool: &RungPool) -> usize {
        let extents = |class: usize| {
            let first = pool.free[class];
            let some = |start: u32| (start != NONE).then_some(start);
            std::iter::successors(some(first), move |&at| some(pool.rungs[at as usize].level))
        };
        (0..CLASSES).map(|class| extents(class).count() * rungs_of(class)).sum()
    }

    proptest! {
        #[test]
        fn ladders_behave_like_sorted_maps(
            rungs in 0usize..600,
            steps in prop::collection::vec((0usize..3, -60i64..60, 0u8..20), 0..600),
        ) {
            let mut pool = RungPool::new(rungs).unwrap();
            let mut ladders = [Ladder::default(); 3];
            let mut models = [const { BTreeMap::new() }; 3];
            for (step, &(which, rank, kind)) in steps.iter().enumerate() {
                let (ladder, model) = (&mut ladders[which], &mut models[which]);
                match (kind, pool.search(ladder, rank)) {
                    (0, _) => {
                        pool.release(ladder);
                        model.clear();
                    }
                    (1..12, Err(at)) => {
                        let rung = Rung { rank, level: step as u32 };
                        if pool.insert(ladder, at, rung).is_ok() {
                            model.insert(rank, step as u32);
                        }
                    }
                    (12.., Ok(at)) => {
                        pool.remove(ladder, at);
                        model.remove(&rank);
                    }
                    _ => {}
                }
                for (ladder, model) in ladders.iter().zip(&models) {
                    let held = pool.rungs(ladder).iter().map(|rung| (rung.rank, rung.level));
                    prop_assert!(held.eq(model.iter().map(|(&rank, &level)| (rank, level))));
                    for rank in -60..60 {
                        prop_assert_eq!(pool.search(ladder, rank).is_ok(), model.contains_key(&rank));
                    }
                }
                let held: usize = ladders.iter().map(Ladder::capacity).sum();
                prop_assert_eq!(held + free_rungs(&pool), pool.fresh);
            }
        }
    }

    #[test]
    fn ladders_that_grow_in_step_fit() {
        let (ladders, levels_each) = (20, 500);
        let rungs = RungPool::rungs_for(ladders, ladders * levels_each).unwrap();
        let mut pool = RungPool::new(rungs).unwrap();
        let mut all = vec![Ladder::default(); ladders];
        for rank in 0..levels_each as i64 {
            for ladder in &mut all {
                let at = pool.search(ladder, rank).unwrap_err();
                pool.insert(ladder, at, Rung { rank, level: 1 }).unwrap();
            }
        }
    }
}
