//! SoupBinTCP and GLIMPSE from both ends.
//!
//! Holds for any stream: how it is cut into reads changes nothing of what comes out; nothing comes
//! after the end; what is read and written again reads as the same; and a snapshot's messages are
//! decoded as those of the feed.

use crate::retransmit::EXCHANGE;
use wirebook_simulator::{GlimpseConfig, GlimpseSession};
use wirebook_wire::glimpse;
use wirebook_wire::soupbintcp::{
    ClientPacket, ClientSession, Event, LoginRequest, ReceiveBuffer, ServerPacket,
};
use wirebook_wire::{Decoder, Limits, Protocol};

const PACKET_LENGTH_MAX: u16 = 512;

/// The first byte says how the stream is cut; the rest is what the server sends.
pub(crate) fn client(data: &[u8]) {
    let Some((&cut, stream)) = data.split_first() else { return };
    let whole = heard(stream, stream.len());
    let cut = heard(stream, 1 + usize::from(cut % 32));
    assert_eq!(whole, cut);
    packets_again(stream);
}

/// Everything that a session said, in its events' own words.
#[derive(Debug, Default, PartialEq)]
struct Heard {
    events: Vec<String>,
    unknown_packets: u64,
}

fn heard(stream: &[u8], read_bytes: usize) -> Heard {
    let login = LoginRequest::new("user", "pass", "", 1).expect("fields that fit");
    let mut session = ClientSession::new(login, PACKET_LENGTH_MAX, 0);
    let mut decoder = Decoder::new(Protocol::Itch50, 0, Limits::default());
    let (mut heard, mut rest, mut next) = (Heard::default(), stream, None);
    while !rest.is_empty() {
        let room = session.room();
        assert!(!room.is_empty(), "every event was taken");
        let count = room.len().min(read_bytes).min(rest.len());
        room[..count].copy_from_slice(&rest[..count]);
        rest = &rest[count..];
        session.received(count, 1);
        loop {
            let was_over = session.is_over();
            match session.next_event() {
                Ok(None) => break,
                Ok(Some(event)) => {
                    assert!(!was_over, "nothing comes after the end");
                    match event {
                        Event::LoggedIn { sequence, .. } => next = Some(sequence),
                        Event::Message { sequence, message } => {
                            assert_eq!(next.replace(sequence.saturating_add(1)), Some(sequence));
                            snapshot_message(&mut decoder, message);
                        }
                        Event::EndOfSession => {}
                    }
                    heard.events.push(format!("{event:?}"));
                }
                Err(error) => {
                    assert!(session.is_over());
                    heard.events.push(error.to_string());
                }
            }
        }
    }
    if let Err(error) = session.closed() {
        heard.events.push(error.to_string());
    }
    assert!(session.is_over() && session.tick(u64::MAX).is_ok());
    heard.unknown_packets = session.unknown_packets();
    heard
}

fn snapshot_message(decoder: &mut Decoder, message: &[u8]) {
    let mut events = Vec::new();
    match glimpse::parse(message) {
        Ok(glimpse::Message::Itch(message)) => {
            let _outcome = decoder.decode(message, 0, &mut events);
        }
        Ok(glimpse::Message::End { sequence }) => {
            let again = glimpse::end_of_snapshot(sequence);
            assert_eq!(glimpse::parse(&again), Ok(glimpse::Message::End { sequence }));
        }
        Err(error) => assert!(error.to_string().contains("expected")),
    }
}

/// Packets of either end, read, written and read again.
fn packets_again(stream: &[u8]) {
    let mut buffer = ReceiveBuffer::new(PACKET_LENGTH_MAX);
    let count = stream.len().min(buffer.room().len());
    buffer.room()[..count].copy_from_slice(&stream[..count]);
    buffer.received(count);
    let mut again = ReceiveBuffer::default();
    while let Ok(Some(packet)) = buffer.next_packet() {
        let mut written = Vec::new();
        if let Ok(parsed) = ServerPacket::parse(packet) {
            parsed.write(&mut written).expect("what was read is not too long");
            assert_eq!(reread(&mut again, &written, ServerPacket::parse), Some(parsed));
        }
        written.clear();
        if let Ok(parsed) = ClientPacket::parse(packet) {
            parsed.write(&mut written).expect("what was read is not too long");
            assert_eq!(reread(&mut again, &written, ClientPacket::parse), Some(parsed));
        }
    }
}

fn reread<'a, T, E>(
    buffer: &'a mut ReceiveBuffer,
    written: &[u8],
    parse: impl FnOnce(wirebook_wire::soupbintcp::Packet<'a>) -> Result<T, E>,
) -> Option<T> {
    buffer.room()[..written.len()].copy_from_slice(written);
    buffer.received(written.len());
    buffer.next_packet().ok().flatten().and_then(|packet| parse(packet).ok())
}

/// What a client sends to the simulator's snapshot server.
pub(crate) fn server(data: &[u8]) {
    let config = GlimpseConfig::default();
    let mut session = GlimpseSession::new(config, 0);
    let (mut rest, mut now_ns) = (data, 0);
    while !rest.is_empty() && !session.is_over() {
        let room = session.room();
        if room.is_empty() {
            break;
        }
        let count = room.len().min(rest.len());
        room[..count].copy_from_slice(&rest[..count]);
        rest = &rest[count..];
        now_ns += 1_000_000;
        session.received(count, now_ns, &EXCHANGE);
        let sent = session.to_send().len();
        session.sent(sent);
        session.tick(now_ns);
    }
    assert!(session.messages_sent() <= EXCHANGE.next_sequence() * 4);
}
