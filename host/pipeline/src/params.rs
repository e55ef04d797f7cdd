//! Parameters: checked against the plugin's JSON Schema before anything runs, defaults filled in.

use std::collections::BTreeMap;

use serde_json::Value;
use stagewright_core::name::nearest;

/// A stage's parameters, with every default filled in.
pub type Parameters = BTreeMap<String, Value>;

/// What is wrong with a parameter.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ParameterProblem {
    /// The top-level parameter that it is about; none where one is missing.
    pub parameter: Option<String>,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// The names of the parameters that a schema knows.
pub fn known(schema: &Value) -> Vec<&str> {
    let properties = schema.get("properties").and_then(Value::as_object);
    properties.map(|properties| properties.keys().map(String::as_str).collect()).unwrap_or_default()
}

/// A schema, prepared once to check many calls of the plugin.
pub struct Checker {
    schema: Value,
    validator: Result<jsonschema::Validator, String>,
}

impl Checker {
    /// Prepares a plugin's schema.
    pub fn new(schema: &Value) -> Self {
        let validator = jsonschema::validator_for(schema).map_err(|error| error.to_string());
        Self { schema: schema.clone(), validator }
    }

    /// Checks parameters and fills in the defaults of those that were left out.
    ///
    /// # Errors
    /// Everything that does not fit.
    pub fn complete(&self, given: &Parameters) -> Result<Parameters, Vec<ParameterProblem>> {
        complete(&self.schema, &self.validator, given)
    }
}

fn complete(
    schema: &Value,
    validator: &Result<jsonschema::Validator, String>,
    given: &Parameters,
) -> Result<Parameters, Vec<ParameterProblem>> {
    let known = known(schema);
    let mut problems: Vec<ParameterProblem> = given
        .keys()
        .filter(|name| !known.contains(&name.as_str()))
        .map(|name| ParameterProblem {
            parameter: Some(name.clone()),
            message: format!("unknown parameter `{name}`"),
            hint: Some(match nearest(name, known.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None if known.is_empty() => "this plugin takes no parameters".to_owned(),
                None => format!("this plugin takes: {}", known.join(", ")),
            }),
        })
        .collect();
    let mut complete = given.clone();
    let properties = schema.get("properties").and_then(Value::as_object);
    for (name, property) in properties.into_iter().flatten() {
        if let Some(default) = property.get("default")
            && !complete.contains_key(name)
        {
            complete.insert(name.clone(), default.clone());
        }
    }
    match validator {
        Ok(validator) => {
            let instance = complete.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
            problems
                .extend(validator.iter_errors(&Value::Object(instance)).filter_map(|error| problem(&error, &known)));
        }
        Err(error) => problems.push(ParameterProblem {
            parameter: None,
            message: format!("the plugin describes its parameters with a schema that is not valid: {error}"),
            hint: Some("this is the plugin author's to mend".to_owned()),
        }),
    }
    if problems.is_empty() { Ok(complete) } else { Err(problems) }
}

fn problem(error: &jsonschema::ValidationError<'_>, known: &[&str]) -> Option<ParameterProblem> {
    let path = error.instance_path().to_string();
    let parameter = path.split('/').nth(1).filter(|name| !name.is_empty()).map(str::to_owned);
    let message = error.to_string();
    // Unknown names at the top level were already said, with the nearest known one.
    if parameter.is_none() && message.contains("Additional properties are not allowed") {
        return None;
    }
    let place = path.trim_start_matches('/').replace('/', ".");
    let message = match place.as_str() {
        "" => message.replace("is a required property", "is required, but the stage does not give it"),
        place => format!("parameter `{place}`: {message}"),
    };
    let hint = (parameter.is_none() && !known.is_empty()).then(|| "give it in `with`".to_owned());
    Some(ParameterProblem { parameter, message, hint })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn schema() -> Value {
        json!({
            "type": "object",
            "additionalProperties": false,
            "required": ["label"],
            "properties": {
                "label": { "type": "string" },
                "l2": { "type": "number", "minimum": 0, "default": 1.0 },
            }
        })
    }

    fn given(value: Value) -> Parameters {
        value.as_object().unwrap().clone().into_iter().collect()
    }

    #[test]
    fn defaults_are_filled_in() {
        let complete = Checker::new(&schema()).complete(&given(json!({ "label": "y" }))).unwrap();
        assert_eq!(complete, given(json!({ "label": "y", "l2": 1.0 })));
    }

    #[test]
    fn each_problem_names_its_parameter() {
        let problems = Checker::new(&schema()).complete(&given(json!({ "l2": -1, "lable": "y" }))).unwrap_err();
        let said: Vec<_> = problems.iter().map(|p| (p.message.as_str(), p.hint.as_deref())).collect();
        assert_eq!(
            said,
            [
                ("unknown parameter `lable`", Some("did you mean `label`?")),
                ("parameter `l2`: -1 is less than the minimum of 0", None),
                ("\"label\" is required, but the stage does not give it", Some("give it in `with`")),
            ]
        );
    }
}
