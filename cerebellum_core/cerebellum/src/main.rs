//! Cerebellum: the only hand that touches an exchange.
#![forbid(unsafe_code)]

use std::{error::Error, process::ExitCode};

use cerebellum::{
    journal::verify::verify,
    process, replay_frames,
    settings::{CommandLine, Task},
    telemetry,
};
use clap::Parser;
use protocol::lines::{complain, print_line};

/// The engine makes and drops many short texts a command.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    run(CommandLine::parse()).unwrap_or_else(|error| {
        complain(&format!("cerebellum: {error}"));
        ExitCode::from(2)
    })
}

fn run(line: CommandLine) -> Result<ExitCode, Box<dyn Error>> {
    match line.task {
        Some(Task::VerifyJournal { file }) => return verify_journal(&file),
        Some(Task::ReplayFrames { file, places, depth, repeat, json: true }) => {
            replay_frames::measure(&file, &places, depth, repeat)?;
        }
        Some(Task::ReplayFrames { file, places, depth, .. }) => {
            replay_frames::run(&file, &places, depth)?;
        }
        None => {
            let settings = line.flags.with_config()?.check()?;
            telemetry::start_logs(&settings.log)?;
            process::run(settings)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn verify_journal(file: &std::path::Path) -> Result<ExitCode, Box<dyn Error>> {
    let summary = verify(file)?;
    let text = serde_json::to_string_pretty(&summary)?;
    print_line(&text).map_err(|error| format!("standard output: {error}"))?;
    Ok(if summary.ok { ExitCode::SUCCESS } else { ExitCode::from(1) })
}
