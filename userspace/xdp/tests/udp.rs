//! UDP sockets and memberships over a veth pair.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::net::Ipv4Addr;
use std::time::Duration;

use common::{Frame, GROUP, PATIENCE, PORT, Pair, SENDER, unix_ns, within};
use wirebook_xdp::{
    BATCH_MAX, Membership, Memberships, UdpLine, UdpOptions, UdpReceiver, XdpError,
};

#[test]
fn payloads_arrive_with_line_and_time() {
    for source in [None, Some(SENDER)] {
        let Some(pair) = Pair::new(2, 1) else { return };
        // One group and port on two interfaces: lines A and B.
        let (mut receiver, report) = pair.receiving(|| {
            let lines = [line("rx0", source, 5), line("rx1", None, 6)];
            UdpReceiver::open(&lines, &UdpOptions::default()).unwrap()
        });
        assert!(report.receive_buffer_bytes > 0);
        assert!(!receiver.wait(Duration::from_millis(10)).unwrap());

        let before_ns = unix_ns();
        let payloads: Vec<Vec<u8>> =
            (0..200u32).map(|n| n.to_be_bytes().repeat(1 + n as usize)).collect();
        let frames: Vec<_> =
            payloads.iter().map(|payload| Frame { payload, ..Frame::default() }.bytes()).collect();
        pair.send(0, &frames);
        assert!(receiver.wait(PATIENCE).unwrap());
        let mut expected = payloads.iter();
        let taken = drain(&mut receiver, 200, |line, bytes, ts_ns| {
            assert_eq!((line, bytes), (5, expected.next().unwrap().as_slice()));
            assert!((before_ns..=unix_ns()).contains(&ts_ns));
        });
        assert_eq!(taken, 200);
        assert_eq!(receiver.statistics().packets, 200);
        assert_eq!(receiver.statistics().dropped, 0);
    }
}

#[test]
fn other_sources_are_not_received_on_a_source_specific_join() {
    let Some(pair) = Pair::new(1, 1) else { return };
    let (mut receiver, _) = pair.receiving(|| {
        let other = Some(Ipv4Addr::new(10, 99, 0, 77));
        UdpReceiver::open(&[line("rx0", other, 0)], &UdpOptions::default()).unwrap()
    });
    pair.send(0, &[Frame { payload: b"not for us", ..Frame::default() }.bytes()]);
    assert!(!receiver.wait(Duration::from_millis(100)).unwrap());
    assert_eq!(receiver.poll_batch(BATCH_MAX, |_| ()), 0);
}

#[test]
fn long_payloads_and_full_buffers_are_counted() {
    let Some(pair) = Pair::new(1, 1) else { return };
    let options = UdpOptions { receive_buffer_bytes: 4_096, payload_bytes_max: 100 };
    let (mut receiver, _) =
        pair.receiving(|| UdpReceiver::open(&[line("rx0", None, 0)], &options).unwrap());
    let frame = |length| Frame { payload: &vec![1; length], ..Frame::default() }.bytes();
    pair.send(0, &[frame(100), frame(101)]);
    assert_eq!(drain(&mut receiver, 2, |_, bytes, _| assert_eq!(bytes.len(), 100)), 2);
    let statistics = receiver.statistics();
    assert_eq!((statistics.packets, statistics.truncated, statistics.dropped), (1, 1, 0));

    let sent = 500;
    pair.send(0, &vec![frame(50); sent]);
    let mut kept = drain(&mut receiver, 1, |_, _, _| ());
    kept += drain(&mut receiver, 0, |_, _, _| ());
    assert!(kept < sent, "all {kept} kept");
    // The kernel tells of drops with the next datagram.
    pair.send(0, &[frame(50)]);
    assert_eq!(drain(&mut receiver, 1, |_, _, _| ()), 1);
    assert_eq!(receiver.statistics().dropped, (sent - kept) as u64);
    assert_eq!(receiver.statistics().errors, 0);
}

#[test]
fn memberships_go_past_the_limit_of_one_socket_and_hold_no_data() {
    let Some(pair) = Pair::new(1, 1) else { return };
    let group = |n| Ipv4Addr::new(239, 7, 7, n);
    pair.receiving(|| {
        let interface_index = nix::net::if_::if_nametoindex("rx0").unwrap();
        let mut wanted: Vec<_> = (1..=45)
            .map(|n| Membership { interface_index, group: group(n), source: None })
            .collect();
        for n in 1..=12 {
            wanted.push(Membership {
                interface_index,
                group: Ipv4Addr::new(232, 1, 1, 1),
                source: Some(Ipv4Addr::new(192, 0, 2, n)),
            });
        }
        // The same group twice, as two channels on one group ask for.
        wanted.push(wanted[0]);
        let joined = Memberships::join(&wanted).unwrap();
        let igmp = table("igmp");
        for n in 1..=45 {
            assert!(igmp.contains(&in_hex(group(n))), "{n}: {igmp}");
        }
        let filters = table("mcfilter");
        for n in 1..=12 {
            let source = u32::from(Ipv4Addr::new(192, 0, 2, n));
            assert!(filters.contains(&format!("{source:#010x}")), "{n}: {filters}");
        }
        // No port, no place in the kernel's table of UDP sockets: no data.
        assert_eq!(table("udp").lines().count(), 1, "{}", table("udp"));
        drop(joined);
        let left = within(PATIENCE, || !table("igmp").contains(&in_hex(group(1))));
        assert!(left, "{}", table("igmp"));

        let nowhere = Membership { interface_index: 9_999, ..wanted[0] };
        let error = Memberships::join(&[nowhere]).unwrap_err();
        assert!(matches!(error, XdpError::Join { .. }), "{error}");
        let unicast = Membership { group: Ipv4Addr::new(192, 0, 2, 1), ..wanted[0] };
        let error = Memberships::join(&[unicast]).unwrap_err();
        assert!(error.to_string().contains("192.0.2.1"), "{error}");
    });
}

fn line(interface: &str, source: Option<Ipv4Addr>, line: u16) -> UdpLine {
    UdpLine {
        interface_index: nix::net::if_::if_nametoindex(interface).unwrap(),
        group: GROUP,
        source,
        port: PORT,
        line,
    }
}

/// Takes datagrams until `count` have come and none is left.
fn drain(
    receiver: &mut UdpReceiver,
    count: usize,
    mut on_packet: impl FnMut(u16, &[u8], u64),
) -> usize {
    let mut taken = 0;
    within(PATIENCE, || {
        let now = receiver.poll_batch(BATCH_MAX, |packet| {
            on_packet(packet.line, packet.bytes, packet.ts_ns);
        });
        taken += now;
        now == 0 && taken >= count
    });
    taken
}

/// A table of this thread's network namespace.
fn table(name: &str) -> String {
    std::fs::read_to_string(format!("/proc/thread-self/net/{name}")).unwrap()
}

/// As /proc/net/igmp prints a group: its bytes as one integer of this machine.
fn in_hex(group: Ipv4Addr) -> String {
    format!("{:08X}", u32::from_ne_bytes(group.octets()))
}
