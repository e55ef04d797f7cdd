//! Logistic regression: `l2/2 · ||w||² + Σ logloss`, minimised to the last digits by Newton's method.
//!
//! The solver is the SDK's Cholesky over a matrix that keeps indicators as places: optimization libraries bring threads
//! and dense matrices, and stop earlier.

pub mod multinomial;
pub mod newton;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stagewright_stage::design::Encoding;
use stagewright_stage::several::Several;
use stagewright_stage::{Failure, Field, Predictor, Reader, Series, Table, Trainer, Values, context, label, state};

use multinomial::{Multinomial, Softmax};
use newton::{Binary, End, Fit, Next};

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

impl Parameters {
    fn check(&self) -> Result<(), Failure> {
        if !(self.l2.is_finite() && self.l2 >= 0.0) {
            return Err(Failure::invalid_parameter(format!("`l2` is {}; it must be 0 or more", self.l2)));
        }
        if self.max_iterations == 0 {
            return Err(Failure::invalid_parameter("`max-iterations` is 0; it must be 1 or more"));
        }
        Ok(())
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
    let Parameters { l2, max_iterations, .. } = *parameters;
    parameters.check()?;
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
    let problem = Binary { design: &design, positive: &positive, constant, scales: &scales, l2 };
    let fit = newton::minimise(&problem, problem.start(), max_iterations, step)?;
    refuse_separation(l2, &fit)?;
    let mut weights = fit.weights.clone();
    weights[constant] -= means.iter().zip(&weights).map(|(mean, weight)| mean * weight).sum::<f64>();
    Ok((Weights { encoding, classes, weights }, fit))
}

/// Fits a model of more than two classes to all columns of the table but the label, as [`fit`] does of two.
pub fn fit_several(
    table: &Table,
    parameters: &Parameters,
    step: impl FnMut(u32, f64) -> Next,
) -> Result<(Multinomial, Fit), Failure> {
    let Parameters { l2, max_iterations, .. } = *parameters;
    parameters.check()?;
    if parameters.positive.is_some() {
        return Err(Failure::invalid_parameter("`positive` is for labels of two classes; this one has more"));
    }
    let label = table.column(&parameters.label)?;
    let (classes, codes) = Several::read(label, MOST_CLASSES)?;
    let features: Vec<&Series> = table.columns().iter().filter(|column| column.name != label.name).collect();
    label::refuse_leaks(&features, label, None)?;
    let encoding = Encoding::learn(&features)?;
    let (constant, count) = (encoding.constant(), classes.0.len());
    if encoding.width() * count > MOST_WEIGHTS {
        return Err(Failure::invalid_data(format!(
            "{count} classes of {} columns make {} weights, of which this trainer takes {MOST_WEIGHTS}; exclude columns, \
             or limit their categories",
            encoding.width(),
            encoding.width() * count
        )));
    }
    let mut design = encoding.apply(table)?;
    let (means, mut scales) = moments(&features);
    design.subtract(&means);
    scales.resize(design.width(), 1.0);
    let problem = Softmax { design: &design, classes: &codes, count, constant, scales: &scales, l2 };
    let fit = newton::minimise(&problem, problem.start(), max_iterations, step)?;
    refuse_separation(l2, &fit)?;
    let mut weights: Vec<Vec<f64>> = fit.weights.chunks_exact(design.width()).map(<[f64]>::to_vec).collect();
    for weights in &mut weights {
        weights[constant] -= means.iter().zip(&*weights).map(|(mean, weight)| mean * weight).sum::<f64>();
    }
    // Undoing the centring moved the intercepts apart; together they are free to move.
    let mean = weights.iter().map(|weights| weights[constant]).sum::<f64>() / count as f64;
    weights.iter_mut().for_each(|weights| weights[constant] -= mean);
    Ok((Multinomial { encoding, classes, weights }, fit))
}

/// Beyond this many classes a label is more likely a number.
const MOST_CLASSES: usize = 100;
/// Beyond this many weights their second derivatives no longer fit a sandbox.
const MOST_WEIGHTS: usize = 8192;

fn refuse_separation(l2: f64, fit: &Fit) -> Result<(), Failure> {
    if l2 == 0.0 && fit.separated && fit.end != End::Stopped {
        return Err(Failure::invalid_data(
            "the features tell the classes apart without a mistake, so that no weights are large enough: set `l2` above \
             0, and see that no feature gives the label away",
        ));
    }
    Ok(())
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
    const DOC: &'static str = "Logistic regression with a penalty on large weights.";

    fn train(training: &mut Reader, _: Option<&mut Reader>, parameters: Parameters) -> Result<Vec<u8>, Failure> {
        let features =
            label::features(training.fields(), &parameters.label, &parameters.features, &parameters.exclude)?;
        let names: Vec<String> =
            features.iter().map(|field| field.name.clone()).chain([parameters.label.clone()]).collect();
        let table = training.read(&names.iter().map(String::as_str).collect::<Vec<_>>())?;
        let step = |iteration, objective| {
            context::metric("training-loss", u64::from(iteration), objective / table.rows() as f64);
            context::progress(u64::from(iteration), u64::from(parameters.max_iterations));
            if context::cancelled() { Next::Stop } else { Next::Continue }
        };
        let (model, fit) = if label::is_binary(table.column(&parameters.label)?) {
            let (weights, fit) = fit(&table, &parameters, step)?;
            (Model::Binary(weights), fit)
        } else {
            let (weights, fit) = fit_several(&table, &parameters, step)?;
            (Model::Multinomial(weights), fit)
        };
        let &Fit { objective, slope, iterations, .. } = &fit;
        context::info(&format!(
            "{} rows, {} weights, {iterations} steps: objective {objective}, largest slope {slope:e}",
            table.rows(),
            fit.weights.len(),
        ));
        if fit.end == End::Limit {
            context::warn(&format!(
                "the weights were still moving after {iterations} steps: raise `max-iterations` or `l2`"
            ));
        }
        state::to_json(&model)
    }
}

/// A model of either kind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Model {
    /// Of two classes.
    Binary(Weights),
    /// Of more.
    Multinomial(Multinomial),
}

impl Predictor for Model {
    const DOC: &'static str = "Predicts the probability of the positive class, or of each of several.";

    fn load(weights: &[u8], input: &[Field]) -> Result<Self, Failure> {
        let loaded: Self = state::from_json(weights)?;
        let (sound, encoding) = match &loaded {
            Self::Binary(model) => {
                // Refuses classes of two types.
                model.classes.predictions(Vec::new())?;
                let finite = model.weights.iter().all(|weight| weight.is_finite());
                (model.weights.len() == model.encoding.width() && finite, &model.encoding)
            }
            Self::Multinomial(model) => (model.is_sound(), &model.encoding),
        };
        if !sound {
            return Err(Failure::invalid_state("the saved weights do not fit their columns"));
        }
        encoding.check(input)?;
        Ok(loaded)
    }

    fn input(&self) -> Vec<Field> {
        match self {
            Self::Binary(model) => model.encoding.input(),
            Self::Multinomial(model) => model.encoding.input(),
        }
    }

    fn schema(&self) -> Vec<Field> {
        match self {
            Self::Binary(model) => model.classes.schema(),
            Self::Multinomial(model) => model.schema(),
        }
    }

    fn predict(&self, rows: &Table) -> Result<Table, Failure> {
        match self {
            Self::Binary(model) => {
                let margins = model.encoding.apply(rows)?.times(&model.weights);
                model.classes.predictions(margins.into_iter().map(newton::probability).collect())
            }
            Self::Multinomial(model) => model.predict(rows),
        }
    }
}

stagewright_stage::export!(model: Logistic, Model);
