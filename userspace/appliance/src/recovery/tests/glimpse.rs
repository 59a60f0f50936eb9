//! Snapshots: GLIMPSE 5.0 over SoupBinTCP 3.00.

use super::super::snapshot::SnapshotFailure;
use super::{Bench, Seen};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;
use wirebook_wire::glimpse::end_of_snapshot;
use wirebook_wire::soupbintcp::{ClientPacket, ReceiveBuffer, RejectReason, ServerPacket};

/// What a server's connections have received, by type, once each is closed.
type Received = Receiver<Vec<u8>>;

/// A server that writes `stream` after the login of each of `connections`, and closes where it is
/// told to, or else waits for the client to close.
fn server(stream: Vec<u8>, closes: bool) -> (SocketAddr, Received) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let (sender, received) = channel();
    std::thread::spawn(move || {
        while let Ok((client, _)) = listener.accept() {
            if sender.send(converse(client, &stream, closes)).is_err() {
                return;
            }
        }
    });
    (address, received)
}

fn converse(mut client: TcpStream, stream: &[u8], closes: bool) -> Vec<u8> {
    client.set_read_timeout(Some(super::PATIENCE)).expect("a timeout");
    let mut buffer = ReceiveBuffer::default();
    let mut kinds = Vec::new();
    loop {
        while let Some(packet) = buffer.next_packet().expect("packets") {
            kinds.push(packet.kind);
            if let Ok(ClientPacket::LoginRequest(login)) = ClientPacket::parse(packet) {
                assert_eq!((&login.username, login.sequence), (b"user  ", 1));
                // A client that has heard enough closes before all is written.
                if client.write_all(stream).is_err() || closes {
                    return kinds;
                }
            }
        }
        match client.read(buffer.room()) {
            Ok(0) | Err(_) => return kinds,
            Ok(length) => buffer.received(length),
        }
    }
}

/// The stream of a snapshot: login, these messages, and what follows.
fn stream(messages: &[Vec<u8>], after: &[ServerPacket<'_>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let accepted = ServerPacket::LoginAccepted { session: *b"    000042", sequence: 1 };
    let data = messages.iter().map(|message| ServerPacket::SequencedData(message));
    let packets = [accepted].into_iter().chain(data).chain(after.iter().copied());
    packets.for_each(|packet| packet.write(&mut bytes).expect("data that fits"));
    bytes
}

fn messages(count: u32) -> Vec<Vec<u8>> {
    (0..count).map(|number| [b"A", &number.to_be_bytes()[..], &[7; 31]].concat()).collect()
}

fn whole(messages: &[Vec<u8>], sequence: u64) -> Vec<u8> {
    stream(messages, &[ServerPacket::SequencedData(&end_of_snapshot(sequence))])
}

fn bench(servers: &[SocketAddr], more: &str) -> Bench {
    let server = |at: &SocketAddr| {
        format!("{{ address = \"{at}\", username = \"user\", password = \"secret\" }}")
    };
    let servers: Vec<_> = servers.iter().map(server).collect();
    Bench::of(&format!("snapshot = [{}]\n{more}", servers.join(", ")))
}

fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port")
}

fn is_over(bench: &Bench) -> bool {
    matches!(bench.seen.last(), Some(Seen::Ends(_) | Seen::Failed(_)))
}

/// Asks one server and gives how it ended.
fn outcome(stream: Vec<u8>, closes: bool, more: &str) -> (Bench, Seen) {
    let (address, _received) = server(stream, closes);
    let mut bench = bench(&[address], more);
    bench.ask_snapshot(100);
    bench.until(is_over);
    let last = bench.seen.last().expect("an end").clone();
    (bench, last)
}

#[test]
fn a_whole_snapshot_is_handed_over_in_order_and_the_client_logs_out() {
    let expected = messages(3_000);
    let (address, received) = server(whole(&expected, 100), false);
    let mut bench = bench(&[address], "");
    bench.ask_snapshot(100);
    bench.until(is_over);
    assert_eq!(bench.seen.first(), Some(&Seen::Begins));
    assert_eq!(bench.seen.last(), Some(&Seen::Ends(100)));
    assert_eq!(bench.snapshot_messages(), expected);
    let counters = bench.counters();
    assert_eq!((counters.snapshots, counters.snapshot_messages), (1, 3_000));
    assert_eq!((counters.connections, counters.snapshot_failures), (1, 0));
    assert_eq!(received.recv_timeout(super::PATIENCE), Ok(b"LO".to_vec()));
}

#[test]
fn a_worker_that_is_behind_holds_up_the_reading_and_loses_nothing() {
    let expected = messages(60_000);
    let (address, _received) = server(whole(&expected, 100), false);
    let mut bench = bench(&[address], "");
    bench.ask_snapshot(1);
    let began = std::time::Instant::now();
    while bench.counters().snapshot_backpressure == 0 && began.elapsed() < super::PATIENCE {
        bench.turn();
    }
    assert!(bench.counters().snapshot_messages < 60_000, "buffers are bounded");
    (0..20).for_each(|_| bench.turn());
    assert_eq!(bench.counters().snapshot_backpressure, 1);
    bench.until(is_over);
    assert_eq!(bench.seen.last(), Some(&Seen::Ends(100)));
    assert!(bench.snapshot_messages() == expected, "every message, in order");
}

#[test]
fn a_refused_login_is_a_failed_snapshot() {
    for reason in [RejectReason::NotAuthorised, RejectReason::SessionUnavailable] {
        let mut stream = Vec::new();
        ServerPacket::LoginRejected(reason).write(&mut stream).unwrap();
        let (bench, last) = outcome(stream, true, "");
        assert_eq!(last, Seen::Failed(SnapshotFailure::Refused(reason)));
        assert_eq!(bench.seen.len(), 1, "nothing began");
        assert_eq!((bench.counters().refused_logins, bench.counters().snapshot_failures), (1, 1));
    }
}

#[test]
fn a_server_that_closes_half_way_is_a_failed_snapshot() {
    let whole = whole(&messages(100), 100);
    for length in [0, 2, 40, whole.len() / 2, whole.len() - 1] {
        let (bench, last) = outcome(whole[..length].to_vec(), true, "");
        assert_eq!(last, Seen::Failed(SnapshotFailure::ClosedEarly), "{length}");
        assert_eq!(bench.counters().closed_early, 1);
    }
    let (_, last) = outcome(stream(&messages(3), &[ServerPacket::EndOfSession]), false, "");
    assert_eq!(last, Seen::Failed(SnapshotFailure::ClosedEarly));
}

#[test]
fn a_snapshot_without_end_is_overdue() {
    let (bench, last) = outcome(stream(&messages(10), &[]), false, "snapshot_deadline_ms = 200");
    assert_eq!(last, Seen::Failed(SnapshotFailure::Overdue));
    assert_eq!(bench.counters().overdue, 1);
}

#[test]
fn garbage_is_a_failed_snapshot() {
    let number = b"G0000000000000000zzzz";
    let from_17 = {
        let mut bytes = Vec::new();
        let accepted = ServerPacket::LoginAccepted { session: [b' '; 10], sequence: 17 };
        accepted.write(&mut bytes).unwrap();
        bytes
    };
    for garbage in [
        b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(),
        b"\0\0".to_vec(),
        stream(&[], &[ServerPacket::SequencedData(number)]),
        stream(&[], &[ServerPacket::SequencedData(&end_of_snapshot(0))]),
        stream(&[vec![b'A'; 5_000]], &[]),
        from_17,
    ] {
        let (bench, last) = outcome(garbage, false, "");
        assert_eq!(last, Seen::Failed(SnapshotFailure::Garbage));
        assert_eq!(bench.counters().garbage, 1);
    }
}

#[test]
fn a_snapshot_that_goes_back_in_time_is_refused() {
    let (bench, last) = outcome(whole(&messages(3), 99), false, "");
    assert_eq!(last, Seen::Failed(SnapshotFailure::Behind));
    assert_eq!(bench.counters().behind, 1);
}

#[test]
fn a_server_that_fails_is_followed_by_the_next_which_is_then_preferred() {
    let half = whole(&messages(50), 100);
    let (closing, closed) = server(half[..half.len() / 2].to_vec(), true);
    let expected = messages(40);
    let (address, _received) = server(whole(&expected, 101), false);
    let mut bench = bench(&[nobody(), closing, address], "");
    bench.ask_snapshot(100);
    bench.until(is_over);
    assert_eq!(bench.seen.last(), Some(&Seen::Ends(101)));
    assert_eq!(bench.seen.iter().filter(|seen| **seen == Seen::Begins).count(), 2, "afresh");
    assert_eq!(bench.snapshot_messages(), expected);
    let counters = bench.counters();
    assert_eq!((counters.connections, counters.unreachable, counters.closed_early), (3, 1, 1));
    assert_eq!(closed.try_iter().count(), 1);

    bench.worker.end();
    bench.seen.clear();
    // The others do not rest any more.
    bench.meanwhile(Duration::from_millis(150));
    bench.ask_snapshot(100);
    bench.until(is_over);
    assert_eq!(bench.counters().connections, 4, "the good one, at once");
}

#[test]
fn a_server_that_failed_rests_longer_each_time() {
    let mut bench = bench(&[nobody()], "");
    let began = std::time::Instant::now();
    for round in 1..=4 {
        bench.ask_snapshot(1);
        bench.until(|bench| bench.seen.len() == round);
    }
    assert!(began.elapsed() >= Duration::from_millis(100 + 200 + 400), "{:?}", began.elapsed());
    assert_eq!((bench.counters().unreachable, bench.counters().snapshot_failures), (4, 4));
}

#[test]
fn a_slow_server_is_waited_for() {
    let expected = messages(5);
    let bytes = whole(&expected, 100);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let (mut client, _) = listener.accept().expect("a client");
        for byte in bytes {
            client.write_all(&[byte]).expect("a client that listens");
            std::thread::sleep(Duration::from_millis(2));
        }
        let _ = client.read(&mut [0; 100]);
    });
    let mut bench = bench(&[address], "");
    bench.ask_snapshot(100);
    bench.until(is_over);
    assert_eq!(bench.seen.last(), Some(&Seen::Ends(100)));
    assert_eq!(bench.snapshot_messages(), expected);
}

#[test]
fn a_snapshot_that_is_no_longer_wanted_is_logged_out_of_and_not_seen() {
    let (address, received) = server(stream(&messages(10), &[]), false);
    let mut bench = bench(&[address], "");
    bench.ask_snapshot(100);
    bench.until(|bench| bench.counters().snapshot_messages == 10);
    bench.worker.end();
    bench.seen.clear();
    bench.meanwhile(Duration::from_millis(30));
    assert_eq!(bench.seen, []);
    assert_eq!(received.recv_timeout(super::PATIENCE), Ok(b"LO".to_vec()));
}
