//! The live probe: the steering program on the interface, and packets that arrive in packet memory.
//!
//! Arrives: an interface, and the lines of a configuration. Leaves: findings. What it does, in order:
//!
//! 1. attaches the program as the appliance would, and opens a socket on each configured queue;
//! 2. joins the groups and counts what comes from the wire, for a while;
//! 3. sends itself one packet for each line, and looks at the bytes that arrive.
//!
//! The packets of step 3 come through the wire where that is possible, which is a veth whose other
//! end is in this network namespace. Elsewhere the kernel runs the program on them as if the device
//! had received them on queue 0 ([`Interface::inject`]): all from the program on is real, the device
//! and its cable are not in it. Step 2 is about those.
//!
//! Promises: with another program attached it does nothing, so a running appliance is not touched;
//! what it attached is gone when it returns, however that is. Attaching may reset a device for some
//! seconds.

use super::finding::{Check, Finding};
use crate::host;
use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::{Duration, Instant};
use wirebook_simulator::Line;
use wirebook_wire::Datagram;
use wirebook_xdp::{
    AttachMode, BATCH_MAX, FrameSender, Interface, LineKey, Membership, Memberships, Mode,
    Receiver, SocketConfig, SteeringOptions, Timestamps, Vlan, XdpError,
};

const ATTACH: Check = Check {
    id: "probe.attach",
    why: "the mode in which the kernel takes the steering program on this interface",
};
const BIND: Check = Check {
    id: "probe.bind",
    why: "whether the device writes packets into our memory itself, or the kernel copies them there",
};
const WIRE: Check = Check {
    id: "probe.wire",
    why: "a line that brings nothing during market hours is not delivered, or comes on another queue",
};
const PACKET: Check = Check {
    id: "probe.packet",
    why: "only a packet that arrived in packet memory shows that steering works",
};

/// A group for documentation (RFC 6676), so that no line has it, and the discard port.
const GROUP: Ipv4Addr = Ipv4Addr::new(233, 252, 0, 222);
const PORT: u16 = 9;

/// Lines of one configuration that are tried; the rest differ in nothing but their addresses.
const LINES_MAX: usize = 256;
/// Slots of a socket's rings: enough to listen, and little memory.
const RING_SIZE: u32 = 4_096;
/// How long a packet of ours may take.
const PATIENCE: Duration = Duration::from_secs(3);

/// What is probed.
pub(super) struct Probe<'a> {
    /// The interface's facts.
    pub(super) interface: &'a host::Interface,
    /// Its queues of the configuration.
    pub(super) queues: BTreeSet<u32>,
    /// Its lines of the configuration.
    pub(super) lines: Vec<host::NeededLine>,
    /// How long to listen to the wire.
    pub(super) listen: Duration,
}

/// A line by its name, and what its packets look like.
struct Target {
    name: String,
    key: LineKey,
}

impl Probe<'_> {
    /// Probes.
    pub(super) fn run(&self) -> Vec<Finding> {
        if let Some(xdp) = &self.interface.xdp {
            let found =
                format!("left out: program {} is attached, and may be an appliance's", xdp.id);
            return vec![PACKET.unmendable(found)];
        }
        let mut findings = Vec::new();
        if let Err(error) = self.run_on(&mut findings) {
            findings.push(
                PACKET.fail(error.to_string(), "mend what is said above, and run the doctor again"),
            );
        }
        findings
    }

    fn run_on(&self, findings: &mut Vec<Finding>) -> Result<(), XdpError> {
        let mut interface = self.attach(&SteeringOptions::default())?;
        findings.push(attached(&interface));
        let mut receiver = self.open(&mut interface, Some(findings))?;
        if !self.lines.is_empty() && !self.listen.is_zero() {
            findings.push(self.listen_to_wire(&interface, &mut receiver));
        }
        if self.interface.peer.is_none() && interface.timestamps() == Timestamps::Hardware {
            // The kernel runs no device-bound program on a frame of ours.
            drop((receiver, interface));
            let mode = AttachMode::Native;
            interface = self.attach(&SteeringOptions { mode, hardware_timestamps: false })?;
            receiver = self.open(&mut interface, None)?;
        }
        findings.push(self.send_and_receive(&interface, &mut receiver));
        Ok(())
    }

    fn attach(&self, options: &SteeringOptions) -> Result<Interface, XdpError> {
        let targets = self.targets();
        let lines = targets.iter().map(|target| target.key).zip(0..);
        Interface::attach(&self.interface.name, options, lines)
    }

    /// The configuration's lines, or one of our own where there are none.
    fn targets(&self) -> Vec<Target> {
        let own = Target {
            name: "a line of the probe's own".into(),
            key: LineKey { group: GROUP, port: PORT, vlan: Vlan::Any },
        };
        let lines = self.lines.iter().take(LINES_MAX);
        let targets: Vec<_> =
            lines.map(|line| Target { name: line.name.clone(), key: line.key }).collect();
        if targets.is_empty() { vec![own] } else { targets }
    }

    fn open(
        &self,
        interface: &mut Interface,
        findings: Option<&mut Vec<Finding>>,
    ) -> Result<Receiver, XdpError> {
        let mut queues = self.queues.clone();
        // Where the kernel puts packets of ours.
        queues.insert(0);
        let socket = |queue: &u32| SocketConfig {
            ring_size: RING_SIZE,
            hugepages: false,
            ..interface.socket_config(*queue)
        };
        let sockets: Vec<_> = queues.iter().map(socket).collect();
        let (receiver, reports) = Receiver::open(&sockets)?;
        interface.serve(&receiver)?;
        if let Some(findings) = findings {
            let copied: Vec<_> = reports
                .iter()
                .filter(|report| !report.zero_copy)
                .map(|report| report.queue)
                .collect();
            findings.push(match copied.is_empty() {
                true => BIND.pass(format!("zero-copy on queues {queues:?}")),
                false => BIND.unmendable(format!(
                    "copied on queues {copied:?}: docs/nics.md says which drivers do better"
                )),
            });
        }
        Ok(receiver)
    }

    fn listen_to_wire(&self, interface: &Interface, receiver: &mut Receiver) -> Finding {
        let memberships: Vec<_> = self
            .lines
            .iter()
            .map(|line| Membership {
                interface_index: interface.index(),
                group: line.key.group,
                source: line.source,
            })
            .collect();
        let _joined = match Memberships::join(&memberships) {
            Ok(joined) => joined,
            Err(error) => {
                return WIRE.fail(error.to_string(), "raise net.ipv4.igmp_max_memberships");
            }
        };
        let targets = self.targets();
        let mut counts = vec![0u64; targets.len()];
        let end = Instant::now() + self.listen;
        while Instant::now() < end {
            receive(receiver, &targets, |line, _| counts[line] += 1);
        }
        let named = || targets.iter().zip(&counts);
        let silent: Vec<_> = named()
            .filter(|(_, count)| **count == 0)
            .map(|(target, _)| target.name.as_str())
            .collect();
        let total: u64 = counts.iter().sum();
        let seconds = self.listen.as_secs_f64();
        match (silent.is_empty(), total) {
            (true, _) => WIRE.pass(format!("{total} packets in {seconds} s, on every line")),
            (false, 0) => WIRE.unmendable(format!("no packet of any line in {seconds} s: is the market open, and are the groups delivered here?")),
            (false, _) => WIRE.unmendable(format!("{total} packets in {seconds} s, but none of {}", silent.join(", "))),
        }
    }

    fn send_and_receive(&self, interface: &Interface, receiver: &mut Receiver) -> Finding {
        let targets = self.targets();
        let (sender, way) = match &self.interface.peer {
            Some(peer) => match FrameSender::open(peer) {
                Ok(sender) => (Some(sender), format!("sent on {peer}, the other end")),
                Err(error) => return PACKET.unmendable(error.to_string()),
            },
            None => (None, "given to the program by the kernel, as if from queue 0".into()),
        };
        let mut arrived = 0;
        for (number, target) in targets.iter().enumerate() {
            let payload = format!("wirebook doctor {number} of process {}", std::process::id());
            let Some(frame) = frame(&target.key, payload.as_bytes()) else { continue };
            let sent = match &sender {
                Some(sender) => sender.send(&frame).map_err(|error| error.to_string()),
                None => interface.inject(&frame).map_err(|error| error.to_string()),
            };
            if let Err(error) = sent {
                return PACKET.unmendable(format!("{way}: {error}"));
            }
            if !arrives(receiver, &targets, number, payload.as_bytes()) {
                let counters = interface.counters().unwrap_or_default();
                return PACKET.fail(
                    format!("{}, {way}, did not arrive; the program counted {counters:?}", target.name),
                    "no_socket: let the configuration name every queue; passed: look at the line's VLAN",
                );
            }
            arrived += 1;
        }
        // Those of two tags are not sent.
        if arrived == 0 {
            return PACKET
                .unmendable("every line has two VLAN tags, of which the probe makes no packets");
        }
        PACKET.pass(format!("{arrived} of {} arrived in packet memory ({way})", targets.len()))
    }
}

fn attached(interface: &Interface) -> Finding {
    let time = match interface.timestamps() {
        Timestamps::Hardware => "asks the device for times of arrival",
        Timestamps::Kernel => "the kernel's times of arrival",
    };
    match interface.mode() {
        Mode::Native => ATTACH.pass(format!("native mode, {time}")),
        Mode::Generic => ATTACH.unmendable(
            "generic mode, slower: the driver refuses native mode (WIREBOOK_LOG=info says why)",
        ),
    }
}

/// Waits for exactly this packet; the lines' own may come between.
fn arrives(receiver: &mut Receiver, targets: &[Target], line: usize, payload: &[u8]) -> bool {
    let end = Instant::now() + PATIENCE;
    let mut arrived = false;
    while !arrived && Instant::now() < end {
        receive(receiver, targets, |of, bytes| arrived |= of == line && bytes == payload);
    }
    arrived
}

/// Gives the payloads that have arrived to a callback, by line; waits a moment where there are none.
fn receive(receiver: &mut Receiver, targets: &[Target], mut on_payload: impl FnMut(usize, &[u8])) {
    let taken = receiver.poll_batch(BATCH_MAX, |packet| {
        if let (Some(steered), Some(payload)) = (&packet.steered, packet.payload()) {
            let line = usize::from(steered.line);
            if line < targets.len() {
                on_payload(line, payload);
            }
        } else if let Ok(datagram) = Datagram::parse(packet.bytes) {
            // The driver carries no metadata.
            let line = targets.iter().position(|target| target.takes(&datagram));
            line.into_iter().for_each(|line| on_payload(line, datagram.payload));
        }
    });
    if taken == 0 {
        // A failure to wait shows as packets that do not arrive.
        let _ = receiver.wait(Duration::from_millis(10));
    }
}

impl Target {
    /// As the steering program decides it.
    fn takes(&self, datagram: &Datagram<'_>) -> bool {
        let LineKey { group, port, vlan } = self.key;
        let tags = (datagram.outer_vlan, datagram.inner_vlan);
        let right_tags = match vlan {
            Vlan::Any => true,
            Vlan::Untagged => tags == (None, None),
            Vlan::Tagged(id) => tags == (Some(id), None),
            Vlan::Double { outer, inner } => tags == (Some(outer), Some(inner)),
        };
        right_tags && datagram.destination == SocketAddrV4::new(group, port)
    }
}

/// A packet of a line; none for two tags, which our frames do not have.
fn frame(key: &LineKey, payload: &[u8]) -> Option<Vec<u8>> {
    let vlan = match key.vlan {
        Vlan::Any | Vlan::Untagged => None,
        Vlan::Tagged(id) => Some(id),
        Vlan::Double { .. } => return None,
    };
    let line = Line { vlan, ..Line::new(SocketAddrV4::new(key.group, key.port)) };
    let mut frame = Vec::new();
    line.frame(payload, &mut frame);
    Some(frame)
}
