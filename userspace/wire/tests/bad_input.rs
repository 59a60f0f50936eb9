//! Bad input: no panic, and nothing lost that came whole before the damage.

mod common;

use common::Random;
use wirebook_model::Event;
use wirebook_wire::{Datagram, Decoded, Decoder, Limits, Protocol, TransportPacket};

/// A decoder of each protocol.
struct Readers {
    decoders: [Decoder; 3],
    events: Vec<Event>,
}

impl Readers {
    fn new() -> Self {
        let limits = Limits { instruments: 16 };
        let decoders = Protocol::ALL.map(|protocol| Decoder::new(protocol, 0, limits));
        Self { decoders, events: Vec::new() }
    }

    /// Reads `payload` as every protocol and gives how many messages of each came out whole.
    fn read(&mut self, payload: &[u8]) -> [usize; 3] {
        let Self { decoders, events } = self;
        decoders.each_mut().map(|decoder| {
            let transport = decoder.protocol().transport();
            let Ok(packet) = TransportPacket::parse(transport, payload) else { return 0 };
            let (mut whole, mut errors) = (0, 0);
            for (sequence, block) in (packet.sequence..).zip(packet.blocks) {
                assert_eq!(errors, 0, "nothing comes after an error");
                match block {
                    Ok(message) => {
                        whole += 1;
                        check_events(decoder.decode(message, sequence, events), sequence, events);
                        events.clear();
                    }
                    Err(_) => errors += 1,
                }
            }
            assert!(whole == usize::from(packet.count) || errors == 1);
            whole
        })
    }
}

/// Only a known message has events, and each survives its words.
fn check_events(decoded: Decoded, sequence: u64, events: &[Event]) {
    assert!(decoded == Decoded::Known || events.is_empty());
    for event in events {
        assert_eq!(event.header.sequence, sequence);
        assert_eq!(Event::decode(event.encode().as_slice()), Ok(*event));
    }
}

#[test]
fn every_cut_of_every_captured_packet_keeps_what_came_before_it() {
    let Some(data) = common::data() else { return };
    let mut readers = Readers::new();
    let mut captures = 0;
    for path in common::files(&data, &[".pcap", ".pcap.gz"]) {
        captures += 1;
        for frame in common::pcap(&path) {
            for length in 0..=frame.bytes.len() {
                if let Ok(datagram) = Datagram::parse(&frame.bytes[..length]) {
                    assert_eq!(
                        &frame.bytes[datagram.payload_offset..][..datagram.payload.len()],
                        datagram.payload
                    );
                }
            }
            let Ok(datagram) = Datagram::parse(&frame.bytes) else { continue };
            cut_everywhere(datagram.payload, &mut readers);
        }
    }
    assert_eq!(captures, 44);
}

/// Cuts a payload at every length: the number of whole messages never falls as it grows.
fn cut_everywhere(payload: &[u8], readers: &mut Readers) {
    let ends: [Vec<usize>; 3] = Protocol::ALL.map(|protocol| message_ends(protocol, payload));
    for length in 0..=payload.len() {
        let whole = readers.read(&payload[..length]);
        for (whole, ends) in whole.into_iter().zip(&ends) {
            assert_eq!(whole, ends.iter().filter(|end| **end <= length).count());
        }
    }
}

/// Where each message of an uncut payload ends, found from the slices that the blocks borrow.
fn message_ends(protocol: Protocol, payload: &[u8]) -> Vec<usize> {
    let Ok(packet) = TransportPacket::parse(protocol.transport(), payload) else {
        return Vec::new();
    };
    let start = payload.as_ptr().addr();
    packet.blocks.flatten().map(|block| block.as_ptr().addr() - start + block.len()).collect()
}

#[test]
fn a_file_that_ends_within_its_last_packet_gives_the_messages_before() {
    let Some(data) = common::data() else { return };
    let bytes = common::read(&data.join("moldudp64/mold.sample.dat"));
    cut_everywhere(&bytes, &mut Readers::new());
    let packet =
        TransportPacket::parse(Protocol::Itch50.transport(), &bytes).expect("the first packet");
    assert_eq!((packet.sequence, packet.count), (1, 15));
    let blocks: Vec<_> = packet.blocks.collect();
    assert_eq!(blocks.iter().filter(|block| block.is_ok()).count(), 15);
    assert!(blocks.last().is_some_and(Result::is_err), "the next packet follows");
}

#[test]
fn random_bytes_never_panic() {
    let mut random = Random(0x5eed);
    let mut readers = Readers::new();
    for _ in 0..20_000 {
        let length = random.below(200);
        let bytes = random.bytes(length);
        let _ = Datagram::parse(&bytes);
        readers.read(&bytes);
    }
}

#[test]
fn random_messages_of_every_type_never_panic() {
    let mut random = Random(0xbeef);
    let mut events = Vec::new();
    for protocol in Protocol::ALL {
        let mut decoder = Decoder::new(protocol, 0, Limits { instruments: 64 });
        decoder.set_midnight(u64::MAX - 1);
        for round in 0..100_000_u64 {
            let length = random.below(90);
            let mut bytes = random.bytes(length);
            if let Some(first) = bytes.first_mut() {
                *first = (round % 256) as u8;
            }
            let decoded = decoder.decode(&bytes, round, &mut events);
            check_events(decoded, round, &events);
            events.clear();
        }
    }
}

#[test]
fn flipped_bits_in_captured_packets_never_panic() {
    let Some(data) = common::data() else { return };
    let mut random = Random(0xf11b);
    let mut readers = Readers::new();
    for path in common::files(&data, &[".pcap"]) {
        for frame in common::pcap(&path) {
            for _ in 0..200 {
                let mut bytes = frame.bytes.clone();
                for _ in 0..4 {
                    let at = random.below(bytes.len());
                    bytes[at] ^= 1 << random.below(8);
                }
                if let Ok(datagram) = Datagram::parse(&bytes) {
                    readers.read(datagram.payload);
                }
            }
        }
    }
}
