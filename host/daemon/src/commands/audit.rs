//! `audit log`, `verify`, `export`.

use serde::Serialize;
use stagewright::{
    GivenPath,
    store::{
        Entry, REPOSITORIES,
        audit::bundle::{self, Bundle, Verdict},
    },
};

use super::Context;
use crate::{
    args::AuditCommand,
    failure::{CANNOT, Failure, NOT_VERIFIED, WRONG_INPUT},
    text::{Columns, printable, time},
};

#[derive(Serialize)]
struct Told {
    repository: String,
    #[serde(flatten)]
    entry: Entry,
}

pub(crate) fn dispatch(context: &Context, command: AuditCommand) -> Result<(), Failure> {
    match command {
        AuditCommand::Log { limit, repository } => {
            let project = context.read()?;
            let mut entries = Vec::new();
            let wanted = |name: &&str| repository.as_deref().is_none_or(|wanted| wanted == *name);
            for name in REPOSITORIES.iter().filter(|name| wanted(name)) {
                let Some(one) = project.store.named(name) else { continue };
                let one = match one {
                    Ok(one) => one,
                    // Asked for all, it shows those that are there.
                    Err(error) if repository.is_none() => {
                        context.progress.line(&error.to_string());
                        continue;
                    }
                    Err(error) => return Err(error.into()),
                };
                let size = one.audit_len()?;
                for sequence in size.saturating_sub(limit as u64)..size {
                    entries.push(Told { repository: one.name().to_owned(), entry: one.audit_entry(sequence)? });
                }
            }
            if entries.is_empty() {
                let wanted = repository.unwrap_or_default();
                return Err(Failure::new(
                    WRONG_INPUT,
                    format!("there is no repository `{wanted}`; use data, code, models or ledger"),
                ));
            }
            entries.sort_by_key(|told| (std::cmp::Reverse(told.entry.at_ms), std::cmp::Reverse(told.entry.sequence)));
            entries.truncate(limit);
            context.print(&entries, |entries| {
                let mut columns = Columns::new(&["repository", "entry", "when (UTC)", "who", "what"]);
                for told in entries {
                    let changes: Vec<String> = told.entry.changes.iter().map(change_text).collect();
                    columns.row([
                        told.repository.clone(),
                        told.entry.sequence.to_string(),
                        time(told.entry.at_ms),
                        told.entry.who.clone(),
                        changes.join("; ").chars().take(160).collect(),
                    ]);
                }
                columns.text()
            })
        }
        AuditCommand::Verify { file } => {
            let verdict = match &file {
                Some(file) => Bundle::verify_file(&read(&context.path(file)?)?)?,
                None => bundle::verify_open(&context.read()?.store.repositories()?)?,
            };
            context.print(&verdict, verdict_text)?;
            match verdict.problems.first() {
                None => Ok(()),
                Some(first) => Err(Failure::new(NOT_VERIFIED, first.clone())),
            }
        }
        AuditCommand::Export { file } => {
            let bundle = Bundle::of(&context.read()?.store.repositories()?)?;
            let bytes = serde_json::to_vec(&bundle).map_err(|error| Failure::new(CANNOT, error.to_string()))?;
            let file = context.path(&file)?;
            std::fs::write(file.at(), bytes)
                .map_err(|error| Failure::new(CANNOT, format!("cannot write {file}: {error}")))?;
            context.print(&bundle.verify(), |verdict| {
                let verdict = verdict_text(verdict);
                format!("wrote {file}; `stagewright audit verify {file}` checks it anywhere\n{verdict}")
            })
        }
    }
}

fn read(file: &GivenPath) -> Result<Vec<u8>, Failure> {
    std::fs::read(file.at()).map_err(|error| Failure::new(WRONG_INPUT, format!("cannot read {file}: {error}")))
}

fn verdict_text(verdict: &Verdict) -> String {
    let mut columns = Columns::new(&["repository", "entries", "root", "signed with"]);
    for checked in &verdict.checked {
        columns.row([
            checked.repository.clone(),
            checked.entries.to_string(),
            checked.root.short(),
            checked.key.chars().take(16).collect(),
        ]);
    }
    let problems: String =
        verdict.problems.iter().map(|problem| format!("problem: {}\n", printable(problem))).collect();
    let sound = if verdict.problems.is_empty() { "every entry, tree and signature is sound\n" } else { "" };
    columns.text() + &problems + sound
}

/// A change in a few words: its action, then what it is about.
fn change_text(change: &serde_json::Value) -> String {
    let Some(fields) = change.as_object() else { return change.to_string() };
    let action = fields.get("action").and_then(serde_json::Value::as_str).unwrap_or("change");
    let said: Vec<String> = fields
        .iter()
        .filter(|(name, value)| *name != "action" && !value.is_null() && value.as_str() != Some(""))
        .map(|(name, value)| match value {
            serde_json::Value::String(text) if text.len() > 24 && !["message", "source"].contains(&name.as_str()) => {
                format!("{name} {}…", &text.chars().take(12).collect::<String>())
            }
            serde_json::Value::String(text) => format!("{name} {text}"),
            other => format!("{name} {other}"),
        })
        .collect();
    format!("{action} {}", said.join(", "))
}
