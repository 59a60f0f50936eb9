//! Payloads as multicast frames.

use std::net::{Ipv4Addr, SocketAddrV4};

const ETHERTYPE_IPV4: [u8; 2] = [0x08, 0x00];
const ETHERTYPE_VLAN: [u8; 2] = [0x81, 0x00];
const PROTOCOL_UDP: u8 = 17;
const DONT_FRAGMENT: [u8; 2] = [0x40, 0x00];
const IPV4_HEADER_BYTES: usize = 20;
const UDP_HEADER_BYTES: usize = 8;

/// One multicast line: where its packets come from and go to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    /// Multicast group and port.
    pub group: SocketAddrV4,
    /// Sender.
    pub source: SocketAddrV4,
    /// Sender's Ethernet address.
    pub source_mac: [u8; 6],
    /// 802.1Q tag.
    pub vlan: Option<u16>,
    /// IP time to live.
    pub ttl: u8,
}

impl Line {
    /// A line to this group from a sender of a documentation network, untagged, for one hop.
    pub fn new(group: SocketAddrV4) -> Self {
        Self {
            group,
            source: SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 1), 30_001),
            source_mac: [0x02, 0, 0, 0, 0, 1],
            vlan: None,
            ttl: 1,
        }
    }

    /// Makes `frame` the Ethernet frame of a UDP payload, without frame check sequence.
    ///
    /// # Panics
    /// Where the payload does not fit an IPv4 packet (65,507 bytes).
    pub fn frame(&self, payload: &[u8], frame: &mut Vec<u8>) {
        frame.clear();
        frame.extend(multicast_mac(*self.group.ip()));
        frame.extend(self.source_mac);
        if let Some(vlan) = self.vlan {
            frame.extend(ETHERTYPE_VLAN);
            frame.extend((vlan & 0x0fff).to_be_bytes());
        }
        frame.extend(ETHERTYPE_IPV4);
        let udp = self.udp_header(payload);
        let ip = self.ipv4_header(udp.len() + payload.len());
        frame.extend(ip);
        frame.extend(udp);
        frame.extend(payload);
    }

    fn ipv4_header(&self, payload_bytes: usize) -> [u8; IPV4_HEADER_BYTES] {
        let length = u16::try_from(IPV4_HEADER_BYTES + payload_bytes)
            .expect("a packet made here fits an IPv4 packet");
        let mut header = [0; IPV4_HEADER_BYTES];
        header[0] = 0x45;
        header[2..4].copy_from_slice(&length.to_be_bytes());
        header[6..8].copy_from_slice(&DONT_FRAGMENT);
        header[8..10].copy_from_slice(&[self.ttl, PROTOCOL_UDP]);
        header[12..16].copy_from_slice(&self.source.ip().octets());
        header[16..20].copy_from_slice(&self.group.ip().octets());
        let checksum = checksum(&[&header]);
        header[10..12].copy_from_slice(&checksum.to_be_bytes());
        header
    }

    fn udp_header(&self, payload: &[u8]) -> [u8; UDP_HEADER_BYTES] {
        let length = u16::try_from(UDP_HEADER_BYTES + payload.len())
            .expect("a payload made here fits a UDP datagram");
        let mut header = [0; UDP_HEADER_BYTES];
        header[..2].copy_from_slice(&self.source.port().to_be_bytes());
        header[2..4].copy_from_slice(&self.group.port().to_be_bytes());
        header[4..6].copy_from_slice(&length.to_be_bytes());
        // RFC 768: the sum covers a pseudo header, and a sum of 0 is sent as all ones.
        let pseudo = [[0, PROTOCOL_UDP], length.to_be_bytes()].concat();
        let addresses = [self.source.ip().octets(), self.group.ip().octets()].concat();
        let checksum = match checksum(&[&addresses, &pseudo, &header, payload]) {
            0 => 0xffff,
            checksum => checksum,
        };
        header[6..].copy_from_slice(&checksum.to_be_bytes());
        header
    }
}

/// RFC 1112, section 6.4: the low 23 bits of the group after 01:00:5e.
fn multicast_mac(group: Ipv4Addr) -> [u8; 6] {
    let [_, b, c, d] = group.octets();
    [0x01, 0x00, 0x5e, b & 0x7f, c, d]
}

/// RFC 1071: the one's complement of the one's complement sum of 16-bit words. Every part but the
/// last has an even length.
fn checksum(parts: &[&[u8]]) -> u16 {
    let mut sum = 0u64;
    for part in parts {
        let (words, odd) = part.as_chunks();
        sum += words.iter().map(|word| u64::from(u16::from_be_bytes(*word))).sum::<u64>();
        sum += odd.first().map_or(0, |&byte| u64::from(byte) << 8);
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksum_is_that_of_the_rfc() {
        // RFC 1071, section 3: the words 0001 f203 f4f5 f6f7 add up to ddf2.
        assert_eq!(checksum(&[&[0x00, 0x01, 0xf2, 0x03], &[0xf4, 0xf5, 0xf6, 0xf7]]), !0xddf2);
        assert_eq!(checksum(&[&[0x12, 0x34], &[0x56]]), !(0x1234 + 0x5600));
    }

    #[test]
    fn group_is_mapped_to_its_mac() {
        let mac = multicast_mac(Ipv4Addr::new(233, 182, 12, 111));
        assert_eq!(mac, [0x01, 0x00, 0x5e, 0x36, 0x0c, 0x6f]);
    }
}
