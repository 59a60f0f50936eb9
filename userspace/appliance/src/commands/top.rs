//! `wirebook top`: how a running appliance is, on a terminal.
//!
//! Reads the segment as any strategy does, so the appliance does not know of it. The terminal gets
//! back what it was given whatever happens: a key, a signal, an error or a panic. An appliance that
//! goes is waited for.

use crate::cli::TopArgs;
use crate::housekeeping::Stop;
use crate::top::{Asked, Screen, Top, View};
use crate::vitals::Observer;
use anyhow::bail;
use ratatui::Terminal;
use ratatui::buffer::Buffer;
use ratatui::crossterm::event::{self, Event};
use ratatui::layout::Rect;
use ratatui::widgets::Widget;
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use wirebook_client::{Reattached, Session};

/// How long a key may wait before a signal is looked for.
const KEY: Duration = Duration::from_millis(100);
/// How long the first counts of a starting appliance are waited for.
const FIRST: Duration = Duration::from_secs(10);
/// What `--once` draws on, where there is no terminal that says how wide it is.
const SHEET: Rect = Rect { x: 0, y: 0, width: 120, height: 60 };

/// Runs the command until a key or a signal, or once.
///
/// # Errors
/// Fails where no appliance answers at the start, or the terminal fails.
pub fn run(args: &TopArgs) -> anyhow::Result<ExitCode> {
    let interactive = !args.once && !args.json;
    if interactive && !(io::stdin().is_terminal() && io::stdout().is_terminal()) {
        bail!(
            "expected a terminal, found a file or pipe: `wirebook top --once` prints one look, \
             `--json` a line of JSON for each"
        );
    }
    let watched = &mut Watched::new(&args.socket)?;
    let stop = Stop::on_signals()?;
    if interactive {
        let mut screen = Screen::open()?;
        return watch(args, watched, &stop, screen.terminal());
    }
    match print(args, watched, &stop) {
        // Whoever reads has seen enough.
        Err(error) if is_broken_pipe(&error) => Ok(ExitCode::SUCCESS),
        outcome => outcome,
    }
}

/// The appliance at a socket, over its starts.
struct Watched {
    name: String,
    observer: Observer,
    /// Since when nobody has answered.
    gone: Option<Instant>,
}

impl Watched {
    fn new(socket: &Path) -> anyhow::Result<Self> {
        let name = socket.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let observer = Observer::new(&name, Session::connect(socket)?)?;
        Ok(Self { name, observer, gone: None })
    }

    /// Looks once, at the next start where this one is over.
    fn look(&mut self, top: &mut Top) -> anyhow::Result<()> {
        let vitals = self.observer.look()?;
        if vitals.is_alive {
            self.gone = None;
            top.take(vitals);
            return Ok(());
        }
        let since = *self.gone.get_or_insert_with(Instant::now);
        top.gone(since.elapsed());
        let session = self.observer.session();
        if let Ok(Reattached::NextStart) = session.reconnect(Duration::ZERO) {
            self.observer = Observer::new(&self.name, session.clone())?;
        }
        Ok(())
    }

    /// Waits for the first counts, and then for those of one more interval.
    fn second_look(&mut self, interval: Duration, stop: &Stop) -> anyhow::Result<()> {
        let begun = Instant::now();
        while self.observer.look()?.counted_at_ms == 0 && begun.elapsed() < FIRST && !stop.is_set()
        {
            std::thread::sleep(KEY);
        }
        pause(interval, stop);
        Ok(())
    }
}

/// Draws and takes keys, until a key or a signal says to end.
fn watch<B: ratatui::backend::Backend<Error: Send + Sync + 'static>>(
    args: &TopArgs,
    watched: &mut Watched,
    stop: &Stop,
    terminal: &mut Terminal<B>,
) -> anyhow::Result<ExitCode> {
    let (colours, mut top) = (colours(), Top::new());
    let mut looked: Option<Instant> = None;
    while !stop.is_set() {
        if looked.is_none_or(|looked| looked.elapsed() >= args.interval) {
            watched.look(&mut top)?;
            looked = Some(Instant::now());
        }
        terminal.draw(|frame| frame.render_widget(View { top: &top, colours }, frame.area()))?;
        let until_look =
            looked.map_or(Duration::ZERO, |at| args.interval.saturating_sub(at.elapsed()));
        // A signal interrupts the wait and is no event.
        let waited = event::poll(until_look.min(KEY));
        if waited.is_ok_and(|has_come| has_come)
            && let Event::Key(key) = event::read()?
            && key.is_press()
            && top.key(key) == Asked::Quit
        {
            break;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Prints looks: one, or as JSON one an interval.
fn print(args: &TopArgs, watched: &mut Watched, stop: &Stop) -> anyhow::Result<ExitCode> {
    watched.second_look(args.interval, stop)?;
    let mut top = Top::new();
    while !stop.is_set() {
        watched.look(&mut top)?;
        let mut out = io::stdout().lock();
        if args.json {
            writeln!(out, "{}", serde_json::to_string(top.vitals())?)?;
        } else {
            out.write_all(text(&top).as_bytes())?;
        }
        out.flush()?;
        if args.once {
            break;
        }
        pause(args.interval, stop);
    }
    Ok(ExitCode::SUCCESS)
}

/// The view as lines of text.
fn text(top: &Top) -> String {
    let mut buffer = Buffer::empty(SHEET);
    View { top, colours: false }.render(SHEET, &mut buffer);
    let rows = buffer.content.chunks(usize::from(SHEET.width));
    let lines = rows.map(|row| row.iter().map(|cell| cell.symbol()).collect::<String>());
    // Without the line of keys.
    let lines: Vec<_> = lines.take(usize::from(SHEET.height) - 1).collect();
    let text: Vec<_> = lines.iter().map(|line| line.trim_end()).collect();
    format!("{}\n", text.join("\n").trim_end())
}

fn pause(interval: Duration, stop: &Stop) {
    let begun = Instant::now();
    while begun.elapsed() < interval && !stop.is_set() {
        std::thread::sleep(interval.saturating_sub(begun.elapsed()).min(KEY));
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
}

/// Colours, unless `NO_COLOR` (no-color.org) asks for none.
fn colours() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
