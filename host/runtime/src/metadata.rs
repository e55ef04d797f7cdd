//! What a component's standard metadata sections say. They are the author's words: shown, never relied upon.

use wasmparser::{BinaryReaderError, ComponentName, KnownCustom, Parser, Payload};

use crate::Metadata;

/// Longer words are cut: they go into records.
const WORDS_BYTES: usize = 4 << 10;
/// The most tools that are named.
const PRODUCERS: usize = 64;

fn words(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes.get(..WORDS_BYTES).unwrap_or(bytes));
    if bytes.len() > WORDS_BYTES { format!("{text}…") } else { text.into_owned() }
}

/// Reads the outermost component's metadata. Sections that cannot be read say nothing.
pub(crate) fn metadata(component: &[u8]) -> Metadata {
    let (mut found, mut depth) = (Metadata::default(), 0_u32);
    for payload in Parser::new(0).parse_all(component) {
        match payload {
            Err(_) => break,
            Ok(Payload::Version { .. }) => depth += 1,
            Ok(Payload::End(_)) => depth = depth.saturating_sub(1),
            Ok(Payload::CustomSection(section)) if depth == 1 => {
                let text = || Some(words(section.data()));
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
                    found.name = Some(words(name.as_bytes()));
                }
            }
        }
        KnownCustom::Producers(fields) => {
            for field in fields {
                for tool in field?.values {
                    let tool = tool?;
                    if found.producers.len() < PRODUCERS {
                        let tool = format!("{} {}", words(tool.name.as_bytes()), words(tool.version.as_bytes()));
                        found.producers.push(tool.trim_end().to_owned());
                    }
                }
            }
        }
        _ => {}
    }
    Ok(())
}
