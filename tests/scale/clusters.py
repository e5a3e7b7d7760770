"""Workers that help each other, and what their parts left behind."""

from __future__ import annotations

from pathlib import Path

from elsewhere import Elsewhere
from shops import Shop

from landscape.runs import Jobs

WORKERS = 2


class Cluster:
    """A scheduler, its workers, and what their parts left in ``notes``."""

    def __init__(self, elsewhere: Elsewhere, marker: Path):
        self.elsewhere, self.address, self.marker = elsewhere, elsewhere.address, marker

    def notes(self, what: str) -> list[list[str]]:
        file = self.marker / "notes"
        lines = [line.split() for line in file.read_text().splitlines()] if file.exists() else []
        return [words[1:] for words in lines if words[0] == what]

    def pids(self, what: str) -> set[str]:
        return {words[0] for words in self.notes(what)}

    def jobs(self, shop: Shop) -> Jobs:
        return Jobs(shop.home, scheduler=self.address)

    def complete(self, workers: int = WORKERS) -> None:
        """Wait until all workers have come."""
        from distributed import Client

        with Client(self.address, timeout=20, set_as_default=False) as client:
            client.wait_for_workers(workers, timeout=90)
