//! A new plugin: a small folder with everything that its build needs, in the language and of the kind asked for.
//!
//! The SDK and the contract are written beside the source, so that a plugin builds anywhere, for ever, with what it
//! was written against.

use std::{
    fmt, io,
    path::{Path, PathBuf},
    str::FromStr,
};

use stagewright_core::name::Name;

use crate::build::{contract, toolbox};

/// Every file of the contract and of the SDKs, with its path in the repository.
static FILES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/files.rs"));

/// What a plugin is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// Python.
    Python,
    /// JavaScript.
    JavaScript,
    /// TypeScript.
    TypeScript,
    /// C.
    C,
    /// Go.
    Go,
    /// Rust.
    Rust,
}

/// The languages in the order in which they are listed.
pub const LANGUAGES: [Language; 6] =
    [Language::Python, Language::JavaScript, Language::TypeScript, Language::C, Language::Go, Language::Rust];

impl Language {
    /// Its name as it is typed.
    pub fn word(self) -> &'static str {
        match self {
            Self::Python => "python",
            Self::JavaScript => "javascript",
            Self::TypeScript => "typescript",
            Self::C => "c",
            Self::Go => "go",
            Self::Rust => "rust",
        }
    }

    /// The file that a plugin's source begins with.
    pub(crate) fn entry(self) -> &'static str {
        match self {
            Self::Python => "plugin.py",
            Self::JavaScript => "plugin.js",
            Self::TypeScript => "plugin.ts",
            Self::C => "plugin.c",
            Self::Go => "plugin.go",
            Self::Rust => "src/lib.rs",
        }
    }

    /// The SDK's folder. TypeScript is JavaScript with types, which the SDK has either way.
    fn sdk(self) -> &'static str {
        if self == Self::TypeScript { "javascript" } else { self.word() }
    }
}

impl fmt::Display for Language {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.word())
    }
}

impl FromStr for Language {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = match text {
            "js" => "javascript",
            "ts" => "typescript",
            "py" => "python",
            "golang" => "go",
            other => other,
        };
        let words = || LANGUAGES.map(Language::word).join(", ");
        let found = LANGUAGES.into_iter().find(|language| language.word() == text);
        found.ok_or_else(|| format!("unknown language `{text}`; there are {}", words()))
    }
}

/// What a plugin does: one world of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PluginKind {
    /// Tables in, tables out.
    Preprocessor,
    /// Feature engineering.
    Featurizer,
    /// A trainer and the predictor that reads its weights.
    Model,
    /// Judges predictions.
    Evaluator,
    /// Judges decisions by group.
    FairnessChecker,
    /// Judges a table.
    Validator,
    /// Compares two tables.
    Monitor,
}

/// The kinds in the order of the contract.
pub const KINDS: [PluginKind; 7] = [
    PluginKind::Preprocessor,
    PluginKind::Featurizer,
    PluginKind::Model,
    PluginKind::Evaluator,
    PluginKind::FairnessChecker,
    PluginKind::Validator,
    PluginKind::Monitor,
];

impl PluginKind {
    /// Its name as it is typed.
    pub fn word(self) -> &'static str {
        match self {
            Self::Preprocessor => "preprocessor",
            Self::Featurizer => "featurizer",
            Self::Model => "model",
            Self::Evaluator => "evaluator",
            Self::FairnessChecker => "fairness-checker",
            Self::Validator => "validator",
            Self::Monitor => "monitor",
        }
    }

    /// Its world in the contract.
    pub(crate) fn world(self) -> &'static str {
        match self {
            Self::Preprocessor => "preprocessor-plugin",
            Self::Featurizer => "featurizer-plugin",
            Self::Model => "model-plugin",
            Self::Evaluator => "evaluator-plugin",
            Self::FairnessChecker => "fairness-plugin",
            Self::Validator => "validator-plugin",
            Self::Monitor => "monitor-plugin",
        }
    }

    /// The stage interfaces that its world exports.
    pub(crate) fn interfaces(self) -> impl Iterator<Item = &'static str> {
        let (first, second) = if self == Self::Model { ("trainer", Some("predictor")) } else { (self.word(), None) };
        std::iter::once(first).chain(second)
    }

    /// Whether it returns a report.
    pub(crate) fn reports(self) -> bool {
        matches!(self, Self::Evaluator | Self::FairnessChecker | Self::Validator | Self::Monitor)
    }

    /// What can be typed, for messages.
    pub(crate) fn words() -> String {
        KINDS.map(Self::word).join(", ")
    }
}

impl fmt::Display for PluginKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.word())
    }
}

impl FromStr for PluginKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // A trainer is of no use without its predictor, so they are always one plugin.
        let text = if ["trainer", "predictor"].contains(&text) { "model" } else { text };
        let found = KINDS.into_iter().find(|kind| kind.word() == text);
        found.ok_or_else(|| format!("unknown kind `{text}`; there are {} (a trainer and its predictor)", Self::words()))
    }
}

/// Why no folder was written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScaffoldError {
    /// The author's: something is there already.
    #[error("{} exists already and is not empty", folder.display())]
    Exists {
        /// Where.
        folder: PathBuf,
    },
    /// The machine's: a file cannot be written.
    #[error("{} cannot be written", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Ours: a file of the SDK could not be prepared.
    #[error("{0}; please report this")]
    Sdk(String),
}

impl From<crate::build::BuildError> for ScaffoldError {
    fn from(error: crate::build::BuildError) -> Self {
        match error {
            crate::build::BuildError::File { path, source } => Self::File { path, source },
            other => Self::Sdk(other.to_string()),
        }
    }
}

/// The files below a folder of the repository, by their paths in it.
pub(crate) fn files(folder: &str) -> impl Iterator<Item = (&'static str, &'static str)> {
    FILES.iter().filter_map(move |(path, text)| Some((path.strip_prefix(folder)?, *text)))
}

/// Writes a new plugin into `folder`, which must be empty or absent. Returns the paths written, relative to it.
pub fn create(folder: &Path, name: &Name, language: Language, kind: PluginKind) -> Result<Vec<String>, ScaffoldError> {
    if folder.read_dir().is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(ScaffoldError::Exists { folder: folder.to_owned() });
    }
    let mut written = Vec::new();
    let mut put = |path: String, text: &str| -> Result<(), ScaffoldError> {
        toolbox::write(&folder.join(&path), text)?;
        written.push(path);
        Ok(())
    };
    put("plugin.toml".to_owned(), &manifest(name, kind))?;
    put("README.md".to_owned(), &readme(name, language, kind))?;
    put(".gitignore".to_owned(), "/build\n/*.wasm\n/.venv\n/node_modules\n__pycache__\n")?;
    let sdk = language.sdk();
    let filled = |text: &str| text.replace("PLUGIN_NAME", name.as_str());
    for place in [kind.word(), "shared", &format!("only-{language}")] {
        for (path, text) in files(&format!("sdk/{sdk}/template/{place}/")) {
            // A manifest of another tool's in the repository would be taken for a package of it.
            let path = path.trim_end_matches(".txt");
            let path =
                if language == Language::TypeScript { path.replace("plugin.js", "plugin.ts") } else { path.into() };
            put(path, &filled(text))?;
        }
    }
    for (path, text) in files(&format!("sdk/{sdk}/")) {
        if !path.starts_with("template/") && !path.starts_with("glue/") && path != "README.md" {
            put(format!("sdk/{sdk}/{}", path.trim_end_matches(".txt")), text)?;
        }
    }
    if language == Language::Rust {
        put("sdk/Cargo.toml".to_owned(), &rust_workspace().map_err(ScaffoldError::Sdk)?)?;
        // Cargo drops what the plugin does not use; what it does use is what the SDK was tested with.
        let lock = FILES.iter().find(|(path, _)| *path == "Cargo.lock").map_or("", |(_, text)| *text);
        put("Cargo.lock".to_owned(), lock)?;
    }
    for (file, text) in contract::FILES {
        put(format!("wit/{file}"), text)?;
    }
    Ok(written)
}

fn manifest(name: &Name, kind: PluginKind) -> String {
    format!(
        "name = \"{name}\"\nversion = \"0.1.0\"\nkind = \"{kind}\"\ndescription = \"A {kind}: say here in one \
         sentence what it does.\"\nlicence = \"Apache-2.0 OR MIT\"\nsource = \"\"\n"
    )
}

fn readme(name: &Name, language: Language, kind: PluginKind) -> String {
    format!(
        "# {name}\n\nA {kind} for [Stagewright](wit/worlds.wit), written in {language}.\n\n```\nstagewright plugin \
         build            # makes {name}.wasm\nstagewright plugin test {name}.wasm  # checks every promise of the \
         contract\nstagewright plugin add {name}.wasm   # in a project: makes it available to pipelines\n```\n\nThe \
         source begins in `{}`; `plugin.toml` says who the plugin is. `sdk/` and `wit/` are the SDK and the contract \
         that it was made with: leave them as they are.\n",
        language.entry()
    )
}

/// The workspace that the Rust SDK's manifest takes its versions from: the repository's, without what is not there.
fn rust_workspace() -> Result<String, String> {
    let (_, text) = FILES.iter().find(|(path, _)| *path == "Cargo.toml").ok_or("no workspace")?;
    let mut document: toml_edit::DocumentMut = text.parse().map_err(|error: toml_edit::TomlError| error.to_string())?;
    document.remove("profile");
    let workspace = document["workspace"].as_table_mut().ok_or("no [workspace]")?;
    workspace.remove("default-members");
    workspace["members"] = toml_edit::value(toml_edit::Array::from_iter(["rust"]));
    let all = workspace["dependencies"].as_table_mut().ok_or("no [workspace.dependencies]")?;
    let used = FILES.iter().find(|(path, _)| *path == "sdk/rust/Cargo.toml").map_or("", |(_, text)| *text);
    let unused: Vec<String> = all
        .iter()
        .map(|(key, _)| key.to_owned())
        .filter(|key| !used.lines().any(|line| line.starts_with(&format!("{key}.workspace"))))
        .collect();
    unused.iter().for_each(|key| {
        all.remove(key);
    });
    Ok(document.to_string())
}
