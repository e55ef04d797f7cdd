//! What was decided about the model: its gate's verdict rule by rule, waivers, and who said yes or no. Also as an
//! in-toto test result v0.1 (<https://in-toto.io/attestation/test-result/v0.1>), signed as provenance is.

use serde_json::{Value, json};
use stagewright_store::Version;

use super::{
    facts::{Artifact, Facts, artifact},
    provenance::subject,
    statement::{digests, sign, statement},
    text::{Markdown, code, number, plain, sentence, time},
};
use crate::{
    error::{Error, Result},
    governance::{
        Act, Given, Judged, ModelState,
        approval::said,
        judge::{Outcome, RuleVerdict},
        state,
        verdict::latest,
    },
    project::Project,
};

const PREDICATE_TYPE: &str = "https://in-toto.io/attestation/test-result/v0.1";

/// What was decided so far.
#[derive(Debug)]
pub struct Decisions {
    /// The version's state.
    pub state: ModelState,
    /// The newest verdict; none where it was never judged.
    pub verdict: Option<(Judged, Artifact)>,
    /// The last that each person said about it.
    pub said: Vec<Given>,
}

impl Decisions {
    /// Everything that is recorded about this version.
    pub(super) fn gather(project: &Project, version: &Version) -> Result<Self> {
        let verdict = match latest(project, version)? {
            Some(judged) => {
                let record = artifact(project.store.models()?, &judged.digest)?;
                Some((judged, record))
            }
            None => None,
        };
        Ok(Self { state: state::state(project, version)?, verdict, said: said(project, version)? })
    }

    /// The section on them.
    pub(super) fn section(&self, facts: &Facts, markdown: &mut Markdown) {
        let mut state = format!("State: {}", self.state.state);
        if self.state.since_ms > 0 {
            let (since, by) = (time(self.state.since_ms), plain(&self.state.by));
            state += &format!(", since {since}, by {by}: {}", sentence(&self.state.reason));
        }
        markdown.paragraph(state + ".");
        for (environment, role) in &self.state.serves {
            markdown.paragraph(format!("It serves in {} as {role}.", code(environment)));
        }
        let Some((judged, record)) = &self.verdict else {
            markdown.paragraph(format!("No gate has judged {} yet.", code(&facts.label())));
            return;
        };
        markdown.paragraph(format!(
            "Its gate said **{}** on {} (record `{}`):",
            judged.record.verdict.outcome.as_str(),
            time(judged.record.at_ms),
            record.digest
        ));
        let rules = judged.record.verdict.rules.iter().map(|rule| {
            let waived = rule.waiver.as_ref().map_or_else(String::new, |waiver| {
                format!("until {} by {}", time(waiver.expires_ms), plain(waiver.by.as_str()))
            });
            // Findings are no figure.
            let value = rule.value.map_or_else(String::new, |value| number(Some(value)));
            vec![code(&rule.subject.to_string()), sentence(&rule.demand), value, outcome(rule), waived]
        });
        markdown.table(&["rule", "demand", "value>", "outcome", "waived"], rules);
        let held = judged.record.verdict.rules.iter().filter(|rule| rule.outcome != Outcome::Pass);
        markdown.list(held.map(|rule| format!("{}: {}", code(&rule.subject.to_string()), sentence(&rule.reason))));
        let waivers = judged.record.verdict.waivers().map(|waiver| {
            let roles: Vec<&str> = waiver.roles.iter().map(|role| role.as_str()).collect();
            format!(
                "waiver of {} by {} ({}), until {}: {}",
                code(&waiver.rule.to_string()),
                plain(waiver.by.as_str()),
                plain(&roles.join(", ")),
                time(waiver.expires_ms),
                plain(&waiver.reason)
            )
        });
        markdown.list(waivers);
        markdown.list(self.said.iter().filter_map(decision));
    }
}

fn outcome(rule: &RuleVerdict) -> String {
    rule.outcome.as_str().to_owned()
}

fn decision(given: &Given) -> Option<String> {
    let statement = &given.signed.statement;
    let (verb, reason) = match &statement.act {
        Act::Approve { reason, .. } => ("approved", reason),
        Act::Reject { reason, .. } => ("rejected", reason),
        _ => return None,
    };
    let roles: Vec<&str> = given.roles.iter().map(|role| role.as_str()).collect();
    Some(format!(
        "{verb} by {} ({}) on {}, signed with key `{}`: {}",
        plain(statement.by.as_str()),
        plain(&roles.join(", ")),
        time(statement.at_ms),
        given.signed.key,
        plain(reason)
    ))
}

/// The signed test result: each demand of the gate is a test. One that a waiver sets aside is warned of.
pub(crate) fn envelope(project: &Project, facts: &Facts) -> Result<String> {
    let Some((judged, record)) = &facts.decisions.verdict else {
        return Err(Error::Invalid(format!(
            "no gate has judged {0} yet: `stagewright gate check {0}` does",
            facts.label()
        )));
    };
    sign(project, &statement(&subject(facts), PREDICATE_TYPE, &predicate(facts, judged, record)))
}

fn predicate(facts: &Facts, judged: &Judged, record: &Artifact) -> Value {
    let rules = &judged.record.verdict.rules;
    let named = |wanted: fn(&RuleVerdict) -> bool| -> Vec<String> {
        rules.iter().filter(|rule| wanted(rule)).map(|rule| format!("{}: {}", rule.subject, rule.demand)).collect()
    };
    let passed = named(|rule| rule.outcome == Outcome::Pass);
    let warned = named(|rule| rule.outcome != Outcome::Pass && rule.waiver.is_some());
    let failed = named(|rule| rule.outcome != Outcome::Pass && rule.waiver.is_none());
    let result = match (failed.is_empty(), warned.is_empty()) {
        (false, _) => "FAILED",
        (true, false) => "WARNED",
        (true, true) => "PASSED",
    };
    let file = &judged.record.pipeline_file;
    let gate = json!({ "blake3": file.digest.to_string() });
    let of_this_run = file.digest == facts.pipeline_file.digest;
    json!({
        "result": result,
        "configuration": [
            {
                "name": "gate",
                "uri": format!("stagewright:code/{}@{}", file.name, file.number),
                "digest": if of_this_run { digests(&facts.pipeline_file) } else { gate },
            },
            { "name": "verdict", "digest": digests(record), "mediaType": "application/json" },
        ],
        "passedTests": passed,
        "warnedTests": warned,
        "failedTests": failed,
    })
}
