"""What a person does in the two pages, done in a real Chromium."""

from __future__ import annotations

import re
from contextlib import contextmanager

import pytest

from tests.support.browsers import NAMES, find_chromium, launched

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]

PATIENCE_MS = 120_000


@pytest.fixture(scope="module")
def chromium():
    found = find_chromium()
    if found is None:
        pytest.skip(f"no Chromium: none of {', '.join(NAMES)} is installed (apt install chromium)")
    return found


@contextmanager
def browsing(chromium):
    with launched(chromium) as browser:
        page = browser.new_page(viewport={"width": 1400, "height": 1000})
        page.set_default_timeout(PATIENCE_MS)
        yield page


def test_a_failed_forging_is_retried_in_prefect_and_its_version_promoted_in_mlflow(plant, chromium):
    slot = "ETHUSDT-gp-3"
    plant.fault("raise", slot, 2)
    run = plant.start(slot, seed=21)
    plant.until(run, "FAILED")
    with browsing(chromium) as page:
        enter_prefect(page, plant)
        find_by_name(page, plant, f"forge {slot}")
        press_retry(page, plant, run, slot)
        plant.until(run, "COMPLETED")
        page.get_by_text("Completed", exact=True).first.wait_for()
        look_at_the_forging(page, plant, run, slot)
        plant.registry.drop_alias(slot, "challenger")
        set_production(page, plant, slot, "1")
        another = plant.registry.version(slot, "1")
        plant.registry._client.create_model_version(slot, f"runs:/{another.run_id}", another.run_id)
        set_production(page, plant, slot, "2")
        set_production(page, plant, slot, "1")  # and back
    assert plant.advanced(slot) == [1, 2, 2, 3, 4]


def enter_prefect(page, plant):
    """Paste what `crucible password` prints, once; the browser keeps it."""
    page.goto(plant.ports.prefect_url)
    page.get_by_placeholder("admin:pass").fill(plant.workspace.password())
    page.get_by_role("button", name="Login").click()
    page.get_by_placeholder("admin:pass").wait_for(state="detached")


def find_by_name(page, plant, name):
    """Find a flow run in Prefect's list by its name."""
    page.goto(f"{plant.ports.prefect_url}/runs")
    page.locator('input[placeholder="Search by flow run name"]:visible').first.fill(name)
    page.get_by_role("link", name=name, exact=True).first.wait_for()


def press_retry(page, plant, run, slot):
    """Look at a failed flow run in Prefect's page and press Retry."""
    page.goto(f"{plant.ports.prefect_url}/runs/flow-run/{run}")
    page.get_by_text(f"forge {slot}").first.wait_for()
    page.get_by_text("Failed", exact=True).first.wait_for()
    page.get_by_text("an injected fault in generation 2").first.wait_for()
    page.get_by_role("button", name="Retry").first.click()
    page.get_by_role("dialog").get_by_role("button", name="Retry").click()
    plant.wait(lambda: plant.states(run).count("Running") == 2, lambda: plant.story(run))


def look_at_the_forging(page, plant, run, slot):
    """Read in MLflow's page which forge run it was, and what came of it."""
    made = plant.mlflow_run(run).info.run_id
    page.goto(plant.registry.page_of_run(made))
    page.get_by_text(f"forge {slot}").first.wait_for()
    page.get_by_text(re.compile("(champion|candidate), unproven")).first.wait_for()
    page.wait_for_function(
        "() => [...document.images].some(i => i.src.includes('equity.png') && i.naturalWidth > 0)"
    )


def set_production(page, plant, slot, version):
    """Give a version the alias production in MLflow's page, whoever had it before."""
    page.goto(f"{plant.ports.mlflow_url}/#/models")
    page.goto(f"{plant.ports.mlflow_url}/#/models/{slot}")
    row = page.get_by_role("row").filter(has_text=f"Version {version}")
    row.get_by_role("button", name="Add").last.click()
    field = page.get_by_role("dialog").get_by_role("combobox")
    field.click()
    field.fill("production")
    field.press("Enter")
    page.get_by_role("button", name="Save aliases").click()
    page.get_by_text("production").first.wait_for()

    def holds():
        return plant.registry.aliases(slot).get("production") == version

    plant.wait(holds, lambda: f"version {version} was not set: {plant.registry.aliases(slot)}")
