//! The boosting loop: each tree is grown on the gradient of the loss that the trees before it left.

use crate::bins::{Binned, Cuts};
use crate::grow::{Ground, Grower, Grown};
use crate::tree::Tree;

/// What the trees are to predict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Objective {
    /// The probability of the positive class: logistic loss, labels 0 and 1.
    Binary,
    /// A number: squared error.
    Regression,
}

/// How to train. The defaults are LightGBM's.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// The most trees.
    pub rounds: usize,
    /// By how much each tree's values are shrunk.
    pub learning_rate: f64,
    /// The most leaves of a tree.
    pub leaves: usize,
    /// The fewest rows of a leaf.
    pub least_rows: usize,
    /// The smallest sum of hessians in a leaf.
    pub least_hessian: f64,
    /// The smallest gain of a split.
    pub least_gain: f64,
    /// The L2 penalty on leaf values.
    pub l2: f64,
    /// The share of the rows that each tree sees.
    pub subsample: f64,
    /// The share of the features that each tree sees.
    pub feature_fraction: f64,
    /// Stop after so many rounds without a better validation loss; 0 is never.
    pub patience: usize,
    /// Where the choices of `subsample` and `feature_fraction` come from.
    pub seed: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            rounds: 100,
            learning_rate: 0.1,
            leaves: 31,
            least_rows: 20,
            least_hessian: 1e-3,
            least_gain: 0.0,
            l2: 0.0,
            subsample: 1.0,
            feature_fraction: 1.0,
            patience: 0,
            seed: 0,
        }
    }
}

/// Rows and what they should give.
#[derive(Debug, Clone, Copy)]
pub struct Sample<'a> {
    /// The features.
    pub table: &'a Binned,
    /// The labels, one for each row.
    pub labels: &'a [f64],
}

/// What a round of boosting came to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Round {
    /// The number of trees so far.
    pub trees: usize,
    /// The mean loss on the training rows.
    pub training: f64,
    /// The mean loss on the validation rows.
    pub validation: Option<f64>,
}

/// Whether to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Go on.
    Continue,
    /// Stop with the trees there are.
    Stop,
}

/// Trees that add up to a score.
#[derive(Debug, Clone, PartialEq)]
pub struct Forest {
    /// The score before any tree.
    pub base: f64,
    /// The trees.
    pub trees: Vec<Tree>,
}

impl Objective {
    /// The prediction that a score stands for.
    pub fn predict(self, score: f64) -> f64 {
        match self {
            // libm, not the platform's mathematics: the sandbox and a native test agree on every bit.
            Self::Binary => 1.0 / (1.0 + libm::exp(-score)),
            Self::Regression => score,
        }
    }

    /// The best score without features.
    fn base(self, labels: &[f64]) -> f64 {
        let mean = labels.iter().sum::<f64>() / (labels.len().max(1) as f64);
        match self {
            Self::Binary => {
                let mean = mean.clamp(EDGE, 1.0 - EDGE);
                libm::log(mean / (1.0 - mean))
            }
            Self::Regression => mean,
        }
    }

    fn gradient(self, label: f64, score: f64) -> [f32; 2] {
        match self {
            Self::Binary => {
                let sign = if label > 0.0 { 1.0 } else { -1.0 };
                let response = -sign / (1.0 + libm::exp(sign * score));
                [response as f32, (response.abs() * (1.0 - response.abs())) as f32]
            }
            Self::Regression => [(score - label) as f32, 1.0],
        }
    }

    fn mean_loss(self, labels: &[f64], scores: &[f64]) -> f64 {
        let rows = labels.iter().zip(scores);
        let sum: f64 = match self {
            Self::Binary => {
                // Each row adds `ln(1 + e)` of an `e` up to 1. A logarithm of many factors costs what one of each does.
                let (mut sum, mut product) = (0.0, 1.0);
                for (&label, &score) in rows {
                    let margin = if label > 0.0 { score } else { -score };
                    sum += (-margin).max(0.0);
                    product *= 1.0 + libm::exp(-margin.abs());
                    if product > LARGE {
                        sum += libm::log(product);
                        product = 1.0;
                    }
                }
                sum + libm::log(product)
            }
            Self::Regression => rows.map(|(&label, &score)| (score - label) * (score - label)).sum(),
        };
        sum / labels.len().max(1) as f64
    }
}

/// A product of numbers up to 2 that may grow once more without overflowing.
const LARGE: f64 = 1e9;

/// The closest that a base probability comes to 0 and 1.
const EDGE: f64 = 1e-15;

/// Trains. `watch` hears of every round and may end it.
pub fn boost(
    objective: Objective,
    cuts: &[Cuts],
    training: Sample<'_>,
    validation: Option<Sample<'_>>,
    settings: &Settings,
    mut watch: impl FnMut(Round) -> Next,
) -> Forest {
    let rows = training.labels.len();
    let mut forest = Forest { base: objective.base(training.labels), trees: Vec::new() };
    let mut scores = vec![forest.base; rows];
    let mut validation = validation.map(|sample| (sample, vec![forest.base; sample.labels.len()]));
    let mut gradients = vec![[0.0_f32; 2]; rows];
    let mut grower = Grower::new(Ground { table: training.table, cuts, settings });
    let every_row: Vec<u32> = (0..rows as u32).collect();
    let (mut best_loss, mut best_trees) = (f64::INFINITY, 0);

    for round in 0..settings.rounds {
        for ((gradient, &label), &score) in gradients.iter_mut().zip(training.labels).zip(&scores) {
            *gradient = objective.gradient(label, score);
        }
        let features = choose(cuts.len(), settings.feature_fraction, settings.seed, 2 * round as u64);
        let features: Vec<usize> =
            features.into_iter().map(|feature| feature as usize).filter(|&feature| cuts[feature].count() > 1).collect();
        let sampled = settings.subsample < 1.0;
        let chosen =
            if sampled { choose(rows, settings.subsample, settings.seed, 2 * round as u64 + 1) } else { Vec::new() };
        let Some(mut grown) = grower.grow(if sampled { &chosen } else { &every_row }, &features, &gradients) else {
            if sampled || features.len() < cuts.len() && settings.feature_fraction < 1.0 {
                continue;
            }
            // Nothing left to learn: the gradients would be the same in every later round.
            break;
        };
        for leaf in &mut grown.tree.leaves {
            *leaf *= settings.learning_rate;
        }
        if sampled {
            apply(&grown, training.table, cuts, &mut scores);
        } else {
            for (rows, value) in grower.leaves().zip(&grown.tree.leaves) {
                for &row in rows {
                    scores[row as usize] += value;
                }
            }
        }
        if let Some((sample, scores)) = &mut validation {
            apply(&grown, sample.table, cuts, scores);
        }
        forest.trees.push(grown.tree);
        let report = Round {
            trees: forest.trees.len(),
            training: objective.mean_loss(training.labels, &scores),
            validation: validation.as_ref().map(|(sample, scores)| objective.mean_loss(sample.labels, scores)),
        };
        if watch(report) == Next::Stop {
            return forest;
        }
        if let Some(loss) = report.validation {
            if loss < best_loss {
                (best_loss, best_trees) = (loss, report.trees);
            } else if settings.patience > 0 && report.trees - best_trees >= settings.patience {
                break;
            }
        }
    }
    if settings.patience > 0 && validation.is_some() {
        forest.trees.truncate(best_trees);
    }
    forest
}

fn apply(grown: &Grown, table: &Binned, cuts: &[Cuts], scores: &mut [f64]) {
    for (row, score) in scores.iter_mut().enumerate() {
        *score += grown.tree.leaves[grown.leaf(table, cuts, row)];
    }
}

/// A share of `0..count`, at least one, in order: those with the smallest hashes, whatever the order of evaluation.
fn choose(count: usize, share: f64, seed: u64, stream: u64) -> Vec<u32> {
    let wanted = ((count as f64 * share).round() as usize).clamp(1, count.max(1));
    if wanted >= count {
        return (0..count as u32).collect();
    }
    let start = mix(mix(seed).wrapping_add(stream));
    let mut hashes: Vec<(u64, u32)> =
        (0..count as u32).map(|item| (mix(start.wrapping_add(u64::from(item))), item)).collect();
    hashes.select_nth_unstable(wanted - 1);
    let mut chosen: Vec<u32> = hashes[..wanted].iter().map(|&(_, item)| item).collect();
    chosen.sort_unstable();
    chosen
}

/// The finalizer of SplitMix64 (Steele, Lea, Flood 2014): a generator for a thing this small needs no crate.
fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ value >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ value >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ value >> 31
}
