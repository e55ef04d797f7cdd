//! Logistic regression of two classes: `l2/2 · ||w||² + Σ logloss`, minimised to the last digits by Newton's method.
//!
//! The solver is the SDK's Cholesky over a matrix that keeps indicators as places: optimization libraries bring threads
//! and dense matrices, and stop earlier.

pub mod newton;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stagewright_stage::design::Encoding;
use stagewright_stage::{Failure, Field, Predictor, Reader, Series, Table, Trainer, Values, context, label, state};

use newton::{End, Fit, Next, Problem};

/// What the pipeline's author may set.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Parameters {
    /// The column to predict.
    pub label: String,
    /// The class whose probability is predicted; the last in order (1, or true), if none is named.
    pub positive: Option<label::Class>,
    /// The columns to learn from; all but the label, if none is named.
    pub features: Vec<String>,
    /// Columns not to learn from.
    pub exclude: Vec<String>,
    /// The weight of the penalty `l2/2 · ||w||²` on large weights. The intercept is not penalised.
    #[schemars(range(min = 0.0))]
    pub l2: f64,
    /// The most steps of Newton's method. A dozen are usual.
    #[schemars(range(min = 1))]
    pub max_iterations: u32,
}

impl Default for Parameters {
    fn default() -> Self {
        Self {
            label: String::new(),
            positive: None,
            features: Vec::new(),
            exclude: Vec::new(),
            l2: 1.0,
            max_iterations: 100,
        }
    }
}

/// A linear model of a probability, as it is saved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Weights {
    /// How columns enter the model.
    pub encoding: Encoding,
    /// The two classes.
    pub classes: label::Classes,
    /// One weight for each column of the matrix; the intercept stands at [`Encoding::constant`].
    pub weights: Vec<f64>,
}

/// Fits the model to all columns of the table but the label. `step` sees the number of steps and the objective after
/// each.
pub fn fit(
    table: &Table,
    parameters: &Parameters,
    step: impl FnMut(u32, f64) -> Next,
) -> Result<(Weights, Fit), Failure> {
    let Parameters { l2, max_iterations: iterations, .. } = *parameters;
    if !(l2.is_finite() && l2 >= 0.0) {
        return Err(Failure::invalid_parameter(format!("`l2` is {l2}; it must be 0 or more")));
    }
    if iterations == 0 {
        return Err(Failure::invalid_parameter("`max-iterations` is 0; it must be 1 or more"));
    }
    let label = table.column(&parameters.label)?;
    let label::Binary { positive, classes } = label::binary(label, parameters.positive.as_ref())?;
    let features: Vec<&Series> = table.columns().iter().filter(|column| column.name != label.name).collect();
    label::refuse_leaks(&features, label, Some(&positive))?;
    let encoding = Encoding::learn(&features)?;
    let constant = encoding.constant();
    let mut design = encoding.apply(table)?;
    // The mean of 0 keeps the intercept from spoiling the condition of the system.
    let (means, mut scales) = moments(&features);
    design.subtract(&means);
    scales.resize(design.width(), 1.0);
    let problem = Problem { design: &design, positive: &positive, constant, scales: &scales, l2, iterations };
    let fit = newton::minimise(&problem, step)?;
    if l2 == 0.0 && fit.separated && fit.end != End::Stopped {
        return Err(Failure::invalid_data(
            "the features tell the classes apart without a mistake, so that no weights are large enough: set `l2` above \
             0, and see that no feature gives the label away",
        ));
    }
    let mut weights = fit.weights.clone();
    weights[constant] -= means.iter().zip(&weights).map(|(mean, weight)| mean * weight).sum::<f64>();
    Ok((Weights { encoding, classes, weights }, fit))
}

/// The means and the deviations of the number columns; a deviation of 1 for a column that never changes.
fn moments(features: &[&Series]) -> (Vec<f64>, Vec<f64>) {
    let numbers = features
        .iter()
        .filter(|column| !matches!(column.values, Values::Boolean(_) | Values::Text(_) | Values::Category { .. }));
    numbers.filter_map(|column| column.numeric()).map(|values| moment(&values)).unzip()
}

fn moment(values: &[f64]) -> (f64, f64) {
    let (first, rows) = (values.first().copied().unwrap_or_default(), values.len().max(1) as f64);
    // Around the first value, so that a column that never changes becomes exactly 0.
    let mean = first + values.iter().map(|value| value - first).sum::<f64>() / rows;
    if !mean.is_finite() {
        return (0.0, 1.0);
    }
    let deviation = (values.iter().map(|value| (value - mean) * (value - mean)).sum::<f64>() / rows).sqrt();
    (mean, if deviation > 0.0 { deviation } else { 1.0 })
}

/// The trainer.
pub struct Logistic;

impl Trainer for Logistic {
    type Parameters = Parameters;
    const DOC: &'static str = "Logistic regression of two classes with a penalty on large weights.";

    fn train(training: &mut Reader, _: Option<&mut Reader>, parameters: Parameters) -> Result<Vec<u8>, Failure> {
        let features =
            label::features(training.fields(), &parameters.label, &parameters.features, &parameters.exclude)?;
        let names: Vec<String> =
            features.iter().map(|field| field.name.clone()).chain([parameters.label.clone()]).collect();
        let table = training.read(&names.iter().map(String::as_str).collect::<Vec<_>>())?;
        let (weights, fit) = fit(&table, &parameters, |iteration, objective| {
            context::metric("training-loss", u64::from(iteration), objective / table.rows() as f64);
            context::progress(u64::from(iteration), u64::from(parameters.max_iterations));
            if context::cancelled() { Next::Stop } else { Next::Continue }
        })?;
        let Fit { objective, slope, iterations, .. } = fit;
        context::info(&format!(
            "{} rows, {} weights, {iterations} steps: objective {objective}, largest slope {slope:e}",
            table.rows(),
            weights.weights.len(),
        ));
        if fit.end == End::Limit {
            context::warn(&format!(
                "the weights were still moving after {iterations} steps: raise `max-iterations` or `l2`"
            ));
        }
        state::to_json(&weights)
    }
}

impl Predictor for Weights {
    const DOC: &'static str = "Predicts the probability of the positive class.";

    fn load(weights: &[u8], input: &[Field]) -> Result<Self, Failure> {
        let loaded: Self = state::from_json(weights)?;
        if loaded.weights.len() != loaded.encoding.width() || loaded.weights.iter().any(|weight| !weight.is_finite()) {
            return Err(Failure::invalid_state("the saved weights do not fit their columns"));
        }
        // Refuses classes of two types.
        loaded.classes.predictions(Vec::new())?;
        loaded.encoding.check(input)?;
        Ok(loaded)
    }

    fn input(&self) -> Vec<Field> {
        self.encoding.input()
    }

    fn schema(&self) -> Vec<Field> {
        self.classes.schema()
    }

    fn predict(&self, rows: &Table) -> Result<Table, Failure> {
        let margins = self.encoding.apply(rows)?.times(&self.weights);
        self.classes.predictions(margins.into_iter().map(newton::probability).collect())
    }
}

stagewright_stage::export!(model: Logistic, Weights);
