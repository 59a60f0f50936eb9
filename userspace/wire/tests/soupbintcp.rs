//! SoupBinTCP sessions, by the clauses of its specification, version 3.00.

use proptest::prelude::*;
use wirebook_wire::glimpse;
use wirebook_wire::moldudp64::Request;
use wirebook_wire::soupbintcp::{
    ClientPacket, ClientSession, Event, FrameError, HEARTBEAT_NS, LoginRequest, PACKET_LENGTH_MAX,
    ReceiveBuffer, RejectReason, SILENCE_NS, ServerPacket, SessionError,
};

const START_NS: u64 = 1_000_000_000_000;
const SESSION: [u8; 10] = *b"    000042";

/// An event that outlives its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Seen {
    LoggedIn([u8; 10], u64),
    Message(u64, Vec<u8>),
    EndOfSession,
    Error(SessionError),
}

fn session(asked: &str) -> ClientSession {
    let login = LoginRequest::new("user", "secret", asked, 1).expect("fields that fit");
    let mut session = ClientSession::new(login, PACKET_LENGTH_MAX, START_NS);
    let length = session.to_send().len();
    session.sent(length);
    session
}

fn bytes(packets: &[ServerPacket<'_>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    packets.iter().for_each(|packet| packet.write(&mut bytes).expect("data that fits"));
    bytes
}

fn accepted(sequence: u64) -> ServerPacket<'static> {
    ServerPacket::LoginAccepted { session: SESSION, sequence }
}

/// Gives the session these bytes and takes what comes of them.
fn feed(session: &mut ClientSession, mut bytes: &[u8], now_ns: u64) -> Vec<Seen> {
    let mut seen = Vec::new();
    while !bytes.is_empty() {
        let room = session.room();
        let length = room.len().min(bytes.len());
        room[..length].copy_from_slice(&bytes[..length]);
        bytes = &bytes[length..];
        session.received(length, now_ns);
        loop {
            match session.next_event() {
                Ok(None) => break,
                Ok(Some(Event::LoggedIn { session, sequence })) => {
                    seen.push(Seen::LoggedIn(session, sequence));
                }
                Ok(Some(Event::Message { sequence, message })) => {
                    seen.push(Seen::Message(sequence, message.to_vec()));
                }
                Ok(Some(Event::EndOfSession)) => seen.push(Seen::EndOfSession),
                Err(error) => seen.push(Seen::Error(error)),
            }
        }
        if session.is_over() {
            break;
        }
    }
    seen
}

/// What a client has to send, as packets.
fn sent(session: &mut ClientSession) -> Vec<u8> {
    let mut buffer = ReceiveBuffer::default();
    let length = session.to_send().len();
    buffer.room()[..length].copy_from_slice(session.to_send());
    buffer.received(length);
    session.sent(length);
    let mut kinds = Vec::new();
    while let Some(packet) = buffer.next_packet().expect("whole packets") {
        assert!(ClientPacket::parse(packet).is_ok());
        kinds.push(packet.kind);
    }
    kinds
}

#[test]
fn clause_1_2_messages_are_counted_from_the_accepted_sequence() {
    let mut session = session("");
    let stream = bytes(&[
        accepted(17),
        ServerPacket::SequencedData(b"a"),
        ServerPacket::Heartbeat,
        ServerPacket::Debug(b"for people"),
        ServerPacket::SequencedData(b""),
        ServerPacket::EndOfSession,
    ]);
    let expected = [
        Seen::LoggedIn(SESSION, 17),
        Seen::Message(17, b"a".to_vec()),
        Seen::Message(18, Vec::new()),
        Seen::EndOfSession,
    ];
    assert_eq!(feed(&mut session, &stream, START_NS), expected);
    assert_eq!((session.is_over(), session.closed()), (true, Ok(())));
}

#[test]
fn clause_1_3_a_client_that_is_logged_in_and_silent_sends_a_heartbeat_each_second() {
    let mut session = session("");
    session.tick(START_NS + HEARTBEAT_NS).unwrap();
    assert_eq!(sent(&mut session), b"", "not before it is logged in");
    feed(&mut session, &bytes(&[accepted(1)]), START_NS);
    session.tick(START_NS + HEARTBEAT_NS - 1).unwrap();
    assert_eq!(sent(&mut session), b"");
    assert_eq!(session.next_tick_ns(), START_NS + HEARTBEAT_NS);
    session.tick(START_NS + HEARTBEAT_NS).unwrap();
    session.tick(START_NS + HEARTBEAT_NS).unwrap();
    assert_eq!(sent(&mut session), b"R");
    assert_eq!(session.next_tick_ns(), START_NS + 2 * HEARTBEAT_NS);
    session.tick(START_NS + 3 * HEARTBEAT_NS).unwrap();
    session.tick(START_NS + 5 * HEARTBEAT_NS).unwrap();
    assert_eq!(sent(&mut session), b"R", "none is added while one waits");
}

#[test]
fn clause_1_3_a_server_that_is_silent_for_15_seconds_is_dead() {
    let mut session = session("");
    feed(&mut session, &bytes(&[accepted(1)]), START_NS + 5);
    assert_eq!(session.tick(START_NS + 4 + SILENCE_NS), Ok(()));
    feed(&mut session, &bytes(&[ServerPacket::Heartbeat]), START_NS + 6);
    assert_eq!(session.tick(START_NS + 5 + SILENCE_NS), Ok(()));
    let error = SessionError::Silent { silent_ns: SILENCE_NS };
    assert_eq!(session.tick(START_NS + 6 + SILENCE_NS), Err(error));
    assert_eq!((session.is_over(), session.next_tick_ns()), (true, u64::MAX));
}

#[test]
fn clause_1_3_a_login_without_an_answer_is_silence_too() {
    let mut session = session("");
    assert_eq!(session.next_tick_ns(), START_NS + SILENCE_NS);
    assert!(matches!(session.tick(START_NS + SILENCE_NS), Err(SessionError::Silent { .. })));
}

#[test]
fn clause_2_2_1_a_login_to_another_session_is_an_error() {
    let accepted = bytes(&[accepted(1)]);
    let seen = feed(&mut session("000042"), &accepted, START_NS);
    assert_eq!(seen, [Seen::LoggedIn(SESSION, 1)]);
    let seen = feed(&mut session("000041"), &accepted, START_NS);
    assert_eq!(seen, [Seen::Error(SessionError::OtherSession { found: SESSION })]);
}

#[test]
fn clause_2_2_2_a_refused_login_says_why() {
    for (reason, text) in [
        (RejectReason::NotAuthorised, "the login was refused: not authorised"),
        (RejectReason::SessionUnavailable, "the login was refused: session not available"),
        (RejectReason::Other(b'X'), "the login was refused: reason 'X'"),
    ] {
        let mut session = session("");
        let stream = bytes(&[ServerPacket::LoginRejected(reason), ServerPacket::Heartbeat]);
        let error = SessionError::Refused(reason);
        assert_eq!(feed(&mut session, &stream, START_NS), [Seen::Error(error)]);
        assert_eq!(error.to_string(), text);
        assert!(session.is_over());
    }
}

#[test]
fn clause_2_2_packets_without_a_place_are_errors() {
    let before_login = [ServerPacket::SequencedData(b"a"), ServerPacket::EndOfSession];
    for packet in before_login {
        let seen = feed(&mut session(""), &bytes(&[packet]), START_NS);
        assert!(matches!(seen[..], [Seen::Error(SessionError::Unexpected { .. })]));
    }
    let after_login = [accepted(1), ServerPacket::LoginRejected(RejectReason::NotAuthorised)];
    for packet in after_login {
        let seen = feed(&mut session(""), &bytes(&[accepted(1), packet]), START_NS);
        assert!(matches!(seen[1..], [Seen::Error(SessionError::Unexpected { .. })]));
    }
}

#[test]
fn a_packet_of_an_unknown_type_is_counted_and_stepped_over() {
    let mut session = session("");
    let stream =
        bytes(&[ServerPacket::Unknown(b'U'), accepted(1), ServerPacket::SequencedData(b"a")]);
    assert_eq!(feed(&mut session, &stream, START_NS).len(), 2);
    assert_eq!(session.unknown_packets(), 1);
}

#[test]
fn clause_2_3_4_nothing_comes_after_a_logout() {
    let mut session = session("");
    feed(&mut session, &bytes(&[accepted(1)]), START_NS);
    session.log_out(START_NS);
    session.log_out(START_NS);
    assert_eq!(sent(&mut session), b"O");
    let late = bytes(&[ServerPacket::SequencedData(b"late")]);
    assert_eq!(feed(&mut session, &late, START_NS), []);
    assert_eq!(session.closed(), Ok(()));
}

#[test]
fn a_connection_that_closes_half_way_is_an_error() {
    for (stream, held_bytes) in
        [(bytes(&[]), 0), (bytes(&[accepted(1)]), 0), (b"\0\x1fA".to_vec(), 3)]
    {
        let mut session = session("");
        feed(&mut session, &stream, START_NS);
        assert_eq!(session.closed(), Err(SessionError::Closed { held_bytes }));
        assert_eq!(session.closed(), Ok(()), "it is told once");
    }
}

#[test]
fn clause_1_1_a_length_that_cannot_be_ends_the_session() {
    let mut session = session("");
    let seen = feed(&mut session, b"\0\0\0\x01H", START_NS);
    assert_eq!(seen, [Seen::Error(SessionError::Frame(FrameError::Empty))]);
    let login = LoginRequest::new("", "", "", 1).unwrap();
    let mut session = ClientSession::new(login, 100, START_NS);
    let seen = feed(&mut session, b"\0\x65", START_NS);
    let error = FrameError::TooLong { limit: 100, found: 101 };
    assert_eq!(seen, [Seen::Error(SessionError::Frame(error))]);
}

#[test]
fn every_cut_of_a_session_gives_the_events_before_it_and_a_close_half_way() {
    let stream = bytes(&[
        accepted(1),
        ServerPacket::SequencedData(b"first"),
        ServerPacket::Heartbeat,
        ServerPacket::SequencedData(b"second"),
        ServerPacket::EndOfSession,
    ]);
    let whole = feed(&mut session(""), &stream, START_NS);
    for length in 0..stream.len() {
        let mut session = session("");
        let seen = feed(&mut session, &stream[..length], START_NS);
        assert_eq!(seen, whole[..seen.len()]);
        assert!(matches!(session.closed(), Err(SessionError::Closed { .. })), "{length}");
    }
}

fn any_packet() -> impl Strategy<Value = Vec<u8>> {
    let data = prop::collection::vec(any::<u8>(), 0..300);
    prop_oneof![
        8 => data.prop_map(|data| bytes(&[ServerPacket::SequencedData(&data)])),
        2 => Just(bytes(&[ServerPacket::Heartbeat])),
        1 => Just(bytes(&[ServerPacket::Debug(b"text")])),
        1 => Just(bytes(&[ServerPacket::Unknown(b'?')])),
        1 => Just(bytes(&[ServerPacket::EndOfSession])),
        1 => Just(b"\0\0".to_vec()),
        1 => Just(b"\0\x05Ashort"[..7].to_vec()),
    ]
}

proptest! {
    #[test]
    fn any_split_of_a_stream_gives_the_same_events(
        packets in prop::collection::vec(any_packet(), 0..60),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..80),
    ) {
        let mut stream = bytes(&[accepted(5)]);
        stream.extend(packets.concat());
        let mut ends: Vec<_> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
        ends.push(stream.len());
        ends.sort_unstable();

        let mut whole = session("");
        let expected = feed(&mut whole, &stream, START_NS);
        let mut split = session("");
        let mut seen = Vec::new();
        let mut start = 0;
        for end in ends {
            seen.extend(feed(&mut split, &stream[start..end], START_NS));
            start = end;
        }
        prop_assert_eq!(seen, expected);
        prop_assert_eq!(split.is_over(), whole.is_over());
        prop_assert_eq!(split.closed(), whole.closed());
    }

    #[test]
    fn random_bytes_never_panic(stream in prop::collection::vec(any::<u8>(), 0..2_000)) {
        feed(&mut session(""), &stream, START_NS);
        let mut with_login = bytes(&[accepted(1)]);
        with_login.extend(&stream);
        feed(&mut session(""), &with_login, START_NS);
        let mut buffer = ReceiveBuffer::default();
        buffer.room()[..stream.len()].copy_from_slice(&stream);
        buffer.received(stream.len());
        while let Ok(Some(packet)) = buffer.next_packet() {
            let _ = (ClientPacket::parse(packet), ServerPacket::parse(packet));
        }
        let _ = (glimpse::parse(&stream), Request::parse(&stream));
    }
}
