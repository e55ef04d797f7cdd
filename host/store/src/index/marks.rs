//! A set of digests that need not fit into memory: what gc has found so far.
//!
//! The newest are in memory, older ones in a file of sorted rows that nobody else sees. Nothing stands in for that file:
//! where it cannot be read, whoever asks is told so, and takes nothing for missing.

use std::{collections::BTreeSet, ops::Bound};

use stagewright_core::Digest;

use super::{Engine, PAGE, digest_at, sorted::Sorted};
use crate::{Result, files::Files, journal::Position};

/// A digest, and as what it is meant. In this order, so that who asks for one digest after the other, in order, is
/// answered from neighbouring rows.
type Mark = [u8; Digest::LEN + 1];

/// Digests, each with a byte that says as what it is meant.
pub(crate) struct Marks {
    files: Files,
    repository: String,
    recent: BTreeSet<Mark>,
    older: Option<Sorted>,
    /// So many may be in memory.
    most: usize,
}

impl Marks {
    /// An empty set that holds at most so many marks in memory, as long as a file can be made.
    pub(crate) fn new(files: &Files, repository: &str, most: usize) -> Self {
        let (files, repository) = (files.clone(), repository.to_owned());
        Self { files, repository, recent: BTreeSet::new(), older: None, most }
    }

    /// Adds a mark.
    pub(crate) fn add(&mut self, digest: &Digest, meant: u8) {
        self.recent.insert(mark(digest, meant));
        if self.recent.len() >= self.most {
            self.fold();
        }
    }

    fn fold(&mut self) {
        let added = self.recent.iter().map(|mark| (mark.as_slice(), Some([].as_slice())));
        match Sorted::merged(&self.files, &self.repository, self.older.as_ref(), added, Position::START) {
            Ok(merged) => {
                self.older = Some(merged);
                self.recent.clear();
            }
            Err(error) => {
                tracing::warn!(repository = self.repository, %error, "what gc finds stays in memory");
                self.most = usize::MAX;
            }
        }
    }

    /// Whether a digest has a mark.
    pub(crate) fn has(&self, digest: &Digest, meant: u8) -> Result<bool> {
        let mark = mark(digest, meant);
        Ok(self.recent.contains(&mark)
            || match &self.older {
                Some(older) => older.get(&mark)?.is_some(),
                None => false,
            })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.recent.is_empty() && self.older.is_none()
    }

    /// Every digest in order, once for each of its marks.
    pub(crate) fn each(&self, visit: &mut dyn FnMut(Digest) -> Result<()>) -> Result<()> {
        let mut from: Vec<u8> = Vec::new();
        loop {
            let older = match &self.older {
                Some(older) => older.range(&from, Bound::Unbounded, PAGE, false)?,
                None => Vec::new(),
            };
            // Where more may follow below, what is in memory goes as far as this page.
            let last = older.last().filter(|_| older.len() == PAGE).map(|(key, _)| key.clone());
            let mut page: Vec<&[u8]> = older.iter().map(|(key, _)| key.as_slice()).collect();
            let to = last.as_deref().map_or(Bound::Unbounded, Bound::Included);
            page.extend(
                self.recent.range::<[u8], _>((Bound::Included(from.as_slice()), to)).map(|mark| mark.as_slice()),
            );
            page.sort_unstable();
            page.dedup();
            page.into_iter().filter_map(|mark| digest_at(mark, 0)).try_for_each(&mut *visit)?;
            match last {
                Some(last) => from = [last.as_slice(), &[0]].concat(),
                None => return Ok(()),
            }
        }
    }
}

fn mark(digest: &Digest, meant: u8) -> Mark {
    let mut mark = [meant; Digest::LEN + 1];
    mark[..Digest::LEN].copy_from_slice(digest.as_bytes());
    mark
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn marks_answer_as_a_set_does_wherever_they_are(
            added in proptest::collection::vec((0_u8..200, 0_u8..2), 0..300), most in 1_usize..40,
        ) {
            let folder = tempfile::tempdir().unwrap();
            let files = Files::open(folder.path(), None).unwrap();
            let mut marks = Marks::new(&files, "data", most);
            let digest = |number: u8| Digest::of(&[number]);
            prop_assert!(marks.is_empty());
            for (number, meant) in &added {
                marks.add(&digest(*number), *meant);
            }
            prop_assert!(marks.recent.len() < most);
            for number in 0..200 {
                for meant in 0..2 {
                    prop_assert_eq!(marks.has(&digest(number), meant).unwrap(), added.contains(&(number, meant)));
                }
            }
            let mut seen = Vec::new();
            marks.each(&mut |digest| { seen.push(digest); Ok(()) }).unwrap();
            seen.dedup();
            let expected: BTreeSet<Digest> = added.iter().map(|(number, _)| digest(*number)).collect();
            prop_assert_eq!(seen, expected.into_iter().collect::<Vec<_>>());
        }
    }

    #[test]
    fn marks_stay_in_memory_where_no_file_can_be_made_for_them() {
        let folder = tempfile::tempdir().unwrap();
        let files = Files::open(&folder.path().canonicalize().unwrap(), None).unwrap();
        let mut marks = Marks::new(&files, "data", 2);
        folder.close().unwrap();
        for number in 0..10 {
            marks.add(&Digest::of(&[number]), 0);
        }
        assert!((0..10).all(|number| marks.has(&Digest::of(&[number]), 0).unwrap()));
        assert!(!marks.has(&Digest::of(&[10]), 0).unwrap());
    }
}
