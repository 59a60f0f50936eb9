//! Retransmit servers that answer anything, and a retransmit server that is asked anything.
//!
//! Holds for any answers: no request is longer than allowed or for what nobody wanted, no more are
//! unanswered than allowed, an answer passes only for what is wanted, and each wanted message is
//! answered or given up.

use arbitrary::{Arbitrary, Unstructured};
use std::collections::BTreeSet;
use std::sync::LazyLock;
use wirebook_feed::{Retransmitter, RetransmitterPolicy, Task};
use wirebook_simulator::{
    Exchange, Market, MarketConfig, PacketConfig, Packets, RetransmitConfig, RetransmitServer,
};
use wirebook_wire::moldudp64::{self, REQUEST_BYTES, Request};
use wirebook_wire::{Protocol, TransportPacket};

const MS: u64 = 1_000_000;
const SESSION: u8 = 1;

/// One thing that happens.
#[derive(Arbitrary, Clone, Copy, Debug)]
struct Step {
    kind: u8,
    first: u8,
    count: u8,
    server: u8,
}

/// Length of a step.
pub(crate) const STEP_BYTES: usize = size_of::<Step>();

/// Wants, answers and time.
pub(crate) fn answers(data: &[u8]) {
    let mut client = Client::new();
    let mut input = Unstructured::new(data);
    while input.len() >= STEP_BYTES
        && let Ok(step) = Step::arbitrary(&mut input)
    {
        client.take(step);
        client.poll();
    }
    client.finish();
}

struct Client {
    policy: RetransmitterPolicy,
    retransmitter: Retransmitter<u8>,
    /// Ever wanted.
    wanted: BTreeSet<u64>,
    /// Wanted and neither brought nor given up.
    open: BTreeSet<u64>,
    now_ns: u64,
}

impl Client {
    fn new() -> Self {
        let policy = RetransmitterPolicy {
            servers: 2,
            request_messages_max: 10,
            requests_max: 3,
            ranges_max: 4,
            answer_wait_ns: 20 * MS,
            rest_wait_ns: 5 * MS,
            back_off_ns: 50 * MS,
            deadline_ns: 200 * MS,
            requests_per_second: 1_000,
            request_burst: 4,
        };
        let (wanted, open) = (BTreeSet::new(), BTreeSet::new());
        Self { policy, retransmitter: Retransmitter::new(policy), wanted, open, now_ns: MS }
    }

    fn take(&mut self, step: Step) {
        let first = u64::from(step.first);
        let count = u16::from(step.count % 32);
        let end = first + u64::from(count);
        match step.kind % 8 {
            0 | 1 => {
                // What is refused may be asked for in part all the same.
                self.wanted.extend(first..end);
                if count > 0 && self.retransmitter.want(SESSION, first..end, self.now_ns) {
                    self.open.extend(first..end);
                }
            }
            2..6 => {
                let (server, session) = (usize::from(step.server % 3), step.server / 128 + SESSION);
                if self.retransmitter.answer(server, session, first, count, self.now_ns) {
                    assert_eq!(session, SESSION);
                    let brings = (first..end).any(|message| self.wanted.contains(&message));
                    assert!(brings, "passed {first}..{end}, wanted {:?}", self.wanted);
                    for message in first..end {
                        self.open.remove(&message);
                    }
                }
            }
            6 => self.now_ns += first * MS,
            _ if step.count == 255 => {
                self.retransmitter.cancel();
                self.open.clear();
            }
            _ => self.now_ns += 1,
        }
    }

    fn poll(&mut self) {
        let mut tasks = 0;
        while let Some(task) = self.retransmitter.poll(self.now_ns) {
            tasks += 1;
            assert!(tasks < 1_000, "it finds no end");
            match task {
                Task::Send { server, session, first, message_count } => {
                    assert!(server < self.policy.servers && session == SESSION);
                    assert!((1..=self.policy.request_messages_max).contains(&message_count));
                    let asked = first..first + u64::from(message_count);
                    assert!(
                        asked.clone().all(|message| self.wanted.contains(&message)),
                        "{asked:?}"
                    );
                }
                Task::GiveUp { session, first, end } => {
                    assert!(session == SESSION && first < end);
                    for message in first..end {
                        self.open.remove(&message);
                    }
                }
            }
        }
    }

    fn finish(mut self) {
        for _ in 0..60 {
            self.now_ns += 5 * MS;
            self.poll();
        }
        assert!(self.open.is_empty(), "neither brought nor given up: {:?}", self.open);
        let counters = self.retransmitter.counters();
        assert!(counters.short_answers <= counters.answers);
    }
}

/// A downstream packet that may answer a request; its header is a request too.
pub(crate) fn packets(data: &[u8]) {
    if let Ok(packet) = TransportPacket::parse(Protocol::Itch50.transport(), data) {
        let mut retransmitter = Retransmitter::new(RetransmitterPolicy::default());
        retransmitter.want(packet.session, 1..500, 0);
        assert!(matches!(retransmitter.poll(0), Some(Task::Send { first: 1, .. })));
        let passed = retransmitter.answer(0, packet.session, packet.sequence, packet.count, 1);
        assert!(!passed || packet.sequence < 500 && packet.count > 0);
    }
    let Some((request, _)) = data.split_first_chunk::<REQUEST_BYTES>() else { return };
    let Ok(parsed) = Request::parse(request) else { return };
    assert_eq!(parsed.encode(), *request);
    let exchange = &EXCHANGE;
    let own = Request { session: exchange.session(), ..parsed };
    let mut server = RetransmitServer::new(RetransmitConfig::default());
    for answer in server.answer(1, &own.encode(), exchange) {
        let packet = moldudp64::parse(&answer.payload).expect("a server's own packet");
        assert!(packet.count <= own.count && packet.sequence == own.sequence);
        for (sequence, block) in (packet.sequence..).zip(packet.blocks) {
            assert_eq!(block.ok(), exchange.message(sequence));
        }
    }
}

/// A small day.
pub(crate) static EXCHANGE: LazyLock<Exchange> = LazyLock::new(|| {
    let market = MarketConfig { seed: 7, instruments: 3, messages: 400, ..Default::default() };
    let market = Market::new(market).expect("enough messages for the instruments");
    let mut exchange = Exchange::new(PacketConfig::default().session);
    for packet in Packets::new(market, PacketConfig::default()) {
        exchange.publish(&packet).expect("the simulator's own flow");
    }
    exchange
});
