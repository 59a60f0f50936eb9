//! Tables on real hugepages and without any. Changing the host's pool needs root; the test that
//! does so puts the pool back as it was.

#![allow(clippy::unwrap_used, reason = "a test; the lint knows test functions only")]

#[path = "common/pool.rs"]
mod pool;

use pool::Pool;
use wirebook_hugevec::{Backing, HugeVec};

const HUGE_2M_BYTES: usize = 2 << 20;

#[test]
fn tables_lie_on_hugepages_while_there_are_some() {
    let Some(pool) = Pool::extended_by(3) else {
        return;
    };
    let free_before = pool.free();
    let mut table = HugeVec::<u64>::zeroed(HUGE_2M_BYTES / 8 + 1).unwrap();
    assert_eq!(table.backing(), Backing::Huge2M);
    assert_eq!(table.as_ptr().addr() % HUGE_2M_BYTES, 0);
    assert_eq!(pool.free(), free_before - 2, "both pages are faulted in");
    assert!(table.iter().all(|&word| word == 0));
    table.fill(u64::MAX);
    drop(table);
    assert_eq!(pool.free(), free_before, "a dropped table gives its pages back");

    // More than the pool holds: ordinary pages, still zeroed and whole.
    let large = HugeVec::<u64>::zeroed((pool.free() + 1) * HUGE_2M_BYTES / 8).unwrap();
    assert_eq!(large.backing(), Backing::Ordinary);
    assert!(large.iter().all(|&word| word == 0));
    assert_eq!(pool.free(), free_before);
}
