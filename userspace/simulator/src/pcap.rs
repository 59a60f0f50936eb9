//! The records of a nanosecond pcap file (draft-ietf-opsawg-pcap), little-endian.
//!
//! A file is the [`FILE_HEADER`], then for each frame its [`packet_header`] and its bytes.

/// Magic of nanosecond files, version 2.4, snapshot length 262,144, link type Ethernet.
pub const FILE_HEADER: [u8; 24] =
    [0x4d, 0x3c, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 1, 0, 0, 0];

/// The header of a frame of `length` bytes, sent at `ts_ns` since the UNIX epoch.
pub fn packet_header(ts_ns: u64, length: u32) -> [u8; 16] {
    const NS_PER_SECOND: u64 = 1_000_000_000;
    let mut header = [0; 16];
    let fields = [(ts_ns / NS_PER_SECOND) as u32, (ts_ns % NS_PER_SECOND) as u32, length, length];
    for (bytes, field) in header.as_chunks_mut::<4>().0.iter_mut().zip(fields) {
        *bytes = field.to_le_bytes();
    }
    header
}
