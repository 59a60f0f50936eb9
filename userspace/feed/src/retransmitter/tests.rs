use super::*;

const MS: u64 = 1_000_000;
const SESSION: u8 = 1;

fn retransmitter(servers: usize) -> Retransmitter<u8> {
    let policy = RetransmitterPolicy {
        servers,
        request_messages_max: 10,
        requests_max: 4,
        ranges_max: 8,
        answer_wait_ns: 20 * MS,
        rest_wait_ns: 0,
        back_off_ns: 100 * MS,
        deadline_ns: 400 * MS,
        requests_per_second: 1_000,
        request_burst: 100,
    };
    Retransmitter::new(policy)
}

/// Everything that is to be sent now: server, first message, message count.
fn sent(retransmitter: &mut Retransmitter<u8>, now_ns: u64) -> Vec<(usize, u64, u16)> {
    std::iter::from_fn(|| retransmitter.poll(now_ns))
        .map(|task| match task {
            Task::Send { server, session: SESSION, first, message_count } => {
                (server, first, message_count)
            }
            task => panic!("{task:?}"),
        })
        .collect()
}

#[test]
fn a_range_larger_than_the_servers_limit_is_cut() {
    let mut retransmitter = retransmitter(1);
    assert!(retransmitter.want(SESSION, 5..40, 0));
    assert_eq!(sent(&mut retransmitter, 0), [(0, 5, 10), (0, 15, 10), (0, 25, 10), (0, 35, 5)]);
    assert_eq!(sent(&mut retransmitter, MS), []);
    for first in [25, 5, 35, 15] {
        assert!(retransmitter.answer(0, SESSION, first, 10.min(40 - first as u16), 2 * MS));
    }
    assert!(retransmitter.is_idle());
    assert_eq!(retransmitter.counters().answers, 4);
}

#[test]
fn no_more_requests_are_open_than_allowed() {
    let mut retransmitter = retransmitter(1);
    retransmitter.want(SESSION, 1..101, 0);
    assert_eq!(sent(&mut retransmitter, 0).len(), 4);
    retransmitter.answer(0, SESSION, 1, 10, MS);
    assert_eq!(sent(&mut retransmitter, MS), [(0, 41, 10)]);
}

#[test]
fn the_rest_of_a_short_answer_is_asked_for_again() {
    let mut retransmitter = retransmitter(2);
    retransmitter.want(SESSION, 1..11, 0);
    assert_eq!(sent(&mut retransmitter, 0), [(0, 1, 10)]);
    assert!(retransmitter.answer(0, SESSION, 1, 4, MS));
    assert_eq!(sent(&mut retransmitter, MS), [(0, 5, 6)], "the server does well");
    assert_eq!(retransmitter.counters().short_answers, 1);
}

#[test]
fn a_silent_server_rests_and_the_next_is_asked() {
    let mut retransmitter = retransmitter(3);
    retransmitter.want(SESSION, 1..3, 0);
    let mut servers = Vec::new();
    for step in 0..4 {
        servers.extend(sent(&mut retransmitter, step * 20 * MS).iter().map(|sent| sent.0));
    }
    assert_eq!(servers, [0, 1, 2, 0]);
    assert_eq!(retransmitter.counters().timeouts, 3);
}

#[test]
fn a_server_that_stays_silent_rests_ever_longer_until_it_answers() {
    let mut retransmitter = retransmitter(1);
    retransmitter.want(SESSION, 1..21, 0);
    let asked_at_ms = |retransmitter: &mut Retransmitter<u8>, from_ms: u64| -> Vec<u64> {
        (from_ms..from_ms + 390).filter(|ms| !sent(retransmitter, ms * MS).is_empty()).collect()
    };
    // Two requests fail at each time, which is one failure; no rest is longer than 100 ms.
    assert_eq!(asked_at_ms(&mut retransmitter, 0), [0, 40, 100, 200, 320]);
    assert!(retransmitter.answer(0, SESSION, 1, 20, 390 * MS));
    retransmitter.want(SESSION, 30..31, 1_000 * MS);
    assert_eq!(asked_at_ms(&mut retransmitter, 1_000), [1_000, 1_040, 1_100, 1_200, 1_320]);
}

#[test]
fn an_empty_answer_is_a_refusal() {
    let mut retransmitter = retransmitter(2);
    retransmitter.want(SESSION, 1..3, 0);
    sent(&mut retransmitter, 0);
    assert!(!retransmitter.answer(0, SESSION, 1, 0, MS));
    assert_eq!(sent(&mut retransmitter, MS), [(1, 1, 2)]);
    assert!(retransmitter.answer(1, SESSION, 1, 2, 2 * MS));
    retransmitter.want(SESSION, 7..8, 300 * MS);
    assert_eq!(sent(&mut retransmitter, 300 * MS), [(1, 7, 1)], "who did well is asked first");
}

#[test]
fn an_answer_that_nobody_asked_for_is_counted_and_not_passed_on() {
    let mut retransmitter = retransmitter(2);
    assert!(!retransmitter.answer(0, SESSION, 1, 5, 0));
    retransmitter.want(SESSION, 10..20, 0);
    assert!(!retransmitter.answer(0, SESSION, 10, 5, 0), "wanted, but not asked for yet");
    sent(&mut retransmitter, 0);
    assert!(!retransmitter.answer(0, SESSION, 20, 5, MS));
    assert!(!retransmitter.answer(0, 9, 10, 5, MS));
    assert!(retransmitter.answer(0, SESSION, 10, 10, MS));
    assert!(!retransmitter.answer(0, SESSION, 10, 10, MS), "twice");
    assert_eq!(retransmitter.counters().unasked_answers, 5);
}

#[test]
fn a_server_that_lies_is_left_like_a_silent_one() {
    let mut retransmitter = retransmitter(2);
    retransmitter.want(SESSION, 1..10, 0);
    sent(&mut retransmitter, 0);
    for now_ns in [5 * MS, 10 * MS, 15 * MS] {
        assert!(!retransmitter.answer(0, SESSION, 700, 3, now_ns));
    }
    assert_eq!(sent(&mut retransmitter, 20 * MS), [(1, 1, 9)]);
}

#[test]
fn a_range_that_nobody_brings_is_given_up_at_its_deadline() {
    let mut retransmitter = retransmitter(1);
    retransmitter.want(SESSION, 1..16, 0);
    let mut given_up = Vec::new();
    for step in 0..=40 {
        while let Some(task) = retransmitter.poll(step * 10 * MS) {
            if let Task::GiveUp { first, end, .. } = task {
                assert_eq!(step, 40);
                given_up.push((first, end));
            }
        }
    }
    assert_eq!(given_up, [(1, 11), (11, 16)]);
    assert!(retransmitter.is_idle());
}

#[test]
fn what_is_wanted_already_is_not_wanted_twice() {
    let mut retransmitter = retransmitter(1);
    retransmitter.want(SESSION, 5..8, 0);
    retransmitter.want(SESSION, 12..14, 0);
    sent(&mut retransmitter, 0);
    retransmitter.want(SESSION, 1..20, MS);
    let rest = [(0, 1, 4), (0, 8, 4)];
    assert_eq!(sent(&mut retransmitter, MS), rest);
    retransmitter.answer(0, SESSION, 1, 4, MS);
    assert_eq!(sent(&mut retransmitter, MS), [(0, 14, 6)]);
}

#[test]
fn what_has_no_room_is_refused() {
    let mut retransmitter = retransmitter(1);
    let accepted = (0..20).filter(|at| retransmitter.want(SESSION, 2 * at..2 * at + 1, 0)).count();
    assert_eq!((accepted, retransmitter.counters().overflows), (8, 12));
}

#[test]
fn a_gap_that_grows_is_one_range_until_its_parts_differ_in_age() {
    let mut retransmitter = retransmitter(1);
    // Of 400 ms that a range may take, an eighth is 50 ms: 51 parts are one range.
    let accepted = (0..500).filter(|ms| retransmitter.want(SESSION, *ms..ms + 1, ms * MS)).count();
    assert_eq!((accepted, retransmitter.counters().overflows), (8 * 51, 500 - 8 * 51));
    let first = |retransmitter: &mut Retransmitter<u8>, ms| retransmitter.poll(ms * MS);
    assert!(matches!(first(&mut retransmitter, 399), Some(Task::Send { first: 0, .. })));
    let given_up = Task::GiveUp { session: SESSION, first: 0, end: 10 };
    assert_eq!(first(&mut retransmitter, 400), Some(given_up));
}

#[test]
fn another_session_or_a_repair_by_the_lines_ends_everything() {
    let mut retransmitter = retransmitter(1);
    retransmitter.want(9, 1..3, 0);
    retransmitter.want(SESSION, 5..6, 0);
    assert_eq!(sent(&mut retransmitter, 0), [(0, 5, 1)]);
    retransmitter.cancel();
    assert!(retransmitter.is_idle());
    assert!(!retransmitter.answer(0, SESSION, 5, 1, MS));
    assert_eq!(sent(&mut retransmitter, 500 * MS), []);
}

#[test]
fn the_rate_is_kept() {
    let mut retransmitter = retransmitter(1);
    retransmitter.bucket = Bucket::new(100, 2);
    retransmitter.want(SESSION, 1..41, 0);
    assert_eq!(sent(&mut retransmitter, 0).len(), 2);
    assert_eq!(sent(&mut retransmitter, 9 * MS).len(), 0);
    assert_eq!(sent(&mut retransmitter, 10 * MS).len(), 1);
}

#[test]
fn without_a_server_everything_is_given_up_in_time() {
    let mut retransmitter = retransmitter(0);
    retransmitter.want(SESSION, 1..3, 0);
    assert_eq!(retransmitter.poll(MS), None);
    let given_up = Task::GiveUp { session: SESSION, first: 1, end: 3 };
    assert_eq!(retransmitter.poll(400 * MS), Some(given_up));
}

#[test]
fn an_answer_that_is_short_for_two_requests_is_one_short_answer() {
    let mut retransmitter = retransmitter(1);
    retransmitter.want(SESSION, 1..21, 0);
    assert_eq!(sent(&mut retransmitter, 0), [(0, 1, 10), (0, 11, 10)]);
    // The end of the first request and the beginning of the second.
    assert!(retransmitter.answer(0, SESSION, 6, 10, MS));
    let counters = retransmitter.counters();
    assert_eq!((counters.answers, counters.short_answers), (1, 1));
}
