//! The 16 bytes that the steering program writes before a steered packet.

/// Length of the metadata, which ends where the packet starts.
pub const METADATA_BYTES: usize = 16;

/// High byte of the flags in every metadata of ours (`METADATA_TAG`).
const TAG: u16 = 0xb500;
const TAG_MASK: u16 = 0xff00;
/// The device gave the timestamp (`METADATA_HARDWARE_CLOCK`).
const HARDWARE_CLOCK: u16 = 0x0001;

/// Ethernet, IPv4 and UDP headers without options: no payload starts earlier.
const HEADERS_BYTES_MIN: usize = 14 + 20 + 8;

/// What the steering program found out about a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// When the packet arrived, nanoseconds: on CLOCK_TAI of this host, or on
    /// the device's own clock where [`Metadata::hardware_clock`] says so.
    pub rx_timestamp_ns: u64,
    /// Whether the device took the timestamp.
    pub hardware_clock: bool,
    /// Index of the line that the packet matched.
    pub line: u16,
    /// Where the UDP payload starts, from the first byte of the packet.
    pub payload_offset: u16,
    /// Length of the UDP payload in bytes.
    pub payload_length: u16,
}

impl Metadata {
    /// Reads the metadata of `packet`, or None where there is none.
    ///
    /// A driver that cannot carry metadata leaves these bytes as they were, so
    /// presence cannot be known from the kernel. Three things must agree: the
    /// tag in the flags, a payload that lies within the packet, and the length
    /// field of the UDP header right before that payload. The reader must also
    /// clear the tag once read ([`Metadata::clear`]), so that no later packet in
    /// the same frame can inherit it.
    #[inline]
    pub fn read(bytes: &[u8; METADATA_BYTES], packet: &[u8]) -> Option<Metadata> {
        let [t0, t1, t2, t3, t4, t5, t6, t7, l0, l1, f0, f1, o0, o1, n0, n1] = *bytes;
        let flags = u16::from_ne_bytes([f0, f1]);
        if flags & TAG_MASK != TAG {
            return None;
        }
        let metadata = Metadata {
            rx_timestamp_ns: u64::from_ne_bytes([t0, t1, t2, t3, t4, t5, t6, t7]),
            hardware_clock: flags & HARDWARE_CLOCK != 0,
            line: u16::from_ne_bytes([l0, l1]),
            payload_offset: u16::from_ne_bytes([o0, o1]),
            payload_length: u16::from_ne_bytes([n0, n1]),
        };
        metadata.describes(packet).then_some(metadata)
    }

    /// Makes [`Metadata::read`] answer None for these bytes from now on.
    #[inline]
    pub fn clear(bytes: &mut [u8; METADATA_BYTES]) {
        *bytes = [0; METADATA_BYTES];
    }

    #[inline]
    fn describes(&self, packet: &[u8]) -> bool {
        let start = usize::from(self.payload_offset);
        let length = usize::from(self.payload_length);
        if start < HEADERS_BYTES_MIN || start + length > packet.len() {
            return false;
        }
        let udp_length = u16::from_be_bytes([packet[start - 4], packet[start - 3]]);
        usize::from(udp_length) == length + 8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet() -> Vec<u8> {
        let mut packet = vec![0; 52];
        packet[38..40].copy_from_slice(&18u16.to_be_bytes());
        packet
    }

    fn bytes() -> [u8; METADATA_BYTES] {
        let mut bytes = [0; METADATA_BYTES];
        bytes[0..8].copy_from_slice(&7u64.to_ne_bytes());
        bytes[8..10].copy_from_slice(&3u16.to_ne_bytes());
        bytes[10..12].copy_from_slice(&(TAG | HARDWARE_CLOCK).to_ne_bytes());
        bytes[12..14].copy_from_slice(&42u16.to_ne_bytes());
        bytes[14..16].copy_from_slice(&10u16.to_ne_bytes());
        bytes
    }

    #[test]
    fn reads_what_the_program_writes() {
        let metadata = Metadata::read(&bytes(), &packet()).unwrap();
        assert_eq!(metadata.rx_timestamp_ns, 7);
        assert!(metadata.hardware_clock);
        assert_eq!(metadata.line, 3);
        assert_eq!((metadata.payload_offset, metadata.payload_length), (42, 10));
    }

    #[test]
    fn is_absent_when_any_witness_disagrees() {
        let mut cleared = bytes();
        Metadata::clear(&mut cleared);
        assert_eq!(Metadata::read(&cleared, &packet()), None);
        for length in 0..52 {
            assert_eq!(Metadata::read(&bytes(), &packet()[..length]), None);
        }
        let mut other_length = packet();
        other_length[39] += 1;
        assert_eq!(Metadata::read(&bytes(), &other_length), None);
        let mut too_early = bytes();
        too_early[12..14].copy_from_slice(&41u16.to_ne_bytes());
        assert_eq!(Metadata::read(&too_early, &packet()), None);
    }
}
