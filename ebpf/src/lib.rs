//! The XDP steering program and its loader.
//!
//! Arrives: every frame of an interface. Leaves: the UDP datagrams of the
//! configured lines, redirected to the AF_XDP socket of their RX queue with
//! [`Metadata`] before the packet; all other frames go on to the kernel.
//! Promises: no frame is dropped by steering, and a program never stays on the
//! interface after its process, however that ends (bpf_link). Counts what it
//! did with each frame in [`Counters`].
//!
//! Two facts of the wire to know when naming a line:
//!
//! - A device that strips VLAN tags (`ethtool -k`: `rx-vlan-offload`) does so
//!   before XDP sees the frame. Switch it off, or name the line [`Vlan::Any`].
//! - IP fragments are the kernel's: only the first one has ports.

mod error;
mod line;
mod metadata;
mod steering;

pub use error::{AttachError, SteeringError};
pub use line::{LineKey, Vlan};
pub use metadata::{METADATA_BYTES, Metadata};
pub use steering::{AttachMode, Counters, Mode, Steering, SteeringOptions, Timestamps};

/// The compiled steering program, an ELF object any BPF loader takes: program
/// `steer`; maps `lines`, `sockets` and `counts`.
pub const STEER_OBJECT: &[u8] = Object::PLAIN;

/// The same program asking the device for the time of arrival. It loads only
/// when bound to a device (`BPF_F_XDP_DEV_BOUND_ONLY`), which of the known
/// loaders libbpf alone can do.
pub const STEER_HARDWARE_OBJECT: &[u8] = Object::HARDWARE;

struct Object;

impl Object {
    const PLAIN: &[u8] = &Aligned(*include_bytes!(concat!(env!("OUT_DIR"), "/steer.o"))).0;
    const HARDWARE: &[u8] =
        &Aligned(*include_bytes!(concat!(env!("OUT_DIR"), "/steer_hardware.o"))).0;
}

/// ELF readers cast the bytes to their header structs, so they want alignment.
#[repr(C, align(8))]
struct Aligned<T>(T);
