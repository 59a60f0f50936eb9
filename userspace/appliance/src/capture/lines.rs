//! Works out lines from a capture.
//!
//! Arrives: a capture's frames. Leaves: the channels in it, each with the destinations that carry
//! it. Two destinations that carry the same session are redundant lines of one channel (a
//! MoldUDP64 stream, an IEX-TP channel); different sessions are different channels, unless one
//! destination carries both, as it does on two days. UDP traffic that is not of the protocol is
//! left out, and so is unicast (retransmissions) where there is multicast.

use super::{Capture, CaptureError, Item};
use std::net::SocketAddrV4;
use wirebook_wire::{Datagram, Protocol, Session, TransportPacket};

/// Where a line's packets are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Destination {
    /// Multicast group and UDP port.
    pub address: SocketAddrV4,
    /// VLAN id of the outer tag.
    pub outer_vlan: Option<u16>,
    /// VLAN id of the inner tag.
    pub inner_vlan: Option<u16>,
}

/// A channel found in a capture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundChannel {
    /// Its sessions, in the order in which they were first seen.
    pub sessions: Vec<Session>,
    /// Its lines, in the order in which they were first seen: A, B, …
    pub destinations: Vec<Destination>,
}

/// Collects the channels of one protocol from frames.
#[derive(Clone, Debug)]
pub struct LineFinder {
    protocol: Protocol,
    channels: Vec<FoundChannel>,
}

impl LineFinder {
    /// A finder that has seen nothing.
    pub fn new(protocol: Protocol) -> Self {
        Self { protocol, channels: Vec::new() }
    }

    /// Looks at every packet of a capture; truncation ends it as it will end the replay.
    ///
    /// # Errors
    /// Where the capture is damaged or cannot be read on.
    pub fn read(&mut self, capture: &mut Capture) -> Result<(), CaptureError> {
        loop {
            match capture.next() {
                Ok(Some(Item::Packet { bytes, captured_short, .. })) => {
                    self.frame(bytes, captured_short);
                }
                Ok(Some(_)) => {}
                Ok(None) => return Ok(()),
                Err(error) if error.is_truncated() => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    /// Looks at one frame.
    pub fn frame(&mut self, bytes: &[u8], captured_short: bool) {
        let Ok(datagram) = Datagram::parse(bytes) else { return };
        let Ok(packet) = TransportPacket::parse(self.protocol.transport(), datagram.payload) else {
            return;
        };
        let destination = Destination {
            address: datagram.destination,
            outer_vlan: datagram.outer_vlan,
            inner_vlan: datagram.inner_vlan,
        };
        if self.knows(destination, packet.session) || !is_plausible(&packet, captured_short) {
            return;
        }
        self.join(destination, packet.session);
    }

    /// The channels seen so far.
    pub fn into_channels(mut self) -> Vec<FoundChannel> {
        let is_multicast = |line: &Destination| line.address.ip().is_multicast();
        if self.channels.iter().flat_map(|channel| &channel.destinations).any(is_multicast) {
            for channel in &mut self.channels {
                channel.destinations.retain(is_multicast);
            }
            self.channels.retain(|channel| !channel.destinations.is_empty());
        }
        self.channels
    }

    fn knows(&self, destination: Destination, session: Session) -> bool {
        self.channels.iter().any(|channel| {
            channel.destinations.contains(&destination) && channel.sessions.contains(&session)
        })
    }

    /// The channels that carry the session or go to the destination are one.
    fn join(&mut self, destination: Destination, session: Session) {
        let is_same = |channel: &FoundChannel| {
            channel.destinations.contains(&destination) || channel.sessions.contains(&session)
        };
        let Some(first) = self.channels.iter().position(is_same) else {
            let (sessions, destinations) = (vec![session], vec![destination]);
            self.channels.push(FoundChannel { sessions, destinations });
            return;
        };
        let later = self.channels.extract_if(first + 1.., |channel| is_same(channel));
        let joined: Vec<FoundChannel> = later.collect();
        let channel = &mut self.channels[first];
        for FoundChannel { sessions, destinations } in joined {
            channel.sessions.extend(sessions);
            channel.destinations.extend(destinations);
        }
        if !channel.sessions.contains(&session) {
            channel.sessions.push(session);
        }
        if !channel.destinations.contains(&destination) {
            channel.destinations.push(destination);
        }
    }
}

/// MoldUDP64 has no mark of its own: almost any payload has its header. One is taken for it when
/// its session is text and its blocks fill the packet exactly.
fn is_plausible(packet: &TransportPacket<'_>, captured_short: bool) -> bool {
    let is_text = match packet.session {
        Session::MoldUdp64(name) => name.iter().all(|byte| matches!(byte, b' '..=b'~')),
        Session::IexTp { .. } => true,
    };
    is_text && (captured_short || packet.blocks.clone().all(|block| block.is_ok()))
}
