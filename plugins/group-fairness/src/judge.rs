//! From scored rows and their groups to a report.

use std::collections::BTreeMap;

use stagewright_stage::{Failure, Figure, Finding, Label, Metric, Report, Severity};

use crate::disparity::{DISPARITIES, against, between};
use crate::figures;
use crate::partition::Partition;
use crate::permutation::{Significance, holm, test};
use crate::tally::{Outcome, Share, Tally, calibration, ratio};

/// The ratio below which adverse impact is looked for: the four-fifths rule.
const FOUR_FIFTHS: f64 = 0.8;

/// What is read of the scored rows.
pub struct Scored {
    /// The rows that have a label and a decision, each with its place in the table.
    pub rows: Vec<(usize, Outcome)>,
    /// The groups, by column and by intersection.
    pub partitions: Vec<Partition>,
}

/// How to judge.
pub struct Rules {
    /// Groups with fewer rows are reported but not compared.
    pub min_support: u64,
    /// Groups with fewer positive rows are reported but not compared.
    pub min_positives: u64,
    /// The privileged group of a column.
    pub privileged: BTreeMap<String, String>,
    /// The number of deals of a permutation test; 0 tests nothing.
    pub permutations: u32,
    /// The probability below which chance is no explanation.
    pub alpha: f64,
    /// Whether figures are drawn.
    pub figures: bool,
}

/// A column's part of the report that waits for the other columns' tests.
struct Impact {
    column: String,
    lowest: String,
    highest: String,
    ratio: f64,
    probability: f64,
}

/// Judges the rows. `keep_on` is asked before each column; on its no, the report is cut short.
pub fn judge(
    scored: &Scored,
    rules: &Rules,
    random: &mut impl FnMut() -> u64,
    keep_on: impl Fn() -> bool,
    report: &mut Report,
) -> Result<(), Failure> {
    let whole = Tally::of(scored.rows.iter().map(|(_, row)| row));
    let mut writer = Writer { report };
    writer.metric("rows", &[], whole.rows as f64, None, None);
    writer.group(&whole, &scored.rows, &[]);
    for (name, value) in whole.inequality() {
        writer.metric(name, &[], value, None, Some(whole.rows));
    }
    let median = median_score(&scored.rows);
    let mut impacts = Vec::new();
    for partition in &scored.partitions {
        if !keep_on() {
            break;
        }
        impacts.push(writer.partition(partition, scored, rules, median, random)?);
    }
    let probabilities: Vec<f64> = impacts.iter().map(|impact| impact.probability).collect();
    for (impact, adjusted) in impacts.iter().zip(holm(&probabilities)) {
        writer.four_fifths(impact, adjusted, impacts.len(), rules);
    }
    Ok(())
}

/// Half of the rows have a higher score; NaN where rows lack one.
fn median_score(rows: &[(usize, Outcome)]) -> f64 {
    let mut scores: Vec<f64> = rows.iter().map(|(_, row)| row.score).collect();
    if scores.is_empty() || scores.iter().any(|score| score.is_nan()) {
        return f64::NAN;
    }
    scores.sort_by(f64::total_cmp);
    let middle = scores.len() / 2;
    if scores.len() % 2 == 1 { scores[middle] } else { (scores[middle - 1] + scores[middle]) / 2.0 }
}

struct Writer<'report> {
    report: &'report mut Report,
}

impl Writer<'_> {
    fn partition(
        &mut self,
        partition: &Partition,
        scored: &Scored,
        rules: &Rules,
        median: f64,
        random: &mut impl FnMut() -> u64,
    ) -> Result<Impact, Failure> {
        let column = partition.column.as_str();
        let tallies = partition.tally(&scored.rows);
        let mut members = vec![Vec::new(); tallies.len()];
        for row in &scored.rows {
            members[partition.codes[row.0] as usize].push(*row);
        }
        let sufficient: Vec<bool> = tallies
            .iter()
            .map(|tally| tally.rows >= rules.min_support.max(1) && tally.positives >= rules.min_positives)
            .collect();
        for (group, tally) in tallies.iter().enumerate().filter(|(_, tally)| tally.rows > 0) {
            let labels = labels(&[("column", column), ("group", &partition.names[group])]);
            self.group(tally, &members[group], &labels);
            if !sufficient[group] {
                self.insufficient(&partition.names[group], tally, rules, &labels);
            }
        }
        self.impact_ratios(partition, &tallies, &sufficient, &members, median);
        let compared: Vec<Tally> =
            tallies.iter().zip(&sufficient).filter(|(_, sufficient)| **sufficient).map(|(tally, _)| *tally).collect();
        let of_column = labels(&[("column", column)]);
        let support = Some(compared.iter().map(|tally| tally.rows).sum());
        self.metric("groups-compared", &of_column, compared.len() as f64, None, support);
        let disparities = between(&compared);
        for (name, value) in DISPARITIES.into_iter().zip(disparities) {
            self.metric(name, &of_column, value, None, support);
        }
        let calibrations = tallies.iter().zip(&sufficient).zip(&members).filter(|((_, sufficient), _)| **sufficient);
        let worst = |place: usize| {
            let errors = calibrations.clone().map(|(_, rows)| calibration(rows.iter().map(|(_, row)| row))[place].1);
            errors.fold(f64::NAN, f64::max)
        };
        self.metric("worst-calibration-error", &of_column, worst(0), None, support);
        if compared.len() < 2 && !scored.rows.is_empty() {
            let message = format!(
                "fewer than two groups of `{column}` have enough rows to be compared: its disparities are undefined, \
                 which is not the same as fair"
            );
            self.tell(Severity::Warning, &of_column, message);
        }
        if let Some(privileged) = rules.privileged.get(column) {
            self.privileged(partition, &tallies, privileged)?;
        }
        let significance = test(&compared, rules.permutations, random);
        if let Some(significance) = &significance {
            self.significance(significance, &of_column, support);
        }
        if rules.figures {
            let groups = partition.names.iter().map(String::as_str).zip(&tallies);
            if let Some(spec) = figures::selection_rates(column, groups.filter(|(_, tally)| tally.rows > 0)) {
                let title = format!("Selection rate by {column}");
                self.report.figures.push(Figure { title, vega_lite: spec.to_string() });
            }
        }
        let rate = |group: &usize| tallies[*group].selection_rate().value();
        let eligible = (0..tallies.len()).filter(|&group| sufficient[group]);
        let name = |group: Option<usize>| group.map_or_else(String::new, |group| partition.names[group].clone());
        Ok(Impact {
            column: column.to_owned(),
            lowest: name(eligible.clone().min_by(|a, b| rate(a).total_cmp(&rate(b)))),
            highest: name(eligible.max_by(|a, b| rate(a).total_cmp(&rate(b)))),
            ratio: disparities[1],
            probability: significance.map_or(f64::NAN, |significance| significance.demographic_parity_ratio),
        })
    }

    /// The rates and calibration of a group, or of everybody.
    fn group(&mut self, tally: &Tally, rows: &[(usize, Outcome)], labels: &[Label]) {
        for (name, share) in tally.rates() {
            self.share(name, share, labels);
        }
        for (name, value) in calibration(rows.iter().map(|(_, row)| row)) {
            self.metric(name, labels, value, None, Some(tally.rows));
        }
    }

    /// Each group's selection rate over the highest, and the same of its scoring rate: the share of scores above the
    /// median of all. Both are New York City's Local Law 144; groups too small have their rates but no ratio.
    fn impact_ratios(
        &mut self,
        partition: &Partition,
        tallies: &[Tally],
        sufficient: &[bool],
        members: &[Vec<(usize, Outcome)>],
        median: f64,
    ) {
        let selection: Vec<Share> = tallies.iter().map(Tally::selection_rate).collect();
        let above = |rows: &Vec<(usize, Outcome)>| rows.iter().filter(|(_, row)| row.score > median).count() as u64;
        let scoring: Vec<Share> =
            members.iter().map(|rows| Share { part: above(rows), whole: rows.len() as u64 }).collect();
        let highest = |rates: &[Share]| {
            let eligible = rates.iter().zip(sufficient).filter(|(_, sufficient)| **sufficient);
            eligible.map(|(rate, _)| rate.value()).fold(f64::NAN, f64::max)
        };
        let (most_selected, best_scoring) = (highest(&selection), highest(&scoring));
        for (group, name) in partition.names.iter().enumerate().filter(|(group, _)| tallies[*group].rows > 0) {
            let labels = labels(&[("column", &partition.column), ("group", name)]);
            let support = Some(tallies[group].rows);
            let compared =
                |rate: Share, best: f64| if sufficient[group] { ratio(rate.value(), best) } else { f64::NAN };
            self.metric("impact-ratio", &labels, compared(selection[group], most_selected), None, support);
            if !median.is_nan() {
                self.share("scoring-rate", scoring[group], &labels);
                self.metric("scoring-impact-ratio", &labels, compared(scoring[group], best_scoring), None, support);
            }
        }
    }

    fn privileged(&mut self, partition: &Partition, tallies: &[Tally], privileged: &str) -> Result<(), Failure> {
        let Some(place) = partition.names.iter().position(|name| name == privileged) else {
            if partition.codes.is_empty() {
                return Ok(());
            }
            return Err(Failure::invalid_parameter(format!(
                "`privileged` says `{privileged}` for `{}`, whose groups are {}",
                partition.column,
                partition.names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
            )));
        };
        let mut others = Tally::default();
        for (group, tally) in tallies.iter().enumerate().filter(|(group, _)| *group != place) {
            others.join(tally);
            let (own, theirs) = (tally.selection_rate().value(), tallies[place].selection_rate().value());
            let labels = labels(&[("column", &partition.column), ("group", &partition.names[group])]);
            self.metric("disparate-impact", &labels, ratio(own, theirs), None, Some(tally.rows));
        }
        let support = Some(others.rows + tallies[place].rows);
        for (name, value) in against(&tallies[place], &others) {
            self.metric(name, &labels(&[("column", &partition.column)]), value, None, support);
        }
        Ok(())
    }

    fn significance(&mut self, significance: &Significance, labels: &[Label], support: Option<u64>) {
        for (name, probability) in significance.named() {
            let name = format!("{name}-p-value");
            self.metric(&name, labels, probability, None, support);
        }
    }

    fn insufficient(&mut self, group: &str, tally: &Tally, rules: &Rules, labels: &[Label]) {
        let message = format!(
            "insufficient: `{group}` has {} rows, {} of them positive, where {} and {} are asked for; it is reported \
             but not compared",
            tally.rows, tally.positives, rules.min_support, rules.min_positives
        );
        self.tell(Severity::Info, labels, message);
    }

    /// The four-fifths rule, which small groups break by chance: it warns only where chance does not explain it.
    fn four_fifths(&mut self, impact: &Impact, adjusted: f64, tests: usize, rules: &Rules) {
        if impact.ratio.is_nan() || impact.ratio >= FOUR_FIFTHS {
            return;
        }
        let Impact { column, lowest, highest, ratio, probability } = impact;
        let gap =
            format!("`{lowest}` is selected at {ratio:.3} of the rate of `{highest}` by `{column}`, below four fifths");
        let tested = match tests {
            1 => format!("p = {adjusted:.4}"),
            _ => format!("p = {adjusted:.4}, adjusted for {tests} columns"),
        };
        let (severity, message) = if probability.is_nan() {
            (Severity::Info, format!("{gap}; whether by chance was not tested"))
        } else if adjusted < rules.alpha {
            let message = format!("{gap}, and chance does not explain it ({tested})");
            (Severity::Warning, message)
        } else {
            let message = format!("{gap}, but chance may explain it ({tested})");
            (Severity::Info, message)
        };
        self.tell(severity, &labels(&[("column", column)]), message);
    }

    fn share(&mut self, name: &str, share: Share, labels: &[Label]) {
        self.metric(name, labels, share.value(), share.interval(), Some(share.whole));
    }

    fn metric(&mut self, name: &str, labels: &[Label], value: f64, ends: Option<(f64, f64)>, support: Option<u64>) {
        self.report.metrics.push(Metric {
            name: name.to_owned(),
            labels: labels.to_vec(),
            value: (!value.is_nan()).then_some(value),
            low: ends.map(|(low, _)| low),
            high: ends.map(|(_, high)| high),
            support,
        });
    }

    fn tell(&mut self, severity: Severity, labels: &[Label], message: String) {
        self.report.findings.push(Finding { severity, message, labels: labels.to_vec() });
    }
}

fn labels(labels: &[(&str, &str)]) -> Vec<Label> {
    labels.iter().map(|(name, value)| Label { name: (*name).to_owned(), value: (*value).to_owned() }).collect()
}
