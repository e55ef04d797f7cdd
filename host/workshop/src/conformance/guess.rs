//! Parameters: what the kit gives a stage that it knows nothing about but a JSON Schema.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::samples::LABEL;

/// Parameters by name.
pub type Parameters = BTreeMap<String, Value>;

/// Columns of the samples that a parameter may name.
const COLUMN: &str = "word";

/// The schema that a reference inside the same document leads to.
fn resolved<'a>(schema: &'a Value, root: &'a Value) -> &'a Value {
    let mut schema = schema;
    // A plugin may send us in circles.
    for _ in 0..8 {
        let target = schema.get("$ref").and_then(Value::as_str).and_then(|path| path.strip_prefix('#'));
        match target.and_then(|path| root.pointer(path)) {
            Some(target) => schema = target,
            None => break,
        }
    }
    schema
}

/// The properties that the schema knows.
pub(crate) fn properties(schema: &Value) -> impl Iterator<Item = (&String, &Value)> {
    schema.get("properties").and_then(Value::as_object).into_iter().flatten()
}

/// What the stage is given: what was asked for, the label where there is one, and something for what is required.
pub(crate) fn guess(schema: &Value, with: &Parameters) -> Parameters {
    let required = schema.get("required").and_then(Value::as_array);
    let is_required = |name: &str| required.is_some_and(|all| all.iter().any(|one| one == name));
    let mut all = Parameters::new();
    for (name, property) in properties(schema) {
        if let Some(value) = with.get(name) {
            all.insert(name.clone(), value.clone());
        } else if ["label", "target"].contains(&name.as_str()) {
            all.insert(name.clone(), json!(LABEL));
        } else if is_required(name) && property.get("default").is_none() {
            all.insert(name.clone(), value(property, schema, 0));
        }
    }
    all
}

/// The simplest value that fits.
fn value(schema: &Value, root: &Value, depth: u32) -> Value {
    let schema = resolved(schema, root);
    if depth > 4 {
        return Value::Null;
    }
    for key in ["default", "const"] {
        if let Some(value) = schema.get(key) {
            return value.clone();
        }
    }
    for key in ["examples", "enum"] {
        if let Some(value) = schema.get(key).and_then(Value::as_array).and_then(|values| values.first()) {
            return value.clone();
        }
    }
    for key in ["anyOf", "oneOf"] {
        if let Some(first) = schema.get(key).and_then(Value::as_array).and_then(|schemas| schemas.first()) {
            return value(first, root, depth + 1);
        }
    }
    let kind = match schema.get("type") {
        Some(Value::String(kind)) => kind.as_str(),
        Some(Value::Array(kinds)) => kinds.first().and_then(Value::as_str).unwrap_or("null"),
        _ => "string",
    };
    let number = |key: &str| schema.get(key).and_then(Value::as_f64);
    match kind {
        "boolean" => json!(false),
        "integer" => json!(
            number("minimum").map_or_else(|| number("exclusiveMinimum").map_or(1, |n| n as i64 + 1), |n| n as i64)
        ),
        "number" => match (number("minimum"), number("exclusiveMinimum"), number("exclusiveMaximum")) {
            (Some(least), ..) => json!(least),
            (None, Some(below), Some(above)) => json!((below + above) / 2.0),
            (None, Some(below), None) => json!(below + 1.0),
            _ => json!(1.0),
        },
        "array" => {
            let items = schema.get("items").map(|items| value(items, root, depth + 1));
            let least = schema.get("minItems").and_then(Value::as_u64).unwrap_or(1).min(8);
            Value::Array((0..least.max(1)).map(|_| items.clone().unwrap_or(json!(COLUMN))).collect())
        }
        "object" => {
            let required = schema.get("required").and_then(Value::as_array).into_iter().flatten();
            let named = required.filter_map(Value::as_str).filter_map(|name| {
                let property = schema.get("properties")?.get(name)?;
                Some((name.to_owned(), value(property, root, depth + 1)))
            });
            Value::Object(named.collect::<Map<_, _>>())
        }
        "null" => Value::Null,
        _ => json!(COLUMN),
    }
}

/// The parameters with every default filled in, as a pipeline's stage gets them.
pub(crate) fn complete(schema: &Value, given: &Parameters) -> Parameters {
    let mut all = given.clone();
    for (name, property) in properties(schema) {
        if let Some(default) = property.get("default") {
            all.entry(name.clone()).or_insert_with(|| default.clone());
        }
    }
    all
}

/// For each parameter a value that its own schema refuses; none for those that take anything.
pub(crate) fn wrong(schema: &Value, given: &Parameters) -> Vec<(String, Value)> {
    let Ok(validator) = jsonschema::validator_for(schema) else { return Vec::new() };
    let candidates = [
        json!({ "no": ["such", "thing"] }),
        json!([{ "no": "such thing" }]),
        json!("no such word"),
        json!(true),
        json!(-7.5),
    ];
    let refused = |name: &String| {
        let refused = candidates.iter().find(|candidate| {
            let mut all = complete(schema, given);
            all.insert(name.clone(), (*candidate).clone());
            !validator.is_valid(&Value::Object(all.into_iter().collect()))
        });
        Some((name.clone(), refused?.clone()))
    };
    properties(schema).filter_map(|(name, _)| refused(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_required_gets_the_simplest_value_that_fits() {
        let schema = json!({
            "required": ["label", "protected", "rate", "depth", "kind", "nested"],
            "properties": {
                "label": { "type": "string" },
                "protected": { "type": "array", "items": { "type": "string" }, "minItems": 2 },
                "rate": { "type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1 },
                "depth": { "type": "integer", "minimum": 3 },
                "kind": { "$ref": "#/$defs/kind" },
                "nested": { "type": "object", "required": ["on"], "properties": { "on": { "type": "boolean" } } },
                "left-out": { "type": "string" },
                "given": { "type": "string" },
            },
            "$defs": { "kind": { "enum": ["near", "far"] } }
        });
        let with = Parameters::from([("given".to_owned(), json!("this")), ("of-another-stage".to_owned(), json!(1))]);
        let expected = json!({
            "label": "label", "protected": ["word", "word"], "rate": 0.5, "depth": 3, "kind": "near",
            "nested": { "on": false }, "given": "this",
        });
        assert_eq!(Value::Object(guess(&schema, &with).into_iter().collect()), expected);
    }

    #[test]
    fn a_reference_in_circles_ends() {
        let schema = json!({ "required": ["a"], "properties": { "a": { "$ref": "#/properties/a" } } });
        assert_eq!(guess(&schema, &Parameters::new()).len(), 1);
    }

    #[test]
    fn a_wrong_value_is_one_that_the_schema_refuses() {
        let schema = json!({ "type": "object", "properties": {
            "number": { "type": "number" }, "object": { "type": "object" }, "anything": {},
        } });
        let wrong = wrong(&schema, &Parameters::new());
        assert_eq!(wrong.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["number", "object"]);
        assert!(wrong[0].1.is_object() && wrong[1].1.is_array());
    }
}
