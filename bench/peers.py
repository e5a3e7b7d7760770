"""Other packages that draw loss surfaces, each in a process of an environment that has them (``make bench`` makes it)."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import torch

PACKAGES = {"loss-landscapes": "loss-landscapes 3.0.6", "losscape": "losscape 1.5.10"}


@contextmanager
def grids(environment: Path | None, network: str, x: torch.Tensor, y: torch.Tensor, w: torch.Tensor,
          cells: int) -> Iterator[dict[str, Callable[[], float]]]:
    """{package: a function that has it compute its grid of cells x cells through the networks w (3, P), once: seconds}.

    ``network`` names the architecture as ``rival.built`` reads it. Empty without an ``environment``.
    """
    with ExitStack() as opened:
        found = {}
        if environment is not None:
            folder = Path(opened.enter_context(tempfile.TemporaryDirectory()))
            np.savez(folder / "problem.npz", x=x.numpy(), y=y.numpy(), w=w.numpy(), network=network)
            for name, title in PACKAGES.items():
                found[title] = opened.enter_context(_process(environment, name, folder, cells))
                found[title]()
        yield found


@contextmanager
def _process(environment: Path, name: str, folder: Path, cells: int) -> Iterator[Callable[[], float]]:
    script = Path(__file__).with_name("rival.py")
    command = [str(environment.absolute() / "bin" / "python"), str(script), name, "problem.npz", str(cells)]
    quiet = os.environ | {"MPLBACKEND": "Agg", "MPLCONFIGDIR": str(folder)}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=folder,
                          env=quiet) as process:

        def once() -> float:
            process.stdin.write("again\n")
            process.stdin.flush()
            answer = process.stdout.readline()
            if not answer:
                raise RuntimeError(f"{name} ended with status {process.wait()}; its error is above.")
            return json.loads(answer)["seconds"]

        try:
            yield once
        finally:
            process.stdin.close()
