//! Capture files: packets, messages or records out of a file, one at a time.
//!
//! Arrives: a path. Leaves: [`Item`]s, borrowed from the read buffer: Ethernet frames with their
//! times from pcap and pcapng, ITCH messages from Nasdaq's daily files, DBN records; each plain,
//! gzip or zstd. Promises: memory stays bounded however long the file is; what stands before a cut
//! or a damaged place is given, as far as the decompressor gives it, then one error that says
//! where, then the end; no input panics. The caller counts frames captured short and files that were cut
//! ([`CaptureError::is_truncated`]).

mod daily;
mod dbn_events;
mod error;
mod lines;
mod link;
mod pcap;
mod pcapng;
mod recording;
mod window;

#[cfg(test)]
mod tests;

pub use dbn_events::DbnEvents;
pub use error::CaptureError;
pub use lines::{Destination, FoundChannel, LineFinder};
pub use window::Progress;

use dbn::{Metadata, RecordRef};
use jiff::civil::Date;
use std::ops::Range;
use std::path::Path;
use window::Window;
use wirebook_model::UnixNanos;

/// One thing out of a capture.
pub enum Item<'a> {
    /// A packet.
    Packet {
        /// When it was captured; 0 where the file does not tell.
        ts_recv: UnixNanos,
        /// The Ethernet frame, without its frame check sequence in most captures.
        bytes: &'a [u8],
        /// True where the capture kept less than there was on the wire.
        captured_short: bool,
    },
    /// An ITCH 5.0 message.
    Message {
        /// From its type byte on.
        bytes: &'a [u8],
    },
    /// A DBN record of the current version.
    Record(RecordRef<'a>),
}

/// What a capture holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CaptureKind {
    /// Packets, from pcap or pcapng.
    Packets,
    /// ITCH messages, from a Nasdaq daily file.
    Messages,
    /// DBN records.
    Records,
}

impl CaptureKind {
    /// What people call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Packets => "packets",
            Self::Messages => "ITCH messages",
            Self::Records => "DBN records",
        }
    }
}

/// An open capture file.
pub struct Capture {
    window: Window,
    progress: Progress,
    format: Format,
    date: Option<Date>,
    /// Bytes of the item given last.
    given: usize,
    ended: bool,
}

enum Format {
    Pcap(pcap::Pcap),
    Pcapng(pcapng::Pcapng),
    Daily,
    Recording(Box<recording::Recording>),
}

/// A packet found at the head of the window.
struct Found {
    frame: Range<usize>,
    ts_recv: UnixNanos,
    captured_short: bool,
    /// Bytes to step over when the packet has been used.
    consumes: usize,
}

/// Opens a capture; its first bytes say what it is, its name only where they do not.
///
/// # Errors
/// Where the file cannot be read, is none of the known kinds, or its header is cut or damaged.
pub fn open(path: &Path) -> Result<Capture, CaptureError> {
    let (mut window, progress) = Window::open(path)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let first = window.first_bytes()?;
    let format = if pcap::is_pcap(first) {
        Format::Pcap(pcap::Pcap::open(&mut window)?)
    } else if pcapng::is_pcapng(first) {
        Format::Pcapng(pcapng::Pcapng::default())
    } else if recording::is_dbn(first) {
        Format::Recording(Box::new(recording::Recording::open(&mut window)?))
    } else if daily::is_daily(first) || (daily::is_daily_name(&name) && !first.is_empty()) {
        Format::Daily
    } else {
        let found = match first {
            [] => "an empty file".to_owned(),
            first => format!("bytes {first:02x?}"),
        };
        return Err(CaptureError::UnknownKind { path: path.to_owned(), found });
    };
    let date = matches!(format, Format::Daily).then(|| daily::date_in_name(&name)).flatten();
    Ok(Capture { window, progress, format, date, given: 0, ended: false })
}

impl Capture {
    /// The next item; none at the end.
    ///
    /// # Errors
    /// Once, where the file is cut, damaged or cannot be read on; after it there is no more.
    #[expect(
        clippy::should_implement_trait,
        reason = "an item borrows the capture, which an Iterator's cannot"
    )]
    pub fn next(&mut self) -> Result<Option<Item<'_>>, CaptureError> {
        if self.ended {
            return Ok(None);
        }
        self.window.consume(std::mem::take(&mut self.given));
        let found = match &mut self.format {
            Format::Pcap(pcap) => pcap.next(&mut self.window),
            Format::Pcapng(pcapng) => pcapng.next(&mut self.window),
            Format::Daily => return self.next_message(),
            Format::Recording(_) => return self.next_record(),
        };
        self.ended = !matches!(found, Ok(Some(_)));
        let window = &self.window;
        let given = &mut self.given;
        found.map(|found| {
            found.map(|Found { frame, ts_recv, captured_short, consumes }| {
                *given = consumes;
                Item::Packet { ts_recv, bytes: &window.data()[frame], captured_short }
            })
        })
    }

    /// What the file holds.
    pub fn kind(&self) -> CaptureKind {
        match self.format {
            Format::Pcap(_) | Format::Pcapng(_) => CaptureKind::Packets,
            Format::Daily => CaptureKind::Messages,
            Format::Recording(_) => CaptureKind::Records,
        }
    }

    /// The metadata of a DBN file.
    pub fn metadata(&self) -> Option<&Metadata> {
        match &self.format {
            Format::Recording(recording) => Some(recording.metadata()),
            _ => None,
        }
    }

    /// The day that a daily file's name tells: `01302020.NASDAQ_ITCH50` or `S013020-v50.txt`.
    pub fn date(&self) -> Option<Date> {
        self.date
    }

    /// Bytes read of the file as it is on disk, and its size; the size is 0 for a pipe.
    pub fn position(&self) -> (u64, u64) {
        self.progress.position()
    }

    /// The same as [`Capture::position`], for a thread that draws a bar.
    pub fn progress(&self) -> Progress {
        self.progress.clone()
    }

    fn next_message(&mut self) -> Result<Option<Item<'_>>, CaptureError> {
        let found = daily::next(&mut self.window);
        self.ended = !matches!(found, Ok(Some(_)));
        Ok(found?.map(|message| {
            self.given = message.end;
            Item::Message { bytes: &self.window.data()[message] }
        }))
    }

    fn next_record(&mut self) -> Result<Option<Item<'_>>, CaptureError> {
        let Format::Recording(recording) = &mut self.format else {
            return Ok(None);
        };
        let advanced = recording.advance(&mut self.window);
        self.ended = !matches!(advanced, Ok(true));
        advanced.map(|more| if more { recording.record().map(Item::Record) } else { None })
    }
}
