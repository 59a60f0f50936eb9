//! UDP sockets in place of AF_XDP: for hosts without XDP rights, and the
//! yardstick for hosts with them.
//!
//! Arrives: datagrams of the configured lines, one socket a line, up to 64 a
//! system call (recvmmsg(2)). Leaves: each payload as borrowed bytes with the
//! line's index and the kernel's receive time. Promises: no allocation a
//! packet. Counts payloads cut by a short buffer, and the kernel's own drops.
#![allow(unsafe_code, reason = "recvmmsg(2) and socket options that socket2 does not have")]

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::AsRawFd;
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use crate::join::{self, Membership};
use crate::wait::WaitSet;
use crate::{BATCH_MAX, XdpError};

mod control;
use control::{CONTROL_BYTES, Control};

/// One line to receive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UdpLine {
    /// Index of the interface on which the group is joined.
    pub interface_index: u32,
    /// Destination address; joined where it is a multicast group.
    pub group: Ipv4Addr,
    /// The only source wanted, or None for any.
    pub source: Option<Ipv4Addr>,
    /// UDP destination port.
    pub port: u16,
    /// The index that its packets carry.
    pub line: u16,
}

/// How to receive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UdpOptions {
    /// Wanted size of each socket's receive buffer (`SO_RCVBUF`).
    pub receive_buffer_bytes: usize,
    /// Longest payload taken.
    pub payload_bytes_max: usize,
}

impl Default for UdpOptions {
    /// 16 MiB a socket, and 2,048 bytes a payload.
    fn default() -> Self {
        Self { receive_buffer_bytes: 16 << 20, payload_bytes_max: 2_048 }
    }
}

/// What the sockets got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UdpReport {
    /// Least receive buffer of them all, as the kernel accounts for it.
    pub receive_buffer_bytes: usize,
}

/// A payload in the receiver's buffer.
#[derive(Clone, Copy, Debug)]
pub struct UdpPacket<'buffer> {
    /// The UDP payload.
    pub bytes: &'buffer [u8],
    /// Index of its line.
    pub line: u16,
    /// When the kernel took it, nanoseconds since the UNIX epoch
    /// (`SO_TIMESTAMPNS`); 0 where the kernel gave no time.
    pub ts_ns: u64,
}

/// What was counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UdpStatistics {
    /// Payloads given to the callback.
    pub packets: u64,
    /// Payloads longer than the buffer, not given to the callback.
    pub truncated: u64,
    /// Datagrams that the kernel dropped because a socket's buffer was full
    /// (`SO_RXQ_OVFL`); known with the next datagram of that socket.
    pub dropped: u64,
    /// Receive calls that failed.
    pub errors: u64,
}

/// The UDP sockets of one worker.
#[derive(Debug)]
pub struct UdpReceiver {
    lines: Vec<LineSocket>,
    waiting: WaitSet,
    payloads: Box<[u8]>,
    payload_bytes_max: usize,
    controls: Box<[Control; BATCH_MAX]>,
    statistics: UdpStatistics,
}

#[derive(Debug)]
struct LineSocket {
    socket: Socket,
    line: u16,
    /// The kernel's running count for this socket; it wraps.
    dropped_seen: u32,
}

impl UdpReceiver {
    /// Opens and joins one socket a line, in this thread's network namespace.
    ///
    /// # Errors
    /// [`XdpError::Size`], [`XdpError::Udp`] or [`XdpError::Join`].
    pub fn open(lines: &[UdpLine], options: &UdpOptions) -> Result<(Self, UdpReport), XdpError> {
        let payload_bytes_max = options.payload_bytes_max;
        if !(1..=65_535).contains(&payload_bytes_max) {
            return Err(XdpError::Size {
                what: "longest payload",
                expected: "1 to 65535 bytes",
                found: u32::try_from(payload_bytes_max).unwrap_or(u32::MAX),
            });
        }
        let mut report = UdpReport { receive_buffer_bytes: usize::MAX };
        let mut sockets = Vec::with_capacity(lines.len());
        for line in lines {
            let (socket, buffer_bytes) = open_line(line, options)?;
            report.receive_buffer_bytes = report.receive_buffer_bytes.min(buffer_bytes);
            sockets.push(LineSocket { socket, line: line.line, dropped_seen: 0 });
        }
        let mut receiver = Self::with_room(sockets.len(), options);
        receiver.waiting.set(sockets.iter().map(|line| line.socket.as_raw_fd()));
        receiver.lines = sockets;
        Ok((receiver, report))
    }

    /// A receiver without sockets, and with room for so many: what [`UdpReceiver::exchange`] fills. Its
    /// buffers lie on the node of the core that makes it.
    pub fn with_room(sockets: usize, options: &UdpOptions) -> Self {
        // Of zeros the allocator may have pages that nobody has touched yet.
        let payloads = vec![u8::MAX; BATCH_MAX * options.payload_bytes_max];
        Self {
            lines: Vec::with_capacity(sockets),
            waiting: WaitSet::with_room(sockets),
            payloads: payloads.into_boxed_slice(),
            payload_bytes_max: options.payload_bytes_max,
            controls: Box::new([Control::EMPTY; BATCH_MAX]),
            statistics: UdpStatistics::default(),
        }
    }

    /// Gives `other` the sockets of the lines of which `is_given_up` says so, and takes those that it
    /// holds. Nothing is allocated as long as either has room, and what was counted stays here. No
    /// system call.
    pub fn exchange(&mut self, mut is_given_up: impl FnMut(u16) -> bool, other: &mut Self) {
        let taken = other.lines.len();
        let mut at = 0;
        while at < self.lines.len() {
            if is_given_up(self.lines[at].line) {
                other.lines.push(self.lines.remove(at));
            } else {
                at += 1;
            }
        }
        self.lines.extend(other.lines.drain(..taken));
        for receiver in [self, other] {
            receiver.waiting.set(receiver.lines.iter().map(|line| line.socket.as_raw_fd()));
        }
    }

    /// Makes room for so many more sockets, which [`UdpReceiver::exchange`] may bring.
    pub fn reserve(&mut self, sockets: usize) {
        self.lines.reserve_exact(sockets);
        self.waiting.reserve(self.lines.len() + sockets);
    }

    /// Gives up to `max` (and [`BATCH_MAX`]) payloads of each line to the
    /// callback, without sleeping, and returns how many datagrams were taken.
    pub fn poll_batch(&mut self, max: usize, mut on_packet: impl FnMut(UdpPacket<'_>)) -> usize {
        let count = max.min(BATCH_MAX);
        let mut taken = 0;
        let mut batch = Batch::new(&mut self.payloads, self.payload_bytes_max, &mut self.controls);
        for line in &mut self.lines {
            match batch.receive(&line.socket, count) {
                Ok(received) => {
                    taken += received;
                    deliver(&batch, received, line, &mut self.statistics, &mut on_packet);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => self.statistics.errors += 1,
            }
        }
        taken
    }

    /// Sleeps until a line has a datagram or `timeout` (rounded up to whole
    /// milliseconds) is over; true when there is one.
    ///
    /// # Errors
    /// poll(2)'s, but not for a signal, which gives false.
    pub fn wait(&mut self, timeout: Duration) -> io::Result<bool> {
        self.waiting.wait(timeout)
    }

    /// What was counted so far.
    pub fn statistics(&self) -> UdpStatistics {
        self.statistics
    }
}

fn deliver(
    batch: &Batch<'_>,
    received: usize,
    line: &mut LineSocket,
    statistics: &mut UdpStatistics,
    on_packet: &mut impl FnMut(UdpPacket<'_>),
) {
    for index in 0..received {
        let control = batch.control(index);
        if let Some(dropped) = control.dropped {
            statistics.dropped += u64::from(dropped.wrapping_sub(line.dropped_seen));
            line.dropped_seen = dropped;
        }
        match batch.payload(index) {
            Some(bytes) => {
                statistics.packets += 1;
                on_packet(UdpPacket {
                    bytes,
                    line: line.line,
                    ts_ns: control.ts_ns.unwrap_or_default(),
                });
            }
            None => statistics.truncated += 1,
        }
    }
}

/// The headers of a receive call. They live on the stack: they point into the
/// buffers, and stay no longer than the borrow of those.
struct Batch<'buffers> {
    headers: [libc::mmsghdr; BATCH_MAX],
    vectors: [libc::iovec; BATCH_MAX],
    payloads: &'buffers mut [u8],
    payload_bytes_max: usize,
    controls: &'buffers mut [Control; BATCH_MAX],
}

impl<'buffers> Batch<'buffers> {
    fn new(
        payloads: &'buffers mut [u8],
        payload_bytes_max: usize,
        controls: &'buffers mut [Control; BATCH_MAX],
    ) -> Self {
        let vector = libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 };
        // SAFETY: integers and pointers, for which zeros are a value.
        let header: libc::mmsghdr = unsafe { std::mem::zeroed() };
        Self {
            headers: [header; BATCH_MAX],
            vectors: [vector; BATCH_MAX],
            payloads,
            payload_bytes_max,
            controls,
        }
    }

    /// Receives up to `count` datagrams into the buffers.
    fn receive(&mut self, socket: &Socket, count: usize) -> io::Result<usize> {
        let buffers =
            self.payloads.chunks_exact_mut(self.payload_bytes_max).zip(self.controls.iter_mut());
        let entries = self.headers.iter_mut().zip(self.vectors.iter_mut());
        for ((header, vector), (payload, control)) in entries.zip(buffers).take(count) {
            *vector = libc::iovec { iov_base: payload.as_mut_ptr().cast(), iov_len: payload.len() };
            header.msg_hdr.msg_iov = vector;
            header.msg_hdr.msg_iovlen = 1;
            header.msg_hdr.msg_control = control.bytes.as_mut_ptr().cast();
            header.msg_hdr.msg_controllen = CONTROL_BYTES;
        }
        // SAFETY: the first `count` headers, of no more than there are, were set
        // just now and point to buffers of the lengths they name: disjoint parts
        // of what `self` borrows exclusively, not touched before the call ends.
        let received = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                self.headers.as_mut_ptr(),
                count.min(BATCH_MAX) as libc::c_uint,
                libc::MSG_DONTWAIT,
                std::ptr::null_mut(),
            )
        };
        usize::try_from(received).map_err(|_| io::Error::last_os_error())
    }

    /// The payload of a received datagram, or None where it was cut.
    fn payload(&self, index: usize) -> Option<&[u8]> {
        let header = &self.headers[index];
        if header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0 {
            return None;
        }
        let start = index * self.payload_bytes_max;
        self.payloads.get(start..start + header.msg_len as usize)
    }

    fn control(&self, index: usize) -> control::Parsed {
        self.controls[index].parse(self.headers[index].msg_hdr.msg_controllen)
    }
}

/// A bound, joined socket and the size of its receive buffer.
fn open_line(line: &UdpLine, options: &UdpOptions) -> Result<(Socket, usize), XdpError> {
    let udp_error = |source| XdpError::Udp { group: line.group, port: line.port, source };
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None).map_err(udp_error)?;
    let buffer_bytes = set_options(&socket, options).map_err(udp_error)?;
    socket.bind(&SocketAddrV4::new(line.group, line.port).into()).map_err(udp_error)?;
    if line.group.is_multicast() {
        let membership = Membership {
            interface_index: line.interface_index,
            group: line.group,
            source: line.source,
        };
        join::join(&socket, &membership).map_err(|source| XdpError::Join {
            group: line.group,
            interface_index: line.interface_index,
            source,
        })?;
    }
    Ok((socket, buffer_bytes))
}

fn set_options(socket: &Socket, options: &UdpOptions) -> io::Result<usize> {
    // Two lines may share group and port on two interfaces.
    socket.set_reuse_address(true)?;
    // Only what this socket joined, not what any socket of the host did (ip(7)).
    set_int(socket, libc::IPPROTO_IP, libc::IP_MULTICAST_ALL, 0)?;
    set_int(socket, libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, 1)?;
    set_int(socket, libc::SOL_SOCKET, libc::SO_RXQ_OVFL, 1)?;
    let wanted = i32::try_from(options.receive_buffer_bytes).unwrap_or(i32::MAX);
    // Past net.core.rmem_max only CAP_NET_ADMIN goes; without it, up to there.
    if set_int(socket, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, wanted).is_err() {
        set_int(socket, libc::SOL_SOCKET, libc::SO_RCVBUF, wanted)?;
    }
    let buffer_bytes = socket.recv_buffer_size()?;
    if buffer_bytes < options.receive_buffer_bytes {
        tracing::warn!(
            wanted = options.receive_buffer_bytes,
            found = buffer_bytes,
            "short UDP receive buffer: raise net.core.rmem_max"
        );
    }
    Ok(buffer_bytes)
}

fn set_int(socket: &Socket, level: i32, name: i32, value: i32) -> io::Result<()> {
    // SAFETY: the descriptor is open while `socket` is borrowed, and pointer and
    // length are those of a live integer, which the kernel only reads.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            name,
            (&raw const value).cast(),
            size_of_val(&value) as libc::socklen_t,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
