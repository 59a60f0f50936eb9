//! How long stages took within an interval: differences of histograms, and their percentile curves.

use super::{Look, StageVitals};
use wirebook_client::Histogram;

/// Points of a curve for each factor of ten by which fewer samples are longer.
const POINTS_A_DECADE: u32 = 8;
/// The highest point: one sample in a million is longer.
const DECADES: u32 = 6;

/// Each stage between two looks, in the order of the path. What workers or shards time apart is one
/// stage.
pub(super) fn stages(before: &Look, after: &Look) -> Vec<StageVitals> {
    let mut stages: Vec<(String, Histogram<u64>)> = Vec::new();
    for (name, now) in &after.stages {
        let earlier = before.stages.iter().find(|(known, _)| known == name);
        let new = difference(earlier.map(|(_, histogram)| histogram), now);
        let stage = title(name);
        match stages.iter_mut().find(|(known, _)| *known == stage) {
            // Of other bounds it is none of this stage's; the appliance has the same for all.
            Some((_, sum)) => {
                let _same_bounds = sum.add(new);
            }
            None => stages.push((stage, new)),
        }
    }
    stages.into_iter().map(|(stage, new)| of_stage(stage, &new)).collect()
}

/// What has come since: all of it, where the earlier one is of another start.
fn difference(before: Option<&Histogram<u64>>, after: &Histogram<u64>) -> Histogram<u64> {
    let mut new = after.clone();
    if let Some(before) = before
        && new.subtract(before).is_err()
    {
        return after.clone();
    }
    new
}

fn of_stage(stage: String, new: &Histogram<u64>) -> StageVitals {
    let samples = new.len();
    let quantile = |quantile| (samples > 0).then(|| new.value_at_quantile(quantile));
    StageVitals {
        stage,
        samples,
        p50_ns: quantile(0.5),
        p99_ns: quantile(0.99),
        p99_9_ns: quantile(0.999),
        max_ns: (samples > 0).then(|| new.max()),
        curve: curve(new),
        p99_history_ns: Vec::new(),
    }
}

/// Points at equal distances on an axis of 1 / (1 - quantile), as far as there are samples for it.
fn curve(histogram: &Histogram<u64>) -> Vec<(f64, u64)> {
    let points = (0..=DECADES * POINTS_A_DECADE).map(|point| {
        let samples_a_longer = 10_f64.powf(f64::from(point) / f64::from(POINTS_A_DECADE));
        (1.0 - 1.0 / samples_a_longer, samples_a_longer)
    });
    let told = points.take_while(|(_, least)| *least <= histogram.len() as f64);
    told.map(|(quantile, _)| (quantile, histogram.value_at_quantile(quantile))).collect()
}

/// A stage's name in the segment as it is told: `gap-to-live` is `gap→live`.
fn title(name: &str) -> String {
    let name = name.split('{').next().unwrap_or_default();
    name.replace("-to-", "→").replace('-', " ")
}
