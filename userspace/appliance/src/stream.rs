//! One channel as its worker decodes it.
//!
//! Arrives: packets of the channel's lines, answers of its recovery, and the time. Leaves: the
//! events of every message, once and in order, through the router. [`Channel`] decides which
//! messages are next; the decoder says what they mean; here one is the other's sink.
//!
//! Promises: what a snapshot brings carries `F_SNAPSHOT`; a request that the recovery thread has
//! no room for is asked again at the next tick; a packet that says more messages than it holds is
//! believed as far as it holds them, and counted once. Counts in [`WorkerCounters`] and in the channel.

mod apply;

use self::apply::{Apply, Flagged, Parsed};
use crate::clock::VenueDay;
use crate::lines::ChannelSpec;
use crate::recovery::link::{Answer, Request, WorkerEnd};
use crate::repair::{FAILED, PUT_OFF};
use crate::report::{ChannelReport, LineReport};
use crate::router::{Mailbox, Router};
use crate::samples::ChannelSample;
use crate::worker::WorkerCounters;
use wirebook_feed::{Channel, Packet, Policy, Sink, Source, State};
use wirebook_model::{ALL_INSTRUMENTS, BookState, Packet as Times, UnixNanos};
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
    /// Recorders that nobody collects from.
    pub fn unheard() -> Self {
        let [healing, first_line_leads, other_line_leads] =
            std::array::from_fn(|_| StageHistogram::unheard());
        Self { healing, first_line_leads, other_line_leads }
    }

    /// Recorders in a collector, for channels that are not told apart.
    pub fn new(collector: &mut HistogramCollector) -> Self {
        Self::with_labels(collector, ["", "", ""])
    }

    /// Recorders of one channel with these lines.
    pub fn of_channel(collector: &mut HistogramCollector, channel: &str, lines: &[String]) -> Self {
        let first = lines.first().map_or("", String::as_str);
        let other = match lines {
            [_, second] => second,
            _ => "others",
        };
        let channel = format!("channel=\"{channel}\"");
        let led_by = |line| format!("{channel},line=\"{line}\"");
        Self::with_labels(collector, [&channel, &led_by(first), &led_by(other)])
    }

    fn with_labels(collector: &mut HistogramCollector, labels: [&str; 3]) -> Self {
        Self {
            healing: collector.recorder_of("gap→live", labels[0]),
            first_line_leads: collector.recorder_of("A before B", labels[1]),
            other_line_leads: collector.recorder_of("B before A", labels[2]),
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

/// What changes of a channel that stays.
pub struct StreamUpdate {
    /// The channel's number.
    pub number: u8,
    /// How it waits from now on, and for how many lines.
    pub policy: Policy,
    /// Bit n: another line has place n.
    pub replaced_lines: u8,
    /// The link to other servers, or to none; absent, they stay.
    pub servers: Option<Option<WorkerEnd>>,
}

/// Everything but the order: what the channel's decisions act on.
struct Reader {
    number: u8,
    protocol: Protocol,
    decoder: Decoder,
    day: Option<VenueDay>,
    recovery: Option<WorkerEnd>,
    histograms: StreamHistograms,
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
        histograms: StreamHistograms,
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
        let (unasked, repair) = (None, None);
        let reader =
            Reader { number, protocol, decoder, day, recovery, histograms, unasked, repair };
        Ok(Self {
            channel: Channel::new(spec.policy),
            reader,
            line_count: spec.policy.lines,
            has_snapshots: spec.policy.snapshot.is_some(),
        })
    }

    /// The appliance's number for the channel.
    pub fn number(&self) -> u8 {
        self.reader.number
    }

    /// Keeps to what the channel is from now on, and to other servers where there are such; gives the
    /// link to those of before in their place. Nothing that is known of the channel is lost.
    pub fn update<M: Mailbox>(&mut self, update: &mut StreamUpdate, out: &mut Outlet<'_, M>) {
        let StreamUpdate { policy, replaced_lines, servers, .. } = update;
        self.channel.set_policy(*policy);
        self.line_count = policy.lines;
        self.has_snapshots = policy.snapshot.is_some();
        for line in (0..policy.lines).filter(|line| *replaced_lines >> line & 1 == 1) {
            self.channel.replace_line(line);
        }
        if let Some(servers) = servers {
            std::mem::swap(&mut self.reader.recovery, servers);
            let next = self.channel.next_sequence();
            let now = out.now;
            let apply = &mut Apply { reader: &mut self.reader, parsed: None, out };
            apply.call_off_repair(next);
            apply.reader.unasked = None;
            self.channel.servers_changed(now, apply);
        }
    }

    /// The channel is no longer received: its books are empty, and stale.
    pub fn retire<M: Mailbox>(&mut self, out: &mut Outlet<'_, M>) {
        let next = self.channel.next_sequence();
        let apply = &mut Apply { reader: &mut self.reader, parsed: None, out };
        apply.clear_books(next);
        apply.books_are(BookState::Stale, next);
        apply.end_recovery();
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
        let whole = self.reader.message(message, sequence, 0, out);
        out.counters.malformed_packets += u64::from(!whole);
    }

    /// Hands over what has been timed where it is asked for.
    pub fn hand_over(&mut self) {
        self.reader.histograms.hand_over();
    }

    /// The session is over, and everything in it was applied or given up.
    pub fn has_ended(&self) -> bool {
        self.channel.has_ended()
    }

    /// What has been counted, as plain numbers.
    pub fn sample(&self) -> ChannelSample {
        let line = |number: usize| self.channel.line(number as u8).unwrap_or_default();
        ChannelSample {
            state: self.channel.books(),
            next_sequence: self.channel.next_sequence(),
            channel: self.channel.counters(),
            decoder: self.reader.decoder.counters(),
            lines: std::array::from_fn(line),
        }
    }

    /// What has been counted.
    pub fn report(&self) -> ChannelReport {
        let ChannelSample { state, channel, decoder, lines, .. } = self.sample();
        let lines = (0..self.line_count).zip(lines);
        let lines = lines.map(|(number, counters)| LineReport::new(number, counters)).collect();
        ChannelReport { number: self.reader.number, state, channel, decoder, lines }
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
            Decoded::Malformed => return false,
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
