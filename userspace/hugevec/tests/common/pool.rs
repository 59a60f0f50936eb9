//! The host's pool of 2 MiB hugepages: held by one test at a time, and put back as it was.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(dead_code, reason = "each test program uses a part of it")]

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::time::{Duration, Instant};

const POOL: &str = "/proc/sys/vm/nr_hugepages";
/// Longer than a busy host takes to have back what a process left.
const PATIENCE: Duration = Duration::from_secs(15);

/// The pool, put back when dropped.
pub(crate) struct Pool {
    file: File,
    pages_before: usize,
}

impl Pool {
    /// The pool once no other test has it; `None`, and a word why, where it cannot be changed.
    pub(crate) fn locked() -> Option<Self> {
        let mut file = match OpenOptions::new().read(true).write(true).open(POOL) {
            Ok(file) => file,
            Err(error) => return skip(&format!("{POOL} cannot be written: {error}")),
        };
        file.lock().unwrap();
        let mut text = String::new();
        file.read_to_string(&mut text).unwrap();
        Some(Self { file, pages_before: text.trim().parse().unwrap() })
    }

    /// The pool with `pages` more free pages.
    pub(crate) fn extended_by(pages: usize) -> Option<Self> {
        let mut pool = Self::locked()?;
        let free_before = pool.free();
        pool.set(pool.pages_before + pages);
        if pool.free() < free_before + pages {
            return skip("the host has no memory in whole 2 MiB pages");
        }
        Some(pool)
    }

    /// The pool with `pages` pages, all of them free.
    pub(crate) fn of(pages: usize) -> Option<Self> {
        let mut pool = Self::locked()?;
        pool.set(pages);
        if pool.free() < pages {
            return skip("the host has no memory in whole 2 MiB pages");
        }
        Some(pool)
    }

    /// Sets the size of the pool. Pages that a process has just left come back a moment later, so that
    /// is waited for.
    pub(crate) fn set(&mut self, pages: usize) {
        self.file.rewind().unwrap();
        self.file.write_all(pages.to_string().as_bytes()).unwrap();
        let end = Instant::now() + PATIENCE;
        while self.size() > pages && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Its pages, those in use among them.
    pub(crate) fn size(&self) -> usize {
        meminfo("HugePages_Total:")
    }

    /// Its pages that nobody uses.
    pub(crate) fn free(&self) -> usize {
        meminfo("HugePages_Free:")
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.set(self.pages_before);
    }
}

/// A number of `/proc/meminfo`.
fn meminfo(name: &str) -> usize {
    let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap();
    let line = meminfo.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.trim().parse().unwrap()
}

fn skip<T>(why: &str) -> Option<T> {
    assert!(
        std::env::var_os("WIREBOOK_REQUIRE_PRIVILEGED").is_none_or(|value| value != "1"),
        "a privileged test was skipped: {why}"
    );
    eprintln!("SKIP: {why}");
    None
}
