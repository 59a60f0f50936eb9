//! Every relative link in the documents leads somewhere.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Folders that are not ours to read.
const OTHERS: [&str; 3] = ["target", ".git", "node_modules"];

#[test]
fn links_lead_somewhere() {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap();
    let mut documents = Vec::new();
    find(&repository, &mut documents);
    assert!(documents.len() > 4, "{documents:?}");
    let mut dead = Vec::new();
    for document in &documents {
        let text = fs::read_to_string(document).unwrap();
        for link in links(&text) {
            if !leads_somewhere(document, &link) {
                dead.push(format!(
                    "{}: {link}",
                    document.strip_prefix(&repository).unwrap().display()
                ));
            }
        }
    }
    assert!(dead.is_empty(), "{dead:#?}");
}

#[test]
fn dead_links_are_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let document = folder.path().join("a.md");
    let text = "# One `two`, three\n[b](b.md) [c](c.md#x) `[d](d.md)` [e](#one-two-three) [f](#g) <https://h>";
    fs::write(&document, text).unwrap();
    fs::write(folder.path().join("b.md"), "").unwrap();
    let found = links(text);
    assert_eq!(found, ["b.md", "c.md#x", "#one-two-three", "#g"]);
    let alive: Vec<_> = found.iter().filter(|link| leads_somewhere(&document, link)).collect();
    assert_eq!(alive, ["b.md", "#one-two-three"]);
}

fn find(folder: &Path, documents: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap_or_default();
        if path.is_symlink() || OTHERS.contains(&name) {
            continue;
        } else if path.is_dir() {
            find(&path, documents);
        } else if name.ends_with(".md") {
            documents.push(path);
        }
    }
}

/// The links of a document that are no addresses, outside of code.
fn links(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut is_code = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            is_code = !is_code;
        }
        if is_code {
            continue;
        }
        // Every second piece between backticks is code; a link's own text may have some.
        let prose: String = line.split('`').step_by(2).collect();
        for (place, _) in prose.match_indices("](") {
            let link = prose[place + 2..].split([')', ' ']).next().unwrap_or_default();
            if !link.contains("://") && !link.starts_with("mailto:") {
                found.push(link.to_owned());
            }
        }
    }
    found
}

fn leads_somewhere(document: &Path, link: &str) -> bool {
    let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
    let target = match file {
        "" => document.to_owned(),
        file => document.parent().unwrap().join(file),
    };
    if anchor.is_empty() || target.extension().is_none_or(|kind| kind != "md") {
        return target.exists();
    }
    fs::read_to_string(target).is_ok_and(|text| anchors(&text).contains(anchor))
}

/// What headings can be linked as, by GitHub's rule: lower case, spaces to hyphens, no punctuation.
fn anchors(text: &str) -> HashSet<String> {
    let headings = text.lines().filter(|line| line.starts_with('#'));
    let anchor = |heading: &str| {
        let words = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = words.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    };
    headings.map(anchor).collect()
}
