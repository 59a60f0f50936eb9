//! Counters with one writer each, readable anywhere.
//!
//! What arrives: increments from the thread that owns a [`Counter`]. What leaves: its value, to
//! whoever holds the [`CounterGroup`]. A counter has one writer by type, so an increment is a load
//! and a store, not a locked instruction. Values are each exact, but not a snapshot of one moment.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counters of one thread that lie together, on a pair of cache lines that no other group shares.
#[derive(Default)]
#[repr(align(128))]
struct Lines([AtomicU64; COUNTERS_A_BLOCK]);

const COUNTERS_A_BLOCK: usize = 16;

struct Group {
    name: String,
    names: Vec<&'static str>,
    blocks: Vec<Lines>,
}

impl Group {
    fn cell(&self, index: usize) -> &AtomicU64 {
        &self.blocks[index / COUNTERS_A_BLOCK].0[index % COUNTERS_A_BLOCK]
    }
}

/// A group of counters for one thread, by its name: the counters in the order of `names`, and the
/// readable group. Where a name comes twice, the group shows it twice.
pub fn counters<const N: usize>(
    group: impl Into<String>,
    names: [&'static str; N],
) -> ([Counter; N], CounterGroup) {
    let blocks = std::iter::repeat_with(Lines::default).take(N.div_ceil(COUNTERS_A_BLOCK));
    let group =
        Arc::new(Group { name: group.into(), names: names.to_vec(), blocks: blocks.collect() });
    let counters = std::array::from_fn(|index| Counter { group: Arc::clone(&group), index });
    (counters, CounterGroup { group })
}

/// The writing end of one counter.
pub struct Counter {
    group: Arc<Group>,
    index: usize,
}

impl Counter {
    /// Adds one.
    #[inline]
    pub fn increment(&mut self) {
        self.add(1);
    }

    /// Adds `count`. Wraps at 2^64, which no counter of ours reaches.
    #[inline]
    pub fn add(&mut self, count: u64) {
        let cell = self.group.cell(self.index);
        // The only writer, so nothing comes between load and store.
        cell.store(cell.load(Ordering::Relaxed).wrapping_add(count), Ordering::Relaxed);
    }
}

/// The reading end of a group of counters.
#[derive(Clone)]
pub struct CounterGroup {
    group: Arc<Group>,
}

impl CounterGroup {
    /// The group's name.
    pub fn name(&self) -> &str {
        &self.group.name
    }

    /// The value of the counter of that name; `None` where the group has none such.
    pub fn get(&self, name: &str) -> Option<u64> {
        self.iter().find_map(|(found, value)| (found == name).then_some(value))
    }

    /// Every counter: its name and its value.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let values = (0..).map(|index| self.group.cell(index).load(Ordering::Relaxed));
        self.group.names.iter().copied().zip(values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_read_by_name() {
        let ([mut packets, mut malformed], group) = counters("worker-0", ["packets", "malformed"]);
        packets.add(41);
        packets.increment();
        malformed.increment();
        assert_eq!(group.name(), "worker-0");
        assert_eq!(group.get("packets"), Some(42));
        assert_eq!(group.get("gaps"), None);
        assert_eq!(group.iter().collect::<Vec<_>>(), [("packets", 42), ("malformed", 1)]);
        let (all, many) = counters("shard-0", ["same"; 40]);
        for (index, mut counter) in all.into_iter().enumerate() {
            counter.add(index as u64);
        }
        assert!(many.iter().map(|(_, value)| value).eq(0..40));
        assert_eq!((size_of::<Lines>(), align_of::<Lines>()), (128, 128));
    }

    #[test]
    fn a_counter_only_grows_for_a_reader_elsewhere() {
        let ([mut counter], group) = counters("worker-0", ["packets"]);
        std::thread::scope(|scope| {
            scope.spawn(move || (0..100_000).for_each(|_| counter.increment()));
            let mut last = 0;
            while last < 100_000 {
                let now = group.get("packets").unwrap();
                assert!(now >= last);
                last = now;
            }
        });
    }
}
