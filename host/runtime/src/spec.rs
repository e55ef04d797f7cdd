//! From a stage's specification to a job: what it names by digest is taken from a shelf.

use std::sync::Arc;

use stagewright_core::{
    Digest, canonical,
    record::{Fitted, Model},
    stage::{Operation, StageSpec},
};

use crate::{Component, Input, ModelParts, Output, Work};

/// Something that a specification needs is not there.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Incomplete(pub String);

/// Where artifacts come from: a store, or a recording.
pub trait Shelf {
    /// What a shelf fails with.
    type Error: From<Incomplete>;

    /// A component.
    ///
    /// # Errors
    /// There is none of this digest.
    fn component(&self, digest: &Digest) -> Result<Component, Self::Error>;
    /// A table.
    ///
    /// # Errors
    /// There is none of this digest.
    fn table(&self, digest: &Digest) -> Result<Input, Self::Error>;
    /// A state, weights or a model's record.
    ///
    /// # Errors
    /// There is none of this digest.
    fn bytes(&self, digest: &Digest) -> Result<Arc<[u8]>, Self::Error>;
}

/// What a specification asks for, with everything that it names. `outputs` stand in its order.
///
/// # Errors
/// Something is not on the shelf.
pub fn work<S: Shelf + ?Sized>(
    spec: &StageSpec,
    shelf: &S,
    mut outputs: Vec<(String, Output)>,
) -> Result<Work, S::Error> {
    let input = |port: &str| {
        let missing = || Incomplete(format!("a `{:?}` step has no input `{port}`", spec.operation));
        spec.inputs.get(port).copied().ok_or_else(missing)
    };
    let table = |port: &str| shelf.table(&input(port)?);
    let model = || spec.inputs.get("model").map(|digest| parts(shelf, digest)).transpose();
    let mut output = || {
        let output = outputs.pop().ok_or_else(|| Incomplete("the step names no output".to_owned()));
        output.map(|(_, output)| output)
    };
    Ok(match spec.operation {
        Operation::Prepare => {
            let inputs = spec.inputs.iter().map(|(port, digest)| Ok((port.clone(), shelf.table(digest)?)));
            Work::Prepare { inputs: inputs.collect::<Result<_, S::Error>>()?, outputs }
        }
        Operation::Fit => Work::Fit { training: table("training")? },
        Operation::Transform => {
            Work::Transform { state: shelf.bytes(&input("state")?)?, input: table("input")?, output: output()? }
        }
        Operation::Train => Work::Train {
            training: table("training")?,
            validation: spec.inputs.get("validation").map(|digest| shelf.table(digest)).transpose()?,
        },
        Operation::Score => {
            Work::Score { model: parts(shelf, &input("model")?)?, input: table("input")?, output: output()? }
        }
        Operation::Evaluate => Work::Evaluate { scored: table("scored")?, model: model()? },
        Operation::Check => Work::Check { scored: table("scored")?, model: model()? },
        Operation::Validate => Work::Validate { table: table("table")? },
        Operation::Observe => {
            Work::Observe { reference: table("reference")?, current: table("current")?, model: model()? }
        }
    })
}

/// A model's record.
///
/// # Errors
/// There is none, or the bytes are something else.
pub fn model<S: Shelf + ?Sized>(shelf: &S, digest: &Digest) -> Result<Model, S::Error> {
    let bytes = shelf.bytes(digest)?;
    let model = canonical::from_slice(&bytes);
    Ok(model.map_err(|error| Incomplete(format!("artifact {digest} is no model: {error}")))?)
}

/// A model with the bytes of its parts.
///
/// # Errors
/// A part is not on the shelf.
pub fn parts<S: Shelf + ?Sized>(shelf: &S, digest: &Digest) -> Result<ModelParts, S::Error> {
    let model = model(shelf, digest)?;
    let part = |fitted: &Fitted| Ok((shelf.component(&fitted.component)?, shelf.bytes(&fitted.state)?));
    let featurizers = model.featurizers.iter().map(part).collect::<Result<_, S::Error>>()?;
    Ok(ModelParts { featurizers, predictor: part(&model.predictor)?, input: model.input })
}
