//! From a worker to its shards.
//!
//! Arrives: the events of one packet after the other. Leaves: each event in the mailbox of the
//! shard that owns its instrument, behind a `Packet` event in every mailbox that this packet
//! reaches. An instrument belongs to shard *id modulo shards*, so no table is shared and a replay
//! on another number of shards gives each book the same events.
//!
//! Where intervals are asked for, each mailbox learns when one of a channel's own time is over: the
//! first event that is not before its end comes after an `EndOfInterval`. So each instrument has the
//! same intervals between the same events, whatever the number of shards. What is about the whole
//! market reaches every shard then, for its machines; without them it is one record, on the first.
//!
//! Promises: nothing is dropped. Where a mailbox is full the worker waits for its shard, and the
//! mailbox counts the backpressure.

use crate::cycles::Found;
use crate::intervals::Intervals;
use std::time::Duration;
use wirebook_model::{
    ALL_INSTRUMENTS, Event, EventHeader, EventSink, PackedEvent, Packet, VenueEvent,
};

/// Takes one shard's events: its ring, or the shard itself where both share a thread.
pub trait Mailbox {
    /// Takes an event, waiting for room where there is none.
    fn deliver(&mut self, event: &Event);

    /// The same for an event in words, which a ring takes as they are.
    #[inline]
    fn deliver_packed(&mut self, event: &PackedEvent) {
        self.deliver(&event.into());
    }

    /// Ends a cycle of the worker, in which it found something or nothing: the time to say that there is
    /// no more, or for what a shard does that shares the worker's thread.
    fn end_cycle(&mut self, _found: Found) {}

    /// The longest that the worker may sleep.
    fn patience(&self) -> Duration {
        Duration::MAX
    }

    /// Times that the worker had to wait for the shard.
    fn backpressure(&self) -> u64 {
        0
    }

    /// Events that a dead shard did not take.
    fn undelivered(&self) -> u64 {
        0
    }
}

/// Routes events to the mailboxes of all shards.
#[derive(Debug)]
pub struct Router<M> {
    mailboxes: Vec<Addressed<M>>,
    packet: Event,
    intervals: Option<Intervals>,
}

#[derive(Debug)]
struct Addressed<M> {
    mailbox: M,
    has_packet: bool,
}

impl<M: Mailbox> Router<M> {
    /// A router over one mailbox a shard, at least one.
    pub fn new(mailboxes: Vec<M>) -> Self {
        assert!(!mailboxes.is_empty(), "a router needs a shard to route to");
        let addressed = |mailbox| Addressed { mailbox, has_packet: false };
        Self {
            mailboxes: mailboxes.into_iter().map(addressed).collect(),
            packet: packet_event(0, 0, Packet::default()),
            intervals: None,
        }
    }

    /// Ends an interval of each channel's time every `interval_ns` from now on.
    pub fn with_intervals(mut self, interval_ns: u64) -> Self {
        self.intervals = Some(Intervals::new(interval_ns));
        self
    }

    /// Begins a packet of `channel` whose first message is `sequence`.
    #[inline]
    pub fn begin_packet(&mut self, channel: u8, sequence: u64, packet: Packet) {
        self.packet = packet_event(channel, sequence, packet);
        for addressed in &mut self.mailboxes {
            addressed.has_packet = false;
        }
    }

    /// Ends a cycle of the worker.
    #[inline]
    pub fn end_cycle(&mut self, found: Found) {
        for addressed in &mut self.mailboxes {
            addressed.mailbox.end_cycle(found);
        }
    }

    /// The mailboxes, in the order of their shards.
    pub fn mailboxes(&self) -> impl Iterator<Item = &M> {
        self.mailboxes.iter().map(|addressed| &addressed.mailbox)
    }

    /// Ends the router; the mailboxes are in the order of their shards.
    pub fn into_mailboxes(self) -> impl Iterator<Item = M> {
        self.mailboxes.into_iter().map(|addressed| addressed.mailbox)
    }

    fn broadcast(&mut self, event: &Event) {
        for shard in 0..self.mailboxes.len() {
            self.deliver(shard, event);
        }
    }

    fn deliver(&mut self, shard: usize, event: &Event) {
        self.mailbox(shard).deliver(event);
    }

    /// The mailbox of a shard, which knows of the packet.
    #[inline]
    fn mailbox(&mut self, shard: usize) -> &mut M {
        let addressed = &mut self.mailboxes[shard];
        if !addressed.has_packet {
            addressed.has_packet = true;
            addressed.mailbox.deliver(&self.packet);
        }
        &mut addressed.mailbox
    }
}

impl<M: Mailbox> EventSink for Router<M> {
    #[inline]
    fn event(&mut self, event: &Event) {
        if let Some(intervals) = &mut self.intervals
            && let Some(ended) = intervals.ended_before(event)
        {
            self.broadcast(&ended);
        }
        let id = event.header.instrument_id;
        if id != ALL_INSTRUMENTS {
            let shard = id as usize % self.mailboxes.len();
            self.deliver(shard, event);
        } else if self.intervals.is_some()
            || matches!(event.body, VenueEvent::State(_) | VenueEvent::Clear)
        {
            self.broadcast(event);
        } else {
            self.deliver(0, event);
        }
    }

    /// It is about an order, so it has an instrument.
    #[inline]
    fn packed(&mut self, event: &PackedEvent) {
        if let Some(intervals) = &mut self.intervals
            && let Some(ended) = intervals.ended_at(&event.header())
        {
            self.broadcast(&ended);
        }
        let shard = event.instrument_id() as usize % self.mailboxes.len();
        self.mailbox(shard).deliver_packed(event);
    }
}

fn packet_event(channel: u8, sequence: u64, packet: Packet) -> Event {
    let header = EventHeader {
        channel,
        flags: 0,
        instrument_id: ALL_INSTRUMENTS,
        sequence,
        ts_event: packet.ts_sent,
    };
    Event { header, body: VenueEvent::Packet(packet) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wirebook_model::{BookState, PackedHead, PackedOrder};

    impl Mailbox for Vec<Event> {
        fn deliver(&mut self, event: &Event) {
            self.push(*event);
        }
    }

    fn event(instrument_id: u32, body: VenueEvent) -> Event {
        let header = EventHeader { channel: 3, flags: 0, instrument_id, sequence: 9, ts_event: 5 };
        Event { header, body }
    }

    fn route(events: &[Event], shards: usize) -> Vec<Vec<Event>> {
        let mut router = Router::new(vec![Vec::new(); shards]);
        router.begin_packet(3, 9, Packet { ts_recv: 7, ts_sent: 6, ts_worker: 8 });
        for event in events {
            router.event(event);
        }
        router.into_mailboxes().collect()
    }

    #[test]
    fn an_instrument_has_one_shard_and_its_packet_comes_first() {
        let delete = event(5, VenueEvent::Delete { order_id: 1 });
        let mailboxes = route(&[delete, delete], 4);
        assert_eq!(mailboxes[1].len(), 3);
        assert!(matches!(mailboxes[1][0].body, VenueEvent::Packet(p) if p.ts_recv == 7));
        assert_eq!(mailboxes[1][1..], [delete, delete]);
        assert!(mailboxes[0].is_empty() && mailboxes[2].is_empty() && mailboxes[3].is_empty());
    }

    #[test]
    fn a_packed_event_goes_where_its_event_goes() {
        let mut both = [(); 2].map(|()| Router::new(vec![Vec::new(); 3]).with_intervals(10));
        for router in &mut both {
            router.begin_packet(3, 9, Packet::default());
        }
        for (instrument_id, ts_event) in [(1, 5), (5, 9), (2, 12), (4, 40), (3, 41)] {
            let delete = event(instrument_id, VenueEvent::Delete { order_id: 7 });
            let header = EventHeader { ts_event, ..delete.header };
            let order = PackedOrder { order_id: 7, price: 0, size: 0, other_id: 0 };
            both[0].event(&Event { header, ..delete });
            both[1].packed(&PackedEvent::new(PackedHead::delete(), &header, &order));
        }
        let [events, packed] = both.map(|router| router.into_mailboxes().collect::<Vec<_>>());
        assert_eq!(packed, events);
        assert_eq!(events.iter().map(Vec::len).sum::<usize>(), 3 + 5 + 2 * 3);
    }

    #[test]
    fn a_channels_state_reaches_every_shard() {
        let stale = event(ALL_INSTRUMENTS, VenueEvent::State(BookState::Stale));
        for mailbox in route(&[stale], 3) {
            assert_eq!(mailbox[1..], [stale]);
        }
    }

    #[test]
    fn every_shard_learns_of_an_interval_before_what_comes_after_it() {
        let mut router = Router::new(vec![Vec::new(); 2]).with_intervals(10);
        router.begin_packet(3, 9, Packet::default());
        let clear = |ts_event, instrument_id| {
            let event = event(instrument_id, VenueEvent::Clear);
            Event { header: EventHeader { ts_event, ..event.header }, ..event }
        };
        for (ts_event, instrument_id) in [(5, 1), (9, 2), (12, 1), (19, 2), (47, 2)] {
            router.event(&clear(ts_event, instrument_id));
        }
        let times = |mailbox: &Vec<Event>| {
            let ended = |event: &&Event| event.body == VenueEvent::EndOfInterval;
            mailbox.iter().filter(ended).map(|event| event.header.ts_event).collect::<Vec<_>>()
        };
        for mailbox in router.into_mailboxes() {
            assert_eq!(times(&mailbox), [10, 40]);
            let at = |ts| mailbox.iter().position(|event| event.header.ts_event == ts);
            assert!(at(10) < at(12).or(at(19)), "{mailbox:?}");
        }
    }

    #[test]
    fn the_markets_status_is_one_record() {
        let trade_break = VenueEvent::TradeBreak { match_id: 1, price: 2, size: 3 };
        let mailboxes = route(&[event(ALL_INSTRUMENTS, trade_break)], 2);
        assert_eq!(mailboxes.iter().map(Vec::len).sum::<usize>(), 2);
    }
}
