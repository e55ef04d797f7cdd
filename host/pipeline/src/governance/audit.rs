//! Checking what people signed, wherever it stands in the audit log.

use std::collections::BTreeMap;

use serde::Serialize;
use stagewright_core::Name;
use stagewright_store::Repository;

use super::{
    people::ADMINISTRATOR,
    statement::{Act, PublicKey, Signed},
};
use crate::{error::Result, project::Project};

/// What checking statements found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Statements {
    /// How many there are.
    pub checked: u64,
    /// What is wrong; nothing where all of them hold.
    pub problems: Vec<String>,
}

/// What a user was at a point of the ledger's log.
struct Known {
    key: PublicKey,
    administrator: bool,
}

/// Checks every signed statement of the audit logs: its signature, that it was made for this project, that its key is
/// the one that its author was added with, and that only administrators changed users.
///
/// # Errors
/// A log cannot be read.
pub fn verify(project: &Project) -> Result<Statements> {
    let ledger = project.store.ledger()?;
    let home = ledger.public_key();
    let mut found = Statements::default();
    let mut users: BTreeMap<Name, Known> = BTreeMap::new();
    // Users stand in the ledger, so that log is read first.
    for (repository, own) in [(ledger, true), (project.store.models()?, false)] {
        for (sequence, signed) in statements(repository)? {
            found.checked += 1;
            let mut problem = |what: String| {
                found.problems.push(format!("entry {sequence} of repository `{}`: {what}", repository.name()));
            };
            let Some(signed) = signed else {
                problem("it holds a statement that cannot be read".to_owned());
                continue;
            };
            let statement = &signed.statement;
            if !signed.is_genuine() {
                problem("the signature does not fit the statement".to_owned());
            }
            if statement.project != home {
                problem("the statement was made for another project".to_owned());
            }
            let first = users.is_empty();
            match users.get(&statement.by) {
                Some(known) if known.key != signed.key => {
                    problem(format!("`{}` did not sign it: that is not the key of that user", statement.by));
                }
                None if !(own && first) => problem(format!("`{}` was no user", statement.by)),
                _ => {}
            }
            if !own {
                continue;
            }
            let administrator = users.get(&statement.by).is_some_and(|known| known.administrator);
            match &statement.act {
                Act::AddUser { name, roles, key } => {
                    let is_first = first && *name == statement.by && *key == signed.key;
                    if !administrator && !is_first {
                        problem(format!("`{}` added a user and is no administrator", statement.by));
                    }
                    let administrator = roles.iter().any(|role| role.as_str() == ADMINISTRATOR);
                    users.insert(name.clone(), Known { key: *key, administrator });
                }
                Act::RemoveUser { .. } | Act::CreateToken { .. } if !administrator => {
                    problem(format!("`{}` is no administrator", statement.by));
                }
                _ => {}
            }
        }
    }
    Ok(found)
}

/// The statements of a repository's log with the entries that hold them; none where one cannot be read.
fn statements(repository: &Repository) -> Result<Vec<(u64, Option<Signed>)>> {
    let mut statements = Vec::new();
    for sequence in 0..repository.audit_len()? {
        for change in repository.audit_entry(sequence)?.changes {
            if change.get("action").and_then(serde_json::Value::as_str) == Some("statement") {
                let signed = change.get("signed").cloned().and_then(|signed| serde_json::from_value(signed).ok());
                statements.push((sequence, signed));
            }
        }
    }
    Ok(statements)
}
