//! Learning from the training rows, one column at a time.

use std::borrow::Cow;
use std::collections::BTreeMap;

use stagewright_stage::{ColumnType, Failure, Field, Reader, Series, Table, Values, context};

use crate::parameters::{Encode, Impute, Numeric, Parameters};
use crate::state::{Learned, Number, OTHER, Part, State, Words};

/// How many columns indicators may become: more is a column of names or numbers that nobody meant to encode.
const MOST_FEATURES: usize = 10_000;

/// Learns how every column becomes features.
pub(crate) fn learn(training: &mut Reader, parameters: &Parameters) -> Result<State, Failure> {
    if parameters.max_categories == Some(0) {
        return Err(Failure::invalid_parameter("`max-categories` is 0; it must be 1 or more"));
    }
    let fields: Vec<Field> = choose(training.fields(), parameters)?.into_iter().cloned().collect();
    if training.rows() == 0 {
        return Err(Failure::invalid_data("the table has no rows to learn from"));
    }
    let mut columns = Vec::new();
    for (done, Field { name, type_, .. }) in fields.iter().enumerate() {
        context::progress(done as u64, fields.len() as u64);
        if context::cancelled() {
            break;
        }
        let text = matches!(type_, ColumnType::Text | ColumnType::Category);
        let part = if text || parameters.categories.contains(name) {
            Part::Words(words(count(training, name, &parameters.missing)?, !text, parameters))
        } else {
            let values = training.read(&[name.as_str()])?.numeric(name)?.into_owned();
            Part::Number(number(name, values, *type_ == ColumnType::Boolean, &parameters.numeric)?)
        };
        columns.push(Learned { name: name.clone(), part });
    }
    let label = (!parameters.label.is_empty()).then(|| parameters.label.clone());
    let state = State { label, encode: parameters.encode, missing: parameters.missing.clone(), columns };
    let features = state.features().len();
    if parameters.encode == Encode::OneHot && features > MOST_FEATURES {
        let size = |column: &&Learned| if let Part::Words(words) = &column.part { words.words.len() } else { 1 };
        let widest = state.columns.iter().max_by_key(size).map_or("", |column| column.name.as_str());
        return Err(Failure::invalid_data(format!(
            "there would be {features} features, most of them from `{widest}`: exclude it, or set `max-categories`"
        )));
    }
    if let Some(name) = state.clash() {
        return Err(Failure::invalid_data(format!(
            "two columns would be called `{name}`: rename or exclude one of those that it comes from"
        )));
    }
    context::info(&format!("{} columns become {features} features", fields.len()));
    Ok(state)
}

/// The columns to make features of.
fn choose<'a>(fields: &'a [Field], parameters: &Parameters) -> Result<Vec<&'a Field>, Failure> {
    let Parameters { label, columns, exclude, categories, .. } = parameters;
    let table = Table::empty(fields);
    for name in columns.iter().chain(exclude).chain(categories).chain(Some(label).filter(|label| !label.is_empty())) {
        table.column(name).map_err(|failure| match failure {
            Failure::InvalidData(message) => Failure::invalid_parameter(message),
            other => other,
        })?;
    }
    if columns.contains(label) {
        return Err(Failure::invalid_parameter(format!("`{label}` is the label, so it cannot be listed in `columns`")));
    }
    if let Some((_, twice)) = columns.iter().enumerate().find(|(place, name)| columns[..*place].contains(name)) {
        return Err(Failure::invalid_parameter(format!("`{twice}` is listed twice in `columns`")));
    }
    let wanted = |field: &&Field| {
        let name = &field.name;
        name != label && !exclude.contains(name) && (columns.is_empty() || columns.contains(name))
    };
    let chosen: Vec<&Field> = fields.iter().filter(wanted).collect();
    if let Some(stray) = categories.iter().find(|name| chosen.iter().all(|field| field.name != **name)) {
        return Err(Failure::invalid_parameter(format!("`{stray}` is listed in `categories`, but becomes no feature")));
    }
    if chosen.is_empty() {
        return Err(Failure::invalid_parameter("there is no column to make features of"));
    }
    Ok(chosen)
}

/// The word of a row; numbers are written out. Nothing where there is none.
pub(crate) fn word(column: &Series, row: usize) -> Option<Cow<'_, str>> {
    match &column.values {
        Values::Text(_) | Values::Category { .. } => column.word(row).map(Cow::Borrowed),
        Values::Float64(values) if values[row].is_nan() => None,
        // Both zeros are one code.
        Values::Float64(values) => column.has(row).then(|| (values[row] + 0.0).to_string().into()),
        _ => column.display(row).map(Cow::Owned),
    }
}

/// How often every word occurs.
fn count(training: &mut Reader, name: &str, missing: &str) -> Result<BTreeMap<String, u64>, Failure> {
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    let mut add = |word: &str, times: u64| match counts.get_mut(word) {
        Some(count) => *count += times,
        None => {
            counts.insert(word.to_owned(), times);
        }
    };
    training.rewind();
    while let Some(table) = training.next(&[name])? {
        let column = table.column(name)?;
        if let Values::Category { codes, words } = &column.values {
            // The last place counts the rows that have no word.
            let mut times = vec![0; words.len() + 1];
            for (row, code) in codes.iter().enumerate() {
                times[if column.has(row) { *code as usize } else { words.len() }] += 1;
            }
            let all = words.iter().map(String::as_str).chain([missing]).zip(times);
            all.filter(|(_, times)| *times > 0).for_each(|(word, times)| add(word, times));
        } else {
            (0..column.len()).for_each(|row| add(word(column, row).as_deref().unwrap_or(missing), 1));
        }
    }
    Ok(counts)
}

/// Which words stand for themselves.
fn words(counts: BTreeMap<String, u64>, codes: bool, parameters: &Parameters) -> Words {
    let all = counts.len();
    let frequent = counts.into_iter().filter(|(_, count)| *count >= parameters.min_frequency);
    let mut kept: Vec<(String, u64)> = frequent.collect();
    if let Some(most) = parameters.max_categories {
        // Stable: of equally frequent words, the first in sort order stays.
        kept.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        kept.truncate(most as usize);
    }
    let other = kept.len() < all;
    let mut words: Vec<String> = kept.into_iter().map(|(word, _)| word).collect();
    words.sort_unstable();
    if other {
        words.retain(|word| word != OTHER);
        words.push(OTHER.to_owned());
    }
    Words { words, other, codes }
}

/// How numbers are filled, shifted and scaled.
fn number(name: &str, mut values: Vec<f64>, boolean: bool, how: &Numeric) -> Result<Number, Failure> {
    if let Some(row) = values.iter().position(|value| value.is_infinite()) {
        return Err(Failure::invalid_data(format!("column `{name}` is infinite in row {}; clean it first", row + 1)));
    }
    let rows = values.len();
    let mut present: Vec<f64> = values.iter().copied().filter(|value| !value.is_nan()).collect();
    let gaps = rows - present.len();
    if present.is_empty() {
        context::warn(&format!("column `{name}` has no value in any training row"));
    }
    let fill = match how.impute {
        Impute::None => None,
        Impute::Constant => Some(how.constant),
        Impute::Median | Impute::Mean if present.is_empty() => Some(0.0),
        Impute::Median => Some(median(&mut present)),
        Impute::Mean => Some(mean(&present)),
    };
    match fill {
        Some(fill) => values.iter_mut().filter(|value| value.is_nan()).for_each(|value| *value = fill),
        None => values.retain(|value| !value.is_nan()),
    }
    let (centre, divisor) = if how.standardize && !boolean { scale(&values) } else { (0.0, 1.0) };
    if !(fill.is_none_or(f64::is_finite) && centre.is_finite() && divisor.is_finite()) {
        return Err(Failure::invalid_data(format!("the values of column `{name}` are too large to standardize")));
    }
    Ok(Number { fill, centre, divisor, indicator: how.missing_indicator && gaps > 0 })
}

/// The middle value, or the mean of the middle two.
fn median(values: &mut [f64]) -> f64 {
    let middle = values.len() / 2;
    let even = values.len().is_multiple_of(2);
    let (below, upper, _) = values.select_nth_unstable_by(middle, f64::total_cmp);
    let upper = *upper;
    if even { below.iter().copied().max_by(f64::total_cmp).map_or(upper, |lower| lower.midpoint(upper)) } else { upper }
}

/// The mean; a second pass wins back the digits that the first one lost.
fn mean(values: &[f64]) -> f64 {
    let rows = values.len() as f64;
    let rough = values.iter().sum::<f64>() / rows;
    rough + values.iter().map(|value| value - rough).sum::<f64>() / rows
}

/// What to subtract and what to divide by. A column of equal values is only shifted, which is seen by its extremes:
/// rounding may leave it a tiny deviation.
fn scale(values: &[f64]) -> (f64, f64) {
    let Some(first) = values.first() else { return (0.0, 1.0) };
    if values.iter().all(|value| value == first) {
        return (*first, 1.0);
    }
    let mean = mean(values);
    let deviation = (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / values.len() as f64).sqrt();
    // Differences whose squares vanish leave no deviation.
    (mean, if deviation > 0.0 { deviation } else { 1.0 })
}
