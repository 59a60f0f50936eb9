//! What a channel does about missing messages: applies what waits as soon as it may, finds the
//! gap that holds it up, and follows the table of [`machine`].

use super::Channel;
use crate::guard::Guard;
use crate::machine::{self, Input, Recovery, State, Step, Trust};
use crate::packet::{Applied, Sink, Source};
use crate::window::Gap;

impl<S: Copy + Eq> Channel<S> {
    /// Brings the channel to rest: nothing that may be applied waits, and the state is what the
    /// next message's absence and age make it.
    pub(super) fn settle(&mut self, now_ns: u64, sink: &mut impl Sink<S>) {
        loop {
            if !self.holds() {
                self.drain(now_ns, sink);
            }
            if self.state == State::Stale && self.give_up(now_ns, sink) {
                continue;
            }
            let Some(input) = self.input(now_ns) else { break };
            if !self.step(input, now_ns, sink) {
                break;
            }
        }
        if self.state == State::Recovering(Recovery::Retransmit) {
            self.ask(now_ns, sink);
        }
    }

    /// Follows the table. False: `input` changes nothing.
    pub(super) fn step(&mut self, input: Input, now_ns: u64, sink: &mut impl Sink<S>) -> bool {
        let Some(step) = machine::next(self.state, input, self.means) else { return false };
        self.count(input);
        let from = std::mem::replace(&mut self.state, step.to);
        self.entered_ns = now_ns;
        self.snapshot_is_open = false;
        if step.ends_recovery {
            sink.end_recovery();
        }
        match step.to {
            State::Live => {
                self.trust = Trust::Founded;
                if let Some(troubled_ns) = self.troubled_ns.take() {
                    sink.healed(now_ns.saturating_sub(troubled_ns));
                }
            }
            State::Stale => self.lose_trust(from),
            State::Idle | State::Gapped | State::Recovering(_) => {}
        }
        if step.to != State::Live && self.troubled_ns.is_none() {
            self.troubled_ns = Some(self.missing().map_or(now_ns, |gap| gap.noticed_ns));
        }
        self.tell_books(sink);
        self.begin_recovery(&step, sink);
        true
    }

    /// True while packets wait for a snapshot, in order or not.
    #[inline]
    pub(super) fn holds(&self) -> bool {
        self.state == State::Recovering(Recovery::Snapshot)
    }

    /// How many messages of a packet from `sequence` on have been applied.
    #[inline]
    pub(super) fn skip(&self, sequence: u64) -> u16 {
        // A packet that is applied ends after the next message, so this is less than its count.
        let applied = self.next.saturating_sub(sequence) as u16;
        if self.guards.pass(Guard::OnlyOnce, applied == 0) { 0 } else { applied }
    }

    /// Messages of a packet have been applied. Gives the sequence after the last that it held.
    #[inline]
    pub(super) fn applied(
        &mut self,
        source: Source,
        sequence: u64,
        announced: u16,
        applied: Applied,
        now_ns: u64,
    ) -> u64 {
        let end = sequence.saturating_add(u64::from(applied.held.min(announced)));
        let from = self.next.max(sequence);
        let reached = from.saturating_add(u64::from(applied.messages)).min(end).max(from);
        let messages = reached - from;
        self.next = reached;
        self.counters.messages += messages;
        if source == Source::Retransmit {
            self.counters.retransmitted_messages += messages;
        }
        if !self.guards.pass(Guard::WholePacket, reached >= end) {
            self.know(end, now_ns);
        } else if applied.held >= announced {
            self.next = reached.max(end);
            return end;
        }
        self.counters.short_packets += 1;
        self.ask_from = self.ask_from.min(reached);
        end
    }

    /// Messages before `end` exist.
    #[inline]
    pub(super) fn know(&mut self, end: u64, now_ns: u64) {
        if end <= self.known_end {
            return;
        }
        if self.known_end <= self.next {
            self.known_ns = now_ns;
        }
        self.known_end = end;
    }

    /// The gap that holds up everything else.
    pub(super) fn missing(&self) -> Option<Gap> {
        self.gap_after(self.next).ok()
    }

    /// Whether a snapshot that holds every message before `sequence` reaches what is held, does
    /// not go back behind what has been applied, and is of a time that lines may have reached.
    pub(super) fn connects(&self, sequence: u64) -> bool {
        sequence >= self.next
            && self.missing().is_none_or(|gap| sequence >= gap.end)
            && !self.is_far_ahead(sequence)
    }

    /// The books hold every message before `sequence`: what waits follows.
    pub(super) fn load_snapshot(&mut self, sequence: u64, now_ns: u64, sink: &mut impl Sink<S>) {
        self.declare_until(sequence);
        self.counters.snapshots += 1;
        self.counters.snapshot_messages =
            self.counters.snapshot_messages.saturating_add(sequence.saturating_sub(self.next));
        self.next = sequence;
        self.loaded_ns = now_ns;
        self.ask_from = sequence;
        self.drain(now_ns, sink);
        self.step(Input::Loaded, now_ns, sink);
        self.settle(now_ns, sink);
    }

    /// Applies what waits and has its turn.
    fn drain(&mut self, now_ns: u64, sink: &mut impl Sink<S>) {
        let Some(session) = self.sessions.current() else { return };
        while let Some(held) = self.window.pop_until(self.next) {
            if !self.guards.pass(Guard::OnlyOnce, held.end() > self.next) {
                continue;
            }
            let packet = self.window.packet(&held, session);
            let applied = sink.apply(&packet, self.skip(held.sequence));
            self.applied(held.source, held.sequence, held.message_count, applied, now_ns);
        }
    }

    /// The first gap at or after `from`, or up to where nothing is missing.
    fn gap_after(&self, from: u64) -> Result<Gap, u64> {
        let mut gap = match self.window.gap_after(from) {
            Ok(gap) => gap,
            Err(end) if self.known_end > end => {
                Gap { first: end, end: self.known_end, noticed_ns: self.known_ns }
            }
            Err(end) => return Err(end),
        };
        if self.known_end > gap.first {
            gap.noticed_ns = gap.noticed_ns.min(self.known_ns);
        }
        gap.noticed_ns = gap.noticed_ns.max(self.loaded_ns);
        Ok(gap)
    }

    /// What the state's own condition and clock say.
    fn input(&self, now_ns: u64) -> Option<Input> {
        let since_entered_ns = now_ns.saturating_sub(self.entered_ns);
        match (self.state, self.policy.snapshot) {
            (State::Recovering(Recovery::Snapshot), Some(snapshot)) => {
                (since_entered_ns >= snapshot.deadline_ns.max(1)).then_some(Input::Over)
            }
            (State::Stale, Some(snapshot)) => snapshot
                .retry_after_ns
                .filter(|retry_after_ns| since_entered_ns >= (*retry_after_ns).max(1))
                .map(|_| Input::Retry),
            (State::Stale, None) => None,
            _ => Some(self.missing().map_or(Input::Whole, |gap| self.judge(&gap, now_ns))),
        }
    }

    fn judge(&self, gap: &Gap, now_ns: u64) -> Input {
        if self.is_wide(gap) {
            return Input::Wide;
        }
        if !self.has_waited(gap, now_ns) {
            return Input::Gap;
        }
        let Some(retransmit) = self.policy.retransmit else { return Input::Waited };
        let asked_ns = gap.noticed_ns.saturating_add(self.policy.reorder_wait_ns);
        let since_asked_ns = now_ns.saturating_sub(asked_ns.max(self.entered_ns));
        let is_in_time = since_asked_ns < retransmit.deadline_ns.max(1);
        let is_asked = self.state == State::Recovering(Recovery::Retransmit);
        if !is_asked || self.guards.pass(Guard::Deadline, is_in_time) {
            Input::Waited
        } else {
            Input::Overdue
        }
    }

    fn is_wide(&self, gap: &Gap) -> bool {
        let jump_messages = self.policy.doubt.jump_messages;
        let messages_max = self.policy.retransmit.map_or(jump_messages, |r| r.messages_max);
        gap.message_count() > messages_max
    }

    fn has_waited(&self, gap: &Gap, now_ns: u64) -> bool {
        now_ns.saturating_sub(gap.noticed_ns) >= self.policy.reorder_wait_ns.max(1)
    }

    /// Asks for every gap whose reorder time is over.
    fn ask(&mut self, now_ns: u64, sink: &mut impl Sink<S>) {
        let Some(session) = self.sessions.current() else { return };
        loop {
            let gap = match self.gap_after(self.ask_from.max(self.next)) {
                Ok(gap) => gap,
                Err(end) => {
                    self.ask_from = end;
                    return;
                }
            };
            self.ask_from = gap.first;
            if self.is_wide(&gap) || !self.has_waited(&gap, now_ns) {
                return;
            }
            self.declare(&gap);
            self.ask_from = gap.end;
            self.asked_end = self.asked_end.max(gap.end);
            self.counters.retransmit_requests += 1;
            sink.request_retransmit(session, gap.first..gap.end);
        }
    }

    /// Steps over a gap that nothing will fill. True where there was one that has had its time,
    /// and packets wait behind it; a line may still bring what comes before anything else.
    fn give_up(&mut self, now_ns: u64, sink: &mut impl Sink<S>) -> bool {
        let Some(gap) = self.missing() else { return false };
        if !self.has_waited(&gap, now_ns) && !self.is_wide(&gap) {
            return false;
        }
        self.declare(&gap);
        if gap.end > self.start {
            self.trust = Trust::Lost;
            self.tell_books(sink);
        }
        if self.window.is_empty() {
            return false;
        }
        self.counters.lost_messages = self
            .counters
            .lost_messages
            .saturating_add(gap.end.saturating_sub(gap.first.max(self.start)));
        self.next = gap.end;
        true
    }

    /// Counts a gap, once.
    fn declare(&mut self, gap: &Gap) {
        self.lines.missed(gap.first..gap.end);
        if gap.end > self.declared_end {
            self.counters.gaps += 1;
            self.counters.missing_messages = self
                .counters
                .missing_messages
                .saturating_add(gap.end - gap.first.max(self.declared_end));
            self.declared_end = gap.end;
        }
    }

    fn declare_until(&mut self, sequence: u64) {
        let mut from = self.next;
        while let Ok(gap) = self.gap_after(from)
            && gap.first < sequence
        {
            self.declare(&Gap { end: gap.end.min(sequence), ..gap });
            from = gap.end;
        }
    }

    /// Something is missing, and nothing repairs it. Where nothing ever could, a start in
    /// mid-session is not a loss: those books go on warming.
    fn lose_trust(&mut self, from: State) {
        let is_late_start = matches!(from, State::Idle | State::Gapped)
            && self.trust == Trust::Unfounded
            && !self.means.any()
            && self.missing().is_none_or(|gap| gap.end <= self.start);
        if !is_late_start {
            self.trust = Trust::Lost;
        }
    }

    fn begin_recovery(&mut self, step: &Step, sink: &mut impl Sink<S>) {
        match (step.asks, self.sessions.current()) {
            (Some(Recovery::Retransmit), _) => self.ask_from = self.next,
            (Some(Recovery::Snapshot), Some(session)) => {
                self.declare_until(u64::MAX);
                self.counters.snapshot_requests += 1;
                let sequence = self.missing().map_or(self.next, |gap| gap.end);
                sink.request_snapshot(session, sequence);
            }
            _ => {}
        }
    }

    fn tell_books(&mut self, sink: &mut impl Sink<S>) {
        let books = self.books();
        if self.books != Some(books) {
            self.books = Some(books);
            sink.books_are(books, self.next);
        }
    }

    fn count(&mut self, input: Input) {
        match input {
            Input::Overdue => self.counters.retransmit_failures += 1,
            Input::Over => self.counters.snapshot_failures += 1,
            _ => {}
        }
    }
}
