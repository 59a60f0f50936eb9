//! A receiver's scenarios, named after the clauses of the MoldUDP64 Protocol Specification,
//! version 1.00 (2009-07-07), and after those that open implementations test.

mod common;

use common::{A, B, Bench, Done, MS, SERVER, SESSION, policy};
use wirebook_feed::{Policy, Recovery, State};
use wirebook_model::BookState;

const RETRANSMIT: State = State::Recovering(Recovery::Retransmit);
const SNAPSHOT: State = State::Recovering(Recovery::Snapshot);

/// "Downstream Packet": the sequence of the first message; those after it count on.
mod downstream_packet {
    use super::*;

    #[test]
    fn with_a_single_message() {
        let mut bench = Bench::new(policy());
        bench.send(A, 1..2);
        bench.assert_applied(1..2);
        assert_eq!(bench.done(), [Done::Books(BookState::Live)]);
    }

    #[test]
    fn with_several_messages() {
        let mut bench = Bench::new(policy());
        bench.send(A, 1..39).send(A, 39..40);
        bench.assert_applied(1..40);
        assert_eq!(bench.channel.counters().messages, 39);
    }

    #[test]
    fn wholly_obsolete() {
        let mut bench = Bench::new(policy());
        bench.send(A, 1..2).send(B, 1..2).send(A, 2..4);
        bench.assert_applied(1..4);
        assert_eq!(bench.channel.counters().duplicates, 1);
    }

    #[test]
    fn partly_obsolete() {
        let mut bench = Bench::new(policy());
        bench.send(A, 1..2).send(A, 1..3).send(A, 3..4);
        bench.assert_applied(1..4);
        assert_eq!(bench.channel.counters().duplicates, 0);
    }

    #[test]
    fn with_65_534_messages() {
        let mut bench = Bench::new(policy());
        bench.send(A, 1..65_535).send(B, 65_530..65_540);
        bench.assert_applied(1..65_540);
    }

    #[test]
    fn that_says_65_534_messages_and_holds_three() {
        let mut bench = Bench::new(policy());
        bench.send_short(SESSION, A, 1..65_535, 3).wait(5 * MS);
        bench.assert_applied(1..4);
        assert_eq!(bench.channel.state(), State::Live, "what it does not hold is not believed");
        bench.send(B, 4..6).wait(MS);
        assert_eq!(bench.done(), [Done::Books(BookState::Live)]);
        let counters = bench.channel.counters();
        assert_eq!((counters.short_packets, counters.gaps), (1, 0));
        assert_eq!(bench.channel.line(0).unwrap().behind_messages, 2, "it showed three");
    }

    #[test]
    fn that_is_cut_with_a_whole_copy_on_the_other_line() {
        let mut bench = Bench::new(policy());
        bench.send_short(SESSION, A, 1..6, 2).send(B, 1..6).send(A, 6..7);
        bench.assert_applied(1..7);
        bench.send_short(SESSION, A, 7..9, 0).send(B, 7..9);
        bench.assert_applied(1..9);
        assert_eq!(bench.done(), [Done::Books(BookState::Live)]);
        let counters = bench.channel.counters();
        assert_eq!((counters.short_packets, counters.gaps, counters.duplicates), (2, 0, 0));
    }

    #[test]
    fn that_is_cut_on_both_lines_leaves_a_gap_for_the_next_to_show() {
        let mut bench = Bench::new(policy());
        bench.send_short(SESSION, A, 1..6, 3).send_short(SESSION, B, 1..6, 2).wait(5 * MS);
        assert_eq!(bench.channel.state(), State::Live);
        bench.send(A, 6..8).wait(MS);
        assert!(bench.done().contains(&Done::Retransmit(SESSION, 4..6)));
        bench.send(SERVER, 4..6);
        bench.assert_applied(1..8);
        assert_eq!(bench.channel.state(), State::Live);
        assert_eq!(bench.channel.counters().missing_messages, 2);
    }

    #[test]
    fn with_a_malformed_message_is_missing_from_there_on() {
        let mut bench = Bench::new(policy());
        bench.send_malformed(A, 1..6, 4);
        bench.assert_applied(1..4);
        assert_eq!(bench.channel.state(), State::Gapped);
        bench.wait(MS);
        assert!(bench.done().contains(&Done::Retransmit(SESSION, 4..6)));
        bench.send(SERVER, 4..6);
        bench.assert_applied(1..6);
    }

    #[test]
    fn at_the_top_of_the_64_bit_sequence() {
        let mut bench = Bench::new(Policy { first_sequence: u64::MAX - 10, ..policy() });
        bench.send(A, u64::MAX - 10..u64::MAX - 2);
        bench.arrive(A, SESSION, u64::MAX - 2, u16::MAX, false, &[]);
        bench.wait(500 * MS);
        bench.assert_applied(u64::MAX - 10..u64::MAX - 2);
        assert_eq!(bench.channel.next_sequence(), u64::MAX - 2);
    }
}

/// "Heartbeat": the next expected sequence, so that loss shows when nothing is sent.
mod heartbeat {
    use super::*;

    #[test]
    fn before_the_first_message() {
        let mut bench = Bench::new(policy());
        bench.heartbeat(A, 1);
        assert_eq!(bench.done(), [Done::Books(BookState::Live)]);
        bench.send(A, 1..3).heartbeat(A, 3).wait(5 * MS);
        assert_eq!(bench.channel.state(), State::Live);
        assert_eq!(bench.done(), []);
    }

    #[test]
    fn that_shows_a_loss() {
        let mut bench = Bench::new(policy());
        bench.send(A, 1..3).heartbeat(A, 5);
        assert_eq!(bench.channel.state(), State::Gapped);
        bench.wait(MS);
        assert!(bench.done().contains(&Done::Retransmit(SESSION, 3..5)));
        bench.send(SERVER, 3..5);
        bench.assert_applied(1..5);
        assert_eq!(bench.channel.state(), State::Live);
    }
}

/// "End of Session": like a heartbeat, the last chance to ask again.
mod end_of_session {
    use super::*;

    #[test]
    fn after_everything() {
        let mut bench = Bench::new(policy());
        bench.send(A, 1..3).end_of_session(A, 3);
        assert!(bench.channel.has_ended());
        assert_eq!(bench.channel.state(), State::Live);
    }

    #[test]
    fn with_a_gap_before_it_is_filled() {
        let mut bench = Bench::new(policy());
        bench.heartbeat(A, 1).end_of_session(A, 4).wait(MS);
        assert!(!bench.channel.has_ended());
        assert!(bench.done().contains(&Done::Retransmit(SESSION, 1..4)));
        bench.send(SERVER, 1..4);
        bench.assert_applied(1..4);
        assert!(bench.channel.has_ended());
    }

    #[test]
    fn with_a_gap_that_nobody_fills() {
        let mut bench = Bench::new(Policy::default());
        bench.send(A, 1..3).end_of_session(A, 9).wait(2 * MS);
        assert_eq!(bench.channel.state(), State::Stale);
        assert!(bench.channel.has_ended());
        let counters = bench.channel.counters();
        assert_eq!((counters.gaps, counters.missing_messages), (1, 6));
    }

    #[test]
    fn lets_the_next_session_in_at_once() {
        let mut bench = Bench::new(policy());
        bench.send(A, 1..3).end_of_session(A, 3).send_in(2, A, 1..4);
        bench.assert_applied([1, 2, 1, 2, 3]);
        assert_eq!(bench.channel.session(), Some(2));
        bench.end_of_session(B, 3);
        assert_eq!(bench.channel.counters().old_session_packets, 1);
        assert!(!bench.channel.has_ended());
    }
}

/// "Request Packet": a gap is asked for, and the answer is a downstream packet like any other.
mod request_packet {
    use super::*;

    #[test]
    fn gap_fill() {
        let mut bench = Bench::new(policy());
        bench.send(A, 1..4).send(A, 6..8);
        bench.assert_applied(1..4);
        assert_eq!(bench.channel.state(), State::Gapped);
        assert_eq!(bench.done(), [Done::Books(BookState::Live)], "late, but right");
        bench.wait(MS);
        let asked = [Done::Books(BookState::Healing), Done::Retransmit(SESSION, 4..6)];
        assert_eq!(bench.done(), asked);
        bench.send(A, 8..9).wait(MS).send(SERVER, 4..6);
        bench.assert_applied(1..9);
        assert_eq!(bench.done(), [Done::EndRecovery, Done::Books(BookState::Live)]);
        assert_eq!(bench.log.healed_ns, [2 * MS]);
        let counters = bench.channel.counters();
        assert_eq!(
            (counters.gaps, counters.missing_messages, counters.retransmitted_messages),
            (1, 2, 2)
        );
    }

    #[test]
    fn gap_fill_by_several_answers() {
        let mut bench = Bench::new(policy());
        bench.send(A, 1..2).send(A, 100..101).wait(MS);
        for first in (2..100).step_by(14) {
            assert_eq!(bench.channel.state(), RETRANSMIT);
            bench.send(SERVER, first..first + 14);
        }
        bench.assert_applied(1..101);
        assert_eq!(bench.channel.state(), State::Live);
    }

    #[test]
    fn every_gap_is_asked_for_in_its_own_time() {
        let mut bench = Bench::new(policy());
        bench.send(A, 1..2).send(A, 5..6).send(A, 8..9).wait(MS / 2).send(A, 12..13);
        bench.wait(MS / 2);
        let first = [Done::Retransmit(SESSION, 2..5), Done::Retransmit(SESSION, 6..8)];
        assert!(bench.done().ends_with(&first));
        bench.wait(MS / 2);
        assert_eq!(bench.done(), [Done::Retransmit(SESSION, 9..12)]);
        bench.send(SERVER, 9..12).send(SERVER, 6..8).send(SERVER, 2..5);
        bench.assert_applied(1..13);
    }

    #[test]
    fn backfill() {
        let mut bench = Bench::new(policy());
        bench.heartbeat(A, 4);
        assert_eq!(bench.done(), [Done::Books(BookState::Warming)]);
        bench.wait(MS);
        assert_eq!(bench.done(), [Done::Retransmit(SESSION, 1..4)]);
        bench.send(SERVER, 1..4);
        bench.assert_applied(1..4);
        assert_eq!(bench.done(), [Done::EndRecovery, Done::Books(BookState::Live)]);
        assert_eq!(bench.channel.counters().gaps, 0, "nothing was lost");
    }

    #[test]
    fn gap_that_grows_while_it_is_asked_for() {
        let mut bench = Bench::new(policy());
        bench.heartbeat(A, 1).send(A, 2..3).wait(MS).send(A, 4..5).wait(MS);
        let asked = [Done::Retransmit(SESSION, 1..2), Done::Retransmit(SESSION, 3..4)];
        assert!(asked.iter().all(|request| bench.log.done.contains(request)));
        bench.send(SERVER, 1..4);
        bench.assert_applied(1..5);
        assert_eq!(bench.channel.state(), State::Live);
    }

    #[test]
    fn gap_is_as_old_as_the_first_sign_of_it() {
        let mut bench = Bench::new(policy());
        bench.send(A, 1..2).heartbeat(A, 5).wait(MS / 2).heartbeat(A, 9).wait(MS / 2);
        assert_eq!(bench.done().last(), Some(&Done::Retransmit(SESSION, 2..9)));
        let mut bench = Bench::new(policy());
        bench.send(A, 1..2).heartbeat(A, 5).wait(MS / 2).send(A, 7..8).wait(MS / 2);
        assert_eq!(bench.done().last(), Some(&Done::Retransmit(SESSION, 2..7)));
    }

    #[test]
    fn gap_noticed_late_has_its_whole_deadline() {
        let mut bench = Bench::new(policy());
        bench.send(A, 1..2).send(A, 3..4);
        bench.now_ns += 500 * MS;
        bench.wait(9 * MS);
        assert_eq!(bench.channel.state(), RETRANSMIT, "not asked for before");
        bench.wait(2 * MS);
        assert_eq!(bench.channel.state(), SNAPSHOT);
    }

    #[test]
    fn answer_never_asked() {
        let mut bench = Bench::new(policy());
        bench.send(SERVER, 1..3).send(A, 1..3).send(SERVER, 3..5).send_in(2, SERVER, 1..2);
        bench.assert_applied(1..3);
        assert_eq!(bench.channel.counters().unasked_packets, 3);
        assert_eq!(bench.channel.state(), State::Live);
    }

    #[test]
    fn answer_too_late() {
        let mut bench = Bench::new(Policy { snapshot: None, ..policy() });
        bench.send(A, 1..2).send(A, 3..4).wait(11 * MS);
        bench.assert_applied([1, 3]);
        assert_eq!(bench.channel.state(), State::Stale);
        bench.send(SERVER, 2..3).send(B, 2..3).send(A, 4..5);
        bench.assert_applied([1, 3, 4]);
        let counters = bench.channel.counters();
        assert_eq!((counters.lost_messages, counters.retransmit_failures), (1, 1));
        assert_eq!((counters.late, bench.channel.line(1).unwrap().late), (1, 1));
        assert_eq!(bench.channel.state(), State::Stale);
    }

    #[test]
    fn refused_by_every_server() {
        let mut bench = Bench::new(policy());
        bench.send(A, 1..2).send(A, 3..4).wait(MS);
        let Bench { channel, log, now_ns } = &mut bench;
        channel.retransmit_failed(SESSION, 7..9, *now_ns, log);
        assert_eq!(channel.state(), RETRANSMIT, "not what holds the channel up");
        channel.retransmit_failed(SESSION, 2..3, *now_ns, log);
        assert_eq!(channel.state(), SNAPSHOT);
    }

    #[test]
    fn answer_that_ends_early_is_asked_for_again() {
        let mut bench = Bench::new(policy());
        bench.send(A, 1..2).send(A, 9..10).wait(MS);
        bench.done();
        bench.send_short(SESSION, SERVER, 2..9, 3);
        bench.assert_applied(1..5);
        assert_eq!(bench.done(), [Done::Retransmit(SESSION, 5..9)]);
    }
}
