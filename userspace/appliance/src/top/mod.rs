//! What `wirebook top` shows and how keys move it, apart from any terminal.
//!
//! Arrives: [`Vitals`] and keys. Leaves: a frame, drawn into whatever buffer it is given. Promises: a
//! state is always a word, so nothing is said by colour alone; a buffer of 80 by 24 holds all panes;
//! where there is less room, columns and rows are left out, least important first.

mod panes;
mod screen;
mod sheet;
#[cfg(test)]
mod tests;
mod text;
mod view;

use crate::vitals::Vitals;
use panes::Pane;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
pub use screen::Screen;
use sheet::Order;
use std::time::Duration;
pub use view::View;

/// What is shown, and how.
#[derive(Default)]
pub struct Top {
    vitals: Vitals,
    /// How long nobody has answered; `None` while somebody does.
    gone: Option<Duration>,
    is_paused: bool,
    shows_help: bool,
    chosen: Pane,
    orders: [Order; Pane::ALL.len()],
    scrolled: usize,
}

/// What a key asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// To go on.
    Nothing,
    /// To end.
    Quit,
}

impl Top {
    /// Nothing is known yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes how the appliance is now, unless paused.
    pub fn take(&mut self, vitals: &Vitals) {
        if !self.is_paused {
            self.vitals.clone_from(vitals);
        }
        self.gone = None;
    }

    /// What is shown.
    pub fn vitals(&self) -> &Vitals {
        &self.vitals
    }

    /// The appliance has been gone for so long; what was last known stays, marked as such.
    pub fn gone(&mut self, since: Duration) {
        self.gone = Some(since);
        self.vitals.is_alive = false;
    }

    /// Takes a key.
    pub fn key(&mut self, key: KeyEvent) -> Asked {
        let is_control = key.modifiers.contains(KeyModifiers::CONTROL);
        let columns = self.chosen.columns().len();
        match key.code {
            KeyCode::Char('c') if is_control => return Asked::Quit,
            KeyCode::Char('?' | 'h') => self.shows_help = !self.shows_help,
            KeyCode::Esc if self.shows_help => self.shows_help = false,
            KeyCode::Char('q') | KeyCode::Esc => return Asked::Quit,
            KeyCode::Char('p' | ' ') => self.is_paused = !self.is_paused,
            KeyCode::Tab => self.choose(1),
            KeyCode::BackTab => self.choose(Pane::ALL.len() - 1),
            KeyCode::Right => self.order().choose(1, columns),
            KeyCode::Left => self.order().choose(columns, columns),
            KeyCode::Char('r') => self.order().reverse(),
            KeyCode::Down => self.scrolled = (self.scrolled + 1).min(self.rows().saturating_sub(1)),
            KeyCode::Up => self.scrolled = self.scrolled.saturating_sub(1),
            _ => {}
        }
        Asked::Nothing
    }

    fn choose(&mut self, further: usize) {
        self.chosen = Pane::ALL[(self.chosen as usize + further) % Pane::ALL.len()];
        self.scrolled = 0;
    }

    fn order(&mut self) -> &mut Order {
        self.scrolled = 0;
        &mut self.orders[self.chosen as usize]
    }

    /// Rows of the chosen pane.
    fn rows(&self) -> usize {
        self.chosen.rows(&self.vitals).len()
    }
}
