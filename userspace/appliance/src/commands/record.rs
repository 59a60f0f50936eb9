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
    let config = Config::read_changed(&args.run.config, |config| {
        let mut record =
            config.record.take().unwrap_or_else(|| RecordConfig::new(args.dir.clone()));
        record.dir.clone_from(&args.dir);
        record.packets |= args.packets;
        config.record = Some(record);
    })?;
    run::run_with(config, &args.run)
}
