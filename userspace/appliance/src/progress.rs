//! Whether each thread of the path still moves, and what it waits for where it does not.
//!
//! Arrives: one store a cycle of each thread, to a word of its own: how many cycles it has begun and
//! what it awaits. Leaves: from the housekeeping thread, the name of a thread whose word has not
//! changed for the configured time, once, and once more when it moves on. A thread that sleeps as it
//! should begins a new cycle each time it wakes. Counts the stalls.
//!
//! ```text
//!   moves ── no new cycle for so long ──▶ stalled (told, counted) ── a new cycle ──▶ moves (told)
//! ```

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Bits of a word that say what its thread awaits; the others count cycles.
const AWAITS_BITS: u32 = 16;

/// The codes of what is no mailbox; those of mailboxes follow.
const ROOM: u64 = 4;

/// What a thread awaits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Awaits {
    /// Nothing: it is in the midst of what it does.
    Nothing,
    /// Packets from the wire.
    Packets,
    /// Events from the workers.
    Events,
    /// Requests of the workers and answers of the venue's servers.
    Servers,
    /// Room in its mailbox to the shard of this number.
    Room(u16),
}

impl Awaits {
    fn code(self) -> u64 {
        match self {
            Self::Nothing => 0,
            Self::Packets => 1,
            Self::Events => 2,
            Self::Servers => 3,
            Self::Room(shard) => ROOM + u64::from(shard.min(u16::MAX - ROOM as u16)),
        }
    }

    fn of_code(code: u64) -> Self {
        match code {
            0 => Self::Nothing,
            1 => Self::Packets,
            2 => Self::Events,
            3 => Self::Servers,
            room => Self::Room((room - ROOM) as u16),
        }
    }
}

impl fmt::Display for Awaits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("nothing: it is in the midst of its work"),
            Self::Packets => f.write_str("packets"),
            Self::Events => f.write_str("events"),
            Self::Servers => f.write_str("requests and servers"),
            Self::Room(shard) => write!(f, "room in the mailbox of shard {shard}"),
        }
    }
}

/// A thread's word, on a cache line of its own.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Word(AtomicU64);

impl Word {
    /// Says what the thread awaits within a cycle. Only the thread itself writes its word.
    fn set(&self, awaits: Awaits) {
        let cycles = self.0.load(Ordering::Relaxed) >> AWAITS_BITS;
        self.0.store(cycles << AWAITS_BITS | awaits.code(), Ordering::Relaxed);
    }
}

/// The thread's end.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    word: Arc<Word>,
}

impl Progress {
    /// Begins a cycle.
    #[inline]
    pub fn cycle(&self) {
        let cycles = (self.word.0.load(Ordering::Relaxed) >> AWAITS_BITS).wrapping_add(1);
        self.word.0.store(cycles << AWAITS_BITS, Ordering::Relaxed);
    }

    /// The thread awaits something, until it says something else or begins another cycle.
    #[inline]
    pub fn awaits(&self, awaits: Awaits) {
        self.word.set(awaits);
    }
}

/// What is to be told of a thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// The thread's name.
    pub name: String,
    /// How long it has stood, or had.
    pub stood: Duration,
    /// What it awaits, where it stands; `None` where it moves on.
    pub awaits: Option<Awaits>,
}

/// Housekeeping's end of all threads.
#[derive(Debug)]
pub struct ProgressWatch {
    no_progress: Duration,
    watched: Vec<Watched>,
    stalls: u64,
}

#[derive(Debug)]
struct Watched {
    name: String,
    word: Arc<Word>,
    cycles: u64,
    since: Instant,
    is_stalled: bool,
}

impl ProgressWatch {
    /// A thread is stalled once it has stood for `no_progress`.
    pub fn new(no_progress: Duration) -> Self {
        Self { no_progress, watched: Vec::new(), stalls: 0 }
    }

    /// The end of one more thread.
    pub fn add(&mut self, name: String, now: Instant) -> Progress {
        let progress = Progress::default();
        let word = Arc::clone(&progress.word);
        self.watched.push(Watched { name, word, cycles: 0, since: now, is_stalled: false });
        progress
    }

    /// Threads that stand, as of the last look.
    pub fn stalled(&self) -> impl Iterator<Item = &str> {
        let stalled = self.watched.iter().filter(|watched| watched.is_stalled);
        stalled.map(|watched| watched.name.as_str())
    }

    /// Times that a thread was told to have stalled.
    pub fn stalls(&self) -> u64 {
        self.stalls
    }

    /// Each thread as it was at the last look: its name, how many cycles it had begun, and whether it
    /// stood.
    pub fn threads(&self) -> impl Iterator<Item = (&str, u64, bool)> {
        self.watched.iter().map(|watched| (&*watched.name, watched.cycles, watched.is_stalled))
    }

    /// Looks at all threads; gives those of which there is something new to tell.
    pub fn look(&mut self, now: Instant) -> Vec<Told> {
        let mut told = Vec::new();
        for watched in &mut self.watched {
            let word = watched.word.0.load(Ordering::Relaxed);
            let (cycles, stood) = (word >> AWAITS_BITS, now.duration_since(watched.since));
            let name = || watched.name.clone();
            if cycles != watched.cycles {
                watched.cycles = cycles;
                watched.since = now;
                if std::mem::take(&mut watched.is_stalled) {
                    told.push(Told { name: name(), stood, awaits: None });
                }
            } else if !watched.is_stalled && cycles > 0 && stood >= self.no_progress {
                watched.is_stalled = true;
                self.stalls += 1;
                let awaits = Awaits::of_code(word & ((1 << AWAITS_BITS) - 1));
                told.push(Told { name: name(), stood, awaits: Some(awaits) });
            }
        }
        told
    }
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, stood, awaits } = self;
        match awaits {
            Some(awaits) => write!(f, "{name} has stood for {stood:.1?}; it awaits {awaits}"),
            None => write!(f, "{name} moves on after {stood:.1?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(5);

    #[test]
    fn a_thread_that_stands_is_told_once_and_once_more_when_it_moves_on() {
        let began = Instant::now();
        let mut watch = ProgressWatch::new(LIMIT);
        let progress = watch.add("worker-w0".into(), began);
        let mut look = |seconds| watch.look(began + Duration::from_secs(seconds));
        progress.cycle();
        assert!(look(1).is_empty());
        progress.awaits(Awaits::Room(3));
        assert!(look(5).is_empty(), "what it awaits is no new cycle");
        let told = look(6);
        assert_eq!(told.len(), 1);
        assert_eq!(watch.threads().next(), Some(("worker-w0", 1, true)));
        let text = told[0].to_string();
        assert_eq!(text, "worker-w0 has stood for 5.0s; it awaits room in the mailbox of shard 3");
        assert_eq!(watch.stalled().collect::<Vec<_>>(), ["worker-w0"]);
        let mut look = |seconds| watch.look(began + Duration::from_secs(seconds));
        assert!(look(60).is_empty());
        progress.cycle();
        assert_eq!(look(61)[0].to_string(), "worker-w0 moves on after 60.0s");
        assert!(look(65).is_empty());
        assert_eq!(look(66)[0].awaits, Some(Awaits::Nothing));
        assert_eq!(watch.stalls(), 2);
        assert_eq!(watch.threads().next(), Some(("worker-w0", 2, true)));
    }

    #[test]
    fn a_thread_that_moves_each_time_is_never_told() {
        let began = Instant::now();
        let mut watch = ProgressWatch::new(LIMIT);
        let progress = watch.add("shard-0".into(), began);
        for second in 0..100 {
            progress.cycle();
            progress.awaits(Awaits::Events);
            assert!(watch.look(began + Duration::from_secs(second)).is_empty());
        }
        assert_eq!(watch.stalls(), 0);
    }

    #[test]
    fn every_code_has_its_meaning() {
        use Awaits::{Events, Nothing, Packets, Room, Servers};
        for awaits in [Nothing, Packets, Events, Servers, Room(0), Room(255)] {
            assert_eq!(Awaits::of_code(awaits.code()), awaits);
        }
    }
}
