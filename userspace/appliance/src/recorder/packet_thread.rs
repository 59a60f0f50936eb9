//! The thread that writes the packets of all workers.

use super::files::{HourlyFiles, host_disk};
use super::packets::PacketFiles;
use super::tap::PacketHead;
use super::{NAP, PACKETS, RecorderCounters};
use crate::config::{Config, LineConfig, Source};
use crate::recorder::RecordConfig;
use std::net::SocketAddrV4;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use wirebook_shm::ring::{Observed, ObservingReader};
use wirebook_simulator::Line;
use wirebook_telemetry::Probe;

/// Entries taken from one ring before the next one has its turn.
const ENTRIES_A_TURN: usize = 1 << 12;

/// Writes what the workers push.
pub struct PacketRecorder {
    flush: Duration,
    workers: Vec<(ObservingReader, PacketFiles)>,
    counters: RecorderCounters,
}

impl PacketRecorder {
    /// A recorder over the packet rings of all workers, in order.
    pub fn new(config: &Config, settings: &RecordConfig, rings: Vec<ObservingReader>) -> Self {
        let lines: Vec<Line> =
            config.channels.iter().flat_map(|channel| &channel.lines).map(made_up).collect();
        let files = |(ring, worker): (_, &crate::config::WorkerConfig)| {
            let files = HourlyFiles {
                folder: settings.dir.join(PACKETS),
                stem: format!("worker-{}", worker.name),
                extension: "pcapng",
            };
            let made_up = worker.source == Source::Socket;
            (ring, PacketFiles::new(files, lines.clone(), made_up))
        };
        Self {
            flush: Duration::from_millis(settings.flush_ms),
            workers: rings.into_iter().zip(&config.workers).map(files).collect(),
            counters: RecorderCounters::default(),
        }
    }

    /// Records until `stop`, and then until the rings are empty. An error ends the recording and is
    /// logged and counted; the thread stays and answers.
    pub fn run(&mut self, stop: &AtomicBool, probe: &Probe<RecorderCounters>) -> RecorderCounters {
        if let Err(error) = self.record(stop, probe) {
            self.counters.stop("packets", &error);
            self.workers.clear();
            self.counters.answer_until(stop, probe);
        }
        self.counters
    }

    fn record(&mut self, stop: &AtomicBool, probe: &Probe<RecorderCounters>) -> anyhow::Result<()> {
        let mut flushed = Instant::now();
        loop {
            let stopping = stop.load(Ordering::Acquire);
            let mut found = false;
            for (ring, files) in &mut self.workers {
                found |= take(ring, files, &mut self.counters)?;
            }
            probe.answer(|| self.counters);
            let ending = stopping && !found;
            if ending || flushed.elapsed() >= self.flush {
                flushed = Instant::now();
                for (_, files) in &mut self.workers {
                    files.flush(host_disk, &mut self.counters)?;
                }
            }
            if ending {
                break;
            }
            if !found {
                std::thread::sleep(NAP);
            }
        }
        for (_, files) in &mut self.workers {
            files.close()?;
        }
        Ok(())
    }
}

fn take(
    ring: &mut ObservingReader,
    files: &mut PacketFiles,
    counters: &mut RecorderCounters,
) -> anyhow::Result<bool> {
    for taken in 0..ENTRIES_A_TURN {
        match ring.poll() {
            Observed::Empty => return Ok(taken > 0),
            Observed::Overrun { missed_slots } => {
                counters.overruns += 1;
                counters.missed_slots += missed_slots;
                files.hole();
                tracing::warn!(
                    missed_slots,
                    "the recorder was lapped: {missed_slots} slots of packets missing"
                );
            }
            Observed::Record(entry) => match PacketHead::of(entry.bytes()) {
                Some((head, piece)) => files.piece(head, piece, host_disk, counters)?,
                None => counters.bad_entries += 1,
            },
        }
    }
    Ok(true)
}

/// What a line's payloads are framed as: its group and port, the sender that it names, its own tag.
fn made_up(line: &LineConfig) -> Line {
    let framed = Line::new(SocketAddrV4::new(line.group, line.port));
    let source_ip = line.source.unwrap_or(*framed.source.ip());
    Line {
        source: SocketAddrV4::new(source_ip, framed.source.port()),
        vlan: line.vlan.as_ref().and_then(|tags| tags.first().copied()),
        ..framed
    }
}
