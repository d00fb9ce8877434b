"""The peer's side of a benchmark: commands as JSON lines on stdin, answers on stdout.

Runs in the peer's own environment, so it imports the standard library only. A peer's script:

    from serving import serve

    def nodes(programs: list[str]) -> float: ...

    serve({"nodes": nodes}, ["deap"])
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from importlib.metadata import version
from typing import Any


def serve(commands: dict[str, Callable[..., Any]], packages: list[str]) -> None:
    """Answer until stdin ends; `packages` are those whose versions are told.

    Whatever a library prints goes to stderr, so that answers stay alone on stdout.
    """
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        request = json.loads(line)
        name = request.pop("command")
        try:
            if name == "versions":
                result: Any = {package: version(package) for package in packages}
            else:
                result = commands[name](**request)
            answer = {"result": result}
        except Exception as error:  # noqa: BLE001 - the other side is told, whatever it was
            answer = {"error": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()
