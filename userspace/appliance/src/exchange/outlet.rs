//! Where packets go: frames on an interface, UDP sockets, or a capture file.

use crate::exchange::SendBy;
use anyhow::Context;
use socket2::{Domain, Protocol, Socket, Type};
use std::fs::File;
use std::io::{BufWriter, ErrorKind, Write};
use std::path::Path;
use wirebook_simulator::{Line, pcap};
use wirebook_xdp::FrameSender;

/// An exchange's lines, open for sending.
pub struct Outlet {
    lines: Vec<Line>,
    medium: Medium,
    frame: Vec<u8>,
    bytes: u64,
}

enum Medium {
    Frames { sender: FrameSender, interface: String },
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
            SendBy::Frames => {
                let sender = FrameSender::open(interface)?;
                Medium::Frames { sender, interface: interface.to_owned() }
            }
            SendBy::Socket => {
                let sockets = lines.iter().map(|line| socket(interface, line));
                let sockets = sockets.collect::<anyhow::Result<_>>();
                Medium::Sockets(sockets.with_context(|| format!("cannot send on {interface}"))?)
            }
        };
        Ok(Self { lines, medium, frame: Vec::new(), bytes: 0 })
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
        Ok(Self { lines, medium, frame: Vec::new(), bytes: 0 })
    }

    /// Sends a payload on a line, `at_ns` after the first packet.
    ///
    /// # Errors
    /// send(2)'s and write(2)'s.
    pub fn send(&mut self, line: usize, at_ns: u64, payload: &[u8]) -> anyhow::Result<()> {
        self.lines[line].frame(payload, &mut self.frame);
        self.bytes += self.frame.len() as u64;
        match &mut self.medium {
            Medium::Frames { sender, interface } => {
                sender.send(&self.frame).with_context(|| format!("cannot send on {interface}"))
            }
            Medium::Sockets(sockets) => send_payload(&sockets[line], payload)
                .with_context(|| format!("cannot send to {}", self.lines[line].group)),
            Medium::File { out, epoch_ns } => {
                let length =
                    u32::try_from(self.frame.len()).context("a frame is shorter than 4 GiB")?;
                out.write_all(&pcap::packet_header(*epoch_ns + at_ns, length))?;
                Ok(out.write_all(&self.frame)?)
            }
        }
    }

    /// Bytes of all frames so far, headers included.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Writes out what a file still has in memory.
    ///
    /// # Errors
    /// write(2)'s.
    pub fn finish(&mut self) -> std::io::Result<()> {
        match &mut self.medium {
            Medium::File { out, .. } => out.flush(),
            Medium::Frames { .. } | Medium::Sockets(_) => Ok(()),
        }
    }
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
