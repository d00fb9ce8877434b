"""`python -m crucible.registry.server`: MLflow's server behind the gate.

MLflow lets every page of ``localhost`` and every user of the machine write, whatever it is told to
allow (docs/decisions/0083); this serves the same application, and nothing else, behind `crucible.gate`.
"""

from __future__ import annotations

import argparse
import os
from typing import Any, cast

import uvicorn

from crucible.gate import Gate

ARTIFACTS = "mlflow-artifacts:/"


def main() -> None:
    """Serve until stopped."""
    parser = argparse.ArgumentParser(prog="crucible.registry.server", description=__doc__)
    parser.add_argument("--host", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--backend-store-uri", required=True)
    parser.add_argument("--artifacts-destination", required=True)
    reported = parser.parse_args()
    app = make_app(reported.backend_store_uri, reported.artifacts_destination)
    # Who asks is told by the connection, never by a header.
    uvicorn.run(
        cast("Any", Gate(app)),
        host=reported.host,
        port=reported.port,
        log_level="warning",
        proxy_headers=False,
    )


def make_app(store: str, artifacts: str) -> Any:  # noqa: ANN401 - MLflow's application
    """Build what ``mlflow server`` builds in each of its workers.

    Parameters
    ----------
    store : str
        Address of its database.
    artifacts : str
        Folder of its files.
    """
    # What `mlflow server` tells its workers; they read it while they are imported.
    os.environ |= {
        "_MLFLOW_SERVER_FILE_STORE": store,
        "_MLFLOW_SERVER_ARTIFACT_ROOT": ARTIFACTS,
        "_MLFLOW_SERVER_ARTIFACT_DESTINATION": artifacts,
        "_MLFLOW_SERVER_SERVE_ARTIFACTS": "true",
        "_MLFLOW_SGI_NAME": "uvicorn",
    }
    from mlflow.server.handlers import initialize_backend_stores

    initialize_backend_stores(store, store, ARTIFACTS)
    from mlflow.server.fastapi_app import app

    return app


if __name__ == "__main__":
    main()
