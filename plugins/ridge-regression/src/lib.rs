//! Ridge regression: `||y - Xw - b||² + l2 · ||w||²`, solved exactly.
//!
//! Numbers are centred first, so that the intercept does not spoil the condition of the system. The solver is the SDK's
//! Cholesky: matrix libraries bring threads and dispatch that a sandbox has no use for.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stagewright_stage::design::Encoding;
use stagewright_stage::{
    ColumnType, Failure, Field, Predictor, Reader, Series, Table, Trainer, Values, context, label, state,
};

/// What the pipeline's author may set.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Parameters {
    /// The column to predict.
    pub label: String,
    /// The columns to learn from; all but the label, if none is named.
    pub features: Vec<String>,
    /// Columns not to learn from.
    pub exclude: Vec<String>,
    /// The weight of the penalty on large weights. The intercept is not penalised.
    #[schemars(range(min = 0.0))]
    pub l2: f64,
}

impl Default for Parameters {
    fn default() -> Self {
        Self { label: String::new(), features: Vec::new(), exclude: Vec::new(), l2: 1.0 }
    }
}

/// A linear model, as it is saved.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Weights {
    /// How columns enter the model.
    pub encoding: Encoding,
    /// One weight for each column of the matrix; the intercept stands at [`Encoding::constant`].
    pub weights: Vec<f64>,
}

/// Fits the model.
pub fn fit(table: &Table, label_name: &str, l2: f64) -> Result<Weights, Failure> {
    if !(l2.is_finite() && l2 >= 0.0) {
        return Err(Failure::invalid_parameter(format!("`l2` is {l2}; it must be 0 or more")));
    }
    let label = table.column(label_name)?;
    let targets = label::regression(label)?;
    let features: Vec<&Series> = table.columns().iter().filter(|column| column.name != label_name).collect();
    label::refuse_leaks(&features, label, None)?;
    let encoding = Encoding::learn(&features)?;
    let mut design = encoding.apply(table)?;
    let means = design.centre();
    let mean = targets.iter().sum::<f64>() / targets.len() as f64;
    let centred: Vec<f64> = targets.iter().map(|target| target - mean).collect();
    let constant = encoding.constant();
    let mut products = design.products(|_| 1.0);
    for place in (0..products.size()).filter(|place| *place != constant) {
        products.row_mut(place)[place] += l2;
    }
    let right = design.transposed_times(&centred);
    let factor = products.clone().factorize();
    let mut weights = factor.solve(&right);
    // One step of refinement wins back the digits that the factorization lost.
    let rest: Vec<f64> = right.iter().zip(products.times(&weights)).map(|(right, found)| right - found).collect();
    weights.iter_mut().zip(factor.solve(&rest)).for_each(|(weight, step)| *weight += step);
    let shift: f64 = means.iter().zip(&weights).map(|(mean, weight)| mean * weight).sum();
    weights[constant] += mean - shift;
    if weights.iter().any(|weight| !weight.is_finite()) {
        return Err(Failure::invalid_data("the values are too large to fit; standardize them first"));
    }
    Ok(Weights { encoding, weights })
}

/// The trainer.
pub struct Ridge;

impl Trainer for Ridge {
    type Parameters = Parameters;
    const DOC: &'static str = "Linear regression with a penalty on large weights.";

    fn train(training: &mut Reader, _: Option<&mut Reader>, parameters: Parameters) -> Result<Vec<u8>, Failure> {
        let features =
            label::features(training.fields(), &parameters.label, &parameters.features, &parameters.exclude)?;
        let names: Vec<String> =
            features.iter().map(|field| field.name.clone()).chain([parameters.label.clone()]).collect();
        let table = training.read(&names.iter().map(String::as_str).collect::<Vec<_>>())?;
        let weights = fit(&table, &parameters.label, parameters.l2)?;
        context::info(&format!("{} rows, {} weights", table.rows(), weights.weights.len()));
        state::to_json(&weights)
    }
}

impl Predictor for Weights {
    const DOC: &'static str = "Predicts with a linear model.";

    fn load(weights: &[u8], input: &[Field]) -> Result<Self, Failure> {
        let loaded: Self = state::from_json(weights)?;
        if loaded.weights.len() != loaded.encoding.width() || loaded.weights.iter().any(|weight| !weight.is_finite()) {
            return Err(Failure::invalid_state("the saved weights do not fit their columns"));
        }
        loaded.encoding.check(input)?;
        Ok(loaded)
    }

    fn input(&self) -> Vec<Field> {
        self.encoding.input()
    }

    fn schema(&self) -> Vec<Field> {
        vec![Field { name: "prediction".into(), type_: ColumnType::Float64, nullable: false }]
    }

    fn predict(&self, rows: &Table) -> Result<Table, Failure> {
        let predictions = self.encoding.apply(rows)?.times(&self.weights);
        Table::new(vec![Series::new("prediction", Values::Float64(predictions))])
    }
}

stagewright_stage::export!(model: Ridge, Weights);
