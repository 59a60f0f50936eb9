//! Random networks against a plain model: a book is a set of messages.
//!
//! A venue sends its messages on two lines that cut them into different packets, lose, repeat,
//! delay and die; two retransmit servers behind the real [`Retransmitter`] and a snapshot server
//! behave as badly. Everything follows from a seed: `WIREBOOK_SEED=n` runs that one alone,
//! `WIREBOOK_SEEDS=n` so many.

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::Range;
use wirebook_feed::{
    Applied, Channel, ChannelCounters, Packet, Policy, RetransmitPolicy, Retransmitter,
    RetransmitterPolicy, Sink, SnapshotPolicy, Source, State, Task, WindowLimits,
};
use wirebook_model::BookState;

const SEEDS: u64 = 3_000;
const MESSAGES: u64 = 300;
const US: u64 = 1_000;
const TICK_NS: u64 = 200 * US;
/// Reorder wait, retransmit deadline and snapshot deadline, each noticed a tick late at most.
const LIMIT_NS: u64 = (1_000 + 10_000 + 20_000) * US + 3 * TICK_NS;
/// The flow ends, and from then on nothing is lost any more.
const QUIET_NS: u64 = MESSAGES * 100 * US;
const END_NS: u64 = QUIET_NS + 300_000 * US;

/// What the channel's books hold, and what it asked for.
struct Books {
    holds: Vec<bool>,
    /// How many of them, and the highest.
    count: u64,
    highest: u64,
    last: u64,
    state: BookState,
    retransmit: Vec<Range<u64>>,
    wants_snapshot: bool,
    has_ended_recovery: bool,
    live_again: u64,
}

impl Sink<u8> for Books {
    fn apply(&mut self, packet: &Packet<'_, u8>, skip: u16) -> Applied {
        let (messages, _) = packet.bytes.as_chunks::<8>();
        for (index, message) in messages.iter().enumerate().skip(usize::from(skip)) {
            let sequence = u64::from_le_bytes(*message);
            assert_eq!(sequence, packet.sequence + index as u64, "the packet's own bytes");
            assert!(sequence > self.last, "{sequence} after {}", self.last);
            self.last = sequence;
            self.hold(sequence);
        }
        let held = messages.len() as u16;
        Applied { messages: held.saturating_sub(skip), held }
    }

    fn books_are(&mut self, state: BookState, _sequence: u64) {
        self.state = state;
    }

    fn clear_books(&mut self, _sequence: u64) {
        self.holds.fill(false);
        (self.count, self.highest) = (0, 0);
    }

    fn request_retransmit(&mut self, _session: u8, messages: Range<u64>) {
        self.retransmit.push(messages);
    }

    fn request_snapshot(&mut self, _session: u8, _sequence: u64) {
        self.wants_snapshot = true;
    }

    fn end_recovery(&mut self) {
        self.has_ended_recovery = true;
    }

    fn healed(&mut self, _healing_ns: u64) {
        self.live_again += 1;
    }
}

impl Books {
    fn hold(&mut self, sequence: u64) {
        let was_held = std::mem::replace(&mut self.holds[sequence as usize], true);
        self.count += u64::from(!was_held);
        self.highest = self.highest.max(sequence);
    }

    /// True where every message before `next` is there, and no other.
    fn is_whole(&self, next: u64) -> bool {
        self.count == next - 1 && self.highest == next - 1
    }
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Tick,
    /// Messages from `first` to before `end`, of which `whole` are in the packet.
    Packet {
        line: u8,
        first: u64,
        end: u64,
        whole: u64,
    },
    Asked {
        server: usize,
        first: u64,
        end: u64,
    },
    Answer {
        server: usize,
        first: u64,
        end: u64,
        whole: u64,
    },
    SnapshotBegins,
    SnapshotEnds {
        sequence: u64,
    },
    SnapshotFails,
}

struct Network {
    random: Pcg64Mcg,
    now_ns: u64,
    events: BinaryHeap<Reverse<(u64, u64, Event)>>,
    count: u64,
    channel: Channel<u8>,
    retransmitter: Retransmitter<u8>,
    books: Books,
    stuck: Option<(u64, u64)>,
    /// First sequence of the first packet of a line.
    first_heard: Option<u64>,
    loss: f64,
    server_trouble: f64,
    snapshot_trouble: f64,
}

impl Network {
    fn new(seed: u64) -> Self {
        let mut random = Pcg64Mcg::seed_from_u64(seed);
        let policy = Policy {
            reorder_wait_ns: 1_000 * US,
            window: WindowLimits {
                packets: random.random_range(2..200),
                bytes: random.random_range(200..20_000),
            },
            retransmit: Some(RetransmitPolicy {
                deadline_ns: 10_000 * US,
                messages_max: random.random_range(1..200),
            }),
            snapshot: Some(SnapshotPolicy {
                deadline_ns: 20_000 * US,
                retry_after_ns: Some(30_000 * US),
            }),
            arrivals: 16,
            ..Policy::default()
        };
        let servers = RetransmitterPolicy {
            servers: 2,
            request_messages_max: random.random_range(1..50),
            requests_max: random.random_range(1..6),
            ranges_max: random.random_range(1..50),
            answer_wait_ns: 2_000 * US,
            back_off_ns: 5_000 * US,
            deadline_ns: 9_000 * US,
            ..RetransmitterPolicy::default()
        };
        let books = Books {
            holds: vec![false; MESSAGES as usize + 1],
            count: 0,
            highest: 0,
            last: 0,
            state: BookState::Warming,
            retransmit: Vec::new(),
            wants_snapshot: false,
            has_ended_recovery: false,
            live_again: 0,
        };
        Self {
            now_ns: 0,
            events: BinaryHeap::new(),
            count: 0,
            channel: Channel::new(policy),
            retransmitter: Retransmitter::new(servers),
            books,
            stuck: None,
            first_heard: None,
            loss: random.random_range(0.0..0.5),
            server_trouble: random.random_range(0.0..1.0),
            snapshot_trouble: random.random_range(0.0..1.0),
            random,
        }
    }

    fn at(&mut self, at_ns: u64, event: Event) {
        self.count += 1;
        self.events.push(Reverse((at_ns, self.count, event)));
    }

    /// Sends the whole flow on one line.
    fn send_line(&mut self, line: u8) {
        let delay_ns = self.random.random_range(0..2_000 * US);
        let dead = self.random.random_range(1..2 * MESSAGES);
        let dead = dead..dead + self.random.random_range(0..MESSAGES / 2);
        let mut first =
            if self.random.random_bool(0.2) { self.random.random_range(1..MESSAGES) } else { 1 };
        while first <= MESSAGES {
            let end = (first + self.random.random_range(1..8)).min(MESSAGES + 1);
            let copies = if self.random.random_bool(0.05) { 2 } else { 1 };
            for _ in 0..copies {
                if dead.contains(&first) || self.random.random_bool(self.loss) {
                    continue;
                }
                let is_short = self.random.random_bool(0.02);
                let whole =
                    if is_short { self.random.random_range(0..end - first) } else { end - first };
                let jitter_ns = self.random.random_range(0..300 * US);
                let event = Event::Packet { line, first, end, whole };
                self.at((end - 1) * 100 * US + delay_ns + jitter_ns, event);
            }
            first = end;
        }
        for beat in 1..20 {
            let event = Event::Packet { line, first: MESSAGES + 1, end: MESSAGES + 1, whole: 0 };
            self.at(QUIET_NS + beat * 1_000 * US, event);
        }
    }

    fn run(&mut self) {
        self.send_line(0);
        self.send_line(1);
        for tick in 0..END_NS / TICK_NS {
            self.at(tick * TICK_NS, Event::Tick);
        }
        while let Some(Reverse((at_ns, _, event))) = self.events.pop() {
            self.now_ns = at_ns;
            self.take(event);
            self.serve();
            self.check();
        }
        assert_eq!(self.channel.state(), State::Live, "all is quiet");
        assert_eq!(self.channel.next_sequence(), MESSAGES + 1);
        let ChannelCounters { messages, lost_messages, snapshot_messages, .. } =
            self.channel.counters();
        // What came before the first packet heard, and nothing brought, is no loss.
        let unheard = MESSAGES - (messages + lost_messages + snapshot_messages);
        assert!(Some(unheard) < self.first_heard, "{unheard} in no count");
    }

    fn take(&mut self, event: Event) {
        let (now_ns, channel, books) = (self.now_ns, &mut self.channel, &mut self.books);
        match event {
            Event::Tick => channel.tick(now_ns, books),
            Event::Packet { line, first, end, whole } => {
                self.first_heard.get_or_insert(first);
                arrive(channel, Source::Line(line), first..end, whole, now_ns, books);
            }
            Event::Asked { server, first, end } => self.answer(server, first, end),
            Event::Answer { server, first, end, whole } => {
                if self.retransmitter.answer(server, 1, first, whole as u16, now_ns) {
                    arrive(channel, Source::Retransmit, first..end, whole, now_ns, books);
                }
            }
            Event::SnapshotBegins => {
                channel.snapshot_begins(1, books);
            }
            Event::SnapshotEnds { sequence } => {
                if channel.takes_snapshot() {
                    (1..sequence).for_each(|sequence| books.hold(sequence));
                }
                if channel.snapshot_ends(1, sequence, now_ns, books) {
                    books.last = books.last.max(sequence - 1);
                }
            }
            Event::SnapshotFails => channel.snapshot_failed(1, now_ns, books),
        }
    }

    /// What the housekeeping thread does.
    fn serve(&mut self) {
        let now_ns = self.now_ns;
        if std::mem::take(&mut self.books.has_ended_recovery) {
            self.retransmitter.cancel();
        }
        for messages in std::mem::take(&mut self.books.retransmit) {
            if !self.retransmitter.want(1, messages.clone(), now_ns) {
                self.channel.retransmit_failed(1, messages, now_ns, &mut self.books);
            }
        }
        while let Some(task) = self.retransmitter.poll(now_ns) {
            match task {
                Task::Send { server, first, message_count, .. } => {
                    let end = first + u64::from(message_count);
                    self.at(now_ns + 100 * US, Event::Asked { server, first, end });
                }
                Task::GiveUp { first, end, .. } => {
                    self.channel.retransmit_failed(1, first..end, now_ns, &mut self.books);
                }
            }
        }
        if std::mem::take(&mut self.books.wants_snapshot) {
            self.send_snapshot();
        }
    }

    fn has_trouble(&mut self, trouble: f64) -> bool {
        self.now_ns < QUIET_NS && self.random.random_bool(trouble)
    }

    fn answer(&mut self, server: usize, first: u64, end: u64) {
        let mut answer = Event::Answer { server, first, end, whole: end - first };
        let mut at_ns = self.now_ns + 200 * US;
        if self.has_trouble(self.server_trouble) {
            answer = match self.random.random_range(0..5) {
                0 => return,
                1 => Event::Answer { server, first, end: first, whole: 0 },
                2 => Event::Answer { server, first, end: first + 1, whole: 1 },
                3 if end < MESSAGES => Event::Answer { server, first: end, end: end + 1, whole: 1 },
                3 => return,
                _ => {
                    at_ns += self.random.random_range(0..20_000 * US);
                    self.at(at_ns, answer.clone());
                    answer
                }
            };
        }
        self.at(at_ns, answer);
    }

    fn send_snapshot(&mut self) {
        let sent = (self.now_ns / (100 * US)).min(MESSAGES);
        let mut sequence = sent + 1;
        let begins_ns = self.now_ns + 500 * US;
        let mut ends_ns = begins_ns + 2_000 * US;
        if self.has_trouble(self.snapshot_trouble) {
            match self.random.random_range(0..4) {
                0 => return,
                1 => return self.at(begins_ns, Event::SnapshotFails),
                2 => sequence = self.random.random_range(1..=sequence),
                _ => ends_ns += self.random.random_range(0..60_000 * US),
            }
        }
        self.at(begins_ns, Event::SnapshotBegins);
        self.at(ends_ns, Event::SnapshotEnds { sequence });
    }

    fn check(&mut self) {
        let next = self.channel.next_sequence();
        if self.books.state == BookState::Live {
            assert!(self.books.is_whole(next), "a live book, next is {next}");
        }
        let is_waiting = matches!(self.channel.state(), State::Gapped | State::Recovering(_));
        self.stuck = match self.stuck {
            Some((sequence, since)) if is_waiting && sequence == next => Some((sequence, since)),
            _ => is_waiting.then_some((next, self.now_ns)),
        };
        if let Some((sequence, since)) = self.stuck {
            assert!(
                self.now_ns - since <= LIMIT_NS,
                "message {sequence} has been missing too long"
            );
        }
    }
}

fn arrive(
    channel: &mut Channel<u8>,
    source: Source,
    messages: Range<u64>,
    whole: u64,
    now_ns: u64,
    books: &mut Books,
) {
    let bytes: Vec<u8> = messages.clone().take(whole as usize).flat_map(u64::to_le_bytes).collect();
    let packet = Packet {
        session: 1,
        sequence: messages.start,
        message_count: (messages.end - messages.start) as u16,
        ends_session: false,
        ts_recv: now_ns,
        bytes: &bytes,
    };
    channel.arrive(source, &packet, now_ns, books);
}

#[test]
fn every_seed_ends_live_with_every_message() {
    let number = |name| std::env::var(name).ok().and_then(|value| value.parse().ok());
    let seeds = match number("WIREBOOK_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("WIREBOOK_SEEDS").unwrap_or(SEEDS),
    };
    let mut totals = [0; 6];
    for seed in seeds {
        let outcome = std::panic::catch_unwind(|| {
            let mut network = Network::new(seed);
            network.run();
            let counters = network.channel.counters();
            let asked = network.retransmitter.counters();
            [
                network.books.live_again,
                counters.retransmitted_messages,
                counters.snapshots,
                counters.overflows,
                counters.refused_snapshots,
                asked.unasked_answers,
            ]
        });
        let Ok(counts) = outcome else { panic!("run again with WIREBOOK_SEED={seed}") };
        for (total, count) in totals.iter_mut().zip(counts) {
            *total += count;
        }
    }
    eprintln!("healed, retransmitted, snapshots, overflows, refused, unasked: {totals:?}");
    if number("WIREBOOK_SEED").is_none() {
        assert!(totals.iter().all(|total| *total > 0), "every kind of trouble: {totals:?}");
    }
}
