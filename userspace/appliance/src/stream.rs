//! One channel as its worker decodes it.
//!
//! Arrives: packets of the channel's lines, answers of its recovery, and the time. Leaves: the
//! events of every message, once and in order, through the router. [`Channel`] decides which
//! messages are next; the decoder says what they mean; here one is the other's sink.
//!
//! Promises: what a snapshot brings carries `F_SNAPSHOT`; a request that the recovery thread has
//! no room for is asked again at the next tick; a packet that says more messages than it holds is
//! believed as far as it holds them, and counted once. Counts in [`WorkerCounters`] and in the channel.

use crate::clock::VenueDay;
use crate::lines::ChannelSpec;
use crate::recovery::link::{Answer, Request, WorkerEnd};
use crate::repair::{FAILED, PUT_OFF};
use crate::report::{ChannelReport, LineReport};
use crate::router::{Mailbox, Router};
use crate::worker::WorkerCounters;
use std::ops::Range;
use wirebook_feed::{Applied, Channel, Packet, Sink, Source, State};
use wirebook_model::dbn::flags::{LAST, SNAPSHOT};
use wirebook_model::{
    ALL_INSTRUMENTS, BookState, Event, EventHeader, EventSink, Packet as Times, UnixNanos,
    VenueEvent,
};
use wirebook_telemetry::{HistogramCollector, StageHistogram};
use wirebook_wire::{Decoded, Decoder, Limits, PacketKind, Protocol, Session, TransportPacket};

/// Answers of the recovery thread that are taken in one cycle.
const ANSWERS_A_CYCLE: usize = 64;

/// How arbitration and healing went, in time.
pub struct StreamHistograms {
    healing: StageHistogram,
    first_line_leads: StageHistogram,
    other_line_leads: StageHistogram,
}

impl StreamHistograms {
    /// Recorders in a collector.
    pub fn new(collector: &mut HistogramCollector) -> Self {
        Self {
            healing: collector.recorder("gap→live"),
            first_line_leads: collector.recorder("A before B"),
            other_line_leads: collector.recorder("B before A"),
        }
    }

    /// Hands over what has been recorded where it is asked for.
    pub fn hand_over(&mut self) {
        self.healing.hand_over();
        self.first_line_leads.hand_over();
        self.other_line_leads.hand_over();
    }
}

/// What all streams of a worker write to.
pub struct Outlet<'a, M> {
    /// Where events go.
    pub router: &'a mut Router<M>,
    /// What is counted.
    pub counters: &'a mut WorkerCounters,
    /// What is timed.
    pub histograms: &'a mut StreamHistograms,
    /// When the worker began with what it is at; 0 in a replay.
    pub ts_worker: UnixNanos,
    /// The time: the worker's, or the last packet's in a replay.
    pub now: UnixNanos,
}

/// One channel: its order, its decoder and its recovery.
pub struct Stream {
    channel: Channel<Session>,
    reader: Reader,
    line_count: u8,
    has_snapshots: bool,
}

/// Everything but the order: what the channel's decisions act on.
struct Reader {
    number: u8,
    protocol: Protocol,
    decoder: Decoder,
    day: Option<VenueDay>,
    recovery: Option<WorkerEnd>,
    /// A request for which the recovery thread had no room.
    unasked: Option<Request>,
    /// The one instrument whose book a snapshot is loaded for, while the channel goes on.
    repair: Option<u32>,
}

impl Stream {
    /// A channel of which nothing has arrived.
    ///
    /// # Errors
    /// Fails where the time zone of its timestamps is unknown to this host.
    pub fn new(
        spec: &ChannelSpec,
        recovery: Option<WorkerEnd>,
        instruments_max: usize,
    ) -> Result<Self, jiff::Error> {
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
        let reader =
            Reader { number, protocol, decoder, day, recovery, unasked: None, repair: None };
        Ok(Self {
            channel: Channel::new(spec.policy),
            reader,
            line_count: spec.policy.lines,
            has_snapshots: spec.policy.snapshot.is_some(),
        })
    }

    /// Takes the payload of a packet.
    #[inline]
    pub fn payload<M: Mailbox>(
        &mut self,
        source: Source,
        payload: &[u8],
        ts_recv: UnixNanos,
        now: UnixNanos,
        out: &mut Outlet<'_, M>,
    ) {
        let Ok(packet) = TransportPacket::parse(self.reader.protocol.transport(), payload) else {
            out.counters.malformed_packets += 1;
            return;
        };
        match packet.kind {
            PacketKind::Messages => {}
            PacketKind::Heartbeat => out.counters.heartbeats += 1,
            PacketKind::EndOfSession => out.counters.ends_of_session += 1,
        }
        let mut message_count = packet.count;
        if packet.sequence > self.channel.next_sequence() {
            // It may have to wait, and what waits must be whole: another line's whole copy is no
            // duplicate of half a packet. One in order is walked only once, when it is applied.
            let whole = packet.blocks.take_while(Result::is_ok).count();
            if whole < usize::from(packet.count) {
                out.counters.malformed_packets += 1;
                if whole == 0 {
                    return;
                }
                message_count = whole as u16;
            }
        }
        let arrived = Packet {
            session: packet.session,
            sequence: packet.sequence,
            message_count,
            ends_session: packet.kind == PacketKind::EndOfSession,
            ts_recv,
            bytes: payload,
        };
        let parsed = Some(Parsed { payload, packet: &packet });
        let apply = &mut Apply { reader: &mut self.reader, parsed, out };
        self.channel.arrive(source, &arrived, now, apply);
    }

    /// Lets time pass, and takes what the recovery thread has brought; true where it had.
    #[inline]
    pub fn tick<M: Mailbox>(&mut self, now: UnixNanos, out: &mut Outlet<'_, M>) -> bool {
        let mut found = false;
        if self.reader.recovery.is_some() {
            found = self.take_answers(now, out);
        }
        self.channel.tick(now, &mut Apply { reader: &mut self.reader, parsed: None, out });
        found
    }

    /// Fills a book that its shard lost, or all of them, from the venue's snapshot. Of one book that
    /// this cannot be done, or not now, the shard is told.
    #[cold]
    pub fn repair<M: Mailbox>(&mut self, instrument_id: u32, out: &mut Outlet<'_, M>) {
        let next = self.channel.next_sequence();
        let apply = &mut Apply { reader: &mut self.reader, parsed: None, out };
        let is_possible = self.has_snapshots && apply.reader.recovery.is_some();
        match (is_possible, instrument_id) {
            // Other shards' books are whole, and nothing would bring them back.
            (false, ALL_INSTRUMENTS) => {}
            (false, _) => apply.tell_book(instrument_id, next, FAILED, 0),
            (true, ALL_INSTRUMENTS) => self.channel.books_lost(apply.out.now, apply),
            (true, _) => match self.channel.session() {
                Some(session)
                    if apply.reader.repair.is_none_or(|of| of == instrument_id)
                        && self.channel.state() == State::Live =>
                {
                    // Asked again, it has waited for longer than a snapshot takes.
                    if apply.reader.repair.is_some() {
                        apply.end_repair();
                    }
                    apply.reader.repair = Some(instrument_id);
                    apply.reader.ask(Request::Snapshot { session, sequence: next });
                }
                _ => apply.tell_book(instrument_id, next, PUT_OFF, 0),
            },
        }
    }

    /// Takes the next message of a file that has no packets: in order, received when it was sent.
    pub fn message<M: Mailbox>(&mut self, message: &[u8], sequence: u64, out: &mut Outlet<'_, M>) {
        let ts_sent = self.reader.decoder.time_of(message).unwrap_or_default();
        let times = Times { ts_recv: ts_sent, ts_sent, ts_worker: 0 };
        out.router.begin_packet(self.reader.number, sequence, times);
        self.reader.message(message, sequence, 0, out);
    }

    /// The session is over, and everything in it was applied or given up.
    pub fn has_ended(&self) -> bool {
        self.channel.has_ended()
    }

    /// What has been counted.
    pub fn report(&self) -> ChannelReport {
        let line = |number| LineReport::new(number, self.channel.line(number).unwrap_or_default());
        ChannelReport {
            number: self.reader.number,
            state: self.channel.books(),
            channel: self.channel.counters(),
            decoder: self.reader.decoder.counters(),
            lines: (0..self.line_count).map(line).collect(),
        }
    }

    fn take_answers<M: Mailbox>(&mut self, now: UnixNanos, out: &mut Outlet<'_, M>) -> bool {
        if let Some(request) = self.reader.unasked.take() {
            self.reader.ask(request);
        }
        for taken in 0..ANSWERS_A_CYCLE {
            let Some(answer) = self.reader.recovery.as_mut().and_then(WorkerEnd::take) else {
                return taken > 0;
            };
            self.answer(&answer, now, out);
        }
        true
    }

    #[cold]
    fn answer<M: Mailbox>(&mut self, answer: &Answer, now: UnixNanos, out: &mut Outlet<'_, M>) {
        if let Answer::Packet(buffer) = answer {
            return self.payload(Source::Retransmit, buffer.bytes(), now, now, out);
        }
        let Self { channel, reader, .. } = self;
        let apply = &mut Apply { reader, parsed: None, out };
        if let Some(instrument_id) = apply.reader.repair {
            return apply.repair(instrument_id, answer, channel.next_sequence(), now);
        }
        match answer {
            Answer::Packet(_) => {}
            Answer::RetransmitFailed { session, messages } => {
                channel.retransmit_failed(*session, messages.clone(), now, apply);
            }
            Answer::SnapshotBegins { session } => {
                channel.snapshot_begins(*session, apply);
            }
            Answer::SnapshotMessages(batch) => {
                if channel.takes_snapshot() {
                    apply.snapshot_messages(batch.messages(), now);
                }
            }
            Answer::SnapshotEnds { session, sequence } => {
                channel.snapshot_ends(*session, *sequence, now, apply);
            }
            Answer::SnapshotFailed { session, .. } => {
                channel.snapshot_failed(*session, now, apply);
            }
        }
    }
}

impl Reader {
    /// Decodes a message; false where it is malformed.
    #[inline]
    fn message<M: Mailbox>(
        &mut self,
        message: &[u8],
        sequence: u64,
        flags: u8,
        out: &mut Outlet<'_, M>,
    ) -> bool {
        let decoded = if flags == 0 {
            self.decoder.decode(message, sequence, out.router)
        } else {
            self.decoder.decode(message, sequence, &mut Flagged { flags, out: out.router })
        };
        match decoded {
            Decoded::Known => {}
            Decoded::Unknown => out.counters.unknown_messages += 1,
            Decoded::OverLimit => out.counters.over_limit_messages += 1,
            Decoded::Malformed => {
                out.counters.malformed_packets += 1;
                return false;
            }
        }
        out.counters.messages += 1;
        true
    }

    #[cold]
    fn ask(&mut self, request: Request) {
        if let Some(recovery) = &mut self.recovery
            && recovery.request(request.clone()).is_err()
        {
            self.unasked = Some(request);
        }
    }

    /// Follows the venue's midnight, where its times count from one.
    #[inline]
    fn turn_day(&mut self, ts_recv: UnixNanos) {
        if let Some(midnight) = self.day.as_mut().and_then(|day| day.new_midnight(ts_recv)) {
            self.decoder.set_midnight(midnight);
        }
    }
}

/// A payload and what it says.
#[derive(Clone, Copy)]
struct Parsed<'a> {
    payload: &'a [u8],
    packet: &'a TransportPacket<'a>,
}

/// Does what the channel decides.
struct Apply<'a, 'o, M> {
    reader: &'a mut Reader,
    /// The packet that has just arrived.
    parsed: Option<Parsed<'a>>,
    out: &'a mut Outlet<'o, M>,
}

impl<M: Mailbox> Apply<'_, '_, M> {
    #[inline]
    fn begin_packet(&mut self, sequence: u64, ts_recv: UnixNanos, ts_sent: UnixNanos) {
        let times = Times { ts_recv, ts_sent, ts_worker: self.out.ts_worker };
        self.out.router.begin_packet(self.reader.number, sequence, times);
        self.reader.turn_day(ts_recv);
    }

    /// A packet that waited: only its bytes were kept.
    #[cold]
    fn apply_waited(&mut self, packet: &Packet<'_, Session>, skip: u16) -> Applied {
        match TransportPacket::parse(self.reader.protocol.transport(), packet.bytes) {
            Ok(parsed) => self.apply_parsed(packet, skip, &parsed),
            Err(_) => Applied { messages: 0, held: packet.message_count },
        }
    }

    #[inline]
    fn apply_parsed(
        &mut self,
        packet: &Packet<'_, Session>,
        skip: u16,
        parsed: &TransportPacket<'_>,
    ) -> Applied {
        self.begin_packet(packet.sequence, packet.ts_recv, parsed.ts_sent);
        let mut blocks = parsed.blocks;
        let cut_before = packet.message_count < parsed.count;
        let mut index = 0;
        let mut messages = 0;
        while let Some(block) = blocks.next() {
            if cut_before && index == packet.message_count {
                // Counted as malformed when it arrived.
                break;
            }
            let Ok(message) = block else {
                self.out.counters.malformed_packets += 1;
                break;
            };
            index += 1;
            if index <= skip {
                continue;
            }
            let sequence = packet.sequence.saturating_add(u64::from(index - 1));
            if !self.reader.message(message, sequence, 0, self.out) {
                // What follows is there all the same, as far as it is whole.
                let after = blocks.take_while(Result::is_ok).count() as u16;
                return Applied { messages, held: index + after };
            }
            messages += 1;
        }
        Applied { messages, held: index }
    }

    /// What a channel finds out comes in no packet: the books hear of it as received now.
    fn tell_books(&mut self, sequence: u64, body: VenueEvent) {
        self.begin_packet(sequence, self.out.now, 0);
        let header = EventHeader {
            channel: self.reader.number,
            flags: LAST,
            instrument_id: ALL_INSTRUMENTS,
            sequence,
            ts_event: 0,
        };
        self.out.router.event(&Event { header, body });
    }

    /// Tells one book's shard something that no packet said.
    fn tell_book(&mut self, instrument_id: u32, sequence: u64, body: VenueEvent, flags: u8) {
        self.begin_packet(sequence, self.out.now, 0);
        let channel = self.reader.number;
        let flags = flags | LAST;
        let header = EventHeader { channel, flags, instrument_id, sequence, ts_event: 0 };
        self.out.router.event(&Event { header, body });
    }

    /// Fills one book from a snapshot, while the channel is live.
    #[cold]
    fn repair(&mut self, instrument_id: u32, answer: &Answer, next: u64, now: UnixNanos) {
        match answer {
            Answer::Packet(_) | Answer::RetransmitFailed { .. } => {}
            Answer::SnapshotBegins { .. } => {
                self.tell_book(instrument_id, next, VenueEvent::Clear, SNAPSHOT);
            }
            Answer::SnapshotMessages(batch) => {
                self.begin_packet(0, now, 0);
                for message in batch.messages() {
                    let of_one = &mut OneInstrument { instrument_id, out: self.out.router };
                    // What is odd in a message was counted when the lines brought it.
                    let _ = self.reader.decoder.decode(message, 0, of_one);
                }
            }
            Answer::SnapshotEnds { sequence, .. } => {
                self.end_repair();
                let live = VenueEvent::State(BookState::Live);
                self.tell_book(instrument_id, *sequence, live, 0);
            }
            Answer::SnapshotFailed { .. } => {
                self.end_repair();
                self.tell_book(instrument_id, next, FAILED, 0);
            }
        }
    }

    /// The link to the recovery thread is free for the channel itself.
    fn end_repair(&mut self) {
        self.reader.repair = None;
        self.reader.unasked = None;
        if let Some(recovery) = &mut self.reader.recovery {
            recovery.end();
        }
    }

    /// The channel is not live any more, or follows another session, and needs the link itself: a
    /// repair under way is called off.
    fn call_off_repair(&mut self, sequence: u64) {
        if let Some(instrument_id) = self.reader.repair {
            self.end_repair();
            self.tell_book(instrument_id, sequence, PUT_OFF, 0);
        }
    }

    /// A snapshot's messages have no sequence in the channel; its end names the one they reach.
    fn snapshot_messages<'m>(&mut self, messages: impl Iterator<Item = &'m [u8]>, now: UnixNanos) {
        self.begin_packet(0, now, 0);
        for message in messages {
            self.reader.message(message, 0, SNAPSHOT, self.out);
        }
    }
}

impl<M: Mailbox> Sink<Session> for Apply<'_, '_, M> {
    #[inline]
    fn apply(&mut self, packet: &Packet<'_, Session>, skip: u16) -> Applied {
        match self.parsed {
            Some(parsed) if std::ptr::eq(parsed.payload, packet.bytes) => {
                self.apply_parsed(packet, skip, parsed.packet)
            }
            _ => self.apply_waited(packet, skip),
        }
    }

    fn books_are(&mut self, state: BookState, sequence: u64) {
        if state != BookState::Live {
            self.call_off_repair(sequence);
        }
        self.tell_books(sequence, VenueEvent::State(state));
    }

    fn clear_books(&mut self, sequence: u64) {
        self.call_off_repair(sequence);
        self.tell_books(sequence, VenueEvent::Clear);
    }

    fn request_retransmit(&mut self, session: Session, messages: Range<u64>) {
        self.reader.ask(Request::Retransmit { session, messages });
    }

    fn request_snapshot(&mut self, session: Session, sequence: u64) {
        self.reader.ask(Request::Snapshot { session, sequence });
    }

    fn end_recovery(&mut self) {
        self.reader.unasked = None;
        if let Some(recovery) = &mut self.reader.recovery {
            recovery.end();
        }
    }

    fn line_led(&mut self, line: u8, _behind: u8, lead_ns: u64) {
        match line {
            0 => self.out.histograms.first_line_leads.record(lead_ns),
            _ => self.out.histograms.other_line_leads.record(lead_ns),
        }
    }

    fn healed(&mut self, healing_ns: u64) {
        self.out.histograms.healing.record(healing_ns);
    }
}

/// Adds flags to every event.
struct Flagged<'a, S> {
    flags: u8,
    out: &'a mut S,
}

impl<S: EventSink> EventSink for Flagged<'_, S> {
    fn event(&mut self, event: &Event) {
        let header = EventHeader { flags: event.header.flags | self.flags, ..event.header };
        self.out.event(&Event { header, body: event.body });
    }
}

/// The events of one instrument of a snapshot.
struct OneInstrument<'a, S> {
    instrument_id: u32,
    out: &'a mut S,
}

impl<S: EventSink> EventSink for OneInstrument<'_, S> {
    fn event(&mut self, event: &Event) {
        if event.header.instrument_id == self.instrument_id {
            Flagged { flags: SNAPSHOT, out: self.out }.event(event);
        }
    }
}
