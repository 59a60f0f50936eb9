//! Lines worked out from captures.

use super::super::{FoundChannel, LineFinder};
use super::*;
use std::net::SocketAddrV4;
use wirebook_simulator::{Line, Market, MarketConfig, PacketConfig, Packets};
use wirebook_wire::{Protocol, Session};

fn found(path: &Path, protocol: Protocol) -> Vec<FoundChannel> {
    let mut finder = LineFinder::new(protocol);
    finder.read(&mut super::super::open(path).unwrap()).unwrap();
    finder.into_channels()
}

fn payloads(session: &[u8; 10]) -> Vec<Vec<u8>> {
    let market = MarketConfig { instruments: 3, messages: 500, ..MarketConfig::default() };
    let config = PacketConfig { session: *session, ..PacketConfig::default() };
    let packets = Packets::new(Market::new(market).unwrap(), config);
    packets.map(|packet| packet.payload).collect()
}

fn send(finder: &mut LineFinder, group: &str, payloads: &[Vec<u8>]) {
    let mut frame = Vec::new();
    for payload in payloads {
        Line::new(group.parse().unwrap()).frame(payload, &mut frame);
        finder.frame(&frame, false);
    }
}

fn groups(channel: &FoundChannel) -> Vec<String> {
    channel.destinations.iter().map(|line| line.address.to_string()).collect()
}

#[test]
fn real_captures_have_the_lines_of_their_decode() {
    if let Some(path) = data("iex/deep-2023-10-02.pcap.gz") {
        let [channel] = &found(&path, Protocol::IexDeep)[..] else { panic!("one channel") };
        let session = Session::IexTp { session_id: 1_286_602_752, channel_id: 1 };
        assert_eq!(channel.sessions, [session]);
        assert_eq!(groups(channel), ["233.215.21.4:10378"]);
        assert!(found(&path, Protocol::IexTops).is_empty());
        assert!(found(&path, Protocol::Itch50).is_empty());
    }
    if let Some(path) = data("nasdaq-itch/Multiple.Packets.pcap") {
        let [channel] = &found(&path, Protocol::Itch50)[..] else { panic!("one channel") };
        assert_eq!(channel.sessions, [Session::MoldUdp64(*b"000010059B")]);
        let [line] = channel.destinations[..] else { panic!("one line") };
        assert_eq!(line.address, SocketAddrV4::new([233, 54, 12, 111].into(), 26_477));
        assert_eq!((line.outer_vlan, line.inner_vlan), (Some(141), None));
    }
}

#[test]
fn one_session_is_one_channel_on_two_lines() {
    let mut finder = LineFinder::new(Protocol::Itch50);
    let (first, second) = (payloads(b"FIRST     "), payloads(b"SECOND    "));
    send(&mut finder, "239.0.0.1:100", &first);
    send(&mut finder, "239.0.0.3:100", &second);
    send(&mut finder, "239.0.0.2:100", &first);
    send(&mut finder, "192.0.2.9:7", &first);
    let channels = finder.into_channels();
    assert_eq!(channels.len(), 2);
    assert_eq!(groups(&channels[0]), ["239.0.0.1:100", "239.0.0.2:100"]);
    assert_eq!(groups(&channels[1]), ["239.0.0.3:100"]);
}

#[test]
fn sessions_of_two_days_join_lines_that_were_apart() {
    let mut finder = LineFinder::new(Protocol::Itch50);
    let (monday, tuesday) = (payloads(b"MONDAY    "), payloads(b"TUESDAY   "));
    send(&mut finder, "239.0.0.1:100", &monday);
    send(&mut finder, "239.0.0.2:100", &tuesday);
    send(&mut finder, "239.0.0.1:100", &tuesday);
    let [channel] = &finder.into_channels()[..] else { panic!("one channel") };
    assert_eq!(groups(channel), ["239.0.0.1:100", "239.0.0.2:100"]);
    assert_eq!(channel.sessions.len(), 2);
}

#[test]
fn other_traffic_is_no_line() {
    let mut finder = LineFinder::new(Protocol::Itch50);
    let mut cut = payloads(b"FIRST     ").swap_remove(0);
    cut.truncate(cut.len() - 1);
    let binary = payloads(b"\x01\x02BINARY  ");
    send(&mut finder, "239.0.0.1:100", &[vec![], vec![0; 200], vec![b'x'; 200], cut.clone()]);
    send(&mut finder, "239.0.0.1:100", &binary);
    assert!(finder.clone().into_channels().is_empty());
    let mut frame = Vec::new();
    Line::new("239.0.0.1:100".parse().unwrap()).frame(&cut, &mut frame);
    finder.frame(&frame, true);
    assert_eq!(finder.into_channels().len(), 1);
}

#[test]
fn unicast_is_a_line_where_there_is_nothing_else() {
    let mut finder = LineFinder::new(Protocol::Itch50);
    send(&mut finder, "0.0.0.0:100", &payloads(b"FIRST     "));
    assert_eq!(groups(&finder.into_channels()[0]), ["0.0.0.0:100"]);
}
