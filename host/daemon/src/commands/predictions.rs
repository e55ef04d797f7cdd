//! `predictions list`, `show`, `replay`, `export`, `seal`, `erase`.

use std::fmt::Write;

use serde_json::{Map, Value, json};
use stagewright::{
    deploy,
    predictions::{self, Choice, Entry, Listed, Replay},
};

use super::Context;
use crate::{
    args::predictions::PredictionsCommand,
    failure::{Failure, NOT_VERIFIED},
    text::{Columns, count, printable, time},
};

pub(crate) fn dispatch(context: &Context, command: PredictionsCommand) -> Result<(), Failure> {
    match command {
        PredictionsCommand::List => {
            let listed = predictions::list(&context.read()?)?;
            context.print(&listed, |listed| list_text(listed))
        }
        PredictionsCommand::Show { request, endpoint } => {
            let project = context.read()?;
            let entries = predictions::find(&project, &request, endpoint.as_ref())?;
            let shown: Result<Vec<Value>, stagewright::Error> = entries
                .iter()
                .map(|entry| {
                    Ok(json!({
                        "answer": entry, "inputs": entry.inputs(), "outputs": entry.outputs(),
                        "labels": entry.labels(&project)?,
                    }))
                })
                .collect();
            context
                .print(&shown?, |shown| shown.iter().zip(&entries).map(|(shown, entry)| text(shown, entry)).collect())
        }
        PredictionsCommand::Replay { request, endpoint } => {
            let project = context.write()?;
            let entries = predictions::find(&project, &request, endpoint.as_ref())?;
            let replayed: Vec<(Entry, Replay)> = entries
                .into_iter()
                .map(|entry| {
                    let verdict = predictions::replay(&project, &entry);
                    (entry, verdict)
                })
                .collect();
            let shown: Vec<Value> =
                replayed.iter().map(|(entry, verdict)| json!({ "answer": entry, "replay": verdict })).collect();
            context
                .print(&shown, |_| replayed.iter().map(|(entry, verdict)| verdict_text(entry, verdict)).collect())?;
            match replayed.iter().all(|(_, verdict)| *verdict == Replay::Same) {
                true => Ok(()),
                false => Err(Failure::silent(NOT_VERIFIED)),
            }
        }
        PredictionsCommand::Export { place, file, table, with_feedback, model } => {
            let choice = Choice { model, label: with_feedback };
            let project = if table.is_some() { context.write()? } else { context.read()? };
            let plan = deploy::at(&project, &place.environment, place.endpoint.as_ref())?.plan;
            let (exported, to) = match (file, table) {
                (_, Some(table)) => {
                    let exported = predictions::to_table(&project, &plan.environment, &plan.endpoint, &choice, &table)?;
                    let number = exported.version.as_ref().map(|version| version.number).unwrap_or_default();
                    (exported, format!("{table}@{number}"))
                }
                (Some(file), None) => {
                    let path = context.path(&file)?;
                    let exported = predictions::to_file(&project, &plan.environment, &plan.endpoint, &choice, &path)?;
                    (exported, file.display().to_string())
                }
                (None, None) => return Err(Failure::new(crate::failure::WRONG_INPUT, "name a file or a --table")),
            };
            context.print(&exported, |exported| {
                let mut text = format!("wrote {} rows to {to}\n", count(exported.rows));
                if exported.left_out > 0 {
                    let _ = writeln!(
                        text,
                        "left out {} rows of models with other columns; --model selects one",
                        count(exported.left_out)
                    );
                }
                text
            })
        }
        PredictionsCommand::Seal { place } => {
            let project = context.write()?;
            let plan = deploy::at(&project, &place.environment, place.endpoint.as_ref())?.plan;
            let sealed = predictions::seal(&project, &plan.environment, &plan.endpoint)?;
            context.print(&sealed, |sealed| {
                let lines =
                    sealed.iter().map(|version| format!("{}@{}: {}\n", version.name, version.number, version.message));
                let text: String = lines.collect();
                if text.is_empty() { "everything is in segments already\n".to_owned() } else { text }
            })
        }
        PredictionsCommand::Erase { place, segment, message } => {
            let project = context.write()?;
            let plan = deploy::at(&project, &place.environment, place.endpoint.as_ref())?.plan;
            let version = predictions::erase(&project, &plan.environment, &plan.endpoint, segment, &message)?;
            context.print(&version, |version| {
                format!(
                    "{}@{} is erased; the audit log keeps that it was there\n`stagewright gc` erases the bytes\n",
                    version.name, version.number
                )
            })
        }
    }
}

fn list_text(listed: &[Listed]) -> String {
    let mut columns =
        Columns::new(&["environment", "endpoint", "rows", "in segments", "labels", "not kept", "first", "last"]);
    for one in listed {
        let when = |at_ms: u64| if one.all.rows == 0 { String::new() } else { time(at_ms) };
        columns.row([
            one.environment.to_string(),
            one.endpoint.to_string(),
            count(one.all.rows),
            count(one.all.rows - one.open_rows),
            count(one.labels),
            count(one.all.dropped),
            when(one.all.first_ms),
            when(one.all.last_ms),
        ]);
    }
    match columns.is_empty() {
        true => "nothing is deployed yet, so that nothing was predicted\n".to_owned(),
        false => columns.text(),
    }
}

fn text(shown: &Value, entry: &Entry) -> String {
    let mut text = format!(
        "{}  {} as {} at `{}` in {} on {} UTC, {} µs\n",
        printable(&entry.request_id),
        entry.model,
        entry.role,
        entry.endpoint,
        entry.environment,
        time(entry.at_ms),
        entry.latency_us
    );
    let fields = |row: &Map<String, Value>| -> String {
        row.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
    };
    for (row, (inputs, outputs)) in entry.inputs().iter().zip(entry.outputs()).enumerate() {
        let label = shown["labels"][row].as_str().map(|label| format!("  label {label}")).unwrap_or_default();
        let said = entry.error.clone().unwrap_or_else(|| fields(&outputs));
        let _ = writeln!(text, "  {}\n  -> {}{}", printable(&fields(inputs)), printable(&said), printable(&label));
    }
    text
}

fn verdict_text(entry: &Entry, verdict: &Replay) -> String {
    let of = format!("{} by {} ({})", printable(&entry.request_id), entry.model, entry.digest.short());
    match verdict {
        Replay::Same => {
            let rows = if entry.rows() == 1 { "its row".to_owned() } else { format!("its {} rows", entry.rows()) };
            format!("{of}: {rows} ran again, and every output is the same, bit for bit\n")
        }
        Replay::Differs { row, column, logged, found } => {
            format!("{of}: row {row}, column `{column}` was {logged} and is {found} now\n")
        }
        Replay::Swapped { now } => format!("{of}: that version is another model now ({})\n", now.short()),
        Replay::Failed { message } => format!("{of}: {}\n", printable(message)),
    }
}
