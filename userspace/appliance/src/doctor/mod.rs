//! `wirebook doctor`: what on this host will hurt, and how to mend it.
//!
//! Arrives: a [`Host`], a configuration or interfaces. Leaves: a [`Report`] of findings. Each file
//! here looks at one thing and gives findings from facts alone; `probe` is the one that touches the
//! host. Promises: nothing is changed, and the probe takes back what it attaches.

mod clocks;
mod cores;
mod finding;
mod kernel;
mod memory;
mod nic;
mod probe;
mod rights;
mod steering;

pub use self::finding::{Check, Finding, Level};
use crate::host::{Host, Interface, Needs};
use serde::Serialize;
use std::fmt::Write;
use std::time::Duration;

/// What to look at.
#[derive(Clone, Debug, Default)]
pub struct Examination {
    /// What a configuration asks for, where there is one.
    pub needs: Option<Needs>,
    /// The interfaces to look at.
    pub interfaces: Vec<String>,
    /// Whether to probe them, and how long to listen to their wires.
    pub probe: Option<Duration>,
}

/// What was found.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Version of this object's shape.
    pub schema: u32,
    /// The interfaces that were looked at.
    pub interfaces: Vec<String>,
    /// Those that could be, where none was asked for.
    pub candidates: Vec<Candidate>,
    /// How many findings of each level there are.
    pub summary: Counts,
    /// All findings, in a fixed order.
    pub findings: Vec<Finding>,
}

/// An interface that could be looked at.
#[derive(Clone, Debug, Serialize)]
pub struct Candidate {
    /// Its name.
    pub name: String,
    /// Its driver.
    pub driver: String,
    /// Whether the driver is in `docs/nics.md`.
    pub known: bool,
}

/// Findings by level.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// As they should be.
    pub pass: usize,
    /// That cost something.
    pub warn: usize,
    /// That must be mended.
    pub fail: usize,
}

const EXISTS: Check =
    Check { id: "nic.exists", why: "the appliance does not start without its interfaces" };

/// Looks at a host.
pub fn examine(host: &Host, examination: &Examination) -> Report {
    let needs = examination.needs.as_ref();
    let mut interfaces = Vec::new();
    let mut findings = Vec::new();
    let mut absent = Vec::new();
    for name in &examination.interfaces {
        match Interface::read(host, name) {
            Some(interface) => interfaces.push(interface),
            None => absent.push(EXISTS.fail("no such interface here", "ip link").about(name)),
        }
    }
    findings.extend(kernel::findings(host));
    findings.extend(cores::findings(host, needs));
    findings.extend(memory::findings(host, needs, &interfaces));
    findings.extend(rights::findings(host));
    findings.extend(clocks::findings(host, &interfaces));
    findings.extend(absent);
    for interface in &interfaces {
        let mut own = nic::findings(host, interface, needs);
        own.extend(steering::findings(host, interface, needs));
        if let Some(listen) = examination.probe {
            own.extend(probe(interface, needs, listen).run());
        }
        findings.extend(own.into_iter().map(|finding| finding.about(&interface.name)));
    }
    let candidates = match examination.interfaces.is_empty() {
        true => candidates(host),
        false => Vec::new(),
    };
    Report {
        schema: 1,
        interfaces: examination.interfaces.clone(),
        candidates,
        summary: Counts::of(&findings),
        findings,
    }
}

fn probe<'a>(
    interface: &'a Interface,
    needs: Option<&Needs>,
    listen: Duration,
) -> probe::Probe<'a> {
    let name = &interface.name;
    let lines = needs.map(|needs| needs.lines.iter().filter(|line| line.interface == *name));
    probe::Probe {
        interface,
        queues: needs.and_then(|needs| needs.queues_of(name)).cloned().unwrap_or_default(),
        lines: lines.into_iter().flatten().cloned().collect(),
        listen,
    }
}

fn candidates(host: &Host) -> Vec<Candidate> {
    let candidate = |name: String| {
        let driver =
            crate::host::ethtool::Ethtool::read(host, &name).driver.unwrap_or_default().name;
        Candidate { known: crate::host::drivers::find(&driver).is_some(), name, driver }
    };
    host.interfaces().into_iter().map(candidate).collect()
}

impl Counts {
    fn of(findings: &[Finding]) -> Self {
        let count = |level| findings.iter().filter(|finding| finding.level == level).count();
        Self { pass: count(Level::Pass), warn: count(Level::Warn), fail: count(Level::Fail) }
    }
}

impl Report {
    /// For people: grouped, what is wrong with its mend, coloured where asked for.
    pub fn text(&self, coloured: bool) -> String {
        let mut text = String::new();
        let mut group = String::new();
        for finding in &self.findings {
            let title = title(finding);
            if title != group {
                let space = if group.is_empty() { "" } else { "\n" };
                // Writing to a String does not fail; nor does it below.
                let _ = writeln!(text, "{space}{title}");
                group = title;
            }
            let (on, off) = if coloured { colours(finding.level) } else { ("", "") };
            let (_, name) = finding.id.split_once('.').unwrap_or(("", finding.id));
            let _ = writeln!(text, "  {on}{:4}{off}  {name:22} {}", finding.level, finding.found);
            if finding.level != Level::Pass {
                let _ = writeln!(text, "        {:22} why:  {}", "", finding.why);
            }
            if let Some(mend) = &finding.mend {
                let _ = writeln!(text, "        {:22} mend: {mend}", "");
            }
        }
        for candidate in &self.candidates {
            let known = if candidate.known { "" } else { ", which is not in docs/nics.md" };
            let _ = writeln!(
                text,
                "\ninterface {}: driver {:?}{known}",
                candidate.name, candidate.driver
            );
        }
        if !self.candidates.is_empty() {
            let _ = writeln!(text, "\nName one with --interface to have it looked at, and probed.");
        }
        let Counts { pass, warn, fail } = self.summary;
        let _ = writeln!(text, "\n{pass} pass, {warn} warn, {fail} fail");
        text
    }
}

/// `memory`, `clock: eth1`, `probe: eth1`.
fn title(finding: &Finding) -> String {
    let (group, _) = finding.id.split_once('.').unwrap_or((finding.id, ""));
    match &finding.about {
        Some(about) => format!("{group} {about}"),
        None => group.to_owned(),
    }
}

fn colours(level: Level) -> (&'static str, &'static str) {
    match level {
        Level::Pass => ("\x1b[32m", "\x1b[0m"),
        Level::Warn => ("\x1b[33m", "\x1b[0m"),
        Level::Fail => ("\x1b[1;31m", "\x1b[0m"),
    }
}
