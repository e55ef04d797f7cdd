//! Granted calls: asked of the world once, kept with the run, and told again when the run is verified.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use stagewright_core::{Digest, Grants, canonical};
use stagewright_runtime::grants::{Exchange, Granted, GrantedCall, Live, Recorded};

use crate::{
    error::{Error, Result},
    project::{Project, STORE_DIRECTORY},
};

/// Keeps the granted calls of one step, as they are answered.
pub(crate) struct Keeper<'a> {
    project: &'a Project,
    kept: Mutex<(Vec<GrantedCall>, Option<Error>)>,
}

impl<'a> Keeper<'a> {
    pub(crate) fn new(project: &'a Project) -> Self {
        Self { project, kept: Mutex::default() }
    }

    pub(crate) fn keep(&self, exchange: &Exchange) {
        let body = |bytes: &[u8]| -> Result<Option<Digest>> {
            if bytes.is_empty() {
                return Ok(None);
            }
            let ledger = self.project.store.ledger()?;
            crate::execute::put(ledger, self.project, |transaction| transaction.put_bytes(bytes)).map(Some)
        };
        let call = || -> Result<GrantedCall> {
            Ok(GrantedCall {
                request: exchange.request.clone(),
                sent: body(&exchange.body)?,
                answer: exchange.answer.result.clone(),
                received: body(&exchange.answer.body)?,
            })
        };
        let call = call();
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        match call {
            Ok(call) => kept.0.push(call),
            Err(error) => kept.1 = Some(error),
        }
    }

    /// The artifact of all calls; none where there were none.
    ///
    /// # Errors
    /// A call could not be kept: what came of it must not be used.
    pub(crate) fn finish(self) -> Result<Option<Digest>> {
        let (calls, failed) = self.kept.into_inner().unwrap_or_else(PoisonError::into_inner);
        if let Some(error) = failed {
            return Err(error);
        }
        if calls.is_empty() {
            return Ok(None);
        }
        let bodies: Vec<Digest> = calls.iter().flat_map(GrantedCall::bodies).collect();
        let bytes = canonical::to_vec(&calls);
        let ledger = self.project.store.ledger()?;
        crate::execute::put(ledger, self.project, |transaction| transaction.put_referencing(&bytes, &bodies)).map(Some)
    }
}

/// The granted calls of a step.
///
/// # Errors
/// There are none of this digest, or they are damaged.
pub fn calls(project: &Project, digest: &Digest) -> Result<Vec<GrantedCall>> {
    canonical::from_slice(&project.store.ledger()?.bytes(digest)?)
        .map_err(|error| Error::Invalid(format!("artifact {digest} is no list of granted calls: {error}")))
}

/// The same with their bodies, to be told again.
pub(crate) fn exchanges(project: &Project, digest: &Digest) -> Result<Vec<Exchange>> {
    let ledger = project.store.ledger()?;
    let calls = calls(project, digest)?.into_iter();
    calls.map(|call| call.exchange(|digest| Ok(ledger.bytes(digest)?))).collect()
}

/// Has calls answered by the world, within what the operator allows now.
pub(crate) fn live(project: &Project, grants: &Grants) -> Result<Granted> {
    let allowed = &project.settings.allowed;
    if let Some(beyond) = grants.beyond(&allowed.grants) {
        return Err(Error::Invalid(format!("stagewright.toml does not allow {beyond}")));
    }
    for folder in grants.files.values() {
        grantable(&project.root, &folder.path).map_err(Error::Invalid)?;
    }
    let certificates = allowed.certificates.as_ref().map(|path| {
        let path = project.root.join(path);
        fs::read(&path).map_err(|source| Error::io("cannot read", &path, source))
    });
    let world = Arc::clone(&project.surroundings.world);
    let live = Live::new(grants.clone(), project.root.clone(), world, project.settings.output)
        .with_certificates(certificates.transpose()?);
    Ok(Granted { grants: grants.clone(), outside: Arc::new(live) })
}

/// Has calls answered as they were before.
pub(crate) fn recorded(grants: &Grants, exchanges: Vec<Exchange>) -> Granted {
    Granted { grants: grants.clone(), outside: Arc::new(Recorded::new(exchanges)) }
}

/// Whether a folder that the operator names can be granted: it must be there, and must not show the store.
pub(crate) fn grantable(root: &Path, path: &str) -> std::result::Result<(), String> {
    let real = |path: PathBuf| path.canonicalize();
    let folder = real(root.join(path)).map_err(|error| format!("`{path}` cannot be opened: {error}"))?;
    if !folder.is_dir() {
        return Err(format!("`{path}` is no folder"));
    }
    match real(root.join(STORE_DIRECTORY)) {
        Ok(store) if store.starts_with(&folder) || folder.starts_with(&store) => {
            Err(format!("`{path}` holds or lies in {STORE_DIRECTORY}, which no stage may see"))
        }
        _ => Ok(()),
    }
}
