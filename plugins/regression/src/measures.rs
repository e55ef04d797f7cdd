//! Every measure of a regression in one pass over rows that are sorted once, by the size of their errors.
//!
//! In that order the median and the largest error of a resample fall out of the same pass as the sums.

/// The number of measures that a bootstrap can judge.
pub const MEASURES: usize = 8;

/// A row that can be judged.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outcome {
    /// What was observed.
    pub actual: f64,
    /// What was predicted.
    pub predicted: f64,
}

impl Outcome {
    /// Predicted minus observed.
    pub fn residual(&self) -> f64 {
        self.predicted - self.actual
    }

    /// The size of the error.
    pub fn error(&self) -> f64 {
        self.residual().abs()
    }
}

/// Rows in the order of their errors.
pub struct Sample {
    rows: Vec<Outcome>,
    quantile: f64,
    /// The mean of what was observed, subtracted from it so that squares stay small and r2 exact.
    center: f64,
}

/// All measures. NaN is undefined.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measures {
    /// The mean size of the errors.
    pub mean_absolute_error: f64,
    /// The mean square of the errors.
    pub mean_squared_error: f64,
    /// 1 minus the share of the observed variance that is left in the errors.
    pub r2: f64,
    /// The median size of the errors; of an even number of rows, the middle of the middle two.
    pub median_absolute_error: f64,
    /// The largest error.
    pub max_error: f64,
    /// The mean of error ÷ observed; undefined where a row's observed value is 0.
    pub mean_absolute_percentage_error: f64,
    /// The mean pinball (quantile) loss at the quantile of the sample.
    pub pinball_loss: f64,
    /// The mean of predicted minus observed: the bias.
    pub mean_error: f64,
}

impl Measures {
    /// The measures by name, in a fixed order; all but the largest error.
    pub fn named(&self) -> [(&'static str, f64); MEASURES] {
        [
            ("mean-absolute-error", self.mean_absolute_error),
            ("mean-squared-error", self.mean_squared_error),
            ("root-mean-squared-error", self.mean_squared_error.sqrt()),
            ("r2", self.r2),
            ("median-absolute-error", self.median_absolute_error),
            ("mean-absolute-percentage-error", self.mean_absolute_percentage_error),
            ("pinball-loss", self.pinball_loss),
            ("mean-error", self.mean_error),
        ]
    }
}

impl Sample {
    /// Sorts the rows. The order in which they come does not matter, not even to the bootstrap.
    pub fn new(mut rows: Vec<Outcome>, quantile: f64) -> Self {
        rows.sort_by(|a, b| {
            a.error()
                .total_cmp(&b.error())
                .then(a.actual.total_cmp(&b.actual))
                .then(a.predicted.total_cmp(&b.predicted))
        });
        let center = rows.iter().map(|row| row.actual).sum::<f64>() / rows.len() as f64;
        Self { rows, quantile, center }
    }

    /// The rows, smallest error first.
    pub fn rows(&self) -> &[Outcome] {
        &self.rows
    }

    /// Measures the rows as they are.
    pub fn measure(&self) -> Measures {
        self.accumulate(|_| 1)
    }

    /// Measures a resample in which row `index` stands `counts[index]` times.
    pub fn measure_resample(&self, counts: &[u32]) -> Measures {
        self.accumulate(|index| counts[index])
    }

    fn accumulate(&self, multiplicity: impl Fn(usize) -> u32) -> Measures {
        // A resample has as many rows as the sample.
        let total = self.rows.len() as u64;
        // The places of the two middle errors, which are one where the number is odd.
        let (lower_middle, upper_middle) = (total.saturating_sub(1) / 2, total / 2);
        let (mut errors, mut residuals, mut squares, mut shares, mut pinball) = (0.0, 0.0, 0.0, 0.0, 0.0);
        let (mut values, mut value_squares, mut largest) = (0.0, 0.0, f64::NAN);
        let (mut lower, mut upper, mut passed) = (f64::NAN, f64::NAN, 0_u64);
        let (mut smallest_value, mut largest_value) = (f64::INFINITY, f64::NEG_INFINITY);
        let mut divisible = true;
        for (index, row) in self.rows.iter().enumerate() {
            let count = multiplicity(index);
            if count == 0 {
                continue;
            }
            let weight = f64::from(count);
            let (residual, error, value) = (row.residual(), row.error(), row.actual - self.center);
            errors += weight * error;
            residuals += weight * residual;
            squares += weight * error * error;
            divisible &= row.actual != 0.0;
            shares += weight * (error / row.actual.abs());
            pinball += weight * (-self.quantile * residual).max((1.0 - self.quantile) * residual);
            values += weight * value;
            value_squares += weight * value * value;
            smallest_value = row.actual.min(smallest_value);
            largest_value = row.actual.max(largest_value);
            largest = error;
            let reached = passed + u64::from(count);
            if passed <= lower_middle && lower_middle < reached {
                lower = error;
            }
            if passed <= upper_middle && upper_middle < reached {
                upper = error;
            }
            passed = reached;
        }
        let mean = |sum: f64| if total == 0 { f64::NAN } else { sum / total as f64 };
        let variation = value_squares - mean(values) * values;
        Measures {
            mean_absolute_error: mean(errors),
            mean_squared_error: mean(squares),
            // Rounding may leave a variation where there is one distinct value.
            r2: if smallest_value < largest_value && variation > 0.0 { 1.0 - squares / variation } else { f64::NAN },
            median_absolute_error: (lower + upper) / 2.0,
            max_error: largest,
            mean_absolute_percentage_error: if divisible { mean(shares) } else { f64::NAN },
            pinball_loss: mean(pinball),
            mean_error: mean(residuals),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(pairs: &[(f64, f64)]) -> Sample {
        Sample::new(pairs.iter().map(|&(actual, predicted)| Outcome { actual, predicted }).collect(), 0.9)
    }

    #[test]
    fn nothing_is_defined_without_rows() {
        for (name, value) in sample(&[]).measure().named() {
            assert!(value.is_nan(), "{name} is {value}");
        }
    }

    #[test]
    fn one_row_has_errors_but_no_variation_to_explain() {
        let measures = sample(&[(2.0, 5.0)]).measure();
        assert_eq!(measures.mean_absolute_error, 3.0);
        assert_eq!(measures.median_absolute_error, 3.0);
        assert_eq!(measures.max_error, 3.0);
        assert!(measures.r2.is_nan());
    }

    #[test]
    fn a_constant_label_has_no_r2_even_where_its_mean_is_not_exact() {
        let measures = sample(&[(0.1, 0.2), (0.1, 0.3), (0.1, 0.2)]).measure();
        assert!(measures.r2.is_nan(), "{}", measures.r2);
    }

    #[test]
    fn a_label_of_zero_leaves_the_percentage_undefined() {
        let measures = sample(&[(0.0, 1.0), (4.0, 5.0)]).measure();
        assert!(measures.mean_absolute_percentage_error.is_nan());
        assert_eq!(sample(&[(2.0, 1.0), (4.0, 5.0)]).measure().mean_absolute_percentage_error, 0.375);
    }

    #[test]
    fn the_median_of_an_even_number_is_the_middle_of_two() {
        assert_eq!(sample(&[(0.0, 1.0), (0.0, -2.0), (0.0, 4.0), (0.0, 9.0)]).measure().median_absolute_error, 3.0);
    }

    #[test]
    fn a_resample_measures_as_the_repeated_rows_do() {
        let rows = sample(&[(1.0, 1.5), (2.0, 1.0), (3.0, 5.0), (7.0, 3.0)]);
        let resampled = rows.measure_resample(&[2, 0, 1, 1]);
        let repeated = sample(&[(1.0, 1.5), (1.0, 1.5), (3.0, 5.0), (7.0, 3.0)]).measure();
        for ((name, left), (_, right)) in resampled.named().into_iter().zip(repeated.named()) {
            assert!((left - right).abs() < 1e-12, "{name}: {left} and {right}");
        }
    }
}
