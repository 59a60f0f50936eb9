//! What `ethtool` says of an interface, and how it is told to change it.
//!
//! Arrives: the text that ethtool prints (ethtool(8); its sources `ethtool.c`, `rxclass.c` and
//! `netlink/*.c`). Leaves: plain values. Promises: lines that are not known are passed over, so that
//! later versions, which add lines, are read too; `n/a` and what is missing are none.

use super::{Host, ToolError};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

/// The answers about one interface; each may be refused by its driver.
#[derive(Clone, Debug)]
pub struct Ethtool {
    /// `-i`: the driver.
    pub driver: Result<Driver, ToolError>,
    /// `-k`: offloads.
    pub features: Result<Features, ToolError>,
    /// `-g`: descriptors of the device's rings.
    pub rings: Result<Rings, ToolError>,
    /// `-l`: queues.
    pub channels: Result<Channels, ToolError>,
    /// `-c`: interrupt coalescing.
    pub coalescing: Result<Coalescing, ToolError>,
    /// `-n`: rules that steer packets to queues.
    pub rules: Result<Vec<Rule>, ToolError>,
    /// `-x`: the queues that the hash spreads packets over.
    pub spread: Result<Vec<u32>, ToolError>,
    /// `-T`: the number of the device's clock, where it has one.
    pub clock: Option<u32>,
}

impl Ethtool {
    /// Asks for everything.
    pub fn read(host: &Host, interface: &str) -> Self {
        Self {
            driver: Driver::ask(host, interface),
            features: Features::ask(host, interface),
            rings: Rings::ask(host, interface),
            channels: Channels::ask(host, interface),
            coalescing: Coalescing::ask(host, interface),
            rules: Rule::ask(host, interface),
            spread: ask(host, "-x", interface).map(|text| parse_spread(&text)),
            clock: ask(host, "-T", interface).ok().and_then(|text| parse_clock(&text)),
        }
    }

    /// The queues that receive: those of their own kind and the combined ones.
    pub fn receive_queues(&self) -> Option<u32> {
        let channels = self.channels.as_ref().ok()?;
        Some(channels.now.rx.unwrap_or(0) + channels.now.combined.unwrap_or(0)).filter(|&n| n > 0)
    }
}

/// A driver, as it names itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Driver {
    /// `ixgbe`, `mlx5_core`, ….
    pub name: String,
    /// Its version, for drivers in the kernel the kernel's own.
    pub version: String,
    /// The device's firmware.
    pub firmware: String,
}

impl Driver {
    /// Asks for it.
    ///
    /// # Errors
    /// [`ToolError`], also where the driver does not have it.
    pub fn ask(host: &Host, interface: &str) -> Result<Self, ToolError> {
        ask(host, "-i", interface).map(|text| Self::parse(&text))
    }

    fn parse(text: &str) -> Self {
        let field = |name| {
            let values = text.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            values.map(|value| value.trim().to_owned()).next().unwrap_or_default()
        };
        Self {
            name: field("driver"),
            version: field("version"),
            firmware: field("firmware-version"),
        }
    }
}

/// A feature that can be on or off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Feature {
    /// Whether it is on.
    pub on: bool,
    /// Whether it cannot be changed.
    pub fixed: bool,
}

/// The features of an interface by ethtool's names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Features(pub BTreeMap<String, Feature>);

impl Features {
    /// Asks for it.
    ///
    /// # Errors
    /// [`ToolError`], also where the driver does not have it.
    pub fn ask(host: &Host, interface: &str) -> Result<Self, ToolError> {
        ask(host, "-k", interface).map(|text| Self::parse(&text))
    }

    fn parse(text: &str) -> Self {
        let mut features = BTreeMap::new();
        for line in text.lines() {
            let Some((name, state)) = line.trim().split_once(": ") else { continue };
            let on = match state.split_whitespace().next() {
                Some("on") => true,
                Some("off") => false,
                _ => continue,
            };
            features.insert(name.to_owned(), Feature { on, fixed: state.contains("[fixed]") });
        }
        Self(features)
    }

    /// A feature by its name.
    pub fn get(&self, name: &str) -> Option<Feature> {
        self.0.get(name).copied()
    }
}

/// Receive descriptors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rings {
    /// Most that the device takes.
    pub rx_max: Option<u32>,
    /// Those that it has.
    pub rx: Option<u32>,
}

impl Rings {
    /// Asks for it.
    ///
    /// # Errors
    /// [`ToolError`], also where the driver does not have it.
    pub fn ask(host: &Host, interface: &str) -> Result<Self, ToolError> {
        ask(host, "-g", interface).map(|text| Self::parse(&text))
    }

    fn parse(text: &str) -> Self {
        let (maxima, now) = halves(text);
        Self { rx_max: number_in(maxima, "RX"), rx: number_in(now, "RX") }
    }
}

/// Numbers of queues by their kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Receive queues that send nothing.
    pub rx: Option<u32>,
    /// Send queues that receive nothing.
    pub tx: Option<u32>,
    /// Queues that do both.
    pub combined: Option<u32>,
}

/// Queues that an interface may have, and has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Channels {
    /// Most.
    pub max: Counts,
    /// Now.
    pub now: Counts,
}

impl Channels {
    /// Asks for it.
    ///
    /// # Errors
    /// [`ToolError`], also where the driver does not have it.
    pub fn ask(host: &Host, interface: &str) -> Result<Self, ToolError> {
        ask(host, "-l", interface).map(|text| Self::parse(&text))
    }

    fn parse(text: &str) -> Self {
        let counts = |part| Counts {
            rx: number_in(part, "RX"),
            tx: number_in(part, "TX"),
            combined: number_in(part, "Combined"),
        };
        let (maxima, now) = halves(text);
        Self { max: counts(maxima), now: counts(now) }
    }

    /// The kind of queue that this interface receives on, by ethtool's word for it.
    pub fn receiving_kind(&self) -> &'static str {
        if self.max.combined.is_some_and(|max| max > 0) { "combined" } else { "rx" }
    }
}

/// When the device interrupts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Coalescing {
    /// Whether the device or driver chooses by itself on receipt.
    pub adaptive_rx: Option<bool>,
    /// Most time from a packet to its interrupt.
    pub rx_usecs: Option<u32>,
    /// Packets that interrupt at once.
    pub rx_frames: Option<u32>,
}

impl Coalescing {
    /// Asks for it.
    ///
    /// # Errors
    /// [`ToolError`], also where the driver does not have it.
    pub fn ask(host: &Host, interface: &str) -> Result<Self, ToolError> {
        ask(host, "-c", interface).map(|text| Self::parse(&text))
    }

    fn parse(text: &str) -> Self {
        let adaptive = text.lines().find_map(|line| line.trim().strip_prefix("Adaptive RX:"));
        let adaptive_rx = match adaptive.and_then(|rest| rest.split_whitespace().next()) {
            Some("on") => Some(true),
            Some("off") => Some(false),
            _ => None,
        };
        Self {
            adaptive_rx,
            rx_usecs: number_in(text, "rx-usecs"),
            rx_frames: number_in(text, "rx-frames"),
        }
    }
}

/// A rule that sends packets to a queue.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rule {
    /// Its number, which is its place too.
    pub id: u32,
    /// Whether it is about UDP over IPv4 alone.
    pub udp4: bool,
    /// The destination, where it names exactly one.
    pub group: Option<Ipv4Addr>,
    /// The destination port, where it names exactly one.
    pub port: Option<u16>,
    /// Whether it names anything else (a source, a VLAN, …) as well.
    pub narrower: bool,
    /// The queue; none where packets are dropped or go elsewhere.
    pub queue: Option<u32>,
}

impl Rule {
    /// Asks for it.
    ///
    /// # Errors
    /// [`ToolError`], also where the driver does not have it.
    pub fn ask(host: &Host, interface: &str) -> Result<Vec<Self>, ToolError> {
        ask(host, "-n", interface).map(|text| Self::parse_all(&text))
    }

    fn parse_all(text: &str) -> Vec<Self> {
        let mut rules: Vec<Self> = Vec::new();
        for line in text.lines() {
            let Some((name, value)) = line.trim().split_once(':') else { continue };
            let value = value.trim();
            if name == "Filter" {
                rules.extend(value.parse().ok().map(|id| Self { id, ..Self::default() }));
            } else if let Some(rule) = rules.last_mut() {
                rule.take(name, value);
            }
        }
        rules
    }

    /// One line of a rule. A mask has a bit for each bit that does not matter.
    fn take(&mut self, name: &str, value: &str) {
        let (value, mask) = value.split_once(" mask: ").unwrap_or((value, ""));
        match name {
            "Rule Type" => self.udp4 = value == "UDP over IPv4",
            "Dest IP addr" if mask == "0.0.0.0" => self.group = value.parse().ok(),
            "Dest port" if number(mask) == Some(0) => self.port = value.parse().ok(),
            "Dest IP addr" | "Dest port" => self.narrower |= !ignores_all(mask),
            "Action" => {
                let queue = value.strip_prefix("Direct to queue ");
                self.queue = queue.and_then(|queue| queue.parse().ok());
            }
            _ if !mask.is_empty() => self.narrower |= !ignores_all(mask),
            _ => {}
        }
    }

    /// Whether a packet to this destination matches. One that the rule says more about may not.
    pub fn matches(&self, group: Ipv4Addr, port: u16) -> bool {
        self.udp4
            && self.group.is_none_or(|of| of == group)
            && self.port.is_none_or(|of| of == port)
    }

    /// Whether it is about this destination and nothing else.
    pub fn is_exactly(&self, group: Ipv4Addr, port: u16) -> bool {
        self.udp4 && !self.narrower && self.group == Some(group) && self.port == Some(port)
    }
}

fn ask(host: &Host, option: &str, interface: &str) -> Result<String, ToolError> {
    host.run("ethtool", &[option, interface])
}

/// True for a mask that covers its whole field: `0xffff`, `255.255.255.255`, `FF:FF:FF:FF:FF:FF`.
fn ignores_all(mask: &str) -> bool {
    let digits = mask.strip_prefix("0x").unwrap_or(mask);
    let all_f = |text: &str| text.chars().all(|c| matches!(c, 'f' | 'F' | ':'));
    !mask.is_empty() && (digits == "255.255.255.255" || all_f(digits))
}

/// The queues of an indirection table: rows of `16:   0  1  2  3`.
fn parse_spread(text: &str) -> Vec<u32> {
    let mut queues = Vec::new();
    let rows = text.lines().filter_map(|line| line.trim().split_once(':'));
    for (place, row) in rows {
        let words = || row.split_whitespace().map(str::parse::<u32>);
        if place.parse::<u32>().is_ok() && words().all(|word| word.is_ok()) {
            queues.extend(words().flatten());
        }
    }
    queues.sort_unstable();
    queues.dedup();
    queues
}

/// `PTP Hardware Clock: 0`, which later versions print as `Hardware timestamp provider index: 0`.
fn parse_clock(text: &str) -> Option<u32> {
    let names = ["PTP Hardware Clock:", "Hardware timestamp provider index:"];
    let value =
        |line: &str| names.iter().find_map(|name| Some(line.strip_prefix(name)?.trim().to_owned()));
    text.lines().find_map(|line| value(line.trim()))?.parse().ok()
}

/// What stands before and after `Current hardware settings:`.
fn halves(text: &str) -> (&str, &str) {
    text.split_once("Current hardware settings").unwrap_or((text, text))
}

/// The number of the line `NAME: NUMBER`.
fn number_in(text: &str, name: &str) -> Option<u32> {
    let values = text.lines().filter_map(|line| line.trim().strip_prefix(name)?.strip_prefix(':'));
    values.map(|value| value.trim().parse().ok()).next().flatten()
}

fn number(text: &str) -> Option<u32> {
    match text.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_say_what_they_match_and_where_it_goes() {
        let rules = Rule::parse_all(
            "8 RX rings available\nTotal 3 rules\n\n\
             Filter: 2045\n\tRule Type: UDP over IPv4\n\
             \tSrc IP addr: 0.0.0.0 mask: 255.255.255.255\n\
             \tDest IP addr: 233.54.12.111 mask: 0.0.0.0\n\tTOS: 0x0 mask: 0xff\n\
             \tSrc port: 0 mask: 0xffff\n\tDest port: 26477 mask: 0x0\n\
             \tVLAN EtherType: 0x0 mask: 0xffff\n\tVLAN: 0x0 mask: 0xffff\n\
             \tUser-defined: 0x0 mask: 0xffffffffffffffff\n\
             \tAction: Direct to queue 3\n\n\
             Filter: 2046\n\tRule Type: UDP over IPv4\n\
             \tSrc IP addr: 192.0.2.7 mask: 0.0.0.0\n\
             \tDest IP addr: 233.54.12.111 mask: 0.0.0.0\n\
             \tDest port: 0 mask: 0xffff\n\tAction: Drop\n\n\
             Filter: 2047\n\tRule Type: TCP over IPv4\n\
             \tDest IP addr: 233.54.12.111 mask: 0.0.0.0\n\tAction: Direct to queue 1\n",
        );
        let group = Ipv4Addr::new(233, 54, 12, 111);
        let [exact, narrower, other] = rules.as_slice() else { panic!("{rules:?}") };
        assert!(exact.is_exactly(group, 26_477) && exact.queue == Some(3) && exact.id == 2045);
        assert!(!exact.matches(group, 26_478));
        assert!(narrower.narrower && narrower.matches(group, 1) && narrower.queue.is_none());
        assert!(!other.matches(group, 26_477), "another protocol");
    }

    #[test]
    fn settings_are_read_and_absent_ones_are_none() {
        let rings = Rings::parse(
            "Ring parameters for eth1:\nPre-set maximums:\nRX:\t\t8192\nRX Mini:\tn/a\n\
             RX Jumbo:\tn/a\nTX:\t\t8192\nCurrent hardware settings:\nRX:\t\t512\nRX Mini:\tn/a\n\
             TX:\t\t512\nRX Buf Len:\tn/a\nTX Push:\toff\n",
        );
        assert_eq!(rings, Rings { rx_max: Some(8192), rx: Some(512) });
        let channels = Channels::parse(
            "Channel parameters for eth1:\nPre-set maximums:\nRX:\t\tn/a\nTX:\t\tn/a\n\
             Other:\t\t1\nCombined:\t63\nCurrent hardware settings:\nRX:\t\tn/a\nTX:\t\tn/a\n\
             Other:\t\t1\nCombined:\t16\n",
        );
        assert_eq!((channels.max.combined, channels.now.combined), (Some(63), Some(16)));
        assert_eq!((channels.now.rx, channels.receiving_kind()), (None, "combined"));
        let coalescing = Coalescing::parse(
            "Coalesce parameters for eth1:\nAdaptive RX: on  TX: n/a\nstats-block-usecs:\tn/a\n\
             rx-usecs:\t50\nrx-frames:\tn/a\nrx-usecs-irq:\t0\n",
        );
        assert_eq!(coalescing.adaptive_rx, Some(true));
        assert_eq!((coalescing.rx_usecs, coalescing.rx_frames), (Some(50), None));
        let driver = Driver::parse(
            "driver: ice\nversion: 6.1.0-13-amd64\nfirmware-version: 4.20 0x8001 1.3\n\
             expansion-rom-version: \nbus-info: 0000:17:00.0\n",
        );
        assert_eq!((driver.name.as_str(), driver.firmware.as_str()), ("ice", "4.20 0x8001 1.3"));
    }

    #[test]
    fn features_spread_and_clock_are_read() {
        let features = Features::parse(
            "Features for eth1:\nrx-checksumming: on\n\ttx-checksum-ipv4: off [fixed]\n\
             generic-receive-offload: on\nrx-vlan-offload: on [fixed]\nntuple-filters: off\n\
             rx-gro-hw: off [requested on]\n",
        );
        let feature = |name| features.get(name).unwrap();
        assert_eq!(feature("rx-vlan-offload"), Feature { on: true, fixed: true });
        assert_eq!(feature("rx-gro-hw"), Feature { on: false, fixed: false });
        assert_eq!(features.0.len(), 6);
        let spread = parse_spread(
            "RX flow hash indirection table for eth1 with 4 RX ring(s):\n    0:      0     1\n\
             \x20   8:      0     3\nRSS hash key:\n6d:5a:56:da\nRSS hash function:\n    toeplitz: on\n",
        );
        assert_eq!(spread, [0, 1, 3]);
        assert_eq!(
            parse_clock("Capabilities:\n\tsoftware-receive\nPTP Hardware Clock: 2\n"),
            Some(2)
        );
        assert_eq!(parse_clock("PTP Hardware Clock: none\n"), None);
    }
}
