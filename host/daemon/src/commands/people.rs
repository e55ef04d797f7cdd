//! `user add`, `list`, `remove`, `key`; `token create`, `list`, `revoke`.

use std::{
    io::Write as _,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::json;
use stagewright::{
    Project,
    governance::{
        Act, NewToken, PrivateKey, Signed, access,
        people::{self, ADMINISTRATOR},
    },
    store::StoreError,
};
use stagewright_core::Name;

use super::Context;
use crate::{
    args::{Signer, TokenCommand, UserCommand},
    failure::{CANNOT, Failure, WRONG_INPUT},
    surroundings,
    text::{Columns, time},
};

/// A command that only notes what somebody said waits so long for another that writes.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) fn users(context: &Context, command: UserCommand) -> Result<(), Failure> {
    match command {
        UserCommand::Add { name, roles, public_key, signer } => {
            let name: Name = name.parse()?;
            let project = write_in_turn(context)?;
            let roles: Vec<Name> = roles.iter().map(|role| role.parse()).collect::<Result<_, _>>()?;
            let first = people::list(&project)?.is_empty();
            if first && !roles.iter().any(|role| role.as_str() == ADMINISTRATOR) {
                let message = format!("the first user has to be an administrator: add `--role {ADMINISTRATOR}`");
                return Err(Failure::new(WRONG_INPUT, message));
            }
            let (key, made) = match public_key {
                Some(key) => (key.parse().map_err(|error| Failure::new(WRONG_INPUT, format!("{error}")))?, None),
                None => {
                    let (key, file) = own_key(&name)?;
                    (key.public(), Some(file))
                }
            };
            // Nobody else could sign for the first user.
            let signer = match (first, signer.user.is_some()) {
                (true, false) => Signer { user: Some(name.to_string()), ..signer },
                _ => signer,
            };
            let signed = sign(context, &project, &signer, Act::AddUser { name, roles, key })?;
            let user = people::add(&project, &signed)?;
            context.print(&json!({ "user": user, "key_file": made }), |_| {
                let roles: Vec<&str> = user.roles.iter().map(Name::as_str).collect();
                let roles = if roles.is_empty() { "no role".to_owned() } else { roles.join(", ") };
                let file = made.as_ref().map(|file| format!("\nthe private key is {}", file.display()));
                format!("added {} ({roles}), key {}{}\n", user.name, user.key, file.unwrap_or_default())
            })
        }
        UserCommand::List => {
            let users = people::list(&context.read()?)?;
            context.print(&users, |users| {
                let mut columns = Columns::new(&["user", "roles", "added (UTC)", "removed (UTC)", "key"]);
                for user in users {
                    columns.row([
                        user.name.to_string(),
                        user.roles.iter().map(Name::as_str).collect::<Vec<_>>().join(", "),
                        time(user.added_ms),
                        user.removed_ms.map(time).unwrap_or_default(),
                        user.key.to_string().chars().take(16).collect(),
                    ]);
                }
                match columns.is_empty() {
                    true => "no users yet; `stagewright user add NAME --role admin` adds the first\n".to_owned(),
                    false => columns.text(),
                }
            })
        }
        UserCommand::Remove { name, signer } => {
            let project = write_in_turn(context)?;
            let signed = sign(context, &project, &signer, Act::RemoveUser { name: name.parse()? })?;
            let user = people::remove(&project, &signed)?;
            context.print(&user, |user| format!("removed {}\n", user.name))
        }
        UserCommand::Key { name } => {
            let (key, file) = own_key(&name.parse()?)?;
            context.print(&json!({ "public_key": key.public(), "key_file": file }), |_| format!("{}\n", key.public()))
        }
    }
}

pub(crate) fn tokens(context: &Context, command: TokenCommand) -> Result<(), Failure> {
    match command {
        TokenCommand::Create { user, scopes, expires, signer } => {
            let wrong = |error: access::NotAGrant| Failure::new(WRONG_INPUT, error.to_string());
            let grants = scopes.iter().map(|scope| scope.parse().map_err(wrong)).collect::<Result<_, _>>()?;
            let user = user.parse()?;
            let project = write_in_turn(context)?;
            let expires_ms = in_future(&project, "expires", &expires)?;
            let new = NewToken::new(random()?);
            let act = Act::CreateToken { id: new.id.clone(), user, grants, expires_ms };
            let signed = sign(context, &project, &signer, act)?;
            let token = access::create(&project, &signed, &new)?;
            context.print(&json!({ "token": new.text(), "about": token }), |_| {
                format!("{}\n(shown this once; it is good until {} UTC)\n", new.text(), time(token.expires_ms))
            })
        }
        TokenCommand::List => {
            let tokens = access::list(&context.read()?)?;
            context.print(&tokens, |tokens| {
                let mut columns =
                    Columns::new(&["token", "user", "allows", "made (UTC)", "until (UTC)", "revoked (UTC)"]);
                for token in tokens {
                    columns.row([
                        token.id.clone(),
                        token.user.to_string(),
                        token.grants.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
                        time(token.created_ms),
                        time(token.expires_ms),
                        token.revoked_ms.map(time).unwrap_or_default(),
                    ]);
                }
                match columns.is_empty() {
                    true => "no tokens yet; `stagewright token create USER --scope predict` makes one\n".to_owned(),
                    false => columns.text(),
                }
            })
        }
        TokenCommand::Revoke { id, signer } => {
            let project = write_in_turn(context)?;
            let signed = sign(context, &project, &signer, Act::RevokeToken { id })?;
            let token = access::revoke(&project, &signed)?;
            context.print(&token, |token| format!("revoked {}\n", token.id))
        }
    }
}

/// A time from now, in milliseconds since 1970.
pub(super) fn in_future(project: &Project, what: &str, text: &str) -> Result<u64, Failure> {
    let wrong = || Failure::new(WRONG_INPUT, format!("--{what} must be a time, for example `12h` or `30d`"));
    let time = stagewright::file::time(text).ok_or_else(wrong)?;
    let milliseconds = u64::try_from(time.as_millis()).map_err(|_| wrong())?;
    project.actor().at_ms.checked_add(milliseconds).ok_or_else(wrong)
}

/// The project, to change it, once whoever is changing it is done: of two who say something at the same time, both are
/// heard.
pub(super) fn write_in_turn(context: &Context) -> Result<Project, Failure> {
    let mut waited = Duration::ZERO;
    loop {
        let project = context.write()?;
        let in_use = [project.store.models(), project.store.ledger()].into_iter().any(|opened| match opened {
            Err(StoreError::NotOpened(why)) => matches!(*why, StoreError::InUse(_)),
            _ => false,
        });
        if !in_use || waited >= PATIENCE {
            return Ok(project);
        }
        // It lets go of what it has, so that two who wait do not wait for each other.
        drop(project);
        let pause = Duration::from_millis(20 + u64::from(std::process::id() % 20));
        std::thread::sleep(pause);
        waited += pause;
    }
}

/// What a user says, signed with the user's key.
pub(super) fn sign(context: &Context, project: &Project, signer: &Signer, act: Act) -> Result<Signed, Failure> {
    let name: Name = signer.user.as_deref().unwrap_or(&context.surroundings.author).parse()?;
    let file = match &signer.key {
        Some(file) => context.path(file)?.at().to_owned(),
        None => key_file(&name)?,
    };
    let key = read_key(&file)?.ok_or_else(|| {
        let file = file.display();
        Failure::new(WRONG_INPUT, format!("`{name}` has no private key here ({file}); `--as USER` says who signs"))
    })?;
    Ok(people::statement(project, name, act)?.sign(&key))
}

fn key_file(name: &Name) -> Result<PathBuf, Failure> {
    let none = || Failure::new(CANNOT, "there is no folder for private keys: set HOME, or name a file with --key");
    Ok(surroundings::keys().ok_or_else(none)?.join(format!("{name}.key")))
}

/// The key of a user of this machine; made where there is none.
fn own_key(name: &Name) -> Result<(PrivateKey, PathBuf), Failure> {
    let file = key_file(name)?;
    if let Some(key) = read_key(&file)? {
        return Ok((key, file));
    }
    let key = PrivateKey::new(random()?);
    let write = || -> std::io::Result<()> {
        let folder = file.parent().unwrap_or(Path::new("."));
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let mut handle = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&file)?;
        handle.write_all(key.to_file().as_bytes())?;
        handle.sync_all()
    };
    write().map_err(|error| Failure::new(CANNOT, format!("cannot write {}: {error}", file.display())))?;
    Ok((key, file))
}

/// None where there is no such file.
fn read_key(file: &Path) -> Result<Option<PrivateKey>, Failure> {
    let told = |what: String| Failure::new(WRONG_INPUT, format!("{}: {what}", file.display()));
    let text = match std::fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(told(format!("cannot be read: {error}"))),
    };
    let mode = std::fs::metadata(file).map_err(|error| told(error.to_string()))?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(told(format!("others may read this private key (mode {:o}); `chmod 600` it", mode & 0o777)));
    }
    PrivateKey::from_file(&text).map(Some).ok_or_else(|| told("this is no private key".to_owned()))
}

fn random<const BYTES: usize>() -> Result<[u8; BYTES], Failure> {
    surroundings::random().map_err(|error| Failure::new(CANNOT, format!("this machine gives no randomness: {error}")))
}
