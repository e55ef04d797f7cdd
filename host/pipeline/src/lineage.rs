//! Lineage: what something was made from, and what was made from it, to the last plugin and parameter.

mod graph;

use std::collections::{BTreeMap, BTreeSet};

use stagewright_core::{Digest, VersionRef, canonical, record::StageResult};

pub use self::graph::{Edge, Graph, Node, NodeKind};
use crate::{
    code,
    error::{Error, Result},
    project::Project,
    run::{self, RESULTS},
};

/// Which way to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Only what it was made from.
    Up,
    /// Only what was made from it.
    Down,
    /// Both.
    Both,
}

/// The lineage of a version or an artifact.
///
/// # Errors
/// There is no such thing, or more than one.
pub fn lineage(project: &Project, wanted: &str, direction: Direction) -> Result<Graph> {
    let root = find(project, wanted)?;
    let ledger = project.store.ledger()?;
    let (mut found, mut edges) = (BTreeSet::from([root]), BTreeSet::new());
    for up in [true, false] {
        if (direction == Direction::Up && !up) || (direction == Direction::Down && up) {
            continue;
        }
        let mut open = vec![root];
        let mut seen = BTreeSet::from([root]);
        while let Some(digest) = open.pop() {
            let next = if up { ledger.edges_in(&digest)? } else { ledger.edges_out(&digest)? };
            for (other, role) in next {
                edges.insert(if up { (other, digest, role) } else { (digest, other, role) });
                if seen.insert(other) {
                    open.push(other);
                }
            }
        }
        found.extend(seen);
    }
    // A step that was found downward was also fed by others; they belong to the picture, what they came of does not.
    let steps: Vec<Digest> = found.iter().copied().collect();
    for digest in steps {
        if ledger.record(RESULTS, digest.as_bytes())?.is_some() {
            for (other, role) in ledger.edges_in(&digest)? {
                found.insert(other);
                edges.insert((other, digest, role));
            }
        }
    }
    let names = names(project)?;
    let runs = runs(project)?;
    let nodes: Result<Vec<Node>> = found.iter().map(|digest| node(project, *digest, &names, &runs)).collect();
    let edges = edges.into_iter().map(|(from, to, role)| Edge { from, to, role }).collect();
    Ok(Graph { root, nodes: nodes?, edges })
}

fn find(project: &Project, wanted: &str) -> Result<Digest> {
    if let Ok(digest) = wanted.parse::<Digest>() {
        return Ok(digest);
    }
    let store = &project.store;
    let repositories = [store.data()?, store.models()?, store.code()?];
    let mut last = None;
    if let Ok(version) = wanted.parse::<VersionRef>() {
        for repository in repositories {
            match repository.resolve(&version) {
                Ok(version) => return Ok(version.digest),
                Err(error) => last = last.or(Some(error)),
            }
        }
    }
    let digits = wanted.len() >= 6 && wanted.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    if digits {
        let mut found = BTreeSet::new();
        for repository in repositories {
            found.extend(repository.find(wanted)?);
        }
        match found.len() {
            0 => {}
            1 => return Ok(found.into_iter().next().unwrap_or(Digest::of(b""))),
            many => return Err(Error::Invalid(format!("{many} artifacts begin with `{wanted}`; give more digits"))),
        }
    }
    let hint = "give a version such as `adult@1`, or a digest's first digits";
    Err(Error::Invalid(format!("nothing here is called `{wanted}`; {hint}")))
}

/// What versions call each artifact.
fn names(project: &Project) -> Result<BTreeMap<Digest, Vec<String>>> {
    let mut names: BTreeMap<Digest, Vec<String>> = BTreeMap::new();
    for repository in project.store.repositories()? {
        for name in repository.names()? {
            for version in repository.log(&name)? {
                names.entry(version.digest).or_default().push(format!("{}@{}", version.name, version.number));
            }
        }
    }
    Ok(names)
}

/// The first run that made each result, its stage, and the step's title.
fn runs(project: &Project) -> Result<BTreeMap<Digest, (u64, String, String)>> {
    let mut runs = BTreeMap::new();
    for record in run::list(project, usize::MAX, None)? {
        for (stage, step) in record.steps() {
            // The list begins with the newest, so the first run to make it is the last to be put here.
            runs.insert(step.key, (record.id, stage.name.clone(), step.title.clone()));
        }
    }
    Ok(runs)
}

fn node(
    project: &Project,
    digest: Digest,
    names: &BTreeMap<Digest, Vec<String>>,
    runs: &BTreeMap<Digest, (u64, String, String)>,
) -> Result<Node> {
    let named = names.get(&digest).map(|names| names.join(", "));
    if let Some(bytes) = project.store.ledger()?.record(RESULTS, digest.as_bytes())?
        && let Ok(result) = canonical::from_slice::<StageResult>(&bytes)
    {
        let mut details = Vec::new();
        let label = match runs.get(&digest) {
            Some((run, stage, title)) => {
                details.push(format!("run {run}"));
                if stage == title { stage.clone() } else { format!("{stage}: {title}") }
            }
            None => format!("{:?}", result.spec.operation).to_lowercase(),
        };
        if !result.spec.parameters.is_empty() {
            details.push(String::from_utf8_lossy(&canonical::to_vec(&result.spec.parameters)).into_owned());
        }
        details.push(format!("seed {}", result.spec.seed));
        return Ok(Node { digest, kind: NodeKind::Step, label, details });
    }
    if let Some(plugin) = code::record(project, &digest) {
        let label = named.unwrap_or_else(|| format!("plugin {}", digest.short()));
        let details = vec![code::kinds(&plugin)];
        return Ok(Node { digest, kind: NodeKind::Plugin, label, details });
    }
    let mut details = Vec::new();
    let label = match named {
        Some(named) => {
            details.push(digest.short());
            named
        }
        None => digest.short(),
    };
    if let Ok(table) = project.store.data()?.table(&digest) {
        details.push(format!("{} rows, {} columns", table.rows(), table.schema().len()));
    }
    Ok(Node { digest, kind: NodeKind::Artifact, label, details })
}
