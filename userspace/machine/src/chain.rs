//! The machines of a shard: for each instrument a chain of them behind its book.
//!
//! Arrives: each record that a book completes, with the book's number. Leaves: the machines' own
//! records, in the order of the chain. Promises: nothing is allocated once the chain stands, machines
//! do not see each other, and what one does to itself the others do not notice. Counts, for each
//! kind of machine, in [`MachineCounters`].

use dbn::{RecordRef, SystemMsg};
use wirebook_model::RecordSink;

use crate::log::{Log, Logged, To};
use crate::machine::{Machine, SavedStateError};
use crate::population::{Feed, MachineCounters, Machines, Population};

/// Incidents kept until they are read.
const INCIDENTS_MAX: usize = 64;
/// In place of the length of a machine's saved state: it was down.
const DOWN: u32 = u32::MAX;

/// How machines that fall are rebuilt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Supervision {
    /// Attempts, over the whole run, before an instrument's machine stays down.
    pub rebuilds_max: u32,
    /// Records of all instruments together that are kept for rebuilding, and beside them as many of all
    /// channels together (ends of intervals, mostly); at least one.
    pub log_records: usize,
}

impl Default for Supervision {
    fn default() -> Self {
        Self { rebuilds_max: 5, log_records: 1 << 14 }
    }
}

/// What became of a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It fell and will be rebuilt.
    Down,
    /// It is as if it had never fallen.
    Rebuilt,
    /// It stays down.
    GivenUp,
}

/// One machine's fall or return.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Incident {
    /// The kind's place in the chain.
    pub kind: usize,
    /// The book's number.
    pub number: u32,
    /// What happened.
    pub change: Change,
    /// Why.
    pub reason: &'static str,
}

/// The machines of all instruments of one shard.
pub struct Chain {
    populations: Vec<Box<dyn Population>>,
    instruments_max: usize,
    supervision: Supervision,
    log: Log,
    /// The channel of each instrument that was fed something, by number.
    channels: Vec<Option<u8>>,
    incidents: Vec<Incident>,
}

impl Chain {
    /// A chain without machines, with room for so many instruments.
    pub fn new(instruments_max: usize, supervision: Supervision) -> Self {
        Self {
            populations: Vec::new(),
            instruments_max,
            supervision,
            log: Log::new(supervision.log_records.max(1)),
            channels: vec![None; instruments_max],
            incidents: Vec::with_capacity(INCIDENTS_MAX),
        }
    }

    /// Puts a kind of machine at the end: a clone of `prototype` for each instrument.
    ///
    /// A machine whose state needs a drop (it holds memory of its own, a lock, a file) does not
    /// compile: to be cloned without allocating and to be thrown away when it is torn, it must be
    /// plain data.
    ///
    /// ```compile_fail
    /// use wirebook_machine::{Chain, Fault, Machine, SavedStateError, Supervision};
    /// # use wirebook_model::{RecordSink, dbn::RecordRef};
    /// #[derive(Clone)]
    /// struct Growing(Vec<u64>);
    ///
    /// impl Machine for Growing {
    /// #     fn record(&mut self, _: RecordRef<'_>, _: &mut dyn RecordSink) -> Result<(), Fault> {
    /// #         Ok(())
    /// #     }
    /// #     fn save(&self, _: &mut Vec<u8>) {}
    /// #     fn restore(&mut self, _: &[u8]) -> Result<(), SavedStateError> { Ok(()) }
    ///     // …
    /// }
    /// Chain::new(1, Supervision::default()).add("growing", Growing(Vec::new()));
    /// ```
    pub fn add<M: Machine>(&mut self, name: &str, prototype: M) {
        const { assert!(!std::mem::needs_drop::<M>(), "a machine's state must be plain data") };
        let kind = self.populations.len();
        let (instruments_max, supervision) = (self.instruments_max, self.supervision);
        let machines = Machines::new(name, kind, prototype, instruments_max, supervision);
        self.populations.push(Box::new(machines));
    }

    /// True where there is no machine to feed.
    pub fn is_empty(&self) -> bool {
        self.populations.is_empty()
    }

    /// Feeds a record of the book `number` to the instrument's machines.
    pub fn record(
        &mut self,
        number: u32,
        channel: u8,
        record: RecordRef<'_>,
        out: &mut dyn RecordSink,
    ) {
        if self.populations.is_empty() || number as usize >= self.instruments_max {
            return;
        }
        self.admit(number, channel);
        self.feed(To::Instrument(number), record, out);
    }

    /// Feeds a record about a whole channel (a phase of the market, a circuit breaker) to every
    /// instrument of it that was fed something before.
    pub fn market(&mut self, channel: u8, record: RecordRef<'_>, out: &mut dyn RecordSink) {
        if !self.populations.is_empty() {
            self.feed(To::Channel(channel), record, out);
        }
    }

    /// Tells every instrument of a channel that an interval of the feed's time is over, and rebuilds
    /// the machines that are due.
    pub fn end_of_interval(&mut self, channel: u8, record: &SystemMsg, out: &mut dyn RecordSink) {
        if self.populations.is_empty() {
            return;
        }
        let ts_event = record.hd.ts_event;
        let publisher_id = record.hd.publisher_id;
        self.keep(To::Channel(channel), Logged::EndOfInterval { publisher_id, ts_event }, out);
        for population in &mut self.populations {
            for (number, _) in fed(&self.channels, To::Channel(channel)) {
                let incidents = &mut self.incidents;
                population.end_of_interval(number, channel, &self.log, Feed { out, incidents });
            }
        }
    }

    /// What fell, came back or stays down since the last call, as far as there was room.
    pub fn incidents(&mut self) -> impl Iterator<Item = Incident> {
        self.incidents.drain(..)
    }

    /// Each kind's name and counts, in the order of the chain.
    pub fn counters(&self) -> impl Iterator<Item = (&str, MachineCounters)> {
        self.populations.iter().map(|population| (population.name(), population.counters()))
    }

    /// Bytes that all machines and the log take together.
    pub fn memory_bytes(&self) -> usize {
        let places = self.populations.iter().map(|population| population.place_bytes());
        let log = if self.is_empty() { 0 } else { self.log.memory_bytes() };
        places.sum::<usize>() * self.instruments_max + log
    }

    /// Each kind's name and the digest of its machine `number`.
    pub fn digests(&self, number: u32) -> impl Iterator<Item = (&str, u64)> {
        self.populations
            .iter()
            .map(move |population| (population.name(), population.digest(number)))
    }

    /// Appends the state of all machines of the instrument `number`. One that is down has none; where
    /// it is restored it stays down, and says so.
    pub fn save(&self, number: u32, bytes: &mut Vec<u8>) {
        for population in &self.populations {
            let length_at = bytes.len();
            bytes.extend_from_slice(&[0; size_of::<u32>()]);
            let length = match population.save(number, bytes) {
                true => (bytes.len() - length_at - size_of::<u32>()) as u32,
                false => DOWN,
            };
            bytes[length_at..length_at + size_of::<u32>()].copy_from_slice(&length.to_le_bytes());
        }
    }

    /// Takes the state of the machines of the instrument `number` of `channel` from saved bytes of a
    /// chain of the same kinds.
    ///
    /// # Errors
    /// [`SavedStateError`] where the bytes are of another chain; machines before the one that cannot
    /// be restored have their state then.
    pub fn restore(
        &mut self,
        number: u32,
        channel: u8,
        mut bytes: &[u8],
    ) -> Result<(), SavedStateError> {
        if number as usize >= self.instruments_max {
            return Err(SavedStateError::Value("an instrument within the limit"));
        }
        self.admit(number, channel);
        for population in &mut self.populations {
            let too_short = SavedStateError::Value("the state of every machine of the chain");
            let (length, rest) = bytes.split_first_chunk().ok_or(too_short)?;
            let length = u32::from_le_bytes(*length);
            if length == DOWN {
                population.restore_down(number, &mut self.incidents);
                bytes = rest;
                continue;
            }
            let length = length as usize;
            let (state, rest) = rest.split_at_checked(length).ok_or(too_short)?;
            population.restore(number, self.log.next(), state)?;
            bytes = rest;
        }
        match bytes {
            [] => Ok(()),
            _ => Err(SavedStateError::Value("no state of a machine that the chain does not have")),
        }
    }

    /// Knows the instrument's channel from its first record on: what the channel was fed before is not
    /// its own.
    fn admit(&mut self, number: u32, channel: u8) {
        if self.channels[number as usize].is_none() {
            self.channels[number as usize] = Some(channel);
            for population in &mut self.populations {
                population.checkpoint(number, self.log.next(), &mut self.incidents);
            }
        }
    }

    /// Feeds a record, which the log keeps first where it can.
    fn feed(&mut self, to: To, record: RecordRef<'_>, out: &mut dyn RecordSink) {
        let at = self.log.next();
        let logged = Logged::of(record);
        let is_logged = logged.is_some();
        if let Some(logged) = logged {
            self.keep(to, logged, out);
        }
        for population in &mut self.populations {
            for (number, _) in fed(&self.channels, to) {
                let incidents = &mut self.incidents;
                population.record(number, at, record, Feed { out, incidents });
                if !is_logged {
                    population.checkpoint(number, at, incidents);
                }
            }
        }
    }

    /// Puts a record into the log; the oldest one makes room where it must.
    fn keep(&mut self, to: To, record: Logged, out: &mut dyn RecordSink) {
        if let Some(oldest) = self.log.make_room(to) {
            for population in &mut self.populations {
                for (number, channel) in fed(&self.channels, oldest.to) {
                    let feed = Feed { out, incidents: &mut self.incidents };
                    population.forget(number, channel, &oldest, &self.log, feed);
                }
            }
        }
        self.log.push(to, record);
    }
}

/// Number and channel of the instruments that a record is fed to.
fn fed(channels: &[Option<u8>], to: To) -> impl Iterator<Item = (u32, u8)> {
    let numbers = match to {
        To::Instrument(number) => number..number + 1,
        To::Channel(_) => 0..channels.len() as u32,
    };
    numbers.filter_map(move |number| {
        let channel = channels[number as usize]?;
        (to == To::Instrument(number) || to == To::Channel(channel)).then_some((number, channel))
    })
}
