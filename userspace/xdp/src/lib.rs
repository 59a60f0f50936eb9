//! Packets into this process: AF_XDP sockets, and UDP sockets beside them.
//!
//! Arrives: frames of one or more interfaces. Leaves: each frame of a
//! configured line as borrowed bytes, in place, with the line's index and the
//! time of arrival. Promises: no copy, allocation or lock a packet, and no
//! system call but the wakeup that the kernel asks for; nothing that the kernel
//! says about a frame is believed before it is checked. Counts descriptors that
//! do not hold, and exposes the kernel's own drop counters.
//!
//! The order of a start, each step a module:
//!
//! 1. [`Interface::attach`]: the steering program, with its lines.
//! 2. [`Receiver::open`]: one socket a queue, several in one worker.
//! 3. [`Interface::serve`]: the sockets go into the steering map.
//! 4. [`Memberships::join`]: switches begin to send. Last, so that no packet
//!    arrives before its socket.
//!
//! While packets come, lines and groups come and go ([`Interface::set_line`],
//! [`Memberships::follow`]), and so do sockets, which are opened beside a running receiver and then
//! handed to it ([`Receiver::exchange`]).
//!
//! [`UdpReceiver`] takes the place of the first three on a host without XDP
//! rights, at the price of the kernel's socket path.
//!
//! The other way, for the simulated exchange and for playing captures: [`XdpSender`] and
//! [`FrameSender`] put frames onto an interface.

mod bind;
mod clock;
mod error;
mod frames;
mod holders;
mod interface;
mod join;
mod queue;
mod receiver;
mod sender;
mod statistics;
mod udp;
mod wait;
mod xdp_sender;

pub use bind::{BindMode, SocketConfig, SocketReport};
pub use error::XdpError;
pub use holders::socket_holders;
pub use interface::Interface;
pub use join::{Membership, Memberships};
pub use receiver::{BATCH_MAX, Receiver, RxPacket, Steered};
pub use sender::FrameSender;
pub use statistics::{KernelStatistics, SenderStatistics, SocketStatistics, StatisticsReader};
pub use udp::{UdpLine, UdpOptions, UdpPacket, UdpReceiver, UdpReport, UdpStatistics};
pub use wirebook_ebpf::{
    AttachError, AttachMode, Counters, LineKey, Mode, SteeringError, SteeringOptions, Timestamps,
    Vlan,
};
pub use xdp_sender::XdpSender;
