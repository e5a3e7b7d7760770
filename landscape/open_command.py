"""``landscape open`` and ``landscape keep``: one network of a run, seen and kept from the shell."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from landscape.results import METRICS, Opened
from landscape.runs import Jobs, Library
from landscape.runs.clicks import Opener
from landscape.runs.records import checked_title, decode
from landscape.runs.store import Store
from landscape.runs.where import EXAMPLES, parse_where
from landscape.runs.where import text as text_of
from landscape.shell import print_json, say

Key = Annotated[str, typer.Argument(help="Key of a run, or its first four characters or more.")]
Where = Annotated[str, typer.Argument(help=f"{EXAMPLES}.")]
Home = Annotated[Path | None, typer.Option("--home", help="Folder of the store (default: LANDSCAPE_HOME).")]


def open_network(
    key: Key,
    where: Where,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON value on the last line.")] = False,
    home: Home = None,
) -> None:
    """Evaluate one network of a run: any point of a plane or path, or a marked one."""
    place, jobs = parse_where(Library(home).run(key).key, where), Jobs(home)
    seen = jobs.open(place) if jobs.engine() else decode(**Opener(home).open(place))  # no engine is started for one point
    if as_json:
        print_json(told(seen))
        return
    print(f"{seen.info['title']}: {seen.info['parameters']:,} parameters, norm {seen.info['norm']:.6g}, "
          f"BatchNorm {seen.info['batchnorm']}")
    for name, title in METRICS.items():
        if name in seen.values:
            print(f"{title:<12} {seen.values[name]:.6g}")
    for name, distance in seen.distances.items():
        print(f"{distance:.6g} from {name}")


def keep(
    key: Key,
    where: Where,
    title: Annotated[str | None, typer.Option(help="What the kept network is called.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON value on the last line.")] = False,
    home: Home = None,
) -> None:
    """Keep one network of a run as a run of its own; landscape export writes it to a file."""
    library = Library(home)
    place, jobs = parse_where(library.run(key).key, where), Jobs(home)
    title = None if title is None else checked_title(title)
    if jobs.engine():
        kept = jobs.keep(place, title)
    else:
        with Store(home) as store:
            kept = Opener(home).kept(place, title, store)
    if as_json:
        print_json(library.result(kept, "summary").values)
        return
    print(kept)
    say(f"Kept {library.run(kept).title!r}. landscape export {kept} writes it to a file; landscape inspect run:{kept} "
        "looks around it.")


def told(seen: Opened) -> dict[str, Any]:
    """What the command says of an opened network, as one JSON value."""
    names = ("title", "task", "kind", "parameters", "norm", "batchnorm", "n", "seconds")
    return {"run": seen.where["run"], "where": text_of(seen.where), **seen.values, "distances": seen.distances,
            **{name: seen.info[name] for name in names}}
