//! Classic pcap files: one header, then packets.
//!
//! Both byte orders, micro- and nanoseconds (draft-ietf-opsawg-pcap).

use super::link::Link;
use super::window::Window;
use super::{CaptureError, Found};
use pcap_parser::{PcapHeader, parse_pcap_frame, parse_pcap_frame_be, parse_pcap_header};
use wirebook_model::UnixNanos;

const FILE_HEADER_BYTES: usize = 24;
const PACKET_HEADER_BYTES: usize = 16;

/// True where a file that begins like this is a pcap file.
pub(super) fn is_pcap(first: &[u8]) -> bool {
    first.first_chunk().is_some_and(|magic| {
        let native = u32::from_le_bytes(*magic);
        [native, native.swap_bytes()].iter().any(|magic| matches!(magic, 0xa1b2_c3d4 | 0xa1b2_3c4d))
    })
}

pub(super) struct Pcap {
    header: PcapHeader,
    link: Link,
}

impl Pcap {
    pub(super) fn open(window: &mut Window) -> Result<Self, CaptureError> {
        window.require(FILE_HEADER_BYTES)?;
        let header = match parse_pcap_header(window.data()) {
            Ok((_, header)) => header,
            Err(_) => return Err(window.damaged("expected a pcap file header")),
        };
        let link = Link::from_number(header.network.0.cast_unsigned())?;
        window.consume(FILE_HEADER_BYTES);
        Ok(Self { header, link })
    }

    pub(super) fn next(&mut self, window: &mut Window) -> Result<Option<Found>, CaptureError> {
        if !window.require(PACKET_HEADER_BYTES)? {
            return Ok(None);
        }
        let length = PACKET_HEADER_BYTES + self.captured_bytes(window.data());
        window.require_item(length, "a packet")?;
        let parse = if self.header.is_bigendian() { parse_pcap_frame_be } else { parse_pcap_frame };
        let Ok((_, frame)) = parse(&window.data()[..length]) else {
            return Err(window.damaged("expected a packet header"));
        };
        let ts_recv = self.ts_recv(frame.ts_sec, frame.ts_usec);
        let captured_short = frame.caplen < frame.origlen;
        let frame = self.link.to_ethernet(window.data_mut(), PACKET_HEADER_BYTES..length);
        Ok(Some(Found { frame, ts_recv, captured_short, consumes: length }))
    }

    fn captured_bytes(&self, packet_header: &[u8]) -> usize {
        let field = packet_header[8..].first_chunk().copied().unwrap_or_default();
        let length = if self.header.is_bigendian() {
            u32::from_be_bytes(field)
        } else {
            u32::from_le_bytes(field)
        };
        length as usize
    }

    fn ts_recv(&self, seconds: u32, fraction: u32) -> UnixNanos {
        let fraction_ns = if self.header.is_nanosecond_precision() { 1 } else { 1_000 };
        u64::from(seconds) * 1_000_000_000 + u64::from(fraction) * fraction_ns
    }
}
