//! The yardstick of the wire's benchmark: a bare ZeroMQ echo, and a client that times any answerer.
//!
//! `wire_timing echo ipc://... --reply-bytes N [--sync FILE]` answers every frame with so many bytes;
//! with `--sync` it first writes the frame into FILE, which has its full size from the start, and
//! waits for one `fdatasync`. `wire_timing ask ipc://... --frames FILE` sends frames and prints JSON.

#![forbid(unsafe_code)]

use std::{
    fs::File,
    io::{Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    time::Instant,
};

use clap::{Parser, Subcommand};
use serde_json::json;

/// Size of the file that a durable echo writes, in bytes; it begins again at its end.
const LOG_BYTES: u64 = 64 << 20;

#[derive(Parser)]
struct CommandLine {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Answer every frame.
    Echo {
        /// Where to bind.
        address: String,
        /// Size of every answer.
        #[arg(long)]
        reply_bytes: usize,
        /// Write and sync every frame before its answer.
        #[arg(long)]
        sync: Option<PathBuf>,
    },
    /// Send the lines of a file as frames and time the answers.
    Ask {
        /// Where to connect.
        address: String,
        /// One frame a line; the odd lines are timed, the even ones are not.
        #[arg(long)]
        frames: PathBuf,
        /// Most frames under way; 1 times each answer, more time the whole.
        #[arg(long, default_value_t = 1)]
        window: usize,
    },
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    match CommandLine::parse().task {
        Task::Echo { address, reply_bytes, sync } => echo(&address, reply_bytes, sync.as_deref()),
        Task::Ask { address, frames, window } => ask(&address, &frames, window),
    }
}

fn echo(
    address: &str,
    reply_bytes: usize,
    sync: Option<&Path>,
) -> Result<(), Box<dyn std::error::Error>> {
    let context = zmq::Context::new();
    let router = context.socket(zmq::ROUTER)?;
    router.bind(address)?;
    let reply = vec![b'x'; reply_bytes];
    let mut log = sync.map(preallocated).transpose()?;
    let mut written = 0;
    println!("{}", json!({"event": "ready", "commands": address}));
    loop {
        let client = router.recv_bytes(0)?;
        let frame = router.recv_bytes(0)?;
        if let Some(log) = &mut log {
            if written + frame.len() as u64 > LOG_BYTES {
                log.seek(SeekFrom::Start(0))?;
                written = 0;
            }
            log.write_all(&frame)?;
            log.sync_data()?;
            written += frame.len() as u64;
        }
        router.send(&client, zmq::SNDMORE)?;
        router.send(&reply, 0)?;
    }
}

/// A file of its full size, so that a sync has data to write and no size.
fn preallocated(path: &Path) -> std::io::Result<File> {
    let mut file = File::create(path)?;
    let piece = vec![0; 1 << 20];
    for _ in 0..LOG_BYTES >> 20 {
        file.write_all(&piece)?;
    }
    file.sync_all()?;
    file.seek(SeekFrom::Start(0))?;
    Ok(file)
}

fn ask(address: &str, frames: &Path, window: usize) -> Result<(), Box<dyn std::error::Error>> {
    let mut text = String::new();
    File::open(frames)?.read_to_string(&mut text)?;
    let frames: Vec<&str> = text.lines().collect();
    let context = zmq::Context::new();
    let dealer = context.socket(zmq::DEALER)?;
    dealer.connect(address)?;
    let mut nanoseconds: Vec<u64> = Vec::with_capacity(frames.len());
    let mut replies: Vec<Vec<u8>> = Vec::with_capacity(frames.len());
    let start = Instant::now();
    if window == 1 {
        for frame in &frames {
            let sent = Instant::now();
            dealer.send(frame, 0)?;
            replies.push(dealer.recv_bytes(0)?);
            nanoseconds.push(u64::try_from(sent.elapsed().as_nanos())?);
        }
    } else {
        let mut sent = 0;
        while replies.len() < frames.len() {
            while sent < frames.len() && sent - replies.len() < window {
                dealer.send(frames[sent], 0)?;
                sent += 1;
            }
            replies.push(dealer.recv_bytes(0)?);
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    let timed: Vec<u64> = nanoseconds.iter().step_by(2).copied().collect();
    let count = |status: &str| {
        let wanted = format!("\"status\":\"{status}\"");
        let odd = replies.iter().step_by(2);
        odd.filter(|reply| String::from_utf8_lossy(reply).contains(&wanted)).count()
    };
    let first = replies.first().map(|reply| String::from_utf8_lossy(reply).into_owned());
    println!(
        "{}",
        json!({
            "frames": frames.len(),
            "accepted": count("accepted"),
            "seconds": seconds,
            "timed_ns": timed,
            "reply_bytes": replies.first().map(Vec::len),
            "first_reply": first,
        })
    );
    Ok(())
}
