"""What a worker that computes with torch imports. Jobs save what they go on from twenty times a second, and a job stands
still as soon as it has come to the stage, or saved the result, whose name is in the file that ``HURRIED_HOLD`` names: a test
that wants to end it there then has all the time it needs."""

import os
import time
from pathlib import Path

from landscape.recipes import planes, state
from landscape.runs.context import Context

state.SAVE_STATE = state.SAVE_HISTORY = 0.05
planes.SAVE_PICTURE = 0.1
HOLD = os.environ.get("HURRIED_HOLD")


def _standing_still(method):
    def done(self, name, *more, **said):
        found = method(self, name, *more, **said)
        wanted = Path(HOLD)
        while wanted.exists() and wanted.read_text() == name:
            wanted.with_suffix(".pid").write_text(str(os.getpid()))
            time.sleep(0.01)
        return found

    return done


if HOLD:
    Context.progress = _standing_still(Context.progress)
    Context.save = _standing_still(Context.save)
    Context.save_weights = _standing_still(Context.save_weights)
