//! The configuration's reference, `docs/configuration.md`.

use crate::example::{grouped, of_table, toml};
use crate::schema::{Key, Table, tables};
use serde_json::{Map, Value};
use std::fmt::Write;

const HEAD: &str = "\
<!-- Written from the code: WIREBOOK_WRITE_DOCS=1 cargo test -p wirebook --example manual -->
# Configuration

One TOML file configures an appliance: `/etc/wirebook/wirebook.toml` for the service `wirebook`,
`/etc/wirebook/NAME.toml` for `wirebook@NAME`. It is checked as a whole before anything starts, and an
unknown key is a mistake, named with what was expected and what was found:

```sh
wirebook run --check --config /etc/wirebook/wirebook.toml
```

Units end a name (`_ms`, `_us`, `_bytes`). A key whose default is *required* has none; one whose default
is – may be absent, and its row says what that means. Slots are 64 bytes.

[A complete example](../deploy/wirebook.example.toml) holds every key, [presets](../deploy/feeds) one
configuration a venue, and [the JSON schema](../deploy/wirebook.schema.json) lets editors complete and
check a file: with taplo or Even Better TOML, put `#:schema PATH/wirebook.schema.json` into its first line.
";

/// The whole page.
pub(crate) fn page() -> String {
    let mut page = HEAD.to_owned();
    for table in tables() {
        section(&mut page, &table);
    }
    page
}

fn section(page: &mut String, table: &Table) {
    if table.path.is_empty() {
        page.push_str("\n## At the top\n");
    } else {
        let _ = write!(page, "\n## `{}`\n\n{}", table.header(), table.description);
        page.push_str(if table.may_be_absent { " May be absent.\n" } else { "\n" });
    }
    if table.keys.is_empty() {
        return;
    }
    let _ = write!(page, "\n```toml\n{}```\n\n", of_table(table));
    page.push_str("| key | value | default | meaning |\n| --- | --- | --- | --- |\n");
    for key in &table.keys {
        let description = key.description.replace('|', "\\|");
        let _ = writeln!(
            page,
            "| `{}` | {} | {} | {description}{}{} |",
            key.name,
            value(&key.shape),
            default(key),
            choices(&key.shape),
            instead(key),
        );
    }
}

fn default(key: &Key) -> String {
    match &key.default {
        _ if key.is_required => "*required*".into(),
        Some(value) => format!("`{}`", toml(value)),
        None => "–".into(),
    }
}

fn instead(key: &Key) -> String {
    key.instead_of.as_ref().map(|other| format!(" Instead of `{other}`.")).unwrap_or_default()
}

/// What a value is: its kind and its bounds.
pub(crate) fn value(shape: &Map<String, Value>) -> String {
    let named = named(shape);
    if !named.is_empty() {
        return named.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    }
    let kind = shape.get("type").and_then(Value::as_str).unwrap_or("value");
    match kind {
        "array" => {
            let items = shape.get("items").and_then(Value::as_object);
            let items = items.map(value).unwrap_or_default();
            format!("list{} of {items}", bounds(shape, "minItems", "maxItems", " of"))
        }
        "integer" => {
            let bounds = bounds(shape, "minimum", "maximum", "");
            if bounds.is_empty() { "number".into() } else { bounds.trim_start().into() }
        }
        "number" => "number".into(),
        "boolean" => "`true` or `false`".into(),
        _ => match shape.get("format").and_then(Value::as_str) {
            Some("ipv4") => "IPv4 address".into(),
            Some("date") => "date, YYYY-MM-DD".into(),
            _ => "text".into(),
        },
    }
}

/// The values that alone are allowed, as TOML has them; none where there are too many to name.
pub(crate) fn named(shape: &Map<String, Value>) -> Vec<String> {
    constants(shape).map(|(name, _)| name).collect()
}

/// `1 to 4,094`, `64 or more`; nothing where any will do.
fn bounds(shape: &Map<String, Value>, least: &str, most: &str, of: &str) -> String {
    let bound = |name: &str| shape.get(name).and_then(Value::as_u64);
    let number = |number| grouped(number, ',');
    match (bound(least), bound(most)) {
        (None | Some(0), None) => String::new(),
        (None | Some(0), Some(most)) if !of.is_empty() => format!("{of} up to {}", number(most)),
        (None, Some(most)) => format!("{of} 0 to {}", number(most)),
        (Some(least), None) => format!("{of} {} or more", number(least)),
        (Some(least), Some(most)) => format!("{of} {} to {}", number(least), number(most)),
    }
}

/// What each of the values means that have a meaning of their own.
fn choices(shape: &Map<String, Value>) -> String {
    constants(shape).filter(|(_, meaning)| !meaning.is_empty()).fold(
        String::new(),
        |mut text, (name, meaning)| {
            let _ = write!(text, " `{name}`: {}", meaning.replace('\n', " "));
            text
        },
    )
}

/// The values that alone are allowed, as TOML has them, with what is said of them.
fn constants(shape: &Map<String, Value>) -> impl Iterator<Item = (String, &str)> {
    let alone = shape.get("enum").and_then(Value::as_array).into_iter().flatten();
    let said = shape.get("oneOf").and_then(Value::as_array).into_iter().flatten();
    let grouped = said.clone().flat_map(|choice| choice["enum"].as_array().into_iter().flatten());
    let said = said.filter(|choice| !choice["const"].is_null());
    let said = said.map(|choice| (&choice["const"], choice["description"].as_str().unwrap_or("")));
    let all = alone.chain(grouped).map(|value| (value, "")).chain(said);
    all.map(|(value, meaning)| (value.to_string(), meaning))
}
