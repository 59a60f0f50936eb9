//! Two CME-like lines whose lead alternates: each packet is one sequence of a session without a
//! name, little-endian in the first four bytes of the payload.

use pcap_parser::{LegacyPcapReader, PcapBlockOwned, traits::PcapReaderIterator};
use std::ops::Range;
use std::path::PathBuf;
use wirebook_feed::{Applied, Channel, Packet, Policy, Sink, Source, State};
use wirebook_model::BookState;

/// Ethernet, IPv4 and UDP headers without options.
const HEADERS_BYTES: usize = 42;
/// Where the destination port is.
const PORT: Range<usize> = 36..38;

#[derive(Default)]
struct Log {
    sequences: Vec<u32>,
    bytes: usize,
    leads: [u32; 2],
}

impl Sink<()> for Log {
    fn apply(&mut self, packet: &Packet<'_, ()>, _skip: u16) -> Applied {
        self.sequences.push(sequence_of(packet.bytes));
        self.bytes += packet.bytes.len();
        Applied { messages: 1, held: 1 }
    }

    fn books_are(&mut self, state: BookState, _sequence: u64) {
        assert_eq!(state, BookState::Live);
    }

    fn clear_books(&mut self, _sequence: u64) {}

    fn request_retransmit(&mut self, _session: (), _messages: Range<u64>) {}

    fn request_snapshot(&mut self, _session: (), _sequence: u64) {}

    fn end_recovery(&mut self) {}

    fn line_led(&mut self, line: u8, _behind: u8, _lead_ns: u64) {
        self.leads[usize::from(line)] += 1;
    }
}

fn sequence_of(payload: &[u8]) -> u32 {
    let sequence = payload.first_chunk().expect("the file's packets hold a sequence");
    u32::from_le_bytes(*sequence)
}

/// The file's frames with their times.
fn frames() -> Option<Vec<(u64, Vec<u8>)>> {
    let workspace = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    let data = std::env::var_os("WIREBOOK_DATA")
        .map_or_else(|| workspace.join("../shared/data"), PathBuf::from);
    let path = data.join("cme-mdp3/synthetic-ab-lines.pcap");
    let Ok(file) = std::fs::File::open(&path) else {
        eprintln!("SKIP: no {}", path.display());
        return None;
    };
    let mut reader = LegacyPcapReader::new(65_536, file).expect("the file is a capture");
    let mut frames = Vec::new();
    while let Ok((length, block)) = reader.next() {
        if let PcapBlockOwned::Legacy(block) = block {
            let ts_recv =
                u64::from(block.ts_sec) * 1_000_000_000 + u64::from(block.ts_usec) * 1_000;
            frames.push((ts_recv, block.data.to_vec()));
        }
        reader.consume(length);
    }
    Some(frames)
}

#[test]
fn fifty_two_packets_are_applied_once_each_in_order() {
    let Some(frames) = frames() else { return };
    assert_eq!(frames.len(), 104);
    let mut channel = Channel::new(Policy { first_sequence: 0, ..Policy::default() });
    let mut log = Log::default();
    for (ts_recv, frame) in &frames {
        let line = match u16::from_be_bytes(frame[PORT].try_into().unwrap()) {
            14_318 => 0,
            15_318 => 1,
            port => panic!("no line has port {port}"),
        };
        let bytes = &frame[HEADERS_BYTES..];
        let sequence = u64::from(sequence_of(bytes));
        let packet = Packet {
            session: (),
            sequence,
            message_count: 1,
            ends_session: false,
            ts_recv: *ts_recv,
            bytes,
        };
        channel.arrive(Source::Line(line), &packet, *ts_recv, &mut log);
    }
    assert_eq!(log.sequences, (0..52).collect::<Vec<_>>());
    assert_eq!((channel.counters().duplicates, channel.state()), (52, State::Live));
    let lines = [0, 1].map(|line| channel.line(line).unwrap());
    assert!(lines.iter().all(|line| line.packets == 52 && line.missing_messages == 0));
    assert_eq!(log.leads.iter().sum::<u32>(), 52);
    assert!(log.leads.iter().all(|lead| *lead > 0), "the lead alternates: {:?}", log.leads);
}
