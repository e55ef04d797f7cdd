//! What a language costs: the preprocessor template of each, built and measured by the command line. Prints the table
//! of `sdk/README.md`.

use stagewright_tests::Lab;

const LANGUAGES: [&str; 6] = ["rust", "c", "go", "javascript", "typescript", "python"];

pub(crate) fn run() {
    let lab = Lab::empty();
    println!(
        "| language | build | size | first compile | warm load | instantiate | process start | per batch | 1M rows of float64 | peak memory |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
    for language in LANGUAGES {
        lab.ok(&["plugin", "new", language, "--lang", language, "--kind", "preprocessor"]);
        // The second build is the one that an author waits for; the first fills the tools' caches.
        if lab.run(&["plugin", "build", language]).code != Some(0) {
            println!("| {language} | its tools are not installed: not measured |");
            continue;
        }
        let build = crate::median(3, || {
            lab.ok(&["plugin", "build", language]);
        });
        let file = format!("{language}/{language}.wasm");
        let measured = lab.json(&["plugin", "bench", &file]);
        let number = |key: &str| measured[key].as_f64().unwrap_or(f64::NAN);
        let step = &measured["steps"][0];
        let of_step = |key: &str| step[key].as_f64().unwrap_or(f64::NAN);
        println!(
            "| {language} | {:.1} s | {:.0} KB | {:.0} ms | {:.1} ms | {:.0} µs | {:.0} ms | {:.0} µs | {:.0} ms | {:.0} MB |",
            build / 1000.0,
            number("bytes") / 1024.0,
            number("compile_ms"),
            number("load_ms"),
            number("instantiate_us"),
            number("start_ms"),
            of_step("batch_us"),
            of_step("elapsed_ms"),
            of_step("peak_memory") / 1_048_576.0,
        );
    }
}
