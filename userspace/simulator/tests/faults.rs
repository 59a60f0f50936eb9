//! Each fault does what its name says, and is counted.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::collections::HashMap;
use wirebook_simulator::{
    BurstLoss, Chance, Delivery, FaultCounts, Faults, LineFaults, Packet, PacketKind,
    REPEATED_PACKETS,
};
use wirebook_wire::{Transport, TransportPacket};

const MILLISECOND_NS: u64 = 1_000_000;

fn chance(probability: f64) -> Chance {
    Chance::new(probability).unwrap()
}

/// Every delivery of these packets, and what was counted of each line.
fn play(seed: u64, lines: &[LineFaults], packets: &[Packet]) -> (Vec<Delivery>, Vec<FaultCounts>) {
    let mut faults = Faults::new(seed, lines.iter().cloned());
    let mut deliveries = Vec::new();
    for packet in packets {
        faults.send(packet.offset_ns, &packet.payload);
        while let Some(delivery) = faults.deliver(packet.offset_ns) {
            deliveries.push(delivery);
        }
    }
    while let Some(due_ns) = faults.next_due_ns() {
        deliveries.extend(faults.deliver(due_ns));
    }
    let counts: Vec<_> = faults.counts().collect();
    for (line, counts) in counts.iter().enumerate() {
        let delivered = deliveries.iter().filter(|delivery| delivery.line == line).count();
        assert_eq!(counts.delivered, delivered as u64);
        assert_eq!(counts.sent, packets.len() as u64);
        let lost = counts.lost + counts.burst_lost + counts.dead;
        let added = counts.duplicated + counts.repeated;
        assert_eq!(counts.delivered, counts.sent - lost + added);
    }
    assert!(deliveries.is_sorted_by_key(|delivery| delivery.at_ns));
    (deliveries, counts)
}

fn payloads(deliveries: &[Delivery], line: usize) -> Vec<&[u8]> {
    let of_line = deliveries.iter().filter(|delivery| delivery.line == line);
    of_line.map(|delivery| &delivery.payload[..]).collect()
}

fn originals(packets: &[Packet]) -> Vec<&[u8]> {
    packets.iter().map(|packet| &packet.payload[..]).collect()
}

#[test]
fn without_faults_both_lines_deliver_everything_on_time() {
    let packets = common::packets(1, 5_000);
    let (deliveries, _) = play(1, &[LineFaults::default(), LineFaults::default()], &packets);
    for line in [0, 1] {
        assert_eq!(payloads(&deliveries, line), originals(&packets));
    }
    let lines: Vec<_> = deliveries.iter().map(|delivery| delivery.line).collect();
    assert_eq!(lines, [0, 1].repeat(packets.len()));
    let times = deliveries.iter().map(|delivery| delivery.at_ns).step_by(2);
    assert!(times.eq(packets.iter().map(|packet| packet.offset_ns)));
}

#[test]
fn the_same_seed_gives_the_same_deliveries() {
    let packets = common::packets(1, 5_000);
    let line = LineFaults {
        loss: chance(0.1),
        burst_loss: Some(BurstLoss { begin: chance(0.01), end: chance(0.2) }),
        duplicate: chance(0.1),
        reorder: chance(0.1),
        reorder_ns_max: MILLISECOND_NS,
        truncate: chance(0.05),
        corrupt: chance(0.05),
        ..LineFaults::default()
    };
    let lines = [line.clone(), line];
    let (first, counts) = play(7, &lines, &packets);
    assert_eq!(play(7, &lines, &packets), (first.clone(), counts));
    assert_ne!(play(8, &lines, &packets).0, first);
    assert_ne!(payloads(&first, 0), payloads(&first, 1), "lines are independent");
}

#[test]
fn independent_loss_has_its_rate_and_lines_lose_different_packets() {
    let packets = common::packets(2, 60_000);
    let lines = [0.01, 0.2].map(|loss| LineFaults { loss: chance(loss), ..LineFaults::default() });
    let (deliveries, counts) = play(3, &lines, &packets);
    for (counts, expected) in counts.iter().zip([0.01, 0.2]) {
        let rate = counts.lost as f64 / counts.sent as f64;
        // Five standard deviations of a binomial.
        let tolerance = 5.0 * (expected * (1.0 - expected) / counts.sent as f64).sqrt();
        assert!((rate - expected).abs() < tolerance, "{rate} of {expected}");
    }
    let mut copies: HashMap<u64, u64> = HashMap::new();
    for delivery in &deliveries {
        *copies.entry(delivery.at_ns).or_default() += 1;
    }
    assert!(copies.values().any(|count| count % 2 == 1));
}

#[test]
fn burst_loss_comes_in_bursts_of_the_expected_length() {
    let packets = common::packets(3, 60_000);
    let burst = BurstLoss { begin: chance(0.01), end: chance(0.1) };
    let line = LineFaults { burst_loss: Some(burst), ..LineFaults::default() };
    let (deliveries, counts) = play(5, &[line], &packets);
    // In the long run a line is bad begin / (begin + end) of the time, 1 / end packets at once.
    let rate = counts[0].burst_lost as f64 / counts[0].sent as f64;
    assert!((rate - 1.0 / 11.0).abs() < 0.02, "{rate}");
    let delivered = payloads(&deliveries, 0);
    let mut at = 0;
    let mut bursts = 0;
    let mut in_burst = false;
    for original in originals(&packets) {
        let arrives = delivered.get(at) == Some(&original);
        at += usize::from(arrives);
        bursts += u64::from(!arrives && !in_burst);
        in_burst = !arrives;
    }
    let length = counts[0].burst_lost as f64 / bursts as f64;
    assert!((length - 10.0).abs() < 3.0, "{length} packets a burst");
    assert_eq!(counts[0].lost, 0);
}

#[test]
fn duplicates_follow_their_packet() {
    let packets = common::packets(4, 10_000);
    let line = LineFaults { duplicate: chance(0.1), ..LineFaults::default() };
    let (deliveries, counts) = play(5, &[line], &packets);
    let mut once = payloads(&deliveries, 0);
    let before = once.len();
    // The exchange's own ends of session are alike too.
    let mut expected = originals(&packets);
    once.dedup();
    expected.dedup();
    assert_eq!(once, expected);
    assert!(counts[0].duplicated > 100 && before as u64 == counts[0].sent + counts[0].duplicated);
}

#[test]
fn reordered_packets_are_overtaken_and_not_delayed_beyond_the_bound() {
    let mut packets = common::packets(5, 10_000);
    // Ends of session are all alike.
    packets.retain(|packet| packet.kind == PacketKind::Messages);
    let reorder_ns_max = 5 * MILLISECOND_NS;
    let line = LineFaults { reorder: chance(0.05), reorder_ns_max, ..LineFaults::default() };
    let (deliveries, counts) = play(6, &[line], &packets);
    let sent: HashMap<&[u8], u64> =
        packets.iter().map(|packet| (&packet.payload[..], packet.offset_ns)).collect();
    let late = deliveries.iter().filter(|delivery| {
        let delay_ns = delivery.at_ns - sent[&delivery.payload[..]];
        assert!(delay_ns <= reorder_ns_max);
        delay_ns > 0
    });
    assert_eq!(late.count() as u64, counts[0].reordered);
    assert!(counts[0].reordered > 100);
    assert_ne!(payloads(&deliveries, 0), originals(&packets));
    let mut sorted = (payloads(&deliveries, 0), originals(&packets));
    sorted.0.sort_unstable();
    sorted.1.sort_unstable();
    assert_eq!(sorted.0, sorted.1, "nothing is lost");
}

#[test]
fn a_dead_line_delivers_nothing_and_the_other_everything() {
    let packets = common::packets(6, 10_000);
    let dead = 500 * MILLISECOND_NS..1_000 * MILLISECOND_NS;
    let line = LineFaults { dead: vec![dead.clone()], ..LineFaults::default() };
    let (deliveries, counts) = play(1, &[line, LineFaults::default()], &packets);
    let in_dead = packets.iter().filter(|packet| dead.contains(&packet.offset_ns)).count();
    assert!(in_dead > 100);
    assert_eq!(counts[0].dead, in_dead as u64);
    assert!(!deliveries.iter().any(|d| d.line == 0 && dead.contains(&d.at_ns)));
    assert_eq!(payloads(&deliveries, 1), originals(&packets));
}

#[test]
fn a_stall_delivers_late_and_in_order_and_a_lag_delays_all() {
    let packets = common::packets(7, 10_000);
    let stall = 500 * MILLISECOND_NS..1_000 * MILLISECOND_NS;
    let line = LineFaults { stalled: vec![stall.clone()], lag_ns: 70, ..LineFaults::default() };
    let (deliveries, counts) = play(1, &[line], &packets);
    assert_eq!(payloads(&deliveries, 0), originals(&packets));
    assert!(counts[0].stalled > 100);
    for (delivery, packet) in deliveries.iter().zip(&packets) {
        let stalled = stall.contains(&packet.offset_ns);
        let due_ns = (packet.offset_ns + 70).max(if stalled { stall.end } else { 0 });
        assert_eq!(delivery.at_ns, due_ns);
    }
}

#[test]
fn a_restart_loses_and_then_repeats_what_came_before_it() {
    let packets = common::packets(8, 10_000);
    let away = 500 * MILLISECOND_NS..1_000 * MILLISECOND_NS;
    let line = LineFaults { restarts: vec![away.clone()], ..LineFaults::default() };
    let (deliveries, counts) = play(1, &[line], &packets);
    let before = packets.iter().filter(|packet| packet.offset_ns < away.start).count();
    let after = packets.iter().position(|packet| packet.offset_ns >= away.end).unwrap();
    let all = originals(&packets);
    let expected =
        [&all[..before], &all[before - REPEATED_PACKETS..before], &all[after..]].concat();
    assert_eq!(payloads(&deliveries, 0), expected);
    assert_eq!(counts[0].repeated, REPEATED_PACKETS as u64);
    assert_eq!(counts[0].dead, (after - before) as u64);
}

#[test]
fn a_cut_packet_is_the_beginning_of_the_whole_one() {
    let packets = common::packets(9, 10_000);
    let line = LineFaults { truncate: chance(0.1), ..LineFaults::default() };
    let (deliveries, counts) = play(1, &[line], &packets);
    let pairs = || deliveries.iter().zip(&packets);
    assert!(pairs().all(|(delivery, packet)| packet.payload.starts_with(&delivery.payload)));
    let cut = pairs().filter(|(d, packet)| d.payload.len() < packet.payload.len()).count();
    assert_eq!(cut as u64, counts[0].truncated);
    assert!(cut > 100);
}

/// A receiver must be able to tell: what it reads of a corrupt packet is a prefix of the messages,
/// and then an error.
#[test]
fn a_corrupt_packet_shows_it_and_says_nothing_wrong() {
    let packets = common::packets(10, 10_000);
    let line = LineFaults { corrupt: chance(0.2), ..LineFaults::default() };
    let (deliveries, counts) = play(1, &[line], &packets);
    let mut errors = 0;
    for (delivery, packet) in deliveries.iter().zip(&packets) {
        let read = TransportPacket::parse(Transport::MoldUdp64, &delivery.payload).unwrap();
        assert_eq!(read.sequence, packet.sequence);
        let messages: Vec<_> = read.blocks.collect();
        for (found, expected) in messages.iter().map_while(|m| m.ok()).zip(packet.messages()) {
            assert_eq!(found, expected);
        }
        let is_altered = delivery.payload != packet.payload;
        assert_eq!(is_altered, messages.iter().any(Result::is_err));
        errors += u64::from(is_altered);
    }
    assert_eq!(errors, counts[0].corrupted);
    assert!(errors > 50);
}

#[test]
fn one_fault_does_not_change_what_another_one_does() {
    let packets = common::packets(11, 10_000);
    let lossy = LineFaults { loss: chance(0.1), ..LineFaults::default() };
    let both = LineFaults { duplicate: chance(0.3), ..lossy.clone() };
    let (first, _) = play(4, &[lossy], &packets);
    let (second, _) = play(4, &[both], &packets);
    let (mut first, mut second) = (payloads(&first, 0), payloads(&second, 0));
    first.dedup();
    second.dedup();
    assert_eq!(first, second);
}

#[test]
fn a_chance_is_a_probability() {
    assert_eq!(Chance::new(0.0), Some(Chance::NEVER));
    assert_eq!(Chance::new(1.0), Some(Chance::ALWAYS));
    for wrong in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
        assert_eq!(Chance::new(wrong), None);
    }
}
