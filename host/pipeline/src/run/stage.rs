//! What a stage of a plan is in steps.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use stagewright_core::{
    Digest, Schema, StageKind, canonical,
    name::nearest,
    record::{Candidate, Fitted, Model, StageRun, Status, StepRun},
    stage::Operation,
};

use super::{
    Made,
    step::{StepError, Steps, spec},
};
use crate::{
    error::{Error, Result},
    execute,
    params::Parameters,
    plan::{Call, Plan, PlannedCandidate, PlannedSelect, PlannedStage, Table, Work},
};

/// Runs a stage.
///
/// # Errors
/// The store is broken; a failure of the stage itself is in its record.
pub(super) fn run(steps: &Steps<'_>, plan: &Plan, index: usize, made: &BTreeMap<usize, Made>) -> Result<StageRun> {
    let stage = &plan.stages[index];
    let mut run = StageRun {
        name: stage.name.clone(),
        kind: stage.work.kind(),
        status: Status::Succeeded,
        steps: Vec::new(),
        log: Vec::new(),
        failed: None,
        outputs: BTreeMap::new(),
        candidates: Vec::new(),
        selected: None,
    };
    let runner = Runner { steps, plan, stage, made };
    match runner.work(&mut run) {
        Ok(()) => {}
        Err(StepError::Failed { message, log, step }) => {
            (run.status, run.log, run.failed) = (Status::Failed { message }, log, step);
        }
        Err(StepError::Cancelled) => run.status = Status::Cancelled,
        Err(StepError::Broken(error)) => return Err(error),
    }
    Ok(run)
}

struct Runner<'a> {
    steps: &'a Steps<'a>,
    plan: &'a Plan,
    stage: &'a PlannedStage,
    made: &'a BTreeMap<usize, Made>,
}

type Done<T> = Result<T, StepError>;

/// A candidate, and the steps that it took.
type Trained = (Candidate, Vec<StepRun>);

impl Runner<'_> {
    fn work(&self, run: &mut StageRun) -> Done<()> {
        match &self.stage.work {
            Work::Prepare { call, inputs, outputs } => {
                let mut spec = self.spec(Operation::Prepare, call);
                for (port, table) in inputs {
                    spec.inputs.insert(port.clone(), self.table(table)?);
                }
                spec.outputs.clone_from(outputs);
                let step = self.steps.run(self.stage, call.plugin.name.to_string(), spec)?;
                run.outputs.clone_from(&step.result.outputs);
                run.steps.push(step);
                Ok(())
            }
            Work::Fit { call, input, features } => {
                let input = self.features(run, self.table(input)?, features)?;
                let mut spec = self.spec(Operation::Fit, call);
                spec.inputs.insert("training".to_owned(), input);
                let step = self.steps.run(self.stage, format!("fit {}", call.plugin.name), spec)?;
                run.outputs.clone_from(&step.result.outputs);
                run.outputs.insert("component".to_owned(), call.plugin.digest);
                run.steps.push(step);
                Ok(())
            }
            Work::Train { candidates, input, validation, features, select } => {
                let rows = self.table(input)?;
                let schema = self.steps.project.store.data()?.table(&rows)?.schema().clone();
                let training = self.features(run, rows, features)?;
                let validation = match validation {
                    Some(table) => Some(self.features(run, self.table(table)?, features)?),
                    None => None,
                };
                let tables = Tables { training, validation, schema };
                let trained = self.candidates(candidates, features, &tables, select.as_ref());
                let mut first_error = None;
                for outcome in trained {
                    match outcome {
                        Ok((candidate, steps)) => {
                            run.steps.extend(steps);
                            run.candidates.push(candidate);
                        }
                        Err(error) => first_error = first_error.or(Some(error)),
                    }
                }
                if let Some(error) = first_error {
                    return Err(error);
                }
                let best = best(&run.candidates, select.as_ref())?;
                run.selected = Some(best);
                run.outputs.insert("model".to_owned(), run.candidates[best].model);
                Ok(())
            }
            Work::Report { kind, call, inputs, model } => self.report(run, *kind, call, inputs, *model),
        }
    }

    fn spec(&self, operation: Operation, call: &Call) -> stagewright_core::stage::StageSpec {
        let mut spec = spec(self.plan, operation, call.plugin.digest, self.stage.seed);
        spec.parameters = call.parameters.clone();
        spec.grants = call.grants.clone();
        spec
    }

    fn table(&self, table: &Table) -> Done<Digest> {
        match table {
            Table::Data(used) => Ok(used.digest),
            Table::Output(stage, output) => self.output(*stage, output),
        }
    }

    fn output(&self, stage: usize, output: &str) -> Done<Digest> {
        let missing = || {
            let name = &self.plan.stages[stage].name;
            StepError::failed(format!("stage `{name}` made no `{output}`"))
        };
        self.made.get(&stage).and_then(|made| made.outputs.get(output)).copied().ok_or_else(missing)
    }

    /// A table behind featurizers, in order.
    fn features(&self, run: &mut StageRun, table: Digest, features: &[usize]) -> Done<Digest> {
        let mut table = table;
        for stage in features {
            let mut spec =
                spec(self.plan, Operation::Transform, self.output(*stage, "component")?, self.plan.stages[*stage].seed);
            spec.inputs.insert("state".to_owned(), self.output(*stage, "state")?);
            spec.inputs.insert("input".to_owned(), table);
            spec.outputs.push("output".to_owned());
            let title = format!("transform by {}", self.plan.stages[*stage].name);
            let step = self.steps.run(self.stage, title, spec)?;
            table = output(&step, "output")?;
            run.steps.push(step);
        }
        Ok(table)
    }

    /// Trains every candidate, as many at once as the project allows; in order.
    fn candidates(
        &self,
        candidates: &[PlannedCandidate],
        features: &[usize],
        tables: &Tables,
        select: Option<&PlannedSelect>,
    ) -> Vec<Done<Trained>> {
        let next = AtomicUsize::new(0);
        let width = self.steps.project.width().min(candidates.len());
        let mut all: Vec<(usize, Done<Trained>)> = thread::scope(|scope| {
            let work = || {
                let mut mine = Vec::new();
                loop {
                    let position = next.fetch_add(1, Ordering::Relaxed);
                    let Some(candidate) = candidates.get(position) else { return mine };
                    mine.push((position, self.candidate(candidate, features, tables, select)));
                }
            };
            let threads: Vec<_> = (0..width).map(|_| scope.spawn(work)).collect();
            let panicked = || vec![(usize::MAX, Err(StepError::failed("training panicked".to_owned())))];
            threads.into_iter().flat_map(|thread| thread.join().unwrap_or_else(|_| panicked())).collect()
        });
        all.sort_by_key(|(position, _)| *position);
        all.into_iter().map(|(_, outcome)| outcome).collect()
    }

    fn candidate(
        &self,
        candidate: &PlannedCandidate,
        features: &[usize],
        tables: &Tables,
        select: Option<&PlannedSelect>,
    ) -> Done<Trained> {
        let call = &candidate.call;
        let name = describe(&call.plugin.name.to_string(), &candidate.varied);
        let mut steps = Vec::new();
        let mut spec = self.spec(Operation::Train, call);
        spec.inputs.insert("training".to_owned(), tables.training);
        spec.inputs.extend(tables.validation.map(|table| ("validation".to_owned(), table)));
        let step = self.steps.run(self.stage, format!("train {name}"), spec)?;
        let weights = output(&step, "weights")?;
        steps.push(step);
        let model = self.bundle(features, call.plugin.digest, weights, &tables.schema)?;
        let mut value = None;
        if let Some(select) = select {
            let scored =
                self.score(&mut steps, &format!("score {name}"), model, call.plugin.digest, self.table(&select.on)?)?;
            let mut spec = self.spec(Operation::Evaluate, &select.call);
            spec.inputs.insert("scored".to_owned(), scored);
            spec.inputs.insert("model".to_owned(), model);
            let step = self.steps.run(self.stage, format!("evaluate {name}"), spec)?;
            value = self.selecting_value(select, output(&step, "report")?)?;
            steps.push(step);
        }
        let plugin = call.plugin.name.to_string();
        Ok((Candidate { plugin, varied: candidate.varied.clone(), model, value }, steps))
    }

    fn selecting_value(&self, select: &PlannedSelect, report: Digest) -> Done<Option<f64>> {
        let report = execute::report(self.steps.project, &report)?;
        match report.metric(&select.metric) {
            Some(metric) => Ok(metric.value),
            None => {
                let names = report.metrics.iter().filter(|metric| metric.labels.is_empty());
                let names: Vec<&str> = names.map(|metric| metric.name.as_str()).collect();
                let hint = match nearest(&select.metric, names.iter().copied()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("it reports {}", names.join(", ")),
                };
                let evaluator = &select.call.plugin.name;
                Err(StepError::failed(format!("evaluator `{evaluator}` reports no metric `{}`; {hint}", select.metric)))
            }
        }
    }

    /// The model's record, stored with its parts.
    fn bundle(&self, features: &[usize], predictor: Digest, weights: Digest, input: &Schema) -> Done<Digest> {
        let fitted = |stage: &usize| -> Done<Fitted> {
            Ok(Fitted { component: self.output(*stage, "component")?, state: self.output(*stage, "state")? })
        };
        let featurizers: Done<Vec<Fitted>> = features.iter().map(fitted).collect();
        let model = Model {
            featurizers: featurizers?,
            predictor: Fitted { component: predictor, state: weights },
            input: input.clone(),
        };
        let project = self.steps.project;
        let parts: Vec<Digest> = model.featurizers.iter().map(|part| part.state).chain([weights]).collect();
        let bytes = canonical::to_vec(&model);
        let digest = Digest::of(&bytes);
        if !project.store.models()?.contains(&digest)? {
            execute::put(project.store.models()?, project, |transaction| transaction.put_referencing(&bytes, &parts))?;
            let mut transaction = project.store.ledger()?.begin(&project.actor())?;
            for part in model.featurizers.iter().chain([&model.predictor]) {
                transaction.edge(&part.state, &digest, "part of model");
            }
            let _ticket = transaction.commit_later()?;
        }
        Ok(digest)
    }

    fn score(
        &self,
        steps: &mut Vec<StepRun>,
        title: &str,
        model: Digest,
        predictor: Digest,
        rows: Digest,
    ) -> Done<Digest> {
        let mut spec = spec(self.plan, Operation::Score, predictor, self.stage_seed_for_scores());
        spec.inputs.insert("model".to_owned(), model);
        spec.inputs.insert("input".to_owned(), rows);
        spec.outputs.push("output".to_owned());
        let step = self.steps.run(self.stage, title.to_owned(), spec)?;
        let scored = output(&step, "output")?;
        steps.push(step);
        Ok(scored)
    }

    /// Scores have the pipeline's seed, whichever stage asks, so that they are made once.
    fn stage_seed_for_scores(&self) -> u64 {
        self.plan.pipeline.seed
    }

    fn report(
        &self,
        run: &mut StageRun,
        kind: StageKind,
        call: &Call,
        inputs: &[(String, Table)],
        model: Option<usize>,
    ) -> Done<()> {
        let operation = match kind {
            StageKind::FairnessChecker => Operation::Check,
            StageKind::Validator => Operation::Validate,
            StageKind::Monitor => Operation::Observe,
            _ => Operation::Evaluate,
        };
        let model = model.map(|trainer| self.output(trainer, "model")).transpose()?;
        let mut spec = self.spec(operation, call);
        for (port, table) in inputs {
            let table = self.table(table)?;
            match (operation, model) {
                (Operation::Evaluate | Operation::Check, Some(model)) => {
                    let record: Model = canonical::from_slice(&self.steps.project.store.models()?.bytes(&model)?)
                        .map_err(|error| StepError::Broken(Error::Invalid(format!("model {model}: {error}"))))?;
                    let scored = self.score(&mut run.steps, "score", model, record.predictor.component, table)?;
                    spec.inputs.insert("scored".to_owned(), scored);
                }
                (Operation::Evaluate | Operation::Check, None) => {
                    spec.inputs.insert("scored".to_owned(), table);
                }
                (Operation::Validate, _) => {
                    spec.inputs.insert("table".to_owned(), table);
                }
                _ => {
                    spec.inputs.insert(port.clone(), table);
                }
            }
        }
        spec.inputs.extend(model.map(|model| ("model".to_owned(), model)));
        let step = self.steps.run(self.stage, call.plugin.name.to_string(), spec)?;
        let digest = output(&step, "report")?;
        run.outputs.insert("report".to_owned(), digest);
        run.steps.push(step);
        if kind == StageKind::Validator {
            let report = execute::report(self.steps.project, &digest)?;
            let mut violations = report.violations();
            if let Some(first) = violations.next() {
                let more = violations.count();
                let more = if more > 0 { format!(" (and {more} more)") } else { String::new() };
                run.status = Status::Violated { message: format!("{}{more}", first.message) };
            }
        }
        Ok(())
    }
}

struct Tables {
    training: Digest,
    validation: Option<Digest>,
    schema: Schema,
}

fn output(step: &StepRun, name: &str) -> Done<Digest> {
    let missing = || StepError::failed(format!("step `{}` made no `{name}`", step.title));
    step.result.outputs.get(name).copied().ok_or_else(missing)
}

/// A candidate's name: its plugin and what was varied.
fn describe(plugin: &str, varied: &Parameters) -> String {
    varied.iter().fold(plugin.to_owned(), |text, (name, value)| format!("{text} {name}={value}"))
}

/// The first of the best candidates.
fn best(candidates: &[Candidate], select: Option<&PlannedSelect>) -> Done<usize> {
    let Some(select) = select else { return Ok(0) };
    let mut best: Option<(usize, f64)> = None;
    for (position, candidate) in candidates.iter().enumerate() {
        let Some(value) = candidate.value else { continue };
        let better = best.is_none_or(|(_, so_far)| if select.maximize { value > so_far } else { value < so_far });
        if better {
            best = Some((position, value));
        }
    }
    let undefined = || StepError::failed(format!("`{}` is undefined for every candidate", select.metric));
    best.map(|(position, _)| position).ok_or_else(undefined)
}
