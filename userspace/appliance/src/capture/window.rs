//! A sliding window over a file's uncompressed bytes.
//!
//! Arrives: a path. Leaves: slices of the file's content, after gzip or zstd, as long as the
//! reader asks for. Memory is bounded by the longest item asked for, never by the file. An end in
//! mid-item and a decompressor's complaint become errors only once what came before is consumed.

use super::CaptureError;
use std::fs::File;
use std::io::{self, BufRead, BufReader, ErrorKind, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The longest item (packet, block, message) accepted, in bytes.
///
/// libpcap's largest snapshot length for an Ethernet capture is 262,144; pcapng's blocks of names
/// and comments are longer, but a block past this is damage, not data.
pub(super) const ITEM_BYTES_MAX: usize = 16 << 20;

const WINDOW_BYTES: usize = 256 << 10;
/// Bytes asked of a decompressor at once: where it finds damage it gives none of them.
const READ_BYTES_MAX: usize = 32 << 10;
const FILE_BUFFER_BYTES: usize = 128 << 10;

/// How far a file has been read, for a progress bar on another thread.
#[derive(Clone, Debug)]
pub struct Progress {
    read_bytes: Arc<AtomicU64>,
    total_bytes: u64,
}

impl Progress {
    /// Bytes read of the file as it is on disk, and its size; the size is 0 for a pipe.
    pub fn position(&self) -> (u64, u64) {
        (self.read_bytes.load(Ordering::Relaxed), self.total_bytes)
    }
}

pub(super) struct Window {
    reader: Box<dyn Read + Send>,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// Uncompressed offset of `start`.
    offset: u64,
    ending: Option<Ending>,
}

/// Why the reader has no more.
enum Ending {
    Clean,
    /// The decompressor wanted more of the file.
    Cut,
    Failed(Option<io::Error>),
}

impl Window {
    pub(super) fn open(path: &Path) -> Result<(Self, Progress), CaptureError> {
        let open = |source| CaptureError::Open { path: path.to_owned(), source };
        let file = File::open(path).map_err(open)?;
        let metadata = file.metadata().map_err(open)?;
        if metadata.is_dir() {
            return Err(open(io::Error::from(ErrorKind::IsADirectory)));
        }
        let progress = Progress {
            read_bytes: Arc::default(),
            total_bytes: if metadata.is_file() { metadata.len() } else { 0 },
        };
        let counted = CountedFile { file, read_bytes: Arc::clone(&progress.read_bytes) };
        let reader = decompressed(BufReader::with_capacity(FILE_BUFFER_BYTES, counted))
            .map_err(|source| CaptureError::Read { at_byte: 0, source })?;
        Ok((Self::new(reader), progress))
    }

    pub(super) fn new(reader: Box<dyn Read + Send>) -> Self {
        Self { reader, buffer: vec![0; WINDOW_BYTES], start: 0, end: 0, offset: 0, ending: None }
    }

    /// Makes `count` bytes available: false at a clean end of the file with none left.
    ///
    /// # Errors
    /// `Truncated` where some but fewer than `count` are left, `Read` where reading failed.
    pub(super) fn require(&mut self, count: usize) -> Result<bool, CaptureError> {
        while self.end - self.start < count && self.ending.is_none() {
            self.read_some(count);
        }
        let found = self.end - self.start;
        if found >= count {
            return Ok(true);
        }
        let truncated = CaptureError::Truncated { at_byte: self.offset, expected: count, found };
        match &mut self.ending {
            Some(Ending::Clean) | None if found == 0 => Ok(false),
            Some(Ending::Failed(error)) => Err(error
                .take()
                .map_or(truncated, |source| CaptureError::Read { at_byte: self.offset, source })),
            _ => Err(truncated),
        }
    }

    /// As [`Window::require`] for an item that the file says is `count` long.
    ///
    /// # Errors
    /// `Damaged` where that is too long to be one.
    pub(super) fn require_item(&mut self, count: usize, what: &str) -> Result<bool, CaptureError> {
        if count > ITEM_BYTES_MAX {
            return Err(self.damaged(format!(
                "expected {what} of at most {ITEM_BYTES_MAX} bytes, found {count}"
            )));
        }
        self.require(count)
    }

    /// The file's first bytes, 16 or as many as it has: what it is.
    pub(super) fn first_bytes(&mut self) -> Result<&[u8], CaptureError> {
        const FIRST_BYTES: usize = 16;
        match self.require(FIRST_BYTES) {
            Err(CaptureError::Truncated { found: 1.., .. }) | Ok(_) => {
                Ok(&self.data()[..self.data().len().min(FIRST_BYTES)])
            }
            Err(error) => Err(error),
        }
    }

    /// Uncompressed bytes stepped over so far.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// The bytes available now.
    pub(super) fn data(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    /// The bytes available now, for rewriting in place.
    pub(super) fn data_mut(&mut self) -> &mut [u8] {
        &mut self.buffer[self.start..self.end]
    }

    /// Steps over `count` available bytes.
    pub(super) fn consume(&mut self, count: usize) {
        let count = count.min(self.end - self.start);
        self.start += count;
        self.offset += count as u64;
    }

    pub(super) fn damaged(&self, what: impl Into<String>) -> CaptureError {
        CaptureError::Damaged { at_byte: self.offset, what: what.into() }
    }

    fn read_some(&mut self, count: usize) {
        if self.buffer.len() - self.start < count {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
            if self.buffer.len() < count {
                self.buffer.resize(count, 0);
            }
        }
        let space = &mut self.buffer[self.end..];
        let length = space.len().min(READ_BYTES_MAX);
        match self.reader.read(&mut space[..length]) {
            Ok(0) => self.ending = Some(Ending::Clean),
            Ok(read) => self.end += read,
            Err(error) => match error.kind() {
                ErrorKind::Interrupted => {}
                ErrorKind::UnexpectedEof => self.ending = Some(Ending::Cut),
                _ => self.ending = Some(Ending::Failed(Some(error))),
            },
        }
    }
}

/// Chooses by content: gzip (RFC 1952, any number of members), zstd (RFC 8878, any number of
/// frames, skippable ones included), or as it is.
fn decompressed(mut file: BufReader<CountedFile>) -> io::Result<Box<dyn Read + Send>> {
    Ok(match *file.fill_buf()? {
        [0x1f, 0x8b, ..] => Box::new(flate2::bufread::MultiGzDecoder::new(file)),
        [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => {
            Box::new(zstd::stream::read::Decoder::with_buffer(file)?)
        }
        _ => Box::new(file),
    })
}

struct CountedFile {
    file: File,
    read_bytes: Arc<AtomicU64>,
}

impl Read for CountedFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        self.read_bytes.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}
