//! A channel under any schedule of packets, snapshots and failures, against a set of messages.
//!
//! Holds for any schedule: within a session every message is applied at most once and in order;
//! books that were told to be live hold every message before the next one and no other; what is
//! counted as applied was applied; and no gap waits beyond its deadlines.

use arbitrary::{Arbitrary, Unstructured};
use std::collections::BTreeSet;
use std::ops::Range;
use wirebook_feed::{
    Applied, Channel, Packet, Policy, RetransmitPolicy, Sink, SnapshotPolicy, Source, State,
    WindowLimits,
};
use wirebook_model::BookState;

const US: u64 = 1_000;
const REORDER_NS: u64 = 1_000 * US;
const RETRANSMIT_NS: u64 = 10_000 * US;
const SNAPSHOT_NS: u64 = 20_000 * US;
/// After so long without its session, a channel follows the one that it doubted.
const SILENCE_NS: u64 = 100_000 * US;
const TICK_NS: u64 = 500 * US;

/// One thing that happens.
#[derive(Arbitrary, Clone, Copy, Debug)]
struct Step {
    kind: u8,
    first: u8,
    count: u8,
    more: u8,
}

/// Length of a step.
pub(crate) const STEP_BYTES: usize = size_of::<Step>();

/// The first byte is the policy, then come steps.
pub(crate) fn schedule(data: &[u8]) {
    let Some((&policy, data)) = data.split_first() else { return };
    let mut network = Network::new(policy);
    let mut input = Unstructured::new(data);
    while input.len() >= STEP_BYTES
        && let Ok(step) = Step::arbitrary(&mut input)
    {
        network.take(step);
        network.check();
    }
    network.wait(policy);
}

struct Network {
    channel: Channel<u8>,
    books: Books,
    now_ns: u64,
}

impl Network {
    fn new(policy: u8) -> Self {
        let retransmit = RetransmitPolicy { deadline_ns: RETRANSMIT_NS, messages_max: 40 };
        let retry_after_ns = (policy & 4 != 0).then_some(30_000 * US);
        let snapshot = SnapshotPolicy { deadline_ns: SNAPSHOT_NS, retry_after_ns };
        let policy = Policy {
            reorder_wait_ns: REORDER_NS,
            window: WindowLimits {
                packets: if policy & 8 != 0 { 3 } else { 64 },
                bytes: if policy & 16 != 0 { 200 } else { 8_192 },
            },
            retransmit: (policy & 1 != 0).then_some(retransmit),
            snapshot: (policy & 2 != 0).then_some(snapshot),
            arrivals: 16,
            doubt: wirebook_feed::Doubtfulness {
                jump_messages: if policy & 32 != 0 { 50 } else { 1_000 },
                silence_ns: SILENCE_NS,
                ..Default::default()
            },
            ..Policy::default()
        };
        Self { channel: Channel::new(policy), books: Books::default(), now_ns: 1_000_000 * US }
    }

    fn take(&mut self, step: Step) {
        let first = u64::from(step.first);
        match step.kind % 16 {
            0..9 => self.packet(step),
            9 | 10 => {
                self.now_ns += first * 100 * US;
                self.channel.tick(self.now_ns, &mut self.books);
            }
            11 => {
                let messages = first..first + u64::from(step.count);
                let session = step.more % 3;
                self.channel.retransmit_failed(session, messages, self.now_ns, &mut self.books);
            }
            12 => {
                self.channel.snapshot_begins(step.more % 3, &mut self.books);
            }
            13 => self.snapshot_ends(step.more % 3, first),
            14 => self.channel.snapshot_failed(step.more % 3, self.now_ns, &mut self.books),
            // A shard that falls while a snapshot is open fails that too.
            _ if self.channel.takes_snapshot() => {}
            _ => {
                self.books.holds.clear();
                self.channel.books_lost(self.now_ns, &mut self.books);
            }
        }
    }

    fn packet(&mut self, step: Step) {
        let Step { kind, first, count, more } = step;
        // Most of it is one session; others are there to be doubted.
        let session = if more & 0x70 == 0x70 { more % 3 } else { 0 };
        let source = match kind % 16 {
            8 => Source::Retransmit,
            kind => Source::Line(kind % 3),
        };
        let first = u64::from(first) + 256 * u64::from(more >> 7) * u64::from(count & 1);
        let message_count = if count >= 240 { 0 } else { u16::from(count % 12) };
        let end = first + u64::from(message_count);
        // Only what is not ahead may hold fewer than it announces.
        let is_next =
            self.channel.session() == Some(session) && first <= self.channel.next_sequence();
        let held = if is_next && more & 12 == 12 { message_count / 2 } else { message_count };
        let bytes: Vec<u8> =
            (first..end).take(usize::from(held)).flat_map(u64::to_le_bytes).collect();
        let packet = Packet {
            session,
            sequence: first,
            message_count,
            ends_session: count >= 250,
            ts_recv: self.now_ns,
            bytes: &bytes,
        };
        self.now_ns += 10 * US;
        self.channel.arrive(source, &packet, self.now_ns, &mut self.books);
    }

    fn snapshot_ends(&mut self, session: u8, sequence: u64) {
        let is_current = self.channel.session() == Some(session);
        if self.channel.takes_snapshot() && is_current {
            self.books.holds.extend(1..sequence);
        }
        if self.channel.snapshot_ends(session, sequence, self.now_ns, &mut self.books) {
            self.books.last = self.books.last.max(sequence.saturating_sub(1));
        }
    }

    fn check(&mut self) {
        let next = self.channel.next_sequence();
        let books = &mut self.books;
        if books.session != self.channel.session() {
            // One that is followed again is followed from its start, even if the other said nothing.
            books.session = self.channel.session();
            books.last = 0;
        }
        if books.state == Some(BookState::Live) {
            assert!(books.holds.iter().copied().eq(1..next), "live, and next is {next}: {books:?}");
        }
        assert_eq!(self.channel.counters().messages, books.applied);
        assert!(books.last < next.max(1), "{} is past {next}", books.last);
    }

    /// Lets every deadline pass.
    fn wait(mut self, policy: u8) {
        let deadlines_ns = REORDER_NS + RETRANSMIT_NS + SNAPSHOT_NS + 4 * TICK_NS;
        // What was doubted may be followed meanwhile, and begin with a gap of its own.
        let end_ns = self.now_ns + SILENCE_NS + deadlines_ns;
        while self.now_ns < end_ns {
            self.now_ns += TICK_NS;
            self.channel.tick(self.now_ns, &mut self.books);
            self.check();
        }
        let state = self.channel.state();
        let retries = policy & 4 != 0;
        assert!(state != State::Gapped, "a gap waits for ever");
        assert!(retries || !matches!(state, State::Recovering(_)), "{state:?} for ever");
    }
}

/// What the channel's books hold.
#[derive(Debug, Default)]
struct Books {
    session: Option<u8>,
    holds: BTreeSet<u64>,
    last: u64,
    applied: u64,
    state: Option<BookState>,
}

impl Sink<u8> for Books {
    fn apply(&mut self, packet: &Packet<'_, u8>, skip: u16) -> Applied {
        if self.session.replace(packet.session) != Some(packet.session) {
            self.last = 0;
        }
        let (messages, _) = packet.bytes.as_chunks::<8>();
        for (index, message) in messages.iter().enumerate().skip(usize::from(skip)) {
            let sequence = u64::from_le_bytes(*message);
            assert_eq!(sequence, packet.sequence + index as u64, "the packet's own bytes");
            assert!(sequence > self.last, "{sequence} after {}", self.last);
            self.last = sequence;
            self.applied += 1;
            self.holds.insert(sequence);
        }
        let held = messages.len() as u16;
        Applied { messages: held.saturating_sub(skip), held }
    }

    fn books_are(&mut self, state: BookState, _sequence: u64) {
        self.state = Some(state);
    }

    fn clear_books(&mut self, _sequence: u64) {
        self.holds.clear();
    }

    fn request_retransmit(&mut self, _session: u8, messages: Range<u64>) {
        assert!(!messages.is_empty());
    }

    fn request_snapshot(&mut self, _session: u8, _sequence: u64) {}

    fn end_recovery(&mut self) {}
}
