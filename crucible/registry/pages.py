"""Where a person reads forge runs in MLflow: the experiment, its saved view, and the addresses of its pages.

MLflow 3 opens on pages for language models, and its table of runs hides every metric. The kind of the
experiment, the view kept in its tags, and addresses that name both lead straight to what counts.
"""

from __future__ import annotations

import json
from urllib.parse import quote

EXPERIMENT = "forgings"
VIEW = "crucible"
HOW_TO_READ = """The best is the one with the fewest `gates_failed`, then the highest `deflated_sharpe`: the
probability that its Sharpe ratio is more than the luck of so many trials.

One run for each forge run. `sealed_net_return` beside `sealed_hold_return` is what came of it on data that decided
nothing. The tag `verdict` says it in words; each run's description has the picture and every gate."""
# Without tags: MLflow draws them first, and the figures that count would lie beyond the window's edge.
COLUMNS = (
    "metrics.`gates_failed`",
    "metrics.`deflated_sharpe`",
    "metrics.`sealed_net_return`",
    "metrics.`sealed_hold_return`",
    "metrics.`sealed_trades`",
    "metrics.`candidates_evaluated`",
)
# Experiment pages take it from their address; otherwise a browser opens those for language models.
_KIND = "workflowType=machine_learning"


def experiment_tags() -> dict[str, str]:
    """Give the tags of the experiment: how to read it, its kind, and the view *Crucible* of its table.

    The view is what MLflow's page keeps when a person presses *Save as new view* (MLflow 3.17).
    """
    state = {"selectedColumns": COLUMNS, "columnOrder": COLUMNS, "viewMaximized": False}
    view = {"name": "Crucible", "createdAt": 0, "updatedAt": 0, "state": json.dumps(state)}
    return {
        "mlflow.note.content": HOW_TO_READ,
        "mlflow.experimentKind": "custom_model_development",
        f"mlflow.sharedViewState.{VIEW}": json.dumps(view),
    }


def runs_page(mlflow_url: str, experiment: str) -> str:
    """Address of the table of forge runs, with the columns that count."""
    return f"{mlflow_url}/#/experiments/{experiment}/runs?viewStateShareKey={VIEW}&{_KIND}"


def models_page(mlflow_url: str) -> str:
    """Address of the models: a slot each, its versions and aliases."""
    return f"{mlflow_url}/#/models"


def version_page(mlflow_url: str, slot: str, version: str) -> str:
    """Address of a version of a slot."""
    return f"{models_page(mlflow_url)}/{slot}/versions/{version}"


def run_page(mlflow_url: str, experiment: str, run_id: str) -> str:
    """Address of a run."""
    return f"{mlflow_url}/#/experiments/{experiment}/runs/{run_id}"


def file_address(mlflow_url: str, run_id: str, name: str) -> str:
    """Address of a file of a run; `mlflow_url` may be empty for a path."""
    return f"{mlflow_url}/get-artifact?path={name}&run_uuid={quote(run_id, safe='')}"


def experiments_page(mlflow_url: str) -> str:
    """Address of the list of experiments."""
    return f"{mlflow_url}/#/experiments?{_KIND}"
