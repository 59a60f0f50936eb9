//! Packets that say more messages than they hold, through the worker of a replay: believed as far
//! as they are whole, counted once, and nothing wrong is shown.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::SocketAddrV4;
use std::ops::Range;
use wirebook::capture::{Destination, FoundChannel};
use wirebook::lines::{ChannelSpec, Lines};
use wirebook::report::ChannelReport;
use wirebook::router::Router;
use wirebook::shard::Shard;
use wirebook::worker::Worker;
use wirebook_machine::Limits;
use wirebook_model::BookState;
use wirebook_simulator::{Market, MarketConfig, Packet, PacketConfig, PacketKind, Packets};
use wirebook_wire::Protocol;

const LIMITS: Limits = Limits { instruments: 16, orders: 4_096, levels: 8_192 };
/// Where MoldUDP64's count is.
const COUNT: Range<usize> = 18..20;
/// Nanoseconds between two packets: more than a gap waits for the other line.
const BETWEEN_NS: u64 = 2_000_000;

struct Path {
    worker: Worker<Shard<()>>,
    now_ns: u64,
}

impl Path {
    fn new() -> Self {
        let destinations = [26_477, 26_478].map(|port| Destination {
            address: SocketAddrV4::new([239, 192, 12, 111].into(), port),
            outer_vlan: None,
            inner_vlan: None,
        });
        let found = FoundChannel { sessions: Vec::new(), destinations: destinations.into() };
        let lines = Lines::of_capture(&[found], ChannelSpec::of_protocol(Protocol::Itch50));
        let router = Router::new(vec![Shard::new(LIMITS, ()).unwrap()]);
        let worker = Worker::new(lines, LIMITS.instruments, router).unwrap();
        Self { worker, now_ns: 1_700_000_000_000_000_000 }
    }

    fn line(&mut self, line: u16, payload: &[u8]) {
        self.now_ns += BETWEEN_NS;
        self.worker.payload(line, payload, self.now_ns, 0);
    }

    fn malformed_packets(&self) -> u64 {
        self.worker.counters().malformed_packets
    }

    fn channel(&self) -> ChannelReport {
        self.worker.channels().next().unwrap()
    }

    fn digest(self) -> u64 {
        let [shard] = self.worker.into_mailboxes().collect::<Vec<_>>().try_into().ok().unwrap();
        shard.books().digest()
    }
}

/// Packets of several messages each.
fn packets() -> Vec<Packet> {
    let config = MarketConfig { instruments: 4, messages: 400, ..MarketConfig::default() };
    let packing = PacketConfig { linger_ns: u64::MAX, messages_max: 8, ..PacketConfig::default() };
    let packets = Packets::new(Market::new(config).unwrap(), packing);
    packets.filter(|packet| packet.kind == PacketKind::Messages).collect()
}

fn digest_of(packets: &[Packet]) -> u64 {
    let mut path = Path::new();
    packets.iter().for_each(|packet| path.line(0, &packet.payload));
    path.digest()
}

/// A packet without its last byte.
fn cut(packet: &Packet) -> &[u8] {
    &packet.payload[..packet.payload.len() - 1]
}

#[test]
fn a_count_of_65_534_is_believed_as_far_as_the_packet_goes() {
    let packets = packets();
    let mut path = Path::new();
    for packet in &packets {
        let mut payload = packet.payload.clone();
        payload[COUNT].copy_from_slice(&65_534_u16.to_be_bytes());
        path.line(0, &payload);
        assert_eq!(path.channel().state, BookState::Live);
    }
    assert_eq!(path.malformed_packets(), packets.len() as u64);
    assert_eq!((path.channel().channel.gaps, path.channel().channel.held), (0, 0));
    assert_eq!(path.digest(), digest_of(&packets));
}

#[test]
fn a_cut_packet_is_made_whole_by_the_other_line() {
    let packets = packets();
    let mut path = Path::new();
    for packet in &packets {
        path.line(0, cut(packet));
        path.line(1, &packet.payload);
        assert_eq!(path.channel().state, BookState::Live);
    }
    assert_eq!(path.malformed_packets(), packets.len() as u64);
    assert_eq!((path.channel().channel.gaps, path.channel().channel.held), (0, 0));
    assert_eq!(path.digest(), digest_of(&packets));
}

#[test]
fn a_packet_cut_on_both_lines_is_a_gap_once_the_next_one_shows_it() {
    let packets = packets();
    let mut path = Path::new();
    let (before, after) = packets.split_at(20);
    for packet in before {
        path.line(0, &packet.payload);
    }
    path.line(0, cut(&after[0]));
    path.line(1, cut(&after[0]));
    assert_eq!((path.malformed_packets(), path.channel().channel.gaps), (2, 0));
    for packet in &after[1..] {
        path.line(0, &packet.payload);
        path.line(1, &packet.payload);
    }
    let ChannelReport { state, channel, .. } = path.channel();
    assert_eq!((channel.gaps, channel.missing_messages), (1, 1));
    assert_eq!(state, BookState::Stale, "no recovery, and one message is lost");
    assert_eq!(path.malformed_packets(), 2);
}
