//! How far two samples are apart. Every definition is that of the library it is compared with in the tests.

/// Shares below this count as this in [`psi`], so that an empty bin does not make it infinite.
pub const LEAST_SHARE: f64 = 1e-4;

/// Sorts the values, without those that are missing.
pub fn sorted(values: &[f64]) -> Vec<f64> {
    let mut sorted: Vec<f64> =
        values.iter().copied().filter(|value| !value.is_nan()).map(|value| value + 0.0).collect();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted
}

/// The value below which a share of a sorted sample lies, with linear interpolation (numpy's default, type 7).
pub fn quantile(sorted: &[f64], share: f64) -> Option<f64> {
    let place = share * sorted.len().checked_sub(1)? as f64;
    let (low, part) = (place.floor() as usize, place.fract());
    let (below, above) = (sorted[low], sorted[(low + 1).min(sorted.len() - 1)]);
    // As numpy does: from the nearer end.
    Some(if part >= 0.5 { above - (above - below) * (1.0 - part) } else { below + (above - below) * part })
}

/// The inner edges of bins that hold equal shares of a sorted sample, each once.
pub fn edges(sorted: &[f64], bins: usize) -> Vec<f64> {
    let mut edges: Vec<f64> = (1..bins)
        .filter_map(|edge| quantile(sorted, edge as f64 / bins as f64))
        .filter(|edge| !edge.is_nan())
        .collect();
    edges.dedup();
    edges
}

/// The number of values in each bin. A value on an edge belongs to the bin above it.
pub fn counts(values: &[f64], edges: &[f64]) -> Vec<u64> {
    let mut counts = vec![0; edges.len() + 1];
    for value in values {
        counts[edges.partition_point(|edge| edge <= value)] += 1;
    }
    counts
}

/// Counts as shares of their sum; nothing if there is nothing to share.
fn shares(counts: &[u64]) -> Option<Vec<f64>> {
    let sum: u64 = counts.iter().sum();
    (sum > 0).then(|| counts.iter().map(|&count| count as f64 / sum as f64).collect())
}

/// The population stability index of two samples in the same bins.
pub fn psi(reference: &[u64], current: &[u64]) -> Option<f64> {
    let (reference, current) = (shares(reference)?, shares(current)?);
    let terms = reference.iter().zip(&current).map(|(&before, &now)| {
        let (before, now) = (before.max(LEAST_SHARE), now.max(LEAST_SHARE));
        (now - before) * (now / before).ln()
    });
    Some(terms.sum())
}

/// The Jensen-Shannon distance of two samples in the same bins, to base 2: from 0 to 1.
pub fn jensen_shannon(reference: &[u64], current: &[u64]) -> Option<f64> {
    let (reference, current) = (shares(reference)?, shares(current)?);
    let term = |share: f64, mean: f64| if share > 0.0 { share * (share / mean).ln() } else { 0.0 };
    let sum: f64 = reference
        .iter()
        .zip(&current)
        .map(|(&before, &now)| term(before, f64::midpoint(before, now)) + term(now, f64::midpoint(before, now)))
        .sum();
    Some((sum / 2.0 / std::f64::consts::LN_2).clamp(0.0, 1.0).sqrt())
}

/// Walks through two sorted samples: each distinct value, the step to the next, and both distribution functions.
fn walk(reference: &[f64], current: &[f64], mut visit: impl FnMut(f64, f64, f64)) {
    let (mut before, mut now) = (0, 0);
    let next = |before: usize, now: usize| match (reference.get(before), current.get(now)) {
        (Some(&a), Some(&b)) => Some(a.min(b)),
        (a, b) => a.or(b).copied(),
    };
    while let Some(value) = next(before, now) {
        before += reference[before..].iter().take_while(|&&other| other <= value).count();
        now += current[now..].iter().take_while(|&&other| other <= value).count();
        let step = next(before, now).map_or(0.0, |next| next - value);
        visit(step, before as f64 / reference.len() as f64, now as f64 / current.len() as f64);
    }
}

/// The largest difference between the distribution functions of two sorted samples.
pub fn kolmogorov_smirnov(reference: &[f64], current: &[f64]) -> Option<f64> {
    if reference.is_empty() || current.is_empty() {
        return None;
    }
    let mut largest = 0.0_f64;
    walk(reference, current, |_, before, now| largest = largest.max((before - now).abs()));
    Some(largest)
}

/// The area between the distribution functions of two sorted samples; nothing where an infinity makes it infinite.
pub fn wasserstein(reference: &[f64], current: &[f64]) -> Option<f64> {
    if reference.is_empty() || current.is_empty() {
        return None;
    }
    let mut area = 0.0;
    walk(reference, current, |step, before, now| area += step * (before - now).abs());
    area.is_finite().then_some(area)
}

/// The standard deviation of a whole population (divided by n).
pub fn deviation(values: &[f64]) -> Option<f64> {
    if values.is_empty() {
        return None;
    }
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let squares: f64 = values.iter().map(|value| (value - mean) * (value - mean)).sum();
    // Equal values may leave a rest that is only rounding.
    let constant = values.iter().all(|&value| value == values[0]);
    let deviation = if constant { 0.0 } else { (squares / count).sqrt() };
    deviation.is_finite().then_some(deviation)
}

/// Pearson's statistic for two rows of counts, without a correction, and its degrees of freedom.
pub fn chi_squared(reference: &[u64], current: &[u64]) -> Option<(f64, u64)> {
    let (before_sum, now_sum): (u64, u64) = (reference.iter().sum(), current.iter().sum());
    let used = || reference.iter().zip(current).filter(|&(&before, &now)| before + now > 0);
    let freedom = (used().count() as u64).checked_sub(1).filter(|&freedom| freedom > 0)?;
    if before_sum == 0 || now_sum == 0 {
        return None;
    }
    let total = (before_sum + now_sum) as f64;
    let term = |found: u64, sum: u64, column: u64| {
        let expected = sum as f64 * column as f64 / total;
        (found as f64 - expected) * (found as f64 - expected) / expected
    };
    let statistic =
        used().map(|(&before, &now)| term(before, before_sum, before + now) + term(now, now_sum, before + now)).sum();
    Some((statistic, freedom))
}
