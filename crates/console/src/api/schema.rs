//! What a call takes and tells, as JSON Schema made of the types that it reads and writes.

use schemars::{JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value};

/// Makes the schema of a type; those it refers to are left with the generator.
pub(crate) type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

/// Of this type.
pub(crate) fn of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

/// A parameter of a query.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parameter {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    /// A whole number; else text.
    pub(crate) is_number: bool,
}

/// The schemas of a whole description: what is read and what is written may differ, as what may be left out does.
pub(crate) struct Schemas {
    taken: SchemaGenerator,
    told: SchemaGenerator,
}

impl Schemas {
    pub(crate) fn new() -> Schemas {
        let settings = |settings: SchemaSettings| {
            settings.with(|settings| settings.definitions_path = "/components/schemas".into())
        };
        Schemas {
            taken: settings(SchemaSettings::draft2020_12().for_deserialize()).into_generator(),
            told: settings(SchemaSettings::draft2020_12().for_serialize()).into_generator(),
        }
    }

    pub(crate) fn taken(&mut self, of: SchemaOf) -> Value {
        of(&mut self.taken).to_value()
    }

    pub(crate) fn told(&mut self, of: SchemaOf) -> Value {
        of(&mut self.told).to_value()
    }

    /// All that were referred to, by name: what is taken, and what is told.
    pub(crate) fn named(mut self) -> [Map<String, Value>; 2] {
        [self.taken.take_definitions(false), self.told.take_definitions(false)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::ROUTES;

    #[test]
    fn a_name_stands_for_one_schema() {
        let mut schemas = Schemas::new();
        for route in ROUTES {
            route.takes.map(|takes| schemas.taken(takes));
            route.tells.map(|tells| schemas.told(tells));
        }
        let [taken, told] = schemas.named();
        for (name, schema) in &taken {
            assert!(
                told.get(name).is_none_or(|other| other == schema),
                "{name} is taken and told, and differs"
            );
        }
        for name in taken.keys().chain(told.keys()) {
            assert!(!name.ends_with(|c: char| c.is_ascii_digit()), "{name}: two types have this name");
        }
    }
}
