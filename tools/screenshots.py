"""Pictures of every page of a running system, into docs/pictures.

Start the system first (`make up`), wait until agents trade, then `make screenshots`. Chromium is found on
the path (`chromium`, `chromium-browser` or `google-chrome`).
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

REPOSITORY = Path(__file__).resolve().parents[1]
PICTURES = REPOSITORY / "docs" / "pictures"
CHROMIUM_FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
SETTLE_MS = 4_000


def main() -> None:
    """Take every picture, or say what is missing."""
    browser = next(
        filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
    )
    if browser is None:
        sys.exit("make screenshots: no Chromium on the path; on Debian: apt-get install chromium")
    addresses = running_services()
    PICTURES.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser, args=CHROMIUM_FLAGS)
        page = chromium.new_page(viewport={"width": 1360, "height": 820})
        take_live_page(page, addresses["dashboard"])
        enter(page, addresses["prefect"])
        take(page, f"{addresses['prefect']}/runs", "prefect-runs")
        take(page, f"{addresses['mlflow']}/#/experiments/1/runs", "mlflow-forgings")
        take(page, f"{addresses['mlflow']}/#/models", "mlflow-models")
        chromium.close()


def running_services() -> dict[str, str]:
    """Ask `crucible status` for the pages' addresses."""
    command = [sys.executable, "-m", "crucible.cli", "status", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        services = {item["name"]: item for item in json.loads(done.stdout)["services"]}
    except (ValueError, KeyError):
        sys.exit(f"make screenshots: nothing is running; start it with make up\n{done.stderr}")
    down = [name for name, item in services.items() if item["state"] != "up"]
    if down:
        sys.exit(f"make screenshots: {', '.join(down)} is not up; wait or start it with make up")
    return {name: str(item["address"]) for name, item in services.items()}


def take_live_page(page: Page, address: str) -> None:
    """Keep the views of Crucible's own page, with the production agent that has traded most."""
    take(page, address, "dashboard")
    take(page, f"{address}/market", "dashboard-market")
    take(page, f"{address}/execution", "dashboard-execution")
    rows = page.request.get(f"{address}/api/agents").json()["rows"]
    seated = [row for row in rows if row["state"] == "production"]
    if not seated:
        sys.exit("make screenshots: no agent is in production yet; wait until one trades")
    busiest = max(seated, key=lambda row: row["trades"])
    take(page, f"{address}/agents/{busiest['agent']}", "dashboard-agent")


def enter(page: Page, address: str) -> None:
    """Paste what Prefect's page asks for."""
    command = [sys.executable, "-m", "crucible.cli", "password"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    page.goto(address)
    page.get_by_placeholder("admin:pass").fill(done.stdout.strip())
    page.get_by_role("button", name="Login").click()
    page.get_by_placeholder("admin:pass").wait_for(state="detached")


def take(page: Page, address: str, name: str) -> None:
    """Open a page, let it settle, and keep its picture."""
    page.goto(address)
    page.wait_for_timeout(SETTLE_MS)
    # The assistant's pane covers half of MLflow's page until it is closed. Only that one is pressed: what a button
    # of ours closes is a position.
    for button in page.get_by_role("button", name="Close", exact=True).all():
        if button.is_visible():
            button.click()
    page.wait_for_timeout(500)
    path = PICTURES / f"{name}.png"
    page.screenshot(path=path)
    print(f"{path.name}: {path.stat().st_size // 1024} KiB")


if __name__ == "__main__":
    main()
