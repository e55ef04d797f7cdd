//! Users: who takes part, in which roles, with which key.
//!
//! Users stand in the ledger. The first one adds himself and is an administrator; from then on only administrators add
//! and remove users. A user who was removed stays in the record, so that what he signed can still be checked.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::json;
use stagewright_core::{Name, canonical, name::nearest};

use super::{
    Refusal,
    statement::{Act, PublicKey, Signed, Statement},
    turn,
};
use crate::{
    error::{Error, Result},
    project::Project,
};

/// Who has this role adds and removes users and makes tokens.
pub const ADMINISTRATOR: &str = "admin";
/// The collection of users in the ledger, by name.
const USERS: &str = "user";
/// A statement is accepted for so long after it was signed, and so long before by a clock that is ahead.
const FRESH_MS: u64 = 10 * 60 * 1000;

/// A person who takes part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// The name; never given to another person.
    pub name: Name,
    /// What the person may do; `admin` is known here, all others are named by gates.
    pub roles: BTreeSet<Name>,
    /// Who has the private half speaks for the user.
    pub key: PublicKey,
    /// Since when, in milliseconds since 1970.
    pub added_ms: u64,
    /// Until when; none while the user takes part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub removed_ms: Option<u64>,
}

impl User {
    /// Whether the user has this role.
    pub fn has_role(&self, role: &str) -> bool {
        self.roles.iter().any(|own| own.as_str() == role)
    }

    fn is_administrator(&self) -> bool {
        self.removed_ms.is_none() && self.has_role(ADMINISTRATOR)
    }
}

/// Every user, also those who were removed, by name.
///
/// # Errors
/// The ledger cannot be read.
pub fn list(project: &Project) -> Result<Vec<User>> {
    let records = project.store.ledger()?.records(USERS, usize::MAX, false)?;
    records.iter().map(|(_, bytes)| read(bytes)).collect()
}

/// A user who takes part.
///
/// # Errors
/// There is none of this name, or he was removed.
pub fn find(project: &Project, name: &str) -> Result<User> {
    let record = project.store.ledger()?.record(USERS, name.as_bytes())?;
    match record.map(|bytes| read(&bytes)).transpose()? {
        Some(user) if user.removed_ms.is_none() => Ok(user),
        Some(_) => Err(Refusal::NoUser(format!("{name} (removed)")).into()),
        None => {
            let names: Vec<String> = list(project)?.into_iter().map(|user| user.name.to_string()).collect();
            let near = nearest(name, names.iter().map(String::as_str))
                .map(|near| format!("{name}` (did you mean `{near}`?) `"));
            Err(Refusal::NoUser(near.unwrap_or_else(|| name.to_owned())).into())
        }
    }
}

fn read(bytes: &[u8]) -> Result<User> {
    canonical::from_slice(bytes).map_err(|error| Error::Invalid(format!("the record of a user is damaged: {error}")))
}

/// A statement to sign: what is said, in this project, now.
///
/// # Errors
/// The ledger cannot be opened.
pub fn statement(project: &Project, by: Name, act: Act) -> Result<Statement> {
    Ok(Statement { project: project.store.ledger()?.public_key().to_owned(), by, at_ms: project.actor().at_ms, act })
}

/// Adds the user of an [`Act::AddUser`].
///
/// # Errors
/// The statement is not an administrator's, or the name is taken.
pub fn add(project: &Project, signed: &Signed) -> Result<User> {
    let _turn = turn();
    let Act::AddUser { name, roles, key } = &signed.statement.act else { return Err(wrong_act()) };
    let users = list(project)?;
    if users.is_empty() {
        check(project, signed)?;
        let first = signed.statement.by == *name && signed.key == *key;
        if !first || !roles.iter().any(|role| role.as_str() == ADMINISTRATOR) {
            let why = format!("the first user adds himself, with the role `{ADMINISTRATOR}`");
            return Err(not_allowed(&signed.statement.by, "add a user", why));
        }
    } else {
        administrator(project, signed, "add a user")?;
    }
    if users.iter().any(|user| user.name == *name) {
        let why = format!("there is or was a user `{name}`, and names are not given twice");
        return Err(not_allowed(&signed.statement.by, "add this user", why));
    }
    // One person with two names would be a quorum of two.
    if let Some(same) = users.iter().find(|user| user.key == *key) {
        let why = format!("`{}` has the same key", same.name);
        return Err(not_allowed(&signed.statement.by, "add this user", why));
    }
    let user = User {
        name: name.clone(),
        roles: roles.iter().cloned().collect(),
        key: *key,
        added_ms: signed.statement.at_ms,
        removed_ms: None,
    };
    put(project, &user, signed)?;
    Ok(user)
}

/// Removes the user of an [`Act::RemoveUser`]. His tokens are good no more; what he signed stays.
///
/// # Errors
/// The statement is not an administrator's, there is no such user, or he is the last administrator.
pub fn remove(project: &Project, signed: &Signed) -> Result<User> {
    let _turn = turn();
    let Act::RemoveUser { name } = &signed.statement.act else { return Err(wrong_act()) };
    administrator(project, signed, "remove a user")?;
    let mut user = find(project, name.as_str())?;
    let others = list(project)?.into_iter().filter(|other| other.name != user.name);
    if user.is_administrator() && !others.into_iter().any(|other| other.is_administrator()) {
        let why = "nobody could add users any more".to_owned();
        return Err(not_allowed(&signed.statement.by, "remove the last administrator", why));
    }
    user.removed_ms = Some(signed.statement.at_ms);
    put(project, &user, signed)?;
    Ok(user)
}

fn put(project: &Project, user: &User, signed: &Signed) -> Result<()> {
    let mut transaction = project.store.ledger()?.begin(&actor(project, signed))?;
    transaction.put_record(USERS, user.name.as_str().as_bytes(), &canonical::to_vec(user))?;
    transaction.audit(audited(signed));
    transaction.commit()?;
    Ok(())
}

/// Whoever signed, now.
pub(super) fn actor(project: &Project, signed: &Signed) -> stagewright_store::Actor {
    stagewright_store::Actor { who: signed.statement.by.to_string(), ..project.actor() }
}

/// A statement's entry in the audit log.
pub(super) fn audited(signed: &Signed) -> serde_json::Value {
    json!({ "action": "statement", "signed": signed })
}

/// The user who made a statement, if everything about it holds now.
pub(super) fn speaker(project: &Project, signed: &Signed) -> Result<User> {
    check(project, signed)?;
    let user = find(project, signed.statement.by.as_str())?;
    match user.key == signed.key {
        true => Ok(user),
        false => Err(refused(format!("it is not signed with the key of `{}`", user.name))),
    }
}

/// The administrator who made a statement.
pub(super) fn administrator(project: &Project, signed: &Signed, what: &str) -> Result<User> {
    let user = speaker(project, signed)?;
    match user.is_administrator() {
        true => Ok(user),
        false => {
            let why = format!("that takes the role `{ADMINISTRATOR}`");
            Err(not_allowed(&user.name, what, why))
        }
    }
}

/// Whether a statement was signed with its key, for this project, just now.
fn check(project: &Project, signed: &Signed) -> Result<()> {
    if !signed.is_genuine() {
        return Err(refused("its signature does not fit its words".to_owned()));
    }
    if signed.statement.project != project.store.ledger()?.public_key() {
        return Err(refused("it was made for another project".to_owned()));
    }
    if signed.statement.at_ms.abs_diff(project.actor().at_ms) > FRESH_MS {
        return Err(refused("it was not signed in the last ten minutes: sign it again".to_owned()));
    }
    Ok(())
}

pub(super) fn wrong_act() -> Error {
    refused("it says something else".to_owned())
}

pub(super) fn refused(why: String) -> Error {
    Refusal::Statement(why).into()
}

pub(super) fn not_allowed(user: &Name, what: &str, why: String) -> Error {
    Refusal::NotAllowed { user: user.to_string(), what: what.to_owned(), why }.into()
}
