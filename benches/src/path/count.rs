//! Receivers that count packets and do nothing else: what the appliance is compared with.
//!
//! Each is one thread that sleeps in the kernel while there is nothing. *AF_XDP* is the appliance's own
//! socket and steering program without what follows. *UDP* takes 64 datagrams a system call into
//! buffers of its own (recvmmsg(2)), without timestamps. *`TPACKET_V3`* is libpcap's ring of blocks, which
//! libpcap uses wherever packets are not to be delivered at once (Documentation/networking/packet_mmap.rst).

use super::child::Parent;
use super::room::ADDRESS;
use super::{GROUP, monotonic_ns, pin};
use anyhow::{Context, ensure};
use clap::ValueEnum;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::sockopt::RcvBufForce;
use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrIn, recvmmsg, setsockopt};
use serde::{Deserialize, Serialize};
use socket2::{Domain, Socket, Type};
use std::io::IoSliceMut;
use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;
use wirebook_xdp::{
    AttachMode, BATCH_MAX, Interface, LineKey, Mode, Receiver, SteeringOptions, UdpOptions, Vlan,
};

/// How long nothing may come until a receiver that is asked believes that all has come.
pub const QUIET: Duration = Duration::from_millis(100);

/// Datagrams that one system call takes.
const DATAGRAMS: usize = 64;
/// As many bytes as 16,384 frames of the appliance's UMEM take.
const BLOCKS_BYTES: i32 = 32 << 20;
/// After how long the kernel gives up a block that is not full.
const BLOCK_MS: i32 = 10;

/// How packets are received.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum By {
    /// An AF_XDP socket.
    Xdp,
    /// A UDP socket.
    Udp,
    /// A packet socket.
    Packet,
}

/// What a receiver came to.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Counted {
    /// Packets of the market.
    pub packets: u64,
    /// When the last of them were taken, by the monotonic clock.
    pub last_ns: u64,
}

/// Counts on an interface of this namespace until the parent asks.
///
/// # Errors
/// Fails where the socket cannot be opened.
pub fn run(by: By, interface: &str, core: usize) -> anyhow::Result<()> {
    pin(0, &[core])?;
    match by {
        By::Xdp => xdp(interface),
        By::Udp => udp(),
        By::Packet => packet(interface),
    }
}

fn xdp(interface: &str) -> anyhow::Result<()> {
    let options = SteeringOptions { mode: AttachMode::Native, ..SteeringOptions::default() };
    let key = LineKey { group: *GROUP.ip(), port: GROUP.port(), vlan: Vlan::Any };
    let mut interface = Interface::attach(interface, &options, [(key, 0)])?;
    ensure!(interface.mode() == Mode::Native, "expected native mode");
    let (mut receiver, _) = Receiver::open(&[interface.socket_config(0)])?;
    interface.serve(&receiver)?;
    let parent = Parent::ready()?;
    let mut counted = Counted::default();
    loop {
        let taken = receiver.poll_batch(BATCH_MAX, |packet| {
            counted.packets += u64::from(packet.payload().is_some());
        });
        if taken > 0 {
            counted.last_ns = monotonic_ns()?;
        } else if !receiver.wait(QUIET)? && parent.asks() {
            break;
        }
    }
    parent.tell(&counted)
}

fn udp() -> anyhow::Result<()> {
    let socket = socket()?;
    let parent = Parent::ready()?;
    let mut headers = MultiHeaders::<SockaddrIn>::preallocate(DATAGRAMS, None);
    let mut buffers = vec![[0u8; 2_048]; DATAGRAMS];
    let mut counted = Counted::default();
    loop {
        let mut slices: Vec<_> = buffers.iter_mut().map(|one| [IoSliceMut::new(one)]).collect();
        let flags = MsgFlags::MSG_WAITFORONE;
        match recvmmsg(socket.as_raw_fd(), &mut headers, &mut slices, flags, None) {
            Ok(received) => {
                counted.packets += received.count() as u64;
                counted.last_ns = monotonic_ns()?;
            }
            Err(Errno::EAGAIN) if parent.asks() => break,
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            Err(error) => return Err(error).context("recvmmsg"),
        }
    }
    parent.tell(&counted)
}

/// A UDP socket in the group, with a receive buffer like the appliance's, which waits [`QUIET`].
pub(super) fn socket() -> anyhow::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None)?;
    setsockopt(&socket, RcvBufForce, &UdpOptions::default().receive_buffer_bytes)?;
    socket.bind(&GROUP.into())?;
    socket.join_multicast_v4(GROUP.ip(), &ADDRESS)?;
    socket.set_read_timeout(Some(QUIET))?;
    Ok(socket)
}

fn packet(interface: &str) -> anyhow::Result<()> {
    let capture = pcap::Capture::from_device(interface)?.promisc(true).snaplen(2_048);
    let capture = capture.buffer_size(BLOCKS_BYTES).timeout(BLOCK_MS).immediate_mode(false);
    let mut capture = capture.open()?.setnonblock()?;
    capture
        .filter(&format!("udp and dst host {} and dst port {}", GROUP.ip(), GROUP.port()), true)?;
    let parent = Parent::ready()?;
    let mut counted = Counted::default();
    let quiet = PollTimeout::try_from(QUIET)?;
    loop {
        let before = counted.packets;
        capture.dispatch(None, |_| counted.packets += 1)?;
        if counted.packets > before {
            counted.last_ns = monotonic_ns()?;
        }
        let mut waiting = [PollFd::new(capture.as_fd(), PollFlags::POLLIN)];
        let came = match poll(&mut waiting, quiet) {
            Ok(ready) => ready > 0,
            Err(Errno::EINTR) => true,
            Err(error) => return Err(error).context("poll"),
        };
        if !came && parent.asks() {
            break;
        }
    }
    parent.tell(&counted)
}
