//! A configuration in which every key stands, as TOML.

use crate::markdown::named;
use crate::schema::{Table, tables};
use serde_json::Value;
use std::fmt::Write;

/// What stands at the head of the complete example.
const HEAD: &str = "\
# Wirebook's configuration: every table and every key.
#
# What is commented out has this value anyway, or is an example of one that may be absent. The same
# with more words: wirebook.toml(5), docs/configuration.md. Check yours before it runs:
#
#   wirebook run --check --config FILE
#
# Presets for venues are in /usr/share/wirebook/feeds, or deploy/feeds of the source.
";

/// The complete example: what may be absent is commented out, by a `#` without a space behind it.
pub(crate) fn complete() -> String {
    let mut text = HEAD.to_owned();
    let mut absent: Option<Vec<String>> = None;
    for table in tables() {
        if absent.as_ref().is_some_and(|outer| !table.path.starts_with(outer)) {
            absent = None;
        }
        if absent.is_none() && table.may_be_absent {
            absent = Some(table.path.clone());
        }
        text.push('\n');
        if !table.path.is_empty() {
            comment(&mut text, &table.description);
            let mark = if absent.is_some() { "#" } else { "" };
            let _ = writeln!(text, "{mark}{}", table.header());
        }
        for key in &table.keys {
            comment(&mut text, &key.description);
            let named = named(&key.shape);
            if !named.is_empty() {
                comment(&mut text, &named.join(", "));
            }
            let is_active = key.is_required && absent.is_none();
            let mark = if is_active { "" } else { "#" };
            match (key.sample(), &key.instead_of) {
                (Some(value), _) => {
                    let _ = writeln!(text, "{mark}{} = {}", key.name, toml(value));
                }
                (None, Some(other)) => {
                    let _ = writeln!(text, "# ({}, instead of {other})", key.name);
                }
                // The test of the example says which key has neither default nor example.
                (None, None) => {}
            }
        }
    }
    text
}

/// A table with all its keys, as short as it can be.
pub(crate) fn of_table(table: &Table) -> String {
    let mut text = String::new();
    if !table.path.is_empty() {
        let _ = writeln!(text, "{}", table.header());
    }
    for (key, value) in table.keys.iter().filter_map(|key| Some((key, key.sample()?))) {
        let _ = writeln!(text, "{} = {}", key.name, toml(value));
    }
    text
}

/// A value as TOML has it; numbers from 10,000 on with separators.
pub(crate) fn toml(value: &Value) -> String {
    match value {
        Value::Number(number) => {
            number.as_u64().map_or_else(|| number.to_string(), |n| grouped(n, '_'))
        }
        Value::Array(values) => {
            format!("[{}]", values.iter().map(toml).collect::<Vec<_>>().join(", "))
        }
        // JSON's strings without control characters are TOML's.
        other => other.to_string(),
    }
}

/// A number whose thousands are set apart, from 10,000 on.
pub(crate) fn grouped(number: u64, separator: char) -> String {
    let digits = number.to_string();
    if digits.len() < 5 {
        return digits;
    }
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(separator);
        }
        text.push(digit);
    }
    text
}

fn comment(text: &mut String, words: &str) {
    let mut line = String::from("#");
    for word in words.split_whitespace() {
        if line.len() + 1 + word.len() > 100 {
            let _ = writeln!(text, "{line}");
            line = String::from("#");
        }
        line.push(' ');
        line.push_str(word);
    }
    let _ = writeln!(text, "{line}");
}
