"""Many workers on paper: the program's own way of dividing work (``recipes.spread``) under a clock that is only counted.

Nothing is computed. A cell takes as long as it was measured to take, a part costs the job, the scheduler and the network
what was measured, and who waits for whom follows from the order in which things end.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field

import numpy as np

from landscape.geometry import refine
from landscape.recipes.spread import Work, spread
from landscape.runs.others import BACKLOG

CHUNK = 0.05  # seconds of work here between two looks at what has come


@dataclass(frozen=True)
class Costs:
    """Seconds. ``cell`` of one cell on a worker; of a part ``latency`` there and back, ``dealing`` of the job's own time,
    ``serial`` of the one scheduler. What parts share takes ``send`` to a worker, one after the other, and there ``prepare``.
    """

    cell: float
    latency: float
    dealing: float
    serial: float
    send: float
    prepare: float


@dataclass
class Simulation:
    """The helpers of a job on ``workers`` machines, itself one of them."""

    costs: Costs
    workers: int
    now: float = 0.0
    scheduler: float = 0.0  # when it is free again
    network: float = 0.0
    free: list[float] = field(default_factory=list)  # when each helper has done all it was given
    knows: set[int] = field(default_factory=set)
    out: dict[int, int] = field(default_factory=dict)  # part -> helper
    coming: list[tuple[float, int, int]] = field(default_factory=list)  # when a part is back, its number, its items
    parts: int = 0

    def __post_init__(self):
        self.free = [0.0] * (self.workers - 1)

    def count(self) -> int:
        return self.workers - 1

    def room(self) -> int:
        return BACKLOG * self.count() - len(self.out)

    def seconds(self) -> float:
        return self.costs.cell

    def take(self, number: int, items: np.ndarray) -> None:
        c, has = self.costs, np.bincount(list(self.out.values()), minlength=self.count())
        helper = int(has.argmin())
        self.now += c.dealing
        self.scheduler = max(self.scheduler, self.now) + c.serial
        there = self.scheduler + c.latency / 2
        if helper not in self.knows:
            self.knows.add(helper)
            self.network = max(self.network, there) + c.send
            there = self.network + c.prepare
        self.free[helper] = max(self.free[helper], there) + len(items) * c.cell
        heapq.heappush(self.coming, (self.free[helper] + c.latency / 2, number, len(items)))
        self.out[number] = helper
        self.parts += 1

    def come(self) -> tuple[dict, list[int]]:
        values = {}
        while self.coming and self.coming[0][0] <= self.now:
            _, number, items = heapq.heappop(self.coming)
            if self.out.pop(number, None) is not None:
                values[number] = {"v": np.empty(items)}
        return values, []

    def forget(self, numbers: list[int]) -> None:
        for number in numbers:
            self.out.pop(number, None)

    def here(self, items: np.ndarray, progress) -> dict[str, np.ndarray]:
        step = max(1, int(CHUNK / self.costs.cell))
        for done in range(0, len(items), step):
            self.now += min(step, len(items) - done) * self.costs.cell
            progress(min(done + step, len(items)), len(items))
        return {"v": np.empty(len(items))}


def simulated(costs: Costs, workers: int, levels: list[int]) -> tuple[float, int]:
    """Seconds of a surface whose levels have so many cells, and how many parts were given away."""
    world = Simulation(costs, workers)
    work = Work(world.here, there=simulated, clock=lambda: world.now)
    context = type("Context", (), {"helpers": lambda self, work: world if workers > 1 else None})()
    for cells in levels:
        for _ in spread(context, work, np.zeros((cells, 2))):
            pass
    return world.now, world.parts


def levels_of(shape: tuple[int, int], walk=refine.adaptive) -> list[int]:
    """Cells of each level of a picture of two valleys, ``refine.adaptive`` or ``refine.exact``."""
    a, b = (np.linspace(-2, 2, side) for side in shape)
    truth = ((a[:, None] ** 2 - 1) ** 2 + 2 * (b + 0.3 * np.sin(3 * a[:, None])) ** 2).clip(0, 6) + 0.05
    picture, sizes = refine.Picture(shape, {"v": refine.Channel(3.0, 0.002, 0.0)}), []
    for cells in walk(picture):
        picture.put(cells, {"v": truth[tuple(cells.T)]})
        sizes.append(len(cells))
    return sizes
