//! The exchange as a program and on sockets: what it writes, what it says the truth is, and what
//! its servers answer.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{LIMITS, data, fails, folder, frames_of, replay, text};
use serde_json::Value;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};
use wirebook::exchange::{ServerArgs, Servers};
use wirebook_simulator::{Exchange, Market, MarketConfig, Model, PacketConfig, Packets};
use wirebook_wire::moldudp64::Request;
use wirebook_wire::soupbintcp::{ClientSession, Event, LoginRequest};
use wirebook_wire::{Transport, TransportPacket, glimpse};

const MARKET: [&str; 6] = ["--seed", "7", "--messages", "6000", "--instruments", "10"];

/// The one JSON object that `wirebook sim --json --write FILE` prints for these arguments.
fn sim(file: &Path, arguments: &[&str]) -> Value {
    let mut all = vec!["sim", "--json", "--write", file.to_str().unwrap()];
    all.extend(arguments);
    serde_json::from_str(&text(&all)).unwrap()
}

fn replayed(file: &Path, arguments: &[&str]) -> Value {
    replay(&[&[file.to_str().unwrap(), "--protocol", "itch50"], arguments].concat())
}

#[test]
fn what_the_exchange_says_is_true_is_what_a_receiver_ends_with() {
    let folder = folder();
    let file = folder.path().join("market.pcap");
    let said = sim(&file, &MARKET);
    let found = replayed(&file, &[]);
    assert_eq!((&said["messages"], &said["packets"]), (&found["messages"], &found["packets"]));
    for name in ["digest", "state_digest", "instruments"] {
        assert_eq!(said[name], found[name], "{name}");
    }
    assert_eq!(said["messages"], 6_000);
    assert_eq!(said["next_sequence"], 6_001);
    assert!(said["orders"].as_u64().unwrap() > 100);
}

#[test]
fn the_same_seeds_write_the_same_file_with_all_faults() {
    let folder = folder();
    let faults = [
        "--group-b",
        "239.192.12.112",
        "--loss",
        "0.05,0.1",
        "--burst-loss",
        "0.01:0.3",
        "--duplicate",
        "0.1",
        "--reorder",
        "0.1",
        "--truncate",
        "0.02",
        "--corrupt",
        "0.02",
        "--lag-us",
        "0,150",
        "--dead",
        "b:5-7",
        "--stall",
        "a:8-9",
        "--restart",
        "a:12-13",
    ];
    let play = |name: &str, more: &[&str]| {
        let file = folder.path().join(name);
        let mut said = sim(&file, &[&MARKET[..], &faults, more].concat());
        said["seconds"] = Value::Null;
        (said, std::fs::read(file).unwrap())
    };
    let first = play("first.pcap", &[]);
    assert_eq!(first, play("second.pcap", &[]));
    let (said, bytes) = play("third.pcap", &["--fault-seed", "8"]);
    assert!(bytes != first.1 && said["digest"] == first.0["digest"]);
    for (line, name) in [("A", "stalled"), ("A", "repeated"), ("B", "dead"), ("B", "corrupted")] {
        assert!(first.0["lines"][line][name].as_u64().unwrap() > 0, "{name}");
    }
}

#[test]
fn two_lines_carry_the_same_packets() {
    let folder = folder();
    let file = folder.path().join("two.pcap");
    let said = sim(&file, &[&MARKET[..], &["--group-b", "239.192.12.112"]].concat());
    let frames = frames_of(&file);
    assert_eq!(frames.len() as u64, 2 * said["packets"].as_u64().unwrap());
    for pair in frames.chunks(2) {
        assert_eq!(pair[0].1[42..], pair[1].1[42..]);
        assert_ne!(pair[0].1[30..34], pair[1].1[30..34]);
    }
    let found = replayed(&file, &[]);
    assert_eq!((&found["digest"], &found["gaps"]), (&said["digest"], &Value::from(0)));
}

#[test]
fn a_second_session_is_another_day() {
    let folder = folder();
    let file = folder.path().join("days.pcap");
    let said = sim(&file, &[&MARKET[..], &["--sessions", "2", "--abrupt"]].concat());
    let found = replayed(&file, &[]);
    assert_eq!((&said["messages"], &said["sessions"]), (&12_000.into(), &2.into()));
    assert_eq!(said["state_digest"], found["state_digest"]);
    let second = ["--seed", "8", "--messages", "6000", "--instruments", "10"];
    let alone = sim(&folder.path().join("alone.pcap"), &second);
    assert_eq!(alone["state_digest"], said["state_digest"]);
}

#[test]
fn the_flow_of_es_ends_with_the_known_book() {
    let days = ["20231224", "20231225"];
    let files: Option<Vec<PathBuf>> =
        days.iter().map(|day| data(&format!("dbn-mbo/esh4-glbx-mdp3-{day}.mbo.dbn.zst"))).collect();
    let Some(files) = files else { return };
    let folder = folder();
    let file = folder.path().join("es.pcap");
    let mut flow = vec!["--flow"];
    flow.extend(files.iter().map(|file| file.to_str().unwrap()));
    let said = sim(&file, &flow);
    assert_eq!(said["transcoded"]["records"], 77_517);
    assert_eq!(said["transcoded"]["unsayable_prices"], 0);
    let found = replayed(&file, &["--book", "ESH4", "--depth", "1"]);
    let book = &found["books"]["ESH4"];
    assert_eq!((&book["bid_levels"], &book["ask_levels"]), (&922.into(), &565.into()));
    assert_eq!((&book["bids"][0][0], &book["asks"][0][0]), (&"4810.00".into(), &"4810.25".into()));
    assert_eq!(found["state_digest"], said["state_digest"]);
}

#[test]
fn the_flow_of_a_capture_is_played_in_our_session() {
    let folder = folder();
    let (market, again) = (folder.path().join("market.pcap"), folder.path().join("again.pcap"));
    // The first copy of each sequence is taken, so a copy on line B changes nothing.
    let said = sim(&market, &[&MARKET[..], &["--group-b", "239.192.12.112"]].concat());
    let flow = ["--flow", market.to_str().unwrap(), "--messages-a-packet", "1"];
    let repeated = sim(&again, &flow);
    assert_eq!((&repeated["messages"], &repeated["digest"]), (&said["messages"], &said["digest"]));
}

#[test]
fn what_cannot_be_played_is_said() {
    let folder = folder();
    let file = folder.path().join("none.pcap");
    let file = file.to_str().unwrap();
    let write = ["sim", "--write", file, "--messages", "2000"];
    let with = |arguments: &[&'static str]| [&write[..], arguments].concat();
    fails(&with(&["--loss", "1.5"]), 2, &["probability", "1.5"]);
    fails(&with(&["--dead", "c:1-2"]), 2, &["LINE:FROM-TO", "c:1-2"]);
    fails(&with(&["--retransmit", "10.0.0.1"]), 2, &["address and port"]);
    fails(&with(&["--group", "10.0.0.1"]), 1, &["multicast", "10.0.0.1"]);
    fails(&with(&["--group-b", "239.192.12.111"]), 1, &["line B"]);
    fails(&with(&["--flow", "/no/such/file"]), 1, &["/no/such/file"]);
    fails(&with(&["--retransmit", "192.0.2.1:1"]), 1, &["192.0.2.1:1"]);
    assert!(LIMITS.len() > 1);
}

/// An exchange that has said a market, with its servers on ports of their own.
fn serve(arguments: &[&str]) -> (Servers, Arc<RwLock<Exchange>>) {
    #[derive(clap::Parser)]
    struct Command {
        #[command(flatten)]
        servers: ServerArgs,
    }
    let parsed = <Command as clap::Parser>::parse_from([&["sim"], arguments].concat());
    let config = MarketConfig { instruments: 20, messages: 20_000, ..MarketConfig::default() };
    let packing = PacketConfig::default();
    let mut exchange = Exchange::new(packing.session);
    for packet in Packets::new(Market::new(config).unwrap(), packing) {
        exchange.publish(&packet).unwrap();
    }
    let exchange = Arc::new(RwLock::new(exchange));
    (Servers::start(&parsed.servers, &exchange).unwrap(), exchange)
}

fn client() -> UdpSocket {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    socket
}

#[test]
fn retransmit_servers_answer_over_sockets() {
    let (servers, exchange) = serve(&[
        "--retransmit",
        "127.0.0.1:0",
        "--retransmit",
        "127.0.0.1:0,slow:200",
        "--retransmit",
        "127.0.0.1:0,silent",
    ]);
    let addresses: Vec<SocketAddr> = servers.retransmit_addresses().collect();
    let request =
        Request { session: PacketConfig::default().session, sequence: 500, count: 10 }.encode();
    let mut answer = [0; 2_048];
    for (address, least) in addresses[..2].iter().zip([0, 200]) {
        let (socket, began) = (client(), Instant::now());
        socket.send_to(&request, address).unwrap();
        let (length, from) = socket.recv_from(&mut answer).unwrap();
        assert!(began.elapsed() >= Duration::from_millis(least));
        assert_eq!(from, *address);
        let packet = TransportPacket::parse(Transport::MoldUdp64, &answer[..length]).unwrap();
        assert_eq!((packet.sequence, packet.count), (500, 10));
        for (message, sequence) in packet.blocks.zip(500..) {
            assert_eq!(message.ok(), exchange.read().unwrap().message(sequence));
        }
    }
    let socket = client();
    socket.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    socket.send_to(&request, addresses[2]).unwrap();
    assert!(socket.recv_from(&mut answer).is_err());
    let report = servers.finish().unwrap();
    let counts: Vec<_> = report.retransmit.iter().map(|(_, counts)| counts).collect();
    assert_eq!(counts.iter().map(|c| c.answers).collect::<Vec<_>>(), [1, 1, 0]);
    assert_eq!(counts[2].silent, 1);
}

/// A whole snapshot over TCP; the books that it makes and where to go on from.
fn snapshot(address: SocketAddr, password: &str) -> Option<(Model, u64)> {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let login = LoginRequest::new("user", password, "", 1).unwrap();
    let mut session = ClientSession::new(login, u16::MAX, 0);
    stream.write_all(session.to_send()).unwrap();
    let (mut model, mut next) = (Model::default(), None);
    loop {
        let length = stream.read(session.room()).unwrap();
        session.received(length, 0);
        loop {
            match session.next_event() {
                Ok(None) => break,
                Ok(Some(Event::Message { message, .. })) => {
                    match glimpse::parse(message).unwrap() {
                        glimpse::Message::Itch(message) => model.apply(message).unwrap(),
                        glimpse::Message::End { sequence } => next = Some(sequence),
                    }
                }
                Ok(Some(Event::EndOfSession)) => return next.map(|next| (model, next)),
                Ok(Some(Event::LoggedIn { .. })) => {}
                Err(_) => return None,
            }
        }
        if length == 0 {
            return None;
        }
    }
}

#[test]
fn glimpse_servers_give_the_books_over_sockets() {
    let (servers, exchange) = serve(&[
        "--glimpse",
        "127.0.0.1:0",
        "--glimpse",
        "127.0.0.1:0,half",
        "--glimpse-login",
        "user:pw",
    ]);
    let addresses: Vec<SocketAddr> = servers.glimpse_addresses().collect();
    let (model, next) = snapshot(addresses[0], "pw").unwrap();
    let exchange = exchange.read().unwrap();
    assert_eq!(next, exchange.next_sequence());
    assert_eq!(model.order_count(), exchange.model().order_count());
    for locate in exchange.model().locates() {
        assert!(model.orders(locate).eq(exchange.model().orders(locate)));
    }
    drop(exchange);
    assert!(snapshot(addresses[0], "guess").is_none());
    assert!(snapshot(addresses[1], "pw").is_none());
    // One that says nothing and goes harms nobody.
    TcpStream::connect(addresses[0]).unwrap().shutdown(Shutdown::Both).unwrap();
    assert!(snapshot(addresses[0], "pw").is_some());
    let report = servers.finish().unwrap();
    let counts: Vec<_> = report.glimpse.iter().map(|(_, counts)| *counts).collect();
    assert_eq!((counts[0].connections, counts[0].complete, counts[0].refused), (4, 2, 1));
    assert_eq!((counts[1].connections, counts[1].closed_halfway), (1, 1));
}
