//! Whether bytes are a plugin at all, decided before any of them is compiled or run.
//!
//! What a component is, its exports say. Every interface of the contract that it exports or imports must have the
//! contract's types; it may import nothing else but virtual WASI; what else it exports is its own affair. The engine
//! would notice a misfit too, but its words name neither the interface nor what was expected.

mod shape;

use std::collections::BTreeMap;

use stagewright_core::StageKind;
use wasmparser::{Encoding, Parser, Payload, Validator, WasmFeatures, component_types::ComponentEntityType};
use wasmtime::Engine;

use self::shape::{Function, actual, contract};
use crate::{COMPONENT_BYTES, Refused, wasi};

/// More of two types that do not match helps nobody.
const PROBLEM_BYTES: usize = 500;

/// What a component exports and imports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct World {
    /// The stages it exports, in the order of the contract.
    pub kinds: Vec<StageKind>,
    /// Every interface it imports.
    pub imports: Vec<String>,
}

/// Says what the component is, or exactly why it may not run. Runs nothing of it.
///
/// # Errors
/// The first misfit.
pub fn check(bytes: &[u8]) -> Result<World, Refused> {
    form(bytes)?;
    let invalid = |error: wasmparser::BinaryReaderError| Refused::Invalid(error.message().to_owned());
    let types = Validator::new_with_features(features()).validate_all(bytes).map_err(invalid)?;
    let (imports, exports) = names(bytes).map_err(invalid)?;
    let contract = contract();

    let exported: BTreeMap<&str, &String> =
        exports.iter().filter_map(|name| Some((of_contract(name)?, name))).collect();
    let kinds: Vec<StageKind> =
        StageKind::ALL.into_iter().filter(|kind| exported.contains_key(kind.as_str())).collect();
    let Some(first) = kinds.first() else { return Err(Refused::NoStage) };
    if !exported.contains_key("plugin") {
        return Err(Refused::NoPlugin { kind: first.to_string() });
    }
    for import in &imports {
        match of_contract(import).and_then(|short| contract.get(short)) {
            None if wasi::provides(import) => {}
            None => return Err(Refused::Import(import.clone())),
            Some(expected) => {
                if let Some(ComponentEntityType::Instance(instance)) =
                    types.as_ref().component_item_for_import(import).map(|item| item.ty)
                {
                    // A guest imports the functions that it calls, not always the whole interface.
                    for (name, found) in actual(types.as_ref(), instance) {
                        let expected =
                            expected.get(&name).ok_or_else(|| Refused::Import(format!("{import}.{name}")))?;
                        compare(import, &name, expected, &found)?;
                    }
                }
            }
        }
    }
    for (short, export) in &exported {
        let Some(expected) = contract.get(*short) else { continue };
        let Some(ComponentEntityType::Instance(instance)) =
            types.as_ref().component_item_for_export(export).map(|item| item.ty)
        else {
            let problem = "it is not an interface".to_owned();
            return Err(Refused::Mismatch { item: (*export).clone(), problem });
        };
        let found = actual(types.as_ref(), instance);
        for (name, expected) in expected {
            match found.get(name) {
                None => {
                    let problem = format!("it lacks `{name}`");
                    return Err(Refused::Mismatch { item: (*export).clone(), problem });
                }
                Some(found) => compare(export, name, expected, found)?,
            }
        }
    }
    Ok(World { kinds, imports })
}

/// Refuses by name what is not a component in its binary form.
fn form(bytes: &[u8]) -> Result<(), Refused> {
    if Engine::detect_precompiled(bytes).is_some() {
        return Err(Refused::Precompiled);
    }
    if bytes.len() as u64 > COMPONENT_BYTES {
        return Err(Refused::TooLarge { found: bytes.len() as u64, most: COMPONENT_BYTES });
    }
    if !bytes.starts_with(b"\0asm") {
        let start = bytes.trim_ascii_start();
        if [&b"(module"[..], b"(component", b"(;", b";;"].iter().any(|text| start.starts_with(text)) {
            return Err(Refused::Text);
        }
        let shown = match bytes.get(..8).unwrap_or(bytes) {
            [] => "nothing: it is empty".to_owned(),
            start => format!("\"{}\"", start.escape_ascii()),
        };
        return Err(Refused::NotWasm(shown));
    }
    if Parser::is_core_wasm(bytes) {
        return Err(Refused::CoreModule);
    }
    Ok(())
}

/// What a stage may be made of: all that is settled, and nothing that runs out of order.
fn features() -> WasmFeatures {
    let mut features = WasmFeatures::default();
    for not_deterministic in [WasmFeatures::CM_ASYNC, WasmFeatures::CM_ASYNC_STACKFUL, WasmFeatures::CM_THREADING] {
        features.remove(not_deterministic);
    }
    features
}

/// The names that the outermost component imports and exports.
fn names(bytes: &[u8]) -> Result<(Vec<String>, Vec<String>), wasmparser::BinaryReaderError> {
    let (mut imports, mut exports, mut depth) = (Vec::new(), Vec::new(), 0_u32);
    for payload in Parser::new(0).parse_all(bytes) {
        match payload? {
            Payload::Version { encoding: Encoding::Component | Encoding::Module, .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(section) if depth == 1 => {
                for import in section {
                    imports.push(import?.name.name.to_owned());
                }
            }
            Payload::ComponentExportSection(section) if depth == 1 => {
                for export in section {
                    exports.push(export?.name.name.to_owned());
                }
            }
            _ => {}
        }
    }
    Ok((imports, exports))
}

/// The short name of an interface of the contract, on the 0.1 track: any 0.1.x fits any other.
fn of_contract(name: &str) -> Option<&str> {
    let (interface, version) = name.strip_prefix("stagewright:stage/")?.split_once('@')?;
    version.starts_with("0.1.").then_some(interface)
}

fn compare(interface: &str, name: &str, expected: &Function, found: &Function) -> Result<(), Refused> {
    match expected.difference(found) {
        None => Ok(()),
        Some(mut problem) => {
            // A type may be made of a million parts.
            if problem.len() > PROBLEM_BYTES {
                problem.truncate(problem.floor_char_boundary(PROBLEM_BYTES));
                problem.push('…');
            }
            Err(Refused::Mismatch { item: format!("{interface}.{name}"), problem })
        }
    }
}
