//! Classic pcap files.

use super::*;
use std::io::Read;
use wirebook_wire::Datagram;

/// Byte order and time unit of a file written here.
#[derive(Clone, Copy)]
pub(super) struct Flavour {
    pub(super) big_endian: bool,
    pub(super) nanoseconds: bool,
}

pub(super) const FLAVOURS: [Flavour; 4] = [
    Flavour { big_endian: false, nanoseconds: false },
    Flavour { big_endian: false, nanoseconds: true },
    Flavour { big_endian: true, nanoseconds: false },
    Flavour { big_endian: true, nanoseconds: true },
];

impl Flavour {
    fn word(self, value: u32) -> [u8; 4] {
        if self.big_endian { value.to_be_bytes() } else { value.to_le_bytes() }
    }

    fn half(self, value: u16) -> [u8; 2] {
        if self.big_endian { value.to_be_bytes() } else { value.to_le_bytes() }
    }

    pub(super) fn file(self, link_type: u32, packets: &[(u32, u32, &[u8], u32)]) -> Vec<u8> {
        let magic = if self.nanoseconds { 0xa1b2_3c4d } else { 0xa1b2_c3d4 };
        let mut file = self.word(magic).to_vec();
        file.extend(self.half(2));
        file.extend(self.half(4));
        file.extend([0; 8]);
        file.extend(self.word(262_144));
        file.extend(self.word(link_type));
        for (seconds, fraction, bytes, original) in packets {
            file.extend(self.word(*seconds));
            file.extend(self.word(*fraction));
            file.extend(self.word(bytes.len() as u32));
            file.extend(self.word(*original));
            file.extend(*bytes);
        }
        file
    }
}

#[test]
fn every_flavour_gives_times_and_bytes() {
    for flavour in FLAVOURS {
        let first = [7u8; 60];
        let file = flavour.file(1, &[(1_700_000_000, 999_999, &first, 60), (5, 1, b"abc", 1_500)]);
        let unit_ns = if flavour.nanoseconds { 1 } else { 1_000 };
        let (taken, error) = packets(&mut open_bytes("x", &file).unwrap());
        assert!(error.is_none());
        let expected = [
            Taken {
                ts_recv: 1_700_000_000_000_000_000 + 999_999 * unit_ns,
                bytes: first.to_vec(),
                captured_short: false,
            },
            Taken {
                ts_recv: 5_000_000_000 + unit_ns,
                bytes: b"abc".to_vec(),
                captured_short: true,
            },
        ];
        assert_eq!(taken, expected);
    }
}

/// Each line of a decode beside the real captures: time, VLAN, destination.
fn assert_decoded(capture: &str, decode: &str) {
    let (Some(capture), Some(decode)) = (data(capture), data(decode)) else { return };
    let mut lines = Vec::new();
    let file = std::fs::File::open(&decode).unwrap();
    if decode.extension().is_some_and(|extension| extension == "gz") {
        flate2::read::GzDecoder::new(file).read_to_end(&mut lines).unwrap();
    } else {
        std::io::BufReader::new(file).read_to_end(&mut lines).unwrap();
    }
    let lines: Vec<serde_json::Value> = lines
        .split(|&byte| byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect();
    let taken = all_packets(&capture);
    assert_eq!(taken.len(), lines.len(), "{}", capture.display());
    for (packet, line) in taken.iter().zip(&lines) {
        let (seconds, fraction) = line["time"].as_str().unwrap().split_once('.').unwrap();
        let nanos: u64 = fraction.parse().unwrap();
        assert_eq!(packet.ts_recv, seconds.parse::<u64>().unwrap() * 1_000_000_000 + nanos);
        assert!(!packet.captured_short);
        let datagram = Datagram::parse(&packet.bytes).unwrap();
        assert_eq!(datagram.destination.ip().to_string(), line["dst"].as_str().unwrap());
        assert_eq!(u64::from(datagram.destination.port()), line["port"].as_u64().unwrap());
        assert_eq!(datagram.outer_vlan.map(u64::from), line["vlan"].as_u64());
    }
}

#[test]
fn real_captures_equal_an_independent_decode() {
    assert_decoded("iex/deep-2023-10-02.pcap.gz", "iex/deep-2023-10-02.decoded.jsonl.gz");
    for name in [
        "nasdaq-itch/Multiple.Packets",
        "nasdaq-itch/OrderDeleteMessage",
        "iex/QuoteUpdateMessage",
        "memx-memoir/OrderAddedMessage",
        "eurex-eobi/ProductSummary",
        "cme-mdp3/MdIncrementalRefreshBook",
        "cboe-pitch/TradingStatusMessage",
    ] {
        assert_decoded(&format!("{name}.pcap"), &format!("{name}.decoded.jsonl"));
    }
}

#[test]
fn compression_changes_nothing_and_is_found_by_content() {
    let Some(path) = data("iex/deep-2023-10-02.pcap.gz") else { return };
    let expected = all_packets(&path);
    assert_eq!(expected.len(), 5_000);
    let mut plain = Vec::new();
    let file = std::fs::File::open(&path).unwrap();
    flate2::read::GzDecoder::new(file).read_to_end(&mut plain).unwrap();
    let folder = folder();
    // Cut anywhere: members and frames end in mid-packet.
    let (head, tail) = plain.split_at(700_001);
    for (name, bytes) in [
        ("plain", plain.clone()),
        ("members.pcap", [gzip(head), gzip(b""), gzip(tail)].concat()),
        ("frames", [zstd(head), zstd(tail)].concat()),
        ("skippable.gz", [&[0x50, 0x2a, 0x4d, 0x18, 2, 0, 0, 0, 9, 9], &zstd(&plain)[..]].concat()),
    ] {
        assert!(all_packets(&write(&folder, name, &bytes)) == expected, "{name}");
    }
}

#[test]
fn position_ends_at_the_size_of_the_file() {
    let Some(path) = data("iex/deep-2023-10-02.pcap.gz") else { return };
    let mut capture = super::super::open(&path).unwrap();
    let size = std::fs::metadata(&path).unwrap().len();
    assert_eq!(capture.kind(), CaptureKind::Packets);
    assert!(capture.position().0 < size);
    let progress = capture.progress();
    let mut last = 0;
    while capture.next().unwrap().is_some() {
        assert!(progress.position().0 >= last);
        last = progress.position().0;
    }
    assert_eq!(progress.position(), (size, size));
}

#[test]
fn other_link_types_become_ethernet() {
    let packet = [b"\x45ipv4".as_slice(), &[0; 40]].concat();
    let cooked = [&[0, 0, 0, 1, 0, 6, 1, 2, 3, 4, 5, 6, 0, 0, 0x81, 0x00], &packet[..]].concat();
    let cooked_v2 = [&[0x08, 0x00], &[9; 18][..], &packet].concat();
    for (link_type, bytes, ethertype) in [
        (101, &packet, [0x08, 0x00]),
        (228, &packet, [0x08, 0x00]),
        (113, &cooked, [0x81, 0x00]),
        (276, &cooked_v2, [0x08, 0x00]),
    ] {
        for flavour in FLAVOURS {
            let original = bytes.len() as u32;
            let file = flavour.file(link_type, &[(1, 0, bytes, original), (2, 0, bytes, original)]);
            let (taken, error) = packets(&mut open_bytes("x", &file).unwrap());
            assert!(error.is_none());
            assert_eq!(taken.len(), 2);
            for frame in &taken {
                assert_eq!(frame.bytes[12..14], ethertype);
                assert_eq!(frame.bytes[14..], packet);
            }
        }
    }
    let six = FLAVOURS[0].file(101, &[(1, 0, b"\x60ipv6", 5)]);
    let (taken, _) = packets(&mut open_bytes("x", &six).unwrap());
    assert_eq!(taken[0].bytes[12..], *b"\x86\xdd\x60ipv6");
}

#[test]
fn a_packet_shorter_than_its_link_header_is_an_empty_frame() {
    for (link_type, bytes) in [(113, &[0; 15][..]), (276, &[0; 19])] {
        let file = FLAVOURS[0].file(link_type, &[(1, 0, bytes, 100)]);
        let (taken, error) = packets(&mut open_bytes("x", &file).unwrap());
        assert!(error.is_none());
        assert!(taken[0].bytes.is_empty());
    }
}

#[test]
fn a_link_type_without_a_way_to_ethernet_is_named() {
    let file = FLAVOURS[2].file(105, &[(1, 0, b"802.11", 6)]);
    let error = open_bytes("x", &file).err().unwrap();
    assert!(matches!(error, CaptureError::LinkType { link_type: 105 }));
    assert!(error.to_string().contains("found 105"), "{error}");
}
