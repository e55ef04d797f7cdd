//! More than two classes: the softmax of one linear score for each, `l2/2 · ||w||² + Σ logloss`.
//!
//! The weights stand class by class. Adding the same to every class's intercept changes no probability; the solution
//! with intercepts that sum to 0 is the one that is kept.

use serde::{Deserialize, Serialize};
use stagewright_stage::design::{Design, Encoding};
use stagewright_stage::linear::Symmetric;
use stagewright_stage::several::Several;
use stagewright_stage::{Failure, Field, Table};

use crate::newton::{Objective, Point, too_large};

/// A linear model of several classes, as it is saved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Multinomial {
    /// How columns enter the model.
    pub encoding: Encoding,
    /// The classes.
    pub classes: Several,
    /// For each class, one weight for each column of the matrix; the intercept stands at [`Encoding::constant`].
    pub weights: Vec<Vec<f64>>,
}

impl Multinomial {
    /// Whether its parts fit each other.
    pub(crate) fn is_sound(&self) -> bool {
        let sound = |weights: &Vec<f64>| {
            weights.len() == self.encoding.width() && weights.iter().all(|weight| weight.is_finite())
        };
        self.weights.len() == self.classes.0.len() && self.weights.len() > 2 && self.weights.iter().all(sound)
    }

    pub(crate) fn schema(&self) -> Vec<Field> {
        self.classes.schema()
    }

    pub(crate) fn predict(&self, rows: &Table) -> Result<Table, Failure> {
        let design = self.encoding.apply(rows)?;
        let mut scores: Vec<Vec<f64>> = self.weights.iter().map(|weights| design.times(weights)).collect();
        for row in 0..design.rows() {
            softmax(&mut scores, row);
        }
        self.classes.predictions(scores)
    }
}

/// Turns one row's scores into probabilities, and returns the logarithm of the sum that they were divided by.
fn softmax(scores: &mut [Vec<f64>], row: usize) -> f64 {
    let largest = scores.iter().map(|scores| scores[row]).fold(f64::NEG_INFINITY, f64::max);
    let mut sum = 0.0;
    for scores in scores.iter_mut() {
        scores[row] = (scores[row] - largest).exp();
        sum += scores[row];
    }
    scores.iter_mut().for_each(|scores| scores[row] /= sum);
    largest + sum.ln()
}

/// What is to be fitted.
#[derive(Debug)]
pub struct Softmax<'a> {
    /// The rows, their numbers centred.
    pub design: &'a Design,
    /// Each row's class.
    pub classes: &'a [usize],
    /// The number of classes.
    pub count: usize,
    /// The column whose weight is not penalised.
    pub constant: usize,
    /// The deviation of each column.
    pub scales: &'a [f64],
    /// The weight of the penalty on large weights.
    pub l2: f64,
}

impl Softmax<'_> {
    /// The best weights that ask no feature.
    pub fn start(&self) -> Vec<f64> {
        let width = self.design.width();
        let mut counts = vec![0.0_f64; self.count];
        self.classes.iter().for_each(|class| counts[*class] += 1.0);
        let mean = counts.iter().map(|count| count.ln()).sum::<f64>() / self.count as f64;
        let mut weights = vec![0.0; width * self.count];
        for (class, count) in counts.iter().enumerate() {
            weights[class * width + self.constant] = count.ln() - mean;
        }
        weights
    }
}

impl Objective for Softmax<'_> {
    fn point(&self, mut weights: Vec<f64>) -> Result<Point, Failure> {
        let width = self.design.width();
        // Where intercepts are free to move together, they do not.
        let mean = (0..self.count).map(|class| weights[class * width + self.constant]).sum::<f64>() / self.count as f64;
        (0..self.count).for_each(|class| weights[class * width + self.constant] -= mean);
        let mut scores: Vec<Vec<f64>> = weights.chunks_exact(width).map(|weights| self.design.times(weights)).collect();
        let (mut objective, mut separated) = (0.0, true);
        for (row, class) in self.classes.iter().enumerate() {
            let right = scores[*class][row];
            separated &= (0..self.count).all(|other| other == *class || scores[other][row] < right);
            objective += softmax(&mut scores, row) - right;
        }
        let (mut gradient, mut slope) = (Vec::with_capacity(weights.len()), 0.0_f64);
        for (class, probabilities) in scores.iter().enumerate() {
            let wrong = |(probability, is): (&f64, &usize)| probability - f64::from(u8::from(*is == class));
            let residuals: Vec<f64> = probabilities.iter().zip(self.classes).map(wrong).collect();
            let mut part = self.design.transposed_times(&residuals);
            for (place, part) in part.iter_mut().enumerate() {
                if place != self.constant {
                    let weight = weights[class * width + place];
                    *part += self.l2 * weight;
                    objective += 0.5 * self.l2 * weight * weight;
                }
                slope = slope.max(part.abs() / self.scales[place]);
            }
            gradient.extend(part);
        }
        if !objective.is_finite() || gradient.iter().any(|slope| !slope.is_finite()) {
            return Err(too_large());
        }
        Ok(Point { weights, objective, gradient, slope, rows: scores.concat(), separated })
    }

    fn curvature(&self, point: &Point) -> Symmetric {
        let (width, rows) = (self.design.width(), self.design.rows());
        let mut whole = Symmetric::zeros(width * self.count);
        let probabilities: Vec<&[f64]> = point.rows.chunks_exact(rows.max(1)).collect();
        for class in 0..self.count {
            for other in 0..=class {
                let (one, two) = (probabilities[class], probabilities[other]);
                let same = class == other;
                let block =
                    self.design.products(|row| if same { one[row] * (1.0 - one[row]) } else { -one[row] * two[row] });
                for place in 0..width {
                    let target = &mut whole.row_mut(class * width + place)[other * width..];
                    // The block is symmetric, of which the lower half is kept; off the diagonal the whole is needed.
                    for (column, cell) in target.iter_mut().enumerate().take(if same { place + 1 } else { width }) {
                        let (low, high) = (place.min(column), place.max(column));
                        *cell = block.row(high)[low];
                    }
                }
            }
            for place in (0..width).filter(|place| *place != self.constant) {
                let at = class * width + place;
                whole.row_mut(at)[at] += self.l2;
            }
        }
        whole
    }
}
