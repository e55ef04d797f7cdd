//! The world outside: the clock, the user, the machine. The only place that looks at it.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use stagewright::{Clock, Surroundings};

use crate::world::Outside;

struct SystemClock(Instant);

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is where time enters")]
    fn now_ms(&self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }

    fn steady(&self) -> Duration {
        self.0.elapsed()
    }
}

/// The one word that this program is given to run stages for another process of it.
pub(crate) const WORKER: &str = "worker";

/// What the machine gives every command.
pub(crate) fn of_this_machine(author: Option<&str>) -> std::io::Result<Surroundings> {
    let program = std::env::current_exe()?;
    Ok(Surroundings {
        clock: Arc::new(SystemClock(Instant::now())),
        author: author.map_or_else(user, str::to_owned),
        worker: vec![program.into_os_string(), WORKER.into()],
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        world: Arc::new(Outside(SystemClock(Instant::now()))),
    })
}

/// Where compiled code is kept: in the project, where there is one, else in the user's cache. None where there is
/// neither: what is loaded from there is trusted, so that no folder will do to which others may write.
#[expect(clippy::disallowed_methods, reason = "this is where the environment enters")]
pub(crate) fn compiled(project: &Path) -> Option<std::path::PathBuf> {
    let store = project.join(stagewright::project::STORE_DIRECTORY);
    if store.is_dir() {
        return Some(store.join("cache/compiled"));
    }
    let folder = |name: &str| std::env::var_os(name).map(std::path::PathBuf::from).filter(|path| path.is_absolute());
    let cache = folder("XDG_CACHE_HOME").or_else(|| folder("HOME").map(|home| home.join(".cache")));
    Some(cache?.join("stagewright/compiled"))
}

/// The file that `docker login` and its like write, as they agree on where it is.
#[expect(clippy::disallowed_methods, reason = "this is where the environment enters")]
pub(crate) fn registry_logins() -> Option<std::path::PathBuf> {
    let path = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(std::path::PathBuf::from);
    path("REGISTRY_AUTH_FILE")
        .or_else(|| path("DOCKER_CONFIG").map(|folder| folder.join("config.json")))
        .or_else(|| path("HOME").map(|home| home.join(".docker/config.json")))
}

/// Where other languages' tools may be.
#[expect(clippy::disallowed_methods, reason = "this is where the environment enters")]
pub(crate) fn toolbox() -> stagewright_workshop::build::Toolbox {
    let path = std::env::var_os("PATH").unwrap_or_default();
    stagewright_workshop::build::Toolbox {
        path: std::env::split_paths(&path).collect(),
        home: std::env::var_os("HOME").map(std::path::PathBuf::from),
        cargo_target: std::env::var_os("CARGO_TARGET_DIR").map(std::path::PathBuf::from),
    }
}

/// Who the user of this machine is, as the environment says.
#[expect(clippy::disallowed_methods, reason = "this is where the environment enters")]
pub(crate) fn user() -> String {
    let named = ["STAGEWRIGHT_AUTHOR", "USER", "LOGNAME"].iter().find_map(|name| std::env::var(name).ok());
    named.filter(|name| !name.is_empty()).unwrap_or_else(|| "unknown".to_owned())
}

/// Where users keep their private keys: in their own configuration folder, outside of every project.
#[expect(clippy::disallowed_methods, reason = "this is where the environment enters")]
pub(crate) fn keys() -> Option<std::path::PathBuf> {
    let folder = |name: &str| std::env::var_os(name).map(std::path::PathBuf::from).filter(|path| path.is_absolute());
    let configuration = folder("XDG_CONFIG_HOME").or_else(|| folder("HOME").map(|home| home.join(".config")));
    Some(configuration?.join("stagewright/keys"))
}

/// Random bytes, from the operating system.
pub(crate) fn random<const BYTES: usize>() -> std::io::Result<[u8; BYTES]> {
    let mut bytes = [0; BYTES];
    getrandom::fill(&mut bytes).map_err(|error| std::io::Error::other(error.to_string()))?;
    Ok(bytes)
}

/// The directory of a project, as the command line or the current directory say.
pub(crate) fn project(given: Option<&Path>) -> std::io::Result<std::path::PathBuf> {
    match given {
        // As found from within, so that messages are the same.
        Some(directory) => Ok(directory.canonicalize().unwrap_or_else(|_| directory.to_owned())),
        None => {
            let here = std::env::current_dir()?;
            Ok(stagewright::Project::find(&here).unwrap_or(here))
        }
    }
}
