//! The exchange's servers: what they answer is what was said.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use wirebook_simulator::{
    Exchange, GlimpseConfig, GlimpseFault, GlimpseOutcome, GlimpseSession, Model, Packet,
    RetransmitConfig, RetransmitFault, RetransmitServer, SEND_BYTES_MAX,
};
use wirebook_wire::glimpse;
use wirebook_wire::moldudp64::Request;
use wirebook_wire::soupbintcp::{ClientSession, Event, LoginRequest, SessionError};
use wirebook_wire::{PacketKind, Session, Transport, TransportPacket};

const MESSAGES: u64 = 5_000;

fn market() -> (Vec<Packet>, Exchange) {
    let packets = common::packets(1, MESSAGES);
    let exchange = common::exchange(&packets);
    (packets, exchange)
}

fn server(fault: RetransmitFault) -> RetransmitServer {
    RetransmitServer::new(RetransmitConfig { fault, ..RetransmitConfig::default() })
}

/// Session, sequence and messages of a packet; fails where it is not whole.
fn read(payload: &[u8]) -> (Session, u64, Vec<Vec<u8>>) {
    let packet = TransportPacket::parse(Transport::MoldUdp64, payload).unwrap();
    assert_eq!(packet.kind, PacketKind::Messages);
    let messages = packet.blocks.map(|block| block.unwrap().to_vec()).collect();
    (packet.session, packet.sequence, messages)
}

#[test]
fn a_request_is_answered_with_the_exact_messages_as_far_as_they_fit() {
    let (packets, exchange) = market();
    let said: Vec<Vec<u8>> =
        packets.iter().flat_map(|p| p.messages().map(<[u8]>::to_vec).collect::<Vec<_>>()).collect();
    assert_eq!(said.len() as u64, MESSAGES);
    let mut server = server(RetransmitFault::None);
    let (mut next, mut answers) = (1, 0);
    while next <= MESSAGES {
        let count = u16::try_from(next * 7 % 90 + 1).unwrap();
        let request = Request { session: exchange.session(), sequence: next, count };
        let [answer] = &server.answer(5, &request.encode(), &exchange)[..] else { panic!() };
        assert!(answer.at_ns == 5 && answer.payload.len() <= 1_400);
        let (session, sequence, messages) = read(&answer.payload);
        assert_eq!((session, sequence), (Session::MoldUdp64(exchange.session()), next));
        assert!(!messages.is_empty() && messages.len() <= usize::from(count));
        let at = next as usize - 1;
        assert_eq!(messages, said[at..at + messages.len()]);
        let is_full = answer.payload.len() + 2 + 50 > 1_400;
        let is_last = at + messages.len() == said.len();
        assert!(is_full || is_last || messages.len() == usize::from(count));
        next += messages.len() as u64;
        answers += 1;
    }
    let counts = server.counts();
    assert_eq!((counts.requests, counts.answers, counts.messages), (answers, answers, MESSAGES));
}

#[test]
fn what_cannot_be_answered_is_counted() {
    let (_, exchange) = market();
    let mut server = server(RetransmitFault::None);
    let session = exchange.session();
    let good = Request { session, sequence: 1, count: 1 };
    let bad = [
        Request { session: *b"OTHERDAY  ", ..good },
        Request { sequence: 0, ..good },
        Request { sequence: MESSAGES + 1, ..good },
        Request { count: 0, ..good },
        Request { sequence: u64::MAX, count: 0, ..good },
    ];
    for request in bad {
        assert!(server.answer(0, &request.encode(), &exchange).is_empty(), "{request:?}");
    }
    for length in (0..20).chain([21, 100]) {
        assert!(server.answer(0, &vec![0xff; length], &exchange).is_empty());
    }
    let counts = server.counts();
    assert_eq!((counts.other_session, counts.out_of_range, counts.malformed), (1, 4, 22));
    assert_eq!((counts.requests, counts.answers), (27, 0));
}

#[test]
fn a_request_larger_than_the_limit_is_answered_up_to_it() {
    let (_, exchange) = market();
    let config = RetransmitConfig { messages_max: 5, ..RetransmitConfig::default() };
    let mut server = RetransmitServer::new(config);
    let request = Request { session: exchange.session(), sequence: 10, count: u16::MAX };
    let answers = server.answer(0, &request.encode(), &exchange);
    assert_eq!(read(&answers[0].payload).2.len(), 5);
    assert_eq!(server.counts().over_limit, 1);
}

#[test]
fn a_server_misbehaves_as_it_is_told() {
    let (_, exchange) = market();
    let request = Request { session: exchange.session(), sequence: 100, count: 10 }.encode();
    let answers = |fault| server(fault).answer(7, &request, &exchange);
    let good = answers(RetransmitFault::None);
    assert_eq!(read(&good[0].payload).2.len(), 10);
    assert!(answers(RetransmitFault::Silent).is_empty());
    assert_eq!(read(&answers(RetransmitFault::Short)[0].payload).2.len(), 1);
    assert_eq!(answers(RetransmitFault::Twice), [good.clone(), good.clone()].concat());
    let slow = answers(RetransmitFault::Slow { delay_ns: 1_000 });
    assert_eq!((slow[0].at_ns, &slow[0].payload), (1_007, &good[0].payload));
}

/// No lie passes for an answer: it is of another range or session, or it does not hold.
#[test]
fn lies_are_never_wrong_messages_under_the_sequences_asked_for() {
    let (_, exchange) = market();
    let mut server = server(RetransmitFault::Lying);
    let (mut ranges, mut sessions, mut counts) = (0, 0, 0);
    for sequence in 1..=300 {
        let request = Request { session: exchange.session(), sequence, count: 3 };
        let [answer] = &server.answer(0, &request.encode(), &exchange)[..] else { panic!() };
        let packet = TransportPacket::parse(Transport::MoldUdp64, &answer.payload).unwrap();
        let whole: Vec<_> = packet.blocks.collect();
        for (message, sequence) in whole.iter().zip(packet.sequence..) {
            if let Ok(message) = message {
                assert_eq!(Some(*message), exchange.message(sequence));
            }
        }
        ranges += u64::from(packet.sequence != sequence);
        sessions += u64::from(packet.session != Session::MoldUdp64(exchange.session()));
        counts += u64::from(whole.iter().any(Result::is_err));
    }
    assert!(ranges > 50 && sessions > 50 && counts > 50, "{ranges} {sessions} {counts}");
    assert_eq!(server.counts().lies, 300);
}

/// Runs a connection to its end; gives the snapshot's messages and where to go on from.
fn take_snapshot(
    config: GlimpseConfig,
    login: LoginRequest,
    exchange: &Exchange,
) -> (Vec<Vec<u8>>, Result<u64, SessionError>, GlimpseOutcome) {
    let mut client = ClientSession::new(login, u16::MAX, 0);
    let mut server = GlimpseSession::new(config, 0);
    let (mut messages, mut sequence) = (Vec::new(), 0);
    let mut now_ns = 0;
    loop {
        now_ns += 10_000_000;
        assert!(now_ns < 600_000_000_000, "a connection ends");
        let sent = client.to_send().len();
        if sent > 0 && !server.is_over() {
            let bytes = client.to_send().to_vec();
            server.room()[..sent].copy_from_slice(&bytes);
            server.received(sent, now_ns, exchange);
        }
        client.sent(sent);
        server.tick(now_ns);
        assert!(server.to_send().len() < SEND_BYTES_MAX + 100);
        // Awkward pieces: packets are split anywhere.
        let piece = server.to_send().len().min(client.room().len()).min(997);
        client.room()[..piece].copy_from_slice(&server.to_send()[..piece]);
        client.received(piece, now_ns);
        server.sent(piece);
        loop {
            match client.next_event() {
                Ok(None) => break,
                Ok(Some(Event::LoggedIn { session, sequence })) => {
                    assert_eq!((session, sequence), (exchange.session(), 1));
                }
                Ok(Some(Event::Message { message, .. })) => {
                    match glimpse::parse(message).unwrap() {
                        glimpse::Message::Itch(message) => messages.push(message.to_vec()),
                        glimpse::Message::End { sequence: next } => sequence = next,
                    }
                }
                Ok(Some(Event::EndOfSession)) => return (messages, Ok(sequence), server.outcome()),
                Err(error) => return (messages, Err(error), server.outcome()),
            }
        }
        if let Err(error) = client.tick(now_ns) {
            return (messages, Err(error), server.outcome());
        }
        if server.is_over() && server.to_send().is_empty() {
            let closed = client.closed().map(|()| sequence);
            return (messages, closed, server.outcome());
        }
    }
}

fn login() -> LoginRequest {
    LoginRequest::new("user", "secret", "", 1).unwrap()
}

fn same_books(found: &Model, expected: &Model) {
    assert!(found.locates().eq(expected.locates()));
    for locate in expected.locates() {
        assert_eq!(found.symbol(locate), expected.symbol(locate));
        let orders = |model: &Model| model.orders(locate).collect::<Vec<_>>();
        assert_eq!(orders(found), orders(expected), "locate {locate}");
    }
}

/// Also FIFO: both lists are in the order of priority, and the orders' references differ.
#[test]
fn a_snapshot_makes_the_same_books_at_any_sequence() {
    let packets = common::packets(3, MESSAGES);
    let mut exchange = Exchange::new(*b"WIREBOOK01");
    let mut taken = 0;
    for (number, packet) in packets.iter().enumerate() {
        exchange.publish(packet).unwrap();
        if number % 97 != 0 {
            continue;
        }
        let (messages, sequence, outcome) =
            take_snapshot(GlimpseConfig::default(), login(), &exchange);
        assert_eq!((sequence, outcome), (Ok(exchange.next_sequence()), GlimpseOutcome::Complete));
        let mut model = Model::default();
        messages.iter().for_each(|message| model.apply(message).unwrap());
        same_books(&model, exchange.model());
        same_books(&model, &exchange.model_before(exchange.next_sequence()));
        // What follows applies to a snapshot's books as to the exchange's own.
        let mut whole = exchange.clone();
        for later in &packets[number + 1..] {
            whole.publish(later).unwrap();
            later.messages().for_each(|message| model.apply(message).unwrap());
        }
        same_books(&model, whole.model());
        taken += 1;
    }
    assert!(taken > 10 && exchange.model().order_count() > 50);
}

#[test]
fn a_snapshot_tells_the_trading_state_and_the_directory_first() {
    let (_, exchange) = market();
    let (messages, ..) = take_snapshot(GlimpseConfig::default(), login(), &exchange);
    let kinds: Vec<u8> = messages.iter().map(|message| message[0]).collect();
    let count = |kind| kinds.iter().filter(|found| **found == kind).count();
    assert_eq!((count(b'S'), count(b'V'), count(b'R'), count(b'H')), (1, 1, 8, 8));
    let first_add = kinds.iter().position(|kind| matches!(kind, b'A' | b'F')).unwrap();
    assert!(kinds[first_add..].iter().all(|kind| matches!(kind, b'A' | b'F')));
    assert!(count(b'F') > 0, "whose an order is stays known");
}

#[test]
fn a_login_that_is_wrong_is_refused() {
    let (_, exchange) = market();
    let known = GlimpseConfig { login: Some((*b"user  ", *b"secret    ")), ..Default::default() };
    let outcome = |config, login| take_snapshot(config, login, &exchange).2;
    assert_eq!(outcome(known, login()), GlimpseOutcome::Complete);
    let wrong = LoginRequest::new("user", "guess", "", 1).unwrap();
    assert_eq!(outcome(known, wrong), GlimpseOutcome::Refused);
    let yesterday = LoginRequest::new("user", "secret", "YESTERDAY", 1).unwrap();
    assert_eq!(outcome(known, yesterday), GlimpseOutcome::Refused);
    let refuses = GlimpseConfig { fault: GlimpseFault::Refuses, ..Default::default() };
    let (messages, result, _) = take_snapshot(refuses, login(), &exchange);
    assert!(messages.is_empty() && matches!(result, Err(SessionError::Refused(_))));
}

#[test]
fn a_snapshot_misbehaves_as_it_is_told() {
    let (_, exchange) = market();
    let whole = exchange.model().snapshot().len();
    let with = |fault| take_snapshot(GlimpseConfig { fault, login: None }, login(), &exchange);

    let (messages, result, outcome) = with(GlimpseFault::ClosesHalfway);
    assert_eq!((messages.len(), outcome), (whole / 2, GlimpseOutcome::ClosedHalfway));
    assert!(matches!(result, Err(SessionError::Closed { .. })));

    let (messages, result, _) = with(GlimpseFault::GoesBack);
    let sequence = result.unwrap();
    assert_eq!(sequence, exchange.next_sequence().div_ceil(2));
    let mut model = Model::default();
    messages.iter().for_each(|message| model.apply(message).unwrap());
    same_books(&model, &exchange.model_before(sequence));

    let (messages, result, _) = with(GlimpseFault::Slow { messages_per_second: 50 });
    assert_eq!((messages.len(), result), (whole, Ok(exchange.next_sequence())));
}

#[test]
fn a_slow_snapshot_is_slow_and_its_heart_beats() {
    let (_, exchange) = market();
    let fault = GlimpseFault::Slow { messages_per_second: 1 };
    let mut server = GlimpseSession::new(GlimpseConfig { fault, login: None }, 0);
    let mut client = ClientSession::new(login(), u16::MAX, 0);
    let bytes = client.to_send().to_vec();
    client.sent(bytes.len());
    server.room()[..bytes.len()].copy_from_slice(&bytes);
    server.received(bytes.len(), 0, &exchange);
    server.tick(999_999_999);
    assert_eq!(server.messages_sent(), 0);
    server.tick(3_000_000_000);
    assert_eq!(server.messages_sent(), 3);
    server.tick(15_000_000_000);
    assert_eq!(server.outcome(), GlimpseOutcome::Failed, "a silent client is given up");
}

#[test]
fn garbage_ends_a_connection() {
    let (_, exchange) = market();
    for bytes in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"\0\0", b"\0\x05Lshort", b"\xff\xffL"] {
        let mut server = GlimpseSession::new(GlimpseConfig::default(), 0);
        server.room()[..bytes.len()].copy_from_slice(bytes);
        server.received(bytes.len(), 0, &exchange);
        assert_eq!(server.outcome(), GlimpseOutcome::Failed, "{}", bytes.escape_ascii());
        assert!(server.is_over() && server.to_send().is_empty());
    }
    let mut server = GlimpseSession::new(GlimpseConfig::default(), 0);
    server.received(0, 0, &exchange);
    assert_eq!(server.outcome(), GlimpseOutcome::Left);
}
