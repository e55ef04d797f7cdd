//! What follows from counting right and wrong decisions.
//!
//! Undefined is NaN in here and becomes "no value" where a report is made: a model that selects nobody has no
//! precision, and 0 in its place would be a claim.

/// Divides; undefined where there is nothing to divide by.
pub(crate) fn ratio(numerator: f64, denominator: f64) -> f64 {
    if denominator == 0.0 { f64::NAN } else { numerator / denominator }
}

/// How many rows (or how much weight) fell where.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Confusion {
    /// Positive and selected.
    pub true_positives: f64,
    /// Negative, yet selected.
    pub false_positives: f64,
    /// Negative and not selected.
    pub true_negatives: f64,
    /// Positive, yet not selected.
    pub false_negatives: f64,
}

impl Confusion {
    /// Adds `weight` for a row of this label and this decision.
    pub fn add(&mut self, positive: bool, selected: bool, weight: f64) {
        // Without a branch: which cell a row falls into is what a processor cannot foresee.
        let (positive, selected) = (f64::from(u8::from(positive)), f64::from(u8::from(selected)));
        let both = weight * positive * selected;
        self.true_positives += both;
        self.false_positives += weight * selected - both;
        self.false_negatives += weight * positive - both;
        self.true_negatives += weight * (1.0 - positive) * (1.0 - selected);
    }

    /// The cells by name.
    pub fn counts(&self) -> [(&'static str, f64); 4] {
        [
            ("true-positives", self.true_positives),
            ("false-positives", self.false_positives),
            ("true-negatives", self.true_negatives),
            ("false-negatives", self.false_negatives),
        ]
    }

    /// Everything.
    pub fn total(&self) -> f64 {
        self.true_positives + self.false_positives + self.true_negatives + self.false_negatives
    }

    /// Labelled positive.
    pub fn positives(&self) -> f64 {
        self.true_positives + self.false_negatives
    }

    /// Labelled negative.
    pub fn negatives(&self) -> f64 {
        self.true_negatives + self.false_positives
    }

    /// Decided positive.
    pub fn selected(&self) -> f64 {
        self.true_positives + self.false_positives
    }

    /// The share of right decisions.
    pub fn accuracy(&self) -> f64 {
        ratio(self.true_positives + self.true_negatives, self.total())
    }

    /// The mean of the two classes' recalls.
    pub fn balanced_accuracy(&self) -> f64 {
        (self.recall() + ratio(self.true_negatives, self.negatives())) / 2.0
    }

    /// The share of the selected that are positive.
    pub fn precision(&self) -> f64 {
        ratio(self.true_positives, self.selected())
    }

    /// The share of the positive that are selected.
    pub fn recall(&self) -> f64 {
        ratio(self.true_positives, self.positives())
    }

    /// The harmonic mean of precision and recall.
    pub fn f1(&self) -> f64 {
        ratio(2.0 * self.true_positives, self.positives() + self.selected())
    }

    /// The correlation of label and decision.
    pub fn matthews_correlation(&self) -> f64 {
        let numerator = self.true_positives * self.true_negatives - self.false_positives * self.false_negatives;
        // Roots first: the product of four counts may leave the range in which a double is exact.
        let unselected = self.true_negatives + self.false_negatives;
        let denominator = (self.selected() * self.positives()).sqrt() * (self.negatives() * unselected).sqrt();
        ratio(numerator, denominator)
    }

    /// The agreement of label and decision beyond what their shares alone would bring.
    pub fn cohen_kappa(&self) -> f64 {
        let total = self.total();
        let unselected = self.true_negatives + self.false_negatives;
        let expected = self.positives() * self.selected() + self.negatives() * unselected;
        ratio((self.true_positives + self.true_negatives) * total - expected, total * total - expected)
    }

    /// The share of rows labelled positive.
    pub fn base_rate(&self) -> f64 {
        ratio(self.positives(), self.total())
    }

    /// The share of rows decided positive.
    pub fn selection_rate(&self) -> f64 {
        ratio(self.selected(), self.total())
    }
}
