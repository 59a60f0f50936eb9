//! Messages into MoldUDP64 packets.
//!
//! Source: MoldUDP64 Protocol Specification 1.00: session, sequence of the first message, count,
//! then each message behind its two-byte length. Messages close in time share a packet, as far
//! as it holds them; a second of silence brings a heartbeat; the end is said several times, as
//! any one packet may be lost.

use crate::market::Market;
use crate::source::MessageSource;

pub(crate) const HEADER_BYTES: usize = 20;
pub(crate) const END_OF_SESSION: u16 = 0xffff;
const HEARTBEAT_NS: u64 = 1_000_000_000;

/// At what distance the end of the session is said.
const END_GAP_NS: u64 = 1_000_000;

/// How messages are packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PacketConfig {
    /// The session's name, padded with spaces.
    pub session: [u8; 10],
    /// Longest UDP payload, in bytes; at least one message fits whatever it says.
    pub payload_bytes_max: usize,
    /// Most messages of a packet.
    pub messages_max: u16,
    /// Longest time that the first message of a packet waits for the last.
    pub linger_ns: u64,
    /// How often the end of the session is said; 0 for one that stops without a word.
    pub ends: u8,
}

impl Default for PacketConfig {
    fn default() -> Self {
        Self {
            session: *b"WIREBOOK01",
            payload_bytes_max: 1_400,
            messages_max: 64,
            linger_ns: 20_000,
            ends: 3,
        }
    }
}

/// What a packet is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PacketKind {
    /// It carries messages.
    Messages,
    /// It says only what the next sequence is.
    Heartbeat,
    /// It says that there is no next sequence.
    EndOfSession,
}

/// One UDP payload and when to send it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Nanoseconds after the session's first message.
    pub offset_ns: u64,
    /// Sequence of its first message, or the next one's.
    pub sequence: u64,
    /// Messages in it.
    pub messages: u16,
    /// What it is.
    pub kind: PacketKind,
    /// The UDP payload.
    pub payload: Vec<u8>,
}

impl Packet {
    /// The bytes of its messages, in order.
    pub fn messages(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = self.payload.get(HEADER_BYTES..).unwrap_or_default();
        (0..self.messages).map_while(move |_| {
            let (length, after) = rest.split_first_chunk()?;
            let (message, after) = after.split_at_checked(u16::from_be_bytes(*length).into())?;
            rest = after;
            Some(message)
        })
    }
}

/// A flow of messages as packets.
#[derive(Clone, Debug)]
pub struct Packets<S = Market> {
    source: S,
    config: PacketConfig,
    /// Time of the first message, nanoseconds since midnight.
    start_ns: Option<u64>,
    /// The next message's time and bytes; of time alone once there is none.
    next_offset_ns: u64,
    next_message: Vec<u8>,
    sequence: u64,
    /// Time of the last packet.
    offset_ns: u64,
    ends: u8,
}

impl<S: MessageSource> Packets<S> {
    /// The packets of a flow from its next message on, which gets sequence 1.
    pub fn new(source: S, config: PacketConfig) -> Self {
        let mut packets = Self {
            source,
            config,
            start_ns: None,
            next_offset_ns: 0,
            next_message: Vec::new(),
            sequence: 1,
            offset_ns: 0,
            ends: 0,
        };
        packets.fetch();
        packets
    }

    /// Where the messages come from: one message ahead of the packets until they end.
    pub fn market(&self) -> &S {
        &self.source
    }

    /// Time of the first message, nanoseconds since midnight.
    pub fn start_ns(&self) -> u64 {
        self.start_ns.unwrap_or(0)
    }

    /// Says once more that the session is over.
    pub fn end_of_session(&self, offset_ns: u64) -> Packet {
        self.empty(offset_ns, PacketKind::EndOfSession)
    }

    /// Times of one session never go back, even where those of a recording do.
    fn fetch(&mut self) {
        self.next_message.clear();
        if let Some(timestamp_ns) = self.source.next_message(&mut self.next_message) {
            let start_ns = *self.start_ns.get_or_insert(timestamp_ns);
            let offset_ns = timestamp_ns.saturating_sub(start_ns);
            self.next_offset_ns = self.next_offset_ns.max(offset_ns);
        }
    }

    /// A packet of the messages that are due together.
    fn messages(&mut self) -> Packet {
        let first_ns = self.next_offset_ns;
        let mut payload = self.header(0);
        let mut messages = 0;
        while self.fits(&payload, messages, first_ns) {
            let length = self.next_message.len() as u16;
            payload.extend(length.to_be_bytes());
            payload.extend(&self.next_message);
            messages += 1;
            // A packet leaves when its last message is said.
            self.offset_ns = self.next_offset_ns;
            self.fetch();
        }
        payload[HEADER_BYTES - 2..HEADER_BYTES].copy_from_slice(&messages.to_be_bytes());
        let sequence = self.sequence;
        self.sequence += u64::from(messages);
        let kind = PacketKind::Messages;
        Packet { offset_ns: self.offset_ns, sequence, messages, kind, payload }
    }

    fn fits(&self, payload: &[u8], messages: u16, first_ns: u64) -> bool {
        let length = payload.len() + 2 + self.next_message.len();
        !self.next_message.is_empty()
            && (messages == 0
                || messages < self.config.messages_max
                    && length <= self.config.payload_bytes_max
                    && self.next_offset_ns - first_ns <= self.config.linger_ns)
    }

    fn empty(&self, offset_ns: u64, kind: PacketKind) -> Packet {
        let count = if kind == PacketKind::EndOfSession { END_OF_SESSION } else { 0 };
        let payload = self.header(count);
        Packet { offset_ns, sequence: self.sequence, messages: 0, kind, payload }
    }

    fn header(&self, count: u16) -> Vec<u8> {
        let mut header = Vec::with_capacity(self.config.payload_bytes_max.max(HEADER_BYTES));
        header.extend(self.config.session);
        header.extend(self.sequence.to_be_bytes());
        header.extend(count.to_be_bytes());
        header
    }
}

impl<S: MessageSource> Iterator for Packets<S> {
    type Item = Packet;

    fn next(&mut self) -> Option<Packet> {
        let heartbeat_ns = self.offset_ns + HEARTBEAT_NS;
        let kind = if self.next_message.is_empty() {
            self.ends = self.ends.checked_add(1).filter(|ends| *ends <= self.config.ends)?;
            self.offset_ns += END_GAP_NS;
            PacketKind::EndOfSession
        } else if self.next_offset_ns > heartbeat_ns {
            self.offset_ns = heartbeat_ns;
            PacketKind::Heartbeat
        } else {
            return Some(self.messages());
        };
        Some(self.empty(self.offset_ns, kind))
    }
}
