//! The same figures as numpy and scipy, on the golden sample and on public data.

use std::io::Read;
use std::path::Path;

use serde_json::Value;
use stagewright_drift::{distance, significance};

/// A text file of the folder of public data beside the repository, unpacked where its name ends in `.gz`.
#[expect(clippy::print_stdout, reason = "a skipped test says so")]
fn text(path: &str) -> Option<String> {
    let place = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared")).join(path);
    if !place.exists() {
        println!("skipped: {} is not there", place.display());
        return None;
    }
    if !path.ends_with(".gz") {
        return Some(std::fs::read_to_string(place).expect("the file can be read"));
    }
    let mut text = String::new();
    flate2::read::GzDecoder::new(std::fs::File::open(place).expect("the file opens"))
        .read_to_string(&mut text)
        .expect("the file is gzip");
    Some(text)
}

fn json(path: &str) -> Option<Value> {
    text(path).map(|text| serde_json::from_str(&text).expect("JSON"))
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().expect("a list").iter().map(|value| value.as_f64().expect("a number")).collect()
}

fn whole(value: &Value) -> Vec<u64> {
    value.as_array().expect("a list").iter().map(|value| value.as_f64().expect("a number") as u64).collect()
}

fn assert_close(what: &str, found: Option<f64>, expected: &Value) {
    let (found, expected) = (found.expect(what), expected.as_f64().expect(what));
    assert!((found - expected).abs() <= 1e-9 * expected.abs().max(1.0), "{what}: {found}, reference {expected}");
}

#[test]
fn the_golden_sample_has_the_golden_figures() {
    let Some(golden) = json("golden/metrics_golden.json") else { return };
    let drift = &golden["drift"];
    let reference = distance::sorted(&numbers(&drift["inputs"]["ref"]));
    let current = distance::sorted(&numbers(&drift["inputs"]["cur"]));
    let edges = distance::edges(&reference, 10);
    let (before, now) = (distance::counts(&reference, &edges), distance::counts(&current, &edges));
    assert_close("psi", distance::psi(&before, &now), &drift["psi_10_ref_deciles_eps1e4"]);
    assert_close("js", distance::jensen_shannon(&before, &now), &drift["js_distance_base2"]);
    let statistic = distance::kolmogorov_smirnov(&reference, &current);
    assert_close("ks", statistic, &drift["ks"]["D"]);
    let p = significance::kolmogorov_smirnov(statistic.expect("a statistic"), reference.len(), current.len());
    assert_close("ks p", Some(p), &drift["ks"]["p_asymp"]);
    let area = distance::wasserstein(&reference, &current);
    assert_close("wasserstein", area, &drift["wasserstein"]);
    let deviation = distance::deviation(&reference).expect("a deviation");
    assert_close("normalized", area.map(|area| area / deviation), &drift["wasserstein_norm_std_ref"]);

    let (before, now) = (whole(&drift["inputs"]["cat_ref"]), whole(&drift["inputs"]["cat_cur"]));
    let (statistic, freedom) = distance::chi_squared(&before, &now).expect("a statistic");
    assert_close("chi2", Some(statistic), &drift["chi2"]["stat"]);
    assert_close("chi2 p", significance::chi_squared(statistic, freedom), &drift["chi2"]["p"]);
    assert_close("words' js", distance::jensen_shannon(&before, &now), &drift["cat_js_base2"]);

    let multiple = &golden["multiple_testing"];
    let adjusted = significance::benjamini_hochberg(&numbers(&multiple["p"]));
    for (found, expected) in adjusted.iter().zip(multiple["bh"].as_array().expect("a list")) {
        assert_close("bh", Some(*found), expected);
    }
}

#[test]
fn every_count_of_the_reference_gives_its_figures() {
    let Some(reference) = json("data/reference/drift.json") else { return };
    let mut columns = 0;
    for (set, windows) in reference["sets"].as_object().expect("sets") {
        for (name, column) in windows
            .as_array()
            .expect("windows")
            .iter()
            .flat_map(|window| window["columns"].as_object().expect("columns").iter())
        {
            let what = |figure: &str| format!("{set}.{name} {figure}");
            let (before, now) = (whole(&column["counts_ref"]), whole(&column["counts_ana"]));
            assert_close(&what("psi"), distance::psi(&before, &now), &column["psi"]);
            assert_close(&what("js"), distance::jensen_shannon(&before, &now), &column["jensen_shannon"]);
            if column["kind"] == "numeric" {
                let rows = |rows: &str| column[rows].as_u64().expect("rows") as usize;
                let statistic = column["ks"].as_f64().expect("a statistic");
                let p = significance::kolmogorov_smirnov(statistic, rows("n_ref"), rows("n_ana"));
                assert_close(&what("ks p"), Some(p), &column["ks_p"]);
            } else if let Some((statistic, freedom)) = distance::chi_squared(&before, &now) {
                assert_close(&what("chi2"), Some(statistic), &column["chi2"]);
                assert_close(&what("chi2 p"), significance::chi_squared(statistic, freedom), &column["chi2_p"]);
            } else {
                assert!(column.get("chi2").is_none(), "{}", what("chi2"));
            }
            columns += 1;
        }
    }
    assert!(columns > 100, "{columns} columns");
}

/// The columns of a table of numbers.
fn columns(text: &str, delimiter: char) -> Vec<(String, Vec<f64>)> {
    let mut lines = text.lines();
    let header = lines.next().expect("a header").split(delimiter).map(|name| name.trim_matches('"').to_owned());
    let mut columns: Vec<(String, Vec<f64>)> = header.map(|name| (name, Vec::new())).collect();
    for line in lines.filter(|line| !line.is_empty()) {
        for ((_, values), cell) in columns.iter_mut().zip(line.split(delimiter)) {
            values.push(cell.parse().unwrap_or(f64::NAN));
        }
    }
    columns
}

#[test]
fn electricity_and_bike_rentals_drift_as_the_reference_says() {
    let Some(reference) = json("data/reference/drift.json") else { return };
    let files = [("electricity", "data/electricity/elec.csv.gz"), ("bike", "data/bike_sharing/hour.csv")];
    for (set, path) in files {
        let Some(text) = text(path) else { return };
        let table = columns(&text, ',');
        for window in reference["sets"][set].as_array().expect("windows") {
            let (before, now) = (whole(&window["reference_rows"]), whole(&window["analysis_rows"]));
            for (name, values) in &table {
                let expected = &window["columns"][name];
                if expected["kind"] != "numeric" {
                    continue;
                }
                let cut = |rows: &[u64]| distance::sorted(&values[rows[0] as usize..rows[1] as usize]);
                let (reference, current) = (cut(&before), cut(&now));
                let edges = distance::edges(&reference, 10);
                let counted = distance::counts(&reference, &edges);
                assert_eq!(counted, whole(&expected["counts_ref"]), "{set}.{name}");
                let found = distance::psi(&counted, &distance::counts(&current, &edges));
                assert_close(name, found, &expected["psi"]);
                assert_close(name, distance::kolmogorov_smirnov(&reference, &current), &expected["ks"]);
                assert_close(name, distance::wasserstein(&reference, &current), &expected["wasserstein"]);
            }
        }
    }
}
