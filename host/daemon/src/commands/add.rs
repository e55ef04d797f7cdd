//! `plugin add`: components from files, the web and registries become versions of plugins.

use std::path::PathBuf;

use serde::Serialize;
use stagewright::{
    Project,
    code::{self, Added, Origin, Signed},
};
use stagewright_core::{Digest, Name};
use stagewright_sharing::{Lock, SharingError, Signature, Source, Standing, lock::Entry, obtain};

use super::{
    Context,
    share::{TIME, logins, standing_text, trust},
};
use crate::{
    args::share::AddArgs,
    failure::{Failure, WRONG_INPUT},
    text::{self, Columns},
};

/// What was added, and who vouches for it.
#[derive(Serialize)]
struct Taken {
    #[serde(flatten)]
    added: Added,
    source: String,
    signature: String,
}

/// A plugin that is wanted, under the name that it gets.
struct Wanted {
    source: Source,
    /// The source as the user named it.
    shown: String,
    name: Name,
}

pub(crate) fn add(context: &Context, arguments: &AddArgs) -> Result<(), Failure> {
    let project = context.write()?;
    let lock = Lock::read(&project.root)?;
    let all = if arguments.locked { locked(&lock)? } else { wanted(context, arguments)? };
    let trust = trust(context, &project.settings, &arguments.demands)?;
    let logins = logins()?;
    let mut taken = Vec::new();
    for Wanted { source, shown, name } in all {
        let recorded = recorded(&source);
        context.progress.line(&format!("checking {shown}"));
        let obtained = obtain(&source, &logins, TIME)?;
        let standing =
            trust.judge(&shown, &obtained.component, obtained.signature.as_ref()).map_err(SharingError::from)?;
        if !arguments.demands.update {
            lock.check(&name, &Digest::of(&obtained.component), &recorded)?;
        }
        let manifest = obtained.manifest.clone();
        let signature = obtained.signature.as_ref().map(|signature| signed(signature, &standing));
        let origin = Origin { source: recorded.clone(), signature };
        let added = code::add(&project, obtained.component, &shown, &name, &arguments.message, &origin)?;
        note(&project, &name, &source, manifest, &added)?;
        taken.push(Taken { added, source: recorded, signature: standing_text(&standing) });
    }
    context.print(&taken, |taken| {
        let mut columns = Columns::new(&["plugin", "exports", "size", "digest", "signature", ""]);
        for Taken { added, signature, .. } in taken {
            columns.row([
                format!("{}@{}", added.version.name, added.version.number),
                code::kinds(&added.plugin),
                text::size(added.plugin.bytes),
                added.version.digest.short(),
                signature.clone(),
                if added.unchanged { "unchanged" } else { "" }.to_owned(),
            ]);
        }
        columns.text()
    })
}

fn signed(signature: &Signature, standing: &Standing) -> Signed {
    Signed {
        text: signature.text().to_owned(),
        key: signature.key_id(),
        trusted_comment: match standing {
            Standing::Signed { comment, .. } => Some(comment.clone()),
            Standing::Unknown { .. } | Standing::Unsigned => None,
        },
    }
}

/// Keeps the lock to what the project now has: a plugin from elsewhere is locked, one of our own is not.
fn note(
    project: &Project,
    name: &Name,
    source: &Source,
    manifest: Option<String>,
    added: &Added,
) -> Result<(), Failure> {
    // Others may have locked something since.
    let _deciding = project.deciding();
    let mut lock = Lock::read(&project.root)?;
    let digest = added.version.digest;
    if lock.entries().get(name).is_some_and(|entry| entry.digest == digest) {
        return Ok(());
    }
    match source {
        Source::File(_) => lock.remove(name),
        Source::Web(_) | Source::Registry(_) => {
            let version = added.plugin.metadata.get("version").cloned();
            lock.set(name, Entry { source: source.to_string(), version, digest, manifest });
        }
    }
    Ok(lock.write()?)
}

/// What the command line names.
fn wanted(context: &Context, arguments: &AddArgs) -> Result<Vec<Wanted>, Failure> {
    let mut sources = Vec::new();
    for text in &arguments.plugins {
        match text.parse()? {
            Source::File(path) => {
                let files = code::files(&context.path(&path)?)?;
                sources.extend(files.into_iter().map(|file| (file.to_string(), Source::File(file.at().to_owned()))));
            }
            source => sources.push((source.to_string(), source)),
        }
    }
    if arguments.name.is_some() && sources.len() > 1 {
        return Err(Failure::new(WRONG_INPUT, "--name is for a single plugin"));
    }
    let named = |(shown, source): (String, Source)| -> Result<Wanted, Failure> {
        let name = arguments.name.clone().unwrap_or_else(|| source.stem()).parse()?;
        Ok(Wanted { source, shown, name })
    };
    sources.into_iter().map(named).collect()
}

/// What the lock file names, each held to what it was.
fn locked(lock: &Lock) -> Result<Vec<Wanted>, Failure> {
    let held = |(name, entry): (&Name, &Entry)| -> Result<Wanted, Failure> {
        let mut source: Source = entry.source.parse()?;
        if let Source::Registry(reference) = &mut source {
            reference.digest.clone_from(&entry.manifest);
        }
        Ok(Wanted { shown: source.to_string(), source, name: name.clone() })
    };
    lock.entries().iter().map(held).collect()
}

/// A source as it is recorded: of a file, its name, since folders are nobody else's concern.
fn recorded(source: &Source) -> String {
    match source {
        Source::File(path) => path.file_name().map_or_else(|| path.clone(), PathBuf::from).display().to_string(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_recorded_by_its_name() {
        assert_eq!(recorded(&Source::File("/home/ada/clip.wasm".into())), "clip.wasm");
    }
}
