//! `wirebook book`: one book of a running appliance, live.
//!
//! Reads the board as any strategy does, by `wirebook-client`: on a terminal a ladder that is drawn
//! anew as the book moves, elsewhere one ladder or JSON line a change.

use crate::cli::BookArgs;
use crate::housekeeping::Stop;
use serde_json::{Value, json};
use std::fmt;
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};
use wirebook_client::{Book, BookState, Books, ClientError, Level, Reattached, Session};
use wirebook_model::price::Decimal;

/// How often the book is looked at.
const LOOK: Duration = Duration::from_millis(100);
/// How long a book may stand still before the heartbeat is asked whether anybody moves it.
const QUIET: Duration = Duration::from_secs(2);
/// The longest bar, in characters.
const BAR: u64 = 20;

/// Runs the command until a signal, or once.
///
/// # Errors
/// Fails where no appliance answers at the start, with `--once` where it has no such book, or where
/// the output cannot be written.
pub fn run(args: &BookArgs) -> anyhow::Result<ExitCode> {
    let mut session = Session::connect(&args.socket)?;
    let mut books = session.books()?;
    if args.once {
        let book = books.book(&args.symbol)?;
        return finish(show(args, &book, Style::of_output()));
    }
    let stop = Stop::on_signals()?;
    let (style, mut last, mut moved) = (Style::of_output(), None, Instant::now());
    while !stop.is_set() {
        match books.book(&args.symbol) {
            Ok(book) if last != Some(book) => {
                if let Err(error) = show(args, &book, style) {
                    return finish(Err(error));
                }
                (last, moved) = (Some(book), Instant::now());
            }
            Ok(_) | Err(ClientError::NoSuchInstrument(_) | ClientError::Board(_)) => {}
            Err(error) => return Err(error.into()),
        }
        if moved.elapsed() >= QUIET {
            moved = Instant::now();
            reattach(&mut session, &mut books)?;
        }
        std::thread::sleep(LOOK);
    }
    Ok(ExitCode::SUCCESS)
}

/// Goes on with the next start, where there is one.
fn reattach(session: &mut Session, books: &mut Books) -> anyhow::Result<()> {
    if let Ok(Reattached::NextStart) = session.reconnect(LOOK) {
        *books = session.books()?;
    }
    Ok(())
}

fn finish(outcome: io::Result<()>) -> anyhow::Result<ExitCode> {
    match outcome {
        // Whoever reads has seen enough.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(ExitCode::SUCCESS),
        outcome => Ok(outcome.map(|()| ExitCode::SUCCESS)?),
    }
}

fn show(args: &BookArgs, book: &Book, style: Style) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if args.json {
        writeln!(out, "{}", to_json(book, args.depth))?;
    } else {
        if style.redraws && !args.once {
            // Home, and clear to the end of the screen (ECMA-48, CUP and ED).
            write!(out, "\x1b[H\x1b[J")?;
        }
        write!(out, "{}", Ladder { book, depth: args.depth, style })?;
    }
    out.flush()
}

/// A book as JSON, each side's levels as `[price, size, orders]`.
pub fn to_json(book: &Book, depth: usize) -> Value {
    let levels = |levels: &[Level]| -> Vec<Value> {
        let level = |l: &Level| json!([Decimal(l.price).to_string(), l.size, l.orders]);
        levels.iter().take(depth).map(level).collect()
    };
    let trade = book.last_trade();
    json!({
        "instrument_id": book.instrument_id(),
        "symbol": book.symbol(),
        "state": book.state().name(),
        "stale_reason": book.stale_reason_name(),
        "sequence": book.sequence(),
        "ts_event": book.ts_event(),
        "ts_recv": book.ts_recv(),
        "bids": levels(book.bids()),
        "asks": levels(book.asks()),
        "last": trade.map(|trade| json!([Decimal(trade.price).to_string(), trade.size])),
    })
}

/// What the output can show.
#[derive(Clone, Copy)]
struct Style {
    redraws: bool,
    colours: bool,
}

impl Style {
    /// Colours on a terminal, unless `NO_COLOR` (no-color.org) asks for none.
    fn of_output() -> Self {
        let redraws = io::stdout().is_terminal();
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self { redraws, colours: redraws && !refused }
    }

    /// Text in one of the eight colours (ECMA-48, SGR).
    fn paint(self, colour: u8, text: &str) -> String {
        if self.colours { format!("\x1b[3{colour}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

const RED: u8 = 1;
const GREEN: u8 = 2;
const YELLOW: u8 = 3;

/// A ladder: asks above, bids below, each level with a bar as long as its size.
struct Ladder<'a> {
    book: &'a Book,
    depth: usize,
    style: Style,
}

impl fmt::Display for Ladder<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { book, depth, style } = *self;
        let state = match book.state() {
            BookState::Live => style.paint(GREEN, "live"),
            state => {
                let said = [Some(state.name()), book.stale_reason_name()];
                style.paint(YELLOW, &said.into_iter().flatten().collect::<Vec<_>>().join(": "))
            }
        };
        writeln!(f, "{} ({state}) at sequence {}", book.symbol(), book.sequence())?;
        let (bids, asks) = (book.bids(), book.asks());
        let (bids, asks) = (&bids[..bids.len().min(depth)], &asks[..asks.len().min(depth)]);
        let largest = bids.iter().chain(asks).map(|level| level.size).max().unwrap_or(0).max(1);
        let mut row = |level: &Level, colour| {
            let price = format!("{:>13}", Decimal(level.price).to_string());
            let bar = "█".repeat((level.size.saturating_mul(BAR)).div_ceil(largest) as usize);
            let (price, bar) = (style.paint(colour, &price), style.paint(colour, &bar));
            writeln!(f, "{price} {:>10} {:>6}  {bar}", level.size, level.orders)
        };
        asks.iter().rev().try_for_each(|level| row(level, RED))?;
        bids.iter().try_for_each(|level| row(level, GREEN))?;
        match book.last_trade() {
            Some(trade) => writeln!(f, "last {} × {}", trade.size, Decimal(trade.price)),
            None => writeln!(f, "no trade yet"),
        }
    }
}
