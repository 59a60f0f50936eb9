//! `wirebook doctor`: what on this host will hurt, and how to mend it.

use crate::cli::DoctorArgs;
use crate::config::Config;
use crate::doctor::{Examination, examine};
use crate::host::{Host, Needs};
use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::Duration;

/// Runs the command: exit status 1 where a finding says fail.
///
/// # Errors
/// Fails where the configuration cannot be used.
pub fn run(args: &DoctorArgs) -> anyhow::Result<ExitCode> {
    let config = args.config.as_deref().map(Config::read).transpose()?;
    let needs = config.as_ref().map(Needs::of);
    let mut interfaces = args.interface.clone();
    if let (true, Some(needs)) = (interfaces.is_empty(), &needs) {
        interfaces = needs.interfaces.iter().map(|(name, _)| name.clone()).collect();
    }
    let probe = (!args.no_probe).then(|| Duration::from_secs_f64(args.listen));
    let report = examine(&Host::system(), &Examination { needs, interfaces, probe });
    if args.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print!("{}", report.text(std::io::stdout().is_terminal()));
    }
    Ok(match report.summary.fail {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    })
}
