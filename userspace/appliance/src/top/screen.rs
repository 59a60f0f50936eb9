//! The terminal, taken and given back.

use anyhow::Context;
use ratatui::DefaultTerminal;

/// The terminal in raw mode on its alternate screen, until this is dropped or a thread panics.
pub struct Screen {
    terminal: DefaultTerminal,
}

impl Screen {
    /// Takes the terminal.
    ///
    /// # Errors
    /// Fails where standard output is no terminal; it is then as it was.
    pub fn open() -> anyhow::Result<Self> {
        let opened = ratatui::try_init().inspect_err(|_| drop(ratatui::try_restore()));
        Ok(Self { terminal: opened.context("the terminal cannot be taken")? })
    }

    /// What is drawn on.
    pub fn terminal(&mut self) -> &mut DefaultTerminal {
        &mut self.terminal
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _shown = self.terminal.show_cursor();
        ratatui::restore();
    }
}
