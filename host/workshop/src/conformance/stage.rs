//! The promises of every kind of stage.

use serde_json::{Value, json};
use stagewright_core::{
    StageKind,
    stage::{Profile, StageInfo},
};
use stagewright_runtime::FailureKind;

use super::{
    Book, Broken, Error, apply, exact,
    frame::{Cut, Frame},
    guess::{self, Parameters},
    report,
    samples::{self, Strange},
    subject::{Made, Subject, Trouble, Way},
};

/// A stage, and a table that it takes.
pub(super) struct Scene<'a> {
    pub(super) subject: &'a Subject<'a>,
    pub(super) stage: &'a StageInfo,
    pub(super) parameters: Parameters,
    pub(super) outputs: Vec<String>,
    pub(super) table: Frame,
    pub(super) made: Made,
}

impl Scene<'_> {
    pub(super) fn run(&self, table: &Frame, way: Way) -> Result<Made, Trouble> {
        self.subject.run(self.stage, table, &self.parameters, &self.outputs, way)
    }
}

/// Checks one stage.
pub(super) fn check(
    subject: &Subject<'_>,
    stage: &StageInfo,
    stages: &[StageInfo],
    with: &Parameters,
    book: &mut Book<'_>,
) -> Result<(), Error> {
    if stage.kind == StageKind::Predictor {
        return predictor(subject, stage, stages, with, book);
    }
    let Some(scene) = first(subject, stage, with, book)? else { return Ok(()) };
    same(&scene, book)?;
    parameters(&scene, book)?;
    for strange in samples::strange(&scene.table) {
        book.note(strange.name, survives(&scene, &strange))?;
    }
    match stage.kind {
        StageKind::Preprocessor | StageKind::Featurizer => exact::check(&scene, book)?,
        StageKind::Trainer => {}
        _ => reports(&scene, book)?,
    }
    if stage.kind == StageKind::Featurizer {
        apply::check(&scene, StageKind::Featurizer, book)?;
    }
    Ok(())
}

/// A predictor reads what the trainer of the same component wrote.
fn predictor(
    subject: &Subject<'_>,
    stage: &StageInfo,
    stages: &[StageInfo],
    with: &Parameters,
    book: &mut Book<'_>,
) -> Result<(), Error> {
    let name = "predicts from the trainer's weights";
    let Some(trainer) = stages.iter().find(|stage| stage.kind == StageKind::Trainer) else {
        book.skip(name, "the component has no trainer that would make weights for it");
        return Ok(());
    };
    let found = match attempt(subject, trainer, with)? {
        Ok(found) => found,
        Err(_) => {
            book.skip(name, "the trainer made no weights");
            return Ok(());
        }
    };
    let scene = Scene { stage, ..found };
    apply::check(&scene, StageKind::Predictor, book)
}

const FIRST: &str = "works on an ordinary table";

/// Finds a table that the stage takes.
fn first<'a>(
    subject: &'a Subject<'a>,
    stage: &'a StageInfo,
    with: &Parameters,
    book: &mut Book<'_>,
) -> Result<Option<Scene<'a>>, Error> {
    match attempt(subject, stage, with)? {
        Ok(scene) => {
            let columns: Vec<String> = scene.table.0.iter().map(|(name, _)| name.clone()).collect();
            book.note(FIRST, Ok(format!("{} rows of {}", scene.table.rows(), columns.join(", "))))?;
            Ok(Some(scene))
        }
        Err(Broken::Host(error)) => Err(error.into()),
        Err(broken @ Broken::Promise(_)) => {
            book.note(FIRST, Err(broken))?;
            Ok(None)
        }
    }
}

/// Tries tables and, for preprocessors, numbers of outputs, until the stage takes one.
fn attempt<'a>(
    subject: &'a Subject<'a>,
    stage: &'a StageInfo,
    with: &Parameters,
) -> Result<Result<Scene<'a>, Broken>, Error> {
    let guessed = guess::guess(&stage.parameters, with);
    let parameters = guess::complete(&stage.parameters, &guessed);
    let scores = matches!(stage.kind, StageKind::Evaluator | StageKind::FairnessChecker);
    let mut refusal: Option<String> = None;
    for table in samples::attempts(scores) {
        for outputs in outputs(stage) {
            match subject.run(stage, &table, &parameters, &outputs, Way::USUAL) {
                Ok(made) => {
                    return Ok(Ok(Scene { subject, stage, parameters, outputs, table, made }));
                }
                Err(Trouble::Host(error)) => return Err(error.into()),
                Err(Trouble::Said(FailureKind::InvalidData | FailureKind::InvalidParameter, message)) => {
                    refusal.get_or_insert(message);
                }
                Err(trouble) => return Ok(Err(Broken::because(trouble.text()))),
            }
        }
    }
    let hint = "give it parameters that suit columns like number, count, flag, word, note, when and label";
    Ok(Err(Broken::because(format!("it refuses every table of the kit ({hint}): {}", refusal.unwrap_or_default()))))
}

/// The outputs that a preprocessor may be asked for.
fn outputs(stage: &StageInfo) -> Vec<Vec<String>> {
    if stage.kind != StageKind::Preprocessor {
        return vec![Vec::new()];
    }
    let named: Vec<String> =
        stage.outputs.iter().filter(|port| port.name != "*").map(|port| port.name.clone()).collect();
    if named.len() == stage.outputs.len() {
        return vec![named];
    }
    [2, 1, 3].map(|count| named.iter().cloned().chain((1..=count).map(|part| format!("part{part}"))).collect()).into()
}

/// Determinism: processes, profiles and batches make no difference.
fn same(scene: &Scene<'_>, book: &mut Book<'_>) -> Result<(), Error> {
    let ways = [
        ("gives the same twice", vec![Way { room: 1, ..Way::USUAL }, Way::USUAL]),
        ("gives the same in both profiles", vec![Way { profile: Profile::Strict, ..Way::USUAL }]),
        (
            "gives the same however rows are cut into batches",
            vec![Way { cut: Cut::Ones, ..Way::USUAL }, Way { cut: Cut::Uneven, ..Way::USUAL }],
        ),
    ];
    for (name, mut ways) in ways {
        ways.retain(|way| scene.subject.goes(*way));
        if ways.is_empty() {
            book.skip(name, &scene.subject.left_out());
            continue;
        }
        let look = || {
            for way in ways {
                let again = scene.run(&scene.table, way)?;
                if let Some(difference) = difference(&scene.made, &again) {
                    return Err(Broken::because(difference));
                }
            }
            Ok(String::new())
        };
        book.note(name, look())?;
    }
    Ok(())
}

/// Where two results differ, in words.
pub(super) fn difference(one: &Made, other: &Made) -> Option<String> {
    if one == other {
        return None;
    }
    Some(match (one, other) {
        (Made::Tables(one), Made::Tables(other)) => {
            let pairs = one.iter().zip(other);
            let mut found = pairs
                .filter_map(|((name, one), (_, other))| Some(format!("output `{name}`: {}", one.difference(other)?)));
            found.next().unwrap_or_else(|| "the outputs differ".to_owned())
        }
        (Made::Applied { state: one, result: a }, Made::Applied { state: other, result: b }) => match one == other {
            false => state_difference(one, other),
            true => a.difference(b).unwrap_or_default(),
        },
        (Made::Weights(one), Made::Weights(other)) => state_difference(one, other),
        (Made::Report(one), Made::Report(other)) => {
            let metric = one.metrics.iter().zip(&other.metrics).find(|(one, other)| one != other);
            match metric {
                Some((one, other)) => format!("metric `{}`: {:?} against {:?}", one.name, one.value, other.value),
                None => "the reports differ".to_owned(),
            }
        }
        _ => "the results are of different kinds".to_owned(),
    })
}

fn state_difference(one: &[u8], other: &[u8]) -> String {
    match one.iter().zip(other).position(|(one, other)| one != other) {
        Some(place) => format!("what it learned differs from byte {place} on"),
        None => format!("what it learned has {} bytes against {}", one.len(), other.len()),
    }
}

/// Parameters that the host would not let through must not get through here either.
fn parameters(scene: &Scene<'_>, book: &mut Book<'_>) -> Result<(), Error> {
    let schema = &scene.stage.parameters;
    let names = ["works with its defaults", "refuses unknown parameters", "refuses parameters of a wrong type"];
    if guess::properties(schema).next().is_none() {
        names.iter().for_each(|name| book.skip(name, "it takes no parameters"));
        return Ok(());
    }
    let given: Parameters = guess::guess(schema, &scene.parameters);
    let run =
        |parameters: &Parameters| scene.subject.run(scene.stage, &scene.table, parameters, &scene.outputs, Way::USUAL);
    let defaults = || {
        let required: Parameters = guess::guess(schema, &Parameters::new());
        let spelled: Parameters = guess::complete(schema, &required);
        if spelled != scene.parameters {
            return Ok("as far as the given parameters leave them".to_owned());
        }
        match run(&required) {
            Ok(made) => difference(&scene.made, &made).map_or(Ok(String::new()), |difference| {
                Err(Broken::because(format!("without them it gives something else: {difference}")))
            }),
            // The host fills them in, so that a stage need not know them by heart.
            Err(Trouble::Said(FailureKind::InvalidParameter, _)) => {
                Ok("it relies on the host to fill them in".to_owned())
            }
            Err(trouble) => Err(trouble.into()),
        }
    };
    book.note(names[0], defaults())?;
    let refused = |name: &str, value: &Value| {
        let mut parameters = guess::complete(schema, &given);
        parameters.insert(name.to_owned(), value.clone());
        match run(&parameters) {
            Err(Trouble::Said(FailureKind::InvalidParameter, _)) => Ok(()),
            Err(Trouble::Host(error)) => Err(Broken::Host(error)),
            Err(trouble) => Err(Broken::because(format!("`{name} = {value}`: {}", trouble.text()))),
            Ok(_) => Err(Broken::because(format!("`{name} = {value}` is taken; say `invalid-parameter`"))),
        }
    };
    book.note(names[1], refused("no-such-parameter", &json!(1)).map(|()| String::new()))?;
    let wrong = guess::wrong(schema, &given);
    if wrong.is_empty() {
        book.skip(names[2], "its schema lets everything through");
        return Ok(());
    }
    let all = wrong.iter().try_for_each(|(name, value)| refused(name, value));
    book.note(names[2], all.map(|()| format!("{} parameters", wrong.len())))
}

/// Whether a failure is one that data like this may cause.
pub(super) fn polite(trouble: Trouble, what: &str) -> Result<String, Broken> {
    match trouble {
        Trouble::Said(FailureKind::InvalidData | FailureKind::InvalidParameter, message) => Ok(message),
        Trouble::Host(error) => Err(Broken::Host(error)),
        other => Err(Broken::because(format!("{what}: {}", other.text()).trim_start_matches(": ").to_owned())),
    }
}

/// A result or a polite failure for each table.
fn survives(scene: &Scene<'_>, strange: &Strange) -> Result<String, Broken> {
    let (mut refused, mut last) = (0, String::new());
    for (what, table) in &strange.tables {
        match scene.run(table, Way::USUAL) {
            Ok(Made::Report(made)) => drop(report::check(&made, table.rows())?),
            Ok(_) => {}
            Err(trouble) => {
                last = polite(trouble, what)?;
                refused += 1;
            }
        }
    }
    Ok(match (refused, strange.tables.len()) {
        (0, _) => String::new(),
        (1, 1) => format!("refuses politely: {last}"),
        (refused, all) => format!("refuses {refused} of {all} politely: {last}"),
    })
}

/// Reports must make sense.
fn reports(scene: &Scene<'_>, book: &mut Book<'_>) -> Result<(), Error> {
    let Made::Report(made) = &scene.made else { return Ok(()) };
    book.note("reports what makes sense", report::check(made, scene.table.rows()))
}
