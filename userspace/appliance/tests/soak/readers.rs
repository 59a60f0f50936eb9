//! Readers of a running appliance: one that stays, and is stopped at times, and others that come and
//! leave at moments drawn from a seed.

use crate::common;
use crate::live::net::{PATIENCE, within};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

/// Readers at once besides the one that stays.
const AT_ONCE: usize = 2;
/// Longest stay of those, milliseconds.
const STAY_MS: u64 = 3_000;

/// The readers of one run; killed when dropped.
pub(crate) struct Readers {
    socket: PathBuf,
    steady: Child,
    visitors: Vec<(Child, Instant)>,
    /// Visitors that have left.
    pub(crate) gone: u64,
    random: u64,
}

impl Readers {
    pub(crate) fn start(socket: &Path, seed: u64) -> Self {
        let steady = tail(socket);
        let (socket, visitors) = (socket.to_owned(), Vec::new());
        Self { socket, steady, visitors, gone: 0, random: seed }
    }

    /// The one that stays.
    pub(crate) fn steady(&self) -> &Child {
        &self.steady
    }

    /// The one that stays goes on after a stop.
    pub(crate) fn go_on(&mut self) {
        kill(Pid::from_raw(self.steady.id() as i32), Signal::SIGCONT).unwrap();
        assert!(self.steady.try_wait().unwrap().is_none(), "the reader has ended");
    }

    /// Visitors whose time is over leave, by a kill or as asked; others come.
    pub(crate) fn turn(&mut self) {
        let now = Instant::now();
        for (mut visitor, _) in self.visitors.extract_if(.., |(_, end)| *end <= now) {
            self.gone += 1;
            let signal =
                if self.gone.is_multiple_of(2) { Signal::SIGKILL } else { Signal::SIGTERM };
            assert!(visitor.try_wait().unwrap().is_none(), "a reader has ended by itself");
            kill(Pid::from_raw(visitor.id() as i32), signal).unwrap();
            visitor.wait().unwrap();
        }
        while self.visitors.len() < AT_ONCE {
            let stay = Duration::from_millis(self.draw() % STAY_MS);
            self.visitors.push((tail(&self.socket), Instant::now() + stay));
        }
    }

    /// All leave; gives how many came and went.
    pub(crate) fn finish(mut self) -> u64 {
        kill(Pid::from_raw(self.steady.id() as i32), Signal::SIGTERM).unwrap();
        let left = within(PATIENCE, || self.steady.try_wait().unwrap().is_some());
        assert!(left, "the reader that stayed does not leave");
        assert!(self.steady.wait().unwrap().success(), "the reader that stayed failed");
        self.gone
    }

    /// The next of a linear congruential generator's numbers (D. E. Knuth's MMIX).
    fn draw(&mut self) -> u64 {
        let next = self.random.wrapping_mul(6_364_136_223_846_793_005);
        self.random = next.wrapping_add(1_442_695_040_888_963_407);
        self.random >> 33
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        for child in self.visitors.iter_mut().map(|(child, _)| child).chain([&mut self.steady]) {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn tail(socket: &Path) -> Child {
    let mut tail = common::command(&["tail", "--output", "/dev/null", "--socket"]);
    tail.arg(socket).stderr(Stdio::null()).spawn().unwrap()
}
