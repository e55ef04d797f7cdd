use serde_json::json;
use stagewright_core::{
    ColumnType, Digest, Field,
    stage::{Port, StageInfo},
};

use super::*;

/// A catalog with a table `adult` and a plugin for each kind, named after the kind.
struct Shelf;

impl Catalog for Shelf {
    fn data(&self, version: &VersionRef) -> Result<(Used, Schema), String> {
        if version.name.as_str() != "adult" {
            return Err(format!("there is no data set `{}`", version.name));
        }
        let schema = Schema::new(vec![Field::new("income", ColumnType::Category, false)]).unwrap();
        Ok((Used { name: version.name.clone(), number: 1, digest: Digest::of(b"adult") }, schema))
    }

    fn plugin(&self, version: &VersionRef) -> Result<(Used, Arc<PluginRecord>), String> {
        let port = |name: &str| Port { name: name.into(), doc: "rows".into(), optional: false };
        let stage = |kind: StageKind, properties: Value| StageInfo {
            kind,
            doc: String::new(),
            parameters: json!({ "type": "object", "additionalProperties": false, "properties": properties }),
            inputs: vec![port("table")],
            outputs: vec![port("*")],
        };
        let stages = match version.name.as_str() {
            "split" => vec![stage(StageKind::Preprocessor, json!({ "fractions": { "type": "array" } }))],
            "tabular" => vec![stage(StageKind::Featurizer, json!({ "label": { "type": "string" } }))],
            "logistic" => vec![
                stage(
                    StageKind::Trainer,
                    json!({ "label": { "type": "string" }, "l2": { "type": "number", "default": 1.0 } }),
                ),
                stage(StageKind::Predictor, json!({})),
            ],
            "trees" => vec![
                stage(StageKind::Trainer, json!({ "label": { "type": "string" }, "rounds": { "type": "integer" } })),
                stage(StageKind::Predictor, json!({})),
            ],
            "classification" => vec![stage(StageKind::Evaluator, json!({ "label": { "type": "string" } }))],
            "expectations" => vec![stage(StageKind::Validator, json!({}))],
            other => return Err(format!("there is no plugin `{other}`")),
        };
        let record = PluginRecord {
            digest: Digest::of(version.name.as_str().as_bytes()),
            bytes: 1,
            stages,
            imports: vec![],
            metadata: BTreeMap::new(),
        };
        Ok((Used { name: version.name.clone(), number: 1, digest: record.digest }, Arc::new(record)))
    }
}

const PIPELINE: &str = r#"
[pipeline]
name = "income"

[data]
census = "adult@latest"

[defaults]
label = "income"

[stage.train]
trainer = ["logistic", "trees"]
input = "split.train"
features = "features"
sweep = { l2 = [0.1, 1.0], rounds = [10] }
select = { metric = "roc-auc", goal = "maximize", on = "split.validation" }

[stage.evaluate]
evaluator = "classification"
model = "train"
input = "split.test"

[stage.features]
featurizer = "tabular"
input = "split.train"

[stage.split]
preprocessor = "split"
input = "data.census"
outputs = ["train", "validation", "test"]

[stage.expectations]
validator = "expectations"
input = "data.census"

[model]
name = "income"
"#;

fn plan(text: &str) -> Result<Plan, String> {
    let pipeline = Pipeline::parse("p.toml", text).unwrap();
    Plan::new(&pipeline, &Shelf).map_err(|problems| problems.to_string())
}

#[test]
fn stages_run_behind_what_they_need_and_behind_the_guards_of_their_data() {
    let plan = plan(PIPELINE).unwrap();
    let names: Vec<_> = plan.stages.iter().map(|stage| stage.name.as_str()).collect();
    assert_eq!(names, ["expectations", "split", "features", "train", "evaluate"]);
    assert_eq!(plan.stages[1].after, BTreeSet::from([0]));
    assert_eq!(plan.stages[3].after, BTreeSet::from([1, 2]));
    assert_eq!(plan.model.map(|(name, trainer)| (name.to_string(), trainer)), Some(("income".into(), 3)));
}

#[test]
fn a_sweep_varies_only_what_a_candidate_takes_and_defaults_reach_every_stage() {
    let plan = plan(PIPELINE).unwrap();
    let Work::Train { candidates, .. } = &plan.stages[3].work else { panic!("a trainer") };
    let calls: Vec<_> = candidates
        .iter()
        .map(|candidate| format!("{} {}", candidate.call.plugin.name, json!(candidate.call.parameters)))
        .collect();
    assert_eq!(
        calls,
        [
            r#"logistic {"l2":0.1,"label":"income"}"#,
            r#"logistic {"l2":1.0,"label":"income"}"#,
            r#"trees {"label":"income","rounds":10}"#,
        ]
    );
}

#[test]
fn each_mistake_is_told_at_its_place() {
    let cases = [
        (
            ("input = \"data.census\"\noutputs", "input = \"evaluate\"\noutputs"),
            "p.toml:29:9: stage `evaluate` (evaluator) has no table\n  hint: read a data version or a preprocessor's output",
        ),
        (
            ("input = \"split.test\"", "input = \"split.tset\""),
            "p.toml:21:9: stage `split` has no output `tset`\n  hint: name one of `split.train`, `split.validation`, `split.test`",
        ),
        (
            ("input = \"split.test\"", "input = \"split\""),
            "p.toml:21:9: stage `split` has 3 outputs\n  hint: name one of `split.train`, `split.validation`, `split.test`",
        ),
        (
            ("model = \"train\"", "model = \"trian\""),
            "p.toml:20:9: there is no stage `trian`\n  hint: did you mean `train`?",
        ),
        (("\"trees\"", "\"forest\""), "p.toml:12:24: there is no plugin `forest`"),
        (("adult@latest", "adlut"), "p.toml:6:10: there is no data set `adlut`"),
        (("rounds = [10]", "depth = [10]"), "p.toml:15:28: no candidate takes a parameter `depth`"),
        (
            ("label = \"income\"", "lable = \"income\""),
            "p.toml:9:1: no stage takes a parameter `lable`\n  hint: did you mean `label`?",
        ),
        (
            ("rounds = [10]", "rounds = [0.5]"),
            "p.toml:11:8: parameter `rounds`: 0.5 is not of type \"integer\" (trainer `trees`)",
        ),
    ];
    for ((right, wrong), message) in cases {
        let text = PIPELINE.replace(right, wrong);
        assert_ne!(text, PIPELINE);
        let said = plan(&text).unwrap_err();
        assert!(said.contains(message), "expected {message:?} in\n{said}");
    }
}

#[test]
fn a_cycle_is_spelled_out() {
    let text = r#"
[pipeline]
name = "loop"
[stage.a]
preprocessor = "split"
input = "b.x"
outputs = ["x"]
[stage.b]
preprocessor = "split"
input = "a.x"
outputs = ["x"]
"#;
    assert_eq!(
        plan(text).unwrap_err(),
        "p.toml:4:8: these stages wait for each other: a needs b needs a\n  hint: take one of the references out"
    );
}
