//! From events to records: the book-keeping half of the path.
//!
//! Arrives: the events of this shard's instruments, from one mailbox a worker. Leaves: complete
//! records in a [`BookSink`], the books themselves, and what the machines behind the books make of
//! their records. The same code runs on a pinned thread behind a ring and, in a replay, directly
//! behind the router.
//!
//! Promises: events of one mailbox are applied in order, a record is in the sink before a machine
//! sees it, and a panic costs one book, which comes back by itself ([`crate::repair`]). Counts in
//! [`wirebook_machine::Counters`], [`wirebook_machine::MachineCounters`] and
//! [`crate::repair::RepairCounters`].

mod ahead;

pub use self::ahead::Ahead;
use crate::lines::ChannelSpec;
use crate::published::Published;
use crate::repair::{Demand, Demands, RepairCounters, Repairs, Step};
use crate::router::Mailbox;
use crate::self_check::{CheckCounters, Parted, SelfCheck};
use std::collections::BTreeSet;
use wirebook_machine::{Book, BookSink, Books, Chain, Expected, Limits, LimitsError, Supervision};
use wirebook_model::dbn::{RecordRef, SystemMsg, rtype};
use wirebook_model::{
    ALL_INSTRUMENTS, BookState, Event, EventHeader, RecordSink, StaleReason, UnixNanos, VenueEvent,
};

/// The books and machines of one shard's instruments and where their records go.
pub struct Shard<S> {
    books: Books,
    machines: Chain,
    sink: S,
    repairs: Repairs,
    check: SelfCheck,
    /// Books that parted from their models, until they are read.
    parted: Vec<Parted>,
    /// The message that is being applied: whose fault a panic is.
    applying: EventHeader,
    /// A channel's `Clear` that a panic cut short: the books behind the one that fell wait for it.
    unfinished: Option<Event>,
    /// The stage's time, as last told.
    now: UnixNanos,
}

impl<S: BookSink> Shard<S> {
    /// A shard with room for `limits`, whose records go to `sink`, without machines.
    ///
    /// # Errors
    /// Fails where the memory for the limits cannot be had.
    pub fn new(limits: Limits, sink: S) -> Result<Self, LimitsError> {
        Books::new(limits).map(|books| Self::over(books, sink))
    }

    /// A shard over these books, without machines.
    pub fn over(books: Books, sink: S) -> Self {
        let machines = Chain::new(books.limits().instruments, Supervision::default());
        let repairs = Repairs::new(Vec::new(), 0);
        let applying = EventHeader {
            channel: 0,
            flags: 0,
            instrument_id: ALL_INSTRUMENTS,
            sequence: 0,
            ts_event: 0,
        };
        Self {
            books,
            machines,
            sink,
            repairs,
            check: SelfCheck::default(),
            parted: Vec::new(),
            applying,
            unfinished: None,
            now: 0,
        }
    }

    /// Puts plain models beside chosen books.
    pub fn with_check(mut self, check: SelfCheck) -> Self {
        self.check = check;
        self
    }

    /// Lets books that fall come back.
    pub fn with_repairs(mut self, repairs: Repairs) -> Self {
        self.repairs = repairs;
        self
    }

    /// Tells the levels that are published.
    pub fn with_levels_of(mut self, published: &Published) -> Self {
        if published.contains(rtype::MBP_1) {
            self.books.tell_tops();
        }
        if published.contains(rtype::MBP_10) {
            self.books.tell_ten_levels();
        }
        self
    }

    /// Puts machines behind the books. They are fed best levels too.
    pub fn with_machines(mut self, machines: Chain) -> Self {
        if !machines.is_empty() {
            self.books.tell_tops();
        }
        self.machines = machines;
        self
    }

    /// Tells the books what is the same for all instruments of a channel.
    pub fn set_channel(&mut self, spec: &ChannelSpec) {
        self.books.set_publisher(spec.number, spec.publisher_id);
        self.books.set_quotes_restore(spec.number, spec.quotes_restore);
        self.books.set_retired(spec.number, false);
    }

    /// The way by which the books of a channel are wanted anew is this; `way` becomes the one before.
    pub fn set_demands(&mut self, channel: u8, way: &mut Demands) {
        self.repairs.set_demands(channel, way);
    }

    /// A channel is no longer received: its books are stale, whatever is still on its way.
    #[cold]
    pub fn retire_channel(&mut self, channel: u8) {
        self.books.set_retired(channel, true);
    }

    /// Applies one event.
    #[inline]
    pub fn apply(&mut self, event: &Event) {
        self.applying = event.header;
        if self.repairs.is_empty() {
            self.apply_now(event);
        } else {
            self.apply_beside_repairs(event);
        }
    }

    /// Applies an event that was looked ahead to.
    #[inline]
    pub fn apply_expected(&mut self, expected: &Expected) {
        if self.repairs.is_empty() && self.machines.is_empty() && self.check.is_empty() {
            self.applying = expected.header();
            self.books.apply_expected(expected, &mut self.sink);
        } else {
            self.apply(&expected.event());
        }
    }

    #[inline]
    fn apply_now(&mut self, event: &Event) {
        if self.machines.is_empty() {
            self.books.apply(event, &mut self.sink);
        } else {
            let tap = &mut Tap { machines: &mut self.machines, sink: &mut self.sink };
            self.books.apply(event, tap);
        }
        if !self.check.is_empty()
            && let Some(parted) = self.check.applied(event, &self.books)
        {
            self.part(parted);
        }
    }

    /// A book is not what its model is: it cannot be trusted.
    #[cold]
    fn part(&mut self, parted: Parted) {
        self.renew(parted.channel, parted.instrument_id, StaleReason::SelfCheck);
        self.parted.push(parted);
    }

    /// Books that parted from their models since the last call.
    pub fn parted(&mut self) -> impl Iterator<Item = Parted> {
        self.parted.drain(..)
    }

    /// What the self-check counted.
    pub fn check_counters(&self) -> CheckCounters {
        self.check.counters()
    }

    /// Applies an event while books are on their way back.
    #[cold]
    fn apply_beside_repairs(&mut self, event: &Event) {
        let EventHeader { channel, instrument_id, .. } = event.header;
        if instrument_id == ALL_INSTRUMENTS
            && event.body == VenueEvent::Clear
            && self.repairs.recovered_with(channel)
        {
            // Whatever follows fills all books of the channel.
            for number in self.numbers(channel) {
                self.books.readmit(number, BookState::Healing);
            }
        }
        match self.repairs.judge(event, self.now) {
            Step::Apply => self.apply_now(event),
            Step::Held => {}
            Step::Begins(number) => {
                self.books.readmit(number, BookState::Healing);
                self.apply_now(event);
            }
            Step::Ends(number) => {
                let (sequence, mut at) = (event.header.sequence, 0);
                while let Some((held, next)) = self.repairs.held(number, sequence, at) {
                    at = next;
                    self.applying = held.header;
                    self.apply_now(&held);
                }
                self.repairs.done(number);
                self.apply_now(event);
            }
            Step::Failed(number) => self.shut(number, StaleReason::Fault),
        }
    }

    /// True while a book is on its way back: [`Shard::tend`] it, also when there is much to do.
    #[inline]
    pub fn is_repairing(&self) -> bool {
        !self.repairs.is_empty()
    }

    /// Says what time it is at least: from here a book that falls rests. A packet of a replay has none.
    #[inline]
    pub fn set_now(&mut self, now: UnixNanos) {
        self.now = self.now.max(now);
    }

    /// Lets time pass: asks for books that fell, where their time has come.
    #[inline]
    pub fn tend(&mut self, now: UnixNanos) {
        self.now = now;
        while let Some(number) = self.repairs.tend(now) {
            self.shut(number, StaleReason::Fault);
        }
    }

    /// Goes on with what a panic cut short; before the next event, where [`Shard::recover`] was
    /// called. It may panic as [`Shard::apply`] may.
    #[inline]
    pub fn resume(&mut self) {
        if let Some(event) = self.unfinished.take() {
            self.applying = event.header;
            self.apply_now(&event);
        }
    }

    /// A panic interrupted [`Shard::apply`]: puts the one book in the making into quarantine, or,
    /// where there was none, makes all tables anew. What fell will be asked for again.
    ///
    /// # Errors
    /// Fails where the host has no memory for new tables.
    #[cold]
    pub fn recover(&mut self) -> Result<(), LimitsError> {
        let header = self.applying;
        let Some(number) = self.books.interrupted() else { return self.rebuild() };
        self.shut(number, StaleReason::Fault);
        if header.instrument_id == ALL_INSTRUMENTS {
            // The one event that edits the books of all; its sequence is the next message's.
            self.unfinished = Some(Event { header, body: VenueEvent::Clear });
            self.note_fall(number, header.sequence);
        } else {
            self.note_fall(number, header.sequence.saturating_add(1));
        }
        Ok(())
    }

    /// Takes a book out of service and has it filled anew.
    #[cold]
    fn renew(&mut self, channel: u8, instrument_id: u32, reason: StaleReason) {
        let Some(book) = self.books.get(channel, instrument_id) else { return };
        let number = book.number();
        self.shut(number, reason);
        self.note_fall(number, self.applying.sequence.saturating_add(1));
    }

    /// Makes all tables anew: every book is stale until its channel has filled it.
    #[cold]
    fn rebuild(&mut self) -> Result<(), LimitsError> {
        self.books = self.books.emptied()?;
        let channels: BTreeSet<u8> = self.books.iter().map(|book| book.channel()).collect();
        for &channel in &channels {
            self.sink.state(channel, ALL_INSTRUMENTS, BookState::Stale);
        }
        self.repairs.shard_fell(channels.into_iter(), self.now);
        Ok(())
    }

    /// Puts a book into quarantine, which no record says, so the sink is told.
    fn shut(&mut self, number: u32, reason: StaleReason) {
        self.books.quarantine(number, reason);
        if let Some(book) = self.books.by_number(number) {
            self.sink.state(book.channel(), book.instrument_id(), BookState::Stale);
        }
    }

    fn note_fall(&mut self, number: u32, from_sequence: u64) {
        let Some(book) = self.books.by_number(number) else { return };
        let demand = Demand { channel: book.channel(), instrument_id: book.instrument_id() };
        self.repairs.fell(number, demand, from_sequence, self.now);
    }

    fn numbers(&self, channel: u8) -> Vec<u32> {
        let books = self.books.iter().filter(|book| book.channel() == channel);
        books.map(|book| book.number()).collect()
    }

    /// What became of books that fell.
    pub fn repair_counters(&self) -> RepairCounters {
        self.repairs.counters()
    }

    /// The books.
    pub fn books(&self) -> &Books {
        &self.books
    }

    /// The machines behind the books.
    pub fn machines(&self) -> &Chain {
        &self.machines
    }

    /// The machines behind the books, to take their incidents.
    pub fn machines_mut(&mut self) -> &mut Chain {
        &mut self.machines
    }

    /// (machine, channel, instrument id, digest) of every machine of every instrument.
    pub fn machine_digests(&self) -> impl Iterator<Item = (&str, u8, u32, u64)> {
        (0..).zip(self.books.iter()).flat_map(|(number, book)| {
            let (channel, id) = (book.channel(), book.instrument_id());
            self.machines.digests(number).map(move |(name, digest)| (name, channel, id, digest))
        })
    }

    /// Gives each book that changed since the last call, but those in the middle of an event; true
    /// where there were none of these.
    pub fn drain_changed(&mut self, changed: impl FnMut(usize, Book<'_>)) -> bool {
        self.books.drain_changed(changed)
    }

    /// Where the records go.
    pub fn sink(&self) -> &S {
        &self.sink
    }

    /// Ends the shard; its books can still be looked at.
    pub fn into_parts(self) -> (Books, S) {
        (self.books, self.sink)
    }
}

/// A worker and its shard on one thread: each event is applied as it comes.
impl<S: BookSink> Mailbox for Shard<S> {
    #[inline]
    fn deliver(&mut self, event: &Event) {
        self.apply(event);
    }
}

/// Between the books and the machines behind them.
struct Tap<'a, S> {
    machines: &'a mut Chain,
    sink: &'a mut S,
}

impl<S: BookSink> BookSink for Tap<'_, S> {
    fn record(&mut self, number: Option<u32>, channel: u8, record: RecordRef<'_>) {
        let header = record.header();
        self.sink.record(number, channel, record);
        if header.rtype == rtype::MBP_10 {
            return;
        }
        let out = &mut Derived(self.sink);
        match number {
            Some(number) => self.machines.record(number, channel, record, out),
            None if header.instrument_id != ALL_INSTRUMENTS => {}
            None => match record.get::<SystemMsg>() {
                Some(interval) => self.machines.end_of_interval(channel, interval, out),
                None => self.machines.market(channel, record, out),
            },
        }
    }

    fn state(&mut self, channel: u8, instrument_id: u32, state: BookState) {
        self.sink.state(channel, instrument_id, state);
    }

    fn over_limit(&mut self, channel: u8, instrument_id: u32) {
        self.sink.over_limit(channel, instrument_id);
    }

    fn derived(&mut self, record: RecordRef<'_>) {
        self.sink.derived(record);
    }
}

/// What machines write to.
struct Derived<'a, S>(&'a mut S);

impl<S: BookSink> RecordSink for Derived<'_, S> {
    fn record(&mut self, record: RecordRef<'_>) {
        self.0.derived(record);
    }
}

#[cfg(test)]
mod tests;
