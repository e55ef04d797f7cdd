//! A trained model: which features it asks for, what it predicts, and its bytes.
//!
//! The bytes are a marker, a JSON header with its length in front, the base score and the trees.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use stagewright_stage::label::Classes;
use stagewright_stage::{ColumnType, Failure, Field, Series, Values};

use crate::boost::{Forest, Objective};
use crate::bytes::{Bytes, Malformed};
use crate::tree::Tree;

const MARKER: &[u8; 8] = b"swgbdt01";

/// What a feature's column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Yes or no.
    Boolean,
    /// Whole numbers.
    Int64,
    /// Numbers.
    Float64,
    /// Points in time.
    Timestamp,
    /// Text.
    Text,
    /// Text that repeats.
    Category,
}

/// A column that the trees ask for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Feature {
    /// The column's name.
    pub name: String,
    /// What the column held in training.
    pub kind: Kind,
    /// For text and categories, the words of training in sorted order: a value is the place of its word.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub words: Vec<String>,
}

impl Feature {
    /// Learns a feature from its column: for text, which words there are.
    pub fn learn(column: &Series) -> Self {
        let kind = match column.values.kind() {
            ColumnType::Boolean => Kind::Boolean,
            ColumnType::Int64 => Kind::Int64,
            ColumnType::Float64 => Kind::Float64,
            ColumnType::Timestamp => Kind::Timestamp,
            ColumnType::Text => Kind::Text,
            ColumnType::Category => Kind::Category,
        };
        let words: BTreeSet<&str> = (0..column.len()).filter_map(|row| column.word(row)).collect();
        Self { name: column.name.clone(), kind, words: words.into_iter().map(str::to_owned).collect() }
    }

    /// The column that rows must bring.
    pub fn field(&self) -> Field {
        let type_ = match self.kind {
            Kind::Boolean => ColumnType::Boolean,
            Kind::Int64 => ColumnType::Int64,
            Kind::Float64 => ColumnType::Float64,
            Kind::Timestamp => ColumnType::Timestamp,
            Kind::Text => ColumnType::Text,
            Kind::Category => ColumnType::Category,
        };
        Field { name: self.name.clone(), type_, nullable: true }
    }

    /// Refuses a column whose values the trees cannot be asked about.
    pub fn check(&self, kind: ColumnType) -> Result<(), Failure> {
        let text = matches!(kind, ColumnType::Text | ColumnType::Category);
        let (found, needed) = if text { ("text", "numbers") } else { ("numbers", "text") };
        if text == matches!(self.kind, Kind::Text | Kind::Category) {
            return Ok(());
        }
        let name = &self.name;
        Err(Failure::invalid_data(format!("column `{name}` holds {found}; the model was trained on {needed}")))
    }

    /// The column as the numbers that the trees ask for: NaN is missing.
    pub fn encode(&self, column: &Series) -> Result<Vec<f64>, Failure> {
        self.check(column.values.kind())?;
        if let Some(numbers) = column.numeric() {
            return Ok(numbers.into_owned());
        }
        if let Values::Category { codes, words } = &column.values {
            let places: Vec<f64> = words.iter().map(|word| self.code(word)).collect();
            let value = |(row, &code): (usize, &u32)| {
                if column.has(row) { places.get(code as usize).copied().unwrap_or(f64::NAN) } else { f64::NAN }
            };
            return Ok(codes.iter().enumerate().map(value).collect());
        }
        Ok((0..column.len()).map(|row| column.word(row).map_or(f64::NAN, |word| self.code(word))).collect())
    }

    /// The number that stands for a word. A word that training did not have comes before all others.
    fn code(&self, word: &str) -> f64 {
        match self.words.binary_search_by(|known| known.as_str().cmp(word)) {
            Ok(place) => place as f64,
            Err(_) => -1.0,
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Header {
    objective: String,
    features: Vec<Feature>,
    classes: Option<Classes>,
    trees: u32,
}

/// A trained model.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    /// What it predicts.
    pub objective: Objective,
    /// What it asks for, in the order of the trees' feature numbers.
    pub features: Vec<Feature>,
    /// The classes of a binary model's label, so that predictions look like it.
    pub classes: Option<Classes>,
    /// Its trees.
    pub forest: Forest,
}

impl Model {
    /// The prediction for a row, whose features `value` gives. NaN is missing.
    pub fn predict(&self, value: impl Fn(usize) -> f64) -> f64 {
        let mut score = self.forest.base;
        for tree in &self.forest.trees {
            score += tree.score(&value);
        }
        self.objective.predict(score)
    }

    /// The model as bytes.
    pub fn write(&self) -> Result<Vec<u8>, serde_json::Error> {
        let header = serde_json::to_vec(&Header {
            objective: match self.objective {
                Objective::Binary => "binary".into(),
                Objective::Regression => "regression".into(),
            },
            features: self.features.clone(),
            classes: self.classes.clone(),
            trees: self.forest.trees.len() as u32,
        })?;
        let mut bytes = MARKER.to_vec();
        bytes.extend_from_slice(&(header.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&header);
        bytes.extend_from_slice(&self.forest.base.to_le_bytes());
        for tree in &self.forest.trees {
            tree.write(&mut bytes);
        }
        Ok(bytes)
    }

    /// Reads a model. The bytes may come from anyone: whatever they hold, this neither panics nor asks for more
    /// memory than a few times their length.
    pub fn read(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut bytes = Bytes::new(bytes);
        if bytes.take(MARKER.len())? != MARKER {
            return Err(Malformed("they begin with something else"));
        }
        let length = bytes.u32()? as usize;
        let header: Header =
            serde_json::from_slice(bytes.take(length)?).map_err(|_| Malformed("the header cannot be read"))?;
        let objective = match (header.objective.as_str(), &header.classes) {
            ("binary", Some(_)) => Objective::Binary,
            ("regression", None) => Objective::Regression,
            _ => return Err(Malformed("the objective and the classes do not fit")),
        };
        if header.features.iter().any(|feature| !feature.words.is_sorted()) {
            return Err(Malformed("words are out of order"));
        }
        let base = bytes.f64()?;
        if !base.is_finite() {
            return Err(Malformed("the base score is not finite"));
        }
        let mut trees = Vec::new();
        for _ in 0..header.trees {
            trees.push(Tree::read(&mut bytes, header.features.len())?);
        }
        if bytes.left() > 0 {
            return Err(Malformed("more follows than there should be"));
        }
        Ok(Self { objective, features: header.features, classes: header.classes, forest: Forest { base, trees } })
    }
}
