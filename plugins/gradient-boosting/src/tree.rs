//! A regression tree, and its bytes.

use crate::bytes::{Bytes, Malformed};

/// Where a split sends a row, or the leaf it ends in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Child {
    /// A further split. Always a later one than its parent: a walk ends.
    Node(u32),
    /// A leaf.
    Leaf(u32),
}

/// One split.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Node {
    /// The feature that is asked.
    pub feature: u32,
    /// Where missing values go.
    pub missing_left: bool,
    /// Values up to and including this one go left.
    pub threshold: f64,
    /// The smaller values.
    pub left: Child,
    /// The larger values.
    pub right: Child,
}

/// A tree: splits, the first of which is the root, and the values of the leaves.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Tree {
    /// The splits.
    pub nodes: Vec<Node>,
    /// The values that the leaves add to a row's score.
    pub leaves: Vec<f64>,
}

impl Tree {
    /// The leaf's value for a row, whose features `value` gives. NaN is missing.
    pub fn score(&self, value: impl Fn(usize) -> f64) -> f64 {
        let mut place = 0;
        while let Some(node) = self.nodes.get(place) {
            let value = value(node.feature as usize);
            let left = if value.is_nan() { node.missing_left } else { value <= node.threshold };
            match if left { node.left } else { node.right } {
                Child::Node(next) => place = next as usize,
                Child::Leaf(leaf) => return self.leaves[leaf as usize],
            }
        }
        self.leaves.first().copied().unwrap_or_default()
    }

    /// Appends the tree's bytes.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&(self.nodes.len() as u32).to_le_bytes());
        for node in &self.nodes {
            out.extend_from_slice(&(node.feature << 1 | u32::from(node.missing_left)).to_le_bytes());
            out.extend_from_slice(&node.threshold.to_le_bytes());
            for child in [node.left, node.right] {
                let code = match child {
                    Child::Node(node) => node << 1,
                    Child::Leaf(leaf) => leaf << 1 | 1,
                };
                out.extend_from_slice(&code.to_le_bytes());
            }
        }
        for leaf in &self.leaves {
            out.extend_from_slice(&leaf.to_le_bytes());
        }
    }

    /// Reads what [`Tree::write`] wrote, for a model of so many features. Trusts nothing: a tree that comes out of
    /// here ends every walk in one of its leaves.
    pub fn read(bytes: &mut Bytes<'_>, features: usize) -> Result<Self, Malformed> {
        let count = bytes.u32()?;
        // A node takes 20 bytes, so no count can ask for more memory than a few times the bytes that are there.
        if count as usize > bytes.left() / 20 {
            return Err(Malformed("a tree has more splits than there are bytes for"));
        }
        let mut nodes = Vec::with_capacity(count as usize);
        for place in 0..count {
            let head = bytes.u32()?;
            let threshold = bytes.f64()?;
            let mut child = || {
                let code = bytes.u32()?;
                let index = code >> 1;
                match code & 1 {
                    1 if index <= count => Ok(Child::Leaf(index)),
                    0 if index > place && index < count => Ok(Child::Node(index)),
                    _ => Err(Malformed("a split leads nowhere")),
                }
            };
            let (left, right) = (child()?, child()?);
            let node = Node { feature: head >> 1, missing_left: head & 1 == 1, threshold, left, right };
            if node.feature as usize >= features || threshold.is_nan() {
                return Err(Malformed("a split asks for a feature or value that cannot be"));
            }
            nodes.push(node);
        }
        let leaves = (0..=count).map(|_| bytes.f64()).collect::<Result<Vec<f64>, Malformed>>()?;
        if leaves.iter().any(|leaf| !leaf.is_finite()) {
            return Err(Malformed("a leaf's value is not finite"));
        }
        Ok(Self { nodes, leaves })
    }
}
