//! Messages into MoldUDP64 packets.
//!
//! Source: MoldUDP64 Protocol Specification 1.00: session, sequence of the first message, count,
//! then each message behind its two-byte length. Messages close in time share a packet, as far
//! as it holds them; a second of silence brings a heartbeat; the end is said several times, as
//! any one packet may be lost.

use crate::market::Market;

const HEADER_BYTES: usize = 20;
const END_OF_SESSION: u16 = 0xffff;
const HEARTBEAT_NS: u64 = 1_000_000_000;

/// How often the end of the session is said, and at what distance.
const ENDS: u8 = 3;
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
}

impl Default for PacketConfig {
    fn default() -> Self {
        Self {
            session: *b"WIREBOOK01",
            payload_bytes_max: 1_400,
            messages_max: 64,
            linger_ns: 20_000,
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
    /// Nanoseconds after the market's first message.
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

/// A market as packets.
#[derive(Clone, Debug)]
pub struct Packets {
    market: Market,
    config: PacketConfig,
    /// The next message's time and bytes; of time alone once there is none.
    next_offset_ns: u64,
    next_message: Vec<u8>,
    sequence: u64,
    /// Time of the last packet.
    offset_ns: u64,
    ends: u8,
}

impl Packets {
    /// The packets of a market, which is at its beginning.
    pub fn new(market: Market, config: PacketConfig) -> Self {
        let mut packets = Self {
            market,
            config,
            next_offset_ns: 0,
            next_message: Vec::new(),
            sequence: 1,
            offset_ns: 0,
            ends: 0,
        };
        packets.fetch();
        packets
    }

    /// The market, which is one message ahead of the packets until they end.
    pub fn market(&self) -> &Market {
        &self.market
    }

    fn fetch(&mut self) {
        self.next_message.clear();
        if let Some(message) = self.market.next() {
            self.next_offset_ns = message.timestamp_ns - self.market.config().start_ns;
            message.encode(&mut self.next_message);
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

    fn empty(&mut self, offset_ns: u64, kind: PacketKind) -> Packet {
        self.offset_ns = offset_ns;
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

impl Iterator for Packets {
    type Item = Packet;

    fn next(&mut self) -> Option<Packet> {
        let heartbeat_ns = self.offset_ns + HEARTBEAT_NS;
        if !self.next_message.is_empty() {
            return Some(if self.next_offset_ns > heartbeat_ns {
                self.empty(heartbeat_ns, PacketKind::Heartbeat)
            } else {
                self.messages()
            });
        }
        if self.ends == ENDS {
            return None;
        }
        self.ends += 1;
        Some(self.empty(self.offset_ns + END_GAP_NS, PacketKind::EndOfSession))
    }
}
