//! Which packets are whose: lines, by destination, and the channels that they carry.
//!
//! Arrives: a configuration, or what was found in a capture. Leaves: a line's index, the same
//! that the steering program writes into a packet's metadata, and its channel. A line that names
//! its VLAN tags is preferred to one that takes any, as the steering program does it.

use crate::capture::{Destination, FoundChannel};
use crate::config::{ChannelConfig, Config};
use crate::recovery::config::Unhealed;
use jiff::civil::Date;
use wirebook_feed::Policy;
use wirebook_wire::{Datagram, Protocol};
use wirebook_xdp::{LineKey, Vlan};

/// A channel as its worker and its shards need to know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChannelSpec {
    /// The appliance's number for it.
    pub number: u8,
    /// The venue protocol.
    pub protocol: Protocol,
    /// Publisher id of its DBN records.
    pub publisher_id: u16,
    /// The venue's day; absent, each packet's receive time tells it.
    pub date: Option<Date>,
    /// A book that is not live becomes so once both its sides have been quoted anew.
    pub quotes_restore: bool,
    /// How it waits for missing messages and what may bring them.
    pub policy: Policy,
}

/// One line: what its packets are sent to, and the place of its channel in [`Lines::channels`].
#[derive(Clone, Copy, Debug)]
struct Line {
    key: LineKey,
    /// The channel's place, and the line's in it: A is 0.
    channel: Option<(usize, u8)>,
}

/// The lines that one worker knows.
#[derive(Clone, Debug)]
pub struct Lines {
    /// By number; none where a line has been taken away.
    lines: Vec<Option<Line>>,
    channels: Vec<ChannelSpec>,
    any_destination: bool,
}

impl Lines {
    /// The lines of a configuration, by their numbers, with the channels of `worker`, or of all
    /// workers where none is named.
    pub fn of_config(config: &Config, worker: Option<&str>) -> Self {
        let numbers = config.channels.iter().flat_map(|channel| &channel.lines);
        let line_count = numbers.map(|line| usize::from(line.number) + 1).max();
        let mut lines = vec![None; line_count.unwrap_or_default()];
        let mut channels = Vec::new();
        let mut in_order: Vec<_> = config.channels.iter().collect();
        in_order.sort_by_key(|channel| channel.number);
        for channel in in_order {
            let ours = worker.is_none_or(|worker| worker == channel.worker);
            if ours {
                channels.push(ChannelSpec::of_config(channel));
            }
            for (line_number, line) in (0..=u8::MAX).zip(&channel.lines) {
                let place = ours.then(|| (channels.len() - 1, line_number));
                lines[usize::from(line.number)] = Some(Line { key: line.key(), channel: place });
            }
        }
        Self { lines, channels, any_destination: false }
    }

    /// The lines found in a capture of one protocol.
    pub fn of_capture(found: &[FoundChannel], spec: ChannelSpec) -> Self {
        let mut lines = Vec::new();
        let mut channels = Vec::new();
        for (number, channel) in (0..=u8::MAX).zip(found) {
            let line_count = channel.destinations.len().min(usize::from(u8::MAX)) as u8;
            let policy = Policy { lines: line_count, ..spec.policy };
            channels.push(ChannelSpec { number, policy, ..spec });
            let place = channels.len() - 1;
            let numbered = (0..=u8::MAX).zip(&channel.destinations);
            lines.extend(numbered.map(|(line_number, destination)| {
                Some(Line { key: destination.key(), channel: Some((place, line_number)) })
            }));
        }
        Self { lines, channels, any_destination: false }
    }

    /// One line that every UDP packet belongs to.
    pub fn any_destination(spec: ChannelSpec) -> Self {
        let key = LineKey { group: std::net::Ipv4Addr::UNSPECIFIED, port: 0, vlan: Vlan::Any };
        let lines = vec![Some(Line { key, channel: Some((0, 0)) })];
        Self { lines, channels: vec![spec], any_destination: true }
    }

    /// The line of a datagram.
    #[inline]
    pub fn find(&self, datagram: &Datagram<'_>) -> Option<u16> {
        if self.any_destination {
            return Some(0);
        }
        let to = |line: &Line| {
            line.key.group == *datagram.destination.ip()
                && line.key.port == datagram.destination.port()
        };
        let place = |wanted: fn(Vlan, &Datagram<'_>) -> bool| {
            let fits = |line: &Line| to(line) && wanted(line.key.vlan, datagram);
            self.lines.iter().position(|line| line.as_ref().is_some_and(fits))
        };
        place(is_named).or_else(|| place(|vlan, _| vlan == Vlan::Any)).map(|index| index as u16)
    }

    /// The place in [`Lines::channels`] of a line's channel, and the line's own in it.
    #[inline]
    pub fn channel_of(&self, line: u16) -> Option<(usize, u8)> {
        self.lines.get(usize::from(line))?.as_ref()?.channel
    }

    /// The channels, in the order of their numbers.
    pub fn channels(&self) -> &[ChannelSpec] {
        &self.channels
    }
}

fn is_named(vlan: Vlan, datagram: &Datagram<'_>) -> bool {
    let tags = (datagram.outer_vlan, datagram.inner_vlan);
    match vlan {
        Vlan::Any => false,
        Vlan::Untagged => tags == (None, None),
        Vlan::Tagged(id) => tags == (Some(id), None),
        Vlan::Double { outer, inner } => tags == (Some(outer), Some(inner)),
    }
}

impl ChannelSpec {
    /// A channel of this protocol, numbered 0, with the protocol's own publisher.
    pub fn of_protocol(protocol: Protocol) -> Self {
        Self {
            number: 0,
            protocol,
            publisher_id: publisher_id(protocol),
            date: None,
            quotes_restore: protocol == Protocol::IexTops,
            policy: Policy::default(),
        }
    }

    /// The channel of a configuration.
    pub fn of_config(channel: &ChannelConfig) -> Self {
        let spec = Self::of_protocol(channel.protocol);
        let recovery = &channel.recovery;
        Self {
            number: channel.number,
            publisher_id: channel.publisher_id.unwrap_or(spec.publisher_id),
            date: channel.date,
            quotes_restore: spec.quotes_restore
                && recovery.unhealed == Unhealed::StaleUntilRestated,
            policy: recovery.channel_policy(channel.lines.len()),
            ..spec
        }
    }
}

impl Destination {
    fn key(&self) -> LineKey {
        let vlan = match (self.outer_vlan, self.inner_vlan) {
            (None, _) => Vlan::Untagged,
            (Some(id), None) => Vlan::Tagged(id),
            (Some(outer), Some(inner)) => Vlan::Double { outer, inner },
        };
        LineKey { group: *self.address.ip(), port: self.address.port(), vlan }
    }
}

/// The DBN publisher of a protocol's records; 0 where DBN has assigned none.
fn publisher_id(protocol: Protocol) -> u16 {
    match protocol {
        Protocol::Itch50 => dbn::Publisher::XnasItchXnas as u16,
        Protocol::IexTops => dbn::Publisher::IexgTopsIexg as u16,
        Protocol::IexDeep => 0,
    }
}

/// The DBN dataset of a protocol. DBN knows none of IEX DEEP; its name here follows the same pattern.
pub fn dataset(protocol: Protocol) -> String {
    match protocol {
        Protocol::Itch50 => dbn::Dataset::XnasItch.to_string(),
        Protocol::IexTops => dbn::Dataset::IexgTops.to_string(),
        Protocol::IexDeep => "IEXG.DEEP".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, SocketAddrV4};

    const GROUP: Ipv4Addr = Ipv4Addr::new(233, 54, 12, 111);

    fn lines(vlans: &[Vlan]) -> Lines {
        let line = |&vlan: &Vlan| {
            Some(Line { key: LineKey { group: GROUP, port: 9, vlan }, channel: None })
        };
        Lines { lines: vlans.iter().map(line).collect(), channels: vec![], any_destination: false }
    }

    fn datagram(port: u16, outer_vlan: Option<u16>, inner_vlan: Option<u16>) -> Datagram<'static> {
        Datagram {
            outer_vlan,
            inner_vlan,
            source: SocketAddrV4::new(Ipv4Addr::LOCALHOST, 1),
            destination: SocketAddrV4::new(GROUP, port),
            payload: &[],
            payload_offset: 42,
        }
    }

    #[test]
    fn a_named_tag_is_preferred_to_any() {
        let lines = lines(&[Vlan::Any, Vlan::Tagged(141), Vlan::Double { outer: 7, inner: 8 }]);
        assert_eq!(lines.find(&datagram(9, Some(141), None)), Some(1));
        assert_eq!(lines.find(&datagram(9, Some(142), None)), Some(0));
        assert_eq!(lines.find(&datagram(9, Some(7), Some(8))), Some(2));
        assert_eq!(lines.find(&datagram(9, None, None)), Some(0));
        assert_eq!(lines.find(&datagram(10, None, None)), None);
    }

    #[test]
    fn untagged_means_untagged() {
        let lines = lines(&[Vlan::Untagged]);
        assert_eq!(lines.find(&datagram(9, None, None)), Some(0));
        assert_eq!(lines.find(&datagram(9, Some(1), None)), None);
    }
}
