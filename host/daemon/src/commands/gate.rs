//! `gate check`, `explain`, `waive`, `verify`; `approve`, `reject`.

use std::fmt::Write;

use serde_json::json;
use stagewright::{
    Project,
    governance::{
        Act, Checked, Judged, Standing, State, approval, audit,
        gate::Approvals,
        judge::{Outcome, RuleVerdict},
        standing, state, verdict,
    },
};
use stagewright_core::{VersionRef, record::Used};

use super::{
    Context,
    people::{in_future, sign, write_in_turn},
};
use crate::{
    args::{Decision, GateCommand},
    failure::{Failure, NOT_VERIFIED, STAGE_FAILED, WRONG_INPUT},
    text::{Columns, count, printable, time},
};

/// What is said of a version.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Decides {
    /// It may serve.
    Approve,
    /// It may not.
    Reject,
}

pub(crate) fn dispatch(context: &Context, command: GateCommand) -> Result<(), Failure> {
    match command {
        GateCommand::Check { model } => check(context, &model.parse()?),
        GateCommand::Explain { model } => {
            let standing = standing(&context.read()?, &model.parse()?)?;
            context.print(&standing, explain)
        }
        GateCommand::Waive { model, rule, reason, expires, signer } => {
            let project = write_in_turn(context)?;
            let model = named(&project, &model.parse()?)?;
            let wanted = reference(&model)?;
            let expires_ms = in_future(&project, "expires", &expires)?;
            // Waiving changes what the gate says, so it is asked again.
            let act = Act::Waive { model, rule, reason, expires_ms };
            let signed = sign(context, &project, &signer, act)?;
            verdict::waive(&project, &signed)?;
            let checked = verdict::check(&project, &wanted, &context.cancelled_by_user())?;
            context.print(&checked, |checked| {
                let by = &signed.statement.by;
                format!("waived by {by} until {} UTC\n{}", time(expires_ms), outcome_text(&checked.judged))
            })
        }
        GateCommand::Verify { model } => verify(context, model.as_deref()),
    }
}

fn check(context: &Context, wanted: &VersionRef) -> Result<(), Failure> {
    let project = write_in_turn(context)?;
    let checked = verdict::check(&project, wanted, &context.cancelled_by_user())?;
    let standing = standing(&project, wanted)?;
    context.print(&json!({ "checked": checked, "missing": standing.missing }), |_| explain(&standing))?;
    match checked.judged.record.verdict.outcome {
        Outcome::Pass => Ok(()),
        _ => Err(Failure::silent(STAGE_FAILED)),
    }
}

pub(crate) fn decide(context: &Context, decision: &Decision, decides: Decides) -> Result<(), Failure> {
    let project = write_in_turn(context)?;
    let model = named(&project, &decision.model.parse()?)?;
    let wanted = reference(&model)?;
    let shown = format!("{}@{}", model.name, model.number);
    let Some(judged) = standing(&project, &wanted)?.verdict else {
        let hint = format!("`stagewright gate check {shown}` judges it");
        return Err(Failure::new(WRONG_INPUT, format!("{shown} was not judged yet; {hint}")));
    };
    let (verdict, reason) = (judged.digest, decision.reason.clone());
    let act = match decides {
        Decides::Approve => Act::Approve { model, verdict, reason },
        Decides::Reject => Act::Reject { model, verdict, reason },
    };
    let signed = sign(context, &project, &decision.signer, act)?;
    let state = match decides {
        Decides::Approve => approval::approve(&project, &signed)?,
        Decides::Reject => approval::reject(&project, &signed)?,
    };
    let missing = standing(&project, &wanted)?.missing;
    context.print(&json!({ "state": state, "missing": missing, "signed": signed }), |_| {
        let said = match decides {
            Decides::Approve => "approved",
            Decides::Reject => "rejected",
        };
        let mut text = format!("{} {said} {shown}; it is {}\n", signed.statement.by, with_article(state.state));
        for point in &missing {
            let _ = writeln!(text, "  missing: {}", printable(point));
        }
        text
    })
}

fn verify(context: &Context, wanted: Option<&str>) -> Result<(), Failure> {
    let project = context.read()?;
    let versions = match wanted {
        Some(wanted) if wanted.contains('@') => vec![state::resolve(&project, &wanted.parse()?)?],
        Some(name) => listed(&project, Some(name))?,
        None => listed(&project, None)?,
    };
    let mut told = Vec::new();
    for version in versions {
        for one in verdict::verify(&project, &version)? {
            told.push(json!({
                "model": format!("{}@{}", version.name, version.number), "verdict": one.digest, "problems": one.problems,
            }));
        }
    }
    let statements = audit::verify(&project)?;
    context.print(&json!({ "verdicts": told, "statements": statements }), |_| {
        let mut text = String::new();
        for one in &told {
            let problems = one["problems"].as_array().map(Vec::as_slice).unwrap_or_default();
            for problem in problems {
                let problem = printable(problem.as_str().unwrap_or_default());
                let _ = writeln!(text, "{}: {problem}", one["model"].as_str().unwrap_or_default());
            }
        }
        for problem in &statements.problems {
            let _ = writeln!(text, "statement: {}", printable(problem));
        }
        let _ = writeln!(
            text,
            "{} verdicts were given again on their evidence, {} signed statements were checked",
            told.len(),
            statements.checked
        );
        text
    })?;
    let wrong = told.iter().any(|one| one["problems"].as_array().is_some_and(|problems| !problems.is_empty()));
    match wrong || !statements.problems.is_empty() {
        true => Err(Failure::new(NOT_VERIFIED, "not everything is as it was recorded")),
        false => Ok(()),
    }
}

fn listed(project: &Project, name: Option<&str>) -> Result<Vec<stagewright::store::Version>, Failure> {
    let name = name.map(str::parse).transpose()?;
    let listed = stagewright::governance::bundle::list(project, name.as_ref())?;
    Ok(listed.into_iter().map(|listed| listed.version).collect())
}

fn named(project: &Project, wanted: &VersionRef) -> Result<Used, Failure> {
    let version = state::resolve(project, wanted)?;
    Ok(Used { name: version.name, number: version.number, digest: version.digest })
}

/// The very version, whatever `latest` or a tag may come to mean.
fn reference(model: &Used) -> Result<VersionRef, Failure> {
    Ok(format!("{}@{}", model.name, model.number).parse()?)
}

/// What the gate made of a version, in a few lines.
pub(super) fn summary(checked: &Checked) -> String {
    let record = &checked.judged.record;
    let shown = format!("{}@{}", record.model.name, record.model.number);
    let mut text = format!(
        "{shown} is {}; its gate says: {}\n",
        with_article(checked.state.state),
        record.verdict.outcome.as_str()
    );
    for rule in record.verdict.held() {
        let _ = writeln!(text, "  {}: {}", rule.subject, printable(&rule.reason));
    }
    let _ = writeln!(text, "`stagewright gate explain {shown}` has every figure, and what is missing");
    text
}

/// What a version's gate says, rule by rule, and what is missing.
pub(super) fn explain(standing: &Standing) -> String {
    let version = &standing.version;
    let mut text = format!("{}@{} is {}\n", version.name, version.number, with_article(standing.state.state));
    if let Some(judged) = &standing.verdict {
        let record = &judged.record;
        let file = &record.pipeline_file;
        let _ = writeln!(
            text,
            "judged {} UTC by the gate of {}@{}, on the reports of run {}",
            time(record.at_ms),
            file.name,
            file.number,
            record.run
        );
        let _ = write!(text, "\n{}", rules_text(judged));
        for approvals in record.gate.approvals.iter().chain(&record.operator) {
            let _ = writeln!(text, "\n{}", approvals_text(approvals));
        }
    }
    for given in &standing.said {
        let statement = &given.signed.statement;
        let said = match &statement.act {
            Act::Approve { reason, verdict, .. } => {
                let current = standing.verdict.as_ref().is_some_and(|judged| judged.digest == *verdict);
                format!("approved it{}: {reason}", if current { "" } else { " by an earlier verdict" })
            }
            Act::Reject { reason, .. } => format!("rejected it: {reason}"),
            _ => continue,
        };
        let _ = writeln!(text, "{} UTC  {} {}", time(statement.at_ms), statement.by, printable(&said));
    }
    match standing.missing.as_slice() {
        [] => text.push_str("\nnothing stands in its way\n"),
        missing => {
            text.push_str("\nwhat stands in its way\n");
            for point in missing {
                let _ = writeln!(text, "  {}", printable(point));
            }
        }
    }
    text
}

fn with_article(state: State) -> String {
    match state {
        State::Candidate => "a candidate".to_owned(),
        other => other.to_string(),
    }
}

fn outcome_text(judged: &Judged) -> String {
    format!("the gate says: {}\n\n{}", judged.record.verdict.outcome.as_str(), rules_text(judged))
}

fn rules_text(judged: &Judged) -> String {
    let mut columns = Columns::new(&["figure", "must be", "verdict", "because", "rows"]);
    for rule in &judged.record.verdict.rules {
        columns.row([
            rule.subject.to_string(),
            rule.demand.clone(),
            rule_outcome(rule),
            rule.reason.clone(),
            rule.support.map(count).unwrap_or_default(),
        ]);
    }
    let waivers: String = judged
        .record
        .verdict
        .waivers()
        .map(|waiver| {
            let (rule, by, until) = (&waiver.rule, &waiver.by, time(waiver.expires_ms));
            format!("`{rule}` is waived by {by} until {until} UTC: {}\n", printable(&waiver.reason))
        })
        .collect();
    columns.text() + &waivers
}

fn rule_outcome(rule: &RuleVerdict) -> String {
    let waived = if rule.waiver.is_some() { ", waived" } else { "" };
    format!("{}{waived}", rule.outcome.as_str())
}

fn approvals_text(approvals: &Approvals) -> String {
    let roles: Vec<String> = approvals.roles.iter().map(|role| format!("`{role}`")).collect();
    let within = approvals.within_ms.map(|within| format!(", within {}", span(within))).unwrap_or_default();
    format!("asks for {} approvals by {}{within}, none by an author", approvals.count, roles.join(" or "))
}

/// A span of time in its largest whole unit.
fn span(milliseconds: u64) -> String {
    let units = [("days", 86_400_000), ("hours", 3_600_000), ("minutes", 60_000), ("seconds", 1000)];
    let fits = units.iter().find(|(_, unit)| milliseconds.is_multiple_of(*unit));
    fits.map_or_else(|| format!("{milliseconds} ms"), |(name, unit)| format!("{} {name}", milliseconds / unit))
}
