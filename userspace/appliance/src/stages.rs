//! The hot threads: what a worker and a shard do in each cycle, and both on one thread (`inline`).
//!
//! Arrives: a source or mailboxes. Leaves: events in rings, records in the output ring, books on
//! the board, latencies and counts for housekeeping. Promises: no allocation, lock, log or system
//! call in a cycle that finds something, but for the wakeups that a driver asks for, and those of
//! sleeping readers where the configuration asks for them. A panic in a shard's turn costs the book it
//! struck, not the thread.

use crate::clock;
use crate::config::Idle;
use crate::cycles::{Cycles, Found};
use crate::handover::Taker;
use crate::idle::{Waiter, nap};
use crate::incidents::IncidentSender;
use crate::lines::ChannelSpec;
use crate::progress::{Awaits, Progress};
use crate::published::Published;
use crate::recorder::{JournalWriter, PacketWriter};
use crate::refresh::Refresh;
use crate::repair::Demands;
use crate::router::Mailbox;
use crate::samples::{ChannelSample, ShardProbes, ShardSample, WorkerProbes, WorkerSample};
use crate::shard::Shard;
use crate::source::{SocketChange, Source};
use crate::worker::{ChannelChange, Worker};
use arrayvec::ArrayVec;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use wirebook_machine::{Book, BookSink, Books, Level, LookAhead};
use wirebook_model::dbn::RecordRef;
use wirebook_model::{BookState, Event, PackedEvent, Packet, RecordSink, UnixNanos};
use wirebook_shm::Waker;
use wirebook_shm::board::{BoardWriter, CELL_LEVELS, Cell, CellLevel};
use wirebook_shm::ring::{Cursor, GatedWriter, GatingReader, PushError, Writer};
use wirebook_telemetry::{Probe, StageHistogram};

mod inline;

/// Events taken from one mailbox before the next one has its turn.
const EVENTS_A_TURN: usize = 256;

/// Polls after a stop, at most, for what had already arrived.
const LAST_POLLS: usize = 1_024;

/// Idle cycles between two looks at the kernel's clock offset: seconds, at some 100 ns a cycle.
const CYCLES_A_CLOCK: u32 = 1 << 24;

/// What a worker takes in while it runs.
pub enum WorkerChange {
    /// Other sockets.
    Sockets(SocketChange),
    /// Other channels and lines, and the probes of all channels.
    Channels(ChannelChange, Vec<Probe<ChannelSample>>),
}

/// What a shard takes in while it runs.
#[derive(Default)]
pub struct ShardChange {
    /// Channels that are new or have changed, and the ways to their workers.
    pub set: Vec<(ChannelSpec, Demands)>,
    /// Numbers of channels that are no longer received.
    pub retired: Vec<u8>,
}

/// A ring to one shard.
pub struct RingMailbox {
    writer: GatedWriter,
    /// Set once the shard's thread is over: it will make no more room.
    shard_gone: Arc<AtomicBool>,
    /// The worker's, and the shard's number, to say what the worker awaits.
    progress: Progress,
    shard: u16,
    backpressure: u64,
    undelivered: u64,
}

impl RingMailbox {
    /// The worker's end of a ring.
    pub fn new(writer: GatedWriter, shard_gone: Arc<AtomicBool>) -> Self {
        let progress = Progress::default();
        Self { writer, shard_gone, progress, shard: 0, backpressure: 0, undelivered: 0 }
    }

    /// Says of the worker that has this progress when it awaits room in the mailbox of `shard`.
    pub fn with_progress(self, progress: Progress, shard: u16) -> Self {
        Self { progress, shard, ..self }
    }

    #[inline]
    fn push(&mut self, words: &[u64]) {
        match self.writer.try_push_words(words) {
            Ok(_) => {}
            Err(PushError::Full) => self.wait_for_room(words),
            Err(PushError::Length(_)) => debug_assert!(false, "an event is at most two slots"),
        }
    }

    #[cold]
    fn wait_for_room(&mut self, words: &[u64]) {
        self.backpressure += 1;
        self.writer.announce();
        self.progress.awaits(Awaits::Room(self.shard));
        while let Err(PushError::Full) = self.writer.try_push_words(words) {
            if self.shard_gone.load(Ordering::Acquire) {
                self.undelivered += 1;
                return;
            }
            std::thread::yield_now();
        }
        self.progress.awaits(Awaits::Nothing);
    }
}

impl Mailbox for RingMailbox {
    #[inline]
    fn deliver(&mut self, event: &Event) {
        self.push(event.encode().as_slice());
    }

    #[inline]
    fn deliver_packed(&mut self, event: &PackedEvent) {
        self.push(event.words());
    }

    #[inline]
    fn end_cycle(&mut self, found: Found) {
        if found.any() {
            self.writer.announce();
        }
    }

    fn backpressure(&self) -> u64 {
        self.backpressure
    }

    fn undelivered(&self) -> u64 {
        self.undelivered
    }
}

/// A worker on its thread: behind it rings to the shards, or the one shard that shares the thread.
pub struct WorkerStage<M = RingMailbox> {
    /// Where its packets come from.
    pub source: Source,
    /// What decodes them.
    pub worker: Worker<M>,
    /// The ring to the recorder of packets, where there is one.
    pub packets: Option<PacketWriter>,
    /// From arrival to the start of decoding.
    pub wire_to_worker: StageHistogram,
    /// Answer housekeeping.
    pub probes: WorkerProbes,
    /// What housekeeping has made for it.
    pub changes: Taker<WorkerChange>,
    /// Says that it moves.
    pub progress: Progress,
    /// How long it takes a turn.
    pub cycles: Cycles,
    /// How it waits.
    pub idle: Idle,
}

impl<M: Mailbox> WorkerStage<M> {
    /// Runs until `stop`, and then until nothing is left that had arrived, within reason; `ended`
    /// says that every channel's session has ended.
    pub fn run(&mut self, stop: &AtomicBool, ended: &AtomicBool) {
        let mut waiter = Waiter::new(self.idle);
        let mut until_clock = CYCLES_A_CLOCK;
        while !stop.load(Ordering::Relaxed) {
            self.progress.cycle();
            let (taken, last) = self.poll();
            // Where packets came, one of them is as recent as a look at the clock.
            let now = if taken.any() { last } else { clock::now() };
            let found = if self.worker.tick(now) { taken.and(Found::Some) } else { taken };
            self.probes.worker.answer(|| self.sample());
            self.worker.end_cycle(found);
            let found = found.any();
            self.cycles.end(found, now);
            self.change(found);
            if !found {
                self.wire_to_worker.hand_over();
                self.worker.hand_over();
                ended.store(self.worker.all_ended(), Ordering::Relaxed);
                until_clock -= 1;
                if until_clock == 0 {
                    until_clock = CYCLES_A_CLOCK;
                    self.source.refresh_clock();
                }
            }
            if !found {
                self.progress.awaits(Awaits::Packets);
            }
            if waiter.cycle(found, || self.source.sleep(self.worker.patience())) {
                self.cycles.awoke(clock::now());
            }
        }
        for _ in 0..LAST_POLLS {
            let (found, _) = self.poll();
            self.worker.end_cycle(found);
            if !found.any() {
                return;
            }
        }
    }

    #[inline]
    fn change(&mut self, found: bool) {
        self.changes.cycle(found, |change| match change {
            WorkerChange::Sockets(change) => self.source.exchange(change),
            WorkerChange::Channels(change, probes) => {
                self.worker.exchange(change, clock::now());
                std::mem::swap(&mut self.probes.channels, probes);
            }
        });
    }

    #[cold]
    fn sample(&self) -> WorkerSample {
        for (probe, sample) in self.probes.channels.iter().zip(self.worker.samples()) {
            probe.give(sample);
        }
        WorkerSample {
            counters: self.worker.counters(),
            drops: self.source.own_drops(),
            backpressure: self.worker.mailboxes().map(Mailbox::backpressure).sum(),
            cycles: self.cycles.counters(),
        }
    }

    #[inline]
    fn poll(&mut self) -> (Found, UnixNanos) {
        self.source.poll(&mut self.worker, &mut self.wire_to_worker, self.packets.as_mut())
    }
}

/// Where a shard's records go, and where a reader of the board goes on in them.
pub trait Output: BookSink {
    /// Where the next record will stand.
    fn cursor(&self) -> Cursor;

    /// Says that the board shows all that the records so far say.
    fn mark_shown(&self);
}

/// A shard's output ring as a sink of records.
pub struct OutputRing {
    writer: Writer,
    published: Published,
    unpublished: u64,
}

impl OutputRing {
    /// A sink over the writing end of a ring, which takes what is to be published.
    pub fn new(writer: Writer, published: Published) -> Self {
        Self { writer, published, unpublished: 0 }
    }

    /// Records too long for the ring; none of DBN's are.
    pub fn unpublished(&self) -> u64 {
        self.unpublished
    }
}

impl Output for OutputRing {
    fn cursor(&self) -> Cursor {
        self.writer.cursor()
    }

    fn mark_shown(&self) {
        self.writer.mark_shown();
    }
}

impl Output for ShardSink {
    fn cursor(&self) -> Cursor {
        self.output.cursor()
    }

    fn mark_shown(&self) {
        self.output.mark_shown();
    }
}

impl RecordSink for OutputRing {
    #[inline]
    fn record(&mut self, record: RecordRef<'_>) {
        if self.published.contains(record.header().rtype) {
            self.unpublished += u64::from(self.writer.push_bytes(record.as_ref()).is_err());
        }
    }
}

/// Where a shard's books send what they complete: to readers, and to the recorder where there is one.
pub struct ShardSink {
    /// The output ring.
    pub output: OutputRing,
    /// The ring to the recorder.
    pub journal: Option<JournalWriter>,
}

impl BookSink for ShardSink {
    #[inline]
    fn record(&mut self, _number: Option<u32>, channel: u8, record: RecordRef<'_>) {
        RecordSink::record(&mut self.output, record);
        if let Some(journal) = &mut self.journal {
            journal.record(channel, record);
        }
    }

    fn state(&mut self, channel: u8, instrument_id: u32, state: BookState) {
        if let Some(journal) = &mut self.journal {
            journal.state(channel, instrument_id, state);
        }
    }

    fn over_limit(&mut self, channel: u8, instrument_id: u32) {
        if let Some(journal) = &mut self.journal {
            journal.over_limit(channel, instrument_id);
        }
    }

    fn derived(&mut self, record: RecordRef<'_>) {
        RecordSink::record(&mut self.output, record);
    }
}

/// Turns that the board may be behind its records while more waits than a turn takes. A book's cell is
/// nine cache lines, written whole, so one that changes again and again in a burst is cheaper shown once; and
/// who reads the board then waits for what is in front of the thread anyway.
const UNSHOWN_TURNS_MAX: u32 = 7;

/// Most events that a shard takes out of a mailbox at a time: enough to look ahead over.
const BATCH_EVENTS: usize = 64;

/// Events out of a mailbox that are not all applied yet.
pub struct Batch {
    events: LookAhead,
    bad_slots: u64,
    /// When they were taken out.
    taken_at: UnixNanos,
    /// When each packet began that is not known to be published: at the shard, or at the worker on its
    /// thread. The last one may go on in the next batch.
    began: ArrayVec<UnixNanos, { BATCH_EVENTS + 1 }>,
    /// When the last batch was published.
    published_at: UnixNanos,
    /// Turns since the board showed what changed.
    unshown_turns: u32,
}

impl Default for Batch {
    fn default() -> Self {
        let events = LookAhead::with_capacity(BATCH_EVENTS);
        let (bad_slots, taken_at, published_at, unshown_turns) = (0, 0, 0, 0);
        Self { events, bad_slots, taken_at, began: ArrayVec::new(), published_at, unshown_turns }
    }
}

impl Batch {
    /// Slots of a mailbox that held no event of ours.
    pub fn bad_slots(&self) -> u64 {
        self.bad_slots
    }

    /// Takes the next events, in place of those that were applied; returns how many records it took.
    #[inline]
    fn fill(&mut self, mailbox: &mut GatingReader, books: &Books) -> usize {
        self.events.clear();
        let records = mailbox.pop_each(BATCH_EVENTS, |record| {
            let is_event = self.events.push_words(books, record.words()).is_ok();
            self.bad_slots += u64::from(!is_event);
        });
        mailbox.release();
        records
    }
}

/// A shard on a thread of its own, or on its worker's.
pub struct ShardStage<S = ShardSink> {
    /// One ring a worker; none on the worker's thread.
    pub mailboxes: Vec<GatingReader>,
    /// The books.
    pub shard: Shard<S>,
    /// Where their tops are shown.
    pub board: BoardWriter,
    /// DBN publisher of each channel, for the board.
    pub publishers: [u16; 256],
    /// From the start of decoding to the shard; nothing is between them on the worker's thread.
    pub worker_to_shard: Option<StageHistogram>,
    /// To the last record's place in the output ring: from the shard, or from the start of decoding
    /// on the worker's thread.
    pub to_published: StageHistogram,
    /// Answer housekeeping.
    pub probes: ShardProbes,
    /// Says that it moves.
    pub progress: Progress,
    /// How long it takes a turn on a thread of its own.
    pub cycles: Cycles,
    /// How it waits.
    pub idle: Idle,
    /// Events out of a mailbox, on their way into the books.
    pub batch: Batch,
    /// What housekeeping has made for it.
    pub changes: Taker<ShardChange>,
    /// Tells housekeeping what fell and came back.
    pub incidents: IncidentSender,
    /// Shows whole books to readers that missed some of their records.
    pub refresh: Option<Refresh>,
    /// Wakes readers that sleep, where they are to be woken.
    pub waker: Option<Waker>,
}

impl<S: Output> ShardStage<S> {
    /// Runs until `stop`, and then until its mailboxes are empty.
    pub fn run(&mut self, stop: &AtomicBool) {
        let mut waiter = Waiter::new(self.idle);
        loop {
            self.progress.cycle();
            let stopping = stop.load(Ordering::Acquire);
            // Unwind safety: what a panic may have torn is put into quarantine or made anew.
            let found = match catch_unwind(AssertUnwindSafe(|| self.take_turns())) {
                Ok(found) => found,
                Err(_) => self.recover(),
            };
            let found = found.any();
            let now = if found { self.batch.published_at } else { clock::now() };
            self.cycles.end(found, now);
            self.tend(found);
            if !found {
                if stopping {
                    return;
                }
                self.progress.awaits(Awaits::Events);
            }
            if waiter.cycle(found, nap) {
                self.cycles.awoke(clock::now());
            }
        }
    }

    /// What a cycle ends with, beside events.
    #[inline]
    fn tend(&mut self, found: bool) {
        self.probes.shard.answer(|| self.sample());
        if self.shard.is_repairing() {
            self.shard.tend(clock::now());
        }
        self.change(found);
        if !found {
            self.worker_to_shard.iter_mut().for_each(StageHistogram::hand_over);
            self.to_published.hand_over();
            self.incidents.send(&mut self.shard);
            self.refresh();
        }
    }

    #[inline]
    fn change(&mut self, found: bool) {
        self.changes.cycle(found, |ShardChange { set, retired }| {
            for (spec, demands) in set {
                self.publishers[usize::from(spec.number)] = spec.publisher_id;
                self.shard.set_channel(spec);
                self.shard.set_demands(spec.number, demands);
            }
            retired.iter().for_each(|number| self.shard.retire_channel(*number));
        });
    }

    /// Goes on after a panic; the events not applied yet still lie in the batch and in their mailbox.
    #[cold]
    fn recover(&mut self) -> Found {
        self.batch.began.clear();
        self.shard.tend(clock::now());
        if let Err(error) = self.shard.recover() {
            panic!("a shard that fell cannot be made anew: {error}");
        }
        Found::Some
    }

    #[cold]
    fn sample(&self) -> ShardSample {
        for (probe, (_, counters)) in
            self.probes.machines.iter().zip(self.shard.machines().counters())
        {
            probe.give(counters);
        }
        ShardSample {
            counters: *self.shard.books().counters(),
            in_use: self.shard.books().in_use(),
            repairs: self.shard.repair_counters(),
            check: self.shard.check_counters(),
            refresh: self.refresh.as_ref().map(Refresh::counters).unwrap_or_default(),
            cycles: self.cycles.counters(),
        }
    }

    fn refresh(&mut self) {
        if let Some(refresh) = &mut self.refresh {
            let cursor = self.shard.sink().cursor();
            refresh.tend(self.shard.books(), cursor, clock::now(), clock::now);
            refresh.hand_over();
        }
    }

    fn take_turns(&mut self) -> Found {
        self.shard.resume();
        let mut found = Found::of(self.batch.events.left(), BATCH_EVENTS + 1);
        self.apply_batch();
        for mailbox in 0..self.mailboxes.len() {
            found = found.and(self.turn(mailbox));
        }
        self.show(found);
        found
    }

    /// Shows what has changed; also where nothing was found, as a book may have fallen. While more waits
    /// than a turn takes, a book that changes in each of some turns is shown once.
    #[inline]
    fn show(&mut self, found: Found) {
        if found == Found::More && self.batch.unshown_turns < UNSHOWN_TURNS_MAX {
            self.batch.unshown_turns += 1;
        } else {
            self.batch.unshown_turns = 0;
            self.show_changed();
        }
        if found.any()
            && let Some(waker) = &self.waker
        {
            waker.wake();
        }
    }

    fn turn(&mut self, mailbox: usize) -> Found {
        // A panic may have left the times of another mailbox's packets.
        self.batch.began.clear();
        let mut taken = 0;
        while taken < EVENTS_A_TURN {
            let slots = self.batch.fill(&mut self.mailboxes[mailbox], self.shard.books());
            if slots == 0 {
                break;
            }
            self.batch.taken_at = if taken == 0 { clock::now() } else { self.batch.published_at };
            taken += slots;
            self.apply_batch();
        }
        self.end_packet();
        Found::of(taken, EVENTS_A_TURN)
    }

    /// Applies what is left of the batch: all of it, but behind a panic. One look at the clock says when
    /// it was published: its packets are counted as published then, some a little late.
    #[inline]
    fn apply_batch(&mut self) {
        if self.batch.events.left() == 0 {
            return;
        }
        // What is given is not given again, so an event that panics is not applied again.
        while let Some(expected) = self.batch.events.next(self.shard.books()) {
            if let Some(&Packet { ts_worker, .. }) = expected.packet() {
                let mut began = ts_worker;
                if let Some(worker_to_shard) = &mut self.worker_to_shard {
                    began = self.batch.taken_at;
                    worker_to_shard.record(began.saturating_sub(ts_worker));
                }
                self.batch.began.push(began);
                self.shard.set_now(began);
            }
            self.shard.apply_expected(expected);
        }
        self.batch.published_at = clock::now();
        let whole = self.batch.began.len().saturating_sub(1);
        self.publish_packets(whole);
    }

    /// Everything that was taken is published.
    #[inline]
    fn end_packet(&mut self) {
        self.publish_packets(self.batch.began.len());
    }

    /// The first packets of those that began are published.
    #[inline]
    fn publish_packets(&mut self, count: usize) {
        let published_at = self.batch.published_at;
        for began in self.batch.began.drain(..count) {
            self.to_published.record(published_at.saturating_sub(began));
        }
    }

    fn show_changed(&mut self) {
        let cursor = self.shard.sink().cursor();
        let (board, publishers) = (&mut self.board, &self.publishers);
        let all_shown = self.shard.drain_changed(|place, book| {
            let publisher = publishers[usize::from(book.channel())];
            // The board has one cell for each book that the limits allow.
            let shown = board.publish(place, &cell(&book, publisher, cursor));
            debug_assert!(shown.is_ok(), "a board has a cell for every book");
        });
        if all_shown {
            self.shard.sink().mark_shown();
        }
    }
}

/// A book's top as readers see it.
fn cell(book: &Book<'_>, publisher: u16, cursor: Cursor) -> Cell {
    let mut cell = Cell {
        instrument_id: book.instrument_id(),
        publisher,
        state: book.state() as u8,
        stale_reason: book.stale_reason() as u8,
        channel: book.channel(),
        sequence: book.sequence(),
        ts_event: book.ts_event(),
        ts_recv: book.ts_recv(),
        cursor: cursor.get(),
        ..Cell::default()
    };
    if let Some(trade) = book.last_trade() {
        (cell.last_price, cell.last_size) = (trade.price, trade.size);
    }
    let symbol = book.symbol();
    let length = cell.symbol.len();
    cell.symbol.copy_from_slice(&symbol.as_bytes()[..length]);
    put_levels(&mut cell.bids, book.bids());
    put_levels(&mut cell.asks, book.asks());
    cell
}

fn put_levels(cells: &mut [CellLevel; CELL_LEVELS], levels: impl Iterator<Item = Level>) {
    for (cell, Level { price, size, orders }) in cells.iter_mut().zip(levels) {
        *cell = CellLevel { price, size, orders, reserved: 0 };
    }
}
