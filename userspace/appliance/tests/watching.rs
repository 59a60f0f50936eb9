//! What stands in `docs` and `deploy` about metrics is what the code says: the reference is made of the
//! table, alerts and panels ask for what there is, and each alert has its section in the runbook.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use serde_json::Value;
use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use wirebook::metrics::families::{BUCKETS, FAMILIES, Kind, Of};

fn place(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

fn read(path: &str) -> String {
    fs::read_to_string(place(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

const HEAD: &str = "# Metrics

What `/metrics` tells where the configuration says `[metrics] listen = \"127.0.0.1:9464\"`, in the
OpenMetrics text format 1.0. Made of the code (`userspace/appliance/src/metrics/families`): change it
there, and have a test write this page anew:
`WIREBOOK_WRITE_DOCS=1 cargo test -p wirebook --test watching`.

A scrape reads the appliance's shared memory as any reader does, so it costs the hot threads nothing.
Counts are up to two seconds old. Whether the appliance answers at all is Prometheus' own `up`.
`/healthz` answers 200 once packets can be received and while every thread moves; otherwise 503 and
the reason.

*Gap*, *drop* and *overrun* are three families and never added: a gap is missing on all lines
(`wirebook_gaps_total`), a drop was lost before userspace (`wirebook_drops_total`, and by the
interface's own counters, which may count the same packet again, `wirebook_nic_drops_total`), an
overrun is a reader of a ring that was lapped (`wirebook_overruns_total`). Readers in other processes
count their own overruns; the appliance does not know of them.

Alerts for Prometheus are in `deploy/prometheus`, what to do about each in [runbook.md](runbook.md), a
dashboard for Grafana in `deploy/grafana/wirebook.json`.

## Families

| Name | Type | Labels | What it says |
| --- | --- | --- | --- |
";

const HISTOGRAMS: &str = "
## Stages

`wirebook_stage_seconds` is one histogram for each stage and the worker, shard or channel that it is of:

| Stage | Labels | From where to where |
| --- | --- | --- |
| `wire-to-worker` | `worker` | a packet's arrival (the NIC's or the kernel's time) to the start of its decoding |
| `worker-to-shard` | `shard` | the start of decoding to the shard that keeps the book |
| `shard-to-published` | `shard` | the shard to the last record's place in the output ring |
| `gap-to-live` | `channel` | a gap's first packet to books that are live again |
| `A-before-B` | `channel`, `line` | by how much the first line was ahead of another, packet by packet |
| `B-before-A` | `channel`, `line` | by how much another line was ahead of the first |
| `refresh-round` | `shard` | a time round all books for readers that missed something |
| `refresh-piece` | `shard` | one piece of a book in such a round, which an event may have to wait for |

Where a configuration has more than 64 channels, theirs are summed up and have no labels. The counts
come from HdrHistogram at three digits; a value within a thousandth of a bound may be counted beyond it.
Quantiles over buckets are as coarse as these; exact ones are in the summary at the end of a run, in
`wirebook counters`, and in the interval log. Upper bounds, in seconds: ";

const HLOG: &str = "
## The interval log

`[metrics] hlog = \"/var/log/wirebook/wirebook.hlog\"` writes, every `hlog_interval_s` seconds (10), one
line for each stage and worker, shard or channel that had a sample, in HdrHistogram's log format 1.3:
what HistogramLogAnalyzer, HistogramLogProcessor and the ports of HdrHistogram read. The tag is the
stage and what it is of (`wire-to-worker:w0`, `A-before-B:itch:A`), values are nanoseconds, times absolute.
The last line of a run holds what came after its last whole interval, so nothing is left out.

A file that is there is appended to. One that would grow beyond 64 MiB becomes `wirebook.hlog.1`, in the
place of the one before it, so there are never more than 128 MiB. Each interval is one write at the end of
the file: logrotate's `copytruncate` may be used as well. A file that cannot be opened is an error at the
start. A disk that fails later is counted (`wirebook_hlog_write_errors_total`), said once, and ends
nothing; the samples go into the next interval that can be written.
";

/// The page as the code says it.
fn reference() -> String {
    let mut page = HEAD.to_owned();
    for family in FAMILIES {
        let mut labels: Vec<String> =
            family.labels.iter().map(|label| format!("`{label}`")).collect();
        let mut help = family.help.to_owned();
        if let Of::Counters(by, values) = family.of {
            labels.push(format!("`{by}`"));
            let values: Vec<_> = values.iter().map(|(_, value)| format!("`{value}`")).collect();
            write!(help, " The {by}: {}.", values.join(", ")).unwrap();
        }
        let kind = format!("{:?}", family.kind).to_lowercase();
        let name = family.exported_name();
        writeln!(page, "| `{name}` | {kind} | {} | {help} |", labels.join(", ")).unwrap();
    }
    let bounds: Vec<_> = BUCKETS.iter().map(|bound| format!("{bound:e}")).collect();
    page + HISTOGRAMS + &bounds.join(", ") + ".\n" + HLOG
}

#[test]
fn the_reference_is_made_of_the_table() {
    let expected = reference();
    if std::env::var_os("WIREBOOK_WRITE_DOCS").is_some_and(|v| v == "1") {
        fs::write(place("docs/metrics.md"), &expected).unwrap();
    }
    let found = read("docs/metrics.md");
    let parted = found.lines().zip(expected.lines()).find(|(found, expected)| found != expected);
    assert!(
        found == expected,
        "docs/metrics.md is old (WIREBOOK_WRITE_DOCS=1 writes it): {parted:?}"
    );
}

/// Whatever an expression names with our prefix, but for quoted text.
fn names_in(expression: &str) -> BTreeSet<String> {
    let plain: String = expression.split('"').step_by(2).collect::<Vec<_>>().join(" ");
    let words = plain.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    words.filter(|word| word.starts_with("wirebook_")).map(str::to_owned).collect()
}

/// Whether a sample of this name can be scraped.
fn is_told(name: &str) -> bool {
    FAMILIES.iter().any(|family| match family.kind {
        Kind::Histogram => ["_bucket", "_sum", "_count"]
            .iter()
            .any(|suffix| name.strip_suffix(suffix) == Some(&family.exported_name())),
        _ => family.exported_name() == name,
    })
}

/// The alerts of the rules file: the name, and the lines of each.
fn alerts() -> Vec<(String, Vec<String>)> {
    let mut alerts: Vec<(String, Vec<String>)> = Vec::new();
    for line in read("deploy/prometheus/wirebook.rules.yml").lines() {
        if let Some(name) = line.trim().strip_prefix("- alert: ") {
            alerts.push((name.to_owned(), Vec::new()));
        } else if let Some((_, lines)) = alerts.last_mut() {
            lines.push(line.trim().to_owned());
        }
    }
    alerts
}

#[test]
fn alerts_ask_for_what_there_is_and_say_what_to_do() {
    let runbook = read("docs/runbook.md");
    let tests = read("deploy/prometheus/wirebook.rules.test.yml");
    let alerts = alerts();
    assert!(alerts.len() > 25, "{}", alerts.len());
    let mut asked = 0;
    for (name, lines) in &alerts {
        let told = |key: &str| {
            let found = lines.iter().find_map(|line| line.strip_prefix(&format!("{key}: ")));
            found.unwrap_or_else(|| panic!("{name} has no {key}"))
        };
        for metric in names_in(told("expr")) {
            assert!(is_told(&metric), "{name} asks for {metric}");
            asked += 1;
        }
        assert!(
            ["{ severity: critical }", "{ severity: warning }"].contains(&told("labels")),
            "{name}"
        );
        assert!(told("summary").len() > 20, "{name}");
        assert_eq!(told("runbook_url"), format!("docs/runbook.md#{}", name.to_lowercase()));
        assert!(tests.contains(&format!("name: {name}\n")), "{name} is not tested");
        let section =
            runbook.split("\n## ").find(|section| section.starts_with(&format!("{name}\n")));
        let section = section.unwrap_or_else(|| panic!("no section of the runbook for {name}"));
        for part in ["**Means:**", "**A trader sees:**", "**Look at:**", "**Mend:**", "**Clears:**"]
        {
            assert!(section.contains(part), "{name}: no {part}");
        }
    }
    assert!(asked >= alerts.len(), "{asked}");
    // And no section without its alert.
    let sections = runbook.split("\n## ").skip(1).filter_map(|section| section.lines().next());
    for section in sections.filter(|section| section.starts_with("Wirebook")) {
        assert!(
            alerts.iter().any(|(name, _)| name == section),
            "the runbook has no alert {section}"
        );
    }
}

#[test]
fn names_of_the_runbook_and_the_dashboard_are_told() {
    for page in ["docs/runbook.md", "deploy/grafana/wirebook.json"] {
        let text = read(page).replace("\\\"", "\"").replace('`', " ");
        let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        for name in words.filter(|word| word.starts_with("wirebook_")) {
            assert!(is_told(name), "{page} names {name}");
        }
    }
}

#[test]
fn panels_of_the_dashboard_ask_for_what_there_is() {
    let dashboard: Value = serde_json::from_str(&read("deploy/grafana/wirebook.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let mut asked = BTreeSet::new();
    for panel in panels {
        for target in panel["targets"].as_array().into_iter().flatten() {
            let names = names_in(target["expr"].as_str().unwrap());
            assert!(!names.is_empty(), "{}", panel["title"]);
            asked.extend(names);
        }
    }
    for name in &asked {
        assert!(is_told(name), "a panel asks for {name}");
    }
    for wanted in [
        "wirebook_line_packets_total",
        "wirebook_line_duplicate_packets_total",
        "wirebook_line_missing_messages_total",
        "wirebook_channel_state",
        "wirebook_gaps_total",
        "wirebook_drops_total",
        "wirebook_overruns_total",
        "wirebook_stage_seconds_bucket",
        "wirebook_books",
    ] {
        assert!(asked.contains(wanted), "no panel shows {wanted}");
    }
}

#[test]
fn rules_are_what_prometheus_takes_and_each_fires_alone() {
    let folder = place("deploy/prometheus");
    for arguments in
        [["check", "rules", "wirebook.rules.yml"], ["test", "rules", "wirebook.rules.test.yml"]]
    {
        let Ok(output) = Command::new("promtool").args(arguments).current_dir(&folder).output()
        else {
            let required =
                std::env::var_os("WIREBOOK_REQUIRE_PRIVILEGED").is_some_and(|v| v == "1");
            assert!(!required, "must not be skipped: there is no promtool");
            eprintln!("SKIP: there is no promtool (apt-get install prometheus)");
            return;
        };
        let said =
            String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
    }
}
