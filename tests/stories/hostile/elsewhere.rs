//! Guests that attack at other places: in every export of every other kind of stage, in their allocator, and before
//! they are asked to do anything at all.

use crate::guests::{self, prelude};

use super::attacks::{Attack, FOR_EVER};

/// A model plugin that attacks in one of its exports; the others behave.
pub(crate) fn model(place: &str, attack: &str) -> Vec<u8> {
    let at = |name: &str| if name == place { attack } else { "" };
    let core = format!(
        r#"(module
            (import "[export]stagewright:stage/predictor@0.1.0" "[resource-new]model" (func $new (param i32) (result i32)))
            (import "[export]stagewright:stage/predictor@0.1.0" "[resource-drop]model" (func $drop (param i32)))
            {prelude}
            (data (i32.const 2048) "score")
            (data (i32.const 2064) "\00\08\00\00\05\00\00\00\02\00\00\00")
            (data (i32.const 2080) "\10\08\00\00\01\00\00\00")
            (data (i32.const 2200) "x")
            (data (i32.const 2208) "\98\08\00\00\01\00\00\00\02\00\00\00")
            (data (i32.const 2224) "\a0\08\00\00\01\00\00\00")
            (func (export "stagewright:stage/trainer@0.1.0#train")
                (param i32 i32 i32) (param $text i32) (param $length i32) (result i32)
                {train}
                (i32.store (i32.const 3072) (i32.const 0))
                (i32.store (i32.const 3076) (local.get $text))
                (i32.store (i32.const 3080) (local.get $length))
                (i32.const 3072))
            (func (export "stagewright:stage/predictor@0.1.0#[static]model.load")
                (param i32 i32 i32 i32) (result i32)
                {load}
                (i32.store (i32.const 3072) (i32.const 0))
                (i32.store (i32.const 3076) (call $new (i32.const 1)))
                (i32.const 3072))
            (func (export "stagewright:stage/predictor@0.1.0#[method]model.input") (param i32) (result i32)
                {input} (i32.const 2224))
            (func (export "stagewright:stage/predictor@0.1.0#[method]model.schema") (param i32) (result i32)
                {schema} (i32.const 2080))
            (func (export "stagewright:stage/predictor@0.1.0#[method]model.predict")
                (param i32) (param $rows i32) (param $columns i32) (param i32) (result i32)
                {predict}
                (i32.store (i32.const 3072) (i32.const 0))
                (i32.store (i32.const 3076) (local.get $rows))
                (i32.store (i32.const 3080) (local.get $columns))
                (i32.store (i32.const 3084) (i32.const 1))
                (i32.const 3072))
            (func (export "stagewright:stage/predictor@0.1.0#[dtor]model") (param i32) {destructor}))"#,
        prelude = prelude(&[2, 3]),
        train = at("train"),
        load = at("load"),
        input = at("input"),
        schema = at("schema"),
        predict = at("predict"),
        destructor = at("destructor"),
    );
    guests::component(&core, "model-plugin")
}

/// A featurizer that attacks in one of its exports.
fn featurizer(place: &str, attack: &str) -> Vec<u8> {
    let at = |name: &str| if name == place { attack } else { "" };
    let core = format!(
        r#"(module
            (import "[export]stagewright:stage/featurizer@0.1.0" "[resource-new]features"
                (func $new (param i32) (result i32)))
            {prelude}
            (data (i32.const 2048) "x")
            (data (i32.const 2064) "\00\08\00\00\01\00\00\00\02\00\00\00")
            (data (i32.const 2080) "\10\08\00\00\01\00\00\00")
            (func (export "stagewright:stage/featurizer@0.1.0#fit")
                (param i32) (param $text i32) (param $length i32) (result i32)
                (i32.store (i32.const 3072) (i32.const 0))
                (i32.store (i32.const 3076) (local.get $text))
                (i32.store (i32.const 3080) (local.get $length))
                {fit}
                (i32.const 3072))
            (func (export "stagewright:stage/featurizer@0.1.0#[static]features.load")
                (param i32 i32 i32 i32) (result i32)
                (i32.store (i32.const 3072) (i32.const 0))
                (i32.store (i32.const 3076) (call $new (i32.const 1)))
                {load}
                (i32.const 3072))
            (func (export "stagewright:stage/featurizer@0.1.0#[method]features.input") (param i32) (result i32)
                {input} (i32.const 2080))
            (func (export "stagewright:stage/featurizer@0.1.0#[method]features.schema") (param i32) (result i32)
                {schema} (i32.const 2080))
            (func (export "stagewright:stage/featurizer@0.1.0#[method]features.transform")
                (param i32) (param $rows i32) (param $columns i32) (param i32) (result i32)
                (i32.store (i32.const 3072) (i32.const 0))
                (i32.store (i32.const 3076) (local.get $rows))
                (i32.store (i32.const 3080) (local.get $columns))
                (i32.store (i32.const 3084) (i32.const 1))
                {transform}
                (i32.const 3072)))"#,
        prelude = prelude(&[1]),
        fit = at("fit"),
        load = at("load"),
        input = at("input"),
        schema = at("schema"),
        transform = at("transform"),
    );
    guests::component(&core, "featurizer-plugin")
}

/// An evaluator, fairness checker or monitor with this body. `$table` is what it reads and `$model` what it may ask.
fn judge(kind: u8, world: &str, function: &str, before: &str, body: &str) -> Vec<u8> {
    let core = format!(
        r#"(module
            (import "stagewright:stage/models@0.1.0" "[method]model.predict"
                (func $predict (param i32 i32 i32 i32 i32)))
            {prelude}
            (func (export "stagewright:stage/{function}")
                {before} (param $table i32) (param $some i32) (param $model i32) (param i32 i32) (result i32)
                {body}
                (i32.const 3072)))"#,
        prelude = prelude(&[kind]),
    );
    guests::component(&core, world)
}

fn evaluator(body: &str) -> Vec<u8> {
    judge(4, "evaluator-plugin", "evaluator@0.1.0#evaluate", "", body)
}

/// Attacks by the kind that a pipeline uses them as. A model that attacks when it predicts is judged by an innocent
/// evaluator, and features that attack when they transform are learned from by an innocent trainer.
pub(crate) fn others() -> Vec<Attack> {
    let one = |name, kind, component| Attack { name, kind, component };
    // Ten columns more than the state has, at an address that is none.
    let columns = "(i32.store (i32.const 3076) (i32.const -64)) (i32.store (i32.const 3080) (i32.const 10))";
    vec![
        one("spins-in-fit", "featurizer", featurizer("fit", FOR_EVER)),
        one("spins-in-features-load", "features", featurizer("load", FOR_EVER)),
        one("spins-in-features-input", "features", featurizer("input", FOR_EVER)),
        one("spins-in-features-schema", "features", featurizer("schema", FOR_EVER)),
        one("spins-in-transform", "features", featurizer("transform", FOR_EVER)),
        one(
            "learns-four-billion-bytes",
            "featurizer",
            featurizer("fit", "(i32.store (i32.const 3080) (i32.const -1))"),
        ),
        one(
            "loads-a-handle-that-is-none",
            "features",
            featurizer("load", "(i32.store (i32.const 3076) (i32.const 99))"),
        ),
        one("reads-columns-that-are-none", "features", featurizer("input", "(return (i32.const -4))")),
        one(
            "transforms-to-fewer-rows",
            "features",
            featurizer("transform", "(i32.store (i32.const 3076) (i32.const 1))"),
        ),
        one("transforms-to-columns-that-are-none", "features", featurizer("transform", columns)),
        one("spins-in-train", "trainer", model("train", FOR_EVER)),
        one("spins-in-model-load", "model", model("load", FOR_EVER)),
        one("spins-in-model-input", "model", model("input", FOR_EVER)),
        one("spins-in-model-schema", "model", model("schema", FOR_EVER)),
        one("spins-in-predict", "model", model("predict", FOR_EVER)),
        one("drops-its-own-model", "model", model("predict", "(call $drop (i32.const 1))")),
        one("traps-in-its-destructor", "model", model("destructor", "unreachable")),
        one("spins-in-evaluate", "evaluator", evaluator(FOR_EVER)),
        one(
            "asks-the-model-rubbish",
            "evaluator",
            evaluator(
                "(call $predict (local.get $model) (i32.const 7) (i32.const 4096) (i32.const 3) (i32.const 3200))
                 (if (i32.eqz (i32.load8_u (i32.const 3200))) (then unreachable))",
            ),
        ),
        one(
            "takes-its-table-for-a-model",
            "evaluator",
            evaluator(
                "(call $predict (local.get $table) (i32.const 0) (i32.const 4096) (i32.const 0) (i32.const 3200))",
            ),
        ),
        one(
            "spins-in-check",
            "fairness-checker",
            judge(5, "fairness-plugin", "fairness-checker@0.1.0#check", "", FOR_EVER),
        ),
        one(
            "spins-in-observe",
            "monitor",
            judge(7, "monitor-plugin", "monitor@0.1.0#observe", "(param i32)", FOR_EVER),
        ),
        one("spins-in-prepare", "preprocessor", guests::preprocessor(FOR_EVER, "")),
        one("spins-in-its-allocator", "validator", allocator(FOR_EVER)),
        one("allocates-behind-its-memory", "validator", allocator("(return (i32.const -16))")),
        one("allocates-at-odd-addresses", "validator", allocator("(return (i32.const 4097))")),
        one(
            "calls-out-of-its-allocator",
            "validator",
            allocator("(call $log (i32.const 1) (i32.const 0) (i32.const 1))"),
        ),
    ]
}

/// A validator whose allocator, which the host calls, does this.
fn allocator(body: &str) -> Vec<u8> {
    let core = format!(
        r#"(module
            (import "stagewright:stage/context@0.1.0" "log" (func $log (param i32 i32 i32)))
            {start} (param i32) (result i32) {body} (i32.const 4096))
            (memory (export "memory") 2)
            (data (i32.const 1024) "\10\04\00\00\01\00\00\00")
            (data (i32.const 1040) "\06{zeros}")
            (func (export "stagewright:stage/plugin@0.1.0#describe") (result i32) (i32.const 1024))
            (func (export "stagewright:stage/validator@0.1.0#validate") (param i32 i32 i32) (result i32)
                (i32.const 3072)))"#,
        start = r#"(func (export "cabi_realloc") (param i32 i32 i32)"#,
        zeros = "\\00".repeat(35),
    );
    guests::component(&core, "validator-plugin")
}
