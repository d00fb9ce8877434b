//! One format, one verdict: the table of files that Python's tests read as well.

use paper_venue::market::{candle_file, file_error::FileError, funding};
use serde_json::Value;
use std::path::{Path, PathBuf};

fn cases() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/cases")
}

/// The columns of a file by name, or why it is refused.
fn read(case: &Value) -> Result<Vec<(&'static str, Vec<f64>)>, FileError> {
    let path = cases().join(case["file"].as_str().expect("a file"));
    #[allow(clippy::cast_precision_loss)]
    let floats = |times: Vec<i64>| times.into_iter().map(|ts| ts as f64).collect();
    if case["kind"] == "funding" {
        let folder = path.parent().expect("a folder");
        let symbol = case["symbol"].as_str().expect("a symbol");
        let read = funding::read(folder, symbol)?.expect("a file of rates");
        let rate = |one: &funding::Settlement| one.rate.to_string().parse().expect("a number");
        let times = floats(read.iter().map(|one| one.ts).collect());
        return Ok(vec![("ts", times), ("funding_rate", read.iter().map(rate).collect())]);
    }
    let columns = candle_file::read(&path)?;
    let [open, high, low, close, volume] = columns.values;
    Ok(vec![
        ("ts", floats(columns.times)),
        ("open", open),
        ("high", high),
        ("low", low),
        ("close", close),
        ("volume", volume),
    ])
}

#[test]
fn a_file_is_taken_to_the_last_digit_or_refused_as_everywhere() {
    let text = std::fs::read_to_string(cases().join("candle_files.json")).expect("the table");
    let table: Value = serde_json::from_str(&text).expect("JSON");
    let mut faults = Vec::new();
    let all = table["cases"].as_array().expect("cases");
    assert!(all.len() > 80);
    for case in all {
        let name = case["name"].as_str().expect("a name");
        let path = cases().join(case["file"].as_str().expect("a file"));
        let outcome = read(case).map_err(|error| error.to_string());
        match (outcome, case["verdict"].as_str()) {
            (Ok(columns), Some("accepted")) => {
                for (column, values) in &columns {
                    if Some(values.len()) != case["rows"].as_u64().map(|rows| rows as usize) {
                        faults.push(format!("{name}: {} rows of {column}", values.len()));
                    }
                    for (end, value) in [("first", values.first()), ("last", values.last())] {
                        let reported = case.get(end).map(|row| row[column].as_f64());
                        if reported.is_some_and(|reported| reported != value.copied()) {
                            faults.push(format!(
                                "{name}: {end} {column} {value:?}, not {reported:?}"
                            ));
                        }
                    }
                }
            }
            (Err(refusal), Some("refused")) => {
                let words = case["words"].as_array().expect("words").iter();
                let lower = refusal.to_lowercase();
                let missing = words.filter_map(Value::as_str);
                for word in missing.filter(|word| !lower.contains(&word.to_lowercase())) {
                    faults.push(format!("{name}: no {word:?} in {refusal:?}"));
                }
                if !refusal.starts_with(&path.display().to_string()) || refusal.contains('\n') {
                    faults.push(format!("{name}: not one line about its file: {refusal:?}"));
                }
            }
            (Ok(_), verdict) => faults.push(format!("{name}: taken, not {verdict:?}")),
            (Err(refusal), verdict) => faults.push(format!("{name}: {refusal:?}, not {verdict:?}")),
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
