//! The figures of a bias audit by New York City's Local Law 144 of 2021, as its rules define them (6 RCNY § 5-300 to
//! 5-304): selection rates, scoring rates and impact ratios by sex, by race or ethnicity, and by both.
//!
//! They are counted here from the scored rows themselves, not taken from a fairness checker's report: that leaves out
//! rows without a label and groups that are too small to test, and the rule asks for every person who was assessed.
//! The rule sets no pass mark, and none is made up here.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use stagewright_core::{ColumnType, Digest, Field, Schema, StageKind, name::nearest};

use super::{
    facts::Facts,
    text::{Gap, Markdown, code, count, day, number, plain},
};
use crate::{
    error::{Error, Result},
    ingest::export::{Cell, cell},
    project::Project,
};

/// A category with a smaller share of the rows may be left out of the impact ratios (§ 5-301(d)).
const SMALL: f64 = 0.02;
/// What a missing value, or a value of this name, is counted as.
const UNKNOWN: &str = "unknown";
/// What the columns may be called where nobody says.
const SEX: [&str; 2] = ["sex", "gender"];
const RACE: [&str; 5] = ["race", "ethnicity", "race-ethnicity", "race_ethnicity", "race/ethnicity"];

/// What is asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Question {
    /// The column of sexes; by default the protected column that is called so.
    pub sex: Option<String>,
    /// The column of races or ethnicities; by default the protected column that is called so.
    pub race: Option<String>,
    /// The class that counts as selected; by default the one that the fairness checker was given.
    pub selected: Option<String>,
}

/// The figures.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Audit {
    /// The rows that were assessed, as the pipeline calls them.
    pub rows_from: String,
    /// The scored rows.
    pub scored: Digest,
    /// How many rows were assessed.
    pub rows: u64,
    /// Rows without a decision; they count as not selected.
    pub undecided: u64,
    /// What counts as selected, in words.
    pub selected_means: String,
    /// The median score of all rows; none where there are no scores.
    pub median_score: Option<f64>,
    /// Rows whose sex or race is unknown.
    pub unknown: u64,
    /// By sex, by race or ethnicity, by both.
    pub tables: Vec<Table>,
}

/// The categories of one attribute, or of two.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Table {
    /// `Sex`, `Race or ethnicity`, `Race or ethnicity and sex`.
    pub title: &'static str,
    /// The columns that it comes from.
    pub columns: Vec<String>,
    /// The known categories, in order.
    pub categories: Vec<Category>,
    /// Rows that are in none of them.
    pub unknown: u64,
}

/// A category.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Category {
    /// Its values, by column.
    pub values: Vec<String>,
    /// How many were assessed.
    pub assessed: u64,
    /// Their share of all rows.
    pub share: f64,
    /// How many were selected.
    pub selected: u64,
    /// Selected over assessed.
    pub selection_rate: f64,
    /// Its selection rate over that of the category that is most selected; none where it is small or nobody was
    /// selected.
    pub impact_ratio: Option<f64>,
    /// The share with a score above the median of all; none where there are no scores.
    pub scoring_rate: Option<f64>,
    /// Its scoring rate over the highest.
    pub scoring_impact_ratio: Option<f64>,
    /// Whether it is under 2 % of the rows and left out of the ratios.
    pub small: bool,
}

/// How rows become decisions. These are parameters of a fairness checker by convention.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Reading {
    #[serde(default)]
    protected: Vec<String>,
    #[serde(default = "prediction")]
    prediction: String,
    #[serde(default = "score")]
    score: String,
    #[serde(default)]
    positive: Option<Value>,
    #[serde(default)]
    threshold: Option<f64>,
}

fn prediction() -> String {
    "prediction".to_owned()
}

fn score() -> String {
    "score".to_owned()
}

/// A row as the audit sees it: the values of both attributes (none where unknown), the decision, the score.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Person {
    pub(crate) values: [Option<u32>; 2],
    pub(crate) selected: bool,
    pub(crate) score: f64,
}

/// Counts what the law asks for, from the scored rows of a fairness checker or an evaluator.
///
/// # Errors
/// The run scored no rows, they were deleted since, or it cannot be told which columns and class are meant.
pub(crate) fn audit(project: &Project, facts: &Facts, question: &Question) -> Result<Audit> {
    let kinds = [StageKind::FairnessChecker, StageKind::Evaluator];
    let report = kinds.iter().find_map(|kind| facts.reports_of(*kind).find(|report| report.scored.is_some()));
    let Some((report, scored)) = report.and_then(|report| Some((report, report.scored?))) else {
        return Err(Error::Invalid(format!(
            "run {} applied {} to no rows that an audit could count: add a fairness-checker stage to its pipeline",
            facts.run.id,
            facts.label()
        )));
    };
    let data = project.store.data()?;
    if !data.contains(&scored)? {
        return Err(Error::Invalid(format!(
            "the scored rows of stage `{}` of run {} are not kept any more; run the pipeline again",
            report.stage, facts.run.id
        )));
    }
    let table = data.table(&scored)?;
    let parameters = Value::Object(report.parameters.clone().into_iter().collect());
    let reading: Reading = serde_json::from_value(parameters).map_err(|error| {
        Error::Invalid(format!("the parameters of stage `{}` are not understood: {error}", report.stage))
    })?;
    let schema = table.schema().clone();
    let [sex, race] = columns(&schema, &reading, question)?;
    let rule = Rule::new(&schema, &reading, question)?;
    let mut reader = Reader::new(&schema, [sex, race], rule);
    for place in 0..table.batches() {
        reader.read(&table.batch(place)?);
    }
    let name = |place: usize| schema.fields()[place].name.clone();
    let selected_means = reader.rule.says(&schema);
    let (people, undecided, names) = reader.finish()?;
    let mut audit = tally(&people, &names, [&name(sex), &name(race)]);
    audit.rows_from = report.rows.as_ref().map_or_else(|| report.stage.clone(), |rows| rows.name.clone());
    audit.scored = scored;
    audit.undecided = undecided;
    audit.selected_means = selected_means;
    Ok(audit)
}

/// Which columns hold sex and race.
fn columns(schema: &Schema, reading: &Reading, question: &Question) -> Result<[usize; 2]> {
    let named = |flag: &str, what: &str, given: &Option<String>, usual: &[&str]| -> Result<usize> {
        let all = || schema.fields().iter().map(|field| field.name.as_str());
        if let Some(given) = given {
            return schema.index_of(given).ok_or_else(|| {
                let hint = match nearest(given, all()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("they have {}", all().collect::<Vec<_>>().join(", ")),
                };
                Error::Invalid(format!("the scored rows have no column `{given}`; {hint}"))
            });
        }
        // What the pipeline protects comes first: another column may bear the name by chance.
        let protected = reading.protected.iter().map(String::as_str);
        let found = protected.chain(all()).find(|name| usual.contains(&name.to_lowercase().as_str()));
        found.and_then(|name| schema.index_of(name)).ok_or_else(|| {
            Error::Invalid(format!(
                "it cannot be told which column holds {what}: say --{flag} COLUMN (one of {})",
                all().collect::<Vec<_>>().join(", ")
            ))
        })
    };
    Ok([named("sex", "sexes", &question.sex, &SEX)?, named("race", "races or ethnicities", &question.race, &RACE)?])
}

/// When a row is selected.
enum Rule {
    /// Where the prediction is this class; where none is named, the last of two.
    Class { column: usize, class: Option<String> },
    /// Where the score is not below.
    Threshold { column: usize, threshold: f64 },
}

impl Rule {
    fn new(schema: &Schema, reading: &Reading, question: &Question) -> Result<(Self, Option<usize>)> {
        let score = schema
            .index_of(&reading.score)
            .filter(|place| matches!(schema.fields()[*place].column_type, ColumnType::Float64 | ColumnType::Int64));
        let prediction = schema.index_of(&reading.prediction);
        let text = |value: &Value| match value {
            Value::String(text) => text.clone(),
            // As a cell of a number is written, whatever its type.
            Value::Number(number) => number.as_f64().map_or_else(|| number.to_string(), |number| number.to_string()),
            other => other.to_string(),
        };
        let positive = reading.positive.as_ref().filter(|value| !value.is_null()).map(text);
        let class = question.selected.clone().or(positive);
        let rule = match (reading.threshold, prediction, score) {
            (Some(threshold), _, Some(column)) if question.selected.is_none() => Self::Threshold { column, threshold },
            (_, Some(column), _) => Self::Class { column, class },
            (None, None, Some(column)) => Self::Threshold { column, threshold: 0.5 },
            _ => {
                return Err(Error::Invalid(format!(
                    "the scored rows have neither a column `{}` of decisions nor a column `{}` of scores",
                    reading.prediction, reading.score
                )));
            }
        };
        Ok((rule, score))
    }

    fn says(&self, schema: &Schema) -> String {
        let name = |place: &usize| schema.fields()[*place].name.as_str();
        match self {
            Self::Class { column, class: Some(class) } => format!("{} is {}", code(name(column)), code(class)),
            Self::Class { column, class: None } => format!("{} is the later of its two values", code(name(column))),
            Self::Threshold { column, threshold } => format!("{} is at least {threshold}", code(name(column))),
        }
    }
}

/// Reads scored rows into people.
struct Reader {
    fields: Vec<Field>,
    attributes: [usize; 2],
    rule: Rule,
    score: Option<usize>,
    names: [BTreeMap<String, u32>; 2],
    /// Decisions as text wait for the class to be known.
    decisions: BTreeMap<String, u32>,
    people: Vec<(Person, Option<u32>)>,
    undecided: u64,
}

impl Reader {
    fn new(schema: &Schema, attributes: [usize; 2], (rule, score): (Rule, Option<usize>)) -> Self {
        Self {
            fields: schema.fields().to_vec(),
            attributes,
            rule,
            score,
            names: Default::default(),
            decisions: BTreeMap::new(),
            people: Vec::new(),
            undecided: 0,
        }
    }

    fn read(&mut self, batch: &stagewright_core::Batch) {
        for row in 0..batch.rows as usize {
            let at = |place: usize| cell(&self.fields[place], &batch.columns[place], row);
            let float = |place: usize| match at(place) {
                Cell::Float(value) => value,
                Cell::Integer(value) => value as f64,
                _ => f64::NAN,
            };
            let texts =
                self.attributes.map(|place| text(&at(place)).filter(|text| !text.eq_ignore_ascii_case(UNKNOWN)));
            let score = self.score.map_or(f64::NAN, float);
            let (selected, decision) = match &self.rule {
                Rule::Threshold { column, threshold } => {
                    let value = float(*column);
                    self.undecided += u64::from(value.is_nan());
                    (value >= *threshold, None)
                }
                Rule::Class { column, .. } => {
                    let decision = text(&at(*column));
                    self.undecided += u64::from(decision.is_none());
                    (false, decision)
                }
            };
            let mut values = [None; 2];
            for ((value, text), names) in values.iter_mut().zip(texts).zip(&mut self.names) {
                let next = names.len() as u32;
                *value = text.map(|text| *names.entry(text).or_insert(next));
            }
            let next = self.decisions.len() as u32;
            let decision = decision.map(|text| *self.decisions.entry(text).or_insert(next));
            self.people.push((Person { values, selected, score }, decision));
        }
    }

    /// The people, how many of them have no decision, and the names of both attributes' values.
    fn finish(mut self) -> Result<(Vec<Person>, u64, [Vec<String>; 2])> {
        if let Rule::Class { column, class } = &self.rule {
            let known: Vec<&str> = self.decisions.keys().map(String::as_str).collect();
            let list = || known.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
            let class = match (class, known.as_slice()) {
                (Some(class), _) => class.as_str(),
                (None, [_, last]) => *last,
                (None, _) => {
                    let column = &self.fields[*column].name;
                    return Err(Error::Invalid(format!(
                        "`{column}` has the values {}: say --selected CLASS, which of them counts as selected",
                        list()
                    )));
                }
            };
            // A model may well select nobody, and then its class occurs nowhere.
            let code = self.decisions.get(class).copied();
            for (person, decision) in &mut self.people {
                person.selected = code.is_some() && *decision == code;
            }
        }
        let names = self.names.map(|names| {
            let mut sorted: Vec<(u32, String)> = names.into_iter().map(|(name, code)| (code, name)).collect();
            sorted.sort_unstable();
            sorted.into_iter().map(|(_, name)| name).collect()
        });
        Ok((self.people.into_iter().map(|(person, _)| person).collect(), self.undecided, names))
    }
}

/// A value as a category is called; none where it is missing.
fn text(cell: &Cell<'_>) -> Option<String> {
    match cell {
        Cell::Missing => None,
        Cell::Boolean(value) => Some(value.to_string()),
        Cell::Integer(value) => Some(value.to_string()),
        Cell::Float(value) => (!value.is_nan()).then(|| value.to_string()),
        Cell::Time(value) => Some(value.to_string()),
        Cell::Text(text) => Some((*text).to_owned()).filter(|text| !text.is_empty()),
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    assessed: u64,
    selected: u64,
    above: u64,
}

/// Counts people.
pub(crate) fn tally(people: &[Person], names: &[Vec<String>; 2], columns: [&str; 2]) -> Audit {
    let median = median(people.iter().map(|person| person.score));
    let total = people.len() as u64;
    let table = |title, attributes: &[usize]| {
        let mut counts: BTreeMap<Vec<String>, Counts> = BTreeMap::new();
        let mut unknown = 0;
        for person in people {
            let values: Option<Vec<String>> = attributes
                .iter()
                .map(|&place| person.values[place].map(|value| names[place][value as usize].clone()))
                .collect();
            let Some(values) = values else {
                unknown += 1;
                continue;
            };
            let counts = counts.entry(values).or_default();
            counts.assessed += 1;
            counts.selected += u64::from(person.selected);
            counts.above += u64::from(median.is_some_and(|median| person.score > median));
        }
        let columns = attributes.iter().map(|&place| columns[place].to_owned()).collect();
        Table { title, columns, categories: categories(counts, total, median.is_some()), unknown }
    };
    Audit {
        rows_from: String::new(),
        scored: Digest::of(b""),
        rows: total,
        undecided: 0,
        selected_means: String::new(),
        median_score: median,
        unknown: people.iter().filter(|person| person.values.contains(&None)).count() as u64,
        tables: vec![table("Sex", &[0]), table("Race or ethnicity", &[1]), table("Race or ethnicity and sex", &[1, 0])],
    }
}

fn categories(counts: BTreeMap<Vec<String>, Counts>, total: u64, scored: bool) -> Vec<Category> {
    let rate = |part: u64, whole: u64| part as f64 / whole as f64;
    let small = |counts: &Counts| rate(counts.assessed, total) < SMALL;
    let highest = |of: fn(&Counts) -> u64| {
        let compared = counts.values().filter(|counts| !small(counts));
        compared.map(|counts| rate(of(counts), counts.assessed)).fold(0.0, f64::max)
    };
    let (most_selected, best_scoring) = (highest(|counts| counts.selected), highest(|counts| counts.above));
    let over = |rate: f64, highest: f64| (highest > 0.0).then(|| rate / highest);
    counts
        .iter()
        .map(|(values, counts)| {
            let small = small(counts);
            let (selection, scoring) = (rate(counts.selected, counts.assessed), rate(counts.above, counts.assessed));
            Category {
                values: values.clone(),
                assessed: counts.assessed,
                share: rate(counts.assessed, total),
                selected: counts.selected,
                selection_rate: selection,
                impact_ratio: if small { None } else { over(selection, most_selected) },
                scoring_rate: scored.then_some(scoring),
                scoring_impact_ratio: if small || !scored { None } else { over(scoring, best_scoring) },
                small,
            }
        })
        .collect()
}

/// The median; none where there is nothing, or a score is missing.
fn median(scores: impl Iterator<Item = f64>) -> Option<f64> {
    let mut scores: Vec<f64> = scores.collect();
    if scores.is_empty() || scores.iter().any(|score| score.is_nan()) {
        return None;
    }
    scores.sort_by(f64::total_cmp);
    let middle = scores.len() / 2;
    Some(if scores.len() % 2 == 1 { scores[middle] } else { (scores[middle - 1] + scores[middle]) / 2.0 })
}

/// The document and its gaps.
pub(crate) fn document(facts: &Facts, audit: &Audit) -> (String, Vec<Gap>) {
    let mut markdown = Markdown::default();
    markdown.heading(1, format!("Bias audit of {}", code(&facts.label())));
    markdown.paragraph(
        "The figures that New York City's Local Law 144 of 2021 and its rules (6 RCNY § 5-301 to 5-303) ask for, \
         counted from the scored rows in the record. The rule sets no pass mark, so this document judges nothing.",
    );
    summary(facts, audit, &mut markdown);
    for table in &audit.tables {
        categories_section(audit, table, &mut markdown);
    }
    footnotes(audit, &mut markdown);
    markdown.list_gaps();
    (markdown.text, markdown.gaps)
}

fn summary(facts: &Facts, audit: &Audit, markdown: &mut Markdown) {
    markdown.heading(2, "Summary");
    let data = facts.data.iter().map(|data| code(&data.label())).collect::<Vec<_>>().join(", ");
    let mut list = vec![
        format!("Tool: {}, digest `{}`", code(&facts.label()), facts.record.digest),
        format!("Date of these figures: {} (the end of run {})", day(facts.finished_ms()), facts.run.id),
        format!("Rows assessed: {}, of {} ({data})", count(audit.rows), code(&audit.rows_from)),
        format!("Rows whose sex or race is unknown: {}", count(audit.unknown)),
        format!("Selected means: {}", audit.selected_means),
    ];
    if audit.undecided > 0 {
        list.push(format!("Rows without a decision, counted as not selected: {}", count(audit.undecided)));
    }
    list.push(match audit.median_score {
        Some(median) => format!("Median score of all rows: {}", number(Some(median))),
        None => "There is no score in every row, so there are no scoring rates".to_owned(),
    });
    markdown.list(list);
    markdown.gap(
        "data-explanation",
        "whether these rows are historical data of the tool's use or test data (and then why), and where they come from.",
    );
    markdown.gap(
        "independent-auditor",
        "who audited: the law asks for an auditor who is independent of the tool's maker and its users.",
    );
    markdown.gap("distribution-date", "the date since when the tool has been in use.");
}

fn categories_section(audit: &Audit, table: &Table, markdown: &mut Markdown) {
    markdown.heading(2, table.title);
    let columns: Vec<String> = table.columns.iter().map(|name| code(name)).collect();
    markdown.paragraph(format!("By {}; in no known category: {}.", columns.join(" and "), count(table.unknown)));
    let ratio = |category: &Category, ratio: Option<f64>| match (category.small, ratio) {
        (true, _) => "left out (< 2 %)".to_owned(),
        (false, None) => "undefined".to_owned(),
        (false, ratio) => fixed(ratio),
    };
    let names = |category: &Category| category.values.iter().map(|value| plain(value)).collect::<Vec<_>>();
    let titles = |more: &[&'static str]| -> Vec<String> {
        let own = table.columns.iter().map(|name| code(name));
        own.chain(more.iter().map(|title| (*title).to_owned())).collect()
    };
    let mut write = |titles: &[String], rows: Vec<Vec<String>>| {
        let titles: Vec<&str> = titles.iter().map(String::as_str).collect();
        markdown.table(&titles, rows);
    };
    let rows = table.categories.iter().map(|category| {
        let figures = [
            count(category.assessed),
            format!("{:.1} %", category.share * 100.0),
            count(category.selected),
            fixed(Some(category.selection_rate)),
            ratio(category, category.impact_ratio),
        ];
        [names(category), figures.to_vec()].concat()
    });
    write(&titles(&["assessed>", "share>", "selected>", "selection rate>", "impact ratio>"]), rows.collect());
    if audit.median_score.is_some() {
        let rows = table.categories.iter().map(|category| {
            let figures = [
                count(category.assessed),
                fixed(category.scoring_rate),
                ratio(category, category.scoring_impact_ratio),
            ];
            [names(category), figures.to_vec()].concat()
        });
        write(&titles(&["assessed>", "scoring rate>", "impact ratio>"]), rows.collect());
    }
}

/// Rates have three decimals everywhere, so that columns line up and nothing seems more exact than it is.
fn fixed(value: Option<f64>) -> String {
    value.map_or_else(|| "undefined".to_owned(), |value| format!("{value:.3}"))
}

fn footnotes(audit: &Audit, markdown: &mut Markdown) {
    markdown.heading(2, "How it was counted");
    markdown.list([
        "Selection rate: selected over assessed. Impact ratio: the selection rate over that of the category that is most selected.",
        "Scoring rate: the share with a score above the median of all rows. Its impact ratio: over the highest scoring rate.",
        "Unknown: the value is missing, or is the word `unknown`. Those rows are counted, and are in no ratio.",
    ]);
    let small: BTreeSet<String> = audit
        .tables
        .iter()
        .flat_map(|table| {
            table.categories.iter().filter(|category| category.small).map(|category| plain(&category.values.join(", ")))
        })
        .collect();
    if !small.is_empty() {
        let small: Vec<String> = small.into_iter().collect();
        markdown.paragraph(format!(
            "Under 2 % of the rows and left out of the ratios, with their counts and rates above: {}.",
            small.join("; ")
        ));
        markdown.gap(
            "small-categories",
            "why it is right to leave these categories out: the rule asks for a justification.",
        );
    }
    markdown.gap(
        "categories",
        "that the categories are those of the EEO-1 report (Hispanic or Latino, White, Black or African American, Native \
         Hawaiian or Pacific Islander, Asian, Native American or Alaska Native, two or more races); they are the values \
         of the columns as they are.",
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sex, race, whether selected, score, and how many of them.
    type Alike = (Option<u32>, Option<u32>, bool, f64, usize);

    fn people(of: &[Alike]) -> Vec<Person> {
        of.iter()
            .flat_map(|&(sex, race, selected, score, times)| {
                std::iter::repeat_n(Person { values: [sex, race], selected, score }, times)
            })
            .collect()
    }

    fn names() -> [Vec<String>; 2] {
        [vec!["Female".into(), "Male".into()], vec!["A".into(), "B".into(), "C".into()]]
    }

    #[test]
    fn ratios_are_taken_over_the_category_that_is_most_selected() {
        let people = people(&[
            (Some(0), Some(0), true, 0.9, 20),
            (Some(0), Some(0), false, 0.1, 80),
            (Some(1), Some(1), true, 0.9, 50),
            (Some(1), Some(1), false, 0.2, 50),
        ]);
        let audit = tally(&people, &names(), ["sex", "race"]);
        let sex = &audit.tables[0];
        assert_eq!(sex.categories[0].values, ["Female"]);
        assert_eq!((sex.categories[0].selection_rate, sex.categories[0].impact_ratio), (0.2, Some(0.4)));
        assert_eq!(sex.categories[1].impact_ratio, Some(1.0));
        // The median lies between 0.1 and 0.9 at 0.2: nobody with 0.2 is above it.
        assert_eq!(audit.median_score, Some(0.2));
        assert_eq!(sex.categories[1].scoring_rate, Some(0.5));
        assert_eq!(sex.categories[0].scoring_impact_ratio, Some(0.4));
        assert_eq!(audit.tables[2].categories.len(), 2, "only combinations that occur");
    }

    #[test]
    fn a_small_category_has_a_rate_and_no_ratio_and_is_nobodys_measure() {
        let people = people(&[
            (Some(0), Some(0), true, 0.5, 50),
            (Some(0), Some(0), false, 0.5, 49),
            (Some(0), Some(2), true, 0.5, 1),
        ]);
        let race = tally(&people, &names(), ["sex", "race"]).tables.remove(1);
        assert!(race.categories[1].small && race.categories[1].impact_ratio.is_none());
        assert_eq!(race.categories[1].selection_rate, 1.0);
        assert_eq!(
            race.categories[0].impact_ratio,
            Some(1.0),
            "the small one's rate of 1 is not what it is held against"
        );
        assert_eq!(race.categories[1].share, 0.01);
    }

    #[test]
    fn exactly_two_percent_is_not_small() {
        let people = people(&[(Some(0), Some(0), true, 0.5, 98), (Some(0), Some(1), false, 0.5, 2)]);
        let race = tally(&people, &names(), ["sex", "race"]).tables.remove(1);
        assert_eq!((race.categories[1].small, race.categories[1].impact_ratio), (false, Some(0.0)));
    }

    #[test]
    fn the_unknown_are_counted_and_in_no_category_but_in_the_median() {
        let people =
            people(&[(None, Some(0), true, 1.0, 3), (Some(1), None, false, 0.0, 2), (Some(1), Some(0), true, 0.4, 2)]);
        let audit = tally(&people, &names(), ["sex", "race"]);
        assert_eq!((audit.rows, audit.unknown, audit.median_score), (7, 5, Some(0.4)));
        let unknown: Vec<u64> = audit.tables.iter().map(|table| table.unknown).collect();
        assert_eq!(unknown, [3, 2, 5]);
        assert_eq!(audit.tables[2].categories.len(), 1);
    }

    #[test]
    fn where_nobody_is_selected_there_is_no_ratio() {
        let people = people(&[(Some(0), Some(0), false, f64::NAN, 5), (Some(1), Some(1), false, 0.1, 5)]);
        let audit = tally(&people, &names(), ["sex", "race"]);
        assert_eq!(audit.tables[0].categories[0].impact_ratio, None);
        assert_eq!(audit.median_score, None, "a score is missing");
        assert_eq!(audit.tables[0].categories[0].scoring_rate, None);
    }

    #[test]
    fn nobody_at_all_makes_empty_tables() {
        let audit = tally(&[], &names(), ["sex", "race"]);
        assert!(audit.tables.iter().all(|table| table.categories.is_empty()));
    }
}
