"""The MLflow registry: runs, versions, aliases, tags, proof, and the server behind its gate.

Entry points: `models.Registry` (versions and aliases), `experiments.Experiment` (runs). Nothing here decides which
version may trade.
"""

import os

# Read when MLflow is imported: its progress bars and telemetry have no place in a service's log.
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
