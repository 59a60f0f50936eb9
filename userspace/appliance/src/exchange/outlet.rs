//! Where packets go: frames on an interface, UDP sockets, or a capture file.
//!
//! Arrives: packets of lines, or whole frames. Leaves: the same on the wire or in the file, what
//! [`Outlet::flush`] has not yet sent aside. Promises: whoever cannot send now waits. Counts bytes,
//! and frames that the interface refused all the same ([`Sent`]).

use crate::exchange::SendBy;
use anyhow::{Context, bail};
use socket2::{Domain, Protocol, Socket, Type};
use std::fs::File;
use std::io::{BufWriter, ErrorKind, Write};
use std::path::Path;
use wirebook_simulator::{Line, pcap};
use wirebook_xdp::{BindMode, FrameSender, SocketConfig, XdpSender};

/// An exchange's lines, open for sending.
pub struct Outlet {
    lines: Vec<Line>,
    medium: Medium,
    /// The interface or file, for errors.
    name: String,
    frame: Vec<u8>,
    bytes: u64,
}

/// What an outlet has sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// Bytes of all frames, headers included.
    pub bytes: u64,
    /// Frames that AF_XDP took and the interface or the kernel refused, so that they are lost; the
    /// other ways of sending try again, or fail.
    pub refused: u64,
    /// Times that AF_PACKET's frames were refused and sent again; a veth interface counts each of them
    /// among its `tx_dropped`.
    pub retried: u64,
}

enum Medium {
    Frames(FrameSender),
    Xdp(Box<XdpSender>),
    Sockets(Vec<Socket>),
    File { out: BufWriter<File>, epoch_ns: u64 },
}

impl Outlet {
    /// Lines on an interface.
    ///
    /// # Errors
    /// Fails where there is no such interface or no right to send on it.
    pub fn open(interface: &str, send_by: SendBy, lines: Vec<Line>) -> anyhow::Result<Self> {
        let medium = match send_by {
            SendBy::Frames => Medium::Frames(FrameSender::open(interface)?),
            SendBy::Xdp => Medium::Xdp(Box::new(xdp(interface, BindMode::Auto)?)),
            SendBy::XdpCopy => Medium::Xdp(Box::new(xdp(interface, BindMode::Copy)?)),
            SendBy::Socket => {
                let sockets = lines.iter().map(|line| socket(interface, line));
                let sockets = sockets.collect::<anyhow::Result<_>>();
                Medium::Sockets(sockets.with_context(|| format!("cannot send on {interface}"))?)
            }
        };
        let name = interface.to_owned();
        Ok(Self { lines, medium, name, frame: Vec::new(), bytes: 0 })
    }

    /// Lines into a nanosecond pcap file whose first packet is at `epoch_ns`.
    ///
    /// # Errors
    /// Fails where the file cannot be written.
    pub fn create(path: &Path, epoch_ns: u64, lines: Vec<Line>) -> anyhow::Result<Self> {
        let file =
            File::create(path).with_context(|| format!("cannot create {}", path.display()))?;
        let mut out = BufWriter::new(file);
        out.write_all(&pcap::FILE_HEADER)?;
        let medium = Medium::File { out, epoch_ns };
        let name = path.display().to_string();
        Ok(Self { lines, medium, name, frame: Vec::new(), bytes: 0 })
    }

    /// Sends a payload on a line, `at_ns` after the first packet; at the latest with
    /// [`Outlet::flush`].
    ///
    /// # Errors
    /// send(2)'s and write(2)'s, and an interface that takes nothing.
    pub fn send(&mut self, line: usize, at_ns: u64, payload: &[u8]) -> anyhow::Result<()> {
        let mut frame = std::mem::take(&mut self.frame);
        self.lines[line].frame(payload, &mut frame);
        let sent = match &mut self.medium {
            Medium::Sockets(sockets) => {
                self.bytes += frame.len() as u64;
                send_payload(&sockets[line], payload)
                    .with_context(|| format!("cannot send to {}", self.lines[line].group))
            }
            _ => self.send_frame(at_ns, &frame),
        };
        self.frame = frame;
        sent
    }

    /// Sends a whole frame, of whatever line; UDP sockets cannot.
    ///
    /// # Errors
    /// As for [`Outlet::send`].
    pub fn send_frame(&mut self, at_ns: u64, frame: &[u8]) -> anyhow::Result<()> {
        self.bytes += frame.len() as u64;
        let sent = match &mut self.medium {
            Medium::Frames(sender) => sender.send(frame),
            Medium::Xdp(sender) => sender.send(frame),
            Medium::Sockets(_) => bail!("UDP sockets send payloads, not frames"),
            Medium::File { out, epoch_ns } => {
                let length = u32::try_from(frame.len()).context("a frame is shorter than 4 GiB")?;
                let header = pcap::packet_header(*epoch_ns + at_ns, length);
                out.write_all(&header).and_then(|()| out.write_all(frame))
            }
        };
        sent.with_context(|| format!("cannot send to {}", self.name))
    }

    /// Sends what still waits for its batch; to be called before a pause. A file waits for
    /// [`Outlet::finish`].
    ///
    /// # Errors
    /// As for [`Outlet::send`].
    pub fn flush(&mut self) -> anyhow::Result<()> {
        match &mut self.medium {
            Medium::Xdp(sender) => {
                sender.flush().with_context(|| format!("cannot send to {}", self.name))
            }
            Medium::Frames(_) | Medium::Sockets(_) | Medium::File { .. } => Ok(()),
        }
    }

    /// Sends or writes out all that still waits.
    ///
    /// # Errors
    /// As for [`Outlet::send`].
    pub fn finish(&mut self) -> anyhow::Result<()> {
        let finished = match &mut self.medium {
            Medium::Xdp(sender) => sender.finish(),
            Medium::File { out, .. } => out.flush(),
            Medium::Frames(_) | Medium::Sockets(_) => Ok(()),
        };
        finished.with_context(|| format!("cannot send to {}", self.name))
    }

    /// What was sent so far.
    ///
    /// # Errors
    /// getsockopt(2)'s.
    pub fn sent(&self) -> std::io::Result<Sent> {
        let (refused, retried) = match &self.medium {
            Medium::Xdp(sender) => {
                let statistics = sender.statistics()?;
                (statistics.refused + statistics.invalid_descriptors, 0)
            }
            Medium::Frames(sender) => (0, sender.retried()),
            Medium::Sockets(_) | Medium::File { .. } => (0, 0),
        };
        Ok(Sent { bytes: self.bytes, refused, retried })
    }
}

/// An AF_XDP socket on an interface's first queue.
fn xdp(interface: &str, bind: BindMode) -> anyhow::Result<XdpSender> {
    let config = SocketConfig { bind, ..SocketConfig::for_sending(interface, 0) };
    let (sender, report) = XdpSender::open(&config)?;
    tracing::info!(interface, zero_copy = report.zero_copy, "sending by AF_XDP");
    Ok(sender)
}

/// A socket that sends to a line's group through an interface (SO_BINDTODEVICE, socket(7)).
fn socket(interface: &str, line: &Line) -> anyhow::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    socket.bind_device(Some(interface.as_bytes()))?;
    socket.set_multicast_ttl_v4(u32::from(line.ttl))?;
    socket.connect(&line.group.into())?;
    Ok(socket)
}

/// Sends, waiting while the interface's queue is full. That nobody listens (ECONNREFUSED) is no
/// matter of the exchange's.
fn send_payload(socket: &Socket, payload: &[u8]) -> std::io::Result<()> {
    loop {
        match socket.send(payload) {
            Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => std::thread::yield_now(),
            Err(error) if error.kind() != ErrorKind::ConnectionRefused => return Err(error),
            _ => return Ok(()),
        }
    }
}
