//! Memory, descriptors and threads of a process over time, by procfs (proc_pid_status(5)).

use crate::live::net::{PATIENCE, within};
use std::fmt;
use std::fs;
use std::time::Duration;

/// Memory may differ so much between looks: buffers of a recovery, of a reload.
const SLACK_KIB: u64 = 2_048;

/// One look.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Look {
    at: Duration,
    memory_kib: u64,
    descriptors: u64,
    threads: u64,
}

impl fmt::Display for Look {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { memory_kib, descriptors, threads, .. } = self;
        write!(f, "{memory_kib} KiB, {descriptors} descriptors, {threads} threads")
    }
}

/// A process over time.
pub(crate) struct Vitals {
    process: u32,
    looks: Vec<Look>,
}

impl Vitals {
    pub(crate) fn of(process: u32) -> Self {
        Self { process, looks: Vec::new() }
    }

    /// Looks, `at` after the start.
    pub(crate) fn look(&mut self, at: Duration) {
        self.looks.push(Look { at, ..look(self.process) });
    }

    /// As it is now.
    pub(crate) fn now(&self) -> Look {
        look(self.process)
    }

    /// The least of what was seen in the first half is what a quiet process has; waits until it has no
    /// more descriptors and threads than that.
    pub(crate) fn settle(&mut self) {
        let half = &self.looks[..self.looks.len() / 2];
        let least = |of: fn(&Look) -> u64| half.iter().map(of).min().unwrap();
        let (descriptors, threads) = (least(|look| look.descriptors), least(|look| look.threads));
        let mut last = Look::default();
        let settled = within(PATIENCE, || {
            last = look(self.process);
            last.descriptors <= descriptors && last.threads <= threads
        });
        assert!(settled, "{last} at the end; {descriptors} descriptors, {threads} threads before");
    }

    /// Asserts that memory of the run's second half did not grow beyond what the first half took, and
    /// prints what there was.
    pub(crate) fn assert_flat(&self) {
        let (first, second) = self.looks.split_at(self.looks.len() / 2);
        let most = |looks: &[Look], of: fn(&Look) -> u64| looks.iter().map(of).max().unwrap();
        let least = |of: fn(&Look) -> u64| self.looks.iter().map(of).min().unwrap();
        let (before_kib, after_kib) =
            (most(first, |l| l.memory_kib), most(second, |l| l.memory_kib));
        println!(
            "memory: at most {before_kib} KiB in the first half, {after_kib} KiB in the second"
        );
        for (name, of) in [
            ("descriptors", (|look: &Look| look.descriptors) as fn(&Look) -> u64),
            ("threads", |look: &Look| look.threads),
        ] {
            println!(
                "{name}: from {} to {}, at the end no more than the least",
                least(of),
                most(&self.looks, of)
            );
        }
        assert!(after_kib <= before_kib + SLACK_KIB, "memory grows: {:?}", self.looks);
        let last = self.looks.last().unwrap();
        println!("{} looks in {} s; at the last {last}", self.looks.len(), last.at.as_secs());
    }
}

/// Resident memory, hugepages among it, and what else is counted.
fn look(process: u32) -> Look {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let number = |name: &str| -> u64 {
        let row = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        row.trim_matches(|c: char| !c.is_ascii_digit()).parse().unwrap()
    };
    Look {
        memory_kib: number("VmRSS:") + number("HugetlbPages:"),
        descriptors: fs::read_dir(format!("/proc/{process}/fd")).unwrap().count() as u64,
        threads: number("Threads:"),
        ..Look::default()
    }
}
