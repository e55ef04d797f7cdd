//! The one piece of linear algebra that linear models need: a symmetric system, solved.
//!
//! Written here because the matrix libraries at hand bring threads, SIMD dispatch and a hundred times the code to the
//! sandbox for these few loops.

/// A symmetric matrix, of which the lower half is kept, row by row.
#[derive(Clone, Debug)]
pub struct Symmetric {
    size: usize,
    cells: Vec<f64>,
}

impl Symmetric {
    /// A matrix of zeros.
    pub fn zeros(size: usize) -> Self {
        Self { size, cells: vec![0.0; size * (size + 1) / 2] }
    }

    /// The number of rows.
    pub fn size(&self) -> usize {
        self.size
    }

    /// A row up to its diagonal.
    pub fn row(&self, row: usize) -> &[f64] {
        let start = row * (row + 1) / 2;
        &self.cells[start..=start + row]
    }

    /// A row up to its diagonal.
    pub fn row_mut(&mut self, row: usize) -> &mut [f64] {
        let start = row * (row + 1) / 2;
        &mut self.cells[start..=start + row]
    }

    /// The products of every two parts of vectors, summed over the vectors, each weighted: `Σ weight · vector · vectorᵀ`.
    /// The vectors stand one behind the other, as many as there are weights; they fill the first rows of the matrix.
    pub fn of_products(size: usize, vectors: &[f64], weights: &[f64]) -> Self {
        let mut matrix = Self::zeros(size);
        let width = vectors.len() / weights.len().max(1);
        if width == 0 {
            return matrix;
        }
        let mut products = Products::new(width);
        // Sums run over four vectors first, then over those sums. What is left counts as fours of one.
        let fours = weights.len() / 4;
        let groups = fours + weights.len() % 4;
        let vector_of = |group: usize, nth: usize| match (group < fours, nth) {
            (true, _) => Some(group * 4 + nth),
            (false, 0) if group < groups => Some(fours * 3 + group),
            _ => None,
        };
        for first in (0..groups).step_by(AT_ONCE / 4) {
            for place in 0..AT_ONCE {
                match vector_of(first + place / 4, place % 4) {
                    Some(nth) => products.hold(place, &vectors[nth * width..(nth + 1) * width], weights[nth]),
                    None => products.hold_none(place),
                }
            }
            products.add();
        }
        for row in 0..width {
            let sums = products.sums[row * products.pairs..].as_flattened();
            matrix.row_mut(row).copy_from_slice(&sums[..=row]);
        }
        matrix
    }

    /// Multiplies with a vector.
    pub fn times(&self, vector: &[f64]) -> Vec<f64> {
        let mut product = vec![0.0; self.size];
        for row in 0..self.size {
            let cells = self.row(row);
            for (column, cell) in cells[..row].iter().enumerate() {
                product[column] += cell * vector[row];
            }
            product[row] += dot(cells, &vector[..=row]);
        }
        product
    }

    /// Factorizes a positive semidefinite matrix (Cholesky).
    ///
    /// A column that depends on the ones before it adds nothing to a solution: its component becomes 0.
    pub fn factorize(mut self) -> Factor {
        let mut dependent = vec![false; self.size];
        for row in 0..self.size {
            let diagonal = self.row(row)[row];
            let (above, below) = self.cells.split_at_mut(row * (row + 1) / 2);
            let cells = &mut below[..=row];
            for column in 0..row {
                let start = column * (column + 1) / 2;
                let other = &above[start..=start + column];
                let rest = cells[column] - dot(&cells[..column], &other[..column]);
                cells[column] = if dependent[column] { 0.0 } else { rest / other[column] };
            }
            let pivot = diagonal - dot(&cells[..row], &cells[..row]);
            // Written so that a pivot that is no number counts as dependent too.
            dependent[row] = !matches!(pivot.partial_cmp(&(diagonal * 1e-13)), Some(std::cmp::Ordering::Greater));
            cells[row] = if dependent[row] { 1.0 } else { pivot.sqrt() };
        }
        Factor { lower: self, dependent }
    }
}

/// So many vectors are multiplied at once: their factors and one pair of sums fit the registers of a processor.
const AT_ONCE: usize = 8;

/// A sum of products in the making. Columns are taken in pairs, the width of a register; the pairs of all vectors held
/// stand side by side, so that each is found at a fixed distance.
struct Products {
    pairs: usize,
    /// A row of pairs for each part, of which those behind the diagonal are not made.
    sums: Vec<[f64; 2]>,
    columns: Vec<[[f64; 2]; AT_ONCE]>,
    factors: Vec<[f64; AT_ONCE]>,
}

impl Products {
    fn new(width: usize) -> Self {
        let pairs = width.div_ceil(2);
        Self {
            pairs,
            sums: vec![[0.0; 2]; width * pairs],
            columns: vec![[[0.0; 2]; AT_ONCE]; pairs],
            factors: vec![[0.0; AT_ONCE]; width],
        }
    }

    fn hold(&mut self, place: usize, vector: &[f64], weight: f64) {
        for (factors, part) in self.factors.iter_mut().zip(vector) {
            factors[place] = part * weight;
        }
        let (pairs, rest) = vector.as_chunks::<2>();
        for (columns, pair) in self.columns.iter_mut().zip(pairs) {
            columns[place] = *pair;
        }
        if let (Some(columns), Some(last)) = (self.columns.last_mut(), rest.first()) {
            columns[place] = [*last, 0.0];
        }
    }

    fn hold_none(&mut self, place: usize) {
        self.factors.iter_mut().for_each(|factors| factors[place] = 0.0);
        self.columns.iter_mut().for_each(|columns| columns[place] = [0.0; 2]);
    }

    /// Adds the vectors that are held.
    fn add(&mut self) {
        for (row, (sums, factors)) in self.sums.chunks_exact_mut(self.pairs).zip(&self.factors).enumerate() {
            let factors = *factors;
            for (sums, columns) in sums[..=row / 2].iter_mut().zip(&self.columns) {
                let product = |nth: usize| columns[nth].map(|part| factors[nth] * part);
                let plus = |one: [f64; 2], other: [f64; 2]| [one[0] + other[0], one[1] + other[1]];
                let four = |first: usize| {
                    plus(plus(plus(product(first), product(first + 1)), product(first + 2)), product(first + 3))
                };
                *sums = plus(plus(*sums, four(0)), four(4));
            }
        }
    }
}

/// A factorized matrix.
pub struct Factor {
    lower: Symmetric,
    dependent: Vec<bool>,
}

impl Factor {
    /// Solves for one right-hand side.
    pub fn solve(&self, right: &[f64]) -> Vec<f64> {
        let size = self.lower.size;
        let mut solution = right.to_vec();
        for row in 0..size {
            let cells = self.lower.row(row);
            let rest = solution[row] - dot(&cells[..row], &solution[..row]);
            solution[row] = if self.dependent[row] { 0.0 } else { rest / cells[row] };
        }
        for row in (0..size).rev() {
            let cells = self.lower.row(row);
            solution[row] = if self.dependent[row] { 0.0 } else { solution[row] / cells[row] };
            for column in 0..row {
                solution[column] -= cells[column] * solution[row];
            }
        }
        solution
    }
}

/// The inner product, in four running sums: the same order everywhere, and one that vectorizes.
pub fn dot(left: &[f64], right: &[f64]) -> f64 {
    let mut sums = [0.0; 4];
    let (left, left_rest) = left.as_chunks::<4>();
    let (right, right_rest) = right.as_chunks::<4>();
    for (l, r) in left.iter().zip(right) {
        for lane in 0..4 {
            sums[lane] += l[lane] * r[lane];
        }
    }
    let rest: f64 = left_rest.iter().zip(right_rest).map(|(l, r)| l * r).sum();
    (sums[0] + sums[1]) + (sums[2] + sums[3]) + rest
}

#[cfg(test)]
mod tests {
    use super::Symmetric;

    fn matrix(rows: &[&[f64]]) -> Symmetric {
        let mut matrix = Symmetric::zeros(rows.len());
        for (place, row) in rows.iter().enumerate() {
            matrix.row_mut(place).copy_from_slice(row);
        }
        matrix
    }

    #[test]
    fn a_system_is_solved() {
        let matrix = matrix(&[&[4.0], &[2.0, 5.0], &[1.0, 3.0, 6.0]]);
        let right = matrix.times(&[1.0, -2.0, 3.0]);
        let solution = matrix.factorize().solve(&right);
        for (found, expected) in solution.iter().zip([1.0, -2.0, 3.0]) {
            assert!((found - expected).abs() < 1e-12);
        }
    }

    #[test]
    fn a_dependent_column_gets_nothing_and_the_system_is_still_solved() {
        let matrix = matrix(&[&[4.0], &[4.0, 4.0], &[0.0, 0.0, 1.0]]);
        assert_eq!(matrix.factorize().solve(&[8.0, 8.0, 3.0]), [2.0, 0.0, 3.0]);
        assert!(Symmetric::zeros(0).factorize().solve(&[]).is_empty());
    }
}
