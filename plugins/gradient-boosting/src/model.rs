//! A trained model: which features it asks for, what it predicts, and its bytes.
//!
//! The bytes are a marker, a JSON header with its length in front, the base score and the trees.

use serde::{Deserialize, Serialize};

use crate::boost::{Forest, Objective};
use crate::bytes::{Bytes, Malformed};
use crate::tree::Tree;

const MARKER: &[u8; 8] = b"swgbdt01";

/// Text that a feature's values may have, numbered in sorted order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Feature {
    /// The column's name.
    pub name: String,
    /// The column's type, as the contract names it.
    pub r#type: String,
    /// For text and categories, the words of training in sorted order: a value is the place of its word.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub words: Vec<String>,
}

impl Feature {
    /// The number that stands for a word. A word that training did not have comes before all others.
    pub fn code(&self, word: &str) -> f64 {
        match self.words.binary_search_by(|known| known.as_str().cmp(word)) {
            Ok(place) => place as f64,
            Err(_) => -1.0,
        }
    }
}

/// The label that training had, so that predictions look like it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Label {
    /// The column's name.
    pub name: String,
    /// The column's type, as the contract names it.
    pub r#type: String,
    /// For a binary model, the negative class and the positive one; empty for a regression.
    pub classes: Vec<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Header {
    objective: String,
    features: Vec<Feature>,
    label: Label,
    trees: u32,
}

/// A trained model.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    /// What it predicts.
    pub objective: Objective,
    /// What it asks for, in the order of the trees' feature numbers.
    pub features: Vec<Feature>,
    /// What it was trained on.
    pub label: Label,
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
            label: self.label.clone(),
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
        let objective = match (header.objective.as_str(), header.label.classes.len()) {
            ("binary", 2) => Objective::Binary,
            ("regression", 0) => Objective::Regression,
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
        Ok(Self { objective, features: header.features, label: header.label, forest: Forest { base, trees } })
    }
}
