//! Cerebellum: the only hand that touches an exchange.
#![forbid(unsafe_code)]

use std::process::ExitCode;

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
    let line = CommandLine::parse();
    let result = match line.task {
        Some(Task::VerifyJournal { file }) => verify_journal(&file),
        Some(Task::ReplayFrames { file, places, depth, repeat, json: true }) => {
            replay_frames::measure(&file, &places, depth, repeat).map(|()| ExitCode::SUCCESS)
        }
        Some(Task::ReplayFrames { file, places, depth, .. }) => {
            replay_frames::run(&file, &places, depth).map(|()| ExitCode::SUCCESS)
        }
        None => line.flags.with_config().and_then(cerebellum::settings::Flags::check).and_then(
            |settings| {
                telemetry::start_logs(&settings.log)?;
                process::run(settings).map(|()| ExitCode::SUCCESS)
            },
        ),
    };
    result.unwrap_or_else(|error| {
        complain(&format!("cerebellum: {error}"));
        ExitCode::from(2)
    })
}

fn verify_journal(file: &std::path::Path) -> Result<ExitCode, String> {
    let summary = verify(file).map_err(|error| error.to_string())?;
    let text = serde_json::to_string_pretty(&summary).map_err(|error| error.to_string())?;
    print_line(&text).map_err(|error| format!("standard output: {error}"))?;
    Ok(if summary.ok { ExitCode::SUCCESS } else { ExitCode::from(1) })
}
