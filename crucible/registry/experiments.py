"""MLflow experiments: groups of runs that are found again by a key, so that nothing is written twice."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, Run, RunTag
from mlflow.exceptions import MlflowException

KEY = "crucible.key"
MOST_METRICS = 1_000
"""Metrics that the server takes in one batch."""

Status = Literal["FINISHED", "FAILED", "KILLED"]
MetricRow = tuple[str, float, int]
"""Name, value and step."""


class Experiment:
    """One experiment of a tracking server.

    Parameters
    ----------
    client : MlflowClient
    name : str
    note : str
        Markdown above the experiment's table, written when the experiment is made.
    tags : mapping, optional
        Others that it is made with.
    """

    def __init__(
        self, client: MlflowClient, name: str, note: str, tags: Mapping[str, str] | None = None
    ) -> None:
        self._client = client
        self.name = name
        self._tags = {"mlflow.note.content": note, **(tags or {})}

    def id(self) -> str:
        """Give the experiment's id; make the experiment where there is none."""
        found = self._client.get_experiment_by_name(self.name)
        if found is not None:
            return str(found.experiment_id)
        try:
            return str(self._client.create_experiment(self.name, tags=dict(self._tags)))
        except MlflowException:
            made_by_another = self._client.get_experiment_by_name(self.name)
            if made_by_another is None:
                raise
            return str(made_by_another.experiment_id)

    def find(self, key: str) -> Run | None:
        """Give the run of a key; None where there is none."""
        found = self._client.search_runs([self.id()], f"tags.`{KEY}` = '{key}'", max_results=1)
        return found[0] if found else None

    def open_run(self, key: str, name: str, tags: Mapping[str, str]) -> str:
        """Start a run, or continue the one that has the same key; give its id."""
        found = self.find(key)
        if found is not None:
            run_id = str(found.info.run_id)
            self._client.update_run(run_id, status="RUNNING")
            return run_id
        run = self._client.create_run(self.id(), run_name=name, tags={**tags, KEY: key})
        return str(run.info.run_id)

    def newest(self, query: str) -> Run | None:
        """Give the run that began last among those that a query finds."""
        order = ["attributes.start_time DESC"]
        found = self._client.search_runs([self.id()], query, max_results=1, order_by=order)
        return found[0] if found else None

    def all(self, query: str) -> list[Run]:
        """Give every run that a query finds."""
        runs: list[Run] = []
        token: str | None = None
        while True:
            page = self._client.search_runs(
                [self.id()], query, max_results=MOST_METRICS, page_token=token
            )
            runs += page
            token = page.token
            if not token:
                return runs

    def log(
        self,
        run_id: str,
        *,
        parameters: Mapping[str, object] | None = None,
        metrics: Iterable[MetricRow] = (),
        tags: Mapping[str, str] | None = None,
        model_id: str | None = None,
    ) -> None:
        """Log parameters, metrics and tags in batches.

        A metric that is not finite is left out: a missing number stays missing.

        Parameters
        ----------
        run_id : str
        parameters : mapping, optional
        metrics : iterable of (str, float, int)
            Name, value, step.
        tags : mapping, optional
        model_id : str, optional
            Logged model that the metrics speak of; its page shows them.
        """
        now_ms = int(time.time() * 1000)
        rows = [
            Metric(name, float(value), now_ms, step, model_id=model_id)
            for name, value, step in metrics
            if float("-inf") < value < float("inf")
        ]
        entries = [Param(name, parameter(value)) for name, value in (parameters or {}).items()]
        run_tags = [RunTag(name, str(value)[:5000]) for name, value in (tags or {}).items()]
        self._client.log_batch(run_id, rows[:MOST_METRICS], entries, run_tags)
        for start in range(MOST_METRICS, len(rows), MOST_METRICS):
            self._client.log_batch(run_id, rows[start : start + MOST_METRICS])

    def steps(self, run_id: str, metric: str) -> set[int]:
        """Give the steps at which a metric has been logged; a batch is stored whole or not at all."""
        return {int(item.step) for item in self._client.get_metric_history(run_id, metric)}

    def log_table(self, run_id: str, columns: Mapping[str, Sequence[Any]], file: str) -> None:
        """Attach a table, which the run's page shows as one."""
        self._client.log_table(
            run_id, {name: list(values) for name, values in columns.items()}, file
        )

    def has_file(self, run_id: str, file: str) -> bool:
        """Whether a file of that name is attached to a run."""
        return any(item.path == file for item in self._client.list_artifacts(run_id))

    def close_run(self, run_id: str, status: Status) -> None:
        """End a run."""
        self._client.set_terminated(run_id, status)


def parameter(value: object) -> str:
    """Give a value as MLflow keeps parameters: text of at most 500 characters."""
    return str(value)[:500]
