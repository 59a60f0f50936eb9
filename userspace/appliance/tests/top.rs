//! `wirebook top` beside a running appliance, in a real terminal and without one.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;
#[path = "common/live.rs"]
mod live;
#[path = "common/market.rs"]
mod market;
#[path = "common/terminal.rs"]
mod terminal;

use common::{assert_says, command, fails, text};
use live::net::within;
use live::{Appliance, PATIENCE};
use market::Place;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use std::fs;
use std::io::{BufRead, BufReader};
use std::process::Stdio;
use terminal::Terminal;

/// Set where this program is to panic on a terminal that it has taken.
const PANICS: &str = "WIREBOOK_TEST_PANICS_ON_A_SCREEN";

/// Starts `wirebook top` in a terminal whose settings are noted before and after.
fn start(terminal: &Terminal, place: &Place) {
    let [before, after, pid] = ["before", "after", "pid"].map(|name| terminal.path(name));
    let top = format!(
        "stty -g > {}; sh -c 'echo $$ > {}; exec {} top --socket {} --interval 200ms'; \
         echo status $?; stty -g > {}; echo it-is-over",
        before.display(),
        pid.display(),
        command::<&str>(&[]).get_program().to_str().unwrap(),
        place.socket().display(),
        after.display(),
    );
    // From a file, so that the terminal shows nothing of it.
    let script = terminal.path("script");
    fs::write(&script, top).unwrap();
    terminal.line(&format!("clear; . {}", script.display()));
}

/// Asserts that it has ended with status 0 and given the terminal back as it was.
#[track_caller]
fn assert_ended(terminal: &Terminal) {
    terminal.await_text("it-is-over");
    assert!(terminal.text().contains("status 0"), "{}", terminal.text());
    terminal.assert_sane();
    let settings = ["before", "after"].map(|name| fs::read_to_string(terminal.path(name)).unwrap());
    assert_eq!(settings[0], settings[1], "the terminal's settings");
}

/// The packets a second of a line on the screen.
fn packets_per_s(screen: &str, line: &str) -> Option<f64> {
    let row = screen.lines().find(|row| row.starts_with(line))?;
    row[line.len()..].split_whitespace().next()?.replace(',', "").parse().ok()
}

#[test]
fn in_a_real_terminal() {
    let (Some(terminal), Some(place)) = (Terminal::new(80, 24), Place::new()) else { return };
    let appliance = Appliance::start(&place.wire, &place.config(""), &[]);
    let market = place.market(&[]);
    start(&terminal, &place);
    terminal.until("both lines at work", |screen| {
        ["c0 A", "c0 B"].iter().all(|line| packets_per_s(screen, line).is_some_and(|n| n > 0.0))
    });
    for word in
        ["wirebook nasdaq", "CHANNELS", "● live", "wire→worker", "BOOKS", "EVENTS", "q quit"]
    {
        terminal.await_text(word);
    }
    terminal.until("a curve", |screen| screen.contains(['▁', '▂', '▃']));
    terminal.resize(200, 50);
    terminal.until("two columns", |screen| {
        screen.lines().any(|line| line.contains("LINES") && line.contains("STAGES"))
    });
    terminal.resize(80, 24);
    terminal.until("one column", |screen| {
        screen.lines().any(|line| line.contains("LINES") && !line.contains("STAGES"))
    });
    terminal.key("?");
    terminal.await_text("this help");
    terminal.key("?");
    terminal.until("no help", |screen| !screen.contains("this help"));
    terminal.key("p");
    terminal.await_text("PAUSED");
    terminal.key("p");
    terminal.until("no pause", |screen| !screen.contains("PAUSED"));

    drop(appliance);
    terminal.await_text("✖ gone for");
    let _next = Appliance::start(&place.wire, &place.config(""), &[]);
    terminal.until("the next start", |screen| {
        !screen.contains("gone for") && packets_per_s(screen, "c0 A").is_some_and(|n| n > 0.0)
    });
    terminal.key("q");
    assert_ended(&terminal);

    drop(market);
    start(&terminal, &place);
    terminal.await_text("CHANNELS");
    let pid: i32 = fs::read_to_string(terminal.path("pid")).unwrap().trim().parse().unwrap();
    kill(Pid::from_raw(pid), Signal::SIGTERM).unwrap();
    assert_ended(&terminal);

    start(&terminal, &place);
    terminal.await_text("CHANNELS");
    terminal.key("C-c");
    assert_ended(&terminal);
}

#[test]
fn a_panic_gives_the_terminal_back() {
    if std::env::var_os(PANICS).is_some() {
        let mut screen = wirebook::top::Screen::open().unwrap();
        screen.terminal().draw(|frame| frame.render_widget("taken", frame.area())).unwrap();
        panic!("on purpose");
    }
    let Some(terminal) = Terminal::new(80, 24) else { return };
    let this = std::env::current_exe().unwrap();
    let script = terminal.path("script");
    let lines = format!(
        "stty -g > {before}; {PANICS}=1 RUST_BACKTRACE=0 {} --exact a_panic_gives_the_terminal_back --nocapture; \
         stty -g > {after}; echo noted",
        this.display(),
        before = terminal.path("before").display(),
        after = terminal.path("after").display(),
    );
    fs::write(&script, lines).unwrap();
    terminal.line(&format!("clear; . {}", script.display()));
    terminal.await_text("noted");
    assert!(terminal.text().contains("on purpose"), "{}", terminal.text());
    terminal.assert_sane();
    let settings = ["before", "after"].map(|name| fs::read_to_string(terminal.path(name)).unwrap());
    assert_eq!(settings[0], settings[1], "the terminal's settings");
}

#[test]
fn without_a_terminal() {
    let Some(place) = Place::new() else { return };
    let socket = place.socket();
    let socket = socket.to_str().unwrap();
    fails(&["top", "--socket", socket], 1, &["expected a terminal", "--once"]);
    fails(&["top", "--once", "--socket", socket], 1, &["nasdaq.sock"]);
    fails(&["top", "--interval", "1"], 2, &["100ms to 60m"]);

    let appliance = Appliance::start(&place.wire, &place.config(""), &[]);
    let _market = place.market(&[]);
    let look = || -> Value {
        serde_json::from_str(&text(&["top", "--once", "--json", "--socket", socket])).unwrap()
    };
    let mut vitals = Value::Null;
    let works = |vitals: &Value| {
        let lines = vitals["lines"].as_array().unwrap();
        lines.len() == 2 && lines.iter().all(|line| line["packets_per_s"].as_f64() > Some(0.0))
    };
    assert!(
        within(2 * PATIENCE, || {
            vitals = look();
            works(&vitals)
        }),
        "{vitals}"
    );
    assert_eq!((&vitals["name"], &vitals["is_alive"]), (&"nasdaq".into(), &true.into()));
    assert_eq!(vitals["channels"][0]["state"], "live");
    // The simulator lets line A lead: it brings next to all packets first.
    assert!(vitals["lines"][0]["first_share"].as_f64() > Some(0.6), "{}", vitals["lines"]);
    assert!(vitals["interval_s"].as_f64() < Some(5.0), "an interval, not all since the start");
    assert!(vitals["uptime_s"].as_f64() < Some(600.0), "since its start: {}", vitals["uptime_s"]);
    let printed = text(&["top", "--once", "--socket", socket]);
    assert_says(&printed, &["wirebook nasdaq", "c0 A", "● live", "wire→worker", "EVENTS"]);
    assert!(!printed.contains('\x1b'), "no terminal, no escapes: {printed}");

    // Without --once: a line of JSON a look, until nobody reads.
    let mut many = command(&["top", "--json", "--interval", "200ms", "--socket", socket]);
    let mut many = many.stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(many.stdout.take().unwrap()).lines().take(3);
    for line in lines {
        assert!(serde_json::from_str::<Value>(&line.unwrap()).unwrap()["lines"].is_array());
    }
    assert!(many.wait().unwrap().success());
    appliance.signal(Signal::SIGTERM);
    appliance.summary();
}
