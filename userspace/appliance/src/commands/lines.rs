//! `wirebook lines`: a configuration for the lines that captures hold.

use crate::capture::{self, FoundChannel, Item, LineFinder};
use crate::cli::LinesArgs;
use crate::clock::VenueDay;
use anyhow::{Context, bail};
use std::fmt::Write;
use std::path::Path;
use std::process::ExitCode;
use wirebook_wire::Protocol;

/// Runs the command.
///
/// # Errors
/// Fails where a capture cannot be read or holds no line of the protocol.
pub fn run(args: &LinesArgs) -> anyhow::Result<ExitCode> {
    let mut finder = LineFinder::new(args.protocol);
    for path in &args.files {
        finder.read(&mut capture::open(path)?).with_context(|| path.display().to_string())?;
    }
    let channels = finder.into_channels();
    if channels.is_empty() {
        bail!("expected lines of {}, found none", args.protocol);
    }
    print!("{}", configuration(args, &channels)?);
    Ok(ExitCode::SUCCESS)
}

fn configuration(args: &LinesArgs, channels: &[FoundChannel]) -> anyhow::Result<String> {
    let interface = toml::Value::from(args.interface.as_str());
    let mut text = format!(
        "[[worker]]\nname = \"worker\"\n\n[[worker.interface]]\nname = {interface}\n\n[[shard]]\n"
    );
    for (number, channel) in channels.iter().enumerate() {
        write!(
            text,
            "\n[[channel]]\nname = \"channel-{number}\"\nprotocol = \"{}\"\nworker = \"worker\"\n",
            args.protocol
        )?;
        if args.protocol == Protocol::Itch50
            && let Some(ts) = first_ts(&args.files[0])?
        {
            let date = VenueDay::eastern_date(ts)?;
            writeln!(text, "# The capture's day; without it, the day on which a packet arrives.")?;
            writeln!(text, "date = \"{date}\"")?;
        }
        for (name, line) in ('A'..='Z').zip(&channel.destinations) {
            let vlans: Vec<u16> = line.outer_vlan.into_iter().chain(line.inner_vlan).collect();
            write!(
                text,
                "\n[[channel.line]]\nname = \"{name}\"\ninterface = {interface}\n\
                 group = \"{}\"\nport = {}\nvlan = {vlans:?}\n",
                line.address.ip(),
                line.address.port(),
            )?;
        }
    }
    Ok(text)
}

fn first_ts(path: &Path) -> anyhow::Result<Option<u64>> {
    let mut capture = capture::open(path)?;
    Ok(match capture.next()? {
        Some(Item::Packet { ts_recv, .. }) => Some(ts_recv),
        _ => None,
    })
}
