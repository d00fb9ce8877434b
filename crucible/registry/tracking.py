"""Forge runs in MLflow's tracking: opened by a key, logged, closed, counted.

Entry point: `ForgeRuns`. A run is found again by its key, so that a retry continues it.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from crucible.registry.experiments import Experiment, parameter
from crucible.registry.pages import (
    EXPERIMENT,
    HOW_TO_READ,
    experiment_tags,
    file_address,
    run_page,
)
from crucible.retries import attempts

TRIALS = "candidates_evaluated"
"""Metric of a run: candidates that this forge run alone evaluated."""
EFFECTIVE = "effective_trials_own"
"""Metric of a run: how many independent trials its own candidates are worth."""
SEALED = "sealed_trades"
"""Metric of a run that has opened its hold-out window."""

TWICE = "UNIQUE constraint failed"
"""What the server says of two who make the same thing at the same time; nothing of it is kept."""
TWICE_PAUSES_S = (0.1, 0.5, 1.0)

_ADDRESS = threading.Lock()


@contextmanager
def tracking_address(tracking_uri: str) -> Iterator[None]:
    """Set MLflow's address, which is one for the whole process, and put it back."""
    with _ADDRESS:
        before = mlflow.get_tracking_uri() if mlflow.is_tracking_uri_set() else None  # type: ignore[no-untyped-call]
        mlflow.set_tracking_uri(tracking_uri)
        try:
            yield
        finally:
            mlflow.set_tracking_uri(before)  # type: ignore[arg-type]


class ForgeRuns:
    """The forge runs behind one tracking server.

    Parameters
    ----------
    tracking_uri : str
        For example ``http://127.0.0.1:5000``.
    """

    def __init__(self, tracking_uri: str) -> None:
        self.tracking_uri = tracking_uri
        self._client = MlflowClient(tracking_uri)
        self.forge_runs_experiment = Experiment(
            self._client, EXPERIMENT, HOW_TO_READ, experiment_tags()
        )

    def other_experiment(self, name: str, note: str) -> Experiment:
        """Give an experiment beside that of the forge runs."""
        return Experiment(self._client, name, note)

    def open_run(self, key: str, name: str, tags: Mapping[str, str]) -> str:
        """Start the run of a forge run, or continue the one that has the same key.

        Parameters
        ----------
        key : str
            Identifies the forge run: a retry has the same key, and its run is not doubled.
        name : str
        tags : mapping
        """
        return self.forge_runs_experiment.open_run(key, name, tags)

    def log(
        self,
        run_id: str,
        *,
        parameters: Mapping[str, object] | None = None,
        metrics: Iterable[tuple[str, float, int]] = (),
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """Log parameters, ``(name, value, step)`` metrics and tags, as `Experiment.log`."""
        self.forge_runs_experiment.log(run_id, parameters=parameters, metrics=metrics, tags=tags)

    def metrics(self, run_id: str) -> dict[str, float]:
        """Newest value of every metric of a run."""
        return dict(self._client.get_run(run_id).data.metrics)

    def steps(self, run_id: str, metric: str) -> set[int]:
        """Give the steps at which a metric has been logged; a batch is stored whole or not at all."""
        return self.forge_runs_experiment.steps(run_id, metric)

    def changed(self, run_id: str, parameters: Mapping[str, object]) -> dict[str, tuple[str, str]]:
        """Compare parameters with those of a run: what it was and what it would be, by name.

        A parameter that the run does not have yet has not changed.
        """
        held = self._client.get_run(run_id).data.params
        return {
            name: (held[name], parameter(value))
            for name, value in parameters.items()
            if name in held and held[name] != parameter(value)
        }

    def finished(self, key: str) -> bool:
        """Whether the forge run of a key has ended, its outcome published."""
        runs = self._client.search_runs(
            [self.experiment()],
            f"tags.`crucible.key` = '{key}' and attributes.status = 'FINISHED'",
            max_results=1,
        )
        return bool(runs)

    def status(self, run_id: str) -> str:
        """State of a run: RUNNING, FINISHED, FAILED or KILLED."""
        return str(self._client.get_run(run_id).info.status)

    def log_folder(self, run_id: str, folder: Path) -> None:
        """Attach every file of a folder to the run."""
        self._client.log_artifacts(run_id, str(folder))

    def log_file(self, run_id: str, path: Path) -> None:
        """Attach one file to the run."""
        self._client.log_artifact(run_id, str(path))

    def log_dataset(self, run_id: str, name: str, digest: str, source: str) -> None:
        """Record which data the forge run saw."""
        dataset = mlflow.entities.Dataset(
            name=name, digest=digest[:36], source_type="local", source=json.dumps({"uri": source})
        )
        tag = mlflow.entities.InputTag("mlflow.data.context", "training")
        inputs = [mlflow.entities.DatasetInput(dataset, [tag])]
        # Two forge runs that see the same candles at the same time: the server looks whether it knows
        # them, and of two that it does not find it can keep one. It finds that one for the other.
        for is_last in attempts(TWICE_PAUSES_S):
            try:
                self._client.log_inputs(run_id, inputs)
            except MlflowException as error:
                if is_last or TWICE not in str(error):
                    raise
            else:
                return

    def run_facts(self, run_id: str) -> dict[str, str]:
        """Tags and parameters of a run by name; a parameter wins over a tag."""
        data = self._client.get_run(run_id).data
        return {**data.tags, **data.params}

    def file_of_run(self, run_id: str, name: str) -> str:
        """Address of a file of a run."""
        return file_address(self.tracking_uri, run_id, name)

    def page_of_run(self, run_id: str) -> str:
        """Address of a run in MLflow's page."""
        return run_page(self.tracking_uri, self.experiment(), run_id)

    def close_run(self, run_id: str, status: Literal["FINISHED", "FAILED", "KILLED"]) -> None:
        """End the run."""
        self._client.set_terminated(run_id, status)

    def trials(self, slot: str, *, without: str = "") -> int:
        """Count every candidate ever evaluated for a slot, refused forge runs included.

        Parameters
        ----------
        slot : str
        without : str
            A run whose own candidates are left out.
        """
        others = (run for run in self._runs(slot) if run.info.run_id != without)
        return int(sum(run.data.metrics.get(TRIALS, 0.0) for run in others))

    def effective_trials(self, slot: str, *, without: str = "") -> float:
        """Add up how many independent trials each forge run of a slot is worth, as `trials` counts them.

        One that was ended before it could tell counts every candidate.
        """
        others = [run.data.metrics for run in self._runs(slot) if run.info.run_id != without]
        return sum(
            min(held.get(TRIALS, 0.0), held.get(EFFECTIVE, held.get(TRIALS, 0.0)))
            for held in others
        )

    def openings(self, slot: str, *, without: str = "") -> int:
        """Count the forge runs of a slot that opened their hold-out window, but for one run."""
        return sum(
            SEALED in run.data.metrics and run.info.run_id != without for run in self._runs(slot)
        )

    def forge_seeds(self, slot: str) -> list[str]:
        """Give the seed of each forge run that a slot ever had, refused and failed ones included.

        Empty where a run does not say it.
        """
        return [run.data.tags.get("seed", "") for run in self._runs(slot)]

    def ended(self, slot: str) -> list[tuple[bool, int | None]]:
        """Tell of every forge run of a slot, the newest first, whether it gave a version and until when it saw.

        One that was refused, failed or was cancelled gave none. The second is market time, epoch
        milliseconds; None where the run does not say.
        """
        runs = sorted(self._runs(slot), key=lambda run: -run.info.start_time)
        reported = []
        for run in runs:
            tags, until = run.data.tags, run.data.tags.get("until_ms", "")
            gave = run.info.status == "FINISHED" and not tags.get("refused_by")
            reported.append((gave, int(until) if until.isdigit() else None))
        return reported

    def _runs(self, slot: str) -> list[Run]:
        return self.forge_runs_experiment.all(f"tags.slot = '{slot}'")

    def experiment(self) -> str:
        """Give the id of the experiment that holds every forge run."""
        return self.forge_runs_experiment.id()
