//! Time: how the host reads it, and whether it is right.

use super::finding::{Check, Finding};
use crate::host::{Host, Interface};

const SOURCE: Check = Check {
    id: "clock.source",
    why: "every packet is timed: a clock that is no register of the core costs a microsecond a reading",
};
const SERVICE: Check = Check {
    id: "clock.service",
    why: "without a time service receive times drift by milliseconds a day against the venue's",
};
const OFFSET: Check = Check {
    id: "clock.offset",
    why: "one-way latencies are wrong by as much as the host's clock is",
};
const DEVICE: Check = Check {
    id: "clock.device",
    why: "the device's times of arrival are wrong by as much as its clock is",
};

/// Farther off than this is a finding.
const OFFSET_MAX_NS: f64 = 100_000.0;
/// International Atomic Time is ahead of UTC by this much since 2017 (IERS Bulletin C).
const TAI_OFFSET_NS: f64 = 37e9;

/// All findings about clocks.
pub(super) fn findings(host: &Host, interfaces: &[Interface]) -> Vec<Finding> {
    let mut findings = vec![source(host), service(host)];
    findings.extend(offset(host));
    for interface in interfaces {
        findings.extend(device(host, interface).map(|finding| finding.about(&interface.name)));
    }
    findings
}

/// Documentation/timers/timekeeping.rst; Documentation/admin-guide/kernel-parameters.txt: `clocksource`,
/// `tsc`.
fn source(host: &Host) -> Finding {
    const FOLDER: &str = "sys/devices/system/clocksource/clocksource0";
    let Some(current) = host.read(format!("{FOLDER}/current_clocksource")) else {
        return SOURCE.unmendable("no clock source in sysfs");
    };
    // Those that are read without leaving the process.
    let fast = ["tsc", "kvm-clock", "hyperv_clocksource_tsc_page", "arch_sys_counter"];
    match fast.contains(&current.as_str()) {
        true => SOURCE.pass(current),
        false => SOURCE.warn(
            current,
            format!("echo tsc > /{FOLDER}/current_clocksource, or tsc=reliable on the kernel command line"),
        ),
    }
}

fn service(host: &Host) -> Finding {
    // The kernel keeps 15 characters of a name.
    let services = ["ptp4l", "phc2sys", "chronyd", "ntpd", "systemd-timesyn"];
    let running: Vec<_> =
        services.into_iter().filter(|name| !host.processes(name).is_empty()).collect();
    match running.as_slice() {
        [] => {
            SERVICE.warn("none runs", "apt install chrony, or linuxptp where the network has PTP")
        }
        ["systemd-timesyn"] => {
            SERVICE.warn("systemd-timesyncd, which steps by milliseconds", "apt install chrony")
        }
        running => SERVICE.pass(running.join(", ")),
    }
}

/// What the service that runs says of itself.
fn offset(host: &Host) -> Option<Finding> {
    let (who, offset_ns) = if !host.processes("ptp4l").is_empty() {
        // pmc(8)
        let text = host.run("pmc", &["-u", "-b", "0", "GET CURRENT_DATA_SET"]).ok()?;
        let line = text.lines().find_map(|line| line.trim().strip_prefix("offsetFromMaster"))?;
        ("ptp4l", line.trim().parse::<f64>().ok()?)
    } else if !host.processes("chronyd").is_empty() {
        ("chronyd", chrony_offset_ns(&host.run("chronyc", &["-n", "tracking"]).ok()?)?)
    } else {
        return None;
    };
    let found = format!("{who}: {:.3} µs off", offset_ns / 1e3);
    Some(match offset_ns.abs() <= OFFSET_MAX_NS {
        true => OFFSET.pass(found),
        false => OFFSET.warn(found, "see `chronyc sources -v`, or the log of ptp4l"),
    })
}

/// `System time     : 0.000001501 seconds slow of NTP time`, chronyc(1).
fn chrony_offset_ns(text: &str) -> Option<f64> {
    let line =
        text.lines().find_map(|line| line.strip_prefix("System time")?.trim().strip_prefix(':'))?;
    line.split_whitespace().next()?.parse::<f64>().ok().map(|seconds| seconds * 1e9)
}

/// phc_ctl(8): `… offset from CLOCK_REALTIME is -37000000123ns`.
fn device(host: &Host, interface: &Interface) -> Option<Finding> {
    let clock = interface.ethtool.clock?;
    let path = format!("/dev/ptp{clock}");
    let text = match host.run("phc_ctl", &[&path, "cmp"]) {
        Ok(text) => text,
        Err(error) => {
            return Some(DEVICE.warn(format!("{path}: {error}"), "apt install linuxptp"));
        }
    };
    let digits = text.split("CLOCK_REALTIME is ").nth(1)?.split("ns").next()?;
    let offset_ns: f64 = digits.trim().parse().ok()?;
    // On TAI, as ptp4l keeps it, or on UTC.
    let wrong_ns = [0.0, TAI_OFFSET_NS, -TAI_OFFSET_NS].map(|scale| (offset_ns - scale).abs());
    let wrong_ns = wrong_ns.into_iter().fold(f64::INFINITY, f64::min);
    let found = format!("{path}: {:.3} µs off (TAI counts as right)", wrong_ns / 1e3);
    Some(match wrong_ns <= OFFSET_MAX_NS {
        true => DEVICE.pass(found),
        false => DEVICE.warn(
            found,
            format!("ptp4l -i {0} -m, or phc2sys -s CLOCK_REALTIME -c {0} -O 37", interface.name),
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chrony_says_how_far_off_it_is() {
        let text =
            "Reference ID    : C0000201\nSystem time     : 0.000001501 seconds slow of NTP time\n";
        assert!((chrony_offset_ns(text).unwrap() - 1_501.0).abs() < 0.01);
        assert_eq!(chrony_offset_ns("506 Cannot talk to daemon\n"), None);
    }
}
