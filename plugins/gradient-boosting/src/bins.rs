//! From numbers to at most 255 bins: trees are grown on bytes, not on floats.
//!
//! The cut points are LightGBM's (`src/io/bin.cpp`, `GreedyFindBin` and `FindBinWithZeroAsOneBin`): a bin for every
//! distinct value while they last, else bins of about equal count; zero always has a bin of its own. Following it
//! to the letter is what makes results comparable with the reference.

/// The most bins that a feature may have, the one for missing values included: a bin's number is a byte, and 255 is
/// kept for "missing, though training had none missing".
pub const MOST_BINS: usize = 255;

/// No bin of training: the value is missing.
pub const UNSEEN_MISSING: u8 = 255;

/// Values closer to zero than this count as zero.
const ZERO: f64 = 1e-35;

/// Stands for the infinities, so that midpoints stay finite.
const LARGEST: f64 = 1e300;

/// Where one feature's bins end.
#[derive(Debug, Clone, PartialEq)]
pub struct Cuts {
    /// Bin `i` holds the values up to and including `bounds[i]`; the last is infinite.
    bounds: Vec<f64>,
    /// Whether training lacked values, so that they have a bin behind the others.
    missing: bool,
}

impl Cuts {
    /// Learns the bins of a feature. `values` are in any order; NaN is missing.
    pub fn learn(values: &[f64], most_bins: usize, least_rows: usize) -> Self {
        let mut sorted: Vec<f64> = values.iter().filter(|value| !value.is_nan()).map(|&value| tame(value)).collect();
        let missing = sorted.len() < values.len();
        sorted.sort_unstable_by(f64::total_cmp);
        let mut distinct: Vec<(f64, usize)> = Vec::new();
        for value in sorted {
            match distinct.last_mut() {
                Some((last, count)) if value <= last.next_up() => {
                    // LightGBM merges neighbouring floats into the larger.
                    *last = value;
                    *count += 1;
                }
                _ => distinct.push((value, 1)),
            }
        }
        let most_bins = most_bins.clamp(2, MOST_BINS) - usize::from(missing);
        Self { bounds: bounds_around_zero(&distinct, most_bins, least_rows), missing }
    }

    /// The number of bins that training rows fall into.
    pub fn count(&self) -> usize {
        self.bounds.len() + usize::from(self.missing)
    }

    /// The number of bins that hold values; the bin of missing values, if there is one, comes next.
    pub fn of_values(&self) -> usize {
        self.bounds.len()
    }

    /// Whether training lacked values.
    pub fn has_missing(&self) -> bool {
        self.missing
    }

    /// The largest value in a bin.
    pub fn bound(&self, bin: usize) -> f64 {
        self.bounds.get(bin).copied().unwrap_or(f64::INFINITY)
    }

    /// The bin of a value.
    pub fn bin(&self, value: f64) -> u8 {
        if value.is_nan() {
            return if self.missing { byte(self.bounds.len()) } else { UNSEEN_MISSING };
        }
        let value = tame(value);
        byte(self.bounds.partition_point(|&bound| bound < value).min(self.bounds.len() - 1))
    }
}

/// A bin's number as a byte: there are at most [`MOST_BINS`].
fn byte(bin: usize) -> u8 {
    u8::try_from(bin).unwrap_or(UNSEEN_MISSING)
}

fn tame(value: f64) -> f64 {
    // Adding zero turns -0 into 0.
    value.clamp(-LARGEST, LARGEST) + 0.0
}

fn rows_of(distinct: &[(f64, usize)]) -> usize {
    distinct.iter().map(|&(_, count)| count).sum()
}

fn bounds_around_zero(distinct: &[(f64, usize)], most_bins: usize, least_rows: usize) -> Vec<f64> {
    let negative_end = distinct.partition_point(|&(value, _)| value <= -ZERO);
    let positive_start = distinct.partition_point(|&(value, _)| value <= ZERO);
    let (negative, positive) = (&distinct[..negative_end], &distinct[positive_start..]);
    let (below, above) = (rows_of(negative), rows_of(positive));
    let mut bounds = Vec::new();
    if !negative.is_empty() && most_bins > 1 {
        let share = below as f64 / (below + above) as f64;
        let bins = ((share * (most_bins - 1) as f64) as usize).max(1);
        bounds = greedy_bounds(negative, bins, below, least_rows);
        if let Some(last) = bounds.last_mut() {
            *last = -ZERO;
        }
    }
    let left_over = (most_bins - 1).saturating_sub(bounds.len());
    if !positive.is_empty() && left_over > 0 {
        bounds.push(ZERO);
        bounds.extend(greedy_bounds(positive, left_over, above, least_rows));
    } else {
        bounds.push(f64::INFINITY);
    }
    bounds
}

fn greedy_bounds(distinct: &[(f64, usize)], most_bins: usize, rows: usize, least_rows: usize) -> Vec<f64> {
    let mut bounds: Vec<f64> = Vec::new();
    let mut cut_between = |below: f64, above: f64| {
        let bound = (f64::midpoint(below, above)).next_up();
        let new = bounds.last().is_none_or(|&last| bound > f64::next_up(last));
        if new {
            bounds.push(bound);
        }
        new
    };
    if distinct.len() <= most_bins {
        let mut in_bin = 0;
        for pair in distinct.windows(2) {
            in_bin += pair[0].1;
            if in_bin >= least_rows && cut_between(pair[0].0, pair[1].0) {
                in_bin = 0;
            }
        }
    } else {
        let most_bins = most_bins.min(rows / least_rows.max(1)).max(1);
        let mean = rows as f64 / most_bins as f64;
        // A value that fills a bin alone gets one; the rest share what is left.
        let big: Vec<bool> = distinct.iter().map(|&(_, count)| count as f64 >= mean).collect();
        let mut bins_left = most_bins as f64;
        let mut rows_left = rows as f64;
        for (&(_, count), _) in distinct.iter().zip(&big).filter(|&(_, &big)| big) {
            bins_left -= 1.0;
            rows_left -= count as f64;
        }
        let mut mean = rows_left / bins_left;
        let mut in_bin = 0.0;
        let mut made = 0;
        for (place, pair) in distinct.windows(2).enumerate() {
            let (is_big, next_is_big) = (big[place], big[place + 1]);
            let count = pair[0].1 as f64;
            if !is_big {
                rows_left -= count;
            }
            in_bin += count;
            if is_big || in_bin >= mean || (next_is_big && in_bin >= (mean * 0.5).max(1.0)) {
                cut_between(pair[0].0, pair[1].0);
                made += 1;
                if made + 1 >= most_bins {
                    break;
                }
                in_bin = 0.0;
                if !is_big {
                    bins_left -= 1.0;
                    mean = rows_left / bins_left;
                }
            }
        }
    }
    bounds.push(f64::INFINITY);
    bounds
}

/// A table in bins, column by column.
#[derive(Debug, Clone, Default)]
pub struct Binned {
    rows: usize,
    columns: Vec<Vec<u8>>,
}

impl Binned {
    /// A table without columns yet.
    pub fn new(rows: usize) -> Self {
        Self { rows, columns: Vec::new() }
    }

    /// Adds a column. Values that are not there count as missing, values too many are left out.
    pub fn push(&mut self, cuts: &Cuts, values: &[f64]) {
        let mut column: Vec<u8> = values.iter().take(self.rows).map(|&value| cuts.bin(value)).collect();
        column.resize(self.rows, cuts.bin(f64::NAN));
        self.columns.push(column);
    }

    /// The number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// A column's bins.
    pub fn column(&self, feature: usize) -> &[u8] {
        &self.columns[feature]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_distinct_values_get_a_bin_each_and_zero_its_own() {
        let values: Vec<f64> = [-1.0, 0.0, 2.0, 3.0].iter().flat_map(|&value| [value; 5]).collect();
        let cuts = Cuts::learn(&values, 255, 3);
        assert_eq!(
            [-7.0, -1.0, 0.0, -0.0, 1.0, 2.0, 2.4, 2.6, 9.0].map(|value| cuts.bin(value)),
            [0, 0, 1, 1, 2, 2, 2, 3, 3]
        );
        assert_eq!((cuts.count(), cuts.bin(f64::NAN)), (4, UNSEEN_MISSING));
    }

    #[test]
    fn missing_values_have_a_bin_behind_the_others() {
        let cuts = Cuts::learn(&[1.0, 1.0, 1.0, 2.0, 2.0, 2.0, f64::NAN], 255, 3);
        assert_eq!(usize::from(cuts.bin(f64::NAN)), cuts.of_values());
        assert_eq!(cuts.count(), cuts.of_values() + 1);
    }

    #[test]
    fn many_distinct_values_share_bins_of_about_equal_count() {
        let values: Vec<f64> = (1..=100_000).map(f64::from).collect();
        let cuts = Cuts::learn(&values, 255, 3);
        let mut counts = vec![0_usize; cuts.count()];
        for &value in &values {
            counts[usize::from(cuts.bin(value))] += 1;
        }
        assert_eq!(cuts.count(), 255);
        // The first bin is zero's.
        assert!(counts[1..].iter().all(|count| (390..=400).contains(count)), "{counts:?}");
    }

    #[test]
    fn awkward_columns_give_one_bin_or_finite_bounds() {
        assert_eq!(Cuts::learn(&[], 255, 3).count(), 1);
        assert_eq!(Cuts::learn(&[f64::NAN; 4], 255, 3).count(), 2);
        assert_eq!(Cuts::learn(&[7.0; 9], 255, 3).bin(7.0), Cuts::learn(&[7.0; 9], 255, 3).bin(8.0));
        let cuts = Cuts::learn(&[f64::NEG_INFINITY, f64::INFINITY, f64::MAX, f64::MIN, 0.0, 1.0, 1.0], 255, 1);
        assert!(cuts.bin(f64::NEG_INFINITY) < cuts.bin(0.0) && cuts.bin(0.0) < cuts.bin(f64::INFINITY));
        assert!((0..cuts.of_values() - 1).all(|bin| cuts.bound(bin).is_finite()));
    }
}
