//! What parent and worker say to each other: a length of the message and of the body (u32 and u64, little-endian), the
//! message as JSON, the body as it is. Tables travel as bodies, one encoded batch each.

use std::io::{self, IoSlice, Read, Write};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use stagewright_core::{
    Digest, Grants, Schema,
    record::{LogLine, MetricPoint},
    stage::Profile,
};

use crate::{
    Columns, Flavour, Limits, StageError,
    grants::{Refusal, Reply, Request},
    recording::HostCall,
};

/// The longest message.
const MESSAGE_BYTES: u32 = 16 << 20;

/// The parent speaks.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum ToWorker {
    /// The body is a component to compile.
    Compile { flavour: Flavour, profile: Profile, key: String },
    /// A compiled component, in a file or else in the body.
    Load { digest: Digest, profile: Profile, key: String, path: Option<String> },
    /// The body is a state or weights that the next job needs.
    Blob,
    /// Begin.
    Run(Box<Order>),
    /// The body is the batch that was asked for.
    Batch,
    /// What came of a granted call; the body belongs to it.
    Answer(Result<Reply, Refusal>),
}

/// The worker speaks.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum FromWorker {
    /// The body is machine code.
    Compiled,
    /// Compiling failed.
    NotCompiled(String),
    /// Whether the component could be loaded.
    Loaded { usable: bool },
    /// Asks for a batch.
    Read { table: usize, batch: usize, columns: Vec<usize> },
    /// An output begins.
    Start { output: usize, schema: Schema },
    /// The body is a batch of an output.
    Write { output: usize },
    /// A granted call; the body belongs to it.
    Ask(Request),
    /// The stage called the host, and its parent wants to hear of that.
    Called(HostCall),
    /// The stage spoke.
    Log(LogLine),
    /// A point of a curve.
    Metric(MetricPoint),
    /// How far it is.
    Progress { done: u64, total: u64 },
    /// The job ended. The body is its value.
    Done(Box<Done>),
}

/// A job without its bytes.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Order {
    pub(super) component: Digest,
    pub(super) work: Task,
    pub(super) parameters: String,
    pub(super) seed: u64,
    pub(super) limits: Limits,
    pub(super) profile: Profile,
    pub(super) grants: Option<Grants>,
    pub(super) record: bool,
}

/// A table, known to the worker by its number.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct TableInfo {
    pub(super) number: usize,
    pub(super) schema: Schema,
    pub(super) rows: u64,
    pub(super) batches: usize,
}

/// A model, its states and weights by the numbers of the blobs that went before.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ModelInfo {
    pub(super) featurizers: Vec<(Digest, usize)>,
    pub(super) predictor: (Digest, usize),
    pub(super) input: Schema,
}

/// [`Work`](crate::Work), by numbers.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Task {
    Prepare { inputs: Vec<(String, TableInfo)>, outputs: Vec<(String, usize)> },
    Fit { training: TableInfo },
    Transform { state: usize, input: TableInfo, output: usize },
    Train { training: TableInfo, validation: Option<TableInfo> },
    Score { model: ModelInfo, input: TableInfo, output: usize },
    Evaluate { scored: TableInfo, model: Option<ModelInfo> },
    Check { scored: TableInfo, model: Option<ModelInfo> },
    Validate { table: TableInfo },
    Observe { reference: TableInfo, current: TableInfo, model: Option<ModelInfo> },
    DescribeModel { model: ModelInfo },
    Describe,
}

/// How a job ended.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Done {
    pub(super) result: Result<Answer, StageError>,
    pub(super) peak_memory: u64,
    pub(super) dropped_lines: u64,
    pub(super) dropped_points: u64,
}

/// What the body is.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Answer {
    Tables,
    Bytes,
    Report,
    Columns(Columns),
    Stages,
}

/// Sends a message and its body.
pub(super) fn send(out: &mut impl Write, message: &impl Serialize, body: &[u8]) -> io::Result<()> {
    let message = serde_json::to_vec(message)?;
    let length = u32::try_from(message.len()).ok().filter(|length| *length <= MESSAGE_BYTES);
    let length = length.ok_or_else(|| io::Error::other("a message to the other process is too long"))?;
    let mut head = Vec::with_capacity(12 + message.len());
    head.extend_from_slice(&length.to_le_bytes());
    head.extend_from_slice(&(body.len() as u64).to_le_bytes());
    head.extend_from_slice(&message);
    let mut sent = 0;
    while sent < head.len() + body.len() {
        let parts = [
            IoSlice::new(head.get(sent..).unwrap_or_default()),
            IoSlice::new(&body[sent.saturating_sub(head.len())..]),
        ];
        match out.write_vectored(&parts) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => sent += written,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    out.flush()
}

/// Receives a message and its body, which may have at most `most` bytes.
pub(super) fn receive<M: DeserializeOwned>(input: &mut impl Read, most: u64) -> io::Result<(M, Vec<u8>)> {
    let mut lengths = [0; 12];
    input.read_exact(&mut lengths)?;
    let (message, body) = lengths.split_at(4);
    let message = message.try_into().map(u32::from_le_bytes).unwrap_or(u32::MAX);
    let body = body.try_into().map(u64::from_le_bytes).unwrap_or(u64::MAX);
    if message > MESSAGE_BYTES || body > most {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a frame from the other process is too long"));
    }
    let message = serde_json::from_slice(&exactly(input, u64::from(message))?)?;
    Ok((message, exactly(input, body)?))
}

/// Reads this many bytes, without believing beforehand that they will come.
fn exactly(input: &mut impl Read, length: u64) -> io::Result<Vec<u8>> {
    const AT_ONCE: u64 = 32 << 20;
    let mut bytes = Vec::with_capacity(usize::try_from(length.min(AT_ONCE)).unwrap_or_default());
    input.take(length).read_to_end(&mut bytes)?;
    if bytes.len() as u64 == length { Ok(bytes) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}
