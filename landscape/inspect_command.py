"""``landscape inspect``: open trained networks from the shell, with the shell user's own files and modules."""

from __future__ import annotations

import math
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from landscape import catalog
from landscape.data import OWN_FILE
from landscape.errors import BadInput
from landscape.runs import Library
from landscape.runs.local import compute_beside
from landscape.runs.origins import origin
from landscape.runs.records import Identity, identify
from landscape.runs.terminal import Watcher
from landscape.settings_inspect import KEPT
from landscape.shell import agreed, finished, print_json, say, setting

SHOWN = 8  # keys of a kind that are listed


def inspect(
    files: Annotated[list[str], typer.Argument(help="Checkpoints (.pt, .safetensors, .npz ...), or run:KEY of kept ones.")],
    network: Annotated[str | None, typer.Option(
        help="auto, one of ours, package.module:factory, program:FILE, timm:NAME or transformers:NAME.")] = None,
    arguments: Annotated[str | None, typer.Option(help="Arguments of the factory, a JSON object.")] = None,
    data: Annotated[str | None, typer.Option(help="An embedded task, file:NAME of the data folder, or a path.")] = None,
    normalisation: Annotated[str | None, typer.Option(help="standard, none, unit (0 to 1), or MEANS;DEVIATIONS.")] = None,
    channels: Annotated[str | None, typer.Option(help="RGB or BGR.")] = None,
    loss: Annotated[str | None, typer.Option(help="cross-entropy, mse, gaussian, causal, package.module:function.")] = None,
    given: Annotated[list[str] | None, typer.Option("--set", help="Any other setting, name=value; repeat for more.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON value on the last line.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before what takes long (LANDSCAPE_ASK_ABOVE).")] = False,
    home: Annotated[Path | None, typer.Option("--home", help="Folder of the store (default: LANDSCAPE_HOME).")] = None,
) -> None:
    """Open trained networks from files: a report, then planes, lines, paths and pairs."""
    options = {"network": network, "arguments": arguments, "data": data, "normalisation": normalisation,
               "channels": channels, "loss": loss} | dict(setting(text) for text in given or [])
    chosen = {name: value for name, value in options.items() if value is not None}
    library = Library(home)
    paths = tuple(_path(file, library) for file in files)
    chosen = origin(paths[0], library) | chosen
    if "network" not in chosen and "data" not in chosen:
        say("Neither --network nor --data is given and the file does not say: trying a network of ours on mnist1d.")
    if "data" in chosen and _is_path(str(chosen["data"])):
        chosen["data"] = os.path.realpath(os.path.expanduser(str(chosen["data"])))
    _open_folders(paths, chosen)
    _import_from_here()
    wanted = identify("inspect", chosen | {"files": paths})
    agreed(wanted, home, yes, here=True)
    with Announced(library, wanted.key, sys.stderr if as_json else sys.stdout):
        library, ended = finished(wanted, home, _beside)
    summary = library.result(ended.key, "summary").values
    if as_json:
        print_json(summary)
    else:
        print("\n".join(seen(summary, ended.key)))


def _beside(wanted: Identity, home: Path | None, library: Library) -> str:
    """Compute in this process, whether an engine has the store or not: the files and modules are this user's."""
    return compute_beside(wanted.recipe, wanted.settings, home)[2]


def _path(file: str, library: Library) -> str:
    """A file by its full path; a kept network by its whole key.

    Links are followed only where no operator has set the folders that may be read: there they are refused.
    """
    if file.startswith(KEPT):
        return KEPT + library.run(file.removeprefix(KEPT)).key
    return str(Path.cwd() / Path(file).expanduser()) if _roots_are_set() else os.path.realpath(os.path.expanduser(file))


def _roots_are_set() -> bool:
    return bool(os.environ.get("LANDSCAPE_ROOTS", "").strip())


def _is_path(data: str) -> bool:
    return data not in catalog.DATASETS and not data.startswith(OWN_FILE) and Path(data).expanduser().exists()


def _open_folders(paths: tuple[str, ...], chosen: dict[str, Any]) -> None:
    """Where no operator has set the folders that may be read, those of the files that were named count as allowed."""
    if _roots_are_set():
        return
    named = [path for path in paths if not path.startswith(KEPT)]
    data, network = str(chosen.get("data", "")), str(chosen.get("network", ""))
    if os.path.isabs(data):
        named.append(data)
    if network.startswith("program:"):
        chosen["network"] = "program:" + os.path.realpath(os.path.expanduser(network.removeprefix("program:")))
        named.append(chosen["network"].removeprefix("program:"))
    folders = [os.path.dirname(path) for path in named]
    if any(":" in folder for folder in folders):
        raise BadInput("A folder with ':' in its name cannot be opened, as ':' separates folders. Rename it, or copy the "
                       "files.")
    os.environ["LANDSCAPE_ROOTS"] = ":".join(dict.fromkeys(folders))


def _import_from_here() -> None:
    """Factories and losses may stand in the current folder; which may be called is for LANDSCAPE_FACTORIES to say."""
    here = os.getcwd()
    if here not in sys.path:
        sys.path.insert(0, here)


class Announced(Watcher):
    """Prints the report as soon as it is there, and what the rest will cost."""

    def __init__(self, library: Library, key: str, to):
        super().__init__(library, key)
        self._to, self._said = to, False

    def look(self) -> None:
        found = None if self._said else self._library.result(self._key, "report")
        if found is not None and found.values["done"]:
            self._said = True
            print("\n".join(report(found.values)), file=self._to, flush=True)


def report(values: dict[str, Any]) -> list[str]:
    """The report, line by line: network, data, one block a file, advice, what is to come."""
    colours = f"; channels {values['channels']}" if values["view"] == "image" and values["shape"][0] == 3 else ""
    lines = [f"Network    {values['network']}: {values['parameters']:,} parameters",
             f"Data       {values['judged']}; {values['normalisation'].get('note', 'as stored')}{colours}",
             f"Loss       {values['loss']}; a network that knows nothing has {values['chance']['nll']:.4g}, error "
             f"{values['chance']['error']:.4g}"]
    if values["batchnorm"] != "none":
        lines.append(f"BatchNorm  {values['batchnorm']}")
    for row in values["files"]:
        lines.append(f"\n{row['file']}: loss {_value(row['nll'])}, error {_value(row['error'])} ({row['parameters']:,} "
                     f"numbers in {row['tensors']} tensors, {row['bytes'] / 1e6:.1f} MB)")
        lines += [f"  {note}" for note in row["notes"]]
        lines += _keys(row)
    lines += [f"\n{sentence}" for sentence in (*values["notes"], *values["advice"])]
    if values["cost"]:
        lines.append(f"\n{values['cost']['sentence']}")
    return lines


def _keys(row: dict[str, Any]) -> list[str]:
    """What does not match, by name and shape; one line where all does."""
    lines = []
    for kind in ("missing", "unexpected"):
        lines += [f"  {kind}: {name} {tuple(shape)}" for name, shape in list(row[kind].items())[:SHOWN]]
        lines += [f"  {kind}: and {len(row[kind]) - SHOWN} more"] if len(row[kind]) > SHOWN else []
    lines += [f"  another shape: {name} {tuple(a)} in the file, {tuple(b)} in the network"
              for name, (a, b) in list(row["mismatched"].items())[:SHOWN]]
    lines += [f"  NaN or infinite: {name}, {count:,} numbers" for name, count in list(row["not_finite"].items())[:SHOWN]]
    return lines or ["  all keys match"]


def seen(summary: dict[str, Any], key: str) -> list[str]:
    """What the views found, line by line."""
    lines = []
    if summary["pairs"]:
        lines.append("\nPairs: distance, largest loss on the line, barrier, agreement")
        quantities = ("distance", "line_max", "barrier", "agreement")
        lines += [f"  {p['a']} – {p['b']}: {', '.join(_value(p[q]) for q in quantities)}" for p in summary["pairs"]]
    if summary["pca"]["explained"]:
        shares = ", ".join(f"{100 * v:.1f}%" for v in summary["pca"]["explained"][:5])
        lines.append(f"\nPrincipal components explain {shares}")
    if summary["average"]["nll"] is not None:
        lines.append(f"Average of the weights: loss {_value(summary['average']['nll'])}, error "
                     f"{_value(summary['average']['error'])}")
    lines += [f"{sentence}" for sentence in summary["views"]]
    lines.append(f"\nRun {key}. See it: landscape app, then the Checkpoints page.")
    return lines


def _value(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}" if math.isfinite(value) else "not finite"
