//! What the tests of readers share: a wire with a market to play on it, and readers as processes.
#![allow(dead_code, reason = "each test program uses a part of it")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::common::{self, SimulatedMarket, folder};
use crate::live::net::{Pair, within};
use crate::live::{Appliance, PATIENCE, channel, config, play, wire};
use dbn::decode::{DbnDecoder, DecodeRecordRef};
use dbn::encode::{EncodeRecordTextExt, json};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use tempfile::TempDir;

const GROUP: &str = "239.192.12.111:26477";

/// An appliance's configuration with this socket, receiving by UDP sockets.
pub(crate) fn at(socket: &Path, shards: usize) -> String {
    let config = config("source = \"socket\"") + &"[[shard]]\nidle = \"poll\"\n".repeat(shards - 1);
    let config = config + &channel(0, "itch50", GROUP, "");
    config.replacen("[segment]\n", &format!("[segment]\nsocket = {socket:?}\n"), 1)
}

/// Two ends of a wire, a folder, and a market's capture in it.
pub(crate) struct Stage {
    pub(crate) wire: Pair,
    pub(crate) folder: TempDir,
    pub(crate) market: SimulatedMarket,
    pub(crate) capture: PathBuf,
}

impl Stage {
    pub(crate) fn new(seed: u64) -> Option<Self> {
        let (wire, folder) = (wire(1, 1)?, folder());
        let market = SimulatedMarket::new(seed, 10, 6_000);
        let capture = market.write(&folder, "market.pcap");
        Some(Self { wire, folder, market, capture })
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join("wirebook.sock")
    }

    pub(crate) fn start(&self, shards: usize, options: &[&str]) -> Appliance {
        Appliance::start(&self.wire, &at(&self.socket(), shards), options)
    }

    pub(crate) fn play(&self) {
        play(&self.wire, 0, &self.capture);
    }

    /// What a replay of the market makes, as a DBN file.
    pub(crate) fn replayed(&self, records: &str) -> PathBuf {
        let file = self.folder.path().join("replayed.dbn");
        let mut command =
            common::command(&["convert", "--protocol", "itch50", "--records", records]);
        command.arg(&self.capture).args(common::LIMITS).arg("--output").arg(&file);
        assert!(command.stdout(Stdio::null()).status().unwrap().success());
        file
    }

    /// `wirebook tail` as another process, attached.
    pub(crate) fn tail(&self, options: &[&str]) -> Tail {
        let place = |name: &str| self.folder.path().join(name);
        let mut command = common::command(&["tail", "--socket"]);
        command.arg(self.socket()).args(options).arg("--output").arg(place("tail"));
        command.stderr(File::create(place("tail.log")).unwrap());
        let child = command.spawn().unwrap();
        let tail = Tail { child, log: place("tail.log"), output: place("tail") };
        // The file is made once the session stands; the head of a DBN file is in it once the rings
        // were looked at.
        let least_bytes = u64::from(options.contains(&"dbn"));
        let looked = || fs::metadata(&tail.output).is_ok_and(|file| file.len() >= least_bytes);
        assert!(within(PATIENCE, looked), "{}", tail.log());
        tail
    }
}

pub(crate) struct Tail {
    pub(crate) child: Child,
    log: PathBuf,
    pub(crate) output: PathBuf,
}

impl Tail {
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id() as i32), signal).unwrap();
    }

    pub(crate) fn finish(mut self) -> PathBuf {
        let ended = within(PATIENCE, || self.child.try_wait().unwrap().is_some());
        assert!(ended, "still running: {}", self.log());
        assert!(self.child.wait().unwrap().success(), "{}", self.log());
        self.output.clone()
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The records of a DBN file by instrument, in order, without what depends on when packets came.
pub(crate) fn records_of(file: &Path) -> BTreeMap<u64, Vec<Value>> {
    let mut decoder = DbnDecoder::from_file(file).unwrap();
    let mut records = BTreeMap::<u64, Vec<Value>>::new();
    while let Some(record) = decoder.decode_record_ref().unwrap() {
        if record.header().rtype == dbn::rtype::SYMBOL_MAPPING {
            continue;
        }
        let mut line = Vec::new();
        json::Encoder::new(&mut line, false, false, false)
            .encode_ref_with_sym(record, None)
            .unwrap();
        let mut value: Value = serde_json::from_slice(&line).unwrap();
        for name in ["ts_recv", "ts_in_delta"] {
            value.as_object_mut().unwrap().remove(name);
        }
        let id = u64::from(record.header().instrument_id);
        records.entry(id).or_default().push(value);
    }
    records
}
