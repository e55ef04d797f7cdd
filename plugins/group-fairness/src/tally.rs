//! What is counted of a group, and the rates that follow from it.
//!
//! Undefined is NaN in here and becomes "no value" where a report is made: a group without a positive row has no true
//! positive rate, and 0 in its place (as some libraries have it) would be the worst of all disparities.

/// Bins of the calibration error, of equal width.
const CALIBRATION_BINS: usize = 10;

/// The 97.5th percentile of the standard normal distribution: intervals hold 95 %.
const NORMAL_QUANTILE: f64 = 1.959_963_984_540_054;

/// A row that can be judged.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outcome {
    /// Whether the row really is of the positive class.
    pub positive: bool,
    /// Whether it was decided to be.
    pub selected: bool,
    /// The probability of the positive class, where the model gives one, else NaN.
    pub score: f64,
}

/// Counts of a group's rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// All of them.
    pub rows: u64,
    /// Labelled positive.
    pub positives: u64,
    /// Decided positive.
    pub selected: u64,
    /// Both.
    pub true_positives: u64,
}

/// Divides; undefined where there is nothing to divide by.
pub(crate) fn ratio(numerator: f64, denominator: f64) -> f64 {
    if denominator == 0.0 { f64::NAN } else { numerator / denominator }
}

/// A share of a count.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Share {
    /// How many.
    pub part: u64,
    /// Of how many.
    pub whole: u64,
}

impl Share {
    /// The share itself, undefined of nothing.
    pub fn value(self) -> f64 {
        ratio(self.part as f64, self.whole as f64)
    }

    /// Wilson's 95 % interval, which unlike the bootstrap says something even where the share is 0 or 1.
    pub fn interval(self) -> Option<(f64, f64)> {
        if self.whole == 0 {
            return None;
        }
        let (whole, share, squared) = (self.whole as f64, self.value(), NORMAL_QUANTILE * NORMAL_QUANTILE);
        let middle = (share + squared / (2.0 * whole)) / (1.0 + squared / whole);
        let half = NORMAL_QUANTILE / (1.0 + squared / whole)
            * (share * (1.0 - share) / whole + squared / (4.0 * whole * whole)).sqrt();
        Some(((middle - half).max(0.0), (middle + half).min(1.0)))
    }
}

impl Tally {
    /// Counts a row.
    pub fn add(&mut self, row: &Outcome) {
        self.rows += 1;
        self.positives += u64::from(row.positive);
        self.selected += u64::from(row.selected);
        self.true_positives += u64::from(row.positive && row.selected);
    }

    /// Counts another group's rows as well.
    pub fn join(&mut self, other: &Self) {
        self.rows += other.rows;
        self.positives += other.positives;
        self.selected += other.selected;
        self.true_positives += other.true_positives;
    }

    /// Counts many rows.
    pub fn of<'rows>(rows: impl IntoIterator<Item = &'rows Outcome>) -> Self {
        let mut tally = Self::default();
        rows.into_iter().for_each(|row| tally.add(row));
        tally
    }

    /// Negative, yet selected.
    pub fn false_positives(&self) -> u64 {
        self.selected - self.true_positives
    }

    /// Labelled negative.
    pub fn negatives(&self) -> u64 {
        self.rows - self.positives
    }

    /// Who is selected.
    pub fn selection_rate(&self) -> Share {
        Share { part: self.selected, whole: self.rows }
    }

    /// Who is selected among the positive.
    pub fn true_positive_rate(&self) -> Share {
        Share { part: self.true_positives, whole: self.positives }
    }

    /// Who is selected among the negative.
    pub fn false_positive_rate(&self) -> Share {
        Share { part: self.false_positives(), whole: self.negatives() }
    }

    /// Who is positive among the selected.
    pub fn precision(&self) -> Share {
        Share { part: self.true_positives, whole: self.selected }
    }

    /// Who is decided rightly.
    pub fn accuracy(&self) -> Share {
        let true_negatives = self.negatives() - self.false_positives();
        Share { part: self.true_positives + true_negatives, whole: self.rows }
    }

    /// Who is positive.
    pub fn base_rate(&self) -> Share {
        Share { part: self.positives, whole: self.rows }
    }

    /// The rates by name.
    pub fn rates(&self) -> [(&'static str, Share); 6] {
        [
            ("selection-rate", self.selection_rate()),
            ("true-positive-rate", self.true_positive_rate()),
            ("false-positive-rate", self.false_positive_rate()),
            ("precision", self.precision()),
            ("accuracy", self.accuracy()),
            ("base-rate", self.base_rate()),
        ]
    }

    /// The generalized entropy of the benefits `decision - label + 1`, by name: Theil's index and the one with
    /// alpha 2. Both are 0 where everybody benefits alike.
    pub fn inequality(&self) -> [(&'static str, f64); 2] {
        let rows = self.rows as f64;
        let twice = self.false_positives() as f64;
        let once = rows - twice - (self.positives - self.true_positives) as f64;
        let mean = ratio(once + 2.0 * twice, rows);
        let term = |benefit: f64| (benefit / mean) * (benefit / mean).ln();
        let theil = (once * term(1.0) + twice * term(2.0)) / rows;
        let squares = (once + 4.0 * twice) / (rows * mean * mean);
        let defined = |value: f64| if mean > 0.0 { value } else { f64::NAN };
        [("theil-index", defined(theil)), ("generalized-entropy-index", defined((squares - 1.0) / 2.0))]
    }
}

/// How far a group's scores are from its labels, by name: over ten bins, and in the mean.
pub fn calibration<'rows>(rows: impl IntoIterator<Item = &'rows Outcome>) -> [(&'static str, f64); 2] {
    let mut gaps = [0.0; CALIBRATION_BINS];
    let (mut total, mut probabilities) = (0.0, true);
    for row in rows {
        probabilities &= (0.0..=1.0).contains(&row.score);
        // A cast saturates, and takes NaN to 0; then there is no value anyway.
        let bin = ((row.score * CALIBRATION_BINS as f64) as usize).min(CALIBRATION_BINS - 1);
        gaps[bin] += f64::from(u8::from(row.positive)) - row.score;
        total += 1.0;
    }
    let mean = |sum: f64| if probabilities { ratio(sum, total) } else { f64::NAN };
    [
        ("expected-calibration-error", mean(gaps.iter().map(|gap: &f64| gap.abs()).sum())),
        ("calibration-gap", mean(gaps.iter().sum::<f64>().abs())),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_without_rows_has_no_rates_and_no_intervals() {
        for (name, share) in Tally::default().rates() {
            assert!(share.value().is_nan(), "{name}");
            assert_eq!(share.interval(), None, "{name}");
        }
        for (name, value) in Tally::default().inequality().into_iter().chain(calibration([])) {
            assert!(value.is_nan(), "{name} is {value}");
        }
    }

    #[test]
    fn nobody_selected_leaves_precision_undefined_but_not_the_other_rates() {
        let tally = Tally { rows: 4, positives: 2, selected: 0, true_positives: 0 };
        assert!(tally.precision().value().is_nan());
        assert_eq!(tally.true_positive_rate().value(), 0.0);
        assert_eq!(tally.accuracy().value(), 0.5);
    }

    #[test]
    fn an_interval_stays_within_zero_and_one_and_has_a_width_even_at_its_ends() {
        let (low, high) = Share { part: 0, whole: 10 }.interval().unwrap();
        assert_eq!(low, 0.0);
        assert!((high - 0.277_532_799).abs() < 1e-6, "{high}");
    }

    #[test]
    fn right_decisions_alone_are_no_inequality() {
        let tally = Tally { rows: 10, positives: 4, selected: 4, true_positives: 4 };
        assert_eq!(tally.inequality(), [("theil-index", 0.0), ("generalized-entropy-index", 0.0)]);
    }

    #[test]
    fn scores_that_are_no_probabilities_are_not_calibrated() {
        let row = Outcome { positive: true, selected: true, score: 1.5 };
        assert!(calibration([&row])[0].1.is_nan());
    }
}
