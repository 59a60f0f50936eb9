//! Where everything stands on the screen.
//!
//! ```text
//!  below 160 columns      from 160 columns on
//!  header                 header
//!  lines                  lines     │ stages
//!  channels               channels  │ books
//!  stages                 events    │
//!  books                  keys
//!  events
//!  keys
//! ```

use super::Top;
use super::panes::{Pane, state};
use super::sheet::{Mood, Sheet};
use super::text;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Clear, Paragraph, Widget};

/// From this width on there are two columns of panes.
const WIDE: u16 = 160;

const HELP: &str = "\
 q, Esc, Ctrl-C   quit
 p, blank         pause, and go on
 Tab, Shift-Tab   choose a pane
 ←, →             choose the column to sort by
 r                reverse the order
 ↑, ↓             scroll
 ?                this help

 Rates and latencies are of the last second, other
 counts of the time since the start. first: the part
 of a channel's packets that this line brought first.
 +n behind a heading: n rows more than there is room.";

/// A picture of [`Top`], with or without colours.
pub struct View<'a> {
    /// What is shown.
    pub top: &'a Top,
    /// Whether colours are wanted.
    pub colours: bool,
}

impl Widget for View<'_> {
    fn render(self, area: Rect, buffer: &mut Buffer) {
        let head = Rect { height: area.height.min(2), ..area };
        self.header().render(head, buffer);
        let keys = Rect { y: area.bottom().saturating_sub(1), height: area.height.min(1), ..area };
        let body = Rect { y: head.bottom(), height: area.height.saturating_sub(3), ..area };
        if area.width >= WIDE {
            let half = Rect { width: area.width / 2 - 1, ..body };
            let right =
                Rect { x: half.right() + 2, width: area.right() - half.right() - 2, ..body };
            self.panes(&[Pane::Lines, Pane::Channels, Pane::Notices], half, buffer);
            self.panes(&[Pane::Stages, Pane::Books], right, buffer);
        } else {
            self.panes(&Pane::ALL, body, buffer);
        }
        if self.top.gone.is_some() {
            // What is of the past must not look live.
            buffer.set_style(body, Style::reset().add_modifier(Modifier::DIM));
        }
        if area.height > 2 {
            self.keys().render(keys, buffer);
        }
        if self.top.shows_help {
            let text = Paragraph::new(HELP).block(Block::bordered().title(" wirebook top "));
            let (width, height) = (area.width.min(58), area.height.min(14));
            let (x, y) = ((area.width - width) / 2, (area.height - height) / 2);
            let area = Rect { x: area.x + x, y: area.y + y, width, height };
            Clear.render(area, buffer);
            text.render(area, buffer);
        }
    }
}

impl View<'_> {
    fn header(&self) -> Paragraph<'_> {
        let vitals = &self.top.vitals;
        let bold = |text: String| Span::styled(text, Style::new().add_modifier(Modifier::BOLD));
        let mut first = vec![bold(format!("wirebook {}", vitals.name)), Span::raw("  ")];
        first.push(match (self.top.gone, vitals.state) {
            (Some(since), _) => {
                let said = format!(
                    "✖ gone for {}, waiting for its next start",
                    text::span(since.as_secs_f64())
                );
                self.span(said, Mood::Bad)
            }
            (None, Some(worst)) => {
                let cell = state(worst);
                self.span(cell.text, cell.mood)
            }
            (None, None) => self.span("▲ starting".to_owned(), Mood::Doubtful),
        });
        first.push(Span::raw(format!("  up {}", text::span(vitals.uptime_s))));
        if self.top.is_paused {
            first.push(self.span("  PAUSED".to_owned(), Mood::Doubtful));
        }
        let mut second = Vec::new();
        for (name, figure) in
            [("drops", vitals.drops), ("gaps", vitals.gaps), ("overruns", vitals.overruns)]
        {
            let mood = match (figure.total, figure.new) {
                (0, _) => Mood::Good,
                (_, 0) => Mood::Doubtful,
                _ => Mood::Bad,
            };
            let new = if figure.new > 0 {
                format!(" (+{})", text::count(figure.new))
            } else {
                String::new()
            };
            second.push(self.span(format!("{name} {}{new}", text::count(figure.total)), mood));
            second.push(Span::raw("   "));
        }
        let of_what = format!("rates over {:.1} s", vitals.interval_s);
        second.push(self.span(of_what, Mood::Faint));
        Paragraph::new(vec![Line::from(first), Line::from(second)])
    }

    fn span(&self, text: String, mood: Mood) -> Span<'static> {
        Span::styled(text, mood.style(self.colours))
    }

    fn keys(&self) -> Paragraph<'static> {
        let keys = "q quit  p pause  Tab pane  ←→ sort  r reverse  ↑↓ scroll  ? help";
        Paragraph::new(Line::styled(keys, Mood::Faint.style(self.colours)))
    }

    fn panes(&self, panes: &[Pane], area: Rect, buffer: &mut Buffer) {
        let rows: Vec<_> = panes.iter().map(|pane| pane.rows(&self.top.vitals)).collect();
        // Each pane takes a line of headings, and one between it and the next.
        let frames = (panes.len() * 2).saturating_sub(1) as u16;
        let wanted: Vec<_> = rows.iter().map(|rows| rows.len().max(1) as u16).collect();
        let heights = shares(area.height.saturating_sub(frames), &wanted);
        let mut y = area.y;
        for ((pane, rows), height) in panes.iter().zip(rows).zip(heights) {
            let area = Rect { y, height: height + 1, ..area }.intersection(area);
            let is_chosen = *pane == self.top.chosen;
            let first = if is_chosen { self.top.scrolled } else { 0 };
            let order = self.top.orders[*pane as usize];
            let sheet =
                Sheet { columns: pane.columns(), rows, order, is_chosen, colours: self.colours };
            sheet.draw(first, area, buffer);
            y += height + 2;
        }
    }
}

/// Shares rows out: one each in turn to those that want more, as long as there are any.
fn shares(mut room: u16, wanted: &[u16]) -> Vec<u16> {
    let mut shares = vec![0; wanted.len()];
    while room > 0 && shares != wanted {
        for (share, wanted) in shares.iter_mut().zip(wanted) {
            if *share < *wanted && room > 0 {
                *share += 1;
                room -= 1;
            }
        }
    }
    shares
}
