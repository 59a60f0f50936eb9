//! What a running appliance may still do, as the kernel says, and what becomes of calls that it may
//! not make. Whatever goes on after the rights are gone is tested by all tests of a running appliance.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "rights/calls.rs"]
mod calls;
mod common;
#[path = "common/live.rs"]
mod live;

use caps::{CapSet, Capability};
use common::SimulatedMarket;
use live::net::Pair;
use live::{Appliance, Launcher, channel, config, play, wire};
use nix::sys::signal::Signal;
use std::path::Path;
use wirebook::rights::TO_OPEN_INTERFACES;
use wirebook::rights::remaining::{Remaining, ThreadRights};

const GROUP: &str = "239.192.12.111:26477";
const NOBODY: &str = "65534";
/// Filters of every thread: what does not exist, and what all may call. A role's own comes on top.
const FILTERS: u32 = 2;

/// The rights of a running appliance's threads, for whoever reads the test's output.
fn rights_of(appliance: &Appliance) -> Vec<ThreadRights> {
    let folder = format!("/proc/{}", appliance.id());
    let remaining = Remaining::of_process(Path::new(&folder)).unwrap();
    println!("{remaining}");
    remaining.threads
}

fn mask(capabilities: &[Capability]) -> u64 {
    capabilities.iter().map(Capability::bitmask).sum()
}

/// Nothing is left but what the housekeeping thread keeps, out of effect.
fn assert_given_up(appliance: &Appliance, kept: u64, bounding: u64) {
    let threads = rights_of(appliance);
    for thread in &threads {
        let is_keeper = thread.id as u32 == appliance.id();
        let sets = (thread.effective, thread.inheritable, thread.ambient);
        assert_eq!(sets, (0, 0, 0), "{thread}");
        assert_eq!(thread.permitted, if is_keeper { kept } else { 0 }, "{thread}");
        assert_eq!(thread.bounding, bounding, "{thread}");
        assert!(thread.no_new_privs && thread.is_filtered, "{thread}");
        let own = u32::from(!is_keeper || kept == 0);
        assert_eq!(thread.filters, FILTERS + own, "{thread}");
    }
    let mut names: Vec<_> = threads.iter().map(|thread| thread.name.as_str()).collect();
    names.sort_unstable();
    assert!(["door", "shard-0", "wirebook", "worker-w0"].iter().all(|name| names.contains(name)));
}

/// The appliance works after all that: a market is received, counters are printed, and it ends.
fn assert_works(pair: &Pair, appliance: Appliance) {
    let folder = common::folder();
    let market = SimulatedMarket::new(71, 10, 3_000);
    play(pair, 0, &market.write(&folder, "market.pcap"));
    let packets = market.frames.len() as u64;
    appliance.await_packets(packets);
    appliance.signal(Signal::SIGTERM);
    let summary = appliance.finish();
    assert_eq!(summary["packets"], packets);
    if let Some(steering) = summary["intake"]["steering"].get(0) {
        assert_eq!(steering["steered"], packets);
    }
}

#[test]
fn root_gives_up_all_but_what_opens_an_interface_again() {
    let Some(wire) = wire(1, 1) else { return };
    let appliance = Appliance::start(&wire, &(config("") + &channel(0, "itch50", GROUP, "")), &[]);
    assert_given_up(&appliance, mask(&TO_OPEN_INTERFACES), 0);
    assert_works(&wire, appliance);
}

#[test]
fn nothing_is_kept_where_nothing_is_to_come_back() {
    let Some(wire) = wire(1, 1) else { return };
    let config = config("") + &channel(0, "itch50", GROUP, "") + "[rights]\nkeep = false\n";
    let appliance = Appliance::start(&wire, &config, &[]);
    assert_given_up(&appliance, 0, 0);
    assert_works(&wire, appliance);
}

#[test]
fn a_user_with_five_capabilities_receives_by_af_xdp_and_keeps_none_in_effect() {
    let Some(wire) = wire(1, 1) else { return };
    let names = "+net_raw,+net_admin,+bpf,+perfmon,+ipc_lock";
    let bounding = format!("--bounding-set=-all,{names}");
    let (inherited, ambient) = (format!("--inh-caps={names}"), format!("--ambient-caps={names}"));
    let (user, group) = (format!("--reuid={NOBODY}"), format!("--regid={NOBODY}"));
    let words = ["setpriv", &user, &group, "--clear-groups", &inherited, &ambient, &bounding];
    let launcher = Launcher { words: &words, user: NOBODY.parse().ok() };
    let config = config("") + &channel(0, "itch50", GROUP, "");
    let mut appliance = Appliance::spawn_by(&wire, &launcher, "run", &config, &[]);
    appliance.await_ready();
    // Who has no CAP_SETPCAP cannot empty the bounding set; `no_new_privs` makes it meaningless.
    let five = mask(&TO_OPEN_INTERFACES);
    assert_given_up(&appliance, five, five);
    assert_works(&wire, appliance);
}

#[test]
fn udp_sockets_need_no_capabilities_at_all() {
    let Some(wire) = wire(1, 1) else { return };
    let (user, group) = (format!("--reuid={NOBODY}"), format!("--regid={NOBODY}"));
    let words = ["setpriv", &user, &group, "--clear-groups", "--bounding-set=-all"];
    let launcher = Launcher { words: &words, user: NOBODY.parse().ok() };
    let config = config("source = \"socket\"") + &channel(0, "itch50", GROUP, "");
    let mut appliance = Appliance::spawn_by(&wire, &launcher, "run", &config, &[]);
    appliance.await_ready();
    let threads = rights_of(&appliance);
    let none = |thread: &ThreadRights| thread.permitted == 0 && thread.bounding == 0;
    assert!(threads.iter().all(|thread| none(thread) && thread.is_filtered));
    assert_works(&wire, appliance);
}

#[test]
fn what_is_configured_to_stay_stays() {
    let Some(wire) = wire(1, 1) else { return };
    let rights = "[rights]\ndrop_capabilities = false\nseccomp = \"off\"\n";
    let config = config("") + &channel(0, "itch50", GROUP, "") + rights;
    let appliance = Appliance::start(&wire, &config, &[]);
    let ours = caps::read(None, CapSet::Effective).unwrap();
    let ours = ours.iter().map(Capability::bitmask).sum::<u64>();
    for thread in rights_of(&appliance) {
        assert_eq!((thread.effective, thread.is_filtered), (ours, false), "{thread}");
    }
}
