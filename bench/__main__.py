"""``python -m bench``: every workload, or those named, as a table or as JSON."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from bench import convolutions, gpu, grid, inference, inspection, learning, people, pictures, pipelines, scaling
from bench.measure import BUSY, Others, Row, table

WORKLOADS = ("grid", "convolutions", "pictures", "training", "pipelines", "inspect", "posterior", "people",
             "scaling", "gpu")


def measure(workloads: list[str], rival: Path | None) -> list[Row]:
    """The rows of the workloads; on a machine that was busy no bar is judged.

    ``rival`` is a virtual environment that has the packages of ``bench.peers``.
    """
    with tempfile.TemporaryDirectory() as home:
        steps = {
            "grid": lambda: grid.rows(rival),
            "convolutions": lambda: convolutions.rows(rival),
            "pictures": lambda: pictures.rows(rival),
            "training": learning.rows,
            "pipelines": lambda: pipelines.rows(Path(home)),
            "inspect": lambda: inspection.rows(Path(home)),
            "posterior": inference.rows,
            "people": lambda: people.rows(Path(home)),
            "scaling": scaling.rows,
            "gpu": gpu.rows,
        }
        rows = []
        for name in workloads:
            print(f"measuring {name} ...", file=sys.stderr, flush=True)
            others = Others()
            measured = steps[name]()
            if (cores := others.cores()) > BUSY:
                said = f"other programs took {cores:.1f} cores: measure again"
                print(f"{name}: {said}", file=sys.stderr, flush=True)
                measured = [replace(row, met=None, note=f"{said}; {row.note}".rstrip("; ")) for row in measured]
            rows += measured
        return rows


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="bench", description="Speed, as ratios within one run.")
    parser.add_argument("workloads", nargs="*", help=f"of {', '.join(WORKLOADS)}; all of them if none is named")
    parser.add_argument("--json", action="store_true", help="print a JSON list on the last line")
    parser.add_argument("--rival", type=Path, help="virtual environment that has other packages (make bench makes one)")
    given = parser.parse_args(arguments)
    if unknown := set(given.workloads) - set(WORKLOADS):
        parser.error(f"there is no workload {', '.join(sorted(unknown))}; choose from {', '.join(WORKLOADS)}")
    if given.rival and not (given.rival / "bin" / "python").exists():
        parser.error(f"{given.rival} is not a virtual environment; make bench makes one")
    rows = measure(given.workloads or list(WORKLOADS), given.rival)
    print(json.dumps([row.json() for row in rows]) if given.json else table(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
