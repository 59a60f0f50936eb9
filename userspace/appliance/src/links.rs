//! What the kernel says of this network namespace's interfaces.

use nix::ifaddrs::{InterfaceAddress, getifaddrs};
use nix::net::if_::InterfaceFlags;
use std::collections::BTreeMap;
use std::path::Path;

/// Where the kernel shows interfaces, those of the network namespace in which it was mounted
/// (Documentation/ABI/testing/sysfs-class-net).
const SYSFS: &str = "/sys/class/net";

/// One interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// The kernel's number for it, which no later interface of the same name has.
    pub index: u32,
    /// It is set up and has a carrier (`IFF_UP` and `IFF_LOWER_UP` of netdevice(7)).
    pub is_up: bool,
    /// Times that its carrier went or came; 0 where the kernel does not show it.
    pub carrier_changes: u64,
}

impl Link {
    /// The interface of this name, with its carrier's changes: of two looks that both find the link up,
    /// only these tell that it was down in between.
    pub fn counted(self, name: &str) -> Self {
        let number = |file: &str| {
            let text = std::fs::read_to_string(Path::new(SYSFS).join(name).join(file)).ok()?;
            text.trim_end().parse::<u64>().ok()
        };
        // Another index is another namespace's interface.
        let is_it = number("ifindex") == Some(u64::from(self.index));
        let carrier_changes = number("carrier_changes").filter(|_| is_it).unwrap_or_default();
        Self { carrier_changes, ..self }
    }
}

/// All interfaces, by name, without their carriers' changes.
///
/// # Errors
/// getifaddrs(3)'s.
pub fn links() -> nix::Result<BTreeMap<String, Link>> {
    let is_up = InterfaceFlags::IFF_UP | InterfaceFlags::IFF_LOWER_UP;
    let link_of = |address: InterfaceAddress| {
        // The entries that tell of links, not of addresses, hold a link address (packet(7)).
        let index = address.address?.as_link_addr()?.ifindex();
        let index = u32::try_from(index).ok()?;
        let is_up = address.flags.contains(is_up);
        Some((address.interface_name, Link { index, is_up, carrier_changes: 0 }))
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
