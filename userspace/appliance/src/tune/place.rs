//! A place of the host that holds one value: how it is read, written, and shown as a command.

use crate::host::ethtool::{Channels, Coalescing, Features, Rings, Rule};
use crate::host::{self, Host, ToolError};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::Ipv4Addr;

/// Where a value is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "place", rename_all = "kebab-case")]
pub enum Place {
    /// A file below /sys or /proc.
    File {
        /// Its path.
        path: String,
    },
    /// `ethtool -K`: `on` or `off`.
    Feature {
        /// The interface.
        interface: String,
        /// ethtool's name for it.
        name: String,
    },
    /// `ethtool -G`: receive descriptors.
    Ring {
        /// The interface.
        interface: String,
    },
    /// `ethtool -L`: queues of one kind.
    Channels {
        /// The interface.
        interface: String,
        /// `rx`, `tx` or `combined`.
        kind: String,
    },
    /// `ethtool -C`.
    Coalescing {
        /// The interface.
        interface: String,
        /// `adaptive-rx`, `rx-usecs`.
        name: String,
    },
    /// `ethtool -N`: the queue that UDP packets of a destination are sent to, or `none`.
    Rule {
        /// The interface.
        interface: String,
        /// The destination.
        group: Ipv4Addr,
        /// Its port.
        port: u16,
    },
    /// The cores that may take an interrupt, by its name, as its number may change.
    Interrupt {
        /// The interface.
        interface: String,
        /// As in /proc/interrupts.
        name: String,
    },
}

/// Stands for a rule that is not there.
const NO_RULE: &str = "none";

impl Place {
    /// What is there, or why that cannot be known.
    pub(super) fn read(&self, host: &Host) -> Result<String, String> {
        self.read_raw(host).map(|value| self.in_one_form(&value))
    }

    fn read_raw(&self, host: &Host) -> Result<String, String> {
        let absent = || "not a setting of this driver or kernel".to_owned();
        let shown = |error: &ToolError| error.to_string();
        match self {
            Self::File { path } => host.read(path).ok_or_else(absent),
            Self::Feature { interface, name } => {
                let features = Features::ask(host, interface).map_err(|error| shown(&error))?;
                let feature = features.get(name).ok_or_else(absent)?;
                Ok(if feature.on { "on" } else { "off" }.into())
            }
            Self::Ring { interface } => {
                let rings = Rings::ask(host, interface).map_err(|error| shown(&error))?;
                rings.rx.map(|rx| rx.to_string()).ok_or_else(absent)
            }
            Self::Channels { interface, kind } => {
                let now = Channels::ask(host, interface).map_err(|error| shown(&error))?.now;
                let count = match kind.as_str() {
                    "combined" => now.combined,
                    "rx" => now.rx,
                    _ => now.tx,
                };
                count.map(|count| count.to_string()).ok_or_else(absent)
            }
            Self::Coalescing { interface, name } => {
                let now = Coalescing::ask(host, interface).map_err(|error| shown(&error))?;
                let value = match name.as_str() {
                    "adaptive-rx" => {
                        now.adaptive_rx.map(|on| if on { "on" } else { "off" }.to_owned())
                    }
                    _ => now.rx_usecs.map(|us| us.to_string()),
                };
                value.ok_or_else(absent)
            }
            Self::Rule { interface, group, port } => {
                let rules = Rule::ask(host, interface).map_err(|error| shown(&error))?;
                let rule = rules.iter().find(|rule| rule.is_exactly(*group, *port));
                Ok(rule.map_or(NO_RULE.into(), |rule| match rule.queue {
                    Some(queue) => format!("queue {queue} loc {}", rule.id),
                    None => format!("drop loc {}", rule.id),
                }))
            }
            Self::Interrupt { interface, name } => {
                let interrupt = interrupt(host, interface, name).ok_or_else(absent)?;
                Ok(interrupt.cores.to_string())
            }
        }
    }

    /// Writes it.
    pub(super) fn write(&self, host: &Host, now: &str, want: &str) -> Result<(), String> {
        if let Self::File { path } = self {
            return host.write(path, want).map_err(|error| error.to_string());
        }
        if let Self::Interrupt { interface, name } = self {
            let interrupt = interrupt(host, interface, name).ok_or("no such interrupt now")?;
            let path = format!("proc/irq/{}/smp_affinity_list", interrupt.number);
            return host.write(path, want).map_err(|error| error.to_string());
        }
        for arguments in self.ethtool(now, want) {
            let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
            host.run("ethtool", &arguments).map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    /// The command that writes it, for people.
    pub(super) fn command(&self, now: &str, want: &str) -> String {
        match self {
            Self::File { path } => format!("echo {want} > /{path}"),
            Self::Interrupt { name, .. } => {
                format!("echo {want} > /proc/irq/N/smp_affinity_list, N being that of {name}")
            }
            _ => {
                let all = self.ethtool(now, want);
                let lines = all.iter().map(|arguments| format!("ethtool {}", arguments.join(" ")));
                lines.collect::<Vec<_>>().join(" && ")
            }
        }
    }

    /// The calls of ethtool that lead from one value to another.
    fn ethtool(&self, now: &str, want: &str) -> Vec<Vec<String>> {
        let call = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        match self {
            Self::Feature { interface, name } => vec![call(&["-K", interface, name, want])],
            Self::Ring { interface } => vec![call(&["-G", interface, "rx", want])],
            Self::Channels { interface, kind } => vec![call(&["-L", interface, kind, want])],
            Self::Coalescing { interface, name } => vec![call(&["-C", interface, name, want])],
            Self::Rule { interface, group, port } => {
                let mut calls = Vec::new();
                // As two rules of one destination would contradict each other.
                if let Some((_, place)) = now.split_once(" loc ") {
                    calls.push(call(&["-N", interface, "delete", place]));
                }
                if want != NO_RULE {
                    let (group, port) = (group.to_string(), port.to_string());
                    let (action, place) = want.split_once(" loc ").unwrap_or((want, ""));
                    let queue = action.strip_prefix("queue ").unwrap_or("-1");
                    let mut add = call(&["-N", interface, "flow-type", "udp4", "dst-ip", &group]);
                    add.extend(call(&["dst-port", &port, "action", queue]));
                    if !place.is_empty() {
                        add.extend(call(&["loc", place]));
                    }
                    calls.push(add);
                }
                calls
            }
            Self::File { .. } | Self::Interrupt { .. } => Vec::new(),
        }
    }

    /// Whether it may be gone, and nothing to be put back with it: an interrupt is its queue's.
    pub(super) fn goes_with_its_queue(&self) -> bool {
        matches!(self, Self::Interrupt { .. })
    }

    /// Whether what is there does for what is wanted: a rule may have any number.
    pub(super) fn suits(&self, now: &str, want: &str) -> bool {
        let action = |value: &str| value.split(" loc ").next().unwrap_or_default().to_owned();
        now == want
            || (matches!(self, Self::Rule { .. }) && !want.contains(" loc ") && action(now) == want)
    }

    /// Affinity files give lists in the kernel's form.
    fn in_one_form(&self, value: &str) -> String {
        match self {
            Self::Interrupt { .. } => host::CpuSet::parse(value).to_string(),
            _ => value.to_owned(),
        }
    }
}

fn interrupt(host: &Host, interface: &str, name: &str) -> Option<host::Interrupt> {
    host::interrupts(host, interface).into_iter().find(|interrupt| interrupt.name == name)
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path } => write!(f, "/{path}"),
            Self::Feature { interface, name } => write!(f, "{interface}: feature {name}"),
            Self::Ring { interface } => write!(f, "{interface}: receive descriptors"),
            Self::Channels { interface, kind } => write!(f, "{interface}: {kind} queues"),
            Self::Coalescing { interface, name } => write!(f, "{interface}: {name}"),
            Self::Rule { interface, group, port } => {
                write!(f, "{interface}: rule for {group}:{port}")
            }
            Self::Interrupt { interface, name } => {
                write!(f, "{interface}: cores of interrupt {name}")
            }
        }
    }
}
