//! `wirebook replay`: files through the same path as a live run, then counts and books.

use crate::cli::ReplayArgs;
use crate::config::{CheckConfig, MachinesConfig};
use crate::replay::{Behind, Replay};
use crate::report::{Ladder, Summary, SupervisionReport, book_json, find_book};
use crate::self_check::Parted;
use serde_json::{Map, Value};
use std::process::ExitCode;

/// Runs the command; exit status 1 where a file was damaged or a self-check failed.
///
/// # Errors
/// Fails where the input cannot be read or has no such book.
pub fn run(args: &ReplayArgs) -> anyhow::Result<ExitCode> {
    let sinks = (0..args.shards).map(|_| ());
    let behind = Behind {
        machines: MachinesConfig { run: args.machines.clone(), ..MachinesConfig::default() },
        check: CheckConfig { shadow: args.check.clone() },
        ..Behind::default()
    };
    let mut replayed = Replay::with(&args.input, args.limits, &behind, sinks)?;
    let mut supervision = SupervisionReport::default();
    for shard in &mut replayed.shards {
        supervision.add(shard);
        for Parted { instrument_id, difference, .. } in shard.parted() {
            tracing::error!("the self-check of instrument {instrument_id} failed: {difference}");
        }
    }
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
        if !(args.machines.is_empty() && args.check.is_empty()) {
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
    let is_whole = replayed.input.damaged_files == 0 && supervision.check.differences == 0;
    Ok(if is_whole { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
