"""Fetch a file of a run from the tracking server, within bounds and nothing but that file."""

from __future__ import annotations

import tempfile
from pathlib import Path

from mlflow import MlflowClient

from crucible.errors import StrategyError
from crucible.strategies.document import LARGEST_FILE


def fetch(client: MlflowClient, run_id: str, file: str) -> bytes:
    """Give the bytes of a file at the top of a run's artifacts.

    Raises
    ------
    StrategyError
        If there is none, or it is larger than `LARGEST_FILE`.
    MlflowException, OSError
        If the server does not answer.
    """
    held = {item.path: item for item in client.list_artifacts(run_id)}
    if file not in held or held[file].is_dir:
        message = f"its run holds {sorted(held) or 'nothing'}"
        raise StrategyError(message)
    size = held[file].file_size
    if size is None or size > LARGEST_FILE:
        message = f"{size} bytes, more than {LARGEST_FILE}"
        raise StrategyError(message)
    with tempfile.TemporaryDirectory() as folder:
        fetched = client.download_artifacts(run_id, file, folder)
        # It may have grown since its size was told.
        with Path(fetched).open("rb") as stream:
            return stream.read(LARGEST_FILE + 1)
