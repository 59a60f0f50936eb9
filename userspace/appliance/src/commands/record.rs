//! `wirebook record`: the appliance with a recorder.

use super::run;
use crate::cli::RecordArgs;
use crate::config::Config;
use crate::recorder::RecordConfig;
use std::process::ExitCode;

/// Runs the command until it is told to stop: what the configuration says of recording holds, but
/// for what the command line says.
///
/// # Errors
/// Fails where the configuration, the directory, the host or a thread fails.
pub fn run(args: &RecordArgs) -> anyhow::Result<ExitCode> {
    let (file, dir, packets) = (args.run.config.clone(), args.dir.clone(), args.packets);
    let read = move || {
        Config::read_changed(&file, |config| {
            let record = config.record.take();
            let mut record = record.unwrap_or_else(|| RecordConfig::new(dir.clone()));
            record.dir.clone_from(&dir);
            record.packets |= packets;
            config.record = Some(record);
        })
    };
    run::run_with(read, &args.run)
}
