//! What the tests of metrics share: a plain HTTP client, and an exposition taken apart.
#![allow(dead_code, reason = "each test program uses a part of it")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::live::net::{Pair, ip};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// Where the appliances of these tests listen, each in a namespace of its own.
pub(crate) const LISTEN: &str = "127.0.0.1:9464";

/// The table of the configuration.
pub(crate) fn listening() -> String {
    format!("[metrics]\nlisten = \"{LISTEN}\"\n")
}

/// Gives the receiving namespace its loopback.
pub(crate) fn with_loopback(pair: &Pair) {
    ip(&["-n", &pair.receiver, "link", "set", "lo", "up"]);
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) content_type: String,
    pub(crate) body: String,
}

/// Gets `path` from whoever listens at `address` in the receiving namespace; `None` where nobody
/// answers.
pub(crate) fn get_from(pair: &Pair, address: &str, path: &str) -> Option<Answer> {
    let text = pair.receiving(|| {
        let mut stream = TcpStream::connect(address).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).ok()?;
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).ok()?;
        String::from_utf8(bytes).ok()
    })?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let header = |name: &str| {
        let mut lines = head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    };
    let body = match header("transfer-encoding") {
        Some("chunked") => dechunked(body),
        _ => body.to_owned(),
    };
    Some(Answer {
        status,
        content_type: header("content-type").unwrap_or_default().to_owned(),
        body,
    })
}

fn dechunked(mut text: &str) -> String {
    let mut body = String::new();
    while let Some((size, rest)) = text.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).unwrap();
        body += &rest[..size];
        text = &rest[size + 2..];
    }
    body
}

/// The same from the appliance, which must answer.
pub(crate) fn get(pair: &Pair, path: &str) -> Answer {
    get_from(pair, LISTEN, path).unwrap_or_else(|| panic!("no answer to {path}"))
}

/// One scrape: each sample by its name and labels as they stand there.
pub(crate) fn scrape(pair: &Pair) -> BTreeMap<String, f64> {
    let answer = get(pair, "/metrics");
    assert_eq!(answer.status, 200, "{}", answer.body);
    let samples = answer.body.lines().filter(|line| !line.starts_with('#'));
    let parsed = samples.map(|line| {
        let (name, value) = line.rsplit_once(' ').unwrap();
        (name.to_owned(), value.parse().unwrap())
    });
    parsed.collect()
}
