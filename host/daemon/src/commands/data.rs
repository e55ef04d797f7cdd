//! `data add`, `list`, `show`, `diff`, `log`, `tag`, `delete`, `export`.

use std::{collections::BTreeSet, fmt::Write};

use serde_json::json;
use stagewright::{
    Project, data,
    ingest::{Delimiter, Encoding, Format, Header, Options, Ragged as RaggedRows},
    run,
    store::{ArtifactKind, Version},
};
use stagewright_core::{ColumnType, Name, VersionRef};

use super::Context;
use crate::{
    args::{DataCommand, Ragged, ReadOptions},
    failure::{Failure, WRONG_INPUT},
    text::{Columns, count, number, printable, time},
};

pub(crate) fn dispatch(context: &Context, command: DataCommand) -> Result<(), Failure> {
    match command {
        DataCommand::Add { name, file, message, options } => {
            let (name, options) = (name.parse::<Name>()?, read_options(*options)?);
            let (file, cancel) = (context.path(&file)?, context.cancelled_by_user());
            let added = data::add(&context.write()?, &name, &file, &options, &message, &cancel)?;
            for note in &added.notes {
                context.progress.line(&format!("note: {}", printable(note)));
            }
            context.print(&added, |added| {
                let mut columns = Columns::new(&["column", "type", "missing values"]);
                for field in added.schema.fields() {
                    let nullable = if field.nullable { "yes" } else { "no" };
                    columns.row([field.name.clone(), field.column_type.as_str().to_owned(), nullable.to_owned()]);
                }
                let unchanged = if added.unchanged { " (unchanged)" } else { "" };
                let version = called(&added.version);
                let shape = format!("{} rows, {} columns", count(added.rows), added.schema.len());
                format!("{version}{unchanged}: {shape}, {}\n{}", added.version.digest.short(), columns.text())
            })
        }
        DataCommand::List => {
            let listed = data::list(context.read()?.store.data()?, ArtifactKind::Table)?;
            context.print(&listed, |listed| {
                let mut columns = Columns::new(&["table", "versions", "rows", "columns", "tags", "added", "digest"]);
                for one in listed {
                    let tags: Vec<_> = one.tags.iter().map(|(tag, number)| format!("{tag}={number}")).collect();
                    columns.row([
                        called(&one.latest),
                        one.versions.to_string(),
                        one.rows.map(count).unwrap_or_default(),
                        one.columns.map(|columns| columns.to_string()).unwrap_or_default(),
                        tags.join(" "),
                        time(one.latest.at_ms),
                        one.latest.digest.short(),
                    ]);
                }
                match columns.is_empty() {
                    true => "no tables yet; `stagewright data add NAME FILE` makes one\n".to_owned(),
                    false => columns.text(),
                }
            })
        }
        DataCommand::Show { version, rows } => {
            let shown = data::show(&context.read()?, &version.parse()?, rows)?;
            context.print(&shown, shown_text)
        }
        DataCommand::Diff { before, after } => {
            let diff = data::diff(&context.read()?, &before.parse()?, &after.parse()?)?;
            context.print(&diff, diff_text)
        }
        DataCommand::Log { name } => {
            let project = context.read()?;
            let name: Name = name.parse()?;
            let (log, deleted) = (project.store.data()?.log(&name)?, project.store.data()?.deleted(&name)?);
            if log.is_empty() && deleted.is_empty() {
                // For the message with the nearest name.
                project.store.data()?.resolve(&name.to_string().parse::<VersionRef>()?)?;
            }
            context.print(&json!({ "versions": log, "deleted": deleted }), |_| {
                let mut columns = Columns::new(&["version", "parent", "added", "by", "digest", "message"]);
                for version in &log {
                    columns.row([
                        called(version),
                        version.parent.map(|parent| parent.to_string()).unwrap_or_default(),
                        time(version.at_ms),
                        version.author.clone(),
                        version.digest.short(),
                        version.message.clone(),
                    ]);
                }
                let mut text = columns.text();
                for tombstone in &deleted {
                    let (version, when) = (called(&tombstone.version), time(tombstone.at_ms));
                    let (author, reason) = (printable(&tombstone.author), printable(&tombstone.reason));
                    let _ = writeln!(text, "{version} was deleted on {when} UTC by {author}: {reason}");
                }
                text
            })
        }
        DataCommand::Tag { version, tag } => {
            let project = context.write()?;
            let version = data::tag(project.store.data()?, &project, &version.parse()?, &tag)?;
            context.print(&version, |version| format!("{}@{tag} is {} now\n", version.name, called(version)))
        }
        DataCommand::Delete { version, message, derived } => {
            let project = context.write()?;
            let version = data::delete(project.store.data()?, &project, &version.parse()?, &message)?;
            let forgotten = if derived { forget_users(&project, &version)? } else { BTreeSet::new() };
            context.print(&json!({ "deleted": version, "forgotten_runs": forgotten }), |_| {
                let mut text = format!("{} is deleted; the audit log keeps that it was there\n", called(&version));
                if !forgotten.is_empty() {
                    let runs: Vec<_> = forgotten.iter().map(u64::to_string).collect();
                    let _ = writeln!(text, "forgot the runs that used it: {}", runs.join(", "));
                }
                text + "`stagewright gc` erases the bytes that nothing else needs\n"
            })
        }
        DataCommand::Export { version, file } => {
            let file = context.path(&file)?;
            let version = data::export(&context.read()?, &version.parse()?, &file)?;
            context.print(&version, |version| format!("wrote {} to {file}\n", called(version)))
        }
    }
}

fn forget_users(project: &Project, version: &Version) -> Result<BTreeSet<u64>, Failure> {
    let runs = run::list(project, usize::MAX, None)?;
    let users = runs.iter().filter(|run| run.data.values().any(|used| used.digest == version.digest));
    let users: BTreeSet<u64> = users.map(|run| run.id).collect();
    run::forget(project, &users)?;
    Ok(users)
}

fn called(version: &Version) -> String {
    format!("{}@{}", version.name, version.number)
}

fn read_options(given: ReadOptions) -> Result<Options, Failure> {
    let wrong = |message: String| Failure::new(WRONG_INPUT, message);
    let character = |flag: &str, text: &str| match text {
        "tab" | "\\t" => Ok('\t'),
        _ => {
            let mut characters = text.chars();
            match (characters.next(), characters.next()) {
                (Some(one), None) => Ok(one),
                _ => Err(wrong(format!("--{flag} takes one character, not `{text}`"))),
            }
        }
    };
    let mut options = Options {
        header: if given.no_header { Header::Absent } else { Header::Present },
        names: (!given.names.is_empty()).then_some(given.names),
        trim: !given.no_trim,
        skip_lines: given.skip_rows,
        comment: given.comment,
        ragged: match given.ragged {
            Ragged::Error => RaggedRows::Error,
            Ragged::Pad => RaggedRows::Pad,
        },
        ..Options::default()
    };
    if let Some(format) = given.format {
        options.format = match format.as_str() {
            "csv" => Format::Csv,
            "parquet" => Format::Parquet,
            "json-lines" | "jsonl" => Format::JsonLines,
            "arrow-ipc" | "arrow" => Format::ArrowIpc,
            other => {
                return Err(wrong(format!("unknown format `{other}`; use csv, parquet, json-lines or arrow-ipc")));
            }
        };
    }
    if let Some(delimiter) = given.delimiter {
        options.delimiter = Delimiter::Is(character("delimiter", &delimiter)?);
    }
    if let Some(quote) = given.quote {
        options.quote = if quote == "none" { None } else { Some(character("quote", &quote)?) };
    }
    if !given.missing.is_empty() {
        options.missing = given.missing;
    }
    if let Some(label) = given.encoding {
        options.encoding = Encoding::Label(label);
    }
    for text in given.types {
        let parsed = text.rsplit_once('=').and_then(|(column, name)| Some((column.to_owned(), column_type(name)?)));
        let (column, column_type) = parsed.ok_or_else(|| {
            wrong(format!(
                "--type takes COLUMN=TYPE, not `{text}`; types are boolean, int64, float64, timestamp, text, category"
            ))
        })?;
        options.types.insert(column, column_type);
    }
    Ok(options)
}

fn column_type(name: &str) -> Option<ColumnType> {
    let all = [
        ColumnType::Boolean,
        ColumnType::Int64,
        ColumnType::Float64,
        ColumnType::Timestamp,
        ColumnType::Text,
        ColumnType::Category,
    ];
    all.into_iter().find(|column_type| column_type.as_str() == name)
}

fn shown_text(shown: &data::Shown) -> String {
    let version = &shown.version;
    let mut text = format!("{}: {} rows, digest {}\n", called(version), count(shown.rows), version.digest);
    let _ =
        writeln!(text, "added by {} on {} UTC {}\n", version.author, time(version.at_ms), printable(&version.message));
    let mut columns = Columns::new(&["column", "type", "missing", "distinct", "min", "max", "mean"]);
    for column in &shown.columns {
        let value = |value: &Option<serde_json::Value>| {
            let text = value.as_ref().and_then(|value| serde_json::to_value(value).ok()).map(|value| match value {
                serde_json::Value::String(text) => text,
                other => other.to_string(),
            });
            text.map(|text| text.chars().take(24).collect::<String>()).unwrap_or_default()
        };
        columns.row([
            column.name.clone(),
            column.column_type.as_str().to_owned(),
            count(column.missing),
            column.distinct.map(count).unwrap_or_else(|| "many".to_owned()),
            value(&column.min),
            value(&column.max),
            column.mean.map(|mean| number(Some(mean))).unwrap_or_default(),
        ]);
    }
    text.push_str(&columns.text());
    if !shown.head.is_empty() {
        let names: Vec<&str> = shown.columns.iter().map(|column| column.name.as_str()).collect();
        let mut head = Columns::new(&names);
        for row in &shown.head {
            head.row(row.iter().map(|value| value.clone().unwrap_or_default().chars().take(24).collect()));
        }
        text.push('\n');
        text.push_str(&head.text());
    }
    text
}

fn diff_text(diff: &data::Diff) -> String {
    let tables = &diff.tables;
    let mut text = format!(
        "{} ({} rows) to {} ({} rows)\n",
        called(&diff.before),
        count(tables.rows_before),
        called(&diff.after),
        count(tables.rows_after)
    );
    for field in &tables.columns_removed {
        let _ = writeln!(text, "- column {}: {}", printable(&field.name), field.column_type.as_str());
    }
    for field in &tables.columns_added {
        let _ = writeln!(text, "+ column {}: {}", printable(&field.name), field.column_type.as_str());
    }
    let _ = writeln!(text, "{} rows added, {} rows removed", count(tables.rows_added), count(tables.rows_removed));
    for (mark, rows) in [('-', &tables.removed), ('+', &tables.added)] {
        for row in rows {
            let cells: Vec<_> = row.iter().map(|value| value.clone().unwrap_or_default()).collect();
            let _ = writeln!(text, "{mark} {}", printable(&cells.join(", ")));
        }
    }
    let mut columns = Columns::new(&["column", "missing", "", "distinct", "", "mean", ""]);
    for after in &tables.after {
        let before = tables.before.iter().find(|before| before.field.name == after.field.name);
        let distinct = |count_of: Option<u64>| count_of.map(count).unwrap_or_else(|| "many".to_owned());
        let mean = |mean: Option<f64>| mean.map(|mean| number(Some(mean))).unwrap_or_default();
        let changed = before.is_none_or(|before| {
            (before.nulls, before.distinct, before.mean) != (after.nulls, after.distinct, after.mean)
        });
        if changed {
            columns.row([
                after.field.name.clone(),
                before.map(|before| count(before.nulls)).unwrap_or_default(),
                count(after.nulls),
                before.map(|before| distinct(before.distinct)).unwrap_or_default(),
                distinct(after.distinct),
                before.map(|before| mean(before.mean)).unwrap_or_default(),
                mean(after.mean),
            ]);
        }
    }
    if !columns.is_empty() {
        text.push_str("\nstatistics before and after\n");
        text.push_str(&columns.text());
    }
    text
}
