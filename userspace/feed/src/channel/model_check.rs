//! Every order of events that a small network can make, tried on the real channel.
//!
//! Two lines cut the same four messages into different packets. Each packet comes in any order,
//! twice, cut short, malformed, or never; a retransmit server answers late, twice, short or never; snapshots
//! come unasked, twice and back in time; a packet of a session that does not exist comes when it
//! likes. All deadlines are one tick. In every state that can be reached, each message has been
//! applied at most once and in order, live books hold exactly what is before the next message, and
//! no gap is older than its deadlines. With any one guard removed, that must be found to fail.

mod node;

use crate::guard::Guard;
use crate::machine::{Recovery, State};
use crate::policy::WindowLimits;
use node::{Action, Faults, Node, before};
use stateright::{Checker, HasDiscoveries, Model, Property};
use wirebook_model::BookState;

const SESSION: u8 = 1;
const STRANGE_SESSION: u8 = 9;
const MESSAGES_END: u64 = 5;
/// Each line's packets: first sequence and message count.
const PACKETS: [[(u64, u16); 3]; 2] = [[(1, 1), (2, 2), (4, 1)], [(1, 2), (3, 1), (4, 1)]];
/// Reorder wait, retransmit deadline and snapshot deadline.
const LIMIT_TICKS: u64 = 3;

const ONCE_IN_ORDER: &str = "each message is applied at most once, in order, into no snapshot";
const LIVE_IS_WHOLE: &str = "a live book holds every message before the next";
const IN_TIME: &str = "a gap ends in Live or Stale within its time limit";
const IN_SESSION: &str = "one strange packet does not end the session";

const LINE_FAULTS: Faults = Faults {
    duplicates: 1,
    short_packets: 1,
    heartbeats: 1,
    answers: 0,
    snapshots: 0,
    strange_packets: 0,
};
const STRANGE_FAULTS: Faults = Faults { strange_packets: 1, short_packets: 0, ..LINE_FAULTS };
const RETRANSMIT_FAULTS: Faults = Faults { answers: 2, duplicates: 0, ..LINE_FAULTS };
const SNAPSHOT_FAULTS: Faults =
    Faults { snapshots: 2, duplicates: 0, short_packets: 0, ..LINE_FAULTS };

struct Network {
    faults: Faults,
    window: WindowLimits,
    removed: Option<Guard>,
}

impl Model for Network {
    type State = Node;
    type Action = Action;

    fn init_states(&self) -> Vec<Node> {
        vec![Node::new(self)]
    }

    fn actions(&self, node: &Node, actions: &mut Vec<Action>) {
        let left = node.world.left;
        actions.push(Action::Tick);
        for (line, packets) in PACKETS.iter().enumerate() {
            for packet in 0..packets.len() {
                if node.world.in_flight[line] & 1 << packet == 0 {
                    continue;
                }
                let (keeps_copy, is_short) = (false, false);
                actions.push(Action::Deliver { line, packet, keeps_copy, is_short });
                if left.duplicates > 0 {
                    actions.push(Action::Deliver { line, packet, keeps_copy: true, is_short });
                }
                if left.short_packets > 0 {
                    actions.push(Action::Deliver { line, packet, keeps_copy, is_short: true });
                }
            }
        }
        if left.heartbeats > 0 {
            actions.push(Action::Heartbeat);
        }
        if left.answers > 0
            && let Some((first, end)) = node.world.asked
        {
            actions.push(Action::Answer { first, end });
            if end - first > 1 {
                actions.push(Action::Answer { first, end: first + 1 });
            }
            actions.push(Action::RetransmitFails);
        }
        if left.snapshots > 0 {
            actions.push(Action::SnapshotBegins);
        }
        if left.snapshots < self.faults.snapshots {
            for sequence in 1..=MESSAGES_END {
                actions.push(Action::SnapshotEnds { sequence });
            }
        }
        if left.strange_packets > 0 {
            actions.push(Action::StrangePacket);
        }
    }

    fn next_state(&self, node: &Node, action: Action) -> Option<Node> {
        let mut node = node.clone();
        node.act(action);
        Some(node)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(ONCE_IN_ORDER, |_, node: &Node| !node.world.books.is_broken),
            Property::always(LIVE_IS_WHOLE, |_, node: &Node| {
                let books = &node.world.books;
                let next = node.channel.next_sequence();
                books.state != BookState::Live || books.messages == before(next)
            }),
            Property::always(IN_TIME, |_, node: &Node| {
                let Some((_, since)) = node.world.stuck else { return true };
                node.world.now - since < LIMIT_TICKS
            }),
            Property::always(IN_SESSION, |_, node: &Node| {
                !node.world.has_begun || node.channel.session() == Some(SESSION)
            }),
        ]
    }
}

/// Also what must be possible, so that nothing above holds for want of cases.
struct Reach(Network);

impl Model for Reach {
    type State = Node;
    type Action = Action;

    fn init_states(&self) -> Vec<Node> {
        self.0.init_states()
    }

    fn actions(&self, node: &Node, actions: &mut Vec<Action>) {
        self.0.actions(node, actions);
    }

    fn next_state(&self, node: &Node, action: Action) -> Option<Node> {
        self.0.next_state(node, action)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        fn is_done(node: &Node) -> bool {
            node.channel.state() == State::Live && node.channel.next_sequence() == MESSAGES_END
        }
        vec![
            Property::sometimes("live by the lines alone", |_, node: &Node| {
                is_done(node) && node.channel.counters().gaps == 0
            }),
            Property::sometimes("late but right", |_, node: &Node| {
                node.channel.state() == State::Gapped && node.world.books.state == BookState::Live
            }),
            Property::sometimes("stale", |_, node: &Node| node.channel.state() == State::Stale),
            Property::sometimes("waits for a snapshot", |_, node: &Node| {
                node.channel.state() == State::Recovering(Recovery::Snapshot)
            }),
            Property::sometimes("live by retransmission", |_, node: &Node| {
                is_done(node) && node.world.outcome.was_retransmitted
            }),
            Property::sometimes("live by snapshot", |_, node: &Node| {
                is_done(node) && node.world.outcome.was_snapshot
            }),
        ]
    }
}

const ROOMY: WindowLimits = WindowLimits { packets: 8, bytes: 64 };
const NARROW: WindowLimits = WindowLimits { packets: 1, bytes: 64 };

fn check(faults: Faults, window: WindowLimits) {
    let checker = Network { faults, window, removed: None }.checker().threads(2).spawn_dfs().join();
    eprintln!("{faults:?}: {} states", checker.unique_state_count());
    for property in checker.model().properties() {
        if let Some(path) = checker.discovery(property.name) {
            panic!("{}: {:#?}", property.name, path.into_actions());
        }
    }
}

/// Shows that `property` fails without `guard`.
fn find_without(guard: Guard, faults: Faults, property: &'static str) {
    let checker = Network { faults, window: ROOMY, removed: Some(guard) }
        .checker()
        .finish_when(HasDiscoveries::AllOf([property].into()))
        .spawn_bfs()
        .join();
    let path = checker.discovery(property).expect("a removed guard is found");
    eprintln!("without {guard:?}, not: {property}: {:?}", path.into_actions());
}

#[test]
fn lines_that_lose_repeat_reorder_and_cut() {
    check(LINE_FAULTS, ROOMY);
}

#[test]
fn a_window_that_is_too_small() {
    check(LINE_FAULTS, NARROW);
}

#[test]
fn a_packet_of_a_session_that_does_not_exist() {
    check(STRANGE_FAULTS, ROOMY);
}

#[test]
fn a_retransmit_server_that_is_late_short_double_or_silent() {
    check(RETRANSMIT_FAULTS, ROOMY);
}

#[test]
fn snapshots_that_come_unasked_twice_and_back_in_time() {
    check(SNAPSHOT_FAULTS, ROOMY);
}

#[test]
fn every_end_can_be_reached() {
    let faults = Faults { snapshots: 1, heartbeats: 0, ..RETRANSMIT_FAULTS };
    let network = Network { faults, window: ROOMY, removed: None };
    Reach(network).checker().threads(2).spawn_dfs().join().assert_properties();
}

#[test]
fn every_removed_guard_is_found() {
    for (guard, faults, property) in [
        (Guard::InOrder, LINE_FAULTS, LIVE_IS_WHOLE),
        (Guard::OnlyOnce, LINE_FAULTS, ONCE_IN_ORDER),
        (Guard::WholePacket, LINE_FAULTS, LIVE_IS_WHOLE),
        (Guard::Deadline, LINE_FAULTS, IN_TIME),
        (Guard::SnapshotConnects, SNAPSHOT_FAULTS, ONCE_IN_ORDER),
        (Guard::SnapshotWanted, SNAPSHOT_FAULTS, LIVE_IS_WHOLE),
        (Guard::HoldForSnapshot, SNAPSHOT_FAULTS, ONCE_IN_ORDER),
    ] {
        find_without(guard, faults, property);
    }
}
