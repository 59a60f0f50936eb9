//! AF_XDP sending over veth pairs: what is sent arrives as the same bytes in order, and what does
//! not is counted.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::io::ErrorKind;
use std::net::{Ipv4Addr, UdpSocket};
use std::time::Duration;

use common::{Frame, GROUP, PATIENCE, PORT, Pair, inside, ip, within};
use wirebook_xdp::{
    BATCH_MAX, BindMode, Interface, LineKey, Receiver, SocketConfig, SteeringOptions, Vlan,
    XdpSender,
};

#[test]
fn frames_arrive_byte_for_byte_in_order() {
    let Some(pair) = Pair::new(1, 1) else { return };
    let (_interface, mut receiver) = pair.receiving(open_receiver);
    let mut sender = open_sender(&pair);
    for round in 0..20u32 {
        // Three times round the TX ring, no more at once than the link holds.
        let frames: Vec<_> = (0..200).map(|at| numbered(200 * round + at)).collect();
        frames.iter().for_each(|frame| sender.send(frame).unwrap());
        sender.flush().unwrap();
        let mut arrived = Vec::new();
        let all = within(PATIENCE, || {
            receiver.poll_batch(BATCH_MAX, |packet| arrived.push(packet.bytes.to_vec()));
            arrived.len() >= frames.len()
        });
        assert!(all, "{} of {} frames came", arrived.len(), frames.len());
        assert_eq!(arrived, frames, "round {round}");
    }
    sender.finish().unwrap();
    let statistics = sender.statistics().unwrap();
    assert_eq!((statistics.packets, statistics.refused), (4_000, 0));
    assert_eq!((statistics.invalid_descriptors, statistics.bad_descriptors), (0, 0));
    // A batch each, and no more than three times that for a ring that is full.
    assert!((4_000 / 32..3 * 4_000 / 32).contains(&statistics.wakeups), "{statistics:?}");
}

#[test]
fn a_frame_waits_for_its_batch_or_for_a_flush() {
    let Some(pair) = Pair::new(1, 1) else { return };
    let (_interface, mut receiver) = pair.receiving(open_receiver);
    let mut sender = open_sender(&pair);
    sender.send(&numbered(1)).unwrap();
    assert!(!receiver.wait(Duration::from_millis(20)).unwrap());
    sender.flush().unwrap();
    assert!(receiver.wait(PATIENCE).unwrap());
}

#[test]
fn a_flood_is_received_or_counted() {
    const FLOOD: u64 = 30_000;
    let Some(pair) = Pair::new(1, 1) else { return };
    let (interface, mut receiver) = pair.receiving(open_receiver);
    let mut sender = open_sender(&pair);
    let mut received = 0;
    let (sent, refused) = std::thread::scope(|scope| {
        let flood = scope.spawn(|| {
            let frame = numbered(7);
            (0..FLOOD).for_each(|_| sender.send(&frame).unwrap());
            sender.finish().unwrap();
            let statistics = sender.statistics().unwrap();
            (statistics.packets, statistics.refused)
        });
        while !flood.is_finished() {
            received += receiver.poll_batch(BATCH_MAX, |_| ()) as u64;
        }
        flood.join().unwrap()
    });
    assert_eq!(sent, FLOOD);
    let mut steered = 0;
    let all = within(PATIENCE, || {
        received += receiver.poll_batch(BATCH_MAX, |_| ()) as u64;
        steered = interface.counters().unwrap().steered;
        received + refused >= FLOOD
    });
    let kernel = receiver.statistics().unwrap()[0].kernel;
    assert!(all, "{received} received, {refused} refused, {steered} steered, {kernel:?}");
    assert_eq!(received + refused, FLOOD);
}

#[test]
fn what_a_dead_link_refuses_is_counted_and_the_rest_arrives() {
    let Some(pair) = Pair::new(1, 1) else { return };
    let mut sender = open_sender(&pair);
    let udp = pair.receiving(|| {
        let udp = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, PORT)).unwrap();
        udp.join_multicast_v4(&GROUP, &Ipv4Addr::new(10, 99, 0, 2)).unwrap();
        udp.set_read_timeout(Some(PATIENCE)).unwrap();
        udp
    });
    let text = |text: &[u8]| Frame { payload: text, ..Frame::default() }.bytes();

    ip(&["-n", &pair.receiver, "link", "set", "rx0", "down"]);
    (0..100).for_each(|_| sender.send(&text(b"into the void")).unwrap());
    sender.finish().unwrap();
    assert_eq!(sender.statistics().unwrap().refused, 100);

    ip(&["-n", &pair.receiver, "link", "set", "rx0", "up"]);
    pair.await_link(0);
    sender.send(&text(b"back again")).unwrap();
    sender.finish().unwrap();
    let mut buffer = [0; 64];
    let length = udp.recv(&mut buffer).unwrap();
    assert_eq!(&buffer[..length], b"back again");
    assert_eq!(sender.statistics().unwrap().refused, 100);
}

#[test]
fn an_interface_that_is_down_is_an_error() {
    let Some(pair) = Pair::new(1, 1) else { return };
    let mut sender = open_sender(&pair);
    ip(&["-n", &pair.sender, "link", "set", "tx0", "down"]);
    sender.send(&numbered(1)).unwrap();
    assert_eq!(sender.flush().unwrap_err().kind(), ErrorKind::NetworkDown);
    let error = inside(&pair.sender, || XdpSender::open(&small(1))).unwrap_err();
    assert!(error.to_string().contains("tx0 queue 1"), "{error}");
}

#[test]
fn a_queue_that_sends_nothing_is_an_error_in_time() {
    let Some(pair) = Pair::new(0, 0) else { return };
    ip(&[
        "-n",
        &pair.sender,
        "link",
        "add",
        "tx0",
        "numtxqueues",
        "1",
        "numrxqueues",
        "2",
        "type",
        "veth",
        "peer",
        "rx0",
        "numtxqueues",
        "1",
        "numrxqueues",
        "1",
    ]);
    ip(&["-n", &pair.sender, "link", "set", "tx0", "up"]);
    ip(&["-n", &pair.sender, "link", "set", "rx0", "up"]);
    let (mut sender, _) = inside(&pair.sender, || XdpSender::open(&small(1))).unwrap();
    sender.send(&numbered(1)).unwrap();
    let error = sender.flush().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
    assert!(error.to_string().contains("TX queues"), "{error}");
}

#[test]
fn frames_of_no_size_are_refused() {
    let Some(pair) = Pair::new(1, 1) else { return };
    let mut sender = open_sender(&pair);
    for length in [0, 13, 3_841, 100_000] {
        let error = sender.send(&vec![0; length]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(
            error.to_string().contains(&format!("14 to 3840 bytes, found {length}")),
            "{error}"
        );
    }
    assert_eq!(sender.statistics().unwrap().packets, 0);
}

#[test]
fn zero_copy_or_nothing_is_an_error_on_veth() {
    let Some(pair) = Pair::new(1, 1) else { return };
    let config = SocketConfig { bind: BindMode::ZeroCopy, ..small(0) };
    let error = inside(&pair.sender, || XdpSender::open(&config)).unwrap_err();
    assert!(error.to_string().contains("bind in copy mode"), "{error}");
}

/// A frame whose bytes and length tell its number.
fn numbered(number: u32) -> Vec<u8> {
    let payload = number.to_be_bytes().repeat(1 + number as usize % 300);
    Frame { payload: &payload, ..Frame::default() }.bytes()
}

fn small(queue: u32) -> SocketConfig {
    SocketConfig { ring_size: 64, ..SocketConfig::for_sending("tx0", queue) }
}

/// A sender whose ring is so small that a test passes round it many times.
fn open_sender(pair: &Pair) -> XdpSender {
    let (sender, report) = inside(&pair.sender, || XdpSender::open(&small(0))).unwrap();
    assert!(!report.zero_copy, "veth has no zero-copy");
    sender
}

/// A receiver on `rx0` with room for all that a test sends.
fn open_receiver() -> (Interface, Receiver) {
    let line = (LineKey { group: GROUP, port: PORT, vlan: Vlan::Untagged }, 1);
    let mut interface = Interface::attach("rx0", &SteeringOptions::default(), [line]).unwrap();
    let config = SocketConfig { ring_size: 32_768, hugepages: false, ..interface.socket_config(0) };
    let (receiver, _) = Receiver::open(&[config]).unwrap();
    assert_eq!(interface.serve(&receiver).unwrap(), 1);
    (interface, receiver)
}
