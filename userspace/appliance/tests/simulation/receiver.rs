//! The client's end of a snapshot, in virtual time.

use wirebook_simulator::{Exchange, GlimpseConfig, GlimpseFault, GlimpseSession};
use wirebook_wire::glimpse;
use wirebook_wire::soupbintcp::{ClientSession, Event, LoginRequest};

/// Bytes that a connection moves in one step.
const STEP_BYTES: usize = 2_000;

/// One connection: both ends, and nothing but memory between them.
pub(crate) struct Connection {
    client: ClientSession,
    server: GlimpseSession,
}

/// What a step of a connection brought.
#[derive(Debug)]
pub(crate) enum Brought {
    Begin,
    Message(Vec<u8>),
    End(u64),
    Failed,
}

impl Connection {
    pub(crate) fn open(fault: GlimpseFault, now_ns: u64) -> Self {
        let login = LoginRequest::new("sim", "", "", glimpse::FIRST_SEQUENCE).unwrap();
        let config = GlimpseConfig { login: None, fault };
        Self {
            client: ClientSession::new(login, u16::MAX, now_ns),
            server: GlimpseSession::new(config, now_ns),
        }
    }

    /// Moves bytes both ways and gives what the client heard.
    pub(crate) fn step(&mut self, now_ns: u64, exchange: &Exchange) -> Vec<Brought> {
        let Self { client, server } = self;
        let sent = client.to_send().len();
        if sent > 0 && !server.is_over() {
            server.room()[..sent].copy_from_slice(client.to_send());
            server.received(sent, now_ns, exchange);
        }
        client.sent(sent);
        server.tick(now_ns);
        let moved = server.to_send().len().min(STEP_BYTES);
        client.room()[..moved].copy_from_slice(&server.to_send()[..moved]);
        client.received(moved, now_ns);
        server.sent(moved);
        let mut brought = Vec::new();
        loop {
            match client.next_event() {
                Ok(None) => break,
                Ok(Some(Event::LoggedIn { .. })) => brought.push(Brought::Begin),
                Ok(Some(Event::Message { message, .. })) => {
                    brought.push(match glimpse::parse(message).unwrap() {
                        glimpse::Message::Itch(message) => Brought::Message(message.to_vec()),
                        glimpse::Message::End { sequence } => Brought::End(sequence),
                    });
                }
                Ok(Some(Event::EndOfSession)) => break,
                Err(_) => brought.push(Brought::Failed),
            }
        }
        let is_gone = server.is_over() && server.to_send().is_empty();
        if is_gone && client.closed().is_err() || client.tick(now_ns).is_err() {
            brought.push(Brought::Failed);
        }
        brought
    }
}
