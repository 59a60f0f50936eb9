//! A headless Chromium in a network namespace, driven by chromedriver's WebDriver (W3C WebDriver,
//! HTTP and JSON).
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::live::PATIENCE;
use crate::live::net::{inside, skip, within};
use serde_json::{Value, json};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// The driver's port; the namespace is the test's own.
const PORT: u16 = 9_515;
/// A browser that starts on a busy host takes its time.
const ANSWER: Duration = Duration::from_secs(120);

/// What keeps Chromium to the page: no display, no GPU, nothing of its own to fetch.
const FLAGS: [&str; 8] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
];

/// A browser with one window.
pub(crate) struct Browser {
    namespace: String,
    driver: Child,
    session: String,
    folder: TempDir,
}

impl Browser {
    /// A browser in this namespace; `None`, with a line that says so, where there is none installed.
    pub(crate) fn start(namespace: &str) -> Option<Self> {
        for program in ["chromedriver", "chromium"] {
            if Command::new(program).arg("--version").output().is_err() {
                skip(&format!("no {program}"));
                return None;
            }
        }
        let folder = crate::common::folder();
        let log = File::create(folder.path().join("log")).unwrap();
        let mut command = Command::new("chromedriver");
        // A group of its own: the browser's processes are ended with it.
        command.arg(format!("--port={PORT}")).process_group(0).env("TMPDIR", folder.path());
        command.env("HOME", folder.path()).stdin(Stdio::null());
        command.stdout(log.try_clone().unwrap()).stderr(log);
        let driver = inside(namespace, || command.spawn().unwrap());
        let session = String::new();
        let mut browser = Self { namespace: namespace.to_owned(), driver, session, folder };
        let is_up = within(4 * PATIENCE, || browser.try_ask("GET", "/status", None).is_some());
        assert!(is_up, "chromedriver does not answer: {}", browser.log());
        let profile =
            format!("--user-data-dir={}", browser.folder.path().join("profile").display());
        let flags: Vec<&str> = FLAGS.into_iter().chain([profile.as_str()]).collect();
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "goog:chromeOptions": {"args": flags},
            "goog:loggingPrefs": {"performance": "ALL", "browser": "ALL"},
        }}});
        let made = browser.ask("POST", "/session", Some(&wanted));
        browser.session = format!("/session/{}", made["sessionId"].as_str().unwrap());
        Some(browser)
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Asks the driver; `None` where it does not answer.
    fn try_ask(&self, method: &str, path: &str, body: Option<&Value>) -> Option<Value> {
        let body = body.map(Value::to_string).unwrap_or_default();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{PORT}\r\nConnection: close\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let json = inside(&self.namespace, || {
            let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, PORT)).ok()?;
            stream.set_read_timeout(Some(ANSWER)).ok()?;
            stream.write_all(request.as_bytes()).ok()?;
            body_of(&mut BufReader::new(stream))
        })?;
        Some(serde_json::from_slice::<Value>(&json).ok()?["value"].take())
    }

    #[track_caller]
    fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Value {
        let answer = self.try_ask(method, path, body);
        let answer = answer.unwrap_or_else(|| panic!("{path}: no answer: {}", self.log()));
        assert!(answer["error"].is_null(), "{path}: {answer}");
        answer
    }

    #[track_caller]
    fn of_session(&self, path: &str, body: &Value) -> Value {
        self.ask("POST", &format!("{}{path}", self.session), Some(body))
    }

    /// Opens a page.
    pub(crate) fn open(&self, url: &str) {
        self.of_session("/url", &json!({"url": url}));
    }

    /// What a function body of JavaScript returns.
    #[track_caller]
    pub(crate) fn run(&self, script: &str) -> Value {
        self.of_session("/execute/sync", &json!({"script": script, "args": []}))
    }

    /// Waits until an expression of JavaScript is true.
    #[track_caller]
    pub(crate) fn until(&self, expression: &str) {
        let is_so = within(4 * PATIENCE, || self.run(&format!("return !!({expression})")) == true);
        assert!(
            is_so,
            "{expression} does not come: {}",
            self.run("return document.body.innerText")
        );
    }

    /// A command of the DevTools protocol.
    #[track_caller]
    pub(crate) fn devtools(&self, command: &str, parameters: &Value) -> Value {
        self.of_session("/goog/cdp/execute", &json!({"cmd": command, "params": parameters}))
    }

    /// Gives the page a size, light or dark.
    pub(crate) fn look(&self, width: u32, height: u32, scheme: &str) {
        let size = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600});
        self.devtools("Emulation.setDeviceMetricsOverride", &size);
        let features = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.devtools("Emulation.setEmulatedMedia", &features);
    }

    /// Every address that pages of this origin have asked for since the last time. The browser's own
    /// first page is none of them.
    pub(crate) fn requests_of(&self, origin: &str) -> Vec<String> {
        let entries = self.of_session("/se/log", &json!({"type": "performance"}));
        let entries = entries.as_array().unwrap().iter();
        let messages = entries.map(|entry| -> Value {
            serde_json::from_str(entry["message"].as_str().unwrap()).unwrap()
        });
        let sent = messages.filter(|m| m["message"]["method"] == "Network.requestWillBeSent");
        let parameters = sent.map(|mut m| m["message"]["params"].take());
        let of_page = parameters.filter(|p| p["documentURL"].as_str().unwrap().starts_with(origin));
        of_page.map(|p| p["request"]["url"].as_str().unwrap().to_owned()).collect()
    }

    /// What the page's console says of mistakes.
    pub(crate) fn console(&self) -> Value {
        self.of_session("/se/log", &json!({"type": "browser"}))
    }

    /// Writes a picture of the whole page into the folder that WIREBOOK_SCREENSHOTS names.
    pub(crate) fn picture(&self, name: &str) {
        let Some(folder) = std::env::var_os("WIREBOOK_SCREENSHOTS") else { return };
        let whole = json!({"format": "png", "captureBeyondViewport": true});
        let picture = self.devtools("Page.captureScreenshot", &whole);
        let file = File::create(Path::new(&folder).join(name)).unwrap();
        let mut decoder = Command::new("base64");
        let mut decoder = decoder.arg("-d").stdin(Stdio::piped()).stdout(file).spawn().unwrap();
        let text = picture["data"].as_str().unwrap();
        decoder.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        assert!(decoder.wait().unwrap().success());
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The browser first, by itself, then whatever is left of its group.
        if !self.session.is_empty() {
            let _ = self.try_ask("DELETE", &self.session, None);
        }
        let group = nix::unistd::Pid::from_raw(self.driver.id() as i32);
        let _ = nix::sys::signal::killpg(group, nix::sys::signal::Signal::SIGKILL);
        let _ = self.driver.wait();
    }
}

/// An answer's body, as long as its head says: the driver keeps its connections open.
fn body_of(answer: &mut impl BufRead) -> Option<Vec<u8>> {
    let mut length = 0;
    for line in answer.by_ref().lines() {
        let line = line.ok()?.to_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    answer.read_exact(&mut body).ok()?;
    Some(body)
}
