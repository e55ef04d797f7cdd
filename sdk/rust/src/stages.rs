//! The eight kinds of stage as traits. A plugin implements one of them and names the type in an export macro.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{Failure, Field, Model, Reader, Report, Table, Writer};

/// An input or output table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Port {
    /// Its name; `*` stands for any number of ports that the pipeline names.
    pub name: &'static str,
    /// One sentence for people.
    pub doc: &'static str,
    /// Whether the stage works without it.
    pub optional: bool,
}

impl Port {
    /// A table that must be there.
    pub const fn required(name: &'static str, doc: &'static str) -> Self {
        Self { name, doc, optional: false }
    }

    /// A table that may be absent.
    pub const fn optional(name: &'static str, doc: &'static str) -> Self {
        Self { name, doc, optional: true }
    }
}

/// For stages that take none.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct NoParameters {}

/// Tables in, tables out.
pub trait Preprocessor {
    /// What the pipeline's author may set.
    type Parameters: DeserializeOwned + JsonSchema;
    /// What the stage does, for people.
    const DOC: &'static str;
    /// The tables it reads.
    const INPUTS: &'static [Port] = &[Port::required("table", "The rows to work on.")];
    /// The tables it writes.
    const OUTPUTS: &'static [Port] = &[Port::required("table", "The rows that were worked on.")];
    /// Reads the inputs, writes the outputs.
    fn prepare(
        inputs: &mut [(String, Reader)],
        outputs: &mut [(String, Writer)],
        parameters: Self::Parameters,
    ) -> Result<(), Failure>;
}

/// Feature engineering that learns from the training rows.
pub trait Featurizer: Sized + 'static {
    /// What the pipeline's author may set.
    type Parameters: DeserializeOwned + JsonSchema;
    /// What the stage does, for people.
    const DOC: &'static str;
    /// Learns the state.
    fn fit(training: &mut Reader, parameters: Self::Parameters) -> Result<Vec<u8>, Failure>;
    /// Loads a state for rows of these columns.
    fn load(state: &[u8], input: &[Field]) -> Result<Self, Failure>;
    /// The columns that the rows are read from.
    fn input(&self) -> Vec<Field>;
    /// The columns that `transform` returns.
    fn schema(&self) -> Vec<Field>;
    /// Features for these rows, one for each.
    fn transform(&self, rows: &Table) -> Result<Table, Failure>;
}

/// Learns a model's weights.
pub trait Trainer {
    /// What the pipeline's author may set.
    type Parameters: DeserializeOwned + JsonSchema;
    /// What the stage does, for people.
    const DOC: &'static str;
    /// Learns the weights, in whatever form the predictor reads.
    fn train(
        training: &mut Reader,
        validation: Option<&mut Reader>,
        parameters: Self::Parameters,
    ) -> Result<Vec<u8>, Failure>;
}

/// Applies a model's weights.
pub trait Predictor: Sized + 'static {
    /// What the stage does, for people.
    const DOC: &'static str;
    /// Loads weights for rows of these columns.
    fn load(weights: &[u8], input: &[Field]) -> Result<Self, Failure>;
    /// The columns that the rows are read from.
    fn input(&self) -> Vec<Field>;
    /// The columns that `predict` returns.
    fn schema(&self) -> Vec<Field>;
    /// Predictions for these rows, one for each.
    fn predict(&self, rows: &Table) -> Result<Table, Failure>;
}

/// Judges how good a model's predictions are.
pub trait Evaluator {
    /// What the pipeline's author may set.
    type Parameters: DeserializeOwned + JsonSchema;
    /// What the stage does, for people.
    const DOC: &'static str;
    /// Reports on rows followed by their predictions.
    fn evaluate(scored: &mut Reader, model: Option<&Model>, parameters: Self::Parameters) -> Result<Report, Failure>;
}

/// Judges how a model's decisions fall on groups of people.
pub trait FairnessChecker {
    /// What the pipeline's author may set.
    type Parameters: DeserializeOwned + JsonSchema;
    /// What the stage does, for people.
    const DOC: &'static str;
    /// Reports on rows followed by their predictions.
    fn check(scored: &mut Reader, model: Option<&Model>, parameters: Self::Parameters) -> Result<Report, Failure>;
}

/// Judges whether a table is what it should be.
pub trait Validator {
    /// What the pipeline's author may set.
    type Parameters: DeserializeOwned + JsonSchema;
    /// What the stage does, for people.
    const DOC: &'static str;
    /// Reports on the table.
    fn validate(table: &mut Reader, parameters: Self::Parameters) -> Result<Report, Failure>;
}

/// Judges whether a current table still looks like a reference.
pub trait Monitor {
    /// What the pipeline's author may set.
    type Parameters: DeserializeOwned + JsonSchema;
    /// What the stage does, for people.
    const DOC: &'static str;
    /// Reports on the difference.
    fn observe(
        reference: &mut Reader,
        current: &mut Reader,
        model: Option<&Model>,
        parameters: Self::Parameters,
    ) -> Result<Report, Failure>;
}

/// Reads parameters from JSON.
pub fn parse_parameters<Parameters: DeserializeOwned>(text: &str) -> Result<Parameters, Failure> {
    let text = if text.is_empty() { "{}" } else { text };
    serde_json::from_str(text).map_err(|error| Failure::invalid_parameter(error.to_string()))
}

/// The JSON Schema of parameters, as the contract wants it: draft 2020-12, without references.
pub fn schema_of<Parameters: JsonSchema>() -> String {
    let settings = SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    settings.into_generator().into_root_schema_for::<Parameters>().to_value().to_string()
}
