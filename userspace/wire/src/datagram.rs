//! Ethernet, VLAN, IPv4 and UDP: from a frame to the payload of its datagram.
//!
//! Arrives: one Ethernet frame without its check sequence. Leaves: a [`Datagram`], or why there
//! is none. Promises to judge a frame as the steering program does (`ebpf/steer.bpf.c`): what
//! that program passes is not malformed here, and what it counts as malformed is. Counts
//! nothing: the caller counts by [`NotSteered::is_malformed`].

use std::net::{Ipv4Addr, SocketAddrV4};
use zerocopy::byteorder::big_endian::U16;
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

const ETHERTYPE_IPV4: u16 = 0x0800;
/// IEEE 802.1Q, table 9-1: customer and service VLAN tags.
const ETHERTYPES_VLAN: [u16; 2] = [0x8100, 0x88a8];
const VLAN_TAGS_MAX: usize = 2;
const VLAN_ID_MASK: u16 = 0x0fff;
/// IANA protocol number of UDP.
const PROTOCOL_UDP: u8 = 17;
/// RFC 791, 3.1: the flag "more fragments" and the fragment offset.
const FRAGMENT_MASK: u16 = 0x3fff;

const ETHERNET_BYTES: usize = size_of::<Ethernet>();
const VLAN_TAG_BYTES: usize = size_of::<VlanTag>();
const IPV4_BYTES_MIN: usize = size_of::<Ipv4>();
const UDP_BYTES: usize = size_of::<Udp>();

#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Ethernet {
    _addresses: [u8; 12],
    ethertype: U16,
}

#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct VlanTag {
    control: U16,
    ethertype: U16,
}

#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Ipv4 {
    version_and_length: u8,
    _service: u8,
    total_length: U16,
    _identification: U16,
    fragment: U16,
    _time_to_live: u8,
    protocol: u8,
    _checksum: U16,
    source: [u8; 4],
    destination: [u8; 4],
}

#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Udp {
    source: U16,
    destination: U16,
    length: U16,
    _checksum: U16,
}

/// A UDP datagram over IPv4, borrowed from its frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Datagram<'a> {
    /// VLAN id of the first tag that names one; a priority tag (id 0) counts as none.
    pub outer_vlan: Option<u16>,
    /// VLAN id of a second such tag.
    pub inner_vlan: Option<u16>,
    /// Sender.
    pub source: SocketAddrV4,
    /// Receiver, as a rule a multicast group.
    pub destination: SocketAddrV4,
    /// The UDP payload, without Ethernet padding.
    pub payload: &'a [u8],
    /// Where the payload starts, in bytes from the start of the frame.
    pub payload_offset: usize,
}

/// Why a frame holds no datagram for us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotSteered {
    /// Another protocol than IPv4, or more than two VLAN tags.
    #[error("expected IPv4, found Ethernet type {0:#06x}")]
    NotIpv4(u16),
    /// Another protocol than UDP.
    #[error("expected UDP (17), found IP protocol {0}")]
    NotUdp(u8),
    /// A part of a datagram.
    #[error("expected a whole datagram, found an IP fragment")]
    Fragment,
    /// The frame ends within a header.
    #[error("expected {expected} bytes of headers, found {found}")]
    ShortFrame {
        /// Bytes that the headers need.
        expected: usize,
        /// Bytes in the frame.
        found: usize,
    },
    /// The first byte of the IP header is none of IPv4.
    #[error("expected IP version 4 and at least five words of header, found {0:#04x}")]
    IpHeader(u8),
    /// The IP total length does not fit its header and a UDP header, or the frame.
    #[error("expected an IP total length from {least} to {most}, found {found}")]
    IpLength {
        /// Bytes of the IP and UDP headers.
        least: usize,
        /// Bytes in the frame from the IP header on.
        most: usize,
        /// What the packet says.
        found: usize,
    },
    /// The UDP length does not fit its header or the IP packet.
    #[error("expected a UDP length from 8 to {most}, found {found}")]
    UdpLength {
        /// Bytes in the IP packet from the UDP header on.
        most: usize,
        /// What the packet says.
        found: usize,
    },
}

impl NotSteered {
    /// True where a length does not hold; false where the frame is simply not ours.
    pub fn is_malformed(&self) -> bool {
        !matches!(self, Self::NotIpv4(_) | Self::NotUdp(_) | Self::Fragment)
    }
}

impl<'a> Datagram<'a> {
    /// The datagram in `frame`.
    ///
    /// # Errors
    /// [`NotSteered`]: not ours, or malformed.
    #[inline]
    pub fn parse(frame: &'a [u8]) -> Result<Self, NotSteered> {
        let link = Link::parse(frame)?;
        let (ip, _) = header::<Ipv4>(frame, link.bytes)?;
        let ip_header_bytes = usize::from(ip.version_and_length & 0x0f) * 4;
        if ip.version_and_length >> 4 != 4 || ip_header_bytes < IPV4_BYTES_MIN {
            return Err(NotSteered::IpHeader(ip.version_and_length));
        }
        if ip.protocol != PROTOCOL_UDP {
            return Err(NotSteered::NotUdp(ip.protocol));
        }
        if ip.fragment.get() & FRAGMENT_MASK != 0 {
            return Err(NotSteered::Fragment);
        }
        let found = usize::from(ip.total_length.get());
        let (least, most) = (ip_header_bytes + UDP_BYTES, frame.len() - link.bytes);
        if !(least..=most).contains(&found) {
            return Err(NotSteered::IpLength { least, most, found });
        }

        let udp_offset = link.bytes + ip_header_bytes;
        let (udp, payload) = header::<Udp>(frame, udp_offset)?;
        let (most, found) = (found - ip_header_bytes, usize::from(udp.length.get()));
        if !(UDP_BYTES..=most).contains(&found) {
            return Err(NotSteered::UdpLength { most, found });
        }
        Ok(Self {
            outer_vlan: link.outer_vlan,
            inner_vlan: link.inner_vlan,
            source: SocketAddrV4::new(Ipv4Addr::from(ip.source), udp.source.get()),
            destination: SocketAddrV4::new(Ipv4Addr::from(ip.destination), udp.destination.get()),
            payload: &payload[..found - UDP_BYTES],
            payload_offset: udp_offset + UDP_BYTES,
        })
    }
}

/// Ethernet and its tags, up to an IPv4 packet.
struct Link {
    outer_vlan: Option<u16>,
    inner_vlan: Option<u16>,
    /// Bytes before the IP header.
    bytes: usize,
}

impl Link {
    #[inline]
    fn parse(frame: &[u8]) -> Result<Self, NotSteered> {
        let (ethernet, _) = header::<Ethernet>(frame, 0)?;
        let mut ethertype = ethernet.ethertype.get();
        let mut link = Self { outer_vlan: None, inner_vlan: None, bytes: ETHERNET_BYTES };
        for _ in 0..VLAN_TAGS_MAX {
            if !ETHERTYPES_VLAN.contains(&ethertype) {
                break;
            }
            let (tag, _) = header::<VlanTag>(frame, link.bytes)?;
            link.note(tag.control.get() & VLAN_ID_MASK);
            link.bytes += VLAN_TAG_BYTES;
            ethertype = tag.ethertype.get();
        }
        if ethertype != ETHERTYPE_IPV4 {
            return Err(NotSteered::NotIpv4(ethertype));
        }
        Ok(link)
    }

    /// Id 0 is a priority tag: the frame is in no VLAN (IEEE 802.1Q, 9.6).
    fn note(&mut self, id: u16) {
        if id == 0 {
            return;
        }
        if self.outer_vlan.is_none() {
            self.outer_vlan = Some(id);
        } else {
            self.inner_vlan = Some(id);
        }
    }
}

/// The header `T` at `offset`, and what follows it.
#[inline]
fn header<T: FromBytes + Immutable + KnownLayout + Unaligned>(
    frame: &[u8],
    offset: usize,
) -> Result<(&T, &[u8]), NotSteered> {
    frame
        .get(offset..)
        .and_then(|bytes| T::ref_from_prefix(bytes).ok())
        .ok_or(NotSteered::ShortFrame { expected: offset + size_of::<T>(), found: frame.len() })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A frame with these tags, IP options and payload.
    fn frame(tags: &[(u16, u16)], options: &[u8], payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![0; 12];
        for (ethertype, control) in tags {
            frame.extend(ethertype.to_be_bytes());
            frame.extend(control.to_be_bytes());
        }
        let udp_length = (UDP_BYTES + payload.len()) as u16;
        let ip_length = (IPV4_BYTES_MIN + options.len()) as u16 + udp_length;
        frame.extend([0x08, 0x00, 0x45 + (options.len() / 4) as u8, 0]);
        frame.extend(ip_length.to_be_bytes());
        frame.extend([0, 0, 0x40, 0, 64, PROTOCOL_UDP, 0, 0, 10, 0, 0, 1, 233, 54, 12, 111]);
        frame.extend(options);
        frame.extend([0x03, 0xe8, 0x67, 0x6d]);
        frame.extend(udp_length.to_be_bytes());
        frame.extend([0, 0]);
        frame.extend(payload);
        frame
    }

    /// The frame of `frame(&[], &[], b"abc")` with one byte changed.
    fn with(offset: usize, value: u8) -> Vec<u8> {
        let mut frame = frame(&[], &[], b"abc");
        frame[offset] = value;
        frame
    }

    #[test]
    fn addresses_and_payload_are_found() {
        let frame = frame(&[], &[], b"abc");
        let datagram = Datagram::parse(&frame).unwrap();
        assert_eq!(datagram.source.to_string(), "10.0.0.1:1000");
        assert_eq!(datagram.destination.to_string(), "233.54.12.111:26477");
        assert_eq!((datagram.outer_vlan, datagram.inner_vlan), (None, None));
        assert_eq!((datagram.payload, datagram.payload_offset), (&b"abc"[..], 42));
    }

    #[test]
    fn up_to_two_tags_and_ip_options_are_walked() {
        type Tags = &'static [(u16, u16)];
        let cases: [(Tags, [Option<u16>; 2]); 6] = [
            (&[(0x8100, 141)], [Some(141), None]),
            (&[(0x8100, 0xe08d)], [Some(141), None]),
            (&[(0x8100, 0)], [None, None]),
            (&[(0x88a8, 7), (0x8100, 9)], [Some(7), Some(9)]),
            (&[(0x8100, 7), (0x8100, 9)], [Some(7), Some(9)]),
            (&[(0x88a8, 0), (0x8100, 9)], [Some(9), None]),
        ];
        for (tags, vlans) in cases {
            let frame = frame(tags, &[1, 1, 1, 0], b"abc");
            let datagram = Datagram::parse(&frame).unwrap();
            assert_eq!([datagram.outer_vlan, datagram.inner_vlan], vlans);
            assert_eq!(datagram.payload, b"abc");
            assert_eq!(&frame[datagram.payload_offset..], b"abc");
        }
        let three = frame(&[(0x8100, 1), (0x8100, 2), (0x8100, 3)], &[], b"abc");
        assert_eq!(Datagram::parse(&three), Err(NotSteered::NotIpv4(0x8100)));
    }

    #[test]
    fn padding_is_no_payload() {
        let mut padded = frame(&[], &[], b"abc");
        padded.resize(60, 0xee);
        assert_eq!(Datagram::parse(&padded).unwrap().payload, b"abc");
    }

    #[test]
    fn what_is_not_ours_is_passed() {
        for (frame, expected) in [
            (with(12, 0x86), NotSteered::NotIpv4(0x8600)),
            (with(23, 6), NotSteered::NotUdp(6)),
            (with(20, 0x20), NotSteered::Fragment),
            (with(21, 0x01), NotSteered::Fragment),
        ] {
            assert_eq!(Datagram::parse(&frame), Err(expected));
            assert!(!expected.is_malformed());
        }
    }

    #[test]
    fn lengths_that_do_not_hold_are_malformed() {
        for (frame, expected) in [
            (with(14, 0x65), NotSteered::IpHeader(0x65)),
            (with(14, 0x44), NotSteered::IpHeader(0x44)),
            (with(14, 0x46), NotSteered::IpLength { least: 32, most: 31, found: 31 }),
            (with(17, 27), NotSteered::IpLength { least: 28, most: 31, found: 27 }),
            (with(17, 32), NotSteered::IpLength { least: 28, most: 31, found: 32 }),
            (with(39, 7), NotSteered::UdpLength { most: 11, found: 7 }),
            (with(39, 12), NotSteered::UdpLength { most: 11, found: 12 }),
        ] {
            assert_eq!(Datagram::parse(&frame), Err(expected));
            assert!(expected.is_malformed());
        }
    }

    #[test]
    fn every_cut_frame_is_malformed() {
        let whole = frame(&[(0x8100, 141)], &[1, 1, 1, 0], b"abc");
        for length in 0..whole.len() {
            assert!(Datagram::parse(&whole[..length]).unwrap_err().is_malformed(), "{length}");
        }
    }
}
