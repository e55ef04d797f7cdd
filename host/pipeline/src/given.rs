//! A file as its user named it, and where it lies.

use std::{
    fmt,
    path::{Path, PathBuf},
};

/// A path that is read relative to the directory of whoever gave it, which need not be this process's, and shown as it
/// was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GivenPath {
    given: PathBuf,
    at: PathBuf,
}

impl GivenPath {
    /// A path that somebody in `directory` gave.
    pub fn new(directory: &Path, given: &Path) -> Self {
        Self { given: given.to_owned(), at: directory.join(given) }
    }

    /// As it was given, for messages.
    pub fn given(&self) -> &Path {
        &self.given
    }

    /// Where the file lies.
    pub fn at(&self) -> &Path {
        &self.at
    }

    /// A path beside or below this one.
    #[must_use]
    pub fn map(&self, change: impl Fn(&Path) -> PathBuf) -> Self {
        Self { given: change(&self.given), at: change(&self.at) }
    }
}

impl From<&Path> for GivenPath {
    /// A path as this process reads it.
    fn from(path: &Path) -> Self {
        Self { given: path.to_owned(), at: path.to_owned() }
    }
}

impl fmt::Display for GivenPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.given.display().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_found_from_its_giver_and_shown_as_it_was_given() {
        let path = GivenPath::new(Path::new("/home/ada"), Path::new("rows/census.csv"));
        assert_eq!((path.at(), path.to_string().as_str()), (Path::new("/home/ada/rows/census.csv"), "rows/census.csv"));
        assert_eq!(GivenPath::new(Path::new("/home/ada"), Path::new("/tmp/x")).at(), Path::new("/tmp/x"));
        assert_eq!(path.map(|path| path.with_extension("part")).at(), Path::new("/home/ada/rows/census.part"));
    }
}
