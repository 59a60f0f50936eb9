//! `wirebook replay`: files through the same path as a live run, or a recording; then counts and
//! books.

use crate::cli::ReplayArgs;
use crate::config::{BooksKept, Config};
use crate::recorder::playback;
use crate::replay::{Behind, Replay};
use crate::report::{Ladder, Summary, SupervisionReport, book_json, find_book};
use crate::self_check::Parted;
use crate::worker::WorkerCounters;
use anyhow::ensure;
use serde_json::{Map, Value};
use std::path::Path;
use std::process::ExitCode;
use wirebook_machine::Books;

/// Runs the command; exit status 1 where a file was damaged or a self-check failed.
///
/// # Errors
/// Fails where the input cannot be read or has no such book.
pub fn run(args: &ReplayArgs) -> anyhow::Result<ExitCode> {
    let Outcome { books: all_books, mut summary, supervision } = match args.input.files.as_slice() {
        [folder] if folder.is_dir() => recording(folder, args)?,
        _ => files(args)?,
    };
    let books = || all_books.iter();
    summary.set_books(books());
    let shown = args
        .book
        .iter()
        .map(|name| Ok((name, find_book(books(), name)?)))
        .collect::<anyhow::Result<Vec<_>>>()?;

    if args.json {
        let mut object = summary.to_json()?;
        if supervision.is_asked_for() {
            object.insert("supervision".into(), serde_json::to_value(&supervision)?);
        }
        if !shown.is_empty() {
            let json =
                shown.iter().map(|(name, book)| ((*name).clone(), book_json(book, args.depth)));
            object.insert("books".to_owned(), Value::Object(json.collect::<Map<_, _>>()));
        }
        println!("{}", Value::Object(object));
    } else {
        print!("{summary}");
        print!("{supervision}");
        for (_, book) in shown {
            print!("\n{}", Ladder { book, depth: args.depth });
        }
    }
    let damaged = summary.input.is_some_and(|input| input.damaged_files != 0);
    let is_whole = !damaged && supervision.check.differences == 0;
    Ok(if is_whole { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What there is to show.
struct Outcome {
    books: Vec<Books>,
    summary: Summary,
    supervision: SupervisionReport,
}

fn files(args: &ReplayArgs) -> anyhow::Result<Outcome> {
    let sinks = (0..args.shards).map(|_| ());
    let behind = behind(args)?;
    let mut replayed = Replay::with(&args.input, args.limits, &behind, sinks)?;
    let mut supervision = SupervisionReport::default();
    for shard in &mut replayed.shards {
        supervision.add(shard);
        for Parted { instrument_id, difference, .. } in shard.parted() {
            tracing::error!("the self-check of instrument {instrument_id} failed: {difference}");
        }
    }
    let mut summary = Summary { input: Some(replayed.input), ..Summary::default() };
    summary.add_worker(replayed.worker, &replayed.channels);
    let books = replayed.shards.into_iter().map(|shard| shard.into_parts().0).collect();
    Ok(Outcome { books, summary, supervision })
}

/// What the configuration lets the books keep and puts behind them, unless the command line names it.
fn behind(args: &ReplayArgs) -> anyhow::Result<Behind> {
    let mut behind = Behind::default();
    if let Some(path) = &args.input.config {
        let config = Config::read(path)?;
        (behind.machines, behind.check) = (config.machines, config.check);
        behind.books = config.limits.books;
    }
    if !args.machines.is_empty() {
        behind.machines.run.clone_from(&args.machines);
    }
    if !args.shadow.is_empty() {
        behind.check.shadow.clone_from(&args.shadow);
    }
    ensure!(
        behind.check.shadow.is_empty() || behind.books == BooksKept::Orders,
        "--shadow: expected books of orders, found limits.books = \"levels\" in the configuration"
    );
    Ok(behind)
}

/// The newest run of a recording.
fn recording(folder: &Path, args: &ReplayArgs) -> anyhow::Result<Outcome> {
    ensure!(
        args.machines.is_empty() && args.shadow.is_empty(),
        "--machines and --shadow: expected files, such as {}/CHANNEL/*.dbn.zst, found a recording",
        folder.display()
    );
    let played = playback::play(folder, args.from_start)?;
    if let Some(snapshot) = &played.snapshot {
        tracing::info!("{}: restored", snapshot.display());
    }
    let mut summary = Summary { input: Some(played.input), ..Summary::default() };
    let worker = WorkerCounters { messages: played.records, ..WorkerCounters::default() };
    summary.add_worker(worker, &[]);
    Ok(Outcome { books: played.books, summary, supervision: SupervisionReport::default() })
}
