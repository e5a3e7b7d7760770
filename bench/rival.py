"""Runs in the environment of the package loss-landscapes: its grid of the mean loss, once for every line of stdin.

    python rival.py PROBLEM.npz CELLS

Only the time counts: the package steps along the second direction before it evaluates, so the points of every other
row lie one step further than those of the rows between, and the grid is not the one asked for.
"""

import json
import sys
import time
from itertools import pairwise

import loss_landscapes
import numpy as np
import plain
import torch
from loss_landscapes.metrics import Loss


def stack(widths: list[int]) -> torch.nn.Sequential:
    """Linear layers with ReLU between."""
    layers = []
    for inputs, outputs in pairwise(widths):
        layers += [torch.nn.Linear(inputs, outputs), torch.nn.ReLU()]
    return torch.nn.Sequential(*layers[:-1])


def main(path: str, cells: int) -> None:
    with np.load(path) as file:
        x, y, w, widths = (torch.from_numpy(file[name]) for name in ("x", "y", "w", "widths"))
    networks = []
    for vector in w:
        module = stack(widths.tolist()) if len(widths) else plain.convolutions().eval()
        torch.nn.utils.vector_to_parameters(vector, module.parameters())
        networks.append(module.requires_grad_(False))
    metric = Loss(torch.nn.functional.cross_entropy, x, y)
    for _ in sys.stdin:
        started = time.perf_counter()
        loss_landscapes.planar_interpolation(*networks, metric, steps=cells, deepcopy_model=True)
        print(json.dumps({"seconds": time.perf_counter() - started}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
