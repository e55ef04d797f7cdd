//! `model list`, `show`, `compare`, `tag`, `retire`.

use std::fmt::Write;

use stagewright::{
    Project,
    governance::{
        bundle::{self, Bundle, ModelComparison},
        state,
    },
};
use stagewright_core::{Schema, report::Metric};

use super::{Context, gate, people::write_in_turn};
use crate::{
    args::ModelCommand,
    failure::Failure,
    text::{Columns, number, printable, size, time},
};

pub(crate) fn dispatch(context: &Context, command: ModelCommand) -> Result<(), Failure> {
    match command {
        ModelCommand::List { name } => list(context, &context.read()?, name.as_deref()),
        ModelCommand::Export { version, directory } => super::document::export(context, &version, &directory),
        ModelCommand::Key { of } => super::document::key(context, of),
        ModelCommand::Show { version } => {
            let bundle = bundle::bundle(&context.read()?, &version.parse()?)?;
            context.print(&bundle, show)
        }
        ModelCommand::Compare { before, after } => {
            let comparison = bundle::compare(&context.read()?, &before.parse()?, &after.parse()?)?;
            context.print(&comparison, compare)
        }
        ModelCommand::Tag { version, tag } => {
            let version = state::tag(&write_in_turn(context)?, &version.parse()?, &tag)?;
            context
                .print(&version, |version| format!("{}@{} is {}@{tag}\n", version.name, version.number, version.name))
        }
        ModelCommand::Retire { version, reason } => {
            let project = write_in_turn(context)?;
            let version = state::resolve(&project, &version.parse()?)?;
            let state = state::mark_retired(&project, &version, &reason)?;
            context.print(&state, |state| format!("{}@{} is {}\n", version.name, version.number, state.state))
        }
    }
}

fn list(context: &Context, project: &Project, name: Option<&str>) -> Result<(), Failure> {
    let name = name.map(str::parse).transpose()?;
    let mut listed = bundle::list(project, name.as_ref())?;
    if name.is_none() {
        // Of each model the latest; its versions are newest first.
        listed.dedup_by(|one, other| one.version.name == other.version.name);
    }
    context.print(&listed, |listed| {
        let mut columns = Columns::new(&["model", "state", "aliases", "made by", "made (UTC)", "digest"]);
        for one in listed {
            let version = &one.version;
            columns.row([
                format!("{}@{}", version.name, version.number),
                one.state.state.to_string(),
                one.aliases.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
                version.message.clone(),
                time(version.at_ms),
                version.digest.short(),
            ]);
        }
        match columns.is_empty() {
            true => "no models yet; a pipeline with a [model] section registers one\n".to_owned(),
            false => columns.text(),
        }
    })
}

fn show(bundle: &Bundle) -> String {
    let version = &bundle.standing.version;
    let mut text = format!("{}@{}  {}\n", version.name, version.number, version.digest);
    let aliases: Vec<String> = bundle.aliases.iter().map(|alias| format!("{}@{alias}", version.name)).collect();
    if !aliases.is_empty() {
        let _ = writeln!(text, "  also {}", aliases.join(", "));
    }
    for (environment, role) in &bundle.standing.state.serves {
        let _ = writeln!(text, "  serves in {} as {role}", printable(environment));
    }
    let _ = writeln!(text, "  registered by {} on {} UTC", version.author, time(version.at_ms));
    match &bundle.training {
        Some(training) => {
            let pipeline = &training.pipeline;
            let _ = writeln!(
                text,
                "  trained by run {} of {}@{}, started by {}, seed {}",
                training.run, pipeline.name, pipeline.number, training.author, training.seed
            );
            for (name, used) in &training.data {
                let _ = writeln!(text, "  data {name} was {}@{} {}", used.name, used.number, used.digest.short());
            }
            let parameters: Vec<String> =
                training.parameters.iter().map(|(name, value)| format!("{name}={value}")).collect();
            let _ = writeln!(text, "  parameters {}", printable(&parameters.join(" ")));
            for (stage, report) in &training.reports {
                let _ = writeln!(text, "  report of {stage} {}", report.short());
            }
        }
        None => text.push_str("  no run of this project is known to have trained it\n"),
    }
    let mut columns = Columns::new(&["part", "plugin", "component", "learned", "size"]);
    for part in &bundle.parts {
        let plugin = part.plugin.as_ref().map(|plugin| format!("{}@{}", plugin.name, plugin.number));
        columns.row([
            part.kind.to_string(),
            plugin.unwrap_or_default(),
            part.component.short(),
            part.state.short(),
            size(part.state_bytes),
        ]);
    }
    let _ = write!(text, "\n{}\ntrained on\n{}", columns.text(), columns_text(&bundle.input));
    if let Some(output) = &bundle.output {
        let _ = write!(text, "\npredicts\n{}", columns_text(output));
    }
    text + "\n" + &gate::explain(&bundle.standing)
}

fn columns_text(schema: &Schema) -> String {
    let mut columns = Columns::new(&["column", "type", "nullable"]);
    for field in schema.fields() {
        let nullable = if field.nullable { "yes" } else { "no" };
        columns.row([field.name.clone(), field.column_type.as_str().to_owned(), nullable.to_owned()]);
    }
    columns.text()
}

fn compare(comparison: &ModelComparison) -> String {
    let name = |used: &stagewright_core::record::Used| format!("{}@{}", used.name, used.number);
    let (before, after) = (name(&comparison.before), name(&comparison.after));
    let mut inputs = Columns::new(&["what differs", &before, &after]);
    for difference in &comparison.inputs {
        let said = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
        inputs.row([difference.what.clone(), said(&difference.before), said(&difference.after)]);
    }
    let mut metrics = Columns::new(&["figure", &before, "interval", &after, "interval", "difference"]);
    for pair in &comparison.metrics {
        let value = |metric: &Option<Metric>| metric.as_ref().map_or("-".to_owned(), |metric| number(metric.value));
        let difference = match (&pair.before, &pair.after) {
            (Some(Metric { value: Some(before), .. }), Some(Metric { value: Some(after), .. })) => {
                format!("{:+.4}", after - before)
            }
            _ => String::new(),
        };
        metrics.row([
            pair.subject().to_string(),
            value(&pair.before),
            interval(pair.before.as_ref()),
            value(&pair.after),
            interval(pair.after.as_ref()),
            difference,
        ]);
    }
    let mut text = String::new();
    for (columns, none) in [(inputs, "the same went into both"), (metrics, "every figure is the same")] {
        match columns.is_empty() {
            true => text.push_str(&format!("{none}\n")),
            false => text.push_str(&columns.text()),
        }
        text.push('\n');
    }
    text
}

fn interval(metric: Option<&Metric>) -> String {
    match metric.and_then(|metric| metric.low.zip(metric.high)) {
        Some((low, high)) => format!("{} to {}", number(Some(low)), number(Some(high))),
        None => String::new(),
    }
}
