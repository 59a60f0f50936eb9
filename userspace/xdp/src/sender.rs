//! Frames onto an interface, as they are: for the simulated exchange and for playing captures.
//!
//! Arrives: whole Ethernet frames. Leaves: the same on the wire, through an `AF_PACKET` socket
//! (packet(7)). It needs CAP_NET_RAW and is no part of the receiving path. Counts what it sent again.
#![allow(unsafe_code, reason = "an AF_PACKET address has no safe constructor")]

use std::cell::Cell;
use std::io;

use socket2::{Domain, SockAddr, SockAddrStorage, Socket, Type};

use crate::XdpError;

/// Sends frames on one interface.
#[derive(Debug)]
pub struct FrameSender {
    socket: Socket,
    retried: Cell<u64>,
}

impl FrameSender {
    /// Opens a sender on an interface of this thread's network namespace.
    ///
    /// # Errors
    /// [`XdpError::Interface`] where there is no such interface or no right to send on it.
    pub fn open(interface: &str) -> Result<Self, XdpError> {
        let failed = |source| XdpError::Interface { name: interface.to_owned(), source };
        let index = nix::net::if_::if_nametoindex(interface)
            .map_err(|errno| failed(io::Error::from(errno)))?;
        // Protocol 0: nothing that arrives is queued here.
        let socket = Socket::new(Domain::PACKET, Type::RAW, None).map_err(failed)?;
        socket.bind(&link_address(index)).map_err(failed)?;
        Ok(Self { socket, retried: Cell::new(0) })
    }

    /// Sends one frame, waiting while the interface's queue is full.
    ///
    /// # Errors
    /// send(2)'s, but not ENOBUFS.
    pub fn send(&self, frame: &[u8]) -> io::Result<()> {
        loop {
            match self.socket.send(frame) {
                Ok(_) => return Ok(()),
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {
                    self.retried.set(self.retried.get() + 1);
                    std::thread::yield_now();
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Times that the interface refused a frame, which was then sent again.
    pub fn retried(&self) -> u64 {
        self.retried.get()
    }
}

fn link_address(interface_index: u32) -> SockAddr {
    let mut storage = SockAddrStorage::zeroed();
    // SAFETY: `sockaddr_ll` is one of the socket address types, which all begin with the family
    // and fit the storage (socket(7)), and any bytes are a valid one.
    let address = unsafe { storage.view_as::<libc::sockaddr_ll>() };
    address.sll_family = libc::AF_PACKET as libc::sa_family_t;
    address.sll_ifindex = interface_index as libc::c_int;
    // SAFETY: the storage holds an AF_PACKET address of this length, set above.
    unsafe { SockAddr::new(storage, size_of::<libc::sockaddr_ll>() as libc::socklen_t) }
}
