//! Tables on real hugepages and without any. Changing the host's pool needs root; the test that
//! does so puts the pool back as it was.

#![allow(clippy::unwrap_used, reason = "a test; the lint knows test functions only")]

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};

use wirebook_hugevec::{Backing, HugeVec};

const POOL: &str = "/proc/sys/vm/nr_hugepages";
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

/// The host's hugepage pool, held by this test alone and put back when dropped.
struct Pool {
    file: File,
    pages_before: usize,
}

impl Pool {
    /// The pool with `pages` more free pages; `None`, and a word why, where that cannot be had.
    fn extended_by(pages: usize) -> Option<Self> {
        let mut file = match OpenOptions::new().read(true).write(true).open(POOL) {
            Ok(file) => file,
            Err(error) => return skip(&format!("{POOL} cannot be written: {error}")),
        };
        // Tests of other crates do the same: one at a time.
        file.lock().unwrap();
        let mut text = String::new();
        file.read_to_string(&mut text).unwrap();
        let mut pool = Self { file, pages_before: text.trim().parse().unwrap() };
        let free_before = pool.free();
        pool.set(pool.pages_before + pages);
        if pool.free() < free_before + pages {
            return skip("the host has no memory in whole 2 MiB pages");
        }
        Some(pool)
    }

    fn set(&mut self, pages: usize) {
        self.file.rewind().unwrap();
        self.file.write_all(pages.to_string().as_bytes()).unwrap();
    }

    fn free(&self) -> usize {
        let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap();
        let line = meminfo.lines().find_map(|line| line.strip_prefix("HugePages_Free:")).unwrap();
        line.trim().parse().unwrap()
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.set(self.pages_before);
    }
}

fn skip<T>(why: &str) -> Option<T> {
    assert!(
        std::env::var_os("WIREBOOK_REQUIRE_PRIVILEGED").is_none_or(|value| value != "1"),
        "a privileged test was skipped: {why}"
    );
    eprintln!("SKIP: {why}");
    None
}
