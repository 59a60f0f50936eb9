//! `wirebook sim`: an exchange on a wire or in a file.
//!
//! First the judge hears the whole flow, so that nothing of it slows the sending; then it is
//! played. A capture is played frame by frame, as it is.

use crate::capture::{self, CaptureKind, Item};
use crate::cli::SimArgs;
use crate::clock::{self, VenueDay};
use crate::exchange::{
    Judge, Outlet, Pace, Played, SendBy, Sent, ServerReport, Servers, Source, Stage, Truth,
};
use crate::housekeeping::Stop;
use anyhow::bail;
use jiff::civil::Date;
use serde_json::{Map, Value, json};
use std::net::SocketAddrV4;
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, RwLock};
use std::time::Instant;
use wirebook_machine::Limits;
use wirebook_simulator::{
    Exchange, FaultCounts, Faults, Line, MarketConfig, PacketConfig, Packets, TranscodeCounts,
};

const NS_PER_SECOND: u64 = 1_000_000_000;

/// The day that a written capture plays on.
const CAPTURE_DATE: Date = jiff::civil::date(2026, 1, 5);

/// Over how long a generated market is spread where nothing else is asked for.
const DURATION_SECONDS: u64 = 20;

/// Room for the judge's books.
const LIMITS: Limits = Limits { instruments: 1 << 16, orders: 1 << 22, levels: 1 << 20 };

/// How the ten bytes of a session's name begin; its number follows.
const SESSION: [u8; 8] = *b"WIREBOOK";

/// What an exchange has come to.
struct Summary {
    played: Played,
    sent: Sent,
    seconds: f64,
    lines: Vec<(SocketAddrV4, FaultCounts)>,
    servers: Option<ServerReport>,
    transcoded: Option<TranscodeCounts>,
    truth: Option<Truth>,
}

/// Runs the command.
///
/// # Errors
/// Fails where the interface, a file, an address or the output cannot be used, and where the
/// appliance's books are not the exchange's.
pub fn run(args: &SimArgs) -> anyhow::Result<ExitCode> {
    let summary = match (&args.capture, &args.interface) {
        (Some(path), Some(interface)) => play_capture(args, path, interface)?,
        _ => play(args)?,
    };
    if args.json {
        println!("{}", summary.to_json()?);
    } else {
        summary.print();
    }
    Ok(ExitCode::SUCCESS)
}

/// Plays a market or the flow of files.
fn play(args: &SimArgs) -> anyhow::Result<Summary> {
    let date = date(args)?;
    let truth = if args.no_digest { None } else { Some(judge(args, date)?) };
    let lines = lines(args)?;
    let addresses: Vec<_> = lines.iter().map(|line| line.group).collect();
    let stop = Stop::on_signals()?;
    let mut session = packets(args, 1)?;
    let outlet = outlet(args, lines, date, session.start_ns())?;
    let exchange = args.servers.any().then(|| Arc::new(RwLock::new(Exchange::new(name(1)))));
    let servers = match &exchange {
        Some(exchange) => Some(Servers::start(&args.servers, exchange)?),
        None => None,
    };

    let began = Instant::now();
    let fault_seed = args.faults.fault_seed.unwrap_or(args.seed);
    let faults = Faults::new(fault_seed, args.faults.lines(addresses.len()));
    let mut stage = Stage::new(outlet, pace(args), faults, exchange, &stop);
    stage.play(name(1), &mut session)?;
    for number in 2..=args.sessions {
        session = packets(args, number)?;
        stage.play(name(number), &mut session)?;
    }
    // How fast it was: not slower for saying the end of a session for a while.
    let seconds = began.elapsed().as_secs_f64();
    stage.linger(args.servers.linger, &session)?;
    let (played, sent, counts) = stage.finish()?;
    Ok(Summary {
        played,
        sent,
        seconds,
        lines: addresses.into_iter().zip(counts).collect(),
        servers: servers.map(Servers::finish).transpose()?,
        transcoded: session.market().transcoded(),
        truth,
    })
}

/// What a receiver of the undisturbed flow ends with.
fn judge(args: &SimArgs, date: Date) -> anyhow::Result<Truth> {
    let midnight_ns = VenueDay::eastern_midnight(date)?;
    let mut judge = Judge::new(date, LIMITS)?;
    for number in 1..=args.sessions {
        judge.roll();
        let packets = packets(args, number)?;
        let start_ns = midnight_ns + packets.start_ns();
        for packet in packets {
            judge.packet(&packet, start_ns + packet.offset_ns);
        }
    }
    judge.finish()
}

/// The packets of a session, counted from 1.
fn packets(args: &SimArgs, number: u8) -> anyhow::Result<Packets<Source>> {
    let source = match &args.flow {
        Some(files) => Source::files(files)?,
        None => Source::market(MarketConfig {
            seed: args.seed.wrapping_add(u64::from(number) - 1),
            instruments: args.instruments,
            messages: args.messages,
            // Even where they are sent at once, messages have times of their own.
            duration_ns: duration_seconds(args).max(1).saturating_mul(NS_PER_SECOND),
            ..MarketConfig::default()
        })?,
    };
    let standard = PacketConfig::default();
    let config = PacketConfig {
        session: name(number),
        messages_max: args.messages_a_packet,
        ends: if args.abrupt { 0 } else { standard.ends },
        ..standard
    };
    Ok(Packets::new(source, config))
}

/// A session's name.
fn name(number: u8) -> [u8; 10] {
    let mut name = [0; 10];
    name[..8].copy_from_slice(&SESSION);
    name[8..].copy_from_slice(&[b'0' + number / 10 % 10, b'0' + number % 10]);
    name
}

fn duration_seconds(args: &SimArgs) -> u64 {
    args.duration.unwrap_or(DURATION_SECONDS)
}

fn pace(args: &SimArgs) -> Pace {
    let pace = match args.rate {
        Some(rate) => Pace::rate(rate),
        None if args.duration == Some(0) => Pace::factor(0.0),
        None => Pace::factor(args.speed),
    };
    if args.write.is_some() { pace.without_waiting() } else { pace }
}

/// Lines A and, where it is asked for, B.
fn lines(args: &SimArgs) -> anyhow::Result<Vec<Line>> {
    let mut addresses = vec![SocketAddrV4::new(args.group, args.port)];
    if let Some(group) = args.group_b {
        addresses.push(SocketAddrV4::new(group, args.port_b.unwrap_or(args.port)));
    }
    for address in &addresses {
        if !address.ip().is_multicast() {
            bail!("expected a multicast group, found {}", address.ip());
        }
    }
    if let [a, b] = addresses[..]
        && a == b
    {
        bail!("expected another group or port for line B than for line A, found {b} for both");
    }
    Ok(addresses.into_iter().map(Line::new).collect())
}

fn date(args: &SimArgs) -> anyhow::Result<Date> {
    match args.date {
        Some(date) => Ok(date),
        None if args.write.is_some() => Ok(CAPTURE_DATE),
        None => Ok(VenueDay::eastern_date(clock::now())?),
    }
}

fn outlet(args: &SimArgs, lines: Vec<Line>, date: Date, start_ns: u64) -> anyhow::Result<Outlet> {
    match (&args.write, &args.interface) {
        (Some(path), _) => {
            Outlet::create(path, VenueDay::eastern_midnight(date)? + start_ns, lines)
        }
        (None, Some(interface)) => Outlet::open(interface, args.send, lines),
        (None, None) => bail!("expected --interface or --write"),
    }
}

/// Plays a capture's frames as they are; its messages are not counted, they may be of any venue.
fn play_capture(args: &SimArgs, path: &Path, interface: &str) -> anyhow::Result<Summary> {
    if args.faults.any() || args.servers.any() || args.group_b.is_some() || args.sessions > 1 {
        bail!("a capture is played as it is: --flow FILE sends its messages on lines of our own");
    }
    let mut capture = capture::open(path)?;
    if capture.kind() != CaptureKind::Packets {
        let (found, path) = (capture.kind().name(), path.display());
        bail!("expected a capture of packets, found {found} in {path}");
    }
    if args.send == SendBy::Socket {
        bail!("a capture is played as frames: expected another way of sending than socket");
    }
    let mut outlet = Outlet::open(interface, args.send, Vec::new())?;
    let stop = Stop::on_signals()?;
    let mut pace = Pace::factor(match args.duration {
        Some(0) => 0.0,
        Some(seconds) => recorded_ns(path)? as f64 / (seconds * NS_PER_SECOND) as f64,
        None => args.speed,
    });
    let mut first_ns = None;
    let mut packets = 0;
    while !stop.is_set()
        && let Some(item) = capture.next()?
    {
        let Item::Packet { ts_recv, bytes, captured_short: false } = item else { continue };
        let first_ns = *first_ns.get_or_insert(ts_recv);
        let at_ns = pace.schedule_ns(ts_recv.saturating_sub(first_ns));
        if pace.is_early(at_ns) {
            outlet.flush()?;
            pace.wait_until(at_ns, || stop.is_set());
        }
        outlet.send_frame(at_ns, bytes)?;
        packets += 1;
    }
    outlet.finish()?;
    Ok(Summary {
        played: Played { packets, ..Played::default() },
        sent: outlet.sent()?,
        seconds: pace.elapsed_ns() as f64 / NS_PER_SECOND as f64,
        lines: Vec::new(),
        servers: None,
        transcoded: None,
        truth: None,
    })
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

impl Summary {
    fn to_json(&self) -> serde_json::Result<Value> {
        let Played { packets, messages, sessions } = self.played;
        let mut object = Map::new();
        object.insert("packets".into(), json!(packets));
        object.insert("messages".into(), json!(messages));
        object.insert("bytes".into(), json!(self.sent.bytes));
        object.insert("refused".into(), json!(self.sent.refused));
        object.insert("retried".into(), json!(self.sent.retried));
        object.insert("seconds".into(), json!(self.seconds));
        object.insert("sessions".into(), json!(sessions));
        let line = |(name, (group, counts)): (&str, &(SocketAddrV4, FaultCounts))| {
            let mut line = Map::from_iter([("group".to_owned(), json!(group.to_string()))]);
            line.extend(counts.named().map(|(name, count)| (name.to_owned(), json!(count))));
            (name.to_owned(), Value::Object(line))
        };
        let lines = ["A", "B"].into_iter().zip(&self.lines).map(line);
        object.insert("lines".into(), Value::Object(lines.collect()));
        if let Some(servers) = &self.servers
            && let Value::Object(servers) = servers.to_json()?
        {
            object.extend(servers);
        }
        if let Some(counts) = &self.transcoded {
            object.insert("transcoded".into(), transcoded_json(counts));
        }
        if let Some(truth) = &self.truth
            && let Value::Object(truth) = serde_json::to_value(truth)?
        {
            object.extend(truth);
        }
        Ok(Value::Object(object))
    }

    fn print(&self) {
        let Played { packets, messages, .. } = self.played;
        let (Sent { bytes, refused, retried }, seconds) = (self.sent, self.seconds);
        println!("{packets} packets, {messages} messages, {bytes} bytes in {seconds:.3} s");
        if refused > 0 {
            println!("{refused} frames refused by the interface");
        }
        if retried > 0 {
            println!("{retried} times sent again what the interface refused");
        }
        for (name, (group, counts)) in ["A", "B"].iter().zip(&self.lines) {
            println!("line {name} {group}: {}", counted(counts.named()));
        }
        let servers = self.servers.clone().unwrap_or_default();
        for (address, counts) in servers.retransmit {
            println!("retransmit {address}: {}", counted(counts.named()));
        }
        for (address, counts) in servers.glimpse {
            println!(
                "glimpse {address}: {} connections, {} complete",
                counts.connections, counts.complete
            );
        }
        if let Some(counts) = &self.transcoded {
            println!("transcoded: {}", transcoded_json(counts));
        }
        if let Some(truth) = &self.truth {
            println!("{} instruments, {} orders", truth.instruments, truth.orders);
            println!("digest {}", truth.digest);
            println!("state_digest {}", truth.state_digest);
        }
    }
}

/// What was counted at all: `3 lost, 2 reordered`.
fn counted<const N: usize>(named: [(&'static str, u64); N]) -> String {
    let shown = named.iter().filter(|(_, count)| *count > 0);
    shown.map(|(name, count)| format!("{count} {name}")).collect::<Vec<_>>().join(", ")
}

fn transcoded_json(counts: &TranscodeCounts) -> Value {
    json!({
        "records": counts.records,
        "unsayable_prices": counts.unsayable_prices,
        "unsayable_orders": counts.unsayable_orders,
        "unknown_orders": counts.unknown_orders,
        "unsayable_instruments": counts.unsayable_instruments,
    })
}
