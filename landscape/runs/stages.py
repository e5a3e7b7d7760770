"""How far a job is and how long it still takes, from what its stages were expected to cost and what they cost."""

from __future__ import annotations

from dataclasses import dataclass, field

MEASURED = 0.5  # seconds of work below which a speed says nothing
TRUST = 0.1  # a stage's own speed counts as much as its planned cost when this fraction of it has been measured


@dataclass(eq=False)
class Stage:
    """A stage with a relative cost; a stage with ``parts`` is as far as its parts are.

    ``gained`` and ``seconds`` are the fraction done and the time spent in this attempt: what an earlier one did is no
    measure of speed.
    """

    name: str
    cost: float = 1.0
    done: float = 0.0
    parts: list[Stage] = field(default_factory=list)
    gained: float = 0.0
    seconds: float = 0.0
    seen: bool = False

    def plan(self, costs: list[tuple[str, float]]) -> None:
        """Divide this stage. Raises ValueError if a cost is not positive or a name comes twice."""
        names = [name for name, _ in costs]
        if len(set(names)) < len(names) or any(not cost > 0 for _, cost in costs):
            raise ValueError(f"a plan is stages with different names and positive costs, found {costs}")
        self.parts = [Stage(name, float(cost)) for name, cost in costs]

    def part(self, name: str) -> Stage:
        for stage in self.parts:
            if stage.name == name:
                return stage
        raise ValueError(f"stage {name!r} is not in the plan: {', '.join(stage.name for stage in self.parts)}")

    def has(self, name: str) -> bool:
        return any(stage.name == name for stage in self.parts)

    def slot(self, name: str) -> Stage:
        """The part called ``name``, added at the mean cost of the others if the plan has none."""
        if not self.has(name):
            cost = sum(stage.cost for stage in self.parts) / len(self.parts) if self.parts else 1.0
            self.parts.append(Stage(name, cost))
        return self.part(name)

    def advance(self, done: float, seconds: float, fresh: bool) -> None:
        """``done`` in [0, 1] is reached, ``seconds`` after the last report. The first report of a stage in an attempt
        that is not ``fresh`` only says where the earlier attempt had come to."""
        if self.seen or fresh:
            self.gained += max(0.0, done - self.done)
            self.seconds += seconds
        self.seen, self.done = True, done

    def complete(self) -> None:
        self.done = 1.0
        for stage in self.parts:
            stage.complete()

    @property
    def fraction(self) -> float:
        if not self.parts:
            return self.done
        return sum(stage.cost * stage.fraction for stage in self.parts) / sum(stage.cost for stage in self.parts)

    def leaves(self, share: float = 1.0, above: str = "") -> list[tuple[str, float, Stage]]:
        """``(name, share, stage)`` of the smallest stages; shares sum to ``share``."""
        if not self.parts:
            return [(above or self.name, share, self)]
        total = sum(stage.cost for stage in self.parts)
        return [
            leaf
            for stage in self.parts
            for leaf in stage.leaves(share * stage.cost / total, self._path(above, stage))
        ]

    def _path(self, above: str, stage: Stage) -> str:
        """The name of a part seen from the top; one that is all there is adds nothing to the name above it."""
        if above and len(self.parts) == 1:
            return above
        return f"{above}: {stage.name}" if above else stage.name

    def eta(self) -> float | None:
        """Seconds left. A stage's length is expected from its cost and the speed of all measured work, and more and
        more from its own speed, the more of it is done: a stage that makes a slow start does not frighten anybody."""
        leaves = self.leaves()
        work = sum(share * stage.gained for _, share, stage in leaves)
        seconds = sum(stage.seconds for _, _, stage in leaves)
        if work <= 0 or seconds < MEASURED:
            return None
        left = 0.0
        for _, share, stage in leaves:
            expected = share * seconds / work
            length = (stage.seconds + TRUST * expected) / (stage.gained + TRUST)
            left += length * (1 - stage.done)
        return left
