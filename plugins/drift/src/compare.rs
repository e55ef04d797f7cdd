//! One column in both tables: what each method says of it.

use std::collections::BTreeMap;

use stagewright_stage::Series;

use crate::parameters::Method;
use crate::{distance, significance};

/// The most words that a plot names.
const MOST_WORDS: usize = 20;

/// The bars of a plot: for each label the shares of reference and current.
pub type Bars = Vec<(String, f64, f64)>;

/// What was measured of a column.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// Metrics by name; none where a figure is undefined.
    pub metrics: Vec<(&'static str, Option<f64>)>,
    /// How likely so large a difference is by chance.
    pub probability: Option<f64>,
    /// The rows that have a value: in the reference, in the current table.
    pub support: [u64; 2],
    /// The plot.
    pub bars: Bars,
}

/// Which methods are wanted.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a>(pub &'a [Method]);

impl Wanted<'_> {
    fn has(self, method: Method, automatic: bool) -> bool {
        self.0.iter().any(|&wanted| wanted == method || wanted == Method::All || (automatic && wanted == Method::Auto))
    }
}

/// Compares numbers; NaN is missing.
pub fn numbers(reference: &[f64], current: &[f64], bins: usize, wanted: Wanted<'_>) -> Comparison {
    let (reference, current) = (distance::sorted(reference), distance::sorted(current));
    let edges = distance::edges(&reference, bins);
    let (before, now) = (distance::counts(&reference, &edges), distance::counts(&current, &edges));
    let mut metrics = Vec::new();
    if wanted.has(Method::Psi, true) {
        metrics.push(("psi", distance::psi(&before, &now)));
    }
    let statistic = distance::kolmogorov_smirnov(&reference, &current);
    let probability =
        statistic.map(|statistic| significance::kolmogorov_smirnov(statistic, reference.len(), current.len()));
    if wanted.has(Method::Ks, true) {
        metrics.push(("ks-statistic", statistic));
        metrics.push(("ks-p-value", probability));
    }
    if wanted.has(Method::Chi2, false) {
        push_chi_squared(&mut metrics, &before, &now);
    }
    if wanted.has(Method::Js, false) {
        metrics.push(("js-distance", distance::jensen_shannon(&before, &now)));
    }
    if wanted.has(Method::Wasserstein, true) {
        let area = distance::wasserstein(&reference, &current);
        let deviation = distance::deviation(&reference).filter(|&deviation| deviation > 0.0);
        metrics.push(("wasserstein", area));
        metrics.push(("wasserstein-normalized", area.zip(deviation).map(|(area, deviation)| area / deviation)));
    }
    let bars = histogram(&reference, &current);
    Comparison { metrics, probability, support: [reference.len() as u64, current.len() as u64], bars }
}

fn push_chi_squared(metrics: &mut Vec<(&'static str, Option<f64>)>, before: &[u64], now: &[u64]) -> Option<f64> {
    let found = distance::chi_squared(before, now);
    let probability = found.and_then(|(statistic, freedom)| significance::chi_squared(statistic, freedom));
    metrics.push(("chi2-statistic", found.map(|(statistic, _)| statistic)));
    metrics.push(("chi2-p-value", probability));
    probability
}

/// Compares words, of which "none" is one.
pub fn words(reference: &Series, current: &Series, wanted: Wanted<'_>) -> Comparison {
    let mut counts: BTreeMap<Option<String>, [u64; 2]> = BTreeMap::new();
    for (table, series) in [reference, current].into_iter().enumerate() {
        for row in 0..series.len() {
            let word = series.display(row);
            counts.entry(word).or_default()[table] += 1;
        }
    }
    let before: Vec<u64> = counts.values().map(|count| count[0]).collect();
    let now: Vec<u64> = counts.values().map(|count| count[1]).collect();
    let mut metrics = Vec::new();
    if wanted.has(Method::Psi, true) {
        metrics.push(("psi", distance::psi(&before, &now)));
    }
    let mut tests = Vec::new();
    let probability = push_chi_squared(&mut tests, &before, &now);
    if wanted.has(Method::Chi2, true) {
        metrics.extend(tests);
    }
    if wanted.has(Method::Js, true) {
        metrics.push(("js-distance", distance::jensen_shannon(&before, &now)));
    }
    let share = |count: u64, rows: usize| count as f64 / rows.max(1) as f64;
    let mut bars: Bars = counts
        .into_iter()
        .map(|(word, [before, now])| {
            (word.unwrap_or_else(|| "(none)".into()), share(before, reference.len()), share(now, current.len()))
        })
        .collect();
    // The words whose shares changed most; ties stay in the order of words.
    bars.sort_by(|a, b| (b.1 - b.2).abs().total_cmp(&(a.1 - a.2).abs()));
    bars.truncate(MOST_WORDS);
    Comparison { metrics, probability, support: [reference.len() as u64, current.len() as u64], bars }
}

/// Shares of both samples in bins of equal width.
fn histogram(reference: &[f64], current: &[f64]) -> Bars {
    const BINS: usize = 20;
    let finite = || reference.iter().chain(current).copied().filter(|value| value.is_finite());
    let (least, most) = (finite().fold(f64::INFINITY, f64::min), finite().fold(f64::NEG_INFINITY, f64::max));
    if least >= most || !(most - least).is_finite() {
        return vec![];
    }
    let width = (most - least) / BINS as f64;
    let edges: Vec<f64> = (1..BINS).map(|bin| least + width * bin as f64).collect();
    let (before, now) = (distance::counts(reference, &edges), distance::counts(current, &edges));
    let share = |count: u64, rows: usize| count as f64 / rows.max(1) as f64;
    let bar = |bin: usize| {
        let start = least + width * bin as f64;
        (format!("{start:.4}"), share(before[bin], reference.len()), share(now[bin], current.len()))
    };
    (0..BINS).map(bar).collect()
}
