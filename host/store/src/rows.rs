//! The rows of a repository: how each kind of fact is written as a key and a value.
//!
//! The first byte of a key says what kind of fact it is; names end in a zero byte, which no name contains; numbers are
//! big-endian, so that they sort. Values are at most [`INLINE`] bytes: what is longer lies in a pack as a chunk.

use serde::{Deserialize, Serialize};
use stagewright_core::{Digest, Name};

/// The longest value that stands in a row.
pub(crate) const INLINE: usize = 2048;

pub(crate) const CHUNK: u8 = b'c';
pub(crate) const ARTIFACT: u8 = b'a';
pub(crate) const REFERENCES: u8 = b'r';
pub(crate) const VERSION: u8 = b'v';
pub(crate) const LAST_NUMBER: u8 = b'n';
pub(crate) const TAG: u8 = b't';
pub(crate) const TOMBSTONE: u8 = b'd';
pub(crate) const RECORD: u8 = b'k';
pub(crate) const EDGE_OUT: u8 = b'o';
pub(crate) const EDGE_IN: u8 = b'i';
pub(crate) const PIN: u8 = b'p';
pub(crate) const AUDIT: u8 = b'l';
pub(crate) const MERKLE: u8 = b'm';
pub(crate) const HEAD: u8 = b'h';

/// A key: its kind and its parts, joined.
pub(crate) fn key(kind: u8, parts: &[&[u8]]) -> Vec<u8> {
    let mut key = vec![kind];
    parts.iter().for_each(|part| key.extend_from_slice(part));
    key
}

/// The key of something that belongs to a name.
pub(crate) fn named(kind: u8, name: &str, rest: &[u8]) -> Vec<u8> {
    key(kind, &[name.as_bytes(), &[0], rest])
}

/// What the parts behind a name's zero byte are.
pub(crate) fn split_name(key: &[u8]) -> Option<(&str, &[u8])> {
    let end = key.iter().skip(1).position(|byte| *byte == 0)? + 1;
    Some((std::str::from_utf8(&key[1..end]).ok()?, &key[end + 1..]))
}

/// A number at the end of a key or as a value.
pub(crate) fn number(bytes: &[u8]) -> Option<u64> {
    bytes.try_into().ok().map(u64::from_be_bytes)
}

/// What an artifact's bytes are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    /// The number of bytes.
    pub(crate) len: u64,
    /// When it was last stored, give or take a few minutes, in milliseconds since 1970: gc lets the young ones live.
    pub(crate) at_ms: u64,
    /// The chunk that lists the chunks; none where the artifact is one chunk.
    pub(crate) list: Option<Digest>,
}

impl Layout {
    pub(crate) fn to_bytes(self) -> Vec<u8> {
        let mut bytes = [self.len.to_be_bytes(), self.at_ms.to_be_bytes()].concat();
        bytes.extend(self.list.iter().flat_map(|list| *list.as_bytes()));
        bytes
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (len, rest) = bytes.split_at_checked(8)?;
        let (at_ms, list) = rest.split_at_checked(8)?;
        let list = match list.len() {
            0 => None,
            _ => Some(Digest::from_bytes(list.try_into().ok()?)),
        };
        Some(Self { len: number(len)?, at_ms: number(at_ms)?, list })
    }
}

/// What a version is a version of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ArtifactKind {
    /// Rows in columns.
    Table,
    /// A component.
    Plugin,
    /// A pipeline file.
    Pipeline,
    /// A servable model.
    Model,
    /// Any bytes.
    Blob,
}

impl ArtifactKind {
    /// The kind's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Table => "table",
            Self::Plugin => "plugin",
            Self::Pipeline => "pipeline",
            Self::Model => "model",
            Self::Blob => "blob",
        }
    }
}

/// An entry in a repository: a name and a number that stand for an artifact, for good.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// The name.
    pub name: Name,
    /// Counted from 1 for each name, never used again.
    pub number: u64,
    /// The artifact.
    pub digest: Digest,
    /// What it is.
    pub kind: ArtifactKind,
    /// The version it was made from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<u64>,
    /// Why, in its author's words.
    pub message: String,
    /// Who made it.
    pub author: String,
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
}

/// What is left of a version that was deleted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tombstone {
    /// The version as it was; its artifact may be gone.
    pub version: Version,
    /// Why it was deleted.
    pub reason: String,
    /// By whom.
    pub author: String,
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::pack::Location;

    proptest! {
        #[test]
        fn layouts_and_locations_read_back_what_was_written(
            len in any::<u64>(), at_ms in any::<u64>(), list in proptest::option::of(any::<[u8; 32]>()),
            pack in any::<u32>(), offset in any::<u64>(), stored in any::<u32>(), raw in any::<u32>(),
        ) {
            let layout = Layout { len, at_ms, list: list.map(Digest::from_bytes) };
            prop_assert_eq!(Layout::from_bytes(&layout.to_bytes()), Some(layout));
            let location = Location { pack, offset, stored, raw };
            prop_assert_eq!(Location::from_bytes(&location.to_bytes()), Some(location));
        }

        #[test]
        fn names_in_keys_read_back_what_was_written(name in "[a-z0-9.-]{1,20}", rest in any::<[u8; 8]>()) {
            let key = named(VERSION, &name, &rest);
            prop_assert_eq!(split_name(&key), Some((name.as_str(), &rest[..])));
        }

        #[test]
        fn versions_and_tombstones_read_back_what_was_written(
            number in 1_u64.., digest in any::<[u8; 32]>(), parent in proptest::option::of(any::<u64>()), message in ".*",
        ) {
            let version = Version {
                name: "adult".parse().unwrap(), number, digest: Digest::from_bytes(digest), kind: ArtifactKind::Table,
                parent, message, author: "ada".into(), at_ms: number,
            };
            let tombstone = Tombstone { version, reason: "asked for".into(), author: "ada".into(), at_ms: 1 };
            let printed = stagewright_core::canonical::to_vec(&tombstone);
            prop_assert_eq!(stagewright_core::canonical::from_slice::<Tombstone>(&printed).unwrap(), tombstone);
        }
    }
}
