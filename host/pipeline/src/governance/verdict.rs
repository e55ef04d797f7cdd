//! Verdicts: given, kept with everything that they rest on, and given again.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::json;
use stagewright_core::{
    Digest, Name, VersionRef, canonical,
    record::{RunRecord, Used},
};
use stagewright_runtime::CancelToken;
use stagewright_store::Version;

use super::{
    approval, evidence,
    gate::{Approvals, Gate},
    judge::{Champion, Evidence, Verdict, Waiver, judge},
    paired::Task,
    people,
    state::{ModelState, resolve, shown},
    statement::{Act, Given, Signed},
    turn,
};
use crate::{
    error::{Error, Result},
    file::Pipeline,
    project::Project,
};

/// A verdict and everything that it rests on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VerdictRecord {
    /// The version that was judged.
    pub model: Used,
    /// The run that made it.
    pub run: u64,
    /// The pipeline file of that run, which has the gate.
    pub pipeline_file: Used,
    /// The gate.
    pub gate: Gate,
    /// Who must approve whatever the gate says: the operator's settings at the time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator: Option<Approvals>,
    /// The reports, by stage.
    pub reports: BTreeMap<String, Digest>,
    /// The champion at the time; none where there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub champion: Option<ChampionRecord>,
    /// The waivers that were given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waivers: Vec<Given>,
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// The seed of every resampling.
    pub seed: u64,
    /// What was decided.
    pub verdict: Verdict,
}

/// What a candidate was compared with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChampionRecord {
    /// Which version.
    pub model: Used,
    /// By evaluator stage, the predictions of both.
    pub pairs: BTreeMap<String, PairsRecord>,
}

/// The predictions of two models for the same rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", untagged)]
pub enum PairsRecord {
    /// They are a table of the models repository.
    Kept {
        /// What they predict.
        #[serde(flatten)]
        task: Task,
        /// The table: `label`, `candidate`, `champion`.
        table: Digest,
    },
    /// There are none.
    Missing {
        /// Why.
        reason: String,
    },
}

/// A waiver as evidence. None where the statement is about something else.
fn waiver(given: &Given) -> Option<Waiver> {
    let Act::Waive { rule, reason, expires_ms, .. } = &given.signed.statement.act else { return None };
    Some(Waiver {
        rule: rule.parse().ok()?,
        by: given.signed.statement.by.clone(),
        roles: given.roles.clone(),
        reason: reason.clone(),
        expires_ms: *expires_ms,
    })
}

/// A verdict and the name of its record.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Judged {
    /// The record, in the models repository. Approvals name it.
    pub digest: Digest,
    /// The verdict and what it rests on.
    pub record: VerdictRecord,
}

/// What judging a version came to.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Checked {
    /// The verdict.
    #[serde(flatten)]
    pub judged: Judged,
    /// Whether the last verdict already said this, on the same evidence, so that no new one was kept.
    pub unchanged: bool,
    /// The version's state now.
    pub state: ModelState,
}

/// The collection of a version's verdicts, by number.
fn verdicts_of(name: &Name, number: u64) -> String {
    format!("verdict/{name}@{number}")
}

/// The collection of a version's waivers, by rule.
fn waivers_of(name: &Name, number: u64) -> String {
    format!("waiver/{name}@{number}")
}

/// The gate of the run that made a version, and that run.
///
/// # Errors
/// There is no such run, or its pipeline file cannot be read.
pub fn gate_of(project: &Project, version: &Version) -> Result<(RunRecord, Gate)> {
    let run = evidence::run_of(project, version)?;
    let gate = recorded_gate(project, &run.pipeline_file)?;
    Ok((run, gate))
}

fn recorded_gate(project: &Project, file: &Used) -> Result<Gate> {
    let bytes = project.store.code()?.bytes(&file.digest)?;
    let text = String::from_utf8(bytes).map_err(|_| Error::Invalid(format!("{} is no text", file.name)))?;
    let pipeline = Pipeline::parse(&format!("{}@{}", file.name, file.number), &text)?;
    Ok(pipeline.gate.map(|section| section.gate).unwrap_or_default())
}

/// Judges a version by the gate of the run that made it, keeps the verdict with its evidence, and moves the version's
/// state accordingly. Where the champion has not predicted the run's rows yet, it is asked to.
///
/// # Errors
/// There is no such version or run, its evidence is gone, or the store cannot be written.
pub fn check(project: &Project, wanted: &VersionRef, cancel: &CancelToken) -> Result<Checked> {
    let version = resolve(project, wanted)?;
    let (run, gate) = gate_of(project, &version)?;
    let reports = evidence::reports(&run);
    let read = evidence::read_reports(project, &reports)?;
    let champion = evidence::champion(project, &version, &run, &gate, cancel)?;
    let _turn = turn();
    let given = given_waivers(project, &version)?;
    let at_ms = project.actor().at_ms;
    let waivers = given.iter().filter_map(waiver).collect();
    let evidence = Evidence { reports: read, champion, waivers, at_ms, seed: run.seed };
    let verdict = judge(&gate, &evidence);
    let mut transaction = project.store.models()?.begin(&project.actor())?;
    let mut references: Vec<Digest> = reports.values().copied().collect();
    let champion = match evidence.champion {
        Some(Champion { model, pairs }) => {
            let mut kept = BTreeMap::new();
            for (stage, pairs) in pairs {
                let record = match pairs {
                    Ok(pairs) => {
                        let table = evidence::keep(&mut transaction, &pairs)?;
                        references.push(table);
                        PairsRecord::Kept { task: pairs.task, table }
                    }
                    Err(reason) => PairsRecord::Missing { reason },
                };
                kept.insert(stage, record);
            }
            Some(ChampionRecord { model, pairs: kept })
        }
        None => None,
    };
    let record = VerdictRecord {
        model: Used { name: version.name.clone(), number: version.number, digest: version.digest },
        run: run.id,
        pipeline_file: run.pipeline_file,
        gate,
        operator: project.settings.gate.approvals.clone(),
        reports,
        champion,
        waivers: given,
        at_ms,
        seed: run.seed,
        verdict,
    };
    let last = latest(project, &version)?;
    let judged =
        match last.filter(|last| says_the_same(&last.record, &record) && !approval::lapsed(&last.record, at_ms)) {
            Some(last) => {
                drop(transaction);
                let state = approval::settle(project, &version, Some(&last))?;
                return Ok(Checked { judged: last, unchanged: true, state });
            }
            None => {
                let digest = transaction.put_referencing(&canonical::to_vec(&record), &references)?;
                let collection = verdicts_of(&version.name, version.number);
                let number = all(project, &version)?.len() as u64 + 1;
                transaction.put_record(&collection, &number.to_be_bytes(), digest.to_string().as_bytes())?;
                transaction.pin(&collection, [digest]);
                transaction.audit(json!({
                    "action": "verdict", "model": record.model, "outcome": record.verdict.outcome, "digest": digest,
                    "run": record.run, "held": record.verdict.held().map(|rule| &rule.subject).collect::<Vec<_>>(),
                }));
                transaction.commit()?;
                Judged { digest, record }
            }
        };
    let state = approval::settle(project, &version, Some(&judged))?;
    Ok(Checked { judged, unchanged: false, state })
}

/// Whether two verdicts differ in nothing but their time.
fn says_the_same(one: &VerdictRecord, other: &VerdictRecord) -> bool {
    VerdictRecord { at_ms: other.at_ms, ..one.clone() } == *other
}

/// A version's verdicts, oldest first.
///
/// # Errors
/// One is damaged.
pub fn all(project: &Project, version: &Version) -> Result<Vec<Judged>> {
    let models = project.store.models()?;
    let records = models.records(&verdicts_of(&version.name, version.number), usize::MAX, false)?;
    records.iter().map(|(_, digest)| read(project, digest)).collect()
}

/// A version's newest verdict; none where it was never judged.
///
/// # Errors
/// It is damaged.
pub fn latest(project: &Project, version: &Version) -> Result<Option<Judged>> {
    let models = project.store.models()?;
    let records = models.records(&verdicts_of(&version.name, version.number), 1, true)?;
    records.first().map(|(_, digest)| read(project, digest)).transpose()
}

fn read(project: &Project, digest: &[u8]) -> Result<Judged> {
    let damaged = || Error::Invalid("the record of a verdict is damaged".to_owned());
    let digest: Digest = std::str::from_utf8(digest).ok().and_then(|text| text.parse().ok()).ok_or_else(damaged)?;
    let record = canonical::from_slice(&project.store.models()?.bytes(&digest)?).map_err(|_| damaged())?;
    Ok(Judged { digest, record })
}

/// The waivers that were given for a version; of each rule the newest.
///
/// # Errors
/// One is damaged.
pub fn given_waivers(project: &Project, version: &Version) -> Result<Vec<Given>> {
    let records = project.store.models()?.records(&waivers_of(&version.name, version.number), usize::MAX, false)?;
    let damaged = |_| Error::Invalid(format!("a waiver of {} is damaged", shown(version)));
    records.iter().map(|(_, bytes)| canonical::from_slice(bytes).map_err(damaged)).collect()
}

/// Sets a rule of a version's gate aside for a time: the user of an [`Act::Waive`] must have a role that the rule
/// names, and be no author of the model.
///
/// # Errors
/// The statement is not accepted, there is no such rule, or it cannot be waived by this user.
pub fn waive(project: &Project, signed: &Signed) -> Result<Given> {
    let _turn = turn();
    let Act::Waive { model, rule, reason, expires_ms } = &signed.statement.act else { return Err(people::wrong_act()) };
    let user = people::speaker(project, signed)?;
    let version = approval::named(project, model)?;
    let (_, gate) = gate_of(project, &version)?;
    let what = format!("waive `{rule}` of {}", shown(&version));
    let Some(found) = gate.rules.iter().find(|own| own.subject.to_string() == *rule) else {
        let rules: Vec<String> = gate.rules.iter().map(|own| own.subject.to_string()).collect();
        let hint = crate::file::unknown(rule, &rules.iter().map(String::as_str).collect::<Vec<_>>());
        let hint = hint.map(|hint| format!("; {hint}")).unwrap_or_default();
        return Err(Error::Invalid(format!("the gate of {} has no rule `{rule}`{hint}", shown(&version))));
    };
    if !found.waivable_by.iter().any(|role| user.roles.contains(role)) {
        let why = match found.waivable_by.as_slice() {
            [] => "the gate does not let anybody".to_owned(),
            roles => format!(
                "that takes the role {}",
                roles.iter().map(|role| format!("`{role}`")).collect::<Vec<_>>().join(" or ")
            ),
        };
        return Err(people::not_allowed(&user.name, &what, why));
    }
    approval::not_an_author(project, &version, &user, &what)?;
    if reason.trim().is_empty() {
        return Err(people::refused("it gives no reason".to_owned()));
    }
    if *expires_ms <= project.actor().at_ms {
        return Err(people::refused("the waiver would have expired already".to_owned()));
    }
    let given = Given { signed: signed.clone(), roles: user.roles.into_iter().collect() };
    let mut transaction = project.store.models()?.begin(&people::actor(project, signed))?;
    transaction.put_record(&waivers_of(&version.name, version.number), rule.as_bytes(), &canonical::to_vec(&given))?;
    transaction.audit(people::audited(signed));
    transaction.commit()?;
    Ok(given)
}

/// What verifying a verdict found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verification {
    /// The verdict's record.
    pub digest: Digest,
    /// What is wrong with it; nothing where all of it holds.
    pub problems: Vec<String>,
}

/// Gives every verdict of a version again, from the evidence that was kept, and compares.
///
/// # Errors
/// The store cannot be read.
pub fn verify(project: &Project, version: &Version) -> Result<Vec<Verification>> {
    let all = all(project, version)?;
    let verify = |judged: &Judged| {
        let problems = match problems(project, version, &judged.record) {
            Ok(problems) => problems,
            Err(error) => vec![format!("its evidence cannot be read: {}", crate::run::chain(&error))],
        };
        Verification { digest: judged.digest, problems }
    };
    Ok(all.iter().map(verify).collect())
}

fn problems(project: &Project, version: &Version, record: &VerdictRecord) -> Result<Vec<String>> {
    let mut problems = Vec::new();
    if (&record.model.name, record.model.number, record.model.digest) != (&version.name, version.number, version.digest)
    {
        problems.push(format!("it is about {}@{}", record.model.name, record.model.number));
    }
    if recorded_gate(project, &record.pipeline_file)? != record.gate {
        problems.push("its gate is not that of its pipeline file".to_owned());
    }
    for given in &record.waivers {
        if !given.signed.is_genuine() {
            problems.push(format!("the signature of the waiver by `{}` does not fit", given.signed.statement.by));
        }
    }
    let champion = match &record.champion {
        Some(champion) => {
            let mut pairs = BTreeMap::new();
            for (stage, kept) in &champion.pairs {
                let read = match kept {
                    PairsRecord::Kept { task, table } => Ok(evidence::read(project, *task, table)?),
                    PairsRecord::Missing { reason } => Err(reason.clone()),
                };
                pairs.insert(stage.clone(), read);
            }
            Some(Champion { model: champion.model.clone(), pairs })
        }
        None => None,
    };
    let evidence = Evidence {
        reports: evidence::read_reports(project, &record.reports)?,
        champion,
        waivers: record.waivers.iter().filter_map(waiver).collect(),
        at_ms: record.at_ms,
        seed: record.seed,
    };
    let again = judge(&record.gate, &evidence);
    if canonical::to_vec(&again) != canonical::to_vec(&record.verdict) {
        let (was, now) = (record.verdict.outcome.as_str(), again.outcome.as_str());
        problems.push(format!("the verdict was {was}; given again on the same evidence, it differs (it is {now})"));
    }
    Ok(problems)
}
