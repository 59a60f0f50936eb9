//! pcapng files.

use super::*;

/// Writes blocks in one byte order.
#[derive(Clone, Copy)]
pub(super) struct Writer {
    pub(super) big_endian: bool,
}

impl Writer {
    fn word(self, value: u32) -> [u8; 4] {
        if self.big_endian { value.to_be_bytes() } else { value.to_le_bytes() }
    }

    fn half(self, value: u16) -> [u8; 2] {
        if self.big_endian { value.to_be_bytes() } else { value.to_le_bytes() }
    }

    fn block(self, kind: u32, body: &[u8]) -> Vec<u8> {
        let padding = body.len().next_multiple_of(4) - body.len();
        let length = self.word((12 + body.len() + padding) as u32);
        [&self.word(kind), &length, body, &[0; 3][..padding], &length].concat()
    }

    fn option(self, code: u16, value: &[u8]) -> Vec<u8> {
        let padding = value.len().next_multiple_of(4) - value.len();
        let length = self.half(value.len() as u16);
        [&self.half(code), &length, value, &[0; 3][..padding]].concat()
    }

    pub(super) fn section(self) -> Vec<u8> {
        let mut body = self.word(0x1a2b_3c4d).to_vec();
        body.extend(self.half(1));
        body.extend(self.half(0));
        body.extend([0xff; 8]);
        body.extend(self.option(4, b"a test"));
        body.extend(self.option(0, b""));
        self.block(0x0a0d_0d0a, &body)
    }

    pub(super) fn interface(self, link_type: u16, snap: u32, options: &[(u16, &[u8])]) -> Vec<u8> {
        let mut body = [self.half(link_type), [0; 2]].concat();
        body.extend(self.word(snap));
        for (code, value) in options {
            body.extend(self.option(*code, value));
        }
        self.block(1, &body)
    }

    /// An Enhanced Packet Block with a flags option, as capture tools write.
    pub(super) fn packet(self, interface: u32, units: u64, bytes: &[u8], original: u32) -> Vec<u8> {
        let mut body = self.word(interface).to_vec();
        body.extend(self.word((units >> 32) as u32));
        body.extend(self.word(units as u32));
        body.extend(self.word(bytes.len() as u32));
        body.extend(self.word(original));
        body.extend(bytes);
        body.resize(body.len().next_multiple_of(4), 0);
        body.extend(self.option(2, &[0; 4]));
        body.extend(self.option(0, b""));
        self.block(6, &body)
    }

    fn simple_packet(self, bytes: &[u8], original: u32) -> Vec<u8> {
        self.block(3, &[&self.word(original), bytes].concat())
    }
}

pub(super) const WRITERS: [Writer; 2] = [Writer { big_endian: false }, Writer { big_endian: true }];

#[test]
fn each_interface_has_its_own_clock_and_link() {
    for writer in WRITERS {
        let offset = if writer.big_endian { 100i64.to_be_bytes() } else { 100i64.to_le_bytes() };
        let before = if writer.big_endian { (-1i64).to_be_bytes() } else { (-1i64).to_le_bytes() };
        let file = [
            writer.section(),
            writer.interface(1, 0, &[]),
            writer.interface(1, 0, &[(2, b"eth1"), (9, &[9]), (14, &offset)]),
            writer.interface(101, 0, &[(9, &[0x80 | 32])]),
            writer.interface(1, 0, &[(9, &[0]), (14, &before)]),
            writer.packet(0, 1_700_000_000_123_456, b"micro", 5),
            writer.block(5, &[0; 12]),
            writer.packet(1, 1_700_000_000_123_456_789, b"nano", 1_000),
            writer.packet(2, (7 << 32) + (1 << 31), b"\x45half", 5),
            writer.packet(3, 0, b"before 1970", 11),
        ]
        .concat();
        let (taken, error) = packets(&mut open_bytes("x", &file).unwrap());
        assert!(error.is_none(), "{error:?}");
        let times: Vec<u64> = taken.iter().map(|packet| packet.ts_recv).collect();
        let nano = 1_700_000_100_123_456_789;
        assert_eq!(times, [1_700_000_000_123_456_000, nano, 7_500_000_000, 0]);
        assert_eq!(taken[0].bytes, b"micro");
        assert_eq!((&taken[1].bytes[..], taken[1].captured_short), (&b"nano"[..], true));
        assert_eq!(taken[2].bytes[12..], *b"\x08\x00\x45half");
        assert!(!taken[2].captured_short);
    }
}

#[test]
fn a_section_begins_anew_and_may_turn_the_byte_order() {
    let [little, big] = WRITERS;
    let file = [
        little.section(),
        little.interface(1, 0, &[(9, &[9])]),
        little.packet(0, 1, b"little", 6),
        big.section(),
        big.interface(1, 0, &[(9, &[3])]),
        big.packet(0, 1, b"big", 3),
        big.section(),
        big.packet(0, 1, b"no interface", 12),
    ]
    .concat();
    let (taken, error) = packets(&mut open_bytes("x", &file).unwrap());
    let seen: Vec<_> = taken.iter().map(|p| (p.ts_recv, p.bytes.as_slice())).collect();
    assert_eq!(seen, [(1, &b"little"[..]), (1_000_000, b"big")]);
    assert!(matches!(error, Some(CaptureError::Damaged { .. })), "{error:?}");
}

#[test]
fn simple_packets_have_no_time_and_the_length_of_their_snapshot() {
    for writer in WRITERS {
        let ip = [0x45, 1, 2, 3, 4];
        let file = [
            writer.section(),
            writer.interface(101, 5, &[]),
            writer.simple_packet(&ip, 5),
            writer.simple_packet(&ip, 900),
        ]
        .concat();
        let (taken, error) = packets(&mut open_bytes("x", &file).unwrap());
        assert!(error.is_none(), "{error:?}");
        let shorts: Vec<bool> = taken.iter().map(|packet| packet.captured_short).collect();
        assert_eq!(shorts, [false, true]);
        for packet in &taken {
            assert_eq!((packet.ts_recv, &packet.bytes[14..]), (0, &ip[..]));
        }
    }
}

#[test]
fn blocks_that_contradict_themselves_are_damage() {
    let writer = WRITERS[0];
    let start = [writer.section(), writer.interface(1, 0, &[])].concat();
    let mut long_packet = writer.packet(0, 0, b"four", 4);
    long_packet[20] = 200;
    let mut odd_length = writer.packet(0, 0, b"four", 4);
    odd_length[4] += 1;
    for (what, block) in [
        ("captured length past the block", long_packet),
        ("length not in fours", odd_length),
        ("length of 8", writer.word(6).into_iter().chain(writer.word(8)).collect()),
        (
            "length past every block",
            writer.word(9).into_iter().chain(writer.word(1 << 30)).collect(),
        ),
        ("packet block without its fields", writer.block(6, &[0; 16])),
        ("obsolete packet block", writer.block(2, &[0; 20])),
        ("resolution out of range", writer.interface(1, 0, &[(9, &[20])])),
        ("binary resolution out of range", writer.interface(1, 0, &[(9, &[0x80 | 64])])),
    ] {
        let (taken, error) =
            packets(&mut open_bytes("x", &[start.clone(), block].concat()).unwrap());
        assert!(taken.is_empty());
        assert!(matches!(error, Some(CaptureError::Damaged { .. })), "{what}: {error:?}");
    }
}

#[test]
fn a_link_type_matters_only_where_a_packet_has_it() {
    let writer = WRITERS[0];
    let mut file = [
        writer.section(),
        writer.interface(105, 0, &[]),
        writer.interface(1, 0, &[]),
        writer.packet(1, 0, b"ethernet", 8),
    ]
    .concat();
    assert!(packets(&mut open_bytes("x", &file).unwrap()).1.is_none());
    file.extend(writer.packet(0, 0, b"802.11", 6));
    let (taken, error) = packets(&mut open_bytes("x", &file).unwrap());
    assert_eq!(taken.len(), 1);
    assert!(matches!(error, Some(CaptureError::LinkType { link_type: 105 })));
}
