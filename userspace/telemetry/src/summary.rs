//! What a histogram says in a few numbers, as a table or as JSON.

use std::fmt;

use serde::Serialize;

/// Latency quantiles of one stage, in nanoseconds, to three digits. All zero where `count` is.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// Samples.
    pub count: u64,
    /// Samples beyond [`HIGHEST_NS`](crate::HIGHEST_NS), recorded as that.
    pub saturated: u64,
    /// The shortest.
    pub min_ns: u64,
    /// The median.
    pub p50_ns: u64,
    /// Nine in ten were no longer.
    pub p90_ns: u64,
    /// 99 in a hundred were no longer.
    pub p99_ns: u64,
    /// 999 in a thousand were no longer.
    pub p99_9_ns: u64,
    /// The longest.
    pub max_ns: u64,
    /// The mean.
    pub mean_ns: f64,
}

/// The summary of one stage, by name.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StageSummary {
    /// From where to where: `wire→worker`.
    pub stage: &'static str,
    /// Its latency.
    #[serde(flatten)]
    pub summary: Summary,
}

/// Every stage. Its text is a table with a heading, one line a stage, without a final line break.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LatencyReport {
    /// In the order of the path.
    pub stages: Vec<StageSummary>,
}

const HEADINGS: [&str; 8] = ["count", "min", "p50", "p90", "p99", "p99.9", "max", "mean"];

impl fmt::Display for LatencyReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<18}", "latency, ns")?;
        for heading in HEADINGS {
            write!(f, "{heading:>13}")?;
        }
        for StageSummary { stage, summary } in &self.stages {
            write!(f, "\n{stage:<18}")?;
            let Summary { count, min_ns, p50_ns, p90_ns, p99_ns, p99_9_ns, max_ns, .. } = summary;
            for value in [count, min_ns, p50_ns, p90_ns, p99_ns, p99_9_ns, max_ns] {
                write!(f, "{value:>13}")?;
            }
            write!(f, "{:>13.1}", summary.mean_ns)?;
            if summary.saturated > 0 {
                write!(f, "  ({} beyond the range)", summary.saturated)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> LatencyReport {
        let summary = Summary {
            count: 1_000,
            saturated: 0,
            min_ns: 1,
            p50_ns: 20,
            p90_ns: 300,
            p99_ns: 4_000,
            p99_9_ns: 50_000,
            max_ns: 59_999_999_999,
            mean_ns: 123.45,
        };
        let beyond = Summary { saturated: 7, ..summary.clone() };
        LatencyReport {
            stages: vec![
                StageSummary { stage: "wire→worker", summary },
                StageSummary { stage: "shard→published", summary: beyond },
            ],
        }
    }

    #[test]
    fn a_report_is_a_table() {
        let text = report().to_string();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 3);
        assert!(lines[1].starts_with("wire→worker "));
        let end = |line: &str, word: &str| {
            line.find(word).map(|at| line[..at + word.len()].chars().count())
        };
        assert_eq!(end(lines[0], "p99.9"), end(lines[1], "50000"));
        assert_eq!(end(lines[0], "max"), end(lines[1], "59999999999"));
        assert!(lines[2].ends_with("(7 beyond the range)"));
    }

    #[test]
    fn a_report_is_an_object() {
        let json = serde_json::to_value(report()).unwrap();
        assert_eq!(json["stages"][0]["stage"], "wire→worker");
        assert_eq!(json["stages"][0]["p99_9_ns"], 50_000);
        assert_eq!(json["stages"][1]["saturated"], 7);
    }
}
