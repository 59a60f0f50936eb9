//! What is written from the code is what lies in the repository, and is true.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::example::{complete, of_table, toml};
use crate::schema::{Key, Table, tables};
use crate::{pages, references, write};
use clap::CommandFactory;
use serde_json::Value;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use wirebook::cli::Cli;
use wirebook::config::{Config, ConfigError};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn parse(text: &str) -> Result<Config, ConfigError> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("wirebook.toml");
    fs::write(&file, text).unwrap();
    Config::read(&file)
}

/// The complete example with everything in it that is commented out.
fn with_all() -> String {
    let is_key = |line: &&str| line.starts_with('#') && !line.starts_with("# ") && line.len() > 1;
    let lines = complete();
    let lines = lines.lines().map(|line| if is_key(&line) { &line[1..] } else { line });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn the_files_in_the_repository_are_those_of_the_code() {
    for (name, text) in references() {
        let file = repository().join(name);
        if std::env::var_os("WIREBOOK_WRITE_DOCS").is_some() {
            fs::write(&file, &text).unwrap();
        }
        let found = fs::read_to_string(&file).unwrap_or_default();
        assert!(
            found == text,
            "{name} is not what the code says: run WIREBOOK_WRITE_DOCS=1 cargo test -p wirebook \
             --example manual"
        );
    }
}

#[test]
fn every_key_is_described_and_has_a_value_to_show() {
    for table in tables() {
        for key in &table.keys {
            let place = format!("{} {}", table.header(), key.name);
            assert!(!key.description.is_empty(), "{place}: no doc comment");
            assert!(
                key.sample().is_some() || key.instead_of.is_some(),
                "{place}: neither a default nor #[schemars(example = …)]"
            );
        }
    }
}

#[test]
fn the_complete_example_is_accepted_plain_and_with_every_key() {
    parse(&complete()).unwrap();
    let all = with_all();
    let config = parse(&all).unwrap();
    assert!(config.record.is_some());
    let value: toml::Value = toml::from_str(&all).unwrap();
    for table in tables() {
        let found = at(&value, &table.path);
        for key in &table.keys {
            let is_there = found.get(&key.name).is_some() || key.instead_of.is_some();
            assert!(is_there, "{} {} is not in the example", table.header(), key.name);
        }
    }
}

#[test]
fn a_key_that_excludes_another_is_accepted_in_its_place() {
    for table in tables() {
        for Key { name, instead_of, .. } in &table.keys {
            let Some(other) = instead_of else { continue };
            let line = format!("{other} = ");
            let is_other = |text: &&str| text.starts_with(&line);
            let all = with_all();
            let found = all.lines().find(is_other).unwrap();
            let own = format!("{name} = \"secret\"");
            parse(&all.replace(found, &own)).unwrap();
            parse(&all.replace(found, &format!("{found}\n{own}"))).unwrap_err();
        }
    }
}

#[test]
fn the_defaults_are_what_the_program_takes() {
    let mut with_defaults = String::new();
    let mut absent: Option<Vec<String>> = None;
    for table in tables() {
        if absent.as_ref().is_some_and(|outer| !table.path.starts_with(outer)) {
            absent = None;
        }
        if absent.is_some() || table.may_be_absent {
            absent.get_or_insert(table.path.clone());
            continue;
        }
        if !table.path.is_empty() {
            let _ = writeln!(with_defaults, "{}", table.header());
        }
        for key in &table.keys {
            let value = key.default.as_ref().or(key.example.as_ref().filter(|_| key.is_required));
            if let Some(value) = value {
                let _ = writeln!(with_defaults, "{} = {}", key.name, toml(value));
            }
        }
    }
    let said = format!("{:#?}", parse(&with_defaults).unwrap());
    let taken = format!("{:#?}", parse(&complete()).unwrap());
    assert_eq!(said, taken);
}

#[test]
fn the_bounds_are_those_that_the_program_enforces() {
    let mut bounds = 0;
    for table in tables() {
        for key in &table.keys {
            let bound = |name: &str| key.shape.get(name).and_then(Value::as_i64);
            for (bound, step) in [(bound("minimum"), -1), (bound("maximum"), 1)] {
                let Some(bound) = bound else { continue };
                with_value(&table, key, bound).unwrap_or_else(|error| {
                    panic!("{} {} = {bound}: {error}", table.header(), key.name)
                });
                let beyond = with_value(&table, key, bound + step);
                assert!(beyond.is_err(), "{} {} = {}", table.header(), key.name, bound + step);
                bounds += 1;
            }
        }
    }
    assert!(bounds > 40, "{bounds} bounds were tried");
}

fn with_value(table: &Table, key: &Key, number: i64) -> Result<Config, ConfigError> {
    let header = table.header();
    let all = with_all();
    let begins =
        if table.path.is_empty() { 0 } else { all.find(&format!("\n{header}\n")).unwrap() };
    let (before, behind) = all.split_at(begins);
    let line = format!("\n{} = ", key.name);
    let place = behind.find(&line).unwrap();
    let end = place + 1 + behind[place + 1..].find('\n').unwrap();
    parse(&format!("{before}{}{line}{number}{}", &behind[..place], &behind[end..]))
}

#[test]
fn each_section_shows_what_toml_takes() {
    for table in tables() {
        toml::from_str::<toml::Table>(&of_table(&table)).unwrap();
    }
}

#[test]
fn every_preset_is_accepted() {
    let presets = fs::read_dir(repository().join("deploy/feeds")).unwrap();
    let presets: Vec<_> = presets.map(|entry| entry.unwrap().path()).collect();
    assert!(presets.len() >= 4);
    for preset in presets {
        Config::read(&preset).unwrap();
    }
}

/// The table at `path`, of lists the first.
fn at<'a>(value: &'a toml::Value, path: &[String]) -> &'a toml::Value {
    let first = |value: &'a toml::Value| value.as_array().map_or(value, |list| &list[0]);
    path.iter()
        .fold(value, |value, name| first(value.get(name).unwrap_or_else(|| panic!("{name}"))))
}

#[test]
fn each_command_has_a_page_that_renders_without_a_warning() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path()).unwrap();
    let man = folder.path().join("man");
    for command in Cli::command().get_subcommands() {
        assert!(man.join(format!("wirebook-{}.1", command.get_name())).is_file());
    }
    for (name, text) in pages::all() {
        let text = String::from_utf8(text).unwrap();
        let sections = text.lines().filter_map(|line| line.strip_prefix(".SH "));
        let sections: Vec<_> = sections.collect();
        assert!(sections.starts_with(&["NAME", "SYNOPSIS", "DESCRIPTION"]), "{name}: {sections:?}");
        let page = man.join(&name);
        let page = page.to_str().unwrap();
        clean("man", &["--warnings", "--encoding=UTF-8", "--local-file", page]);
        clean("mandoc", &["-Tlint", "-Wwarning", page]);
    }
}

/// Runs a program that must have nothing to say against its input; nothing where it is not installed.
fn clean(program: &str, arguments: &[&str]) {
    let ran = Command::new(program).args(arguments).env("MANWIDTH", "80").output();
    let Ok(Output { status, stdout, stderr }) = ran else {
        println!("SKIP: {program} is not installed");
        return;
    };
    // man shows the page itself on standard output; mandoc has nothing else to say there.
    let said = if program == "mandoc" { [stderr, stdout].concat() } else { stderr };
    let said = String::from_utf8_lossy(&said);
    // clap_mangen sets lists of values apart twice, which every reader of man pages takes as once.
    let harmless = |line: &&str| line.contains("skipping paragraph macro: br");
    let found: Vec<_> = said.lines().filter(|line| !harmless(line)).collect();
    let ended_well = status.success() || program == "mandoc";
    assert!(ended_well && found.is_empty(), "{arguments:?}: {found:#?}");
}

#[test]
fn completions_complete() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path()).unwrap();
    let completions = folder.path().join("completions");
    let bash = |words: &[&str]| {
        let script = format!(
            "source {completions:?}/wirebook.bash; COMP_WORDS=({words}); COMP_CWORD={last}; \
             _wirebook wirebook {current:?} {previous:?}; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
            words = words.iter().map(|word| format!("{word:?}")).collect::<Vec<_>>().join(" "),
            last = words.len() - 1,
            current = words[words.len() - 1],
            previous = words[words.len() - 2],
        );
        let ran = Command::new("bash").args(["--norc", "-c", &script]).output().unwrap();
        assert!(ran.status.success() && ran.stderr.is_empty(), "{ran:?}");
        String::from_utf8(ran.stdout).unwrap()
    };
    assert_eq!(bash(&["wirebook", "rep"]), "replay\n");
    assert!(bash(&["wirebook", "run", "--"]).lines().any(|word| word == "--config"));
    assert_eq!(bash(&["wirebook", "tail", "--format", "j"]), "json\n");
    for (shell, file) in [("zsh", "_wirebook"), ("fish", "wirebook.fish")] {
        let file = completions.join(file);
        match Command::new(shell).arg("-n").arg(&file).output() {
            Ok(ran) => assert!(ran.status.success() && ran.stderr.is_empty(), "{ran:?}"),
            Err(_) => println!("SKIP: {shell} is not installed"),
        }
    }
}
