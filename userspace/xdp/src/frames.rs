//! The UMEM of one socket: packet memory cut into frames.
//!
//! Arrives: descriptors from the kernel. Leaves: the packet bytes and the
//! metadata of a frame that is ours. Promises: a descriptor is a claim until
//! [`Frames::take_back`] has held it against the UMEM and against the list of
//! frames that the kernel holds; so a frame is read only between its receipt
//! and its return.
#![allow(
    unsafe_code,
    reason = "packet memory is shared with the kernel: what makes each access sound is proved here"
)]

use std::io::{self, Write};
use std::num::NonZeroU32;
use std::ptr;

use wirebook_ebpf::{METADATA_BYTES, Metadata};
use xsk_rs::config::UmemConfig;
use xsk_rs::{FrameDesc, Umem};

/// Bytes that the kernel keeps free before each packet (include/uapi/linux/bpf.h).
const XDP_PACKET_HEADROOM: usize = 256;

const CACHE_LINE_BYTES: usize = 64;

/// Cache lines of a packet that are brought near: its metadata, the headers, and as much of the payload
/// as a few messages take. The processor itself follows a longer one.
const LINES_AHEAD: usize = 4;

/// Packet memory, and who holds which frame of it.
#[derive(Debug)]
pub(crate) struct Frames {
    umem: Umem,
    /// Address of the UMEM's first byte.
    base: usize,
    umem_bytes: usize,
    /// A power of two, as the kernel's aligned mode wants it.
    frame_bytes: usize,
    hugepages: bool,
    /// One bit a frame: set while the kernel holds it.
    with_kernel: Box<[u64]>,
}

impl Frames {
    /// Takes memory for at least `frames` frames and gives one descriptor each.
    /// On hugepages the memory is rounded up to whole ones; without any, a
    /// warning, and ordinary pages.
    pub(crate) fn allocate(
        config: UmemConfig,
        frames: u32,
        hugepages: bool,
    ) -> Result<(Self, Vec<FrameDesc>), io::Error> {
        let frame_bytes = config.frame_size().get();
        if hugepages {
            let rounded = whole_hugepages(frames, frame_bytes, hugepage_bytes());
            match Self::map(config, rounded, true) {
                // ENOMEM: none free. EINVAL, ENODEV: a kernel without them.
                Err(error)
                    if matches!(
                        error.raw_os_error(),
                        Some(libc::ENOMEM | libc::EINVAL | libc::ENODEV)
                    ) =>
                {
                    tracing::warn!(
                        %error,
                        bytes = u64::from(rounded) * u64::from(frame_bytes),
                        "no hugepages for the UMEM: using ordinary pages, which is slower; \
                         reserve some with `sysctl vm.nr_hugepages=N`"
                    );
                }
                result => return result,
            }
        }
        Self::map(config, frames, false)
    }

    fn map(
        config: UmemConfig,
        frames: u32,
        hugepages: bool,
    ) -> Result<(Self, Vec<FrameDesc>), io::Error> {
        let count = NonZeroU32::new(frames).ok_or(io::ErrorKind::InvalidInput)?;
        let (umem, descriptors) = Umem::new(config, count, hugepages).map_err(os_error)?;
        let first = descriptors.first().ok_or(io::ErrorKind::InvalidInput)?;
        // SAFETY: `first` is a descriptor of this UMEM with length 0, so no byte
        // is covered by the slice; the kernel has been given no frame yet.
        let data = unsafe { umem.data(first) };
        let base = data.contents().as_ptr().expose_provenance() - first.addr();
        let frame_bytes = config.frame_size().get() as usize;
        let frames = frames as usize;
        Ok((
            Self {
                umem,
                base,
                umem_bytes: frames * frame_bytes,
                frame_bytes,
                hugepages,
                with_kernel: vec![0; frames.div_ceil(64)].into_boxed_slice(),
            },
            descriptors,
        ))
    }

    pub(crate) fn umem(&self) -> &Umem {
        &self.umem
    }

    pub(crate) fn umem_bytes(&self) -> usize {
        self.umem_bytes
    }

    pub(crate) fn on_hugepages(&self) -> bool {
        self.hugepages
    }

    /// Bytes that a packet of ours may have: a frame without the kernel's headroom.
    pub(crate) fn room(&self) -> usize {
        self.frame_bytes - XDP_PACKET_HEADROOM
    }

    /// Puts a packet of at most [`Frames::room`] bytes, of which the rest is cut off, into a frame.
    ///
    /// # Safety
    /// The frame is ours: it came from [`Frames::allocate`] or [`Frames::take_back`] said true for
    /// it, and it has not been handed over since.
    #[inline]
    pub(crate) unsafe fn put(&mut self, descriptor: &mut FrameDesc, packet: &[u8]) {
        // SAFETY: the descriptor names a frame of this UMEM, which by the caller's promise is ours;
        // `&mut self` keeps out any slice made by `packet`.
        let mut data = unsafe { self.umem.data_mut(descriptor) };
        let mut cursor = data.cursor();
        cursor.set_pos(0);
        // Writing to memory does not fail; what is beyond the room is not taken.
        let _ = cursor.write(packet);
    }

    /// Notes that the frame of `descriptor` goes to the kernel.
    #[inline]
    pub(crate) fn hand_over(&mut self, descriptor: &FrameDesc) {
        let (word, bit) = self.place(descriptor);
        self.with_kernel[word] |= bit;
    }

    /// Takes the frame of a descriptor that the kernel gave. False when its
    /// bytes are not inside one frame of this UMEM, or when that frame was
    /// never given to the kernel: then nothing of it may be touched.
    #[inline]
    pub(crate) fn take_back(&mut self, descriptor: &FrameDesc) -> bool {
        let start = descriptor.addr();
        let length = descriptor.lengths().data();
        let room = self.frame_bytes - self.offset_in_frame(start);
        if start >= self.umem_bytes || length > room {
            return false;
        }
        let (word, bit) = self.place(descriptor);
        let held = self.with_kernel[word] & bit != 0;
        self.with_kernel[word] &= !bit;
        held
    }

    /// The packet of a frame.
    ///
    /// # Safety
    /// [`Frames::take_back`] said true for `descriptor`, and its frame has not
    /// been handed over since, nor will be while the slice lives.
    #[inline]
    pub(crate) unsafe fn packet(&self, descriptor: &FrameDesc) -> &[u8] {
        // SAFETY: the caller has it from `take_back` that the bytes lie inside
        // one frame of this UMEM, and that the frame is ours: the kernel writes
        // only to frames on the fill ring, and we write packet bytes nowhere.
        unsafe { self.umem.data(descriptor) }.contents()
    }

    /// Has the metadata and the first bytes of a packet brought near: another core has just written them.
    ///
    /// The descriptor may be any claim: nothing is read, and a hint never faults (Intel 64 and IA-32
    /// Architectures Software Developer's Manual, volume 2B, PREFETCHh).
    #[inline]
    pub(crate) fn prefetch(&self, descriptor: &FrameDesc) {
        let first = self.base.wrapping_add(descriptor.addr()) & !(CACHE_LINE_BYTES - 1);
        for line in 0..LINES_AHEAD {
            let address = first.wrapping_add(line * CACHE_LINE_BYTES);
            prefetch(address.wrapping_sub(CACHE_LINE_BYTES));
        }
    }

    /// Reads the metadata before a packet and clears it, so that a later packet
    /// in the same frame cannot inherit it.
    ///
    /// # Safety
    /// As for [`Frames::packet`].
    #[inline]
    pub(crate) unsafe fn take_metadata(&mut self, descriptor: &FrameDesc) -> Option<Metadata> {
        if self.offset_in_frame(descriptor.addr()) < METADATA_BYTES {
            return None;
        }
        let address = self.base + descriptor.addr() - METADATA_BYTES;
        let bytes = ptr::with_exposed_provenance_mut::<[u8; METADATA_BYTES]>(address);
        // SAFETY: in bounds, because `take_back` put the packet's start inside a
        // frame and it is at least 16 bytes into it. Aligned, as bytes always
        // are. The UMEM's provenance was exposed in `map` (and libxdp hands the
        // same address to the kernel as an integer). Exclusive: the frame is
        // ours, these bytes are outside every slice made by `packet`, and
        // `&mut self` keeps out any other call.
        let bytes = unsafe { &mut *bytes };
        // SAFETY: the caller's promise is the one that `packet` asks for.
        let packet = unsafe { self.packet(descriptor) };
        let metadata = Metadata::read(bytes, packet);
        Metadata::clear(bytes);
        metadata
    }

    #[inline]
    fn place(&self, descriptor: &FrameDesc) -> (usize, u64) {
        let frame = descriptor.addr() >> self.frame_bytes.trailing_zeros();
        (frame / 64, 1 << (frame % 64))
    }

    #[inline]
    fn offset_in_frame(&self, address: usize) -> usize {
        address & (self.frame_bytes - 1)
    }
}

/// Asks the processor to bring a cache line near; on one for which no such instruction is known here,
/// nothing happens.
#[inline]
fn prefetch(address: usize) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the instruction needs SSE, which every x86_64 has; it reads and writes no memory in the
    // sense of the language and never faults, so the address may be any.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(ptr::without_provenance(address));
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}

/// `frames` rounded up so that they fill whole hugepages: munmap(2) takes no
/// part of one.
fn whole_hugepages(frames: u32, frame_bytes: u32, hugepage_bytes: u32) -> u32 {
    frames.next_multiple_of((hugepage_bytes / frame_bytes).max(1))
}

/// The kernel's default hugepage size (proc(5), meminfo), or 2 MiB.
fn hugepage_bytes() -> u32 {
    std::fs::read_to_string("/proc/meminfo")
        .ok()
        .and_then(|text| {
            let line = text.lines().find(|line| line.starts_with("Hugepagesize:"))?;
            line.split_whitespace().nth(1)?.parse::<u32>().ok()
        })
        .map_or(2 << 20, |kibibytes| kibibytes.saturating_mul(1024))
}

/// The operating system's error inside one of xsk-rs.
pub(crate) fn os_error(error: impl std::error::Error + 'static) -> io::Error {
    let inner = std::error::Error::source(&error)
        .and_then(|source| source.downcast_ref::<io::Error>())
        .and_then(io::Error::raw_os_error);
    match inner {
        Some(errno) => io::Error::from_raw_os_error(errno),
        None => io::Error::other(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_descriptor_is_believed_once_and_only_inside_the_umem() {
        let config = UmemConfig::default();
        let (Ok((mut few, own)), Ok((_, others))) =
            (Frames::allocate(config, 2, false), Frames::allocate(config, 128, false))
        else {
            return skip();
        };
        assert!(!few.take_back(&own[0]), "never handed over");
        few.hand_over(&own[0]);
        assert!(!few.take_back(&own[1]), "another frame");
        assert!(few.take_back(&own[0]));
        assert!(!few.take_back(&own[0]), "given twice");
        for beyond in &others[2..] {
            assert!(!few.take_back(beyond), "past the end");
        }
    }

    #[test]
    fn metadata_is_read_once() {
        let Ok((mut frames, mut own)) = Frames::allocate(UmemConfig::default(), 2, false) else {
            return skip();
        };
        let descriptor = &mut own[1];
        frames.hand_over(descriptor);
        // What the kernel writes: a packet of 50 bytes whose UDP length says 16,
        // and before it the metadata.
        let mut packet = [0; 50];
        packet[38..40].copy_from_slice(&16u16.to_be_bytes());
        let mut written = [0; METADATA_BYTES];
        written[8..10].copy_from_slice(&7u16.to_ne_bytes());
        written[10..12].copy_from_slice(&0xb500u16.to_ne_bytes());
        written[12..14].copy_from_slice(&42u16.to_ne_bytes());
        written[14..16].copy_from_slice(&8u16.to_ne_bytes());
        // SAFETY: one thread, no kernel ring yet: nobody else has the frame.
        let mut data = unsafe { frames.umem.data_mut(descriptor) };
        data.cursor().write_all(&packet).unwrap();
        let place = frames.base + descriptor.addr() - METADATA_BYTES;
        // SAFETY: inside the frame, before the packet, and borrowed by nobody.
        unsafe { ptr::with_exposed_provenance_mut::<[u8; METADATA_BYTES]>(place).write(written) };

        assert!(frames.take_back(descriptor));
        // SAFETY: taken back on the line above, and not handed over since.
        assert_eq!(unsafe { frames.packet(descriptor) }, packet);
        // SAFETY: as above.
        let first = unsafe { frames.take_metadata(descriptor) };
        assert_eq!(first.map(|metadata| metadata.line), Some(7));
        // SAFETY: as above.
        let second = unsafe { frames.take_metadata(descriptor) };
        assert_eq!(second, None, "a later packet without metadata inherits none");
    }

    #[test]
    fn frames_fill_whole_hugepages() {
        const MIB: u32 = 1 << 20;
        assert_eq!(whole_hugepages(128, 2048, 2 * MIB), 1024);
        assert_eq!(whole_hugepages(32_768, 2048, 2 * MIB), 32_768);
        assert_eq!(whole_hugepages(1025, 4096, 2 * MIB), 1536);
        assert!(hugepage_bytes().is_power_of_two());
    }

    fn skip() {
        assert!(
            std::env::var_os("WIREBOOK_REQUIRE_PRIVILEGED").is_none_or(|value| value != "1"),
            "a UMEM needs CAP_NET_RAW"
        );
        eprintln!("SKIP: a UMEM needs CAP_NET_RAW");
    }
}
