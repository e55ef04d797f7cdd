//! Guests that attack while they run: each a body for a validator or a preprocessor, or a whole component of its own.

use crate::guests::{self, Bad, prelude};

/// A component, and what a pipeline uses it as.
pub(crate) struct Attack {
    pub(crate) name: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) component: Vec<u8>,
}

pub(crate) const FOR_EVER: &str = "(loop $again (br $again))";

/// A validator with every import that a guest may have. At 2048 it keeps a short text and at 3072 its report, which
/// says nothing unless the body writes there.
pub(crate) fn validator(definitions: &str, body: &str) -> Vec<u8> {
    let core = format!(
        r#"(module
            (import "stagewright:stage/context@0.1.0" "log" (func $log (param i32 i32 i32)))
            (import "stagewright:stage/context@0.1.0" "progress" (func $progress (param i64 i64)))
            (import "stagewright:stage/context@0.1.0" "metric" (func $metric (param i32 i32 i64 f64)))
            (import "stagewright:stage/datasets@0.1.0" "[method]reader.rows" (func $rows (param i32) (result i64)))
            (import "stagewright:stage/datasets@0.1.0" "[method]reader.rewind" (func $rewind (param i32)))
            (import "stagewright:stage/datasets@0.1.0" "[method]reader.next" (func $next (param i32 i32 i32 i32 i32)))
            (import "stagewright:stage/datasets@0.1.0" "[resource-drop]reader" (func $drop (param i32)))
            {prelude}
            (data (i32.const 2048) "the same line again and again")
            (data (i32.const 2100) "\ff\fe\fd")
            (data (i32.const 2110) "\1b]0;owned\07\1b[2J")
            {definitions}
            (func $recurse (param i32) (result i32)
                (i32.add (call $recurse (i32.add (local.get 0) (i32.const 1))) (local.get 0)))
            (func $ask (param $reader i32) (param $columns i32) (param $count i32) (param $rows i32)
                (call $next (local.get $reader) (local.get $columns) (local.get $count) (local.get $rows)
                    (i32.const 3200)))
            (func $give (param $at i32) (param $count i32)
                (i32.store (local.get $at) (i32.const 4096))
                (i32.store offset=4 (local.get $at) (local.get $count)))
            (func $refuse (param $case i32) (param $text i32) (param $length i32)
                (i32.store (i32.const 3072) (i32.const 1))
                (i32.store (i32.const 3076) (local.get $case))
                (i32.store (i32.const 3080) (local.get $text))
                (i32.store (i32.const 3084) (local.get $length)))
            (func $room (param $pages i32)
                (if (i32.eq (i32.const -1) (memory.grow (local.get $pages))) (then unreachable)))
            (func (export "stagewright:stage/validator@0.1.0#validate")
                (param $table i32) (param i32 i32) (result i32)
                (local $i i32)
                {body}
                (i32.const 3072)))"#,
        prelude = prelude(&[6]),
    );
    guests::component(&core, "validator-plugin")
}

/// Does something again and again.
fn often(times: u32, what: &str) -> String {
    format!(
        "(loop $again {what} (local.set $i (i32.add (local.get $i) (i32.const 1)))
            (br_if $again (i32.lt_u (local.get $i) (i32.const {times}))))"
    )
}

fn always(what: &str) -> String {
    format!("(loop $again {what} (br $again))")
}

/// Asks for rows in a way that the host must refuse; crashes if it does not.
fn refused(ask: &str) -> String {
    format!("{ask} (if (i32.eqz (i32.load8_u (i32.const 3200))) (then unreachable))")
}

/// What validators try.
pub(crate) fn validators() -> Vec<Attack> {
    let with = |name, definitions: &str, body: &str| Attack {
        name,
        kind: "validator",
        component: validator(definitions, body),
    };
    let plain = |name, body: &str| with(name, "", body);
    vec![
        plain("spins", FOR_EVER),
        plain("traps", "unreachable"),
        plain("recurses", "(drop (call $recurse (i32.const 0)))"),
        plain("grows-its-memory", &always("(call $room (i32.const 16))")),
        plain("asks-for-all-memory", "(call $room (i32.const 60000))"),
        with(
            "grows-its-table",
            "(table $table 1 funcref)",
            &always(
                "(if (i32.eq (i32.const -1) (table.grow $table (ref.null func) (i32.const 100000))) (then unreachable))",
            ),
        ),
        plain("floods-the-log", &often(100_000, "(call $log (i32.const 1) (i32.const 2048) (i32.const 29))")),
        plain("logs-for-ever", &always("(call $log (i32.const 1) (i32.const 2048) (i32.const 29))")),
        plain(
            "logs-long-lines",
            &format!("(call $room (i32.const 480)) {}", always("(call $log (i32.const 1) (i32.const 4096) (i32.const 30000000))")),
        ),
        plain("logs-beyond-its-memory", "(call $log (i32.const 1) (i32.const -16) (i32.const 100))"),
        plain("logs-what-is-no-text", "(call $log (i32.const 1) (i32.const 2100) (i32.const 3))"),
        plain("logs-at-level-9", "(call $log (i32.const 9) (i32.const 2048) (i32.const 4))"),
        plain("logs-to-the-terminal", "(call $log (i32.const 3) (i32.const 2110) (i32.const 13))"),
        plain("reports-progress-for-ever", &always("(call $progress (i64.const 1) (i64.const 1))")),
        plain("reports-progress-backwards", "(call $progress (i64.const -1) (i64.const 3))"),
        plain(
            "floods-a-curve",
            &often(100_000, "(call $metric (i32.const 2048) (i32.const 4) (i64.const 1) (f64.const nan:0x800000badc0de))"),
        ),
        plain("returns-rubbish", "(i32.store8 (i32.const 3072) (i32.const 7))"),
        plain("fails-in-an-unknown-way", "(call $refuse (i32.const 9) (i32.const 2048) (i32.const 4))"),
        plain("fails-beyond-its-memory", "(call $refuse (i32.const 1) (i32.const -8) (i32.const 100))"),
        plain("fails-without-text", "(call $refuse (i32.const 1) (i32.const 2100) (i32.const 3))"),
        plain(
            "fails-at-length",
            "(call $room (i32.const 480)) (call $refuse (i32.const 1) (i32.const 4096) (i32.const 30000000))",
        ),
        plain("fails-at-the-terminal", "(call $refuse (i32.const 1) (i32.const 2110) (i32.const 13))"),
        plain("reports-beyond-its-memory", "(i32.store (i32.const 3076) (i32.const -16)) (i32.store (i32.const 3080) (i32.const 9))"),
        plain("reports-four-billion-metrics", "(i32.store (i32.const 3080) (i32.const -1))"),
        plain("reports-at-length", "(call $room (i32.const 480)) (call $give (i32.const 3076) (i32.const 300000))"),
        plain("finds-at-length", "(call $room (i32.const 480)) (memory.fill (i32.const 4096) (i32.const 0) (i32.const 100000))
             (call $give (i32.const 3084) (i32.const 1000000))"),
        plain(
            "finds-with-severity-9",
            "(call $give (i32.const 3084) (i32.const 1)) (i32.store8 (i32.const 4096) (i32.const 9))",
        ),
        plain("draws-what-is-no-json", "(call $give (i32.const 3092) (i32.const 1))"),
        plain(
            "draws-without-end",
            "(memory.fill (i32.const 8192) (i32.const 0x5b) (i32.const 50000)) (call $give (i32.const 3092) (i32.const 1))
             (i32.store (i32.const 4104) (i32.const 8192)) (i32.store (i32.const 4108) (i32.const 50000))",
        ),
        plain(
            "reports-a-nan",
            "(call $give (i32.const 3076) (i32.const 1)) (i32.store8 (i32.const 4112) (i32.const 1))
             (i64.store (i32.const 4120) (i64.const 0xfff800000badc0de))",
        ),
        plain("reads-column-four-billion", &refused(
            "(i32.store (i32.const 4096) (i32.const -1)) (call $ask (local.get $table) (i32.const 4096) (i32.const 1) (i32.const 9))",
        )),
        plain("reads-a-column-ten-million-times", &refused(
            "(call $room (i32.const 700)) (call $ask (local.get $table) (i32.const 65536) (i32.const 10000000) (i32.const 9))",
        )),
        plain("reads-no-rows-at-a-time", &refused("(call $ask (local.get $table) (i32.const 0) (i32.const 0) (i32.const 0))")),
        plain(
            "reads-behind-the-end",
            &format!(
                "{} (if (i32.load8_u offset=4 (i32.const 3200)) (then unreachable))",
                often(20, "(call $ask (local.get $table) (i32.const 0) (i32.const 0) (i32.const -1))")
            ),
        ),
        plain("reads-for-ever", &always(
            "(call $rewind (local.get $table)) (global.set $heap (i32.const 65536))
             (call $ask (local.get $table) (i32.const 0) (i32.const 0) (i32.const 1))",
        )),
        plain("reads-to-an-odd-address", "(call $ask (local.get $table) (i32.const 1) (i32.const 1) (i32.const 9))"),
        plain("uses-a-handle-that-it-dropped", "(call $drop (local.get $table)) (drop (call $rows (local.get $table)))"),
        plain("drops-a-handle-twice", "(call $drop (local.get $table)) (call $drop (local.get $table))"),
        plain("invents-a-handle", "(drop (call $rows (i32.const 77)))"),
        with(
            "spins-while-it-is-cleaned-up",
            r#"(func (export "cabi_post_stagewright:stage/validator@0.1.0#validate") (param i32) (loop $again (br $again)))"#,
            "",
        ),
        with(
            "traps-while-it-is-cleaned-up",
            r#"(func (export "cabi_post_stagewright:stage/validator@0.1.0#validate") (param i32) unreachable)"#,
            "",
        ),
    ]
}

/// What preprocessors try. `write` is called with a batch of no columns.
pub(crate) fn preprocessors() -> Vec<Attack> {
    const START: &str =
        "(call $start (i32.load offset=8 (local.get $outputs)) (i32.const 0) (i32.const 0) (i32.const 3088))";
    let write = |rows: i32, columns: i32| {
        format!(
            "(call $write (i32.load offset=8 (local.get $outputs)) (i32.const {rows}) (i32.const 4096)
                (i32.const {columns}) (i32.const 3088))"
        )
    };
    let plain = |name, body: &str| Attack {
        name,
        kind: "preprocessor",
        component: guests::preprocessor(body, r#"(data (i32.const 2048) "x")"#),
    };
    let bad = |name, bad: &Bad| Attack { name, kind: "preprocessor", component: guests::writer_of(bad) };
    let two = |text: &str| text.repeat(2);
    let good = Bad { column_type: 2, rows: 2, values: &[0; 16], validity: None, offsets: None, word: None };
    let offsets = |last: u8| -> &'static [u8] { Box::leak([0, 0, 0, 0, 1, 0, 0, 0, last, 0, 0, 0].into()) };
    let twice = "(i32.store (i32.const 4096) (i32.const 2048)) (i32.store (i32.const 4100) (i32.const 1))
        (i32.store (i32.const 4108) (i32.const 2048)) (i32.store (i32.const 4112) (i32.const 1))
        (call $start (i32.load offset=8 (local.get $outputs)) (i32.const 4096) (i32.const 2) (i32.const 3088))";
    vec![
        plain("writes-before-it-starts", &write(0, 0)),
        plain("starts-twice", &two(START)),
        plain("never-starts", ""),
        plain("names-two-columns-alike", twice),
        plain("writes-columns-that-it-did-not-name", &format!("{START} {}", write(1, 3))),
        plain("writes-four-billion-columns", &format!("{START} {}", write(1, -1))),
        plain("writes-rows-without-columns", &format!("{START} {}", write(-1, 0))),
        plain(
            "writes-for-ever",
            &format!("(i32.store (i32.const 4096) (i32.const 0)) {START} (loop $again {} (br $again))", write(1, 0)),
        ),
        plain(
            "writes-ten-million-columns",
            "(if (i32.eq (i32.const -1) (memory.grow (i32.const 900))) (then unreachable))
             (call $start (i32.load offset=8 (local.get $outputs)) (i32.const 65536) (i32.const 4000000) (i32.const 3088))",
        ),
        plain(
            "reads-from-an-output",
            "(call $next (i32.load offset=8 (local.get $outputs)) (i32.const 0) (i32.const 0) (i32.const 9) (i32.const 3200))",
        ),
        bad("writes-too-few-bytes", &Bad { values: &[0; 15], ..good }),
        bad("writes-too-many-bytes", &Bad { rows: 1, ..good }),
        bad("writes-too-few-bits", &Bad { rows: 2, validity: Some(&[]), ..good }),
        bad("writes-gaps-that-it-did-not-name", &Bad { validity: Some(&[1]), ..good }),
        bad("writes-offsets-behind-the-end", &Bad { column_type: 4, values: b"ab", offsets: Some(offsets(9)), ..good }),
        bad("writes-offsets-backwards", &Bad { column_type: 4, values: b"ab", offsets: Some(offsets(0)), ..good }),
        bad("writes-text-without-offsets", &Bad { column_type: 4, values: b"ab", ..good }),
        bad("writes-what-is-no-text", &Bad { column_type: 4, values: b"a\xff", offsets: Some(offsets(2)), ..good }),
        bad(
            "writes-codes-without-words",
            &Bad { column_type: 5, values: &[0, 0, 0, 0, 7, 0, 0, 0], word: Some(b"one"), ..good },
        ),
        bad("writes-words-that-are-no-text", &Bad { column_type: 5, values: &[0; 8], word: Some(b"\xff"), ..good }),
        bad("writes-a-column-of-no-type", &Bad { column_type: 9, ..good }),
        bad("writes-a-nan", &Bad { values: &NANS, ..good }),
    ]
}

/// Two NaNs that carry a message.
const NANS: [u8; 16] = {
    let (one, two) = (0xfff8_0000_0bad_c0de_u64.to_le_bytes(), 0x7ff0_dead_beef_0001_u64.to_le_bytes());
    let mut both = [0; 16];
    let mut byte = 0;
    while byte < 8 {
        (both[byte], both[byte + 8]) = (one[byte], two[byte]);
        byte += 1;
    }
    both
};
