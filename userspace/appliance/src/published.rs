//! Which records go to readers, by DBN's names for their schemas.
//!
//! Arrives: names in the configuration. Leaves: what has to be made for them (levels told besides
//! orders, machines run) and, for each record, whether it is published. Records that are of no schema
//! (the end of an interval) always are.

use schemars::{JsonSchema, Schema as JsonShape, SchemaGenerator, json_schema};
use serde::Deserialize;
use std::borrow::Cow;
use wirebook_model::dbn::{RType, Schema, rtype};

/// The schemas that Wirebook makes.
const SCHEMAS: [Schema; 12] = [
    Schema::Mbo,
    Schema::Mbp1,
    Schema::Mbp10,
    Schema::Trades,
    Schema::Ohlcv1S,
    Schema::Ohlcv1M,
    Schema::Ohlcv1H,
    Schema::Ohlcv1D,
    Schema::Status,
    Schema::Imbalance,
    Schema::Definition,
    Schema::Statistics,
];

/// The schemas that readers get.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Vec<String>")]
pub struct Published {
    /// As they were named; `None` for all that books and machines make of themselves: orders, what
    /// venues say, what machines make, but no levels.
    schemas: Option<Vec<Schema>>,
    /// By the number of a record's type.
    types: [bool; 256],
}

impl Default for Published {
    fn default() -> Self {
        let mut types = [true; 256];
        for levels in [rtype::MBP_1, rtype::MBP_10] {
            types[usize::from(levels)] = false;
        }
        Self { schemas: None, types }
    }
}

impl Published {
    /// Whether a record of this type is published.
    #[inline]
    pub fn contains(&self, rtype: u8) -> bool {
        self.types[usize::from(rtype)]
    }

    /// The machines whose records were asked for.
    pub fn machines(&self) -> impl Iterator<Item = &'static str> {
        let made = |schema: &Schema| matches!(schema, Schema::Trades) || is_bars(*schema);
        let schemas = self.schemas.iter().flatten().copied().filter(made);
        schemas.map(|schema| schema.as_str())
    }
}

impl TryFrom<Vec<String>> for Published {
    type Error = String;

    fn try_from(names: Vec<String>) -> Result<Self, String> {
        let by_name = |name: &String| {
            let found = SCHEMAS.into_iter().find(|schema| schema.as_str() == name);
            found.ok_or_else(|| {
                let known: Vec<_> = SCHEMAS.iter().map(|schema| schema.as_str()).collect();
                format!("expected the name of a schema ({}), found {name:?}", known.join(", "))
            })
        };
        let schemas = names.iter().map(by_name).collect::<Result<Vec<_>, _>>()?;
        if schemas.is_empty() {
            return Err("expected at least one schema".into());
        }
        let mut types = [false; 256];
        types[usize::from(rtype::SYSTEM)] = true;
        for &schema in &schemas {
            types[RType::from(schema) as usize] = true;
        }
        Ok(Self { schemas: Some(schemas), types })
    }
}

impl JsonSchema for Published {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Published".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> JsonShape {
        let names = SCHEMAS.map(|schema| schema.as_str());
        json_schema!({
            "type": "array",
            "minItems": 1,
            "items": { "type": "string", "enum": names },
        })
    }
}

fn is_bars(schema: Schema) -> bool {
    matches!(schema, Schema::Ohlcv1S | Schema::Ohlcv1M | Schema::Ohlcv1H | Schema::Ohlcv1D)
}

#[cfg(test)]
mod tests {
    use super::*;
    use wirebook_machine::machines;

    fn published(names: &[&str]) -> Result<Published, String> {
        names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>().try_into()
    }

    #[test]
    fn every_name_is_dbns_and_brings_what_makes_it() {
        let all: Vec<_> = SCHEMAS.iter().map(|schema| schema.as_str()).collect();
        let published_all = published(&all).unwrap();
        for schema in SCHEMAS {
            let one = published(&[schema.as_str()]).unwrap();
            let types: Vec<u8> = (0..=u8::MAX).filter(|rtype| one.contains(*rtype)).collect();
            assert_eq!(types.len(), 2, "{schema}: its own type and the ends of intervals");
            assert!(types.iter().all(|rtype| published_all.contains(*rtype)));
            for machine in one.machines() {
                assert!(machines::by_name(machine).is_ok());
                assert_eq!(machine, schema.as_str());
            }
        }
        assert_eq!(published_all.machines().count(), 5);
    }

    #[test]
    fn what_nobody_makes_is_refused_with_what_there_is() {
        let refused = published(&["mbo", "tbbo"]).unwrap_err();
        assert!(refused.contains("tbbo") && refused.contains("mbp-10"), "{refused}");
        assert!(published(&[]).is_err());
    }

    #[test]
    fn levels_are_published_where_they_are_named() {
        let unnamed = Published::default();
        assert!(unnamed.contains(rtype::MBO) && unnamed.contains(rtype::OHLCV_1S));
        assert!(!unnamed.contains(rtype::MBP_1) && !unnamed.contains(rtype::MBP_10));
        assert_eq!(unnamed.machines().count(), 0);
    }
}
