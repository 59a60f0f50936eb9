//! What stands on screens of several sizes, by ratatui's `TestBackend`.

use super::*;
use crate::vitals::{BookVitals, ChannelVitals, Figure, LineVitals, NoticeVitals, StageVitals};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::style::Color;

fn vitals() -> Vitals {
    let line = |line: &str, share, silent_s| LineVitals {
        channel: "totalview".into(),
        line: line.into(),
        packets: 9,
        packets_per_s: 12_345.0,
        messages_per_s: 99_000.0,
        first_share: Some(share),
        missing_messages: 7,
        silent_s: Some(silent_s),
        ..LineVitals::default()
    };
    let channel = |name: &str, state| ChannelVitals {
        channel: name.into(),
        state,
        next_sequence: 123_456_789,
        gaps: Figure { total: 3, new: 1 },
        ..ChannelVitals::default()
    };
    let stage = |stage: &str| StageVitals {
        stage: stage.into(),
        samples: 4_000,
        p50_ns: Some(812),
        p99_ns: Some(4_321),
        p99_9_ns: Some(54_321),
        max_ns: Some(1_234_567),
        p99_history_ns: vec![1, 4, 8],
        ..StageVitals::default()
    };
    let book = |number: u32| BookVitals {
        symbol: format!("SYM{number:02}"),
        state: if number == 1 { "stale" } else { "live" },
        updates_per_s: f64::from(100 - number),
        bid: Some((format!("{}.5", 100 + number), 300)),
        ask: Some(("200.75".into(), 400)),
        last: None,
    };
    Vitals {
        name: "nasdaq".into(),
        is_alive: true,
        uptime_s: 3_700.0,
        interval_s: 1.0,
        state: Some("healing"),
        gaps: Figure { total: 3, new: 1 },
        lines: vec![line("A", 0.75, 0.0), line("B", 0.25, 42.0)],
        channels: vec![channel("totalview", "live"), channel("bx", "healing")],
        stages: ["wire→worker", "worker→shard", "shard→published"].map(stage).into(),
        books: (0..40).map(book).collect(),
        notices: vec![NoticeVitals { at_ms: 1_000, level: "warning", text: "a gap".into() }],
        ..Vitals::default()
    }
}

fn shown() -> Top {
    let mut top = Top::new();
    top.take(&vitals());
    top
}

fn press(top: &mut Top, code: KeyCode) -> Asked {
    top.key(KeyEvent::new(code, KeyModifiers::NONE))
}

/// The lines of a screen of this size.
fn screen(top: &Top, width: u16, height: u16) -> Vec<String> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    let draw = |frame: &mut ratatui::Frame<'_>| {
        frame.render_widget(View { top, colours: true }, frame.area());
    };
    terminal.draw(draw).unwrap();
    let cells = terminal.backend().buffer().content.chunks(usize::from(width));
    cells.map(|row| row.iter().map(|cell| cell.symbol()).collect()).collect()
}

#[track_caller]
fn assert_says(screen: &[String], words: &[&str]) {
    for word in words {
        assert!(screen.iter().any(|line| line.contains(word)), "no {word:?} in {screen:#?}");
    }
}

#[test]
fn eighty_by_twenty_four_has_every_pane() {
    let screen = screen(&shown(), 80, 24);
    assert_says(
        &screen,
        &["wirebook nasdaq", "▲ healing", "up 1h 01m", "drops 0", "gaps 3 (+1)", "overruns 0"],
    );
    assert_says(&screen, &["LINES", "totalview A", "12,345", "75.0%", "25.0%", "42s"]);
    assert_says(&screen, &["CHANNELS", "● live", "▲ healing", "123456789"]);
    assert_says(&screen, &["STAGES", "wire→worker", "812ns", "4.32µs", "54.3µs", "▁▄█"]);
    assert_says(&screen, &["BOOKS +3", "SYM00", "✖ stale", "100.5", "EVENTS", "a gap", "00:00:01"]);
    assert!(screen[23].starts_with("q quit"));
}

#[test]
fn a_large_screen_uses_its_room() {
    let screen = screen(&shown(), 200, 50);
    let heading = |word: &str| screen.iter().position(|line| line.contains(word)).unwrap();
    assert_eq!(heading("LINES"), heading("STAGES"), "panes stand side by side");
    assert_says(&screen, &["SYM00", "SYM35", "duplicates", "snapshots", "last", "1.23ms"]);
}

#[test]
fn no_size_is_too_small() {
    let mut top = shown();
    for shows_help in [false, true] {
        top.shows_help = shows_help;
        for (width, height) in (0..45).map(|n| (n, 45 - n)).chain([(1, 200), (300, 1), (12, 24)]) {
            screen(&top, width.max(1), height);
        }
    }
    assert_says(&screen(&shown(), 30, 20), &["totalview A", "12,345", "● live"]);
}

#[test]
fn keys_do_what_help_says() {
    let mut top = shown();
    press(&mut top, KeyCode::Char('?'));
    assert_says(&screen(&top, 80, 24), &["choose the column to sort by"]);
    assert_eq!(press(&mut top, KeyCode::Esc), Asked::Nothing, "it closes the help first");
    assert!(!screen(&top, 80, 24).iter().any(|line| line.contains("choose the column")));
    // The books, by their symbols, the last first.
    for _ in 0..3 {
        press(&mut top, KeyCode::Tab);
    }
    press(&mut top, KeyCode::Right);
    press(&mut top, KeyCode::Char('r'));
    let sorted = screen(&top, 80, 24);
    assert_says(&sorted, &["▴"]);
    let first = sorted.iter().find(|line| line.starts_with("SYM")).unwrap();
    assert!(first.starts_with("SYM39"), "{first}");
    press(&mut top, KeyCode::Down);
    let scrolled = screen(&top, 80, 24);
    assert!(scrolled.iter().find(|line| line.starts_with("SYM")).unwrap().starts_with("SYM38"));
    // Back to the order in which they came.
    press(&mut top, KeyCode::Char('r'));
    press(&mut top, KeyCode::Left);
    assert!(screen(&top, 80, 24).iter().any(|line| line.starts_with("SYM00")));
    let ends = [KeyCode::Char('q'), KeyCode::Esc];
    assert!(ends.into_iter().all(|key| press(&mut shown(), key) == Asked::Quit));
    let control_c = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
    assert_eq!(shown().key(control_c), Asked::Quit);
    assert_eq!(press(&mut shown(), KeyCode::Char('c')), Asked::Nothing);
}

#[test]
fn what_is_paused_stands_still() {
    let mut top = shown();
    press(&mut top, KeyCode::Char('p'));
    let later = Vitals { uptime_s: 9.0, ..vitals() };
    top.take(&later);
    assert_says(&screen(&top, 80, 24), &["PAUSED", "up 1h 01m"]);
    press(&mut top, KeyCode::Char('p'));
    top.take(&later);
    assert_says(&screen(&top, 80, 24), &["up 9s"]);
}

#[test]
fn an_appliance_that_is_gone_is_said_to_be_and_nothing_looks_live() {
    let mut top = shown();
    top.gone(Duration::from_secs(65));
    assert_says(&screen(&top, 80, 24), &["✖ gone for 1m 05s, waiting for its next start"]);
    assert!(!top.vitals().is_alive);
    // All but the two lines of the header.
    assert_eq!(coloured(&top, true, 2), 0);
    top.take(&vitals());
    assert!(!screen(&top, 80, 24).iter().any(|line| line.contains("gone")));
    assert!(coloured(&top, true, 2) > 0);
}

/// How many cells have a colour, from this row on.
fn coloured(top: &Top, colours: bool, from_row: usize) -> usize {
    let mut terminal = Terminal::new(TestBackend::new(80, 24)).unwrap();
    terminal.draw(|frame| frame.render_widget(View { top, colours }, frame.area())).unwrap();
    let cells = &terminal.backend().buffer().content[80 * from_row..];
    cells.iter().filter(|cell| cell.fg != Color::Reset || cell.bg != Color::Reset).count()
}

#[test]
fn without_colours_there_are_none() {
    assert_eq!(coloured(&shown(), false, 0), 0);
    assert!(coloured(&shown(), true, 0) > 0);
}
