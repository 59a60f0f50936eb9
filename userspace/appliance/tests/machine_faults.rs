//! A user's machine that panics for one instrument, behind the books of a generated market: it comes
//! back, or stays down and says so, and nobody else notices.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{SimulatedMarket, folder};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use wirebook::cli::{InputArgs, LimitArgs};
use wirebook::config::MachinesConfig;
use wirebook::machines::MachineKinds;
use wirebook::replay::{Behind, Replay, Replayed};
use wirebook::report::SupervisionReport;
use wirebook_machine::{
    Change, Fault, Incident, Machine, MachineCounters, SavedStateError, restore_state, save_state,
};
use wirebook_model::RecordSink;
use wirebook_model::dbn::RecordRef;
use wirebook_wire::Protocol;

const LIMITS: LimitArgs = LimitArgs { instruments_max: 64, orders_max: 65_536, levels_max: 32_768 };
const REBUILDS_MAX: u32 = 3;
/// The instrument whose machine falls, and at which of its records.
const FRAGILE: u32 = 3;
const AT: u64 = 500;

/// Counts an instrument's records, and panics at one of them as long as there are panics left.
#[derive(Clone)]
struct Counter {
    count: u64,
    panics: &'static AtomicU64,
}

impl Machine for Counter {
    fn record(&mut self, record: RecordRef<'_>, _: &mut dyn RecordSink) -> Result<(), Fault> {
        self.count += 1;
        let takes = |left: u64| left.checked_sub(1);
        let falls = record.header().instrument_id == FRAGILE && self.count >= AT;
        let order = Ordering::Relaxed;
        if falls && self.panics.try_update(order, order, takes).is_ok() {
            std::panic::panic_any("as the test wants");
        }
        Ok(())
    }

    fn save(&self, bytes: &mut Vec<u8>) {
        save_state(1, &self.count, bytes);
    }

    fn restore(&mut self, bytes: &[u8]) -> Result<(), SavedStateError> {
        restore_state(1, bytes).map(|count| self.count = count)
    }
}

/// The market on two shards, with this machine and one of Wirebook's.
fn play(file: &Path, panics: &'static AtomicU64) -> Replayed<()> {
    let mut kinds = MachineKinds::new();
    kinds.add("counter", Counter { count: 0, panics });
    let run = vec!["statistics".to_owned()];
    let rebuilds_max = REBUILDS_MAX;
    let machines =
        MachinesConfig { run, rebuilds_max, interval_ms: 10, ..MachinesConfig::default() };
    let behind = Behind { kinds, machines, ..Behind::default() };
    let input = InputArgs {
        files: vec![file.to_owned()],
        protocol: Some(Protocol::Itch50),
        any_destination: false,
        config: None,
        date: None,
    };
    Replay::with(&input, LIMITS, &behind, [(), ()]).unwrap()
}

fn machines(replayed: &Replayed<()>) -> Vec<(String, u32, u64)> {
    let of_shards = replayed.shards.iter().flat_map(|shard| shard.machine_digests());
    of_shards.map(|(name, _, id, digest)| (name.to_owned(), id, digest)).collect()
}

fn books(replayed: &Replayed<()>) -> Vec<(u8, u32, u64)> {
    replayed.shards.iter().flat_map(|shard| shard.books().digests()).collect()
}

fn counters(replayed: &Replayed<()>) -> MachineCounters {
    let shard = &replayed.shards[FRAGILE as usize % 2];
    shard.machines().counters().find(|(name, _)| *name == "counter").unwrap().1
}

fn changes(replayed: &mut Replayed<()>) -> Vec<Change> {
    let shard = &mut replayed.shards[FRAGILE as usize % 2];
    let number = shard.books().get(0, FRAGILE).unwrap().number();
    let incidents: Vec<Incident> = shard.machines_mut().incidents().collect();
    assert!(incidents.iter().all(|incident| incident.number == number));
    incidents.into_iter().map(|incident| incident.change).collect()
}

fn market() -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = folder();
    let file = SimulatedMarket::new(33, 8, 12_000).write(&folder, "market.pcap");
    (folder, file)
}

#[test]
fn a_machine_that_panics_once_is_rebuilt_as_if_it_had_not() {
    static NEVER: AtomicU64 = AtomicU64::new(0);
    static ONCE: AtomicU64 = AtomicU64::new(1);
    let (_folder, file) = market();
    let untouched = play(&file, &NEVER);
    let mut fell = play(&file, &ONCE);
    assert_eq!(machines(&fell), machines(&untouched));
    assert_eq!(books(&fell), books(&untouched));
    let expected = MachineCounters { faults: 1, rebuilds: 1, down: 0, given_up: 0 };
    assert_eq!(counters(&fell), expected);
    assert_eq!(changes(&mut fell), [Change::Down, Change::Rebuilt]);
}

#[test]
fn a_machine_that_always_panics_stays_down_and_says_so() {
    static NEVER: AtomicU64 = AtomicU64::new(0);
    static ALWAYS: AtomicU64 = AtomicU64::new(u64::MAX);
    let (_folder, file) = market();
    let untouched = play(&file, &NEVER);
    let mut fell = play(&file, &ALWAYS);
    assert_eq!(books(&fell), books(&untouched));
    for (found, expected) in machines(&fell).into_iter().zip(machines(&untouched)) {
        if (found.0.as_str(), found.1) == ("counter", FRAGILE) {
            assert_ne!(found.2, expected.2);
        } else {
            assert_eq!(found, expected);
        }
    }
    let faults = 1 + u64::from(REBUILDS_MAX);
    assert_eq!(counters(&fell), MachineCounters { faults, rebuilds: 0, down: 0, given_up: 1 });
    let mut expected = vec![Change::Down; REBUILDS_MAX as usize];
    expected.push(Change::GivenUp);
    assert_eq!(changes(&mut fell), expected);

    let mut report = SupervisionReport::default();
    fell.shards.iter().for_each(|shard| report.add(shard));
    let report = serde_json::to_value(report).unwrap();
    assert_eq!(report["machines"]["counter"]["given_up"], 1);
    assert_eq!(report["machines"]["statistics"]["faults"], 0);
}
