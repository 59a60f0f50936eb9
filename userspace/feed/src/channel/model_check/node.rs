//! The channel between its lines and servers and its books, one action at a time.

use super::{MESSAGES_END, Network, PACKETS, SESSION, STRANGE_SESSION};
use crate::channel::Channel;
use crate::guard::Guards;
use crate::machine::State;
use crate::packet::{Applied, Packet, Sink, Source};
use crate::policy::{Doubtfulness, Policy, RetransmitPolicy, SnapshotPolicy};
use std::hash::{Hash, Hasher};
use std::ops::Range;
use wirebook_model::BookState;

/// How often each thing may go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Faults {
    pub(super) duplicates: u8,
    pub(super) short_packets: u8,
    pub(super) heartbeats: u8,
    pub(super) answers: u8,
    pub(super) snapshots: u8,
    pub(super) strange_packets: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Tick,
    Deliver { line: usize, packet: usize, keeps_copy: bool, is_short: bool },
    Heartbeat,
    Answer { first: u64, end: u64 },
    RetransmitFails,
    SnapshotBegins,
    SnapshotEnds { sequence: u64 },
    StrangePacket,
}

/// The channel, its books, and what is still on the way to it.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) channel: Channel<u8>,
    pub(super) world: World,
}

#[derive(Clone, Debug)]
pub(super) struct World {
    pub(super) left: Faults,
    pub(super) now: u64,
    /// Packets of each line that are on their way, as bits.
    pub(super) in_flight: [u8; 2],
    pub(super) asked: Option<(u64, u64)>,
    pub(super) books: Books,
    /// Since when the channel has waited for this message.
    pub(super) stuck: Option<(u64, u64)>,
    /// The channel has followed the real session.
    pub(super) has_begun: bool,
    pub(super) outcome: Outcome,
}

/// What has helped so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Outcome {
    pub(super) was_retransmitted: bool,
    pub(super) was_snapshot: bool,
}

/// A book that is the set of its messages.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Books {
    pub(super) messages: u64,
    pub(super) last: u64,
    pub(super) state: BookState,
    /// Messages of a snapshot are being applied.
    pub(super) is_loading: bool,
    pub(super) is_broken: bool,
}

struct Appliance<'a> {
    books: &'a mut Books,
    asked: &'a mut Option<(u64, u64)>,
}

impl Sink<u8> for Appliance<'_> {
    fn apply(&mut self, packet: &Packet<'_, u8>, skip: u16) -> Applied {
        let [whole, held] = [0, 1].map(|index| u16::from(packet.bytes[index]));
        let whole = whole.max(skip);
        for index in skip..whole {
            let sequence = packet.sequence + u64::from(index);
            let is_mixed = self.books.is_loading && self.books.state != BookState::Stale;
            self.books.is_broken |= sequence <= self.books.last || is_mixed;
            self.books.last = sequence;
            self.books.messages |= 1 << sequence;
        }
        Applied { messages: whole - skip, held }
    }

    fn books_are(&mut self, state: BookState, _sequence: u64) {
        self.books.state = state;
    }

    fn clear_books(&mut self, sequence: u64) {
        self.books.messages = 0;
        self.books.last = sequence - 1;
    }

    fn request_retransmit(&mut self, _session: u8, messages: Range<u64>) {
        *self.asked = Some((messages.start, messages.end));
    }

    fn request_snapshot(&mut self, _session: u8, _sequence: u64) {}

    fn end_recovery(&mut self) {}
}

/// Every message before `sequence`.
pub(super) fn before(sequence: u64) -> u64 {
    (1 << sequence) - 2
}

impl Node {
    pub(super) fn new(network: &Network) -> Self {
        let policy = Policy {
            reorder_wait_ns: 1,
            window: network.window,
            retransmit: Some(RetransmitPolicy { deadline_ns: 1, messages_max: 100 }),
            snapshot: Some(SnapshotPolicy { deadline_ns: 1, retry_after_ns: Some(1) }),
            doubt: Doubtfulness { packets: 3, silence_ns: 100, jump_messages: 100 },
            arrivals: 1,
            ..Policy::default()
        };
        let mut channel = Channel::new(policy);
        channel.guards = Guards { removed: network.removed };
        let books = Books {
            messages: 0,
            last: 0,
            state: BookState::Warming,
            is_loading: false,
            is_broken: false,
        };
        let world = World {
            left: network.faults,
            now: 1,
            in_flight: [0b111; 2],
            asked: None,
            books,
            stuck: None,
            has_begun: false,
            outcome: Outcome::default(),
        };
        Self { channel, world }
    }

    pub(super) fn act(&mut self, action: Action) {
        let Self { channel, world } = self;
        let World { left, now, asked, books, .. } = world;
        let sink = &mut Appliance { books, asked };
        match action {
            Action::Tick => {
                *now += 1;
                channel.tick(*now, sink);
            }
            Action::Deliver { line, packet, keeps_copy, is_short } => {
                left.duplicates -= u8::from(keeps_copy);
                left.short_packets -= u8::from(is_short);
                if !keeps_copy {
                    world.in_flight[line] &= !(1 << packet);
                }
                let (sequence, message_count) = PACKETS[line][packet];
                let whole = message_count as u8 - u8::from(is_short);
                // Line A's short packets are cut, line B's end with a message that is malformed.
                let bytes = [whole, if line == 0 { whole } else { message_count as u8 }];
                let packet = one(SESSION, sequence, message_count, &bytes);
                channel.arrive(Source::Line(line as u8), &packet, *now, sink);
            }
            Action::Heartbeat => {
                left.heartbeats -= 1;
                let packet = one(SESSION, MESSAGES_END, 0, &[0; 2]);
                channel.arrive(Source::Line(0), &packet, *now, sink);
            }
            Action::Answer { first, end } => {
                left.answers -= 1;
                let count = (end - first) as u16;
                let before = channel.counters().retransmitted_messages;
                let bytes = [count as u8; 2];
                let packet = one(SESSION, first, count, &bytes);
                channel.arrive(Source::Retransmit, &packet, *now, sink);
                world.outcome.was_retransmitted |=
                    channel.counters().retransmitted_messages > before;
            }
            Action::RetransmitFails => {
                left.answers -= 1;
                let range = sink.asked.map_or(0..0, |(first, end)| first..end);
                channel.retransmit_failed(SESSION, range, *now, sink);
            }
            Action::SnapshotBegins => {
                left.snapshots -= 1;
                channel.snapshot_begins(SESSION, sink);
            }
            Action::SnapshotEnds { sequence } => {
                if channel.takes_snapshot() {
                    sink.books.messages |= before(sequence);
                    sink.books.is_loading = false;
                }
                world.outcome.was_snapshot |= channel.snapshot_ends(SESSION, sequence, *now, sink);
            }
            Action::StrangePacket => {
                left.strange_packets -= 1;
                let packet = one(STRANGE_SESSION, 1, 1, &[1; 2]);
                channel.arrive(Source::Line(0), &packet, *now, sink);
            }
        }
        self.world.books.is_loading = self.channel.takes_snapshot();
        self.world.has_begun |= self.channel.session() == Some(SESSION);
        self.look_at_the_clock();
    }

    fn look_at_the_clock(&mut self) {
        let next = self.channel.next_sequence();
        let is_waiting = matches!(self.channel.state(), State::Gapped | State::Recovering(_));
        self.world.stuck = match self.world.stuck {
            Some((sequence, since)) if is_waiting && sequence == next => Some((sequence, since)),
            _ => is_waiting.then_some((next, self.world.now)),
        };
    }

    /// What decides what comes next: no counters, and of the time only what is not long past.
    fn essence(&self) -> impl Eq + Hash + use<> {
        let Self { channel, world } = self;
        let age = |then: u64| (world.now - then).min(super::LIMIT_TICKS + 1);
        let held: Vec<_> = channel
            .window
            .contents()
            .map(|(sequence, message_count, noticed_ns)| (sequence, message_count, age(noticed_ns)))
            .collect();
        let known = (channel.known_end > channel.next).then(|| age(channel.known_ns));
        (
            (channel.state, age(channel.entered_ns), channel.trust, channel.books, channel.next),
            (channel.known_end, known, channel.ask_from, channel.asked_end),
            (held, channel.window.extents(), channel.start, age(channel.loaded_ns)),
            (channel.snapshot_is_open, channel.session(), channel.doubt.suspects()),
            (world.left, world.in_flight, world.asked, world.books.clone()),
            (
                world.stuck.map(|(sequence, since)| (sequence, age(since))),
                world.has_begun,
                world.outcome,
            ),
        )
    }
}

fn one(session: u8, sequence: u64, message_count: u16, bytes: &[u8]) -> Packet<'_, u8> {
    Packet { session, sequence, message_count, ends_session: false, ts_recv: 0, bytes }
}

impl PartialEq for Node {
    fn eq(&self, other: &Self) -> bool {
        self.essence() == other.essence()
    }
}

impl Hash for Node {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.essence().hash(state);
    }
}
