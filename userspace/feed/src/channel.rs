//! A channel: one independently numbered stream of messages.
//!
//! ```text
//!            first sequence 1                    sequence skipped
//!  (nothing) ────────────────▶ Live ───────────────────────────────▶ Stale
//!      │                        ▲                                      │
//!      │ first sequence > 1     │ new session, first sequence 1        │
//!      └──────────▶ Warming ────┴──────────────────────────────────────┘
//! ```
//!
//! Without a repair a gap is for good: only a new session makes a stale channel live again. The
//! message numbering is MoldUDP64's (version 1.00, "Sequence Number") and IEX-TP's (version 1.25,
//! "First Message Sequence Number"): both start at 1 and a packet names its first message.

use wirebook_model::BookState;

/// What a packet's transport header says, as far as order matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival<S> {
    /// The session that numbers the messages.
    pub session: S,
    /// The first message's sequence; in a heartbeat, the next that will be sent.
    pub sequence: u64,
    /// How many messages the packet holds; 0 in a heartbeat.
    pub message_count: u16,
}

/// What to do with an arrived packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The books must be emptied first: the venue began a new session.
    pub clear: bool,
    /// The books must be told this first: the channel's state changed.
    pub state: Option<BookState>,
    /// How many of the packet's messages, from its first, are already applied.
    pub skip: u16,
}

/// What a channel has counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ChannelCounters {
    /// Packets all of whose messages had been applied before.
    pub duplicates: u64,
    /// Times that sequences were skipped.
    pub gaps: u64,
    /// Messages in those gaps.
    pub missing_messages: u64,
    /// Times that the session changed.
    pub session_changes: u64,
    /// Packets of the session before the current one.
    pub old_session_packets: u64,
}

/// The state of one channel.
#[derive(Clone, Debug)]
pub struct Channel<S> {
    sessions: Sessions<S>,
    /// The next sequence to apply.
    next: u64,
    state: BookState,
    counters: ChannelCounters,
}

#[derive(Clone, Copy, Debug)]
enum Sessions<S> {
    None,
    Current(S),
    Changed { current: S, previous: S },
}

impl<S: Copy + Eq> Channel<S> {
    /// A channel of which nothing has arrived.
    pub fn new() -> Self {
        Self {
            sessions: Sessions::None,
            next: 1,
            state: BookState::Warming,
            counters: ChannelCounters::default(),
        }
    }

    /// Judges a packet. `None`: nothing in it is new.
    ///
    /// After applying the packet's messages one by one the caller reports them with
    /// [`Channel::applied`]; a packet that ends early simply applies fewer, and what it should
    /// have brought is missing when the next packet comes.
    pub fn arrive(&mut self, arrival: &Arrival<S>) -> Option<Verdict> {
        let session = match self.sessions {
            Sessions::Current(current) | Sessions::Changed { current, .. }
                if current == arrival.session =>
            {
                SessionIs::Same
            }
            Sessions::Changed { previous, .. } if previous == arrival.session => SessionIs::Old,
            Sessions::None => SessionIs::First,
            Sessions::Current(_) | Sessions::Changed { .. } => SessionIs::New,
        };
        match session {
            SessionIs::Old => {
                self.counters.old_session_packets += 1;
                None
            }
            SessionIs::Same => self.arrive_in_session(arrival),
            SessionIs::First => Some(self.begin_session(arrival, false)),
            SessionIs::New => {
                self.counters.session_changes += 1;
                Some(self.begin_session(arrival, true))
            }
        }
    }

    /// Tells the channel that the next `message_count` messages have been applied.
    pub fn applied(&mut self, message_count: u16) {
        self.next = self.next.saturating_add(u64::from(message_count));
    }

    /// The next sequence to apply.
    pub fn next_sequence(&self) -> u64 {
        self.next
    }

    /// What the channel's books are told.
    pub fn state(&self) -> BookState {
        self.state
    }

    /// What has been counted so far.
    pub fn counters(&self) -> ChannelCounters {
        self.counters
    }

    fn begin_session(&mut self, arrival: &Arrival<S>, clear: bool) -> Verdict {
        self.sessions = match self.sessions {
            Sessions::None => Sessions::Current(arrival.session),
            Sessions::Current(previous) | Sessions::Changed { current: previous, .. } => {
                Sessions::Changed { current: arrival.session, previous }
            }
        };
        self.next = arrival.sequence.max(1);
        self.state = if self.next == 1 { BookState::Live } else { BookState::Warming };
        Verdict { clear, state: Some(self.state), skip: 0 }
    }

    fn arrive_in_session(&mut self, arrival: &Arrival<S>) -> Option<Verdict> {
        let end = arrival.sequence.saturating_add(u64::from(arrival.message_count));
        if arrival.sequence > self.next {
            return Some(self.gap(arrival.sequence));
        }
        if end <= self.next {
            if arrival.message_count > 0 {
                self.counters.duplicates += 1;
            }
            return None;
        }
        let skip = (self.next - arrival.sequence) as u16;
        Some(Verdict { clear: false, state: None, skip })
    }

    fn gap(&mut self, sequence: u64) -> Verdict {
        self.counters.gaps += 1;
        self.counters.missing_messages += sequence - self.next;
        self.next = sequence;
        let changed = self.state != BookState::Stale;
        self.state = BookState::Stale;
        Verdict { clear: false, state: changed.then_some(BookState::Stale), skip: 0 }
    }
}

impl<S: Copy + Eq> Default for Channel<S> {
    fn default() -> Self {
        Self::new()
    }
}

enum SessionIs {
    First,
    Same,
    New,
    Old,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(sequence: u64, message_count: u16) -> Arrival<u8> {
        Arrival { session: 1, sequence, message_count }
    }

    fn apply(channel: &mut Channel<u8>, arrival: Arrival<u8>) -> Option<Verdict> {
        let verdict = channel.arrive(&arrival);
        if let Some(verdict) = verdict {
            channel.applied(arrival.message_count - verdict.skip);
        }
        verdict
    }

    #[test]
    fn a_session_from_its_start_is_live() {
        let mut channel = Channel::new();
        let first = apply(&mut channel, packet(1, 3));
        assert_eq!(first, Some(Verdict { clear: false, state: Some(BookState::Live), skip: 0 }));
        let second = apply(&mut channel, packet(4, 1));
        assert_eq!(second, Some(Verdict { clear: false, state: None, skip: 0 }));
        assert_eq!(channel.next_sequence(), 5);
        assert_eq!(channel.counters(), ChannelCounters::default());
    }

    #[test]
    fn a_late_start_is_warming_and_no_gap() {
        let mut channel = Channel::new();
        let verdict = apply(&mut channel, packet(100, 1));
        assert_eq!(verdict.unwrap().state, Some(BookState::Warming));
        assert_eq!(channel.counters().gaps, 0);
    }

    #[test]
    fn the_second_copy_is_a_duplicate() {
        let mut channel = Channel::new();
        apply(&mut channel, packet(1, 3));
        assert_eq!(apply(&mut channel, packet(1, 3)), None);
        assert_eq!(channel.counters().duplicates, 1);
    }

    #[test]
    fn a_partly_old_packet_is_cut_at_the_right_message() {
        let mut channel = Channel::new();
        apply(&mut channel, packet(1, 3));
        assert_eq!(apply(&mut channel, packet(2, 5)).unwrap().skip, 2);
        assert_eq!(channel.next_sequence(), 7);
        assert_eq!(channel.counters().duplicates, 0);
    }

    #[test]
    fn a_skipped_sequence_makes_the_books_stale_once() {
        let mut channel = Channel::new();
        apply(&mut channel, packet(1, 1));
        assert_eq!(apply(&mut channel, packet(5, 1)).unwrap().state, Some(BookState::Stale));
        assert_eq!(apply(&mut channel, packet(9, 1)).unwrap().state, None);
        let counters = channel.counters();
        assert_eq!((counters.gaps, counters.missing_messages), (2, 6));
        assert_eq!(channel.state(), BookState::Stale);
    }

    #[test]
    fn a_heartbeat_shows_what_was_lost_before_it() {
        let mut channel = Channel::new();
        apply(&mut channel, packet(1, 1));
        assert_eq!(apply(&mut channel, packet(2, 0)), None);
        assert_eq!(apply(&mut channel, packet(4, 0)).unwrap().state, Some(BookState::Stale));
        assert_eq!(channel.counters().missing_messages, 2);
    }

    #[test]
    fn a_packet_that_ended_early_leaves_a_gap() {
        let mut channel = Channel::new();
        channel.arrive(&packet(1, 10)).unwrap();
        channel.applied(4);
        apply(&mut channel, packet(11, 1)).unwrap();
        assert_eq!(channel.counters().missing_messages, 6);
    }

    #[test]
    fn a_new_session_clears_and_the_old_one_is_ignored() {
        let mut channel = Channel::new();
        apply(&mut channel, packet(1, 10));
        apply(&mut channel, packet(20, 1));
        let next_day = Arrival { session: 2, sequence: 1, message_count: 1 };
        let verdict = apply(&mut channel, next_day).unwrap();
        assert_eq!(verdict, Verdict { clear: true, state: Some(BookState::Live), skip: 0 });
        assert_eq!(apply(&mut channel, packet(21, 1)), None);
        assert_eq!(channel.counters().old_session_packets, 1);
        assert_eq!(channel.counters().session_changes, 1);
    }

    #[test]
    fn sequences_at_the_top_of_their_range_do_not_overflow() {
        let mut channel = Channel::new();
        apply(&mut channel, packet(1, 1));
        apply(&mut channel, packet(u64::MAX, u16::MAX)).unwrap();
        assert_eq!(apply(&mut channel, packet(u64::MAX, u16::MAX)), None);
        assert_eq!(channel.next_sequence(), u64::MAX);
    }
}
