//! From packets to events: the decode half of the path.
//!
//! Arrives: whole frames, or the payloads that the steering program has already found. Leaves:
//! each payload at the [`Stream`] of its channel, and its events in the [`Router`]. The same code
//! runs on a pinned thread over AF_XDP frames and in a replay over a file.
//!
//! Promises: no packet byte is copied, nothing is allocated, and no input panics. Counts, in
//! [`WorkerCounters`], what each packet turned out to be.

use crate::cycles::Found;
use crate::lines::{ChannelSpec, Lines};
use crate::recovery::link::WorkerEnd;
use crate::repair::{Demand, Demands, demands};
use crate::report::ChannelReport;
use crate::router::{Mailbox, Router};
use crate::samples::ChannelSample;
use crate::stream::{Outlet, Stream, StreamHistograms, StreamUpdate};
use derive_more::AddAssign;
use serde::Serialize;
use std::sync::Arc;
use std::time::Duration;
use wirebook_feed::Source;
use wirebook_model::UnixNanos;
use wirebook_wire::Datagram;

/// An hour and some: the configuration allows no longer deadline.
const LONGER_THAN_ANY_DEADLINE_NS: u64 = 4_000_000_000_000;

/// What a worker has counted.
#[derive(AddAssign, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct WorkerCounters {
    /// Packets of our lines.
    pub packets: u64,
    /// Messages applied.
    pub messages: u64,
    /// Packets without messages that only say what the next sequence is.
    pub heartbeats: u64,
    /// Packets that end a session.
    pub ends_of_session: u64,
    /// Messages of a type that the decoder does not know, stepped over by their length.
    pub unknown_messages: u64,
    /// Packets with a length that does not hold or a message that is too short.
    pub malformed_packets: u64,
    /// Messages left out because the symbol table was full.
    pub over_limit_messages: u64,
    /// Packets of a destination that no line names.
    pub other_packets: u64,
}

/// Other channels and lines, as housekeeping has made them; once exchanged, what the worker had.
pub struct ChannelChange {
    /// All lines and channels from now on.
    pub lines: Lines,
    /// Those of its channels that are new, with room for all; then those that are gone.
    pub streams: Vec<Stream>,
    /// What changes of those that stay.
    pub updates: Vec<StreamUpdate>,
}

/// Decodes packets and routes their events.
pub struct Worker<M> {
    lines: Lines,
    streams: Vec<Stream>,
    outputs: Outputs<M>,
    /// The latest time that was told; it does not go back.
    now: UnixNanos,
    /// Messages of a file that has no packets.
    file_messages: u64,
    /// The stream whose turn it is to hand its histograms over.
    handing_over: usize,
    /// What shards want of it.
    demands: Demands,
}

/// What all streams write to, apart from the streams themselves.
struct Outputs<M> {
    router: Router<M>,
    counters: WorkerCounters,
}

impl<M> Outputs<M> {
    #[inline]
    fn outlet(&mut self, ts_worker: UnixNanos, now: UnixNanos) -> Outlet<'_, M> {
        let Self { router, counters } = self;
        Outlet { router, counters, ts_worker, now }
    }
}

impl<M: Mailbox> Worker<M> {
    /// A worker for these lines and the channels that they belong to, without recovery.
    ///
    /// # Errors
    /// Fails where the time zone of a channel's timestamps is unknown to this host.
    pub fn new(
        lines: Lines,
        instruments_max: usize,
        router: Router<M>,
    ) -> Result<Self, jiff::Error> {
        let unheard = |_: &_| StreamHistograms::unheard();
        Self::with_recovery(lines, |_| None, instruments_max, router, unheard)
    }

    /// A worker whose channels have what `recovery` gives each, timed by what `histograms` gives.
    ///
    /// # Errors
    /// Fails where the time zone of a channel's timestamps is unknown to this host.
    pub fn with_recovery(
        lines: Lines,
        mut recovery: impl FnMut(&ChannelSpec) -> Option<WorkerEnd>,
        instruments_max: usize,
        router: Router<M>,
        mut histograms: impl FnMut(&ChannelSpec) -> StreamHistograms,
    ) -> Result<Self, jiff::Error> {
        let streams = lines
            .channels()
            .iter()
            .map(|spec| Stream::new(spec, recovery(spec), histograms(spec), instruments_max))
            .collect::<Result<_, _>>()?;
        let outputs = Outputs { router, counters: WorkerCounters::default() };
        let demands = demands();
        Ok(Self { lines, streams, outputs, now: 0, file_messages: 0, handing_over: 0, demands })
    }

    /// Takes other channels and lines; what stays is not touched, but for its updates. The books of
    /// channels that are gone are told so. Nothing is allocated.
    #[cold]
    pub fn exchange(&mut self, change: &mut ChannelChange, now: UnixNanos) {
        self.now = self.now.max(now);
        let ChannelChange { lines, streams: gone, updates } = change;
        std::mem::swap(&mut self.lines, lines);
        std::mem::swap(&mut self.streams, gone);
        let streams = &mut self.streams;
        for spec in self.lines.channels() {
            let is_it = |stream: &Stream| stream.number() == spec.number;
            if !streams.iter().any(is_it)
                && let Some(at) = gone.iter().position(is_it)
            {
                streams.push(gone.swap_remove(at));
            }
        }
        // In the order of the channels, by which lines name them.
        streams.sort_unstable_by_key(Stream::number);
        let mut out = self.outputs.outlet(now, self.now);
        for update in updates {
            let mut streams = streams.iter_mut();
            if let Some(stream) = streams.find(|stream| stream.number() == update.number) {
                stream.update(update, &mut out);
            }
        }
        gone.iter_mut().for_each(|stream| stream.retire(&mut out));
    }

    /// Takes a whole Ethernet frame and finds its line by its destination.
    #[inline]
    pub fn frame(&mut self, frame: &[u8], ts_recv: UnixNanos, ts_worker: UnixNanos) {
        match Datagram::parse(frame) {
            Ok(datagram) => match self.lines.find(&datagram) {
                Some(line) => self.payload(line, datagram.payload, ts_recv, ts_worker),
                None => self.outputs.counters.other_packets += 1,
            },
            Err(reason) if reason.is_malformed() => self.outputs.counters.malformed_packets += 1,
            Err(_) => self.outputs.counters.other_packets += 1,
        }
    }

    /// Takes the UDP payload of a packet of line `line`. `ts_worker` is 0 in a replay, where the
    /// capture's own times pass for the time.
    #[inline]
    pub fn payload(&mut self, line: u16, payload: &[u8], ts_recv: UnixNanos, ts_worker: UnixNanos) {
        let place = self.lines.channel_of(line);
        let Some((stream, line)) =
            place.and_then(|(channel, line)| Some((self.streams.get_mut(channel)?, line)))
        else {
            self.outputs.counters.other_packets += 1;
            return;
        };
        self.outputs.counters.packets += 1;
        self.now = self.now.max(if ts_worker == 0 { ts_recv } else { ts_worker });
        let mut out = self.outputs.outlet(ts_worker, self.now);
        if ts_worker == 0 {
            // In a replay no time passes but that of packets.
            stream.tick(self.now, &mut out);
        }
        stream.payload(Source::Line(line), payload, ts_recv, self.now, &mut out);
    }

    /// Lets time pass and takes what recovery has brought; true where it had brought something.
    #[inline]
    pub fn tick(&mut self, now: UnixNanos) -> bool {
        self.now = self.now.max(now);
        let mut out = self.outputs.outlet(now, self.now);
        let mut found = false;
        for stream in &mut self.streams {
            found |= stream.tick(self.now, &mut out);
        }
        while !self.demands.is_empty()
            && let Some(Demand { channel, instrument_id }) = self.demands.pop()
        {
            let channels = self.lines.channels();
            let place = channels.iter().position(|spec| spec.number == channel);
            if let Some(stream) = place.and_then(|place| self.streams.get_mut(place)) {
                stream.repair(instrument_id, &mut out);
            }
        }
        found
    }

    /// Takes the demands of shards from here.
    pub fn with_demands(self, demands: Demands) -> Self {
        Self { demands, ..self }
    }

    /// Ends a cycle, in which something was found or nothing: what a shard on this thread has
    /// collected is applied.
    #[inline]
    pub fn end_cycle(&mut self, found: Found) {
        self.outputs.router.end_cycle(found);
    }

    /// The longest that its thread may sleep.
    pub fn patience(&self) -> Duration {
        self.mailboxes().map(Mailbox::patience).min().unwrap_or(Duration::MAX)
    }

    /// The way by which shards want books of this worker's channels anew.
    pub fn demands(&self) -> Demands {
        Arc::clone(&self.demands)
    }

    /// Takes the next message of a file that holds nothing else: of the first channel, in order,
    /// received when it was sent.
    pub fn message(&mut self, message: &[u8]) {
        let Some(stream) = self.streams.first_mut() else { return };
        self.file_messages += 1;
        stream.message(message, self.file_messages, &mut self.outputs.outlet(0, self.now));
    }

    /// Ends a replay: what still waits for a line or a server is given up.
    pub fn give_up_waiting(&mut self) {
        // Each deadline of a channel may lead to the next one: reordering, retransmission,
        // a snapshot.
        for _ in 0..3 {
            self.now = self.now.saturating_add(LONGER_THAN_ANY_DEADLINE_NS);
            let mut out = self.outputs.outlet(0, self.now);
            for stream in &mut self.streams {
                stream.tick(self.now, &mut out);
            }
        }
    }

    /// What has been counted so far.
    pub fn counters(&self) -> WorkerCounters {
        self.outputs.counters
    }

    /// Hands the histograms of one channel over where they are asked for: the next one's, so that an
    /// idle cycle is as short for many channels as for one.
    pub fn hand_over(&mut self) {
        self.handing_over =
            if self.handing_over + 1 < self.streams.len() { self.handing_over + 1 } else { 0 };
        if let Some(stream) = self.streams.get_mut(self.handing_over) {
            stream.hand_over();
        }
    }

    /// What each channel has counted, as plain numbers.
    pub fn samples(&self) -> impl Iterator<Item = ChannelSample> {
        self.streams.iter().map(Stream::sample)
    }

    /// Where the events go, in the order of their shards.
    pub fn mailboxes(&self) -> impl Iterator<Item = &M> {
        self.outputs.router.mailboxes()
    }

    /// What each channel has counted.
    pub fn channels(&self) -> impl Iterator<Item = ChannelReport> {
        self.streams.iter().map(Stream::report)
    }

    /// True once the session of every channel has ended.
    pub fn all_ended(&self) -> bool {
        self.streams.iter().all(Stream::has_ended)
    }

    /// Ends the worker; the mailboxes are in the order of their shards.
    pub fn into_mailboxes(self) -> impl Iterator<Item = M> {
        self.outputs.router.into_mailboxes()
    }
}
