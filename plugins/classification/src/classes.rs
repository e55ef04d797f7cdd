//! More than two classes: what can be said from labels and predictions alone.

use crate::confusion::ratio;

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
        ClassMeasures {
            precision: ratio(both, predicted),
            recall: ratio(both, labelled),
            f1: ratio(2.0 * both, labelled + predicted),
            weight: labelled,
        }
    }

    /// The measures over all classes by name, in a fixed order. NaN is undefined. Means over classes leave out classes
    /// that no label has; a class that has labels but no predictions makes the mean precision undefined.
    pub fn named(&self) -> [(&'static str, f64); 9] {
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
        let weighted = ratio(present.iter().map(|measures| measures.f1 * measures.weight).sum(), total);
        [
            ("accuracy", ratio(right, total)),
            ("balanced-accuracy", mean(|measures| measures.recall)),
            ("precision-macro", mean(|measures| measures.precision)),
            ("recall-macro", mean(|measures| measures.recall)),
            ("f1-macro", mean(|measures| measures.f1)),
            ("f1-micro", ratio(right, total)),
            ("f1-weighted", weighted),
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
        let expected =
            [binary.accuracy(), binary.balanced_accuracy(), binary.matthews_correlation(), binary.cohen_kappa()];
        for (found, expected) in [named[0].1, named[1].1, named[7].1, named[8].1].into_iter().zip(expected) {
            assert!((found - expected).abs() < 1e-12, "{found} and {expected}");
        }
    }
}
