//! `deploy`, `rollback`, `deployments`.

use stagewright::{
    deploy::{self, Deployment, Figures, Order, Plan, TrialKind},
    governance,
};
use stagewright_core::record::Used;

use super::Context;
use crate::{
    args::deploy::{Deploy, DeploymentsCommand, Rollback},
    failure::Failure,
    text::{Columns, time},
};

pub(crate) fn deploy(context: &Context, wanted: Deploy) -> Result<(), Failure> {
    let project = context.write()?;
    // For the nearest name, before anything is judged.
    deploy::environment(&project, &wanted.to)?;
    let promoted = governance::promoted(&project, &wanted.model, wanted.to.as_str())?;
    let trials =
        [(TrialKind::Canary, wanted.canary), (TrialKind::Shadow, wanted.shadow), (TrialKind::Split, wanted.split)];
    let trial = trials.into_iter().find_map(|(kind, share)| share.map(|share| (kind, share)));
    let order = Order { endpoint: wanted.endpoint, trial, reason: wanted.message };
    let deployment = deploy::deploy(&project, &promoted, &order)?;
    context.print(&deployment, |deployment| said(&deployment.plan))
}

pub(crate) fn rollback(context: &Context, wanted: Rollback) -> Result<(), Failure> {
    let project = context.write()?;
    let place = wanted.place;
    let deployment = deploy::roll_back(&project, &place.environment, place.endpoint.as_ref(), &wanted.message)?;
    context.print(&deployment, |deployment| said(&deployment.plan))
}

pub(crate) fn deployments(context: &Context, command: DeploymentsCommand) -> Result<(), Failure> {
    match command {
        DeploymentsCommand::Status { environment } => {
            let project = context.read()?;
            if let Some(environment) = &environment {
                deploy::environment(&project, environment)?;
            }
            let status = deploy::status(&project, environment.as_ref())?;
            context.print(&status, |status| status_text(status))
        }
        DeploymentsCommand::History { environment, limit } => {
            let project = context.read()?;
            if let Some(environment) = &environment {
                deploy::environment(&project, environment)?;
            }
            let history = deploy::history(&project, environment.as_ref(), limit)?;
            context.print(&history, |history| history_text(history))
        }
        DeploymentsCommand::Promote { place, message } => {
            let project = context.write()?;
            let deployment = deploy::promote(&project, &place.environment, place.endpoint.as_ref(), &message)?;
            context.print(&deployment, |deployment| said(&deployment.plan))
        }
    }
}

fn called(model: &Used) -> String {
    format!("{}@{}", model.name, model.number)
}

/// What answers now, in a sentence.
fn said(plan: &Plan) -> String {
    let Plan { environment, endpoint, champion, .. } = plan;
    let warm = plan.earlier.last().map(|model| format!("; {} is kept warm", called(model))).unwrap_or_default();
    match &plan.trial {
        None => format!("{} answers all requests at `{endpoint}` in {environment}{warm}\n", called(champion)),
        Some(trial) => {
            let does = match trial.kind {
                TrialKind::Canary => format!("answers {} of requests as a canary", trial.share),
                TrialKind::Shadow => format!("is asked for {} of requests as a shadow", trial.share),
                TrialKind::Split => format!("answers {} of requests to be compared", trial.share),
            };
            let (new, present) = (called(&trial.model), called(champion));
            format!("{new} {does} beside {present} at `{endpoint}` in {environment}\n")
        }
    }
}

fn status_text(status: &[Deployment]) -> String {
    let mut columns = Columns::new(&["environment", "endpoint", "model", "trial", "rolls back to", "since", "by"]);
    for deployment in status {
        let plan = &deployment.plan;
        let trial = plan.trial.as_ref();
        columns.row([
            plan.environment.to_string(),
            plan.endpoint.to_string(),
            called(&plan.champion),
            trial
                .map(|trial| format!("{} of {} {}", trial.kind.as_str(), called(&trial.model), trial.share))
                .unwrap_or_default(),
            plan.earlier.last().map(called).unwrap_or_default(),
            time(deployment.at_ms),
            deployment.author.clone(),
        ]);
    }
    match columns.is_empty() {
        true => "nothing is deployed yet; `stagewright deploy MODEL --to ENVIRONMENT` does that\n".to_owned(),
        false => columns.text(),
    }
}

fn history_text(history: &[Deployment]) -> String {
    let mut columns = Columns::new(&["deployment", "when", "environment", "endpoint", "what", "model", "by", "why"]);
    for deployment in history {
        let plan = &deployment.plan;
        let figures = deployment.figures.map(figures_text).unwrap_or_default();
        columns.row([
            deployment.id.to_string(),
            time(deployment.at_ms),
            plan.environment.to_string(),
            plan.endpoint.to_string(),
            deployment.action.as_str().to_owned(),
            plan.trial.as_ref().map_or_else(|| called(&plan.champion), |trial| called(&trial.model)),
            deployment.author.clone(),
            format!("{}{figures}", deployment.reason),
        ]);
    }
    match columns.is_empty() {
        true => "nothing was deployed yet\n".to_owned(),
        false => columns.text(),
    }
}

fn figures_text((champion, challenger): (Figures, Figures)) -> String {
    let said = |figures: Figures| format!("{} of {} failed", figures.errors, figures.requests);
    format!(" (new model: {}; present model: {})", said(challenger), said(champion))
}
