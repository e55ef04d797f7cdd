//! Numbers that pass through a stage come out as they went in.
//!
//! A language whose only numbers are doubles rounds whole numbers beyond 2^53, and says nothing. A stage may of course
//! change numbers, clip them for one; so only what rounding, and nothing else, would make of a value is a fault.

use std::collections::{BTreeMap, BTreeSet};

use stagewright_core::StageKind;

use super::{
    Book, Broken, Error,
    frame::{Frame, Values},
    samples::{self, LABEL},
    stage::{Scene, polite},
    subject::{Made, Way},
};

const NAME: &str = "keeps large numbers exact";

/// Checks the columns that come out with the name and type that they went in with.
pub(super) fn check(scene: &Scene<'_>, book: &mut Book<'_>) -> Result<(), Error> {
    let whole = |values: &Values| match values {
        Values::Ints(_) | Values::Times(_) => samples::large(values),
        other => other.clone(),
    };
    // Whole numbers alone too: a stage may refuse the largest doubles, politely and with everything else.
    let mut tables = vec![scene.table.map(&[], whole), scene.table.map(&[], samples::large)];
    if scene.stage.kind == StageKind::Featurizer {
        // It passes only the label through.
        let numbered = Values::Ints((0..scene.table.rows() as i64).map(Some).collect());
        tables.push(scene.table.clone().with(LABEL, samples::large(&numbered)));
    }
    let mut columns = BTreeSet::new();
    let mut look = || {
        for table in &tables {
            match scene.run(table, Way::USUAL) {
                Ok(made) => columns.extend(kept(table, &made)?),
                Err(trouble) => drop(polite(trouble, "large numbers")?),
            }
        }
        Ok(columns.iter().cloned().collect::<Vec<_>>().join(", "))
    };
    let found = look();
    if found.is_ok() && columns.is_empty() {
        book.skip(NAME, "no column of numbers comes out that went in");
        return Ok(());
    }
    book.note(NAME, found)
}

/// The columns that were looked at, unless one of them was rounded.
fn kept(table: &Frame, made: &Made) -> Result<Vec<String>, Broken> {
    let written: Vec<Frame> = match made {
        Made::Tables(tables) => tables.iter().map(|(_, table)| table.frame()).collect(),
        Made::Applied { result, .. } => vec![result.frame()],
        _ => Vec::new(),
    };
    let mut columns = Vec::new();
    for (name, before) in &table.0 {
        for after in written.iter().filter_map(|frame| frame.column(name)) {
            let rounded = match (before, after) {
                (Values::Ints(before), Values::Ints(after)) | (Values::Times(before), Values::Times(after)) => {
                    found(before, after, |value| *value as f64 as i64, |value| *value)
                }
                (Values::Floats(before), Values::Floats(after)) => {
                    found(before, after, |value| f64::from(*value as f32), |value| value.to_bits())
                }
                _ => continue,
            };
            if let Some((before, after)) = rounded {
                let problem = format!("column `{name}`: {after} came out, where {before} went in");
                return Err(Broken::because(problem));
            }
            columns.push(name.clone());
        }
    }
    Ok(columns)
}

/// A value, and what came out in its place: nothing that went in, but what rounding makes of it.
fn found<T: Copy + std::fmt::Display, Key: Ord>(
    before: &[Option<T>],
    after: &[Option<T>],
    round: impl Fn(&T) -> T,
    key: impl Fn(&T) -> Key,
) -> Option<(String, String)> {
    let known: BTreeSet<Key> = before.iter().flatten().map(&key).collect();
    let rounded: BTreeMap<Key, T> = before.iter().flatten().map(|value| (key(&round(value)), *value)).collect();
    after.iter().flatten().find_map(|value| {
        let original = rounded.get(&key(value)).filter(|_| !known.contains(&key(value)))?;
        Some((original.to_string(), value.to_string()))
    })
}
