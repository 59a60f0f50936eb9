//! Multicast memberships, so that switches and the device send us the groups.
//!
//! Arrives: groups, interfaces and, for source-specific joins, sources. Leaves:
//! IGMP reports, for as long as [`Memberships`] lives. Promises: its sockets
//! take no data. They are never bound to a port, so no datagram belongs to
//! them: not the steered ones, which the kernel never sees, nor those that
//! steering passes on (a queue without a socket, a fragment), which the kernel
//! drops, or gives to whoever bound the port.
//!
//! The source of a source-specific join is for the network to filter (IGMPv3,
//! RFC 4607); steering matches group and port alone.
#![allow(
    unsafe_code,
    reason = "setsockopt(2) for MCAST_JOIN_SOURCE_GROUP and MCAST_LEAVE_SOURCE_GROUP: \
              source-specific by interface index, which socket2 does not have"
)]

use std::io;
use std::mem;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::os::fd::AsRawFd;

use socket2::{Domain, InterfaceIndexOrAddress, SockAddr, Socket, Type};

use crate::XdpError;

/// One group to join on one interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Membership {
    /// Index of the interface.
    pub interface_index: u32,
    /// The group.
    pub group: Ipv4Addr,
    /// The only source wanted, or None for any.
    pub source: Option<Ipv4Addr>,
}

/// Groups joined; dropping it leaves them.
#[derive(Debug, Default)]
pub struct Memberships {
    sockets: Vec<Joined>,
}

/// A socket and what it has joined.
#[derive(Debug)]
struct Joined {
    socket: Socket,
    groups: Vec<Membership>,
}

impl Memberships {
    /// Joins every group, in this thread's network namespace. The kernel lets a
    /// socket join 20 groups (`net.ipv4.igmp_max_memberships`) and 10 sources a
    /// group (`igmp_max_msf`), so it takes as many sockets as are needed.
    ///
    /// # Errors
    /// [`XdpError::Join`] for the first group that cannot be joined.
    pub fn join(memberships: &[Membership]) -> Result<Self, XdpError> {
        let mut joined = Self::default();
        joined.follow(memberships)?;
        Ok(joined)
    }

    /// Joins what is wanted and not joined yet, and leaves what is joined and not wanted any more.
    /// What stays is not touched.
    ///
    /// # Errors
    /// [`XdpError::Join`] for the first group that cannot be joined; the others are as they should be.
    pub fn follow(&mut self, wanted: &[Membership]) -> Result<(), XdpError> {
        self.leave(|membership| !wanted.contains(membership));
        let mut first_error = Ok(());
        for membership in wanted {
            if self.sockets.iter().any(|socket| socket.groups.contains(membership)) {
                continue;
            }
            if let Err(source) = self.add(membership) {
                let Membership { group, interface_index, .. } = *membership;
                first_error =
                    first_error.and(Err(XdpError::Join { group, interface_index, source }));
            }
        }
        first_error
    }

    /// Leaves the groups of an interface. The next [`Memberships::follow`] that wants them joins them,
    /// and so announces them: a switch that was away has forgotten them, and where only the carrier
    /// was lost the kernel does not say them again (`ip_mc_up` in net/ipv4/igmp.c is for an interface
    /// that was set down).
    pub fn leave_interface(&mut self, interface_index: u32) {
        self.leave(|membership| membership.interface_index == interface_index);
    }

    fn leave(&mut self, mut is_left: impl FnMut(&Membership) -> bool) {
        for Joined { socket, groups } in &mut self.sockets {
            groups.retain(|membership| {
                let left = is_left(membership);
                if left {
                    // Refused where the interface is gone, and the membership with it.
                    let _ = leave(socket, membership);
                }
                !left
            });
        }
        self.sockets.retain(|socket| !socket.groups.is_empty());
    }

    fn add(&mut self, membership: &Membership) -> io::Result<()> {
        for Joined { socket, groups } in self.sockets.iter_mut().rev() {
            match join(socket, membership) {
                // ENOBUFS: this socket has all it may. EADDRINUSE: it has this
                // very group already, under another line's name.
                Err(error)
                    if matches!(error.raw_os_error(), Some(libc::ENOBUFS | libc::EADDRINUSE)) => {}
                result => return result.map(|()| groups.push(*membership)),
            }
        }
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, None)?;
        join(&socket, membership)?;
        self.sockets.push(Joined { socket, groups: vec![*membership] });
        Ok(())
    }
}

/// Joins one group on one socket.
pub(crate) fn join(socket: &Socket, membership: &Membership) -> io::Result<()> {
    match membership.source {
        None => socket.join_multicast_v4_n(
            &membership.group,
            &InterfaceIndexOrAddress::Index(membership.interface_index),
        ),
        Some(source) => source_request(socket, libc::MCAST_JOIN_SOURCE_GROUP, membership, source),
    }
}

/// Leaves one group on the socket that joined it.
fn leave(socket: &Socket, membership: &Membership) -> io::Result<()> {
    match membership.source {
        None => socket.leave_multicast_v4_n(
            &membership.group,
            &InterfaceIndexOrAddress::Index(membership.interface_index),
        ),
        Some(source) => source_request(socket, libc::MCAST_LEAVE_SOURCE_GROUP, membership, source),
    }
}

/// Joins or leaves, as `option` says, one source of a group.
fn source_request(
    socket: &Socket,
    option: libc::c_int,
    membership: &Membership,
    source: Ipv4Addr,
) -> io::Result<()> {
    let address = |ip| SockAddr::from(SocketAddr::V4(SocketAddrV4::new(ip, 0)));
    // SAFETY: integers and socket addresses, for which zeros are a value.
    let mut request: libc::group_source_req = unsafe { mem::zeroed() };
    request.gsr_interface = membership.interface_index;
    request.gsr_group = storage(&address(membership.group));
    request.gsr_source = storage(&address(source));
    // SAFETY: the descriptor is open while `socket` is borrowed, and pointer and
    // length are those of a live struct, which the kernel only reads.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_IP,
            option,
            (&raw const request).cast(),
            size_of_val(&request) as libc::socklen_t,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn storage(address: &SockAddr) -> libc::sockaddr_storage {
    // SAFETY: a SockAddr holds a whole `sockaddr_storage`, zeros after the
    // address, and `as_ptr` points to it.
    unsafe { *address.as_ptr().cast() }
}
