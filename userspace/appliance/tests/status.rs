//! The status page of a running appliance, in a headless Chromium.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "common/browser.rs"]
mod browser;
mod common;
#[path = "common/live.rs"]
mod live;
#[path = "common/market.rs"]
mod market;

use browser::Browser;
use live::net::{inside, within};
use live::{Appliance, PATIENCE};
use market::Place;
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::TcpStream;

const ADDRESS: &str = "127.0.0.1:9464";

fn config(place: &Place) -> String {
    place.config("name = \"nasdaq\"\n") + &format!("[metrics]\nlisten = {ADDRESS:?}\n")
}

/// The answer to a request, head and body.
fn ask(place: &Place, request: &str) -> (String, String) {
    let answer = inside(&place.wire.receiver, || {
        let mut stream = TcpStream::connect(ADDRESS).unwrap();
        let request = format!("{request} HTTP/1.1\r\nHost: {ADDRESS}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    });
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_lowercase(), body.to_owned())
}

/// The texts of a table's cells, row by row.
fn cells(browser: &Browser, table: &str) -> Vec<Vec<String>> {
    let script = format!(
        "return [...document.querySelectorAll('#{table} tbody tr')]\
         .map(row => [...row.cells].map(cell => cell.textContent))"
    );
    serde_json::from_value(browser.run(&script)).unwrap()
}

/// The points of every curve in a chart.
fn curves(browser: &Browser, chart: &str) -> Vec<String> {
    let script = format!(
        "return [...document.querySelectorAll('#{chart} polyline')].map(l => l.getAttribute('points'))"
    );
    serde_json::from_value(browser.run(&script)).unwrap()
}

#[test]
fn the_page_lives_with_the_appliance_and_says_when_it_does_not() {
    let Some(place) = Place::new() else { return };
    let Some(browser) = Browser::start(&place.wire.receiver) else { return };
    let appliance = Appliance::start(&place.wire, &config(&place), &[]);
    let _market = place.market(&[]);
    browser.open(&format!("http://{ADDRESS}/"));

    // Rows, rates and curves are there …
    browser.until("document.querySelectorAll('#lines tbody tr').length == 2");
    browser.until("document.querySelector('#channels').innerText.includes('● live')");
    let is_moving = "[...document.querySelectorAll('#lines tbody tr')]\
        .every(row => row.cells[1] && parseFloat(row.cells[1].textContent) > 0)";
    browser.until(is_moving);
    browser.until("document.querySelectorAll('#books tbody tr').length == 12");
    browser.until("document.querySelector('#events').innerText.includes('warming → live')");
    assert_eq!(cells(&browser, "channels")[0][..2], ["c0", "● live"]);
    assert_eq!(
        cells(&browser, "lines").iter().map(|row| &*row[0]).collect::<Vec<_>>(),
        ["c0 A", "c0 B"]
    );
    let stages: Vec<_> = cells(&browser, "stages").into_iter().map(|row| row[0].clone()).collect();
    for stage in ["wire→worker", "worker→shard", "shard→published", "A before B"] {
        assert!(stages.iter().any(|known| known == stage), "{stage} in {stages:?}");
    }
    assert_eq!(browser.run("return document.title"), "live – nasdaq");

    // … and change.
    let before = curves(&browser, "curves");
    let points = |curve: &String| curve.split(' ').count();
    assert!(before.iter().filter(|curve| points(curve) > 8).count() >= 3, "{before:?}");
    let sequence = cells(&browser, "channels")[0][2].clone();
    browser.until(&format!(
        "document.querySelector('#channels tbody tr').cells[2].textContent != '{sequence}' && \
         document.querySelector('#curves polyline').getAttribute('points') != '{}'",
        before[0]
    ));
    browser.until(
        "document.querySelector('#rates polyline').getAttribute('points').split(' ').length > 5",
    );
    assert_curves_are_those_of_the_vitals(&browser);
    assert_fits(&browser);

    // It asks nobody but the appliance, and could not.
    let own = format!("http://{ADDRESS}/");
    let requests = browser.requests_of(&own);
    assert!(requests.iter().filter(|url| url.ends_with("/status.json")).count() > 5);
    for url in &requests {
        assert!(url.starts_with(&own) || url.starts_with("data:"), "{url}");
    }
    assert_eq!(browser.console(), json!([]), "the console is silent");
    let refused = "try { await fetch('http://127.0.0.1:9515/status'); return 'let through'; } \
        catch (error) { return error.name; }";
    assert_eq!(browser.run(&format!("return (async () => {{ {refused} }})()")), "TypeError");

    // One that stands still: nothing is live until it goes on.
    appliance.stop();
    browser.until("document.body.classList.contains('stale')");
    appliance.signal(Signal::SIGCONT);
    browser.until(
        "!document.body.classList.contains('stale') && document.querySelector('#silent').hidden",
    );
    // One that is gone.
    drop(appliance);
    browser.until("document.body.classList.contains('stale')");
    let said = browser.run("return document.querySelector('#silent').innerText");
    let said = said.as_str().unwrap();
    assert!(said.contains("No answer") && said.contains("is not live"), "{said}");
    let state = browser.run("return document.querySelector('#state').innerText + document.title");
    assert!(!state.as_str().unwrap().contains("live"), "{state}");
    browser.look(390, 844, "light");
    browser.until("innerWidth == 390");
    let state = browser.run("return document.querySelector('#state').innerText");
    assert_eq!(state, "✖ no answer", "another size makes nothing live");
    browser.picture("wt-shots-top-gone.png");
    // Its next start is found without reloading.
    let _next = Appliance::start(&place.wire, &config(&place), &[]);
    browser.until("!document.body.classList.contains('stale')");
    browser.until(is_moving);
}

/// The curve that is drawn last is the one of the vitals that are shown: the same points, on the same
/// axes, worked out here.
fn assert_curves_are_those_of_the_vitals(browser: &Browser) {
    let script = "return [last.stages, [...document.querySelectorAll('#curves polyline')]\
        .map(l => l.getAttribute('points').split(' ').map(p => p.split(',').map(Number)))]";
    let found = browser.run(script);
    let (stages, drawn) = (found[0].as_array().unwrap(), found[1].as_array().unwrap());
    assert_eq!(stages.len(), drawn.len());
    let number = |value: &Value| value.as_f64().unwrap();
    let mut places = Vec::new();
    for (stage, drawn) in stages.iter().zip(drawn) {
        let curve = stage["curve"].as_array().unwrap();
        for (point, place) in curve.iter().zip(drawn.as_array().unwrap()) {
            let decades = -(1.0 - number(&point[0])).log10();
            let height = number(&point[1]).max(1.0).log10();
            places.push(([decades, height], [number(&place[0]), number(&place[1])]));
        }
    }
    assert!(places.len() > 24, "{} points", places.len());
    // Both axes are straight lines in these numbers: two points give each, all others lie on it.
    for axis in [0, 1] {
        let by = |(one, _): &&([f64; 2], [f64; 2]), (other, _): &&([f64; 2], [f64; 2])| {
            one[axis].total_cmp(&other[axis])
        };
        let (low, high) = (places.iter().min_by(by).unwrap(), places.iter().max_by(by).unwrap());
        let slope = (high.1[axis] - low.1[axis]) / (high.0[axis] - low.0[axis]);
        assert!(if axis == 0 { slope > 0.0 } else { slope < 0.0 }, "axis {axis}: {slope}");
        for (is, place) in &places {
            let expected = low.1[axis] + slope * (is[axis] - low.0[axis]);
            assert!((expected - place[axis]).abs() < 0.3, "axis {axis}: {is:?} at {place:?}");
        }
    }
}

/// No size makes it scroll sideways; pictures of it, where they are wanted.
fn assert_fits(browser: &Browser) {
    for (name, width, height) in
        [("phone", 390, 844), ("tablet", 768, 1024), ("desktop", 1280, 900)]
    {
        for scheme in ["light", "dark"] {
            browser.look(width, height, scheme);
            browser.until(&format!("innerWidth == {width}"));
            let widths = "return [document.documentElement.scrollWidth, ...[...document.\
                querySelectorAll('section')].map(s => s.scrollWidth - s.clientWidth)]";
            let widths: Vec<u32> = serde_json::from_value(browser.run(widths)).unwrap();
            assert!(widths[0] <= width, "{name} scrolls sideways: {widths:?}");
            assert!(widths[1..].iter().all(|over| *over == 0), "{name}: {widths:?}");
            let ground = browser.run("return getComputedStyle(document.body).backgroundColor");
            let is_light = ground.as_str().unwrap().contains("24");
            assert_eq!(is_light, scheme == "light", "{scheme}: {ground}");
            browser.until(
                "document.querySelector('#curves polyline').getAttribute('points').length > 50",
            );
            browser.picture(&format!("wt-shots-top-{name}-{scheme}.png"));
        }
    }
}

#[test]
fn what_the_port_answers() {
    let Some(place) = Place::new() else { return };
    let appliance = Appliance::start(&place.wire, &config(&place), &[]);
    let (head, page) = ask(&place, "GET /");
    assert!(
        head.starts_with("http/1.1 200") && head.contains("text/html; charset=utf-8"),
        "{head}"
    );
    for word in ["content-security-policy: default-src 'none'", "connect-src 'self'", "no-store"] {
        assert!(head.contains(word), "{head}");
    }
    assert!(page.starts_with("<!DOCTYPE html>") && page.contains("width=device-width"));
    // The namespace of SVG is a name, and all that looks like an address.
    let addresses: Vec<_> = page.matches("://").collect();
    assert_eq!(addresses.len(), 1, "an address of elsewhere");
    let (head, vitals) = ask(&place, "GET /status.json");
    assert!(head.contains("application/json") && head.contains("no-store"), "{head}");
    let vitals: Value = serde_json::from_str(&vitals).unwrap();
    assert_eq!((&vitals["name"], &vitals["is_alive"]), (&"nasdaq".into(), &true.into()));
    // The page's own look at the segment may be older than the first notice.
    let started = || {
        let vitals: Value = serde_json::from_str(&ask(&place, "GET /status.json").1).unwrap();
        let text = vitals["notices"][0]["text"].as_str().unwrap_or_default();
        text.contains("1 worker, 1 shard, 1 channel")
    };
    assert!(within(PATIENCE, started), "no notice says what has started");
    assert!(ask(&place, "GET /metrics").1.contains("wirebook_"));
    assert!(ask(&place, "GET /nothing").0.starts_with("http/1.1 404"));
    appliance.signal(Signal::SIGTERM);
    appliance.finish();
}
