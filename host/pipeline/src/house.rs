//! Keeping house: checking every byte, and removing what nothing needs.

use std::{
    collections::{BTreeMap, BTreeSet},
    error::Error as _,
};

use serde::Serialize;
use stagewright_core::{Digest, canonical, record::Model};
use stagewright_store::{
    Access, Actor, ArtifactKind, Collected, Collection, Fsck, Hooks, Problem, REFRESHED_WITHIN_MS, REPOSITORIES,
    Repository, Store, StoreError,
};

use crate::{
    error::Result,
    predictions,
    project::{Project, STORE_DIRECTORY, Surroundings},
    run,
};

/// Checks every repository of a project, and mends what can be made again. The project need not open; where it is open
/// already, its repositories are checked as they are.
///
/// # Errors
/// Another process writes to a repository.
pub fn fsck(
    root: &std::path::Path,
    open: Option<&Project>,
    surroundings: &Surroundings,
    progress: &dyn Fn(&str),
) -> Result<Vec<Fsck>> {
    let store = root.join(STORE_DIRECTORY);
    let actor = Actor { who: surroundings.author.clone(), at_ms: surroundings.clock.now_ms() };
    let hooks = || Hooks { progress: Some(progress), ..Hooks::default() };
    let check = |name: &&str| {
        if let Some(Ok(repository)) = open.and_then(|project| project.store.named(name)) {
            return repository.check(&actor);
        }
        // One that cannot be checked is a finding like others, and no reason to leave out the rest.
        let found = || Fsck { repository: (*name).to_owned(), ..Fsck::default() };
        match Repository::fsck(&Store::directory(&store, name), Access::Write, &actor, hooks()) {
            Err(StoreError::Missing(at)) => {
                let what = format!("the whole repository `{name}`: there is none at {at}");
                Ok(Fsck { lost: vec![Problem { what, versions: Vec::new() }], ..found() })
            }
            Err(error) if !matches!(error, StoreError::InUse(_)) => {
                let why = error.source().map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}"));
                Ok(Fsck { unchecked: Some(why), ..found() })
            }
            checked => checked,
        }
    };
    Ok(REPOSITORIES.iter().map(check).collect::<Result<_, _>>()?)
}

/// What gc removed, or would remove.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Swept {
    /// Runs that were forgotten.
    pub runs: Vec<u64>,
    /// What went from each repository.
    pub repositories: Vec<Collected>,
    /// Runs under way, which hold on to what they use and make until they end.
    #[serde(skip_serializing_if = "is_zero")]
    pub under_way: usize,
}

fn is_zero(number: &usize) -> bool {
    *number == 0
}

/// Whether gc does what it finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gc {
    /// It removes.
    Remove,
    /// It only says what it would remove, the runs' own artifacts left out of account.
    DryRun,
}

/// Removes what nothing needs, by the project's retention rules.
///
/// # Errors
/// The store cannot be read or written.
pub fn gc(project: &Project, mode: Gc) -> Result<Swept> {
    let keep = project.settings.keep;
    let forgotten: BTreeSet<u64> = match keep.runs {
        None => BTreeSet::new(),
        Some(newest) => {
            let runs = run::list(project, usize::MAX, None)?;
            runs.iter().skip(usize::try_from(newest).unwrap_or(usize::MAX)).map(|run| run.id).collect()
        }
    };
    if mode == Gc::Remove {
        run::forget(project, &forgotten)?;
    }
    let roots = roots(project)?;
    // From here on no run finds anything that is about to go.
    let held = project.leases.held();
    let actor = project.actor();
    // What runs under way made is younger than the oldest of them, or was found and stored again by one.
    let grace_ms = held.oldest_ms().map_or(0, |began| actor.at_ms.saturating_sub(began) + REFRESHED_WITHIN_MS + 1);
    let mut swept = Swept { runs: forgotten.into_iter().collect(), repositories: Vec::new(), under_way: held.len() };
    for repository in project.store.repositories()? {
        let mut roots = roots.get(repository.name()).cloned().unwrap_or_default();
        roots.extend(held.digests());
        let collection = Collection { newest: keep.versions, roots, grace_ms };
        swept.repositories.push(match mode {
            Gc::Remove => repository.gc(&actor, &collection)?,
            Gc::DryRun => repository.gc_plan(&actor, &collection)?,
        });
    }
    Ok(swept)
}

/// What is needed beyond versions: the components of registered models and of kept runs, the logs of runs, and the logs of
/// predictions, of which retention keeps every segment.
fn roots(project: &Project) -> Result<BTreeMap<String, BTreeSet<Digest>>> {
    let mut code = BTreeSet::new();
    let models = project.store.models()?;
    for name in models.names()? {
        for version in models.log(&name)?.iter().filter(|version| version.kind == ArtifactKind::Model) {
            if let Ok(model) = canonical::from_slice::<Model>(&models.bytes(&version.digest)?) {
                code.extend(model.featurizers.iter().chain([&model.predictor]).map(|part| part.component));
            }
        }
    }
    let mut ledger = BTreeSet::new();
    for run in run::list(project, usize::MAX, None)? {
        for (_, step) in run.steps() {
            code.insert(step.result.spec.component);
            ledger.insert(step.result.log);
            ledger.extend(step.result.granted.into_iter().chain(step.recording));
        }
        for step in run.stages.iter().filter_map(|stage| stage.failed.as_ref()) {
            code.insert(step.spec.component);
            ledger.extend(step.granted.into_iter().chain(step.recording));
        }
    }
    let data = predictions::roots(project)?;
    Ok(BTreeMap::from([("data".to_owned(), data), ("code".to_owned(), code), ("ledger".to_owned(), ledger)]))
}
