"""The simulation behind the figures of docs/scaling.md: what it must give where the answer is known."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bench.simulated import Costs, levels_of, simulated
from landscape.geometry import refine
from landscape.recipes.spread import HERE, THERE

FREE = Costs(cell=0.05, latency=0.0, dealing=0.0, serial=0.0, send=0.0, prepare=0.0)
REAL = replace(FREE, latency=0.01, dealing=0.003, serial=0.002, send=0.02, prepare=0.1)
CELLS = 40_000


def test_one_worker_takes_what_its_cells_take():
    taken, given = simulated(REAL, 1, [CELLS])
    assert (taken, given) == (pytest.approx(CELLS * REAL.cell), 0)


@pytest.mark.parametrize("workers", [2, 10, 100])
def test_without_overhead_n_workers_are_n_times_as_fast_but_for_the_last_parts(workers):
    alone, taken = CELLS * FREE.cell, simulated(FREE, workers, [CELLS])[0]
    assert alone / workers <= taken <= alone / workers + 2 * HERE


def test_no_worker_is_faster_than_its_cells_and_every_cost_costs():
    ideal = CELLS * FREE.cell / 50
    free, real = simulated(FREE, 50, [CELLS])[0], simulated(REAL, 50, [CELLS])[0]
    assert ideal <= free <= real
    for name in ("latency", "dealing", "serial", "send", "prepare"):
        slow = replace(REAL, **{name: 30 * getattr(REAL, name)})
        assert simulated(slow, 50, [CELLS])[0] > real, name


def test_parts_are_of_a_bounded_size():
    _, given = simulated(REAL, 2, [CELLS])
    assert given >= CELLS * REAL.cell / 2 / THERE * 0.9


def test_levels_are_those_of_an_adaptive_picture():
    sizes = levels_of((97, 97))
    assert len(sizes) > 2
    assert 50 < sum(sizes) < 97**2 / 2
    assert sum(levels_of((97, 61), refine.exact)) == 97 * 61
