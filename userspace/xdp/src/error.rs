//! Why packets cannot be had, and what to do about it.

use std::io;
use std::net::Ipv4Addr;

use wirebook_ebpf::SteeringError;

/// Why an interface, a socket or a group could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum XdpError {
    /// No interface of that name in this thread's network namespace, or no right to send on it.
    #[error("interface {name:?}: {} ({source})", interface_refusal(.source))]
    Interface {
        /// The name asked for.
        name: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// A size that the rings or frames cannot have.
    #[error("{what}: expected {expected}, found {found}")]
    Size {
        /// Which size.
        what: &'static str,
        /// What it may be.
        expected: &'static str,
        /// What it was.
        found: u32,
    },
    /// The kernel does not register the packet memory.
    #[error("interface {interface} queue {queue}: no UMEM of {bytes} bytes: {source}{}", umem_hint(.source))]
    Umem {
        /// Interface name.
        interface: String,
        /// Queue.
        queue: u32,
        /// Size asked for.
        bytes: usize,
        /// What the kernel said.
        source: io::Error,
    },
    /// The socket cannot be bound to the queue.
    #[error("interface {interface} queue {queue}: no AF_XDP socket: {source}{}", bind_hint(.source))]
    Bind {
        /// Interface name.
        interface: String,
        /// Queue.
        queue: u32,
        /// What the kernel said.
        source: io::Error,
    },
    /// The steering program.
    #[error(transparent)]
    Steering(#[from] SteeringError),
    /// A multicast group cannot be joined.
    #[error("group {group} on interface index {interface_index}: not joined: {source}")]
    Join {
        /// The group.
        group: Ipv4Addr,
        /// Index of the interface.
        interface_index: u32,
        /// What the kernel said.
        source: io::Error,
    },
    /// A UDP socket cannot be opened.
    #[error("UDP socket for {group}:{port}: {source}")]
    Udp {
        /// The group.
        group: Ipv4Addr,
        /// The port.
        port: u16,
        /// What the kernel said.
        source: io::Error,
    },
}

impl XdpError {
    /// Whether it may pass by itself: an interface that is not there yet or is down, a queue or an
    /// interface that another process, or one that has just died, still holds.
    pub fn may_pass(&self) -> bool {
        let passes = |source: &io::Error| {
            let errors = [libc::ENODEV, libc::ENXIO, libc::ENETDOWN, libc::EBUSY];
            source.raw_os_error().is_some_and(|errno| errors.contains(&errno))
        };
        match self {
            Self::Interface { source, .. }
            | Self::Bind { source, .. }
            | Self::Join { source, .. } => passes(source),
            Self::Steering(error) => error.may_pass(),
            Self::Size { .. } | Self::Umem { .. } | Self::Udp { .. } => false,
        }
    }
}

impl XdpError {
    /// Whether another socket holds the queue.
    pub fn is_busy_queue(&self) -> bool {
        matches!(self, Self::Bind { source, .. } if source.raw_os_error() == Some(libc::EBUSY))
    }
}

fn interface_refusal(source: &io::Error) -> &'static str {
    match source.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => "expected the capability CAP_NET_RAW to send on it",
        _ => "not found in this network namespace",
    }
}

fn umem_hint(source: &io::Error) -> &'static str {
    match source.raw_os_error() {
        Some(libc::ENOBUFS) => {
            " (locked memory is short: expected CAP_IPC_LOCK or a higher RLIMIT_MEMLOCK, \
             `ulimit -l`)"
        }
        Some(libc::EPERM | libc::EACCES) => " (expected the capability CAP_NET_RAW)",
        Some(libc::EAFNOSUPPORT) => " (expected a kernel with CONFIG_XDP_SOCKETS)",
        _ => "",
    }
}

fn bind_hint(source: &io::Error) -> &'static str {
    match source.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => " (expected the capability CAP_NET_RAW)",
        Some(libc::EBUSY) => " (another AF_XDP socket holds this queue)",
        Some(libc::EINVAL) => " (does the interface have this queue? see `ethtool -l`)",
        Some(libc::ENODEV) => " (no such interface in this network namespace)",
        Some(libc::EOPNOTSUPP) => " (the driver has no zero-copy: bind in copy mode)",
        Some(libc::ENETDOWN) => " (the interface is down)",
        _ => "",
    }
}
