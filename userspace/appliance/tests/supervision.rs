//! Books that fall and come back while the others go on: the worker, its mailbox and the shard as in
//! a run, a sink that panics on cue, and a stand-in for the recovery thread at the end of its link.
//! What comes back is compared with the exchange's own books, what did not fall with a run in which
//! nothing fell.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;
#[path = "common/model_orders.rs"]
mod model_orders;
#[path = "supervision/venue.rs"]
mod venue;

use std::sync::Once;
use std::time::{Duration, Instant};
use venue::{ATTEMPTS_MAX, Venue};
use wirebook::recovery::link::Answer;
use wirebook::recovery::snapshot::SnapshotFailure;
use wirebook::repair::{HELD_EVENTS_MAX, REST_NS};
use wirebook_feed::Policy;
use wirebook_model::dbn::flags::SNAPSHOT;
use wirebook_model::{ALL_INSTRUMENTS, BookState};

/// The instrument that falls, and the market: 6 instruments in some 1,000 packets.
const FALLEN: u32 = 2;
const NOT_ASKED: Duration = Duration::from_millis(400);
/// Longer than anything here takes on a busy host.
const PATIENCE: Duration = Duration::from_secs(15);

/// Panics that the tests want are not printed.
fn quiet() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let print = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let wanted = info.payload().downcast_ref::<&str>() == Some(&"as the test wants");
            if !wanted {
                print(info);
            }
        }));
    });
}

/// A market in whose midst a book has just fallen.
fn fallen(seed: u64) -> Venue {
    quiet();
    let mut venue = Venue::new(seed, 6, 6_000);
    assert!(venue.play(250));
    venue.assert_all_true();
    fall(&mut venue, FALLEN);
    venue
}

fn fall(venue: &mut Venue, instrument_id: u32) {
    let before = venue.counters().falls;
    venue.cue.set(instrument_id, 1, 0);
    venue.play_until(|venue| venue.counters().falls > before);
    venue.assert_fallen(instrument_id);
}

/// Plays the rest; all books are the exchange's, and those that did not fall never noticed.
fn finish(mut venue: Venue, seed: u64) -> Venue {
    while venue.play(1) {}
    venue.assert_all_true();
    let mut twin = Venue::new(seed, 6, 6_000);
    while twin.play(1) {}
    venue.assert_others_as_in(&twin, FALLEN);
    venue
}

#[test]
fn a_book_falls_and_comes_back_and_the_others_lose_nothing() {
    for seed in 1..=5 {
        let mut venue = fallen(seed);
        assert!(venue.play(40));
        venue.assert_fallen(FALLEN);
        let (session, _) = venue.request();
        assert!(venue.play(20));
        let (snapshot, sequence) =
            (venue.exchange.model().snapshot(), venue.exchange.next_sequence());
        assert!(venue.play(20));
        venue.send(Answer::SnapshotBegins { session });
        let half = snapshot.len() / 2;
        venue.send_messages(snapshot.iter().take(half));
        assert!(venue.play(30));
        assert_ne!(venue.book(FALLEN).state(), BookState::Live);
        venue.send_messages(snapshot.iter().skip(half));
        assert!(venue.play(20));
        assert_ne!(venue.book(FALLEN).state(), BookState::Live);
        venue.send(Answer::SnapshotEnds { session, sequence });
        venue.assert_all_true();
        let counters = finish(venue, seed).counters();
        assert_eq!((counters.falls, counters.repaired), (1, 1));
        assert_eq!((counters.failed_attempts, counters.shard_rebuilds), (0, 0));
    }
}

#[test]
fn a_snapshot_from_before_the_fall_is_refused_and_asked_for_again() {
    quiet();
    let mut venue = Venue::new(7, 6, 6_000);
    assert!(venue.play(250));
    let (old, old_sequence) = (venue.exchange.model().snapshot(), venue.exchange.next_sequence());
    fall(&mut venue, FALLEN);
    let (session, _) = venue.request();
    venue.answer(session, &old, old_sequence);
    venue.assert_fallen(FALLEN);
    assert_eq!(venue.counters().failed_attempts, 1);
    assert!(venue.play(10));
    venue.answer_now();
    venue.assert_true(FALLEN);
    assert_eq!(finish(venue, 7).counters().repaired, 1);
}

#[test]
fn the_snapshot_just_after_the_message_of_the_fall_is_taken() {
    let mut venue = fallen(8);
    venue.answer_now();
    assert_eq!(venue.counters().failed_attempts, 0);
    venue.assert_all_true();
    finish(venue, 8);
}

#[test]
fn a_failed_snapshot_is_asked_for_again_after_a_longer_rest() {
    quiet();
    let mut venue = Venue::new(9, 6, 6_000);
    assert!(venue.play(250));
    // Before the fall, from which the rest counts.
    let mut asked = Instant::now();
    fall(&mut venue, FALLEN);
    for attempt in 0..3 {
        let (session, _) = venue.request();
        let rest = Duration::from_nanos(REST_NS << attempt);
        assert!(asked.elapsed() >= rest, "{:?} {rest:?}", asked.elapsed());
        venue.send(Answer::SnapshotBegins { session });
        asked = Instant::now();
        venue.send(Answer::SnapshotFailed { session, failure: SnapshotFailure::NoServer });
        venue.assert_fallen(FALLEN);
        assert!(venue.play(10));
    }
    venue.answer_now();
    venue.assert_true(FALLEN);
    let counters = finish(venue, 9).counters();
    assert_eq!((counters.failed_attempts, counters.repaired), (3, 1));
}

#[test]
fn more_events_than_can_be_held_must_be_in_the_next_snapshot() {
    quiet();
    let mut venue = Venue::new(10, 2, 60_000);
    assert!(venue.play(200));
    fall(&mut venue, 1);
    let (session, _) = venue.request();
    let (old, sequence) = (venue.exchange.model().snapshot(), venue.exchange.next_sequence());
    // Half of all messages are of the first instrument.
    venue.play_until(|venue| venue.exchange.next_sequence() > 4 * HELD_EVENTS_MAX as u64);
    venue.answer(session, &old, sequence);
    venue.assert_fallen(1);
    assert_eq!(venue.counters().failed_attempts, 1);
    venue.answer_now();
    venue.assert_all_true();
    while venue.play(1) {}
    venue.assert_all_true();
}

#[test]
fn a_second_fall_while_the_snapshot_loads() {
    let mut venue = fallen(11);
    venue.cue.set(FALLEN, 1, SNAPSHOT);
    venue.answer_now();
    venue.assert_fallen(FALLEN);
    assert_eq!((venue.counters().falls, venue.counters().failed_attempts), (2, 1));
    assert!(venue.play(10));
    venue.answer_now();
    venue.assert_true(FALLEN);
    finish(venue, 11);
}

#[test]
fn a_second_fall_while_held_events_are_applied() {
    let mut venue = fallen(12);
    let (session, _) = venue.request();
    let (snapshot, sequence) = (venue.exchange.model().snapshot(), venue.exchange.next_sequence());
    assert!(venue.play(60));
    venue.send(Answer::SnapshotBegins { session });
    venue.send_messages(snapshot.iter());
    venue.cue.set(FALLEN, 1, 0);
    venue.send(Answer::SnapshotEnds { session, sequence });
    venue.assert_fallen(FALLEN);
    assert_eq!((venue.counters().falls, venue.counters().repaired), (2, 0));
    venue.answer_now();
    venue.assert_true(FALLEN);
    finish(venue, 12);
}

/// So many packets are lost in the midst of a repair, and the channel asks for a snapshot of its own.
fn gap_during_repair(seed: u64, lost: usize) -> Venue {
    let mut venue = fallen(seed);
    let (session, _) = venue.request();
    let snapshot = venue.exchange.model().snapshot();
    venue.send(Answer::SnapshotBegins { session });
    venue.send_messages(snapshot.iter().take(snapshot.len() / 2));
    (0..lost).for_each(|_| drop(venue.lose().unwrap()));
    assert!(venue.play(1));
    venue.now += 10_000_000;
    venue.settle();
    venue.assert_fallen(FALLEN);
    assert_eq!((venue.counters().put_off, venue.counters().failed_attempts), (1, 0));
    venue
}

#[test]
fn a_gap_calls_the_repair_off_and_its_recovery_heals_all() {
    let mut venue = gap_during_repair(13, 1);
    venue.answer_now();
    venue.assert_all_true();
    assert!(venue.request_within(NOT_ASKED).is_none(), "nothing is left to repair");
    while venue.play(1) {}
    venue.assert_all_true();
    assert_eq!(venue.counters().repaired, 1);
}

#[test]
fn a_fall_while_all_books_are_cleared_leaves_no_book_uncleared() {
    for cleared in [1, FALLEN, 4] {
        // So many that orders are gone which only a `Clear` takes out of a book.
        let mut venue = gap_during_repair(14, 60);
        let (session, _) = venue.request();
        venue.cue.set(cleared, 1, 0);
        let (snapshot, sequence) =
            (venue.exchange.model().snapshot(), venue.exchange.next_sequence());
        venue.answer(session, &snapshot, sequence);
        venue.assert_fallen(cleared);
        let others = (1..=6).filter(|id| *id != cleared);
        others.for_each(|id| venue.assert_true(id));
        venue.answer_now();
        venue.assert_all_true();
        while venue.play(1) {}
        venue.assert_all_true();
    }
}

#[test]
fn after_so_many_attempts_a_book_stays_down_until_the_channel_recovers() {
    let mut venue = fallen(15);
    for _ in 0..ATTEMPTS_MAX {
        let (session, _) = venue.request();
        venue.send(Answer::SnapshotFailed { session, failure: SnapshotFailure::NoServer });
    }
    assert!(venue.request_within(NOT_ASKED).is_none());
    venue.assert_fallen(FALLEN);
    let counters = venue.counters();
    assert_eq!((counters.given_up, counters.failed_attempts), (1, u64::from(ATTEMPTS_MAX)));
    assert!(venue.play(50));
    venue.assert_fallen(FALLEN);
    (1..=6).filter(|id| *id != FALLEN).for_each(|id| venue.assert_true(id));

    venue.lose().unwrap();
    assert!(venue.play(1));
    venue.now += 10_000_000;
    venue.answer_now();
    venue.assert_all_true();
}

#[test]
fn a_book_that_falls_again_and_again_stays_down() {
    let mut venue = fallen(16);
    for _ in 1..ATTEMPTS_MAX {
        venue.answer_now();
        venue.assert_true(FALLEN);
        fall(&mut venue, FALLEN);
    }
    venue.answer_now();
    fall(&mut venue, FALLEN);
    assert!(venue.request_within(NOT_ASKED).is_none());
    assert_eq!(
        (venue.counters().given_up, venue.counters().repaired),
        (1, u64::from(ATTEMPTS_MAX))
    );
}

#[test]
fn two_books_fall_and_both_come_back() {
    let mut venue = fallen(17);
    fall(&mut venue, 3);
    venue.answer_now();
    assert!(venue.play(5));
    venue.answer_now();
    venue.assert_all_true();
    let counters = venue.counters();
    assert_eq!((counters.falls, counters.repaired, counters.failed_attempts), (2, 2, 0));
}

#[test]
fn without_a_book_in_the_making_all_tables_are_made_anew() {
    quiet();
    let mut venue = Venue::new(18, 6, 6_000);
    assert!(venue.play(1), "the directory");
    // The next record of the whole market: a phase, or a circuit breaker.
    venue.play_until(|venue| venue.exchange.model().order_count() > 300);
    venue.cue.set(ALL_INSTRUMENTS, 1, 0);
    venue.play_until(|venue| venue.counters().shard_rebuilds > 0);
    (1..=6).for_each(|id| venue.assert_fallen(id));
    assert!(venue.play(5));
    (1..=6).for_each(|id| venue.assert_fallen(id));
    venue.answer_now();
    venue.assert_all_true();
    while venue.play(1) {}
    venue.assert_all_true();
    assert_eq!(venue.counters().falls, 0);
}

#[test]
fn what_healed_before_the_tables_were_made_anew_does_not_pass_for_whole() {
    quiet();
    let mut venue = Venue::new(19, 6, 6_000);
    assert!(venue.play(250));
    venue.lose().unwrap();
    assert!(venue.play(1));
    venue.now += 10_000_000;
    let (session, _) = venue.request();
    let (snapshot, sequence) = (venue.exchange.model().snapshot(), venue.exchange.next_sequence());
    // The tables go in the midst of the channel's own snapshot.
    venue.send(Answer::SnapshotBegins { session });
    venue.send_messages(snapshot.iter().take(snapshot.len() / 2));
    venue.cue.set(ALL_INSTRUMENTS, 1, 0);
    let market_wide: Vec<&[u8]> = snapshot.iter().filter(|message| message[0] == b'S').collect();
    venue.send_messages(market_wide.into_iter());
    assert_eq!(venue.counters().shard_rebuilds, 1);
    venue.send_messages(snapshot.iter().skip(snapshot.len() / 2));
    venue.send(Answer::SnapshotEnds { session, sequence });
    (1..=6).for_each(|id| venue.assert_fallen(id));
    venue.answer_now();
    venue.assert_all_true();
}

#[test]
fn without_snapshot_servers_a_book_stays_stale() {
    quiet();
    let mut venue = Venue::with(20, 6, 6_000, Policy::default());
    assert!(venue.play(250));
    fall(&mut venue, FALLEN);
    let began = Instant::now();
    while venue.counters().given_up == 0 {
        assert!(began.elapsed() < PATIENCE);
        venue.settle();
    }
    while venue.play(1) {}
    venue.assert_fallen(FALLEN);
    (1..=6).filter(|id| *id != FALLEN).for_each(|id| venue.assert_true(id));
    assert_eq!(venue.counters().failed_attempts, u64::from(ATTEMPTS_MAX));
}

/// Every one of these, with the books on the worker's thread.
mod inline {
    use crate::venue::inline;

    macro_rules! inline {
        ($($test:ident,)*) => {
            $(
                #[test]
                fn $test() {
                    inline(super::$test);
                }
            )*
        };
    }

    inline! {
        a_book_falls_and_comes_back_and_the_others_lose_nothing,
        a_snapshot_from_before_the_fall_is_refused_and_asked_for_again,
        the_snapshot_just_after_the_message_of_the_fall_is_taken,
        a_failed_snapshot_is_asked_for_again_after_a_longer_rest,
        more_events_than_can_be_held_must_be_in_the_next_snapshot,
        a_second_fall_while_the_snapshot_loads,
        a_second_fall_while_held_events_are_applied,
        a_gap_calls_the_repair_off_and_its_recovery_heals_all,
        a_fall_while_all_books_are_cleared_leaves_no_book_uncleared,
        after_so_many_attempts_a_book_stays_down_until_the_channel_recovers,
        a_book_that_falls_again_and_again_stays_down,
        two_books_fall_and_both_come_back,
        without_a_book_in_the_making_all_tables_are_made_anew,
        what_healed_before_the_tables_were_made_anew_does_not_pass_for_whole,
        without_snapshot_servers_a_book_stays_stale,
    }
}
