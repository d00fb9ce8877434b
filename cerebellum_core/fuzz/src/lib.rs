//! Seeded mutation of everything that Cerebellum and the paper venue parse.
//!
//! Each target takes examples (golden vectors, rows as the venue documents them, recorded frames
//! where they are at hand), changes them byte by byte and value by value, and hands them to the real
//! parser. A panic, a number that is not finite, or a message that reads differently after it was
//! written is a finding. The same seed gives the same inputs.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

/// What is found.
pub mod broken;
/// Examples to begin with.
pub mod corpus;
/// Changes of bytes and of JSON values.
pub mod mutate;
/// What is parsed, and what must hold.
pub mod targets;

use std::{
    collections::BTreeSet,
    panic::{catch_unwind, AssertUnwindSafe},
};

use targets::Target;

/// What a run of one target came to.
#[derive(Debug, Default)]
pub struct Report {
    /// How many inputs were tried.
    pub runs: u64,
    /// How many were accepted.
    pub accepted: u64,
    /// Distinct outcomes: kinds of messages and of errors, a stand-in for coverage.
    pub outcomes: BTreeSet<String>,
    /// Inputs that broke a promise, with what happened; at most ten are kept.
    pub findings: Vec<(String, String)>,
}

/// Runs one target so many times from a seed.
#[must_use]
pub fn fuzz(target: &Target, examples: &[Vec<u8>], runs: u64, seed: u64) -> Report {
    let mut report = Report::default();
    let mut random = mutate::Random::new(seed ^ target.salt());
    let mut parse = (target.begin)();
    for run in 0..runs {
        // Every example is tried as it is first.
        let input = match examples.get(usize::try_from(run).unwrap_or(usize::MAX)) {
            Some(example) => example.clone(),
            None => mutate::mutated(examples, &mut random),
        };
        report.runs += 1;
        let finding = match catch_unwind(AssertUnwindSafe(|| parse(&input))) {
            Ok(Ok(outcome)) => {
                report.accepted += u64::from(!outcome.starts_with("error"));
                if report.outcomes.len() < 100_000 {
                    report.outcomes.insert(outcome);
                }
                continue;
            }
            Ok(Err(broken)) => broken.to_string(),
            Err(panic) => {
                parse = (target.begin)();
                let text = panic.downcast_ref::<String>().map(String::as_str);
                let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
                format!("panic: {}", text.unwrap_or("without words"))
            }
        };
        if report.findings.len() < 10 {
            report.findings.push((String::from_utf8_lossy(&input).into_owned(), finding));
        }
    }
    report
}
