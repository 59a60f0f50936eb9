//! A channel: one independently numbered stream of messages, from all its lines.
//!
//! Arrives: every packet of every line and of the retransmit servers, snapshots, failures of
//! either, and the time, which is any clock in nanoseconds that does not go back. Leaves: calls of
//! a [`Sink`], in the order in which they are to be done.
//!
//! Promises: within a session every message is applied at most once and in order. Books are told
//! [`Live`](wirebook_model::BookState::Live) only when every message before the next one is in
//! them, and hear what is wrong before a message behind a gap is applied. A gap waits
//! [`Policy::reorder_wait_ns`] for the other line, then the deadline of each recovery that there
//! is, and not longer as long as [`Channel::tick`] is called. Nothing is allocated after
//! construction; a packet that is in order is never copied.
//!
//! Counts in [`ChannelCounters`] and [`LineCounters`] whatever goes wrong.

mod settle;

use crate::counters::ChannelCounters;
use crate::doubt::{Doubt, next_kept};
use crate::guard::{Guard, Guards};
use crate::lines::{LineCounters, Lines, Repeat};
use crate::machine::{self, Input, Means, Recovery, State, Trust};
use crate::packet::{Packet, Sink, Source};
use crate::policy::Policy;
use crate::sessions::{SessionIs, Sessions};
use crate::window::{Inserted, Window};
use std::ops::Range;
use wirebook_model::BookState;

/// The state of one channel.
#[derive(Clone, Debug)]
pub struct Channel<S> {
    policy: Policy,
    means: Means,
    guards: Guards,
    sessions: Sessions<S>,
    doubt: Doubt<S>,
    lines: Lines,
    counters: ChannelCounters,
    state: State,
    /// When the state began.
    entered_ns: u64,
    trust: Trust,
    /// What the books were told last in this session.
    books: Option<BookState>,
    /// The next message to apply.
    next: u64,
    window: Window,
    /// Messages before this one exist, whether or not they are held.
    known_end: u64,
    /// When the first packet came that showed `known_end` to be beyond what we have.
    known_ns: u64,
    /// The first message received in this session.
    start: u64,
    /// Gaps before this message have been counted.
    declared_end: u64,
    /// Gaps before this message have been asked for, or there are none.
    ask_from: u64,
    /// Messages before this one may come from a retransmit server.
    asked_end: u64,
    /// When the last snapshot was taken over: gaps that it left count from then.
    loaded_ns: u64,
    /// When the channel stopped being live: the first packet behind the gap.
    troubled_ns: Option<u64>,
    snapshot_is_open: bool,
}

impl<S: Copy + Eq> Channel<S> {
    /// A channel of which nothing has arrived.
    pub fn new(policy: Policy) -> Self {
        Self {
            policy,
            means: Means::of(&policy),
            guards: Guards::default(),
            sessions: Sessions::new(),
            doubt: Doubt::new(policy.doubt, policy.window.bytes),
            lines: Lines::new(policy.lines, policy.arrivals),
            counters: ChannelCounters::default(),
            state: State::Idle,
            entered_ns: 0,
            trust: Trust::Unfounded,
            books: None,
            next: policy.first_sequence,
            window: Window::new(policy.window),
            known_end: policy.first_sequence,
            known_ns: 0,
            start: policy.first_sequence,
            declared_end: policy.first_sequence,
            ask_from: policy.first_sequence,
            asked_end: policy.first_sequence,
            loaded_ns: 0,
            troubled_ns: None,
            snapshot_is_open: false,
        }
    }

    /// Keeps to another policy from now on, with all that is known so far. The window and the memory
    /// of arrivals keep their size; up to eight lines, nothing is allocated. Where servers come or go,
    /// [`Channel::servers_changed`] is to follow.
    pub fn set_policy(&mut self, policy: Policy) {
        let Policy { window, arrivals, .. } = self.policy;
        self.policy = Policy { window, arrivals, ..policy };
        self.means = Means::of(&policy);
        self.lines.set_count(policy.lines);
    }

    /// Another line has this place from now on: it has brought nothing yet.
    pub fn replace_line(&mut self, line: u8) {
        self.lines.replace(line);
    }

    /// What was asked for will not be answered: there are other servers now, or none. It is asked for
    /// again where the policy has somebody to ask.
    pub fn servers_changed(&mut self, now_ns: u64, sink: &mut impl Sink<S>) {
        match self.state {
            State::Recovering(Recovery::Retransmit) if self.means.retransmit => {
                self.ask_from = self.next;
            }
            State::Recovering(Recovery::Retransmit) => {
                self.step(Input::Overdue, now_ns, sink);
            }
            State::Recovering(Recovery::Snapshot) => {
                self.step(Input::Over, now_ns, sink);
                self.step(Input::Retry, now_ns, sink);
            }
            State::Idle | State::Live | State::Gapped | State::Stale => return,
        }
        self.settle(now_ns, sink);
    }

    /// Takes a packet.
    #[inline]
    pub fn arrive(
        &mut self,
        source: Source,
        packet: &Packet<'_, S>,
        now_ns: u64,
        sink: &mut impl Sink<S>,
    ) {
        if source == Source::Retransmit && !self.is_asked(packet) {
            self.counters.unasked_packets += 1;
            return;
        }
        match self.sessions.judge(packet, now_ns, self.policy.doubt.silence_ns) {
            SessionIs::Current if self.is_far_ahead(packet.sequence) => {
                self.doubt(source, packet, now_ns, sink);
            }
            SessionIs::Current => {
                self.sessions.heard(now_ns);
                self.take(source, packet, now_ns, sink);
            }
            SessionIs::Next => {
                self.begin_session(packet.session, packet.sequence, now_ns, sink);
                self.take(source, packet, now_ns, sink);
            }
            SessionIs::Passed => self.counters.old_session_packets += 1,
            SessionIs::Strange => self.doubt(source, packet, now_ns, sink),
        }
    }

    /// Lets time pass. To be called now and then, also while packets arrive: no deadline is
    /// noticed otherwise.
    #[inline]
    pub fn tick(&mut self, now_ns: u64, sink: &mut impl Sink<S>) {
        if !matches!(self.state, State::Live | State::Idle) {
            self.settle(now_ns, sink);
        }
        if self.doubt.is_overcome_by_silence(self.sessions.last_ns(), now_ns) {
            self.believe(now_ns, sink);
        }
    }

    /// A retransmission that was asked for will not come; `messages` are still missing.
    pub fn retransmit_failed(
        &mut self,
        session: S,
        messages: Range<u64>,
        now_ns: u64,
        sink: &mut impl Sink<S>,
    ) {
        let is_needed = self.sessions.is_current(session) && messages.contains(&self.next);
        if is_needed && self.state == State::Recovering(Recovery::Retransmit) {
            self.step(Input::Overdue, now_ns, sink);
            self.settle(now_ns, sink);
        }
    }

    /// A snapshot begins. True: its messages are to be applied to the books, which have been
    /// cleared, as long as [`Channel::takes_snapshot`] says so. False: it was refused.
    ///
    /// Snapshots come one after the other: a second beginning starts afresh.
    pub fn snapshot_begins(&mut self, session: S, sink: &mut impl Sink<S>) -> bool {
        let is_wanted = self.state == State::Recovering(Recovery::Snapshot)
            && self.sessions.is_current(session);
        if !self.guards.pass(Guard::SnapshotWanted, is_wanted) {
            self.counters.refused_snapshots += 1;
            return false;
        }
        self.snapshot_is_open = true;
        sink.clear_books(self.next);
        true
    }

    /// Whether messages of the snapshot that has begun are still to be applied.
    #[inline]
    pub fn takes_snapshot(&self) -> bool {
        self.snapshot_is_open
    }

    /// A snapshot has come to its end: it holds every message before `sequence`. True: it has
    /// been taken over, and what waited for it has been applied. False: it goes back in time, or
    /// was not wanted any more; the books that it filled are stale.
    pub fn snapshot_ends(
        &mut self,
        session: S,
        sequence: u64,
        now_ns: u64,
        sink: &mut impl Sink<S>,
    ) -> bool {
        let is_open = self.snapshot_is_open && self.sessions.is_current(session);
        if !is_open {
            self.counters.refused_snapshots += 1;
            return false;
        }
        if !self.guards.pass(Guard::SnapshotConnects, self.connects(sequence)) {
            self.counters.refused_snapshots += 1;
            self.snapshot_failed(session, now_ns, sink);
            return false;
        }
        self.load_snapshot(sequence, now_ns, sink);
        true
    }

    /// The snapshot that was asked for will not come, or not be whole.
    pub fn snapshot_failed(&mut self, session: S, now_ns: u64, sink: &mut impl Sink<S>) {
        if self.sessions.is_current(session) {
            self.step(Input::Over, now_ns, sink);
            self.settle(now_ns, sink);
        }
    }

    /// Whoever keeps the books has lost them: they are recovered as after the widest of gaps.
    pub fn books_lost(&mut self, now_ns: u64, sink: &mut impl Sink<S>) {
        self.step(Input::Wide, now_ns, sink);
        self.settle(now_ns, sink);
    }

    /// Where the channel stands.
    #[inline]
    pub fn state(&self) -> State {
        self.state
    }

    /// What the channel's books are told.
    pub fn books(&self) -> BookState {
        machine::books(self.state, self.trust)
    }

    /// The session that is followed.
    pub fn session(&self) -> Option<S> {
        self.sessions.current()
    }

    /// The session that is followed is over, and all its messages have been applied or given up.
    pub fn has_ended(&self) -> bool {
        let nothing_comes = self.state == State::Stale || self.missing().is_none();
        self.sessions.has_ended() && self.window.is_empty() && nothing_comes
    }

    /// The next message to be applied.
    #[inline]
    pub fn next_sequence(&self) -> u64 {
        self.next
    }

    /// What has been counted so far.
    pub fn counters(&self) -> ChannelCounters {
        self.counters
    }

    /// What line `line` has brought; `None` where the policy has no such line.
    pub fn line(&self, line: u8) -> Option<LineCounters> {
        self.lines.counters(line)
    }

    /// Takes a packet of the session that is followed.
    #[inline]
    fn take(
        &mut self,
        source: Source,
        packet: &Packet<'_, S>,
        now_ns: u64,
        sink: &mut impl Sink<S>,
    ) {
        let mut end = packet.end();
        if end > self.known_end {
            self.sessions.set_ended(false);
        }
        if packet.message_count == 0 {
            if packet.ends_session {
                self.sessions.set_ended(true);
            }
            self.know(end, now_ns);
        } else if !self.guards.pass(Guard::OnlyOnce, end > self.next) {
            self.lines.arrive(source, packet.sequence, end);
            self.repeat(source, packet.sequence, now_ns, sink);
            return;
        } else if self.may_apply(packet.sequence) {
            self.lines.first(source, packet.sequence, now_ns);
            let skip = self.skip(packet.sequence);
            let applied = sink.apply(packet, skip);
            end = self.applied(source, packet.sequence, packet.message_count, applied, now_ns);
        } else {
            self.hold(source, packet, now_ns, sink);
        }
        self.lines.arrive(source, packet.sequence, end);
        let is_whole = self.window.is_empty() && self.known_end <= self.next;
        if self.state != State::Live || !is_whole {
            self.settle(now_ns, sink);
        }
    }

    #[inline]
    fn may_apply(&self, sequence: u64) -> bool {
        self.guards.pass(Guard::InOrder, sequence <= self.next)
            && self.guards.pass(Guard::HoldForSnapshot, !self.holds())
    }

    fn hold(
        &mut self,
        source: Source,
        packet: &Packet<'_, S>,
        now_ns: u64,
        sink: &mut impl Sink<S>,
    ) {
        match self.window.insert(source, packet, now_ns) {
            Inserted::Held => {
                self.counters.held += 1;
                self.lines.first(source, packet.sequence, now_ns);
            }
            Inserted::Duplicate => self.repeat(source, packet.sequence, now_ns, sink),
            Inserted::Full => {
                self.counters.overflows += 1;
                self.know(packet.end(), now_ns);
                if source == Source::Retransmit {
                    self.ask_from = self.ask_from.min(packet.sequence);
                }
            }
        }
    }

    #[inline]
    fn repeat(&mut self, source: Source, sequence: u64, now_ns: u64, sink: &mut impl Sink<S>) {
        let (repeat, lead) = self.lines.repeat(source, sequence, now_ns);
        match repeat {
            Repeat::Duplicate => self.counters.duplicates += 1,
            Repeat::Late => self.counters.late += 1,
        }
        if let Some(lead) = lead {
            sink.line_led(lead.line, lead.behind, lead.lead_ns);
        }
    }

    fn is_asked(&self, packet: &Packet<'_, S>) -> bool {
        self.sessions.is_current(packet.session)
            && packet.sequence < self.asked_end
            && packet.message_count > 0
    }

    fn is_far_ahead(&self, sequence: u64) -> bool {
        let newest = self.next.max(self.known_end).max(self.window.end());
        sequence.saturating_sub(newest) > self.policy.doubt.jump_messages
    }

    fn doubt(
        &mut self,
        source: Source,
        packet: &Packet<'_, S>,
        now_ns: u64,
        sink: &mut impl Sink<S>,
    ) {
        self.counters.doubted_packets += 1;
        if self.doubt.consider(source, packet, now_ns) {
            self.believe(now_ns, sink);
            self.take(source, packet, now_ns, sink);
        }
    }

    /// Follows what has been doubted, from its first packet on.
    fn believe(&mut self, now_ns: u64, sink: &mut impl Sink<S>) {
        let Some((suspect, mut kept)) = self.doubt.take() else { return };
        if !self.sessions.is_current(suspect.session) {
            self.begin_session(suspect.session, suspect.first, now_ns, sink);
        }
        while let Some(held) = next_kept(&mut kept) {
            let packet = kept.packet(&held, suspect.session);
            self.take(held.source, &packet, now_ns, sink);
        }
        self.know(suspect.end, now_ns);
        self.doubt.put_back(kept);
        self.settle(now_ns, sink);
    }

    /// Follows `session`, of which `start` is the first sequence that has come.
    fn begin_session(&mut self, session: S, start: u64, now_ns: u64, sink: &mut impl Sink<S>) {
        if matches!(self.state, State::Recovering(_)) {
            sink.end_recovery();
        }
        let first = self.policy.first_sequence;
        if self.sessions.follow(session, self.next, now_ns) {
            self.counters.session_changes += 1;
            sink.clear_books(first);
        }
        self.lines.begin_session();
        self.window.clear();
        self.state = State::Idle;
        self.entered_ns = now_ns;
        self.trust = Trust::Unfounded;
        self.books = None;
        self.next = first;
        self.known_end = first;
        self.start = start.max(first);
        self.declared_end = self.start;
        self.ask_from = first;
        self.asked_end = first;
        self.troubled_ns = None;
        self.snapshot_is_open = false;
        if start <= first {
            self.step(Input::Whole, now_ns, sink);
        }
    }
}

impl<S: Copy + Eq> Default for Channel<S> {
    /// A channel of two lines without recovery.
    fn default() -> Self {
        Self::new(Policy::default())
    }
}

#[cfg(test)]
mod model_check;
