//! `/v2/models/NAME/infer`: tensors in, tensors out, as JSON or with the binary tensor extension.

use std::{borrow::Cow, sync::Arc};

use hyper::{
    Request,
    body::Incoming,
    header::{HeaderName, HeaderValue},
};
use serde::Deserialize;
use serde_json::{Value, json};
use stagewright::serving::{Answer, Route, Variant};
use stagewright_core::{ColumnType, Field};

use super::{
    Asked, Chosen, Server,
    answer::{Refusal, Response, typed},
    body,
    ids::Trace,
    predict::plain,
    route_key,
    tensors::{Data, Tensor, Values, datatype, rows, to_binary},
};

const HEADER_LENGTH: HeaderName = HeaderName::from_static("inference-header-content-length");

#[derive(Deserialize)]
struct Infer<'a> {
    #[serde(borrow)]
    id: Option<Cow<'a, str>>,
    parameters: Option<Parameters>,
    #[serde(borrow)]
    inputs: Vec<Input<'a>>,
    #[serde(borrow, default)]
    outputs: Option<Vec<Output<'a>>>,
}

#[derive(Deserialize)]
struct Input<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    shape: Vec<u64>,
    #[serde(borrow)]
    datatype: Cow<'a, str>,
    parameters: Option<Parameters>,
    #[serde(borrow)]
    data: Option<Values<'a>>,
}

#[derive(Deserialize)]
struct Output<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    parameters: Option<Parameters>,
}

/// The parameters that mean something here.
#[derive(Default, Deserialize)]
struct Parameters {
    binary_data_size: Option<usize>,
    binary_data: Option<bool>,
    binary_data_output: Option<bool>,
    classification: Option<Value>,
}

/// What a model is, in the protocol's words.
pub(super) fn metadata(route: &Route, variant: &Variant) -> Value {
    let tensor = |field: &Field| {
        json!({
            "name": field.name, "datatype": datatype(field.column_type), "shape": [-1],
            "parameters": { "type": field.column_type, "nullable": field.nullable },
        })
    };
    let versions: Vec<_> = route.variants.iter().map(|variant| variant.model.version().number.to_string()).collect();
    json!({
        "name": &*route.name,
        "versions": versions,
        "platform": "stagewright",
        "inputs": variant.model.form().schema().fields().iter().map(tensor).collect::<Vec<_>>(),
        "outputs": variant.model.output().fields().iter().map(tensor).collect::<Vec<_>>(),
        "parameters": { "model": variant.model.version().to_string(), "digest": variant.model.version().digest },
    })
}

impl Server {
    pub(super) async fn infer(
        &self,
        request: Request<Incoming>,
        name: &str,
        version: Option<&str>,
        trace: &Trace,
        asked: &mut Asked,
    ) -> Result<Response, Refusal> {
        self.access.predictor(request.headers()).await?;
        let Chosen { route, variant, present, shadow } =
            self.find(name, version, route_key(request.headers(), trace))?;
        asked.endpoint = Some(Arc::clone(&route.name));
        plain(request.headers())?;
        let header = request.headers().get(HEADER_LENGTH).map(|length| length.to_str().ok()?.parse::<usize>().ok());
        let whole = body::read(request.into_body(), &self.settings, &self.bodies).await?;
        let body = &whole.bytes;
        let (text, binary) = match header {
            None => (&**body, [].as_slice()),
            Some(length) => length.and_then(|length| body.split_at_checked(length)).ok_or_else(|| {
                Refusal::bad(format!("{HEADER_LENGTH} is no length within the body of {} bytes", body.len()))
            })?,
        };
        let infer: Infer<'_> = serde_json::from_slice(text)
            .map_err(|error| Refusal::bad(format!("the body is no inference request: {error}")))?;
        let tensors = tensors(&infer, binary)?;
        let present = present.and_then(|present| {
            Some((rows(&tensors, present.model.form()).ok()?, wanted(&infer, &present).ok()?, present))
        });
        let batch = rows(&tensors, variant.model.form());
        let beside = shadow.map(|shadow| {
            let batch = rows(&tensors, shadow.model.form()).map_err(|error| error.to_string());
            (shadow, batch)
        });
        drop(tensors);
        let mut names = wanted(&infer, &variant)?;
        let id = infer.id.as_deref().map(str::to_owned);
        drop(infer);
        drop(whole);
        let digest = variant.model.version().digest;
        let (present, others) = present.map(|(batch, wanted, present)| ((present, batch), wanted)).unzip();
        let (variant, answer) = self.ask(&route, (variant, batch), present, trace, asked).await?;
        if variant.model.version().digest != digest {
            names = others.unwrap_or_default();
        }
        let mut response = write(&route, &variant, id, &names, &answer.answer)?;
        self.answered(&mut response, &route, variant, answer, trace);
        self.beside(&route, beside, trace);
        Ok(response)
    }
}

/// The tensors of a request, each with its part of the binary data.
fn tensors<'a>(infer: &'a Infer<'a>, mut binary: &'a [u8]) -> Result<Vec<Tensor<'a>>, Refusal> {
    let mut tensors = Vec::with_capacity(infer.inputs.len());
    for input in &infer.inputs {
        let name = &*input.name;
        let size = input.parameters.as_ref().and_then(|parameters| parameters.binary_data_size);
        let data = match (&input.data, size) {
            (Some(data), None) => Data::Json(data),
            (None, Some(size)) => {
                let (own, rest) = binary.split_at_checked(size).ok_or_else(|| {
                    Refusal::bad(format!(
                        "column `{name}`: it should have {size} bytes of binary data, and {} are left",
                        binary.len()
                    ))
                })?;
                binary = rest;
                Data::Binary(own)
            }
            (Some(_), Some(_)) => {
                return Err(Refusal::bad(format!("column `{name}`: it has both data and binary data")));
            }
            (None, None) => return Err(Refusal::bad(format!("column `{name}`: it has no data"))),
        };
        tensors.push(Tensor { name, datatype: &input.datatype, shape: &input.shape, data });
    }
    match binary.len() {
        0 => Ok(tensors),
        left => Err(Refusal::bad(format!("{left} bytes of binary data belong to no input"))),
    }
}

/// The outputs that are asked for, by position, and whether each is to be binary.
fn wanted(infer: &Infer<'_>, variant: &Variant) -> Result<Vec<(usize, bool)>, Refusal> {
    let all = infer.parameters.as_ref().and_then(|parameters| parameters.binary_data_output).unwrap_or_default();
    let outputs = variant.model.output();
    let Some(wanted) = infer.outputs.as_ref().filter(|wanted| !wanted.is_empty()) else {
        return Ok((0..outputs.len()).map(|position| (position, all)).collect());
    };
    let one = |output: &Output<'_>| {
        let position = outputs.index_of(&output.name).ok_or_else(|| {
            let shown: String = output.name.chars().take(80).collect();
            let names: Vec<_> = outputs.fields().iter().map(|field| format!("`{}`", field.name)).collect();
            Refusal::bad(format!("the model has no output `{shown}`; it has {}", names.join(", ")))
        })?;
        let parameters = output.parameters.as_ref();
        if parameters.is_some_and(|parameters| parameters.classification.is_some()) {
            return Err(Refusal::bad("the classification extension is not offered; leave `classification` out"));
        }
        Ok((position, parameters.and_then(|parameters| parameters.binary_data).unwrap_or(all)))
    };
    wanted.iter().map(one).collect()
}

fn write(
    route: &Route,
    variant: &Variant,
    id: Option<String>,
    wanted: &[(usize, bool)],
    answer: &Answer,
) -> Result<Response, Refusal> {
    let (predictions, fields) = (&answer.predictions, variant.model.output().fields());
    let mut text = Vec::with_capacity(256);
    let mut binary = Vec::new();
    let name = |text: &str| Value::from(text).to_string();
    let number = variant.model.version().number;
    text.extend_from_slice(format!("{{\"model_name\":{},\"model_version\":\"{number}\"", name(&route.name)).as_bytes());
    if let Some(id) = id {
        text.extend_from_slice(format!(",\"id\":{}", name(&id)).as_bytes());
    }
    text.extend_from_slice(b",\"outputs\":[");
    for (index, (position, as_binary)) in wanted.iter().enumerate() {
        let (field, column) = (&fields[*position], &predictions.columns[*position]);
        let start = format!(
            "{}{{\"name\":{},\"datatype\":\"{}\",\"shape\":[{}],",
            if index > 0 { "," } else { "" },
            name(&field.name),
            datatype(field.column_type),
            predictions.rows
        );
        text.extend_from_slice(start.as_bytes());
        if *as_binary {
            let bytes = to_binary(field, column, predictions.rows as usize).ok_or_else(|| {
                Refusal::bad(format!(
                    "output `{}` has missing values, which binary tensors of {} cannot express; ask for JSON",
                    field.name,
                    datatype(field.column_type)
                ))
            })?;
            text.extend_from_slice(format!("\"parameters\":{{\"binary_data_size\":{}}}}}", bytes.len()).as_bytes());
            binary.extend_from_slice(&bytes);
        } else {
            text.extend_from_slice(b"\"data\":");
            match field.column_type {
                // The protocol has no times: they are whole numbers there.
                ColumnType::Timestamp => {
                    let values = column.ints().enumerate();
                    let values: Vec<_> = values.map(|(row, value)| column.is_valid(row).then_some(value)).collect();
                    text.extend_from_slice(json!(values).to_string().as_bytes());
                }
                _ => variant.model.renderer().column(predictions, *position, &mut text),
            }
            text.push(b'}');
        }
    }
    text.extend_from_slice(b"]}");
    if !wanted.iter().any(|(_, as_binary)| *as_binary) {
        return Ok(typed(text, HeaderValue::from_static("application/json")));
    }
    let length = HeaderValue::from(text.len());
    text.extend_from_slice(&binary);
    let mut response = typed(text, HeaderValue::from_static("application/octet-stream"));
    response.headers_mut().insert(HEADER_LENGTH, length);
    Ok(response)
}
