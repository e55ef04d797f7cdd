//! Newton's method, and the penalised logistic loss of two classes.
//!
//! Second derivatives are cheap here, because a row of the matrix has few entries, and a dozen steps reach the last digit
//! that rounding leaves: weights that do not depend on where the descent began.

use stagewright_stage::Failure;
use stagewright_stage::design::Design;
use stagewright_stage::linear::{Symmetric, dot};

/// The largest slope at the end, for a column of deviation 1.
const TOLERANCE: f64 = 1e-8;

/// Below this part of the objective, what a step gains drowns in rounding.
const ROUNDING: f64 = 1e-10;

/// A product of numbers up to 2 that may grow once more without overflowing.
const LARGE: f64 = 1e9;

/// Whether the descent goes on after a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// It does.
    Continue,
    /// It ends here.
    Stop,
}

/// How the descent ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// At the minimum, as far as rounding lets one tell.
    Minimum,
    /// Before it, after the most steps.
    Limit,
    /// Before it, because it was told to.
    Stopped,
}

/// Where the descent ended.
#[derive(Debug, Clone)]
pub struct Fit {
    /// One weight for each column of the matrix.
    pub weights: Vec<f64>,
    /// `l2/2 · ||w||² + Σ logloss`.
    pub objective: f64,
    /// The largest slope, each measured in deviations of its column.
    pub slope: f64,
    /// The steps that were made.
    pub iterations: u32,
    /// How it ended.
    pub end: End,
    /// Whether every row lies on its side of the boundary.
    pub separated: bool,
}

/// What is minimised, and its derivatives.
pub trait Objective {
    /// The derivatives for these weights.
    ///
    /// # Errors
    /// Numbers end.
    fn point(&self, weights: Vec<f64>) -> Result<Point, Failure>;

    /// The second derivatives.
    fn curvature(&self, point: &Point) -> Symmetric;
}

/// One set of weights, and what is known of it.
#[derive(Debug)]
pub struct Point {
    /// The weights.
    pub weights: Vec<f64>,
    /// What is to become small.
    pub objective: f64,
    /// Its first derivatives.
    pub gradient: Vec<f64>,
    /// The largest of them, each measured in deviations of its column.
    pub slope: f64,
    /// What the second derivatives are made of, for each row.
    pub rows: Vec<f64>,
    /// Whether every row lies on its side of the boundary.
    pub separated: bool,
}

/// Minimises an objective from the given weights, in at most so many steps. `step` sees the number of steps and the
/// objective after each.
pub fn minimise(
    problem: &impl Objective,
    weights: Vec<f64>,
    most: u32,
    mut step: impl FnMut(u32, f64) -> Next,
) -> Result<Fit, Failure> {
    let mut point = problem.point(weights)?;
    let mut iterations = 0;
    let end = loop {
        if step(iterations, point.objective) == Next::Stop {
            break End::Stopped;
        }
        if point.slope <= TOLERANCE {
            break End::Minimum;
        }
        if iterations == most {
            break End::Limit;
        }
        iterations += 1;
        let downhill: Vec<f64> = point.gradient.iter().map(|slope| -slope).collect();
        let direction = problem.curvature(&point).factorize().solve(&downhill);
        let gain = -dot(&point.gradient, &direction);
        let fine = gain <= ROUNDING * (1.0 + point.objective);
        let Some(next) = walk(problem, &point, &direction, gain, fine)? else { break End::Minimum };
        // Where rounding hides what a step gains, its slope tells whether it was one; near the minimum each one falls
        // by far more than this.
        let stuck = fine && next.slope > 0.5 * point.slope;
        if !stuck || next.slope < point.slope {
            point = next;
        }
        if stuck {
            break End::Minimum;
        }
    };
    let Point { weights, objective, slope, separated, .. } = point;
    Ok(Fit { weights, objective, slope, iterations, end, separated })
}

/// Goes along a step, less far as long as it overshoots; nowhere if it leads nowhere.
fn walk(
    problem: &impl Objective,
    point: &Point,
    direction: &[f64],
    gain: f64,
    fine: bool,
) -> Result<Option<Point>, Failure> {
    if direction.iter().any(|part| !part.is_finite()) || gain.is_nan() {
        return Err(too_large());
    }
    let mut length = 1.0;
    for _ in 0..40 {
        let ahead = |(here, direction): (&f64, &f64)| here + length * direction;
        let next = problem.point(point.weights.iter().zip(direction).map(ahead).collect());
        // A step to where numbers end overshoots too, unless it is the last that counts.
        match next {
            Ok(next) if fine || next.objective <= point.objective - 1e-4 * length * gain => return Ok(Some(next)),
            Err(error) if fine => return Err(error),
            _ => length *= 0.5,
        }
    }
    Ok(None)
}

/// Two classes: `l2/2 · ||w||² + Σ logloss`, with one weight for each column of the matrix.
#[derive(Debug)]
pub struct Binary<'a> {
    /// The rows, their numbers centred.
    pub design: &'a Design,
    /// Which rows are positive.
    pub positive: &'a [bool],
    /// The column whose weight is not penalised.
    pub constant: usize,
    /// The deviation of each column.
    pub scales: &'a [f64],
    /// The weight of the penalty on large weights.
    pub l2: f64,
}

impl Binary<'_> {
    /// The best weights that ask no feature.
    pub fn start(&self) -> Vec<f64> {
        let positives = self.positive.iter().filter(|positive| **positive).count() as f64;
        let mut weights = vec![0.0; self.design.width()];
        weights[self.constant] = (positives / (self.positive.len() as f64 - positives)).ln();
        weights
    }

    /// What the penalty adds.
    fn penalty(&self, weights: &[f64]) -> f64 {
        let all = dot(weights, weights) - weights[self.constant] * weights[self.constant];
        0.5 * self.l2 * all
    }
}

impl Objective for Binary<'_> {
    fn point(&self, weights: Vec<f64>) -> Result<Point, Failure> {
        // From the weights each time, lest the margins gather the rounding of every step.
        let margins = self.design.times(&weights);
        let rows = margins.len();
        let (mut residuals, mut curvatures) = (Vec::with_capacity(rows), Vec::with_capacity(rows));
        // Each row adds `ln(1 + small)`. A logarithm costs more than all the rest, and that of a product is the sum.
        let (mut objective, mut product, mut separated) = (0.0, 1.0, true);
        for (margin, positive) in margins.iter().zip(self.positive) {
            let right = signed(*margin, *positive);
            let small = (-right.abs()).exp();
            let wrong = if right >= 0.0 { small / (1.0 + small) } else { 1.0 / (1.0 + small) };
            separated &= right > 0.0;
            objective += (-right).max(0.0);
            product *= 1.0 + small;
            if product > LARGE {
                objective += product.ln();
                product = 1.0;
            }
            residuals.push(if *positive { -wrong } else { wrong });
            curvatures.push(small / ((1.0 + small) * (1.0 + small)));
        }
        objective += product.ln() + self.penalty(&weights);
        let mut gradient = self.design.transposed_times(&residuals);
        for (place, slope) in gradient.iter_mut().enumerate().filter(|(place, _)| *place != self.constant) {
            *slope += self.l2 * weights[place];
        }
        let slopes = gradient.iter().zip(self.scales).map(|(slope, scale)| slope.abs() / scale);
        let slope = slopes.fold(0.0, f64::max);
        if !objective.is_finite() || gradient.iter().any(|slope| !slope.is_finite()) {
            return Err(too_large());
        }
        Ok(Point { weights, objective, gradient, slope, rows: curvatures, separated })
    }

    fn curvature(&self, point: &Point) -> Symmetric {
        let mut products = self.design.products(|row| point.rows[row]);
        for place in (0..products.size()).filter(|place| *place != self.constant) {
            products.row_mut(place)[place] += self.l2;
        }
        products
    }
}

/// How far a row lies on its side of the boundary.
fn signed(margin: f64, positive: bool) -> f64 {
    if positive { margin } else { -margin }
}

/// The probability of the positive class.
pub fn probability(margin: f64) -> f64 {
    let small = (-margin.abs()).exp();
    if margin >= 0.0 { 1.0 / (1.0 + small) } else { small / (1.0 + small) }
}

pub(crate) fn too_large() -> Failure {
    Failure::invalid_data("the values are too large to fit; standardize them first, as the tabular featurizer does")
}
