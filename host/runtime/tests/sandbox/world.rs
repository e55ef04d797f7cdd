//! What is refused before anything of it runs.

use stagewright_core::StageKind;
use stagewright_runtime::{Flavour, check, engine};

use crate::guests;

crate::stories![
    what_a_component_is_its_exports_say,
    what_is_not_a_component_is_refused_by_name,
    a_component_of_another_world_is_told_what_is_missing,
    an_import_that_no_stage_may_have_is_named,
    a_mismatch_names_the_function_and_both_types,
];

fn refusal(bytes: &[u8]) -> String {
    check(bytes).expect_err("this must be refused").to_string()
}

fn what_a_component_is_its_exports_say() {
    assert_eq!(check(&guests::model()).unwrap().kinds, [StageKind::Trainer, StageKind::Predictor]);
    let world = check(&guests::copier()).unwrap();
    assert_eq!(world.kinds, [StageKind::Preprocessor]);
    assert!(world.imports.contains(&"stagewright:stage/datasets@0.1.0".to_owned()), "{:?}", world.imports);
}

fn what_is_not_a_component_is_refused_by_name() {
    assert_eq!(refusal(b""), "this is not WebAssembly: it begins with nothing: it is empty");
    assert_eq!(refusal(b"\x7fELF\x02\x01"), "this is not WebAssembly: it begins with \"\\x7fELF\\x02\\x01\"");
    assert_eq!(
        refusal(b"\n(component)"),
        "this is the text form of WebAssembly; turn it into a component with `wasm-tools parse` first"
    );
    assert_eq!(
        refusal(&wat::parse_str("(module)").unwrap()),
        "this is a core module, not a component; turn it into one with `wasm-tools component new` or a component tool \
         of its language"
    );
    let engine = engine(Flavour::Batch, Default::default()).unwrap();
    let machine_code = engine.precompile_component(&guests::copier()).unwrap();
    assert_eq!(
        refusal(&machine_code),
        "this is precompiled machine code (.cwasm), which cannot be checked; bring the component (.wasm) it was \
         compiled from"
    );
    let component = guests::copier();
    let cut = refusal(&component[..component.len() / 2]);
    assert!(cut.starts_with("the component is not valid: unexpected end"), "{cut}");
}

const NOTHING: &str = r#"(module (memory (export "memory") 1)
    (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) unreachable)"#;

fn a_component_of_another_world_is_told_what_is_missing() {
    assert_eq!(
        refusal(&wat::parse_str("(component)").unwrap()),
        "the component exports no stage; it must export `stagewright:stage/plugin@0.1.0` and one or more of \
         `preprocessor`, `featurizer`, `trainer`, `predictor`, `evaluator`, `fairness-checker`, `validator`, `monitor`"
    );
    let core = format!(
        r#"{NOTHING} (func (export "stagewright:stage/trainer@0.1.0#train") (param i32 i32 i32 i32 i32) (result i32)
            unreachable))"#
    );
    let wit = "package a:b; world half { include stagewright:stage/stage-imports@0.1.0;
        export stagewright:stage/trainer@0.1.0; }";
    assert_eq!(
        refusal(&guests::foreign(&core, wit, "half")),
        "the component exports `trainer` but not `stagewright:stage/plugin@0.1.0`, which every plugin must"
    );
}

const VALIDATOR: &str = r#"(func (export "stagewright:stage/plugin@0.1.0#describe") (result i32) unreachable)
    (func (export "stagewright:stage/validator@0.1.0#validate") (param i32 i32 i32) (result i32) unreachable)"#;

fn an_import_that_no_stage_may_have_is_named() {
    let core = format!(r#"(module (import "foo:bar/baz" "take" (func)) {} {VALIDATOR})"#, &NOTHING["(module".len()..]);
    let wit = "package foo:bar; interface baz { take: func(); }
        world greedy { import baz; include stagewright:stage/validator-plugin@0.1.0; }";
    assert_eq!(
        refusal(&guests::foreign(&core, wit, "greedy")),
        "the component imports `foo:bar/baz`, which no stage may have: stages import stagewright:stage@0.1.0's host \
         interfaces and virtual WASI 0.2 only"
    );
}

fn a_mismatch_names_the_function_and_both_types() {
    let text = r#"(component
        (type $string-list (list string))
        (core module $m
            (memory (export "memory") 1)
            (func (export "realloc") (param i32 i32 i32 i32) (result i32) unreachable)
            (func (export "f") (result i32) unreachable))
        (core instance $i (instantiate $m))
        (func $f (result (list string)) 
            (canon lift (core func $i "f") (memory (core memory $i "memory")) (realloc (core func $i "realloc"))))
        (instance $plugin (export "describe" (func $f)))
        (instance $empty)
        (export "stagewright:stage/plugin@0.1.3" (instance $plugin))
        (export "stagewright:stage/validator@0.1.3" (instance $empty)))"#;
    assert_eq!(
        refusal(&wat::parse_str(text).unwrap()),
        "`stagewright:stage/plugin@0.1.3.describe`: the result → element is string, expected a record of kind, doc, \
         parameters, inputs, outputs"
    );
}
