//! Packets, frames and pcap records against readers that are not the simulator's.
#![allow(clippy::unwrap_used, reason = "a test reports by panicking")]

use pcap_parser::traits::PcapReaderIterator;
use pcap_parser::{LegacyPcapReader, Linktype, PcapBlockOwned, PcapError};
use wirebook_simulator::{
    Line, Market, MarketConfig, Packet, PacketConfig, PacketKind, Packets, pcap,
};
use wirebook_wire::{Datagram, Session, Transport, TransportPacket};

const MESSAGES: u64 = 20_000;

fn packets(duration_ns: u64, config: PacketConfig) -> Packets {
    let market = MarketConfig {
        instruments: 10,
        messages: MESSAGES,
        duration_ns,
        ..MarketConfig::default()
    };
    Packets::new(Market::new(market).unwrap(), config)
}

fn line() -> Line {
    Line {
        source: "192.0.2.7:4000".parse().unwrap(),
        vlan: Some(141),
        ..Line::new("233.182.12.111:26477".parse().unwrap())
    }
}

/// Reads a packet; gives its messages.
fn read(packet: &Packet, session: [u8; 10]) -> Vec<Vec<u8>> {
    let read = TransportPacket::parse(Transport::MoldUdp64, &packet.payload).unwrap();
    assert_eq!(read.session, Session::MoldUdp64(session));
    assert_eq!((read.sequence, read.count), (packet.sequence, packet.messages));
    let kind = match packet.kind {
        PacketKind::Messages => wirebook_wire::PacketKind::Messages,
        PacketKind::Heartbeat => wirebook_wire::PacketKind::Heartbeat,
        PacketKind::EndOfSession => wirebook_wire::PacketKind::EndOfSession,
    };
    assert_eq!(read.kind, kind);
    read.blocks.map(|block| block.unwrap().to_vec()).collect()
}

#[test]
fn packets_hold_every_message_once_and_in_order() {
    for config in [
        PacketConfig::default(),
        PacketConfig { messages_max: 1, ..PacketConfig::default() },
        PacketConfig { payload_bytes_max: 100, linger_ns: 1 << 40, ..PacketConfig::default() },
    ] {
        let mut packets = packets(2_000_000_000, config);
        let mut expected = packets.market().clone();
        // The packets have taken the market's first message already.
        let mut all = Vec::new();
        let mut next_sequence = 1;
        let mut last_ns = 0;
        for packet in packets.by_ref() {
            assert!(packet.payload.len() <= config.payload_bytes_max);
            assert!(packet.messages <= config.messages_max);
            assert!(packet.offset_ns >= last_ns);
            assert_eq!(packet.sequence, next_sequence);
            last_ns = packet.offset_ns;
            next_sequence += u64::from(packet.messages);
            all.extend(read(&packet, config.session));
        }
        assert_eq!(next_sequence, MESSAGES + 1);
        for (message, packed) in expected.by_ref().zip(&all[1..]) {
            let mut bytes = Vec::new();
            message.encode(&mut bytes);
            assert_eq!(&bytes, packed);
        }
        assert_eq!(all.len() as u64, MESSAGES);
        assert_eq!(packets.market().totals(), expected.totals());
    }
}

#[test]
fn silence_brings_heartbeats_and_the_end_is_said() {
    let hour_ns = 3_600_000_000_000;
    let kinds: Vec<_> =
        packets(hour_ns, PacketConfig::default()).map(|p| (p.kind, p.offset_ns)).collect();
    let count = |kind| kinds.iter().filter(|(k, _)| *k == kind).count();
    assert_eq!(count(PacketKind::EndOfSession), 3);
    assert!(kinds.iter().rev().take(3).all(|(kind, _)| *kind == PacketKind::EndOfSession));
    assert!(count(PacketKind::Heartbeat) > 100);
    assert!(kinds.windows(2).all(|pair| pair[1].1 - pair[0].1 <= 1_000_000_000));
}

#[test]
fn flow_comes_in_bursts() {
    let packets: Vec<_> = packets(20_000_000_000, PacketConfig::default()).collect();
    let full = packets.iter().filter(|packet| packet.messages > 8).count();
    let single = packets.iter().filter(|packet| packet.messages == 1).count();
    assert!(full > 50 && single > 500, "{full} of more than 8 messages, {single} of one");
}

#[test]
fn frames_are_what_a_receiver_expects() {
    for line in [line(), Line { vlan: None, ..line() }] {
        let mut frame = Vec::new();
        for packet in packets(1_000_000_000, PacketConfig::default()) {
            line.frame(&packet.payload, &mut frame);
            let datagram = Datagram::parse(&frame).unwrap();
            assert_eq!((datagram.destination, datagram.source), (line.group, line.source));
            assert_eq!((datagram.outer_vlan, datagram.inner_vlan), (line.vlan, None));
            assert_eq!(datagram.payload, packet.payload);
            assert_eq!(frame[..6], [0x01, 0x00, 0x5e, 0x36, 0x0c, 0x6f]);
            let ip = frame.len() - packet.payload.len() - 28;
            assert_eq!(ones_complement_sum(&frame[ip..ip + 20]), 0xffff);
            let length = (frame.len() - ip - 20) as u16;
            let mut covered = frame[ip + 12..ip + 20].to_vec();
            covered.extend([0, 17]);
            covered.extend(length.to_be_bytes());
            covered.extend(&frame[ip + 20..]);
            assert_eq!(ones_complement_sum(&covered), 0xffff);
        }
    }
}

/// A receiver's check: with the checksum included, the words add up to all ones.
fn ones_complement_sum(bytes: &[u8]) -> u16 {
    let mut sum = 0u16;
    for word in bytes.chunks(2) {
        let word = u16::from_be_bytes([word[0], *word.get(1).unwrap_or(&0)]);
        let (added, carry) = sum.overflowing_add(word);
        sum = added + u16::from(carry);
    }
    sum
}

#[test]
fn a_file_of_them_is_a_pcap_file() {
    let epoch_ns = 1_700_000_000_000_000_000;
    let mut file = pcap::FILE_HEADER.to_vec();
    let mut frame = Vec::new();
    let mut expected = Vec::new();
    for packet in packets(1_000_000_000, PacketConfig::default()) {
        line().frame(&packet.payload, &mut frame);
        let ts_ns = epoch_ns + packet.offset_ns;
        file.extend(pcap::packet_header(ts_ns, frame.len() as u32));
        file.extend(&frame);
        expected.push((ts_ns, frame.clone()));
    }
    assert_eq!(read_pcap(&file), expected);
}

fn read_pcap(file: &[u8]) -> Vec<(u64, Vec<u8>)> {
    let mut reader = LegacyPcapReader::new(1 << 16, file).unwrap();
    let mut frames = Vec::new();
    loop {
        match reader.next() {
            Ok((used, block)) => {
                match block {
                    PcapBlockOwned::LegacyHeader(header) => {
                        assert!(header.is_nanosecond_precision());
                        assert_eq!(header.network, Linktype::ETHERNET);
                    }
                    PcapBlockOwned::Legacy(block) => {
                        assert_eq!(block.caplen, block.origlen);
                        let ts_ns =
                            u64::from(block.ts_sec) * 1_000_000_000 + u64::from(block.ts_usec);
                        frames.push((ts_ns, block.data.to_vec()));
                    }
                    PcapBlockOwned::NG(_) => panic!("expected a pcap file"),
                }
                reader.consume(used);
            }
            Err(PcapError::Eof) => return frames,
            Err(PcapError::Incomplete(_)) => reader.refill().unwrap(),
            Err(error) => panic!("{error:?}"),
        }
    }
}
