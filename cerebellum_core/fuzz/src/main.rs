//! Runs fuzz targets and prints what came of them.
#![forbid(unsafe_code)]

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Parser;
use fuzz::{
    corpus::CorpusError,
    fuzz,
    targets::{Target, TARGETS},
};
use protocol::lines::{complain, print_line};

/// Frames of a stream that are put into one example.
const STREAMED: usize = 12;

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
    /// Run nothing; write the examples of each target into a folder of its name under this one.
    #[arg(long)]
    write_corpus: Option<PathBuf>,
}

fn main() -> ExitCode {
    let line = CommandLine::parse();
    let mut chosen =
        TARGETS.iter().filter(|one| [one.name, "all"].contains(&&*line.target)).peekable();
    if chosen.peek().is_none() {
        let names: Vec<&str> = TARGETS.iter().map(|one| one.name).collect();
        let target = &line.target;
        complain(&format!(
            "fuzz: --target {target} is unknown; there are all, {}",
            names.join(", ")
        ));
        return ExitCode::from(2);
    }
    if let Some(folder) = &line.write_corpus {
        return match chosen.try_for_each(|target| write_corpus(target, folder)) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                complain(&format!("fuzz: {error}"));
                ExitCode::from(2)
            }
        };
    }
    // A panic is a finding and told below; the hook would print each.
    std::panic::set_hook(Box::new(|_| {}));
    let mut broken = false;
    for target in chosen {
        let examples = match (target.examples)() {
            Ok(examples) => examples,
            Err(error) => {
                complain(&format!("fuzz: {error}"));
                return ExitCode::from(2);
            }
        };
        let begun = std::time::Instant::now();
        let report = fuzz(target, &examples, line.runs, line.seed);
        let mut reported = vec![format!(
            "{:8} examples {:4}  runs {:8}  accepted {:8}  distinct outcomes {:5}  findings {}  {:.1} s",
            target.name,
            examples.len(),
            report.runs,
            report.accepted,
            report.outcomes.len(),
            report.findings.len(),
            begun.elapsed().as_secs_f64(),
        )];
        for (input, finding) in &report.findings {
            broken = true;
            reported.push(format!("  {finding}\n    input: {input:?}"));
        }
        if let Err(error) = print_line(&reported.join("\n")) {
            complain(&format!("fuzz: standard output: {error}"));
            return ExitCode::from(2);
        }
    }
    ExitCode::from(u8::from(broken))
}

/// Why examples cannot be written.
#[derive(Debug, thiserror::Error)]
enum WriteError {
    /// There are none.
    #[error(transparent)]
    Corpus(#[from] CorpusError),
    /// Their folder cannot be written to.
    #[error("{folder}: {source}")]
    Folder {
        /// Which.
        folder: String,
        /// Why not.
        source: std::io::Error,
    },
    /// Nobody takes what is printed.
    #[error("standard output: {0}")]
    Output(std::io::Error),
}

/// Writes one file an example; those of a stream are also written as one, so that it can be followed.
fn write_corpus(target: &Target, folder: &Path) -> Result<(), WriteError> {
    let folder = folder.join(target.name);
    let reported = |source| WriteError::Folder { folder: folder.display().to_string(), source };
    std::fs::create_dir_all(&folder).map_err(reported)?;
    let mut inputs = (target.examples)()?;
    if target.stream {
        inputs.extend(inputs.clone().chunks(STREAMED).map(|frames| frames.join(&b'\n')));
    }
    for (number, input) in inputs.iter().enumerate() {
        std::fs::write(folder.join(format!("example-{number:04}")), input).map_err(reported)?;
    }
    print_line(&format!("{:8} {} examples", target.name, inputs.len())).map_err(WriteError::Output)
}
