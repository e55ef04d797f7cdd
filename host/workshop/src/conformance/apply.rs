//! What was learned, put to use: states and weights are read back, and rows are answered one as the other.

use stagewright_core::{Batch, ColumnType, StageKind};
use stagewright_runtime::{Columns, FailureKind};

use super::{
    Book, Broken, Error,
    frame::{Cut, Frame, Written},
    samples::{self, LABEL},
    stage::{Scene, polite},
    subject::{Made, Subject, Trouble, Way},
};

/// How many rows are asked for one by one.
const SINGLE: usize = 25;

/// Tables to be served, by what is strange about each.
type Tables = fn(&Learned<'_>) -> Vec<(String, Frame)>;

/// A state or weights, and what they make of a table.
struct Learned<'a> {
    subject: &'a Subject<'a>,
    kind: StageKind,
    state: &'a [u8],
    columns: Columns,
    table: &'a Frame,
    result: Written,
}

impl Learned<'_> {
    fn apply(&self, table: &Frame, way: Way) -> Result<Written, Trouble> {
        self.subject.apply(self.kind, self.state, table, way).map(|(_, result)| result)
    }
}

/// Checks a featurizer's `features` or a predictor's `model`.
pub(super) fn check(scene: &Scene<'_>, kind: StageKind, book: &mut Book<'_>) -> Result<(), Error> {
    let (Made::Applied { state, .. } | Made::Weights(state)) = &scene.made else { return Ok(()) };
    let name = match kind {
        StageKind::Featurizer => "reads its state back",
        _ => "predicts from the trainer's weights",
    };
    let applied = scene.subject.apply(kind, state, &scene.table, Way::USUAL);
    // Scoring reads every column; a model says which of them it needs.
    let applied = applied.and_then(|(columns, result)| match kind {
        StageKind::Featurizer => Ok((columns, result)),
        _ => Ok((scene.subject.columns(state, &scene.table)?, result)),
    });
    let (columns, result) = match applied {
        Ok(applied) => applied,
        Err(trouble) => return book.note(name, Err(trouble.into())),
    };
    book.note(name, Ok(format!("{} bytes", state.len())))?;
    let learned = Learned { subject: scene.subject, kind, state, columns, table: &scene.table, result };
    damage(&learned, book)?;
    book.note("answers each row as the whole batch", rows(&learned))?;
    if kind == StageKind::Predictor {
        book.note("gives the same in another process and profile", elsewhere(&learned))?;
    }
    book.note("says which columns it reads and returns", named(&learned))?;
    book.note("finds its columns by name", by_name(&learned))?;
    book.note("does without the label when it serves", unlabelled(&learned))?;
    book.note("refuses rows without a column that it reads", missing(&learned))?;
    let serve: [(&str, Tables); 5] = [
        ("serves no rows", |learned| vec![(String::new(), learned.table.take(&[]))]),
        ("serves words that training never saw", |learned| {
            vec![(String::new(), learned.table.map(&[LABEL], samples::unknown))]
        }),
        ("serves rows without values", |learned| {
            vec![(String::new(), learned.table.map(&[], |values| values.without(|row| row % 2 == 0)))]
        }),
        ("serves strange numbers and texts", |learned| {
            let wanted = ["takes any Unicode", "takes the largest numbers", "takes NaN and infinities"];
            let strange = samples::strange(learned.table).into_iter().filter(|strange| wanted.contains(&strange.name));
            strange.flat_map(|strange| strange.tables).collect()
        }),
        ("serves columns of other types", mistyped),
    ];
    for (name, tables) in serve {
        book.note(name, served(&learned, &tables(&learned)))?;
    }
    Ok(())
}

/// Each table gets answers, one for each row, or a polite failure.
fn served(learned: &Learned<'_>, tables: &[(String, Frame)]) -> Result<String, Broken> {
    let mut refused = String::new();
    for (what, table) in tables {
        match learned.apply(table, Way::USUAL) {
            // The host has compared the number of rows, the columns and each byte with what `schema` says.
            Ok(_) => {}
            Err(trouble) => refused = polite(trouble, what)?,
        }
    }
    Ok(if refused.is_empty() { refused } else { format!("refuses politely: {refused}") })
}

/// Each column that it reads, with another type.
fn mistyped(learned: &Learned<'_>) -> Vec<(String, Frame)> {
    let fields = learned.columns.input.fields().iter();
    let tables = fields.filter_map(|field| {
        let other = samples::other_type(learned.table.column(&field.name)?);
        Some((format!("`{}` of another type", field.name), learned.table.clone().with(&field.name, other)))
    });
    tables.collect()
}

/// A column that a request must bring is one that nothing is answered without.
fn missing(learned: &Learned<'_>) -> Result<String, Broken> {
    let mut refused = String::new();
    for field in learned.columns.input.fields() {
        match learned.apply(&learned.table.drop(&field.name), Way::USUAL) {
            Err(trouble) => refused = polite(trouble, &format!("without `{}`", field.name))?,
            Ok(_) => {
                let problem = format!("it says that it reads `{}`, and does without; say `invalid-data`", field.name);
                return Err(Broken::because(problem));
            }
        }
    }
    Ok(refused)
}

/// Bytes that are no state are refused in so many words.
fn damage(learned: &Learned<'_>, book: &mut Book<'_>) -> Result<(), Error> {
    let name = "refuses a state that is damaged";
    let state = learned.state;
    if state.is_empty() {
        book.skip(name, "it learns nothing");
        return Ok(());
    }
    let must: [(&str, Vec<u8>); 5] = [
        ("an empty one", Vec::new()),
        ("the first half", state[..state.len() / 2].to_vec()),
        ("all but the last byte", state[..state.len() - 1].to_vec()),
        ("noise", (0_u32..200).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect()),
        ("zeros", vec![0; 4096]),
    ];
    // What a flipped bit leaves may be readable; it may not crash.
    let may = (0..16).map(|part| {
        let mut flipped = state.to_vec();
        let place = part * state.len() / 16;
        flipped[place] ^= 1 << (part % 8);
        (format!("bit {} of byte {place} flipped", part % 8), flipped)
    });
    let apply = |state: &[u8]| learned.subject.apply(learned.kind, state, learned.table, Way::USUAL);
    let look = || {
        for (what, damaged) in &must {
            match apply(damaged) {
                Err(Trouble::Said(FailureKind::InvalidState, _)) => {}
                Err(Trouble::Host(error)) => return Err(Broken::Host(error)),
                Err(trouble) => return Err(Broken::because(format!("{what}: {}", trouble.text()))),
                Ok(_) => return Err(Broken::because(format!("{what} is taken; say `invalid-state`"))),
            }
        }
        for (what, damaged) in may {
            match apply(&damaged) {
                Ok(_) | Err(Trouble::Said(FailureKind::InvalidState, _)) => {}
                Err(trouble) => drop(polite(trouble, &what)?),
            }
        }
        Ok(String::new())
    };
    book.note(name, look())
}

/// Alone, in a batch of its own among others, and in the whole: a row gets the same answer.
fn rows(learned: &Learned<'_>) -> Result<String, Broken> {
    let single = learned.apply(learned.table, Way { cut: Cut::Ones, ..Way::USUAL })?;
    if let Some(difference) = learned.result.difference(&single) {
        return Err(Broken::because(difference));
    }
    let schema = &learned.result.schema;
    for row in (0..learned.table.rows()).take(SINGLE) {
        let alone = learned.apply(&learned.table.take(&[row]), Way::USUAL)?;
        let slice = Written {
            schema: schema.clone(),
            batch: Batch::slice(&learned.result.batch, schema, row..row + 1).canonical(schema),
        };
        if let Some(difference) = slice.difference(&alone) {
            return Err(Broken::because(format!("row {row} alone: {difference}")));
        }
    }
    Ok(String::new())
}

fn elsewhere(learned: &Learned<'_>) -> Result<String, Broken> {
    let strict = stagewright_core::stage::Profile::Strict;
    let ways = [Way { room: 1, ..Way::USUAL }, Way { profile: strict, ..Way::USUAL }];
    for way in ways.into_iter().filter(|way| learned.subject.goes(*way)) {
        let again = learned.apply(learned.table, way)?;
        if let Some(difference) = learned.result.difference(&again) {
            return Err(Broken::because(difference));
        }
    }
    Ok(learned.subject.left_out())
}

fn named(learned: &Learned<'_>) -> Result<String, Broken> {
    let Columns { input, output } = &learned.columns;
    for field in input.fields() {
        if learned.table.column(&field.name).is_none() {
            return Err(Broken::because(format!("it reads `{}`, which it was never given", field.name)));
        }
    }
    if output.is_empty() {
        return Err(Broken::because("it returns no columns"));
    }
    if learned.kind == StageKind::Predictor {
        let Some(prediction) = output.index_of("prediction").and_then(|at| output.fields().get(at)) else {
            return Err(Broken::because("a predictor returns a column `prediction`"));
        };
        // One of the positive class, or one of each of several classes.
        let is_score = |name: &str| name == "score" || name.starts_with("score-");
        let scores: Vec<_> = output.fields().iter().filter(|field| is_score(&field.name)).collect();
        if let Some(score) = scores.iter().find(|score| score.column_type != ColumnType::Float64) {
            return Err(Broken::because(format!("`{}` is a float64", score.name)));
        }
        if scores.is_empty() && prediction.column_type != ColumnType::Float64 {
            return Err(Broken::because(
                "a regression's `prediction` is a float64, and a classifier has a `score` too",
            ));
        }
        let frame = learned.result.frame();
        let outside = |value: &&Option<String>| {
            value
                .as_ref()
                .and_then(|value| value.parse::<f64>().ok())
                .is_some_and(|value| !(0.0..=1.0).contains(&value))
        };
        for field in &scores {
            let shown = frame.column(&field.name).map(|scores| scores.shown());
            if let Some(Some(score)) = shown.iter().flatten().find(outside) {
                return Err(Broken::because(format!("a score of {score} is no probability")));
            }
        }
    }
    Ok(format!("reads {}, returns {}", input.len(), output.len()))
}

/// Order and company of the columns do not matter.
fn by_name(learned: &Learned<'_>) -> Result<String, Broken> {
    let mut reversed = learned.table.clone();
    reversed.0.reverse();
    let numbers = samples::ordinary(samples::Label::Numbers);
    let extra = numbers.column("number").cloned();
    if let Some(extra) = extra {
        reversed.0.insert(0, ("one column more".to_owned(), extra));
    }
    let other = learned.apply(&reversed, Way::USUAL)?;
    let (expected, found) = (learned.result.frame(), other.frame());
    for (name, values) in &expected.0 {
        if found.column(name) != Some(values) {
            return Err(Broken::because(format!("with the columns in another order, `{name}` differs")));
        }
    }
    Ok(String::new())
}

/// Serving has no label, and makes the same of everything else.
fn unlabelled(learned: &Learned<'_>) -> Result<String, Broken> {
    let table = learned.table.drop(LABEL);
    let columns = &learned.columns.input;
    if columns.index_of(LABEL).is_some() {
        return Err(Broken::because(format!("it says that it reads `{LABEL}`, which a request cannot bring")));
    }
    let (expected, found) = (learned.result.frame(), learned.apply(&table, Way::USUAL)?.frame());
    for (name, values) in &found.0 {
        if expected.column(name) != Some(values) {
            return Err(Broken::because(format!("without the label, `{name}` differs")));
        }
    }
    Ok(String::new())
}
