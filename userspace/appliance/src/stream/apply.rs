//! What a channel's decisions do: to the decoder, the books and the recovery thread.
//!
//! Arrives: packets that are next, states of the channel, and answers for one book under repair.
//! Leaves: events through the router, requests to the recovery thread. Promises: what no packet said
//! is told as received now, and a book under repair gets the events of its own instrument alone.

use super::{Outlet, Reader};
use crate::recovery::link::{Answer, Request};
use crate::repair::{FAILED, PUT_OFF};
use crate::router::Mailbox;
use std::ops::Range;
use wirebook_feed::{Applied, Packet, Sink};
use wirebook_model::dbn::flags::{LAST, SNAPSHOT};
use wirebook_model::{
    ALL_INSTRUMENTS, BookState, Event, EventHeader, EventSink, PackedEvent, Packet as Times,
    UnixNanos, VenueEvent,
};
use wirebook_wire::{Session, TransportPacket};

/// A payload and what it says.
#[derive(Clone, Copy)]
pub(super) struct Parsed<'a> {
    pub(super) payload: &'a [u8],
    pub(super) packet: &'a TransportPacket<'a>,
}

/// Does what the channel decides.
pub(super) struct Apply<'a, 'o, M> {
    pub(super) reader: &'a mut Reader,
    /// The packet that has just arrived.
    pub(super) parsed: Option<Parsed<'a>>,
    pub(super) out: &'a mut Outlet<'o, M>,
}

impl<M: Mailbox> Apply<'_, '_, M> {
    #[inline]
    fn begin_packet(&mut self, sequence: u64, ts_recv: UnixNanos, ts_sent: UnixNanos) {
        let times = Times { ts_recv, ts_sent, ts_worker: self.out.ts_worker };
        self.out.router.begin_packet(self.reader.number, sequence, times);
        self.reader.turn_day(ts_recv);
    }

    /// A packet that waited: only its bytes were kept.
    #[cold]
    fn apply_waited(&mut self, packet: &Packet<'_, Session>, skip: u16) -> Applied {
        match TransportPacket::parse(self.reader.protocol.transport(), packet.bytes) {
            Ok(parsed) => self.apply_parsed(packet, skip, &parsed),
            Err(_) => Applied { messages: 0, held: packet.message_count },
        }
    }

    #[inline]
    fn apply_parsed(
        &mut self,
        packet: &Packet<'_, Session>,
        skip: u16,
        parsed: &TransportPacket<'_>,
    ) -> Applied {
        self.begin_packet(packet.sequence, packet.ts_recv, parsed.ts_sent);
        let mut blocks = parsed.blocks;
        // What is beyond was counted as malformed when it arrived.
        let cut_before = packet.message_count < parsed.count;
        let whole = if cut_before { usize::from(packet.message_count) } else { usize::MAX };
        let (mut held, mut is_damaged) = (0, false);
        let mut messages = blocks.by_ref().take(whole).map_while(|block| {
            is_damaged = block.is_err();
            held += u16::from(block.is_ok());
            block.ok()
        });
        let skipped = messages.by_ref().take(usize::from(skip)).count() as u64;
        let sequence = packet.sequence.saturating_add(skipped);
        let run = self.reader.decoder.decode_run(&mut messages, sequence, self.out.router);
        if run.malformed {
            // What follows is there all the same, as far as it is whole.
            messages.for_each(drop);
            is_damaged = !cut_before;
        }
        let counters = &mut self.out.counters;
        counters.malformed_packets += u64::from(is_damaged);
        counters.messages += run.messages;
        counters.unknown_messages += run.unknown;
        counters.over_limit_messages += run.over_limit;
        Applied { messages: run.messages as u16, held }
    }

    /// What a channel finds out comes in no packet: the books hear of it as received now.
    fn tell_books(&mut self, sequence: u64, body: VenueEvent) {
        self.tell_book(ALL_INSTRUMENTS, sequence, body, 0);
    }

    /// Tells one book's shard something that no packet said.
    pub(super) fn tell_book(
        &mut self,
        instrument_id: u32,
        sequence: u64,
        body: VenueEvent,
        flags: u8,
    ) {
        self.begin_packet(sequence, self.out.now, 0);
        let channel = self.reader.number;
        let flags = flags | LAST;
        let header = EventHeader { channel, flags, instrument_id, sequence, ts_event: 0 };
        self.out.router.event(&Event { header, body });
    }

    /// Fills one book from a snapshot, while the channel is live.
    #[cold]
    pub(super) fn repair(
        &mut self,
        instrument_id: u32,
        answer: &Answer,
        next: u64,
        now: UnixNanos,
    ) {
        match answer {
            Answer::Packet(_) | Answer::RetransmitFailed { .. } => {}
            Answer::SnapshotBegins { .. } => {
                self.tell_book(instrument_id, next, VenueEvent::Clear, SNAPSHOT);
            }
            Answer::SnapshotMessages(batch) => {
                self.begin_packet(0, now, 0);
                for message in batch.messages() {
                    let of_one = &mut OneInstrument { instrument_id, out: self.out.router };
                    // What is odd in a message was counted when the lines brought it.
                    let _ = self.reader.decoder.decode(message, 0, of_one);
                }
            }
            Answer::SnapshotEnds { sequence, .. } => {
                self.end_repair();
                let live = VenueEvent::State(BookState::Live);
                self.tell_book(instrument_id, *sequence, live, 0);
            }
            Answer::SnapshotFailed { .. } => {
                self.end_repair();
                self.tell_book(instrument_id, next, FAILED, 0);
            }
        }
    }

    /// The link to the recovery thread is free for the channel itself.
    pub(super) fn end_repair(&mut self) {
        self.reader.repair = None;
        self.reader.unasked = None;
        if let Some(recovery) = &mut self.reader.recovery {
            recovery.end();
        }
    }

    /// The channel is not live any more, or follows another session, and needs the link itself: a
    /// repair under way is called off.
    pub(super) fn call_off_repair(&mut self, sequence: u64) {
        if let Some(instrument_id) = self.reader.repair {
            self.end_repair();
            self.tell_book(instrument_id, sequence, PUT_OFF, 0);
        }
    }

    /// A snapshot's messages have no sequence in the channel; its end names the one they reach.
    pub(super) fn snapshot_messages<'m>(
        &mut self,
        messages: impl Iterator<Item = &'m [u8]>,
        now: UnixNanos,
    ) {
        self.begin_packet(0, now, 0);
        for message in messages {
            let whole = self.reader.message(message, 0, SNAPSHOT, self.out);
            self.out.counters.malformed_packets += u64::from(!whole);
        }
    }
}

impl<M: Mailbox> Sink<Session> for Apply<'_, '_, M> {
    #[inline]
    fn apply(&mut self, packet: &Packet<'_, Session>, skip: u16) -> Applied {
        match self.parsed {
            Some(parsed) if std::ptr::eq(parsed.payload, packet.bytes) => {
                self.apply_parsed(packet, skip, parsed.packet)
            }
            _ => self.apply_waited(packet, skip),
        }
    }

    fn books_are(&mut self, state: BookState, sequence: u64) {
        if state != BookState::Live {
            self.call_off_repair(sequence);
        }
        self.tell_books(sequence, VenueEvent::State(state));
    }

    fn clear_books(&mut self, sequence: u64) {
        self.call_off_repair(sequence);
        self.tell_books(sequence, VenueEvent::Clear);
    }

    fn request_retransmit(&mut self, session: Session, messages: Range<u64>) {
        self.reader.ask(Request::Retransmit { session, messages });
    }

    fn request_snapshot(&mut self, session: Session, sequence: u64) {
        self.reader.ask(Request::Snapshot { session, sequence });
    }

    fn end_recovery(&mut self) {
        self.reader.unasked = None;
        if let Some(recovery) = &mut self.reader.recovery {
            recovery.end();
        }
    }

    fn line_led(&mut self, line: u8, _behind: u8, lead_ns: u64) {
        match line {
            0 => self.reader.histograms.first_line_leads.record(lead_ns),
            _ => self.reader.histograms.other_line_leads.record(lead_ns),
        }
    }

    fn healed(&mut self, healing_ns: u64) {
        self.reader.histograms.healing.record(healing_ns);
    }
}

/// Adds flags to every event.
pub(super) struct Flagged<'a, S> {
    pub(super) flags: u8,
    pub(super) out: &'a mut S,
}

impl<S: EventSink> EventSink for Flagged<'_, S> {
    fn event(&mut self, event: &Event) {
        let header = EventHeader { flags: event.header.flags | self.flags, ..event.header };
        self.out.event(&Event { header, body: event.body });
    }

    fn packed(&mut self, event: &PackedEvent) {
        self.out.packed(&event.with_flags(self.flags));
    }
}

/// The events of one instrument of a snapshot.
struct OneInstrument<'a, S> {
    instrument_id: u32,
    out: &'a mut S,
}

impl<S: EventSink> EventSink for OneInstrument<'_, S> {
    fn event(&mut self, event: &Event) {
        if event.header.instrument_id == self.instrument_id {
            Flagged { flags: SNAPSHOT, out: self.out }.event(event);
        }
    }
}
