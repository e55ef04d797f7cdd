//! Guests that were granted something and want more of it than they were granted.

use std::fmt::Write as _;

use expect_test::expect;

use crate::{
    grants::{pipeline, scene},
    guests::asking,
};

/// What they try, with the texts at 2048 that they name.
fn attacks() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let file = |words: &str, body: &str| ("files", asking(&["files"], words, body));
    let get = |at: i32, length: i32| format!("(call $get (i32.const {at}) (i32.const {length}) (i32.const 3200))");
    let environment = |body: &str| ("environment", asking(&["environment"], "REGION", body));
    let host = |host: &str, method: &str, path: &str, body: &str| {
        let words = format!("{host}{method}{path}");
        let send = format!(
            "(call $send (i32.const 2048) (i32.const {}) (i32.const {}) (i32.const {}) (i32.const {}) (i32.const {})
                (i32.const 0) (i32.const 0) {body} (i32.const 3200))
             (if (i32.load8_u (i32.const 3200)) (then (call $tell_refusal)))",
            host.len(),
            2048 + host.len(),
            method.len(),
            2048 + host.len() + method.len(),
            path.len(),
        );
        let words = words.replace('\r', "\\0d").replace('\n', "\\0a");
        ("http", asking(&["http"], &words, &format!("(call $room (i32.const 600)) {send}")))
    };
    let nothing = "(i32.const 0) (i32.const 0)";
    let read = |length: i64, offset: i64| {
        format!(
            "(call $read (i32.const 2048) (i32.const 5) (i32.const 2053) (i32.const 3) (i64.const {offset})
                (i32.const {length}) (i32.const 3200)) (if (i32.load8_u (i32.const 3200)) (then (call $tell_refusal)))"
        )
    };
    let write = |bytes: i32| {
        format!(
            "(call $write (i32.const 2048) (i32.const 5) (i32.const 2053) (i32.const 3) (i32.const 4096)
                (i32.const {bytes}) (i32.const 3200)) (if (i32.load8_u (i32.const 3200)) (then (call $tell_refusal)))"
        )
    };
    let with_room = |body: &str| format!("(call $room (i32.const 600)) {body}");
    let for_ever = |body: &str| format!("(loop $again (global.set $heap (i32.const 65536)) {body} (br $again))");
    let all = vec![
        ("asks-for-ever", environment(&for_ever(&get(2048, 6)))),
        ("names-what-is-beyond-its-memory", environment(&get(-16, 100))),
        ("names-a-megabyte", environment(&with_room(&(get(4096, 1 << 20) + "(call $tell_refusal)")))),
        ("reads-four-billion-bytes", file("ratesbig", &read(-1, 0))),
        ("reads-behind-the-end", file("ratesbig", &read(100, i64::MAX))),
        ("reads-before-the-beginning", file("ratesbig", &read(100, -1))),
        ("writes-thirty-megabytes", file("ratesbig", &with_room(&write(30_000_000)))),
        ("writes-for-ever", file("ratesbig", &with_room(&for_ever(&write(1_000_000))))),
        ("smuggles-a-header", host("127.0.0.1:1", "GET", "/ HTTP/1.1\r\nx: y", nothing)),
        ("invents-a-method", host("127.0.0.1:1", "GET /", "/", nothing)),
        ("builds-a-tunnel", host("127.0.0.1:1", "CONNECT", "/", nothing)),
        ("asks-as-somebody-else", host("a@127.0.0.1:1", "GET", "/", nothing)),
        ("sends-thirty-megabytes", host("127.0.0.1:1", "PUT", "/", "(i32.const 4096) (i32.const 30000000)")),
    ];
    all.into_iter().map(|(name, (interface, component))| (name, interface, component)).collect()
}

#[test]
fn a_grant_is_no_way_to_more_than_was_granted() {
    let attacks = attacks();
    let plugins: Vec<_> = attacks.iter().map(|(name, _, component)| (*name, component.clone())).collect();
    let lab = scene(&plugins);
    lab.write("rates/big", vec![b'x'; 100]);
    lab.write(
        "stagewright.toml",
        "[limits]\nmemory = \"128MiB\"\ntime = \"60s\"\noutput = \"8MiB\"\n[grants]\nhttp = [\"127.0.0.1:1\"]\n\
         environment = [\"REGION\"]\nfiles.rates = { path = \"rates\", access = \"read-write\" }\n",
    );
    let mut told = String::new();
    for (name, interface, _) in &attacks {
        let grant = match *interface {
            "files" => "files = { rates = \"read-write\" }",
            "http" => "http = [\"127.0.0.1:1\"]",
            _ => "environment = [\"REGION\"]",
        };
        pipeline(&lab, name, &format!("[stage.ask.grants]\n{grant}\n"));
        let said = lab.run(&["run", "ask.toml"]);
        let shown = lab.json(&["show", "latest", "ask"]);
        let found = shown["report"]["findings"][0]["message"].as_str().unwrap_or_default();
        let message = shown["stage"]["message"].as_str().unwrap_or(found);
        let _ = writeln!(told, "{name}: exit {}: {}", said.code.unwrap_or(-1), message.escape_debug());
    }
    expect![[r#"
        asks-for-ever: exit 3: the plugin returned a bad number of granted calls: a stage may make 100000
        names-what-is-beyond-its-memory: exit 3: the plugin returned a bad value: string pointer/length out of bounds of memory
        names-a-megabyte: exit 0: a name or path has at most 32768 bytes
        reads-four-billion-bytes: exit 0: one call reads at most 16777216 bytes
        reads-behind-the-end: exit 0: 
        reads-before-the-beginning: exit 0: 
        writes-thirty-megabytes: exit 0: one call carries at most 16777216 bytes
        writes-for-ever: exit 3: what granted calls carry together exceeds 8388608 bytes (`limits.output` in stagewright.toml raises this)
        smuggles-a-header: exit 0: a path begins with `/` and has no spaces or other bytes that must be escaped
        invents-a-method: exit 0: `GET /` is no method for a request
        builds-a-tunnel: exit 0: `CONNECT` is no method for a request
        asks-as-somebody-else: exit 0: host `a@127.0.0.1:1` is not granted
        sends-thirty-megabytes: exit 0: one call carries at most 16777216 bytes
    "#]].assert_eq(&told);
    lab.ok(&["fsck"]);
    assert_eq!(std::fs::read_to_string(lab.file("secret.txt")).expect("it is there"), "nobody may read this");
}
