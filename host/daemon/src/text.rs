//! Text for people: aligned columns, sizes, durations, times.

use std::fmt::Write;

/// Rows of cells, aligned. A column whose cells are all numbers is aligned to the right.
#[derive(Debug)]
pub(crate) struct Columns {
    rows: Vec<Vec<String>>,
}

impl Columns {
    /// Begins with a heading.
    pub(crate) fn new(heading: &[&str]) -> Self {
        Self { rows: vec![heading.iter().map(|cell| (*cell).to_owned()).collect()] }
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().map(|cell| printable(&cell)).collect());
    }

    /// Whether there is nothing but the heading.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.len() == 1
    }

    /// The text, one line for each row.
    pub(crate) fn text(&self) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or_default();
        let cells = |column: usize| self.rows.iter().filter_map(move |row| row.get(column));
        let widths: Vec<usize> =
            (0..columns).map(|column| cells(column).map(|cell| cell.chars().count()).max().unwrap_or(0)).collect();
        let numeric: Vec<bool> =
            (0..columns).map(|column| cells(column).skip(1).all(|cell| cell.is_empty() || is_figure(cell))).collect();
        let mut text = String::new();
        for row in &self.rows {
            let mut line = String::new();
            for (column, cell) in row.iter().enumerate() {
                let gap = " ".repeat(widths[column] - cell.chars().count());
                let _ = match numeric[column] {
                    true => write!(line, "{gap}{cell}  "),
                    false => write!(line, "{cell}{gap}  "),
                };
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

/// Whether a cell holds a number, with its unit or without. A digest that happens to begin with a digit is none.
fn is_figure(cell: &str) -> bool {
    let word = cell.split(' ').next().unwrap_or(cell);
    let is_digest = word.len() >= 12 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    word.starts_with(|c: char| c.is_ascii_digit() || c == '-') && !is_digest
}

/// Text from outside (a log line, a cell of a table) with control characters made visible, so that it cannot drive the
/// terminal.
pub(crate) fn printable(text: &str) -> String {
    let visible = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    text.chars().map(visible).collect()
}

/// A number of bytes: `512 B`, `1.4 MB`.
pub(crate) fn size(bytes: u64) -> String {
    let units = ["kB", "MB", "GB", "TB"];
    if bytes < 1000 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1000.0;
    let mut unit = 0;
    while value >= 999.95 && unit + 1 < units.len() {
        value /= 1000.0;
        unit += 1;
    }
    format!("{value:.1} {}", units[unit])
}

/// A duration: `850 ms`, `12.3 s`, `4 min 10 s`.
pub(crate) fn duration(milliseconds: f64) -> String {
    match milliseconds {
        ms if ms < 10.0 => format!("{ms:.1} ms"),
        ms if ms < 1000.0 => format!("{ms:.0} ms"),
        ms if ms < 60_000.0 => format!("{:.1} s", ms / 1000.0),
        ms => format!("{} min {} s", ms as u64 / 60_000, ms as u64 % 60_000 / 1000),
    }
}

/// A metric's value with four decimals; more where it is small.
pub(crate) fn number(value: Option<f64>) -> String {
    match value {
        None => "undefined".to_owned(),
        Some(value) if value == value.trunc() && value.abs() < 1e15 => format!("{value}"),
        Some(value) if value.abs() < 0.001 => format!("{value:.2e}"),
        Some(value) => format!("{value:.4}"),
    }
}

/// A number of things with thousands separated: `32,561`.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A time in milliseconds since 1970, as `2026-11-23 14:05:09` (UTC).
pub(crate) fn time(milliseconds: u64) -> String {
    let (days, second) = ((milliseconds / 86_400_000) as i64, milliseconds / 1000 % 86_400);
    // Days to a civil date, by Howard Hinnant's algorithm: eras of 400 years that begin in March.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02}", second / 3600, second / 60 % 60, second % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_numbers_stand_to_the_right() {
        let mut columns = Columns::new(&["name", "rows"]);
        columns.row(["adult".into(), "32,561".into()]);
        columns.row(["x\n".into(), "7".into()]);
        assert_eq!(columns.text(), "name     rows\nadult  32,561\nx\\n         7\n");
    }

    #[test]
    fn digests_stand_to_the_left_whatever_they_begin_with() {
        let mut columns = Columns::new(&["root", "entries"]);
        columns.row(["0a1b2c3d4e5f".into(), "7".into()]);
        columns.row(["123456789012".into(), "12".into()]);
        assert_eq!(columns.text(), "root          entries\n0a1b2c3d4e5f        7\n123456789012       12\n");
    }

    #[test]
    fn sizes_durations_counts_and_times_read_well() {
        assert_eq!([size(999), size(1_400_000), size(999_999_999)], ["999 B", "1.4 MB", "1.0 GB"]);
        assert_eq!([duration(0.4), duration(850.0), duration(250_000.0)], ["0.4 ms", "850 ms", "4 min 10 s"]);
        assert_eq!([count(7), count(32_561), count(1_000_000)], ["7", "32,561", "1,000,000"]);
        assert_eq!(time(0), "1970-01-01 00:00:00");
        assert_eq!(time(951_827_696_000), "2000-02-29 12:34:56");
        assert_eq!(number(Some(0.123456)), "0.1235");
    }
}
