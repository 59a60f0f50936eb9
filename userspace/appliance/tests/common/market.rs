//! What the tests of `wirebook top` and of the status page share: an appliance with two lines, and a
//! market that goes on for as long as the test looks at it.
#![allow(dead_code, reason = "each test program uses a part of it")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::common::{self, folder};
use crate::live::net::inside;
use crate::live::{channel, config, net::Pair, wire};
use std::path::PathBuf;
use std::process::{Child, Stdio};
use tempfile::TempDir;

/// Line B's group; that of line A is the simulator's own.
const GROUP_B: &str = "239.192.12.112";

/// Two ends of a wire, and a folder for the appliance's socket.
pub(crate) struct Place {
    pub(crate) wire: Pair,
    pub(crate) folder: TempDir,
}

impl Place {
    pub(crate) fn new() -> Option<Self> {
        let wire = wire(1, 1)?;
        crate::live::net::ip(&["-n", &wire.receiver, "link", "set", "lo", "up"]);
        Some(Self { wire, folder: folder() })
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join("nasdaq.sock")
    }

    /// A configuration of one channel with lines A and B, and `more` at its beginning.
    pub(crate) fn config(&self, more: &str) -> String {
        let channel = channel(0, "itch50", "239.192.12.111:26477", "");
        let line_b = format!(
            ", {{ name = \"B\", interface = \"rx0\", group = \"{GROUP_B}\", port = 26477 }}]\n"
        );
        let channel = channel.trim_end().strip_suffix(']').unwrap().to_owned() + &line_b;
        let config = config("source = \"socket\"") + &channel;
        let socket = format!("[segment]\nsocket = {:?}\n", self.socket());
        more.to_owned() + &config.replacen("[segment]\n", &socket, 1)
    }

    /// A market of some minutes, line B always a little behind and never whole.
    pub(crate) fn market(&self, options: &[&str]) -> Market {
        let fixed = [
            "sim",
            "--interface",
            "tx0",
            "--group-b",
            GROUP_B,
            "--no-digest",
            "--date",
            common::DATE,
            "--instruments",
            "40",
            "--messages",
            "400000",
            "--duration",
            "300",
            "--loss",
            "0,0.02",
            "--lag-us",
            "0,2000",
        ];
        let mut command = common::command(&[&fixed[..], options].concat());
        command.stdout(Stdio::null()).stderr(Stdio::null());
        Market(inside(&self.wire.sender, || command.spawn().unwrap()))
    }
}

/// A market, until this is dropped.
pub(crate) struct Market(Child);

impl Drop for Market {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
