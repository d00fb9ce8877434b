//! Runs fuzz targets and prints what came of them.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::Parser;
use fuzz::{fuzz, targets::TARGETS};

/// Change examples at random and hand them to the real parsers.
#[derive(Debug, Parser)]
struct CommandLine {
    /// A target's name, or all.
    #[arg(long, default_value = "all")]
    target: String,
    /// Inputs of each target.
    #[arg(long, default_value_t = 100_000)]
    runs: u64,
    /// The same seed gives the same inputs.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

fn main() -> ExitCode {
    let line = CommandLine::parse();
    let mut chosen =
        TARGETS.iter().filter(|one| [one.name, "all"].contains(&&*line.target)).peekable();
    if chosen.peek().is_none() {
        let names: Vec<&str> = TARGETS.iter().map(|one| one.name).collect();
        eprintln!("fuzz: --target {} is unknown; there are all, {}", line.target, names.join(", "));
        return ExitCode::from(2);
    }
    // A panic is a finding and told below; the hook would print each.
    std::panic::set_hook(Box::new(|_| {}));
    let mut broken = false;
    for target in chosen {
        let examples = match (target.examples)() {
            Ok(examples) => examples,
            Err(error) => {
                eprintln!("fuzz: {error}");
                return ExitCode::from(2);
            }
        };
        let begun = std::time::Instant::now();
        let report = fuzz(target, &examples, line.runs, line.seed);
        println!(
            "{:8} examples {:4}  runs {:8}  accepted {:8}  distinct outcomes {:5}  findings {}  {:.1} s",
            target.name,
            examples.len(),
            report.runs,
            report.accepted,
            report.outcomes.len(),
            report.findings.len(),
            begun.elapsed().as_secs_f64(),
        );
        for (input, finding) in &report.findings {
            broken = true;
            println!("  {finding}\n    input: {input:?}");
        }
    }
    ExitCode::from(u8::from(broken))
}
