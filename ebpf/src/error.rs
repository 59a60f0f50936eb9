//! What can go wrong between this process and the kernel, and what to do.

use std::io;

use crate::LineKey;
use crate::steering::Mode;

/// Why the steering program could not be loaded, attached or configured.
#[derive(Debug, thiserror::Error)]
pub enum SteeringError {
    /// The process may not load BPF programs.
    #[error(
        "the kernel refuses to load the steering program: expected the capabilities CAP_BPF, \
         CAP_NET_ADMIN and CAP_PERFMON (or root), found them missing ({0})"
    )]
    LoadRights(libbpf_rs::Error),
    /// The kernel or its verifier does not take the program.
    #[error(
        "the kernel does not load the steering program: {0:#} (it needs Linux 6.1 or later with \
         CONFIG_BPF_SYSCALL and CONFIG_XDP_SOCKETS)"
    )]
    Load(libbpf_rs::Error),
    /// The object lacks something of its own: a build fault.
    #[error("the steering object has no {0}")]
    Missing(&'static str),
    /// The program could not be attached in any allowed mode.
    #[error("interface {interface_index}: {mode} mode: {reason}")]
    Attach {
        /// Index of the interface.
        interface_index: u32,
        /// The mode of the last attempt.
        mode: Mode,
        /// What the kernel said.
        reason: AttachError,
    },
    /// A VLAN id outside 1 to 4094.
    #[error("{0:?}: expected VLAN ids from 1 to 4094")]
    Vlan(LineKey),
    /// The table of lines is full or not writable.
    #[error("line {line} ({key:?}) is not accepted by the kernel: {source:#}")]
    Line {
        /// The line's index.
        line: u16,
        /// Its address.
        key: LineKey,
        /// What the kernel said; `E2BIG` means more than 4,096 lines.
        source: libbpf_rs::Error,
    },
    /// A line's place in the table cannot be given up.
    #[error("the line {key:?} is still steered: {source:#}")]
    NotRemoved {
        /// Its address.
        key: LineKey,
        /// What the kernel said.
        source: libbpf_rs::Error,
    },
    /// The socket cannot serve the queue.
    #[error("no AF_XDP socket set for queue {queue} (queues below 1,024 can be): {source:#}")]
    Socket {
        /// The RX queue.
        queue: u32,
        /// What the kernel said.
        source: libbpf_rs::Error,
    },
    /// The kernel does not test-run the program on a frame.
    #[error("the kernel does not run the steering program on a frame of ours: {0:#}")]
    Inject(libbpf_rs::Error),
    /// The counters cannot be read.
    #[error("steering counters not read: {0:#}")]
    Counters(libbpf_rs::Error),
}

/// Why the kernel refuses to attach, by what can be done about it.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// EPERM or EACCES.
    #[error(
        "expected the capabilities CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON (or root), found them \
         missing ({0})"
    )]
    Rights(io::Error),
    /// EBUSY or EEXIST.
    #[error(
        "expected an interface without an XDP program, found one attached ({0}): see it with \
         `ip -details link show`, and remove it with `ip link set dev NAME xdp off` or by \
         stopping the process that holds it"
    )]
    Busy(io::Error),
    /// ENODEV.
    #[error("no such interface in this network namespace ({0})")]
    NoInterface(io::Error),
    /// ENOSPC, which veth answers.
    #[error(
        "the interface has fewer RX queues than its peer has TX queues ({0}): create the veth \
         pair with equal `numrxqueues` and `numtxqueues`"
    )]
    Queues(io::Error),
    /// EOPNOTSUPP.
    #[error("the driver does not support XDP in this mode ({0})")]
    Unsupported(io::Error),
    /// Anything else.
    #[error("{0} (among the causes: an MTU too large for XDP, or LRO switched on)")]
    Other(io::Error),
}

impl SteeringError {
    /// Whether it may pass by itself: the interface is not there yet, or another program still is.
    pub fn may_pass(&self) -> bool {
        let passes = |reason: &AttachError| {
            matches!(reason, AttachError::Busy(_) | AttachError::NoInterface(_))
        };
        matches!(self, Self::Attach { reason, .. } if passes(reason))
    }

    pub(crate) fn load(error: libbpf_rs::Error) -> Self {
        match error.kind() {
            libbpf_rs::ErrorKind::PermissionDenied => Self::LoadRights(error),
            _ => Self::Load(error),
        }
    }
}

impl AttachError {
    /// `errno` as `bpf_link_create` gives it, positive.
    pub(crate) fn from_errno(errno: i32) -> Self {
        /// `ENOTSUPP` of include/linux/errno.h, which some drivers let out.
        const ENOTSUPP: i32 = 524;
        let error = io::Error::from_raw_os_error(errno);
        match errno {
            libc::EPERM | libc::EACCES => Self::Rights(error),
            libc::EBUSY | libc::EEXIST => Self::Busy(error),
            libc::ENODEV => Self::NoInterface(error),
            libc::ENOSPC => Self::Queues(error),
            libc::EOPNOTSUPP | ENOTSUPP => Self::Unsupported(error),
            _ => Self::Other(error),
        }
    }

    /// Whether generic mode may succeed where native mode met this.
    pub(crate) fn may_fall_back(&self) -> bool {
        matches!(self, Self::Queues(_) | Self::Unsupported(_) | Self::Other(_))
    }
}
