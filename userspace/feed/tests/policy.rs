//! A channel whose lines and servers change while it runs.

mod common;

use common::{A, B, Bench, Done, MS, SERVER, SESSION, policy};
use wirebook_feed::{Policy, Recovery, State};
use wirebook_model::BookState;

const RETRANSMIT: State = State::Recovering(Recovery::Retransmit);
const SNAPSHOT: State = State::Recovering(Recovery::Snapshot);

fn alone() -> Policy {
    Policy { lines: 1, retransmit: None, snapshot: None, ..policy() }
}

#[test]
fn another_line_comes_and_goes_without_a_gap() {
    let mut bench = Bench::new(alone());
    bench.send(A, 1..5).send(A, 8..9);
    assert_eq!(bench.channel.line(1), None);
    bench.channel.set_policy(Policy { lines: 2, ..alone() });
    // What waited still waits, and the other line brings what is missing.
    bench.send(B, 5..8);
    bench.assert_applied(1..9);
    assert_eq!(bench.channel.line(1).map(|line| line.packets), Some(1));
    bench.channel.set_policy(alone());
    bench.channel.replace_line(0);
    bench.send(A, 9..12);
    bench.assert_applied(1..12);
    let line = bench.channel.line(0).unwrap_or_default();
    assert_eq!((line.packets, line.missing_messages), (1, 0));
    assert_eq!((bench.channel.line(1), bench.channel.counters().gaps), (None, 0));
}

#[test]
fn what_old_servers_were_asked_for_is_asked_of_the_new_ones() {
    let mut bench = Bench::new(policy());
    bench.send(A, 1..3).send(A, 5..6).wait(2 * MS);
    assert_eq!(bench.channel.state(), RETRANSMIT);
    bench.done();
    bench.channel.set_policy(policy());
    bench.channel.servers_changed(bench.now_ns, &mut bench.log);
    assert_eq!(bench.done(), [Done::Retransmit(SESSION, 3..5)]);
    bench.send(SERVER, 3..5);
    bench.assert_applied(1..6);
    assert_eq!(bench.done(), [Done::EndRecovery, Done::Books(BookState::Live)]);
}

#[test]
fn without_retransmission_a_snapshot_is_asked_for_and_without_one_books_are_stale() {
    let mut bench = Bench::new(policy());
    bench.send(A, 1..3).send(A, 5..6).wait(2 * MS);
    bench.done();
    bench.channel.set_policy(Policy { retransmit: None, ..policy() });
    bench.channel.servers_changed(bench.now_ns, &mut bench.log);
    assert_eq!(bench.done(), [Done::EndRecovery, Done::Snapshot(SESSION, 5)]);
    assert_eq!(bench.channel.state(), SNAPSHOT);
    bench.channel.set_policy(Policy { retransmit: None, snapshot: None, ..policy() });
    bench.channel.servers_changed(bench.now_ns, &mut bench.log);
    assert_eq!(bench.done(), [Done::EndRecovery, Done::Books(BookState::Stale)]);
    // The channel goes on all the same.
    bench.send(A, 6..8);
    bench.assert_applied([1, 2, 5, 6, 7]);
}

#[test]
fn a_snapshot_that_was_under_way_is_asked_for_again() {
    let mut bench = Bench::new(policy());
    bench.send(A, 200_000..200_001);
    assert_eq!(bench.channel.state(), SNAPSHOT);
    assert!(bench.snapshot_begins());
    bench.done();
    bench.channel.servers_changed(bench.now_ns, &mut bench.log);
    assert_eq!(bench.channel.state(), SNAPSHOT);
    assert!(!bench.snapshot_ends(200_000), "of the old server");
    assert!(bench.done().contains(&Done::Snapshot(SESSION, 200_000)));
    assert!(bench.snapshot_begins());
    assert!(bench.snapshot_ends(200_001));
    assert_eq!(bench.channel.state(), State::Live);
}

#[test]
fn a_channel_in_order_does_not_notice() {
    let mut bench = Bench::new(policy());
    bench.send(A, 1..3);
    bench.done();
    bench.channel.set_policy(alone());
    bench.channel.servers_changed(bench.now_ns, &mut bench.log);
    bench.send(A, 3..5);
    assert_eq!(bench.done(), []);
    bench.assert_applied(1..5);
}
