//! `wirebook sim`: a market onto a wire or into a file.

use crate::capture::{self, CaptureKind, Item};
use crate::cli::SimArgs;
use anyhow::{Context, bail};
use serde_json::json;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::net::SocketAddrV4;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use wirebook_simulator::{Line, Market, MarketConfig, PacketConfig, Packets, pcap};
use wirebook_xdp::FrameSender;

const NS_PER_SECOND: u64 = 1_000_000_000;

/// Midnight, US Eastern, of the day that a written capture plays on: 2026-01-05.
const CAPTURE_MIDNIGHT_NS: u64 = 1_767_589_200_000_000_000;

/// Over how long a generated market is spread where nothing else is asked for.
const DURATION_SECONDS: u64 = 20;

/// Shorter waits than this are spun away: a sleep takes longer.
const SPIN: Duration = Duration::from_micros(200);

/// What was sent or written.
#[derive(Clone, Copy, Debug, Default)]
struct Sent {
    packets: u64,
    messages: u64,
    bytes: u64,
}

/// Runs the command.
///
/// # Errors
/// Fails where the interface, the capture or the output cannot be used.
pub fn run(args: &SimArgs) -> anyhow::Result<ExitCode> {
    let began = Instant::now();
    let sent = match (&args.capture, &args.write, &args.interface) {
        (Some(capture), _, Some(interface)) => play_capture(args, capture, interface)?,
        (None, Some(path), _) => write_market(args, path)?,
        (None, None, Some(interface)) => play_market(args, interface)?,
        _ => bail!("expected --interface or --write"),
    };
    let seconds = began.elapsed().as_secs_f64();
    let Sent { packets, messages, bytes } = sent;
    if args.json {
        let object =
            json!({"packets": packets, "messages": messages, "bytes": bytes, "seconds": seconds});
        println!("{object}");
    } else {
        println!("{packets} packets, {messages} messages, {bytes} bytes in {seconds:.3} s");
    }
    Ok(ExitCode::SUCCESS)
}

fn packets(args: &SimArgs) -> anyhow::Result<(Packets, Line)> {
    if !args.group.is_multicast() {
        bail!("expected a multicast group, found {}", args.group);
    }
    let seconds = args.duration.unwrap_or(DURATION_SECONDS);
    let market = Market::new(MarketConfig {
        seed: args.seed,
        instruments: args.instruments,
        messages: args.messages,
        // Even where they are sent at once, messages have times of their own.
        duration_ns: seconds.max(1).saturating_mul(NS_PER_SECOND),
        ..MarketConfig::default()
    })?;
    let line = Line::new(SocketAddrV4::new(args.group, args.port));
    Ok((Packets::new(market, PacketConfig::default()), line))
}

fn play_market(args: &SimArgs, interface: &str) -> anyhow::Result<Sent> {
    let (packets, line) = packets(args)?;
    let sender = FrameSender::open(interface)?;
    let pace = Pace::start(if args.duration == Some(0) { 0.0 } else { 1.0 });
    let mut frame = Vec::new();
    let mut sent = Sent::default();
    for packet in packets {
        line.frame(&packet.payload, &mut frame);
        pace.until(packet.offset_ns);
        sender.send(&frame).with_context(|| format!("cannot send on {interface}"))?;
        sent.add(u64::from(packet.messages), &frame);
    }
    Ok(sent)
}

fn write_market(args: &SimArgs, path: &Path) -> anyhow::Result<Sent> {
    let (packets, line) = packets(args)?;
    let file = File::create(path).with_context(|| format!("cannot create {}", path.display()))?;
    let mut out = BufWriter::new(file);
    out.write_all(&pcap::FILE_HEADER)?;
    let start_ns = CAPTURE_MIDNIGHT_NS + packets.market().config().start_ns;
    let mut frame = Vec::new();
    let mut sent = Sent::default();
    for packet in packets {
        line.frame(&packet.payload, &mut frame);
        let length = u32::try_from(frame.len()).context("a frame is shorter than 4 GiB")?;
        out.write_all(&pcap::packet_header(start_ns + packet.offset_ns, length))?;
        out.write_all(&frame)?;
        sent.add(u64::from(packet.messages), &frame);
    }
    out.flush()?;
    Ok(sent)
}

/// Plays a capture's frames as they are; its messages are not counted, they may be of any venue.
fn play_capture(args: &SimArgs, path: &Path, interface: &str) -> anyhow::Result<Sent> {
    let mut capture = capture::open(path)?;
    if capture.kind() != CaptureKind::Packets {
        bail!(
            "expected a capture of packets, found {} in {}",
            capture.kind().name(),
            path.display()
        );
    }
    let sender = FrameSender::open(interface)?;
    let pace = Pace::start(match args.duration {
        Some(0) => 0.0,
        Some(seconds) => recorded_ns(path)? as f64 / (seconds * NS_PER_SECOND) as f64,
        None => args.speed,
    });
    let mut first_ns = None;
    let mut sent = Sent::default();
    while let Some(item) = capture.next()? {
        let Item::Packet { ts_recv, bytes, captured_short: false } = item else { continue };
        let first_ns = *first_ns.get_or_insert(ts_recv);
        pace.until(ts_recv.saturating_sub(first_ns));
        sender.send(bytes).with_context(|| format!("cannot send on {interface}"))?;
        sent.add(0, bytes);
    }
    Ok(sent)
}

/// From a capture's first packet to its last.
fn recorded_ns(path: &Path) -> anyhow::Result<u64> {
    let mut capture = capture::open(path)?;
    let (mut first_ns, mut last_ns) = (u64::MAX, 0);
    while let Some(item) = capture.next()? {
        if let Item::Packet { ts_recv, .. } = item {
            first_ns = first_ns.min(ts_recv);
            last_ns = last_ns.max(ts_recv);
        }
    }
    Ok(last_ns.saturating_sub(first_ns))
}

impl Sent {
    fn add(&mut self, messages: u64, frame: &[u8]) {
        self.packets += 1;
        self.messages += messages;
        self.bytes += frame.len() as u64;
    }
}

/// Open-loop pacing: each packet has its time from the start, and one that is late delays none
/// after it.
struct Pace {
    began: Instant,
    speed: f64,
}

impl Pace {
    fn start(speed: f64) -> Self {
        Self { began: Instant::now(), speed }
    }

    fn until(&self, offset_ns: u64) {
        if self.speed == 0.0 {
            return;
        }
        let due = Duration::from_nanos((offset_ns as f64 / self.speed) as u64);
        loop {
            let Some(left) = due.checked_sub(self.began.elapsed()) else { return };
            if left > SPIN {
                std::thread::sleep(left - SPIN);
            } else {
                std::hint::spin_loop();
            }
        }
    }
}
