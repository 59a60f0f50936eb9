//! Which session a channel follows.
//!
//! Arrives: the session of each packet. Leaves: whether the packet belongs to the session that is
//! followed. Promises: the first session is followed at once; after that a packet of another one
//! is strange until [`Doubt`](crate::doubt::Doubt) has been overcome, and stragglers of the
//! session before are told apart from it.

use crate::packet::Packet;

/// The sessions of a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Sessions<S> {
    current: Option<S>,
    previous: Option<Passed<S>>,
    has_ended: bool,
    /// When the current session's last packet came.
    last_ns: u64,
}

/// A session that is no longer followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Passed<S> {
    session: S,
    /// The next message when it was left.
    next: u64,
}

/// What a packet's session is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SessionIs {
    Current,
    /// None is followed yet, or the one that was has ended.
    Next,
    /// The one before the current one.
    Passed,
    Strange,
}

impl<S: Copy + Eq> Sessions<S> {
    pub(crate) fn new() -> Self {
        Self { current: None, previous: None, has_ended: false, last_ns: 0 }
    }

    pub(crate) fn current(&self) -> Option<S> {
        self.current
    }

    #[inline]
    pub(crate) fn is_current(&self, session: S) -> bool {
        self.current == Some(session)
    }

    /// Whose packet this is. A session is silent after `silence_ns` without a packet.
    #[inline]
    pub(crate) fn judge(&self, packet: &Packet<'_, S>, now_ns: u64, silence_ns: u64) -> SessionIs {
        if self.is_current(packet.session) {
            return SessionIs::Current;
        }
        // A session that was left by mistake comes back with messages that it had not brought
        // yet, while the one it was left for says nothing.
        if let Some(previous) = self.previous
            && previous.session == packet.session
            && (packet.end() <= previous.next || now_ns.saturating_sub(self.last_ns) < silence_ns)
        {
            return SessionIs::Passed;
        }
        if self.current.is_none() || self.has_ended { SessionIs::Next } else { SessionIs::Strange }
    }

    /// A packet of the current session has come.
    #[inline]
    pub(crate) fn heard(&mut self, now_ns: u64) {
        self.last_ns = now_ns;
    }

    /// The current session is over, or goes on after all.
    #[inline]
    pub(crate) fn set_ended(&mut self, has_ended: bool) {
        self.has_ended = has_ended;
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// When the current session's last packet came.
    #[inline]
    pub(crate) fn last_ns(&self) -> u64 {
        self.last_ns
    }

    /// Follows `session`; `next` is where the current one is left. True where there was one.
    pub(crate) fn follow(&mut self, session: S, next: u64, now_ns: u64) -> bool {
        let left = self.current.replace(session);
        self.previous = left.map(|session| Passed { session, next });
        self.has_ended = false;
        self.last_ns = now_ns;
        left.is_some()
    }
}
