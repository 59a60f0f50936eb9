//! The configuration's tables and keys, as its types say them.
//!
//! Arrives: the JSON schema that `schemars` derives from [`Config`] and its doc comments. Leaves: the
//! same without `null`, which TOML does not have, and its [`Table`]s in the order of the code.

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value};
use wirebook::config::Config;

/// A table of the configuration.
pub(crate) struct Table {
    /// Its keys' names, from the top: `["channel", "line"]`; empty for the file itself.
    pub(crate) path: Vec<String>,
    /// Whether there may be several: `[[channel]]`.
    pub(crate) is_list: bool,
    /// Whether a configuration may leave it out although it has no defaults for all its keys.
    pub(crate) may_be_absent: bool,
    pub(crate) description: String,
    /// Keys that are no tables themselves.
    pub(crate) keys: Vec<Key>,
}

/// A key and its value.
pub(crate) struct Key {
    pub(crate) name: String,
    pub(crate) description: String,
    /// Whether the table is incomplete without it.
    pub(crate) is_required: bool,
    /// What it is where it is absent.
    pub(crate) default: Option<Value>,
    pub(crate) example: Option<Value>,
    /// Another key of the table, which excludes this one.
    pub(crate) instead_of: Option<String>,
    /// Its schema, without references.
    pub(crate) shape: Map<String, Value>,
}

impl Table {
    /// As a file has it: `[segment]`, `[[channel.line]]`.
    pub(crate) fn header(&self) -> String {
        let path = self.path.join(".");
        if self.is_list { format!("[[{path}]]") } else { format!("[{path}]") }
    }
}

impl Key {
    /// A value for examples; none where another key is meant to stand there.
    pub(crate) fn sample(&self) -> Option<&Value> {
        let default = self.default.as_ref();
        default.filter(|default| !is_empty(default)).or(self.example.as_ref()).or(default)
    }
}

/// The schema, for editors.
pub(crate) fn schema() -> Value {
    let generator = SchemaSettings::draft07().into_generator();
    let mut schema = generator.into_root_schema_for::<Config>().to_value();
    schema["title"] = "Wirebook's configuration".into();
    remove_null(&mut schema);
    schema
}

/// Every table of the configuration, each behind the one that holds it.
pub(crate) fn tables() -> Vec<Table> {
    let root = schema();
    let shape = root.as_object().expect("a schema of a struct is an object").clone();
    let mut tables = Vec::new();
    add_table(&root, &[], false, false, &shape, &mut tables);
    tables
}

fn add_table(
    root: &Value,
    path: &[String],
    is_list: bool,
    may_be_absent: bool,
    shape: &Map<String, Value>,
    tables: &mut Vec<Table>,
) {
    let required: Vec<_> =
        shape.get("required").and_then(Value::as_array).into_iter().flatten().collect();
    let (mut keys, mut inner) = (Vec::new(), Vec::new());
    for (name, property) in shape["properties"].as_object().expect("a table has properties") {
        let is_required = required.iter().any(|key| *key == name);
        let property = resolved(root, property);
        let items = property.get("items").map(|items| resolved(root, items));
        match items {
            Some(items) if is_table(&items) => {
                inner.push((name, true, is_required, property, items))
            }
            _ if is_table(&property) => {
                inner.push((name, false, is_required, property.clone(), property));
            }
            _ => keys.push(key(name, is_required, property, items)),
        }
    }
    tables.push(Table {
        path: path.to_vec(),
        is_list,
        may_be_absent,
        description: text(shape, "description"),
        keys,
    });
    for (name, is_list, is_required, property, mut shape) in inner {
        // What the field says of the table is said in its place; what the type says, where it says more.
        let (of_field, of_type) = (text(&property, "description"), text(&shape, "description"));
        let description = if of_type.len() > of_field.len() { of_type } else { of_field };
        shape.insert("description".into(), description.into());
        let path = [path, std::slice::from_ref(name)].concat();
        let has_required = shape.get("required").is_some_and(|keys| keys != &Value::Array(vec![]));
        add_table(root, &path, is_list, !is_required && has_required, &shape, tables);
    }
}

fn key(
    name: &str,
    is_required: bool,
    mut shape: Map<String, Value>,
    items: Option<Map<String, Value>>,
) -> Key {
    if let Some(items) = items {
        shape.insert("items".into(), Value::Object(items));
    }
    let example = shape.get("examples").and_then(|examples| examples.get(0)).cloned();
    Key {
        name: name.to_owned(),
        description: text(&shape, "description"),
        is_required,
        default: shape.get("default").cloned(),
        example,
        instead_of: shape.get("x-instead-of").and_then(Value::as_str).map(str::to_owned),
        shape,
    }
}

fn is_table(shape: &Map<String, Value>) -> bool {
    shape.get("type").is_some_and(|kind| kind == "object")
}

fn is_empty(value: &Value) -> bool {
    value.as_array().is_some_and(Vec::is_empty) || value.as_str().is_some_and(str::is_empty)
}

fn text(shape: &Map<String, Value>, key: &str) -> String {
    shape.get(key).and_then(Value::as_str).unwrap_or_default().replace('\n', " ")
}

/// The schema with what it refers to in it; its own words come first.
fn resolved(root: &Value, shape: &Value) -> Map<String, Value> {
    let mut own = shape.as_object().expect("a schema of a field is an object").clone();
    let mut references: Vec<String> = Vec::new();
    references.extend(own.remove("$ref").and_then(|found| found.as_str().map(str::to_owned)));
    for alternative in own.remove("allOf").iter().flat_map(|all| all.as_array()).flatten() {
        references.extend(alternative["$ref"].as_str().map(str::to_owned));
    }
    for reference in references {
        let pointer = reference.trim_start_matches('#');
        let target = root.pointer(pointer).expect("schemars defines what it refers to");
        for (key, value) in resolved(root, target) {
            own.entry(key).or_insert(value);
        }
    }
    own
}

/// TOML has no `null`: a value that may be `null` is a key that may be absent.
fn remove_null(value: &mut Value) {
    match value {
        Value::Object(shape) => {
            let is_null = |value: &Value| value == "null" || value["type"] == "null";
            if shape.get("default").is_some_and(Value::is_null) {
                shape.remove("default");
            }
            if let Some(Value::Array(kinds)) = shape.get_mut("type") {
                kinds.retain(|kind| !is_null(kind));
                if let [only] = kinds.as_slice() {
                    shape["type"] = only.clone();
                }
            }
            if let Some(Value::Array(values)) = shape.get_mut("enum") {
                values.retain(|value| !value.is_null());
            }
            if let Some(Value::Array(mut choices)) = shape.remove("anyOf") {
                choices.retain(|choice| !is_null(choice));
                shape.insert("allOf".into(), Value::Array(choices));
            }
            shape.values_mut().for_each(remove_null);
        }
        Value::Array(values) => values.iter_mut().for_each(remove_null),
        _ => {}
    }
}
