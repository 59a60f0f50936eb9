//! AF_XDP over veth pairs: what is sent as bytes arrives as those bytes.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::net::{Ipv4Addr, UdpSocket};
use std::time::Duration;

use common::{Frame, GROUP, PATIENCE, PORT, Pair, Tag, unix_ns, within};
use wirebook_xdp::{
    AttachMode, BATCH_MAX, BindMode, Interface, LineKey, Mode, Receiver, RxPacket, SocketConfig,
    SteeringOptions, Timestamps, Vlan,
};

const DOUBLE: Vlan = Vlan::Double { outer: 200, inner: 141 };

#[test]
fn native_mode_delivers_every_frame_with_its_metadata() {
    deliver_in(AttachMode::Native, false, Mode::Native);
}

#[test]
fn native_mode_bound_to_the_device_delivers_the_same() {
    deliver_in(AttachMode::Native, true, Mode::Native);
}

#[test]
fn generic_mode_delivers_the_same() {
    deliver_in(AttachMode::Generic, true, Mode::Generic);
}

#[test]
fn an_injected_frame_goes_where_the_program_says() {
    let Some(pair) = Pair::new(1, 2) else { return };
    let options = SteeringOptions { mode: AttachMode::Native, hardware_timestamps: false };
    let (interface, mut receiver) = pair.receiving(|| open(&options, 2));
    let frame = |payload| Frame { payload, ..Frame::default() }.bytes();
    let foreign = [[0xff; 12].as_slice(), &[0x08, 0x06], &[0; 46]].concat();
    pair.receiving(|| interface.inject(&foreign).unwrap());
    pair.receiving(|| interface.inject(&frame(b"looped")).unwrap());
    receive(&mut receiver, 1, |packet| {
        assert_eq!(packet.payload(), Some(b"looped".as_slice()));
        let steered = packet.steered.unwrap();
        assert_eq!((steered.line, steered.hardware_clock), (1, false));
    });
    let counters = interface.counters().unwrap();
    assert_eq!((counters.steered, counters.passed), (1, 1));
}

#[test]
fn a_device_bound_program_takes_no_injected_frame() {
    let Some(pair) = Pair::new(1, 1) else { return };
    let options = SteeringOptions { mode: AttachMode::Native, hardware_timestamps: true };
    let (interface, _receiver) = pair.receiving(|| open(&options, 1));
    let refused = pair.receiving(|| interface.inject(&Frame::default().bytes())).unwrap_err();
    assert!(refused.to_string().contains("Invalid argument"), "{refused}");
}

/// Sends far more frames than the rings hold, of every shape, a few at a time,
/// so that each frame of the UMEM is used again and again by other shapes.
fn deliver_in(mode: AttachMode, hardware_timestamps: bool, expected: Mode) {
    let Some(pair) = Pair::new(1, 1) else { return };
    let options = SteeringOptions { mode, hardware_timestamps };
    let (interface, mut receiver) = pair.receiving(|| open(&options, 1));
    assert_eq!(interface.mode(), expected);
    let bound = hardware_timestamps && mode == AttachMode::Native;
    let wanted = if bound { Timestamps::Hardware } else { Timestamps::Kernel };
    assert_eq!(interface.timestamps(), wanted);

    let shapes: [(u16, &[Tag], usize); 5] = [
        (1, &[], 0),
        (2, &[(0x8100, 141)], 0),
        (3, &[(0x88a8, 200), (0x8100, 141)], 0),
        (3, &[(0x8100, 200), (0x8100, 141)], 10),
        (1, &[], 3),
    ];
    let mut sent = 0;
    for round in 0..40u32 {
        let before_ns = unix_ns();
        let payloads: Vec<Vec<u8>> = (0..30u32)
            .map(|at| {
                let number = round * 30 + at;
                number.to_be_bytes().repeat(1 + number as usize % 300)
            })
            .collect();
        let frames: Vec<(u16, usize, &[u8], Vec<u8>)> = payloads
            .iter()
            .zip(shapes.iter().cycle())
            .map(|(payload, (line, tags, option_words))| {
                let frame =
                    Frame { tags, option_words: *option_words, source_port: 40_000, payload };
                (*line, frame.payload_offset(), payload.as_slice(), frame.bytes())
            })
            .collect();
        let bytes: Vec<_> = frames.iter().map(|frame| frame.3.clone()).collect();
        pair.send(0, &bytes);
        sent += frames.len() as u64;

        let mut expected = frames.iter();
        receive(&mut receiver, frames.len(), |packet| {
            let (line, offset, payload, bytes) = expected.next().unwrap();
            assert_eq!(packet.bytes, bytes.as_slice());
            assert_eq!(packet.payload(), Some(*payload));
            let steered = packet.steered.unwrap();
            assert_eq!(steered.line, *line);
            assert_eq!(steered.payload.start, *offset);
            // veth has no hardware time for frames that a socket sent.
            assert!(!steered.hardware_clock);
            assert!((before_ns..=unix_ns()).contains(&steered.ts_ns));
        });
    }
    let counters = interface.counters().unwrap();
    assert_eq!((counters.steered, counters.no_socket, counters.malformed), (sent, 0, 0));
    let statistics = receiver.statistics().unwrap()[0];
    assert_eq!((statistics.packets, statistics.bad_descriptors), (sent, 0));
    let reader = receiver.statistics_reader().unwrap();
    assert_eq!(reader.read().unwrap(), [statistics.kernel]);
    assert_eq!(statistics.kernel.rx_dropped + statistics.kernel.rx_ring_full, 0);
}

#[test]
fn one_worker_serves_two_queues() {
    let Some(pair) = Pair::new(1, 2) else { return };
    let (interface, mut receiver) = pair.receiving(|| open(&SteeringOptions::default(), 2));
    let payloads: Vec<[u8; 2]> = (0..60u16).map(u16::to_be_bytes).collect();
    // The sender's queue, and with it the receiver's, follows the flow.
    let frames: Vec<_> = payloads
        .iter()
        .zip(40_000..)
        .map(|(payload, source_port)| Frame { source_port, payload, ..Frame::default() }.bytes())
        .collect();
    pair.send(0, &frames);
    let mut seen = [0; 2];
    let mut bytes = Vec::new();
    receive(&mut receiver, frames.len(), |packet| {
        seen[packet.socket] += 1;
        bytes.push(packet.bytes.to_vec());
    });
    assert!(seen[0] > 0 && seen[1] > 0, "{seen:?}");
    bytes.sort();
    let mut expected = frames;
    expected.sort();
    assert_eq!(bytes, expected);
    assert_eq!(interface.counters().unwrap().steered, 60);
}

#[test]
fn one_worker_serves_two_interfaces() {
    let Some(pair) = Pair::new(2, 1) else { return };
    let options = SteeringOptions::default();
    let (interfaces, mut receiver) = pair.receiving(|| {
        let mut interfaces =
            ["rx0", "rx1"].map(|name| Interface::attach(name, &options, lines()).unwrap());
        let sockets: Vec<_> = interfaces.iter().map(|one| small(one.socket_config(0))).collect();
        let (receiver, _) = Receiver::open(&sockets).unwrap();
        for interface in &mut interfaces {
            assert_eq!(interface.serve(&receiver).unwrap(), 1);
        }
        (interfaces, receiver)
    });
    for link in [0u8, 1] {
        pair.send(link.into(), &[Frame { payload: &[link], ..Frame::default() }.bytes()]);
    }
    let mut seen = Vec::new();
    receive(&mut receiver, 2, |packet| {
        seen.push((packet.socket, packet.payload().unwrap().to_vec()));
    });
    seen.sort();
    assert_eq!(seen, [(0, vec![0]), (1, vec![1])]);
    drop(interfaces);
}

#[test]
fn a_queue_without_a_socket_leaves_its_frames_to_the_kernel() {
    for mode in [AttachMode::Native, AttachMode::Generic] {
        let Some(pair) = Pair::new(1, 1) else { return };
        let options = SteeringOptions { mode, ..SteeringOptions::default() };
        let (interface, udp) = pair.receiving(|| {
            let udp = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, PORT)).unwrap();
            udp.join_multicast_v4(&GROUP, &Ipv4Addr::new(10, 99, 0, 2)).unwrap();
            udp.set_read_timeout(Some(PATIENCE)).unwrap();
            (Interface::attach("rx0", &options, lines()).unwrap(), udp)
        });
        pair.send(0, &[Frame { payload: b"to the kernel", ..Frame::default() }.bytes()]);
        let mut buffer = [0; 64];
        let length = udp.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], b"to the kernel");
        let counters = interface.counters().unwrap();
        assert_eq!((counters.no_socket, counters.steered), (1, 0));
    }
}

#[test]
fn frames_beyond_the_rings_are_the_kernels_to_count() {
    let Some(pair) = Pair::new(1, 1) else { return };
    let (_interface, mut receiver) = pair.receiving(|| open(&SteeringOptions::default(), 1));
    let frames = vec![Frame { payload: b"flood", ..Frame::default() }.bytes(); 500];
    pair.send(0, &frames);
    let lost = |receiver: &Receiver| {
        let kernel = receiver.statistics().unwrap()[0].kernel;
        kernel.rx_dropped + kernel.rx_ring_full
    };
    assert!(within(PATIENCE, || lost(&receiver) == 500 - 64));
    receive(&mut receiver, 64, |_| ());
    // The rings are whole again: what comes now arrives.
    pair.send(0, &frames[..64]);
    receive(&mut receiver, 64, |_| ());
    assert_eq!(lost(&receiver), 500 - 64);
}

#[test]
fn waiting_ends_with_a_packet_or_with_the_time() {
    let Some(pair) = Pair::new(1, 1) else { return };
    let (_interface, mut receiver) = pair.receiving(|| open(&SteeringOptions::default(), 1));
    assert!(!receiver.wait(Duration::from_millis(20)).unwrap());
    pair.send(0, &[Frame { payload: b"wake", ..Frame::default() }.bytes()]);
    assert!(receiver.wait(PATIENCE).unwrap());
    receive(&mut receiver, 1, |_| ());
}

/// Attaches to `rx0` and opens small sockets on its first queues.
fn open(options: &SteeringOptions, queues: u32) -> (Interface, Receiver) {
    let mut interface = Interface::attach("rx0", options, lines()).unwrap();
    let sockets: Vec<_> = (0..queues).map(|queue| small(interface.socket_config(queue))).collect();
    let (receiver, reports) = Receiver::open(&sockets).unwrap();
    for report in reports {
        assert!(!report.zero_copy, "veth has no zero-copy");
    }
    assert_eq!(interface.serve(&receiver).unwrap(), queues as usize);
    (interface, receiver)
}

/// Rings so small that a test passes round them many times.
fn small(config: SocketConfig) -> SocketConfig {
    SocketConfig { ring_size: 64, hugepages: false, bind: BindMode::Auto, ..config }
}

fn lines() -> [(LineKey, u16); 3] {
    [(Vlan::Untagged, 1), (Vlan::Tagged(141), 2), (DOUBLE, 3)].map(|(vlan, line)| {
        let key = LineKey { group: GROUP, port: PORT, vlan };
        (key, line)
    })
}

/// Takes exactly `count` packets.
fn receive(receiver: &mut Receiver, count: usize, mut on_packet: impl FnMut(RxPacket<'_>)) {
    let mut received = 0;
    let all = within(PATIENCE, || {
        received += receiver.poll_batch(BATCH_MAX, &mut on_packet);
        received >= count
    });
    assert!(all, "{received} of {count} packets came");
    assert_eq!(received, count);
}
