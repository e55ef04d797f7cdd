//! How far apart groups are, in one number each.
//!
//! Where a rate is undefined for a group, that group is left out of that rate's extremes; where fewer than two groups
//! are left, there is nothing to compare and the disparity is undefined.

use crate::tally::{Share, Tally, ratio};

/// The names of the disparities, in the order in which they come.
pub const DISPARITIES: [&str; 10] = [
    "demographic-parity-difference",
    "demographic-parity-ratio",
    "equalized-odds-difference",
    "equalized-odds-ratio",
    "equalized-odds-difference-mean",
    "equal-opportunity-difference",
    "equal-opportunity-ratio",
    "predictive-parity-difference",
    "accuracy-difference",
    "accuracy-ratio",
];

/// The smallest and largest of the groups' rates.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spread {
    low: f64,
    high: f64,
}

impl Spread {
    /// Of the rates that are defined.
    pub(crate) fn of(rates: impl IntoIterator<Item = f64>) -> Self {
        let (mut low, mut high, mut defined) = (f64::INFINITY, f64::NEG_INFINITY, 0);
        for rate in rates.into_iter().filter(|rate| !rate.is_nan()) {
            low = rate.min(low);
            high = rate.max(high);
            defined += 1;
        }
        if defined < 2 { Self { low: f64::NAN, high: f64::NAN } } else { Self { low, high } }
    }

    /// Largest minus smallest.
    pub(crate) fn difference(self) -> f64 {
        self.high - self.low
    }

    /// Smallest over largest.
    pub(crate) fn ratio(self) -> f64 {
        ratio(self.low, self.high)
    }
}

/// The worse of two, undefined if either is.
pub(crate) fn larger(left: f64, right: f64) -> f64 {
    if left.is_nan() || right.is_nan() { f64::NAN } else { left.max(right) }
}

fn smaller(left: f64, right: f64) -> f64 {
    -larger(-left, -right)
}

/// The disparities between groups, in the order of [`DISPARITIES`].
pub fn between(groups: &[Tally]) -> [f64; DISPARITIES.len()] {
    let spread = |rate: fn(&Tally) -> Share| Spread::of(groups.iter().map(|group| rate(group).value()));
    let selection = spread(Tally::selection_rate);
    let (recall, fallout) = (spread(Tally::true_positive_rate), spread(Tally::false_positive_rate));
    let (precision, accuracy) = (spread(Tally::precision), spread(Tally::accuracy));
    [
        selection.difference(),
        selection.ratio(),
        larger(recall.difference(), fallout.difference()),
        smaller(recall.ratio(), fallout.ratio()),
        (recall.difference() + fallout.difference()) / 2.0,
        recall.difference(),
        recall.ratio(),
        precision.difference(),
        accuracy.difference(),
        accuracy.ratio(),
    ]
}

/// The disparities of everybody else, pooled, against a privileged group, by name. Differences are signed: below 0
/// where the others fare worse by that rate.
pub fn against(privileged: &Tally, others: &Tally) -> [(&'static str, f64); 6] {
    let difference = |rate: fn(&Tally) -> Share| rate(others).value() - rate(privileged).value();
    let (recall, fallout) = (difference(Tally::true_positive_rate), difference(Tally::false_positive_rate));
    [
        ("statistical-parity-difference", difference(Tally::selection_rate)),
        ("disparate-impact", ratio(others.selection_rate().value(), privileged.selection_rate().value())),
        ("true-positive-rate-difference", recall),
        ("false-positive-rate-difference", fallout),
        ("average-odds-difference", (recall + fallout) / 2.0),
        ("average-absolute-odds-difference", (recall.abs() + fallout.abs()) / 2.0),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_group_alone_has_no_disparity() {
        let group = Tally { rows: 10, positives: 5, selected: 5, true_positives: 3 };
        assert!(between(&[group]).iter().all(|value| value.is_nan()));
        assert!(between(&[]).iter().all(|value| value.is_nan()));
    }

    #[test]
    fn nobody_selected_anywhere_is_no_difference_and_no_ratio() {
        let group = Tally { rows: 10, positives: 5, selected: 0, true_positives: 0 };
        let disparities = between(&[group, group]);
        assert_eq!(disparities[0], 0.0);
        assert!(disparities[1].is_nan());
    }

    #[test]
    fn a_group_without_a_rate_is_left_out_of_that_rate_only() {
        let full = Tally { rows: 10, positives: 5, selected: 5, true_positives: 3 };
        let other = Tally { rows: 10, positives: 4, selected: 2, true_positives: 2 };
        let negative = Tally { rows: 10, positives: 0, selected: 1, true_positives: 0 };
        let disparities = between(&[full, other, negative]);
        assert_eq!(disparities[0], 0.4);
        assert_eq!(disparities[5], between(&[full, other])[5]);
    }
}
