//! The contract in `wit/`, as Rust: one set of types for all stages, and typed calls, which copy lists in bulk.

use stagewright_core::{
    Batch, Column, ColumnType, Field, Report, Schema, StageKind,
    report::{Figure, Finding, Metric, Severity},
    stage::{Port, StageInfo},
};

use crate::{
    error::{FailureKind, StageError},
    state,
};

wasmtime::component::bindgen!({
    path: "../../wit",
    inline: "
        package stagewright:host;

        world every-stage {
            include stagewright:stage/stage-imports@0.1.0;
            include stagewright:stage/grants@0.1.0;
            export stagewright:stage/plugin@0.1.0;
            export stagewright:stage/preprocessor@0.1.0;
            export stagewright:stage/featurizer@0.1.0;
            export stagewright:stage/trainer@0.1.0;
            export stagewright:stage/predictor@0.1.0;
            export stagewright:stage/evaluator@0.1.0;
            export stagewright:stage/fairness-checker@0.1.0;
            export stagewright:stage/validator@0.1.0;
            export stagewright:stage/monitor@0.1.0;
        }
    ",
    world: "stagewright:host/every-stage",
    imports: { default: trappable },
    with: {
        "stagewright:stage/datasets.reader": crate::state::ReaderHandle,
        "stagewright:stage/datasets.writer": crate::state::WriterHandle,
        "stagewright:stage/models.model": crate::state::ModelHandle,
    },
});

pub(crate) use self::{
    exports::stagewright::stage as exported,
    stagewright::stage::{
        context, datasets, environment, failures::Failure, files, http, models, refusals, reports, tables, wall_clock,
    },
};

impl From<tables::Batch> for Batch {
    fn from(batch: tables::Batch) -> Self {
        let columns = batch.columns.into_iter().map(|column| Column {
            values: column.values,
            validity: column.validity,
            offsets: column.offsets,
            words: column.words,
        });
        Self { rows: batch.rows, columns: columns.collect() }
    }
}

impl From<Batch> for tables::Batch {
    fn from(batch: Batch) -> Self {
        let columns = batch.columns.into_iter().map(|column| tables::Column {
            values: column.values,
            validity: column.validity,
            offsets: column.offsets,
            words: column.words,
        });
        Self { rows: batch.rows, columns: columns.collect() }
    }
}

pub(crate) fn fields(schema: &Schema) -> Vec<tables::Field> {
    let fields = schema.fields().iter().map(|field| tables::Field {
        name: field.name.clone(),
        type_: match field.column_type {
            ColumnType::Boolean => tables::ColumnType::Boolean,
            ColumnType::Int64 => tables::ColumnType::Int64,
            ColumnType::Float64 => tables::ColumnType::Float64,
            ColumnType::Timestamp => tables::ColumnType::Timestamp,
            ColumnType::Text => tables::ColumnType::Text,
            ColumnType::Category => tables::ColumnType::Category,
        },
        nullable: field.nullable,
    });
    fields.collect()
}

pub(crate) fn schema(fields: Vec<tables::Field>, what: &str) -> Result<Schema, StageError> {
    let fields = fields.into_iter().map(|field| {
        let column_type = match field.type_ {
            tables::ColumnType::Boolean => ColumnType::Boolean,
            tables::ColumnType::Int64 => ColumnType::Int64,
            tables::ColumnType::Float64 => ColumnType::Float64,
            tables::ColumnType::Timestamp => ColumnType::Timestamp,
            tables::ColumnType::Text => ColumnType::Text,
            tables::ColumnType::Category => ColumnType::Category,
        };
        Field::new(field.name, column_type, field.nullable)
    });
    Schema::new(fields.collect()).map_err(|error| StageError::batch(what, &error))
}

impl From<Failure> for StageError {
    fn from(failure: Failure) -> Self {
        let (kind, message) = match failure {
            Failure::InvalidParameter(message) => (FailureKind::InvalidParameter, message),
            Failure::InvalidData(message) => (FailureKind::InvalidData, message),
            Failure::InvalidState(message) => (FailureKind::InvalidState, message),
            Failure::Internal(message) => (FailureKind::Internal, message),
        };
        Self::Failed { kind, message: state::short(message) }
    }
}

/// A report with its figures parsed and its numbers as JSON can hold them.
pub(crate) fn report(report: reports::Report) -> Result<Report, StageError> {
    let labels = |labels: Vec<reports::Label>| labels.into_iter().map(|label| (label.name, label.value)).collect();
    // An infinite or NaN figure is one that is undefined: JSON has no other way to say so.
    let finite = |value: Option<f64>| value.filter(|value| value.is_finite());
    let metrics = report.metrics.into_iter().map(|metric| Metric {
        name: metric.name,
        labels: labels(metric.labels),
        value: finite(metric.value),
        low: finite(metric.low),
        high: finite(metric.high),
        support: metric.support,
    });
    let findings = report.findings.into_iter().map(|finding| Finding {
        severity: match finding.severity {
            reports::Severity::Info => Severity::Info,
            reports::Severity::Warning => Severity::Warning,
            reports::Severity::Violation => Severity::Violation,
        },
        message: finding.message,
        labels: labels(finding.labels),
    });
    let figures = report.figures.into_iter().map(|figure| {
        let vega_lite = serde_json::from_str(&figure.vega_lite).map_err(|error| {
            StageError::bad_output(format!("figure `{}`", figure.title), format!("it is not JSON: {error}"))
        })?;
        Ok(Figure { title: figure.title, vega_lite })
    });
    let figures = figures.collect::<Result<_, StageError>>()?;
    Ok(Report { metrics: metrics.collect(), findings: findings.collect(), figures })
}

/// What a plugin says of a stage, with its schema parsed.
pub(crate) fn stage_info(stage: exported::plugin::Stage) -> Result<StageInfo, StageError> {
    use exported::plugin::Kind;
    let kind = match stage.kind {
        Kind::Preprocessor => StageKind::Preprocessor,
        Kind::Featurizer => StageKind::Featurizer,
        Kind::Trainer => StageKind::Trainer,
        Kind::Predictor => StageKind::Predictor,
        Kind::Evaluator => StageKind::Evaluator,
        Kind::FairnessChecker => StageKind::FairnessChecker,
        Kind::Validator => StageKind::Validator,
        Kind::Monitor => StageKind::Monitor,
    };
    let text = if stage.parameters.trim().is_empty() { "{}" } else { &stage.parameters };
    let parameters = serde_json::from_str(text).map_err(|error| {
        StageError::bad_output(format!("description of `{kind}`"), format!("its parameters are not JSON: {error}"))
    })?;
    let ports = |ports: Vec<exported::plugin::Port>| {
        ports.into_iter().map(|port| Port { name: port.name, doc: port.doc, optional: port.optional }).collect()
    };
    Ok(StageInfo { kind, doc: stage.doc, parameters, inputs: ports(stage.inputs), outputs: ports(stage.outputs) })
}
