//! Everything in one loop: the next thing that happens, happens.

use crate::books::{Receiver, SessionName, Wish};
use crate::receiver::{Brought, Connection};
use crate::scenario::{DURATION_NS, Scenario};
use std::collections::BTreeMap;
use std::ops::AddAssign;
use wirebook_feed::{
    Channel, Packet as FeedPacket, Policy, RetransmitPolicy, Retransmitter, RetransmitterPolicy,
    SnapshotPolicy, Source, State, Task, WindowLimits,
};
use wirebook_model::BookState;
use wirebook_simulator::{
    Exchange, Faults, Market, Model, Packet, PacketConfig, Packets, RetransmitConfig,
    RetransmitServer,
};
use wirebook_wire::moldudp64::Request;
use wirebook_wire::{PacketKind, Session, Transport, TransportPacket};

const MILLISECOND_NS: u64 = 1_000_000;
/// Between the end of one session and the beginning of the next.
const BETWEEN_SESSIONS_NS: u64 = 100 * MILLISECOND_NS;
/// How often the receiver looks at the time.
const TICK_NS: u64 = MILLISECOND_NS / 2;
/// The exchange says the end of its last session so often, at this distance, and the last times
/// undisturbed: who has heard nothing of a session cannot know that there is one.
const LAST_ENDS: u64 = 12;
const UNDISTURBED_ENDS: u64 = 4;
const LAST_END_NS: u64 = 50 * MILLISECOND_NS;
/// For so long after that a receiver may still recover.
const LAST_NS: u64 = 500 * MILLISECOND_NS;

/// What all runs came to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) comparisons: u64,
    pub(crate) ended_live: u64,
    pub(crate) ended_otherwise: u64,
    pub(crate) gaps: u64,
    pub(crate) retransmitted_messages: u64,
    pub(crate) snapshots: u64,
    pub(crate) refused_snapshots: u64,
    pub(crate) unasked_packets: u64,
    pub(crate) malformed_packets: u64,
    pub(crate) session_changes: u64,
    pub(crate) healing_ns: Vec<u64>,
}

impl AddAssign for Outcome {
    fn add_assign(&mut self, other: Self) {
        self.comparisons += other.comparisons;
        self.ended_live += other.ended_live;
        self.ended_otherwise += other.ended_otherwise;
        self.gaps += other.gaps;
        self.retransmitted_messages += other.retransmitted_messages;
        self.snapshots += other.snapshots;
        self.refused_snapshots += other.refused_snapshots;
        self.unasked_packets += other.unasked_packets;
        self.malformed_packets += other.malformed_packets;
        self.session_changes += other.session_changes;
        self.healing_ns.extend(other.healing_ns);
    }
}

impl Outcome {
    /// True where the runs met every kind of trouble and got over it: otherwise they prove little.
    pub(crate) fn is_varied(&self, seeds: u64) -> bool {
        let counts = [
            self.ended_live,
            self.ended_otherwise,
            self.gaps,
            self.retransmitted_messages,
            self.snapshots,
            self.refused_snapshots,
            self.malformed_packets,
            self.session_changes,
        ];
        counts.iter().all(|count| count * 100 > seeds)
    }

    pub(crate) fn print(&self, seeds: u64) {
        let mut healing_ns = self.healing_ns.clone();
        healing_ns.sort_unstable();
        let at = |part: usize| healing_ns.get((healing_ns.len().max(1) - 1) * part / 1_000);
        let ms = |part| at(part).map_or(0.0, |ns| *ns as f64 / 1e6);
        println!("{seeds} seeds, {} comparisons of all books", self.comparisons);
        println!("{} ended live, {} stale or healing", self.ended_live, self.ended_otherwise);
        println!(
            "{} gaps, {} messages retransmitted, {} snapshots ({} refused)",
            self.gaps, self.retransmitted_messages, self.snapshots, self.refused_snapshots
        );
        println!(
            "first packet behind a gap to live, ms: p50 {:.3}, p90 {:.3}, p99 {:.3}, max {:.3}",
            ms(500),
            ms(900),
            ms(990),
            ms(1_000)
        );
    }
}

/// One run.
pub(crate) struct World {
    scenario: Scenario,
    now_ns: u64,
    exchange: Exchange,
    /// The sessions that were, for a receiver that is behind.
    passed: Vec<Exchange>,
    faults: Faults,
    servers: Vec<RetransmitServer>,
    retransmitter: Retransmitter<SessionName>,
    /// Answers under way: the server and its datagram.
    answers: BTreeMap<(u64, u64), (usize, Vec<u8>)>,
    connection: Option<(SessionName, Connection)>,
    /// Messages of a snapshot that is not whole yet, where it is buffered.
    snapshot: Vec<Vec<u8>>,
    channel: Channel<SessionName>,
    receiver: Receiver,
    /// The exchange's books at the sequence that the receiver has reached.
    truth: Truth,
    /// What was compared last.
    compared: Option<(SessionName, u64, BookState)>,
    comparisons: u64,
    malformed_packets: u64,
    numbers: u64,
}

/// Books that follow the receiver.
#[derive(Default)]
struct Truth {
    session: SessionName,
    next: u64,
    model: Model,
}

impl Truth {
    fn advance(&mut self, exchange: &Exchange, next: u64) -> &Model {
        if self.session != exchange.session() || next < self.next {
            *self = Self { session: exchange.session(), next: 1, model: Model::default() };
        }
        while self.next < next {
            let message = exchange.message(self.next).expect("messages that were said");
            self.model.apply(message).unwrap();
            self.next += 1;
        }
        &self.model
    }
}

impl World {
    /// Runs a scenario to its end.
    pub(crate) fn run(scenario: Scenario) -> Outcome {
        let markets = scenario.markets.clone();
        let mut world = Self::new(scenario);
        let mut begins_ns = 0;
        for (number, market) in (0..).zip(markets) {
            world.exchange_session(number);
            let config = PacketConfig {
                session: name(number),
                messages_max: world.scenario.messages_a_packet,
                ends: world.scenario.ends,
                ..PacketConfig::default()
            };
            let mut packets = Packets::new(Market::new(market).unwrap(), config);
            for packet in packets.by_ref() {
                world.until(begins_ns + packet.offset_ns);
                world.send(&packet);
            }
            begins_ns += DURATION_NS + BETWEEN_SESSIONS_NS;
            if number + 1 == world.scenario.markets.len() as u64 {
                world.end(&packets);
            }
        }
        world.finish()
    }

    /// Another session begins; a receiver that is behind may still ask for the one before.
    fn exchange_session(&mut self, number: u64) {
        if self.exchange.session() != name(number) {
            let next = Exchange::new(name(number));
            self.passed.push(std::mem::replace(&mut self.exchange, next));
        }
    }

    /// The end of the last session, said until it is heard.
    fn end(&mut self, packets: &Packets) {
        for said in 1..=LAST_ENDS {
            self.until(self.now_ns + LAST_END_NS);
            let packet = packets.end_of_session(0);
            if said <= LAST_ENDS - UNDISTURBED_ENDS {
                self.send(&packet);
            } else {
                self.arrive(Source::Line(0), &packet.payload);
            }
        }
        self.until(self.now_ns + LAST_NS);
    }

    fn new(scenario: Scenario) -> Self {
        let retransmit = (!scenario.retransmit.is_empty())
            .then_some(RetransmitPolicy { deadline_ns: 30 * MILLISECOND_NS, messages_max: 200 });
        let snapshot = scenario.glimpse.map(|_| SnapshotPolicy {
            deadline_ns: 60 * MILLISECOND_NS,
            retry_after_ns: Some(20 * MILLISECOND_NS),
        });
        let policy = Policy {
            lines: scenario.lines.len() as u8,
            window: WindowLimits { packets: 128, bytes: 64 * 1024 },
            retransmit,
            snapshot,
            arrivals: 64,
            ..Policy::default()
        };
        let server = |(&fault, seed)| {
            RetransmitServer::new(RetransmitConfig { fault, seed, ..RetransmitConfig::default() })
        };
        let retransmitter = Retransmitter::new(RetransmitterPolicy {
            servers: scenario.retransmit.len(),
            request_messages_max: 50,
            answer_wait_ns: 8 * MILLISECOND_NS,
            back_off_ns: 50 * MILLISECOND_NS,
            deadline_ns: 30 * MILLISECOND_NS,
            ..RetransmitterPolicy::default()
        });
        Self {
            now_ns: 0,
            exchange: Exchange::new(name(0)),
            passed: Vec::new(),
            faults: Faults::new(scenario.seed, scenario.lines.iter().cloned()),
            servers: scenario.retransmit.iter().zip(1..).map(server).collect(),
            retransmitter,
            answers: BTreeMap::new(),
            connection: None,
            snapshot: Vec::new(),
            channel: Channel::new(policy),
            receiver: Receiver::new(),
            truth: Truth::default(),
            compared: None,
            comparisons: 0,
            malformed_packets: 0,
            numbers: 0,
            scenario,
        }
    }

    fn send(&mut self, packet: &Packet) {
        self.exchange.publish(packet).unwrap();
        self.faults.send(self.now_ns, &packet.payload);
    }

    /// Lets everything happen that is due before `end_ns`.
    fn until(&mut self, end_ns: u64) {
        loop {
            let tick_ns = self.now_ns / TICK_NS * TICK_NS + TICK_NS;
            let answer_ns =
                self.answers.first_key_value().map_or(u64::MAX, |((at_ns, _), _)| *at_ns);
            let due_ns = self.faults.next_due_ns().unwrap_or(u64::MAX);
            let next_ns = tick_ns.min(answer_ns).min(due_ns).max(self.now_ns);
            if next_ns >= end_ns {
                break;
            }
            self.now_ns = next_ns;
            while let Some(delivery) = self.faults.deliver(next_ns) {
                if next_ns >= self.scenario.starts_ns {
                    self.arrive(Source::Line(delivery.line as u8), &delivery.payload);
                }
            }
            while let Some(first) = self.answers.first_entry().filter(|e| e.key().0 <= next_ns) {
                let (server, payload) = first.remove();
                self.answered(server, &payload);
            }
            if next_ns == tick_ns {
                self.tick();
            }
        }
        self.now_ns = end_ns;
    }

    fn tick(&mut self) {
        self.channel.tick(self.now_ns, &mut self.receiver);
        self.wishes();
        if let Some((session, mut connection)) = self.connection.take() {
            let brought = connection.step(self.now_ns, &self.exchange);
            self.connection = Some((session, connection));
            for brought in brought {
                self.snapshot_brought(session, brought);
            }
            self.wishes();
        }
        self.compare();
    }

    /// A datagram for the channel. Its count is believed only as far as the packet holds it.
    fn arrive(&mut self, source: Source, payload: &[u8]) {
        let Some(packet) = self.read(payload) else { return };
        self.channel.arrive(source, &packet, self.now_ns, &mut self.receiver);
        self.wishes();
        self.compare();
    }

    fn read<'a>(&mut self, payload: &'a [u8]) -> Option<FeedPacket<'a, SessionName>> {
        let Ok(read) = TransportPacket::parse(Transport::MoldUdp64, payload) else {
            self.malformed_packets += 1;
            return None;
        };
        let Session::MoldUdp64(session) = read.session else { return None };
        let whole = read.blocks.map_while(Result::ok).count() as u16;
        if whole < read.count {
            self.malformed_packets += 1;
            if whole == 0 {
                return None;
            }
        }
        Some(FeedPacket {
            session,
            sequence: read.sequence,
            message_count: whole,
            ends_session: read.kind == PacketKind::EndOfSession,
            ts_recv: self.now_ns,
            bytes: payload,
        })
    }

    fn answered(&mut self, server: usize, payload: &[u8]) {
        let now_ns = self.now_ns;
        let Some(FeedPacket { session, sequence, message_count, .. }) = self.read(payload) else {
            return;
        };
        if self.retransmitter.answer(server, session, sequence, message_count, now_ns) {
            self.arrive(Source::Retransmit, payload);
        }
    }

    /// Does what the channel asked for.
    fn wishes(&mut self) {
        for wish in std::mem::take(&mut self.receiver.wishes) {
            match wish {
                Wish::Retransmit(session, messages) => {
                    self.retransmitter.want(session, messages, self.now_ns);
                }
                Wish::Snapshot(session) => {
                    self.retransmitter.cancel();
                    let fault = self.scenario.glimpse.expect("asked for only where there is one");
                    self.connection = Some((session, Connection::open(fault, self.now_ns)));
                }
                Wish::Nothing => {
                    self.retransmitter.cancel();
                    self.connection = None;
                    self.snapshot.clear();
                }
            }
        }
        while let Some(task) = self.retransmitter.poll(self.now_ns) {
            match task {
                Task::Send { server, session, first, message_count } => {
                    let request = Request { session, sequence: first, count: message_count };
                    self.ask(server, &request.encode());
                }
                Task::GiveUp { session, first, end } => {
                    let (now_ns, sink) = (self.now_ns, &mut self.receiver);
                    self.channel.retransmit_failed(session, first..end, now_ns, sink);
                    return self.wishes();
                }
            }
        }
    }

    fn ask(&mut self, server: usize, request: &[u8]) {
        let there_ns = self.now_ns + self.scenario.server_ns;
        for answer in self.servers[server].answer(there_ns, request, &self.exchange) {
            self.numbers += 1;
            let at_ns = answer.at_ns + self.scenario.server_ns;
            self.answers.insert((at_ns, self.numbers), (server, answer.payload));
        }
    }

    fn snapshot_brought(&mut self, session: SessionName, brought: Brought) {
        let (now_ns, is_buffered) = (self.now_ns, self.scenario.snapshot_is_buffered);
        let Self { channel, receiver, .. } = self;
        match brought {
            Brought::Begin if is_buffered => self.snapshot.clear(),
            Brought::Message(message) if is_buffered => self.snapshot.push(message),
            Brought::Begin => {
                channel.snapshot_begins(session, receiver);
            }
            Brought::Message(message) => {
                if channel.takes_snapshot() {
                    receiver.snapshot_message(&message);
                }
            }
            Brought::End(sequence) => {
                if is_buffered && channel.snapshot_begins(session, receiver) {
                    for message in std::mem::take(&mut self.snapshot) {
                        receiver.snapshot_message(&message);
                    }
                }
                channel.snapshot_ends(session, sequence, now_ns, receiver);
                self.connection = None;
            }
            Brought::Failed => {
                channel.snapshot_failed(session, now_ns, receiver);
                self.connection = None;
            }
        }
    }

    /// Books that say they are live must be the exchange's at the same sequence; and where the
    /// channel does not say so, no book may.
    fn compare(&mut self) {
        let (books, next) = (self.channel.books(), self.channel.next_sequence());
        let Some(session) = self.channel.session() else { return };
        if self.compared.replace((session, next, books)) == Some((session, next, books)) {
            return;
        }
        if books != BookState::Live {
            self.receiver.assert_not_live();
            return;
        }
        let mut sessions = self.passed.iter().chain([&self.exchange]);
        let exchange = sessions.find(|exchange| exchange.session() == session).unwrap();
        assert!(next <= exchange.next_sequence(), "messages that were never said");
        self.comparisons += 1;
        self.receiver.assert_books(self.truth.advance(exchange, next));
    }

    fn finish(mut self) -> Outcome {
        self.compared = None;
        self.compare();
        let is_whole = self.channel.next_sequence() == self.exchange.next_sequence()
            && self.channel.session() == Some(self.exchange.session());
        let is_live = self.channel.state() == State::Live && is_whole;
        if self.scenario.can_recover() {
            assert!(is_live, "an honest snapshot server, and yet {:?}", self.channel.state());
        }
        let counters = self.channel.counters();
        Outcome {
            comparisons: self.comparisons,
            ended_live: u64::from(is_live),
            ended_otherwise: u64::from(!is_live),
            gaps: counters.gaps,
            retransmitted_messages: counters.retransmitted_messages,
            snapshots: counters.snapshots,
            refused_snapshots: counters.refused_snapshots,
            unasked_packets: counters.unasked_packets,
            malformed_packets: self.malformed_packets,
            session_changes: counters.session_changes,
            healing_ns: self.receiver.healing_ns,
        }
    }
}

fn name(session: u64) -> SessionName {
    let mut name = *b"SESSION000";
    name[9] += session as u8;
    name
}
