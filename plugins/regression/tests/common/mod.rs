//! The public reference data beside the repository, read where it is there.

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;

use serde_json::Value;

#[expect(clippy::print_stdout, reason = "a skipped test says so")]
fn shared(path: &str) -> Option<PathBuf> {
    let path = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared")).join(path);
    if path.exists() {
        return Some(path);
    }
    println!("skipped: {} is not there", path.display());
    None
}

/// A JSON file of the shared folder.
pub(crate) fn json(path: &str) -> Option<Value> {
    let text = std::fs::read_to_string(shared(path)?).expect("the file can be read");
    Some(serde_json::from_str(&text).expect("the file is JSON"))
}

/// Columns of a table of stored predictions.
pub(crate) struct Predictions {
    header: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Predictions {
    /// The table of a data set.
    pub(crate) fn of(set: &str) -> Option<Self> {
        let file =
            File::open(shared(&format!("data/reference/predictions/{set}.csv.gz"))?).expect("the file can be read");
        let mut text = String::new();
        flate2::read::GzDecoder::new(file).read_to_string(&mut text).expect("the file is gzip");
        let mut lines = text.lines().map(|line| line.split(',').map(str::to_owned).collect::<Vec<_>>());
        Some(Self { header: lines.next().expect("a header"), rows: lines.collect() })
    }

    /// A column as text.
    pub(crate) fn text(&self, column: &str) -> Vec<String> {
        let place = self.header.iter().position(|name| name == column).expect("the column");
        self.rows.iter().map(|row| row[place].clone()).collect()
    }

    /// A column of numbers.
    pub(crate) fn numbers(&self, column: &str) -> Vec<f64> {
        self.text(column).iter().map(|value| value.parse().expect("a number")).collect()
    }
}

/// Fails unless both are the same to within `tolerance`, relative where they are large.
pub(crate) fn assert_close(what: &str, found: f64, expected: f64, tolerance: f64) {
    let allowed = tolerance * expected.abs().max(1.0);
    assert!((found - expected).abs() <= allowed, "{what}: found {found}, expected {expected}");
}
