//! What a language costs: the preprocessor template of each, built and measured by the command line. Prints the table
//! of `sdk/README.md`, and with the word `write` puts it there.

use std::{fmt::Write as _, fs, path::Path};

use stagewright_tests::Lab;

const LANGUAGES: [&str; 6] = ["rust", "c", "go", "javascript", "typescript", "python"];
const HEADING: &str = "\
| language | build | component | first compile | warm load | instantiate | second start | per batch | 1,000,000 rows of float64 | rows per second | peak memory |
|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|
";
/// Where the table stands.
const README: &str = "../sdk/README.md";
const BEGIN: &str = "<!-- figures -->\n";
const END: &str = "<!-- end of figures -->";

pub(crate) fn run() {
    let lab = Lab::empty();
    let mut table = HEADING.to_owned();
    for language in LANGUAGES {
        lab.ok(&["plugin", "new", language, "--lang", language, "--kind", "preprocessor"]);
        // The second build is the one that an author waits for; the first fills the tools' caches.
        if lab.run(&["plugin", "build", language]).code != Some(0) {
            println!("{language}: its tools are not installed, so it is not measured");
            continue;
        }
        let build = crate::median(3, || {
            lab.ok(&["plugin", "build", language]);
        });
        let file = format!("{language}/{language}.wasm");
        let measured = lab.json(&["plugin", "bench", &file]);
        let number = |key: &str| measured[key].as_f64().unwrap_or(f64::NAN);
        let of_step = |key: &str| measured["steps"][0][key].as_f64().unwrap_or(f64::NAN);
        let (load, instantiate, start) = (number("load_ms"), number("instantiate_us"), number("start_ms"));
        let _ = writeln!(
            table,
            "| {language} | {:.1} s | {} | {} | {load:.1} ms | {instantiate:.0} µs | {start:.1} ms | {:.0} µs | {:.0} ms | {:.1} M | {:.0} MB |",
            build / 1000.0,
            bytes(number("bytes")),
            milliseconds(number("compile_ms")),
            of_step("batch_us"),
            of_step("elapsed_ms"),
            of_step("rows_per_second") / 1e6,
            of_step("peak_memory") / 1e6,
        );
    }
    println!("{table}");
    if std::env::args().any(|argument| argument == "write") {
        write(&table);
    }
}

/// Puts the table into the SDKs' page.
fn write(table: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(README);
    let text = fs::read_to_string(&path).expect("the page can be read");
    let (before, rest) = text.split_once(BEGIN).expect("the page has a place for the table");
    let (_, after) = rest.split_once(END).expect("the table's place has an end");
    fs::write(&path, format!("{before}{BEGIN}{table}{END}{after}")).expect("the page can be written");
}

fn bytes(number: f64) -> String {
    if number < 1e6 { format!("{:.0} kB", number / 1e3) } else { format!("{:.1} MB", number / 1e6) }
}

fn milliseconds(number: f64) -> String {
    if number < 1000.0 { format!("{number:.0} ms") } else { format!("{:.1} s", number / 1000.0) }
}
