//! A pipeline file: data, stages and the model that they make. This module reads what the file says; whether plugins,
//! data and parameters exist and fit is the [plan](crate::plan)'s business.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    ops::Range,
    str::FromStr,
};

use serde_json::Value;
use stagewright_core::{Name, StageKind, VersionRef, name::nearest, stage::Profile};

use super::{
    gate::GateSection,
    grants::{StageGrants, truth},
    source::{Kind, Located, Node, Problems, Source, unknown},
};

/// A parsed pipeline.
#[derive(Clone, Debug)]
pub struct Pipeline {
    /// The file, for messages about it.
    pub source: Source,
    /// The pipeline's name.
    pub name: Name,
    /// The only randomness that its stages have.
    pub seed: u64,
    /// How strictly floating point is pinned down.
    pub profile: Profile,
    /// Versions in the data repository, by the name that stages use.
    pub data: BTreeMap<String, Located<VersionRef>>,
    /// Parameters for every stage whose plugin takes them.
    pub defaults: BTreeMap<String, Located<Value>>,
    /// The stages, in the order of the file.
    pub stages: Vec<Stage>,
    /// The model to register.
    pub model: Option<ModelSection>,
    /// What that model must show before it may serve.
    pub gate: Option<GateSection>,
}

/// A stage as written.
#[derive(Clone, Debug)]
pub struct Stage {
    /// Its name and place.
    pub name: Located<String>,
    /// Which kind of stage.
    pub kind: StageKind,
    /// The plugins: one, or for a trainer one for each candidate.
    pub plugins: Vec<Located<VersionRef>>,
    /// Where its tables come from.
    pub inputs: StageInputs,
    /// The names of a preprocessor's output tables, where the file gives them.
    pub outputs: Vec<Located<String>>,
    /// The parameters.
    pub with: BTreeMap<String, Located<Value>>,
    /// Where the parameters stand; the stage's name if nowhere.
    pub with_at: Range<usize>,
    /// The featurizers in front of a trainer or featurizer, in order.
    pub features: Vec<Located<Reference>>,
    /// The trainer whose model is evaluated.
    pub model: Option<Located<Reference>>,
    /// Parameters to try, each with its values.
    pub sweep: BTreeMap<String, Located<Vec<Value>>>,
    /// How the best candidate is found.
    pub select: Option<Select>,
    /// The stage's own seed, where it has one.
    pub seed: Option<u64>,
    /// What it is granted of the real world.
    pub grants: StageGrants,
    /// Whether the result of a granted stage is kept for later runs; where the file says nothing, it is not.
    pub cache: Option<Located<bool>>,
}

/// Where a stage's tables come from, by port.
pub type StageInputs = BTreeMap<String, Located<Reference>>;

/// How the best of several candidates is found.
#[derive(Clone, Debug)]
pub struct Select {
    /// The metric, as the evaluator names it.
    pub metric: Located<String>,
    /// Whether a larger value is better.
    pub maximize: bool,
    /// The table that the candidates are compared on.
    pub on: Located<Reference>,
    /// The evaluator; without one, the plugin and parameters of the first evaluator stage of this model.
    pub evaluator: Option<Located<VersionRef>>,
}

/// Which model is registered, under which name.
#[derive(Clone, Debug)]
pub struct ModelSection {
    /// The name in the model repository.
    pub name: Located<Name>,
    /// The trainer; without one, the only trainer of the pipeline.
    pub from: Option<Located<Reference>>,
}

/// What a stage reads: `data.census`, `split.train`, or `clean` where a stage has one output.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reference {
    /// `data`, or a stage's name.
    pub stage: String,
    /// Which of its outputs.
    pub output: Option<String>,
}

impl FromStr for Reference {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (stage, output) = match text.split_once('.') {
            Some((stage, output)) => (stage, Some(output.to_owned())),
            None => (text, None),
        };
        if stage.is_empty() || output.as_ref().is_some_and(|output| output.is_empty() || output.contains('.')) {
            return Err(format!("`{text}` is not a reference: write `data.NAME`, `STAGE` or `STAGE.OUTPUT`"));
        }
        Ok(Self { stage: stage.to_owned(), output })
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.stage)?;
        self.output.iter().try_for_each(|output| write!(f, ".{output}"))
    }
}

const KINDS: [&str; 7] =
    ["preprocessor", "featurizer", "trainer", "evaluator", "fairness-checker", "validator", "monitor"];

impl Pipeline {
    /// Reads a pipeline file. `path` is only for messages.
    ///
    /// # Errors
    /// Everything that is wrong with the text.
    pub fn parse(path: &str, text: &str) -> Result<Self, Problems> {
        let mut source = Source::new(path, text);
        let root = source.parse();
        let root_has_keys = matches!(&root.kind, Kind::Table(entries) if !entries.is_empty());
        let known = root.known(&mut source, "a pipeline", &["pipeline", "data", "defaults", "stage", "model", "gate"]);
        let file = &mut source;

        let (mut name, mut seed, mut profile) = (None, 0, Profile::Fast);
        if let Some(section) = known.get("pipeline") {
            let keys = section.known(file, "[pipeline]", &["name", "seed", "profile"]);
            name = keys.get("name").and_then(|node| node.parsed::<Name>(file, "name")).map(|name| name.value);
            if let Some(node) = keys.get("seed") {
                seed = node.integer(file, "seed", 0..i64::MAX).unwrap_or_default() as u64;
            }
            if let Some(text) = keys.get("profile").and_then(|node| node.text(file, "profile")) {
                match text.value.as_str() {
                    "fast" => {}
                    "strict" => profile = Profile::Strict,
                    other => {
                        file.problem(
                            &text.at,
                            format!("unknown profile `{other}`"),
                            unknown(other, &["fast", "strict"]),
                        );
                    }
                }
            }
            if !keys.contains_key("name") {
                file.problem(&section.at, "[pipeline] has no name", Some("add: name = \"my-pipeline\"".into()));
            }
        } else if file.is_sound() || !known.is_empty() || root_has_keys {
            let hint = "begin with [pipeline] and, on the next line, name = \"my-pipeline\"".to_owned();
            file.problem(&(0..0), "the section [pipeline] is missing", Some(hint));
        }

        let mut data = BTreeMap::new();
        for (key, node) in known.get("data").and_then(|node| node.table(file, "[data]")).unwrap_or_default() {
            if let Some(version) = node.parsed(file, "a version of a data set") {
                data.insert(key.value.clone(), version);
            }
        }
        let defaults = known.get("defaults").map(|node| parameters(file, node, "[defaults]")).unwrap_or_default();
        let mut stages = Vec::new();
        for (key, node) in known.get("stage").and_then(|node| node.table(file, "[stage]")).unwrap_or_default() {
            stages.extend(Stage::read(file, key, node));
        }
        stages.sort_by_key(|stage| stage.name.at.start);
        let model = known.get("model").and_then(|node| ModelSection::read(file, node));
        let gate = known.get("gate").map(|node| GateSection::read(file, node));
        if let (Some(gate), false) = (&gate, known.contains_key("model")) {
            let hint = "add: [model] and, on the next line, name = \"my-model\"".to_owned();
            file.problem(&gate.at, "[gate] guards a model, but the pipeline registers none", Some(hint));
        }
        if stages.is_empty() && file.is_sound() {
            file.problem(&(0..0), "the pipeline has no stages", Some("add one: [stage.NAME]".into()));
        }
        let name = name.unwrap_or_else(|| "pipeline".parse().expect("a valid name"));
        let checked = source.clone().finish(());
        checked.map(|()| Self { source, name, seed, profile, data, defaults, stages, model, gate })
    }

    /// The stage of this name.
    pub fn stage(&self, name: &str) -> Option<&Stage> {
        self.stages.iter().find(|stage| stage.name.value == name)
    }
}

impl Stage {
    fn read(file: &mut Source, name: &Located<String>, node: &Node) -> Option<Self> {
        let what = format!("[stage.{}]", name.value);
        if name.value.parse::<Name>().is_err() || name.value.contains('.') || name.value == "data" {
            file.problem(&name.at, format!("`{}` cannot name a stage", name.value), None);
        }
        let entries = node.table(file, &what)?;
        let mut kinds = entries.iter().filter(|(key, _)| KINDS.contains(&key.value.as_str()));
        let Some((kind_key, plugins)) = kinds.next() else {
            // A kind that is spelt wrongly is told where it stands.
            match entries.iter().find_map(|(key, _)| Some((key, nearest(&key.value, KINDS.iter().copied())?))) {
                Some((key, kind)) => {
                    let message = format!("unknown key `{}` in {what}", key.value);
                    file.problem(&key.at, message, Some(format!("did you mean `{kind}`?")));
                }
                None => {
                    let kinds = KINDS.join(", ");
                    let hint = format!("say what runs, for example: preprocessor = \"split\" (one of {kinds})");
                    file.problem(&name.at, format!("{what} names no plugin"), Some(hint));
                }
            }
            return None;
        };
        if let Some((second, _)) = kinds.next() {
            let message = format!("{what} is a {} already; a stage has one kind", kind_key.value);
            file.problem(&second.at, message, Some("make it a stage of its own".into()));
        }
        let kind: StageKind = kind_key.value.parse().ok()?;
        let own: &[&str] = match kind {
            StageKind::Preprocessor => &["input", "inputs", "outputs"],
            StageKind::Featurizer => &["input", "features"],
            StageKind::Trainer => &["input", "validation", "features", "sweep", "select"],
            StageKind::Evaluator | StageKind::FairnessChecker => &["input", "model"],
            StageKind::Validator | StageKind::Predictor => &["input"],
            StageKind::Monitor => &["reference", "current", "model"],
        };
        let mut allowed = vec![kind_key.value.as_str(), "with", "seed", "grants", "cache"];
        allowed.extend(KINDS.iter().filter(|other| entries.iter().any(|(key, _)| key.value == **other)));
        allowed.extend(own);
        let keys = node.known(file, &format!("{what}, a {kind},"), &allowed);

        let mut versions = Vec::new();
        for plugin in plugins.texts(file, &kind_key.value) {
            match plugin.value.parse() {
                Ok(value) => versions.push(Located { value, at: plugin.at }),
                Err(error) => file.problem(&plugin.at, format!("{error}"), None),
            }
        }
        if versions.len() > 1 && kind != StageKind::Trainer {
            file.problem(&plugins.at, format!("a {kind} stage runs one plugin; only trainers compete"), None);
        }
        let inputs = stage_inputs(file, &what, name, kind, &keys);
        let outputs = keys.get("outputs").map(|node| node.texts(file, "outputs")).unwrap_or_default();
        let mut seen = BTreeSet::new();
        for output in &outputs {
            if output.value.parse::<Name>().is_err() || output.value.contains('.') {
                file.problem(&output.at, format!("`{}` cannot name an output", output.value), None);
            } else if !seen.insert(&output.value) {
                file.problem(&output.at, format!("two outputs are named `{}`", output.value), None);
            }
        }
        let with = keys.get("with").map(|node| parameters(file, node, "with")).unwrap_or_default();
        let features = keys.get("features").map(|node| node.texts(file, "features")).unwrap_or_default();
        let features = features.into_iter().filter_map(|text| reference(file, text)).collect();
        let model = keys.get("model").and_then(|node| node.text(file, "model")).and_then(|text| reference(file, text));
        let mut sweep = BTreeMap::new();
        for (key, node) in keys.get("sweep").and_then(|node| node.table(file, "sweep")).unwrap_or_default() {
            match &node.kind {
                Kind::Array(values) if !values.is_empty() => {
                    let values = values.iter().map(Node::to_json).collect();
                    sweep.insert(key.value.clone(), Located { value: values, at: key.at.clone() });
                }
                _ => file.problem(&node.at, format!("sweep.{} must be a list of values to try", key.value), None),
            }
        }
        let select = keys.get("select").and_then(|node| Select::read(file, node));
        let seed = keys.get("seed").and_then(|node| node.integer(file, "seed", 0..i64::MAX)).map(|seed| seed as u64);
        let grants = keys.get("grants").map(|node| StageGrants::read(file, &what, node)).unwrap_or_default();
        let cache = keys.get("cache").map(|node| Located { value: truth(file, node, "cache"), at: node.at.clone() });
        let with_at = keys.get("with").map_or_else(|| name.at.clone(), |node| node.at.clone());
        let name = name.clone();
        Some(Self {
            name,
            kind,
            plugins: versions,
            inputs,
            outputs,
            with,
            with_at,
            features,
            model,
            sweep,
            select,
            seed,
            grants,
            cache,
        })
    }
}

fn stage_inputs(
    file: &mut Source,
    what: &str,
    name: &Located<String>,
    kind: StageKind,
    keys: &BTreeMap<&str, &Node>,
) -> StageInputs {
    let mut inputs = BTreeMap::new();
    for port in ["input", "validation", "reference", "current"] {
        if let Some(text) = keys.get(port).and_then(|node| node.text(file, port))
            && let Some(reference) = reference(file, text)
        {
            inputs.insert(port.to_owned(), reference);
        }
    }
    if let Some(node) = keys.get("inputs") {
        if keys.contains_key("input") {
            file.problem(&node.at, format!("{what} has both `input` and `inputs`"), Some("keep one of them".into()));
        }
        for (port, node) in node.table(file, "inputs").unwrap_or_default() {
            if let Some(reference) = node.text(file, "an input").and_then(|text| reference(file, text)) {
                inputs.insert(port.value.clone(), reference);
            }
        }
    }
    let needed: &[&str] = match kind {
        StageKind::Preprocessor if keys.contains_key("inputs") => &[],
        StageKind::Monitor => &["reference", "current"],
        _ => &["input"],
    };
    for port in needed.iter().filter(|port| !keys.contains_key(**port)) {
        let hint = format!("add: {port} = \"data.NAME\" or \"STAGE.OUTPUT\"");
        file.problem(&name.at, format!("{what} has no `{port}`"), Some(hint));
    }
    inputs
}

impl Select {
    fn read(file: &mut Source, node: &Node) -> Option<Self> {
        let keys = node.known(file, "select", &["metric", "goal", "on", "evaluator"]);
        for key in ["metric", "on"].iter().filter(|key| !keys.contains_key(**key)) {
            file.problem(&node.at, format!("select has no `{key}`"), None);
        }
        let mut maximize = true;
        if let Some(goal) = keys.get("goal").and_then(|node| node.text(file, "goal")) {
            match goal.value.as_str() {
                "maximize" => {}
                "minimize" => maximize = false,
                other => {
                    let hint = unknown(other, &["maximize", "minimize"]);
                    file.problem(&goal.at, format!("unknown goal `{other}`"), hint);
                }
            }
        } else {
            file.problem(&node.at, "select has no `goal`", Some("add: goal = \"maximize\" or \"minimize\"".into()));
        }
        let metric = keys.get("metric")?.text(file, "metric");
        let on = keys.get("on")?.text(file, "on").and_then(|text| reference(file, text));
        let evaluator = keys.get("evaluator").and_then(|node| node.parsed(file, "evaluator"));
        Some(Self { metric: metric?, maximize, on: on?, evaluator })
    }
}

impl ModelSection {
    fn read(file: &mut Source, node: &Node) -> Option<Self> {
        let keys = node.known(file, "[model]", &["name", "from"]);
        let from = keys.get("from").and_then(|node| node.text(file, "from")).and_then(|text| reference(file, text));
        let Some(name) = keys.get("name") else {
            file.problem(&node.at, "[model] has no name", Some("add: name = \"my-model\"".into()));
            return None;
        };
        Some(Self { name: name.parsed(file, "name")?, from })
    }
}

fn reference(file: &mut Source, text: Located<String>) -> Option<Located<Reference>> {
    match text.value.parse() {
        Ok(value) => Some(Located { value, at: text.at }),
        Err(error) => {
            file.problem(&text.at, error, None);
            None
        }
    }
}

fn parameters(file: &mut Source, node: &Node, what: &str) -> BTreeMap<String, Located<Value>> {
    let entries = node.table(file, what).unwrap_or_default();
    let located = |(key, node): &(Located<String>, Node)| {
        (key.value.clone(), Located { value: node.to_json(), at: key.at.clone() })
    };
    entries.iter().map(located).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str) -> String {
        Pipeline::parse("p.toml", text).map(|_| ()).unwrap_err().to_string()
    }

    #[test]
    fn an_unknown_key_names_its_place_and_the_nearest_known_one() {
        let text = "[pipeline]\nname = \"p\"\n\n[stage.split]\npreprocessor = \"split\"\ninput = \"data.x\"\noutpust = [\"a\"]\n";
        assert_eq!(
            problems(text),
            "p.toml:7:1: unknown key `outpust` in [stage.split], a preprocessor,\n  hint: did you mean `outputs`?"
        );
        assert_eq!(
            problems("[pipelin]\nname = \"p\"\n").lines().next().unwrap(),
            "p.toml:1:1: the section [pipeline] is missing"
        );
    }

    #[test]
    fn a_kind_that_is_spelt_wrongly_is_told_where_it_stands() {
        let text = "[pipeline]\nname = \"p\"\n[stage.split]\ninput = \"data.x\"\npreprocesor = \"split\"\n";
        assert_eq!(
            problems(text),
            "p.toml:5:1: unknown key `preprocesor` in [stage.split]\n  hint: did you mean `preprocessor`?"
        );
    }

    #[test]
    fn everything_wrong_is_said_at_once() {
        let text = "[pipeline]\nname = \"p\"\nseed = -1\n[stage.a]\nvalidator = [\"x\", \"y\"]\n[stage.b]\nwith = {}\n";
        assert_eq!(
            problems(text).lines().filter(|line| !line.contains("hint:")).collect::<Vec<_>>(),
            [
                "p.toml:3:8: seed must be a whole number from 0 to 9223372036854775806",
                "p.toml:4:8: [stage.a] has no `input`",
                "p.toml:5:13: a validator stage runs one plugin; only trainers compete",
                "p.toml:6:8: [stage.b] names no plugin",
            ]
        );
    }

    #[test]
    fn stages_keep_the_order_of_the_file() {
        let text = "[pipeline]\nname = \"p\"\n[data]\nx = \"x@1\"\n[stage.z]\nvalidator = \"v\"\ninput = \"data.x\"\n[stage.a]\nvalidator = \"v\"\ninput = \"data.x\"\nwith = { k = 1.5 }\n";
        let pipeline = Pipeline::parse("p.toml", text).unwrap();
        assert_eq!(pipeline.stages.iter().map(|stage| stage.name.value.as_str()).collect::<Vec<_>>(), ["z", "a"]);
        assert_eq!(pipeline.stages[1].with["k"].value, Value::from(1.5));
    }
}
