//! Whose memory each part of the segment is.
//!
//! Arrives: a configuration. Leaves: a segment whose pages were taken from the cores of the threads that
//! they belong to, so that they lie on those cores' nodes, and a line in the log for each thread. What
//! belongs to no hot thread (counters, histograms, notices) lies anywhere.
//!
//! A mailbox belongs to the shard that reads it: what a worker stores waits in its core's store buffer,
//! while a shard waits for what it loads. What one thread writes and any process reads belongs to the
//! writer.

use super::layout;
use crate::config::{Config, Handlers};
use crate::host::{self, Host};
use crate::recorder::rings;
use wirebook_shm::{Segment, SegmentError, names};

/// What belongs to one thread.
#[derive(Debug, PartialEq, Eq)]
struct Share {
    /// Who it is.
    thread: String,
    core: Option<usize>,
    entries: Vec<String>,
}

/// The segment of a configuration.
///
/// # Errors
/// [`SegmentError`] where there is no memory for it.
pub(super) fn create_segment(config: &Config) -> Result<Segment, SegmentError> {
    let host = Host::system();
    Segment::create_by(&layout(config), config.segment.hugepages.into(), |take| {
        for Share { thread, core, entries } in shares(config) {
            let what = format!("the rings and boards of {thread}");
            host::placed(&host, &what, core, || take(&entries));
        }
    })
}

fn shares(config: &Config) -> Vec<Share> {
    let keeps_packets = config.record.as_ref().is_some_and(|record| record.packets);
    let mut workers: Vec<_> = (config.workers.iter().enumerate())
        .map(|(number, worker)| Share {
            thread: format!("worker {}", worker.name),
            core: worker.core,
            entries: keeps_packets.then(|| rings::packets_name(number)).into_iter().collect(),
        })
        .collect();
    match config.handlers {
        Handlers::Inline => {
            for (number, worker) in workers.iter_mut().enumerate() {
                worker.entries.extend(of_shard(number));
            }
            workers
        }
        Handlers::Shards => {
            let shards = config.shards.iter().enumerate().map(|(number, shard)| {
                let mailboxes =
                    (0..config.workers.len()).map(|worker| names::mailbox(worker, number));
                Share {
                    thread: format!("shard {number}"),
                    core: shard.core,
                    entries: mailboxes.chain(of_shard(number)).collect(),
                }
            });
            workers.retain(|worker| !worker.entries.is_empty());
            shards.chain(workers).collect()
        }
    }
}

/// What the shard of this number writes.
fn of_shard(number: usize) -> [String; 4] {
    [names::output, names::board, names::refresh, rings::journal_name].map(|name| name(number))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use wirebook_shm::{EntryKind, SegmentView};

    const CONFIG: &str = "\
        [segment]\nmailbox_slots = 64\noutput_slots = 64\nrefresh_slots = 64\nhugepages = \"none\"\n\
        [limits]\ninstruments = 64\n\
        [record]\ndir = \"recording\"\npackets = true\njournal_slots = 64\npacket_slots = 64\n\
        [[worker]]\nname = \"w0\"\ncore = 3\ninterface = [{ name = \"rx0\" }]\n\
        [[worker]]\nname = \"w1\"\ninterface = [{ name = \"rx1\" }]\n\
        [[channel]]\nname = \"c0\"\nprotocol = \"itch50\"\nworker = \"w0\"\n\
        line = [{ name = \"A\", interface = \"rx0\", group = \"239.0.0.1\", port = 1 }]\n";

    fn config(more: &str) -> Config {
        toml::from_str(&format!("{more}{CONFIG}")).unwrap()
    }

    /// By the name of each ring and board: whose it is, and of which core.
    fn owners(config: &Config) -> BTreeMap<String, Vec<(String, Option<usize>)>> {
        let segment = create_segment(config).unwrap();
        let view = SegmentView::open(segment.share().unwrap()).unwrap();
        let owner = |name: &str| {
            let shares = shares(config).into_iter();
            let its = shares.filter(|share| share.entries.iter().any(|entry| entry == name));
            its.map(|share| (share.thread, share.core)).collect()
        };
        let kinds = [EntryKind::GatedRing, EntryKind::OpenRing, EntryKind::Board];
        let entries = view.entries().filter(|(kind, ..)| kinds.contains(kind));
        entries
            .map(|(_, name, _)| (owner(&name), name))
            .map(|(owner, name)| (name, owner))
            .collect()
    }

    #[test]
    fn a_mailbox_is_its_readers_and_all_else_is_its_writers() {
        let shards = "[[shard]]\ncore = 5\n[[shard]]\ncore = 6\n";
        let config: Config = toml::from_str(&format!("{CONFIG}{shards}")).unwrap();
        let of = |thread: &str, core| vec![(thread.to_owned(), core)];
        let expected: BTreeMap<_, _> = [
            ("notices", vec![]),
            ("packets-0", of("worker w0", Some(3))),
            ("packets-1", of("worker w1", None)),
        ]
        .into_iter()
        .map(|(name, owner)| (name.to_owned(), owner))
        .chain((0..2).flat_map(|shard| {
            let names = [0, 1].map(|worker| names::mailbox(worker, shard));
            let names = names.into_iter().chain(of_shard(shard));
            let owner = of(&format!("shard {shard}"), Some(5 + shard));
            names.map(move |name| (name, owner.clone()))
        }))
        .collect();
        assert_eq!(owners(&config), expected);
    }

    #[test]
    fn inline_all_is_the_workers() {
        let expected = |number: usize, thread: &str, core| {
            let names = of_shard(number).into_iter().chain([rings::packets_name(number)]);
            let owner = vec![(thread.to_owned(), core)];
            names.map(move |name| (name, owner.clone())).collect::<Vec<_>>()
        };
        let expected: BTreeMap<_, _> =
            [expected(0, "worker w0", Some(3)), expected(1, "worker w1", None)]
                .concat()
                .into_iter()
                .chain([("notices".to_owned(), vec![])])
                .collect();
        assert_eq!(owners(&config("handlers = \"inline\"\n")), expected);
    }
}
