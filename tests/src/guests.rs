//! Guests for tests, from the text of a core module: no toolchain is needed, and they can break every rule.

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::{Resolve, SourceMap};

/// The contract, to be parsed.
fn contract() -> Resolve {
    let mut sources = SourceMap::new();
    sources.push_str("tables.wit", include_str!("../../wit/tables.wit"));
    sources.push_str("host.wit", include_str!("../../wit/host.wit"));
    sources.push_str("grants.wit", include_str!("../../wit/grants.wit"));
    sources.push_str("stages.wit", include_str!("../../wit/stages.wit"));
    sources.push_str("worlds.wit", include_str!("../../wit/worlds.wit"));
    let mut resolve = Resolve::default();
    let group = sources.parse().expect("the contract parses");
    resolve.push_group(group).expect("the contract resolves");
    resolve
}

/// Wraps a core module into a component of one of the contract's worlds.
pub fn component(core: &str, world: &str) -> Vec<u8> {
    encode(core, &contract(), world)
}

/// Wraps a core module into a component of a world that is given as text.
pub fn foreign(core: &str, wit: &str, world: &str) -> Vec<u8> {
    let mut resolve = contract();
    resolve.push_source("foreign.wit", wit).expect("the foreign world parses");
    encode(core, &resolve, world)
}

fn encode(core: &str, resolve: &Resolve, world: &str) -> Vec<u8> {
    let (id, _) = resolve.worlds.iter().find(|(_, found)| found.name == world).expect("the world exists");
    let mut module = wat::parse_str(core).expect("the text is a module");
    embed_component_metadata(&mut module, resolve, id, StringEncoding::UTF8).expect("the world can be embedded");
    let mut encoder = ComponentEncoder::default();
    encoder.module(&module).expect("the module fits the world").encode().expect("the module makes a component")
}

/// What every guest has: memory, an allocator that only ever grows, and a description of one stage of kind number
/// `kind`. Bytes below 4096 belong to the guest's own text.
pub fn prelude(kinds: &[u8]) -> String {
    let stage = |kind: &u8| {
        // A preprocessor reads one table and writes one.
        let ports = if *kind == 0 { "\\dc\\05\\00\\00\\01\\00\\00\\00".repeat(2) } else { "\\00".repeat(16) };
        let nothing = "\\00".repeat(8);
        format!("\\{kind:02x}\\00\\00\\00\\08\\06\\00\\00\\08\\00\\00\\00{nothing}{ports}")
    };
    let stages: String = kinds.iter().map(stage).collect();
    format!(
        r#"
        (memory (export "memory") 2)
        (global $heap (mut i32) (i32.const 65536))
        (func $allocate (export "cabi_realloc") (param i32 i32 i32) (param $size i32) (result i32)
            (local $at i32)
            (local.set $at (i32.and (i32.add (global.get $heap) (i32.const 15)) (i32.const -16)))
            (global.set $heap (i32.add (local.get $at) (local.get $size)))
            (block $enough
                (br_if $enough (i32.le_u (global.get $heap) (i32.shl (memory.size) (i32.const 16))))
                (br_if $enough (i32.ne (i32.const -1) (memory.grow (i32.add (i32.const 16) (i32.shr_u
                    (i32.sub (global.get $heap) (i32.shl (memory.size) (i32.const 16))) (i32.const 16))))))
                unreachable)
            (local.get $at))
        (data (i32.const 1024) "\10\04\00\00\{count:02x}\00\00\00")
        (data (i32.const 1040) "{stages}")
        (data (i32.const 1500) "\00\06\00\00\05\00\00\00\08\06\00\00\08\00\00\00\00\00\00\00")
        (data (i32.const 1536) "table")
        (data (i32.const 1544) "A table.")
        (func (export "stagewright:stage/plugin@0.1.0#describe") (result i32) (i32.const 1024))
        "#,
        count = kinds.len(),
    )
}

/// A validator whose `validate` runs `body` and then reports nothing.
pub fn validator(body: &str) -> Vec<u8> {
    validator_with("", body)
}

/// A validator with definitions of its own, such as further memories.
pub fn validator_with(definitions: &str, body: &str) -> Vec<u8> {
    let core = format!(
        r#"(module
            (import "stagewright:stage/context@0.1.0" "log" (func $log (param i32 i32 i32)))
            (import "stagewright:stage/context@0.1.0" "metric" (func $metric (param i32 i32 i64 f64)))
            (import "stagewright:stage/context@0.1.0" "seed" (func $seed (result i64)))
            {prelude}
            (data (i32.const 2048) "the same line again and again")
            {definitions}
            (func $recurse (param i32) (result i32)
                (i32.add (call $recurse (i32.add (local.get 0) (i32.const 1))) (local.get 0)))
            (func (export "stagewright:stage/validator@0.1.0#validate") (param i32 i32 i32) (result i32)
                (local $i i32)
                {body}
                (i32.const 3072)))"#,
        prelude = prelude(&[6]),
    );
    component(&core, "validator-plugin")
}

/// A preprocessor that copies its first input to its first output.
pub fn copier() -> Vec<u8> {
    preprocessor(
        r#"
        (call $reader_schema (i32.load offset=8 (local.get $inputs)) (i32.const 3072))
        (call $start (i32.load offset=8 (local.get $outputs)) (i32.load (i32.const 3072)) (i32.load (i32.const 3076))
            (i32.const 3088))
        (local.set $base (global.get $heap))
        (block $end (loop $more
            (global.set $heap (local.get $base))
            (call $next (i32.load offset=8 (local.get $inputs)) (i32.const 0) (i32.const 0) (i32.const 1000000)
                (i32.const 3200))
            (br_if $end (i32.eqz (i32.load8_u offset=4 (i32.const 3200))))
            (call $write (i32.load offset=8 (local.get $outputs)) (i32.load offset=8 (i32.const 3200))
                (i32.load offset=12 (i32.const 3200)) (i32.load offset=16 (i32.const 3200)) (i32.const 3088))
            (br $more)))"#,
        "",
    )
}

/// A preprocessor that reads all of its first input and writes nothing but an empty output.
pub fn drain() -> Vec<u8> {
    preprocessor(
        r#"
        (call $start (i32.load offset=8 (local.get $outputs)) (i32.const 0) (i32.const 0) (i32.const 3088))
        (local.set $base (global.get $heap))
        (block $end (loop $more
            (global.set $heap (local.get $base))
            (call $next (i32.load offset=8 (local.get $inputs)) (i32.const 0) (i32.const 0) (i32.const 1000000)
                (i32.const 3200))
            (br_if $more (i32.load8_u offset=4 (i32.const 3200)))))"#,
        "",
    )
}

/// A preprocessor that writes one batch of two rows and one column, `x`, of this type, whose parts are these bytes.
pub struct Bad {
    /// The number of the column's type in the contract.
    pub column_type: u8,
    /// Rows that it claims to have.
    pub rows: u32,
    /// The values.
    pub values: &'static [u8],
    /// The validity, if any.
    pub validity: Option<&'static [u8]>,
    /// The offsets, if any.
    pub offsets: Option<&'static [u8]>,
    /// One word, if any.
    pub word: Option<&'static [u8]>,
}

/// See [`Bad`].
pub fn writer_of(bad: &Bad) -> Vec<u8> {
    let text = |bytes: &[u8]| bytes.iter().map(|byte| format!("\\{byte:02x}")).collect::<String>();
    let number = |number: usize| text(&(number as u32).to_le_bytes());
    let optional = |bytes: Option<&[u8]>, at: usize| match bytes {
        Some(bytes) => format!("\\01\\00\\00\\00{}{}", number(at), number(bytes.len())),
        None => "\\00".repeat(12),
    };
    let word = bad.word.unwrap_or_default();
    let words = match bad.word {
        Some(_) => format!("\\01\\00\\00\\00{}{}", number(2900), number(1)),
        None => "\\00".repeat(12),
    };
    let data = format!(
        r#"
        (data (i32.const 2048) "x")
        (data (i32.const 2064) "{name}\{column_type:02x}\00\00\00")
        (data (i32.const 2100) "{values_at}{validity_at}{offsets_at}{words}")
        (data (i32.const 2300) "{values}")
        (data (i32.const 2500) "{validity}")
        (data (i32.const 2600) "{offsets}")
        (data (i32.const 2800) "{word}")
        (data (i32.const 2900) "{word_at}")"#,
        name = number(2048) + &number(1),
        column_type = bad.column_type,
        values_at = number(2300) + &number(bad.values.len()),
        validity_at = optional(bad.validity, 2500),
        offsets_at = optional(bad.offsets, 2600),
        values = text(bad.values),
        validity = text(bad.validity.unwrap_or_default()),
        offsets = text(bad.offsets.unwrap_or_default()),
        word = text(word),
        word_at = number(2800) + &number(word.len()),
    );
    let body = format!(
        "(call $start (i32.load offset=8 (local.get $outputs)) (i32.const 2064) (i32.const 1) (i32.const 3088))
         (call $write (i32.load offset=8 (local.get $outputs)) (i32.const {}) (i32.const 2100) (i32.const 1)
            (i32.const 3088))",
        bad.rows
    );
    preprocessor(&body, &data)
}

/// A preprocessor with this body.
pub fn preprocessor(body: &str, data: &str) -> Vec<u8> {
    // The result at 3072 must say `ok`, whatever the host's answers left there.
    let body = format!("{body}\n(i64.store (i32.const 3072) (i64.const 0))");
    let core = format!(
        r#"(module
            (import "stagewright:stage/datasets@0.1.0" "[method]reader.schema" (func $reader_schema (param i32 i32)))
            (import "stagewright:stage/datasets@0.1.0" "[method]reader.next"
                (func $next (param i32 i32 i32 i32 i32)))
            (import "stagewright:stage/datasets@0.1.0" "[method]writer.start" (func $start (param i32 i32 i32 i32)))
            (import "stagewright:stage/datasets@0.1.0" "[method]writer.write"
                (func $write (param i32 i32 i32 i32 i32)))
            {prelude}
            {data}
            (func (export "stagewright:stage/preprocessor@0.1.0#prepare")
                (param $inputs i32) (param i32) (param $outputs i32) (param i32 i32 i32) (result i32)
                (local $base i32)
                {body}
                (i32.const 3072)))"#,
        prelude = prelude(&[0]),
    );
    component(&core, "preprocessor-plugin")
}

/// A model plugin: training keeps the parameters as weights; the model returns its first column as `score`, and gives
/// up if its weights are the text `bad`.
pub fn model() -> Vec<u8> {
    model_that("")
}

/// A model plugin whose `predict` first does something else.
pub fn model_that(first: &str) -> Vec<u8> {
    component(&model_core("", first), "model-plugin")
}

/// A model plugin that asks for the environment when it predicts, and crashes if it is answered.
pub fn model_that_asks() -> Vec<u8> {
    let import = r#"(import "stagewright:stage/environment@0.1.0" "get" (func $get (param i32 i32 i32)))"#;
    let first = "(call $get (i32.const 2048) (i32.const 5) (i32.const 3200))
        (if (i32.eqz (i32.load8_u (i32.const 3200))) (then unreachable))";
    let wit = "package a:b; world asking-model { import stagewright:stage/environment@0.1.0;
        include stagewright:stage/model-plugin@0.1.0; }";
    foreign(&model_core(import, first), wit, "asking-model")
}

fn model_core(imports: &str, first: &str) -> String {
    format!(
        r#"(module
            {imports}
            (import "[export]stagewright:stage/predictor@0.1.0" "[resource-new]model" (func $new (param i32) (result i32)))
            {prelude}
            (data (i32.const 2048) "score")
            (data (i32.const 2064) "\00\08\00\00\05\00\00\00\02\00\00\00")
            (data (i32.const 2080) "\10\08\00\00\01\00\00\00")
            (data (i32.const 2096) "a weight of these is bad")
            (data (i32.const 2200) "x")
            (data (i32.const 2208) "\98\08\00\00\01\00\00\00\02\00\00\00")
            (data (i32.const 2224) "\a0\08\00\00\01\00\00\00")
            (func $recurse (param i32) (result i32)
                (i32.add (call $recurse (i32.add (local.get 0) (i32.const 1))) (local.get 0)))
            (func (export "stagewright:stage/trainer@0.1.0#train")
                (param i32 i32 i32) (param $text i32) (param $length i32) (result i32)
                (i32.store (i32.const 3072) (i32.const 0))
                (i32.store (i32.const 3076) (local.get $text))
                (i32.store (i32.const 3080) (local.get $length))
                (i32.const 3072))
            (func (export "stagewright:stage/predictor@0.1.0#[static]model.load")
                (param $weights i32) (param $length i32) (param i32 i32) (result i32)
                (if (i32.eq (local.get $length) (i32.const 3))
                    (then
                        (i32.store (i32.const 3072) (i32.const 1))
                        (i32.store (i32.const 3076) (i32.const 2))
                        (i32.store (i32.const 3080) (i32.const 2096))
                        (i32.store (i32.const 3084) (i32.const 24)))
                    (else
                        (i32.store (i32.const 3072) (i32.const 0))
                        (i32.store (i32.const 3076) (call $new (i32.const 1)))))
                (i32.const 3072))
            (func (export "stagewright:stage/predictor@0.1.0#[method]model.input") (param i32) (result i32)
                (i32.const 2224))
            (func (export "stagewright:stage/predictor@0.1.0#[method]model.schema") (param i32) (result i32)
                (i32.const 2080))
            (func (export "stagewright:stage/predictor@0.1.0#[method]model.predict")
                (param i32) (param $rows i32) (param $columns i32) (param i32) (result i32)
                {first}
                (i32.store (i32.const 3072) (i32.const 0))
                (i32.store (i32.const 3076) (local.get $rows))
                (i32.store (i32.const 3080) (local.get $columns))
                (i32.store (i32.const 3084) (i32.const 1))
                (i32.const 3072)))"#,
        prelude = prelude(&[2, 3]),
    )
}

/// An evaluator, which asks the model if it is given one. See [`questioner`].
pub fn evaluator() -> Vec<u8> {
    questioner(4, "evaluator-plugin", "evaluator@0.1.0#evaluate", "")
}

/// A fairness checker, which asks the model if it is given one. See [`questioner`].
pub fn fairness_checker() -> Vec<u8> {
    questioner(5, "fairness-plugin", "fairness-checker@0.1.0#check", "")
}

/// A monitor, which asks the model about the current rows if it is given one. See [`questioner`].
pub fn monitor() -> Vec<u8> {
    questioner(7, "monitor-plugin", "monitor@0.1.0#observe", "(param i32)")
}

/// A guest that reads the first column of a batch and reports a metric `m`, whose support is the number of rows. With a
/// model its value is the first prediction; without, there is none.
fn questioner(kind: u8, world: &str, function: &str, before: &str) -> Vec<u8> {
    let core = format!(
        r#"(module
            (import "stagewright:stage/datasets@0.1.0" "[method]reader.next"
                (func $next (param i32 i32 i32 i32 i32)))
            (import "stagewright:stage/models@0.1.0" "[method]model.predict"
                (func $predict (param i32 i32 i32 i32 i32)))
            {prelude}
            (data (i32.const 2048) "m")
            (data (i32.const 2056) "\00\00\00\00")
            (func (export "stagewright:stage/{function}")
                {before} (param $table i32) (param $some i32) (param $model i32) (param i32 i32) (result i32)
                (call $next (local.get $table) (i32.const 2056) (i32.const 1) (i32.const 1000000) (i32.const 3200))
                (i32.store (i32.const 3328) (i32.const 2048))
                (i32.store (i32.const 3332) (i32.const 1))
                (i32.store8 (i32.const 3392) (i32.const 1))
                (i64.store (i32.const 3400) (i64.load32_u offset=8 (i32.const 3200)))
                (if (local.get $some) (then
                    (call $predict (local.get $model) (i32.load offset=8 (i32.const 3200))
                        (i32.load offset=12 (i32.const 3200)) (i32.load offset=16 (i32.const 3200)) (i32.const 3264))
                    (if (i32.load8_u (i32.const 3264)) (then unreachable))
                    (i32.store8 (i32.const 3344) (i32.const 1))
                    (f64.store (i32.const 3352) (f64.load (i32.load (i32.load offset=8 (i32.const 3264)))))))
                (i32.store (i32.const 3076) (i32.const 3328))
                (i32.store (i32.const 3080) (i32.const 1))
                (i32.const 3072)))"#,
        prelude = prelude(&[kind]),
    );
    component(&core, world)
}

/// A featurizer: `fit` returns the parameters as state, and `transform` returns its first column as `score`.
pub fn featurizer() -> Vec<u8> {
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
                (i32.const 3072))
            (func (export "stagewright:stage/featurizer@0.1.0#[static]features.load")
                (param i32 i32 i32 i32) (result i32)
                (i32.store (i32.const 3072) (i32.const 0))
                (i32.store (i32.const 3076) (call $new (i32.const 1)))
                (i32.const 3072))
            (func (export "stagewright:stage/featurizer@0.1.0#[method]features.input") (param i32) (result i32)
                (i32.const 2080))
            (func (export "stagewright:stage/featurizer@0.1.0#[method]features.schema") (param i32) (result i32)
                (i32.const 2080))
            (func (export "stagewright:stage/featurizer@0.1.0#[method]features.transform")
                (param i32) (param $rows i32) (param $columns i32) (param i32) (result i32)
                (i32.store (i32.const 3072) (i32.const 0))
                (i32.store (i32.const 3076) (local.get $rows))
                (i32.store (i32.const 3080) (local.get $columns))
                (i32.store (i32.const 3084) (i32.const 1))
                (i32.const 3072)))"#,
        prelude = prelude(&[1]),
    );
    component(&core, "featurizer-plugin")
}

/// A validator that prints, one a line and each as sixteen letters: two looks at the monotonic clock, a random number,
/// and the length of its environment.
pub fn worldly() -> Vec<u8> {
    let wit = "package a:b;
        package wasi:clocks@0.2.3 { interface monotonic-clock { now: func() -> u64; } }
        package wasi:random@0.2.3 { interface random { get-random-u64: func() -> u64; } }
        package wasi:io@0.2.3 {
            interface error { resource error; }
            interface streams {
                use error.{error};
                variant stream-error { last-operation-failed(error), closed }
                resource output-stream {
                    blocking-write-and-flush: func(contents: list<u8>) -> result<_, stream-error>;
                }
            }
        }
        package wasi:cli@0.2.3 {
            interface stdout { use wasi:io/streams@0.2.3.{output-stream}; get-stdout: func() -> output-stream; }
            interface environment { get-environment: func() -> list<tuple<string, string>>; }
        }
        world worldly {
            import wasi:clocks/monotonic-clock@0.2.3;
            import wasi:random/random@0.2.3;
            import wasi:cli/stdout@0.2.3;
            import wasi:cli/environment@0.2.3;
            include stagewright:stage/validator-plugin@0.1.0;
        }";
    let core = format!(
        r#"(module
            (import "wasi:clocks/monotonic-clock@0.2.3" "now" (func $now (result i64)))
            (import "wasi:random/random@0.2.3" "get-random-u64" (func $random (result i64)))
            (import "wasi:cli/stdout@0.2.3" "get-stdout" (func $stdout (result i32)))
            (import "wasi:cli/environment@0.2.3" "get-environment" (func $environment (param i32)))
            (import "wasi:io/streams@0.2.3" "[method]output-stream.blocking-write-and-flush"
                (func $write (param i32 i32 i32 i32)))
            {prelude}
            (data (i32.const 2064) "\0a")
            (func $print (param $out i32) (param $number i64)
                (local $i i32)
                (loop $letters
                    (i32.store8 (i32.sub (i32.const 2063) (local.get $i))
                        (i32.add (i32.const 97) (i32.and (i32.const 15) (i32.wrap_i64 (local.get $number)))))
                    (local.set $number (i64.shr_u (local.get $number) (i64.const 4)))
                    (local.set $i (i32.add (local.get $i) (i32.const 1)))
                    (br_if $letters (i32.lt_u (local.get $i) (i32.const 16))))
                (call $write (local.get $out) (i32.const 2048) (i32.const 17) (i32.const 3200)))
            (func (export "stagewright:stage/validator@0.1.0#validate") (param i32 i32 i32) (result i32)
                (local $out i32)
                (local.set $out (call $stdout))
                (call $print (local.get $out) (call $now))
                (call $print (local.get $out) (call $now))
                (call $print (local.get $out) (call $random))
                (call $environment (i32.const 3216))
                (call $print (local.get $out) (i64.load32_u offset=4 (i32.const 3216)))
                (i32.const 3072)))"#,
        prelude = prelude(&[6]),
    );
    foreign(&core, wit, "worldly")
}

/// A validator that asks for these interfaces of `wit/grants.wit`, calls them in its body, and reports a finding: the
/// text that the body gives to `$tell`. Bytes from 2048 on hold `words`, one behind the other.
pub fn asking(interfaces: &[&str], words: &str, body: &str) -> Vec<u8> {
    const IMPORTS: [(&str, &str); 6] = [
        ("files", r#""list" (func $list (param i32 i32 i32 i32 i32))"#),
        ("files", r#""read" (func $read (param i32 i32 i32 i32 i64 i32 i32))"#),
        ("files", r#""write" (func $write (param i32 i32 i32 i32 i32 i32 i32))"#),
        ("http", r#""send" (func $send (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32))"#),
        ("environment", r#""get" (func $get (param i32 i32 i32))"#),
        ("wall-clock", r#""now" (func $now (param i32))"#),
    ];
    let asked = |interface: &&str| interfaces.contains(interface);
    let imports: String = IMPORTS
        .iter()
        .filter(|(interface, _)| asked(interface))
        .map(|(interface, import)| format!("(import \"stagewright:stage/{interface}@0.1.0\" {import})\n"))
        .collect();
    let core = format!(
        r#"(module
            (import "stagewright:stage/context@0.1.0" "log" (func $log (param i32 i32 i32)))
            {imports}
            {prelude}
            (data (i32.const 2048) "{words}")
            (func $room (param $pages i32)
                (if (i32.eq (i32.const -1) (memory.grow (local.get $pages))) (then unreachable)))
            (func $tell (param $at i32) (param $length i32)
                (call $log (i32.const 1) (local.get $at) (local.get $length))
                (i32.store (i32.const 3084) (i32.const 3300))
                (i32.store (i32.const 3088) (i32.const 1))
                (i32.store (i32.const 3304) (local.get $at))
                (i32.store (i32.const 3308) (local.get $length)))
            (func $tell_refusal (call $tell (i32.load (i32.const 3208)) (i32.load (i32.const 3212))))
            (func (export "stagewright:stage/validator@0.1.0#validate") (param i32 i32 i32) (result i32)
                (local $i i32)
                {body}
                (i32.const 3072)))"#,
        prelude = prelude(&[6]),
    );
    let asked: String =
        interfaces.iter().map(|interface| format!("import stagewright:stage/{interface}@0.1.0; ")).collect();
    let wit = format!("package a:b; world asking {{ {asked} include stagewright:stage/validator-plugin@0.1.0; }}");
    foreign(&core, &wit, "asking")
}

/// A validator that reports the value of a name.
pub fn asks_environment(name: &str) -> Vec<u8> {
    let body = format!(
        "(call $get (i32.const 2048) (i32.const {}) (i32.const 3200))
         (call $tell (i32.load (i32.const 3208)) (i32.load (i32.const 3212)))",
        name.len()
    );
    asking(&["environment"], name, &body)
}

/// A validator that reports what stands in a file, or why it was refused.
pub fn asks_file(folder: &str, path: &str) -> Vec<u8> {
    let body = format!(
        "(call $read (i32.const 2048) (i32.const {folder}) (i32.const {at}) (i32.const {path}) (i64.const 0)
            (i32.const 1000) (i32.const 3200))
         (if (i32.load8_u (i32.const 3200)) (then (call $tell_refusal))
            (else (call $tell (i32.load (i32.const 3204)) (i32.load (i32.const 3208)))))",
        at = 2048 + folder.len(),
        folder = folder.len(),
        path = path.len(),
    );
    asking(&["files"], &format!("{folder}{path}"), &body)
}

/// A validator that writes its own name into a file, and reports why it was refused, if it was.
pub fn asks_to_write(folder: &str, path: &str) -> Vec<u8> {
    let body = format!(
        "(call $write (i32.const 2048) (i32.const {folder}) (i32.const {at}) (i32.const {path}) (i32.const 2048)
            (i32.const {folder}) (i32.const 3200))
         (if (i32.load8_u (i32.const 3200)) (then (call $tell_refusal)))",
        at = 2048 + folder.len(),
        folder = folder.len(),
        path = path.len(),
    );
    asking(&["files"], &format!("{folder}{path}"), &body)
}

/// A validator that reports the body of a response, or why it was refused.
pub fn asks_host(host: &str, path: &str) -> Vec<u8> {
    let (host_length, path_length) = (host.len(), path.len());
    let body = format!(
        "(call $send (i32.const 2048) (i32.const {host_length}) (i32.const {method}) (i32.const 3)
            (i32.const {path_at}) (i32.const {path_length}) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)
            (i32.const 3200))
         (if (i32.load8_u (i32.const 3200)) (then (call $tell_refusal))
            (else (call $tell (i32.load (i32.const 3216)) (i32.load (i32.const 3220)))))",
        method = 2048 + host_length,
        path_at = 2051 + host_length,
    );
    asking(&["http"], &format!("{host}GET{path}"), &body)
}

/// A validator that reports the letters of the time, and crashes if it is refused.
pub fn asks_time() -> Vec<u8> {
    let body = "(call $now (i32.const 3200))
        (if (i32.load8_u (i32.const 3200)) (then unreachable))
        (loop $letters
            (i32.store8 (i32.sub (i32.const 2063) (local.get $i))
                (i32.add (i32.const 97) (i32.and (i32.const 15) (i32.wrap_i64 (i64.load (i32.const 3208))))))
            (i64.store (i32.const 3208) (i64.shr_u (i64.load (i32.const 3208)) (i64.const 4)))
            (local.set $i (i32.add (local.get $i) (i32.const 1)))
            (br_if $letters (i32.lt_u (local.get $i) (i32.const 16))))
        (call $tell (i32.const 2048) (i32.const 16))";
    asking(&["wall-clock"], "", body)
}
