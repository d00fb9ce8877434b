from __future__ import annotations

import os
import subprocess
import sys

from crucible.operations.priority import ARENA, FORGE

CODE = """
import os
from crucible.operations.priority import step_back_in_a_flow_run
step_back_in_a_flow_run({first})
step_back_in_a_flow_run({second})
print(os.nice(0))
"""


def nice_of_a_process(first: int, second: int, *, flow_run: bool) -> int:
    environment = {name: value for name, value in os.environ.items() if "FLOW_RUN_ID" not in name}
    if flow_run:
        environment["PREFECT__FLOW_RUN_ID"] = "00000000-0000-0000-0000-000000000000"
    code = CODE.format(first=first, second=second)
    command = [sys.executable, "-c", code]
    return int(subprocess.run(command, env=environment, capture_output=True, check=True).stdout)


def test_a_flow_run_steps_back_and_never_forward_again():
    own = os.nice(0)
    assert nice_of_a_process(ARENA, 0, flow_run=True) == max(own, ARENA)
    assert nice_of_a_process(ARENA, FORGE, flow_run=True) == max(own, FORGE)
    assert nice_of_a_process(FORGE, ARENA, flow_run=True) == max(own, FORGE)


def test_a_flow_that_is_called_in_a_persons_process_leaves_its_priority_alone():
    assert nice_of_a_process(FORGE, ARENA, flow_run=False) == os.nice(0)
