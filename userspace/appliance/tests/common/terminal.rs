//! A real terminal: a window of tmux, of a server of the test's own.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::live::PATIENCE;
use crate::live::net::{skip, within};
use std::path::PathBuf;
use std::process::Command;
use tempfile::TempDir;

/// A shell in a terminal.
pub(crate) struct Terminal {
    folder: TempDir,
}

impl Terminal {
    /// A terminal of this size; `None`, with a line that says so, where there is no tmux.
    pub(crate) fn new(width: u16, height: u16) -> Option<Self> {
        if Command::new("tmux").arg("-V").output().is_err() {
            skip("no tmux");
            return None;
        }
        let terminal = Self { folder: crate::common::folder() };
        let (width, height) = (width.to_string(), height.to_string());
        terminal.tmux(&["new-session", "-d", "-x", &width, "-y", &height, "env PS1='$ ' sh"]);
        terminal.await_text("$");
        Some(terminal)
    }

    fn tmux(&self, arguments: &[&str]) -> String {
        let mut command = Command::new("tmux");
        command.env_remove("TMUX").env("LC_ALL", "C.UTF-8").arg("-S").arg(self.path("tmux"));
        let output = command.args(["-f", "/dev/null", "-u"]).args(arguments).output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "tmux {arguments:?}: {error}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// A file in the terminal's folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Types a line into the shell.
    pub(crate) fn line(&self, line: &str) {
        self.tmux(&["send-keys", "-l", line]);
        self.key("Enter");
    }

    /// Presses a key, as tmux calls it.
    pub(crate) fn key(&self, key: &str) {
        self.tmux(&["send-keys", key]);
    }

    pub(crate) fn resize(&self, width: u16, height: u16) {
        self.tmux(&["resize-window", "-x", &width.to_string(), "-y", &height.to_string()]);
    }

    /// What stands on it.
    pub(crate) fn text(&self) -> String {
        self.tmux(&["capture-pane", "-p"])
    }

    /// Waits until what stands on it is so.
    #[track_caller]
    pub(crate) fn until(&self, what: &str, is_so: impl Fn(&str) -> bool) {
        let mut last = String::new();
        let came = within(2 * PATIENCE, || {
            last = self.text();
            is_so(&last)
        });
        assert!(came, "{what} does not come:\n{last}");
    }

    #[track_caller]
    pub(crate) fn await_text(&self, text: &str) {
        self.until(text, |screen| screen.contains(text));
    }

    /// Asserts that the ordinary screen is shown, and a cursor on it.
    #[track_caller]
    pub(crate) fn assert_sane(&self) {
        let state = self.tmux(&["display-message", "-p", "#{alternate_on} #{cursor_flag}"]);
        assert_eq!(state.trim(), "0 1", "alternate screen, cursor");
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let mut command = Command::new("tmux");
        let _ = command.arg("-S").arg(self.path("tmux")).arg("kill-server").output();
    }
}
