//! The client's end of a session: bytes in, events out; bytes to send out; time as an argument.
//!
//! ```text
//!             login accepted              logout, end of session
//!  LoggingIn ────────────────▶ LoggedIn ─────────────────────────▶ Over
//!      └── refused ───────────────┴──────── silent, garbage, closed ─▶ ┘
//! ```
//!
//! An error ends the session: what comes after it is not looked at.

use super::buffer::{FrameError, ReceiveBuffer};
use super::login::LoginRequest;
use super::packet::{ClientPacket, PacketError, RejectReason, ServerPacket};

/// A client that has sent nothing for so long sends a heartbeat (§1.3).
pub const HEARTBEAT_NS: u64 = 1_000_000_000;

/// A server from which nothing has come for so long is dead (§1.3, "typically 15 seconds").
pub const SILENCE_NS: u64 = 15_000_000_000;

/// What a session tells its client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// The server took the login.
    LoggedIn {
        /// The session, padded on the left.
        session: [u8; 10],
        /// Sequence of the next message.
        sequence: u64,
    },
    /// One message of the session.
    Message {
        /// Its sequence, counted from the login on (§1.2).
        sequence: u64,
        /// The message.
        message: &'a [u8],
    },
    /// No more messages in this session.
    EndOfSession,
}

/// Why a session is over before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    /// The stream has lost its frame.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// A packet cannot be read.
    #[error(transparent)]
    Packet(#[from] PacketError),
    /// The server refused the login.
    #[error("the login was refused: {0}")]
    Refused(RejectReason),
    /// A packet that has no place here.
    #[error("expected {expected}, found a packet of type {found:?}")]
    Unexpected {
        /// What the state allows.
        expected: &'static str,
        /// `Packet Type`.
        found: char,
    },
    /// The server took the login, but for another session than was asked for.
    #[error("expected a login to the session that was asked for, found \"{}\"", found.escape_ascii())]
    OtherSession {
        /// The session of the login.
        found: [u8; 10],
    },
    /// Nothing came for [`SILENCE_NS`].
    #[error("expected a heartbeat each second, found silence for {silent_ns} ns")]
    Silent {
        /// For how long.
        silent_ns: u64,
    },
    /// The server closed the connection.
    #[error(
        "expected the end of the session, found the connection closed ({held_bytes} bytes into a packet)"
    )]
    Closed {
        /// Bytes of the packet that was not whole.
        held_bytes: usize,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    LoggingIn,
    LoggedIn { next: u64 },
    Over,
}

/// What a packet means, apart from its bytes.
enum Meaning {
    Nothing,
    LoggedIn { session: [u8; 10], sequence: u64 },
    Message { sequence: u64 },
    EndOfSession,
}

/// One session over one connection.
#[derive(Debug)]
pub struct ClientSession {
    state: State,
    session: [u8; 10],
    received: ReceiveBuffer,
    to_send: Vec<u8>,
    sent_ns: u64,
    received_ns: u64,
    unknown_packets: u64,
}

impl ClientSession {
    /// The session of a connection that has just been made; its login is to be sent.
    pub fn new(login: LoginRequest, packet_length_max: u16, now_ns: u64) -> Self {
        let mut session = Self {
            state: State::LoggingIn,
            session: login.session,
            received: ReceiveBuffer::new(packet_length_max),
            to_send: Vec::with_capacity(64),
            sent_ns: now_ns,
            received_ns: now_ns,
            unknown_packets: 0,
        };
        session.send(ClientPacket::LoginRequest(login), now_ns);
        session
    }

    /// Where the connection's next bytes go. Never empty once every event was taken.
    pub fn room(&mut self) -> &mut [u8] {
        self.received.room()
    }

    /// Says that `byte_count` bytes were put at the start of [`ClientSession::room`]. Those that
    /// come when the session is over are forgotten.
    pub fn received(&mut self, byte_count: usize, now_ns: u64) {
        if byte_count > 0 && self.state != State::Over {
            self.received_ns = now_ns;
            self.received.received(byte_count);
        }
    }

    /// The next event, until there is none in what was received.
    ///
    /// # Errors
    /// [`SessionError`] ends the session.
    pub fn next_event(&mut self) -> Result<Option<Event<'_>>, SessionError> {
        while self.state != State::Over {
            let taken = self.received.take().map_err(SessionError::from);
            let Some(place) = self.or_over(taken)? else { break };
            let meaning = self.read(place.clone());
            match self.or_over(meaning)? {
                Meaning::Nothing => {}
                Meaning::LoggedIn { session, sequence } => {
                    return Ok(Some(Event::LoggedIn { session, sequence }));
                }
                Meaning::EndOfSession => return Ok(Some(Event::EndOfSession)),
                Meaning::Message { sequence } => {
                    let message = self.received.packet(place).payload;
                    return Ok(Some(Event::Message { sequence, message }));
                }
            }
        }
        Ok(None)
    }

    /// What is to be sent.
    pub fn to_send(&self) -> &[u8] {
        &self.to_send
    }

    /// Says that the first `byte_count` bytes of [`ClientSession::to_send`] were sent.
    pub fn sent(&mut self, byte_count: usize) {
        self.to_send.drain(..byte_count.min(self.to_send.len()));
    }

    /// Lets time pass: heartbeats are made, and silence is noticed.
    ///
    /// # Errors
    /// [`SessionError::Silent`] ends the session.
    pub fn tick(&mut self, now_ns: u64) -> Result<(), SessionError> {
        if self.state == State::Over {
            return Ok(());
        }
        let silent_ns = now_ns.saturating_sub(self.received_ns);
        if silent_ns >= SILENCE_NS {
            return self.or_over(Err(SessionError::Silent { silent_ns }));
        }
        let is_due = now_ns.saturating_sub(self.sent_ns) >= HEARTBEAT_NS;
        // A connection that takes nothing is not helped by more heartbeats.
        if is_due && self.to_send.is_empty() && matches!(self.state, State::LoggedIn { .. }) {
            self.send(ClientPacket::Heartbeat, now_ns);
        }
        Ok(())
    }

    /// When [`ClientSession::tick`] next has something to do; never, once the session is over.
    pub fn next_tick_ns(&self) -> u64 {
        let silence_ns = self.received_ns.saturating_add(SILENCE_NS);
        match self.state {
            State::Over => u64::MAX,
            State::LoggedIn { .. } if self.to_send.is_empty() => {
                silence_ns.min(self.sent_ns.saturating_add(HEARTBEAT_NS))
            }
            State::LoggingIn | State::LoggedIn { .. } => silence_ns,
        }
    }

    /// Asks to be logged out (§2.3.4); no event comes after it.
    pub fn log_out(&mut self, now_ns: u64) {
        if self.state != State::Over {
            self.send(ClientPacket::LogoutRequest, now_ns);
            self.state = State::Over;
        }
    }

    /// The server has closed the connection; every event was taken before.
    ///
    /// # Errors
    /// [`SessionError::Closed`] where the session was not over.
    pub fn closed(&mut self) -> Result<(), SessionError> {
        match self.state {
            State::Over => Ok(()),
            State::LoggingIn | State::LoggedIn { .. } => {
                let held_bytes = self.received.held_bytes();
                self.or_over(Err(SessionError::Closed { held_bytes }))
            }
        }
    }

    /// True once the session has ended, in whichever way.
    pub fn is_over(&self) -> bool {
        self.state == State::Over
    }

    /// Packets of a type that is not known.
    pub fn unknown_packets(&self) -> u64 {
        self.unknown_packets
    }

    fn read(&mut self, place: std::ops::Range<usize>) -> Result<Meaning, SessionError> {
        let frame = self.received.packet(place);
        let found = char::from(frame.kind);
        let packet = ServerPacket::parse(frame)?;
        match (self.state, packet) {
            (_, ServerPacket::Heartbeat | ServerPacket::Debug(_)) => Ok(Meaning::Nothing),
            (_, ServerPacket::Unknown(_)) => {
                self.unknown_packets += 1;
                Ok(Meaning::Nothing)
            }
            (State::LoggingIn, ServerPacket::LoginAccepted { session, sequence }) => {
                self.log_in(session, sequence)
            }
            (State::LoggingIn, ServerPacket::LoginRejected(reason)) => {
                Err(SessionError::Refused(reason))
            }
            (State::LoggedIn { next }, ServerPacket::SequencedData(_)) => {
                self.state = State::LoggedIn { next: next.saturating_add(1) };
                Ok(Meaning::Message { sequence: next })
            }
            (State::LoggedIn { .. }, ServerPacket::EndOfSession) => {
                self.state = State::Over;
                Ok(Meaning::EndOfSession)
            }
            (State::LoggingIn, _) => {
                Err(SessionError::Unexpected { expected: "an answer to the login", found })
            }
            (State::LoggedIn { .. } | State::Over, _) => Err(SessionError::Unexpected {
                expected: "sequenced data or the end of the session",
                found,
            }),
        }
    }

    fn log_in(&mut self, session: [u8; 10], sequence: u64) -> Result<Meaning, SessionError> {
        let asked = self.session.trim_ascii();
        if !asked.is_empty() && asked != session.trim_ascii() {
            return Err(SessionError::OtherSession { found: session });
        }
        self.state = State::LoggedIn { next: sequence };
        Ok(Meaning::LoggedIn { session, sequence })
    }

    fn send(&mut self, packet: ClientPacket<'_>, now_ns: u64) {
        // None of the packets that a client makes here carries data that could be too long.
        let written = packet.write(&mut self.to_send);
        debug_assert!(written.is_ok(), "packets without data fit");
        self.sent_ns = now_ns;
    }

    fn or_over<T>(&mut self, result: Result<T, SessionError>) -> Result<T, SessionError> {
        if result.is_err() {
            self.state = State::Over;
        }
        result
    }
}
