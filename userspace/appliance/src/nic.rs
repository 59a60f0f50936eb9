//! What the network interfaces themselves lost, by their own counters.
//!
//! Arrives: the counter files of the lines' interfaces, in sysfs. Leaves: by how much each counter
//! has grown since the start ([`NicDrops`]). Promises: files are read at the start, at the end and
//! when somebody asks, by the thread that keeps house and no other. A counter that goes back was
//! reset by its driver, and counts on from zero. A counter that cannot be read is said once in the
//! log and shown as unknown, never as zero.
//!
//! These stand apart from the kernel's drops ([`Drops`](crate::source::Drops)) and are never added
//! to them or to each other: one lost packet may be in several of them.

use serde::Serialize;
use serde_json::{Map, Value, json};
use std::fmt;
use std::path::{Path, PathBuf};

/// Where the kernel shows its interfaces, those of the network namespace in which it was mounted
/// (Documentation/ABI/testing/sysfs-class-net).
const SYSFS: &str = "/sys/class/net";

/// The counters that mean a packet lost on receipt
/// (Documentation/ABI/testing/sysfs-class-net-statistics; `struct rtnl_link_stats64` in
/// include/uapi/linux/if_link.h): damaged on the wire; not processed, filtered out by the device or
/// lost in its driver; missed by the device for want of buffers; too long for them; and overflows of
/// the device's queue, as older drivers count them.
const COUNTERS: [&str; 5] =
    ["rx_errors", "rx_dropped", "rx_missed_errors", "rx_over_errors", "rx_fifo_errors"];

/// What one interface has lost since the start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NicDrops {
    interface: String,
    /// In the order of [`COUNTERS`]; none where a counter is unknown.
    counts: [Option<u64>; COUNTERS.len()],
}

impl NicDrops {
    /// The interface's name.
    pub fn interface(&self) -> &str {
        &self.interface
    }

    /// Each counter by the kernel's name for it; none where it is unknown.
    pub fn named(&self) -> impl Iterator<Item = (&'static str, Option<u64>)> {
        COUNTERS.into_iter().zip(self.counts)
    }
}

impl Serialize for NicDrops {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = Map::from_iter([("interface".to_owned(), json!(self.interface))]);
        object.extend(self.named().map(|(name, count)| (name.to_owned(), json!(count))));
        Value::Object(object).serialize(serializer)
    }
}

impl fmt::Display for NicDrops {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.named().filter(|(_, count)| *count != Some(0));
        let shown = shown.map(|(name, count)| match count {
            Some(count) => format!("{count} {name}"),
            None => format!("unknown {name}"),
        });
        let shown = shown.collect::<Vec<_>>().join(", ");
        let shown = if shown.is_empty() { "none lost" } else { &shown };
        write!(f, "interface {}: {shown}", self.interface)
    }
}

/// The interfaces whose counters are followed.
#[derive(Debug, Default)]
pub struct Nics(Vec<Nic>);

#[derive(Debug)]
struct Nic {
    folder: PathBuf,
    last: [Option<u64>; COUNTERS.len()],
    drops: NicDrops,
}

impl Nics {
    /// Follows an interface of this thread's network namespace from now on. One that is followed
    /// already, and known, is left as it is: a new one of its name counts on from zero.
    pub fn follow(&mut self, name: &str) {
        let is_followed = |nic: &Nic| nic.drops.interface == name && nic.is_known();
        if self.0.iter().any(is_followed) {
            return;
        }
        let index = nix::net::if_::if_nametoindex(name).unwrap_or_default();
        self.0.retain(|nic| nic.drops.interface != name);
        self.0.push(Nic::start(Path::new(SYSFS), name, index));
        self.0.sort_by(|one, other| one.drops.interface.cmp(&other.drops.interface));
    }

    /// Reads all counters, and gives what was lost since the start.
    pub fn read(&mut self) -> Vec<NicDrops> {
        self.0.iter_mut().map(|nic| nic.read().clone()).collect()
    }
}

impl Nic {
    /// The interface of this name and index; another one of its name is of another namespace.
    fn start(sysfs: &Path, name: &str, index: u32) -> Self {
        let folder = sysfs.join(name);
        let last = match number(&folder.join("ifindex")) {
            Ok(found) if found == u64::from(index) => COUNTERS.map(|counter| {
                let count = number(&statistic(&folder, counter));
                let warn = |error| {
                    tracing::warn!(interface = name, "drops of {name} are unknown: {error}")
                };
                count.map_err(warn).ok()
            }),
            Ok(found) => {
                let expected = format!("expected interface index {index}, found {found}");
                tracing::warn!(
                    interface = name,
                    "drops of {name} are unknown: {expected}; {} is of another network namespace",
                    sysfs.display()
                );
                [None; COUNTERS.len()]
            }
            Err(error) => {
                tracing::warn!(interface = name, "drops of {name} are unknown: {error}");
                [None; COUNTERS.len()]
            }
        };
        let counts = last.map(|count| count.map(|_| 0));
        Self { folder, last, drops: NicDrops { interface: name.to_owned(), counts } }
    }

    fn is_known(&self) -> bool {
        self.last.iter().any(Option::is_some)
    }

    /// Adds what has come since the last reading. A counter that was unknown at the start stays so,
    /// and one that has gone keeps what it had.
    fn read(&mut self) -> &NicDrops {
        let counters = COUNTERS.iter().zip(&mut self.last).zip(&mut self.drops.counts);
        for ((counter, last), lost) in counters {
            if let (Some(last), Some(lost)) = (last, lost)
                && let Ok(now) = number(&statistic(&self.folder, counter))
            {
                *lost = lost.saturating_add(now.checked_sub(*last).unwrap_or(now));
                *last = now;
            }
        }
        &self.drops
    }
}

fn statistic(folder: &Path, counter: &str) -> PathBuf {
    folder.join("statistics").join(counter)
}

/// The number in a file of sysfs: decimal, with a newline.
fn number(path: &Path) -> Result<u64, String> {
    let text =
        std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    text.trim_end().parse().map_err(|_| {
        let found: String = text.chars().take(24).collect();
        format!("{}: expected a number from 0 to 2^64 - 1, found {found:?}", path.display())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tempfile::TempDir;

    /// An interface `eth0` of index 7 whose counters are all 100.
    fn tree() -> TempDir {
        let sysfs = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(sysfs.path().join("eth0/statistics")).unwrap();
        set(&sysfs, "ifindex", "7\n");
        COUNTERS.iter().for_each(|counter| set(&sysfs, &format!("statistics/{counter}"), "100\n"));
        sysfs
    }

    fn set(sysfs: &TempDir, file: &str, text: &str) {
        std::fs::write(sysfs.path().join("eth0").join(file), text).unwrap();
    }

    fn counts(nic: &mut Nic) -> [Option<u64>; 5] {
        nic.read().counts
    }

    #[test]
    fn what_was_lost_is_what_was_added_since_the_start() {
        let sysfs = tree();
        let mut nic = Nic::start(sysfs.path(), "eth0", 7);
        assert_eq!(counts(&mut nic), [Some(0); 5]);
        assert_eq!(nic.drops.to_string(), "interface eth0: none lost");
        set(&sysfs, "statistics/rx_missed_errors", "103\n");
        set(&sysfs, "statistics/rx_errors", "101\n");
        let expected = [Some(1), Some(0), Some(3), Some(0), Some(0)];
        assert_eq!(counts(&mut nic), expected);
        assert_eq!(counts(&mut nic), expected, "read twice, counted once");
        assert_eq!(nic.drops.to_string(), "interface eth0: 1 rx_errors, 3 rx_missed_errors");
        let json = serde_json::to_value(&nic.drops).unwrap();
        assert_eq!((&json["interface"], &json["rx_missed_errors"]), (&json!("eth0"), &json!(3)));
    }

    #[test]
    fn a_counter_that_goes_back_counts_on_from_zero() {
        let sysfs = tree();
        let mut nic = Nic::start(sysfs.path(), "eth0", 7);
        for (now, lost) in [("110", 10), ("4", 14), ("4", 14), ("6", 16), ("0", 16), ("1", 17)] {
            set(&sysfs, "statistics/rx_dropped", now);
            assert_eq!(counts(&mut nic)[1], Some(lost), "at {now}");
        }
        set(&sysfs, "statistics/rx_dropped", "18446744073709551615\n");
        assert_eq!(counts(&mut nic)[1], Some(u64::MAX), "no overflow");
    }

    #[test]
    fn what_cannot_be_read_is_unknown_and_never_zero() {
        let sysfs = tree();
        let wrong = ["", "-1\n", "many\n", "18446744073709551616\n"];
        for (counter, text) in COUNTERS.iter().zip(wrong) {
            set(&sysfs, &format!("statistics/{counter}"), text);
        }
        let mut nic = Nic::start(sysfs.path(), "eth0", 7);
        assert_eq!(counts(&mut nic), [None, None, None, None, Some(0)]);
        assert!(nic.drops.to_string().contains("unknown rx_dropped"), "{}", nic.drops);
        assert_eq!(serde_json::to_value(&nic.drops).unwrap()["rx_dropped"], Value::Null);
        // Without a first value, nothing is known of the difference.
        set(&sysfs, "statistics/rx_dropped", "5\n");
        set(&sysfs, "statistics/rx_fifo_errors", "101\n");
        assert_eq!(counts(&mut nic), [None, None, None, None, Some(1)]);
        // An interface that goes keeps what it had lost.
        std::fs::remove_dir_all(sysfs.path().join("eth0")).unwrap();
        assert_eq!(counts(&mut nic), [None, None, None, None, Some(1)]);
        let error = number(&sysfs.path().join("eth0/ifindex")).unwrap_err();
        assert!(error.contains("eth0/ifindex"), "{error}");
    }

    #[test]
    fn an_interface_of_another_namespace_is_not_ours() {
        let sysfs = tree();
        assert_eq!(counts(&mut Nic::start(sysfs.path(), "eth0", 8)), [None; 5]);
        assert_eq!(counts(&mut Nic::start(sysfs.path(), "eth1", 7)), [None; 5]);
    }
}
