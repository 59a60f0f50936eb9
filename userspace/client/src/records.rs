//! Records: the output rings of one shard or of all, as one stream.
//!
//! What arrives: whole DBN records, in each ring in the order in which its books made them. What
//! leaves: [`Next`], one at a time.
//!
//! **Order.** Records of one shard keep their order, always, so those of one instrument do. Of several
//! shards, the record with the lowest `ts_recv` (DBN's index timestamp; of a record without one, that
//! of the record before it) comes first *of those that are there*: a shard that has published nothing
//! is not waited for. So between shards the order is that of `ts_recv` but for what a slower shard
//! publishes late, and nothing waits for a quiet instrument.
//!
//! **Waiting** costs the writer nothing unless it was asked to wake readers (`segment.wake_readers`):
//! then a reader that may not burn its core sleeps on a futex until something comes. Else it sleeps
//! for a while and looks again, after 50 µs to 1 ms.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dbn::{Record as _, RecordRef, UNDEF_TIMESTAMP, rtype};
use wirebook_shm::ring::{Cursor, Observed, ObservingReader};
use wirebook_shm::{SegmentView, names};

use crate::books::{Book, Books};
use crate::directory::Instrument;
use crate::heal::{Healer, Key};
use crate::pulse::Pulse;
use crate::session::ClientError;

/// Looks without a find before a spinning reader yields, or a sleeping one sleeps.
const SPINS: u32 = 2_000;
/// The first and the longest sleep of a reader that waits by sleeping.
const SLEEPS: [Duration; 2] = [Duration::from_micros(50), Duration::from_millis(1)];
/// The longest sleep of a reader that is woken: whole books wake nobody.
const WOKEN_SLEEP: Duration = Duration::from_millis(20);
/// Looks without a find between two looks at clock and heartbeat.
const LOOKS_A_CLOCK: u32 = 64;

/// How a reader waits for the next record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wait {
    /// Never gives its core away.
    Spin,
    /// Spins for a moment, then yields to other threads of its core.
    SpinThenYield,
    /// Spins for a moment, then sleeps until the writer wakes its readers, or where it wakes none, at
    /// most 1 ms at a time.
    #[default]
    Sleep,
}

/// One record and where it stood.
#[derive(Clone, Copy, Debug)]
pub struct Read<'a> {
    /// The record.
    pub record: RecordRef<'a>,
    /// The shard that made it.
    pub shard: usize,
    /// Where in that shard's ring it begins.
    pub cursor: Cursor,
}

/// What comes next.
#[derive(Debug)]
pub enum Next<'a> {
    /// A record.
    Record(Read<'a>),
    /// The writer has lapped this reader, which goes on at the newest record.
    Overrun {
        /// Of this shard.
        shard: usize,
        /// Slots of 64 bytes that were missed: an order's record takes one, others up to ten.
        missed_slots: u64,
    },
    /// No record within the time given.
    Nothing,
    /// All records have been read, and the writer's heartbeat stands still: see
    /// [`Session::reconnect`](crate::Session::reconnect).
    WriterGone,
}

/// A stream of records.
pub struct Records {
    view: Arc<SegmentView>,
    rings: Vec<Ring>,
    only: Option<HashSet<Key>>,
    wait: Wait,
    pulse: Pulse,
    unknown: u64,
}

/// One shard's ring and what was found in it.
struct Ring {
    shard: usize,
    reader: ObservingReader,
    /// The reader's last record has not been looked at yet.
    unjudged: bool,
    healer: Option<Healer>,
    found: Found,
    /// Index timestamp of the last record that has one.
    ts: u64,
}

#[derive(Clone, Copy)]
enum Found {
    Nothing,
    /// A record, in the reader's own copy.
    Record,
    Overrun(u64),
    /// A record of a whole book, in the healer.
    Refreshed,
}

impl Records {
    pub(crate) fn new(view: &Arc<SegmentView>, shards: Range<usize>) -> Result<Self, ClientError> {
        let ring = |shard| {
            let reader = view.observe(&names::output(shard))?;
            let found = Found::Nothing;
            Ok(Ring { shard, reader, unjudged: false, healer: None, found, ts: 0 })
        };
        let rings = shards.map(ring).collect::<Result<_, ClientError>>()?;
        let pulse = Pulse::new(Arc::clone(view));
        let view = Arc::clone(view);
        Ok(Self { view, rings, only: None, wait: Wait::default(), pulse, unknown: 0 })
    }

    /// Waits in this way.
    pub fn waiting(mut self, wait: Wait) -> Self {
        self.wait = wait;
        self
    }

    /// Gives the records of these instruments alone. Overruns are still told.
    pub fn only<'a>(mut self, instruments: impl IntoIterator<Item = &'a Instrument>) -> Self {
        let keys = instruments.into_iter().map(|found| (found.publisher, found.id));
        self.only = Some(keys.collect());
        self
    }

    /// Goes back to the first record of this start. Where that is overwritten, the first that comes is
    /// an overrun.
    pub fn from_start(mut self) -> Self {
        for ring in &mut self.rings {
            ring.reader.seek(Cursor::default());
            (ring.found, ring.unjudged) = (Found::Nothing, false);
            if let Some(healer) = &mut ring.healer {
                healer.restart(true);
            }
        }
        self
    }

    /// Keeps a reader's own order-level books right, whatever it misses. Of an instrument of which
    /// something was missed, by joining late or by an overrun, no `MboMsg` is given until its whole
    /// book has come by the refresh ring: a `Clear` and an `Add` for each order, with `F_SNAPSHOT`,
    /// the last with `F_LAST`; then every record from there on. A reader that applies all of them by
    /// DBN's rules has the appliance's books. Records of other schemas are given as ever.
    ///
    /// # Errors
    ///
    /// [`ClientError::NoOrders`] where the appliance publishes none; the stream is then as it was.
    pub fn heal(&mut self) -> Result<(), ClientError> {
        let healer = |ring: &Ring| {
            let refresh = self.view.observe(&names::refresh(ring.shard));
            let refresh = refresh.map_err(|_| ClientError::NoOrders)?;
            let board = self.view.board(&names::board(ring.shard))?;
            Ok(Healer::new(refresh, board, ring.position() == Cursor::default()))
        };
        let healers = self.rings.iter().map(healer).collect::<Result<Vec<_>, ClientError>>()?;
        for (ring, healer) in self.rings.iter_mut().zip(healers) {
            ring.healer = Some(healer);
        }
        Ok(())
    }

    /// Instruments whose orders are withheld until their book has come; `None` where it is not known
    /// yet how many those are.
    pub fn pending(&self) -> Option<usize> {
        let healers = self.rings.iter().filter_map(|ring| ring.healer.as_ref());
        healers.map(Healer::pending).sum()
    }

    /// What comes next, without waiting; never [`Next::WriterGone`].
    #[inline]
    pub fn poll(&mut self) -> Next<'_> {
        match self.look() {
            Some(ring) => self.give(ring),
            None => Next::Nothing,
        }
    }

    /// What comes next, after at most `patience`.
    pub fn next(&mut self, patience: Duration) -> Next<'_> {
        match self.look() {
            Some(ring) => self.give(ring),
            None => self.wait_for(patience),
        }
    }

    /// Records that were stepped over, as they are none of this DBN version.
    pub fn unknown(&self) -> u64 {
        self.unknown
    }

    /// The instrument's book at a place from which these records go on: it holds every record of the
    /// instrument that begins before [`Book::cursor`], and all others are still to come. So after an
    /// overrun, or at the start: take this book, step over the instrument's records before its
    /// cursor, apply the rest. Waits at most `patience` for the end of the shard's turn: microseconds,
    /// but as long as a venue's event that the turn has cut lasts.
    ///
    /// # Errors
    ///
    /// [`ClientError::OtherShard`], [`ClientError::Board`] as [`Books::read`],
    /// [`ClientError::NotShown`] where the turn did not end in time.
    pub fn join(
        &mut self,
        books: &Books,
        instrument: &Instrument,
        patience: Duration,
    ) -> Result<Book, ClientError> {
        let shard = instrument.shard;
        let ring = self.rings.iter().find(|ring| ring.shard == shard);
        let ring = ring.ok_or(ClientError::OtherShard(shard))?;
        let begun = Instant::now();
        while ring.reader.shown() < ring.position() {
            if begun.elapsed() >= patience {
                return Err(ClientError::NotShown(shard));
            }
            std::thread::yield_now();
        }
        books.read(instrument)
    }

    #[cold]
    fn wait_for(&mut self, patience: Duration) -> Next<'_> {
        let begun = Instant::now();
        let mut looks: u32 = 0;
        let mut sleep = SLEEPS[0];
        loop {
            let wakes = self.view.wakes();
            if let Some(ring) = self.look() {
                return self.give(ring);
            }
            looks = looks.wrapping_add(1);
            let is_long = looks >= SPINS;
            if looks.is_multiple_of(LOOKS_A_CLOCK) || (is_long && self.wait == Wait::Sleep) {
                if !self.pulse.beats() {
                    // What was published before the end is read before the end is told.
                    return self.look().map_or(Next::WriterGone, |ring| self.give(ring));
                }
                if begun.elapsed() >= patience {
                    return Next::Nothing;
                }
            }
            match self.wait {
                Wait::Sleep if is_long => {
                    let left = patience.saturating_sub(begun.elapsed());
                    if let Some(seen) = wakes {
                        self.view.sleep(seen, WOKEN_SLEEP.min(left));
                    } else {
                        std::thread::sleep(sleep.min(left));
                        sleep = (sleep * 2).min(SLEEPS[1]);
                    }
                }
                Wait::SpinThenYield if is_long => std::thread::yield_now(),
                _ => std::hint::spin_loop(),
            }
        }
    }

    /// The ring whose find comes next.
    #[inline]
    fn look(&mut self) -> Option<usize> {
        let mut first = None;
        for (at, ring) in self.rings.iter_mut().enumerate() {
            ring.fill(self.only.as_ref(), &mut self.unknown);
            let key = match ring.found {
                Found::Nothing => continue,
                Found::Overrun(_) | Found::Refreshed => 0,
                Found::Record => ring.ts,
            };
            if first.is_none_or(|(_, lowest)| key < lowest) {
                first = Some((at, key));
            }
        }
        first.map(|(at, _)| at)
    }

    #[inline]
    fn give(&mut self, at: usize) -> Next<'_> {
        let ring = &mut self.rings[at];
        let shard = ring.shard;
        match std::mem::replace(&mut ring.found, Found::Nothing) {
            Found::Overrun(missed_slots) => Next::Overrun { shard, missed_slots },
            Found::Record => {
                let last = ring.reader.last();
                let (record, cursor) = (last.dbn(), last.cursor());
                record.map_or(Next::Nothing, |record| Next::Record(Read { record, shard, cursor }))
            }
            Found::Refreshed => {
                let cursor = ring.position();
                let record = ring.healer.as_mut().and_then(Healer::give);
                record.map_or(Next::Nothing, |record| Next::Record(Read { record, shard, cursor }))
            }
            Found::Nothing => Next::Nothing,
        }
    }
}

impl Ring {
    /// Looks for the next record that is wanted, unless one was found before.
    #[inline]
    fn fill(&mut self, only: Option<&HashSet<Key>>, unknown: &mut u64) {
        while let Found::Nothing = self.found {
            if self.healer.as_ref().is_some_and(|healer| !healer.is_whole()) && !self.heal(only) {
                return;
            }
            if let Found::Nothing = self.found
                && !self.read(only, unknown)
            {
                return;
            }
        }
    }

    /// Reads and judges the next record; false where there is none yet.
    #[inline]
    fn read(&mut self, only: Option<&HashSet<Key>>, unknown: &mut u64) -> bool {
        if !std::mem::replace(&mut self.unjudged, false) {
            match self.reader.poll() {
                Observed::Empty => return false,
                Observed::Overrun { missed_slots } => {
                    self.found = Found::Overrun(missed_slots);
                    self.healer.iter_mut().for_each(|healer| healer.restart(false));
                    return true;
                }
                Observed::Record(_) => {}
            }
        }
        let Some(record) = self.reader.last().dbn() else {
            *unknown += 1;
            return true;
        };
        let header = record.header();
        let key = (header.publisher_id, header.instrument_id);
        let is_withheld = |healer: &Healer| header.rtype == rtype::MBO && healer.withholds(key);
        if only.is_some_and(|only| !only.contains(&key))
            || self.healer.as_ref().is_some_and(is_withheld)
        {
            return true;
        }
        let ts = record.raw_index_ts();
        if ts != UNDEF_TIMESTAMP {
            self.ts = ts;
        }
        self.found = Found::Record;
        true
    }

    /// Looks for a book that holds where this reader stands, before the next record is given; false
    /// while no record may be.
    #[cold]
    fn heal(&mut self, only: Option<&HashSet<Key>>) -> bool {
        let Some(healer) = &mut self.healer else { return true };
        let shown = self.reader.shown() >= self.reader.cursor();
        if !healer.begin(shown, only) {
            return false;
        }
        if !self.unjudged && !healer.is_giving() {
            match self.reader.poll() {
                Observed::Record(_) => self.unjudged = true,
                Observed::Empty => {}
                Observed::Overrun { missed_slots } => {
                    healer.restart(false);
                    self.found = Found::Overrun(missed_slots);
                    return true;
                }
            }
        }
        let position = self.position();
        let Some(healer) = &mut self.healer else { return true };
        if healer.is_giving() || healer.advance(position) {
            self.found = Found::Refreshed;
            return true;
        }
        // A record may be given that was there before this look, no other.
        self.unjudged
    }

    /// Where the first record begins that was not given yet.
    fn position(&self) -> Cursor {
        match self.found {
            Found::Record => self.reader.last().cursor(),
            _ if self.unjudged => self.reader.last().cursor(),
            _ => self.reader.cursor(),
        }
    }
}

#[cfg(test)]
mod tests;
