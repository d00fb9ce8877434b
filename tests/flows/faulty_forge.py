"""The forge flow as it is deployed, with faults that a test asks for by files.

``raise-SLOT-N`` makes generation N of a slot fail once; ``hang-SLOT-N`` makes it stay in the middle for
ever, once, and tell its process in ``hanging-SLOT``.
"""

import os
import time
from pathlib import Path

from crucible.forge.evolution.islands import Islands
from crucible.lifecycle import publishing
from flows.forge import forge

__all__ = ["forge"]

FAULTS = Path(os.environ["CRUCIBLE_HOME"]) / "faults"
sound = Islands.advance


def advance(self, state):
    slot = self.forge_run.slot.name
    name = f"{slot}-{state.generation + 1}"
    with (FAULTS / f"advanced-{slot}").open("a") as file:
        file.write(f"{state.generation + 1}\n")
    if take(f"raise-{name}"):
        message = f"an injected fault in generation {state.generation + 1}"
        raise RuntimeError(message)
    after = sound(self, state)
    if take(f"hang-{name}"):
        (FAULTS / f"hanging-{slot}.part").write_text(str(os.getpid()))
        (FAULTS / f"hanging-{slot}.part").rename(FAULTS / f"hanging-{slot}")
        while not take(f"release-{slot}"):
            time.sleep(0.1)
    return after


def take(name):
    path = FAULTS / name
    if path.exists():
        path.unlink()
        return True
    return False


Islands.advance = advance


def offer(context, version, made_by):
    if take(f"raise-{version.slot}-offer"):
        message = "an injected fault between registering and seating"
        raise RuntimeError(message)
    return sound_offer(context, version, made_by)


sound_offer, publishing.offer = publishing.offer, offer
