//! Recordings: every call that a step made to the host, kept with the run and taken out as one file that stands for
//! itself.

use std::collections::BTreeMap;

use stagewright_core::{
    Digest, canonical,
    record::RunRecord,
    stage::{Operation, StageSpec},
};
use stagewright_runtime::{
    grants::GrantedCall,
    recording::{Ended, HostCall, RecordedTable, Recording, RecordingFile},
    spec::{self, Shelf},
};

use crate::{
    error::{Error, Result},
    execute, granted,
    project::Project,
};

/// Keeps a step's recording in the ledger.
pub(crate) fn keep(
    project: &Project,
    spec: &StageSpec,
    calls: Vec<HostCall>,
    ended: Ended,
    granted: Option<Digest>,
) -> Result<Digest> {
    let granted = granted.map_or_else(|| Ok(Vec::new()), |digest| granted::calls(project, &digest))?;
    let bodies: Vec<Digest> = granted.iter().flat_map(GrantedCall::bodies).collect();
    let recording = Recording { spec: spec.clone(), limits: project.limits(), calls, granted, ended };
    let bytes = canonical::to_vec(&recording);
    execute::put(project.store.ledger()?, project, |transaction| transaction.put_referencing(&bytes, &bodies))
}

/// A recorded step of a run.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// What the step was, for people.
    pub title: String,
    /// Its recording, in the ledger.
    pub recording: Digest,
}

/// The recorded steps of one stage of a run, the one that failed first.
pub fn of_stage(run: &RunRecord, stage: &str) -> Vec<Recorded> {
    let stage = run.stages.iter().find(|candidate| candidate.name == stage);
    let failed = stage.and_then(|stage| stage.failed.as_ref());
    let failed = failed.and_then(|step| Some((step.title.clone(), step.recording?)));
    let others = stage.into_iter().flat_map(|stage| &stage.steps);
    let others = others.filter_map(|step| Some((step.title.clone(), step.recording?)));
    failed.into_iter().chain(others).map(|(title, recording)| Recorded { title, recording }).collect()
}

/// A recording with everything that it names, as a file's bytes.
///
/// # Errors
/// Something that it names is not there any more.
pub fn export(project: &Project, recording: &Digest) -> Result<Vec<u8>> {
    let ledger = project.store.ledger()?;
    let recording: Recording = canonical::from_slice(&ledger.bytes(recording)?)
        .map_err(|error| Error::Invalid(format!("artifact {recording} is no recording: {error}")))?;
    let mut file = RecordingFile { recording, tables: BTreeMap::new(), parts: BTreeMap::new() };
    for digest in file.recording.granted.iter().flat_map(GrantedCall::bodies) {
        file.parts.insert(digest, ledger.bytes(&digest)?.into());
    }
    let spec = file.recording.spec.clone();
    // A model's parts are all that scoring runs.
    if spec.operation != Operation::Score {
        component(project, &spec.component, &mut file)?;
    }
    for (port, digest) in &spec.inputs {
        match port.as_str() {
            // A preprocessor names its ports itself.
            _ if spec.operation == Operation::Prepare => table(project, digest, &mut file)?,
            "model" => {
                let model = spec::model(project, digest)?;
                file.parts.insert(*digest, project.bytes(digest)?);
                for part in model.featurizers.iter().chain([&model.predictor]) {
                    component(project, &part.component, &mut file)?;
                    file.parts.insert(part.state, project.bytes(&part.state)?);
                }
            }
            "state" if spec.operation == Operation::Transform => {
                file.parts.insert(*digest, project.bytes(digest)?);
            }
            _ => table(project, digest, &mut file)?,
        }
    }
    Ok(file.encode())
}

fn component(project: &Project, digest: &Digest, file: &mut RecordingFile) -> Result<()> {
    file.parts.insert(*digest, project.store.code()?.bytes(digest)?.into());
    Ok(())
}

fn table(project: &Project, digest: &Digest, file: &mut RecordingFile) -> Result<()> {
    let table = Shelf::table(project, digest)?;
    let mut recorded = RecordedTable { schema: table.schema().clone(), rows: table.rows(), batches: Vec::new() };
    for index in 0..table.batches() {
        let batch = table.batch(index).map_err(|error| Error::Invalid(format!("table {digest}: {error}")))?.encode();
        let part = Digest::of(&batch);
        recorded.batches.push(part);
        file.parts.insert(part, batch.into());
    }
    file.tables.insert(*digest, recorded);
    Ok(())
}
