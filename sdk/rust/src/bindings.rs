//! The contract in `wit/` as Rust.
#![allow(
    missing_docs,
    unsafe_code,
    unreachable_pub,
    clippy::all,
    clippy::allow_attributes_without_reason,
    reason = "generated from the contract, whose text documents it; crossing the sandbox's edge is unsafe by nature"
)]

// One world with everything, of which the export macro takes the parts that a plugin has.
wit_bindgen::generate!({
    inline: "
        package stagewright:sdk;
        world sdk {
            include stagewright:stage/stage-imports@0.1.0;
            include stagewright:stage/grants@0.1.0;
            import stagewright:stage/reports@0.1.0;
            export stagewright:stage/plugin@0.1.0;
            export stagewright:stage/preprocessor@0.1.0;
            export stagewright:stage/featurizer@0.1.0;
            export stagewright:stage/trainer@0.1.0;
            export stagewright:stage/predictor@0.1.0;
            export stagewright:stage/evaluator@0.1.0;
            export stagewright:stage/fairness-checker@0.1.0;
            export stagewright:stage/validator@0.1.0;
            export stagewright:stage/monitor@0.1.0;
        }
    ",
    path: "../../wit",
    world: "stagewright:sdk/sdk",
    additional_derives: [PartialEq],
    additional_derives_ignore: ["input", "output"],
    runtime_path: "stagewright_stage::wit_bindgen::rt",
    pub_export_macro: true,
    default_bindings_module: "stagewright_stage::bindings",
    generate_all,
});
