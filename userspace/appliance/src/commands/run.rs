//! `wirebook run`: the appliance.

use crate::appliance::Appliance;
use crate::cli::RunArgs;
use crate::config::{Config, ConfigError};
use crate::cycles::CycleCounters;
use crate::housekeeping::Duties;
use crate::log;
use crate::recorder::RecorderCounters;
use crate::reload::Reread;
use crate::topology::Finished;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

/// Runs the command until it is told to stop.
///
/// # Errors
/// Fails where the configuration, the host or a thread fails.
pub fn run(args: &RunArgs) -> anyhow::Result<ExitCode> {
    let file = args.config.clone();
    run_with(move || Config::read(&file), args)
}

/// The same with a configuration that is read by `read`, also for a reload.
///
/// # Errors
/// Fails where the configuration, the host or a thread fails.
pub fn run_with(
    read: impl Fn() -> Result<Config, ConfigError> + Send + Sync + 'static,
    args: &RunArgs,
) -> anyhow::Result<ExitCode> {
    let config = read()?;
    log::configure(&config.log)?;
    let appliance = Appliance::new(config).giving_up_rights().duties(Duties {
        watch: args.watch.clone(),
        until_end_of_session: args.until_end_of_session,
        ready_file: args.ready_file.clone(),
        reread: Some(Reread::new(read)),
    });
    if args.check {
        appliance.check()?;
        println!("{}: ok", args.config.display());
        return Ok(ExitCode::SUCCESS);
    }
    let finished = appliance.run()?;
    if args.json {
        println!("{}", to_json(&finished)?);
    } else {
        print_text(&finished);
    }
    Ok(ExitCode::SUCCESS)
}

/// A finished run as one JSON object.
///
/// # Errors
/// None in practice: every part is plain numbers and text.
pub fn to_json(finished: &Finished) -> serde_json::Result<Value> {
    let mut object = finished.summary.to_json()?;
    object.insert("drops".into(), serde_json::to_value(finished.drops)?);
    object.insert("nic_drops".into(), serde_json::to_value(&finished.nic_drops)?);
    object.insert("backpressure".into(), json!(finished.backpressure));
    object.insert("lost_in_rings".into(), json!(finished.lost_in_rings));
    object.insert("supervision".into(), serde_json::to_value(&finished.supervision)?);
    object.insert("refresh".into(), serde_json::to_value(finished.refresh)?);
    if let Some(recovery) = &finished.recovery {
        object.insert("recovery".into(), serde_json::to_value(recovery)?);
    }
    if let Some(recorder) = &finished.recorder {
        object.insert("recorder".into(), serde_json::to_value(recorder)?);
    }
    object.insert("intake".into(), finished.intake.to_json());
    object.insert("latency".into(), serde_json::to_value(&finished.latency)?);
    let threads = finished.cycles.iter().map(|(name, cycles)| (name, cycles));
    object.insert("threads".into(), serde_json::to_value(threads.collect::<BTreeMap<_, _>>())?);
    Ok(Value::Object(object))
}

fn print_text(finished: &Finished) {
    print!("{}{}", finished.summary, finished.supervision);
    println!("{:>24}  {}", "backpressure", finished.backpressure);
    if let Some(recorder) = &finished.recorder {
        let RecorderCounters { records, bytes, files, overruns, write_errors, .. } = recorder;
        println!(
            "{:>24}  {records} records, {bytes} bytes, {files} files; {overruns} overruns, \
             {write_errors} write errors",
            "recorder"
        );
    }
    println!("\n{}\n", finished.latency);
    for (thread, counters) in &finished.cycles {
        let CycleCounters { cycles, empty_cycles, longest_cycle_ever_ns, .. } = *counters;
        let empty = 100.0 * empty_cycles as f64 / cycles.max(1) as f64;
        let longest = Duration::from_nanos(longest_cycle_ever_ns);
        println!("{thread:>24}  {cycles} cycles, {empty:.1} % empty, the longest {longest:.1?}");
    }
    for drops in &finished.nic_drops {
        println!("{drops}");
    }
    let (lost, drops) = (finished.summary.lost_messages, finished.drops.total());
    println!(
        "{} lost ({lost} messages that nothing brought back, {drops} packets dropped by the kernel, {} in rings)",
        lost + drops + finished.lost_in_rings,
        finished.lost_in_rings
    );
}
