//! Every supported link type becomes an Ethernet frame, in place.
//!
//! A capture's own header stands before each packet, and it is longer than an Ethernet header: so
//! a packet without one gets one written over bytes that are no longer needed, and no packet is
//! moved. Link types: <https://www.tcpdump.org/linktypes.html>.

use super::CaptureError;
use std::ops::Range;

const ETHERNET_HEADER_BYTES: usize = 14;
const ETHERTYPE_IPV4: [u8; 2] = [0x08, 0x00];
const ETHERTYPE_IPV6: [u8; 2] = [0x86, 0xdd];

/// What stands at the beginning of each captured packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Link {
    Ethernet,
    /// An IP header.
    RawIp,
    /// 16 bytes, the protocol in the last two (LINKTYPE_LINUX_SLL).
    Cooked,
    /// 20 bytes, the protocol in the first two (LINKTYPE_LINUX_SLL2).
    CookedV2,
}

impl Link {
    /// The link with this number. The upper half of the field holds flags on the frame check
    /// sequence (draft-ietf-opsawg-pcap, section 4), which a frame may keep: IP says its length.
    pub(super) fn from_number(number: u32) -> Result<Self, CaptureError> {
        match number & 0xffff {
            1 => Ok(Self::Ethernet),
            101 | 228 => Ok(Self::RawIp),
            113 => Ok(Self::Cooked),
            276 => Ok(Self::CookedV2),
            link_type => Err(CaptureError::LinkType { link_type }),
        }
    }

    /// Makes an Ethernet frame of the packet at `packet` of `buffer`; returns where it is now.
    ///
    /// At least 14 bytes that nobody needs stand before the packet. A packet too short for its
    /// link header becomes an empty frame, which a decoder counts as malformed.
    pub(super) fn to_ethernet(self, buffer: &mut [u8], packet: Range<usize>) -> Range<usize> {
        let bytes = &buffer[packet.clone()];
        let (ethertype, link_header_bytes) = match self {
            Self::Ethernet => return packet,
            Self::RawIp if bytes.first().is_some_and(|first| first >> 4 == 6) => {
                (Some(ETHERTYPE_IPV6), 0)
            }
            Self::RawIp => (Some(ETHERTYPE_IPV4), 0),
            Self::Cooked => (bytes.get(14..16).and_then(|ethertype| ethertype.try_into().ok()), 16),
            Self::CookedV2 => (bytes.first_chunk().copied().filter(|_| bytes.len() >= 20), 20),
        };
        let Some(ethertype) = ethertype else {
            return packet.end..packet.end;
        };
        let payload = packet.start + link_header_bytes;
        let start = payload - ETHERNET_HEADER_BYTES;
        buffer[start..payload - 2].fill(0);
        buffer[payload - 2..payload].copy_from_slice(&ethertype);
        start..packet.end
    }
}
