//! A GLIMPSE server: one client's connection.
//!
//! Arrives: the client's bytes and the time. Leaves: bytes to send: the answer to the login, a
//! snapshot of the books as they are when it is accepted, each message in a sequenced packet, and
//! the sequence of the live feed to go on from. Source: *Nasdaq GLIMPSE 5.0* over SoupBinTCP 3.00.
//! Promises: no more than [`SEND_BYTES_MAX`] are ready to be sent at once; whatever the client
//! sends, it ends in an answer or in the end of the connection. Counts what a connection came to
//! ([`GlimpseOutcome`]).

use crate::exchange::Exchange;
use crate::messages::Messages;
use wirebook_wire::glimpse::{FIRST_SEQUENCE, end_of_snapshot};
use wirebook_wire::soupbintcp::{
    ClientPacket, HEARTBEAT_NS, LoginRequest, ReceiveBuffer, RejectReason, SILENCE_NS, ServerPacket,
};

/// Beyond so many bytes ready to be sent, the snapshot waits.
pub const SEND_BYTES_MAX: usize = 64 * 1024;

/// The longest packet that a client has to send.
const PACKET_LENGTH_MAX: u16 = 1_024;
const NS_PER_SECOND: u64 = 1_000_000_000;

/// How a server misbehaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum GlimpseFault {
    /// It does not.
    #[default]
    None,
    /// It refuses every login.
    Refuses,
    /// It closes the connection in the midst of the snapshot.
    ClosesHalfway,
    /// It sends no more than so many messages a second.
    Slow {
        /// Messages a second.
        messages_per_second: u64,
    },
    /// It sends the books as they were when half of the messages were said.
    GoesBack,
}

/// What a server keeps to.
#[derive(Clone, Copy, Debug, Default)]
pub struct GlimpseConfig {
    /// User name and password to log in with; none where any do.
    pub login: Option<([u8; 6], [u8; 10])>,
    /// How it misbehaves.
    pub fault: GlimpseFault,
}

/// What a connection has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GlimpseOutcome {
    /// It is under way.
    UnderWay,
    /// The whole snapshot was handed over.
    Complete,
    /// The login was refused.
    Refused,
    /// The server closed it half-way, as it was told to.
    ClosedHalfway,
    /// The client sent what is no login, or nothing for too long.
    Failed,
    /// The client went before the end.
    Left,
}

/// One connection.
#[derive(Debug)]
pub struct GlimpseSession {
    config: GlimpseConfig,
    received: ReceiveBuffer,
    to_send: Vec<u8>,
    stage: Stage,
    outcome: GlimpseOutcome,
    received_ns: u64,
    sent_ns: u64,
    messages_sent: u64,
}

#[derive(Debug)]
enum Stage {
    LoggingIn,
    Sending { snapshot: Messages, next: usize, sequence: u64, began_ns: u64 },
    Over,
}

impl GlimpseSession {
    /// A connection that a client has opened at `now_ns`.
    pub fn new(config: GlimpseConfig, now_ns: u64) -> Self {
        Self {
            config,
            received: ReceiveBuffer::new(PACKET_LENGTH_MAX),
            to_send: Vec::new(),
            stage: Stage::LoggingIn,
            outcome: GlimpseOutcome::UnderWay,
            received_ns: now_ns,
            sent_ns: now_ns,
            messages_sent: 0,
        }
    }

    /// Where the client's bytes go; say with [`GlimpseSession::received`] how many came.
    pub fn room(&mut self) -> &mut [u8] {
        self.received.room()
    }

    /// So many bytes came into the room at `now_ns`; 0 where the client has closed its side.
    pub fn received(&mut self, byte_count: usize, now_ns: u64, exchange: &Exchange) {
        if byte_count == 0 {
            self.end(GlimpseOutcome::Left);
            return;
        }
        self.received_ns = now_ns;
        self.received.received(byte_count);
        while let Some(heard) = self.hear() {
            match (&self.stage, heard) {
                (Stage::LoggingIn, Heard::Login(login)) => self.log_in(&login, now_ns, exchange),
                (Stage::Sending { .. }, Heard::Logout) => self.end(GlimpseOutcome::Left),
                (Stage::Over, _) | (_, Heard::Nothing) => {}
                (_, Heard::Garbage) | (Stage::LoggingIn, Heard::Logout) | (_, Heard::Login(_)) => {
                    self.end(GlimpseOutcome::Failed);
                }
            }
        }
    }

    /// Makes more of the snapshot ready to be sent, and a heartbeat where nothing else was sent
    /// for a second.
    pub fn tick(&mut self, now_ns: u64) {
        if matches!(self.stage, Stage::Over) {
            return;
        }
        if now_ns.saturating_sub(self.received_ns) >= SILENCE_NS {
            self.end(GlimpseOutcome::Failed);
            return;
        }
        while self.to_send.len() < SEND_BYTES_MAX && self.send_next(now_ns) {}
        let is_quiet = now_ns.saturating_sub(self.sent_ns) >= HEARTBEAT_NS;
        if is_quiet && self.to_send.is_empty() && matches!(self.stage, Stage::Sending { .. }) {
            self.send(ServerPacket::Heartbeat, now_ns);
        }
    }

    /// What is ready to be sent; say with [`GlimpseSession::sent`] how much was.
    pub fn to_send(&self) -> &[u8] {
        &self.to_send
    }

    /// So many bytes were sent.
    pub fn sent(&mut self, byte_count: usize) {
        self.to_send.drain(..byte_count.min(self.to_send.len()));
    }

    /// True where the connection is to be closed once everything ready is sent.
    pub fn is_over(&self) -> bool {
        matches!(self.stage, Stage::Over)
    }

    /// What has become of it.
    pub fn outcome(&self) -> GlimpseOutcome {
        self.outcome
    }

    /// Messages of the snapshot that were made ready.
    pub fn messages_sent(&self) -> u64 {
        self.messages_sent
    }

    fn hear(&mut self) -> Option<Heard> {
        if self.is_over() {
            return None;
        }
        match self.received.next_packet() {
            Ok(None) => None,
            Ok(Some(packet)) => Some(match ClientPacket::parse(packet) {
                Ok(ClientPacket::LoginRequest(login)) => Heard::Login(login),
                Ok(ClientPacket::LogoutRequest) => Heard::Logout,
                Ok(_) => Heard::Nothing,
                Err(_) => Heard::Garbage,
            }),
            Err(_) => Some(Heard::Garbage),
        }
    }

    fn log_in(&mut self, login: &LoginRequest, now_ns: u64, exchange: &Exchange) {
        let is_known = self
            .config
            .login
            .is_none_or(|(user, password)| (user, password) == (login.username, login.password));
        let session = exchange.session();
        let asked = login.session.trim_ascii();
        let reason = if !is_known || self.config.fault == GlimpseFault::Refuses {
            Some(RejectReason::NotAuthorised)
        } else if !asked.is_empty() && asked != session.trim_ascii() {
            Some(RejectReason::SessionUnavailable)
        } else {
            None
        };
        if let Some(reason) = reason {
            self.send(ServerPacket::LoginRejected(reason), now_ns);
            self.end(GlimpseOutcome::Refused);
            return;
        }
        self.send(ServerPacket::LoginAccepted { session, sequence: FIRST_SEQUENCE }, now_ns);
        let (snapshot, sequence) = match self.config.fault {
            GlimpseFault::GoesBack => {
                let sequence = exchange.next_sequence().div_ceil(2);
                (exchange.model_before(sequence).snapshot(), sequence)
            }
            _ => (exchange.model().snapshot(), exchange.next_sequence()),
        };
        self.stage = Stage::Sending { snapshot, next: 0, sequence, began_ns: now_ns };
    }

    /// Sends one message of the snapshot; false where it is over or has to wait.
    fn send_next(&mut self, now_ns: u64) -> bool {
        let Stage::Sending { snapshot, next, sequence, began_ns } = &mut self.stage else {
            return false;
        };
        let (at, sequence) = (*next, *sequence);
        if let GlimpseFault::Slow { messages_per_second } = self.config.fault {
            let elapsed_ns = u128::from(now_ns.saturating_sub(*began_ns));
            let allowed = elapsed_ns * u128::from(messages_per_second) / u128::from(NS_PER_SECOND);
            if at as u128 >= allowed {
                return false;
            }
        }
        if self.config.fault == GlimpseFault::ClosesHalfway && at >= snapshot.len() / 2 {
            self.end(GlimpseOutcome::ClosedHalfway);
            return false;
        }
        *next += 1;
        // A message of ITCH is far shorter than a packet of SoupBinTCP may be.
        let message = snapshot.get(at).map(ServerPacket::SequencedData);
        if let Some(packet) = message {
            let _ = packet.write(&mut self.to_send);
            self.messages_sent += 1;
            self.sent_ns = now_ns;
            return true;
        }
        self.send(ServerPacket::SequencedData(&end_of_snapshot(sequence)), now_ns);
        self.send(ServerPacket::EndOfSession, now_ns);
        self.end(GlimpseOutcome::Complete);
        false
    }

    fn send(&mut self, packet: ServerPacket<'_>, now_ns: u64) {
        let written = packet.write(&mut self.to_send);
        debug_assert!(written.is_ok(), "what the server itself says fits a packet");
        self.sent_ns = now_ns;
    }

    fn end(&mut self, outcome: GlimpseOutcome) {
        if !self.is_over() {
            self.stage = Stage::Over;
            self.outcome = outcome;
        }
    }
}

/// What a client's packet means to a server that only sends.
enum Heard {
    Login(LoginRequest),
    Logout,
    Nothing,
    Garbage,
}
