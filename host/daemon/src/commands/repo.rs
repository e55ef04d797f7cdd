//! `repo …`, `fsck`, `gc`.

use std::{
    collections::BTreeSet,
    fmt::Write,
    fs::File,
    io::{BufReader, BufWriter, Write as _},
};

use serde_json::json;
use stagewright::{
    GivenPath, Project, code, house,
    project::STORE_DIRECTORY,
    store::{Actor, ArtifactKind, REPOSITORIES, Repository, Store, StoreError, Version, package},
};
use stagewright_core::Digest;
use stagewright_sharing::{Lock, MOST_BYTES, SharingError, Signature};

use super::{Context, share::trust};
use crate::{
    args::{RepoCommand, share::Demands},
    failure::{CANNOT, Failure, NOT_VERIFIED, WRONG_INPUT},
    text::{Columns, count, printable, size},
};

pub(crate) fn dispatch(context: &Context, command: RepoCommand) -> Result<(), Failure> {
    match command {
        RepoCommand::Backup { repository, file } => {
            let project = context.read()?;
            let repository = named(&project.store, &repository)?;
            let path = context.path(&file)?;
            let bytes = written(&path, |out| Ok(repository.backup(out)?))?;
            context.print(&json!({ "repository": repository.name(), "file": file, "bytes": bytes }), |_| {
                format!("wrote repository `{}` to {} ({})\n", repository.name(), file.display(), size(bytes))
            })
        }
        RepoCommand::Restore { repository, file } => {
            known(&repository)?;
            let directory = Store::directory(&context.root().join(STORE_DIRECTORY), &repository);
            let actor = Actor { who: context.surroundings.author.clone(), at_ms: context.surroundings.clock.now_ms() };
            let restored = Repository::restore(&mut opened(&context.path(&file)?)?, &directory, &actor)?;
            context.print(&json!({ "repository": restored.name(), "file": file }), |_| {
                format!("restored repository `{}` from {}\n", restored.name(), file.display())
            })
        }
        RepoCommand::Export { repository, version, file } => {
            let project = context.read()?;
            let repository = named(&project.store, &repository)?;
            let version = repository.resolve(&version.parse()?)?;
            let items = closure(&project.store, repository, &version)?;
            let items: Vec<package::Item<'_>> = items.iter().map(Closure::item).collect();
            written(&context.path(&file)?, |out| Ok(package::export(&items, out)?))?;
            context.print(&json!({ "version": version, "file": file }), |_| {
                format!("wrote {}@{} with all that it needs to {}\n", version.name, version.number, file.display())
            })
        }
        RepoCommand::Import { repository, file } => {
            known(&repository)?;
            let project = context.write()?;
            let file = context.path(&file)?;
            let judged = judge(context, &project, &file)?;
            // The file is read twice and may not be the same then.
            let accepts = |_: &str, version: &Version| match version.kind {
                ArtifactKind::Plugin if !judged.contains(&version.digest) => {
                    let what = format!("the package makes {} a plugin, but holds no component for it", version.name);
                    Err(StoreError::Invalid(what))
                }
                _ => Ok(()),
            };
            let imported = package::import(&project.store, &project.actor(), opened(&file)?, &accepts)?;
            let versions: Vec<_> = imported
                .versions
                .iter()
                .map(|(repository, version)| json!({ "repository": repository, "version": version }))
                .collect();
            context.print(&json!({ "versions": versions, "artifacts": imported.artifacts }), |_| {
                let mut text = format!("read {} artifacts\n", count(imported.artifacts));
                for (repository, version) in &imported.versions {
                    let _ = writeln!(text, "{}@{} in repository `{repository}`", version.name, version.number);
                }
                text
            })
        }
        RepoCommand::Lock { repository } => {
            let project = context.write()?;
            named(&project.store, &repository)?.lock(&project.actor())?;
            context
                .print(&json!({ "locked": repository }), |_| format!("repository `{repository}` refuses changes now\n"))
        }
        RepoCommand::Unlock { repository } => {
            let project = context.write()?;
            named(&project.store, &repository)?.unlock(&project.actor())?;
            context.print(&json!({ "unlocked": repository }), |_| {
                format!("repository `{repository}` allows changes again\n")
            })
        }
    }
}

/// Judges the components that a package brings by the rules for plugins from elsewhere, and keeps what each of them is.
fn judge(context: &Context, project: &Project, file: &GivenPath) -> Result<BTreeSet<Digest>, Failure> {
    let found = package::contents(opened(file)?, "code", b"\0asm", MOST_BYTES)?;
    let trust = trust(context, &project.settings, &Demands::default())?;
    let lock = Lock::read(context.root())?;
    for (digest, (component, versions)) in &found {
        let name = versions.first().map_or_else(|| digest.short(), |version| version.name.to_string());
        let what = format!("{file}: component {name}");
        let signature = code::signature(project, digest)?.map(|text| Signature::parse(&what, &text)).transpose()?;
        trust.judge(&what, component, signature.as_ref()).map_err(SharingError::from)?;
        for version in versions {
            lock.check(&version.name, digest, &file.to_string())?;
        }
        if !versions.is_empty() {
            code::register(project, component, &what)?;
        }
    }
    Ok(found.into_keys().collect())
}

/// An artifact or version of some repository that a package holds.
enum Closure<'a> {
    Version(&'a Repository, &'a Version),
    Artifact(&'a Repository, Digest),
}

impl<'a> Closure<'a> {
    fn item(&self) -> package::Item<'a> {
        match self {
            Self::Version(repository, version) => package::Item::Version(repository, version),
            Self::Artifact(repository, digest) => package::Item::Artifact(repository, *digest),
        }
    }
}

/// A version and what it needs of other repositories: the components of a model.
fn closure<'a>(
    store: &'a Store,
    repository: &'a Repository,
    version: &'a Version,
) -> Result<Vec<Closure<'a>>, Failure> {
    let mut items = Vec::new();
    if version.kind == stagewright::store::ArtifactKind::Model {
        let bytes = repository.bytes(&version.digest)?;
        if let Ok(model) = stagewright_core::canonical::from_slice::<stagewright_core::record::Model>(&bytes) {
            let (code, parts) = (store.code()?, model.featurizers.iter().chain([&model.predictor]));
            items.extend(parts.map(|part| Closure::Artifact(code, part.component)));
        }
    }
    items.push(Closure::Version(repository, version));
    Ok(items)
}

fn known(name: &str) -> Result<(), Failure> {
    match REPOSITORIES.contains(&name) {
        true => Ok(()),
        false => {
            Err(Failure::new(WRONG_INPUT, format!("there is no repository `{name}`; use {}", REPOSITORIES.join(", "))))
        }
    }
}

fn named<'a>(store: &'a Store, name: &str) -> Result<&'a Repository, Failure> {
    known(name)?;
    match store.named(name) {
        Some(repository) => Ok(repository?),
        None => Err(Failure::new(WRONG_INPUT, format!("there is no repository `{name}`"))),
    }
}

fn opened(file: &GivenPath) -> Result<BufReader<File>, Failure> {
    let open = File::open(file.at()).map(BufReader::new);
    open.map_err(|error| Failure::new(WRONG_INPUT, format!("cannot read {file}: {error}")))
}

/// Writes a file that is complete or not there.
fn written<T>(file: &GivenPath, write: impl FnOnce(&mut BufWriter<File>) -> Result<T, Failure>) -> Result<T, Failure> {
    let cannot = |error: std::io::Error| Failure::new(CANNOT, format!("cannot write {file}: {error}"));
    let temporary = file.at().with_extension("part");
    let mut out = BufWriter::new(File::create(&temporary).map_err(cannot)?);
    let done = write(&mut out).and_then(|done| {
        out.flush().and_then(|()| out.get_ref().sync_all()).map_err(cannot)?;
        std::fs::rename(&temporary, file.at()).map_err(cannot)?;
        Ok(done)
    });
    if done.is_err() {
        // The failure is what matters; a leftover is only in the way.
        let _ = std::fs::remove_file(&temporary);
    }
    done
}

pub(crate) fn fsck(context: &Context) -> Result<(), Failure> {
    let checks = {
        let (open, progress) = (context.held()?, |line: &str| context.progress.line(line));
        house::fsck(context.root(), open.as_ref(), &context.surroundings, &progress)?
    };
    context.print(&checks, |checks| {
        let mut columns =
            Columns::new(&["repository", "chunks", "bytes", "artifacts", "versions", "audit entries", "lost"]);
        for check in checks {
            columns.row([
                check.repository.clone(),
                count(check.chunks),
                size(check.bytes),
                count(check.artifacts),
                count(check.versions),
                count(check.audit_entries),
                check.lost.len().to_string(),
            ]);
        }
        let mut text = columns.text();
        for check in checks {
            for repaired in &check.repaired {
                let _ = writeln!(text, "repaired: {}", printable(repaired));
            }
            for problem in &check.lost {
                let versions = problem.versions.join(", ");
                let _ = writeln!(text, "lost: {} {}", printable(&problem.what), printable(&versions));
            }
            if let Some(why) = &check.unchecked {
                let _ = writeln!(text, "not checked: the whole repository `{}`: {}", check.repository, printable(why));
            }
        }
        text
    })?;
    if checks.iter().all(stagewright::store::Fsck::is_clean) {
        return Ok(());
    }
    Err(Failure::new(
        NOT_VERIFIED,
        match checks.iter().all(|check| check.lost.is_empty()) {
            true => {
                "not every repository could be checked; put right what stands behind `not checked`, then check again"
            }
            false => "something is lost; `stagewright repo restore` brings back what a backup has",
        },
    ))
}

pub(crate) fn gc(context: &Context, dry_run: bool) -> Result<(), Failure> {
    let mode = if dry_run { house::Gc::DryRun } else { house::Gc::Remove };
    let swept = house::gc(&context.write()?, mode)?;
    context.print(&swept, |swept| {
        let mut columns = Columns::new(&["repository", "versions", "artifacts", "chunks", "before", "after"]);
        for one in &swept.repositories {
            columns.row([
                one.repository.clone(),
                one.versions.len().to_string(),
                count(one.artifacts),
                count(one.chunks),
                size(one.bytes_before),
                size(one.bytes_after),
            ]);
        }
        let would = if dry_run { "would remove" } else { "removed" };
        let runs = match swept.runs.len() {
            0 => String::new(),
            many => format!("{would} {many} runs\n"),
        };
        let held = match swept.under_way {
            0 => String::new(),
            many => format!("{many} runs are under way and hold what they use; gc again when they have ended\n"),
        };
        format!("{runs}{would}\n{}{held}", columns.text())
    })
}
