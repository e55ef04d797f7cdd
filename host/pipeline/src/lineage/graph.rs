//! A lineage graph and its drawings: a tree of text, Graphviz, a picture.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
};

use serde::Serialize;
use stagewright_core::Digest;

/// What a node of the graph is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum NodeKind {
    /// A table, state, model or report.
    Artifact,
    /// A component.
    Plugin,
    /// A stage that ran.
    Step,
}

/// Something that was made or that made something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Node {
    /// The artifact's digest, or a step's run key.
    pub digest: Digest,
    /// What it is.
    pub kind: NodeKind,
    /// What people call it: `adult@1`, `train logistic-regression`.
    pub label: String,
    /// More about it: the versions that name it, the run, the parameters.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub details: Vec<String>,
}

/// That something went into something, or came out of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Edge {
    /// What was there first.
    pub from: Digest,
    /// What came of it.
    pub to: Digest,
    /// As what: the port or the output's name.
    pub role: String,
}

/// Everything that an artifact was made from and that was made from it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Graph {
    /// The artifact that was asked about.
    pub root: Digest,
    /// The nodes, sorted by digest.
    pub nodes: Vec<Node>,
    /// The edges, sorted.
    pub edges: Vec<Edge>,
}

impl Graph {
    fn node(&self, digest: Digest) -> Option<&Node> {
        self.nodes.iter().find(|node| node.digest == digest)
    }

    fn label(&self, digest: Digest) -> String {
        self.node(digest).map_or_else(|| digest.short(), |node| node.label.clone())
    }

    /// Two trees of text: what the artifact was made from, and what was made from it. A branch that was drawn already
    /// is named and not drawn again.
    pub fn tree(&self) -> String {
        let mut text = String::new();
        let up = |digest: Digest| self.edges.iter().filter(move |e| e.to == digest).map(|e| (e.from, e.role.as_str()));
        let down =
            |digest: Digest| self.edges.iter().filter(move |e| e.from == digest).map(|e| (e.to, e.role.as_str()));
        let root = self.label(self.root);
        if up(self.root).next().is_some() {
            let _ = writeln!(text, "{root} was made from");
            self.branches(self.root, &|digest| up(digest).collect(), "", &mut BTreeSet::new(), &mut text);
        }
        if down(self.root).next().is_some() {
            let _ = writeln!(text, "{root} was used for");
            self.branches(self.root, &|digest| down(digest).collect(), "", &mut BTreeSet::new(), &mut text);
        }
        if text.is_empty() {
            let _ = writeln!(text, "{root} was not made by a run, and no run has used it");
        }
        text
    }

    fn branches<'a>(
        &'a self,
        digest: Digest,
        next: &dyn Fn(Digest) -> Vec<(Digest, &'a str)>,
        indent: &str,
        drawn: &mut BTreeSet<Digest>,
        text: &mut String,
    ) {
        let branches = next(digest);
        for (position, (other, role)) in branches.iter().enumerate() {
            let last = position + 1 == branches.len();
            let again = !next(*other).is_empty() && !drawn.insert(*other);
            let details = self.node(*other).map(|node| node.details.join(", ")).unwrap_or_default();
            let details = if details.is_empty() || again { String::new() } else { format!("  ({details})") };
            let branch = if last { "└─" } else { "├─" };
            let again_mark = if again { " …" } else { "" };
            let _ = writeln!(text, "{indent}{branch} {role}: {}{details}{again_mark}", self.label(*other));
            if !again {
                let deeper = format!("{indent}{}", if last { "   " } else { "│  " });
                self.branches(*other, next, &deeper, drawn, text);
            }
        }
    }

    /// The graph in Graphviz's language.
    pub fn dot(&self) -> String {
        let quote =
            |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"));
        let mut text = String::from("digraph lineage {\n  rankdir=LR;\n  node [fontname=\"sans-serif\"];\n");
        for node in &self.nodes {
            let shape = match node.kind {
                NodeKind::Artifact => "box",
                NodeKind::Plugin => "component",
                NodeKind::Step => "ellipse",
            };
            let width = if node.digest == self.root { ", penwidth=3" } else { "" };
            let tip = [node.details.join(", "), node.digest.to_string()].join(" ");
            let (id, label) = (quote(&node.digest.short()), quote(&node.label));
            let _ = writeln!(text, "  {id} [label={label}, shape={shape}, tooltip={}{width}];", quote(tip.trim()));
        }
        for edge in &self.edges {
            let (from, to) = (quote(&edge.from.short()), quote(&edge.to.short()));
            let _ = writeln!(text, "  {from} -> {to} [label={}];", quote(&edge.role));
        }
        text.push_str("}\n");
        text
    }

    /// The graph as a picture: time runs from left to right, each node in the column behind everything it was made of.
    pub fn svg(&self) -> String {
        const WIDTH: usize = 210;
        const HEIGHT: usize = 34;
        const GAP: (usize, usize) = (70, 16);
        let ranks = self.ranks();
        let mut rows: BTreeMap<usize, usize> = BTreeMap::new();
        let mut places = BTreeMap::new();
        for node in &self.nodes {
            let rank = ranks[&node.digest];
            let row = rows.entry(rank).or_default();
            places.insert(node.digest, (20 + rank * (WIDTH + GAP.0), 20 + *row * (HEIGHT + GAP.1)));
            *row += 1;
        }
        let width = 40 + (rows.len().max(1)) * (WIDTH + GAP.0) - GAP.0;
        let height = 40 + rows.values().max().copied().unwrap_or(1) * (HEIGHT + GAP.1);
        let escape =
            |text: &str| text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;");
        let mut text = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
             viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
             <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n"
        );
        for edge in &self.edges {
            let (Some((x1, y1)), Some((x2, y2))) = (places.get(&edge.from), places.get(&edge.to)) else { continue };
            let (x1, y1, y2) = (x1 + WIDTH, y1 + HEIGHT / 2, y2 + HEIGHT / 2);
            let bend = (x1 + x2) / 2;
            let _ = writeln!(
                text,
                "<path d=\"M{x1} {y1} C{bend} {y1} {bend} {y2} {x2} {y2}\" fill=\"none\" stroke=\"#94a3b8\"><title>{}</title></path>",
                escape(&edge.role)
            );
        }
        for node in &self.nodes {
            let (x, y) = places[&node.digest];
            let (fill, radius) = match node.kind {
                NodeKind::Artifact => ("#e0f2fe", 4),
                NodeKind::Plugin => ("#fef3c7", 4),
                NodeKind::Step => ("#dcfce7", 16),
            };
            let stroke = if node.digest == self.root { "#0f172a\" stroke-width=\"2.5" } else { "#64748b" };
            let shown: String = match node.label.chars().count() > 32 {
                true => node.label.chars().take(31).chain(['…']).collect(),
                false => node.label.clone(),
            };
            let tip = [node.label.clone(), node.details.join(", "), node.digest.to_string()].join("\n");
            let _ = writeln!(
                text,
                "<g><title>{}</title><rect x=\"{x}\" y=\"{y}\" width=\"{WIDTH}\" height=\"{HEIGHT}\" rx=\"{radius}\" \
                 fill=\"{fill}\" stroke=\"{stroke}\"/><text x=\"{}\" y=\"{}\" text-anchor=\"middle\">{}</text></g>",
                escape(&tip),
                x + WIDTH / 2,
                y + HEIGHT / 2 + 4,
                escape(&shown)
            );
        }
        text.push_str("</svg>\n");
        text
    }

    /// For each node, the length of the longest path to it.
    fn ranks(&self) -> BTreeMap<Digest, usize> {
        let mut ranks: BTreeMap<Digest, usize> = self.nodes.iter().map(|node| (node.digest, 0)).collect();
        // Lineage has no cycles, so as many rounds as there are nodes are enough even for a chain.
        for _ in 0..self.nodes.len() {
            let mut changed = false;
            for edge in &self.edges {
                let (Some(from), Some(to)) = (ranks.get(&edge.from).copied(), ranks.get(&edge.to).copied()) else {
                    continue;
                };
                if to <= from {
                    ranks.insert(edge.to, from + 1);
                    changed = true;
                }
            }
            if !changed {
                break;
            }
        }
        ranks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph() -> Graph {
        let digest = |name: &str| Digest::of(name.as_bytes());
        let node = |name: &str, kind| Node { digest: digest(name), kind, label: name.into(), details: Vec::new() };
        let edge = |from, to, role: &str| Edge { from: digest(from), to: digest(to), role: role.into() };
        Graph {
            root: digest("train"),
            nodes: vec![
                node("adult@1", NodeKind::Artifact),
                node("split", NodeKind::Plugin),
                node("split it", NodeKind::Step),
                node("train", NodeKind::Artifact),
                node("fit <it>", NodeKind::Step),
            ],
            edges: vec![
                edge("adult@1", "split it", "table"),
                edge("split", "split it", "plugin"),
                edge("split it", "train", "train"),
                edge("train", "fit <it>", "training"),
            ],
        }
    }

    #[test]
    fn the_tree_goes_up_and_down() {
        assert_eq!(
            graph().tree(),
            "train was made from\n└─ train: split it\n   ├─ table: adult@1\n   └─ plugin: split\n\
             train was used for\n└─ training: fit <it>\n"
        );
    }

    #[test]
    fn drawings_escape_what_they_show() {
        assert!(graph().dot().contains("label=\"fit <it>\""));
        assert!(graph().svg().contains(">fit &lt;it&gt;</text>"));
    }
}
