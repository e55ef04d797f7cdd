//! Components that attack before they do any work: while they are looked at, compiled, started or asked who they are.

use super::attacks::FOR_EVER;
use crate::guests;

/// A validator with these definitions, whose `describe` does this. At 1040 stands its one stage, at 2048 a text.
fn describing(definitions: &str, describe: &str, text: &str) -> Vec<u8> {
    let escaped: String = text.bytes().map(|byte| format!("\\{byte:02x}")).collect();
    let core = format!(
        r#"(module
            {memory}
            (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 131072))
            (data (i32.const 1024) "\10\04\00\00\01\00\00\00")
            (data (i32.const 1040) "\06{zeros}")
            (data (i32.const 2048) "{escaped}")
            {definitions}
            (func (export "stagewright:stage/plugin@0.1.0#describe") (result i32)
                (i32.store (i32.const 1052) (i32.const 2048))
                (i32.store (i32.const 1056) (i32.const {length}))
                {describe}
                (i32.const 1024))
            (func (export "stagewright:stage/validator@0.1.0#validate") (param i32 i32 i32) (result i32)
                (i32.const 3072)))"#,
        memory = if definitions.contains("(export \"memory\")") { "" } else { r#"(memory (export "memory") 16)"# },
        zeros = "\\00".repeat(35),
        length = text.len(),
    );
    guests::component(&core, "validator-plugin")
}

/// A validator whose parameters are described by this text.
pub(crate) fn with_schema(schema: &str) -> Vec<u8> {
    describing("", "", schema)
}

/// A validator of one huge function, which takes long to compile.
pub(crate) fn huge_function() -> Vec<u8> {
    let body: String = (0..60_000).map(|n| format!("(drop (i32.load (i32.const {n})))")).collect();
    describing(&format!("(func {body})"), "", "")
}

/// A validator with so many pieces of data.
pub(crate) fn many_segments() -> Vec<u8> {
    describing(&r#"(data (i32.const 4096) "x")"#.repeat(90_000), "", "")
}

/// A component with a custom section of this name and these bytes behind it.
pub(crate) fn with_section(name: &str, bytes: usize) -> Vec<u8> {
    let mut component = guests::validator("");
    let length = number(name.len());
    component.push(0);
    component.extend(number(length.len() + name.len() + bytes));
    component.extend(length);
    component.extend(name.bytes());
    component.extend(std::iter::repeat_n(b'z', bytes));
    component
}

/// A component within a component, and so on.
fn nested(times: usize) -> Vec<u8> {
    const NOTHING: &[u8] = b"\0asm\x0d\0\x01\0";
    (1..times).fold(NOTHING.to_vec(), |inner, _| [NOTHING, &[4], &number(inner.len()), &inner].concat())
}

/// A number as WebAssembly writes it.
fn number(mut number: usize) -> Vec<u8> {
    let mut digits = Vec::new();
    loop {
        let low = (number & 0x7f) as u8;
        number >>= 7;
        digits.push(if number > 0 { low | 0x80 } else { low });
        if number == 0 {
            return digits;
        }
    }
}

/// A validator that imports what nobody grants.
fn importing(package: &str, interface: &str) -> Vec<u8> {
    let core = format!(
        r#"(module
            (import "{package}/{interface}@0.2.0" "take" (func))
            (memory (export "memory") 1)
            (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) unreachable)
            (func (export "stagewright:stage/plugin@0.1.0#describe") (result i32) unreachable)
            (func (export "stagewright:stage/validator@0.1.0#validate") (param i32 i32 i32) (result i32) unreachable))"#
    );
    let wit = format!(
        "package {package}@0.2.0; interface {interface} {{ take: func(); }}
         world greedy {{ import {interface}; include stagewright:stage/validator-plugin@0.1.0; }}"
    );
    guests::foreign(&core, &wit, "greedy")
}

/// A component whose `describe` returns a type that is nested or doubled so many times.
fn of_type(first: &str, next: impl Fn(usize) -> String, times: usize) -> Vec<u8> {
    let types: String = (1..times).map(|n| format!("(type $t{n} {})", next(n - 1))).collect();
    parsed(&format!(
        r#"(component
            (core module $m
                (memory (export "memory") 1)
                (func (export "realloc") (param i32 i32 i32 i32) (result i32) unreachable)
                (func (export "f") (result i32) unreachable))
            (core instance $i (instantiate $m))
            (type $t0 {first})
            {types}
            (func $f (result $t{last}) (canon lift (core func $i "f") (memory (core memory $i "memory"))
                (realloc (core func $i "realloc"))))
            (instance $plugin (export "describe" (func $f)))
            (instance $empty)
            (export "stagewright:stage/plugin@0.1.0" (instance $plugin))
            (export "stagewright:stage/validator@0.1.0" (instance $empty)))"#,
        last = times - 1,
    ))
}

fn parsed(text: &str) -> Vec<u8> {
    wat::parse_str(text).expect("the text is a component")
}

/// Every component that must not become a plugin.
pub(crate) fn refused() -> Vec<(&'static str, Vec<u8>)> {
    let plain = |describe: &str| describing("", describe, "");
    vec![
        ("spins-in-describe", plain(FOR_EVER)),
        ("traps-in-describe", plain("unreachable")),
        ("spins-while-it-starts", describing(&format!("(func $begin {FOR_EVER}) (start $begin)"), "", "")),
        ("traps-while-it-starts", describing("(func $begin unreachable) (start $begin)", "", "")),
        ("wants-four-gigabytes", describing(r#"(memory (export "memory") 65535)"#, "", "")),
        ("has-seventeen-memories", describing(&"(memory 0)".repeat(17), "", "")),
        ("has-a-table-of-a-billion", describing("(table 1000000000 funcref)", "", "")),
        ("has-data-outside-its-memory", describing(r#"(data (i32.const -8) "out of bounds")"#, "", "")),
        ("has-parts-within-parts", nested(3000)),
        ("has-lists-within-lists", of_type("(list u8)", |n| format!("(list $t{n})"), 5000)),
        ("has-a-type-of-a-hundred-thousand-parts", of_type("(tuple u8 u8)", |n| format!("(tuple $t{n} $t{n})"), 17)),
        ("has-a-type-of-a-billion-parts", of_type("(tuple u8 u8)", |n| format!("(tuple $t{n} $t{n})"), 30)),
        ("describes-another-kind", plain("(i32.store8 (i32.const 1040) (i32.const 0))")),
        ("describes-an-unknown-kind", plain("(i32.store8 (i32.const 1040) (i32.const 99))")),
        ("describes-nothing", plain("(i32.store (i32.const 1028) (i32.const 0))")),
        (
            "describes-a-million-stages",
            plain(
                "(drop (memory.grow (i32.const 600))) (i32.store (i32.const 1024) (i32.const 65536)) (i32.store (i32.const 1028) (i32.const 1000000))",
            ),
        ),
        ("describes-itself-beyond-its-memory", plain("(i32.store (i32.const 1028) (i32.const -1))")),
        (
            "describes-itself-at-length",
            plain("(i32.store (i32.const 1044) (i32.const 4096)) (i32.store (i32.const 1048) (i32.const 1000000))"),
        ),
        ("describes-parameters-that-are-no-json", with_schema("{ \"type\": ")),
        ("describes-parameters-without-end", with_schema(&"[".repeat(100_000))),
        ("wants-the-network", importing("wasi:http", "outgoing-handler")),
        ("wants-the-hosts-own", importing("stagewright:host", "store")),
    ]
}
