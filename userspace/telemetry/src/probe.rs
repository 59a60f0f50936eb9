//! A question from housekeeping that a hot thread answers when it has a moment.
//!
//! Arrives: a request, one flag. Leaves: a copy of whatever the thread keeps for itself, through a
//! queue of one place. The hot thread pays one relaxed load a look; it never waits, and its
//! counters need not be atomic. An answer that nobody took is replaced by the next one.

use crossbeam_queue::ArrayQueue;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

struct Shared<T> {
    asked: AtomicBool,
    answer: ArrayQueue<T>,
}

/// The hot thread's end.
pub struct Probe<T> {
    shared: Arc<Shared<T>>,
}

/// Housekeeping's end.
pub struct ProbeReader<T> {
    shared: Arc<Shared<T>>,
}

/// Both ends of a probe.
pub fn probe<T: Copy + Send>() -> (Probe<T>, ProbeReader<T>) {
    let shared = Arc::new(Shared { asked: AtomicBool::new(false), answer: ArrayQueue::new(1) });
    (Probe { shared: Arc::clone(&shared) }, ProbeReader { shared })
}

impl<T: Copy + Send> Probe<T> {
    /// Answers where housekeeping has asked.
    #[inline]
    pub fn answer(&self, value: impl FnOnce() -> T) {
        if self.shared.asked.load(Ordering::Relaxed) {
            self.shared.asked.store(false, Ordering::Relaxed);
            self.give(value());
        }
    }

    /// Answers, asked or not: beside another probe that was.
    pub fn give(&self, value: T) {
        // The queue takes `T: Copy`, so what falls out needs no drop.
        let _replaced = self.shared.answer.force_push(value);
    }
}

impl<T: Copy + Send> ProbeReader<T> {
    /// Asks; the answer comes when the thread gets to it.
    pub fn ask(&self) {
        self.shared.asked.store(true, Ordering::Relaxed);
    }

    /// The answer, once.
    pub fn take(&self) -> Option<T> {
        self.shared.answer.pop()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_question_is_answered_and_the_newest_answer_counts() {
        let (probe, reader) = probe();
        probe.answer(|| 1);
        assert_eq!(reader.take(), None);
        reader.ask();
        probe.answer(|| 2);
        probe.answer(|| 3);
        reader.ask();
        probe.answer(|| 4);
        assert_eq!(reader.take(), Some(4));
        assert_eq!(reader.take(), None);
    }

    #[test]
    fn an_answer_crosses_threads() {
        let (probe, reader) = probe();
        let done = &AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(move || {
                while !done.load(Ordering::Relaxed) {
                    probe.answer(|| [7_u64; 8]);
                }
            });
            for _ in 0..100 {
                reader.ask();
                let answer = std::iter::repeat_with(|| reader.take()).flatten().next();
                assert_eq!(answer, Some([7; 8]));
            }
            done.store(true, Ordering::Relaxed);
        });
    }
}
