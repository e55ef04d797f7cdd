//! Approvals: who said yes or no to a version, and what still stands between it and serving.

use serde::Serialize;
use stagewright_core::{Digest, Name, VersionRef, canonical, record::Used};
use stagewright_store::Version;

use super::{
    Refusal, evidence,
    gate::{Approvals, Demand},
    judge::Outcome,
    people::{self, User},
    state::{self, ModelState, State, resolve, shown},
    statement::{Act, Given, Signed},
    turn,
    verdict::{self, Judged, VerdictRecord},
};
use crate::{
    error::{Error, Result},
    project::Project,
};

/// What still stands between a version and serving, and what was said about it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Standing {
    /// The version.
    pub version: Version,
    /// Its state.
    pub state: ModelState,
    /// The newest verdict; none where it was never judged.
    pub verdict: Option<Judged>,
    /// The last that each person said about it.
    pub said: Vec<Given>,
    /// Who started the runs that made it; none of them can approve it.
    pub authors: Vec<String>,
    /// What still stands in the way; nothing where it may serve.
    pub missing: Vec<String>,
}

/// The collection of what people said about a version, by person.
fn said_of(name: &Name, number: u64) -> String {
    format!("approval/{name}@{number}")
}

/// How a version stands now.
///
/// # Errors
/// There is no such version, or a record about it is damaged.
pub fn standing(project: &Project, wanted: &VersionRef) -> Result<Standing> {
    let version = resolve(project, wanted)?;
    let verdict = verdict::latest(project, &version)?;
    let said = said(project, &version)?;
    Ok(Standing {
        state: state::state(project, &version)?,
        missing: missing(project, &version, verdict.as_ref(), &said)?,
        authors: evidence::authors(project, &version)?,
        verdict,
        said,
        version,
    })
}

/// The last that each person said about a version.
///
/// # Errors
/// A record is damaged.
pub fn said(project: &Project, version: &Version) -> Result<Vec<Given>> {
    let records = project.store.models()?.records(&said_of(&version.name, version.number), usize::MAX, false)?;
    let damaged = |_| Error::Invalid(format!("an approval of {} is damaged", shown(version)));
    records.iter().map(|(_, bytes)| canonical::from_slice(bytes).map_err(damaged)).collect()
}

/// Approves a version: the [`Act::Approve`] of somebody who may.
///
/// # Errors
/// The statement is not accepted, its author may not approve this version, or the gate does not let it pass.
pub fn approve(project: &Project, signed: &Signed) -> Result<ModelState> {
    let Act::Approve { model, verdict, reason } = &signed.statement.act else { return Err(people::wrong_act()) };
    decide(project, signed, model, verdict, reason)
}

/// Rejects a version: the [`Act::Reject`] of somebody who may. It stands until the same person approves the version.
///
/// # Errors
/// The statement is not accepted, or its author has no say in this version.
pub fn reject(project: &Project, signed: &Signed) -> Result<ModelState> {
    let Act::Reject { model, verdict, reason } = &signed.statement.act else { return Err(people::wrong_act()) };
    decide(project, signed, model, verdict, reason)
}

fn decide(project: &Project, signed: &Signed, model: &Used, verdict: &Digest, reason: &str) -> Result<ModelState> {
    let _turn = turn();
    let user = people::speaker(project, signed)?;
    let version = named(project, model)?;
    let approves = matches!(signed.statement.act, Act::Approve { .. });
    let what = format!("{} {}", if approves { "approve" } else { "reject" }, shown(&version));
    let not_allowed = |why: String| Err(people::not_allowed(&user.name, &what, why));
    let judged = verdict::latest(project, &version)?.filter(|judged| judged.digest == *verdict);
    let Some(judged) = judged else {
        return Err(people::refused(
            "it is about another verdict than the latest: look at it and sign again".to_owned(),
        ));
    };
    let demands = demands(project, &judged.record);
    let asked: Vec<&Name> = demands.iter().flat_map(|demand| &demand.roles).collect();
    if asked.is_empty() {
        return not_allowed("its gate asks for no approvals".to_owned());
    }
    if !asked.iter().any(|role| user.roles.contains(*role)) {
        return not_allowed(format!("that takes {}", roles(&asked)));
    }
    not_an_author(project, &version, &user, &what)?;
    if reason.trim().is_empty() {
        return Err(people::refused("it gives no reason".to_owned()));
    }
    if approves {
        let held = unfit(project, &version, &judged.record)?;
        if !held.is_empty() {
            let environment = "approval".to_owned();
            return Err(Refusal::Held { model: shown(&version), environment, why: held }.into());
        }
        if lapsed(&judged.record, project.actor().at_ms) {
            return not_allowed("the time for it has passed: judge the version again".to_owned());
        }
    }
    let given = Given { signed: signed.clone(), roles: user.roles.iter().cloned().collect() };
    let mut said = said(project, &version)?;
    said.retain(|other| other.signed.statement.by != user.name);
    said.push(given.clone());
    let mut transaction = project.store.models()?.begin(&people::actor(project, signed))?;
    let collection = said_of(&version.name, version.number);
    transaction.put_record(&collection, user.name.as_str().as_bytes(), &canonical::to_vec(&given))?;
    transaction.audit(people::audited(signed));
    let missing = missing(project, &version, Some(&judged), &said)?;
    let state = state::settle(project, &mut transaction, &version, &missing)?;
    transaction.commit()?;
    Ok(state)
}

/// Moves a version between candidate and approved as its standing says. The caller has the turn.
pub(super) fn settle(project: &Project, version: &Version, judged: Option<&Judged>) -> Result<ModelState> {
    let missing = missing(project, version, judged, &said(project, version)?)?;
    let mut transaction = project.store.models()?.begin(&project.actor())?;
    let state = state::settle(project, &mut transaction, version, &missing)?;
    transaction.commit()?;
    Ok(state)
}

/// The version that a statement names, if it is still the same bytes.
pub(super) fn named(project: &Project, model: &Used) -> Result<Version> {
    let selector = stagewright_core::Selector::Number(model.number);
    let version = resolve(project, &VersionRef { name: model.name.clone(), selector })?;
    match version.digest == model.digest {
        true => Ok(version),
        false => Err(people::refused(format!("{} is another model than the one it names", shown(&version)))),
    }
}

/// Separation of duties: whoever had a run make the model does not judge it.
pub(super) fn not_an_author(project: &Project, version: &Version, user: &User, what: &str) -> Result<()> {
    if evidence::authors(project, version)?.iter().any(|author| author == user.name.as_str()) {
        return Err(people::not_allowed(&user.name, what, "an author does not decide about his own model".to_owned()));
    }
    Ok(())
}

/// Who must approve: whom the gate names, and whom the operator names now.
fn demands(project: &Project, record: &VerdictRecord) -> Vec<Approvals> {
    record.gate.approvals.iter().chain(&project.settings.gate.approvals).cloned().collect()
}

/// Whether the time for approving a verdict has passed.
pub(super) fn lapsed(record: &VerdictRecord, now_ms: u64) -> bool {
    let within = record.gate.approvals.iter().chain(&record.operator).filter_map(|demand| demand.within_ms).min();
    within.is_some_and(|within| now_ms > record.at_ms.saturating_add(within))
}

/// Why the verdict itself does not let a version pass now.
fn unfit(project: &Project, version: &Version, record: &VerdictRecord) -> Result<Vec<String>> {
    let now = project.actor().at_ms;
    let mut why: Vec<String> = record
        .verdict
        .held()
        .map(|rule| {
            let word = if rule.outcome == Outcome::Fail { "fails" } else { "cannot be told" };
            format!("`{}` ({}) {word}: {}", rule.subject, rule.demand, rule.reason)
        })
        .collect();
    let expired = record.verdict.waivers().filter(|waiver| waiver.expires_ms <= now);
    why.extend(expired.map(|waiver| format!("the waiver of `{}` by `{}` has expired", waiver.rule, waiver.by)));
    let again = format!("`stagewright gate check {}` judges it again", shown(version));
    let compares = |demand: &Demand| matches!(demand, Demand::Figure { champion: Some(_), .. });
    if record.gate.rules.iter().any(|rule| compares(&rule.demand)) {
        let champion = evidence::champion_of(project, version)?.filter(|champion| champion.number != version.number);
        let judged = record.champion.as_ref().map(|champion| champion.model.number);
        if champion.is_some_and(|champion| Some(champion.number) != judged) {
            why.push(format!("the champion is another one since it was judged; {again}"));
        }
    }
    // A run that was forgotten leaves its verdict standing.
    if let Ok(run) = evidence::run_of(project, version)
        && run.id != record.run
    {
        why.push(format!("run {} made it again since it was judged; {again}", run.id));
    }
    Ok(why)
}

/// What still stands between a version and serving.
pub(super) fn missing(
    project: &Project,
    version: &Version,
    judged: Option<&Judged>,
    said: &[Given],
) -> Result<Vec<String>> {
    let Some(Judged { digest, record }) = judged else {
        return Ok(vec![format!("it was not judged yet: `stagewright gate check {}`", shown(version))]);
    };
    let mut missing = unfit(project, version, record)?;
    for demand in demands(project, record) {
        let counts = |given: &&Given| {
            matches!(&given.signed.statement.act, Act::Approve { verdict, .. } if verdict == digest)
                && demand.roles.iter().any(|role| given.roles.contains(role))
        };
        let have = said.iter().filter(counts).count();
        if have < demand.count as usize {
            let wanted = roles(&demand.roles.iter().collect::<Vec<_>>());
            missing.push(format!("{have} of {} approvals by {wanted}", demand.count));
            if lapsed(record, project.actor().at_ms) {
                let again = format!("`stagewright gate check {}` opens it again", shown(version));
                missing.push(format!("the time for approving has passed; {again}"));
            }
        }
    }
    for given in said {
        if let Act::Reject { reason, .. } = &given.signed.statement.act {
            missing.push(format!("`{}` rejected it: {reason}", given.signed.statement.by));
        }
    }
    Ok(missing)
}

fn roles(names: &[&Name]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" or ")
}

/// Whether a version may be promoted, judging it first where nobody has.
pub(super) fn standing_now(project: &Project, version: &Version) -> Result<Vec<String>> {
    let wanted =
        VersionRef { name: version.name.clone(), selector: stagewright_core::Selector::Number(version.number) };
    if verdict::latest(project, version)?.is_none() {
        verdict::check(project, &wanted, &stagewright_runtime::CancelToken::new())?;
    }
    let _turn = turn();
    let judged = verdict::latest(project, version)?;
    let missing = missing(project, version, judged.as_ref(), &said(project, version)?)?;
    if missing.is_empty() && state::state(project, version)?.state == State::Candidate {
        settle(project, version, judged.as_ref())?;
    }
    Ok(missing)
}
