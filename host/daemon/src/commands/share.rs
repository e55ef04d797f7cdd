//! `plugin keygen`, `sign`, `pack`, `push`, `pull`: plugins between people and machines.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::json;
use stagewright::{
    Project, code,
    file::Settings,
    runtime::{Limits, WorkerPool},
};
use stagewright_core::{Name, VersionRef, record::PluginRecord};
use stagewright_sharing::{
    Agent, Artifact, Credentials, Lock, MOST_BYTES, Obtained, PublicKey, Reference, Registry, SharingError, Signature,
    Source, Standing, Trust, archive,
    obtain::{self, obtain, signature_file},
    signature::{self, Protection, SigningKey},
};

use super::Context;
use crate::{
    args::share::{Demands, Password, ShareCommand},
    failure::{CANNOT, Failure, NOT_VERIFIED, WRONG_INPUT},
    surroundings, text,
};

/// The longest that one request may take: a large component over a slow line.
pub(crate) const TIME: Duration = Duration::from_secs(600);
/// No key's file is larger.
const KEY_BYTES: u64 = 64 << 10;

pub(crate) fn dispatch(context: &Context, command: ShareCommand) -> Result<(), Failure> {
    match command {
        ShareCommand::Keygen { file, password, unencrypted } => keygen(context, &file, &password, unencrypted),
        ShareCommand::Sign { files, key, password } => sign(context, &files, &key, &password),
        ShareCommand::Pack { plugin, output } => pack(context, &plugin, output),
        ShareCommand::Push { reference, plugin } => push(context, &reference, &plugin),
        ShareCommand::Pull { reference, output, demands } => pull(context, &reference, output, &demands),
    }
}

fn keygen(context: &Context, file: &Path, password: &Password, unencrypted: bool) -> Result<(), Failure> {
    let public = with_ending(file, ".pub");
    for file in [file, public.as_path()] {
        // Nobody overwrites a key by mistake.
        if file.exists() {
            return Err(Failure::new(WRONG_INPUT, format!("{} exists already", file.display())));
        }
    }
    let protection = match unencrypted {
        true => Protection::Unencrypted,
        false => Protection::Password(password_of(password, Ask::Twice)?),
    };
    let new = signature::generate(&protection)?;
    write_secret(file, new.secret.as_bytes()).map_err(|error| cannot_write(file, &error))?;
    write(&public, new.public.as_bytes())?;
    let (line, id) = (new.key.to_base64(), new.key.id());
    context.print(&json!({ "secret": file, "public": public, "key": line, "id": id }), |_| {
        format!(
            "{}: the key {id}; keep it to yourself\n{}: its public half; give it away\n  {line}\n",
            file.display(),
            public.display(),
        )
    })
}

fn sign(context: &Context, files: &[PathBuf], key: &Path, password: &Password) -> Result<(), Failure> {
    let what = key.display().to_string();
    let text = text_of(obtain::read(key, KEY_BYTES)?, key)?;
    let protection = match signature::is_encrypted(&what, &text)? {
        true => Protection::Password(password_of(password, Ask::Once)?),
        false => Protection::Unencrypted,
    };
    let key = SigningKey::parse(&what, &text, &protection)?;
    let mut signed = Vec::new();
    for file in files {
        let component = obtain::read(file, MOST_BYTES)?;
        let name = file.file_name().unwrap_or(file.as_os_str()).to_string_lossy();
        let signature = key.sign(&component, &name, context.surroundings.clock.now_ms() / 1000)?;
        let beside = signature_file(file);
        write(&beside, signature.text().as_bytes())?;
        signed.push(json!({ "file": file, "signature": beside, "key": signature.key_id() }));
    }
    context.print(&signed, |_| files.iter().map(|file| format!("{}\n", signature_file(file).display())).collect())
}

fn pack(context: &Context, plugin: &str, output: Option<PathBuf>) -> Result<(), Failure> {
    let shared = named(context, plugin)?;
    let artifact = shared.artifact();
    let file = output.unwrap_or_else(|| format!("{}{}", shared.name, archive::ENDING).into());
    let bytes = archive::pack(&artifact);
    write(&file, &bytes)?;
    let answer =
        json!({ "file": file, "bytes": bytes.len(), "manifest": artifact.digest(), "signed_by": shared.key() });
    context.print(&answer, |_| {
        format!("{}\n  {}, {}\n", file.display(), text::size(bytes.len() as u64), shared.signed_text())
    })
}

fn push(context: &Context, reference: &str, plugin: &str) -> Result<(), Failure> {
    let reference: Reference = reference.parse()?;
    let shared = named(context, plugin)?;
    let artifact = shared.artifact();
    let agent = Agent::new(TIME)?;
    let manifest = Registry::new(&agent, &reference, &logins()?)?.push(&artifact)?;
    let answer = json!({ "reference": reference.to_string(), "manifest": manifest, "signed_by": shared.key() });
    context.print(&answer, |_| format!("{reference}\n  {manifest}\n  {}\n", shared.signed_text()))
}

fn pull(context: &Context, reference: &str, output: Option<PathBuf>, demands: &Demands) -> Result<(), Failure> {
    let reference: Reference = reference.parse()?;
    let source = Source::Registry(reference);
    let settings = Project::settings(context.root())?;
    let trust = trust(context, &settings, demands)?;
    let Obtained { component, signature, manifest } = obtain(&source, &logins()?, TIME)?;
    let what = source.to_string();
    let standing = trust.judge(&what, &component, signature.as_ref()).map_err(SharingError::from)?;
    let name: Name = source.stem().parse()?;
    if !demands.update {
        let digest = stagewright_core::Digest::of(&component);
        Lock::read(context.root())?.check(&name, &digest, &what)?;
    }
    // What is written is a plugin, so that nothing else comes to lie under the name of one.
    let (_, plugin) = code::inspect(&pool(context), &Limits::default(), component.clone(), &what)?;
    let file = output.unwrap_or_else(|| format!("{name}.wasm").into());
    write(&file, &component)?;
    let beside = signature_file(&file);
    match &signature {
        Some(signature) => write(&beside, signature.text().as_bytes())?,
        // Another component's signature must not lie beside this one.
        None if beside.exists() => fs::remove_file(&beside).map_err(|error| cannot_write(&beside, &error))?,
        None => {}
    }
    let answer = json!({
        "file": file, "digest": plugin.digest, "manifest": manifest,
        "signature": standing_text(&standing), "exports": code::kinds(&plugin),
    });
    context.print(&answer, |_| {
        format!(
            "{}\n  {}, {}\n  {}\n  digest {}\n",
            file.display(),
            code::kinds(&plugin),
            text::size(plugin.bytes),
            standing_text(&standing),
            plugin.digest
        )
    })
}

/// A plugin that is about to be shared.
struct Shared {
    name: Name,
    plugin: PluginRecord,
    component: Vec<u8>,
    signature: Option<Signature>,
}

impl Shared {
    fn artifact(&self) -> Artifact {
        let signature = self.signature.as_ref().map(Signature::text);
        Artifact::new(self.name.as_str(), &self.plugin, self.component.clone(), signature)
    }

    fn key(&self) -> Option<String> {
        self.signature.as_ref().map(Signature::key_id)
    }

    fn signed_text(&self) -> String {
        self.key().map_or_else(|| "not signed".to_owned(), |key| format!("signed by the key {key}"))
    }
}

/// The plugin in a file, or a version of the project.
fn named(context: &Context, plugin: &str) -> Result<Shared, Failure> {
    let path = Path::new(plugin);
    if path.is_file() || plugin.ends_with(".wasm") || plugin.ends_with(archive::ENDING) {
        let source = Source::File(path.to_owned());
        let Obtained { component, signature, .. } = obtain(&source, &Credentials::default(), TIME)?;
        let (_, record) = code::inspect(&pool(context), &Limits::default(), component.clone(), plugin)?;
        return Ok(Shared { name: source.stem().parse()?, plugin: record, component, signature });
    }
    let wanted: VersionRef = plugin.parse()?;
    let project = context.read()?;
    let (version, record) = code::plugin(&project, &wanted)?;
    let component = project.store.code()?.bytes(&version.digest)?;
    let signature = code::signature(&project, &version.digest)?;
    let signature = signature.map(|text| Signature::parse(plugin, &text)).transpose()?;
    Ok(Shared { name: version.name, plugin: record, component, signature })
}

/// Whom a command trusts: whom the project trusts, or only those that the command line names.
pub(crate) fn trust(context: &Context, settings: &Settings, demands: &Demands) -> Result<Trust, Failure> {
    let key = |text: &String| -> Result<PublicKey, Failure> {
        let path = context.path(Path::new(text))?;
        if path.at().is_file() {
            return Ok(PublicKey::parse(text, &text_of(obtain::read(path.at(), KEY_BYTES)?, path.given())?)?);
        }
        Ok(PublicKey::parse(text, text)?)
    };
    let keys = |texts: &[String]| texts.iter().map(key).collect::<Result<Vec<_>, _>>();
    match demands.signed_by.is_empty() {
        false => Ok(Trust { require_signature: true, keys: keys(&demands.signed_by)? }),
        true => Ok(Trust { require_signature: settings.trust.require_signature, keys: keys(&settings.trust.keys)? }),
    }
}

/// How a plugin stands, in words.
pub(crate) fn standing_text(standing: &Standing) -> String {
    match standing {
        Standing::Signed { key, .. } => format!("signed by the trusted key {key}"),
        Standing::Unknown { key } => format!("signed by {key}, a key that this project does not know: not checked"),
        Standing::Unsigned => "not signed".to_owned(),
    }
}

/// What registries know this user by.
pub(crate) fn logins() -> Result<Credentials, Failure> {
    Ok(match surroundings::registry_logins() {
        Some(file) => Credentials::read(&file)?,
        None => Credentials::default(),
    })
}

fn pool(context: &Context) -> WorkerPool {
    WorkerPool::new(context.worker(), 1, super::trial::cache(context))
}

/// How often the terminal is asked for a password.
#[derive(Clone, Copy, PartialEq)]
enum Ask {
    Once,
    Twice,
}

fn password_of(password: &Password, ask: Ask) -> Result<String, Failure> {
    if let Some(file) = &password.password_file {
        let text = text_of(obtain::read(file, KEY_BYTES)?, file)?;
        return Ok(text.lines().next().unwrap_or_default().to_owned());
    }
    let prompt = |text: &str| {
        rpassword::prompt_password(text).map_err(|_| {
            let problem = "there is no terminal to ask for the key's password; name a file with --password-file";
            Failure::new(WRONG_INPUT, problem)
        })
    };
    let first = prompt("Password of the key: ")?;
    if ask == Ask::Twice && prompt("Once more: ")? != first {
        return Err(Failure::new(WRONG_INPUT, "these were two different passwords"));
    }
    Ok(first)
}

fn text_of(bytes: Vec<u8>, file: &Path) -> Result<String, Failure> {
    String::from_utf8(bytes).map_err(|_| Failure::new(WRONG_INPUT, format!("{} is no text", file.display())))
}

fn with_ending(file: &Path, ending: &str) -> PathBuf {
    let mut path = file.as_os_str().to_owned();
    path.push(ending);
    path.into()
}

fn write(file: &Path, bytes: &[u8]) -> Result<(), Failure> {
    fs::write(file, bytes).map_err(|error| cannot_write(file, &error))
}

/// A new file that nobody else can read.
fn write_secret(file: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(file)?.write_all(bytes)
}

fn cannot_write(file: &Path, error: &std::io::Error) -> Failure {
    Failure::new(CANNOT, format!("cannot write {}: {error}", file.display()))
}

impl From<SharingError> for Failure {
    fn from(error: SharingError) -> Self {
        let code = match &error {
            SharingError::Address { .. }
            | SharingError::Insecure(_)
            | SharingError::NotMinisign { .. }
            | SharingError::Key { .. }
            | SharingError::LockFile { .. } => WRONG_INPUT,
            SharingError::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound => WRONG_INPUT,
            SharingError::Digest { .. } | SharingError::Locked(_) | SharingError::Untrusted(_) => NOT_VERIFIED,
            _ => CANNOT,
        };
        Self { code, error: Some(error.into()) }
    }
}
