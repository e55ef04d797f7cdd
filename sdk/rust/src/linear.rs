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

    /// Adds the products of every two parts of vectors, each vector weighted: `Σ weight · vector · vectorᵀ`. Vectors
    /// shorter than the matrix fill its first rows. Several at once read and write the matrix once for all of them.
    pub fn add_products<const N: usize>(&mut self, vectors: [&[f64]; N], weights: [f64; N]) {
        let width = vectors.iter().map(|vector| vector.len()).min().unwrap_or(0);
        let mut rest = self.cells.as_mut_slice();
        for row in 0..width {
            let cells;
            (cells, rest) = rest.split_at_mut(row + 1);
            let factors: [f64; N] = std::array::from_fn(|nth| vectors[nth][row] * weights[nth]);
            let vectors = vectors.map(|vector| &vector[..cells.len()]);
            for (column, cell) in cells.iter_mut().enumerate() {
                let products = factors.iter().zip(&vectors).map(|(factor, vector)| factor * vector[column]);
                *cell += products.sum::<f64>();
            }
        }
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
