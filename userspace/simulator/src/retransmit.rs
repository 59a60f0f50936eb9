//! A MoldUDP64 re-request server.
//!
//! Arrives: request packets. Leaves: the answer to each, a standard downstream packet by unicast
//! with at most as many messages as fit, so that a client asks again for the rest; where and when
//! to send it is the caller's. Source: MoldUDP64 Protocol Specification 1.00, "Request Packet".
//! Promises: an answer holds the session's own messages under their own sequences, unless the
//! server is told to misbehave ([`RetransmitFault`]); a request never makes more than two packets.
//! Counts, in [`RetransmitCounts`], what was asked and what was not answered.

use crate::exchange::Exchange;
use crate::packets::{END_OF_SESSION, HEADER_BYTES};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;
use wirebook_wire::moldudp64::Request;

/// A count of messages that no packet has.
const COUNT_TOO_LARGE: u16 = 65_534;

/// How a server misbehaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RetransmitFault {
    /// It does not.
    #[default]
    None,
    /// It answers so much later.
    Slow {
        /// Nanoseconds.
        delay_ns: u64,
    },
    /// It never answers.
    Silent,
    /// It answers with one message at a time.
    Short,
    /// It answers twice.
    Twice,
    /// It answers with what nobody asked for: messages of another range, of another session's
    /// name, or a count that the packet does not hold.
    Lying,
}

/// What a server keeps to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetransmitConfig {
    /// Most messages that one request gets, whatever it asks for.
    pub messages_max: u16,
    /// Longest UDP payload of an answer, in bytes; one message fits whatever it says.
    pub payload_bytes_max: usize,
    /// How it misbehaves.
    pub fault: RetransmitFault,
    /// Seed of its lies.
    pub seed: u64,
}

impl Default for RetransmitConfig {
    fn default() -> Self {
        let fault = RetransmitFault::None;
        Self { messages_max: 10_000, payload_bytes_max: 1_400, fault, seed: 1 }
    }
}

/// What a server was asked and what it did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RetransmitCounts {
    /// Packets that came.
    pub requests: u64,
    /// Packets sent.
    pub answers: u64,
    /// Messages in them.
    pub messages: u64,
    /// Requests that are none.
    pub malformed: u64,
    /// Requests for another session.
    pub other_session: u64,
    /// Requests for no message that was said yet.
    pub out_of_range: u64,
    /// Requests for more messages than the limit, answered up to it.
    pub over_limit: u64,
    /// Good requests left unanswered.
    pub silent: u64,
    /// Lies told.
    pub lies: u64,
}

impl RetransmitCounts {
    /// Every count with its name.
    pub fn named(&self) -> [(&'static str, u64); 9] {
        [
            ("requests", self.requests),
            ("answers", self.answers),
            ("messages", self.messages),
            ("malformed", self.malformed),
            ("other_session", self.other_session),
            ("out_of_range", self.out_of_range),
            ("over_limit", self.over_limit),
            ("silent", self.silent),
            ("lies", self.lies),
        ]
    }
}

/// An answer and when to send it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// On the caller's clock.
    pub at_ns: u64,
    /// The UDP payload.
    pub payload: Vec<u8>,
}

/// The server.
#[derive(Clone, Debug)]
pub struct RetransmitServer {
    config: RetransmitConfig,
    rng: Pcg64,
    counts: RetransmitCounts,
}

impl RetransmitServer {
    /// A server that was asked nothing yet.
    pub fn new(config: RetransmitConfig) -> Self {
        let rng = Pcg64::seed_from_u64(config.seed);
        Self { config, rng, counts: RetransmitCounts::default() }
    }

    /// Answers a request that came at `now_ns`; none, counted, where it gets no answer.
    pub fn answer(&mut self, now_ns: u64, request: &[u8], exchange: &Exchange) -> Vec<Answer> {
        self.counts.requests += 1;
        let Some(request) = self.accept(request, exchange) else { return Vec::new() };
        let payload = match self.config.fault {
            RetransmitFault::Silent => {
                self.counts.silent += 1;
                return Vec::new();
            }
            RetransmitFault::Lying => self.lie(request, exchange),
            RetransmitFault::Short => self.packet(Request { count: 1, ..request }, exchange),
            _ => self.packet(request, exchange),
        };
        let (copies, delay_ns) = match self.config.fault {
            RetransmitFault::Twice => (2, 0),
            RetransmitFault::Slow { delay_ns } => (1, delay_ns),
            _ => (1, 0),
        };
        self.counts.answers += copies;
        let answer = Answer { at_ns: now_ns.saturating_add(delay_ns), payload };
        (0..copies).map(|_| answer.clone()).collect()
    }

    /// What was counted.
    pub fn counts(&self) -> RetransmitCounts {
        self.counts
    }

    fn accept(&mut self, request: &[u8], exchange: &Exchange) -> Option<Request> {
        let Ok(request) = Request::parse(request) else {
            self.counts.malformed += 1;
            return None;
        };
        if request.session != exchange.session() {
            self.counts.other_session += 1;
            return None;
        }
        if request.count == 0 || exchange.message(request.sequence).is_none() {
            self.counts.out_of_range += 1;
            return None;
        }
        let messages_max = self.config.messages_max;
        self.counts.over_limit += u64::from(request.count > messages_max);
        Some(Request { count: request.count.min(messages_max), ..request })
    }

    /// A downstream packet of what a request asks for, as far as it fits and was said.
    fn packet(&mut self, request: Request, exchange: &Exchange) -> Vec<u8> {
        let Request { session, sequence, count } = request;
        let mut payload = Vec::with_capacity(self.config.payload_bytes_max.max(HEADER_BYTES));
        payload.extend(session);
        payload.extend(sequence.to_be_bytes());
        payload.extend([0; 2]);
        let mut messages: u16 = 0;
        while messages < count.min(END_OF_SESSION - 1)
            && let Some(message) = exchange.message(sequence + u64::from(messages))
            && (messages == 0 || payload.len() + 2 + message.len() <= self.config.payload_bytes_max)
        {
            payload.extend((message.len() as u16).to_be_bytes());
            payload.extend(message);
            messages += 1;
        }
        payload[HEADER_BYTES - 2..HEADER_BYTES].copy_from_slice(&messages.to_be_bytes());
        self.counts.messages += u64::from(messages);
        payload
    }

    fn lie(&mut self, request: Request, exchange: &Exchange) -> Vec<u8> {
        self.counts.lies += 1;
        match self.rng.random_range(0..3u32) {
            0 => {
                let last = exchange.next_sequence() - 1;
                let sequence = self.rng.random_range(1..=last);
                self.packet(Request { sequence, ..request }, exchange)
            }
            1 => self.packet(Request { session: *b"NOSESSION ", ..request }, exchange),
            _ => {
                let mut payload = self.packet(request, exchange);
                payload[HEADER_BYTES - 2..HEADER_BYTES]
                    .copy_from_slice(&COUNT_TOO_LARGE.to_be_bytes());
                payload
            }
        }
    }
}
