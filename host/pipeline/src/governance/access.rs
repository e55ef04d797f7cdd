//! Access tokens: what a program may do in a user's name.
//!
//! A token is `sw_ID_SECRET`, both in hexadecimal digits. The secret is shown once, when the token is made; kept is its
//! argon2id hash in the ledger. Verifying costs tens of milliseconds and 19 MiB, also for an id that does not exist, so
//! whoever authenticates many requests remembers the outcome, under a keyed hash of the token.

use std::{collections::BTreeSet, fmt, str::FromStr};

use argon2::{Argon2, PasswordHash, PasswordHasher as _, PasswordVerifier as _};
use serde::{Deserialize, Serialize};
use stagewright_core::{Name, canonical};
use stagewright_store::REPOSITORIES;

use super::{
    Refusal, people,
    statement::{Act, Signed},
    turn,
};
use crate::{
    error::{Error, Result},
    project::Project,
};

/// The collection of tokens in the ledger, by id.
const TOKENS: &str = "token";
/// What a token begins with, so that scanners for leaked secrets can find it.
const PREFIX: &str = "sw_";

/// What kind of thing may be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// Ask models for predictions.
    Predict,
    /// Look at what is stored.
    Read,
    /// Change what is stored: add data, run pipelines.
    Write,
    /// Hand in signed approvals and deploy.
    Approve,
    /// All of it, and users and tokens.
    Admin,
}

impl Scope {
    /// Every scope.
    pub const ALL: [Self; 5] = [Self::Predict, Self::Read, Self::Write, Self::Approve, Self::Admin];

    /// The scope's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Predict => "predict",
            Self::Read => "read",
            Self::Write => "write",
            Self::Approve => "approve",
            Self::Admin => "admin",
        }
    }
}

/// A scope in one repository, or in all: `read:data`, `predict`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Grant {
    /// What may be done.
    pub scope: Scope,
    /// Where: `data`, `code`, `models` or `ledger`; none for everywhere.
    pub repository: Option<&'static str>,
}

impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.scope.as_str())?;
        self.repository.iter().try_for_each(|repository| write!(f, ":{repository}"))
    }
}

/// A text that grants nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no grant: write SCOPE or SCOPE:REPOSITORY, with predict, read, write, approve or admin, and data, code, \
     models or ledger"
)]
pub struct NotAGrant(String);

impl FromStr for Grant {
    type Err = NotAGrant;

    fn from_str(text: &str) -> Result<Self, NotAGrant> {
        let wrong = || NotAGrant(text.to_owned());
        let (scope, repository) = match text.split_once(':') {
            Some((scope, repository)) => (scope, Some(repository)),
            None => (text, None),
        };
        let scope = Scope::ALL.into_iter().find(|known| known.as_str() == scope).ok_or_else(wrong)?;
        let repository = match repository {
            Some(name) => Some(REPOSITORIES.into_iter().find(|known| *known == name).ok_or_else(wrong)?),
            None => None,
        };
        Ok(Self { scope, repository })
    }
}

impl Serialize for Grant {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Grant {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Who asks, and what that one may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// The user in whose name.
    pub user: Name,
    /// The public part of the token.
    pub token: String,
    /// What may be done.
    pub scopes: BTreeSet<Grant>,
    /// Until when, in milliseconds since 1970.
    pub expires_ms: u64,
}

impl Principal {
    /// Whether this may be done in this repository. What is not granted is denied; `admin` grants everything.
    pub fn may(&self, scope: Scope, repository: &str) -> bool {
        self.scopes.iter().any(|grant| {
            (grant.scope == scope || grant.scope == Scope::Admin)
                && grant.repository.is_none_or(|own| own == repository)
        })
    }
}

/// A token as it is kept: without its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// Its public part.
    pub id: String,
    /// In whose name it acts.
    pub user: Name,
    /// What it allows.
    pub grants: BTreeSet<Grant>,
    /// When it was made, in milliseconds since 1970.
    pub created_ms: u64,
    /// Until when it is good.
    pub expires_ms: u64,
    /// When it was revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_ms: Option<u64>,
    /// The argon2id hash of the secret, in the PHC string format. Left out wherever tokens are shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash: Option<String>,
}

/// A token that was just thought of: what is signed names its id, what is kept its hash, and its bearer gets the text.
pub struct NewToken {
    /// The public part.
    pub id: String,
    secret: String,
    salt: [u8; 16],
}

impl fmt::Debug for NewToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NewToken {{ id: {}, .. }}", self.id)
    }
}

impl NewToken {
    /// A token from random bytes: 8 for the id, 32 for the secret, 16 for the salt.
    pub fn new(random: [u8; 56]) -> Self {
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let mut salt = [0; 16];
        salt.copy_from_slice(&random[40..]);
        Self { id: hex(&random[..8]), secret: hex(&random[8..40]), salt }
    }

    /// What its bearer shows. The only time that it can be had.
    pub fn text(&self) -> String {
        format!("{PREFIX}{}_{}", self.id, self.secret)
    }
}

/// Keeps the token that an administrator's [`Act::CreateToken`] names.
///
/// # Errors
/// The statement is not an administrator's, there is no such user, or it expires in the past.
pub fn create(project: &Project, signed: &Signed, token: &NewToken) -> Result<Token> {
    let Act::CreateToken { id, user, grants, expires_ms } = &signed.statement.act else {
        return Err(people::wrong_act());
    };
    let hash = Argon2::default()
        .hash_password_with_salt(token.secret.as_bytes(), &token.salt)
        .map_err(|error| Error::Invalid(format!("the token cannot be hashed: {error}")))?;
    let _turn = turn();
    people::administrator(project, signed, "make a token")?;
    let user = people::find(project, user.as_str())?;
    if *id != token.id {
        return Err(people::refused("it names another token".to_owned()));
    }
    if *expires_ms <= project.actor().at_ms {
        return Err(people::refused("the token would have expired already".to_owned()));
    }
    let token = Token {
        id: id.clone(),
        user: user.name,
        grants: grants.iter().cloned().collect(),
        created_ms: signed.statement.at_ms,
        expires_ms: *expires_ms,
        revoked_ms: None,
        hash: Some(hash.to_string()),
    };
    put(project, &token, signed)?;
    Ok(Token { hash: None, ..token })
}

/// Revokes the token of an [`Act::RevokeToken`]: its user may, and administrators.
///
/// # Errors
/// There is no such token, or it is somebody else's.
pub fn revoke(project: &Project, signed: &Signed) -> Result<Token> {
    let _turn = turn();
    let Act::RevokeToken { id } = &signed.statement.act else { return Err(people::wrong_act()) };
    let missing = || Error::Invalid(format!("there is no token `{id}`; `stagewright token list` lists them"));
    let mut token = find(project, id)?.ok_or_else(missing)?;
    if people::speaker(project, signed)?.name != token.user {
        people::administrator(project, signed, "revoke another user's token")?;
    }
    token.revoked_ms = Some(signed.statement.at_ms);
    put(project, &token, signed)?;
    Ok(Token { hash: None, ..token })
}

/// Every token, without its hash.
///
/// # Errors
/// The ledger cannot be read.
pub fn list(project: &Project) -> Result<Vec<Token>> {
    let records = project.store.ledger()?.records(TOKENS, usize::MAX, false)?;
    records.iter().map(|(_, bytes)| read(bytes).map(|token| Token { hash: None, ..token })).collect()
}

fn find(project: &Project, id: &str) -> Result<Option<Token>> {
    project.store.ledger()?.record(TOKENS, id.as_bytes())?.map(|bytes| read(&bytes)).transpose()
}

fn read(bytes: &[u8]) -> Result<Token> {
    canonical::from_slice(bytes).map_err(|error| Error::Invalid(format!("the record of a token is damaged: {error}")))
}

fn put(project: &Project, token: &Token, signed: &Signed) -> Result<()> {
    let mut transaction = project.store.ledger()?.begin(&people::actor(project, signed))?;
    transaction.put_record(TOKENS, token.id.as_bytes(), &canonical::to_vec(token))?;
    transaction.audit(people::audited(signed));
    transaction.commit()?;
    Ok(())
}

/// Whose token this is and what it allows, at this time. None for anything that is no good: unknown, wrong, expired,
/// revoked, or of a user who was removed; which of them is nobody's business. Takes as long in each case.
///
/// # Errors
/// The ledger cannot be read.
pub fn authenticate(project: &Project, text: &str, now_ms: u64) -> Result<Option<Principal>> {
    match verified(project, text)? {
        Some(id) => current(project, &id, now_ms),
        None => Ok(None),
    }
}

/// The public part of a token that was once given out, good or not; none for anything else. Takes as long in each case.
///
/// # Errors
/// The ledger cannot be read.
pub fn verified(project: &Project, text: &str) -> Result<Option<String>> {
    let parts = text.strip_prefix(PREFIX).and_then(|rest| rest.split_once('_'));
    let token = match parts {
        // Keys of any length may be asked for; ids have 16 digits.
        Some((id, _)) if id.len() == 16 => find(project, id)?,
        _ => None,
    };
    let secret = parts.map_or("", |(_, secret)| secret);
    let hash = token.as_ref().and_then(|token| token.hash.as_deref()).unwrap_or(NOBODY);
    let verified =
        PasswordHash::new(hash).is_ok_and(|hash| Argon2::default().verify_password(secret.as_bytes(), &hash).is_ok());
    Ok(token.filter(|_| verified).map(|token| token.id))
}

/// Why a token that was [verified] is no longer good, for whoever has it.
///
/// # Errors
/// The ledger cannot be read.
pub fn lapsed(project: &Project, id: &str, now_ms: u64) -> Result<&'static str> {
    Ok(match find(project, id)? {
        None => "this token is not kept any more",
        Some(token) if token.revoked_ms.is_some() => "this token was revoked",
        Some(token) if now_ms >= token.expires_ms => "this token has expired",
        Some(_) => "the user of this token was removed",
    })
}

/// What a token that was [verified] before allows at this time, by its public part. None once it has expired, was
/// revoked, or lost its user.
///
/// # Errors
/// The ledger cannot be read.
pub fn current(project: &Project, id: &str, now_ms: u64) -> Result<Option<Principal>> {
    let token = find(project, id)?;
    let Some(token) = token.filter(|token| token.revoked_ms.is_none() && now_ms < token.expires_ms) else {
        return Ok(None);
    };
    match people::find(project, token.user.as_str()) {
        Ok(_) => {}
        Err(Error::Refused(Refusal::NoUser(_))) => return Ok(None),
        Err(error) => return Err(error),
    }
    Ok(Some(Principal { user: token.user, token: token.id, scopes: token.grants, expires_ms: token.expires_ms }))
}

/// A hash that no token has, verified in place of one that is not there. With the parameters of `Argon2::default()`.
const NOBODY: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grants_read_back_what_they_printed_and_other_text_is_refused() {
        for text in ["predict", "read:data", "write:code", "approve:models", "admin:ledger"] {
            assert_eq!(text.parse::<Grant>().unwrap().to_string(), text);
        }
        for text in ["", "Predict", "read:", "read:income", "read:data:x", ":data"] {
            assert!(text.parse::<Grant>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_principal_may_do_what_was_granted_where_it_was_granted() {
        let scopes = ["predict:models", "read"].iter().map(|text| text.parse().unwrap()).collect();
        let principal = Principal { user: "ada".parse().unwrap(), token: "x".into(), scopes, expires_ms: 0 };
        assert!(principal.may(Scope::Predict, "models") && !principal.may(Scope::Predict, "data"));
        assert!(principal.may(Scope::Read, "ledger") && !principal.may(Scope::Write, "ledger"));
    }

    #[test]
    fn the_hash_of_nobody_costs_what_a_real_one_costs() {
        let real = Argon2::default().hash_password_with_salt(b"x", &[0; 16]).unwrap().to_string();
        let parameters = |hash: &str| hash.split('$').nth(3).map(str::to_owned);
        assert_eq!(parameters(NOBODY), parameters(&real));
        assert!(PasswordHash::new(NOBODY).is_ok());
    }

    #[test]
    fn a_new_token_does_not_show_its_secret_by_accident() {
        let token = NewToken::new([5; 56]);
        assert!(!format!("{token:?}").contains(&token.secret));
        assert!(token.text().starts_with("sw_0505050505050505_05"));
    }
}
