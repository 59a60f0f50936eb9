//! What arrives at a channel, and what leaves it.
//!
//! Arrives: a [`Packet`] and its [`Source`]. Leaves: calls of a [`Sink`], in the order in which
//! they are to be done. Packet bytes are never copied on the way in order; those of a packet that
//! had to wait come out of the reorder window, byte for byte as they arrived.

use std::ops::Range;
use wirebook_model::{BookState, UnixNanos};

/// One packet of a channel: what its transport header says, and its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<'a, S> {
    /// The session that numbers the messages.
    pub session: S,
    /// The first message's sequence; in a packet without messages, the next that will be sent.
    pub sequence: u64,
    /// How many messages the packet says it holds; 0 in a heartbeat and at the end of a session.
    /// Of a packet ahead of [`Channel::next_sequence`](crate::Channel::next_sequence) this must be
    /// how many it does hold: it may have to wait, and must not hide another line's whole copy.
    pub message_count: u16,
    /// Nothing will follow `sequence` in this session.
    pub ends_session: bool,
    /// When the packet was received; handed back as it is.
    pub ts_recv: UnixNanos,
    /// Whatever the caller needs to find the messages again, at best the payload; handed back as
    /// it is.
    pub bytes: &'a [u8],
}

impl<S> Packet<'_, S> {
    /// The sequence after the packet's last message.
    #[inline]
    pub fn end(&self) -> u64 {
        self.sequence.saturating_add(u64::from(self.message_count))
    }
}

/// Who brought a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// A line of the channel: A is 0, B is 1.
    Line(u8),
    /// A retransmit server, in answer to a request.
    Retransmit,
}

/// What became of a packet's messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Applied {
    /// How many were applied, one after the other, from `skip` on; those before a malformed one.
    pub messages: u16,
    /// How many the packet holds, whatever it announces; those before `skip` included.
    pub held: u16,
}

/// Does what a channel decides. Every call is about the channel's one stream of messages.
pub trait Sink<S> {
    /// Applies the messages of `packet`, from the one with index `skip` on. What the packet holds
    /// and is not applied is missing from then on, and recovered like any gap. What it announces
    /// and does not hold is not believed to exist.
    ///
    /// `packet.bytes` is the slice that arrived, at the same address, unless the packet had to
    /// wait.
    fn apply(&mut self, packet: &Packet<'_, S>, skip: u16) -> Applied;

    /// Tells the channel's books their state. `sequence` is the next message to be applied.
    fn books_are(&mut self, state: BookState, sequence: u64);

    /// Empties the channel's books: a new session, or a snapshot, begins.
    fn clear_books(&mut self, sequence: u64);

    /// Asks for these messages to be sent again. They may come back by
    /// [`Channel::arrive`](crate::Channel::arrive) from [`Source::Retransmit`], or as
    /// [`Channel::retransmit_failed`](crate::Channel::retransmit_failed). The range may
    /// overlap one asked for before.
    fn request_retransmit(&mut self, session: S, messages: Range<u64>);

    /// Asks for a snapshot that holds every message before `sequence`, or more.
    fn request_snapshot(&mut self, session: S, sequence: u64);

    /// What was asked for is no longer needed.
    fn end_recovery(&mut self);

    /// A line's copy of a packet came `lead_ns` before that of the line `behind`.
    fn line_led(&mut self, line: u8, behind: u8, lead_ns: u64) {
        let _ = (line, behind, lead_ns);
    }

    /// The channel is live again, `healing_ns` after the first packet behind a gap.
    fn healed(&mut self, healing_ns: u64) {
        let _ = healing_ns;
    }
}
