//! A plain appliance around a channel: its books are the list of the messages that were applied.
#![allow(dead_code, reason = "each test uses its own part of this")]

use std::ops::Range;
use wirebook_feed::{Applied, Channel, Packet, Policy, Sink, Source};
use wirebook_feed::{RetransmitPolicy, SnapshotPolicy};
use wirebook_model::BookState;

pub(crate) const A: Source = Source::Line(0);
pub(crate) const B: Source = Source::Line(1);
pub(crate) const SERVER: Source = Source::Retransmit;
pub(crate) const MS: u64 = 1_000_000;
pub(crate) const SESSION: u32 = 1;

/// A message that nobody can read.
pub(crate) const MALFORMED: u64 = u64::MAX;

/// What a channel asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Done {
    Books(BookState),
    Clear,
    Retransmit(u32, Range<u64>),
    Snapshot(u32, u64),
    EndRecovery,
}

/// Everything that a channel has done.
#[derive(Default)]
pub(crate) struct Log {
    /// The sequence that each applied message says it has.
    pub(crate) applied: Vec<u64>,
    pub(crate) done: Vec<Done>,
    pub(crate) leads: Vec<(u8, u8, u64)>,
    pub(crate) healed_ns: Vec<u64>,
    pub(crate) ts_recv: Vec<u64>,
}

impl Sink<u32> for Log {
    /// A message is eight bytes: the sequence that it is meant to have, or [`MALFORMED`].
    fn apply(&mut self, packet: &Packet<'_, u32>, skip: u16) -> Applied {
        let (messages, _) = packet.bytes.as_chunks::<8>();
        let announced = messages.iter().take(usize::from(packet.message_count));
        let new = announced.skip(usize::from(skip));
        let before = self.applied.len();
        let new = new.map(|message| u64::from_le_bytes(*message));
        self.applied.extend(new.take_while(|sequence| *sequence != MALFORMED));
        self.ts_recv.push(packet.ts_recv);
        Applied { messages: (self.applied.len() - before) as u16, held: messages.len() as u16 }
    }

    fn books_are(&mut self, state: BookState, _sequence: u64) {
        self.done.push(Done::Books(state));
    }

    fn clear_books(&mut self, _sequence: u64) {
        self.done.push(Done::Clear);
    }

    fn request_retransmit(&mut self, session: u32, messages: Range<u64>) {
        self.done.push(Done::Retransmit(session, messages));
    }

    fn request_snapshot(&mut self, session: u32, sequence: u64) {
        self.done.push(Done::Snapshot(session, sequence));
    }

    fn end_recovery(&mut self) {
        self.done.push(Done::EndRecovery);
    }

    fn line_led(&mut self, line: u8, behind: u8, lead_ns: u64) {
        self.leads.push((line, behind, lead_ns));
    }

    fn healed(&mut self, healing_ns: u64) {
        self.healed_ns.push(healing_ns);
    }
}

/// A channel, its books and a clock.
pub(crate) struct Bench {
    pub(crate) channel: Channel<u32>,
    pub(crate) log: Log,
    pub(crate) now_ns: u64,
}

/// Waits 1 ms for the other line, 10 ms for a retransmission, 100 ms for a snapshot.
pub(crate) fn policy() -> Policy {
    Policy {
        retransmit: Some(RetransmitPolicy { deadline_ns: 10 * MS, messages_max: 100_000 }),
        snapshot: Some(SnapshotPolicy { deadline_ns: 100 * MS, retry_after_ns: Some(1_000 * MS) }),
        ..Policy::default()
    }
}

impl Bench {
    pub(crate) fn new(policy: Policy) -> Self {
        Self { channel: Channel::new(policy), log: Log::default(), now_ns: 1_000 * MS }
    }

    /// Messages `range` of the session, in one packet.
    pub(crate) fn send(&mut self, source: Source, range: Range<u64>) -> &mut Self {
        self.send_in(SESSION, source, range)
    }

    pub(crate) fn send_in(&mut self, session: u32, source: Source, range: Range<u64>) -> &mut Self {
        let count = (range.end - range.start) as u16;
        self.send_short(session, source, range, count)
    }

    /// The same, with only `whole` messages in it.
    pub(crate) fn send_short(
        &mut self,
        session: u32,
        source: Source,
        range: Range<u64>,
        whole: u16,
    ) -> &mut Self {
        let bytes: Vec<u8> =
            range.clone().take(usize::from(whole)).flat_map(u64::to_le_bytes).collect();
        let message_count = (range.end - range.start) as u16;
        self.arrive(source, session, range.start, message_count, false, &bytes)
    }

    /// Messages `range`, of which `malformed` cannot be read.
    pub(crate) fn send_malformed(
        &mut self,
        source: Source,
        range: Range<u64>,
        malformed: u64,
    ) -> &mut Self {
        let said = |sequence| if sequence == malformed { MALFORMED } else { sequence };
        let bytes: Vec<u8> = range.clone().map(said).flat_map(u64::to_le_bytes).collect();
        let message_count = (range.end - range.start) as u16;
        self.arrive(source, SESSION, range.start, message_count, false, &bytes)
    }

    pub(crate) fn heartbeat(&mut self, source: Source, sequence: u64) -> &mut Self {
        self.arrive(source, SESSION, sequence, 0, false, &[])
    }

    pub(crate) fn end_of_session(&mut self, source: Source, sequence: u64) -> &mut Self {
        self.arrive(source, SESSION, sequence, 0, true, &[])
    }

    pub(crate) fn arrive(
        &mut self,
        source: Source,
        session: u32,
        sequence: u64,
        message_count: u16,
        ends_session: bool,
        bytes: &[u8],
    ) -> &mut Self {
        let ts_recv = self.now_ns;
        let packet = Packet { session, sequence, message_count, ends_session, ts_recv, bytes };
        self.channel.arrive(source, &packet, self.now_ns, &mut self.log);
        self
    }

    /// Lets time pass, a tick a tenth of a millisecond.
    pub(crate) fn wait(&mut self, wait_ns: u64) -> &mut Self {
        let until_ns = self.now_ns + wait_ns;
        while self.now_ns < until_ns {
            self.now_ns = until_ns.min(self.now_ns + MS / 10);
            self.channel.tick(self.now_ns, &mut self.log);
        }
        self
    }

    pub(crate) fn snapshot_begins(&mut self) -> bool {
        self.channel.snapshot_begins(SESSION, &mut self.log)
    }

    pub(crate) fn snapshot_ends(&mut self, sequence: u64) -> bool {
        self.channel.snapshot_ends(SESSION, sequence, self.now_ns, &mut self.log)
    }

    /// What the channel has done since this was last called.
    pub(crate) fn done(&mut self) -> Vec<Done> {
        std::mem::take(&mut self.log.done)
    }

    #[track_caller]
    pub(crate) fn assert_applied(&self, range: impl IntoIterator<Item = u64>) {
        assert_eq!(self.log.applied, range.into_iter().collect::<Vec<_>>());
    }
}
