//! Something that a slow thread has made and a hot thread takes in, and what it gives back for it.
//!
//! ```text
//!  slow: make ─▶ Giver::exchange ──▶ one place ──▶ hot: Taker::take, swaps what it holds
//!        drop ◀─────────────────── one place ◀──
//! ```
//!
//! Arrives: a thing on the heap. Leaves: the same box, with what the hot thread had before. Promises:
//! the hot thread allocates, frees and waits for nothing, and pays two loads a look; a thing that is
//! not taken in time is taken away again, so that nothing happens that nobody awaits any more.

use crossbeam_queue::ArrayQueue;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a hot thread may take: many times the sleep of one that waits in poll(2).
const PATIENCE: Duration = Duration::from_secs(2);

/// Busy cycles of the hot thread between two looks of its own.
const CYCLES_A_LOOK: u32 = 1 << 10;

/// How often the slow thread looks.
const LOOK: Duration = Duration::from_micros(200);

struct Shared<T> {
    there: ArrayQueue<Box<T>>,
    back: ArrayQueue<Box<T>>,
}

/// The slow thread's end.
pub struct Giver<T> {
    shared: Arc<Shared<T>>,
}

/// The hot thread's end.
pub struct Taker<T> {
    shared: Arc<Shared<T>>,
    /// Cycles until it looks, however busy.
    until_look: u32,
}

/// The hot thread did not take what was made for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the thread stands, or is over")]
pub struct NotTaken;

/// Both ends.
pub fn handover<T>() -> (Giver<T>, Taker<T>) {
    let shared = Arc::new(Shared { there: ArrayQueue::new(1), back: ArrayQueue::new(1) });
    (Giver { shared: Arc::clone(&shared) }, Taker { shared, until_look: CYCLES_A_LOOK })
}

impl<T> Giver<T> {
    /// Hands a thing over and waits for what comes back.
    ///
    /// # Errors
    /// [`NotTaken`] where the hot thread stands or is over.
    pub fn exchange(&self, thing: Box<T>) -> Result<Box<T>, NotTaken> {
        // One is under way at a time, so there is room.
        self.shared.there.push(thing).map_err(|_| NotTaken)?;
        within_patience(|| self.shared.there.is_empty() || self.is_alone());
        if self.shared.there.pop().is_some() {
            return Err(NotTaken);
        }
        // Once it has been taken, it comes back within the hot thread's cycle.
        loop {
            let is_alone = self.is_alone();
            match self.shared.back.pop() {
                Some(back) => return Ok(back),
                None if is_alone => return Err(NotTaken),
                None => std::thread::sleep(LOOK),
            }
        }
    }

    /// The hot thread is over.
    fn is_alone(&self) -> bool {
        Arc::strong_count(&self.shared) == 1
    }
}

/// Looks until `done` says so; false where another thread takes too long.
pub fn within_patience(mut done: impl FnMut() -> bool) -> bool {
    let began = Instant::now();
    while !done() {
        if began.elapsed() >= PATIENCE {
            return false;
        }
        std::thread::sleep(LOOK);
    }
    true
}

impl<T> Taker<T> {
    /// Once a cycle of the hot thread: takes what is there in each that found nothing, and in some
    /// of those that found something.
    #[inline]
    pub fn cycle(&mut self, found: bool, swap: impl FnOnce(&mut T)) {
        self.until_look -= 1;
        if !found || self.until_look == 0 {
            self.until_look = CYCLES_A_LOOK;
            self.take(swap);
        }
    }

    /// Takes what is there, and gives it back as `swap` has left it.
    #[inline]
    pub fn take(&self, swap: impl FnOnce(&mut T)) {
        if !self.shared.there.is_empty() {
            self.take_now(swap);
        }
    }

    #[cold]
    fn take_now(&self, swap: impl FnOnce(&mut T)) {
        if let Some(mut thing) = self.shared.there.pop() {
            swap(&mut thing);
            // The one place is free: what lay there was taken before the next thing came.
            let _ = self.shared.back.push(thing);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering};

    #[test]
    fn what_the_hot_thread_had_comes_back() {
        let (giver, taker) = handover();
        let over = &AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(move || {
                let mut held = 0;
                while !over.load(Ordering::Relaxed) {
                    taker.take(|given| std::mem::swap(given, &mut held));
                }
            });
            for number in 1..100 {
                assert_eq!(giver.exchange(Box::new(number)).map(|back| *back), Ok(number - 1));
            }
            over.store(true, Ordering::Relaxed);
        });
    }

    #[test]
    fn what_nobody_takes_is_taken_away() {
        let (giver, taker) = handover();
        assert_eq!(giver.exchange(Box::new(7)), Err(NotTaken));
        taker.take(|_: &mut i32| panic!("it was taken away"));
        drop(taker);
        assert_eq!(giver.exchange(Box::new(7)), Err(NotTaken));
    }
}
