//! Asks retransmit servers for lost messages, for the thread that owns the sockets.
//!
//! Arrives: ranges that a channel wants ([`Retransmitter::want`]), the servers' answers, and the
//! time. Leaves: what to send to which server, and which ranges nobody brings
//! ([`Retransmitter::poll`]). One retransmitter serves one channel.
//!
//! Promises: no request exceeds the servers' limit or the rate; a server that does not answer in
//! time or answers with nothing rests while the next one is asked, the longer the more often; each
//! range is brought or given up by its deadline; an answer that nobody asked for is not passed on.
//! Nothing is allocated after construction. Counts in [`RetransmitterCounters`].
//!
//! MoldUDP64 1.00, "Request Packet": the answer is one downstream packet, so it may hold fewer
//! messages than were asked for. That is progress, and the rest is asked of the same server again.

mod servers;

use crate::bucket::Bucket;
use servers::Servers;
use std::ops::Range;

/// What a venue's retransmit servers allow, and how patient we are with them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetransmitterPolicy {
    /// How many servers there are; they are named by index.
    pub servers: usize,
    /// The most messages that one request may ask for.
    pub request_messages_max: u16,
    /// How many requests may be unanswered at a time.
    pub requests_max: usize,
    /// How many ranges may wait.
    pub ranges_max: usize,
    /// How long a server may take to answer.
    pub answer_wait_ns: u64,
    /// How long the rest of a short answer may take to come by itself; 0 where a server answers a
    /// request with one packet.
    pub rest_wait_ns: u64,
    /// The longest that a server which failed rests. At first it rests for as long as it may take to
    /// answer; each further failure in a row doubles that.
    pub back_off_ns: u64,
    /// How long after it was wanted a range is given up.
    pub deadline_ns: u64,
    /// Requests a second.
    pub requests_per_second: u32,
    /// Requests at once.
    pub request_burst: u32,
}

impl Default for RetransmitterPolicy {
    fn default() -> Self {
        Self {
            servers: 1,
            request_messages_max: 1_000,
            requests_max: 8,
            ranges_max: 1_024,
            answer_wait_ns: 20_000_000,
            rest_wait_ns: 0,
            back_off_ns: 500_000_000,
            deadline_ns: 1_000_000_000,
            requests_per_second: 1_000,
            request_burst: 32,
        }
    }
}

/// What is to be done next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task<S> {
    /// Send this request.
    Send {
        /// The index of the server.
        server: usize,
        /// The session of the messages.
        session: S,
        /// The first message.
        first: u64,
        /// How many messages.
        message_count: u16,
    },
    /// Tell the channel that these messages will not come.
    GiveUp {
        /// The session of the messages.
        session: S,
        /// The first message.
        first: u64,
        /// The message after the last.
        end: u64,
    },
}

/// What a retransmitter has counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RetransmitterCounters {
    /// Requests sent, repeated ones included.
    pub requests: u64,
    /// Answers that brought what was asked for.
    pub answers: u64,
    /// Of these, answers with fewer messages than asked for.
    pub short_answers: u64,
    /// Answers without messages.
    pub empty_answers: u64,
    /// Answers of another session or with messages that were not asked for; not passed on.
    pub unasked_answers: u64,
    /// Requests that were not answered in time.
    pub timeouts: u64,
    /// Ranges given up.
    pub given_up: u64,
    /// Ranges for which there was no room.
    pub overflows: u64,
}

/// Messages that are wanted and not asked for yet.
#[derive(Clone, Copy, Debug)]
struct Wanted {
    first: u64,
    end: u64,
    wanted_ns: u64,
}

/// A part of a range that fits one request.
#[derive(Clone, Copy, Debug)]
struct Asked {
    first: u64,
    end: u64,
    wanted_ns: u64,
    request: Request,
}

#[derive(Clone, Copy, Debug)]
enum Request {
    /// To be sent, to this server if it is not resting.
    Due { server: usize },
    /// Sent at this time to this server.
    Sent { server: usize, sent_ns: u64 },
    /// Part of it has been answered, the last at this time.
    Short { server: usize, answered_ns: u64 },
}

/// The requests of one channel.
#[derive(Clone, Debug)]
pub struct Retransmitter<S> {
    policy: RetransmitterPolicy,
    session: Option<S>,
    wanted: Vec<Wanted>,
    asked: Vec<Asked>,
    servers: Servers,
    bucket: Bucket,
    counters: RetransmitterCounters,
}

impl<S: Copy + Eq> Retransmitter<S> {
    /// A retransmitter of which nothing is wanted.
    pub fn new(policy: RetransmitterPolicy) -> Self {
        Self {
            policy,
            session: None,
            wanted: Vec::with_capacity(policy.ranges_max),
            asked: Vec::with_capacity(policy.requests_max),
            servers: Servers::new(policy.servers, policy.answer_wait_ns, policy.back_off_ns),
            bucket: Bucket::new(policy.requests_per_second, policy.request_burst),
            counters: RetransmitterCounters::default(),
        }
    }

    /// Wants messages. What is wanted of another session is dropped, what is wanted already is
    /// not wanted twice. False where there is no room: the messages will not come.
    pub fn want(&mut self, session: S, messages: Range<u64>, now_ns: u64) -> bool {
        if self.session != Some(session) {
            self.cancel();
            self.session = Some(session);
        }
        let mut first = messages.start;
        while first < messages.end {
            let Some((known, known_end)) = self.known_from(first) else { break };
            let end = known.min(messages.end);
            if first < end && !self.push(Wanted { first, end, wanted_ns: now_ns }) {
                return false;
            }
            first = known_end;
        }
        let end = messages.end;
        first >= end || self.push(Wanted { first, end, wanted_ns: now_ns })
    }

    /// Nothing is wanted any more.
    pub fn cancel(&mut self) {
        self.wanted.clear();
        self.asked.clear();
    }

    /// True where nothing is wanted.
    pub fn is_idle(&self) -> bool {
        self.wanted.is_empty() && self.asked.is_empty()
    }

    /// What is to be done now; to be called until it is `None`, at each answer and now and then.
    pub fn poll(&mut self, now_ns: u64) -> Option<Task<S>> {
        let session = self.session?;
        self.time_out(now_ns);
        if let Some(Range { start: first, end }) = self.give_up(now_ns) {
            self.counters.given_up += 1;
            return Some(Task::GiveUp { session, first, end });
        }
        self.cut();
        let is_due = |asked: &Asked| matches!(asked.request, Request::Due { .. });
        let asked = self.asked.iter_mut().find(|asked| is_due(asked))?;
        let Request::Due { server } = asked.request else { return None };
        let server = self.servers.awake_from(server, now_ns)?;
        if !self.bucket.take(now_ns) {
            return None;
        }
        asked.request = Request::Sent { server, sent_ns: now_ns };
        self.counters.requests += 1;
        let message_count = (asked.end - asked.first) as u16;
        Some(Task::Send { server, session, first: asked.first, message_count })
    }

    /// Takes an answer of `server`: `message_count` whole messages from `first` on, none of which
    /// may be missing in its packet. True: it is to be passed on to the channel.
    pub fn answer(
        &mut self,
        server: usize,
        session: S,
        first: u64,
        message_count: u16,
        now_ns: u64,
    ) -> bool {
        if self.session != Some(session) {
            self.counters.unasked_answers += 1;
            return false;
        }
        if message_count == 0 {
            self.answer_nothing(server, now_ns);
            return false;
        }
        let end = first.saturating_add(u64::from(message_count));
        let (mut brings, mut is_short) = (false, false);
        for asked in &mut self.asked {
            brings |= asked.bring(server, first, end, now_ns, &mut is_short);
        }
        self.counters.short_answers += u64::from(is_short);
        self.asked.retain(|asked| asked.first < asked.end);
        if brings {
            self.servers.did_well(server);
            self.counters.answers += 1;
        } else {
            self.counters.unasked_answers += 1;
        }
        brings
    }

    /// What has been counted so far.
    pub fn counters(&self) -> RetransmitterCounters {
        self.counters
    }

    /// The first range at or after `first` that is wanted or asked for already.
    fn known_from(&self, first: u64) -> Option<(u64, u64)> {
        let wanted = self.wanted.iter().map(|wanted| (wanted.first, wanted.end));
        let asked = self.asked.iter().map(|asked| (asked.first, asked.end));
        wanted.chain(asked).filter(|(_, end)| *end > first).min()
    }

    /// A gap that grows is wanted bit by bit, and is one range all the same. The whole keeps the
    /// deadline of its oldest part, so it takes no part that is much younger.
    fn push(&mut self, wanted: Wanted) -> bool {
        let young_ns = self.policy.deadline_ns / 8;
        let grows = |range: &&mut Wanted| {
            range.end == wanted.first
                && wanted.wanted_ns.saturating_sub(range.wanted_ns) <= young_ns
        };
        if let Some(range) = self.wanted.iter_mut().find(grows) {
            range.end = wanted.end;
            return true;
        }
        let has_room = self.wanted.len() < self.policy.ranges_max;
        if has_room {
            self.wanted.push(wanted);
        } else {
            self.counters.overflows += 1;
        }
        has_room
    }

    /// A server that answers with nothing will not do better for its other requests.
    fn answer_nothing(&mut self, server: usize, now_ns: u64) {
        self.counters.empty_answers += 1;
        let mut was_asked = false;
        for asked in &mut self.asked {
            if asked.request.is_of(server) {
                asked.request = Request::Due { server };
                was_asked = true;
            }
        }
        if was_asked {
            self.servers.failed(server, now_ns);
        } else {
            self.counters.unasked_answers += 1;
        }
    }

    fn time_out(&mut self, now_ns: u64) {
        for asked in &mut self.asked {
            match asked.request {
                Request::Sent { server, sent_ns }
                    if now_ns.saturating_sub(sent_ns) >= self.policy.answer_wait_ns.max(1) =>
                {
                    self.counters.timeouts += 1;
                    self.servers.failed(server, now_ns);
                    asked.request = Request::Due { server };
                }
                Request::Short { server, answered_ns }
                    if now_ns.saturating_sub(answered_ns) >= self.policy.rest_wait_ns =>
                {
                    asked.request = Request::Due { server };
                }
                _ => {}
            }
        }
    }

    /// Takes a range whose deadline is over.
    fn give_up(&mut self, now_ns: u64) -> Option<Range<u64>> {
        let deadline_ns = self.policy.deadline_ns.max(1);
        let is_over = |wanted_ns: u64| now_ns.saturating_sub(wanted_ns) >= deadline_ns;
        if let Some(position) = self.asked.iter().position(|asked| is_over(asked.wanted_ns)) {
            let asked = self.asked.remove(position);
            return Some(asked.first..asked.end);
        }
        let position = self.wanted.iter().position(|wanted| is_over(wanted.wanted_ns))?;
        let wanted = self.wanted.remove(position);
        Some(wanted.first..wanted.end)
    }

    /// Cuts requests from what is wanted, the lowest sequence first: it holds up the channel.
    fn cut(&mut self) {
        while self.asked.len() < self.policy.requests_max {
            let Some(wanted) = self.wanted.iter_mut().min_by_key(|wanted| wanted.first) else {
                return;
            };
            let end = wanted.end.min(
                wanted.first.saturating_add(u64::from(self.policy.request_messages_max.max(1))),
            );
            let request = Request::Due { server: self.servers.best() };
            let Wanted { first, wanted_ns, .. } = *wanted;
            self.asked.push(Asked { first, end, wanted_ns, request });
            wanted.first = end;
            self.wanted.retain(|wanted| wanted.first < wanted.end);
        }
    }
}

impl Asked {
    /// Takes the part of an answer that this request asked for, if any.
    fn bring(
        &mut self,
        server: usize,
        first: u64,
        end: u64,
        now_ns: u64,
        is_short: &mut bool,
    ) -> bool {
        if end <= self.first || first >= self.end {
            return false;
        }
        let before = (self.first, self.end);
        if first <= self.first {
            self.first = end.min(self.end);
        } else if end >= self.end {
            self.end = first;
        }
        if self.first < self.end && (self.first, self.end) != before {
            *is_short = true;
            self.request = Request::Short { server, answered_ns: now_ns };
        }
        true
    }
}

impl Request {
    fn is_of(self, server: usize) -> bool {
        match self {
            Self::Due { .. } => false,
            Self::Sent { server: of, .. } | Self::Short { server: of, .. } => of == server,
        }
    }
}

#[cfg(test)]
mod tests;
