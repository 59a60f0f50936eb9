//! What the kernel's drivers can do for AF_XDP.
//!
//! Arrives: a driver's name. Leaves: what is known of it, with the source. `docs/nics.md` is made
//! from this table. Promises nothing about drivers from outside the kernel's tree, nor about what a
//! distribution has put into an older kernel: the doctor's probe tells what is true on the host.
//!
//! Sources, unless a row says more. Native XDP, zero-copy, and the commits that brought them: the
//! table "Driver support" of ebpf-docs (docs/linux/program-type/BPF_PROG_TYPE_XDP.md), which for
//! native XDP agrees with bcc's docs/kernel-versions.md. Largest MTU: ebpf-docs, "Max MTU", "Plain
//! XDP" on x86 with pages of 4 KiB. Hardware time: where the driver sets `xmo_rx_timestamp` of
//! `struct xdp_metadata_ops`.

/// A release of the kernel.
pub type Release = (u32, u32);

/// What is known of a driver.
#[derive(Clone, Copy, Debug)]
pub struct Driver {
    /// As `ethtool -i` names it.
    pub name: &'static str,
    /// Devices.
    pub devices: &'static str,
    /// Native XDP, since.
    pub native: Release,
    /// Zero-copy AF_XDP, since.
    pub zero_copy: Option<Release>,
    /// Time of arrival taken by the device, for XDP programs.
    pub hardware_time: HardwareTime,
    /// Whether rules steer UDP destinations to queues (`ethtool -N`).
    pub rules: Rules,
    /// Largest MTU with XDP.
    pub mtu_max: Option<u32>,
    /// What bites.
    pub quirks: &'static str,
    /// Where that is written.
    pub source: &'static str,
}

/// Whether a driver gives XDP programs the device's time of arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HardwareTime {
    /// Since this release, found in a source.
    Since(Release),
    /// The driver's source has it; the release is from memory.
    Probably(Release),
    /// Not found.
    No,
}

/// Whether a driver takes rules for UDP destinations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rules {
    /// Yes.
    Yes,
    /// Yes, as far as is known; found in no source.
    Probably,
    /// No: give the interface one queue, or poll all.
    No,
}

use HardwareTime::{Probably, Since};

/// The drivers, those of fast NICs first.
pub const DRIVERS: &[Driver] = &[
    Driver {
        name: "mlx5_core",
        devices: "NVIDIA/Mellanox ConnectX-4 to -7, BlueField",
        native: (4, 9),
        zero_copy: Some((5, 3)),
        hardware_time: Since((6, 3)),
        rules: Rules::Yes,
        mtu_max: Some(3498),
        quirks: "Before Linux 6.1 zero-copy sockets had queue numbers of their own, from the number of \
                 channels up; the probe says what a bind got.",
        source: "drivers/net/ethernet/mellanox/mlx5/core/en/xdp.c (mlx5e_xdp_metadata_ops); commit 3db4c85cde7a for \
                 the queue numbers; the \
                 series that brought metadata kfuncs to mlx4, mlx5 and veth, 6.3",
    },
    Driver {
        name: "ice",
        devices: "Intel E810, E82x, E830",
        native: (5, 5),
        zero_copy: Some((5, 5)),
        hardware_time: Probably((6, 8)),
        rules: Rules::Yes,
        mtu_max: Some(3046),
        quirks: "(?) ethtool -L is refused while rules or an XDP program are there.",
        source: "drivers/net/ethernet/intel/ice/ice_txrx_lib.c (ice_xdp_rx_hw_ts)",
    },
    Driver {
        name: "i40e",
        devices: "Intel X710, XL710, XXV710, X722",
        native: (4, 13),
        zero_copy: Some((4, 20)),
        hardware_time: HardwareTime::No,
        rules: Rules::Yes,
        mtu_max: Some(3046),
        quirks: "(?) All rules of one flow type name the same fields; attaching XDP resets the queues.",
        source: "Documentation/networking/device_drivers/ethernet/intel/i40e.rst",
    },
    Driver {
        name: "ixgbe",
        devices: "Intel 82599, X520, X540, X550",
        native: (4, 12),
        zero_copy: Some((4, 20)),
        hardware_time: HardwareTime::No,
        rules: Rules::Yes,
        mtu_max: Some(3050),
        quirks: "All rules share one mask. (?) Attaching XDP resets the link for some seconds.",
        source: "drivers/net/ethernet/intel/ixgbe/ixgbe_ethtool.c (\"Only one mask supported per port\")",
    },
    Driver {
        name: "igc",
        devices: "Intel I225, I226",
        native: (5, 13),
        zero_copy: Some((5, 14)),
        hardware_time: Probably((6, 5)),
        rules: Rules::No,
        mtu_max: Some(1500),
        quirks: "Four queues; rules match MAC address, VLAN and EtherType, not UDP ports: give \
                 it one queue, or let one worker poll all.",
        source: "drivers/net/ethernet/intel/igc/igc_ethtool.c (rules are of type ether alone), igc_main.c \
                 (igc_xdp_metadata_ops)",
    },
    Driver {
        name: "igb",
        devices: "Intel I350, I210, I211, 82576, 82580",
        native: (5, 10),
        zero_copy: Some((6, 14)),
        hardware_time: HardwareTime::No,
        rules: Rules::No,
        mtu_max: Some(3046),
        quirks: "Rules match MAC address, VLAN and EtherType, not UDP ports.",
        source: "drivers/net/ethernet/intel/igb/igb_ethtool.c, igb_xsk.c",
    },
    Driver {
        name: "bnxt_en",
        devices: "Broadcom NetXtreme-C/E, P5, P7",
        native: (4, 11),
        zero_copy: None,
        hardware_time: HardwareTime::No,
        rules: Rules::Probably,
        mtu_max: Some(3502),
        quirks: "(?) rx-gro-hw and LRO must be off.",
        source: "drivers/net/ethernet/broadcom/bnxt/bnxt_xdp.c",
    },
    Driver {
        name: "sfc",
        devices: "AMD/Solarflare SFC9xxx, X2, X3",
        native: (5, 5),
        zero_copy: None,
        hardware_time: HardwareTime::No,
        rules: Rules::Probably,
        mtu_max: Some(3530),
        quirks: "(?) XDP takes transmit queues of its own for each core: with many cores there may not be \
                 enough.",
        source: "drivers/net/ethernet/sfc",
    },
    Driver {
        name: "nfp",
        devices: "Netronome Agilio",
        native: (4, 10),
        zero_copy: Some((5, 18)),
        hardware_time: HardwareTime::No,
        rules: Rules::Probably,
        mtu_max: Some(4096),
        quirks: "",
        source: "drivers/net/ethernet/netronome/nfp",
    },
    Driver {
        name: "mlx4_en",
        devices: "Mellanox ConnectX-3",
        native: (4, 8),
        zero_copy: None,
        hardware_time: Since((6, 3)),
        rules: Rules::Probably,
        mtu_max: Some(3498),
        quirks: "",
        source: "drivers/net/ethernet/mellanox/mlx4/en_rx.c; the series of 6.3 named under mlx5_core",
    },
    Driver {
        name: "qede",
        devices: "Marvell/QLogic FastLinQ",
        native: (4, 10),
        zero_copy: None,
        hardware_time: HardwareTime::No,
        rules: Rules::Probably,
        mtu_max: None,
        quirks: "",
        source: "",
    },
    Driver {
        name: "atlantic",
        devices: "Marvell/Aquantia AQC107, AQC113",
        native: (5, 19),
        zero_copy: None,
        hardware_time: HardwareTime::No,
        rules: Rules::Probably,
        mtu_max: Some(2048),
        quirks: "",
        source: "",
    },
    Driver {
        name: "ionic",
        devices: "AMD Pensando",
        native: (6, 9),
        zero_copy: None,
        hardware_time: HardwareTime::No,
        rules: Rules::No,
        mtu_max: Some(3502),
        quirks: "",
        source: "",
    },
    Driver {
        name: "ena",
        devices: "Amazon EC2",
        native: (5, 6),
        zero_copy: None,
        hardware_time: HardwareTime::No,
        rules: Rules::No,
        mtu_max: Some(3498),
        quirks: "XDP wants at most half of the combined queues; the default MTU of 9001 is too large.",
        source: "Cilium, Documentation/network/kubernetes/kubeproxy-free.rst, \"NodePort XDP on AWS\"",
    },
    Driver {
        name: "gve",
        devices: "Google Compute Engine gVNIC",
        native: (6, 4),
        zero_copy: Some((6, 4)),
        hardware_time: Probably((6, 19)),
        rules: Rules::Probably,
        mtu_max: Some(2032),
        quirks: "(?) Which queue formats have XDP depends on the release.",
        source: "drivers/net/ethernet/google/gve/gve_main.c (gve_set_netdev_xdp_features, \
                 gve_xdp_metadata_ops)",
    },
    Driver {
        name: "hv_netvsc",
        devices: "Microsoft Hyper-V, Azure",
        native: (5, 6),
        zero_copy: None,
        hardware_time: HardwareTime::No,
        rules: Rules::No,
        mtu_max: Some(3506),
        quirks: "LRO must be off; name this interface, not the virtual function's, to which the kernel passes \
                 the program on. XDP_REDIRECT, without which there is no AF_XDP, since Linux 5.19.",
        source: "Documentation/networking/device_drivers/ethernet/microsoft/netvsc.rst; \
                 commit 1cb9d3b6185b",
    },
    Driver {
        name: "virtio_net",
        devices: "QEMU/KVM virtual machines",
        native: (4, 10),
        zero_copy: Some((6, 11)),
        hardware_time: HardwareTime::No,
        rules: Rules::No,
        mtu_max: Some(3506),
        quirks: "Zero-copy was seen with 6.18 and iommu_platform=on, not with 6.12, although the sources name \
                 6.11. (?) Native XDP wants a transmit queue for each core, or shares them.",
        source: "measured under QEMU",
    },
    Driver {
        name: "vmxnet3",
        devices: "VMware virtual machines",
        native: (6, 6),
        zero_copy: None,
        hardware_time: HardwareTime::No,
        rules: Rules::No,
        mtu_max: Some(3494),
        quirks: "",
        source: "",
    },
    Driver {
        name: "veth",
        devices: "pairs between network namespaces",
        native: (4, 19),
        zero_copy: None,
        hardware_time: HardwareTime::No,
        rules: Rules::No,
        mtu_max: Some(3520),
        quirks: "Needs as many receive queues as its peer has transmit queues; a packet takes the \
                 queue that its sender's core chose. The time-stamp kfunc is there (6.3) and has no \
                 time to give.",
        source: "drivers/net/veth.c; measured",
    },
];

/// What is known of the driver of this name.
pub fn find(name: &str) -> Option<&'static Driver> {
    DRIVERS.iter().find(|driver| driver.name == name)
}

/// The table of `docs/nics.md`.
pub fn table() -> String {
    let mut table = "| driver | devices | native XDP | zero-copy | hardware time | rules for UDP \
                     destinations | largest MTU |\n|---|---|---|---|---|---|---|\n"
        .to_owned();
    for driver in DRIVERS {
        let zero_copy = driver.zero_copy.map_or("–".into(), release);
        let time = match driver.hardware_time {
            Since(since) => release(since),
            Probably(since) => format!("{} (?)", release(since)),
            HardwareTime::No => "–".into(),
        };
        let rules = match driver.rules {
            Rules::Yes => "yes",
            Rules::Probably => "yes (?)",
            Rules::No => "–",
        };
        let mtu = driver.mtu_max.map_or("?".into(), |mtu| mtu.to_string());
        let cells = [
            format!("`{}`", driver.name),
            driver.devices.into(),
            release(driver.native),
            zero_copy,
            time,
            rules.into(),
            mtu,
        ];
        table += &format!("| {} |\n", cells.join(" | "));
    }
    table += "\n";
    let with_more = |driver: &&Driver| !driver.quirks.is_empty() || !driver.source.is_empty();
    for driver in DRIVERS.iter().filter(with_more) {
        let quirks = if driver.quirks.is_empty() { "" } else { " " };
        let source = match driver.source {
            "" => String::new(),
            source => format!(" *Source: {source}.*"),
        };
        table += &format!("- **`{}`**:{quirks}{}{source}\n", driver.name, driver.quirks);
    }
    table
}

/// `6.1`
pub fn release((major, minor): Release) -> String {
    format!("{major}.{minor}")
}
