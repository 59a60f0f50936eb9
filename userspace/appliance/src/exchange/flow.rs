//! What an exchange says: a generated market, or the flow of files in sessions of its own.
//!
//! Arrives: a [`MarketConfig`] or files. Leaves: ITCH 5.0 messages in order. DBN files of
//! order-by-order records are transcoded ([`Transcoder`] says what ITCH cannot say of them);
//! Nasdaq's daily files and captures of ITCH over MoldUDP64 are taken message by message, of a
//! capture's sequences the first copy. A file that is cut or damaged on the way is said on the log,
//! and what stands before it is used.

use crate::capture::{self, Capture, CaptureKind, Item};
use anyhow::bail;
use dbn::{MboMsg, Metadata, RecordRef};
use std::collections::{HashMap, VecDeque};
use std::path::PathBuf;
use wirebook_simulator::{
    ConfigError, Market, MarketConfig, MessageSource, TranscodeCounts, Transcoder,
};
use wirebook_wire::{Datagram, PacketKind, Transport, TransportPacket};

/// Where a transcoded day begins: 09:30.
const START_NS: u64 = 34_200_000_000_000;

/// The flow of one session.
pub enum Source {
    /// Generated.
    Market(Box<Market>),
    /// Read.
    Files(Box<FlowFiles>),
}

impl Source {
    /// A generated market.
    ///
    /// # Errors
    /// [`ConfigError`] where the configuration contradicts itself.
    pub fn market(config: MarketConfig) -> Result<Self, ConfigError> {
        Market::new(config).map(|market| Self::Market(Box::new(market)))
    }

    /// The flow of these files, in order.
    ///
    /// # Errors
    /// Fails where a file cannot be opened or the files hold different things.
    pub fn files(files: &[PathBuf]) -> anyhow::Result<Self> {
        FlowFiles::open(files).map(|flow| Self::Files(Box::new(flow)))
    }

    /// What ITCH could not say of a DBN flow.
    pub fn transcoded(&self) -> Option<TranscodeCounts> {
        match self {
            Self::Files(flow) if flow.kind == CaptureKind::Records => {
                Some(flow.transcoder.counts())
            }
            Self::Market(_) | Self::Files(_) => None,
        }
    }
}

impl MessageSource for Source {
    fn next_message(&mut self, out: &mut Vec<u8>) -> Option<u64> {
        match self {
            Self::Market(market) => market.next_message(out),
            Self::Files(flow) => flow.next_message(out),
        }
    }
}

/// Files whose flow is played as one session.
pub struct FlowFiles {
    kind: CaptureKind,
    /// Files not yet opened.
    files: VecDeque<PathBuf>,
    open: Option<(PathBuf, Capture)>,
    transcoder: Transcoder,
    /// The next sequence of a capture, once its first is known.
    next_sequence: Option<u64>,
    /// Read and not yet given: time and bytes.
    pending: VecDeque<(u64, Vec<u8>)>,
    has_ended: bool,
}

impl FlowFiles {
    /// The flow of these files, in order.
    ///
    /// # Errors
    /// Fails where a file cannot be opened or the files hold different things.
    pub fn open(files: &[PathBuf]) -> anyhow::Result<Self> {
        let kind = crate::replay::kind_of_all(files)?;
        let mut symbols = HashMap::new();
        for path in files {
            if let Some(metadata) = capture::open(path)?.metadata() {
                symbols.extend(symbols_of(metadata));
            }
        }
        let mut flow = Self {
            kind,
            files: files.iter().cloned().collect(),
            open: None,
            transcoder: Transcoder::new(START_NS, symbols),
            next_sequence: None,
            pending: VecDeque::new(),
            has_ended: false,
        };
        if kind == CaptureKind::Records {
            put(&mut flow.pending, flow.transcoder.begin());
        }
        flow.read()?;
        if flow.pending.is_empty() {
            bail!("expected ITCH messages or order-by-order records, found none");
        }
        Ok(flow)
    }

    /// Reads on until there is something to give or nothing left.
    fn read(&mut self) -> anyhow::Result<()> {
        while self.pending.is_empty() && !self.has_ended {
            if self.open.is_none() {
                let Some(path) = self.files.pop_front() else {
                    self.has_ended = true;
                    if self.kind == CaptureKind::Records {
                        put(&mut self.pending, self.transcoder.end());
                    }
                    break;
                };
                let capture = capture::open(&path)?;
                self.open = Some((path, capture));
            }
            self.read_item();
        }
        Ok(())
    }

    fn read_item(&mut self) {
        let Some((path, capture)) = &mut self.open else { return };
        match capture.next() {
            Ok(Some(Item::Record(record))) => {
                transcode(record, &mut self.transcoder, &mut self.pending);
            }
            Ok(Some(Item::Message { bytes })) => self.pending.push_back(timed(bytes)),
            Ok(Some(Item::Packet { bytes, .. })) => {
                unpack(bytes, &mut self.next_sequence, &mut self.pending);
            }
            Ok(None) => self.open = None,
            Err(error) => {
                tracing::warn!("{}: {error}; what stands before it was used", path.display());
                self.open = None;
            }
        }
    }
}

impl MessageSource for FlowFiles {
    fn next_message(&mut self, out: &mut Vec<u8>) -> Option<u64> {
        if let Err(error) = self.read() {
            tracing::warn!("{error:#}; what stands before it was used");
        }
        let (timestamp_ns, message) = self.pending.pop_front()?;
        out.extend(message);
        Some(timestamp_ns)
    }
}

fn put(
    pending: &mut VecDeque<(u64, Vec<u8>)>,
    messages: impl Iterator<Item = wirebook_simulator::Message>,
) {
    pending.extend(messages.map(|message| {
        let mut bytes = Vec::new();
        message.encode(&mut bytes);
        (message.timestamp_ns, bytes)
    }));
}

fn transcode(
    record: RecordRef<'_>,
    transcoder: &mut Transcoder,
    pending: &mut VecDeque<(u64, Vec<u8>)>,
) {
    if let Some(record) = record.get::<MboMsg>() {
        put(pending, transcoder.record(record));
    }
}

/// The messages of a captured frame that no frame before it has brought.
fn unpack(frame: &[u8], next: &mut Option<u64>, pending: &mut VecDeque<(u64, Vec<u8>)>) {
    let Ok(datagram) = Datagram::parse(frame) else { return };
    let packet = TransportPacket::parse(Transport::MoldUdp64, datagram.payload);
    let Ok(packet) = packet.map_err(|_| ()) else { return };
    if packet.kind != PacketKind::Messages {
        return;
    }
    for (sequence, message) in (packet.sequence..).zip(packet.blocks.map_while(Result::ok)) {
        if !message.is_empty() && next.is_none_or(|next| sequence >= next) {
            pending.push_back(timed(message));
            *next = Some(sequence + 1);
        }
    }
}

/// A message with its time (ITCH 5.0: six bytes from offset 5); 0 where it is too short.
fn timed(message: &[u8]) -> (u64, Vec<u8>) {
    let time = message
        .get(5..11)
        .map_or(0, |bytes| bytes.iter().fold(0, |time, byte| time << 8 | u64::from(*byte)));
    (time, message.to_vec())
}

/// Symbols by instrument id, where a file maps them either way.
fn symbols_of(metadata: &Metadata) -> HashMap<u32, String> {
    let pairs = metadata.mappings.iter().flat_map(|mapping| {
        mapping.intervals.iter().flat_map(|interval| {
            let (symbol, id) = (&mapping.raw_symbol, &interval.symbol);
            [(id, symbol), (symbol, id)]
        })
    });
    pairs.filter_map(|(id, symbol)| Some((id.parse().ok()?, symbol.clone()))).collect()
}
