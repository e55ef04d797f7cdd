//! A project: a directory with settings, four repositories and a cache.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use stagewright_core::Digest;
use stagewright_runtime::{Component, DirCache, Limits, WorkerPool, grants::World};
use stagewright_store::{Access, Actor, Hooks, Store};

use crate::{
    error::{Error, Result},
    file::Settings,
    lease::Leases,
};

/// The settings' file.
pub const SETTINGS_FILE: &str = "stagewright.toml";
/// The directory of everything that is stored.
pub const STORE_DIRECTORY: &str = ".stagewright";

/// In the store's directory, the socket of the daemon that holds the project, where there is one.
pub const DAEMON_SOCKET: &str = "daemon.sock";

/// Where time comes from: the daemon passes the system's, a test its own.
pub trait Clock: Send + Sync {
    /// Milliseconds since 1970-01-01T00:00:00Z.
    fn now_ms(&self) -> u64;
    /// Time that never runs backwards, from any start.
    fn steady(&self) -> Duration;
}

/// What a project is given by its surroundings.
#[derive(Clone)]
pub struct Surroundings {
    /// Where time comes from.
    pub clock: Arc<dyn Clock>,
    /// Who acts.
    pub author: String,
    /// The command that runs a worker process.
    pub worker: Vec<OsString>,
    /// Stages at once, where the settings do not say.
    pub cores: usize,
    /// This program's version.
    pub version: String,
    /// The world outside, as far as stages may be granted it.
    pub world: Arc<dyn World>,
}

/// An open project. Cloning it is cheap; the last clone closes it.
#[derive(Clone)]
pub struct Project {
    /// Its directory.
    pub root: PathBuf,
    /// Its settings.
    pub settings: Settings,
    /// Its repositories.
    pub store: Store,
    pub(crate) surroundings: Surroundings,
    pub(crate) pool: Arc<WorkerPool>,
    pub(crate) leases: Leases,
    deciding: Arc<Mutex<()>>,
    /// Whoever serves its endpoints in this process.
    pub followers: Arc<crate::deploy::Followers>,
    /// Held while a log of predictions is appended to or sealed.
    appending: Arc<Mutex<()>>,
}

impl Project {
    /// The nearest directory upward from `start` that holds a project.
    pub fn find(start: &Path) -> Option<PathBuf> {
        start.ancestors().find(|directory| directory.join(SETTINGS_FILE).is_file()).map(Path::to_owned)
    }

    /// Makes a project in a directory, which is made if need be. Settings and repositories that are there already are
    /// kept. Returns the names of the repositories that were made.
    ///
    /// # Errors
    /// There is a whole project already, or the operating system refuses.
    pub fn create(root: &Path, name: &str, surroundings: &Surroundings) -> Result<Vec<&'static str>> {
        let settings = root.join(SETTINGS_FILE);
        let write = || -> std::io::Result<()> {
            fs::create_dir_all(root.join("pipelines"))?;
            if !settings.exists() {
                fs::write(&settings, Settings::TEMPLATE.replace("PROJECT", &name.escape_default().to_string()))?;
            }
            Ok(())
        };
        write().map_err(|source| Error::io("cannot write", root, source))?;
        let actor = Actor { who: surroundings.author.clone(), at_ms: surroundings.clock.now_ms() };
        let made = Store::create(&root.join(STORE_DIRECTORY), &actor)?;
        if made.is_empty() { Err(Error::Exists(root.display().to_string())) } else { Ok(made) }
    }

    /// Opens the project in a directory.
    ///
    /// # Errors
    /// There is none, its settings are wrong, or a repository cannot be opened.
    pub fn open(root: &Path, access: Access, surroundings: &Surroundings, progress: &dyn Fn(&str)) -> Result<Self> {
        Self::open_with(root, access, surroundings, progress, |_| ())
    }

    /// Opens the project in a directory to run stages: a worker process starts meanwhile.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_to_run(root: &Path, surroundings: &Surroundings, progress: &dyn Fn(&str)) -> Result<Self> {
        Self::open_with(root, Access::Write, surroundings, progress, WorkerPool::warm)
    }

    fn open_with(
        root: &Path,
        access: Access,
        surroundings: &Surroundings,
        progress: &dyn Fn(&str),
        prepare: impl FnOnce(&WorkerPool),
    ) -> Result<Self> {
        let settings = Self::settings(root)?;
        let directory = root.join(STORE_DIRECTORY);
        if !directory.is_dir() {
            return Err(Error::NoProject(root.display().to_string()));
        }
        let pool = Arc::new(Self::pool_with(&settings, surroundings, DirCache::new(compiled(root))));
        prepare(&pool);
        let store = Store::open(&directory, access, Hooks { progress: Some(progress), ..Hooks::default() });
        Ok(Self {
            root: root.to_owned(),
            settings,
            store,
            surroundings: surroundings.clone(),
            pool,
            leases: Leases::default(),
            deciding: Arc::default(),
            followers: Arc::default(),
            appending: Arc::default(),
        })
    }

    /// Brings a project that is open to change it up to date: the settings are read again, and repositories that were
    /// missing, replaced or unusable are opened again. For whoever keeps a project open for long.
    ///
    /// # Errors
    /// The settings are wrong now.
    pub fn refresh(&mut self, progress: &dyn Fn(&str)) -> Result<()> {
        let settings = Self::settings(&self.root)?;
        if settings.workers != self.settings.workers {
            let cache = DirCache::new(compiled(&self.root));
            self.pool = Arc::new(Self::pool_with(&settings, &self.surroundings, cache));
        }
        self.settings = settings;
        let hooks = Hooks { progress: Some(progress), ..Hooks::default() };
        self.store.refresh(&self.root.join(STORE_DIRECTORY), Access::Write, hooks);
        Ok(())
    }

    /// The same project, changed by somebody else.
    #[must_use]
    pub fn by(&self, author: &str) -> Self {
        let mut project = self.clone();
        author.clone_into(&mut project.surroundings.author);
        project
    }

    /// Held by whoever reads something, decides, and commits what was decided, so that another command of this process
    /// does not come between. Not for long work.
    pub fn deciding(&self) -> MutexGuard<'_, ()> {
        self.deciding.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A project's settings.
    ///
    /// # Errors
    /// They cannot be read, or are wrong.
    pub fn settings(root: &Path) -> Result<Settings> {
        let path = root.join(SETTINGS_FILE);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(Error::io("cannot read", &path, error)),
        };
        Ok(Settings::parse(&path.display().to_string(), &text)?)
    }

    fn pool_with(settings: &Settings, surroundings: &Surroundings, cache: DirCache) -> WorkerPool {
        let size = settings.workers.unwrap_or(surroundings.cores).max(1);
        WorkerPool::new(surroundings.worker.clone(), size, Arc::new(cache))
    }

    /// Workers that have nothing compiled yet, so that nothing kept can influence what they do.
    pub(crate) fn fresh_pool(&self, directory: &Path) -> WorkerPool {
        Self::pool_with(&self.settings, &self.surroundings, DirCache::new(directory))
    }

    /// Waits for its turn to change a log of predictions.
    pub(crate) fn appending(&self) -> MutexGuard<'_, ()> {
        self.appending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many stages run at once.
    pub fn width(&self) -> usize {
        self.settings.workers.unwrap_or(self.surroundings.cores).max(1)
    }

    /// What a stage may use.
    pub fn limits(&self) -> Limits {
        Limits {
            memory_bytes: self.settings.memory,
            time: self.settings.time,
            output_bytes: self.settings.output,
            log_bytes: self.settings.log,
            value_bytes: self.settings.value,
            compile_time: self.settings.compile_time,
            compile_memory_bytes: self.settings.compile_memory,
            ..Limits::default()
        }
    }

    /// Where time comes from.
    pub fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.surroundings.clock)
    }

    /// Whoever acts, now.
    pub fn actor(&self) -> Actor {
        Actor { who: self.surroundings.author.clone(), at_ms: self.surroundings.clock.now_ms() }
    }

    /// A component of the code repository; its bytes are read, and verified, where it has to be compiled.
    ///
    /// # Errors
    /// There is none.
    pub(crate) fn component(&self, digest: &Digest) -> Result<Component> {
        let code = self.store.code()?;
        if !code.contains(digest)? {
            code.bytes(digest)?;
        }
        let (store, digest) = (self.store.clone(), *digest);
        Ok(Component::kept(digest, move || Ok(store.code()?.bytes(&digest)?)))
    }

    /// Starts a worker process for stages that are about to run, and does not wait for it.
    pub fn warm(&self) {
        self.pool.warm();
    }
}

/// Where a project keeps compiled components.
fn compiled(root: &Path) -> PathBuf {
    root.join(STORE_DIRECTORY).join("cache/compiled")
}
