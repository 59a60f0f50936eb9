//! Recovery by a snapshot, and what is left without one.

mod common;

use common::{A, B, Bench, Done, MS, SERVER, SESSION, policy};
use wirebook_feed::{Policy, Recovery, RetransmitPolicy, State, WindowLimits};
use wirebook_model::BookState;

const SNAPSHOT: State = State::Recovering(Recovery::Snapshot);

/// Wants a snapshot: it started at message 1000 of a long session.
fn in_mid_session() -> Bench {
    let retransmit = Some(RetransmitPolicy { deadline_ns: 10 * MS, messages_max: 500 });
    let mut bench = Bench::new(Policy { retransmit, ..policy() });
    bench.send(A, 1_000..1_002);
    bench
}

#[test]
fn a_start_in_mid_session_goes_straight_to_a_snapshot() {
    let mut bench = in_mid_session();
    let asked = [Done::Books(BookState::Warming), Done::Snapshot(SESSION, 1_000)];
    assert_eq!(bench.done(), asked);
    assert_eq!(bench.channel.state(), SNAPSHOT);
}

#[test]
fn then_live_from_the_sequence_that_it_names() {
    let mut bench = in_mid_session();
    bench.send(B, 1_000..1_004).send(A, 1_004..1_007).wait(50 * MS);
    bench.assert_applied([]);
    bench.done();
    assert!(bench.snapshot_begins());
    assert!(bench.channel.takes_snapshot());
    bench.send(A, 1_007..1_008);
    assert!(bench.snapshot_ends(1_003));
    bench.assert_applied(1_003..1_008);
    assert_eq!(bench.done(), [Done::Clear, Done::EndRecovery, Done::Books(BookState::Live)]);
    assert!(!bench.channel.takes_snapshot());
    bench.send(A, 1_008..1_010);
    bench.assert_applied(1_003..1_010);
    assert_eq!(bench.log.healed_ns, [50 * MS]);
    assert_eq!(bench.channel.counters().gaps, 0);
    assert_eq!(bench.channel.counters().snapshot_messages, 1_002);
}

#[test]
fn a_snapshot_newer_than_all_that_was_received() {
    let mut bench = in_mid_session();
    bench.snapshot_begins();
    assert!(bench.snapshot_ends(1_500));
    bench.send(A, 1_002..1_400).send(A, 1_400..1_502);
    bench.assert_applied(1_500..1_502);
    assert_eq!(bench.channel.state(), State::Live);
}

#[test]
fn a_gap_after_the_snapshot_is_a_gap_like_any_other() {
    let mut bench = in_mid_session();
    bench.send(A, 1_005..1_006).wait(60 * MS);
    bench.snapshot_begins();
    assert!(bench.snapshot_ends(1_000));
    assert_eq!(bench.channel.state(), State::Gapped);
    bench.wait(MS);
    assert_eq!(bench.done().last(), Some(&Done::Retransmit(SESSION, 1_002..1_005)));
    bench.send(SERVER, 1_002..1_005);
    bench.assert_applied(1_000..1_006);
    assert_eq!(bench.channel.state(), State::Live);
}

#[test]
fn a_snapshot_back_in_time_is_refused_and_the_next_one_taken() {
    let mut bench = in_mid_session();
    bench.snapshot_begins();
    assert!(!bench.snapshot_ends(999));
    assert_eq!(bench.channel.state(), State::Stale);
    bench.assert_applied(1_000..1_002);
    assert_eq!(bench.channel.counters().refused_snapshots, 1);
    bench.send(A, 1_002..1_003).wait(1_000 * MS);
    assert_eq!(bench.done().last(), Some(&Done::Snapshot(SESSION, 1_003)));
    assert_eq!(bench.channel.books(), BookState::Healing);
    bench.send(A, 1_003..1_005);
    bench.snapshot_begins();
    assert!(!bench.snapshot_ends(1_002), "behind what is applied");
    bench.wait(1_000 * MS);
    bench.snapshot_begins();
    assert!(bench.snapshot_ends(1_005));
    assert_eq!(bench.channel.books(), BookState::Live);
}

#[test]
fn a_snapshot_of_a_time_to_come_is_refused() {
    let mut bench = in_mid_session();
    bench.snapshot_begins();
    assert!(!bench.snapshot_ends(u64::MAX));
    assert_eq!(bench.channel.books(), BookState::Stale);
}

#[test]
fn a_snapshot_that_nobody_asked_for_is_refused() {
    let mut bench = Bench::new(policy());
    bench.send(A, 1..3);
    bench.done();
    assert!(!bench.snapshot_begins());
    assert!(!bench.snapshot_ends(3));
    assert_eq!(bench.done(), []);
    assert_eq!(bench.channel.counters().refused_snapshots, 2);
    assert_eq!(bench.channel.books(), BookState::Live);
}

#[test]
fn a_snapshot_that_is_cut_off_by_its_deadline_does_not_go_on() {
    let mut bench = in_mid_session();
    bench.snapshot_begins();
    bench.wait(100 * MS);
    assert_eq!(bench.channel.state(), State::Stale);
    assert!(!bench.channel.takes_snapshot());
    assert!(!bench.snapshot_ends(1_001));
    bench.wait(1_000 * MS);
    assert!(!bench.channel.takes_snapshot(), "until the next one begins");
    assert!(!bench.snapshot_ends(1_002));
    assert!(bench.snapshot_begins());
    assert!(bench.snapshot_ends(1_002));
    assert_eq!(bench.channel.books(), BookState::Live);
}

#[test]
fn after_a_retransmission_that_fails() {
    let mut bench = Bench::new(policy());
    bench.send(A, 1..2).send(A, 3..4).wait(11 * MS);
    let end = [Done::EndRecovery, Done::Snapshot(SESSION, 3)];
    assert!(bench.done().ends_with(&end));
    assert_eq!(bench.channel.books(), BookState::Healing);
    bench.send(B, 2..3);
    bench.assert_applied([1]);
    bench.snapshot_begins();
    assert!(bench.snapshot_ends(3));
    bench.assert_applied([1, 3]);
    assert_eq!(bench.log.healed_ns, [11 * MS]);
}

#[test]
fn with_all_recovery_dead_the_books_are_stale_and_never_live() {
    let mut bench = Bench::new(policy());
    bench.send(A, 1..2).send(A, 3..4).wait(111 * MS);
    assert_eq!(bench.channel.state(), State::Stale);
    bench.assert_applied([1, 3]);
    bench.done();
    for sequence in 4..100 {
        bench.send(A, sequence..sequence + 1).wait(100 * MS);
    }
    let states = [Done::Books(BookState::Healing), Done::Books(BookState::Stale)];
    let done = bench.done();
    let told = done.iter().filter(|done| matches!(done, Done::Books(_)));
    assert!(told.clone().count() > 10 && told.clone().all(|told| states.contains(told)));
    assert_eq!(bench.channel.counters().lost_messages, 1);
}

#[test]
fn a_session_that_changes_meanwhile_needs_no_snapshot() {
    let mut bench = in_mid_session();
    bench.snapshot_begins();
    bench.done();
    bench.send_in(2, A, 1..2).send_in(2, B, 1..2);
    let done = [Done::EndRecovery, Done::Clear, Done::Books(BookState::Live)];
    assert_eq!(bench.done(), done);
    assert!(!bench.channel.takes_snapshot());
    assert!(!bench.snapshot_ends(1_000));
    bench.assert_applied([1]);
}

#[test]
fn a_window_too_small_for_the_snapshot_leaves_a_gap() {
    let window = WindowLimits { packets: 4, bytes: 1_000 };
    let mut bench = Bench::new(Policy {
        window,
        retransmit: Some(RetransmitPolicy { deadline_ns: 10 * MS, messages_max: 500 }),
        ..policy()
    });
    for sequence in 1_000..1_010 {
        bench.send(A, sequence..sequence + 1);
    }
    bench.snapshot_begins();
    assert!(bench.snapshot_ends(1_002));
    bench.assert_applied(1_002..1_004);
    assert_eq!(bench.channel.state(), State::Gapped);
    bench.wait(MS).send(SERVER, 1_004..1_010);
    bench.assert_applied(1_002..1_010);
    assert_eq!(bench.channel.state(), State::Live);
}
