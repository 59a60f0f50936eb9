//! Runs the packet files of `tests/packets` through the kernel's test-run call
//! (`BPF_PROG_TEST_RUN`), one a branch of the program, and looks at action,
//! counters, packet bytes and metadata.
//!
//! The kernel's net/bpf/test_run.c takes frames from 14 bytes on, so shorter
//! ones, which no device delivers either, are not tried.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::Ipv4Addr;
use std::os::fd::AsFd;
use std::path::Path;

use libbpf_rs::ProgramInput;
use nix::time::{ClockId, clock_gettime};
use socket2::{Domain, Socket, Type};
use wirebook_ebpf::{Counters, LineKey, METADATA_BYTES, Metadata, Steering, SteeringError, Vlan};

const XDP_PASS: u32 = 2;
const XDP_REDIRECT: u32 = 4;

/// What the program does with a frame.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    /// Line, payload offset, payload length.
    Steered(u16, u16, u16),
    Passed,
    Malformed,
    NoSocket,
}
use Fate::{Malformed, Passed, Steered};

const CASES: &[(&str, Fate)] = &[
    ("plain", Steered(1, 42, 20)),
    ("padded", Steered(1, 42, 4)),
    ("empty-payload", Steered(1, 42, 0)),
    ("other-group", Passed),
    ("other-port", Passed),
    ("vlan", Steered(2, 46, 20)),
    ("vlan-other", Passed),
    ("vlan-priority", Steered(1, 46, 20)),
    ("qinq", Steered(3, 50, 20)),
    ("qinq-8100", Steered(3, 50, 20)),
    ("qinq-other-inner", Passed),
    ("vlan-three-tags", Passed),
    ("any-plain", Steered(4, 42, 20)),
    ("any-vlan", Steered(4, 46, 20)),
    ("any-qinq", Steered(4, 50, 20)),
    ("options", Steered(1, 54, 20)),
    ("options-longest", Steered(3, 90, 20)),
    ("fragment-first", Passed),
    ("fragment-later", Passed),
    ("bad-version", Malformed),
    ("bad-header-length", Malformed),
    ("header-past-end", Malformed),
    ("bad-total-length", Malformed),
    ("short-total-length", Malformed),
    ("udp-length-short", Malformed),
    ("udp-length-zero", Malformed),
    ("udp-length-long", Malformed),
    ("udp-length-less", Steered(1, 42, 10)),
    ("tcp", Passed),
    ("ipv6", Passed),
    ("arp", Passed),
];

#[test]
fn every_packet_file_takes_its_branch() {
    let Some(mut bench) = Bench::with_socket() else { return };
    for (name, fate) in CASES {
        assert_eq!(bench.run(&packet(name)), *fate, "{name}");
    }
    let files = std::fs::read_dir(packets()).unwrap().count();
    assert_eq!(files, CASES.len(), "each packet file has a case");
}

#[test]
fn a_cut_datagram_is_malformed_at_every_length() {
    let Some(mut bench) = Bench::with_socket() else { return };
    for name in ["plain", "vlan", "qinq", "options", "options-longest", "any-qinq"] {
        let whole = packet(name);
        for length in 14..whole.len() {
            assert_eq!(bench.run(&whole[..length]), Malformed, "{name} cut to {length}");
        }
    }
}

#[test]
fn without_a_socket_the_kernel_gets_the_frame_as_it_came() {
    let Some(mut bench) = Bench::without_socket() else { return };
    for (name, fate) in CASES {
        let expected = match fate {
            Steered(..) => Fate::NoSocket,
            other => *other,
        };
        assert_eq!(bench.run(&packet(name)), expected, "{name}");
    }
}

#[test]
fn the_timestamp_is_the_kernels_tai_clock() {
    let Some(mut bench) = Bench::with_socket() else { return };
    let before_ns = tai_ns();
    bench.run(&packet("plain"));
    let metadata = bench.metadata.unwrap();
    assert!(!metadata.hardware_clock);
    assert!((before_ns..=tai_ns()).contains(&metadata.rx_timestamp_ns));
}

#[test]
fn a_line_with_an_impossible_vlan_is_refused() {
    let Some(mut steering) = load() else { return };
    for vlan in [Vlan::Tagged(0), Vlan::Tagged(4095), Vlan::Double { outer: 1, inner: 0xfffe }] {
        let refused = steering.set_line(key([233, 54, 12, 111], 1, vlan), 0);
        assert!(matches!(refused, Err(SteeringError::Vlan(_))), "{vlan:?}");
    }
}

/// A loaded program with the four lines that [`CASES`] speaks of.
struct Bench {
    steering: Steering,
    metadata: Option<Metadata>,
    _socket: Option<Socket>,
}

impl Bench {
    fn without_socket() -> Option<Self> {
        let mut steering = load()?;
        let group = [233, 54, 12, 111];
        let double = Vlan::Double { outer: 200, inner: 141 };
        for (line, key) in [
            (1, key(group, 26477, Vlan::Untagged)),
            (2, key(group, 26477, Vlan::Tagged(141))),
            (3, key(group, 26477, double)),
            (4, key([239, 1, 1, 1], 5000, Vlan::Any)),
        ] {
            steering.set_line(key, line).unwrap();
        }
        Some(Self { steering, metadata: None, _socket: None })
    }

    /// A socket that is not bound will do: test-run decides on the redirect and
    /// does not carry it out.
    fn with_socket() -> Option<Self> {
        let mut bench = Self::without_socket()?;
        let socket = Socket::new(Domain::from(libc::AF_XDP), Type::RAW, None).unwrap();
        bench.steering.set_socket(0, socket.as_fd()).unwrap();
        bench._socket = Some(socket);
        Some(bench)
    }

    /// Runs one frame and checks that action, counters and bytes tell one story.
    fn run(&mut self, frame: &[u8]) -> Fate {
        let before = self.steering.counters().unwrap();
        // struct xdp_md: data, data_end, data_meta, then device and queue.
        let mut context_in = [0u8; 24];
        context_in[4..8].copy_from_slice(&u32::try_from(frame.len()).unwrap().to_ne_bytes());
        let mut context_out = [0u8; 24];
        let mut data_out = [0u8; 4096];
        let (action, data_length) = {
            let output = self
                .steering
                .program()
                .unwrap()
                .test_run(ProgramInput {
                    context_in: Some(&mut context_in),
                    context_out: Some(&mut context_out),
                    data_in: Some(frame),
                    data_out: Some(&mut data_out),
                    ..ProgramInput::default()
                })
                .unwrap();
            (output.return_value, output.data.map_or(0, |data| data.len()))
        };
        let data_start =
            usize::try_from(u32::from_ne_bytes(context_out[0..4].try_into().unwrap())).unwrap();
        let (before_packet, packet) = data_out[..data_length].split_at(data_start);
        assert_eq!(packet, frame, "the packet itself never changes");

        let mut expected = before;
        let fate = if action == XDP_REDIRECT {
            expected.steered += 1;
            let bytes = <[u8; METADATA_BYTES]>::try_from(before_packet).unwrap();
            self.metadata = Metadata::read(&bytes, packet);
            let field = |at: usize| u16::from_ne_bytes([bytes[at], bytes[at + 1]]);
            assert_eq!(field(10), 0xb500, "tag and no flags");
            let metadata = self.metadata.expect("the metadata describes its packet");
            assert_eq!(field(8), metadata.line);
            Steered(metadata.line, field(12), field(14))
        } else {
            assert_eq!(action, XDP_PASS);
            assert_eq!(before_packet, [], "no metadata stays before a passed packet");
            let after = self.steering.counters().unwrap();
            if after.malformed > before.malformed {
                expected.malformed += 1;
                Malformed
            } else if after.no_socket > before.no_socket {
                expected.no_socket += 1;
                Fate::NoSocket
            } else {
                expected.passed += 1;
                Passed
            }
        };
        let after: Counters = self.steering.counters().unwrap();
        assert_eq!(after, expected, "each frame is counted once");
        fate
    }
}

/// None, with the reason on standard error, where the process has no rights.
fn load() -> Option<Steering> {
    match Steering::load() {
        Ok(steering) => Some(steering),
        Err(error @ SteeringError::LoadRights(_)) => {
            assert!(
                std::env::var_os("WIREBOOK_REQUIRE_PRIVILEGED").is_none_or(|value| value != "1"),
                "{error}"
            );
            eprintln!("SKIP: {error}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

fn key(group: [u8; 4], port: u16, vlan: Vlan) -> LineKey {
    LineKey { group: Ipv4Addr::from(group), port, vlan }
}

fn packets() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/packets"))
}

/// The bytes of a packet file: hexadecimal pairs, `#` opens a comment line.
fn packet(name: &str) -> Vec<u8> {
    let text = std::fs::read_to_string(packets().join(name).with_extension("hex")).unwrap();
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .flat_map(str::split_whitespace)
        .map(|pair| u8::from_str_radix(pair, 16).unwrap())
        .collect()
}

fn tai_ns() -> u64 {
    let now = clock_gettime(ClockId::CLOCK_TAI).unwrap();
    u64::try_from(now.tv_sec() * 1_000_000_000 + now.tv_nsec()).unwrap()
}
