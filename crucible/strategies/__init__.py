"""The Strategy contract, its two kinds, and the registry that keeps their versions.

Nothing here evolves, sizes or judges a strategy.
"""

import os

# Read when MLflow is imported: its progress bars and telemetry have no place in a service's log.
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
