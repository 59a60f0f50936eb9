//! What a hot thread does in a cycle that found nothing.

use crate::config::Idle;
use std::time::Duration;

/// Cycles that spin before a thread yields.
///
/// At some 20 ns a cycle this is 100 µs: longer than the pauses within a burst, far shorter than
/// the kernel's time slice.
const SPIN_CYCLES: u32 = 5_000;

/// How long a shard in `poll` and `sleep` mode sleeps: the worst delay that it adds to an event.
const NAP: Duration = Duration::from_micros(50);

/// Counts empty cycles of one thread and waits as its configuration says.
#[derive(Debug)]
pub struct Waiter {
    idle: Idle,
    empty_cycles: u32,
}

impl Waiter {
    /// A waiter for a thread with this setting.
    pub fn new(idle: Idle) -> Self {
        Self { idle, empty_cycles: 0 }
    }

    /// Ends a cycle. `sleep` is called where the thread may block for a while. True where it slept, or
    /// gave the core away.
    #[inline]
    pub fn cycle(&mut self, found: bool, sleep: impl FnOnce()) -> bool {
        if found {
            self.empty_cycles = 0;
            return false;
        }
        self.empty_cycles = self.empty_cycles.saturating_add(1);
        match self.idle {
            Idle::Spin => std::hint::spin_loop(),
            Idle::Sleep => {
                sleep();
                return true;
            }
            _ if self.empty_cycles < SPIN_CYCLES => std::hint::spin_loop(),
            Idle::SpinThenYield => {
                std::thread::yield_now();
                return true;
            }
            Idle::Poll => {
                sleep();
                return true;
            }
        }
        false
    }
}

/// The sleep of a thread that has no descriptor to poll.
pub fn nap() {
    std::thread::sleep(NAP);
}
