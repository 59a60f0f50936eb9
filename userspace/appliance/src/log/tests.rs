use super::limit::{LINES, WINDOW};
use super::*;
use serde_json::Value;
use std::io::{self, Write};
use std::sync::Mutex;
use tracing::Dispatch;

/// What was logged.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What `work` logs, written by this layer, and then what was left out.
fn logged(layer: impl FnOnce(Lines) -> Output, work: impl FnOnce()) -> (String, Arc<Limiter>) {
    let (lines, limiter) = (Lines::default(), Arc::new(Limiter::default()));
    let (filter, _) = reload::Layer::new(default_filter());
    let subscriber = tracing_subscriber::registry().with(filter);
    let subscriber = subscriber.with(RateLimit(Arc::clone(&limiter))).with(layer(lines.clone()));
    tracing::dispatcher::with_default(&Dispatch::new(subscriber), || {
        work();
        limiter.over(Some(Instant::now() + WINDOW)).iter().for_each(LeftOut::log);
    });
    (lines.text(), limiter)
}

fn in_json(lines: Lines) -> Output {
    json(move || lines.clone())
}

#[test]
fn json_lines_hold_the_fields() {
    let (text, _) = logged(in_json, || {
        tracing::warn!(channel = "itch-1", line = "B", missing = 7, "line \"B\" is behind\n\u{7}");
        tracing::debug!("below the level");
    });
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0]["channel"], "itch-1");
    assert_eq!((&lines[0]["line"], &lines[0]["missing"]), (&"B".into(), &7.into()));
    assert_eq!(
        (&lines[0]["level"], &lines[0]["target"]),
        (&"WARN".into(), &"wirebook::log::tests".into())
    );
    assert_eq!(lines[0]["message"], "line \"B\" is behind\n\u{7}");
    assert!(lines[0]["timestamp"].as_str().unwrap().ends_with('Z'));
}

#[test]
fn a_storm_is_cut_short_and_counted() {
    const STORM: u64 = 1_000_000;
    let (text, limiter) = logged(in_json, || {
        for number in 0..STORM {
            tracing::error!(channel = "c0", number, "malformed packet");
        }
    });
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    // A storm on a slow host may last more than one window.
    let windows = lines.iter().filter(|line| !line["left_out"].is_null()).count();
    assert!((1..=6).contains(&windows), "{text}");
    let left_out: u64 = lines.iter().filter_map(|line| line["left_out"].as_u64()).sum();
    assert_eq!(lines.len(), windows + windows * LINES as usize);
    assert_eq!(left_out, STORM - u64::from(LINES) * windows as u64);
    let last = lines.last().unwrap();
    assert_eq!(last["level"], "ERROR");
    let said = "similar lines left out, the first: malformed packet channel=\"c0\" number=";
    assert!(last["message"].as_str().unwrap().contains(said), "{last}");
    assert_eq!(limiter.counts().next(), Some(("error", left_out)));
}

#[test]
fn each_channel_has_its_own_storm() {
    let (text, limiter) = logged(in_json, || {
        for number in 0..LINES + 5 {
            for channel in ["a", "b", "c"] {
                tracing::warn!(channel, number, "behind");
            }
            tracing::info!("another place in the code");
        }
    });
    let count = |word: &str| text.lines().filter(|line| line.contains(word)).count() as u32;
    for channel in ["a", "b", "c"] {
        assert_eq!(count(&format!("\"channel\":\"{channel}\"")), LINES, "{text}");
    }
    assert_eq!(count("5 similar lines left out"), 4, "{text}");
    let counts: Vec<_> = limiter.counts().collect();
    assert_eq!(counts[1..3], [("warn", 15), ("info", 5)]);
}

#[test]
fn more_kinds_than_there_is_room_for_are_one_kind() {
    let (text, limiter) = logged(in_json, || {
        for line in 0..10_000_u32 {
            tracing::warn!(line, "behind");
        }
    });
    let lines = text.lines().filter(|line| !line.contains("left_out")).count();
    assert_eq!(lines, limit::KINDS_MAX + LINES as usize);
    assert_eq!(limiter.counts().map(|(_, count)| count).sum::<u64>(), 10_000 - lines as u64);
}

#[test]
fn text_names_what_it_is_about() {
    let (text, _) =
        logged(|lines| text_layer(lines), || tracing::info!(interface = "eth0", "socket open"));
    assert!(text.ends_with(" INFO socket open interface=\"eth0\"\n"), "{text}");
}

fn text_layer(lines: Lines) -> Output {
    text(move || lines.clone(), false)
}

#[test]
fn a_level_that_is_none_is_refused() {
    let error = EnvFilter::builder().parse("wirebook=loud").unwrap_err();
    let error = LogError::Level { found: "wirebook=loud".to_owned(), source: error };
    assert!(error.to_string().starts_with("expected a level or directives, found"), "{error}");
}
