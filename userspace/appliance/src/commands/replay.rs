//! `wirebook replay`: files through the same path as a live run, then counts and books.

use crate::cli::ReplayArgs;
use crate::replay::Replay;
use crate::report::{Ladder, Summary, book_json, find_book};
use serde_json::{Map, Value};
use std::process::ExitCode;

/// Runs the command; exit status 1 where a file was damaged.
///
/// # Errors
/// Fails where the input cannot be read or has no such book.
pub fn run(args: &ReplayArgs) -> anyhow::Result<ExitCode> {
    let sinks = (0..args.shards).map(|_| ());
    let replayed = Replay::run(&args.input, args.limits, sinks)?;
    let books = || replayed.shards.iter().map(|shard| shard.books());

    let mut summary = Summary { input: Some(replayed.input), ..Summary::default() };
    summary.add_worker(replayed.worker, &replayed.channels);
    summary.set_books(books());
    let shown = args
        .book
        .iter()
        .map(|name| Ok((name, find_book(books(), name)?)))
        .collect::<anyhow::Result<Vec<_>>>()?;

    if args.json {
        let mut object = summary.to_json()?;
        if !shown.is_empty() {
            let json =
                shown.iter().map(|(name, book)| ((*name).clone(), book_json(book, args.depth)));
            object.insert("books".to_owned(), Value::Object(json.collect::<Map<_, _>>()));
        }
        println!("{}", Value::Object(object));
    } else {
        print!("{summary}");
        for (_, book) in shown {
            print!("\n{}", Ladder { book, depth: args.depth });
        }
    }
    Ok(if replayed.input.damaged_files == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
