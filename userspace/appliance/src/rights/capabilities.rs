//! Capabilities: each thread's own, inherited by the threads that it starts (capabilities(7)).

use super::RightsError;
use caps::{CapSet, Capability, CapsHashSet};
use rustix::thread::CapabilitiesSecureBits as SecureBits;

/// What it takes to attach a program and to open AF_XDP sockets: sockets and sockets' buffers, the
/// device, maps and programs, the verifier's pointers, and locked memory.
pub const TO_OPEN_INTERFACES: [Capability; 5] = [
    Capability::CAP_NET_RAW,
    Capability::CAP_NET_ADMIN,
    Capability::CAP_BPF,
    Capability::CAP_PERFMON,
    Capability::CAP_IPC_LOCK,
];

/// What it takes to give a UDP socket a buffer beyond `net.core.rmem_max`.
pub const TO_OPEN_SOCKETS: [Capability; 1] = [Capability::CAP_NET_ADMIN];

/// Leaves the calling thread those of `kept` that it has, none of them in effect, and takes from the
/// process the ways to get more: the bounding set and what user 0 is given, where the thread may
/// (CAP_SETPCAP). Where it may not, `no_new_privs` closes the same ways.
pub(super) fn keep_out_of_effect(kept: &CapsHashSet) -> Result<(), RightsError> {
    if caps::has_cap(None, CapSet::Effective, Capability::CAP_SETPCAP)? {
        let locked = SecureBits::NO_ROOT
            | SecureBits::NO_ROOT_LOCKED
            | SecureBits::NO_SETUID_FIXUP
            | SecureBits::NO_SETUID_FIXUP_LOCKED
            | SecureBits::KEEP_CAPS_LOCKED
            | SecureBits::NO_CAP_AMBIENT_RAISE
            | SecureBits::NO_CAP_AMBIENT_RAISE_LOCKED;
        rustix::thread::set_capabilities_secure_bits(locked)?;
        for capability in caps::runtime::thread_all_supported() {
            caps::drop(None, CapSet::Bounding, capability)?;
        }
    }
    caps::clear(None, CapSet::Ambient)?;
    caps::clear(None, CapSet::Inheritable)?;
    caps::clear(None, CapSet::Effective)?;
    let permitted = caps::read(None, CapSet::Permitted)?;
    let kept = permitted.intersection(kept).copied().collect();
    Ok(caps::set(None, CapSet::Permitted, &kept)?)
}

/// Leaves the calling thread none.
pub(super) fn drop_all() -> Result<(), RightsError> {
    caps::clear(None, CapSet::Effective)?;
    Ok(caps::clear(None, CapSet::Permitted)?)
}

/// Lowers what was raised, however the work with it ends.
pub(super) struct Raised(());

/// Brings all that the calling thread is permitted into effect.
pub(super) fn raise() -> Result<Raised, RightsError> {
    let permitted = caps::read(None, CapSet::Permitted)?;
    caps::set(None, CapSet::Effective, &permitted)?;
    Ok(Raised(()))
}

impl Drop for Raised {
    fn drop(&mut self) {
        if let Err(error) = caps::clear(None, CapSet::Effective) {
            tracing::error!("capabilities stay in effect: {error}");
        }
    }
}
