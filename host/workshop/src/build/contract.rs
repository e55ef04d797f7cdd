//! The contract, as text for other languages' tools and as types for ours.

use stagewright_core::grant::Capability;
use wit_component::StringEncoding;
use wit_parser::{Resolve, SourceMap, WorldId};

use crate::{build::BuildError, scaffold::PluginKind};

/// The files of the contract: name and text.
pub(crate) const FILES: [(&str, &str); 5] = [
    ("tables.wit", include_str!("../../../../wit/tables.wit")),
    ("host.wit", include_str!("../../../../wit/host.wit")),
    ("grants.wit", include_str!("../../../../wit/grants.wit")),
    ("stages.wit", include_str!("../../../../wit/stages.wit")),
    ("worlds.wit", include_str!("../../../../wit/worlds.wit")),
];

/// The files of the contract, in which the world of one kind of plugin also imports these capabilities.
pub(crate) fn files(kind: PluginKind, asks: &[Capability]) -> Vec<(&'static str, String)> {
    let world = format!("world {} {{\n", kind.world());
    let imports: String = asks.iter().map(|capability| format!("    import {capability};\n")).collect();
    FILES.iter().map(|(name, text)| (*name, text.replace(&world, &format!("{world}{imports}")))).collect()
}

/// The contract, read.
pub(crate) struct Contract {
    pub(crate) types: Resolve,
    pub(crate) world: WorldId,
}

impl Contract {
    /// The contract and the world of one kind of plugin that asks for these capabilities.
    pub(crate) fn of(kind: PluginKind, asks: &[Capability]) -> Result<Self, BuildError> {
        let mut sources = SourceMap::new();
        for (name, text) in files(kind, asks) {
            sources.push_str(name, text);
        }
        let mut types = Resolve::default();
        let read = sources.parse().map_err(|(_, error)| error.to_string()).and_then(|group| {
            types.push_group(group).map_err(|error| format!("{error:#}"))?;
            let named = |(_, world): &(WorldId, &wit_parser::World)| world.name == kind.world();
            types.worlds.iter().find(named).map(|(id, _)| id).ok_or_else(|| format!("no world {}", kind.world()))
        });
        let world = read.map_err(|error| BuildError::Contract(format!("the contract in this program: {error}")))?;
        Ok(Self { types, world })
    }

    /// Writes into a core module which world it is meant for.
    pub(crate) fn embed(&self, module: &mut Vec<u8>) -> Result<(), BuildError> {
        wit_component::embed_component_metadata(module, &self.types, self.world, StringEncoding::UTF8)
            .map_err(|error| BuildError::Contract(format!("{error:#}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_world_imports_what_its_plugin_asks_for_and_no_more() {
        let imports = |asks: &[Capability]| {
            let contract = Contract::of(PluginKind::Validator, asks).unwrap();
            let world = &contract.types.worlds[contract.world];
            let imports: Vec<String> = world.imports.keys().map(|key| contract.types.name_world_key(key)).collect();
            Capability::asked_by(&imports).into_iter().collect::<Vec<_>>()
        };
        assert_eq!(imports(&[]), []);
        assert_eq!(imports(&[Capability::Http, Capability::WallClock]), [Capability::Http, Capability::WallClock]);
        assert_eq!(imports(&Capability::ALL), Capability::ALL);
    }
}
