"""Who may give orders: not a page that the trader has open, and no other user of the machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import psutil
import pytest

from crucible.operations.supervision import services
from crucible.operations.supervision.process import ServiceProcess, stop_trees
from crucible.registry.proof import Gate, Proof, digest
from tests.browser.test_pages import browsing, chromium, enter_prefect  # noqa: F401
from tests.support.plant import answer
from tests.support.processes import REPOSITORY

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]

STRATEGY = {"kind": "gp", "program": ["trade", 1.0, 0.0]}
SLOT = "SOLUSDT-gp-1"


@pytest.fixture(scope="module")
def dashboard(plant):
    """Our own page for the plant's workspace; give its address."""
    environment = {**os.environ, "CRUCIBLE_HOME": str(plant.workspace.path)}
    spec = services.dashboard(plant.ports)
    process = ServiceProcess(spec.name, spec.command, environment, plant.workspace.logs, REPOSITORY)
    try:
        answer(spec.ready_url, process)
        yield plant.ports.dashboard_url
    finally:
        stop_trees([process.identity], 10.0)


@pytest.fixture(scope="module")
def stranger():
    """A page of somebody else on this machine; give its port."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<!doctype html><title>prices</title>")

        def log_message(self, *words):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server.server_address[1]
        server.shutdown()


# Everything that a page can send without asking, and what it can send where it is let.
ATTACK = """
(targets) => Promise.all(targets.map(async ([url, body], number) => {
  const told = [];
  const tries = [
    ["plain", {method: "POST", mode: "no-cors", body, credentials: "include"}],
    ["json", {method: "POST", headers: {"Content-Type": "application/json"}, body}],
    ["known", {method: "POST", headers: {"Content-Type": "application/json",
        "Authorization": "Basic YWRtaW46cGFzcw=="}, body, credentials: "include"}],
    ["read", {credentials: "include"}],
  ];
  for (const [name, options] of tries) {
    try {
      const answer = await fetch(url, options);
      const text = answer.type === "opaque" ? "" : await answer.text();
      told.push(`${name} ${answer.status} ${text.slice(0, 200)}`);
    } catch (error) { told.push(`${name} refused`); }
  }
  const frame = document.createElement("iframe");
  frame.name = `sink ${number}`;
  document.body.append(frame);
  const form = document.createElement("form");
  Object.assign(form, {method: "POST", action: url, enctype: "text/plain", target: frame.name});
  const field = document.createElement("input");
  [field.name, field.value] = [body.slice(0, -1) + ', "x": "', '"}'];
  form.append(field);
  document.body.append(form);
  const sent = new Promise((done) => { frame.onload = done; setTimeout(done, 3000); });
  form.submit();
  await sent;
  const socket = await new Promise((done) => {
    const opened = new WebSocket(url.replace("http", "ws"));
    opened.onopen = () => done("open");
    opened.onerror = () => done("refused");
    opened.onclose = () => done("refused");
  });
  told.push(`socket ${socket}`);
  return told;
}))
"""


def test_no_page_of_another_origin_gives_an_order_or_reads_an_answer(
    plant,
    dashboard,
    stranger,
    chromium,  # noqa: F811
):
    ports, evil = plant.ports, plant.workspace.path / "evil"
    deployment = plant.deployments["forge"]
    order = {
        "name": "from a strange page",
        "job_variables": {"command": f"touch {evil}"},
        "parameters": {"slot": SLOT},
    }
    model = {"name": "from-a-strange-page"}
    targets = {
        f"/api/deployments/{deployment}/create_flow_run": (ports.prefect, order),
        "/api/flow_runs/filter": (ports.prefect, {}),
        "/api/events/in": (ports.prefect, {}),
        "/ajax-api/2.0/mlflow/registered-models/create": (ports.mlflow, model),
        "/api/2.0/mlflow/registered-models/create": (ports.mlflow, model),
        "/api/state": (ports.dashboard, {}),
    }
    with browsing(chromium) as page:
        for theirs, ours in (("127.0.0.1", "127.0.0.1"), ("localhost", "127.0.0.1"), *LOCAL):
            page.goto(f"http://{theirs}:{stranger}/")
            asked = [
                [f"http://{ours}:{port}{path}", json.dumps(body)]
                for path, (port, body) in targets.items()
            ]
            all_reported = page.evaluate(ATTACK, asked)
            for (address, _), reported in zip(asked, all_reported, strict=True):
                where = f"{theirs} asks {address}: {reported}"
                # "plain" is sent without asking; the page learns nothing, not even the status.
                assert reported[0] in {"plain 0 ", "plain refused"}, where
                assert reported[1:] == [
                    "json refused",
                    "known refused",
                    "read refused",
                    reported[4],
                ], where
                assert reported[4] == "socket refused", where
    runs = plant.ask("POST", "/flow_runs/filter", {"limit": 200})
    assert not [run for run in runs if run["name"] == order["name"]]
    assert not evil.exists()
    names = [model.name for model in plant.registry._client.search_registered_models()]
    assert model["name"] not in names


LOCAL = (("127.0.0.1", "localhost"),)


def test_the_person_at_the_keyboard_pays_one_paste_and_every_page_works(
    plant,
    dashboard,
    chromium,  # noqa: F811
):
    with browsing(chromium) as page:
        page.goto(dashboard)
        page.get_by_text("prefect").first.wait_for()
        enter_prefect(page, plant)
        # Kept by the browser: nothing is asked again, and everything is seen.
        page.goto(f"{plant.ports.prefect_url}/deployments")
        page.get_by_text("forge").first.wait_for()
        assert page.get_by_placeholder("admin:pass").count() == 0
        with page.expect_response(lambda found: "registered-models/search" in found.url) as found:
            page.goto(f"{plant.ports.mlflow_url}/#/models")
        assert found.value.status == 200


def test_no_log_no_database_and_no_command_line_holds_the_password(plant):
    password = plant.workspace.password().encode()
    holding = [
        path
        for path in plant.workspace.path.rglob("*")
        if path.is_file() and password in path.read_bytes()
    ]
    assert holding == [plant.workspace.password_file]
    for process in psutil.process_iter(["cmdline"]):
        assert password.decode() not in " ".join(process.info["cmdline"] or ())


def test_nothing_reports_to_anybody_outside(plant):
    settings = plant.ask("GET", "/admin/settings")
    assert settings["server"]["analytics_enabled"] is False
    assert settings["server"]["ui"]["show_promotional_content"] is False
    reported = httpx.get(f"{plant.ports.mlflow_url}/ajax-api/3.0/mlflow/ui-telemetry").json()
    assert reported["disable_ui_telemetry"] is True
    assert reported["ui_rollout_percentage"] == 0


# As nobody, with everything imported before: that user may not read this one's libraries.
NOBODY = """
import encodings.idna, json, os, socket, sys
told, places = {}, json.loads(sys.stdin.read())
os.setgroups([]); os.setgid(65534); os.setuid(65534)
for path in places["files"]:
    try:
        told[path] = f"read {len(open(path, 'rb').read())}"
    except PermissionError:
        told[path] = "refused"
for path in places["sockets"]:
    try:
        with socket.socket(socket.AF_UNIX) as asked:
            asked.connect(path)
        told[path] = "open"
    except PermissionError:
        told[path] = "refused"
for name, (port, path, body) in places["orders"].items():
    asked = socket.create_connection(("127.0.0.1", port), 20)
    words = f"POST {path} HTTP/1.1\\r\\nHost: 127.0.0.1:{port}\\r\\nConnection: close\\r\\n"
    words += f"Content-Type: application/json\\r\\nContent-Length: {len(body)}\\r\\n\\r\\n{body}"
    asked.sendall(words.encode())
    told[name] = asked.makefile().readline().split()[1]
print(json.dumps(told))
"""


@pytest.mark.skipif(os.getuid() != 0, reason="only root can act as another user of the machine")
def test_another_user_reads_no_secret_gives_no_order_and_makes_no_version_proven(plant, dashboard):
    version = registered(plant)
    workspace, ports = plant.workspace, plant.ports
    workspace.proof_key()
    secrets = [workspace.password_file, workspace.path / "proof.key", workspace.keys_file]
    assert all(path.is_file() for path in secrets)
    tag = {"name": SLOT, "version": version.version, "key": "proven", "value": "true"}
    proof = Proof(SLOT, version.version, version.run_id, digest(STRATEGY), *FACTS)
    forged = {**tag, "key": "proof", "value": json.dumps({"passed": proof.passed})}
    alias = {"name": SLOT, "alias": "production", "version": version.version}
    order = {"name": "from another user", "job_variables": {"command": "touch /tmp/evil"}}
    deployment = plant.deployments["forge"]
    run = f"/api/deployments/{deployment}/create_flow_run"
    orders = {
        "a flow run": (ports.prefect, run, order),
        "a tag": (ports.mlflow, "/api/2.0/mlflow/model-versions/set-tag", tag),
        "a proof": (ports.mlflow, "/api/2.0/mlflow/model-versions/set-tag", forged),
        "an alias": (ports.mlflow, "/api/2.0/mlflow/registered-models/alias", alias),
        "our page": (ports.dashboard, "/api/state", {}),
    }
    orders = {name: (port, path, json.dumps(body)) for name, (port, path, body) in orders.items()}
    files = [
        *map(str, secrets),
        str(workspace.mlflow / "mlflow.db"),
        str(workspace.logs / "worker.log"),
    ]
    with reachable(workspace.path), unix_socket(workspace.socket_folder / "commands") as sockets:
        asked = {"files": files, "sockets": sockets, "orders": orders}
        done = subprocess.run(
            [sys.executable, "-c", NOBODY],
            input=json.dumps(asked),
            capture_output=True,
            text=True,
            check=False,
            cwd="/",
        )
    assert done.returncode == 0, done.stderr
    reported = json.loads(done.stdout)
    assert reported == dict.fromkeys([*files, *sockets], "refused") | {
        "a flow run": "401",
        "a tag": "403",
        "a proof": "403",
        "an alias": "403",
        "our page": "403",
    }
    found = plant.registry.version(SLOT, version.version)
    assert not found.proven
    assert "proven" not in found.tags
    assert plant.registry.aliases(SLOT) == {}
    # This user's own hand still works, and even his tag proves nothing.
    plant.registry.tag(SLOT, version.version, {"proven": "true"})
    assert not plant.registry.version(SLOT, version.version).proven


FACTS = ("strict", "schema", "data", "code", 1, (Gate("net", 1.0, 0.0, "higher"),))


def registered(plant):
    client = plant.registry._client
    run = plant.registry.open_run("of another workspace", "forge", {"slot": SLOT})
    client.create_registered_model(SLOT)
    made = client.create_model_version(SLOT, f"runs:/{run}", run)
    return plant.registry.version(SLOT, str(made.version))


@contextmanager
def reachable(workspace):
    """Let everybody through to the workspace itself, as in a usual home folder; pytest's own are shut."""
    shut = [path for path in [workspace, *workspace.parents] if not path.stat().st_mode & 0o001]
    modes = [path.stat().st_mode & 0o777 for path in shut]
    for path, mode in zip(shut, modes, strict=True):
        path.chmod(mode | 0o011)
    try:
        yield
    finally:
        for path, mode in zip(shut, modes, strict=True):
            path.chmod(mode)


class unix_socket:  # noqa: N801 - read as a word
    """A listening socket where Cerebellum has its own."""

    def __init__(self, path):
        self.path = path

    def __enter__(self):
        import socket

        self.path.unlink(missing_ok=True)
        self.listening = socket.socket(socket.AF_UNIX)
        self.listening.bind(str(self.path))
        self.path.chmod(0o777)
        self.listening.listen()
        return [str(self.path)]

    def __exit__(self, *_):
        self.listening.close()
        self.path.unlink()
