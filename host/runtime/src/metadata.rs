//! What a component's standard metadata sections say. They are the author's words: shown, never relied upon.

use wasmparser::{BinaryReaderError, ComponentName, KnownCustom, Parser, Payload};

use crate::Metadata;

/// Reads the outermost component's metadata. Sections that cannot be read say nothing.
pub(crate) fn metadata(component: &[u8]) -> Metadata {
    let (mut found, mut depth) = (Metadata::default(), 0_u32);
    for payload in Parser::new(0).parse_all(component) {
        match payload {
            Err(_) => break,
            Ok(Payload::Version { .. }) => depth += 1,
            Ok(Payload::End(_)) => depth = depth.saturating_sub(1),
            Ok(Payload::CustomSection(section)) if depth == 1 => {
                let text = || Some(String::from_utf8_lossy(section.data()).into_owned());
                match section.name() {
                    "version" => found.version = text(),
                    "description" => found.description = text(),
                    "licenses" => found.licence = text(),
                    "authors" => found.authors = text(),
                    "source" => found.source = text(),
                    // A section that is damaged half-way still says what stands before the damage.
                    _ => {
                        let _ = known(&mut found, section.as_known());
                    }
                }
            }
            Ok(_) => {}
        }
    }
    found
}

fn known(found: &mut Metadata, section: KnownCustom<'_>) -> Result<(), BinaryReaderError> {
    match section {
        KnownCustom::ComponentName(names) => {
            for name in names {
                if let ComponentName::Component { name, .. } = name? {
                    found.name = Some(name.to_owned());
                }
            }
        }
        KnownCustom::Producers(fields) => {
            for field in fields {
                for tool in field?.values {
                    let tool = tool?;
                    found.producers.push(format!("{} {}", tool.name, tool.version).trim_end().to_owned());
                }
            }
        }
        _ => {}
    }
    Ok(())
}
