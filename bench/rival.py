"""Runs in the environment of another package: its grid of the mean loss, once for every line of stdin.

    python rival.py PACKAGE PROBLEM.npz CELLS

Only the time counts. loss-landscapes steps along the second direction before it evaluates, so the points of every other row
lie one step further than those of the rows between. losscape's file and its drawing are left out.
"""

import contextlib
import io
import json
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import plain
import torch


def stack(widths: list[int]) -> torch.nn.Sequential:
    """Linear layers with ReLU between."""
    layers = []
    for inputs, outputs in pairwise(widths):
        layers += [torch.nn.Linear(inputs, outputs), torch.nn.ReLU()]
    return torch.nn.Sequential(*layers[:-1])


def built(network: str, x: torch.Tensor) -> torch.nn.Module:
    """``64-128-128-10`` (a stack of linear layers), ``convolutions`` of ``plain``, or an architecture of the project."""
    if network[0].isdigit():
        return stack([int(width) for width in network.split("-")])
    if network == "convolutions":
        return plain.convolutions().eval()
    sys.path.insert(0, str(Path(__file__).parents[1]))
    from landscape.networks import build

    return build(network, tuple(x.shape[1:]), 10, norm="batch").eval()


def loss_landscapes(networks: list[torch.nn.Module], x: torch.Tensor, y: torch.Tensor, cells: int) -> Callable[[], object]:
    from loss_landscapes import planar_interpolation
    from loss_landscapes.metrics import Loss

    metric = Loss(torch.nn.functional.cross_entropy, x, y)
    return lambda: planar_interpolation(*networks, metric, steps=cells, deepcopy_model=True)


def losscape(networks: list[torch.nn.Module], x: torch.Tensor, y: torch.Tensor, cells: int) -> Callable[[], object]:
    from unittest.mock import MagicMock

    from losscape import create_landscape

    create_landscape.plt = MagicMock()
    start, *others = ([p.data for p in network.parameters()] for network in networks)
    directions = [[a - b for a, b in zip(other, start, strict=True)] for other in others]

    def once() -> None:
        with contextlib.redirect_stdout(io.StringIO()):
            create_landscape.create_3D_losscape(networks[0], [(x, y)], directions=directions, num_batches=1, save_only=True,
                                                output_h5=False, num_points=cells)

    return once


def main(package: str, path: str, cells: int) -> None:
    with np.load(path) as file:
        x, y, w = (torch.from_numpy(file[name]) for name in ("x", "y", "w"))
        network = str(file["network"])
    networks = [built(network, x).requires_grad_(False) for _ in w]
    for module, vector in zip(networks, w, strict=True):
        torch.nn.utils.vector_to_parameters(vector, module.parameters())
    once = {"loss-landscapes": loss_landscapes, "losscape": losscape}[package](networks, x, y, cells)
    for _ in sys.stdin:
        started = time.perf_counter()
        once()
        print(json.dumps({"seconds": time.perf_counter() - started}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
