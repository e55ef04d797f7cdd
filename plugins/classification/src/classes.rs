//! More than two classes: what can be said from labels and predictions alone.

use crate::confusion::{Confusion, ratio};

/// The number of measures over all classes.
pub const CLASS_MEASURES: usize = 13;

/// How often each class was predicted as each.
#[derive(Clone, Debug, PartialEq)]
pub struct ClassConfusion {
    classes: usize,
    /// By label, then by prediction.
    weights: Vec<f64>,
}

/// One class against all others.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClassMeasures {
    /// The share of those predicted to be of the class that are.
    pub precision: f64,
    /// The share of those of the class that are predicted to be.
    pub recall: f64,
    /// Their harmonic mean.
    pub f1: f64,
    /// The weight of the rows of the class.
    pub weight: f64,
    /// The right and wrong decisions, with the class as the positive one.
    pub confusion: Confusion,
}

impl ClassConfusion {
    /// No rows yet.
    pub fn new(classes: usize) -> Self {
        Self { classes, weights: vec![0.0; classes * classes] }
    }

    /// Adds a row.
    pub fn add(&mut self, label: usize, prediction: usize, weight: f64) {
        self.weights[label * self.classes + prediction] += weight;
    }

    /// The weight of rows of one class predicted as another, or the same.
    pub fn weight(&self, label: usize, prediction: usize) -> f64 {
        self.weights[label * self.classes + prediction]
    }

    /// The measures of one class against all others.
    pub fn of_class(&self, class: usize) -> ClassMeasures {
        let (labelled, predicted, both) = (self.labelled(class), self.predicted(class), self.weight(class, class));
        let (false_positives, false_negatives) = (predicted - both, labelled - both);
        let total: f64 = self.weights.iter().sum();
        let true_negatives = total - both - false_positives - false_negatives;
        let confusion = Confusion { true_positives: both, false_positives, true_negatives, false_negatives };
        ClassMeasures {
            precision: confusion.precision(),
            recall: confusion.recall(),
            f1: confusion.f1(),
            weight: labelled,
            confusion,
        }
    }

    /// The measures over all classes by name, in a fixed order. NaN is undefined. Means over classes leave out classes
    /// that no label has; a class that has labels but no predictions makes the mean precisions undefined. Micro means
    /// count each row once for its label and once for its prediction, so that all three are the accuracy.
    pub fn named(&self) -> [(&'static str, f64); CLASS_MEASURES] {
        let total: f64 = self.weights.iter().sum();
        let right: f64 = (0..self.classes).map(|class| self.weight(class, class)).sum();
        let chance: f64 = (0..self.classes).map(|class| self.labelled(class) * self.predicted(class)).sum();
        let squares = |sum: &dyn Fn(usize) -> f64| (0..self.classes).map(|class| sum(class).powi(2)).sum::<f64>();
        let labelled_squares = squares(&|class| self.labelled(class));
        let predicted_squares = squares(&|class| self.predicted(class));
        let spread = ((total * total - predicted_squares) * (total * total - labelled_squares)).sqrt();
        let present: Vec<ClassMeasures> =
            (0..self.classes).map(|class| self.of_class(class)).filter(|measures| measures.weight > 0.0).collect();
        let mean = |value: fn(&ClassMeasures) -> f64| ratio(present.iter().map(value).sum(), present.len() as f64);
        let weighted = |value: fn(&ClassMeasures) -> f64| {
            ratio(present.iter().map(|measures| value(measures) * measures.weight).sum(), total)
        };
        let accuracy = ratio(right, total);
        [
            ("accuracy", accuracy),
            ("balanced-accuracy", mean(|measures| measures.recall)),
            ("precision-macro", mean(|measures| measures.precision)),
            ("recall-macro", mean(|measures| measures.recall)),
            ("f1-macro", mean(|measures| measures.f1)),
            ("precision-micro", accuracy),
            ("recall-micro", accuracy),
            ("f1-micro", accuracy),
            ("precision-weighted", weighted(|measures| measures.precision)),
            ("recall-weighted", weighted(|measures| measures.recall)),
            ("f1-weighted", weighted(|measures| measures.f1)),
            ("matthews-correlation", ratio(right * total - chance, spread)),
            ("cohen-kappa", ratio(right * total - chance, total * total - chance)),
        ]
    }

    fn labelled(&self, class: usize) -> f64 {
        (0..self.classes).map(|prediction| self.weight(class, prediction)).sum()
    }

    fn predicted(&self, class: usize) -> f64 {
        (0..self.classes).map(|label| self.weight(label, class)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_defined_without_rows() {
        assert!(ClassConfusion::new(3).named().iter().all(|(_, value)| value.is_nan()));
    }

    #[test]
    fn every_class_counts_alike_in_a_macro_mean() {
        let mut confusion = ClassConfusion::new(3);
        confusion.add(0, 0, 8.0);
        confusion.add(1, 1, 1.0);
        confusion.add(1, 0, 1.0);
        let named = confusion.named();
        assert_eq!(named[0], ("accuracy", 0.9));
        assert_eq!(named[1], ("balanced-accuracy", 0.75));
    }

    #[test]
    fn two_classes_agree_with_the_binary_measures() {
        let mut classes = ClassConfusion::new(2);
        let mut binary = crate::confusion::Confusion::default();
        for (label, prediction, weight) in [(1, 1, 5.0), (1, 0, 2.0), (0, 1, 3.0), (0, 0, 7.0)] {
            classes.add(label, prediction, weight);
            binary.add(label == 1, prediction == 1, weight);
        }
        let named = classes.named();
        let value = |name| named.iter().find(|(own, _)| *own == name).unwrap().1;
        let expected =
            [binary.accuracy(), binary.balanced_accuracy(), binary.matthews_correlation(), binary.cohen_kappa()];
        for (found, expected) in ["accuracy", "balanced-accuracy", "matthews-correlation", "cohen-kappa"]
            .map(value)
            .into_iter()
            .zip(expected)
        {
            assert!((found - expected).abs() < 1e-12, "{found} and {expected}");
        }
        assert_eq!(classes.of_class(1).confusion, binary);
    }
}
