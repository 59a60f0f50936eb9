//! pcapng files: sections of blocks (draft-ietf-opsawg-pcapng).
//!
//! Several sections, several interfaces a section, each with its own link type, time resolution
//! and offset. Blocks that hold no packet are stepped over. Packet blocks are read field by field
//! here, without the list that a block's options would need; section headers and interface
//! descriptions go through `pcap-parser`.

use super::link::Link;
use super::window::Window;
use super::{CaptureError, Found};
use pcap_parser::{
    InterfaceDescriptionBlock, OptionCode, parse_interfacedescriptionblock_be,
    parse_interfacedescriptionblock_le, parse_sectionheaderblock,
};
use wirebook_model::UnixNanos;

const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const BYTE_ORDER_MAGIC: u32 = 0x1a2b_3c4d;
const INTERFACE_DESCRIPTION: u32 = 1;
const OBSOLETE_PACKET: u32 = 2;
const SIMPLE_PACKET: u32 = 3;
const ENHANCED_PACKET: u32 = 6;

const BLOCK_HEADER_BYTES: usize = 8;
const BLOCK_TRAILER_BYTES: usize = 4;

/// True where a file that begins like this is a pcapng file.
pub(super) fn is_pcapng(first: &[u8]) -> bool {
    first.starts_with(&SECTION_HEADER.to_be_bytes())
}

#[derive(Default)]
pub(super) struct Pcapng {
    big_endian: bool,
    interfaces: Vec<Interface>,
}

struct Interface {
    link: u32,
    /// Longest capture of a packet; 0 for no limit.
    snap_bytes: u32,
    units_per_second: u64,
    offset_s: i64,
}

impl Pcapng {
    pub(super) fn next(&mut self, window: &mut Window) -> Result<Option<Found>, CaptureError> {
        loop {
            if !window.require(BLOCK_HEADER_BYTES)? {
                return Ok(None);
            }
            let kind = self.block_kind(window)?;
            let length = self.word(window.data(), 4) as usize;
            if length < BLOCK_HEADER_BYTES + BLOCK_TRAILER_BYTES || !length.is_multiple_of(4) {
                return Err(window.damaged(format!(
                    "expected a block length of 12 or more in fours, found {length}"
                )));
            }
            window.require_item(length, "a block")?;
            match kind {
                SECTION_HEADER => self.begin_section(window, length)?,
                INTERFACE_DESCRIPTION => self.add_interface(window, length)?,
                ENHANCED_PACKET => return self.enhanced_packet(window, length).map(Some),
                SIMPLE_PACKET => return self.simple_packet(window, length).map(Some),
                OBSOLETE_PACKET => {
                    return Err(window.damaged(
                        "expected Enhanced or Simple Packet Blocks, found the obsolete Packet \
                         Block (type 2)",
                    ));
                }
                _ => {}
            }
            window.consume(length);
        }
    }

    /// The block's type; at a section header, takes on the section's byte order first.
    fn block_kind(&mut self, window: &mut Window) -> Result<u32, CaptureError> {
        if !is_pcapng(window.data()) {
            return Ok(self.word(window.data(), 0));
        }
        window.require(BLOCK_HEADER_BYTES + 4)?;
        self.big_endian = match window.data()[8..].first_chunk() {
            Some(magic) if u32::from_be_bytes(*magic) == BYTE_ORDER_MAGIC => true,
            Some(magic) if u32::from_le_bytes(*magic) == BYTE_ORDER_MAGIC => false,
            _ => return Err(window.damaged("expected the byte-order magic 1a2b3c4d")),
        };
        Ok(SECTION_HEADER)
    }

    fn begin_section(&mut self, window: &Window, length: usize) -> Result<(), CaptureError> {
        match parse_sectionheaderblock(&window.data()[..length]) {
            Ok((_, header)) if header.major_version == 1 => {
                self.interfaces.clear();
                Ok(())
            }
            Ok((_, header)) => Err(window
                .damaged(format!("expected pcapng version 1, found {}", header.major_version))),
            Err(_) => Err(window.damaged("expected a section header")),
        }
    }

    fn add_interface(&mut self, window: &Window, length: usize) -> Result<(), CaptureError> {
        let parse = if self.big_endian {
            parse_interfacedescriptionblock_be
        } else {
            parse_interfacedescriptionblock_le
        };
        let Ok((_, block)) = parse(&window.data()[..length]) else {
            return Err(window.damaged("expected an interface description"));
        };
        let Some(units_per_second) = units_per_second(block.if_tsresol) else {
            return Err(window.damaged(format!(
                "expected a time resolution of at most 10^-19 or 2^-63 s, found {:#04x}",
                block.if_tsresol
            )));
        };
        self.interfaces.push(Interface {
            link: block.linktype.0.cast_unsigned(),
            snap_bytes: block.snaplen,
            units_per_second,
            offset_s: self.offset_s(&block),
        });
        Ok(())
    }

    /// `if_tsoffset`, in the section's byte order.
    fn offset_s(&self, block: &InterfaceDescriptionBlock<'_>) -> i64 {
        let option = block.options.iter().find(|option| option.code == OptionCode::IfTsoffset);
        match option.and_then(|option| option.value().first_chunk()) {
            Some(value) if self.big_endian => i64::from_be_bytes(*value),
            Some(value) => i64::from_le_bytes(*value),
            None => 0,
        }
    }

    /// Section 4.3: interface, time (two words), captured and original length, packet, options.
    fn enhanced_packet(&self, window: &mut Window, length: usize) -> Result<Found, CaptureError> {
        const PACKET_AT: usize = 28;
        if length < PACKET_AT + BLOCK_TRAILER_BYTES {
            return Err(window.damaged(format!("expected a packet block, found {length} bytes")));
        }
        let data = window.data();
        let interface = self.interface(window, self.word(data, 8))?;
        let units = u64::from(self.word(data, 12)) << 32 | u64::from(self.word(data, 16));
        let captured = self.word(data, 20);
        let captured_short = captured < self.word(data, 24);
        let room = length - PACKET_AT - BLOCK_TRAILER_BYTES;
        if captured as usize > room {
            return Err(window.damaged(format!(
                "expected a packet of at most {room} bytes in its block, found {captured}"
            )));
        }
        let packet = PACKET_AT..PACKET_AT + captured as usize;
        let link = Link::from_number(interface.link)?;
        let ts_recv = interface.ts_recv(units);
        let frame = link.to_ethernet(window.data_mut(), packet);
        Ok(Found { frame, ts_recv, captured_short, consumes: length })
    }

    /// Section 4.4: original length, packet; no time. The interface is the section's first.
    fn simple_packet(&self, window: &mut Window, length: usize) -> Result<Found, CaptureError> {
        const PACKET_AT: usize = 12;
        if length < PACKET_AT + BLOCK_TRAILER_BYTES {
            return Err(window.damaged(format!("expected a packet block, found {length} bytes")));
        }
        let interface = self.interface(window, 0)?;
        let original = self.word(window.data(), 8);
        let limit = if interface.snap_bytes == 0 { u32::MAX } else { interface.snap_bytes };
        let captured = original.min(limit) as usize;
        let room = length - PACKET_AT - BLOCK_TRAILER_BYTES;
        if captured > room {
            return Err(window.damaged(format!(
                "expected a packet of at most {room} bytes in its block, found {captured}"
            )));
        }
        let link = Link::from_number(interface.link)?;
        let captured_short = (captured as u64) < u64::from(original);
        // The 12 bytes before the packet are two short of an Ethernet header: the packet moves up
        // by four, over the end of its block, so that it has 16.
        let data = window.data_mut();
        data.copy_within(PACKET_AT..PACKET_AT + captured, PACKET_AT + BLOCK_TRAILER_BYTES);
        let packet_at = PACKET_AT + BLOCK_TRAILER_BYTES;
        let frame = link.to_ethernet(data, packet_at..packet_at + captured);
        Ok(Found { frame, ts_recv: 0, captured_short, consumes: length })
    }

    fn interface(&self, window: &Window, index: u32) -> Result<&Interface, CaptureError> {
        self.interfaces.get(index as usize).ok_or_else(|| {
            window.damaged(format!(
                "expected one of the {} interfaces described so far, found interface {index}",
                self.interfaces.len()
            ))
        })
    }

    /// The 32-bit number at `at`; the caller has made sure that it is there.
    fn word(&self, data: &[u8], at: usize) -> u32 {
        let bytes = data[at..].first_chunk().copied().unwrap_or_default();
        if self.big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }
    }
}

impl Interface {
    fn ts_recv(&self, units: u64) -> UnixNanos {
        let seconds = i128::from(units / self.units_per_second) + i128::from(self.offset_s);
        let rest = i128::from(units % self.units_per_second) * 1_000_000_000;
        let total_ns = seconds * 1_000_000_000 + rest / i128::from(self.units_per_second);
        u64::try_from(total_ns.max(0)).unwrap_or(u64::MAX)
    }
}

/// `if_tsresol` (section 4.2): a power of ten, or with its top bit set of two.
fn units_per_second(resolution: u8) -> Option<u64> {
    if resolution & 0x80 == 0 {
        10u64.checked_pow(u32::from(resolution))
    } else {
        1u64.checked_shl(u32::from(resolution & 0x7f))
    }
}
