//! Retransmission: MoldUDP64 1.00, "Request Packet".

use super::{Bench, NAME, SESSION, Seen, Stop};
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use wirebook_wire::moldudp64::{self, Request};

/// A re-request server: `answer` gives the payloads that it sends for a request.
fn server(answer: impl Fn(Request) -> Vec<Vec<u8>> + Send + 'static) -> (SocketAddr, Stop) {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    socket.set_read_timeout(Some(Duration::from_millis(20))).expect("a timeout");
    let address = socket.local_addr().expect("an address");
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    std::thread::spawn(move || {
        let mut payload = [0; 100];
        while !stopped.load(Ordering::Relaxed) {
            let Ok((length, client)) = socket.recv_from(&mut payload) else { continue };
            let request = Request::parse(&payload[..length]).expect("a request packet");
            for answer in answer(request) {
                socket.send_to(&answer, client).expect("an answer sent");
            }
        }
    });
    (address, Stop(stop))
}

/// A port of this host on which nothing listens.
fn nobody() -> SocketAddr {
    UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port")
}

/// A downstream packet of messages that name their sequence.
fn packet(session: [u8; 10], sequence: u64, count: u16) -> Vec<u8> {
    let header = Request { session, sequence, count };
    let mut payload = header.encode().to_vec();
    for sequence in sequence..sequence + u64::from(count) {
        payload.extend(8_u16.to_be_bytes());
        payload.extend(sequence.to_be_bytes());
    }
    payload
}

fn honest(request: Request) -> Vec<Vec<u8>> {
    vec![packet(request.session, request.sequence, request.count)]
}

/// Servers that are waited for as long as it takes, so that only what a test names happens.
fn patient(servers: &[SocketAddr]) -> Bench {
    bench(servers, "answer_wait_ms = 10000\nretransmit_deadline_ms = 60000")
}

/// The first server is passed over soon, and the next has the time that a busy host takes.
const SHORT_WAIT: &str = "answer_wait_ms = 1000\nretransmit_deadline_ms = 60000";

fn bench(servers: &[SocketAddr], more: &str) -> Bench {
    let servers: Vec<_> = servers.iter().map(|at| format!("{{ address = \"{at}\" }}")).collect();
    Bench::of(&format!("retransmit = [{}]\n{more}", servers.join(", ")))
}

#[test]
fn gap_fill_the_answer_is_handed_over_as_it_came() {
    let (address, _stop) = server(honest);
    let mut bench = patient(&[address]);
    bench.ask_again(5..9);
    bench.until(|bench| !bench.seen.is_empty());
    assert_eq!(bench.seen, [Seen::Packet(packet(NAME, 5, 4))]);
    let counters = bench.counters();
    assert_eq!((counters.requests, counters.answers, counters.short_answers), (1, 1, 0));
}

#[test]
fn request_larger_than_the_servers_limit_is_split() {
    let (address, _stop) = server(|request| {
        assert!(request.count <= 10);
        honest(request)
    });
    let more = "request_messages_max = 10\nanswer_wait_ms = 10000\nretransmit_deadline_ms = 60000";
    let mut bench = bench(&[address], more);
    bench.ask_again(1..26);
    bench.until(|bench| bench.seen.len() == 3);
    for (sequence, count) in [(1, 10), (11, 10), (21, 5)] {
        assert!(bench.seen.contains(&Seen::Packet(packet(NAME, sequence, count))), "{sequence}");
    }
}

#[test]
fn backfill_a_short_answer_is_completed_by_further_requests() {
    let (address, _stop) =
        server(|request| vec![packet(request.session, request.sequence, request.count.min(3))]);
    let mut bench = patient(&[address]);
    bench.ask_again(1..9);
    bench.until(|bench| bench.seen.len() == 3);
    let expected =
        [(1, 3), (4, 3), (7, 2)].map(|(at, count)| Seen::Packet(packet(NAME, at, count)));
    assert_eq!(bench.seen, expected);
    assert_eq!(bench.counters().short_answers, 2);
}

#[test]
fn a_dead_server_is_passed_over() {
    let (address, _stop) = server(honest);
    let mut bench = patient(&[nobody(), address]);
    bench.ask_again(5..9);
    bench.until(|bench| !bench.seen.is_empty());
    assert_eq!(bench.seen, [Seen::Packet(packet(NAME, 5, 4))]);
    assert!(bench.counters().unreachable_servers >= 1, "{:?}", bench.counters());
}

#[test]
fn a_silent_server_is_passed_over_after_its_time() {
    let (silent, _stop_silent) = server(|_| Vec::new());
    let (address, _stop) = server(honest);
    let mut bench = bench(&[silent, address], SHORT_WAIT);
    bench.ask_again(5..9);
    bench.until(|bench| !bench.seen.is_empty());
    assert_eq!(bench.seen, [Seen::Packet(packet(NAME, 5, 4))]);
    assert_eq!((bench.counters().requests, bench.counters().timeouts), (2, 1));
}

#[test]
fn a_lying_server_is_not_believed_and_passed_over() {
    let lies = |request: Request| {
        let other_session = packet(*b"000010059C", request.sequence, request.count);
        let other_messages = packet(request.session, 1_000, 3);
        let mut too_few = packet(request.session, request.sequence, request.count);
        too_few.truncate(too_few.len() - 1);
        let mut too_many = packet(request.session, request.sequence, request.count);
        too_many.push(0);
        let mut count_65534 = packet(request.session, request.sequence, request.count);
        count_65534[18..20].copy_from_slice(&65_534_u16.to_be_bytes());
        vec![other_session, other_messages, too_few, too_many, count_65534, b"garbage".to_vec()]
    };
    let (liar, _stop_liar) = server(lies);
    let (address, _stop) = server(honest);
    let mut bench = bench(&[liar, address], SHORT_WAIT);
    bench.ask_again(5..9);
    bench.until(|bench| !bench.seen.is_empty() && bench.counters().malformed_answers == 4);
    assert_eq!(bench.seen, [Seen::Packet(packet(NAME, 5, 4))]);
    let counters = bench.counters();
    assert_eq!((counters.unasked_answers, counters.malformed_answers), (2, 4));
}

#[test]
fn an_answer_that_comes_twice_is_handed_over_once() {
    let (address, _stop) = server(|request| [honest(request), honest(request)].concat());
    let mut bench = patient(&[address]);
    bench.ask_again(5..9);
    bench.until(|bench| bench.counters().unasked_answers == 1);
    assert_eq!(bench.seen, [Seen::Packet(packet(NAME, 5, 4))]);
}

#[test]
fn what_nobody_sends_again_has_failed_by_its_deadline() {
    let (silent, _stop) = server(|_| Vec::new());
    let mut bench = bench(&[silent, nobody()], "retransmit_deadline_ms = 150");
    bench.ask_again(5..9);
    bench.until(|bench| !bench.seen.is_empty());
    assert_eq!(bench.seen, [Seen::RetransmitFailed(5..9)]);
    assert_eq!(bench.counters().retransmit_failures, 1);
}

#[test]
fn an_empty_answer_is_no_answer() {
    let (empty, _stop) = server(|request| vec![packet(request.session, request.sequence, 0)]);
    let mut bench = bench(&[empty], "retransmit_deadline_ms = 100");
    bench.ask_again(5..9);
    bench.until(|bench| !bench.seen.is_empty());
    assert_eq!(bench.seen, [Seen::RetransmitFailed(5..9)]);
    assert!(bench.counters().empty_answers >= 1);
}

#[test]
fn what_is_no_longer_wanted_is_not_asked_for_and_not_handed_over() {
    let (address, _stop) = server(|request| {
        std::thread::sleep(Duration::from_millis(50));
        honest(request)
    });
    let mut bench = patient(&[address]);
    bench.ask_again(5..9);
    bench.until(|bench| bench.counters().requests == 1);
    bench.worker.end();
    bench.until(|bench| bench.counters().unasked_answers == 1);
    assert_eq!((&*bench.seen, bench.counters().requests), (&[][..], 1));
    bench.ask_again(20..21);
    bench.until(|bench| !bench.seen.is_empty());
    assert_eq!(bench.seen, [Seen::Packet(packet(NAME, 20, 1))]);
}

#[test]
fn a_worker_that_takes_nothing_costs_a_bounded_number_of_buffers() {
    let (address, _stop) = server(honest);
    let more = "request_messages_max = 1\nrequests_per_second = 1000000\n\
                answer_wait_ms = 50\nretransmit_deadline_ms = 10000";
    let mut bench = bench(&[address], more);
    bench.ask_again(1..201);
    let began = std::time::Instant::now();
    while bench.counters().unbuffered_answers == 0 && began.elapsed() < super::PATIENCE {
        bench.turn();
    }
    assert!(bench.counters().unbuffered_answers > 0);
    bench.until(|bench| bench.counters().answers == 200 && bench.seen.len() == 200);
}

#[test]
fn a_session_of_another_transport_has_no_retransmission() {
    let (address, _stop) = server(honest);
    let mut bench = patient(&[address]);
    let session = wirebook_wire::Session::IexTp { session_id: 1, channel_id: 1 };
    let request = super::Request::Retransmit { session, messages: 1..2 };
    bench.worker.request(request).unwrap();
    bench.until(|bench| !bench.seen.is_empty());
    assert_eq!(bench.seen, [Seen::RetransmitFailed(1..2)]);
}

#[test]
fn a_packet_of_the_test_is_one_that_the_parser_takes() {
    let payload = packet(NAME, 5, 4);
    let parsed = moldudp64::parse(&payload).unwrap();
    assert_eq!((parsed.session, parsed.sequence, parsed.count), (SESSION, 5, 4));
}
