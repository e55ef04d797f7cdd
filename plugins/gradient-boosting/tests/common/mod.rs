//! The public data sets beside the repository, as the reference models saw them.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field;
use stagewright_gradient_boosting::bins::{Binned, Cuts};
use stagewright_gradient_boosting::boost::{Forest, Objective, Sample, Settings, boost};

/// A file of the shared folder.
#[expect(clippy::print_stdout, reason = "a skipped test says so")]
fn shared(path: &str) -> Option<PathBuf> {
    let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared")).join(path);
    if path.exists() {
        return Some(path);
    }
    println!("skipped: {} is not there", path.display());
    None
}

/// A text file of the shared folder, unpacked where its name ends in `.gz`.
pub(crate) fn text(path: &str) -> Option<String> {
    let place = shared(path)?;
    if !path.ends_with(".gz") {
        return Some(std::fs::read_to_string(place).expect("the file can be read"));
    }
    let mut text = String::new();
    flate2::read::GzDecoder::new(File::open(place).expect("the file opens"))
        .read_to_string(&mut text)
        .expect("the file is gzip");
    Some(text)
}

/// The cells of a simple CSV file: quotes, no line breaks within them.
pub(crate) fn csv(text: &str, delimiter: char) -> Vec<Vec<String>> {
    text.lines()
        .filter(|line| !line.is_empty())
        .map(|line| {
            let (mut cells, mut quoted) = (vec![String::new()], false);
            for letter in line.chars() {
                match letter {
                    '"' => quoted = !quoted,
                    _ if letter == delimiter && !quoted => cells.push(String::new()),
                    _ => cells.last_mut().expect("a cell").push(letter),
                }
            }
            cells
        })
        .collect()
}

/// A Parquet file as text cells, its columns in the order of `names`.
pub(crate) fn parquet(path: &str, names: &[&str]) -> Option<Vec<Vec<String>>> {
    let reader = SerializedFileReader::new(File::open(shared(path)?).expect("the file opens")).expect("Parquet");
    let header: Vec<String> =
        reader.metadata().file_metadata().schema().get_fields().iter().map(|field| field.name().to_owned()).collect();
    let order: Vec<usize> = names.iter().map(|name| header.iter().position(|had| had == name).expect(name)).collect();
    let rows = reader.get_row_iter(None).expect("rows").map(|row| {
        let row = row.expect("a row");
        let cells: Vec<&Field> = row.get_column_iter().map(|(_, field)| field).collect();
        order
            .iter()
            .map(|&place| match cells[place] {
                Field::Double(value) => format!("{value:.0}"),
                other => other.to_string(),
            })
            .collect()
    });
    Some(rows.collect())
}

/// A data set, split as the reference splits it.
pub(crate) struct Set {
    /// Training rows, each with its label last.
    pub(crate) training: Vec<Vec<String>>,
    /// Test rows.
    pub(crate) test: Vec<Vec<String>>,
    /// The features: column, and whether it is numeric.
    pub(crate) features: Vec<(usize, bool)>,
}

impl Set {
    /// Splits by the reference's rule "mod5".
    pub(crate) fn by_five(rows: impl IntoIterator<Item = (usize, Vec<String>)>, features: Vec<(usize, bool)>) -> Self {
        let (test, training): (Vec<_>, Vec<_>) = rows.into_iter().partition(|(place, _)| place % 5 == 0);
        let bare = |rows: Vec<(usize, Vec<String>)>| rows.into_iter().map(|(_, row)| row).collect();
        Self { training: bare(training), test: bare(test), features }
    }

    fn column(rows: &[Vec<String>], levels: &[String], column: usize, numeric: bool) -> Vec<f64> {
        let value = |cell: &String| {
            if numeric {
                cell.parse().unwrap_or(f64::NAN)
            } else {
                levels.binary_search(cell).map_or(-1.0, |place| place as f64)
            }
        };
        rows.iter().map(|row| value(&row[column])).collect()
    }

    fn labels(rows: &[Vec<String>]) -> Vec<f64> {
        rows.iter().map(|row| row.last().expect("a label").parse().expect("a number")).collect()
    }

    /// Trains on the training rows; gives labels and predictions of the test rows.
    pub(crate) fn judge(&self, objective: Objective, settings: &Settings) -> (Vec<f64>, Vec<f64>, Forest) {
        let mut cuts = Vec::new();
        let mut table = Binned::new(self.training.len());
        let mut test = Vec::new();
        for &(column, numeric) in &self.features {
            let mut levels: Vec<String> = self.training.iter().map(|row| row[column].clone()).collect();
            levels.sort();
            levels.dedup();
            // Codes that are numbers stay numbers, as in the reference.
            let numeric = numeric || levels.iter().all(|level| level.parse::<f64>().is_ok());
            let values = Self::column(&self.training, &levels, column, numeric);
            let learned = Cuts::learn(&values, 255, 3);
            table.push(&learned, &values);
            cuts.push(learned);
            test.push(Self::column(&self.test, &levels, column, numeric));
        }
        let labels = Self::labels(&self.training);
        let sample = Sample { table: &table, labels: &labels };
        let forest =
            boost(objective, &cuts, sample, None, settings, |_| stagewright_gradient_boosting::boost::Next::Continue);
        let predictions = (0..self.test.len())
            .map(|row| {
                let score: f64 = forest.trees.iter().map(|tree| tree.score(|feature| test[feature][row])).sum();
                objective.predict(forest.base + score)
            })
            .collect();
        (Self::labels(&self.test), predictions, forest)
    }
}

/// The area under the ROC curve, ties counting half.
pub(crate) fn auc(labels: &[f64], scores: &[f64]) -> f64 {
    let mut order: Vec<usize> = (0..labels.len()).collect();
    order.sort_by(|&a, &b| scores[a].total_cmp(&scores[b]));
    let (mut rank_sum, mut start) = (0.0, 0);
    while start < order.len() {
        let end = start + order[start..].iter().take_while(|&&row| scores[row] == scores[order[start]]).count();
        let rank = (start + end + 1) as f64 / 2.0;
        rank_sum += rank * order[start..end].iter().filter(|&&row| labels[row] > 0.0).count() as f64;
        start = end;
    }
    let positives = labels.iter().filter(|&&label| label > 0.0).count() as f64;
    (rank_sum - positives * (positives + 1.0) / 2.0) / (positives * (labels.len() as f64 - positives))
}
