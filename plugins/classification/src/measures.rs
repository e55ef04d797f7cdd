//! Every measure of a binary classifier in one pass over rows that are sorted once.
//!
//! The bootstrap asks for the same measures a thousand times with other multiplicities, so what does not depend on
//! them (order, ties, bins, logarithms) is worked out beforehand.

use crate::confusion::{Confusion, ratio};

/// Bins of the calibration measures, of equal width.
pub const CALIBRATION_BINS: usize = 10;

/// The number of measures that are not counts.
pub const MEASURES: usize = 15;

/// The smallest distance of a probability from 0 and 1 in the log loss.
pub(crate) const CLIP: f64 = f64::EPSILON;

/// A row that can be judged.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outcome {
    /// The probability of the positive class that the model gave; NaN where the model gives none at all.
    pub score: f64,
    /// Whether the row really is of the positive class.
    pub positive: bool,
    /// Whether it was decided to be.
    pub selected: bool,
    /// What the row counts for.
    pub weight: f64,
}

/// Rows in the order of their scores, ready to be measured.
pub struct Sample {
    rows: Vec<Outcome>,
    /// Whether the next row has another score.
    ends_tie: Vec<bool>,
    /// Each row's log loss.
    loss: Vec<f64>,
    /// Each row's calibration bin.
    bin: Vec<u8>,
    scored: bool,
    probabilities: bool,
}

/// A calibration bin.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Bin {
    /// The weight in it.
    pub weight: f64,
    /// The weight of its positive rows.
    pub positives: f64,
    /// The weighted sum of its scores.
    pub scores: f64,
}

impl Sample {
    /// Sorts the rows, highest score first. The order in which they come does not matter, not even to the bootstrap.
    pub fn new(mut rows: Vec<Outcome>) -> Self {
        rows.sort_by(|a, b| {
            b.score
                .total_cmp(&a.score)
                .then(b.positive.cmp(&a.positive))
                .then(b.selected.cmp(&a.selected))
                .then(a.weight.total_cmp(&b.weight))
        });
        let scored = !rows.is_empty() && rows.iter().all(|row| !row.score.is_nan());
        let probabilities = scored && rows.iter().all(|row| (0.0..=1.0).contains(&row.score));
        let ends_tie = (0..rows.len())
            .map(|index| rows.get(index + 1).is_none_or(|next| next.score != rows[index].score))
            .collect();
        let loss = rows.iter().map(log_loss).collect();
        let bin = rows.iter().map(|row| calibration_bin(row.score)).collect();
        Self { rows, ends_tie, loss, bin, scored, probabilities }
    }

    /// The rows, highest score first.
    pub fn rows(&self) -> &[Outcome] {
        &self.rows
    }

    /// Whether there are scores.
    pub fn is_scored(&self) -> bool {
        self.scored
    }

    /// Whether the scores can be probabilities.
    pub fn is_probabilistic(&self) -> bool {
        self.probabilities
    }

    /// Whether row `index` is the last one with its score.
    pub fn ends_tie(&self, index: usize) -> bool {
        self.ends_tie[index]
    }

    /// Measures the rows as they are.
    pub fn measure(&self) -> Measures {
        self.accumulate(|_| 1.0)
    }

    /// Measures a resample in which row `index` stands `counts[index]` times.
    pub fn measure_resample(&self, counts: &[u32]) -> Measures {
        self.accumulate(|index| f64::from(counts[index]))
    }

    /// The calibration bins, empty ones included.
    pub fn calibration(&self) -> [Bin; CALIBRATION_BINS] {
        let mut bins = [Bin::default(); CALIBRATION_BINS];
        for (row, bin) in self.rows.iter().zip(&self.bin) {
            bins[usize::from(*bin)].add(row, row.weight);
        }
        bins
    }

    fn accumulate(&self, multiplicity: impl Fn(usize) -> f64) -> Measures {
        let mut confusion = Confusion::default();
        let mut bins = [Bin::default(); CALIBRATION_BINS];
        let (mut loss, mut squares) = (0.0, 0.0);
        // Weight of the positives and negatives above, and in, the present tie.
        let (mut positives, mut negatives) = (0.0, 0.0);
        let (mut tied_positives, mut tied_negatives) = (0.0, 0.0);
        let (mut ordered_pairs, mut precision) = (0.0, 0.0);
        for (index, row) in self.rows.iter().enumerate() {
            let weight = row.weight * multiplicity(index);
            let label = f64::from(u8::from(row.positive));
            confusion.add(row.positive, row.selected, weight);
            loss += weight * self.loss[index];
            squares += weight * (row.score - label) * (row.score - label);
            bins[usize::from(self.bin[index])].add(row, weight);
            tied_positives += weight * label;
            tied_negatives += weight * (1.0 - label);
            if self.ends_tie[index] {
                ordered_pairs += tied_negatives * (positives + tied_positives / 2.0);
                positives += tied_positives;
                negatives += tied_negatives;
                if tied_positives > 0.0 {
                    precision += tied_positives * (positives / (positives + negatives));
                }
                (tied_positives, tied_negatives) = (0.0, 0.0);
            }
        }
        let total = confusion.total();
        let ranked = |value: f64| if self.scored { value } else { f64::NAN };
        let probable = |value: f64| if self.probabilities { value } else { f64::NAN };
        let gap: f64 = bins.iter().map(|bin| (bin.positives - bin.scores).abs()).sum();
        Measures {
            confusion,
            roc_auc: ranked(ratio(ordered_pairs, positives * negatives)),
            average_precision: ranked(ratio(precision, positives)),
            log_loss: probable(ratio(loss, total)),
            brier_score: probable(ratio(squares, total)),
            expected_calibration_error: probable(ratio(gap, total)),
        }
    }
}

impl Bin {
    fn add(&mut self, row: &Outcome, weight: f64) {
        self.weight += weight;
        self.positives += weight * f64::from(u8::from(row.positive));
        self.scores += weight * row.score;
    }
}

/// All measures. NaN is undefined.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measures {
    /// Right and wrong decisions.
    pub confusion: Confusion,
    /// How often a positive row's score is above a negative row's, a tie counting one half.
    pub roc_auc: f64,
    /// The sum of precisions at each threshold, weighted by the gain in recall: no interpolation.
    pub average_precision: f64,
    /// The mean negative log likelihood, natural logarithm, probabilities clipped at 2⁻⁵².
    pub log_loss: f64,
    /// The mean squared distance of score and label.
    pub brier_score: f64,
    /// The mean distance of score and rate over ten bins of equal width.
    pub expected_calibration_error: f64,
}

impl Measures {
    /// The measures that are not counts by name, in a fixed order.
    pub fn named(&self) -> [(&'static str, f64); MEASURES] {
        let confusion = &self.confusion;
        [
            ("accuracy", confusion.accuracy()),
            ("balanced-accuracy", confusion.balanced_accuracy()),
            ("precision", confusion.precision()),
            ("recall", confusion.recall()),
            ("f1", confusion.f1()),
            ("matthews-correlation", confusion.matthews_correlation()),
            ("cohen-kappa", confusion.cohen_kappa()),
            ("roc-auc", self.roc_auc),
            ("average-precision", self.average_precision),
            ("log-loss", self.log_loss),
            ("brier-score", self.brier_score),
            ("expected-calibration-error", self.expected_calibration_error),
            ("false-positive-rate", ratio(confusion.false_positives, confusion.negatives())),
            ("base-rate", confusion.base_rate()),
            ("selection-rate", confusion.selection_rate()),
        ]
    }
}

fn log_loss(row: &Outcome) -> f64 {
    let score = row.score.clamp(CLIP, 1.0 - CLIP);
    -(if row.positive { score } else { 1.0 - score }).ln()
}

/// The bin of a score; 1 belongs to the last one.
fn calibration_bin(score: f64) -> u8 {
    // A cast saturates, and takes NaN to 0, where no measure looks at it.
    ((score * CALIBRATION_BINS as f64) as u8).min(CALIBRATION_BINS as u8 - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(scores: &[f64], labels: &[bool]) -> Sample {
        Sample::new(
            scores
                .iter()
                .zip(labels)
                .map(|(&score, &positive)| Outcome { score, positive, selected: score >= 0.5, weight: 1.0 })
                .collect(),
        )
    }

    fn value(measures: &Measures, name: &str) -> Option<f64> {
        let (_, value) = measures.named().into_iter().find(|(known, _)| *known == name).unwrap();
        (!value.is_nan()).then_some(value)
    }

    #[test]
    fn nothing_is_defined_without_rows() {
        let measures = rows(&[], &[]).measure();
        for (name, value) in measures.named() {
            assert!(value.is_nan(), "{name} is {value}");
        }
    }

    #[test]
    fn one_class_alone_leaves_undefined_what_compares_two() {
        let measures = rows(&[0.1, 0.7], &[false, false]).measure();
        assert_eq!(value(&measures, "accuracy"), Some(0.5));
        assert_eq!(value(&measures, "precision"), Some(0.0));
        for name in ["recall", "balanced-accuracy", "roc-auc", "average-precision", "matthews-correlation"] {
            assert_eq!(value(&measures, name), None, "{name}");
        }
    }

    #[test]
    fn a_tie_counts_one_half() {
        assert_eq!(value(&rows(&[0.5, 0.5], &[true, false]).measure(), "roc-auc"), Some(0.5));
        assert_eq!(value(&rows(&[0.6, 0.5, 0.5, 0.1], &[true, true, false, false]).measure(), "roc-auc"), Some(0.875));
    }

    #[test]
    fn scores_beyond_zero_and_one_still_rank_but_are_no_probabilities() {
        let measures = rows(&[3.0, -2.0], &[true, false]).measure();
        assert_eq!(value(&measures, "roc-auc"), Some(1.0));
        assert_eq!(value(&measures, "log-loss"), None);
        assert_eq!(value(&measures, "brier-score"), None);
    }

    #[test]
    fn certainty_that_is_wrong_costs_much_but_not_everything() {
        let loss = value(&rows(&[0.0], &[true]).measure(), "log-loss").unwrap();
        assert!((loss - 36.04365338911715).abs() < 1e-12, "{loss}");
    }

    #[test]
    fn a_resample_measures_as_the_repeated_rows_do() {
        let sample = rows(&[0.9, 0.8, 0.8, 0.3, 0.1], &[true, false, true, true, false]);
        let resampled = sample.measure_resample(&[2, 1, 0, 1, 1]);
        let repeated = rows(&[0.9, 0.9, 0.8, 0.3, 0.1], &[true, true, true, true, false]).measure();
        for ((name, left), (_, right)) in resampled.named().into_iter().zip(repeated.named()) {
            assert!((left - right).abs() < 1e-12 || left.is_nan() && right.is_nan(), "{name}: {left} and {right}");
        }
    }

    #[test]
    fn the_order_of_rows_does_not_matter() {
        let forward = rows(&[0.2, 0.5, 0.5, 0.9], &[false, true, false, true]);
        let backward = rows(&[0.9, 0.5, 0.5, 0.2], &[true, false, true, false]);
        assert_eq!(forward.rows(), backward.rows());
    }
}
