//! From packets to events: the decode half of the path.
//!
//! Arrives: whole frames, or the payloads that the steering program has already found. Leaves:
//! the events of every message that is new, through the [`Router`]. The same code runs on a
//! pinned thread over AF_XDP frames and in a replay over a file.
//!
//! Promises: no packet byte is copied, nothing is allocated, and no input panics. Counts, in
//! [`WorkerCounters`], what each packet turned out to be.

use crate::clock::VenueDay;
use crate::lines::{ChannelSpec, Lines};
use crate::report::ChannelReport;
use crate::router::{Mailbox, Router};
use serde::Serialize;
use std::ops::AddAssign;
use wirebook_feed::{Arrival, Channel, Verdict};
use wirebook_model::dbn::flags::LAST;
use wirebook_model::{
    ALL_INSTRUMENTS, Event, EventHeader, EventSink, Packet, UnixNanos, VenueEvent,
};
use wirebook_wire::{
    Datagram, Decoded, Decoder, Limits, PacketKind, Protocol, Session, TransportPacket,
};

/// What a worker has counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
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

impl AddAssign for WorkerCounters {
    fn add_assign(&mut self, other: Self) {
        self.packets += other.packets;
        self.messages += other.messages;
        self.heartbeats += other.heartbeats;
        self.ends_of_session += other.ends_of_session;
        self.unknown_messages += other.unknown_messages;
        self.malformed_packets += other.malformed_packets;
        self.over_limit_messages += other.over_limit_messages;
        self.other_packets += other.other_packets;
    }
}

/// One channel as its worker decodes it.
struct Stream {
    number: u8,
    protocol: Protocol,
    channel: Channel<Session>,
    decoder: Decoder,
    day: Option<VenueDay>,
    has_ended: bool,
}

/// Decodes packets and routes their events.
pub struct Worker<M> {
    lines: Lines,
    streams: Vec<Stream>,
    router: Router<M>,
    counters: WorkerCounters,
}

impl<M: Mailbox> Worker<M> {
    /// A worker for these lines and the channels that they belong to.
    ///
    /// # Errors
    /// Fails where the time zone of a channel's timestamps is unknown to this host.
    pub fn new(
        lines: Lines,
        instruments_max: usize,
        router: Router<M>,
    ) -> Result<Self, jiff::Error> {
        let stream = |spec: &ChannelSpec| Stream::new(spec, instruments_max);
        let streams = lines.channels().iter().map(stream).collect::<Result<_, _>>()?;
        Ok(Self { lines, streams, router, counters: WorkerCounters::default() })
    }

    /// Takes a whole Ethernet frame and finds its line by its destination.
    #[inline]
    pub fn frame(&mut self, frame: &[u8], ts_recv: UnixNanos, ts_worker: UnixNanos) {
        match Datagram::parse(frame) {
            Ok(datagram) => match self.lines.find(&datagram) {
                Some(line) => self.payload(line, datagram.payload, ts_recv, ts_worker),
                None => self.counters.other_packets += 1,
            },
            Err(reason) if reason.is_malformed() => self.counters.malformed_packets += 1,
            Err(_) => self.counters.other_packets += 1,
        }
    }

    /// Takes the UDP payload of a packet of line `line`.
    #[inline]
    pub fn payload(&mut self, line: u16, payload: &[u8], ts_recv: UnixNanos, ts_worker: UnixNanos) {
        let Some(stream) = self.lines.channel_of(line).and_then(|c| self.streams.get_mut(c)) else {
            self.counters.other_packets += 1;
            return;
        };
        self.counters.packets += 1;
        let Ok(packet) = TransportPacket::parse(stream.protocol.transport(), payload) else {
            self.counters.malformed_packets += 1;
            return;
        };
        match packet.kind {
            PacketKind::Messages => {}
            PacketKind::Heartbeat => self.counters.heartbeats += 1,
            PacketKind::EndOfSession => {
                self.counters.ends_of_session += 1;
                stream.has_ended = true;
            }
        }
        let Some(verdict) = stream.arrive(&packet) else { return };
        let times = Packet { ts_recv, ts_sent: packet.ts_sent, ts_worker };
        self.router.begin_packet(stream.number, packet.sequence, times);
        stream.announce(&verdict, &packet, &mut self.router);
        stream.turn_day(ts_recv);
        stream.decode(&packet, verdict.skip, &mut self.counters, &mut self.router);
    }

    /// Takes the next message of a file that holds nothing else: of the first channel, in order,
    /// received when it was sent.
    pub fn message(&mut self, message: &[u8]) {
        let Some(stream) = self.streams.first_mut() else { return };
        let ts_sent = stream.decoder.time_of(message).unwrap_or_default();
        let sequence = stream.channel.next_sequence();
        let times = Packet { ts_recv: ts_sent, ts_sent, ts_worker: 0 };
        self.router.begin_packet(stream.number, sequence, times);
        stream.message(message, sequence, &mut self.counters, &mut self.router);
    }

    /// What has been counted so far.
    pub fn counters(&self) -> WorkerCounters {
        self.counters
    }

    /// What each channel has counted.
    pub fn channels(&self) -> impl Iterator<Item = ChannelReport> {
        self.streams.iter().map(|stream| ChannelReport {
            number: stream.number,
            state: stream.channel.state(),
            channel: stream.channel.counters(),
            decoder: stream.decoder.counters(),
        })
    }

    /// True once the session of every channel has ended.
    pub fn all_ended(&self) -> bool {
        self.streams.iter().all(|stream| stream.has_ended)
    }

    /// Ends the worker; the mailboxes are in the order of their shards.
    pub fn into_mailboxes(self) -> impl Iterator<Item = M> {
        self.router.into_mailboxes()
    }
}

impl Stream {
    fn new(spec: &ChannelSpec, instruments_max: usize) -> Result<Self, jiff::Error> {
        let limits = Limits { instruments: instruments_max };
        let mut decoder = Decoder::new(spec.protocol, spec.number, limits);
        let day = match (spec.protocol, spec.date) {
            (Protocol::Itch50, Some(date)) => {
                decoder.set_midnight(VenueDay::eastern_midnight(date)?);
                None
            }
            (Protocol::Itch50, None) => Some(VenueDay::eastern()?),
            (Protocol::IexDeep | Protocol::IexTops, _) => None,
        };
        let (number, protocol) = (spec.number, spec.protocol);
        Ok(Self { number, protocol, channel: Channel::new(), decoder, day, has_ended: false })
    }

    fn arrive(&mut self, packet: &TransportPacket<'_>) -> Option<Verdict> {
        self.channel.arrive(&Arrival {
            session: packet.session,
            sequence: packet.sequence,
            message_count: packet.count,
        })
    }

    /// Tells the books what the channel's verdict says of them.
    fn announce(&self, verdict: &Verdict, packet: &TransportPacket<'_>, out: &mut impl EventSink) {
        let header = EventHeader {
            channel: self.number,
            flags: LAST,
            instrument_id: ALL_INSTRUMENTS,
            sequence: packet.sequence,
            ts_event: packet.ts_sent,
        };
        if verdict.clear {
            out.event(&Event { header, body: VenueEvent::Clear });
        }
        if let Some(state) = verdict.state {
            out.event(&Event { header, body: VenueEvent::State(state) });
        }
    }

    /// Follows the venue's midnight, where its times count from one.
    #[inline]
    fn turn_day(&mut self, ts_recv: UnixNanos) {
        if let Some(midnight) = self.day.as_mut().and_then(|day| day.new_midnight(ts_recv)) {
            self.decoder.set_midnight(midnight);
        }
    }

    fn decode(
        &mut self,
        packet: &TransportPacket<'_>,
        skip: u16,
        counters: &mut WorkerCounters,
        out: &mut impl EventSink,
    ) {
        let mut sequence = packet.sequence;
        for block in packet.blocks {
            let Ok(message) = block else {
                counters.malformed_packets += 1;
                break;
            };
            let is_new = sequence - packet.sequence >= u64::from(skip);
            if is_new && !self.message(message, sequence, counters, out) {
                break;
            }
            sequence = sequence.saturating_add(1);
        }
    }

    /// Decodes the channel's next message; false where it is malformed and ends its packet.
    #[inline]
    fn message(
        &mut self,
        message: &[u8],
        sequence: u64,
        counters: &mut WorkerCounters,
        out: &mut impl EventSink,
    ) -> bool {
        match self.decoder.decode(message, sequence, out) {
            Decoded::Known => {}
            Decoded::Unknown => counters.unknown_messages += 1,
            Decoded::OverLimit => counters.over_limit_messages += 1,
            Decoded::Malformed => {
                counters.malformed_packets += 1;
                return false;
            }
        }
        counters.messages += 1;
        self.channel.applied(1);
        true
    }
}
