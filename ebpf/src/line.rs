//! A line's address as the steering program looks it up.

use std::net::Ipv4Addr;

/// Stands in a key for a tag that is not there (`VLAN_NONE` in `steer.bpf.c`).
const NO_TAG: u16 = 0xffff;
/// Stands in both tags of a key for "whatever tags" (`VLAN_ANY`).
const ANY_TAG: u16 = 0xfffe;

/// The VLAN tags that a line's frames must carry.
///
/// A priority tag (VLAN id 0) counts as no tag (IEEE 802.1Q, clause 9.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Vlan {
    /// Any tags or none; a line that names its tags is preferred to it.
    #[default]
    Any,
    /// No tag.
    Untagged,
    /// One tag of this VLAN id, 1 to 4094.
    Tagged(u16),
    /// Two tags (QinQ), both ids 1 to 4094.
    Double {
        /// The id of the tag next to the MAC addresses.
        outer: u16,
        /// The id of the tag next to the IP header.
        inner: u16,
    },
}

/// What the steering program matches: one line of one channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LineKey {
    /// Destination address, as a rule a multicast group.
    pub group: Ipv4Addr,
    /// UDP destination port.
    pub port: u16,
    /// VLAN tags.
    pub vlan: Vlan,
}

impl LineKey {
    /// The key of the `lines` map: group and port in network order, outer and
    /// inner VLAN in host order, two zero bytes (`struct line_key`).
    pub fn to_bytes(self) -> [u8; 12] {
        let (outer, inner) = match self.vlan {
            Vlan::Any => (ANY_TAG, ANY_TAG),
            Vlan::Untagged => (NO_TAG, NO_TAG),
            Vlan::Tagged(id) => (id, NO_TAG),
            Vlan::Double { outer, inner } => (outer, inner),
        };
        let mut key = [0; 12];
        key[0..4].copy_from_slice(&self.group.octets());
        key[4..6].copy_from_slice(&self.port.to_be_bytes());
        key[6..8].copy_from_slice(&outer.to_ne_bytes());
        key[8..10].copy_from_slice(&inner.to_ne_bytes());
        key
    }

    /// Whether the VLAN ids are ones that a frame can carry.
    pub(crate) fn has_valid_vlan(self) -> bool {
        let valid = |id: u16| (1..=4094).contains(&id);
        match self.vlan {
            Vlan::Any | Vlan::Untagged => true,
            Vlan::Tagged(id) => valid(id),
            Vlan::Double { outer, inner } => valid(outer) && valid(inner),
        }
    }
}
