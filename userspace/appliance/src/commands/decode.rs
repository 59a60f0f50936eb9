//! `wirebook decode`: one JSON line a venue message.
//!
//! Every message of every packet of a line is shown, whatever the channel would make of it:
//! duplicates and messages after a gap too. What cannot be decoded is shown as hexadecimal bytes
//! with the reason, so nothing is left out.

use crate::capture::{self, Capture, CaptureError, Item};
use crate::cli::DecodeArgs;
use crate::lines::Lines;
use crate::replay::{Channels, kind_of_all};
use anyhow::bail;
use serde_json::{Map, Value, json};
use std::fmt::Write as _;
use std::io::{self, BufWriter, ErrorKind, StdoutLock, Write};
use std::process::ExitCode;
use wirebook_model::UnixNanos;
use wirebook_wire::{Datagram, FieldVisitor, FlagBit, Protocol, TransportPacket};

/// Runs the command; exit status 1 where a file was cut or damaged.
///
/// # Errors
/// Fails where the input cannot be read or the output cannot be written.
pub fn run(args: &DecodeArgs) -> anyhow::Result<ExitCode> {
    let kind = kind_of_all(&args.input.files)?;
    let Channels::Packets(lines) = Channels::find(&args.input, kind)? else {
        bail!("expected venue messages, found DBN records");
    };
    let out = BufWriter::new(io::stdout().lock());
    let mut printer = Printer { lines, out, packet: 0, left: args.limit.unwrap_or(u64::MAX) };
    let mut status = ExitCode::SUCCESS;
    for path in &args.input.files {
        match printer.file(&mut capture::open(path)?) {
            Ok(()) => {}
            Err(Stop::Input(error)) => {
                tracing::warn!("{}: {error}; what stands before it was shown", path.display());
                status = ExitCode::FAILURE;
            }
            // Whoever reads has seen enough.
            Err(Stop::Output(error)) if error.kind() == ErrorKind::BrokenPipe => {
                return Ok(ExitCode::SUCCESS);
            }
            Err(Stop::Output(error)) => return Err(error.into()),
        }
    }
    Ok(status)
}

enum Stop {
    Input(CaptureError),
    Output(io::Error),
}

impl From<CaptureError> for Stop {
    fn from(error: CaptureError) -> Self {
        Self::Input(error)
    }
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

struct Printer {
    lines: Lines,
    out: BufWriter<StdoutLock<'static>>,
    /// Number of the packet in the input, from 1, as capture tools count.
    packet: u64,
    /// Messages still to be shown.
    left: u64,
}

impl Printer {
    fn file(&mut self, capture: &mut Capture) -> Result<(), Stop> {
        let mut sequence = 0;
        while self.left > 0
            && let Some(item) = capture.next()?
        {
            match item {
                Item::Packet { ts_recv, bytes, .. } => self.frame(bytes, ts_recv)?,
                Item::Message { bytes } => {
                    sequence += 1;
                    self.message(Protocol::Itch50, Map::new(), sequence, bytes)?;
                }
                Item::Record(_) => {}
            }
        }
        Ok(self.out.flush()?)
    }

    fn frame(&mut self, frame: &[u8], ts_recv: UnixNanos) -> io::Result<()> {
        self.packet += 1;
        let Ok(datagram) = Datagram::parse(frame) else { return Ok(()) };
        let channel = self.lines.find(&datagram).and_then(|line| self.lines.channel_of(line));
        let Some(spec) = channel.and_then(|(place, _)| self.lines.channels().get(place)) else {
            return Ok(());
        };
        let protocol = spec.protocol;
        let about = Map::from_iter([
            ("packet".to_owned(), json!(self.packet)),
            ("ts_recv".to_owned(), json!(ts_recv)),
        ]);
        let packet = match TransportPacket::parse(protocol.transport(), datagram.payload) {
            Ok(packet) => packet,
            Err(reason) => return self.bytes(about, &reason, datagram.payload),
        };
        for (sequence, block) in (packet.sequence..).zip(packet.blocks) {
            match block {
                Ok(message) => self.message(protocol, about.clone(), sequence, message)?,
                Err(reason) => self.bytes(about.clone(), &reason, &[])?,
            }
        }
        Ok(())
    }

    fn message(
        &mut self,
        protocol: Protocol,
        mut about: Map<String, Value>,
        sequence: u64,
        message: &[u8],
    ) -> io::Result<()> {
        about.insert("sequence".to_owned(), json!(sequence));
        let mut fields = Fields(Map::new());
        match protocol.visit_fields(message, &mut fields) {
            Ok(name) => {
                about.insert("message".to_owned(), json!(name));
                about.append(&mut fields.0);
                self.line(&about)
            }
            Err(reason) => self.bytes(about, &reason, message),
        }
    }

    fn bytes(
        &mut self,
        mut about: Map<String, Value>,
        reason: &impl ToString,
        bytes: &[u8],
    ) -> io::Result<()> {
        let mut hexadecimal = String::with_capacity(2 * bytes.len());
        for byte in bytes {
            // Writing to a String cannot fail.
            let _ = write!(hexadecimal, "{byte:02x}");
        }
        about.insert("error".to_owned(), json!(reason.to_string()));
        about.insert("bytes".to_owned(), json!(hexadecimal));
        self.line(&about)
    }

    fn line(&mut self, object: &Map<String, Value>) -> io::Result<()> {
        if self.left == 0 {
            return Ok(());
        }
        self.left -= 1;
        serde_json::to_writer(&mut self.out, object)?;
        self.out.write_all(b"\n")
    }
}

/// A message's fields as JSON: numbers as numbers, prices as exact decimal text, flags as an
/// object of their bits.
struct Fields(Map<String, Value>);

impl Fields {
    fn put(&mut self, name: &'static str, value: Value) {
        self.0.insert(name.to_owned(), value);
    }
}

impl FieldVisitor for Fields {
    fn number(&mut self, name: &'static str, value: u64) {
        self.put(name, json!(value));
    }

    fn character(&mut self, name: &'static str, value: u8) {
        self.put(name, json!(char::from(value).to_string()));
    }

    fn text(&mut self, name: &'static str, value: &[u8]) {
        self.put(name, json!(String::from_utf8_lossy(value)));
    }

    fn price(&mut self, name: &'static str, units: i128, decimals: u32) {
        let scale = 10_u128.pow(decimals);
        let sign = if units < 0 { "-" } else { "" };
        let (whole, fraction) = (units.unsigned_abs() / scale, units.unsigned_abs() % scale);
        let width = decimals as usize;
        self.put(name, json!(format!("{sign}{whole}.{fraction:0width$}")));
    }

    fn flags(&mut self, name: &'static str, value: u8, bits: &'static [FlagBit]) {
        let bit = |bit: &FlagBit| (bit.name.to_owned(), json!(value & bit.mask != 0));
        self.put(name, Value::Object(bits.iter().map(bit).collect()));
    }
}
