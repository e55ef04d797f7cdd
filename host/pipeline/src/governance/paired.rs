//! Two models on the same rows: how sure is it that one is no worse than the other?
//!
//! A paired bootstrap draws rows, never a row of one model without the same row of the other, so that what is hard
//! about a row hurts both alike. The draws come from a seed, so the same rows always give the same answer.

use rand_pcg::{
    Pcg64Mcg,
    rand_core::{Rng, SeedableRng},
};
use serde::{Deserialize, Serialize};

/// The smallest distance of a probability from 0 and 1 in the log loss; the classification evaluator's.
const CLIP: f64 = f64::EPSILON;

/// What the models predict.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "task")]
pub enum Task {
    /// Whether a row is of the positive class: labels are 0 and 1, predictions its probabilities.
    Classification {
        /// From which score on a row is decided to be positive.
        threshold: f64,
    },
    /// A number.
    Regression,
}

/// Which way a metric is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Better {
    /// A larger value.
    Larger,
    /// A smaller value.
    Smaller,
}

/// The metrics by which two models can be compared, with what is better. They are those of the evaluators
/// `classification` and `regression`, whose reports must agree with what is measured here.
pub const COMPARABLE: [(&str, Better); 13] = [
    ("accuracy", Better::Larger),
    ("balanced-accuracy", Better::Larger),
    ("precision", Better::Larger),
    ("recall", Better::Larger),
    ("f1", Better::Larger),
    ("roc-auc", Better::Larger),
    ("average-precision", Better::Larger),
    ("log-loss", Better::Smaller),
    ("brier-score", Better::Smaller),
    ("mean-absolute-error", Better::Smaller),
    ("mean-squared-error", Better::Smaller),
    ("root-mean-squared-error", Better::Smaller),
    ("r2", Better::Larger),
];

/// What is better by this metric; none where models cannot be compared by it.
pub fn better(metric: &str) -> Option<Better> {
    COMPARABLE.iter().find(|(name, _)| *name == metric).map(|(_, better)| *better)
}

/// Rows that both models predicted.
#[derive(Clone, Debug, PartialEq)]
pub struct Pairs {
    /// What is predicted.
    pub task: Task,
    /// What the rows really are.
    pub label: Vec<f64>,
    /// What the candidate says.
    pub candidate: Vec<f64>,
    /// What the champion says; NaN where it says nothing.
    pub champion: Vec<f64>,
}

/// How two models differ by a metric.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// The candidate's value on the rows that both predicted.
    pub candidate: f64,
    /// The champion's.
    pub champion: f64,
    /// By how much the candidate is better; below 0 where it is worse.
    pub gain: f64,
    /// The one-sided lower confidence bound of the gain.
    pub low: f64,
    /// The one-sided upper confidence bound.
    pub high: f64,
    /// The rows.
    pub rows: u64,
    /// Resamples in which the metric was undefined; they are left out.
    pub undefined: u32,
}

impl Pairs {
    /// The candidate's value over all of its rows. None where it is undefined.
    pub fn candidate_value(&self, metric: &str) -> Option<f64> {
        let sample = Sample::new(self.task, &self.label, &self.candidate);
        sample.measure(metric, &vec![1; self.label.len()])
    }

    /// The difference by a metric. None where it is undefined for either model, or for most resamples.
    pub fn difference(&self, metric: &str, confidence: f64, resamples: u32, seed: u64) -> Option<Difference> {
        let both = |values: &[f64]| -> Vec<f64> {
            let rows = values.iter().zip(&self.champion).filter(|(_, champion)| !champion.is_nan());
            rows.map(|(value, _)| *value).collect()
        };
        let (label, candidate, champion) = (both(&self.label), both(&self.candidate), both(&self.champion));
        let sign = match better(metric)? {
            Better::Larger => 1.0,
            Better::Smaller => -1.0,
        };
        let (ours, theirs) = (Sample::new(self.task, &label, &candidate), Sample::new(self.task, &label, &champion));
        let whole = vec![1; label.len()];
        let (candidate, champion) = (ours.measure(metric, &whole)?, theirs.measure(metric, &whole)?);
        let mut random = Pcg64Mcg::seed_from_u64(seed);
        let mut counts = vec![0_u32; label.len()];
        let mut gains = Vec::new();
        for _ in 0..resamples {
            counts.fill(0);
            for _ in 0..label.len() {
                // The high half of a product is uniform enough: its bias is below 2⁻⁴⁰ for any table that fits memory.
                let drawn = ((u128::from(random.next_u64()) * label.len() as u128) >> 64) as usize;
                counts[drawn] += 1;
            }
            if let (Some(one), Some(other)) = (ours.measure(metric, &counts), theirs.measure(metric, &counts)) {
                gains.push(sign * (one - other));
            }
        }
        let undefined = resamples - gains.len() as u32;
        if undefined > resamples / 2 {
            return None;
        }
        gains.sort_by(f64::total_cmp);
        Some(Difference {
            candidate,
            champion,
            gain: sign * (candidate - champion),
            low: quantile(&gains, 1.0 - confidence),
            high: quantile(&gains, confidence),
            rows: label.len() as u64,
            undefined,
        })
    }
}

/// The quantile of sorted values, with linear interpolation between them.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let place = share * (sorted.len() - 1) as f64;
    let below = place.floor() as usize;
    let above = (below + 1).min(sorted.len() - 1);
    sorted[below] + (sorted[above] - sorted[below]) * (place - below as f64)
}

/// One model's predictions, in the order that ranking needs.
struct Sample<'a> {
    task: Task,
    label: &'a [f64],
    prediction: &'a [f64],
    /// Rows from the highest prediction to the lowest.
    order: Vec<usize>,
}

/// The weight of right and wrong decisions.
#[derive(Default)]
struct Counts {
    true_positives: f64,
    false_positives: f64,
    true_negatives: f64,
    false_negatives: f64,
}

impl<'a> Sample<'a> {
    fn new(task: Task, label: &'a [f64], prediction: &'a [f64]) -> Self {
        let mut order: Vec<usize> = (0..prediction.len()).collect();
        order.sort_by(|a, b| prediction[*b].total_cmp(&prediction[*a]));
        Self { task, label, prediction, order }
    }

    /// A metric where row `i` counts `counts[i]` times. None where it is undefined.
    fn measure(&self, metric: &str, counts: &[u32]) -> Option<f64> {
        let value = match self.task {
            Task::Classification { threshold } => self.classification(metric, counts, threshold),
            Task::Regression => self.regression(metric, counts),
        }?;
        value.is_finite().then_some(value)
    }

    fn classification(&self, metric: &str, counts: &[u32], threshold: f64) -> Option<f64> {
        let Counts { true_positives, false_positives, true_negatives, false_negatives } =
            self.counts(counts, threshold);
        let recall = true_positives / (true_positives + false_negatives);
        Some(match metric {
            "accuracy" => {
                let right = true_positives + true_negatives;
                right / (right + false_positives + false_negatives)
            }
            "balanced-accuracy" => (recall + true_negatives / (true_negatives + false_positives)) / 2.0,
            "precision" => true_positives / (true_positives + false_positives),
            "recall" => recall,
            "f1" => 2.0 * true_positives / (2.0 * true_positives + false_positives + false_negatives),
            "roc-auc" | "average-precision" => self.ranking(metric, counts),
            "log-loss" => self.mean(counts, |label, score| {
                let score = score.clamp(CLIP, 1.0 - CLIP);
                -(if label > 0.5 { score } else { 1.0 - score }).ln()
            }),
            "brier-score" => self.mean(counts, |label, score| (score - label) * (score - label)),
            _ => return None,
        })
    }

    fn regression(&self, metric: &str, counts: &[u32]) -> Option<f64> {
        let squared = || self.mean(counts, |label, value| (value - label) * (value - label));
        Some(match metric {
            "mean-absolute-error" => self.mean(counts, |label, value| (value - label).abs()),
            "mean-squared-error" => squared(),
            "root-mean-squared-error" => squared().sqrt(),
            "r2" => {
                let center = self.mean(counts, |label, _| label);
                1.0 - squared() / self.mean(counts, |label, _| (label - center) * (label - center))
            }
            _ => return None,
        })
    }

    fn mean(&self, counts: &[u32], of: impl Fn(f64, f64) -> f64) -> f64 {
        let rows = self.label.iter().zip(self.prediction).zip(counts).filter(|(_, count)| **count > 0);
        let (sum, weight) = rows.fold((0.0, 0.0), |(sum, weight), ((label, prediction), count)| {
            (sum + f64::from(*count) * of(*label, *prediction), weight + f64::from(*count))
        });
        sum / weight
    }

    fn counts(&self, counts: &[u32], threshold: f64) -> Counts {
        let mut sums = Counts::default();
        for ((label, score), count) in self.label.iter().zip(self.prediction).zip(counts) {
            let cell = match (*label > 0.5, *score >= threshold) {
                (true, true) => &mut sums.true_positives,
                (false, true) => &mut sums.false_positives,
                (false, false) => &mut sums.true_negatives,
                (true, false) => &mut sums.false_negatives,
            };
            *cell += f64::from(*count);
        }
        sums
    }

    /// Metrics of the order alone; rows with one score stand together.
    fn ranking(&self, metric: &str, counts: &[u32]) -> f64 {
        let (mut positives, mut negatives) = (0.0, 0.0);
        let (mut tied_positives, mut tied_negatives) = (0.0, 0.0);
        let (mut ordered_pairs, mut precision) = (0.0, 0.0);
        for (place, row) in self.order.iter().enumerate() {
            let weight = f64::from(counts[*row]);
            let tie = if self.label[*row] > 0.5 { &mut tied_positives } else { &mut tied_negatives };
            *tie += weight;
            let next = self.order.get(place + 1);
            if next.is_some_and(|next| self.prediction[*next] == self.prediction[*row]) {
                continue;
            }
            ordered_pairs += tied_negatives * (positives + tied_positives / 2.0);
            positives += tied_positives;
            negatives += tied_negatives;
            if tied_positives > 0.0 {
                precision += tied_positives * positives / (positives + negatives);
            }
            (tied_positives, tied_negatives) = (0.0, 0.0);
        }
        if metric == "roc-auc" { ordered_pairs / (positives * negatives) } else { precision / positives }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLASSES: Task = Task::Classification { threshold: 0.5 };

    fn pairs(label: &[f64], candidate: &[f64], champion: &[f64]) -> Pairs {
        Pairs { task: CLASSES, label: label.to_vec(), candidate: candidate.to_vec(), champion: champion.to_vec() }
    }

    /// Rows on which one model is right a little more often than the other.
    fn many(rows: usize, candidate_right: usize, champion_right: usize) -> Pairs {
        let label: Vec<f64> = (0..rows).map(|row| (row % 2) as f64).collect();
        let says = |right: usize| -> Vec<f64> {
            (0..rows).map(|row| if (row * 7) % 100 < right { label[row] } else { 1.0 - label[row] }).collect()
        };
        pairs(&label, &says(candidate_right), &says(champion_right))
    }

    #[test]
    fn the_metrics_are_those_of_a_table_worked_out_by_hand() {
        // By hand: 3 of 4 right; of the 4 pairs of a positive and a negative 3 are in order.
        let sample = pairs(&[1.0, 0.0, 1.0, 0.0], &[0.9, 0.6, 0.55, 0.1], &[0.5; 4]);
        let value = |metric: &str| sample.candidate_value(metric).unwrap();
        assert_eq!(value("accuracy"), 0.75);
        assert_eq!(value("roc-auc"), 0.75);
        assert_eq!(value("precision"), 2.0 / 3.0);
        assert!((value("average-precision") - (0.5 + 0.5 * 2.0 / 3.0)).abs() < 1e-15);
        assert!((value("brier-score") - (0.01 + 0.36 + 0.2025 + 0.01) / 4.0).abs() < 1e-15);
        // All tied: no order at all.
        assert_eq!(pairs(&[1.0, 0.0], &[0.5, 0.5], &[0.5, 0.5]).candidate_value("roc-auc"), Some(0.5));
    }

    #[test]
    fn what_divides_by_nothing_is_undefined() {
        let none = pairs(&[0.0, 0.0], &[0.1, 0.2], &[0.1, 0.2]);
        assert_eq!(none.candidate_value("roc-auc"), None);
        assert_eq!(none.candidate_value("recall"), None);
        assert_eq!(none.difference("roc-auc", 0.95, 100, 1), None);
        assert_eq!(pairs(&[], &[], &[]).difference("accuracy", 0.95, 100, 1), None);
    }

    #[test]
    fn a_model_is_exactly_as_good_as_itself() {
        let same = many(200, 80, 80);
        let difference = same.difference("accuracy", 0.95, 200, 3).unwrap();
        assert_eq!((difference.gain, difference.low, difference.high), (0.0, 0.0, 0.0));
    }

    #[test]
    fn the_same_seed_gives_the_same_answer_and_more_rows_a_surer_one() {
        let (few, most) = (many(100, 85, 80), many(10_000, 85, 80));
        let of = |pairs: &Pairs| pairs.difference("accuracy", 0.95, 400, 7).unwrap();
        assert_eq!(of(&few), of(&few));
        assert!(of(&most).high - of(&most).low < (of(&few).high - of(&few).low) / 3.0);
        assert!((of(&most).gain - 0.05).abs() < 1e-9);
    }

    #[test]
    fn smaller_is_better_by_losses() {
        let better = pairs(&[1.0, 0.0], &[0.9, 0.1], &[0.6, 0.4]);
        assert!(better.difference("log-loss", 0.95, 100, 1).unwrap().gain > 0.0);
    }

    #[test]
    fn rows_without_a_prediction_of_the_champion_are_left_out_of_the_comparison() {
        let mut some = many(100, 85, 80);
        some.champion[3] = f64::NAN;
        assert_eq!(some.difference("accuracy", 0.95, 100, 1).unwrap().rows, 99);
    }
}
