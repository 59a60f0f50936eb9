//! `wirebook counters`: what a running appliance counts and how long its stages take.
//!
//! Reads the segment as any strategy does, so the appliance does not know of it. What it shows is
//! about a second old.

use crate::cli::CountersArgs;
use serde_json::{Map, Value, json};
use std::process::ExitCode;
use wirebook_client::{Histogram, Session};
use wirebook_shm::names::stage_of;

const QUANTILES: [(&str, f64); 4] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999)];

/// Runs the command.
///
/// # Errors
/// Fails where no appliance answers.
pub fn run(args: &CountersArgs) -> anyhow::Result<ExitCode> {
    let session = Session::connect(&args.socket)?;
    let mut counters = session.counters()?;
    counters.retain(|(name, value)| {
        name.contains(args.filter.as_deref().unwrap_or_default()) && (args.all || *value > 0)
    });
    let mut latencies = Vec::new();
    for stage in session.stages() {
        if let Some(histogram) = session.latency(&stage)? {
            latencies.push((stage, histogram));
        }
    }
    // What a stage is of is shown where there are several, or for a program.
    let of: Vec<_> = session.latencies().filter(|(name, _)| stage_of(name) != name).collect();
    let are_several =
        |stage: &str| of.iter().filter(|(other, _)| stage_of(other) == stage).count() > 1;
    let shown = of.iter().filter(|(name, _)| args.json || are_several(stage_of(name)));
    latencies.extend(shown.cloned());
    if args.json {
        println!("{}", to_json(&counters, &latencies));
    } else {
        print_text(&counters, &latencies);
    }
    Ok(ExitCode::SUCCESS)
}

fn to_json(counters: &[(String, u64)], latencies: &[(String, Histogram<u64>)]) -> Value {
    let counters: Map<_, _> =
        counters.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
    let latencies: Map<_, _> = latencies
        .iter()
        .map(|(stage, histogram)| {
            let mut said = json!({"count": histogram.len(), "max": histogram.max()});
            for (name, quantile) in QUANTILES {
                said[name] = json!(histogram.value_at_quantile(quantile));
            }
            (stage.clone(), said)
        })
        .collect();
    json!({"counters": counters, "latency_ns": latencies})
}

fn print_text(counters: &[(String, u64)], latencies: &[(String, Histogram<u64>)]) {
    for (name, value) in counters {
        println!("{value:>20}  {name}");
    }
    if latencies.is_empty() {
        return;
    }
    println!(
        "{:<40} {:>12} {:>12} {:>12} {:>12} {:>12}",
        "ns", "count", "p50", "p90", "p99", "p99.9"
    );
    for (stage, histogram) in latencies {
        print!("{stage:<40} {:>12}", histogram.len());
        QUANTILES.iter().for_each(|(_, q)| print!(" {:>12}", histogram.value_at_quantile(*q)));
        println!();
    }
}
