//! A Rust toolchain that can build plugins, wherever this machine has one.
//!
//! Plugins need the standard library of `wasm32-unknown-unknown`. A toolchain may have it; rustup may be able to
//! fetch it; and where neither is so, a Debian or Ubuntu machine has a compiler with the sources to build it from.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    str::FromStr,
    time::Duration,
};

use anyhow::{Context as _, Error, Result, bail};

use crate::command::{command, foreign, output, run, succeeds_within, variable};

/// What plugins are built for: a component made from it imports nothing but the contract.
pub(crate) const TARGET: &str = "wasm32-unknown-unknown";

/// The oldest compiler that the workspace builds with (`rust-version` in Cargo.toml).
const OLDEST: (u32, u32) = (1, 95);

/// How long rustup may take. Without a network it must not hold up the ways that need none.
const RUSTUP_LIMIT: Duration = Duration::from_secs(90);

const PACKAGES: [&str; 3] = ["rustc-web", "cargo-web", "rust-web-src"];

/// Which toolchain the user asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Choice {
    /// The first that works.
    Any,
    /// The one in use, with rustup's help.
    Rustup,
    /// The distribution's.
    Distribution,
}

impl FromStr for Choice {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "rustup" => Ok(Self::Rustup),
            "distribution" => Ok(Self::Distribution),
            other => bail!("unknown toolchain {other}: write rustup or distribution"),
        }
    }
}

/// A toolchain that builds for [`TARGET`].
#[derive(Debug)]
pub(crate) struct Toolchain {
    /// Its compiler's version.
    pub version: String,
    /// Why this one.
    pub why: &'static str,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    /// The toolchain in use has the target.
    InUse,
    /// The distribution's compiler builds the standard library from source.
    Distribution { cargo: PathBuf, rustc: PathBuf, linker: PathBuf },
}

impl Toolchain {
    /// Finds or installs one, and remembers which in `folder`, since a refusal of rustup's can take a while.
    pub(crate) fn find(choice: Choice, folder: &Path) -> Result<Self> {
        let memory = folder.join("toolchain");
        let mut refusals = Vec::new();
        if choice != Choice::Distribution {
            if has_target(&rustc_in_use()) {
                return Self::in_use("it has the target wasm32-unknown-unknown");
            }
            let rustup_failed_before =
                choice == Choice::Any && fs::read_to_string(&memory).is_ok_and(|text| text == "distribution\n");
            if !rustup_failed_before {
                let mut add = command("rustup");
                if succeeds_within(add.args(["target", "add", TARGET]), RUSTUP_LIMIT) && has_target(&rustc_in_use()) {
                    return Self::in_use("rustup added the target wasm32-unknown-unknown");
                }
            }
            refusals.push("rustup target add wasm32-unknown-unknown: rustup is missing or could not".to_owned());
        }
        if choice != Choice::Rustup {
            match Self::distribution(choice) {
                Ok(found) => {
                    fs::create_dir_all(folder).and_then(|()| fs::write(&memory, "distribution\n"))?;
                    return Ok(found);
                }
                Err(error) => refusals.push(format!("{error:#}")),
            }
        }
        bail!(
            "no toolchain here can build plugins. Any one of these helps:\n\
             \x20 1. rustup target add {TARGET}\n\
             \x20 2. on Debian or Ubuntu, as root: apt-get install --no-install-recommends {}\n\
             \x20 3. a Rust toolchain of version {}.{} or newer that has the target {TARGET}, first in PATH\n\
             What was tried: {}",
            PACKAGES.join(" "),
            OLDEST.0,
            OLDEST.1,
            refusals.join("; ")
        )
    }

    /// `cargo build` for [`TARGET`], with everything that this toolchain needs for it.
    pub(crate) fn build(&self) -> Command {
        let mut build = match &self.kind {
            Kind::InUse => {
                let mut build = crate::command::cargo();
                build.arg("build");
                build
            }
            Kind::Distribution { cargo, rustc, linker } => {
                let mut build = foreign(cargo);
                build.args(["build", "-Zbuild-std=std,panic_abort"]);
                // The packaged compiler is a stable one. Building the library that lies beside it is what it is
                // shipped for; the variable says that we know the flag is not a promise.
                build.env("RUSTC_BOOTSTRAP", "1").env("RUSTC", rustc);
                build.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker);
                build
            }
        };
        build.args(["--target", TARGET]);
        build
    }

    fn in_use(why: &'static str) -> Result<Self> {
        let version = version(&mut command(rustc_in_use()))?;
        Ok(Self { version: version.text, why, kind: Kind::InUse })
    }

    fn distribution(choice: Choice) -> Result<Self> {
        let (cargo, rustc) = (PathBuf::from("/usr/bin/cargo"), PathBuf::from("/usr/bin/rustc"));
        if !is_complete(&cargo, &rustc) {
            install(&PACKAGES)?;
        }
        if !is_complete(&cargo, &rustc) {
            bail!("the distribution's compiler is older than {}.{} or has no sources", OLDEST.0, OLDEST.1);
        }
        let version = version(&mut foreign(&rustc))?;
        let linker = match linker(version.llvm) {
            Some(linker) => linker,
            None => {
                install(&[&format!("lld-{}", version.llvm)]).or_else(|_| install(&["lld"]))?;
                linker(version.llvm).context("lld is installed, but has no wasm-ld")?
            }
        };
        let why = match choice {
            Choice::Distribution => "the distribution's, as asked, with the standard library built from its source",
            _ => "the distribution's, with the standard library built from its source: rustup could not add the target",
        };
        Ok(Self { version: version.text, why, kind: Kind::Distribution { cargo, rustc, linker } })
    }
}

struct Version {
    text: String,
    number: (u32, u32),
    llvm: u32,
}

fn version(rustc: &mut Command) -> Result<Version> {
    let text = output(rustc.arg("-vV"))?;
    let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    let mut numbers = field("release: ").split('.').map_while(|part| part.parse().ok());
    let number = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    let llvm = field("LLVM version: ").split('.').next().and_then(|part| part.parse().ok()).unwrap_or(0);
    Ok(Version { text: field("release: ").to_owned(), number, llvm })
}

fn rustc_in_use() -> PathBuf {
    variable("RUSTC").map_or_else(|| "rustc".into(), PathBuf::from)
}

fn has_target(rustc: &Path) -> bool {
    let Ok(folder) = output(command(rustc).args(["--print", "target-libdir", "--target", TARGET])) else {
        return false;
    };
    let is_core = |name: &str| name.starts_with("libcore-") && name.ends_with(".rlib");
    fs::read_dir(folder.trim()).is_ok_and(|mut entries| {
        entries.any(|entry| entry.is_ok_and(|entry| entry.file_name().to_str().is_some_and(is_core)))
    })
}

/// Whether this compiler is new enough and has the sources of its standard library.
fn is_complete(cargo: &Path, rustc: &Path) -> bool {
    let Ok(sysroot) = output(foreign(rustc).args(["--print", "sysroot"])) else { return false };
    let sources = Path::new(sysroot.trim()).join("lib/rustlib/src/rust/library/std/Cargo.toml");
    cargo.exists() && sources.exists() && version(&mut foreign(rustc)).is_ok_and(|version| version.number >= OLDEST)
}

/// Installs packages where that is possible: as root, on a system with apt.
fn install(packages: &[&str]) -> Result<()> {
    if !output(command("id").arg("-u")).is_ok_and(|user| user.trim() == "0") {
        bail!("installing {} needs root", packages.join(" "));
    }
    let apt = |arguments: &[&str]| {
        let mut apt = command("apt-get");
        apt.args(["-y", "-qq"]).args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
        run(&mut apt)
    };
    println!("plugins: installing {} with apt-get", packages.join(" "));
    // Nothing that the user installed may go: where it would have to, apt refuses and says so.
    let arguments = [&["install", "--no-install-recommends", "--no-remove"], packages].concat();
    // The lists may be missing or too old; fetching them first would hold up machines that need no new ones.
    apt(&arguments).or_else(|_| apt(&["update"]).and_then(|()| apt(&arguments)))
}

/// A linker for WebAssembly: rustup's toolchains carry one, LLVM's packages another.
fn linker(llvm: u32) -> Option<PathBuf> {
    let in_use = output(command(rustc_in_use()).args(["--print", "target-libdir"])).ok();
    // The wrapper `gcc-ld/wasm-ld` beside it does not understand how the compiler calls it.
    let carried = in_use.and_then(|folder| Some(Path::new(folder.trim()).parent()?.join("bin/rust-lld")));
    let names = [format!("wasm-ld-{llvm}"), "wasm-ld".to_owned()];
    let path = variable("PATH").unwrap_or_default();
    let installed = names.iter().flat_map(|name| env::split_paths(&path).map(move |folder| folder.join(name)));
    carried.into_iter().chain(installed).find(|linker| linker.exists())
}
