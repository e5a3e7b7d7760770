"""A file of predictions from anywhere becomes a run, judged as the app's own predictions are."""

from __future__ import annotations

from pathlib import Path

from threadpoolctl import threadpool_limits

from landscape.data import OWN_FILE
from landscape.errors import BadInput
from landscape.networks.roots import allowed
from landscape.recipes.inspecting.files import own_folders
from landscape.recipes.judged import classes
from landscape.recipes.judged.calibrating import Beside
from landscape.results import Summary
from landscape.settings_calibration import PredictionsFile, digest, path_of
from landscape.uncertainty.entry import Undecided
from landscape.uncertainty.reading import Contents, read

LABEL = "file"


def compute(s: PredictionsFile, context) -> None:
    """Saves ``judged:file``, ``account:file``, ``calibrated:file``, ``conformal:file`` and ``summary``.

    Where logits and probabilities cannot be told apart, ``undecided`` is saved, so that a page can ask.
    """
    context.plan([("reading", 1.0), (LABEL, 2.0)])
    contents = opened(s, context)
    context.progress("reading", 1, 1)
    test, validation = contents.test, contents.validation
    names = list(test.names) or [str(c) for c in range(test.classes)]
    info = {"label": LABEL, "source": "file", "title": s.task, "about": f"The file {Path(s.file).name}.", "run": None,
            "place": None, "seed": None, "draws": 1, "batchnorm": "none", "classes": names, "outputs": test.kind, "said": [],
            "data": {"test": len(test)} | ({"validation": len(validation)} if validation is not None else {})}
    with threadpool_limits(1):  # small products: threads that wait for each other take several times as long
        row, _ = classes.judge(s, info, test, validation, context, Beside(), {},
                               lambda done, total: context.progress(LABEL, done, total))
    context.save("summary", Summary({
        "key": context.key, "task": s.task, "kind": "classification", "seeds": [], "parents": {}, "sources": [LABEL],
        "said": [], LABEL: row, "cpu_seconds": round(context.cpu_seconds, 3)}))


def opened(s: PredictionsFile, context) -> Contents:
    """The predictions of the file. Raises BadInput for a file that may not be read, has changed, or cannot be understood."""
    path = path_of(s.file) if s.file.startswith(OWN_FILE) else allowed(s.file, own_folders(), kind="file")
    if s.digest and digest(path) != s.digest:
        raise BadInput(f"{path.name} is not what it was when the run was asked for: its contents have changed. Start a new "
                       "run for the file as it is now.")
    try:
        return read(path, None if s.kind == "auto" else s.kind)
    except Undecided as error:
        context.save("undecided", Summary({"message": str(error), "likely": error.likely}))
        raise
