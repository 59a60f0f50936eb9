//! A table: columns that give way where it is narrow, rows in the order that was chosen.

use super::text;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};
use std::cmp::Ordering;

/// One column.
pub(super) struct Column {
    pub(super) title: &'static str,
    /// In characters.
    pub(super) width: u16,
    pub(super) align: Align,
    /// Those with the highest number give way first.
    pub(super) rank: u8,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Align {
    Left,
    Right,
    /// From the left, and what room is left over.
    Rest,
}

/// What a cell's text means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Mood {
    #[default]
    Plain,
    Good,
    Doubtful,
    Bad,
    Faint,
}

impl Mood {
    /// Colours where they are wanted; weight says the same without.
    pub(super) fn style(self, colours: bool) -> Style {
        let colour = |colour| if colours { Style::new().fg(colour) } else { Style::new() };
        match self {
            Self::Plain => Style::new(),
            Self::Good => colour(Color::Green),
            Self::Doubtful => colour(Color::Yellow).add_modifier(Modifier::BOLD),
            Self::Bad => colour(Color::Red).add_modifier(Modifier::BOLD),
            Self::Faint => Style::new().add_modifier(Modifier::DIM),
        }
    }
}

/// By what cells are ordered.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Key {
    Number(f64),
    Text(String),
}

/// One cell.
#[derive(Clone, Debug)]
pub(super) struct Cell {
    pub(super) text: String,
    pub(super) key: Key,
    pub(super) mood: Mood,
}

impl Cell {
    pub(super) fn text(text: impl Into<String>) -> Self {
        let text = text.into();
        Self { key: Key::Text(text.clone()), text, mood: Mood::Plain }
    }

    pub(super) fn number(number: f64, text: impl Into<String>) -> Self {
        Self { key: Key::Number(number), text: text.into(), mood: Mood::Plain }
    }

    pub(super) fn count(count: u64) -> Self {
        Self::number(count as f64, text::count(count))
    }

    /// A count that should be 0.
    pub(super) fn fault(count: u64, is_new: bool) -> Self {
        let mood = match (count, is_new) {
            (0, _) => Mood::Faint,
            (_, false) => Mood::Doubtful,
            (_, true) => Mood::Bad,
        };
        Self::count(count).in_mood(mood)
    }

    pub(super) fn rate(per_s: f64) -> Self {
        Self::number(per_s, text::rate(per_s))
    }

    pub(super) fn none() -> Self {
        Self::number(-1.0, "–").in_mood(Mood::Faint)
    }

    pub(super) fn in_mood(self, mood: Mood) -> Self {
        Self { mood, ..self }
    }
}

/// The order of rows: as they come, or by a column.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Order {
    /// 0 as they come, else the column before it.
    chosen: usize,
    is_reversed: bool,
}

impl Order {
    pub(super) fn choose(&mut self, further: usize, columns: usize) {
        self.chosen = (self.chosen + further) % (columns + 1);
    }

    pub(super) fn reverse(&mut self) {
        self.is_reversed = !self.is_reversed;
    }

    fn column(self) -> Option<usize> {
        self.chosen.checked_sub(1)
    }

    /// Numbers fall, texts rise, until reversed.
    pub(super) fn sort(self, rows: &mut [Vec<Cell>]) {
        if let Some(column) = self.column() {
            rows.sort_by(|one, other| match (&one[column].key, &other[column].key) {
                (Key::Number(one), Key::Number(other)) => other.total_cmp(one),
                (Key::Text(one), Key::Text(other)) => one.cmp(other),
                _ => Ordering::Equal,
            });
        }
        if self.is_reversed {
            rows.reverse();
        }
    }
}

/// A table that is about to be drawn.
pub(super) struct Sheet<'a> {
    pub(super) columns: &'a [Column],
    pub(super) rows: Vec<Vec<Cell>>,
    pub(super) order: Order,
    pub(super) is_chosen: bool,
    pub(super) colours: bool,
}

impl Sheet<'_> {
    /// Draws the headings and as many rows as there is room for, from the row `first` on.
    pub(super) fn draw(mut self, first: usize, area: Rect, buffer: &mut Buffer) {
        if area.is_empty() {
            return;
        }
        self.order.sort(&mut self.rows);
        let room = usize::from(area.height - 1);
        let first = first.min(self.rows.len().saturating_sub(room));
        let hidden = self.rows.len() - self.rows[first..].len().min(room);
        let places = self.places(area.width);
        let heading = Style::new().add_modifier(Modifier::BOLD | Modifier::REVERSED);
        let heading = if self.is_chosen {
            heading
        } else {
            Style::new().add_modifier(Modifier::BOLD | Modifier::UNDERLINED)
        };
        buffer.set_style(Rect { height: 1, ..area }, heading);
        for &(number, x, width) in &places {
            let Column { title, align, .. } = self.columns[number];
            let mut title = title.to_owned();
            if number == 0 && hidden > 0 {
                title = format!("{title} +{hidden}");
            }
            if self.order.column() == Some(number) {
                title.push(if self.order.is_reversed { '▴' } else { '▾' });
            }
            put(buffer, (area.x + x, area.y, width), &title, align, heading);
        }
        for (row, y) in self.rows[first..].iter().zip(area.y + 1..area.bottom()) {
            for &(number, x, width) in &places {
                let (Cell { text, mood, .. }, align) = (&row[number], self.columns[number].align);
                put(buffer, (area.x + x, y, width), text, align, mood.style(self.colours));
            }
        }
    }

    /// The columns that fit: number, place and width of each.
    fn places(&self, room: u16) -> Vec<(usize, u16, u16)> {
        let mut kept: Vec<_> = (0..self.columns.len()).collect();
        let needs = |kept: &[usize]| {
            kept.iter().map(|number| self.columns[*number].width + 1).sum::<u16>().saturating_sub(1)
        };
        while kept.len() > 1 && needs(&kept) > room {
            let last =
                kept.iter().copied().max_by_key(|number| (self.columns[*number].rank, *number));
            kept.retain(|number| Some(*number) != last);
        }
        let spare = room.saturating_sub(needs(&kept));
        let mut x = 0;
        let place = |number: usize| {
            let Column { width, align, .. } = self.columns[number];
            let width = if align == Align::Rest { width + spare } else { width };
            let place = (number, x, width.min(room.saturating_sub(x)));
            x += width + 1;
            place
        };
        kept.into_iter().map(place).collect()
    }
}

/// Writes a text into its place, cut where it is too long.
fn put(buffer: &mut Buffer, place: (u16, u16, u16), text: &str, align: Align, style: Style) {
    let (x, y, width) = place;
    let length = text.chars().count() as u16;
    let indent = if align == Align::Right { width.saturating_sub(length) } else { 0 };
    if width > 0 {
        buffer.set_stringn(x + indent, y, text, usize::from(width - indent), style);
    }
}
