//! One exchange at work: packets, their faults, their lines.
//!
//! Arrives: a session's packets. Leaves: each line's deliveries in an [`Outlet`], at their times,
//! and the packets themselves with the servers, at the time when they are sent.

use crate::exchange::{Outlet, Pace, Sent};
use crate::housekeeping::Stop;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use wirebook_simulator::{
    Exchange, FaultCounts, Faults, MessageSource, Packet, PacketKind, Packets,
};

/// Between the end of one session and the beginning of the next.
const BETWEEN_SESSIONS_NS: u64 = 1_000_000_000;
/// How often the end of the session is said while the exchange lingers.
const END_NS: u64 = 1_000_000_000;

/// What the servers answer from; none where there are no servers.
pub type Shared = Option<Arc<RwLock<Exchange>>>;

/// What was played.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Played {
    /// Packets that the exchange sent, before any fault and on no line in particular.
    pub packets: u64,
    /// Messages in them.
    pub messages: u64,
    /// Sessions.
    pub sessions: u64,
}

/// An exchange that sends.
pub struct Stage<'a> {
    outlet: Outlet,
    pace: Pace,
    faults: Faults,
    exchange: Shared,
    stop: &'a Stop,
    played: Played,
    /// When the last packet was sent, after the first one.
    now_ns: u64,
    /// The flow's time at which the present session began.
    session_offset_ns: u64,
    last_offset_ns: u64,
}

impl<'a> Stage<'a> {
    /// An exchange that has sent nothing.
    pub fn new(
        outlet: Outlet,
        pace: Pace,
        faults: Faults,
        exchange: Shared,
        stop: &'a Stop,
    ) -> Self {
        Self {
            outlet,
            pace,
            faults,
            exchange,
            stop,
            played: Played::default(),
            now_ns: 0,
            session_offset_ns: 0,
            last_offset_ns: 0,
        }
    }

    /// Plays a session to its end, or until the stop.
    ///
    /// # Errors
    /// Fails where nothing can be sent.
    pub fn play<S: MessageSource>(
        &mut self,
        session: [u8; 10],
        packets: &mut Packets<S>,
    ) -> anyhow::Result<()> {
        if self.played.sessions > 0 {
            self.session_offset_ns = self.last_offset_ns + BETWEEN_SESSIONS_NS;
        }
        self.played.sessions += 1;
        if let Some(exchange) = &self.exchange {
            *exchange.write().unwrap_or_else(PoisonError::into_inner) = Exchange::new(session);
        }
        while !self.stop.is_set()
            && let Some(packet) = packets.next()
        {
            let offset_ns = self.session_offset_ns + packet.offset_ns;
            self.last_offset_ns = offset_ns;
            let at_ns = self.pace.schedule_ns(offset_ns);
            self.send(at_ns, &packet)?;
        }
        Ok(())
    }

    /// Says the end of the session once a second for so long, while the servers still answer.
    ///
    /// # Errors
    /// Fails where nothing can be sent.
    pub fn linger<S: MessageSource>(
        &mut self,
        seconds: u64,
        packets: &Packets<S>,
    ) -> anyhow::Result<()> {
        for _ in 0..seconds {
            self.outlet.flush()?;
            self.pace.rest(Duration::from_nanos(END_NS), || self.stop.is_set());
            if self.stop.is_set() {
                break;
            }
            self.send(self.now_ns + END_NS, &packets.end_of_session(0))?;
        }
        Ok(())
    }

    /// Delivers what is still under way; after a stop at once, so that each packet is in a count.
    ///
    /// # Errors
    /// Fails where nothing can be sent.
    pub fn finish(mut self) -> anyhow::Result<(Played, Sent, Vec<FaultCounts>)> {
        while let Some(due_ns) = self.faults.next_due_ns() {
            self.deliver(due_ns)?;
        }
        self.outlet.finish()?;
        Ok((self.played, self.outlet.sent()?, self.faults.counts().collect()))
    }

    fn send(&mut self, at_ns: u64, packet: &Packet) -> anyhow::Result<()> {
        // What is under way and due before this packet leaves before it.
        self.deliver(at_ns.saturating_sub(1))?;
        self.wait_until(at_ns)?;
        self.now_ns = at_ns;
        self.played.packets += 1;
        self.played.messages += u64::from(packet.messages);
        if packet.kind == PacketKind::Messages
            && let Some(exchange) = &self.exchange
        {
            let mut exchange = exchange.write().unwrap_or_else(PoisonError::into_inner);
            if let Err(error) = exchange.publish(packet) {
                tracing::warn!("sequence {}: {error}", packet.sequence);
            }
        }
        self.faults.send(at_ns, &packet.payload);
        self.deliver(at_ns)
    }

    /// Waits for a time; what was sent before it goes out first, and all at once where it is late.
    fn wait_until(&mut self, at_ns: u64) -> anyhow::Result<()> {
        if self.pace.is_early(at_ns) {
            self.outlet.flush()?;
            self.pace.wait_until(at_ns, || self.stop.is_set());
        }
        Ok(())
    }

    fn deliver(&mut self, now_ns: u64) -> anyhow::Result<()> {
        while let Some(delivery) = self.faults.deliver(now_ns) {
            self.wait_until(delivery.at_ns)?;
            self.outlet.send(delivery.line, delivery.at_ns, &delivery.payload)?;
        }
        Ok(())
    }
}
