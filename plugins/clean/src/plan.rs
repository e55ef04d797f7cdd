//! What happens to each column, and what is remembered from row to row.

use std::collections::{BTreeMap, HashSet};

use stagewright_stage::{ColumnType, Failure, Field, Series, Table, Values, nearest};

use crate::value::{Value, change_words, check_formats, describe, gather};
use crate::{At, Dedupe, Fill, OnError, Parameters, Replace};

/// What happens to one column.
struct Column {
    source: String,
    name: String,
    replace: Vec<Replace>,
    missing: Vec<String>,
    kind: ColumnType,
    nullable: bool,
    fill: Option<Fill>,
    filler: Option<Value>,
    seen: Seen,
    required: bool,
    filled: usize,
}

/// What a statistic needs of the values.
#[derive(Default)]
struct Seen {
    numbers: Vec<f64>,
    /// How often each value occurs, and the row that it first occurs in.
    counts: BTreeMap<String, (usize, usize, Value)>,
    rows: usize,
}

/// What happens to the table.
pub(crate) struct Plan {
    columns: Vec<Column>,
    trim: bool,
    on_error: OnError,
    formats: Vec<String>,
    /// The places of the columns that tell duplicates, if any do.
    keys: Option<Vec<usize>>,
    rows: HashSet<[u8; 16]>,
    next_row: usize,
    duplicates: usize,
    incomplete: usize,
    uncast: usize,
}

impl Plan {
    /// Checks the parameters against the columns.
    pub(crate) fn make(fields: &[Field], parameters: &Parameters) -> Result<Self, Failure> {
        check_formats(&parameters.time_formats)?;
        let inputs: Vec<&str> = fields.iter().map(|field| field.name.as_str()).collect();
        known("select", &parameters.select, &inputs)?;
        known("drop", &parameters.drop, &inputs)?;
        known("rename", parameters.rename.keys(), &inputs)?;
        let chosen: Vec<&str> =
            if parameters.select.is_empty() { inputs } else { parameters.select.iter().map(String::as_str).collect() };
        let sources: Vec<&str> =
            chosen.into_iter().filter(|name| !parameters.drop.iter().any(|drop| drop == name)).collect();
        if sources.is_empty() {
            return Err(Failure::invalid_parameter("`select` and `drop` leave no column"));
        }
        let new_name = |name: &str| parameters.rename.get(name).map_or(name, String::as_str).to_owned();
        let names: Vec<String> = sources.iter().map(|name| new_name(name)).collect();
        if let Some(twice) = names.iter().enumerate().find(|(place, name)| names[..*place].contains(name)) {
            return Err(Failure::invalid_parameter(format!(
                "two columns would be called `{}`; mend `select` or `rename`",
                twice.1
            )));
        }
        let renamed: Vec<&str> = names.iter().map(String::as_str).collect();
        known("missing-in", parameters.missing_in.keys(), &renamed)?;
        known("cast", parameters.cast.keys(), &renamed)?;
        known("fill", parameters.fill.keys(), &renamed)?;
        known("require", parameters.require.iter().filter(|name| *name != "*"), &renamed)?;
        for replace in &parameters.replace {
            known("replace", &replace.columns, &renamed)?;
            if replace.from.is_empty() && replace.at != At::Whole {
                return Err(Failure::invalid_parameter("`replace` needs something to replace in `from`"));
            }
        }
        let keys = match &parameters.dedupe {
            Dedupe::Off => None,
            Dedupe::Rows => Some((0..names.len()).collect()),
            Dedupe::Columns(keys) if keys.is_empty() => {
                return Err(Failure::invalid_parameter("`dedupe` names no column; `\"rows\"` compares all of them"));
            }
            Dedupe::Columns(keys) => {
                known("dedupe", keys, &renamed)?;
                Some((0..names.len()).filter(|place| keys.contains(&names[*place])).collect())
            }
        };
        let column = |(source, name): (&&str, &String)| {
            let field = fields.iter().find(|field| field.name == **source);
            let field = field.ok_or_else(|| Failure::internal("a column went away"))?;
            Column::make(field, name, parameters)
        };
        Ok(Self {
            columns: sources.iter().zip(&names).map(column).collect::<Result<_, _>>()?,
            trim: parameters.trim,
            on_error: parameters.on_error,
            formats: parameters.time_formats.clone(),
            keys,
            rows: HashSet::new(),
            next_row: 0,
            duplicates: 0,
            incomplete: 0,
            uncast: 0,
        })
    }

    /// The input's columns that are read.
    pub(crate) fn sources(&self) -> Vec<String> {
        self.columns.iter().map(|column| column.source.clone()).collect()
    }

    /// The output's columns.
    pub(crate) fn fields(&self) -> Vec<Field> {
        let field = |column: &Column| Field {
            name: column.name.clone(),
            type_: column.kind,
            nullable: column.nullable && !column.required && column.fill.is_none(),
        };
        self.columns.iter().map(field).collect()
    }

    /// Whether something must be learned from all rows before the first can be written.
    pub(crate) fn must_learn(&self) -> bool {
        self.columns.iter().any(|column| matches!(column.fill, Some(Fill::Mean | Fill::Median | Fill::Mode)))
    }

    /// Learns from rows.
    pub(crate) fn learn(&mut self, rows: &Table) -> Result<(), Failure> {
        let distinct = self.distinct(rows)?;
        self.columns.iter_mut().zip(&distinct).for_each(|(column, series)| column.learn(series));
        Ok(())
    }

    /// Ends learning; the rows start again.
    pub(crate) fn learned(&mut self) -> Result<(), Failure> {
        for column in &mut self.columns {
            column.learned(&self.formats)?;
        }
        self.rows.clear();
        (self.next_row, self.duplicates, self.uncast) = (0, 0, 0);
        Ok(())
    }

    /// Cleans rows.
    pub(crate) fn apply(&mut self, rows: &Table) -> Result<Table, Failure> {
        let mut cleaned = Vec::new();
        for (place, series) in self.distinct(rows)?.into_iter().enumerate() {
            cleaned.push(self.columns[place].fill(series)?);
        }
        let complete = |row: &usize| {
            self.columns.iter().zip(&cleaned).all(|(column, series)| !column.required || series.has(*row))
        };
        let table = Table::new(cleaned.clone())?;
        let keep: Vec<usize> = (0..table.rows()).filter(complete).collect();
        self.incomplete += table.rows() - keep.len();
        let mut columns = table.take(&keep).into_columns();
        for (series, column) in columns.iter_mut().zip(&self.columns) {
            if column.required || series.missing() == 0 {
                series.valid = None;
            }
        }
        Table::new(columns)
    }

    /// What was done, for people.
    pub(crate) fn summary(&self) -> Vec<String> {
        let rows = [
            (self.duplicates, "rows dropped as duplicates"),
            (self.incomplete, "rows dropped as incomplete"),
            (self.uncast, "values that could not be cast count as missing"),
        ];
        let rows = rows.into_iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}"));
        let filled = self.columns.iter().filter(|column| column.filled > 0);
        let filled = filled.map(|column| format!("{}: {} missing values filled", column.name, column.filled));
        rows.chain(filled).collect()
    }

    /// The columns of rows up to their types, without the rows that occurred before.
    fn distinct(&mut self, rows: &Table) -> Result<Vec<Series>, Failure> {
        let mut columns = Vec::new();
        for column in &self.columns {
            let words = column.words(rows.column(&column.source)?, self.trim);
            columns.push(column.cast(words, self.next_row, &self.formats, self.on_error, &mut self.uncast)?);
        }
        self.next_row += rows.rows();
        let Some(keys) = &self.keys else { return Ok(columns) };
        let mut bytes = Vec::new();
        let mut keep = Vec::new();
        for row in 0..rows.rows() {
            bytes.clear();
            keys.iter().for_each(|key| write_value(&columns[*key], row, &mut bytes));
            let mut short = [0; 16];
            short.copy_from_slice(&blake3::hash(&bytes).as_bytes()[..16]);
            if self.rows.insert(short) {
                keep.push(row);
            }
        }
        self.duplicates += rows.rows() - keep.len();
        Ok(columns.iter().map(|column| column.take(&keep)).collect())
    }
}

impl Column {
    fn make(field: &Field, name: &str, parameters: &Parameters) -> Result<Self, Failure> {
        let wordy = matches!(field.type_, ColumnType::Text | ColumnType::Category);
        let own = parameters.missing_in.get(name).map_or(&[][..], Vec::as_slice);
        if !wordy && let Some(word) = own.iter().find(|word| word.trim().parse::<f64>().is_err()) {
            return Err(Failure::invalid_parameter(format!(
                "`missing-in` gives `{word}` for column `{name}`, which holds no words; give a number"
            )));
        }
        let named = |replace: &&Replace| replace.columns.iter().any(|column| column == name);
        if !wordy && parameters.replace.iter().any(|replace| named(&replace)) {
            return Err(Failure::invalid_parameter(format!(
                "`replace` names column `{name}`, which holds no words; only text and categories have some"
            )));
        }
        let cast = parameters.cast.get(name).map(|kind| ColumnType::from(*kind));
        let mut kind = cast.unwrap_or(field.type_);
        let fill = parameters.fill.get(name).cloned();
        if matches!(fill, Some(Fill::Mean | Fill::Median)) {
            match kind {
                ColumnType::Float64 => {}
                ColumnType::Int64 if cast.is_none() => kind = ColumnType::Float64,
                _ => {
                    return Err(Failure::invalid_parameter(format!(
                        "`fill` wants a mean or median of column `{name}`; cast it to float64, or use `mode`"
                    )));
                }
            }
        }
        let missing = if wordy { [&parameters.missing[..], own].concat() } else { own.to_vec() };
        let uncertain = kind != field.type_ && parameters.on_error == OnError::Missing;
        let floats = ColumnType::Float64;
        Ok(Self {
            source: field.name.clone(),
            name: name.to_owned(),
            replace: parameters
                .replace
                .iter()
                .filter(|one| wordy && (one.columns.is_empty() || named(one)))
                .cloned()
                .collect(),
            nullable: field.nullable || !missing.is_empty() || uncertain || kind == floats || field.type_ == floats,
            missing,
            kind,
            fill,
            filler: None,
            seen: Seen::default(),
            required: parameters.require.iter().any(|column| column == name || column == "*"),
            filled: 0,
        })
    }

    /// Trims and replaces, and takes away what means missing.
    fn words(&self, column: &Series, trim: bool) -> Series {
        let mut cleaned = match &column.values {
            Values::Text(_) | Values::Category { .. } => change_words(column, |word| {
                let mut word = if trim { word.trim() } else { word }.to_owned();
                for replace in &self.replace {
                    word = replaced(&word, replace);
                }
                (!self.missing.contains(&word)).then_some(word)
            }),
            _ => {
                let numbers: Vec<f64> = self.missing.iter().filter_map(|word| word.trim().parse().ok()).collect();
                let means_missing = |number: &f64| number.is_nan() || numbers.contains(number);
                let valid: Vec<bool> = match &column.values {
                    // The bulk of all columns: nothing can be missing that was not missing before.
                    Values::Int64(_) | Values::Timestamp(_) | Values::Boolean(_) if numbers.is_empty() => Vec::new(),
                    _ => column.numeric().unwrap_or_default().iter().map(|number| !means_missing(number)).collect(),
                };
                let mut column = column.clone();
                if valid.contains(&false) {
                    column.valid = Some(valid);
                }
                column
            }
        };
        cleaned.name.clone_from(&self.name);
        cleaned
    }

    /// Turns the values into the column's type.
    fn cast(
        &self,
        column: Series,
        first_row: usize,
        formats: &[String],
        on_error: OnError,
        uncast: &mut usize,
    ) -> Result<Series, Failure> {
        if column.values.kind() == self.kind {
            return Ok(column);
        }
        let mut values = Vec::with_capacity(column.len());
        for row in 0..column.len() {
            let before = Value::of(&column, row);
            let after = before.as_ref().and_then(|value| value.cast(self.kind, formats));
            if let (Some(before), None) = (&before, &after) {
                if on_error == OnError::Fail {
                    return Err(Failure::invalid_data(format!(
                        "column `{}`, row {} (counted from 1): `{}` is not {}; mend it, name it in `missing`, or set \
                         `on-error = \"missing\"`",
                        self.name,
                        first_row + row + 1,
                        before.display().chars().take(80).collect::<String>(),
                        describe(self.kind)
                    )));
                }
                *uncast += 1;
            }
            values.push(after);
        }
        gather(&self.name, self.kind, values)
    }

    fn learn(&mut self, series: &Series) {
        match self.fill {
            Some(Fill::Mean | Fill::Median) => {
                let numbers = series.numeric().unwrap_or_default();
                self.seen.numbers.extend(numbers.iter().copied().filter(|number| !number.is_nan()));
            }
            Some(Fill::Mode) => {
                for row in 0..series.len() {
                    if let Some(value) = Value::of(series, row) {
                        let first = self.seen.rows + row;
                        self.seen.counts.entry(value.display()).or_insert((0, first, value)).0 += 1;
                    }
                }
                self.seen.rows += series.len();
            }
            Some(Fill::Constant(_)) | None => {}
        }
    }

    /// Decides what missing values are filled with.
    fn learned(&mut self, formats: &[String]) -> Result<(), Failure> {
        let Seen { mut numbers, counts, .. } = std::mem::take(&mut self.seen);
        self.filler = match &self.fill {
            None => None,
            Some(Fill::Mean) if numbers.is_empty() => None,
            Some(Fill::Mean) => Some(Value::Float64(numbers.iter().sum::<f64>() / numbers.len() as f64)),
            Some(Fill::Median) => {
                numbers.sort_by(f64::total_cmp);
                let middle = |place: usize| numbers.get(place).copied();
                let pair = middle(numbers.len().saturating_sub(1) / 2).zip(middle(numbers.len() / 2));
                pair.map(|(low, high)| Value::Float64(low + (high - low) / 2.0))
            }
            Some(Fill::Mode) => {
                let best = counts.into_values().max_by_key(|(count, first, _)| (*count, std::cmp::Reverse(*first)));
                best.map(|(_, _, value)| value)
            }
            Some(Fill::Constant(constant)) => {
                let value = Value::from(constant);
                let cast = value.cast(self.kind, formats).ok_or_else(|| {
                    let shown = value.display();
                    let wanted = describe(self.kind);
                    Failure::invalid_parameter(format!(
                        "`fill` gives `{shown}` for column `{}`, which is not {wanted}",
                        self.name
                    ))
                })?;
                Some(cast)
            }
        };
        Ok(())
    }

    /// Fills what is missing.
    fn fill(&mut self, series: Series) -> Result<Series, Failure> {
        let missing = series.missing();
        if self.fill.is_none() || missing == 0 {
            return Ok(series);
        }
        if self.filler.is_none() {
            return Err(Failure::invalid_data(format!(
                "column `{}` has no value at all, so none to fill in; give a constant or drop the column",
                self.name
            )));
        }
        self.filled += missing;
        let values = (0..series.len()).map(|row| Value::of(&series, row).or_else(|| self.filler.clone())).collect();
        gather(&self.name, self.kind, values)
    }
}

/// Replaces in a word.
fn replaced(word: &str, replace: &Replace) -> String {
    let Replace { from, to, at, .. } = replace;
    match at {
        At::Whole if word == from => to.clone(),
        At::Whole => word.to_owned(),
        At::Start => word.strip_prefix(from.as_str()).map_or_else(|| word.to_owned(), |rest| format!("{to}{rest}")),
        At::End => word.strip_suffix(from.as_str()).map_or_else(|| word.to_owned(), |rest| format!("{rest}{to}")),
        At::Anywhere => word.replace(from.as_str(), to),
    }
}

/// Writes a value so that different values are different bytes.
fn write_value(column: &Series, row: usize, bytes: &mut Vec<u8>) {
    match Value::of(column, row) {
        None => bytes.push(0),
        Some(Value::Boolean(value)) => bytes.extend([1, u8::from(value)]),
        Some(Value::Int64(value) | Value::Timestamp(value)) => {
            bytes.push(2);
            bytes.extend(value.to_le_bytes());
        }
        Some(Value::Float64(value)) => {
            bytes.push(3);
            bytes.extend((value + 0.0).to_bits().to_le_bytes());
        }
        Some(Value::Word(word)) => {
            bytes.push(4);
            bytes.extend((word.len() as u64).to_le_bytes());
            bytes.extend(word.as_bytes());
        }
    }
}

/// Refuses names that no column has, and says which was probably meant.
fn known<'a>(parameter: &str, names: impl IntoIterator<Item = &'a String>, columns: &[&str]) -> Result<(), Failure> {
    for name in names {
        if !columns.contains(&name.as_str()) {
            let hint = match nearest(name, columns.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("the columns here are {}", columns[..columns.len().min(40)].join(", ")),
            };
            return Err(Failure::invalid_data(format!(
                "`{parameter}` names column `{name}`, which is not there; {hint}"
            )));
        }
    }
    Ok(())
}
