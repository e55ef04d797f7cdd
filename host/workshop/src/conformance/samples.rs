//! Tables that a stage may meet: ordinary ones to begin with, and then everything that real data springs on it.

use super::frame::{Frame, Values};

/// The column that is to be predicted.
pub(crate) const LABEL: &str = "label";
pub(crate) const ROWS: usize = 120;

/// What the label of a sample is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Label {
    Words,
    Numbers,
    Ints,
    Booleans,
}

/// Numbers from a fixed generator, in 0..1.
fn draws(seed: u64) -> impl Iterator<Item = f64> {
    let mut state = seed;
    std::iter::repeat_with(move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1_u64 << 53) as f64
    })
}

fn floats(seed: u64) -> Vec<f64> {
    draws(seed).take(ROWS).collect()
}

/// An ordinary table: every type, every row with every value, and a label that the others explain in part.
pub(crate) fn ordinary(label: Label) -> Frame {
    let (number, noise, other) = (floats(1), floats(2), floats(3));
    let word = |share: f64| ["red", "green", "blue"][(share * 3.0) as usize % 3].to_owned();
    let positive: Vec<bool> = number.iter().zip(&noise).map(|(number, noise)| number + 0.5 * noise > 0.75).collect();
    let label = match label {
        Label::Words => {
            Values::Words(positive.iter().map(|yes| Some(if *yes { "yes" } else { "no" }.to_owned())).collect())
        }
        Label::Numbers => {
            Values::Floats(number.iter().zip(&noise).map(|(number, noise)| Some(3.0 * number + noise)).collect())
        }
        Label::Ints => Values::Ints(positive.iter().map(|yes| Some(i64::from(*yes))).collect()),
        Label::Booleans => Values::Booleans(positive.iter().copied().map(Some).collect()),
    };
    Frame::default()
        .with("number", Values::Floats(number.iter().map(|value| Some(value * 10.0)).collect()))
        .with("other", Values::Floats(other.iter().map(|value| Some(value - 0.5)).collect()))
        .with("count", Values::Ints(noise.iter().map(|value| Some((value * 50.0) as i64)).collect()))
        .with("flag", Values::Booleans(other.iter().map(|value| Some(*value > 0.4)).collect()))
        .with("word", Values::Words(floats(4).into_iter().map(|value| Some(word(value))).collect()))
        .with("note", Values::Texts((0..ROWS).map(|row| Some(format!("note {row}"))).collect()))
        .with(
            "when",
            Values::Times((0..ROWS as i64).map(|row| Some(1_700_000_000_000_000 + row * 86_400_000_000)).collect()),
        )
        .with(LABEL, label)
}

/// The same rows and a model's answers behind them.
pub(crate) fn scored(label: Label) -> Frame {
    let table = ordinary(label);
    let score: Vec<f64> = floats(1).iter().zip(floats(5)).map(|(number, noise)| 0.7 * number + 0.3 * noise).collect();
    let prediction = match label {
        Label::Numbers => Values::Floats(score.iter().map(|score| Some(score * 4.0)).collect()),
        Label::Ints => Values::Ints(score.iter().map(|score| Some(i64::from(*score >= 0.5))).collect()),
        Label::Booleans => Values::Booleans(score.iter().map(|score| Some(*score >= 0.5)).collect()),
        Label::Words => {
            Values::Words(score.iter().map(|score| Some(if *score >= 0.5 { "yes" } else { "no" }.to_owned())).collect())
        }
    };
    let table = match label {
        Label::Numbers => table,
        _ => table.with("score", Values::Floats(score.into_iter().map(Some).collect())),
    };
    table.with("prediction", prediction)
}

/// What stages are tried with until one takes it: fewer and fewer kinds of columns.
pub(crate) fn attempts(scores: bool) -> Vec<Frame> {
    let mut all = Vec::new();
    for dropped in [&[][..], &["note", "when"], &["note", "when", "word", "flag", "count"]] {
        for label in [Label::Words, Label::Numbers, Label::Ints, Label::Booleans] {
            let whole = if scores { scored(label) } else { ordinary(label) };
            all.push(dropped.iter().fold(whole, |frame, column| frame.drop(column)));
        }
    }
    all
}

/// What is done to an ordinary table, and what it is called.
pub(crate) struct Strange {
    pub(crate) name: &'static str,
    pub(crate) tables: Vec<(String, Frame)>,
}

/// Everything a stage must get through with a result or a polite failure.
pub(crate) fn strange(ordinary: &Frame) -> Vec<Strange> {
    let one = |name, table| Strange { name, tables: vec![(String::new(), table)] };
    let columns: Vec<&str> = ordinary.0.iter().map(|(name, _)| name.as_str()).collect();
    let all: Vec<usize> = (0..ordinary.rows()).collect();
    vec![
        one("takes no rows", ordinary.take(&[])),
        one("takes one row", ordinary.take(&[0])),
        one("takes equal rows", ordinary.take(&vec![0; 40])),
        one("takes missing values", ordinary.map(&[LABEL], |values| values.without(|row| row % 5 == 2))),
        Strange {
            name: "takes columns without values",
            tables: [("the label too", &[][..]), ("but the label", &[LABEL])]
                .map(|(what, keep)| (what.to_owned(), ordinary.map(keep, |values| values.without(|_| true))))
                .into(),
        },
        one("takes any Unicode", unicode(ordinary)),
        one("takes the largest numbers", ordinary.map(&[LABEL], large)),
        Strange {
            name: "takes NaN and infinities",
            tables: [("here and there", &all[..]), ("only", &[0; 30])]
                .map(|(what, rows)| (what.to_owned(), ordinary.map(&[LABEL], not_finite).take(rows)))
                .into(),
        },
        Strange {
            name: "takes missing columns",
            tables: columns
                .iter()
                .map(|column| (format!("without `{column}`"), ordinary.drop(column)))
                .chain([("without any".to_owned(), Frame::default())])
                .collect(),
        },
        Strange {
            name: "takes columns of other types",
            tables: columns
                .iter()
                .filter_map(|column| {
                    let swapped = other_type(ordinary.column(column)?);
                    Some((format!("`{column}` of another type"), ordinary.clone().with(column, swapped)))
                })
                .collect(),
        },
    ]
}

const TEXTS: [&str; 10] = [
    "",
    " ",
    "größe",
    "数据",
    "👩‍🔬",
    "e\u{301}",
    "\u{202e}back",
    "line\nbreak\t\"quoted\", \\",
    "nul\0inside",
    "\u{10ffff}",
];

/// Words of every script, and one of 100,000 characters; columns named likewise beside the known ones.
fn unicode(ordinary: &Frame) -> Frame {
    let text = |row: usize| match row % 11 {
        10 => "long ".repeat(20_000),
        other => TEXTS[other].to_owned(),
    };
    let rows = ordinary.rows();
    let changed = ordinary.map(&[LABEL, "prediction"], |values| match values {
        Values::Texts(_) => Values::Texts((0..rows).map(|row| Some(text(row))).collect()),
        Values::Words(_) => Values::Words((0..rows).map(|row| Some(text(row))).collect()),
        other => other.clone(),
    });
    ["naïve 列 🎉", "a.b[0]=\"c\""].iter().fold(changed, |frame, name| {
        let values = (0..rows).map(|row| Some(row as f64)).collect();
        frame.with(name, Values::Floats(values))
    })
}

/// Whole numbers that a double cannot hold, times far away, and doubles at the ends of their range.
pub(crate) fn large(values: &Values) -> Values {
    const EXACT: i64 = (1 << 53) + 1;
    let ints = [EXACT, -EXACT, i64::MAX, i64::MIN, 0, EXACT + 2, i64::MAX - 1];
    let numbers = [f64::MAX, f64::MIN, 1e-310, -0.0, 1e308, 0.1 + 0.2, f64::MIN_POSITIVE];
    let rows = values.len();
    match values {
        Values::Ints(_) => Values::Ints((0..rows).map(|row| Some(ints[row % ints.len()])).collect()),
        Values::Times(_) => Values::Times((0..rows).map(|row| Some(ints[row % ints.len()])).collect()),
        Values::Floats(_) => Values::Floats((0..rows).map(|row| Some(numbers[row % numbers.len()])).collect()),
        other => other.clone(),
    }
}

fn not_finite(values: &Values) -> Values {
    let strange = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::from_bits(0xfff0_0000_dead_beef)];
    match values {
        Values::Floats(values) => Values::Floats(
            values
                .iter()
                .enumerate()
                .map(|(row, value)| if row % 6 < 4 { Some(strange[row % 4]) } else { *value })
                .collect(),
        ),
        other => other.clone(),
    }
}

/// The same values as text, and text as numbers.
pub(crate) fn other_type(values: &Values) -> Values {
    match values {
        Values::Texts(values) | Values::Words(values) => {
            Values::Floats((0..values.len()).map(|row| Some(row as f64 / 4.0)).collect())
        }
        other => Values::Texts(other.shown()),
    }
}

/// Words that training never saw.
pub(crate) fn unknown(values: &Values) -> Values {
    let words = |count: usize| (0..count).map(|row| Some(format!("never seen {}", row % 7))).collect();
    match values {
        Values::Words(values) => Values::Words(words(values.len())),
        Values::Texts(values) => Values::Texts(words(values.len())),
        other => other.clone(),
    }
}
