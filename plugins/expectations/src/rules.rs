//! The rules of one column: which of its rows break them.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use regex_lite::Regex;
use stagewright_stage::{Failure, Series, Values};

use crate::parameters::{Bounds, Monotonic, Rules};

/// How many rows that break a rule are shown.
const EXAMPLES: usize = 5;

/// What came of one rule.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// The rule, as the parameter is called.
    pub rule: String,
    /// How many values were looked at.
    pub checked: u64,
    /// How many break the rule.
    pub broken: u64,
    /// The first of them: row, counted from 1, and value.
    pub examples: Vec<(u64, String)>,
    /// What is expected, to follow "values": "are at least 0".
    pub expected: String,
}

impl Outcome {
    fn new(rule: &str, expected: String) -> Self {
        Self { rule: rule.into(), checked: 0, broken: 0, examples: vec![], expected }
    }

    fn look(&mut self, row: usize, keeps: bool, show: impl FnOnce() -> String) {
        self.checked += 1;
        if !keeps {
            self.broken += 1;
            if self.examples.len() < EXAMPLES {
                self.examples.push((row as u64 + 1, shorten(&show())));
            }
        }
    }

    /// The share of values that keep the rule; nothing where there were none.
    pub fn share(&self) -> Option<f64> {
        (self.checked > 0).then(|| (self.checked - self.broken) as f64 / self.checked as f64)
    }

    /// Whether enough values keep the rule. Where there are none, no value breaks it.
    pub fn holds(&self, at_least: f64) -> bool {
        self.broken == 0 || self.share().is_some_and(|share| share >= at_least)
    }
}

/// The first characters of a value.
fn shorten(value: &str) -> String {
    const MOST: usize = 60;
    if value.chars().count() <= MOST { value.into() } else { value.chars().take(MOST).chain(['…']).collect() }
}

/// A figure of a whole column, and its bounds.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    /// What it is: `mean`, or `quantile 0.5`.
    pub rule: String,
    /// What it came to; nothing where there are no values.
    pub value: Option<f64>,
    /// What it should be within.
    pub bounds: Bounds,
    /// The number of values.
    pub support: u64,
}

impl Summary {
    /// Whether the figure keeps its bounds. Where there is none, it breaks none.
    pub fn holds(&self) -> bool {
        self.value.is_none_or(|value| {
            self.bounds.min.is_none_or(|min| value >= min) && self.bounds.max.is_none_or(|max| value <= max)
        })
    }
}

/// A column whose rows are asked.
struct Asked<'a> {
    column: &'a Series,
    numbers: Option<Cow<'a, [f64]>>,
}

impl Asked<'_> {
    fn has(&self, row: usize) -> bool {
        self.column.has(row) && self.numbers.as_ref().is_none_or(|numbers| !numbers[row].is_nan())
    }

    fn show(&self, row: usize) -> String {
        self.column.display(row).unwrap_or_default()
    }

    fn rows(&self) -> impl Iterator<Item = usize> {
        (0..self.column.len()).filter(|&row| self.has(row))
    }

    /// Asks of every value that is there whether it keeps a rule.
    fn each(&self, rule: &str, expected: String, keeps: impl Fn(usize) -> bool) -> Outcome {
        let mut outcome = Outcome::new(rule, expected);
        for row in self.rows() {
            outcome.look(row, keeps(row), || self.show(row));
        }
        outcome
    }

    fn numbers(&self, rule: &str) -> Result<&[f64], Failure> {
        self.numbers.as_deref().ok_or_else(|| {
            let name = &self.column.name;
            Failure::invalid_parameter(format!("`{rule}` needs numbers, and column `{name}` holds text"))
        })
    }
}

/// Checks the rules that look at single values.
pub fn check(column: &Series, rules: &Rules) -> Result<Vec<Outcome>, Failure> {
    if !(0.0..=1.0).contains(&rules.at_least) {
        let (name, share) = (&column.name, rules.at_least);
        return Err(Failure::invalid_parameter(format!("`at-least` of `{name}` is {share}; it must be in 0..=1")));
    }
    let asked = Asked { column, numbers: column.numeric() };
    let mut outcomes = Vec::new();
    if let Some(kind) = rules.r#type {
        let found = format!("{:?}", column.values.kind()).to_lowercase();
        let mut outcome =
            Outcome::new("type", format!("are of type {}, not {found}", format!("{kind:?}").to_lowercase()));
        outcome.checked = 1;
        outcome.broken = u64::from(!kind.fits(column.values.kind()));
        outcomes.push(outcome);
    }
    if rules.not_null {
        let mut outcome = Outcome::new("not-null", "are there".into());
        for row in 0..column.len() {
            outcome.look(row, asked.has(row), || "missing".into());
        }
        outcomes.push(outcome);
    }
    if let Some(min) = rules.min {
        let numbers = asked.numbers("min")?;
        outcomes.push(asked.each("min", format!("are at least {min}"), |row| numbers[row] >= min));
    }
    if let Some(max) = rules.max {
        let numbers = asked.numbers("max")?;
        outcomes.push(asked.each("max", format!("are at most {max}"), |row| numbers[row] <= max));
    }
    if let Some(allowed) = &rules.r#in {
        let allowed: BTreeSet<String> = allowed.iter().map(|value| value.display()).collect();
        let few: Vec<String> = allowed.iter().take(10).map(|value| format!("`{value}`")).collect();
        let more = if allowed.len() > few.len() { ", …" } else { "" };
        let expected = format!("are one of {}{more}", few.join(", "));
        outcomes.push(asked.each("in", expected, |row| allowed.contains(&asked.show(row))));
    }
    if let Some(pattern) = &rules.regex {
        let regex = Regex::new(pattern).map_err(|error| {
            Failure::invalid_parameter(format!("`regex` of `{}` cannot be read: {error}", column.name))
        })?;
        outcomes.push(asked.each("regex", format!("match `{pattern}`"), |row| regex.is_match(&asked.show(row))));
    }
    let length = |row: usize| asked.show(row).chars().count() as u64;
    if let Some(least) = rules.min_length {
        outcomes
            .push(asked.each("min-length", format!("have at least {least} characters"), |row| length(row) >= least));
    }
    if let Some(most) = rules.max_length {
        outcomes.push(asked.each("max-length", format!("have at most {most} characters"), |row| length(row) <= most));
    }
    if rules.unique {
        outcomes.push(unique("unique", &[column], "differ from each other"));
    }
    if let Some(order) = rules.monotonic {
        outcomes.push(monotonic(&asked, order));
    }
    Ok(outcomes)
}

/// Checks that no combination of values occurs twice. Rows that lack one of them do not count.
pub fn unique(rule: &str, columns: &[&Series], expected: &str) -> Outcome {
    let asked: Vec<Asked<'_>> = columns.iter().map(|column| Asked { column, numbers: column.numeric() }).collect();
    let rows = columns.first().map_or(0, |column| column.len());
    let key = |row: usize| -> Option<Vec<String>> {
        asked.iter().map(|asked| asked.has(row).then(|| asked.show(row))).collect()
    };
    let mut times: BTreeMap<Vec<String>, u64> = BTreeMap::new();
    for key in (0..rows).filter_map(key) {
        *times.entry(key).or_default() += 1;
    }
    let mut outcome = Outcome::new(rule, expected.into());
    for row in 0..rows {
        if let Some(key) = key(row) {
            outcome.look(row, times.get(&key) == Some(&1), || key.join(", "));
        }
    }
    outcome
}

fn monotonic(asked: &Asked<'_>, order: Monotonic) -> Outcome {
    use std::cmp::Ordering::{Equal, Greater, Less};
    let (expected, allowed): (&str, &[std::cmp::Ordering]) = match order {
        Monotonic::Increasing => ("never fall", &[Greater, Equal]),
        Monotonic::StrictlyIncreasing => ("always rise", &[Greater]),
        Monotonic::Decreasing => ("never rise", &[Less, Equal]),
        Monotonic::StrictlyDecreasing => ("always fall", &[Less]),
    };
    let mut outcome = Outcome::new("monotonic", expected.into());
    let mut before: Option<usize> = None;
    for row in asked.rows() {
        let step = before.map(|before| match (&asked.column.values, &asked.numbers) {
            // Past 2^53, neighbouring whole numbers are the same float.
            (Values::Int64(values) | Values::Timestamp(values), _) => values[row].cmp(&values[before]),
            (_, Some(numbers)) => (numbers[row] + 0.0).total_cmp(&(numbers[before] + 0.0)),
            _ => asked.column.word(row).cmp(&asked.column.word(before)),
        });
        outcome.look(row, step.is_none_or(|step| allowed.contains(&step)), || asked.show(row));
        before = Some(row);
    }
    outcome
}

/// Computes the figures of the whole column that have bounds.
pub fn summarize(column: &Series, rules: &Rules) -> Result<Vec<Summary>, Failure> {
    let mean = Bounds { min: rules.mean_min, max: rules.mean_max };
    if mean == Bounds::default() && rules.quantiles.is_empty() {
        return Ok(vec![]);
    }
    let asked = Asked { column, numbers: column.numeric() };
    let numbers = asked.numbers(if rules.quantiles.is_empty() { "mean" } else { "quantiles" })?;
    let mut values: Vec<f64> = asked.rows().map(|row| numbers[row]).collect();
    let support = values.len() as u64;
    let mut summaries = Vec::new();
    if mean != Bounds::default() {
        let value = (support > 0).then(|| values.iter().sum::<f64>() / support as f64);
        summaries.push(Summary { rule: "mean".into(), value, bounds: mean, support });
    }
    values.sort_unstable_by(f64::total_cmp);
    for (share, &bounds) in &rules.quantiles {
        let place = share.parse().ok().filter(|share| (0.0..=1.0).contains(share)).ok_or_else(|| {
            let name = &column.name;
            Failure::invalid_parameter(format!("a quantile of `{name}` is `{share}`; it must be a number from 0 to 1"))
        })?;
        let value = quantile(&values, place);
        summaries.push(Summary { rule: format!("quantile {share}"), value, bounds, support });
    }
    Ok(summaries)
}

/// The value below which a share of a sorted sample lies, with linear interpolation.
fn quantile(sorted: &[f64], share: f64) -> Option<f64> {
    let place = share * sorted.len().checked_sub(1)? as f64;
    let (below, above) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
    Some(if below == above { below } else { below + (above - below) * place.fract() })
}
