//! A worker's packets as files.
//!
//! Arrives: pieces of packets out of a ring. Leaves: pcapng files (draft-ietf-opsawg-pcapng), one an
//! hour, with times in nanoseconds. A frame is written as it came. Of a packet from a UDP socket only
//! the payload is at hand; its Ethernet, IPv4 and UDP headers are made up from its line's group and
//! port, and the file says so.

use super::RecorderCounters;
use super::files::{Disk, HourlyFiles, Output, hour_of};
use super::tap::PacketHead;
use anyhow::anyhow;
use pcap_parser::{
    EnhancedPacketBlock, InterfaceDescriptionBlock, Linktype, OptionCode, PcapNGOption,
    SectionHeaderBlock, ToVec,
};
use std::io;
use wirebook_simulator::Line;

/// Packets held back at most, in bytes.
const PENDING_BYTES_MAX: usize = 1 << 20;
/// The longest UDP payload of an IPv4 packet (RFC 768, RFC 791).
const PAYLOAD_BYTES_MAX: usize = 65_507;
const NANOSECONDS: u8 = 9;
const MADE_UP: &str = "UDP sockets gave payloads alone: Ethernet, IPv4 and UDP headers are made up \
                       from each line's group and port";

/// The packets of one worker.
pub(super) struct PacketFiles {
    files: HourlyFiles,
    /// What payloads are framed as, by line.
    lines: Vec<Line>,
    /// Packets come as payloads.
    made_up: bool,
    hour: u64,
    output: Option<Box<dyn Output>>,
    pending: Vec<u8>,
    /// The packet whose pieces are coming.
    packet: Vec<u8>,
    frame: Vec<u8>,
}

impl PacketFiles {
    pub(super) fn new(files: HourlyFiles, lines: Vec<Line>, made_up: bool) -> Self {
        let pending = Vec::with_capacity(PENDING_BYTES_MAX + (1 << 17));
        Self {
            files,
            lines,
            made_up,
            hour: 0,
            output: None,
            pending,
            packet: Vec::new(),
            frame: Vec::new(),
        }
    }

    /// Takes the next piece.
    pub(super) fn piece(
        &mut self,
        head: PacketHead,
        piece: &[u8],
        disk: Disk,
        counters: &mut RecorderCounters,
    ) -> anyhow::Result<()> {
        if head.first {
            self.packet.clear();
        }
        self.packet.extend_from_slice(piece);
        if self.packet.len() != head.length as usize {
            return Ok(());
        }
        let packet = std::mem::take(&mut self.packet);
        let taken = self.packet(&head, &packet, disk, counters);
        self.packet = packet;
        taken
    }

    /// Pieces are missing: the packet that they are of is none.
    pub(super) fn hole(&mut self) {
        self.packet.clear();
    }

    /// Writes what is pending.
    pub(super) fn flush(&mut self, disk: Disk, counters: &mut RecorderCounters) -> io::Result<()> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let output = match &mut self.output {
            Some(output) => output,
            none => {
                counters.files += 1;
                none.insert(self.files.create(disk, self.hour)?)
            }
        };
        output.write_all(&self.pending)?;
        counters.flushes += 1;
        counters.bytes += self.pending.len() as u64;
        self.pending.clear();
        Ok(())
    }

    /// Ends the file that is being written.
    pub(super) fn close(&mut self) -> io::Result<()> {
        self.output.take().map_or(Ok(()), |output| output.sync())
    }

    fn packet(
        &mut self,
        head: &PacketHead,
        packet: &[u8],
        disk: Disk,
        counters: &mut RecorderCounters,
    ) -> anyhow::Result<()> {
        let hour = hour_of(head.ts_recv);
        let is_new = self.output.is_none() && self.pending.is_empty();
        if !is_new && hour > self.hour {
            self.flush(disk, counters)?;
            self.close()?;
        }
        if self.output.is_none() && self.pending.is_empty() {
            self.hour = hour;
            self.begin()?;
        }
        match head.line {
            None => self.put(head.ts_recv, packet)?,
            Some(line) => {
                let mut frame = std::mem::take(&mut self.frame);
                match self.lines.get(usize::from(line)) {
                    Some(line) if packet.len() <= PAYLOAD_BYTES_MAX => {
                        line.frame(packet, &mut frame);
                        self.put(head.ts_recv, &frame)?;
                    }
                    _ => counters.bad_entries += 1,
                }
                self.frame = frame;
            }
        }
        counters.packets += 1;
        if self.pending.len() >= PENDING_BYTES_MAX {
            self.flush(disk, counters)?;
        }
        Ok(())
    }

    fn put(&mut self, ts_recv: u64, frame: &[u8]) -> anyhow::Result<()> {
        let length = u32::try_from(frame.len())?;
        self.put_block(EnhancedPacketBlock {
            block_type: 0,
            block_len1: 0,
            if_id: 0,
            ts_high: (ts_recv >> 32) as u32,
            ts_low: ts_recv as u32,
            caplen: length,
            origlen: length,
            data: frame,
            options: Vec::new(),
            block_len2: 0,
        })
    }

    /// Begins a file: a section, and the one interface of its packets.
    fn begin(&mut self) -> anyhow::Result<()> {
        self.put_block(SectionHeaderBlock {
            block_type: 0,
            block_len1: 0,
            bom: 0,
            major_version: 1,
            minor_version: 0,
            section_len: -1,
            options: Vec::new(),
            block_len2: 0,
        })?;
        let mut options = vec![option(OptionCode::IfName, self.files.stem.as_bytes())];
        if self.made_up {
            options.push(option(OptionCode::Comment, MADE_UP.as_bytes()));
        }
        options.push(option(OptionCode::IfTsresol, &[NANOSECONDS]));
        self.put_block(InterfaceDescriptionBlock {
            block_type: 0,
            block_len1: 0,
            linktype: Linktype::ETHERNET,
            reserved: 0,
            snaplen: 0,
            options,
            block_len2: 0,
            if_tsresol: NANOSECONDS,
            if_tsoffset: 0,
        })
    }

    fn put_block(&mut self, mut block: impl ToVec) -> anyhow::Result<()> {
        let bytes = block.to_vec().map_err(|error| anyhow!("a pcapng block: {error:?}"))?;
        self.pending.extend(bytes);
        Ok(())
    }
}

/// An option, its value filled up to a multiple of four bytes.
fn option(code: OptionCode, value: &[u8]) -> PcapNGOption<'static> {
    let mut padded = value.to_vec();
    padded.resize(value.len().next_multiple_of(4), 0);
    PcapNGOption { code, len: value.len() as u16, value: padded.into() }
}
