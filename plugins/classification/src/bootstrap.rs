//! Percentile intervals from a seeded bootstrap.
//!
//! A resample is drawn as multiplicities of the rows, not as a copy of them: the measures then need one pass over
//! rows that stay sorted. A replicate in which a measure is undefined (no row of one class came up) counts as missing
//! and is reported, not as 0.

use std::ops::ControlFlow;

/// How intervals are made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// The number of resamples; 0 makes no intervals.
    pub replicates: u32,
    /// The share of the resamples' values that an interval holds.
    pub confidence: f64,
}

/// A measure and its interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// The measure's name.
    pub name: &'static str,
    /// Its value; NaN is undefined.
    pub value: f64,
    /// Its interval, unless none was asked for or it is undefined itself.
    pub interval: Option<Interval>,
}

/// The ends of an interval, and how many replicates had no value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// The ends, unless every replicate was undefined.
    pub ends: Option<(f64, f64)>,
    /// Replicates in which the measure was undefined.
    pub missing: usize,
}

/// Estimates the intervals of `observed` from what `measure` says of resamples of `rows` rows. `keep_on` is asked before
/// each of them; on its no, the intervals rest on fewer.
pub fn estimate<const N: usize>(
    observed: [(&'static str, f64); N],
    rows: usize,
    settings: Settings,
    random: &mut impl FnMut() -> u64,
    keep_on: impl Fn() -> bool,
    measure: impl Fn(&[u32]) -> [(&'static str, f64); N],
) -> Vec<Estimate> {
    let mut values: [Vec<f64>; N] = std::array::from_fn(|_| Vec::with_capacity(settings.replicates as usize));
    if rows > 0 {
        resample(rows, settings.replicates, random, |counts| {
            if !keep_on() {
                return ControlFlow::Break(());
            }
            for (values, (_, value)) in values.iter_mut().zip(measure(counts)) {
                values.push(value);
            }
            ControlFlow::Continue(())
        });
    }
    observed
        .into_iter()
        .zip(values)
        .map(|((name, value), values)| {
            let wanted = !values.is_empty() && !value.is_nan();
            let interval = wanted.then(|| percentile_interval(values, settings.confidence));
            Estimate { name, value, interval }
        })
        .collect()
}

/// Draws `replicates` resamples of `rows` rows and hands out how often each row came up.
fn resample(
    rows: usize,
    replicates: u32,
    random: &mut impl FnMut() -> u64,
    mut visit: impl FnMut(&[u32]) -> ControlFlow<()>,
) {
    let mut counts = vec![0_u32; rows];
    for _ in 0..replicates {
        counts.fill(0);
        for _ in 0..rows {
            counts[below(rows, random())] += 1;
        }
        if visit(&counts).is_break() {
            return;
        }
    }
}

/// Takes 64 random bits to an index below `bound`. The bias, `bound` / 2⁶⁴, is beneath anything a bootstrap can show.
fn below(bound: usize, bits: u64) -> usize {
    ((u128::from(bits) * bound as u128) >> 64) as usize
}

/// The interval that holds the middle `confidence` of the replicates' values.
fn percentile_interval(mut values: Vec<f64>, confidence: f64) -> Interval {
    let replicates = values.len();
    values.retain(|value| !value.is_nan());
    values.sort_by(f64::total_cmp);
    let missing = replicates - values.len();
    let tail = (1.0 - confidence) / 2.0;
    let ends = (!values.is_empty()).then(|| (quantile(&values, tail), quantile(&values, 1.0 - tail)));
    Interval { ends, missing }
}

/// The quantile of sorted values, with linear interpolation between two of them.
fn quantile(sorted: &[f64], level: f64) -> f64 {
    let position = level * (sorted.len() - 1) as f64;
    let below = (position.floor() as usize).min(sorted.len() - 1);
    let above = (below + 1).min(sorted.len() - 1);
    sorted[below] + (position - below as f64) * (sorted[above] - sorted[below])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resample_has_as_many_rows_as_the_sample() {
        let mut state = 1_u64;
        let mut random = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state
        };
        let mut seen = 0;
        resample(7, 20, &mut random, |counts| {
            assert_eq!(counts.iter().sum::<u32>(), 7);
            seen += 1;
            ControlFlow::Continue(())
        });
        assert_eq!(seen, 20);
    }

    #[test]
    fn undefined_replicates_are_counted_and_left_out() {
        let interval = percentile_interval(vec![f64::NAN, 3.0, 1.0, 2.0, f64::NAN], 0.5);
        assert_eq!(interval, Interval { ends: Some((1.5, 2.5)), missing: 2 });
        assert_eq!(percentile_interval(vec![f64::NAN], 0.95), Interval { ends: None, missing: 1 });
    }

    #[test]
    fn a_single_replicate_is_its_own_interval() {
        assert_eq!(percentile_interval(vec![4.0], 0.95).ends, Some((4.0, 4.0)));
    }
}
