//! What the kernel says of this network namespace's interfaces.

use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;
use std::collections::BTreeMap;

/// One interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// The kernel's number for it, which no later interface of the same name has.
    pub index: u32,
    /// It is set up and has a carrier (`IFF_UP` and `IFF_RUNNING` of netdevice(7)).
    pub is_up: bool,
}

/// All interfaces, by name.
///
/// # Errors
/// getifaddrs(3)'s.
pub fn links() -> nix::Result<BTreeMap<String, Link>> {
    let is_up = InterfaceFlags::IFF_UP | InterfaceFlags::IFF_RUNNING;
    let link_of = |address: nix::ifaddrs::InterfaceAddress| {
        // The entries that tell of links, not of addresses, hold a link address (packet(7)).
        let index = address.address?.as_link_addr()?.ifindex();
        let index = u32::try_from(index).ok()?;
        let link = Link { index, is_up: address.flags.contains(is_up) };
        Some((address.interface_name, link))
    };
    Ok(getifaddrs()?.filter_map(link_of).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_there_by_its_index() {
        let expected = nix::net::if_::if_nametoindex("lo").unwrap();
        assert_eq!(links().unwrap()["lo"].index, expected);
    }
}
