//! The stage: from a table to weights, and from weights to predictions.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stagewright_stage::label::{self, Class, Classes};
use stagewright_stage::{Failure, Field, Predictor, Reader, Series, Table, Trainer, Values, context};

use crate::bins::{Binned, Cuts, MOST_BINS};
use crate::boost::{Next, Objective, Round, Sample, Settings, boost};
use crate::model::{Feature, Model};

/// How many columns are read at a time: enough to save passes over the table, few enough to save memory.
const COLUMNS_AT_A_TIME: usize = 32;

/// What to learn.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Goal {
    /// Binary where the label has two classes, else regression.
    #[default]
    Auto,
    /// The probability of the positive class.
    Binary,
    /// A number.
    Regression,
}

/// What a pipeline may say about the training of boosted trees. The defaults are LightGBM's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Parameters {
    /// The column to predict.
    pub label: String,
    /// The class whose probability is the score. Absent: the last in sort order, 1 or true.
    pub positive: Option<Class>,
    /// Logistic loss for two classes, or squared error for numbers.
    pub objective: Goal,
    /// The columns to learn from. Empty: all but the label and the excluded ones.
    pub features: Vec<String>,
    /// Columns to leave out.
    pub exclude: Vec<String>,
    /// The most trees.
    #[schemars(range(min = 1, max = 100_000))]
    pub rounds: u32,
    /// By how much each tree's values are shrunk.
    pub learning_rate: f64,
    /// The most leaves of a tree.
    #[schemars(range(min = 2, max = 65_536))]
    pub leaves: u32,
    /// The fewest rows of a leaf.
    pub min_data_in_leaf: u32,
    /// The smallest sum of hessians in a leaf.
    pub min_hessian: f64,
    /// The smallest gain of a split.
    pub min_gain: f64,
    /// The L2 penalty on leaf values.
    pub l2: f64,
    /// The most bins of a feature.
    #[schemars(range(min = 2, max = 255))]
    pub bins: u32,
    /// The share of the rows that each tree sees, chosen by the seed.
    pub subsample: f64,
    /// The share of the features that each tree sees, chosen by the seed.
    pub feature_fraction: f64,
    /// Stop after so many rounds without a better loss on the validation table, and keep the best trees; 0 is never.
    pub early_stopping: u32,
}

impl Default for Parameters {
    fn default() -> Self {
        Self {
            label: String::new(),
            positive: None,
            objective: Goal::Auto,
            features: vec![],
            exclude: vec![],
            rounds: 100,
            learning_rate: 0.1,
            leaves: 31,
            min_data_in_leaf: 20,
            min_hessian: 1e-3,
            min_gain: 0.0,
            l2: 0.0,
            bins: 255,
            subsample: 1.0,
            feature_fraction: 1.0,
            early_stopping: 0,
        }
    }
}

impl Parameters {
    fn settings(&self, seed: u64) -> Result<Settings, Failure> {
        let ranges = [
            ("rounds", f64::from(self.rounds), 1.0, 100_000.0),
            ("learning-rate", self.learning_rate, 1e-9, 10.0),
            ("leaves", f64::from(self.leaves), 2.0, 65_536.0),
            ("min-hessian", self.min_hessian, 0.0, f64::MAX),
            ("min-gain", self.min_gain, 0.0, f64::MAX),
            ("l2", self.l2, 0.0, f64::MAX),
            ("bins", f64::from(self.bins), 2.0, MOST_BINS as f64),
            ("subsample", self.subsample, 1e-9, 1.0),
            ("feature-fraction", self.feature_fraction, 1e-9, 1.0),
        ];
        for (name, value, least, most) in ranges {
            if !(least..=most).contains(&value) {
                return Err(Failure::invalid_parameter(format!("`{name}` is {value}; it must be in {least}..={most}")));
            }
        }
        Ok(Settings {
            rounds: self.rounds as usize,
            learning_rate: self.learning_rate,
            leaves: self.leaves as usize,
            least_rows: self.min_data_in_leaf as usize,
            least_hessian: self.min_hessian,
            least_gain: self.min_gain,
            l2: self.l2,
            subsample: self.subsample,
            feature_fraction: self.feature_fraction,
            patience: self.early_stopping as usize,
            seed,
        })
    }
}

/// The trainer.
#[derive(Debug)]
pub struct BoostedTrees;

/// The labels as numbers, and the classes if there are two.
fn target(column: &Series, parameters: &Parameters) -> Result<(Vec<f64>, Option<Classes>), Failure> {
    let binary = match parameters.objective {
        Goal::Binary => true,
        Goal::Regression => false,
        Goal::Auto => match &column.values {
            Values::Int64(_) | Values::Float64(_) => {
                let mut kinds: Vec<f64> = Vec::new();
                for value in column.numeric().unwrap_or_default().iter().copied() {
                    if kinds.len() < 3 && !value.is_nan() && !kinds.contains(&value) {
                        kinds.push(value);
                    }
                }
                kinds.len() == 2
            }
            _ => true,
        },
    };
    if binary {
        let label = label::binary(column, parameters.positive.as_ref())?;
        let labels = label.positive.iter().map(|&positive| f64::from(u8::from(positive))).collect();
        Ok((labels, Some(label.classes)))
    } else {
        Ok((label::regression(column)?, None))
    }
}

/// The validation table's labels as numbers: rows may all be of one class, but of no third one.
fn validation_target(column: &Series, classes: Option<&Classes>) -> Result<Vec<f64>, Failure> {
    let Some(classes) = classes else { return label::regression(column) };
    let (positive, negative) = (classes.positive.to_string(), classes.negative.to_string());
    let value = |row: usize| match column.display(row) {
        Some(class) if class == positive => Ok(1.0),
        Some(class) if class == negative => Ok(0.0),
        other => Err(Failure::invalid_data(format!(
            "the validation label `{}` is {} in row {}; training had `{negative}` and `{positive}`",
            column.name,
            other.map_or("missing".into(), |class| format!("`{class}`")),
            row + 1
        ))),
    };
    (0..column.len()).map(value).collect()
}

impl Trainer for BoostedTrees {
    type Parameters = Parameters;
    const DOC: &'static str = "Trains gradient-boosted trees for two classes or for a number.";

    fn train(
        training: &mut Reader,
        validation: Option<&mut Reader>,
        parameters: Parameters,
    ) -> Result<Vec<u8>, Failure> {
        let settings = parameters.settings(context::seed())?;
        let fields = training.fields().to_vec();
        let wanted = label::features(&fields, &parameters.label, &parameters.features, &parameters.exclude)?;
        let names: Vec<&str> = wanted.iter().map(|field| field.name.as_str()).collect();
        let label_table = training.read(&[&parameters.label])?;
        let label_column = label_table.column(&parameters.label)?;
        let (labels, classes) = target(label_column, &parameters)?;
        let positive: Option<Vec<bool>> = classes.as_ref().map(|_| labels.iter().map(|&label| label > 0.0).collect());

        let (mut features, mut cuts) = (Vec::new(), Vec::new());
        let mut table = Binned::new(labels.len());
        for names in names.chunks(COLUMNS_AT_A_TIME) {
            for column in training.read(names)?.columns() {
                label::refuse_leaks(&[column], label_column, positive.as_deref())?;
                let feature = Feature::learn(column);
                let values = feature.encode(column)?;
                let learned = Cuts::learn(&values, parameters.bins as usize, LEAST_ROWS_IN_BIN);
                table.push(&learned, &values);
                features.push(feature);
                cuts.push(learned);
            }
            context::progress(features.len() as u64, wanted.len() as u64);
        }
        let sample = Sample { table: &table, labels: &labels };
        let watched = validation.map(|reader| watched(reader, &parameters, classes.as_ref(), &features, &cuts));
        let watched = watched.transpose()?;
        let watched = watched.as_ref().map(|(table, labels)| Sample { table, labels });
        let objective = if classes.is_some() { Objective::Binary } else { Objective::Regression };
        let forest = boost(objective, &cuts, sample, watched, &settings, |round| report(round, settings.rounds));
        let model = Model { objective, features, classes, forest };
        model.write().map_err(|error| Failure::internal(format!("the weights cannot be written: {error}")))
    }
}

/// LightGBM's `min_data_in_bin`.
const LEAST_ROWS_IN_BIN: usize = 3;

/// The rows to watch while learning, in the bins of training.
fn watched(
    reader: &mut Reader,
    parameters: &Parameters,
    classes: Option<&Classes>,
    features: &[Feature],
    cuts: &[Cuts],
) -> Result<(Binned, Vec<f64>), Failure> {
    let labels = reader.read(&[&parameters.label])?;
    let labels = validation_target(labels.column(&parameters.label)?, classes)?;
    let mut table = Binned::new(labels.len());
    for (feature, cuts) in features.iter().zip(cuts) {
        let column = reader.read(&[&feature.name])?;
        table.push(cuts, &feature.encode(column.column(&feature.name)?)?);
    }
    Ok((table, labels))
}

fn report(round: Round, rounds: usize) -> Next {
    context::metric("training-loss", round.trees as u64, round.training);
    if let Some(loss) = round.validation {
        context::metric("validation-loss", round.trees as u64, loss);
    }
    context::progress(round.trees as u64, rounds as u64);
    if context::cancelled() { Next::Stop } else { Next::Continue }
}

/// The predictor.
#[derive(Debug)]
pub struct Trees(Model);

impl Predictor for Trees {
    const DOC: &'static str = "Predicts with gradient-boosted trees.";

    fn load(weights: &[u8], input: &[Field]) -> Result<Self, Failure> {
        let model = Model::read(weights).map_err(|error| Failure::invalid_state(error.to_string()))?;
        for feature in &model.features {
            let field = input.iter().find(|field| field.name == feature.name).ok_or_else(|| {
                Failure::invalid_data(format!("the table has no column `{}`, which the model asks for", feature.name))
            })?;
            feature.check(field.type_)?;
        }
        Ok(Self(model))
    }

    fn input(&self) -> Vec<Field> {
        self.0.features.iter().map(Feature::field).collect()
    }

    fn schema(&self) -> Vec<Field> {
        match &self.0.classes {
            Some(classes) => classes.schema(),
            None => vec![Series::of_floats("prediction", vec![]).field()],
        }
    }

    fn predict(&self, rows: &Table) -> Result<Table, Failure> {
        let model = &self.0;
        let columns = model.features.iter().map(|feature| feature.encode(rows.column(&feature.name)?));
        let columns = columns.collect::<Result<Vec<_>, Failure>>()?;
        let predictions = (0..rows.rows()).map(|row| model.predict(|feature| columns[feature][row])).collect();
        match &model.classes {
            Some(classes) => classes.predictions(predictions),
            None => Table::new(vec![Series::new("prediction", Values::Float64(predictions))]),
        }
    }
}
