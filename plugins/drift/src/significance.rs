//! How likely such a difference is by chance.

use statrs::function::gamma::checked_gamma_ur;

/// The probability of a chi-squared statistic at least this large.
pub fn chi_squared(statistic: f64, freedom: u64) -> Option<f64> {
    if statistic <= 0.0 {
        return Some(1.0);
    }
    checked_gamma_ur(freedom as f64 / 2.0, statistic / 2.0).ok().map(|p| p.clamp(0.0, 1.0))
}

/// The probability of a two-sample Kolmogorov-Smirnov statistic at least this large.
///
/// As `scipy.stats.ks_2samp(method="asymp")`: the distribution for one sample of `m n / (m + n)` values.
pub fn kolmogorov_smirnov(statistic: f64, reference: usize, current: usize) -> f64 {
    let (before, now) = (reference as f64, current as f64);
    kolmogorov((before * now / (before + now)).round_ties_even().max(1.0), statistic)
}

/// The probability that the distribution function of `n` values differs from the true one by at least `x`.
///
/// The choice of methods is that of Simard and L'Ecuyer (Journal of Statistical Software 39(11), 2011), with the
/// bounds that scipy uses. Each is exact to about ten digits where it is chosen.
fn kolmogorov(n: f64, x: f64) -> f64 {
    let scaled = n * x;
    if x >= 1.0 {
        return 0.0;
    }
    if scaled <= 0.5 {
        return 1.0;
    }
    let square = scaled * x;
    let probability = if scaled >= n - 1.0 {
        2.0 * (1.0 - x).powf(n)
    } else if square >= 370.0 {
        0.0
    } else if x >= 0.5 || square >= if n <= 140.0 { 4.0 } else { 2.2 } {
        2.0 * one_sided(n, x)
    } else if n <= 140.0 || (n <= 100_000.0 && n * x.powf(1.5) <= 1.4) {
        1.0 - durbin(n, x)
    } else {
        1.0 - pelz_good(n, x)
    };
    probability.clamp(0.0, 1.0)
}

/// Smirnov's exact one-sided probability, summed in logarithms.
fn one_sided(n: f64, x: f64) -> f64 {
    let last = (n * (1.0 - x)).floor();
    let mut sum = 0.0;
    let mut binomial = 0.0_f64;
    let mut place = 0.0;
    while place <= last {
        let share = x + place / n;
        let rest = (1.0 - share).max(0.0);
        sum += (binomial + (place - 1.0) * share.ln() + (n - place) * rest.ln()).exp();
        binomial += ((n - place) / (place + 1.0)).ln();
        place += 1.0;
    }
    x * sum
}

/// Durbin's matrix formula as evaluated by Marsaglia, Tsang and Wang (Journal of Statistical Software 8(18), 2003):
/// the probability of a difference of less than `x`.
fn durbin(n: f64, x: f64) -> f64 {
    let k = (n * x).floor() as usize + 1;
    let size = 2 * k - 1;
    let h = k as f64 - n * x;
    let mut matrix = vec![0.0; size * size];
    for row in 0..size {
        for column in 0..size {
            if row + 1 >= column {
                matrix[row * size + column] = 1.0;
            }
        }
    }
    for place in 0..size {
        let power = h.powi(place as i32 + 1);
        matrix[place * size] -= power;
        matrix[(size - 1) * size + place] -= h.powi((size - place) as i32);
    }
    if 2.0 * h - 1.0 > 0.0 {
        matrix[(size - 1) * size] += (2.0 * h - 1.0).powi(size as i32);
    }
    for row in 0..size {
        for column in 0..size {
            for divisor in 1..=(row + 1).saturating_sub(column) {
                matrix[row * size + column] /= divisor as f64;
            }
        }
    }
    let (power, mut exponent) = matrix_power(&matrix, size, n as u64);
    let mut result = power[(k - 1) * size + k - 1];
    let mut factor = 1.0;
    while factor <= n {
        result = result * factor / n;
        if result < SMALL {
            result *= LARGE;
            exponent -= EXPONENT;
        }
        factor += 1.0;
    }
    result * 10.0_f64.powi(exponent)
}

const LARGE: f64 = 1e140;
const SMALL: f64 = 1e-140;
const EXPONENT: i32 = 140;

/// A power of a square matrix, and the power of ten that it is to be multiplied with.
fn matrix_power(matrix: &[f64], size: usize, power: u64) -> (Vec<f64>, i32) {
    let product = |left: &[f64], right: &[f64]| {
        let mut product = vec![0.0; size * size];
        for row in 0..size {
            for inner in 0..size {
                let factor = left[row * size + inner];
                for column in 0..size {
                    product[row * size + column] += factor * right[inner * size + column];
                }
            }
        }
        product
    };
    let middle = (size / 2) * size + size / 2;
    let tame = |matrix: &mut Vec<f64>, exponent: &mut i32| {
        if matrix[middle] > LARGE {
            matrix.iter_mut().for_each(|value| *value *= SMALL);
            *exponent += EXPONENT;
        }
    };
    let mut result: Option<(Vec<f64>, i32)> = None;
    let (mut square, mut exponent, mut left) = (matrix.to_vec(), 0, power);
    loop {
        if left & 1 == 1 {
            result = Some(match result {
                None => (square.clone(), exponent),
                Some((so_far, places)) => {
                    let (mut next, mut places) = (product(&so_far, &square), places + exponent);
                    tame(&mut next, &mut places);
                    (next, places)
                }
            });
        }
        left >>= 1;
        if left == 0 {
            return result.unwrap_or((square, exponent));
        }
        square = product(&square, &square);
        exponent *= 2;
        tame(&mut square, &mut exponent);
    }
}

/// Pelz and Good's expansion (Journal of the Royal Statistical Society B 38(2), 1976): the probability of a
/// difference of less than `x`.
fn pelz_good(n: f64, x: f64) -> f64 {
    use std::f64::consts::PI;
    let z = n.sqrt() * x;
    let (z2, z4, z6) = (z.powi(2), z.powi(4), z.powi(6));
    let (pi2, pi4, pi6) = (PI.powi(2), PI.powi(4), PI.powi(6));
    let q = (-pi2 / 8.0 / z2).exp();
    if q == 0.0 {
        return 0.0;
    }
    let terms = (16.0 * z / PI).ceil() as i32;
    let mut sums = [0.0; 4];
    for term in (1..=terms).rev() {
        let odd = f64::from(2 * term - 1);
        let (m2, m4, m6) = (odd.powi(2), odd.powi(4), odd.powi(6));
        let power = q.powf(odd * odd);
        sums[0] += power;
        sums[1] += power * (-z2 + pi2 / 4.0 * m2);
        sums[2] +=
            power * (6.0 * z6 + 2.0 * z4 + (2.0 * z4 - 5.0 * z2) * pi2 / 4.0 * m2 + pi4 * (1.0 - 2.0 * z2) / 16.0 * m4);
        sums[3] += power
            * (-30.0 * z6 - 90.0 * z.powi(8)
                + pi2 * (135.0 * z4 - 96.0 * z6) / 4.0 * m2
                + pi4 * (-60.0 * z2 + 212.0 * z4) / 16.0 * m4
                + pi6 * (5.0 - 30.0 * z2) / 64.0 * m6);
    }
    let root = (2.0 * PI).sqrt();
    sums[0] *= root / z;
    sums[1] *= root / (6.0 * z4);
    sums[2] *= root / (72.0 * z.powi(7));
    sums[3] *= root / (6480.0 * z.powi(10));
    let q = (-pi2 / 2.0 / z2).exp();
    for term in (1..=terms).rev() {
        let k2 = f64::from(term).powi(2);
        let power = q.powf(k2);
        sums[2] -= power * k2 * pi2 * root / (36.0 * z.powi(3));
        sums[3] += power * k2 * (3.0 * z2 - pi2 * k2) * pi2 * root / (216.0 * z6);
    }
    sums.iter().enumerate().map(|(power, sum)| sum / n.powf(power as f64 / 2.0)).sum::<f64>().clamp(0.0, 1.0)
}

/// Benjamini and Hochberg's adjusted p-values (1995): those below `q` may be called differences, and about a share
/// `q` of them will not be.
pub fn benjamini_hochberg(probabilities: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..probabilities.len()).collect();
    order.sort_by(|&a, &b| probabilities[a].total_cmp(&probabilities[b]));
    let mut adjusted = vec![1.0; probabilities.len()];
    let mut least = 1.0_f64;
    for (rank, &place) in order.iter().enumerate().rev() {
        least = least.min(probabilities[place] * probabilities.len() as f64 / (rank + 1) as f64);
        adjusted[place] = least;
    }
    adjusted
}
