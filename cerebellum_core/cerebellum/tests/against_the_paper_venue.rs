//! The real binaries over real sockets: an intent is filled, survives SIGKILL, and is not doubled.
//!
//! Needs the paper venue's binary beside ours; without it the test reports it and passes.

use std::{
    io::{BufRead, BufReader},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::{json, Value};
use tempfile::TempDir;

const INTENT: &str = "01932c07-20c8-7a31-9b1c-5d3f0a8e4b21";

struct Process {
    child: Child,
    ready: Value,
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn start(binary: &Path, arguments: &[&str]) -> Process {
    let mut child = Command::new(binary)
        .args(arguments)
        .env_remove("BYBIT_API_KEY")
        .env_remove("BYBIT_API_SECRET")
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let ready = serde_json::from_str(&line).unwrap_or_else(|_| panic!("no ready line: {line:?}"));
    Process { child, ready }
}

fn ask(context: &zmq::Context, address: &str, command: &Value) -> Value {
    let socket = context.socket(zmq::DEALER).unwrap();
    socket.set_linger(0).unwrap();
    socket.set_rcvtimeo(10_000).unwrap();
    socket.connect(address).unwrap();
    socket.send(command.to_string().as_bytes(), 0).unwrap();
    serde_json::from_slice(&socket.recv_bytes(0).unwrap()).unwrap()
}

fn until(mut check: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !check() {
        assert!(Instant::now() < end, "it did not come true within 20 s");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn start_venue(binary: &Path, keys: &str) -> Process {
    let settings = format!("--rest 127.0.0.1:0 --seed 3 --speed 10 --history-days 1 --keys {keys}");
    start(binary, &settings.split(' ').collect::<Vec<_>>())
}

/// A folder of a name without blanks, and in it a file of keys.
fn folder_with_keys() -> (TempDir, String) {
    let folder = tempfile::Builder::new().prefix("cb-").tempdir_in("/tmp").unwrap();
    let keys = folder.path().join("keys.json");
    std::fs::write(&keys, r#"[{"key": "key-1", "secret": "secret-1", "usdt": "100000"}]"#).unwrap();
    std::fs::set_permissions(&keys, std::fs::Permissions::from_mode(0o600)).unwrap();
    (folder, keys.to_string_lossy().into_owned())
}

fn submit(ts: &Value) -> Value {
    json!({
        "v": 1, "type": "submit", "ts": ts, "request_id": "s", "intent_id": INTENT, "agent": "a",
        "version": "v", "symbol": "BTCUSDT", "side": "buy", "kind": "market", "qty": "0.010",
        "limit_price": null, "reduce_only": false, "ttl_ms": 600_000, "protect": null,
        "reason": "entry",
    })
}

#[test]
fn an_intent_is_filled_once_although_the_process_is_killed() {
    let ours = PathBuf::from(env!("CARGO_BIN_EXE_cerebellum"));
    let venue_binary = ours.with_file_name("paper_venue");
    assert!(
        venue_binary.exists(),
        "{} is not built; run cargo build --release --workspace",
        venue_binary.display()
    );
    let (folder, keys) = folder_with_keys();
    let inside = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    let (journal, run) = (inside("journal.sqlite"), inside("run"));
    let venue = start_venue(&venue_binary, &keys);
    let (rest, ws) = (venue.ready["rest"].as_str().unwrap(), venue.ready["ws"].as_str().unwrap());
    let settings = format!(
        "--venue paper --rest {rest} --ws {ws} --keys {keys} --journal {journal} \
         --symbols BTCUSDT --run-folder {run}"
    );
    let arguments: Vec<&str> = settings.split(' ').collect();
    let context = zmq::Context::new();
    let plain = |kind: &str| json!({"v": 1, "type": kind, "ts": 0, "request_id": "r"});

    let first = start(&ours, &arguments);
    let commands = first.ready["commands"].as_str().unwrap().to_owned();
    let submit = submit(&ask(&context, &commands, &plain("heartbeat"))["ts"]);
    assert_eq!(ask(&context, &commands, &submit)["status"], "accepted");
    drop(first); // SIGKILL, whatever was under way.

    let second = start(&ours, &arguments);
    assert_eq!(ask(&context, &commands, &submit)["status"], "duplicate");
    let snapshot = || ask(&context, &commands, &plain("snapshot"));
    until(|| snapshot()["orders"] == json!([]));
    let end = snapshot();
    assert_eq!(end["positions"][0]["qty"], "0.01", "{end}");
    assert_eq!(end["totals"]["fills"], 1);
    drop(second);
    let summary = cerebellum::journal::verify::verify(Path::new(&journal)).unwrap();
    assert!(summary.ok, "{:?}", summary.faults);
    assert_eq!(summary.fills, 1);
}
