//! `document`, `model export`, `model key`.

use std::{fmt::Write, path::Path};

use serde_json::{Value, json};
use stagewright::{
    Project,
    documents::{self, Document, Kind, Question},
};
use stagewright_core::VersionRef;

use super::Context;
use crate::{
    args::document::{DocumentArgs, SignedKind},
    failure::{CANNOT, Failure},
    text::{Columns, count},
};

pub(crate) fn document(context: &Context, args: DocumentArgs) -> Result<(), Failure> {
    let question = Question { sex: args.question.sex, race: args.question.race, selected: args.question.selected };
    let wanted: VersionRef = args.model.parse()?;
    let project = to_sign(context, args.kind.into())?;
    let document = documents::make(&project, args.kind.into(), &wanted, &question)?;
    let Some(file) = &args.output else {
        return context.print(&as_json(&document), |_| String::from_utf8_lossy(&document.bytes).into_owned());
    };
    std::fs::write(context.path(file)?.at(), &document.bytes)
        .map_err(|error| Failure::new(CANNOT, format!("cannot write {}: {error}", file.display())))?;
    let written = json!({
        "kind": document.kind, "file": file, "bytes": document.bytes.len(), "gaps": document.gaps,
    });
    context.print(&written, |_| {
        let mut text = format!("wrote {} ({} bytes)\n", file.display(), count(document.bytes.len() as u64));
        if !document.gaps.is_empty() {
            let names: Vec<&str> = document.gaps.iter().map(|gap| gap.name.as_str()).collect();
            let _ = writeln!(text, "people have to add: {}", names.join(", "));
        }
        text
    })
}

/// A document that is JSON as it is; one of text as text.
fn as_json(document: &Document) -> Value {
    let content = serde_json::from_slice::<Value>(&document.bytes)
        .unwrap_or_else(|_| String::from_utf8_lossy(&document.bytes).into_owned().into());
    json!({
        "kind": document.kind,
        "media_type": document.kind.media_type(),
        "content": content,
        "gaps": document.gaps,
    })
}

pub(crate) fn export(context: &Context, model: &str, directory: &Path) -> Result<(), Failure> {
    let wanted: VersionRef = model.parse()?;
    let exported = documents::export(&to_sign(context, Kind::ModelSignature)?, &wanted, &context.path(directory)?)?;
    context.print(&exported, |exported| {
        let mut columns = Columns::new(&["file", "bytes", "sha256"]);
        for file in &exported.files {
            columns.row([file.path.clone(), count(file.bytes), file.sha256.clone()]);
        }
        let mut text = format!("{} in {}\n{}", exported.model, directory.display(), columns.text());
        for (kind, why) in &exported.left_out {
            let _ = writeln!(text, "without a {kind}: {why}");
        }
        let _ = writeln!(
            text,
            "check it anywhere: stagewright model key > key.pub; model_signing verify key {0} --signature {0}/model.sig \
             --public_key key.pub",
            directory.display()
        );
        text
    })
}

pub(crate) fn key(context: &Context, kind: SignedKind) -> Result<(), Failure> {
    let kind = Kind::from(kind);
    let pem = documents::public_key(&to_sign(context, kind)?, kind)?;
    context.print(&json!({ "of": kind, "public_key": pem }), |_| pem.clone())
}

/// The project, to look at it; where a key is to be made first, to write the audit log, which tells of it.
fn to_sign(context: &Context, kind: Kind) -> Result<Project, Failure> {
    let project = context.read()?;
    if kind != Kind::ModelSignature || documents::has_key(&project) {
        return Ok(project);
    }
    drop(project);
    context.write()
}
