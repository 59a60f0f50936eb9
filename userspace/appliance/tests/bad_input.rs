//! Packets and files that are cut, damaged or noise: never a panic, and every packet that comes in
//! is counted once. In one process, through the worker and shard of a replay.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::captures::{self, Random};
use common::{SimulatedMarket, data, folder, write};
use std::fs;
use std::path::Path;
use wirebook::cli::{InputArgs, LimitArgs};
use wirebook::lines::{ChannelSpec, Lines};
use wirebook::replay::{Replay, Replayed};
use wirebook::router::Router;
use wirebook::shard::Shard;
use wirebook::worker::{Worker, WorkerCounters};
use wirebook_machine::Limits;
use wirebook_simulator::Line;
use wirebook_wire::{Datagram, Protocol};

const PROTOCOLS: [Protocol; 3] = Protocol::ALL;

/// A worker and its shard, whatever packets are sent to, with room for `instruments`.
struct DecodePath {
    worker: Worker<Shard<()>>,
}

impl DecodePath {
    fn new(protocol: Protocol, instruments: usize) -> Self {
        let limits = Limits { instruments, orders: 4_096, levels: 8_192 };
        let shard = Shard::new(limits, ()).unwrap();
        let lines = Lines::any_destination(ChannelSpec::of_protocol(protocol));
        Self { worker: Worker::new(lines, instruments, Router::new(vec![shard])).unwrap() }
    }

    /// Sends a frame and gives what it was counted as.
    fn frame(&mut self, frame: &[u8]) -> WorkerCounters {
        let before = self.worker.counters();
        self.worker.frame(frame, 1_700_000_000_000_000_000, 0);
        let counted = difference(&self.worker.counters(), &before);
        let WorkerCounters { packets, other_packets, malformed_packets, .. } = counted;
        // One of ours, maybe malformed; or another's; or no datagram at all.
        match (packets, other_packets) {
            (1, 0) => assert!(malformed_packets <= 1, "{counted:?}"),
            (0, 1) => assert_eq!(malformed_packets, 0, "{counted:?}"),
            (0, 0) => assert_eq!(malformed_packets, 1, "{counted:?}"),
            _ => panic!("{counted:?}"),
        }
        counted
    }

    /// Sends a UDP payload and gives what it was counted as.
    fn payload(&mut self, payload: &[u8]) -> WorkerCounters {
        let before = self.worker.counters();
        self.worker.payload(0, payload, 1_700_000_000_000_000_000, 0);
        let counted = difference(&self.worker.counters(), &before);
        assert_eq!((counted.packets, counted.other_packets), (1, 0));
        assert!(counted.malformed_packets <= 1, "{counted:?}");
        counted
    }

    fn missing_messages(&self) -> u64 {
        self.worker.channels().map(|channel| channel.channel.missing_messages).sum()
    }

    fn digest(self) -> u64 {
        let [shard] = self.worker.into_mailboxes().collect::<Vec<_>>().try_into().ok().unwrap();
        shard.books().digest()
    }
}

fn difference(after: &WorkerCounters, before: &WorkerCounters) -> WorkerCounters {
    WorkerCounters {
        packets: after.packets - before.packets,
        messages: after.messages - before.messages,
        heartbeats: after.heartbeats - before.heartbeats,
        ends_of_session: after.ends_of_session - before.ends_of_session,
        unknown_messages: after.unknown_messages - before.unknown_messages,
        malformed_packets: after.malformed_packets - before.malformed_packets,
        over_limit_messages: after.over_limit_messages - before.over_limit_messages,
        other_packets: after.other_packets - before.other_packets,
    }
}

/// The frames of every capture that one of our protocols reads.
fn captured_frames() -> Option<Vec<(Protocol, Vec<Vec<u8>>)>> {
    let folder = captures::data()?;
    let mut captured = Vec::new();
    for name in ["iex", "nasdaq-itch"] {
        for file in captures::files(&folder.join(name), &[".pcap", ".pcap.gz"]) {
            let frames = captures::pcap(&file).into_iter().map(|frame| frame.bytes).collect();
            captured.push((captures::protocol_of(name, &file), frames));
        }
    }
    assert_eq!(captured.len(), 13);
    Some(captured)
}

/// Payloads cut at every byte, each followed by the next longer one: a message is applied when its
/// last byte is there, once, so that the day ends with the digest and counts of the whole packets.
#[test]
fn every_truncation_of_every_payload_loses_nothing() {
    let Some(captured) = captured_frames() else { return };
    for (protocol, frames) in captured {
        // A day is one channel; packets from here and there are a channel each.
        let a_channel = if frames.len() > 1_000 { frames.len() } else { 1 };
        frames.chunks(a_channel).for_each(|frames| cut_every_payload(protocol, frames));
    }
}

/// Early, so that it is looked through before it is applied.
#[test]
fn a_cut_packet_with_a_short_message_is_malformed_once() {
    let mut path = DecodePath::new(Protocol::Itch50, 4);
    let payload = b"WIREBOOK01\0\0\0\0\0\0\0\x07\0\x02\0\x02D\0\0\x13D";
    assert_eq!(path.payload(payload).malformed_packets, 1);
    path.worker.give_up_waiting();
    assert_eq!(path.worker.counters().malformed_packets, 1);
}

fn cut_every_payload(protocol: Protocol, frames: &[Vec<u8>]) {
    let (mut cut, mut whole) =
        (DecodePath::new(protocol, 12_000), DecodePath::new(protocol, 12_000));
    for frame in frames {
        let payload = Datagram::parse(frame).unwrap().payload;
        assert_eq!(whole.payload(payload).malformed_packets, 0);
        for length in 0..payload.len() {
            let counted = cut.payload(&payload[..length]);
            assert_eq!(counted.malformed_packets, 1, "{length} of {} bytes", payload.len());
        }
        assert_eq!(cut.payload(payload).malformed_packets, 0);
    }
    for path in [&mut cut, &mut whole] {
        // What waits for messages that the capture does not hold is applied now.
        path.worker.give_up_waiting();
    }
    assert_eq!(cut.worker.counters().messages, whole.worker.counters().messages);
    assert_eq!(cut.missing_messages(), whole.missing_messages());
    assert_eq!(cut.digest(), whole.digest());
}

/// Frames cut at every byte, as a capture with a short snapshot length holds them: not a byte of
/// what follows the cut is missed, and no message is taken from what stands before it.
#[test]
fn every_truncation_of_every_frame_is_counted() {
    let Some(captured) = captured_frames() else { return };
    for (protocol, frames) in captured {
        let mut path = DecodePath::new(protocol, 12_000);
        let mut messages = 0;
        // The first of each kind of packet are enough: headers are alike, and payloads cut above.
        for frame in frames.iter().take(300) {
            let datagram = Datagram::parse(frame).unwrap();
            let end = datagram.payload_offset + datagram.payload.len();
            for length in 0..end {
                let counted = path.frame(&frame[..length]);
                assert_eq!(counted.packets, 0, "{length} of {end} bytes");
            }
            let counted = path.frame(frame);
            assert_eq!((counted.packets, counted.malformed_packets), (1, 0));
            messages += counted.messages;
        }
        assert_eq!(path.worker.counters().messages, messages);
    }
}

#[test]
fn damaged_packets_are_counted() {
    let Some(captured) = captured_frames() else { return };
    let mut random = Random(0x5eed);
    for (protocol, frames) in &captured {
        let mut path = DecodePath::new(*protocol, 64);
        for _ in 0..40_000 / captured.len() {
            let mut frame = frames[random.below(frames.len())].clone();
            for _ in 0..=random.below(4) {
                let at = random.below(frame.len());
                frame[at] ^= 1 << random.below(8);
            }
            path.frame(&frame);
        }
        path.digest();
    }
}

#[test]
fn random_bytes_are_counted() {
    let mut random = Random(0xba5e);
    for protocol in PROTOCOLS {
        let mut path = DecodePath::new(protocol, 64);
        let line = Line::new("239.1.2.3:9000".parse().unwrap());
        let mut frame = Vec::new();
        for _ in 0..10_000 {
            let length = random.below(300);
            path.frame(&random.bytes(length));
            let length = random.below(1_400);
            let payload = random.bytes(length);
            path.payload(&payload);
            line.frame(&payload, &mut frame);
            assert_eq!(path.frame(&frame).packets, 1);
        }
        path.digest();
    }
}

/// Messages of the right types and lengths, with nothing right in them: the books refuse, count,
/// and reach their limits.
#[test]
fn well_formed_nonsense_is_counted() {
    let mut random = Random(0xf00d);
    // The two about circuit breakers have values that their meaning rules out.
    let mut lengths = wirebook_wire::itch50::Message::LENGTHS.to_vec();
    lengths.retain(|(kind, _)| !b"VW".contains(kind));
    let mut path = DecodePath::new(Protocol::Itch50, 16);
    let (mut sequence, mut messages) = (1_u64, 0);
    for _ in 0..3_000 {
        let count = 1 + random.below(20);
        let mut payload =
            [&b"NONSENSE  "[..], &sequence.to_be_bytes(), &(count as u16).to_be_bytes()].concat();
        for _ in 0..count {
            let (kind, length) = lengths[random.below(lengths.len())];
            let mut message = random.bytes(length);
            message[0] = kind;
            // Few stocks and few orders, so that messages meet each other's.
            message[1..3].copy_from_slice(&(1 + random.below(20) as u16).to_be_bytes());
            if length > 19 {
                message[11..19].copy_from_slice(&(random.below(50) as u64).to_be_bytes());
                message[19] = b"BS"[random.below(2)];
            }
            if kind == b'C' {
                message[31] = b"YN"[random.below(2)];
            }
            payload.extend((length as u16).to_be_bytes());
            payload.extend(message);
        }
        let counted = path.payload(&payload);
        assert_eq!((counted.messages, counted.malformed_packets), (count as u64, 0));
        sequence += count as u64;
        messages += count as u64;
    }
    assert_eq!(path.worker.counters().messages, messages);
    path.digest();
}

fn replay(file: &Path, protocol: Option<Protocol>) -> anyhow::Result<Replayed<()>> {
    let input = InputArgs {
        files: vec![file.to_owned()],
        protocol,
        any_destination: true,
        config: None,
        date: None,
    };
    let limits = LimitArgs { instruments_max: 64, orders_max: 256, levels_max: 256 };
    Replay::run(&input, limits, [()])
}

/// Where the packets of a little-endian pcap file end.
fn packet_ends(file: &[u8]) -> Vec<usize> {
    let mut ends = Vec::new();
    let mut at = 24;
    while at < file.len() {
        at += 16 + u32::from_le_bytes(file[at + 8..at + 12].try_into().unwrap()) as usize;
        ends.push(at);
    }
    ends
}

#[test]
fn every_truncation_of_a_capture_file_keeps_what_is_whole() {
    let Some(single) = data("nasdaq-itch/Multiple.Packets.pcap") else { return };
    let folder = folder();
    let mut market = SimulatedMarket::new(61, 2, 60).frames;
    market.truncate(6);
    for bytes in [fs::read(single).unwrap(), common::pcap_file(&market)] {
        let ends = packet_ends(&bytes);
        for length in 0..=bytes.len() {
            let file = write(&folder, "cut.pcap", &bytes[..length]);
            let replayed = replay(&file, Some(Protocol::Itch50));
            if length < 24 {
                assert!(replayed.is_err(), "no pcap header in {length} bytes");
                continue;
            }
            let replayed = replayed.unwrap();
            let whole = ends.iter().filter(|&&end| end <= length).count() as u64;
            assert_eq!(replayed.worker.packets, whole, "{length} bytes");
            let is_cut = length != 24 && !ends.contains(&length);
            assert_eq!(replayed.input.truncated_files, u64::from(is_cut), "{length} bytes");
            assert_eq!(replayed.input.damaged_files, 0);
        }
    }
}

#[test]
fn every_truncation_of_other_files_is_an_end_or_an_error() {
    let folder = folder();
    let mut frames = SimulatedMarket::new(62, 2, 60).frames;
    frames.truncate(3);
    let (pcap, pcapng) = (common::pcap_file(&frames), common::pcapng_file(&frames));
    let mut files = vec![
        ("a.pcapng", pcapng.clone()),
        ("a.pcap.gz", common::gzip(&pcap)),
        ("a.pcapng.zst", common::zstd(&pcapng)),
        ("a.itch50", b"\0\x0cS\0\0\0\0\0\0\0\0\0\0O".repeat(9)),
    ];
    if let Some(es) = data("dbn-mbo/esh4-glbx-mdp3-20231224.mbo.dbn.zst") {
        let mut plain = zstd::decode_all(fs::File::open(es).unwrap()).unwrap();
        plain.truncate(1_200);
        files.push(("a.dbn.zst", common::zstd(&plain)));
        files.push(("a.dbn", plain));
    }
    for (name, bytes) in files {
        let mut last = 0;
        for length in 0..=bytes.len() {
            let file = write(&folder, name, &bytes[..length]);
            let Ok(replayed) = replay(&file, Some(Protocol::Itch50)) else { continue };
            // The more there is of a file, the more comes out of it.
            assert!(replayed.worker.messages >= last, "{name}: {length} bytes");
            last = replayed.worker.messages;
        }
        assert!(last > 0, "{name}");
    }
}

#[test]
fn random_files_are_errors_or_counted() {
    let folder = folder();
    let mut random = Random(0xf11e);
    let heads: [&[u8]; 8] = [
        b"",
        &[0x4d, 0x3c, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 1, 0, 0, 0],
        &[0x0a, 0x0d, 0x0d, 0x0a, 28, 0, 0, 0, 0x4d, 0x3c, 0x2b, 0x1a, 1, 0, 0, 0],
        b"DBN\x03",
        &[0x1f, 0x8b, 8, 0],
        &[0x28, 0xb5, 0x2f, 0xfd],
        b"\0\x0cS",
        b"PK\x03\x04",
    ];
    for round in 0..800 {
        let length = random.below(600);
        let bytes = [heads[round % heads.len()], &random.bytes(length)].concat();
        let file = write(&folder, "random", &bytes);
        if let Err(error) = replay(&file, Some(PROTOCOLS[round % 3])) {
            assert!(!error.to_string().is_empty());
        }
    }
}

/// The captures of other venues, and a stream that is cut in mid-packet: none of ours to read, so
/// each packet is counted and no book comes of it.
#[test]
fn other_venues_packets_are_counted() {
    let Some(folder) = captures::data() else { return };
    for venue in ["cme-mdp3", "cboe-pitch", "eurex-eobi", "memx-memoir", "asx-itch"] {
        for file in captures::files(&folder.join(venue), &[".pcap"]) {
            let frames = captures::pcap(&file).len() as u64;
            for protocol in PROTOCOLS {
                let WorkerCounters { packets, other_packets, malformed_packets, .. } =
                    replay(&file, Some(protocol)).unwrap().worker;
                assert!(packets + other_packets <= frames);
                assert!(packets + other_packets + malformed_packets >= frames, "{file:?}");
            }
        }
    }
    // Three MoldUDP64 packets one after the other; the last one is cut.
    let sample = fs::read(folder.join("moldudp64/mold.sample.dat")).unwrap();
    let mut path = DecodePath::new(Protocol::Itch50, 64);
    for length in 0..=sample.len() {
        path.payload(&sample[..length]);
    }
}

#[test]
fn a_damaged_capture_is_used_up_to_its_damage() {
    let folder = folder();
    let market = SimulatedMarket::new(63, 2, 2_000);
    let mut bytes = common::gzip(&common::pcap_file(&market.frames));
    let middle = bytes.len() * 3 / 4;
    bytes[middle..middle + 64].fill(0xff);
    let file = write(&folder, "damaged.pcap.gz", bytes);
    let file = file.to_str().unwrap();
    // Lines worked out from the capture itself: what stands before the damage is there.
    let all = ["replay", file, "--protocol", "itch50", "--json"];
    let output = common::wirebook(&[&all[..], &common::LIMITS].concat());
    assert_eq!(output.status.code(), Some(1));
    common::assert_says(&String::from_utf8_lossy(&output.stderr), &["damaged.pcap.gz"]);
    let summary: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(summary["input"]["damaged_files"], 1);
    assert!(summary["messages"].as_u64().unwrap() > 500, "{}", summary["messages"]);
}
