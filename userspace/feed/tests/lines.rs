//! Lines that run ahead of each other, stall, restart or die, and sessions that change.

mod common;

use common::{A, B, Bench, Done, MS, SESSION, policy};
use wirebook_feed::{Policy, State, WindowLimits};
use wirebook_model::BookState;

#[test]
fn the_lead_alternates() {
    let mut bench = Bench::new(policy());
    for sequence in 1..101 {
        let (first, second) = if sequence % 2 == 0 { (A, B) } else { (B, A) };
        bench.send(first, sequence..sequence + 1);
        bench.now_ns += 250;
        bench.send(second, sequence..sequence + 1);
    }
    bench.assert_applied(1..101);
    assert_eq!(bench.log.leads.len(), 100);
    assert!(bench.log.leads.iter().all(|(_, _, lead_ns)| *lead_ns == 250));
    assert_eq!(bench.log.leads.iter().filter(|lead| (lead.0, lead.1) == (0, 1)).count(), 50);
    for line in [0, 1] {
        let line = bench.channel.line(line).unwrap();
        assert_eq!((line.packets, line.duplicates, line.late), (100, 50, 0));
        assert_eq!((line.missing_messages, line.behind_messages), (0, 0));
    }
}

#[test]
fn each_line_brings_what_the_other_lost() {
    let mut bench = Bench::new(policy());
    for sequence in 1..1_001 {
        if sequence % 3 != 0 {
            bench.send(A, sequence..sequence + 1);
        }
        bench.now_ns += MS / 10;
        if sequence % 3 != 1 {
            bench.send(B, sequence..sequence + 1);
        }
    }
    bench.assert_applied(1..1_001);
    assert_eq!(bench.channel.counters().gaps, 0);
    assert_eq!(bench.done(), [Done::Books(BookState::Live)]);
    assert_eq!(bench.channel.line(0).unwrap().missing_messages, 333);
}

#[test]
fn one_line_is_always_behind_and_fills_the_gaps_of_the_other() {
    let mut bench = Bench::new(policy());
    for sequence in 1..1_001 {
        if sequence % 2 == 0 {
            bench.send(B, sequence..sequence + 1);
        }
        if sequence > 5 {
            bench.send(A, sequence - 5..sequence - 4);
        }
        bench.wait(MS / 10);
    }
    bench.assert_applied(1..997);
    assert_eq!(bench.channel.counters().gaps, 0, "no gap is ever older than its reorder time");
}

#[test]
fn the_lines_cut_their_packets_differently() {
    let mut bench = Bench::new(policy());
    bench.send(A, 1..4).send(B, 1..2).send(B, 2..6).send(A, 8..12).send(A, 4..7);
    bench.send(B, 10..14).send(B, 6..9);
    bench.assert_applied(1..14);
    assert_eq!(bench.channel.state(), State::Live);
}

#[test]
fn line_b_is_dead_from_the_start() {
    let mut bench = Bench::new(policy());
    for sequence in 1..101 {
        bench.send(A, sequence..sequence + 1).wait(MS / 10);
    }
    bench.assert_applied(1..101);
    let line = bench.channel.line(1).unwrap();
    assert_eq!((line.packets, line.behind_messages), (0, 101));
}

#[test]
fn both_lines_are_dead_for_a_time() {
    let mut bench = Bench::new(policy());
    bench.send(A, 1..11).send(B, 1..11).wait(2_000 * MS).send(B, 5_011..5_012);
    assert_eq!(bench.channel.state(), State::Gapped);
    bench.wait(MS);
    assert!(bench.done().contains(&Done::Retransmit(SESSION, 11..5_011)));
}

#[test]
fn a_line_restarts_from_where_it_was() {
    let mut bench = Bench::new(policy());
    bench.send(A, 1..11).send(B, 1..11).send(A, 11..21);
    bench.send(B, 5..12).send(B, 12..25).send(A, 21..30);
    bench.assert_applied(1..30);
    assert_eq!(bench.done(), [Done::Books(BookState::Live)]);
}

#[test]
fn a_late_line_fills_a_gap_before_the_server_does() {
    let mut bench = Bench::new(policy());
    bench.send(A, 1..2).send(A, 3..4).wait(2 * MS).send(B, 2..3);
    bench.assert_applied(1..4);
    assert_eq!(bench.channel.state(), State::Live);
    assert_eq!(bench.done().last(), Some(&Done::Books(BookState::Live)));
    assert_eq!(bench.channel.counters().retransmitted_messages, 0);
}

#[test]
fn packets_from_the_window_keep_their_time() {
    let mut bench = Bench::new(policy());
    bench.send(A, 1..2);
    bench.now_ns += 1;
    bench.send(A, 3..4);
    bench.now_ns += 1;
    bench.send(B, 2..3);
    let start = bench.now_ns - 2;
    assert_eq!(bench.log.ts_recv, [start, start + 2, start + 1]);
}

#[test]
fn a_full_window_refuses_and_its_loss_is_one_more_gap() {
    let window = WindowLimits { packets: 4, bytes: 1_000 };
    let mut bench = Bench::new(Policy { window, ..policy() });
    bench.send(A, 1..2);
    for sequence in 3..10 {
        bench.send(A, sequence..sequence + 1);
    }
    assert_eq!(bench.channel.counters().overflows, 3);
    bench.wait(MS).send(common::SERVER, 2..3);
    bench.assert_applied(1..7);
    bench.done();
    bench.wait(MS);
    assert!(bench.done().is_empty() && bench.channel.state() != State::Live);
    bench.send(common::SERVER, 7..10);
    bench.assert_applied(1..10);
    assert_eq!(bench.channel.state(), State::Live);
}

#[test]
fn a_retransmission_that_a_full_window_refuses_is_asked_for_again() {
    let window = WindowLimits { packets: 4, bytes: 1_000 };
    let mut bench = Bench::new(Policy { window, ..policy() });
    for sequence in [1, 3, 5, 6, 7] {
        bench.send(A, sequence..sequence + 1);
    }
    bench.wait(MS);
    let asked = [2, 4].map(|sequence| Done::Retransmit(SESSION, sequence..sequence + 1));
    assert!(bench.done().ends_with(&asked));
    bench.send(common::SERVER, 4..5);
    assert_eq!(bench.channel.counters().overflows, 1);
    assert_eq!(bench.done(), [asked[1].clone()]);
    bench.send(common::SERVER, 2..3).send(common::SERVER, 4..5);
    bench.assert_applied(1..8);
    assert_eq!(bench.channel.state(), State::Live);
}

#[test]
fn a_full_window_in_bytes_refuses_too() {
    let window = WindowLimits { packets: 100, bytes: 80 };
    let mut bench = Bench::new(Policy { window, ..policy() });
    bench.send(A, 1..2).send(A, 3..9).send(A, 9..13);
    assert_eq!((bench.channel.counters().held, bench.channel.counters().overflows), (2, 0));
    bench.send(A, 13..14);
    assert_eq!(bench.channel.counters().overflows, 1);
    bench.send(B, 2..3);
    bench.assert_applied(1..13);
}

#[test]
fn without_any_recovery_a_gap_is_stale_until_the_next_session() {
    let mut bench = Bench::new(Policy::default());
    bench.send(A, 1..3).send(A, 4..6).wait(MS);
    bench.assert_applied([1, 2, 4, 5]);
    assert_eq!(bench.done(), [Done::Books(BookState::Live), Done::Books(BookState::Stale)]);
    bench.send(A, 9..10).send(B, 6..9);
    bench.assert_applied([1, 2, 4, 5, 6, 7, 8, 9]);
    bench.wait(60_000 * MS);
    assert_eq!((bench.channel.state(), bench.done().len()), (State::Stale, 0));
    bench.end_of_session(A, 10).send_in(2, A, 1..2);
    assert_eq!(bench.done(), [Done::Clear, Done::Books(BookState::Live)]);
}

#[test]
fn a_start_in_mid_session_without_any_recovery_is_warming_and_no_gap() {
    let mut bench = Bench::new(Policy::default());
    bench.send(A, 100..103).wait(MS).send(A, 103..105);
    bench.assert_applied(100..105);
    assert_eq!(bench.done(), [Done::Books(BookState::Warming)]);
    assert_eq!(bench.channel.counters().gaps, 0);
    bench.send(A, 110..111).wait(MS);
    assert_eq!(bench.done(), [Done::Books(BookState::Stale)]);
    assert_eq!(bench.channel.counters().missing_messages, 5);
}

mod sessions {
    use super::*;

    fn in_session_one() -> Bench {
        let mut bench = Bench::new(policy());
        bench.send(A, 1..11).send(B, 1..11);
        bench.done();
        bench
    }

    #[test]
    fn change_once_both_lines_say_so() {
        let mut bench = in_session_one();
        bench.send_in(2, A, 1..2);
        assert_eq!(bench.channel.session(), Some(SESSION));
        bench.send_in(2, B, 1..2).send_in(2, A, 2..3);
        assert_eq!(bench.log.applied[10..], [1, 2]);
        assert_eq!(bench.done(), [Done::Clear, Done::Books(BookState::Live)]);
        assert_eq!(bench.channel.counters().session_changes, 1);
        bench.send(B, 11..12).send(A, 11..12);
        assert_eq!(bench.channel.counters().old_session_packets, 2);
        assert_eq!(bench.channel.session(), Some(2));
    }

    #[test]
    fn change_on_one_line_alone_loses_nothing() {
        let mut bench = in_session_one();
        bench.send_in(2, A, 1..4).send_in(2, A, 4..6).send_in(2, A, 6..9);
        assert_eq!(bench.log.applied[10..], [1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(bench.channel.state(), State::Live);
    }

    #[test]
    fn change_by_silence_of_the_old_one() {
        let mut bench = in_session_one();
        bench.send_in(2, A, 1..4).wait(2_900 * MS);
        assert_eq!(bench.channel.session(), Some(SESSION));
        bench.wait(100 * MS);
        assert_eq!(bench.channel.session(), Some(2));
        assert_eq!(bench.log.applied[10..], [1, 2, 3]);
    }

    #[test]
    fn do_not_change_for_garbage() {
        let mut bench = in_session_one();
        for sequence in 11..1_000 {
            // The network repeats the same strange packet as often as it likes.
            if sequence % 100 == 0 {
                bench.send_in(99, A, 7..9).send_in(99, A, 7..9).send_in(99, A, 7..9);
            }
            bench.send(A, sequence..sequence + 1).wait(10 * MS);
        }
        bench.assert_applied(1..1_000);
        assert_eq!(bench.done(), []);
        assert_eq!(bench.channel.counters().doubted_packets, 27);
    }

    #[test]
    fn come_back_after_garbage_in_a_silence() {
        let mut bench = in_session_one();
        bench.send_in(99, A, 1..2).wait(3_000 * MS);
        assert_eq!(bench.channel.session(), Some(99));
        for sequence in 11..14 {
            bench.wait(1_500 * MS).send(A, sequence..sequence + 1).send(B, sequence..sequence + 1);
        }
        assert_eq!(bench.channel.session(), Some(SESSION));
        assert_ne!(bench.channel.books(), BookState::Live, "what was cleared is not known again");
    }

    #[test]
    fn do_not_change_for_garbage_now_and_then() {
        let mut bench = in_session_one();
        for sequence in 11..31 {
            bench.send_in(99, A, sequence..sequence + 1).send(A, sequence..sequence + 1);
            bench.wait(2_000 * MS).send(A, sequence..sequence + 1).wait(2_000 * MS);
        }
        assert_eq!(bench.channel.session(), Some(SESSION));
    }

    #[test]
    fn do_not_come_back_for_stragglers() {
        let mut bench = in_session_one();
        bench.send_in(2, A, 1..2).send_in(2, B, 1..2).wait(5_000 * MS);
        bench.send(A, 9..11).send(B, 9..11).send(B, 7..9);
        assert_eq!(bench.channel.session(), Some(2));
        assert_eq!(bench.channel.counters().old_session_packets, 3);
    }

    #[test]
    fn that_go_on_after_their_end_are_not_left_for_garbage() {
        let mut bench = in_session_one();
        bench.end_of_session(A, 11).send(A, 11..12).send_in(99, A, 1..2);
        assert_eq!(bench.channel.session(), Some(SESSION));
        assert!(!bench.channel.has_ended());
    }

    #[test]
    fn are_known_as_far_as_they_were_doubted() {
        let mut bench = in_session_one();
        for first in [10, 1, 2, 11] {
            bench.send_in(2, A, first..first + 1);
        }
        bench.wait(3_000 * MS).send_in(2, B, 3..10);
        assert_eq!(bench.log.applied[10..], [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
        assert_eq!(bench.channel.state(), State::Gapped, "there was an eleventh");
    }

    #[test]
    fn do_not_jump_for_one_packet() {
        let mut bench = in_session_one();
        bench.send(A, 1 << 40..(1 << 40) + 1).heartbeat(A, 1 << 50).send(A, 11..12).wait(5 * MS);
        assert_eq!((bench.channel.state(), bench.done().len()), (State::Live, 0));
        bench.send(A, 5_000_000..5_000_001).send(B, 5_000_000..5_000_001);
        assert_eq!(
            bench.done()[..2],
            [Done::Books(BookState::Healing), Done::Snapshot(SESSION, 5_000_000)]
        );
    }
}
