//! More than two classes: what the probability that a model gives to each of them is worth.

use crate::confusion::ratio;
use crate::measures::CLIP;

/// A row's label and what it counts for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Labelled {
    /// The class.
    pub class: usize,
    /// The weight.
    pub weight: f64,
}

/// Rows and the probabilities of their classes, ready to be measured over and over.
pub struct Probabilities {
    rows: Vec<Labelled>,
    /// Each row's negative log likelihood.
    loss: Vec<f64>,
    /// For each class the rows by falling probability of it.
    rankings: Vec<Ranking>,
}

struct Ranking {
    rows: Vec<u32>,
    /// Whether the next row has another probability.
    ends_tie: Vec<bool>,
}

impl Probabilities {
    /// Takes for each class the probability that each row is of it.
    pub fn new(rows: Vec<Labelled>, classes: Vec<Vec<f64>>) -> Self {
        let loss =
            rows.iter().enumerate().map(|(at, row)| -classes[row.class][at].clamp(CLIP, 1.0 - CLIP).ln()).collect();
        Self { loss, rankings: classes.iter().map(|class| Ranking::new(class)).collect(), rows }
    }

    /// The mean negative log likelihood, natural logarithm, probabilities clipped at 2⁻⁵². Row `index` stands
    /// `multiplicity(index)` times. NaN is undefined.
    pub fn log_loss(&self, multiplicity: &dyn Fn(usize) -> f64) -> f64 {
        let (mut loss, mut total) = (0.0, 0.0);
        for (at, row) in self.rows.iter().enumerate() {
            let weight = row.weight * multiplicity(at);
            loss += weight * self.loss[at];
            total += weight;
        }
        ratio(loss, total)
    }

    /// The mean over the classes that labels have of each one's ROC AUC against all others, a tie counting one half. NaN
    /// is undefined.
    pub fn roc_auc_macro(&self, multiplicity: &dyn Fn(usize) -> f64) -> f64 {
        let weights: Vec<f64> = self.rows.iter().enumerate().map(|(at, row)| row.weight * multiplicity(at)).collect();
        let mut present = vec![0.0; self.rankings.len()];
        self.rows.iter().zip(&weights).for_each(|(row, weight)| present[row.class] += weight);
        let (mut sum, mut classes) = (0.0, 0.0);
        for (class, ranking) in self.rankings.iter().enumerate().filter(|(class, _)| present[*class] > 0.0) {
            sum += ranking.roc_auc(|row| self.rows[row].class == class, &weights);
            classes += 1.0;
        }
        ratio(sum, classes)
    }
}

impl Ranking {
    fn new(probabilities: &[f64]) -> Self {
        let mut rows: Vec<u32> = (0..probabilities.len() as u32).collect();
        let of = |row: u32| probabilities[row as usize];
        rows.sort_by(|one, other| of(*other).total_cmp(&of(*one)));
        let ends_tie =
            (0..rows.len()).map(|at| rows.get(at + 1).is_none_or(|next| of(*next) != of(rows[at]))).collect();
        Self { rows, ends_tie }
    }

    fn roc_auc(&self, is_positive: impl Fn(usize) -> bool, weights: &[f64]) -> f64 {
        let (mut positives, mut negatives, mut pairs) = (0.0, 0.0, 0.0);
        let (mut tied_positives, mut tied_negatives) = (0.0, 0.0);
        for (row, ends_tie) in self.rows.iter().zip(&self.ends_tie) {
            let row = *row as usize;
            match is_positive(row) {
                true => tied_positives += weights[row],
                false => tied_negatives += weights[row],
            }
            if *ends_tie {
                pairs += tied_negatives * (positives + tied_positives / 2.0);
                positives += tied_positives;
                negatives += tied_negatives;
                (tied_positives, tied_negatives) = (0.0, 0.0);
            }
        }
        ratio(pairs, positives * negatives)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Probabilities {
        let rows = [0, 1, 2, 1, 2, 0].map(|class| Labelled { class, weight: 1.0 });
        let classes = [
            vec![0.7, 0.2, 0.1, 0.3, 0.2, 0.3],
            vec![0.2, 0.5, 0.3, 0.3, 0.5, 0.4],
            vec![0.1, 0.3, 0.6, 0.4, 0.3, 0.3],
        ];
        Probabilities::new(rows.to_vec(), classes.to_vec())
    }

    /// scikit-learn 1.9: `log_loss(y, p)` and `roc_auc_score(y, p, multi_class="ovr")`.
    #[test]
    fn values_equal_scikit_learns() {
        let sample = sample();
        assert!((sample.log_loss(&|_| 1.0) - 0.8620943602070795).abs() < 1e-12, "{}", sample.log_loss(&|_| 1.0));
        assert!(
            (sample.roc_auc_macro(&|_| 1.0) - 0.7708333333333334).abs() < 1e-12,
            "{}",
            sample.roc_auc_macro(&|_| 1.0)
        );
    }

    #[test]
    fn nothing_is_defined_without_rows() {
        let none = Probabilities::new(Vec::new(), vec![Vec::new(), Vec::new()]);
        assert!(none.log_loss(&|_| 1.0).is_nan() && none.roc_auc_macro(&|_| 1.0).is_nan());
    }

    #[test]
    fn a_resample_without_a_class_averages_over_the_others_and_one_class_alone_is_undefined() {
        let sample = sample();
        let without = sample.roc_auc_macro(&|row| f64::from(u8::from(sample.rows[row].class != 2)));
        assert!((without - 0.8125).abs() < 1e-12, "{without}");
        assert!(sample.roc_auc_macro(&|row| f64::from(u8::from(row == 0))).is_nan());
    }
}
