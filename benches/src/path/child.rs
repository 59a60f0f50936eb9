//! Processes in the receiver's namespace, which are this program in another role.
//!
//! A child says `ready` in a line of its own, and goes on until it reads one; then it says what it came
//! to as one line of JSON, and stays until its input ends, so that its processor time can still be
//! read. It dies with its parent; one that is dropped is killed.

use super::room::Room;
use anyhow::{Context, ensure};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::process::{self, ChildStdout, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// How a child is ready.
const READY: &str = "ready\n";

/// A process of this program.
pub struct Child {
    process: process::Child,
    says: BufReader<ChildStdout>,
}

impl Child {
    /// Starts this program in the room, in the role that these words name, its errors going to
    /// `errors`.
    ///
    /// # Errors
    /// Fails where it cannot be started.
    pub fn spawn(room: &Room, words: &[String], errors: Stdio) -> anyhow::Result<Self> {
        let program = std::env::current_exe()?;
        let program = program.to_str().context("this program's path is no UTF-8")?;
        let mut command = room.command(program);
        command.args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(errors);
        let mut process = command.spawn()?;
        let says = process.stdout.take().context("a child has an output")?;
        Ok(Self { process, says: BufReader::new(says) })
    }

    /// The same, and waits until it is ready.
    ///
    /// # Errors
    /// Fails where it cannot be started or is not ready.
    pub fn start(room: &Room, words: &[String]) -> anyhow::Result<Self> {
        let mut child = Self::spawn(room, words, Stdio::inherit())?;
        let said = child.line()?;
        ensure!(said == READY, "expected {words:?} to be ready, found {said:?}");
        Ok(child)
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// True until it has ended.
    ///
    /// # Errors
    /// wait(2)'s.
    pub fn is_running(&mut self) -> io::Result<bool> {
        Ok(self.process.try_wait()?.is_none())
    }

    /// Asks for what it came to; it is still there afterwards.
    ///
    /// # Errors
    /// Fails where it has failed.
    pub fn ask<T: DeserializeOwned>(&mut self) -> anyhow::Result<T> {
        self.process.stdin.as_mut().context("a child has an input")?.write_all(b"\n")?;
        let said = self.line()?;
        serde_json::from_str(&said).with_context(|| format!("a child said {said:?}"))
    }

    /// Waits for its end and gives all that it says until then.
    ///
    /// # Errors
    /// Fails where it has failed.
    pub fn finish(mut self) -> anyhow::Result<String> {
        self.process.stdin = None;
        let mut said = String::new();
        self.says.read_to_string(&mut said)?;
        let status = self.process.wait()?;
        ensure!(status.success(), "a child ended with {status}");
        Ok(said)
    }

    fn line(&mut self) -> anyhow::Result<String> {
        let mut line = String::new();
        self.says.read_line(&mut line)?;
        Ok(line)
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The child's side: until when it goes on.
pub struct Parent {
    asks: Arc<AtomicBool>,
    waiting: std::thread::JoinHandle<()>,
}

impl Parent {
    /// Says that this process is ready, and lets it die with its parent.
    ///
    /// # Errors
    /// Fails where there is no output.
    pub fn ready() -> anyhow::Result<Self> {
        set_pdeathsig(Signal::SIGKILL)?;
        let asks = Arc::new(AtomicBool::new(false));
        let asked = Arc::clone(&asks);
        print!("{READY}");
        io::stdout().flush()?;
        let waiting = std::thread::spawn(move || {
            let mut input = io::stdin().lock();
            // The end of the input asks too.
            let _ = input.read_line(&mut String::new());
            asked.store(true, Ordering::Relaxed);
            let _ = input.read_line(&mut String::new());
        });
        Ok(Self { asks, waiting })
    }

    /// True once the parent wants to know.
    #[inline]
    pub fn asks(&self) -> bool {
        self.asks.load(Ordering::Relaxed)
    }

    /// Says what this process came to, and stays until the parent lets it go.
    ///
    /// # Errors
    /// Fails where there is no output.
    pub fn tell(self, what: &impl Serialize) -> anyhow::Result<()> {
        println!("{}", serde_json::to_string(what)?);
        // A panic of that thread would have ended what it waits for.
        let _ = self.waiting.join();
        Ok(())
    }
}
