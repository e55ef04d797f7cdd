//! From scored rows to a report: which rows count, what is measured on which slices, what people should be told.

use stagewright_stage::{Failure, Figure, Finding, Label, Metric, Report, Severity};

use crate::bootstrap::{Estimate, Settings, estimate};
use crate::categories::{Categories, Classes, Kind};
use crate::classes::{CLASS_MEASURES, ClassConfusion};
use crate::figures;
use crate::measures::{Outcome, Sample};
use crate::probabilities::{Labelled, Probabilities};

/// A label with more classes than this is not one.
const MOST_CLASSES: usize = 100;

/// A slice column with more groups than this would bury the report.
const MOST_GROUPS: usize = 100;

/// The most classes of which a confusion matrix can be drawn.
const MOST_DRAWN_CLASSES: usize = 14;

/// The group of the rows whose slice column has no value.
const UNKNOWN: &str = "unknown";

/// What is read of the scored rows.
pub struct Scored {
    /// The label column's name, for messages.
    pub label: String,
    /// What the rows really are.
    pub labels: Categories,
    /// The probabilities that the model gave, NaN where it gave none; none if there is no such column.
    pub scores: Option<Vec<f64>>,
    /// Where classes are many, the probability of each that the model gave one, by its name.
    pub class_scores: Vec<(String, Vec<f64>)>,
    /// The labels that the model gave, if there is such a column.
    pub predictions: Option<Categories>,
    /// What each row counts for; 1 if none.
    pub weights: Option<Vec<f64>>,
    /// The columns to measure each group of.
    pub slices: Vec<(String, Categories)>,
}

/// How to judge.
pub struct Rules {
    /// The positive class, if named.
    pub positive: Option<String>,
    /// From which score on a row is decided to be positive.
    pub threshold: f64,
    /// How intervals are made.
    pub bootstrap: Settings,
    /// Whether figures are drawn.
    pub figures: bool,
}

/// A row with a label and a decision.
#[derive(Clone, Copy)]
struct Row {
    /// Where it stands in the table.
    place: usize,
    label: u32,
    /// The prediction as a class, where classes are many; else whether it is positive, as 0 or 1.
    decision: u32,
    score: f64,
    weight: f64,
}

/// A group of rows and the labels of its metrics.
struct Slice {
    labels: Vec<Label>,
    rows: Vec<Row>,
}

/// Judges the rows. `keep_on` is asked now and then; on its no, the report is cut short.
pub fn judge(
    scored: &Scored,
    rules: &Rules,
    random: &mut impl FnMut() -> u64,
    keep_on: impl Fn() -> bool,
) -> Result<Report, Failure> {
    for (name, classes) in [("label", Some(&scored.labels)), ("prediction", scored.predictions.as_ref())] {
        let count = classes.map_or(0, |classes| classes.names().len());
        if count > MOST_CLASSES {
            return Err(Failure::invalid_data(format!(
                "the {name} column has {count} distinct values, more than the {MOST_CLASSES} that classes may be; \
                 use the regression evaluator for numbers"
            )));
        }
    }
    if let Some(predictions) = scored.predictions.as_ref().filter(|predictions| predictions.is_alien_to(&scored.labels))
    {
        return Err(Failure::invalid_data(format!(
            "no prediction is a value of the label `{}`: it has {}, the predictions are {}",
            scored.label,
            list(scored.labels.names()),
            list(predictions.names())
        )));
    }
    let classes = Classes::new(&scored.labels, scored.predictions.as_ref());
    let mut judge = Judge {
        scored,
        rules,
        random,
        keep_on,
        report: Report { metrics: Vec::new(), findings: Vec::new(), figures: Vec::new() },
    };
    match positive_class(scored, &classes, rules.positive.as_deref())? {
        Some(positive) => judge.binary(&classes, positive),
        None => judge.many(&classes),
    }?;
    Ok(judge.report)
}

/// The name of the positive class; none where classes are many and none is named.
fn positive_class(scored: &Scored, classes: &Classes, wanted: Option<&str>) -> Result<Option<String>, Failure> {
    let labelled = scored.labels.codes().iter().flatten().next().is_some();
    if let Some(wanted) = wanted {
        let known = classes.names.iter().any(|name| name == wanted);
        // One class alone may well be the negative one of a small table.
        if !known && classes.names.len() > 1 && labelled {
            return Err(Failure::invalid_parameter(format!(
                "`positive` is `{wanted}`, which is no value of the label `{}`; its values are {}",
                scored.label,
                list(&classes.names)
            )));
        }
        return Ok(Some(wanted.to_owned()));
    }
    if !labelled {
        // Nothing will be judged, so it matters little.
        return Ok(Some(classes.names.last().map_or("1", String::as_str).to_owned()));
    }
    match (scored.labels.kind(), classes.names.as_slice()) {
        (_, names) if names.len() > 2 => Ok(None),
        (Kind::Boolean, _) => Ok(Some("true".to_owned())),
        (Kind::Number, names) if names.iter().all(|name| name == "0" || name == "1") => Ok(Some("1".to_owned())),
        (_, [_, last]) => Ok(Some(last.clone())),
        (_, [only]) => Err(Failure::invalid_data(format!(
            "every row's `{}` is `{only}`, so the other class cannot be told: name the positive one in `positive`",
            scored.label
        ))),
        _ => Ok(Some("1".to_owned())),
    }
}

struct Judge<'scored, Random, KeepOn> {
    scored: &'scored Scored,
    rules: &'scored Rules,
    random: &'scored mut Random,
    keep_on: KeepOn,
    report: Report,
}

impl<'scored, Random: FnMut() -> u64, KeepOn: Fn() -> bool> Judge<'scored, Random, KeepOn> {
    fn binary(&mut self, classes: &Classes, positive: String) -> Result<(), Failure> {
        let code = classes.names.iter().position(|name| *name == positive).map_or(u32::MAX, |place| place as u32);
        let threshold = self.rules.threshold;
        let predicted = |place: usize| {
            classes.predictions.get(place).copied().flatten().map(|prediction| u32::from(prediction == code))
        };
        let (rows, disagreeing) = match &self.scored.scores {
            Some(scores) => {
                let decided = |place: usize| (!scores[place].is_nan()).then(|| u32::from(scores[place] >= threshold));
                let rows = self.rows(classes, decided)?;
                let differs = |row: &&Row| predicted(row.place).is_some_and(|prediction| prediction != row.decision);
                let disagreeing = rows.iter().filter(differs).count();
                (rows, disagreeing)
            }
            None => (self.rows(classes, predicted)?, 0),
        };
        if disagreeing > 0 {
            self.tell(
                Severity::Info,
                &[],
                format!(
                    "in {disagreeing} rows the prediction is not what the score says at threshold {threshold}; the \
                     measures follow the score"
                ),
            );
        }
        if self.scored.scores.is_none() {
            self.tell(
                Severity::Info,
                &[],
                "there are no scores: what ranks or weighs them is undefined, and decisions are the predictions"
                    .to_owned(),
            );
        }
        let negative = match classes.names.as_slice() {
            [one, other] if *other == positive => one.clone(),
            [other, two] if *other == positive => two.clone(),
            _ => format!("not {positive}"),
        };
        let sample = |rows: &[Row]| {
            let outcome = |row: &Row| Outcome {
                score: row.score,
                positive: row.label == code,
                selected: row.decision == 1,
                weight: row.weight,
            };
            Sample::new(rows.iter().map(outcome).collect())
        };
        let whole = sample(&rows);
        if whole.is_scored() && !whole.is_probabilistic() {
            let message = "some scores are not between 0 and 1: what takes them for probabilities is undefined";
            self.tell(Severity::Warning, &[], message.to_owned());
        }
        let whole_rows = whole.rows();
        if !whole_rows.is_empty() {
            for (class, name) in [(true, &positive), (false, &negative)] {
                if !whole_rows.iter().any(|row| row.positive == class) {
                    let message = format!("no row is labelled `{name}`: what compares the two classes is undefined");
                    self.tell(Severity::Warning, &[], message);
                }
            }
        }
        self.measure_sample(&whole, &[]);
        for Slice { labels, rows } in self.slices(&rows)? {
            self.measure_sample(&sample(&rows), &labels);
        }
        if self.rules.figures && !rows.is_empty() {
            self.draw("ROC curve", figures::receiver_operating_characteristic(&whole));
            self.draw("Precision and recall", figures::precision_recall(&whole));
            self.draw("Calibration", figures::calibration(&whole));
            let cell = |label: &str, decision: &str, weight| (label.to_owned(), decision.to_owned(), weight);
            let confusion = whole.measure().confusion;
            self.draw(
                "Confusion",
                Some(figures::confusion(&[
                    cell(&positive, &positive, confusion.true_positives),
                    cell(&positive, &negative, confusion.false_negatives),
                    cell(&negative, &positive, confusion.false_positives),
                    cell(&negative, &negative, confusion.true_negatives),
                ])),
            );
        }
        Ok(())
    }

    fn many(&mut self, classes: &Classes) -> Result<(), Failure> {
        if self.scored.predictions.is_none() {
            return Err(Failure::invalid_data(format!(
                "the label `{}` has {} classes and there is no prediction column; a score alone needs `positive` to \
                 say which class it is about",
                self.scored.label,
                classes.names.len()
            )));
        }
        let rows = self.rows(classes, |place| classes.predictions[place])?;
        let scores = self.class_scores(classes, &rows);
        let whole = self.measure_classes(classes, &rows, scores.as_deref(), &[]);
        for Slice { labels, rows } in self.slices(&rows)? {
            self.measure_classes(classes, &rows, scores.as_deref(), &labels);
        }
        for (class, name) in classes.names.iter().enumerate() {
            let measures = whole.of_class(class);
            let labels = labels(&[("class", name)]);
            let support = Some(rows.iter().filter(|row| row.label as usize == class).count() as u64);
            let shares = [("precision", measures.precision), ("recall", measures.recall), ("f1", measures.f1)];
            for (name, value) in measures.confusion.counts().into_iter().chain(shares) {
                self.report.metrics.push(metric(name, &labels, value, None, support));
            }
        }
        if self.rules.figures && !rows.is_empty() && classes.names.len() <= MOST_DRAWN_CLASSES {
            let cells: Vec<(String, String, f64)> = classes
                .names
                .iter()
                .enumerate()
                .flat_map(|(label, name)| {
                    let whole = &whole;
                    let cell = move |(prediction, other): (usize, &String)| {
                        (name.clone(), other.clone(), whole.weight(label, prediction))
                    };
                    classes.names.iter().enumerate().map(cell)
                })
                .collect();
            self.draw("Confusion", Some(figures::confusion(&cells)));
        }
        Ok(())
    }

    /// The rows that have a label and a decision; says how many have not.
    fn rows(&mut self, classes: &Classes, decision: impl Fn(usize) -> Option<u32>) -> Result<Vec<Row>, Failure> {
        let mut rows = Vec::with_capacity(classes.labels.len());
        let (mut unlabelled, mut undecided) = (0_u64, 0_u64);
        for (place, label) in classes.labels.iter().enumerate() {
            let weight = self.scored.weights.as_ref().map_or(1.0, |weights| weights[place]);
            if !(weight.is_finite() && weight >= 0.0) {
                return Err(Failure::invalid_data(format!(
                    "the weight of row {} is {weight}; weights are finite and not below 0",
                    place + 1
                )));
            }
            let score = self.scored.scores.as_ref().map_or(f64::NAN, |scores| scores[place]);
            match (*label, decision(place)) {
                (None, _) => unlabelled += 1,
                (_, None) => undecided += 1,
                (Some(label), Some(decision)) => rows.push(Row { place, label, decision, score, weight }),
            }
        }
        for (count, lack) in [(unlabelled, "label"), (undecided, "score or prediction")] {
            if count > 0 {
                self.tell(
                    Severity::Warning,
                    &[],
                    format!("{count} of {} rows have no {lack} and are left out", classes.labels.len()),
                );
            }
        }
        if rows.is_empty() {
            self.tell(Severity::Warning, &[], "there is no row to judge: every measure is undefined".to_owned());
        }
        let left_out = (unlabelled + undecided) as f64;
        self.report.metrics.push(metric("rows", &[], rows.len() as f64, None, None));
        self.report.metrics.push(metric("rows-left-out", &[], left_out, None, None));
        Ok(rows)
    }

    /// The groups of each slice column, in the order of their names, with their rows.
    fn slices(&self, rows: &[Row]) -> Result<Vec<Slice>, Failure> {
        let mut slices = Vec::new();
        for (column, values) in &self.scored.slices {
            if values.names().len() > MOST_GROUPS {
                return Err(Failure::invalid_parameter(format!(
                    "`slices` names `{column}`, which has {} distinct values, more than {MOST_GROUPS}",
                    values.names().len()
                )));
            }
            let mut groups = vec![Vec::new(); values.names().len() + 1];
            for row in rows {
                let group = values.codes()[row.place].map_or(values.names().len(), |code| code as usize);
                groups[group].push(*row);
            }
            let names = values.names().iter().map(String::as_str).chain([UNKNOWN]);
            for (name, rows) in names.zip(groups) {
                if !rows.is_empty() {
                    slices.push(Slice { labels: labels(&[("column", column), ("group", name)]), rows });
                }
            }
        }
        Ok(slices)
    }

    fn measure_sample(&mut self, sample: &Sample, labels: &[Label]) {
        let measures = sample.measure();
        let rows = sample.rows().len();
        let resample = |counts: &[u32]| sample.measure_resample(counts).named();
        let estimates = estimate(measures.named(), rows, self.rules.bootstrap, self.random, &self.keep_on, resample);
        for (name, value) in measures.confusion.counts() {
            self.report.metrics.push(metric(name, labels, value, None, Some(rows as u64)));
        }
        self.add(&estimates, rows, labels);
    }

    /// The probabilities of each class that has rows; none, and a word about it, where one has none.
    fn class_scores(&mut self, classes: &Classes, rows: &[Row]) -> Option<Vec<&'scored [f64]>> {
        let scored = self.scored;
        if scored.class_scores.is_empty() {
            let message = "there are no scores of each class: what ranks or weighs them is undefined";
            self.tell(Severity::Info, &[], message.to_owned());
            return None;
        }
        let mut scores: Vec<&[f64]> = Vec::new();
        for (class, name) in classes.names.iter().enumerate() {
            let column = scored.class_scores.iter().find(|(own, _)| own == name);
            let labelled = || rows.iter().any(|row| row.label as usize == class);
            if column.is_none() && labelled() {
                let message =
                    format!("the model gives no score to the class `{name}`: what ranks or weighs scores is undefined");
                self.tell(Severity::Warning, &[], message);
                return None;
            }
            scores.push(column.map_or(&[], |(_, scores)| scores));
        }
        let improbable = |row: &Row| {
            scores.iter().filter(|scores| !scores.is_empty()).any(|scores| !(0.0..=1.0).contains(&scores[row.place]))
        };
        if rows.iter().any(improbable) {
            let message =
                "some scores are missing or not between 0 and 1: what takes them for probabilities is undefined";
            self.tell(Severity::Warning, &[], message.to_owned());
            return None;
        }
        Some(scores)
    }

    fn measure_classes(
        &mut self,
        classes: &Classes,
        rows: &[Row],
        scores: Option<&[&[f64]]>,
        labels: &[Label],
    ) -> ClassConfusion {
        let count = |multiplicity: &dyn Fn(usize) -> f64| {
            let mut confusion = ClassConfusion::new(classes.names.len());
            for (index, row) in rows.iter().enumerate() {
                confusion.add(row.label as usize, row.decision as usize, row.weight * multiplicity(index));
            }
            confusion
        };
        let probabilities = scores.map(|scores| {
            let labelled = |row: &Row| Labelled { class: row.label as usize, weight: row.weight };
            let of_rows = |scores: &&[f64]| match scores.is_empty() {
                true => vec![0.0; rows.len()],
                false => rows.iter().map(|row| scores[row.place]).collect(),
            };
            Probabilities::new(rows.iter().map(labelled).collect(), scores.iter().map(of_rows).collect())
        });
        let measured = |multiplicity: &dyn Fn(usize) -> f64| {
            let mut named = [("", f64::NAN); CLASS_MEASURES + 2];
            named[..CLASS_MEASURES].copy_from_slice(&count(multiplicity).named());
            let of = |measure: fn(&Probabilities, &dyn Fn(usize) -> f64) -> f64| {
                probabilities.as_ref().map_or(f64::NAN, |probabilities| measure(probabilities, multiplicity))
            };
            named[CLASS_MEASURES] = ("roc-auc-macro", of(Probabilities::roc_auc_macro));
            named[CLASS_MEASURES + 1] = ("log-loss", of(Probabilities::log_loss));
            named
        };
        let resample = |counts: &[u32]| measured(&|index| f64::from(counts[index]));
        let estimates =
            estimate(measured(&|_| 1.0), rows.len(), self.rules.bootstrap, self.random, &self.keep_on, resample);
        self.add(&estimates, rows.len(), labels);
        count(&|_| 1.0)
    }

    fn add(&mut self, estimates: &[Estimate], rows: usize, labels: &[Label]) {
        let mut missing = Vec::new();
        for estimate in estimates {
            let interval = estimate.interval;
            let ends = interval.and_then(|interval| interval.ends);
            self.report.metrics.push(metric(estimate.name, labels, estimate.value, ends, Some(rows as u64)));
            if let Some(count) = interval.map(|interval| interval.missing).filter(|count| *count > 0) {
                missing.push(format!("{} in {count}", estimate.name));
            }
        }
        if !missing.is_empty() {
            let message = format!(
                "of {} resamples some leave a measure undefined, and its interval rests on the others: {}",
                self.rules.bootstrap.replicates,
                missing.join(", ")
            );
            self.tell(Severity::Info, labels, message);
        }
    }

    fn tell(&mut self, severity: Severity, labels: &[Label], message: String) {
        self.report.findings.push(Finding { severity, message, labels: labels.to_vec() });
    }

    fn draw(&mut self, title: &str, spec: Option<serde_json::Value>) {
        if let Some(spec) = spec {
            self.report.figures.push(Figure { title: title.to_owned(), vega_lite: spec.to_string() });
        }
    }
}

fn labels(labels: &[(&str, &str)]) -> Vec<Label> {
    labels.iter().map(|(name, value)| Label { name: (*name).to_owned(), value: (*value).to_owned() }).collect()
}

fn metric(name: &str, labels: &[Label], value: f64, ends: Option<(f64, f64)>, support: Option<u64>) -> Metric {
    Metric {
        name: name.to_owned(),
        labels: labels.to_vec(),
        value: (!value.is_nan()).then_some(value),
        low: ends.map(|(low, _)| low),
        high: ends.map(|(_, high)| high),
        support,
    }
}

/// Names for a message, the first few of them.
fn list(names: &[String]) -> String {
    let shown: Vec<String> = names.iter().take(10).map(|name| format!("`{name}`")).collect();
    let more = names.len().saturating_sub(shown.len());
    if more == 0 { shown.join(", ") } else { format!("{} and {more} more", shown.join(", ")) }
}
